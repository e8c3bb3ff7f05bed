//! One node: the production host, machines and forwarder, and what connects them. The counterpart of `runtime`: what
//! are threads and queues there are events with random delays here, so that a crash, a pause or another event can
//! come between any two of them.
//!
//! Invariants, as in `runtime`: views are published before messages leave (rule 37); log writes reach the disk in
//! order, and a failed one ends the process (rule 5); a dead process leaves what `MemoryLog::crash` and
//! `MemoryEngine::crash` leave, nothing else.

mod machines;
mod members;
mod requests;
mod snapshots;
mod worker;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

pub use members::address;
use requests::Requests;
use snapshots::Snapshots;
use worker::Effect;

use super::check::Violation;
use super::clock::Clock;
use super::disk::Disk;
use super::plan::Plan;
use super::shared::{Frame, Shared};
use crate::base::{GroupId, LogIndex, Millis, Nanos, NodeId, Rng, SessionId, SlotRange, Term, Ticket};
use crate::data::{self, Counts, Head, Thresholds, Usage};
use crate::host::meta::{self, Facts, Registrar};
use crate::host::{self, Host, Persist, View};
use crate::machine::{self, Machine, State, Version};
use crate::service::forward::Forwarder;
use crate::store::cached::{CachedEngine, Fill, Policy};
use crate::store::generation::Generations;
use crate::store::memory::{Fault, MemoryEngine, MemoryLog, Operation};
use crate::store::{Engine, Log as _, Order, keys};

/// One tick of Raft's clock.
const TICK: Duration = Duration::from_millis(10);
/// A process that was told to end does so after this, whatever it still leads.
const LEAVE_MAX: Duration = Duration::from_secs(2);

/// What happens inside a node.
#[derive(Debug)]
pub enum NodeEvent {
    /// A tick interval passed.
    Tick,
    /// The host looks at what came.
    HostTurn,
    /// A machine looks at what came.
    MachineTurn(GroupId),
    /// The log writer looks at what came.
    LogTurn,
    /// The sync that the log writer waits for is over.
    LogSynced { number: u64 },
    /// The flusher's time.
    Flush,
    /// The flush that it waits for is over.
    Flushed,
    /// The flusher reads how far the flush made a group durable, and tells the host.
    FlushKnown { group: GroupId },
    /// The stream of forwarded batches to a node broke.
    StreamEnded { to: NodeId },
    /// Time to open it (again).
    OpenStream { to: NodeId },
    /// A view of a group is taken.
    TakeView { group: GroupId, snapshot: u64 },
    /// The next chunk of a snapshot is read and sent.
    SendChunk { stream: u64 },
    /// A snapshot stream takes too long.
    StreamTimeout { stream: u64 },
    /// A received snapshot replaces the state.
    Install { group: GroupId, snapshot: u64, index: LogIndex, term: Term },
    /// A local read goes on.
    Read { read: u64 },
    /// A lookup goes on that its thread left between reading a record and keeping a copy of it.
    KeepCopy { record: Bytes, fill: Option<Fill> },
    /// A client has waited for a key as long as it wanted.
    WaitOver { group: GroupId, ticket: Ticket, hangs_up: bool },
    /// The forwarder's clock.
    ForwardTick,
    /// Time to compare the facts with how this node is reached.
    LookAtFacts,
    /// The process was told to end: it does when it leads nothing any more, or at last.
    Leaving { since: Nanos, down: Duration },
}

impl NodeEvent {
    /// For the trace hash.
    pub fn code(&self) -> u64 {
        let (kind, number) = match self {
            NodeEvent::Tick => (1, 0),
            NodeEvent::HostTurn => (2, 0),
            NodeEvent::MachineTurn(group) => (3, group.get()),
            NodeEvent::LogTurn => (4, 0),
            NodeEvent::LogSynced { number } => (5, *number),
            NodeEvent::Flush => (6, 0),
            NodeEvent::Flushed => (7, 0),
            NodeEvent::FlushKnown { group } => (17, group.get()),
            NodeEvent::StreamEnded { to } => (8, to.get()),
            NodeEvent::OpenStream { to } => (9, to.get()),
            NodeEvent::TakeView { snapshot, .. } => (10, *snapshot),
            NodeEvent::SendChunk { stream } => (11, *stream),
            NodeEvent::StreamTimeout { stream } => (12, *stream),
            NodeEvent::Install { index, .. } => (13, index.get()),
            NodeEvent::Read { read } => (14, *read),
            NodeEvent::ForwardTick => (15, 0),
            NodeEvent::Leaving { since, .. } => (16, since.0),
            NodeEvent::LookAtFacts => (18, 0),
            NodeEvent::WaitOver { ticket, .. } => (20, ticket.get()),
            NodeEvent::KeepCopy { .. } => (19, 0),
        };
        kind | number << 8
    }
}

