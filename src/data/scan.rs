//! Walking over the keys of a database: SCAN, KEYS, RANDOMKEY.
//!
//! Keys are walked in the order of their records, slot and then checksum. A place between two keys is two numbers
//! ([`Position`]), so a cursor needs no memory on the server and survives leader changes and restarts.
//!
//! Invariant: a key that exists during a whole iteration is reported at least once, because its position never
//! changes and keys of one position are reported together. A dead key is never reported; on the leader it is
//! deleted on the way, so that a key once missing stays missing.

use std::ops::ControlFlow;

use bytes::Bytes;

use super::{Keyspace, Kind, Mode, Result, peek};
use crate::base::slot::hash_tag;
use crate::base::{Slot, glob};
use crate::store::Order;
use crate::store::keys::{self, Position};

/// Seeks over records of other databases and elements that one SCAN call may take, if its COUNT is lower.
const SEEKS_MIN: u64 = 128;

/// A part of an iteration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scanned {
    /// Where to go on: 0 when all slots are done, another group's first slot when this group's are.
    pub cursor: u64,
    /// Keys of this part that passed the filter.
    pub keys: Vec<Bytes>,
}

/// Which keys an iteration reports.
#[derive(Clone, Copy, Debug, Default)]
pub struct Filter<'a> {
    /// A glob pattern; `None` reports every name.
    pub pattern: Option<&'a [u8]>,
    /// What the key holds.
    pub kind: Option<KindFilter>,
}

/// `SCAN ... TYPE`: an unknown name is not an error, it matches nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KindFilter {
    /// Keys of this type.
    Only(Kind),
    /// A name that is no type.
    Nothing,
}

impl Filter<'_> {
    fn admits(&self, key: &[u8], kind: Kind) -> bool {
        self.kind.is_none_or(|only| only == KindFilter::Only(kind))
            && self.pattern.is_none_or(|pattern| glob::matches(pattern, key))
    }
}

/// Called for each key; dead ones come without a type.
type Visit<'a> = dyn FnMut(keys::Head<'_>, Option<Kind>) -> ControlFlow<()> + 'a;

/// How far a walk goes.
struct Walk {
    db: u8,
    from: Position,
    until: Option<Slot>,
    seeks_max: u64,
}

