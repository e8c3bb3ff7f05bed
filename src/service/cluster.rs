//! The CLUSTER words, told from the node's map: a group is a shard, its leader the master, its other members replicas.
//!
//! One node may lead one group and follow in another, which Redis Cluster's one role per node cannot say. SLOTS and
//! SHARDS are exact; in NODES a node that leads anything is a master with the slots of what it leads, and one that
//! leads nothing is the replica of the first leader it follows.

use bytes::Bytes;

use super::Service;
use super::words::{help, is, wrong_words};
use crate::base::slot::SLOT_COUNT;
use crate::base::{ClusterId, GroupId, NodeId, Slot};
use crate::cluster::{GroupInfo, Map, NodeInfo};
use crate::resp::Value;

/// Answer to the words of Redis Cluster that change a topology.
const MANAGED: &str = "ERR nodes and slots are managed by holdfast itself; this CLUSTER subcommand is not available";

impl Service {
    /// `CLUSTER subcommand ...`, but for the two that look at keys (they go to the slot's group).
    pub(super) fn cluster(&self, args: &[Bytes]) -> Value {
        let map = self.node.map();
        let me = self.node.id();
        match (args[1].to_ascii_lowercase().as_slice(), &args[2..]) {
            (b"keyslot", [key]) => Value::Integer(i64::from(Slot::of(key).get())),
            (b"info", []) => Value::Verbatim("txt", info(&map, me).into()),
            (b"myid", []) => Value::bulk(node_name(map.cluster, me)),
            (b"myshardid", []) => Value::bulk(shard_name(map.cluster, my_shard(&map, me))),
            (b"slots", []) => slots(&map),
            (b"shards", []) => shards(&map, me),
            (b"nodes", []) => Value::Verbatim("txt", nodes(&map, me).into()),
            (b"replicas" | b"slaves", [name]) => match find(&map, name) {
                Some(node) => Value::Array(replicas(&map, node.id, me)),
                None => Value::error_with(&[b"ERR Unknown node ", name]),
            },
            (b"count-failure-reports", [name]) => match find(&map, name) {
                Some(node) => Value::Integer(i64::from(!node.reachable)),
                None => Value::error_with(&[b"ERR Unknown node ", name]),
            },
            (b"links", []) => Value::Array(Vec::new()),
            (b"help", _) => help("CLUSTER", HELP),
            (
                b"addslots" | b"addslotsrange" | b"bumpepoch" | b"delslots" | b"delslotsrange" | b"failover"
                | b"flushslots" | b"forget" | b"meet" | b"replicate" | b"reset" | b"saveconfig" | b"set-config-epoch"
                | b"setslot",
                _,
            ) => Value::error(MANAGED),
            _ => wrong_words(args),
        }
    }
}

/// 40 hexadecimal digits that are a node's alone: cluster and node id.
pub(super) fn node_name(cluster: ClusterId, node: NodeId) -> String {
    format!("{:016x}{:024x}", cluster.get(), node.get())
}

/// The same for a group; its marker keeps it apart from the nodes'.
fn shard_name(cluster: ClusterId, group: GroupId) -> String {
    format!("{:016x}5{:023x}", cluster.get(), group.get())
}

fn find<'a>(map: &'a Map, name: &[u8]) -> Option<&'a NodeInfo> {
    map.nodes.iter().find(|node| is(name, &node_name(map.cluster, node.id)))
}

/// Groups with slots.
fn partitions(map: &Map) -> impl Iterator<Item = &GroupInfo> {
    map.groups.iter().filter(|group| group.slots.is_some())
}

/// The group that a node leads, or else the first it has a replica of.
fn my_shard(map: &Map, node: NodeId) -> GroupId {
    let mine = || partitions(map).filter(|group| group.members.contains(&node));
    mine().find(|group| group.leader == Some(node)).or_else(|| mine().next()).map_or(GroupId::META, |group| group.id)
}

/// Host and port where clients reach a node. A node that told no listener yet has port 0.
fn address(node: &NodeInfo) -> (String, i64) {
    let split = |address: &str| {
        let (host, port) = address.rsplit_once(':')?;
        Some((host.trim_matches(['[', ']']).to_string(), port.parse().ok()?))
    };
    match node.resp.as_deref().and_then(split) {
        Some(found) => found,
        None => (split(&node.peer).map_or_else(String::new, |(host, _): (String, i64)| host), 0),
    }
}

