//! What the crate reads of a log: the newest entries from memory, older ones from the log database, terms always
//! from memory.
//!
//! Invariants: `before_first.0 <= durable <= last`; entries after `min(durable, applied)` are in the tail (rule 3:
//! the crate forgets its own copy as soon as a Ready is taken, long before the fsync). A read of the database never
//! touches a position that is not durable, so it never races the log writer.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::sync::Arc;

use raft::eraftpb::{ConfState, Entry, HardState, Snapshot};
use raft::{GetEntriesContext, RaftState, Storage, StorageError};

use super::record;
use super::snapshot::Outgoing;
use super::terms::Terms;
use crate::base::{GroupId, LogIndex, Mutant};
use crate::store::{self, Log};

pub(super) struct Store {
    group: GroupId,
    log: Arc<dyn Log>,
    initial: RaftState,
    before_first: u64,
    last: u64,
    terms: Terms,
    tail: VecDeque<Entry>,
    tail_bytes: u64,
    tail_bytes_kept: u64,
    /// Bytes appended since the start, and after which position they were how many: a mark about every [`MARK_BYTES`].
    appended_bytes: u64,
    marks: VecDeque<(u64, u64)>,
    /// Writes under way: (number of the persist, its first index). A position is durable below all of them.
    unsynced: VecDeque<(u64, u64)>,
    applied: u64,
    /// While set, committed entries are not handed out: the machine is behind.
    hold_commits: Cell<bool>,
    /// The first failed read. The group stops on it; until then the crate sees an empty answer.
    failure: RefCell<Option<store::Error>>,
    pub outgoing: RefCell<Outgoing>,
}

/// For [`Store::append`]: the number of the persist is not known yet.
pub(super) const LATER: u64 = u64::MAX;

/// How exactly the weight of the log is known.
const MARK_BYTES: u64 = 1 << 20;

/// What a [`Store`] starts from.
pub(super) struct Origin {
    pub hard_state: HardState,
    pub conf_state: ConfState,
    pub before_first: u64,
    pub last: u64,
    pub terms: Terms,
    pub applied: u64,
    pub tail_bytes_kept: u64,
}

impl Store {
    pub fn new(group: GroupId, log: Arc<dyn Log>, origin: Origin) -> Store {
        Store {
            group,
            log,
            initial: RaftState::new(origin.hard_state, origin.conf_state),
            before_first: origin.before_first,
            last: origin.last,
            terms: origin.terms,
            tail: VecDeque::new(),
            tail_bytes: 0,
            tail_bytes_kept: origin.tail_bytes_kept,
            appended_bytes: 0,
            marks: VecDeque::new(),
            unsynced: VecDeque::new(),
            applied: origin.applied,
            hold_commits: Cell::new(false),
            failure: RefCell::default(),
            outgoing: RefCell::default(),
        }
    }

    /// Entries of a Ready, to be written with persist `number`. They may replace a tail that was never committed.
    pub fn append(&mut self, entries: Vec<Entry>, number: u64) {
        let Some(first) = entries.first().map(|entry| entry.index) else { return };
        if first <= self.last {
            self.terms.truncate(first);
            self.marks.retain(|&(index, _)| index < first);
            while self.tail.back().is_some_and(|entry| entry.index >= first) {
                let gone = self.tail.pop_back();
                self.tail_bytes -= gone.map_or(0, |entry| size(&entry));
            }
        }
        for entry in entries {
            self.last = entry.index;
            self.terms.push(entry.index, entry.term);
            self.tail_bytes += size(&entry);
            self.appended_bytes += size(&entry);
            if self.appended_bytes - self.marks.back().map_or(0, |&(_, bytes)| bytes) >= MARK_BYTES {
                self.marks.push_back((entry.index, self.appended_bytes));
            }
            self.tail.push_back(entry);
        }
        self.unsynced.push_back((number, first));
    }

    /// What was appended for [`LATER`] is written with persist `number`.
    pub fn written_with(&mut self, number: u64) {
        for write in self.unsynced.iter_mut().filter(|write| write.0 == LATER) {
            write.0 = number;
        }
    }

    /// Everything up to persist `number` is durable.
    pub fn persisted(&mut self, number: u64) {
        while self.unsynced.front().is_some_and(|&(write, _)| write <= number) {
            self.unsynced.pop_front();
        }
        self.trim();
    }

    /// The state holds everything up to `index`.
    pub fn applied(&mut self, index: u64) {
        self.applied = self.applied.max(index);
        self.trim();
    }

    /// The log is replaced by a snapshot.
    pub fn reset(&mut self, index: u64, term: u64) {
        self.before_first = index;
        self.last = index;
        self.terms = Terms::after(index, term);
        self.tail.clear();
        self.tail_bytes = 0;
        self.marks.clear();
        self.unsynced.clear();
    }

