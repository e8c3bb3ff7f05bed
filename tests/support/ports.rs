//! Ports for the servers that tests start.
//!
//! A port that the system chose and a test gave back is soon chosen again, for a parallel test's server or for the near
//! end of any connection, before the server that was meant for it is up. So these come from below the range that the
//! system chooses from (32768 and up), each once per process.

use std::net::TcpListener;
use std::sync::atomic::{AtomicU32, Ordering};

const FIRST: u32 = 23_000;
const COUNT: u32 = 9_000;

/// How many were tried by this process.
static TRIED: AtomicU32 = AtomicU32::new(0);

/// So many ports of 127.0.0.1 that nobody listens on, and that this process was not told before.
pub fn free_ports(count: usize) -> Vec<u16> {
    // Test programs that run side by side begin at places of their own.
    let first = std::process::id().wrapping_mul(97);
    let candidates = std::iter::repeat_with(|| TRIED.fetch_add(1, Ordering::Relaxed)).take(COUNT as usize);
    let ports = candidates.map(|tried| (FIRST + first.wrapping_add(tried) % COUNT) as u16);
    let free: Vec<u16> = ports.filter(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok()).take(count).collect();
    assert_eq!(free.len(), count, "no free ports from {FIRST} on");
    free
}
