//! The raft worker: the thread that owns the [`Host`] and is the only one to touch it. Gathers what came since its
//! last turn, hands it to the host, then does what the host wants in the order it must be done.
//!
//! Invariants: views are published before messages leave (rule 37); at most one tick per interval, missed ones are
//! skipped (rule 9); this thread never waits for a disk, a socket or an evaluation.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use super::core::Core;
use super::ticks::Ticks;
use super::{clock, leadership, threads};
use crate::base::{GroupId, LogIndex, Nanos};
use crate::host::{Effects, Envelope, Fault, Host, Input, Move, Persist, SnapshotEffect, View};
use crate::machine;
use crate::service::Stage;

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
    let worker = Worker { core, host, told: Nanos(0), replication: Replication::default() };
    threads::spawn("raft", move || worker.run(tick))
}

struct Worker {
    core: Arc<Core>,
    host: Host,
    /// When the groups' status was told last.
    told: Nanos,
    replication: Replication,
}

/// Entries of leaders on their way: their places and since when they have them.
#[derive(Default)]
struct Replication(BTreeMap<GroupId, VecDeque<(LogIndex, Nanos)>>);

impl Replication {
    /// Looks at what machines are about to be told: for each group's commit the time since its newest own entry had its
    /// place, and how many of its own were committed.
    fn look(&mut self, now: Nanos, told: &[(GroupId, machine::Input)], mut note: impl FnMut(Duration, usize)) {
        for (group, input) in told {
            let under_way = self.0.entry(*group).or_default();
            match input {
                machine::Input::Proposed { index, .. } => under_way.push_back((*index, now)),
                machine::Input::Commit(entries) => {
                    let Some(last) = entries.last() else { continue };
                    let done = under_way.partition_point(|(index, _)| *index <= last.index);
                    if let Some((_, since)) = under_way.drain(..done).next_back() {
                        note(now.since(since), done);
                    }
                }
                // Whoever does not lead any more has none; what a successor replaced never commits.
                machine::Input::Role(_) => under_way.clear(),
                _ => {}
            }
        }
    }
}

/// How often people and metrics hear of the groups' status.
const STATUS_INTERVAL: Duration = Duration::from_millis(500);

impl Worker {
    fn run(mut self, tick: Duration) {
        let core = self.core.clone();
        let mut events = Vec::new();
        let mut ticks = Ticks::new(tick, clock::boottime());
        loop {
            core.worker.take(&mut events, Some(ticks.patience(clock::boottime())));
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
            leadership::tell_late_tick(ticks.late(now));
            if ticks.take(now) {
                self.host.handle(now, Input::Tick);
                if now.since(self.told) >= STATUS_INTERVAL {
                    self.told = now;
                    core.metrics.foreign_messages.set(self.host.counters().foreign_messages);
                    *core.status.lock() = self.host.status();
                }
            }
            core.metrics.worker_turns.inc();
            let effects = self.host.ready(now);
            let stages = &core.metrics.stages;
            self.replication.look(now, &effects.machine, |took, size| stages.note(Stage::Replicate, took, size));
            act(effects, &mut Outside(&core));
        }
    }
}

/// What a turn reaches of the world, so that a test can look at the order.
trait Reach {
    fn fault(&mut self, fault: &Fault);
    fn publish(&mut self, view: &View);
    fn moves(&mut self, moves: &[Move]);
    fn persist(&mut self, persist: Persist);
    fn send(&mut self, envelopes: Vec<Envelope>);
    fn tell(&mut self, inputs: Vec<(GroupId, machine::Input)>);
    fn snapshot(&mut self, effect: SnapshotEffect);
}

/// Does what the host wants, in the order of the effects: readers see the commit index of a turn before any message
/// or machine can act on it (rule 37), and the write is under way before what need not wait for it leaves.
fn act(effects: Effects, reach: &mut impl Reach) {
    let Effects { publish, persist, send, machine, snapshots, moves, faults } = effects;
    faults.iter().for_each(|fault| reach.fault(fault));
    publish.iter().for_each(|view| reach.publish(view));
    if !moves.is_empty() {
        reach.moves(&moves);
    }
    if let Some(persist) = persist {
        reach.persist(persist);
    }
    if !send.is_empty() {
        reach.send(send);
    }
    if !machine.is_empty() {
        reach.tell(machine);
    }
    snapshots.into_iter().for_each(|effect| reach.snapshot(effect));
}

