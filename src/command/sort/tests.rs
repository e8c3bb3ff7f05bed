//! What a client cannot see in one reply, or not at one size: both forms of values, parts of the order, watchers.

use super::destination;
use crate::base::{Rng, SlotRange};
use crate::command::testing::Session;
use crate::data::Touched;

/// The words of a reply that is an array of bulks without blanks.
fn words(reply: &str) -> Vec<String> {
    let mut words = reply.split(' ').skip(1);
    let mut found = Vec::new();
    while let Some(length) = words.next() {
        assert!(length.starts_with('$'), "{reply}");
        found.push(if length == "$-1" { "nil".into() } else { words.next().unwrap_or_default().into() });
    }
    found
}

fn ask(session: &mut Session, line: &str) -> Vec<String> {
    let reply = session.run(&line.split(' ').collect::<Vec<_>>());
    assert!(reply.starts_with('*'), "{line}: {reply}");
    words(&reply)
}

/// A list, a set and a sorted set of the same numbers, with weights and fields, all small or all large.
fn world(large: bool) -> (Session, Vec<i64>) {
    let mut session = Session::new();
    if large {
        let thresholds = &mut session.world.thresholds;
        (thresholds.set_integers_max, thresholds.set_entries_max, thresholds.zset_entries_max) = (0, 0, 0);
        (thresholds.hash_entries_max, thresholds.node_entries_max) = (0, 3);
    }
    let numbers: Vec<i64> = (0..40).map(|number| number * 7 % 41 - 20).collect();
    for number in &numbers {
        let (text, weight) = (number.to_string(), (number * 3 % 5).to_string());
        session.run(&["RPUSH", "l", &text]);
        session.run(&["SADD", "s", &text]);
        session.run(&["ZADD", "z", &weight, &text]);
        if number % 4 != 0 {
            session.run(&["SET", &format!("w{text}"), &weight]);
            session.run(&["HSET", &format!("h{text}x"), "f", &weight, "g", "other"]);
        }
    }
    (session, numbers)
}

#[test]
fn every_part_of_an_order_is_a_part_of_the_whole() {
    let mut rng = Rng::new(1);
    for large in [false, true] {
        let (mut session, numbers) = world(large);
        let weight = |number: &i64| if number % 4 == 0 { 0 } else { number * 3 % 5 };
        let mut by_number = numbers.clone();
        by_number.sort();
        let mut by_weight = numbers.clone();
        by_weight.sort_by_key(|number| (weight(number), number.to_string()));
        let texts = |numbers: &[i64]| numbers.iter().map(i64::to_string).collect::<Vec<_>>();
        for key in ["l", "s", "z"] {
            for (options, mut expected) in
                [("", texts(&by_number)), (" BY w*", texts(&by_weight)), (" BY h*x->f", texts(&by_weight))]
            {
                assert_eq!(ask(&mut session, &format!("SORT {key}{options}")), expected, "{key}{options} {large}");
                expected.reverse();
                assert_eq!(ask(&mut session, &format!("SORT_RO {key}{options} DESC")), expected);
            }
            for options in ["", " ALPHA", " BY w*", " BY w* ALPHA", " BY h*x->f ALPHA DESC", " BY x", " BY x DESC"] {
                let whole = ask(&mut session, &format!("SORT {key}{options}"));
                assert_eq!(whole.len(), 40);
                for _ in 0..20 {
                    let (skip, count) = (rng.below(45) as usize, rng.below(45) as usize);
                    let part = ask(&mut session, &format!("SORT {key}{options} LIMIT {skip} {count}"));
                    let from = skip.min(40);
                    assert_eq!(part, whole[from..(from + count).min(40)], "{key}{options} LIMIT {skip} {count}");
                }
            }
        }
        assert_eq!(ask(&mut session, "SORT l BY x"), texts(&numbers));
        let members = ask(&mut session, "ZRANGE z 0 -1");
        assert_eq!(ask(&mut session, "SORT z BY x"), members);
        session.world.audit();
    }
}

