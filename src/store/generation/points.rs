//! One generation: the records that were written while it was the newest, and the ranges that were removed.
//!
//! Records lie in buckets, one for each slot, and in order within a bucket: a lookup costs an index and a short search,
//! and a scan finds its records in order. What belongs to no slot shares the last bucket.
//!
//! Invariants: every value carries the number of the batch that wrote it, and the value before it is kept until the next
//! write of the record, or longer while a view needs it. So a reader that may see batches up to some number finds what
//! they made of a record although newer ones are being written. A point is newer than every removed range that holds
//! it, because removing a range takes its points along; the owner lets nobody look while that happens.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Acquire, Ordering::Relaxed, Ordering::Release};

use bytes::Bytes;
use parking_lot::RwLock;

use super::Live;
use super::buckets::{BUCKETS, Buckets};
use crate::store::map_key::{Comparable, Key, Sought};
use crate::store::merge::Ranges;
use crate::store::{Mutation, Order, Record};

/// Points that a scan copies out of a bucket at a time.
const CHUNK: usize = 64;
/// What a point needs beside its key and value, roughly: its place in the bucket and its share of a log entry.
const OVERHEAD_BYTES: u64 = 128;

type Bucket = RwLock<BTreeMap<Key, Point>>;

/// A generation. Changed by one thread at a time.
pub(super) struct Generation {
    buckets: Buckets<Bucket>,
    removed: RwLock<Ranges>,
    any_removed: AtomicBool,
    bytes: AtomicU64,
    points: AtomicU64,
}

/// A record as one batch left it; `None` says that there is none.
struct Point {
    batch: u64,
    value: Option<Bytes>,
    older: Option<Box<Point>>,
}

impl Point {
    /// Lays a newer value over this one. Of the older ones stays what a view may still be asked for.
    fn replace(&mut self, batch: u64, value: Option<Bytes>, live: &Live) {
        if self.batch == batch {
            self.value = value;
            return;
        }
        let mut before = Point { batch: self.batch, value: self.value.take(), older: self.older.take() };
        if let Some(older) = before.older.take() {
            let needed = live.any_in(older.batch..before.batch);
            before.older = if needed { Some(older) } else { older.older };
        }
        *self = Point { batch, value, older: Some(Box::new(before)) };
    }

    /// The newest value of a batch up to `at`.
    fn at(&self, at: u64) -> Option<&Point> {
        let mut point = self;
        while point.batch > at {
            point = point.older.as_deref()?;
        }
        Some(point)
    }
}

impl Generation {
    pub fn new() -> Generation {
        Generation {
            buckets: Buckets::new(),
            removed: RwLock::default(),
            any_removed: AtomicBool::new(false),
            bytes: AtomicU64::new(0),
            points: AtomicU64::new(0),
        }
    }

