//! Valid histories by construction: clients ask a single copy of the data, each operation takes effect at one moment
//! between its start and its end, and only the client's view is written down.

use std::collections::BTreeMap;

use holdfast::base::{Nanos, Rng};
use holdfast::check::history::{Action, Operation, Outcome};

use super::world::{World, line};

/// How a run is made.
#[derive(Clone, Copy)]
pub struct Run {
    pub clients: u64,
    pub operations: usize,
    /// How many of a thousand outcomes the clients do not learn.
    pub unknown_permille: u64,
    /// Longest time between start and effect, and between effect and end.
    pub delay: u64,
    /// Longest pause of a client between two operations.
    pub pause: u64,
}

/// What is due when.
enum Due {
    Start,
    Effect { at: usize },
    End { at: usize },
}

/// A valid history; `next` chooses what a client does next.
pub fn valid(seed: u64, run: Run, next: impl FnMut(&mut Rng, u64) -> Action) -> Vec<Operation> {
    valid_after(Vec::new(), seed, run, next)
}

/// The same, after operations that were made one by one before.
pub fn valid_after(
    first: Vec<Action>,
    seed: u64,
    run: Run,
    mut next: impl FnMut(&mut Rng, u64) -> Action,
) -> Vec<Operation> {
    let mut rng = Rng::new(seed);
    let mut world = World::default();
    let mut operations: Vec<Operation> = Vec::with_capacity(run.operations);
    for (at, action) in first.into_iter().enumerate() {
        let action = world.run(&action).expect("first operations go well");
        let (start, end) = (Nanos(2 * at as u64), Some(Nanos(2 * at as u64 + 1)));
        operations.push(Operation { line: 0, client: 0, start, end, outcome: Outcome::Ok, action });
    }
    let begin = 2 * operations.len() as u64;
    // By time and a number that makes each moment unique.
    let mut queue: BTreeMap<(u64, u64), (u64, Due)> = BTreeMap::new();
    let mut ticket = 0;
    let mut later = |queue: &mut BTreeMap<(u64, u64), (u64, Due)>, time: u64, client: u64, due: Due| {
        ticket += 1;
        queue.insert((time, ticket), (client, due));
    };
    for client in 1..=run.clients {
        later(&mut queue, begin + rng.below(run.pause + 1), client, Due::Start);
    }
    while let Some(((now, _), (client, due))) = queue.pop_first() {
        match due {
            Due::Start if operations.len() == run.operations => {}
            Due::Start => {
                let at = operations.len();
                let action = next(&mut rng, client);
                let (start, outcome) = (Nanos(now), Outcome::Unknown);
                operations.push(Operation { line: 0, client, start, end: None, outcome, action });
                let effect = now + 1 + rng.below(run.delay);
                if !rng.chance(run.unknown_permille, 1000) {
                    later(&mut queue, effect, client, Due::Effect { at });
                    continue;
                }
                // The client gives up; the operation may be lost, or take effect much later.
                if rng.chance(1, 2) {
                    later(&mut queue, now + 1 + rng.below(20 * run.delay), 0, Due::Effect { at });
                }
                later(&mut queue, effect + rng.below(run.pause + 1), client, Due::Start);
            }
            Due::Effect { at } => {
                world.now = now;
                let answered = world.run(&operations[at].action);
                if client == 0 {
                    continue;
                }
                operations[at].outcome = if answered.is_some() { Outcome::Ok } else { Outcome::Fail };
                if let Some(action) = answered {
                    operations[at].action = action;
                }
                later(&mut queue, now + 1 + rng.below(run.delay), client, Due::End { at });
            }
            Due::End { at } => {
                operations[at].end = Some(Nanos(now));
                later(&mut queue, now + rng.below(run.pause + 1), client, Due::Start);
            }
        }
    }
    operations
}

/// The text of a file.
pub fn text(header: &str, operations: &[Operation]) -> String {
    let mut text = header.to_owned() + "\n";
    for operation in operations {
        text.push_str(&line(operation));
        text.push('\n');
    }
    text
}

/// Workloads as the runner of real processes has them.
pub mod workload {
    use holdfast::check::history::{Command, Form, Micro, SetOptions, Verb};

    use super::*;

    pub fn command(key: impl Into<String>, verb: Verb) -> Command {
        Command { key: key.into(), verb, reply: None }
    }

    pub fn single(key: impl Into<String>, verb: Verb) -> Action {
        Action::Registers(Form::Single, vec![command(key, verb)])
    }

    pub fn set(value: impl Into<String>) -> Verb {
        Verb::Set(SetOptions { value: value.into(), ..SetOptions::default() })
    }

    /// Reads and unique writes of a few keys.
    pub fn plain(keys: u64) -> impl FnMut(&mut Rng, u64) -> Action {
        let mut count = 0;
        move |rng, client| {
            let key = format!("k{}", rng.below(keys));
            if rng.chance(1, 2) {
                return single(key, Verb::Get);
            }
            count += 1;
            single(key, set(format!("{client}:{count}")))
        }
    }

