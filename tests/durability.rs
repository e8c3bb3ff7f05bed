//! State and log together, on RocksDB: one node of host, machines and both databases, driven by hand, loses power at
//! chosen moments and starts from what its files hold.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use holdfast::base::{GroupId, LogIndex, Millis, Nanos, NodeId, Rng, SlotRange, Term, Ticket};
use holdfast::command::batch::{Call, Unit};
use holdfast::data::{Head, Thresholds};
use holdfast::host::meta::{self, Facts, Node as MetaNode};
use holdfast::host::{Config, Host, Input};
use holdfast::machine::{self, Machine, Now, Output, Settings, State, Submission};
use holdfast::resp::Protocol;
use holdfast::store::memory::MemoryEngine;
use holdfast::store::rocks::{LogOptions, RocksEngine, RocksLog, StateOptions};
use holdfast::store::snapshot::{Receiver, Sender, ranges};
use holdfast::store::{Batch, Engine, HardState, Log, LogRecord, LogWrite, Order, Read, keys};

const GROUP: GroupId = GroupId(1);
const NODE: NodeId = NodeId(1);

/// A running node.
struct Node {
    home: tempfile::TempDir,
    engine: Arc<RocksEngine>,
    log: Arc<RocksLog>,
    host: Host,
    machines: BTreeMap<GroupId, Machine>,
    now: Nanos,
    replies: Vec<Ticket>,
}

impl Node {
    /// Starts from the files in `home`.
    fn start(home: tempfile::TempDir) -> Node {
        let state = StateOptions { block_cache_bytes: 1 << 20, write_buffer_bytes: 1 << 20, ..StateOptions::default() };
        let engine = Arc::new(RocksEngine::open(&home.path().join("state"), &state).expect("the state opens"));
        let log = Arc::new(RocksLog::open(&home.path().join("raft"), &LogOptions::default()).expect("the log opens"));
        let logs = log.load().expect("the log is whole");
        let node = MetaNode::new(NODE, "127.0.0.1:1");
        let facts = Facts::initial(vec![node], 1, 1, "test");
        let mut starts = facts.starts(NODE, &facts);
        let mut machines = BTreeMap::new();
        for start in &mut starts {
            let content = meta::content((start.group == GROUP).then_some(SlotRange::ALL));
            let settings = Settings::new(Thresholds::default());
            let machine =
                Machine::new(start.group, content, start.epoch, engine.clone(), settings, 1).expect("a state");
            let State { applied, term, hash, conf_state, .. } = machine.state().clone();
            (start.applied, start.hash, start.conf_state) = ((applied, term), hash, conf_state);
            start.log = logs.iter().find(|log| log.group == start.group).copied();
            machines.insert(start.group, machine);
        }
        let now = Nanos(1_000_000_000);
        // Everything that may be cut is.
        let config = Config { log_entries_kept: 0, tail_bytes_kept: 0, ..Config::default() };
        let host = Host::new(&config, NODE, facts.cluster, starts, log.clone(), 1, now)
            .unwrap_or_else(|why| panic!("a power cut left what no node can start from: {why}"));
        let mut node = Node { home, engine, log, host, machines, now, replies: Vec::new() };
        for _ in 0..10 {
            node.now = node.now + Duration::from_millis(10);
            node.host.handle(node.now, Input::Tick);
            node.settle();
        }
        node
    }

    /// Does what host and machines want until they want nothing more.
    fn settle(&mut self) {
        loop {
            let effects = self.host.ready(self.now);
            let mut busy = false;
            if let Some(persist) = effects.persist {
                busy = true;
                self.log.append(&persist.writes).expect("the disk works");
                self.host.handle(self.now, Input::Persisted(persist.number));
            }
            assert!(effects.faults.is_empty(), "{:?}", effects.faults);
            let now = Now { wall: Millis(1), mono: self.now };
            for (group, input) in effects.machine {
                let mut out = Vec::new();
                let machine = self.machines.get_mut(&group).expect("a machine");
                machine.handle(now, input, &mut out).expect("the engine works");
                self.outputs(group, out);
                busy = true;
            }
            for group in [GroupId(0), GROUP] {
                let mut out = Vec::new();
                self.machines.get_mut(&group).expect("a machine").turn(now, &mut out).expect("the engine works");
                busy |= !out.is_empty();
                self.outputs(group, out);
            }
            if !busy {
                return;
            }
        }
    }

    fn outputs(&mut self, group: GroupId, out: Vec<Output>) {
        for output in out {
            let input = match output {
                Output::Propose(proposal) => Input::Propose(proposal),
                Output::ConfirmLeadership(number) => Input::ConfirmLeadership { group, number },
                Output::LeaseReleased(term) => Input::LeaseReleased { group, term },
                Output::Applied(index) => Input::Applied { group, index, hash: self.machines[&group].state().hash },
                // Nobody listens here.
                Output::Published(..) | Output::Changed(_) => continue,
                Output::Reply(ticket, _) => {
                    self.replies.push(ticket);
                    continue;
                }
                Output::Refused(ticket, why) => panic!("{ticket} was refused: {why:?}"),
                Output::Unknown(ticket) => panic!("{ticket} is in doubt"),
            };
            self.host.handle(self.now, input);
        }
    }

