//! Threads whose end is never silent.

use std::io;
use std::mem;
use std::thread::{self, JoinHandle};

use crate::base::limits;

/// Starts a named thread. If its body panics the process ends: the others would wait for it for ever, and what it
/// had promised is unknown.
pub fn spawn(name: impl Into<String>, body: impl FnOnce() + Send + 'static) -> io::Result<JoinHandle<()>> {
    thread::Builder::new().name(name.into()).stack_size(limits::MACHINE_STACK_BYTES).spawn(move || {
        let fuse = Fuse;
        body();
        mem::forget(fuse);
    })
}

struct Fuse;

impl Drop for Fuse {
    fn drop(&mut self) {
        // The panic's own message was printed already.
        let name = thread::current().name().unwrap_or("nameless").to_owned();
        eprintln!("holdfast: the thread \"{name}\" failed; stopping at once");
        std::process::abort();
    }
}
