//! The node as the service sees it: reads at once where that is linearizable, everything else to the forwarder.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::BytesMut;
use parking_lot::Mutex;

use super::clock;
use super::core::Core;
use crate::base::{GroupId, Millis, Nanos, NodeId, Rng};
use crate::cluster::Map;
use crate::command::batch::{Call, Unit};
use crate::data::{Moment, Thresholds};

use crate::machine::{Facts, InMemory, Local, read_local};
use crate::service::node::{FastRead, Node, Outcome, Pending};

/// Implements [`Node`] on the shared core.
pub struct RuntimeNode {
    core: Arc<Core>,
    rng: Mutex<Rng>,
    hash_entries_max: AtomicUsize,
    hash_value_bytes_max: AtomicUsize,
}

impl RuntimeNode {
    /// A node whose threads run or will run.
    pub fn new(core: Arc<Core>, rng: Rng) -> RuntimeNode {
        let thresholds = core.config.thresholds;
        RuntimeNode {
            core,
            rng: Mutex::new(rng),
            hash_entries_max: AtomicUsize::new(thresholds.hash_entries_max),
            hash_value_bytes_max: AtomicUsize::new(thresholds.hash_value_bytes_max),
        }
    }

    fn thresholds(&self) -> Thresholds {
        Thresholds {
            hash_entries_max: self.hash_entries_max.load(Ordering::Relaxed),
            hash_value_bytes_max: self.hash_value_bytes_max.load(Ordering::Relaxed),
        }
    }

    /// The order of rule 35: published commit index, applied at least that, data, clock, then lease, term, leadership.
    fn try_read(&self, group: GroupId, call: &Call, out: &mut BytesMut) -> Result<(), &'static str> {
        let local = self.core.local.get(&group).ok_or("not_leader")?;
        let slots = local.slots.ok_or("not_leader")?;
        let before = local.cell.view();
        if !before.serving || before.leader != Some(self.core.node) {
            return Err("not_leader");
        }
        if local.cell.applied() < before.commit {
            return Err("behind");
        }
        let facts = Facts {
            group,
            slots,
            moment: Moment { stamp: local.cell.stamp(), clock: clock::wall() },
            thresholds: self.thresholds(),
            seed: 0,
        };
        let length = out.len();
        let view = InMemory::new(self.core.engine.as_ref(), &local.version);
        match read_local(&view, &facts, call, out) {
            Ok(Local::Done) => {}
            Ok(Local::NeedsLog) => return Err("due"),
            Ok(Local::WouldBlock) => return Err("disk"),
            // The machine meets the same error and ends the process with its reason.
            Err(_) => return Err("disk"),
        }
        let now = clock::boottime();
        let after = local.cell.view();
        if !after.serving || after.term != before.term || after.lease_until <= now {
            out.truncate(length);
            return Err("lease");
        }
        Ok(())
    }
}

impl Node for RuntimeNode {
    fn id(&self) -> NodeId {
        self.core.node
    }

    fn map(&self) -> Arc<Map> {
        self.core.map()
    }

    fn read(&self, group: GroupId, call: &Call, out: &mut BytesMut) -> FastRead {
        match self.try_read(group, call, out) {
            Ok(()) => {
                self.core.metrics.reads_fast.inc();
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
        let outcome = core.forwarding.submit(core, group, units);
        let core = core.clone();
        Box::pin(async move {
            // The sender goes away only with the process, when nobody can say any more what became of it.
            let outcome = outcome.await.unwrap_or(Outcome::Unknown);
            core.metrics.submission_seconds.observe(clock::boottime().since(started).as_secs_f64());
            outcome
        })
    }

    fn now(&self) -> Millis {
        clock::wall()
    }

    fn monotonic(&self) -> Nanos {
        clock::boottime()
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

    fn configure(&self, parameter: &str, value: &str) {
        let Ok(number) = value.parse() else { return };
        match parameter {
            "hash-max-listpack-entries" => self.hash_entries_max.store(number, Ordering::Relaxed),
            "hash-max-listpack-value" => self.hash_value_bytes_max.store(number, Ordering::Relaxed),
            _ => return,
        }
        self.core.machines.configure(self.thresholds());
    }
}
