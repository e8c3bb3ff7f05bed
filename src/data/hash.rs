//! Hashes: fields with values, in one of two forms, and with or without deadlines of fields.
//!
//! A **small** hash is its head's payload, all pairs packed ([`super::packed`]) in the order in which fields were first
//! set (Redis's listpack keeps the same order, and clients see it). A **spread**
//! hash has a head whose payload is the number of fields (u64 BE) and one record per field, in the order of the
//! fields' checksums, so that access costs the same at any size and the whole may exceed memory.
//!
//! A hash becomes spread when it gets more fields, or a longer field or value, than the thresholds allow, or than one
//! record should hold, and stays so: as in Redis, it never turns back. One that is spread although a Redis would still
//! keep it in one piece says so ([`Head::compact`]), as long as that is true. The last field takes the key with it.
//!
//! **Deadlines.** While a field has a deadline, the head says when the first and the last of them ends
//! ([`super::FieldEnds`]); a hash without any has not a byte of this. A small hash then packs a third part behind each
//! pair ([`field`]). A spread one has two more records per field that has a deadline: by checksum, to find it, and by
//! time, to find what is due; and behind the number of fields in the head that of those with a deadline (u64 BE).
//!
//! A field is dead when the stamp has reached its deadline. It is stored until the log deletes it, a portion at a time
//! ([`super::field_expiry`]); until then everything here answers as if it were gone.
//!
//! Invariant: the numbers in a spread hash's head are those of its records, and it has a field at least. What the head
//! says about deadlines is what its fields say.

mod audit;
mod change;
mod field;
#[cfg(test)]
mod tests;

use std::ops::ControlFlow;

use bytes::Bytes;

use super::elements::{self, Elements, Scanned};
use super::packed::Pair;
use super::{FieldEnds, Head, Keyspace, Kind, Result};
use crate::base::{HashMap, HashSet, Millis};
use crate::store::Order;
use crate::store::keys::{self, ElementKind};

pub(super) use audit::audit;
pub use change::{Change, Ending};
pub use field::Field;
use field::Numbers;

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
    /// All fields as they are stored: reading one takes nothing apart.
    Small(Bytes),
    /// How many records there are.
    Spread(Numbers),
}

/// Called for each field with a deadline: when it ends, and its name.
type VisitDue<'a> = dyn FnMut(Millis, &[u8]) -> Result<ControlFlow<()>> + 'a;

impl Hash {
    /// The hash of a key, if there is one.
    pub fn find(keys: &mut Keyspace<'_>, db: u8, key: &Bytes) -> Result<Option<Hash>> {
        let found = keys.lookup_kind(db, key, Kind::Hash)?;
        found.map(|head| Hash::of_head(db, key, head)).transpose()
    }

    /// The hash of a head that was found.
    pub fn of_head(db: u8, key: &Bytes, head: Head) -> Result<Hash> {
        let payload = &head.payload;
        let form = if head.spread {
            Form::Spread(Numbers::decode(payload, head.fields.is_some())?)
        } else {
            Form::Small(payload.clone())
        };
        Ok(Hash { db, key: key.clone(), head: Some(head), form })
    }

    /// The hash of a key; one without fields if there is none, which is stored with its first field.
    pub fn find_or_new(keys: &mut Keyspace<'_>, db: u8, key: &Bytes) -> Result<Hash> {
        let found = Hash::find(keys, db, key)?;
        Ok(found.unwrap_or_else(|| Hash { db, key: key.clone(), head: None, form: Form::Small(Bytes::new()) }))
    }

    /// How many living fields there are; none only while the hash is new. Costs more than a look at the head only
    /// while dead ones are stored.
    pub fn count(&self, keys: &Keyspace<'_>) -> Result<u64> {
        match &self.form {
            Form::Small(payload) => field::entries(payload, self.has_deadlines())
                .try_fold(0, |count, entry| Ok(count + u64::from(keys.is_alive(entry?.end)?))),
            Form::Spread(numbers) => Ok(numbers.fields.saturating_sub(self.dead_count(keys)? as u64)),
        }
    }

    /// The value of a field.
    pub fn get(&self, keys: &Keyspace<'_>, field: &[u8]) -> Result<Option<Bytes>> {
        match self.form {
            Form::Spread(_) if !self.is_due(keys) => Ok(keys.store.get(&self.record(field))?),
            _ => Ok(self.get_with_end(keys, field)?.map(|(value, _)| value)),
        }
    }

