//! Counters that are incremented under WATCH: a client watches the key and reads it, then increments it in a
//! transaction. A transaction that ran must answer what the client read plus one: had the key changed in between, the
//! watch would have stopped it.
//!
//! Unlike families of many commands these histories are judged in one pass, so there may be any number of them where
//! watches are in danger: while leaders follow each other.

use std::collections::BTreeMap;

use super::{Operation, Outcome, Request, Violation, once};
use crate::resp::Value;

/// Judges the history of one key that only ever saw `WATCH key`, `GET key` behind it, and transactions of `INCR key`
/// by clients that watch it; `last` is its value in the end.
pub fn check(history: &[Operation], last: u64) -> Result<(), Violation> {
    let mut seen: BTreeMap<u64, (u64, &Operation)> = BTreeMap::new();
    let mut increments = Vec::new();
    for operation in history {
        match &operation.request {
            Request::Command(_) => {
                increments.push(operation.clone());
                match &operation.outcome {
                    Outcome::Replies(replies) => {
                        seen.insert(operation.client, (replies.first().map_or(0, once::position), operation));
                    }
                    _ => drop(seen.remove(&operation.client)),
                }
            }
            Request::Transaction(commands) => {
                let Some(words) = commands.first() else { continue };
                increments.push(Operation { request: Request::Command(words.clone()), ..operation.clone() });
                let read = seen.remove(&operation.client);
                if let (Some((number, read)), Outcome::Replies(replies)) = (read, &operation.outcome)
                    && replies.first() != Some(&Value::Integer(number as i64 + 1))
                {
                    let line = "a transaction ran although the key that its client watched had changed".to_owned();
                    return Err(Violation::new("a watch stops", vec![line, read.line(), operation.line()]));
                }
            }
            Request::Watch(_) => {}
        }
    }
    once::check_counter(&increments, last)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::base::Nanos;

    fn operation(client: u64, start: u64, request: Request, outcome: Outcome) -> Operation {
        let end = (outcome != Outcome::Unknown).then_some(Nanos(start + 5));
        Operation { client, family: 0, start: Nanos(start), end, request, outcome, after: None }
    }

    fn words(name: &'static str) -> Vec<Bytes> {
        vec![Bytes::from_static(name.as_bytes()), Bytes::from_static(b"k")]
    }

    fn read(client: u64, start: u64, number: &'static str) -> Operation {
        let value = if number.is_empty() { Value::Null } else { Value::bulk(number) };
        operation(client, start, Request::Command(words("GET")), Outcome::Replies(vec![value]))
    }

    fn increment(client: u64, start: u64, outcome: Outcome) -> Operation {
        operation(client, start, Request::Transaction(vec![words("INCR")]), outcome)
    }

    fn number(number: i64) -> Outcome {
        Outcome::Replies(vec![Value::Integer(number)])
    }

    #[test]
    fn a_transaction_answers_what_was_read_plus_one_or_does_not_run() {
        let first = [read(1, 0, ""), read(2, 0, ""), increment(1, 10, number(1))];
        let with = |more: Operation| -> Vec<Operation> { first.iter().cloned().chain([more]).collect() };
        assert_eq!(check(&with(increment(2, 20, Outcome::Aborted)), 1), Ok(()));
        assert_eq!(check(&with(increment(2, 20, Outcome::Unknown)), 1), Ok(()));
        let missed = check(&with(increment(2, 20, number(2))), 2).expect_err("the watch was missed");
        assert_eq!(missed.promise, "a watch stops");
        let again = with(increment(2, 20, Outcome::Aborted)).into_iter();
        let again: Vec<_> = again.chain([read(2, 30, "1"), increment(2, 40, number(2))]).collect();
        assert_eq!(check(&again, 2), Ok(()));
    }

    #[test]
    fn increments_count_once() {
        let history = [read(1, 0, ""), increment(1, 10, number(1))];
        assert!(check(&history, 2).is_err(), "one too many");
        assert!(check(&history, 0).is_err(), "lost");
        let doubt = [read(1, 0, ""), increment(1, 10, Outcome::Unknown)];
        assert_eq!(check(&doubt, 1), Ok(()));
        assert_eq!(check(&doubt, 0), Ok(()));
    }
}
