//! The node as the service sees it: reads at once where that is linearizable, everything else to the forwarder.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::BytesMut;
use parking_lot::{Mutex, RwLock};
use tracing::Span;

use super::core::{Core, Group};
use super::telemetry::SPANS;
use super::{background, clock, join, membership};
use crate::base::{GroupId, Millis, Nanos, NodeId, Rng};
use crate::cluster::Map;
use crate::command;
use crate::command::acl::{Change, Users};
use crate::command::batch::{Call, Unit, UnitReply};
use crate::command::script::Running;
use crate::data::{Moment, Thresholds};
use crate::host::Input;
use crate::machine::{Facts, InMemory, Local, read_local};
use crate::service::Stage;
use crate::service::latency::Latency;
use crate::service::moves::Moves;
use crate::service::node::{
    AboutScripts, Blocking, FastRead, Node, Outcome, Pending, PendingMembers, PendingScripts, PendingUsers, Saves,
    Saving, ScriptFigures, Shutdown,
};
use crate::service::pubsub::Hub;
use crate::service::tracking::Trackers;

/// How often a read looks at a state that moves.
const LOOKS_MAX: u32 = 3;
/// An odd step visits every seed; this one keeps neighbours far apart (2^64 / golden ratio).
const SEED_STEP: u64 = 0x9e37_79b9_7f4a_7c15;

/// Implements [`Node`] on the shared core.
pub struct RuntimeNode {
    core: Arc<Core>,
    rng: Mutex<Rng>,
    /// Read by every read, changed by CONFIG SET.
    thresholds: RwLock<Thresholds>,
}

impl RuntimeNode {
    /// A node whose threads run or will run.
    pub fn new(core: Arc<Core>, rng: Rng) -> RuntimeNode {
        let thresholds = core.config.thresholds;
        RuntimeNode { core, rng: Mutex::new(rng), thresholds: RwLock::new(thresholds) }
    }

    fn thresholds(&self) -> Thresholds {
        *self.thresholds.read()
    }

    /// One read on the applied state. It may move while it is read; a second look is cheaper than the machine's
    /// thread.
    fn try_read(&self, group: GroupId, call: &Call, out: &mut BytesMut) -> Result<(), &'static str> {
        let local = self.core.local.get(&group).ok_or("not_leader")?;
        let length = out.len();
        let data = || {
            let facts = read_facts(&self.core, local, group, self.thresholds())?;
            let mut looks = 0;
            loop {
                looks += 1;
                let version = local.version.read();
                let view = InMemory::new(self.core.engine.as_ref(), &local.version);
                match read_local(&view, &facts, &self.core.usage, call, out) {
                    Ok(Local::Done) => return Ok(()),
                    Ok(Local::NeedsLog) => return Err("due"),
                    Ok(Local::WouldBlock) if version.is_some_and(|version| local.version.is_still(version)) => {
                        local.cold.store(true, Ordering::Relaxed);
                        return Err("disk");
                    }
                    Ok(Local::WouldBlock) if looks < LOOKS_MAX => {}
                    Ok(Local::WouldBlock) => return Err("moving"),
                    // The machine meets the same error and ends the process with its reason.
                    Err(_) => return Err("disk"),
                }
            }
        };
        let read = local.cell.read_locally(self.core.node, data, clock::boottime);
        read.inspect_err(|_| out.truncate(length))
    }

    /// Reads that met a record on disk: on a thread that may wait, from a view of one moment. What cannot be answered
    /// that way goes to the machine after all.
    fn wait_for_disk(
        &self,
        group: GroupId,
        units: Vec<Unit>,
        span: Option<Span>,
    ) -> impl Future<Output = Outcome> + Send + use<> {
        let (core, thresholds) = (self.core.clone(), self.thresholds());
        async move {
            let reader = core.clone();
            let task = core.tokio.spawn_blocking(move || {
                let replies = read_from_disk(&reader, group, &units, thresholds);
                (units, replies)
            });
            match task.await {
                Ok((_, Some(replies))) => {
                    core.metrics.reads_disk.inc();
                    Outcome::Replies(replies)
                }
                Ok((units, None)) => {
                    let outcome = core.forwarding.submit(&core, group, units, span.as_ref());
                    outcome.await.unwrap_or(Outcome::Unknown)
                }
                // The runtime ends; a read changed nothing.
                Err(_) => Outcome::Down,
            }
        }
    }
}

