//! The engine's twin: every record keeps its versions, by number of the batch that wrote them, as long as a crash,
//! a snapshot or the flushed state can still show them.
//!
//! Relations, in numbers of batches: `flushed <= newest`; a version is dropped only when a newer one of the same
//! record is at or below `floor = min(flushed, oldest snapshot)`. So flush, crash and snapshot cost what was
//! written since the last flush, not what is stored.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::{Mutex, RwLock};

use super::faults::{Fault, Faults, Operation};
use crate::base::Rng;
use crate::store::{Batch, Engine, Error, Figures, Mutation, Order, Read, Record, Result, Snapshot, Visit};

/// An [`Engine`] in memory. Clones share one state.
#[derive(Clone, Debug, Default)]
pub struct MemoryEngine(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    state: RwLock<State>,
    /// Batch numbers that snapshots show, with how many do. Locked after `state`.
    snapshots: Mutex<BTreeMap<u64, usize>>,
    faults: Faults,
    /// Set: this generator decides which lookups are not in memory.
    cold: Mutex<Option<Rng>>,
}

#[derive(Debug, Default)]
struct State {
    records: BTreeMap<Bytes, Versions>,
    /// Number of the newest batch.
    newest: u64,
    /// Everything up to this batch survives a crash.
    flushed: u64,
    /// Keys by the batch that wrote them, for batches whose old versions may still be shown.
    journal: VecDeque<(u64, Vec<Bytes>)>,
    /// Bytes of mutations since the last flush.
    unflushed_bytes: u64,
    /// How often this engine crashed: a snapshot of an earlier life is void.
    crashes: u64,
}

/// Values of one record, oldest first; `None` is a deletion.
type Versions = Vec<(u64, Option<Bytes>)>;

impl MemoryEngine {
    /// An empty engine.
    pub fn new() -> MemoryEngine {
        MemoryEngine::default()
    }

    /// Loses power: what is left is a prefix of the batches, chosen by `rng`, that holds all flushed ones. RocksDB
    /// too may have flushed more than it was asked to. Snapshots of before answer with an error from now on.
    pub fn crash(&self, rng: &mut Rng) {
        let mut state = self.0.state.write();
        let kept = rng.range(state.flushed, state.newest + 1);
        while let Some((batch, keys)) = state.journal.pop_back_if(|(batch, _)| *batch > kept) {
            for key in keys {
                let Some(versions) = state.records.get_mut(&key) else { continue };
                versions.retain(|(written, _)| *written < batch);
                if versions.is_empty() {
                    state.records.remove(&key);
                }
            }
        }
        state.newest = kept;
        state.flushed = kept;
        state.unflushed_bytes = 0;
        state.crashes += 1;
        self.0.snapshots.lock().clear();
        state.prune(kept);
    }

    /// The next call of `operation` fails.
    pub fn fail_next(&self, operation: Operation, fault: Fault) {
        self.0.faults.fail_next(operation, fault);
    }

    /// Every call of `operation` fails until [`MemoryEngine::heal`].
    pub fn fail_until_healed(&self, operation: Operation, fault: Fault) {
        self.0.faults.fail_until_healed(operation, fault);
    }

    /// Forgets all failures that are due.
    pub fn heal(&self) {
        self.0.faults.heal();
    }

    /// From now on every second memory-only lookup, by chance, answers [`Error::WouldBlock`]; `None` for none.
    pub fn set_cold(&self, chance: Option<Rng>) {
        *self.0.cold.lock() = chance;
    }

    /// How many batches were written and not flushed.
    pub fn unflushed_batches(&self) -> u64 {
        let state = self.0.state.read();
        state.newest - state.flushed
    }

    /// Batches below this may forget replaced values, once `flushed` is as given.
    fn floor(&self, flushed: u64) -> u64 {
        self.0.snapshots.lock().first_key_value().map_or(flushed, |(oldest, _)| flushed.min(*oldest))
    }
}

impl State {
    fn get(&self, key: &[u8], at: u64) -> Option<Bytes> {
        visible(self.records.get(key)?, at).cloned()
    }

    fn scan(&self, start: &[u8], end: &[u8], at: u64, order: Order, visit: &mut Visit<'_>) {
        if start >= end {
            return;
        }
        let range = self.records.range::<[u8], _>((Bound::Included(start), Bound::Excluded(end)));
        let shown = |(key, versions): (&Bytes, &Versions)| match visible(versions, at) {
            Some(value) => visit(key, value),
            None => std::ops::ControlFlow::Continue(()),
        };
        let _ = match order {
            Order::Forward => range.map(shown).find(|flow| flow.is_break()),
            Order::Backward => range.rev().map(shown).find(|flow| flow.is_break()),
        };
    }

    fn write(&mut self, mutations: &[Mutation]) {
        self.newest += 1;
        let mut keys = Vec::with_capacity(mutations.len());
        for mutation in mutations {
            self.unflushed_bytes += mutation.bytes() as u64;
            match mutation {
                Mutation::Put(key, value) => self.set(key.clone(), Some(value.clone()), &mut keys),
                Mutation::Delete(key) if self.records.contains_key(key) => self.set(key.clone(), None, &mut keys),
                Mutation::Delete(_) => {}
                Mutation::DeleteRange(start, end) => self.clear(start, end, &mut keys),
            }
        }
        self.journal.push_back((self.newest, keys));
    }

    fn clear(&mut self, start: &Bytes, end: &Bytes, keys: &mut Vec<Bytes>) {
        if start >= end {
            return;
        }
        let newest = self.newest;
        for (key, versions) in self.records.range_mut(start.clone()..end.clone()) {
            if versions.last().is_some_and(|(_, value)| value.is_some()) {
                push(versions, newest, None);
                keys.push(key.clone());
            }
        }
    }

