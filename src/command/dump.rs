//! DUMP and RESTORE: values as bytes that a Redis 7.2 understands, or a 7.4 where fields of a hash have deadlines
//! ([`crate::rdb`]).

use bytes::Bytes;

use super::args::{Options, integer, is};
use super::context::Context;
use super::error::{Failure, Result};
use super::stream;
use crate::base::Millis;
use crate::data::hash::{Ending, Field, Hash};
use crate::data::list::{End, List};
use crate::data::set::Set;
use crate::data::zset::Zset;
use crate::data::{Class, Head, Kind};
use crate::rdb::{self, Object};
use crate::resp::Value;

const BAD_DATA: Failure = Failure::Reply(std::borrow::Cow::Borrowed(b"ERR Bad data format"));
const UNSUPPORTED: &str = "ERR Values of this type cannot be dumped or restored";

/// What RESTORE can be told.
#[derive(Default)]
struct RestoreOptions {
    replace: bool,
    absolute: bool,
}

impl RestoreOptions {
    /// Ages and frequencies are checked and left: they would steer an eviction that does not happen.
    fn parse(args: &[Bytes]) -> Result<RestoreOptions> {
        let mut parsed = RestoreOptions::default();
        let (mut idle, mut frequency) = (false, false);
        let mut options = Options::new(args, 4);
        while let Some(word) = options.next() {
            if is(word, "replace") {
                parsed.replace = true;
            } else if is(word, "absttl") {
                parsed.absolute = true;
            } else if is(word, "idletime") && options.left() > 0 && !frequency {
                if options.integer()? < 0 {
                    return Err(Failure::line("ERR Invalid IDLETIME value, must be >= 0"));
                }
                idle = true;
            } else if is(word, "freq") && options.left() > 0 && !idle {
                if !(0..=255).contains(&options.integer()?) {
                    return Err(Failure::line("ERR Invalid FREQ value, must be >= 0 and <= 255"));
                }
                frequency = true;
            } else {
                return Err(Failure::SYNTAX);
            }
        }
        Ok(parsed)
    }
}

pub(super) fn dump(context: &mut Context<'_, '_>, args: &[Bytes]) -> Result<Value> {
    let Some(head) = context.lookup(&args[1])? else { return Ok(Value::Null) };
    let object = object(context, &args[1], &head)?;
    Ok(Value::Bulk(rdb::dump(&object, head.is_one_piece())))
}

/// A whole value.
pub(super) fn object(context: &mut Context<'_, '_>, key: &Bytes, head: &Head) -> Result<Object> {
    // It was found and counted already.
    context.keys.manner = Default::default();
    let (keys, db) = (&mut *context.keys, context.db);
    Ok(match head.kind {
        Kind::String => Object::String(head.payload.clone()),
        Kind::Hash => hash(&Hash::of_head(db, key, head.clone())?.fields(keys)?),
        Kind::Set => match Set::find(keys, db, key)? {
            Some(set) => Object::Set(set.members(keys)?),
            None => Object::Set(Vec::new()),
        },
        Kind::List => match List::find(keys, db, key)? {
            Some(list) => Object::List(list.range(keys, 0, list.len())?),
            None => Object::List(Vec::new()),
        },
        Kind::Zset => {
            let zset = Zset::of_head(keys, db, key, head.clone())?;
            Object::Zset(zset.range(keys, 0, zset.count())?)
        }
        Kind::Stream => Object::Stream(stream::dump::object(context, key)?),
    })
}

/// A hash, without deadlines unless a field has one: a Redis up to 7.2 knows no form with them.
fn hash(fields: &[Field]) -> Object {
    if fields.iter().all(|field| field.end.is_none()) {
        return Object::Hash(fields.iter().map(|field| (field.name.clone(), field.value.clone())).collect());
    }
    let field = |field: &Field| (field.name.clone(), field.value.clone(), field.end.map(|end| end.0));
    Object::TimedHash(fields.iter().map(field).collect())
}

