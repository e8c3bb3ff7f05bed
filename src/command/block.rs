//! Commands that wait until there is something for them: what they do when they look, and how long they want to wait.
//!
//! A handler here never waits. It looks once, and answers null where there is nothing: that is what Redis answers in a
//! transaction, in a script, and when the time is over. Whoever can wait asks [`patience`] first, takes a null as
//! "nothing yet", and looks again when a key is [`ready`]. So a waiting call and its effects are evaluated like any other.
//! Source: Redis documentation of BLPOP and its kind, and of `XREAD`, "Blocking for data".

use std::time::Duration;

use bytes::Bytes;

use super::context::Context;
use super::error::{Error, Failure, Result};
use super::stream::read;
use super::{Call, args, list, zset};
use crate::base::Millis;
use crate::base::long_double::LongDouble;
use crate::data::list::End;
use crate::data::{Keyspace, Kind, Manner};
use crate::resp::Value;

/// How long a call wants to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Patience {
    /// As long as it takes.
    Unlimited,
    /// So long, then it is answered with null.
    Until(Duration),
}

/// `BLPOP key [key ...] timeout`
pub(super) fn blpop(context: &mut Context<'_, '_>, args: &[Bytes]) -> Result<Value> {
    pop(context, args, End::Left)
}

/// `BRPOP key [key ...] timeout`
pub(super) fn brpop(context: &mut Context<'_, '_>, args: &[Bytes]) -> Result<Value> {
    pop(context, args, End::Right)
}

fn pop(context: &mut Context<'_, '_>, args: &[Bytes], end: End) -> Result<Value> {
    let keys = keys_before_timeout(context, args)?;
    for key in keys {
        if let Some(list) = list::find(context, key)? {
            let popped = list::take(context, list, key, end, 1)?;
            let element = popped.into_iter().next().map_or(Value::Null, Value::Bulk);
            return Ok(Value::Array(vec![Value::Bulk(key.clone()), element]));
        }
    }
    Ok(Value::NullArray)
}

/// `BLMOVE source destination LEFT|RIGHT LEFT|RIGHT timeout`
pub(super) fn blmove(context: &mut Context<'_, '_>, args: &[Bytes]) -> Result<Value> {
    let (from, to) = (list::side(&args[3])?, list::side(&args[4])?);
    seconds(&args[5], context.now())?;
    list::carry(context, (&args[1], from), (&args[2], to))
}

/// `BRPOPLPUSH source destination timeout`
pub(super) fn brpoplpush(context: &mut Context<'_, '_>, args: &[Bytes]) -> Result<Value> {
    seconds(&args[3], context.now())?;
    list::carry(context, (&args[1], End::Right), (&args[2], End::Left))
}

/// `BLMPOP timeout numkeys key [key ...] LEFT|RIGHT [COUNT count]`
pub(super) fn blmpop(context: &mut Context<'_, '_>, args: &[Bytes]) -> Result<Value> {
    list::pop_first(context, args, 2)
}

/// `BZPOPMIN key [key ...] timeout`
pub(super) fn bzpopmin(context: &mut Context<'_, '_>, args: &[Bytes]) -> Result<Value> {
    pop_scored(context, args, false)
}

/// `BZPOPMAX key [key ...] timeout`
pub(super) fn bzpopmax(context: &mut Context<'_, '_>, args: &[Bytes]) -> Result<Value> {
    pop_scored(context, args, true)
}

fn pop_scored(context: &mut Context<'_, '_>, args: &[Bytes], highest: bool) -> Result<Value> {
    let keys = keys_before_timeout(context, args)?;
    for key in keys {
        if let Some(zset) = zset::find(context, key)? {
            let taken = zset::take(context, zset, key, 1, highest)?.into_iter().next();
            return Ok(taken.map_or(Value::NullArray, |(member, score)| {
                Value::Array(vec![Value::Bulk(key.clone()), Value::Bulk(member), Value::Double(score)])
            }));
        }
    }
    Ok(Value::NullArray)
}

/// `BZMPOP timeout numkeys key [key ...] MIN|MAX [COUNT count]`
pub(super) fn bzmpop(context: &mut Context<'_, '_>, args: &[Bytes]) -> Result<Value> {
    zset::pop_first(context, args, 2)
}

/// The keys of a call whose last word is a timeout.
fn keys_before_timeout<'a>(context: &Context<'_, '_>, args: &'a [Bytes]) -> Result<&'a [Bytes]> {
    let Some((timeout, keys)) = args[1..].split_last() else { return Ok(&[]) };
    seconds(timeout, context.now())?;
    Ok(keys)
}

/// The timeout of a call that has one, where it stands before everything else.
pub(super) fn check_timeout(context: &Context<'_, '_>, words: &[Bytes]) -> Result<()> {
    words.first().map_or(Ok(()), |word| seconds(word, context.now()).map(|_| ()))
}

/// A timeout in seconds, with parts of them; rounded up to milliseconds. 0 is for ever.
fn seconds(word: &[u8], now: Millis) -> Result<Patience> {
    let seconds = LongDouble::parse(word).ok_or(Failure::line("ERR timeout is not a float or out of range"))?;
    let millis = (seconds.to_f64() * 1000.0).ceil();
    if millis >= i64::MAX as f64 {
        return Err(Failure::line("ERR timeout is out of range"));
    }
    // Rounded down to a number that is none: below what an i64 holds is negative all the same.
    milliseconds(millis as i64, now)
}

