//! A client of the simulator: what it has asked, what it learned, and the history it leaves to the judges.
//!
//! Invariant: a client believes what Redis clients believe: a definite error means "not executed", anything else that
//! is no reply means "unknown", and it never sends a request a second time by itself.

use std::mem;

use bytes::Bytes;

use super::check::{Operation, Outcome, Request, Words};
use super::noise::{self, is_read};
use super::workload::{Kind, NOISE_FROM, Step, kind};
use crate::base::{Nanos, NodeId};
use crate::command::batch::{Call, Unit, UnitReply, Watch};
use crate::resp::{Protocol, Value, parse_reply};
use crate::service::node::Outcome as Answer;

/// A client and what it waits for.
#[derive(Debug)]
pub struct Client {
    /// Its number.
    pub id: u64,
    /// The node it is connected to.
    pub node: NodeId,
    /// It only reads, and stays at its node.
    pub is_reader: bool,
    /// Counts its plans, so that only the newest one is carried out.
    pub turn: u64,
    /// The request under way.
    pub waiting: Option<Waiting>,
    /// The family of which it watches keys, and the leader's tokens for them.
    watching: Option<(u64, Vec<Watch>)>,
    /// Counts connections: to a judge each is a client of its own, for watches end with it.
    connection: u64,
    /// Counts requests, so that a late answer to an earlier one is told apart.
    pub request: u64,
}

/// A request under way.
#[derive(Debug)]
pub struct Waiting {
    /// What was asked.
    pub step: Step,
    /// Where its operations are in the history.
    pub operations: Vec<usize>,
    /// When it was sent.
    pub since: Nanos,
}

/// What everybody did, in the order of calling.
#[derive(Debug, Default)]
pub struct History {
    /// The operations.
    pub operations: Vec<Operation>,
    /// How many got a reply.
    pub checked: u64,
    /// How many of those may have written.
    pub writes: u64,
}

impl Client {
    /// A client that has not asked anything.
    pub fn new(id: u64, node: NodeId, is_reader: bool) -> Client {
        Client { id, node, is_reader, turn: 0, waiting: None, watching: None, connection: 0, request: 0 }
    }

    /// The family whose transaction must come next because its keys are watched.
    pub fn watching(&self) -> Option<u64> {
        self.watching.as_ref().map(|(family, _)| *family)
    }

    /// Sends a step: notes it in the history and gives the units to submit.
    pub fn begin(&mut self, now: Nanos, step: Step, history: &mut History) -> Vec<Unit> {
        let mut operations = Vec::with_capacity(step.requests.len());
        let mut units = Vec::with_capacity(step.requests.len());
        for request in &step.requests {
            let after = operations.last().copied();
            operations.push(history.operations.len());
            history.operations.push(Operation {
                client: self.connection << 16 | self.id,
                family: step.family,
                start: now,
                end: None,
                request: request.clone(),
                outcome: Outcome::Unknown,
                after,
            });
            units.push(self.unit(step.family, request));
        }
        self.request += 1;
        self.waiting = Some(Waiting { step, operations, since: now });
        units
    }

    /// What the node answered to the request under way. Whether that was its first doubt or refusal is for the
    /// caller to count.
    pub fn learn(&mut self, now: Nanos, answer: Answer, history: &mut History) {
        let Some(waiting) = self.waiting.take() else { return };
        let watch_over = waiting.step.requests.iter().any(|request| matches!(request, Request::Transaction(_)));
        if watch_over {
            self.watching = None;
        }
        if !matches!(answer, Answer::Replies(_)) {
            // Whatever was watched or was to be: the client cannot rely on it and starts anew.
            self.watching = None;
            self.connection += 1;
        }
        match answer {
            Answer::Replies(replies) => {
                debug_assert_eq!(replies.len(), waiting.operations.len(), "one reply per unit");
                for ((reply, &at), request) in replies.into_iter().zip(&waiting.operations).zip(&waiting.step.requests)
                {
                    let outcome = self.outcome(waiting.step.family, request, reply);
                    let operation = &mut history.operations[at];
                    operation.end = Some(now);
                    operation.outcome = outcome;
                    history.checked += 1;
                    history.writes += u64::from(writes(request));
                }
            }
            Answer::Down | Answer::Loading | Answer::Overloaded | Answer::Busy(_) => {
                for &at in &waiting.operations {
                    history.operations[at].end = Some(now);
                    history.operations[at].outcome = Outcome::Refused;
                }
            }
            Answer::Unknown => {}
        }
    }

