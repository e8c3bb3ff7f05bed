//! Tiny histories of all kinds, decided by trying every order: the checker must agree with each.

use std::collections::BTreeSet;

use holdfast::base::{Nanos, Rng};
use holdfast::check::history::{Action, Form, Micro, Operation, Outcome, Reply, SetOptions, Verb};

use super::generate::{text, workload};
use super::judge;
use super::world::World;

/// Whether some order of all operations that agrees with time explains every reply.
fn explained(operations: &[Operation], world: &World, left: u32, failed: &mut BTreeSet<(u32, World)>) -> bool {
    let is_left = |at: usize| left & (1 << at) != 0;
    if (0..operations.len()).all(|at| !is_left(at) || operations[at].outcome == Outcome::Unknown) {
        return true;
    }
    if failed.contains(&(left, world.clone())) {
        return false;
    }
    for at in (0..operations.len()).filter(|&at| is_left(at)) {
        let must_wait =
            (0..operations.len()).any(|other| is_left(other) && operations[other].precedes(&operations[at]));
        if must_wait {
            continue;
        }
        let mut after = world.clone();
        let Some(answered) = after.run(&operations[at].action) else { continue };
        let agrees = operations[at].outcome == Outcome::Unknown || agrees(&operations[at].action, &answered);
        if agrees && explained(operations, &after, left & !(1 << at), failed) {
            return true;
        }
    }
    failed.insert((left, world.clone()));
    false
}

/// Whether what was recorded is what was answered.
fn agrees(recorded: &Action, answered: &Action) -> bool {
    match (recorded, answered) {
        (Action::Registers(_, recorded), Action::Registers(_, answered)) => recorded
            .iter()
            .zip(answered)
            .all(|(recorded, answered)| recorded.reply.is_none() || recorded.reply == answered.reply),
        (Action::Transaction(recorded), Action::Transaction(answered)) => {
            recorded.iter().zip(answered).all(|pair| match pair {
                (Micro::Read { elements: recorded, .. }, Micro::Read { elements: answered, .. }) => {
                    recorded == answered
                }
                _ => true,
            })
        }
        (recorded, answered) => recorded == answered,
    }
}

fn decide(operations: &[Operation]) -> bool {
    let left = (0..operations.len()).filter(|&at| operations[at].outcome != Outcome::Fail).map(|at| 1 << at).sum();
    explained(operations, &World::default(), left, &mut BTreeSet::new())
}

/// A random tiny history: operations at random times, with replies of a random order that often agrees with them.
fn tiny(
    rng: &mut Rng,
    first: Vec<Action>,
    mut next: impl FnMut(&mut Rng) -> Action,
    mut bend: impl FnMut(&mut Rng, &mut Action),
) -> Vec<Operation> {
    let mut world = World::default();
    let mut operations = Vec::new();
    for action in first {
        world.run(&action).expect("first operations go well");
        let (start, end) = (Nanos(0), Some(Nanos(1)));
        operations.push(Operation { line: 0, client: 0, start, end, outcome: Outcome::Ok, action });
    }
    let count = 2 + rng.below(6);
    for client in 1..=count {
        // Mostly in the order in which they take effect, sometimes not at all.
        let middle = if rng.chance(1, 6) { 10 + rng.below(40) } else { 10 + 5 * client };
        let (start, end) = (Nanos(middle.saturating_sub(rng.below(9)).max(2)), Nanos(middle + rng.below(9)));
        let action = next(rng);
        let mut operation = Operation { line: 0, client, start, end: Some(end), outcome: Outcome::Ok, action };
        match rng.below(12) {
            0 => operation.outcome = Outcome::Fail,
            1 | 2 => {
                (operation.outcome, operation.end) = (Outcome::Unknown, None);
                if rng.chance(1, 2) {
                    world.run(&operation.action);
                }
            }
            _ => match world.run(&operation.action) {
                None => operation.outcome = Outcome::Fail,
                Some(answered) => {
                    operation.action = answered;
                    if rng.chance(1, 5) {
                        bend(rng, &mut operation.action);
                    }
                }
            },
        }
        operations.push(operation);
    }
    operations
}

