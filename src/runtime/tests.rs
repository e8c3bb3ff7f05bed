//! A whole node on stores in memory that do what a test says: what its threads owe each other when a disk is slow.
//! Every wait polls for what it needs and has a deadline.

#![expect(clippy::disallowed_methods, reason = "the threads of a real node are polled on the real clock")]

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::{Condvar, Mutex};

use super::start::{Stores, start_on};
use super::{Config, Running, prefetch};
use crate::base::{GroupId, NodeId, Slot};
use crate::host::meta::{self, Facts};
use crate::machine::State;
use crate::store::memory::{MemoryEngine, MemoryLog};
use crate::store::{Batch, Engine, Figures, Log as _, Order, Read, Record, Result, Snapshot, Visit, keys};

const PATIENCE: Duration = Duration::from_secs(20);

fn until(what: &str, mut check: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !check() {
        assert!(Instant::now() < deadline, "{what}: not within {PATIENCE:?}");
        thread::sleep(Duration::from_millis(2));
    }
}

/// An engine whose changes wait while its gate is closed, and that counts lookups under way at once.
#[derive(Default)]
struct Slow {
    memory: MemoryEngine,
    closed: Mutex<bool>,
    opened: Condvar,
    /// Lookups under way, the most there ever were, and for how many at once each waits.
    lookups: Mutex<(usize, usize, usize)>,
    met: Condvar,
}

impl Slow {
    fn set_closed(&self, closed: bool) {
        *self.closed.lock() = closed;
        self.opened.notify_all();
    }

    fn pass(&self) {
        let mut closed = self.closed.lock();
        self.opened.wait_while(&mut closed, |closed| *closed);
    }
}

impl Read for Slow {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>> {
        let mut lookups = self.lookups.lock();
        lookups.0 += 1;
        lookups.1 = lookups.1.max(lookups.0);
        self.met.notify_all();
        self.met.wait_while_for(&mut lookups, |(_, most, wanted)| most < wanted, PATIENCE);
        lookups.0 -= 1;
        drop(lookups);
        self.memory.get(key)
    }

    fn scan(&self, start: &[u8], end: &[u8], order: Order, visit: &mut Visit<'_>) -> Result<()> {
        self.memory.scan(start, end, order, visit)
    }
}

impl Engine for Slow {
    fn write(&self, batch: &Batch) -> Result<()> {
        self.pass();
        self.memory.write(batch)
    }

    fn get_in_memory(&self, key: &[u8]) -> Result<Option<Bytes>> {
        self.memory.get(key)
    }

    fn get_persisted(&self, key: &[u8]) -> Result<Option<Bytes>> {
        self.memory.get_persisted(key)
    }

    fn snapshot(&self) -> Result<Snapshot> {
        self.memory.snapshot()
    }

    fn flush(&self) -> Result<()> {
        self.pass();
        self.memory.flush()
    }

    fn ingest(&self, clear: &[(Bytes, Bytes)], records: &mut dyn Iterator<Item = Result<Record>>) -> Result<()> {
        self.pass();
        self.memory.ingest(clear, records)
    }

    fn figures(&self) -> Figures {
        self.memory.figures()
    }
}

fn run(config: Config, engine: &Arc<Slow>) -> Running {
    run_on(config, engine, Arc::new(MemoryLog::new()))
}

fn run_on(mut config: Config, engine: &Arc<Slow>, log: Arc<MemoryLog>) -> Running {
    let stores = Stores { log, engine: engine.clone(), cache: None };
    config.telemetry.log_filter = "error".into();
    start_on(config, |_, _| Ok(stores)).expect("the node starts")
}

/// Sends a command and leaves the answer to be read.
fn ask(to: SocketAddr, command: &str) -> TcpStream {
    let mut socket = TcpStream::connect(to).expect("connected");
    socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    socket.write_all(format!("{command}\r\n").as_bytes()).expect("sent");
    socket
}

fn answer(mut socket: TcpStream) -> String {
    let mut bytes = [0; 256];
    let length = socket.read(&mut bytes).expect("an answer in time");
    String::from_utf8_lossy(&bytes[..length]).into_owned()
}

/// Keys of the first and of the second of two groups.
fn keys_of_both() -> (String, String) {
    let key =
        |second: bool| (0..).map(|n| format!("k{n}")).find(|key| (Slot::of(key.as_bytes()).get() > 8191) == second);
    (key(false).expect("a key"), key(true).expect("a key"))
}

