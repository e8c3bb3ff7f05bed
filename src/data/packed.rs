//! Pairs of byte strings in one: the payload of a small hash.
//!
//! ```text
//! per pair, in order: length varint | bytes | length varint | bytes
//! varint: seven bits per byte, lowest first; the highest bit says that more follow
//! ```
//!
//! Invariant: these bytes are on disk and in the log; the golden test holds them. Reading never trusts a length
//! further than the payload goes.

use bytes::{BufMut, Bytes, BytesMut};

use super::{Error, Result};
use crate::store;

/// Two byte strings that belong together: a field and its value.
pub type Pair = (Bytes, Bytes);

/// Packs pairs.
pub fn encode(pairs: &[Pair]) -> Bytes {
    let bytes = pairs.iter().map(|(first, second)| first.len() + second.len() + 4).sum();
    let mut out = BytesMut::with_capacity(bytes);
    for (first, second) in pairs {
        for part in [first, second] {
            put_varint(&mut out, part.len());
            out.put_slice(part);
        }
    }
    out.freeze()
}

/// All pairs; they share the payload's memory.
pub fn decode(payload: &Bytes) -> Result<Vec<Pair>> {
    pairs(payload)
        .map(|pair| pair.map(|(first, second)| (payload.slice_ref(first), payload.slice_ref(second))))
        .collect()
}

/// Reads pairs one by one, without taking the others apart. An error is the last item that means anything.
pub fn pairs(payload: &[u8]) -> Pairs<'_> {
    Pairs(payload)
}

/// See [`pairs`].
pub struct Pairs<'a>(&'a [u8]);

impl<'a> Pairs<'a> {
    fn part(&mut self) -> Result<&'a [u8]> {
        let length = take_varint(&mut self.0).ok_or_else(damaged)?;
        let (part, rest) = self.0.split_at_checked(length).ok_or_else(damaged)?;
        self.0 = rest;
        Ok(part)
    }
}

impl<'a> Iterator for Pairs<'a> {
    type Item = Result<(&'a [u8], &'a [u8])>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        Some(self.part().and_then(|first| Ok((first, self.part()?))))
    }
}

fn put_varint(out: &mut BytesMut, mut number: usize) {
    while number >= 0x80 {
        out.put_u8(number as u8 | 0x80);
        number >>= 7;
    }
    out.put_u8(number as u8);
}

fn take_varint(rest: &mut &[u8]) -> Option<usize> {
    let mut number = 0;
    for shift in (0..35).step_by(7) {
        let (byte, after) = rest.split_first()?;
        *rest = after;
        number |= usize::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

fn damaged() -> Error {
    Error::Store(store::Error::Corrupt("packed pairs have an unknown form".into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden_bytes() {
        let pairs = [("b", "1"), ("", ""), ("a", "22")].map(|(first, second)| (first.into(), second.into()));
        let payload = encode(&pairs);
        assert_eq!(payload.escape_ascii().to_string(), r"\x01b\x011\x00\x00\x01a\x0222");
        assert_eq!(decode(&payload), Ok(pairs.to_vec()));
        let long = [(Bytes::from(vec![b'x'; 300]), Bytes::new())];
        assert_eq!(encode(&long)[..2], [0xac, 2]);
        assert_eq!(decode(&encode(&long)), Ok(long.to_vec()));
        assert_eq!(decode(&Bytes::new()), Ok(vec![]));
    }

    #[test]
    fn damage_is_told() {
        for payload in [&b"\x02a"[..], b"\x01", b"\x7f", b"\x01a", b"\x01a\x02b", &[0xff; 10]] {
            assert!(decode(&Bytes::copy_from_slice(payload)).is_err(), "{}", payload.escape_ascii());
        }
    }
}
