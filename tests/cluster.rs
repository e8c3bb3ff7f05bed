//! Real processes, real sockets, real disks: three nodes under load are killed, stopped, restarted and refused.
//! Nothing here waits for a fixed time and hopes: every wait polls for what it needs and has a deadline.

#![expect(
    clippy::disallowed_methods,
    reason = "real processes are polled on the real clock, each wait with a deadline"
)]

#[path = "cluster/join.rs"]
mod join;
#[path = "cluster/membership.rs"]
mod membership;
#[path = "cluster/moves.rs"]
mod moves;
#[path = "support/ports.rs"]
mod ports;
#[path = "cluster/pubsub.rs"]
mod pubsub;
#[path = "support/reply.rs"]
#[expect(dead_code, reason = "nothing here lays replies flat")]
mod reply;
#[path = "support/resp.rs"]
mod resp;
#[path = "support/resp3.rs"]
mod resp3;
#[path = "cluster/tracking.rs"]
mod tracking;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use ports::free_ports;
use resp::{Client, PATIENCE, Reply, info};

/// One cluster at a time: they would fight for the cores and their elections would mean nothing.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// One `holdfast server` and all that is needed to start it again.
struct Node {
    id: usize,
    peer: u16,
    resp: u16,
    arguments: Vec<String>,
    directory: PathBuf,
    stderr: PathBuf,
    child: Option<Child>,
}

impl Node {
    fn start(&mut self) {
        assert!(self.child.is_none(), "node {} runs already", self.id);
        let stderr = fs::OpenOptions::new().create(true).append(true).open(&self.stderr).expect("a log file");
        let mut command = Command::new(env!("CARGO_BIN_EXE_holdfast"));
        command.arg("server").args(&self.arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(stderr);
        self.child = Some(command.spawn().expect("the program starts"));
    }

    fn signal(&self, signal: i32) {
        let child = self.child.as_ref().expect("the node runs");
        // SAFETY: a signal to a child of ours that was not waited for, so the id cannot be somebody else's.
        assert_eq!(unsafe { libc::kill(child.id() as i32, signal) }, 0);
    }

    /// Waits for the process to end by itself.
    fn ended(&mut self) -> ExitStatus {
        let mut child = self.child.take().expect("the node runs");
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = child.try_wait().expect("a child can be waited for") {
                return status;
            }
            if Instant::now() > deadline {
                let _ = child.kill();
                let _ = child.wait();
                panic!("node {} did not end in time:\n{}", self.id, tail(&self.stderr));
            }
            thread::sleep(Duration::from_millis(5));
        }
    }

    fn kill(&mut self) {
        self.signal(libc::SIGKILL);
        self.ended();
    }

    fn stop(&mut self) {
        self.signal(libc::SIGTERM);
        let status = self.ended();
        assert!(status.success(), "node {} ended with {status}:\n{}", self.id, tail(&self.stderr));
    }

    /// Listens elsewhere from the next start on (peer, RESP, HTTP), and is told its own new address, nobody else's.
    fn move_to(&mut self, [peer, resp, http]: [u16; 3]) {
        let before = format!("{}=127.0.0.1:{}", self.id, self.peer);
        let after = format!("{}=127.0.0.1:{peer}", self.id);
        (self.peer, self.resp) = (peer, resp);
        for (flag, port) in [("--peer", peer), ("--resp", resp), ("--http", http)] {
            let at = self.arguments.iter().position(|argument| argument == flag).expect("every listener is told");
            self.arguments[at + 1] = format!("127.0.0.1:{port}");
        }
        self.arguments.iter_mut().for_each(|argument| *argument = argument.replace(&before, &after));
    }

    /// Asks once, on a connection of its own.
    fn ask(&self, words: &[&str]) -> Option<Reply> {
        Client::connect(self.resp).ok()?.call(words).ok()
    }

    /// What `INFO raft` says of group 1.
    fn group(&self, key: &str) -> Option<String> {
        info(self.resp, "group1", key)
    }
}

