//! Log lines on leadership: who wins it, who loses it and why, and what makes losing it likely.

use std::time::Duration;

use crate::base::GroupId;
use crate::host::{Change, ChangeKind, Loss};

/// Half of the shortest election timeout. A disk or a scheduler that makes a node wait so long may cost leadership soon.
const WORRYING: Duration = Duration::from_millis(200);

/// Tells what became of leadership here. What nobody asked for is a warning.
pub fn tell(group: GroupId, change: &Change) {
    let Change { term, unsynced, kind } = *change;
    match kind {
        // Again and again while a majority is away: told once.
        ChangeKind::Campaigns { lost: None } => {}
        ChangeKind::Campaigns { lost: Some(leader) } => {
            tracing::warn!(%group, %term, %leader, ?unsynced, "the leader is not heard any more: asking for votes");
        }
        ChangeKind::Won => tracing::info!(%group, %term, "leads"),
        ChangeKind::Lost(Loss::HandedOver) => tracing::info!(%group, %term, "handed leadership over"),
        ChangeKind::Lost(Loss::Overtaken { by }) => {
            tracing::warn!(%group, %term, %by, ?unsynced, "lost leadership: somebody began a later term");
        }
        ChangeKind::Lost(Loss::Disk) => {
            tracing::warn!(%group, %term, ?unsynced, "gave leadership up: the disk keeps the log waiting");
        }
        ChangeKind::Lost(Loss::Silence) => {
            tracing::warn!(%group, %term, ?unsynced, "lost leadership: too few nodes answered within an election timeout");
        }
    }
}

/// Warns when the raft thread ran `late` after its tick was due: the machine is overloaded, or the process was paused.
pub fn tell_late_tick(late: Duration) {
    if late >= WORRYING {
        tracing::warn!(?late, "the raft thread could not run in time");
    }
}

/// Warns of a slow write of the log.
pub fn tell_slow_write(written: Duration, synced: Duration) {
    if written + synced >= WORRYING {
        tracing::warn!(?written, ?synced, "a write of the log was slow");
    }
}
