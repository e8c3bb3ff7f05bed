//! The CLUSTER words, told from the node's map: a group is a shard, its leader the master, its other members replicas.
//!
//! One node may lead one group and follow in another, which Redis Cluster's one role per node cannot say. SLOTS and
//! SHARDS are exact; in NODES a node that leads anything is a master with the slots of what it leads, and one that
//! leads nothing is the replica of the first leader it follows. Its configuration epoch is the term in which it leads.
//!
//! A node that this one does not hear is `fail` as long as this one hears a majority; otherwise it may be this one that
//! is cut off, and the other is `fail?`. A node that never told where clients reach it is `noaddr`, and nobody is sent
//! there.

use bytes::Bytes;

use super::Service;
use super::batch::failure;
use super::words::{help, is, wrong_words};
use crate::base::slot::SLOT_COUNT;
use crate::base::{ClusterId, GroupId, NodeId, Slot};
use crate::cluster::{GroupInfo, Map, NodeInfo};
use crate::command::{Verdict, lookup};
use crate::resp::Value;

impl Service {
    /// `CLUSTER FORGET node-id`: the node is removed from the cluster.
    pub(super) async fn forget(&self, name: &[u8]) -> Value {
        let map = self.node.map();
        let Some(node) = find(&map, name).map(|node| node.id) else {
            return Value::error_with(&[b"ERR Unknown node ", name]);
        };
        if node == self.node.id() {
            return Value::error("ERR I tried hard but I can't forget myself...");
        }
        match self.node.forget(node).await {
            Ok(Ok(())) => Value::OK,
            Ok(Err(why)) => Value::error(format!("ERR {why}")),
            Err(outcome) => Value::error(failure(&outcome)),
        }
    }

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
            (b"shards", []) => shards(&map, me, self.is_loading()),
            (b"nodes", []) => Value::Verbatim("txt", nodes(&map, me).into()),
            (b"replicas" | b"slaves", [name]) => match find(&map, name) {
                Some(node) if master_of(&map, node.id).is_some() => {
                    Value::error("ERR The specified node is not a master")
                }
                Some(node) => Value::Array(replicas(&map, node.id, me)),
                None => Value::error_with(&[b"ERR Unknown node ", name]),
            },
            (b"count-failure-reports", [name]) => match find(&map, name) {
                Some(node) => Value::Integer(i64::from(!node.reachable)),
                None => Value::error_with(&[b"ERR Unknown node ", name]),
            },
            (b"links", []) => Value::Array(Vec::new()),
            (b"meet", [host, port, bus @ ..]) if bus.len() <= 1 => meet(&map, me, host, port),
            (b"failover", words) if words.len() <= 1 => self.cluster_failover(words),
            (b"help", _) => help("CLUSTER", HELP),
            // The table says of the others why they are not offered, and what to do instead.
            (word, _) => match lookup(b"cluster").and_then(|spec| spec.subcommand(word)).map(|spec| spec.verdict) {
                Some(Verdict::Refused(why)) => {
                    let name = word.to_ascii_uppercase();
                    Value::error_with(&[b"ERR CLUSTER ", &name, b" is not offered: ", why.as_bytes()])
                }
                _ => wrong_words(args),
            },
        }
    }
}

/// `CLUSTER MEET`: a node joins by itself, so this only says whether it did.
fn meet(map: &Map, me: NodeId, host: &[u8], port: &[u8]) -> Value {
    let Some(port) = std::str::from_utf8(port).ok().and_then(|port| port.parse::<u16>().ok()) else {
        let head = b"ERR Invalid base port specified: ";
        return Value::error_with(&[head, port]);
    };
    let is_there = |node: &NodeInfo| address(node).is_some_and(|known| known == (&String::from_utf8_lossy(host), port));
    if map.nodes.iter().any(is_there) {
        return Value::OK;
    }
    let here = map.nodes.iter().find(|node| node.id == me).map_or("", |node| node.peer.as_str());
    Value::error(format!(
        "ERR a node joins by itself: start it with an id of its own, an empty data directory and --join {here}"
    ))
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

/// Host and port where clients reach a node, if it told. The host is empty where it does not know its own: clients take
/// the one that they are connected to, as with Redis.
pub(super) fn address(node: &NodeInfo) -> Option<(&str, u16)> {
    let (host, port) = node.resp.as_deref()?.rsplit_once(':')?;
    Some((host.trim_matches(['[', ']']), port.parse().ok()?))
}

/// What this node can say of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Health {
    Online,
    /// It is not heard; perhaps it is this node that is cut off.
    Suspected,
    Failed,
}

