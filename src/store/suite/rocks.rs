//! What only RocksDB can show: facts about the pinned version that the design leans on, files, and damage to them.

use std::ffi::OsString;
use std::fs;
use std::path::Path;

use bytes::Bytes;

use super::{GROUP, all, b, batch, engine_suite, grow, hard_state, log_suite, put, read, state, stored};
use crate::base::{GroupId, LogIndex, Rng, Term};
use crate::store::rocks::{LogOptions, RocksEngine, RocksLog, StateOptions};
use crate::store::{Engine, Error, Log, LogWrite, Mutation, Order, Read};

fn small() -> StateOptions {
    StateOptions { block_cache_bytes: 1 << 20, write_buffer_bytes: 1 << 20, ..StateOptions::default() }
}

fn open(directory: &Path) -> RocksEngine {
    RocksEngine::open(directory, &small()).unwrap()
}

fn open_log(directory: &Path) -> RocksLog {
    RocksLog::open(directory, &LogOptions::default()).unwrap()
}

/// A copy of a database in use, file by file: what a power cut at this moment could leave, except that nothing
/// unsynced is lost. Copies again when files came, grew or went meanwhile.
fn copied(directory: &Path) -> tempfile::TempDir {
    for _ in 0..100 {
        let copy = tempfile::tempdir().unwrap();
        let before = files(directory);
        let copies = before.iter().map(|(name, _)| fs::copy(directory.join(name), copy.path().join(name)));
        if copies.collect::<Result<Vec<_>, _>>().is_ok() && files(directory) == before {
            return copy;
        }
    }
    panic!("the files of {} do not come to rest", directory.display());
}

/// Names and sizes of a directory's files; RocksDB's text log is left out.
fn files(directory: &Path) -> Vec<(OsString, u64)> {
    let mut files: Vec<_> = fs::read_dir(directory)
        .unwrap()
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let facts = entry.metadata().ok().filter(|facts| facts.is_file())?;
            (entry.file_name() != "LOG").then(|| (entry.file_name(), facts.len()))
        })
        .collect();
    files.sort();
    files
}

#[test]
fn rocksdb_keeps_the_promises_of_an_engine() {
    let directories: Vec<_> = (0..7).map(|_| tempfile::tempdir().unwrap()).collect();
    let next = std::cell::Cell::new(0);
    engine_suite(|| {
        let directory = &directories[next.replace(next.get() + 1)];
        open(directory.path())
    });
}

#[test]
fn rocksdb_keeps_the_promises_of_a_log() {
    let directories: Vec<_> = (0..6).map(|_| tempfile::tempdir().unwrap()).collect();
    let next = std::cell::Cell::new(0);
    log_suite(|| {
        let directory = &directories[next.replace(next.get() + 1)];
        open_log(directory.path())
    });
}

#[test]
fn rule_18_the_persisted_tier_shows_only_flushed_data() {
    let directory = tempfile::tempdir().unwrap();
    let engine = open(directory.path());
    engine.write(&batch([put("applied", "1"), put("x", "1")])).unwrap();
    assert_eq!(engine.get_persisted(b"applied"), Ok(None));
    engine.flush().unwrap();
    engine.write(&batch([put("applied", "2"), Mutation::Delete(b("x"))])).unwrap();
    assert_eq!(engine.get_persisted(b"applied"), Ok(Some(b("1"))));
    assert_eq!(engine.get_persisted(b"x"), Ok(Some(b("1"))));
    assert_eq!(engine.get(b"applied"), Ok(Some(b("2"))));
    let left = copied(directory.path());
    drop(engine);
    let left = open(left.path());
    assert_eq!(left.get(b"applied"), Ok(Some(b("1"))), "the persisted value is what a crash leaves");
    assert_eq!(left.get(b"x"), Ok(Some(b("1"))));
}

/// Memory follows what is stored, not what was ever written.
#[test]
fn blocks_of_files_that_were_merged_leave_the_cache() {
    const ROUNDS: u64 = 40;
    const RECORDS: u64 = 500;
    const VALUE_BYTES: usize = 1 << 10;
    let directory = tempfile::tempdir().unwrap();
    let engine =
        RocksEngine::open(directory.path(), &StateOptions { block_cache_bytes: 256 << 20, ..small() }).unwrap();
    let mut rng = Rng::new(5);
    let mut written = 0;
    let mut most = 0;
    for _ in 0..ROUNDS {
        for record in 0..RECORDS {
            let value = Bytes::from((0..VALUE_BYTES).map(|_| rng.next() as u8).collect::<Vec<_>>());
            written += value.len() as u64;
            engine.write(&batch([Mutation::Put(Bytes::from(format!("{record:04}")), value)])).unwrap();
        }
        engine.flush().unwrap();
        for record in 0..RECORDS {
            engine.get(format!("{record:04}").as_bytes()).unwrap().unwrap();
        }
        most = most.max(engine.figures().cache_bytes);
    }
    // Those of files that wait to be merged are there still.
    assert!(most < written / 2, "{most} bytes of blocks after {written} were written, {ROUNDS} times the same records");
}

