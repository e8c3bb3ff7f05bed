//! Which keys scripts read, for whoever keeps copies of what they answer (CLIENT TRACKING): a call names what it may
//! touch, but only its commands tell what they look at.

use std::collections::BTreeSet;

use bytes::Bytes;

use crate::base::limits;

/// Keys that the commands of scripts read.
#[derive(Debug, Default)]
pub(super) struct Reads {
    keys: BTreeSet<Bytes>,
    bytes: usize,
    /// There were more than can be told.
    are_too_many: bool,
}

impl Reads {
    /// A command reads a key.
    pub fn add(&mut self, key: &Bytes) {
        if self.are_too_many || self.keys.contains(key) {
            return;
        }
        self.bytes += key.len() + KEY_BYTES;
        if self.bytes > limits::SCRIPT_READS_BYTES_MAX {
            *self = Reads { are_too_many: true, ..Reads::default() };
            return;
        }
        self.keys.insert(key.clone());
    }

    /// The keys, ascending; `None` if nothing was read, empty if they are too many.
    pub fn into_keys(self) -> Option<Vec<Bytes>> {
        (self.are_too_many || !self.keys.is_empty()).then(|| self.keys.into_iter().collect())
    }
}

/// What a key takes beside its bytes.
const KEY_BYTES: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_told_once_and_in_order_or_not_at_all() {
        let mut reads = Reads::default();
        assert_eq!(Reads::default().into_keys(), None);
        ["b", "a", "b"].into_iter().for_each(|key| reads.add(&Bytes::from(key)));
        assert_eq!(reads.into_keys(), Some(vec![Bytes::from("a"), Bytes::from("b")]));
        let mut reads = Reads::default();
        let large = |first: u8| Bytes::from([&[first][..], &vec![0; limits::SCRIPT_READS_BYTES_MAX / 2]].concat());
        reads.add(&large(1));
        reads.add(&large(1));
        assert!(!reads.are_too_many, "the same key again costs nothing");
        reads.add(&large(2));
        reads.add(&Bytes::from("c"));
        assert_eq!(reads.into_keys(), Some(vec![]));
    }
}
