//! What the threads of a node share: its queues, its stores, what is known of its groups.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::{Mutex, RwLock};
use tokio::sync::watch;

use super::background::Snapshots;
use super::config::Config;
use super::forwarding::Forwarding;
use super::machines::{Machines, ReplyTo};
use super::membership::Membership;
use super::metrics::Metrics;
use super::peers::wire::{self, Batch, pb};
use super::peers::{Inbound, Outbox, Peers, PendingJoin};
use super::queue::Queue;
use super::stop::Stop;
use super::telemetry::{self, Sampler};
use super::views::Cell;
use super::{clock, join, leadership, worker};
use crate::base::{GroupId, LogIndex, Millis, NodeId, SlotRange, Ticket};
use crate::cluster::{FollowerInfo, Map};
use crate::command::script::Running;
use crate::data::Usage;
use crate::host::{Envelope, Fault, GroupStatus, Input, Move, PeerStatus, Persist, View};
use crate::machine::{Submission, Version};
use crate::service::forward::Answer;
use crate::service::latency::Latency;
use crate::service::moves::Moves;
use crate::service::node::{Saves, Shutdown};
use crate::service::pubsub::Hub;
use crate::service::tracking::Trackers;
use crate::store::cached::CachedEngine;
use crate::store::snapshot::{FileSpool, Receiver};
use crate::store::{Engine, Log};

/// The shared middle of a node. Every thread holds it; none owns it.
pub struct Core {
    /// What the node was told.
    pub config: Config,
    /// This node.
    pub node: NodeId,
    /// The state, with the record cache before it.
    pub engine: Arc<dyn Engine>,
    /// The Raft log, for what metrics tell of it.
    pub log: Arc<dyn Log>,
    /// What wakes the raft worker.
    pub worker: Queue<worker::Event>,
    /// What wakes the log writer.
    pub log_queue: Arc<Queue<Persist>>,
    /// What wakes the machine threads.
    pub machines: Machines,
    /// The other nodes.
    pub peers: Arc<Peers>,
    /// Submissions of this node's connections.
    pub forwarding: Forwarding,
    /// Snapshots on their way.
    pub snapshots: Snapshots,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// What lookups of this node leave behind.
    pub usage: Arc<Usage>,
    /// The scripts that run on this node now.
    pub running: Arc<Running>,
    /// Who listens to channels here, and, as they tell, at other nodes.
    pub hub: Arc<Hub>,
    /// Which clients here keep copies of what.
    pub trackers: Arc<Trackers>,
    /// Which clients here hear that leadership moves.
    pub moves: Arc<Moves>,
    /// Where async work runs.
    pub tokio: tokio::runtime::Handle,
    /// Raised when background threads should end.
    pub stop: Stop,
    /// Seeds for reads that draw lots.
    pub seeds: AtomicU64,
    /// Set once [`Core::replayed`] was true.
    pub loaded: AtomicBool,
    /// Which requests are traced.
    pub sampler: Sampler,
    /// The record cache, which starts anew for a group when its leadership changes (rule 38).
    pub cache: Option<Arc<CachedEngine>>,
    /// What the host said of its groups lately.
    pub status: Mutex<Vec<GroupStatus>>,
    /// Log bytes written since the last flush of the state.
    pub log_bytes: AtomicU64,
    /// Delays that were noticed.
    pub latency: Arc<Latency>,
    /// What became of flushes of the state.
    pub saves: Mutex<Saves>,
    /// How a client asked the process to end.
    pub shutdown: watch::Sender<Option<Shutdown>>,
    /// Where arriving snapshots are put down.
    pub snapshot_directory: std::path::PathBuf,
    /// The groups with a replica here.
    pub local: BTreeMap<GroupId, Group>,
    /// What the meta group knows.
    pub membership: Membership,
    /// The newest map; see [`Core::map`].
    pub map: RwLock<Arc<Map>>,
}

/// A group with a replica here.
pub struct Group {
    /// Its slots; none for the meta group.
    pub slots: Option<SlotRange>,
    /// What readers know of it.
    pub cell: Cell,
    /// Changes while the engine's state of the group does.
    pub version: Arc<Version>,
    /// A read met a record that is not in memory: the next submission of reads should wait for the disk elsewhere
    /// than on the machine's thread. A hint, taken by whoever comes first.
    pub cold: AtomicBool,
    /// The log said at start that so much is committed: before it is applied here, nothing is served.
    pub replay_to: LogIndex,
}

