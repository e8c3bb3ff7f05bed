//! The other nodes: streams to and from each of them. Raft traffic and forwarded commands have streams and
//! connections of their own, so that a large value never delays a heartbeat.
//!
//! Invariants: both ends of a stream agreed on cluster, nodes and format before its first frame (rule 15); what waits
//! for a peer is bounded in bytes, raft messages beyond that are dropped, batches refused (rule 40); nothing is ever
//! sent twice by this module.

mod client;
#[cfg(test)]
mod dials;
mod outbox;
mod server;
#[cfg(test)]
mod streams;
pub mod wire;

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use parking_lot::{Mutex, RwLock};
use tokio::sync::watch;
use tonic::Status;
use tonic::metadata::{MetadataMap, MetadataValue};

pub use client::ask_to_join;
pub use outbox::Outbox;
pub use server::serve;
use wire::{Batch, FORMAT, pb};

use super::metrics::Metrics;
use super::{clock, threads};
use crate::base::{ClusterId, GroupId, Nanos, NodeId, Rng, Ticket, limits};
use crate::command::script::Running;
use crate::host::Envelope;
use crate::host::meta::NODES_MAX;
use crate::service::forward::Answer;
use crate::service::node::{AboutScripts, ScriptsTold};
use crate::service::pubsub::Hub;
use crate::store::snapshot::{FileSpool, Receiver};

/// Nodes that this one has streams to at most; those that nothing told of count as well.
const PEERS_MAX: usize = 2 * NODES_MAX;
/// A peer that was not heard for this long counts as unreachable in the map.
const SILENCE_MAX: Duration = Duration::from_secs(2);

/// Says in a call's metadata where the caller is reached.
const ADDRESS: &str = "holdfast-address";

/// Who this node is to others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Its cluster.
    pub cluster: ClusterId,
    /// Its id.
    pub node: NodeId,
}

/// What arrives, handed on. Called on the socket threads: must not wait.
pub trait Inbound: Send + Sync + 'static {
    /// Who listens to what: here, to be told to others, and there, as they tell.
    fn hub(&self) -> &Arc<Hub>;
    /// The scripts that run here.
    fn running(&self) -> &Arc<Running>;
    /// Raft messages of one node.
    fn raft(&self, envelopes: Vec<Envelope>);
    /// Batches that a node forwards; each is answered once into `answers`, which may be closed by then.
    fn batches(&self, from: NodeId, batches: Vec<Batch>, answers: &Arc<Outbox<pb::Answer>>);
    /// Answers to batches that were forwarded.
    fn answers(&self, answers: Vec<(GroupId, Ticket, Answer)>);
    /// The stream of forwarded batches to that node was opened or ended. After its end no answer comes for what was
    /// sent before.
    fn link(&self, to: NodeId, up: bool);
    /// What takes an arriving snapshot's chunks, or `None` to refuse it.
    fn snapshot_receiver(&self) -> Option<Receiver<FileSpool>>;
    /// A whole snapshot arrived.
    fn snapshot(&self, envelope: Envelope, received: Receiver<FileSpool>);
    /// Whether a node was removed from the cluster.
    fn was_removed(&self, node: NodeId) -> bool;
    /// A node wants to be one of the cluster.
    fn join(self: Arc<Self>, asked: pb::JoinAsked) -> PendingJoin;
}

/// What a node that wants to join is told.
pub type PendingJoin = Pin<Box<dyn Future<Output = Result<pb::JoinTold, Status>> + Send>>;

/// One other node.
pub struct Peer {
    /// Its id.
    pub id: NodeId,
    /// Where its peer listener may be.
    addresses: Mutex<Addresses>,
    raft: Arc<Outbox<pb::RaftMessage>>,
    forward: Arc<Outbox<pb::Batch>>,
    /// It called before anything told of it.
    was_met: bool,
    /// The stream of raft messages to it is open.
    is_open: AtomicBool,
    /// Set when it is one of the cluster no more: streams to it end.
    ended: watch::Sender<bool>,
    /// When a frame of it came last, [`Nanos`]; 0 for never.
    heard: AtomicU64,
}

/// Where a peer may be: what the operator told, what the meta group says, what it said itself when it called. They can
/// differ while nodes move, and any may be the oldest: all are tried in turn. Who answers at a wrong one is found out
/// before the first frame. A node that moved must be heard before it can register: it calls, so that it is called back.
struct Addresses {
    told: String,
    registered: Option<String>,
    introduced: Option<String>,
    attempts: usize,
}

