//! BITFIELD and BITFIELD_RO: a program of reads and writes of integers within one string.
//!
//! The whole program is read before anything runs, so a mistake at its end changes nothing.

use bytes::Bytes;

use super::args::{Options, is, parse_integer};
use super::bitmap::{BAD_OFFSET, grown};
use super::context::Context;
use super::error::{Failure, Result};
use crate::data::Class;
use crate::data::bitfield::{Field, Overflow};
use crate::resp::Value;

/// One step of the program.
struct Step {
    field: Field,
    offset: u64,
    act: Act,
}

/// What a step does with its integer.
#[derive(Clone, Copy)]
enum Act {
    Get,
    Set(i64, Overflow),
    Add(i64, Overflow),
}

pub(super) fn bitfield(context: &mut Context<'_, '_>, args: &[Bytes]) -> Result<Value> {
    let steps = parse(args, context.keys.thresholds.string_bytes_max as u64)?;
    run(context, &args[1], &steps)
}

pub(super) fn bitfield_ro(context: &mut Context<'_, '_>, args: &[Bytes]) -> Result<Value> {
    let steps = parse(args, context.keys.thresholds.string_bytes_max as u64)?;
    if steps.iter().any(Step::writes) {
        return Err(Failure::line("ERR BITFIELD_RO only supports the GET subcommand"));
    }
    run(context, &args[1], &steps)
}

/// Whether all steps of a call only read; not if it is no program.
pub(super) fn only_reads(args: &[Bytes]) -> bool {
    let mut options = Options::new(args, 2);
    while let Some(word) = options.next() {
        let skipped = match options.left() {
            2.. if is(word, "get") => 2,
            1.. if is(word, "overflow") => 1,
            _ => return false,
        };
        options.by_ref().take(skipped).for_each(drop);
    }
    true
}

fn parse(args: &[Bytes], bytes_max: u64) -> Result<Vec<Step>> {
    let mut steps = Vec::new();
    let mut overflow = Overflow::default();
    let mut options = Options::new(args, 2);
    while let Some(word) = options.next() {
        let act: fn(i64, Overflow) -> Act = match options.left() {
            2.. if is(word, "get") => |_, _| Act::Get,
            3.. if is(word, "set") => Act::Set,
            3.. if is(word, "incrby") => Act::Add,
            1.. if is(word, "overflow") => {
                overflow = parse_overflow(options.value()?)?;
                continue;
            }
            _ => return Err(Failure::SYNTAX),
        };
        let field = parse_field(options.value()?)?;
        let offset = parse_offset(options.value()?, field.bits, bytes_max)?;
        let mut step = Step { field, offset, act: act(0, overflow) };
        if step.writes() {
            step.act = act(options.integer()?, overflow);
            // Redis looks at the first bit only, and lets a string outgrow the longest one by the last bits. Here a
            // string is one bulk of one entry of the log.
            if step.end().div_ceil(8) > bytes_max {
                return Err(Failure::line(BAD_OFFSET));
            }
        }
        steps.push(step);
    }
    Ok(steps)
}

fn parse_overflow(word: &[u8]) -> Result<Overflow> {
    match word.to_ascii_lowercase().as_slice() {
        b"wrap" => Ok(Overflow::Wrap),
        b"sat" => Ok(Overflow::Saturate),
        b"fail" => Ok(Overflow::Fail),
        _ => Err(Failure::line("ERR Invalid OVERFLOW type specified")),
    }
}

/// `i1` to `i64`, `u1` to `u63`.
fn parse_field(word: &[u8]) -> Result<Field> {
    let parsed = match word {
        [b'i', bits @ ..] => parse_integer(bits).filter(|bits| (1..=64).contains(bits)).map(|bits| (true, bits)),
        [b'u', bits @ ..] => parse_integer(bits).filter(|bits| (1..=63).contains(bits)).map(|bits| (false, bits)),
        _ => None,
    };
    match parsed {
        Some((signed, bits)) => Ok(Field { signed, bits: bits as u32 }),
        None => Err(Failure::line(
            "ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but i64 is.",
        )),
    }
}

/// A number of bits, or `#` and a number of fields of this size.
fn parse_offset(word: &[u8], bits: u32, bytes_max: u64) -> Result<u64> {
    let (digits, unit) = match word {
        [b'#', digits @ ..] => (digits, u64::from(bits)),
        _ => (word, 1),
    };
    let number = parse_integer(digits).and_then(|number| u64::try_from(number).ok());
    let offset = number.and_then(|number| number.checked_mul(unit)).filter(|offset| offset / 8 < bytes_max);
    offset.ok_or(Failure::line(BAD_OFFSET))
}

fn run(context: &mut Context<'_, '_>, key: &Bytes, steps: &[Step]) -> Result<Value> {
    let written = steps.iter().filter(|step| step.writes()).map(Step::end).max();
    context.keys.manner.counts |= written.is_none();
    let before = context.string(key)?;
    let payload = before.as_ref().map(|head| &head.payload[..]).unwrap_or_default();
    let Some(end) = written else {
        return Ok(Value::Array(steps.iter().map(|step| step.read(payload)).collect()));
    };
    // The string grows even if no step writes in the end, as in Redis.
    let mut after = grown(payload, end.div_ceil(8));
    let grows = before.is_none() || after.len() != payload.len();
    let (mut replies, mut tells) = (Vec::with_capacity(steps.len()), false);
    for step in steps {
        let (reply, written) = step.run(&mut after);
        replies.push(reply);
        tells |= written.is_some_and(|is_new| is_new || grows);
    }
    context.set_built(key, before.as_ref(), after.freeze());
    if tells {
        context.notify(Class::String, "setbit", key);
    }
    Ok(Value::Array(replies))
}

impl Step {
    fn writes(&self) -> bool {
        !matches!(self.act, Act::Get)
    }

    /// The bit behind the last one.
    fn end(&self) -> u64 {
        self.offset + u64::from(self.field.bits)
    }

    fn read(&self, bytes: &[u8]) -> Value {
        Value::Integer(self.field.read(bytes, self.offset))
    }

    /// GET and SET answer with the old value, INCRBY with the new one; both with null where nothing was written. Says
    /// beside it what was written: another value, or the same.
    fn run(&self, bytes: &mut [u8]) -> (Value, Option<bool>) {
        let old = self.field.read(bytes, self.offset);
        let (new, overflow, answers_new) = match self.act {
            Act::Get => return (Value::Integer(old), None),
            Act::Set(value, overflow) => (self.field.assigned(value), overflow, false),
            Act::Add(by, overflow) => (i128::from(old) + i128::from(by), overflow, true),
        };
        let Some(new) = self.field.fit(new, overflow) else { return (Value::Null, None) };
        self.field.write(bytes, self.offset, new);
        (Value::Integer(if answers_new { new } else { old }), Some(new != old))
    }
}
