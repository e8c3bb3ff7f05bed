//! The Raft log of a node: entries and hard state of all its groups in one place, so that one fsync serves all.
//!
//! `group` knows what the bytes of an entry mean; here an entry is an index, a term and bytes.

use bytes::Bytes;

use super::{Error, Result, Stalls};
use crate::base::{GroupId, LogIndex, Term};

/// Raft's persistent scalars (Raft paper, figure 2), plus the commit index.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HardState {
    /// Latest term this peer has seen.
    pub term: Term,
    /// The peer that got this peer's vote in `term`, 0 for none.
    pub vote: u64,
    /// Highest index known to be committed.
    pub commit: LogIndex,
}

/// One entry of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogRecord {
    /// Position.
    pub index: LogIndex,
    /// Term in which it was proposed.
    pub term: Term,
    /// The whole Raft entry, encoded by `group`.
    pub data: Bytes,
}

/// What one group wants to make durable. Parts are applied in the order: `reset`, `records` (with removal of
/// an overwritten tail), `hard_state`, `cut`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogWrite {
    /// Whose log.
    pub group: GroupId,
    /// Drop the whole log; the next entry follows this (index, term): after a snapshot was installed.
    pub reset: Option<(LogIndex, Term)>,
    /// New entries, ascending without gaps. Anything stored at or above the first index and not in here goes.
    pub records: Vec<LogRecord>,
    /// Always present beside `records` (rule 4).
    pub hard_state: Option<HardState>,
    /// Entries up to and including this (index, term) are no longer needed.
    pub cut: Option<(LogIndex, Term)>,
    /// Forget the group altogether (other parts are then empty).
    pub destroy: bool,
}

/// What is stored of one group, read at start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogState {
    /// Whose log.
    pub group: GroupId,
    /// The scalars.
    pub hard_state: HardState,
    /// Position and term just before the first entry: (0, 0) for a log that was never cut.
    pub before_first: (LogIndex, Term),
    /// Position of the last entry, equal to `before_first.0` for an empty log.
    pub last: LogIndex,
}

impl LogState {
    /// Position and term of the last entry, or of what is just before the first one.
    pub fn last_place(&self, log: &dyn Log) -> Result<(LogIndex, Term)> {
        if self.last == self.before_first.0 {
            return Ok(self.before_first);
        }
        let records = log.records(self.group, self.last, self.last.next(), u64::MAX)?;
        Ok(records.last().map_or(self.before_first, |record| (record.index, record.term)))
    }

    /// The numbers after `write`, of the same group and not a `destroy`. Panics where the write does not fit the log:
    /// a gap would be found only by a later reader, when nobody can tell what was lost.
    pub fn after(mut self, write: &LogWrite) -> LogState {
        let group = self.group;
        assert!(write.group == group && !write.destroy, "a write of group {} meets the log of {group}", write.group);
        if let Some((index, term)) = write.reset {
            self.before_first = (index, term);
            self.last = index;
        }
        if let Some(first) = write.records.first() {
            assert!(
                self.before_first.0 < first.index && first.index <= self.last.next(),
                "group {group}: entries from {} do not follow a log of {}..={}",
                first.index,
                self.before_first.0.next(),
                self.last
            );
            assert!(
                write.records.windows(2).all(|pair| pair[1].index == pair[0].index.next()),
                "group {group}: entries from {} have a gap",
                first.index
            );
            self.last = LogIndex(first.index.get() + write.records.len() as u64 - 1);
        }
        self.hard_state = write.hard_state.unwrap_or(self.hard_state);
        if let Some((index, term)) = write.cut.filter(|(index, _)| *index > self.before_first.0) {
            assert!(index <= self.last, "group {group}: a cut at {index} is behind the last entry {}", self.last);
            self.before_first = (index, term);
        }
        self
    }

    /// Rule 6: a log that ends before what it knows to be committed has lost its tail.
    pub(super) fn check(&self) -> Result<()> {
        if self.last >= self.hard_state.commit {
            return Ok(());
        }
        Err(Error::Corrupt(
            format!(
                "the log of group {} ends at {} although {} was committed: entries are lost",
                self.group, self.last, self.hard_state.commit
            )
            .into(),
        ))
    }

    /// Entries `low..high` are asked for: an error unless all of them are in the log.
    pub(super) fn holds(&self, low: LogIndex, high: LogIndex) -> Result<()> {
        if self.before_first.0 < low && low <= high && high <= self.last.next() {
            return Ok(());
        }
        Err(Error::Corrupt(
            format!(
                "entries {low}..{high} of group {} were asked for; the log holds {}..={}",
                self.group,
                self.before_first.0.next(),
                self.last
            )
            .into(),
        ))
    }
}

/// The log database of a node.
pub trait Log: Send + Sync {
    /// Writes without sync: readable at once, durable when [`Log::sync`] returns, which must be before the next write
    /// begins. After an error nothing may be written again: the caller stops the process (rule 5).
    fn write(&self, writes: &[LogWrite]) -> Result<()>;

    /// Makes what was written durable. An error ends the log, as one of [`Log::write`] does.
    fn sync(&self) -> Result<()>;

    /// Both: all of `writes` are durable, by one sync.
    fn append(&self, writes: &[LogWrite]) -> Result<()> {
        self.write(writes)?;
        self.sync()
    }

    /// Entries `low..high` of a group, in order, stopping after `bytes_max` bytes but never before one entry.
    /// Fewer are returned only for that reason; asking for what is not stored is an error.
    fn records(&self, group: GroupId, low: LogIndex, high: LogIndex, bytes_max: u64) -> Result<Vec<LogRecord>>;

    /// All groups that have a log here. Checks the log: a torn tail was cut by then, other damage is an error (rule 6).
    fn load(&self) -> Result<Vec<LogState>>;

    /// How often writes were held back, for metrics; none where a log has no such thing.
    fn stalls(&self) -> Stalls {
        Stalls::default()
    }
}
