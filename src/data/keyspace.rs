//! Finding, replacing and removing keys: the only functions that write head records.
//!
//! Invariant: a head, its element records, its entry in the expiry index and the counts change together. A caller
//! looks a key up first and hands what it found to the change (`before`), so that nothing is read twice; between the
//! lookup and the change of a key nothing else may change it.

use bytes::Bytes;

use super::{Class, Error, Head, Keyspace, Kind, Mode, Result, Touched};
use crate::base::{Millis, Mutant};
use crate::store::keys;

impl Keyspace<'_> {
    /// The head record of a key: the one that the last lookup left behind, or another one.
    fn head_record(&mut self, db: u8, key: &[u8]) -> Bytes {
        let named = std::mem::take(&mut self.named);
        if keys::is_head_of(&named, db, key) { named } else { keys::head(db, key) }
    }

    /// The living value of a key. On the leader a dead one is deleted on the way, by this entry, and so are dead fields
    /// of a hash ([`Keyspace::end_fields`]); a local read may answer [`Error::NeedsLog`] ([`Keyspace::is_alive`]).
    pub fn lookup(&mut self, db: u8, key: &[u8]) -> Result<Option<Head>> {
        let record = self.head_record(db, key);
        let mut found = None;
        if let Some(value) = self.store.get(&record)? {
            let head = Head::decode(&value)?;
            if self.is_alive(head.end())? {
                found = self.end_fields(db, key, head)?;
            } else if self.mode == Mode::Leader && !Mutant::EndsWithoutDeletion.is_in() {
                self.remove(db, &Bytes::copy_from_slice(key), &head);
                self.usage.ended();
                self.tell_end(db, key, &head);
            }
        }
        if found.is_none() && self.manner.counts && self.events.tells(Class::Miss) && !self.manner.is_quiet {
            self.tell_miss(db, key)?;
        }
        self.usage.looked_up(&record, found.is_some(), self.manner, self.moment.clock);
        self.named = record;
        Ok(found)
    }

    /// Like [`Keyspace::lookup`], but a value of another type is [`Error::WrongType`].
    pub fn lookup_kind(&mut self, db: u8, key: &[u8], kind: Kind) -> Result<Option<Head>> {
        match self.lookup(db, key)? {
            Some(head) if head.kind != kind => Err(Error::WrongType),
            found => Ok(found),
        }
    }

    /// Sets a key. `before` is what [`Keyspace::lookup`] found.
    ///
    /// Element records of `before` are removed with it, unless both values are spread ones of the same type: then
    /// this is an update of the head, and the elements are the caller's. (To replace one spread value by another,
    /// remove the key first.)
    pub fn set(&mut self, db: u8, key: &Bytes, before: Option<&Head>, head: Head) {
        let record = self.head_record(db, key);
        match before {
            None => self.counts.keys[usize::from(db)] += 1,
            Some(before) if before.spread && !(head.spread && head.kind == before.kind) => {
                self.remove_elements(db, key)
            }
            Some(_) => {}
        }
        self.index_deadline(db, &record, before.and_then(|before| before.deadline), head.deadline);
        self.index_fields(db, &record, before.and_then(|before| before.fields), head.fields);
        self.usage.touch(&record, self.moment.clock);
        self.store.put(record, head.encode());
        self.touch(db, key);
        if before.is_none() {
            self.notify(Class::New, "new", db, key);
        }
    }

    /// Removes a key. `before` is what [`Keyspace::lookup`] found.
    pub fn remove(&mut self, db: u8, key: &Bytes, before: &Head) {
        let record = self.head_record(db, key);
        if before.spread {
            self.remove_elements(db, key);
        }
        self.index_deadline(db, &record, before.deadline, None);
        self.index_fields(db, &record, before.fields, None);
        self.store.delete(record);
        self.counts.keys[usize::from(db)] -= 1;
        self.touch(db, key);
    }

    /// Gives a key another deadline, or none. `before` is what [`Keyspace::lookup`] found. A deadline that has passed
    /// is not for here: it is a removal.
    pub fn set_deadline(&mut self, db: u8, key: &Bytes, before: &Head, deadline: Option<Millis>) {
        self.set(db, key, Some(before), before.clone().with_deadline(deadline));
    }

    /// Seconds since a key was last read or written on this node, as far as that is remembered ([`super::Usage`]).
    pub fn idle_seconds(&self, db: u8, key: &[u8]) -> u32 {
        self.usage.idle_seconds(&keys::head(db, key), self.moment.clock)
    }

    /// Whether a key is stored, dead or alive; leaves no trace.
    pub fn is_stored(&self, db: u8, key: &[u8]) -> Result<bool> {
        Ok(self.store.get(&keys::head(db, key))?.is_some())
    }

    /// Tells who hears of events that a key ended: by its own deadline, or by that of the last field that it had.
    #[cold]
    fn tell_end(&mut self, db: u8, key: &[u8], head: &Head) {
        if head.deadline.is_some_and(|deadline| deadline <= self.moment.stamp) {
            self.notify(Class::Expired, "expired", db, key);
        } else {
            self.notify(Class::Hash, "hexpired", db, key);
            self.notify(Class::Generic, "del", db, key);
        }
    }

    /// A key was read that there is not. Only an entry can tell everybody: a local read sends its command to the log.
    #[cold]
    fn tell_miss(&mut self, db: u8, key: &[u8]) -> Result<()> {
        if self.mode == Mode::Local {
            return Err(Error::NeedsLog);
        }
        self.notify(Class::Miss, "keymiss", db, key);
        Ok(())
    }

    /// Tells WATCH that a key was changed; for changes of elements that leave the head as it is.
    pub fn touch(&mut self, db: u8, key: &Bytes) {
        self.touched.push(Touched::Key(db, key.clone()));
    }

    /// Tells WATCH that a database was emptied.
    pub(super) fn touch_database(&mut self, db: u8) {
        self.touched.push(Touched::Database(db));
    }

    fn remove_elements(&mut self, db: u8, key: &[u8]) {
        let (start, end) = keys::elements(db, key);
        self.store.delete_range(start, end);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::testing::World;
    use crate::store::keys::ElementKind;

    #[test]
    fn keys_are_counted_once() {
        let mut world = World::new(100);
        let key = Bytes::from("k");
        world.keys(|keys| {
            keys.set(3, &key, None, Head::string("1"));
            let before = keys.lookup(3, &key).unwrap();
            keys.set(3, &key, before.as_ref(), Head::string("2"));
            assert_eq!(keys.lookup(3, &key).unwrap().unwrap().payload, "2");
            assert_eq!(keys.lookup(2, &key), Ok(None));
        });
        assert_eq!(world.counts.keys[3], 1);
        world.keys(|keys| {
            let before = keys.lookup(3, &key).unwrap().unwrap();
            keys.remove(3, &key, &before);
        });
        assert_eq!((world.counts.keys[3], world.store.len()), (0, 0));
        assert_eq!(world.touched, vec![Touched::Key(3, key); 3]);
    }

    #[test]
    fn elements_go_with_the_value_they_belong_to() {
        let mut world = World::new(100);
        let key = Bytes::from("k");
        let spread = |count: &'static str| Head { spread: true, ..Head::new(Kind::Hash, count) };
        let fill = |keys: &mut Keyspace<'_>| {
            for field in [&b"a"[..], b"b"] {
                keys.store.put(keys::element(0, b"k", ElementKind::Field, field), Bytes::from("v"));
            }
        };
        world.keys(|keys| {
            keys.set(0, &key, None, spread("1"));
            fill(keys);
            let before = keys.lookup(0, &key).unwrap();
            keys.set(0, &key, before.as_ref(), spread("2"));
        });
        assert_eq!(world.store.len(), 3, "an update of the head leaves the elements");
        world.keys(|keys| keys.set(0, &key, Some(&spread("2")), Head::string("v")));
        assert_eq!(world.store.len(), 1, "another value takes the elements along");
        world.keys(|keys| {
            keys.set(0, &key, Some(&Head::string("v")), spread("2"));
            fill(keys);
            keys.remove(0, &key, &spread("2"));
        });
        assert_eq!(world.store.len(), 0);
    }

    #[test]
    fn types_are_told_apart() {
        let mut world = World::new(100);
        let key = Bytes::from("k");
        world.keys(|keys| {
            keys.set(0, &key, None, Head::string("v"));
            assert_eq!(keys.lookup_kind(0, &key, Kind::Hash), Err(Error::WrongType));
            assert!(keys.lookup_kind(0, &key, Kind::String).unwrap().is_some());
            assert_eq!(keys.lookup_kind(0, b"none", Kind::Hash), Ok(None));
        });
    }
}