/// Members of a group with the leader in front.
fn members<'a>(map: &'a Map, group: &'a GroupInfo) -> Vec<&'a NodeInfo> {
    let mut members: Vec<&NodeInfo> = map.nodes.iter().filter(|node| group.members.contains(&node.id)).collect();
    members.sort_by_key(|node| group.leader != Some(node.id));
    members
}

fn slots(map: &Map) -> Value {
    // A group without a known leader serves nobody: a smart client must ask again, not try a follower.
    let served = partitions(map).filter(|group| group.leader.is_some());
    let line = |group: &GroupInfo| {
        let range = group.slots?;
        let mut fields =
            vec![Value::Integer(i64::from(range.first.get())), Value::Integer(i64::from(range.last.get()))];
        fields.extend(members(map, group).into_iter().map(|node| {
            let (host, port) = address(node);
            let name = Value::bulk(node_name(map.cluster, node.id));
            Value::Array(vec![Value::bulk(host), Value::Integer(port), name, Value::Map(Vec::new())])
        }));
        Some(Value::Array(fields))
    };
    Value::Array(served.filter_map(line).collect())
}

fn shards(map: &Map, me: NodeId) -> Value {
    let shard = |group: &GroupInfo| {
        let range = group.slots?;
        let node = |node: &NodeInfo| {
            let (host, port) = address(node);
            let leads = group.leader == Some(node.id);
            // What another follower has applied is not known here; the commit index is what it is heading for.
            let offset = if node.id == me { group.applied } else { group.commit };
            Value::Map(vec![
                (Value::bulk("id"), Value::bulk(node_name(map.cluster, node.id))),
                (Value::bulk("port"), Value::Integer(port)),
                (Value::bulk("ip"), Value::bulk(host.clone())),
                (Value::bulk("endpoint"), Value::bulk(host)),
                (Value::bulk("role"), Value::bulk(if leads { "master" } else { "replica" })),
                (Value::bulk("replication-offset"), Value::Integer(offset.get() as i64)),
                (Value::bulk("health"), Value::bulk(if node.reachable { "online" } else { "fail" })),
            ])
        };
        let bounds = [range.first, range.last].map(|slot| Value::Integer(i64::from(slot.get())));
        Some(Value::Map(vec![
            (Value::bulk("slots"), Value::Array(bounds.to_vec())),
            (Value::bulk("nodes"), Value::Array(members(map, group).into_iter().map(node).collect())),
        ]))
    };
    Value::Array(partitions(map).filter_map(shard).collect())
}

/// The node that a node which leads nothing replicates.
fn master_of(map: &Map, node: NodeId) -> Option<NodeId> {
    let leads = partitions(map).any(|group| group.leader == Some(node));
    let followed = || partitions(map).filter(|group| group.members.contains(&node)).find_map(|group| group.leader);
    if leads { None } else { followed() }
}

fn node_line(map: &Map, node: &NodeInfo, me: NodeId) -> String {
    let (host, port) = address(node);
    let bus = node.peer.rsplit_once(':').map_or("0", |(_, port)| port);
    let master = master_of(map, node.id);
    let mut flags = Vec::new();
    if node.id == me {
        flags.push("myself");
    }
    flags.push(if master.is_some() { "slave" } else { "master" });
    if !node.reachable {
        flags.push("fail");
    }
    let led = || partitions(map).filter(|group| group.leader == Some(node.id));
    let epoch = led().map(|group| group.term.get()).max().unwrap_or(0);
    let ranges: String = led()
        .filter_map(|group| group.slots)
        .map(|range| {
            if range.first == range.last {
                format!(" {}", range.first)
            } else {
                format!(" {}-{}", range.first, range.last)
            }
        })
        .collect();
    format!(
        "{} {host}:{port}@{bus} {} {} 0 0 {epoch} {}{ranges}\n",
        node_name(map.cluster, node.id),
        flags.join(","),
        master.map_or_else(|| "-".to_string(), |master| node_name(map.cluster, master)),
        if node.reachable { "connected" } else { "disconnected" },
    )
}

fn nodes(map: &Map, me: NodeId) -> String {
    map.nodes.iter().map(|node| node_line(map, node, me)).collect()
}

fn replicas(map: &Map, master: NodeId, me: NodeId) -> Vec<Value> {
    let followers = map.nodes.iter().filter(|node| master_of(map, node.id) == Some(master));
    followers.map(|node| Value::bulk(node_line(map, node, me).trim_end().to_string())).collect()
}

