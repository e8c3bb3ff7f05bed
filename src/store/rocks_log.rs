//! The Raft log in RocksDB: one write and one sync per [`Log::append`], whatever number of groups it carries.
//!
//! ```text
//! key      group u64 | 0            state of the group's log
//!          group u64 | 1 | index    an entry
//! state    term u64 | vote u64 | commit u64 | before first: index u64, term u64 | last u64
//! entry    term u64 | data
//! ```
//!
//! Invariants: the numbers in `states` are those on disk, because both change with the same write; after a failed
//! write nothing is written any more (rule 5). Opening cuts a torn tail and refuses any other damage (rule 6): the
//! tail is cut by [`super::rocks_wal`], and RocksDB then opens in the mode that accepts no damage at all. Its
//! point-in-time mode would drop everything behind a bad sector without a word. That one record at most can be torn is
//! because each write is synced before the next: [`Log::write`] refuses another one before that. WAL files are not
//! recycled, as RocksDB allows that only in modes that take the first unreadable record for the end.

use std::collections::BTreeMap;
use std::path::Path;

use bytes::{BufMut, Bytes};
use parking_lot::Mutex;
use rocksdb::{
    BlockBasedOptions, Cache, DB, DBCompressionType, DBRecoveryMode, Options, ReadOptions, WriteBatch, WriteOptions,
};

use super::rocks::{Claim, claim, error, refused, stalls};
use super::rocks_state::{bound_info_log, scan};
use super::{Error, HardState, Log, LogRecord, LogState, LogWrite, Order, Result, Stalls, rocks_wal};
use crate::base::{GroupId, LogIndex, Term};

const STATE: u8 = 0;
const ENTRY: u8 = 1;
const STATE_BYTES: usize = 48;

/// Sizes of a log database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogOptions {
    /// One memtable, in bytes. Entries that are cut while still in it never reach a table.
    pub write_buffer_bytes: usize,
    /// Cache for entries that are read back from tables, in bytes.
    pub block_cache_bytes: usize,
}

impl Default for LogOptions {
    fn default() -> LogOptions {
        LogOptions { write_buffer_bytes: 128 << 20, block_cache_bytes: 8 << 20 }
    }
}

/// The log database of a node in RocksDB.
pub struct RocksLog {
    db: DB,
    inner: Mutex<Inner>,
    torn_bytes: u64,
    /// Given up last, after the database is closed.
    _claim: Claim,
}

struct Inner {
    states: BTreeMap<GroupId, LogState>,
    /// What was written last waits for its sync.
    unsynced: bool,
    failed: Option<Error>,
}

impl RocksLog {
    /// Opens or makes the log database in `directory`, cutting a torn tail. The error is a sentence for the operator.
    pub fn open(directory: &Path, options: &LogOptions) -> Result<RocksLog> {
        let claim = claim(directory, "log")?;
        let torn_bytes = rocks_wal::cut_torn_tail(directory)?;
        let db = DB::open(&database_options(options), directory).map_err(|why| refused(directory, why))?;
        let inner = Inner { states: read_states(&db)?, unsynced: false, failed: None };
        Ok(RocksLog { db, inner: Mutex::new(inner), torn_bytes, _claim: claim })
    }

    /// Bytes of a half-written last record that opening cut off.
    pub fn torn_bytes(&self) -> u64 {
        self.torn_bytes
    }
}

impl Inner {
    /// An error if one came before.
    fn check(&self) -> Result<()> {
        match &self.failed {
            Some(first) => Err(Error::Io(format!("the log failed before and takes no more writes: {first}").into())),
            None => Ok(()),
        }
    }

    /// Keeps the first error.
    fn fence(&mut self, result: Result<()>) -> Result<()> {
        if let Err(error) = &result {
            self.failed = Some(error.clone());
        }
        result
    }

