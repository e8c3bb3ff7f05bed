//! Records that a machine will need and that are on disk, read by several threads at once while it waits, so that
//! a batch of cold keys costs as long as the slowest of a few reads and not as long as all of them together.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;

use bytes::Bytes;
use tokio::runtime::Handle;

use crate::store::Engine;

/// Reads under way at once for one machine.
const READS_MAX: usize = 8;

/// Returns when all records were read, on threads that may wait. What they hold is then in the engine's memory, and
/// nowhere else; an error is met again by whoever needs the record.
pub fn fetch(runtime: &Handle, engine: &Arc<dyn Engine>, records: Vec<Bytes>) {
    // One record is read as quickly by who needs it.
    if records.len() < 2 {
        return;
    }
    let readers = records.len().min(READS_MAX);
    let work = Arc::new((records, AtomicUsize::new(0)));
    // Nothing is ever sent: the last reader that ends hangs up, also when the runtime refuses to run one.
    let (reading, done) = mpsc::channel::<()>();
    for _ in 0..readers {
        let (engine, work, reading) = (engine.clone(), work.clone(), reading.clone());
        runtime.spawn_blocking(move || {
            let (records, next) = &*work;
            while let Some(record) = records.get(next.fetch_add(1, Ordering::Relaxed)) {
                let _ = engine.get(record);
            }
            drop(reading);
        });
    }
    drop(reading);
    let _ = done.recv();
}
