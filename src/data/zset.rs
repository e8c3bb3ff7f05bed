//! Sorted sets: distinct members with scores, in the order of scores and, where those are equal, of bytes. Two forms:
//!
//! ```text
//! small    members with their scores, packed as pairs, in order
//! spread   facts of the tree; a record per member with its score, and a counted tree of score | member
//! score    f64 BE
//! ```
//!
//! The record of a member finds its score, and the score its place in the tree ([`super::counted`]), which knows ranks.
//! A sorted set becomes spread when it gets more members, or a longer one, than the thresholds allow, or than one record
//! should hold; as in Redis, it never turns back. One that is spread although a Redis would still keep it in one piece
//! says so ([`Head::compact`]), as long as that is true. The last member takes the key with it.
//!
//! Invariants: the entries of the tree are the member records, each once, in order; there is at least one. No score is
//! NaN. 0 and -0 are one place; a set in one piece has 0 for both, as a Redis has, which keeps integers there.

#[cfg(test)]
mod tests;

use std::cmp::Ordering;
use std::ops::ControlFlow;

use bytes::{BufMut, Bytes, BytesMut};

use super::counted::Tree;
use super::elements::{self, Elements};
use super::{Error, Head, Keyspace, Kind, Result, packed};
use crate::store::keys::ElementKind;
use crate::store::{self, Order, Read};

/// A member and its score.
pub type Scored = (Bytes, f64);

/// Called for each member; `Break` ends the visit.
type Visit<'a> = dyn FnMut(Bytes, f64) -> ControlFlow<()> + 'a;

/// Whether a place is behind a member with a score: true for all members up to it.
pub type IsBefore<'a> = dyn Fn(f64, &[u8]) -> bool + 'a;

/// A sorted set as it was found. Valid until the key is changed by others; [`Zset::save`] writes what was changed.
#[derive(Clone, Debug)]
pub struct Zset {
    db: u8,
    key: Bytes,
    /// What the keyspace holds; `None` for one that is being made.
    head: Option<Head>,
    form: Form,
    /// A Redis would keep it in one piece, whatever form it has here.
    compact: bool,
    is_changed: bool,
}

#[derive(Clone, Debug)]
enum Form {
    Small(Vec<Scored>),
    Spread(Tree),
}

/// What a scan of a sorted set gave.
#[derive(Clone, Debug, PartialEq)]
pub struct Scanned {
    /// Where to go on, 0 at the end.
    pub cursor: u64,
    /// Members in this part.
    pub members: Vec<Scored>,
    /// Whether a Redis keeps the set in one piece.
    pub is_small: bool,
}

impl Zset {
    /// The sorted set of a key, if there is one.
    pub fn find(keys: &mut Keyspace<'_>, db: u8, key: &Bytes) -> Result<Option<Zset>> {
        match keys.lookup_kind(db, key, Kind::Zset)? {
            Some(head) => Zset::of_head(keys, db, key, head).map(Some),
            None => Ok(None),
        }
    }

    /// The sorted set of a head that was found.
    pub fn of_head(keys: &Keyspace<'_>, db: u8, key: &Bytes, head: Head) -> Result<Zset> {
        let form = if head.spread {
            Form::Spread(tree(db, key, keys.thresholds.node_entries_max).decode(&mut &head.payload[..])?)
        } else {
            let pairs = packed::decode(&head.payload)?.into_iter();
            Form::Small(pairs.map(|(member, score)| Ok((member, decode_score(&score)?))).collect::<Result<_>>()?)
        };
        let compact = !head.spread || head.compact;
        Ok(Zset { db, key: key.clone(), head: Some(head), form, compact, is_changed: false })
    }

    /// An empty one, which is stored with its first member.
    pub fn new(db: u8, key: &Bytes) -> Zset {
        Zset { db, key: key.clone(), head: None, form: Form::Small(Vec::new()), compact: true, is_changed: false }
    }

    /// How many members there are; none only before the first is saved.
    pub fn count(&self) -> u64 {
        match &self.form {
            Form::Small(members) => members.len() as u64,
            Form::Spread(tree) => tree.count(),
        }
    }

    /// The score of a member.
    pub fn score(&self, keys: &Keyspace<'_>, member: &[u8]) -> Result<Option<f64>> {
        match &self.form {
            Form::Small(members) => Ok(members.iter().find(|(known, _)| known == member).map(|(_, score)| *score)),
            Form::Spread(_) => match keys.store.get(&self.elements().record(member))? {
                Some(score) => decode_score(&score).map(Some),
                None => Ok(None),
            },
        }
    }

