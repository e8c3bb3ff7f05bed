//! Work that waits for the state's disk and may take long: snapshots in both directions, and flushes.
//!
//! Invariants: every snapshot that was to be sent is reported once, whatever became of it (rule 11); an installation
//! begins when its group's machine has applied everything it was given (rule 20); the host hears of a flush only what
//! was read back from what would survive a crash (rules 18, 19).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;

use super::core::Core;
use super::{clock, machines, threads};
use crate::base::{GroupId, LogIndex, Term};
use crate::host::{Envelope, Input, RECEIVED_SNAPSHOTS, SnapshotEffect};
use crate::machine;
use crate::service::latency;
use crate::store::snapshot::{FileSpool, Receiver, Sender, ranges};
use crate::store::{Engine, Snapshot};

/// Chunks that are read ahead of the network.
const CHUNKS_AHEAD: usize = 4;
/// How often the flusher looks at its triggers.
const FLUSH_CHECK: Duration = Duration::from_millis(250);

/// Views that wait to be sent and received snapshots that wait to be installed, by group and number.
pub struct Snapshots {
    views: Mutex<BTreeMap<(GroupId, u64), Snapshot>>,
    received: Mutex<BTreeMap<(GroupId, u64), Receiver<FileSpool>>>,
    next_received: AtomicU64,
}

impl Default for Snapshots {
    fn default() -> Snapshots {
        let next_received = AtomicU64::new(RECEIVED_SNAPSHOTS);
        Snapshots { views: Mutex::default(), received: Mutex::default(), next_received }
    }
}

impl Snapshots {
    /// Begins what the host asks for; answers come as events of the worker.
    pub fn start(&self, core: &Arc<Core>, effect: SnapshotEffect) {
        match effect {
            SnapshotEffect::Take { group, snapshot } => {
                let core = core.clone();
                run(move || core.snapshots.take(&core, group, snapshot));
            }
            SnapshotEffect::Send { envelope, snapshot } => {
                let view = self.views.lock().remove(&(envelope.group, snapshot));
                send(core.clone(), envelope, snapshot, view);
            }
            SnapshotEffect::Install { group, snapshot, index, term, .. } => {
                // Through the machine's queue: what was committed before must be applied before.
                let job = {
                    let core = core.clone();
                    move || run(move || core.snapshots.install(&core, group, snapshot, (index, term)))
                };
                core.machines.push(group, machines::Event::Then(Box::new(job)));
            }
            SnapshotEffect::Drop { group, snapshot } => {
                let view = self.views.lock().remove(&(group, snapshot));
                let received = self.received.lock().remove(&(group, snapshot));
                if view.is_some() || received.is_some() {
                    // Giving up a large file may wait for the disk, which the worker must not (rule 22).
                    run(move || drop((view, received)));
                }
            }
        }
    }

    /// Keeps a snapshot that arrived and tells the host.
    pub fn arrived(&self, core: &Core, envelope: Envelope, received: Receiver<FileSpool>) {
        let snapshot = self.next_received.fetch_add(1, Ordering::Relaxed);
        self.received.lock().insert((envelope.group, snapshot), received);
        core.tell(Input::SnapshotReceived { envelope, snapshot });
    }

    fn take(&self, core: &Core, group: GroupId, snapshot: u64) {
        let taken = core.engine.snapshot().map_err(machine::Error::from).and_then(|view| {
            let state = machine::snapshot::facts(view.as_ref(), group)?;
            Ok((view, state))
        });
        match taken {
            Ok((view, state)) => {
                self.views.lock().insert((group, snapshot), view);
                let (index, term, conf_state) = (state.applied, state.term, state.conf_state);
                core.tell(Input::SnapshotTaken { group, snapshot, index, term, conf_state });
            }
            // The host asks again when nothing came.
            Err(why) => tracing::error!(%group, %why, "no view of the state could be taken"),
        }
    }

    fn install(&self, core: &Core, group: GroupId, snapshot: u64, place: (LogIndex, Term)) {
        let Some(mut received) = self.received.lock().remove(&(group, snapshot)) else {
            tracing::error!(%group, snapshot, "a snapshot to install is not here");
            return;
        };
        let engine = core.engine.as_ref();
        if let Err(why) = machine::snapshot::install(engine, group, core.slots(group), place, &mut received) {
            // The host waits for this installation before anything else of the group: there is no way on.
            core.die(&format!("group {group}: a snapshot could not be installed: {why}"));
        }
        tracing::info!(%group, index = %place.0, term = %place.1, "installed a snapshot");
        core.tell(Input::SnapshotInstalled { group, snapshot });
    }
}