impl Core {
    /// Tells the host.
    pub fn tell(&self, input: Input) {
        self.worker.push_unbounded(worker::Event::Input(input));
    }

    /// All groups with a replica here.
    pub fn groups(&self) -> impl Iterator<Item = GroupId> {
        self.local.keys().copied()
    }

    /// The slots of a group; none for the meta group and for groups that are not here.
    pub fn slots(&self, group: GroupId) -> Option<SlotRange> {
        self.local.get(&group).and_then(|group| group.slots)
    }

    /// Shows readers what the host published; a new leader wakes who waits for one.
    pub fn publish(&self, view: &View) {
        let Some(group) = self.local.get(&view.group) else { return };
        let before = group.cell.view();
        if let (true, Some(slots), Some(cache)) = (view.serving && !before.serving, group.slots, &self.cache) {
            cache.new_generation(slots);
        }
        group.cell.publish(view);
        // Who hears no leader may miss changes for as long as that lasts.
        if before.leader.is_some() && view.leader.is_none() && group.slots.is_some() {
            self.trackers.missed(clock::boottime());
        }
        if (before.leader, before.term, before.serving) != (view.leader, view.term, view.serving) {
            self.refresh_map();
            self.forwarding.leader(self, view.group, view.leader);
        }
    }

    /// Tells people what became of leadership, and clients who want to hear it that leadership of groups with keys moves.
    pub fn tell_moves(&self, moves: &[Move]) {
        let has_keys = |group: &GroupId| self.local.get(group).is_some_and(|group| group.slots.is_some());
        let (mut begin, mut ended) = (Vec::new(), Vec::new());
        for told in moves {
            match told {
                Move::Begins(group) if has_keys(group) => begin.push(*group),
                Move::Ended(group) if has_keys(group) => ended.push(*group),
                Move::Begins(_) | Move::Ended(_) => {}
                Move::Changed(group, change) => {
                    self.metrics.leadership(change.kind);
                    leadership::tell(*group, change);
                }
            }
        }
        let (wall, now) = (clock::wall(), clock::boottime());
        if !ended.is_empty() {
            self.moves.end(&ended, wall, now);
        }
        if !begin.is_empty() {
            // A transfer that does not succeed is given up after an election timeout.
            let raft = &self.config.raft;
            let timeout = raft.tick * u32::try_from(raft.election_ticks).unwrap_or(u32::MAX);
            self.moves.begin(&begin, whole_seconds(timeout), wall, now);
        }
    }

    /// Tells those clients that this node ends within a time, and where others are.
    pub fn tell_leave(&self, within: Duration) {
        let map = self.map();
        let others = map.nodes.iter().filter(|node| node.id != self.node && node.reachable);
        let addresses: Vec<String> = others.filter_map(|node| node.resp.clone()).collect();
        self.moves.leave(&addresses, whole_seconds(within), clock::wall(), clock::boottime());
    }

    /// Whether everything that was committed when the node stopped is applied again.
    pub fn replayed(&self) -> bool {
        if self.loaded.load(Ordering::Relaxed) {
            return true;
        }
        let replayed = self.local.values().all(|group| group.cell.applied() >= group.replay_to);
        self.loaded.store(replayed, Ordering::Relaxed);
        replayed
    }

    /// Groups, nodes and leaders as last known.
    pub fn map(&self) -> Arc<Map> {
        self.map.read().clone()
    }

    /// Makes a fresh map of the facts, and of what changes faster than they do: leaders, places in the log, who is
    /// heard of.
    pub fn refresh_map(&self) {
        let mut map = self.membership.facts().map(self.node);
        for group in &mut map.groups {
            let Some(Group { cell, .. }) = self.local.get(&group.id) else { continue };
            let view = cell.view();
            (group.leader, group.term, group.commit, group.applied) =
                (view.leader, view.term, view.commit, cell.applied());
        }
        for status in self.status.lock().iter() {
            if let Some(group) = map.groups.iter_mut().find(|group| group.id == status.group) {
                group.followers = status.peers.iter().filter_map(follower).collect();
            }
        }
        let wall = clock::wall();
        for peer in self.peers.all() {
            if let Some(node) = map.nodes.iter_mut().find(|node| node.id == peer.id) {
                node.reachable = peer.reachable();
                let heard = |silence: Duration| Millis(wall.0.saturating_sub(silence.as_millis() as u64));
                node.heard = peer.silence().map_or(Millis(0), heard);
            }
        }
        *self.map.write() = Arc::new(map);
    }
}

