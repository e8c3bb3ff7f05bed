//! What a payload is written of: lengths and strings, in the shortest form that Redis writes.
//!
//! The forms are in [`super::input`].

use super::lzf;
use crate::base::integer;

/// Longer strings are not tried as integers.
const INTEGER_BYTES_MAX: usize = 11;
/// Strings up to this are not compressed.
const PLAIN_BYTES_MAX: usize = 20;

/// Appends a length.
pub fn put_length(out: &mut Vec<u8>, length: usize) {
    put_number(out, length as u64);
}

/// Appends a number in the form of a length.
pub fn put_number(out: &mut Vec<u8>, number: u64) {
    match number {
        0..64 => out.push(number as u8),
        64..16384 => out.extend_from_slice(&(number as u16 | 0x4000).to_be_bytes()),
        _ => match u32::try_from(number) {
            Ok(number) => {
                out.push(0x80);
                out.extend_from_slice(&number.to_be_bytes());
            }
            Err(_) => {
                out.push(0x81);
                out.extend_from_slice(&number.to_be_bytes());
            }
        },
    }
}

/// Appends a string: as an integer or compressed, where that is shorter.
pub fn put_string(out: &mut Vec<u8>, bytes: &[u8]) {
    if bytes.len() <= INTEGER_BYTES_MAX
        && let Some(number) = integer::parse(bytes).and_then(|number| i32::try_from(number).ok())
    {
        return put_integer(out, number);
    }
    let compressed = if bytes.len() > PLAIN_BYTES_MAX { lzf::compress(bytes) } else { None };
    match compressed {
        Some(compressed) => {
            out.push(0xc3);
            put_length(out, compressed.len());
            put_length(out, bytes.len());
            out.extend_from_slice(&compressed);
        }
        None => {
            put_length(out, bytes.len());
            out.extend_from_slice(bytes);
        }
    }
}

fn put_integer(out: &mut Vec<u8>, number: i32) {
    let (form, length) = match number {
        -0x80..=0x7f => (0xc0, 1),
        -0x8000..=0x7fff => (0xc1, 2),
        _ => (0xc2, 4),
    };
    out.push(form);
    out.extend_from_slice(&number.to_le_bytes()[..length]);
}
