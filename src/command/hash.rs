//! Hash commands.

use bytes::Bytes;

use super::args::{self, Options};
use super::context::Context;
use super::error::{Failure, Result};
use super::scan::ScanOptions;
use crate::base::LongDouble;
use crate::base::limits::ARGUMENTS_MAX;
use crate::data::Class;
use crate::data::hash::{Ending, Hash};
use crate::data::packed::Pair;
use crate::resp::{Protocol, Value};

/// Picks that a command makes with repetition at most; a client may ask for 2^63.
pub(super) const PICKS_MAX: u64 = ARGUMENTS_MAX as u64;

pub(super) fn hset(context: &mut Context<'_, '_>, args: &[Bytes]) -> Result<Value> {
    let added = set_pairs(context, args, "hset")?;
    Ok(Value::Integer(added as i64))
}

pub(super) fn hmset(context: &mut Context<'_, '_>, args: &[Bytes]) -> Result<Value> {
    set_pairs(context, args, "hmset")?;
    Ok(Value::OK)
}

fn set_pairs(context: &mut Context<'_, '_>, args: &[Bytes], name: &str) -> Result<u64> {
    let words = &args[2..];
    if words.len() % 2 == 1 {
        return Err(Failure::arity(name));
    }
    let pairs = words.chunks_exact(2).map(|pair| (pair[0].clone(), pair[1].clone()));
    let hash = Hash::find_or_new(context.keys, context.db, &args[1])?;
    let added = hash.set(context.keys, pairs)?;
    context.notify(Class::Hash, "hset", &args[1]);
    Ok(added)
}

pub(super) fn hsetnx(context: &mut Context<'_, '_>, args: &[Bytes]) -> Result<Value> {
    let hash = Hash::find_or_new(context.keys, context.db, &args[1])?;
    if hash.get(context.keys, &args[2])?.is_some() {
        return Ok(Value::Integer(0));
    }
    hash.set(context.keys, [(args[2].clone(), args[3].clone())])?;
    context.notify(Class::Hash, "hset", &args[1]);
    Ok(Value::Integer(1))
}

pub(super) fn hget(context: &mut Context<'_, '_>, args: &[Bytes]) -> Result<Value> {
    Ok(field(context, &args[1], &args[2])?.map_or(Value::Null, Value::Bulk))
}

pub(super) fn hexists(context: &mut Context<'_, '_>, args: &[Bytes]) -> Result<Value> {
    Ok(Value::Integer(field(context, &args[1], &args[2])?.is_some().into()))
}

pub(super) fn hstrlen(context: &mut Context<'_, '_>, args: &[Bytes]) -> Result<Value> {
    Ok(Value::Integer(field(context, &args[1], &args[2])?.map_or(0, |value| value.len() as i64)))
}

fn field(context: &mut Context<'_, '_>, key: &Bytes, field: &[u8]) -> Result<Option<Bytes>> {
    match find(context, key)? {
        Some(hash) => Ok(hash.get(context.keys, field)?),
        None => Ok(None),
    }
}

pub(super) fn hmget(context: &mut Context<'_, '_>, args: &[Bytes]) -> Result<Value> {
    let hash = find(context, &args[1])?;
    let value = |field: &Bytes| match &hash {
        Some(hash) => Ok(hash.get(context.keys, field)?.map_or(Value::Null, Value::Bulk)),
        None => Ok(Value::Null),
    };
    Ok(Value::Array(args[2..].iter().map(value).collect::<Result<_>>()?))
}

pub(super) fn hlen(context: &mut Context<'_, '_>, args: &[Bytes]) -> Result<Value> {
    let count = match find(context, &args[1])? {
        Some(hash) => hash.count(context.keys)?,
        None => 0,
    };
    Ok(Value::Integer(count as i64))
}

pub(super) fn hgetall(context: &mut Context<'_, '_>, args: &[Bytes]) -> Result<Value> {
    let pairs = pairs(context, &args[1])?;
    Ok(Value::Map(pairs.into_iter().map(|(field, value)| (Value::Bulk(field), Value::Bulk(value))).collect()))
}

pub(super) fn hkeys(context: &mut Context<'_, '_>, args: &[Bytes]) -> Result<Value> {
    let pairs = pairs(context, &args[1])?;
    Ok(Value::Array(pairs.into_iter().map(|(field, _)| Value::Bulk(field)).collect()))
}

pub(super) fn hvals(context: &mut Context<'_, '_>, args: &[Bytes]) -> Result<Value> {
    let pairs = pairs(context, &args[1])?;
    Ok(Value::Array(pairs.into_iter().map(|(_, value)| Value::Bulk(value)).collect()))
}

fn pairs(context: &mut Context<'_, '_>, key: &Bytes) -> Result<Vec<Pair>> {
    match find(context, key)? {
        Some(hash) => Ok(hash.pairs(context.keys)?),
        None => Ok(Vec::new()),
    }
}

