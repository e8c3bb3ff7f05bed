//! OBJECT: what Redis would tell about how it keeps a value.

use bytes::Bytes;

use super::args;
use super::context::Context;
use super::error::{Failure, Result};
use crate::data::{Head, Kind, list, set};
use crate::resp::Value;

/// Up to so many bytes Redis keeps a string in one piece with its object.
const EMBEDDED_BYTES_MAX: usize = 44;
/// Redis shares the objects of 0 up to, not including, this number; they claim to be referred to by everybody.
const SHARED_INTEGERS: i64 = 10_000;
/// The number of references that a shared object claims.
const SHARED_REFERENCES: i64 = i32::MAX as i64;

pub(super) fn encoding(context: &mut Context<'_, '_>, args: &[Bytes]) -> Result<Value> {
    let list_size = context.keys.thresholds.list_size;
    about(context, &args[2], |head| Ok(Value::bulk(encoding_name(head, list_size)?)))
}

/// The name of a value's encoding in Redis's words.
pub(super) fn encoding_name(head: &Head, list_size: i64) -> Result<&'static str> {
    Ok(match (head.kind, !head.is_one_piece()) {
        (Kind::String, _) if head.raw => "raw",
        (Kind::String, _) if args::parse_integer(&head.payload).is_some() => "int",
        (Kind::String, _) if head.payload.len() <= EMBEDDED_BYTES_MAX => "embstr",
        (Kind::String, _) => "raw",
        (Kind::Set, false) if set::has_integers_only(head) => "intset",
        (Kind::List, _) if is_one_piece(list::size(head)?, list_size) => "listpack",
        (Kind::List, _) => "quicklist",
        (Kind::Hash, false) if head.fields.is_some() => "listpackex",
        (Kind::Hash | Kind::Set | Kind::Zset, false) => "listpack",
        (Kind::Hash | Kind::Set, true) => "hashtable",
        (Kind::Zset, true) => "skiplist",
        (Kind::Stream, _) => "stream",
    })
}

/// Whether Redis would keep a list of so many elements and bytes in one piece: `list-max-listpack-size` bounds either,
/// and where it bounds the elements, 8 KiB are the end all the same.
fn is_one_piece((count, bytes): (u64, u64), list_size: i64) -> bool {
    match u64::try_from(list_size) {
        Ok(entries_max) => count <= entries_max.max(1) && bytes <= 8 << 10,
        Err(_) => bytes <= (4 << 10) << (list_size.unsigned_abs().min(5) - 1),
    }
}

pub(super) fn refcount(context: &mut Context<'_, '_>, args: &[Bytes]) -> Result<Value> {
    about(context, &args[2], |head| Ok(Value::Integer(references(head))))
}

/// How many references Redis would say that a value has.
pub(super) fn references(head: &Head) -> i64 {
    let number = if head.kind == Kind::String && !head.raw { args::parse_integer(&head.payload) } else { None };
    let shared = number.is_some_and(|number| (0..SHARED_INTEGERS).contains(&number));
    if shared { SHARED_REFERENCES } else { 1 }
}

/// From the access clock of the node that answers: the leader's, which knows of every read and write since it leads.
pub(super) fn idletime(context: &mut Context<'_, '_>, args: &[Bytes]) -> Result<Value> {
    let seconds = context.keys.idle_seconds(context.db, &args[2]);
    about(context, &args[2], |_| Ok(Value::Integer(seconds.into())))
}

pub(super) fn freq(context: &mut Context<'_, '_>, args: &[Bytes]) -> Result<Value> {
    about(context, &args[2], |_| {
        Err(Failure::line(
            "ERR An LFU maxmemory policy is not selected, access frequency not tracked. Please note that when \
             switching between policies at runtime LRU and LFU data will take some time to adjust.",
        ))
    })
}

fn about(context: &mut Context<'_, '_>, key: &[u8], tell: impl FnOnce(&Head) -> Result<Value>) -> Result<Value> {
    match context.lookup(key)? {
        Some(head) => tell(&head),
        None => Ok(Value::Null),
    }
}

pub(super) fn help(_context: &mut Context<'_, '_>, _args: &[Bytes]) -> Result<Value> {
    Ok(Value::Array(HELP.iter().map(|line| Value::Simple((*line).into())).collect()))
}

/// Redis's own lines: client tools show them.
const HELP: &[&str] = &[
    "OBJECT <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
    "ENCODING <key>",
    "    Return the kind of internal representation used in order to store the value",
    "    associated with a <key>.",
    "FREQ <key>",
    "    Return the access frequency index of the <key>. The returned integer is",
    "    proportional to the logarithm of the recent access frequency of the key.",
    "IDLETIME <key>",
    "    Return the idle time of the <key>, that is the approximated number of",
    "    seconds elapsed since the last access to the key.",
    "REFCOUNT <key>",
    "    Return the number of references of the value associated with the specified",
    "    <key>.",
    "HELP",
    "    Prints this help.",
];
