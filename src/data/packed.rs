//! Byte strings in one: words, the payload of a small list or set, and pairs of them, that of a small hash.
//!
//! ```text
//! per word, in order: length varint | bytes
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

/// Packs words.
pub fn encode_words(words: &[Bytes]) -> Bytes {
    let mut out = BytesMut::with_capacity(words.iter().map(|word| word.len() + 2).sum());
    words.iter().for_each(|word| put_word(&mut out, word));
    out.freeze()
}

/// All words; they share the payload's memory.
pub fn decode_words(payload: &Bytes) -> Result<Vec<Bytes>> {
    words(payload).map(|word| word.map(|word| payload.slice_ref(word))).collect()
}

/// Reads words one by one. An error is the last item that means anything.
pub fn words(payload: &[u8]) -> impl Iterator<Item = Result<&[u8]>> {
    let mut rest = Pairs(payload);
    std::iter::from_fn(move || (!rest.0.is_empty()).then(|| rest.part()))
}

/// Appends one word.
pub fn put_word(out: &mut BytesMut, word: &[u8]) {
    put_varint(out, word.len() as u64);
    out.put_slice(word);
}

/// Takes one word from the front.
pub fn take_word<'a>(rest: &mut &'a [u8]) -> Result<&'a [u8]> {
    let mut parts = Pairs(rest);
    let word = parts.part()?;
    *rest = parts.0;
    Ok(word)
}

/// Takes one number from the front.
#[inline]
pub fn take_number(rest: &mut &[u8]) -> Result<u64> {
    take_varint(rest).ok_or_else(damaged)
}

/// Packs pairs.
pub fn encode(pairs: &[Pair]) -> Bytes {
    let bytes = pairs.iter().map(|(first, second)| first.len() + second.len() + 4).sum();
    let mut out = BytesMut::with_capacity(bytes);
    for (first, second) in pairs {
        put_word(&mut out, first);
        put_word(&mut out, second);
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
    #[inline]
    fn part(&mut self) -> Result<&'a [u8]> {
        let length = take_number(&mut self.0)?;
        let length = usize::try_from(length).map_err(|_| damaged())?;
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

/// Appends one number.
pub fn put_varint(out: &mut BytesMut, mut number: u64) {
    while number >= 0x80 {
        out.put_u8(number as u8 | 0x80);
        number >>= 7;
    }
    out.put_u8(number as u8);
}

#[inline]
fn take_varint(rest: &mut &[u8]) -> Option<u64> {
    // Most lengths and counts are one byte.
    if let Some((&byte, after)) = rest.split_first()
        && byte < 0x80
    {
        *rest = after;
        return Some(byte.into());
    }
    take_long_varint(rest)
}

fn take_long_varint(rest: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (byte, after) = rest.split_first()?;
        *rest = after;
        number |= u64::from(byte & 0x7f) << shift;
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
        let words = ["b", "", "22"].map(Bytes::from);
        assert_eq!(encode_words(&words).escape_ascii().to_string(), r"\x01b\x00\x0222");
        assert_eq!(decode_words(&encode_words(&words)), Ok(words.to_vec()));
        let mut number = BytesMut::new();
        put_varint(&mut number, u64::MAX);
        assert_eq!(take_number(&mut &number[..]), Ok(u64::MAX));
    }

    #[test]
    fn damage_is_told() {
        for payload in [&b"\x02a"[..], b"\x01", &[0xff; 10]] {
            assert!(decode_words(&Bytes::copy_from_slice(payload)).is_err(), "{}", payload.escape_ascii());
        }
        for payload in [&b"\x02a"[..], b"\x01", b"\x7f", b"\x01a", b"\x01a\x02b", &[0xff; 10]] {
            assert!(decode(&Bytes::copy_from_slice(payload)).is_err(), "{}", payload.escape_ascii());
        }
    }
}
