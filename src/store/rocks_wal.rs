//! Cuts a torn tail off RocksDB's write-ahead log before RocksDB opens it, and tells it from damage (rule 6).
//!
//! Every write of the log is synced before the next begins, so a power cut can spoil the last record only. A record
//! that cannot be read is therefore a torn tail if no other record *begins* behind it; otherwise synced data was
//! damaged, and the node must not start. RocksDB itself cannot tell: its modes either refuse both or cut both.
//!
//! The format, from RocksDB's "Write Ahead Log File Format": blocks of 32 KiB hold fragments, each with a header of
//! masked CRC32C u32, length u16, type u8, little-endian; a record is one FULL fragment or FIRST, MIDDLE ..., LAST.
//! A fragment never crosses a block; fewer bytes than a header at the end of a block are padding.
//!
//! Invariant: only bytes behind the last complete record of the newest file are ever cut. Whatever else is wrong,
//! in this file or an older one, is left to RocksDB, which is told to accept nothing.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use super::rocks::refuse;
use super::{Error, Result};

const BLOCK_BYTES: usize = 32 << 10;
const HEADER_BYTES: usize = 7;
const FULL: u8 = 1;
const FIRST: u8 = 2;
const MIDDLE: u8 = 3;
const LAST: u8 = 4;

/// Cuts what a crash left of an unfinished write. Returns how many bytes were cut.
pub(super) fn cut_torn_tail(directory: &Path) -> Result<u64> {
    let failed = |why: std::io::Error| refuse(directory, format!("its write-ahead log: {why}"));
    let Some((path, length)) = newest_file(directory).map_err(failed)? else { return Ok(0) };
    let mut scan = Scan::default();
    let mut file = File::open(&path).map_err(failed)?;
    let mut block = vec![0; BLOCK_BYTES];
    while !scan.is_decided() {
        let filled = fill(&mut file, &mut block).map_err(failed)?;
        if filled == 0 {
            break;
        }
        scan.block(&block[..filled]);
    }
    if let Some(after) = scan.record_after_damage {
        return Err(Error::Corrupt(
            format!(
                "{} is damaged at byte {} and goes on behind it at {after}: synced entries are lost. \
                 Nothing was changed; replace the disk and let the node join anew",
                path.display(),
                scan.good,
            )
            .into(),
        ));
    }
    if scan.good < length {
        let file = OpenOptions::new().write(true).open(&path).map_err(failed)?;
        file.set_len(scan.good).and_then(|()| file.sync_all()).map_err(failed)?;
    }
    Ok(length - scan.good)
}

/// The newest WAL file that is not empty.
fn newest_file(directory: &Path) -> std::io::Result<Option<(PathBuf, u64)>> {
    let mut newest: Option<(u64, PathBuf, u64)> = None;
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let name = entry.file_name();
        let number = name.to_str().and_then(|name| name.strip_suffix(".log")).and_then(|name| name.parse().ok());
        let Some(number) = number else { continue };
        let length = entry.metadata()?.len();
        if length > 0 && newest.as_ref().is_none_or(|(most, ..)| *most < number) {
            newest = Some((number, entry.path(), length));
        }
    }
    Ok(newest.map(|(_, path, length)| (path, length)))
}

/// Reads until the buffer is full or the file ends.
fn fill(file: &mut File, buffer: &mut [u8]) -> std::io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(bytes) => filled += bytes,
            Err(why) if why.kind() == ErrorKind::Interrupted => {}
            Err(why) => return Err(why),
        }
    }
    Ok(filled)
}

/// What the blocks told so far.
#[derive(Debug, Default)]
struct Scan {
    /// Bytes of the blocks before the current one.
    offset: u64,
    /// End of the last complete record of an undamaged beginning.
    good: u64,
    /// A FIRST fragment was read and its LAST not yet.
    in_record: bool,
    /// Something could not be read: from here on only the beginning of another record matters.
    damaged: bool,
    /// Where another record begins behind the damage.
    record_after_damage: Option<u64>,
}

impl Scan {
    fn is_decided(&self) -> bool {
        self.record_after_damage.is_some()
    }

    /// Takes the next block, shorter than a whole one only at the end of the file.
    fn block(&mut self, block: &[u8]) {
        let mut at = 0;
        while at + HEADER_BYTES <= block.len() && !self.is_decided() {
            let Some((kind, size)) = fragment(&block[at..]) else {
                if !self.damaged {
                    // The header itself may be what is damaged, so its length says nothing about where the next
                    // fragment begins: look at every byte. Later blocks begin with a header.
                    self.damaged = true;
                    at = (at + 1..block.len()).find(|&from| is_beginning(&block[from..])).unwrap_or(block.len());
                    continue;
                }
                break;
            };
            let begins = kind == FULL || kind == FIRST;
            let fits = begins != self.in_record;
            if self.damaged || !fits {
                self.damaged = true;
                if begins {
                    self.record_after_damage = Some(self.offset + at as u64);
                }
            } else {
                self.in_record = kind == FIRST || kind == MIDDLE;
                if !self.in_record {
                    self.good = self.offset + (at + size) as u64;
                }
            }
            at += size;
        }
        self.offset += block.len() as u64;
    }
}

fn is_beginning(bytes: &[u8]) -> bool {
    matches!(bytes.get(6), Some(&(FULL | FIRST))) && fragment(bytes).is_some()
}

/// Type and whole size of the fragment at the start of `bytes`, if it is intact.
fn fragment(bytes: &[u8]) -> Option<(u8, usize)> {
    let (header, rest) = bytes.split_first_chunk::<HEADER_BYTES>()?;
    let &[c0, c1, c2, c3, l0, l1, kind] = header;
    let length = usize::from(u16::from_le_bytes([l0, l1]));
    if !(FULL..=LAST).contains(&kind) || rest.len() < length {
        return None;
    }
    let crc = crc32c(&bytes[6..HEADER_BYTES + length]);
    // Masked, so that a checksum over bytes that hold checksums is not a trivial one.
    let masked = crc.rotate_right(15).wrapping_add(0xa282_ead8);
    (masked == u32::from_le_bytes([c0, c1, c2, c3])).then_some((kind, HEADER_BYTES + length))
}

/// CRC32C (Castagnoli), reflected. Only for files of RocksDB; ours use CRC32.
fn crc32c(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc: u32, &byte| (crc >> 8) ^ CRC32C[usize::from(crc as u8 ^ byte)])
}

const CRC32C: [u32; 256] = {
    let mut table = [0; 256];
    let mut i = 0;
    while i < 256 {
        let mut crc = i as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 != 0 { (crc >> 1) ^ 0x82f6_3b78 } else { crc >> 1 };
            bit += 1;
        }
        table[i] = crc;
        i += 1;
    }
    table
};
