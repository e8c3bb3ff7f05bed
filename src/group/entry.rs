//! The bytes of a log entry: versioned, the only user of `bincode`, held by golden tests.
//!
//! Invariant: what was once written is read for ever, or stops the group; it is never skipped or half read.
//! Every replica of every version applies the same bytes, so a changed layout gets a new version byte.
//!
//! Layout: version byte, then bincode's standard configuration (little endian, variable-length integers): stamp, epoch,
//! number of mutations, and per mutation a tag (0 put, 1 delete, 2 delete range) and its byte strings. That is all of
//! version 1. Version 2, of entries that say something to who listens, goes on with the number of publications, and per
//! publication a tag (0 channel, 1 shard channel), the channel and the message. Version 3, of entries with changes that
//! somebody does not want to hear of, goes on with their number, and of each the author and the key. Decoding copies nothing: keys and
//! values are slices of the entry's own memory.

use bincode::config;
use bytes::Bytes;

use crate::base::{ChannelKind, Millis, Own, Publication};
use crate::store::Mutation;

/// Mutations only.
const VERSION: u8 = 1;
/// Mutations, then publications.
const VERSION_PUBLISHING: u8 = 2;
/// Mutations, publications if any, then who changed what.
const VERSION_AUTHORED: u8 = 3;

const PUT: u8 = 0;
const DELETE: u8 = 1;
const DELETE_RANGE: u8 = 2;

const PLAIN: u8 = 0;
const SHARD: u8 = 1;

/// What a log entry says. Applying it is blind and total (rule 23).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// `max(wall clock, last stamp)` of the leader: keys with a deadline at or before it are dead.
    pub stamp: Millis,
    /// Range epoch it was evaluated under; an entry of another epoch is skipped (rule 28).
    pub epoch: u64,
    /// Changes of the state, in order.
    pub mutations: Vec<Mutation>,
    /// What every replica tells who listens at its node once the entry is applied, in order.
    pub publications: Vec<Publication>,
    /// Keys that one client changed alone and does not want to hear of. Nothing of the state depends on it.
    pub own: Vec<Own>,
}

/// Why bytes are no entry. The group stops (rule 23), it never skips.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[error("the log entry does not decode: {0}")]
pub struct DecodeError(pub String);

impl Entry {
    /// Bytes of this entry, format version first.
    pub fn encode(&self) -> Bytes {
        let payload = self.mutations.iter().map(Mutation::bytes).sum::<usize>()
            + self.publications.iter().map(Publication::bytes).sum::<usize>()
            + self.own.iter().map(Own::bytes).sum::<usize>();
        let items = self.mutations.len() + self.publications.len() + self.own.len();
        // Tag and two lengths of at most 9 bytes each; 5 bytes are what a usual mutation needs.
        let mut out = Writer(Vec::with_capacity(1 + 4 * 9 + payload + 5 * items));
        let version = match (self.publications.is_empty(), self.own.is_empty()) {
            (_, false) => VERSION_AUTHORED,
            (false, _) => VERSION_PUBLISHING,
            _ => VERSION,
        };
        out.put(version);
        out.put((self.stamp.0, self.epoch, self.mutations.len() as u64));
        for mutation in &self.mutations {
            match mutation {
                Mutation::Put(key, value) => out.put((PUT, &key[..], &value[..])),
                Mutation::Delete(key) => out.put((DELETE, &key[..])),
                Mutation::DeleteRange(start, end) => out.put((DELETE_RANGE, &start[..], &end[..])),
            }
        }
        if version != VERSION {
            out.put(self.publications.len() as u64);
        }
        for Publication { kind, channel, message } in &self.publications {
            let tag = match kind {
                ChannelKind::Plain => PLAIN,
                ChannelKind::Shard => SHARD,
            };
            out.put((tag, &channel[..], &message[..]));
        }
        if version == VERSION_AUTHORED {
            out.put(self.own.len() as u64);
        }
        for Own { author, key } in &self.own {
            out.put((*author, &key[..]));
        }
        out.0.into()
    }

