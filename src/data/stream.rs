//! Streams: entries of fields with values, named by ids that only grow, and groups of consumers that share them.
//!
//! ```text
//! head         facts of the stream, and its last page
//! entry        id: words, packed
//! page         id: counts of some entries that are together (`page.rs`)
//! others       groups, their consumers and what those have not acknowledged (`group.rs`)
//! ```
//!
//! All records but the head are in the order of ids or names, so a stream is read from any place at the cost of what is
//! read, and shortened by ranges. It is always spread: an entry is one record, whatever the others are. Unlike other
//! values it may be empty.
//!
//! Invariants: entries are those that the pages count; the first and the last one are named in the head; no entry is
//! above the last id.

mod audit;
mod group;
mod id;
mod lag;
mod page;
mod records;
#[cfg(test)]
mod tests;
mod trim;

use std::ops::ControlFlow;

use bytes::{Bytes, BytesMut};

use self::page::Page;
use self::records::Place;
use super::{Error, Head, Keyspace, Kind, Result, packed};
use crate::store::keys::{self, ElementKind};
use crate::store::{self, Order, Read};

pub(super) use audit::audit;
pub use group::{Consumer, Group, Pending};
pub use id::Id;
pub use page::PAGE_BYTES_MAX;
pub use trim::{Bound, Trim};

/// Called for each entry with its words, fields and values by turns; `Break` ends the visit.
type Visit<'a> = dyn FnMut(Id, Vec<Bytes>) -> ControlFlow<()> + 'a;

/// A stream as it was found. Valid until the key is changed by others; [`Stream::save`] writes what was changed.
#[derive(Clone, Debug)]
pub struct Stream {
    place: Place,
    /// What the keyspace holds; `None` for one that is being made.
    head: Option<Head>,
    facts: Facts,
    is_changed: bool,
}

/// What the head keeps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// Entries.
    pub length: u64,
    /// Entries that there ever were, as far as that is known.
    pub added: u64,
    /// No entry that is added later has this id or a lower one.
    pub last_id: Id,
    /// The greatest id that was ever deleted (not trimmed).
    pub deleted: Id,
    /// Of the first entry; [`Id::MIN`] if there is none.
    pub first: Id,
    /// Of the last entry; [`Id::MIN`] if there is none.
    pub top: Id,
    /// Groups of consumers.
    pub groups: u64,
    /// Groups that there ever were: the number of the next one.
    next_group: u64,
    /// Pages, the last one included.
    pub pages: u64,
    /// The last page; there is one if there are pages.
    open: Option<Page>,
}

impl Stream {
    /// The stream of a key, if there is one.
    pub fn find(keys: &mut Keyspace<'_>, db: u8, key: &Bytes) -> Result<Option<Stream>> {
        let found = keys.lookup_kind(db, key, Kind::Stream)?;
        found.map(|head| Stream::of_head(db, key, head)).transpose()
    }

    /// The stream of a head that was found.
    pub fn of_head(db: u8, key: &Bytes, head: Head) -> Result<Stream> {
        let facts = Facts::decode(&head.payload)?;
        Ok(Stream { place: Place { db, key: key.clone() }, head: Some(head), facts, is_changed: false })
    }

    /// An empty one, which is there when it is saved.
    pub fn new(db: u8, key: &Bytes) -> Stream {
        Stream { place: Place { db, key: key.clone() }, head: None, facts: Facts::default(), is_changed: true }
    }

    /// What is known of it.
    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    /// Sets what XSETID sets.
    pub fn set_facts(&mut self, last_id: Id, added: Option<u64>, deleted: Option<Id>) {
        self.facts.last_id = last_id;
        self.facts.added = added.unwrap_or(self.facts.added);
        self.facts.deleted = deleted.unwrap_or(self.facts.deleted);
        self.is_changed = true;
    }

    /// Adds an entry of words, fields and values by turns. The id is above the last one.
    pub fn append(&mut self, keys: &mut Keyspace<'_>, id: Id, words: &[Bytes]) {
        assert!(id > self.facts.last_id, "{id} behind {}", self.facts.last_id);
        let mut page = match self.facts.open {
            Some(page) if page.has_room(words, &keys.thresholds) => page,
            full => {
                if let Some(page) = full {
                    keys.store.put(self.page_record(page.first), page.encode());
                }
                self.facts.pages += 1;
                Page::new(id, words)
            }
        };
        page.push(id, words);
        keys.store.put(self.entry_record(id), packed::encode_words(words));
        let facts = &mut self.facts;
        facts.open = Some(page);
        facts.length += 1;
        facts.added = facts.added.wrapping_add(1);
        (facts.last_id, facts.top) = (id, id);
        if facts.length == 1 {
            facts.first = id;
        }
        self.is_changed = true;
    }

