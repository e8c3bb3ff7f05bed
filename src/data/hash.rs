//! Hashes: fields with values, in one of two forms.
//!
//! A **small** hash is its head's payload, all pairs packed ([`super::packed`]) in the order in which fields were first
//! set (Redis's listpack keeps the same order, and clients see it). A **spread**
//! hash has a head whose payload is the number of fields (u64 BE) and one record per field, in the order of the
//! fields' checksums, so that access costs the same at any size and the whole may exceed memory.
//!
//! A hash becomes spread when it gets more fields, or a longer field or value, than the thresholds allow, and stays
//! so: as in Redis, it never turns back. The last field takes the key with it.
//!
//! Invariant: the number in a spread hash's head is the number of its field records, and never 0.

use bytes::Bytes;

use super::elements::{self, Elements, Scanned, decode_count};
use super::packed::{self, Pair};
use super::{Head, Keyspace, Kind, Result};
use crate::store::keys::ElementKind;

/// A hash as it was found: what the functions below read and change. Valid until the key is changed by others.
#[derive(Clone, Debug)]
pub struct Hash {
    db: u8,
    key: Bytes,
    /// What the keyspace holds; `None` for a hash that is being made.
    head: Option<Head>,
    form: Form,
}

#[derive(Clone, Debug)]
enum Form {
    /// All pairs as they are stored: reading one takes nothing apart.
    Small(Bytes),
    /// How many field records there are.
    Spread(u64),
}

/// The fields of a hash while they are changed.
enum Fields {
    Small(Vec<Pair>),
    Spread(u64),
}

impl Hash {
    /// The hash of a key, if there is one.
    pub fn find(keys: &mut Keyspace<'_>, db: u8, key: &Bytes) -> Result<Option<Hash>> {
        let found = keys.lookup_kind(db, key, Kind::Hash)?;
        found.map(|head| Hash::of_head(db, key, head)).transpose()
    }

    /// The hash of a head that was found.
    pub fn of_head(db: u8, key: &Bytes, head: Head) -> Result<Hash> {
        let payload = &head.payload;
        let form = if head.spread { Form::Spread(decode_count(payload)?) } else { Form::Small(payload.clone()) };
        Ok(Hash { db, key: key.clone(), head: Some(head), form })
    }

    /// The hash of a key; one without fields if there is none, which is stored with its first field.
    pub fn find_or_new(keys: &mut Keyspace<'_>, db: u8, key: &Bytes) -> Result<Hash> {
        let found = Hash::find(keys, db, key)?;
        Ok(found.unwrap_or_else(|| Hash { db, key: key.clone(), head: None, form: Form::Small(Bytes::new()) }))
    }

    /// How many fields there are; none only while the hash is new.
    pub fn count(&self) -> Result<u64> {
        match &self.form {
            Form::Small(payload) => packed::pairs(payload).try_fold(0, |count, pair| pair.map(|_| count + 1)),
            Form::Spread(count) => Ok(*count),
        }
    }

    /// The value of a field.
    pub fn get(&self, keys: &Keyspace<'_>, field: &[u8]) -> Result<Option<Bytes>> {
        let payload = match &self.form {
            Form::Small(payload) => payload,
            Form::Spread(_) => return Ok(keys.store.get(&self.record(field))?),
        };
        for pair in packed::pairs(payload) {
            let (name, value) = pair?;
            if name == field {
                return Ok(Some(payload.slice_ref(value)));
            }
        }
        Ok(None)
    }

    /// Sets fields in order, a later one winning, and returns how many are new.
    pub fn set(self, keys: &mut Keyspace<'_>, pairs: impl IntoIterator<Item = Pair>) -> Result<u64> {
        let mut fields = self.fields()?;
        let before = fields.count();
        for (field, value) in pairs {
            if field.len().max(value.len()) > keys.thresholds.hash_value_bytes_max {
                self.spread(keys, &mut fields);
            }
            match &mut fields {
                Fields::Small(pairs) => match pairs.iter_mut().find(|(name, _)| *name == field) {
                    Some((_, old)) => *old = value,
                    None => pairs.push((field, value)),
                },
                Fields::Spread(count) => {
                    let record = self.record(&field);
                    *count += u64::from(keys.store.get(&record)?.is_none());
                    keys.store.put(record, value);
                }
            }
            if matches!(&fields, Fields::Small(pairs) if pairs.len() > keys.thresholds.hash_entries_max) {
                self.spread(keys, &mut fields);
            }
        }
        let added = fields.count() - before;
        self.save(keys, &fields);
        Ok(added)
    }

