//! PUBLISH, SPUBLISH and the PUBSUB family.
//!
//! Publishing is part of an evaluation like a write: the entry carries the message, and every node hands it to its own
//! subscribers when the entry is applied. The reply counts the audience as the evaluating node knows it.

use bytes::Bytes;

use super::context::Context;
use super::error::Result;
use super::introspect;
use crate::base::{Audience, ChannelKind, Publication};
use crate::resp::Value;

/// `PUBLISH channel message`
pub(super) fn publish(context: &mut Context<'_, '_>, args: &[Bytes]) -> Result<Value> {
    Ok(send(context, ChannelKind::Plain, args))
}

/// `SPUBLISH shardchannel message`
pub(super) fn spublish(context: &mut Context<'_, '_>, args: &[Bytes]) -> Result<Value> {
    Ok(send(context, ChannelKind::Shard, args))
}

fn send(context: &mut Context<'_, '_>, kind: ChannelKind, args: &[Bytes]) -> Value {
    let (channel, message) = (args[1].clone(), args[2].clone());
    let receivers = context.keys.audience.receivers(kind, &channel);
    context.keys.store.publish(Publication { kind, channel, message });
    count(receivers)
}

/// `PUBSUB subcommand ...`, checked against the table.
pub fn pubsub(audience: &dyn Audience, args: &[Bytes]) -> Value {
    use ChannelKind::{Plain, Shard};
    match (args[1].to_ascii_lowercase().as_slice(), &args[2..]) {
        (b"channels", []) => channels(audience, Plain, None),
        (b"channels", [pattern]) => channels(audience, Plain, Some(pattern)),
        (b"shardchannels", []) => channels(audience, Shard, None),
        (b"shardchannels", [pattern]) => channels(audience, Shard, Some(pattern)),
        (b"numsub", names) => subscribers(audience, Plain, names),
        (b"shardnumsub", names) => subscribers(audience, Shard, names),
        (b"numpat", []) => count(audience.patterns()),
        (b"help", _) => introspect::explain(args),
        _ => {
            let word = &args[1][..args[1].len().min(super::QUOTED_BYTES_MAX)];
            let head = b"ERR unknown subcommand or wrong number of arguments for '";
            Value::error_with(&[head, word, b"'. Try PUBSUB HELP."])
        }
    }
}

fn channels(audience: &dyn Audience, kind: ChannelKind, pattern: Option<&Bytes>) -> Value {
    let found = audience.channels(kind, pattern.map(|pattern| &pattern[..]));
    Value::Array(found.into_iter().map(Value::Bulk).collect())
}

/// Each name and how many subscribe to it.
fn subscribers(audience: &dyn Audience, kind: ChannelKind, names: &[Bytes]) -> Value {
    let pair = |name: &Bytes| [Value::Bulk(name.clone()), count(audience.subscribers(kind, name))];
    Value::Array(names.iter().flat_map(pair).collect())
}

fn count(number: u64) -> Value {
    Value::Integer(i64::try_from(number).unwrap_or(i64::MAX))
}
