//! Deadlines of fields: ended by the log alone, the same on every replica, and part of what a snapshot brings.

use super::*;
use crate::data::{Moment, audit};

/// What is wrong with a replica's records.
fn wrong(world: &World) -> Vec<String> {
    let counts = world.engine.get(&crate::store::keys::counts(GROUP)).unwrap();
    let counts = counts.map(|record| crate::data::Counts::decode(&record).unwrap()).unwrap_or_default();
    audit(&*world.engine, GROUP, SlotRange::ALL, &counts).unwrap()
}

/// All records of a replica.
fn records(world: &World) -> Vec<(Bytes, Bytes)> {
    let mut records = Vec::new();
    let (start, end) = (Bytes::new(), Bytes::from_static(&[0xff; 20]));
    world
        .engine
        .scan(&start, &end, crate::store::Order::Forward, &mut |key, value| {
            records.push((Bytes::copy_from_slice(key), Bytes::copy_from_slice(value)));
            std::ops::ControlFlow::Continue(())
        })
        .unwrap();
    records
}

/// A leader with a large hash `h` of fields that end at 1,500 but for the last, and a small one, `g`, that ends then.
fn leader() -> World {
    let mut world = World::leader();
    world.machine.settings.thresholds.hash_entries_max = 3;
    world.run(call("HSETEX h PXAT 1500 FIELDS 4 a 1 b 2 c 3 d 4"));
    world.run(call("HSET h last v"));
    world.run(call("HSETEX g PXAT 1500 FIELDS 2 a 1 b 2"));
    assert_eq!(wrong(&world), Vec::<String>::new());
    world
}

#[test]
fn rule_39_a_field_is_reported_gone_only_by_an_entry_of_the_log() {
    let mut world = leader();
    world.now.wall = Millis(1_500);
    // Looking is enough to end it, and the answer waits for the entry that says so.
    let ticket = world.submit(call("HGET h a"));
    world.turn();
    assert_eq!(world.accept(), 1);
    assert_eq!(world.told(), []);
    world.commit();
    assert_eq!(world.told(), [Output::Reply(ticket, reply("$-1\r\n"))]);
    assert_eq!(world.machine.state().stamp, Millis(1_500));
    // The next leader's clock is behind, and the field is gone all the same.
    let mut next = World::on(world.engine.clone());
    next.now.wall = Millis(1_100);
    next.lead(Term(2));
    next.told();
    assert_eq!(next.run(call("HGETALL h")), reply("*2\r\n$4\r\nlast\r\n$1\r\nv\r\n"));
    assert_eq!(wrong(&next), Vec::<String>::new());
}

#[test]
fn due_fields_are_deleted_in_the_background_and_replicas_apply_the_same() {
    let mut leader = leader();
    let mut follower = World::new();
    // Everything again, entry by entry, on a replica that never evaluates.
    let mut again = World::leader();
    again.machine.settings.thresholds.hash_entries_max = 3;
    follower.append(Term(1), Bytes::new());
    for line in ["HSETEX h PXAT 1500 FIELDS 4 a 1 b 2 c 3 d 4", "HSET h last v", "HSETEX g PXAT 1500 FIELDS 2 a 1 b 2"]
    {
        again.submit(call(line));
        again.turn();
        let data = again.proposals().pop().unwrap().data;
        follower.append(Term(1), data.clone());
        again.append(Term(1), data);
        again.commit();
    }
    follower.commit();
    assert_eq!(records(&follower), records(&leader));
    for world in [&mut leader, &mut follower] {
        world.now.wall = Millis(1_600);
        world.handle(Input::Tick);
        world.turn();
    }
    assert_eq!(follower.proposals(), [], "a follower ends nothing");
    let proposals = leader.proposals();
    assert_eq!(proposals.len(), 1);
    for world in [&mut leader, &mut follower] {
        world.append(Term(1), proposals[0].data.clone());
    }
    let (index, term) = (leader.last, leader.term);
    leader.handle(Input::Proposed {
        generation: proposals[0].generation,
        sequence: proposals[0].sequence,
        index,
        term,
    });
    leader.commit();
    follower.commit();
    assert_eq!(records(&follower), records(&leader));
    assert_eq!(wrong(&follower), Vec::<String>::new());
    assert_eq!((follower.value("g"), follower.value("h").map(|head| head[7])), (None, Some(1)));
    leader.handle(Input::Tick);
    leader.turn();
    assert_eq!(leader.proposals(), [], "nothing is left to be done");
}

