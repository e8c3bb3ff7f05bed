//! Forwarders and machines of three nodes over a Raft made of a few lists: elections, entries that get lost, late
//! acknowledgements to a leader that is none any more, links that break with frames and answers on them.
//!
//! Every write appends its own name to one list and every read returns the list, so the final list is the order in
//! which things happened, and tells of each promise whether it was kept: nothing twice, nothing acknowledged lost,
//! nothing that was denied there, no read older than what was acknowledged before it began.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use holdfast::base::{GroupId, LogIndex, Millis, Nanos, NodeId, Rng, SessionId, SlotRange, Term, Ticket};
use holdfast::command::batch::{Call, Unit, UnitReply};
use holdfast::data::{Head, Thresholds};
use holdfast::machine::{self, Committed, Content, Input, Machine, Now, Proposal, Role, Settings, Submission};
use holdfast::resp::Protocol;
use holdfast::service::forward::{Answer, Bounds, Forwarder, Output};
use holdfast::service::node::Outcome;
use holdfast::store::memory::MemoryEngine;
use holdfast::store::{Read, keys};

const GROUP: GroupId = GroupId(1);
const NODES: usize = 3;
const SEEDS: u64 = 1_000;
const STEPS: u64 = 600;

/// Who waits for a machine's answer.
#[derive(Clone, Copy)]
enum Asker {
    Here(Ticket),
    There(usize, Ticket),
}

/// What lies on a link between two nodes.
enum Packet {
    Batch(Submission),
    Answer(Ticket, Answer),
}

struct Node {
    engine: Arc<MemoryEngine>,
    machine: Machine,
    forwarder: Forwarder,
    /// Term and payload, from index 1.
    log: Vec<(Term, Bytes)>,
    term: Term,
    /// It believes to lead in `term`.
    leads: bool,
    /// By follower: how far it acknowledged this leader's log. Acknowledgements outlive their senders' loyalty.
    matched: [usize; NODES],
    commit: usize,
    /// The newest generation of proposals of which one was refused.
    refused: u64,
    /// Confirmations asked for.
    rounds: Vec<u64>,
    askers: BTreeMap<Ticket, Asker>,
    tickets: u64,
    outputs: Vec<machine::Output>,
    wanted: Vec<Output>,
}

impl Node {
    fn list(&self) -> Vec<String> {
        let record = self.engine.get(&keys::head(0, b"list")).expect("the engine does not fail");
        record.map_or(Vec::new(), |record| names(&Head::decode(&record).expect("a record").payload))
    }
}

struct Request {
    began: u64,
    write: bool,
    ended: Option<(u64, Outcome)>,
}

struct World {
    seed: u64,
    rng: Rng,
    nodes: Vec<Node>,
    /// Packets from one node to another, in order.
    links: BTreeMap<(usize, usize), VecDeque<Packet>>,
    step: u64,
    requests: BTreeMap<Ticket, Request>,
    /// Whether leaders refuse proposals now and then.
    refusals: bool,
}

impl World {
    fn new(seed: u64) -> World {
        let node = |id: usize| {
            let engine = Arc::new(MemoryEngine::new());
            let settings = Settings::new(Thresholds::default());
            // Several entries on their way, as when each is worth it: that is where retries are hard.
            let settings = Settings { small_entries_in_flight_max: usize::MAX, ..settings };
            let settings = Settings { entry_bytes_target: 60, entries_in_flight_max: 3, ..settings };
            let machine =
                Machine::new(GROUP, Content::Keys(SlotRange::ALL), 1, engine.clone(), settings, seed).unwrap();
            let bounds = Bounds { deadline: Duration::from_millis(120), ..Bounds::default() };
            let mut forwarder = Forwarder::new(NodeId(id as u64), SessionId(1_000 * (id as u64 + 1)), bounds);
            (0..NODES).filter(|other| *other != id).for_each(|other| forwarder.link_up(NodeId(other as u64)));
            Node {
                engine,
                machine,
                forwarder,
                log: Vec::new(),
                term: Term(0),
                leads: false,
                matched: [0; NODES],
                commit: 0,
                refused: 0,
                rounds: Vec::new(),
                askers: BTreeMap::new(),
                tickets: 0,
                outputs: Vec::new(),
                wanted: Vec::new(),
            }
        };
        World {
            seed,
            rng: Rng::new(seed),
            nodes: (0..NODES).map(node).collect(),
            links: BTreeMap::new(),
            step: 0,
            requests: BTreeMap::new(),
            refusals: true,
        }
    }