fn health(map: &Map, node: &NodeInfo) -> Health {
    let heard = map.nodes.iter().filter(|node| node.reachable).count();
    match (node.reachable, heard > map.nodes.len() / 2) {
        (true, _) => Health::Online,
        (false, true) => Health::Failed,
        (false, false) => Health::Suspected,
    }
}

/// Members of a group with the leader in front.
fn members<'a>(map: &'a Map, group: &'a GroupInfo) -> Vec<&'a NodeInfo> {
    let mut members: Vec<&NodeInfo> = map.nodes.iter().filter(|node| group.members.contains(&node.id)).collect();
    members.sort_by_key(|node| group.leader != Some(node.id));
    members
}

fn slots(map: &Map) -> Value {
    let line = |group: &GroupInfo| {
        let range = group.slots?;
        let (leader, others): (Vec<_>, Vec<_>) =
            members(map, group).into_iter().partition(|node| group.leader == Some(node.id));
        // A group without a known leader serves nobody: a smart client must ask again, not try a follower.
        let leader = *leader.first().filter(|node| address(node).is_some())?;
        let others = others.into_iter().filter(|node| health(map, node) != Health::Failed);
        let mut fields =
            vec![Value::Integer(i64::from(range.first.get())), Value::Integer(i64::from(range.last.get()))];
        fields.extend(std::iter::once(leader).chain(others).filter_map(|node| {
            let (host, port) = address(node)?;
            let name = Value::bulk(node_name(map.cluster, node.id));
            let port = Value::Integer(port.into());
            Some(Value::Array(vec![Value::bulk(host.to_string()), port, name, Value::Map(Vec::new())]))
        }));
        Some(Value::Array(fields))
    };
    Value::Array(partitions(map).filter_map(line).collect())
}

/// Up to where a node has a group's log, as far as it is known here: the leader knows, a follower of itself. Of
/// another follower the commit index is told, which it is heading for.
fn offset(group: &GroupInfo, node: NodeId, me: NodeId) -> u64 {
    let follower = group.followers.iter().find(|follower| follower.node == node);
    match follower {
        _ if node == me => group.applied.get(),
        Some(follower) => follower.matched.min(group.commit).get(),
        None => group.commit.get(),
    }
}

/// [`offset`] over all groups with slots.
pub(super) fn replicated(map: &Map, node: NodeId, me: NodeId) -> u64 {
    partitions(map).map(|group| offset(group, node, me)).sum()
}

/// Other nodes that clients can reach now: where, and what is known of them.
pub(super) fn others(map: &Map, me: NodeId) -> impl Iterator<Item = (&str, u16, &NodeInfo)> {
    let others = map.nodes.iter().filter(move |node| node.id != me && node.reachable);
    others.filter_map(|node| address(node).map(|(host, port)| (host, port, node)))
}

