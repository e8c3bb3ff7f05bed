//! One test per rule of the engine that lives in `group` and `host`. Names carry the rules' numbers, or the ids of the
//! scenarios that are named after other systems' bugs.

use std::sync::Arc;

use holdfast::base::{ClusterId, GroupId, LogIndex, NodeId, PeerId, Term};
use holdfast::host::{Config, Envelope, FaultKind, Host, Input, StartError};
use holdfast::machine;
use holdfast::store::memory::MemoryLog;
use holdfast::store::{HardState, Log, LogRecord, LogState, LogWrite};
use raft::eraftpb::{Entry, MessageType};

use super::world::{GROUP, World, decode, envelope, forge, kind};

fn small_log() -> Config {
    Config { log_entries_kept: 2, follower_lag_max: 2, tail_bytes_kept: 0, ..Config::default() }
}

/// What a node has sent to the group's others and nobody has received yet, of one kind.
pub fn sent(world: &World, from: u64, name: &str) -> Vec<Envelope> {
    let messages = world.network.iter().filter(|envelope| envelope.group == GROUP && envelope.from == NodeId(from));
    messages.filter(|envelope| kind(envelope) == name).cloned().collect()
}

/// How many proposals a node's machine was told to be dropped.
pub fn dropped(world: &mut World, id: u64) -> usize {
    let log = std::mem::take(&mut world.machine(id).log);
    log.iter().filter(|input| matches!(input, machine::Input::Dropped { .. })).count()
}

#[test]
fn rule_01_a_followers_messages_wait_for_its_disk() {
    let mut world = World::ready(Config::default());
    world.isolate(3);
    world.node(1).disk_stalled = true;
    world.propose(2, "a");
    world.settle();
    // Heartbeats are answered meanwhile, which promises nothing about entries.
    world.advance(60);
    assert!(world.payloads(2).is_empty(), "one durable copy is no majority");
    world.cut.clear();
    world.isolate(3);
    world.sync_disk(1);
    world.settle();
    assert_eq!(world.payloads(2), ["a"]);
}

#[test]
fn rule_01_a_ready_without_data_queues_behind_unsynced_ones() {
    let mut world = World::ready(Config::default());
    world.node(1).disk_stalled = true;
    world.propose(2, "a");
    while let Some(place) = world.network.iter().position(|envelope| envelope.to == NodeId(1)) {
        let envelope = world.network.remove(place).unwrap();
        world.input(1, Input::Message(envelope));
    }
    let heartbeat = envelope(&world, 2, 1, |message| {
        message.set_msg_type(MessageType::MsgHeartbeat);
        message.term = 1;
    });
    // The leader is told that it is followed, and nothing of the entry.
    world.input(1, Input::Message(heartbeat.clone()));
    assert_eq!(sent(&world, 1, "MsgHeartbeatResponse").len(), 1);
    assert_eq!(world.network.iter().filter(|envelope| envelope.from == NodeId(1)).count(), 1);
    world.network.retain(|envelope| envelope.from != NodeId(1));
    // A disk that is silent for so long is no follower's.
    world.now = world.now + Config::default().unsynced_max;
    world.input(1, Input::Message(heartbeat));
    assert!(world.network.iter().all(|envelope| envelope.from != NodeId(1)), "nothing leaves before the fsync");
    world.sync_disk(1);
    world.input(1, Input::Tick);
    let numbers: Vec<u64> = (0..100).collect();
    for number in numbers {
        world.input(1, Input::Persisted(number));
    }
    assert_eq!(sent(&world, 1, "MsgAppendResponse").len(), 1);
    assert_eq!(sent(&world, 1, "MsgHeartbeatResponse").len(), 1);
}

