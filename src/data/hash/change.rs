//! A hash while a command changes it: fields are put, removed and given deadlines one by one, then the head is written
//! once. Only on the leader, where a dead field is one that may be deleted.

use std::ops::ControlFlow;

use bytes::Bytes;

use super::field::{self, Field, Numbers, damaged};
use super::{Form, Hash};
use crate::base::Millis;
use crate::data::{Class, FieldEnds, Head, Keyspace, Kind, Result};
use crate::store::Order;
use crate::store::keys::{self, ElementKind};

/// What becomes of a field's deadline when the field is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// It stays as it is; a new field has none.
    Kept,
    /// It is this, or none.
    At(Option<Millis>),
}

/// A hash that is being changed. Nothing of it is valid before [`Change::save`].
pub struct Change {
    hash: Hash,
    fields: Fields,
    /// A Redis would keep it in one piece, whatever form it has here.
    compact: bool,
    /// Something is not as the head says.
    changed: bool,
    /// A deadline came, moved or went.
    retimed: bool,
}

/// The fields of a hash while they are changed.
enum Fields {
    Small(Vec<Field>),
    Spread(Numbers),
}

impl Hash {
    /// Starts to change the hash. Dead fields of a small one are gone at once.
    pub fn change(self, keys: &Keyspace<'_>) -> Result<Change> {
        let fields = match &self.form {
            Form::Small(_) => Fields::Small(self.small_fields(keys)?),
            Form::Spread(numbers) => Fields::Spread(*numbers),
        };
        let compact = self.head.as_ref().is_none_or(|head| !head.spread || head.compact);
        Ok(Change { hash: self, fields, compact, changed: false, retimed: false })
    }

    /// Deletes dead fields, of a spread hash at most `limit`, and returns how many and the head that is left, if any.
    pub fn end_due(self, keys: &mut Keyspace<'_>, limit: usize) -> Result<(usize, Option<Head>)> {
        let stored = match &self.form {
            Form::Small(payload) => field::entries(payload, self.has_deadlines()).count(),
            Form::Spread(_) => 0,
        };
        let due = match &self.form {
            Form::Small(_) => Vec::new(),
            Form::Spread(_) => self.due(keys, keys.moment.stamp, limit)?,
        };
        let mut change = self.change(keys)?;
        let ended = match &change.fields {
            Fields::Small(fields) => stored - fields.len(),
            Fields::Spread(_) => due.len(),
        };
        for name in due {
            change.remove(keys, &name)?;
        }
        change.changed |= ended > 0;
        let (db, key) = (change.hash.db, change.hash.key.clone());
        let left = change.save(keys)?;
        if ended > 0 {
            keys.notify(Class::Hash, "hexpired", db, &key);
            if left.is_none() {
                keys.notify(Class::Generic, "del", db, &key);
            }
        }
        Ok((ended, left))
    }
}

impl Head {
    /// The head of a small hash as it is without its dead fields: what a local read sees of it, which deletes nothing.
    pub(in crate::data) fn without_dead_fields(self, stamp: Millis) -> Result<Head> {
        if self.spread || self.fields.is_none_or(|ends| ends.first > stamp) {
            return Ok(self);
        }
        let mut fields = Vec::new();
        for entry in field::entries(&self.payload, true) {
            let entry = entry?;
            if entry.end.is_none_or(|end| end > stamp) {
                let (name, value) = (self.payload.slice_ref(entry.name), self.payload.slice_ref(entry.value));
                fields.push(Field { name, value, end: entry.end });
            }
        }
        let ends = field::ends(&fields);
        Ok(Head { fields: ends, payload: field::encode(&fields, ends.is_some()), ..self.clone() })
    }
}

impl Change {
    /// The value of a field and its deadline.
    pub fn get(&self, keys: &Keyspace<'_>, name: &[u8]) -> Result<Option<(Bytes, Option<Millis>)>> {
        let (value, end) = match &self.fields {
            Fields::Small(fields) => match fields.iter().find(|field| field.name == name) {
                Some(field) => (field.value.clone(), field.end),
                None => return Ok(None),
            },
            Fields::Spread(_) => match keys.store.get(&self.hash.record(name))? {
                Some(value) => (value, self.stored_end(keys, name)?),
                None => return Ok(None),
            },
        };
        Ok(keys.is_alive(end)?.then_some((value, end)))
    }

