//! Deadlines of keys: setting, asking, removing.
//!
//! A relative time becomes an absolute deadline here, before anything is written; a deadline that has passed is a
//! removal. The log never carries "from now on".

use bytes::Bytes;

use super::args::{self, Options};
use super::context::Context;
use super::error::{Failure, Result};
use crate::base::Millis;
use crate::data::Class;
use crate::resp::{Value, c_string};

/// Milliseconds per unit of a client's number.
const SECONDS: i64 = 1000;
const MILLISECONDS: i64 = 1;

/// What `TTL` and its family answer for a key without a deadline.
const NO_DEADLINE: i64 = -1;
/// What they answer for no key.
const NO_KEY: i64 = -2;

pub(super) fn expire(context: &mut Context<'_, '_>, args: &[Bytes]) -> Result<Value> {
    let now = context.now();
    set_deadline(context, args, "expire", SECONDS, now)
}

pub(super) fn pexpire(context: &mut Context<'_, '_>, args: &[Bytes]) -> Result<Value> {
    let now = context.now();
    set_deadline(context, args, "pexpire", MILLISECONDS, now)
}

pub(super) fn expireat(context: &mut Context<'_, '_>, args: &[Bytes]) -> Result<Value> {
    set_deadline(context, args, "expireat", SECONDS, Millis(0))
}

pub(super) fn pexpireat(context: &mut Context<'_, '_>, args: &[Bytes]) -> Result<Value> {
    set_deadline(context, args, "pexpireat", MILLISECONDS, Millis(0))
}

/// `EXPIRE key time [NX | XX | GT | LT]`, counted in `unit` from `from` on.
fn set_deadline(context: &mut Context<'_, '_>, args: &[Bytes], name: &str, unit: i64, from: Millis) -> Result<Value> {
    let condition = Condition::parse(Options::new(args, 3))?;
    let from = i64::try_from(from.0).unwrap_or(i64::MAX);
    let Some(at) = args::integer(&args[2])?.checked_mul(unit).and_then(|span| span.checked_add(from)) else {
        return Err(Failure::line(format!("ERR invalid expire time in '{name}' command")));
    };
    let key = &args[1];
    let Some(head) = context.lookup(key)? else { return Ok(Value::Integer(0)) };
    if !condition.holds(head.deadline, at) {
        return Ok(Value::Integer(0));
    }
    match u64::try_from(at) {
        Ok(at) if Millis(at) > context.now() => {
            context.keys.set_deadline(context.db, key, &head, Some(Millis(at)));
            context.notify(Class::Generic, "expire", key);
        }
        _ => context.delete(key, &head),
    }
    Ok(Value::Integer(1))
}

/// When a new deadline may replace the old one. All that are set must hold.
#[derive(Clone, Copy, Default)]
struct Condition {
    /// Only where there is none.
    nx: bool,
    /// Only where there is one.
    xx: bool,
    /// Only a later one; no deadline counts as never.
    gt: bool,
    /// Only an earlier one; no deadline counts as never.
    lt: bool,
}

impl Condition {
    fn parse(options: Options<'_>) -> Result<Condition> {
        let mut condition = Condition::default();
        for word in options {
            match word.to_ascii_lowercase()[..] {
                [b'n', b'x'] => condition.nx = true,
                [b'x', b'x'] => condition.xx = true,
                [b'g', b't'] => condition.gt = true,
                [b'l', b't'] => condition.lt = true,
                _ => {
                    return Err(Failure::Reply([b"ERR Unsupported option ", c_string(word)].concat().into()));
                }
            }
        }
        if condition.nx && (condition.xx || condition.gt || condition.lt) {
            return Err(Failure::line("ERR NX and XX, GT or LT options at the same time are not compatible"));
        }
        if condition.gt && condition.lt {
            return Err(Failure::line("ERR GT and LT options at the same time are not compatible"));
        }
        Ok(condition)
    }

    fn holds(self, old: Option<Millis>, new: i64) -> bool {
        let later = |old: Millis| i128::from(new) > i128::from(old.0);
        let earlier = |old: Millis| i128::from(new) < i128::from(old.0);
        !(self.nx && old.is_some()
            || self.xx && old.is_none()
            || self.gt && !old.is_some_and(later)
            || self.lt && !old.is_none_or(earlier))
    }
}

pub(super) fn ttl(context: &mut Context<'_, '_>, args: &[Bytes]) -> Result<Value> {
    let now = context.now();
    tell(context, &args[1], |deadline| seconds(deadline.0.saturating_sub(now.0)))
}

pub(super) fn pttl(context: &mut Context<'_, '_>, args: &[Bytes]) -> Result<Value> {
    let now = context.now();
    tell(context, &args[1], |deadline| deadline.0.saturating_sub(now.0))
}

pub(super) fn expiretime(context: &mut Context<'_, '_>, args: &[Bytes]) -> Result<Value> {
    tell(context, &args[1], |deadline| seconds(deadline.0))
}

pub(super) fn pexpiretime(context: &mut Context<'_, '_>, args: &[Bytes]) -> Result<Value> {
    tell(context, &args[1], |deadline| deadline.0)
}

fn tell(context: &mut Context<'_, '_>, key: &[u8], figure: impl FnOnce(Millis) -> u64) -> Result<Value> {
    let Some(head) = context.lookup(key)? else { return Ok(Value::Integer(NO_KEY)) };
    Ok(Value::Integer(head.deadline.map_or(NO_DEADLINE, |deadline| figure(deadline) as i64)))
}

/// To the nearest second, as Redis rounds.
fn seconds(millis: u64) -> u64 {
    millis.saturating_add(500) / 1000
}

pub(super) fn persist(context: &mut Context<'_, '_>, args: &[Bytes]) -> Result<Value> {
    match context.lookup(&args[1])? {
        Some(head) if head.deadline.is_some() => {
            context.keys.set_deadline(context.db, &args[1], &head, None);
            context.notify(Class::Generic, "persist", &args[1]);
            Ok(Value::Integer(1))
        }
        _ => Ok(Value::Integer(0)),
    }
}
