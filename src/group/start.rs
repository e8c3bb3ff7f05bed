//! What a group starts from, and what it refuses to start from (rules 6, 16).
//!
//! State and log are two databases: a crash leaves each a prefix, but not the same one. The state may be ahead of the
//! log (a snapshot was installed and the log not yet reset) or behind it (the usual case: the rest is replayed). What
//! can only be a lost or foreign disk is an error with the numbers in it, before the replica can answer anybody.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use protobuf::Message as _;
use raft::eraftpb::{self, ConfState};

use super::record;
use super::snapshot::is_sound;
use super::storage::Origin;
use super::terms::Terms;
use crate::base::{GroupId, LogIndex, Mutant, NodeId, PeerId, Term};
use crate::store::{self, HardState, Log, LogState, LogWrite};

/// Everything a group starts from.
#[derive(Clone, Debug)]
pub struct Start {
    /// Which group.
    pub group: GroupId,
    /// This node's replica.
    pub peer: PeerId,
    /// All replicas and where they are, this one included.
    pub peers: BTreeMap<PeerId, NodeId>,
    /// Replicas that are to be none any more, and where they were; this one may be among them.
    pub former: BTreeMap<PeerId, NodeId>,
    /// Voters at the birth of the group: the membership of a state that has no record of a change.
    pub voters: Vec<PeerId>,
    /// Membership epoch, for envelopes.
    pub epoch: u64,
    /// ConfState record of the state, empty if there is none.
    pub conf_state: Bytes,
    /// Last entry that the state contains, (0, 0) for a new one.
    pub applied: (LogIndex, Term),
    /// Rolling hash of the state there.
    pub hash: u64,
    /// What is stored of the log, if anything.
    pub log: Option<LogState>,
}

/// Why a group does not start. None of these mends itself.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum StartError {
    /// The state is older than what the log still holds.
    #[error(
        "group {group}: the log starts after entry {before_first} but the state ends at {applied}: the state database lost flushed data"
    )]
    StateLost {
        /// Which group.
        group: GroupId,
        /// Where the log starts.
        before_first: LogIndex,
        /// Where the state ends.
        applied: LogIndex,
    },
    /// There is a state but no log at all.
    #[error(
        "group {group}: the state ends at {applied} but there is no log: this replica forgot its votes and must come back under a new id"
    )]
    LogLost {
        /// Which group.
        group: GroupId,
        /// Where the state ends.
        applied: LogIndex,
    },
    /// The log ends before what it says is committed.
    #[error(
        "group {group}: entry {commit} is committed but the log ends at {last} and the state at {applied}: the log lost synced entries"
    )]
    TailLost {
        /// Which group.
        group: GroupId,
        /// Known to be committed.
        commit: LogIndex,
        /// Where the log ends.
        last: LogIndex,
        /// Where the state ends.
        applied: LogIndex,
    },
    /// A committed and applied entry has another term in the log.
    #[error(
        "group {group}: entry {applied} was applied with term {state}, the log has it with term {log}, below the commit index"
    )]
    Mismatch {
        /// Which group.
        group: GroupId,
        /// Where the state ends.
        applied: LogIndex,
        /// Its term there.
        state: Term,
        /// Its term in the log.
        log: Term,
    },
    /// The membership does not decode or does not hold together.
    #[error("group {group}: the membership is damaged")]
    Membership {
        /// Which group.
        group: GroupId,
    },
    /// The log could not be read.
    #[error("group {group}: {error}")]
    Log {
        /// Which group.
        group: GroupId,
        /// What the log said.
        error: store::Error,
    },
    /// The crate refuses its configuration.
    #[error("group {group}: {reason}")]
    Config {
        /// Which group.
        group: GroupId,
        /// In the crate's words.
        reason: String,
    },
}

/// Bytes of a log that are read to look for something.
const SOME_BYTES: u64 = 4 << 20;

/// A checked start.
pub(super) struct Checked {
    pub origin: Origin,
    pub hard_state: HardState,
    /// What must be written before anything else: the log does not fit the state.
    pub repair: Option<LogWrite>,
}

