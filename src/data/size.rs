//! How many bytes a key takes: those of its records, keys and values, as they are in memory and in the log before
//! anything compresses them. That is the head record, the element records of a large value, and the entries in the
//! indexes of deadlines; not what a store adds for finding records.
//!
//! A large value is not walked: of each kind of element record some are looked at, the others are taken to be like
//! them. How many there are the head knows, but for the nodes of a counted tree, of which it knows the bytes in them.

use std::ops::ControlFlow;

use bytes::Bytes;

use super::{Head, Keyspace, Kind, Result, hash, list, set, stream::Stream, zset};
use crate::store::Order;
use crate::store::keys::{self, ElementKind};

/// Bytes of an entry of a node beside the entry itself, mostly.
const ENTRY_OVERHEAD_BYTES: u64 = 1;

/// What a head tells of the element records of one kind.
#[derive(Clone, Copy, Debug)]
enum Expected {
    /// So many.
    Records(u64),
    /// With so many bytes in their values.
    ValueBytes(u64),
}

/// What was seen of the element records of one kind.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    records: u64,
    bytes: u64,
    value_bytes: u64,
    is_all: bool,
}

impl Keyspace<'_> {
    /// Bytes of all records of a key. `head` is what a lookup found; `samples` bounds how many element records of each
    /// kind are looked at, and with no more of a kind than that the number is exact.
    pub fn record_bytes(&self, db: u8, key: &Bytes, head: &Head, samples: u64) -> Result<u64> {
        let record = keys::head(db, key);
        let mut bytes = (record.len() + head.encode().len()) as u64;
        if let Some(deadline) = head.deadline {
            bytes += keys::expiry(self.group, deadline, &record).len() as u64;
        }
        if let Some(ends) = head.fields {
            bytes += keys::field_expiry(self.group, ends.first, &record).len() as u64;
        }
        if head.spread {
            for (kind, expected) in self.expected(db, key, head)? {
                bytes += self.look(db, key, kind, samples)?.total(expected);
            }
        }
        Ok(bytes)
    }

    fn expected(&self, db: u8, key: &Bytes, head: &Head) -> Result<Vec<(ElementKind, Expected)>> {
        let nodes = |(count, bytes): (u64, u64)| Expected::ValueBytes(bytes + count * ENTRY_OVERHEAD_BYTES);
        Ok(match head.kind {
            Kind::String => Vec::new(),
            Kind::Hash => {
                let (fields, deadlines) = hash::record_counts(head)?;
                let counts =
                    [(ElementKind::Field, fields), (ElementKind::Deadline, deadlines), (ElementKind::Due, deadlines)];
                counts.map(|(kind, count)| (kind, Expected::Records(count))).to_vec()
            }
            Kind::Set => vec![(ElementKind::Member, Expected::Records(set::record_count(head)?))],
            Kind::List => vec![(ElementKind::Node, nodes(list::tree_size(head)?))],
            Kind::Zset => {
                let tree = zset::tree_size(head)?;
                vec![(ElementKind::Score, Expected::Records(tree.0)), (ElementKind::Node, nodes(tree))]
            }
            Kind::Stream => {
                let stream = Stream::of_head(db, key, head.clone())?;
                let facts = stream.facts();
                let (mut consumers, mut pending) = (0, 0);
                if facts.groups > 0 {
                    for group in stream.groups(self)? {
                        consumers += group.consumers;
                        pending += group.pending;
                    }
                }
                let counts = [
                    (ElementKind::Entry, facts.length),
                    (ElementKind::Page, facts.pages.saturating_sub(1)),
                    (ElementKind::Readers, facts.groups),
                    (ElementKind::Consumer, consumers),
                    (ElementKind::Pending, pending),
                    (ElementKind::Owned, pending),
                ];
                counts.map(|(kind, count)| (kind, Expected::Records(count))).to_vec()
            }
        })
    }

    /// Looks at so many records of a kind, and whether there is another one.
    fn look(&self, db: u8, key: &[u8], kind: ElementKind, samples: u64) -> Result<Seen> {
        let (start, end) = keys::elements_of(db, key, kind);
        let mut seen = Seen { is_all: true, ..Seen::default() };
        self.store.scan(&start, &end, Order::Forward, &mut |record, value| {
            if seen.records >= samples {
                seen.is_all = false;
                return ControlFlow::Break(());
            }
            seen.records += 1;
            seen.bytes += (record.len() + value.len()) as u64;
            seen.value_bytes += value.len() as u64;
            ControlFlow::Continue(())
        })?;
        Ok(seen)
    }
}