/// The threads around this one.
struct Outside<'a>(&'a Arc<Core>);

impl Reach for Outside<'_> {
    fn fault(&mut self, fault: &Fault) {
        self.0.fault(fault);
    }

    fn publish(&mut self, view: &View) {
        self.0.publish(view);
    }

    fn moves(&mut self, moves: &[Move]) {
        self.0.tell_moves(moves);
    }

    fn persist(&mut self, persist: Persist) {
        self.0.log_queue.push_unbounded(persist);
    }

    fn send(&mut self, envelopes: Vec<Envelope>) {
        self.0.peers.send(envelopes);
    }

    fn tell(&mut self, mut inputs: Vec<(GroupId, machine::Input)>) {
        self.0.machines.tell(&mut inputs);
    }

    fn snapshot(&mut self, effect: SnapshotEffect) {
        self.0.snapshots.start(self.0, effect);
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::base::{ClusterId, NodeId, PeerId, Term};
    use crate::host::FaultKind;
    use crate::machine::Committed;

    /// Writes down what is done.
    #[derive(Default)]
    struct Story(Vec<&'static str>);

    impl Reach for Story {
        fn fault(&mut self, _: &Fault) {
            self.0.push("fault");
        }

        fn publish(&mut self, _: &View) {
            self.0.push("publish");
        }

        fn moves(&mut self, _: &[Move]) {
            self.0.push("moves");
        }

        fn persist(&mut self, _: Persist) {
            self.0.push("persist");
        }

        fn send(&mut self, _: Vec<Envelope>) {
            self.0.push("send");
        }

        fn tell(&mut self, _: Vec<(GroupId, machine::Input)>) {
            self.0.push("tell");
        }

        fn snapshot(&mut self, _: SnapshotEffect) {
            self.0.push("snapshot");
        }
    }

    #[test]
    fn rule_37_views_are_published_before_anything_leaves() {
        let group = GroupId(1);
        let envelope = Envelope {
            cluster: ClusterId(1),
            group,
            epoch: 0,
            from: NodeId(1),
            to: NodeId(2),
            from_peer: PeerId(1),
            to_peer: PeerId(2),
            message: Bytes::new(),
        };
        let kind = FaultKind::LostTail { acknowledged: LogIndex(2), last: LogIndex(1) };
        let effects = Effects {
            publish: vec![View { group, ..View::default() }],
            persist: Some(Persist { number: 1, writes: Vec::new() }),
            send: vec![envelope],
            machine: vec![(group, machine::Input::Tick)],
            snapshots: vec![SnapshotEffect::Drop { group, snapshot: 1 }],
            moves: vec![Move::Begins(group)],
            faults: vec![Fault { group, kind }],
        };
        let mut story = Story::default();
        act(effects, &mut story);
        assert_eq!(story.0, ["fault", "publish", "moves", "persist", "send", "tell", "snapshot"]);
    }

    #[test]
    fn replication_is_timed_from_an_entrys_place_to_its_commit() {
        let group = GroupId(1);
        let proposed = |index| {
            (group, machine::Input::Proposed { generation: 1, sequence: 0, index: LogIndex(index), term: Term(1) })
        };
        let committed = |index| {
            let (index, term) = (LogIndex(index), Term(1));
            (group, machine::Input::Commit(vec![Committed { index, term, data: Bytes::new(), conf_state: None }]))
        };
        let mut replication = Replication::default();
        let mut look = |now, told: &[_]| {
            let mut noted = Vec::new();
            replication.look(Nanos(now), told, |took, size| noted.push((took.as_nanos(), size)));
            noted
        };
        assert!(look(100, &[proposed(5)]).is_empty());
        assert!(look(150, &[proposed(6), committed(4)]).is_empty(), "that one was not proposed here");
        assert_eq!(look(200, &[committed(6), proposed(7)]), [(50, 2)]);
        assert!(look(300, &[(group, machine::Input::Role(machine::Role::Follower)), committed(7)]).is_empty());
    }
}
