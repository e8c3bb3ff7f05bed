//! The sparse form: runs of equal registers, from the first register to the last.
//!
//! ```text
//! 00nnnnnn            n + 1 registers are zero
//! 01nnnnnn nnnnnnnn   n + 1 registers are zero, up to all of them
//! 1vvvvvnn            n + 1 registers are v + 1
//! ```
//!
//! A register is raised in place, and the runs around it are joined as Redis joins them and no further: the bytes are
//! those that Redis would have, not the shortest ones.

use std::fmt::Write;

use bytes::BytesMut;

use super::estimate::Histogram;
use super::{Corrupt, REGISTERS, Result};

/// All registers are zero.
pub const EMPTY: [u8; 2] = [0x7f, 0xff];

/// Longest run of zeros in one byte.
const SHORT_ZEROS_MAX: usize = 64;
/// Longest run of a value.
const VALUES_MAX: usize = 4;
/// Highest value that a run can have.
const VALUE_MAX: u8 = 32;
/// So many runs from the one before the changed one on are looked at for joining.
const JOINED_RUNS: usize = 5;

/// Equal registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Run {
    value: u8,
    registers: usize,
    /// How long the run is in the string.
    bytes: usize,
}

/// What came of raising a register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Raised {
    /// It was lower.
    Yes,
    /// It was not lower.
    No,
    /// This form has no room for it.
    TooLong,
}

/// The run at a place, or `None` at the end. A last run whose second byte is missing counts as if that were zero, as it
/// does in Redis, whose strings end with one.
fn run(bytes: &[u8], at: usize) -> Option<Run> {
    let first = *bytes.get(at)?;
    let low = usize::from(first & 0x3f);
    let low_byte = usize::from(bytes.get(at + 1).copied().unwrap_or(0));
    Some(match first >> 6 {
        0 => Run { value: 0, registers: low + 1, bytes: 1 },
        1 => Run { value: 0, registers: (low << 8 | low_byte) + 1, bytes: 2 },
        _ => Run { value: (first >> 2 & 0x1f) + 1, registers: usize::from(first & 3) + 1, bytes: 1 },
    })
}

/// Writes a run in the shorter of its forms; none for no registers.
fn put(out: &mut Vec<u8>, value: u8, registers: usize) {
    match registers {
        0 => {}
        _ if value > 0 => out.push(0x80 | (value - 1) << 2 | (registers - 1) as u8),
        1..=SHORT_ZEROS_MAX => out.push((registers - 1) as u8),
        _ => out.extend_from_slice(&[0x40 | ((registers - 1) >> 8) as u8, (registers - 1) as u8]),
    }
}

fn runs(bytes: &[u8]) -> impl Iterator<Item = Run> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let run = run(bytes, at)?;
        at += run.bytes;
        Some(run)
    })
}

/// Raises a register, if the runs then have no more bytes than this.
pub fn raise(bytes: &mut BytesMut, index: usize, to: u8, bytes_max: usize) -> Result<Raised> {
    if to > VALUE_MAX {
        return Ok(Raised::TooLong);
    }
    let (mut before, mut at, mut first) = (None, 0, 0);
    let old = loop {
        let run = run(bytes, at).ok_or(Corrupt)?;
        if index < first + run.registers {
            break run;
        }
        (before, at, first) = (Some(at), at + run.bytes, first + run.registers);
    };
    if at + old.bytes > bytes.len() {
        return Err(Corrupt);
    }
    if old.value >= to {
        return Ok(Raised::No);
    }
    let mut new = Vec::with_capacity(5);
    put(&mut new, old.value, index - first);
    put(&mut new, to, 1);
    put(&mut new, old.value, first + old.registers - index - 1);
    if new.len() > old.bytes && bytes.len() + new.len() - old.bytes > bytes_max {
        return Ok(Raised::TooLong);
    }
    replace(bytes, at, old.bytes, &new);
    join(bytes, before.unwrap_or(0));
    Ok(Raised::Yes)
}

fn replace(bytes: &mut BytesMut, at: usize, length: usize, new: &[u8]) {
    let rest = bytes.split_off(at);
    bytes.extend_from_slice(new);
    bytes.extend_from_slice(&rest[length..]);
}

