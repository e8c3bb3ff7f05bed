//! The keys that clients share. A key is used for so many operations, then another takes its place, so that the judge has
//! many short histories instead of few endless ones; all are read once more in the end.
//!
//! A key with a few unknown outcomes is replaced as well: every one of them may have happened or not, at any time since, and
//! a judge that has to try all cases doubles its work with each.

use std::collections::BTreeSet;
use std::sync::Mutex;

use serde_json::{Map, Value, json};

use super::actor::{Fate, as_json};
use super::sets;
use crate::dice::Dice;
use crate::history::lock;
use crate::resp::{Command, Reply, command};

/// What stands behind a set or a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Shape {
    /// The very type.
    Itself,
    /// Another one that can do the same.
    StandIn,
}

/// One read after everything.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LastRead {
    Register(String),
    Set(String, Shape),
    Transaction(Vec<String>, Shape),
    /// Name of the bank and its accounts.
    Bank(String, Vec<String>),
}

impl LastRead {
    pub fn name(&self) -> &str {
        match self {
            LastRead::Register(key) | LastRead::Set(key, _) | LastRead::Bank(key, _) => key,
            LastRead::Transaction(keys, _) => keys.first().map_or("", String::as_str),
        }
    }

    /// What is sent; transactions send their own.
    pub fn command(&self) -> Command {
        match self {
            LastRead::Register(key) => command(["GET", key]),
            LastRead::Set(key, shape) => sets::read(key, *shape),
            LastRead::Transaction(keys, _) | LastRead::Bank(_, keys) => {
                command(["MGET"].into_iter().chain(keys.iter().map(String::as_str)))
            }
        }
    }

    /// Operation, key and argument of the history.
    pub fn operation(&self) -> (&'static str, Option<String>, Value) {
        match self {
            LastRead::Register(key) => ("get", Some(key.clone()), Value::Null),
            LastRead::Set(key, _) => ("smembers", Some(key.clone()), Value::Null),
            LastRead::Transaction(keys, _) => ("txn", None, keys.iter().map(|key| json!(["r", key, null])).collect()),
            LastRead::Bank(name, _) => ("balances", Some(name.clone()), Value::Null),
        }
    }

    /// The reply as the history has it.
    pub fn reply(&self, reply: &Reply) -> Value {
        match (self, reply) {
            (LastRead::Bank(_, accounts), Reply::Array(items)) => balances(accounts, items),
            (_, reply) => as_json(reply),
        }
    }
}

/// Accounts and what MGET said of them. Names in the history are those of the keys.
pub fn balances(accounts: &[String], items: &[Reply]) -> Value {
    let pairs = accounts.iter().zip(items).map(|(account, balance)| {
        let number = balance.text().and_then(|text| text.parse::<i64>().ok());
        (account.clone(), number.map_or(Value::Null, Value::from))
    });
    Value::Object(pairs.collect::<Map<_, _>>())
}

/// A family of keys with a number that rises after so many uses, or so many unknown outcomes.
pub struct Generations {
    prefix: &'static str,
    uses_each: u64,
    doubts_each: u64,
    newest: Mutex<Generation>,
}

#[derive(Default)]
struct Generation {
    number: u64,
    uses: u64,
    doubts: u64,
}

impl Generation {
    fn end(&mut self) {
        *self = Generation { number: self.number + 1, ..Generation::default() };
    }
}

impl Generations {
    const fn new(prefix: &'static str, uses_each: u64, doubts_each: u64) -> Generations {
        let newest = Mutex::new(Generation { number: 0, uses: 0, doubts: 0 });
        Generations { prefix, uses_each, doubts_each, newest }
    }

    /// The prefix of the keys to use now.
    pub fn current(&self) -> String {
        let mut newest = lock(&self.newest);
        if newest.uses == self.uses_each {
            newest.end();
        }
        newest.uses += 1;
        format!("{}{}", self.prefix, newest.number)
    }

    /// What came of an operation on these keys. One of an older generation counts as well: it does no harm.
    pub fn came(&self, fate: &Fate) {
        if !matches!(fate, Fate::Doubt(..)) {
            return;
        }
        let mut newest = lock(&self.newest);
        newest.doubts += 1;
        if newest.doubts == self.doubts_each {
            newest.end();
        }
    }
}

/// All shared keys of a run.
pub struct Keys {
    pub registers: Generations,
    pub several: Generations,
    pub counters: Generations,
    pub watched: Generations,
    pub sets: Generations,
    pub transactions: Generations,
    pub expiring: Generations,
    pub bank: tokio::sync::Mutex<super::bank::Current>,
    used: Mutex<BTreeSet<LastRead>>,
    /// Draws the shapes.
    salt: u64,
}

/// How many of a hundred sets and lists are what they are called.
const ITSELF_PERCENT: u64 = 50;

impl Keys {
    pub fn new(salt: u64) -> Keys {
        Keys {
            registers: Generations::new("r", 600, 16),
            several: Generations::new("m", 150, 4),
            // Any number of unknown outcomes of these is decided at once.
            counters: Generations::new("c", 2000, u64::MAX),
            watched: Generations::new("w", 400, u64::MAX),
            sets: Generations::new("s", 300, u64::MAX),
            transactions: Generations::new("t", 300, u64::MAX),
            expiring: Generations::new("x", 120, 8),
            bank: tokio::sync::Mutex::default(),
            used: Mutex::default(),
            salt,
        }
    }

    /// What a generation of sets or lists is made of: the same for whoever asks.
    pub fn shape(&self, generation: &str) -> Shape {
        let number = generation.bytes().fold(self.salt, |number, byte| number.rotate_left(8) ^ u64::from(byte));
        if Dice::new(number).chance(ITSELF_PERCENT) { Shape::Itself } else { Shape::StandIn }
    }

    /// Remembers what to read in the end.
    pub fn used(&self, last: LastRead) {
        lock(&self.used).insert(last);
    }

    pub fn last_reads(&self) -> Vec<LastRead> {
        lock(&self.used).iter().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_shapes_are_drawn_and_everybody_draws_the_same() {
        let shapes = |salt| {
            let keys = Keys::new(salt);
            (0..40).map(|n| keys.shape(&format!("s{n}"))).collect::<Vec<_>>()
        };
        assert_eq!(shapes(1), shapes(1));
        assert_ne!(shapes(1), shapes(2));
        let sets = shapes(1).iter().filter(|shape| **shape == Shape::Itself).count();
        assert!((8..32).contains(&sets), "{sets}");
    }

    #[test]
    fn a_generation_ends_with_its_uses_or_its_doubts() {
        let keys = Generations::new("k", 3, 2);
        let used: Vec<String> = (0..5).map(|_| keys.current()).collect();
        assert_eq!(used, ["k0", "k0", "k0", "k1", "k1"]);
        keys.came(&Fate::Doubt("gone".into(), 1));
        keys.came(&Fate::Refused("no".into(), 1));
        keys.came(&Fate::Done(Reply::Nil, 1));
        assert_eq!(keys.current(), "k1");
        keys.came(&Fate::Doubt("gone".into(), 2));
        assert_eq!(keys.current(), "k2");
    }
}
