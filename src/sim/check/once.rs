//! Exactly once: unique tokens are appended to keys, and in the end every acknowledged one is there once, where its
//! reply said; an unknown one at most once; a refused one never. The final value is the order in which all took
//! effect, so reads and real time can be checked against it in one pass, however many clients there were.
//!
//! Counters are the same with numbers: every acknowledged `INCR` has its own reply.

use std::collections::BTreeMap;

use super::{Operation, Outcome, Request, Violation, show_value};
use crate::resp::Value;

/// Bytes of a token.
pub const TOKEN_BYTES: usize = 10;

const EXACTLY_ONCE: &str = "exactly once";
const REAL_TIME: &str = "real-time order";

/// Judges the history of one key that only ever saw `APPEND key token`, `GET key` and `STRLEN key`. `last` is its
/// value after everything is over. Refused operations are part of the history here.
pub fn check_tokens(history: &[Operation], last: &[u8]) -> Result<(), Violation> {
    if !last.len().is_multiple_of(TOKEN_BYTES) {
        return Err(Violation::new(
            EXACTLY_ONCE,
            vec![format!("the final value has {} bytes: a torn token", last.len())],
        ));
    }
    let mut places: BTreeMap<&[u8], usize> = BTreeMap::new();
    for (number, token) in last.chunks_exact(TOKEN_BYTES).enumerate() {
        if places.insert(token, (number + 1) * TOKEN_BYTES).is_some() {
            return Err(told(EXACTLY_ONCE, "a token is there twice", token, history));
        }
    }
    let mut steps = Vec::with_capacity(history.len());
    for operation in history {
        let Request::Command(words) = &operation.request else { continue };
        let reply = match &operation.outcome {
            Outcome::Replies(replies) => replies.first(),
            _ => None,
        };
        if words.len() == 3 {
            let place = places.remove(&words[2][..]);
            let wrong = match (&operation.outcome, place) {
                (Outcome::Refused, Some(_)) => Some("a refused token is there"),
                (Outcome::Replies(_), None) => Some("an acknowledged token is lost"),
                (Outcome::Replies(_), Some(place)) if reply != Some(&Value::Integer(place as i64)) => {
                    Some("an acknowledged token is not where its reply said")
                }
                _ => None,
            };
            if let Some(wrong) = wrong {
                return Err(told(EXACTLY_ONCE, wrong, &words[2], history));
            }
            if let (Some(place), Some(_)) = (place, reply) {
                steps.push(Step { operation, position: place as u64, is_write: true });
            }
            continue;
        }
        let position = match reply {
            Some(Value::Bulk(value)) if last.starts_with(value) => value.len(),
            Some(Value::Null) => 0,
            Some(Value::Integer(length)) => *length as usize,
            None => continue,
            Some(other) => {
                let line = format!("a read saw what never was: {}", show_value(other));
                return Err(Violation::new(EXACTLY_ONCE, vec![line, operation.line()]));
            }
        };
        steps.push(Step { operation, position: position as u64, is_write: false });
    }
    if let Some((token, _)) = places.pop_first() {
        return Err(told(EXACTLY_ONCE, "nobody appended a token that is there", token, history));
    }
    check_order(steps)
}

/// Judges the history of one key that only ever saw `INCR key` and `GET key`; `last` is its value in the end.
pub fn check_counter(history: &[Operation], last: u64) -> Result<(), Violation> {
    let mut steps = Vec::with_capacity(history.len());
    let mut replies: BTreeMap<u64, &Operation> = BTreeMap::new();
    let mut unknown = 0;
    for operation in history {
        let Request::Command(words) = &operation.request else { continue };
        let is_write = words[0].eq_ignore_ascii_case(b"INCR");
        let position = match &operation.outcome {
            Outcome::Replies(seen) => seen.first().map_or(0, position),
            Outcome::Unknown => {
                unknown += u64::from(is_write);
                continue;
            }
            Outcome::Refused | Outcome::Aborted => continue,
        };
        if is_write && let Some(other) = replies.insert(position, operation) {
            let story = vec!["two increments have one reply".to_owned(), other.line(), operation.line()];
            return Err(Violation::new(EXACTLY_ONCE, story));
        }
        steps.push(Step { operation, position, is_write });
    }
    let acknowledged = replies.len() as u64;
    let highest = replies.last_key_value().map_or(0, |(&number, _)| number);
    if last < highest || last < acknowledged || last > acknowledged + unknown {
        let line = format!(
            "the counter ends at {last} after {acknowledged} acknowledged increments (the highest reply was {highest}) \
             and {unknown} of unknown outcome"
        );
        return Err(Violation::new(EXACTLY_ONCE, vec![line]));
    }
    check_order(steps)
}