/// Three nodes in directories of their own, gone with the value.
struct Cluster {
    nodes: Vec<Node>,
    home: tempfile::TempDir,
    _turn: MutexGuard<'static, ()>,
}

impl Cluster {
    fn start(partitions: usize) -> Cluster {
        let turn = ONE_AT_A_TIME.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let home = tempfile::tempdir().expect("a directory");
        let ports = free_ports(9);
        let initial = (0..3).map(|n| format!("{}=127.0.0.1:{}", n + 1, ports[3 * n])).collect::<Vec<_>>().join(",");
        let nodes = (0..3).map(|n| node(home.path(), n + 1, &ports[3 * n..], Some(&initial), partitions)).collect();
        let mut cluster = Cluster { nodes, home, _turn: turn };
        cluster.nodes.iter_mut().for_each(Node::start);
        for n in 0..3 {
            cluster.until_writable(n);
        }
        cluster
    }

    /// Polls until `check` gives a value.
    fn until<T>(&self, what: &str, mut check: impl FnMut() -> Option<T>) -> T {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(value) = check() {
                return value;
            }
            if Instant::now() > deadline {
                panic!("{what}: not within {PATIENCE:?}\n{}", self.tails());
            }
            thread::sleep(Duration::from_millis(20));
        }
    }

    fn until_writable(&self, n: usize) {
        let written =
            || self.nodes[n].ask(&["SET", "ready", "yes"]).filter(|reply| *reply == Reply::Simple("OK".into()));
        self.until(&format!("node {} takes writes", n + 1), written);
    }

    /// Which node leads group 1.
    fn leader(&self) -> usize {
        self.until("a leader", || {
            let running = |n: &usize| self.nodes[*n].child.is_some();
            let told = (0..3).filter(running).find_map(|n| self.nodes[n].group("leader")?.parse::<usize>().ok())?;
            // Only what the leader says of itself counts.
            (told > 0 && running(&(told - 1)) && self.nodes[told - 1].group("role")? == "leader").then(|| told - 1)
        })
    }

    fn tails(&self) -> String {
        self.nodes.iter().map(|node| format!("--- node {}\n{}\n", node.id, tail(&node.stderr))).collect()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for child in self.nodes.iter_mut().filter_map(|node| node.child.as_mut()) {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn node(home: &Path, id: usize, ports: &[u16], initial: Option<&str>, partitions: usize) -> Node {
    let directory = home.join(format!("node-{id}"));
    let at = |port: u16| format!("127.0.0.1:{port}");
    let mut arguments = vec![
        "--node-id".into(),
        id.to_string(),
        "--data-dir".into(),
        directory.to_string_lossy().into_owned(),
        "--peer".into(),
        at(ports[0]),
        "--resp".into(),
        at(ports[1]),
        "--http".into(),
        at(ports[2]),
        "--partitions".into(),
        partitions.to_string(),
    ];
    if let Some(initial) = initial {
        arguments.extend(["--initial-cluster".into(), initial.to_owned()]);
    }
    Node {
        id,
        peer: ports[0],
        resp: ports[1],
        arguments,
        directory,
        stderr: home.join(format!("node-{id}.log")),
        child: None,
    }
}

fn tail(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap_or_default();
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(40)..].join("\n")
}

/// Counters of a load: spread over the groups, if there are several.
const COUNTERS: u64 = 12;

/// Clients that count up, each on one connection that must never fail.
struct Load {
    stop: Arc<AtomicBool>,
    done: Arc<AtomicU64>,
    clients: Vec<JoinHandle<Result<u64, String>>>,
}

impl Load {
    fn start(ports: &[u16], clients_per_node: usize) -> Load {
        let (stop, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let client = |port: u16| {
            let (stop, done) = (stop.clone(), done.clone());
            thread::spawn(move || {
                let fail = |what: String| format!("client of port {port}: {what}");
                let mut client = Client::connect(port).map_err(|why| fail(why.to_string()))?;
                let mut count = 0;
                while !stop.load(Ordering::Relaxed) {
                    match client.call(&["INCR", &counter(count % COUNTERS)]) {
                        Ok(Reply::Integer(_)) => count += 1,
                        other => return Err(fail(format!("{other:?} after {count}"))),
                    }
                    done.fetch_add(1, Ordering::Relaxed);
                }
                Ok(count)
            })
        };
        let ports = ports.iter().flat_map(|port| std::iter::repeat_n(*port, clients_per_node));
        let clients = ports.map(client).collect();
        Load { stop, done, clients }
    }

    /// Waits until another `more` calls were answered, and says how long the longest silence was.
    fn progress(&self, more: u64) -> Duration {
        let (goal, deadline) = (self.done.load(Ordering::Relaxed) + more, Instant::now() + PATIENCE);
        let (mut seen, mut since, mut longest) = (0, Instant::now(), Duration::ZERO);
        loop {
            let done = self.done.load(Ordering::Relaxed);
            if done != seen {
                (seen, since) = (done, Instant::now());
            }
            longest = longest.max(since.elapsed());
            // A client that failed ends the wait; `finish` tells its reason.
            if done >= goal || self.clients.iter().any(JoinHandle::is_finished) {
                return longest;
            }
            assert!(Instant::now() < deadline, "no progress within {PATIENCE:?}");
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// How many calls were acknowledged, if none failed.
    fn finish(self, cluster: &Cluster) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        let results = self.clients.into_iter().map(|client| client.join().expect("a client never panics"));
        let counts: Result<Vec<_>, _> = results.collect();
        counts.unwrap_or_else(|why| panic!("{why}\n{}", cluster.tails())).into_iter().sum()
    }
}

fn counter(number: u64) -> String {
    format!("counter-{number}")
}

/// The sum of all counters as a node tells it.
fn counted(cluster: &Cluster, n: usize) -> u64 {
    let one = |number| {
        cluster.until("a counter", || match cluster.nodes[n].ask(&["GET", &counter(number)])? {
            Reply::Bulk(Some(text)) => String::from_utf8(text).ok()?.parse().ok(),
            Reply::Bulk(None) => Some(0),
            _ => None,
        })
    };
    (0..COUNTERS).map(one).sum::<u64>()
}

#[test]
fn every_node_takes_every_command() {
    for partitions in [1, 6] {
        let cluster = Cluster::start(partitions);
        for (n, node) in cluster.nodes.iter().enumerate() {
            let key = format!("from-{n}");
            assert_eq!(node.ask(&["SET", &key, "value"]), Some(Reply::Simple("OK".into())), "{}", cluster.tails());
            for other in &cluster.nodes {
                let read = other.ask(&["GET", &key]);
                assert_eq!(read, Some(Reply::Bulk(Some(b"value".to_vec()))), "linearizable everywhere");
            }
        }
        let mut client = Client::connect(cluster.nodes[0].resp).expect("connected");
        for expected in ["OK", "QUEUED", "QUEUED"].map(|text| Reply::Simple(text.into())) {
            let words: &[&str] = if expected == Reply::Simple("OK".into()) { &["MULTI"] } else { &["INCR", "{m}n"] };
            assert_eq!(client.call(words).expect("a reply"), expected);
        }
        let exec = client.call(&["EXEC"]).expect("a reply");
        assert_eq!(exec, Reply::Array(Some(vec![Reply::Integer(1), Reply::Integer(2)])));
    }
}

#[test]
fn a_killed_leader_costs_a_pause_and_no_command_runs_twice() {
    killed_leaders(1);
}

#[test]
fn a_killed_node_costs_a_pause_when_every_node_leads_some_of_six_groups() {
    killed_leaders(6);
}

fn killed_leaders(partitions: usize) {
    let mut cluster = Cluster::start(partitions);
    let mut expected = 0;
    for round in 0..3 {
        let leader = cluster.leader();
        let survivors: Vec<_> = (0..3).filter(|n| *n != leader).map(|n| cluster.nodes[n].resp).collect();
        let load = Load::start(&survivors, 4);
        load.progress(500);
        cluster.nodes[leader].kill();
        let silence = load.progress(500);
        println!("round {round}: node {} killed, longest silence {silence:?}", leader + 1);
        cluster.nodes[leader].start();
        load.progress(500);
        expected += load.finish(&cluster);
        cluster.until_writable(leader);
        for n in 0..3 {
            assert_eq!(counted(&cluster, n), expected, "round {round}: at node {}", n + 1);
        }
    }
}

#[test]
fn nodes_stop_one_after_the_other_without_an_error_and_keep_everything() {
    let mut cluster = Cluster::start(1);
    let mut expected = 0;
    for n in 0..3 {
        let others: Vec<_> = (0..3).filter(|other| *other != n).map(|other| cluster.nodes[other].resp).collect();
        let load = Load::start(&others, 4);
        load.progress(300);
        cluster.nodes[n].stop();
        let silence = load.progress(300);
        println!("node {} stopped, longest silence {silence:?}", n + 1);
        cluster.nodes[n].start();
        cluster.until_writable(n);
        expected += load.finish(&cluster);
    }
    for n in 0..3 {
        assert_eq!(counted(&cluster, n), expected);
    }
    cluster.nodes.iter_mut().for_each(Node::stop);
    cluster.nodes.iter_mut().for_each(Node::start);
    for n in 0..3 {
        assert_eq!(counted(&cluster, n), expected, "after a restart of all");
    }
    cluster.nodes.iter_mut().for_each(Node::kill);
    cluster.nodes.iter_mut().for_each(Node::start);
    for n in 0..3 {
        assert_eq!(counted(&cluster, n), expected, "after a crash of all");
    }
}

#[test]
fn a_node_that_stops_answers_what_it_took() {
    let mut cluster = Cluster::start(1);
    for round in 0..3 {
        // Once it leads, once it does not, whichever it is.
        let (node, other) = (round, (round + 1) % 3);
        let port = cluster.nodes[node].resp;
        let acknowledged = Arc::new(AtomicU64::new(0));
        let client = |n: usize| {
            let acknowledged = acknowledged.clone();
            thread::spawn(move || {
                let mut client = Client::connect(port).expect("connected");
                let mut count = 0;
                // Until the node closes the connection: what it says before must be numbers.
                while let Ok(reply) = client.call(&["INCR", &format!("stop:{round}:{n}")]) {
                    count += 1;
                    assert_eq!(reply, Reply::Integer(count), "client {n}");
                    acknowledged.fetch_add(1, Ordering::Relaxed);
                }
                count
            })
        };
        let clients: Vec<_> = (0..8).map(client).collect();
        cluster.until("the load runs", || (acknowledged.load(Ordering::Relaxed) > 200).then_some(()));
        cluster.nodes[node].stop();
        for (n, client) in clients.into_iter().enumerate() {
            let count = client.join().expect("every reply was a number");
            let stored = cluster.nodes[other].ask(&["GET", &format!("stop:{round}:{n}")]);
            let wanted = Reply::Bulk(Some(count.to_string().into_bytes()));
            assert_eq!(stored, Some(wanted), "round {round}, client {n}: acknowledged and stored differ");
        }
        cluster.nodes[node].start();
        cluster.until_writable(node);
    }
}

#[test]
fn without_a_majority_clients_are_told_in_time_what_is_known() {
    let cluster = Cluster::start(1);
    let leader = cluster.leader();
    let others = || cluster.nodes.iter().enumerate().filter(|(n, _)| *n != leader).map(|(_, node)| node);
    let mut client = Client::connect(cluster.nodes[leader].resp).expect("connected");
    let ask = |client: &mut Client, words: &[&str]| {
        let asked = Instant::now();
        let reply = client.call(words).expect("the connection is kept");
        assert!(asked.elapsed() < Duration::from_millis(2_500), "{words:?}: {reply:?} after {:?}", asked.elapsed());
        reply
    };
    others().for_each(|node| node.signal(libc::SIGSTOP));
    // It still leads, as far as it knows, and takes the command into its log.
    match ask(&mut client, &["INCR", "doubt"]) {
        Reply::Error(line) => assert!(line.starts_with("UNKNOWNOUTCOME "), "{line}"),
        other => panic!("acknowledged without a majority: {other:?}"),
    }
    // Now it knows that it does not lead: this one is in no log.
    for words in [&["INCR", "refused"][..], &["GET", "refused"], &["EXISTS", "doubt"]] {
        assert_eq!(ask(&mut client, words), Reply::Error("CLUSTERDOWN The cluster is down".into()), "{words:?}");
    }
    others().for_each(|node| node.signal(libc::SIGCONT));
    let again = cluster.until("the cluster is back", || match client.call(&["GET", "doubt"]).ok()? {
        Reply::Bulk(number) => Some(number),
        _ => None,
    });
    // In doubt means either; what was refused never ran.
    assert!(again.is_none() || again == Some(b"1".to_vec()), "{again:?}");
    assert_eq!(client.call(&["GET", "refused"]).expect("a reply"), Reply::Bulk(None));
}

#[test]
fn what_does_not_belong_is_refused_with_a_reason() {
    let mut cluster = Cluster::start(1);
    cluster.nodes[0].stop();
    let facts = cluster.nodes[0].directory.join("holdfast.facts");
    let before = fs::read(&facts).expect("facts");

    // Node 2 with the directory of node 1.
    let ports = free_ports(3);
    let mut confused = node(cluster.home.path(), 2, &ports, None, 1);
    confused.stderr = cluster.home.path().join("confused.log");
    confused.arguments[3] = cluster.nodes[0].directory.to_string_lossy().into_owned();
    confused.start();
    assert_eq!(confused.ended().code(), Some(66), "{}", tail(&confused.stderr));
    assert!(tail(&confused.stderr).contains("belongs to node 1"), "{}", tail(&confused.stderr));
    assert_eq!(fs::read(&facts).expect("facts"), before, "nothing was overwritten");

    // A port that somebody else has.
    let mut crowded = node(cluster.home.path(), 4, &[ports[0], cluster.nodes[1].resp, ports[2]], None, 1);
    crowded.start();
    assert_eq!(crowded.ended().code(), Some(69), "{}", tail(&crowded.stderr));
    assert!(tail(&crowded.stderr).contains(&cluster.nodes[1].resp.to_string()), "{}", tail(&crowded.stderr));

    cluster.nodes[0].start();
    cluster.until_writable(0);
}

#[test]
fn issue_etcd_22214_a_log_that_nobody_reads_hangs_nobody() {
    let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let home = tempfile::tempdir().expect("a directory");
    let single = node(home.path(), 1, &free_ports(3), None, 1);
    let mut command = Command::new(env!("CARGO_BIN_EXE_holdfast"));
    command.arg("server").args(&single.arguments).env("HOLDFAST_LOG__LEVEL", "trace");
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let child = command.spawn().expect("the program starts");
    let mut cluster = Cluster { nodes: vec![Node { child: Some(child), ..single }], home, _turn };
    cluster.until_writable(0);
    // Far more lines than the pipe and the queue before it hold.
    let load = Load::start(&[cluster.nodes[0].resp], 8);
    load.progress(20_000);
    load.finish(&cluster);
    cluster.nodes[0].stop();
}

#[test]
fn a_single_node_keeps_what_it_acknowledged() {
    let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let home = tempfile::tempdir().expect("a directory");
    let cluster = Cluster { nodes: vec![node(home.path(), 1, &free_ports(3), None, 1)], home, _turn };
    let mut cluster = cluster;
    cluster.nodes[0].start();
    cluster.until_writable(0);
    let load = Load::start(&[cluster.nodes[0].resp], 8);
    load.progress(1000);
    let expected = load.finish(&cluster);
    cluster.nodes[0].kill();
    cluster.nodes[0].start();
    assert_eq!(counted(&cluster, 0), expected);
}
