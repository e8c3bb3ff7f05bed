//! The state in RocksDB: one column family and no write-ahead log, so that a write is only a memtable insert. What
//! a crash leaves is what was flushed: a prefix of the batches (rule 17), because one column family flushes its
//! memtables in order. The Raft log replays the rest.
//!
//! Invariant: nothing becomes durable before something written earlier. Ingestion would be the exception, so it
//! flushes first.
//!
//! A lookup without a snapshot obeys every range tombstone in a table, whatever its sequence number. When a
//! background flush or compaction publishes ingested files together with its own, RocksDB shows them before it
//! raises the sequence number: for that moment the tombstones count and the records behind them do not. `published`
//! keeps lookups and new iterators out of it (seen: one wrong answer in about 2,000 ingestions under load).

use std::collections::BTreeMap;
use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::{Mutex, RwLock};
use rocksdb::{
    BlockBasedOptions, Cache, DB, DBCompressionType, DBRawIterator, IngestExternalFileOptions, Options, ReadOptions,
    ReadTier, SnapshotWithThreadMode, SstFileWriter, WriteBatch, WriteOptions, properties,
};

use super::rocks::{Claim, claim, error, refuse, refused, stalls};
use super::{Batch, Engine, Error, Figures, Mutation, Order, Read, Record, Result, Snapshot, Visit};

/// Sorted records that wait to be written to a file while a snapshot is ingested.
const RUN_BYTES_MAX: usize = 32 << 20;
/// Size at which an ingested file ends and the next begins.
const FILE_BYTES_TARGET: u64 = 64 << 20;
/// Where files wait to be ingested, inside the database directory and so on its file system.
const INGEST_DIRECTORY: &str = "ingest";

/// Sizes of a state database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateOptions {
    /// Cache of uncompressed blocks, indexes and filters, in bytes.
    pub block_cache_bytes: usize,
    /// One memtable, in bytes; a full one is flushed in the background.
    pub write_buffer_bytes: usize,
    /// Values of at least this many bytes live in blob files, outside the sorted tables.
    pub blob_bytes_min: u64,
    /// Threads for flushing and compaction.
    pub background_jobs: u8,
}

impl Default for StateOptions {
    fn default() -> StateOptions {
        StateOptions {
            block_cache_bytes: 256 << 20,
            write_buffer_bytes: 64 << 20,
            blob_bytes_min: 64 << 10,
            background_jobs: 2,
        }
    }
}

/// The state of a node in RocksDB.
pub struct RocksEngine {
    db: Arc<DB>,
    directory: PathBuf,
    /// Of files to ingest.
    file_options: Options,
    without_wal: WriteOptions,
    in_memory: ReadOptions,
    persisted: ReadOptions,
    /// One ingestion at a time: the files have fixed names.
    ingesting: Mutex<()>,
    /// Written while ingested files become visible, read by lookups without a snapshot.
    published: RwLock<()>,
    /// Given up last, after the database is closed.
    _claim: Claim,
}

impl RocksEngine {
    /// Opens or makes the state database in `directory`. The error is a sentence for the operator.
    pub fn open(directory: &Path, options: &StateOptions) -> Result<RocksEngine> {
        let claim = claim(directory, "state")?;
        let cache = Cache::new_lru_cache(options.block_cache_bytes);
        // What is ingested lies at the top and is merged soon: it is not worth the bottom's compression.
        let file_options = database_options(options, &cache).map_err(|why| refused(directory, why))?;
        let mut options = file_options.clone();
        options.set_bottommost_compression_type(DBCompressionType::Zstd);
        let db = DB::open(&options, directory).map_err(|why| refused(directory, why))?;
        // What a crash left there is useless.
        let ingest = directory.join(INGEST_DIRECTORY);
        let cleared = if ingest.exists() { fs::remove_dir_all(&ingest) } else { Ok(()) };
        cleared
            .and_then(|()| fs::create_dir(&ingest))
            .map_err(|why| refuse(directory, format!("{INGEST_DIRECTORY}: {why}")))?;
        let mut without_wal = WriteOptions::default();
        without_wal.disable_wal(true);
        Ok(RocksEngine {
            db: Arc::new(db),
            directory: directory.to_path_buf(),
            file_options,
            without_wal,
            in_memory: read_tier(ReadTier::BlockCache),
            persisted: read_tier(ReadTier::Persisted),
            ingesting: Mutex::new(()),
            published: RwLock::new(()),
            _claim: claim,
        })
    }

