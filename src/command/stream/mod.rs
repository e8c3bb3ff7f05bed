//! Stream commands: adding, asking for and removing entries. Reading on is in [`read`], groups of consumers in [`group`],
//! what they have not acknowledged in [`pending`] and [`claim`], the facts of a stream in [`info`].

pub mod claim;
pub mod dump;
pub mod group;
mod ids;
pub mod info;
pub mod pending;
pub mod read;
#[cfg(test)]
mod tests;
mod trimming;

use std::ops::ControlFlow;

use bytes::Bytes;

use self::ids::Wanted;
use super::args::{Options, is};
use super::context::Context;
use super::error::{Failure, Result};
use crate::base::limits::OUTPUT_BUFFER_BYTES_MAX;
use crate::data::Class;
use crate::data::stream::{Id, PAGE_BYTES_MAX, Stream};
use crate::resp::{Value, c_string};
use crate::store::Order;

/// `XADD key [NOMKSTREAM] [<MAXLEN | MINID> [= | ~] threshold [LIMIT count]] <* | id> field value [field value ...]`
pub(super) fn xadd(context: &mut Context<'_, '_>, args: &[Bytes]) -> Result<Value> {
    let told = trimming::of_xadd(args, &context.keys.thresholds)?;
    let words = &args[args.len() - told.left..];
    let Some(wanted) = told.id.filter(|_| !words.is_empty() && words.len().is_multiple_of(2)) else {
        return Err(Failure::arity("xadd"));
    };
    if wanted == Wanted::Exactly(Id::MIN) {
        return Err(Failure::line("ERR The ID specified in XADD must be greater than 0-0"));
    }
    let found = find(context, &args[1])?;
    if found.is_none() && told.no_stream {
        return Ok(Value::Null);
    }
    let mut stream = found.unwrap_or_else(|| Stream::new(context.db, &args[1]));
    let last = stream.facts().last_id;
    if last == Id::MAX {
        return Err(Failure::line("ERR The stream has exhausted the last possible ID, unable to add more items"));
    }
    let id = match wanted {
        Wanted::Next => Some(Id { ms: context.now().0, seq: 0 }).filter(|id| id.ms > last.ms).or(last.next()),
        Wanted::InMillisecond(ms) if ms == last.ms => last.seq.checked_add(1).map(|seq| Id { ms, seq }),
        Wanted::InMillisecond(ms) => Some(Id { ms, seq: 0 }),
        Wanted::Exactly(id) => Some(id),
    };
    let too_low = "ERR The ID specified in XADD is equal or smaller than the target stream top item";
    let id = id.filter(|id| *id > last).ok_or_else(|| Failure::line(too_low))?;
    if words.iter().map(Bytes::len).sum::<usize>() > PAGE_BYTES_MAX {
        return Err(Failure::line("ERR Elements are too large to be stored"));
    }
    stream.append(context.keys, id, words);
    let trimmed = match told.trim {
        Some(trim) => stream.trim(context.keys, trim)?,
        None => 0,
    };
    stream.save(context.keys);
    context.notify(Class::Stream, "xadd", &args[1]);
    if trimmed > 0 {
        context.notify(Class::Stream, "xtrim", &args[1]);
    }
    Ok(ids::value(id))
}

pub(super) fn xlen(context: &mut Context<'_, '_>, args: &[Bytes]) -> Result<Value> {
    Ok(Value::Integer(find(context, &args[1])?.map_or(0, |stream| stream.facts().length as i64)))
}

/// `XRANGE key start end [COUNT count]`
pub(super) fn xrange(context: &mut Context<'_, '_>, args: &[Bytes]) -> Result<Value> {
    range(context, args, (2, 3), Order::Forward)
}

/// `XREVRANGE key end start [COUNT count]`
pub(super) fn xrevrange(context: &mut Context<'_, '_>, args: &[Bytes]) -> Result<Value> {
    range(context, args, (3, 2), Order::Backward)
}

fn range(context: &mut Context<'_, '_>, args: &[Bytes], ends: (usize, usize), order: Order) -> Result<Value> {
    let (from, to) = (ids::start(&args[ends.0])?, ids::end(&args[ends.1])?);
    let (mut count, mut options) = (u64::MAX, Options::new(args, 4));
    while let Some(word) = options.next() {
        if !is(word, "count") || options.left() == 0 {
            return Err(Failure::SYNTAX);
        }
        count = options.integer()?.max(0).unsigned_abs();
    }
    let Some(stream) = find(context, &args[1])? else { return Ok(Value::Array(Vec::new())) };
    if count == 0 {
        return Ok(Value::NullArray);
    }
    Ok(Value::Array(entries(context, &stream, (from, to), order, count)?))
}

