//! Handing leadership over on purpose: within a few round trips, without a lease in the way.
//!
//! The order is what makes it safe (see [`super::lease`]): wait for the own predecessors' leases, give up the lease
//! for the rest of the term, tell the machine, hear from it that no answer rests on the lease any more, and only then
//! let the crate bring the successor up to date and ask it to campaign. A machine that does not answer costs the
//! successor an ordinary wait: after a few ticks the transfer goes on, without the promise in its message.

//!
//! A follower may ask for it (CLUSTER FAILOVER), with the crate's own kind of message. The crate never sees that message:
//! its leader would begin at once, with the lease in its hands.

use raft::StateRole;
use raft::eraftpb::{Message, MessageType};

use super::Group;
use crate::base::{Mutant, Nanos, NodeId, Term};

/// Ticks that the machine has for its answer.
const RELEASE_TICKS: u32 = 5;

#[derive(Clone, Copy, Debug)]
pub(super) struct Transfer {
    to: u64,
    /// Ticks since the lease was given up.
    ticks: u32,
    stage: Stage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// The machine still has to forget its lease.
    Releasing,
    /// The crate works on it; it gives up after an election timeout.
    Started { released: bool },
}

impl Group {
    /// Starts to hand leadership to the replica on a node. Whether it did: only a serving leader can, to a voter.
    pub fn transfer_to(&mut self, now: Nanos, node: NodeId) -> bool {
        let peer = self.peers.iter().find(|(_, at)| **at == node).map(|(peer, _)| peer.get());
        match peer.filter(|peer| self.membership.get_voters().contains(peer)) {
            Some(peer) => self.begin_transfer(now, peer),
            None => false,
        }
    }

    /// Starts to hand leadership to the follower that is most up to date.
    pub fn transfer_to_best(&mut self, now: Nanos) -> bool {
        let me = self.node.raft.id;
        let voters = self.membership.get_voters();
        let progress = self
            .node
            .raft
            .prs()
            .iter()
            .filter(|(peer, progress)| **peer != me && progress.recent_active && voters.contains(peer));
        // Equal progress: the lowest id, so that the choice can be repeated.
        match progress.map(|(&peer, progress)| (progress.matched, std::cmp::Reverse(peer))).max() {
            Some((_, std::cmp::Reverse(peer))) => self.begin_transfer(now, peer),
            None => false,
        }
    }

    /// Asks the leader, if one is known, to hand leadership to this replica.
    pub fn ask_to_lead(&mut self, now: Nanos) {
        let raft = &self.node.raft;
        if raft.state != StateRole::Follower || raft.leader_id == 0 || self.stopped {
            return;
        }
        let mut message = Message::default();
        message.set_msg_type(MessageType::MsgTransferLeader);
        (message.from, message.to, message.term) = (raft.id, raft.leader_id, raft.term);
        if let Some(mail) = self.address(now, &message) {
            self.out.mail.push(mail);
        }
    }

    /// A replica asked to lead. Who leads another term, or does not, has nothing to hand over.
    pub(super) fn asked_to_hand_over(&mut self, now: Nanos, message: &Message) {
        let is_voter = self.membership.get_voters().contains(&message.from);
        if message.term == self.node.raft.term && message.to == self.node.raft.id && is_voter {
            self.begin_transfer(now, message.from);
        }
    }

    /// The machine forgot the lease of `term`.
    pub fn lease_released(&mut self, now: Nanos, term: Term) {
        let releasing = self.transfer.is_some_and(|transfer| transfer.stage == Stage::Releasing);
        if releasing && term.get() == self.node.raft.term {
            self.start_transfer(now, true);
        }
    }

    /// Whether leadership is being handed over.
    pub fn is_transferring(&self) -> bool {
        self.transfer.is_some()
    }

    fn begin_transfer(&mut self, now: Nanos, to: u64) -> bool {
        let ready = self.node.raft.state == StateRole::Leader && now >= self.leadership.serve_after;
        if !ready || to == self.node.raft.id || self.transfer.is_some() || self.stopped {
            return false;
        }
        let had_lease = self.told_lease();
        if !Mutant::LeaseKeptAfterTransfer.is_in() {
            self.lease.give_up();
        }
        self.transfer = Some(Transfer { to, ticks: 0, stage: Stage::Releasing });
        if !had_lease || Mutant::TransferIgnoresTheMachine.is_in() {
            self.start_transfer(now, true);
        }
        true
    }

    fn start_transfer(&mut self, now: Nanos, released: bool) {
        if let Some(transfer) = &mut self.transfer {
            transfer.stage = Stage::Started { released };
            let to = transfer.to;
            self.node.transfer_leader(to);
            self.observe(now);
        }
    }

    /// What the message that asks the successor to campaign says about leases.
    pub(super) fn lease_is_over(&self) -> bool {
        self.transfer.is_some_and(|transfer| transfer.stage == Stage::Started { released: true })
    }

    pub(super) fn tick_transfer(&mut self, now: Nanos) {
        let Some(transfer) = &mut self.transfer else { return };
        transfer.ticks += 1;
        if transfer.stage == Stage::Releasing && transfer.ticks >= RELEASE_TICKS {
            self.start_transfer(now, false);
        }
    }

    /// Notices that the crate gave up: this replica goes on leading, without leases in this term.
    pub(super) fn watch_transfer(&mut self) {
        let started = self.transfer.is_some_and(|transfer| matches!(transfer.stage, Stage::Started { .. }));
        if started && self.node.raft.lead_transferee.is_none() {
            self.transfer = None;
        }
    }
}
