//! Integers of 1 to 64 bits at any bit of a string, highest bit first: what BITFIELD works with.
//!
//! Invariant: a value that was written reads back as the same, so only values that fit are written
//! ([`Field::fit`]).

/// The type of an integer. Every value fits 64 bits with a sign: an unsigned one has at most 63.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    /// Two's complement.
    pub signed: bool,
    /// How many bits: 1 to 64, or 63 without a sign.
    pub bits: u32,
}

/// What becomes of a value that does not fit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Overflow {
    /// Its lowest bits.
    #[default]
    Wrap,
    /// The nearest value that fits.
    Saturate,
    /// Nothing is written.
    Fail,
}

impl Field {
    /// The value at a bit; what lies behind the end of the string reads as zeros.
    pub fn read(self, bytes: &[u8], offset: u64) -> i64 {
        let (window, shift) = (window(bytes, offset), self.shift(offset));
        self.wrap((window >> shift) as u64)
    }

    /// Writes a value that fits at a bit. The string must reach that far.
    pub fn write(self, bytes: &mut [u8], offset: u64, value: i64) {
        let shift = self.shift(offset);
        let mask = (u128::MAX >> (128 - self.bits)) << shift;
        let window = (window(bytes, offset) & !mask) | ((value as u128) << shift & mask);
        let from = (offset / 8) as usize;
        bytes[from..].iter_mut().zip(window.to_be_bytes()).for_each(|(byte, new)| *byte = new);
    }

    /// What a number to be set counts as, for [`Field::fit`]. One below zero is above all unsigned ones; one so far
    /// below that its distance to the upper bound takes more than 64 bits is, in Redis, above that bound. The lowest 64
    /// bits stay.
    pub fn assigned(self, value: i64) -> i128 {
        let distance = self.bounds().1 - i128::from(value);
        let is_above = if self.signed { self.bits < 64 && distance > i128::from(i64::MAX) } else { value < 0 };
        i128::from(value) + if is_above { 1 << 64 } else { 0 }
    }

    /// A sum as it is written: itself if it fits, else what `overflow` makes of it; `None` for nothing.
    pub fn fit(self, sum: i128, overflow: Overflow) -> Option<i64> {
        let (low, high) = self.bounds();
        match overflow {
            _ if (low..=high).contains(&sum) => Some(sum as i64),
            Overflow::Wrap => Some(self.wrap(sum as u64)),
            Overflow::Saturate => Some(sum.clamp(low, high) as i64),
            Overflow::Fail => None,
        }
    }

    fn bounds(self) -> (i128, i128) {
        if self.signed { (-(1 << (self.bits - 1)), (1 << (self.bits - 1)) - 1) } else { (0, (1 << self.bits) - 1) }
    }

    /// The lowest bits as a value.
    fn wrap(self, bits: u64) -> i64 {
        let unused = 64 - self.bits;
        if self.signed { (bits << unused) as i64 >> unused } else { (bits << unused >> unused) as i64 }
    }

    /// How far the field is from the low end of its [`window`].
    fn shift(self, offset: u64) -> u32 {
        128 - (offset % 8) as u32 - self.bits
    }
}

/// The sixteen bytes from the one on that holds a bit.
fn window(bytes: &[u8], offset: u64) -> u128 {
    let mut window = [0; 16];
    let from = usize::try_from(offset / 8).unwrap_or(usize::MAX);
    let there = bytes.get(from..).unwrap_or_default();
    window.iter_mut().zip(there).for_each(|(byte, there)| *byte = *there);
    u128::from_be_bytes(window)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Rng;

    const fn field(signed: bool, bits: u32) -> Field {
        Field { signed, bits }
    }

    #[test]
    fn values_lie_highest_bit_first() {
        let mut bytes = [0; 3];
        field(false, 8).write(&mut bytes, 4, 0xab);
        assert_eq!(bytes, [0x0a, 0xb0, 0]);
        field(true, 4).write(&mut bytes, 20, -1);
        assert_eq!(bytes, [0x0a, 0xb0, 0x0f]);
        assert_eq!(field(true, 64).read(&bytes, 20), -(1 << 60));
        assert_eq!(field(false, 63).read(&bytes, 9_999), 0);
    }

    #[test]
    fn what_is_written_reads_back_and_leaves_the_rest() {
        let mut rng = Rng::new(2);
        for _ in 0..5_000 {
            let signed = rng.chance(1, 2);
            let field = field(signed, rng.range(1, if signed { 65 } else { 64 }) as u32);
            let mut bytes: Vec<u8> = (0..24).map(|_| rng.next() as u8).collect();
            let (before, offset) = (bytes.clone(), rng.below(24 * 8 - u64::from(field.bits) + 1));
            let value = field.fit(i128::from(rng.next() as i64), Overflow::Wrap).unwrap();
            field.write(&mut bytes, offset, value);
            assert_eq!(field.read(&bytes, offset), value, "{field:?} at {offset}");
            field.write(&mut bytes, offset, field.read(&before, offset));
            assert_eq!(bytes, before, "{field:?} at {offset}");
        }
    }

    #[test]
    fn what_does_not_fit() {
        for (field, sum, wrapped, saturated) in [
            (field(false, 8), 256, 0, 255),
            (field(false, 8), -1, 255, 0),
            (field(false, 63), 1 << 63, 0, i64::MAX),
            (field(true, 8), 128, -128, 127),
            (field(true, 8), -129, 127, -128),
            (field(true, 1), 1, -1, 0),
            (field(true, 64), 1 << 63, i64::MIN, i64::MAX),
            (field(true, 64), -(1 << 63) - 1, i64::MAX, i64::MIN),
        ] {
            assert_eq!(field.fit(sum, Overflow::Wrap), Some(wrapped), "{field:?} {sum}");
            assert_eq!(field.fit(sum, Overflow::Saturate), Some(saturated), "{field:?} {sum}");
            assert_eq!(field.fit(sum, Overflow::Fail), None, "{field:?} {sum}");
        }
        let set = |field: Field, value| field.fit(field.assigned(value), Overflow::Saturate);
        assert_eq!(set(field(true, 64), i64::MIN), Some(i64::MIN));
        assert_eq!(set(field(false, 8), -1), Some(255));
        assert_eq!(set(field(true, 8), -1_000), Some(-128));
        assert_eq!(set(field(true, 8), i64::MIN), Some(127));
    }
}
