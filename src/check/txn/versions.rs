//! The order of versions of each list, from what was read; and everything that is wrong without looking at the order
//! of transactions.

use std::collections::BTreeMap;

use crate::base::{HashMap, HashSet};
use crate::check::history::{Action, History, Micro, Operation, Outcome};
use crate::check::report::Violation;
use crate::check::show::{self, list};

const INTERNAL: &str = "a transaction's own view (internal)";

/// All lists and transactions of a history.
#[derive(Debug, Default)]
pub struct Lists<'a> {
    /// Transactions that took effect: positions in the history.
    pub transactions: Vec<usize>,
    pub lists: Vec<List<'a>>,
}

/// A list.
#[derive(Debug, Default)]
pub struct List<'a> {
    pub key: &'a str,
    /// The longest that was read: elements and which transaction appended each.
    pub order: Vec<(&'a str, usize)>,
    /// Somebody read it.
    pub was_read: bool,
    /// Appends that took effect and nobody read: they come after the order.
    pub unread: Vec<(&'a str, usize)>,
    /// Transactions that read it, and how many elements they saw that others had appended.
    pub reads: Vec<(usize, usize)>,
    /// A read that shows the whole order: position in the history.
    pub witness: Option<usize>,
}

/// Who appended an element, as which of the transaction's steps.
#[derive(Clone, Copy, Debug)]
struct Append {
    source: usize,
    micro: usize,
}

/// A list that was read, as it stands in the file.
#[derive(Clone, Copy)]
struct Read<'a> {
    source: usize,
    micro: usize,
    elements: &'a [String],
}

/// What all transactions did to one list.
#[derive(Default)]
struct Uses<'a> {
    appends: HashMap<&'a str, Append>,
    failed: HashMap<&'a str, usize>,
    reads: Vec<Read<'a>>,
    /// Appends in the order of the history, and the lengths that they were told.
    all: Vec<(&'a str, usize, Option<u64>)>,
}

/// Finds the order of versions. A list with a violation of its own has none.
pub fn find<'a>(history: &'a History, operations: &[usize]) -> (Lists<'a>, Vec<Violation>) {
    let mut uses: BTreeMap<&str, Uses> = BTreeMap::new();
    for &source in operations {
        let operation = &history.operations[source];
        for (at, micro) in micros(operation).iter().enumerate() {
            match micro {
                Micro::Append { key, element, length } => {
                    let uses = uses.entry(key).or_default();
                    if operation.outcome == Outcome::Fail {
                        uses.failed.insert(element, source);
                        continue;
                    }
                    uses.appends.insert(element, Append { source, micro: at });
                    uses.all.push((element, source, *length));
                }
                Micro::Read { key, elements: Some(elements) } if operation.outcome == Outcome::Ok => {
                    uses.entry(key).or_default().reads.push(Read { source, micro: at, elements });
                }
                Micro::Read { .. } => {}
            }
        }
    }
    let mut violations = Vec::new();
    let mut lists: Vec<List> = Vec::new();
    for (key, uses) in uses {
        match judge(history, key, &uses) {
            Ok(list) => lists.push(list),
            Err(violation) => violations.push(violation),
        }
    }
    let read: HashSet<usize> =
        lists.iter().flat_map(|list| list.order.iter().map(|&(_, transaction)| transaction)).collect();
    let counts = |source: &usize| match history.operations[*source].outcome {
        Outcome::Ok => true,
        Outcome::Unknown => read.contains(source),
        Outcome::Fail => false,
    };
    let transactions: Vec<usize> = operations.iter().copied().filter(counts).collect();
    // From here on transactions are counted among those that took effect.
    let numbers: HashMap<usize, usize> = transactions.iter().enumerate().map(|(at, &source)| (source, at)).collect();
    for list in &mut lists {
        list.unread.retain(|(_, source)| numbers.contains_key(source));
        let all = list.order.iter_mut().chain(&mut list.unread);
        all.for_each(|(_, transaction)| *transaction = numbers[transaction]);
        list.reads.iter_mut().for_each(|(transaction, _)| *transaction = numbers[transaction]);
    }
    (Lists { transactions, lists }, violations)
}