/// While memtables are flushed in the background, every copy of the files holds a prefix of the batches.
#[test]
fn rule_17_a_crash_leaves_a_prefix_of_batches() {
    let directory = tempfile::tempdir().unwrap();
    let engine = open(directory.path());
    let mut rng = Rng::new(3);
    let mut values = Vec::new();
    for step in 0_u64..600 {
        let filler = Bytes::from((0..16 << 10).map(|_| rng.next() as u8).collect::<Vec<_>>());
        let key = Bytes::from(format!("filler {}", step % 7));
        let step = Bytes::from(format!("{step:04}"));
        engine
            .write(&batch([
                Mutation::Put(b("step"), step.clone()),
                Mutation::Put(key, filler),
                Mutation::Put(b("last"), step),
            ]))
            .unwrap();
        if rng.chance(1, 120) {
            let persisted_before = engine.get_persisted(b"step").unwrap();
            let left = copied(directory.path());
            let left = open(left.path());
            let found = left.get(b"step").unwrap();
            assert_eq!(found, left.get(b"last").unwrap(), "a batch is there whole or not at all");
            assert!(found >= persisted_before, "{found:?} is older than {persisted_before:?}");
            values.push(found);
        }
    }
    assert!(values.is_sorted() && values.len() > 2);
}

#[test]
fn rule_20_ingest_with_tombstones_replaces_a_range_atomically_and_durably() {
    let directory = tempfile::tempdir().unwrap();
    let engine = open(directory.path());
    let old = |n: u64| Bytes::from(format!("g{n:05}"));
    let fill = (0..2000).map(|n| Mutation::Put(old(n), Bytes::from(vec![b'o'; 500])));
    engine.write(&batch(fill.chain([put("a", "1"), put("z", "1")]))).unwrap();
    engine.flush().unwrap();
    engine.write(&batch([Mutation::Put(old(1), b("newest")), put("unrelated", "unflushed")])).unwrap();
    // Every third key anew, one of them larger than a blob, and enough bytes for several files.
    let large = Bytes::from(vec![b'n'; 100_000]);
    let new: Vec<_> = (0..3000).step_by(3).map(|n| (old(n), large.clone())).collect();
    engine.ingest(&[(b("g"), b("h"))], &mut new.iter().cloned().map(stored)).unwrap();
    let left = copied(directory.path());
    drop(engine);
    for directory in [directory.path(), left.path()] {
        let engine = open(directory);
        assert!(all(&engine, b"g", b"h", Order::Forward) == new, "{}", directory.display());
        assert_eq!(engine.get(&old(1)), Ok(None));
        assert_eq!(engine.get(b"a"), Ok(Some(b("1"))));
        assert_eq!(engine.get(b"unrelated"), Ok(Some(b("unflushed"))), "flushed with the ingestion");
        assert_eq!(fs::read_dir(directory.join("ingest")).unwrap().count(), 0);
    }
}

#[test]
fn a_memory_only_lookup_does_not_wait_for_the_disk() {
    let directory = tempfile::tempdir().unwrap();
    let engine = open(directory.path());
    engine.write(&batch([put("a", "1")])).unwrap();
    assert_eq!(engine.get_in_memory(b"a"), Ok(Some(b("1"))), "in the memtable");
    drop(engine);
    let engine = open(directory.path());
    assert_eq!(engine.get_in_memory(b"a"), Err(Error::WouldBlock), "in a table that was not read yet");
    assert_eq!(engine.get(b"a"), Ok(Some(b("1"))));
    assert_eq!(engine.get_in_memory(b"a"), Ok(Some(b("1"))), "in the block cache");
}

#[test]
fn a_snapshot_keeps_the_database_open() {
    let directory = tempfile::tempdir().unwrap();
    let engine = open(directory.path());
    engine.write(&batch([put("a", "1")])).unwrap();
    let snapshot = engine.snapshot().unwrap();
    drop(engine);
    assert_eq!(snapshot.get(b"a"), Ok(Some(b("1"))));
}