/// All other nodes.
pub struct Peers {
    identity: Identity,
    /// Where this node says that it is reached.
    own: String,
    peers: RwLock<BTreeMap<NodeId, Arc<Peer>>>,
    connector: OnceLock<Connector>,
    /// A peer said that this node was removed.
    is_refused: AtomicBool,
    metrics: Arc<Metrics>,
}

/// What streams to a peer need.
struct Connector {
    /// Not held: it holds this.
    inbound: Weak<dyn Inbound>,
    rng: Mutex<Rng>,
}

impl Peers {
    /// The nodes of a cluster, without this one. Nothing is connected before [`Peers::connect`].
    /// `own` is where they reach this one.
    pub fn new(identity: Identity, own: String, members: &[(NodeId, String)], metrics: Arc<Metrics>) -> Peers {
        let others = members.iter().filter(|(id, _)| *id != identity.node);
        let peers = others.map(|(id, address)| (*id, Arc::new(Peer::new(*id, address)))).collect();
        Peers {
            identity,
            own,
            peers: RwLock::new(peers),
            connector: OnceLock::new(),
            is_refused: AtomicBool::new(false),
            metrics,
        }
    }

    /// Keeps streams to every peer, those that come later too, for as long as the tokio runtime lives.
    pub fn connect(self: &Arc<Self>, inbound: &Arc<dyn Inbound>, rng: &mut Rng) {
        let connector = Connector { inbound: Arc::downgrade(inbound), rng: Mutex::new(rng.fork()) };
        if self.connector.set(connector).is_ok() {
            self.all().into_iter().for_each(|peer| self.connect_to(peer));
        }
    }

    /// The others are now these: streams to new ones begin, streams to those that are none any more end. Those that this
    /// node met before the facts told of them stay, unless they are gone. Called on the tokio runtime.
    pub fn set_members(self: &Arc<Self>, members: &BTreeMap<NodeId, String>, is_gone: impl Fn(NodeId) -> bool) {
        let (mut new, mut gone) = (Vec::new(), Vec::new());
        {
            let mut peers = self.peers.write();
            peers.retain(|id, peer| {
                let stays = members.contains_key(id) || (peer.was_met && !is_gone(*id));
                if !stays {
                    gone.push(peer.clone());
                }
                stays
            });
            for (id, address) in members.iter().filter(|(id, _)| **id != self.identity.node) {
                peers.entry(*id).or_insert_with(|| {
                    let peer = Arc::new(Peer::new(*id, address));
                    new.push(peer.clone());
                    peer
                });
            }
        }
        for peer in gone {
            tracing::info!(peer = %peer.id, "a node left the cluster");
            peer.ended.send_replace(true);
        }
        for peer in new {
            tracing::info!(peer = %peer.id, "a node joined the cluster");
            self.connect_to(peer);
        }
    }

    /// A node of this cluster called that nothing told of so far, and said where it is reached: it joined while this one was
    /// away, and may be the only one that can tell of that. False if there is no room for another one.
    fn meet(self: &Arc<Self>, node: NodeId, metadata: &MetadataMap) -> bool {
        let Some(address) = introduction(metadata) else { return false };
        let peer = {
            let mut peers = self.peers.write();
            if node == self.identity.node || peers.len() >= PEERS_MAX {
                return false;
            }
            let Entry::Vacant(place) = peers.entry(node) else { return true };
            place.insert(Arc::new(Peer { was_met: true, ..Peer::new(node, address) })).clone()
        };
        tracing::info!(peer = %node, address, "a node called that joined while this one was away");
        self.connect_to(peer);
        true
    }

    fn connect_to(self: &Arc<Self>, peer: Arc<Peer>) {
        let Some((connector, inbound)) = self.connector.get().and_then(|c| Some((c, c.inbound.upgrade()?))) else {
            return;
        };
        let fork = || connector.rng.lock().fork();
        let id = peer.id;
        let raft = client::keep_raft(self.clone(), peer.clone(), fork());
        threads::spawn_task(format!("raft stream to node {id}"), client::until_ended(peer.clone(), raft));
        let forward = client::keep_forward(self.clone(), peer.clone(), inbound, fork());
        threads::spawn_task(format!("forwarding to node {id}"), client::until_ended(peer, forward));
    }

    /// Whether the others said that this node is none of them any more, and none of them needs it.
    pub fn is_left_alone(&self) -> bool {
        let is_open = |peer: &Arc<Peer>| peer.is_open.load(Ordering::Relaxed);
        self.is_refused.load(Ordering::Relaxed) && !self.peers.read().values().any(is_open)
    }

    fn find(&self, node: NodeId) -> Option<Arc<Peer>> {
        self.peers.read().get(&node).cloned()
    }

