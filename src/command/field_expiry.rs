//! Deadlines of fields of hashes: the HEXPIRE and HTTL families of Redis 7.4, and HGETEX, HSETEX and HGETDEL of
//! Redis 8.0. Sources: Redis's documentation of these commands; no redis-server of the version that is the
//! specification elsewhere knows them.
//!
//! As with keys, a time becomes an absolute deadline before anything is written, and one that has passed is a removal.

use bytes::Bytes;

use super::args::{self, is, parse_integer};
use super::context::Context;
use super::error::{Failure, Result};
use super::hash::find;
use crate::base::Millis;
use crate::data::Class;
use crate::data::hash::{Change, Ending, Hash};
use crate::resp::Value;

/// The latest deadline of a field, in milliseconds since the Unix epoch: Redis keeps it in 46 bits.
const DEADLINE_MAX: i64 = (1 << 46) - 1;

const SECONDS: i64 = 1000;
const MILLISECONDS: i64 = 1;

/// What commands answer about one field.
const NO_FIELD: i64 = -2;
const NO_DEADLINE: i64 = -1;
const CONDITION_NOT_MET: i64 = 0;
const DONE: i64 = 1;
const DELETED: i64 = 2;

const FIELDS_MISSING: &str = "ERR Mandatory argument FIELDS is missing or not at the right position";
const FIELDS_MISCOUNTED: &str = "ERR The `numfields` parameter must match the number of arguments";
const FIELDS_NOT_POSITIVE: &str = "ERR Number of fields must be a positive integer";
const EXPIRE_FIELDS_NOT_POSITIVE: &str = "ERR Parameter `numFields` should be greater than 0";

pub(super) fn hexpire(context: &mut Context<'_, '_>, args: &[Bytes]) -> Result<Value> {
    let from = Some(context.now());
    expire(context, args, Unit { name: "hexpire", millis: SECONDS, from })
}

pub(super) fn hpexpire(context: &mut Context<'_, '_>, args: &[Bytes]) -> Result<Value> {
    let from = Some(context.now());
    expire(context, args, Unit { name: "hpexpire", millis: MILLISECONDS, from })
}

pub(super) fn hexpireat(context: &mut Context<'_, '_>, args: &[Bytes]) -> Result<Value> {
    expire(context, args, Unit { name: "hexpireat", millis: SECONDS, from: None })
}

pub(super) fn hpexpireat(context: &mut Context<'_, '_>, args: &[Bytes]) -> Result<Value> {
    expire(context, args, Unit { name: "hpexpireat", millis: MILLISECONDS, from: None })
}

/// How a command counts time.
#[derive(Clone, Copy)]
struct Unit {
    /// The command, for its error line.
    name: &'static str,
    millis: i64,
    /// Since when; `None` for the Unix epoch.
    from: Option<Millis>,
}

impl Unit {
    /// The deadline that a client's number means; it may have passed.
    fn deadline(self, word: &[u8]) -> Result<Millis> {
        let number = args::integer(word)?;
        if number < 0 {
            return Err(Failure::line("ERR invalid expire time, must be >= 0"));
        }
        let from = self.from.map_or(Some(0), |from| i64::try_from(from.0).ok());
        let at = number.checked_mul(self.millis).zip(from).and_then(|(span, from)| span.checked_add(from));
        match at.filter(|at| *at <= DEADLINE_MAX) {
            Some(at) => Ok(Millis(at.unsigned_abs())),
            None => Err(Failure::line(format!("ERR invalid expire time in '{}' command", self.name))),
        }
    }
}

/// When a new deadline may replace the old one; where there is none, that counts as never.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Condition {
    Always,
    None,
    Some,
    Later,
    Earlier,
}

impl Condition {
    fn read(word: &[u8]) -> Option<Condition> {
        Some(match word.to_ascii_lowercase()[..] {
            [b'n', b'x'] => Condition::None,
            [b'x', b'x'] => Condition::Some,
            [b'g', b't'] => Condition::Later,
            [b'l', b't'] => Condition::Earlier,
            _ => return None,
        })
    }

    fn holds(self, old: Option<Millis>, new: Millis) -> bool {
        match self {
            Condition::Always => true,
            Condition::None => old.is_none(),
            Condition::Some => old.is_some(),
            Condition::Later => old.is_some_and(|old| new > old),
            Condition::Earlier => old.is_none_or(|old| new < old),
        }
    }
}

