//! Sets: distinct members, in one of two forms.
//!
//! ```text
//! small    0 (any members, in order of insertion) or 1 (integers, ascending) | members, packed
//! spread   number of members u64 BE, and one record per member with an empty value, in the order of checksums
//! ```
//!
//! Two kinds of small set, because Redis has them (listpack and intset) and clients see the order. A set of integers
//! gets the first form with its first other member. A set becomes spread when it gets more members, or a longer one,
//! than the thresholds allow; as in Redis, it never turns back. The last member takes the key with it.
//!
//! Invariant: the number in a spread set's head is the number of its member records, and never 0.

use bytes::{BufMut, Bytes, BytesMut};

use super::elements::{self, Elements, decode_count};
use super::{Error, Head, Keyspace, Kind, Result, Thresholds, packed};
use crate::base::{HashSet, integer};
use crate::store;
use crate::store::keys::ElementKind;

const ANY: u8 = 0;
const INTEGERS: u8 = 1;

/// A set as it was found: what the functions below read and change. Valid until the key is changed by others.
#[derive(Clone, Debug)]
pub struct Set {
    db: u8,
    key: Bytes,
    /// What the keyspace holds; `None` for a set that is being made.
    head: Option<Head>,
    form: Form,
}

#[derive(Clone, Debug)]
enum Form {
    Small(Small),
    /// How many member records there are.
    Spread(u64),
}

/// Distinct words in the order in which a small set keeps them: integers ascending, until there is another word;
/// then in order of insertion.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Small {
    has_others: bool,
    members: Vec<Bytes>,
}

/// What a scan of a set gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scanned {
    /// Where to go on, 0 at the end.
    pub cursor: u64,
    /// Members in this part.
    pub members: Vec<Bytes>,
}

impl Set {
    /// The set of a key, if there is one.
    pub fn find(keys: &mut Keyspace<'_>, db: u8, key: &Bytes) -> Result<Option<Set>> {
        let found = keys.lookup_kind(db, key, Kind::Set)?;
        found.map(|head| Set::of_head(db, key, head)).transpose()
    }

    /// The set of a head that was found.
    pub fn of_head(db: u8, key: &Bytes, head: Head) -> Result<Set> {
        let payload = &head.payload;
        let form =
            if head.spread { Form::Spread(decode_count(payload)?) } else { Form::Small(Small::decode(payload)?) };
        Ok(Set { db, key: key.clone(), head: Some(head), form })
    }

    /// The set of a key; one without members if there is none, which is stored with its first member.
    pub fn find_or_new(keys: &mut Keyspace<'_>, db: u8, key: &Bytes) -> Result<Set> {
        Ok(Set::find(keys, db, key)?.unwrap_or_else(|| Set::new(db, key)))
    }

    fn new(db: u8, key: &Bytes) -> Set {
        Set { db, key: key.clone(), head: None, form: Form::Small(Small::default()) }
    }

    /// How many members there are; none only while the set is new.
    pub fn count(&self) -> u64 {
        match &self.form {
            Form::Small(small) => small.members.len() as u64,
            Form::Spread(count) => *count,
        }
    }

    /// Whether it has this member.
    pub fn contains(&self, keys: &Keyspace<'_>, member: &[u8]) -> Result<bool> {
        match &self.form {
            Form::Small(small) => Ok(small.members.iter().any(|known| known == member)),
            Form::Spread(_) => Ok(keys.store.get(&self.elements().record(member))?.is_some()),
        }
    }

    /// Adds members in order and returns how many are new.
    pub fn add(mut self, keys: &mut Keyspace<'_>, members: &[Bytes]) -> Result<u64> {
        let (before, was_small) = (self.count(), matches!(self.form, Form::Small(_)));
        if let Form::Small(small) = &self.form
            && members.len() > small.entries_max(&keys.thresholds, members.first())
        {
            // Redis counts words here, not members: it decides before it knows how many are new.
            self.spread(keys);
        }
        for member in members {
            if let Form::Small(small) = &mut self.form {
                if !small.add(member) {
                    continue;
                }
                let is_long = small.has_others
                    && small.members.iter().any(|member| member.len() > keys.thresholds.set_value_bytes_max);
                if is_long || small.members.len() > small.entries_max(&keys.thresholds, None) {
                    self.spread(keys);
                }
            } else {
                self.add_record(keys, member)?;
            }
        }
        let added = self.count() - before;
        if added > 0 || (was_small && matches!(self.form, Form::Spread(_))) {
            self.save(keys);
        }
        Ok(added)
    }

