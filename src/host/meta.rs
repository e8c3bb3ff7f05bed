//! What the meta group knows: the cluster's id, its nodes, its groups, its [`users`]. And how a cluster begins: every node
//! computes the same facts from the same `--initial-cluster` list, without a word between them.
//!
//! Facts are records of the meta group's state ([`keys::fact`]), changed by ordinary mutations in ordinary entries: the
//! machine that applies them needs no knowledge of them. Values start with a version byte; numbers are big-endian.
//!
//! [`Change`] is the one road to them: a change travels to the leader like a client's command, [`decide`] says what
//! follows from it, and every replica applies that blindly. [`Registrar`] is what each node wants to be known of itself.

mod change;
mod registrar;
pub mod users;

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use bytes::{Buf, BufMut, Bytes};

use super::GroupStart;
use crate::base::{ClusterId, GroupId, LogIndex, Millis, NodeId, PeerId, SlotRange, Term};
use crate::cluster::{GroupInfo, Map, NodeInfo};
use crate::machine::Content;
use crate::store::{self, Order, Read, Write, keys};

pub use change::{Change, Decision, decide};
pub use registrar::Registrar;

const VERSION: u8 = 1;
const CLUSTER: &[u8] = b"cluster";
const NODE: &[u8] = b"node/";
const GROUP: &[u8] = b"group/";
/// Nodes that were removed, under their ids: none comes back.
const GONE: &[u8] = b"gone/";
/// Replicas that were removed, under the id of their group.
const FORMER: &[u8] = b"former/";
/// What a node that joined said to be told from another with its id.
const JOINED: &[u8] = b"joined/";
/// Nodes of a cluster at most: each holds everything, and every entry goes to all of them.
pub const NODES_MAX: usize = 9;

/// A node of the cluster and where others reach it, each as `host:port`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Its id.
    pub id: NodeId,
    /// For other nodes.
    pub peer: String,
    /// For RESP clients; `None` until it told.
    pub resp: Option<String>,
    /// For HTTP clients; `None` until it told.
    pub http: Option<String>,
}

/// A group of the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// Its id.
    pub id: GroupId,
    /// Its slots; none for the meta group.
    pub slots: Option<SlotRange>,
    /// Its replicas and where they are.
    pub peers: BTreeMap<PeerId, NodeId>,
    /// Replicas that were taken from it, and where they were. They may still have to agree to that.
    pub former: BTreeMap<PeerId, NodeId>,
    /// The id that the next replica gets (rule 14: none is used twice).
    pub next_peer: PeerId,
    /// Membership epoch.
    pub epoch: u64,
}

/// Everything the meta group knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Which cluster.
    pub cluster: ClusterId,
    /// All nodes, by id.
    pub nodes: Vec<Node>,
    /// All groups, the meta group first.
    pub groups: Vec<Group>,
    /// Nodes that were removed, by id, as they were reached last.
    pub gone: Vec<Node>,
}

impl Facts {
    /// The facts of a new cluster: `partitions` groups with equal slot ranges, each with `replicas` replicas, or one on
    /// every node if there are fewer; and the meta group on every node, for each of them needs its facts. Peer ids are
    /// node ids at first. The order of `nodes` does not matter; there must be at least one.
    pub fn initial(mut nodes: Vec<Node>, partitions: u16, replicas: usize, token: &str) -> Facts {
        nodes.sort_by_key(|node| node.id);
        let cluster = cluster_id(&nodes, token);
        let ranges = SlotRange::divide(partitions).into_iter().map(Some);
        let groups = std::iter::once(None).chain(ranges).enumerate().map(|(number, slots)| {
            let count = if slots.is_some() { replicas.clamp(1, nodes.len()) } else { nodes.len() };
            // Neighbouring groups start at neighbouring nodes, so that replicas are spread evenly.
            let members = (0..count).map(|offset| nodes[(number + offset) % nodes.len()].id);
            let peers = members.map(|node| (PeerId(node.get()), node)).collect();
            let next_peer = PeerId(nodes.iter().map(|node| node.id.get()).max().unwrap_or(0) + 1);
            Group { id: GroupId(number as u64), slots, peers, former: BTreeMap::new(), next_peer, epoch: 0 }
        });
        let groups = groups.collect();
        Facts { cluster, nodes, groups, gone: Vec::new() }
    }

