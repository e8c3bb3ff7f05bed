//! When a leader may answer reads, and when its successor may begin to: rules 32 to 36.

use holdfast::base::{LogIndex, Nanos, NodeId, Term};
use holdfast::host::{Config, Input};
use holdfast::machine;
use raft::eraftpb::MessageType;

use super::rules::{dropped, sent};
use super::world::{GROUP, World, decode, envelope, kind};

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