/// A node: what outlives its process, and its process while there is one.
pub struct Node {
    /// Its id.
    pub id: NodeId,
    /// Its clocks.
    pub clock: Clock,
    /// Its disk.
    pub disk: Disk,
    /// How often a replica here became leader and served.
    pub leaderships: u64,
    engine: MemoryEngine,
    log: Arc<MemoryLog>,
    /// What it was told when it joined.
    joined: Option<Facts>,
    rng: Rng,
    life: Option<Life>,
    number: u64,
    pauses: Vec<(Nanos, Nanos)>,
    /// The process dies after this many effects.
    dies_after: Option<(u64, Duration)>,
    /// It died in this event, and comes back after this long.
    death: Option<Duration>,
    /// The raft worker is preempted after this many of its effects.
    preempted_after: Option<(u64, Duration)>,
    /// The raft worker is preempted the next time that it is about to tell a machine something after it sent messages.
    preempted_midway: Option<Duration>,
}

/// A process.
struct Life {
    host: Host,
    host_inbox: VecDeque<host::Input>,
    host_turn: bool,
    /// What the host wanted and its thread has not done yet.
    effects: VecDeque<Effect>,
    /// The thread is preempted until then.
    preempted_until: Nanos,
    machines: BTreeMap<GroupId, Slot>,
    views: BTreeMap<GroupId, View>,
    persists: VecDeque<Persist>,
    /// The log writer is at work.
    writing: bool,
    flushing: bool,
    flush_every: Duration,
    chunk_bytes: usize,
    /// What the node's machines and readers see: generations above the engine, perhaps with a cache between.
    engine: Arc<dyn Engine>,
    cache: Option<Arc<CachedEngine>>,
    requests: Requests,
    snapshots: Snapshots,
    registrar: Registrar,
    /// What the meta group knows, as far as it is applied here.
    facts: Option<Facts>,
}

/// A machine and what waits for it.
struct Slot {
    machine: Machine,
    inbox: VecDeque<MachineWork>,
    turn: bool,
    applied: LogIndex,
    stamp: Millis,
    slots: Option<SlotRange>,
    version: Arc<Version>,
    thresholds: Thresholds,
    usage: Arc<Usage>,
}

enum MachineWork {
    Input(machine::Input),
    /// Everything committed before is applied by now: the snapshot may replace the state.
    Install {
        snapshot: u64,
        index: LogIndex,
        term: Term,
    },
}

impl Node {
    /// A node that was never started.
    pub fn new(id: NodeId, plan: &Plan, rng: &mut Rng) -> Node {
        let mut rng = rng.fork();
        let engine = MemoryEngine::new();
        if plan.cold_reads {
            engine.set_cold(Some(rng.fork()));
        }
        Node {
            id,
            clock: Clock::new(&mut rng, plan.skewed_clocks),
            disk: Disk::new(rng.fork()),
            leaderships: 0,
            engine,
            log: Arc::new(MemoryLog::new()),
            joined: None,
            rng,
            life: None,
            number: 0,
            pauses: Vec::new(),
            dies_after: None,
            death: None,
            preempted_after: None,
            preempted_midway: None,
        }
    }

    /// Starts the process on what the disk holds.
    pub fn start(&mut self, shared: &mut Shared, plan: &Plan, number: u64) {
        self.number = number;
        match self.open(shared, plan) {
            Ok(life) => self.life = Some(life),
            Err(why) => {
                let story = vec![format!("node {} does not start: {why}", self.id)];
                return shared.violated(Violation::new("a crash leaves what a node can start from", story));
            }
        }
        let now = shared.now();
        shared.trace.note(now, Some(self.id), format_args!("starts its life {number}"));
        shared.plan_soon(self.id, NodeEvent::Tick);
        shared.plan_soon(self.id, NodeEvent::HostTurn);
        shared.plan_soon(self.id, NodeEvent::ForwardTick);
        shared.plan_soon(self.id, NodeEvent::LookAtFacts);
        shared.plan(self.id, plan.flush_every, NodeEvent::Flush);
        for to in (1..=plan.all()).map(NodeId).filter(|to| *to != self.id) {
            shared.plan_soon(self.id, NodeEvent::OpenStream { to });
        }
    }