/// `loading`: this node still replays its log.
fn shards(map: &Map, me: NodeId, loading: bool) -> Value {
    let shard = |group: &GroupInfo| {
        let range = group.slots?;
        let node = |node: &NodeInfo| {
            let (host, port) = address(node)?;
            let leads = group.leader == Some(node.id);
            let follower = group.followers.iter().find(|follower| follower.node == node.id);
            let loading = if node.id == me { loading } else { follower.is_some_and(|follower| follower.loading) };
            let health = match health(map, node) {
                Health::Failed => "fail",
                _ if loading => "loading",
                Health::Online | Health::Suspected => "online",
            };
            Some(Value::Map(vec![
                (Value::bulk("id"), Value::bulk(node_name(map.cluster, node.id))),
                (Value::bulk("port"), Value::Integer(port.into())),
                (Value::bulk("ip"), Value::bulk(host.to_string())),
                (Value::bulk("endpoint"), Value::bulk(host.to_string())),
                (Value::bulk("role"), Value::bulk(if leads { "master" } else { "replica" })),
                (Value::bulk("replication-offset"), Value::Integer(offset(group, node.id, me) as i64)),
                (Value::bulk("health"), Value::bulk(health)),
            ]))
        };
        let bounds = [range.first, range.last].map(|slot| Value::Integer(i64::from(slot.get())));
        Some(Value::Map(vec![
            (Value::bulk("slots"), Value::Array(bounds.to_vec())),
            (Value::bulk("nodes"), Value::Array(members(map, group).into_iter().filter_map(node).collect())),
        ]))
    };
    Value::Array(partitions(map).filter_map(shard).collect())
}

/// The node that a node which leads nothing replicates.
pub(super) fn master_of(map: &Map, node: NodeId) -> Option<NodeId> {
    let followed = || partitions(map).filter(|group| group.members.contains(&node)).find_map(|group| group.leader);
    if led(map, node).next().is_some() { None } else { followed() }
}

/// The groups with slots that a node leads.
pub(super) fn led(map: &Map, node: NodeId) -> impl Iterator<Item = &GroupInfo> {
    partitions(map).filter(move |group| group.leader == Some(node))
}

/// The newest term in which a node leads; a replica has its master's.
fn config_epoch(map: &Map, node: NodeId) -> u64 {
    let master = master_of(map, node).unwrap_or(node);
    led(map, master).map(|group| group.term.get()).max().unwrap_or(0)
}