    fn set(&mut self, key: Bytes, value: Option<Bytes>, keys: &mut Vec<Bytes>) {
        push(self.records.entry(key.clone()).or_default(), self.newest, value);
        keys.push(key);
    }

    /// Drops versions that nothing at or above batch `floor` can show.
    fn prune(&mut self, floor: u64) {
        while let Some((_, keys)) = self.journal.pop_front_if(|(batch, _)| *batch <= floor) {
            for key in keys {
                let Some(versions) = self.records.get_mut(&key) else { continue };
                let first_needed = versions.iter().rposition(|(written, _)| *written <= floor).unwrap_or(0);
                versions.drain(..first_needed);
                if matches!(versions[..], [(written, None)] if written <= floor) {
                    self.records.remove(&key);
                }
            }
        }
    }
}

/// What a record held after batch `at`.
fn visible(versions: &Versions, at: u64) -> Option<&Bytes> {
    versions.iter().rev().find(|(written, _)| *written <= at)?.1.as_ref()
}

fn push(versions: &mut Versions, batch: u64, value: Option<Bytes>) {
    match versions.last_mut() {
        Some((written, last)) if *written == batch => *last = value,
        _ => versions.push((batch, value)),
    }
}

impl Read for MemoryEngine {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>> {
        self.0.faults.around(Operation::Read, || {
            let state = self.0.state.read_recursive();
            Ok(state.get(key, state.newest))
        })
    }

    fn scan(&self, start: &[u8], end: &[u8], order: Order, visit: &mut Visit<'_>) -> Result<()> {
        self.0.faults.around(Operation::Read, || {
            // Recursive, because a visitor may look other records up.
            let state = self.0.state.read_recursive();
            state.scan(start, end, state.newest, order, visit);
            Ok(())
        })
    }
}

impl Engine for MemoryEngine {
    fn write(&self, batch: &Batch) -> Result<()> {
        self.0.faults.around(Operation::Write, || {
            let mut state = self.0.state.write();
            state.write(&batch.mutations);
            let floor = self.floor(state.flushed);
            state.prune(floor);
            Ok(())
        })
    }

    fn get_in_memory(&self, key: &[u8]) -> Result<Option<Bytes>> {
        if self.0.cold.lock().as_mut().is_some_and(|rng| rng.chance(1, 2)) {
            return Err(Error::WouldBlock);
        }
        self.get(key)
    }

    fn get_persisted(&self, key: &[u8]) -> Result<Option<Bytes>> {
        self.0.faults.around(Operation::Read, || {
            let state = self.0.state.read_recursive();
            Ok(state.get(key, state.flushed))
        })
    }

    fn snapshot(&self) -> Result<Snapshot> {
        self.0.faults.around(Operation::Read, || {
            let state = self.0.state.read_recursive();
            let (at, crashes) = (state.newest, state.crashes);
            *self.0.snapshots.lock().entry(at).or_default() += 1;
            Ok(Box::new(MemorySnapshot { shared: self.0.clone(), at, crashes }) as Snapshot)
        })
    }

    fn flush(&self) -> Result<()> {
        self.0.faults.around(Operation::Sync, || {
            let mut state = self.0.state.write();
            state.flushed = state.newest;
            state.unflushed_bytes = 0;
            let floor = self.floor(state.flushed);
            state.prune(floor);
            Ok(())
        })
    }

    fn ingest(&self, clear: &[(Bytes, Bytes)], records: &mut dyn Iterator<Item = Result<Record>>) -> Result<()> {
        let mut mutations: Vec<Mutation> =
            clear.iter().map(|(start, end)| Mutation::DeleteRange(start.clone(), end.clone())).collect();
        for record in records {
            mutations.push(match record? {
                (key, Some(value)) => Mutation::Put(key, value),
                (key, None) => Mutation::Delete(key),
            });
        }
        self.0.faults.around(Operation::Ingest, || {
            let mut state = self.0.state.write();
            state.write(&mutations);
            state.flushed = state.newest;
            state.unflushed_bytes = 0;
            let floor = self.floor(state.flushed);
            state.prune(floor);
            Ok(())
        })
    }

    fn figures(&self) -> Figures {
        let state = self.0.state.read_recursive();
        Figures { unflushed_bytes: state.unflushed_bytes, records: state.records.len() as u64, ..Figures::default() }
    }
}

/// The state after one batch.
struct MemorySnapshot {
    shared: Arc<Shared>,
    at: u64,
    crashes: u64,
}

impl MemorySnapshot {
    fn check(&self, state: &State) -> Result<()> {
        if state.crashes == self.crashes {
            return Ok(());
        }
        Err(Error::Io("the snapshot belongs to a life before the crash".into()))
    }
}

impl Read for MemorySnapshot {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>> {
        self.shared.faults.around(Operation::Read, || {
            let state = self.shared.state.read_recursive();
            self.check(&state)?;
            Ok(state.get(key, self.at))
        })
    }

    fn scan(&self, start: &[u8], end: &[u8], order: Order, visit: &mut Visit<'_>) -> Result<()> {
        self.shared.faults.around(Operation::Read, || {
            let state = self.shared.state.read_recursive();
            self.check(&state)?;
            state.scan(start, end, self.at, order, visit);
            Ok(())
        })
    }
}

impl Drop for MemorySnapshot {
    fn drop(&mut self) {
        // The versions it held go with the next write or flush. A crash has cleared the list already, and what is
        // in it now belongs to others.
        let state = self.shared.state.read_recursive();
        if state.crashes != self.crashes {
            return;
        }
        let mut snapshots = self.shared.snapshots.lock();
        if let Some(count) = snapshots.get_mut(&self.at) {
            *count -= 1;
            if *count == 0 {
                snapshots.remove(&self.at);
            }
        }
    }
}
