//! Giving what one consumer has not acknowledged to another one: XCLAIM by ids, XAUTOCLAIM whatever waits too long.

use std::ops::ControlFlow;

use bytes::Bytes;

use super::{entry, find, ids, line, no_group};
use crate::base::Millis;
use crate::base::limits::OUTPUT_BUFFER_BYTES_MAX;
use crate::command::args::{self, Options, is};
use crate::command::context::Context;
use crate::command::error::{Failure, Result};
use crate::data::Class;
use crate::data::stream::{Group, Id, Pending, Stream};
use crate::resp::Value;

/// Entries that XAUTOCLAIM looks at for each one that it may claim.
const ATTEMPTS: u64 = 10;
/// Redis keeps ids for a reply in an array that must have a size.
const COUNT_MAX: i64 = i64::MAX / 16;

/// What a claim does to an entry.
struct Claim<'a> {
    consumer: &'a Bytes,
    /// Milliseconds since it was delivered, at least.
    idle: i64,
    /// When it counts as delivered.
    delivered: Millis,
    /// How often it counts as delivered; once more than before, if this is not said.
    deliveries: Option<u64>,
    /// Only the id is returned, and this is no delivery.
    just_id: bool,
}

/// `XCLAIM key group consumer min-idle-time id [id ...] [IDLE ms] [TIME unix-time-milliseconds] [RETRYCOUNT count]
/// [FORCE] [JUSTID] [LASTID id]`
pub(in crate::command) fn xclaim(context: &mut Context<'_, '_>, args: &[Bytes]) -> Result<Value> {
    let (stream, mut group) = existing(context, args)?;
    let idle = number(&args[4], "min-idle-time argument")?.max(0);
    let ids: Vec<Id> = args[5..].iter().map_while(|word| ids::id(word).ok()).collect();
    let (now, mut force) = (context.now(), false);
    let mut last_id = Id::MIN;
    let mut claim = Claim { consumer: &args[3], idle, delivered: now, deliveries: None, just_id: false };
    let mut options = Options::new(args, 5 + ids.len());
    while let Some(word) = options.next() {
        if is(word, "force") {
            force = true;
        } else if is(word, "justid") {
            claim.just_id = true;
        } else if is(word, "idle") && options.left() > 0 {
            let idle = number(options.value()?, "IDLE option argument")?;
            claim.delivered = sensible((now.0 as i64).wrapping_sub(idle), now);
        } else if is(word, "time") && options.left() > 0 {
            claim.delivered = sensible(number(options.value()?, "TIME option argument")?, now);
        } else if is(word, "retrycount") && options.left() > 0 {
            claim.deliveries = u64::try_from(number(options.value()?, "RETRYCOUNT option argument")?).ok();
        } else if is(word, "lastid") && options.left() > 0 {
            last_id = ids::id(options.value()?)?;
        } else {
            return Err(line(&[b"ERR Unrecognized XCLAIM option '", word, b"'"]));
        }
    }
    group.last_id = group.last_id.max(last_id);
    arrive(context, &mut group, &args[1], claim.consumer)?;
    let mut claimed = Vec::new();
    for id in ids {
        let before = group.pending(context.keys, id)?;
        let Some(words) = stream.entry(context.keys, id)? else {
            // It was deleted: nobody has to acknowledge it any more.
            if let Some(before) = before {
                group.acknowledge(context.keys, id, &before)?;
            }
            continue;
        };
        if before.is_some() || force {
            claimed.extend(take(context, &mut group, &claim, (id, words), before)?);
        }
    }
    group.save(context.keys);
    Ok(Value::Array(claimed))
}

