//! Linearizability of a family of keys: is there an order of all operations, in agreement with real time, in which a
//! sequential model gives exactly the replies that the clients got?
//!
//! The search is Wing and Gong's ("Testing and verifying concurrent objects", 1993) with Lowe's memory of
//! configurations already tried ("Testing for linearizability", 2017): walk through calls and returns in time order,
//! take any operation whose call comes before the first return as the next one, and step back when the model
//! refuses. The model may be undetermined (a key may or may not have expired yet): a configuration holds the set of
//! states that are possible, and is refused when none is left.
//!
//! Operations of unknown outcome have no return; refused ones must be left out by the caller.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::hash::Hash;

use crate::base::HashSet;

use super::{Operation, Outcome, Violation};

/// What the operations mean.
pub trait Model {
    /// A state of the family.
    type State: Clone + Ord + Hash + Debug;

    /// The state before the first operation.
    fn start(&self) -> Self::State;

    /// All states that may follow when this operation takes effect in `state` with the outcome it had. For an unknown
    /// outcome any reply is fine. Empty: impossible.
    fn apply(&self, state: &Self::State, operation: &Operation) -> Vec<Self::State>;
}

/// How the search ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// There is such an order.
    Linearizable,
    /// There is none.
    Violated(Violation),
    /// The search was given up after too many steps.
    Undecided,
}

/// Judges a history: all operations of one family, none of them refused, in any order. At most `steps_max` steps.
pub fn check<M: Model>(model: &M, history: &[Operation], steps_max: u64) -> Verdict {
    Search::new(model, history).run(steps_max)
}

/// A point in time: a call or a return of an operation, in a doubly linked list from which operations are taken out.
#[derive(Clone, Copy)]
struct Point {
    operation: usize,
    is_return: bool,
    before: usize,
    next: usize,
    /// Where the operation's return is; only for calls.
    partner: usize,
}

const NONE: usize = usize::MAX;
/// States that a search may make before it is given up: each is a keyspace of its own, and where many outcomes are
/// possible a step makes many.
const STATES_MAX: usize = 200_000;

struct Search<'a, M: Model> {
    model: &'a M,
    history: &'a [Operation],
    points: Vec<Point>,
    /// Which operations are taken, as bits.
    taken: Vec<u64>,
    taken_count: usize,
    seen: HashSet<(Vec<u64>, Vec<M::State>)>,
    /// States made.
    states: usize,
}

