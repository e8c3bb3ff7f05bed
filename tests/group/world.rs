//! A few hosts, a network, disks and a clock, all in the test's hands: what happens is what the test says, in the
//! order it says. Machines are reduced to a list of applied payloads and a hash.
//!
//! Checked all the time: entries are applied in order and equally everywhere, and nobody serves while another node
//! may still read under an older lease.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use holdfast::base::{GroupId, LogIndex, Nanos, NodeId, PeerId, Rng, Term};
use holdfast::host::meta::{Facts, Node as MetaNode};
use holdfast::host::{
    Change, Config, Effects, Envelope, Fault, GroupStatus, Host, Input, Move, Persist, RECEIVED_SNAPSHOTS,
    SnapshotEffect, StartError, View,
};
use holdfast::machine::{self, Committed, Proposal, Role};
use holdfast::store::memory::MemoryLog;
use holdfast::store::{Log, LogState};
use protobuf::Message as _;
use raft::eraftpb::Message;

pub const TICK: Duration = Duration::from_millis(10);
/// The only partition of most tests.
pub const GROUP: GroupId = GroupId(1);

/// What a machine has: everything applied, or what a snapshot of it said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    pub applied: u64,
    pub term: u64,
    pub hash: u64,
    pub payloads: Vec<(u64, Bytes)>,
    pub conf_state: Bytes,
}

#[derive(Default)]
pub struct Machine {
    pub state: State,
    /// What a crash leaves.
    pub flushed: State,
    pub role: Option<Role>,
    pub lease: Option<(Term, Nanos)>,
    /// Whether the machine works at once; otherwise inputs wait in `inbox`.
    pub paused: bool,
    pub inbox: VecDeque<machine::Input>,
    /// Answers of the host, for tests to look at.
    pub log: Vec<machine::Input>,
    views: BTreeMap<u64, State>,
    generation: u64,
    sequence: u64,
}

pub struct Node {
    pub id: NodeId,
    pub host: Option<Host>,
    pub log: Arc<MemoryLog>,
    pub machines: BTreeMap<GroupId, Machine>,
    pub views: BTreeMap<GroupId, View>,
    /// Writes given to the disk and not yet durable.
    pub disk: VecDeque<Persist>,
    pub disk_stalled: bool,
    pub faults: Vec<Fault>,
    /// What became of leadership of [`GROUP`].
    pub changes: Vec<Change>,
    pub dropped_snapshots: Vec<u64>,
    next_received: u64,
    /// This node's clock runs ahead by this much per mille of the world's time.
    pub clock_per_mille: i64,
}

pub struct World {
    pub config: Config,
    pub facts: Facts,
    /// What they began with.
    pub beginning: Facts,
    pub nodes: BTreeMap<NodeId, Node>,
    pub now: Nanos,
    pub network: VecDeque<Envelope>,
    local: VecDeque<(NodeId, Input)>,
    pub cut: BTreeSet<(NodeId, NodeId)>,
    /// Kinds of messages that are lost, by name.
    pub lost_kinds: BTreeSet<String>,
    /// Streamed snapshots that fail.
    pub snapshots_fail: bool,
    /// Streamed snapshots that nobody ever answers for.
    pub snapshots_vanish: bool,
    pub trace: Option<Vec<String>>,
    applied: BTreeMap<(GroupId, u64), (u64, Bytes)>,
    seed: u64,
}

impl World {
    pub fn new(nodes: u64, partitions: u16, config: Config) -> World {
        let members = (1..=nodes).map(|id| MetaNode::new(NodeId(id), format!("node-{id}:16379"))).collect::<Vec<_>>();
        let facts = Facts::initial(members, partitions, 3, "test");
        let mut world = World {
            config,
            beginning: facts.clone(),
            facts,
            nodes: BTreeMap::new(),
            // Clocks do not start at zero.
            now: Nanos(1_000_000_000_000),
            network: VecDeque::new(),
            local: VecDeque::new(),
            cut: BTreeSet::new(),
            lost_kinds: BTreeSet::new(),
            snapshots_fail: false,
            snapshots_vanish: false,
            trace: None,
            applied: BTreeMap::new(),
            seed: 7,
        };
        (1..=nodes).for_each(|id| world.add(id));
        world
    }

    /// A node starts for the first time.
    pub fn add(&mut self, id: u64) {
        let node = Node {
            id: NodeId(id),
            host: None,
            log: Arc::new(MemoryLog::new()),
            machines: BTreeMap::new(),
            views: BTreeMap::new(),
            disk: VecDeque::new(),
            disk_stalled: false,
            faults: Vec::new(),
            changes: Vec::new(),
            dropped_snapshots: Vec::new(),
            next_received: RECEIVED_SNAPSHOTS,
            clock_per_mille: 0,
        };
        self.nodes.insert(NodeId(id), node);
        self.start(id).expect("a new node starts");
    }