    /// One step is a millisecond.
    fn now(&self) -> Now {
        Now { wall: Millis(1_000 + self.step), mono: Nanos((1_000 + self.step) * 1_000_000) }
    }

    fn some_node(&mut self) -> usize {
        self.rng.below(NODES as u64) as usize
    }

    fn handle(&mut self, node: usize, input: Input) {
        let now = self.now();
        let node = &mut self.nodes[node];
        node.machine.handle(now, input, &mut node.outputs).expect("the engine does not fail");
    }

    /// Does what machines and forwarders want until they want nothing more.
    fn settle(&mut self) {
        let now = self.now();
        let mut busy = true;
        while std::mem::take(&mut busy) {
            for id in 0..NODES {
                let node = &mut self.nodes[id];
                node.machine.turn(now, &mut node.outputs).expect("the engine does not fail");
                for output in std::mem::take(&mut self.nodes[id].outputs) {
                    busy = true;
                    self.machine_wants(id, output);
                }
                let node = &mut self.nodes[id];
                node.forwarder.flush(now.mono, &mut node.wanted);
                for output in std::mem::take(&mut self.nodes[id].wanted) {
                    busy = true;
                    match output {
                        Output::Local(_, submission) => self.submit(id, Asker::Here(submission.ticket), submission),
                        Output::Send(to, _, submission) => {
                            let link = self.links.entry((id, to.get() as usize)).or_default();
                            link.push_back(Packet::Batch(submission));
                        }
                        Output::Done(ticket, outcome) => {
                            let request = self.requests.get_mut(&ticket).expect("somebody asked");
                            assert!(request.ended.is_none(), "seed {}: {ticket} ended twice", self.seed);
                            request.ended = Some((self.step, outcome));
                        }
                    }
                }
            }
        }
    }

    fn submit(&mut self, id: usize, asker: Asker, submission: Submission) {
        let node = &mut self.nodes[id];
        node.tickets += 1;
        let ticket = Ticket(node.tickets);
        node.askers.insert(ticket, asker);
        self.handle(id, Input::Submit(Submission { ticket, ..submission }));
    }

    fn machine_wants(&mut self, id: usize, output: machine::Output) {
        let (ticket, answer) = match output {
            machine::Output::Propose(Proposal { generation, sequence, term, data, .. }) => {
                let node = &mut self.nodes[id];
                let refuse = self.refusals && self.rng.chance(1, 30);
                let input = if node.leads && node.term == term && !refuse && generation > node.refused {
                    node.log.push((term, data));
                    node.matched[id] = node.log.len();
                    Input::Proposed { generation, sequence, index: LogIndex(node.log.len() as u64), term }
                } else {
                    node.refused = node.refused.max(generation);
                    Input::Dropped { generation, sequence }
                };
                return self.handle(id, input);
            }
            machine::Output::Changed(_) => return,
            machine::Output::ConfirmLeadership(number) => return self.nodes[id].rounds.push(number),
            machine::Output::Applied(_) | machine::Output::Published(..) | machine::Output::LeaseReleased(_) => return,
            machine::Output::Reply(ticket, replies) => (ticket, Answer::Replies(replies)),
            machine::Output::Refused(ticket, refusal) => (ticket, Answer::Refused(refusal)),
            machine::Output::Unknown(ticket) => (ticket, Answer::Unknown),
        };
        let now = self.now();
        let node = &mut self.nodes[id];
        match node.askers.remove(&ticket) {
            Some(Asker::Here(attempt)) => {
                node.forwarder.answered(now.mono, GROUP, attempt, answer, &mut node.wanted);
            }
            Some(Asker::There(to, attempt)) => {
                self.links.entry((id, to)).or_default().push_back(Packet::Answer(attempt, answer));
            }
            None => panic!("seed {}: {ticket} was answered twice", self.seed),
        }
    }

