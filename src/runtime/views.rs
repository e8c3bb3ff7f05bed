//! What readers on other threads know of the groups: the host's last [`View`] of each, and how far it is applied.
//!
//! Invariant: a view is read whole or not at all (a sequence lock), and is stored before a message of the same turn
//! leaves the node (rule 37). Readers never wait: writers are one thread per cell, and hold it for six stores.
//!
//! [`Cell::read_locally`] is the order of a local read (rule 35).

use std::sync::atomic::{AtomicU64, Ordering, fence};

use crate::base::{GroupId, LogIndex, Millis, Nanos, NodeId, Term};
use crate::host::View;

/// One group's facts. Written by its worker (`publish`) and its machine (`applied`).
pub struct Cell {
    group: GroupId,
    /// Even: stable. Odd: being written.
    sequence: AtomicU64,
    term: AtomicU64,
    /// 0 for unknown: node ids count from 1.
    leader: AtomicU64,
    serving: AtomicU64,
    commit: AtomicU64,
    lease_until: AtomicU64,
    applied: AtomicU64,
    stamp: AtomicU64,
}

impl Cell {
    /// Nothing is known yet.
    pub fn new(group: GroupId) -> Cell {
        let zero = || AtomicU64::new(0);
        Cell {
            group,
            sequence: zero(),
            term: zero(),
            leader: zero(),
            serving: zero(),
            commit: zero(),
            lease_until: zero(),
            applied: zero(),
            stamp: zero(),
        }
    }

    /// Replaces the view. Called by one thread only.
    pub fn publish(&self, view: &View) {
        debug_assert_eq!(view.group, self.group);
        let sequence = self.sequence.load(Ordering::Relaxed);
        self.sequence.store(sequence.wrapping_add(1), Ordering::Relaxed);
        // The odd number must be visible before any field changes; the even one after all have.
        fence(Ordering::Release);
        self.term.store(view.term.get(), Ordering::Relaxed);
        self.leader.store(view.leader.map_or(0, NodeId::get), Ordering::Relaxed);
        self.serving.store(view.serving.into(), Ordering::Relaxed);
        self.commit.store(view.commit.get(), Ordering::Relaxed);
        self.lease_until.store(view.lease_until.0, Ordering::Relaxed);
        self.sequence.store(sequence.wrapping_add(2), Ordering::Release);
    }

    /// The last published view.
    pub fn view(&self) -> View {
        loop {
            let before = self.sequence.load(Ordering::Acquire);
            let view = View {
                group: self.group,
                term: Term(self.term.load(Ordering::Relaxed)),
                leader: Some(NodeId(self.leader.load(Ordering::Relaxed))).filter(|id| id.get() != 0),
                serving: self.serving.load(Ordering::Relaxed) != 0,
                commit: LogIndex(self.commit.load(Ordering::Relaxed)),
                lease_until: Nanos(self.lease_until.load(Ordering::Relaxed)),
            };
            fence(Ordering::Acquire);
            if before.is_multiple_of(2) && before == self.sequence.load(Ordering::Relaxed) {
                return view;
            }
            std::hint::spin_loop();
        }
    }

    /// The engine shows this group's state at least up to here.
    pub fn applied(&self) -> LogIndex {
        LogIndex(self.applied.load(Ordering::Acquire))
    }

    /// A stamp that was applied, at least the one at [`Cell::applied`] as it was read before.
    pub fn stamp(&self) -> Millis {
        Millis(self.stamp.load(Ordering::Relaxed))
    }

    /// Called by the group's machine thread after the engine's write returned.
    pub fn set_applied(&self, index: LogIndex, stamp: Millis) {
        self.stamp.store(stamp.0, Ordering::Relaxed);
        self.applied.store(index.get(), Ordering::Release);
    }

