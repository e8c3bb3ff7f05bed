//! How much of the log goes once the state before it is durable, and for whom some of it stays (rule 18).
//!
//! The state becomes durable in a flush, and a log without writes is not flushed again. So whatever else holds the log
//! back must release it by itself: a leader keeps entries for followers that it hears, and looks again when one of them
//! falls silent.

use raft::StateRole;

use super::Group;
use crate::base::{LogIndex, Mutant, Term};

/// What decides where the log is cut.
#[derive(Debug, Default)]
pub(super) struct Cutting {
    /// The state is durable up to here.
    flushed: u64,
    /// Term of this leader and the peers that it heard in its last full round of the quorum check, ascending. The
    /// crate forgets whom it heard when a round begins, so this is noted when one ends; before the first has ended,
    /// everybody counts as heard.
    heard: Option<(u64, Vec<u64>)>,
}

impl Group {
    /// The state is durable up to `index`: the log before it may go, unless somebody still needs it.
    pub fn flushed(&mut self, index: LogIndex) {
        self.cutting.flushed = self.cutting.flushed.max(index.get());
        self.cut();
    }

    /// To be called before each of a leader's ticks.
    pub(super) fn tick_followers(&mut self) {
        let raft = &self.node.raft;
        if raft.election_elapsed + 1 < raft.election_timeout() {
            return;
        }
        let mut heard: Vec<u64> =
            raft.prs().iter().filter(|(_, progress)| progress.recent_active).map(|(&peer, _)| peer).collect();
        heard.sort_unstable();
        let heard = Some((raft.term, heard));
        if self.cutting.heard != heard {
            self.cutting.heard = heard;
            self.cut();
        }
    }

    fn cut(&mut self) {
        let store = self.node.store();
        let mut cut = self.applied.saturating_sub(self.config.log_entries_kept);
        cut = cut.min(self.slowest_heard().unwrap_or(u64::MAX));
        cut = cut.max(store.followed_by(self.config.log_bytes_kept));
        cut = cut.min(store.outgoing.borrow().lowest_index().unwrap_or(u64::MAX));
        let flushed = if Mutant::LogIsCutAboveTheState.is_in() { self.applied } else { self.cutting.flushed };
        cut = cut.min(flushed).min(self.applied).min(store.durable());
        if self.install.is_some() || self.stopped || cut <= store.before_first() {
            return;
        }
        let term = store.term_of(cut);
        self.node.mut_store().cut(cut);
        self.write().cut = Some((LogIndex(cut), Term(term)));
    }

    /// What the slowest follower has that this leader hears and that is not too far behind to be waited for.
    fn slowest_heard(&self) -> Option<u64> {
        let raft = &self.node.raft;
        if raft.state != StateRole::Leader {
            return None;
        }
        let heard = self.cutting.heard.as_ref().filter(|(term, _)| *term == raft.term);
        let is_heard = |peer: &u64| heard.is_none_or(|(_, peers)| peers.binary_search(peer).is_ok());
        let patience = self.applied.saturating_sub(self.config.follower_lag_max);
        let followers = raft.prs().iter().filter(|(peer, progress)| progress.recent_active || is_heard(peer));
        followers.map(|(_, progress)| progress.matched).filter(|matched| *matched >= patience).min()
    }
}