    fn open(&mut self, shared: &mut Shared, plan: &Plan) -> Result<Life, String> {
        let beginning = plan.beginning();
        let known = self.facts().map_err(|why| why.to_string())?;
        let joined = self.joined.is_some();
        let known = known.filter(|known| !joined || !known.are_from_before(beginning.cluster, self.id));
        if let Some(known) = &known {
            known.check(beginning.cluster, self.id)?;
        }
        let facts = known.as_ref().or(self.joined.as_ref()).unwrap_or(&beginning).clone();
        let logs = self.log.load().map_err(|why| why.to_string())?;
        let mut engine: Arc<dyn Engine> = Arc::new(self.engine.clone());
        let mut cache = None;
        if plan.cache_bytes > 0 {
            let above = Arc::new(CachedEngine::new(engine, plan.cache_bytes, Policy::TinyLfu));
            (engine, cache) = (above.clone(), Some(above));
        }
        engine = Arc::new(Generations::new(engine, plan.generation_bytes));
        let mut starts = facts.starts(self.id, &beginning);
        let mut machines = BTreeMap::new();
        for start in &mut starts {
            let state = State::load(&self.engine, start.group).map_err(|why| why.to_string())?.unwrap_or_default();
            start.applied = (state.applied, state.term);
            start.hash = state.hash;
            start.conf_state = state.conf_state;
            start.log = logs.iter().find(|log| log.group == start.group).copied();
            cover_start(shared, start);
            let slots = facts.groups.iter().find(|group| group.id == start.group).and_then(|group| group.slots);
            let settings = plan.machine_settings();
            let (thresholds, usage) = (settings.thresholds, settings.usage.clone());
            let seed = self.rng.next();
            let content = meta::content(slots);
            let mut machine = Machine::new(start.group, content, start.epoch, engine.clone(), settings, seed)
                .map_err(|why| why.to_string())?;
            let logged = start.log.map_or(LogIndex(0), |log| log.last);
            shared.publications.started(self.id, start.group, state.applied, logged);
            if let Some(log) = &start.log {
                let (last, term) = log.last_place(self.log.as_ref()).map_err(|why| why.to_string())?;
                machine.started_with_log(last, term);
            }
            let version = machine.version();
            let inbox = VecDeque::new();
            let State { applied, stamp, .. } = state;
            let slot = Slot { machine, inbox, turn: false, applied, stamp, slots, version, thresholds, usage };
            machines.insert(start.group, slot);
        }
        let now = self.clock.monotonic(shared.now());
        let config = plan.group_config();
        let host = Host::new(&config, self.id, facts.cluster, starts, self.log.clone(), plan.seed, now)
            .map_err(|why| why.to_string())?;
        let forwarder = Forwarder::new(self.id, SessionId(self.rng.next()), plan.forward_bounds());
        Ok(Life {
            host,
            host_inbox: VecDeque::new(),
            host_turn: true,
            effects: VecDeque::new(),
            preempted_until: Nanos(0),
            machines,
            views: BTreeMap::new(),
            persists: VecDeque::new(),
            writing: false,
            flushing: false,
            flush_every: plan.flush_every,
            chunk_bytes: plan.bounds.chunk_bytes,
            engine,
            cache,
            requests: Requests::new(forwarder),
            snapshots: Snapshots::default(),
            registrar: Registrar::new(members::address(self.id, self.number), beginning),
            facts: known,
        })
    }

    /// Whether this is the life that the node lives now.
    pub fn lives(&self, number: u64) -> bool {
        self.life.is_some() && self.number == number
    }

    /// Stops the process for a while; it does not notice.
    pub fn pause(&mut self, now: Nanos, length: Duration) {
        self.pauses.push((now, now + length));
    }

    /// If the process is stopped now: until when.
    pub fn paused_until(&self, now: Nanos, life: u64) -> Option<Nanos> {
        let (_, until) = self.pauses.iter().rev().find(|(from, until)| *from <= now && now < *until)?;
        self.lives(life).then_some(*until)
    }

