//! Redis's serialized values: what DUMP gives and RESTORE takes, in every form that a Redis up to 7.2 has written, and
//! the two that 7.4 added for hashes whose fields have deadlines.
//!
//! ```text
//! 1 byte     type and form ([`read`] lists them)
//! ...        the value
//! 2 bytes    version of the format, little-endian
//! 8 bytes    CRC-64 (Jones) of everything before it, little-endian
//! ```
//!
//! Sources: Redis's documentation of DUMP and RESTORE and the published descriptions of its file format, its listpack,
//! ziplist, zipmap and intset; every form was checked against what redis-server 7.0.15 writes and takes.
//!
//! Invariant: a payload comes from a client, with a checksum that anybody can compute. No length in it is trusted
//! further than there are bytes, nothing is reserved for a declared size, and what a payload unfolds to in memory is
//! bounded ([`UNFOLDED_BYTES_MAX`]). Knows values, not keys: no record, no deadline of a key.

mod crc64;
mod input;
mod intset;
mod listpack;
mod lzf;
mod output;
mod read;
pub mod stream;
mod write;
mod ziplist;
mod zipmap;

use bytes::Bytes;

/// The version that Redis 7.2 writes.
pub const VERSION: u16 = 11;
/// The version that Redis 7.4 writes: only what 7.2 has no form for is written with it. Later ones are refused.
pub const VERSION_OF_DEADLINES: u16 = 12;
/// Deadlines of fields are below this, in milliseconds since the Unix epoch.
const FIELD_DEADLINE_END: u64 = 1 << 48;
/// What a payload may take in memory when it is taken apart, elements at their own size and this module's: a small
/// payload may unfold to hundreds of times its length.
pub const UNFOLDED_BYTES_MAX: usize = 256 << 20;

const VERSION_BYTES: usize = 2;
const FOOTER_BYTES: usize = VERSION_BYTES + 8;

/// A value as a client knows it.
#[derive(Clone, Debug, PartialEq)]
pub enum Object {
    /// Bytes.
    String(Bytes),
    /// Elements in order.
    List(Vec<Bytes>),
    /// Distinct members.
    Set(Vec<Bytes>),
    /// Distinct fields with their values.
    Hash(Vec<(Bytes, Bytes)>),
    /// Distinct fields with their values and, in milliseconds since the Unix epoch, deadlines.
    TimedHash(Vec<(Bytes, Bytes, Option<u64>)>),
    /// Distinct members with their scores, none of which is NaN.
    Zset(Vec<(Bytes, f64)>),
    /// Entries in order, and groups of consumers.
    Stream(stream::Stream),
}

/// Why a payload is not taken.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
pub enum Error {
    /// Not made by DUMP of a version that is known, or damaged since.
    #[error("version or checksum are wrong")]
    Footer,
    /// Made by nobody: its parts contradict each other.
    #[error("bad data: {0}")]
    Damaged(&'static str),
    /// A type that has no value here.
    #[error("values of this type are not supported")]
    Unsupported,
    /// More than is taken apart at once.
    #[error("too large when taken apart")]
    TooLarge,
}

type Result<T> = std::result::Result<T, Error>;

/// The value in a payload of DUMP.
pub fn load(payload: &Bytes) -> Result<Object> {
    read::object(unsealed(payload, 1)?)
}

/// What is in front of a good footer, at least so many bytes.
fn unsealed(payload: &Bytes, least: usize) -> Result<Bytes> {
    let checked = payload.len().checked_sub(8).ok_or(Error::Footer)?;
    let body = checked.checked_sub(VERSION_BYTES).filter(|body| *body >= least).ok_or(Error::Footer)?;
    let version = u16::from_le_bytes([payload[body], payload[body + 1]]);
    let checksum = crc64::checksum(&payload[..checked]).to_le_bytes();
    if version > VERSION_OF_DEADLINES || payload[checked..] != checksum {
        return Err(Error::Footer);
    }
    Ok(payload.slice(..body))
}

/// What precedes a library in a payload of FUNCTION DUMP.
const LIBRARY: u8 = 0xf5;

/// Source texts of libraries in the footer's form: what FUNCTION DUMP gives.
pub fn dump_functions<'a>(codes: impl Iterator<Item = &'a [u8]>) -> Bytes {
    let mut body = Vec::new();
    for code in codes {
        body.push(LIBRARY);
        output::put_string(&mut body, code);
    }
    sealed(body, VERSION)
}

/// The source texts in a payload of FUNCTION DUMP, which may be none.
pub fn load_functions(payload: &Bytes) -> Result<Vec<Bytes>> {
    let body = unsealed(payload, 0)?;
    let mut input = input::Input::new(body);
    let mut codes = Vec::new();
    while !input.is_empty() {
        if input.byte()? != LIBRARY {
            return Err(Error::Unsupported);
        }
        let code = input.string()?;
        input.collect(&mut codes, code)?;
    }
    Ok(codes)
}

/// A value as DUMP gives it. A small one (`packed`) is written in one piece, as Redis keeps it in memory.
pub fn dump(object: &Object, packed: bool) -> Bytes {
    dump_as(object, packed, VERSION)
}

/// A value for a Redis that reads this version of the format and none later, from 10 on; a hash with deadlines takes
/// the version that has a form for it.
pub fn dump_as(object: &Object, packed: bool, version: u16) -> Bytes {
    let version = match object {
        Object::TimedHash(_) => version.max(VERSION_OF_DEADLINES),
        _ => version,
    };
    sealed(write::object(object, packed, version), version)
}

/// A type and a value with the footer that makes them a payload.
pub fn sealed(mut body: Vec<u8>, version: u16) -> Bytes {
    body.reserve(FOOTER_BYTES);
    body.extend_from_slice(&version.to_le_bytes());
    let checksum = crc64::checksum(&body);
    body.extend_from_slice(&checksum.to_le_bytes());
    body.into()
}

#[cfg(test)]
mod tests;
