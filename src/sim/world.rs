//! One seed from the first election to the last judgement: nodes, clients, faults, and the loop that lets one event
//! happen after the other.
//!
//! A run has four parts: faults and clients; healed, with clients; healed, without new requests, while everything
//! under way must finish and the final values are read; quiet, until all replicas are equal.

use std::collections::BTreeMap;
use std::time::Duration;

use super::SeedReport;
use super::check::{Request, Violation};
use super::client::{self, Client, History};
use super::judge;
use super::network::{Cut, Weather};
use super::node::Node;
use super::plan::{Fault, Plan, random};
use super::shared::{Event, Shared, place};
use super::workload::{Step, Workload, single_families, single_key};
use crate::base::{GroupId, NodeId, Rng, SlotRange};
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
    /// Final values of token and counter keys.
    last: BTreeMap<u64, Value>,
    phase: Phase,
    final_attempts: u64,
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
        let mut shared = Shared::new(plan.nodes, &mut rng, print);
        let nodes = (1..=plan.nodes).map(|id| Node::new(NodeId(id), &plan, &mut rng)).collect();
        let clients = (0..plan.clients).map(|id| Client::new(id, NodeId(1 + rng.below(plan.nodes)))).collect();
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
        for id in 0..plan.clients {
            let delay = Duration::from_micros(rng.below(1_000_000));
            shared.queue.after(delay, Event::Client(id));
        }
        let workload = Workload::new(rng.fork());
        World {
            plan,
            shared,
            nodes,
            clients,
            workload,
            history: History::default(),
            last: BTreeMap::new(),
            phase: Phase::Faults,
            final_attempts: 0,
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
            let judgement = judge::judge(&self.history.operations, &self.last, &mut self.shared.coverage);
            undecided = judgement.undecided;
            self.shared.violations = judgement.violations;
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
            Event::Client(id) => self.client(id),
            Event::Answer { client, request, answer } => self.answer(client, request, answer),
            Event::Fault(number) => self.fault(number),
            Event::FaultOver(number) => self.fault_over(number),
            Event::Heal => self.heal(),
            Event::LastCall => {
                self.phase = Phase::LastCall;
                self.note("no new requests");
                self.shared.queue.after(Duration::from_millis(100), Event::Inspect);
            }
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
            let down = if self.phase >= Phase::Healed { Duration::from_millis(50) } else { down };
            self.shared.queue.after(down, Event::Restart(node));
            for at in 0..self.clients.len() {
                if self.clients[at].node == node {
                    let id = self.clients[at].id;
                    if let Some(waiting) = self.clients[at].disconnect() {
                        self.workload.note_unknown(waiting.step.family);
                        let pause = random(&mut self.shared.rng, Duration::from_millis(50));
                        self.shared.queue.after(pause, Event::Client(id));
                    }
                }
            }
        }
    }

    fn restart(&mut self, node: NodeId) {
        let at = place(node);
        if self.shared.lives[at].1 {
            return;
        }
        self.shared.lives[at].0 += 1;
        self.shared.lives[at].1 = true;
        let life = self.shared.lives[at].0;
        self.nodes[at].start(&mut self.shared, &self.plan, life);
    }

    fn client(&mut self, id: u64) {
        let now = self.shared.now();
        self.shared.trace.mix(now, 3, id, 0);
        let at = id as usize;
        if self.clients[at].waiting.is_some() || self.phase > Phase::Healed {
            return;
        }
        if !self.connect(at) {
            self.shared.queue.after(Duration::from_millis(20), Event::Client(id));
            return;
        }
        let watching = self.clients[at].watching();
        let step = self.workload.next(now, watching);
        self.send(at, step);
    }

    /// Makes sure that the client's node lives: a client whose node died takes another one.
    fn connect(&mut self, at: usize) -> bool {
        let alive = |node: NodeId, shared: &Shared| shared.lives[place(node)].1;
        if !alive(self.clients[at].node, &self.shared) || self.shared.rng.chance(1, 100) {
            let other = NodeId(1 + self.shared.rng.below(self.plan.nodes));
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
        let units = client.begin(now, step, &mut self.history);
        let node = &mut self.nodes[place(client.node)];
        node.request(&mut self.shared, (client.id, client.request), group, units, reads);
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
        let excused = self.nodes[place(client.node)].paused_since(since, now);
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
        if final_read {
            self.note_final(family, operations);
            self.read_final_values();
        } else {
            let pause = random(&mut self.shared.rng, self.plan.think_max);
            self.shared.queue.after(pause, Event::Client(id));
        }
    }

    fn fault(&mut self, number: usize) {
        if self.phase != Phase::Faults {
            return;
        }
        let now = self.shared.now();
        let fault = self.plan.faults[number].1.clone();
        self.shared.trace.mix(now, 5, number as u64, 0);
        self.shared.trace.note(now, None, format_args!("fault: {fault:?}"));
        let coverage = &mut self.shared.coverage;
        let over = |shared: &mut Shared, length| shared.queue.after(length, Event::FaultOver(number));
        match fault {
            Fault::Crash { node, down } => self.crash(node, down),
            Fault::CrashAtEffect { node, effects, down } => self.nodes[place(node)].die_after(effects, down),
            Fault::CrashAll { down } => {
                coverage.saw("crash of all nodes");
                for id in 1..=self.plan.nodes {
                    let down = random(&mut self.shared.rng, down);
                    self.crash(NodeId(id), down);
                }
            }
            Fault::Pause { node, length } => {
                coverage.saw("pause");
                self.nodes[place(node)].pause(now, length);
            }
            Fault::Partition { cut, length } => {
                let partial = match &cut {
                    Cut::Sides(left, right) | Cut::OneWay(left, right) => left.len() + right.len() < self.nodes.len(),
                };
                coverage.saw(match &cut {
                    _ if partial => "partial partition",
                    Cut::Sides(..) => "partition",
                    Cut::OneWay(..) => "one-way partition",
                });
                self.shared.network.cut(&cut);
                over(&mut self.shared, length);
            }
            Fault::Weather { links, weather, length } => {
                for (bad, kind) in [
                    (weather.loss > 0, "loss"),
                    (weather.delay > Weather::FAIR.delay, "delay"),
                    (weather.reorder, "reorder"),
                ] {
                    if bad {
                        coverage.saw(kind);
                    }
                }
                for (from, to) in links {
                    self.shared.network.set_weather(from, to, weather);
                }
                over(&mut self.shared, length);
            }
            Fault::SlowDisk { node, length } => {
                coverage.saw("slow disk");
                self.nodes[place(node)].disk.slow(now + length);
            }
            Fault::FullDisk { node, length } => {
                coverage.saw("full disk");
                self.nodes[place(node)].disk.fill(now + length);
            }
            Fault::FailingDisk { node } => self.nodes[place(node)].disk.fail_next(),
            Fault::FailingState { node } => self.nodes[place(node)].fail_state(),
            Fault::Leave { node, down } => {
                coverage.saw("leave");
                self.nodes[place(node)].leave(&mut self.shared, down);
            }
            Fault::SetWall { node } => {
                coverage.saw("wall clock set");
                let node = &mut self.nodes[place(node)];
                node.clock.set_wall(&mut self.shared.rng);
            }
            Fault::Transfer { group, to } => {
                for node in &mut self.nodes {
                    node.transfer(&mut self.shared, group, to);
                }
            }
        }
    }

    fn crash(&mut self, node: NodeId, down: Duration) {
        if self.shared.lives[place(node)].1 {
            self.shared.coverage.saw("crash");
            self.nodes[place(node)].die(&mut self.shared, down);
        }
    }

    fn fault_over(&mut self, number: usize) {
        if self.phase != Phase::Faults {
            return;
        }
        match &self.plan.faults[number].1 {
            Fault::Partition { cut, .. } => self.shared.network.join(cut),
            Fault::Weather { links, .. } => {
                for &(from, to) in links {
                    self.shared.network.set_weather(from, to, Weather::FAIR);
                }
            }
            _ => return,
        }
        let now = self.shared.now();
        self.shared.trace.note(now, None, format_args!("over: {:?}", self.plan.faults[number].1));
    }

    fn heal(&mut self) {
        self.phase = Phase::Healed;
        self.note("everything is healed");
        self.shared.network.heal();
        for node in &mut self.nodes {
            node.heal();
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
            self.phase = Phase::Over;
            return;
        }
        self.shared.queue.after(Duration::from_millis(100), Event::Inspect);
    }

    /// One client reads every token and counter key, one after the other. What fails is tried again at the next
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
        let words = vec![bytes::Bytes::from_static(b"GET"), single_key(family)];
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

    /// Whether every node lives and every group is applied equally far everywhere.
    fn is_settled(&self) -> bool {
        let groups = u64::from(self.plan.partitions) + 1;
        (0..groups).map(GroupId).all(|group| {
            let first = self.nodes[0].applied(group);
            first.is_some() && self.nodes.iter().all(|node| node.applied(group) == first)
        })
    }

    fn compare_states(&mut self) {
        let groups = u64::from(self.plan.partitions) + 1;
        for group in (0..groups).map(GroupId) {
            let slots = slots(&self.plan, group);
            let hashes: Vec<u64> = self.nodes.iter().map(|node| node.state_hash(group, slots)).collect();
            if hashes.windows(2).any(|pair| pair[0] != pair[1]) {
                let story = format!("group {group}: hashes over all records, by node: {hashes:016x?}");
                self.violated("replicas equal at equal index", story);
            }
        }
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
    let slot = client::slot(step);
    let ranges = SlotRange::divide(plan.partitions);
    let at = ranges.iter().position(|range| range.contains(slot)).unwrap_or(0);
    GroupId(at as u64 + 1)
}
