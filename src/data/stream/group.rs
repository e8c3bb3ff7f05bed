//! Groups of consumers: how far a group has read, who reads, and what each was given and has not acknowledged.
//!
//! ```text
//! group      name: number | last id | entries read + 1, or 0 | pending | consumers | next consumer's number
//! consumer   group's number | name: number | seen | active + 1, or 0 | pending
//! pending    group's number | id: delivered | deliveries | consumer's name
//! owned      group's number | consumer's number | id: nothing
//! number     u64 BE in names, varint in values
//! ```
//!
//! Numbers are never used twice, so a group goes with three ranges, however much is pending.
//!
//! Invariants: each pending entry is owned by the consumer that it names, and the counts are those of the records.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use bytes::{BufMut, Bytes, BytesMut};

use super::records::Place;
use super::{Id, Stream, damaged};
use crate::base::Millis;
use crate::data::{Keyspace, Result, packed};
use crate::store::keys::ElementKind;
use crate::store::{Order, Read};

/// A group as it was found, with the consumers that were looked at. [`Group::save`] writes what was changed.
#[derive(Clone, Debug)]
pub struct Group {
    place: Place,
    /// As clients name it.
    pub name: Bytes,
    number: u64,
    /// The last entry that was delivered.
    pub last_id: Id,
    /// Entries up to that one, if that is known.
    pub entries_read: Option<u64>,
    /// Entries that were delivered and not acknowledged.
    pub pending: u64,
    /// How many consumers there are.
    pub consumers: u64,
    next_consumer: u64,
    /// What the records say.
    stored: Bytes,
    open: BTreeMap<Bytes, Consumer>,
    is_changed: bool,
}

/// One of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Consumer {
    /// As clients name it.
    pub name: Bytes,
    number: u64,
    /// When it last asked for something.
    pub seen: Millis,
    /// When it last got something.
    pub active: Option<Millis>,
    /// Entries that it was given and has not acknowledged.
    pub pending: u64,
    stored: Bytes,
}

/// An entry that was delivered and not acknowledged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pending {
    /// Whom it was given to.
    pub consumer: Bytes,
    /// When, the last time.
    pub delivered: Millis,
    /// How often.
    pub deliveries: u64,
}

impl Stream {
    /// A group of this stream.
    pub fn group(&self, keys: &Keyspace<'_>, name: &[u8]) -> Result<Option<Group>> {
        match keys.store.get(&self.place.record(ElementKind::Readers, name))? {
            Some(record) => Group::decode(&self.place, name, &record).map(Some),
            None => Ok(None),
        }
    }