struct Step<'a> {
    operation: &'a Operation,
    /// What it saw or made: the length or number after it.
    position: u64,
    is_write: bool,
}

/// An operation must see at least what every operation saw that ended before it began, and a write more than that.
fn check_order(mut steps: Vec<Step<'_>>) -> Result<(), Violation> {
    let mut ends: Vec<(u64, u64, &Operation)> =
        steps.iter().filter_map(|step| Some((step.operation.end?.0, step.position, step.operation))).collect();
    ends.sort_by_key(|&(end, position, _)| (end, position));
    steps.sort_by_key(|step| step.operation.start);
    let mut ended = ends.into_iter().peekable();
    let mut newest: Option<(u64, &Operation)> = None;
    for step in steps {
        while let Some((_, position, operation)) = ended.next_if(|&(end, ..)| end < step.operation.start.0) {
            if newest.is_none_or(|(known, _)| known < position) {
                newest = Some((position, operation));
            }
        }
        let Some((known, operation)) = newest else { continue };
        if step.position < known || (step.is_write && step.position == known) {
            let line = format!("position {} after position {known} was reported", step.position);
            return Err(Violation::new(REAL_TIME, vec![line, operation.line(), step.operation.line()]));
        }
    }
    Ok(())
}

fn told(promise: &'static str, what: &str, token: &[u8], history: &[Operation]) -> Violation {
    let mut story = vec![format!("{what}: {}", token.escape_ascii())];
    let about = |operation: &&Operation| match &operation.request {
        Request::Command(words) => words.get(2).is_some_and(|word| word == token),
        _ => false,
    };
    story.extend(history.iter().filter(about).map(Operation::line));
    Violation::new(promise, story)
}

/// The number that a counter was said to hold; a missing one holds 0.
pub fn position(reply: &Value) -> u64 {
    match reply {
        Value::Integer(number) => *number as u64,
        Value::Bulk(text) => std::str::from_utf8(text).ok().and_then(|text| text.parse().ok()).unwrap_or(0),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::super::operation;
    use super::*;

    fn append(start: u64, token: &str, outcome: Outcome) -> Operation {
        operation(start, start + 5, &["APPEND", "k", token], outcome)
    }

    fn length(length: i64) -> Outcome {
        Outcome::Replies(vec![Value::Integer(length)])
    }

    const A: &str = "token00001";
    const B: &str = "token00002";

    #[test]
    fn tokens_are_counted() {
        let both = [append(0, A, length(10)), append(10, B, length(20))];
        assert_eq!(check_tokens(&both, b"token00001token00002"), Ok(()));
        let wrong = |history: &[Operation], last: &[u8]| check_tokens(history, last).is_err();
        assert!(wrong(&both, b"token00001"), "lost");
        assert!(wrong(&both, b"token00002token00001"), "elsewhere");
        assert!(wrong(&both, b"token00001token00002token00002"), "twice");
        assert!(wrong(&both[..1], b"token00001token00002"), "from nowhere");
        assert!(wrong(&[append(0, A, Outcome::Refused)], A.as_bytes()), "refused");
        assert!(!wrong(&[append(0, A, Outcome::Unknown)], A.as_bytes()));
        assert!(!wrong(&[append(0, A, Outcome::Unknown)], b""));
        assert!(wrong(&[], b"token0000"), "torn");
    }

    #[test]
    fn reads_never_go_back_in_time() {
        let append = append(0, A, length(10));
        let stale = operation(6, 7, &["STRLEN", "k"], length(0));
        assert!(check_tokens(&[append.clone(), stale], A.as_bytes()).is_err());
        let meanwhile = operation(4, 7, &["STRLEN", "k"], length(0));
        assert_eq!(check_tokens(&[append.clone(), meanwhile], A.as_bytes()), Ok(()));
        let invented = operation(4, 7, &["GET", "k"], Outcome::Replies(vec![Value::bulk("token00009")]));
        assert!(check_tokens(&[append, invented], A.as_bytes()).is_err());
    }

    #[test]
    fn counters_are_counted() {
        let increment = |start, outcome| operation(start, start + 5, &["INCR", "k"], outcome);
        let history = [increment(0, length(1)), increment(10, length(2)), increment(20, Outcome::Unknown)];
        assert_eq!(check_counter(&history, 2), Ok(()));
        assert_eq!(check_counter(&history, 3), Ok(()));
        assert!(check_counter(&history, 1).is_err());
        assert!(check_counter(&history, 4).is_err());
        assert!(check_counter(&[increment(0, length(1)), increment(3, length(1))], 2).is_err(), "twice the same");
        assert!(check_counter(&[increment(0, length(2)), increment(10, length(1))], 2).is_err(), "back in time");
    }
}
