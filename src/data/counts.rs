//! Exact numbers of a group, so that DBSIZE and INFO cost nothing: keys and keys with a deadline, per database.
//!
//! ```text
//! byte 0         format, 1
//! per database that has keys, ascending: db u8 | keys u64 BE | keys with a deadline u64 BE
//! ```
//!
//! Invariant: a count changes in the same batch as the key it counts ([`super::Keyspace::set`], `remove`).

use bytes::{BufMut, Bytes, BytesMut};

use crate::base::limits::DATABASES;
use crate::store;

const FORMAT: u8 = 1;
const ROW: usize = 17;

/// The numbers, kept as one group record.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Keys per database.
    pub keys: [u64; DATABASES as usize],
    /// Keys with a deadline per database.
    pub expires: [u64; DATABASES as usize],
}

impl Counts {
    /// The group record's value.
    pub fn encode(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(1 + ROW);
        out.put_u8(FORMAT);
        for (db, (keys, expires)) in (0..DATABASES).zip(self.keys.iter().zip(&self.expires)) {
            if *keys != 0 || *expires != 0 {
                out.put_u8(db);
                out.put_u64(*keys);
                out.put_u64(*expires);
            }
        }
        out.freeze()
    }

    /// Reads the group record's value; a group that never had a key has none.
    pub fn decode(record: &[u8]) -> store::Result<Counts> {
        let damaged = || store::Error::Corrupt("the record of a group's counts has an unknown form".into());
        let (&FORMAT, mut rows) = record.split_first().ok_or_else(damaged)? else {
            return Err(damaged());
        };
        let mut counts = Counts::default();
        while let Some((row, rest)) = rows.split_first_chunk::<ROW>() {
            let number = |at: usize| u64::from_be_bytes(std::array::from_fn(|i| row[at + i]));
            let db = usize::from(row[0]);
            *counts.keys.get_mut(db).ok_or_else(damaged)? = number(1);
            *counts.expires.get_mut(db).ok_or_else(damaged)? = number(9);
            rows = rest;
        }
        if rows.is_empty() { Ok(counts) } else { Err(damaged()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden_bytes() {
        assert_eq!(&Counts::default().encode()[..], b"\x01");
        let mut counts = Counts::default();
        counts.keys[0] = 0x0102;
        counts.keys[15] = 3;
        counts.expires[15] = 1;
        let record = counts.encode();
        assert_eq!(
            &record[..],
            b"\x01\x00\0\0\0\0\0\0\x01\x02\0\0\0\0\0\0\0\0\x0f\0\0\0\0\0\0\0\x03\0\0\0\0\0\0\0\x01"
        );
        assert_eq!(Counts::decode(&record), Ok(counts));
        assert_eq!(Counts::decode(b"\x01"), Ok(Counts::default()));
    }

    #[test]
    fn unknown_forms_are_refused() {
        let row_of_no_database = [&[1, 16][..], &[0; 16]].concat();
        for record in [&b""[..], b"\x02", b"\x01\0", &row_of_no_database] {
            assert!(matches!(Counts::decode(record), Err(store::Error::Corrupt(_))), "{record:?}");
        }
    }
}