    /// Something happens.
    fn act(&mut self) {
        let now = self.now();
        match self.rng.below(100) {
            0..=19 => {
                let (id, write) = (self.some_node(), self.rng.chance(2, 3));
                self.ask(id, write);
            }
            20..=44 => self.deliver(),
            45..=69 => {
                let (from, to) = (self.some_node(), self.some_node());
                self.replicate(from, to);
            }
            70..=79 => {
                let id = self.some_node();
                self.advance_commit(id);
            }
            80..=84 => {
                let id = self.some_node();
                self.answer_rounds(id);
            }
            85..=86 => {
                let id = self.some_node();
                self.elect(id);
            }
            87..=91 => {
                // Somebody hears who leads: rightly, wrongly, or that nobody does.
                let (id, leader) = (self.some_node(), self.some_node());
                let newest = self.nodes.iter().map(|node| node.term).max();
                let right = self.nodes.iter().position(|node| node.leads && Some(node.term) == newest);
                let heard = if self.rng.chance(1, 8) { Some(leader) } else { right };
                self.nodes[id].forwarder.leader(GROUP, heard.map(|leader| NodeId(leader as u64)));
            }
            92..=93 => {
                let (a, b) = (self.some_node(), self.some_node());
                self.cut(a, b);
            }
            94..=96 => {
                let id = self.some_node();
                self.give_up_transfer(id);
            }
            _ => {
                for id in 0..NODES {
                    self.handle(id, Input::Tick);
                    let node = &mut self.nodes[id];
                    node.forwarder.tick(now.mono, &mut node.wanted);
                }
            }
        }
    }

    /// A client of a node asks.
    fn ask(&mut self, id: usize, write: bool) -> Ticket {
        let now = self.now();
        let ticket = Ticket(self.requests.len() as u64 + 1);
        let words = if write {
            vec!["APPEND".into(), "list".into(), format!("{ticket},")]
        } else {
            vec!["GET".into(), "list".into()]
        };
        let args = words.into_iter().map(Bytes::from).collect();
        let units = vec![Unit::Call(Call::new(0, Protocol::Resp2, args))];
        self.requests.insert(ticket, Request { began: self.step, write, ended: None });
        let node = &mut self.nodes[id];
        node.forwarder.submit(now.mono, GROUP, ticket, units, &mut node.wanted);
        ticket
    }

    fn deliver(&mut self) {
        let (from, to) = (self.some_node(), self.some_node());
        self.deliver_from(from, to);
    }

    /// The oldest packet of a link arrives, if there is one.
    fn deliver_from(&mut self, from: usize, to: usize) -> bool {
        let now = self.now();
        let packet = self.links.entry((from, to)).or_default().pop_front();
        let arrived = packet.is_some();
        match packet {
            Some(Packet::Batch(submission)) => self.submit(to, Asker::There(from, submission.ticket), submission),
            Some(Packet::Answer(ticket, answer)) => {
                let node = &mut self.nodes[to];
                node.forwarder.answered(now.mono, GROUP, ticket, answer, &mut node.wanted);
            }
            None => {}
        }
        arrived
    }

    /// Both directions lose what is on them. A batch that was received is answered nowhere.
    fn cut(&mut self, a: usize, b: usize) {
        if a == b {
            return;
        }
        for (from, to) in [(a, b), (b, a)] {
            self.links.remove(&(from, to));
            self.nodes[from].forwarder.link_down(NodeId(to as u64));
            self.nodes[from].forwarder.link_up(NodeId(to as u64));
        }
    }

    fn replicate(&mut self, from: usize, to: usize) {
        let (term, log, commit) = (self.nodes[from].term, self.nodes[from].log.clone(), self.nodes[from].commit);
        if from == to || !self.nodes[from].leads || self.nodes[to].term > term {
            return;
        }
        if self.nodes[to].term < term {
            self.follow(to, term);
        }
        let follower = &mut self.nodes[to];
        let same = follower.log.iter().zip(&log).take_while(|(a, b)| a == b).count();
        let length = same + self.rng.below((log.len() - same) as u64 + 1) as usize;
        if length > same {
            follower.log.truncate(same);
            follower.log.extend_from_slice(&log[same..length]);
        }
        self.nodes[from].matched[to] = self.nodes[from].matched[to].max(length);
        self.apply(to, commit.min(length));
    }

    /// A leader counts the acknowledgements it has, however old they are.
    fn advance_commit(&mut self, id: usize) {
        let node = &self.nodes[id];
        if !node.leads {
            return;
        }
        let mut matched = node.matched;
        matched.sort_unstable();
        let majority = matched[NODES / 2];
        if majority > node.commit && node.log[majority - 1].0 == node.term {
            self.apply(id, majority);
        }
    }