    /// Entries up to `index` will not be asked for again.
    pub fn cut(&mut self, index: u64) {
        self.before_first = index;
        self.terms.cut(index);
        self.marks.retain(|&(marked, _)| marked > index);
        while self.tail.front().is_some_and(|entry| entry.index <= index) {
            self.pop_front();
        }
    }

    /// Position just before the first entry.
    pub fn before_first(&self) -> u64 {
        self.before_first
    }

    /// The last position after which at least `bytes` were appended, 0 if there is none: what was there at the start
    /// counts for nothing.
    pub fn followed_by(&self, bytes: u64) -> u64 {
        let heavy = self.marks.iter().take_while(|&&(_, before)| self.appended_bytes - before >= bytes);
        heavy.last().map_or(0, |&(index, _)| index)
    }

    /// The highest position that a crash would leave as it is here.
    pub fn durable(&self) -> u64 {
        self.unsynced.iter().map(|&(_, first)| first - 1).min().unwrap_or(self.last)
    }

    /// Term of a position within the log.
    pub fn term_of(&self, index: u64) -> u64 {
        self.terms.at(index)
    }

    /// Whether the next Ready may contain committed entries.
    pub fn hold_commits(&self, hold: bool) {
        self.hold_commits.set(hold);
    }

    /// The first failed read, once.
    pub fn take_failure(&self) -> Option<store::Error> {
        self.failure.borrow_mut().take()
    }

    fn trim(&mut self) {
        let forgets = Mutant::UnsyncedEntriesAreForgotten.is_in();
        let needless = if forgets { self.last } else { self.durable().min(self.applied) };
        while self.tail_bytes > self.tail_bytes_kept && self.tail.front().is_some_and(|entry| entry.index <= needless) {
            self.pop_front();
        }
    }

    fn pop_front(&mut self) {
        if let Some(entry) = self.tail.pop_front() {
            self.tail_bytes -= size(&entry);
        }
    }

    fn read(&self, low: u64, high: u64, bytes_max: u64) -> store::Result<Vec<Entry>> {
        let in_memory = self.tail.front().map_or(self.last + 1, |entry| entry.index);
        let mut found = Vec::new();
        let mut bytes = 0;
        if low < in_memory {
            let stored = self.log.records(self.group, LogIndex(low), LogIndex(high.min(in_memory)), bytes_max)?;
            for record in stored {
                let entry = record::restore(record)?;
                bytes += size(&entry);
                found.push(entry);
            }
            if low + (found.len() as u64) < high.min(in_memory) {
                return Ok(found);
            }
        }
        let from = low.max(in_memory);
        for entry in self.tail.range((from - in_memory) as usize..(high.max(from) - in_memory) as usize) {
            bytes += size(entry);
            if bytes > bytes_max && !found.is_empty() {
                break;
            }
            found.push(entry.clone());
        }
        Ok(found)
    }
}

/// What an entry weighs; its fixed fields count for a few bytes.
pub(super) fn size(entry: &Entry) -> u64 {
    entry.data.len() as u64 + 16
}

impl Storage for Store {
    fn initial_state(&self) -> raft::Result<RaftState> {
        Ok(self.initial.clone())
    }

    fn entries(
        &self,
        low: u64,
        high: u64,
        max_size: impl Into<Option<u64>>,
        context: GetEntriesContext,
    ) -> raft::Result<Vec<Entry>> {
        if low <= self.before_first {
            return Err(StorageError::Compacted.into());
        }
        if high > self.last + 1 {
            return Err(StorageError::Unavailable.into());
        }
        // Of the callers that cannot wait only `ready` runs while commits are held; it takes an empty answer for "later".
        if self.hold_commits.get() && !context.can_async() {
            return Ok(Vec::new());
        }
        match self.read(low, high, max_size.into().unwrap_or(u64::MAX)) {
            Ok(entries) => Ok(entries),
            Err(error) => {
                self.failure.borrow_mut().get_or_insert(error);
                if context.can_async() { Err(StorageError::LogTemporarilyUnavailable.into()) } else { Ok(Vec::new()) }
            }
        }
    }

    fn term(&self, index: u64) -> raft::Result<u64> {
        if index < self.before_first {
            return Err(StorageError::Compacted.into());
        }
        if index > self.last {
            return Err(StorageError::Unavailable.into());
        }
        Ok(self.terms.at(index))
    }

    fn first_index(&self) -> raft::Result<u64> {
        Ok(self.before_first + 1)
    }

    fn last_index(&self) -> raft::Result<u64> {
        Ok(self.last)
    }

    fn snapshot(&self, request_index: u64, to: u64) -> raft::Result<Snapshot> {
        let found = self.outgoing.borrow_mut().hand_out(to, request_index.max(self.before_first));
        found.ok_or_else(|| StorageError::SnapshotTemporarilyUnavailable.into())
    }
}
