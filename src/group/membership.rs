//! Who takes part: the meta group says who should, the leader of each group brings that about, one voter at a time.
//!
//! A replica that is new begins as a learner, which counts in no quorum, and becomes a voter when it has caught up. One
//! that is to be none any more is taken out when the voters that remain can do without it; a leader that is one hands its
//! leadership over before. Each step is an entry of its own and changes one replica, so that any two quorums of
//! memberships that follow each other have a replica in common (Raft thesis, section 4.1), on which leases rest as well.
//!
//! From the meta group a node is taken out last: it leads or votes in others until it hears from the facts that it should not.
//!
//! Invariants (rules 12, 13): a change is proposed only by a leader that serves, when all earlier ones are applied; what
//! the facts do not tell of is left alone, so that facts of yesterday take nobody out. A joint membership (section 4.3),
//! which another version may have left behind, is left by whoever leads: its ticks propose the second step until it is
//! applied. The crate's automatic second step is not used: it is lost with the leader that owed it.

use std::collections::{BTreeMap, BTreeSet};

use protobuf::Message as _;
use raft::ProgressState;
use raft::eraftpb::{ConfChangeSingle, ConfChangeType, ConfChangeV2};

use super::{Group, Role, SnapshotTask};
use crate::base::{Nanos, NodeId, PeerId};

/// Entries that a learner may lack to be made a voter: what comes meanwhile is on its way to it.
const LAG_MAX: u64 = 100;

/// What the membership is to become.
#[derive(Clone, Debug, Default)]
pub(super) struct Wanted {
    members: BTreeSet<u64>,
    former: BTreeSet<u64>,
    /// Former ones that must not be taken out yet.
    held: BTreeSet<u64>,
}

/// The next change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Change(ConfChangeType, u64),
    /// This replica leads and is to go.
    HandOver,
}

impl Wanted {
    pub fn new(peers: &BTreeMap<PeerId, NodeId>, former: &BTreeMap<PeerId, NodeId>) -> Wanted {
        let ids = |peers: &BTreeMap<PeerId, NodeId>| peers.keys().map(|peer| peer.get()).collect();
        Wanted { members: ids(peers), former: ids(former), held: BTreeSet::new() }
    }
}

impl Group {
    /// The facts say who should take part, and who should not any more.
    pub fn set_members(&mut self, peers: &BTreeMap<PeerId, NodeId>, former: &BTreeMap<PeerId, NodeId>) {
        self.wanted = Wanted { held: std::mem::take(&mut self.wanted.held), ..Wanted::new(peers, former) };
        self.peers.extend(peers.iter().chain(former).map(|(peer, node)| (*peer, *node)));
    }

    /// Whether a replica that is to go has still a part here.
    pub fn has_leaving(&self) -> bool {
        self.replicas().any(|peer| self.wanted.former.contains(&peer))
    }

    /// Where the replicas are that have a part here.
    pub fn nodes(&self) -> impl Iterator<Item = NodeId> {
        self.replicas().filter_map(|peer| self.peers.get(&PeerId(peer)).copied())
    }

    /// Replicas of these nodes are not taken out yet, whatever the facts say, unless it is this one.
    pub fn hold(&mut self, nodes: &BTreeSet<NodeId>) {
        let at_them = self.peers.iter().filter(|(_, node)| nodes.contains(node));
        self.wanted.held = at_them.map(|(peer, _)| peer.get()).collect();
    }

    /// A replica called that nothing told of so far: it is answered.
    pub fn meet(&mut self, peer: PeerId, node: NodeId) {
        self.peers.entry(peer).or_insert(node);
    }

    fn replicas(&self) -> impl Iterator<Item = u64> {
        let membership = &self.membership;
        let all = [membership.get_voters(), membership.get_voters_outgoing(), membership.get_learners()];
        all.into_iter().flatten().copied()
    }

