//! What strings of bits say to a client: SETBIT and GETBIT, counting, searching, combining. Integers in them are in
//! [`super::bitfield`].

use bytes::{Bytes, BytesMut};

use super::args::{integer, is, parse_integer};
use super::context::Context;
use super::error::{Failure, Result};
use crate::data::bitmap::{self, Operation};
use crate::data::{Class, Head, Kind};
use crate::resp::Value;

/// An offset that is none, or beyond the longest string.
pub(super) const BAD_OFFSET: &str = "ERR bit offset is not an integer or out of range";
const BAD_BIT: &str = "ERR bit is not an integer or out of range";

pub(super) fn setbit(context: &mut Context<'_, '_>, args: &[Bytes]) -> Result<Value> {
    let offset = offset(context, &args[2])?;
    let on = match parse_integer(&args[3]) {
        Some(bit @ 0..=1) => bit == 1,
        _ => return Err(Failure::line(BAD_BIT)),
    };
    let before = context.string(&args[1])?;
    let payload = before.as_ref().map(|head| &head.payload[..]).unwrap_or_default();
    let was = bitmap::get(payload, offset);
    let mut after = grown(payload, offset / 8 + 1);
    bitmap::set(&mut after, offset, on);
    let changes = before.is_none() || was != on || after.len() != payload.len();
    context.set_built(&args[1], before.as_ref(), after.freeze());
    if changes {
        context.notify(Class::String, "setbit", &args[1]);
    }
    Ok(Value::Integer(was.into()))
}

pub(super) fn getbit(context: &mut Context<'_, '_>, args: &[Bytes]) -> Result<Value> {
    let offset = offset(context, &args[2])?;
    let head = context.string(&args[1])?;
    Ok(Value::Integer(head.is_some_and(|head| bitmap::get(&head.payload, offset)).into()))
}

/// The offset of a bit that a string may have.
fn offset(context: &Context<'_, '_>, word: &[u8]) -> Result<u64> {
    let offset = parse_integer(word).and_then(|offset| u64::try_from(offset).ok());
    let offset = offset.filter(|offset| offset / 8 < context.keys.thresholds.string_bytes_max as u64);
    offset.ok_or(Failure::line(BAD_OFFSET))
}

/// A string with zeros behind it, where it is shorter.
pub(super) fn grown(payload: &[u8], bytes: u64) -> BytesMut {
    let length = payload.len().max(bytes as usize);
    let mut grown = BytesMut::with_capacity(length);
    grown.extend_from_slice(payload);
    grown.resize(length, 0);
    grown
}

/// `BITCOUNT key [start end [BYTE | BIT]]`
pub(super) fn bitcount(context: &mut Context<'_, '_>, args: &[Bytes]) -> Result<Value> {
    let range = match args.len() {
        2 => None,
        4 | 5 => Some((integer(&args[2])?, integer(&args[3])?, counts_bits(args.get(4))?)),
        _ => return Err(Failure::SYNTAX),
    };
    let payload = context.string(&args[1])?.map(|head| head.payload).unwrap_or_default();
    let bits = match range {
        None => Some((0, payload.len() as u64 * 8)),
        // Both before the start and crossed: nothing, although cutting them to the string would make them meet.
        Some((start, end, _)) if start < 0 && end < 0 && start > end => None,
        Some((start, end, in_bits)) => cut(payload.len(), start, end, in_bits),
    };
    Ok(Value::Integer(bits.map_or(0, |(start, end)| bitmap::count(&payload, start..end)) as i64))
}

/// `BITPOS key bit [start [end [BYTE | BIT]]]`
pub(super) fn bitpos(context: &mut Context<'_, '_>, args: &[Bytes]) -> Result<Value> {
    let bit = match integer(&args[2])? {
        bit @ 0..=1 => bit == 1,
        _ => return Err(Failure::line("ERR The bit argument must be 1 or 0.")),
    };
    if args.len() > 6 {
        return Err(Failure::SYNTAX);
    }
    let start = args.get(3).map_or(Ok(0), |word| integer(word))?;
    let in_bits = counts_bits(args.get(5))?;
    let end = args.get(4).map(|word| integer(word)).transpose()?;
    let Some(head) = context.string(&args[1])? else { return Ok(Value::Integer(if bit { -1 } else { 0 })) };
    let found = match cut(head.payload.len(), start, end.unwrap_or(-1), in_bits) {
        None => None,
        Some((start, to)) => match bitmap::position(&head.payload, start..to, bit) {
            // A string has no end unless the client names one: zeros follow.
            None if !bit && end.is_none() => Some(to),
            found => found,
        },
    };
    Ok(Value::Integer(found.map_or(-1, |found| found as i64)))
}

/// Whether a range counts bits, as its last word says.
fn counts_bits(word: Option<&Bytes>) -> Result<bool> {
    match word {
        Some(word) if is(word, "bit") => Ok(true),
        Some(word) if !is(word, "byte") => Err(Failure::SYNTAX),
        _ => Ok(false),
    }
}

/// A range with both ends included, negative ones counted from the end, as bits from one to before another; `None`
/// for an empty one.
fn cut(bytes: usize, start: i64, end: i64, in_bits: bool) -> Option<(u64, u64)> {
    let (length, unit) = if in_bits { (bytes as i64 * 8, 1) } else { (bytes as i64, 8) };
    let position = |index: i64| if index < 0 { (length + index).max(0) } else { index };
    let (start, end) = (position(start), position(end).min(length - 1));
    (start <= end).then(|| (start as u64 * unit, (end as u64 + 1) * unit))
}

/// `BITOP AND | OR | XOR | NOT destination key [key ...]`
pub(super) fn bitop(context: &mut Context<'_, '_>, args: &[Bytes]) -> Result<Value> {
    let operation = match args[1].to_ascii_lowercase().as_slice() {
        b"and" => Operation::And,
        b"or" => Operation::Or,
        b"xor" => Operation::Xor,
        b"not" => Operation::Not,
        _ => return Err(Failure::SYNTAX),
    };
    if operation == Operation::Not && args.len() != 4 {
        return Err(Failure::line("ERR BITOP NOT must be called with a single source key."));
    }
    context.keys.manner.counts = true;
    let mut strings = Vec::new();
    for key in &args[3..] {
        strings.push(context.lookup_kind(key, Kind::String)?.map(|head| head.payload).unwrap_or_default());
    }
    context.keys.manner.counts = false;
    let result = bitmap::combine(operation, &strings);
    let length = result.len();
    let before = context.lookup(&args[2])?;
    match &before {
        _ if length > 0 => context.set(&args[2], before.as_ref(), Head { raw: true, ..Head::string(result) }),
        Some(before) => context.remove(&args[2], before),
        None => {}
    }
    context.notify_stored((Class::String, "set"), &args[2], length, before.is_some());
    Ok(Value::Integer(length as i64))
}