#[test]
fn rule_22_a_stalled_state_stops_neither_the_raft_worker_nor_the_log() {
    let home = tempfile::tempdir().expect("a directory");
    let engine = Arc::new(Slow::default());
    let mut config = Config::new(NodeId(1), home.path());
    config.partitions = 2;
    config.threads.machine = 2;
    config.request_timeout = 2 * PATIENCE;
    // Flushes meet the closed gate too.
    config.raft.flush_log_bytes = 1;
    let node = run(config, &engine);
    let (first, second) = keys_of_both();
    until("the node takes writes", || answer(ask(node.resp, &format!("SET {first} ready"))) == "+OK\r\n");

    engine.set_closed(true);
    let place = |group: u64| {
        let cell = &node.core.local[&GroupId(group)].cell;
        (cell.view().commit, cell.applied())
    };
    let stuck = ask(node.resp, &format!("SET {first} stuck"));
    until("its entry is durable and committed", || place(1).0 > place(1).1);
    // Group 1's machine stands in the engine. The log takes what comes after, of this group and of the other.
    let before = place(2).0;
    let other = ask(node.resp, &format!("SET {second} other"));
    until("the other group's entry is durable and committed", || place(2).0 > before);
    let turns = node.core.metrics.worker_turns.get();
    until("the worker goes on", || node.core.metrics.worker_turns.get() > turns + 20);
    assert!(place(1).0 > place(1).1 && place(2).0 > place(2).1, "nothing was applied meanwhile");

    engine.set_closed(false);
    assert_eq!(answer(stuck), "+OK\r\n");
    assert_eq!(answer(other), "+OK\r\n");
    node.shut_down().expect("an orderly end");
}

/// A node on these stores that flushes after so many bytes of log or so much time.
fn flushing(
    home: &std::path::Path,
    (engine, log): (&Arc<Slow>, &Arc<MemoryLog>),
    entries_kept: u64,
    bytes: u64,
    interval: Duration,
) -> Running {
    let mut config = Config::new(NodeId(1), home);
    config.raft.log_entries_kept = entries_kept;
    (config.raft.flush_log_bytes, config.raft.flush_interval) = (bytes, interval);
    config.telemetry.log_filter = "error".into();
    let stores = Stores { log: log.clone(), engine: engine.clone(), cache: None };
    start_on(config, |_, _| Ok(stores)).expect("the node starts")
}

const NEVER: Duration = Duration::from_secs(3600);

#[test]
fn the_state_is_flushed_by_size_and_by_time_and_the_log_is_cut_behind_it() {
    let (engine, log) = (Arc::new(Slow::default()), Arc::new(MemoryLog::new()));
    let home = tempfile::tempdir().expect("a directory");
    for (bytes, interval) in [(1, NEVER), (u64::MAX, Duration::ZERO)] {
        let node = flushing(home.path(), (&engine, &log), 0, bytes, interval);
        until("the node takes writes", || answer(ask(node.resp, "SET key value")) == "+OK\r\n");
        let applied = node.core.local[&GroupId(1)].cell.applied();
        until("the state is flushed", || {
            State::persisted(&engine.memory, GroupId(1)).expect("the state can be read") >= applied
        });
        until("the log is cut behind it", || {
            let logs = log.load().expect("the log is whole");
            logs.iter().any(|log| log.group == GroupId(1) && log.before_first.0 >= applied)
        });
        node.shut_down().expect("an orderly end");
    }
}

#[test]
fn a_state_that_was_lost_is_replayed_from_a_whole_log_while_clients_are_told_and_then_flushed() {
    let log = Arc::new(MemoryLog::new());
    let home = tempfile::tempdir().expect("a directory");
    let node = flushing(home.path(), (&Arc::new(Slow::default()), &log), u64::MAX, u64::MAX, NEVER);
    for n in 0..20 {
        until("the node takes writes", || answer(ask(node.resp, &format!("SET key-{n} value-{n}"))) == "+OK\r\n");
    }
    node.shut_down().expect("an orderly end");

    let engine = Arc::new(Slow::default());
    engine.set_closed(true);
    let node = flushing(home.path(), (&engine, &log), u64::MAX, u64::MAX, Duration::ZERO);
    for command in ["GET key-0", "SET key-0 other", "DBSIZE"] {
        assert_eq!(answer(ask(node.resp, command)), "-LOADING Redis is loading the dataset in memory\r\n");
    }
    engine.set_closed(false);
    for n in 0..20 {
        let expected = format!("${}\r\nvalue-{n}\r\n", format!("value-{n}").len());
        until("the log is replayed", || answer(ask(node.resp, &format!("GET key-{n}"))) == expected);
    }
    let applied = node.core.local[&GroupId(1)].cell.applied();
    until("what was replayed is flushed, although nothing is written", || {
        State::persisted(&engine.memory, GroupId(1)).expect("the state can be read") >= applied
    });
    node.shut_down().expect("an orderly end");
}

