//! Payload to value: every type and form that a Redis up to 7.2 has written, and hashes with deadlines of 7.4.
//!
//! ```text
//! type                one by one        in one piece
//! string              0
//! list                1                 10 ziplist, 14 ziplists, 18 listpacks and single elements
//! set                 2                 11 intset, 20 listpack
//! sorted set          3 text, 5 binary  12 ziplist, 17 listpack
//! hash                4                 9 zipmap, 13 ziplist, 16 listpack
//! ... with deadlines  24                25 listpack
//! stream                                15, 19, 21: pages in one piece each
//! module              6, 7: no value here
//! ```
//!
//! An empty collection other than a stream is no value, and neither is one that has a member twice.

use bytes::Bytes;

use super::input::Input;
use super::stream::{self, Form};
use super::{Error, FIELD_DEADLINE_END, Object, Result, intset, listpack, ziplist, zipmap};
use crate::base::{HashSet, integer};

/// Containers of a list's elements, in its latest form.
const PLAIN: u64 = 1;
const PACKED: u64 = 2;

/// The value that begins with its type.
pub fn object(payload: Bytes) -> Result<Object> {
    let mut input = Input::new(payload);
    let object = match input.byte()? {
        0 => Object::String(input.string()?),
        1 => Object::List(input.many(Input::string)?),
        2 => Object::Set(input.many(Input::string)?),
        3 => Object::Zset(input.many(|input| Ok((input.string()?, text_score(input)?)))?),
        4 => Object::Hash(input.many(|input| Ok((input.string()?, input.string()?)))?),
        5 => Object::Zset(input.many(|input| Ok((input.string()?, f64::from_le_bytes(input.array()?))))?),
        9 => Object::Hash(piece(&mut input, zipmap::read)?),
        10 => Object::List(piece(&mut input, ziplist::read)?),
        11 => Object::Set(piece(&mut input, intset::read)?),
        12 => Object::Zset(scored(piece(&mut input, ziplist::read)?)?),
        13 => Object::Hash(paired(piece(&mut input, ziplist::read)?)?),
        14 => Object::List(nodes(&mut input, |input| piece(input, ziplist::read))?),
        16 => Object::Hash(paired(piece(&mut input, listpack::read)?)?),
        17 => Object::Zset(scored(piece(&mut input, listpack::read)?)?),
        18 => Object::List(nodes(&mut input, node)?),
        20 => Object::Set(piece(&mut input, listpack::read)?),
        15 => Object::Stream(stream::read(&mut input, Form::First)?),
        19 => Object::Stream(stream::read(&mut input, Form::Counted)?),
        21 => Object::Stream(stream::read(&mut input, Form::Active)?),
        24 => {
            let first = u64::from_le_bytes(input.array()?);
            Object::TimedHash(input.many(|input| timed_field(input, first))?)
        }
        25 => {
            // The earliest deadline is that of the fields anyway.
            let _: [u8; 8] = input.array()?;
            Object::TimedHash(timed(piece(&mut input, listpack::read)?)?)
        }
        6 | 7 => return Err(Error::Unsupported),
        _ => return Err(Error::Damaged("an unknown type")),
    };
    check(&object)?;
    Ok(object)
}

/// What a string holds in one piece.
fn piece<T>(input: &mut Input, read: fn(&Bytes, &mut Input) -> Result<T>) -> Result<T> {
    let bytes = input.string()?;
    read(&bytes, input)
}

/// The elements of all nodes of a list.
fn nodes(input: &mut Input, mut node: impl FnMut(&mut Input) -> Result<Vec<Bytes>>) -> Result<Vec<Bytes>> {
    let mut elements = Vec::new();
    for _ in 0..input.length()? {
        elements.append(&mut node(input)?);
    }
    Ok(elements)
}

fn node(input: &mut Input) -> Result<Vec<Bytes>> {
    match input.length()? {
        PLAIN => {
            let mut elements = Vec::new();
            let element = input.string()?;
            input.collect(&mut elements, element)?;
            Ok(elements)
        }
        PACKED => piece(input, listpack::read),
        _ => Err(Error::Damaged("an unknown container of a list")),
    }
}

fn paired(words: Vec<Bytes>) -> Result<Vec<(Bytes, Bytes)>> {
    match words.as_chunks() {
        (pairs, []) => Ok(pairs.iter().map(|[field, value]| (field.clone(), value.clone())).collect()),
        _ => Err(Error::Damaged("a field without a value")),
    }
}

/// A field with its deadline in front, counted from the earliest one on, which is 1.
fn timed_field(input: &mut Input, first: u64) -> Result<(Bytes, Bytes, Option<u64>)> {
    let end = match input.length()? {
        0 => None,
        after => deadline(first.saturating_add(after - 1))?,
    };
    Ok((input.string()?, input.string()?, end))
}

/// Fields with values and deadlines.
fn timed(words: Vec<Bytes>) -> Result<Vec<(Bytes, Bytes, Option<u64>)>> {
    let (fields, []) = words.as_chunks() else { return Err(Error::Damaged("a field without a deadline")) };
    let field = |[name, value, end]: &[Bytes; 3]| {
        let end = integer::parse(end).and_then(|end| u64::try_from(end).ok());
        let end = end.ok_or(Error::Damaged("a deadline that is no number"))?;
        Ok((name.clone(), value.clone(), deadline(end)?))
    };
    fields.iter().map(field).collect()
}

/// A field's deadline in milliseconds; 0 is none, in either form.
fn deadline(end: u64) -> Result<Option<u64>> {
    match end {
        0 => Ok(None),
        1..FIELD_DEADLINE_END => Ok(Some(end)),
        _ => Err(Error::Damaged("a deadline beyond all time")),
    }
}

fn scored(words: Vec<Bytes>) -> Result<Vec<(Bytes, f64)>> {
    paired(words)?.into_iter().map(|(member, score)| Ok((member, score_of(&score)?))).collect()
}

/// A score as text: its length, or a word for what has no digits.
fn text_score(input: &mut Input) -> Result<f64> {
    match input.byte()? {
        253 => Ok(f64::NAN),
        254 => Ok(f64::INFINITY),
        255 => Ok(f64::NEG_INFINITY),
        length => score_of(&input.take(length.into())?),
    }
}

fn score_of(text: &[u8]) -> Result<f64> {
    let number = std::str::from_utf8(text).ok().and_then(|text| text.parse().ok());
    number.ok_or(Error::Damaged("a score that is no number"))
}

/// What holds for every value.
fn check(object: &Object) -> Result<()> {
    let (length, names) = match object {
        Object::String(_) | Object::Stream(_) => return Ok(()),
        Object::List(elements) => (elements.len(), elements.len()),
        Object::Set(members) => (members.len(), distinct(members.iter())),
        Object::Hash(pairs) => (pairs.len(), distinct(pairs.iter().map(|(field, _)| field))),
        Object::TimedHash(fields) => (fields.len(), distinct(fields.iter().map(|(field, _, _)| field))),
        Object::Zset(members) => {
            if members.iter().any(|(_, score)| score.is_nan()) {
                return Err(Error::Damaged("a score that is no number"));
            }
            (members.len(), distinct(members.iter().map(|(member, _)| member)))
        }
    };
    match length {
        0 => Err(Error::Damaged("an empty value")),
        _ if names < length => Err(Error::Damaged("a member twice")),
        _ => Ok(()),
    }
}

fn distinct<'a>(names: impl Iterator<Item = &'a Bytes>) -> usize {
    names.collect::<HashSet<_>>().len()
}
