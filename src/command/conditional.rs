//! Setting and deleting strings on conditions, beyond Redis 7.2: DELEX, DIGEST and MSETEX of Redis 8.4, DELIFEQ of
//! Valkey 9. Sources: the documentation of both. SET's own conditions are with SET ([`super::string`]).

use bytes::Bytes;

use super::args::{Options, is, parse_integer};
use super::context::Context;
use super::error::{Failure, Result};
use super::string::Expiry;
use crate::base::xxh3;
use crate::data::{Head, Kind};
use crate::resp::Value;

/// `DIGEST key`
pub(super) fn digest(context: &mut Context<'_, '_>, args: &[Bytes]) -> Result<Value> {
    let head = context.string(&args[1])?;
    Ok(head.map_or(Value::Null, |head| Value::bulk(format!("{:016x}", xxh3::hash(&head.payload)))))
}

/// Whether a string has a digest, told as DIGEST tells it, in either case.
pub(super) fn has_digest(value: &[u8], digest: &[u8]) -> Result<bool> {
    let digits = std::str::from_utf8(digest).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_hexdigit()));
    let digest = digits.filter(|digits| digits.len() == 16).and_then(|digits| u64::from_str_radix(digits, 16).ok());
    match digest {
        Some(digest) => Ok(digest == xxh3::hash(value)),
        None => Err(Failure::line("ERR must be exactly 16 hexadecimal characters")),
    }
}

/// `DELEX key [IFEQ value | IFNE value | IFDEQ digest | IFDNE digest]`
pub(super) fn delex(context: &mut Context<'_, '_>, args: &[Bytes]) -> Result<Value> {
    if !matches!(args.len(), 2 | 4) {
        return Err(Failure::arity("delex"));
    }
    let key = &args[1];
    let Some(head) = context.lookup(key)? else { return Ok(Value::Integer(0)) };
    if let [word, value] = &args[2..] {
        if head.kind != Kind::String {
            return Err(Failure::line("ERR Key should be of string type if conditions are specified"));
        }
        let holds = if is(word, "ifeq") {
            head.payload == value
        } else if is(word, "ifne") {
            head.payload != value
        } else if is(word, "ifdeq") {
            has_digest(&head.payload, value)?
        } else if is(word, "ifdne") {
            !has_digest(&head.payload, value)?
        } else {
            return Err(Failure::line("ERR Invalid condition. Use IFEQ, IFNE, IFDEQ, or IFDNE"));
        };
        if !holds {
            return Ok(Value::Integer(0));
        }
    }
    context.delete(key, &head);
    Ok(Value::Integer(1))
}

/// `DELIFEQ key value`
pub(super) fn delifeq(context: &mut Context<'_, '_>, args: &[Bytes]) -> Result<Value> {
    match context.string(&args[1])? {
        Some(head) if head.payload == args[2] => {
            context.delete(&args[1], &head);
            Ok(Value::Integer(1))
        }
        _ => Ok(Value::Integer(0)),
    }
}

/// `MSETEX numkeys key value [key value ...] [NX | XX] [EX seconds | PX milliseconds | EXAT time | PXAT time | KEEPTTL]`
pub(super) fn msetex(context: &mut Context<'_, '_>, args: &[Bytes]) -> Result<Value> {
    let number = parse_integer(&args[1]).filter(|number| (1..=i64::from(i32::MAX)).contains(number));
    let number = number.and_then(|number| usize::try_from(number).ok());
    let number = number.ok_or_else(|| Failure::line("ERR invalid numkeys value"))?;
    let (pairs, _) = args[2..].as_chunks::<2>();
    let Some(pairs) = pairs.get(..number) else {
        return Err(Failure::line("ERR wrong number of key-value pairs"));
    };
    let (mut expiry, mut must_exist) = (Expiry::Default, None);
    let mut options = Options::new(args, 2 + 2 * number);
    while let Some(word) = options.next() {
        if is(word, "nx") && must_exist != Some(true) {
            must_exist = Some(false);
        } else if is(word, "xx") && must_exist != Some(false) {
            must_exist = Some(true);
        } else if is(word, "keepttl") {
            expiry.read_word(Expiry::Keep)?;
        } else if !expiry.read(word, &mut options)? {
            return Err(Failure::SYNTAX);
        }
    }
    let deadline = expiry.deadline(context.now(), "msetex")?;
    if let Some(must_exist) = must_exist {
        for [key, _] in pairs {
            if context.lookup(key)?.is_some() != must_exist {
                return Ok(Value::Integer(0));
            }
        }
    }
    // Each key is looked up when its turn comes: one that is named twice keeps its last value.
    for [key, value] in pairs {
        let before = context.lookup(key)?;
        let kept = before.as_ref().and_then(|head| head.deadline).filter(|_| expiry == Expiry::Keep);
        let head = Head::string(value.clone()).with_deadline(deadline.or(kept));
        context.set_string(key, before.as_ref(), head, deadline.is_some());
    }
    Ok(Value::Integer(1))
}
