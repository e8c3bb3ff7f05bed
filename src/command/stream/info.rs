//! XINFO: the facts of a stream, its groups and their consumers.

use std::ops::ControlFlow;

use bytes::Bytes;

use super::{entries, find, ids, misused, no_group_at};
use crate::command::args::{self, is};
use crate::command::context::Context;
use crate::command::error::{Failure, Result};
use crate::data::stream::{Consumer, Group, Id, Pending, Stream};
use crate::resp::Value;
use crate::store::Order;

/// Entries that FULL shows, unless its COUNT says otherwise.
const COUNT_DEFAULT: u64 = 10;
/// Pages up to which the nodes of Redis's tree are counted one by one.
const PAGES_MAX: u64 = 1_000;

/// `XINFO STREAM key [FULL [COUNT count]]`
pub(in crate::command) fn stream(context: &mut Context<'_, '_>, args: &[Bytes]) -> Result<Value> {
    let stream = find(context, &args[2])?.ok_or(Failure::NO_SUCH_KEY)?;
    let count = match &args[3..] {
        [] => None,
        [word] if is(word, "full") => Some(COUNT_DEFAULT),
        [word, option, count] if is(word, "full") && is(option, "count") => {
            Some(u64::try_from(args::integer(count)?).unwrap_or(COUNT_DEFAULT))
        }
        _ => return Err(misused(args)),
    };
    let facts = *stream.facts();
    let mut shown = vec![
        ("length", Value::Integer(facts.length as i64)),
        ("radix-tree-keys", Value::Integer(facts.pages as i64)),
        ("radix-tree-nodes", Value::Integer(tree_nodes(context, &stream)? as i64)),
        ("last-generated-id", ids::value(facts.last_id)),
        ("max-deleted-entry-id", ids::value(facts.deleted)),
        ("entries-added", Value::Integer(facts.added as i64)),
        ("recorded-first-entry-id", ids::value(facts.first)),
    ];
    match count {
        None => {
            let end = |order| -> Result<Value> {
                Ok(entries(context, &stream, (Id::MIN, Id::MAX), order, 1)?.pop().unwrap_or(Value::Null))
            };
            shown.push(("groups", Value::Integer(facts.groups as i64)));
            shown.push(("first-entry", end(Order::Forward)?));
            shown.push(("last-entry", end(Order::Backward)?));
        }
        Some(count) => {
            let count = if count == 0 { u64::MAX } else { count };
            let all = entries(context, &stream, (Id::MIN, Id::MAX), Order::Forward, count)?;
            let groups = stream.groups(context.keys)?;
            let groups = groups.into_iter().map(|group| full_group(context, &stream, group, count));
            shown.push(("entries", Value::Array(all)));
            shown.push(("groups", Value::Array(groups.collect::<Result<_>>()?)));
        }
    }
    Ok(map(shown))
}

pub(in crate::command) fn groups(context: &mut Context<'_, '_>, args: &[Bytes]) -> Result<Value> {
    let stream = find(context, &args[2])?.ok_or(Failure::NO_SUCH_KEY)?;
    let show = |group: Group| {
        map(vec![
            ("name", Value::Bulk(group.name.clone())),
            ("consumers", Value::Integer(group.consumers as i64)),
            ("pending", Value::Integer(group.pending as i64)),
            ("last-delivered-id", ids::value(group.last_id)),
            ("entries-read", group.entries_read.map_or(Value::Null, |read| Value::Integer(read as i64))),
            ("lag", stream.lag(&group).map_or(Value::Null, Value::Integer)),
        ])
    };
    Ok(Value::Array(stream.groups(context.keys)?.into_iter().map(show).collect()))
}

/// `XINFO CONSUMERS key group`
pub(in crate::command) fn consumers(context: &mut Context<'_, '_>, args: &[Bytes]) -> Result<Value> {
    let stream = find(context, &args[2])?.ok_or(Failure::NO_SUCH_KEY)?;
    let group = stream.group(context.keys, &args[3])?.ok_or_else(|| no_group_at(&args[2], &args[3]))?;
    let now = context.now().0 as i64;
    let show = |consumer: Consumer| {
        let since = |time: u64| now.wrapping_sub(time as i64);
        map(vec![
            ("name", Value::Bulk(consumer.name)),
            ("pending", Value::Integer(consumer.pending as i64)),
            ("idle", Value::Integer(since(consumer.seen.0).max(0))),
            ("inactive", Value::Integer(consumer.active.map_or(-1, |active| since(active.0)))),
        ])
    };
    Ok(Value::Array(group.all_consumers(context.keys)?.into_iter().map(show).collect()))
}

