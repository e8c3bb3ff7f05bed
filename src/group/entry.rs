//! The bytes of a log entry: versioned, the only user of `bincode`, held by golden tests.

use bytes::Bytes;

use crate::base::Millis;
use crate::store::Mutation;

/// What a log entry says. Applying it is blind and total (rule 23).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// `max(wall clock, last stamp)` of the leader: keys with a deadline at or before it are dead.
    pub stamp: Millis,
    /// Range epoch it was evaluated under; an entry of another epoch is skipped (rule 28).
    pub epoch: u64,
    /// Changes of the state, in order.
    pub mutations: Vec<Mutation>,
}

/// Why bytes are no entry. The group stops (rule 23), it never skips.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[error("the log entry does not decode: {0}")]
pub struct DecodeError(pub String);

impl Entry {
    /// Bytes of this entry, format version first.
    pub fn encode(&self) -> Bytes {
        unreachable!("written by the group's author")
    }

    /// Reads an entry; its keys and values share the memory of `data`.
    pub fn decode(_data: &Bytes) -> Result<Entry, DecodeError> {
        unreachable!("written by the group's author")
    }
}
