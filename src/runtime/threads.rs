//! Threads and tasks whose end is never silent, and how threads share the cores.
//!
//! A batch of commands changes threads several times on its way, and a thread that is woken mostly gets more to do at once
//! if it lets its waker go on. So those of clients and machines [work in batches](work_in_batches). The two that a
//! group's life depends on, `raft` and `log`, do little at a time and run as soon as they can.

use std::future::Future;
use std::io;
use std::sync::Once;
use std::thread::{self, JoinHandle};

use super::process;
use crate::base::limits;

/// Starts a named thread. If its body panics the process ends: the others would wait for it for ever, and what it
/// had promised is unknown.
pub fn spawn(name: impl Into<String>, body: impl FnOnce() + Send + 'static) -> io::Result<JoinHandle<()>> {
    let name = name.into();
    thread::Builder::new().name(name.clone()).stack_size(limits::MACHINE_STACK_BYTES).spawn(move || {
        let _fuse = Fuse { name };
        body();
    })
}

/// Lets the calling thread wait for its turn when it is woken, where the system allows it.
pub fn work_in_batches() {
    static TOLD: Once = Once::new();
    if let Err(why) = process::work_in_batches() {
        TOLD.call_once(|| tracing::info!(%why, "SCHED_BATCH is refused: threads interrupt each other more often"));
    }
}

/// Starts a task that the node cannot do without, on the tokio runtime of the caller. If it panics the process ends,
/// as with [`spawn`]; tokio by itself would go on without it.
pub fn spawn_task(name: impl Into<String>, body: impl Future<Output = ()> + Send + 'static) {
    let fuse = Fuse { name: name.into() };
    tokio::spawn(async move {
        let _fuse = fuse;
        body.await;
    });
}

struct Fuse {
    name: String,
}

impl Drop for Fuse {
    fn drop(&mut self) {
        if thread::panicking() {
            // The panic's own message was printed already.
            eprintln!("holdfast: \"{}\" failed; stopping at once", self.name);
            std::process::abort();
        }
    }
}
