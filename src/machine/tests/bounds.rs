//! How much waits, how much one entry takes, how many are on their way; and where an engine's failure ends.

use super::*;

#[test]
fn rule_40_a_full_queue_refuses_before_anything_is_proposed() {
    let mut world = World::leader();
    world.machine.settings.queue_bytes_max = 100;
    world.told();
    let admitted = world.submit(call("SET k v"));
    let large = world.submit(vec![Unit::Call(words(&format!("SET k {}", "v".repeat(200))))]);
    assert_eq!(world.told(), [Output::Refused(large, Refusal::Overloaded)]);
    world.settle();
    assert_eq!(world.told(), [Output::Reply(admitted, reply("+OK\r\n"))]);
    assert_eq!(world.machine.waiting_bytes, 0);
}

#[test]
fn entries_are_bounded_in_bytes_and_in_number() {
    let mut world = World::leader();
    world.machine.settings.entry_bytes_target = 100;
    world.machine.settings.entries_in_flight_max = 2;
    for n in 0..5 {
        world.submit(call(&format!("SET k{n} {}", "v".repeat(100))));
    }
    world.turn();
    assert_eq!(world.accept(), 2);
    world.commit();
    world.turn();
    assert_eq!(world.accept(), 2);
    world.commit();
    world.settle();
    assert_eq!(world.told().len(), 5);
}

#[test]
fn small_entries_wait_for_company_while_others_are_on_their_way() {
    let mut world = World::leader();
    world.machine.settings.small_entries_in_flight_max = 1;
    world.told();
    let mut proposed = Vec::new();
    for n in 0..8 {
        world.submit(call(&format!("SET k{n} v")));
        world.turn();
        proposed.push(world.accept());
    }
    assert_eq!(proposed, [1, 1, 1, 1, 1, 0, 1, 0], "each has a quarter of what all before it have, the rest waits");
    assert!((1..1_000).contains(&world.machine.patience()), "a little more, and it is worth being told");
    world.commit();
    for n in 0..8 {
        world.submit(call(&format!("SET k{n} w")));
    }
    world.turn();
    assert_eq!(world.accept(), 1, "what waited is one entry");
    let large = format!("SET large {}", "v".repeat(world.machine.settings.entry_bytes_worthwhile));
    for (line, entries) in [("SET a v", 0), (&large[..], 1)] {
        world.submit(call(line));
        world.turn();
        assert_eq!(world.accept(), entries, "{}: one that is worth it goes, and takes what waits along", &line[..5]);
    }
    world.commit();
    world.settle();
    assert_eq!(world.told().len(), 18);
    assert_eq!(world.machine.patience(), 0, "nothing is on its way");
}

#[test]
fn a_failing_read_of_the_engine_is_final_and_leaves_nothing() {
    let mut world = World::leader();
    world.told();
    world.submit(call("SET a 1"));
    world.turn();
    world.accept();
    world.commit();
    world.told();
    world.submit(call("SET b 1"));
    world.submit(call("INCR a"));
    world.engine.fail_next(Operation::Read, Fault::io());
    assert!(world.machine.turn(world.now, &mut world.out).is_err());
    assert_eq!(world.told(), []);
}
