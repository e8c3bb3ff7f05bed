//! One seed from the first election to the last judgement: nodes, clients, faults, and the loop that lets one event
//! happen after the other.
//!
//! A run has four parts: faults and clients; healed, with clients; healed, without new requests, while everything
//! under way must finish and the final values are read; quiet, until all replicas are equal.

mod faults;
mod operator;

use std::collections::BTreeMap;
use std::time::Duration;

use operator::Operator;

use super::SeedReport;
use super::check::once::TOKEN_BYTES;
use super::check::replay::Ending;
use super::check::{Request, Violation, show_request};
use super::client::{self, Client, History};
use super::judge;
use super::node::{self, Node};
use super::noise;
use super::plan::{Plan, random};
use super::shared::{Event, Shared, place};
use super::workload::{Kind, Step, Workload, kind, patience, single_families, single_key};
use crate::base::{GroupId, Nanos, NodeId, Rng, Slot, SlotRange};
use crate::resp::Value;
use crate::service::node::Outcome as Answer;

/// How long clients go on after everything is healed.
const HEALED_WITH_CLIENTS: Duration = Duration::from_secs(4);
/// After healing, everything must have settled within this.
const SETTLE_MAX: Duration = Duration::from_secs(20);
/// A client that reads final values gives up after so many refusals in a healthy cluster.
const FINAL_ATTEMPTS_MAX: u64 = 20;

/// A running world.
pub struct World {
    plan: Plan,
    shared: Shared,
    nodes: Vec<Node>,
    clients: Vec<Client>,
    workload: Workload,
    history: History,
    /// Final values by family: those of [`single_families`].
    last: BTreeMap<u64, Value>,
    /// What the replicas hold of the noise in the end.
    noise: Option<Ending>,
    operator: Operator,
    phase: Phase,
    final_attempts: u64,
    /// Clients think faster until then.
    hurry_until: Nanos,
    /// Clients only read until then.
    hush_until: Nanos,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    Faults,
    Healed,
    LastCall,
    Quiet,
    Over,
}

impl World {
    /// A world at time 0, with everything started.
    pub fn new(plan: Plan, print: bool) -> World {
        let mut rng = Rng::new(plan.seed);
        let mut shared = Shared::new(plan.all(), &mut rng, print);
        let nodes = (1..=plan.all()).map(|id| Node::new(NodeId(id), &plan, &mut rng)).collect();
        let mut clients: Vec<Client> =
            (0..plan.clients).map(|id| Client::new(id, NodeId(1 + rng.below(plan.nodes)), false)).collect();
        for reader in 0..plan.readers_per_node * plan.nodes {
            clients.push(Client::new(plan.clients + reader, NodeId(1 + reader % plan.nodes), true));
        }
        plan.cover(&mut shared.coverage);
        for (number, (time, _)) in plan.faults.iter().enumerate() {
            shared.queue.at(*time, Event::Fault(number));
        }
        shared.queue.at(plan.heal_at, Event::Heal);
        shared.queue.at(plan.heal_at + HEALED_WITH_CLIENTS, Event::LastCall);
        for id in 1..=plan.nodes {
            let delay = Duration::from_micros(rng.below(20_000));
            shared.queue.after(delay, Event::Restart(NodeId(id)));
        }
        for client in &clients {
            let delay = Duration::from_micros(rng.below(1_000_000));
            shared.queue.after(delay, Event::Client { client: client.id, turn: client.turn });
        }
        let workload = Workload::new(rng.fork(), plan.wipes);
        let operator = Operator::new(&plan);
        World {
            plan,
            shared,
            nodes,
            clients,
            workload,
            history: History::default(),
            last: BTreeMap::new(),
            noise: None,
            operator,
            phase: Phase::Faults,
            final_attempts: 0,
            hurry_until: Nanos(0),
            hush_until: Nanos(0),
        }
    }

