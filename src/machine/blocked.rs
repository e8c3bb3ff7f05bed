//! Clients that wait for a key (BLPOP and its kind), in the leader's memory as in Redis: in which order they came, and
//! which of them a changed key may end.
//!
//! What they wait for is evaluated by `evaluate`: when a unit has changed a key that somebody waits for, the first who
//! came looks again, in the same entry. Nothing of a client that only waits is in the log. When leadership ends all of
//! them are refused like what waits to be evaluated, and their fronts bring them to the next leader.
//!
//! A front that is gone must not be given anything: it says from time to time which of its commands are still waited
//! for, and one that is silent for [`SILENCE_MAX`] has none.
//!
//! Invariant: a parked submission is under its number, and under each of its keys; it leaves all of them together.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Bound;
use std::time::Duration;

use bytes::Bytes;

use super::flight::Waiting;
use crate::base::{HashMap, HashSet, Nanos, SessionId};
use crate::command::batch::{Call, Unit};
use crate::command::block::{self, Wants};
use crate::data::Touched;

/// After so long without a word of a front nothing waits for it.
const SILENCE_MAX: Duration = Duration::from_secs(3);

/// A key of a database.
pub(super) type Key = (u8, Bytes);

/// Who waits for what.
#[derive(Default)]
pub(super) struct Blocked {
    /// By order of arrival.
    parked: BTreeMap<u64, Parked>,
    by_number: HashMap<(SessionId, u64), u64>,
    /// Who waits for a key and wants the same of it, first come first.
    by_key: HashMap<Key, Vec<(Wants, BTreeSet<u64>)>>,
    heard: BTreeMap<SessionId, Nanos>,
    /// Changed keys that somebody waits for, in order, each once.
    ready: VecDeque<Key>,
    is_ready: HashSet<Key>,
    bytes: usize,
}

struct Parked {
    waiting: Waiting,
    keys: Vec<Bytes>,
}

/// The command of a submission that may wait: its only unit, and numbered.
pub(super) fn waits(waiting: &Waiting) -> Option<&Call> {
    match (&waiting.submission.units[..], &waiting.submission.origin) {
        ([Unit::Block { call, .. }], Some(_)) => Some(call),
        _ => None,
    }
}

impl Blocked {
    /// Bytes of all that wait.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Lets a submission wait; see [`waits`].
    pub(super) fn park(&mut self, waiting: Waiting, now: Nanos) {
        let (Some(call), Some(origin)) = (waits(&waiting), waiting.submission.origin) else { return };
        let (arrival, db, wants) = (waiting.arrival, call.db, block::wants(call));
        let mut keys = block::keys(call);
        keys.sort_unstable();
        keys.dedup();
        for key in &keys {
            let classes = self.by_key.entry((db, key.clone())).or_default();
            match classes.iter_mut().find(|(class, _)| *class == wants) {
                Some((_, waiters)) => _ = waiters.insert(arrival),
                None => classes.push((wants, BTreeSet::from([arrival]))),
            }
        }
        self.by_number.insert((origin.session, origin.number), arrival);
        self.heard.entry(origin.session).or_insert(now);
        self.bytes += waiting.bytes;
        self.parked.insert(arrival, Parked { waiting, keys });
    }

    /// Takes out the one with this number.
    pub(super) fn take(&mut self, session: SessionId, number: u64) -> Option<Waiting> {
        let arrival = *self.by_number.get(&(session, number))?;
        self.remove(arrival)
    }

    /// Takes out one that was parked.
    pub(super) fn remove(&mut self, arrival: u64) -> Option<Waiting> {
        let Parked { waiting, keys } = self.parked.remove(&arrival)?;
        self.bytes -= waiting.bytes;
        if let Some(origin) = &waiting.submission.origin {
            self.by_number.remove(&(origin.session, origin.number));
        }
        let db = waits(&waiting).map_or(0, |call| call.db);
        for key in keys {
            let place = (db, key);
            let Some(classes) = self.by_key.get_mut(&place) else { continue };
            classes.iter_mut().for_each(|(_, waiters)| _ = waiters.remove(&arrival));
            classes.retain(|(_, waiters)| !waiters.is_empty());
            if classes.is_empty() {
                self.by_key.remove(&place);
            }
        }
        Some(waiting)
    }

    /// The command of one that is parked.
    pub(super) fn call(&self, arrival: u64) -> Option<&Call> {
        waits(&self.parked.get(&arrival)?.waiting)
    }

    /// Keys were changed.
    pub(super) fn notice(&mut self, touched: &[Touched]) {
        if self.parked.is_empty() {
            return;
        }
        for touched in touched {
            match touched {
                Touched::Key(db, key) => {
                    let key = (*db, key.clone());
                    if self.by_key.contains_key(&key) {
                        self.make_ready(key);
                    }
                }
                Touched::Database(db) => {
                    let mut keys: Vec<_> = self.by_key.keys().filter(|(other, _)| other == db).cloned().collect();
                    keys.sort_unstable();
                    keys.into_iter().for_each(|key| self.make_ready(key));
                }
            }
        }
    }

    fn make_ready(&mut self, key: Key) {
        if self.is_ready.insert(key.clone()) {
            self.ready.push_back(key);
        }
    }

    /// The next changed key that somebody waits for.
    pub(super) fn next_ready(&mut self) -> Option<Key> {
        let key = self.ready.pop_front()?;
        self.is_ready.remove(&key);
        Some(key)
    }

    /// What clients want of a key.
    pub(super) fn classes(&self, key: &Key) -> Vec<Wants> {
        self.by_key.get(key).map_or(Vec::new(), |classes| classes.iter().map(|(wants, _)| *wants).collect())
    }

    /// Who comes next among those that want the same of a key, behind the arrival `last`.
    pub(super) fn next(&self, key: &Key, wants: Wants, last: u64) -> Option<u64> {
        let (_, waiters) = self.by_key.get(key)?.iter().find(|(class, _)| *class == wants)?;
        waiters.range((Bound::Excluded(last), Bound::Unbounded)).next().copied()
    }

    /// A front said which of its commands below a number are still waited for; takes out the others.
    pub(super) fn keep(&mut self, session: SessionId, below: u64, open: &[u64], now: Nanos) -> Vec<Waiting> {
        self.heard.insert(session, now);
        let open: BTreeSet<u64> = open.iter().copied().collect();
        self.take_if(|other, number| other == session && number < below && !open.contains(&number))
    }

    /// Takes out those of fronts that have been silent for too long.
    pub(super) fn take_silent(&mut self, now: Nanos) -> Vec<Waiting> {
        let silent: BTreeSet<SessionId> = self
            .heard
            .extract_if(.., |_, heard| now.since(*heard) >= SILENCE_MAX)
            .map(|(session, _)| session)
            .collect();
        if silent.is_empty() { Vec::new() } else { self.take_if(|session, _| silent.contains(&session)) }
    }

    fn take_if(&mut self, which: impl Fn(SessionId, u64) -> bool) -> Vec<Waiting> {
        let is_it = |parked: &Parked| {
            parked.waiting.submission.origin.as_ref().is_some_and(|origin| which(origin.session, origin.number))
        };
        let arrivals: Vec<u64> =
            self.parked.iter().filter(|(_, parked)| is_it(parked)).map(|(arrival, _)| *arrival).collect();
        arrivals.into_iter().filter_map(|arrival| self.remove(arrival)).collect()
    }

    /// Leadership ended.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = Waiting> + use<> {
        std::mem::take(self).parked.into_values().map(|parked| parked.waiting)
    }
}
