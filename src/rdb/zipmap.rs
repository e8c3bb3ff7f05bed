//! Zipmaps: fields and values in one piece of memory, which Redis kept small hashes in until 2.6.
//!
//! ```text
//! pairs, 254 if unknown | per pair: length, field, length, unused bytes behind it, value, those bytes | 0xff
//! length: 1 byte below 254, or 0xfe and u32 LE
//! ```

use bytes::Bytes;

use super::input::Input;
use super::{Error, Result};

const END: u8 = 0xff;
const LONG: u8 = 0xfe;

/// Every pair.
pub fn read(bytes: &Bytes, budget: &mut Input) -> Result<Vec<(Bytes, Bytes)>> {
    let mut input = Input::new(bytes.clone());
    let count = input.byte()?;
    let mut pairs = Vec::new();
    loop {
        let form = input.byte()?;
        if form == END {
            break;
        }
        let field = word(form, false, &mut input)?;
        let form = input.byte()?;
        let value = word(form, true, &mut input)?;
        budget.collect(&mut pairs, (field, value))?;
    }
    let is_counted = count >= LONG || usize::from(count) == pairs.len();
    if is_counted && input.is_empty() { Ok(pairs) } else { Err(Error::Damaged("count of a zipmap")) }
}

/// A word whose length begins with this byte; a value has, behind its length, the number of unused bytes behind it.
fn word(form: u8, is_value: bool, input: &mut Input) -> Result<Bytes> {
    let length = match form {
        LONG => u32::from_le_bytes(input.array()?).into(),
        END => return Err(Error::Damaged("a word of unknown form in a zipmap")),
        short => short.into(),
    };
    let unused = if is_value { input.byte()? } else { 0 };
    let word = input.take(length)?;
    input.take(unused.into())?;
    Ok(word)
}
