//! What entries say to who listens.

use super::*;
use crate::base::ChannelKind;
use crate::group::entry::Entry;

fn said(message: &'static str) -> Publication {
    Publication { kind: ChannelKind::Plain, channel: "c".into(), message: message.into() }
}

/// An entry that says something, as another leader made it.
fn entry(message: &'static str) -> Bytes {
    Entry { stamp: Millis(1_000), epoch: 1, mutations: Vec::new(), publications: vec![said(message)], own: Vec::new() }
        .encode()
}

fn published(out: &[Output]) -> Vec<(u64, Vec<Publication>)> {
    let published = out.iter().filter_map(|output| match output {
        Output::Published(index, publications) => Some((index.get(), publications.clone())),
        _ => None,
    });
    published.collect()
}

#[test]
fn a_publication_alone_is_proposed_and_told_before_its_reply() {
    let mut world = World::leader();
    world.told();
    let ticket = world.submit(call("PUBLISH c hello"));
    world.turn();
    assert_eq!(world.accept(), 1);
    assert_eq!(world.told(), [], "nothing is said before it is committed");
    world.commit();
    let told = [Output::Published(LogIndex(2), vec![said("hello")]), Output::Reply(ticket, reply(":0\r\n"))];
    assert_eq!(world.told(), told);
}

#[test]
fn what_is_evaluated_again_is_said_once() {
    let mut world = World::leader();
    world.told();
    world.submit(call("PUBLISH c hello"));
    world.turn();
    let Proposal { generation, sequence, .. } = world.proposals()[0].clone();
    world.submit(call("PUBLISH c again"));
    world.handle(Input::Dropped { generation, sequence });
    world.handle(Input::Tick);
    world.settle();
    assert_eq!(published(&world.told()), [(2, vec![said("hello"), said("again")])]);
}

#[test]
fn a_block_that_does_not_run_says_nothing() {
    let mut world = World::leader();
    let block = |line: &str, watches| {
        let calls = call(line).into_iter().map(|unit| match unit {
            Unit::Call(call) => call,
            other => panic!("{other:?}"),
        });
        vec![Unit::Atomic { watches, calls: calls.collect() }]
    };
    let stale = vec![Watch { db: 0, key: "k".into(), term: Term(9), sequence: 0 }];
    world.submit(block("PUBLISH c lost", stale));
    world.settle();
    assert_eq!(published(&world.told()), []);
    world.submit(block("PUBLISH c heard", Vec::new()));
    world.settle();
    assert_eq!(published(&world.told()), [(2, vec![said("heard")])]);
}

#[test]
fn a_forwarded_batch_that_is_sent_again_says_its_message_once() {
    let mut world = World::leader();
    let origin = Origin { session: SessionId(1), number: 1, acknowledged_below: 1 };
    world.submit_from(Some(origin), call("PUBLISH c once"));
    world.settle();
    assert_eq!(published(&world.told()).len(), 1);
    world.submit_from(Some(origin), call("PUBLISH c once"));
    world.settle();
    let told = world.told();
    assert!(published(&told).is_empty() && told.iter().any(|output| matches!(output, Output::Reply(..))), "{told:?}");
}

#[test]
fn a_failing_engine_takes_the_message_back() {
    let mut world = World::leader();
    world.run(call("SET k v"));
    world.engine.fail_next(Operation::Read, Fault::io());
    world.submit(call("PUBLISH c lost"));
    world.submit(call("INCR other"));
    assert!(world.machine.turn(world.now, &mut world.out).is_err());
    assert!(!world.machine.overlay.has_content());
}

#[test]
fn an_entry_of_another_epoch_says_nothing() {
    let mut world = World::new();
    let data = Entry { epoch: 2, ..Entry::decode(&entry("lost")).unwrap() }.encode();
    world.append(Term(1), data);
    world.commit();
    assert_eq!(published(&world.told()), []);
}

#[test]
fn what_is_older_than_the_process_is_not_told_again() {
    let mut world = World::new();
    world.machine.started_with_log(LogIndex(3), Term(4));
    for (term, message) in [(3, "logged"), (4, "logged"), (5, "took a place in the log"), (5, "behind it")] {
        world.append(Term(term), entry(message));
    }
    world.commit();
    let told = published(&world.told());
    assert_eq!(told, [(3, vec![said("took a place in the log")]), (4, vec![said("behind it")])]);

    let mut world = World::new();
    world.handle(Input::InTouch { commit: LogIndex(2) });
    for message in ["missed", "missed", "new"] {
        world.append(Term(1), entry(message));
    }
    world.commit();
    assert_eq!(published(&world.told()), [(3, vec![said("new")])]);
}