    /// Removes members and returns how many there were. The last one takes the key along.
    pub fn remove(mut self, keys: &mut Keyspace<'_>, members: &[Bytes]) -> Result<u64> {
        let before = self.count();
        for member in members {
            let record = self.elements().record(member);
            match &mut self.form {
                Form::Small(small) => small.members.retain(|known| known != member),
                Form::Spread(count) if keys.store.get(&record)?.is_some() => {
                    keys.store.delete(record);
                    *count -= 1;
                }
                Form::Spread(_) => {}
            }
        }
        let removed = before - self.count();
        if removed > 0 {
            self.save(keys);
        }
        Ok(removed)
    }

    /// All members: in the order of a small set, in that of checksums for a spread one.
    pub fn members(&self, keys: &Keyspace<'_>) -> Result<Vec<Bytes>> {
        match &self.form {
            Form::Small(small) => Ok(small.members.clone()),
            Form::Spread(_) => Ok(names(self.elements().pairs(keys)?)),
        }
    }

    /// A part of the members, from where `cursor` (0 or an earlier answer's) says, about `count` of them. A small set
    /// comes whole.
    pub fn scan(&self, keys: &Keyspace<'_>, cursor: u64, count: u64) -> Result<Scanned> {
        match &self.form {
            Form::Small(small) => Ok(Scanned { cursor: 0, members: small.members.clone() }),
            Form::Spread(_) => {
                let part = self.elements().scan(keys, cursor, count)?;
                Ok(Scanned { cursor: part.cursor, members: names(part.pairs) })
            }
        }
    }

    /// `count` members drawn at random, each with the same chance. With `repeat` one may come more than once, without
    /// at most all of them come.
    pub fn random(&self, keys: &mut Keyspace<'_>, count: u64, repeat: bool) -> Result<Vec<Bytes>> {
        match &self.form {
            Form::Small(small) => Ok(elements::pick(keys.rng, &small.members, count, repeat)),
            Form::Spread(len) => Ok(names(self.elements().random(keys, *len, count, repeat)?)),
        }
    }

    /// Makes a key a set of these members, whatever it was; without members there is no key.
    pub fn replace(keys: &mut Keyspace<'_>, db: u8, key: &Bytes, members: &[Bytes]) -> Result<bool> {
        let Some(before) = keys.lookup(db, key)? else {
            Set::new(db, key).add(keys, members)?;
            return Ok(false);
        };
        keys.replacing(|keys| {
            keys.remove(db, key, &before);
            Set::new(db, key).add(keys, members)?;
            Ok(true)
        })
    }

    fn elements(&self) -> Elements<'_> {
        Elements { db: self.db, key: &self.key, kind: ElementKind::Member }
    }

    fn add_record(&mut self, keys: &mut Keyspace<'_>, member: &[u8]) -> Result<()> {
        let record = self.elements().record(member);
        if let Form::Spread(count) = &mut self.form
            && keys.store.get(&record)?.is_none()
        {
            keys.store.put(record, Bytes::new());
            *count += 1;
        }
        Ok(())
    }

    /// Gives every member a record of its own. The head follows with [`Set::save`].
    fn spread(&mut self, keys: &mut Keyspace<'_>) {
        let Form::Small(small) = &mut self.form else { return };
        let members = std::mem::take(&mut small.members);
        self.form = Form::Spread(members.len() as u64);
        for member in members {
            keys.store.put(self.elements().record(&member), Bytes::new());
        }
    }

    /// Writes the head, or removes the key with the last member.
    fn save(self, keys: &mut Keyspace<'_>) {
        let before = self.head.as_ref();
        let head = match (&self.form, before) {
            (_, Some(before)) if self.count() == 0 => return keys.remove(self.db, &self.key, before),
            (_, None) if self.count() == 0 => return,
            (Form::Spread(count), _) => {
                Head { spread: true, ..Head::new(Kind::Set, Bytes::copy_from_slice(&count.to_be_bytes())) }
            }
            (Form::Small(small), _) => Head::new(Kind::Set, small.encode()),
        };
        let deadline = before.and_then(|before| before.deadline);
        keys.set(self.db, &self.key, before, head.with_deadline(deadline));
    }
}

