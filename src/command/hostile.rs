//! Calls that nobody means well: every command on keys with words that have broken servers before (numbers at the
//! ends of their range, patterns without an end, line breaks, options without values, one key twice).
//!
//! Whatever comes: exactly one reply that can be read back, counts and indexes that agree with the records, every
//! changed key told to WATCH, and nothing written by a local read.

use std::collections::BTreeSet;

use bytes::{Bytes, BytesMut};

use super::{Call, Error, Handler, Scripts, Spec, execute_encoded, table};
use crate::base::Rng;
use crate::data::testing::World;
use crate::data::{Mode, Thresholds, Touched};
use crate::rdb;
use crate::resp::{Protocol, parse_reply};
use crate::store::{Records, keys};

const CALLS: usize = 60_000;

/// Short ones, and those of good calls.
const WORDS: &[&str] = &[
    "", "0", "1", "-1", "2", "5", "10", "64", "300", "01", "+5", " 1", "0x1p3", "1.5", "1e400", "-1e-400", "nan",
    "inf", "value", "a\r\nb", "\r\n", "\0", "é", "*", "**", "k*", "[a-", "[^", "\\", "h?[", "f*", "NX", "XX", "GT",
    "LT", "GET", "EX", "PX", "EXAT", "PXAT", "KEEPTTL", "PERSIST", "MATCH", "COUNT", "TYPE", "string", "hash", "DB",
    "REPLACE", "IDX", "LEN", "ASYNC", "SYNC", "BIT", "BYTE", "AND", "NOT", "XOR", "SET", "INCRBY", "OVERFLOW", "SAT",
    "FAIL", "u8", "i64", "u63", "#1", "(1", "-", "+", "$", ">", "~", "=", "5-1", "5-*", "(5-1", "#", "*->f", "k*->",
];
/// What most numbers of good calls may be.
const NUMBERS: &[&str] = &["0", "1"];
const LONG_WORDS: &[&str] = &[
    "9223372036854775807",
    "-9223372036854775807",
    "-9223372036854775808",
    "9223372036854775808",
    "-4611686018427387905",
    "18446744073709551615",
    "99999999999999999999999",
    "1700000001",
    "1700000000500",
    "a longer value that does not fit into a small hash, so that it must be spread over records",
    "MINMATCHLEN",
    "WITHMATCHLEN",
    "WITHVALUES",
];

const KEYS: &[&str] = &["k", "{k}2", "{k}3", "n", "h", "{h}2", "{h}3", "l", "s", "{s}2", "z", "{z}2", "x", ""];
/// Of one function, which runs any command.
const LIBRARY: &str = "#!lua name=lib\nredis.register_function{function_name='f', flags={'no-writes'}, \
                       callback=function(keys, args) local r = redis.pcall(unpack(args)) \
                       if type(r) == 'table' and r.err then return keys end return r end}";
/// The first one is known by its digest below.
const SCRIPTS: &[&str] = &[
    "return 1",
    "return redis.call(unpack(ARGV))",
    "return {redis.pcall(KEYS[1] or 'ping', unpack(ARGV)), KEYS, ARGV}",
    "return cjson.encode(redis.pcall(unpack(ARGV)))",
    "return cmsgpack.unpack(ARGV[1] or KEYS[1] or '')",
    "return struct.unpack(ARGV[1] or 'b', ARGV[2] or '')",
    "return redis.call('set', KEYS[1] or 'k', ARGV[1] or '')",
    "redis.setresp(3) return redis.call('hgetall', KEYS[1] or 'h')",
    "return loadstring(ARGV[1] or 'return 2')()",
    "return ('x'):rep(math.min(tonumber(ARGV[1]) or 3, 99)):find(ARGV[2] or 'x')",
    "return {err = ARGV[1]}",
    "return {ok = ARGV[1]}",
    "return {verbatim_string = {format = ARGV[1], string = ARGV[2]}}",
];

fn word(rng: &mut Rng) -> Bytes {
    let from = [KEYS, KEYS, NUMBERS, WORDS, WORDS, WORDS, LONG_WORDS][rng.below(7) as usize];
    Bytes::from_static(rng.pick(from).as_bytes())
}

