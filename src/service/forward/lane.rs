//! The queue of one group: what waits, what is under way, and under which numbers.
//!
//! Invariant: a number is given once, or again when its only attempt certainly is in no log.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use super::frame::{Frame, Item, Place, weight};
use super::waits::Waits;
use super::{Answer, Bounds, Outcome, Output};
use crate::base::{GroupId, HashMap, Mutant, Nanos, NodeId, SessionId, Ticket};
use crate::command::batch::Unit;
use crate::machine::{Origin, Refusal, Submission};

/// One group's queue.
#[derive(Debug)]
pub struct Lane {
    session: SessionId,
    pub leader: Option<NodeId>,
    /// The leader refused: it is not asked before.
    pub backoff_until: Nanos,
    pub waiting: VecDeque<Item>,
    /// Under way at this node's own machine, by attempt.
    pub local: HashMap<Ticket, Item>,
    /// Numbered ones under way or in doubt, by number.
    pub frames: BTreeMap<u64, Frame>,
    /// Frames of reads under way, by attempt.
    pub reads: BTreeMap<Ticket, Frame>,
    /// Commands that wait for a key.
    pub waits: Waits,
    next_number: u64,
    /// Numbers whose only attempt was refused, below `next_number`.
    unused: BTreeSet<u64>,
    /// The leader forgot the session: no new frames until the old ones are resolved and a new session begins.
    pub expired: bool,
}

/// What an answer released.
pub struct Freed {
    /// Of submissions that are answered now.
    pub bytes: usize,
    /// The leader knows nothing of the session any more.
    pub session_expired: bool,
}

impl Lane {
    /// Nothing waits, and no number was given in this session.
    pub fn new(session: SessionId, waits: SessionId) -> Lane {
        Lane {
            session,
            leader: None,
            backoff_until: Nanos(0),
            waiting: VecDeque::new(),
            local: HashMap::default(),
            frames: BTreeMap::new(),
            reads: BTreeMap::new(),
            waits: Waits::new(waits),
            next_number: 1,
            unused: BTreeSet::new(),
            expired: false,
        }
    }

    /// The frame whose attempt this is.
    pub fn number_of(&self, attempt: Ticket) -> Option<u64> {
        let found = self.frames.iter().find(|(_, frame)| frame.attempt.is_some_and(|(ticket, _)| ticket == attempt));
        found.map(|(number, _)| *number)
    }

    /// This node's machine answered; gives the bytes released.
    pub fn local_answered(&mut self, item: Item, answer: Answer, backoff_until: Nanos, out: &mut Vec<Output>) -> usize {
        let outcome = match answer {
            Answer::Replies(replies) => Outcome::Replies(replies),
            Answer::Unknown if !Mutant::OwnDoubtRunsAgain.is_in() => Outcome::Unknown,
            Answer::Refused(Refusal::Overloaded) => Outcome::Overloaded,
            Answer::Refused(Refusal::Busy(kind)) => Outcome::Busy(kind),
            Answer::Refused(_) | Answer::Unknown => {
                self.waiting.push_front(item);
                self.backoff_until = backoff_until;
                return 0;
            }
        };
        out.push(Output::Done(item.client, outcome));
        item.bytes
    }

    /// A leader answered a frame of reads; gives the bytes released.
    pub fn reads_answered(
        &mut self,
        frame: Frame,
        answer: Answer,
        backoff_until: Nanos,
        out: &mut Vec<Output>,
    ) -> usize {
        match answer {
            Answer::Replies(replies) => return frame.deliver(replies, out),
            Answer::Refused(Refusal::Overloaded) => return frame.give_up(&Outcome::Overloaded, out),
            Answer::Refused(Refusal::Busy(kind)) => return frame.give_up(&Outcome::Busy(kind), out),
            Answer::Refused(_) | Answer::Unknown => {}
        }
        self.backoff_until = backoff_until;
        self.requeue(frame)
    }

    /// No answer is waited for from the nodes that `which` names: numbered frames are in doubt then, reads wait anew.
    pub fn abandon(&mut self, which: impl Fn(NodeId) -> bool) -> usize {
        let gone = |frame: &Frame| matches!(frame.attempt, Some((_, Place::There(node))) if which(node));
        for frame in self.frames.values_mut().filter(|frame| gone(frame)) {
            frame.attempt = None;
            frame.doubt |= !Mutant::DoubtIsForgotten.is_in();
        }
        self.waits.abandon(&which);
        let reads: Vec<Frame> = self.reads.extract_if(.., |_, frame| gone(frame)).map(|(_, frame)| frame).collect();
        reads.into_iter().rev().map(|frame| self.requeue(frame)).sum()
    }