    /// Writes and waits for the acknowledgement.
    fn set(&mut self, ticket: u64, key: &str, value: Bytes) {
        let args = vec![Bytes::from_static(b"SET"), Bytes::copy_from_slice(key.as_bytes()), value];
        let units = vec![Unit::Call(Call::new(0, Protocol::Resp2, args))];
        let submission = Submission { ticket: Ticket(ticket), origin: None, units: Arc::new(units) };
        let now = Now { wall: Millis(1), mono: self.now };
        let mut out = Vec::new();
        let machine = self.machines.get_mut(&GROUP).expect("a machine");
        machine.handle(now, machine::Input::Submit(submission), &mut out).expect("the engine works");
        self.outputs(GROUP, out);
        self.settle();
        assert_eq!(self.replies.pop(), Some(Ticket(ticket)), "a single node answers at once");
    }

    /// Flushes the state and lets the host cut the log behind it.
    fn flush(&mut self) {
        self.engine.flush().expect("the disk works");
        self.cut();
    }

    /// Tells the host how far the state is durable, whether or not a flush was just asked for.
    fn cut(&mut self) {
        for group in [GroupId(0), GROUP] {
            let index = State::persisted(&*self.engine, group).expect("the state can be read");
            self.host.handle(self.now, Input::Flushed { group, index });
        }
        self.settle();
    }

    fn get(&self, key: &str) -> Option<Bytes> {
        let record = self.engine.get(&keys::head(0, key.as_bytes())).expect("the state can be read")?;
        Some(Head::decode(&record).expect("a record").payload)
    }

    fn first(&self) -> LogIndex {
        self.host.status().into_iter().find(|status| status.group == GROUP).expect("the group").first
    }

    /// The power fails: what is in files is copied, everything else is gone.
    fn lose_power(self) -> tempfile::TempDir {
        let left = tempfile::tempdir().expect("a directory");
        for part in ["state", "raft"] {
            copy(&self.home.path().join(part), &left.path().join(part));
        }
        left
    }
}

/// Copies the files of a database in use, again when its background work changed them meanwhile.
fn copy(from: &Path, to: &Path) {
    for _ in 0..100 {
        let _ = fs::remove_dir_all(to);
        fs::create_dir(to).expect("a directory");
        let before = files(from);
        let copies = before.iter().map(|(name, _)| fs::copy(from.join(name), to.join(name)));
        if copies.collect::<Result<Vec<_>, _>>().is_ok() && files(from) == before {
            return;
        }
    }
    panic!("the files of {} do not come to rest", from.display());
}

/// Names and sizes of a directory's files; RocksDB's text log is left out.
fn files(directory: &Path) -> Vec<(OsString, u64)> {
    let facts =
        |entry: fs::DirEntry| Some((entry.file_name(), entry.metadata().ok().filter(fs::Metadata::is_file)?.len()));
    let entries = fs::read_dir(directory).expect("a directory").filter_map(|entry| facts(entry.ok()?));
    let mut files: Vec<_> = entries.filter(|(name, _)| name != "LOG").collect();
    files.sort();
    files
}

/// Tables are flushed by RocksDB whenever it likes and by the node now and then, the log is cut as far as it may be, and
/// the power fails at any time. What a node starts from then is always whole: the log holds what the state lost.
#[test]
fn rule_18_whatever_the_state_loses_the_log_still_holds() {
    let mut rng = Rng::new(5);
    let mut node = Node::start(tempfile::tempdir().expect("a directory"));
    let mut expected = BTreeMap::new();
    let (mut cuts, mut lost) = (0, 0);
    for step in 1..=250 {
        let key = format!("key-{}", rng.below(50));
        let value = Bytes::from((0..8 << 10).map(|_| rng.next() as u8).collect::<Vec<_>>());
        node.set(step, &key, value.clone());
        expected.insert(key, value);
        let before = node.first();
        match rng.below(12) {
            0 => node.flush(),
            1..=3 => node.cut(),
            _ => {}
        }
        cuts += usize::from(node.first() > before);
        if rng.chance(1, 25) {
            let applied = node.machines[&GROUP].state().applied;
            let persisted = State::persisted(&*node.engine, GROUP).expect("the state can be read");
            lost += usize::from(persisted < applied);
            node = Node::start(node.lose_power());
            for (key, value) in &expected {
                assert_eq!(node.get(key).as_ref(), Some(value), "{key} after step {step}");
            }
        }
    }
    assert!(cuts > 12 && lost > 3, "{cuts} cuts, {lost} times state was lost: nothing was tried");
}

