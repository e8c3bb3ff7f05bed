//! From registers to a number: Ertl's improved estimator, which needs no table of corrections.
//!
//! Source: Otmar Ertl, "New cardinality estimation algorithms for HyperLogLog sketches", arXiv:1702.01284, algorithm 6.
//! The operations and their order are those that Redis does in C, so every bit of the result is the same.

use super::{COUNTED_BITS, REGISTERS};

/// `1 / (2 ln 2)`.
const ALPHA: f64 = 0.721_347_520_444_481_7;
/// What Redis makes of infinity, which only forged registers give: C's conversion to an integer on its machines.
const ENDLESS: u64 = 1 << 63;
const M: f64 = REGISTERS as f64;

/// How many registers have each value.
#[derive(Clone, Debug)]
pub struct Histogram([u32; 64]);

impl Default for Histogram {
    fn default() -> Histogram {
        Histogram([0; 64])
    }
}

impl Histogram {
    /// So many registers have this value, which has six bits.
    pub fn add(&mut self, value: u8, registers: u32) {
        let count = &mut self.0[usize::from(value % 64)];
        *count = count.saturating_add(registers);
    }

    /// The estimate of these registers.
    pub fn estimate(&self) -> u64 {
        let of = |value: u32| f64::from(self.0[value as usize]);
        let mut z = M * tau((M - of(COUNTED_BITS + 1)) / M);
        for value in (1..=COUNTED_BITS).rev() {
            z = (z + of(value)) * 0.5;
        }
        z += M * sigma(of(0) / M);
        let estimate = ALPHA * M * M / z;
        if estimate.is_finite() { estimate.round() as u64 } else { ENDLESS }
    }
}

/// Ertl's sum over the registers that are zero.
fn sigma(mut x: f64) -> f64 {
    if x == 1.0 {
        return f64::INFINITY;
    }
    let (mut y, mut z) = (1.0, x);
    loop {
        x *= x;
        let before = z;
        z += x * y;
        y += y;
        if z == before {
            return z;
        }
    }
}

/// Ertl's sum over the registers that are full.
fn tau(mut x: f64) -> f64 {
    if x == 0.0 || x == 1.0 {
        return 0.0;
    }
    let (mut y, mut z) = (1.0, 1.0 - x);
    loop {
        x = x.sqrt();
        let before = z;
        y *= 0.5;
        z -= (1.0 - x) * (1.0 - x) * y;
        if z == before {
            return z / 3.0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn estimate(counts: &[(u8, u32)]) -> u64 {
        let mut histogram = Histogram::default();
        counts.iter().for_each(|(value, registers)| histogram.add(*value, *registers));
        histogram.estimate()
    }

    #[test]
    fn the_ends_of_the_range() {
        assert_eq!(estimate(&[(0, 16384)]), 0);
        assert_eq!(estimate(&[(0, 16383), (1, 1)]), 1);
        assert_eq!(estimate(&[(0, 16284), (1, 50), (3, 50)]), 100);
        assert_eq!(estimate(&[(51, 16384)]), ENDLESS);
    }
}
