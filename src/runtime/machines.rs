//! The machine threads: each owns the [`Machine`]s of its groups, evaluates and applies, and is the only one to touch
//! them. Replies go from here straight to who waits for them.
//!
//! Invariants: inputs of a group keep their order; what a machine has applied is visible to readers before a reply that
//! rests on it leaves, and before a message that it says; submissions are bounded in bytes and refused beyond that
//! (rule 40).

use std::collections::BTreeMap;
use std::mem;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tracing::Span;

use super::busy::Turn;
use super::core::Core;
use super::peers::Outbox;
use super::peers::wire::{self, pb};
use super::queue::Queue;
use super::ticks::Ticks;
use super::{clock, prefetch, threads, worker};
use crate::base::{GroupId, HashMap, Nanos, Ticket, limits};
use crate::command::batch::Unit;
use crate::data::Thresholds;
use crate::host;
use crate::machine::{Input, Machine, Now, Origin, Output, Refusal, Submission};
use crate::service::Stage;
use crate::service::forward::Answer;

/// How often machines hear that time passed: due keys are deleted at this pace.
const TICK: Duration = Duration::from_millis(50);

/// Milliseconds for which others wait for a script, as in Redis, until CONFIG SET says otherwise.
const BUSY_AFTER_MS: u64 = 5_000;

/// Between answering an entry's clients and making the next entry the thread lets others run so many times. Where the
/// cores are busy, the clients' next commands arrive meanwhile and share the entry, with its messages and its fsync;
/// where they are idle, this returns at once.
const GATHERING_YIELDS: u32 = 4;

/// Everything that wakes a machine thread.
pub enum Event {
    /// The host tells.
    Input(GroupId, Input),
    /// Work from a connection or another node.
    Submit {
        /// When it came.
        since: Nanos,
        /// For which group.
        group: GroupId,
        /// Set for forwarded batches.
        origin: Option<Origin>,
        /// What to do.
        units: Arc<Vec<Unit>>,
        /// Who waits.
        reply_to: ReplyTo,
    },
    /// Take other thresholds from the next evaluation on.
    Configure(Thresholds),
    /// Run this when everything before it is applied.
    Then(Box<dyn FnOnce() + Send>),
    /// End the thread.
    Stop,
}

/// Who waits for a submission's answer.
pub enum ReplyTo {
    /// This node's forwarder, under this attempt; the span ends with the answer.
    Here(Ticket, Option<Span>),
    /// Another node.
    Peer {
        /// Its stream of answers.
        answers: Arc<Outbox<pb::Answer>>,
        /// Its name for the batch.
        ticket: Ticket,
        /// Ends with the answer.
        span: Option<Span>,
    },
}

/// The queues of all machine threads.
pub struct Machines {
    threads: Vec<Queue<Event>>,
    turns: Vec<Turn>,
    groups: Vec<Vec<GroupId>>,
    /// Milliseconds for which others wait for a script.
    patience_ms: AtomicU64,
    /// By group: how many bytes of submissions must wait until its thread is woken for them; with fewer they would only
    /// wait for entries on their way, whose commit wakes it anyhow. Written by the group's thread before it sleeps.
    patience: BTreeMap<GroupId, AtomicUsize>,
}

impl Machines {
    /// Queues for so many threads, and for machines of these groups.
    pub fn new(threads: usize, groups: impl Iterator<Item = GroupId>) -> Machines {
        let mut machines = Machines {
            threads: (0..threads).map(|_| Queue::new(limits::MACHINE_QUEUE_BYTES_MAX)).collect(),
            turns: (0..threads).map(|_| Turn::default()).collect(),
            groups: vec![Vec::new(); threads],
            patience_ms: AtomicU64::new(BUSY_AFTER_MS),
            patience: groups.map(|group| (group, AtomicUsize::new(0))).collect(),
        };
        for group in machines.patience.keys().copied().collect::<Vec<_>>() {
            let index = machines.index(group);
            machines.groups[index].push(group);
        }
        machines
    }

    /// Appends an event for a group, whatever waits already: what the host says is bounded by the host.
    pub fn push(&self, group: GroupId, event: Event) {
        self.of(group).push_unbounded(event);
    }

