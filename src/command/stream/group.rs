//! Groups of consumers: making and removing them, and acknowledging what they were given.

use bytes::Bytes;

use super::{find, ids, misused, no_group_at};
use crate::command::args::{Options, is};
use crate::command::context::Context;
use crate::command::error::{Failure, Result};
use crate::data::Class;
use crate::data::stream::{Group, Id, Stream};
use crate::resp::Value;

const NO_STREAM: &str = "ERR The XGROUP subcommand requires the key to exist. Note that for CREATE you may want to use \
                         the MKSTREAM option to create an empty stream automatically.";

/// What CREATE and SETID are told behind the id.
#[derive(Default)]
struct Told {
    makes_stream: bool,
    entries_read: Option<u64>,
}

impl Told {
    fn parse(args: &[Bytes], is_create: bool) -> Result<Told> {
        let (mut told, mut options) = (Told::default(), Options::new(args, 5));
        while let Some(word) = options.next() {
            if is_create && is(word, "mkstream") {
                told.makes_stream = true;
            } else if is(word, "entriesread") && options.left() > 0 {
                told.entries_read = match options.integer()? {
                    -1 => None,
                    number => {
                        let wrong = "ERR value for ENTRIESREAD must be positive or -1";
                        Some(u64::try_from(number).map_err(|_| Failure::line(wrong))?)
                    }
                };
            } else {
                return Err(misused(args));
            }
        }
        Ok(told)
    }
}

/// `XGROUP CREATE key group <id | $> [MKSTREAM] [ENTRIESREAD entries-read]`
pub(in crate::command) fn create(context: &mut Context<'_, '_>, args: &[Bytes]) -> Result<Value> {
    let told = Told::parse(args, true)?;
    let found = find(context, &args[2])?;
    if found.is_none() && !told.makes_stream {
        return Err(Failure::line(NO_STREAM));
    }
    if args.len() > 8 {
        return Err(misused(args));
    }
    let id = match &args[4][..] {
        b"$" => found.as_ref().map_or(Id::MIN, |stream| stream.facts().last_id),
        word => ids::id(word)?,
    };
    let mut stream = found.unwrap_or_else(|| Stream::new(context.db, &args[2]));
    if !stream.create_group(context.keys, &args[3], id, told.entries_read)? {
        return Err(Failure::line("BUSYGROUP Consumer Group name already exists"));
    }
    stream.save(context.keys);
    context.notify(Class::Stream, "xgroup-create", &args[2]);
    Ok(Value::OK)
}

/// `XGROUP SETID key group <id | $> [ENTRIESREAD entries-read]`
pub(in crate::command) fn setid(context: &mut Context<'_, '_>, args: &[Bytes]) -> Result<Value> {
    let told = Told::parse(args, false)?;
    let (stream, mut group) = existing(context, args)?;
    if args.len() != 5 && args.len() != 7 {
        return Err(misused(args));
    }
    group.last_id = match &args[4][..] {
        b"$" => stream.facts().last_id,
        word => ids::id_or_end(word, 0)?,
    };
    group.entries_read = told.entries_read;
    group.save(context.keys);
    context.notify(Class::Stream, "xgroup-setid", &args[2]);
    Ok(Value::OK)
}

pub(in crate::command) fn destroy(context: &mut Context<'_, '_>, args: &[Bytes]) -> Result<Value> {
    let mut stream = find(context, &args[2])?.ok_or_else(|| Failure::line(NO_STREAM))?;
    let Some(group) = stream.group(context.keys, &args[3])? else { return Ok(Value::Integer(0)) };
    stream.destroy_group(context.keys, &group)?;
    stream.save(context.keys);
    context.notify(Class::Stream, "xgroup-destroy", &args[2]);
    Ok(Value::Integer(1))
}

/// `XGROUP CREATECONSUMER key group consumer`
pub(in crate::command) fn create_consumer(context: &mut Context<'_, '_>, args: &[Bytes]) -> Result<Value> {
    let (_, mut group) = existing(context, args)?;
    let is_new = group.consumer_or_new(context.keys, &args[4], context.now())?;
    group.save(context.keys);
    if is_new {
        context.notify(Class::Stream, "xgroup-createconsumer", &args[2]);
    }
    Ok(Value::Integer(is_new.into()))
}

/// `XGROUP DELCONSUMER key group consumer`
pub(in crate::command) fn delete_consumer(context: &mut Context<'_, '_>, args: &[Bytes]) -> Result<Value> {
    let (_, mut group) = existing(context, args)?;
    let was_there = group.consumer(context.keys, &args[4])?.is_some();
    let pending = group.remove_consumer(context.keys, &args[4])?;
    group.save(context.keys);
    if was_there {
        context.notify(Class::Stream, "xgroup-delconsumer", &args[2]);
    }
    Ok(Value::Integer(pending as i64))
}

/// `XACK key group id [id ...]`
pub(in crate::command) fn xack(context: &mut Context<'_, '_>, args: &[Bytes]) -> Result<Value> {
    let Some(stream) = find(context, &args[1])? else { return Ok(Value::Integer(0)) };
    let Some(mut group) = stream.group(context.keys, &args[2])? else { return Ok(Value::Integer(0)) };
    // A mistake in one of them acknowledges none.
    let ids: Vec<Id> = args[3..].iter().map(|word| ids::id(word)).collect::<Result<_>>()?;
    let mut acknowledged = 0;
    for id in ids {
        if let Some(pending) = group.pending(context.keys, id)? {
            group.acknowledge(context.keys, id, &pending)?;
            acknowledged += 1;
        }
    }
    group.save(context.keys);
    Ok(Value::Integer(acknowledged))
}

/// The stream and the group of a subcommand that needs both.
fn existing(context: &mut Context<'_, '_>, args: &[Bytes]) -> Result<(Stream, Group)> {
    let stream = find(context, &args[2])?.ok_or_else(|| Failure::line(NO_STREAM))?;
    let group = stream.group(context.keys, &args[3])?.ok_or_else(|| no_group_at(&args[2], &args[3]))?;
    Ok((stream, group))
}
