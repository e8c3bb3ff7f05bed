//! Reading on: XREAD from an id, XREADGROUP what a group has not been given yet, or what one consumer has not
//! acknowledged.

use std::ops::ControlFlow;

use bytes::Bytes;

use super::{entries, entry, find, ids, line};
use crate::base::Millis;
use crate::base::limits::OUTPUT_BUFFER_BYTES_MAX;
use crate::command::args::{self, Options, is};
use crate::command::block::{Patience, milliseconds};
use crate::command::context::Context;
use crate::command::error::{Failure, Result};
use crate::data::Class;
use crate::data::stream::{Group, Id, Pending, Stream};
use crate::resp::{Protocol, Value};
use crate::store::Order;

/// Pending entries that are looked at together.
const PORTION: u64 = 256;
/// What an entry takes beside its words.
const ENTRY_BYTES: usize = 100;

/// What a read is told before its streams.
struct Told<'a> {
    /// Group and consumer.
    group: Option<(&'a Bytes, &'a Bytes)>,
    /// Entries of each stream at most.
    count: u64,
    /// Nothing becomes pending.
    no_ack: bool,
    /// How long to wait where there is nothing.
    block: Option<Patience>,
    /// Keys, then as many ids.
    streams: (&'a [Bytes], &'a [Bytes]),
}

/// `XREAD [COUNT count] [BLOCK milliseconds] STREAMS key [key ...] id [id ...]`
pub(in crate::command) fn xread(context: &mut Context<'_, '_>, args: &[Bytes]) -> Result<Value> {
    let told = parse(context.now(), args, false)?;
    let mut from = Vec::new();
    for (key, word) in told.streams.0.iter().zip(told.streams.1) {
        let last = last_id(context, key)?;
        from.push(match &word[..] {
            b"$" => last,
            b">" => {
                return Err(Failure::line(
                    "ERR The > ID can be specified only when calling XREADGROUP using the GROUP <group> <consumer> \
                     option.",
                ));
            }
            word => ids::id(word)?,
        });
    }
    let mut found = Vec::new();
    for (key, from) in told.streams.0.iter().zip(from) {
        let Some(stream) = find(context, key)?.filter(|stream| stream.facts().top > from) else { continue };
        let Some(start) = from.next() else { continue };
        found.push((key, entries(context, &stream, (start, Id::MAX), Order::Forward, told.count)?));
    }
    Ok(reply(context, found))
}

/// `XREADGROUP GROUP group consumer [COUNT count] [BLOCK milliseconds] [NOACK] STREAMS key [key ...] id [id ...]`
pub(in crate::command) fn xreadgroup(context: &mut Context<'_, '_>, args: &[Bytes]) -> Result<Value> {
    let told = parse(context.now(), args, true)?;
    let Some((name, consumer)) = told.group else {
        return Err(Failure::line("ERR Missing GROUP option for XREADGROUP"));
    };
    let mut from = Vec::new();
    for (key, word) in told.streams.0.iter().zip(told.streams.1) {
        if group(context, key, name)?.is_none() {
            let end = b"' in XREADGROUP with GROUP option";
            return Err(line(&[b"NOGROUP No such key '", key, b"' or consumer group '", name, end]));
        }
        from.push(match &word[..] {
            b"$" => {
                return Err(Failure::line(
                    "ERR The $ ID is meaningless in the context of XREADGROUP: you want to read the history of this \
                     consumer by specifying a proper ID, or use the > ID to get new messages. The $ ID would just \
                     return an empty result set.",
                ));
            }
            b">" => Id::MAX,
            word => ids::id(word)?,
        });
    }
    let (mut found, now) = (Vec::new(), context.now());
    for (key, from) in told.streams.0.iter().zip(from) {
        // A key may be named twice: each time it is as the time before left it.
        let Some((stream, mut group)) = group(context, key, name)? else { continue };
        if group.consumer_or_new(context.keys, consumer, now)? {
            context.notify(Class::Stream, "xgroup-createconsumer", key);
        }
        if let Some(consumer) = group.consumer(context.keys, consumer)? {
            consumer.seen = now;
        }
        match from.next() {
            // The highest id has none behind it: it stands for `>`.
            None if stream.facts().top > group.last_id => {
                found.push((key, deliver(context, &stream, &mut group, consumer, &told)?));
            }
            None => {}
            Some(start) => {
                found.push((key, remind(context, &stream, &mut group, consumer, (start, told.count))?));
            }
        }
        group.save(context.keys);
    }
    Ok(reply(context, found))
}

