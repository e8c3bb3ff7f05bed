//! Records: ordered byte strings with values, read through [`Read`], changed through [`Write`], kept by an
//! [`Engine`] (the state) and a [`Log`] (the Raft log). Two of each exist: RocksDB's, and a twin in memory that
//! knows what is durable and can crash. Everything above this module runs on either.
//!
//! Invariant: an engine changes only by whole batches, and what survives a crash is a prefix of them.

pub mod batch;
pub mod cached;
pub mod generation;
pub mod keys;
pub mod log;
mod map_key;
pub mod memory;
mod merge;
pub mod overlay;
mod records;
pub mod rocks;
mod rocks_log;
mod rocks_state;
mod rocks_wal;
pub mod snapshot;
#[cfg(test)]
mod suite;

use std::ops::ControlFlow;
use std::sync::Arc;

use bytes::Bytes;

use crate::base::Publication;
use overlay::Savepoint;

pub use batch::{Batch, Mutation};
pub use log::{HardState, Log, LogRecord, LogState, LogWrite};
pub use records::Records;

/// What can go wrong below. Cheap to clone: one failure may answer many commands.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum Error {
    /// A memory-only lookup met a record that is not in memory; ask again where waiting is allowed.
    #[error("the record is not in memory")]
    WouldBlock,
    /// A view that only reads was asked to change something.
    #[error("this view only reads")]
    ReadOnly,
    /// A record does not decode. The node must stop: nothing else can be trusted.
    #[error("damaged record: {0}")]
    Corrupt(Arc<str>),
    /// The disk is full.
    #[error("no space left on the device: {0}")]
    NoSpace(Arc<str>),
    /// The disk or RocksDB failed.
    #[error("storage failed: {0}")]
    Io(Arc<str>),
}

/// `std::result::Result` with this module's error.
pub type Result<T> = std::result::Result<T, Error>;

/// Direction of a scan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Ascending keys.
    Forward,
    /// Descending keys.
    Backward,
}

/// Called for each record of a scan, with key and value; `Break` ends the scan.
pub type Visit<'a> = dyn FnMut(&[u8], &[u8]) -> ControlFlow<()> + 'a;

/// A consistent or at least monotone view of records.
pub trait Read {
    /// The value of a record, if it exists.
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>>;

    /// Visits every record with `start <= key < end`, in `order`.
    fn scan(&self, start: &[u8], end: &[u8], order: Order, visit: &mut Visit<'_>) -> Result<()>;
}

/// A view that can be changed: what commands run on. Writes cannot fail, they are collected.
pub trait Write: Read {
    /// Sets a record.
    fn put(&mut self, key: Bytes, value: Bytes);
    /// Removes a record; nothing happens if there is none.
    fn delete(&mut self, key: Bytes);
    /// Removes every record with `start <= key < end`.
    fn delete_range(&mut self, start: Bytes, end: Bytes);
    /// Says something to who listens, at the moment when what is written beside it takes effect. No record changes.
    fn publish(&mut self, publication: Publication);

    /// Bytes of what is written and not handed on yet; 0 where nobody counts them.
    fn written(&self) -> usize {
        0
    }

    /// This moment, to go back to; only where what is written can be taken back.
    fn savepoint(&self) -> Option<Savepoint> {
        None
    }

    /// Takes back what was written since a moment.
    fn take_back(&mut self, since: Savepoint) {
        let _ = since;
    }
}

impl<R: Read + ?Sized> Read for &R {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>> {
        (**self).get(key)
    }

    fn scan(&self, start: &[u8], end: &[u8], order: Order, visit: &mut Visit<'_>) -> Result<()> {
        (**self).scan(start, end, order, visit)
    }
}

impl<R: Read + ?Sized> Read for Box<R> {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>> {
        (**self).get(key)
    }

    fn scan(&self, start: &[u8], end: &[u8], order: Order, visit: &mut Visit<'_>) -> Result<()> {
        (**self).scan(start, end, order, visit)
    }
}

/// A record to store under a key; `None` for one to remove.
pub type Record = (Bytes, Option<Bytes>);

/// A view of an engine as it was at one moment.
pub type Snapshot = Box<dyn Read + Send>;

/// The state of a node: all groups' records. No write-ahead log: what a crash leaves is a prefix of the batches.
///
/// `get` and `scan` of [`Read`] see every batch whose `write` has returned.
pub trait Engine: Read + Send + Sync {
    /// Applies a batch atomically and makes it readable. Durable only after a flush.
    fn write(&self, batch: &Batch) -> Result<()>;

    /// Like [`Read::get`], but answers [`Error::WouldBlock`] instead of waiting for the disk.
    fn get_in_memory(&self, key: &[u8]) -> Result<Option<Bytes>>;

    /// Like [`Engine::get_in_memory`], but leaves no copy in a cache: for lookups of commands that write, whose record
    /// is about to change.
    fn peek_in_memory(&self, key: &[u8]) -> Result<Option<Bytes>> {
        self.get_in_memory(key)
    }

    /// The value that would survive a crash now (`ReadTier::Persisted`).
    fn get_persisted(&self, key: &[u8]) -> Result<Option<Bytes>>;

    /// The state as it is now, unmoved by later writes.
    fn snapshot(&self) -> Result<Snapshot>;

    /// Makes everything written so far durable before it returns.
    fn flush(&self) -> Result<()>;

    /// Whether so much is not flushed that a flush should begin soon. Writes wait for one when nobody does.
    fn wants_flush(&self) -> bool {
        false
    }

    /// Replaces the ranges in `clear` by `records` (any order) in one atomic, durable step (rule 20).
    /// A crash leaves all of it or nothing.
    fn ingest(&self, clear: &[(Bytes, Bytes)], records: &mut dyn Iterator<Item = Result<Record>>) -> Result<()>;

    /// Sizes and stalls, for people and metrics.
    fn figures(&self) -> Figures;
}

/// How often a database held back its writers because flushing or compacting could not keep up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stalls {
    /// Times they were slowed down.
    pub delays: u64,
    /// Times they were stopped.
    pub stops: u64,
}

/// What an engine tells about itself. Zero where an engine has no such thing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Bytes in memory that are not flushed yet.
    pub unflushed_bytes: u64,
    /// Bytes on disk.
    pub disk_bytes: u64,
    /// Records, roughly.
    pub records: u64,
    /// Bytes of cached blocks.
    pub cache_bytes: u64,
    /// Whether writes are being slowed down or stopped now.
    pub stalled: bool,
    /// How often they were since the engine was opened.
    pub stalls: Stalls,
    /// Lookups answered by the record cache.
    pub l1_hits: u64,
    /// Lookups that the record cache could not answer.
    pub l1_misses: u64,
    /// Bytes in the record cache.
    pub l1_bytes: u64,
}
