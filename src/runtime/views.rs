//! What readers on other threads know of the groups: the host's last [`View`] of each, and how far it is applied.
//!
//! Invariant: a view is read whole or not at all (a sequence lock), and is stored before a message of the same turn
//! leaves the node (rule 37). Readers never wait: writers are one thread per cell, and hold it for six stores.

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
}