    /// Runs to the end, or to the first violation.
    pub fn run(mut self) -> SeedReport {
        while self.phase != Phase::Over && self.shared.violations.is_empty() {
            let Some(event) = self.shared.queue.pop() else {
                self.violated("progress", "nothing is left to happen".to_owned());
                break;
            };
            self.handle(event);
        }
        let mut undecided = 0;
        if self.shared.violations.is_empty() {
            let judgement =
                judge::judge(&self.history.operations, &self.last, self.noise.as_ref(), &mut self.shared.coverage);
            undecided = judgement.undecided;
            self.shared.violations = judgement.violations;
        }
        for node in &self.nodes {
            node.cover_life(&mut self.shared);
        }
        let leader_changes = self.nodes.iter().map(|node| node.leaderships).sum::<u64>();
        let groups = u64::from(self.plan.partitions) + 1;
        if leader_changes > groups {
            self.shared.coverage.saw("leader change");
        }
        SeedReport {
            seed: self.plan.seed,
            simulated: Duration::from_nanos(self.shared.now().0),
            leader_changes: leader_changes.saturating_sub(groups),
            commands: self.history.checked,
            writes: self.history.writes,
            undecided,
            events: self.shared.trace.events(),
            trace_hash: self.shared.trace.hash(),
            coverage: self.shared.coverage,
            violations: self.shared.violations,
            story: self.shared.trace.story(),
        }
    }

    fn handle(&mut self, event: Event) {
        let now = self.shared.now();
        match event {
            Event::Node { node, life, event } => {
                let shared = &mut self.shared;
                shared.trace.mix(now, 1, node.get(), event.code());
                let node = &mut self.nodes[place(node)];
                if let Some(until) = node.paused_until(now, life) {
                    shared.queue.at(until, Event::Node { node: node.id, life, event });
                } else if node.lives(life) {
                    node.handle(shared, event);
                }
            }
            Event::Frame { from, to, life, frame } => {
                let shared = &mut self.shared;
                shared.trace.mix(now, 2, from.get(), to.get());
                let node = &mut self.nodes[place(to)];
                if let Some(until) = node.paused_until(now, life) {
                    shared.queue.at(until, Event::Frame { from, to, life, frame });
                } else if node.lives(life) {
                    node.receive(shared, from, frame);
                }
            }
            Event::Restart(node) => self.restart(node),
            Event::Client { client, turn } => self.client(client, turn),
            Event::Answer { client, request, answer } => self.answer(client, request, answer),
            Event::Fault(number) => self.fault(number),
            Event::FaultOver(number) => self.fault_over(number),
            Event::Heal => self.heal(),
            Event::LastCall => {
                self.phase = Phase::LastCall;
                self.note("no new requests");
                self.shared.queue.after(Duration::from_millis(100), Event::Inspect);
            }
            Event::Operate => self.operate(),
            Event::Inspect => self.inspect(),
        }
        self.reap();
    }

    /// Processes that died in this event: their clients learn of it.
    fn reap(&mut self) {
        for at in 0..self.nodes.len() {
            let Some(down) = self.nodes[at].take_death() else { continue };
            let node = self.nodes[at].id;
            self.shared.lives[at].1 = false;
            self.shared.reset_streams(node);
            self.shared.publications.died(node);
            let down = if self.phase >= Phase::Healed { Duration::from_millis(50) } else { down };
            if !self.operator.is_gone(node) {
                self.shared.queue.after(down, Event::Restart(node));
            }
            for at in 0..self.clients.len() {
                if self.clients[at].node == node
                    && let Some(waiting) = self.clients[at].disconnect()
                {
                    self.workload.note_unknown(waiting.step.family);
                    let pause = random(&mut self.shared.rng, Duration::from_millis(50));
                    self.plan_client(at, pause);
                }
            }
        }
    }