#[test]
fn a_watched_hash_was_changed_when_a_field_of_it_ended() {
    let mut world = leader();
    let key = Bytes::from_static(b"h");
    let [UnitReply::Watch { term, sequence }] = world.run(vec![Unit::Watch { db: 0, keys: vec![key.clone()] }])[..]
    else {
        panic!()
    };
    let watches = vec![Watch { db: 0, key, term, sequence }];
    let block = vec![Unit::Atomic { watches, calls: vec![words("HLEN h")] }];
    assert_eq!(world.run(block.clone()), [UnitReply::Atomic(Some(vec![Bytes::from_static(b":5\r\n")]))]);
    world.now.wall = Millis(1_500);
    assert_eq!(world.run(block), [UnitReply::Atomic(None)]);
}

#[test]
fn a_snapshot_brings_the_deadlines_of_fields_along() {
    let leader = leader();
    let place = (leader.machine.state().applied, leader.machine.state().term);
    let mut behind = World::leader();
    snapshot::install(&*behind.engine, GROUP, Some(SlotRange::ALL), place, &mut whole(&leader)).unwrap();
    behind.handle(Input::Installed { index: place.0, term: place.1 });
    behind.told();
    assert_eq!((records(&behind), wrong(&behind)), (records(&leader), Vec::new()));
    behind.last = place.0;
    behind.lead(Term(2));
    behind.told();
    assert_eq!(behind.run(call("HPEXPIRETIME h FIELDS 2 a last")), reply("*2\r\n:1500\r\n:-1\r\n"));
    behind.now.wall = Millis(1_500);
    behind.handle(Input::Tick);
    behind.settle();
    assert_eq!((behind.value("g"), wrong(&behind)), (None, Vec::new()));
    assert_eq!(behind.run(call("HLEN h")), reply(":1\r\n"));
}

#[test]
fn a_local_read_asks_for_the_log_only_about_fields_that_are_due() {
    let world = leader();
    let facts = |clock: u64| Facts {
        group: GROUP,
        slots: SlotRange::ALL,
        moment: Moment { stamp: Millis(1_000), clock: Millis(clock) },
        thresholds: world.machine.settings.thresholds,
        events: Default::default(),
        seed: 1,
    };
    let read = |world: &World, clock: u64, line: &str| {
        let mut out = bytes::BytesMut::new();
        let usage = &world.machine.settings.usage;
        let result = read_local(&*world.engine, &facts(clock), usage, &words(line), &mut out).unwrap();
        (result, String::from_utf8_lossy(&out).into_owned())
    };
    for (line, reply) in [("HGET h a", "$1\r\n1\r\n"), ("HLEN h", ":5\r\n"), ("HGET g a", "$1\r\n1\r\n")] {
        assert_eq!(read(&world, 1_499, line), (Local::Done, reply.into()));
        assert_eq!(read(&world, 1_500, line), (Local::NeedsLog, String::new()), "{line}");
    }
    assert_eq!(read(&world, 1_500, "HGET h last"), (Local::Done, "$1\r\nv\r\n".into()));
    assert_eq!(read(&world, 1_500, "EXISTS h"), (Local::Done, ":1\r\n".into()));
    assert_eq!(read(&world, 1_500, "EXISTS g").0, Local::NeedsLog, "nothing would be left of it");
    // In memory too, where a part of a hash cannot be walked.
    let version = world.machine.version();
    let view = InMemory::new(&*world.engine, &version);
    let usage = world.machine.settings.usage.clone();
    let in_memory = |clock: u64, line: &str| {
        read_local(&view, &facts(clock), &usage, &words(line), &mut bytes::BytesMut::new()).unwrap()
    };
    assert_eq!(in_memory(1_500, "HGET h last"), Local::Done);
    assert_eq!(in_memory(1_500, "HGET h a"), Local::NeedsLog);
    assert_eq!(in_memory(1_499, "HLEN h"), Local::Done);
}