    /// A node joins, and starts.
    pub fn join(&mut self, id: u64) {
        self.facts.join(MetaNode::new(NodeId(id), format!("node-{id}:16379")));
        self.tell_members();
        self.add(id);
    }

    /// A node is removed.
    pub fn forget(&mut self, id: u64) {
        self.facts.forget(NodeId(id)).expect("not the last one");
        self.tell_members();
    }

    fn tell_members(&mut self) {
        let groups = self.facts.groups.clone();
        for id in self.nodes.keys().copied().collect::<Vec<_>>() {
            for group in &groups {
                let (group, peers, former) = (group.id, group.peers.clone(), group.former.clone());
                self.input(id.get(), Input::Members { group, peers, former });
            }
        }
    }

    /// Three nodes, one partition, leader elected (node 2: the first slot of group 1 is rank 1's) and serving.
    pub fn ready(config: Config) -> World {
        let mut world = World::new(3, 1, config);
        world.advance(1000);
        assert_eq!(world.leader(), Some(2), "the preferred replica leads first");
        world
    }

    pub fn node(&mut self, id: u64) -> &mut Node {
        self.nodes.get_mut(&NodeId(id)).expect("a node")
    }

    pub fn machine(&mut self, id: u64) -> &mut Machine {
        self.node(id).machines.entry(GROUP).or_default()
    }

    pub fn view(&self, id: u64) -> View {
        self.nodes[&NodeId(id)].views.get(&GROUP).copied().unwrap_or_default()
    }

    pub fn status(&self, id: u64) -> GroupStatus {
        let host = self.nodes[&NodeId(id)].host.as_ref().expect("a running node");
        host.status().into_iter().find(|status| status.group == GROUP).expect("the group")
    }

    /// The serving node of the highest term.
    pub fn leader(&self) -> Option<u64> {
        let serving = self.nodes.values().filter(|node| node.host.is_some());
        let views = serving.filter_map(|node| Some((node.views.get(&GROUP)?, node.id)));
        views.filter(|(view, _)| view.serving).max_by_key(|(view, _)| view.term).map(|(_, id)| id.get())
    }

    /// Starts a node from what its disks hold.
    pub fn start(&mut self, id: u64) -> Result<(), StartError> {
        let now = self.clock(NodeId(id));
        let (facts, config, seed) = (self.facts.clone(), self.config.clone(), self.seed);
        let beginning = self.beginning.clone();
        let node = self.node(id);
        let logs: BTreeMap<GroupId, LogState> =
            node.log.load().expect("the log is whole").into_iter().map(|state| (state.group, state)).collect();
        let mut starts = facts.starts(NodeId(id), &beginning);
        for start in &mut starts {
            let machine = node.machines.entry(start.group).or_default();
            let state = machine.flushed.clone();
            start.applied = (LogIndex(state.applied), Term(state.term));
            start.hash = state.hash;
            start.conf_state = state.conf_state.clone();
            start.log = logs.get(&start.group).copied();
            *machine = Machine { state: state.clone(), flushed: state, ..Machine::default() };
        }
        node.host = Some(Host::new(&config, NodeId(id), facts.cluster, starts, node.log.clone(), seed, now)?);
        self.drain(NodeId(id));
        Ok(())
    }

    /// Power cut: unsynced log writes and unflushed state are gone.
    pub fn crash(&mut self, id: u64) {
        let node = self.node(id);
        node.host = None;
        node.disk.clear();
        node.disk_stalled = false;
        node.views.clear();
        node.log.crash(&mut Rng::new(1));
        for machine in node.machines.values_mut() {
            *machine = Machine {
                state: machine.flushed.clone(),
                flushed: std::mem::take(&mut machine.flushed),
                ..Machine::default()
            };
        }
        self.local.retain(|(to, _)| *to != NodeId(id));
    }

    /// The node's clock.
    pub fn clock(&self, id: NodeId) -> Nanos {
        let ahead = self.nodes.get(&id).map_or(0, |node| node.clock_per_mille);
        let passed = self.now.0 - 1_000_000_000_000;
        Nanos((self.now.0 as i64 + passed as i64 / 1000 * ahead) as u64)
    }