#[test]
fn figures_follow_the_data() {
    let directory = tempfile::tempdir().unwrap();
    let engine = open(directory.path());
    let before = engine.figures();
    let values = (0..100).map(|n| Mutation::Put(Bytes::from(format!("{n:03}")), Bytes::from(vec![n; 2000])));
    engine.write(&batch(values)).unwrap();
    let written = engine.figures();
    assert!(written.unflushed_bytes > before.unflushed_bytes + 100_000 && written.disk_bytes == 0 && !written.stalled);
    engine.flush().unwrap();
    let flushed = engine.figures();
    assert!(flushed.unflushed_bytes < written.unflushed_bytes && flushed.disk_bytes > 0 && flushed.records == 100);
}

#[test]
fn a_directory_that_is_not_ours_is_refused_with_a_reason() {
    let directory = tempfile::tempdir().unwrap();
    let open = || RocksEngine::open(directory.path(), &small()).err().map(|why| why.to_string()).unwrap_or_default();
    let engine = RocksEngine::open(directory.path(), &small()).unwrap();
    assert!(open().contains("in use"), "{}", open());
    drop(engine);
    assert_eq!(open(), "");

    let as_log = RocksLog::open(directory.path(), &LogOptions::default()).err().unwrap().to_string();
    assert!(as_log.contains("it holds the state, not the log"), "{as_log}");

    let format = directory.path().join("FORMAT");
    let files = || fs::read_dir(directory.path()).unwrap().count();
    let before = files();
    fs::write(&format, "holdfast state 2\n").unwrap();
    assert!(open().contains("newer program"), "{}", open());
    fs::write(&format, "something else").unwrap();
    assert!(open().contains("not one of Holdfast's"), "{}", open());
    assert_eq!(files(), before, "nothing was changed");
    fs::remove_file(&format).unwrap();
    assert!(open().contains("without a FORMAT file"), "{}", open());
    fs::write(&format, "holdfast state 1\n").unwrap();
    assert_eq!(open(), "");
}

#[test]
fn a_log_is_the_same_after_reopening() {
    let directory = tempfile::tempdir().unwrap();
    let log = open_log(directory.path());
    log.append(&[grow(GROUP, 1, 1..=9), grow(GroupId(u64::MAX), 2, 1..=3), grow(GroupId(0), 1, 1..=1)]).unwrap();
    let mut cut = grow(GROUP, 2, 7..=8);
    cut.cut = Some((LogIndex(4), Term(1)));
    log.append(&[cut]).unwrap();
    let before = log.load().unwrap();
    let entries = read(&log, 5, 9).unwrap();
    let killed = copied(directory.path());
    drop(log);
    for directory in [directory.path(), killed.path()] {
        let log = open_log(directory);
        assert_eq!((log.load().unwrap(), log.torn_bytes()), (before.clone(), 0));
        assert_eq!(read(&log, 5, 9).unwrap(), entries);
        assert!(read(&log, 4, 6).is_err() && read(&log, 8, 10).is_err());
    }
}

/// The newest WAL file of a closed log.
fn wal(directory: &Path) -> std::path::PathBuf {
    let files = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = files.filter(|path| path.extension().is_some_and(|end| end == "log")).collect();
    files.sort();
    files.pop().unwrap()
}

/// A closed log of group 1 with `writes` writes of one entry each, and where the file ended after each.
fn written(writes: u64, entry_bytes: usize) -> (tempfile::TempDir, Vec<u64>) {
    let directory = tempfile::tempdir().unwrap();
    let log = open_log(directory.path());
    let mut ends = Vec::new();
    for index in 1..=writes {
        let mut write = grow(GROUP, 1, index..=index);
        write.records[0].data = Bytes::from(vec![index as u8; entry_bytes]);
        write.hard_state = Some(hard_state(1, index - 1));
        log.append(&[write]).unwrap();
        ends.push(fs::metadata(wal(directory.path())).unwrap().len());
    }
    (directory, ends)
}

#[test]
fn rule_06_a_write_waits_for_the_sync_of_the_one_before() {
    let directory = tempfile::tempdir().unwrap();
    let log = open_log(directory.path());
    log.write(&[grow(GROUP, 1, 1..=1)]).unwrap();
    assert!(log.write(&[grow(GROUP, 1, 2..=2)]).unwrap_err().to_string().contains("before the last one is synced"));
    assert_eq!(state(&log).last, LogIndex(1));
    log.sync().unwrap();
    log.append(&[grow(GROUP, 1, 2..=2)]).unwrap();
    assert_eq!(state(&log).last, LogIndex(2));
}