#[test]
fn rule_21_a_start_empties_the_slots_that_no_group_here_owns() {
    let home = tempfile::tempdir().expect("a directory");
    let engine = Arc::new(Slow::default());
    let mut batch = Batch::default();
    let names: Vec<_> = (0..200).map(|n| format!("key-{n}")).collect();
    names.iter().for_each(|name| batch.put(keys::head(0, name.as_bytes()), "left by an earlier replica"));
    engine.write(&batch).expect("written");
    // Each of five groups has replicas on three of five nodes.
    let mut config = Config::new(NodeId(1), home.path());
    config.peer = Some(([127, 0, 0, 1], 0).into());
    config.initial_cluster = (1..=5).map(|id| (NodeId(id), format!("127.0.0.1:{id}"))).collect();
    config.partitions = 5;
    let node = run(config, &engine);
    let owned: Vec<_> = node.core.local.values().filter_map(|group| group.slots).collect();
    assert_eq!(owned.len(), 3);
    for name in &names {
        let is_owned = owned.iter().any(|slots| slots.contains(Slot::of(name.as_bytes())));
        let kept = engine.get(&keys::head(0, name.as_bytes())).expect("read").is_some();
        assert_eq!(kept, is_owned, "{name}");
    }
    node.shut_down().expect("an orderly end");
}

#[test]
fn a_directory_of_before_there_were_facts_gets_them_at_its_next_start() {
    let home = tempfile::tempdir().expect("a directory");
    run(Config::new(NodeId(1), home.path()), &Arc::new(Slow::default())).shut_down().expect("an orderly end");
    // The directory knows its cluster, the state knows nothing.
    let (engine, log) = (Arc::new(Slow::default()), Arc::new(MemoryLog::new()));
    let node = run_on(Config::new(NodeId(1), home.path()), &engine, log.clone());
    let facts = || Facts::read(engine.as_ref()).expect("whole facts");
    until("the facts are there", || facts().is_some());
    let facts = facts().expect("facts");
    assert_eq!(facts.cluster, node.core.map().cluster);
    assert_eq!(facts.groups.len(), 2);
    let (resp, http) = (Some(node.resp.to_string()), Some(node.http.to_string()));
    assert_eq!(facts.nodes, [meta::Node { resp, http, ..meta::Node::new(NodeId(1), facts.nodes[0].peer.clone()) }]);
    let told = answer(ask(node.resp, "CLUSTER NODES"));
    assert!(told.contains(&format!(" {}@", node.resp)), "{told}");
    node.shut_down().expect("an orderly end");

    // It listens on other ports now.
    let before = facts;
    let node = run_on(Config::new(NodeId(1), home.path()), &engine, log);
    let resp = Some(node.resp.to_string());
    assert_ne!(resp, before.nodes[0].resp);
    until("it is registered anew", || {
        Facts::read(engine.as_ref()).expect("whole facts").is_some_and(|facts| facts.nodes[0].resp == resp)
    });
    node.shut_down().expect("an orderly end");
}

#[test]
fn a_state_of_another_cluster_is_refused_with_the_reason() {
    let (home, other) = (tempfile::tempdir().expect("a directory"), tempfile::tempdir().expect("a directory"));
    let engine = Arc::new(Slow::default());
    let node = run(Config::new(NodeId(1), home.path()), &engine);
    until("the facts are there", || Facts::read(engine.as_ref()).expect("whole facts").is_some());
    let cluster = node.core.map().cluster;
    node.shut_down().expect("an orderly end");
    let stores = Stores { log: Arc::new(MemoryLog::new()), engine, cache: None };
    let why = match start_on(Config::new(NodeId(1), other.path()), |_, _| Ok(stores)) {
        Ok(_) => panic!("a state of another cluster was taken"),
        Err(why) => why,
    };
    assert_eq!(why.exit_code(), 66);
    let text = why.to_string();
    assert!(text.contains(&format!("cluster {:016x}", cluster.get())), "{text}");
    assert!(text.contains(&other.path().display().to_string()), "{text}");
}

#[test]
fn cold_records_are_read_at_the_same_time() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().expect("a runtime");
    let engine = Arc::new(Slow::default());
    // No lookup ends before four were under way at once.
    engine.lookups.lock().2 = 4;
    let shared: Arc<dyn Engine> = engine.clone();
    let records: Vec<_> = (0..20).map(|n| Bytes::from(format!("record {n}"))).collect();
    let started = Instant::now();
    prefetch::fetch(runtime.handle(), &shared, records);
    assert!(started.elapsed() < PATIENCE);
    let (under_way, most, _) = *engine.lookups.lock();
    assert!(under_way == 0 && most >= 4, "{most} at once");
}