    /// A linearizable read by `node` itself, in the order of rule 35: the published commit index, `applied` at least
    /// that, the data, the clock, then lease, term and leadership. Any other order lets a newer leader's write come
    /// between two steps unnoticed. An error is the reason, for metrics; what `data` made is then not to be used.
    pub fn read_locally<T>(
        &self,
        node: NodeId,
        data: impl FnOnce() -> Result<T, &'static str>,
        clock: impl FnOnce() -> Nanos,
    ) -> Result<T, &'static str> {
        let before = self.view();
        if !before.serving || before.leader != Some(node) {
            return Err("not_leader");
        }
        if self.applied() < before.commit {
            return Err("behind");
        }
        let data = data()?;
        let now = clock();
        let after = self.view();
        let serves = after.serving && after.leader == Some(node) && after.term == before.term;
        if serves && after.lease_until > now { Ok(data) } else { Err("lease") }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::AtomicBool;
    use std::thread;

    use super::*;

    #[test]
    fn a_view_is_never_half_old_and_half_new() {
        let cell = Arc::new(Cell::new(GroupId(1)));
        let view = |n: u64| View {
            group: GroupId(1),
            term: Term(n),
            leader: Some(NodeId(n + 1)),
            serving: n.is_multiple_of(2),
            commit: LogIndex(n),
            lease_until: Nanos(n),
        };
        cell.publish(&view(0));
        let stop = Arc::new(AtomicBool::new(false));
        let reader = thread::spawn({
            let (cell, stop) = (cell.clone(), stop.clone());
            move || {
                while !stop.load(Ordering::Relaxed) {
                    let seen = cell.view();
                    assert_eq!(seen, view(seen.term.get()));
                }
            }
        });
        for n in 0..200_000 {
            cell.publish(&view(n));
        }
        stop.store(true, Ordering::Relaxed);
        reader.join().expect("every view was whole");
    }
    const NODE: NodeId = NodeId(1);

    /// Node 1 serves in term 3, everything up to 7 is committed and applied, the lease lasts until 100.
    fn serving() -> (Cell, View) {
        let cell = Cell::new(GroupId(1));
        let view = View {
            group: GroupId(1),
            term: Term(3),
            leader: Some(NODE),
            serving: true,
            commit: LogIndex(7),
            lease_until: Nanos(100),
        };
        cell.publish(&view);
        cell.set_applied(LogIndex(7), Millis(1));
        (cell, view)
    }

    #[test]
    fn rule_35_a_local_read_begins_with_everything_committed_applied() {
        let (cell, view) = serving();
        let read = |node| cell.read_locally(node, || Ok("data"), || Nanos(99));
        assert_eq!(read(NODE), Ok("data"));
        assert_eq!(read(NodeId(2)), Err("not_leader"));
        cell.publish(&View { commit: LogIndex(8), ..view });
        // What is applied while the data is looked at may or may not be in it.
        let late = || {
            cell.set_applied(LogIndex(8), Millis(1));
            Ok("data")
        };
        assert_eq!(cell.read_locally(NODE, late, || Nanos(99)), Err("behind"));
        cell.set_applied(LogIndex(8), Millis(1));
        assert_eq!(read(NODE), Ok("data"));
        cell.publish(&View { serving: false, ..view });
        assert_eq!(read(NODE), Err("not_leader"));
    }

    #[test]
    fn rule_35_the_clock_is_read_after_the_data_and_before_the_lease() {
        let (cell, view) = serving();
        let time = std::cell::Cell::new(Nanos(99));
        let slow = || {
            time.set(Nanos(100));
            Ok(())
        };
        assert_eq!(cell.read_locally(NODE, slow, || time.get()), Err("lease"), "it ended while the data was read");
        // The lease is given up, or leadership changes, in the very moment in which the clock is read.
        let changes = [
            View { lease_until: Nanos(0), ..view },
            View { term: Term(4), ..view },
            View { leader: Some(NodeId(2)), ..view },
            View { serving: false, ..view },
        ];
        for change in changes {
            cell.publish(&view);
            let clock = || {
                cell.publish(&change);
                Nanos(99)
            };
            assert_eq!(cell.read_locally(NODE, || Ok(()), clock), Err("lease"), "{change:?}");
        }
    }
}