    /// Adds entries that make a page, each with its words and whether it is there; ids are above the last one. What is not
    /// there only takes its place in the page.
    pub fn append_page(&mut self, keys: &mut Keyspace<'_>, entries: Vec<(Id, Vec<Bytes>, bool)>) -> Result<()> {
        let Some((first, words, _)) = entries.first() else { return Ok(()) };
        let mut page = Page::new(*first, words);
        if let Some(full) = self.facts.open {
            keys.store.put(self.page_record(full.first), full.encode());
        }
        let mut dead = 0;
        for (id, words, is_there) in &entries {
            assert!(*id > self.facts.last_id, "{id} behind {}", self.facts.last_id);
            page.push(*id, words);
            self.facts.last_id = *id;
            if !is_there {
                dead += 1;
                continue;
            }
            keys.store.put(self.entry_record(*id), packed::encode_words(words));
            self.facts.length += 1;
            self.facts.top = *id;
            if self.facts.length == 1 {
                self.facts.first = *id;
            }
        }
        if !page.remove(dead) {
            return Err(damaged());
        }
        self.facts.pages += 1;
        self.facts.open = Some(page);
        self.is_changed = true;
        Ok(())
    }

    /// The words of an entry.
    pub fn entry(&self, keys: &Keyspace<'_>, id: Id) -> Result<Option<Vec<Bytes>>> {
        match keys.store.get(&self.entry_record(id))? {
            Some(words) => packed::decode_words(&words).map(Some),
            None => Ok(None),
        }
    }

    /// Visits the entries between two ids, both included.
    pub fn visit(&self, keys: &Keyspace<'_>, from: Id, to: Id, order: Order, visit: &mut Visit<'_>) -> Result<()> {
        // Nothing is outside of these, but maybe what is left of many that are gone.
        let (from, to) = (from.max(self.facts.first), to.min(self.facts.top));
        if self.facts.length == 0 {
            return Ok(());
        }
        let between = (&from.bytes()[..], &to.bytes()[..]);
        self.place.visit_between(keys.store, ElementKind::Entry, between, order, &mut |name, words| {
            let id = Id::at_end_of(name).ok_or_else(damaged)?;
            Ok(visit(id, packed::decode_words(&Bytes::copy_from_slice(words))?))
        })
    }

    /// Removes an entry; says whether there was one.
    pub fn remove(&mut self, keys: &mut Keyspace<'_>, id: Id) -> Result<bool> {
        let record = self.entry_record(id);
        if keys.store.get(&record)?.is_none() {
            return Ok(false);
        }
        keys.store.delete(record);
        let mut page = self.page_of(keys.store, id)?;
        if page.live == 1 {
            self.drop_page(keys, &page)?;
        } else if page.remove(1) {
            self.put_page(keys, page);
        } else {
            return Err(damaged());
        }
        self.facts.length = self.facts.length.checked_sub(1).ok_or_else(damaged)?;
        self.facts.deleted = self.facts.deleted.max(id);
        self.is_changed = true;
        if id == self.facts.first || id == self.facts.top {
            self.find_ends(keys.store)?;
        }
        Ok(true)
    }

    /// Writes the head if anything was changed.
    pub fn save(self, keys: &mut Keyspace<'_>) {
        if !self.is_changed {
            return;
        }
        let before = self.head.as_ref();
        let payload = self.facts.encode();
        let deadline = before.and_then(|before| before.deadline);
        let head = Head { spread: true, deadline, ..Head::new(Kind::Stream, payload) };
        keys.set(self.place.db, &self.place.key, before, head);
    }

    /// First ids of all pages, in order.
    pub fn pages(&self, keys: &Keyspace<'_>) -> Result<Vec<Id>> {
        let mut pages = Vec::new();
        self.place.visit(keys.store, ElementKind::Page, &[], &mut |name, _| {
            pages.push(Id::at_end_of(name).ok_or_else(damaged)?);
            Ok(ControlFlow::Continue(()))
        })?;
        pages.extend(self.facts.open.map(|page| page.first));
        Ok(pages)
    }

