//! A keyspace over a plain map, for the tests of `data` and `command`.

use std::collections::BTreeSet;

use bytes::Bytes;

use super::{Counts, Head, Keyspace, Manner, Mode, Moment, Thresholds, Touched, Usage};
use crate::base::{GroupId, Millis, Rng, SlotRange};
use crate::store::{Records, keys};

/// Everything a keyspace borrows.
pub struct World {
    pub store: Records,
    pub counts: Counts,
    pub touched: Vec<Touched>,
    pub rng: Rng,
    pub moment: Moment,
    pub mode: Mode,
    pub thresholds: Thresholds,
    pub usage: Usage,
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
            thresholds: Thresholds::default(),
            usage: Usage::default(),
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
            usage: &self.usage,
            manner: Manner::default(),
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
