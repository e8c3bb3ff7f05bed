//! What all nodes of a world share: the queue of events, the network, the trace and the judges that watch while it
//! runs. Nodes reach each other only through here.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;

use super::check::Violation;
use super::check::publications::Publications;
use super::check::replicas::Replicas;
use super::coverage::Coverage;
use super::network::Network;
use super::node::NodeEvent;
use super::queue::Queue;
use super::trace::Trace;
use crate::base::{GroupId, Nanos, NodeId, Rng, Ticket};
use crate::group;
use crate::host::Envelope;
use crate::machine::Submission;
use crate::service::forward;
use crate::service::node::Outcome as Answer;

/// Everything that can happen.
#[derive(Debug)]
pub enum Event {
    /// A client thinks of something to do, unless it has planned anew since.
    Client { client: u64, turn: u64 },
    /// A client gets the answer to its request of this number.
    Answer { client: u64, request: u64, answer: Answer },
    /// Something happens inside a node, if it still lives the life in which it was planned.
    Node { node: NodeId, life: u64, event: NodeEvent },
    /// A frame arrives, if the receiver still lives the life in which it was sent.
    Frame { from: NodeId, to: NodeId, life: u64, frame: Frame },
    /// A dead process is started again.
    Restart(NodeId),
    /// The plan's fault of this number strikes.
    Fault(usize),
    /// It is over.
    FaultOver(usize),
    /// The world is healed.
    Heal,
    /// Clients think of nothing new any more.
    LastCall,
    /// The operator looks after who is in the cluster.
    Operate,
    /// Time for the judges to look whether all is quiet.
    Inspect,
}

/// What travels between nodes.
#[derive(Debug)]
pub enum Frame {
    /// A Raft message.
    Raft(Envelope),
    /// A batch on the stream of forwarded batches; `stream` counts its connections.
    Batch { stream: u64, group: GroupId, submission: Submission },
    /// An answer on the same stream, in the other direction.
    Reply { stream: u64, reply: Forwarded },
    /// A part of a snapshot; `stream` is the sender's name for it.
    Snapshot { stream: u64, part: SnapshotPart },
}

impl Frame {
    /// In one line, for a trace.
    fn line(&self) -> String {
        match self {
            Frame::Raft(envelope) => format!("group {} {}", envelope.group, group::describe(&envelope.message)),
            Frame::Batch { stream, group, submission: Submission { ticket, origin, units } } => {
                let origin = origin.map_or("reads".to_owned(), |origin| {
                    format!("number {} of session {}", origin.number, origin.session)
                });
                format!("group {group} stream {stream}: batch {ticket}, {origin}, {} units", units.len())
            }
            Frame::Reply { stream, reply: Forwarded { group, ticket, answer } } => {
                let answer = match answer {
                    forward::Answer::Replies(replies) => format!("{} replies", replies.len()),
                    other => format!("{other:?}"),
                };
                format!("group {group} stream {stream}: answer to batch {ticket}: {answer}")
            }
            Frame::Snapshot { stream, part } => match part {
                SnapshotPart::Announcement(envelope) => {
                    format!("snapshot stream {stream}: {}", group::describe(&envelope.message))
                }
                SnapshotPart::Chunk(bytes) => format!("snapshot stream {stream}: {} bytes", bytes.len()),
                SnapshotPart::Done(whole) => format!("snapshot stream {stream}: done, whole: {whole}"),
            },
        }
    }
}

/// The answer of a machine to a forwarded batch.
#[derive(Debug)]
pub struct Forwarded {
    /// Which group's machine.
    pub group: GroupId,
    /// As the asker named the batch.
    pub ticket: Ticket,
    /// What it said.
    pub answer: forward::Answer,
}

/// Parts of a snapshot stream.
#[derive(Debug)]
pub enum SnapshotPart {
    /// The Raft message that announces it.
    Announcement(Envelope),
    /// The next chunk.
    Chunk(Bytes),
    /// From the receiver: all of it arrived, or not.
    Done(bool),
}

/// What a world shares.
pub struct Shared {
    /// What will happen.
    pub queue: Queue<Event>,
    /// Links between nodes.
    pub network: Network,
    /// What happened.
    pub trace: Trace,
    /// What kinds of things happened.
    pub coverage: Coverage,
    /// Watches the replicas.
    pub replicas: Replicas,
    /// Watches what they tell who listens.
    pub publications: Publications,
    /// Nodes that are in the cluster no more, or soon.
    pub leaving: BTreeSet<NodeId>,
    /// Broken promises so far.
    pub violations: Vec<Violation>,
    /// By node: which life it lives, and whether it lives.
    pub lives: Vec<(u64, bool)>,
    /// By directed pair: which connection of the stream of forwarded batches is open, if one is.
    streams: Vec<Stream>,
    /// Chance of the world.
    pub rng: Rng,
}

#[derive(Clone, Copy, Debug, Default)]
struct Stream {
    number: u64,
    open: bool,
}

