//! The log's twin: what is synced, and writes that only the page cache holds.
//!
//! Invariant: `durable` is the state after every synced write; `current` is `durable` after every write in
//! `unsynced`, oldest first. Readers see `current`, a crash leaves `durable` and a prefix of `unsynced`.

use std::collections::{BTreeMap, VecDeque};

use parking_lot::Mutex;

use super::faults::{Fault, Faults, Operation};
use crate::base::{GroupId, LogIndex, Mutant, Rng};
use crate::store::{Error, Log, LogRecord, LogState, LogWrite, Result};

/// A [`Log`] in memory, with its page cache in the open: [`Log::append`] is [`MemoryLog::stage`] and then
/// [`MemoryLog::sync`].
#[derive(Debug, Default)]
pub struct MemoryLog {
    inner: Mutex<Inner>,
    faults: Faults,
}

#[derive(Debug, Default)]
struct Inner {
    durable: Groups,
    current: Groups,
    unsynced: VecDeque<Vec<LogWrite>>,
    /// Set by the first failure: nothing may be written after it (rule 5).
    fenced: Option<Error>,
    /// Set by a crash that left half a write, which opening cut off.
    torn: bool,
}

type Groups = BTreeMap<GroupId, GroupLog>;

#[derive(Clone, Debug, Default)]
struct GroupLog {
    state: LogState,
    /// The entries after `state.before_first`, in order.
    records: VecDeque<LogRecord>,
    /// Entries whose bytes are damaged on disk.
    damaged: Vec<LogIndex>,
}

impl MemoryLog {
    /// An empty log.
    pub fn new() -> MemoryLog {
        MemoryLog::default()
    }

    /// Loses power: a prefix of the unsynced writes is left, chosen by `rng`; the next one may have been torn, which
    /// opening finds and cuts. The log is open again afterwards, as after a restart.
    pub fn crash(&self, rng: &mut Rng) {
        let mut inner = self.inner.lock();
        let unsynced = inner.unsynced.len() as u64;
        let kept = rng.below(unsynced + 1);
        inner.harden(kept as usize);
        inner.torn = kept < unsynced && rng.chance(1, 2);
        inner.unsynced.clear();
        inner.current = inner.durable.clone();
        inner.fenced = None;
    }

    /// Whether the last crash left half a write that opening had to cut.
    pub fn was_torn(&self) -> bool {
        self.inner.lock().torn
    }

    /// How many writes are staged and not synced.
    pub fn unsynced_writes(&self) -> usize {
        self.inner.lock().unsynced.len()
    }

    /// Damages the stored bytes of an entry, as a bad sector would. Whether there was such an entry.
    pub fn damage(&self, group: GroupId, index: LogIndex) -> bool {
        let mut inner = self.inner.lock();
        let Inner { durable, current, .. } = &mut *inner;
        let mut found = false;
        for groups in [durable, current] {
            let log = groups.get_mut(&group).filter(|log| log.state.holds(index, index.next()).is_ok());
            if let Some(log) = log {
                log.damaged.push(index);
                found = true;
            }
        }
        found
    }

    /// Forgets synced entries above `last`, as a disk does that lied about a sync.
    pub fn lose_tail(&self, group: GroupId, last: LogIndex) {
        let mut inner = self.inner.lock();
        let Inner { durable, current, .. } = &mut *inner;
        for groups in [durable, current] {
            if let Some(log) = groups.get_mut(&group) {
                log.truncate(last.max(log.state.before_first.0));
            }
        }
    }

    /// The next call of `operation` fails; a failed write or sync fences the log.
    pub fn fail_next(&self, operation: Operation, fault: Fault) {
        self.faults.fail_next(operation, fault);
    }

    /// Every call of `operation` fails until [`MemoryLog::heal`].
    pub fn fail_until_healed(&self, operation: Operation, fault: Fault) {
        self.faults.fail_until_healed(operation, fault);
    }

    /// Forgets all failures that are due. A fence stays until the crash or restart.
    pub fn heal(&self) {
        self.faults.heal();
    }
}

