//! Counters exactly once: a key that only saw INCR and GET.
//!
//! Every acknowledged INCR tells its own number, so the order of effects is known and no search is needed: no number is
//! given twice, every number up to the highest that was seen belongs to an INCR that was acknowledged or may have
//! happened, and time agrees with the numbers ([`super::order`]). This decides linearizability exactly, however many
//! outcomes are unknown: equal increments can stand in for each other, so the one that began first takes the lowest
//! number nobody else has.

use super::history::{Action, History, Operation, Outcome, Reply, Verb};
use super::order::{Placed, contradiction, earliest_end_after};
use super::report::Violation;
use crate::base::HashMap;

const EXACTLY_ONCE: &str = "exactly once";
const REAL_TIME: &str = "real-time order";

/// The number that a text is, if it is one that INCR could have left.
pub fn number(text: &str) -> Option<u64> {
    let number: i64 = text.parse().ok()?;
    u64::try_from(number).ok().filter(|number| number.to_string() == text)
}

/// Judges a counter's operations.
pub fn judge(history: &History, operations: &[usize]) -> Option<Violation> {
    let at = |source: usize| &history.operations[source];
    let mut placed = Vec::with_capacity(operations.len());
    let mut unknown: Vec<usize> = Vec::new();
    let mut given: HashMap<u64, usize> = HashMap::default();
    for &source in operations {
        let operation = at(source);
        let Operation { start, end, .. } = *operation;
        match (operation.outcome, told(operation)) {
            (Outcome::Ok, Some((true, 0))) => {
                let story = "An INCR was answered with a number below 1, though the counter began at 0.".to_owned();
                return Some(Violation::new(EXACTLY_ONCE, vec![story], &[operation]));
            }
            (Outcome::Ok, Some((true, number))) => {
                if let Some(other) = given.insert(number, source) {
                    let story = vec![format!(
                        "Two INCRs were both answered {number}: each number can only be given once, so one of the two \
                         increments is lost."
                    )];
                    return Some(Violation::new(EXACTLY_ONCE, story, &[at(other), operation]));
                }
                placed.push(Placed { source, position: 2 * number, start, end });
            }
            (Outcome::Ok, Some((false, number))) => {
                placed.push(Placed { source, position: 2 * number + 1, start, end });
            }
            (Outcome::Unknown, _) if is_increment(operation) => unknown.push(source),
            _ => {}
        }
    }
    if let Some((earlier, later)) = contradiction(placed.clone()) {
        let story = story(at(earlier.source), at(later.source));
        return Some(Violation::new(REAL_TIME, vec![story], &[at(earlier.source), at(later.source)]));
    }
    let highest = placed.iter().max_by_key(|placed| placed.position)?;
    let seen = highest.position / 2;
    // Numbers that were given are all from 1 to the highest that was seen, each once.
    let missing = seen - given.len() as u64;
    if missing > unknown.len() as u64 {
        let story = vec![
            format!(
                "The counter reached {seen}, but {missing} numbers up to there were given to no acknowledged INCR,"
            ),
            format!("and only {} INCRs had an unknown outcome: something was counted twice.", unknown.len()),
            example(&given, seen),
        ];
        return Some(Violation::new(EXACTLY_ONCE, story, &[at(highest.source)]));
    }
    // Missing numbers in rising order belong to unknown increments in the order of their starts.
    unknown.sort_by_key(|&source| at(source).start);
    let gaps: Vec<u64> = (1..=seen).filter(|number| !given.contains_key(number)).collect();
    let positions: Vec<u64> = gaps.iter().map(|gap| 2 * gap).collect();
    let ends = earliest_end_after(&placed, &positions);
    for ((gap, source), end) in gaps.iter().zip(&unknown).zip(ends) {
        let operation = at(*source);
        if end.is_some_and(|end| end < operation.start) {
            let witness = placed.iter().find(|placed| placed.position > 2 * gap && placed.end == end);
            let operations: Vec<&Operation> =
                witness.map(|placed| at(placed.source)).into_iter().chain([operation]).collect();
            let story = vec![
                format!("When the first of these ended, the counter had reached at least {gap}, a number that no"),
                "acknowledged INCR was given. Too few INCRs of unknown outcome had begun by then to explain it; the next"
                    .to_owned(),
                "one to begin is shown: something was counted twice.".to_owned(),
            ];
            return Some(Violation::new(EXACTLY_ONCE, story, &operations));
        }
    }
    None
}

fn is_increment(operation: &Operation) -> bool {
    matches!(&operation.action, Action::Registers(_, commands) if commands[0].verb != Verb::Get)
}

/// Whether it was an increment, and the number that it was told. A negative one counts as 0.
fn told(operation: &Operation) -> Option<(bool, u64)> {
    let Action::Registers(_, commands) = &operation.action else { return None };
    let command = commands.first()?;
    match (&command.verb, command.reply.as_ref()?) {
        (Verb::Get, Reply::Nil) => Some((false, 0)),
        (Verb::Get, Reply::Text(text)) => Some((false, number(text)?)),
        (Verb::Add(_), Reply::Int(number)) => Some((true, u64::try_from(*number).unwrap_or(0))),
        _ => None,
    }
}

