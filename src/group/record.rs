//! How a Raft entry is kept in the log database.
//!
//! An ordinary entry is stored as its payload, shared and not copied: an encoded [`super::entry::Entry`], or nothing
//! for the first entry of a term. A membership change is marked by a first byte that no payload has, then the whole
//! Raft entry as protobuf.

use bytes::Bytes;
use protobuf::Message as _;
use raft::eraftpb::{Entry, EntryType};

use crate::base::{LogIndex, Term};
use crate::store::{self, LogRecord};

/// First byte of a stored membership change. Entry payloads start with their format version, which is lower.
const MEMBERSHIP: u8 = 0xff;

/// Whether bytes may be proposed as an ordinary entry: not empty, and told apart from a membership change.
pub(super) fn is_payload(data: &[u8]) -> bool {
    data.first().is_some_and(|&first| first != MEMBERSHIP)
}

/// Whether a stored entry changes the membership.
pub(super) fn is_membership(record: &LogRecord) -> bool {
    record.data.first() == Some(&MEMBERSHIP)
}

/// What to store of an entry.
pub(super) fn store(entry: &Entry) -> store::Result<LogRecord> {
    let data = if entry.get_entry_type() == EntryType::EntryNormal {
        entry.data.clone()
    } else {
        let mut out = vec![MEMBERSHIP];
        entry.write_to_vec(&mut out).map_err(|error| store::Error::Corrupt(error.to_string().into()))?;
        Bytes::from(out)
    };
    Ok(LogRecord { index: LogIndex(entry.index), term: Term(entry.term), data })
}

/// The entry that was stored.
pub(super) fn restore(record: LogRecord) -> store::Result<Entry> {
    if is_membership(&record) {
        return Entry::parse_from_carllerche_bytes(&record.data.slice(1..)).map_err(|error| {
            store::Error::Corrupt(format!("membership entry {} does not decode: {error}", record.index).into())
        });
    }
    Ok(Entry { index: record.index.get(), term: record.term.get(), data: record.data, ..Entry::default() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_come_back_as_they_were() {
        let data = Bytes::from_static(b"\x01payload");
        let normal = Entry { index: 7, term: 3, data, ..Entry::default() };
        let empty = Entry { index: 8, term: 4, ..Entry::default() };
        let mut membership = normal.clone();
        membership.set_entry_type(EntryType::EntryConfChangeV2);
        for entry in [normal, empty, membership] {
            let record = store(&entry).unwrap();
            assert_eq!((record.index.get(), record.term.get()), (entry.index, entry.term));
            assert_eq!(restore(record).unwrap(), entry);
        }
    }

    #[test]
    fn an_ordinary_payload_is_shared_not_copied() {
        let entry = Entry { data: Bytes::from(vec![1; 100]), ..Entry::default() };
        assert_eq!(store(&entry).unwrap().data.as_ptr(), entry.data.as_ptr());
    }
}
