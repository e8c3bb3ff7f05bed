//! Judges that stand outside: they know only what clients called and what they were told, when. The simulator and
//! the tests with real processes hand them the same [`Operation`]s.
//!
//! - [`linear`]: a history of a family of keys has an order that explains every reply (linearizability).
//! - [`model`]: what the commands mean, written a second time and as small as possible, for `linear`.
//! - [`mortal`]: what was seen gone stays gone.
//! - [`once`]: every acknowledged token is there exactly once, an unknown one at most once, a refused one never.
//! - [`optimistic`]: a transaction under WATCH runs only if what it watched stayed as it was read.
//! - [`publications`]: what replicas tell who listens, once each and in order.
//! - [`queue`]: every pushed token is taken by one client, or is still there; first in, first out.
//! - [`replay`]: noise runs again in the order in which it ran, and every reply is compared.
//! - [`replicas`]: equal index, equal state; stamps.
//!
//! Invariant: a judge may miss a bug, but never accuses a correct system: where time or outcome are uncertain, every
//! explanation is allowed.

pub mod linear;
pub mod model;
pub mod mortal;
pub mod once;
pub mod optimistic;
pub mod publications;
pub mod queue;
pub mod replay;
pub mod replicas;

use bytes::Bytes;

use crate::base::Nanos;
use crate::resp::Value;

/// One command's words.
pub type Words = Vec<Bytes>;

/// What a client did and learned.
#[derive(Clone, Debug)]
pub struct Operation {
    /// Which client; a client has one request under way at a time.
    pub client: u64,
    /// The keys that may influence each other: histories of different families are independent.
    pub family: u64,
    /// When the client sent it.
    pub start: Nanos,
    /// When the client learned the outcome; `None`: never, it may still take effect.
    pub end: Option<Nanos>,
    /// What was asked.
    pub request: Request,
    /// What was learned.
    pub outcome: Outcome,
    /// Position in the history of an operation that must have come before: the one before it in a pipeline.
    pub after: Option<usize>,
}

/// What a client asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// One command.
    Command(Words),
    /// MULTI, commands, EXEC.
    Transaction(Vec<Words>),
    /// WATCH of these keys, for the client's next transaction.
    Watch(Vec<Bytes>),
}

/// What a client learned.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// The reply of a command, or of each command of a transaction.
    Replies(Vec<Value>),
    /// EXEC answered null: a watched key had changed, nothing ran.
    Aborted,
    /// A definite error: it did not run and never will.
    Refused,
    /// It may have run once, may run once later, or never.
    Unknown,
}

/// A broken promise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which promise, in a few words.
    pub promise: &'static str,
    /// What was seen.
    pub story: Vec<String>,
}

impl Violation {
    /// A violation with its story.
    pub fn new(promise: &'static str, story: Vec<String>) -> Violation {
        Violation { promise, story }
    }
}

impl Operation {
    /// One line for people.
    pub fn line(&self) -> String {
        let seconds = |time: Nanos| format!("{:.6}", time.0 as f64 / 1e9);
        let end = self.end.map_or_else(|| "never".to_owned(), seconds);
        let request = show_request(&self.request);
        let outcome = match &self.outcome {
            Outcome::Replies(replies) => replies.iter().map(show_value).collect::<Vec<_>>().join("; "),
            Outcome::Aborted => "aborted by a watch".to_owned(),
            Outcome::Refused => "refused".to_owned(),
            Outcome::Unknown => "unknown".to_owned(),
        };
        format!("{:>10} .. {end:<10} client {:<3} {request} -> {outcome}", seconds(self.start), self.client)
    }
}

/// A request on one line.
pub fn show_request(request: &Request) -> String {
    match request {
        Request::Command(words) => show_words(words),
        Request::Watch(keys) => format!("WATCH {}", show_words(keys)),
        Request::Transaction(commands) => {
            let commands: Vec<_> = commands.iter().map(|words| show_words(words)).collect();
            format!("MULTI [{}]", commands.join("; "))
        }
    }
}

/// Words as a person would type them, long ones cut.
pub fn show_words(words: &[Bytes]) -> String {
    words.iter().map(|word| show_bytes(word)).collect::<Vec<_>>().join(" ")
}

/// A reply on one line.
pub fn show_value(value: &Value) -> String {
    match value {
        Value::Simple(line) => line.to_string(),
        Value::Error(line) => format!("-{}", line.escape_ascii()),
        Value::Integer(number) => number.to_string(),
        Value::Bulk(bytes) => format!("\"{}\"", show_bytes(bytes)),
        Value::Null | Value::NullArray => "(nil)".to_owned(),
        Value::Array(values) | Value::Set(values) | Value::Push(values) => {
            format!("[{}]", values.iter().map(show_value).collect::<Vec<_>>().join(", "))
        }
        other => format!("{other:?}"),
    }
}

fn show_bytes(bytes: &[u8]) -> String {
    const SHOWN_MAX: usize = 60;
    if bytes.len() <= SHOWN_MAX {
        return bytes.escape_ascii().to_string();
    }
    let tail = &bytes[bytes.len() - SHOWN_MAX / 2..];
    format!("({} bytes)...{}", bytes.len(), tail.escape_ascii())
}

/// A client's command on its own, for the judges' tests; an unknown outcome has no end.
#[cfg(test)]
fn operation(start: u64, end: u64, words: &[&str], outcome: Outcome) -> Operation {
    let words = words.iter().map(|word| Bytes::copy_from_slice(word.as_bytes())).collect();
    let end = (outcome != Outcome::Unknown).then_some(Nanos(end));
    let request = Request::Command(words);
    Operation { client: 1, family: 0, start: Nanos(start), end, request, outcome, after: None }
}
