//! Strings as numbers: INCR and its relatives. The key keeps its deadline; the log carries the new text, so replicas
//! and replays never add anything up.

use bytes::Bytes;

use super::args::{integer, parse_integer};
use super::context::Context;
use super::error::{Failure, Result};
use crate::base::LongDouble;
use crate::data::{Class, Head};
use crate::resp::Value;

pub(super) fn incr(context: &mut Context<'_, '_>, args: &[Bytes]) -> Result<Value> {
    add(context, &args[1], 1)
}

pub(super) fn decr(context: &mut Context<'_, '_>, args: &[Bytes]) -> Result<Value> {
    add(context, &args[1], -1)
}

pub(super) fn incrby(context: &mut Context<'_, '_>, args: &[Bytes]) -> Result<Value> {
    let by = integer(&args[2])?;
    add(context, &args[1], by)
}

pub(super) fn decrby(context: &mut Context<'_, '_>, args: &[Bytes]) -> Result<Value> {
    let by = integer(&args[2])?.checked_neg().ok_or(Failure::line("ERR decrement would overflow"))?;
    add(context, &args[1], by)
}

fn add(context: &mut Context<'_, '_>, key: &Bytes, by: i64) -> Result<Value> {
    let before = context.string(key)?;
    let value = match &before {
        Some(head) => parse_integer(&head.payload).ok_or(Failure::NOT_AN_INTEGER)?,
        None => 0,
    };
    let sum = value.checked_add(by).ok_or(Failure::line("ERR increment or decrement would overflow"))?;
    replace(
        context,
        key,
        before.as_ref(),
        "incrby",
        Bytes::copy_from_slice(itoa::Buffer::new().format(sum).as_bytes()),
    );
    Ok(Value::Integer(sum))
}

pub(super) fn incrbyfloat(context: &mut Context<'_, '_>, args: &[Bytes]) -> Result<Value> {
    let before = context.string(&args[1])?;
    let value = before.as_ref().map_or(&b"0"[..], |head| &head.payload);
    let number = |text| LongDouble::parse(text).ok_or(Failure::NOT_A_FLOAT);
    let sum = number(value)?.checked_add(number(&args[2])?);
    let text = Bytes::from(sum.ok_or(Failure::line("ERR increment would produce NaN or Infinity"))?.text());
    replace(context, &args[1], before.as_ref(), "incrbyfloat", text.clone());
    Ok(Value::Bulk(text))
}

fn replace(context: &mut Context<'_, '_>, key: &Bytes, before: Option<&Head>, event: &'static str, text: Bytes) {
    let deadline = before.and_then(|head| head.deadline);
    context.set(key, before, Head::string(text).with_deadline(deadline));
    context.notify(Class::String, event, key);
}

#[cfg(test)]
mod tests {
    use crate::command::testing::Session;

    #[test]
    fn integers() {
        let mut session = Session::new();
        session.hash("h");
        session.check(&[
            ("INCR n", ":1"),
            ("INCRBY n 41", ":42"),
            ("DECR n", ":41"),
            ("DECRBY n -1", ":42"),
            ("GET n", "$2 42"),
            ("INCRBY n 1.5", "-ERR value is not an integer or out of range"),
            ("DECRBY n -9223372036854775808", "-ERR decrement would overflow"),
            ("SET max 9223372036854775807", "+OK"),
            ("INCR max", "-ERR increment or decrement would overflow"),
            ("DECRBY max 9223372036854775807", ":0"),
            ("SET min -9223372036854775808", "+OK"),
            ("DECR min", "-ERR increment or decrement would overflow"),
            ("SET text abc", "+OK"),
            ("INCR text", "-ERR value is not an integer or out of range"),
            ("SET padded 01", "+OK"),
            ("INCR padded", "-ERR value is not an integer or out of range"),
            ("INCR h", "-WRONGTYPE Operation against a key holding the wrong kind of value"),
        ]);
    }

    #[test]
    fn floats() {
        let mut session = Session::new();
        session.hash("h");
        session.check(&[
            ("SET f 10.50", "+OK"),
            ("INCRBYFLOAT f 0.1", "$4 10.6"),
            ("INCRBYFLOAT f -5", "$3 5.6"),
            ("SET f 5.0e3", "+OK"),
            ("INCRBYFLOAT f 2.0e2", "$4 5200"),
            ("INCRBYFLOAT new 1e-2", "$4 0.01"),
            ("INCRBYFLOAT f abc", "-ERR value is not a valid float"),
            ("INCRBYFLOAT f inf", "-ERR increment would produce NaN or Infinity"),
            ("SET text abc", "+OK"),
            ("INCRBYFLOAT text 1", "-ERR value is not a valid float"),
            ("INCRBYFLOAT h 1", "-WRONGTYPE Operation against a key holding the wrong kind of value"),
        ]);
    }
}
