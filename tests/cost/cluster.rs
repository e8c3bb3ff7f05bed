//! Three nodes in one thread: hosts, machines and their stores as the simulator has them, without its faults and judges,
//! so that what is counted is what the product does. Everything happens in a fixed order, and time stands still.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use holdfast::base::{ClusterId, GroupId, LogIndex, Millis, Nanos, NodeId, PeerId, SlotRange, Term, Ticket};
use holdfast::command::Call;
use holdfast::command::batch::{Unit, UnitReply};
use holdfast::data::{Moment, Thresholds, Usage};
use holdfast::host::{self, Config, Envelope, GroupStart, Host};
use holdfast::machine::{self, Content, Facts, InMemory, Local, Machine, Now, Output, Submission, read_local};
use holdfast::resp::{Bounds, Decoder, Protocol};
use holdfast::store::generation::Generations;
use holdfast::store::memory::{MemoryEngine, MemoryLog};
use holdfast::store::{Engine, Log};

const GROUP: GroupId = GroupId(1);
const NODES: u64 = 3;
/// Nothing is frozen while it is counted.
const GENERATION_BYTES: u64 = 64 << 20;
/// An election takes less.
const TICKS_MAX: u32 = 1_000;

struct Node {
    host: Host,
    machine: Machine,
    engine: Arc<dyn Engine>,
    log: Arc<MemoryLog>,
    outputs: Vec<Output>,
}

/// A cluster of one group, and the connection of a client.
pub struct Cluster {
    nodes: Vec<Node>,
    leader: Option<usize>,
    mail: Vec<Envelope>,
    now: Now,
    ticket: u64,
    decoder: Decoder,
    input: BytesMut,
    reply: BytesMut,
    usage: Usage,
}

impl Cluster {
    /// With a leader that serves.
    pub fn started() -> Cluster {
        let now = Now { wall: Millis(1_000_000), mono: Nanos(1_000_000_000) };
        let mut cluster = Cluster {
            nodes: (1..=NODES).map(|id| node(NodeId(id), now.mono)).collect(),
            leader: None,
            mail: Vec::new(),
            now,
            ticket: 0,
            decoder: Decoder::default(),
            input: BytesMut::new(),
            reply: BytesMut::new(),
            usage: Usage::default(),
        };
        for _ in 0..TICKS_MAX {
            cluster.now.mono = cluster.now.mono + Duration::from_millis(10);
            for n in 0..cluster.nodes.len() {
                cluster.nodes[n].host.handle(cluster.now.mono, host::Input::Tick);
            }
            cluster.settle();
            if cluster.leader.is_some() {
                return cluster;
            }
        }
        panic!("nobody leads after {TICKS_MAX} ticks");
    }

    /// Runs requests that arrived together at the leader, to the last reply.
    pub fn run(&mut self, requests: &[Vec<u8>]) {
        requests.iter().for_each(|request| self.input.extend_from_slice(request));
        let mut units = Vec::with_capacity(requests.len());
        while let Some(args) = self.decoder.decode(&mut self.input, &Bounds::AUTHENTICATED).expect("a request") {
            units.push(Unit::Call(Call::new(0, Protocol::Resp2, args)));
        }
        self.ticket += 1;
        let submission = Submission { ticket: Ticket(self.ticket), origin: None, units: Arc::new(units) };
        let leader = self.leader.expect("started");
        self.tell(leader, machine::Input::Submit(submission));
        self.reply.clear();
        self.settle();
        let ok = self.reply.chunks(5).filter(|reply| *reply == b"+OK\r\n").count();
        assert_eq!(ok, requests.len(), "{:?}", self.reply);
    }

    /// Answers a read at the leader as a connection's own task does.
    pub fn read(&mut self, request: &[u8]) {
        self.input.extend_from_slice(request);
        let args = self.decoder.decode(&mut self.input, &Bounds::AUTHENTICATED).expect("a request").expect("all of it");
        let call = Call::new(0, Protocol::Resp2, args);
        let node = &self.nodes[self.leader.expect("started")];
        let version = node.machine.version();
        let moment = Moment { stamp: node.machine.state().stamp, clock: self.now.wall };
        let (thresholds, events, seed) = (Thresholds::default(), version.events(), self.ticket);
        let facts = Facts { group: GROUP, slots: SlotRange::ALL, moment, thresholds, events, seed };
        self.reply.clear();
        let view = InMemory::new(&*node.engine, &version);
        let done = read_local(&view, &facts, &self.usage, &call, &mut self.reply).expect("memory does not fail");
        assert!(done == Local::Done && self.reply.starts_with(b"$100\r\n"), "{done:?} {:?}", self.reply);
    }