    fn restart(&mut self, node: NodeId) {
        let at = place(node);
        if self.shared.lives[at].1 || self.operator.is_gone(node) {
            return;
        }
        self.shared.lives[at].0 += 1;
        self.shared.lives[at].1 = true;
        let life = self.shared.lives[at].0;
        self.nodes[at].start(&mut self.shared, &self.plan, life);
    }

    fn client(&mut self, id: u64, turn: u64) {
        let now = self.shared.now();
        self.shared.trace.mix(now, 3, id, turn);
        let at = id as usize;
        let client = &self.clients[at];
        if client.turn != turn || client.waiting.is_some() || self.phase > Phase::Healed {
            return;
        }
        let (is_reader, watching) = (client.is_reader, client.watching());
        if !self.connect(at) {
            return self.plan_client(at, Duration::from_millis(20));
        }
        let (hurry, hush) = (now < self.hurry_until, now < self.hush_until);
        let step = match () {
            () if is_reader => self.workload.read(),
            () if hush => self.workload.look(),
            () => self.workload.next(now, watching, hurry),
        };
        self.send(at, step);
    }

    fn plan_client(&mut self, at: usize, pause: Duration) {
        let client = &mut self.clients[at];
        client.turn += 1;
        self.shared.queue.after(pause, Event::Client { client: client.id, turn: client.turn });
    }

    /// Lets a client think for a while.
    fn think(&mut self, at: usize) {
        let most = match (self.clients[at].is_reader, self.shared.now() < self.hurry_until) {
            (true, true) => Duration::from_millis(3),
            (false, true) => self.plan.think_max / 6,
            (true, false) => self.plan.think_max * 4,
            (false, false) => self.plan.think_max,
        };
        let pause = random(&mut self.shared.rng, most);
        self.plan_client(at, pause);
    }

    /// Makes sure that the client's node lives: a client whose node died takes another one, but for readers.
    fn connect(&mut self, at: usize) -> bool {
        let alive = |node: NodeId, shared: &Shared| shared.lives[place(node)].1;
        if self.clients[at].is_reader {
            return alive(self.clients[at].node, &self.shared);
        }
        if !alive(self.clients[at].node, &self.shared) || self.shared.rng.chance(1, 100) {
            let other = NodeId(1 + self.shared.rng.below(self.plan.all()));
            if self.clients[at].node != other {
                self.clients[at].disconnect();
            }
            self.clients[at].node = other;
        }
        alive(self.clients[at].node, &self.shared)
    }

    fn send(&mut self, at: usize, step: Step) {
        let now = self.shared.now();
        let client = &mut self.clients[at];
        let group = group_of(&self.plan, &step);
        let reads = client::reads(&step);
        let patience = step.requests.iter().find_map(patience);
        let units = client.begin(now, step, &mut self.history);
        if self.shared.trace.prints()
            && let Some(waiting) = &client.waiting
        {
            for &at in &waiting.operations {
                let asked = show_request(&self.history.operations[at].request);
                let what = format_args!("client {id}, request {}: {asked}", client.request, id = client.id);
                self.shared.trace.detail(now, Some(client.node), what);
            }
        }
        let node = &mut self.nodes[place(client.node)];
        match patience {
            Some(patience) => {
                let hangs_up = self.plan.hang_ups && !self.plan.faults.is_empty() && self.shared.rng.chance(1, 10);
                node.block(&mut self.shared, (client.id, client.request), group, units, (patience, hangs_up));
            }
            None => node.request(&mut self.shared, (client.id, client.request), group, units, reads),
        }
    }

