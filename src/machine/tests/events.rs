//! Keyspace events and changed keys: what entries say of what they do.

use super::*;
use crate::base::Changed;
use crate::data::Events;

const ALL: &str = "CONFIG SET notify-keyspace-events KEAm";

/// Channels and texts of everything that was published.
fn events(out: &[Output]) -> Vec<String> {
    let said = out.iter().flat_map(|output| match output {
        Output::Published(_, publications) => publications.clone(),
        _ => Vec::new(),
    });
    let text = |bytes: &Bytes| String::from_utf8_lossy(bytes).into_owned();
    said.map(|said| format!("{} {}", text(&said.channel), text(&said.message))).collect()
}

fn told(world: &mut World, units: Vec<Unit>) -> Vec<String> {
    world.submit(units);
    world.settle();
    events(&world.told())
}

#[test]
fn events_are_told_with_their_change_from_the_setting_on() {
    let mut world = World::leader();
    world.told();
    assert_eq!(told(&mut world, call("SET k v")), [""; 0]);
    let both = [call(ALL), call("SET k v")].concat();
    assert_eq!(told(&mut world, both), ["__keyspace@0__:k set", "__keyevent@0__:set k"]);
    // The next leader, and one after a restart, know it from the records.
    world.handle(Input::Role(Role::Follower));
    world.lead(Term(2));
    world.told();
    assert_eq!(told(&mut world, call("DEL k")), ["__keyspace@0__:k del", "__keyevent@0__:del k"]);
    let mut world = World::on(world.engine);
    world.lead(Term(3));
    world.told();
    assert_eq!(told(&mut world, call("INCR n")).len(), 2);
    assert_eq!(told(&mut world, [call("CONFIG SET notify-keyspace-events "), call("DEL n")].concat()), [""; 0]);
}

#[test]
fn a_refused_setting_is_evaluated_again_in_its_place() {
    let mut world = World::leader();
    world.told();
    world.submit([call("SET a 1"), call(ALL), call("SET b 1")].concat());
    world.turn();
    let Proposal { generation, sequence, .. } = world.proposals()[0].clone();
    world.handle(Input::Dropped { generation, sequence });
    world.handle(Input::Tick);
    world.settle();
    assert_eq!(events(&world.told()), ["__keyspace@0__:b set", "__keyevent@0__:set b"]);
}

#[test]
fn an_end_is_told_once_whoever_notices_it() {
    let mut world = World::leader();
    world.run([call("CONFIG SET notify-keyspace-events Kx"), call("SET a v PX 100"), call("SET b v PX 100")].concat());
    world.now.wall = Millis(1_200);
    assert_eq!(told(&mut world, call("GET a")), ["__keyspace@0__:a expired"]);
    world.handle(Input::Tick);
    world.settle();
    assert_eq!(events(&world.told()), ["__keyspace@0__:b expired"]);
    world.handle(Input::Tick);
    assert_eq!(told(&mut world, call("MGET a b")), [""; 0]);
}

#[test]
fn a_miss_that_is_an_event_goes_through_the_log() {
    let mut world = World::leader();
    let version = world.machine.version();
    let read = |world: &World, line: &str| {
        let facts = Facts {
            group: GROUP,
            slots: SlotRange::ALL,
            moment: crate::data::Moment { stamp: Millis(1_000), clock: Millis(1_000) },
            thresholds: world.machine.settings.thresholds,
            events: version.events(),
            seed: 1,
        };
        let usage = &world.machine.settings.usage;
        read_local(&*world.engine, &facts, usage, &words(line), &mut bytes::BytesMut::new()).unwrap()
    };
    world.run(call("SET k v"));
    assert_eq!(read(&world, "GET nosuch"), Local::Done);
    world.run(call("CONFIG SET notify-keyspace-events Em"));
    assert_eq!(version.events(), Events::parse(b"Em").unwrap());
    assert_eq!((read(&world, "GET nosuch"), read(&world, "GET k")), (Local::NeedsLog, Local::Done));
    assert_eq!(read(&world, "OBJECT ENCODING nosuch"), Local::Done);
    assert_eq!(told(&mut world, call("GET nosuch")), ["__keyevent@0__:keymiss nosuch"]);
}

/// Changed keys that were told, with their authors.
fn changed(out: &[Output]) -> Vec<Changed> {
    let changed = out.iter().filter_map(|output| match output {
        Output::Changed(changed) => Some(changed.clone()),
        _ => None,
    });
    changed.flatten().collect()
}

fn authored(line: &str, author: u64) -> Vec<Unit> {
    vec![Unit::Call(Call { author, ..words(line) })]
}

#[test]
fn every_replica_tells_what_changed_where_somebody_wants_to_hear_it() {
    let mut world = World::leader();
    world.run(call("SET k v"));
    world.submit(call("SET k w"));
    world.settle();
    assert_eq!(changed(&world.told()), []);
    world.machine.settings.tells_changes.store(true, std::sync::atomic::Ordering::Relaxed);
    world.submit([call("SET k x"), call("GET k"), call("HSET h f 1"), call("DEL nosuch")].concat());
    world.turn();
    world.accept();
    assert_eq!(changed(&world.told()), [], "nothing is told before it can be read");
    world.settle();
    let out = world.told();
    assert_eq!(changed(&out), [Changed::key("k"), Changed::key("h")]);
    let place = |wanted: fn(&Output) -> bool| out.iter().position(wanted).unwrap();
    assert!(place(|output| matches!(output, Output::Changed(_))) < place(|output| matches!(output, Output::Reply(..))));
    world.submit(call("FLUSHALL"));
    world.settle();
    assert_eq!(changed(&world.told()), [Changed::Everything]);
}

#[test]
fn an_entry_names_what_one_client_alone_changed() {
    let mut world = World::leader();
    world.machine.settings.tells_changes.store(true, std::sync::atomic::Ordering::Relaxed);
    world.told();
    for units in [call("SET before 1"), authored("MSET before 2 own 2 after 2", 7), call("SET after 3")] {
        world.submit(units);
    }
    world.settle();
    let own = Changed::Key { key: "own".into(), author: 7 };
    assert_eq!(changed(&world.told()), [Changed::key("before"), own, Changed::key("after")]);
    world.submit(call("SET own 4"));
    world.settle();
    assert_eq!(changed(&world.told()), [Changed::key("own")], "the next entry has other authors");
}

#[test]
fn a_snapshot_may_have_changed_everything() {
    let mut leader = World::leader();
    leader.run(call("SET k v"));
    let place = (leader.machine.state().applied, leader.machine.state().term);
    let mut behind = World::new();
    behind.machine.settings.tells_changes.store(true, std::sync::atomic::Ordering::Relaxed);
    snapshot::install(&*behind.engine, GROUP, Some(SlotRange::ALL), place, &mut whole(&leader)).unwrap();
    behind.handle(Input::Installed { index: place.0, term: place.1 });
    assert_eq!(changed(&behind.told()), [Changed::Everything]);
}