/// Joins runs of one value from a place on.
fn join(bytes: &mut BytesMut, from: usize) {
    let mut at = from;
    for _ in 0..JOINED_RUNS {
        let Some(this) = run(bytes, at) else { return };
        match run(bytes, at + this.bytes) {
            Some(next)
                if this.value > 0 && next.value == this.value && this.registers + next.registers <= VALUES_MAX =>
            {
                let mut joined = Vec::with_capacity(1);
                put(&mut joined, this.value, this.registers + next.registers);
                replace(bytes, at, 2, &joined);
            }
            _ => at += this.bytes,
        }
    }
}

/// Visits the registers that are not zero.
pub fn visit(bytes: &[u8], mut visit: impl FnMut(usize, u8)) -> Result<()> {
    let mut index = 0;
    for run in runs(bytes) {
        if index + run.registers > REGISTERS {
            return Err(Corrupt);
        }
        if run.value > 0 {
            (index..index + run.registers).for_each(|index| visit(index, run.value));
        }
        index += run.registers;
    }
    if index == REGISTERS { Ok(()) } else { Err(Corrupt) }
}

/// Adds the registers to a histogram.
pub fn count(bytes: &[u8], histogram: &mut Histogram) -> Result<()> {
    let mut registers = 0;
    for run in runs(bytes) {
        histogram.add(run.value, run.registers as u32);
        registers += run.registers;
    }
    if registers == REGISTERS { Ok(()) } else { Err(Corrupt) }
}

/// The runs as PFDEBUG DECODE shows them.
pub fn describe(bytes: &[u8]) -> String {
    let mut text = String::new();
    for run in runs(bytes) {
        let Run { value, registers, bytes } = run;
        let gap = if text.is_empty() { "" } else { " " };
        let _ = match (value, bytes) {
            (0, 1) => write!(text, "{gap}z:{registers}"),
            (0, _) => write!(text, "{gap}Z:{registers}"),
            _ => write!(text, "{gap}v:{value},{registers}"),
        };
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Rng;

    fn raised(bytes: &mut BytesMut, index: usize, to: u8) -> String {
        assert_eq!(raise(bytes, index, to, 3_000), Ok(Raised::Yes));
        describe(bytes)
    }

    #[test]
    fn runs_are_split_and_joined() {
        let mut bytes = BytesMut::from(&EMPTY[..]);
        assert_eq!(describe(&bytes), "Z:16384");
        assert_eq!(raised(&mut bytes, 100, 3), "Z:100 v:3,1 Z:16283");
        assert_eq!(raised(&mut bytes, 101, 3), "Z:100 v:3,2 Z:16282");
        assert_eq!(raised(&mut bytes, 103, 3), "Z:100 v:3,2 z:1 v:3,1 Z:16280");
        assert_eq!(raised(&mut bytes, 102, 3), "Z:100 v:3,4 Z:16280");
        assert_eq!(raised(&mut bytes, 104, 3), "Z:100 v:3,4 v:3,1 Z:16279");
        assert_eq!(raised(&mut bytes, 101, 5), "Z:100 v:3,1 v:5,1 v:3,3 Z:16279");
        assert_eq!(raise(&mut bytes, 101, 4, 3_000), Ok(Raised::No));
        assert_eq!(raise(&mut bytes, 5, 33, 3_000), Ok(Raised::TooLong));
        let length = bytes.len();
        assert_eq!(raise(&mut bytes, 5, 1, length), Ok(Raised::TooLong));
        assert_eq!(raised(&mut bytes, 0, 1), "v:1,1 Z:99 v:3,1 v:5,1 v:3,3 Z:16279");
        assert_eq!(raised(&mut bytes, 16383, 32), "v:1,1 Z:99 v:3,1 v:5,1 v:3,3 Z:16278 v:32,1");
    }

    #[test]
    fn random_bytes_do_no_harm() {
        let mut rng = Rng::new(1);
        for _ in 0..20_000 {
            let length = rng.below(40);
            let mut bytes: BytesMut = (0..length).map(|_| rng.next() as u8).collect::<Vec<_>>()[..].into();
            let mut registers = 0;
            let visited = visit(&bytes, |index, value| {
                assert!(index < REGISTERS && (1..=VALUE_MAX).contains(&value));
                registers += 1;
            });
            assert!(registers <= REGISTERS);
            assert_eq!(count(&bytes, &mut Histogram::default()), visited);
            let _ = describe(&bytes);
            let index = rng.below(REGISTERS as u64) as usize;
            if let Ok(Raised::Yes) = raise(&mut bytes, index, 1 + rng.below(32) as u8, 60) {
                assert!(bytes.len() <= 60);
            }
        }
    }
}
