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
//! - A definite outcome (`Down`, `Overloaded`, `Busy`) is given only to what is in no attempt of unknown fate (rule 30).
//! - `acknowledged_below` never passes a frame that may still be sent.
//!
//! Reading order: this file (what is asked of it), `frame` (what travels together), `lane` (one group's queue), `waits`
//! (commands that wait for a key).

mod frame;
mod lane;
#[cfg(test)]
mod tests;
mod waits;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use self::frame::{Frame, Item, Place, only_reads, weight};
use self::lane::Lane;
use super::node::Outcome;
use crate::base::{GroupId, Nanos, NodeId, SessionId, Ticket};
use crate::command::batch::{Call, Unit, UnitReply};
use crate::machine::{Refusal, Submission};

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
    /// Units after which it is full: small requests may ask for large replies.
    pub frame_units_max: usize,
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
            frame_units_max: 2048,
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

/// Brings submissions to leaders.
#[derive(Debug)]
pub struct Forwarder {
    node: NodeId,
    bounds: Bounds,
    sessions: u64,
    /// Of blocked commands.
    waits: SessionId,
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
            // Far away from all that the other one ever counts up to.
            waits: SessionId(session.get() ^ (1 << 63)),
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
        let units = Arc::new(units);
        let item = Item { client, units, deadline: now + self.bounds.deadline, bytes, only_reads };
        self.lane(group).waiting.push_back(item);
    }

    /// Takes a client's command that waits where it finds nothing; `Output::Done` with the same ticket follows when there
    /// is something for it, or after [`Forwarder::hurry`]. Tickets of such commands ascend.
    pub fn block(&mut self, group: GroupId, client: Ticket, call: Call, out: &mut Vec<Output>) {
        if self.bytes > self.bounds.bytes_max {
            out.push(Output::Done(client, Outcome::Overloaded));
            return;
        }
        self.bytes += self.lane(group).waits.add(client, call);
    }

    /// The time of such a command is over: `Output::Done` follows within the deadline.
    pub fn hurry(&mut self, now: Nanos, group: GroupId, client: Ticket) {
        let deadline = now + self.bounds.deadline;
        self.lane(group).waits.hurry(client, now, deadline);
    }

    /// Nobody wants the answer of such a command any more.
    pub fn give_up(&mut self, group: GroupId, client: Ticket) {
        self.bytes -= self.lane(group).waits.give_up(client);
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
        } else if let Some((freed, is_refused)) = lane.waits.answered(attempt, answer, out) {
            if is_refused {
                lane.backoff_until = backoff_until;
            }
            freed
        } else {
            0
        };
        self.bytes -= freed;
    }

    /// A script runs for long on this node's machines of these groups: whoever asked it to may wait for it. The time to
    /// answer begins when it ends.
    pub fn prolong(&mut self, now: Nanos, groups: &[GroupId]) {
        for group in groups {
            if let Some(lane) = self.lanes.get_mut(group) {
                lane.prolong(now + self.bounds.deadline);
            }
        }
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
            lane.dispatch(now, *group, place, &self.bounds, &mut self.tickets, out);
        }
    }

    /// Bytes of submissions that are not answered yet.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Commands that wait for a key.
    pub fn blocked(&self) -> usize {
        self.lanes.values().map(|lane| lane.waits.count()).sum()
    }

    /// Submissions that are not answered yet, but for those that wait for a key.
    pub fn pending(&self) -> usize {
        let frames = |lane: &Lane| lane.frames.values().map(Frame::unanswered).sum::<usize>();
        let reads = |lane: &Lane| lane.reads.values().map(Frame::unanswered).sum::<usize>();
        self.lanes.values().map(|lane| lane.waiting.len() + lane.local.len() + frames(lane) + reads(lane)).sum()
    }

    fn lane(&mut self, group: GroupId) -> &mut Lane {
        let (session, waits) = (SessionId(self.sessions), self.waits);
        self.lanes.entry(group).or_insert_with(|| Lane::new(session, waits))
    }
}
