//! Which operations belong together. Linearizability is local (Herlihy and Wing, "Linearizability", 1990, theorem 1):
//! objects can be judged one by one. An object is a key, or all keys that some command names together.

use std::collections::BTreeMap;

use super::history::{Action, History, Micro, Outcome, Reply, Verb};
use super::linear::problem::{Object as Cells, Role};
use super::report::{Judged, Verdict};
use super::{Budget, Unusable, bank, counter, linear, set, txn};
use crate::base::HashMap;

/// Operations that are judged together: positions in the history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    pub kind: Kind,
    /// Sorted.
    pub keys: Vec<String>,
    pub operations: Vec<usize>,
}

/// What an object is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Strings.
    Registers,
    /// A string that is only incremented by 1 and read.
    Counter,
    /// A set that only grows.
    Set,
    /// All lists of transactions.
    Lists,
    /// Accounts.
    Bank,
}

impl Object {
    /// Judges it.
    pub fn judge(&self, history: &History, budget: &mut Budget) -> Judged {
        let operations = &self.operations;
        let (kind, verdict) = match self.kind {
            Kind::Registers => ("registers", linear::explain::judge(&self.cells(history), history, operations, budget)),
            Kind::Counter => ("counters", one(counter::judge(history, operations))),
            Kind::Set => ("sets", one(set::judge(history, operations))),
            Kind::Lists => ("transactions", txn::judge(history, operations, budget)),
            Kind::Bank => ("banks", bank::judge(history, operations, budget)),
        };
        Judged { subject: self.subject(), kind, operations: operations.len(), verdict }
    }

    fn cells(&self, history: &History) -> Cells {
        let all = self.operations.iter().map(|&at| (&history.operations[at], Role::Firm));
        Cells::of_registers(self.keys.clone(), all, history.header.clock_slack)
    }

    fn subject(&self) -> String {
        const SHOWN_MAX: usize = 5;
        let keys: Vec<_> = self.keys.iter().take(SHOWN_MAX).map(|key| format!("{key:?}")).collect();
        let more = self.keys.len().saturating_sub(SHOWN_MAX);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        let name = match (self.kind, self.keys.len()) {
            (Kind::Bank, _) => "bank",
            (Kind::Set, _) => "set",
            (Kind::Counter, _) => "counter",
            (Kind::Lists, 1) => "list",
            (Kind::Lists, _) => "lists",
            (Kind::Registers, 1) => "key",
            (Kind::Registers, _) => "keys",
        };
        format!("{name} {}{more}", keys.join(", "))
    }
}

fn one(violation: Option<super::Violation>) -> Verdict {
    violation.map_or(Verdict::Valid, |violation| Verdict::Violated(vec![violation]))
}

/// All objects of a history, in the order of their first keys.
pub fn find(history: &History) -> Result<Vec<Object>, Unusable> {
    let mut uses = Uses::default();
    for (at, operation) in history.operations.iter().enumerate() {
        let line = operation.line;
        match &operation.action {
            Action::Registers(_, commands) => {
                let mut tied = None;
                for command in commands {
                    let key = uses.key(&command.key, Kind::Registers, line)?;
                    tied = Some(tied.map_or(key, |tied| uses.tie(tied, key)));
                }
            }
            Action::Transaction(micros) => {
                // One database: a cycle may go through any of its keys.
                for micro in micros {
                    let (Micro::Append { key, .. } | Micro::Read { key, .. }) = micro;
                    let key = uses.key(key, Kind::Lists, line)?;
                    let first = *uses.lists.get_or_insert(key);
                    uses.tie(first, key);
                }
            }
            Action::SetAdd { key, .. } | Action::SetRead { key, .. } => {
                uses.key(key, Kind::Set, line)?;
            }
            Action::Open { bank, .. } | Action::Transfer { bank, .. } | Action::Balances { bank, .. } => {
                uses.key(bank, Kind::Bank, line)?;
            }
        }
        // Each operation has a key, and all its keys are tied: any of them finds the object.
        uses.first.push((at, uses.last));
    }
    let mut objects: BTreeMap<usize, Object> = BTreeMap::new();
    for key in 0..uses.names.len() {
        let root = uses.root(key);
        let object = Object { kind: uses.kinds[key], keys: Vec::new(), operations: Vec::new() };
        objects.entry(root).or_insert(object).keys.push(uses.names[key].clone());
    }
    for (at, key) in std::mem::take(&mut uses.first) {
        let root = uses.root(key);
        if let Some(object) = objects.get_mut(&root) {
            object.operations.push(at);
        }
    }
    let mut objects: Vec<Object> = objects.into_values().collect();
    for object in &mut objects {
        object.keys.sort_unstable();
        if object.kind == Kind::Registers && is_counter(history, object) {
            object.kind = Kind::Counter;
        }
        match object.kind {
            Kind::Set => set::usable(history, &object.operations)?,
            Kind::Bank => bank::usable(history, &object.operations)?,
            Kind::Lists => txn::usable(history, &object.operations)?,
            Kind::Registers | Kind::Counter => {}
        }
    }
    objects.sort_by(|a, b| a.keys.cmp(&b.keys));
    Ok(objects)
}

