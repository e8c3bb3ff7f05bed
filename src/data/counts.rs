//! Exact numbers of a group, so that DBSIZE and INFO cost nothing: keys, keys with a deadline and hashes with deadlines
//! of fields, per database.
//!
//! ```text
//! byte 0         format: 2 if there are deadlines of fields, else 1
//! per database that has keys, ascending: db u8 | keys u64 BE | keys with a deadline u64 BE
//!                and in format 2: hashes with deadlines of fields u64 BE
//! ```
//!
//! Invariant: a count changes in the same batch as the key it counts ([`super::Keyspace::set`], `remove`).

use bytes::{BufMut, Bytes, BytesMut};

use crate::base::limits::DATABASES;
use crate::store;

/// Without the last number of each row.
const FORMAT_OF_KEYS: u8 = 1;
const FORMAT_OF_FIELDS: u8 = 2;

/// The numbers, kept as one group record.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Keys per database.
    pub keys: [u64; DATABASES as usize],
    /// Keys with a deadline per database.
    pub expires: [u64; DATABASES as usize],
    /// Hashes with deadlines of fields per database.
    pub field_expires: [u64; DATABASES as usize],
}

impl Counts {
    /// Whether no key and no field has a deadline.
    pub fn nothing_expires(&self) -> bool {
        self.expires.iter().chain(&self.field_expires).all(|count| *count == 0)
    }

    /// The group record's value.
    pub fn encode(&self) -> Bytes {
        let with_fields = self.field_expires.iter().any(|count| *count > 0);
        let mut out = BytesMut::with_capacity(1 + 25);
        out.put_u8(if with_fields { FORMAT_OF_FIELDS } else { FORMAT_OF_KEYS });
        for db in 0..DATABASES {
            let at = usize::from(db);
            let row = [self.keys[at], self.expires[at], self.field_expires[at]];
            if row != [0; 3] {
                out.put_u8(db);
                row.iter().take(if with_fields { 3 } else { 2 }).for_each(|number| out.put_u64(*number));
            }
        }
        out.freeze()
    }

    /// Reads the group record's value; a group that never had a key has none.
    pub fn decode(record: &[u8]) -> store::Result<Counts> {
        let damaged = || store::Error::Corrupt("the record of a group's counts has an unknown form".into());
        let (format, rows) = record.split_first().ok_or_else(damaged)?;
        let numbers = match *format {
            FORMAT_OF_KEYS => 2,
            FORMAT_OF_FIELDS => 3,
            _ => return Err(damaged()),
        };
        let rows = rows.chunks_exact(1 + 8 * numbers);
        if !rows.remainder().is_empty() {
            return Err(damaged());
        }
        let mut counts = Counts::default();
        for row in rows {
            let (db, (numbers, _)) = (usize::from(row[0]), row[1..].as_chunks::<8>());
            let mut numbers = numbers.iter().map(|number| u64::from_be_bytes(*number));
            for column in [&mut counts.keys, &mut counts.expires, &mut counts.field_expires] {
                *column.get_mut(db).ok_or_else(damaged)? = numbers.next().unwrap_or(0);
            }
        }
        Ok(counts)
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
        assert_eq!(Counts::decode(&record), Ok(counts.clone()));
        counts.keys[0] = 0;
        counts.field_expires[15] = 2;
        let record = counts.encode();
        assert_eq!(&record[..], b"\x02\x0f\0\0\0\0\0\0\0\x03\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\x02");
        assert_eq!(Counts::decode(&record), Ok(counts));
        assert_eq!(Counts::decode(b"\x01"), Ok(Counts::default()));
    }

    #[test]
    fn unknown_forms_are_refused() {
        let row_of_no_database = [&[1, 16][..], &[0; 16]].concat();
        for record in [&b""[..], b"\x03", b"\x01\0", b"\x02\0\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\x01", &row_of_no_database]
        {
            assert!(matches!(Counts::decode(record), Err(store::Error::Corrupt(_))), "{record:?}");
        }
    }
}
