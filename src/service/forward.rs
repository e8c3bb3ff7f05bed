//! Retry without doubt: brings the submissions of this node's clients to the leaders of their groups, and after a
//! leader change brings them again without running anything twice. Sans-IO: time, views, links and answers in;
//! what to send and what to tell the clients out. Production and simulator call the same type.
//!
//! A submission to this node's own machine needs no memory elsewhere: the machine tells by (index, term) whether it
//! ran. For another node's machine everything that waits is gathered into a *frame*, numbered within this node's
//! session and the group. The leader stores the replies of a frame in the entry that holds its effects, so a frame
//! may be sent any number of times under its number. What only reads travels in frames of its own, without a number:
//! it may run as often as it likes, leaves nothing behind, and the leader's node can answer it under its lease.
//!
//! Invariants:
//! - A frame keeps its number and content from its first attempt on, as long as any attempt may have been appended.
//!   Only when the one attempt ever made was refused (so nothing is in any log) does it dissolve.
//! - A definite outcome (`Down`, `Overloaded`) is given only to what is in no attempt of unknown fate (rule 30).
//! - `acknowledged_below` never passes a frame that may still be sent.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use super::node::Outcome;
use crate::base::{GroupId, Nanos, NodeId, SessionId, Ticket};
use crate::command;
use crate::command::batch::{Call, Unit, UnitReply};
use crate::machine::{Origin, Refusal, Submission};

/// How long and how much.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// A submission is answered within this time, with what is known then.
    pub deadline: Duration,
    /// After a refusal the same leader is not asked again for this long, unless the view changes.
    pub backoff: Duration,
    /// Frames of one group under way at a time; what comes meanwhile shares the next one.
    pub frames_in_flight_max: usize,
    /// Bytes after which a frame is full; one submission always fits.
    pub frame_bytes_max: usize,
    /// Bytes of submissions that may be unanswered here.
    pub bytes_max: usize,
}

impl Default for Bounds {
    fn default() -> Bounds {
        Bounds {
            deadline: Duration::from_millis(2400),
            backoff: Duration::from_millis(10),
            frames_in_flight_max: 4,
            frame_bytes_max: crate::base::limits::ENTRY_BYTES_TARGET,
            bytes_max: crate::base::limits::MACHINE_QUEUE_BYTES_MAX,
        }
    }
}

/// What a machine, here or on another node, said of one attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It ran once: one reply per unit.
    Replies(Vec<UnitReply>),
    /// This attempt is in no log and never will be.
    Refused(Refusal),
    /// This attempt may have run.
    Unknown,
}

/// What the forwarder wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Give to the group's machine on this node; then [`Forwarder::answered`] with the submission's ticket.
    Local(GroupId, Submission),
    /// Send to the group's machine on another node; then `answered`, or `link_down`, or `unsent`.
    Send(NodeId, GroupId, Submission),
    /// Tell the client of this ticket.
    Done(Ticket, Outcome),
}

/// Where an attempt went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Here,
    There(NodeId),
}

/// One client's submission.
#[derive(Debug)]
struct Item {
    client: Ticket,
    units: Vec<Unit>,
    deadline: Nanos,
    bytes: usize,
    only_reads: bool,
}

/// Submissions that share a number.
#[derive(Debug)]
struct Frame {
    /// In order. `None`: answered already, its units stay because the frame's content must not change.
    clients: Vec<(Option<Ticket>, Nanos, usize)>,
    units: Vec<Unit>,
    bytes: usize,
    /// The attempt under way.
    attempt: Option<(Ticket, Place)>,
    /// An earlier attempt may have been appended.
    doubt: bool,
    /// It has no number then, and no attempt leaves doubt.
    only_reads: bool,
}