#[test]
fn rule_01_a_heartbeat_is_answered_once_term_and_vote_are_durable() {
    let mut world = World::new(3, 1, Config::default());
    world.node(1).disk_stalled = true;
    world.node(3).disk_stalled = true;
    world.advance(1000);
    // Both heard of a term that their disks do not have.
    assert_eq!(world.leader(), None);
    let heartbeat = envelope(&world, 2, 1, |message| {
        message.set_msg_type(MessageType::MsgHeartbeat);
        message.term = 7;
    });
    world.network.clear();
    world.input(1, Input::Message(heartbeat));
    assert_eq!(world.status(1).term, Term(7));
    assert!(world.network.iter().all(|envelope| envelope.from != NodeId(1)), "a crash would forget that term");
    world.sync_disk(1);
    while let Some((_, input)) = world.pop_local() {
        world.input(1, input);
    }
    assert_eq!(sent(&world, 1, "MsgHeartbeatResponse").len(), 1);
}

#[test]
fn rule_01_a_leaders_appends_do_not_wait_for_its_own_disk() {
    let mut world = World::ready(Config::default());
    world.node(2).disk_stalled = true;
    world.propose(2, "a");
    world.advance(60);
    assert_eq!(world.payloads(1), ["a"], "two other disks are a majority");
    assert!(world.payloads(2).is_empty(), "applied only what is durable here: E1");
    world.node(2).disk_stalled = false;
    world.sync_disk(2);
    world.settle();
    assert_eq!(world.payloads(2), ["a"]);
}

#[test]
fn rule_03_unsynced_entries_are_served_from_memory() {
    let mut world = World::ready(small_log());
    world.isolate(3);
    world.node(2).disk_stalled = true;
    for payload in ["a", "b", "c"] {
        world.propose(2, payload);
    }
    world.advance(50);
    world.heal();
    world.advance(200);
    assert_eq!(world.payloads(3), ["a", "b", "c"], "the leader's log database has none of them");
}

#[test]
fn rule_04_hard_state_survives_every_log_cut() {
    let mut world = World::ready(small_log());
    for round in 0..5 {
        for payload in 0..5 {
            world.propose(2, &format!("{round}-{payload}"));
        }
        world.advance(50);
        (1..=3).for_each(|id| world.flush(id));
    }
    let first = world.status(1).first;
    assert!(first > LogIndex(15), "the log was cut: {first}");
    world.crash(1);
    let state = world.node(1).log.load().unwrap().into_iter().find(|state| state.group == GROUP).unwrap();
    assert_eq!((state.hard_state.term, state.hard_state.vote), (Term(1), 2));
    world.start(1).unwrap();
    assert_eq!(world.status(1).term, Term(1));
    world.advance(500);
    assert_eq!(world.payloads(1).len(), 25);
}

#[test]
fn rule_06_a_log_that_lost_committed_entries_is_refused() {
    let mut world = World::ready(Config::default());
    for payload in ["a", "b", "c"] {
        world.propose(2, payload);
        world.advance(50);
    }
    world.crash(1);
    world.node(1).log.lose_tail(GROUP, LogIndex(2));
    assert!(world.node(1).log.load().is_err(), "the log itself notices");
    // And so does the group, should a log not: the commit index was written beside the later entries.
    let hard_state = HardState { term: Term(1), vote: 2, commit: LogIndex(3) };
    let log = Arc::new(MemoryLog::new());
    let record = |index| LogRecord { index: LogIndex(index), term: Term(1), data: "".into() };
    let records = vec![record(1), record(2), record(3)];
    log.append(&[LogWrite { group: GROUP, records, hard_state: Some(hard_state), ..LogWrite::default() }]).unwrap();
    let mut starts = world.facts.starts(NodeId(1), &world.facts);
    starts.retain(|start| start.group == GROUP);
    starts[0].log = Some(LogState { group: GROUP, hard_state, last: LogIndex(2), ..LogState::default() });
    let opened =
        Host::new(&Config::default(), NodeId(1), world.facts.cluster, starts.clone(), log.clone(), 0, world.now);
    assert!(matches!(opened.err(), Some(StartError::TailLost { last: LogIndex(2), commit: LogIndex(3), .. })));
    // A state that has the entries makes up for the log.
    starts[0].applied = (LogIndex(3), Term(1));
    assert!(Host::new(&Config::default(), NodeId(1), world.facts.cluster, starts, log, 0, world.now).is_ok());
}

