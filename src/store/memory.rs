//! Engine and log in memory: twins of RocksDB's that know what is durable, can crash, and fail on demand. The
//! simulator and every test above `store` run on them.
//!
//! Invariant: a twin never promises more than RocksDB does. A crash of the engine leaves any prefix of the batches
//! that holds at least the flushed ones; a crash of the log leaves any prefix of the unsynced writes after the
//! synced ones. Given the same calls and the same generator, both always do the same.

mod engine;
mod faults;
mod log;

pub use engine::MemoryEngine;
pub use faults::{Fault, Operation};
pub use log::MemoryLog;