/// Compares many; both verdicts must occur often.
fn compare(seed: u64, rounds: u64, mut make: impl FnMut(&mut Rng) -> Vec<Operation>) {
    let mut rng = Rng::new(seed);
    let mut counts = [0, 0];
    for round in 0..rounds {
        let operations = make(&mut rng);
        let expected = decide(&operations);
        let text = text(r#"{"history":1}"#, &operations);
        let report = judge(&text);
        assert_eq!(report.undecided().next(), None, "{report}");
        assert_eq!(report.is_valid(), expected, "round {round}, expected {expected}\n{text}\n{report}");
        counts[usize::from(expected)] += 1;
    }
    assert!(counts.iter().all(|&count| count > rounds / 10), "violated and valid ones: {counts:?}");
}

fn small_value(rng: &mut Rng) -> String {
    ["a", "b", "ab", "1"][rng.below(4) as usize].to_owned()
}

/// Any command, on values that meet again and again.
fn any_verb(rng: &mut Rng) -> Verb {
    let value = small_value(rng);
    let set = |value| SetOptions { value, ..SetOptions::default() };
    match rng.below(17) {
        0..3 => Verb::Get,
        3 => Verb::Set(SetOptions { if_absent: true, get: rng.chance(1, 2), ..set(value) }),
        4 => Verb::Set(SetOptions { if_present: true, get: rng.chance(1, 2), ..set(value) }),
        5 => Verb::Setnx(value),
        6 => Verb::Getset(value),
        7 => Verb::Getdel,
        8 => Verb::Del,
        9 => Verb::Exists,
        10 => Verb::Strlen,
        11 => Verb::Append(value),
        12 => Verb::Cas(if rng.chance(1, 2) { None } else { Some(value) }, small_value(rng)),
        _ => Verb::Set(set(value)),
    }
}

fn number_verb(rng: &mut Rng) -> Verb {
    match rng.below(8) {
        0..2 => Verb::Get,
        2 => Verb::Set(SetOptions { value: rng.below(4).to_string(), ..SetOptions::default() }),
        3 => Verb::Add(-1),
        4 => Verb::Add(2),
        5 => Verb::Del,
        6 => Verb::Append("1".to_owned()),
        _ => Verb::Add(1),
    }
}

/// Another reply of the same kind.
fn bend_reply(rng: &mut Rng, verb: &Verb, reply: &mut Option<Reply>) {
    *reply = match (&*reply, verb) {
        _ if rng.chance(1, 4) => None,
        (Some(Reply::Int(number)), Verb::Strlen | Verb::Append(_) | Verb::Add(_)) => Some(Reply::Int((number + 1) % 5)),
        (Some(Reply::Int(number)), _) => Some(Reply::Int(1 - number)),
        (Some(Reply::Text(_) | Reply::Nil), Verb::Set(set)) if !set.get => {
            let refusable = set.if_absent || set.if_present;
            Some(if refusable && rng.chance(1, 2) { Reply::Nil } else { Reply::Text("OK".to_owned()) })
        }
        _ if rng.chance(1, 3) => Some(Reply::Nil),
        _ => Some(Reply::Text(small_value(rng))),
    };
}

fn bend_registers(rng: &mut Rng, action: &mut Action) {
    if let Action::Registers(form, commands) = action
        && *form != Form::Mset
    {
        let at = rng.below(commands.len() as u64) as usize;
        let command = &mut commands[at];
        bend_reply(rng, &command.verb, &mut command.reply);
        if commands.iter().any(|command| command.reply.is_none()) {
            // The format records all replies of a command, or none.
            commands.iter_mut().for_each(|command| command.reply = None);
        }
    }
}

#[test]
fn one_key_with_all_commands() {
    compare(1, 12_000, |rng| tiny(rng, Vec::new(), |rng| workload::single("k", any_verb(rng)), bend_registers));
}

#[test]
fn one_key_with_reads_and_writes_only() {
    let verb = |rng: &mut Rng| match rng.below(5) {
        0..2 => Verb::Get,
        2 => Verb::Getset(small_value(rng)),
        _ => Verb::Set(SetOptions { value: small_value(rng), ..SetOptions::default() }),
    };
    compare(2, 12_000, |rng| tiny(rng, Vec::new(), |rng| workload::single("k", verb(rng)), bend_registers));
}

#[test]
fn numbers() {
    compare(3, 12_000, |rng| tiny(rng, Vec::new(), |rng| workload::single("n", number_verb(rng)), bend_registers));
}

#[test]
fn counters() {
    let verb = |rng: &mut Rng| if rng.chance(1, 3) { Verb::Get } else { Verb::Add(1) };
    let bend = |rng: &mut Rng, action: &mut Action| {
        if let Action::Registers(_, commands) = action {
            commands[0].reply = Some(match commands[0].verb {
                Verb::Get => Reply::Text(rng.below(5).to_string()),
                _ => Reply::Int(rng.below(5) as i64),
            });
        }
    };
    compare(4, 12_000, |rng| tiny(rng, Vec::new(), |rng| workload::single("n", verb(rng)), bend));
}

#[test]
fn keys_that_are_tied() {
    let next = |rng: &mut Rng| {
        let key = |rng: &mut Rng| ["k", "l", "m"][rng.below(3) as usize];
        let get = |key| workload::command(key, Verb::Get);
        match rng.below(6) {
            0 => Action::Registers(Form::Mget, vec![get("k"), get("l")]),
            1 => {
                let (a, b) = (workload::set(small_value(rng)), workload::set(small_value(rng)));
                Action::Registers(Form::Mset, vec![workload::command("l", a), workload::command("m", b)])
            }
            2 => {
                let commands = (0..2 + rng.below(2)).map(|_| workload::command(key(rng), any_verb(rng))).collect();
                Action::Registers(Form::Multi, commands)
            }
            _ => workload::single(key(rng), any_verb(rng)),
        }
    };
    compare(5, 12_000, |rng| tiny(rng, Vec::new(), next, bend_registers));
}

/// A write of unknown outcome to several keys, of which another write covers a part.
#[test]
fn writes_of_several_keys() {
    let next = |rng: &mut Rng| {
        let left_out = rng.below(4) as usize;
        let some = |verb: &mut dyn FnMut() -> Verb| {
            let keys = ["k", "l", "m"].into_iter().enumerate().filter(|&(at, _)| at != left_out);
            keys.map(|(_, key)| workload::command(key, verb())).collect()
        };
        match rng.below(5) {
            0..2 => Action::Registers(Form::Mset, some(&mut || workload::set(small_value(rng)))),
            2 => workload::single(["k", "l", "m"][rng.below(3) as usize], workload::set(small_value(rng))),
            _ => Action::Registers(Form::Mget, some(&mut || Verb::Get)),
        }
    };
    compare(9, 12_000, |rng| tiny(rng, Vec::new(), next, bend_registers));
}

#[test]
fn sets() {
    compare(6, 8_000, |rng| {
        let mut count = 0;
        let next = |rng: &mut Rng| {
            count += 1;
            let key = "s".to_owned();
            if rng.chance(1, 2) {
                return Action::SetRead { key, reply: None };
            }
            Action::SetAdd { key, element: format!("{count}"), reply: None }
        };
        let bend = |rng: &mut Rng, action: &mut Action| {
            if let Action::SetRead { reply: Some(elements), .. } = action {
                match rng.below(3) {
                    0 if !elements.is_empty() => {
                        elements.remove(rng.below(elements.len() as u64) as usize);
                    }
                    _ => elements.push((1 + rng.below(7)).to_string()),
                }
                elements.sort_unstable();
                elements.dedup();
            }
        };
        tiny(rng, Vec::new(), next, bend)
    });
}

#[test]
fn lists() {
    compare(7, 12_000, |rng| {
        let mut count = 0;
        let next = |rng: &mut Rng| {
            let mut micro = |rng: &mut Rng| {
                let key = ["x", "y"][rng.below(2) as usize].to_owned();
                count += 1;
                if rng.chance(1, 2) {
                    return Micro::Read { key, elements: None };
                }
                Micro::Append { key, element: count.to_string(), length: None }
            };
            Action::Transaction((0..1 + rng.below(3)).map(|_| micro(rng)).collect())
        };
        let bend = |rng: &mut Rng, action: &mut Action| {
            let Action::Transaction(micros) = action else { return };
            for micro in micros {
                match micro {
                    Micro::Read { elements: Some(elements), .. } if rng.chance(1, 2) => {
                        elements.pop();
                    }
                    Micro::Read { elements: Some(elements), .. } if rng.chance(1, 4) && elements.len() > 1 => {
                        elements.swap(0, 1);
                    }
                    _ => {}
                }
            }
        };
        let mut operations = tiny(rng, Vec::new(), next, bend);
        // Lengths are a check of their own; here it is about orders.
        for operation in &mut operations {
            if let Action::Transaction(micros) = &mut operation.action {
                for micro in micros {
                    if let Micro::Append { length, .. } = micro {
                        *length = None;
                    }
                }
            }
        }
        operations
    });
}

#[test]
fn banks() {
    let name = |account: u64| format!("a{account}");
    compare(8, 8_000, |rng| {
        let next = |rng: &mut Rng| {
            let bank = "b".to_owned();
            if rng.chance(1, 3) {
                return Action::Balances { bank, reply: None };
            }
            let (from, to) = (name(rng.below(3)), name(rng.below(3)));
            Action::Transfer { bank, from, to, amount: 1 + rng.below(2) as i64, reply: None }
        };
        let bend = |rng: &mut Rng, action: &mut Action| match action {
            Action::Transfer { reply: Some((left, right)), .. } => {
                *left += rng.below(3) as i64 - 1;
                *right += rng.below(2) as i64;
            }
            Action::Balances { reply: Some(balances), .. } => {
                balances[0].1 += rng.below(2) as i64;
                balances[1].1 -= rng.below(2) as i64;
            }
            _ => {}
        };
        let open = Action::Open { bank: "b".to_owned(), accounts: (0..3).map(|at| (name(at), 5)).collect() };
        tiny(rng, vec![open], next, bend)
    });
}