    fn answer(&mut self, id: u64, request: u64, answer: Answer) {
        let now = self.shared.now();
        let at = id as usize;
        self.shared.trace.mix(now, 4, id, request);
        let client = &mut self.clients[at];
        if client.request != request {
            return;
        }
        let Some(waiting) = &client.waiting else { return };
        let (since, family) = (waiting.since, waiting.step.family);
        let patience: Duration = waiting.step.requests.iter().filter_map(patience).sum();
        let excused = self.nodes[place(client.node)].paused_since(since, now) + patience.as_nanos() as u64;
        let what = || waiting.step.requests.iter().map(|request| format!("{request:?}")).collect::<Vec<_>>().join(", ");
        if let Err(violation) = judge::check_answer_time(since, now, excused, what) {
            self.shared.violated(violation);
        }
        if answer == Answer::Unknown {
            self.workload.note_unknown(family);
        }
        if self.plan.faults.is_empty()
            && !matches!(answer, Answer::Replies(_) | Answer::Overloaded)
            && now.0 > 3_000_000_000
        {
            let story = format!("without any fault: {answer:?} for {}", what());
            self.shared.violated(Violation::new("no error on a healthy cluster", vec![story]));
        }
        let final_read = self.phase == Phase::Quiet;
        if let (true, Answer::Replies(_)) = (final_read, &answer) {
            self.final_attempts = 0;
        }
        let operations = waiting.operations.clone();
        client.learn(now, answer, &mut self.history);
        let prints = self.shared.trace.prints();
        for &at in operations.iter().filter(|_| prints) {
            let what = format_args!("{}", self.history.operations[at].line());
            self.shared.trace.detail(now, Some(client.node), what);
        }
        if final_read {
            self.note_final(family, operations);
            self.read_final_values();
        } else {
            self.think(at);
        }
    }

    /// After the last call: waits for what is under way, reads the final values, then waits for equal replicas.
    fn inspect(&mut self) {
        let now = self.shared.now();
        if now > self.plan.heal_at + SETTLE_MAX {
            let mut story = vec!["the healed cluster does not settle".to_owned()];
            story.extend(self.nodes.iter().map(Node::line));
            for client in self.clients.iter().filter(|client| client.waiting.is_some()) {
                story.push(format!("client {} waits at node {}: {:?}", client.id, client.node, client.waiting));
            }
            self.shared.violated(Violation::new("progress", story));
            return;
        }
        let busy = self.clients.iter().any(|client| client.waiting.is_some());
        if self.phase == Phase::LastCall && !busy {
            self.phase = Phase::Quiet;
            self.note("reading final values");
        }
        if self.phase == Phase::Quiet {
            self.read_final_values();
        }
        if self.phase == Phase::Quiet && self.last.len() == single_families().count() && self.is_settled() {
            self.compare_states();
            if let Err(violation) = self.shared.publications.ended() {
                self.shared.violated(violation);
            }
            self.compare_facts();
            self.noise = self.noise_ending();
            self.phase = Phase::Over;
            return;
        }
        self.shared.queue.after(Duration::from_millis(100), Event::Inspect);
    }

    /// One client reads every key of [`single_families`], one after the other. What fails is tried again at the next
    /// inspection or answer.
    fn read_final_values(&mut self) {
        let Some(family) = single_families().find(|family| !self.last.contains_key(family)) else { return };
        if self.clients[0].waiting.is_some() {
            return;
        }
        self.final_attempts += 1;
        if self.final_attempts > FINAL_ATTEMPTS_MAX {
            self.violated("progress", "final values cannot be read from the healed cluster".to_owned());
            return;
        }
        if !self.connect(0) {
            return;
        }
        let word = bytes::Bytes::from_static;
        let words = match kind(family) {
            Kind::Queue => vec![word(b"LRANGE"), single_key(family), word(b"0"), word(b"-1")],
            _ => vec![word(b"GET"), single_key(family)],
        };
        self.send(0, Step { family, requests: vec![Request::Command(words)] });
    }

    fn note_final(&mut self, family: u64, operations: Vec<usize>) {
        let Some(&at) = operations.first() else { return };
        if let super::check::Outcome::Replies(replies) = &self.history.operations[at].outcome
            && let Some(value) = replies.first()
        {
            self.last.insert(family, value.clone());
        }
    }

