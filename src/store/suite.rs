//! One suite for every engine and one for every log: what the traits promise, run over memory, RocksDB and the
//! cached forms of both. What only one of them can show (crashes, files, caches) is beside it.

mod cached;
mod engine;
mod generation;
mod log;
mod memory;
mod rocks;

use std::collections::BTreeMap;
use std::ops::{ControlFlow, RangeInclusive};

use bytes::Bytes;

use super::{Batch, HardState, Log, LogRecord, LogState, LogWrite, Mutation, Order, Read, Record, Result};
use crate::base::{GroupId, LogIndex, Rng, Term};

pub use engine::engine_suite;
pub use log::log_suite;

pub fn b(text: &'static str) -> Bytes {
    Bytes::from_static(text.as_bytes())
}

pub fn batch(mutations: impl IntoIterator<Item = Mutation>) -> Batch {
    Batch { mutations: mutations.into_iter().collect() }
}

pub fn put(key: &'static str, value: &'static str) -> Mutation {
    Mutation::Put(b(key), b(value))
}

/// A record to ingest.
pub fn record(key: &'static str, value: &'static str) -> Result<Record> {
    Ok((b(key), Some(b(value))))
}

/// One to store.
pub fn stored((key, value): (Bytes, Bytes)) -> Result<Record> {
    Ok((key, Some(value)))
}

/// All records of a range, in order.
pub fn all(view: &dyn Read, start: &[u8], end: &[u8], order: Order) -> Vec<(Bytes, Bytes)> {
    let mut found = Vec::new();
    view.scan(start, end, order, &mut |key, value| {
        found.push((Bytes::copy_from_slice(key), Bytes::copy_from_slice(value)));
        ControlFlow::Continue(())
    })
    .unwrap();
    found
}

pub fn random_key(rng: &mut Rng) -> Bytes {
    Bytes::from(format!("{:03}", rng.below(150)))
}

pub fn random_batch(rng: &mut Rng, step: u64) -> Batch {
    let mut batch = Batch::default();
    for _ in 0..rng.range(1, 6) {
        match rng.below(12) {
            0..8 => batch.put(random_key(rng), step.to_string()),
            8..11 => batch.delete(random_key(rng)),
            _ => batch.delete_range(random_key(rng), random_key(rng)),
        }
    }
    batch
}

pub fn apply(model: &mut BTreeMap<Bytes, Bytes>, batch: &Batch) {
    for mutation in batch.mutations.clone() {
        match mutation {
            Mutation::Put(key, value) => drop(model.insert(key, value)),
            Mutation::Delete(key) => drop(model.remove(&key)),
            Mutation::DeleteRange(start, end) => model.retain(|key, _| *key < start || *key >= end),
        }
    }
}

pub const GROUP: GroupId = GroupId(1);

pub fn records(term: u64, indices: RangeInclusive<u64>) -> Vec<LogRecord> {
    indices
        .map(|index| LogRecord {
            index: LogIndex(index),
            term: Term(term),
            data: Bytes::from(format!("entry {index} of term {term}")),
        })
        .collect()
}

pub fn hard_state(term: u64, commit: u64) -> HardState {
    HardState { term: Term(term), vote: 7, commit: LogIndex(commit) }
}

pub fn grow(group: GroupId, term: u64, indices: RangeInclusive<u64>) -> LogWrite {
    LogWrite { group, records: records(term, indices), hard_state: Some(hard_state(term, 0)), ..LogWrite::default() }
}

pub fn read(log: &impl Log, low: u64, high: u64) -> super::Result<Vec<LogRecord>> {
    log.records(GROUP, LogIndex(low), LogIndex(high), u64::MAX)
}

pub fn state(log: &impl Log) -> LogState {
    *log.load().unwrap().iter().find(|state| state.group == GROUP).unwrap()
}