    /// Appends what the host wants told, one lock and at most one wake-up per thread. Leaves the vector empty.
    ///
    /// Where an entry was appended is worth no wake-up: a machine needs it when the entry, or another one in its
    /// place, is committed, which is told later and wakes it.
    pub fn tell(&self, inputs: &mut Vec<(GroupId, Input)>) {
        let mut told: Vec<(Vec<Event>, bool)> = self.threads.iter().map(|_| (Vec::new(), false)).collect();
        for (group, input) in inputs.drain(..) {
            let (events, wakes) = &mut told[self.index(group)];
            *wakes |= !matches!(input, Input::Proposed { .. });
            events.push(Event::Input(group, input));
        }
        for (queue, (mut events, wakes)) in self.threads.iter().zip(told) {
            if wakes {
                queue.extend_unbounded(&mut events);
            } else {
                queue.extend_quietly(&mut events);
            }
        }
    }

    /// Hands work to a group's machine. Refused when the queue is full, or a script has been running for long; then nothing
    /// happened.
    pub fn submit(
        &self,
        group: GroupId,
        origin: Option<Origin>,
        units: Arc<Vec<Unit>>,
        reply_to: ReplyTo,
        since: Nanos,
    ) -> Result<(), Refusal> {
        if let Some(kind) = self.turns[self.index(group)].busy() {
            return Err(Refusal::Busy(kind));
        }
        let bytes = wire::units_weight(&units);
        let wakes =
            |waiting| self.patience.get(&group).is_none_or(|patience| waiting >= patience.load(Ordering::Relaxed));
        let pushed =
            self.of(group).push_waking_if(Event::Submit { since, group, origin, units, reply_to }, bytes, wakes);
        pushed.map_err(|_| Refusal::Overloaded)
    }

    /// For how long others wait for a script before they are refused.
    pub fn script_patience(&self) -> Duration {
        Duration::from_millis(self.patience_ms.load(Ordering::Relaxed))
    }

    /// Sets [`Machines::script_patience`], in milliseconds.
    pub fn set_script_patience(&self, milliseconds: u64) {
        self.patience_ms.store(milliseconds, Ordering::Relaxed);
    }

    /// The turns of all threads.
    pub fn turns(&self) -> &[Turn] {
        &self.turns
    }

    /// The groups whose machines a thread owns.
    pub fn groups_of(&self, thread: usize) -> &[GroupId] {
        &self.groups[thread]
    }

    /// Takes all submissions that a thread has not taken yet out of its queue.
    pub fn take_submissions(&self, thread: usize) -> Vec<Event> {
        self.threads[thread].take_weighed(|event| matches!(event, Event::Submit { .. }))
    }

    /// Tells all machines their new thresholds.
    pub fn configure(&self, thresholds: Thresholds) {
        self.threads.iter().for_each(|queue| queue.push_unbounded(Event::Configure(thresholds)));
    }

    /// Bytes of submissions that wait.
    pub fn queued_bytes(&self) -> usize {
        self.threads.iter().map(Queue::bytes).sum()
    }

    /// Ends all threads once they took what is before.
    pub fn stop(&self) {
        self.threads.iter().for_each(|queue| queue.push_unbounded(Event::Stop));
    }

    fn of(&self, group: GroupId) -> &Queue<Event> {
        &self.threads[self.index(group)]
    }

    fn index(&self, group: GroupId) -> usize {
        (group.get() % self.threads.len() as u64) as usize
    }
}

/// Starts the threads; the machines are divided among them.
pub fn spawn(core: &Arc<Core>, machines: BTreeMap<GroupId, Machine>) -> std::io::Result<Vec<JoinHandle<()>>> {
    let mut divided: Vec<BTreeMap<GroupId, Slot>> = core.machines.threads.iter().map(|_| BTreeMap::new()).collect();
    for (group, machine) in machines {
        divided[core.machines.index(group)].insert(group, Slot { machine, touched: false });
    }
    let spawned = divided.into_iter().enumerate().map(|(index, machines)| {
        let thread = Thread {
            core: core.clone(),
            index,
            machines,
            waiting: HashMap::default(),
            outputs: Vec::new(),
            tickets: 0,
            for_worker: Vec::new(),
            for_here: Vec::new(),
            for_peers: Vec::new(),
        };
        threads::spawn(format!("machine-{index}"), move || {
            threads::work_in_batches();
            thread.run();
        })
    });
    spawned.collect()
}