#[test]
fn equal_texts_keep_the_order_of_the_value() {
    let mut session = Session::new();
    session.check(&[
        ("RPUSH l c a d b", ":4"),
        ("MSET w_a 1 w_b 1 w_c 1", "+OK"),
        ("SORT l BY w_* ALPHA", "*4 $1 d $1 c $1 a $1 b"),
        ("SORT l BY w_* ALPHA DESC", "*4 $1 c $1 a $1 b $1 d"),
        ("SORT l BY w_* ALPHA LIMIT 1 2", "*2 $1 c $1 a"),
    ]);
    // Without STORE a text ends at a NUL, as in C; with it, it does not.
    session.check_words(&[
        ("DEL", &["l"], ":1"),
        ("RPUSH", &["l", "a\0z", "a\0b"], ":2"),
        ("SORT", &["l", "ALPHA"], "*2 $3 a\0z $3 a\0b"),
        ("SORT", &["l", "ALPHA", "STORE", "m"], ":2"),
        ("LRANGE", &["m", "0", "-1"], "*2 $3 a\0b $3 a\0z"),
    ]);
}

#[test]
fn what_is_stored_is_told_to_watchers() {
    let mut session = Session::new();
    let told = |session: &mut Session, line: &str| {
        session.world.touched.clear();
        session.run(&line.split(' ').collect::<Vec<_>>());
        let name = |touched: &Touched| match touched {
            Touched::Key(0, key) => String::from_utf8_lossy(key).into_owned(),
            other => panic!("{other:?}"),
        };
        let mut told: Vec<String> = session.world.touched.iter().map(name).collect();
        told.dedup();
        told
    };
    session.check(&[("RPUSH l 2 1", ":2"), ("SET d x PX 100000", "+OK")]);
    assert_eq!(told(&mut session, "SORT l"), [""; 0]);
    assert_eq!(told(&mut session, "SORT l STORE d"), ["d"]);
    session.check(&[("PTTL d", ":-1"), ("LRANGE d 0 -1", "*2 $1 1 $1 2")]);
    assert_eq!(told(&mut session, "SORT nothing STORE d"), ["d"]);
    assert_eq!(told(&mut session, "SORT nothing STORE d"), [""; 0]);
    assert_eq!(told(&mut session, "SORT l DESC STORE l"), ["l"]);
    session.check(&[("LRANGE l 0 -1", "*2 $1 2 $1 1"), ("EXISTS d", ":0")]);
    session.world.audit();
}

#[test]
fn a_product_of_patterns_and_elements_has_a_bound() {
    let mut session = Session::new();
    session.check(&[("SETRANGE k1 1048575 x", ":1048576"), ("RPUSH l 1 1 1 1 1 1 1 1", ":8")]);
    let call: Vec<&str> = ["SORT", "l"].into_iter().chain(["GET", "k*"].into_iter().cycle().take(80)).collect();
    let refusal = "-ERR reply exceeds the output buffer limit";
    assert_eq!(session.run(&call), refusal);
    assert_eq!(session.run(&[&call[..], &["STORE", "d"]].concat()), refusal);
    assert_eq!(session.run(&["EXISTS", "d"]), ":0");
}

#[test]
fn no_key_of_another_group_is_read_or_written() {
    let mut session = Session::new();
    // {b}: 3300, {a}: 15495.
    session.check(&[("RPUSH {b}l 2 1", ":2"), ("MSET {b}w1 5 {b}w2 4", "+OK")]);
    session.world.slots = SlotRange::divide(2)[0];
    session.check(&[
        ("SORT {b}l BY {b}w* GET # GET {b}w*", "*4 $1 2 $1 4 $1 1 $1 5"),
        ("SORT {b}l BY {a}w*", "-CROSSSLOT Keys in request don't hash to the same slot"),
        ("SORT {b}l BY nosort GET {a}w*", "-CROSSSLOT Keys in request don't hash to the same slot"),
        ("SORT {b}l STORE {a}d", "-CROSSSLOT Keys in request don't hash to the same slot"),
        ("SORT {b}l BY nosort GET #", "*2 $1 2 $1 1"),
    ]);
    assert!(
        session.run(&["SORT_RO", "{b}l", "GET", "w*"]).starts_with("-ERR GET option of SORT denied in cluster mode")
    );
}

#[test]
fn destinations_are_found_where_redis_finds_them() {
    let found = |line: &str| destination(&line.split(' ').collect::<Vec<_>>());
    assert_eq!(found("SORT k STORE a"), Some(3));
    assert_eq!(found("SORT k STORE a store b"), Some(5));
    assert_eq!(found("SORT k BY STORE GET STORE LIMIT STORE x ALPHA"), None);
    assert_eq!(found("SORT k STORE"), None);
    assert_eq!(found("SORT k STORE get STORE b"), Some(3));
    assert_eq!(found("SORT k STORE store b"), Some(4));
    assert_eq!(found("SORT k LIMIT"), None);
}
