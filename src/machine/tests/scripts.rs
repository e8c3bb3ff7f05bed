//! Scripts in units: one entry, one reply, known to whoever leads next.

use super::*;

fn eval(script: &str) -> Call {
    let args = ["EVAL", script, "0"].iter().map(|word| Bytes::copy_from_slice(word.as_bytes())).collect();
    Call::new(0, Protocol::Resp2, args)
}

#[test]
fn what_a_script_writes_is_one_entry_and_an_error_keeps_it() {
    let mut world = World::leader();
    world.submit(vec![Unit::Call(eval("for i = 1, 3 do redis.call('set', 'k' .. i, i) end error('stop', 0)"))]);
    world.turn();
    assert_eq!(world.accept(), 1, "one entry");
    world.commit();
    let told = world.told();
    let [Output::Reply(_, replies)] = &told[..] else { panic!("{told:?}") };
    let [UnitReply::Call(line)] = &replies[..] else { panic!("{replies:?}") };
    assert!(line.starts_with(b"-ERR stop script: "), "{line:?}");
    assert_eq!(world.run(call("MGET k1 k2 k3")), reply("*3\r\n$1\r\n1\r\n$1\r\n2\r\n$1\r\n3\r\n"));
}

#[test]
fn a_script_in_a_block_sees_what_the_block_did() {
    let mut world = World::leader();
    let calls = vec![words("SET k 1"), eval("return redis.call('incr', 'k')"), words("GET k")];
    let replies = vec![Bytes::from_static(b"+OK\r\n"), ":2\r\n".into(), "$1\r\n2\r\n".into()];
    assert_eq!(world.run(vec![Unit::Atomic { watches: Vec::new(), calls }]), [UnitReply::Atomic(Some(replies))]);
}

#[test]
fn a_script_is_watched_and_known_to_the_next_leader() {
    let mut world = World::leader();
    let keys = vec![Bytes::from_static(b"k")];
    let [UnitReply::Watch { term, sequence }] = world.run(vec![Unit::Watch { db: 0, keys }])[..] else { panic!() };
    assert_eq!(world.run(vec![Unit::Call(eval("return redis.call('set', 'k', 1)"))]), reply("+OK\r\n"));
    let watches = vec![Watch { db: 0, key: Bytes::from_static(b"k"), term, sequence }];
    let calls = vec![words("GET k")];
    assert_eq!(world.run(vec![Unit::Atomic { watches, calls }]), [UnitReply::Atomic(None)]);
    let mut next = World::on(world.engine.clone());
    next.lead(Term(2));
    next.told();
    assert_eq!(next.run(call("EVALSHA 54100b1a82e8e6afe3e6a087f77ca8352368df62 0")), reply("+OK\r\n"));
}

#[test]
fn what_a_script_read_is_told_also_with_its_stored_answer() {
    let mut world = World::leader();
    let script = "redis.call('get', 'b') redis.call('mget', 'a', 'b') return redis.call('set', 'c', 1)";
    let telling = Call { tells_reads: true, ..eval(script) };
    let asked = vec![
        Unit::Call(telling.clone()),
        Unit::Call(eval(script)),
        Unit::Atomic { watches: Vec::new(), calls: vec![telling, words("GET d")] },
    ];
    let told = |reply| UnitReply::Read { reply: Box::new(reply), keys: vec!["a".into(), "b".into()] };
    let ok = Bytes::from_static(b"+OK\r\n");
    let block = UnitReply::Atomic(Some(vec![ok.clone(), "$-1\r\n".into()]));
    let replies = [told(UnitReply::Call(ok.clone())), UnitReply::Call(ok), told(block)];
    let origin = Some(Origin { session: SessionId(9), number: 1, acknowledged_below: 1 });
    assert_eq!(world.run_from(origin, asked.clone()), replies);
    let mut next = World::on(world.engine.clone());
    next.lead(Term(2));
    next.told();
    assert_eq!(next.run_from(origin, asked), replies, "it does not run again");
}