/// `RESTORE key ttl value [REPLACE] [ABSTTL] [IDLETIME seconds] [FREQ frequency]`
pub(super) fn restore(context: &mut Context<'_, '_>, args: &[Bytes]) -> Result<Value> {
    let options = RestoreOptions::parse(args)?;
    let key = &args[1];
    let before = context.lookup(key)?;
    if before.is_some() && !options.replace {
        return Err(Failure::line("BUSYKEY Target key name already exists."));
    }
    let ttl = u64::try_from(integer(&args[2])?);
    let ttl = ttl.map_err(|_| Failure::line("ERR Invalid TTL value, must be >= 0"))?;
    let object = rdb::load(&args[3]).map_err(|error| match error {
        rdb::Error::Footer => Failure::line("ERR DUMP payload version or checksum are wrong"),
        rdb::Error::Damaged(_) | rdb::Error::TooLarge => BAD_DATA,
        rdb::Error::Unsupported => Failure::line(UNSUPPORTED),
    })?;
    check(&object, context.keys.thresholds.string_bytes_max)?;
    let now = context.now();
    let deadline = match ttl {
        0 => None,
        at if options.absolute => Some(Millis(at)),
        // A sum beyond 63 bits counts as past, as in Redis.
        after => Some(now.0.checked_add(after).filter(|at| i64::try_from(*at).is_ok()).map_or(Millis(0), Millis)),
    };
    if let Some(before) = &before {
        context.remove(key, before);
    }
    if deadline.is_none_or(|deadline| deadline > now) {
        store(context, key, object, deadline)?;
        context.notify(Class::Generic, "restore", key);
    } else if before.is_some() {
        context.notify(Class::Generic, "del", key);
    }
    Ok(Value::OK)
}

/// Whether a value can be stored: no string is longer than the longest one that a command may make.
fn check(object: &Object, string_bytes_max: usize) -> Result<()> {
    let longest = match object {
        Object::String(bytes) => bytes.len(),
        Object::List(words) | Object::Set(words) => words.iter().map(Bytes::len).max().unwrap_or(0),
        Object::Hash(pairs) => pairs.iter().map(|(field, value)| field.len().max(value.len())).max().unwrap_or(0),
        Object::TimedHash(fields) => {
            fields.iter().map(|(field, value, _)| field.len().max(value.len())).max().unwrap_or(0)
        }
        Object::Zset(members) => members.iter().map(|(member, _)| member.len()).max().unwrap_or(0),
        Object::Stream(stream) => {
            let words = stream.pages.iter().flatten().flat_map(|entry| &entry.words);
            words.map(Bytes::len).max().unwrap_or(0)
        }
    };
    if longest > string_bytes_max { Err(BAD_DATA) } else { Ok(()) }
}

/// Stores a value at a key that there is not.
fn store(context: &mut Context<'_, '_>, key: &Bytes, object: Object, deadline: Option<Millis>) -> Result<()> {
    let now = context.now();
    let (keys, db) = (&mut *context.keys, context.db);
    match object {
        Object::String(bytes) => keys.set(db, key, None, Head::string(bytes)),
        Object::Hash(pairs) => {
            Hash::find_or_new(keys, db, key)?.set(keys, pairs)?;
        }
        Object::TimedHash(fields) => {
            let mut change = Hash::find_or_new(keys, db, key)?.change(keys)?;
            // A field that has ended meanwhile is not there any more.
            for (name, value, end) in fields.into_iter().filter(|(_, _, end)| end.is_none_or(|end| end > now.0)) {
                change.put(keys, name, value, Ending::At(end.map(Millis)))?;
            }
            change.save(keys)?;
        }
        Object::Set(members) => drop(Set::replace(keys, db, key, &members)?),
        Object::List(elements) => {
            List::find_or_new(keys, db, key)?.push(keys, End::Right, &elements)?;
        }
        Object::Zset(members) => drop(Zset::replace(keys, db, key, members)?),
        Object::Stream(object) => stream::dump::store(keys, db, key, object)?,
    }
    if let (Some(_), Some(made)) = (deadline, keys.lookup(db, key)?) {
        keys.set_deadline(db, key, &made, deadline);
    }
    Ok(())
}
