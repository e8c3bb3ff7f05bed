//! Failures on demand: the disk errors that a twin answers with, once or until healed.

use std::collections::BTreeMap;

use parking_lot::Mutex;

use crate::store::{Error, Result};

/// What can be made to fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Operation {
    /// Lookups, scans, snapshots; the log's `records` and `load`.
    Read,
    /// `Engine::write`; the log's `stage` (and so `append`).
    Write,
    /// `Engine::flush`; the log's `sync` (and so `append`).
    Sync,
    /// `Engine::ingest`.
    Ingest,
}

/// How it fails.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The answer.
    pub error: Error,
    /// The work was done all the same: an error that came after the data had reached the disk.
    pub done_anyway: bool,
}

impl Fault {
    /// The disk reports an error (`EIO`) and did nothing.
    pub fn io() -> Fault {
        Fault { error: Error::Io("injected: input/output error".into()), done_anyway: false }
    }

    /// The disk is full (`ENOSPC`).
    pub fn no_space() -> Fault {
        Fault { error: Error::NoSpace("injected: no space left on device".into()), done_anyway: false }
    }

    /// The same failure, but the work was done.
    pub fn but_done(self) -> Fault {
        Fault { done_anyway: true, ..self }
    }
}

/// The failures that are due.
#[derive(Debug, Default)]
pub(super) struct Faults(Mutex<Due>);

#[derive(Debug, Default)]
struct Due {
    /// For the next call of an operation, oldest first.
    once: Vec<(Operation, Fault)>,
    /// For every call until healed.
    standing: BTreeMap<Operation, Fault>,
}

impl Faults {
    pub(super) fn fail_next(&self, operation: Operation, fault: Fault) {
        self.0.lock().once.push((operation, fault));
    }

    pub(super) fn fail_until_healed(&self, operation: Operation, fault: Fault) {
        self.0.lock().standing.insert(operation, fault);
    }

    pub(super) fn heal(&self) {
        *self.0.lock() = Due::default();
    }

    /// The failure that this call of `operation` must answer with.
    pub(super) fn take(&self, operation: Operation) -> Option<Fault> {
        let mut due = self.0.lock();
        match due.once.iter().position(|(which, _)| *which == operation) {
            Some(at) => Some(due.once.remove(at).1),
            None => due.standing.get(&operation).cloned(),
        }
    }

    /// Runs `work` unless a failure is due; one that is `done_anyway` fails after it.
    pub(super) fn around<T>(&self, operation: Operation, work: impl FnOnce() -> Result<T>) -> Result<T> {
        match self.take(operation) {
            None => work(),
            Some(Fault { error, done_anyway }) => {
                if done_anyway {
                    work()?;
                }
                Err(error)
            }
        }
    }
}