    /// Sets a field and says whether it is new. A deadline that has passed is not for here: it is a removal.
    pub fn put(&mut self, keys: &mut Keyspace<'_>, name: Bytes, value: Bytes, ending: Ending) -> Result<bool> {
        if name.len().max(value.len()) > keys.thresholds.hash_value_bytes_max {
            self.compact = false;
            self.spread(keys);
        }
        self.changed = true;
        let is_new = match &mut self.fields {
            Fields::Small(fields) => match fields.iter_mut().find(|field| field.name == name) {
                Some(field) => {
                    field.value = value;
                    if let Ending::At(end) = ending {
                        field.end = end;
                    }
                    false
                }
                None => {
                    let end = if let Ending::At(end) = ending { end } else { None };
                    return self.push(keys, Field { name, value, end });
                }
            },
            Fields::Spread(numbers) => {
                let record = self.hash.record(&name);
                let is_stored = keys.store.get(&record)?.is_some();
                numbers.fields += u64::from(!is_stored);
                self.compact &= numbers.fields <= keys.thresholds.hash_entries_max as u64;
                let before = self.stored_end(keys, &name)?;
                let is_new = !is_stored || !keys.is_alive(before)?;
                let after = match ending {
                    Ending::At(end) => end,
                    Ending::Kept if is_new => None,
                    Ending::Kept => before,
                };
                keys.store.put(record, value);
                self.move_end(keys, &name, before, after);
                is_new
            }
        };
        Ok(is_new)
    }

    /// Gives a field another deadline, or none; one that has passed is a removal. Nothing happens to a field that there
    /// is not.
    pub fn set_end(&mut self, keys: &mut Keyspace<'_>, name: &[u8], end: Option<Millis>) -> Result<()> {
        let Some((_, before)) = self.get(keys, name)? else { return Ok(()) };
        if before == end {
            return Ok(());
        }
        self.changed = true;
        match &mut self.fields {
            Fields::Small(fields) => {
                fields.iter_mut().filter(|field| field.name == name).for_each(|field| field.end = end);
            }
            Fields::Spread(_) => self.move_end(keys, name, before, end),
        }
        Ok(())
    }

    /// Removes a field and says whether it was there.
    pub fn remove(&mut self, keys: &mut Keyspace<'_>, name: &[u8]) -> Result<bool> {
        let was_there = match &mut self.fields {
            Fields::Small(fields) => {
                let before = fields.len();
                fields.retain(|field| field.name != name);
                self.changed |= fields.len() < before;
                fields.len() < before
            }
            Fields::Spread(numbers) => {
                let record = self.hash.record(name);
                if keys.store.get(&record)?.is_none() {
                    return Ok(false);
                }
                keys.store.delete(record);
                numbers.fields -= 1;
                self.changed = true;
                let before = self.stored_end(keys, name)?;
                self.move_end(keys, name, before, None);
                keys.is_alive(before)?
            }
        };
        Ok(was_there)
    }

    /// Writes the head, or removes the key with the last living field; returns the head that is there now. Nothing is
    /// written where nothing was changed.
    pub fn save(mut self, keys: &mut Keyspace<'_>) -> Result<Option<Head>> {
        if !self.changed {
            return Ok(self.hash.head);
        }
        if let Fields::Small(fields) = &self.fields
            && !keys.thresholds.is_one_record(fields.len(), || field::weight(fields))
        {
            self.spread(keys);
        }
        let before = self.hash.head.as_ref();
        let ends = self.ends(keys)?;
        let is_left = match &self.fields {
            Fields::Small(fields) => !fields.is_empty(),
            Fields::Spread(numbers) => numbers.fields > 0 && keys.is_alive(ends.and_then(|ends| ends.last))?,
        };
        if !is_left {
            if let Some(before) = before {
                keys.remove(self.hash.db, &self.hash.key, before);
            }
            return Ok(None);
        }
        let head = match &self.fields {
            Fields::Spread(numbers) => Hash::head_of(*numbers, self.compact, ends),
            Fields::Small(fields) => {
                Head { fields: ends, ..Head::new(Kind::Hash, field::encode(fields, ends.is_some())) }
            }
        };
        let head = head.with_deadline(before.and_then(|before| before.deadline));
        if head.spread && before == Some(&head) {
            // The head says the same as before: only watchers need to hear of the change.
            keys.touch(self.hash.db, &self.hash.key);
        } else {
            keys.set(self.hash.db, &self.hash.key, before, head.clone());
        }
        Ok(Some(head))
    }

