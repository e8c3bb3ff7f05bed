//! Queues: tokens are pushed on one end of a list, and clients wait for them at the other. Each token is taken by one
//! client or is still there, and nobody is passed over.
//!
//! A client of unknown outcome may have taken one token, and so may one that hung up while it waited: but none that was
//! gone before the client came, as a token behind it in the queue proves that somebody took.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::{Operation, Outcome, Request, Violation};
use crate::base::Nanos;
use crate::resp::Value;

const EXACTLY_ONCE: &str = "a token is taken exactly once";
const IN_ORDER: &str = "first in, first out";

/// One token's life, as clients saw it.
#[derive(Default)]
struct Token<'a> {
    pushed: Option<&'a Operation>,
    taken: Option<&'a Operation>,
}

/// Judges the history of one queue that is `left` over in the end.
pub fn check(history: &[Operation], left: &[Value]) -> Result<(), Violation> {
    let mut tokens: BTreeMap<&Bytes, Token<'_>> = BTreeMap::new();
    let (mut empty, mut doubts) = (Vec::new(), Vec::new());
    for operation in history {
        let Request::Command(words) = &operation.request else { continue };
        match (&words[0][..], &operation.outcome) {
            (b"RPUSH", Outcome::Refused) => {}
            (b"RPUSH", _) => tokens.entry(&words[2]).or_default().pushed = Some(operation),
            (b"BLPOP", Outcome::Unknown) => doubts.push(operation.start),
            (b"BLPOP", Outcome::Replies(replies)) => match &replies[..] {
                [Value::Array(pair)] => {
                    let [_, Value::Bulk(token)] = &pair[..] else { return Err(told("no answer", words, [operation])) };
                    let token = tokens.entry(token).or_default();
                    if let Some(first) = token.taken.replace(operation) {
                        return Err(told("taken twice", words, [first, operation]));
                    }
                }
                [Value::Null | Value::NullArray] => empty.push(operation),
                _ => return Err(told("no answer", words, [operation])),
            },
            _ => {}
        }
    }
    count(&tokens, left, &doubts)?;
    let mut taken: Vec<(&Operation, &Operation)> =
        tokens.values().filter_map(|token| Some((token.pushed?, token.taken?))).collect();
    taken.sort_by_key(|(pushed, _)| pushed.start);
    check_order(&taken)?;
    check_empty(&taken, &empty)
}

/// What was taken or is left was pushed, and what was pushed for certain is one of the two, but for what clients in
/// doubt have.
fn count(tokens: &BTreeMap<&Bytes, Token<'_>>, left: &[Value], doubts: &[Nanos]) -> Result<(), Violation> {
    let mut kept: BTreeMap<&Bytes, usize> = BTreeMap::new();
    for token in left {
        let Value::Bulk(token) = token else { continue };
        *kept.entry(token).or_default() += 1;
        if tokens.get(token).is_none_or(|token| token.pushed.is_none()) {
            return Err(Violation::new(EXACTLY_ONCE, vec![format!("{token:?} is left, but nobody pushed it")]));
        }
    }
    let mut lost = Vec::new();
    for (token, Token { pushed, taken }) in tokens {
        let times = kept.get(token).copied().unwrap_or(0) + usize::from(taken.is_some());
        let acts = [*pushed, *taken].into_iter().flatten();
        match pushed {
            None => return Err(told("from nowhere", &[(*token).clone()], acts)),
            Some(pushed) if taken.and_then(|taken| taken.end).is_some_and(|end| end < pushed.start) => {
                return Err(told("taken before it was pushed", &[(*token).clone()], acts));
            }
            Some(_) if times > 1 => return Err(told("there more than once", &[(*token).clone()], acts)),
            Some(pushed) if times == 0 && matches!(pushed.outcome, Outcome::Replies(_)) => lost.push(*pushed),
            Some(_) => {}
        }
    }
    explain(tokens, lost, doubts)
}

/// Gives each lost token a client in doubt of its own, which began (`doubts`) before the token was gone.
fn explain(tokens: &BTreeMap<&Bytes, Token<'_>>, lost: Vec<&Operation>, doubts: &[Nanos]) -> Result<(), Violation> {
    // Whoever took a token that was pushed later did so when this one was gone.
    let is_behind = |token: &&Token<'_>, first: &Operation| {
        token.pushed.is_some_and(|pushed| first.end.is_some_and(|end| end < pushed.start))
    };
    let gone = |pushed: &Operation| {
        let behind = tokens.values().filter(|token| is_behind(token, pushed)).filter_map(|token| token.taken);
        behind.filter(|taken| taken.end.is_some()).min_by_key(|taken| taken.end)
    };
    let mut lost: Vec<_> = lost.into_iter().map(|pushed| (pushed, gone(pushed))).collect();
    // Windows that all begin at the same moment: first come those that end first.
    lost.sort_by_key(|(_, gone)| gone.and_then(|taken| taken.end).unwrap_or(Nanos(u64::MAX)));
    for (at, (_, taken)) in lost.iter().enumerate() {
        let end = taken.and_then(|taken| taken.end);
        let able = doubts.iter().filter(|start| end.is_none_or(|end| **start < end)).count();
        if at < able {
            continue;
        }
        let lost = &lost[..=at];
        let mut story = vec![format!("{} tokens are gone, {able} clients may have one", lost.len())];
        story.extend(lost.iter().map(|(pushed, _)| pushed.line()));
        story.extend(taken.map(|taken| format!("when this one behind them was taken: {}", taken.line())));
        return Err(Violation::new(EXACTLY_ONCE, story));
    }
    Ok(())
}