    /// The value of a field and its deadline.
    pub fn get_with_end(&self, keys: &Keyspace<'_>, name: &[u8]) -> Result<Option<(Bytes, Option<Millis>)>> {
        let (value, end) = match &self.form {
            Form::Small(payload) => {
                let is_it = |entry: &Result<field::Entry<'_>>| entry.as_ref().map_or(true, |entry| entry.name == name);
                let Some(entry) = field::entries(payload, self.has_deadlines()).find(is_it) else { return Ok(None) };
                let entry = entry?;
                (payload.slice_ref(entry.value), entry.end)
            }
            Form::Spread(_) => {
                let Some(value) = keys.store.get(&self.record(name))? else { return Ok(None) };
                (value, self.stored_end(keys, name)?)
            }
        };
        Ok(keys.is_alive(end)?.then_some((value, end)))
    }

    /// All fields: in order of insertion for a small hash, of checksums for a spread one.
    pub fn pairs(&self, keys: &Keyspace<'_>) -> Result<Vec<Pair>> {
        match &self.form {
            Form::Small(_) => Ok(self.small_fields(keys)?.into_iter().map(|field| (field.name, field.value)).collect()),
            Form::Spread(_) => {
                let dead = self.dead(keys)?;
                let mut pairs = self.elements().pairs(keys)?;
                if !dead.is_empty() {
                    pairs.retain(|(name, _)| !dead.contains(name));
                }
                Ok(pairs)
            }
        }
    }

    /// All fields with their deadlines, in the same order.
    pub fn fields(&self, keys: &Keyspace<'_>) -> Result<Vec<Field>> {
        if matches!(self.form, Form::Small(_)) {
            return self.small_fields(keys);
        }
        let mut ends = HashMap::default();
        if self.has_deadlines() {
            for (name, end) in self.of_kind(ElementKind::Deadline).pairs(keys)? {
                ends.insert(name, field::decode_end(&end)?);
            }
        }
        let field = |(name, value): Pair| {
            let end = ends.get(&name).copied();
            Field { name, value, end }
        };
        Ok(self.pairs(keys)?.into_iter().map(field).collect())
    }

    /// A part of the fields, from where `cursor` (0 or an earlier answer's) says, about `count` of them. What a Redis keeps
    /// in one piece comes whole.
    pub fn scan(&self, keys: &Keyspace<'_>, cursor: u64, count: u64) -> Result<Scanned> {
        match &self.form {
            Form::Small(_) => Ok(Scanned { cursor: 0, pairs: self.pairs(keys)? }),
            Form::Spread(_) if self.head.as_ref().is_some_and(Head::is_one_piece) => {
                Ok(Scanned { cursor: 0, pairs: self.pairs(keys)? })
            }
            Form::Spread(_) => self.elements().scan_without(keys, cursor, count, &self.dead(keys)?),
        }
    }

    /// `count` fields drawn at random, each with the same chance. With `repeat` one may come more than once, without
    /// at most all of them come.
    pub fn random(&self, keys: &mut Keyspace<'_>, count: u64, repeat: bool) -> Result<Vec<Pair>> {
        match &self.form {
            Form::Small(_) => {
                let pairs = self.pairs(keys)?;
                Ok(elements::pick(keys.rng, &pairs, count, repeat))
            }
            Form::Spread(numbers) => {
                let dead = self.dead(keys)?;
                self.elements().random_without(keys, numbers.fields, &dead, count, repeat)
            }
        }
    }

    /// Sets fields in order, a later one winning, and returns how many are new. Their deadlines go.
    pub fn set(self, keys: &mut Keyspace<'_>, pairs: impl IntoIterator<Item = Pair>) -> Result<u64> {
        let mut change = self.change(keys)?;
        let mut added = 0;
        for (name, value) in pairs {
            added += u64::from(change.put(keys, name, value, Ending::At(None))?);
        }
        change.save(keys)?;
        Ok(added)
    }

    /// Removes fields and returns how many there were. The last one takes the key along.
    pub fn remove(self, keys: &mut Keyspace<'_>, names: &[Bytes]) -> Result<u64> {
        let mut change = self.change(keys)?;
        let mut removed = 0;
        for name in names {
            removed += u64::from(change.remove(keys, name)?);
        }
        change.save(keys)?;
        Ok(removed)
    }

    /// How many fields are dead and still stored.
    pub(super) fn dead_count(&self, keys: &Keyspace<'_>) -> Result<usize> {
        match &self.form {
            Form::Small(payload) => field::entries(payload, self.has_deadlines())
                .try_fold(0, |count, entry| Ok(count + usize::from(!keys.is_alive(entry?.end)?))),
            Form::Spread(_) => {
                let mut count = 0;
                self.visit_dead(keys, &mut |_| count += 1)?;
                Ok(count)
            }
        }
    }