impl<'a, M: Model> Search<'a, M> {
    fn new(model: &'a M, history: &'a [Operation]) -> Search<'a, M> {
        // The same moment: calls before returns, which allows more orders.
        let mut order: Vec<(u64, bool, usize)> = Vec::with_capacity(2 * history.len());
        for (position, operation) in history.iter().enumerate() {
            debug_assert!(operation.outcome != Outcome::Refused, "a refused operation is no part of a history");
            order.push((operation.start.0, false, position));
            let end = match operation.outcome {
                Outcome::Unknown => None,
                _ => operation.end,
            };
            order.push((end.map_or(u64::MAX, |end| end.0), true, position));
        }
        order.sort_unstable();
        // Point 0 is the head of the list.
        let mut points = vec![Point { operation: NONE, is_return: false, before: NONE, next: NONE, partner: NONE }];
        let mut calls = vec![NONE; history.len()];
        for (_, is_return, operation) in order {
            let at = points.len();
            points.push(Point { operation, is_return, before: at - 1, next: NONE, partner: NONE });
            points[at - 1].next = at;
            if is_return {
                points[calls[operation]].partner = at;
            } else {
                calls[operation] = at;
            }
        }
        let taken = vec![0; history.len().div_ceil(64)];
        Search { model, history, points, taken, taken_count: 0, seen: HashSet::default(), states: 0 }
    }

    fn run(mut self, steps_max: u64) -> Verdict {
        let mut states = vec![self.model.start()];
        let mut path: Vec<(usize, Vec<M::State>)> = Vec::new();
        let mut best: (usize, Vec<M::State>, Vec<usize>) = (0, states.clone(), Vec::new());
        let mut at = self.points[0].next;
        for _ in 0..steps_max {
            if at == NONE {
                return Verdict::Linearizable;
            }
            if self.states > STATES_MAX {
                return Verdict::Undecided;
            }
            let point = self.points[at];
            if !point.is_return {
                if let Some(next) = self.try_take(point.operation, &states) {
                    path.push((at, std::mem::replace(&mut states, next)));
                    self.lift(at);
                    if self.taken_count > best.0 {
                        let order = path.iter().map(|&(at, _)| self.points[at].operation).collect();
                        best = (self.taken_count, states.clone(), order);
                    }
                    at = self.points[0].next;
                } else {
                    at = point.next;
                }
                continue;
            }
            if self.history[point.operation].outcome == Outcome::Unknown {
                // Only operations without return are left, and none of them has to happen.
                return Verdict::Linearizable;
            }
            // The first return in time belongs to an operation that cannot come next: step back.
            let Some((last, earlier)) = path.pop() else {
                return Verdict::Violated(self.story(&best));
            };
            self.unlift(last);
            states = earlier;
            at = self.points[last].next;
        }
        Verdict::Undecided
    }

    /// The states after this operation, unless it is impossible or that configuration was tried before.
    fn try_take(&mut self, operation: usize, states: &[M::State]) -> Option<Vec<M::State>> {
        let asked = &self.history[operation];
        if let Some(earlier) = asked.after
            && self.taken[earlier / 64] & (1 << (earlier % 64)) == 0
        {
            return None;
        }
        let next: BTreeSet<M::State> = states.iter().flat_map(|state| self.model.apply(state, asked)).collect();
        if next.is_empty() {
            return None;
        }
        let next: Vec<M::State> = next.into_iter().collect();
        self.states += next.len();
        let mut taken = self.taken.clone();
        taken[operation / 64] |= 1 << (operation % 64);
        let configuration = (taken, next);
        if self.seen.contains(&configuration) {
            return None;
        }
        let next = configuration.1.clone();
        self.seen.insert(configuration);
        Some(next)
    }

    fn lift(&mut self, call: usize) {
        let Point { operation, partner, .. } = self.points[call];
        self.taken[operation / 64] |= 1 << (operation % 64);
        self.taken_count += 1;
        for at in [call, partner] {
            let Point { before, next, .. } = self.points[at];
            self.points[before].next = next;
            if next != NONE {
                self.points[next].before = before;
            }
        }
    }

    fn unlift(&mut self, call: usize) {
        let Point { operation, partner, .. } = self.points[call];
        self.taken[operation / 64] &= !(1 << (operation % 64));
        self.taken_count -= 1;
        for at in [partner, call] {
            let Point { before, next, .. } = self.points[at];
            self.points[before].next = at;
            if next != NONE {
                self.points[next].before = at;
            }
        }
    }

    /// The longest order found, its end state, and what could not follow it.
    fn story(&self, best: &(usize, Vec<M::State>, Vec<usize>)) -> Violation {
        const SHOWN_MAX: usize = 25;
        let (count, states, order) = best;
        let mut story =
            vec![format!("{} of {} operations could be put in order; the last of them:", count, self.history.len())];
        story.extend(order.iter().rev().take(SHOWN_MAX).rev().map(|&at| self.history[at].line()));
        story.push(format!("possible states then: {states:?}"));
        story.push("and none of these can follow:".to_owned());
        let mut left: Vec<&Operation> =
            (0..self.history.len()).filter(|at| !order.contains(at)).map(|at| &self.history[at]).collect();
        left.sort_by_key(|operation| operation.start);
        story.extend(left.iter().take(SHOWN_MAX).map(|operation| operation.line()));
        Violation::new("linearizability", story)
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::super::Request;
    use super::*;
    use crate::base::Nanos;
    use crate::resp::Value;

    /// A register of one integer: `SET n` -> OK, `GET` -> n.
    struct Register;

    impl Model for Register {
        type State = i64;

        fn start(&self) -> i64 {
            0
        }

        fn apply(&self, state: &i64, operation: &Operation) -> Vec<i64> {
            let Request::Command(words) = &operation.request else { return Vec::new() };
            match (words.len(), &operation.outcome) {
                (2, Outcome::Unknown) => vec![number(&words[1]), *state],
                (2, _) => vec![number(&words[1])],
                (_, Outcome::Replies(replies)) if replies[0] != Value::Integer(*state) => Vec::new(),
                _ => vec![*state],
            }
        }
    }

    fn number(word: &Bytes) -> i64 {
        String::from_utf8_lossy(word).parse().unwrap()
    }

    fn operation(start: u64, end: u64, words: &'static [&'static str], outcome: Outcome) -> Operation {
        let words = words.iter().map(|word| Bytes::from_static(word.as_bytes())).collect();
        let end = (outcome != Outcome::Unknown).then_some(Nanos(end));
        Operation {
            client: start,
            family: 0,
            start: Nanos(start),
            end,
            request: Request::Command(words),
            outcome,
            after: None,
        }
    }

    fn set(start: u64, end: u64, words: &'static [&'static str]) -> Operation {
        operation(start, end, words, Outcome::Replies(vec![Value::OK]))
    }

    fn get(start: u64, end: u64, seen: i64) -> Operation {
        operation(start, end, &["GET"], Outcome::Replies(vec![Value::Integer(seen)]))
    }

    #[track_caller]
    fn linearizable(history: &[Operation], expected: bool) {
        let verdict = check(&Register, history, 100_000);
        assert_eq!(verdict == Verdict::Linearizable, expected, "{verdict:?}");
    }

    #[test]
    fn concurrent_reads_may_see_either_but_time_must_not_go_back() {
        linearizable(&[set(0, 10, &["SET", "1"]), get(1, 3, 0), get(4, 8, 1)], true);
        linearizable(&[set(0, 10, &["SET", "1"]), get(1, 3, 1), get(4, 8, 0)], false);
        linearizable(&[set(0, 2, &["SET", "1"]), get(3, 4, 0)], false);
        linearizable(&[set(0, 9, &["SET", "1"]), set(0, 9, &["SET", "2"]), get(10, 11, 1)], true);
    }

    #[test]
    fn an_unknown_write_may_happen_late_once_or_never() {
        let unknown = || operation(0, 0, &["SET", "1"], Outcome::Unknown);
        linearizable(&[unknown(), get(5, 6, 0), get(7, 8, 1)], true);
        linearizable(&[unknown(), get(5, 6, 0), get(7, 8, 0)], true);
        linearizable(&[unknown(), get(5, 6, 1), get(7, 8, 0)], false);
        linearizable(&[unknown(), get(5, 6, 1), set(7, 8, &["SET", "2"]), get(9, 10, 1)], false);
    }

    #[test]
    fn a_pipeline_keeps_its_order() {
        let mut second = set(0, 10, &["SET", "2"]);
        second.after = Some(0);
        linearizable(&[set(0, 10, &["SET", "1"]), second.clone(), get(11, 12, 1)], false);
        linearizable(&[set(0, 10, &["SET", "1"]), second, get(11, 12, 2)], true);
    }

    #[test]
    fn long_histories_with_overlap_are_decided_quickly() {
        let mut history = Vec::new();
        for i in 0..2_000 {
            history.push(set(10 * i, 10 * i + 35, &["SET", "1"]));
            history.push(get(10 * i + 100_000, 10 * i + 100_025, 1));
        }
        linearizable(&history, true);
        history.push(get(200_000, 200_001, 0));
        linearizable(&history, false);
    }
}