fn parse(now: Millis, args: &[Bytes], is_group: bool) -> Result<Told<'_>> {
    let (mut group, mut count, mut no_ack, mut block) = (None, 0, false, None);
    let mut options = Options::new(args, 1);
    while let Some(word) = options.next() {
        if is(word, "block") && options.left() > 0 {
            block = Some(timeout(options.value()?, now)?);
        } else if is(word, "count") && options.left() > 0 {
            count = options.integer()?.max(0).unsigned_abs();
        } else if is(word, "streams") && options.left() > 0 {
            let words = &args[args.len() - options.left()..];
            if words.len() % 2 == 1 {
                let (name, symbol) = if is_group { ("xreadgroup", '>') } else { ("xread", '$') };
                return Err(Failure::line(format!(
                    "ERR Unbalanced '{name}' list of streams: for each stream key an ID or '{symbol}' must be specified."
                )));
            }
            let count = if count == 0 { u64::MAX } else { count };
            if is_group && group.is_none() {
                return Err(Failure::line("ERR Missing GROUP option for XREADGROUP"));
            }
            return Ok(Told { group, count, no_ack, block, streams: words.split_at(words.len() / 2) });
        } else if is(word, "group") && options.left() > 1 {
            only_with(is_group, "GROUP")?;
            group = Some((options.value()?, options.value()?));
        } else if is(word, "noack") {
            only_with(is_group, "NOACK")?;
            no_ack = true;
        } else {
            return Err(Failure::SYNTAX);
        }
    }
    Err(Failure::SYNTAX)
}

fn only_with(is_group: bool, option: &str) -> Result<()> {
    let line = || format!("ERR The {option} option is only supported by XREADGROUP. You called XREAD instead.");
    if is_group { Ok(()) } else { Err(Failure::line(line())) }
}

/// How long to wait, from a number of milliseconds.
fn timeout(word: &[u8], now: Millis) -> Result<Patience> {
    let number = args::integer(word).map_err(|_| Failure::line("ERR timeout is not an integer or out of range"))?;
    milliseconds(number, now)
}

/// How long a call wants to wait where there is nothing; `None` if not at all, or if it is wrong.
pub(in crate::command) fn patience(args: &[Bytes], now: Millis) -> Option<Patience> {
    let is_group = args.first().is_some_and(|name| is(name, "xreadgroup"));
    parse(now, args, is_group).ok()?.block
}

/// The words of an XREAD with the last id of each stream in the place of `$`; `None` if there is no `$`.
pub(in crate::command) fn settled(context: &mut Context<'_, '_>, args: &[Bytes]) -> Result<Option<Vec<Bytes>>> {
    let told = parse(context.now(), args, false)?;
    if !told.streams.1.iter().any(|word| word == "$") {
        return Ok(None);
    }
    let mut words = args[..args.len() - told.streams.1.len()].to_vec();
    for (key, word) in told.streams.0.iter().zip(told.streams.1) {
        words.push(if word == "$" { ids::word(last_id(context, key)?) } else { word.clone() });
    }
    Ok(Some(words))
}

fn last_id(context: &mut Context<'_, '_>, key: &Bytes) -> Result<Id> {
    Ok(find(context, key)?.map_or(Id::MIN, |stream| stream.facts().last_id))
}

