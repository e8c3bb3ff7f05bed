//! Nodes join and are removed: what the facts want, the leaders bring about, and no quorum is lost on the way.

use std::collections::BTreeMap;

use holdfast::base::PeerId;
use holdfast::host::{Config, Input};

use super::world::{GROUP, World};

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
