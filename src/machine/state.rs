//! How far a group's state is: one record, written in the same batch as the mutations that it counts (rule 17).
//!
//! ```text
//! format u8 = 1 | applied index u64 | its term u64 | stamp u64 | range epoch u64 | hash u64 | ConfState
//! ```
//!
//! Big-endian. Invariant: the record and the rest of the group's records are always those after the same entry.

use bytes::{BufMut, Bytes, BytesMut};

use crate::base::{GroupId, LogIndex, Millis, Term};
use crate::store::{self, Engine, Read, keys};

const FORMAT: u8 = 1;
const FIXED_BYTES: usize = 1 + 5 * 8;

/// The record's content.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// The newest entry that the state contains; 0 for none.
    pub applied: LogIndex,
    /// Its term.
    pub term: Term,
    /// The newest stamp of an applied entry: keys with a deadline at or before it are dead (rule 39).
    pub stamp: Millis,
    /// Range epoch: entries of another one are skipped (rule 28).
    pub epoch: u64,
    /// Rolling hash over all applied entries: equal on all replicas at equal index (rule 23).
    pub hash: u64,
    /// Encoded ConfState; empty as long as no entry changed the membership.
    pub conf_state: Bytes,
}

impl State {
    /// The state of a group as `view` shows it; `None` if nothing was ever applied.
    pub fn load(view: &dyn Read, group: GroupId) -> store::Result<Option<State>> {
        view.get(&keys::applied(group))?.map(|record| State::decode(&record)).transpose()
    }

    /// Up to where the state would survive a crash now: the log may be cut there (rule 18).
    pub fn persisted(engine: &dyn Engine, group: GroupId) -> store::Result<LogIndex> {
        let record = engine.get_persisted(&keys::applied(group))?;
        Ok(record.map(|record| State::decode(&record)).transpose()?.unwrap_or_default().applied)
    }

    /// The record.
    pub fn encode(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(FIXED_BYTES + self.conf_state.len());
        out.put_u8(FORMAT);
        out.put_u64(self.applied.get());
        out.put_u64(self.term.get());
        out.put_u64(self.stamp.0);
        out.put_u64(self.epoch);
        out.put_u64(self.hash);
        out.put_slice(&self.conf_state);
        out.freeze()
    }

    /// Reads the record.
    pub fn decode(record: &Bytes) -> store::Result<State> {
        if record.len() < FIXED_BYTES || record[0] != FORMAT {
            return Err(store::Error::Corrupt("the record of a group's applied index has an unknown form".into()));
        }
        let number = |at: usize| u64::from_be_bytes(std::array::from_fn(|byte| record[1 + 8 * at + byte]));
        Ok(State {
            applied: LogIndex(number(0)),
            term: Term(number(1)),
            stamp: Millis(number(2)),
            epoch: number(3),
            hash: number(4),
            conf_state: record.slice(FIXED_BYTES..),
        })
    }

    /// Takes an entry into the hash: its place and its bytes, whether they were applied or skipped.
    pub(super) fn roll(&mut self, index: LogIndex, payload: &[u8]) {
        let content = (payload.len() as u64) << 32 ^ u64::from(crc32fast::hash(payload));
        self.hash = mix(self.hash ^ mix(content ^ mix(index.get())));
    }
}

/// The finalizer of splitmix64 (Steele, Lea, Flood 2014): every bit of the input moves every bit of the output.
fn mix(mut x: u64) -> u64 {
    x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bytes_are_golden() {
        let state = State {
            applied: LogIndex(0x0102),
            term: Term(3),
            stamp: Millis(4),
            epoch: 5,
            hash: 0xff00_0000_0000_0006,
            conf_state: Bytes::from_static(b"conf"),
        };
        let golden =
            b"\x01\0\0\0\0\0\0\x01\x02\0\0\0\0\0\0\0\x03\0\0\0\0\0\0\0\x04\0\0\0\0\0\0\0\x05\xff\0\0\0\0\0\0\x06conf";
        assert_eq!(&state.encode()[..], golden);
        assert_eq!(State::decode(&Bytes::from_static(golden)), Ok(state));
        for length in 0..FIXED_BYTES {
            assert!(State::decode(&Bytes::from_static(golden).slice(..length)).is_err());
        }
        assert!(State::decode(&Bytes::from(vec![2; 60])).is_err());
    }

    #[test]
    fn rule_23_the_hash_tells_place_content_and_order_apart() {
        let hash = |entries: &[(u64, &[u8])]| {
            let mut state = State::default();
            entries.iter().for_each(|(index, payload)| state.roll(LogIndex(*index), payload));
            state.hash
        };
        // Golden: replicas of different versions compare their hashes.
        assert_eq!(hash(&[(1, b""), (2, b"x")]), hash(&[(1, b""), (2, b"x")]));
        let all = [hash(&[]), hash(&[(1, b"")]), hash(&[(2, b"")]), hash(&[(1, b"x")]), hash(&[(1, b"x"), (2, b"y")])];
        let swapped = hash(&[(1, b"y"), (2, b"x")]);
        assert!(all.iter().enumerate().all(|(at, one)| *one != swapped && !all[..at].contains(one)));
    }
}
