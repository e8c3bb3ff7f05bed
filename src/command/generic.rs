//! Commands on keys of any type: whether and as what they exist, removing, renaming, copying.

use bytes::Bytes;

use super::args::{self, Options};
use super::context::Context;
use super::error::{Failure, Result};
use crate::base::limits::DATABASES;
use crate::data::Class;
use crate::resp::Value;

const SAME_OBJECT: &str = "ERR source and destination objects are the same";

pub(super) fn del(context: &mut Context<'_, '_>, args: &[Bytes]) -> Result<Value> {
    let mut removed = 0;
    for key in &args[1..] {
        if let Some(head) = context.lookup(key)? {
            context.delete(key, &head);
            removed += 1;
        }
    }
    Ok(Value::Integer(removed))
}

/// EXISTS and TOUCH: how many of the words are keys, a word that stands twice counting twice.
pub(super) fn exists(context: &mut Context<'_, '_>, args: &[Bytes]) -> Result<Value> {
    let mut found = 0;
    for key in &args[1..] {
        found += i64::from(context.lookup(key)?.is_some());
    }
    Ok(Value::Integer(found))
}

pub(super) fn type_of(context: &mut Context<'_, '_>, args: &[Bytes]) -> Result<Value> {
    let name = context.lookup(&args[1])?.map_or("none", |head| head.kind.name());
    Ok(Value::Simple(name.into()))
}

pub(super) fn rename(context: &mut Context<'_, '_>, args: &[Bytes]) -> Result<Value> {
    relocate(context, &args[1], &args[2], true)?;
    Ok(Value::OK)
}

pub(super) fn renamenx(context: &mut Context<'_, '_>, args: &[Bytes]) -> Result<Value> {
    Ok(Value::Integer(relocate(context, &args[1], &args[2], false)?.into()))
}

/// Renames, unless the new name is taken and may not be replaced; says whether it did.
fn relocate(context: &mut Context<'_, '_>, from: &Bytes, to: &Bytes, replace: bool) -> Result<bool> {
    let value = context.lookup(from)?.ok_or(Failure::NO_SUCH_KEY)?;
    if from == to {
        return Ok(false);
    }
    let before = context.lookup(to)?;
    if before.is_some() && !replace {
        return Ok(false);
    }
    context.keys.relocate((context.db, from), &value, (context.db, to), before.as_ref())?;
    context.notify(Class::Generic, "rename_from", from);
    context.notify(Class::Generic, "rename_to", to);
    Ok(true)
}

/// `COPY source destination [DB destination-db] [REPLACE]`
pub(super) fn copy(context: &mut Context<'_, '_>, args: &[Bytes]) -> Result<Value> {
    let (from, to) = (&args[1], &args[2]);
    let (mut db, mut replace) = (context.db, false);
    let mut options = Options::new(args, 3);
    while let Some(word) = options.next() {
        if args::is(word, "replace") {
            replace = true;
        } else if args::is(word, "db") {
            db = database(options.value()?)?;
        } else {
            return Err(Failure::SYNTAX);
        }
    }
    if db == context.db && from == to {
        return Err(Failure::line(SAME_OBJECT));
    }
    context.keys.manner.counts = true;
    let Some(value) = context.lookup(from)? else { return Ok(Value::Integer(0)) };
    context.keys.manner.counts = false;
    let before = context.keys.lookup(db, to)?;
    if before.is_some() && !replace {
        return Ok(Value::Integer(0));
    }
    context.keys.copy((context.db, from), &value, (db, to), before.as_ref())?;
    context.keys.notify(Class::Generic, "copy_to", db, to);
    Ok(Value::Integer(1))
}

/// `MOVE key db`
pub(super) fn move_key(context: &mut Context<'_, '_>, args: &[Bytes]) -> Result<Value> {
    let key = &args[1];
    let db = database(&args[2])?;
    if db == context.db {
        return Err(Failure::line(SAME_OBJECT));
    }
    let Some(value) = context.lookup(key)? else { return Ok(Value::Integer(0)) };
    if context.keys.lookup(db, key)?.is_some() {
        return Ok(Value::Integer(0));
    }
    context.keys.relocate((context.db, key), &value, (db, key), None)?;
    context.notify(Class::Generic, "move_from", key);
    context.keys.notify(Class::Generic, "move_to", db, key);
    Ok(Value::Integer(1))
}

/// The number of a database.
fn database(word: &[u8]) -> Result<u8> {
    let number = args::integer(word)?;
    if i32::try_from(number).is_err() {
        let (low, high) = (i32::MIN, i32::MAX);
        return Err(Failure::line(format!("ERR value is out of range, value must between {low} and {high}")));
    }
    match u8::try_from(number) {
        Ok(db) if db < DATABASES => Ok(db),
        _ => Err(Failure::line("ERR DB index is out of range")),
    }
}