/// The steps of a transaction.
pub fn micros(operation: &Operation) -> &[Micro] {
    match &operation.action {
        Action::Transaction(micros) => micros,
        _ => &[],
    }
}

fn judge<'a>(history: &'a History, key: &'a str, uses: &Uses<'a>) -> Result<List<'a>, Violation> {
    let at = |source: usize| &history.operations[source];
    let quoted = show::quoted(key);
    let mut found = List { key, was_read: !uses.reads.is_empty(), ..List::default() };
    let longest = uses.reads.iter().max_by_key(|read| read.elements.len()).copied();
    let order: &[String] = longest.map_or(&[], |read| read.elements);
    found.witness = longest.map(|read| read.source);
    for read in &uses.reads {
        if let Some(longest) = longest
            && !order.starts_with(read.elements)
        {
            let differ = order.iter().zip(read.elements).position(|(a, b)| a != b).unwrap_or(0);
            let story = vec![
                format!("Two reads of {quoted} disagree about its element number {}:", differ + 1),
                format!("line {}: {}", at(longest.source).line, around(order, differ)),
                format!("line {}: {}", at(read.source).line, around(read.elements, differ)),
                "Elements are only ever appended, so one of the two must be a beginning of the other.".to_owned(),
            ];
            return Err(violation(
                "one order of versions (incompatible order)",
                story,
                &[at(longest.source), at(read.source)],
            ));
        }
    }
    // All other reads are beginnings of the longest one, so it is enough to look at its elements.
    let mut seen: HashSet<&str> = HashSet::default();
    let mut latest: HashMap<usize, usize> = HashMap::default();
    let reader = found.witness.unwrap_or(0);
    for element in order {
        let Some(append) = uses.appends.get(element.as_str()) else {
            if let Some(&failed) = uses.failed.get(element.as_str()) {
                let story = vec![format!(
                    "{element} is in {quoted} (line {}), but the transaction that appended it failed (line {}).",
                    at(reader).line,
                    at(failed).line
                )];
                return Err(violation("G1a, aborted read", story, &[at(failed), at(reader)]));
            }
            let story = vec![format!("{element} is in {quoted} (line {}), but nobody appended it.", at(reader).line)];
            return Err(violation("no invented elements (garbage read)", story, &[at(reader)]));
        };
        if !seen.insert(element) {
            let story = vec![format!("{element} is in {quoted} twice, but was appended once: the append ran twice.")];
            return Err(violation("exactly once (duplicate append)", story, &[at(append.source), at(reader)]));
        }
        if let Some(later) = latest.insert(append.source, append.micro)
            && later > append.micro
        {
            let story = vec![format!("{element} is in {quoted} behind what its own transaction appended after it.")];
            return Err(violation(INTERNAL, story, &[at(append.source), at(reader)]));
        }
        found.order.push((element, append.source));
    }
    for read in &uses.reads {
        found.reads.push((read.source, external(history, key, uses, *read)?));
    }
    lengths(history, key, uses, &found)?;
    let unread = uses.all.iter().filter(|(element, ..)| !seen.contains(element));
    found.unread = unread.map(|&(element, source, _)| (element, source)).collect();
    Ok(found)
}

/// Some read that shows an element.
fn first_with(uses: &Uses, element: &str) -> Option<usize> {
    uses.reads
        .iter()
        .filter(|read| read.elements.iter().any(|shown| shown == element))
        .min_by_key(|read| read.elements.len())
        .map(|read| read.source)
}