/// What a local read must know; after the check that everything committed is applied.
fn read_facts(core: &Core, local: &Group, group: GroupId, thresholds: Thresholds) -> Result<Facts, &'static str> {
    let slots = local.slots.ok_or("not_leader")?;
    let moment = Moment { stamp: local.cell.stamp(), clock: clock::wall() };
    let seed = core.seeds.fetch_add(SEED_STEP, Ordering::Relaxed);
    Ok(Facts { group, slots, moment, thresholds, events: local.version.events(), seed })
}

fn read_from_disk(core: &Core, group: GroupId, units: &[Unit], thresholds: Thresholds) -> Option<Vec<UnitReply>> {
    let local = core.local.get(&group)?;
    let data = || {
        let facts = read_facts(core, local, group, thresholds)?;
        let view = core.engine.snapshot().map_err(|_| "disk")?;
        let mut out = BytesMut::new();
        let mut replies = Vec::with_capacity(units.len());
        for unit in units {
            let Unit::Call(call) = unit else { return Err("due") };
            match read_local(view.as_ref(), &facts, &core.usage, call, &mut out) {
                Ok(Local::Done) => replies.push(UnitReply::Call(out.split().freeze())),
                _ => return Err("due"),
            }
        }
        Ok(replies)
    };
    local.cell.read_locally(core.node, data, clock::boottime).ok()
}

fn only_reads(units: &[Unit]) -> bool {
    let reads = |unit: &Unit| match unit {
        Unit::Call(call) => command::check(&call.args).is_ok_and(|spec| spec.may_be_repeated()),
        _ => false,
    };
    units.iter().all(reads)
}

impl Node for RuntimeNode {
    fn running(&self) -> Arc<Running> {
        self.core.running.clone()
    }

    fn ask_others(&self, about: AboutScripts) -> PendingScripts {
        Box::pin(self.core.peers.clone().ask_about_scripts(about))
    }

    fn scripts(&self) -> ScriptFigures {
        super::facts::scripts(&self.core)
    }

    fn hub(&self) -> Arc<Hub> {
        self.core.hub.clone()
    }

    fn trackers(&self) -> Arc<Trackers> {
        self.core.trackers.clone()
    }

    fn moves(&self) -> Arc<Moves> {
        self.core.moves.clone()
    }

    fn id(&self) -> NodeId {
        self.core.node
    }

    fn map(&self) -> Arc<Map> {
        self.core.map()
    }

    fn read(&self, group: GroupId, call: &Call, out: &mut BytesMut) -> FastRead {
        let began = self.core.sampler.begin();
        match self.try_read(group, call, out) {
            Ok(()) => {
                self.core.metrics.reads_fast.inc();
                if let Some(began) = began {
                    self.core.sampler.served_here(began, self.core.node, group);
                }
                FastRead::Done
            }
            Err(cause) => {
                self.core.metrics.slow(cause);
                FastRead::Submit
            }
        }
    }

    fn submit(&self, group: GroupId, units: Vec<Unit>) -> Pending {
        let core = &self.core;
        if !core.replayed() {
            return Box::pin(std::future::ready(Outcome::Loading));
        }
        core.metrics.submissions.inc();
        let started = clock::boottime();
        let span = core
            .sampler
            .take()
            .then(|| tracing::info_span!(target: SPANS, "request", node = %core.node, %group, units = units.len()));
        let cold = core.local.get(&group).is_some_and(|local| local.cold.swap(false, Ordering::Relaxed));
        if cold && only_reads(&units) {
            return Box::pin(self.wait_for_disk(group, units, span));
        }
        let outcome = core.forwarding.submit(core, group, units, span.as_ref());
        let core = core.clone();
        Box::pin(async move {
            let _span = span;
            // The sender goes away only with the process, when nobody can say any more what became of it.
            let outcome = outcome.await.unwrap_or(Outcome::Unknown);
            core.metrics.submission_seconds.observe(clock::boottime().since(started).as_secs_f64());
            outcome
        })
    }

