//! One test per rule of the engine that lives in `group` and `host`. Names carry the rules' numbers, or the ids of the
//! scenarios that are named after other systems' bugs.

use std::sync::Arc;

use holdfast::base::{ClusterId, GroupId, LogIndex, Nanos, NodeId, PeerId, Term};
use holdfast::host::{Config, Envelope, FaultKind, Host, Input, StartError};
use holdfast::machine;
use holdfast::store::memory::MemoryLog;
use holdfast::store::{HardState, Log, LogRecord, LogState, LogWrite};
use raft::eraftpb::{ConfChangeSingle, ConfChangeType, ConfChangeV2, ConfState, Entry, EntryType, MessageType};

use super::world::{GROUP, World, decode, envelope, forge, kind};

fn small_log() -> Config {
    Config { log_entries_kept: 2, follower_lag_max: 2, tail_bytes_kept: 0, ..Config::default() }
}

fn sent(world: &World, from: u64, name: &str) -> Vec<Envelope> {
    let messages = world.network.iter().filter(|envelope| envelope.group == GROUP && envelope.from == NodeId(from));
    messages.filter(|envelope| kind(envelope) == name).cloned().collect()
}

fn dropped(world: &mut World, id: u64) -> usize {
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
fn a_disk_that_all_share_may_pause_without_an_election() {
    let mut world = World::ready(Config::default());
    for _ in 0..3 {
        (1..=3).for_each(|id| world.node(id).disk_stalled = true);
        world.propose(2, "a");
        world.advance(800);
        (1..=3).for_each(|id| {
            world.node(id).disk_stalled = false;
            world.sync_disk(id);
        });
        world.advance(200);
    }
    assert_eq!(world.leader(), Some(2));
    assert!((1..=3).all(|id| world.status(id).term == Term(1)), "nobody campaigned");
    assert_eq!(world.payloads(1).len(), 3);
    // One that pauses for longer costs the leader its office.
    (1..=3).for_each(|id| world.node(id).disk_stalled = true);
    world.propose(2, "b");
    world.advance(1_000);
    assert_eq!(world.leader(), None);
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
fn rule_12_a_membership_change_travels_with_its_entry() {
    let mut world = World::ready(Config::default());
    world.isolate(1);
    let mut change = ConfChangeV2::default();
    let mut single = ConfChangeSingle::default();
    single.set_change_type(ConfChangeType::AddLearnerNode);
    single.node_id = 4;
    change.set_changes(vec![single].into());
    let append = envelope(&world, 2, 1, |message| {
        message.set_msg_type(MessageType::MsgAppend);
        (message.term, message.index, message.log_term, message.commit) = (1, 1, 1, 2);
        let mut entry = Entry::default();
        entry.set_entry_type(EntryType::EntryConfChangeV2);
        (entry.index, entry.term) = (2, 1);
        entry.data = protobuf::Message::write_to_bytes(&change).unwrap().into();
        message.set_entries(vec![entry].into());
    });
    world.input(1, Input::Message(append));
    world.settle();
    let state = world.machine(1).state.clone();
    assert_eq!(state.applied, 2);
    let membership = conf_state(&state.conf_state);
    assert_eq!((membership.get_voters(), membership.get_learners()), (&[1, 2, 3][..], &[4][..]));
    // The entry is stored whole and the new membership is what a restart begins with.
    world.flush(1);
    world.crash(1);
    world.start(1).unwrap();
    assert_eq!(world.status(1).applied, LogIndex(2));
}

fn conf_state(bytes: &[u8]) -> ConfState {
    protobuf::Message::parse_from_bytes(bytes).unwrap()
}

/// All nodes died between the two steps of a membership change, and start again from states that say that it is
/// joint. With `tail`, the log holds an entry that none of the states does.
fn joint(tail: bool) -> World {
    let mut world = World::ready(Config::default());
    world.propose(2, "a");
    world.advance(100);
    (1..=3).for_each(|id| world.flush(id));
    if tail {
        world.propose(2, "b");
        world.advance(100);
    }
    let mut membership = ConfState::default();
    membership.set_voters(vec![1, 2, 3]);
    membership.set_voters_outgoing(vec![1, 2]);
    let record = protobuf::Message::write_to_bytes(&membership).unwrap();
    for id in 1..=3 {
        world.crash(id);
        world.machine(id).flushed.conf_state = record.clone().into();
    }
    (1..=3).for_each(|id| world.start(id).unwrap());
    world
}

fn is_joint(world: &mut World, id: u64) -> bool {
    !conf_state(&world.machine(id).state.conf_state).get_voters_outgoing().is_empty()
}

#[test]
fn rule_12_whoever_leads_leaves_a_joint_membership_that_a_crash_left_behind() {
    let mut world = joint(false);
    world.lost_kinds.insert("MsgAppend".to_owned());
    let leads = |world: &World| (1..=3).find(|id| world.status(*id).role == "leader");
    world.until(|world| leads(world).is_some());
    let first = leads(&world).unwrap();
    // The first to try dies with the second step in nobody else's log.
    world.until(|world| world.status(first).last == LogIndex(4));
    world.crash(first);
    world.lost_kinds.clear();
    world.advance(100);
    world.start(first).unwrap();
    assert!((1..=3).all(|id| is_joint(&mut world, id)));
    world.until(|world| (1..=3).all(|id| !is_joint(world, id)));
    assert_eq!(conf_state(&world.machine(1).state.conf_state).get_voters(), [1, 2, 3]);
    let last = world.status(1).last;
    world.advance(500);
    assert_eq!(world.status(1).last, last, "there is nothing left to leave");
}

#[test]
fn rule_13_a_change_is_proposed_only_when_everything_before_it_is_applied() {
    let mut world = joint(true);
    (1..=3).for_each(|id| world.machine(id).paused = true);
    world.until(|world| world.leader().is_some());
    let leader = world.leader().unwrap();
    let last = world.status(leader).last;
    world.advance(1000);
    assert_eq!(world.status(leader).last, last, "what was in the log may be a change, and is not applied yet");
    (1..=3).for_each(|id| world.resume_machine(id));
    world.settle();
    // From now on nothing commits: the change is on its way, once, however many ticks pass.
    world.lost_kinds.insert("MsgAppendResponse".to_owned());
    world.advance(1000);
    assert_eq!((world.leader(), world.status(leader).last), (Some(leader), last.next()));
    assert!(is_joint(&mut world, leader));
    world.lost_kinds.clear();
    world.advance(500);
    assert_eq!(world.status(leader).last, last.next());
    assert!((1..=3).all(|id| !is_joint(&mut world, id)));
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
fn rule_32_nothing_is_served_before_the_own_terms_first_entry_is_committed() {
    let mut world = World::ready(Config::default());
    world.isolate(2);
    world.lost_kinds.insert("MsgAppend".to_owned());
    world.until(|world| (1..=3).any(|id| id != 2 && world.status(id).role == "leader"));
    let leader = if world.status(1).role == "leader" { 1 } else { 3 };
    world.input(leader, Input::ConfirmLeadership { group: GROUP, number: 5 });
    world.advance(200);
    assert!(!world.view(leader).serving);
    let answered = |world: &mut World| {
        let log = &world.machine(leader).log;
        log.iter().find_map(|input| match input {
            machine::Input::ReadIndex { number: 5, index } => Some(*index),
            _ => None,
        })
    };
    assert_eq!(answered(&mut world), None);
    world.lost_kinds.clear();
    world.advance(200);
    assert!(world.view(leader).serving);
    assert_eq!(answered(&mut world), Some(LogIndex(2)));
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

/// Makes node 1 campaign at once against a leader that knows nothing of it.
fn usurp(world: &mut World, lease_ended: bool) {
    let mut command = envelope(world, 2, 1, |message| {
        message.set_msg_type(MessageType::MsgTimeoutNow);
        message.term = 1;
    });
    let mut bytes = command.message.to_vec();
    bytes[1] = u8::from(lease_ended);
    command.message = bytes.into();
    world.isolate(2);
    world.input(1, Input::Message(command));
    world.settle();
    assert_eq!(world.status(1).role, "leader");
}

#[test]
fn rule_34_a_new_leader_waits_out_its_predecessors_lease() {
    let mut world = World::ready(Config::default());
    let lease = world.view(2).lease_until;
    assert!(lease > world.now);
    usurp(&mut world, false);
    world.input(1, Input::ConfirmLeadership { group: GROUP, number: 1 });
    while world.now < lease {
        assert!(!world.view(1).serving);
        assert_eq!(world.machine(1).role, None, "the machine was not told to evaluate");
        assert!(!world.machine(1).log.iter().any(|input| matches!(input, machine::Input::ReadIndex { .. })));
        world.advance(10);
    }
    world.advance(50);
    assert!(world.view(1).serving);
    assert!(world.machine(1).log.iter().any(|input| matches!(input, machine::Input::ReadIndex { number: 1, .. })));
}

#[test]
fn rule_34_a_lease_that_was_given_up_costs_no_wait() {
    let mut world = World::ready(Config::default());
    // As if node 2 had given up its lease: its view must not claim one while node 1 serves.
    world.node(2).views.clear();
    usurp(&mut world, true);
    assert!(world.view(1).serving);
}

#[test]
fn rule_34_restarted_voters_count_as_having_acknowledged_just_before() {
    let mut world = World::ready(Config::default());
    let lease = world.view(2).lease_until;
    world.isolate(2);
    world.crash(1);
    world.crash(3);
    world.start(1).unwrap();
    world.start(3).unwrap();
    // They remember neither leader nor acknowledgement: nothing but the age in the votes protects the lease.
    let now = world.now;
    let command = envelope(&world, 2, 1, |message| {
        message.set_msg_type(MessageType::MsgTimeoutNow);
        message.term = 1;
    });
    world.input(1, Input::Message(command));
    world.settle();
    assert_eq!(world.status(1).role, "leader");
    world.until(|world| world.view(1).serving);
    assert!(world.now >= lease && world.now.since(now).as_millis() >= 400);
}

#[test]
fn rule_34_clocks_of_different_speed() {
    for (leader, others) in [(-20, 20), (20, -20), (-20, -20)] {
        let mut world = World::ready(Config::default());
        for id in 1..=3 {
            world.node(id).clock_per_mille = if id == 2 { leader } else { others };
        }
        // The world's clock keeps going while the nodes' bend: views are compared by the world at every publish.
        world.advance(300);
        usurp(&mut world, false);
        world.until(|world| world.view(1).serving);
    }
}

#[test]
fn rule_33_an_aborted_transfer_leaves_the_term_without_leases() {
    let mut world = World::ready(Config::default());
    assert!(world.view(2).lease_until > Nanos(0));
    world.isolate(1);
    world.input(2, Input::TransferLeader { group: GROUP, to: NodeId(1) });
    world.settle();
    assert!(!world.view(2).serving && world.status(2).transferring);
    world.propose(2, "refused");
    assert_eq!(dropped(&mut world, 2), 1);
    world.until(|world| world.view(2).serving);
    assert_eq!((world.status(2).term, world.view(2).lease_until), (Term(1), Nanos(0)));
    world.next_generation(2);
    world.propose(2, "a");
    world.input(2, Input::ConfirmLeadership { group: GROUP, number: 9 });
    world.advance(1000);
    assert_eq!(world.view(2).lease_until, Nanos(0));
    assert_eq!(world.payloads(3), ["a"]);
    assert!(world.machine(2).log.iter().any(|input| matches!(input, machine::Input::ReadIndex { number: 9, .. })));
}

#[test]
fn rule_33_a_follower_that_asks_to_lead_is_served_like_an_operator() {
    let mut world = World::ready(Config::default());
    let stale = envelope(&world, 3, 2, |message| {
        message.set_msg_type(MessageType::MsgTransferLeader);
        message.term = 0;
    });
    world.input(2, Input::Message(stale));
    world.input(2, Input::AskToLead { group: GROUP });
    world.settle();
    assert_eq!((world.leader(), world.status(2).transferring), (Some(2), false), "of another term, or by the leader");
    world.input(3, Input::AskToLead { group: GROUP });
    world.settle();
    assert!(world.view(3).serving, "the lease was given up first: nothing to wait for");
    assert_eq!(world.status(3).term, Term(2));
    world.propose(3, "a");
    world.advance(100);
    assert_eq!(world.payloads(1), ["a"]);
}

#[test]
fn rule_33_a_machine_that_does_not_answer_costs_the_successor_its_wait() {
    let mut world = World::ready(Config::default());
    let lease = world.view(2).lease_until;
    world.machine(2).paused = true;
    world.input(2, Input::TransferLeader { group: GROUP, to: NodeId(1) });
    world.settle();
    assert!(sent(&world, 2, "MsgTimeoutNow").is_empty());
    world.until(|world| world.status(1).role == "leader");
    assert!(world.now < lease && !world.view(1).serving);
    world.until(|world| world.view(1).serving);
    assert!(world.now >= lease);
}

#[test]
fn rule_33_read_index_mode_has_no_leases() {
    let mut world = World::ready(Config { use_leases: false, ..Config::default() });
    assert_eq!(world.view(2).lease_until, Nanos(0));
    world.input(2, Input::ConfirmLeadership { group: GROUP, number: 1 });
    world.settle();
    assert!(world.machine(2).log.iter().any(|input| matches!(input, machine::Input::ReadIndex { number: 1, .. })));
    world.input(2, Input::TransferLeader { group: GROUP, to: NodeId(3) });
    world.settle();
    assert!(world.view(3).serving, "nothing to wait for");
}

#[test]
fn rule_36_an_old_answer_confirms_nothing() {
    // T1, E6: a heartbeat response is held back and delivered again for a later request.
    let mut world = World::ready(Config::default());
    world.input(2, Input::ConfirmLeadership { group: GROUP, number: 1 });
    let mut held = Vec::new();
    while let Some(envelope) = world.network.pop_front() {
        if kind(&envelope) == "MsgHeartbeatResponse" {
            held.push(envelope.clone());
        }
        world.input(envelope.to.get(), Input::Message(envelope));
    }
    assert!(held.iter().any(|envelope| !decode(envelope).get_context().is_empty()));
    world.isolate(2);
    world.input(2, Input::ConfirmLeadership { group: GROUP, number: 2 });
    for envelope in held {
        world.input(2, Input::Message(envelope));
    }
    world.advance(300);
    let read = |world: &mut World, wanted: u64| {
        let log = &world.machine(2).log;
        log.iter().any(|input| matches!(input, machine::Input::ReadIndex { number, .. } if *number == wanted))
    };
    assert!(read(&mut world, 1) && !read(&mut world, 2));
    world.advance(1000);
    assert!(
        world.machine(2).log.iter().any(|input| matches!(input, machine::Input::ReadRefused { number: 2 })),
        "answered all the same"
    );
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