/// `HEXPIRE key time [NX | XX | GT | LT] FIELDS numfields field [field ...]`
fn expire(context: &mut Context<'_, '_>, args: &[Bytes], unit: Unit) -> Result<Value> {
    let hash = find(context, &args[1])?;
    let deadline = unit.deadline(&args[2])?;
    let (condition, at) = match Condition::read(&args[3]) {
        Some(condition) => (condition, 4),
        None => (Condition::Always, 3),
    };
    let names = names(args, at, EXPIRE_FIELDS_NOT_POSITIVE)?;
    let (reply, done) = revise(context, hash, names, |context, change, name, old| {
        if !condition.holds(old, deadline) {
            return Ok(CONDITION_NOT_MET);
        }
        end_at(context, change, name, deadline).map(|is_left| if is_left { DONE } else { DELETED })
    })?;
    if done {
        let is_past = deadline <= context.now();
        context.notify(Class::Hash, if is_past { "hdel" } else { "hexpire" }, &args[1]);
        context.notify_if_gone(&args[1])?;
    }
    Ok(reply)
}

/// `HPERSIST key FIELDS numfields field [field ...]`
pub(super) fn hpersist(context: &mut Context<'_, '_>, args: &[Bytes]) -> Result<Value> {
    let hash = find(context, &args[1])?;
    let names = names(args, 2, FIELDS_NOT_POSITIVE)?;
    let (reply, done) = revise(context, hash, names, |context, change, name, old| {
        if old.is_none() {
            return Ok(NO_DEADLINE);
        }
        change.set_end(context.keys, name, None)?;
        Ok(DONE)
    })?;
    if done {
        context.notify(Class::Hash, "hpersist", &args[1]);
    }
    Ok(reply)
}

pub(super) fn httl(context: &mut Context<'_, '_>, args: &[Bytes]) -> Result<Value> {
    let now = context.now();
    tell(context, args, |end| end.0.saturating_sub(now.0).div_ceil(1000))
}

pub(super) fn hpttl(context: &mut Context<'_, '_>, args: &[Bytes]) -> Result<Value> {
    let now = context.now();
    tell(context, args, |end| end.0.saturating_sub(now.0))
}

pub(super) fn hexpiretime(context: &mut Context<'_, '_>, args: &[Bytes]) -> Result<Value> {
    tell(context, args, |end| end.0.div_ceil(1000))
}

pub(super) fn hpexpiretime(context: &mut Context<'_, '_>, args: &[Bytes]) -> Result<Value> {
    tell(context, args, |end| end.0)
}

/// `HTTL key FIELDS numfields field [field ...]`
fn tell(context: &mut Context<'_, '_>, args: &[Bytes], figure: impl Fn(Millis) -> u64) -> Result<Value> {
    let hash = find(context, &args[1])?;
    let names = names(args, 2, FIELDS_NOT_POSITIVE)?;
    let mut replies = Vec::with_capacity(names.len());
    for name in names {
        let found = match &hash {
            Some(hash) => hash.get_with_end(context.keys, name)?,
            None => None,
        };
        replies.push(Value::Integer(match found {
            None => NO_FIELD,
            Some((_, None)) => NO_DEADLINE,
            Some((_, Some(end))) => figure(end) as i64,
        }));
    }
    Ok(Value::Array(replies))
}

/// `HGETEX key [EX seconds | PX milliseconds | EXAT time | PXAT time | PERSIST] FIELDS numfields field [field ...]`
pub(super) fn hgetex(context: &mut Context<'_, '_>, args: &[Bytes]) -> Result<Value> {
    let hash = find(context, &args[1])?;
    let (ending, at) = match unit(&args[2], "hgetex", context.now()) {
        Some(unit) => (Ending::At(Some(unit.deadline(&args[3])?)), 4),
        None if is(&args[2], "persist") => (Ending::At(None), 3),
        None => (Ending::Kept, 2),
    };
    let names = names(args, at, FIELDS_NOT_POSITIVE)?;
    let now = context.now();
    let event = match ending {
        Ending::Kept => None,
        Ending::At(None) => Some("hpersist"),
        Ending::At(Some(deadline)) if deadline <= now => Some("hdel"),
        Ending::At(Some(_)) => Some("hexpire"),
    };
    read_and_change(context, &args[1], hash, names, event, |context, change, name, old| match ending {
        Ending::Kept => Ok(false),
        Ending::At(None) => {
            change.set_end(context.keys, name, None)?;
            Ok(old.is_some())
        }
        Ending::At(Some(deadline)) => end_at(context, change, name, deadline).map(|_| true),
    })
}