/// `XAUTOCLAIM key group consumer min-idle-time start [COUNT count] [JUSTID]`. It ends early where a client could not be
/// sent more at once; its cursor tells where.
pub(in crate::command) fn xautoclaim(context: &mut Context<'_, '_>, args: &[Bytes]) -> Result<Value> {
    let invalid = "ERR Invalid min-idle-time argument for XAUTOCLAIM";
    let idle = args::integer(&args[4]).map_err(|_| Failure::line(invalid))?.max(0);
    let start = ids::start(&args[5])?;
    let delivered = context.now();
    let mut claim = Claim { consumer: &args[3], idle, delivered, deliveries: None, just_id: false };
    let (mut count, mut options) = (100, Options::new(args, 6));
    while let Some(word) = options.next() {
        if is(word, "count") && options.left() > 0 {
            let number = args::integer(options.value()?).ok().filter(|number| (1..=COUNT_MAX).contains(number));
            count = number.ok_or_else(|| Failure::line("ERR COUNT must be > 0"))?.unsigned_abs();
        } else if is(word, "justid") {
            claim.just_id = true;
        } else {
            return Err(Failure::SYNTAX);
        }
    }
    let (stream, mut group) = existing(context, args)?;
    arrive(context, &mut group, &args[1], claim.consumer)?;
    let mut attempts = count.saturating_mul(ATTEMPTS);
    let (mut claimed, mut deleted, mut next) = (Vec::new(), Vec::new(), Some(start));
    let mut bytes = 0;
    while count > 0 && attempts > 0 && bytes <= OUTPUT_BUFFER_BYTES_MAX / 2 {
        // Entries wait in the order of ids, so a few of them are looked at and then given.
        let Some(from) = next else { break };
        let portion = PORTION.min(count).min(attempts);
        let waiting = some_pending(context, &group, from, portion)?;
        attempts -= waiting.len() as u64;
        next = match waiting.last() {
            Some((last, _)) if waiting.len() as u64 == portion => last.next(),
            _ => None,
        };
        for (id, before) in waiting {
            let Some(words) = stream.entry(context.keys, id)? else {
                group.acknowledge(context.keys, id, &before)?;
                deleted.push(ids::value(id));
                count -= 1;
                continue;
            };
            bytes += words.iter().map(Bytes::len).sum::<usize>();
            if let Some(shown) = take(context, &mut group, &claim, (id, words), Some(before))? {
                claimed.push(shown);
                count -= 1;
            }
        }
    }
    let cursor = match next {
        Some(from) => some_pending(context, &group, from, 1)?.first().map_or(Id::MIN, |(id, _)| *id),
        None => Id::MIN,
    };
    group.save(context.keys);
    Ok(Value::Array(vec![ids::value(cursor), Value::Array(claimed), Value::Array(deleted)]))
}

/// Pending entries that XAUTOCLAIM looks at together.
const PORTION: u64 = 64;

/// The first pending entries of a group from an id on.
fn some_pending(context: &Context<'_, '_>, group: &Group, from: Id, count: u64) -> Result<Vec<(Id, Pending)>> {
    let mut found = Vec::new();
    group.visit_pending(context.keys, (from, Id::MAX), &mut |id, pending| {
        found.push((id, pending));
        if (found.len() as u64) < count { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    Ok(found)
}

/// Gives an entry to the consumer, unless it was delivered too lately; returns what the reply shows of it.
fn take(
    context: &mut Context<'_, '_>,
    group: &mut Group,
    claim: &Claim<'_>,
    (id, words): (Id, Vec<Bytes>),
    before: Option<Pending>,
) -> Result<Option<Value>> {
    let now = context.now();
    let idle = |before: &Pending| (now.0 as i64).wrapping_sub(before.delivered.0 as i64);
    if claim.idle > 0 && before.as_ref().is_some_and(|before| idle(before) < claim.idle) {
        return Ok(None);
    }
    let known = before.as_ref().map_or(1, |before| before.deliveries);
    let more = u64::from(!claim.just_id);
    let deliveries = claim.deliveries.unwrap_or(known.wrapping_add(more));
    let after = Pending { consumer: claim.consumer.clone(), delivered: claim.delivered, deliveries };
    group.give(context.keys, id, before.as_ref(), &after)?;
    if let Some(consumer) = group.consumer(context.keys, claim.consumer)? {
        consumer.active = Some(now);
    }
    Ok(Some(if claim.just_id { ids::value(id) } else { entry(id, words) }))
}

/// The consumer is there, and was seen.
fn arrive(context: &mut Context<'_, '_>, group: &mut Group, key: &[u8], name: &Bytes) -> Result<()> {
    let now = context.now();
    if group.consumer_or_new(context.keys, name, now)? {
        context.notify(Class::Stream, "xgroup-createconsumer", key);
    }
    if let Some(consumer) = group.consumer(context.keys, name)? {
        consumer.seen = now;
    }
    Ok(())
}

fn existing(context: &mut Context<'_, '_>, args: &[Bytes]) -> Result<(Stream, Group)> {
    let stream = find(context, &args[1])?.ok_or_else(|| no_group(&args[1], &args[2]))?;
    let group = stream.group(context.keys, &args[2])?.ok_or_else(|| no_group(&args[1], &args[2]))?;
    Ok((stream, group))
}

/// A number of XCLAIM.
fn number(word: &[u8], what: &str) -> Result<i64> {
    args::integer(word).map_err(|_| Failure::line(format!("ERR Invalid {what} for XCLAIM")))
}

/// A time of a client, whose clock may be another one: nothing was delivered in the future.
fn sensible(time: i64, now: Millis) -> Millis {
    u64::try_from(time).map_or(now, |time| Millis(time).min(now))
}
