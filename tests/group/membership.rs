//! Nodes join and are removed: what the facts want, the leaders bring about, and no quorum is lost on the way.

use std::collections::BTreeMap;

use holdfast::base::{GroupId, LogIndex, NodeId, PeerId};
use holdfast::host::{Config, Input};
use raft::eraftpb::{ConfChangeSingle, ConfChangeType, ConfChangeV2, ConfState, Entry, EntryType, MessageType};

use super::world::{GROUP, World, envelope};

fn voters(world: &World, id: u64) -> Vec<u64> {
    world.status(id).voters.iter().map(|peer| peer.get()).collect()
}

fn learners(world: &World, id: u64) -> Vec<u64> {
    world.status(id).learners.iter().map(|peer| peer.get()).collect()
}

/// Waits until the leader says that these are the voters.
#[track_caller]
fn until_voters(world: &mut World, wanted: &[u64]) {
    world.until(|world| world.leader().is_some_and(|leader| voters(world, leader) == wanted));
}

#[test]
fn rule_12_a_node_that_joins_learns_and_then_votes() {
    let mut world = World::ready(Config::default());
    world.propose(2, "a");
    world.advance(100);
    // It hears nobody at first: it counts in no quorum meanwhile.
    world.facts.join(holdfast::host::meta::Node::new(holdfast::base::NodeId(4), "node-4:1"));
    let group = world.facts.groups[1].clone();
    for id in 1..=3 {
        let (peers, former) = (group.peers.clone(), group.former.clone());
        world.input(id, Input::Members { group: GROUP, peers, former });
    }
    world.advance(500);
    assert_eq!((voters(&world, 2), learners(&world, 2)), (vec![1, 2, 3], vec![4]));
    world.isolate(1);
    world.propose(2, "b");
    world.advance(200);
    assert_eq!(world.payloads(3), ["a", "b"], "two of three are enough");
    world.heal();
    world.add(4);
    until_voters(&mut world, &[1, 2, 3, 4]);
    world.advance(200);
    assert_eq!(world.payloads(4), ["a", "b"]);
    assert!((1..=4).all(|id| voters(&world, id) == [1, 2, 3, 4]));
    // Now three of four have to agree.
    world.isolate(1);
    world.isolate(3);
    world.propose(2, "c");
    world.advance(100);
    assert_eq!(world.payloads(2).len(), 2);
    world.heal();
    world.until(|world| (1..=4).all(|id| world.payloads(id).starts_with(&["a".into(), "b".into()])));
}

#[test]
fn a_node_joins_with_a_snapshot_where_the_log_was_cut() {
    let mut world = World::ready(Config { log_entries_kept: 1, ..Config::default() });
    for payload in ["a", "b", "c", "d", "e", "f"] {
        world.propose(2, payload);
        world.advance(50);
    }
    (1..=3).for_each(|id| world.flush(id));
    world.advance(100);
    assert!(world.status(2).first.get() > 2, "the log was cut");
    world.join(4);
    until_voters(&mut world, &[1, 2, 3, 4]);
    assert_eq!(world.payloads(4), ["a", "b", "c", "d", "e", "f"]);
    assert!(world.status(2).counters.snapshots_sent > 0);
    world.propose(2, "g");
    world.advance(100);
    assert_eq!(world.payloads(4).len(), 7);
}

#[test]
fn rule_12_who_was_alone_and_restarts_does_not_lead_without_those_who_joined() {
    let mut world = World::new(1, 1, Config::default());
    world.until(|world| world.leader() == Some(1));
    world.propose(1, "a");
    world.advance(100);
    world.join(2);
    until_voters(&mut world, &[1, 2]);
    world.propose(1, "b");
    world.advance(100);
    assert_eq!(world.payloads(2), ["a", "b"]);
    // The state of the first does not know yet that anybody joined; its log does, and that it is committed.
    world.crash(1);
    world.isolate(2);
    world.start(1).expect("it starts");
    world.advance(3_000);
    assert_eq!((world.leader(), world.status(1).role), (None, "candidate"), "it needs the vote of the other");
    world.heal();
    world.until(|world| world.leader().is_some());
    let leader = world.leader().expect("a leader");
    world.next_generation(leader);
    world.propose(leader, "c");
    world.until(|world| (1..=2).all(|id| world.payloads(id) == ["a", "b", "c"]));
}

#[test]
fn a_dead_node_is_replaced_by_another() {
    let mut world = World::ready(Config::default());
    world.crash(3);
    world.join(4);
    until_voters(&mut world, &[1, 2, 3, 4]);
    world.forget(3);
    until_voters(&mut world, &[1, 2, 4]);
    // It is missed by nobody: two of the three that remain are enough.
    world.isolate(1);
    world.propose(2, "a");
    world.advance(200);
    assert_eq!(world.payloads(4), ["a"]);
    // Every id is used once (rule 14).
    world.heal();
    world.join(5);
    until_voters(&mut world, &[1, 2, 4, 5]);
}