#[test]
fn rule_06_a_state_that_is_older_than_the_log_is_refused() {
    let mut world = World::ready(small_log());
    for payload in ["a", "b", "c", "d", "e", "f"] {
        world.propose(2, payload);
    }
    world.advance(100);
    world.flush(1);
    world.crash(1);
    world.machine(1).flushed = Default::default();
    assert!(matches!(world.start(1), Err(StartError::StateLost { applied: LogIndex(0), .. })));
}

#[test]
fn rule_14_a_node_without_its_log_is_refused() {
    let mut world = World::ready(Config::default());
    world.propose(2, "a");
    world.advance(100);
    world.flush(1);
    world.crash(1);
    world.node(1).log = Arc::new(MemoryLog::new());
    assert!(matches!(world.start(1), Err(StartError::LogLost { .. })));
}

#[test]
fn rule_07_only_the_leader_appends_and_nothing_is_forwarded() {
    let mut world = World::ready(Config::default());
    let last = world.status(2).last;
    for kind in [MessageType::MsgPropose, MessageType::MsgReadIndex, MessageType::MsgHup] {
        let bogus = envelope(&world, 1, 2, |message| {
            message.set_msg_type(kind);
            message.term = 1;
            message.set_entries(vec![Entry::default()].into());
        });
        world.input(2, Input::Message(bogus));
    }
    world.propose(1, "not here");
    world.advance(100);
    assert_eq!(world.status(2).last, last);
    assert_eq!(world.leader(), Some(2));
    assert_eq!(world.status(2).counters.bogus_messages, 3);
    assert_eq!(dropped(&mut world, 1), 1);
}

#[test]
fn rule_08_elections_are_quick_and_never_split() {
    let mut world = World::ready(Config::default());
    let mut slowest = 0;
    for _ in 0..40 {
        let leader = world.leader().unwrap();
        let term = world.status(leader).term;
        world.isolate(leader);
        let others: Vec<u64> = (1..=3).filter(|id| *id != leader).collect();
        let took = world.until(|world| others.iter().any(|id| world.view(*id).serving));
        slowest = slowest.max(took);
        let next = *others.iter().find(|id| world.view(**id).serving).unwrap();
        assert_eq!(world.status(next).term.get(), term.get() + 1, "one campaign was enough");
        world.heal();
        world.advance(200);
    }
    assert!(slowest <= 930, "{slowest} ms");
}

#[test]
fn rule_08_first_leaders_are_spread() {
    let mut world = World::new(3, 6, Config::default());
    world.advance(1000);
    let mut led = [0; 3];
    for id in 1..=3 {
        let status = world.nodes[&NodeId(id)].host.as_ref().unwrap().status();
        led[id as usize - 1] =
            status.iter().filter(|status| status.role == "leader" && status.group != GroupId(0)).count();
    }
    assert_eq!(led, [2, 2, 2]);
}

#[test]
fn rule_10_a_leader_with_a_stalled_disk_steps_down() {
    let mut world = World::ready(Config::default());
    world.node(2).disk_stalled = true;
    world.propose(2, "a");
    world.until(|world| world.leader() != Some(2));
    assert_eq!(world.status(2).counters.step_downs, 1);
    world.until(|world| matches!(world.leader(), Some(1 | 3)));
    world.advance(3000);
    assert_eq!(world.status(2).counters.elections, 1, "it does not campaign while its log is not durable");
}