/// One group's queue.
#[derive(Debug)]
struct Lane {
    session: SessionId,
    leader: Option<NodeId>,
    backoff_until: Nanos,
    waiting: VecDeque<Item>,
    local: BTreeMap<Ticket, Item>,
    frames: BTreeMap<u64, Frame>,
    /// Frames of reads under way, by attempt.
    reads: BTreeMap<Ticket, Frame>,
    next_number: u64,
    /// Numbers whose only attempt was refused, below `next_number`.
    unused: BTreeSet<u64>,
    /// The leader forgot the session: no new frames until the old ones are resolved and a new session begins.
    expired: bool,
}

/// Brings submissions to leaders.
#[derive(Debug)]
pub struct Forwarder {
    node: NodeId,
    bounds: Bounds,
    sessions: u64,
    lanes: BTreeMap<GroupId, Lane>,
    links: BTreeSet<NodeId>,
    tickets: u64,
    bytes: usize,
}

impl Forwarder {
    /// `session` must never have been used before by any node: it is drawn at random at the start of the process.
    pub fn new(node: NodeId, session: SessionId, bounds: Bounds) -> Forwarder {
        Forwarder {
            node,
            bounds,
            sessions: session.get(),
            lanes: BTreeMap::new(),
            links: BTreeSet::new(),
            tickets: 0,
            bytes: 0,
        }
    }

    /// Takes a client's submission; `Output::Done` with the same ticket follows, within the deadline if `tick` is
    /// called. Nothing moves before [`Forwarder::flush`].
    pub fn submit(&mut self, now: Nanos, group: GroupId, client: Ticket, units: Vec<Unit>, out: &mut Vec<Output>) {
        let bytes = units.iter().map(weight).sum();
        if self.bytes + bytes > self.bounds.bytes_max {
            out.push(Output::Done(client, Outcome::Overloaded));
            return;
        }
        self.bytes += bytes;
        let only_reads = units.iter().all(only_reads);
        let item = Item { client, units, deadline: now + self.bounds.deadline, bytes, only_reads };
        self.lane(group).waiting.push_back(item);
    }

    /// What this node believes of a group's leader.
    pub fn leader(&mut self, group: GroupId, leader: Option<NodeId>) {
        let lane = self.lane(group);
        if lane.leader == leader {
            return;
        }
        lane.leader = leader;
        lane.backoff_until = Nanos(0);
        // Whoever was asked may still answer: that is no reason to wait for it.
        let freed = lane.abandon(|node| Some(node) != leader);
        self.bytes -= freed;
    }

    /// The stream of batches to a node is open.
    pub fn link_up(&mut self, node: NodeId) {
        self.links.insert(node);
    }

    /// That stream ended: nothing sent on it is answered any more.
    pub fn link_down(&mut self, node: NodeId) {
        self.links.remove(&node);
        for lane in self.lanes.values_mut() {
            self.bytes -= lane.abandon(|other| other == node);
        }
    }

    /// A submission could not be sent (no stream, no room): nobody has seen it.
    pub fn unsent(&mut self, now: Nanos, group: GroupId, attempt: Ticket, out: &mut Vec<Output>) {
        self.answered(now, group, attempt, Answer::Refused(Refusal::NotLeader), out);
    }

    /// A machine answered an attempt. Answers to attempts that were given up are ignored.
    pub fn answered(&mut self, now: Nanos, group: GroupId, attempt: Ticket, answer: Answer, out: &mut Vec<Output>) {
        let backoff_until = now + self.bounds.backoff;
        let lane = self.lane(group);
        let freed = if let Some(item) = lane.local.remove(&attempt) {
            lane.local_answered(item, answer, backoff_until, out)
        } else if let Some(frame) = lane.reads.remove(&attempt) {
            lane.reads_answered(frame, answer, backoff_until, out)
        } else if let Some(number) = lane.number_of(attempt) {
            let mut freed = lane.frame_answered(number, answer, backoff_until, out);
            if freed.session_expired || lane.expired {
                self.sessions = self.sessions.wrapping_add(1);
                let session = SessionId(self.sessions);
                freed.bytes += self.lane(group).renew(session, out);
            }
            freed.bytes
        } else {
            0
        };
        self.bytes -= freed;
    }

