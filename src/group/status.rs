//! What a replica tells about itself, for people and metrics.

use raft::{ProgressState, StateRole};

use super::Group;
use crate::base::{GroupId, LogIndex, NodeId, PeerId, Term};

/// Counts since the start of the process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Elections that this replica started.
    pub elections: u64,
    /// Elections that it won.
    pub times_elected: u64,
    /// Times it gave leadership up because its disk was slow.
    pub step_downs: u64,
    /// Messages of peers that no sound peer sends.
    pub bogus_messages: u64,
    /// Snapshots given to the streamer.
    pub snapshots_sent: u64,
    /// Snapshots that replaced the state here.
    pub snapshots_installed: u64,
}

/// A replica as its group's leader sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerStatus {
    /// Which replica.
    pub peer: PeerId,
    /// Where it is.
    pub node: Option<NodeId>,
    /// Its log is known to be equal up to here.
    pub matched: LogIndex,
    /// Entries it is behind the leader's log.
    pub lag: u64,
    /// `probe`, `replicate` or `snapshot`.
    pub state: &'static str,
    /// Whether it answered within the last election timeout.
    pub active: bool,
}

/// A group as this replica sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// Which group.
    pub group: GroupId,
    /// This replica.
    pub peer: PeerId,
    /// `leader`, `follower`, `candidate`, or `stopped` after a fault.
    pub role: &'static str,
    /// Current term.
    pub term: Term,
    /// Node of the leader, if known.
    pub leader: Option<NodeId>,
    /// First entry in the log.
    pub first: LogIndex,
    /// Last entry in the log.
    pub last: LogIndex,
    /// Last entry that a crash would leave.
    pub durable: LogIndex,
    /// Committed up to here.
    pub commit: LogIndex,
    /// Applied up to here.
    pub applied: LogIndex,
    /// Whether leadership is being handed over.
    pub transferring: bool,
    /// Replicas that count in quorums.
    pub voters: Vec<PeerId>,
    /// Replicas that do not: they are catching up.
    pub learners: Vec<PeerId>,
    /// The facts want no other membership.
    pub is_as_wanted: bool,
    /// All other replicas, on the leader only.
    pub peers: Vec<PeerStatus>,
    /// Counts.
    pub counters: Counters,
}

impl Group {
    /// What there is to tell.
    pub fn status(&self) -> Status {
        let raft = &self.node.raft;
        let log = &raft.raft_log;
        let leading = raft.state == StateRole::Leader;
        let role = match raft.state {
            _ if self.stopped => "stopped",
            StateRole::Leader => "leader",
            StateRole::Follower => "follower",
            StateRole::Candidate | StateRole::PreCandidate => "candidate",
        };
        let others = raft.prs().iter().filter(|(peer, _)| leading && **peer != raft.id);
        let mut peers: Vec<_> = others
            .map(|(&peer, progress)| PeerStatus {
                peer: PeerId(peer),
                node: self.peers.get(&PeerId(peer)).copied(),
                matched: LogIndex(progress.matched),
                lag: log.last_index().saturating_sub(progress.matched),
                state: match progress.state {
                    ProgressState::Probe => "probe",
                    ProgressState::Replicate => "replicate",
                    ProgressState::Snapshot => "snapshot",
                },
                active: progress.recent_active,
            })
            .collect();
        peers.sort_unstable_by_key(|peer| peer.peer);
        let ids = |ids: &[u64]| ids.iter().copied().map(PeerId).collect();
        Status {
            group: self.id,
            peer: PeerId(raft.id),
            role,
            term: Term(raft.term),
            leader: self.peers.get(&PeerId(raft.leader_id)).copied(),
            first: LogIndex(log.first_index()),
            last: LogIndex(log.last_index()),
            durable: LogIndex(self.node.store().durable()),
            commit: LogIndex(log.committed),
            applied: LogIndex(self.applied),
            transferring: self.transfer.is_some(),
            voters: ids(self.membership.get_voters()),
            learners: ids(self.membership.get_learners()),
            is_as_wanted: self.is_as_wanted(),
            peers,
            counters: self.counters,
        }
    }
}
