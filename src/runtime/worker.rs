//! The raft worker: the thread that owns the [`Host`] and is the only one to touch it. Gathers what came since its
//! last turn, hands it to the host, then does what the host wants in the order it must be done.
//!
//! Invariants: views are published before messages leave (rule 37); at most one tick per interval, missed ones are
//! skipped (rule 9); this thread never waits for a disk, a socket or an evaluation.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use super::core::Core;
use super::{clock, threads};
use crate::base::{GroupId, Nanos};
use crate::host::{Effects, Envelope, Host, Input};
use crate::machine;

/// Everything that wakes the worker.
#[derive(Debug)]
pub enum Event {
    /// Messages of one peer.
    Messages(Vec<Envelope>),
    /// The log is durable up to this number.
    Persisted(u64),
    /// What a machine, a snapshot or the flusher tells.
    Input(Input),
    /// End the thread.
    Stop,
}

/// Starts the thread.
pub fn spawn(core: Arc<Core>, host: Host, tick: Duration) -> std::io::Result<JoinHandle<()>> {
    let worker = Worker { core, host, outgoing: Vec::new(), told: Nanos(0) };
    threads::spawn("raft", move || worker.run(tick))
}

struct Worker {
    core: Arc<Core>,
    host: Host,
    /// Reused: inputs of one machine thread in one turn.
    outgoing: Vec<(GroupId, machine::Input)>,
    /// When the groups' status was told last.
    told: Nanos,
}

/// How often people and metrics hear of the groups' status.
const STATUS_INTERVAL: Duration = Duration::from_millis(500);

impl Worker {
    fn run(mut self, tick: Duration) {
        let core = self.core.clone();
        let mut events = Vec::new();
        let mut due = clock::boottime() + tick;
        loop {
            core.worker.take(&mut events, Some(due.since(clock::boottime())));
            let now = clock::boottime();
            for event in events.drain(..) {
                match event {
                    Event::Messages(envelopes) => {
                        for envelope in envelopes {
                            self.host.handle(now, Input::Message(envelope));
                        }
                    }
                    Event::Persisted(number) => self.host.handle(now, Input::Persisted(number)),
                    Event::Input(input) => self.host.handle(now, input),
                    Event::Stop => return,
                }
            }
            if now >= due {
                self.host.handle(now, Input::Tick);
                // From now, not from when it was due: a thread that did not run for a while must not catch up.
                due = now + tick;
                if now.since(self.told) >= STATUS_INTERVAL {
                    self.told = now;
                    core.metrics.foreign_messages.set(self.host.counters().foreign_messages);
                    *core.status.lock() = self.host.status();
                }
            }
            core.metrics.worker_turns.inc();
            let effects = self.host.ready(now);
            self.act(effects);
        }
    }

    fn act(&mut self, effects: Effects) {
        let core = &self.core;
        for fault in &effects.faults {
            core.fault(fault);
        }
        for view in &effects.publish {
            core.publish(view);
        }
        if let Some(persist) = effects.persist {
            core.log_queue.push_unbounded(persist);
        }
        if !effects.send.is_empty() {
            core.peers.send(effects.send);
        }
        self.outgoing = effects.machine;
        core.machines.tell(&mut self.outgoing);
        for effect in effects.snapshots {
            core.snapshots.start(core, effect);
        }
    }
}
