//! `math.random`'s generator: the 48-bit linear congruence of POSIX `drand48`, so that a seed gives the numbers that it
//! gives in Redis (facts from POSIX, "drand48").

const MULTIPLIER: u64 = 0x5_DEEC_E66D;
const INCREMENT: u64 = 0xB;
const MASK: u64 = (1 << 48) - 1;

/// A generator.
#[derive(Clone, Copy, Debug)]
pub struct Random(u64);

impl Random {
    /// `srand48`
    pub fn new(seed: i32) -> Random {
        Random(u64::from(seed as u32) << 16 | 0x330E)
    }

    /// A generator that goes on.
    pub fn from_state(state: u64) -> Random {
        Random(state & MASK)
    }

    /// Where it stands.
    pub fn state(self) -> u64 {
        self.0
    }

    /// `lrand48`: 31 bits.
    pub fn next(&mut self) -> u32 {
        self.0 = self.0.wrapping_mul(MULTIPLIER).wrapping_add(INCREMENT) & MASK;
        (self.0 >> 17) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_numbers_of_seed_0() {
        let mut random = Random::new(0);
        assert_eq!([random.next(), random.next(), random.next()], [366_850_414, 1_610_402_240, 206_956_554]);
    }
}