#[test]
fn rule_11_every_snapshot_is_reported_once_whatever_becomes_of_it() {
    for (fail, vanish) in [(true, false), (false, true)] {
        let mut world = World::ready(Config { snapshot_ticks: 50, ..small_log() });
        world.isolate(3);
        for payload in ["a", "b", "c", "d", "e", "f"] {
            world.propose(2, payload);
        }
        world.advance(600);
        world.flush(2);
        world.snapshots_fail = fail;
        world.snapshots_vanish = vanish;
        world.heal();
        world.advance(300);
        assert!(world.payloads(3).is_empty());
        world.snapshots_fail = false;
        world.snapshots_vanish = false;
        let took = world.until(|world| world.payloads(3).len() == 6);
        assert!(took <= 700, "{took} ms");
        let state = world.machine(2).state.clone();
        assert_eq!(world.machine(3).state, state, "the membership is still the one of birth: no record of it");
    }
}

#[test]
fn rule_11_a_leader_change_forgets_snapshots_under_way() {
    let mut world = World::ready(small_log());
    world.isolate(3);
    for payload in ["a", "b", "c", "d", "e", "f"] {
        world.propose(2, payload);
    }
    world.advance(600);
    world.flush(2);
    world.flush(1);
    world.snapshots_vanish = true;
    world.heal();
    world.advance(100);
    world.snapshots_vanish = false;
    world.input(2, Input::TransferLeader { group: GROUP, to: NodeId(1) });
    world.until(|world| world.payloads(3).len() == 6);
    // The answer about the old leader's snapshot arrives when nobody waits for it.
    world.input(2, Input::SnapshotSent { group: GROUP, snapshot: 1, to_peer: PeerId(3), delivered: false });
    world.propose(1, "g");
    world.advance(100);
    assert_eq!(world.payloads(3).len(), 7);
}

#[test]
fn rule_15_foreign_messages_are_dropped_and_counted() {
    let mut world = World::ready(Config::default());
    let good = envelope(&world, 2, 1, |message| {
        message.set_msg_type(MessageType::MsgHeartbeat);
        message.term = 1;
    });
    let wrong = [
        Envelope { cluster: ClusterId(1), ..good.clone() },
        Envelope { group: GroupId(99), ..good.clone() },
        Envelope { epoch: 1, ..good.clone() },
        Envelope { from: NodeId(3), ..good.clone() },
        Envelope { to: NodeId(2), ..good.clone() },
        Envelope { from_peer: PeerId(3), ..good.clone() },
        Envelope { from_peer: PeerId(7), ..good.clone() },
        Envelope { to_peer: PeerId(2), ..good.clone() },
    ];
    for envelope in wrong.clone() {
        world.input(1, Input::Message(envelope));
        assert!(sent(&world, 1, "MsgHeartbeatResponse").is_empty());
    }
    let counters = world.nodes[&NodeId(1)].host.as_ref().unwrap().counters();
    assert_eq!(counters.foreign_messages, wrong.len() as u64);
    world.input(1, Input::Message(good));
    assert_eq!(sent(&world, 1, "MsgHeartbeatResponse").len(), 1);
}

#[test]
fn rule_16_a_state_ahead_of_its_log_resets_the_log() {
    let mut world = World::ready(small_log());
    world.isolate(3);
    for payload in ["a", "b", "c", "d", "e", "f"] {
        world.propose(2, payload);
    }
    world.advance(600);
    world.flush(2);
    // The snapshot is installed, the log's reset does not reach the disk.
    world.node(3).disk_stalled = true;
    world.heal();
    world.advance(100);
    assert_eq!(world.machine(3).flushed.applied, 7);
    world.crash(3);
    let stored = world.node(3).log.load().unwrap().into_iter().find(|state| state.group == GROUP).unwrap();
    assert_eq!(stored.last, LogIndex(1));
    world.start(3).unwrap();
    world.propose(2, "g");
    world.advance(300);
    assert_eq!(world.payloads(3), ["a", "b", "c", "d", "e", "f", "g"]);
}

