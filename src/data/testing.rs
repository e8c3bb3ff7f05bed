//! A keyspace over a plain map, for the tests of `data` and `command`.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use bytes::Bytes;

use super::{Counts, Head, Keyspace, Mode, Moment, Thresholds, Touched};
use crate::base::{GroupId, Millis, Rng, SlotRange};
use crate::store::{Order, Read, Result, Visit, Write, keys};

/// Records in a map.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Records(BTreeMap<Bytes, Bytes>);

impl Records {
    /// How many records there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }
}

impl Records {
    /// Every record, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&Bytes, &Bytes)> {
        self.0.iter()
    }
}

impl Read for Records {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>> {
        Ok(self.0.get(key).cloned())
    }

    fn scan(&self, start: &[u8], end: &[u8], order: Order, visit: &mut Visit<'_>) -> Result<()> {
        if start < end {
            let records = self.0.range::<[u8], _>((Bound::Included(start), Bound::Excluded(end)));
            let _ = match order {
                Order::Forward => records.into_iter().try_for_each(|(key, value)| visit(key, value)),
                Order::Backward => records.rev().try_for_each(|(key, value)| visit(key, value)),
            };
        }
        Ok(())
    }
}

impl Write for Records {
    fn put(&mut self, key: Bytes, value: Bytes) {
        self.0.insert(key, value);
    }

    fn delete(&mut self, key: Bytes) {
        self.0.remove(&key);
    }

    fn delete_range(&mut self, start: Bytes, end: Bytes) {
        self.0.retain(|key, _| *key < start || *key >= end);
    }
}

/// Everything a keyspace borrows.
pub struct World {
    pub store: Records,
    pub counts: Counts,
    pub touched: Vec<Touched>,
    pub rng: Rng,
    pub moment: Moment,
    pub mode: Mode,
    pub thresholds: Thresholds,
}

impl World {
    /// A leader's empty keyspace at this moment (milliseconds).
    pub fn new(now: u64) -> World {
        World {
            store: Records::default(),
            counts: Counts::default(),
            touched: Vec::new(),
            rng: Rng::new(1),
            moment: Moment { stamp: Millis(now), clock: Millis(now) },
            mode: Mode::Leader,
            thresholds: Thresholds { hash_entries_max: 64, hash_value_bytes_max: 64 },
        }
    }

    /// Works on the keyspace.
    pub fn keys<T>(&mut self, work: impl FnOnce(&mut Keyspace<'_>) -> T) -> T {
        work(&mut Keyspace {
            store: &mut self.store,
            group: GroupId(1),
            slots: SlotRange::ALL,
            moment: self.moment,
            mode: self.mode,
            counts: &mut self.counts,
            touched: &mut self.touched,
            rng: &mut self.rng,
            thresholds: self.thresholds,
        })
    }

    /// Recounts everything: counts, expiry index and elements must be those of the heads.
    #[track_caller]
    pub fn audit(&self) {
        let mut counts = Counts::default();
        let (mut due, mut indexed, mut spread) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        for (record, value) in self.store.iter() {
            if let Some(place) = keys::parse_head(record) {
                let head = Head::decode(value).unwrap();
                counts.keys[usize::from(place.db)] += 1;
                counts.expires[usize::from(place.db)] += u64::from(head.deadline.is_some());
                due.extend(head.deadline.map(|deadline| (deadline, record.clone())));
                if head.spread {
                    spread.insert((place.db, place.key));
                }
            } else if keys::slot_of(record).is_none() {
                let (deadline, head) = keys::parse_expiry(record).unwrap();
                indexed.insert((deadline, Bytes::copy_from_slice(head)));
            }
        }
        assert_eq!(self.counts, counts);
        assert_eq!(indexed, due);
        for element in self.store.iter().filter_map(|(record, _)| keys::parse_element(record)) {
            assert!(spread.contains(&(element.db, element.key)), "an element without its head: {element:?}");
        }
    }
}
