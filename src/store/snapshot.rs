//! A group's records in transit: read from a view of the engine in bounded chunks, checked and spooled on the
//! other side, and installed in one atomic step.
//!
//! ```text
//! chunk    crc32 u32 | format u8 = 1 | number u32, from 0 | last u8, 0 or 1 | records
//! record   key length u32 | value length u32 | key | value
//! ```
//!
//! All numbers are big-endian; the checksum covers everything after it. Records ascend through the whole
//! snapshot. A chunk closes at [`SNAPSHOT_CHUNK_BYTES`]; only a single larger record makes a larger one.
//!
//! Invariant: what is installed is exactly what was read: every chunk arrived once and in order, the last one is
//! marked, and no record lies outside the group's ranges. When to flush, install and answer is `host`'s (rule 20).

use std::collections::VecDeque;
use std::fs::File;
use std::io::{Read as _, Seek as _, Write as _};
use std::ops::ControlFlow;
use std::path::Path;

use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::keys::{self, Range};
use super::{Engine, Error, Order, Result, Snapshot};
use crate::base::limits::{BULK_BYTES_MAX, SNAPSHOT_CHUNK_BYTES};
use crate::base::{GroupId, SlotRange};

const FORMAT: u8 = 1;
const HEADER_BYTES: usize = 10;
const RECORD_HEADER_BYTES: usize = 8;
/// The longest chunk that is believed. A record may be one bulk and what `data` puts around it, besides its key.
pub const CHUNK_BYTES_MAX: usize = SNAPSHOT_CHUNK_BYTES + 3 * BULK_BYTES_MAX;

const _: () = assert!(CHUNK_BYTES_MAX < crate::base::limits::PEER_FRAME_BYTES_MAX);

/// The ranges that hold all records of a group, ascending; the meta group has no slots.
pub fn ranges(group: GroupId, slots: Option<SlotRange>) -> Vec<Range> {
    slots.map(keys::slots).into_iter().chain([keys::group(group)]).collect()
}

/// The sending side: cuts a view into chunks.
pub struct Sender {
    view: Snapshot,
    /// What is still to be read, the first one from where the last chunk ended.
    ranges: VecDeque<Range>,
    /// The next chunk's number; `None` after the last one.
    next: Option<u32>,
    /// Bytes at which a chunk closes.
    chunk_bytes: usize,
}

impl Sender {
    /// Will send the records of `ranges` (ascending, see [`ranges`]) as `view` shows them.
    pub fn new(view: Snapshot, ranges: Vec<Range>) -> Sender {
        Sender { view, ranges: ranges.into(), next: Some(0), chunk_bytes: SNAPSHOT_CHUNK_BYTES }
    }

    /// Closes chunks earlier, so that a small state takes many.
    pub fn in_chunks_of(self, bytes: usize) -> Sender {
        Sender { chunk_bytes: bytes.min(SNAPSHOT_CHUNK_BYTES), ..self }
    }

    /// The next chunk, `None` after the last. An error leaves the place where it was: asking again is allowed.
    pub fn next_chunk(&mut self) -> Result<Option<Bytes>> {
        let Some(number) = self.next else { return Ok(None) };
        let mut chunk = BytesMut::with_capacity(self.chunk_bytes / 16);
        chunk.put_u32(0);
        chunk.put_u8(FORMAT);
        chunk.put_u32(number);
        chunk.put_u8(0);
        let mut ranges = self.ranges.clone();
        while let Some((start, end)) = ranges.pop_front() {
            let mut last_key = None;
            self.view.scan(&start, &end, Order::Forward, &mut |key, value| {
                chunk.put_u32(key.len() as u32);
                chunk.put_u32(value.len() as u32);
                chunk.put_slice(key);
                chunk.put_slice(value);
                if chunk.len() < self.chunk_bytes {
                    return ControlFlow::Continue(());
                }
                last_key = Some(keys::after(key));
                ControlFlow::Break(())
            })?;
            if let Some(rest) = last_key {
                ranges.push_front((rest, end));
                break;
            }
        }
        chunk[9] = u8::from(ranges.is_empty());
        let crc = crc32fast::hash(&chunk[4..]);
        chunk[..4].copy_from_slice(&crc.to_be_bytes());
        self.next = if ranges.is_empty() { None } else { Some(number + 1) };
        self.ranges = ranges;
        Ok(Some(chunk.freeze()))
    }
}

