//! LZF, the compression of long strings: literal runs, and copies of what came before.
//!
//! ```text
//! 000nnnnn                     n + 1 literal bytes follow
//! nnnooooo oooooooo            n + 2 bytes from o + 1 bytes before, n from 1 to 6
//! 111ooooo nnnnnnnn oooooooo   n + 9 bytes from o + 1 bytes before
//! ```
//!
//! Source: the description of the format in LibLZF by Marc Lehmann. Any greedy search for copies gives a valid result;
//! this one's bytes are not always those of Redis, what they unfold to is.

use super::{Error, Result};

const LITERALS_MAX: usize = 32;
const COPY_MIN: usize = 3;
const COPY_MAX: usize = 264;
const DISTANCE_MAX: usize = 1 << 13;
/// Redis does not compress for less.
const GAIN_MIN: usize = 4;
/// The most bytes that one compressed byte stands for, rounded up: a copy of 264 takes three.
const EXPANSION_MAX: usize = 88;
/// Bits of the table of places; smaller for short strings, because it is cleared for each.
const TABLE_BITS: std::ops::RangeInclusive<u32> = 8..=14;

/// The string that compressed bytes stand for; it must have the declared length.
pub fn decompress(compressed: &[u8], length: usize) -> Result<Vec<u8>> {
    const DAMAGED: Error = Error::Damaged("compressed bytes");
    if length > compressed.len().saturating_mul(EXPANSION_MAX) {
        return Err(DAMAGED);
    }
    let mut out: Vec<u8> = Vec::new();
    let mut rest = compressed;
    let mut take = |count: usize| rest.split_off(..count).ok_or(DAMAGED);
    while out.len() < length {
        let control = usize::from(take(1)?[0]);
        if control < LITERALS_MAX {
            out.extend_from_slice(take(control + 1)?);
            continue;
        }
        let mut count = (control >> 5) + 2;
        if count == 9 {
            count += usize::from(take(1)?[0]);
        }
        let distance = ((control & 0x1f) << 8 | usize::from(take(1)?[0])) + 1;
        let from = out.len().checked_sub(distance).ok_or(DAMAGED)?;
        // It may copy what it just wrote: byte after byte.
        (from..from + count).for_each(|at| out.push(out[at]));
    }
    if out.len() == length && rest.is_empty() { Ok(out) } else { Err(DAMAGED) }
}

/// Compresses a string, if that saves enough.
pub fn compress(bytes: &[u8]) -> Option<Vec<u8>> {
    let bits = bytes.len().ilog2().clamp(*TABLE_BITS.start(), *TABLE_BITS.end());
    // Places of three bytes by their hash, plus one; 0 for none.
    let mut places = vec![0u32; 1 << bits];
    let length_max = bytes.len().checked_sub(GAIN_MIN)?;
    let mut out = Vec::new();
    let (mut at, mut literals_from) = (0, 0);
    while let Some(three) = bytes.get(at..at + COPY_MIN) {
        let key = u32::from_be_bytes([0, three[0], three[1], three[2]]);
        let place = &mut places[(key.wrapping_mul(0x9e37_79b1) >> (32 - bits)) as usize];
        let earlier = (*place as usize).checked_sub(1);
        *place = at as u32 + 1;
        match earlier.filter(|from| at - from <= DISTANCE_MAX && bytes[*from..*from + COPY_MIN] == *three) {
            None => at += 1,
            Some(from) => {
                let pairs = bytes[from..].iter().zip(&bytes[at..]).take(COPY_MAX);
                let count = pairs.take_while(|(earlier, here)| earlier == here).count();
                put_literals(&mut out, &bytes[literals_from..at]);
                put_copy(&mut out, at - from, count);
                at += count;
                literals_from = at;
            }
        }
        if out.len() > length_max {
            return None;
        }
    }
    put_literals(&mut out, &bytes[literals_from..]);
    (out.len() <= length_max).then_some(out)
}

fn put_literals(out: &mut Vec<u8>, bytes: &[u8]) {
    for run in bytes.chunks(LITERALS_MAX) {
        out.push((run.len() - 1) as u8);
        out.extend_from_slice(run);
    }
}

fn put_copy(out: &mut Vec<u8>, distance: usize, count: usize) {
    let [high, low] = ((distance - 1) as u16).to_be_bytes();
    match count {
        ..9 => out.extend_from_slice(&[((count - 2) << 5) as u8 | high, low]),
        _ => out.extend_from_slice(&[7 << 5 | high, (count - 9) as u8, low]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Rng;

    #[test]
    fn what_is_compressed_comes_back() {
        let mut rng = Rng::new(1);
        let mut compressed_ones = 0;
        for _ in 0..2_000 {
            let letters = rng.range(1, 30);
            let length = rng.range(1, *rng.clone().pick(&[30, 300, 30_000]));
            let mut bytes: Vec<u8> = (0..length).map(|_| rng.below(letters) as u8).collect();
            if rng.chance(1, 2) {
                bytes = bytes.repeat(rng.range(1, 4) as usize);
            }
            if let Some(compressed) = compress(&bytes) {
                compressed_ones += 1;
                assert!(compressed.len() + GAIN_MIN <= bytes.len());
                assert_eq!(decompress(&compressed, bytes.len()).as_deref(), Ok(&bytes[..]));
                assert!(decompress(&compressed, bytes.len() + 1).is_err());
                assert!(decompress(&compressed[..compressed.len() - 1], bytes.len()).is_err());
            }
        }
        assert!(compressed_ones > 500, "{compressed_ones}");
        assert_eq!(compress(b"abc"), None);
        assert_eq!(compress(&[b'x'; 1_000]).map(|compressed| compressed.len()), Some(14));
    }

    #[test]
    fn random_bytes_do_no_harm() {
        let mut rng = Rng::new(2);
        for _ in 0..20_000 {
            let bytes: Vec<u8> = (0..rng.below(40)).map(|_| rng.next() as u8).collect();
            let length = rng.below(300) as usize;
            if let Ok(out) = decompress(&bytes, length) {
                assert_eq!(out.len(), length);
            }
            assert!(decompress(&bytes, usize::MAX).is_err());
        }
    }
}
