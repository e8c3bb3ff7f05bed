//! What nodes tell of each other: every address takes a client, leaders are those that lead, and whoever dies, comes
//! back or moves is told of accordingly by all others.

use std::collections::{BTreeMap, BTreeSet};

use super::ports::free_ports;
use super::resp::{Client, Reply, info};
use super::{Cluster, Node};

/// A line of `CLUSTER NODES`.
#[derive(Clone, Debug, PartialEq)]
struct Line {
    id: String,
    address: String,
    bus: String,
    flags: BTreeSet<String>,
    master: String,
    epoch: u64,
    link: String,
    slots: Vec<String>,
}

impl Line {
    fn is(&self, flag: &str) -> bool {
        self.flags.contains(flag)
    }
}

fn text(reply: Option<Reply>) -> Option<String> {
    match reply? {
        Reply::Bulk(Some(bytes)) => String::from_utf8(bytes).ok(),
        _ => None,
    }
}

fn lines(node: &Node) -> Option<Vec<Line>> {
    let text = text(node.ask(&["CLUSTER", "NODES"]))?;
    let line = |line: &str| {
        let fields: Vec<&str> = line.split(' ').collect();
        assert!(fields.len() >= 8, "{line:?}");
        let (address, bus) = fields[1].split_once('@').expect("an address with its bus port");
        assert_eq!(fields[4], "0", "no ping is under way: {line:?}");
        fields[5].parse::<u64>().expect("a time");
        Line {
            id: fields[0].into(),
            address: address.into(),
            bus: bus.into(),
            flags: fields[2].split(',').map(Into::into).collect(),
            master: fields[3].into(),
            epoch: fields[6].parse().expect("an epoch"),
            link: fields[7].into(),
            slots: fields[8..].iter().map(|slots| slots.to_string()).collect(),
        }
    };
    Some(text.lines().map(line).collect())
}

fn array(reply: &Reply) -> &[Reply] {
    match reply {
        Reply::Array(Some(items)) => items,
        other => panic!("not an array: {other:?}"),
    }
}

fn word(reply: &Reply) -> String {
    match reply {
        Reply::Bulk(Some(bytes)) => String::from_utf8(bytes.clone()).expect("text"),
        Reply::Integer(number) => number.to_string(),
        other => panic!("no word: {other:?}"),
    }
}

/// `CLUSTER SLOTS`: the addresses of each range, the leader in front.
fn slots(node: &Node) -> Option<BTreeMap<String, Vec<String>>> {
    let reply = node.ask(&["CLUSTER", "SLOTS"])?;
    let range = |range: &Reply| {
        let fields = array(range);
        let nodes = fields[2..].iter().map(array).map(|node| format!("{}:{}", word(&node[0]), word(&node[1])));
        (format!("{}-{}", word(&fields[0]), word(&fields[1])), nodes.collect())
    };
    Some(array(&reply).iter().map(range).collect())
}

/// `CLUSTER SHARDS`: address, role and health of each node of each range.
fn shards(node: &Node) -> Option<BTreeMap<String, Vec<[String; 3]>>> {
    let reply = node.ask(&["CLUSTER", "SHARDS"])?;
    let node = |node: &Reply| {
        let pairs: Vec<_> = array(node).chunks(2).map(|pair| (word(&pair[0]), word(&pair[1]))).collect();
        let keys: Vec<_> = pairs.iter().map(|(key, _)| key.as_str()).collect();
        assert_eq!(keys, ["id", "port", "ip", "endpoint", "role", "replication-offset", "health"]);
        let value = |at: usize| pairs[at].1.clone();
        [format!("{}:{}", value(2), value(1)), value(4), value(6)]
    };
    let shard = |shard: &Reply| {
        let fields = array(shard);
        assert_eq!([word(&fields[0]), word(&fields[2])], ["slots", "nodes"]);
        let bounds: Vec<_> = array(&fields[1]).iter().map(word).collect();
        (bounds.join("-"), array(&fields[3]).iter().map(node).collect())
    };
    Some(array(&reply).iter().map(shard).collect())
}