fn node_line(map: &Map, node: &NodeInfo, me: NodeId) -> String {
    let split = |address: &str| address.rsplit_once(':').map(|(host, port)| (host.to_string(), port.to_string()));
    let (peer_host, bus) = split(&node.peer).unwrap_or_else(|| (String::new(), "0".to_string()));
    let (host, port) = match address(node) {
        Some((host, port)) => (host, port),
        None => (peer_host.trim_matches(['[', ']']), 0),
    };
    let master = master_of(map, node.id);
    let flags = [
        ("myself", node.id == me),
        ("master", master.is_none()),
        ("slave", master.is_some()),
        ("fail?", health(map, node) == Health::Suspected),
        ("fail", health(map, node) == Health::Failed),
        ("noaddr", address(node).is_none()),
    ];
    let flags: Vec<_> = flags.into_iter().filter_map(|(flag, holds)| holds.then_some(flag)).collect();
    let ranges: String = led(map, node.id)
        .filter_map(|group| group.slots)
        .map(|range| {
            if range.first == range.last {
                format!(" {}", range.first)
            } else {
                format!(" {}-{}", range.first, range.last)
            }
        })
        .collect();
    // No ping is ever under way: nodes are heard on streams that never pause for long.
    format!(
        "{} {host}:{port}@{bus} {} {} 0 {} {} {}{ranges}\n",
        node_name(map.cluster, node.id),
        flags.join(","),
        master.map_or_else(|| "-".to_string(), |master| node_name(map.cluster, master)),
        node.heard,
        config_epoch(map, node.id),
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
    // Slots by what is known of who serves them. Without a leader it is nobody.
    let (mut ok, mut suspected, mut failed) = (0, 0, 0);
    for group in partitions(map) {
        let slots = group.slots.map_or(0, |range| u64::from(range.last.get() - range.first.get()) + 1);
        let leader = map.nodes.iter().find(|node| group.leader == Some(node.id));
        match leader.map_or(Health::Failed, |leader| health(map, leader)) {
            Health::Online => ok += slots,
            Health::Suspected => suspected += slots,
            Health::Failed => failed += slots,
        }
    }
    let state = if ok == u64::from(SLOT_COUNT) { "ok" } else { "fail" };
    let newest = partitions(map).map(|group| group.term.get()).max().unwrap_or(0);
    let masters = map.nodes.iter().filter(|node| led(map, node.id).next().is_some()).count();
    let fields = [
        ("cluster_state", state.to_string()),
        ("cluster_slots_assigned", (ok + suspected + failed).to_string()),
        ("cluster_slots_ok", ok.to_string()),
        ("cluster_slots_pfail", suspected.to_string()),
        ("cluster_slots_fail", failed.to_string()),
        ("cluster_known_nodes", map.nodes.len().to_string()),
        ("cluster_size", masters.to_string()),
        ("cluster_current_epoch", newest.to_string()),
        ("cluster_my_epoch", config_epoch(map, me).to_string()),
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
    "FAILOVER [FORCE|TAKEOVER]",
    "    Ask the node that this one counts as its master to hand over what it leads.",
    "FORGET <node-id>",
    "    Remove another node from the cluster, for good.",
    "GETKEYSINSLOT <slot> <count>",
    "    Some of them.",
    "INFO",
    "    State and size of the cluster.",
    "KEYSLOT <key>",
    "    The slot of a key.",
    "MEET <ip> <port> [<bus-port>]",
    "    Whether a node is in the cluster; it joins when it is started with --join.",
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
    use crate::base::{LogIndex, Millis, SlotRange, Term};
    use crate::cluster::FollowerInfo;

    /// Node 1 leads the first half and hears node 2, which leads the second, but not node 3.
    fn map() -> Map {
        let node = |id: u64| NodeInfo {
            id: NodeId(id),
            peer: format!("10.0.0.{id}:16379"),
            resp: Some(format!("10.0.0.{id}:6379")),
            http: None,
            reachable: id != 3,
            heard: Millis(if id == 2 { 1_700_000_000_000 } else { 0 }),
        };
        let follower =
            |node: u64, matched, loading| FollowerInfo { node: NodeId(node), matched: LogIndex(matched), loading };
        let group = |id: u64, slots, leader: u64| GroupInfo {
            id: GroupId(id),
            slots,
            members: vec![NodeId(1), NodeId(2), NodeId(3)],
            leader: Some(NodeId(leader)),
            term: Term(4 + id),
            commit: LogIndex(20),
            applied: LogIndex(18),
            followers: if leader == 1 { vec![follower(2, 30, false), follower(3, 7, true)] } else { Vec::new() },
        };
        let halves = SlotRange::divide(2);
        let groups = vec![group(0, None, 1), group(1, Some(halves[0]), 1), group(2, Some(halves[1]), 2)];
        Map { cluster: ClusterId(0xabc), nodes: (1..=3).map(node).collect(), groups }
    }

    fn id(node: u64) -> String {
        node_name(ClusterId(0xabc), NodeId(node))
    }

    fn flags(map: &Map, node: usize) -> String {
        nodes(map, NodeId(1))
            .lines()
            .nth(node - 1)
            .and_then(|line| line.split(' ').nth(2))
            .unwrap_or_default()
            .to_string()
    }

    #[test]
    fn nodes_are_told_from_the_map() {
        assert_eq!(id(1).len(), 40);
        assert_eq!(shard_name(ClusterId(1), GroupId(1)).len(), 40);
        let expected = format!(
            "{} 10.0.0.1:6379@16379 myself,master - 0 0 5 connected 0-8191\n\
             {} 10.0.0.2:6379@16379 master - 0 1700000000000 6 connected 8192-16383\n\
             {} 10.0.0.3:6379@16379 slave,fail {} 0 0 5 disconnected\n",
            id(1),
            id(2),
            id(3),
            id(1)
        );
        assert_eq!(nodes(&map(), NodeId(1)), expected);
        assert_eq!(replicas(&map(), NodeId(1), NodeId(1)).len(), 1);
        assert_eq!(replicas(&map(), NodeId(2), NodeId(1)).len(), 0);
    }

    #[test]
    fn a_node_that_hears_nobody_suspects_itself() {
        let mut map = map();
        assert_eq!([flags(&map, 2), flags(&map, 3)], ["master", "slave,fail"]);
        map.nodes[1].reachable = false;
        assert_eq!([flags(&map, 2), flags(&map, 3)], ["master,fail?", "slave,fail?"]);
        let text = info(&map, NodeId(1));
        assert!(text.starts_with("cluster_state:fail\r\ncluster_slots_assigned:16384\r\ncluster_slots_ok:8192\r\n"));
        assert!(text.contains("cluster_slots_pfail:8192\r\ncluster_slots_fail:0\r\n"));
    }

    #[test]
    fn nobody_is_sent_to_a_node_that_told_no_address() {
        let mut map = map();
        map.nodes[1].resp = None;
        assert_eq!(flags(&map, 2), "master,noaddr");
        assert!(nodes(&map, NodeId(1)).contains(" 10.0.0.2:0@16379 master,noaddr "));
        let Value::Array(ranges) = slots(&map) else { panic!("no array") };
        assert_eq!(ranges.len(), 1, "node 2 leads the other half");
        assert_eq!(others(&map, NodeId(1)).count(), 0);
    }

    #[test]
    fn a_group_without_leader_is_not_served() {
        let mut map = map();
        map.groups[2].leader = None;
        let text = info(&map, NodeId(1));
        assert!(text.starts_with("cluster_state:fail\r\ncluster_slots_assigned:16384\r\ncluster_slots_ok:8192\r\n"));
        assert!(text.contains("cluster_slots_fail:8192\r\n") && text.contains("cluster_size:1\r\n"));
        let Value::Array(ranges) = slots(&map) else { panic!("no array") };
        assert_eq!(ranges.len(), 1);
        let Value::Array(fields) = &ranges[0] else { panic!("no array") };
        let Value::Array(leader) = &fields[2] else { panic!("no array") };
        assert_eq!(leader[..2], [Value::bulk("10.0.0.1"), Value::Integer(6379)]);
        assert_eq!(fields.len(), 4, "the leader and the one replica that is not failed");
    }

    #[test]
    fn shards_tell_what_is_known_of_each_replica() {
        let Value::Array(shards) = shards(&map(), NodeId(1), false) else { panic!("no array") };
        let told = |shard: usize, node: usize| {
            let Value::Map(pairs) = &shards[shard] else { panic!("no map") };
            let (_, Value::Array(nodes)) = &pairs[1] else { panic!("no nodes") };
            let Value::Map(pairs) = &nodes[node] else { panic!("no map") };
            let keys: Vec<_> = pairs.iter().map(|(key, _)| key.clone()).collect();
            let expected = ["id", "port", "ip", "endpoint", "role", "replication-offset", "health"];
            assert_eq!(keys, expected.map(Value::bulk));
            let [role, offset, health] = [4, 5, 6].map(|at| pairs[at].1.clone());
            (pairs[0].1.clone(), role, offset, health)
        };
        let expected = |node: u64, role, offset, health| {
            (Value::bulk(id(node)), Value::bulk(role), Value::Integer(offset), Value::bulk(health))
        };
        assert_eq!(told(0, 0), expected(1, "master", 18, "online"));
        assert_eq!(told(0, 1), expected(2, "replica", 20, "online"));
        assert_eq!(told(0, 2), expected(3, "replica", 7, "fail"));
        assert_eq!(told(1, 0), expected(2, "master", 20, "online"));
        assert_eq!(told(1, 1), expected(1, "replica", 18, "online"));
        let mut map = map();
        map.nodes[2].reachable = true;
        let all = format!("{:?}", super::shards(&map, NodeId(1), true));
        assert_eq!(all.matches("loading").count(), 3, "node 1 twice, node 3 where its leader knows");
    }
}