impl Inner {
    fn check_fence(&self) -> Result<()> {
        match &self.fenced {
            None => Ok(()),
            Some(first) => Err(Error::Io(format!("the log failed before and takes no more writes: {first}").into())),
        }
    }

    fn fence(&mut self, result: Result<()>) -> Result<()> {
        let result = if Mutant::FailedLogWriteCountsAsDone.is_in() { Ok(()) } else { result };
        if let Err(error) = &result {
            self.fenced = Some(error.clone());
        }
        result
    }

    /// Makes the oldest `count` unsynced writes durable.
    fn harden(&mut self, count: usize) {
        let count = count.min(self.unsynced.len());
        for write in self.unsynced.drain(..count).flatten() {
            apply(&mut self.durable, &write);
        }
    }
}

impl GroupLog {
    fn truncate(&mut self, last: LogIndex) {
        let length = last.get().saturating_sub(self.state.before_first.0.get()) as usize;
        self.records.truncate(length);
        self.damaged.retain(|index| *index <= last);
        self.state.last = self.state.last.min(last);
    }
}

fn apply(groups: &mut Groups, write: &LogWrite) {
    if write.destroy {
        groups.remove(&write.group);
        return;
    }
    let log = groups.entry(write.group).or_default();
    log.state.group = write.group;
    let after = log.state.after(write);
    if let Some((index, term)) = write.reset {
        log.records.clear();
        log.damaged.clear();
        log.state.before_first = (index, term);
        log.state.last = index;
    }
    if let Some(first) = write.records.first() {
        log.truncate(LogIndex(first.index.get() - 1));
        log.records.extend(write.records.iter().cloned());
    }
    let cut = after.before_first.0.get() - log.state.before_first.0.get();
    log.records.drain(..cut as usize);
    log.damaged.retain(|index| *index > after.before_first.0);
    log.state = after;
}

impl Log for MemoryLog {
    /// One call is one batch, of which a crash before the sync leaves all or nothing. Several may wait for one sync.
    fn write(&self, writes: &[LogWrite]) -> Result<()> {
        let mut inner = self.inner.lock();
        inner.check_fence()?;
        let result = self.faults.around(Operation::Write, || {
            for write in writes {
                apply(&mut inner.current, write);
            }
            inner.unsynced.push_back(writes.to_vec());
            Ok(())
        });
        inner.fence(result)
    }

    fn sync(&self) -> Result<()> {
        let mut inner = self.inner.lock();
        inner.check_fence()?;
        let result = self.faults.around(Operation::Sync, || {
            inner.harden(usize::MAX);
            Ok(())
        });
        inner.fence(result)
    }

    fn records(&self, group: GroupId, low: LogIndex, high: LogIndex, bytes_max: u64) -> Result<Vec<LogRecord>> {
        if let Some(fault) = self.faults.take(Operation::Read) {
            return Err(fault.error);
        }
        let inner = self.inner.lock();
        let empty = GroupLog { state: LogState { group, ..LogState::default() }, ..GroupLog::default() };
        let log = inner.current.get(&group).unwrap_or(&empty);
        log.state.holds(low, high)?;
        let start = (low.get() - log.state.before_first.0.get() - 1) as usize;
        let mut bytes = 0;
        let mut found = Vec::new();
        for record in log.records.iter().skip(start).take((high.get() - low.get()) as usize) {
            if log.damaged.contains(&record.index) {
                return Err(damaged(group, record.index));
            }
            bytes += record.data.len() as u64;
            if bytes > bytes_max && !found.is_empty() {
                break;
            }
            found.push(record.clone());
        }
        Ok(found)
    }

    fn load(&self) -> Result<Vec<LogState>> {
        if let Some(fault) = self.faults.take(Operation::Read) {
            return Err(fault.error);
        }
        let inner = self.inner.lock();
        for (group, log) in &inner.current {
            if let Some(index) = log.damaged.first() {
                return Err(damaged(*group, *index));
            }
            log.state.check()?;
        }
        Ok(inner.current.values().map(|log| log.state).collect())
    }
}

fn damaged(group: GroupId, index: LogIndex) -> Error {
    Error::Corrupt(format!("entry {index} of the log of group {group} is damaged").into())
}
