//! Sets that only grow: every element is added by one operation, reads show all elements.
//!
//! Reads of such a set are ordered by inclusion, which puts every read, and every element at its first sight, at a
//! known position; time must agree ([`super::order`]). This decides linearizability exactly.

use super::history::{Action, History, Operation, Outcome};
use super::order::{Placed, contradiction};
use super::report::Violation;
use super::{Unusable, show};
use crate::base::HashMap;

const ELEMENTS: &str = "exactly once";
const ORDER: &str = "real-time order";

/// Whether the file keeps to the rule that makes sets easy to judge: an element is added by one operation only.
/// Failed ones do not count.
pub fn usable(history: &History, operations: &[usize]) -> Result<(), Unusable> {
    let mut added: HashMap<&str, usize> = HashMap::default();
    for &source in operations {
        let operation = &history.operations[source];
        if let Action::SetAdd { element, .. } = &operation.action
            && operation.outcome != Outcome::Fail
            && let Some(line) = added.insert(element, operation.line)
        {
            let why = format!("element {element:?} is added in line {line} already; a retry must use a new element");
            return Err(Unusable { line: operation.line, why });
        }
    }
    Ok(())
}

/// Judges the operations of one set.
pub fn judge(history: &History, operations: &[usize]) -> Option<Violation> {
    let at = |source: usize| &history.operations[source];
    let mut adds: HashMap<&str, usize> = HashMap::default();
    let mut failed: HashMap<&str, usize> = HashMap::default();
    let mut reads: Vec<(usize, &[String])> = Vec::new();
    for &source in operations {
        match (&at(source).action, at(source).outcome) {
            (Action::SetAdd { element, .. }, Outcome::Fail) => {
                failed.insert(element, source);
            }
            (Action::SetAdd { element, reply, .. }, _) => {
                if *reply == Some(false) {
                    let story = format!(
                        "{} was answered 0 (\"there already\"), but nobody else adds it.",
                        show::quoted(element)
                    );
                    return Some(Violation::new(ELEMENTS, vec![story], &[at(source)]));
                }
                adds.insert(element, source);
            }
            (Action::SetRead { reply: Some(elements), .. }, Outcome::Ok) => reads.push((source, elements)),
            _ => {}
        }
    }
    for &(source, elements) in &reads {
        if let Some(violation) = strange(history, source, elements, &adds, &failed) {
            return Some(violation);
        }
    }
    // By inclusion, which by size it must be.
    reads.sort_by_key(|(_, elements)| elements.len());
    let mut placed = Vec::with_capacity(operations.len());
    let mut first_seen: HashMap<&str, u64> = HashMap::default();
    let mut position = 0;
    let mut before: (usize, &[String]) = (usize::MAX, &[]);
    for &(source, elements) in &reads {
        if let Some(missing) = first_missing(before.1, elements) {
            let extra = first_missing(elements, before.1).map_or("", String::as_str);
            let story = vec![
                format!(
                    "One read shows {} but not {}, the other the other way round:",
                    show::quoted(missing),
                    show::quoted(extra)
                ),
                "a set that only grows cannot have been in both states.".to_owned(),
            ];
            let mut shown = vec![at(before.0), at(source)];
            shown.extend([missing.as_str(), extra].iter().filter_map(|&element| adds.get(element)).map(|&add| at(add)));
            return Some(Violation::new("one order of effects", story, &shown));
        }
        if elements.len() > before.1.len() {
            // Elements that are new here were added at an even position before this read's odd one.
            position += 2;
            for element in elements {
                first_seen.entry(element).or_insert(position);
            }
        }
        let Operation { start, end, .. } = *at(source);
        placed.push(Placed { source, position: position + 1, start, end });
        before = (source, elements);
    }
    for (element, &source) in &adds {
        let Operation { start, end, outcome, .. } = *at(source);
        match first_seen.get(element) {
            Some(&position) => placed.push(Placed { source, position, start, end }),
            None if outcome == Outcome::Ok => placed.push(Placed { source, position: position + 2, start, end }),
            None => {}
        }
    }
    // The order of a map must not choose the example.
    placed.sort_by_key(|placed| placed.source);
    let (earlier, later) = contradiction(placed.clone())?;
    Some(against_time(history, &placed, earlier, later))
}

/// An element in a read that cannot be there.
fn strange(
    history: &History,
    source: usize,
    elements: &[String],
    adds: &HashMap<&str, usize>,
    failed: &HashMap<&str, usize>,
) -> Option<Violation> {
    let read = &history.operations[source];
    if let Some(twice) = elements.windows(2).find(|pair| pair[0] == pair[1]) {
        let story = format!("A read shows {} twice.", show::quoted(&twice[0]));
        return Some(Violation::new(ELEMENTS, vec![story], &[read]));
    }
    let element = elements.iter().find(|element| !adds.contains_key(element.as_str()))?;
    let mut shown = vec![read];
    let story = match failed.get(element.as_str()) {
        Some(&add) => {
            shown.push(&history.operations[add]);
            format!("A read shows {}, whose only SADD certainly failed.", show::quoted(element))
        }
        None => format!("A read shows {}, which nobody added.", show::quoted(element)),
    };
    Some(Violation::new(ELEMENTS, vec![story], &shown))
}

