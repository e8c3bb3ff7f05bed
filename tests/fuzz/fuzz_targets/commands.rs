//! Every command with arbitrary arguments against one node's evaluation in memory: one reply each that decodes, the
//! same from a lease holder as from the leader where it only reads, and records that agree with their counts.
//!
//! An input is a number of calls, each ended by 0xff: a byte that names a command of the table, then its words, ended by
//! 0xfe each. A word of one byte from 0x80 on stands for one of those that calls are usually made of.

#![no_main]

#[allow(dead_code, reason = "shared with the dialogues and the differential test")]
#[path = "../../support/mod.rs"]
mod support;

use std::sync::LazyLock;

use bytes::Bytes;
use holdfast::command::{self, Handler, Spec};
use holdfast::data::Thresholds;
use holdfast::store::memory::MemoryEngine;
use libfuzzer_sys::fuzz_target;
use support::Target;
use support::local::Local;

/// Calls of one input at most.
const CALLS_MAX: usize = 24;

const WORDS: &[&str] = &[
    "k",
    "{k}2",
    "{k}3",
    "h",
    "{h}2",
    "",
    "0",
    "1",
    "-1",
    "2",
    "64",
    "9223372036854775807",
    "-9223372036854775808",
    "1.5",
    "1e400",
    "nan",
    "inf",
    "-inf",
    "(1",
    "[a",
    "-",
    "+",
    "*",
    "k*",
    "[a-",
    "NX",
    "XX",
    "GT",
    "LT",
    "CH",
    "INCR",
    "GET",
    "EX",
    "PX",
    "EXAT",
    "PXAT",
    "KEEPTTL",
    "PERSIST",
    "FIELDS",
    "FNX",
    "FXX",
    "IFEQ",
    "IFNE",
    "IFDEQ",
    "2d06800538d394c2",
    "MATCH",
    "COUNT",
    "TYPE",
    "string",
    "hash",
    "DB",
    "REPLACE",
    "ABSTTL",
    "IDX",
    "LEN",
    "MINMATCHLEN",
    "WITHMATCHLEN",
    "WITHVALUES",
    "WITHSCORES",
    "WITHSCORE",
    "LIMIT",
    "BYSCORE",
    "BYLEX",
    "REV",
    "AGGREGATE",
    "SUM",
    "MIN",
    "MAX",
    "WEIGHTS",
    "STORE",
    "LEFT",
    "RIGHT",
    "BEFORE",
    "AFTER",
    "RANK",
    "MAXLEN",
    "BYTE",
    "BIT",
    "AND",
    "OR",
    "XOR",
    "NOT",
    "SET",
    "INCRBY",
    "OVERFLOW",
    "WRAP",
    "SAT",
    "FAIL",
    "u8",
    "i64",
    "#1",
    "4294967295",
    "ENCODING",
    "FREQ",
    "IDLETIME",
    "REFCOUNT",
    "HELP",
    "ASYNC",
    "SYNC",
    "STREAMS",
    "GROUP",
    "MKSTREAM",
    "MINID",
    "NOACK",
    "JUSTID",
    "FORCE",
    "FULL",
    "BY",
    "ALPHA",
    "DESC",
    "#",
    "*->f",
    "=",
    "~",
    "$",
    ">",
    "5-1",
    "5-*",
    "a longer value that does not fit into a small record, so that its elements get records of their own",
];

static SPECS: LazyLock<Vec<&'static Spec>> = LazyLock::new(|| {
    command::table::all()
        .flat_map(|spec| std::iter::once(spec).chain(spec.subcommands))
        .filter(|spec| matches!(spec.handler, Handler::Data(_) | Handler::Spread(..)))
        // A script may loop for ever, and is entitled to.
        .filter(|spec| {
            !["eval", "fcall", "function|load", "function|restore"].iter().any(|name| spec.name.starts_with(name))
        })
        .collect()
});

fn word(bytes: &[u8]) -> Bytes {
    match bytes {
        [byte] if *byte >= 0x80 => Bytes::from_static(WORDS[usize::from(byte - 0x80) % WORDS.len()].as_bytes()),
        bytes => Bytes::copy_from_slice(bytes),
    }
}

fuzz_target!(|data: &[u8]| {
    let thresholds = Thresholds {
        hash_entries_max: 3,
        hash_value_bytes_max: 16,
        hll_sparse_bytes_max: 64,
        set_integers_max: 3,
        set_entries_max: 3,
        zset_entries_max: 3,
        stream_node_entries_max: 3,
        node_entries_max: 3,
        string_bytes_max: 1 << 16,
        ..Thresholds::REDIS
    };
    let engine = MemoryEngine::new();
    let mut node = Local::over(engine.clone(), thresholds);
    for call in data.split(|byte| *byte == 0xff).take(CALLS_MAX) {
        let Some((&first, rest)) = call.split_first() else { continue };
        let spec = SPECS[usize::from(first) % SPECS.len()];
        let mut args: Vec<Bytes> = spec.name.split('|').map(|word| Bytes::from_static(word.as_bytes())).collect();
        if !rest.is_empty() {
            args.extend(rest.split(|byte| *byte == 0xfe).map(word));
        }
        node.protocol(if first >= 0x80 { 3 } else { 2 });
        node.call(&args);
    }
    node.audit();
});
