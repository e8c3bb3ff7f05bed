//! Nodes join a running cluster and are removed from it, under load and without an error at any client.

use super::ports::free_ports;
use super::resp::Reply;
use super::{Cluster, Load, Node, counted, info, node, tail};

impl Cluster {
    /// A node that wants to join, told of two members; it is not started.
    fn guest(&mut self, id: usize, partitions: usize) -> usize {
        let mut guest = node(self.home.path(), id, &free_ports(3), None, partitions);
        let members = [0, 1].map(|n| format!("127.0.0.1:{}", self.nodes[n].peer)).join(",");
        guest.arguments.extend(["--join".into(), members]);
        self.nodes.push(guest);
        self.nodes.len() - 1
    }

    /// Waits until all groups have voters on these nodes, as a node tells it.
    fn until_voters(&self, n: usize, partitions: usize, wanted: &str) {
        for group in 0..=partitions {
            let line = format!("group{group}_members");
            let told = |key: &str| info(self.nodes[n].resp, &line, key);
            self.until(&format!("voters {wanted} of group {group}"), || {
                (told("voters")? == wanted && told("settled")? == "1").then_some(())
            });
        }
    }

    fn id(&self, n: usize) -> String {
        match self.nodes[n].ask(&["CLUSTER", "MYID"]) {
            Some(Reply::Bulk(Some(id))) => String::from_utf8(id).expect("text"),
            other => panic!("{other:?}"),
        }
    }
}

fn error(node: &Node, words: &[&str]) -> String {
    match node.ask(words) {
        Some(Reply::Error(text)) => text,
        other => panic!("{words:?}: {other:?}"),
    }
}

fn replaced(partitions: usize) {
    let mut cluster = Cluster::start(partitions);
    let load = Load::start(&[cluster.nodes[0].resp, cluster.nodes[1].resp], 4);
    load.progress(500);
    let guest = cluster.guest(4, partitions);
    cluster.nodes[guest].start();
    cluster.until_writable(guest);
    cluster.until_voters(guest, partitions, "1|2|3|4");
    load.progress(500);

    // One dies for good, and is removed: the others do not need it.
    let dead = cluster.id(2);
    cluster.nodes[2].kill();
    load.progress(500);
    let forgotten = cluster.nodes[guest].ask(&["CLUSTER", "FORGET", &dead]);
    assert_eq!(forgotten, Some(Reply::Simple("OK".into())), "{}", cluster.tails());
    cluster.until_voters(0, partitions, "1|2|4");
    let unknown = error(&cluster.nodes[0], &["CLUSTER", "FORGET", &dead]);
    assert!(unknown.contains("Unknown node"), "{unknown}");
    load.progress(500);
    let acknowledged = load.finish(&cluster);
    assert_eq!(counted(&cluster, guest), acknowledged, "every increment once");

    // It comes back, is told that it was removed, and ends.
    cluster.nodes[2].start();
    assert!(cluster.nodes[2].ended().success());
    assert!(tail(&cluster.nodes[2].stderr).contains("removed from the cluster"));
    // And two of the three that are left are enough.
    cluster.nodes[0].kill();
    cluster.until_writable(guest);
    assert_eq!(counted(&cluster, guest), acknowledged);
    cluster.nodes[0].start();
    cluster.until_writable(0);
    assert_eq!(counted(&cluster, 0), acknowledged);
}

#[test]
fn a_node_joins_under_load_and_takes_the_place_of_a_dead_one() {
    replaced(1);
}

#[test]
fn a_node_joins_six_groups_and_takes_the_place_of_a_dead_one() {
    replaced(6);
}

#[test]
fn a_leader_that_is_removed_hands_over_and_ends() {
    let mut cluster = Cluster::start(1);
    let leader = cluster.leader();
    let others: Vec<usize> = (0..3).filter(|n| *n != leader).collect();
    let load = Load::start(&others.iter().map(|n| cluster.nodes[*n].resp).collect::<Vec<_>>(), 4);
    load.progress(500);
    let id = cluster.id(leader);
    let myself = error(&cluster.nodes[leader], &["CLUSTER", "FORGET", &id]);
    assert!(myself.contains("can't forget myself"), "{myself}");
    let forgotten = cluster.nodes[others[0]].ask(&["CLUSTER", "FORGET", &id]);
    assert_eq!(forgotten, Some(Reply::Simple("OK".into())), "{}", cluster.tails());
    assert!(cluster.nodes[leader].ended().success(), "{}", cluster.tails());
    load.progress(500);
    let wanted = others.iter().map(|n| (n + 1).to_string()).collect::<Vec<_>>().join("|");
    cluster.until_voters(others[0], 1, &wanted);
    let acknowledged = load.finish(&cluster);
    assert_eq!(counted(&cluster, others[1]), acknowledged);
}

#[test]
fn a_node_with_an_id_that_is_taken_is_not_let_in() {
    let mut cluster = Cluster::start(1);
    let guest = cluster.guest(2, 1);
    let directory = cluster.home.path().join("another");
    cluster.nodes[guest].arguments[3] = directory.to_string_lossy().into_owned();
    cluster.nodes[guest].stderr = cluster.home.path().join("another.log");
    cluster.nodes[guest].start();
    assert_eq!(cluster.nodes[guest].ended().code(), Some(64));
    let told = tail(&cluster.nodes[guest].stderr);
    assert!(told.contains("there is a node 2 in the cluster"), "{told}");
    assert!(!directory.join("holdfast.facts").exists(), "nothing was begun");

    // One with an id of its own is.
    let guest = cluster.guest(4, 1);
    cluster.nodes[guest].start();
    cluster.until_writable(guest);
    let resp = cluster.nodes[guest].resp.to_string();
    // It tells where its clients find it a moment later.
    let met = || cluster.nodes[0].ask(&["CLUSTER", "MEET", "127.0.0.1", &resp]);
    cluster.until("MEET knows the node", || (met()? == Reply::Simple("OK".into())).then_some(()));
    let stranger = error(&cluster.nodes[0], &["CLUSTER", "MEET", "127.0.0.1", "1"]);
    assert!(stranger.contains(&format!("--join 127.0.0.1:{}", cluster.nodes[0].peer)), "{stranger}");
}
