//! What is read of a payload: bytes, lengths and strings, none beyond the end.
//!
//! ```text
//! length   00nnnnnn | 01nnnnnn nnnnnnnn | 10000000 u32 BE | 10000001 u64 BE
//! string   length, bytes | 110000ff integer of 1, 2 or 4 bytes LE (ff = 0, 1, 2) | 11000011 compressed:
//!          length, length of the string, LZF
//! ```

use bytes::Bytes;

use super::{Error, Result, UNFOLDED_BYTES_MAX, lzf};

/// Bytes that are left, and what may still be unfolded from them.
pub struct Input {
    rest: Bytes,
    budget: usize,
}

impl Input {
    /// All of these bytes.
    pub fn new(rest: Bytes) -> Input {
        Input { rest, budget: UNFOLDED_BYTES_MAX }
    }

    /// Whether nothing is left.
    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// So many bytes; they share the payload's memory.
    pub fn take(&mut self, length: u64) -> Result<Bytes> {
        match usize::try_from(length) {
            Ok(length) if length <= self.rest.len() => Ok(self.rest.split_to(length)),
            _ => Err(Error::Damaged("cut off")),
        }
    }

    /// One byte.
    pub fn byte(&mut self) -> Result<u8> {
        Ok(self.array::<1>()?[0])
    }

    /// So many bytes, for a number.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let (array, _) = self.rest.split_first_chunk().ok_or(Error::Damaged("cut off"))?;
        let array = *array;
        let _ = self.rest.split_to(N);
        Ok(array)
    }

    /// A length, or a number.
    pub fn length(&mut self) -> Result<u64> {
        let first = self.byte()?;
        self.length_after(first)
    }

    fn length_after(&mut self, first: u8) -> Result<u64> {
        let low = first & 0x3f;
        Ok(match (first >> 6, low) {
            (0, _) => u64::from(low),
            (1, _) => u64::from(u16::from_be_bytes([low, self.byte()?])),
            (2, 0) => u64::from(u32::from_be_bytes(self.array()?)),
            (2, 1) => u64::from_be_bytes(self.array()?),
            _ => return Err(Error::Damaged("a length of unknown form")),
        })
    }

    /// A string.
    pub fn string(&mut self) -> Result<Bytes> {
        let number = |number: i64| Ok(Bytes::from(number.to_string()));
        match self.byte()? {
            0xc0 => number(i8::from_le_bytes(self.array()?).into()),
            0xc1 => number(i16::from_le_bytes(self.array()?).into()),
            0xc2 => number(i32::from_le_bytes(self.array()?).into()),
            0xc3 => {
                let (compressed, length) = (self.length()?, self.length()?);
                let length = usize::try_from(length).map_err(|_| Error::TooLarge)?;
                let compressed = self.take(compressed)?;
                self.pay(length)?;
                lzf::decompress(&compressed, length).map(Bytes::from)
            }
            first => {
                let length = self.length_after(first)?;
                self.take(length)
            }
        }
    }

    /// Pays for bytes of memory.
    fn pay(&mut self, bytes: usize) -> Result<()> {
        self.budget = self.budget.checked_sub(bytes).ok_or(Error::TooLarge)?;
        Ok(())
    }

    /// Collects elements that are read one after the other, and pays for each.
    pub fn collect<T>(&mut self, items: &mut Vec<T>, item: T) -> Result<()> {
        self.pay(2 * size_of::<T>())?;
        items.push(item);
        Ok(())
    }

    /// As many items as a length says. Each takes a byte or more, so the length cannot outrun what is there.
    pub fn many<T>(&mut self, mut item: impl FnMut(&mut Input) -> Result<T>) -> Result<Vec<T>> {
        let mut items = Vec::new();
        for _ in 0..self.length()? {
            let item = item(self)?;
            self.collect(&mut items, item)?;
        }
        Ok(items)
    }
}
