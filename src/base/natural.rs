//! Natural numbers of any size, as far as reading, adding and printing an 80-bit number needs them.
//!
//! Invariant: the highest limb is not 0, so equal numbers have equal limbs.

/// A natural number of any size: 32-bit limbs, lowest first, the highest one not 0.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Natural(Vec<u32>);

impl From<u64> for Natural {
    fn from(number: u64) -> Natural {
        let mut natural = Natural(vec![number as u32, (number >> 32) as u32]);
        natural.trim();
        natural
    }
}

impl Natural {
    /// Whether it is 0.
    pub fn is_zero(&self) -> bool {
        self.0.is_empty()
    }

    /// Position of the highest bit, counted from 1; 0 has none.
    pub fn bits(&self) -> usize {
        self.0.last().map_or(0, |high| self.0.len() * 32 - high.leading_zeros() as usize)
    }

    /// The lowest 64 bits.
    pub fn low_u64(&self) -> u64 {
        let limb = |at: usize| u64::from(self.0.get(at).copied().unwrap_or(0));
        limb(0) | (limb(1) << 32)
    }

    fn bit(&self, at: usize) -> bool {
        self.0.get(at / 32).is_some_and(|limb| limb >> (at % 32) & 1 == 1)
    }

    fn trim(&mut self) {
        while self.0.last() == Some(&0) {
            self.0.pop();
        }
    }

    /// `self >= other`
    pub fn at_least(&self, other: &Natural) -> bool {
        self.0.len().cmp(&other.0.len()).then_with(|| self.0.iter().rev().cmp(other.0.iter().rev())).is_ge()
    }

    /// `self * factor + term`
    pub fn multiply_add(&mut self, factor: u32, term: u32) {
        let mut carry = u64::from(term);
        for limb in &mut self.0 {
            carry += u64::from(*limb) * u64::from(factor);
            *limb = carry as u32;
            carry >>= 32;
        }
        if carry > 0 {
            self.0.push(carry as u32);
        }
    }

    /// `self * base^times`
    pub fn multiply_power(&mut self, base: u32, times: usize) {
        for _ in 0..times {
            self.multiply_add(base, 0);
        }
    }

    /// `self + other`
    pub fn add(&mut self, other: &Natural) {
        let mut carry = 0;
        self.0.resize(self.0.len().max(other.0.len()) + 1, 0);
        for (at, limb) in self.0.iter_mut().enumerate() {
            carry += u64::from(*limb) + u64::from(other.0.get(at).copied().unwrap_or(0));
            *limb = carry as u32;
            carry >>= 32;
        }
        self.trim();
    }

    /// `self - other`, where `self` is the larger.
    pub fn subtract(&mut self, other: &Natural) {
        let mut borrow = false;
        for (at, limb) in self.0.iter_mut().enumerate() {
            let (first, under) = limb.overflowing_sub(other.0.get(at).copied().unwrap_or(0));
            let (second, again) = first.overflowing_sub(u32::from(borrow));
            *limb = second;
            borrow = under || again;
        }
        debug_assert!(!borrow, "the smaller number was subtracted from");
        self.trim();
    }

    /// `self * 2^by`
    pub fn shift_left(&mut self, by: usize) {
        if self.is_zero() {
            return;
        }
        let within = by % 32;
        if within > 0 {
            self.multiply_add(1 << within, 0);
        }
        self.0.splice(0..0, std::iter::repeat_n(0, by / 32));
    }

    /// `self / 2`, rounded down.
    pub fn halve(&mut self) {
        let mut carry = 0;
        for limb in self.0.iter_mut().rev() {
            let low = *limb & 1;
            *limb = (*limb >> 1) | (carry << 31);
            carry = low;
        }
        self.trim();
    }

    /// `self / 2^by` to nearest, ties to even.
    pub fn shift_right_rounding(&mut self, by: usize) {
        if by == 0 {
            return;
        }
        let half = self.bit(by - 1);
        let beyond = (0..by - 1).any(|at| self.bit(at));
        self.0.drain(..(by / 32).min(self.0.len()));
        let within = by % 32;
        for at in 0..self.0.len() {
            let above = self.0.get(at + 1).copied().unwrap_or(0);
            self.0[at] = ((u64::from(above) << 32 | u64::from(self.0[at])) >> within) as u32;
        }
        self.trim();
        if half && (beyond || self.bit(0)) {
            self.multiply_add(1, 1);
        }
    }

    /// In decimal digits.
    pub fn decimal(mut self) -> String {
        const CHUNK: u64 = 1_000_000_000;
        let mut chunks = Vec::new();
        while !self.is_zero() {
            let mut rest = 0;
            for limb in self.0.iter_mut().rev() {
                let number = rest << 32 | u64::from(*limb);
                *limb = (number / CHUNK) as u32;
                rest = number % CHUNK;
            }
            self.trim();
            chunks.push(rest);
        }
        let high = chunks.pop().map_or_else(|| "0".to_owned(), |chunk| chunk.to_string());
        chunks.iter().rev().fold(high, |text, chunk| text + &format!("{chunk:09}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arithmetic_agrees_with_128_bits() {
        for (a, b) in [(0u64, 0u64), (1, u64::MAX), (u64::MAX, u64::MAX), (0xffff_ffff, 0x1_0000_0000), (12, 7)] {
            let (large, small) = (a.max(b), a.min(b));
            let mut sum = Natural::from(large);
            sum.add(&Natural::from(small));
            assert_eq!(sum.clone().decimal(), (u128::from(a) + u128::from(b)).to_string());
            sum.subtract(&Natural::from(small));
            assert_eq!(sum, Natural::from(large));
            sum.multiply_add(1_000_000_007, 5);
            assert_eq!(sum.decimal(), (u128::from(large) * 1_000_000_007 + 5).to_string());
        }
    }

    #[test]
    fn shifts_undo_each_other_and_round_to_even() {
        for by in [0, 1, 31, 32, 33, 64, 100] {
            let mut number = Natural::from(0x8000_0001_8000_0001);
            number.shift_left(by);
            assert_eq!(number.bits(), 64 + by);
            number.shift_right_rounding(by);
            assert_eq!(number, Natural::from(0x8000_0001_8000_0001), "by {by}");
        }
        for (number, rounded) in
            [(0b1011, 0b11), (0b1010, 0b10), (0b1110, 0b100), (0b1001, 0b10), (0b0010, 0), (0b0011, 1)]
        {
            let mut number = Natural::from(number);
            number.shift_right_rounding(2);
            assert_eq!(number, Natural::from(rounded));
        }
    }
}
