//! What the commands mean, written a second time and as small as possible: a family of a few keys, each a string or
//! a hash, with deadlines. Shares nothing with `data` and `command`, so that a misunderstanding there shows.
//!
//! Time is uncertain: a deadline given as "in 50 ms" lies somewhere between two moments, and a key with a deadline
//! may be gone once the fastest clock of the cluster could have passed it, and must be gone once the slowest has.
//! Every possible state is kept; what is gone stays gone, because no state comes back.
//! Source of the meanings: the Redis 7.2 command documentation.

mod commands;

use std::collections::BTreeMap;

use bytes::Bytes;

use super::linear::Model;
use super::{Operation, Outcome, Request, Words};
use crate::base::{Millis, Nanos};
use crate::resp::Value;

/// How time is known.
#[derive(Clone, Copy, Debug)]
pub struct Family {
    /// Wall-clock time at moment 0 of the history.
    pub epoch: Millis,
    /// How far the wall clock of any node may be from the truth.
    pub wall_error_ms: u64,
}

/// The keys of a family and who watches them.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct State {
    keys: BTreeMap<Bytes, Key>,
    /// Client and watched key: whether the key has changed since.
    watches: BTreeMap<(u64, Bytes), bool>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Key {
    content: Content,
    deadline: Option<Deadline>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Content {
    String(Bytes),
    Hash(BTreeMap<Bytes, Bytes>),
}

/// A moment in milliseconds, known up to an interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Deadline {
    low: u64,
    high: u64,
}

/// What the clock of the leader may have shown when an operation took effect.
#[derive(Clone, Copy, Debug)]
struct Clock {
    low: u64,
    high: u64,
}

impl Model for Family {
    type State = State;

    fn start(&self) -> State {
        State::default()
    }

    fn apply(&self, state: &State, operation: &Operation) -> Vec<State> {
        let clock = self.clock(operation);
        let mut after = Vec::new();
        for mut now in expire(state, clock) {
            match (&operation.request, &operation.outcome) {
                (Request::Command(words), Outcome::Replies(replies)) => {
                    if replies.len() == 1 && now.run(clock, words, Some(&replies[0])) {
                        after.push(now);
                    }
                }
                (Request::Command(words), _) => {
                    after.push(now.clone());
                    now.run(clock, words, None);
                    after.push(now);
                }
                (Request::Watch(keys), outcome) => {
                    // Without an answer there is no watch that anybody could rely on.
                    let known = matches!(outcome, Outcome::Replies(_));
                    for key in keys.iter().filter(|_| known) {
                        now.watches.entry((operation.client, key.clone())).or_insert(false);
                    }
                    after.push(now);
                }
                (Request::Transaction(commands), outcome) => {
                    now.transaction(clock, operation.client, commands, outcome, &mut after);
                }
            }
        }
        after
    }
}

impl Family {
    fn clock(&self, operation: &Operation) -> Clock {
        let wall = |time: Nanos| self.epoch.0 + time.0 / 1_000_000;
        Clock {
            low: wall(operation.start).saturating_sub(self.wall_error_ms),
            high: operation.end.map_or(u64::MAX, |end| wall(end) + 1 + self.wall_error_ms),
        }
    }
}

/// The states in which an operation may find the family: each key whose deadline may have passed is there or gone.
fn expire(state: &State, clock: Clock) -> Vec<State> {
    let mut states = vec![state.clone()];
    for (name, key) in &state.keys {
        let Some(deadline) = key.deadline else { continue };
        if clock.high < deadline.low {
            continue;
        }
        let mut gone = states.clone();
        for state in &mut gone {
            state.keys.remove(name);
            state.touch(name);
        }
        if clock.low >= deadline.high {
            states = gone;
        } else {
            states.append(&mut gone);
        }
    }
    states
}