/// Where received chunks wait until all are there.
pub trait Spool: Send {
    /// Keeps a chunk after the others.
    fn push(&mut self, chunk: Bytes) -> Result<()>;

    /// The chunk with this number, from 0.
    fn chunk(&mut self, number: u32) -> Result<Bytes>;
}

/// In memory, for the simulator and for tests.
impl Spool for Vec<Bytes> {
    fn push(&mut self, chunk: Bytes) -> Result<()> {
        Vec::push(self, chunk);
        Ok(())
    }

    fn chunk(&mut self, number: u32) -> Result<Bytes> {
        self.get(number as usize).cloned().ok_or_else(|| corrupt(format!("chunk {number} is not spooled")))
    }
}

/// In a nameless file, which goes with the process whatever happens.
pub struct FileSpool {
    file: File,
    /// Where each chunk ends in the file.
    ends: Vec<u64>,
}

impl FileSpool {
    /// A new spool on the file system of `directory`.
    pub fn create(directory: &Path) -> Result<FileSpool> {
        let file = tempfile::tempfile_in(directory).map_err(failed)?;
        Ok(FileSpool { file, ends: Vec::new() })
    }
}

impl Spool for FileSpool {
    fn push(&mut self, chunk: Bytes) -> Result<()> {
        let start = self.ends.last().copied().unwrap_or(0);
        self.file.seek(std::io::SeekFrom::Start(start)).map_err(failed)?;
        self.file.write_all(&chunk).map_err(failed)?;
        self.ends.push(start + chunk.len() as u64);
        Ok(())
    }

    fn chunk(&mut self, number: u32) -> Result<Bytes> {
        let number = number as usize;
        let end = *self.ends.get(number).ok_or_else(|| corrupt(format!("chunk {number} is not spooled")))?;
        let start = if number == 0 { 0 } else { self.ends[number - 1] };
        // The length is that of a chunk which was received and kept, not one that a peer declared.
        let mut bytes = vec![0; (end - start) as usize];
        self.file.seek(std::io::SeekFrom::Start(start)).map_err(failed)?;
        self.file.read_exact(&mut bytes).map_err(failed)?;
        Ok(bytes.into())
    }
}

/// The receiving side: takes chunks until the last one.
pub struct Receiver<S> {
    spool: S,
    chunks: u32,
    complete: bool,
}

impl<S: Spool> Receiver<S> {
    /// Nothing received yet.
    pub fn new(spool: S) -> Receiver<S> {
        Receiver { spool, chunks: 0, complete: false }
    }

    /// Checks and keeps the next chunk; says whether it was the last. After an error the snapshot must be asked for
    /// anew.
    pub fn accept(&mut self, chunk: Bytes) -> Result<bool> {
        let (number, last) = check(&chunk)?;
        if self.complete || number != self.chunks {
            return Err(corrupt(format!("chunk {number} arrived where chunk {} was due", self.chunks)));
        }
        self.spool.push(chunk)?;
        self.chunks += 1;
        self.complete = last;
        Ok(last)
    }

    /// Whether the last chunk is there.
    pub fn is_complete(&self) -> bool {
        self.complete
    }

    /// Replaces the group's records by the received ones, atomically and durably.
    pub fn install(&mut self, engine: &dyn Engine, ranges: &[Range]) -> Result<()> {
        if !self.complete {
            return Err(corrupt(format!("only {} chunks of a snapshot arrived", self.chunks)));
        }
        let records = Records {
            spool: &mut self.spool,
            chunks: self.chunks,
            next: 0,
            chunk: Bytes::new(),
            last_key: Bytes::new(),
            ranges,
            failed: false,
        };
        engine.ingest(ranges, &mut records.map(|record| record.map(|(key, value)| (key, Some(value)))))
    }
}

/// The records of a complete snapshot, each chunk checked once more: the spool may lie on a disk.
struct Records<'a, S> {
    spool: &'a mut S,
    chunks: u32,
    next: u32,
    /// What is left of the current chunk.
    chunk: Bytes,
    last_key: Bytes,
    ranges: &'a [Range],
    failed: bool,
}