/// The words that stand for themselves among a command's arguments.
fn tokens(spec: &'static Spec) -> Vec<&'static str> {
    let word = |rest: &'static str| rest.split(|c: char| !c.is_ascii_uppercase()).next().unwrap_or_default();
    let tokens = spec.doc.arguments.split('/').skip(1).map(word).filter(|word| !word.is_empty());
    // Bounds of members are strings to the table, and few strings are bounds.
    let bounds = if spec.name.contains("lex") { &["-", "+", "[a"][..] } else { &[] };
    tokens.chain(bounds.iter().copied()).collect()
}

/// A call of a random command with about the right number of words, keys mostly where keys belong.
fn call(rng: &mut Rng, specs: &[&'static Spec]) -> (&'static Spec, Call) {
    // An empty keyspace breaks nothing.
    let kept = |spec: &Spec, rng: &mut Rng| !spec.name.starts_with("flush") || rng.chance(1, 20);
    let mut spec = *rng.pick(specs);
    while !kept(spec, rng) {
        spec = *rng.pick(specs);
    }
    let least = spec.arity.unsigned_abs() as usize;
    let count = if spec.arity > 0 && rng.chance(9, 10) { least } else { least + rng.below(6) as usize };
    let mut args: Vec<Bytes> = spec.name.split('|').map(|word| Bytes::from_static(word.as_bytes())).collect();
    let tokens = tokens(spec);
    args.resize_with(count.max(args.len()), || match &tokens[..] {
        [] => word(rng),
        _ if rng.chance(2, 3) => word(rng),
        tokens => Bytes::from_static(rng.pick(tokens).as_bytes()),
    });
    for counted in spec.keys.iter().filter(|keys| keys.counted) {
        if rng.chance(9, 10) {
            args[counted.first] = Bytes::from_static(rng.pick(&["1", "1", "2"]).as_bytes());
        }
    }
    let places: Vec<usize> = spec.keys_of(&args).map(|(place, _)| place).collect();
    for place in places {
        if rng.chance(9, 10) {
            args[place] = Bytes::from_static(rng.pick(KEYS).as_bytes());
        }
    }
    // Half of some calls must not be wasted on words that no other command has.
    if rng.chance(1, 2) {
        match spec.name {
            "pfdebug" => {
                args[1] = Bytes::from_static(rng.pick(&["GETREG", "DECODE", "ENCODING", "TODENSE"]).as_bytes())
            }
            "geosearch" | "geosearchstore" => {
                let at = if spec.name == "geosearch" { 2 } else { 3 };
                let words =
                    ["FROMLONLAT", "1", "0", "BYRADIUS", "300", "km"].map(|word| Bytes::from_static(word.as_bytes()));
                args.splice(at.., words);
            }
            "blpop" | "brpop" | "blmove" | "brpoplpush" | "bzpopmin" | "bzpopmax" => {
                args.pop();
                args.push(Bytes::from_static(b"0"));
            }
            "blmpop" | "bzmpop" => args[1] = Bytes::from_static(b"0"),
            "georadius" | "georadius_ro" => {
                let words = ["1", "0", "300", "mi"].map(|word| Bytes::from_static(word.as_bytes()));
                args[2..6].clone_from_slice(&words);
            }
            "georadiusbymember" | "georadiusbymember_ro" => args[4] = Bytes::from_static(b"ft"),
            "msetex" => args.truncate(2 + 2 * args.len().saturating_sub(2).min(2) / 2),
            name if !of_fields(name).is_empty() => {
                let words = of_fields(name).split_whitespace().map(|word| Bytes::from_static(word.as_bytes()));
                args.splice(2.., words);
                args[1] = Bytes::from_static(b"h");
            }
            name if name.starts_with('x') => {
                let from = name.split('|').count();
                let words = of_streams(name).split_whitespace().map(|word| Bytes::from_static(word.as_bytes()));
                args.splice(from.., words);
            }
            "zrevrangebylex" => args[2..4].clone_from_slice(&[b"+", b"-"].map(|bound| Bytes::from_static(bound))),
            "eval" | "eval_ro" => args[1] = Bytes::from_static(rng.pick(SCRIPTS).as_bytes()),
            "evalsha" | "evalsha_ro" => args[1] = Bytes::from_static(b"e0e1f9fabfc9d4800c877a703b823ac0578ff8db"),
            "fcall" | "fcall_ro" => args[1] = Bytes::from_static(b"f"),
            "function|load" => {
                args.truncate(3);
                args.insert(2, Bytes::from_static(b"REPLACE"));
                args[3] = Bytes::from_static(LIBRARY.as_bytes());
            }
            // Else there mostly is none.
            "function|delete" | "function|flush" if rng.chance(3, 4) => {}
            "function|delete" => args[2] = Bytes::from_static(b"lib"),
            "function|restore" => args[2] = rdb::dump_functions([LIBRARY.as_bytes()].into_iter()),
            "script|load" => args[2] = Bytes::from_static(SCRIPTS[0].as_bytes()),
            "restore" | "restore-asking" => args[3] = Bytes::from_static(b"\x00\x05hello\x0a\x00cr\xdfve4 \x0a"),
            _ => {}
        }
    }
    let protocol = *rng.pick(&[Protocol::Resp2, Protocol::Resp3]);
    (spec, Call::new(rng.below(3) as u8, protocol, args))
}

/// The words behind the key of a sound call of a command on deadlines of fields, which counts its words.
fn of_fields(name: &str) -> &'static str {
    match name {
        "hexpire" => "1 NX FIELDS 2 f g",
        "hexpireat" => "1700000000 GT FIELDS 1 f",
        "hpexpire" => "3 FIELDS 1 f",
        "hpexpireat" => "1700000000500 LT FIELDS 1 g",
        "hpersist" | "httl" | "hpttl" | "hexpiretime" | "hpexpiretime" => "FIELDS 3 f g h",
        "hgetdel" => "FIELDS 1 f",
        "hgetex" => "PX 2 FIELDS 2 f g",
        "hsetex" => "PX 5 FIELDS 3 f v g v h v",
        _ => "",
    }
}

/// The words of a sound call of a command on streams: few words that come by chance name a group.
fn of_streams(name: &str) -> &'static str {
    match name {
        "xack" | "xdel" => "x 0 5-1",
        "xadd" => "x * f v",
        "xautoclaim" => "x 0 1 0 -",
        "xclaim" => "x 0 2 0 5-1 1700000000000 FORCE",
        "xgroup|create" => "x 0 0 MKSTREAM",
        "xgroup|createconsumer" | "xgroup|delconsumer" => "x 0 1",
        "xgroup|setid" => "x 0 0",
        "xinfo|consumers" | "xgroup|destroy" | "xpending" => "x 0",
        "xinfo|groups" | "xinfo|stream" | "xlen" => "x",
        "xrange" => "x - +",
        "xread" => "COUNT 5 BLOCK 0 STREAMS x 0",
        "xreadgroup" => "GROUP 0 1 COUNT 5 BLOCK 0 STREAMS x >",
        "xrevrange" => "x + -",
        "xsetid" => "x 9999999999999-1",
        "xtrim" => "x MAXLEN ~ 5",
        _ => "",
    }
}