    /// Removes fields and returns how many there were. The last one takes the key along.
    pub fn remove(self, keys: &mut Keyspace<'_>, names: &[Bytes]) -> Result<u64> {
        let mut fields = self.fields()?;
        let before = fields.count();
        for name in names {
            match &mut fields {
                Fields::Small(pairs) => pairs.retain(|(field, _)| field != name),
                Fields::Spread(count) => {
                    let record = self.record(name);
                    if keys.store.get(&record)?.is_some() {
                        keys.store.delete(record);
                        *count -= 1;
                    }
                }
            }
        }
        let removed = before - fields.count();
        if removed > 0 {
            self.save(keys, &fields);
        }
        Ok(removed)
    }

    /// All fields: in order of insertion for a small hash, of checksums for a spread one.
    pub fn pairs(&self, keys: &Keyspace<'_>) -> Result<Vec<Pair>> {
        match &self.form {
            Form::Small(payload) => packed::decode(payload),
            Form::Spread(_) => self.elements().pairs(keys),
        }
    }

    /// A part of the fields, from where `cursor` (0 or an earlier answer's) says, about `count` of them. A small hash
    /// comes whole.
    pub fn scan(&self, keys: &Keyspace<'_>, cursor: u64, count: u64) -> Result<Scanned> {
        match &self.form {
            Form::Small(payload) => Ok(Scanned { cursor: 0, pairs: packed::decode(payload)? }),
            Form::Spread(_) => self.elements().scan(keys, cursor, count),
        }
    }

    /// `count` fields drawn at random, each with the same chance. With `repeat` one may come more than once, without
    /// at most all of them come.
    pub fn random(&self, keys: &mut Keyspace<'_>, count: u64, repeat: bool) -> Result<Vec<Pair>> {
        match &self.form {
            Form::Small(payload) => Ok(elements::pick(keys.rng, &packed::decode(payload)?, count, repeat)),
            Form::Spread(len) => self.elements().random(keys, *len, count, repeat),
        }
    }

    fn record(&self, field: &[u8]) -> Bytes {
        self.elements().record(field)
    }

    fn elements(&self) -> Elements<'_> {
        Elements { db: self.db, key: &self.key, kind: ElementKind::Field }
    }

    fn fields(&self) -> Result<Fields> {
        match &self.form {
            Form::Small(payload) => Ok(Fields::Small(packed::decode(payload)?)),
            Form::Spread(count) => Ok(Fields::Spread(*count)),
        }
    }

    /// Gives every field a record of its own. The head follows with [`Hash::save`].
    fn spread(&self, keys: &mut Keyspace<'_>, fields: &mut Fields) {
        let Fields::Small(pairs) = fields else { return };
        let pairs = std::mem::take(pairs);
        *fields = Fields::Spread(pairs.len() as u64);
        for (field, value) in pairs {
            keys.store.put(self.record(&field), value);
        }
    }

    /// Writes the head, or removes the key with the last field.
    fn save(self, keys: &mut Keyspace<'_>, fields: &Fields) {
        let before = self.head.as_ref();
        let head = match (fields, before) {
            (_, Some(before)) if fields.count() == 0 => return keys.remove(self.db, &self.key, before),
            (_, None) if fields.count() == 0 => return,
            // The head says the same as before: only watchers need to hear of the change.
            (Fields::Spread(count), Some(before)) if before.spread && before.payload == count.to_be_bytes()[..] => {
                return keys.touch(self.db, &self.key);
            }
            (Fields::Spread(count), _) => {
                Head { spread: true, ..Head::new(Kind::Hash, Bytes::copy_from_slice(&count.to_be_bytes())) }
            }
            (Fields::Small(pairs), _) => Head::new(Kind::Hash, packed::encode(pairs)),
        };
        let deadline = before.and_then(|before| before.deadline);
        keys.set(self.db, &self.key, before, head.with_deadline(deadline));
    }
}

