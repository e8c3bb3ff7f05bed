//! The dense form: 16384 registers of six bits, the first in the lowest bits of the first byte.

use super::REGISTERS;

const BITS: usize = 6;
const MASK: u16 = (1 << BITS) - 1;

/// Length of all registers.
pub const BYTES: usize = REGISTERS * BITS / 8;

/// The value of a register.
pub fn get(bytes: &[u8], index: usize) -> u8 {
    let (at, shift) = place(index);
    (word(bytes, at) >> shift & MASK) as u8
}

/// Raises a register; tells whether it was lower.
pub fn raise(bytes: &mut [u8], index: usize, to: u8) -> bool {
    let (at, shift) = place(index);
    let old = word(bytes, at);
    if (old >> shift & MASK) as u8 >= to {
        return false;
    }
    let new = old & !(MASK << shift) | u16::from(to) << shift;
    let [low, high] = new.to_le_bytes();
    bytes[at] = low;
    // The last register ends with the last byte.
    if let Some(next) = bytes.get_mut(at + 1) {
        *next = high;
    }
    true
}

/// The byte in which a register begins, and where in it.
fn place(index: usize) -> (usize, usize) {
    (index * BITS / 8, index * BITS % 8)
}

fn word(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes.get(at + 1).copied().unwrap_or(0)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registers_lie_side_by_side() {
        let mut bytes = vec![0; BYTES];
        assert!(raise(&mut bytes, 0, 1) && raise(&mut bytes, 1, 63) && raise(&mut bytes, REGISTERS - 1, 51));
        assert_eq!((&bytes[..3], bytes[BYTES - 1]), (&[0xc1, 0x0f, 0][..], 51 << 2));
        assert!(!raise(&mut bytes, 1, 63) && !raise(&mut bytes, 0, 1) && raise(&mut bytes, 0, 2));
        let mut all = vec![0; BYTES];
        (0..REGISTERS).for_each(|index| assert!(raise(&mut all, index, (index % 51 + 1) as u8)));
        assert!((0..REGISTERS).all(|index| usize::from(get(&all, index)) == index % 51 + 1));
    }
}