fn group(context: &mut Context<'_, '_>, key: &Bytes, name: &Bytes) -> Result<Option<(Stream, Group)>> {
    let Some(stream) = find(context, key)? else { return Ok(None) };
    let group = stream.group(context.keys, name)?;
    Ok(group.map(|group| (stream, group)))
}

/// Gives new entries to a consumer, but no more than a client can be sent at once: the others stay for the next call.
fn deliver(
    context: &mut Context<'_, '_>,
    stream: &Stream,
    group: &mut Group,
    consumer: &Bytes,
    told: &Told<'_>,
) -> Result<Vec<Value>> {
    let (Some(start), now) = (group.last_id.next(), context.now()) else { return Ok(Vec::new()) };
    let (mut delivered, mut bytes) = (Vec::new(), 0);
    stream.visit(context.keys, start, Id::MAX, Order::Forward, &mut |id, words| {
        bytes += size_of(&words);
        delivered.push((id, words));
        let goes_on = (delivered.len() as u64) < told.count && bytes <= OUTPUT_BUFFER_BYTES_MAX / 2;
        if goes_on { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    for (id, _) in &delivered {
        group.advance(stream, *id);
        if !told.no_ack {
            // XGROUP SETID may have set the group back: somebody has it already.
            let before = group.pending(context.keys, *id)?;
            let after = Pending { consumer: consumer.clone(), delivered: now, deliveries: 1 };
            group.give(context.keys, *id, before.as_ref(), &after)?;
        }
    }
    if let Some(consumer) = group.consumer(context.keys, consumer)?
        && !told.no_ack
        && !delivered.is_empty()
    {
        consumer.active = Some(now);
    }
    Ok(delivered.into_iter().map(|(id, words)| entry(id, words)).collect())
}

/// Gives a consumer once more what it has not acknowledged, but no more than a client can be sent at once.
fn remind(
    context: &mut Context<'_, '_>,
    stream: &Stream,
    group: &mut Group,
    consumer: &Bytes,
    (start, count): (Id, u64),
) -> Result<Vec<Value>> {
    let (mut reminded, mut bytes, now) = (Vec::new(), 0, context.now());
    let Some(owner) = group.consumer(context.keys, consumer)?.cloned() else { return Ok(reminded) };
    let (mut from, mut left) = (Some(start), count);
    while let Some(start) = from.filter(|_| left > 0 && bytes <= OUTPUT_BUFFER_BYTES_MAX / 2) {
        let owned = group.owned(context.keys, &owner, (start, Id::MAX), PORTION.min(left))?;
        from = owned.last().and_then(|(last, _)| last.next());
        left -= owned.len() as u64;
        for (id, before) in owned {
            reminded.push(match stream.entry(context.keys, id)? {
                Some(words) => {
                    bytes += size_of(&words);
                    let deliveries = before.deliveries.wrapping_add(1);
                    let after = Pending { delivered: now, deliveries, ..before.clone() };
                    group.give(context.keys, id, Some(&before), &after)?;
                    entry(id, words)
                }
                // It was deleted since.
                None => Value::Array(vec![ids::value(id), Value::NullArray]),
            });
        }
    }
    Ok(reminded)
}

/// What an entry takes, in a reply and as pending, roughly.
fn size_of(words: &[Bytes]) -> usize {
    ENTRY_BYTES + words.iter().map(Bytes::len).sum::<usize>()
}

fn reply(context: &Context<'_, '_>, found: Vec<(&Bytes, Vec<Value>)>) -> Value {
    if found.is_empty() {
        return Value::NullArray;
    }
    let found = found.into_iter().map(|(key, entries)| (Value::Bulk(key.clone()), Value::Array(entries)));
    match context.protocol {
        Protocol::Resp2 => Value::Array(found.map(|(key, entries)| Value::Array(vec![key, entries])).collect()),
        Protocol::Resp3 => Value::Map(found.collect()),
    }
}
