//! Chunks of a snapshot from the peer port: damaged ones are refused before anything is replaced, whole ones install
//! exactly their records. Chunks are ended by 0xff 0xff.

#![no_main]

use std::ops::ControlFlow;

use bytes::Bytes;
use holdfast::base::{GroupId, SlotRange};
use holdfast::store::memory::MemoryEngine;
use holdfast::store::snapshot::{Receiver, ranges};
use holdfast::store::{Order, Read};
use libfuzzer_sys::fuzz_target;

/// The chunk as a sender closes it: a fuzzer finds no checksum, and what is tried stands behind it.
fn sealed(body: &[u8]) -> Bytes {
    [&crc32fast::hash(body).to_be_bytes()[..], body].concat().into()
}

fuzz_target!(|data: &[u8]| {
    let ranges = ranges(GroupId(1), Some(SlotRange::ALL));
    let mut receiver = Receiver::new(Vec::<Bytes>::new());
    let mut rest = data;
    while !rest.is_empty() && !receiver.is_complete() {
        let end = rest.windows(2).position(|pair| pair == [0xff, 0xff]).unwrap_or(rest.len());
        if receiver.accept(sealed(&rest[..end])).is_err() {
            return;
        }
        rest = rest.get(end + 2..).unwrap_or_default();
    }
    let engine = MemoryEngine::new();
    let installed = receiver.install(&engine, &ranges);
    let mut records = 0;
    for (start, end) in &ranges {
        let scanned = engine.scan(start, end, Order::Forward, &mut |_, _| {
            records += 1;
            ControlFlow::Continue(())
        });
        scanned.expect("the engine in memory does not fail");
    }
    assert!(installed.is_ok() || records == 0, "a refused snapshot left {records} records");
});
