//! HyperLogLog: how many different elements were added, within about 0.8 %, in at most 12 KiB. A value is a string in
//! Redis's own bytes, so that GET, SET, DUMP and a Redis elsewhere agree about it:
//!
//! ```text
//! 4 bytes    "HYLL"
//! 1 byte     0 dense, 1 sparse
//! 3 bytes    unused
//! 8 bytes    the last estimate, little-endian; it holds while the highest bit of the last byte is clear
//! rest       16384 registers of six bits ([`dense`]), or runs of equal registers ([`sparse`])
//! ```
//!
//! Sources: the comments on the format at the head of Redis's `hyperloglog.c`; Flajolet et al., "HyperLogLog", 2007;
//! Heule et al., "HyperLogLog in practice", 2013 (64-bit hashes, sparse form); Ertl, arXiv:1702.01284 (the estimate).
//!
//! Invariant: a client can write any bytes into such a string, so nothing here trusts them: what does not cover all
//! registers is [`Corrupt`].

mod dense;
mod estimate;
mod murmur;
mod sparse;

use bytes::BytesMut;

use self::estimate::Histogram;
pub use self::sparse::describe;

/// Registers of a sketch; 14 bits of the hash choose one.
pub const REGISTERS: usize = 1 << REGISTER_BITS;
const REGISTER_BITS: u32 = 14;
/// Bits of the hash in which a register looks for the first one: it counts up to one more.
const COUNTED_BITS: u32 = 64 - REGISTER_BITS;
/// Redis's seed of the hash.
const SEED: u64 = 0xadc8_3b19;

const HEADER_BYTES: usize = 16;
const MAGIC: &[u8; 4] = b"HYLL";
const DENSE: u8 = 0;
const SPARSE: u8 = 1;
/// The last byte of the estimate, and the bit in it that makes it void.
const STALE: (usize, u8) = (15, 0x80);

/// A value that claims to be a sketch, with registers that do not add up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Corrupt;

/// `std::result::Result` with this module's error.
type Result<T> = std::result::Result<T, Corrupt>;

/// The registers of several sketches together: the highest of each.
pub struct Union(Box<[u8; REGISTERS]>);

/// A sketch while it is worked on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HyperLogLog(BytesMut);

impl Default for HyperLogLog {
    /// Without elements.
    fn default() -> HyperLogLog {
        let mut bytes = BytesMut::zeroed(HEADER_BYTES);
        bytes[..4].copy_from_slice(MAGIC);
        bytes[4] = SPARSE;
        bytes.extend_from_slice(&sparse::EMPTY);
        HyperLogLog(bytes)
    }
}

impl HyperLogLog {
    /// The sketch in a string, if it looks like one.
    pub fn parse(bytes: &[u8]) -> Option<HyperLogLog> {
        let is_one = bytes.starts_with(MAGIC)
            && bytes.len() >= HEADER_BYTES
            && match bytes[4] {
                DENSE => bytes.len() == HEADER_BYTES + dense::BYTES,
                SPARSE => true,
                _ => false,
            };
        is_one.then(|| HyperLogLog(BytesMut::from(bytes)))
    }

    /// The string.
    pub fn into_bytes(self) -> BytesMut {
        self.0
    }

    /// Whether each register has its own six bits.
    pub fn is_dense(&self) -> bool {
        self.0[4] == DENSE
    }

    /// What follows the header.
    pub fn body(&self) -> &[u8] {
        &self.0[HEADER_BYTES..]
    }

    /// Adds an element; tells whether that raised a register. A sparse sketch becomes dense when it would get longer
    /// than this.
    pub fn add(&mut self, element: &[u8], sparse_bytes_max: usize) -> Result<bool> {
        let hash = murmur::hash(element, SEED);
        let index = hash as usize % REGISTERS;
        // A one behind the last bit ends the search there.
        let counted = hash >> REGISTER_BITS | 1 << COUNTED_BITS;
        self.raise(index, counted.trailing_zeros() as u8 + 1, sparse_bytes_max)
    }

    /// Raises a register to a number; tells whether it was lower.
    fn raise(&mut self, index: usize, to: u8, sparse_bytes_max: usize) -> Result<bool> {
        if !self.is_dense() {
            let mut runs = self.0.split_off(HEADER_BYTES);
            let raised = sparse::raise(&mut runs, index, to, sparse_bytes_max.saturating_sub(HEADER_BYTES));
            self.0.unsplit(runs);
            match raised? {
                sparse::Raised::TooLong => self.make_dense()?,
                raised => return Ok(raised == sparse::Raised::Yes),
            };
        }
        Ok(dense::raise(&mut self.0[HEADER_BYTES..], index, to))
    }

    /// Gives each register its own bits; tells whether they had none yet.
    pub fn make_dense(&mut self) -> Result<bool> {
        if self.is_dense() {
            return Ok(false);
        }
        let mut registers = vec![0; dense::BYTES];
        sparse::visit(self.body(), |index, value| {
            dense::raise(&mut registers, index, value);
        })?;
        self.0.truncate(HEADER_BYTES);
        self.0[4] = DENSE;
        self.0.extend_from_slice(&registers);
        Ok(true)
    }

    /// The estimate that was stored, while it holds.
    pub fn cached_count(&self) -> Option<u64> {
        let number = &self.0[8..HEADER_BYTES];
        let number = number.first_chunk().map_or(0, |number| u64::from_le_bytes(*number));
        (self.0[STALE.0] & STALE.1 == 0).then_some(number)
    }

