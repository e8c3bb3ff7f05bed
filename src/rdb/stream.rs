//! Streams in a payload.
//!
//! ```text
//! pages        number, per page: id of the first entry as a string of 16 bytes | listpack as a string
//! facts        entries | last id | from 19 on: first id | greatest deleted id | entries ever added
//! groups       number, per group: name | last id | from 19 on: entries read, all bits if unknown
//!              | pending, per entry: id, 16 bytes | delivered, i64 LE | deliveries
//!              | consumers, per consumer: name | seen, i64 LE | from 21 on: active, i64 LE, -1 if never
//!                | pending, per entry: id, 16 bytes
//! listpack     live | dead | fields | per field: name | 0, then per entry: flags | id as two differences to the first id
//!              | number of fields and names by turns with the values, or values only | elements before this one
//! flags        1 dead, 2 the fields are those at the start
//! ```
//!
//! Numbers are lengths, ids two of them, unless something else is said.

use bytes::Bytes;

use super::input::Input;
use super::listpack::{self, Builder};
use super::output::{put_number, put_string};
use super::{Error, Result};
use crate::base::{HashMap, HashSet, integer};

const DEAD: i64 = 1;
const SAME_FIELDS: i64 = 2;

/// Milliseconds and number of an entry.
pub type Id = (u64, u64);

/// A stream.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Stream {
    /// Its entries, by the pages that they are in.
    pub pages: Vec<Vec<Entry>>,
    /// The last id that was given out.
    pub last_id: Id,
    /// The greatest id that was deleted.
    pub deleted: Id,
    /// Entries that there ever were; `None` in an old payload, which also does not tell what groups have read.
    pub added: Option<u64>,
    /// Its groups.
    pub groups: Vec<Group>,
}

/// An entry of a stream.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// Its id; ids only grow.
    pub id: Id,
    /// Fields and values by turns.
    pub words: Vec<Bytes>,
    /// It was deleted, and still has its place.
    pub is_dead: bool,
}

/// A group of consumers.
#[derive(Clone, Debug, PartialEq)]
pub struct Group {
    /// Its name.
    pub name: Bytes,
    /// The last entry that was delivered.
    pub last_id: Id,
    /// Entries up to there, if that is known.
    pub entries_read: Option<u64>,
    /// Its consumers.
    pub consumers: Vec<Consumer>,
    /// What they have not acknowledged, by id.
    pub pending: Vec<Pending>,
}

/// A consumer of a group.
#[derive(Clone, Debug, PartialEq)]
pub struct Consumer {
    /// Its name.
    pub name: Bytes,
    /// When it last asked for something, in milliseconds.
    pub seen: u64,
    /// When it last got something.
    pub active: Option<u64>,
}

/// An entry that was delivered and not acknowledged.
#[derive(Clone, Debug, PartialEq)]
pub struct Pending {
    /// Which.
    pub id: Id,
    /// When, in milliseconds.
    pub delivered: u64,
    /// How often.
    pub deliveries: u64,
    /// Whom to: a place among the consumers of the group.
    pub consumer: usize,
}

/// What the types tell beyond each other.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Form {
    /// 15, since Redis 5.0.
    First,
    /// 19, since 7.0.
    Counted,
    /// 21, since 7.2.
    Active,
}

/// Reads a stream.
pub fn read(input: &mut Input, form: Form) -> Result<Stream> {
    let mut stream = Stream { pages: input.many(page)?, ..Stream::default() };
    let length = input.length()?;
    stream.last_id = id(input)?;
    if form >= Form::Counted {
        // The first id is that of the first entry.
        id(input)?;
        stream.deleted = id(input)?;
        stream.added = Some(input.length()?);
    }
    stream.groups = input.many(|input| group(input, form))?;
    let ids: Vec<Id> = stream.pages.iter().flatten().map(|entry| entry.id).collect();
    let live = stream.pages.iter().flatten().filter(|entry| !entry.is_dead).count() as u64;
    let is_in_order = ids.windows(2).all(|pair| pair[0] < pair[1]) && ids.first().is_none_or(|first| *first > (0, 0));
    if live != length || !is_in_order || ids.last().is_some_and(|last| *last > stream.last_id) {
        return Err(Error::Damaged("ids of a stream"));
    }
    if !are_distinct(stream.groups.iter().map(|group| &group.name)) {
        return Err(Error::Damaged("a group twice"));
    }
    Ok(stream)
}