#[test]
fn rule_18_the_log_is_cut_only_below_the_flushed_state() {
    let mut world = World::ready(Config { log_entries_kept: 0, ..small_log() });
    for payload in ["a", "b", "c", "d"] {
        world.propose(2, payload);
    }
    world.advance(100);
    assert_eq!(world.status(2).first, LogIndex(1));
    world.input(2, Input::Flushed { group: GROUP, index: LogIndex(3) });
    assert_eq!(world.status(2).first, LogIndex(4));
    world.input(2, Input::Flushed { group: GROUP, index: LogIndex(99) });
    assert_eq!(world.status(2).first, LogIndex(6), "nor above the applied index");
}

#[test]
fn rule_18_a_heavy_log_is_cut_although_a_follower_needs_it() {
    let mut world = World::ready(Config { log_bytes_kept: 3 << 20, ..Config::default() });
    let large = "x".repeat(600 << 10);
    world.node(3).disk_stalled = true;
    for _ in 0..20 {
        world.propose(2, &large);
    }
    world.advance(100);
    world.flush(2);
    let kept = world.status(2).last.get() - world.status(2).first.get();
    assert!((5..=7).contains(&kept), "{kept} entries of 600 KiB");
}

#[test]
fn rule_20_a_snapshot_waits_for_apply_and_is_acknowledged_after_the_log_reset() {
    let mut world = World::ready(small_log());
    world.machine(3).paused = true;
    world.propose(2, "a");
    world.advance(100);
    world.isolate(3);
    for payload in ["b", "c", "d", "e", "f"] {
        world.propose(2, payload);
    }
    world.advance(600);
    world.flush(2);
    world.heal();
    world.advance(300);
    assert_eq!(world.status(2).counters.snapshots_sent, 1);
    assert_eq!(world.status(3).counters.snapshots_installed, 0, "an entry is still to be applied");
    world.node(3).disk_stalled = true;
    world.resume_machine(3);
    world.advance(50);
    assert_eq!(world.machine(3).state.applied, 7);
    assert_eq!(world.status(3).counters.snapshots_installed, 0, "the log's reset is not durable");
    let matched = world.status(2).peers.iter().find(|peer| peer.peer == PeerId(3)).unwrap().matched;
    assert!(matched < LogIndex(7), "no acknowledgement yet: {matched}");
    world.node(3).disk_stalled = false;
    world.sync_disk(3);
    world.advance(100);
    assert_eq!(world.status(3).counters.snapshots_installed, 1);
    assert_eq!(world.payloads(3), ["a", "b", "c", "d", "e", "f"]);
}

#[test]
fn rule_23_replicas_with_different_state_stop() {
    let mut world = World::ready(Config::default());
    world.machine(3).state.hash ^= 1;
    world.propose(2, "a");
    world.advance(100);
    let found = |world: &World, id: u64| {
        let faults = &world.nodes[&NodeId(id)].faults;
        faults.iter().any(|fault| fault.is_fatal() && matches!(fault.kind, FaultKind::Diverged { .. }))
    };
    assert!(found(&world, 3), "the replica that differs knows it");
    assert!(!found(&world, 1));
}

#[test]
fn rule_26_a_refused_proposal_takes_its_generation_with_it() {
    // T13: the limit refuses one in the middle; a smaller one after it must not slip through.
    let mut world = World::ready(Config { uncommitted_bytes_max: 10, ..Config::default() });
    world.lost_kinds.insert("MsgAppendResponse".to_owned());
    for payload in ["fits", "too much by now", "x"] {
        world.propose(2, payload);
    }
    assert_eq!(dropped(&mut world, 2), 2);
    world.next_generation(2);
    world.lost_kinds.clear();
    world.advance(200);
    world.propose(2, "y");
    world.advance(200);
    assert_eq!(world.payloads(1), ["fits", "y"]);
}

