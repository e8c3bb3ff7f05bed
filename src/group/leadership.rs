//! Who leads, noticed after every call into the crate: roles, terms, the wait for predecessors' leases.
//!
//! Invariant: the machine is told `Role::Leader` only while this replica leads, every lease of a predecessor has
//! ended (rule 34) and no transfer is under way.

use raft::StateRole;
use raft::eraftpb::{Message, MessageType};

use super::header::Header;
use super::lease::{self, Lease, Vote};
use super::timeout::election_ticks;
use super::{Change, ChangeKind, Event, Group, Loss, Role};
use crate::base::{LogIndex, Nanos, Term};

/// How much further a lease must reach before the machine is told again: it is told often enough to never run out,
/// and not for every acknowledgement.
const LEASE_STEP: std::time::Duration = std::time::Duration::from_millis(25);

/// What was last noticed and told.
#[derive(Debug)]
pub(super) struct Leadership {
    term: u64,
    leading: bool,
    /// Position of the first entry of the own term.
    first: u64,
    /// Predecessors' leases have ended then.
    pub serve_after: Nanos,
    told: Role,
    told_lease: Nanos,
    /// The newest lease that readers were told of began then.
    lease_start: Option<Nanos>,
    /// The election timeout in ticks, and the term that it was computed for.
    slot: Option<(u64, usize)>,
}

impl Default for Leadership {
    fn default() -> Leadership {
        Leadership {
            term: 0,
            leading: false,
            first: 0,
            serve_after: Nanos(0),
            told: Role::Follower,
            told_lease: Nanos(0),
            lease_start: None,
            slot: None,
        }
    }
}

impl Group {
    /// Runs after every call into the crate: pins the election timeout, notices changes of role and term.
    pub(super) fn observe(&mut self, now: Nanos) {
        let term = self.node.raft.term;
        let leading = self.node.raft.state == StateRole::Leader;
        if self.leadership.leading && (!leading || term != self.leadership.term) {
            self.lost_leadership(now);
        }
        if term != self.leadership.term {
            self.leadership.term = term;
            self.votes.retain(|_| leading);
        }
        if leading && !self.leadership.leading {
            self.won_leadership(now);
        }
        self.pin_election_timeout();
        self.watch_transfer();
    }

    fn won_leadership(&mut self, now: Nanos) {
        let (age, age_term) = self.promise.age(now);
        let own = Vote { received: now, age, age_term };
        let votes = self.votes.drain(..).chain([own]);
        self.leadership.serve_after = lease::serve_after(votes, self.ended_lease, self.span);
        self.leadership.leading = true;
        self.in_touch = true;
        self.leadership.first = self.node.raft.raft_log.last_index();
        self.leadership.lease_start = None;
        self.leadership.told_lease = Nanos(0);
        self.lease = Lease::default();
        if !self.config.use_leases {
            self.lease.give_up();
        }
        self.counters.times_elected += 1;
        self.note(now, self.node.raft.term, ChangeKind::Won);
    }

    fn lost_leadership(&mut self, now: Nanos) {
        let (term, led) = (self.node.raft.term, self.leadership.term);
        let why = match self.unsynced(now) {
            _ if term != led && self.transfer.is_some() => Loss::HandedOver,
            _ if term != led => Loss::Overtaken { by: Term(term) },
            unsynced if unsynced > self.config.unsynced_max => Loss::Disk,
            _ => Loss::Silence,
        };
        self.note(now, led, ChangeKind::Lost(why));
        self.leadership.leading = false;
        if let Some(start) = self.leadership.lease_start.take() {
            self.promise.led(self.leadership.term, start);
        }
        self.lease = Lease::default();
        self.transfer = None;
        self.reads.refuse_all(&mut self.out.events);
        self.forget_snapshots();
    }

    /// How long the oldest write that is not durable yet waits for the disk.
    pub(super) fn unsynced(&self, now: Nanos) -> std::time::Duration {
        self.waiting.front().map(|front| now.since(front.since)).unwrap_or_default()
    }

    /// Tells people what became of leadership.
    pub(super) fn note(&mut self, now: Nanos, term: u64, kind: ChangeKind) {
        let unsynced = self.unsynced(now);
        self.out.changes.push(Change { term: Term(term), unsynced, kind });
    }

