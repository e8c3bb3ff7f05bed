//! Contradictions put into valid histories, each certain by construction, must all be found; without them the same
//! histories are valid.

use holdfast::base::{Nanos, Rng};
use holdfast::check::history::{Action, Micro, Operation, Outcome, Reply, Verb};

use super::generate::{Run, text, valid, valid_after, workload};
use super::{judge, world};

const HEADER: &str = r#"{"history":1,"workload":"planted"}"#;
const RUN: Run = Run { clients: 8, operations: 600, unknown_permille: 15, delay: 5_000, pause: 3_000 };

/// A command on one key and its reply.
fn command(operation: &Operation) -> Option<(&str, &Verb, &Option<Reply>)> {
    match &operation.action {
        Action::Registers(_, commands) if commands.len() == 1 => {
            Some((&commands[0].key, &commands[0].verb, &commands[0].reply))
        }
        _ => None,
    }
}

/// A client that nobody else is, right after a moment.
fn read_after(moment: Nanos, action: Action) -> Operation {
    let (start, end) = (Nanos(moment.0 + 1), Some(Nanos(moment.0 + 2)));
    Operation { line: 0, client: 999, start, end, outcome: Outcome::Ok, action }
}

/// A read of a unique value, begun after another acknowledged write had begun after the value's own write had ended,
/// and had ended itself.
fn stale_read(operations: &[Operation], rng: &mut Rng) -> Operation {
    let writes: Vec<(&Operation, &str, &str)> = operations
        .iter()
        .filter(|operation| operation.outcome == Outcome::Ok)
        .filter_map(|operation| match command(operation)? {
            (key, Verb::Set(set), _) => Some((operation, key, set.value.as_str())),
            _ => None,
        })
        .collect();
    loop {
        let (first, key, value) = *rng.pick(&writes);
        let later: Vec<_> =
            writes.iter().filter(|(second, other, _)| *other == key && first.precedes(second)).collect();
        if let Some((second, ..)) = later.get(rng.below(8) as usize) {
            let mut action = workload::single(key, Verb::Get);
            if let Action::Registers(_, commands) = &mut action {
                commands[0].reply = Some(Reply::Text(value.to_owned()));
            }
            return read_after(second.end.expect("acknowledged"), action);
        }
    }
}

#[test]
fn two_hundred_stale_reads_are_all_found() {
    let mut rng = Rng::new(7);
    for seed in 0..200 {
        let mut operations = valid(seed, RUN, workload::plain(3));
        let before = judge(&text(HEADER, &operations));
        assert!(before.is_valid(), "seed {seed}: {before}");
        operations.push(stale_read(&operations, &mut rng));
        let report = judge(&text(HEADER, &operations));
        let violations: Vec<_> = report.violations().collect();
        assert_eq!(violations.len(), 1, "seed {seed}: {report}");
        // The planted read is the last line; it, its write and one that came between are enough.
        let planted = operations.len() + 1;
        let (_, violation) = violations[0];
        assert!(violation.lines.contains(&planted), "seed {seed}: line {planted}\n{report}");
        assert!(violation.lines.len() <= 6, "seed {seed}: {report}");
    }
}

/// Plants something into each of many valid histories and demands that it is found.
fn found(make: impl Fn(u64) -> Vec<Operation>, plant: impl Fn(&mut Vec<Operation>, &mut Rng) -> bool) {
    let mut rng = Rng::new(11);
    let mut planted = 0;
    for seed in 0..40 {
        let mut operations = make(seed);
        let before = judge(&text(HEADER, &operations));
        assert!(before.is_valid(), "seed {seed}: {before}");
        if plant(&mut operations, &mut rng) {
            planted += 1;
            let report = judge(&text(HEADER, &operations));
            assert!(report.violations().next().is_some(), "seed {seed}: {report}");
        }
    }
    assert!(planted >= 30, "only {planted} of 40 histories had room for it");
}

/// Positions of operations for which something is given, some order.
fn some<T>(operations: &[Operation], rng: &mut Rng, fits: impl Fn(&Operation) -> Option<T>) -> Option<(usize, T)> {
    let first = rng.below(operations.len() as u64) as usize;
    let all = (first..operations.len()).chain(0..first);
    all.filter(|&at| operations[at].outcome == Outcome::Ok).find_map(|at| Some((at, fits(&operations[at])?)))
}

#[test]
fn a_lost_increment_is_found() {
    found(
        |seed| valid(seed, RUN, workload::counter(2)),
        |operations, rng| {
            // One INCR is told what another was told, so that some number counts twice.
            let number = |operation: &Operation| match command(operation)? {
                (key, Verb::Add(1), Some(Reply::Int(number))) => Some((key.to_owned(), *number)),
                _ => None,
            };
            let Some((at, (key, told))) = some(operations, rng, number) else { return false };
            let same = |operation: &Operation| number(operation).filter(|(other, n)| *other == key && *n != told);
            let Some((other, _)) = some(operations, rng, same) else { return false };
            operations[other].action = operations[at].action.clone();
            true
        },
    );
}