    fn number(&self, property: &properties::PropName) -> u64 {
        self.db.property_int_value(property).ok().flatten().unwrap_or(0)
    }

    /// Writes the files to ingest: one of range tombstones, then the records. RocksDB gives later files of one call
    /// higher sequence numbers, so the records are not hidden by the tombstones, nor by an earlier value.
    fn write_files(
        &self,
        directory: &Path,
        clear: &[(Bytes, Bytes)],
        records: &mut dyn Iterator<Item = Result<Record>>,
    ) -> Result<Vec<PathBuf>> {
        let mut files = Files { options: &self.file_options, directory, paths: Vec::new() };
        let mut ranges: Vec<_> = clear.iter().filter(|(start, end)| start < end).collect();
        if !ranges.is_empty() {
            ranges.sort();
            let mut file = files.next()?;
            for (start, end) in ranges {
                file.writer.delete_range(start, end).map_err(error)?;
            }
            file.finish()?;
        }
        let mut file: Option<OpenFile<'_>> = None;
        let mut run = BTreeMap::new();
        let mut run_bytes = 0;
        loop {
            let record = records.next().transpose()?;
            let ended = record.is_none();
            if let Some((key, value)) = record {
                run_bytes += key.len() + value.as_ref().map_or(0, Bytes::len);
                run.insert(key, value);
            }
            if run_bytes < RUN_BYTES_MAX && !ended {
                continue;
            }
            // A run that does not follow the file's last record, because the records came in no order, or that
            // would make it too large, begins another file.
            let first = run.first_key_value();
            if let Some(full) =
                file.take_if(|open| first.is_some_and(|(key, _)| !open.has_room_for(key)) || ended && first.is_none())
            {
                full.finish()?;
            }
            for (key, value) in std::mem::take(&mut run) {
                let open = match &mut file {
                    Some(open) => open,
                    None => file.insert(files.next()?),
                };
                match value {
                    Some(value) => open.writer.put(&key, &value),
                    None => open.writer.delete(&key),
                }
                .map_err(error)?;
                open.last = key;
            }
            run_bytes = 0;
            if ended {
                break;
            }
        }
        file.map_or(Ok(()), OpenFile::finish)?;
        Ok(files.paths)
    }
}

fn read_tier(tier: ReadTier) -> ReadOptions {
    let mut options = ReadOptions::default();
    options.set_read_tier(tier);
    options
}

fn database_options(sizes: &StateOptions, cache: &Cache) -> std::result::Result<Options, rocksdb::Error> {
    let mut table = BlockBasedOptions::default();
    table.set_block_cache(cache);
    table.set_block_size(8 << 10);
    table.set_bloom_filter(10.0, false);
    table.set_optimize_filters_for_memory(true);
    // Indexes and filters count against the cache, or memory would grow with the data.
    table.set_cache_index_and_filter_blocks(true);
    table.set_cache_index_and_filter_blocks_with_high_priority(true);
    table.set_pin_l0_filter_and_index_blocks_in_cache(true);

    // The bindings have no method for it. Blocks of a file that is merged leave the cache with the file; otherwise each
    // is there until the cache is full, and memory grows with what is written, not with what is stored.
    let mut options = Options::default().get_options_from_string("uncache_aggressiveness=300")?;
    options.create_if_missing(true);
    options.set_block_based_table_factory(&table);
    options.set_compression_type(DBCompressionType::Lz4);
    options.set_write_buffer_size(sizes.write_buffer_bytes);
    options.set_max_write_buffer_number(4);
    options.set_memtable_prefix_bloom_ratio(0.02);
    options.set_memtable_whole_key_filtering(true);
    options.set_max_background_jobs(i32::from(sizes.background_jobs.max(1)));
    options.set_bytes_per_sync(1 << 20);
    options.set_enable_blob_files(true);
    options.set_min_blob_size(sizes.blob_bytes_min);
    options.set_blob_compression_type(DBCompressionType::Lz4);
    options.set_enable_blob_gc(true);
    bound_info_log(&mut options);
    Ok(options)
}