    /// How many nanoseconds of an interval the process was stopped, at most.
    pub fn paused_since(&self, since: Nanos, now: Nanos) -> u64 {
        let overlap = |&(from, until): &(Nanos, Nanos)| until.min(now).0.saturating_sub(from.max(since).0);
        self.pauses.iter().map(overlap).sum()
    }

    /// The process will die between two of its next effects.
    pub fn die_after(&mut self, effects: u64, down: Duration) {
        self.dies_after = Some((effects, down));
    }

    /// The process dies now: what is volatile is gone.
    pub fn die(&mut self, shared: &mut Shared, down: Duration) {
        self.cover_life(shared);
        let Some(life) = self.life.take() else { return };
        let unsynced = self.log.unsynced_writes();
        let unflushed = life.engine.figures().unflushed_bytes;
        self.log.crash(&mut self.rng);
        self.engine.crash(&mut self.rng);
        if self.log.was_torn() {
            shared.coverage.saw("torn tail");
        }
        if unsynced > 0 {
            shared.coverage.saw("unsynced log lost");
        }
        if unflushed > 0 {
            shared.coverage.saw("state lost to the last flush");
        }
        let now = shared.now();
        let what = format_args!("dies with {unsynced} unsynced log writes and {unflushed} unflushed bytes");
        shared.trace.note(now, Some(self.id), what);
        self.dies_after = None;
        (self.preempted_after, self.preempted_midway) = (None, None);
        self.pauses.retain(|(_, until)| *until <= now);
        self.death = Some(down);
    }

    /// The raft worker will not be scheduled for a while between two of its next effects.
    pub fn preempt(&mut self, effects: u64, length: Duration) {
        self.preempted_after = Some((effects, length));
    }

    /// The same, once it has sent messages and not yet told a machine what belongs to them.
    pub fn preempt_midway(&mut self, length: Duration) {
        self.preempted_midway = Some(length);
    }

    /// The term in which this node leads and serves a group, as its clients see it.
    pub fn leads(&self, group: GroupId) -> Option<Term> {
        let view = self.view(group).filter(|view| view.serving && view.leader == Some(self.id))?;
        Some(view.term)
    }

    /// If the process died in this event: for how long it stays down.
    pub fn take_death(&mut self) -> Option<Duration> {
        self.death.take()
    }

    /// Everything is well from now on; only a process that is stopped now goes on when it would have.
    pub fn heal(&mut self) {
        self.dies_after = None;
        (self.preempted_after, self.preempted_midway) = (None, None);
        self.disk.heal();
        self.engine.heal();
        self.log.heal();
    }

    /// Handles what happens inside the process.
    pub fn handle(&mut self, shared: &mut Shared, event: NodeEvent) {
        match event {
            NodeEvent::Tick => self.tick(shared),
            NodeEvent::HostTurn => self.host_turn(shared),
            NodeEvent::MachineTurn(group) => self.machine_turn(shared, group),
            NodeEvent::LogTurn => self.log_turn(shared),
            NodeEvent::LogSynced { number } => self.log_synced(shared, number),
            NodeEvent::Flush => self.flush(shared),
            NodeEvent::Flushed => self.flushed(shared),
            NodeEvent::FlushKnown { group } => self.flush_known(shared, group),
            NodeEvent::StreamEnded { to } => self.stream_ended(shared, to),
            NodeEvent::OpenStream { to } => self.open_stream(shared, to),
            NodeEvent::TakeView { group, snapshot } => self.take_view(shared, group, snapshot),
            NodeEvent::SendChunk { stream } => self.send_chunk(shared, stream),
            NodeEvent::StreamTimeout { stream } => self.stream_over(shared, stream, false),
            NodeEvent::Install { group, snapshot, index, term } => self.install(shared, group, snapshot, index, term),
            NodeEvent::Read { read } => self.read_step(shared, read),
            NodeEvent::KeepCopy { record, fill } => self.keep_copy(&record, fill.as_ref()),
            NodeEvent::WaitOver { group, ticket, hangs_up } => self.wait_over(shared, group, ticket, hangs_up),
            NodeEvent::ForwardTick => self.forward_tick(shared),
            NodeEvent::LookAtFacts => self.look_at_facts(shared),
            NodeEvent::Leaving { since, down } => self.leaving(shared, since, down),
        }
    }

