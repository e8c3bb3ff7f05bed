//! Intsets: sets of integers, ascending, all of the same width.
//!
//! ```text
//! u32 LE bytes of one: 2, 4 or 8 | u32 LE how many | integers, LE
//! ```

use bytes::Bytes;

use super::input::Input;
use super::{Error, Result};

/// Every member, as text.
pub fn read(bytes: &Bytes, budget: &mut Input) -> Result<Vec<Bytes>> {
    let mut input = Input::new(bytes.clone());
    let (width, count) = (u32::from_le_bytes(input.array()?), u32::from_le_bytes(input.array()?));
    let mut members = Vec::new();
    let mut before = None;
    for _ in 0..count {
        let number = match width {
            2 => i16::from_le_bytes(input.array()?).into(),
            4 => i32::from_le_bytes(input.array()?).into(),
            8 => i64::from_le_bytes(input.array()?),
            _ => return Err(Error::Damaged("width of an intset")),
        };
        if before.is_some_and(|before| before >= number) {
            return Err(Error::Damaged("order of an intset"));
        }
        before = Some(number);
        budget.collect(&mut members, Bytes::from(number.to_string()))?;
    }
    if input.is_empty() { Ok(members) } else { Err(Error::Damaged("length of an intset")) }
}

/// The set of these integers.
pub fn write(mut members: Vec<i64>) -> Vec<u8> {
    members.sort_unstable();
    let fits = |low: i64, high: i64| members.iter().all(|member| (low..=high).contains(member));
    let width: u32 = match () {
        () if fits(i16::MIN.into(), i16::MAX.into()) => 2,
        () if fits(i32::MIN.into(), i32::MAX.into()) => 4,
        () => 8,
    };
    let mut out = width.to_le_bytes().to_vec();
    out.extend_from_slice(&(members.len() as u32).to_le_bytes());
    members.iter().for_each(|member| out.extend_from_slice(&member.to_le_bytes()[..width as usize]));
    out
}
