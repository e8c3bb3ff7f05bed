//! Generations: what was written lately, in memory above any engine, with the same answers as without it.
//!
//! A batch goes to the newest generation, which is a few hash-like steps per record, and is readable there at once. A
//! flush freezes the newest generation, begins another, and hands the frozen one down whole, as one sorted, atomic and
//! durable ingestion. So the engine below never sees a single batch, many writes of one record reach it as one, and no
//! memtable is searched.
//!
//! Invariants: what is below is always a prefix of the batches, because generations go down whole and oldest first; a
//! lookup never answers with less than what some earlier lookup could have seen, because a generation is left only
//! after the engine below has its records; a batch becomes visible as a whole, by one number that readers compare with.
//!
//! Memory is bounded by what was written: [`Engine::wants_flush`] asks for a flush at one generation's worth, and a write
//! that finds several of them waiting flushes itself.

mod buckets;
mod points;

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Acquire, Ordering::Release};

use bytes::Bytes;
use parking_lot::{Mutex, RwLock};

use self::points::Generation;
use super::merge::merge;
use super::{Batch, Engine, Figures, Mutation, Order, Read, Record, Result, Snapshot, Visit};
use crate::base::Mutant;

/// Generations' worth of unflushed bytes at which a write flushes before it goes on.
const FULL_MAX: u64 = 4;
/// Frozen generations, which may be small, at which a write flushes before it goes on.
const FROZEN_MAX: usize = 8;

/// An engine with generations above it.
pub struct Generations {
    below: Arc<dyn Engine>,
    /// Bytes of a full generation.
    bytes_max: u64,
    shared: Arc<Shared>,
    /// Held by whoever hands something down. Locked before all others.
    flushing: Mutex<()>,
}

struct Shared {
    /// Held by whoever writes a batch or takes a view. Locked before `chain`.
    writer: Mutex<Writer>,
    /// Number of the newest batch that is visible.
    visible: AtomicU64,
    /// Read while generations are looked at, written to change which there are, or to remove a range from the newest.
    chain: RwLock<Chain>,
}

#[derive(Default)]
struct Writer {
    /// How many generations were begun: which one `live` is about.
    begun: u64,
    live: Live,
}

/// Views of the newest generation, by the number of the newest batch they show, with how many do.
#[derive(Default)]
struct Live(BTreeMap<u64, usize>);

impl Live {
    /// Whether a view shows a batch of these numbers as its newest.
    fn any_in(&self, batches: Range<u64>) -> bool {
        !self.0.is_empty() && self.0.range(batches).next().is_some()
    }
}

/// All generations.
struct Chain {
    newest: Arc<Generation>,
    /// Those on their way down, newest first.
    frozen: Vec<Arc<Generation>>,
}

impl Chain {
    fn freeze(&mut self) {
        let frozen = std::mem::replace(&mut self.newest, Arc::new(Generation::new()));
        self.frozen.insert(0, frozen);
    }

    /// Newest first.
    fn iter(&self) -> impl Iterator<Item = &Arc<Generation>> {
        std::iter::once(&self.newest).chain(&self.frozen)
    }

    fn bytes(&self) -> u64 {
        self.iter().map(|generation| generation.bytes()).sum()
    }
}

impl Generations {
    /// Lays generations of about `bytes_max` bytes over an engine, which nobody else writes.
    pub fn new(below: Arc<dyn Engine>, bytes_max: u64) -> Generations {
        let chain = Chain { newest: Arc::new(Generation::new()), frozen: Vec::new() };
        let shared = Shared { writer: Mutex::default(), visible: AtomicU64::new(0), chain: RwLock::new(chain) };
        Generations { below, bytes_max, shared: Arc::new(shared), flushing: Mutex::new(()) }
    }

    /// What the generations know of a record: `None` for nothing, `Some(None)` if it was removed.
    fn find(&self, key: &[u8]) -> Option<Option<Bytes>> {
        let chain = self.shared.chain.read();
        chain.iter().find_map(|generation| generation.newest(key, &self.shared.visible))
    }

    /// Freezes what was written and hands down everything frozen, oldest first. The caller holds `flushing`.
    fn hand_down(&self) -> Result<()> {
        self.shared.freeze();
        loop {
            let Some(oldest) = self.shared.chain.read().frozen.last().cloned() else { return Ok(()) };
            let removed = if Mutant::RemovedRangesStayBelow.is_in() { Vec::new() } else { oldest.removed() };
            self.below.ingest(&removed, &mut oldest.all().map(Ok))?;
            self.shared.chain.write().frozen.pop();
        }
    }

    /// Whether a write must wait for a flush.
    fn is_overfull(&self) -> bool {
        let chain = self.shared.chain.read();
        chain.frozen.len() >= FROZEN_MAX || chain.bytes() >= self.bytes_max.saturating_mul(FULL_MAX)
    }

    /// All generations as they are now, for one reader.
    fn view<B>(&self, below: impl FnOnce() -> Result<B>) -> Result<View<B>> {
        let mut writer = self.shared.writer.lock();
        let chain = self.shared.chain.read();
        // Under the lock no generation that this view does not know can go down.
        let below = below()?;
        let at = self.shared.visible.load(Acquire);
        *writer.live.0.entry(at).or_default() += 1;
        let generations = chain.iter().cloned().collect();
        Ok(View { shared: self.shared.clone(), begun: writer.begun, at, generations, below })
    }
}