    fn block(&self, group: GroupId, call: Call) -> Blocking {
        if !self.core.replayed() {
            let outcome = Box::pin(std::future::ready(Outcome::Loading));
            return Blocking { outcome, hurry: Box::new(|| {}) };
        }
        self.core.metrics.submissions.inc();
        let (hurry, answer) = super::forwarding::block(&self.core, group, call);
        // The sender goes away only with the process, when nobody can say any more what became of it.
        let outcome = Box::pin(async move { answer.await.unwrap_or(Outcome::Unknown) });
        Blocking { outcome, hurry: Box::new(hurry) }
    }

    fn users(&self) -> Arc<Users> {
        self.core.membership.users()
    }

    fn users_revision(&self) -> u64 {
        self.core.membership.users_revision()
    }

    fn change_users(&self, change: Change) -> PendingUsers {
        Box::pin(membership::change_users(self.core.clone(), change))
    }

    fn forget(&self, node: NodeId) -> PendingMembers {
        Box::pin(join::forget(self.core.clone(), node))
    }

    fn secret(&self) -> u64 {
        // The system's generator fails for no reason that a running process could meet.
        clock::entropy().unwrap_or_else(|why| self.core.die(&format!("no random bits: {why}")))
    }

    fn now(&self) -> Millis {
        clock::wall()
    }

    fn now_micros(&self) -> u64 {
        clock::wall_micros()
    }

    fn monotonic(&self) -> Nanos {
        clock::boottime()
    }

    fn sleep(&self, time: Duration) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(tokio::time::sleep(time))
    }

    fn random(&self) -> u64 {
        self.rng.lock().next()
    }

    fn facts(&self) -> Vec<(&'static str, Vec<(String, String)>)> {
        super::facts::facts(&self.core)
    }

    fn checks(&self) -> Vec<(&'static str, Result<(), String>)> {
        super::facts::checks(&self.core)
    }

    fn save(&self) -> Saving {
        let core = self.core.clone();
        let saved = self.core.tokio.spawn_blocking(move || background::flush(&core));
        Box::pin(async move {
            match saved.await {
                Ok(saved) => saved.map_err(|why| why.to_string()),
                Err(_) => Err("the node ends".into()),
            }
        })
    }

    fn saves(&self) -> Saves {
        *self.core.saves.lock()
    }

    fn shut_down(&self, how: Shutdown) {
        self.core.shutdown.send_replace(Some(how));
    }

    fn hand_over(&self, group: GroupId, to: NodeId) {
        self.core.tell(Input::TransferLeader { group, to });
    }

    fn ask_to_lead(&self, group: GroupId) {
        self.core.tell(Input::AskToLead { group });
    }

    fn latency(&self) -> Arc<Latency> {
        self.core.latency.clone()
    }

    fn allocator_report(&self) -> String {
        super::allocator::report()
    }

    fn purge_memory(&self) {
        super::allocator::purge();
    }

    fn reset_counters(&self) {
        self.core.usage.reset();
    }

    fn note(&self, stage: Stage, took: Duration, size: usize) {
        self.core.metrics.stages.note(stage, took, size);
    }

    fn configure(&self, parameter: &str, value: &str) {
        let Ok(number) = value.parse() else { return };
        if parameter == "busy-reply-threshold" {
            // 0 is without end, as in Redis.
            return self.core.machines.set_script_patience(if number == 0 { u64::MAX } else { number as u64 });
        }
        if self.thresholds.write().set(parameter, number) {
            self.core.machines.configure(self.thresholds());
        }
    }
}
