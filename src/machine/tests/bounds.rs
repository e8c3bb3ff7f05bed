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

fn too_large() -> UnitReply {
    UnitReply::Call(format!("-ERR {}\r\n", crate::data::TOO_LARGE).into())
}

#[test]
fn a_command_that_changes_more_than_an_entry_holds_is_refused_and_leaves_nothing() {
    let mut world = World::leader();
    world.machine.settings.thresholds.entry_bytes_max = 2_000;
    world.machine.settings.thresholds.hash_entries_max = 0;
    let long = "v".repeat(1_200);
    assert_eq!(world.run(call(&format!("SET k {long}"))), reply("+OK\r\n"));
    for part in 0..3 {
        let fields: Vec<String> = (0..40).map(|n| format!("field-{part}-{n} {n}")).collect();
        assert_eq!(world.run(call(&format!("HSET h {}", fields.join(" ")))), reply(":40\r\n"));
    }
    world.run(call("SET other 1"));
    // What it would write, what it would write under another name, and what it would write and answer.
    for line in ["COPY h h2", "RENAME h other", "MOVE h 3", &format!("SET k {long} GET")] {
        assert_eq!(world.run(call(line)), [too_large()], "{line:.20}");
    }
    let script = "for i = 1, 1000 do redis.call('set', 's' .. i, string.rep('x', 100)) end";
    let eval = ["EVAL", script, "0"].iter().map(|word| Bytes::copy_from_slice(word.as_bytes())).collect();
    assert_eq!(world.run(vec![Unit::Call(Call::new(0, Protocol::Resp2, eval))]), [too_large()]);
    assert_eq!(world.run(call("DBSIZE")), reply(":3\r\n"));
    assert_eq!(world.run(call("MGET other s1")), reply("*2\r\n$1\r\n1\r\n$-1\r\n"));
    assert_eq!(world.run(call("HLEN h")), reply(":120\r\n"));
    assert_eq!(world.value("k").map(|value| value.len()), Some(1_200));
    // In a block, what fits stays.
    let calls = vec![words(&format!("SET a {long}")), words(&format!("SET b {long}")), words("SET c 1")];
    let UnitReply::Call(refused) = too_large() else { panic!("a call's") };
    let replies = Some(vec![Bytes::from_static(b"+OK\r\n"), refused, "+OK\r\n".into()]);
    assert_eq!(world.run(vec![Unit::Atomic { watches: Vec::new(), calls }]), [UnitReply::Atomic(replies)]);
    assert_eq!(world.run(call("EXISTS a b c")), reply(":2\r\n"));
    assert_eq!(world.run(call("DBSIZE")), reply(":5\r\n"));
}