impl Seen {
    /// The bytes of all of them, if those that were not seen are like the others.
    fn total(&self, expected: Expected) -> u64 {
        let (all, part) = match expected {
            _ if self.is_all => return self.bytes,
            Expected::Records(records) => (records, self.records),
            Expected::ValueBytes(bytes) => (bytes, self.value_bytes),
        };
        let total = u128::from(self.bytes) * u128::from(all) / u128::from(part.max(1));
        u64::try_from(total).unwrap_or(u64::MAX).max(self.bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Millis;
    use crate::data::hash::Hash;
    use crate::data::list::{End, List};
    use crate::data::set::Set;
    use crate::data::stream::Id;
    use crate::data::testing::World;
    use crate::data::zset::Zset;
    use crate::store::Read;

    const COUNT: u64 = 3_000;

    fn word(number: u64) -> Bytes {
        format!("word {number}").into()
    }

    /// A world with one large value of a kind.
    fn world(kind: Kind) -> World {
        let mut world = World::new(100);
        let key = Bytes::from("k");
        world.keys(|keys| {
            let words: Vec<Bytes> = (0..COUNT).map(word).collect();
            match kind {
                Kind::String => keys.set(0, &key, None, Head::string(vec![b'x'; 5_000])),
                Kind::Hash => {
                    let pairs = words.iter().map(|word| (word.clone(), word.clone()));
                    Hash::find_or_new(keys, 0, &key).unwrap().set(keys, pairs).unwrap();
                }
                Kind::List => {
                    List::find_or_new(keys, 0, &key).unwrap().push(keys, End::Right, &words).unwrap();
                }
                Kind::Set => {
                    Set::find_or_new(keys, 0, &key).unwrap().add(keys, &words).unwrap();
                }
                Kind::Zset => {
                    let mut zset = Zset::new(0, &key);
                    for (score, word) in words.iter().enumerate() {
                        zset.set(keys, word, score as f64, None).unwrap();
                    }
                    zset.save(keys);
                }
                Kind::Stream => {
                    let mut stream = Stream::new(0, &key);
                    for (number, word) in words.iter().enumerate() {
                        stream.append(keys, Id { ms: number as u64 + 1, seq: 0 }, &[word.clone(), word.clone()]);
                    }
                    stream.save(keys);
                }
            }
        });
        world
    }

    /// Bytes of every record of slots and of the expiry index.
    fn stored(world: &World) -> u64 {
        world.store.iter().map(|(record, value)| (record.len() + value.len()) as u64).sum()
    }

    fn told(world: &mut World, samples: u64) -> u64 {
        world.keys(|keys| {
            let head = keys.lookup(0, b"k").unwrap().unwrap();
            keys.record_bytes(0, &Bytes::from("k"), &head, samples).unwrap()
        })
    }

    #[test]
    fn all_samples_are_all_records_and_some_are_near_it() {
        for kind in [Kind::String, Kind::Hash, Kind::List, Kind::Set, Kind::Zset, Kind::Stream] {
            let mut world = world(kind);
            let exact = stored(&world);
            assert_eq!(told(&mut world, u64::MAX), exact, "{kind:?}");
            let guess = told(&mut world, 5);
            assert!(guess.abs_diff(exact) < exact / 5, "{kind:?}: {guess} of {exact}");
        }
    }

    #[test]
    fn deadlines_of_fields_have_records_too() {
        for count in [3, 1_000] {
            let mut world = World::new(100);
            world.keys(|keys| {
                let hash = Hash::find_or_new(keys, 0, &Bytes::from("k")).unwrap();
                let fields = (0..count).map(|number| (word(number), word(number)));
                hash.set(keys, fields).unwrap();
            });
            world.keys(|keys| {
                let mut change = Hash::find(keys, 0, &Bytes::from("k")).unwrap().unwrap().change(keys).unwrap();
                for (name, end) in [("word 0", 400), ("word 1", 500)] {
                    change.set_end(keys, name.as_bytes(), Some(Millis(end))).unwrap();
                }
                change.save(keys).unwrap();
            });
            assert_eq!(told(&mut world, u64::MAX), stored(&world), "{count} fields");
        }
    }

    #[test]
    fn a_deadline_takes_its_place_in_the_index() {
        let mut world = World::new(100);
        world.keys(|keys| keys.set(0, &Bytes::from("k"), None, Head::string("v").with_deadline(Some(Millis(500)))));
        assert_eq!(told(&mut world, 5), stored(&world));
        assert!(world.store.get(&keys::head(0, b"k")).unwrap().is_some());
    }
}