impl Keyspace<'_> {
    /// One part of an iteration over a database: about `count` keys from `cursor` on are looked at.
    pub fn scan(&mut self, db: u8, cursor: u64, count: u64, filter: Filter<'_>) -> Result<Scanned> {
        let mut part = Scanned::default();
        let Some(from) = Position::from_cursor(cursor) else { return Ok(part) };
        let (mut seen, mut last, mut next) = (0, None, None);
        let walk = Walk { db, from, until: None, seeks_max: count.max(SEEKS_MIN) };
        let stopped = self.walk(walk, &mut |head, kind| {
            if seen >= count && last != Some(head.position()) {
                next = Some(head.position());
                return ControlFlow::Break(());
            }
            seen += 1;
            last = Some(head.position());
            if let Some(kind) = kind
                && filter.admits(head.key, kind)
            {
                part.keys.push(Bytes::copy_from_slice(head.key));
            }
            ControlFlow::Continue(())
        })?;
        part.cursor = next.or(stopped).or_else(|| self.after_last_slot()).map_or(0, Position::cursor);
        Ok(part)
    }

    /// All keys of a database that match a pattern (`None`: all).
    pub fn matching(&mut self, db: u8, pattern: Option<&[u8]>) -> Result<Vec<Bytes>> {
        let mut found = Vec::new();
        if let Some(key) = pattern.filter(|pattern| glob::is_literal(pattern)) {
            if self.slots.contains(Slot::of(key)) && self.lookup(db, key)?.is_some() {
                found.push(Bytes::copy_from_slice(key));
            }
            return Ok(found);
        }
        let only = pattern.and_then(slot_of_pattern);
        if only.is_some_and(|slot| !self.slots.contains(slot)) {
            return Ok(found);
        }
        let from = Position { slot: only.unwrap_or(self.slots.first), hash: 0 };
        let filter = Filter { pattern, kind: None };
        self.walk(Walk { db, from, until: only, seeks_max: u64::MAX }, &mut |head, kind| {
            if kind.is_some_and(|kind| filter.admits(head.key, kind)) {
                found.push(Bytes::copy_from_slice(head.key));
            }
            ControlFlow::Continue(())
        })?;
        Ok(found)
    }

    /// Any key of a database: a random slot among those with keys, then a random key of it.
    ///
    /// Both are drawn as the next one after a random place, so every key can come, but not evenly: one behind a wide
    /// gap comes more often. That costs two seeks; an even choice would need counts per slot.
    pub fn random_key(&mut self, db: u8) -> Result<Option<Bytes>> {
        let slots = u64::from(self.slots.last.get() - self.slots.first.get()) + 1;
        let number = self.slots.first.get() + self.rng.below(slots) as u16;
        let start = Slot::new(number).unwrap_or(self.slots.first);
        let hash = self.rng.next() as u32;
        let Some((slot, _)) = self
            .next_key(db, start, 0, self.slots.last)?
            .map_or_else(|| self.next_key(db, self.slots.first, 0, self.slots.last), |found| Ok(Some(found)))?
        else {
            return Ok(None);
        };
        let behind = self.next_key(db, slot, hash, slot)?;
        let found = if behind.is_some() { behind } else { self.next_key(db, slot, 0, slot)? };
        Ok(found.map(|(_, key)| key))
    }

    /// Visits the keys of one slot; none if the slot is another group's.
    pub fn visit_slot(&mut self, db: u8, slot: Slot, visit: &mut dyn FnMut(&[u8]) -> ControlFlow<()>) -> Result<()> {
        if self.slots.contains(slot) {
            let walk = Walk { db, from: Position { slot, hash: 0 }, until: Some(slot), seeks_max: u64::MAX };
            self.walk(walk, &mut |head, kind| kind.map_or(ControlFlow::Continue(()), |_| visit(head.key)))?;
        }
        Ok(())
    }

    /// The first living key at or after a place, up to the end of a slot.
    fn next_key(&mut self, db: u8, slot: Slot, hash: u32, until: Slot) -> Result<Option<(Slot, Bytes)>> {
        let mut found = None;
        let walk = Walk { db, from: Position { slot, hash }, until: Some(until), seeks_max: u64::MAX };
        self.walk(walk, &mut |head, kind| {
            if kind.is_none() {
                return ControlFlow::Continue(());
            }
            found = Some((head.slot, Bytes::copy_from_slice(head.key)));
            ControlFlow::Break(())
        })?;
        Ok(found)
    }

    /// Visits the keys of one database in order, dead ones without a type, and deletes the dead ones if this is the
    /// leader. Returns where it stopped because of `seeks_max`, if it did.
    fn walk(&mut self, walk: Walk, visit: &mut Visit<'_>) -> Result<Option<Position>> {
        let mut dead = Vec::new();
        let stopped = self.walk_records(&walk, &mut |head, kind| {
            if kind.is_none() {
                dead.push(Bytes::copy_from_slice(head.key));
            }
            visit(head, kind)
        })?;
        if self.mode == Mode::Leader {
            for key in dead {
                self.lookup(walk.db, &key)?;
            }
        }
        Ok(stopped)
    }

    fn walk_records(&self, walk: &Walk, visit: &mut Visit<'_>) -> Result<Option<Position>> {
        let first = Position { slot: self.slots.first, hash: 0 };
        let mut start = walk.from.max(first).seek(walk.db);
        let end = walk.until.map_or_else(|| keys::slots(self.slots).1, |slot| keys::heads(slot, walk.db).1);
        let mut seeks = 0;
        loop {
            let (mut next, mut failed) = (None, None);
            self.store.scan(&start, &end, Order::Forward, &mut |record, value| {
                let Some(head) = keys::parse_head(record).filter(|head| head.db == walk.db) else {
                    next = keys::next_heads(record, walk.db);
                    return ControlFlow::Break(());
                };
                self.living_kind(value).map_or_else(
                    |error| {
                        failed = Some(error);
                        ControlFlow::Break(())
                    },
                    |kind| visit(head, kind),
                )
            })?;
            if let Some(error) = failed {
                return Err(error);
            }
            seeks += 1;
            match next {
                Some(next) if next < end && seeks < walk.seeks_max => start = next,
                Some(next) if next < end => return Ok(keys::slot_of(&next).map(|slot| Position { slot, hash: 0 })),
                _ => return Ok(None),
            }
        }
    }

    /// The type of a head record, if its key is alive.
    fn living_kind(&self, record: &[u8]) -> Result<Option<Kind>> {
        let (kind, end) = peek(record)?;
        Ok(self.is_alive(end)?.then_some(kind))
    }

    /// Where the next group's slots start; `None` if this group has the last ones.
    fn after_last_slot(&self) -> Option<Position> {
        Slot::new(self.slots.last.get() + 1).map(|slot| Position { slot, hash: 0 })
    }
}