    /// Sends raft messages, dropping what has no way or no room.
    pub fn send(&self, envelopes: Vec<Envelope>) {
        let mut rest = envelopes;
        while let Some(to) = rest.first().map(|envelope| envelope.to) {
            // One lock and one wake-up per peer and turn; with a handful of peers this beats a map.
            let (for_peer, others): (Vec<_>, Vec<_>) = rest.into_iter().partition(|envelope| envelope.to == to);
            rest = others;
            let count = for_peer.len();
            let dropped = match self.find(to) {
                Some(peer) => peer.raft.push(for_peer.into_iter().map(|envelope| {
                    let bytes = wire::weight(&envelope);
                    (wire::raft_message(envelope), bytes)
                })),
                None => count,
            };
            self.metrics.raft_messages_sent.inc_by((count - dropped) as u64);
            self.metrics.raft_messages_dropped.inc_by(dropped as u64);
        }
    }

    /// Forwards a batch; false when there is no stream or no room, and then nothing was sent.
    pub fn forward(&self, to: NodeId, batch: Batch) -> bool {
        let refused = match self.find(to) {
            Some(peer) => {
                let batch = wire::batch_to_wire(batch);
                let bytes = batch.units.len() + 64;
                peer.forward.push([(batch, bytes)])
            }
            None => 1,
        };
        self.metrics.forwards_refused.inc_by(refused as u64);
        refused == 0
    }

    /// Streams a snapshot; true when the other side has all of it.
    pub async fn send_snapshot(&self, envelope: Envelope, chunks: tokio::sync::mpsc::Receiver<bytes::Bytes>) -> bool {
        let Some(peer) = self.find(envelope.to) else { return false };
        match client::send_snapshot(self, &peer, envelope, chunks).await {
            Ok(()) => true,
            Err(why) => {
                tracing::warn!(peer = %peer.id, %why, "a snapshot was not delivered");
                false
            }
        }
    }

    /// Asks every peer about the scripts that run there: the answers of those that give one soon.
    pub async fn ask_about_scripts(self: Arc<Self>, about: AboutScripts) -> Vec<ScriptsTold> {
        let mut asking = tokio::task::JoinSet::new();
        for peer in self.all() {
            let peers = self.clone();
            asking.spawn(async move { (peer.id, client::ask_about_scripts(&peers, &peer, about).await) });
        }
        let mut told = Vec::new();
        while let Some(answer) = asking.join_next().await {
            match answer {
                Ok((_, Ok(answer))) => told.push(answer),
                Ok((peer, Err(why))) => {
                    tracing::debug!(%peer, why = why.message(), "no answer about scripts");
                }
                // The runtime ends.
                Err(_) => break,
            }
        }
        told
    }

    /// The nodes, by id.
    pub fn all(&self) -> Vec<Arc<Peer>> {
        self.peers.read().values().cloned().collect()
    }

    /// Bytes that wait for all peers.
    pub fn queued_bytes(&self) -> usize {
        self.peers.read().values().map(|peer| peer.raft.bytes() + peer.forward.bytes()).sum()
    }

    /// The meta group says where a node's peer listener is. A stream that is open stays.
    pub fn registered(&self, node: NodeId, address: &str) {
        if let Some(peer) = self.find(node).filter(|_| !address.is_empty()) {
            peer.addresses.lock().registered = Some(address.to_owned());
        }
    }

    /// A node called, and may have said where it is reached.
    fn introduced(&self, from: NodeId, metadata: &MetadataMap) {
        if let (Some(peer), Some(address)) = (self.find(from), introduction(metadata)) {
            peer.addresses.lock().introduced = Some(address.to_owned());
        }
    }

    /// A frame of a node came; false if it is none of the others.
    fn heard(&self, from: NodeId) -> bool {
        let peers = self.peers.read();
        let peer = peers.get(&from);
        if let Some(peer) = peer {
            peer.heard.store(clock::boottime().0, Ordering::Relaxed);
        }
        peer.is_some()
    }
}

/// Where a node that called says that it is reached.
fn introduction(metadata: &MetadataMap) -> Option<&str> {
    metadata.get(ADDRESS).and_then(|value| value.to_str().ok()).filter(|told| !told.is_empty())
}

impl Peer {
    fn new(id: NodeId, address: &str) -> Peer {
        Peer {
            id,
            addresses: Mutex::new(Addresses::new(address)),
            raft: Arc::new(Outbox::new(limits::PEER_QUEUE_BYTES_MAX)),
            forward: Arc::new(Outbox::new(limits::PEER_QUEUE_BYTES_MAX)),
            was_met: false,
            is_open: AtomicBool::new(false),
            ended: watch::Sender::new(false),
            heard: AtomicU64::new(0),
        }
    }

