//! What depends on the time, with a clock that stands still, and what a dialogue with a 7.0 cannot show.

use bytes::{Bytes, BytesMut};

use crate::base::Rng;
use crate::command::testing::Session;
use crate::command::{Call, execute_encoded};
use crate::rdb;

fn later(session: &mut Session, millis: u64) {
    session.world.moment.clock.0 += millis;
    session.world.moment.stamp = session.world.moment.clock;
}

#[test]
fn ids_by_the_clock_never_go_back() {
    let mut session = Session::new();
    session.check(&[
        ("XADD s * a b", "$15 1700000000000-0"),
        ("XADD s * a b", "$15 1700000000000-1"),
        ("XADD s 1700000000000-* a b", "$15 1700000000000-2"),
    ]);
    later(&mut session, 5);
    session.check(&[("XADD s * a b", "$15 1700000000005-0"), ("XADD s 1800000000000-7 a b", "$15 1800000000000-7")]);
    session.check(&[("XADD s * a b", "$15 1800000000000-8")]);
    session.check(&[
        ("XADD s 1800000000000-18446744073709551615 a b", "$34 1800000000000-18446744073709551615"),
        (
            "XADD s 1800000000000-* a b",
            "-ERR The ID specified in XADD is equal or smaller than the target stream top item",
        ),
        ("XADD s * a b", "$15 1800000000001-0"),
    ]);
}

#[test]
fn consumers_are_seen_and_active() {
    let mut session = Session::new();
    session.check(&[
        ("XGROUP CREATE s g $ MKSTREAM", "+OK"),
        ("XGROUP CREATECONSUMER s g alice", ":1"),
        ("XINFO CONSUMERS s g", "*1 *8 $4 name $5 alice $7 pending :0 $4 idle :0 $8 inactive :-1"),
    ]);
    later(&mut session, 10);
    session.check(&[
        ("XREADGROUP GROUP g alice STREAMS s >", "*-1"),
        ("XADD s 1-1 a b", "$3 1-1"),
        ("XREADGROUP GROUP g bob STREAMS s >", "*1 *2 $1 s *1 *2 $3 1-1 *2 $1 a $1 b"),
    ]);
    later(&mut session, 30);
    session.check(&[
        (
            "XINFO CONSUMERS s g",
            "*2 *8 $4 name $5 alice $7 pending :0 $4 idle :30 $8 inactive :-1 \
             *8 $4 name $3 bob $7 pending :1 $4 idle :30 $8 inactive :30",
        ),
        ("XREADGROUP GROUP g bob STREAMS s >", "*-1"),
        ("XCLAIM s g alice 31 1-1", "*0"),
        (
            "XINFO CONSUMERS s g",
            "*2 *8 $4 name $5 alice $7 pending :0 $4 idle :0 $8 inactive :-1 \
             *8 $4 name $3 bob $7 pending :1 $4 idle :0 $8 inactive :30",
        ),
        ("XCLAIM s g alice 30 1-1 JUSTID", "*1 $3 1-1"),
        (
            "XINFO CONSUMERS s g",
            "*2 *8 $4 name $5 alice $7 pending :1 $4 idle :0 $8 inactive :0 \
             *8 $4 name $3 bob $7 pending :0 $4 idle :0 $8 inactive :30",
        ),
    ]);
}