    /// Adds a new field to a small hash.
    fn push(&mut self, keys: &mut Keyspace<'_>, field: Field) -> Result<bool> {
        if let Fields::Small(fields) = &mut self.fields {
            fields.push(field);
            if fields.len() > keys.thresholds.hash_entries_max {
                self.compact = false;
                self.spread(keys);
            }
        }
        Ok(true)
    }

    /// Gives every field a record of its own. The head follows with [`Change::save`].
    fn spread(&mut self, keys: &mut Keyspace<'_>) {
        let Fields::Small(fields) = &mut self.fields else { return };
        let fields = std::mem::take(fields);
        self.fields = Fields::Spread(Numbers { fields: fields.len() as u64, deadlines: 0 });
        for field in fields {
            keys.store.put(self.hash.record(&field.name), field.value);
            self.move_end(keys, &field.name, None, field.end);
        }
    }

    /// Moves the records of a field's deadline.
    fn move_end(&mut self, keys: &mut Keyspace<'_>, name: &[u8], before: Option<Millis>, after: Option<Millis>) {
        let Fields::Spread(numbers) = &mut self.fields else { return };
        if before == after {
            return;
        }
        self.retimed = true;
        let (db, key) = (self.hash.db, &self.hash.key);
        let deadline = self.hash.of_kind(ElementKind::Deadline).record(name);
        let due = |end| keys::ordered(db, key, ElementKind::Due, &field::due_name(end, name));
        if let Some(before) = before {
            keys.store.delete(due(before));
            numbers.deadlines -= 1;
        }
        match after {
            Some(after) => {
                keys.store.put(due(after), Bytes::new());
                keys.store.put(deadline, field::encode_end(after));
                numbers.deadlines += 1;
            }
            None => keys.store.delete(deadline),
        }
    }

    /// The deadline of a field that has a record, as it is by now.
    fn stored_end(&self, keys: &Keyspace<'_>, name: &[u8]) -> Result<Option<Millis>> {
        match &self.fields {
            Fields::Spread(Numbers { deadlines: 1.., .. }) => {
                let record = self.hash.of_kind(ElementKind::Deadline).record(name);
                keys.store.get(&record)?.map(|end| field::decode_end(&end)).transpose()
            }
            _ => Ok(None),
        }
    }

    /// When fields end, as it is by now.
    fn ends(&self, keys: &Keyspace<'_>) -> Result<Option<FieldEnds>> {
        let numbers = match &self.fields {
            Fields::Small(fields) => return Ok(field::ends(fields)),
            Fields::Spread(numbers) if numbers.deadlines == 0 => return Ok(None),
            Fields::Spread(numbers) => numbers,
        };
        let all_end = numbers.deadlines == numbers.fields;
        let before = self.hash.head.as_ref().and_then(|head| head.fields);
        match before {
            Some(before) if !self.retimed && before.last.is_some() == all_end => Ok(Some(before)),
            _ => {
                let last = if all_end { Some(self.outermost(keys, Order::Backward)?) } else { None };
                Ok(Some(FieldEnds { first: self.outermost(keys, Order::Forward)?, last }))
            }
        }
    }

    /// The earliest or the latest deadline of a spread hash.
    fn outermost(&self, keys: &Keyspace<'_>, order: Order) -> Result<Millis> {
        let (start, end) = keys::ordered_of(self.hash.db, &self.hash.key, ElementKind::Due, &[]);
        let mut found = Err(damaged());
        keys.store.scan(&start, &end, order, &mut |record, _| {
            found = field::parse_due(record).map(|(end, _)| end);
            ControlFlow::Break(())
        })?;
        found
    }
}