    /// All groups, in the order of their names.
    pub fn groups(&self, keys: &Keyspace<'_>) -> Result<Vec<Group>> {
        let mut groups = Vec::new();
        self.place.visit(keys.store, ElementKind::Readers, &[], &mut |name, record| {
            groups.push(Group::decode(&self.place, name, record)?);
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(groups)
    }

    /// Makes a group; `false` if there is one with this name.
    pub fn create_group(
        &mut self,
        keys: &mut Keyspace<'_>,
        name: &Bytes,
        last_id: Id,
        entries_read: Option<u64>,
    ) -> Result<bool> {
        if self.group(keys, name)?.is_some() {
            return Ok(false);
        }
        let group = Group {
            place: self.place.clone(),
            name: name.clone(),
            number: self.facts.next_group,
            last_id,
            entries_read,
            pending: 0,
            consumers: 0,
            next_consumer: 0,
            stored: Bytes::new(),
            open: BTreeMap::new(),
            is_changed: false,
        };
        group.save(keys);
        self.facts.groups += 1;
        self.facts.next_group += 1;
        self.is_changed = true;
        Ok(true)
    }

    /// Removes a group with all that belongs to it.
    pub fn destroy_group(&mut self, keys: &mut Keyspace<'_>, group: &Group) -> Result<()> {
        for kind in [ElementKind::Consumer, ElementKind::Pending, ElementKind::Owned] {
            // Most groups have nothing of some kind, and a range leaves a trace in the store.
            let is_empty = if kind == ElementKind::Consumer { group.consumers == 0 } else { group.pending == 0 };
            if !is_empty {
                let (start, end) =
                    crate::store::keys::ordered_of(self.place.db, &self.place.key, kind, &group.number.to_be_bytes());
                keys.store.delete_range(start, end);
            }
        }
        keys.store.delete(self.place.record(ElementKind::Readers, &group.name));
        self.facts.groups = self.facts.groups.checked_sub(1).ok_or_else(damaged)?;
        self.is_changed = true;
        Ok(())
    }
}

impl Group {
    /// A consumer of the group.
    pub fn consumer(&mut self, keys: &Keyspace<'_>, name: &Bytes) -> Result<Option<&mut Consumer>> {
        if !self.open.contains_key(name) {
            let Some(record) = keys.store.get(&self.consumer_record(name))? else { return Ok(None) };
            self.open.insert(name.clone(), Consumer::decode(name, &record)?);
        }
        Ok(self.open.get_mut(name))
    }

    /// A consumer of the group, which is made if there is none; says whether it was.
    pub fn consumer_or_new(&mut self, keys: &Keyspace<'_>, name: &Bytes, now: Millis) -> Result<bool> {
        if self.consumer(keys, name)?.is_some() {
            return Ok(false);
        }
        let (name, number) = (name.clone(), self.next_consumer);
        self.next_consumer += 1;
        self.consumers += 1;
        let made = Consumer { name: name.clone(), number, seen: now, active: None, pending: 0, stored: Bytes::new() };
        self.open.insert(name, made);
        Ok(true)
    }

    /// All consumers, in the order of their names.
    pub fn all_consumers(&self, keys: &Keyspace<'_>) -> Result<Vec<Consumer>> {
        let (mut consumers, prefix) = (Vec::new(), self.number.to_be_bytes());
        self.place.visit(keys.store, ElementKind::Consumer, &prefix, &mut |name, record| {
            let name = name.get(prefix.len()..).ok_or_else(damaged)?;
            consumers.push(Consumer::decode(name, record)?);
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(consumers)
    }

    /// Removes a consumer with all that it has not acknowledged; returns how much that was.
    pub fn remove_consumer(&mut self, keys: &mut Keyspace<'_>, name: &Bytes) -> Result<u64> {
        let Some(consumer) = self.consumer(keys, name)?.cloned() else { return Ok(0) };
        for id in self.owned_ids(keys.store, &consumer, (Id::MIN, Id::MAX), u64::MAX)? {
            keys.store.delete(self.pending_record(id));
            keys.store.delete(self.owned_record(&consumer, id));
        }
        keys.store.delete(self.consumer_record(name));
        self.open.remove(name);
        self.pending = self.pending.checked_sub(consumer.pending).ok_or_else(damaged)?;
        self.consumers = self.consumers.checked_sub(1).ok_or_else(damaged)?;
        self.is_changed = true;
        Ok(consumer.pending)
    }

    /// An entry that is pending.
    pub fn pending(&self, keys: &Keyspace<'_>, id: Id) -> Result<Option<Pending>> {
        match keys.store.get(&self.pending_record(id))? {
            Some(record) => Pending::decode(&record).map(Some),
            None => Ok(None),
        }
    }

    /// Visits pending entries of the group between two ids, both included.
    pub fn visit_pending(
        &self,
        keys: &Keyspace<'_>,
        (from, to): (Id, Id),
        visit: &mut dyn FnMut(Id, Pending) -> ControlFlow<()>,
    ) -> Result<()> {
        let between = (&self.pending_name(from)[..], &self.pending_name(to)[..]);
        self.place.visit_between(keys.store, ElementKind::Pending, between, Order::Forward, &mut |name, record| {
            Ok(visit(Id::at_end_of(name).ok_or_else(damaged)?, Pending::decode(record)?))
        })
    }

    /// Ids of the first and the last pending entry.
    pub fn pending_ends(&self, keys: &Keyspace<'_>) -> Result<Option<(Id, Id)>> {
        let mut ends = [None; 2];
        for (end, order) in ends.iter_mut().zip([Order::Forward, Order::Backward]) {
            let between = (&self.pending_name(Id::MIN)[..], &self.pending_name(Id::MAX)[..]);
            self.place.visit_between(keys.store, ElementKind::Pending, between, order, &mut |name, _| {
                *end = Id::at_end_of(name);
                Ok(ControlFlow::Break(()))
            })?;
        }
        Ok(ends[0].zip(ends[1]))
    }

    /// Pending entries of one consumer between two ids, both included, at most so many.
    pub fn owned(
        &self,
        keys: &Keyspace<'_>,
        consumer: &Consumer,
        between: (Id, Id),
        count: u64,
    ) -> Result<Vec<(Id, Pending)>> {
        let ids = self.owned_ids(keys.store, consumer, between, count)?;
        ids.into_iter().map(|id| Ok((id, self.pending(keys, id)?.ok_or_else(damaged)?))).collect()
    }

    /// Gives an entry to a consumer that was looked up; `before` is what [`Group::pending`] found.
    pub fn give(&mut self, keys: &mut Keyspace<'_>, id: Id, before: Option<&Pending>, after: &Pending) -> Result<()> {
        if before.is_none_or(|before| before.consumer != after.consumer) {
            if let Some(before) = before {
                self.disown(keys, id, before)?;
            } else {
                self.pending += 1;
            }
            let consumer = self.consumer(keys, &after.consumer)?.ok_or_else(damaged)?;
            consumer.pending += 1;
            let consumer = consumer.clone();
            keys.store.put(self.owned_record(&consumer, id), Bytes::new());
        }
        keys.store.put(self.pending_record(id), after.encode());
        self.is_changed = true;
        Ok(())
    }

    /// Forgets a pending entry.
    pub fn acknowledge(&mut self, keys: &mut Keyspace<'_>, id: Id, before: &Pending) -> Result<()> {
        self.disown(keys, id, before)?;
        keys.store.delete(self.pending_record(id));
        self.pending = self.pending.checked_sub(1).ok_or_else(damaged)?;
        self.is_changed = true;
        Ok(())
    }

    /// Writes what was changed.
    pub fn save(mut self, keys: &mut Keyspace<'_>) {
        let record = self.encode();
        if record != self.stored {
            keys.store.put(self.place.record(ElementKind::Readers, &self.name), record);
            self.is_changed = true;
        }
        for consumer in std::mem::take(&mut self.open).values() {
            let record = consumer.encode();
            if record != consumer.stored {
                keys.store.put(self.consumer_record(&consumer.name), record);
                self.is_changed = true;
            }
        }
        if self.is_changed {
            keys.touch(self.place.db, &self.place.key);
        }
    }

    fn disown(&mut self, keys: &mut Keyspace<'_>, id: Id, before: &Pending) -> Result<()> {
        let owner = self.consumer(keys, &before.consumer)?.ok_or_else(damaged)?;
        owner.pending = owner.pending.checked_sub(1).ok_or_else(damaged)?;
        let owner = owner.clone();
        keys.store.delete(self.owned_record(&owner, id));
        Ok(())
    }

    fn owned_ids(&self, store: &dyn Read, consumer: &Consumer, between: (Id, Id), count: u64) -> Result<Vec<Id>> {
        let (mut ids, name) = (Vec::new(), |id| self.owned_name(consumer, id));
        if count == 0 {
            return Ok(ids);
        }
        let between = (&name(between.0)[..], &name(between.1)[..]);
        self.place.visit_between(store, ElementKind::Owned, between, Order::Forward, &mut |name, _| {
            ids.push(Id::at_end_of(name).ok_or_else(damaged)?);
            Ok(if (ids.len() as u64) < count { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
        })?;
        Ok(ids)
    }

    fn consumer_record(&self, name: &[u8]) -> Bytes {
        self.place.record(ElementKind::Consumer, &[&self.number.to_be_bytes(), name].concat())
    }

    fn pending_name(&self, id: Id) -> Vec<u8> {
        [&self.number.to_be_bytes()[..], &id.bytes()].concat()
    }

    fn pending_record(&self, id: Id) -> Bytes {
        self.place.record(ElementKind::Pending, &self.pending_name(id))
    }

    fn owned_name(&self, consumer: &Consumer, id: Id) -> Vec<u8> {
        [&self.number.to_be_bytes()[..], &consumer.number.to_be_bytes(), &id.bytes()].concat()
    }

    fn owned_record(&self, consumer: &Consumer, id: Id) -> Bytes {
        self.place.record(ElementKind::Owned, &self.owned_name(consumer, id))
    }

    fn encode(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(32);
        packed::put_varint(&mut out, self.number);
        self.last_id.put(&mut out);
        put_optional(&mut out, self.entries_read);
        for number in [self.pending, self.consumers, self.next_consumer] {
            packed::put_varint(&mut out, number);
        }
        out.freeze()
    }

    fn decode(place: &Place, name: &[u8], record: &[u8]) -> Result<Group> {
        let mut rest = record;
        Ok(Group {
            place: place.clone(),
            name: Bytes::copy_from_slice(name),
            number: packed::take_number(&mut rest)?,
            last_id: Id::take(&mut rest)?,
            entries_read: take_optional(&mut rest)?,
            pending: packed::take_number(&mut rest)?,
            consumers: packed::take_number(&mut rest)?,
            next_consumer: packed::take_number(&mut rest)?,
            stored: Bytes::copy_from_slice(record),
            open: BTreeMap::new(),
            is_changed: false,
        })
    }
}

impl Consumer {
    fn encode(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(16);
        packed::put_varint(&mut out, self.number);
        packed::put_varint(&mut out, self.seen.0);
        put_optional(&mut out, self.active.map(|active| active.0));
        packed::put_varint(&mut out, self.pending);
        out.freeze()
    }

    fn decode(name: &[u8], record: &[u8]) -> Result<Consumer> {
        let mut rest = record;
        Ok(Consumer {
            name: Bytes::copy_from_slice(name),
            number: packed::take_number(&mut rest)?,
            seen: Millis(packed::take_number(&mut rest)?),
            active: take_optional(&mut rest)?.map(Millis),
            pending: packed::take_number(&mut rest)?,
            stored: Bytes::copy_from_slice(record),
        })
    }
}

impl Pending {
    fn encode(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(10 + self.consumer.len());
        packed::put_varint(&mut out, self.delivered.0);
        packed::put_varint(&mut out, self.deliveries);
        out.put_slice(&self.consumer);
        out.freeze()
    }

    fn decode(record: &[u8]) -> Result<Pending> {
        let mut rest = record;
        let (delivered, deliveries) = (Millis(packed::take_number(&mut rest)?), packed::take_number(&mut rest)?);
        Ok(Pending { consumer: Bytes::copy_from_slice(rest), delivered, deliveries })
    }
}

/// A number that may be missing; so is `u64::MAX`, which nobody counts to.
fn put_optional(out: &mut BytesMut, number: Option<u64>) {
    packed::put_varint(out, number.map_or(0, |number| number.wrapping_add(1)));
}

fn take_optional(rest: &mut &[u8]) -> Result<Option<u64>> {
    Ok(packed::take_number(rest)?.checked_sub(1))
}