#[test]
fn an_acknowledged_write_called_failed_is_found() {
    found(
        |seed| valid(seed, RUN, workload::plain(2)),
        |operations, rng| {
            let values: Vec<Reply> = operations
                .iter()
                .filter_map(|operation| command(operation)?.2.clone())
                .filter(|reply| matches!(reply, Reply::Text(text) if text != "OK"))
                .collect();
            let seen = |operation: &Operation| match command(operation)? {
                (_, Verb::Set(set), _) => values.contains(&Reply::Text(set.value.clone())).then_some(()),
                _ => None,
            };
            let Some((at, ())) = some(operations, rng, seen) else { return false };
            operations[at].outcome = Outcome::Fail;
            true
        },
    );
}

#[test]
fn a_missing_element_is_found() {
    found(
        |seed| valid(seed, RUN, workload::grow()),
        |operations, rng| {
            let read = |operation: &Operation| match &operation.action {
                Action::SetRead { reply: Some(elements), .. } if elements.len() > 20 => Some(operation.start),
                _ => None,
            };
            let Some((at, start)) = some(operations, rng, read) else { return false };
            let before = |operation: &Operation| match &operation.action {
                Action::SetAdd { element, .. } if operation.end? < start => Some(element.clone()),
                _ => None,
            };
            let Some((_, lost)) = some(operations, rng, before) else { return false };
            if let Action::SetRead { reply: Some(elements), .. } = &mut operations[at].action {
                elements.retain(|element| *element != lost);
            }
            true
        },
    );
}

#[test]
fn a_stale_list_is_found() {
    found(
        |seed| valid(seed, RUN, workload::lists(3)),
        |operations, rng| {
            // A transaction of its own reads a list as it was before an acknowledged append.
            let longest = operations.iter().flat_map(|operation| match &operation.action {
                Action::Transaction(micros) => micros.clone(),
                _ => Vec::new(),
            });
            let longest = longest
                .filter_map(|micro| match micro {
                    Micro::Read { key, elements: Some(elements) } => Some((key, elements)),
                    _ => None,
                })
                .max_by_key(|(_, elements)| elements.len());
            let Some((key, elements)) = longest.filter(|(_, elements)| elements.len() > 2) else { return false };
            let cut = 1 + rng.below(elements.len() as u64 - 1) as usize;
            let appended = |operation: &Operation| match &operation.action {
                Action::Transaction(micros) => micros
                    .iter()
                    .any(|micro| matches!(micro, Micro::Append { element, .. } if *element == elements[cut])),
                _ => false,
            };
            let Some(end) = operations.iter().find(|operation| appended(operation)).and_then(|writer| writer.end)
            else {
                return false;
            };
            let elements = Some(elements[..cut].to_vec());
            let micro = Micro::Read { key, elements };
            operations.push(read_after(end, Action::Transaction(vec![micro])));
            true
        },
    );
}

fn opened(seed: u64, unknown_permille: u64) -> Vec<Operation> {
    let accounts = (0..5).map(|account| (format!("a{account}"), 100)).collect();
    let open = Action::Open { bank: "bank".to_owned(), accounts };
    valid_after(vec![open], seed, Run { operations: 250, unknown_permille, ..RUN }, workload::bank(5))
}

/// Spoils one read of all balances, which must be found.
fn found_in_a_read(spoil: impl Fn(&mut Vec<(String, i64)>)) {
    let make = |seed| opened(seed, RUN.unknown_permille);
    found(make, |operations, rng| {
        let read = |operation: &Operation| match &operation.action {
            Action::Balances { reply: Some(_), .. } => Some(()),
            _ => None,
        };
        let Some((at, ())) = some(operations, rng, read) else { return false };
        if let Action::Balances { reply: Some(reply), .. } = &mut operations[at].action {
            spoil(reply);
        }
        true
    });
}

#[test]
fn money_made_is_found() {
    found_in_a_read(|reply| reply[0].1 += 1);
}

#[test]
fn a_lost_account_is_found() {
    found_in_a_read(|reply| drop(reply.pop()));
}

#[test]
fn a_stale_view_of_a_bank_is_found() {
    // All outcomes are known, so in the end there is one state only.
    found(
        |seed| opened(seed, 0),
        |operations, rng| {
            let mut world = world::World::default();
            operations.iter().for_each(|operation| drop(world.run(&operation.action)));
            let look = Action::Balances { bank: "bank".to_owned(), reply: None };
            let Some(Action::Balances { reply: Some(last), .. }) = world.run(&look) else { return false };
            let other = |operation: &Operation| match &operation.action {
                Action::Balances { reply: Some(reply), .. } if *reply != last => Some(reply.clone()),
                _ => None,
            };
            let Some((_, stale)) = some(operations, rng, other) else { return false };
            let end = operations.iter().filter_map(|operation| operation.end).max().expect("something ended");
            operations.push(read_after(end, Action::Balances { bank: "bank".to_owned(), reply: Some(stale) }));
            true
        },
    );
}