/// `HGETDEL key FIELDS numfields field [field ...]`
pub(super) fn hgetdel(context: &mut Context<'_, '_>, args: &[Bytes]) -> Result<Value> {
    let hash = find(context, &args[1])?;
    let names = names(args, 2, FIELDS_NOT_POSITIVE)?;
    read_and_change(context, &args[1], hash, names, Some("hdel"), |context, change, name, _| {
        Ok(change.remove(context.keys, name)?)
    })
}

/// What HSETEX is told beside the fields.
struct SetOptions {
    ending: Ending,
    condition: SetCondition,
}

/// Which fields must be there for HSETEX.
#[derive(Clone, Copy, PartialEq, Eq)]
enum SetCondition {
    Any,
    /// FNX
    None,
    /// FXX
    All,
}

/// `HSETEX key [FNX | FXX] [EX seconds | PX milliseconds | EXAT time | PXAT time | KEEPTTL] FIELDS numfields field value
/// [field value ...]`
pub(super) fn hsetex(context: &mut Context<'_, '_>, args: &[Bytes]) -> Result<Value> {
    let (options, pairs) = SetOptions::parse(args, context.now())?;
    let hash = Hash::find_or_new(context.keys, context.db, &args[1])?;
    let mut change = hash.change(context.keys)?;
    for [name, _] in pairs {
        let met = match options.condition {
            SetCondition::Any => break,
            SetCondition::None => change.get(context.keys, name)?.is_none(),
            SetCondition::All => change.get(context.keys, name)?.is_some(),
        };
        if !met {
            return Ok(Value::Integer(CONDITION_NOT_MET));
        }
    }
    let now = context.now();
    for [name, value] in pairs {
        match options.ending {
            Ending::At(Some(deadline)) if deadline <= now => drop(change.remove(context.keys, name)?),
            ending => drop(change.put(context.keys, name.clone(), value.clone(), ending)?),
        }
    }
    change.save(context.keys)?;
    match options.ending {
        Ending::At(Some(deadline)) if deadline <= now => {
            context.notify(Class::Hash, "hdel", &args[1]);
            context.notify_if_gone(&args[1])?;
        }
        ending => {
            context.notify(Class::Hash, "hset", &args[1]);
            if matches!(ending, Ending::At(Some(_))) {
                context.notify(Class::Hash, "hexpire", &args[1]);
            }
        }
    }
    Ok(Value::Integer(DONE))
}

impl SetOptions {
    /// The options, and the fields with their values.
    fn parse(args: &[Bytes], now: Millis) -> Result<(SetOptions, &[[Bytes; 2]])> {
        let arity = || Failure::arity("hsetex");
        let (mut ending, mut condition) = (None, SetCondition::Any);
        let mut at = 2;
        while let Some(word) = args.get(at) {
            at += 1;
            if is(word, "fields") {
                if args.len() < at + 3 {
                    return Err(arity());
                }
                let number = parse_integer(&args[at]).filter(|number| (1..=i64::from(i32::MAX)).contains(number));
                let number = number.ok_or_else(|| Failure::line("ERR invalid number of fields"))?;
                let (pairs, []) = args[at + 1..].as_chunks() else { return Err(arity()) };
                if usize::try_from(number) != Ok(pairs.len()) {
                    return Err(arity());
                }
                let ending = ending.unwrap_or(Ending::At(None));
                return Ok((SetOptions { ending, condition }, pairs));
            }
            let unit = unit(word, "hsetex", now);
            if unit.is_some() || is(word, "keepttl") {
                if ending.is_some() {
                    return Err(Failure::line(
                        "ERR Only one of EX, PX, EXAT, PXAT or KEEPTTL arguments can be specified",
                    ));
                }
                let Some(unit) = unit else {
                    ending = Some(Ending::Kept);
                    continue;
                };
                let time = args.get(at).ok_or_else(|| Failure::line("ERR missing expire time"))?;
                ending = Some(Ending::At(Some(unit.deadline(time)?)));
                at += 1;
            } else if is(word, "fnx") || is(word, "fxx") {
                if condition != SetCondition::Any {
                    return Err(Failure::line("ERR Only one of FXX or FNX arguments can be specified"));
                }
                condition = if is(word, "fnx") { SetCondition::None } else { SetCondition::All };
            } else {
                return Err(Failure::Reply([b"ERR unknown argument: ", crate::resp::c_string(word)].concat().into()));
            }
        }
        Err(arity())
    }
}