    /// Proposes the next step towards what is wanted.
    pub(super) fn tick_membership(&mut self, now: Nanos) {
        let leads = matches!(self.role(now), Role::Leader { .. });
        // The crate makes an empty entry of a change that comes before an earlier one is applied, every time. And it waits
        // for a change that it refused for want of room as well, which is in no log: then that empty entry ends the wait.
        let raft = &self.node.raft;
        let waits = raft.has_pending_conf() && raft.pending_conf_index <= raft.raft_log.last_index();
        if !leads || waits {
            return;
        }
        let change = if self.membership.get_voters_outgoing().is_empty() {
            match self.next_step() {
                None => return,
                Some(Step::HandOver) => {
                    self.transfer_to_best(now);
                    return;
                }
                Some(Step::Change(kind, peer)) => {
                    let single = ConfChangeSingle { node_id: peer, change_type: kind, ..ConfChangeSingle::default() };
                    ConfChangeV2 { changes: vec![single].into(), ..ConfChangeV2::default() }
                }
            }
        } else {
            ConfChangeV2::default()
        };
        // Refused where the log has no room: the next tick tries again.
        let _ = self.node.propose_conf_change(Vec::new(), change);
        self.observe(now);
    }

    fn next_step(&self) -> Option<Step> {
        let Wanted { members, former, held } = &self.wanted;
        let me = self.node.raft.id;
        let (voters, learners) = (self.membership.get_voters(), self.membership.get_learners());
        let is_in = |peer: &u64| voters.contains(peer) || learners.contains(peer);
        let wanted = members.difference(former);
        if let Some(ready) = learners.iter().find(|peer| !former.contains(peer) && self.has_caught_up(**peer)) {
            return Some(Step::Change(ConfChangeType::AddNode, *ready));
        }
        if let Some(new) = wanted.clone().find(|peer| !is_in(peer)) {
            return Some(Step::Change(ConfChangeType::AddLearnerNode, *new));
        }
        let may_go = |peer: &u64| *peer == me || (!held.contains(peer) && self.can_do_without(*peer));
        let gone = former.iter().filter(|peer| is_in(peer) && may_go(peer));
        match gone.max_by_key(|peer| **peer != me) {
            Some(gone) if *gone == me => Some(Step::HandOver),
            Some(gone) => Some(Step::Change(ConfChangeType::RemoveNode, *gone)),
            None => None,
        }
    }

    fn has_caught_up(&self, peer: u64) -> bool {
        let raft = &self.node.raft;
        raft.prs().get(peer).is_some_and(|progress| {
            let lag = raft.raft_log.committed.saturating_sub(progress.matched);
            progress.recent_active && progress.state == ProgressState::Replicate && lag <= LAG_MAX
        })
    }

    /// Whether the voters that remain are a quorum without it, as far as they were heard.
    fn can_do_without(&self, peer: u64) -> bool {
        let raft = &self.node.raft;
        let rest: Vec<u64> = self.membership.get_voters().iter().copied().filter(|voter| *voter != peer).collect();
        let is_heard =
            |voter: &u64| *voter == raft.id || raft.prs().get(*voter).is_some_and(|progress| progress.recent_active);
        rest.iter().filter(|voter| is_heard(voter)).count() > rest.len() / 2
    }

    /// A change was applied; returns the membership as it is stored.
    pub(super) fn apply_change(&mut self, change: &ConfChangeV2) -> Option<bytes::Bytes> {
        // A change that does not fit the membership is refused by every replica alike and changes nothing.
        let mut membership = self.node.apply_conf_change(change).ok()?;
        // The crate keeps sets: the record must be the same on every replica.
        for peers in [
            &mut membership.voters,
            &mut membership.voters_outgoing,
            &mut membership.learners,
            &mut membership.learners_next,
        ] {
            peers.sort_unstable();
        }
        let encoded = membership.write_to_bytes().ok();
        self.membership = membership;
        self.forget_election_slot();
        self.drop_needless_snapshots();
        encoded.map(Into::into)
    }

    /// Views that were taken for replicas that are none any more.
    fn drop_needless_snapshots(&mut self) {
        let known: Vec<u64> = self.node.raft.prs().iter().map(|(peer, _)| *peer).collect();
        let dropped = self.node.store().outgoing.borrow_mut().retain(|peer| known.contains(&peer));
        self.out.snapshots.extend(dropped.into_iter().map(|snapshot| SnapshotTask::Drop { snapshot }));
    }

    /// Whether the membership is what it should be.
    pub(super) fn is_as_wanted(&self) -> bool {
        let Wanted { members, former, .. } = &self.wanted;
        let voters = self.membership.get_voters();
        let all = members.difference(former).all(|peer| voters.contains(peer));
        all && self.membership.get_learners().is_empty()
            && self.membership.get_voters_outgoing().is_empty()
            && voters.iter().all(|voter| !former.contains(voter))
    }
}
