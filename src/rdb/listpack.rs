//! Listpacks: elements in one piece of memory, which Redis has kept small values in since 7.0.
//!
//! ```text
//! u32 LE bytes of all | u16 LE elements, 65535 if unknown | per element: form, data, length of both | 0xff
//!
//! 0nnnnnnn            integer 0 to 127       110nnnnn nnnnnnnn   integer of 13 bits
//! 0xf1, f2, f3, f4    integers of 16, 24, 32, 64 bits, LE
//! 10nnnnnn            string of n bytes      1110nnnn nnnnnnnn   string of n bytes
//! 0xf0 u32 LE         string of so many bytes
//!
//! length of form and data: seven bits per byte, highest first; all but the first byte have the highest bit
//! ```
//!
//! Integers are strings to a client; one that reads as an integer is stored as such.

use bytes::Bytes;

use super::input::Input;
use super::{Error, Result};
use crate::base::integer;

const HEADER_BYTES: usize = 6;
const END: u8 = 0xff;
const UNKNOWN_COUNT: u16 = u16::MAX;

/// Every element, as text.
pub fn read(bytes: &Bytes, budget: &mut Input) -> Result<Vec<Bytes>> {
    let mut input = Input::new(bytes.clone());
    let (length, count) = (u32::from_le_bytes(input.array()?), u16::from_le_bytes(input.array()?));
    if length as usize != bytes.len() {
        return Err(Error::Damaged("length of a listpack"));
    }
    let mut at = HEADER_BYTES;
    let mut elements = Vec::new();
    loop {
        let form = input.byte()?;
        if form == END {
            break;
        }
        let (element, element_bytes) = element(form, &mut input)?;
        let backward = backward_length(element_bytes);
        if input.take(backward.len() as u64)? != backward {
            return Err(Error::Damaged("backward length in a listpack"));
        }
        at += element_bytes + backward.len();
        budget.collect(&mut elements, element)?;
    }
    let is_counted = count == UNKNOWN_COUNT || usize::from(count) == elements.len();
    if is_counted && at + 1 == bytes.len() { Ok(elements) } else { Err(Error::Damaged("count of a listpack")) }
}

/// An element and how long form and data are.
fn element(form: u8, input: &mut Input) -> Result<(Bytes, usize)> {
    let number = |number: i64, bytes: usize| Ok((Bytes::from(number.to_string()), bytes));
    let (length, header) = match form {
        ..0x80 => return number(form.into(), 1),
        0x80..0xc0 => (u64::from(form & 0x3f), 1),
        0xc0..0xe0 => {
            let bits = u16::from_be_bytes([form & 0x1f, input.byte()?]);
            // The sign is bit 12.
            return number(((bits << 3) as i16 >> 3).into(), 2);
        }
        0xe0..0xf0 => (u64::from(u16::from_be_bytes([form & 0x0f, input.byte()?])), 2),
        0xf0 => (u64::from(u32::from_le_bytes(input.array()?)), 5),
        0xf1 => return number(i16::from_le_bytes(input.array()?).into(), 3),
        0xf2 => {
            let [low, middle, high] = input.array()?;
            return number((i32::from_le_bytes([0, low, middle, high]) >> 8).into(), 4);
        }
        0xf3 => return number(i32::from_le_bytes(input.array()?).into(), 5),
        0xf4 => return number(i64::from_le_bytes(input.array()?), 9),
        _ => return Err(Error::Damaged("an element of unknown form in a listpack")),
    };
    let element = input.take(length)?;
    let bytes = header + element.len();
    Ok((element, bytes))
}

/// A listpack that grows.
#[derive(Clone, Debug)]
pub struct Builder {
    bytes: Vec<u8>,
    count: usize,
}

impl Default for Builder {
    fn default() -> Builder {
        Builder { bytes: vec![0; HEADER_BYTES], count: 0 }
    }
}

impl Builder {
    /// Appends an element.
    pub fn push(&mut self, element: &[u8]) {
        let start = self.bytes.len();
        match integer::parse(element) {
            Some(number) => self.put_integer(number),
            None => self.put_string(element),
        }
        let backward = backward_length(self.bytes.len() - start);
        self.bytes.extend_from_slice(&backward);
        self.count += 1;
    }

    /// How long it is by now.
    pub fn len(&self) -> usize {
        self.bytes.len() + 1
    }

    /// How many elements it has by now.
    pub fn count(&self) -> usize {
        self.count
    }

    /// The whole.
    pub fn finish(mut self) -> Vec<u8> {
        self.bytes.push(END);
        let count = u16::try_from(self.count).unwrap_or(UNKNOWN_COUNT);
        let length = self.bytes.len() as u32;
        self.bytes[..4].copy_from_slice(&length.to_le_bytes());
        self.bytes[4..HEADER_BYTES].copy_from_slice(&count.to_le_bytes());
        self.bytes
    }

    fn put_integer(&mut self, number: i64) {
        let bytes = number.to_le_bytes();
        match number {
            0..=127 => self.bytes.push(number as u8),
            -4096..=4095 => {
                let [high, low] = (number as u16 & 0x1fff).to_be_bytes();
                self.bytes.extend_from_slice(&[0xc0 | high, low]);
            }
            _ => {
                // As many bytes as hold it with its sign.
                let (form, length) = match number {
                    -0x8000..=0x7fff => (0xf1, 2),
                    -0x80_0000..=0x7f_ffff => (0xf2, 3),
                    -0x8000_0000..=0x7fff_ffff => (0xf3, 4),
                    _ => (0xf4, 8),
                };
                self.bytes.push(form);
                self.bytes.extend_from_slice(&bytes[..length]);
            }
        }
    }

    fn put_string(&mut self, element: &[u8]) {
        match element.len() {
            length @ ..64 => self.bytes.push(0x80 | length as u8),
            length @ ..4096 => {
                let [high, low] = (length as u16).to_be_bytes();
                self.bytes.extend_from_slice(&[0xe0 | high, low]);
            }
            length => {
                self.bytes.push(0xf0);
                self.bytes.extend_from_slice(&(length as u32).to_le_bytes());
            }
        }
        self.bytes.extend_from_slice(element);
    }
}

/// The length of an element as it is read from behind. Redis takes a byte more at the two ends below.
fn backward_length(length: usize) -> Vec<u8> {
    let bytes = match length {
        0..=127 => 1,
        128..16_383 => 2,
        16_383..2_097_151 => 3,
        2_097_151..268_435_455 => 4,
        _ => 5,
    };
    let part = |place: u32| (length >> (7 * place)) as u8 & 0x7f;
    let first = bytes - 1;
    (0..bytes).rev().map(|place| if place == first { part(place) } else { part(place) | 0x80 }).collect()
}
