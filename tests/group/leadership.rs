//! What people are told of leadership: who won it, and why it was lost.

use std::time::Duration;

use holdfast::base::{NodeId, Term};
use holdfast::host::{ChangeKind, Config, Input, Loss};
use holdfast::machine;
use raft::eraftpb::MessageType;

use super::world::{GROUP, World, envelope};

/// What node 2, which led, said of its loss, after `happens`; and the time that its disk kept it waiting.
fn loss(happens: impl FnOnce(&mut World)) -> (Term, Loss, Duration) {
    let mut world = World::ready(Config::default());
    let term = world.status(2).term;
    assert_eq!(world.leader(), Some(2));
    assert_eq!(world.node(2).changes.last().unwrap().kind, ChangeKind::Won);
    world.node(2).changes.clear();
    happens(&mut world);
    world.until(|world| world.leader().is_some_and(|leader| leader != 2));
    world.advance(1000);
    let lost: Vec<_> =
        world.node(2).changes.iter().filter(|change| matches!(change.kind, ChangeKind::Lost(_))).collect();
    let [change] = lost[..] else { panic!("{lost:?}") };
    let ChangeKind::Lost(why) = change.kind else { unreachable!("filtered") };
    assert_eq!(change.term, term, "the term that it led");
    (term, why, change.unsynced)
}

#[test]
fn a_lost_leadership_has_a_reason() {
    let (_, why, unsynced) = loss(|world| world.input(2, Input::TransferLeader { group: GROUP, to: NodeId(1) }));
    assert_eq!((why, unsynced), (Loss::HandedOver, Duration::ZERO));

    let (_, why, unsynced) = loss(|world| {
        world.node(2).disk_stalled = true;
        world.propose(2, "a");
    });
    assert_eq!(why, Loss::Disk);
    assert!(unsynced > Config::default().unsynced_max, "{unsynced:?}");

    let (_, why, unsynced) = loss(|world| world.isolate(2));
    assert_eq!((why, unsynced), (Loss::Silence, Duration::ZERO), "others lead, and it could not hear of them");
}

#[test]
fn a_leader_that_others_replaced_says_so() {
    let (term, why, _) = loss(|world| {
        let later = world.status(2).term.get() + 1;
        let heartbeat = envelope(world, 1, 2, |message| {
            message.set_msg_type(MessageType::MsgHeartbeat);
            message.term = later;
        });
        world.input(2, Input::Message(heartbeat));
    });
    assert_eq!(why, Loss::Overtaken { by: Term(term.get() + 1) });
}

#[test]
fn a_follower_tells_once_whom_it_does_not_hear_any_more() {
    let mut world = World::ready(Config::default());
    let count = |world: &mut World| {
        let told = world.node(1).changes.iter();
        let kinds = told.map(|change| change.kind).filter(|kind| matches!(kind, ChangeKind::Campaigns { .. }));
        let kinds: Vec<_> = kinds.collect();
        (kinds.len(), kinds.into_iter().filter(|kind| matches!(kind, ChangeKind::Campaigns { lost: Some(_) })).count())
    };
    let before = count(&mut world);
    world.isolate(1);
    world.advance(5000);
    let after = count(&mut world);
    assert!(after.0 - before.0 >= 3, "{before:?} {after:?}");
    assert_eq!(after.1 - before.1, 1, "{before:?} {after:?}");
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

/// What is committed from then on is told to whoever listens at the node: it must not depend on entries that come.
#[test]
fn a_replica_that_restarts_is_in_touch_with_the_first_heartbeat() {
    let mut world = World::ready(Config::default());
    world.propose(2, "a");
    world.advance(100);
    let applied = world.status(2).applied;
    world.crash(1);
    world.lost_kinds.insert("MsgAppend".to_owned());
    world.start(1).expect("it starts");
    world.until(|world| world.view(1).leader == Some(NodeId(2)));
    let heard: Vec<_> = world
        .machine(1)
        .log
        .iter()
        .filter_map(|input| match input {
            machine::Input::InTouch { commit } => Some(*commit),
            _ => None,
        })
        .collect();
    assert_eq!(heard, [applied]);
}