/// The one slot that a pattern's keys can be in: its part before the first special byte has a whole hash tag.
fn slot_of_pattern(pattern: &[u8]) -> Option<Slot> {
    let literal = pattern.split(|byte| b"*?[\\".contains(byte)).next()?;
    (hash_tag(literal).len() < literal.len()).then(|| Slot::of(literal))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{Millis, SlotRange};
    use crate::data::Head;
    use crate::data::testing::World;

    fn names(prefix: &str, count: usize) -> Vec<Bytes> {
        (0..count).map(|number| Bytes::from(format!("{prefix}{number}"))).collect()
    }

    fn world(names: &[Bytes]) -> World {
        let mut world = World::new(100);
        for name in names {
            for db in [0, 3] {
                world.keys(|keys| keys.set(db, name, None, Head::string("v")));
            }
        }
        world
    }

    fn iterate(world: &mut World, db: u8, count: u64, filter: Filter<'_>) -> Vec<Bytes> {
        let (mut cursor, mut found) = (0, Vec::new());
        loop {
            let part = world.keys(|keys| keys.scan(db, cursor, count, filter)).unwrap();
            found.extend(part.keys);
            cursor = part.cursor;
            if cursor == 0 {
                found.sort();
                return found;
            }
        }
    }

    #[test]
    fn an_iteration_reports_every_key_once() {
        let mut names = [names("k", 700), names("{one slot}", 300)].concat();
        let mut world = world(&names);
        names.sort();
        for (db, count) in [(0, 1), (3, 7), (3, 10_000)] {
            assert_eq!(iterate(&mut world, db, count, Filter::default()), names, "COUNT {count}");
        }
        assert_eq!(iterate(&mut world, 1, 1, Filter::default()), [] as [Bytes; 0]);
    }

    #[test]
    fn a_part_is_bounded_even_where_other_databases_are_large() {
        let mut world = world(&names("k", 2_000));
        let part = world.keys(|keys| keys.scan(1, 0, 10, Filter::default())).unwrap();
        assert!(part.cursor > 0 && part.keys.is_empty());
    }

    #[test]
    fn filters_leave_out_what_does_not_match() {
        let mut world = world(&names("k", 20));
        let pattern = Filter { pattern: Some(b"k1?"), kind: None };
        assert_eq!(iterate(&mut world, 0, 3, pattern).len(), 10);
        let hashes = Filter { pattern: None, kind: Some(KindFilter::Only(Kind::Hash)) };
        assert_eq!(iterate(&mut world, 0, 3, hashes), [] as [Bytes; 0]);
        let strings = Filter { pattern: None, kind: Some(KindFilter::Only(Kind::String)) };
        assert_eq!(iterate(&mut world, 0, 3, strings).len(), 20);
        let nothing = Filter { pattern: None, kind: Some(KindFilter::Nothing) };
        assert_eq!(iterate(&mut world, 0, 3, nothing), [] as [Bytes; 0]);
    }

    #[test]
    fn a_group_reports_its_own_slots_and_where_the_next_group_starts() {
        let names = names("k", 1_000);
        let mut world = world(&names);
        let mut found = 0;
        for slots in SlotRange::divide(3) {
            let part = world.keys(|keys| {
                keys.slots = slots;
                keys.scan(0, 0, 10_000, Filter::default()).unwrap()
            });
            assert!(part.keys.iter().all(|key| slots.contains(Slot::of(key))));
            found += part.keys.len();
            let next = Slot::new(slots.last.get() + 1);
            assert_eq!(part.cursor, next.map_or(0, |slot| u64::from(slot.get()) << 32));
            let all = world.keys(|keys| {
                keys.slots = slots;
                keys.matching(0, None).unwrap()
            });
            assert_eq!(all.len(), part.keys.len());
        }
        assert_eq!(found, names.len());
    }

    #[test]
    fn patterns_that_name_a_slot_or_a_key_find_the_same() {
        let names = [names("{tag}k", 20), names("k", 20)].concat();
        let mut world = world(&names);
        let mut count = |pattern: &[u8]| world.keys(|keys| keys.matching(0, Some(pattern))).unwrap().len();
        assert_eq!(count(b"{tag}*"), 20);
        assert_eq!(count(b"{tag}k1?"), 10);
        assert_eq!(count(b"{ta*"), 20);
        assert_eq!(count(b"*k7"), 2);
        assert_eq!(count(b"k7"), 1);
        assert_eq!(count(b"k70"), 0);
        assert_eq!(slot_of_pattern(b"{}*"), None);
        assert_eq!(slot_of_pattern(b"{a*}"), None);
        assert_eq!(slot_of_pattern(b"x{a}*"), Some(Slot::of(b"a")));
    }

    #[test]
    fn dead_keys_are_not_reported_and_end_on_the_leader() {
        let mut world = world(&names("k", 3));
        let dying = Head::string("v").with_deadline(Some(Millis(150)));
        world.keys(|keys| keys.set(1, &Bytes::from("dying"), None, dying));
        assert_eq!(world.keys(|keys| keys.random_key(1)).unwrap().unwrap(), "dying");
        world.moment.stamp = Millis(150);
        world.mode = Mode::Local;
        assert_eq!(world.keys(|keys| keys.matching(1, None)).unwrap(), [] as [Bytes; 0]);
        assert_eq!(world.counts.keys[1], 1);
        world.mode = Mode::Leader;
        assert_eq!(world.keys(|keys| keys.random_key(1)), Ok(None));
        assert_eq!(world.counts.keys[1], 0);
    }

    #[test]
    fn every_key_can_be_the_random_one() {
        for names in [names("k", 20), names("{one slot}", 20)] {
            let mut world = world(&names);
            let mut seen = std::collections::BTreeSet::new();
            for _ in 0..2_000 {
                seen.insert(world.keys(|keys| keys.random_key(0)).unwrap().unwrap());
            }
            assert!(seen.len() >= 18, "{seen:?}");
        }
    }
}
