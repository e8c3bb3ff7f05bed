//! L1: hot records in memory above any engine, with the same answers as without it.
//!
//! Invariant: a lookup never answers with less than what some earlier lookup could have seen. A write first makes
//! its cells (see [`cells`]) unsure, so that lookups there go to the engine, then writes the engine, then updates
//! the cached copies, then makes the cells sure again. A copy is stored by a lookup only if its cell did not change
//! since before the engine was read (rule 38). So no lookup waits for a write or for another lookup's disk read, as
//! it would behind one lock over engine and cache.
//!
//! A write updates a record only where it is cached: an insertion costs as much as the memtable's. Group records
//! are not cached, their only reader keeps them itself. Scans and snapshots go to the engine.

mod cells;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use foldhash::quality::FixedState;
use moka::policy::EvictionPolicy;
use moka::sync::Cache;

use self::cells::{Begun, Cells, Seen};
use super::{Batch, Engine, Figures, Mutation, Order, Read, Record, Result, Snapshot, Visit, keys};
use crate::base::{Mutant, SlotRange};

/// What the cache itself needs per record, roughly: map, counters and queues.
const OVERHEAD_BYTES: usize = 160;

/// Which records stay.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Policy {
    /// The frequently used ones; one pass over many cold records does not flush them out.
    #[default]
    TinyLfu,
    /// The recently used ones.
    Lru,
}

/// An engine with a cache of records above it.
pub struct CachedEngine {
    engine: Arc<dyn Engine>,
    cache: Cache<Bytes, Copied, FixedState>,
    cells: Cells,
    /// A larger record would push out too many others.
    record_bytes_max: usize,
    hits: AtomicU64,
    misses: AtomicU64,
}

/// What a lookup read of the engine, before it is kept as a copy.
#[derive(Debug)]
pub struct Fill {
    seen: Seen,
    value: Option<Bytes>,
}

/// A record as cached; `None` says that there is none.
#[derive(Clone)]
struct Copied {
    generation: u64,
    value: Option<Bytes>,
}

impl CachedEngine {
    /// Caches records of `engine` in up to `bytes` bytes, keys and the cache's own needs counted.
    pub fn new(engine: Arc<dyn Engine>, bytes: u64, policy: Policy) -> CachedEngine {
        let policy = match policy {
            Policy::TinyLfu => EvictionPolicy::tiny_lfu(),
            Policy::Lru => EvictionPolicy::lru(),
        };
        let weight = |key: &Bytes, copied: &Copied| {
            let bytes = OVERHEAD_BYTES + key.len() + copied.value.as_ref().map_or(0, Bytes::len);
            u32::try_from(bytes).unwrap_or(u32::MAX)
        };
        CachedEngine {
            engine,
            cache: Cache::builder()
                .max_capacity(bytes)
                .eviction_policy(policy)
                .weigher(weight)
                .build_with_hasher(FixedState::default()),
            cells: Cells::new(),
            record_bytes_max: usize::try_from(bytes / 16).unwrap_or(usize::MAX),
            hits: AtomicU64::new(0),
            misses: AtomicU64::new(0),
        }
    }

    /// Forgets the copies of a range of slots, as after a change of leadership.
    pub fn new_generation(&self, slots: SlotRange) {
        let (start, end) = keys::slots(slots);
        for cell in cells::of_range(&start, &end) {
            let begun = self.cells.begin(cell);
            self.cells.end(&begun, |_| self.cells.new_generation(cell));
        }
    }

    /// The first half of a lookup that misses; [`CachedEngine::keep`] is the other. For a caller on whose only thread
    /// something is to happen in between, as it may in production. `None`: no lookup would miss.
    pub fn begin_fill(&self, key: &[u8]) -> Result<Option<Fill>> {
        let Some(cell) = cells::of_key(key) else { return Ok(None) };
        let seen = self.cells.look(cell);
        if self.copy(&seen, key).is_some() {
            return Ok(None);
        }
        Ok(Some(Fill { seen, value: self.engine.get(key)? }))
    }

    /// Keeps what a lookup read as a copy, unless that may be out of date by now.
    pub fn keep(&self, key: &[u8], fill: &Fill) {
        if self.fits(key, fill.value.as_ref()) {
            self.cells.if_unchanged(&fill.seen, |generation| {
                self.cache.insert(Bytes::copy_from_slice(key), Copied { generation, value: fill.value.clone() });
            });
        }
    }

    /// Answers from the cache, or from `read` and then keeps a copy.
    fn get_through(&self, key: &[u8], read: impl FnOnce() -> Result<Option<Bytes>>) -> Result<Option<Bytes>> {
        let Some(cell) = cells::of_key(key) else { return read() };
        let seen = self.cells.look(cell);
        if let Some(copied) = self.copy(&seen, key) {
            self.hits.fetch_add(1, Ordering::Relaxed);
            return Ok(copied.value);
        }
        self.misses.fetch_add(1, Ordering::Relaxed);
        let fill = Fill { seen, value: read()? };
        self.keep(key, &fill);
        Ok(fill.value)
    }

    fn fits(&self, key: &[u8], value: Option<&Bytes>) -> bool {
        OVERHEAD_BYTES + key.len() + value.map_or(0, Bytes::len) <= self.record_bytes_max
    }

    /// The copy of a record, if there is one that may be believed.
    fn copy(&self, seen: &Seen, key: &[u8]) -> Option<Copied> {
        let generation = seen.sure_generation()?;
        self.cache.get(key).filter(|copied| copied.generation == generation)
    }

