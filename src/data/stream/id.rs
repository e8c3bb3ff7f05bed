//! Names of entries: a time in milliseconds and a number among those of one millisecond.

use std::fmt;

use bytes::BytesMut;

use crate::data::{Result, packed};

/// Where an entry is. Its 16 bytes, big-endian, have the same order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Id {
    /// Milliseconds, mostly since 1970.
    pub ms: u64,
    /// Number within the millisecond.
    pub seq: u64,
}

/// Bytes of an id in the name of a record.
pub(super) const ID_BYTES: usize = 16;

impl Id {
    /// Below every entry: no entry has it.
    pub const MIN: Id = Id { ms: 0, seq: 0 };
    /// The last possible one.
    pub const MAX: Id = Id { ms: u64::MAX, seq: u64::MAX };

    /// The one right behind it.
    pub fn next(self) -> Option<Id> {
        match self.seq.checked_add(1) {
            Some(seq) => Some(Id { seq, ..self }),
            None => Some(Id { ms: self.ms.checked_add(1)?, seq: 0 }),
        }
    }

    /// The one right before it.
    pub fn previous(self) -> Option<Id> {
        match self.seq.checked_sub(1) {
            Some(seq) => Some(Id { seq, ..self }),
            None => Some(Id { ms: self.ms.checked_sub(1)?, seq: u64::MAX }),
        }
    }

    /// As a part of a record's name.
    pub(super) fn bytes(self) -> [u8; ID_BYTES] {
        (u128::from(self.ms) << 64 | u128::from(self.seq)).to_be_bytes()
    }

    /// Reads the last bytes of a record's name.
    pub(super) fn at_end_of(name: &[u8]) -> Option<Id> {
        let number = u128::from_be_bytes(*name.last_chunk::<ID_BYTES>()?);
        Some(Id { ms: (number >> 64) as u64, seq: number as u64 })
    }

    /// Appends it to a record's value.
    pub(super) fn put(self, out: &mut BytesMut) {
        packed::put_varint(out, self.ms);
        packed::put_varint(out, self.seq);
    }

    /// Takes it from a record's value.
    pub(super) fn take(rest: &mut &[u8]) -> Result<Id> {
        Ok(Id { ms: packed::take_number(rest)?, seq: packed::take_number(rest)? })
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.ms, self.seq)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_have_the_order_of_their_bytes() {
        let last = Id { ms: 7, seq: u64::MAX };
        let ids = [Id::MIN, Id { ms: 0, seq: 1 }, Id { ms: 0, seq: 256 }, last, Id { ms: 8, seq: 0 }, Id::MAX];
        for pair in ids.windows(2) {
            assert!(pair[0] < pair[1] && pair[0].bytes() < pair[1].bytes());
        }
        for id in ids {
            assert_eq!(Id::at_end_of(&[&b"x"[..], &id.bytes()].concat()), Some(id));
            let mut out = BytesMut::new();
            id.put(&mut out);
            assert_eq!(Id::take(&mut &out[..]), Ok(id));
            assert!(id.next().is_none_or(|next| next.previous() == Some(id)));
        }
        assert_eq!((last.next(), Id::MAX.next(), Id::MIN.previous()), (Some(Id { ms: 8, seq: 0 }), None, None));
        assert_eq!(last.to_string(), "7-18446744073709551615");
        assert_eq!(Id::at_end_of(&[0; 15]), None);
    }
}
