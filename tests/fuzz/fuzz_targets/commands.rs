//! Every command with arbitrary arguments against one node's evaluation in memory: one reply each that decodes, the
//! same from a lease holder as from the leader where it only reads, and records that agree with their counts.
//!
//! An input is a number of calls (`shared/words.rs`), each with a byte before its words that names a command of the table. The
//! calls are asked in RESP2 and RESP3 in turn; the length of the input says which is first.

#![no_main]

#[allow(dead_code, reason = "shared with the dialogues and the differential test")]
#[path = "../../support/mod.rs"]
mod support;
#[path = "../shared/words.rs"]
mod words;

use std::sync::LazyLock;

use bytes::Bytes;
use holdfast::command::{self, Handler, Spec};
use holdfast::data::Thresholds;
use holdfast::store::memory::MemoryEngine;
use libfuzzer_sys::fuzz_target;
use support::Target;
use support::local::Local;
use words::{CALL_END, words};

/// Calls of one input at most.
const CALLS_MAX: usize = 24;

static SPECS: LazyLock<Vec<&'static Spec>> = LazyLock::new(|| {
    let specs: Vec<_> = command::table::all()
        .flat_map(|spec| std::iter::once(spec).chain(spec.subcommands))
        .filter(|spec| matches!(spec.handler, Handler::Data(_) | Handler::Spread(..)))
        // A script may loop for ever, and is entitled to.
        .filter(|spec| {
            !["eval", "fcall", "function|load", "function|restore"].iter().any(|name| spec.name.starts_with(name))
        })
        .collect();
    assert!(specs.len() < usize::from(CALL_END), "one byte names a command: {} are too many", specs.len());
    specs
});

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
    for (n, call) in data.split(|byte| *byte == CALL_END).take(CALLS_MAX).enumerate() {
        let Some((&first, rest)) = call.split_first() else { continue };
        let spec = SPECS[usize::from(first) % SPECS.len()];
        let mut args: Vec<Bytes> = spec.name.split('|').map(|word| Bytes::from_static(word.as_bytes())).collect();
        args.extend(words(rest));
        node.protocol(if (n + data.len()).is_multiple_of(2) { 2 } else { 3 });
        node.call(&args);
    }
    node.audit();
});