    /// All commands on strings.
    pub fn mixed(keys: u64) -> impl FnMut(&mut Rng, u64) -> Action {
        let mut count = 0;
        move |rng, client| {
            count += 1;
            let value = format!("{client}:{count}");
            let key = rng.below(keys);
            let option = |rng: &mut Rng| rng.chance(1, 3);
            let name = format!("k{key}");
            let text = |rng: &mut Rng| match rng.below(14) {
                0..4 => Verb::Get,
                4 => Verb::Set(SetOptions { if_absent: option(rng), get: option(rng), value, ..SetOptions::default() }),
                5 => Verb::Set(SetOptions { if_present: true, get: option(rng), value, ..SetOptions::default() }),
                6 => Verb::Setnx(value),
                7 => Verb::Getset(value),
                8 => Verb::Getdel,
                9 => Verb::Del,
                10 => Verb::Exists,
                11 => Verb::Strlen,
                12 => Verb::Append(format!("{value},")),
                _ => set(value),
            };
            let number = |rng: &mut Rng| match rng.below(6) {
                0..2 => Verb::Get,
                2 => set(rng.below(100).to_string()),
                3 => Verb::Add(1),
                4 => Verb::Add(rng.below(20) as i64 - 10),
                _ => Verb::Cas(Some(rng.below(100).to_string()), rng.below(100).to_string()),
            };
            // Odd keys are numbers; neighbours of the same kind are sometimes used together.
            let verb = if key % 2 == 0 { text(rng) } else { number(rng) };
            let other = format!("k{}", key / 4 * 4 + (key + 2) % 4);
            match rng.below(12) {
                0 => Action::Registers(Form::Mget, vec![command(name, Verb::Get), command(other, Verb::Get)]),
                1 if key % 2 == 0 => {
                    let (a, b) = (set(format!("a{count}")), set(format!("b{count}")));
                    Action::Registers(Form::Mset, vec![command(name, a), command(other, b)])
                }
                2 => Action::Registers(Form::Multi, vec![command(name, verb), command(other, Verb::Get)]),
                _ => single(name, verb),
            }
        }
    }

    /// Keys with deadlines.
    pub fn expiry(keys: u64) -> impl FnMut(&mut Rng, u64) -> Action {
        let mut count = 0;
        move |rng, client| {
            count += 1;
            let value = format!("{client}:{count}");
            let ms = 5 + rng.below(60);
            let verb = match rng.below(10) {
                0 => Verb::Set(SetOptions { value, px: Some(ms), ..SetOptions::default() }),
                1 => Verb::Set(SetOptions { value, px: Some(ms), if_absent: true, ..SetOptions::default() }),
                2 => match rng.below(6) {
                    0 => set(value),
                    1 => Verb::Set(SetOptions { value, keep_deadline: true, ..SetOptions::default() }),
                    2 => Verb::Pexpire(ms),
                    3 => Verb::Persist,
                    4 => Verb::Del,
                    _ => Verb::Append(value),
                },
                3 => Verb::Exists,
                _ => Verb::Get,
            };
            single(format!("k{}", rng.below(keys)), verb)
        }
    }

    /// Increments and reads.
    pub fn counter(keys: u64) -> impl FnMut(&mut Rng, u64) -> Action {
        move |rng, _| {
            let verb = if rng.chance(2, 3) { Verb::Add(1) } else { Verb::Get };
            single(format!("n{}", rng.below(keys)), verb)
        }
    }

    /// A set that grows.
    pub fn grow() -> impl FnMut(&mut Rng, u64) -> Action {
        let mut count = 0;
        move |rng, _| {
            count += 1;
            let key = "s".to_owned();
            if rng.chance(1, 4) {
                return Action::SetRead { key, reply: None };
            }
            Action::SetAdd { key, element: count.to_string(), reply: None }
        }
    }

    /// Transactions over lists.
    pub fn lists(keys: u64) -> impl FnMut(&mut Rng, u64) -> Action {
        let mut count = 0;
        move |rng, _| {
            let micro = |rng: &mut Rng| {
                count += 1;
                // New keys from time to time, so that lists stay short.
                let key = format!("l{}", rng.below(keys) + count / 200 * keys);
                if rng.chance(1, 2) {
                    return Micro::Read { key, elements: None };
                }
                Micro::Append { key, element: count.to_string(), length: None }
            };
            let steps = 1 + rng.below(4);
            let mut micro = micro;
            Action::Transaction((0..steps).map(|_| micro(rng)).collect())
        }
    }

    /// Money between accounts.
    pub fn bank(accounts: u64) -> impl FnMut(&mut Rng, u64) -> Action {
        let name = |account: u64| format!("a{account}");
        move |rng, _| {
            let bank = "bank".to_owned();
            if rng.chance(1, 4) {
                return Action::Balances { bank, reply: None };
            }
            let from = rng.below(accounts);
            let to = (from + 1 + rng.below(accounts - 1)) % accounts;
            let amount = 1 + rng.below(5) as i64;
            Action::Transfer { bank, from: name(from), to: name(to), amount, reply: None }
        }
    }
}
