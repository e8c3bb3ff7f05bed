//! Strings: bytes, which are also numbers. What a part of one is, and what two have in common.

use std::ops::Range;

use bytes::{Bytes, BytesMut};

/// The part that GETRANGE means: both ends included, negative ones counted from the end, cut to the string. Empty
/// when the ends cross.
pub fn range(length: usize, start: i64, end: i64) -> Range<usize> {
    if start < 0 && end < 0 && start > end {
        return 0..0;
    }
    let position = |index: i64| match usize::try_from(index) {
        Ok(index) => index,
        Err(_) => length.saturating_sub(usize::try_from(index.unsigned_abs()).unwrap_or(usize::MAX)),
    };
    let start = position(start);
    let end = position(end).saturating_add(1).min(length);
    if start < end { start..end } else { 0..0 }
}

/// A string with `part` over it from `offset` on; zero bytes fill a gap. The caller bounds the length.
pub fn overwrite(before: &[u8], offset: usize, part: &[u8]) -> Bytes {
    let mut after = BytesMut::with_capacity(before.len().max(offset + part.len()));
    after.extend_from_slice(before);
    after.resize(before.len().max(offset + part.len()), 0);
    after[offset..offset + part.len()].copy_from_slice(part);
    after.freeze()
}

/// The longest common subsequence of two strings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Common {
    /// The bytes of one of the longest: the one Redis finds.
    pub bytes: Vec<u8>,
    /// Where it lies, from the end of the strings to the start: maximal pieces that are contiguous in both.
    pub pieces: Vec<Piece>,
}

/// Equal bytes of two strings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Where in the first.
    pub first: Range<usize>,
    /// Where in the second.
    pub second: Range<usize>,
}

/// [`longest_common`] takes so much memory for each pair of bytes. The caller bounds the product of the lengths.
pub const COMMON_CELL_BYTES: usize = size_of::<u32>();

/// Length of the longest common subsequence, in memory of the shorter string.
pub fn longest_common_length(first: &[u8], second: &[u8]) -> usize {
    let (long, short) = if first.len() < second.len() { (second, first) } else { (first, second) };
    let mut row = vec![0u32; short.len() + 1];
    for byte in long {
        let mut diagonal = 0;
        for (at, other) in short.iter().enumerate() {
            let above = row[at + 1];
            row[at + 1] = if byte == other { diagonal + 1 } else { above.max(row[at]) };
            diagonal = above;
        }
    }
    row[short.len()] as usize
}

/// The longest common subsequence, as Redis chooses among several: walking back from both ends it leaves the last
/// byte of the first string out only where that keeps strictly more.
pub fn longest_common(first: &[u8], second: &[u8]) -> Common {
    let width = second.len() + 1;
    let mut lengths = vec![0u32; width * (first.len() + 1)];
    for (i, byte) in first.iter().enumerate() {
        for (j, other) in second.iter().enumerate() {
            lengths[(i + 1) * width + j + 1] = if byte == other {
                lengths[i * width + j] + 1
            } else {
                lengths[i * width + j + 1].max(lengths[(i + 1) * width + j])
            };
        }
    }
    let mut common = Common::default();
    let (mut i, mut j) = (first.len(), second.len());
    while i > 0 && j > 0 {
        if first[i - 1] == second[j - 1] {
            (i, j) = (i - 1, j - 1);
            common.bytes.push(first[i]);
            match common.pieces.last_mut() {
                Some(piece) if piece.first.start == i + 1 && piece.second.start == j + 1 => {
                    (piece.first.start, piece.second.start) = (i, j);
                }
                _ => common.pieces.push(Piece { first: i..i + 1, second: j..j + 1 }),
            }
        } else if lengths[(i - 1) * width + j] > lengths[i * width + j - 1] {
            i -= 1;
        } else {
            j -= 1;
        }
    }
    common.bytes.reverse();
    common
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_cut_to_the_string() {
        for (start, end, expected) in [
            (0, 3, 0..4),
            (0, -1, 0..5),
            (-3, -1, 2..5),
            (-100, 1, 0..2),
            (-100, -100, 0..1),
            (3, 100, 3..5),
            (5, 100, 0..0),
            (3, 2, 0..0),
            (-1, -3, 0..0),
            (i64::MIN, i64::MAX, 0..5),
            (i64::MAX, i64::MIN, 0..0),
            (0, i64::MIN, 0..1),
        ] {
            assert_eq!(range(5, start, end), expected, "{start}..={end}");
        }
        assert_eq!(range(0, 0, -1), 0..0);
    }

    #[test]
    fn overwriting_fills_gaps_with_zeros() {
        assert_eq!(overwrite(b"Hello World", 6, b"Redis"), "Hello Redis");
        assert_eq!(overwrite(b"", 2, b"x"), "\0\0x");
        assert_eq!(overwrite(b"abc", 1, b"X"), "aXc");
        assert_eq!(overwrite(b"abc", 2, b"XYZ"), "abXYZ");
    }

    #[test]
    fn common_subsequences() {
        // The example of the documentation of LCS.
        let common = longest_common(b"ohmytext", b"mynewtext");
        assert_eq!(common.bytes, b"mytext");
        assert_eq!(common.pieces, [Piece { first: 4..8, second: 5..9 }, Piece { first: 2..4, second: 0..2 }]);
        assert_eq!(longest_common_length(b"ohmytext", b"mynewtext"), 6);
        assert_eq!(longest_common(b"", b"abc"), Common::default());
        assert_eq!(longest_common_length(b"abc", b""), 0);
    }
}