    /// One input to one node, and what follows from it there. Messages wait in the network.
    pub fn input(&mut self, id: u64, input: Input) {
        let now = self.clock(NodeId(id));
        if let Some(host) = &mut self.node(id).host {
            host.handle(now, input);
            self.drain(NodeId(id));
        }
    }

    /// Time passes on all nodes, tick by tick, everything delivered in between.
    pub fn advance(&mut self, ms: u64) {
        for _ in 0..ms / 10 {
            self.now = self.now + TICK;
            for id in self.nodes.keys().copied().collect::<Vec<_>>() {
                self.input(id.get(), Input::Tick);
            }
            self.settle();
        }
    }

    /// Advances until a condition holds, at most ten seconds. Returns the milliseconds it took.
    pub fn until(&mut self, mut condition: impl FnMut(&mut World) -> bool) -> u64 {
        for passed in 0..1000 {
            if condition(self) {
                return passed * 10;
            }
            self.advance(10);
        }
        panic!("nothing happened for ten seconds");
    }

    /// Delivers everything until nothing moves.
    pub fn settle(&mut self) {
        for _ in 0..100_000 {
            if let Some((id, input)) = self.local.pop_front() {
                self.input(id.get(), input);
            } else if !self.deliver_one() {
                return;
            }
        }
        panic!("the nodes never stop talking");
    }

    /// The oldest input that a node has for itself.
    pub fn pop_local(&mut self) -> Option<(NodeId, Input)> {
        self.local.pop_front()
    }

    /// Delivers the oldest message in the network.
    pub fn deliver_one(&mut self) -> bool {
        let Some(envelope) = self.network.pop_front() else { return false };
        if self.passes(&envelope) {
            self.input(envelope.to.get(), Input::Message(envelope));
        }
        true
    }

    fn passes(&self, envelope: &Envelope) -> bool {
        self.nodes.contains_key(&envelope.to)
            && !self.cut.contains(&(envelope.from, envelope.to))
            && !self.lost_kinds.contains(&kind(envelope))
    }

    /// Both directions between two nodes.
    pub fn cut_link(&mut self, a: u64, b: u64) {
        self.cut.extend([(NodeId(a), NodeId(b)), (NodeId(b), NodeId(a))]);
    }

    /// Everything from and to a node.
    pub fn isolate(&mut self, id: u64) {
        for other in self.nodes.keys().copied().filter(|other| *other != NodeId(id)).collect::<Vec<_>>() {
            self.cut_link(id, other.get());
        }
    }

    pub fn heal(&mut self) {
        self.cut.clear();
    }

    /// What is queued on a node's disk becomes durable.
    pub fn sync_disk(&mut self, id: u64) {
        while let Some(persist) = self.node(id).disk.pop_front() {
            let node = self.node(id);
            node.log.append(&persist.writes).expect("the memory log takes it");
            self.local.push_back((NodeId(id), Input::Persisted(persist.number)));
        }
    }

    /// The state of a node's group becomes durable.
    pub fn flush(&mut self, id: u64) {
        let machine = self.machine(id);
        machine.flushed = machine.state.clone();
        let index = LogIndex(machine.flushed.applied);
        self.input(id, Input::Flushed { group: GROUP, index });
    }

    /// What a machine of this node would propose: a payload in the term that it believes to lead.
    pub fn propose(&mut self, id: u64, payload: &str) {
        let machine = self.machine(id);
        let term = match machine.role {
            Some(Role::Leader { term, .. }) => term,
            _ => Term(0),
        };
        let (generation, sequence) = (machine.generation, machine.sequence);
        machine.sequence += 1;
        let data = Bytes::from([&[1], payload.as_bytes()].concat());
        self.input(id, Input::Propose(Proposal { group: GROUP, generation, sequence, term, data }));
    }

    /// After a dropped proposal a machine starts over.
    pub fn next_generation(&mut self, id: u64) {
        let machine = self.machine(id);
        machine.generation += 1;
        machine.sequence = 0;
    }

    /// Payloads applied by a node, in order.
    pub fn payloads(&mut self, id: u64) -> Vec<String> {
        let payloads = &self.machine(id).state.payloads;
        payloads.iter().map(|(_, data)| String::from_utf8_lossy(&data[1..]).into_owned()).collect()
    }

    /// Lets a paused machine work again.
    pub fn resume_machine(&mut self, id: u64) {
        let machine = self.machine(id);
        machine.paused = false;
        for input in std::mem::take(&mut machine.inbox) {
            self.machine_input(NodeId(id), GROUP, input);
        }
    }

    fn drain(&mut self, id: NodeId) {
        let now = self.clock(id);
        let Some(host) = &mut self.node(id.get()).host else { return };
        let effects = host.ready(now);
        self.perform(id, effects);
    }