impl Small {
    fn decode(payload: &Bytes) -> Result<Small> {
        let has_others = match payload.first() {
            Some(&ANY) => true,
            Some(&INTEGERS) => false,
            _ => return Err(Error::Store(store::Error::Corrupt("the record of a set has an unknown form".into()))),
        };
        Ok(Small { has_others, members: packed::decode_words(&payload.slice(1..))? })
    }

    fn encode(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(1 + self.members.iter().map(|member| member.len() + 2).sum::<usize>());
        out.put_u8(if self.has_others { ANY } else { INTEGERS });
        self.members.iter().for_each(|member| packed::put_word(&mut out, member));
        out.freeze()
    }

    /// Adds a member; says whether it is new.
    fn add(&mut self, member: &Bytes) -> bool {
        let number = if self.has_others { None } else { integer::parse(member) };
        let Some(number) = number else {
            let is_new = !self.members.contains(member);
            if is_new {
                self.has_others = true;
                self.members.push(member.clone());
            }
            return is_new;
        };
        match self.members.binary_search_by_key(&Some(number), |member| integer::parse(member)) {
            Ok(_) => false,
            Err(place) => {
                self.members.insert(place, member.clone());
                true
            }
        }
    }

    /// How many members of its kind one record may have; that of a set to come is its first member's.
    fn entries_max(&self, thresholds: &Thresholds, first: Option<&Bytes>) -> usize {
        let is_new = self.members.is_empty();
        let has_others = self.has_others || (is_new && first.is_some_and(|first| integer::parse(first).is_none()));
        if has_others { thresholds.set_entries_max } else { thresholds.set_integers_max }
    }
}

/// Whether a set in one record has integers only: what `OBJECT ENCODING` tells apart.
pub fn has_integers_only(payload: &[u8]) -> bool {
    payload.first() == Some(&INTEGERS)
}

/// Distinct members in the order in which Redis returns those of a result: as a small set would keep them.
#[derive(Debug, Default)]
pub struct Collected {
    known: HashSet<Bytes>,
    has_others: bool,
    members: Vec<Bytes>,
}