/// One machine thread.
struct Thread {
    core: Arc<Core>,
    index: usize,
    machines: BTreeMap<GroupId, Slot>,
    /// Who waits for what was submitted, by this thread's own numbers.
    waiting: HashMap<Ticket, ReplyTo>,
    tickets: u64,
    /// Reused: what came of one machine, and where it goes.
    outputs: Vec<Output>,
    for_worker: Vec<worker::Event>,
    for_here: Vec<(GroupId, Ticket, Answer)>,
    for_peers: Vec<(Arc<Outbox<pb::Answer>>, pb::Answer)>,
}

struct Slot {
    machine: Machine,
    /// Something was handed to it since its last turn.
    touched: bool,
}

impl Thread {
    fn run(mut self) {
        let core = self.core.clone();
        let queue = &core.machines.threads[self.index];
        let mut events = Vec::new();
        let mut ticks = Ticks::new(TICK, clock::boottime());
        loop {
            queue.take(&mut events, Some(ticks.patience(clock::boottime())));
            core.machines.turns[self.index].begin(clock::boottime());
            if !self.take(&mut events) {
                return;
            }
            if self.answer() {
                for _ in 0..GATHERING_YIELDS {
                    if queue.bytes() >= limits::ENTRY_BYTES_WORTHWHILE {
                        break;
                    }
                    thread::yield_now();
                }
                queue.take_ready(&mut events);
                if !self.take(&mut events) {
                    return;
                }
            }
            let now = now();
            if ticks.take(now.mono) {
                let groups: Vec<_> = self.machines.keys().copied().collect();
                groups.into_iter().for_each(|group| self.handle(group, Input::Tick, now));
            }
            self.turn(now);
            core.machines.turns[self.index].end();
            core.metrics.machine_turns.inc();
        }
    }

    /// Hands all events to their machines; false when the thread is to end.
    fn take(&mut self, events: &mut Vec<Event>) -> bool {
        // Read after the events were received: an answer under a lease rests on this order.
        let now = now();
        let (mut submissions, mut oldest) = (0, now.mono);
        for event in events.drain(..) {
            match event {
                Event::Input(group, input) => self.handle(group, input, now),
                Event::Submit { since, group, origin, units, reply_to } => {
                    submissions += 1;
                    oldest = oldest.min(since);
                    self.tickets += 1;
                    let ticket = Ticket(self.tickets);
                    self.waiting.insert(ticket, reply_to);
                    self.handle(group, Input::Submit(Submission { ticket, origin, units }), now);
                }
                Event::Configure(thresholds) => {
                    self.machines.values_mut().for_each(|slot| slot.machine.configure(thresholds));
                }
                Event::Then(job) => {
                    self.turn(now);
                    job();
                }
                Event::Stop => return false,
            }
        }
        if submissions > 0 {
            self.core.metrics.stages.note(Stage::Queue, now.mono.since(oldest), submissions);
        }
        true
    }

    fn handle(&mut self, group: GroupId, input: Input, now: Now) {
        let Some(slot) = self.machines.get_mut(&group) else {
            // Forwarded by a node that knows another map.
            if let Input::Submit(submission) = input {
                self.reply(group, submission.ticket, Answer::Refused(Refusal::NotLeader));
            }
            return;
        };
        slot.touched = true;
        let entries = if let Input::Commit(entries) = &input { entries.len() } else { 0 };
        let began = if entries > 0 { clock::boottime() } else { now.mono };
        if let Err(why) = slot.machine.handle(now, input, &mut self.outputs) {
            self.core.die(&format!("group {group}: {why}"));
        }
        if entries > 0 {
            self.core.metrics.stages.note(Stage::Apply, clock::boottime().since(began), entries);
        }
        self.sort_out(group);
    }