    /// Puts one group's part into the batch and moves its numbers.
    fn stage(&mut self, write: &LogWrite, batch: &mut WriteBatch) {
        let group = write.group;
        if write.destroy {
            self.states.remove(&group);
            batch.delete_range(&state_key(group)[..], &entry_key(group, LogIndex(u64::MAX))[..]);
            return;
        }
        let before = self.states.get(&group).copied().unwrap_or(LogState { group, ..LogState::default() });
        let after = before.after(write);
        let remove = |batch: &mut WriteBatch, first: LogIndex, last: LogIndex| {
            if first <= last {
                batch.delete_range(entry_key(group, first), entry_key(group, last.next()));
            }
        };
        if write.reset.is_some() {
            remove(batch, before.before_first.0.next(), before.last);
        } else if !write.records.is_empty() {
            remove(batch, after.last.next(), before.last);
        }
        let mut value = Vec::new();
        for record in &write.records {
            value.clear();
            value.put_u64(record.term.get());
            value.put_slice(&record.data);
            batch.put(entry_key(group, record.index), &value);
        }
        if write.cut.is_some() {
            let first = if write.reset.is_some() { write.reset } else { Some(before.before_first) };
            remove(batch, first.map_or(LogIndex(1), |(index, _)| index.next()), after.before_first.0);
        }
        batch.put(state_key(group), encode(&after));
        self.states.insert(group, after);
    }
}

impl Log for RocksLog {
    fn write(&self, writes: &[LogWrite]) -> Result<()> {
        let mut inner = self.inner.lock();
        inner.check()?;
        if inner.unsynced {
            return Err(Error::Io("the log takes no write before the last one is synced".into()));
        }
        let mut batch = WriteBatch::default();
        for write in writes {
            inner.stage(write, &mut batch);
        }
        inner.unsynced = true;
        let result = self.db.write_opt(batch, &WriteOptions::default()).map_err(error);
        inner.fence(result)
    }

    fn sync(&self) -> Result<()> {
        self.inner.lock().check()?;
        // Whoever reads entries does not wait for the disk.
        let result = self.db.flush_wal(true).map_err(error);
        let mut inner = self.inner.lock();
        inner.unsynced = false;
        inner.fence(result)
    }

    fn records(&self, group: GroupId, low: LogIndex, high: LogIndex, bytes_max: u64) -> Result<Vec<LogRecord>> {
        let state = self.inner.lock().states.get(&group).copied();
        state.unwrap_or(LogState { group, ..LogState::default() }).holds(low, high)?;
        let mut found = Vec::new();
        let mut bytes = 0;
        let mut bad = None;
        let (start, end) = (entry_key(group, low), entry_key(group, high));
        let mut full = false;
        scan(&self.db, ReadOptions::default(), &start, &end, Order::Forward, &mut |key, value| {
            let due = LogIndex(low.get() + found.len() as u64);
            let Some((index, (term, data))) = index_of(key).zip(value.split_first_chunk::<8>()) else {
                bad = Some(due);
                return std::ops::ControlFlow::Break(());
            };
            if index != due {
                bad = Some(due);
                return std::ops::ControlFlow::Break(());
            }
            bytes += data.len() as u64;
            if bytes > bytes_max && !found.is_empty() {
                full = true;
                return std::ops::ControlFlow::Break(());
            }
            let term = Term(u64::from_be_bytes(*term));
            found.push(LogRecord { index, term, data: Bytes::copy_from_slice(data) });
            std::ops::ControlFlow::Continue(())
        })?;
        let next = LogIndex(low.get() + found.len() as u64);
        match bad.or((!full && next < high).then_some(next)) {
            Some(index) => Err(damaged(group, index)),
            None => Ok(found),
        }
    }

    fn load(&self) -> Result<Vec<LogState>> {
        let states = read_states(&self.db)?;
        for state in states.values() {
            state.check()?;
            let mut due = state.before_first.0.next();
            let (start, end) = (entry_key(state.group, LogIndex(0)), entry_key(state.group, LogIndex(u64::MAX)));
            scan(&self.db, ReadOptions::default(), &start, &end, Order::Forward, &mut |key, value| {
                if index_of(key) != Some(due) || value.len() < 8 {
                    return std::ops::ControlFlow::Break(());
                }
                due = due.next();
                std::ops::ControlFlow::Continue(())
            })?;
            if due != state.last.next() {
                return Err(damaged(state.group, due));
            }
        }
        Ok(states.into_values().collect())
    }