/// The unit of an option that gives fields a deadline.
fn unit(word: &[u8], name: &'static str, now: Millis) -> Option<Unit> {
    let (millis, from) = match word.to_ascii_lowercase().as_slice() {
        b"ex" => (SECONDS, Some(now)),
        b"px" => (MILLISECONDS, Some(now)),
        b"exat" => (SECONDS, None),
        b"pxat" => (MILLISECONDS, None),
        _ => return None,
    };
    Some(Unit { name, millis, from })
}

/// The fields behind `FIELDS numfields`, which start at word `at` and are the rest of the call.
fn names<'a>(args: &'a [Bytes], at: usize, not_positive: &'static str) -> Result<&'a [Bytes]> {
    if !args.get(at).is_some_and(|word| is(word, "fields")) {
        return Err(Failure::line(FIELDS_MISSING));
    }
    let number = args.get(at + 1).and_then(|word| parse_integer(word)).filter(|number| *number > 0);
    let number = number.ok_or_else(|| Failure::line(not_positive))?;
    let names = &args[at + 2..];
    if usize::try_from(number) == Ok(names.len()) { Ok(names) } else { Err(Failure::line(FIELDS_MISCOUNTED)) }
}

/// Ends a field at a deadline, or now if that has passed; says whether the field is left.
fn end_at(context: &mut Context<'_, '_>, change: &mut Change, name: &[u8], deadline: Millis) -> Result<bool> {
    let is_left = deadline > context.now();
    if is_left {
        change.set_end(context.keys, name, Some(deadline))?;
    } else {
        change.remove(context.keys, name)?;
    }
    Ok(is_left)
}

/// Does something with each field that there is, told its deadline, and answers a number for each. Says beside it
/// whether anything was done to any.
fn revise(
    context: &mut Context<'_, '_>,
    hash: Option<Hash>,
    names: &[Bytes],
    act: impl Fn(&mut Context<'_, '_>, &mut Change, &[u8], Option<Millis>) -> Result<i64>,
) -> Result<(Value, bool)> {
    let Some(hash) = hash else { return Ok((Value::Array(vec![Value::Integer(NO_FIELD); names.len()]), false)) };
    let mut change = hash.change(context.keys)?;
    let (mut replies, mut done) = (Vec::with_capacity(names.len()), false);
    for name in names {
        let reply = match change.get(context.keys, name)? {
            Some((_, end)) => act(context, &mut change, name, end)?,
            None => NO_FIELD,
        };
        done |= matches!(reply, DONE | DELETED);
        replies.push(Value::Integer(reply));
    }
    change.save(context.keys)?;
    Ok((Value::Array(replies), done))
}

/// Answers the value of each field, and then does something with those that there are, told its deadline. If that did
/// anything to any of them, it is the event.
fn read_and_change(
    context: &mut Context<'_, '_>,
    key: &Bytes,
    hash: Option<Hash>,
    names: &[Bytes],
    event: Option<&'static str>,
    act: impl Fn(&mut Context<'_, '_>, &mut Change, &[u8], Option<Millis>) -> Result<bool>,
) -> Result<Value> {
    let Some(hash) = hash else { return Ok(Value::Array(vec![Value::Null; names.len()])) };
    let mut change = hash.change(context.keys)?;
    let (mut replies, mut done) = (Vec::with_capacity(names.len()), false);
    for name in names {
        let found = change.get(context.keys, name)?;
        if let Some((_, end)) = &found {
            done |= act(context, &mut change, name, *end)?;
        }
        replies.push(found.map_or(Value::Null, |(value, _)| Value::Bulk(value)));
    }
    change.save(context.keys)?;
    if let Some(event) = event.filter(|_| done) {
        context.notify(Class::Hash, event, key);
        context.notify_if_gone(key)?;
    }
    Ok(Value::Array(replies))
}

#[cfg(test)]
mod tests;