#[test]
fn what_is_pending_has_an_age() {
    let mut session = Session::new();
    session.check(&[
        ("XADD s 1-1 a b", "$3 1-1"),
        ("XADD s 2-1 a b", "$3 2-1"),
        ("XGROUP CREATE s g 0", "+OK"),
        ("XREADGROUP GROUP g bob COUNT 1 STREAMS s >", "*1 *2 $1 s *1 *2 $3 1-1 *2 $1 a $1 b"),
    ]);
    later(&mut session, 100);
    session.check(&[
        ("XREADGROUP GROUP g bob COUNT 1 STREAMS s >", "*1 *2 $1 s *1 *2 $3 2-1 *2 $1 a $1 b"),
        ("XPENDING s g - + 10", "*2 *4 $3 1-1 $3 bob :100 :1 *4 $3 2-1 $3 bob :0 :1"),
        ("XPENDING s g IDLE 100 - + 10", "*1 *4 $3 1-1 $3 bob :100 :1"),
        ("XPENDING s g IDLE 101 - + 10 bob", "*0"),
        ("XREADGROUP GROUP g bob COUNT 1 STREAMS s 0", "*1 *2 $1 s *1 *2 $3 1-1 *2 $1 a $1 b"),
        ("XPENDING s g - + 10 bob", "*2 *4 $3 1-1 $3 bob :0 :2 *4 $3 2-1 $3 bob :0 :1"),
        ("XCLAIM s g bob 0 1-1 IDLE 70", "*1 *2 $3 1-1 *2 $1 a $1 b"),
        ("XCLAIM s g bob 0 2-1 TIME 1700000000050 RETRYCOUNT 9 JUSTID", "*1 $3 2-1"),
        ("XPENDING s g - + 10", "*2 *4 $3 1-1 $3 bob :70 :3 *4 $3 2-1 $3 bob :50 :9"),
        ("XAUTOCLAIM s g eve 60 - JUSTID", "*3 $3 0-0 *1 $3 1-1 *0"),
        ("XPENDING s g - + 10", "*2 *4 $3 1-1 $3 eve :0 :3 *4 $3 2-1 $3 bob :50 :9"),
        ("XCLAIM s g bob 0 1-1 TIME 1800000000000", "*1 *2 $3 1-1 *2 $1 a $1 b"),
        ("XPENDING s g - + 1", "*1 *4 $3 1-1 $3 bob :0 :4"),
        (
            "XINFO STREAM s FULL",
            "*18 $6 length :2 $15 radix-tree-keys :1 $16 radix-tree-nodes :2 $17 last-generated-id $3 2-1 \
             $20 max-deleted-entry-id $3 0-0 $13 entries-added :2 $23 recorded-first-entry-id $3 1-1 \
             $7 entries *2 *2 $3 1-1 *2 $1 a $1 b *2 $3 2-1 *2 $1 a $1 b \
             $6 groups *1 *14 $4 name $1 g $17 last-delivered-id $3 2-1 $12 entries-read :2 $3 lag :0 \
             $9 pel-count :2 $7 pending *2 *4 $3 1-1 $3 bob :1700000000100 :4 *4 $3 2-1 $3 bob :1700000000050 :9 \
             $9 consumers *2 *10 $4 name $3 bob $9 seen-time :1700000000100 $11 active-time :1700000000100 \
             $9 pel-count :2 $7 pending *2 *3 $3 1-1 :1700000000100 :4 *3 $3 2-1 :1700000000050 :9 \
             *10 $4 name $3 eve $9 seen-time :1700000000100 $11 active-time :1700000000100 $9 pel-count :0 \
             $7 pending *0",
        ),
    ]);
}

#[test]
fn xautoclaim_looks_at_ten_entries_for_each_that_it_may_claim() {
    let mut session = Session::new();
    session.check(&[("XGROUP CREATE s g 0 MKSTREAM", "+OK")]);
    for number in 1..=100 {
        session.run(&["XADD", "s", &format!("{number}-0"), "a", "b"]);
    }
    session.run(&["XREADGROUP", "GROUP", "g", "bob", "COUNT", "95", "STREAMS", "s", ">"]);
    later(&mut session, 100);
    session.run(&["XREADGROUP", "GROUP", "g", "bob", "STREAMS", "s", ">"]);
    session.check(&[
        ("XAUTOCLAIM s g eve 1000 - COUNT 3", "*3 $4 31-0 *0 *0"),
        ("XAUTOCLAIM s g eve 1000 90 COUNT 1", "*3 $5 100-0 *0 *0"),
        ("XAUTOCLAIM s g eve 1000 91 COUNT 1", "*3 $3 0-0 *0 *0"),
        ("XAUTOCLAIM s g eve 50 95 COUNT 5 JUSTID", "*3 $3 0-0 *1 $4 95-0 *0"),
        ("XAUTOCLAIM s g eve 0 98 COUNT 2 JUSTID", "*3 $5 100-0 *2 $4 98-0 $4 99-0 *0"),
        ("XDEL s 98-0 99-0", ":2"),
        ("XAUTOCLAIM s g eve 0 98 COUNT 1 JUSTID", "*3 $4 99-0 *0 *1 $4 98-0"),
        ("XAUTOCLAIM s g eve 0 98 COUNT 9 JUSTID", "*3 $3 0-0 *1 $5 100-0 *1 $4 99-0"),
    ]);
    session.world.audit();
}

