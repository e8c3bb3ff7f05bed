//! A keyspace over a plain map, for the tests of `data` and `command`.

use std::cell::Cell;

use bytes::Bytes;

use super::{Counts, Events, Keyspace, Manner, Mode, Moment, Thresholds, Touched, Usage};
use crate::base::{GroupId, Millis, Nobody, Publication, Rng, SlotRange};
use crate::store::{self, Order, Read, Records, Visit, Write};

/// Everything a keyspace borrows.
pub struct World {
    pub store: Records,
    pub counts: Counts,
    pub touched: Vec<Touched>,
    pub events: Events,
    pub rng: Rng,
    pub moment: Moment,
    pub mode: Mode,
    pub thresholds: Thresholds,
    pub usage: Usage,
    pub slots: SlotRange,
}

impl World {
    /// A leader's empty keyspace at this moment (milliseconds).
    pub fn new(now: u64) -> World {
        World {
            store: Records::default(),
            counts: Counts::default(),
            touched: Vec::new(),
            events: Events::default(),
            rng: Rng::new(1),
            moment: Moment { stamp: Millis(now), clock: Millis(now) },
            mode: Mode::Leader,
            thresholds: Thresholds::default(),
            usage: Usage::default(),
            slots: SlotRange::ALL,
        }
    }

    /// Works on the keyspace.
    pub fn keys<T>(&mut self, work: impl FnOnce(&mut Keyspace<'_>) -> T) -> T {
        let mut records = std::mem::take(&mut self.store);
        let result = self.keys_over(&mut records, work);
        self.store = records;
        result
    }

    /// Works on the keyspace, and returns how many bytes of records that writes or deletes: what an entry carries.
    pub fn written(&mut self, work: impl FnOnce(&mut Keyspace<'_>)) -> usize {
        self.costs(work).bytes
    }

    /// Works on the keyspace, and returns what that costs.
    pub fn costs(&mut self, work: impl FnOnce(&mut Keyspace<'_>)) -> Costs {
        let mut counting =
            Counting { records: std::mem::take(&mut self.store), costs: Costs::default(), reads: Cell::new(0) };
        self.keys_over(&mut counting, work);
        self.store = counting.records;
        Costs { reads: counting.reads.get(), ..counting.costs }
    }

    /// Works on the keyspace over other records.
    pub fn keys_over<T>(&mut self, store: &mut dyn Write, work: impl FnOnce(&mut Keyspace<'_>) -> T) -> T {
        work(&mut Keyspace {
            store,
            group: GroupId(1),
            slots: self.slots,
            moment: self.moment,
            mode: self.mode,
            counts: &mut self.counts,
            touched: &mut self.touched,
            events: &mut self.events,
            rng: &mut self.rng,
            thresholds: self.thresholds,
            usage: &self.usage,
            audience: &Nobody,
            manner: Manner::default(),
            named: Bytes::new(),
        })
    }

    /// Recounts everything: counts, expiry index and elements must be those of the heads.
    #[track_caller]
    pub fn audit(&self) {
        let wrong = super::audit(&self.store, GroupId(1), SlotRange::ALL, &self.counts).unwrap();
        assert_eq!(wrong, Vec::<String>::new());
    }
}

/// What an evaluation costs, in records. One that is written twice counts twice: an upper bound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Costs {
    /// Records that were looked up, and those that scans visited.
    pub reads: usize,
    /// Records that were written or deleted, and ranges that were.
    pub writes: usize,
    /// Bytes of those.
    pub bytes: usize,
}

/// Records that count what is done to them.
struct Counting {
    records: Records,
    costs: Costs,
    reads: Cell<usize>,
}

impl Counting {
    fn wrote(&mut self, bytes: usize) {
        self.costs.writes += 1;
        self.costs.bytes += bytes;
    }
}

impl Read for Counting {
    fn get(&self, key: &[u8]) -> store::Result<Option<Bytes>> {
        self.reads.update(|reads| reads + 1);
        self.records.get(key)
    }

    fn scan(&self, start: &[u8], end: &[u8], order: Order, visit: &mut Visit<'_>) -> store::Result<()> {
        self.records.scan(start, end, order, &mut |record, value| {
            self.reads.update(|reads| reads + 1);
            visit(record, value)
        })
    }
}

impl Write for Counting {
    fn publish(&mut self, publication: Publication) {
        self.wrote(publication.bytes());
        self.records.publish(publication);
    }

    fn put(&mut self, key: Bytes, value: Bytes) {
        self.wrote(key.len() + value.len());
        self.records.put(key, value);
    }

    fn delete(&mut self, key: Bytes) {
        self.wrote(key.len());
        self.records.delete(key);
    }

    fn delete_range(&mut self, start: Bytes, end: Bytes) {
        self.wrote(start.len() + end.len());
        self.records.delete_range(start, end);
    }
}