fn id(input: &mut Input) -> Result<Id> {
    Ok((input.length()?, input.length()?))
}

/// An id of 16 bytes.
fn raw_id(input: &mut Input) -> Result<Id> {
    Ok((u64::from_be_bytes(input.array()?), u64::from_be_bytes(input.array()?)))
}

/// A time in milliseconds; `None` for one that never was.
fn time(input: &mut Input) -> Result<Option<u64>> {
    Ok(u64::try_from(i64::from_le_bytes(input.array()?)).ok())
}

fn page(input: &mut Input) -> Result<Vec<Entry>> {
    let first = raw_id(&mut Input::new(input.string()?))?;
    let bytes = input.string()?;
    let mut elements = listpack::read(&bytes, input)?.into_iter();
    let mut next = || elements.next().ok_or(Error::Damaged("a page that ends early"));
    let number = |element: Bytes| integer::parse(&element).ok_or(Error::Damaged("a word for a number in a page"));
    let (live, dead, count) = (number(next()?)?, number(next()?)?, number(next()?)?);
    let fields: Vec<Bytes> = (0..count).map(|_| next()).collect::<Result<_>>()?;
    if number(next()?)? != 0 || count <= 0 {
        return Err(Error::Damaged("fields of a page"));
    }
    let (mut entries, mut dead_found) = (Vec::new(), 0);
    while entries.len() as u64 != (live as u64).wrapping_add(dead as u64) {
        let (flags, ms, seq) = (number(next()?)?, number(next()?)?, number(next()?)?);
        let mut words = Vec::new();
        if flags & SAME_FIELDS != 0 {
            for field in &fields {
                // The name takes no room in the payload, but here.
                input.collect(&mut words, field.clone())?;
                words.push(next()?);
            }
        } else {
            let count = number(next()?)?;
            if count <= 0 {
                return Err(Error::Damaged("an entry without fields"));
            }
            for _ in 0..count {
                words.extend([next()?, next()?]);
            }
        }
        number(next()?)?;
        let is_dead = flags & DEAD != 0;
        dead_found += i64::from(is_dead);
        let id = (first.0.wrapping_add(ms as u64), first.1.wrapping_add(seq as u64));
        input.collect(&mut entries, Entry { id, words, is_dead })?;
    }
    if dead_found != dead || entries.is_empty() || entries[0].id != first || elements.next().is_some() {
        return Err(Error::Damaged("counts of a page"));
    }
    Ok(entries)
}

fn group(input: &mut Input, form: Form) -> Result<Group> {
    let (name, last_id) = (input.string()?, id(input)?);
    let entries_read = if form >= Form::Counted { Some(input.length()?).filter(|read| *read < u64::MAX) } else { None };
    let mut pending = input.many(|input| {
        let (id, delivered) = (raw_id(input)?, time(input)?.unwrap_or(0));
        Ok(Pending { id, delivered, deliveries: input.length()?, consumer: usize::MAX })
    })?;
    if !pending.windows(2).all(|pair| pair[0].id < pair[1].id) {
        return Err(Error::Damaged("pending entries out of order"));
    }
    let places: HashMap<Id, usize> = pending.iter().enumerate().map(|(place, entry)| (entry.id, place)).collect();
    let mut consumers = Vec::new();
    for number in 0..input.length()? as usize {
        let (name, seen) = (input.string()?, time(input)?.unwrap_or(0));
        let active = if form >= Form::Active { time(input)? } else { Some(seen) };
        for id in input.many(raw_id)? {
            match places.get(&id).and_then(|place| pending.get_mut(*place)) {
                Some(entry) if entry.consumer == usize::MAX => entry.consumer = number,
                _ => return Err(Error::Damaged("an entry that is not pending, or twice")),
            }
        }
        input.collect(&mut consumers, Consumer { name, seen, active })?;
    }
    if pending.iter().any(|entry| entry.consumer == usize::MAX)
        || !are_distinct(consumers.iter().map(|consumer| &consumer.name))
    {
        return Err(Error::Damaged("consumers of a group"));
    }
    Ok(Group { name, last_id, entries_read, consumers, pending })
}