/// RocksDB's own text log, kept small.
pub(super) fn bound_info_log(options: &mut Options) {
    options.set_max_log_file_size(16 << 20);
    options.set_keep_log_file_num(4);
    options.set_stats_dump_period_sec(0);
}

/// The files of one ingestion.
struct Files<'a> {
    options: &'a Options,
    directory: &'a Path,
    paths: Vec<PathBuf>,
}

struct OpenFile<'a> {
    writer: SstFileWriter<'a>,
    last: Bytes,
}

impl<'a> Files<'a> {
    fn next(&mut self) -> Result<OpenFile<'a>> {
        let path = self.directory.join(format!("{:06}.sst", self.paths.len()));
        let writer = SstFileWriter::create(self.options);
        writer.open(&path).map_err(error)?;
        self.paths.push(path);
        Ok(OpenFile { writer, last: Bytes::new() })
    }
}

impl OpenFile<'_> {
    fn has_room_for(&self, key: &Bytes) -> bool {
        self.last < *key && self.writer.file_size() < FILE_BYTES_TARGET
    }

    fn finish(mut self) -> Result<()> {
        self.writer.finish().map_err(error)
    }
}

impl Read for RocksEngine {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>> {
        let _published = self.published.read();
        let value = self.db.get_pinned(key).map_err(error)?;
        Ok(value.map(|value| Bytes::copy_from_slice(&value)))
    }

    fn scan(&self, start: &[u8], end: &[u8], order: Order, visit: &mut Visit<'_>) -> Result<()> {
        if start >= end {
            return Ok(());
        }
        // What an iterator shows is settled when it is made; the visitor runs without the lock.
        let published = self.published.read();
        let records = iterator(&self.db, ReadOptions::default(), start, end);
        drop(published);
        visit_all(records, order, visit)
    }
}

/// Iterates over `start..end`, as `options` show it.
pub(super) fn scan(
    db: &DB,
    options: ReadOptions,
    start: &[u8],
    end: &[u8],
    order: Order,
    visit: &mut Visit<'_>,
) -> Result<()> {
    if start >= end {
        return Ok(());
    }
    visit_all(iterator(db, options, start, end), order, visit)
}

fn iterator<'a>(db: &'a DB, mut options: ReadOptions, start: &[u8], end: &[u8]) -> DBRawIterator<'a> {
    options.set_iterate_lower_bound(start);
    options.set_iterate_upper_bound(end);
    db.raw_iterator_opt(options)
}

fn visit_all(mut records: DBRawIterator<'_>, order: Order, visit: &mut Visit<'_>) -> Result<()> {
    match order {
        Order::Forward => records.seek_to_first(),
        Order::Backward => records.seek_to_last(),
    }
    while let Some((key, value)) = records.item() {
        if let ControlFlow::Break(()) = visit(key, value) {
            return Ok(());
        }
        match order {
            Order::Forward => records.next(),
            Order::Backward => records.prev(),
        }
    }
    records.status().map_err(error)
}

impl Engine for RocksEngine {
    fn write(&self, batch: &Batch) -> Result<()> {
        let mut writes = WriteBatch::default();
        for mutation in &batch.mutations {
            match mutation {
                Mutation::Put(key, value) => writes.put(key, value),
                Mutation::Delete(key) => writes.delete(key),
                // RocksDB refuses a batch with a range that ends before it starts.
                Mutation::DeleteRange(start, end) if start < end => writes.delete_range(start, end),
                Mutation::DeleteRange(..) => {}
            }
        }
        self.db.write_opt(writes, &self.without_wal).map_err(error)
    }