impl Core {
    /// A broken promise that the host found: told, and fatal where nothing can be trusted any more.
    pub fn fault(&self, fault: &Fault) {
        if fault.is_fatal() {
            self.die(&format!("group {}: {}", fault.group, fault.kind));
        }
        tracing::error!(group = %fault.group, why = %fault.kind, "the group stopped on this node");
    }

    /// Ends the process at once: nothing that runs on may acknowledge anything. What is on disk stays a prefix.
    pub fn die(&self, why: &str) -> ! {
        // Straight to stderr: the thread that writes log lines will not run again.
        eprintln!("holdfast: node {} stops at once: {why}", self.node);
        std::process::abort()
    }

    /// Whether any group is led from here.
    pub fn leads_any(&self) -> bool {
        self.local.keys().any(|group| self.leads(*group))
    }

    /// Whether a group is led from here.
    pub fn leads(&self, group: GroupId) -> bool {
        self.local.get(&group).is_some_and(|group| group.cell.view().leader == Some(self.node))
    }
}

/// So many seconds, at least, and at least one.
fn whole_seconds(time: Duration) -> u64 {
    (time.as_secs() + u64::from(time.subsec_nanos() > 0)).max(1)
}

fn follower(peer: &PeerStatus) -> Option<FollowerInfo> {
    Some(FollowerInfo { node: peer.node?, matched: peer.matched, loading: peer.state == "snapshot" })
}

impl Inbound for Core {
    fn hub(&self) -> &Arc<Hub> {
        &self.hub
    }

    fn running(&self) -> &Arc<Running> {
        &self.running
    }

    fn raft(&self, envelopes: Vec<Envelope>) {
        self.metrics.raft_messages_received.inc_by(envelopes.len() as u64);
        let bytes = envelopes.iter().map(wire::weight).sum();
        let count = envelopes.len();
        // Raft asks again for what is lost here.
        if self.worker.push(worker::Event::Messages(envelopes), bytes).is_err() {
            self.metrics.raft_messages_dropped.inc_by(count as u64);
        }
    }

    fn batches(&self, from: NodeId, batches: Vec<Batch>, answers: &Arc<Outbox<pb::Answer>>) {
        let since = clock::boottime();
        for Batch { group, submission, trace } in batches {
            let Submission { ticket, origin, units } = submission;
            let span = (!trace.is_empty()).then(|| {
                let span = tracing::info_span!(target: telemetry::SPANS, "serve", %group, %from, units = units.len());
                telemetry::follow(&span, &trace);
                span
            });
            let reply_to = ReplyTo::Peer { answers: answers.clone(), ticket, span };
            if let Err(refusal) = self.machines.submit(group, origin, units, reply_to, since) {
                let answer = wire::answer_to_wire(group, ticket, &Answer::Refused(refusal));
                answers.push([(answer, 64)]);
            }
        }
    }

    fn answers(&self, mut answers: Vec<(GroupId, Ticket, Answer)>) {
        self.forwarding.answered(self, &mut answers);
    }

    fn link(&self, to: NodeId, up: bool) {
        self.forwarding.link(self, to, up);
    }

    fn snapshot_receiver(&self) -> Option<Receiver<FileSpool>> {
        match FileSpool::create(&self.snapshot_directory) {
            Ok(spool) => Some(Receiver::new(spool)),
            Err(why) => {
                tracing::error!(%why, "a snapshot cannot be received");
                None
            }
        }
    }

    fn snapshot(&self, envelope: Envelope, received: Receiver<FileSpool>) {
        self.snapshots.arrived(self, envelope, received);
    }

    fn was_removed(&self, node: NodeId) -> bool {
        self.membership.facts().is_gone(node)
    }

    fn join(self: Arc<Self>, asked: pb::JoinAsked) -> PendingJoin {
        Box::pin(join::admit(self, asked))
    }
}
