//! Messages that no sound peer sends, to a host with a group of three replicas: it may count, ignore or refuse them, and must
//! go on. Bytes of several messages, each ended by 0xff 0xff; the first byte of each says from whom, and whether the rest is
//! all of the message or only what Raft says in it.

#![no_main]

#[allow(dead_code, reason = "shared with the tests of groups")]
#[path = "../../group/world.rs"]
mod world;

use bytes::{BufMut, Bytes, BytesMut};
use holdfast::base::{NodeId, PeerId};
use holdfast::host::{Config, Input};
use libfuzzer_sys::fuzz_target;
use world::{World, envelope};

/// Messages of one input at most.
const MESSAGES_MAX: usize = 16;
/// Of the header before Raft's message, after its version.
const HEADER_REST_BYTES: usize = 41;

fn message(raw: bool, bytes: &[u8]) -> Bytes {
    let mut out = BytesMut::with_capacity(bytes.len() + HEADER_REST_BYTES + 1);
    if !raw {
        out.put_u8(1);
        out.put_bytes(0, HEADER_REST_BYTES);
    }
    out.put_slice(bytes);
    out.freeze()
}

fuzz_target!(|data: &[u8]| {
    let mut world = World::new(3, 1, Config::default());
    // The others say only what is forged here.
    world.crash(2);
    world.crash(3);
    let mut rest = data;
    for _ in 0..MESSAGES_MAX {
        let end = rest.windows(2).position(|pair| pair == [0xff, 0xff]).unwrap_or(rest.len());
        let Some((&first, bytes)) = rest[..end].split_first() else { break };
        let mut forged = envelope(&world, u64::from(first & 1) + 2, 1, |_| ());
        forged.message = message(first & 2 != 0, bytes);
        if first & 4 != 0 {
            forged.from_peer = PeerId(u64::from(first >> 3));
        }
        world.input(1, Input::Message(forged));
        if first & 8 != 0 {
            world.advance(20);
        }
        rest = rest.get(end + 2..).unwrap_or_default();
    }
    world.advance(50);
    assert!(world.nodes[&NodeId(1)].host.is_some());
});
