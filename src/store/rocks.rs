//! RocksDB, twice: the state ([`RocksEngine`], no write-ahead log) and the Raft log ([`RocksLog`], every write
//! synced). These files are the only ones that name the crate. Here is what both need: who may open a directory,
//! and what errors mean.
//!
//! Invariant: a directory that another process uses, that a newer program wrote or that is not ours is refused with
//! a sentence that says so, before anything in it is changed.

use std::fs::{self, File, TryLockError};
use std::io::{ErrorKind, Write as _};
use std::path::Path;

pub use super::rocks_log::{LogOptions, RocksLog};
pub use super::rocks_state::{RocksEngine, StateOptions};
use super::{Error, Result, Stalls};

/// Names the layout of keys and values in a database directory, one word and a number.
const FORMAT_FILE: &str = "FORMAT";
/// The newest layout this program can read and the one it writes.
const FORMAT: u32 = 1;

/// What an error of RocksDB means to the callers of a store.
pub(super) fn error(error: rocksdb::Error) -> Error {
    let kind = error.kind();
    let message = error.into_string();
    match kind {
        rocksdb::ErrorKind::Incomplete => Error::WouldBlock,
        rocksdb::ErrorKind::Corruption => Error::Corrupt(message.into()),
        _ if message.contains("No space left") || message.contains("Out of disk quota") => {
            Error::NoSpace(message.into())
        }
        _ => Error::Io(message.into()),
    }
}

/// How often RocksDB held back writers since the database was opened. It counts this itself, without statistics.
pub(super) fn stalls(db: &rocksdb::DB) -> Stalls {
    let text = db.property_value("rocksdb.cf-write-stall-stats").ok().flatten().unwrap_or_default();
    Stalls { delays: stall_count(&text, "total-delays"), stops: stall_count(&text, "total-stops") }
}

/// The number behind a name in `Write Stall (count): cause: n, ..., total-delays: n, total-stops: n, ...`.
fn stall_count(text: &str, name: &str) -> u64 {
    let after = text.split_once(&format!(" {name}: ")).map_or("", |(_, after)| after);
    let digits = after.find(|c: char| !c.is_ascii_digit()).unwrap_or(after.len());
    after[..digits].parse().unwrap_or(0)
}

/// A directory that this opening, in this or any process, has to itself until it is dropped.
///
/// RocksDB's own lock comes too late: the tail of the log is cut before RocksDB is opened.
#[derive(Debug)]
pub(super) struct Claim {
    _locked: File,
}

/// Makes `directory` ready to be opened as a database of this `kind`, or says why it must not be.
pub(super) fn claim(directory: &Path, kind: &str) -> Result<Claim> {
    fs::create_dir_all(directory).map_err(|why| refuse(directory, format!("it cannot be made: {why}")))?;
    let failed = |why: std::io::Error| refuse(directory, format!("{FORMAT_FILE}: {why}"));
    let path = directory.join(FORMAT_FILE);
    match fs::read_to_string(&path) {
        Ok(text) => check_format(&text, kind).map_err(|why| refuse(directory, why))?,
        Err(why) if why.kind() != ErrorKind::NotFound => return Err(failed(why)),
        Err(_) if directory.join("CURRENT").exists() => {
            let why = format!("it holds a database without a {FORMAT_FILE} file: not one of Holdfast's");
            return Err(refuse(directory, why));
        }
        Err(_) => write_format(directory, kind).map_err(failed)?,
    }
    let file = File::open(&path).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(Claim { _locked: file }),
        Err(TryLockError::WouldBlock) => Err(refuse(directory, "it is in use already".into())),
        Err(TryLockError::Error(why)) => Err(failed(why)),
    }
}

/// Refuses a directory whose database is of another kind or of a newer program; changes nothing. For all databases of a
/// node before the first is opened.
pub fn inspect(directory: &Path, kind: &str) -> Result<()> {
    match fs::read_to_string(directory.join(FORMAT_FILE)) {
        Ok(text) => check_format(&text, kind).map_err(|why| refuse(directory, why)),
        Err(why) if why.kind() == ErrorKind::NotFound => Ok(()),
        Err(why) => Err(refuse(directory, format!("{FORMAT_FILE}: {why}"))),
    }
}

/// Why a claimed database did not open, as a sentence.
pub(super) fn refused(directory: &Path, why: rocksdb::Error) -> Error {
    match error(why) {
        Error::Corrupt(message) => {
            Error::Corrupt(format!("{}: {message}; nothing was changed", directory.display()).into())
        }
        Error::NoSpace(message) => Error::NoSpace(format!("{}: {message}", directory.display()).into()),
        other => refuse(directory, other.to_string()),
    }
}

pub(super) fn refuse(directory: &Path, why: String) -> Error {
    Error::Io(format!("{} cannot be opened: {why}", directory.display()).into())
}

fn check_format(text: &str, kind: &str) -> std::result::Result<(), String> {
    let mut words = text.split_ascii_whitespace();
    let found = (words.next(), words.next(), words.next().and_then(|number| number.parse::<u32>().ok()));
    let (Some("holdfast"), Some(found_kind), Some(number)) = found else {
        return Err(format!("its {FORMAT_FILE} file is not one of Holdfast's"));
    };
    if found_kind != kind {
        return Err(format!("it holds the {found_kind}, not the {kind}"));
    }
    if number > FORMAT {
        return Err(format!(
            "a newer program wrote it (format {number}; this one knows up to {FORMAT}); nothing was changed"
        ));
    }
    Ok(())
}

/// Written whole or not at all, and durable before the database is made.
fn write_format(directory: &Path, kind: &str) -> std::io::Result<()> {
    let draft = directory.join("FORMAT.new");
    let mut file = File::create(&draft)?;
    writeln!(file, "holdfast {kind} {FORMAT}")?;
    file.sync_all()?;
    fs::rename(&draft, directory.join(FORMAT_FILE))?;
    File::open(directory)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stalls_are_counted() {
        let directory = tempfile::tempdir().unwrap();
        let mut options = rocksdb::Options::default();
        options.create_if_missing(true);
        options.set_level_zero_file_num_compaction_trigger(1);
        options.set_level_zero_slowdown_writes_trigger(1);
        let db = rocksdb::DB::open(&options, directory.path()).unwrap();
        assert_eq!(stalls(&db), Stalls::default());
        for n in 0..4 {
            db.put([n], b"v").unwrap();
            db.flush().unwrap();
        }
        let counted = stalls(&db);
        assert!(counted.delays > 0 && counted.stops == 0, "{counted:?}");
        let text =
            "Write Stall (count): a-total-delays: 7, total-delays: 12, total-stops: 3, interval: 0 total count\n";
        assert_eq!((stall_count(text, "total-delays"), stall_count(text, "total-stops")), (12, 3));
        assert_eq!(stall_count("something else", "total-stops"), 0);
    }
}
