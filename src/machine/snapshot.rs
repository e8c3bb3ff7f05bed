//! A group's state as a whole: what a view of it says about its place in the log, its replacement by a received
//! snapshot, and the removal of what a group that is here no longer left behind.
//!
//! Invariant (rule 20): everything written before is durable, then the group's ranges are replaced in one atomic and
//! durable step, then the log may be reset and the snapshot acknowledged (the host's part).

use std::ops::ControlFlow;

use super::{Error, Result, State};
use crate::base::{GroupId, LogIndex, SlotRange, Term};
use crate::store::snapshot::{Receiver, Spool, ranges};
use crate::store::{Batch, Engine, Order, Read, keys};

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

/// Deletes, durably, the records of all slots outside `owned`, the ranges of the groups with a replica here, and says
/// where there were some. For the start of a node (rule 21): a replica that went may have left records behind, and a
/// snapshot for their slots must not meet them.
pub fn drop_unowned(engine: &dyn Engine, owned: &[SlotRange]) -> Result<Vec<SlotRange>> {
    let mut found = Vec::new();
    let mut batch = Batch::default();
    for range in SlotRange::others(owned) {
        let (start, end) = keys::slots(range);
        let mut empty = true;
        engine.scan(&start, &end, Order::Forward, &mut |_, _| {
            empty = false;
            ControlFlow::Break(())
        })?;
        if !empty {
            found.push(range);
            batch.delete_range(start, end);
        }
    }
    if !found.is_empty() {
        engine.write(&batch)?;
        engine.flush()?;
    }
    Ok(found)
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