    /// How many members are before a place.
    pub fn partition(&self, keys: &Keyspace<'_>, is_before: &IsBefore<'_>) -> Result<u64> {
        match &self.form {
            Form::Small(members) => Ok(members.partition_point(|(member, score)| is_before(*score, member)) as u64),
            Form::Spread(tree) => tree.partition(keys.store, &|entry| {
                let (score, member) = split(entry);
                is_before(score, member)
            }),
        }
    }

    /// The rank of a member, from its score.
    pub fn rank(&self, keys: &Keyspace<'_>, member: &[u8], score: f64) -> Result<u64> {
        self.partition(keys, &|other, known| compare((other, known), (score, member)).is_lt())
    }

    /// Visits members from one end, or from `skip` members behind it.
    pub fn visit(&self, keys: &Keyspace<'_>, skip: u64, order: Order, visit: &mut Visit<'_>) -> Result<()> {
        match &self.form {
            Form::Small(members) => {
                let mut visit = |(member, score): &Scored| visit(member.clone(), *score);
                let skip = usize::try_from(skip).unwrap_or(usize::MAX);
                let _ = match order {
                    Order::Forward => members.iter().skip(skip).try_for_each(&mut visit),
                    Order::Backward => members.iter().rev().skip(skip).try_for_each(&mut visit),
                };
                Ok(())
            }
            Form::Spread(tree) => tree.visit(keys.store, skip, order, &mut |entry| {
                let (score, _) = split(&entry);
                visit(entry.slice(SCORE_BYTES.min(entry.len())..), score)
            }),
        }
    }

    /// The members from rank `from` to before `to`.
    pub fn range(&self, keys: &Keyspace<'_>, from: u64, to: u64) -> Result<Vec<Scored>> {
        let (mut members, mut left) = (Vec::new(), to.saturating_sub(from));
        if left > 0 {
            self.visit(keys, from, Order::Forward, &mut |member, score| {
                members.push((member, score));
                left -= 1;
                if left > 0 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
            })?;
        }
        Ok(members)
    }

    /// A part of the members, from where `cursor` (0 or an earlier answer's) says, about `count` of them. What a Redis keeps
    /// in one piece comes whole and in order, another one in the order of checksums.
    pub fn scan(&self, keys: &Keyspace<'_>, cursor: u64, count: u64) -> Result<Scanned> {
        if self.compact {
            return Ok(Scanned { cursor: 0, members: self.range(keys, 0, u64::MAX)?, is_small: true });
        }
        let part = self.elements().scan(keys, cursor, count)?;
        let members = part.pairs.into_iter().map(|(member, score)| Ok((member, decode_score(&score)?)));
        Ok(Scanned { cursor: part.cursor, members: members.collect::<Result<_>>()?, is_small: false })
    }

    /// `count` members drawn at random, each with the same chance. With `repeat` one may come more than once, without
    /// at most all of them come.
    pub fn random(&self, keys: &mut Keyspace<'_>, count: u64, repeat: bool) -> Result<Vec<Scored>> {
        let tree = match &self.form {
            Form::Small(members) => return Ok(elements::pick(keys.rng, members, count, repeat)),
            Form::Spread(tree) => tree,
        };
        let ranks = elements::ranks(keys.rng, tree.count(), count, repeat);
        let mut drawn = vec![(Bytes::new(), 0.0); ranks.len()];
        // One after the other, since two that lie side by side cost one more visit at most.
        for (rank, place) in elements::in_order(ranks) {
            let entry = tree.get(keys.store, rank)?.ok_or_else(damaged)?;
            drawn[place] = (entry.slice(SCORE_BYTES.min(entry.len())..), split(&entry).0);
        }
        Ok(drawn)
    }

    /// Sets the score of a member; `before` is what [`Zset::score`] found.
    pub fn set(&mut self, keys: &mut Keyspace<'_>, member: &Bytes, score: f64, before: Option<f64>) -> Result<()> {
        if let Some(before) = before {
            self.take_out(keys, member, before)?;
        } else if self.count() >= keys.thresholds.zset_entries_max as u64
            || member.len() > keys.thresholds.zset_value_bytes_max
        {
            self.outgrow(keys)?;
        }
        self.is_changed = true;
        let rank = self.rank(keys, member, score)?;
        let record = self.elements().record(member);
        match &mut self.form {
            Form::Small(members) => {
                members.insert(rank as usize, (member.clone(), unsigned_zero(score)));
                self.fit(keys)?;
            }
            Form::Spread(tree) => {
                let score = if self.compact { unsigned_zero(score) } else { score };
                let is_before = |separator: &[u8]| compare(split(separator), (score, member)).is_le();
                tree.splice(keys.store, (rank, rank), vec![entry(member, score)], &is_before)?;
                keys.store.put(record, encode_score(score));
            }
        }
        Ok(())
    }