fn story(earlier: &Operation, later: &Operation) -> String {
    let word = |operation: &Operation| match told(operation) {
        Some((true, number)) => format!("an INCR was answered {number}"),
        Some((false, number)) => format!("a GET saw {number}"),
        None => "an operation".to_owned(),
    };
    let pause = earlier.start.0.saturating_sub(later.end.map_or(0, |end| end.0));
    format!(
        "First {}; {:.3} ms after that had ended {} began, and {}: the counter went back.",
        word(later),
        pause as f64 / 1e6,
        if is_increment(earlier) { "an INCR" } else { "a GET" },
        if is_increment(earlier) {
            word(earlier).replacen("an INCR", "it", 1)
        } else {
            word(earlier).replacen("a GET", "it", 1)
        },
    )
}

fn example(given: &HashMap<u64, usize>, seen: u64) -> String {
    const SHOWN_MAX: usize = 10;
    let missing: Vec<_> = (1..=seen).filter(|number| !given.contains_key(number)).take(SHOWN_MAX + 1).collect();
    let shown: Vec<_> = missing.iter().take(SHOWN_MAX).map(u64::to_string).collect();
    let more = if missing.len() > SHOWN_MAX { " ..." } else { "" };
    format!("Given to nobody: {}{more}.", shown.join(", "))
}

#[cfg(test)]
mod tests {
    use super::super::parse::parse;
    use super::*;

    /// `client start end op -> reply`, one per line: `1 0 10 incr -> 1`, `unknown` or `fail` as a reply.
    fn verdict(text: &str) -> Option<(&'static str, Vec<usize>)> {
        let line = |line: &str| {
            let words: Vec<&str> = line.split_whitespace().collect();
            let [client, start, end, op, _, reply] = words[..] else { panic!("{line}") };
            let (outcome, reply) = match (op, reply) {
                (_, "unknown" | "fail") => (reply, "null".to_owned()),
                ("get", reply) if reply != "null" => ("ok", format!("{reply:?}")),
                (_, reply) => ("ok", reply.to_owned()),
            };
            format!(
                "{{\"client\":{client},\"op\":\"{op}\",\"key\":\"n\",\"arg\":null,\"start\":{start},\"end\":{end},\
                 \"outcome\":\"{outcome}\",\"reply\":{reply}}}\n"
            )
        };
        let history = parse(&text.lines().map(line).collect::<String>()).unwrap();
        let all: Vec<usize> = (0..history.operations.len()).collect();
        judge(&history, &all).map(|violation| (violation.promise, violation.lines))
    }

    #[test]
    fn acknowledged_increments_count_once() {
        assert_eq!(verdict("1 0 9 incr -> 2\n2 0 9 incr -> 1\n3 1 8 get -> null\n3 10 11 get -> 2"), None);
        assert_eq!(verdict("1 0 9 incr -> 1\n2 0 9 incr -> 1"), Some((EXACTLY_ONCE, vec![1, 2])));
        assert_eq!(verdict("1 0 9 incr -> 1\n3 10 11 get -> null"), Some((REAL_TIME, vec![1, 2])));
        assert_eq!(verdict("1 0 9 incr -> 1\n3 1 8 get -> 2"), Some((EXACTLY_ONCE, vec![2])));
        assert_eq!(verdict("1 0 9 incr -> 1\n2 3 4 incr -> fail\n3 10 11 get -> 2"), Some((EXACTLY_ONCE, vec![3])));
        assert_eq!(verdict("1 0 9 incr -> 0"), Some((EXACTLY_ONCE, vec![1])));
        assert_eq!(verdict("1 5 9 incr -> 1\n3 1 2 get -> 1"), Some((REAL_TIME, vec![1, 2])));
    }

    #[test]
    fn unknown_increments_count_at_most_once_and_not_before_they_began() {
        assert_eq!(verdict("1 0 9 incr -> unknown\n3 10 11 get -> null\n3 12 13 get -> 1\n1 14 15 incr -> 2"), None);
        assert_eq!(verdict("1 0 9 incr -> unknown\n3 10 11 get -> 2"), Some((EXACTLY_ONCE, vec![2])));
        assert_eq!(verdict("3 0 1 get -> 1\n1 2 3 incr -> unknown"), Some((EXACTLY_ONCE, vec![1, 2])));
        let late = "1 0 1 incr -> unknown\n3 2 3 get -> 2\n1 4 5 incr -> unknown";
        assert_eq!(verdict(late), Some((EXACTLY_ONCE, vec![2, 3])));
        assert_eq!(verdict(&late.replace("4 5", "2 2")), None);
        assert!(verdict("1 0 1 get -> 9223372036854775807").is_some());
    }
}