    fn get_in_memory(&self, key: &[u8]) -> Result<Option<Bytes>> {
        // An ingestion is about to end: whoever may not wait asks again where it may.
        let Some(_published) = self.published.try_read() else { return Err(Error::WouldBlock) };
        let value = self.db.get_pinned_opt(key, &self.in_memory).map_err(error)?;
        Ok(value.map(|value| Bytes::copy_from_slice(&value)))
    }

    fn get_persisted(&self, key: &[u8]) -> Result<Option<Bytes>> {
        let _published = self.published.read();
        let value = self.db.get_pinned_opt(key, &self.persisted).map_err(error)?;
        Ok(value.map(|value| Bytes::copy_from_slice(&value)))
    }

    fn snapshot(&self) -> Result<Snapshot> {
        Ok(Box::new(RocksSnapshot::new(self.db.clone())))
    }

    fn flush(&self) -> Result<()> {
        // The default options wait until the tables and the manifest are synced.
        self.db.flush().map_err(error)
    }

    fn ingest(&self, clear: &[(Bytes, Bytes)], records: &mut dyn Iterator<Item = Result<Record>>) -> Result<()> {
        let _one_at_a_time = self.ingesting.lock();
        let directory = self.directory.join(INGEST_DIRECTORY);
        let result = self.write_files(&directory, clear, records).and_then(|paths| {
            if paths.is_empty() {
                return Ok(());
            }
            self.flush()?;
            let mut options = IngestExternalFileOptions::default();
            options.set_move_files(true);
            options.set_snapshot_consistency(true);
            options.set_allow_global_seqno(true);
            options.set_allow_blocking_flush(true);
            let _published = (!clear.is_empty()).then(|| self.published.write());
            self.db.ingest_external_file_opts(&options, paths).map_err(error)
        });
        // Moved files leave nothing behind; a failed attempt leaves files whose names the next one reuses.
        if let Ok(left) = fs::read_dir(&directory) {
            for file in left.flatten() {
                let _ = fs::remove_file(file.path());
            }
        }
        result
    }

    fn figures(&self) -> Figures {
        let blob_bytes: u64 = match self.db.property_value("rocksdb.total-blob-file-size") {
            Ok(Some(bytes)) => bytes.parse().unwrap_or(0),
            _ => 0,
        };
        Figures {
            unflushed_bytes: self.number(properties::CUR_SIZE_ALL_MEM_TABLES),
            disk_bytes: self.number(properties::TOTAL_SST_FILES_SIZE) + blob_bytes,
            records: self.number(properties::ESTIMATE_NUM_KEYS),
            cache_bytes: self.number(properties::BLOCK_CACHE_USAGE),
            stalled: self.number(properties::IS_WRITE_STOPPED) + self.number(properties::ACTUAL_DELAYED_WRITE_RATE) > 0,
            stalls: stalls(&self.db),
            ..Figures::default()
        }
    }
}

/// A RocksDB snapshot that keeps its database open. The fields are dropped in this order.
struct RocksSnapshot {
    snapshot: SnapshotWithThreadMode<'static, DB>,
    db: Arc<DB>,
}

impl RocksSnapshot {
    fn new(db: Arc<DB>) -> RocksSnapshot {
        // SAFETY: the snapshot borrows the database behind `db`, whose address is fixed by the `Arc` that lives
        // beside it and is dropped after it; the snapshot is never handed out with the longer lifetime.
        let borrowed: &'static DB = unsafe { &*Arc::as_ptr(&db) };
        RocksSnapshot { snapshot: borrowed.snapshot(), db }
    }
}

impl Read for RocksSnapshot {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>> {
        let value = self.snapshot.get_pinned(key).map_err(error)?;
        Ok(value.map(|value| Bytes::copy_from_slice(&value)))
    }

    fn scan(&self, start: &[u8], end: &[u8], order: Order, visit: &mut Visit<'_>) -> Result<()> {
        let mut options = ReadOptions::default();
        options.set_snapshot(&self.snapshot);
        scan(&self.db, options, start, end, order, visit)
    }
}