/// How many elements of others a read shows; its own transaction's must follow them.
fn external(history: &History, key: &str, uses: &Uses, read: Read) -> Result<usize, Violation> {
    let operation = &history.operations[read.source];
    let quoted = show::quoted(key);
    let own_before: Vec<&str> = micros(operation)[..read.micro]
        .iter()
        .filter_map(|micro| match micro {
            Micro::Append { key: other, element, .. } if other == key => Some(element.as_str()),
            _ => None,
        })
        .collect();
    let internal = |what: String| Err(violation(INTERNAL, vec![what], &[operation]));
    let others = match read.elements.len().checked_sub(own_before.len()) {
        Some(others) if read.elements[others..].iter().eq(&own_before) => others,
        _ => {
            return internal(format!(
                "The transaction appended {} to {quoted} and then read it as {}.",
                own_before.join(", "),
                list(read.elements)
            ));
        }
    };
    let earlier = micros(operation)[..read.micro].iter().rev().enumerate().find_map(|(back, micro)| match micro {
        Micro::Read { key: other, elements: Some(elements) } if other == key => {
            let before = read.micro - 1 - back;
            let own = micros(operation)[..before].iter().filter(|micro| is_append(micro, key)).count();
            Some(elements.len().saturating_sub(own))
        }
        _ => None,
    });
    if earlier.is_some_and(|earlier| earlier != others) {
        return internal(format!("The transaction read {quoted} twice, and others appended to it in between."));
    }
    let Some(last) = others.checked_sub(1).map(|last| &read.elements[last]) else { return Ok(0) };
    let Some(append) = uses.appends.get(last.as_str()) else { return Ok(others) };
    if append.source == read.source {
        return internal(format!("The transaction read {last} in {quoted} before it appended it."));
    }
    let writer = &history.operations[append.source];
    let next = micros(writer)[append.micro + 1..].iter().find(|micro| is_append(micro, key));
    if let Some(Micro::Append { element, .. }) = next {
        let story = vec![format!(
            "Line {} read {quoted} with {last} but without {element}, which the same transaction (line {}) appended \
             after it: it saw half of a transaction.",
            operation.line, writer.line
        )];
        return Err(violation("G1b, intermediate read", story, &[writer, operation]));
    }
    Ok(others)
}

fn is_append(micro: &Micro, key: &str) -> bool {
    matches!(micro, Micro::Append { key: other, .. } if other == key)
}

/// Whether the lengths that appends were told are those of the string at that version.
fn lengths(history: &History, key: &str, uses: &Uses, list: &List) -> Result<(), Violation> {
    let mut bytes = 0;
    let mut ends: HashMap<&str, u64> = HashMap::default();
    for (element, _) in &list.order {
        bytes += element.len() as u64 + 1;
        ends.insert(element, bytes);
    }
    for &(element, source, length) in &uses.all {
        if let (Some(told), Some(&end)) = (length, ends.get(element))
            && told != end
        {
            let story = vec![format!(
                "The append of {element} to {} was told a length of {told} bytes, but what was read up to it has {end}.",
                show::quoted(key)
            )];
            let reader = first_with(uses, element).unwrap_or(source);
            let operations = [&history.operations[source], &history.operations[reader]];
            return Err(violation("one order of versions (wrong length)", story, &operations));
        }
    }
    Ok(())
}

/// Elements around a position.
fn around(elements: &[String], position: usize) -> String {
    let from = position.saturating_sub(3);
    let to = (position + 4).min(elements.len());
    let dots = |is_cut: bool| if is_cut { ".. " } else { "" };
    let end = if to < elements.len() { " .." } else { "" };
    format!("[{}{}{end}]", dots(from > 0), elements[from..to].join(" "))
}

fn violation(promise: &'static str, story: Vec<String>, operations: &[&Operation]) -> Violation {
    let mut operations = operations.to_vec();
    operations.sort_by_key(|operation| operation.line);
    operations.dedup_by_key(|operation| operation.line);
    Violation::new(promise, story, &operations)
}