fn info(map: &Map, me: NodeId) -> String {
    let size = |group: &GroupInfo| group.slots.map_or(0, |range| u64::from(range.last.get() - range.first.get()) + 1);
    let assigned: u64 = partitions(map).map(size).sum();
    let served: u64 = partitions(map).filter(|group| group.leader.is_some()).map(size).sum();
    let state = if served == u64::from(SLOT_COUNT) { "ok" } else { "fail" };
    let epoch = |groups: &mut dyn Iterator<Item = &GroupInfo>| groups.map(|group| group.term.get()).max().unwrap_or(0);
    let fields = [
        ("cluster_state", state.to_string()),
        ("cluster_slots_assigned", assigned.to_string()),
        ("cluster_slots_ok", served.to_string()),
        ("cluster_slots_pfail", "0".to_string()),
        ("cluster_slots_fail", (assigned - served).to_string()),
        ("cluster_known_nodes", map.nodes.len().to_string()),
        ("cluster_size", partitions(map).count().to_string()),
        ("cluster_current_epoch", epoch(&mut partitions(map)).to_string()),
        ("cluster_my_epoch", epoch(&mut partitions(map).filter(|group| group.leader == Some(me))).to_string()),
        // Nodes speak Raft over their own streams, not Redis's bus.
        ("cluster_stats_messages_sent", "0".to_string()),
        ("cluster_stats_messages_received", "0".to_string()),
        ("total_cluster_links_buffer_limit_exceeded", "0".to_string()),
    ];
    fields.into_iter().map(|(name, value)| format!("{name}:{value}\r\n")).collect()
}

const HELP: &[&str] = &[
    "COUNTKEYSINSLOT <slot>",
    "    How many keys of the selected database are in a slot.",
    "GETKEYSINSLOT <slot> <count>",
    "    Some of them.",
    "INFO",
    "    State and size of the cluster.",
    "KEYSLOT <key>",
    "    The slot of a key.",
    "MYID",
    "    The id of this node.",
    "MYSHARDID",
    "    The id of the group that this node leads or follows first.",
    "NODES",
    "    One line about each node.",
    "REPLICAS <node-id>",
    "    Nodes that follow a node.",
    "SHARDS",
    "    Groups, their slots and nodes.",
    "SLOTS",
    "    Slot ranges and their nodes, the leader first.",
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{LogIndex, SlotRange, Term};

    fn map() -> Map {
        let node = |id: u64| NodeInfo {
            id: NodeId(id),
            peer: format!("10.0.0.{id}:16379"),
            resp: (id != 3).then(|| format!("10.0.0.{id}:6379")),
            reachable: id != 3,
        };
        let group = |id: u64, slots, leader| GroupInfo {
            id: GroupId(id),
            slots,
            members: vec![NodeId(1), NodeId(2), NodeId(3)],
            leader,
            term: Term(4 + id),
            commit: LogIndex(20),
            applied: LogIndex(10),
        };
        let halves = SlotRange::divide(2);
        let groups = vec![
            group(0, None, Some(NodeId(1))),
            group(1, Some(halves[0]), Some(NodeId(2))),
            group(2, Some(halves[1]), None),
        ];
        Map { cluster: ClusterId(0xabc), nodes: (1..=3).map(node).collect(), groups }
    }

    #[test]
    fn nodes_are_told_from_the_map() {
        let id = |node: u64| node_name(ClusterId(0xabc), NodeId(node));
        assert_eq!(id(1).len(), 40);
        assert_eq!(shard_name(ClusterId(1), GroupId(1)).len(), 40);
        let text = nodes(&map(), NodeId(1));
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], format!("{} 10.0.0.1:6379@16379 myself,slave {} 0 0 0 connected", id(1), id(2)));
        assert_eq!(lines[1], format!("{} 10.0.0.2:6379@16379 master - 0 0 5 connected 0-8191", id(2)));
        assert_eq!(lines[2], format!("{} 10.0.0.3:0@16379 slave,fail {} 0 0 0 disconnected", id(3), id(2)));
        assert_eq!(replicas(&map(), NodeId(2), NodeId(1)).len(), 2);
    }

    #[test]
    fn a_group_without_leader_is_not_served() {
        let text = info(&map(), NodeId(1));
        assert!(text.starts_with("cluster_state:fail\r\ncluster_slots_assigned:16384\r\ncluster_slots_ok:8192\r\n"));
        let Value::Array(ranges) = slots(&map()) else { panic!("no array") };
        assert_eq!(ranges.len(), 1);
        let Value::Array(fields) = &ranges[0] else { panic!("no array") };
        let Value::Array(leader) = &fields[2] else { panic!("no array") };
        assert_eq!(leader[0], Value::bulk("10.0.0.2"));
    }
}