#[test]
fn values_that_outlive_their_deadline_or_die_early_are_found() {
    const MS: u64 = 1_000_000;
    let make = |seed| {
        valid(seed, Run { delay: MS, pause: 2 * MS, operations: 200, unknown_permille: 0, ..RUN }, workload::expiry(4))
    };
    let given = |operation: &Operation| match command(operation)? {
        (key, Verb::Set(set), Some(Reply::Text(_))) => {
            Some((key.to_owned(), set.value.clone(), set.px?, operation.start, operation.end?))
        }
        _ => None,
    };
    let read = |key: &str, reply: Reply, moment: u64| {
        let mut action = workload::single(key, Verb::Get);
        if let Action::Registers(_, commands) = &mut action {
            commands[0].reply = Some(reply);
        }
        read_after(Nanos(moment), action)
    };
    // Nobody gives the same value again, and KEEPTTL or APPEND make other values.
    found(make, |operations, rng| {
        // Nothing could give the key a later deadline, or take the deadline away, while the value lived.
        let unprolonged = |operation: &Operation| {
            let (key, value, px, start, end) = given(operation)?;
            let last = Nanos(end.0 + (px + 2) * MS);
            let prolongs = |other: &Operation| {
                matches!(command(other), Some((name, Verb::Pexpire(_) | Verb::Persist, _)) if name == key)
                    && other.start <= last
                    && other.end.is_none_or(|ended| ended >= start)
            };
            (!operations.iter().any(prolongs)).then_some((key, value, px, end))
        };
        let Some((_, (key, value, px, end))) = some(operations, rng, unprolonged) else { return false };
        operations.push(read(&key, Reply::Text(value), end.0 + (px + 2) * MS));
        true
    });
    found(make, |operations, rng| {
        // Nothing, right after the value was given: nobody deletes on this key meanwhile.
        let quiet = |operation: &Operation| {
            let (key, value, px, start, end) = given(operation)?;
            let overlaps = |other: &Operation| {
                command(other).is_some_and(|(name, ..)| name == key)
                    && other.start != start
                    && other.start <= Nanos(end.0 + 2)
                    && other.end.is_none_or(|other| other >= start)
            };
            let alone =
                !operations.iter().any(|other| !matches!(command(other), Some((_, Verb::Get, _))) && overlaps(other));
            (alone && start.0 + px * MS > end.0 + 2 * MS).then_some((key, value, end))
        };
        let Some((_, (key, _, end))) = some(operations, rng, quiet) else { return false };
        operations.push(read(&key, Reply::Nil, end.0));
        true
    });
}

#[test]
fn a_history_is_the_same_after_it_was_written_and_read() {
    let operations = valid(3, Run { operations: 300, ..RUN }, workload::mixed(6));
    let written = text(HEADER, &operations);
    let read = holdfast::check::parse(&written).expect("usable");
    for (before, after) in operations.iter().zip(&read.operations) {
        assert_eq!(world::line(before), world::line(after));
    }
    assert_eq!(operations.len(), read.operations.len());
}

/// An unknown outcome may have kept a value alive: PERSIST, or a later deadline.
#[test]
fn deadlines_that_somebody_may_have_taken_away_are_no_contradiction() {
    let lines = |unknown: &str| {
        let rest = r#""key":"k","#;
        format!(
            r#"{{"client":1,"op":"set",{rest}"arg":{{"value":"v","px":5}},"start":0,"end":1000,"outcome":"ok","reply":"OK"}}
{{"client":2,{unknown},{rest}"start":2000000,"outcome":"unknown"}}
{{"client":1,"op":"get",{rest}"arg":null,"start":20000000,"end":20001000,"outcome":"ok","reply":"v"}}
"#
        )
    };
    for (unknown, valid) in [
        (r#""op":"persist","arg":null"#, true),
        (r#""op":"pexpire","arg":500"#, true),
        (r#""op":"set","arg":"v""#, true),
        (r#""op":"get","arg":null"#, false),
        (r#""op":"append","arg":"w""#, false),
    ] {
        let report = judge(&lines(unknown));
        assert_eq!(report.is_valid(), valid, "{unknown}\n{report}");
    }
    for seed in 0..40 {
        let run = Run { delay: 1_000_000, pause: 2_000_000, operations: 200, ..RUN };
        let report = judge(&text(HEADER, &valid(seed, run, workload::expiry(3))));
        assert!(report.violations().next().is_none(), "seed {seed}: {report}");
    }
}
