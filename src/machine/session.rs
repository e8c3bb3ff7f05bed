//! Batches that run once: a forwarding front numbers them, the group remembers which ran and what was answered.
//!
//! ```text
//! session record   format u8 = 1 | acknowledged_below u64
//! reply record     replies as `command::wire` writes them
//! ```
//!
//! Both are group records and change in the entry of the batch itself, so they travel through snapshots (rule 31) and
//! a new leader, which evaluates only after it applied everything its predecessor could have committed, knows them.
//! A batch that may write leaves its reply even when it changed nothing: run a second time it might change something.
//!
//! Invariant: a number runs at most once. Above `acknowledged_below` its reply is stored if it ran; below, it is
//! refused. A session is forgotten only after it was idle for an hour of one leader's own clock, which no copy of a
//! batch survives on its way; wall clocks, which jump, are not asked.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};

use super::{Origin, Refusal};
use crate::base::{GroupId, Mutant, Nanos, SessionId};
use crate::command::batch::UnitReply;
use crate::command::wire;
use crate::store::keys::GroupKind;
use crate::store::{self, Error, Order, Read, Write, keys};

/// After this a session is forgotten.
pub(super) const IDLE_MAX: Duration = Duration::from_secs(3600);
/// How often idle ones are looked for.
const SWEEP_EVERY: Duration = Duration::from_secs(60);
/// Sessions that one sweep looks at: a bound on the entry it makes.
const SWEEP_MAX: usize = 10_000;
/// Up to so many acknowledged replies are deleted one by one; a range of RocksDB costs every later read.
const POINT_DELETES_MAX: u64 = 64;

const FORMAT: u8 = 1;

/// What is known of a numbered batch before it runs.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Known {
    /// It did not run. The session's acknowledged number is handed back to [`remember`].
    New { acknowledged_below: Option<u64> },
    /// It ran, and this was answered.
    Ran(Vec<UnitReply>),
    /// It must not run.
    Refused(Refusal),
}

/// Looks a numbered batch up.
pub(super) fn look_up(view: &dyn Read, group: GroupId, origin: &Origin) -> store::Result<Known> {
    let acknowledged_below = match view.get(&keys::session(group, origin.session))? {
        Some(record) => Some(decode(&record)?),
        // Something was acknowledged, so there once was a session.
        None if origin.acknowledged_below > 1 => return Ok(Known::Refused(Refusal::SessionExpired)),
        None => None,
    };
    let known_below = acknowledged_below.filter(|_| !Mutant::LateDuplicatesRun.is_in());
    if origin.number < known_below.unwrap_or(1).max(origin.acknowledged_below) {
        return Ok(Known::Refused(Refusal::Duplicate));
    }
    match view.get(&keys::reply(group, origin.session, origin.number))? {
        Some(record) => match wire::decode_replies(&record) {
            Ok(replies) => Ok(Known::Ran(replies)),
            Err(error) => Err(Error::Corrupt(format!("a stored reply: {error}").into())),
        },
        None => Ok(Known::New { acknowledged_below }),
    }
}

/// A numbered batch ran: stores its reply and forgets acknowledged ones.
pub(super) fn remember(
    view: &mut dyn Write,
    group: GroupId,
    origin: &Origin,
    acknowledged_below: Option<u64>,
    replies: &[UnitReply],
) {
    let (before, after) = (acknowledged_below.unwrap_or(1), origin.acknowledged_below.max(1));
    if before < after {
        if after - before <= POINT_DELETES_MAX {
            for number in before..after {
                view.delete(keys::reply(group, origin.session, number));
            }
        } else {
            let (start, end) = keys::replies_below(group, origin.session, after);
            view.delete_range(start, end);
        }
    }
    if acknowledged_below.is_none() || before < after {
        view.put(keys::session(group, origin.session), encode(before.max(after)));
    }
    if !Mutant::RepliesAreNotStored.is_in() {
        view.put(keys::reply(group, origin.session, origin.number), wire::encode_replies(replies));
    }
}

fn encode(acknowledged_below: u64) -> Bytes {
    let mut out = BytesMut::with_capacity(9);
    out.put_u8(FORMAT);
    out.put_u64(acknowledged_below);
    out.freeze()
}

fn decode(record: &[u8]) -> store::Result<u64> {
    match record.split_first_chunk::<1>() {
        Some(([FORMAT], number)) if number.len() == 8 => {
            Ok(u64::from_be_bytes(std::array::from_fn(|byte| number[byte])))
        }
        _ => Err(Error::Corrupt("the record of a session has an unknown form".into())),
    }
}

/// When a leader last heard of each session, to forget idle ones.
#[derive(Default)]
pub(super) struct Idle {
    heard: BTreeMap<SessionId, Nanos>,
    next_sweep: Nanos,
}

impl Idle {
    /// A batch of the session arrived.
    pub(super) fn heard(&mut self, session: SessionId, now: Nanos) {
        self.heard.insert(session, now);
    }

    /// Whether it is time to look for idle ones.
    pub(super) fn is_due(&self, now: Nanos) -> bool {
        now >= self.next_sweep
    }

    /// Deletes sessions that this leader has not heard of for [`IDLE_MAX`].
    pub(super) fn sweep(&mut self, view: &mut dyn Write, group: GroupId, now: Nanos) -> store::Result<()> {
        self.next_sweep = now + SWEEP_EVERY;
        let mut stored = Vec::new();
        let (start, end) = keys::group_kind(group, GroupKind::Session);
        let mut damaged = None;
        view.scan(&start, &end, Order::Forward, &mut |record, _| {
            match keys::parse_session(record) {
                Ok((_, session)) => stored.push(session),
                Err(error) => damaged = Some(error),
            }
            if damaged.is_some() || stored.len() == SWEEP_MAX {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        })?;
        damaged.map_or(Ok(()), Err)?;
        for session in stored {
            // One that was never heard of in this term counts from the first sweep.
            let heard = *self.heard.entry(session).or_insert(now);
            if now.since(heard) >= IDLE_MAX {
                let (start, end) = keys::replies(group, session);
                view.delete_range(start, end);
                view.delete(keys::session(group, session));
                self.heard.remove(&session);
            }
        }
        Ok(())
    }

    /// Leadership ended: what happens from now on is not heard here.
    pub(super) fn clear(&mut self) {
        *self = Idle::default();
    }
}