impl State {
    /// EXEC: all or nothing. A watch that fails for another reason than a change (a new leader) is allowed; one that
    /// holds although the key has changed is not.
    fn transaction(mut self, clock: Clock, client: u64, commands: &[Words], outcome: &Outcome, after: &mut Vec<State>) {
        let changed = self.watches.iter().any(|((watcher, _), &changed)| *watcher == client && changed);
        self.watches.retain(|(watcher, _), _| *watcher != client);
        let untouched = self.clone();
        let mut ran = !changed;
        match outcome {
            Outcome::Replies(replies) => {
                ran &= replies.len() == commands.len();
                for (words, reply) in commands.iter().zip(replies) {
                    ran = ran && self.run(clock, words, Some(reply));
                }
            }
            Outcome::Unknown => {
                after.push(untouched);
                for words in commands {
                    self.run(clock, words, None);
                }
            }
            Outcome::Aborted | Outcome::Refused => {
                ran = false;
                after.push(untouched);
            }
        }
        if ran {
            after.push(self);
        }
    }

    /// Runs a command; whether the reply (if one was seen) is the right one.
    fn run(&mut self, clock: Clock, words: &[Bytes], seen: Option<&Value>) -> bool {
        let expected = commands::run(self, clock, words);
        seen.is_none_or(|seen| expected.agrees(seen))
    }

    /// Notes for every watcher that a key has changed.
    fn touch(&mut self, name: &[u8]) {
        for ((_, key), changed) in &mut self.watches {
            *changed |= key == name;
        }
    }
}

