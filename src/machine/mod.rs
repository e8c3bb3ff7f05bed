//! The state machine of one group: on the leader it evaluates waiting units into an entry, on every replica it
//! applies entries. Without IO of its own but for the engine it is given; time, chance and roles are inputs.
//!
//! Invariants: evaluation happens only as leader after the term's first entry is applied and predecessors' leases
//! have ended (rules 25, 34); `applied <= proposed`; a reply leaves only after the newest entry it could have
//! observed is applied here (rule 27).

use bytes::Bytes;

use crate::base::{GroupId, LogIndex, Nanos, SessionId, Term, Ticket};
use crate::command::batch::{Unit, UnitReply};

/// Where a forwarded submission comes from, so that it runs at most once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin {
    /// Incarnation of the forwarding front.
    pub session: SessionId,
    /// Number of the batch within session and group, from 1.
    pub number: u64,
    /// All batches below this number were answered to the front: their stored replies can go.
    pub acknowledged_below: u64,
}

/// Work for a machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Submission {
    /// Names the work in answers.
    pub ticket: Ticket,
    /// Set for forwarded batches.
    pub origin: Option<Origin>,
    /// What to do, in order.
    pub units: Vec<Unit>,
}

/// Why a submission did not run. All are definite: nothing of it is in any log and nothing ever will be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// This node does not lead the group (any more); ask the leader.
    NotLeader,
    /// A queue is full.
    Overloaded,
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