    /// Removes a member; says whether there was one.
    pub fn remove(&mut self, keys: &mut Keyspace<'_>, member: &[u8]) -> Result<bool> {
        let Some(score) = self.score(keys, member)? else { return Ok(false) };
        self.take_out(keys, member, score)?;
        if let Form::Spread(_) = self.form {
            keys.store.delete(self.elements().record(member));
        }
        Ok(true)
    }

    /// Removes the members from rank `from` to before `to` and returns them.
    pub fn remove_ranks(&mut self, keys: &mut Keyspace<'_>, from: u64, to: u64) -> Result<Vec<Scored>> {
        let removed = self.range(keys, from, to)?;
        self.is_changed |= !removed.is_empty();
        let records: Vec<Bytes> = removed.iter().map(|(member, _)| self.elements().record(member)).collect();
        match &mut self.form {
            Form::Small(members) => drop(members.drain(from as usize..from as usize + removed.len())),
            Form::Spread(tree) => {
                tree.splice(keys.store, (from, from + removed.len() as u64), Vec::new(), &|_| false)?;
                records.into_iter().for_each(|record| keys.store.delete(record));
            }
        }
        Ok(removed)
    }

    /// Makes room for so many members, the longest of so many bytes: Redis decides by the words of a call, before it
    /// knows how many of them are new.
    pub fn expect(&mut self, keys: &mut Keyspace<'_>, members: usize, bytes: usize) -> Result<()> {
        let is_new = self.head.is_none() && bytes > keys.thresholds.zset_value_bytes_max;
        if members > keys.thresholds.zset_entries_max || is_new { self.outgrow(keys) } else { Ok(()) }
    }

    /// Makes a key a sorted set of these members, whatever it was; without members there is no key.
    pub fn replace(keys: &mut Keyspace<'_>, db: u8, key: &Bytes, mut members: Vec<Scored>) -> Result<bool> {
        let before = keys.lookup(db, key)?;
        if let Some(before) = &before {
            keys.remove(db, key, before);
        }
        members.sort_by(|(one, first), (other, second)| compare((*first, one), (*second, other)));
        let longest = members.iter().map(|(member, _)| member.len()).max().unwrap_or(0);
        let is_large =
            members.len() > keys.thresholds.zset_entries_max || longest > keys.thresholds.zset_value_bytes_max;
        if !is_large {
            members.iter_mut().for_each(|(_, score)| *score = unsigned_zero(*score));
        }
        let mut zset = Zset { form: Form::Small(members), is_changed: true, ..Zset::new(db, key) };
        if is_large {
            zset.outgrow(keys)?;
        }
        zset.fit(keys)?;
        match before {
            Some(_) => keys.replacing(|keys| zset.save(keys)),
            None => zset.save(keys),
        }
        Ok(before.is_some())
    }

    /// Writes the head if anything was changed, or removes the key with the last member.
    pub fn save(self, keys: &mut Keyspace<'_>) {
        if !self.is_changed {
            return;
        }
        let before = self.head.as_ref();
        let head = match (&self.form, before) {
            (_, Some(before)) if self.count() == 0 => return keys.remove(self.db, &self.key, before),
            (_, None) if self.count() == 0 => return,
            (Form::Small(members), _) => {
                let pairs: Vec<packed::Pair> =
                    members.iter().map(|(member, score)| (member.clone(), encode_score(*score))).collect();
                Head::new(Kind::Zset, packed::encode(&pairs))
            }
            (Form::Spread(tree), _) => {
                let mut payload = BytesMut::new();
                tree.encode(&mut payload);
                Head { spread: true, compact: self.compact, ..Head::new(Kind::Zset, payload.freeze()) }
            }
        };
        let deadline = before.and_then(|before| before.deadline);
        keys.set(self.db, &self.key, before, head.with_deadline(deadline));
    }

    /// Takes a member out of the order; its record stays.
    fn take_out(&mut self, keys: &mut Keyspace<'_>, member: &[u8], score: f64) -> Result<()> {
        self.is_changed = true;
        let rank = self.rank(keys, member, score)?;
        match &mut self.form {
            Form::Small(members) => drop(members.remove(rank as usize)),
            Form::Spread(tree) if rank >= tree.count() => return Err(damaged()),
            Form::Spread(tree) => tree.splice(keys.store, (rank, rank + 1), Vec::new(), &|_| false)?,
        }
        Ok(())
    }

    /// From now on a Redis would not keep it in one piece.
    fn outgrow(&mut self, keys: &mut Keyspace<'_>) -> Result<()> {
        self.is_changed |= self.compact;
        self.compact = false;
        self.spread(keys)
    }

