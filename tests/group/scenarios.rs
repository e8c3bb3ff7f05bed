//! Bugs of other systems that need no more than a few hosts to show; docs/regressions.md tells where the rest is.

use std::sync::Arc;

use holdfast::base::{LogIndex, NodeId, Term};
use holdfast::host::{Config, FaultKind, Input};
use holdfast::store::memory::MemoryLog;
use protobuf::Message as _;
use raft::eraftpb::ConfState;

use super::world::{GROUP, World};

fn small_log() -> Config {
    Config { log_entries_kept: 0, follower_lag_max: 2, tail_bytes_kept: 0, snapshot_ticks: 50, ..Config::default() }
}

/// Node `id` misses so many entries that only a snapshot helps.
fn leave_behind(world: &mut World, leader: u64, id: u64, names: &str) {
    world.isolate(id);
    for name in names.chars() {
        world.propose(leader, &name.to_string());
    }
    // Long enough for the leader to count the follower out.
    world.advance(600);
    (1..=3).filter(|other| *other != id).for_each(|other| world.flush(other));
}

fn learners(world: &mut World, id: u64) -> Vec<u64> {
    let record = world.machine(id).state.conf_state.clone();
    ConfState::parse_from_bytes(&record).expect("a membership").get_learners().to_vec()
}

/// RedisRaft 44: the members were lost in the snapshot of a node that itself had started from one.
#[test]
fn r14_a_second_generation_snapshot_keeps_the_members() {
    let mut world = World::ready(small_log());
    world.propose(2, "a");
    world.advance(100);
    // Everybody knows of a learner, except node 3, which begins anew.
    let mut membership = ConfState::default();
    membership.set_voters(vec![1, 2, 3]);
    membership.set_learners(vec![4]);
    let record = membership.write_to_bytes().expect("plain data");
    (1..=3).for_each(|id| world.flush(id));
    (1..=3).for_each(|id| world.crash(id));
    [1, 2].into_iter().for_each(|id| world.machine(id).flushed.conf_state = record.clone().into());
    world.node(3).log = Arc::new(MemoryLog::new());
    world.machine(3).flushed = Default::default();
    [1, 2, 3].into_iter().for_each(|id| world.start(id).expect("a node starts"));
    world.until(|world| world.status(3).counters.snapshots_installed == 1);
    assert_eq!(learners(&mut world, 3), [4]);

    // It also restarts from there before it leads and sends one itself.
    world.crash(3);
    world.start(3).expect("a node starts");
    world.until(|world| world.leader().is_some());
    let leader = world.leader().expect("a leader");
    world.advance(200);
    if leader != 3 {
        world.input(leader, Input::TransferLeader { group: GROUP, to: NodeId(3) });
        world.until(|world| world.leader() == Some(3));
    }
    leave_behind(&mut world, 3, 1, "bcdef");
    world.machine(1).state.conf_state = Default::default();
    world.heal();
    world.until(|world| world.status(1).counters.snapshots_installed == 1);
    assert_eq!(learners(&mut world, 1), [4]);
    world.propose(3, "g");
    world.advance(200);
    assert_eq!(world.payloads(1), ["a", "b", "c", "d", "e", "f", "g"]);
}

/// RedisRaft 54: the log was cut while a snapshot was on its way, and the follower could not go on from it.
#[test]
fn r21_the_log_is_not_cut_above_a_snapshot_on_its_way() {
    let mut world = World::ready(small_log());
    leave_behind(&mut world, 2, 3, "abcdef");
    world.snapshots_vanish = true;
    world.heal();
    world.advance(100);
    assert_eq!(world.status(2).counters.snapshots_sent, 1);
    for name in ["g", "h", "i", "j"] {
        world.propose(2, name);
    }
    world.advance(50);
    world.flush(2);
    assert_eq!(world.status(2).first, LogIndex(8), "entries after the snapshot stay: its receiver needs them");
    // Nobody ever reports about it. When it is given up, they may go.
    world.snapshots_vanish = false;
    world.until(|world| world.payloads(3).len() == 10);
    world.flush(2);
    assert_eq!(world.status(2).first, LogIndex(12));
}

/// etcd 18055: two snapshots in a row.
#[test]
fn e03_one_snapshot_after_the_other() {
    let mut world = World::ready(small_log());
    let mut expected = 0;
    for (round, names) in ["abcd", "efgh", "ijkl", "mnop"].into_iter().enumerate() {
        leave_behind(&mut world, 2, 3, names);
        expected += 4;
        world.heal();
        world.until(|world| world.payloads(3).len() == expected);
        assert_eq!(world.status(3).counters.snapshots_installed, round as u64 + 1);
        let (theirs, own) = (world.machine(2).state.clone(), world.machine(3).state.clone());
        assert_eq!(theirs, own);
    }
    // The last one is what it comes back from.
    world.crash(3);
    world.start(3).expect("a node starts");
    world.advance(300);
    assert_eq!(world.payloads(3).len(), expected);
}

/// RethinkDB: a node whose disk was wiped came back under its old id, and its vote counted as if it remembered.
#[test]
fn j03_a_wiped_node_takes_no_part_under_its_old_id() {
    let mut world = World::ready(Config::default());
    for name in ["a", "b", "c"] {
        world.propose(2, name);
    }
    world.advance(100);
    world.crash(1);
    world.node(1).log = Arc::new(MemoryLog::new());
    world.machine(1).flushed = Default::default();
    world.start(1).expect("it does not know that it forgot anything");
    world.until(|world| world.status(1).role == "stopped");
    let faults = &world.nodes[&NodeId(1)].faults;
    assert!(faults.iter().any(|fault| matches!(fault.kind, FaultKind::LostTail { .. })), "{faults:?}");
    // It elects nobody: the two others go on, and without one of them there is no majority.
    world.propose(2, "d");
    world.advance(100);
    assert_eq!(world.payloads(3).len(), 4);
    world.isolate(2);
    world.advance(3000);
    assert_ne!(world.status(3).role, "leader");
    assert!(world.status(3).term <= Term(2), "its campaigns find no second voter");
}