    /// The node of this id.
    pub fn node(&self, id: NodeId) -> Option<&Node> {
        self.nodes.iter().find(|node| node.id == id)
    }

    /// Whether a node was removed.
    pub fn is_gone(&self, id: NodeId) -> bool {
        self.gone.iter().any(|node| node.id == id)
    }

    /// Whether these are from before a node joined their cluster. It replays the log of the meta group from its beginning, and
    /// may be interrupted anywhere: until it finds itself, what it was told when it joined is newer.
    pub fn are_from_before(&self, cluster: ClusterId, node: NodeId) -> bool {
        self.cluster == cluster && self.node(node).is_none() && !self.is_gone(node)
    }

    /// Whether these are the facts of the cluster and the node that a data directory belongs to; if not, why. A node that
    /// was removed may have to say so to the others, so it goes on.
    pub fn check(&self, cluster: ClusterId, node: NodeId) -> Result<(), String> {
        if self.cluster != cluster {
            let (theirs, ours) = (self.cluster.get(), cluster.get());
            return Err(format!(
                "its meta group is that of cluster {theirs:016x}, the directory belongs to {ours:016x}"
            ));
        }
        if self.are_from_before(cluster, node) {
            return Err(format!("its meta group knows no node {node}"));
        }
        Ok(())
    }

    /// A node joins: it gets a replica of every group.
    pub fn join(&mut self, node: Node) {
        for group in &mut self.groups {
            group.peers.insert(group.next_peer, node.id);
            group.next_peer = PeerId(group.next_peer.get() + 1);
        }
        self.nodes.push(node);
        self.nodes.sort_by_key(|node| node.id);
    }

    /// A node is removed, and all replicas on it, unless one of them is the last of its group.
    pub fn forget(&mut self, id: NodeId) -> Result<(), String> {
        let Some(at) = self.nodes.iter().position(|node| node.id == id) else {
            return Err(format!("node {id} is not in the cluster"));
        };
        if let Some(group) = self.groups.iter().find(|group| group.peers.values().all(|at| *at == id)) {
            return Err(format!("node {id} has the only replica of group {}", group.id));
        }
        for group in &mut self.groups {
            let (former, peers) = std::mem::take(&mut group.peers).into_iter().partition(|(_, at)| *at == id);
            let former: BTreeMap<_, _> = former;
            group.peers = peers;
            group.former.extend(former);
        }
        self.gone.push(self.nodes.remove(at));
        self.gone.sort_by_key(|node| node.id);
        Ok(())
    }

    /// Writes all facts.
    fn write(&self, state: &mut dyn Write) {
        let mut cluster = vec![VERSION];
        cluster.put_u64(self.cluster.get());
        state.put(keys::fact(CLUSTER), cluster.into());
        self.nodes.iter().for_each(|node| node.write(state));
        self.groups.iter().for_each(|group| group.write(state));
        for node in &self.gone {
            state.put(keys::fact(&name(GONE, node.id.get())), node.encode().into());
        }
    }

    /// Reads the facts of a state; `None` if it has none yet.
    pub fn read(state: &dyn Read) -> store::Result<Option<Facts>> {
        let Some(cluster) = state.get(&keys::fact(CLUSTER))? else { return Ok(None) };
        let cluster = versioned(&cluster).and_then(|mut value| (value.len() == 8).then(|| value.get_u64()));
        let cluster = ClusterId(cluster.ok_or_else(|| damaged("cluster"))?);
        let nodes = scan(state, NODE, |id, value| Node::decode(NodeId(id), value))?;
        let mut groups = scan(state, GROUP, |id, value| Group::decode(GroupId(id), value))?;
        for (id, former) in scan(state, FORMER, |id, value| Some((GroupId(id), decode_peers(value)?)))? {
            groups.iter_mut().filter(|group| group.id == id).for_each(|group| group.former.clone_from(&former));
        }
        let gone = scan(state, GONE, |id, value| Node::decode(NodeId(id), value))?;
        Ok(Some(Facts { cluster, nodes, groups, gone }))
    }