/// A follower at entry 10 installs a snapshot of entry 50 and the power fails between any two steps, as rule 20 orders
/// them: flush, one ingestion, reset of the log. It starts from the old state or from the new one, never from parts of
/// both, and brings the log to it.
#[test]
fn rule_20_a_power_cut_at_any_step_of_an_installation_leaves_the_old_state_or_the_new() {
    let head = |name: String| keys::head(0, name.as_bytes());
    let state = |applied, term| State { applied: LogIndex(applied), term: Term(term), epoch: 1, ..State::default() };
    let contents = |engine: &dyn Engine| {
        let mut found = Vec::new();
        let (start, end) = keys::slots(SlotRange::ALL);
        engine
            .scan(&start, &end, Order::Forward, &mut |key, _| {
                found.push(Bytes::copy_from_slice(key));
                ControlFlow::Continue(())
            })
            .expect("the state can be read");
        found
    };
    let fill = |engine: &dyn Engine, names: std::ops::Range<u64>, state: &State| {
        let mut batch = Batch::default();
        names.for_each(|n| batch.put(head(format!("key-{n}")), format!("of {}", state.applied)));
        batch.put(keys::applied(GROUP), state.encode());
        engine.write(&batch).expect("the engine works");
        contents(engine)
    };
    let (old_state, new_state) = (state(10, 2), state(50, 3));
    let sender = MemoryEngine::new();
    let new = fill(&sender, 100..400, &new_state);
    let ranges = ranges(GROUP, Some(SlotRange::ALL));
    let mut chunks = Sender::new(sender.snapshot().expect("a view"), ranges.clone()).in_chunks_of(1_000);
    let mut received = Receiver::new(Vec::new());
    while let Some(chunk) = chunks.next_chunk().expect("a chunk") {
        received.accept(chunk).expect("a good chunk");
    }

    let home = tempfile::tempdir().expect("a directory");
    let open = |home: &Path| {
        let engine = RocksEngine::open(&home.join("state"), &StateOptions::default()).expect("the state opens");
        let log = RocksLog::open(&home.join("raft"), &LogOptions::default()).expect("the log opens");
        (engine, Arc::new(log))
    };
    let (engine, log) = open(home.path());
    let old = fill(&engine, 0..200, &old_state);
    let record = |index| LogRecord { index: LogIndex(index), term: Term(2), data: Bytes::new() };
    let hard_state = HardState { term: Term(3), vote: 0, commit: LogIndex(10) };
    let write = LogWrite { group: GROUP, hard_state: Some(hard_state), ..LogWrite::default() };
    log.append(&[LogWrite { records: (1..=12).map(record).collect(), ..write.clone() }]).expect("the disk works");

    let nodes = (1..=3).map(|id| MetaNode::new(NodeId(id), format!("127.0.0.1:{id}"))).collect();
    let facts = Facts::initial(nodes, 1, 3, "test");
    let mut steps: [Box<dyn FnMut()>; 4] = [
        Box::new(|| ()),
        Box::new(|| engine.flush().expect("the disk works")),
        Box::new(|| received.install(&engine, &ranges).expect("the disk works")),
        Box::new(|| {
            let hard_state = Some(HardState { commit: LogIndex(50), ..hard_state });
            let reset = Some((LogIndex(50), Term(3)));
            log.append(&[LogWrite { reset, hard_state, ..write.clone() }]).expect("the disk works");
        }),
    ];
    for (step, expected) in
        [None, Some((&old_state, &old)), Some((&new_state, &new)), Some((&new_state, &new))].into_iter().enumerate()
    {
        steps[step]();
        let left = tempfile::tempdir().expect("a directory");
        for part in ["state", "raft"] {
            copy(&home.path().join(part), &left.path().join(part));
        }
        // Twice: what the first start repairs must be as good a beginning.
        for start in 1..=2 {
            let (engine, log) = open(left.path());
            let state = State::load(&engine, GROUP).expect("the state can be read");
            assert_eq!(state.as_ref(), expected.map(|(state, _)| state), "step {step}, start {start}");
            assert!(contents(&engine) == *expected.map_or(&Vec::new(), |(_, keys)| keys), "step {step}, start {start}");
            let State { applied, term, hash, conf_state, .. } = state.unwrap_or_default();
            let mut starts = facts.starts(NODE, &facts);
            starts.retain(|start| start.group == GROUP);
            (starts[0].applied, starts[0].hash, starts[0].conf_state) = ((applied, term), hash, conf_state);
            starts[0].log = log.load().expect("the log is whole").into_iter().find(|log| log.group == GROUP);
            let mut host =
                Host::new(&Config::default(), NODE, facts.cluster, starts, log.clone(), 1, Nanos(1_000_000_000))
                    .unwrap_or_else(|why| panic!("step {step}, start {start}: {why}"));
            let effects = host.ready(Nanos(1_000_000_001));
            assert_eq!(
                effects.persist.is_some(),
                (step, start) == (2, 1),
                "only a state ahead of its log needs repair"
            );
            if let Some(persist) = effects.persist {
                log.append(&persist.writes).expect("the disk works");
            }
            let status = host.status();
            let last = if step < 2 { LogIndex(12) } else { LogIndex(50) };
            assert_eq!((status[0].last, status[0].term), (last, Term(3)), "step {step}, start {start}");
        }
    }
}
