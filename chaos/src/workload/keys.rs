//! The keys that clients share. A key is used for so many operations, then another takes its place, so that the judge has
//! many short histories instead of few endless ones; all are read once more in the end.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::{Map, Value, json};

use super::actor::as_json;
use crate::history::lock;
use crate::resp::{Command, Reply, command};

/// One read after everything.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LastRead {
    Register(String),
    Set(String),
    Transaction(Vec<String>),
    /// Name of the bank and its accounts.
    Bank(String, Vec<String>),
}

impl LastRead {
    pub fn name(&self) -> &str {
        match self {
            LastRead::Register(key) | LastRead::Set(key) | LastRead::Bank(key, _) => key,
            LastRead::Transaction(keys) => keys.first().map_or("", String::as_str),
        }
    }

    /// What is sent; transactions send their own.
    pub fn command(&self) -> Command {
        match self {
            LastRead::Register(key) => command(["GET", key]),
            LastRead::Set(key) => command(["HKEYS", key]),
            LastRead::Transaction(keys) | LastRead::Bank(_, keys) => {
                command(["MGET"].into_iter().chain(keys.iter().map(String::as_str)))
            }
        }
    }

    /// Operation, key and argument of the history.
    pub fn operation(&self) -> (&'static str, Option<String>, Value) {
        match self {
            LastRead::Register(key) => ("get", Some(key.clone()), Value::Null),
            LastRead::Set(key) => ("smembers", Some(key.clone()), Value::Null),
            LastRead::Transaction(keys) => ("txn", None, keys.iter().map(|key| json!(["r", key, null])).collect()),
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

/// A family of keys with a number that rises after so many uses.
pub struct Generations {
    prefix: &'static str,
    uses: AtomicU64,
    uses_each: u64,
}

impl Generations {
    const fn new(prefix: &'static str, uses_each: u64) -> Generations {
        Generations { prefix, uses: AtomicU64::new(0), uses_each }
    }

    /// The prefix of the keys to use now.
    pub fn current(&self) -> String {
        let generation = self.uses.fetch_add(1, Ordering::Relaxed) / self.uses_each;
        format!("{}{generation}", self.prefix)
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
}

impl Default for Keys {
    fn default() -> Keys {
        Keys {
            registers: Generations::new("r", 600),
            several: Generations::new("m", 150),
            counters: Generations::new("c", 2000),
            watched: Generations::new("w", 400),
            sets: Generations::new("s", 300),
            transactions: Generations::new("t", 300),
            expiring: Generations::new("x", 120),
            bank: tokio::sync::Mutex::default(),
            used: Mutex::default(),
        }
    }
}

impl Keys {
    /// Remembers what to read in the end.
    pub fn used(&self, last: LastRead) {
        lock(&self.used).insert(last);
    }

    pub fn last_reads(&self) -> Vec<LastRead> {
        lock(&self.used).iter().cloned().collect()
    }
}
