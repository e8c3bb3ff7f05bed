//! Commands on whole databases: iterating, counting, emptying. Each answers for the slots of one group; the service
//! puts the groups together.

use bytes::Bytes;

use super::args::{self, Options};
use super::context::Context;
use super::error::{Failure, Result};
use crate::base::glob;
use crate::data::Kind;
use crate::data::scan::{Filter, KindFilter};
use crate::resp::Value;

/// Elements that a part of an iteration looks at, if the client does not say.
const COUNT: u64 = 10;

/// The words behind the cursor of SCAN and its family.
pub(super) struct ScanOptions<'a> {
    /// About how many elements to look at, at least 1.
    pub count: u64,
    pattern: Option<&'a [u8]>,
    kind: Option<KindFilter>,
}

impl<'a> ScanOptions<'a> {
    /// Reads `[MATCH pattern] [COUNT count]` and, for SCAN itself, `[TYPE type]` from position `from` on.
    pub fn parse(args: &'a [Bytes], from: usize, typed: bool) -> Result<ScanOptions<'a>> {
        let mut options = ScanOptions { count: COUNT, pattern: None, kind: None };
        let mut words = Options::new(args, from);
        while let Some(word) = words.next() {
            if args::is(word, "count") {
                options.count =
                    u64::try_from(words.integer()?).ok().filter(|count| *count > 0).ok_or(Failure::SYNTAX)?;
            } else if args::is(word, "match") {
                options.pattern = every(words.value()?);
            } else if typed && args::is(word, "type") {
                options.kind = Some(Kind::named(words.value()?).map_or(KindFilter::Nothing, KindFilter::Only));
            } else {
                return Err(Failure::SYNTAX);
            }
        }
        Ok(options)
    }

    /// Whether the pattern lets a name through.
    pub fn admits(&self, name: &[u8]) -> bool {
        self.pattern.is_none_or(|pattern| glob::matches(pattern, name))
    }

    /// A cursor, read as C's `strtoul` reads it: a sign is allowed, and nothing at all is 0.
    pub fn cursor(word: &[u8]) -> Result<u64> {
        let text = word.split(|&byte| byte == 0).next().unwrap_or_default();
        let (negative, digits) = match text {
            [] => return Ok(0),
            [b'-', rest @ ..] => (true, rest),
            [b'+', rest @ ..] => (false, rest),
            _ => (false, text),
        };
        let number = if digits.iter().all(u8::is_ascii_digit) {
            std::str::from_utf8(digits).ok().and_then(|digits| digits.parse::<u64>().ok())
        } else {
            None
        };
        let number = number.ok_or_else(|| Failure::line("ERR invalid cursor"))?;
        Ok(if negative { number.wrapping_neg() } else { number })
    }

    /// The reply of SCAN and its family.
    pub fn reply(cursor: u64, words: Vec<Value>) -> Value {
        Value::Array(vec![Value::bulk(cursor.to_string()), Value::Array(words)])
    }
}

/// A lone star is no filter: it also lets the empty name through.
fn every(pattern: &[u8]) -> Option<&[u8]> {
    (pattern != b"*").then_some(pattern)
}

/// `SCAN cursor [MATCH pattern] [COUNT count] [TYPE type]`
pub(super) fn scan(context: &mut Context<'_, '_>, args: &[Bytes]) -> Result<Value> {
    let cursor = ScanOptions::cursor(&args[1])?;
    let options = ScanOptions::parse(args, 2, true)?;
    let filter = Filter { pattern: options.pattern, kind: options.kind };
    let part = context.keys.scan(context.db, cursor, options.count, filter)?;
    Ok(ScanOptions::reply(part.cursor, part.keys.into_iter().map(Value::Bulk).collect()))
}

pub(super) fn keys(context: &mut Context<'_, '_>, args: &[Bytes]) -> Result<Value> {
    let keys = context.keys.matching(context.db, every(&args[1]))?;
    Ok(Value::Array(keys.into_iter().map(Value::Bulk).collect()))
}

pub(super) fn randomkey(context: &mut Context<'_, '_>, _args: &[Bytes]) -> Result<Value> {
    Ok(context.keys.random_key(context.db)?.map_or(Value::Null, Value::Bulk))
}

pub(super) fn dbsize(context: &mut Context<'_, '_>, _args: &[Bytes]) -> Result<Value> {
    Ok(Value::Integer(context.keys.counts.keys[usize::from(context.db)] as i64))
}

/// `FLUSHDB [ASYNC | SYNC]`: emptying costs the same either way.
pub(super) fn flushdb(context: &mut Context<'_, '_>, args: &[Bytes]) -> Result<Value> {
    check_flush(args)?;
    context.keys.flush(context.db)?;
    Ok(Value::OK)
}

/// `FLUSHALL [ASYNC | SYNC]`
pub(super) fn flushall(context: &mut Context<'_, '_>, args: &[Bytes]) -> Result<Value> {
    check_flush(args)?;
    context.keys.flush_all();
    Ok(Value::OK)
}

fn check_flush(args: &[Bytes]) -> Result<()> {
    match &args[1..] {
        [] => Ok(()),
        [word] if args::is(word, "sync") || args::is(word, "async") => Ok(()),
        _ => Err(Failure::SYNTAX),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursors_are_read_as_c_reads_numbers() {
        for (text, number) in
            [("0", 0), ("", 0), ("+7", 7), ("007", 7), ("18446744073709551615", u64::MAX), ("-1", u64::MAX)]
        {
            assert_eq!(ScanOptions::cursor(text.as_bytes()), Ok(number), "{text:?}");
        }
        for text in ["x", " 1", "1 ", "-", "+", "1x", "18446744073709551616", "--1"] {
            assert!(ScanOptions::cursor(text.as_bytes()).is_err(), "{text:?}");
        }
    }
}