    /// Handles a frame of another node.
    pub fn receive(&mut self, shared: &mut Shared, from: NodeId, frame: Frame) {
        match frame {
            Frame::Raft(envelope) => self.tell_host(shared, host::Input::Message(envelope)),
            Frame::Batch { stream, group, submission } => self.batch_arrived(shared, from, stream, group, submission),
            Frame::Reply { stream, reply } => self.reply_arrived(shared, from, stream, reply),
            Frame::Snapshot { stream, part } => self.receive_part(shared, from, stream, part),
        }
    }

    /// An operator asks for a transfer; only the leader's host acts.
    pub fn transfer(&mut self, shared: &mut Shared, group: GroupId, to: NodeId) {
        if self.leads(group).is_some() && to != self.id {
            shared.coverage.saw("transfer");
            self.tell_host(shared, host::Input::TransferLeader { group, to });
        }
    }

    /// Lets the next write of the state fail.
    pub fn fail_state(&mut self) {
        if self.life.is_some() {
            for operation in [Operation::Write, Operation::Ingest] {
                let fault = if self.rng.chance(1, 3) { Fault::io().but_done() } else { Fault::io() };
                self.engine.fail_next(operation, fault);
            }
        }
    }

    /// Tells the process to end.
    pub fn leave(&mut self, shared: &mut Shared, down: Duration) {
        self.tell_host(shared, host::Input::TransferAll);
        let since = shared.now();
        shared.plan(self.id, TICK, NodeEvent::Leaving { since, down });
    }

    fn leaving(&mut self, shared: &mut Shared, since: Nanos, down: Duration) {
        let Some(life) = &self.life else { return };
        if life.host.leads_any() && shared.now().since(since) < LEAVE_MAX {
            return shared.plan(self.id, TICK, NodeEvent::Leaving { since, down });
        }
        self.die(shared, down);
    }

    /// Notes what its groups went through, before the process ends.
    pub fn cover_life(&self, shared: &mut Shared) {
        let status = self.life.iter().flat_map(|life| life.host.status());
        if status.into_iter().any(|status| status.counters.step_downs > 0) {
            shared.coverage.saw("stalled leader steps down");
        }
    }

    /// How far a group is applied, if the process lives.
    pub fn applied(&self, group: GroupId) -> Option<LogIndex> {
        self.life.as_ref()?.machines.get(&group).map(|slot| slot.applied)
    }

    /// The records as the process sees them, or as the disk has them where there is none.
    pub(super) fn state(&self) -> &dyn Engine {
        self.life.as_ref().map_or(&self.engine as &dyn Engine, |life| &*life.engine)
    }

    /// A hash over all records of a group.
    pub fn state_hash(&self, group: GroupId, slots: Option<SlotRange>) -> u64 {
        let mut hash = 0xcbf2_9ce4_8422_2325_u64;
        for (start, end) in crate::store::snapshot::ranges(group, slots) {
            let read = self.state().scan(&start, &end, Order::Forward, &mut |key, value| {
                for byte in key.iter().chain(value) {
                    hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
                }
                std::ops::ControlFlow::Continue(())
            });
            // A failing disk is healed by now; an error must not make two states equal.
            if read.is_err() {
                hash ^= self.id.get();
            }
        }
        hash
    }

    /// What is wrong with a group's records: counts, expiry index, elements.
    pub fn audit(&self, group: GroupId, slots: SlotRange) -> Vec<String> {
        let counts = self
            .state()
            .get(&keys::counts(group))
            .and_then(|record| record.as_ref().map_or_else(|| Ok(Counts::default()), |record| Counts::decode(record)));
        let audited = counts.and_then(|counts| data::audit(self.state(), group, slots, &counts));
        audited.unwrap_or_else(|error| vec![error.to_string()])
    }

    /// What is stored of a key.
    pub fn head(&self, db: u8, key: &[u8]) -> Option<Head> {
        let record = self.state().get(&keys::head(db, key)).ok()??;
        Head::decode(&record).ok()
    }

    /// The node in one line, for a story.
    pub fn line(&self) -> String {
        let Some(life) = &self.life else { return format!("node {}: dead", self.id) };
        let groups: Vec<String> = life
            .views
            .values()
            .map(|view| {
                let applied = life.machines.get(&view.group).map_or(LogIndex(0), |slot| slot.applied);
                format!("{view:?} applied {applied}")
            })
            .collect();
        format!("node {}: {}", self.id, groups.join("; "))
    }

    fn view(&self, group: GroupId) -> Option<View> {
        self.life.as_ref()?.views.get(&group).copied()
    }