fn are_distinct<'a>(mut names: impl Iterator<Item = &'a Bytes>) -> bool {
    let mut known = HashSet::default();
    names.all(|name| known.insert(name))
}

/// Appends a stream in this form.
pub fn write(out: &mut Vec<u8>, stream: &Stream, form: Form) {
    let live = |page: &[Entry]| page.iter().filter(|entry| !entry.is_dead).cloned().collect::<Vec<_>>();
    let pages: Vec<Vec<Entry>> = stream.pages.iter().map(|page| live(page)).filter(|page| !page.is_empty()).collect();
    put_number(out, pages.len() as u64);
    for page in &pages {
        put_string(out, &raw(page[0].id));
        put_string(out, &packed(page));
    }
    let first = pages.first().map_or((0, 0), |page| page[0].id);
    let length: usize = pages.iter().map(Vec::len).sum();
    put_number(out, length as u64);
    put_id(out, stream.last_id);
    if form >= Form::Counted {
        put_id(out, first);
        put_id(out, stream.deleted);
        put_number(out, stream.added.unwrap_or(length as u64));
    }
    put_number(out, stream.groups.len() as u64);
    stream.groups.iter().for_each(|group| put_group(out, group, form));
}

/// The entries of a page as a listpack.
fn packed(page: &[Entry]) -> Vec<u8> {
    let fields = |entry: &Entry| entry.words.iter().step_by(2).cloned().collect::<Vec<_>>();
    let (mut builder, first, shared) = (Builder::default(), page[0].id, fields(&page[0]));
    let number = |builder: &mut Builder, number: i64| builder.push(number.to_string().as_bytes());
    number(&mut builder, page.len() as i64);
    number(&mut builder, 0);
    number(&mut builder, shared.len() as i64);
    shared.iter().for_each(|field| builder.push(field));
    number(&mut builder, 0);
    for entry in page {
        let own = fields(entry);
        let is_same = own == shared;
        number(&mut builder, if is_same { SAME_FIELDS } else { 0 });
        number(&mut builder, entry.id.0.wrapping_sub(first.0) as i64);
        number(&mut builder, entry.id.1.wrapping_sub(first.1) as i64);
        if !is_same {
            number(&mut builder, own.len() as i64);
        }
        let (skip, step) = if is_same { (1, 2) } else { (0, 1) };
        entry.words.iter().skip(skip).step_by(step).for_each(|word| builder.push(word));
        number(&mut builder, (if is_same { own.len() + 3 } else { 2 * own.len() + 4 }) as i64);
    }
    builder.finish()
}

fn put_group(out: &mut Vec<u8>, group: &Group, form: Form) {
    put_string(out, &group.name);
    put_id(out, group.last_id);
    if form >= Form::Counted {
        put_number(out, group.entries_read.unwrap_or(u64::MAX));
    }
    put_number(out, group.pending.len() as u64);
    for entry in &group.pending {
        out.extend_from_slice(&raw(entry.id));
        out.extend_from_slice(&entry.delivered.to_le_bytes());
        put_number(out, entry.deliveries);
    }
    put_number(out, group.consumers.len() as u64);
    for (number, consumer) in group.consumers.iter().enumerate() {
        put_string(out, &consumer.name);
        out.extend_from_slice(&consumer.seen.to_le_bytes());
        if form >= Form::Active {
            out.extend_from_slice(&consumer.active.map_or(-1, |active| active as i64).to_le_bytes());
        }
        let owned: Vec<Id> =
            group.pending.iter().filter(|entry| entry.consumer == number).map(|entry| entry.id).collect();
        put_number(out, owned.len() as u64);
        owned.into_iter().for_each(|id| out.extend_from_slice(&raw(id)));
    }
}

fn put_id(out: &mut Vec<u8>, id: Id) {
    put_number(out, id.0);
    put_number(out, id.1);
}

fn raw(id: Id) -> [u8; 16] {
    (u128::from(id.0) << 64 | u128::from(id.1)).to_be_bytes()
}