#[test]
fn rule_37_readers_know_of_a_commit_before_any_peer_does() {
    let mut world = World::ready(Config::default());
    let before = world.view(2).commit;
    // `World` compares what is told with what readers know, for every message of every test.
    world.propose(2, "a");
    world.settle();
    world.propose(2, "b");
    let told = sent(&world, 2, "MsgAppend");
    assert!(told.iter().any(|envelope| decode(envelope).commit == before.get() + 1), "nothing to compare: {told:?}");
}

#[test]
fn t07_a_replica_that_lost_acknowledged_entries_stops_taking_part() {
    let mut world = World::ready(Config::default());
    world.propose(2, "a");
    world.advance(100);
    let heartbeat = envelope(&world, 2, 1, |message| {
        message.set_msg_type(MessageType::MsgHeartbeat);
        (message.term, message.commit) = (1, 50);
    });
    world.input(1, Input::Message(heartbeat));
    let faults = &world.nodes[&NodeId(1)].faults;
    assert!(matches!(faults[..], [ref fault] if !fault.is_fatal()), "{faults:?}");
    assert_eq!(world.status(1).role, "stopped");
    world.advance(2000);
    assert_eq!(world.status(1).counters.elections, 0);
    assert_eq!(world.leader(), Some(2), "the others go on");
    world.propose(2, "b");
    world.advance(100);
    assert_eq!((world.payloads(1).len(), world.payloads(3).len()), (1, 2));
}

#[test]
fn a_damaged_log_is_fatal_not_a_panic() {
    let mut world = World::ready(small_log());
    world.isolate(3);
    for payload in ["a", "b", "c", "d"] {
        world.propose(2, payload);
    }
    world.advance(100);
    assert!(world.node(2).log.damage(GROUP, LogIndex(3)));
    world.heal();
    world.advance(100);
    let faults = &world.nodes[&NodeId(2)].faults;
    assert!(faults.iter().any(|fault| fault.is_fatal() && matches!(fault.kind, FaultKind::Log(_))), "{faults:?}");
}

#[test]
fn shutdown_hands_everything_over() {
    let mut world = World::new(3, 6, Config::default());
    world.advance(1000);
    world.input(1, Input::TransferAll);
    let took = world.until(|world| !world.nodes[&NodeId(1)].host.as_ref().unwrap().leads_any());
    assert!(took <= 100, "{took} ms");
    world.advance(50);
    for group in 0..=6 {
        let serving = world.nodes.values().filter(|node| node.views[&GroupId(group)].serving).count();
        assert_eq!(serving, 1, "group {group}");
    }
}

#[test]
fn a_single_node_is_its_own_cluster_at_once() {
    let mut world = World::new(1, 1, Config::default());
    world.advance(20);
    assert!(world.view(1).serving);
    world.node(1).disk_stalled = true;
    world.propose(1, "a");
    world.advance(2000);
    assert!(world.payloads(1).is_empty(), "E1: nothing is committed before it is durable");
    world.node(1).disk_stalled = false;
    world.sync_disk(1);
    world.settle();
    assert_eq!(world.payloads(1), ["a"]);
    world.crash(1);
    world.start(1).unwrap();
    world.advance(20);
    assert!(world.view(1).serving);
    assert_eq!(world.payloads(1), ["a"], "replayed");
}

#[test]
fn forged_messages_are_counted() {
    let mut world = World::ready(Config::default());
    world.propose(2, "a");
    let append = sent(&world, 2, "MsgAppend").into_iter().find(|envelope| envelope.to == NodeId(1)).unwrap();
    for number in 0..4 {
        let bad = forge(&append, |message| match number {
            0 => message.index = 77,
            1 => message.log_term = 0,
            2 => message.mut_entries()[0].term = 9,
            _ => message.commit = u64::MAX,
        });
        world.input(1, Input::Message(bad));
    }
    assert_eq!(world.status(1).counters.bogus_messages, 4);
    world.advance(100);
    assert_eq!(world.payloads(1), ["a"]);
}