/// A timeout in milliseconds, as XREAD takes it. 0 is for ever.
pub(super) fn milliseconds(millis: i64, now: Millis) -> Result<Patience> {
    match u64::try_from(millis) {
        Err(_) => Err(Failure::line("ERR timeout is negative")),
        Ok(0) => Ok(Patience::Unlimited),
        Ok(millis) if millis > (i64::MAX as u64).saturating_sub(now.0) => {
            Err(Failure::line("ERR timeout is out of range"))
        }
        Ok(millis) => Ok(Patience::Until(Duration::from_millis(millis))),
    }
}

/// How long a call wants to wait if it finds nothing; `None` for one that does not wait, or is wrong: it only looks.
pub fn patience(name: &str, args: &[Bytes], now: Millis) -> Option<Patience> {
    let timeout = |word: Option<&Bytes>| seconds(word?, now).ok();
    match name {
        "blpop" | "brpop" | "blmove" | "brpoplpush" | "bzpopmin" | "bzpopmax" => timeout(args.last()),
        "blmpop" | "bzmpop" => timeout(args.get(1)),
        "xread" | "xreadgroup" => read::patience(args, now),
        _ => None,
    }
}

/// The keys that a waiting call is about, as far as a change of them can end its wait.
pub fn keys(call: &Call) -> Vec<Bytes> {
    let Ok(spec) = super::check(&call.args) else { return Vec::new() };
    let mut keys: Vec<_> = spec.keys_of(&call.args).filter_map(|(at, _)| call.args.get(at).cloned()).collect();
    if matches!(spec.name, "blmove" | "brpoplpush") {
        keys.truncate(1);
    }
    keys
}

/// What a waiting call wants a changed key to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wants {
    /// A value of this kind.
    A(Kind),
    /// Anything: that its group is gone is an answer to XREADGROUP, too.
    AnyChange,
}

/// What a waiting call wants of its keys.
pub fn wants(call: &Call) -> Wants {
    match super::check(&call.args).map_or("", |spec| spec.name) {
        "xreadgroup" => Wants::AnyChange,
        "xread" => Wants::A(Kind::Stream),
        "bzpopmin" | "bzpopmax" | "bzmpop" => Wants::A(Kind::Zset),
        _ => Wants::A(Kind::List),
    }
}

/// Whether a changed key is what is wanted, so that a call that waits for it should look again.
pub fn is_ready(keys: &mut Keyspace<'_>, db: u8, key: &[u8], wants: Wants) -> std::result::Result<bool, Error> {
    let Wants::A(kind) = wants else { return Ok(true) };
    keys.manner = Manner::default();
    match keys.lookup(db, key).map_err(Failure::from) {
        Ok(found) => Ok(found.is_some_and(|head| head.kind == kind)),
        Err(Failure::Abort(error)) => Err(error),
        Err(Failure::Reply(_)) => Ok(false),
    }
}

/// The words of a call that mean the same whenever it looks again: `$` of XREAD is the last id at the beginning of the
/// wait. `None` where they do already.
pub fn settled(keys: &mut Keyspace<'_>, call: &Call) -> std::result::Result<Option<Vec<Bytes>>, Error> {
    if !call.args.first().is_some_and(|name| args::is(name, "xread")) {
        return Ok(None);
    }
    keys.manner = Manner::default();
    let (db, protocol) = (call.db, call.protocol);
    let mut context = Context { keys, db, protocol, touches: false, scripts: None, rights: None, in_script: false };
    match read::settled(&mut context, &call.args) {
        Ok(words) => Ok(words),
        Err(Failure::Abort(error)) => Err(error),
        // It is wrong, and will say so.
        Err(Failure::Reply(_)) => Ok(None),
    }
}

/// The answer to a call whose client lost the right to it while it waited: null, for it goes on waiting, until there is
/// something for it; then it hears that it may not have it, and it stays where it is. (Redis looks at rights again when it
/// wakes a client.) `is_served`: a key changed that it waits for. `None` for a call that may run.
pub fn denied(keys: &mut Keyspace<'_>, call: &Call, is_served: bool) -> std::result::Result<Option<Value>, Error> {
    let Some((rights, spec)) = call.rights.as_ref().zip(super::check(&call.args).ok()) else { return Ok(None) };
    if spec.runs_scripts() {
        return Ok(None);
    }
    let Err(denied) = rights.check(spec, &call.args) else { return Ok(None) };
    let mut is_served = is_served;
    // That a stream is there says nothing: only a change of it wakes.
    if let wants @ Wants::A(Kind::List | Kind::Zset) = wants(call) {
        for key in self::keys(call) {
            is_served |= is_ready(keys, call.db, &key, wants)?;
        }
    }
    if !is_served {
        return Ok(Some(Value::Null));
    }
    Ok(Some(Value::error_with(&[b"NOPERM ", &rights.message(denied, spec, &call.args, false)])))
}

/// Whether a reply says that there was nothing.
pub fn is_nothing(reply: &Value) -> bool {
    matches!(reply, Value::Null | Value::NullArray)
}
