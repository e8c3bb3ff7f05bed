//! Committed entries become state: on every replica, blindly and in total (rule 23).
//!
//! Invariant: entries are applied one after the other without a gap, and whatever number of them is written at once,
//! the batch also holds the record that says how far (rule 17); what an entry says to who listens is handed out once
//! the entry is part of the state, so that who hears it and reads finds what was written beside it.

use std::ops::Range;

use super::changes;
use super::{Committed, Error, Machine, Now, Output, Result, Role};
use crate::base::{LogIndex, Millis, Mutant, Own, Publication, Term};
use crate::data::Events;
use crate::group::entry::{DecodeError, Entry};
use crate::store::{Batch, Mutation, keys};

/// Entry bytes that are merged into one write of the engine.
const WRITE_BYTES_TARGET: usize = 4 << 20;

/// An entry that is part of the state now.
pub(super) struct Applied {
    pub(super) index: LogIndex,
    pub(super) term: Term,
    /// It was evaluated under another range epoch: its mutations were left out, here as on every replica.
    pub(super) skipped: bool,
    /// What it says to who listens.
    publications: Vec<Publication>,
    /// Where its mutations are in the batch, and what somebody does not want to hear of them.
    mutations: Range<usize>,
    own: Vec<Own>,
}

impl Machine {
    /// Applies entries, then gives the answers that waited for them.
    pub(super) fn commit(&mut self, entries: Vec<Committed>, now: Now, out: &mut Vec<Output>) -> Result<()> {
        let mut entries = entries.into_iter().peekable();
        while entries.peek().is_some() {
            let mut applied = Vec::new();
            let mut batch = Batch::default();
            let mut bytes = 0;
            let (told, mut is_told_anew) = (keys::events(self.group), false);
            // A failed write leaves the old state behind: the new one counts only once the engine has it.
            let mut state = self.state.clone();
            while bytes < WRITE_BYTES_TARGET
                && let Some(entry) = entries.next()
            {
                if entry.index != state.applied.next() {
                    return Err(Error::OutOfOrder { index: entry.index, applied: state.applied });
                }
                bytes += entry.data.len();
                let mut applied_entry = take(&entry, state.epoch, &mut batch, &mut state.stamp)
                    .map_err(|error| Error::Entry { index: entry.index, error })?;
                is_told_anew |=
                    batch.mutations[applied_entry.mutations.clone()].iter().any(|mutation| match mutation {
                        Mutation::Put(key, _) | Mutation::Delete(key) => *key == told,
                        Mutation::DeleteRange(..) => false,
                    });
                let follows = matches!(self.role, Role::Follower) && Mutant::OnlyTheLeaderTells.is_in();
                if follows || self.is_old(entry.index, entry.term) {
                    applied_entry.publications = Vec::new();
                }
                state.roll(entry.index, &entry.data);
                (state.applied, state.term) = (entry.index, entry.term);
                if Mutant::ReplicasApplyTheirClock.is_in() {
                    state.stamp = state.stamp.max(now.wall);
                }
                if let Some(conf_state) = entry.conf_state {
                    state.conf_state = conf_state;
                }
                applied.push(applied_entry);
            }
            batch.put(keys::applied(self.group), state.encode());
            if Mutant::AppliedIndexAlone.is_in() {
                self.engine.write(&Batch { mutations: batch.mutations.pop().into_iter().collect() })?;
            }
            self.version.change(|| self.engine.write(&batch))?;
            self.state = state;
            if is_told_anew {
                self.version.set_events(Events::load(&*self.engine, self.group)?);
            }
            out.push(Output::Applied(self.state.applied));
            if self.tells_changes() {
                let mut changed = Vec::new();
                for entry in &applied {
                    changes::add(&batch.mutations[entry.mutations.clone()], &entry.own, &mut changed);
                }
                out.push(Output::Changed(changed));
            }
            for mut entry in applied {
                if !entry.publications.is_empty() {
                    out.push(Output::Published(entry.index, std::mem::take(&mut entry.publications)));
                }
                self.settle(&entry, out);
            }
        }
        self.release(now, out);
        Ok(())
    }
}

/// Adds an entry's mutations to the batch.
fn take(
    committed: &Committed,
    epoch: u64,
    batch: &mut Batch,
    stamp: &mut Millis,
) -> std::result::Result<Applied, DecodeError> {
    let mut applied = Applied {
        index: committed.index,
        term: committed.term,
        skipped: false,
        publications: Vec::new(),
        mutations: 0..0,
        own: Vec::new(),
    };
    if committed.data.is_empty() {
        return Ok(applied);
    }
    let entry = Entry::decode(&committed.data)?;
    if entry.epoch != epoch {
        applied.skipped = true;
        return Ok(applied);
    }
    // The leader saw to it that stamps never go back; a replica only makes sure (rule 39).
    *stamp = entry.stamp.max(*stamp);
    let before = batch.mutations.len();
    batch.mutations.extend(entry.mutations);
    (applied.mutations, applied.own) = (before..batch.mutations.len(), entry.own);
    applied.publications = entry.publications;
    Ok(applied)
}
