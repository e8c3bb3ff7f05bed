//! Threads and tasks whose end is never silent.

use std::future::Future;
use std::io;
use std::thread::{self, JoinHandle};

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