#[test]
fn a_timeout_is_read_and_nobody_waits() {
    let mut session = Session::new();
    session.check(&[
        ("XREAD BLOCK 0 STREAMS s 0", "*-1"),
        ("XREAD BLOCK 9223372036854775807 STREAMS s 0", "-ERR timeout is out of range"),
        ("XREAD BLOCK -1 STREAMS s 0", "-ERR timeout is negative"),
        ("XREAD BLOCK x STREAMS s 0", "-ERR timeout is not an integer or out of range"),
        ("XREAD STREAMS s", "-ERR wrong number of arguments for 'xread' command"),
        (
            "XREAD STREAMS s t 0",
            "-ERR Unbalanced 'xread' list of streams: for each stream key an ID or '$' must be specified.",
        ),
    ]);
}

#[test]
fn help_names_every_subcommand() {
    let mut session = Session::new();
    for (container, words) in [
        ("XGROUP", &["CREATE", "CREATECONSUMER", "DELCONSUMER", "DESTROY", "SETID"][..]),
        ("XINFO", &["CONSUMERS", "GROUPS", "STREAM"]),
    ] {
        let help = session.run(&[container, "HELP"]);
        assert!(words.iter().all(|word| help.contains(word)), "{help}");
    }
}

/// A payload of a stream with one byte changed is refused or is a stream, with which everything can be done.
#[test]
fn forged_streams_leave_the_records_whole() {
    let mut session = Session::new();
    for number in 1..=7 {
        session.run(&["XADD", "s", &format!("{number}-1"), "f", &"v".repeat(number)]);
    }
    session.check(&[("XDEL s 2-1", ":1"), ("XGROUP CREATE s g 0", "+OK")]);
    session.run(&["XREADGROUP", "GROUP", "g", "c", "COUNT", "3", "STREAMS", "s", ">"]);
    let call = |session: &mut Session, args: Vec<Bytes>| {
        let mut out = BytesMut::new();
        let call = Call::new(0, session.protocol, args);
        session.world.keys(|keys| execute_encoded(keys, None, &call, &mut out)).unwrap();
        out.freeze()
    };
    let dumped = call(&mut session, vec!["DUMP".into(), "s".into()]);
    let start = dumped.windows(2).position(|pair| pair == b"\r\n").unwrap() + 2;
    let body = &dumped[start..dumped.len() - 2 - 10];
    let (mut rng, mut taken) = (Rng::new(1), 0);
    for _ in 0..3_000 {
        let mut forged = body.to_vec();
        let at = rng.below(forged.len() as u64) as usize;
        let any = rng.next() as u8;
        forged[at] = *rng.pick(&[0, 1, 2, 0x7f, 0x80, 0xff, any]);
        let payload = rdb::sealed(forged, rdb::VERSION);
        let reply = call(&mut session, vec!["RESTORE".into(), "t".into(), "0".into(), payload, "REPLACE".into()]);
        taken += usize::from(reply.starts_with(b"+"));
        for line in [
            "XINFO STREAM t FULL COUNT 0",
            "XADD t MAXLEN ~ 3 * a b",
            "XREADGROUP GROUP g c STREAMS t 0",
            "XREADGROUP GROUP g d STREAMS t >",
            "XAUTOCLAIM t g d 0 -",
            "XDEL t 3-1 7-1",
            "XTRIM t MAXLEN 1",
            "XACK t g 1-1 3-1",
            "DUMP t",
        ] {
            session.run(&line.split(' ').collect::<Vec<_>>());
        }
        session.world.audit();
    }
    assert!((100..2_900).contains(&taken), "{taken} were taken");
}