    /// The stored estimate no longer holds.
    pub fn forget_count(&mut self) {
        self.0[STALE.0] |= STALE.1;
    }

    /// Estimates how many different elements were added, and stores that.
    pub fn count(&mut self) -> Result<u64> {
        let mut histogram = Histogram::default();
        if self.is_dense() {
            (0..REGISTERS).for_each(|index| histogram.add(dense::get(self.body(), index), 1));
        } else {
            sparse::count(self.body(), &mut histogram)?;
        }
        let count = histogram.estimate();
        self.0[8..HEADER_BYTES].copy_from_slice(&count.to_le_bytes());
        Ok(count)
    }

    /// Raises the registers to those of a union.
    pub fn merge(&mut self, union: &Union, sparse_bytes_max: usize) -> Result<()> {
        for (index, to) in union.0.iter().enumerate().filter(|(_, to)| **to > 0) {
            self.raise(index, *to, sparse_bytes_max)?;
        }
        Ok(())
    }

    /// All registers.
    pub fn registers(&self) -> Result<Union> {
        let mut union = Union::default();
        union.add(self)?;
        Ok(union)
    }
}

impl Default for Union {
    /// Of no sketch.
    fn default() -> Union {
        Union(Box::new([0; REGISTERS]))
    }
}

impl Union {
    /// With another sketch.
    pub fn add(&mut self, sketch: &HyperLogLog) -> Result<()> {
        let mut raise = |index: usize, value: u8| self.0[index] = self.0[index].max(value);
        if sketch.is_dense() {
            (0..REGISTERS).for_each(|index| raise(index, dense::get(sketch.body(), index)));
            return Ok(());
        }
        sparse::visit(sketch.body(), raise)
    }

    /// Estimates how many different elements were added to any of the sketches.
    pub fn count(&self) -> u64 {
        let mut histogram = Histogram::default();
        self.0.iter().for_each(|value| histogram.add(*value, 1));
        histogram.estimate()
    }

    /// The registers.
    pub fn registers(&self) -> &[u8] {
        &self.0[..]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What redis-server 7.0.15 stores for `PFADD k a b c`.
    const GOLDEN: &[u8] = b"HYLL\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x80`\xf3\x80P\xb1\x84K\xfb\x80BZ";

    fn sketch(elements: std::ops::Range<u32>, sparse_bytes_max: usize) -> HyperLogLog {
        let mut sketch = HyperLogLog::default();
        elements.for_each(|element| {
            sketch.add(&element.to_be_bytes(), sparse_bytes_max).unwrap();
        });
        sketch
    }

    #[test]
    fn golden_bytes() {
        let empty = HyperLogLog::default();
        assert_eq!((empty.cached_count(), empty.body()), (Some(0), &[0x7f, 0xff][..]));
        let mut three = empty.clone();
        for element in [b"a", b"b", b"c"] {
            assert_eq!(three.add(element, 3_000), Ok(true));
            assert_eq!(three.add(element, 3_000), Ok(false));
        }
        three.forget_count();
        assert_eq!(three.clone().into_bytes().escape_ascii().to_string(), GOLDEN.escape_ascii().to_string());
        assert_eq!((three.cached_count(), three.count(), three.cached_count()), (None, Ok(3), Some(3)));
    }

    #[test]
    fn both_forms_have_the_same_registers() {
        for elements in [0..0, 0..1, 0..100, 0..2_000] {
            let (mut sparse, mut dense) = (sketch(elements.clone(), usize::MAX), sketch(elements.clone(), 0));
            assert_eq!((sparse.is_dense(), dense.is_dense()), (false, !elements.is_empty()));
            assert_eq!(sparse.registers().unwrap().registers(), dense.registers().unwrap().registers());
            assert_eq!(sparse.count(), dense.count());
            assert_eq!(sparse.registers().unwrap().count(), dense.count().unwrap());
            sparse.make_dense().unwrap();
            dense.make_dense().unwrap();
            assert_eq!(sparse, dense);
        }
    }

    #[test]
    fn a_union_counts_what_is_in_any() {
        let (a, b) = (sketch(0..3_000, 3_000), sketch(2_000..5_000, 3_000));
        let mut union = a.registers().unwrap();
        union.add(&b).unwrap();
        assert_eq!(union.count(), sketch(0..5_000, 3_000).count().unwrap());
        let mut merged = HyperLogLog::default();
        merged.merge(&union, 3_000).unwrap();
        assert_eq!(merged.count(), Ok(union.count()));
    }

    #[test]
    fn other_strings_are_none() {
        let empty = HyperLogLog::default().into_bytes();
        assert!(HyperLogLog::parse(&empty).is_some());
        for length in 0..HEADER_BYTES {
            assert_eq!(HyperLogLog::parse(&empty[..length]), None);
        }
        let mut dense_in_name = empty.clone();
        dense_in_name[4] = DENSE;
        assert_eq!(HyperLogLog::parse(&dense_in_name), None);
        let mut unknown = empty.clone();
        unknown[4] = 2;
        assert_eq!(HyperLogLog::parse(&unknown), None);
        assert_eq!(HyperLogLog::parse(&empty[..HEADER_BYTES]).unwrap().count(), Err(Corrupt));
    }
}