    /// Until nothing is left to be done.
    fn settle(&mut self) {
        loop {
            let mut idle = true;
            for n in 0..self.nodes.len() {
                idle &= !self.effects(n);
                idle &= !self.turn(n);
            }
            for envelope in std::mem::take(&mut self.mail) {
                idle = false;
                let to = envelope.to.get() as usize - 1;
                self.nodes[to].host.handle(self.now.mono, host::Input::Message(envelope));
            }
            if idle {
                return;
            }
        }
    }

    /// Does what a host wants; whether there was anything.
    fn effects(&mut self, n: usize) -> bool {
        let node = &mut self.nodes[n];
        let effects = node.host.ready(self.now.mono);
        assert!(effects.faults.is_empty() && effects.snapshots.is_empty(), "{effects:?}");
        let mut any = !effects.send.is_empty() || !effects.machine.is_empty();
        if effects.publish.iter().any(|view| view.serving) {
            self.leader = Some(n);
        }
        if let Some(persist) = effects.persist {
            any = true;
            node.log.append(&persist.writes).expect("memory does not fail");
            node.host.handle(self.now.mono, host::Input::Persisted(persist.number));
        }
        self.mail.extend(effects.send);
        for (_, input) in effects.machine {
            self.tell(n, input);
        }
        any
    }

    fn tell(&mut self, n: usize, input: machine::Input) {
        let node = &mut self.nodes[n];
        node.machine.handle(self.now, input, &mut node.outputs).expect("memory does not fail");
    }

    /// A machine makes entries of what waits, and is heard; whether it said anything.
    fn turn(&mut self, n: usize) -> bool {
        let node = &mut self.nodes[n];
        node.machine.turn(self.now, &mut node.outputs).expect("memory does not fail");
        let any = !node.outputs.is_empty();
        for output in node.outputs.drain(..) {
            let input = match output {
                Output::Propose(proposal) => host::Input::Propose(proposal),
                Output::ConfirmLeadership(number) => host::Input::ConfirmLeadership { group: GROUP, number },
                Output::LeaseReleased(term) => host::Input::LeaseReleased { group: GROUP, term },
                Output::Applied(index) => host::Input::Applied { group: GROUP, index, hash: node.machine.state().hash },
                Output::Reply(_, replies) => {
                    for reply in replies {
                        let UnitReply::Call(reply) = reply else { panic!("no reply of a call: {reply:?}") };
                        self.reply.extend_from_slice(&reply);
                    }
                    continue;
                }
                Output::Published(..) | Output::Changed(_) => continue,
                Output::Refused(..) | Output::Unknown(_) => panic!("a healthy cluster answers: {output:?}"),
            };
            node.host.handle(self.now.mono, input);
        }
        any
    }
}

fn node(id: NodeId, now: Nanos) -> Node {
    let engine: Arc<dyn Engine> = Arc::new(Generations::new(Arc::new(MemoryEngine::new()), GENERATION_BYTES));
    let settings = machine::Settings::new(Thresholds::default());
    let machine = Machine::new(GROUP, Content::Keys(SlotRange::ALL), 1, engine.clone(), settings, 1);
    let log = Arc::new(MemoryLog::new());
    let peers: BTreeMap<_, _> = (1..=NODES).map(|n| (PeerId(n), NodeId(n))).collect();
    let start = GroupStart {
        group: GROUP,
        peer: PeerId(id.get()),
        voters: peers.keys().copied().collect(),
        peers,
        former: BTreeMap::new(),
        epoch: 1,
        conf_state: Default::default(),
        applied: (LogIndex(0), Term(0)),
        hash: 0,
        log: None,
    };
    let host = Host::new(&Config::default(), id, ClusterId(1), vec![start], log.clone(), 1, now);
    Node {
        host: host.expect("an empty node starts"),
        machine: machine.expect("an empty engine has no state"),
        engine,
        log,
        outputs: Vec::new(),
    }
}