    fn perform(&mut self, id: NodeId, effects: Effects) {
        for (group, input) in &effects.machine {
            // Rule 37: whoever sees a committed entry's effect sees the commit index that contains it.
            if let machine::Input::Commit(entries) = input {
                let told = effects.publish.iter().find(|view| view.group == *group);
                let known = told.or(self.nodes[&id].views.get(group)).map_or(0, |view| view.commit.get());
                assert!(entries.last().is_some_and(|last| last.index.get() <= known), "rule 37");
            }
        }
        for view in effects.publish {
            self.check_lease(id, view);
            self.node(id.get()).views.insert(view.group, view);
        }
        if let Some(persist) = effects.persist {
            for write in &persist.writes {
                assert!(write.records.is_empty() || write.hard_state.is_some(), "rule 4: {write:?}");
            }
            self.node(id.get()).disk.push_back(persist);
        }
        if !self.node(id.get()).disk_stalled {
            self.sync_disk(id.get());
        }
        for envelope in effects.send {
            // Rule 37: no peer learns of a commit index before the readers of this node.
            let told = self.nodes[&id].views.get(&envelope.group).map_or(0, |view| view.commit.get());
            let commit = decode(&envelope).commit;
            assert!(commit <= told, "rule 37: {} tells of {commit}, readers know {told}", describe(&envelope));
            if envelope.group == GROUP {
                self.note(|| describe(&envelope));
            }
            self.network.push_back(envelope);
        }
        for (group, input) in effects.machine {
            self.machine_input(id, group, input);
        }
        for effect in effects.snapshots {
            self.snapshot(id, effect);
        }
        let changes = effects.moves.iter().filter_map(|told| match told {
            Move::Changed(GROUP, change) => Some(*change),
            _ => None,
        });
        let node = self.node(id.get());
        node.changes.extend(changes);
        node.faults.extend(effects.faults);
    }

    fn machine_input(&mut self, id: NodeId, group: GroupId, input: machine::Input) {
        let node = self.nodes.get_mut(&id).expect("a node");
        let machine = node.machines.entry(group).or_default();
        if machine.paused {
            machine.inbox.push_back(input);
            return;
        }
        machine.log.push(input.clone());
        let mut answer = None;
        match input {
            machine::Input::Role(role) => machine.role = Some(role),
            machine::Input::Lease { term, until } => {
                machine.lease = Some((term, until));
                if until == Nanos(0) {
                    answer = Some(Input::LeaseReleased { group, term });
                }
            }
            machine::Input::Commit(entries) => {
                let mut hash = 0;
                for entry in entries {
                    hash = machine.state.apply(&entry);
                    let seen = self.applied.entry((group, entry.index.get()));
                    let first = seen.or_insert((entry.term.get(), entry.data.clone()));
                    assert_eq!(first, &(entry.term.get(), entry.data.clone()), "entry {} differs", entry.index);
                    assert_eq!(machine.state.applied, entry.index.get());
                }
                let index = LogIndex(machine.state.applied);
                answer = Some(Input::Applied { group, index, hash });
            }
            machine::Input::Installed { index, term } => {
                assert_eq!((machine.state.applied, machine.state.term), (index.get(), term.get()));
                answer = Some(Input::Applied { group, index, hash: machine.state.hash });
            }
            _ => {}
        }
        self.local.extend(answer.map(|input| (id, input)));
    }