/// Streams a view to the envelope's node.
fn send(core: Arc<Core>, envelope: Envelope, snapshot: u64, view: Option<Snapshot>) {
    let (group, to_peer) = (envelope.group, envelope.to_peer);
    let (chunks, stream) = tokio::sync::mpsc::channel::<Bytes>(CHUNKS_AHEAD);
    if let Some(view) = view {
        let mut sender = Sender::new(view, ranges(group, core.slots(group)));
        run(move || {
            loop {
                match sender.next_chunk() {
                    Ok(Some(chunk)) => {
                        if chunks.blocking_send(chunk).is_err() {
                            return;
                        }
                    }
                    Ok(None) => return,
                    Err(why) => return tracing::error!(%group, %why, "a snapshot could not be read"),
                }
            }
        });
    }
    // Without a view the stream has no chunk, which the other side refuses: reported like every loss.
    core.clone().tokio.spawn(async move {
        let delivered = core.peers.send_snapshot(envelope, stream).await;
        core.tell(Input::SnapshotSent { group, snapshot, to_peer, delivered });
    });
}

/// Runs a job on a thread of its own. There are few, and each may wait for a disk for long.
fn run(job: impl FnOnce() + Send + 'static) {
    let job = || {
        threads::work_in_batches();
        job();
    };
    if let Err(why) = threads::spawn("snapshot", job) {
        tracing::error!(%why, "no thread for a snapshot");
    }
}

/// Starts the thread that flushes the state by its unflushed bytes, by un-cuttable log bytes or time.
pub fn spawn_flusher(core: Arc<Core>) -> std::io::Result<JoinHandle<()>> {
    threads::spawn("flush", move || {
        threads::work_in_batches();
        let mut last = clock::boottime();
        while core.stop.wait(FLUSH_CHECK) {
            let bytes = core.log_bytes.load(Ordering::Relaxed);
            let due = clock::boottime().since(last) >= core.config.raft.flush_interval;
            let full = bytes >= core.config.raft.flush_log_bytes || core.engine.wants_flush();
            if full || (due && bytes > 0) {
                // A failure was told, and is tried again.
                let _ = flush(&core);
                last = clock::boottime();
            }
        }
    })
}

/// Flushes the state and tells the host how far each group's log may be cut.
pub fn flush(core: &Core) -> machine::Result<()> {
    // Taken before: what is written to the log meanwhile may not be in this flush.
    let bytes = core.log_bytes.swap(0, Ordering::Relaxed);
    let started = clock::boottime();
    core.saves.lock().under_way += 1;
    let flushed = flush_state(core.engine.as_ref(), core.groups());
    let took: Duration = clock::boottime().since(started);
    core.latency.note(latency::FLUSH, took, clock::wall());
    let mut saves = core.saves.lock();
    saves.under_way = saves.under_way.saturating_sub(1);
    saves.failed = flushed.is_err();
    match flushed {
        Ok(durable) => {
            (saves.last, saves.took) = (clock::wall(), Some(took));
            saves.count += 1;
            drop(saves);
            for (group, index) in durable {
                core.tell(Input::Flushed { group, index });
            }
            tracing::info!(log_bytes = bytes, ?took, "flushed the state");
            Ok(())
        }
        Err(why) => {
            drop(saves);
            // Nothing is lost while the log keeps it; the log grows until the disk answers again.
            core.log_bytes.fetch_add(bytes, Ordering::Relaxed);
            tracing::error!(%why, "the state could not be flushed");
            Err(why)
        }
    }
}

/// Waits until the state is durable; then says how far each group's is. Only this may have effects outside the
/// state, such as cutting the log (rules 18, 19): it is read back from what would survive a crash, not taken from
/// what was applied, of which more has come meanwhile.
fn flush_state(
    engine: &dyn Engine,
    groups: impl Iterator<Item = GroupId>,
) -> machine::Result<Vec<(GroupId, LogIndex)>> {
    engine.flush()?;
    groups.map(|group| Ok((group, machine::State::persisted(engine, group)?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::State;
    use crate::store::memory::{Fault, MemoryEngine, Operation};
    use crate::store::{Batch, keys};

    const GROUP: GroupId = GroupId(1);

    fn apply(engine: &MemoryEngine, index: u64) {
        let mut batch = Batch::default();
        batch.put(keys::applied(GROUP), State { applied: LogIndex(index), ..State::default() }.encode());
        engine.write(&batch).expect("the twin takes it");
    }

    #[test]
    fn rule_19_effects_outside_the_state_follow_a_flush_that_was_waited_for() {
        let engine = MemoryEngine::new();
        let groups = || [GROUP, GroupId(2)].into_iter();
        apply(&engine, 5);
        assert_eq!(flush_state(&engine, groups()), Ok(vec![(GROUP, LogIndex(5)), (GroupId(2), LogIndex(0))]));
        // A flush that fails, even if the disk did it, permits nothing.
        apply(&engine, 6);
        for fault in [Fault::io(), Fault::no_space(), Fault::io().but_done()] {
            engine.fail_next(Operation::Sync, fault);
            assert!(flush_state(&engine, groups()).is_err());
        }
        apply(&engine, 7);
        assert_eq!(flush_state(&engine, groups()), Ok(vec![(GROUP, LogIndex(7)), (GroupId(2), LogIndex(0))]));
    }
}