    /// After the engine holds them: brings the copies of one cell's mutations up to date.
    fn update<'a>(&self, cell: usize, mutations: impl Iterator<Item = &'a Mutation> + Clone) {
        if !self.cells.is_used(cell) {
            return;
        }
        if mutations.clone().any(|mutation| matches!(mutation, Mutation::DeleteRange(..))) {
            self.cells.new_generation(cell);
            return;
        }
        let generation = self.cells.generation(cell);
        for mutation in mutations {
            let (key, value) = match mutation {
                Mutation::Put(key, value) => (key, Some(value)),
                Mutation::Delete(key) => (key, None),
                Mutation::DeleteRange(..) => continue,
            };
            if !self.cache.contains_key(key) {
                continue;
            }
            if !self.fits(key, value) {
                self.cache.invalidate(key);
                continue;
            }
            // Copied, because the bytes of a mutation are a part of its whole log entry, which they would keep.
            let value = value.map(|value| Bytes::copy_from_slice(value));
            self.cache.insert(Bytes::copy_from_slice(key), Copied { generation, value });
        }
    }

    /// The record is not what the engine holds or may not be: lookups must ask the engine.
    fn forget(&self, begun: &[Begun]) {
        for begun in begun {
            self.cells.end(begun, |_| self.cells.new_generation(begun.cell));
        }
    }
}

/// Cell and place of every mutation, sorted: those of a cell lie together, in their order. A removed range is in every
/// cell it may touch.
fn by_cell(batch: &Batch) -> Vec<(usize, usize)> {
    let mut places = Vec::with_capacity(batch.mutations.len());
    for (place, mutation) in batch.mutations.iter().enumerate() {
        match mutation {
            Mutation::Put(key, _) | Mutation::Delete(key) => {
                places.extend(cells::of_key(key).map(|cell| (cell, place)));
            }
            Mutation::DeleteRange(start, end) => {
                places.extend(cells::of_range(start, end).map(|cell| (cell, place)));
            }
        }
    }
    places.sort_unstable();
    places
}

impl Read for CachedEngine {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>> {
        self.get_through(key, || self.engine.get(key))
    }

    fn scan(&self, start: &[u8], end: &[u8], order: Order, visit: &mut Visit<'_>) -> Result<()> {
        self.engine.scan(start, end, order, visit)
    }
}

impl Engine for CachedEngine {
    fn write(&self, batch: &Batch) -> Result<()> {
        let places = by_cell(batch);
        let cells = || places.chunk_by(|one, other| one.0 == other.0);
        let begun: Vec<Begun> = cells().map(|of_cell| self.cells.begin(of_cell[0].0)).collect();
        if let Err(error) = self.engine.write(batch) {
            self.forget(&begun);
            return Err(error);
        }
        for (begun, of_cell) in begun.iter().zip(cells()) {
            self.cells.end(begun, |alone| {
                if alone {
                    self.update(begun.cell, of_cell.iter().map(|(_, place)| &batch.mutations[*place]));
                } else {
                    // Which of two writes came last only the engine knows.
                    self.cells.new_generation(begun.cell);
                }
            });
        }
        Ok(())
    }

    fn get_in_memory(&self, key: &[u8]) -> Result<Option<Bytes>> {
        self.get_through(key, || self.engine.get_in_memory(key))
    }

    fn peek_in_memory(&self, key: &[u8]) -> Result<Option<Bytes>> {
        match cells::of_key(key).and_then(|cell| self.copy(&self.cells.look(cell), key)) {
            Some(copied) => Ok(copied.value),
            None => self.engine.get_in_memory(key),
        }
    }

    fn get_persisted(&self, key: &[u8]) -> Result<Option<Bytes>> {
        self.engine.get_persisted(key)
    }

    fn snapshot(&self) -> Result<Snapshot> {
        self.engine.snapshot()
    }

    fn flush(&self) -> Result<()> {
        self.engine.flush()
    }

    fn ingest(&self, clear: &[(Bytes, Bytes)], records: &mut dyn Iterator<Item = Result<Record>>) -> Result<()> {
        let mut cleared: BTreeMap<usize, Begun> = BTreeMap::new();
        for cell in clear.iter().flat_map(|(start, end)| cells::of_range(start, end)) {
            cleared.entry(cell).or_insert_with(|| self.cells.begin(cell));
        }
        // Cells of records outside the cleared ranges are unsure before the engine has seen the record; no copy is made
        // in them from then on, so those that are there now are all.
        let mut touched: BTreeMap<usize, Begun> = BTreeMap::new();
        let mut copied = Vec::new();
        let mut records = records.inspect(|record| {
            let Ok((key, _)) = record else { return };
            let Some(cell) = cells::of_key(key).filter(|cell| !cleared.contains_key(cell)) else { return };
            touched.entry(cell).or_insert_with(|| self.cells.begin(cell));
            if self.cells.is_used(cell) && self.cache.contains_key(key) {
                copied.push(key.clone());
            }
        });
        let result = self.engine.ingest(clear, &mut records);
        self.forget(&cleared.into_values().collect::<Vec<_>>());
        if result.is_ok() && !Mutant::CopiesAreNotUpdated.is_in() {
            copied.iter().for_each(|key| self.cache.invalidate(key));
        }
        for begun in touched.values() {
            self.cells.end(begun, |alone| {
                if result.is_err() || !alone {
                    self.cells.new_generation(begun.cell);
                }
            });
        }
        result
    }

    fn figures(&self) -> Figures {
        Figures {
            l1_hits: self.hits.load(Ordering::Relaxed),
            l1_misses: self.misses.load(Ordering::Relaxed),
            l1_bytes: self.cache.weighted_size(),
            ..self.engine.figures()
        }
    }
}
