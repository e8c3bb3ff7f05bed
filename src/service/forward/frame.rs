//! A frame: submissions of several clients that travel and are answered together.
//!
//! Invariant: its units never change once it was sent; a client that was answered leaves only its place.

use std::sync::Arc;

use super::{Outcome, Output};
use crate::base::{Mutant, Nanos, NodeId, Ticket};
use crate::command;
use crate::command::batch::{Call, Unit, UnitReply};

/// Where an attempt went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    Here,
    There(NodeId),
}

/// One client's submission.
#[derive(Debug)]
pub struct Item {
    pub client: Ticket,
    pub units: Arc<Vec<Unit>>,
    pub deadline: Nanos,
    pub bytes: usize,
    pub only_reads: bool,
}

/// Submissions that share a number.
#[derive(Debug)]
pub struct Frame {
    /// In order. `None`: answered already, its units stay because the frame's content must not change.
    pub clients: Vec<(Option<Ticket>, Nanos, usize)>,
    pub units: Arc<Vec<Unit>>,
    pub bytes: usize,
    /// The attempt under way.
    pub attempt: Option<(Ticket, Place)>,
    /// An earlier attempt may have been appended.
    pub doubt: bool,
    /// It has no number then, and no attempt leaves doubt.
    pub only_reads: bool,
}

impl Frame {
    /// How many clients still wait.
    pub fn unanswered(&self) -> usize {
        self.clients.iter().filter(|(client, ..)| client.is_some()).count()
    }

    /// Answers who is out of time; false when nobody is left.
    pub fn expire(&mut self, now: Nanos, outcome: &Outcome, freed: &mut usize, out: &mut Vec<Output>) -> bool {
        for (client, deadline, _) in &mut self.clients {
            if *deadline <= now
                && let Some(client) = client.take()
            {
                out.push(Output::Done(client, outcome.clone()));
            }
        }
        let alive = self.unanswered() > 0;
        if !alive {
            *freed += self.bytes;
        }
        alive
    }

    /// Tells everybody the same; gives the bytes released.
    pub fn give_up(self, outcome: &Outcome, out: &mut Vec<Output>) -> usize {
        let clients = self.clients.iter().filter_map(|(client, ..)| *client);
        out.extend(clients.map(|client| Output::Done(client, outcome.clone())));
        self.bytes
    }

    /// Hands each client its share of the replies; gives the bytes released.
    pub fn deliver(self, replies: Vec<UnitReply>, out: &mut Vec<Output>) -> usize {
        let expected = self.units.len();
        let complete = replies.len() == expected;
        let mut replies = replies.into_iter();
        for (client, _, count) in self.clients {
            if client.is_none() && Mutant::SharesAreShifted.is_in() {
                continue;
            }
            let share: Vec<UnitReply> = replies.by_ref().take(count).collect();
            let Some(client) = client else { continue };
            // A peer that answers with another number of replies cannot be believed about any of them.
            let outcome = if complete { Outcome::Replies(share) } else { Outcome::Unknown };
            out.push(Output::Done(client, outcome));
        }
        self.bytes
    }
}

/// Whether running a unit more than once is the same as running it once.
pub fn only_reads(unit: &Unit) -> bool {
    let reads = |call: &Call| command::check(&call.args).is_ok_and(|spec| spec.may_be_repeated());
    match unit {
        Unit::Call(call) => reads(call),
        Unit::Atomic { calls, .. } => calls.iter().all(reads) || Mutant::BlocksAreNotNumbered.is_in(),
        Unit::Watch { .. } | Unit::StillBlocked { .. } | Unit::Hurry { .. } => true,
        Unit::Change(_) | Unit::Block { .. } => false,
    }
}

/// What each word, and each unit, takes beside its bytes.
const EACH: usize = 64;

/// Bytes that a unit keeps in memory, roughly.
pub fn weight(unit: &Unit) -> usize {
    match unit {
        Unit::Call(call) | Unit::Block { call, .. } => call_weight(call),
        Unit::StillBlocked { open: numbers, .. } | Unit::Hurry { numbers, .. } => EACH + 8 * numbers.len(),
        Unit::Watch { keys, .. } => EACH + words_weight(keys),
        Unit::Change(change) => EACH + change.len(),
        Unit::Atomic { watches, calls } => {
            let watched: usize = watches.iter().map(|watch| watch.key.len() + EACH).sum();
            EACH + watched + calls.iter().map(call_weight).sum::<usize>()
        }
    }
}

/// Bytes that a call keeps in memory, roughly.
pub fn call_weight(call: &Call) -> usize {
    EACH + words_weight(&call.args)
}

fn words_weight(words: &[bytes::Bytes]) -> usize {
    words.iter().map(|word| word.len() + EACH).sum()
}