    /// Answers what is out of time with what is known, and asks leaders again that refused a while ago.
    pub fn tick(&mut self, now: Nanos, out: &mut Vec<Output>) {
        let mut freed = 0;
        for lane in self.lanes.values_mut() {
            freed += lane.expire(now, out);
            if lane.expired {
                self.sessions = self.sessions.wrapping_add(1);
                freed += lane.renew(SessionId(self.sessions), out);
            }
        }
        self.bytes -= freed;
        self.flush(now, out);
    }

    /// Sends what can be sent. Call it after a burst of other calls, so that the burst shares frames.
    pub fn flush(&mut self, now: Nanos, out: &mut Vec<Output>) {
        for (group, lane) in &mut self.lanes {
            let Some(leader) = lane.leader.filter(|_| now >= lane.backoff_until) else { continue };
            let place = if leader == self.node { Place::Here } else { Place::There(leader) };
            if matches!(place, Place::There(node) if !self.links.contains(&node)) {
                continue;
            }
            lane.dispatch(*group, place, &self.bounds, &mut self.tickets, out);
        }
    }

    /// Bytes of submissions that are not answered yet.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Submissions that are not answered yet.
    pub fn pending(&self) -> usize {
        let frames = |lane: &Lane| lane.frames.values().map(Frame::unanswered).sum::<usize>();
        let reads = |lane: &Lane| lane.reads.values().map(Frame::unanswered).sum::<usize>();
        self.lanes.values().map(|lane| lane.waiting.len() + lane.local.len() + frames(lane) + reads(lane)).sum()
    }

    fn lane(&mut self, group: GroupId) -> &mut Lane {
        let session = SessionId(self.sessions);
        self.lanes.entry(group).or_insert_with(|| Lane::new(session))
    }
}

/// What an answer released.
struct Freed {
    bytes: usize,
    session_expired: bool,
}

impl Lane {
    fn new(session: SessionId) -> Lane {
        Lane {
            session,
            leader: None,
            backoff_until: Nanos(0),
            waiting: VecDeque::new(),
            local: BTreeMap::new(),
            frames: BTreeMap::new(),
            reads: BTreeMap::new(),
            next_number: 1,
            unused: BTreeSet::new(),
            expired: false,
        }
    }

    fn number_of(&self, attempt: Ticket) -> Option<u64> {
        let found = self.frames.iter().find(|(_, frame)| frame.attempt.is_some_and(|(ticket, _)| ticket == attempt));
        found.map(|(number, _)| *number)
    }

    fn local_answered(&mut self, item: Item, answer: Answer, backoff_until: Nanos, out: &mut Vec<Output>) -> usize {
        let outcome = match answer {
            Answer::Replies(replies) => Outcome::Replies(replies),
            Answer::Unknown => Outcome::Unknown,
            Answer::Refused(Refusal::Overloaded) => Outcome::Overloaded,
            Answer::Refused(_) => {
                self.waiting.push_front(item);
                self.backoff_until = backoff_until;
                return 0;
            }
        };
        out.push(Output::Done(item.client, outcome));
        item.bytes
    }

    fn reads_answered(&mut self, frame: Frame, answer: Answer, backoff_until: Nanos, out: &mut Vec<Output>) -> usize {
        match answer {
            Answer::Replies(replies) => return frame.deliver(replies, out),
            Answer::Refused(Refusal::Overloaded) => return frame.give_up(&Outcome::Overloaded, out),
            Answer::Refused(_) | Answer::Unknown => {}
        }
        self.backoff_until = backoff_until;
        self.requeue(frame)
    }

    /// No answer is waited for from the nodes that `which` names: numbered frames are in doubt then, reads wait anew.
    fn abandon(&mut self, which: impl Fn(NodeId) -> bool) -> usize {
        let gone = |frame: &Frame| matches!(frame.attempt, Some((_, Place::There(node))) if which(node));
        for frame in self.frames.values_mut().filter(|frame| gone(frame)) {
            frame.attempt = None;
            frame.doubt = true;
        }
        let reads: Vec<Frame> = self.reads.extract_if(.., |_, frame| gone(frame)).map(|(_, frame)| frame).collect();
        reads.into_iter().rev().map(|frame| self.requeue(frame)).sum()
    }