    /// Gives up leadership without a successor (rule 10). The crate keeps term and vote: this replica cannot vote for
    /// anybody else in this term.
    pub(super) fn step_down(&mut self, now: Nanos) {
        let term = self.node.raft.term;
        self.node.raft.become_follower(term, raft::INVALID_ID);
        self.counters.step_downs += 1;
        self.observe(now);
    }

    /// Facts of a message that count before the crate acts on it: this one may decide an election.
    pub(super) fn before_step(&mut self, now: Nanos, header: &Header, message: &Message) {
        let raft = &self.node.raft;
        if message.term != raft.term {
            return;
        }
        match (message.get_msg_type(), raft.state) {
            (MessageType::MsgRequestVoteResponse, StateRole::Candidate) if !message.reject => {
                self.votes.push(Vote { received: now, age: header.age, age_term: header.age_term });
            }
            (MessageType::MsgAppendResponse | MessageType::MsgHeartbeatResponse, StateRole::Leader) => {
                self.lease.echoed(message.from, header.round);
            }
            (MessageType::MsgTimeoutNow, StateRole::Follower) if header.lease_ended => {
                self.ended_lease = Some(message.term);
            }
            _ => {}
        }
    }

    /// What the machine should believe.
    pub(super) fn role(&self, now: Nanos) -> Role {
        let serves = self.leadership.leading && now >= self.leadership.serve_after;
        if serves && self.transfer.is_none() && !self.stopped {
            Role::Leader { term: Term(self.leadership.term), first: LogIndex(self.leadership.first) }
        } else {
            Role::Follower
        }
    }

    /// Until when local reads are safe, 0 for never.
    pub(super) fn lease_until(&self) -> Nanos {
        let membership = &self.membership;
        let start = self.lease.start(self.node.raft.id, membership.get_voters(), membership.get_voters_outgoing());
        start.map_or(Nanos(0), |start| start + self.span.lease)
    }

    /// Tells the machine what changed about role and lease.
    pub(super) fn tell_role(&mut self, now: Nanos) {
        let role = self.role(now);
        if role != self.leadership.told {
            // From one term's leadership to another's there was a time as follower, however short.
            if matches!(self.leadership.told, Role::Leader { .. }) && role != Role::Follower {
                self.out.events.push(Event::Role(Role::Follower));
            }
            self.leadership.told = role;
            self.out.events.push(Event::Role(role));
        }
        if !self.leadership.leading {
            return;
        }
        let view = self.view(now);
        if view.lease_until > Nanos(0) {
            let start = view.lease_until - self.span.lease;
            // A lease without end is one without other voters: nobody can be misled by it.
            self.leadership.lease_start = Some(start).filter(|_| view.lease_until < Nanos(u64::MAX));
        }
        let ended = view.lease_until == Nanos(0) && self.leadership.told_lease > Nanos(0);
        if ended || view.lease_until > self.leadership.told_lease + LEASE_STEP {
            self.leadership.told_lease = view.lease_until;
            self.out.events.push(Event::Lease { term: view.term, until: view.lease_until });
        }
    }

    /// Whether the machine may be answering under a lease of this term.
    pub(super) fn told_lease(&self) -> bool {
        self.leadership.lease_start.is_some() || self.leadership.told_lease > Nanos(0)
    }

    /// The membership changed: ranks and with them election slots may have.
    pub(super) fn forget_election_slot(&mut self) {
        self.leadership.slot = None;
    }

    fn pin_election_timeout(&mut self) {
        let term = self.node.raft.term;
        let ticks = match self.leadership.slot {
            Some((known, ticks)) if known == term => ticks,
            _ => {
                let membership = &self.membership;
                let mut voters = [membership.get_voters(), membership.get_voters_outgoing()].concat();
                voters.sort_unstable();
                voters.dedup();
                let rank = voters.iter().position(|&voter| voter == self.node.raft.id).unwrap_or(voters.len());
                election_ticks(self.seed, self.id, rank, voters.len(), term, self.config.election_ticks)
            }
        };
        self.leadership.slot = Some((term, ticks));
        if self.node.raft.randomized_election_timeout() != ticks {
            self.node.raft.set_randomized_election_timeout(ticks);
        }
    }
}