    fn has_deadlines(&self) -> bool {
        self.head.as_ref().is_some_and(|head| head.fields.is_some())
    }

    /// Whether there may be a field that is dead, or due by the clock. If not, deadlines need no look.
    fn is_due(&self, keys: &Keyspace<'_>) -> bool {
        let ends = self.head.as_ref().and_then(|head| head.fields);
        ends.is_some_and(|ends| ends.first <= keys.moment.stamp.max(keys.moment.clock))
    }

    /// The living fields of a small hash.
    fn small_fields(&self, keys: &Keyspace<'_>) -> Result<Vec<Field>> {
        let Form::Small(payload) = &self.form else { return Ok(Vec::new()) };
        let mut fields = Vec::new();
        for entry in field::entries(payload, self.has_deadlines()) {
            let entry = entry?;
            if keys.is_alive(entry.end)? {
                let (name, value) = (payload.slice_ref(entry.name), payload.slice_ref(entry.value));
                fields.push(Field { name, value, end: entry.end });
            }
        }
        Ok(fields)
    }

    /// The dead fields that are still stored, of a spread hash.
    fn dead(&self, keys: &Keyspace<'_>) -> Result<HashSet<Bytes>> {
        let mut dead = HashSet::default();
        self.visit_dead(keys, &mut |name| {
            dead.insert(Bytes::copy_from_slice(name));
        })?;
        Ok(dead)
    }

    /// Visits the dead fields that are still stored, of a spread hash.
    fn visit_dead(&self, keys: &Keyspace<'_>, visit: &mut dyn FnMut(&[u8])) -> Result<()> {
        if !self.is_due(keys) {
            return Ok(());
        }
        // Up to the clock, so that a local read meets what is due and not yet dead.
        self.visit_due(keys, keys.moment.stamp.max(keys.moment.clock), &mut |end, name| {
            if !keys.is_alive(Some(end))? {
                visit(name);
            }
            Ok(ControlFlow::Continue(()))
        })
    }

    /// Fields of a spread hash with a deadline at or before a moment, the earliest first, at most `limit`.
    fn due(&self, keys: &Keyspace<'_>, until: Millis, limit: usize) -> Result<Vec<Bytes>> {
        let mut due = Vec::new();
        self.visit_due(keys, until, &mut |_, name| {
            if due.len() == limit {
                return Ok(ControlFlow::Break(()));
            }
            due.push(Bytes::copy_from_slice(name));
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(due)
    }

    fn visit_due(&self, keys: &Keyspace<'_>, until: Millis, visit: &mut VisitDue<'_>) -> Result<()> {
        let (start, mut end) = keys::ordered_of(self.db, &self.key, ElementKind::Due, &[]);
        if let Some(next) = until.0.checked_add(1) {
            end = keys::ordered(self.db, &self.key, ElementKind::Due, &next.to_be_bytes());
        }
        let mut failed = None;
        keys.store.scan(&start, &end, Order::Forward, &mut |record, _| {
            field::parse_due(record).and_then(|(end, name)| visit(end, name)).unwrap_or_else(|error| {
                failed = Some(error);
                ControlFlow::Break(())
            })
        })?;
        failed.map_or(Ok(()), Err)
    }

    /// The deadline of a field as a spread hash has stored it.
    fn stored_end(&self, keys: &Keyspace<'_>, name: &[u8]) -> Result<Option<Millis>> {
        if !self.has_deadlines() {
            return Ok(None);
        }
        keys.store
            .get(&self.of_kind(ElementKind::Deadline).record(name))?
            .map(|end| field::decode_end(&end))
            .transpose()
    }

    fn record(&self, name: &[u8]) -> Bytes {
        self.elements().record(name)
    }

    fn elements(&self) -> Elements<'_> {
        self.of_kind(ElementKind::Field)
    }

    fn of_kind(&self, kind: ElementKind) -> Elements<'_> {
        Elements { db: self.db, key: &self.key, kind }
    }

    /// The head of these fields, without what the old one tells.
    fn head_of(numbers: Numbers, compact: bool, ends: Option<FieldEnds>) -> Head {
        Head { spread: true, compact, fields: ends, ..Head::new(Kind::Hash, numbers.encode(ends.is_some())) }
    }
}

/// How many records a spread hash has for its fields, and how many of them have a deadline.
pub(super) fn record_counts(head: &Head) -> Result<(u64, u64)> {
    let Numbers { fields, deadlines } = Numbers::decode(&head.payload, head.fields.is_some())?;
    Ok((fields, deadlines))
}
