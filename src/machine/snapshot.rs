//! A group's state as a whole: what a view of it says about its place in the log, and its replacement by a received
//! snapshot.
//!
//! Invariant (rule 20): everything written before is durable, then the group's ranges are replaced in one atomic and
//! durable step, then the log may be reset and the snapshot acknowledged (the host's part).

use super::{Error, Result, State};
use crate::base::{GroupId, LogIndex, SlotRange, Term};
use crate::store::snapshot::{Receiver, Spool, ranges};
use crate::store::{Engine, Read};

/// The place and membership of a view, for `host::Input::SnapshotTaken`. A view of a group that never applied
/// anything stands at 0.
pub fn facts(view: &dyn Read, group: GroupId) -> Result<State> {
    Ok(State::load(view, group)?.unwrap_or_default())
}

/// Replaces the group's records by a completely received snapshot. The machine is told afterwards, by
/// [`super::Input::Installed`]; nothing may be applied to the group in between.
pub fn install<S: Spool>(
    engine: &dyn Engine,
    group: GroupId,
    slots: Option<SlotRange>,
    (index, term): (LogIndex, Term),
    receiver: &mut Receiver<S>,
) -> Result<()> {
    engine.flush()?;
    receiver.install(engine, &ranges(group, slots))?;
    at(engine, group, index, term).map(|_| ())
}

/// The group's state, which must stand at this place.
pub(super) fn at(engine: &dyn Engine, group: GroupId, index: LogIndex, term: Term) -> Result<State> {
    let state = State::load(&engine, group)?;
    match state {
        Some(state) if (state.applied, state.term) == (index, term) => Ok(state),
        other => {
            Err(Error::Snapshot { found: other.map(|state| (state.applied, state.term)), expected: (index, term) })
        }
    }
}