/// Decides what the log is worth beside the state.
pub(super) fn check(start: &Start, log: &Arc<dyn Log>, tail_bytes_kept: u64) -> Result<Checked, StartError> {
    let group = start.group;
    let conf_state = conf_state(start)?;
    let (applied, applied_term) = start.applied;
    let state = match start.log {
        Some(state) => state,
        None if applied > LogIndex(0) => return Err(StartError::LogLost { group, applied }),
        None => LogState { group, ..LogState::default() },
    };
    let mut hard_state = state.hard_state;
    let before_first = state.before_first.0;
    if applied < before_first {
        return Err(StartError::StateLost { group, before_first, applied });
    }
    if state.last < hard_state.commit && applied < hard_state.commit {
        return Err(StartError::TailLost { group, commit: hard_state.commit, last: state.last, applied });
    }
    let mut terms = Terms::load(log.as_ref(), group, &state).map_err(|error| StartError::Log { group, error })?;
    let mut repair = None;
    let (mut first, mut last) = (before_first, state.last);
    let matches = applied <= state.last && Term(terms.at(applied.get())) == applied_term;
    let known = matches || Mutant::StateAheadIsNotRepaired.is_in();
    if !known {
        // Committed entries do not change: within the committed part only damage explains another term. Above it the
        // state came from a snapshot whose log reset did not become durable.
        if applied <= state.last && applied <= hard_state.commit {
            let log = Term(terms.at(applied.get()));
            return Err(StartError::Mismatch { group, applied, state: applied_term, log });
        }
        (first, last) = (applied, applied);
        terms = Terms::after(applied.get(), applied_term.get());
    }
    if hard_state.term < applied_term {
        // The term arrived with that snapshot; this replica has answered nothing in it yet.
        hard_state = HardState { term: applied_term, vote: 0, ..hard_state };
    }
    if !Mutant::CommitIsNotRaised.is_in() {
        hard_state.commit = hard_state.commit.max(applied);
    }
    if !known {
        let write = LogWrite { group, reset: Some((applied, applied_term)), ..LogWrite::default() };
        repair = Some(LogWrite { hard_state: Some(hard_state), ..write });
    }
    let scalars = eraftpb::HardState {
        term: hard_state.term.get(),
        vote: hard_state.vote,
        commit: hard_state.commit.get(),
        ..eraftpb::HardState::default()
    };
    let origin = Origin {
        hard_state: scalars,
        conf_state,
        before_first: first.get(),
        last: last.get(),
        terms,
        applied: applied.get(),
        tail_bytes_kept,
    };
    Ok(Checked { origin, hard_state, repair })
}

/// Whether a change of the membership may be committed and not in the state: so a log of some length is taken to hold one.
pub(super) fn may_change(log: &Arc<dyn Log>, group: GroupId, applied: LogIndex, commit: LogIndex) -> bool {
    let (low, high) = (LogIndex(applied.get() + 1), LogIndex(commit.get() + 1));
    if low >= high {
        return false;
    }
    let Ok(records) = log.records(group, low, high, SOME_BYTES) else { return true };
    let all = records.last().is_some_and(|last| last.index == commit);
    !all || records.iter().any(record::is_membership)
}

fn conf_state(start: &Start) -> Result<ConfState, StartError> {
    let damaged = StartError::Membership { group: start.group };
    let conf_state = if start.conf_state.is_empty() {
        initial_conf_state(&start.voters)
    } else {
        ConfState::parse_from_carllerche_bytes(&start.conf_state).map_err(|_| damaged.clone())?
    };
    if is_sound(&conf_state) && start.peer != PeerId(0) { Ok(conf_state) } else { Err(damaged) }
}

/// The membership a group is born with.
pub(super) fn initial_conf_state(voters: &[PeerId]) -> ConfState {
    let mut voters: Vec<u64> = voters.iter().map(|peer| peer.get()).collect();
    voters.sort_unstable();
    ConfState { voters, ..ConfState::default() }
}
