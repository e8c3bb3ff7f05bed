//! Strings as bits: bit 0 is the highest bit of the first byte, and what lies behind the end reads as zeros.
//!
//! Pure functions on bytes; offsets and ranges count bits. The caller bounds what it lets grow, and keeps ranges
//! within the string.

use std::ops::Range;

/// How BITOP combines strings; shorter ones count as padded with zeros.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Ones where all have one.
    And,
    /// Ones where any has one.
    Or,
    /// Ones where an odd number of them has one.
    Xor,
    /// The complement of the only one.
    Not,
}

/// The bit at an offset.
pub fn get(bytes: &[u8], offset: u64) -> bool {
    let byte = usize::try_from(offset / 8).ok().and_then(|at| bytes.get(at));
    byte.is_some_and(|byte| byte << (offset % 8) & 0x80 != 0)
}

/// Sets or clears the bit at an offset within the string.
pub fn set(bytes: &mut [u8], offset: u64, on: bool) {
    let (byte, mask) = (&mut bytes[(offset / 8) as usize], 0x80 >> (offset % 8));
    *byte = if on { *byte | mask } else { *byte & !mask };
}

/// How many ones a range has.
pub fn count(bytes: &[u8], range: Range<u64>) -> u64 {
    let Some((first, inner, last)) = split(bytes, &range) else { return 0 };
    let (words, rest) = inner.as_chunks::<8>();
    let ones = |byte: &u8| u64::from(byte.count_ones());
    let sum: u64 = words.iter().map(|word| u64::from(u64::from_ne_bytes(*word).count_ones())).sum();
    sum + rest.iter().map(ones).sum::<u64>() + ones(&first) + ones(&last.unwrap_or(0))
}

/// The first bit of a range that is one, or zero.
pub fn position(bytes: &[u8], range: Range<u64>, bit: bool) -> Option<u64> {
    let flip = if bit { 0 } else { 0xff };
    let (start, end) = (range.start / 8, range.end);
    // The first and the last byte may belong to the range in part: their other bits must not be found.
    let head = (bytes.get(start as usize)? ^ flip) & (0xff >> (range.start % 8));
    let found = if head != 0 {
        start * 8 + u64::from(head.leading_zeros())
    } else {
        let rest = bytes.get(start as usize + 1..end.div_ceil(8) as usize)?;
        let at = first_other(rest, flip)?;
        (start + 1 + at as u64) * 8 + u64::from((rest[at] ^ flip).leading_zeros())
    };
    (found < end).then_some(found)
}

/// Where the first byte is that differs from `same`, eight at a time while they do not.
fn first_other(bytes: &[u8], same: u8) -> Option<usize> {
    let (words, _) = bytes.as_chunks::<8>();
    let skipped = 8 * words.iter().take_while(|word| **word == [same; 8]).count();
    bytes[skipped..].iter().position(|byte| *byte != same).map(|at| skipped + at)
}

/// A range as its first byte, whole bytes in between, and a last byte if that is another one; bits outside are zero.
fn split<'a>(bytes: &'a [u8], range: &Range<u64>) -> Option<(u8, &'a [u8], Option<u8>)> {
    if range.is_empty() {
        return None;
    }
    let (first, last) = ((range.start / 8) as usize, ((range.end - 1) / 8) as usize);
    let from = 0xff >> (range.start % 8);
    let to = !(0x7f >> ((range.end - 1) % 8));
    if first == last {
        return Some((bytes[first] & from & to, &[], None));
    }
    Some((bytes[first] & from, &bytes[first + 1..last], Some(bytes[last] & to)))
}

/// Combines strings; the result is as long as the longest.
pub fn combine<T: AsRef<[u8]>>(operation: Operation, strings: &[T]) -> Vec<u8> {
    let length = strings.iter().map(|bytes| bytes.as_ref().len()).max().unwrap_or(0);
    let mut strings = strings.iter().map(AsRef::as_ref);
    let mut result = strings.next().unwrap_or_default().to_vec();
    result.resize(length, 0);
    if operation == Operation::Not {
        result.iter_mut().for_each(|byte| *byte = !*byte);
    }
    for other in strings {
        let (overlap, behind) = result.split_at_mut(other.len());
        let pairs = overlap.iter_mut().zip(other);
        match operation {
            Operation::And => {
                pairs.for_each(|(byte, other)| *byte &= other);
                behind.fill(0);
            }
            Operation::Or => pairs.for_each(|(byte, other)| *byte |= other),
            Operation::Xor => pairs.for_each(|(byte, other)| *byte ^= other),
            // It takes one string, so there is no other.
            Operation::Not => {}
        }
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Rng;

    #[test]
    fn bits_are_counted_from_the_highest() {
        let mut bytes = [0u8; 2];
        set(&mut bytes, 7, true);
        set(&mut bytes, 8, true);
        assert_eq!(bytes, [1, 0x80]);
        set(&mut bytes, 7, false);
        assert_eq!(bytes, [0, 0x80]);
        assert!(get(&bytes, 8) && !get(&bytes, 9) && !get(&bytes, 16) && !get(&bytes, u64::MAX));
    }

    #[test]
    fn ranges_agree_with_single_bits() {
        let mut rng = Rng::new(1);
        for _ in 0..3_000 {
            let same = *rng.pick(&[0, 0xff, 0x55]);
            let mut bytes = vec![same; rng.range(1, 40) as usize];
            for _ in 0..rng.below(4) {
                let at = rng.below(bytes.len() as u64 * 8);
                set(&mut bytes, at, rng.chance(1, 2));
            }
            let end = rng.below(bytes.len() as u64 * 8 + 1);
            let range = rng.below(end + 1)..end;
            let ones = range.clone().filter(|at| get(&bytes, *at)).count() as u64;
            assert_eq!(count(&bytes, range.clone()), ones, "{bytes:?} {range:?}");
            for bit in [false, true] {
                let first = range.clone().find(|at| get(&bytes, *at) == bit);
                assert_eq!(position(&bytes, range.clone(), bit), first, "{bytes:?} {range:?}");
            }
        }
    }

    #[test]
    fn shorter_strings_count_as_padded() {
        let strings = [&b"\xff\xf0"[..], b"\x0f", b"\x01\x01\x01"];
        assert_eq!(combine(Operation::And, &strings), [1, 0, 0]);
        assert_eq!(combine(Operation::Or, &strings), [0xff, 0xf1, 1]);
        assert_eq!(combine(Operation::Xor, &strings), [0xf1, 0xf1, 1]);
        assert_eq!(combine(Operation::Not, &strings[..1]), [0, 0x0f]);
        assert_eq!(combine::<&[u8]>(Operation::Or, &[]), b"");
    }
}