/// The first element of a sorted list that is not in another one.
fn first_missing<'a>(list: &'a [String], other: &[String]) -> Option<&'a String> {
    let mut rest = other.iter().peekable();
    list.iter().find(|element| {
        while rest.next_if(|other| other < element).is_some() {}
        rest.next_if(|other| other == element).is_none()
    })
}

fn against_time(history: &History, placed: &[Placed], earlier: Placed, later: Placed) -> Violation {
    let at = |source: usize| &history.operations[source];
    let (first, second) = (at(later.source), at(earlier.source));
    let mut shown = vec![first, second];
    let story = match (&first.action, &second.action) {
        (Action::SetAdd { element, .. }, Action::SetRead { .. }) => {
            format!("{} was added and acknowledged before a read began that does not show it.", show::quoted(element))
        }
        (Action::SetRead { reply: Some(elements), .. }, Action::SetRead { reply: Some(fewer), .. }) => {
            let lost = first_missing(elements, fewer).map_or("", String::as_str);
            format!("One read showed {}; one that began after it had ended does not.", show::quoted(lost))
        }
        (Action::SetRead { .. }, Action::SetAdd { element, .. }) => {
            format!("A read that ended before the SADD of {} began shows it.", show::quoted(element))
        }
        (Action::SetAdd { element: early, .. }, Action::SetAdd { element: late, .. }) => {
            let between = |read: &&Placed| read.position > earlier.position && read.position < later.position;
            shown.extend(placed.iter().find(between).map(|read| at(read.source)));
            let (early, late) = (show::quoted(early), show::quoted(late));
            format!("{early} was added and acknowledged before {late} was; a read shows {late} and not {early}.")
        }
        _ => "These two are in the wrong order.".to_owned(),
    };
    Violation::new(ORDER, vec![story], &shown)
}

#[cfg(test)]
mod tests {
    use super::super::parse::parse;
    use super::*;

    /// `start end add element`, `start end read [elements]`, with `?` (unknown) or `!` (failed) in front of an add.
    fn verdict(text: &str) -> Option<(&'static str, Vec<usize>)> {
        let line = |line: &str| {
            let words: Vec<&str> = line.split_whitespace().collect();
            let (start, end) = (words[0], words[1]);
            let (op, arg, reply) = match words[2] {
                "read" => ("smembers", "null".to_owned(), format!("{:?}", &words[3..])),
                _ => ("sadd", format!("{:?}", words[3]), "1".to_owned()),
            };
            let outcome = match words[2] {
                "?add" => "unknown",
                "!add" => "fail",
                _ => "ok",
            };
            format!(
                "{{\"client\":1,\"op\":\"{op}\",\"key\":\"s\",\"arg\":{arg},\"start\":{start},\"end\":{end},\
                 \"outcome\":\"{outcome}\",\"reply\":{reply}}}\n"
            )
        };
        let history = parse(&text.lines().map(line).collect::<String>()).unwrap();
        let all: Vec<usize> = (0..history.operations.len()).collect();
        usable(&history, &all).unwrap();
        judge(&history, &all).map(|violation| (violation.promise, violation.lines))
    }

    #[test]
    fn a_set_that_grows_is_fine() {
        assert_eq!(
            verdict("0 9 add a\n0 9 add b\n1 2 read\n3 4 read b\n5 6 read b\n7 8 read a b\n10 11 read b a"),
            None
        );
        assert_eq!(verdict("0 1 ?add a\n2 3 read\n4 5 read a\n6 7 read a"), None);
        assert_eq!(verdict("0 1 ?add a\n0 1 !add b\n2 3 read\n4 5 read"), None);
    }

    #[test]
    fn lost_returned_and_invented_elements_are_found() {
        assert_eq!(verdict("0 1 add a\n2 3 read"), Some((ORDER, vec![1, 2])));
        assert_eq!(verdict("0 1 ?add a\n2 3 read a\n4 5 read"), Some((ORDER, vec![2, 3])));
        assert_eq!(verdict("0 1 read a\n2 3 ?add a"), Some((ORDER, vec![1, 2])));
        assert_eq!(verdict("0 1 add a\n2 3 add b\n1 9 read b"), Some((ORDER, vec![1, 2, 3])));
        assert_eq!(verdict("0 1 !add a\n2 3 read a"), Some((ELEMENTS, vec![1, 2])));
        assert_eq!(verdict("2 3 read x"), Some((ELEMENTS, vec![1])));
        assert_eq!(verdict("0 9 add a\n2 3 read a a"), Some((ELEMENTS, vec![2])));
        let both = "0 9 add a\n0 9 add b\n1 8 read a\n1 8 read b";
        assert_eq!(verdict(both), Some(("one order of effects", vec![1, 2, 3, 4])));
    }

    #[test]
    fn an_element_is_added_once() {
        let line = r#"{"client":1,"op":"sadd","key":"s","arg":"a","start":1,"end":2,"outcome":"ok"}"#;
        let history = parse(&format!("{line}\n{line}")).unwrap();
        assert!(
            usable(&history, &[0, 1]).unwrap_err().to_string().contains("line 2: element \"a\" is added in line 1")
        );
    }
}