    /// Names the first and the last entry anew where they are gone.
    fn find_ends(&mut self, store: &dyn Read) -> Result<()> {
        let (first, top) = (self.facts.first, self.facts.top);
        if self.facts.length == 0 {
            (self.facts.first, self.facts.top) = (Id::MIN, Id::MIN);
            return Ok(());
        }
        for order in [Order::Forward, Order::Backward] {
            let end = if order == Order::Forward { &mut self.facts.first } else { &mut self.facts.top };
            let between = (&first.bytes()[..], &top.bytes()[..]);
            let mut found = None;
            self.place.visit_between(store, ElementKind::Entry, between, order, &mut |name, _| {
                found = Id::at_end_of(name);
                Ok(ControlFlow::Break(()))
            })?;
            *end = found.ok_or_else(damaged)?;
        }
        Ok(())
    }

    /// The page of an entry.
    fn page_of(&self, store: &dyn Read, id: Id) -> Result<Page> {
        match self.facts.open {
            Some(page) if page.first <= id => Ok(page),
            _ => self.closed_page(store, id)?.ok_or_else(damaged),
        }
    }

    /// The last page that starts at or before an id and has a record.
    fn closed_page(&self, store: &dyn Read, id: Id) -> Result<Option<Page>> {
        let mut found = None;
        let between = (&Id::MIN.bytes()[..], &id.bytes()[..]);
        self.place.visit_between(store, ElementKind::Page, between, Order::Backward, &mut |name, mut value| {
            found = Some(Page::take(Id::at_end_of(name).ok_or_else(damaged)?, &mut value)?);
            Ok(ControlFlow::Break(()))
        })?;
        Ok(found)
    }

    /// Writes a page that changed.
    fn put_page(&mut self, keys: &mut Keyspace<'_>, page: Page) {
        match &mut self.facts.open {
            Some(open) if open.first == page.first => *open = page,
            _ => keys.store.put(self.page_record(page.first), page.encode()),
        }
    }

    /// Removes a page that has no entries.
    fn drop_page(&mut self, keys: &mut Keyspace<'_>, page: &Page) -> Result<()> {
        self.facts.pages = self.facts.pages.checked_sub(1).ok_or_else(damaged)?;
        if self.facts.open.is_some_and(|open| open.first == page.first) {
            // The one before it is the last one now, and takes entries if it has room.
            self.facts.open = self.closed_page(keys.store, page.first)?;
            if let Some(page) = self.facts.open {
                keys.store.delete(self.page_record(page.first));
            }
        } else {
            keys.store.delete(self.page_record(page.first));
        }
        Ok(())
    }

    fn entry_record(&self, id: Id) -> Bytes {
        self.place.record(ElementKind::Entry, &id.bytes())
    }

    fn page_record(&self, first: Id) -> Bytes {
        self.place.record(ElementKind::Page, &first.bytes())
    }
}

impl Facts {
    /// The payload of the head.
    fn encode(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(64);
        for number in [self.length, self.added] {
            packed::put_varint(&mut out, number);
        }
        for id in [self.last_id, self.deleted, self.first, self.top] {
            id.put(&mut out);
        }
        for number in [self.groups, self.next_group, self.pages] {
            packed::put_varint(&mut out, number);
        }
        if let Some(page) = &self.open {
            page.first.put(&mut out);
            page.put(&mut out);
        }
        out.freeze()
    }

    /// Reads the payload of a head.
    fn decode(payload: &[u8]) -> Result<Facts> {
        let mut rest = payload;
        let mut facts = Facts {
            length: packed::take_number(&mut rest)?,
            added: packed::take_number(&mut rest)?,
            last_id: Id::take(&mut rest)?,
            deleted: Id::take(&mut rest)?,
            first: Id::take(&mut rest)?,
            top: Id::take(&mut rest)?,
            groups: packed::take_number(&mut rest)?,
            next_group: packed::take_number(&mut rest)?,
            pages: packed::take_number(&mut rest)?,
            open: None,
        };
        if facts.pages > 0 {
            facts.open = Some(Page::take(Id::take(&mut rest)?, &mut rest)?);
        }
        if rest.is_empty() { Ok(facts) } else { Err(damaged()) }
    }
}

fn damaged() -> Error {
    Error::Store(store::Error::Corrupt("the records of a stream do not fit together".into()))
}