/// Of two tokens of which one was pushed before the other, the other is not taken before the first.
fn check_order(taken: &[(&Operation, &Operation)]) -> Result<(), Violation> {
    for (at, (first, first_taken)) in taken.iter().enumerate() {
        for (second, second_taken) in &taken[at + 1..] {
            let in_order = first.end.is_some_and(|end| end < second.start);
            if in_order && second_taken.end.is_some_and(|end| end < first_taken.start) {
                let acts = [*first, *second, *second_taken, *first_taken];
                let story = acts.iter().map(|operation| operation.line()).collect();
                return Err(Violation::new(IN_ORDER, story));
            }
        }
    }
    Ok(())
}

/// Nobody waits in vain for a token that is there all the time.
fn check_empty(taken: &[(&Operation, &Operation)], empty: &[&Operation]) -> Result<(), Violation> {
    for waited in empty {
        let there = |(pushed, taken): &&(&Operation, &Operation)| {
            pushed.end.is_some_and(|end| end < waited.start) && waited.end.is_some_and(|end| end < taken.start)
        };
        if let Some((pushed, taken)) = taken.iter().find(there) {
            let story = [*pushed, waited, *taken].iter().map(|operation| operation.line()).collect();
            return Err(Violation::new("nobody waits in vain", story));
        }
    }
    Ok(())
}

fn told<'a>(what: &str, words: &[Bytes], operations: impl IntoIterator<Item = &'a Operation>) -> Violation {
    let mut story = vec![format!("{what}: {}", super::show_words(words))];
    story.extend(operations.into_iter().map(Operation::line));
    Violation::new(EXACTLY_ONCE, story)
}

#[cfg(test)]
mod tests {
    use super::super::operation;
    use super::*;

    fn push(start: u64, token: &str) -> Operation {
        operation(start, start + 5, &["RPUSH", "q", token], Outcome::Replies(vec![Value::Integer(1)]))
    }

    fn take(start: u64, token: &str) -> Operation {
        let pair = Value::Array(vec![Value::bulk("q"), Value::bulk(token.to_owned())]);
        operation(start, start + 5, &["BLPOP", "q", "1"], Outcome::Replies(vec![pair]))
    }

    fn nothing(start: u64, end: u64) -> Operation {
        operation(start, end, &["BLPOP", "q", "1"], Outcome::Replies(vec![Value::NullArray]))
    }

    #[test]
    fn what_may_be_is_accepted() {
        let left = [Value::bulk("c")];
        let history = [push(0, "a"), push(10, "b"), push(20, "c"), take(0, "a"), take(30, "b"), nothing(0, 12)];
        assert_eq!(check(&history, &left), Ok(()));
        let doubt = operation(40, 0, &["BLPOP", "q", "1"], Outcome::Unknown);
        assert_eq!(check(&[push(0, "a"), doubt], &[]), Ok(()), "whoever hung up may have it");
        let doubt = |start| operation(start, 0, &["BLPOP", "q", "1"], Outcome::Unknown);
        let two = [push(0, "a"), doubt(5), push(10, "b"), take(20, "b"), push(30, "c"), doubt(40)];
        assert_eq!(check(&two, &[]), Ok(()), "each has one");
        let unsure = operation(0, 0, &["RPUSH", "q", "a"], Outcome::Unknown);
        assert_eq!(check(std::slice::from_ref(&unsure), &[]), Ok(()));
        assert_eq!(check(&[unsure, take(10, "a")], &[]), Ok(()));
        let together = [push(0, "a"), push(3, "b"), take(10, "b"), take(20, "a")];
        assert_eq!(check(&together, &[]), Ok(()), "pushed at the same time");
    }

    #[test]
    fn what_cannot_be_is_found() {
        let promise = |history: &[Operation], left: &[Value]| check(history, left).expect_err("a violation").promise;
        assert_eq!(promise(&[push(0, "a")], &[]), EXACTLY_ONCE, "lost");
        assert_eq!(promise(&[push(0, "a"), take(10, "a"), take(20, "a")], &[]), EXACTLY_ONCE, "twice");
        assert_eq!(promise(&[push(0, "a"), take(10, "a")], &[Value::bulk("a")]), EXACTLY_ONCE, "still there");
        assert_eq!(promise(&[take(10, "a")], &[]), EXACTLY_ONCE, "from nowhere");
        assert_eq!(promise(&[take(0, "a"), push(10, "a")], &[]), EXACTLY_ONCE, "before it was pushed");
        let doubt = |start| operation(start, 0, &["BLPOP", "q", "1"], Outcome::Unknown);
        let early = [push(0, "a"), push(10, "b"), take(20, "b"), doubt(30)];
        assert_eq!(promise(&early, &[]), EXACTLY_ONCE, "gone before the client in doubt came");
        let both = [doubt(0), push(0, "a"), push(10, "b"), push(20, "c"), take(30, "c"), doubt(40), push(50, "d")];
        assert_eq!(promise(&both, &[]), EXACTLY_ONCE, "two are gone, and one client in doubt was early enough");
        let refused = operation(0, 5, &["RPUSH", "q", "a"], Outcome::Refused);
        assert_eq!(promise(&[refused, take(10, "a")], &[]), EXACTLY_ONCE, "refused");
        let order = [push(0, "a"), push(10, "b"), take(20, "b"), take(30, "a")];
        assert_eq!(promise(&order, &[]), IN_ORDER);
        let vain = [push(0, "a"), nothing(10, 20), take(30, "a")];
        assert_eq!(promise(&vain, &[]), "nobody waits in vain");
    }
}