    /// The connection broke: the outcome of what was under way stays unknown, watches are gone.
    pub fn disconnect(&mut self) -> Option<Waiting> {
        self.watching = None;
        self.connection += 1;
        self.waiting.take()
    }

    fn unit(&self, family: u64, request: &Request) -> Unit {
        let call = |words: &Words| call(database(family, words), words);
        match request {
            Request::Command(words) => Unit::Call(call(words)),
            Request::Watch(keys) => Unit::Watch { db: family_database(family), keys: keys.clone() },
            Request::Transaction(commands) => {
                let watches = match &self.watching {
                    Some((watched, watches)) if *watched == family => watches.clone(),
                    _ => Vec::new(),
                };
                Unit::Atomic { watches, calls: commands.iter().map(call).collect() }
            }
        }
    }

    fn outcome(&mut self, family: u64, request: &Request, reply: UnitReply) -> Outcome {
        match (reply, request) {
            (UnitReply::Call(bytes), _) => Outcome::Replies(vec![value(bytes)]),
            (UnitReply::Atomic(Some(replies)), _) => Outcome::Replies(replies.into_iter().map(value).collect()),
            (UnitReply::Atomic(None), _) => Outcome::Aborted,
            (UnitReply::Watch { term, sequence }, Request::Watch(keys)) => {
                let db = family_database(family);
                let (_, mut watches) = mem::take(&mut self.watching).unwrap_or_default();
                watches.extend(keys.iter().map(|key| Watch { db, key: key.clone(), term, sequence }));
                self.watching = Some((family, watches));
                Outcome::Replies(vec![Value::OK])
            }
            (_, _) => Outcome::Replies(Vec::new()),
        }
    }
}

/// The database of a family: together they use all sixteen.
pub fn family_database(family: u64) -> u8 {
    match kind(family) {
        Kind::Mixed => (family % u64::from(noise::DATABASES.start)) as u8,
        Kind::Tokens | Kind::Counter | Kind::Queue | Kind::Optimistic | Kind::Mortal => 0,
        Kind::Noise => (family - NOISE_FROM) as u8,
    }
}

/// The database of a family's command.
fn database(family: u64, words: &Words) -> u8 {
    match kind(family) {
        Kind::Noise => noise::database(family_database(family), words),
        _ => family_database(family),
    }
}

/// A command as a session hands it on.
pub fn call(db: u8, words: &Words) -> Call {
    Call::new(db, Protocol::Resp2, words.clone())
}

/// A key that a step names: all of its keys are of one group.
pub fn key(step: &Step) -> &[u8] {
    let key = match step.requests.first() {
        Some(Request::Command(words)) => words.get(1),
        Some(Request::Watch(keys)) => keys.first(),
        Some(Request::Transaction(commands)) => commands.first().and_then(|words| words.get(1)),
        None => None,
    };
    key.map_or(&[], |key| &key[..])
}

/// The calls of a step that only reads, which a session answers at once where it can.
pub fn reads(step: &Step) -> Option<Vec<Call>> {
    step.requests
        .iter()
        .map(|request| match request {
            Request::Command(words) if is_read(words) => Some(call(database(step.family, words), words)),
            _ => None,
        })
        .collect()
}

fn writes(request: &Request) -> bool {
    match request {
        Request::Command(words) => !is_read(words),
        Request::Transaction(commands) => !commands.iter().all(|words| is_read(words)),
        Request::Watch(_) => false,
    }
}

fn value(bytes: Bytes) -> Value {
    match parse_reply(&bytes) {
        Some((value, length)) if length == bytes.len() => value,
        // Agrees with nothing that a judge expects.
        _ => Value::Push(vec![Value::Bulk(bytes)]),
    }
}