/// Addresses of others that ROLE and INFO replication tell.
fn replicas(node: &Node) -> Option<(BTreeSet<String>, BTreeSet<String>)> {
    let role = node.ask(&["ROLE"])?;
    let triples = array(array(&role).get(2)?).iter().map(array);
    let told = triples.map(|triple| format!("{}:{}", word(&triple[0]), word(&triple[1]))).collect();
    let replication = text(node.ask(&["INFO", "replication"]))?;
    let count = replication.lines().find_map(|line| line.strip_prefix("connected_slaves:"))?.parse::<usize>().ok()?;
    let slaves = (0..count).map(|n| {
        let line =
            replication.lines().find_map(|line| line.strip_prefix(&format!("slave{n}:"))).expect("as many lines");
        let fields: BTreeMap<_, _> = line.split(',').filter_map(|field| field.split_once('=')).collect();
        assert_eq!(fields.keys().copied().collect::<Vec<_>>(), ["ip", "lag", "offset", "port", "state"], "{line}");
        assert!(fields["state"] == "online" && fields["lag"].parse::<u64>().is_ok_and(|lag| lag < 5), "{line}");
        format!("{}:{}", fields["ip"], fields["port"])
    });
    Some((told, slaves.collect()))
}

fn address(port: u16) -> String {
    format!("127.0.0.1:{port}")
}

fn answers_ping(address: &str) -> bool {
    let port = address.rsplit_once(':').and_then(|(_, port)| port.parse().ok()).expect("a port");
    Client::connect(port)
        .and_then(|mut client| client.call(&["PING"]))
        .is_ok_and(|it| it == Reply::Simple("PONG".into()))
}

/// Waits until a node knows that these nodes, and no others, are there, that all of them are registered, and that each
/// range has a leader among them; then compares everything that it tells.
fn check(cluster: &Cluster, asked: usize, alive: &[usize], partitions: usize) {
    let node = &cluster.nodes[asked];
    let addresses: Vec<_> = cluster.nodes.iter().map(|node| address(node.resp)).collect();
    let is_alive = |told: &String| alive.iter().any(|n| addresses[*n] == *told);
    let (lines, slots, shards) = cluster.until(&format!("node {} knows who is there", node.id), || {
        let (before, lines, shards, slots) = (slots(node)?, lines(node)?, shards(node)?, slots(node)?);
        let all_told = lines.iter().map(|line| &line.address).eq(&addresses);
        let health = lines.iter().all(|line| is_alive(&line.address) != line.is("fail"));
        let led = slots.len() == partitions && slots.values().all(|nodes| is_alive(&nodes[0]));
        // Leaders may still move; what was asked in between is of one moment if they did not.
        (all_told && health && led && before == slots).then_some((lines, slots, shards))
    });
    let told_others: BTreeSet<_> = alive.iter().filter(|n| **n != asked).map(|n| addresses[*n].clone()).collect();
    let (role, replication) = replicas(node).expect("ROLE and INFO");
    assert_eq!(role, told_others);
    assert_eq!(replication.len(), 1, "a quorum less one, as WAIT answers");
    assert!(replication.is_subset(&told_others));

    let my_id = text(node.ask(&["CLUSTER", "MYID"])).expect("an id");
    for line in &lines {
        let lives = is_alive(&line.address);
        assert_eq!(line.is("myself"), line.id == my_id, "{line:?}");
        assert!(!line.is("noaddr") && line.is("master") != line.is("slave"), "{line:?}");
        assert_eq!(line.link, if lives { "connected" } else { "disconnected" }, "{line:?}");
        let led: Vec<_> =
            slots.iter().filter(|(_, nodes)| nodes[0] == line.address).map(|(range, _)| range.clone()).collect();
        assert_eq!(line.slots.iter().cloned().collect::<BTreeSet<_>>(), led.into_iter().collect(), "{line:?}");
        assert_eq!(line.is("master"), !line.slots.is_empty(), "{line:?}");
        assert_eq!(line.is("master"), line.master == "-", "{line:?}");
        if let Some(master) = lines.iter().find(|other| other.id == line.master) {
            assert!(master.is("master") && master.epoch == line.epoch, "{line:?} {master:?}");
        }
        assert!(line.epoch > 0, "{line:?}");
    }
    let on_bus: Vec<_> = cluster.nodes.iter().map(|node| node.peer.to_string()).collect();
    assert_eq!(lines.iter().map(|line| line.bus.clone()).collect::<Vec<_>>(), on_bus);

    for (range, nodes) in &slots {
        assert!(nodes.iter().all(|told| is_alive(told) && answers_ping(told)), "{range}: {nodes:?}");
        assert_eq!(nodes.len(), alive.len(), "{range}: {nodes:?}");
        let shard = &shards[range];
        assert_eq!(
            shard.iter().map(|node| node[0].clone()).collect::<BTreeSet<_>>(),
            addresses.iter().cloned().collect()
        );
        for [told, role, health] in shard {
            assert_eq!(role == "master", *told == nodes[0], "{range}: {shard:?}");
            // A replica may be catching up.
            assert_eq!(health == "fail", !is_alive(told), "{range}: {shard:?}");
        }
    }
    let state = text(node.ask(&["CLUSTER", "INFO"])).expect("a text");
    assert!(
        state.starts_with("cluster_state:ok\r\ncluster_slots_assigned:16384\r\ncluster_slots_ok:16384\r\n"),
        "{state}"
    );
    assert!(state.contains("\r\ncluster_known_nodes:3\r\n"), "{state}");
    // Who is said to lead says so, too.
    for (at, nodes) in (1..).zip(ordered(&slots)) {
        let leader = cluster.nodes.iter().find(|node| address(node.resp) == nodes[0]).expect("one of ours");
        cluster.until("the leader knows", || {
            (info(leader.resp, &format!("group{at}"), "role")? == "leader").then_some(())
        });
    }
}