pub(super) fn hdel(context: &mut Context<'_, '_>, args: &[Bytes]) -> Result<Value> {
    let removed = match find(context, &args[1])? {
        Some(hash) => hash.remove(context.keys, &args[2..])?,
        None => 0,
    };
    if removed > 0 {
        context.notify(Class::Hash, "hdel", &args[1]);
        context.notify_if_gone(&args[1])?;
    }
    Ok(Value::Integer(removed as i64))
}

pub(super) fn hincrby(context: &mut Context<'_, '_>, args: &[Bytes]) -> Result<Value> {
    let by = args::integer(&args[3])?;
    let hash = Hash::find_or_new(context.keys, context.db, &args[1])?;
    let old = match hash.get(context.keys, &args[2])? {
        Some(text) => args::parse_integer(&text).ok_or_else(|| Failure::line("ERR hash value is not an integer"))?,
        None => 0,
    };
    let Some(new) = old.checked_add(by) else {
        return Err(Failure::line("ERR increment or decrement would overflow"));
    };
    replace(context, hash, &args[2], new.to_string().into())?;
    context.notify(Class::Hash, "hincrby", &args[1]);
    Ok(Value::Integer(new))
}

pub(super) fn hincrbyfloat(context: &mut Context<'_, '_>, args: &[Bytes]) -> Result<Value> {
    let by = LongDouble::parse(&args[3]).ok_or(Failure::NOT_A_FLOAT)?;
    if by.is_infinite() {
        return Err(Failure::line("ERR value is NaN or Infinity"));
    }
    let hash = Hash::find_or_new(context.keys, context.db, &args[1])?;
    let old = match hash.get(context.keys, &args[2])? {
        Some(text) => LongDouble::parse(&text).ok_or_else(|| Failure::line("ERR hash value is not a float"))?,
        None => LongDouble::ZERO,
    };
    let Some(new) = old.checked_add(by) else {
        return Err(Failure::line("ERR increment would produce NaN or Infinity"));
    };
    let text = Bytes::from(new.text());
    replace(context, hash, &args[2], text.clone())?;
    context.notify(Class::Hash, "hincrbyfloat", &args[1]);
    Ok(Value::Bulk(text))
}

/// Sets a field to what was computed from it: it keeps its deadline.
fn replace(context: &mut Context<'_, '_>, hash: Hash, field: &Bytes, value: Bytes) -> Result<()> {
    let mut change = hash.change(context.keys)?;
    change.put(context.keys, field.clone(), value, Ending::Kept)?;
    change.save(context.keys)?;
    Ok(())
}

/// `HSCAN key cursor [MATCH pattern] [COUNT count]`
pub(super) fn hscan(context: &mut Context<'_, '_>, args: &[Bytes]) -> Result<Value> {
    let cursor = ScanOptions::cursor(&args[2])?;
    let Some(hash) = find(context, &args[1])? else { return Ok(ScanOptions::reply(0, Vec::new())) };
    let options = ScanOptions::parse(args, 3, false)?;
    let part = hash.scan(context.keys, cursor, options.count)?;
    let pairs = part.pairs.into_iter().filter(|(field, _)| options.admits(field));
    let words = pairs.flat_map(|(field, value)| [Value::Bulk(field), Value::Bulk(value)]).collect();
    Ok(ScanOptions::reply(part.cursor, words))
}

/// `HRANDFIELD key [count [WITHVALUES]]`: every field has the same chance.
pub(super) fn hrandfield(context: &mut Context<'_, '_>, args: &[Bytes]) -> Result<Value> {
    let Some(word) = args.get(2) else {
        let Some(hash) = find(context, &args[1])? else { return Ok(Value::Null) };
        let picked = hash.random(context.keys, 1, false)?.pop();
        return Ok(picked.map_or(Value::Null, |(field, _)| Value::Bulk(field)));
    };
    let (count, repeat) = args::signed_count(word)?;
    let with_values = match Options::new(args, 3).collect::<Vec<_>>()[..] {
        [] => false,
        [word] if args::is(word, "withvalues") => true,
        _ => return Err(Failure::SYNTAX),
    };
    if (with_values && count > i64::MAX.unsigned_abs() / 2) || (repeat && count > PICKS_MAX) {
        return Err(Failure::line("ERR value is out of range"));
    }
    let Some(hash) = find(context, &args[1])? else { return Ok(Value::Array(Vec::new())) };
    let picked = hash.random(context.keys, count, repeat)?;
    Ok(Value::Array(match (with_values, context.protocol) {
        (false, _) => picked.into_iter().map(|(field, _)| Value::Bulk(field)).collect(),
        (true, Protocol::Resp2) => {
            picked.into_iter().flat_map(|(field, value)| [Value::Bulk(field), Value::Bulk(value)]).collect()
        }
        (true, Protocol::Resp3) => picked
            .into_iter()
            .map(|(field, value)| Value::Array(vec![Value::Bulk(field), Value::Bulk(value)]))
            .collect(),
    }))
}

pub(super) fn find(context: &mut Context<'_, '_>, key: &Bytes) -> Result<Option<Hash>> {
    Ok(Hash::find(context.keys, context.db, key)?)
}