fn full_group(context: &Context<'_, '_>, stream: &Stream, group: Group, count: u64) -> Result<Value> {
    let mut waiting = Vec::new();
    group.visit_pending(context.keys, (Id::MIN, Id::MAX), &mut |id, pending| {
        let consumer = Value::Bulk(pending.consumer.clone());
        waiting.push(Value::Array([ids::value(id), consumer].into_iter().chain(deliveries(&pending)).collect()));
        if (waiting.len() as u64) < count { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    let consumers = group.all_consumers(context.keys)?;
    let consumers = consumers.into_iter().map(|consumer| full_consumer(context, &group, consumer, count));
    Ok(map(vec![
        ("name", Value::Bulk(group.name.clone())),
        ("last-delivered-id", ids::value(group.last_id)),
        ("entries-read", group.entries_read.map_or(Value::Null, |read| Value::Integer(read as i64))),
        ("lag", stream.lag(&group).map_or(Value::Null, Value::Integer)),
        ("pel-count", Value::Integer(group.pending as i64)),
        ("pending", Value::Array(waiting)),
        ("consumers", Value::Array(consumers.collect::<Result<_>>()?)),
    ]))
}

fn full_consumer(context: &Context<'_, '_>, group: &Group, consumer: Consumer, count: u64) -> Result<Value> {
    let owned = group.owned(context.keys, &consumer, (Id::MIN, Id::MAX), count)?;
    let owned = owned
        .into_iter()
        .map(|(id, pending)| Value::Array([ids::value(id)].into_iter().chain(deliveries(&pending)).collect()));
    Ok(map(vec![
        ("name", Value::Bulk(consumer.name)),
        ("seen-time", Value::Integer(consumer.seen.0 as i64)),
        ("active-time", Value::Integer(consumer.active.map_or(-1, |active| active.0 as i64))),
        ("pel-count", Value::Integer(consumer.pending as i64)),
        ("pending", Value::Array(owned.collect())),
    ]))
}

fn deliveries(pending: &Pending) -> [Value; 2] {
    [pending.delivered.0 as i64, pending.deliveries as i64].map(Value::Integer)
}

fn map(fields: Vec<(&'static str, Value)>) -> Value {
    Value::Map(fields.into_iter().map(|(name, value)| (Value::bulk(name), value)).collect())
}

/// Nodes of the tree in which Redis would keep the pages; about as many, where there are too many pages to look at.
fn tree_nodes(context: &Context<'_, '_>, stream: &Stream) -> Result<u64> {
    match stream.facts().pages {
        pages if pages > PAGES_MAX => Ok(pages.saturating_mul(2)),
        _ => Ok(radix_nodes(&stream.pages(context.keys)?)),
    }
}

/// Nodes of a radix tree of these keys: one per key, one per place where keys part, and one per string of bytes between
/// two of those.
fn radix_nodes(ids: &[Id]) -> u64 {
    let keys: Vec<[u8; 16]> =
        ids.iter().map(|id| (u128::from(id.ms) << 64 | u128::from(id.seq)).to_be_bytes()).collect();
    if keys.is_empty() { 1 } else { nodes_below(&keys, 0) }
}

/// Nodes for keys that have their first `depth` bytes in common.
fn nodes_below(keys: &[[u8; 16]], depth: usize) -> u64 {
    let (Some(first), Some(last)) = (keys.first(), keys.last()) else { return 0 };
    let common = first[depth..].iter().zip(&last[depth..]).take_while(|(one, other)| one == other).count();
    let string = u64::from(common > 0);
    let at = depth + common;
    if at == first.len() {
        return string + 1;
    }
    string + 1 + keys.chunk_by(|one, other| one[at] == other[at]).map(|part| nodes_below(part, at + 1)).sum::<u64>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_radix_tree_has_a_node_per_key_parting_and_string() {
        let nodes = |ids: &[(u64, u64)]| {
            let ids: Vec<Id> = ids.iter().map(|&(ms, seq)| Id { ms, seq }).collect();
            radix_nodes(&ids)
        };
        assert_eq!(nodes(&[]), 1);
        assert_eq!(nodes(&[(1, 1)]), 2);
        // They part at the last byte.
        assert_eq!(nodes(&[(1, 1), (1, 2)]), 4);
        // And here at one in the middle.
        assert_eq!(nodes(&[(1, 0), (2, 0)]), 6);
        assert_eq!(nodes(&[(1, 0), (2, 0), (2, 1)]), 8);
    }
}
