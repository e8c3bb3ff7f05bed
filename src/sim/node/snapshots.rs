//! Snapshots of a simulated node in both directions: views that wait to be sent, streams of chunks, received
//! snapshots that wait to be installed.
//!
//! Invariant: every snapshot that was to be sent is reported exactly once, whatever became of it (rule 11).

use std::collections::BTreeMap;
use std::time::Duration;

use super::super::shared::{Frame, Shared, SnapshotPart};
use super::{Life, MachineWork, Node, NodeEvent};
use crate::base::{GroupId, LogIndex, NodeId, PeerId, Term};
use crate::host::{Envelope, Input, RECEIVED_SNAPSHOTS, SnapshotEffect};
use crate::machine::{State, snapshot};
use crate::store::Snapshot;
use crate::store::memory::{Fault, Operation};
use crate::store::snapshot::{Receiver, Sender, ranges};

/// A stream that is not answered by then has failed.
const STREAM_MAX: Duration = Duration::from_secs(5);

/// Snapshots on their way.
#[derive(Default)]
pub(super) struct Snapshots {
    views: BTreeMap<(GroupId, u64), Snapshot>,
    received: BTreeMap<(GroupId, u64), Receiver<Vec<bytes::Bytes>>>,
    outgoing: BTreeMap<u64, Outgoing>,
    incoming: BTreeMap<(NodeId, u64), Incoming>,
    next_stream: u64,
    next_received: u64,
}

struct Outgoing {
    group: GroupId,
    snapshot: u64,
    to: NodeId,
    to_peer: PeerId,
    sender: Sender,
}

struct Incoming {
    envelope: Envelope,
    receiver: Receiver<Vec<bytes::Bytes>>,
}

impl Node {
    /// Begins what the host asks for; answers come as inputs of the host.
    pub(super) fn snapshot_effect(&mut self, shared: &mut Shared, effect: SnapshotEffect) {
        let Some(life) = &mut self.life else { return };
        match effect {
            SnapshotEffect::Take { group, snapshot } => {
                shared.plan_soon(self.id, NodeEvent::TakeView { group, snapshot });
            }
            SnapshotEffect::Send { envelope, snapshot } => {
                let (group, to, to_peer) = (envelope.group, envelope.to, envelope.to_peer);
                let Some(view) = life.snapshots.views.remove(&(group, snapshot)) else {
                    return self.tell_host(shared, Input::SnapshotSent { group, snapshot, to_peer, delivered: false });
                };
                let sender = Sender::new(view, ranges(group, life.slots(group))).in_chunks_of(life.chunk_bytes);
                let stream = life.snapshots.next_stream;
                life.snapshots.next_stream += 1;
                life.snapshots.outgoing.insert(stream, Outgoing { group, snapshot, to, to_peer, sender });
                let part = SnapshotPart::Announcement(envelope);
                shared.plan(self.id, STREAM_MAX, NodeEvent::StreamTimeout { stream });
                self.send_part(shared, stream, to, part);
            }
            SnapshotEffect::Install { group, snapshot, index, term, .. } => {
                // Through the machine's queue: what was committed before must be applied before.
                self.tell_machine(shared, group, MachineWork::Install { snapshot, index, term });
            }
            SnapshotEffect::Drop { group, snapshot } => {
                life.snapshots.views.remove(&(group, snapshot));
                life.snapshots.received.remove(&(group, snapshot));
            }
        }
    }

    pub(super) fn take_view(&mut self, shared: &mut Shared, group: GroupId, number: u64) {
        let Some(life) = &mut self.life else { return };
        // A failed read is not reported: the host asks again when nothing came.
        let Ok(view) = life.engine.snapshot() else { return };
        let Ok(state) = snapshot::facts(view.as_ref(), group) else { return };
        life.snapshots.views.insert((group, number), view);
        let State { applied: index, term, conf_state, .. } = state;
        self.tell_host(shared, Input::SnapshotTaken { group, snapshot: number, index, term, conf_state });
    }

