//! Fields as bytes: in the payload of a small hash, in the head of a spread one, and in the records of deadlines.
//!
//! ```text
//! small    per field: name | value | and, if one of them has a deadline, the deadline (varint, 0 for none)
//! spread   head: number of fields u64 | and, if one has a deadline, number of those u64
//!          Deadline record: deadline u64
//!          Due record: its name is deadline u64 | name of the field; no value
//! ```
//!
//! Numbers are big-endian, milliseconds since the Unix epoch; names, values and varints as in [`packed`]. Invariant:
//! these bytes are on disk and in the log; the golden tests hold them.

use bytes::{BufMut, Bytes, BytesMut};

use crate::base::Millis;
use crate::data::{Error, FieldEnds, Result, packed};
use crate::store::{self, keys};

/// A field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// Its name.
    pub name: Bytes,
    /// Its value.
    pub value: Bytes,
    /// It is dead when the group's stamp has reached this.
    pub end: Option<Millis>,
}

/// A field in the payload that it was read from.
pub struct Entry<'a> {
    pub name: &'a [u8],
    pub value: &'a [u8],
    pub end: Option<Millis>,
}

/// About the bytes of packed fields without their deadlines.
pub fn weight(fields: &[Field]) -> usize {
    fields.iter().map(|field| field.name.len() + field.value.len() + 4).sum()
}

/// Packs fields; whether deadlines are among them says [`ends`].
pub fn encode(fields: &[Field], with_deadlines: bool) -> Bytes {
    let bytes = weight(fields);
    let mut out = BytesMut::with_capacity(if with_deadlines { bytes + 6 * fields.len() } else { bytes });
    for field in fields {
        packed::put_word(&mut out, &field.name);
        packed::put_word(&mut out, &field.value);
        if with_deadlines {
            packed::put_varint(&mut out, field.end.map_or(0, |end| end.0));
        }
    }
    out.freeze()
}

/// Reads packed fields one by one. An error is the last item that means anything.
pub fn entries(payload: &[u8], with_deadlines: bool) -> impl Iterator<Item = Result<Entry<'_>>> {
    let mut rest = payload;
    std::iter::from_fn(move || (!rest.is_empty()).then(|| take_entry(&mut rest, with_deadlines)))
}

fn take_entry<'a>(rest: &mut &'a [u8], with_deadlines: bool) -> Result<Entry<'a>> {
    let (name, value) = (packed::take_word(rest)?, packed::take_word(rest)?);
    let end = if with_deadlines { packed::take_number(rest)? } else { 0 };
    Ok(Entry { name, value, end: (end > 0).then_some(Millis(end)) })
}

/// When the first of these fields ends, and the last if all do.
pub fn ends(fields: &[Field]) -> Option<FieldEnds> {
    let first = fields.iter().filter_map(|field| field.end).min()?;
    let all = fields.iter().map(|field| field.end).collect::<Option<Vec<_>>>();
    Some(FieldEnds { first, last: all.and_then(|ends| ends.into_iter().max()) })
}

/// How many records a spread hash has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Numbers {
    /// Fields, dead ones included.
    pub fields: u64,
    /// Fields with a deadline among them.
    pub deadlines: u64,
}

impl Numbers {
    pub fn encode(self, with_deadlines: bool) -> Bytes {
        let mut out = BytesMut::with_capacity(16);
        out.put_u64(self.fields);
        if with_deadlines {
            out.put_u64(self.deadlines);
        }
        out.freeze()
    }

    pub fn decode(payload: &[u8], with_deadlines: bool) -> Result<Numbers> {
        match (payload.as_chunks::<8>(), with_deadlines) {
            (([fields], []), false) => Ok(Numbers { fields: u64::from_be_bytes(*fields), deadlines: 0 }),
            (([fields, deadlines], []), true) => {
                Ok(Numbers { fields: u64::from_be_bytes(*fields), deadlines: u64::from_be_bytes(*deadlines) })
            }
            _ => Err(damaged()),
        }
    }
}

/// A deadline as the value of its record.
pub fn encode_end(end: Millis) -> Bytes {
    Bytes::copy_from_slice(&end.0.to_be_bytes())
}

/// Reads a deadline from the value of its record.
pub fn decode_end(value: &[u8]) -> Result<Millis> {
    value.try_into().map(|end| Millis(u64::from_be_bytes(end))).map_err(|_| damaged())
}

/// The name of a field's record among those in order of time.
pub fn due_name(end: Millis, name: &[u8]) -> Vec<u8> {
    [&end.0.to_be_bytes(), name].concat()
}

/// Deadline and name of a field from the key of its record in order of time.
pub fn parse_due(record: &[u8]) -> Result<(Millis, &[u8])> {
    let element = keys::parse_element(record).ok_or_else(damaged)?;
    let (end, name) = element.element.split_first_chunk::<8>().ok_or_else(damaged)?;
    Ok((Millis(u64::from_be_bytes(*end)), name))
}

pub fn damaged() -> Error {
    Error::Store(store::Error::Corrupt("a hash's head and its field records disagree".into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(name: &'static str, value: &'static str, end: Option<u64>) -> Field {
        Field { name: name.into(), value: value.into(), end: end.map(Millis) }
    }

    #[test]
    fn golden_bytes() {
        let fields = [field("b", "1", None), field("a", "22", Some(300))];
        let payload = encode(&fields, true);
        assert_eq!(payload.escape_ascii().to_string(), r"\x01b\x011\x00\x01a\x0222\xac\x02");
        let read = entries(&payload, true).map(|entry| entry.map(|entry| (entry.name.to_vec(), entry.end)));
        assert_eq!(
            read.collect::<Result<Vec<_>>>(),
            Ok(vec![(b"b".to_vec(), None), (b"a".to_vec(), Some(Millis(300)))])
        );
        let pairs = fields.clone().map(|field| (field.name, field.value));
        assert_eq!(encode(&fields, false), packed::encode(&pairs), "without deadlines: what it always was");
        let numbers = Numbers { fields: 3, deadlines: 2 };
        assert_eq!(&numbers.encode(true)[..], [0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 2]);
        assert_eq!(&numbers.encode(false)[..], [0, 0, 0, 0, 0, 0, 0, 3]);
        assert_eq!(Numbers::decode(&numbers.encode(true), true), Ok(numbers));
        assert_eq!(decode_end(&encode_end(Millis(7))), Ok(Millis(7)));
        assert_eq!(due_name(Millis(0x0102), b"f"), b"\0\0\0\0\0\0\x01\x02f");
    }

    #[test]
    fn damage_is_told() {
        assert!(entries(b"\x01a\x01b", true).any(|entry| entry.is_err()));
        assert!(Numbers::decode(&[0; 8], true).is_err() && Numbers::decode(&[0; 16], false).is_err());
        assert!(decode_end(&[0; 7]).is_err());
        assert!(parse_due(&keys::ordered(0, b"k", keys::ElementKind::Due, &[0; 7])).is_err());
    }

    #[test]
    fn a_hash_ends_when_all_its_fields_do() {
        let of = |ends_of: &[Option<u64>]| {
            let fields: Vec<_> = ends_of.iter().map(|end| field("f", "v", *end)).collect();
            ends(&fields).map(|ends| (ends.first.0, ends.last.map(|last| last.0)))
        };
        assert_eq!(of(&[]), None);
        assert_eq!(of(&[None, None]), None);
        assert_eq!(of(&[Some(5), None, Some(3)]), Some((3, None)));
        assert_eq!(of(&[Some(5), Some(9), Some(3)]), Some((3, Some(9))));
    }
}
