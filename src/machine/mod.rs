//! The state machine of one group: on the leader it evaluates waiting units into an entry, on every replica it
//! applies entries. Without IO of its own but for the engine it is given; time, chance and roles are inputs.
//!
//! Invariants: evaluation happens only as leader after the term's first entry is applied and predecessors' leases
//! have ended (rules 25, 34); `applied <= proposed`; a reply leaves only after the newest entry it could have
//! observed is applied here (rule 27).
//!
//! - [`Machine`]: the inputs and what they lead to; [`Machine::turn`] makes entries of what waits.
//! - `evaluate`: units on an overlay; `stage`: what they run on; `flight`: entries on their way and what they owe;
//!   `confirm`: answers that change nothing; `session`: batches that run once; `watch`: WATCH; `blocked` and `wait`:
//!   clients that wait for a key; `changes` and `authors`: what those hear who keep copies; `cold`: records on disk,
//!   found beforehand.
//! - `apply`: committed entries become state; [`State`] is the record that says how far.
//! - [`read_local`]: one read on the applied state, for the fast path; [`snapshot`]: a group's state as a whole.
//!
//! # How it is driven
//!
//! The driver feeds every input it has to [`Machine::handle`], then calls [`Machine::turn`] once: everything that
//! waits becomes one entry. Before that it may read what [`Machine::cold_records`] names, all at the same time. Inputs
//! are answered through a list of [`Output`]s, in order. The moment it passes must have been taken after the inputs
//! were received, because an answer under a lease rests on the lease being valid at a moment after the request came. An
//! error is final: the process must end, its state on disk is still a prefix of the log.
//!
//! # Where later features hook in
//!
//! A split is an entry that changes the range epoch: `apply` already skips entries of another one. Locks and decisions
//! of transactions over groups are group records.

mod apply;
mod authors;
mod blocked;
mod changes;
mod cold;
mod confirm;
mod core;
mod evaluate;
mod flight;
mod local;
mod session;
pub mod snapshot;
mod stage;
mod state;
#[cfg(test)]
mod tests;
mod wait;
mod watch;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use bytes::Bytes;

use crate::base::{
    Audience, Changed, GroupId, LogIndex, Millis, Nanos, Nobody, Publication, SessionId, SlotRange, Term, Ticket,
    limits,
};
use crate::command::batch::{Unit, UnitReply};
use crate::command::script::{Kind, Running};
use crate::data::{Thresholds, Usage};
use crate::store;

pub use core::Machine;
pub use local::{Facts, InMemory, Local, Version, read_local};
pub use state::State;

/// What time it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// Wall clock: stamps of entries.
    pub wall: Millis,
    /// Monotonic clock: leases, idle sessions.
    pub mono: Nanos,
}

/// What an operator, or a test, may choose.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Sizes above which a value gets a record per element.
    pub thresholds: Thresholds,
    /// Bytes of mutations after which an entry is closed.
    pub entry_bytes_target: usize,
    /// Entries proposed and not yet applied.
    pub entries_in_flight_max: usize,
    /// Entries in flight beyond which one that is small beside them waits for company; at least 1.
    pub small_entries_in_flight_max: usize,
    /// Bytes of waiting submissions with which no entry waits for company.
    pub entry_bytes_worthwhile: usize,
    /// Bytes of submissions that may wait.
    pub queue_bytes_max: usize,
    /// Keys whose watches are remembered.
    pub watched_keys_max: usize,
    /// Where lookups leave their traces; shared by who evaluates on one node.
    pub usage: Arc<Usage>,
    /// The scripts that run on this node now, to be killed; shared likewise.
    pub running: Arc<Running>,
    /// Who listens to channels, for the replies of PUBLISH.
    pub audience: Arc<dyn Audience>,
    /// Whether anybody at this node wants to hear which keys change.
    pub tells_changes: Arc<AtomicBool>,
}

impl Settings {
    /// The limits of [`crate::base::limits`].
    pub fn new(thresholds: Thresholds) -> Settings {
        Settings {
            thresholds,
            entry_bytes_target: limits::ENTRY_BYTES_TARGET,
            entries_in_flight_max: limits::ENTRIES_IN_FLIGHT_MAX,
            small_entries_in_flight_max: limits::SMALL_ENTRIES_IN_FLIGHT_MAX,
            entry_bytes_worthwhile: limits::ENTRY_BYTES_WORTHWHILE,
            queue_bytes_max: limits::MACHINE_QUEUE_BYTES_MAX,
            watched_keys_max: limits::WATCHED_KEYS_MAX,
            usage: Arc::default(),
            running: Arc::default(),
            audience: Arc::new(Nobody),
            tells_changes: Arc::default(),
        }
    }
}

/// What a group holds, and so what its machine takes; everything else is refused like by a node that does not lead.
#[derive(Clone, Copy, Debug)]
pub enum Content {
    /// Keys in these slots: calls, blocks, watches.
    Keys(SlotRange),
    /// Facts about the cluster: changes, about which this decides. The machine itself knows nothing of them.
    Facts(Decide),
}

/// Decides about a change: writes what follows from it into the state that it sees, and gives the answer. A function
/// of these two and nothing else.
pub type Decide = fn(&mut dyn store::Write, &Bytes) -> store::Result<Bytes>;