#[test]
fn rule_06_a_torn_tail_is_cut() {
    // Entries within one block, over block boundaries, and longer than blocks.
    for entry_bytes in [100, 5_000, 32_760, 100_000] {
        let (directory, ends) = written(9, entry_bytes);
        let bytes = fs::read(wal(directory.path())).unwrap();
        let (last_start, last_end) = (ends[7] as usize, ends[8] as usize);
        assert_eq!(bytes.len(), last_end);
        let mut rng = Rng::new(entry_bytes as u64);
        for case in 0..8 {
            let copy = copied(directory.path());
            let mut torn = bytes.clone();
            match case {
                // A write that the process did not finish, with nothing or with zeros behind it.
                0..=3 => torn.truncate(rng.range(last_start as u64 + 1, last_end as u64) as usize),
                4..=5 => torn[rng.range(last_start as u64 + 1, last_end as u64 - 1) as usize..].fill(0),
                // Pages of one write that reached the disk in another order.
                _ => torn[last_start..(last_start + 4096).min(last_end)].fill(0),
            }
            fs::write(wal(copy.path()), &torn).unwrap();
            let log = open_log(copy.path());
            assert_eq!(state(&log).last, LogIndex(8), "entries of {entry_bytes} bytes, case {case}");
            assert_eq!(log.torn_bytes(), torn.len() as u64 - ends[7]);
            assert_eq!(read(&log, 8, 9).unwrap()[0].data, vec![8; entry_bytes]);
            log.append(&[grow(GROUP, 1, 9..=9)]).unwrap();
            drop(log);
            assert_eq!(state(&open_log(copy.path())).last, LogIndex(9));
        }
    }
}

#[test]
fn rule_06_damage_before_the_tail_stops_the_node() {
    for entry_bytes in [100, 5_000, 32_760, 100_000] {
        let (directory, ends) = written(9, entry_bytes);
        let bytes = fs::read(wal(directory.path())).unwrap();
        let mut rng = Rng::new(entry_bytes as u64);
        for case in 0..8 {
            let copy = copied(directory.path());
            let mut damaged = bytes.clone();
            let at = match case {
                0 => ends[3] as usize + 4, // the length of a fragment
                1 => ends[3] as usize + 6, // its type
                _ => rng.below(ends[7]) as usize,
            };
            damaged[at] ^= 0x55;
            fs::write(wal(copy.path()), &damaged).unwrap();
            let error = RocksLog::open(copy.path(), &LogOptions::default()).err().unwrap_or_else(|| {
                panic!("entries of {entry_bytes} bytes: damage at {at} of {} was not noticed", ends[7])
            });
            assert!(matches!(&error, Error::Corrupt(why) if why.contains("damaged at byte")), "{error}");
            assert_eq!(fs::read(wal(copy.path())).unwrap(), damaged, "nothing was changed");
        }
    }
}

#[test]
fn rule_06_a_log_shorter_than_its_commit_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let log = open_log(directory.path());
    let mut write = grow(GROUP, 1, 1..=3);
    write.hard_state = Some(hard_state(1, 4));
    log.append(&[write]).unwrap();
    let error = log.load().unwrap_err().to_string();
    assert!(error.contains("ends at 3 although 4 was committed"), "{error}");
}

#[test]
fn many_cut_and_overwritten_entries_leave_no_trace() {
    let directory = tempfile::tempdir().unwrap();
    let log = open_log(directory.path());
    let mut rng = Rng::new(11);
    let (mut first, mut last) = (1_u64, 0_u64);
    for term in 1..300 {
        let from = rng.range(first.max(last.saturating_sub(5)), last + 2).max(first);
        last = from + rng.below(6);
        let mut write: LogWrite = grow(GROUP, term, from..=last);
        if rng.chance(1, 4) {
            let cut = rng.range(first, last + 1);
            write.cut = Some((LogIndex(cut), Term(term)));
            first = cut + 1;
        }
        log.append(&[write]).unwrap();
        let found = state(&log);
        assert_eq!((found.before_first.0.next().get(), found.last.get()), (first, last), "term {term}");
        let entries = read(&log, first, last + 1).unwrap();
        assert_eq!(entries.len() as u64, last + 1 - first);
    }
    drop(log);
    assert_eq!(state(&open_log(directory.path())).last, LogIndex(last));
}