    fn apply(&mut self, id: usize, commit: usize) {
        let node = &mut self.nodes[id];
        if commit <= node.commit {
            return;
        }
        let place = |at: usize| LogIndex(at as u64 + 1);
        let entries = (node.commit..commit).map(|at| {
            let (term, data) = node.log[at].clone();
            Committed { index: place(at), term, data, conf_state: None }
        });
        let entries = entries.collect();
        node.commit = commit;
        self.handle(id, Input::Commit(entries));
    }

    fn elect(&mut self, id: usize) {
        let last = |node: &Node| (node.log.last().map_or(Term(0), |(term, _)| *term), node.log.len());
        let own = last(&self.nodes[id]);
        let mut voters: Vec<usize> = (0..NODES).filter(|other| last(&self.nodes[*other]) <= own).collect();
        if voters.len() <= NODES / 2 {
            return;
        }
        // The other voter; a leader that is not asked goes on believing.
        while voters.len() > NODES / 2 + 1 {
            let at = self.rng.below(voters.len() as u64) as usize;
            if voters[at] != id {
                voters.remove(at);
            }
        }
        self.win(id, &voters);
    }

    /// A node is elected by these, itself among them.
    fn win(&mut self, id: usize, voters: &[usize]) {
        let term = Term(self.nodes.iter().map(|node| node.term.get()).max().unwrap_or(0) + 1);
        for voter in voters {
            self.follow(*voter, term);
        }
        let node = &mut self.nodes[id];
        node.leads = true;
        node.log.push((term, Bytes::new()));
        node.matched = [0; NODES];
        node.matched[id] = node.log.len();
        let first = LogIndex(node.log.len() as u64);
        self.handle(id, Input::Role(Role::Leader { term, first }));
    }

    fn follow(&mut self, id: usize, term: Term) {
        let node = &mut self.nodes[id];
        node.term = term;
        node.leads = false;
        let rounds = std::mem::take(&mut node.rounds);
        rounds.into_iter().for_each(|number| self.handle(id, Input::ReadRefused { number }));
        self.handle(id, Input::Role(Role::Follower));
    }

    /// A leader stopped accepting for a successor that never came.
    fn give_up_transfer(&mut self, id: usize) {
        let node = &self.nodes[id];
        let term = node.term;
        let Some(first) = node.log.iter().position(|(of, _)| *of == term).filter(|_| node.leads) else { return };
        self.handle(id, Input::Role(Role::Follower));
        self.handle(id, Input::Role(Role::Leader { term, first: LogIndex(first as u64 + 1) }));
    }

    fn answer_rounds(&mut self, id: usize) {
        let term = self.nodes[id].term;
        let loyal = self.nodes.iter().filter(|node| node.term == term).count();
        if !self.nodes[id].leads || loyal <= NODES / 2 {
            return;
        }
        let index = LogIndex(self.nodes[id].commit as u64);
        for number in std::mem::take(&mut self.nodes[id].rounds) {
            self.handle(id, Input::ReadIndex { number, index });
        }
    }

    /// No more faults: everything ends.
    fn heal(&mut self) {
        for (a, b) in [(0, 1), (0, 2), (1, 2)] {
            self.cut(a, b);
        }
        let best =
            (0..NODES).max_by_key(|id| (self.nodes[*id].log.last().map(|(term, _)| *term), self.nodes[*id].log.len()));
        let leader = best.unwrap_or(0);
        self.elect(leader);
        self.settle();
        for _ in 0..200 {
            self.step += 1;
            let now = self.now();
            for id in 0..NODES {
                self.nodes[id].forwarder.leader(GROUP, Some(NodeId(leader as u64)));
                while self.nodes[id].log.len() < self.nodes[leader].log.len() && id != leader {
                    self.replicate(leader, id);
                }
                self.replicate(leader, id);
                self.handle(id, Input::Tick);
                let node = &mut self.nodes[id];
                node.forwarder.tick(now.mono, &mut node.wanted);
            }
            self.advance_commit(leader);
            self.answer_rounds(leader);
            for _ in 0..20 {
                self.deliver();
            }
            self.settle();
        }
    }

