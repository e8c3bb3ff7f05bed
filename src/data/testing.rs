//! A keyspace over a plain map, for the tests of `data` and `command`.

use super::{Counts, Keyspace, Manner, Mode, Moment, Thresholds, Touched, Usage};
use crate::base::{GroupId, Millis, Rng, SlotRange};
use crate::store::Records;

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
        let wrong = super::audit(&self.store, GroupId(1), SlotRange::ALL, &self.counts).unwrap();
        assert_eq!(wrong, Vec::<String>::new());
    }
}