/// Whether only increments by 1 with recorded replies, and reads of numbers, were made.
fn is_counter(history: &History, object: &Object) -> bool {
    let mut increments = false;
    let fits = object.operations.iter().all(|&at| {
        let operation = &history.operations[at];
        let Action::Registers(_, commands) = &operation.action else { return false };
        let [command] = commands.as_slice() else { return false };
        increments |= command.verb == Verb::Add(1);
        match (&command.verb, &command.reply) {
            (Verb::Add(1), reply) => operation.outcome != Outcome::Ok || reply.is_some(),
            // Nothing leaves a 0 where there was no key.
            (Verb::Get, Some(Reply::Text(text))) => counter::number(text).is_some_and(|number| number > 0),
            (Verb::Get, _) => true,
            _ => false,
        }
    });
    fits && increments
}

/// Keys and which are tied.
#[derive(Default)]
struct Uses {
    names: Vec<String>,
    kinds: Vec<Kind>,
    parents: Vec<usize>,
    numbers: HashMap<String, usize>,
    /// Some list.
    lists: Option<usize>,
    /// The key that was used last.
    last: usize,
    /// Operations and one of the keys of each.
    first: Vec<(usize, usize)>,
}

impl Uses {
    /// The number of a key, new or known.
    fn key(&mut self, name: &str, kind: Kind, line: usize) -> Result<usize, Unusable> {
        let number = match self.numbers.get(name) {
            Some(&number) => number,
            None => {
                let number = self.names.len();
                self.numbers.insert(name.to_owned(), number);
                self.names.push(name.to_owned());
                self.kinds.push(kind);
                self.parents.push(number);
                number
            }
        };
        if self.kinds[number] != kind {
            let word = |kind: Kind| match kind {
                Kind::Registers | Kind::Counter => "a string",
                Kind::Set => "a set",
                Kind::Lists => "a list of transactions",
                Kind::Bank => "a bank",
            };
            let (before, now) = (word(self.kinds[number]), word(kind));
            return Err(Unusable { line, why: format!("key {name:?} is used as {now} here, and as {before} before") });
        }
        self.last = number;
        Ok(number)
    }

    fn root(&mut self, mut key: usize) -> usize {
        while self.parents[key] != key {
            self.parents[key] = self.parents[self.parents[key]];
            key = self.parents[key];
        }
        key
    }

    fn tie(&mut self, a: usize, b: usize) -> usize {
        let (a, b) = (self.root(a), self.root(b));
        let (low, high) = (a.min(b), a.max(b));
        self.parents[high] = low;
        low
    }
}

#[cfg(test)]
mod tests {
    use super::super::parse::parse;
    use super::*;

    #[test]
    fn keys_that_are_named_together_are_judged_together() {
        let line = |op: &str, key: &str, arg: &str| {
            format!(
                "{{\"client\":1,\"op\":\"{op}\",\"key\":{key},\"arg\":{arg},\"start\":1,\"end\":2,\"outcome\":\"ok\"}}\n"
            )
        };
        let text = [
            line("get", "\"c\"", "null"),
            line("mget", "null", "[\"a\",\"b\"]"),
            line("set", "\"b\"", "\"v\""),
            line("sadd", "\"s\"", "1"),
            line("txn", "null", "[[\"append\",\"y\",1]]"),
            line("txn", "null", "[[\"r\",\"x\",null]]"),
            line("incr", "\"n\"", "null").replace("\"ok\"", "\"ok\",\"reply\":1"),
        ]
        .concat();
        let found = find(&parse(&text).unwrap()).unwrap();
        let found: Vec<_> = found.iter().map(|object| (object.subject(), object.operations.clone())).collect();
        let expected = [
            ("keys \"a\", \"b\"", vec![1, 2]),
            ("key \"c\"", vec![0]),
            ("counter \"n\"", vec![6]),
            ("set \"s\"", vec![3]),
            ("lists \"x\", \"y\"", vec![4, 5]),
        ];
        assert_eq!(found, expected.map(|(subject, operations)| (subject.to_owned(), operations)));

        let clash = text + &line("sadd", "\"a\"", "1");
        let why = find(&parse(&clash).unwrap()).unwrap_err().to_string();
        assert_eq!(why, "line 8: key \"a\" is used as a set here, and as a string before");
    }
}