    /// Whether every node lives and is registered, and every group is applied equally far everywhere.
    fn is_settled(&self) -> bool {
        if !self.members().all(Node::is_registered) || !self.membership_is_settled() {
            return false;
        }
        let groups = u64::from(self.plan.partitions) + 1;
        (0..groups).map(GroupId).all(|group| {
            let mut applied = self.members().map(|node| node.applied(group));
            let first = applied.next().flatten();
            first.is_some() && applied.all(|applied| applied == first)
        })
    }

    /// All nodes hold the same facts: those of the beginning, with every node where it is reached now.
    fn compare_facts(&mut self) {
        let mut expected = self.expected_facts();
        for node in &mut expected.nodes {
            *node = node::address(node.id, self.shared.lives[place(node.id)].0);
        }
        // Addresses of those that were removed are as old as the last time that they registered.
        let registered = self.members().find_map(Node::applied_facts).map(|facts| facts.gone.clone());
        expected.gone = registered.unwrap_or_default();
        let mut stories = Vec::new();
        for node in self.members() {
            let facts = node.facts();
            if facts.as_ref().is_ok_and(|facts| facts.as_ref() == Some(&expected)) {
                continue;
            }
            stories.push(vec![format!("node {} holds {facts:?}", node.id), format!("instead of {expected:?}")]);
        }
        for story in stories {
            self.shared.violated(Violation::new("all nodes hold the same facts", story));
        }
    }

    fn compare_states(&mut self) {
        let groups = u64::from(self.plan.partitions) + 1;
        for group in (0..groups).map(GroupId) {
            let slots = slots(&self.plan, group);
            let hashes: Vec<u64> = self.members().map(|node| node.state_hash(group, slots)).collect();
            if hashes.windows(2).any(|pair| pair[0] != pair[1]) {
                let story = format!("group {group}: hashes over all records, by node: {hashes:016x?}");
                self.violated("replicas equal at equal index", story);
            }
            if let Some(slots) = slots {
                let wrong: Vec<String> = self.members().flat_map(|node| node.audit(group, slots)).collect();
                if !wrong.is_empty() {
                    self.shared.violated(Violation::new("counts are those of the records", wrong));
                }
            }
        }
    }

    fn noise_ending(&self) -> Option<Ending> {
        let group = group_of_key(&self.plan, noise::ORDER);
        let head = |key: &[u8]| self.members().next()?.head(noise::ORDER_DATABASE, key);
        let order = head(noise::ORDER).map(|head| head.payload).unwrap_or_default();
        let moments = order.chunks_exact(TOKEN_BYTES).filter_map(|token| {
            let deadline = head(&noise::moment_key(token))?.deadline?;
            Some((order.slice_ref(token), noise::moment(deadline)))
        });
        let thresholds = self.plan.machine_settings().thresholds;
        Some(Ending {
            group,
            slots: slots(&self.plan, group)?,
            thresholds,
            moments: moments.collect(),
            order: order.clone(),
            published: self.shared.publications.on_channel(group, noise::NEWS),
        })
    }

    fn note(&mut self, what: &str) {
        let now = self.shared.now();
        self.shared.trace.note(now, None, format_args!("{what}"));
    }

    fn violated(&mut self, promise: &'static str, line: String) {
        self.shared.violated(Violation::new(promise, vec![line]));
    }
}

/// The slots of a group; the meta group has none.
pub fn slots(plan: &Plan, group: GroupId) -> Option<SlotRange> {
    let ranges = SlotRange::divide(plan.partitions);
    ranges.get((group.get() as usize).checked_sub(1)?).copied()
}

fn group_of(plan: &Plan, step: &Step) -> GroupId {
    group_of_key(plan, client::key(step))
}

fn group_of_key(plan: &Plan, key: &[u8]) -> GroupId {
    let slot = Slot::of(key);
    let ranges = SlotRange::divide(plan.partitions);
    let at = ranges.iter().position(|range| range.contains(slot)).unwrap_or(0);
    GroupId(at as u64 + 1)
}