    /// How long ago the newest frame of it came; `None` for never.
    pub fn silence(&self) -> Option<Duration> {
        let heard = Nanos(self.heard.load(Ordering::Relaxed));
        (heard.0 > 0).then(|| clock::boottime().since(heard))
    }

    /// Whether a frame of it came lately.
    pub fn reachable(&self) -> bool {
        self.silence().is_some_and(|silence| silence < SILENCE_MAX)
    }

    /// Where to try to reach it now.
    fn address(&self) -> String {
        self.addresses.lock().next()
    }
}

impl Addresses {
    fn new(told: &str) -> Addresses {
        Addresses { told: told.to_owned(), registered: None, introduced: None, attempts: 0 }
    }

    fn next(&mut self) -> String {
        let mut known = vec![&self.told];
        for other in [&self.registered, &self.introduced].into_iter().flatten() {
            if !known.contains(&other) {
                known.push(other);
            }
        }
        let next = known[self.attempts % known.len()].clone();
        self.attempts += 1;
        next
    }
}

impl Identity {
    /// Says in a call's metadata who calls whom.
    fn introduce(self, to: NodeId, metadata: &mut MetadataMap) {
        let mut say = |key, number: u64| metadata.insert(key, MetadataValue::from(number));
        say("holdfast-format", FORMAT);
        say("holdfast-cluster", self.cluster.get());
        say("holdfast-node", self.node.get());
        say("holdfast-to", to.get());
    }

    /// Who calls, if it may.
    fn admit(self, metadata: &MetadataMap) -> Result<NodeId, Status> {
        let read = |key| {
            let value = metadata.get(key).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
            value.ok_or_else(|| Status::invalid_argument(format!("no valid {key}")))
        };
        let (format, cluster) = (read("holdfast-format")?, ClusterId(read("holdfast-cluster")?));
        let (node, to) = (NodeId(read("holdfast-node")?), NodeId(read("holdfast-to")?));
        let refuse = |why: String| Err(Status::failed_precondition(why));
        if format != FORMAT {
            refuse(format!("this node speaks peer format {FORMAT}, the caller {format}"))
        } else if cluster != self.cluster {
            refuse(format!("this node is of cluster {}, the caller of cluster {cluster}", self.cluster))
        } else if to != self.node {
            refuse(format!("this is node {}, the caller wants node {to}", self.node))
        } else if node == self.node || node.get() == 0 {
            refuse(format!("the caller claims to be node {node}"))
        } else {
            Ok(node)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_that_moved_is_looked_for_wherever_it_may_be() {
        let mut addresses = Addresses::new("told:1");
        let tried = |addresses: &mut Addresses| {
            addresses.attempts = 0;
            [addresses.next(), addresses.next(), addresses.next()]
        };
        assert_eq!(tried(&mut addresses), ["told:1", "told:1", "told:1"]);
        addresses.introduced = Some("new:1".into());
        assert_eq!(tried(&mut addresses), ["told:1", "new:1", "told:1"]);
        addresses.registered = Some("old:1".into());
        assert_eq!(tried(&mut addresses), ["told:1", "old:1", "new:1"]);
        addresses.registered = Some("new:1".into());
        assert_eq!(tried(&mut addresses), ["told:1", "new:1", "told:1"]);
    }

    #[test]
    fn rule_15_only_nodes_of_this_cluster_and_format_are_admitted() {
        let here = Identity { cluster: ClusterId(1 << 63), node: NodeId(1) };
        let there = Identity { node: NodeId(2), ..here };
        let attempt = |caller: Identity, to| {
            let mut metadata = MetadataMap::new();
            caller.introduce(NodeId(to), &mut metadata);
            here.admit(&metadata).map_err(|status| status.code())
        };
        let refused = Err(tonic::Code::FailedPrecondition);
        assert_eq!(attempt(there, 1), Ok(NodeId(2)));
        assert_eq!(attempt(Identity { cluster: ClusterId(2), ..there }, 1), refused);
        assert_eq!(attempt(there, 3), refused);
        assert_eq!(attempt(here, 1), refused, "a node does not call itself");
        assert!(here.admit(&MetadataMap::new()).is_err());
        let mut newer = MetadataMap::new();
        there.introduce(NodeId(1), &mut newer);
        newer.insert("holdfast-format", MetadataValue::from(FORMAT + 1));
        assert!(here.admit(&newer).is_err());
    }
}