/// Why a machine cannot go on. The process must end.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum Error {
    /// The engine failed, or a record does not decode.
    #[error(transparent)]
    Store(#[from] crate::store::Error),
    /// A committed entry does not decode (rule 23: the group stops, it never skips).
    #[error("entry {index}: {error}")]
    Entry {
        /// Its place.
        index: LogIndex,
        /// Why.
        error: crate::group::entry::DecodeError,
    },
    /// Committed entries did not follow each other.
    #[error("entry {index} was committed after {applied}")]
    OutOfOrder {
        /// The place of the entry.
        index: LogIndex,
        /// Applied up to here.
        applied: LogIndex,
    },
    /// A snapshot is not the one that was announced.
    #[error("the installed snapshot stands at {found:?} instead of {expected:?}")]
    Snapshot {
        /// What its records say.
        found: Option<(LogIndex, Term)>,
        /// What was announced.
        expected: (LogIndex, Term),
    },
}

/// `std::result::Result` with this module's error.
pub type Result<T> = std::result::Result<T, Error>;

/// Where a forwarded submission comes from, so that it runs at most once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin {
    /// Incarnation of the forwarding front.
    pub session: SessionId,
    /// Number of the batch within session and group, from 1.
    pub number: u64,
    /// All batches below this number were answered or given up: their stored replies can go. At most `number`.
    pub acknowledged_below: u64,
}

/// Work for a machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Submission {
    /// Names the work in answers.
    pub ticket: Ticket,
    /// Set for forwarded batches with a command that may write. Without it a batch may run as often as it is
    /// submitted, and nothing is remembered of it.
    pub origin: Option<Origin>,
    /// What to do, in order. Shared with whoever may have to submit it again.
    pub units: Arc<Vec<Unit>>,
}

/// Why a submission did not run. All are definite: nothing of it is in any log and nothing ever will be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// This node does not lead the group (any more); ask the leader.
    NotLeader,
    /// A queue is full.
    Overloaded,
    /// A script has been running for long.
    Busy(Kind),
    /// The forwarding session is unknown here and not new: it was idle for too long.
    SessionExpired,
    /// The batch was acknowledged before: a late duplicate.
    Duplicate,
}

/// An entry to propose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proposal {
    /// Which group.
    pub group: GroupId,
    /// The overlay it was evaluated on. A refused proposal makes the host refuse all later ones of its generation.
    pub generation: u64,
    /// Number of the proposal within the generation, from 0.
    pub sequence: u64,
    /// Term the machine believed to lead in; another one at the host means refusal.
    pub term: Term,
    /// Encoded [`crate::group::entry::Entry`].
    pub data: Bytes,
}

/// What a machine wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Append this entry.
    Propose(Proposal),
    /// The answer to a submission.
    Reply(Ticket, Vec<UnitReply>),
    /// The submission did not run.
    Refused(Ticket, Refusal),
    /// It is not known whether the submission ran (a snapshot passed over its place in the log).
    Unknown(Ticket),
    /// Confirm leadership by a quorum round, then tell `Input::ReadIndex` with the same number.
    ConfirmLeadership(u64),
    /// The state contains this group up to here, as far as readers can see.
    Applied(LogIndex),
    /// What the applied entries up to here changed, where somebody wants to hear it ([`Settings::tells_changes`]). It can
    /// be read by now, and nothing that follows rests on a later change.
    Changed(Vec<Changed>),
    /// What the entry at this place says to who listens, to be handed to them in this order and before any answer that
    /// follows. What was published before the replica started is not told: nobody who listens now did then.
    Published(LogIndex, Vec<Publication>),
    /// Answers `Input::Lease` with `until` 0: from now on no answer rests on the lease of `term`.
    LeaseReleased(Term),
}

/// What a machine is told. Every call also carries the moment.
#[derive(Clone, Debug)]
pub enum Input {
    /// Work from a front. Answered by exactly one of `Output::{Reply, Refused, Unknown}`.
    Submit(Submission),
    /// What this replica is now.
    Role(Role),
    /// The host appended proposal (generation, sequence) at this place.
    Proposed { generation: u64, sequence: u64, index: LogIndex, term: Term },
    /// The host did not append it, and none of the generation from `sequence` on.
    Dropped { generation: u64, sequence: u64 },
    /// A leader was heard for the first time since the start, whose commit index was this.
    InTouch { commit: LogIndex },
    /// Committed entries, ascending without gaps; applied before the call returns.
    Commit(Vec<Committed>),
    /// A quorum confirmed leadership after `ConfirmLeadership(number)`: reads may rely on state at `index` or later.
    ReadIndex { number: u64, index: LogIndex },
    /// The confirmation failed: leadership was lost.
    ReadRefused { number: u64 },
    /// The lease as it stands: a state without pending entries may be answered from until then. 0: no lease any
    /// more in `term`; answered by `Output::LeaseReleased(term)`, for which a leadership transfer waits.
    Lease { term: Term, until: Nanos },
    /// The engine's state of this group was replaced by a snapshot at this place (after `snapshot::install`).
    Installed { index: LogIndex, term: Term },
    /// Time passed: delete due keys, run what waits.
    Tick,
}

/// What a replica is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Follows, or knows of no leader.
    Follower,
    /// Leads in `term`, and every predecessor's lease has ended. Evaluation starts when `first` (the term's own
    /// first entry) is applied.
    Leader { term: Term, first: LogIndex },
}

/// One committed entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    /// Its place.
    pub index: LogIndex,
    /// Its term.
    pub term: Term,
    /// Encoded [`crate::group::entry::Entry`]; empty for the first entry of a term.
    pub data: Bytes,
    /// Encoded ConfState after this entry, where the entry changed the membership.
    pub conf_state: Option<Bytes>,
}
