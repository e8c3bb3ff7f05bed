//! The membership in two steps: explicit joint changes (Raft thesis, section 4.3), each an entry of its own.
//!
//! Invariant (rules 12, 13): a change is proposed only when all earlier ones are applied, and a joint membership,
//! which a crash between the two steps leaves behind, is left by whoever leads: its ticks propose the second step
//! until it is applied. The crate's automatic second step is not used: it is lost with the leader that owed it.

use raft::eraftpb::ConfChangeV2;

use super::{Group, Role};
use crate::base::Nanos;

impl Group {
    /// Proposes to leave a joint membership, once.
    pub(super) fn tick_membership(&mut self, now: Nanos) {
        let joint = !self.membership.get_voters_outgoing().is_empty();
        let leads = matches!(self.role(now), Role::Leader { .. });
        // The crate makes an empty entry of a change that comes before an earlier one is applied, every time.
        if !joint || !leads || self.node.raft.has_pending_conf() {
            return;
        }
        // Refused where the log has no room: the next tick tries again.
        let _ = self.node.propose_conf_change(Vec::new(), ConfChangeV2::default());
        self.observe(now);
    }
}
