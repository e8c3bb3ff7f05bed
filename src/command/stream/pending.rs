//! XPENDING: what a group was given and has not acknowledged.

use std::ops::ControlFlow;

use bytes::Bytes;

use super::{find, ids, no_group};
use crate::command::args::{self, is};
use crate::command::context::Context;
use crate::command::error::{Failure, Result};
use crate::data::stream::{Group, Id, Pending};
use crate::resp::Value;

/// Entries of one consumer that are looked at together.
const PORTION: u64 = 256;

/// Which pending entries are asked for.
struct Filter<'a> {
    between: (Id, Id),
    count: u64,
    consumer: Option<&'a Bytes>,
    /// Milliseconds since they were delivered, at least; 0 for all.
    idle: i64,
}

/// `XPENDING key group [[IDLE min-idle-time] start end count [consumer]]`
pub(in crate::command) fn xpending(context: &mut Context<'_, '_>, args: &[Bytes]) -> Result<Value> {
    let filter = parse(args)?;
    let found = match find(context, &args[1])? {
        Some(stream) => stream.group(context.keys, &args[2])?,
        None => None,
    };
    let group = found.ok_or_else(|| no_group(&args[1], &args[2]))?;
    match filter {
        None => summary(context, &group),
        Some(filter) => list(context, group, &filter),
    }
}

fn parse(args: &[Bytes]) -> Result<Option<Filter<'_>>> {
    let (idle, words) = match &args[3..] {
        [] => return Ok(None),
        words if !(3..=6).contains(&words.len()) => return Err(Failure::SYNTAX),
        [word, idle, rest @ ..] if is(word, "idle") => {
            let idle = args::integer(idle)?;
            if rest.len() < 3 {
                return Err(Failure::SYNTAX);
            }
            (idle, rest)
        }
        words => (0, words),
    };
    let count = args::integer(&words[2])?.max(0).unsigned_abs();
    let between = (ids::start(&words[0])?, ids::end(&words[1])?);
    Ok(Some(Filter { between, count, consumer: words.get(3), idle }))
}

/// How many there are, the first and the last, and how many of whom.
fn summary(context: &Context<'_, '_>, group: &Group) -> Result<Value> {
    let Some((first, last)) = group.pending_ends(context.keys)? else {
        return Ok(Value::Array(vec![Value::Integer(0), Value::Null, Value::Null, Value::NullArray]));
    };
    let consumers = group.all_consumers(context.keys)?.into_iter().filter(|consumer| consumer.pending > 0);
    let consumers = consumers
        .map(|consumer| Value::Array(vec![Value::Bulk(consumer.name), Value::bulk(consumer.pending.to_string())]));
    let total = Value::Integer(group.pending as i64);
    Ok(Value::Array(vec![total, ids::value(first), ids::value(last), Value::Array(consumers.collect())]))
}

fn list(context: &mut Context<'_, '_>, mut group: Group, filter: &Filter<'_>) -> Result<Value> {
    let now = context.now().0 as i64;
    let mut shown = Vec::new();
    let mut show = |id: Id, pending: Pending| {
        let idle = now.wrapping_sub(pending.delivered.0 as i64);
        if filter.idle == 0 || idle >= filter.idle {
            let numbers = [idle.max(0), pending.deliveries as i64].map(Value::Integer);
            shown.push(Value::Array(
                [ids::value(id), Value::Bulk(pending.consumer)].into_iter().chain(numbers).collect(),
            ));
        }
        if (shown.len() as u64) < filter.count { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    };
    match filter.consumer {
        _ if filter.count == 0 => {}
        None => group.visit_pending(context.keys, filter.between, &mut show)?,
        Some(name) => {
            let Some(consumer) = group.consumer(context.keys, name)?.cloned() else {
                return Ok(Value::Array(shown));
            };
            let (mut from, to) = (Some(filter.between.0), filter.between.1);
            while let Some(start) = from {
                let owned = group.owned(context.keys, &consumer, (start, to), PORTION.min(filter.count))?;
                from = owned.last().and_then(|(last, _)| last.next());
                if owned.into_iter().try_for_each(|(id, pending)| show(id, pending)).is_break() {
                    break;
                }
            }
        }
    }
    Ok(Value::Array(shown))
}