impl<S: Spool> Records<'_, S> {
    fn record(&mut self) -> Result<Option<(Bytes, Bytes)>> {
        while self.chunk.is_empty() {
            if self.next == self.chunks {
                return Ok(None);
            }
            let mut chunk = self.spool.chunk(self.next)?;
            check(&chunk)?;
            chunk.advance(HEADER_BYTES);
            self.chunk = chunk;
            self.next += 1;
        }
        if self.chunk.len() < RECORD_HEADER_BYTES {
            return Err(corrupt("a record of a snapshot is cut off".into()));
        }
        let key_bytes = self.chunk.get_u32() as usize;
        let value_bytes = self.chunk.get_u32() as usize;
        if self.chunk.len() < key_bytes || self.chunk.len() - key_bytes < value_bytes {
            return Err(corrupt("a record of a snapshot is cut off".into()));
        }
        let key = self.chunk.split_to(key_bytes);
        let value = self.chunk.split_to(value_bytes);
        if !self.ranges.iter().any(|(start, end)| *start <= key && key < *end) {
            return Err(corrupt(format!("a snapshot holds the foreign record {}", key.escape_ascii())));
        }
        if key <= self.last_key {
            return Err(corrupt(format!("a snapshot is out of order at {}", key.escape_ascii())));
        }
        self.last_key = key.clone();
        Ok(Some((key, value)))
    }
}

impl<S: Spool> Iterator for Records<'_, S> {
    type Item = Result<(Bytes, Bytes)>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let record = self.record().transpose();
        self.failed = matches!(record, Some(Err(_)));
        record
    }
}

/// Number of a chunk, and whether it is the last one.
fn check(chunk: &[u8]) -> Result<(u32, bool)> {
    let Some((header, _)) = chunk.split_first_chunk::<HEADER_BYTES>() else {
        return Err(corrupt(format!("a snapshot chunk of {} bytes", chunk.len())));
    };
    if chunk.len() > CHUNK_BYTES_MAX {
        return Err(corrupt(format!("a snapshot chunk of {} bytes", chunk.len())));
    }
    if crc32fast::hash(&chunk[4..]).to_be_bytes() != header[..4] {
        return Err(corrupt("a snapshot chunk fails its checksum".into()));
    }
    let &[_, _, _, _, format, n0, n1, n2, n3, last] = header;
    if format != FORMAT || last > 1 {
        return Err(corrupt(format!("a snapshot chunk of unknown format {format}")));
    }
    Ok((u32::from_be_bytes([n0, n1, n2, n3]), last == 1))
}

fn corrupt(message: String) -> Error {
    Error::Corrupt(message.into())
}

