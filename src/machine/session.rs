//! Batches that run once: a forwarding front numbers them, the group remembers which ran and what was answered.
//!
//! ```text
//! session record   format u8 = 1 | acknowledged_below u64
//!                  format u8 = 2 | acknowledged_below u64 | open u64...   blocked commands below that still wait
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
const FORMAT_WITH_OPEN: u8 = 2;

/// What is known of a numbered batch before it runs.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Known {
    /// It did not run. What the session acknowledged is handed back to [`remember`].
    New { acknowledged: Option<Acknowledged> },
    /// It ran, and this was answered.
    Ran(Vec<UnitReply>),
    /// It must not run.
    Refused(Refusal),
}

/// What a session's front has heard the answers of, or does not want to hear any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Acknowledged {
    /// All numbers below this one,
    below: u64,
    /// but for these, ascending.
    open: Vec<u64>,
}

impl Acknowledged {
    fn has(&self, number: u64) -> bool {
        number < self.below && self.open.binary_search(&number).is_err()
    }
}

/// Looks a numbered batch up.
pub(super) fn look_up(view: &dyn Read, group: GroupId, origin: &Origin) -> store::Result<Known> {
    let acknowledged = match view.get(&keys::session(group, origin.session))? {
        Some(record) => Some(decode(&record)?),
        // Something was acknowledged, so there once was a session.
        None if origin.acknowledged_below > 1 => return Ok(Known::Refused(Refusal::SessionExpired)),
        None => None,
    };
    let known = acknowledged.as_ref().filter(|_| !Mutant::LateDuplicatesRun.is_in());
    if origin.number < origin.acknowledged_below || known.is_some_and(|known| known.has(origin.number)) {
        return Ok(Known::Refused(Refusal::Duplicate));
    }
    match view.get(&keys::reply(group, origin.session, origin.number))? {
        Some(record) => match wire::decode_replies(&record) {
            Ok(replies) => Ok(Known::Ran(replies)),
            Err(error) => Err(Error::Corrupt(format!("a stored reply: {error}").into())),
        },
        None => Ok(Known::New { acknowledged }),
    }
}

/// A numbered batch ran: stores its reply and forgets acknowledged ones.
pub(super) fn remember(
    view: &mut dyn Write,
    group: GroupId,
    origin: &Origin,
    acknowledged: Option<&Acknowledged>,
    replies: &[UnitReply],
) {
    let (before, after) = (acknowledged.map_or(1, |known| known.below), origin.acknowledged_below.max(1));
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
    if acknowledged.is_none() || before < after {
        let acknowledged = Acknowledged { below: before.max(after), open: Vec::new() };
        view.put(keys::session(group, origin.session), encode(&acknowledged));
    }
    if !Mutant::RepliesAreNotStored.is_in() {
        view.put(keys::reply(group, origin.session, origin.number), wire::encode_replies(replies));
    }
}

/// Forgets the stored replies to a session's blocked commands that nobody waits for any more, and that they may run.
pub(super) fn forget(
    view: &mut dyn Write,
    group: GroupId,
    session: SessionId,
    acknowledged: Acknowledged,
) -> store::Result<()> {
    let (start, end) = keys::replies(group, session);
    let (mut finished, mut damaged) = (Vec::new(), None);
    view.scan(&start, &end, Order::Forward, &mut |record, _| {
        match keys::parse_reply(record) {
            Ok((_, _, number)) if acknowledged.has(number) => finished.push(number),
            Ok(_) => {}
            Err(error) => damaged = Some(error),
        }
        if damaged.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    damaged.map_or(Ok(()), Err)?;
    if !finished.is_empty() {
        for number in finished {
            view.delete(keys::reply(group, session, number));
        }
        view.put(keys::session(group, session), encode(&acknowledged));
    }
    Ok(())
}

/// What a front says about its blocked commands.
pub(super) fn acknowledged(below: u64, open: &[u64]) -> Acknowledged {
    let mut open = open.to_vec();
    open.sort_unstable();
    Acknowledged { below, open }
}

fn encode(acknowledged: &Acknowledged) -> Bytes {
    let mut out = BytesMut::with_capacity(9 + 8 * acknowledged.open.len());
    out.put_u8(if acknowledged.open.is_empty() { FORMAT } else { FORMAT_WITH_OPEN });
    out.put_u64(acknowledged.below);
    acknowledged.open.iter().for_each(|number| out.put_u64(*number));
    out.freeze()
}

fn decode(record: &[u8]) -> store::Result<Acknowledged> {
    let unknown = || Error::Corrupt("the record of a session has an unknown form".into());
    let (format, numbers) = record.split_first().ok_or_else(unknown)?;
    let (numbers, rest) = numbers.as_chunks::<8>();
    let mut numbers = numbers.iter().map(|number| u64::from_be_bytes(*number));
    match (format, numbers.next(), numbers.len()) {
        (&FORMAT, Some(below), 0) if rest.is_empty() => Ok(Acknowledged { below, open: Vec::new() }),
        (&FORMAT_WITH_OPEN, Some(below), _) if rest.is_empty() => Ok(Acknowledged { below, open: numbers.collect() }),
        _ => Err(unknown()),
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