    fn judge(&self) {
        let seed = self.seed;
        let length = self.nodes.iter().map(|node| node.commit).max().unwrap_or(0);
        for node in &self.nodes {
            assert_eq!(node.commit, length, "seed {seed}: a replica stayed behind");
            assert_eq!(node.machine.state(), self.nodes[0].machine.state(), "seed {seed}: replicas differ");
        }
        let list = self.nodes[0].list();
        let place: BTreeMap<&str, usize> = list.iter().enumerate().map(|(at, name)| (name.as_str(), at)).collect();
        assert_eq!(place.len(), list.len(), "seed {seed}: something ran twice: {list:?}");
        for (ticket, request) in &self.requests {
            let Some((ended, outcome)) = &request.ended else { panic!("seed {seed}: {ticket} never ended") };
            let ran = place.get(ticket.to_string().as_str()).copied();
            let seen = match outcome {
                Outcome::Replies(replies) => match &replies[..] {
                    [UnitReply::Call(_)] if request.write => {
                        ran.unwrap_or_else(|| panic!("seed {seed}: {ticket} was acknowledged and is lost")) + 1
                    }
                    [UnitReply::Call(reply)] => {
                        let read = names(reply);
                        assert_eq!(read[..], list[..read.len()], "seed {seed}: {ticket} read what never was");
                        read.len()
                    }
                    other => panic!("seed {seed}: {other:?}"),
                },
                Outcome::Unknown => continue,
                denied => {
                    assert_eq!(ran, None, "seed {seed}: {ticket} ran and was answered {denied:?}");
                    continue;
                }
            };
            // Whatever was acknowledged before this began, it must have seen; whatever began after it ended, not.
            for (other, earlier) in self.requests.iter().filter(|(_, other)| other.write) {
                let at = place.get(other.to_string().as_str()).copied();
                let acknowledged = matches!(earlier.ended, Some((end, Outcome::Replies(_))) if end < request.began);
                assert!(!acknowledged || at.is_some_and(|at| at < seen), "seed {seed}: {ticket} misses {other}");
                assert!(earlier.began <= *ended || at.is_none_or(|at| at >= seen), "seed {seed}: {ticket} saw ahead");
            }
        }
    }
}

/// The names in a list, which may be an encoded reply.
fn names(text: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(text);
    let list = text.split("\r\n").find(|part| part.contains(',')).unwrap_or("");
    list.split_terminator(',').map(str::to_owned).collect()
}

#[test]
fn j1_r7_r9_nothing_twice_nothing_lost_nothing_denied_that_ran() {
    let mut ends: BTreeMap<&str, usize> = BTreeMap::new();
    for seed in 0..SEEDS {
        let mut world = World::new(seed);
        for step in 1..=STEPS {
            world.step = step;
            world.act();
            world.settle();
        }
        world.heal();
        world.judge();
        for request in world.requests.values() {
            let end = match request.ended {
                Some((_, Outcome::Replies(_))) if request.write => "written",
                Some((_, Outcome::Replies(_))) => "read",
                Some((_, Outcome::Unknown)) => "unknown",
                _ => "denied",
            };
            *ends.entry(end).or_default() += 1;
        }
    }
    // A workload that never gets anywhere, or never into trouble, proves nothing.
    let asked: usize = ends.values().sum();
    for end in ["written", "read", "unknown", "denied"] {
        let count = ends.get(end).copied().unwrap_or(0);
        assert!(count * 100 > asked, "hardly any request ended {end}: {ends:?}");
    }
}

/// Node 0 leads and is then cut off from the other replicas, while batches of node 1's clients still reach it: some in
/// its log and node 2's, some in its log only, some on the way. Node 2 is elected. A client of node 0 asks too.
struct CutOff {
    world: World,
    /// Writes of node 1's clients: in a majority's log, in the old leader's only, still on the link.
    forwarded: [Ticket; 3],
    /// A write and a read of node 0's own clients.
    own: [Ticket; 2],
}

impl CutOff {
    fn new(seed: u64) -> CutOff {
        let mut world = World::new(seed);
        world.refusals = false;
        let everybody = [0, 1, 2];
        world.win(0, &everybody);
        everybody.into_iter().for_each(|id| world.nodes[id].forwarder.leader(GROUP, Some(NodeId(0))));
        let before = world.ask(1, true);
        world.settle();
        while world.deliver_from(1, 0) {
            world.settle();
        }
        world.exchange(0, &[1, 2]);
        while world.deliver_from(0, 1) {
            world.settle();
        }
        assert!(world.replied(before), "all is well before the cut");

        let first = world.ask(1, true);
        world.settle();
        while world.deliver_from(1, 0) {
            world.settle();
        }
        // The entry reaches node 2, the acknowledgement does not come back.
        let matched = world.nodes[0].matched;
        while world.nodes[2].log.len() < world.nodes[0].log.len() {
            world.replicate(0, 2);
        }
        world.nodes[0].matched = matched;
        let second = world.ask(1, true);
        world.settle();
        while world.deliver_from(1, 0) {
            world.settle();
        }
        let own = [true, false].map(|write| world.ask(0, write));
        world.settle();
        assert_eq!(
            world.nodes[0].log.len(),
            world.nodes[2].log.len() + 2,
            "two entries are in the old leader's log only"
        );
        let third = world.ask(1, true);
        world.settle();

        world.win(2, &[1, 2]);
        world.settle();
        CutOff { world, forwarded: [first, second, third], own }
    }