    /// Bytes of everything that was written to it, replaced values included: the log entries of all of them are kept.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Relaxed)
    }

    /// Records in it, removed ones included.
    pub fn points(&self) -> u64 {
        self.points.load(Relaxed)
    }

    /// Takes the mutations of batch number `batch`. For a removed range nobody may look at the generation meanwhile,
    /// and no view may need what was before.
    pub fn write(&self, batch: u64, mutations: &[Mutation], live: &Live) {
        let mut bytes = 0;
        for mutation in mutations {
            bytes += mutation.bytes() as u64 + OVERHEAD_BYTES;
            match mutation {
                Mutation::Put(key, value) => self.set(batch, key, Some(value.clone()), live),
                Mutation::Delete(key) => self.set(batch, key, None, live),
                Mutation::DeleteRange(start, end) => self.remove_range(start, end),
            }
        }
        self.bytes.fetch_add(bytes, Relaxed);
    }

    fn set(&self, batch: u64, key: &Bytes, value: Option<Bytes>, live: &Live) {
        let mut bucket = self.buckets.make(bucket_of(key)).write();
        if let Some(point) = bucket.get_mut(&Sought::from(&key[..]) as &dyn Comparable) {
            return point.replace(batch, value, live);
        }
        bucket.insert(key.clone().into(), Point { batch, value, older: None });
        self.points.fetch_add(1, Relaxed);
    }

    fn remove_range(&self, start: &Bytes, end: &Bytes) {
        if start >= end {
            return;
        }
        let (mut first, last) = (bucket_of(start), bucket_of(end));
        while let Some((number, bucket)) = self.buckets.first_made(first, last) {
            first = number + 1;
            let mut bucket = bucket.write();
            let before = bucket.len();
            let range = Key::from(start.clone())..Key::from(end.clone());
            let covered: Vec<Key> = bucket.range(range).map(|(key, _)| key.clone()).collect();
            covered.iter().for_each(|key| drop(bucket.remove(key)));
            self.points.fetch_sub((before - bucket.len()) as u64, Relaxed);
        }
        self.removed.write().insert(start.clone(), end.clone());
        self.any_removed.store(true, Release);
    }

    /// What the newest finished batch left of a record: `None` if this generation knows nothing of it, `Some(None)` if
    /// it was removed. `visible` is the number of that batch.
    pub fn newest(&self, key: &[u8], visible: &AtomicU64) -> Option<Option<Bytes>> {
        // Read after the bucket was locked: whoever wrote what is in it has finished all batches before that one.
        self.find(key, || visible.load(Acquire))
    }

    /// Like [`Generation::newest`] for a view, which sees batches up to `at` and has what it needs kept.
    pub fn at(&self, key: &[u8], at: u64) -> Option<Option<Bytes>> {
        self.find(key, || at)
    }

    fn find(&self, key: &[u8], at: impl FnOnce() -> u64) -> Option<Option<Bytes>> {
        let found = self.buckets.get(bucket_of(key)).and_then(|bucket| {
            let bucket = bucket.read();
            let point = bucket.get(&Sought::from(key) as &dyn Comparable)?;
            Some(point.at(at())?.value.clone())
        });
        found.or_else(|| self.is_removed(key).then_some(None))
    }

    fn is_removed(&self, key: &[u8]) -> bool {
        self.any_removed.load(Acquire) && self.removed.read().contains(key)
    }

    /// The ranges that were removed, ascending.
    pub fn removed(&self) -> Vec<(Bytes, Bytes)> {
        self.removed.read().iter().map(|(start, end)| (start.clone(), end.clone())).collect()
    }

    /// The parts of `start..end` that were not removed, ascending.
    pub fn gaps(&self, start: &[u8], end: &[u8]) -> Vec<(Bytes, Bytes)> {
        let removed = self.removed.read();
        let owned = |(start, end)| (Bytes::copy_from_slice(start), Bytes::copy_from_slice(end));
        removed.gaps(start, end).into_iter().map(owned).collect()
    }

    /// The records in `start..end` as batches up to `at` left them, in order; `None` for removed ones.
    pub fn scan<'a>(&'a self, start: &[u8], end: &[u8], at: u64, order: Order) -> Scan<'a> {
        // A range of a map must not end before it starts.
        let (first, last) = if start < end { (bucket_of(start), bucket_of(end)) } else { (1, 0) };
        Scan {
            generation: self,
            at,
            order,
            from: Bound::Included(Bytes::copy_from_slice(start).into()),
            to: Bound::Excluded(Bytes::copy_from_slice(end).into()),
            buckets: (first, last),
            chunk: VecDeque::new(),
        }
    }

    /// All records, in order: of a generation that does not change any more.
    pub fn all(&self) -> impl Iterator<Item = Record> {
        let records = |bucket: &Bucket| -> Vec<_> {
            bucket.read().iter().map(|(key, point)| (key.bytes().clone(), point.value.clone())).collect()
        };
        self.buckets.iter().flat_map(records)
    }
}

/// Which bucket a record lies in: those of smaller keys are not behind those of larger ones.
fn bucket_of(key: &[u8]) -> usize {
    let prefix = u16::from_be_bytes([key.first().copied().unwrap_or(0), key.get(1).copied().unwrap_or(0)]);
    usize::from(prefix).min(BUCKETS - 1)
}

/// See [`Generation::scan`]. No bucket is locked between two records.
pub(super) struct Scan<'a> {
    generation: &'a Generation,
    at: u64,
    order: Order,
    from: Bound<Key>,
    to: Bound<Key>,
    /// First and last bucket that may still have records; none if the last is before the first.
    buckets: (usize, usize),
    chunk: VecDeque<Record>,
}

impl Scan<'_> {
    /// Copies the next records out of the bucket that is next; false when the scan has ended.
    fn fill(&mut self) -> bool {
        let (first, last) = self.buckets;
        let next = match self.order {
            Order::Forward => self.generation.buckets.first_made(first, last),
            Order::Backward => self.generation.buckets.last_made(first, last),
        };
        let Some((number, bucket)) = next else { return false };
        let bucket = bucket.read();
        let range = (self.from.clone(), self.to.clone());
        let shown = |(key, point): (&Key, &Point)| {
            let shown = point.at(self.at).map(|point| (key.bytes().clone(), point.value.clone()));
            (key.clone(), shown)
        };
        let mut seen = 0;
        let mut reached = None;
        let mut take = |(key, shown): (Key, Option<Record>)| {
            seen += 1;
            reached = Some(key);
            self.chunk.extend(shown);
        };
        match self.order {
            Order::Forward => bucket.range(range).map(shown).take(CHUNK).for_each(&mut take),
            Order::Backward => bucket.range(range).rev().map(shown).take(CHUNK).for_each(&mut take),
        }
        match (self.order, reached) {
            (Order::Forward, Some(key)) if seen == CHUNK => self.from = Bound::Excluded(key),
            (Order::Backward, Some(key)) if seen == CHUNK => self.to = Bound::Excluded(key),
            (Order::Forward, _) => self.buckets.0 = number + 1,
            // There is no bucket before the first.
            (Order::Backward, _) if number == 0 => self.buckets = (1, 0),
            (Order::Backward, _) => self.buckets.1 = number - 1,
        }
        true
    }
}

impl Iterator for Scan<'_> {
    type Item = Record;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(record) = self.chunk.pop_front() {
                return Some(record);
            }
            if !self.fill() {
                return None;
            }
        }
    }
}
