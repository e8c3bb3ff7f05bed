//! What a history is: what clients asked, when, and what they were told. docs/reliability.md describes the file.
//!
//! Invariant: an [`Operation`] says nothing that its client did not know. `parse` makes these values from text and
//! refuses what contradicts itself, so that judges need not.

use crate::base::Nanos;

/// A whole file.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// From the first line, or its defaults.
    pub header: Header,
    /// One per line, in the order of the file.
    pub operations: Vec<Operation>,
}

/// Settings of the run that matter to a judge.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Header {
    /// For people.
    pub workload: String,
    /// By how much any clock that decides about a deadline may differ from the clients' one.
    pub clock_slack: Nanos,
}

/// What one client asked once.
#[derive(Clone, Debug)]
pub struct Operation {
    /// Line in the file, from 1.
    pub line: usize,
    /// Who asked. A name: nothing is concluded from it but what order of calls tells.
    pub client: u64,
    /// Before the first byte left.
    pub start: Nanos,
    /// After the reply was read; `None` when there was none that told the outcome.
    pub end: Option<Nanos>,
    /// What is known about its effect.
    pub outcome: Outcome,
    /// What was asked and answered.
    pub action: Action,
}

/// What a client knows about the effect of its operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It took effect between start and end.
    Ok,
    /// It did not and never will.
    Fail,
    /// It may take effect once, at any time after its start, or never.
    Unknown,
}

/// What was asked, with what was answered. An answer of `None` was not recorded.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Commands on strings, run as one.
    Registers(Form, Vec<Command>),
    /// An element into a set that only grows; whether it was new.
    SetAdd { key: String, element: String, reply: Option<bool> },
    /// All elements of a set, sorted.
    SetRead { key: String, reply: Option<Vec<String>> },
    /// A transaction over lists.
    Transaction(Vec<Micro>),
    /// The accounts of a bank and their first balances.
    Open { bank: String, accounts: Vec<(String, i64)> },
    /// An amount from one account to another; the balances of both afterwards.
    Transfer { bank: String, from: String, to: String, amount: i64, reply: Option<(i64, i64)> },
    /// All balances at one moment; an account that was not there is left out.
    Balances { bank: String, reply: Option<Vec<(String, i64)>> },
}

/// How commands on strings were sent; it only matters to how they are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Alone.
    Single,
    /// As MGET.
    Mget,
    /// As MSET.
    Mset,
    /// In MULTI and EXEC.
    Multi,
}

/// A command on one string, and its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    /// Which string.
    pub key: String,
    /// What to do with it.
    pub verb: Verb,
    /// What was answered, if that was recorded.
    pub reply: Option<Reply>,
}

/// What a command does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verb {
    Get,
    Set(SetOptions),
    Setnx(String),
    Getset(String),
    Getdel,
    Del,
    Exists,
    Strlen,
    Append(String),
    /// INCR, DECR, INCRBY and DECRBY.
    Add(i64),
    /// From a value (or from nothing) to a value.
    Cas(Option<String>, String),
    /// In so many milliseconds.
    Pexpire(u64),
    Persist,
}

/// SET with its options.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SetOptions {
    pub value: String,
    pub if_absent: bool,
    pub if_present: bool,
    /// The reply is the old value.
    pub get: bool,
    pub keep_deadline: bool,
    /// To live for so many milliseconds.
    pub px: Option<u64>,
}

/// An answer to a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    Nil,
    Int(i64),
    /// A string or a status.
    Text(String),
}

/// One step of a list-append transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Micro {
    /// An element at the end of a list; the length of the stored string in bytes afterwards.
    Append { key: String, element: String, length: Option<u64> },
    /// All elements of a list.
    Read { key: String, elements: Option<Vec<String>> },
}

impl Operation {
    /// Whether it certainly ended before another one began: the order of real time.
    pub fn precedes(&self, other: &Operation) -> bool {
        self.end.is_some_and(|end| end < other.start)
    }
}
