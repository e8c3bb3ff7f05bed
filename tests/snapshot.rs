//! A node that was away for longer than the log reaches back gets a snapshot from the leader, over real sockets and
//! disks, and is a full member afterwards: the cluster then lives on it and one other.

#![expect(
    clippy::disallowed_methods,
    reason = "real processes are polled on the real clock, each wait with a deadline"
)]

#[path = "support/ports.rs"]
mod ports;
#[path = "support/resp.rs"]
mod resp;

use std::thread;
use std::time::{Duration, Instant};

use holdfast::base::NodeId;
use holdfast::runtime::{Config, Running, start};
use ports::free_ports;
use resp::{Client, PATIENCE, Reply, info};

const KEYS: usize = 600;

fn until<T>(what: &str, mut check: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(value) = check() {
            return value;
        }
        assert!(Instant::now() < deadline, "{what}: not within {PATIENCE:?}");
        thread::sleep(Duration::from_millis(10));
    }
}

fn number(node: &Running, line: &str, key: &str) -> Option<u64> {
    info(node.resp.port(), line, key)?.parse().ok()
}

fn write(node: &Running, from: usize, to: usize) {
    let mut client = Client::connect(node.resp.port()).expect("connected");
    for n in from..to {
        let reply = client.call(&["SET", &format!("key-{n}"), &"v".repeat(n)]).expect("a reply");
        assert_eq!(reply, Reply::Simple("OK".into()), "key-{n}");
    }
}

fn check(node: &Running, to: usize) {
    let mut client = Client::connect(node.resp.port()).expect("connected");
    for n in 0..to {
        let reply = client.call(&["GET", &format!("key-{n}")]).expect("a reply");
        assert_eq!(reply, Reply::Bulk(Some("v".repeat(n).into_bytes())), "key-{n}");
    }
    assert_eq!(client.call(&["DBSIZE"]).expect("a reply"), Reply::Integer(to as i64));
}

#[test]
fn a_node_that_was_away_for_long_catches_up_by_snapshot() {
    let home = tempfile::tempdir().expect("a directory");
    let ports = free_ports(3);
    let members: Vec<_> = (1..=3).map(|id| (NodeId(id), format!("127.0.0.1:{}", ports[id as usize - 1]))).collect();
    let run = |id: u64| {
        let mut config = Config::new(NodeId(id), home.path().join(format!("node-{id}")));
        config.initial_cluster.clone_from(&members);
        config.peer = Some(([127, 0, 0, 1], ports[id as usize - 1]).into());
        config.telemetry.log_filter = "warn".into();
        // Cut the log early and often.
        config.raft.log_entries_kept = 50;
        config.raft.flush_log_bytes = 1;
        start(config).unwrap_or_else(|why| panic!("node {id}: {why}"))
    };
    let mut nodes: Vec<_> = (1..=3).map(run).collect();
    write(&nodes[0], 0, KEYS / 2);
    nodes.remove(2).shut_down().expect("an orderly end");
    write(&nodes[0], KEYS / 2, KEYS);
    // Both cut their logs, so that whoever leads has only a snapshot to offer.
    for node in &nodes {
        until("the log is cut", || number(node, "group1_log", "first").filter(|first| *first > KEYS as u64 / 2 + 100));
    }

    nodes.push(run(3));
    until("a snapshot was installed", || number(&nodes[2], "group1_log", "snapshots_installed").filter(|n| *n > 0));
    until("it caught up", || {
        let commit = number(&nodes[0], "group1", "commit")?;
        number(&nodes[2], "group1", "applied").filter(|applied| *applied >= commit)
    });

    // From here on nothing is acknowledged without the node that was away.
    nodes.remove(0).shut_down().expect("an orderly end");
    write(&nodes[1], KEYS, KEYS + 10);
    check(&nodes[1], KEYS + 10);

    // And what it installed survives its own restart.
    nodes.remove(1).shut_down().expect("an orderly end");
    nodes.push(run(3));
    write(&nodes[1], KEYS + 10, KEYS + 20);
    check(&nodes[1], KEYS + 20);
    nodes.into_iter().for_each(|node| node.shut_down().expect("an orderly end"));
}