    /// A leader answered a numbered frame.
    pub fn frame_answered(
        &mut self,
        number: u64,
        answer: Answer,
        backoff_until: Nanos,
        out: &mut Vec<Output>,
    ) -> Freed {
        let mut freed = Freed { bytes: 0, session_expired: false };
        let Some(frame) = self.frames.get_mut(&number) else { return freed };
        frame.attempt = None;
        match answer {
            Answer::Replies(replies) => {
                if !self.unused.is_empty() {
                    self.unused = self.unused.split_off(&number);
                }
                let frame = self.frames.remove(&number);
                freed.bytes = frame.map_or(0, |frame| frame.deliver(replies, out));
            }
            Answer::Unknown => {
                // The entry that holds the effects, if there is one, holds the replies too: ask again.
                frame.doubt = true;
                self.backoff_until = backoff_until;
            }
            Answer::Refused(refusal) => {
                let doubt = frame.doubt;
                freed.session_expired = refusal == Refusal::SessionExpired;
                match refusal {
                    Refusal::NotLeader | Refusal::Overloaded | Refusal::Busy(_) if doubt => {
                        self.backoff_until = backoff_until
                    }
                    Refusal::NotLeader | Refusal::SessionExpired if !doubt => {
                        if !freed.session_expired {
                            self.backoff_until = backoff_until;
                        }
                        freed.bytes = self.dissolve(number);
                    }
                    Refusal::Overloaded => {
                        self.take_back(number);
                        freed.bytes = self.give_up(number, &Outcome::Overloaded, out);
                    }
                    Refusal::Busy(kind) => {
                        self.take_back(number);
                        freed.bytes = self.give_up(number, &Outcome::Busy(kind), out);
                    }
                    _ => freed.bytes = self.give_up(number, &Outcome::Unknown, out),
                }
            }
        }
        freed
    }

    /// Puts the submissions of a frame that is in no log back in front of the queue.
    fn dissolve(&mut self, number: u64) -> usize {
        self.take_back(number);
        self.frames.remove(&number).map_or(0, |frame| self.requeue(frame))
    }

    /// The number was in one attempt, which was refused: the newest such numbers are used again. Otherwise the first
    /// frame to be accepted might come with an acknowledgement from before the session, as if it were an old one.
    fn take_back(&mut self, number: u64) {
        self.unused.insert(number);
        while self.unused.remove(&(self.next_number - 1)) {
            self.next_number -= 1;
        }
    }

    /// Puts submissions back in front of the queue; gives the bytes of those that were answered meanwhile.
    fn requeue(&mut self, frame: Frame) -> usize {
        let mut units = Arc::unwrap_or_clone(frame.units);
        let mut freed = 0;
        for (client, deadline, count) in frame.clients.into_iter().rev() {
            let units = units.split_off(units.len() - count);
            let bytes = units.iter().map(weight).sum();
            let only_reads = frame.only_reads;
            match client {
                Some(client) => {
                    let units = Arc::new(units);
                    self.waiting.push_front(Item { client, units, deadline, bytes, only_reads });
                }
                None => freed += bytes,
            }
        }
        freed
    }

    fn give_up(&mut self, number: u64, outcome: &Outcome, out: &mut Vec<Output>) -> usize {
        self.frames.remove(&number).map_or(0, |frame| frame.give_up(outcome, out))
    }

    /// Continues under another session once the old one's frames are resolved: those under way are still answered;
    /// of those in doubt nobody can tell any more whether they ran.
    pub fn renew(&mut self, session: SessionId, out: &mut Vec<Output>) -> usize {
        let idle = self.frames.iter().filter(|(_, frame)| frame.attempt.is_none()).map(|(number, _)| *number);
        let idle: Vec<u64> = idle.collect();
        let freed = idle.into_iter().map(|number| self.give_up(number, &Outcome::Unknown, out)).sum();
        self.expired = !self.frames.is_empty();
        if !self.expired {
            self.session = session;
            self.next_number = 1;
            self.unused.clear();
        }
        freed
    }