    /// What the groups of a node start from, before anything is known of log and state. `beginning` are the facts that the
    /// cluster began with: a group whose state tells of no change has the voters of then.
    pub fn starts(&self, node: NodeId, beginning: &Facts) -> Vec<GroupStart> {
        let mine = self.groups.iter().filter_map(|group| {
            // A node that comes back under an id of before is refused, so it has one replica of a group at most.
            let peer = *group.peers.iter().chain(&group.former).find(|(_, at)| **at == node)?.0;
            let birth = beginning.groups.iter().find(|other| other.id == group.id)?;
            Some(GroupStart {
                group: group.id,
                peer,
                peers: group.peers.clone(),
                former: group.former.clone(),
                voters: birth.peers.keys().copied().collect(),
                epoch: group.epoch,
                conf_state: Bytes::new(),
                applied: (LogIndex(0), Term(0)),
                hash: 0,
                log: None,
            })
        });
        mine.collect()
    }

    /// The map of the cluster as far as facts go: no leaders, nobody reachable but `node` itself.
    pub fn map(&self, node: NodeId) -> Map {
        let nodes = self.nodes.iter();
        let groups = self.groups.iter();
        Map {
            cluster: self.cluster,
            nodes: nodes
                .map(|other| NodeInfo {
                    id: other.id,
                    peer: other.peer.clone(),
                    resp: other.resp.clone(),
                    http: other.http.clone(),
                    reachable: other.id == node,
                    heard: Millis(0),
                })
                .collect(),
            groups: groups
                .map(|group| GroupInfo {
                    id: group.id,
                    slots: group.slots,
                    members: group.peers.values().copied().collect(),
                    leader: None,
                    term: Term(0),
                    commit: LogIndex(0),
                    applied: LogIndex(0),
                    followers: Vec::new(),
                })
                .collect(),
        }
    }
}

/// What a group's machine holds: keys in these slots, or the facts.
pub fn content(slots: Option<SlotRange>) -> Content {
    slots.map_or(Content::Facts(decide), Content::Keys)
}

impl Node {
    /// A node of which only the address for other nodes is known.
    pub fn new(id: NodeId, peer: impl Into<String>) -> Node {
        Node { id, peer: peer.into(), resp: None, http: None }
    }

    fn write(&self, state: &mut dyn Write) {
        state.put(keys::fact(&name(NODE, self.id.get())), self.encode().into());
    }

    /// Three texts, each behind its length; an empty one is an address that is not known.
    fn encode(&self) -> Vec<u8> {
        let mut out = vec![VERSION];
        for address in [Some(&self.peer), self.resp.as_ref(), self.http.as_ref()] {
            // No address is that long; a cut one would still decode.
            let bytes = address.map_or(&[][..], |address| address.as_bytes());
            let bytes = &bytes[..bytes.len().min(usize::from(u16::MAX))];
            out.put_u16(bytes.len() as u16);
            out.put_slice(bytes);
        }
        out
    }

    fn decode(id: NodeId, mut value: &[u8]) -> Option<Node> {
        let mut text = || {
            let length = usize::from(value.try_get_u16().ok()?);
            let (bytes, rest) = value.split_at_checked(length)?;
            value = rest;
            String::from_utf8(bytes.to_vec()).ok()
        };
        let (peer, resp, http) = (text()?, text()?, text()?);
        let known = |address: String| Some(address).filter(|address| !address.is_empty());
        value.is_empty().then_some(Node { id, peer, resp: known(resp), http: known(http) })
    }
}

impl Group {
    fn write(&self, state: &mut dyn Write) {
        state.put(keys::fact(&name(GROUP, self.id.get())), self.encode().into());
        if !self.former.is_empty() {
            let mut former = vec![VERSION];
            put_peers(&mut former, &self.former);
            state.put(keys::fact(&name(FORMER, self.id.get())), former.into());
        }
    }

    fn encode(&self) -> Vec<u8> {
        let mut out = vec![VERSION];
        out.put_u64(self.epoch);
        out.put_u64(self.next_peer.get());
        match self.slots {
            Some(slots) => {
                out.put_u8(1);
                out.put_u16(slots.first.get());
                out.put_u16(slots.last.get());
            }
            None => out.put_u8(0),
        }
        put_peers(&mut out, &self.peers);
        out
    }