    /// Reads an entry; its keys and values share the memory of `data`.
    pub fn decode(data: &Bytes) -> Result<Entry, DecodeError> {
        let mut from = Reader { whole: data, rest: data };
        let version: u8 = from.take()?;
        if !matches!(version, VERSION | VERSION_PUBLISHING | VERSION_AUTHORED) {
            let known = VERSION_AUTHORED;
            return Err(DecodeError(format!("format version {version}, this program knows {known} and older ones")));
        }
        let (stamp, epoch, count): (u64, u64, u64) = from.take()?;
        // A mutation has at least two bytes: a lying count cannot reserve more than the entry could hold.
        let mut mutations = Vec::with_capacity(count.min(from.rest.len() as u64 / 2) as usize);
        for _ in 0..count {
            let tag: u8 = from.take()?;
            mutations.push(match tag {
                PUT => Mutation::Put(from.bytes()?, from.bytes()?),
                DELETE => Mutation::Delete(from.bytes()?),
                DELETE_RANGE => Mutation::DeleteRange(from.bytes()?, from.bytes()?),
                other => return Err(DecodeError(format!("unknown mutation {other}"))),
            });
        }
        let mut publications = Vec::new();
        if version != VERSION {
            let count: u64 = from.take()?;
            // A publication has at least three bytes.
            publications.reserve(count.min(from.rest.len() as u64 / 3) as usize);
            for _ in 0..count {
                let tag: u8 = from.take()?;
                let kind = match tag {
                    PLAIN => ChannelKind::Plain,
                    SHARD => ChannelKind::Shard,
                    other => return Err(DecodeError(format!("unknown kind of channel {other}"))),
                };
                publications.push(Publication { kind, channel: from.bytes()?, message: from.bytes()? });
            }
        }
        let mut own = Vec::new();
        if version == VERSION_AUTHORED {
            let count: u64 = from.take()?;
            // Each has at least two bytes.
            own.reserve(count.min(from.rest.len() as u64 / 2) as usize);
            for _ in 0..count {
                own.push(Own { author: from.take()?, key: from.bytes()? });
            }
        }
        if !from.rest.is_empty() {
            return Err(DecodeError(format!("{} bytes after the last item", from.rest.len())));
        }
        Ok(Entry { stamp: Millis(stamp), epoch, mutations, publications, own })
    }
}

struct Writer(Vec<u8>);

impl Writer {
    fn put(&mut self, value: impl bincode::Encode) {
        // A vector takes every byte and none of these types can refuse, so there is no error to pass on.
        let written = bincode::encode_into_std_write(value, &mut self.0, config::standard());
        debug_assert!(written.is_ok(), "{written:?}");
    }
}