impl Collected {
    /// Adds a member.
    pub fn add(&mut self, member: Bytes) {
        if self.known.contains(&member) {
            return;
        }
        if !self.has_others && integer::parse(&member).is_none() {
            self.has_others = true;
            self.members.sort_by_key(|member| integer::parse(member));
        }
        self.known.insert(member.clone());
        self.members.push(member);
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// All of them.
    pub fn into_members(mut self) -> Vec<Bytes> {
        if !self.has_others {
            self.members.sort_by_key(|member| integer::parse(member));
        }
        self.members
    }
}

fn names(pairs: Vec<packed::Pair>) -> Vec<Bytes> {
    pairs.into_iter().map(|(name, _)| name).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::base::Rng;
    use crate::data::testing::World;

    fn words(text: &str) -> Vec<Bytes> {
        text.split_whitespace().map(|word| Bytes::copy_from_slice(word.as_bytes())).collect()
    }

    fn key() -> Bytes {
        Bytes::from("s")
    }

    fn add(world: &mut World, members: &str) -> u64 {
        world.keys(|keys| Set::find_or_new(keys, 0, &key()).unwrap().add(keys, &words(members)).unwrap())
    }

    fn members(world: &mut World) -> Vec<Bytes> {
        world.keys(|keys| Set::find(keys, 0, &key()).unwrap().unwrap().members(keys).unwrap())
    }

    #[test]
    fn golden_payloads() {
        let mut world = World::new(1);
        let payload = |world: &mut World| {
            let head = world.keys(|keys| keys.lookup(0, b"s")).unwrap().unwrap();
            head.payload.escape_ascii().to_string()
        };
        assert_eq!(add(&mut world, "10 9 -1 9"), 3);
        assert_eq!(payload(&mut world), r"\x01\x02-1\x019\x0210");
        assert_eq!(add(&mut world, "b a 1"), 3);
        assert_eq!(payload(&mut world), r"\x00\x02-1\x019\x0210\x01b\x01a\x011");
        add(&mut world, &"v".repeat(65));
        assert_eq!(payload(&mut world), r"\x00\x00\x00\x00\x00\x00\x00\x07");
        assert_eq!(world.store.len(), 8);
    }

    #[test]
    fn a_set_of_either_form_is_what_a_model_is() {
        for (entries, integers) in [(0, 0), (2, 5), (5, 2), (100, 100)] {
            let mut world = World::new(1);
            world.thresholds.set_entries_max = entries;
            world.thresholds.set_integers_max = integers;
            let (mut model, mut rng) = (BTreeSet::new(), Rng::new(1));
            for _ in 0..2_000 {
                let few = if rng.chance(1, 2) { "0 1 2 3 4 5 6 7" } else { "a b 3 4 x y z w" };
                let some: Vec<Bytes> = words(few).into_iter().filter(|_| rng.chance(1, 3)).collect();
                if rng.chance(1, 2) {
                    let added = world.keys(|keys| Set::find_or_new(keys, 0, &key()).unwrap().add(keys, &some).unwrap());
                    let expected = some.iter().filter(|member| model.insert((*member).clone())).count();
                    assert_eq!(added, expected as u64);
                } else if let Some(set) = world.keys(|keys| Set::find(keys, 0, &key()).unwrap()) {
                    let removed = world.keys(|keys| set.remove(keys, &some).unwrap());
                    assert_eq!(removed, some.iter().filter(|member| model.remove(*member)).count() as u64);
                }
                let set = world.keys(|keys| Set::find(keys, 0, &key()).unwrap());
                assert_eq!(set.is_some(), !model.is_empty());
                let Some(set) = set else { continue };
                assert_eq!(set.count(), model.len() as u64);
                world.keys(|keys| {
                    let found: BTreeSet<Bytes> = set.members(keys).unwrap().into_iter().collect();
                    assert_eq!(found, model);
                    assert_eq!(set.contains(keys, b"3").unwrap(), model.contains(&b"3"[..]));
                    let drawn: BTreeSet<Bytes> = set.random(keys, 3, false).unwrap().into_iter().collect();
                    assert!(drawn.len() == model.len().min(3) && drawn.is_subset(&model));
                });
                world.audit();
            }
        }
    }

    #[test]
    fn many_words_make_a_large_set_even_of_one_member() {
        let mut world = World::new(1);
        for (members, added) in [("1", 1), ("1 ".repeat(65).as_str(), 0)] {
            assert_eq!(add(&mut world, members), added);
            world.audit();
        }
        assert!(world.keys(|keys| keys.lookup(0, b"s")).unwrap().unwrap().spread);
    }

    #[test]
    fn results_are_in_the_order_of_a_small_set() {
        let mut world = World::new(1);
        for text in ["3 1 2", "3 1 b 2", "b a 1 0", "5 4 4 z 5 1"] {
            let mut collected = Collected::default();
            words(text).into_iter().for_each(|word| collected.add(word));
            world.keys(|keys| Set::replace(keys, 0, &key(), &words(text)).unwrap());
            assert_eq!(collected.into_members(), members(&mut world), "{text}");
        }
        world.keys(|keys| Set::replace(keys, 0, &key(), &[]).unwrap());
        assert_eq!(world.store.len(), 0);
    }
}
