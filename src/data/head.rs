//! The record of a key: its type, deadline and, for a small value, all of it.
//!
//! ```text
//! byte 0            type (low nibble) | 0x80 deadline follows | 0x40 raw, of a string; compact, of others | 0x20 spread |
//!                   0x10 fields end, of a hash only
//! if 0x80, 8 bytes  deadline, u64 BE, milliseconds since the Unix epoch
//! if 0x10, 16 bytes the earliest deadline of a field, u64 BE, and the latest if every field has one, else 0
//! rest              payload: a string's bytes; what else it is, the type's own module says
//! ```
//!
//! Invariant: these bytes are on disk and in the log of every replica; the golden test holds them. A record with a
//! bit or a type that this version does not know is refused, never guessed at.

use bytes::{BufMut, Bytes, BytesMut};

use crate::base::Millis;
use crate::store;

const DEADLINE: u8 = 0x80;
const RAW: u8 = 0x40;
const SPREAD: u8 = 0x20;
const FIELDS: u8 = 0x10;
const KIND: u8 = 0x0f;

/// What a key holds. The number is on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// Bytes.
    String = 0,
    /// Fields with values.
    Hash = 1,
    /// A sequence.
    List = 2,
    /// Distinct members.
    Set = 3,
    /// Members with scores.
    Zset = 4,
    /// Entries with ids.
    Stream = 5,
}

impl Kind {
    /// As `TYPE` and `SCAN ... TYPE` name it.
    pub const fn name(self) -> &'static str {
        match self {
            Kind::String => "string",
            Kind::Hash => "hash",
            Kind::List => "list",
            Kind::Set => "set",
            Kind::Zset => "zset",
            Kind::Stream => "stream",
        }
    }

    /// The type with this name, in either case.
    pub fn named(name: &[u8]) -> Option<Kind> {
        (0..=KIND).filter_map(Kind::from_bits).find(|kind| kind.name().as_bytes().eq_ignore_ascii_case(name))
    }

    const fn from_bits(bits: u8) -> Option<Kind> {
        Some(match bits {
            0 => Kind::String,
            1 => Kind::Hash,
            2 => Kind::List,
            3 => Kind::Set,
            4 => Kind::Zset,
            5 => Kind::Stream,
            _ => return None,
        })
    }
}

/// When fields of a hash end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FieldEnds {
    /// The earliest deadline of a field.
    pub first: Millis,
    /// The latest one, if every field has a deadline: then nothing is left of the hash.
    pub last: Option<Millis>,
}

/// A decoded head record. Cheap to clone: the payload is shared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// What the key holds.
    pub kind: Kind,
    /// A string that was built by APPEND or SETRANGE: `OBJECT ENCODING` says `raw` for it, as Redis does.
    pub raw: bool,
    /// The value has element records; the payload then only tells about them.
    pub spread: bool,
    /// A spread hash, set or sorted set that a Redis would still keep in one piece: `OBJECT ENCODING` says so. Never of
    /// others.
    pub compact: bool,
    /// The key is dead when the group's stamp has reached this.
    pub deadline: Option<Millis>,
    /// Of a hash some of whose fields have deadlines.
    pub fields: Option<FieldEnds>,
    /// The value itself, or what is kept about a spread one.
    pub payload: Bytes,
}

impl Head {
    /// A value in one record, without a deadline.
    pub fn new(kind: Kind, payload: impl Into<Bytes>) -> Head {
        Head { kind, raw: false, spread: false, compact: false, deadline: None, fields: None, payload: payload.into() }
    }

    /// A string without a deadline.
    pub fn string(value: impl Into<Bytes>) -> Head {
        Head::new(Kind::String, value)
    }

    /// The same value with another deadline.
    pub fn with_deadline(self, deadline: Option<Millis>) -> Head {
        Head { deadline, ..self }
    }

    /// Whether a Redis would keep the value in one piece, however it is kept here.
    pub fn is_one_piece(&self) -> bool {
        !self.spread || self.compact
    }

    /// When the key is dead: at its deadline, or with the last of its fields.
    pub fn end(&self) -> Option<Millis> {
        end(self.deadline, self.fields)
    }

    /// The record's value.
    pub fn encode(&self) -> Bytes {
        let extra = if self.fields.is_some() { 25 } else { 9 };
        let mut out = BytesMut::with_capacity(extra + self.payload.len());
        let mut first = self.kind as u8;
        first |= if self.raw || self.compact { RAW } else { 0 };
        first |= if self.spread { SPREAD } else { 0 };
        first |= if self.deadline.is_some() { DEADLINE } else { 0 };
        first |= if self.fields.is_some() { FIELDS } else { 0 };
        out.put_u8(first);
        if let Some(deadline) = self.deadline {
            out.put_u64(deadline.0);
        }
        if let Some(fields) = self.fields {
            out.put_u64(fields.first.0);
            out.put_u64(fields.last.map_or(0, |last| last.0));
        }
        out.put_slice(&self.payload);
        out.freeze()
    }