    /// Counts an effect; true when the process died before it.
    fn effect(&mut self, shared: &mut Shared) -> bool {
        let Some((left, down)) = &mut self.dies_after else { return false };
        if *left > 0 {
            *left -= 1;
            return false;
        }
        let down = *down;
        shared.coverage.saw("crash between effects");
        self.die(shared, down);
        true
    }

    fn log_turn(&mut self, shared: &mut Shared) {
        let now = shared.now();
        let fails = self.disk.log_fails(now);
        let Some(life) = &mut self.life else { return };
        let Some(number) = life.persists.back().map(|persist| persist.number) else {
            life.writing = false;
            return;
        };
        let writes: Vec<_> = life.persists.drain(..).flat_map(|persist| persist.writes).collect();
        if writes.iter().any(|write| write.cut.is_some()) {
            shared.coverage.saw("log cut");
        }
        if fails {
            let is_full = self.disk.is_full(now);
            let fault = if is_full { Fault::no_space() } else { Fault::io() };
            let operation = if shared.rng.chance(1, 2) { Operation::Write } else { Operation::Sync };
            shared.coverage.saw(match operation {
                _ if is_full => "log without space",
                Operation::Write => "failing log write",
                _ => "failing log sync",
            });
            let fault = if shared.rng.chance(1, 3) { fault.but_done() } else { fault };
            self.log.fail_next(operation, fault);
        }
        if let Err(why) = self.log.write(&writes) {
            return self.abort(shared, &why);
        }
        if self.effect(shared) {
            return;
        }
        let took = self.disk.sync_time(now);
        shared.plan(self.id, took, NodeEvent::LogSynced { number });
    }

    fn log_synced(&mut self, shared: &mut Shared, number: u64) {
        if let Err(why) = self.log.sync() {
            return self.abort(shared, &why);
        }
        if self.effect(shared) {
            return;
        }
        self.tell_host(shared, host::Input::Persisted(number));
        shared.plan_soon(self.id, NodeEvent::LogTurn);
    }

    /// Rule 5: the process ends at once.
    fn abort(&mut self, shared: &mut Shared, why: &crate::store::Error) {
        let now = shared.now();
        shared.trace.note(now, Some(self.id), format_args!("aborts: {why}"));
        let down = Duration::from_millis(shared.rng.range(50, 1_000));
        self.die(shared, down);
    }

    fn flush(&mut self, shared: &mut Shared) {
        let now = shared.now();
        let Some(life) = &mut self.life else { return };
        shared.plan(self.id, life.flush_every, NodeEvent::Flush);
        if !life.flushing {
            life.flushing = true;
            let took = self.disk.sync_time(now) * 3;
            shared.plan(self.id, took, NodeEvent::Flushed);
        }
    }

    fn flushed(&mut self, shared: &mut Shared) {
        let now = shared.now();
        let Some(life) = &mut self.life else { return };
        life.flushing = false;
        let full = self.disk.is_full(now);
        if full {
            self.engine.fail_until_healed(Operation::Ingest, Fault::no_space());
            self.engine.fail_until_healed(Operation::Sync, Fault::no_space());
            shared.coverage.saw("flush without space");
        }
        let flushed = life.engine.flush();
        if full {
            self.engine.heal();
        }
        if flushed.is_err() {
            return;
        }
        let groups: Vec<GroupId> = life.machines.keys().copied().collect();
        // The flusher is a thread of low priority: more may be applied when it looks what it made durable.
        let late = if shared.rng.chance(1, 4) { 100_000 } else { 100 };
        for group in groups {
            let later = Duration::from_micros(shared.rng.below(late));
            shared.plan(self.id, later, NodeEvent::FlushKnown { group });
        }
    }

    fn flush_known(&mut self, shared: &mut Shared, group: GroupId) {
        if let Ok(index) = State::persisted(self.state(), group) {
            self.tell_host(shared, host::Input::Flushed { group, index });
        }
    }
}

/// Which of the two databases is ahead when a replica starts, and has to be brought to the other.
fn cover_start(shared: &mut Shared, start: &host::GroupStart) {
    let (Some(log), (applied, _)) = (start.log, start.applied) else { return };
    if applied > log.last {
        shared.coverage.saw("state ahead of its log");
    } else if applied < log.last {
        shared.coverage.saw("log ahead of its state");
    }
}
