//! Record keys as ordered maps of them hold them (generations, overlays): with their first bytes beside the pointer, so that a search rarely follows it.
//!
//! The first eight bytes of a head record are slot, database, checksum of the key and its first byte: nearly as good as
//! all of them. Relation: keys compare as their bytes do, because the first bytes are compared as a big-endian number
//! (shorter keys padded with zeros), and all bytes where those are equal.

use std::borrow::Borrow;
use std::cmp::Ordering;

use bytes::Bytes;

/// A stored key.
#[derive(Clone, Debug)]
pub(super) struct Key {
    first: u64,
    bytes: Bytes,
}

/// A key to look for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sought<'a> {
    first: u64,
    bytes: &'a [u8],
}

/// What both are compared by.
pub(super) trait Comparable {
    fn parts(&self) -> (u64, &[u8]);
}

fn first(bytes: &[u8]) -> u64 {
    match bytes.first_chunk::<8>() {
        Some(first) => u64::from_be_bytes(*first),
        None => {
            let mut padded = [0; 8];
            padded[..bytes.len()].copy_from_slice(bytes);
            u64::from_be_bytes(padded)
        }
    }
}

impl Key {
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }
}

impl From<Bytes> for Key {
    fn from(bytes: Bytes) -> Key {
        Key { first: first(&bytes), bytes }
    }
}

impl<'a> From<&'a [u8]> for Sought<'a> {
    fn from(bytes: &'a [u8]) -> Sought<'a> {
        Sought { first: first(bytes), bytes }
    }
}

impl Comparable for Key {
    fn parts(&self) -> (u64, &[u8]) {
        (self.first, &self.bytes)
    }
}

impl Comparable for Sought<'_> {
    fn parts(&self) -> (u64, &[u8]) {
        (self.first, self.bytes)
    }
}

impl Ord for dyn Comparable + '_ {
    fn cmp(&self, other: &Self) -> Ordering {
        let ((first, bytes), (other_first, other_bytes)) = (self.parts(), other.parts());
        first.cmp(&other_first).then_with(|| bytes.cmp(other_bytes))
    }
}

impl PartialOrd for dyn Comparable + '_ {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for dyn Comparable + '_ {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for dyn Comparable + '_ {}

impl<'a> Borrow<dyn Comparable + 'a> for Key {
    fn borrow(&self) -> &(dyn Comparable + 'a) {
        self
    }
}

impl Ord for Key {
    fn cmp(&self, other: &Key) -> Ordering {
        self.first.cmp(&other.first).then_with(|| self.bytes.cmp(&other.bytes))
    }
}

impl PartialOrd for Key {
    fn partial_cmp(&self, other: &Key) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Key) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Key {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Rng;

    #[test]
    fn keys_compare_as_their_bytes_do() {
        let mut rng = Rng::new(1);
        let key = |rng: &mut Rng| -> Bytes {
            let length = rng.below(12);
            (0..length).map(|_| rng.below(3) as u8 * 127).collect::<Vec<_>>().into()
        };
        for _ in 0..20_000 {
            let (one, other) = (key(&mut rng), key(&mut rng));
            let (stored, sought) = (Key::from(one.clone()), Sought::from(&other[..]));
            assert_eq!((&stored as &dyn Comparable).cmp(&sought), one.cmp(&other), "{one:?} {other:?}");
            assert_eq!(stored.cmp(&Key::from(other.clone())), one.cmp(&other));
        }
    }
}