struct Reader<'a> {
    whole: &'a Bytes,
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn take<T: bincode::BorrowDecode<'a, ()>>(&mut self) -> Result<T, DecodeError> {
        let (value, length) = bincode::borrow_decode_from_slice(self.rest, config::standard())
            .map_err(|error| DecodeError(error.to_string()))?;
        self.rest = &self.rest[length..];
        Ok(value)
    }

    fn bytes(&mut self) -> Result<Bytes, DecodeError> {
        let slice: &'a [u8] = self.take()?;
        Ok(self.whole.slice_ref(slice))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Entry {
        Entry {
            stamp: Millis(1_700_000_000_000),
            epoch: 7,
            mutations: vec![
                Mutation::Put(Bytes::from_static(b"key"), Bytes::from_static(b"value")),
                Mutation::Delete(Bytes::from_static(b"gone")),
                Mutation::DeleteRange(Bytes::from_static(b"a"), Bytes::from_static(b"b")),
            ],
            publications: Vec::new(),
            own: Vec::new(),
        }
    }

    fn publishing() -> Entry {
        let publication = |kind, channel, message: &'static str| {
            let channel: &'static str = channel;
            Publication { kind, channel: channel.into(), message: message.into() }
        };
        Entry {
            mutations: sample().mutations[1..2].to_vec(),
            publications: vec![
                publication(ChannelKind::Plain, "news", "first"),
                publication(ChannelKind::Shard, "", ""),
            ],
            ..sample()
        }
    }

    fn authored() -> Entry {
        let own = vec![Own { author: 9, key: "k".into() }];
        Entry { mutations: sample().mutations[1..2].to_vec(), own, ..sample() }
    }

    #[test]
    fn the_bytes_are_golden() {
        let mut golden = vec![1, 253, 0x00, 0x68, 0xe5, 0xcf, 0x8b, 0x01, 0x00, 0x00, 7, 3];
        golden.extend_from_slice(b"\x00\x03key\x05value");
        golden.extend_from_slice(b"\x01\x04gone");
        golden.extend_from_slice(b"\x02\x01a\x01b");
        assert_eq!(sample().encode(), golden);
        assert_eq!(Entry::decode(&golden.into()), Ok(sample()));
    }

    #[test]
    fn the_bytes_of_publications_are_golden() {
        let mut golden = vec![2, 253, 0x00, 0x68, 0xe5, 0xcf, 0x8b, 0x01, 0x00, 0x00, 7, 1];
        golden.extend_from_slice(b"\x01\x04gone");
        golden.extend_from_slice(b"\x02\x00\x04news\x05first\x01\x00\x00");
        assert_eq!(publishing().encode(), golden);
        assert_eq!(Entry::decode(&golden.clone().into()), Ok(publishing()));
        // No third kind of channel.
        *golden.iter_mut().rev().nth(2).unwrap() = 2;
        assert!(Entry::decode(&golden.into()).is_err());
    }

    #[test]
    fn the_bytes_of_own_changes_are_golden() {
        let mut golden = vec![3, 253, 0x00, 0x68, 0xe5, 0xcf, 0x8b, 0x01, 0x00, 0x00, 7, 1];
        golden.extend_from_slice(b"\x01\x04gone");
        golden.extend_from_slice(b"\x00\x01\x09\x01k");
        assert_eq!(authored().encode(), golden);
        assert_eq!(Entry::decode(&golden.into()), Ok(authored()));
    }

    #[test]
    fn an_entry_without_mutations_is_four_bytes() {
        let entry =
            Entry { stamp: Millis(5), epoch: 0, mutations: Vec::new(), publications: Vec::new(), own: Vec::new() };
        assert_eq!(&entry.encode()[..], [1, 5, 0, 0]);
        assert_eq!(Entry::decode(&entry.encode()), Ok(entry));
    }

    #[test]
    fn keys_and_values_share_the_entry_memory() {
        let data = sample().encode();
        let inside = data.as_ptr_range();
        for mutation in Entry::decode(&data).unwrap().mutations {
            let (Mutation::Put(bytes, _) | Mutation::Delete(bytes) | Mutation::DeleteRange(bytes, _)) = mutation;
            assert!(inside.contains(&bytes.as_ptr()), "a key was copied");
        }
    }

    #[test]
    fn rule_23_an_unknown_version_is_an_error() {
        for version in [0, 4, 255] {
            let mut data = sample().encode().to_vec();
            data[0] = version;
            assert!(Entry::decode(&data.into()).is_err());
        }
    }

    #[test]
    fn every_cut_and_every_extra_byte_is_an_error() {
        for data in [sample().encode(), publishing().encode(), authored().encode()] {
            for length in 0..data.len() {
                assert!(Entry::decode(&data.slice(..length)).is_err(), "cut at {length}");
            }
            let mut longer = data.to_vec();
            longer.push(0);
            assert!(Entry::decode(&longer.into()).is_err());
        }
    }

    #[test]
    fn a_lying_count_allocates_nothing_and_fails() {
        for head in [&[1u8, 0, 0, 253][..], &[2, 0, 0, 0, 253], &[3, 0, 0, 0, 0, 253]] {
            let data = [head, &u64::MAX.to_le_bytes()].concat();
            assert!(Entry::decode(&data.into()).is_err());
        }
    }
}
