//! All groups of a worker: routes inputs to them, gathers what they want into one set of effects, so that one
//! fsync and one frame per peer serve all. Sans-IO and deterministic: production and simulator call the same type.
//!
//! [`Host::handle`] takes an input, [`Host::ready`] drains what is to be done: a burst of inputs before one `ready`
//! shares one write, and one message per follower.
//!
//! Invariants: `Effects::publish` is visible to readers before `Effects::send` leaves (rule 37); what must follow
//! an fsync is held here and appears in `send` only in answer to `Input::Persisted` (rule 1).

pub mod meta;
mod proposals;
mod worker;

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::base::{ClusterId, GroupId, LogIndex, Nanos, NodeId, PeerId, Term};
use crate::machine::{self, Proposal};
use crate::store::LogWrite;

pub use crate::group::{
    Change, ChangeKind, Config, Fault as FaultKind, Loss, PeerStatus, Start as GroupStart, StartError,
    Status as GroupStatus,
};
pub use worker::{Counters, Host};

/// A Raft message on its way between two nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// Cluster of the sender; another one's messages are dropped and counted (rule 15).
    pub cluster: ClusterId,
    /// Which group.
    pub group: GroupId,
    /// Membership epoch of the sender's group.
    pub epoch: u64,
    /// Sending node.
    pub from: NodeId,
    /// Receiving node.
    pub to: NodeId,
    /// Sending replica.
    pub from_peer: PeerId,
    /// Receiving replica.
    pub to_peer: PeerId,
    /// Encoded group message: lease facts and the opaque Raft message.
    pub message: Bytes,
}

/// What a host is told. Every call also carries the monotonic time.
#[derive(Clone, Debug)]
pub enum Input {
    /// One tick interval passed (rule 9: at most one per interval).
    Tick,
    /// A message of a peer arrived.
    Message(Envelope),
    /// Everything up to and including this `Persist::number` is durable.
    Persisted(u64),
    /// A machine wants an entry appended.
    Propose(Proposal),
    /// A machine applied up to `index`; `hash` is its rolling hash there.
    Applied { group: GroupId, index: LogIndex, hash: u64 },
    /// The state database holds this group durably up to `index`: the log may be cut there (rule 18).
    Flushed { group: GroupId, index: LogIndex },
    /// A machine wants leadership confirmed by a quorum round.
    ConfirmLeadership { group: GroupId, number: u64 },
    /// A machine forgot its lease (`machine::Output::LeaseReleased`): no answer of it rests on the lease of `term`
    /// any more, so leadership may be handed over without a wait (rule 33).
    LeaseReleased { group: GroupId, term: Term },
    /// Answer to `SnapshotEffect::Take`: a view was taken at this place. `conf_state` is the record of the state,
    /// empty if it has none yet.
    SnapshotTaken { group: GroupId, snapshot: u64, index: LogIndex, term: Term, conf_state: Bytes },
    /// Answer to `SnapshotEffect::Send` of this number, exactly once (rule 11), whatever became of it.
    SnapshotSent { group: GroupId, snapshot: u64, to_peer: PeerId, delivered: bool },
    /// All chunks of a snapshot arrived; `envelope` came with it.
    SnapshotReceived { envelope: Envelope, snapshot: u64 },
    /// Answer to `SnapshotEffect::Install`: the state is replaced, durably.
    SnapshotInstalled { group: GroupId, snapshot: u64 },
    /// The facts say who should take part in a group, and who should not any more.
    Members { group: GroupId, peers: BTreeMap<PeerId, NodeId>, former: BTreeMap<PeerId, NodeId> },
    /// Hand leadership of a group to another node.
    TransferLeader { group: GroupId, to: NodeId },
    /// Ask the leader of a group to hand leadership to this node.
    AskToLead { group: GroupId },
    /// Hand over leadership of every group led here to whoever is most up to date (shutdown).
    TransferAll,
}

/// What a host wants done, in the order of the fields.
#[derive(Clone, Debug, Default)]
pub struct Effects {
    /// What readers must see before anything below happens.
    pub publish: Vec<View>,
    /// Write durably; then `Input::Persisted(number)`. Several may be under way, in order.
    pub persist: Option<Persist>,
    /// Messages that may leave now.
    pub send: Vec<Envelope>,
    /// For the machines, in order per group.
    pub machine: Vec<(GroupId, machine::Input)>,
    /// Snapshot work.
    pub snapshots: Vec<SnapshotEffect>,
    /// Leadership that moves.
    pub moves: Vec<Move>,
    /// What must never happen. Log each; stop the process where [`Fault::is_fatal`] says so.
    pub faults: Vec<Fault>,
}

/// Where the leadership of a group goes, for people and clients: nothing rests on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Move {
    /// This node, which leads the group, began it.
    Begins(GroupId),
    /// Somebody is known to lead the group again, which may be this node.
    Ended(GroupId),
    /// This node wants to lead, does, or does not any more, on purpose or not.
    Changed(GroupId, Change),
}

/// A broken promise of disk, peer or program, found before it could spread.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Which group.
    pub group: GroupId,
    /// What was seen.
    pub kind: FaultKind,
}

impl Fault {
    /// Whether the process must end at once: its state or its disk cannot be trusted. Otherwise only the group stopped.
    pub fn is_fatal(&self) -> bool {
        !matches!(self.kind, FaultKind::LostTail { .. })
    }
}

/// Log writes of all groups that share one fsync.
#[derive(Clone, Debug)]
pub struct Persist {
    /// Ascending number of the write.
    pub number: u64,
    /// One per group that has something to write.
    pub writes: Vec<LogWrite>,
}

/// What the host asks about snapshots. Numbers that it gives out are below [`RECEIVED_SNAPSHOTS`].
#[derive(Clone, Debug)]
pub enum SnapshotEffect {
    /// Take a view of the group's applied state and keep it under the number.
    Take { group: GroupId, snapshot: u64 },
    /// Stream the view in chunks to the envelope's node, the envelope with it; drop the view afterwards.
    Send { envelope: Envelope, snapshot: u64 },
    /// Replace the group's state by the received snapshot: flush, ingest atomically, then answer (rule 20).
    /// `conf_state` is the membership record to keep, empty for the membership at birth: then there is none.
    Install { group: GroupId, snapshot: u64, index: LogIndex, term: Term, conf_state: Bytes },
    /// Forget a view or a received snapshot.
    Drop { group: GroupId, snapshot: u64 },
}

/// Received snapshots are numbered from here by the caller, so that [`SnapshotEffect::Drop`] names one or the other.
pub const RECEIVED_SNAPSHOTS: u64 = 1 << 63;

/// What readers on other threads may know of a group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct View {
    /// Which group.
    pub group: GroupId,
    /// Current term.
    pub term: Term,
    /// The leader of `term`, if known.
    pub leader: Option<NodeId>,
    /// Whether this node leads, its term's first entry is committed and predecessors' leases have ended.
    pub serving: bool,
    /// Committed up to here.
    pub commit: LogIndex,
    /// Local reads are safe before this moment, [`Nanos`] 0 for never.
    pub lease_until: Nanos,
}