    fn stalls(&self) -> Stalls {
        stalls(&self.db)
    }
}

fn database_options(sizes: &LogOptions) -> Options {
    let mut table = BlockBasedOptions::default();
    table.set_block_cache(&Cache::new_lru_cache(sizes.block_cache_bytes));
    let mut options = Options::default();
    options.create_if_missing(true);
    options.set_block_based_table_factory(&table);
    options.set_wal_recovery_mode(DBRecoveryMode::AbsoluteConsistency);
    options.set_recycle_log_file_num(0);
    options.set_write_buffer_size(sizes.write_buffer_bytes);
    options.set_max_write_buffer_number(4);
    options.set_compression_type(DBCompressionType::None);
    options.set_max_background_jobs(2);
    bound_info_log(&mut options);
    options
}

fn state_key(group: GroupId) -> [u8; 9] {
    let mut key = [STATE; 9];
    key[..8].copy_from_slice(&group.get().to_be_bytes());
    key
}

fn entry_key(group: GroupId, index: LogIndex) -> [u8; 17] {
    let mut key = [ENTRY; 17];
    key[..8].copy_from_slice(&group.get().to_be_bytes());
    key[9..].copy_from_slice(&index.get().to_be_bytes());
    key
}

fn index_of(key: &[u8]) -> Option<LogIndex> {
    Some(LogIndex(u64::from_be_bytes(key.get(9..)?.try_into().ok()?)))
}

fn encode(state: &LogState) -> Vec<u8> {
    let HardState { term, vote, commit } = state.hard_state;
    let mut out = Vec::with_capacity(STATE_BYTES);
    for number in
        [term.get(), vote, commit.get(), state.before_first.0.get(), state.before_first.1.get(), state.last.get()]
    {
        out.put_u64(number);
    }
    out
}

fn decode(group: GroupId, value: &[u8]) -> Option<LogState> {
    let bytes: &[u8; STATE_BYTES] = value.try_into().ok()?;
    let [term, vote, commit, before_index, before_term, last] =
        std::array::from_fn(|i| u64::from_be_bytes(std::array::from_fn(|j| bytes[8 * i + j])));
    Some(LogState {
        group,
        hard_state: HardState { term: Term(term), vote, commit: LogIndex(commit) },
        before_first: (LogIndex(before_index), Term(before_term)),
        last: LogIndex(last),
    })
}

/// The state record of every group. Jumps from group to group, past the entries.
fn read_states(db: &DB) -> Result<BTreeMap<GroupId, LogState>> {
    let mut states = BTreeMap::new();
    let mut from = state_key(GroupId(0)).to_vec();
    loop {
        let mut found = None;
        scan(db, ReadOptions::default(), &from, &[0xff; 18], Order::Forward, &mut |key, value| {
            found = Some((key.to_vec(), value.to_vec()));
            std::ops::ControlFlow::Break(())
        })?;
        let Some((key, value)) = found else { return Ok(states) };
        let group = key.first_chunk::<8>().map(|group| GroupId(u64::from_be_bytes(*group)));
        let state = group.filter(|group| key == state_key(*group)).and_then(|group| decode(group, &value));
        let Some(state) = state else {
            let key = key.escape_ascii();
            return Err(Error::Corrupt(format!("the log holds an unknown record {key}").into()));
        };
        states.insert(state.group, state);
        from = entry_key(state.group, LogIndex(u64::MAX)).to_vec();
    }
}

fn damaged(group: GroupId, index: LogIndex) -> Error {
    Error::Corrupt(format!("entry {index} of the log of group {group} is missing or damaged").into())
}
