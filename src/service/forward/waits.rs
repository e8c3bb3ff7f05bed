//! Commands that wait for a key (BLPOP and its kind), of one group: brought to the leader one by one, and to the next
//! one after a leader change, for as long as their clients want.
//!
//! They have a session and numbers of their own, because they end in any order and some never do. What was sent to
//! another node is sent again under its number until it is answered; the leader stores its answer with its effects.
//! Of those under way the leader is told every [`BEAT`] which are still wanted, and at once when a client is gone. So
//! nothing is given to who does not want it any more, and a leader that hears nothing lets go of all.
//!
//! Invariant: a number is one command of one client; once it is not open any more it never is again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::frame::{Place, call_weight};
use super::{Answer, Outcome, Output};
use crate::base::{GroupId, Nanos, NodeId, SessionId, Ticket};
use crate::command::batch::{Call, Unit};
use crate::machine::{Origin, Refusal, Submission};

/// How often the leader hears which commands are still wanted. It lets go of all after six times this long.
const BEAT: Duration = Duration::from_millis(500);
/// After so long a command whose time is over is hurried again.
const HURRY_AGAIN: Duration = Duration::from_millis(200);

/// The blocked commands of one group.
#[derive(Debug)]
pub struct Waits {
    session: SessionId,
    open: BTreeMap<u64, Wait>,
    /// Numbers of what is under way, by attempt.
    attempts: BTreeMap<Ticket, u64>,
    /// Numbers of what is not.
    unsent: BTreeSet<u64>,
    /// Numbers of those whose time is over.
    hurried: BTreeSet<u64>,
    /// All numbers given so far are below this one.
    below: u64,
    /// The leader may remember what is not open any more.
    unreleased: bool,
    beat: Option<(Ticket, Place)>,
    next_beat: Nanos,
}

#[derive(Debug)]
struct Wait {
    call: Call,
    bytes: usize,
    attempt: Option<(Ticket, Place)>,
    /// An attempt at another node may have been served.
    doubt: bool,
    /// Its time is over: until then it is to be answered, and then it is to be hurried again.
    over: Option<(Nanos, Nanos)>,
}

impl Waits {
    /// None so far. Nobody else uses the session.
    pub fn new(session: SessionId) -> Waits {
        Waits {
            session,
            open: BTreeMap::new(),
            attempts: BTreeMap::new(),
            unsent: BTreeSet::new(),
            hurried: BTreeSet::new(),
            below: 0,
            unreleased: false,
            beat: None,
            next_beat: Nanos(0),
        }
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.open.len()
    }

    /// A client's command. Its number is the client's ticket, which ascends. Gives the bytes it takes.
    pub fn add(&mut self, client: Ticket, call: Call) -> usize {
        let number = client.get();
        let bytes = call_weight(&call);
        self.below = self.below.max(number + 1);
        self.unsent.insert(number);
        self.open.insert(number, Wait { call, bytes, attempt: None, doubt: false, over: None });
        bytes
    }

    /// The time of a command is over: it is answered by `deadline`, whatever is known then.
    pub fn hurry(&mut self, client: Ticket, now: Nanos, deadline: Nanos) {
        if let Some(wait) = self.open.get_mut(&client.get()).filter(|wait| wait.over.is_none()) {
            wait.over = Some((deadline, now));
            self.hurried.insert(client.get());
        }
    }

    /// The client of a command is gone; gives the bytes released.
    pub fn give_up(&mut self, client: Ticket) -> usize {
        self.next_beat = Nanos(0);
        self.remove(client.get())
    }

    fn remove(&mut self, number: u64) -> usize {
        let Some(wait) = self.open.remove(&number) else { return 0 };
        self.unsent.remove(&number);
        self.hurried.remove(&number);
        if let Some((ticket, _)) = wait.attempt {
            self.attempts.remove(&ticket);
        }
        self.unreleased |= wait.doubt || wait.attempt.is_some();
        wait.bytes
    }

