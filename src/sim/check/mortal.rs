//! Keys that end: values that are written once each are set with a deadline and read. What was seen gone stays gone,
//! whichever node answers and whatever its clock says; how long a value lives is judged elsewhere
//! ([`model`](super::model)).
//!
//! One pass over short windows, so there may be any number of such reads where clocks are in danger.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::{Operation, Outcome, Request, Violation};
use crate::base::Nanos;
use crate::resp::Value;

/// What is known of a value: since when it certainly was written, and the last read that saw it.
#[derive(Default)]
struct Life<'a> {
    written: Option<Nanos>,
    refused: bool,
    seen: Option<&'a Operation>,
}

/// Judges the history of one key that only ever saw `SET key value PX ms`, each value once, and `GET key`.
pub fn check(history: &[Operation]) -> Result<(), Violation> {
    let mut lives: BTreeMap<&Bytes, Life<'_>> = BTreeMap::new();
    let mut reads: Vec<(&Operation, Nanos, Option<&Bytes>)> = Vec::new();
    for operation in history {
        let Request::Command(words) = &operation.request else { continue };
        if words.len() > 2 {
            let life = lives.entry(&words[2]).or_default();
            life.refused = operation.outcome == Outcome::Refused;
            let written = operation.end.filter(|_| matches!(operation.outcome, Outcome::Replies(_)));
            life.written = life.written.into_iter().chain(written).min();
            continue;
        }
        let (Outcome::Replies(replies), Some(end)) = (&operation.outcome, operation.end) else { continue };
        let value = match replies.first() {
            Some(Value::Bulk(value)) => Some(value),
            _ => None,
        };
        reads.push((operation, end, value));
        if let Some(value) = value {
            let life = lives.entry(value).or_default();
            life.written = life.written.into_iter().chain([end]).min();
            if life.seen.is_none_or(|seen| seen.start < operation.start) {
                life.seen = Some(operation);
            }
        }
    }
    reads.sort_by_key(|(operation, ..)| operation.start);
    for (value, life) in &lives {
        let (Some(written), Some(seen)) = (life.written, life.seen) else { continue };
        if life.refused {
            let line = format!("a refused value is there: {}", value.escape_ascii());
            return Err(Violation::new("exactly once", vec![line, seen.line()]));
        }
        let from = reads.partition_point(|(operation, ..)| operation.start <= written);
        let meanwhile = reads[from..].iter().take_while(|(operation, ..)| operation.start < seen.start);
        let mut gone = meanwhile.filter(|&&(_, end, other)| other != Some(*value) && end < seen.start);
        if let Some((gone, ..)) = gone.next() {
            let line = format!("a value was gone and came back: {}", value.escape_ascii());
            return Err(Violation::new("what is gone stays gone", vec![line, gone.line(), seen.line()]));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::operation;
    use super::*;

    fn set(start: u64, value: &str) -> Operation {
        operation(start, start + 5, &["SET", "k", value, "PX", "9"], Outcome::Replies(vec![Value::OK]))
    }

    fn read(start: u64, end: u64, value: &str) -> Operation {
        let value = if value.is_empty() { Value::Null } else { Value::bulk(value.to_owned()) };
        operation(start, end, &["GET", "k"], Outcome::Replies(vec![value]))
    }

    #[test]
    fn what_may_be_is_accepted() {
        assert_eq!(check(&[set(0, "a"), read(6, 7, "a"), read(20, 21, ""), read(30, 31, "")]), Ok(()));
        assert_eq!(check(&[read(0, 1, ""), set(10, "a"), read(20, 21, "a")]), Ok(()), "not yet there");
        assert_eq!(check(&[set(0, "a"), read(3, 4, ""), read(20, 21, "a")]), Ok(()), "written meanwhile");
        assert_eq!(check(&[set(0, "a"), read(6, 30, ""), read(20, 21, "a")]), Ok(()), "read meanwhile");
        assert_eq!(check(&[set(0, "a"), set(10, "b"), read(20, 21, "b"), read(40, 41, "")]), Ok(()));
        let doubt = operation(0, 0, &["SET", "k", "a", "PX", "9"], Outcome::Unknown);
        assert_eq!(check(&[doubt, read(20, 21, ""), read(30, 31, "a")]), Ok(()), "it may run late");
    }

    #[test]
    fn what_cannot_be_is_found() {
        let promise = |history: &[Operation]| check(history).expect_err("a violation").promise;
        assert_eq!(promise(&[set(0, "a"), read(20, 21, ""), read(30, 31, "a")]), "what is gone stays gone");
        assert_eq!(promise(&[set(0, "a"), read(20, 21, "b"), read(30, 31, "a")]), "what is gone stays gone");
        let seen = [read(10, 11, "a"), read(20, 21, ""), read(30, 31, "a")];
        assert_eq!(promise(&seen), "what is gone stays gone", "that it was seen proves that it was written");
        let refused = operation(0, 5, &["SET", "k", "a", "PX", "9"], Outcome::Refused);
        assert_eq!(promise(&[refused, read(20, 21, "a")]), "exactly once");
    }
}