    /// Time passes for everybody; nothing of Raft passes between node 0 and the others.
    fn pass(&mut self, steps: u64) {
        for _ in 0..steps {
            self.world.step += 1;
            self.world.exchange(2, &[1]);
            self.world.tick();
        }
    }
}

impl World {
    /// A leader and some followers come to the same log, and what is committed is applied.
    fn exchange(&mut self, leader: usize, followers: &[usize]) {
        for _ in 0..2 {
            for follower in followers {
                while self.nodes[*follower].log.len() < self.nodes[leader].log.len() {
                    self.replicate(leader, *follower);
                }
                self.replicate(leader, *follower);
            }
            self.advance_commit(leader);
            self.settle();
        }
    }

    fn tick(&mut self) {
        let now = self.now();
        for id in 0..NODES {
            self.handle(id, Input::Tick);
            let node = &mut self.nodes[id];
            node.forwarder.tick(now.mono, &mut node.wanted);
        }
        self.settle();
    }

    fn replied(&self, ticket: Ticket) -> bool {
        matches!(self.requests[&ticket].ended, Some((_, Outcome::Replies(_))))
    }
}

#[test]
fn a_cut_off_leader_costs_the_other_nodes_clients_nothing_but_time() {
    for link_breaks in [false, true] {
        let mut scene = CutOff::new(1);
        scene.pass(5);
        // The link still works: what was on it arrives at the old leader after the election.
        if link_breaks {
            scene.world.cut(0, 1);
        }
        while scene.world.deliver_from(1, 0) {
            scene.world.settle();
        }
        assert!(!scene.forwarded.iter().any(|ticket| scene.world.requests[ticket].ended.is_some()), "nobody can know");
        scene.world.nodes[1].forwarder.leader(GROUP, Some(NodeId(2)));
        for _ in 0..5 {
            scene.pass(1);
            while scene.world.deliver_from(1, 2) || scene.world.deliver_from(2, 1) {
                scene.world.settle();
            }
        }
        for ticket in scene.forwarded {
            assert!(scene.world.replied(ticket), "{ticket}: {:?}", scene.world.requests[&ticket].ended);
        }
        let list = scene.world.nodes[2].list();
        let expected = [1, 2, 3].map(|at| scene.forwarded[at - 1].to_string());
        assert_eq!(list[1..], expected, "once each, in their order");
        // The old leader's own clients wait: it cannot have anything confirmed.
        assert!(scene.own.iter().all(|ticket| scene.world.requests[ticket].ended.is_none()));
        scene.world.heal();
        scene.world.judge();
        assert!(scene.own.iter().all(|ticket| scene.world.replied(*ticket)), "both ran at the new leader");
        assert_eq!(scene.world.nodes[0].list().len(), 5);
    }
}

#[test]
fn a_cut_off_leaders_own_clients_are_told_what_is_known() {
    let mut scene = CutOff::new(2);
    // Longer than anybody waits.
    scene.pass(200);
    let [write, read] = scene.own;
    let ended = |ticket: Ticket| scene.world.requests[&ticket].ended.as_ref().map(|(_, outcome)| outcome.clone());
    assert_eq!(ended(write), Some(Outcome::Unknown), "its entry may yet be committed");
    assert!(!matches!(ended(read), None | Some(Outcome::Replies(_))), "{:?}", ended(read));
    // Nobody told node 1 of the new leader. What it sent may have run; what it kept has not.
    let [first, second, third] = scene.forwarded.map(ended);
    assert_eq!((first, second, third), (Some(Outcome::Unknown), Some(Outcome::Unknown), Some(Outcome::Unknown)));
    scene.world.heal();
    scene.world.judge();
    let list = scene.world.nodes[0].list();
    assert_eq!(list.len(), 2, "the first was in a majority's log, the others are gone with the old leader's: {list:?}");
}