fn failed(error: std::io::Error) -> Error {
    match error.kind() {
        std::io::ErrorKind::StorageFull => Error::NoSpace(format!("snapshot spool: {error}").into()),
        _ => Error::Io(format!("snapshot spool: {error}").into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Rng;
    use crate::store::memory::MemoryEngine;
    use crate::store::{Batch, Read as _};

    const GROUP: GroupId = GroupId(3);

    fn slots() -> SlotRange {
        SlotRange::new(0, 8191).unwrap()
    }

    /// Records of group 3 and its slots, and of others around them.
    fn filled(records: usize, value_bytes: u64) -> MemoryEngine {
        let engine = MemoryEngine::new();
        let mut rng = Rng::new(5);
        let mut batch = Batch::default();
        for i in 0..records {
            let value = vec![b'x'; rng.below(value_bytes) as usize];
            batch.put(keys::head(0, format!("key{i}").as_bytes()), value);
        }
        for group in 2..5 {
            batch.put(keys::applied(GroupId(group)), format!("applied {group}"));
        }
        engine.write(&batch).unwrap();
        engine
    }

    fn all(engine: &MemoryEngine, ranges: &[Range]) -> Vec<(Bytes, Bytes)> {
        ranges.iter().flat_map(|(start, end)| crate::store::suite::all(engine, start, end, Order::Forward)).collect()
    }

    fn chunks(engine: &MemoryEngine) -> Vec<Bytes> {
        let mut sender = Sender::new(engine.snapshot().unwrap(), ranges(GROUP, Some(slots())));
        std::iter::from_fn(|| sender.next_chunk().unwrap()).collect()
    }

    fn received<S: Spool>(chunks: &[Bytes], spool: S) -> Receiver<S> {
        let mut receiver = Receiver::new(spool);
        for (i, chunk) in chunks.iter().enumerate() {
            assert_eq!(receiver.accept(chunk.clone()), Ok(i + 1 == chunks.len()));
        }
        receiver
    }

    #[test]
    fn golden_bytes_of_a_chunk() {
        let engine = MemoryEngine::new();
        let mut batch = Batch::default();
        batch.put(keys::counts(GROUP), "v");
        engine.write(&batch).unwrap();
        let chunks = chunks(&engine);
        assert_eq!(chunks.len(), 1);
        let body = b"\x01\0\0\0\0\x01\0\0\0\x0b\0\0\0\x01\xff\xff\0\0\0\0\0\0\0\x03\x02v";
        assert_eq!(&chunks[0][4..], body);
        assert_eq!(chunks[0][..4], crc32fast::hash(body).to_be_bytes());
    }

    #[test]
    fn what_was_read_is_installed_and_nothing_else() {
        let from = filled(3000, 3000);
        let ranges = ranges(GROUP, Some(slots()));
        let chunks = chunks(&from);
        assert!(chunks.len() > 1, "{} chunks", chunks.len());
        assert!(chunks.iter().all(|chunk| chunk.len() < SNAPSHOT_CHUNK_BYTES + 4096));

        // The target holds other values, keys that must go, and another group's records, which must stay.
        let to = filled(10, 10);
        let mut batch = Batch::default();
        batch.put(keys::session(GROUP, crate::base::SessionId(1)), "old");
        to.write(&batch).unwrap();
        received(&chunks, Vec::new()).install(&to, &ranges).unwrap();
        assert_eq!(all(&to, &ranges), all(&from, &ranges));
        assert_eq!(to.get(&keys::applied(GroupId(2))), Ok(Some(Bytes::from("applied 2"))));

        let directory = tempfile::tempdir().unwrap();
        let to = filled(10, 10);
        received(&chunks, FileSpool::create(directory.path()).unwrap()).install(&to, &ranges).unwrap();
        assert_eq!(all(&to, &ranges), all(&from, &ranges));
    }

    #[test]
    fn an_empty_group_is_one_chunk() {
        let chunks = chunks(&MemoryEngine::new());
        assert_eq!(chunks.len(), 1);
        let to = filled(10, 10);
        let ranges = ranges(GROUP, Some(slots()));
        received(&chunks, Vec::new()).install(&to, &ranges).unwrap();
        assert_eq!(all(&to, &ranges), []);
    }

    #[test]
    fn an_error_while_reading_does_not_lose_the_place() {
        let engine = filled(3000, 3000);
        let mut sender = Sender::new(engine.snapshot().unwrap(), ranges(GROUP, Some(slots())));
        let first = sender.next_chunk().unwrap().unwrap();
        engine.fail_next(crate::store::memory::Operation::Read, crate::store::memory::Fault::io());
        assert!(sender.next_chunk().is_err());
        let rest = std::iter::from_fn(|| sender.next_chunk().unwrap());
        assert_eq!(std::iter::once(first).chain(rest).collect::<Vec<_>>(), chunks(&engine));
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let chunks = chunks(&filled(3000, 3000));
        let mut receiver = Receiver::new(Vec::new());
        assert!(receiver.accept(chunks[1].clone()).is_err(), "the first chunk is missing");
        assert!(receiver.accept(Bytes::new()).is_err());
        let mut damaged = BytesMut::from(&chunks[0][..]);
        damaged[500] ^= 1;
        assert!(receiver.accept(damaged.freeze()).is_err());
        assert_eq!(receiver.accept(chunks[0].clone()), Ok(false));
        assert!(receiver.accept(chunks[0].clone()).is_err(), "it came twice");
        let engine = MemoryEngine::new();
        assert!(receiver.install(&engine, &ranges(GROUP, Some(slots()))).is_err(), "chunks are missing");

        let mut complete = received(&chunks, Vec::new());
        let error = complete.install(&engine, &ranges(GROUP, SlotRange::new(0, 9))).unwrap_err();
        assert!(error.to_string().contains("foreign record"), "{error}");
        assert_eq!(engine.figures().records, 0);
    }

    #[test]
    fn a_spool_damaged_on_disk_is_noticed() {
        let chunks = chunks(&filled(3000, 3000));
        let mut receiver = received(&chunks, Vec::new());
        receiver.spool[1] = chunks[1].slice(..chunks[1].len() - 1);
        let engine = MemoryEngine::new();
        assert!(receiver.install(&engine, &ranges(GROUP, Some(slots()))).is_err());
        assert_eq!(engine.figures().records, 0);
    }
}