/// Keys whose records differ.
fn changed(before: &Records, after: &Records) -> BTreeSet<(u8, Bytes)> {
    let records = |records: &Records| records.iter().map(|(key, value)| (key.clone(), value.clone())).collect();
    let (before, after): (BTreeSet<_>, BTreeSet<_>) = (records(before), records(after));
    let of_key = |record: &Bytes| match (keys::parse_head(record), keys::parse_element(record)) {
        (Some(head), _) => Some((head.db, Bytes::copy_from_slice(head.key))),
        (_, Some(element)) => Some((element.db, Bytes::copy_from_slice(element.key))),
        _ => None,
    };
    before.symmetric_difference(&after).filter_map(|(record, _)| of_key(record)).collect()
}

/// Crosses out of `silent` the commands that had a reply which is no error.
fn run(seed: u64, specs: &[&'static Spec], silent: &mut BTreeSet<&str>) {
    let mut rng = Rng::new(seed);
    let mut world = World::new(1_700_000_000_000);
    let mut scripts = Scripts::new(Default::default());
    world.thresholds = Thresholds {
        hash_entries_max: 4,
        set_integers_max: 4,
        set_entries_max: 4,
        zset_entries_max: 4,
        stream_node_entries_max: 3,
        node_entries_max: 3,
        ..Thresholds::default()
    };
    for step in 0..CALLS {
        let (spec, call) = call(&mut rng, specs);
        let tell = || format!("seed {seed}, step {step}: {:?}", call.args);
        world.mode = if spec.is_write() || rng.chance(1, 2) { Mode::Leader } else { Mode::Local };
        world.moment.clock.0 += rng.below(3);
        if world.mode == Mode::Leader {
            world.moment.stamp = world.moment.clock;
        }
        let before = world.store.clone();
        world.touched.clear();
        let mut out = BytesMut::new();
        match world.keys(|keys| execute_encoded(keys, Some(&mut scripts), &call, &mut out)) {
            Ok(()) => {
                let reply = out.freeze();
                assert_eq!(parse_reply(&reply).map(|(_, length)| length), Some(reply.len()), "{}: {reply:?}", tell());
                if !reply.starts_with(b"-") {
                    silent.remove(spec.name);
                }
            }
            Err(Error::NeedsLog) => assert_eq!(world.mode, Mode::Local, "{}", tell()),
            Err(error) => panic!("{}: {error}", tell()),
        }
        let changed = changed(&before, &world.store);
        assert!(world.mode == Mode::Leader || changed.is_empty(), "a local read wrote: {}", tell());
        for (db, key) in changed {
            assert!(world.touched.iter().any(|touched| covers(touched, db, &key)), "{key:?} changed: {}", tell());
        }
        if step % 100 == 0 {
            world.audit();
        }
    }
    world.audit();
}

fn covers(touched: &Touched, db: u8, key: &Bytes) -> bool {
    match touched {
        Touched::Key(of, name) => *of == db && name == key,
        Touched::Database(of) => *of == db,
    }
}

#[test]
fn whatever_comes_is_answered_and_leaves_the_records_whole() {
    let specs: Vec<&'static Spec> = table::all()
        .flat_map(|spec| std::iter::once(spec).chain(spec.subcommands).chain(spec.parts))
        .filter(|spec| matches!(spec.handler, Handler::Data(_) | Handler::Spread(..)))
        .collect();
    let mut silent = specs.iter().map(|spec| spec.name).collect();
    for seed in 1..=3 {
        run(seed, &specs, &mut silent);
    }
    assert!(silent.is_empty(), "mere errors prove little: {silent:?}");
}