pub(super) fn xdel(context: &mut Context<'_, '_>, args: &[Bytes]) -> Result<Value> {
    let Some(mut stream) = find(context, &args[1])? else { return Ok(Value::Integer(0)) };
    let ids: Vec<Id> = args[2..].iter().map(|word| ids::id(word)).collect::<Result<_>>()?;
    let mut removed = 0;
    for id in ids {
        removed += i64::from(stream.remove(context.keys, id)?);
    }
    stream.save(context.keys);
    if removed > 0 {
        context.notify(Class::Stream, "xdel", &args[1]);
    }
    Ok(Value::Integer(removed))
}

/// `XTRIM key <MAXLEN | MINID> [= | ~] threshold [LIMIT count]`
pub(super) fn xtrim(context: &mut Context<'_, '_>, args: &[Bytes]) -> Result<Value> {
    let trim = trimming::of_xtrim(args, &context.keys.thresholds)?;
    let Some(mut stream) = find(context, &args[1])? else { return Ok(Value::Integer(0)) };
    let removed = stream.trim(context.keys, trim)?;
    stream.save(context.keys);
    if removed > 0 {
        context.notify(Class::Stream, "xtrim", &args[1]);
    }
    Ok(Value::Integer(removed as i64))
}

/// `XSETID key last-id [ENTRIESADDED entries-added] [MAXDELETEDID max-deleted-id]`
pub(super) fn xsetid(context: &mut Context<'_, '_>, args: &[Bytes]) -> Result<Value> {
    let id = ids::id(&args[2])?;
    let (mut added, mut deleted) = (None, Id::MIN);
    let mut options = Options::new(args, 3);
    while let Some(word) = options.next() {
        if is(word, "entriesadded") && options.left() > 0 {
            let number = u64::try_from(options.integer()?);
            added = Some(number.map_err(|_| Failure::line("ERR entries_added must be positive"))?);
        } else if is(word, "maxdeletedid") && options.left() > 0 {
            deleted = ids::id(options.value()?)?;
            if id < deleted {
                return Err(Failure::line(
                    "ERR The ID specified in XSETID is smaller than the provided max_deleted_entry_id",
                ));
            }
        } else {
            return Err(Failure::SYNTAX);
        }
    }
    let mut stream = find(context, &args[1])?.ok_or(Failure::NO_SUCH_KEY)?;
    let facts = stream.facts();
    if id < facts.deleted {
        return Err(Failure::line("ERR The ID specified in XSETID is smaller than current max_deleted_entry_id"));
    }
    if facts.length > 0 && id < facts.top {
        return Err(Failure::line("ERR The ID specified in XSETID is smaller than the target stream top item"));
    }
    if facts.length > 0 && added.is_some_and(|added| facts.length > added) {
        return Err(Failure::line(
            "ERR The entries_added specified in XSETID is smaller than the target stream length",
        ));
    }
    stream.set_facts(id, added, Some(deleted).filter(|deleted| *deleted != Id::MIN));
    stream.save(context.keys);
    context.notify(Class::Stream, "xsetid", &args[1]);
    Ok(Value::OK)
}

/// Entries between two ids, both included, at most so many. It ends where no client could be sent the reply: that is
/// refused, whatever else would be in it.
fn entries(
    context: &Context<'_, '_>,
    stream: &Stream,
    (from, to): (Id, Id),
    order: Order,
    count: u64,
) -> Result<Vec<Value>> {
    let (mut entries, mut bytes) = (Vec::new(), 0);
    stream.visit(context.keys, from, to, order, &mut |id, words| {
        bytes += words.iter().map(Bytes::len).sum::<usize>();
        entries.push(entry(id, words));
        let goes_on = (entries.len() as u64) < count && bytes <= OUTPUT_BUFFER_BYTES_MAX;
        if goes_on { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    Ok(entries)
}

/// An entry in a reply.
fn entry(id: Id, words: Vec<Bytes>) -> Value {
    let words = words.into_iter().map(Value::Bulk);
    Value::Array(vec![ids::value(id), Value::Array(words.collect())])
}

fn find(context: &mut Context<'_, '_>, key: &Bytes) -> Result<Option<Stream>> {
    Ok(Stream::find(context.keys, context.db, key)?)
}

/// An error line with words of the client between its own.
fn line(parts: &[&[u8]]) -> Failure {
    Failure::Reply(parts.iter().flat_map(|part| c_string(part)).copied().collect::<Vec<u8>>().into())
}

/// A key or group that must exist.
fn no_group(key: &[u8], group: &[u8]) -> Failure {
    line(&[b"NOGROUP No such key '", key, b"' or consumer group '", group, b"'"])
}

/// A group of a stream that exists.
fn no_group_at(key: &[u8], group: &[u8]) -> Failure {
    line(&[b"NOGROUP No such consumer group '", group, b"' for key name '", key, b"'"])
}

/// Words that fit no form of a subcommand.
fn misused(args: &[Bytes]) -> Failure {
    let word = &args[1][..args[1].len().min(super::QUOTED_BYTES_MAX)];
    let container = args[0].to_ascii_uppercase();
    line(&[b"ERR unknown subcommand or wrong number of arguments for '", word, b"'. Try ", &container, b" HELP."])
}
