//! One read on the applied state, by any thread: the fast path of a leader under its lease, and of a follower that
//! asked for a read index.
//!
//! This is the "data, clock" part of rule 35; the caller checks the published commit index and `applied` before it,
//! and lease, term and epoch after it, before the answer leaves.
//!
//! Invariant: an answer shows the state after one entry, never parts of two: either the view is a snapshot, or
//! [`Version`] did not change while records were looked up.

use std::cell::Cell;
use std::sync::atomic::{AtomicU16, AtomicU64, Ordering, fence};

use bytes::{Bytes, BytesMut};

use crate::base::{GroupId, Nobody, Rng, SlotRange};
use crate::command::{self, Call, Handler};
use crate::data::{Counts, Events, Keyspace, Manner, Mode, Moment, Thresholds, Usage};
use crate::store::overlay::ReadOnly;
use crate::store::{self, Engine, Error, Order, Read, Visit, keys};

/// Counts the changes of a group's state: odd while the engine is being written (a sequence lock whose readers
/// never wait: they try again, or take the long way).
#[derive(Debug, Default)]
pub struct Version {
    number: AtomicU64,
    /// The events that the applied state tells: a reader must know whether a miss is one.
    events: AtomicU16,
}

impl Version {
    /// The number to compare later; `None` while a change is under way.
    pub fn read(&self) -> Option<u64> {
        let version = self.number.load(Ordering::Acquire);
        version.is_multiple_of(2).then_some(version)
    }

    /// Whether everything read since [`Version::read`] returned this is of one state.
    pub fn is_still(&self, version: u64) -> bool {
        fence(Ordering::Acquire);
        self.number.load(Ordering::Relaxed) == version
    }

    /// Makes a change. Called by the machine only.
    pub(super) fn change<T>(&self, change: impl FnOnce() -> T) -> T {
        let version = self.number.load(Ordering::Relaxed);
        self.number.store(version.wrapping_add(1), Ordering::Relaxed);
        fence(Ordering::Release);
        let result = change();
        self.number.store(version.wrapping_add(2), Ordering::Release);
        result
    }

    /// The events that the applied state tells.
    pub fn events(&self) -> Events {
        Events::of_bits(self.events.load(Ordering::Acquire))
    }

    pub(super) fn set_events(&self, events: Events) {
        self.events.store(events.bits(), Ordering::Release);
    }
}

/// What came of a local read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Local {
    /// The encoded reply was appended.
    Done,
    /// Only the leader's machine can answer: it is no read, or it met a key that is due.
    NeedsLog,
    /// A record is not in memory, or the state moved meanwhile: not here and not now.
    WouldBlock,
}

/// What a local read must know of its group.
#[derive(Clone, Copy, Debug)]
pub struct Facts {
    /// Which group.
    pub group: GroupId,
    /// Its slots.
    pub slots: SlotRange,
    /// An applied stamp of the group, not necessarily the newest, and the wall clock of this node. With an old stamp
    /// (0 is the oldest) more keys count as due, and the machine answers.
    pub moment: Moment,
    /// As the machine has them.
    pub thresholds: Thresholds,
    /// What the applied state tells ([`Version::events`]).
    pub events: Events,
    /// For commands that draw lots.
    pub seed: u64,
}

/// Evaluates one call on `view` and appends its reply to `out`, which stays as it was unless the result is
/// [`Local::Done`]. What it looked up is noted in `usage`. Errors are those of the engine: the node must stop.
pub fn read_local(
    view: &dyn Read,
    facts: &Facts,
    usage: &Usage,
    call: &Call,
    out: &mut BytesMut,
) -> store::Result<Local> {
    let Ok(spec) = command::check(&call.args) else { return Ok(Local::NeedsLog) };
    if spec.may_write() {
        return Ok(Local::NeedsLog);
    }
    let length = out.len();
    let mut counts = Counts::default();
    // Only commands over all keys look at the counts.
    if matches!(spec.handler, Handler::Spread(..)) {
        match view.get(&keys::counts(facts.group)) {
            Ok(Some(record)) => counts = Counts::decode(&record)?,
            Ok(None) => {}
            Err(Error::WouldBlock) => return Ok(Local::WouldBlock),
            Err(error) => return Err(error),
        }
    }
    let mut view = ReadOnly::new(view);
    let mut keyspace = Keyspace {
        store: &mut view,
        group: facts.group,
        slots: facts.slots,
        moment: facts.moment,
        mode: Mode::Local,
        counts: &mut counts,
        touched: &mut Vec::new(),
        events: &mut { facts.events },
        rng: &mut Rng::new(facts.seed),
        thresholds: facts.thresholds,
        usage,
        audience: &Nobody,
        manner: Manner::default(),
        named: Bytes::new(),
    };
    let result = match command::execute_encoded(&mut keyspace, None, call, out) {
        // A command that is marked as a read wrote: its reply is not true.
        Ok(()) if view.check().is_err() => Ok(Local::NeedsLog),
        Ok(()) => return Ok(Local::Done),
        Err(command::Error::NeedsLog) => Ok(Local::NeedsLog),
        Err(command::Error::Store(Error::WouldBlock)) => Ok(Local::WouldBlock),
        Err(command::Error::Store(error)) => Err(error),
    };
    out.truncate(length);
    result
}

/// An engine's records as far as they are in memory and of one state: what a socket's own task may read. Everything
/// else, and every scan, answers [`Error::WouldBlock`].
pub struct InMemory<'a> {
    engine: &'a dyn Engine,
    version: &'a Version,
    /// Set by the first lookup.
    started: Cell<Option<u64>>,
}

impl<'a> InMemory<'a> {
    /// A view of the engine; `version` is the group's.
    pub fn new(engine: &'a dyn Engine, version: &'a Version) -> InMemory<'a> {
        InMemory { engine, version, started: Cell::new(None) }
    }
}

impl Read for InMemory<'_> {
    fn get(&self, key: &[u8]) -> store::Result<Option<Bytes>> {
        let started = match self.started.get() {
            Some(started) => started,
            None => self.version.read().ok_or(Error::WouldBlock)?,
        };
        self.started.set(Some(started));
        let value = self.engine.get_in_memory(key)?;
        if self.version.is_still(started) { Ok(value) } else { Err(Error::WouldBlock) }
    }

    fn scan(&self, _: &[u8], _: &[u8], _: Order, _: &mut Visit<'_>) -> store::Result<()> {
        Err(Error::WouldBlock)
    }
}