impl Fields {
    fn count(&self) -> u64 {
        match self {
            Fields::Small(pairs) => pairs.len() as u64,
            Fields::Spread(count) => *count,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::testing::World;

    fn pair(field: &str, value: &str) -> Pair {
        (Bytes::copy_from_slice(field.as_bytes()), Bytes::copy_from_slice(value.as_bytes()))
    }

    fn numbered(count: usize) -> impl Iterator<Item = Pair> {
        (0..count).map(|number| pair(&format!("f{number}"), &number.to_string()))
    }

    fn key() -> Bytes {
        Bytes::from("h")
    }

    fn set(world: &mut World, pairs: impl IntoIterator<Item = Pair>) -> u64 {
        world.keys(|keys| Hash::find_or_new(keys, 0, &key()).unwrap().set(keys, pairs).unwrap())
    }

    #[test]
    fn golden_payloads() {
        let mut world = World::new(1);
        set(&mut world, [pair("b", "1"), pair("a", "22")]);
        let payload = |world: &mut World| world.keys(|keys| keys.lookup(0, b"h")).unwrap().unwrap().payload;
        assert_eq!(payload(&mut world).escape_ascii().to_string(), r"\x01b\x011\x01a\x0222");
        set(&mut world, [pair("c", &"v".repeat(65))]);
        assert_eq!(payload(&mut world)[..], [0, 0, 0, 0, 0, 0, 0, 3]);
    }

    #[test]
    fn both_forms_behave_alike() {
        for hash_entries_max in [0, 1, 3, 100] {
            let mut world = World::new(1);
            world.thresholds.hash_entries_max = hash_entries_max;
            assert_eq!(set(&mut world, numbered(3)), 3);
            assert_eq!(set(&mut world, [pair("f1", "x"), pair("f9", "9"), pair("f9", "10")]), 1);
            assert_eq!(world.counts.keys[0], 1);
            world.keys(|keys| {
                let hash = Hash::find(keys, 0, &key()).unwrap().unwrap();
                assert_eq!(hash.count().unwrap(), 4);
                assert_eq!(hash.get(keys, b"f1").unwrap().unwrap(), "x");
                assert_eq!(hash.get(keys, b"f8").unwrap(), None);
                let mut pairs = hash.pairs(keys).unwrap();
                pairs.sort();
                assert_eq!(pairs, [pair("f0", "0"), pair("f1", "x"), pair("f2", "2"), pair("f9", "10")]);
                let fields = ["f0", "f8", "f0", "f1"].map(Bytes::from);
                assert_eq!(hash.remove(keys, &fields).unwrap(), 2);
                let hash = Hash::find(keys, 0, &key()).unwrap().unwrap();
                assert_eq!(hash.count().unwrap(), 2);
                assert_eq!(hash.remove(keys, &["f2", "f9"].map(Bytes::from)).unwrap(), 2);
                assert!(Hash::find(keys, 0, &key()).unwrap().is_none());
            });
            assert_eq!((world.store.len(), world.counts.keys[0]), (0, 0), "nothing is left behind");
        }
    }

    #[test]
    fn the_form_changes_at_the_thresholds_and_never_back() {
        let mut world = World::new(1);
        world.thresholds.hash_entries_max = 3;
        set(&mut world, numbered(3));
        assert_eq!(world.store.len(), 1);
        set(&mut world, [pair("f3", "")]);
        assert_eq!(world.store.len(), 5);
        world.keys(|keys| {
            let hash = Hash::find(keys, 0, &key()).unwrap().unwrap();
            hash.remove(keys, &["f0", "f1", "f2"].map(Bytes::from)).unwrap();
            assert!(keys.lookup(0, b"h").unwrap().unwrap().spread);
        });
        assert_eq!(world.store.len(), 2);

        let mut world = World::new(1);
        set(&mut world, [pair("f", &"v".repeat(64))]);
        assert_eq!(world.store.len(), 1);
        set(&mut world, [pair("f", &"v".repeat(65))]);
        assert_eq!(world.store.len(), 2);
    }

    #[test]
    fn a_scan_reports_every_field_once() {
        let mut world = World::new(1);
        set(&mut world, numbered(1000));
        world.keys(|keys| {
            let hash = Hash::find(keys, 0, &key()).unwrap().unwrap();
            let (mut cursor, mut seen) = (0, Vec::new());
            loop {
                let part = hash.scan(keys, cursor, 10).unwrap();
                assert!(part.pairs.len() >= 10 || part.cursor == 0);
                seen.extend(part.pairs);
                cursor = part.cursor;
                if cursor == 0 {
                    break;
                }
            }
            assert_eq!(seen, hash.pairs(keys).unwrap());
            assert_eq!(hash.scan(keys, u64::MAX, 10).unwrap().pairs, []);
        });
    }

    #[test]
    fn random_fields_are_uniform() {
        for hash_entries_max in [0, 100] {
            let mut world = World::new(1);
            world.thresholds.hash_entries_max = hash_entries_max;
            set(&mut world, numbered(10));
            world.keys(|keys| {
                let hash = Hash::find(keys, 0, &key()).unwrap().unwrap();
                let mut seen = [0; 10];
                for (_, value) in hash.random(keys, 10_000, true).unwrap() {
                    seen[std::str::from_utf8(&value).unwrap().parse::<usize>().unwrap()] += 1;
                }
                // 1,000 expected, with a standard deviation of 30.
                assert!(seen.iter().all(|count| (850..1150).contains(count)), "{seen:?}");
                for count in 0..12 {
                    let mut drawn = hash.random(keys, count, false).unwrap();
                    drawn.sort();
                    drawn.dedup();
                    assert_eq!(drawn.len() as u64, count.min(10));
                }
            });
        }
    }
}