    /// Spreads what is too large for one record.
    fn fit(&mut self, keys: &mut Keyspace<'_>) -> Result<()> {
        let Form::Small(members) = &self.form else { return Ok(()) };
        let bytes = || members.iter().map(|(member, _)| member.len() + SCORE_BYTES + 2).sum();
        if keys.thresholds.is_one_record(members.len(), bytes) { Ok(()) } else { self.spread(keys) }
    }

    /// Gives every member a record and an entry in the tree. The head follows with [`Zset::save`].
    fn spread(&mut self, keys: &mut Keyspace<'_>) -> Result<()> {
        let Form::Small(members) = &mut self.form else { return Ok(()) };
        self.is_changed = true;
        let members = std::mem::take(members);
        for (member, score) in &members {
            keys.store.put(self.elements().record(member), encode_score(*score));
        }
        let mut tree = tree(self.db, &self.key, keys.thresholds.node_entries_max);
        let entries = members.iter().map(|(member, score)| entry(member, *score)).collect();
        tree.splice(keys.store, (0, 0), entries, &|_| false)?;
        self.form = Form::Spread(tree);
        Ok(())
    }

    fn elements(&self) -> Elements<'_> {
        Elements { db: self.db, key: &self.key, kind: ElementKind::Score }
    }
}

/// The order of members.
pub fn compare(one: (f64, &[u8]), other: (f64, &[u8])) -> Ordering {
    one.0.partial_cmp(&other.0).unwrap_or(Ordering::Equal).then_with(|| one.1.cmp(other.1))
}

/// How many members a spread sorted set has, and how many bytes their entries in the tree, from its head alone.
pub(super) fn tree_size(head: &Head) -> Result<(u64, u64)> {
    let tree = tree(0, &Bytes::new(), 2).decode(&mut &head.payload[..])?;
    Ok((tree.count(), tree.bytes()))
}

/// What is wrong with the records of a spread sorted set.
pub(super) fn audit(view: &dyn Read, db: u8, key: &Bytes, head: &Head, records: u64) -> Result<Vec<String>> {
    let tree = tree(db, key, 2).decode(&mut &head.payload[..])?;
    let (mut wrong, entries) = tree.audit(view)?;
    if entries.len() as u64 != records || records == 0 {
        wrong.push(format!("a sorted set has {} entries and {records} members", entries.len()));
    }
    for pair in entries.windows(2) {
        if !compare(split(&pair[0]), split(&pair[1])).is_lt() {
            wrong.push(format!("{} is before {}", pair[0].escape_ascii(), pair[1].escape_ascii()));
        }
    }
    let elements = Elements { db, key, kind: ElementKind::Score };
    for entry in &entries {
        let (score, member) = split(entry);
        if view.get(&elements.record(member))? != Some(encode_score(score)) {
            wrong.push(format!("{} has another score than its record", entry.escape_ascii()));
        }
    }
    Ok(wrong)
}

/// 0 for -0: the sum of any other number and 0 is that number.
fn unsigned_zero(score: f64) -> f64 {
    score + 0.0
}

const SCORE_BYTES: usize = size_of::<f64>();

fn tree(db: u8, key: &Bytes, entries_max: usize) -> Tree {
    Tree::new(db, key, separator, entries_max)
}

/// An entry of the tree.
fn entry(member: &[u8], score: f64) -> Bytes {
    let mut out = BytesMut::with_capacity(SCORE_BYTES + member.len());
    out.put_f64(score);
    out.put_slice(member);
    out.freeze()
}

/// Score and member of an entry or a separator; one that is too short, which nobody writes, has score 0.
fn split(entry: &[u8]) -> (f64, &[u8]) {
    match entry.split_first_chunk::<SCORE_BYTES>() {
        Some((score, member)) => (f64::from_be_bytes(*score), member),
        None => (0.0, entry),
    }
}

/// The score of the second and, where it is that of the first as well, as much of the member as tells them apart.
fn separator(left: &[u8], right: &[u8]) -> Bytes {
    let ((first, before), (second, behind)) = (split(left), split(right));
    if first < second {
        return entry(&[], second);
    }
    let common = before.iter().zip(behind).take_while(|(one, other)| one == other).count();
    entry(&behind[..behind.len().min(common + 1)], second)
}

fn encode_score(score: f64) -> Bytes {
    Bytes::copy_from_slice(&score.to_be_bytes())
}

fn decode_score(record: &[u8]) -> Result<f64> {
    record.try_into().map(f64::from_be_bytes).map_err(|_| damaged())
}

fn damaged() -> Error {
    Error::Store(store::Error::Corrupt("the records of a sorted set do not fit together".into()))
}
