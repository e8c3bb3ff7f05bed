//! The thread that makes the Raft log durable: it gathers everything that came while the last write was under way
//! into one write with one fsync, back to back, without a timer.
//!
//! Invariant: writes reach the disk in the order they were handed over, and after one failure nothing is ever
//! written again: the process ends, because the kernel may have marked the lost pages clean (rule 5).

use std::sync::Arc;
use std::thread::JoinHandle;

use super::metrics::Metrics;
use super::queue::Queue;
use super::{clock, leadership, threads};
use crate::host::Persist;
use crate::service::Stage;
use crate::service::latency::{self, Latency};
use crate::store::{Log, LogWrite};

/// Starts the thread. `done` is told the number of the last durable write and how many bytes it made durable; the thread ends when the queue is closed
/// and empty.
pub fn spawn(
    log: Arc<dyn Log>,
    queue: Arc<Queue<Persist>>,
    metrics: Arc<Metrics>,
    latency: Arc<Latency>,
    done: impl Fn(u64, u64) + Send + 'static,
) -> std::io::Result<JoinHandle<()>> {
    threads::spawn("log", move || {
        let mut persists = Vec::new();
        let mut writes: Vec<LogWrite> = Vec::new();
        while queue.take(&mut persists, None) {
            let Some(last) = persists.last().map(|persist: &Persist| persist.number) else { continue };
            writes.extend(persists.drain(..).flat_map(|persist| persist.writes));
            let records = writes.iter().flat_map(|write| &write.records);
            let bytes: u64 = records.map(|record| record.data.len() as u64).sum();
            let started = clock::boottime();
            log.write(&writes).unwrap_or_else(|why| die(&why));
            let written = clock::boottime();
            log.sync().unwrap_or_else(|why| die(&why));
            let synced = clock::boottime();
            leadership::tell_slow_write(written.since(started), synced.since(written));
            latency.note(latency::FSYNC, synced.since(started), clock::wall());
            metrics.log_write_seconds.observe(synced.since(started).as_secs_f64());
            metrics.stages.note(Stage::Log, written.since(started), bytes as usize);
            metrics.stages.note(Stage::Fsync, synced.since(written), bytes as usize);
            metrics.log_write_groups.observe(writes.len() as f64);
            writes.clear();
            done(last, bytes);
        }
    })
}

/// Ends the process at once: nothing that runs on may acknowledge anything.
fn die(why: &crate::store::Error) -> ! {
    // Straight to stderr: the log lines of `tracing` are written by a thread that will not run again.
    eprintln!("holdfast: the raft log could not be written, stopping at once: {why}");
    std::process::abort()
}