/// What the model expects to be answered.
#[derive(Clone, Debug, PartialEq)]
enum Expected {
    /// Exactly this.
    Value(Value),
    /// An error line that starts so.
    Error(&'static str),
    /// These bulk strings in any order.
    AnyOrder(Vec<Bytes>),
    /// These fields and values, the pairs in any order.
    AnyPairs(Vec<(Bytes, Bytes)>),
    /// An integer between two others.
    Between(i64, i64),
}

impl Expected {
    fn agrees(&self, seen: &Value) -> bool {
        match (self, seen) {
            (Expected::Value(expected), seen) => expected == seen,
            (Expected::Error(start), Value::Error(line)) => line.starts_with(start.as_bytes()),
            (Expected::Between(low, high), Value::Integer(number)) => (low..=high).contains(&number),
            (Expected::AnyOrder(expected), Value::Array(values)) => {
                let mut seen: Vec<_> = values.iter().filter_map(bulk).collect();
                let mut expected: Vec<_> = expected.iter().collect();
                seen.sort_unstable();
                expected.sort_unstable();
                seen == expected
            }
            (Expected::AnyPairs(expected), Value::Array(values)) => {
                let seen: Vec<_> = values.iter().filter_map(bulk).collect();
                let mut seen: Vec<_> = seen.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect();
                let mut expected: Vec<_> = expected.iter().map(|(field, value)| (field, value)).collect();
                seen.sort_unstable();
                expected.sort_unstable();
                2 * expected.len() == values.len() && seen == expected
            }
            _ => false,
        }
    }
}

fn bulk(value: &Value) -> Option<&Bytes> {
    match value {
        Value::Bulk(bytes) => Some(bytes),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::linear::{Verdict, check};
    use super::*;

    const FAMILY: Family = Family { epoch: Millis(1_000_000), wall_error_ms: 10 };

    /// `start_ms end_ms client command -> outcome`, one per line; commands of a transaction are separated by `;`.
    fn verdict(text: &str) -> Verdict {
        let history: Vec<Operation> = text.lines().filter(|line| !line.trim().is_empty()).map(operation).collect();
        check(&FAMILY, &history, 100_000)
    }

    fn operation(line: &str) -> Operation {
        let (asked, told) = line.split_once("->").unwrap();
        let mut words = asked.split_whitespace();
        let mut number = || words.next().unwrap().parse::<u64>().unwrap();
        let (start, end, client) = (number(), number(), number());
        let words: Words = words.map(|word| Bytes::copy_from_slice(word.as_bytes())).collect();
        let request = match &words[0][..] {
            b"WATCH" => Request::Watch(words[1..].to_vec()),
            b"MULTI" => Request::Transaction(words[1..].split(|word| word == ";").map(<[Bytes]>::to_vec).collect()),
            _ => Request::Command(words),
        };
        let outcome = match told.trim() {
            "unknown" => Outcome::Unknown,
            "aborted" => Outcome::Aborted,
            replies => Outcome::Replies(replies.split(';').map(|reply| value(reply.trim())).collect()),
        };
        let nanos = |ms: u64| Nanos(ms * 1_000_000);
        let end = (outcome != Outcome::Unknown).then_some(nanos(end));
        Operation { client, family: 1, start: nanos(start), end, request, outcome, after: None }
    }

    fn value(text: &str) -> Value {
        match text.as_bytes() {
            b"nil" => Value::Null,
            b"OK" => Value::OK,
            [b':', number @ ..] => Value::Integer(std::str::from_utf8(number).unwrap().parse().unwrap()),
            [b'-', line @ ..] => Value::error(String::from_utf8_lossy(line).into_owned()),
            [b'[', inner @ .., b']'] => {
                Value::Array(std::str::from_utf8(inner).unwrap().split_whitespace().map(value).collect())
            }
            bytes => Value::Bulk(Bytes::copy_from_slice(bytes)),
        }
    }

    #[track_caller]
    fn fine(text: &str) {
        assert_eq!(verdict(text), Verdict::Linearizable);
    }

    #[track_caller]
    fn violated(text: &str) {
        assert!(matches!(verdict(text), Verdict::Violated(_)), "{:?}", verdict(text));
    }

    #[test]
    fn strings_hashes_and_errors() {
        fine(
            "0 1 1 SET k 5 -> OK
             2 3 1 INCRBY k 10 -> :15
             4 5 1 APPEND k x -> :3
             6 7 1 INCR k -> -ERR value is not an integer or out of range
             8 9 1 HSET k a 1 -> -WRONGTYPE Operation against a key holding the wrong kind of value
             10 11 1 HSET h b 2 a 1 -> :2
             12 13 1 HGETALL h -> [a 1 b 2]
             14 15 1 RENAME k l -> OK
             16 17 1 MGET k l h -> [nil 15x nil]
             18 19 1 HDEL h a b -> :2
             20 21 1 EXISTS h k l -> :1",
        );
        violated("0 1 1 SET k 5 -> OK\n2 3 1 INCR k -> :5");
        violated("0 1 1 HSET h a 1 -> :1\n2 3 1 HGETALL h -> [a 2]");
        fine("0 1 1 SET a 1 -> OK\n2 9 1 FLUSHALL -> OK\n3 4 2 GET a -> 1\n5 6 2 GET a -> nil");
        violated("0 1 1 SET a 1 -> OK\n2 3 1 FLUSHALL -> OK\n4 5 1 MSETNX a 2 b 3 -> :0");
        violated("0 1 1 SET a 1 -> OK\n2 3 2 WATCH a -> OK\n4 5 1 FLUSHALL -> OK\n6 7 2 MULTI INCR a -> :1");
    }

    #[test]
    fn a_key_may_expire_within_the_error_of_the_clocks_and_stays_gone() {
        fine("0 1 1 SET k v PXAT 1000100 -> OK\n95 96 1 GET k -> v\n97 98 1 GET k -> nil");
        fine("0 1 1 SET k v PXAT 1000100 -> OK\n105 106 1 GET k -> v");
        violated("0 1 1 SET k v PXAT 1000100 -> OK\n70 71 1 GET k -> nil");
        violated("0 1 1 SET k v PXAT 1000100 -> OK\n120 121 1 GET k -> v");
        violated("0 1 1 SET k v PXAT 1000100 -> OK\n95 96 1 GET k -> nil\n97 98 1 GET k -> v");
        fine("0 1 1 SET k v PX 100 -> OK\n50 51 1 PTTL k -> :60\n200 201 1 TTL k -> :-2");
        violated("0 1 1 SET k v PX 100 -> OK\n50 51 1 PTTL k -> :95");
    }

    #[test]
    fn transactions_are_atomic_and_watches_hold() {
        fine("0 9 1 MULTI INCR k ; INCR k -> :1;:2\n1 8 2 INCR k -> :3");
        violated("0 9 1 MULTI INCR k ; INCR k -> :1;:3\n1 8 2 INCR k -> :2");
        fine("0 1 1 WATCH k -> OK\n2 3 1 MULTI INCR k -> :1");
        fine("0 1 1 WATCH k -> OK\n2 3 1 MULTI INCR k -> aborted\n4 5 1 GET k -> nil");
        violated("0 1 1 WATCH k -> OK\n2 3 2 SET k 0 -> OK\n4 5 1 MULTI INCR k -> :1");
        violated("0 1 1 MULTI SET a 1 ; SET b 1 -> unknown\n2 3 1 MGET a b -> [1 nil]");
    }
}
