//! What a group wants done, and what it has to tell.

use std::time::Duration;

use bytes::Bytes;

use crate::base::{LogIndex, Nanos, NodeId, PeerId, Term};
use crate::store::{self, LogWrite};

/// A message for another replica.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mail {
    /// Receiving replica.
    pub to: PeerId,
    /// Where it is.
    pub node: NodeId,
    /// Header and Raft message.
    pub message: Bytes,
}

/// What a replica is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Follows, knows of no leader, waits for a predecessor's lease to end, or hands leadership over.
    Follower,
    /// Leads in `term`; `first` is the term's own first entry.
    Leader {
        /// The term.
        term: Term,
        /// Position of its first entry.
        first: LogIndex,
    },
}

/// A committed entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    /// Its place.
    pub index: LogIndex,
    /// Its term.
    pub term: Term,
    /// Payload, empty for the first entry of a term and for membership changes.
    pub data: Bytes,
    /// Encoded ConfState after a membership change.
    pub conf_state: Option<Bytes>,
}

/// What the state machine must know, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// What this replica is now.
    Role(Role),
    /// A leader was heard for the first time since the start: so much was committed by then, and comes late.
    InTouch {
        /// The leader's commit index when it wrote, or how far it had applied.
        commit: LogIndex,
    },
    /// Apply these, ascending without gaps.
    Commit(Vec<Committed>),
    /// Leadership was confirmed for this request: the state at `index` or later answers it.
    ReadIndex {
        /// The request.
        number: u64,
        /// Committed at the time of the request.
        index: LogIndex,
    },
    /// Leadership ended before it was confirmed.
    ReadRefused {
        /// The request.
        number: u64,
    },
    /// The lease of `term` lasts until then; 0 for never again.
    Lease {
        /// The term.
        term: Term,
        /// On this node's clock.
        until: Nanos,
    },
    /// The state is that of a snapshot at this place.
    Installed {
        /// Its place.
        index: LogIndex,
        /// Its term.
        term: Term,
    },
}

/// Work on snapshots; see `host::SnapshotEffect`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SnapshotTask {
    /// Take a view of the applied state.
    Take {
        /// Its number, below 2^63.
        snapshot: u64,
    },
    /// Stream the view with this message.
    Send {
        /// The message.
        mail: Mail,
        /// The view.
        snapshot: u64,
    },
    /// Replace the state.
    Install {
        /// The received snapshot.
        snapshot: u64,
        /// Its place in the log.
        index: LogIndex,
        /// Its term.
        term: Term,
        /// Membership there.
        conf_state: Bytes,
    },
    /// Forget it.
    Drop {
        /// View or received snapshot.
        snapshot: u64,
    },
}

/// A broken promise of disk, peer or program.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Two replicas have different state at the same index (rule 23).
    #[error("state diverged from peer {peer} at index {index}: hash {own:016x} here, {other:016x} there")]
    Diverged {
        /// The other replica.
        peer: PeerId,
        /// Where both had applied to.
        index: LogIndex,
        /// Rolling hash here.
        own: u64,
        /// Rolling hash there.
        other: u64,
    },
    /// The log could not be read.
    #[error("the log cannot be read: {0}")]
    Log(store::Error),
    /// The leader holds this replica to entries that it no longer has: its disk lost an acknowledged write. The
    /// group takes no further part here, for its votes could elect a leader without those entries.
    #[error("this replica acknowledged entries up to {acknowledged} but has only {last}: its log lost a synced write")]
    LostTail {
        /// What the leader knows to be here.
        acknowledged: LogIndex,
        /// What is here.
        last: LogIndex,
    },
}

/// What became of a group's leadership as this replica saw it, for people: nothing rests on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// The term that was won, lost, or found without a leader.
    pub term: Term,
    /// How long the oldest write that was not durable yet had waited for this node's disk.
    pub unsynced: Duration,
    /// What happened.
    pub kind: ChangeKind,
}

/// See [`Change`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeKind {
    /// No leader was heard for the time of this replica's election slot: it asks for votes.
    Campaigns {
        /// Node of the leader that was not heard any more, if there was one since the last time.
        lost: Option<NodeId>,
    },
    /// It leads.
    Won,
    /// It does not lead any more.
    Lost(Loss),
}

/// Why a replica does not lead any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// It handed leadership over on purpose.
    HandedOver,
    /// A message of a later term came: others elected, or want to.
    Overtaken {
        /// That term.
        by: Term,
    },
    /// Its oldest write was not durable for too long (rule 10).
    Disk,
    /// Not enough replicas answered within an election timeout (check-quorum).
    Silence,
}

/// What a group wants done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Effects {
    /// What to make durable under the number that was given to [`Group::drain`].
    pub write: Option<LogWrite>,
    /// Messages that may leave now.
    pub mail: Vec<Mail>,
    /// For the machine.
    pub events: Vec<Event>,
    /// Snapshot work.
    pub snapshots: Vec<SnapshotTask>,
    /// What became of leadership.
    pub changes: Vec<Change>,
    /// What must never happen.
    pub faults: Vec<Fault>,
}

/// What readers on other threads may know.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct View {
    /// Current term.
    pub term: Term,
    /// Node of its leader, if known.
    pub leader: Option<NodeId>,
    /// Leads, its term's first entry is committed, and predecessors' leases have ended.
    pub serving: bool,
    /// Committed up to here.
    pub commit: LogIndex,
    /// Local reads are safe before this moment; 0 for never.
    pub lease_until: Nanos,
}