    fn frame_answered(&mut self, number: u64, answer: Answer, backoff_until: Nanos, out: &mut Vec<Output>) -> Freed {
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
                    Refusal::NotLeader | Refusal::Overloaded if doubt => self.backoff_until = backoff_until,
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
        let mut units = frame.units;
        let mut freed = 0;
        for (client, deadline, count) in frame.clients.into_iter().rev() {
            let units = units.split_off(units.len() - count);
            let bytes = units.iter().map(weight).sum();
            let only_reads = frame.only_reads;
            match client {
                Some(client) => self.waiting.push_front(Item { client, units, deadline, bytes, only_reads }),
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
    fn renew(&mut self, session: SessionId, out: &mut Vec<Output>) -> usize {
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

    fn expire(&mut self, now: Nanos, out: &mut Vec<Output>) -> usize {
        let mut freed = 0;
        self.waiting.retain(|item| {
            let due = item.deadline <= now;
            if due {
                out.push(Output::Done(item.client, Outcome::Down));
                freed += item.bytes;
            }
            !due
        });
        self.local.retain(|_, item| {
            let due = item.deadline <= now;
            if due {
                let outcome = if item.only_reads { Outcome::Down } else { Outcome::Unknown };
                out.push(Output::Done(item.client, outcome));
                freed += item.bytes;
            }
            !due
        });
        // Every numbered frame is under way or in doubt: one that is neither was dissolved.
        self.frames.retain(|_, frame| frame.expire(now, &Outcome::Unknown, &mut freed, out));
        self.reads.retain(|_, frame| frame.expire(now, &Outcome::Down, &mut freed, out));
        freed
    }

    fn dispatch(&mut self, group: GroupId, place: Place, bounds: &Bounds, tickets: &mut u64, out: &mut Vec<Output>) {
        if self.expired {
            return;
        }
        let mut ticket = || {
            *tickets += 1;
            Ticket(*tickets)
        };
        let acknowledged_below = self.frames.keys().next().copied().unwrap_or(self.next_number);
        let send = |ticket, number, session, units: &Vec<Unit>| {
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
            Frame { clients: Vec::new(), units: Vec::new(), bytes: 0, attempt: None, doubt: false, only_reads };
        for _ in 0..self.waiting.len() {
            let Some(item) = self.waiting.pop_front() else { break };
            if item.only_reads != only_reads || frame.bytes >= bounds.frame_bytes_max {
                self.waiting.push_back(item);
                continue;
            }
            frame.clients.push((Some(item.client), item.deadline, item.units.len()));
            frame.bytes += item.bytes;
            frame.units.extend(item.units);
        }
        Some(frame).filter(|frame| !frame.clients.is_empty())
    }
}

impl Frame {
    fn unanswered(&self) -> usize {
        self.clients.iter().filter(|(client, ..)| client.is_some()).count()
    }

    /// Answers who is out of time; false when nobody is left.
    fn expire(&mut self, now: Nanos, outcome: &Outcome, freed: &mut usize, out: &mut Vec<Output>) -> bool {
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
    fn give_up(self, outcome: &Outcome, out: &mut Vec<Output>) -> usize {
        let clients = self.clients.iter().filter_map(|(client, ..)| *client);
        out.extend(clients.map(|client| Output::Done(client, outcome.clone())));
        self.bytes
    }

    /// Hands each client its share of the replies; gives the bytes released.
    fn deliver(self, replies: Vec<UnitReply>, out: &mut Vec<Output>) -> usize {
        let expected = self.units.len();
        let complete = replies.len() == expected;
        let mut replies = replies.into_iter();
        for (client, _, count) in self.clients {
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
fn only_reads(unit: &Unit) -> bool {
    let reads = |call: &Call| command::check(&call.args).is_ok_and(|spec| !spec.is_write());
    match unit {
        Unit::Call(call) => reads(call),
        Unit::Atomic { calls, .. } => calls.iter().all(reads),
        Unit::Watch { .. } => true,
    }
}

/// Bytes that a unit keeps in memory, roughly.
fn weight(unit: &Unit) -> usize {
    const EACH: usize = 64;
    let words = |args: &[bytes::Bytes]| args.iter().map(|word| word.len() + EACH).sum::<usize>();
    match unit {
        Unit::Call(call) => EACH + words(&call.args),
        Unit::Watch { keys, .. } => EACH + words(keys),
        Unit::Atomic { watches, calls } => {
            let watched: usize = watches.iter().map(|watch| watch.key.len() + EACH).sum();
            EACH + watched + calls.iter().map(|call| EACH + words(&call.args)).sum::<usize>()
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::command::batch::Call;
    use crate::resp::Protocol;

    const GROUP: GroupId = GroupId(1);
    const ME: NodeId = NodeId(1);

    fn at(ms: u64) -> Nanos {
        Nanos(ms * 1_000_000)
    }

    fn call(word: &'static str) -> Vec<Unit> {
        let args = vec![Bytes::from_static(b"INCR"), Bytes::from_static(word.as_bytes())];
        vec![Unit::Call(Call { db: 0, protocol: Protocol::Resp2, args })]
    }

    fn replies(texts: &[&'static str]) -> Vec<UnitReply> {
        texts.iter().map(|text| UnitReply::Call(Bytes::from_static(text.as_bytes()))).collect()
    }

    /// A forwarder on node 1 with links to nodes 2 and 3, and what it wants.
    struct Bench(Forwarder, Vec<Output>);

    impl Bench {
        fn led_by(leader: u64) -> Bench {
            let mut forwarder = Forwarder::new(ME, SessionId(77), Bounds::default());
            forwarder.link_up(NodeId(2));
            forwarder.link_up(NodeId(3));
            forwarder.leader(GROUP, Some(NodeId(leader)));
            Bench(forwarder, Vec::new())
        }

        fn submit(&mut self, ms: u64, client: u64, word: &'static str) {
            self.0.submit(at(ms), GROUP, Ticket(client), call(word), &mut self.1);
        }

        fn flush(&mut self, ms: u64) -> Vec<Output> {
            self.0.flush(at(ms), &mut self.1);
            std::mem::take(&mut self.1)
        }

        fn tick(&mut self, ms: u64) -> Vec<Output> {
            self.0.tick(at(ms), &mut self.1);
            std::mem::take(&mut self.1)
        }

        fn answer(&mut self, ms: u64, attempt: Ticket, answer: Answer) -> Vec<Output> {
            self.0.answered(at(ms), GROUP, attempt, answer, &mut self.1);
            self.flush(ms)
        }
    }

    /// The only thing wanted is this attempt.
    fn attempt(wanted: Vec<Output>) -> (NodeId, Submission) {
        match <[Output; 1]>::try_from(wanted) {
            Ok([Output::Send(node, GROUP, submission)]) => (node, submission),
            Ok([Output::Local(GROUP, submission)]) => (ME, submission),
            other => panic!("one attempt was expected, not {other:?}"),
        }
    }

    fn number(submission: &Submission) -> u64 {
        submission.origin.expect("a numbered frame").number
    }

    #[test]
    fn what_comes_together_shares_a_frame_and_everybody_gets_his_own_reply() {
        let mut bench = Bench::led_by(2);
        bench.submit(0, 10, "a");
        bench.submit(0, 11, "b");
        let (node, frame) = attempt(bench.flush(0));
        assert_eq!((node, frame.units.len(), number(&frame)), (NodeId(2), 2, 1));
        let done = bench.answer(1, frame.ticket, Answer::Replies(replies(&[":1", ":2"])));
        let expected = [(10, ":1"), (11, ":2")];
        let expected = expected.map(|(client, text)| Output::Done(Ticket(client), Outcome::Replies(replies(&[text]))));
        assert_eq!(done, expected, "R9: a reply goes to whom it belongs");
        assert_eq!((bench.0.bytes(), bench.0.pending()), (0, 0));
    }

    #[test]
    fn a_frame_keeps_its_number_and_content_over_a_leader_change() {
        let mut bench = Bench::led_by(2);
        bench.submit(0, 10, "a");
        let (_, first) = attempt(bench.flush(0));
        bench.0.link_down(NodeId(2));
        bench.submit(1, 11, "b");
        assert_eq!(bench.flush(1), [], "no link, no attempt");
        bench.0.leader(GROUP, Some(NodeId(3)));
        let wanted = bench.flush(2);
        let [Output::Send(to, _, again), Output::Send(_, _, second)] = &wanted[..] else { panic!("{wanted:?}") };
        assert_eq!(
            (*to, &again.units, again.origin),
            (NodeId(3), &first.units, first.origin),
            "J1: never a second INCR"
        );
        assert_eq!(number(second), 2);
        assert_eq!(
            bench.answer(3, first.ticket, Answer::Replies(replies(&[":9"]))),
            [],
            "an attempt that was given up"
        );
        let done = bench.answer(3, again.ticket, Answer::Replies(replies(&[":1"])));
        assert_eq!(done, [Output::Done(Ticket(10), Outcome::Replies(replies(&[":1"])))]);
    }

    #[test]
    fn the_new_leader_may_be_this_node() {
        let mut bench = Bench::led_by(2);
        bench.submit(0, 10, "a");
        let (_, first) = attempt(bench.flush(0));
        bench.0.leader(GROUP, Some(ME));
        bench.submit(1, 11, "b");
        let wanted = bench.flush(1);
        let [Output::Local(_, again), Output::Local(_, own)] = &wanted[..] else { panic!("{wanted:?}") };
        assert_eq!((again.origin, own.origin), (first.origin, None));
    }

    #[test]
    fn a_refused_first_attempt_leaves_no_doubt() {
        let mut bench = Bench::led_by(2);
        bench.submit(0, 10, "a");
        let (_, first) = attempt(bench.flush(0));
        assert_eq!(bench.answer(1, first.ticket, Answer::Refused(Refusal::NotLeader)), [], "not at once again");
        let (_, second) = attempt(bench.tick(20));
        assert_eq!(second.origin, first.origin, "nobody knows the number yet: the leader must take it for the first");
        bench.answer(21, second.ticket, Answer::Refused(Refusal::NotLeader));
        bench.0.leader(GROUP, None);
        assert_eq!(bench.tick(2500), [Output::Done(Ticket(10), Outcome::Down)], "it certainly did not run");
    }

    #[test]
    fn rule_30_what_may_have_run_is_never_called_down() {
        let mut bench = Bench::led_by(2);
        bench.submit(0, 10, "a");
        attempt(bench.flush(0));
        bench.0.link_down(NodeId(2));
        bench.0.leader(GROUP, Some(NodeId(3)));
        let (_, again) = attempt(bench.flush(1));
        bench.answer(2, again.ticket, Answer::Refused(Refusal::Overloaded));
        bench.0.leader(GROUP, None);
        assert_eq!(
            bench.tick(2500),
            [Output::Done(Ticket(10), Outcome::Unknown)],
            "R7, J2: the first attempt may have run"
        );
        assert_eq!(bench.0.bytes(), 0);
    }

    #[test]
    fn a_local_refusal_is_asked_again_and_a_local_doubt_is_told() {
        let mut bench = Bench::led_by(1);
        bench.submit(0, 10, "a");
        let (_, first) = attempt(bench.flush(0));
        assert_eq!(first.origin, None);
        bench.answer(1, first.ticket, Answer::Refused(Refusal::NotLeader));
        bench.0.leader(GROUP, Some(NodeId(2)));
        let (to, second) = attempt(bench.flush(1));
        assert_eq!((to, number(&second)), (NodeId(2), 1));
        bench.0.leader(GROUP, Some(ME));
        bench.submit(2, 11, "b");
        let wanted = bench.flush(2);
        let [_, Output::Local(_, own)] = &wanted[..] else { panic!("{wanted:?}") };
        assert_eq!(bench.answer(3, own.ticket, Answer::Unknown), [Output::Done(Ticket(11), Outcome::Unknown)]);
    }

    #[test]
    fn an_expired_session_is_followed_by_a_new_one() {
        let mut bench = Bench::led_by(2);
        for client in 10..13 {
            bench.submit(0, client, "a");
            let (_, frame) = attempt(bench.flush(0));
            if client == 10 {
                bench.answer(0, frame.ticket, Answer::Replies(replies(&[":1"])));
            } else {
                assert_eq!(number(&frame), client - 9);
            }
        }
        // Attempts 2 and 3 are refused by a leader that forgot the session.
        assert_eq!(bench.answer(1, Ticket(2), Answer::Refused(Refusal::SessionExpired)), [], "3 is still under way");
        let (_, frame) = attempt(bench.answer(1, Ticket(3), Answer::Refused(Refusal::SessionExpired)));
        let origin = frame.origin.expect("numbered");
        assert_eq!((origin.number, origin.acknowledged_below, frame.units.len()), (1, 1, 2));
        assert_ne!(origin.session, SessionId(77));
    }

    #[test]
    fn reads_travel_without_a_number_and_leave_no_doubt() {
        let mut bench = Bench::led_by(2);
        let get = || {
            let args = vec![Bytes::from_static(b"GET"), Bytes::from_static(b"a")];
            vec![Unit::Call(Call { db: 0, protocol: Protocol::Resp2, args })]
        };
        bench.0.submit(at(0), GROUP, Ticket(10), get(), &mut bench.1);
        bench.submit(0, 11, "a");
        let wanted = bench.flush(0);
        let [Output::Send(_, _, write), Output::Send(_, _, read)] = &wanted[..] else { panic!("{wanted:?}") };
        assert_eq!((number(write), read.origin), (1, None));
        bench.0.link_down(NodeId(2));
        bench.0.leader(GROUP, Some(NodeId(3)));
        let wanted = bench.flush(1);
        assert!(
            matches!(&wanted[..], [Output::Send(..), Output::Send(_, _, again)] if again.origin.is_none()),
            "{wanted:?}"
        );
        bench.0.link_down(NodeId(3));
        let mut done = bench.tick(2500);
        done.sort_by_key(|output| matches!(output, Output::Done(ticket, _) if *ticket == Ticket(11)));
        assert_eq!(done, [Output::Done(Ticket(10), Outcome::Down), Output::Done(Ticket(11), Outcome::Unknown)]);
        assert_eq!((bench.0.bytes(), bench.0.pending()), (0, 0));
    }

    #[test]
    fn rule_40_the_queue_is_bounded() {
        let mut bench = Bench::led_by(2);
        bench.0.bounds.bytes_max = 250;
        bench.submit(0, 10, "a");
        bench.submit(0, 11, "b");
        assert_eq!(bench.1, [Output::Done(Ticket(11), Outcome::Overloaded)]);
    }

    #[test]
    fn frames_under_way_are_bounded_and_what_waits_shares_the_next() {
        let mut bench = Bench::led_by(2);
        let mut tickets = Vec::new();
        for client in 0..20 {
            bench.submit(0, client, "a");
            tickets.extend(bench.flush(0));
        }
        assert_eq!(tickets.len(), 4);
        let Output::Send(_, _, first) = &tickets[0] else { panic!("{tickets:?}") };
        let wanted = bench.answer(1, first.ticket, Answer::Replies(replies(&[":1"])));
        let Some(Output::Send(_, _, next)) = wanted.last() else { panic!("{wanted:?}") };
        assert_eq!(next.units.len(), 16);
        assert_eq!(next.origin.expect("numbered").acknowledged_below, 2);
    }
}
