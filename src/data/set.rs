//! Sets: distinct members, in one of two forms.
//!
//! ```text
//! small    0 (any members, in order of insertion) or 1 (integers, ascending) | members, packed
//! spread   number of members u64 BE | of a compact one, 0 or 1 as above; and one record per member with an empty value,
//!          in the order of checksums
//! ```
//!
//! Two kinds of small set, because Redis has them (listpack and intset) and clients see the order. A set of integers
//! gets the first form with its first other member. A set becomes spread when it gets more members, or a longer one,
//! than the thresholds allow, or than one record should hold; as in Redis, it never turns back. One that is spread
//! although a Redis would still keep it in one piece is *compact*, as long as that is true ([`Head::compact`]). The last
//! member takes the key with it.
//!
//! Invariant: the number in a spread set's head is the number of its member records, and never 0.

#[cfg(test)]
mod tests;

use bytes::{BufMut, Bytes, BytesMut};

use super::elements::{self, Elements};
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
    Spread(Spread),
}

/// A record per member.
#[derive(Clone, Copy, Debug)]
struct Spread {
    count: u64,
    /// The form in which a Redis would keep the set in one piece, if it would.
    compact: Option<u8>,
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
        let form =
            if head.spread { Form::Spread(Spread::decode(&head)?) } else { Form::Small(Small::decode(&head.payload)?) };
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
            Form::Spread(spread) => spread.count,
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
        let (before, form) = (self.count(), self.form_byte());
        if form.is_some_and(|form| members.len() > entries_max(&keys.thresholds, self.form_with(form, members.first())))
        {
            // Redis counts words here, not members: it decides before it knows how many are new.
            self.spread(keys, None);
        }
        for member in members {
            if let Form::Small(small) = &mut self.form {
                if !small.add(member) {
                    continue;
                }
                let is_long = small.has_others
                    && small.members.iter().any(|member| member.len() > keys.thresholds.set_value_bytes_max);
                if is_long || small.members.len() > entries_max(&keys.thresholds, small.form()) {
                    self.spread(keys, None);
                }
            } else {
                self.add_record(keys, member)?;
            }
        }
        if let Form::Small(small) = &self.form
            && !keys.thresholds.is_one_record(small.members.len(), || small.weight())
        {
            let form = small.form();
            self.spread(keys, Some(form));
        }
        let added = self.count() - before;
        if added > 0 || form != self.form_byte() {
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
                Form::Spread(spread) if keys.store.get(&record)?.is_some() => {
                    keys.store.delete(record);
                    spread.count -= 1;
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

    /// All members: in the order of a small set, in that of checksums for a spread one. Few integers are ascending in any
    /// case.
    pub fn members(&self, keys: &Keyspace<'_>) -> Result<Vec<Bytes>> {
        match &self.form {
            Form::Small(small) => Ok(small.members.clone()),
            Form::Spread(spread) => {
                let mut members = names(self.elements().pairs(keys)?);
                if spread.compact == Some(INTEGERS) {
                    members.sort_by_cached_key(|member| integer::parse(member));
                }
                Ok(members)
            }
        }
    }

    /// A part of the members, from where `cursor` (0 or an earlier answer's) says, about `count` of them. What a Redis
    /// keeps in one piece comes whole.
    pub fn scan(&self, keys: &Keyspace<'_>, cursor: u64, count: u64) -> Result<Scanned> {
        match &self.form {
            Form::Small(_) | Form::Spread(Spread { compact: Some(_), .. }) => {
                Ok(Scanned { cursor: 0, members: self.members(keys)? })
            }
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
            Form::Spread(spread) => Ok(names(self.elements().random(keys, spread.count, count, repeat)?)),
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
        if let Form::Spread(spread) = &mut self.form
            && keys.store.get(&record)?.is_none()
        {
            keys.store.put(record, Bytes::new());
            spread.count += 1;
            spread.compact = spread.compact.and_then(|form| {
                let form = if form == INTEGERS && integer::parse(member).is_some() { INTEGERS } else { ANY };
                let is_long = form == ANY && member.len() > keys.thresholds.set_value_bytes_max;
                (!is_long && spread.count <= entries_max(&keys.thresholds, form) as u64).then_some(form)
            });
        }
        Ok(())
    }

    /// The form in which a Redis keeps it, if it is one piece there.
    fn form_byte(&self) -> Option<u8> {
        match &self.form {
            Form::Small(small) => Some(small.form()),
            Form::Spread(spread) => spread.compact,
        }
    }

    /// The same of one that may be new: its first member says what it will be.
    fn form_with(&self, form: u8, first: Option<&Bytes>) -> u8 {
        let is_word = first.is_some_and(|first| integer::parse(first).is_none());
        if self.count() == 0 && is_word { ANY } else { form }
    }

    /// Gives every member a record of its own, or says of one that has them in which form a Redis would keep it. The head
    /// follows with [`Set::save`].
    fn spread(&mut self, keys: &mut Keyspace<'_>, compact: Option<u8>) {
        let small = match &mut self.form {
            Form::Small(small) => small,
            Form::Spread(spread) => return spread.compact = compact,
        };
        let members = std::mem::take(&mut small.members);
        self.form = Form::Spread(Spread { count: members.len() as u64, compact });
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
            (Form::Spread(spread), _) => {
                Head { spread: true, compact: spread.compact.is_some(), ..Head::new(Kind::Set, spread.encode()) }
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

    fn form(&self) -> u8 {
        if self.has_others { ANY } else { INTEGERS }
    }

    /// About the bytes of the members, packed.
    fn weight(&self) -> usize {
        self.members.iter().map(|member| member.len() + 2).sum()
    }

    fn encode(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(1 + self.weight());
        out.put_u8(self.form());
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
}

impl Spread {
    fn decode(head: &Head) -> Result<Spread> {
        let damaged = || Error::Store(store::Error::Corrupt("the head of a set has an unknown form".into()));
        match (head.payload.split_first_chunk::<8>(), head.compact) {
            (Some((count, [])), false) => Ok(Spread { count: u64::from_be_bytes(*count), compact: None }),
            (Some((count, [form @ (ANY | INTEGERS)])), true) => {
                Ok(Spread { count: u64::from_be_bytes(*count), compact: Some(*form) })
            }
            _ => Err(damaged()),
        }
    }

    fn encode(self) -> Bytes {
        let mut out = BytesMut::with_capacity(9);
        out.put_u64(self.count);
        out.extend(self.compact);
        out.freeze()
    }
}

/// How many members a Redis keeps in one piece in this form.
fn entries_max(thresholds: &Thresholds, form: u8) -> usize {
    if form == ANY { thresholds.set_entries_max } else { thresholds.set_integers_max }
}

/// Whether a set in one piece has integers only: what `OBJECT ENCODING` tells apart.
pub fn has_integers_only(head: &Head) -> bool {
    let form = if head.spread { head.payload.last() } else { head.payload.first() };
    form == Some(&INTEGERS)
}

/// How many records a spread set has for its members.
pub(super) fn record_count(head: &Head) -> Result<u64> {
    Spread::decode(head).map(|spread| spread.count)
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