    pub(super) fn send_chunk(&mut self, shared: &mut Shared, stream: u64) {
        let Some(life) = &mut self.life else { return };
        let Some(outgoing) = life.snapshots.outgoing.get_mut(&stream) else { return };
        let to = outgoing.to;
        match outgoing.sender.next_chunk() {
            Ok(Some(chunk)) => self.send_part(shared, stream, to, SnapshotPart::Chunk(chunk)),
            Ok(None) => {}
            Err(_) => self.stream_over(shared, stream, false),
        }
    }

    fn send_part(&mut self, shared: &mut Shared, stream: u64, to: NodeId, part: SnapshotPart) {
        if shared.send(self.id, to, Frame::Snapshot { stream, part }) {
            shared.plan_soon(self.id, NodeEvent::SendChunk { stream });
        } else {
            // The connection broke, which is noticed some time later.
            let notice = Duration::from_millis(shared.rng.range(1, 1_500));
            shared.plan(self.id, notice, NodeEvent::StreamTimeout { stream });
        }
    }

    /// Reports a stream's end, once.
    pub(super) fn stream_over(&mut self, shared: &mut Shared, stream: u64, delivered: bool) {
        let Some(life) = &mut self.life else { return };
        let Some(Outgoing { group, snapshot, to_peer, .. }) = life.snapshots.outgoing.remove(&stream) else { return };
        if !delivered {
            shared.coverage.saw("snapshot aborted");
        }
        self.tell_host(shared, Input::SnapshotSent { group, snapshot, to_peer, delivered });
    }

    pub(super) fn receive_part(&mut self, shared: &mut Shared, from: NodeId, stream: u64, part: SnapshotPart) {
        let Some(life) = &mut self.life else { return };
        let snapshots = &mut life.snapshots;
        match part {
            SnapshotPart::Done(delivered) => self.stream_over(shared, stream, delivered),
            SnapshotPart::Announcement(envelope) => {
                let receiver = Receiver::new(Vec::new());
                snapshots.incoming.insert((from, stream), Incoming { envelope, receiver });
            }
            SnapshotPart::Chunk(chunk) => {
                let Some(incoming) = snapshots.incoming.get_mut(&(from, stream)) else { return };
                let accepted = incoming.receiver.accept(chunk);
                if accepted == Ok(false) {
                    shared.coverage.saw("snapshot in chunks");
                    return;
                }
                let arrived = snapshots.incoming.remove(&(from, stream));
                shared.send(self.id, from, Frame::Snapshot { stream, part: SnapshotPart::Done(accepted.is_ok()) });
                if let (Ok(true), Some(Incoming { envelope, receiver })) = (accepted, arrived) {
                    let snapshot = RECEIVED_SNAPSHOTS + snapshots.next_received;
                    snapshots.next_received += 1;
                    snapshots.received.insert((envelope.group, snapshot), receiver);
                    self.tell_host(shared, Input::SnapshotReceived { envelope, snapshot });
                }
            }
        }
    }

    /// Flush, replace atomically, tell the host (rule 20), which tells the machine once the log is reset.
    pub(super) fn install(&mut self, shared: &mut Shared, group: GroupId, number: u64, index: LogIndex, term: Term) {
        let Some(life) = &mut self.life else { return };
        let Some(mut received) = life.snapshots.received.remove(&(group, number)) else { return };
        let (slots, engine) = (life.slots(group), life.engine.clone());
        if self.disk.is_full(shared.now()) {
            self.engine.fail_next(Operation::Ingest, Fault::no_space());
        }
        if snapshot::install(&*engine, group, slots, (index, term), &mut received).is_err() {
            // The host waits for this before anything else of the group: there is no way on.
            shared.coverage.saw("failing installation");
            shared.trace.note(shared.queue.now(), Some(self.id), format_args!("a snapshot cannot be installed"));
            return self.die(shared, Duration::from_millis(300));
        }
        shared.coverage.saw("snapshot install");
        let now = shared.now();
        shared.trace.note(now, Some(self.id), format_args!("group {group}: installed a snapshot at {index}"));
        if self.effect(shared) {
            return;
        }
        self.tell_host(shared, Input::SnapshotInstalled { group, snapshot: number });
    }
}

impl Life {
    pub(super) fn slots(&self, group: GroupId) -> Option<crate::base::SlotRange> {
        self.machines.get(&group).and_then(|slot| slot.slots)
    }
}