    /// One turn of every machine that got something, then everything leaves: entries to the raft worker, answers to
    /// who waits.
    fn turn(&mut self, now: Now) {
        let groups: Vec<_> = self.machines.iter().filter(|(_, slot)| slot.touched).map(|(group, _)| *group).collect();
        for group in groups {
            let Some(slot) = self.machines.get_mut(&group) else { continue };
            slot.touched = false;
            let began = clock::boottime();
            prefetch::fetch(&self.core.tokio, &self.core.engine, slot.machine.cold_records());
            if let Err(why) = slot.machine.turn(now, &mut self.outputs) {
                self.core.die(&format!("group {group}: {why}"));
            }
            let proposed = self.outputs.iter().filter_map(|output| match output {
                Output::Propose(proposal) => Some(proposal.data.len()),
                _ => None,
            });
            let proposed: usize = proposed.sum();
            if proposed > 0 {
                self.core.metrics.stages.note(Stage::Evaluate, clock::boottime().since(began), proposed);
            }
            if let Some(patience) = self.core.machines.patience.get(&group) {
                patience.store(slot.machine.patience(), Ordering::Relaxed);
            }
            self.sort_out(group);
        }
        let core = &self.core;
        // How far a machine has applied moves no message: the worker hears of it at its next turn, a tick from now at
        // the latest.
        let applied = |event: &worker::Event| matches!(event, worker::Event::Input(host::Input::Applied { .. }));
        if self.for_worker.iter().all(applied) {
            core.worker.extend_quietly(&mut self.for_worker);
        } else {
            core.worker.extend_unbounded(&mut self.for_worker);
        }
        self.answer();
    }

    /// Answers leave to who waits for them; says whether there were any.
    fn answer(&mut self) -> bool {
        let answers = self.for_here.len() + self.for_peers.len();
        if answers == 0 {
            return false;
        }
        let began = clock::boottime();
        self.core.forwarding.answered(&self.core, &mut self.for_here);
        let mut for_peers = mem::take(&mut self.for_peers);
        // Answers of one turn mostly go to one stream after the other: one lock and one frame per run of them.
        while let Some((outbox, _)) = for_peers.first() {
            let outbox = outbox.clone();
            let (run, rest): (Vec<_>, Vec<_>) = for_peers.into_iter().partition(|(to, _)| Arc::ptr_eq(to, &outbox));
            let weighed = run.into_iter().map(|(_, answer)| {
                let bytes = wire::answer_weight(&answer);
                (answer, bytes)
            });
            // Too many large replies at once: who asked hears that at once, and asks again.
            outbox.push_or(weighed, wire::without_replies);
            for_peers = rest;
        }
        self.core.metrics.stages.note(Stage::Publish, clock::boottime().since(began), answers);
        true
    }

    /// Puts what a machine wants where it is to go. Applied places are shown at once, before any reply leaves.
    fn sort_out(&mut self, group: GroupId) {
        let mut outputs = mem::take(&mut self.outputs);
        for output in outputs.drain(..) {
            match output {
                Output::Propose(proposal) => self.for_worker.push(worker::Event::Input(host::Input::Propose(proposal))),
                Output::ConfirmLeadership(number) => {
                    let input = host::Input::ConfirmLeadership { group, number };
                    self.for_worker.push(worker::Event::Input(input));
                }
                Output::LeaseReleased(term) => {
                    let input = host::Input::LeaseReleased { group, term };
                    self.for_worker.push(worker::Event::Input(input));
                }
                Output::Applied(index) => {
                    let Some(state) = self.machines.get(&group).map(|slot| slot.machine.state()) else { continue };
                    // The hash is that of the newest place; of several in one step only that one is told.
                    if state.applied == index {
                        if let Some(local) = self.core.local.get(&group) {
                            local.cell.set_applied(index, state.stamp);
                        }
                        if group == GroupId::META {
                            self.core.meta_applied();
                        }
                        let input = host::Input::Applied { group, index, hash: state.hash };
                        self.for_worker.push(worker::Event::Input(input));
                    }
                }
                Output::Changed(changes) => self.core.trackers.changed(clock::boottime(), &changes),
                Output::Published(_, publications) => self.core.hub.deliver(clock::boottime(), &publications),
                Output::Reply(ticket, replies) => self.reply(group, ticket, Answer::Replies(replies)),
                Output::Refused(ticket, refusal) => self.reply(group, ticket, Answer::Refused(refusal)),
                Output::Unknown(ticket) => self.reply(group, ticket, Answer::Unknown),
            }
        }
        self.outputs = outputs;
    }

    fn reply(&mut self, group: GroupId, ticket: Ticket, answer: Answer) {
        match self.waiting.remove(&ticket) {
            Some(ReplyTo::Here(attempt, _span)) => self.for_here.push((group, attempt, answer)),
            Some(ReplyTo::Peer { answers, ticket, span: _span }) => {
                self.for_peers.push((answers, wire::answer_to_wire(group, ticket, &answer)));
            }
            None => {}
        }
    }
}

fn now() -> Now {
    Now { wall: clock::wall(), mono: clock::boottime() }
}
