//! Ziplists: elements in one piece of memory, which Redis kept small values in until 7.0.
//!
//! ```text
//! u32 LE bytes of all | u32 LE place of the last element | u16 LE elements, 65535 if unknown | elements | 0xff
//! element: length of the one before (1 byte, or 0xfe and u32 LE), form, data
//!
//! 00nnnnnn | 01nnnnnn nnnnnnnn | 10000000 u32 BE   string of n bytes
//! 0xc0, d0, e0                                     integers of 16, 32, 64 bits, LE
//! 0xf0, fe                                         integers of 24 and 8 bits
//! 0xf1 to 0xfd                                     integers 0 to 12
//! ```

use bytes::Bytes;

use super::input::Input;
use super::{Error, Result};

const HEADER_BYTES: usize = 10;
const END: u8 = 0xff;
const LONG: u8 = 0xfe;
const UNKNOWN_COUNT: u16 = u16::MAX;

/// Every element, as text.
pub fn read(bytes: &Bytes, budget: &mut Input) -> Result<Vec<Bytes>> {
    let mut input = Input::new(bytes.clone());
    let (length, last) = (u32::from_le_bytes(input.array()?), u32::from_le_bytes(input.array()?));
    let count = u16::from_le_bytes(input.array()?);
    if length as usize != bytes.len() {
        return Err(Error::Damaged("length of a ziplist"));
    }
    let mut elements = Vec::new();
    let (mut at, mut before, mut last_at) = (HEADER_BYTES, 0, HEADER_BYTES);
    loop {
        let (told, prefix) = match input.byte()? {
            END => break,
            LONG => (u32::from_le_bytes(input.array()?) as usize, 5),
            short => (usize::from(short), 1),
        };
        if told != before {
            return Err(Error::Damaged("backward length in a ziplist"));
        }
        let (element, element_bytes) = element(&mut input)?;
        (last_at, before) = (at, prefix + element_bytes);
        at += before;
        budget.collect(&mut elements, element)?;
    }
    let is_counted = count == UNKNOWN_COUNT || usize::from(count) == elements.len();
    if is_counted && at + 1 == bytes.len() && last as usize == last_at {
        Ok(elements)
    } else {
        Err(Error::Damaged("count of a ziplist"))
    }
}

/// An element and how long form and data are.
fn element(input: &mut Input) -> Result<(Bytes, usize)> {
    let number = |number: i64, bytes: usize| Ok((Bytes::from(number.to_string()), bytes));
    let form = input.byte()?;
    let (length, header) = match form {
        ..0x40 => (u64::from(form), 1),
        0x40..0x80 => (u64::from(u16::from_be_bytes([form & 0x3f, input.byte()?])), 2),
        0x80 => (u64::from(u32::from_be_bytes(input.array()?)), 5),
        0xc0 => return number(i16::from_le_bytes(input.array()?).into(), 3),
        0xd0 => return number(i32::from_le_bytes(input.array()?).into(), 5),
        0xe0 => return number(i64::from_le_bytes(input.array()?), 9),
        0xf0 => {
            let [low, middle, high] = input.array()?;
            return number((i32::from_le_bytes([0, low, middle, high]) >> 8).into(), 4);
        }
        0xf1..=0xfd => return number((form - 0xf1).into(), 1),
        0xfe => return number(i8::from_le_bytes(input.array()?).into(), 2),
        _ => return Err(Error::Damaged("an element of unknown form in a ziplist")),
    };
    let element = input.take(length)?;
    let bytes = header + element.len();
    Ok((element, bytes))
}