    fn decode(id: GroupId, mut value: &[u8]) -> Option<Group> {
        let epoch = value.try_get_u64().ok()?;
        let next_peer = PeerId(value.try_get_u64().ok()?);
        let slots = match value.try_get_u8().ok()? {
            0 => None,
            1 => Some(SlotRange::new(value.try_get_u16().ok()?, value.try_get_u16().ok()?)?),
            _ => return None,
        };
        Some(Group { id, slots, peers: decode_peers(value)?, former: BTreeMap::new(), next_peer, epoch })
    }
}

fn put_peers(out: &mut Vec<u8>, peers: &BTreeMap<PeerId, NodeId>) {
    for (peer, node) in peers {
        out.put_u64(peer.get());
        out.put_u64(node.get());
    }
}

fn decode_peers(value: &[u8]) -> Option<BTreeMap<PeerId, NodeId>> {
    let pairs = value.chunks(16).map(|mut pair| {
        let peer = PeerId(pair.try_get_u64().ok()?);
        Some((peer, NodeId(pair.try_get_u64().ok()?)))
    });
    pairs.collect()
}

/// The id of the cluster that begins with these nodes (sorted) under this token: FNV-1a over both, because it must be
/// the same on every node and in every version. Never 0.
fn cluster_id(nodes: &[Node], token: &str) -> ClusterId {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    let mut add = |bytes: &[u8]| {
        for &byte in (bytes.len() as u64).to_be_bytes().iter().chain(bytes) {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    };
    add(token.as_bytes());
    for node in nodes {
        add(&node.id.get().to_be_bytes());
        add(node.peer.as_bytes());
    }
    ClusterId(hash.max(1))
}

fn name(prefix: &[u8], id: u64) -> Vec<u8> {
    [prefix, &id.to_be_bytes()].concat()
}

fn versioned(value: &[u8]) -> Option<&[u8]> {
    value.split_first().filter(|(version, _)| **version == VERSION).map(|(_, rest)| rest)
}

fn damaged(what: &str) -> store::Error {
    store::Error::Corrupt(format!("the meta group's record of {what} does not decode").into())
}

fn scan<T>(state: &dyn Read, prefix: &[u8], read: impl Fn(u64, &[u8]) -> Option<T>) -> store::Result<Vec<T>> {
    let (start, end) = keys::facts(prefix);
    let mut found = Vec::new();
    let mut failure = None;
    state.scan(&start, &end, Order::Forward, &mut |key, value| {
        let name = keys::parse_fact(key).ok().and_then(|name| name.strip_prefix(prefix));
        let id = name.and_then(|id| Some(u64::from_be_bytes(id.try_into().ok()?)));
        match id.and_then(|id| read(id, versioned(value)?)) {
            Some(fact) => {
                found.push(fact);
                ControlFlow::Continue(())
            }
            None => {
                failure = Some(damaged(&String::from_utf8_lossy(prefix)));
                ControlFlow::Break(())
            }
        }
    })?;
    failure.map_or(Ok(found), Err)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::memory::MemoryEngine;
    use crate::store::overlay::{Overlay, OverlayView};
    use crate::store::{Batch, Engine};

    pub(super) fn nodes(ids: &[u64]) -> Vec<Node> {
        ids.iter().map(|&id| Node::new(NodeId(id), format!("node-{id}:16379"))).collect()
    }

    /// Writes facts as if they were decided and applied.
    fn apply(facts: &Facts, engine: &MemoryEngine) {
        let mut overlay = Overlay::default();
        overlay.begin(1);
        facts.write(&mut OverlayView::new(engine, &mut overlay));
        engine.write(&Batch { mutations: overlay.take_mutations() }).unwrap();
    }

    #[test]
    fn all_nodes_compute_the_same_beginning() {
        let facts = Facts::initial(nodes(&[3, 1, 2]), 6, 3, "token");
        assert_eq!(facts, Facts::initial(nodes(&[1, 2, 3]), 6, 3, "token"));
        assert_eq!(facts.groups.len(), 7);
        assert_eq!(facts.groups[0].slots, None);
        assert!(facts.groups.iter().all(|group| group.peers.len() == 3 && group.next_peer == PeerId(4)));
        assert_ne!(facts.cluster, Facts::initial(nodes(&[1, 2, 3]), 6, 3, "other token").cluster);
        assert_ne!(facts.cluster, Facts::initial(nodes(&[1, 2]), 6, 3, "token").cluster);
        assert_eq!(facts.starts(NodeId(2), &facts).len(), 7);
        assert_eq!(facts.starts(NodeId(9), &facts).len(), 0);
    }

    #[test]
    fn five_nodes_share_the_replicas_and_all_have_the_meta_group() {
        let facts = Facts::initial(nodes(&[1, 2, 3, 4, 5]), 10, 3, "");
        let starts: Vec<_> = (1..=5).map(|node| facts.starts(NodeId(node), &facts)).collect();
        assert!(starts.iter().all(|starts| starts.len() == 7 && starts[0].group == GroupId::META));
    }

    #[test]
    fn the_cluster_id_is_golden() {
        assert_eq!(Facts::initial(nodes(&[1, 2, 3]), 1, 3, "holdfast").cluster, ClusterId(0x2bcc_2684_40df_7a41));
    }

    #[test]
    fn facts_are_read_as_they_were_written() {
        let mut facts = Facts::initial(nodes(&[1, 2, 3]), 4, 3, "token");
        facts.nodes[1].resp = Some("node-2:6379".into());
        facts.nodes[2].http = Some("node-3:8080".into());
        let engine = MemoryEngine::new();
        assert_eq!(Facts::read(&engine), Ok(None));
        apply(&facts, &engine);
        assert_eq!(Facts::read(&engine), Ok(Some(facts)));
    }

    #[test]
    fn the_bytes_of_a_node_and_a_group_are_golden() {
        let node = Node { resp: Some("b:2".into()), ..Node::new(NodeId(9), "a:1") };
        assert_eq!(&node.encode()[..], b"\x01\x00\x03a:1\x00\x03b:2\x00\x00");
        let facts = Facts::initial(nodes(&[7]), 1, 1, "");
        let golden = b"\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x08\x01\0\0\x3f\xff\0\0\0\0\0\0\0\x07\0\0\0\0\0\0\0\x07";
        assert_eq!(&facts.groups[1].encode()[..], golden);
    }

    #[test]
    fn damaged_facts_are_an_error() {
        let facts = Facts::initial(nodes(&[1]), 1, 1, "token");
        for (kind, damage) in
            [(GROUP, &b""[..]), (GROUP, &b"\x02"[..]), (GROUP, &b"\x01\x00"[..]), (NODE, &b"\x01\x00\x09a"[..])]
        {
            let engine = MemoryEngine::new();
            apply(&facts, &engine);
            let mut batch = Batch::default();
            batch.put(keys::fact(&name(kind, 1)), damage.to_vec());
            engine.write(&batch).unwrap();
            assert!(matches!(Facts::read(&engine), Err(store::Error::Corrupt(_))));
        }
    }

    #[test]
    fn facts_of_another_cluster_or_without_the_node_are_refused_with_the_reason() {
        let facts = Facts::initial(nodes(&[1, 2]), 1, 2, "token");
        assert_eq!(facts.check(facts.cluster, NodeId(2)), Ok(()));
        let why = facts.check(ClusterId(0xabc), NodeId(2)).unwrap_err();
        assert!(why.contains(&format!("{:016x}", facts.cluster.get())) && why.contains("0000000000000abc"), "{why}");
        assert!(facts.check(facts.cluster, NodeId(3)).unwrap_err().contains("no node 3"));
    }

    #[test]
    fn a_node_that_joined_replays_facts_from_before_it_joined() {
        let mut facts = Facts::initial(nodes(&[1, 2]), 1, 2, "token");
        assert!(facts.are_from_before(facts.cluster, NodeId(3)), "it may be interrupted here");
        assert!(!facts.are_from_before(ClusterId(0xabc), NodeId(3)), "those of another cluster are never its own");
        facts.join(Node::new(NodeId(3), "c:1"));
        assert!(!facts.are_from_before(facts.cluster, NodeId(3)));
        facts.forget(NodeId(3)).unwrap();
        assert!(!facts.are_from_before(facts.cluster, NodeId(3)), "once it is gone it is gone");
    }
}