    /// Reads a record's value; the payload shares its memory. `Corrupt` if this version did not write it.
    pub fn decode(record: &Bytes) -> store::Result<Head> {
        let parsed = parse(record)?;
        let has = |flag| record[0] & flag != 0;
        Ok(Head {
            kind: parsed.kind,
            raw: has(RAW) && parsed.kind == Kind::String,
            spread: has(SPREAD),
            compact: has(RAW) && parsed.kind != Kind::String,
            deadline: parsed.deadline,
            fields: parsed.fields,
            payload: record.slice(record.len() - parsed.payload.len()..),
        })
    }
}

/// Type of a record and when its key is dead, without its value: for scans, which see many records they skip.
pub fn peek(record: &[u8]) -> store::Result<(Kind, Option<Millis>)> {
    parse(record).map(|parsed| (parsed.kind, end(parsed.deadline, parsed.fields)))
}

fn end(deadline: Option<Millis>, fields: Option<FieldEnds>) -> Option<Millis> {
    let last = fields.and_then(|fields| fields.last);
    deadline.into_iter().chain(last).min()
}

/// A record taken apart.
struct Parsed<'a> {
    kind: Kind,
    deadline: Option<Millis>,
    fields: Option<FieldEnds>,
    payload: &'a [u8],
}

fn parse(record: &[u8]) -> store::Result<Parsed<'_>> {
    let damaged = || store::Error::Corrupt("the record of a key has an unknown form".into());
    let (&first, mut payload) = record.split_first().ok_or_else(damaged)?;
    let kind = Kind::from_bits(first & KIND).ok_or_else(damaged)?;
    if first & FIELDS != 0 && kind != Kind::Hash {
        return Err(damaged());
    }
    let mut number = |is_there: bool| {
        if !is_there {
            return Ok(None);
        }
        let (number, rest) = payload.split_first_chunk::<8>().ok_or_else(damaged)?;
        payload = rest;
        Ok(Some(Millis(u64::from_be_bytes(*number))))
    };
    let deadline = number(first & DEADLINE != 0)?;
    let (earliest, latest) = (number(first & FIELDS != 0)?, number(first & FIELDS != 0)?);
    let fields = earliest.map(|first| FieldEnds { first, last: latest.filter(|last| last.0 > 0) });
    Ok(Parsed { kind, deadline, fields, payload })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn golden(head: Head, bytes: &[u8]) {
        let record = head.encode();
        assert_eq!(record.escape_ascii().to_string(), bytes.escape_ascii().to_string());
        assert_eq!(Head::decode(&record), Ok(head.clone()));
        assert_eq!(peek(&record), Ok((head.kind, head.end())));
    }

    #[test]
    fn golden_bytes() {
        golden(Head::string("v"), b"\x00v");
        golden(Head::string(""), b"\x00");
        golden(
            Head { raw: true, ..Head::string("v").with_deadline(Some(Millis(0x0102030405060708))) },
            b"\xc0\x01\x02\x03\x04\x05\x06\x07\x08v",
        );
        golden(Head { spread: true, ..Head::new(Kind::Hash, &b"\x05"[..]) }, b"\x21\x05");
        golden(Head { spread: true, compact: true, ..Head::new(Kind::Set, &b"\x05"[..]) }, b"\x63\x05");
        let ends = FieldEnds { first: Millis(3), last: Some(Millis(0x0405)) };
        golden(
            Head { fields: Some(ends), ..Head::new(Kind::Hash, "p") },
            b"\x11\0\0\0\0\0\0\0\x03\0\0\0\0\0\0\x04\x05p",
        );
        golden(
            Head {
                fields: Some(FieldEnds { last: None, ..ends }),
                deadline: Some(Millis(2)),
                spread: true,
                ..Head::new(Kind::Hash, "")
            },
            b"\xb1\0\0\0\0\0\0\0\x02\0\0\0\0\0\0\0\x03\0\0\0\0\0\0\0\0",
        );
        for (kind, number) in [(Kind::List, 2), (Kind::Set, 3), (Kind::Zset, 4), (Kind::Stream, 5)] {
            golden(Head::new(kind, "p"), &[number, b'p']);
        }
    }

    #[test]
    fn a_key_is_dead_at_its_deadline_or_with_its_last_field() {
        let head = |deadline: Option<u64>, last: Option<u64>| {
            let fields = Some(FieldEnds { first: Millis(1), last: last.map(Millis) });
            Head { fields, ..Head::new(Kind::Hash, "") }.with_deadline(deadline.map(Millis)).end()
        };
        assert_eq!(head(None, None), None);
        assert_eq!(head(Some(5), None), Some(Millis(5)));
        assert_eq!(head(None, Some(5)), Some(Millis(5)));
        assert_eq!(head(Some(7), Some(5)), Some(Millis(5)));
        assert_eq!(head(Some(5), Some(7)), Some(Millis(5)));
    }

    #[test]
    fn unknown_forms_are_refused() {
        for record in [
            &b""[..],
            b"\x10v",
            b"\x10\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0v",
            b"\x11\0\0\0\0\0\0\0\x03",
            b"\x06",
            b"\x0f",
            b"\x80\0\0\0\0\0\0\0",
        ] {
            assert!(matches!(Head::decode(&Bytes::copy_from_slice(record)), Err(store::Error::Corrupt(_))));
            assert!(peek(record).is_err());
        }
    }
}