impl Shared {
    /// A world of dead nodes.
    pub fn new(nodes: u64, rng: &mut Rng, print: bool) -> Shared {
        Shared {
            queue: Queue::default(),
            network: Network::new(nodes, rng.fork()),
            trace: Trace::new(print),
            coverage: Coverage::default(),
            replicas: Replicas::default(),
            publications: Publications::default(),
            leaving: BTreeSet::new(),
            violations: Vec::new(),
            lives: vec![(0, false); nodes as usize],
            streams: vec![Stream::default(); (nodes * nodes) as usize],
            rng: rng.fork(),
        }
    }

    /// True time.
    pub fn now(&self) -> Nanos {
        self.queue.now()
    }

    /// Lets something happen inside a node after a while, if it lives on until then.
    pub fn plan(&mut self, node: NodeId, delay: Duration, event: NodeEvent) {
        let (life, _) = self.lives[place(node)];
        self.queue.after(delay, Event::Node { node, life, event });
    }

    /// The same, a little later: what hand-over between threads takes.
    pub fn plan_soon(&mut self, node: NodeId, event: NodeEvent) {
        // Mostly microseconds; now and then a thread is not scheduled for a while.
        let most = if self.rng.chance(1, 200) { 10_000_000 } else { 60_000 };
        let delay = Duration::from_nanos(1_000 + self.rng.below(most));
        self.plan(node, delay, event);
    }

    /// Sends a Raft message or a part of a snapshot; whether it will arrive if both nodes live on.
    pub fn send(&mut self, from: NodeId, to: NodeId, frame: Frame) -> bool {
        let (life, alive) = self.lives[place(to)];
        let arrival = if alive { self.network.send(self.now(), from, to) } else { None };
        if self.trace.prints() {
            let now = self.now();
            let fate = arrival.map_or("lost".to_owned(), |at| format!("{:.3} ms", (at.0 - now.0) as f64 / 1e6));
            self.trace.detail(now, Some(from), format_args!("-> node {to} ({fate}): {}", frame.line()));
        }
        let Some(arrival) = arrival else { return false };
        self.queue.at(arrival, Event::Frame { from, to, life, frame });
        true
    }

    /// Sends a batch on the stream from `from` to `to`; false if there is none. A lost frame breaks the stream.
    pub fn send_batch(&mut self, from: NodeId, to: NodeId, group: GroupId, submission: Submission) -> bool {
        let Stream { number: stream, open } = self.streams[self.pair(from, to)];
        if !open {
            return false;
        }
        if !self.send(from, to, Frame::Batch { stream, group, submission }) {
            self.break_stream(from, to);
        }
        true
    }

    /// Sends an answer on the stream from `from` to `to`, whose owner is `from`.
    pub fn send_reply(&mut self, from: NodeId, to: NodeId, stream: u64, reply: Forwarded) {
        if !self.is_open(from, to, stream) {
            return;
        }
        if !self.send(to, from, Frame::Reply { stream, reply }) {
            self.break_stream(from, to);
        }
    }

    /// Whether frames of this connection still count.
    pub fn is_open(&self, from: NodeId, to: NodeId, stream: u64) -> bool {
        let known = self.streams[self.pair(from, to)];
        known.open && known.number == stream
    }

    /// A frame was lost: nothing passes any more, and some time later both ends notice.
    fn break_stream(&mut self, from: NodeId, to: NodeId) {
        let pair = self.pair(from, to);
        self.streams[pair].open = false;
        let notice = Duration::from_millis(self.rng.range(1, 1_500));
        self.plan(from, notice, NodeEvent::StreamEnded { to });
    }

    /// Tries to open the stream from `from` to `to`; whether it is open now.
    pub fn open_stream(&mut self, from: NodeId, to: NodeId) -> bool {
        let (_, alive) = self.lives[place(to)];
        let reachable = alive && self.network.connected(from, to) && self.network.connected(to, from);
        let pair = self.pair(from, to);
        if reachable && !self.streams[pair].open {
            self.streams[pair].number += 1;
            self.streams[pair].open = true;
        }
        self.streams[pair].open
    }

    /// A process died: its connections are reset, which the other side notices soon.
    pub fn reset_streams(&mut self, node: NodeId) {
        for other in (1..=self.lives.len() as u64).map(NodeId).filter(|other| *other != node) {
            let (out, incoming) = (self.pair(node, other), self.pair(other, node));
            self.streams[out].open = false;
            if self.streams[incoming].open {
                self.break_stream(other, node);
            }
        }
    }

    /// A broken promise: the run ends.
    pub fn violated(&mut self, violation: Violation) {
        self.violations.push(violation);
    }

    fn pair(&self, from: NodeId, to: NodeId) -> usize {
        place(from) * self.lives.len() + place(to)
    }
}

/// Where a node is in lists of nodes.
pub fn place(node: NodeId) -> usize {
    node.get() as usize - 1
}