    /// Answers what is out of time with what is known; gives the bytes released.
    pub fn expire(&mut self, now: Nanos, out: &mut Vec<Output>) -> usize {
        let mut freed = self.waits.expire(now, out);
        self.waiting.retain(|item| {
            let due = item.deadline <= now;
            if due {
                out.push(Output::Done(item.client, Outcome::Down));
                freed += item.bytes;
            }
            !due
        });
        let mut due: Vec<_> = self.local.extract_if(|_, item| item.deadline <= now).collect();
        due.sort_unstable_by_key(|(attempt, _)| *attempt);
        for (_, item) in due {
            let denied = item.only_reads || Mutant::OwnDoubtIsDenied.is_in();
            let outcome = if denied { Outcome::Down } else { Outcome::Unknown };
            out.push(Output::Done(item.client, outcome));
            freed += item.bytes;
        }
        // Every numbered frame is under way or in doubt: one that is neither was dissolved.
        let doubt = if Mutant::ForwarderDeniesDoubt.is_in() { Outcome::Down } else { Outcome::Unknown };
        self.frames.retain(|_, frame| frame.expire(now, &doubt, &mut freed, out));
        self.reads.retain(|_, frame| frame.expire(now, &Outcome::Down, &mut freed, out));
        freed
    }

    /// What is under way at this node's own machine is answered by then, or later.
    pub fn prolong(&mut self, deadline: Nanos) {
        self.local.values_mut().for_each(|item| item.deadline = item.deadline.max(deadline));
    }

    /// Sends what there is room for to the leader: what is in doubt first, under its old number.
    pub fn dispatch(
        &mut self,
        now: Nanos,
        group: GroupId,
        place: Place,
        bounds: &Bounds,
        tickets: &mut u64,
        out: &mut Vec<Output>,
    ) {
        let mut ticket = || {
            *tickets += 1;
            Ticket(*tickets)
        };
        self.waits.dispatch(now, group, place, &mut ticket, out);
        if self.expired {
            return;
        }
        let acknowledged_below = self.frames.keys().next().copied().unwrap_or(self.next_number);
        let send = |ticket, number, session, units: &Arc<Vec<Unit>>| {
            let origin = Some(Origin { session, number, acknowledged_below });
            let submission = Submission { ticket, origin, units: units.clone() };
            match place {
                Place::Here => Output::Local(group, submission),
                Place::There(node) => Output::Send(node, group, submission),
            }
        };
        // First what was sent before, in order, under its numbers.
        for (number, frame) in &mut self.frames {
            if frame.attempt.is_none() {
                let ticket = ticket();
                frame.attempt = Some((ticket, place));
                out.push(send(ticket, *number, self.session, &frame.units));
            }
        }
        if place == Place::Here {
            for item in self.waiting.drain(..) {
                let ticket = ticket();
                let units = item.units.clone();
                self.local.insert(ticket, item);
                out.push(Output::Local(group, Submission { ticket, origin: None, units }));
            }
            return;
        }
        for only_reads in [false, true] {
            while self.room(only_reads, bounds) {
                let Some(mut frame) = self.gather(only_reads, bounds) else { break };
                let ticket = ticket();
                frame.attempt = Some((ticket, place));
                if only_reads {
                    let submission = Submission { ticket, origin: None, units: frame.units.clone() };
                    if let Place::There(node) = place {
                        out.push(Output::Send(node, group, submission));
                    }
                    self.reads.insert(ticket, frame);
                } else {
                    let number = self.next_number;
                    self.next_number += 1;
                    out.push(send(ticket, number, self.session, &frame.units));
                    self.frames.insert(number, frame);
                }
            }
        }
    }

    fn room(&self, only_reads: bool, bounds: &Bounds) -> bool {
        let under_way = if only_reads { self.reads.len() } else { self.frames.len() };
        under_way < bounds.frames_in_flight_max
    }

    /// A frame of what waits, in order, of one kind.
    fn gather(&mut self, only_reads: bool, bounds: &Bounds) -> Option<Frame> {
        let mut frame =
            Frame { clients: Vec::new(), units: Arc::default(), bytes: 0, attempt: None, doubt: false, only_reads };
        let mut units = Vec::new();
        for _ in 0..self.waiting.len() {
            let Some(item) = self.waiting.pop_front() else { break };
            let is_full = frame.bytes >= bounds.frame_bytes_max || units.len() >= bounds.frame_units_max;
            if item.only_reads != only_reads || is_full {
                self.waiting.push_back(item);
                continue;
            }
            frame.clients.push((Some(item.client), item.deadline, item.units.len()));
            frame.bytes += item.bytes;
            units.extend(Arc::unwrap_or_clone(item.units));
        }
        frame.units = Arc::new(units);
        Some(frame).filter(|frame| !frame.clients.is_empty())
    }
}