/// Ranges in the order of their groups.
fn ordered(slots: &BTreeMap<String, Vec<String>>) -> Vec<&Vec<String>> {
    let first = |range: &str| range.split('-').next().and_then(|first| first.parse::<u16>().ok());
    let mut ranges: Vec<_> = slots.iter().collect();
    ranges.sort_by_key(|(range, _)| first(range));
    ranges.into_iter().map(|(_, nodes)| nodes).collect()
}

#[test]
fn every_address_that_a_node_tells_is_true_and_follows_what_happens() {
    for partitions in [1, 6] {
        let mut cluster = Cluster::start(partitions);
        (0..3).for_each(|n| check(&cluster, n, &[0, 1, 2], partitions));
        let leader = cluster.leader();
        let epoch = |cluster: &Cluster, n: usize| {
            lines(&cluster.nodes[n]).map(|lines| lines.iter().map(|line| line.epoch).max())
        };
        let survivors: Vec<_> = (0..3).filter(|n| *n != leader).collect();
        let before = epoch(&cluster, survivors[0]);
        cluster.nodes[leader].kill();
        survivors.iter().for_each(|n| check(&cluster, *n, &survivors, partitions));
        assert!(epoch(&cluster, survivors[0]) > before, "a newer term is a newer epoch");
        cluster.nodes[leader].start();
        cluster.until_writable(leader);
        (0..3).for_each(|n| check(&cluster, n, &[0, 1, 2], partitions));
    }
}

#[test]
fn a_node_that_moves_tells_the_others_and_is_found_by_them() {
    let mut cluster = Cluster::start(1);
    (0..3).for_each(|n| check(&cluster, n, &[0, 1, 2], 1));
    cluster.nodes[2].stop();
    // Only node 3 is told: the others look where they were told until the meta group knows better.
    let ports = free_ports(3);
    cluster.nodes[2].move_to([ports[0], ports[1], ports[2]]);
    cluster.nodes[2].start();
    (0..3).for_each(|n| check(&cluster, n, &[0, 1, 2], 1));
    // A majority needs it now.
    let leader = cluster.leader();
    let other = (0..2).find(|n| *n != leader).expect("two that did not move");
    cluster.nodes[other].kill();
    let alive: Vec<_> = (0..3).filter(|n| *n != other).collect();
    alive.iter().for_each(|n| cluster.until_writable(*n));
    alive.iter().for_each(|n| check(&cluster, *n, &alive, 1));
    // What was registered outlives everybody: nobody but node 3 is told where it is.
    cluster.nodes[other].start();
    cluster.nodes.iter_mut().for_each(Node::kill);
    cluster.nodes.iter_mut().for_each(Node::start);
    (0..3).for_each(|n| check(&cluster, n, &[0, 1, 2], 1));
}