    fn snapshot(&mut self, id: NodeId, effect: SnapshotEffect) {
        match effect {
            SnapshotEffect::Take { group, snapshot } => {
                self.note(|| format!("{id} takes snapshot {snapshot}"));
                let machine = self.node(id.get()).machines.entry(group).or_default();
                let state = machine.state.clone();
                let (index, term) = (LogIndex(state.applied), Term(state.term));
                let conf_state = state.conf_state.clone();
                machine.views.insert(snapshot, state);
                self.local.push_back((id, Input::SnapshotTaken { group, snapshot, index, term, conf_state }));
            }
            SnapshotEffect::Send { envelope, snapshot } => {
                self.note(|| format!("{} with snapshot {snapshot}", describe(&envelope)));
                let group = envelope.group;
                let machine = self.node(id.get()).machines.entry(group).or_default();
                let state = machine.views.remove(&snapshot).expect("a view that was taken");
                let to_peer = envelope.to_peer;
                let delivered = self.passes(&envelope) && !self.snapshots_fail && !self.snapshots_vanish;
                if delivered && self.nodes[&envelope.to].host.is_some() {
                    let to = envelope.to;
                    let node = self.node(to.get());
                    node.next_received += 1;
                    let number = node.next_received;
                    node.machines.entry(group).or_default().views.insert(number, state);
                    self.local.push_back((to, Input::SnapshotReceived { envelope, snapshot: number }));
                }
                if !self.snapshots_vanish {
                    self.local.push_back((id, Input::SnapshotSent { group, snapshot, to_peer, delivered }));
                }
            }
            SnapshotEffect::Install { group, snapshot, index, term, conf_state } => {
                self.note(|| format!("{id} installs a snapshot at {index}"));
                let node = self.node(id.get());
                let writes = node.disk.iter().flat_map(|persist| &persist.writes);
                let earlier = writes.filter(|write| write.group == group && write.hard_state.is_some()).count();
                assert_eq!(earlier, 0, "rule 20: earlier writes are durable before a snapshot is installed");
                let machine = node.machines.entry(group).or_default();
                let mut state = machine.views.remove(&snapshot).expect("a snapshot that was received");
                assert_eq!((state.applied, state.term), (index.get(), term.get()));
                state.conf_state = conf_state;
                machine.state = state.clone();
                machine.flushed = state;
                self.local.push_back((id, Input::SnapshotInstalled { group, snapshot }));
            }
            SnapshotEffect::Drop { group, snapshot } => {
                self.note(|| format!("{id} drops snapshot {}", snapshot % RECEIVED_SNAPSHOTS));
                let node = self.node(id.get());
                node.dropped_snapshots.push(snapshot);
                node.machines.entry(group).or_default().views.remove(&snapshot);
            }
        }
    }

    /// Rule 34: whoever serves in a term, no lease of an earlier term is valid anywhere.
    fn check_lease(&self, id: NodeId, view: View) {
        if !view.serving {
            return;
        }
        for other in self.nodes.values().filter(|other| other.id != id && other.host.is_some()) {
            let Some(theirs) = other.views.get(&view.group) else { continue };
            let until = theirs.lease_until;
            let valid = theirs.serving && theirs.term < view.term && until > self.clock(other.id);
            assert!(!valid, "{id} serves in term {} while {} reads until {}", view.term, other.id, until.0);
        }
    }

    fn note(&mut self, line: impl FnOnce() -> String) {
        if let Some(trace) = &mut self.trace {
            trace.push(line());
        }
    }
}

impl State {
    fn apply(&mut self, entry: &Committed) -> u64 {
        assert_eq!(entry.index.get(), self.applied + 1, "entries come without gaps");
        self.applied = entry.index.get();
        self.term = entry.term.get();
        self.hash = self.hash.wrapping_mul(31).wrapping_add(entry.data.iter().map(|&b| u64::from(b)).sum::<u64>() + 1);
        if !entry.data.is_empty() {
            self.payloads.push((self.applied, entry.data.clone()));
        }
        if let Some(conf_state) = &entry.conf_state {
            self.conf_state = conf_state.clone();
        }
        self.hash
    }
}

/// Bytes before the Raft message.
pub const HEADER: usize = 42;

pub fn decode(envelope: &Envelope) -> Message {
    Message::parse_from_bytes(&envelope.message[HEADER..]).expect("a raft message")
}

/// The same envelope around another Raft message.
pub fn forge(envelope: &Envelope, change: impl FnOnce(&mut Message)) -> Envelope {
    let mut message = decode(envelope);
    change(&mut message);
    let mut bytes = envelope.message[..HEADER].to_vec();
    message.write_to_vec(&mut bytes).expect("plain data");
    Envelope { message: bytes.into(), ..envelope.clone() }
}

/// `MsgAppend`, `MsgHeartbeat` ...
pub fn kind(envelope: &Envelope) -> String {
    format!("{:?}", decode(envelope).get_msg_type())
}

fn describe(envelope: &Envelope) -> String {
    format!("{}->{} {}", envelope.from, envelope.to, holdfast::group::describe(&envelope.message))
}

/// A message as if it came from a node's replica.
pub fn envelope(world: &World, from: u64, to: u64, build: impl FnOnce(&mut Message)) -> Envelope {
    let mut message = Message::default();
    (message.from, message.to) = (from, to);
    build(&mut message);
    let mut bytes = vec![0; HEADER];
    bytes[0] = 1;
    message.write_to_vec(&mut bytes).expect("plain data");
    Envelope {
        cluster: world.facts.cluster,
        group: GROUP,
        epoch: 0,
        from: NodeId(from),
        to: NodeId(to),
        from_peer: PeerId(from),
        to_peer: PeerId(to),
        message: bytes.into(),
    }
}
