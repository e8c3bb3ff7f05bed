//! Changes that do not care what a key holds: copying, renaming and moving values, emptying databases.
//!
//! Invariant: element records follow their key, and an emptied database leaves no record, no count and no entry of
//! the expiry index behind.

use std::ops::ControlFlow;

use bytes::{Bytes, BytesMut};

use super::{Error, Head, Keyspace, Result};
use crate::base::limits::DATABASES;
use crate::base::{Millis, Slot};
use crate::store::keys::{self, GroupKind};
use crate::store::{self, Order};

/// Reads an entry of an index of deadlines.
type ParseDeadline = fn(&[u8]) -> store::Result<(Millis, &[u8])>;

impl Keyspace<'_> {
    /// Copies a value with its deadline. `value` is what a lookup found at `from`, `before` what it found at `to`;
    /// the two places differ. One whose records do not fit into an entry is [`Error::TooLarge`], and nothing changes.
    pub fn copy(&mut self, from: (u8, &Bytes), value: &Head, to: (u8, &Bytes), before: Option<&Head>) -> Result<()> {
        let elements = if value.spread { self.copied_elements(from, to)? } else { Vec::new() };
        // Removing first also takes the elements of what was there: a spread value over a spread one must not mix.
        if let Some(before) = before {
            self.remove(to.0, to.1, before);
        }
        elements.into_iter().for_each(|(record, element)| self.store.put(record, element));
        self.set(to.0, to.1, None, value.clone());
        Ok(())
    }

    /// Like [`Keyspace::copy`], and the old place is empty afterwards.
    pub fn relocate(
        &mut self,
        from: (u8, &Bytes),
        value: &Head,
        to: (u8, &Bytes),
        before: Option<&Head>,
    ) -> Result<()> {
        self.copy(from, value, to, before)?;
        self.remove(from.0, from.1, value);
        Ok(())
    }

    /// Removes every key of one database: with one range if it is the only one that has keys, otherwise slot by
    /// slot, because the slot comes before the database in a record's key.
    pub fn flush(&mut self, db: u8) -> Result<()> {
        let others = (0..DATABASES).any(|other| other != db && self.counts.keys[usize::from(other)] > 0);
        if !others {
            self.flush_all();
            return Ok(());
        }
        if self.counts.keys[usize::from(db)] > 0 {
            for slot in self.slots_in_use(db)? {
                let (start, end) = keys::heads(slot, db);
                self.store.delete_range(start, end);
                let (start, end) = keys::elements_in(slot, db);
                self.store.delete_range(start, end);
            }
            if self.counts.expires[usize::from(db)] > 0 {
                self.remove_deadlines(db, GroupKind::Expiry, keys::parse_expiry)?;
            }
            if self.counts.field_expires[usize::from(db)] > 0 {
                self.remove_deadlines(db, GroupKind::FieldExpiry, keys::parse_field_expiry)?;
            }
            self.counts.keys[usize::from(db)] = 0;
            self.counts.expires[usize::from(db)] = 0;
            self.counts.field_expires[usize::from(db)] = 0;
        }
        self.touch_database(db);
        Ok(())
    }

    /// Removes every key of every database.
    pub fn flush_all(&mut self) {
        if self.counts.keys.iter().any(|keys| *keys > 0) {
            let (start, end) = keys::slots(self.slots);
            self.store.delete_range(start, end);
            for index in [GroupKind::Expiry, GroupKind::FieldExpiry] {
                let (start, end) = keys::group_kind(self.group, index);
                self.store.delete_range(start, end);
            }
            *self.counts = Default::default();
        }
        (0..DATABASES).for_each(|db| self.touch_database(db));
    }

    /// The element records of one key as those of another.
    fn copied_elements(&self, from: (u8, &Bytes), to: (u8, &Bytes)) -> Result<Vec<(Bytes, Bytes)>> {
        let (start, end) = keys::elements(from.0, from.1);
        let (target, _) = keys::elements(to.0, to.1);
        let mut copies = Vec::new();
        let mut room = self.thresholds.entry_bytes_max.checked_sub(self.store.written());
        self.store.scan(&start, &end, Order::Forward, &mut |record, value| {
            let bytes = target.len() + record.len() - start.len() + value.len();
            room = room.and_then(|room| room.checked_sub(bytes));
            if room.is_none() {
                return ControlFlow::Break(());
            }
            let mut copy = BytesMut::from(&target[..]);
            copy.extend_from_slice(&record[start.len()..]);
            copies.push((copy.freeze(), Bytes::copy_from_slice(value)));
            ControlFlow::Continue(())
        })?;
        room.map(|_| copies).ok_or(Error::TooLarge)
    }

    /// Slots with at least one key of a database, dead ones included; one seek per slot.
    fn slots_in_use(&self, db: u8) -> Result<Vec<Slot>> {
        let (mut start, end) = keys::slots(self.slots);
        let mut slots = Vec::new();
        loop {
            let mut next = None;
            self.store.scan(&start, &end, Order::Forward, &mut |record, _| {
                next = match keys::parse_head(record).filter(|head| head.db == db) {
                    Some(head) => {
                        slots.push(head.slot);
                        keys::next_heads(&keys::elements_in(head.slot, db).0, db)
                    }
                    None => keys::next_heads(record, db),
                };
                ControlFlow::Break(())
            })?;
            match next {
                Some(next) => start = next,
                None => return Ok(slots),
            }
        }
    }

    /// Removes the entries of one database from an index of deadlines.
    fn remove_deadlines(&mut self, db: u8, index: GroupKind, parse: ParseDeadline) -> Result<()> {
        let (start, end) = keys::group_kind(self.group, index);
        let mut entries = Vec::new();
        let mut damaged = None;
        self.store.scan(&start, &end, Order::Forward, &mut |record, _| match parse(record) {
            Ok((_, head)) => {
                if keys::parse_head(head).is_some_and(|head| head.db == db) {
                    entries.push(Bytes::copy_from_slice(record));
                }
                ControlFlow::Continue(())
            }
            Err(error) => {
                damaged = Some(error);
                ControlFlow::Break(())
            }
        })?;
        if let Some(error) = damaged {
            return Err(error.into());
        }
        entries.into_iter().for_each(|entry| self.store.delete(entry));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::hash::Hash;
    use crate::data::testing::World;

    fn key(name: &str) -> Bytes {
        Bytes::copy_from_slice(name.as_bytes())
    }

    /// A world with a string (with a deadline) and a spread hash in two databases.
    fn world() -> World {
        let mut world = World::new(100);
        world.thresholds.hash_entries_max = 1;
        for db in [2, 5] {
            world.keys(|keys| {
                let string = Head::string("v").with_deadline(Some(Millis(500)));
                keys.set(db, &key("s"), None, string);
                let pairs = ["a", "b"].map(|field| (key(field), key("v")));
                Hash::find_or_new(keys, db, &key("h")).unwrap().set(keys, pairs).unwrap();
            });
        }
        assert_eq!(world.store.len(), 2 * (2 + 3));
        world
    }

    #[test]
    fn copies_are_independent() {
        let mut world = world();
        world.keys(|keys| {
            let hash = keys.lookup(2, b"h").unwrap().unwrap();
            let before = keys.lookup(2, b"s").unwrap();
            keys.copy((2, &key("h")), &hash, (2, &key("s")), before.as_ref()).unwrap();
            let copy = Hash::find(keys, 2, &key("s")).unwrap().unwrap();
            assert_eq!(copy.remove(keys, &[key("a"), key("b")]).unwrap(), 2);
            assert_eq!(Hash::find(keys, 2, &key("h")).unwrap().unwrap().pairs(keys).unwrap().len(), 2);
        });
        assert_eq!((world.counts.keys[2], world.counts.expires[2], world.store.len()), (1, 0, 3 + 5));
    }

    #[test]
    fn a_relocated_value_leaves_nothing_behind() {
        let mut world = world();
        world.keys(|keys| {
            for name in ["h", "s"] {
                let value = keys.lookup(2, name.as_bytes()).unwrap().unwrap();
                keys.relocate((2, &key(name)), &value, (3, &key("new name")), None).unwrap();
                let value = keys.lookup(3, b"new name").unwrap().unwrap();
                let before = keys.lookup(5, name.as_bytes()).unwrap();
                keys.relocate((3, &key("new name")), &value, (5, &key(name)), before.as_ref()).unwrap();
            }
        });
        assert_eq!((world.counts.keys[2], world.counts.keys[3], world.counts.keys[5]), (0, 0, 2));
        assert_eq!((world.counts.expires[2], world.counts.expires[5], world.store.len()), (0, 1, 5));
    }

    #[test]
    fn one_database_is_emptied_without_the_others() {
        let mut world = world();
        world.keys(|keys| keys.flush(2)).unwrap();
        assert_eq!((world.counts.keys[2], world.counts.expires[2], world.store.len()), (0, 0, 5));
        world.keys(|keys| {
            assert!(keys.lookup(5, b"s").unwrap().is_some());
            assert_eq!(Hash::find(keys, 5, &key("h")).unwrap().unwrap().pairs(keys).unwrap().len(), 2);
            keys.flush(7).unwrap();
            keys.flush(5).unwrap();
        });
        assert_eq!((world.counts, world.store.len()), (Default::default(), 0));
    }

    #[test]
    fn all_databases_are_emptied_at_once() {
        let mut world = world();
        world.keys(|keys| keys.flush_all());
        assert_eq!((world.counts, world.store.len()), (Default::default(), 0));
    }

    #[test]
    fn a_value_that_does_not_fit_into_an_entry_stays_where_it_is() {
        let mut world = World::new(1);
        world.thresholds.hash_entries_max = 0;
        let (from, to) = (key("from"), key("to"));
        world.keys(|keys| {
            let hash = Hash::find_or_new(keys, 0, &from).unwrap();
            hash.set(keys, (0..100).map(|n| (key(&format!("f{n}")), key("v")))).unwrap();
            keys.set(0, &to, None, Head::string("old"));
        });
        let before = world.store.clone();
        world.thresholds.entry_bytes_max = 1_000;
        world.keys(|keys| {
            let (value, old) = (keys.lookup(0, &from).unwrap().unwrap(), keys.lookup(0, &to).unwrap());
            assert_eq!(keys.relocate((0, &from), &value, (0, &to), old.as_ref()), Err(Error::TooLarge));
            assert_eq!(keys.copy((0, &from), &value, (0, &to), old.as_ref()), Err(Error::TooLarge));
        });
        assert!(world.store == before);
        world.thresholds.entry_bytes_max = 10_000;
        world.keys(|keys| {
            let (value, old) = (keys.lookup(0, &from).unwrap().unwrap(), keys.lookup(0, &to).unwrap());
            assert_eq!(keys.relocate((0, &from), &value, (0, &to), old.as_ref()), Ok(()));
        });
        world.audit();
    }
}