    /// A machine answered an attempt; `None` if it is none of these. Gives the bytes released and whether the leader
    /// is to be left alone for a while.
    pub fn answered(&mut self, attempt: Ticket, answer: Answer, out: &mut Vec<Output>) -> Option<(usize, bool)> {
        if self.beat.is_some_and(|(ticket, _)| ticket == attempt) {
            self.beat = None;
            let is_told = matches!(answer, Answer::Replies(_));
            self.unreleased |= !is_told;
            return Some((0, !is_told));
        }
        let number = self.attempts.remove(&attempt)?;
        let wait = self.open.get_mut(&number)?;
        let was_local = matches!(wait.attempt, Some((_, Place::Here))) && !wait.doubt;
        let outcome = match answer {
            Answer::Replies(replies) => Outcome::Replies(replies),
            Answer::Refused(Refusal::Overloaded) if !wait.doubt => Outcome::Overloaded,
            Answer::Refused(Refusal::Busy(kind)) if !wait.doubt => Outcome::Busy(kind),
            Answer::Unknown if was_local => Outcome::Unknown,
            // A copy that was late took this one's place, or leadership ended.
            Answer::Refused(_) | Answer::Unknown => {
                wait.attempt = None;
                wait.doubt |= matches!(answer, Answer::Unknown);
                self.unsent.insert(number);
                return Some((0, true));
            }
        };
        out.push(Output::Done(Ticket(number), outcome));
        Some((self.remove(number), false))
    }

    /// No answer is waited for from the nodes that `which` names.
    pub fn abandon(&mut self, which: impl Fn(NodeId) -> bool) {
        let gone = |place: Place| matches!(place, Place::There(node) if which(node));
        for (number, wait) in &mut self.open {
            if let Some((ticket, _)) = wait.attempt.take_if(|(_, place)| gone(*place)) {
                wait.doubt = true;
                self.attempts.remove(&ticket);
                self.unsent.insert(*number);
            }
        }
        if self.beat.take_if(|(_, place)| gone(*place)).is_some() {
            self.unreleased = true;
        }
    }

    /// Answers what is out of time with what is known; gives the bytes released.
    pub fn expire(&mut self, now: Nanos, out: &mut Vec<Output>) -> usize {
        let due =
            |number: &u64| self.open.get(number).and_then(|wait| wait.over).is_some_and(|(until, _)| until <= now);
        let due: Vec<u64> = self.hurried.iter().copied().filter(due).collect();
        let mut freed = 0;
        for number in due {
            let certain = self.open.get(&number).is_some_and(|wait| !wait.doubt && wait.attempt.is_none());
            out.push(Output::Done(Ticket(number), if certain { Outcome::Down } else { Outcome::Unknown }));
            freed += self.remove(number);
        }
        freed
    }

    /// Sends to the leader what it is to know.
    pub fn dispatch(
        &mut self,
        now: Nanos,
        group: GroupId,
        place: Place,
        mut ticket: impl FnMut() -> Ticket,
        out: &mut Vec<Output>,
    ) {
        let send = |submission| match place {
            Place::Here => Output::Local(group, submission),
            Place::There(node) => Output::Send(node, group, submission),
        };
        for number in std::mem::take(&mut self.unsent) {
            let Some(wait) = self.open.get_mut(&number) else { continue };
            let ticket = ticket();
            wait.attempt = Some((ticket, place));
            self.attempts.insert(ticket, number);
            let origin = Origin { session: self.session, number, acknowledged_below: 1 };
            let call = wait.call.clone();
            let unit = match wait.over {
                Some(_) => Unit::Call(call),
                None => Unit::Block { call, remembered: wait.doubt || place != Place::Here },
            };
            out.push(send(Submission { ticket, origin: Some(origin), units: Arc::new(vec![unit]) }));
        }
        let mut hurried = Vec::new();
        for number in &self.hurried {
            if let Some(Wait { over: Some((_, again)), .. }) = self.open.get_mut(number)
                && *again <= now
            {
                *again = now + HURRY_AGAIN;
                hurried.push(*number);
            }
        }
        if !hurried.is_empty() {
            let units = vec![Unit::Hurry { session: self.session, numbers: hurried }];
            out.push(send(Submission { ticket: ticket(), origin: None, units: Arc::new(units) }));
        }
        let is_wanted = !self.open.is_empty() || self.unreleased;
        if is_wanted && self.beat.is_none() && self.next_beat <= now {
            let ticket = ticket();
            self.beat = Some((ticket, place));
            self.next_beat = now + BEAT;
            self.unreleased = false;
            let open = self.open.keys().copied().collect();
            let units = vec![Unit::StillBlocked { session: self.session, below: self.below, open }];
            out.push(send(Submission { ticket, origin: None, units: Arc::new(units) }));
        }
    }
}
