//! The term of every position of a log, in memory, as runs: a log of millions of entries has a handful of terms.
//!
//! Invariant: runs ascend in index and term; the first run starts at the position just before the first entry, so
//! every position that Raft may ask for has an answer without touching the disk.

use crate::base::{GroupId, LogIndex};
use crate::store::{self, Log, LogState};

#[derive(Clone, Debug)]
pub(super) struct Terms {
    /// (first position of the run, its term).
    runs: Vec<(u64, u64)>,
}

impl Terms {
    /// The terms of an empty log that continues after (index, term).
    pub fn after(index: u64, term: u64) -> Terms {
        Terms { runs: vec![(index, term)] }
    }

    /// Reads the runs of a stored log. Terms never descend, so the end of each run is found by bisection.
    pub fn load(log: &dyn Log, group: GroupId, state: &LogState) -> store::Result<Terms> {
        let mut terms = Terms::after(state.before_first.0.get(), state.before_first.1.get());
        let mut next = state.before_first.0.get() + 1;
        let last = state.last.get();
        while next <= last {
            let term = term_at(log, group, next)?;
            terms.push(next, term);
            let (mut same, mut other) = (next, last + 1);
            while other - same > 1 {
                let middle = same + (other - same) / 2;
                if term_at(log, group, middle)? == term {
                    same = middle;
                } else {
                    other = middle;
                }
            }
            next = other;
        }
        Ok(terms)
    }

    /// The term of a position at or after the start; the caller knows where the log ends.
    pub fn at(&self, index: u64) -> u64 {
        let run = self.runs.partition_point(|&(first, _)| first <= index);
        self.runs[run.saturating_sub(1)].1
    }

    /// The log grew by `index`, the position after the last.
    pub fn push(&mut self, index: u64, term: u64) {
        if self.runs.last().is_none_or(|&(_, last)| last != term) {
            self.runs.push((index, term));
        }
    }

    /// Positions from `index` on are gone. The start stays.
    pub fn truncate(&mut self, index: u64) {
        let kept = self.runs.partition_point(|&(first, _)| first < index).max(1);
        self.runs.truncate(kept);
    }

    /// Positions before `index` are gone; the log now starts just after it.
    pub fn cut(&mut self, index: u64) {
        let run = self.runs.partition_point(|&(first, _)| first <= index).max(1) - 1;
        self.runs.drain(..run);
        self.runs[0].0 = index;
    }
}

fn term_at(log: &dyn Log, group: GroupId, index: u64) -> store::Result<u64> {
    let records = log.records(group, LogIndex(index), LogIndex(index + 1), 1)?;
    let record = records.first().ok_or_else(|| {
        store::Error::Corrupt(format!("group {group}: the log says it has entry {index} but returns nothing").into())
    })?;
    Ok(record.term.get())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lookups_follow_pushes_truncations_and_cuts() {
        let mut terms = Terms::after(10, 2);
        for (index, term) in [(11, 2), (12, 3), (13, 3), (14, 7)] {
            terms.push(index, term);
        }
        assert_eq!((10..=14).map(|index| terms.at(index)).collect::<Vec<_>>(), [2, 2, 3, 3, 7]);
        terms.truncate(13);
        terms.push(13, 8);
        assert_eq!((10..=13).map(|index| terms.at(index)).collect::<Vec<_>>(), [2, 2, 3, 8]);
        terms.cut(12);
        assert_eq!((12..=13).map(|index| terms.at(index)).collect::<Vec<_>>(), [3, 8]);
        terms.cut(13);
        terms.truncate(14);
        assert_eq!(terms.at(13), 8);
    }
}