#[test]
fn a_leader_that_is_removed_hands_over_first() {
    let mut world = World::ready(Config::default());
    world.propose(2, "a");
    world.advance(100);
    world.forget(2);
    until_voters(&mut world, &[1, 3]);
    let leader = world.leader().expect("a leader");
    assert_ne!(leader, 2);
    assert_eq!(world.status(leader).counters.elections, 0, "it did not wait for the other to fall silent");
    assert_eq!(world.status(leader).counters.times_elected, 1);
    world.next_generation(leader);
    world.propose(leader, "b");
    world.advance(100);
    assert!([1, 3].into_iter().all(|id| world.payloads(id) == ["a", "b"]));
}

#[test]
fn nobody_is_removed_whom_the_others_need() {
    let mut world = World::ready(Config::default());
    world.crash(1);
    world.advance(1_000);
    world.forget(3);
    world.advance(2_000);
    let leader = world.leader().expect("a leader");
    assert_eq!(voters(&world, leader), [1, 2, 3], "without the third, two would have to agree, and one is dead");
    world.start(1).expect("it starts");
    until_voters(&mut world, &[1, 2]);
}

#[test]
fn two_become_one() {
    let mut world = World::new(2, 1, Config::default());
    world.until(|world| world.leader().is_some());
    world.forget(1);
    until_voters(&mut world, &[2]);
    world.crash(1);
    world.next_generation(2);
    world.propose(2, "alone");
    world.advance(100);
    assert_eq!(world.payloads(2), ["alone"]);
    world.flush(2);
    world.crash(2);
    world.start(2).expect("it starts");
    world.until(|world| world.leader() == Some(2));
}

#[test]
fn a_change_for_which_there_was_no_room_is_not_waited_for() {
    let mut world = World::ready(Config { uncommitted_bytes_max: 1, ..Config::default() });
    (1..=3).filter(|id| *id != 2).for_each(|id| world.node(id).disk_stalled = true);
    world.propose(2, "a");
    world.forget(3);
    world.advance(300);
    assert_eq!(world.payloads(2).len(), 0, "what was proposed takes all the room");
    for id in [1, 3] {
        world.node(id).disk_stalled = false;
        world.sync_disk(id);
    }
    // Nobody proposes anything else.
    until_voters(&mut world, &[1, 2]);
}

/// Seen in the simulator: a node led a group, was taken out of the meta group and never heard that it should hand over.
#[test]
fn from_the_meta_group_a_node_is_taken_out_last() {
    let mut world = World::ready(Config::default());
    let of_meta = |world: &World| {
        let status = world.nodes[&NodeId(1)].host.as_ref().expect("a running node").status();
        let meta = status.into_iter().find(|status| status.group == GroupId::META).expect("the group");
        meta.voters.iter().map(|peer| peer.get()).collect::<Vec<_>>()
    };
    world.facts.forget(NodeId(2)).expect("not the last one");
    let tell = |world: &mut World, group: usize| {
        let group = world.facts.groups[group].clone();
        for id in 1..=3 {
            let (peers, former) = (group.peers.clone(), group.former.clone());
            world.input(id, Input::Members { group: group.id, peers, former });
        }
    };
    tell(&mut world, 0);
    world.advance(2_000);
    assert_eq!((of_meta(&world), world.leader()), (vec![1, 2, 3], Some(2)), "it has to hand over first");
    tell(&mut world, 1);
    until_voters(&mut world, &[1, 3]);
    world.until(|world| of_meta(world) == [1, 3]);
}

/// Seen in the simulator: the only one that could tell a node of those who joined was the one that it did not know.
#[test]
fn a_leader_that_joined_while_a_node_was_away_is_heard() {
    let mut world = World::ready(Config::default());
    let yesterday = world.facts.clone();
    world.crash(1);
    world.join(4);
    until_voters(&mut world, &[1, 2, 3, 4]);
    world.input(2, Input::TransferLeader { group: GROUP, to: NodeId(4) });
    world.until(|world| world.leader() == Some(4));
    world.next_generation(4);
    world.propose(4, "a");
    world.advance(100);
    let today = std::mem::replace(&mut world.facts, yesterday);
    world.start(1).expect("it starts");
    world.facts = today;
    world.until(|world| world.payloads(1) == ["a"]);
}

#[test]
fn rule_13_facts_of_yesterday_take_nobody_out() {
    let mut world = World::ready(Config::default());
    let yesterday = world.facts.groups[1].peers.clone();
    world.join(4);
    until_voters(&mut world, &[1, 2, 3, 4]);
    for id in 1..=4 {
        let peers = yesterday.clone();
        world.input(id, Input::Members { group: GROUP, peers, former: BTreeMap::new() });
    }
    world.advance(1_000);
    assert_eq!(voters(&world, 2), [1, 2, 3, 4]);
    assert_eq!(PeerId(4), *world.facts.groups[1].peers.keys().next_back().expect("four of them"));
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