impl Shared {
    /// Begins a generation, unless the newest is empty.
    fn freeze(&self) {
        let mut writer = self.writer.lock();
        let mut chain = self.chain.write();
        if chain.newest.bytes() > 0 {
            chain.freeze();
            writer.begin();
        }
    }
}

impl Writer {
    fn begin(&mut self) {
        self.begun += 1;
        self.live = Live::default();
    }
}

impl Read for Generations {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>> {
        self.find(key).map_or_else(|| self.below.get(key), Ok)
    }

    fn scan(&self, start: &[u8], end: &[u8], order: Order, visit: &mut Visit<'_>) -> Result<()> {
        self.view(|| Ok(self.below.as_ref()))?.scan(start, end, order, visit)
    }
}

impl Engine for Generations {
    fn write(&self, batch: &Batch) -> Result<()> {
        if batch.is_empty() {
            return Ok(());
        }
        if self.is_overfull() {
            self.flush()?;
        }
        let shared = &*self.shared;
        let mut writer = shared.writer.lock();
        let number = shared.visible.load(Acquire) + 1;
        let write = |newest: &Generation, live: &Live| {
            newest.write(number, &batch.mutations, live);
            shared.visible.store(number, Release);
        };
        if batch.mutations.iter().any(|mutation| matches!(mutation, Mutation::DeleteRange(..))) {
            // Nobody looks while points go away, and views keep the generation that they are of.
            let mut chain = shared.chain.write();
            if !writer.live.0.is_empty() {
                chain.freeze();
                writer.begin();
            }
            write(&chain.newest, &writer.live);
        } else {
            write(&shared.chain.read().newest, &writer.live);
        }
        Ok(())
    }

    fn get_in_memory(&self, key: &[u8]) -> Result<Option<Bytes>> {
        self.find(key).map_or_else(|| self.below.get_in_memory(key), Ok)
    }

    fn peek_in_memory(&self, key: &[u8]) -> Result<Option<Bytes>> {
        self.find(key).map_or_else(|| self.below.peek_in_memory(key), Ok)
    }

    fn get_persisted(&self, key: &[u8]) -> Result<Option<Bytes>> {
        if Mutant::WrittenCountsAsPersisted.is_in() {
            return self.get(key);
        }
        self.below.get_persisted(key)
    }

    fn snapshot(&self) -> Result<Snapshot> {
        Ok(Box::new(self.view(|| self.below.snapshot())?))
    }

    fn flush(&self) -> Result<()> {
        let _one_at_a_time = self.flushing.lock();
        self.hand_down()?;
        self.below.flush()
    }

    fn wants_flush(&self) -> bool {
        self.shared.chain.read().bytes() >= self.bytes_max
    }

    fn ingest(&self, clear: &[(Bytes, Bytes)], records: &mut dyn Iterator<Item = Result<Record>>) -> Result<()> {
        let _one_at_a_time = self.flushing.lock();
        // What was written before must not lie over what is ingested.
        self.hand_down()?;
        self.below.ingest(clear, records)
    }

    fn figures(&self) -> Figures {
        let below = self.below.figures();
        let chain = self.shared.chain.read();
        Figures {
            unflushed_bytes: below.unflushed_bytes + chain.bytes(),
            records: below.records + chain.iter().map(|generation| generation.points()).sum::<u64>(),
            ..below
        }
    }
}

/// All generations, newest first, after one batch, over a view of the engine below.
struct View<B> {
    shared: Arc<Shared>,
    /// Which generation is the first.
    begun: u64,
    at: u64,
    generations: Vec<Arc<Generation>>,
    below: B,
}

impl<B> Drop for View<B> {
    fn drop(&mut self) {
        let mut writer = self.shared.writer.lock();
        // A frozen generation keeps what it has.
        if writer.begun == self.begun
            && let Some(count) = writer.live.0.get_mut(&self.at)
        {
            *count -= 1;
            if *count == 0 {
                writer.live.0.remove(&self.at);
            }
        }
    }
}

impl<B: Read> View<B> {
    fn layers(&self) -> Layers<'_> {
        Layers { generations: &self.generations, at: self.at, below: &self.below }
    }
}

impl<B: Read> Read for View<B> {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>> {
        self.layers().get(key)
    }

    fn scan(&self, start: &[u8], end: &[u8], order: Order, visit: &mut Visit<'_>) -> Result<()> {
        self.layers().scan(start, end, order, visit)
    }
}

/// Some of a view's generations, down to the engine.
struct Layers<'a> {
    generations: &'a [Arc<Generation>],
    at: u64,
    below: &'a dyn Read,
}

impl Read for Layers<'_> {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>> {
        let found = self.generations.iter().find_map(|generation| generation.at(key, self.at));
        found.map_or_else(|| self.below.get(key), Ok)
    }

    fn scan(&self, start: &[u8], end: &[u8], order: Order, visit: &mut Visit<'_>) -> Result<()> {
        let Some((newest, older)) = self.generations.split_first() else {
            return self.below.scan(start, end, order, visit);
        };
        let gaps = newest.gaps(start, end);
        let gaps = gaps.iter().map(|(start, end)| (&start[..], &end[..])).collect();
        let older = Layers { generations: older, ..*self };
        merge(&older, gaps, order, newest.scan(start, end, self.at, order), visit)
    }
}
