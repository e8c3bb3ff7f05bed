//! The keyspace: what a key, a deadline, a string and a hash are, as records over [`crate::store`]. Knows no clock
//! (it is told the moment), no connection and no protocol.
//!
//! Invariant: the counts (keys per database, keys with a deadline) and the expiry index change in the same batch as
//! the key they count.

mod audit;
pub mod bitfield;
pub mod bitmap;
mod counts;
mod expiry;
mod generic;
pub mod hash;
mod head;
pub mod hyperloglog;
mod keyspace;
pub mod packed;
pub mod scan;
pub mod string;
#[cfg(test)]
pub(crate) mod testing;
mod usage;

use bytes::Bytes;

use crate::base::{GroupId, Millis, Rng, SlotRange, limits};
use crate::store;

pub use audit::audit;
pub use counts::Counts;
pub use head::{Head, Kind, peek};
pub use usage::{Lookups, Manner, Usage};

/// What time it is for one evaluation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moment {
    /// Stamp of the group: keys with a deadline at or before it are dead. On the leader's machine this is already
    /// the stamp of the entry being built; for a local read it is the applied stamp.
    pub stamp: Millis,
    /// Wall clock of this node, for a local read to notice what is due but not yet dead. `clock >= stamp` when evaluating.
    pub clock: Millis,
}

/// How evaluation may treat a dead or due key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// On the leader's machine: a dead key met by any command is deleted in the entry.
    Leader,
    /// A read outside the machine: nothing can be written; a key that is due by the clock but not by the stamp
    /// answers [`Error::NeedsLog`], so that its end goes through the log.
    Local,
}

/// What a change touched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Touched {
    /// One key of a database.
    Key(u8, Bytes),
    /// Every key of a database: it was emptied.
    Database(u8),
}

/// Sizes above which a value gets a record per element, or is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Thresholds {
    /// Elements of a hash in one record (`hash-max-listpack-entries`).
    pub hash_entries_max: usize,
    /// Bytes of one field or value in one record (`hash-max-listpack-value`).
    pub hash_value_bytes_max: usize,
    /// Bytes of a sparse HyperLogLog (`hll-sparse-max-bytes`).
    pub hll_sparse_bytes_max: usize,
    /// Bytes of the longest string that a command may make (`proto-max-bulk-len`): it is one bulk of one entry.
    pub string_bytes_max: usize,
}

impl Default for Thresholds {
    fn default() -> Thresholds {
        Thresholds {
            hash_entries_max: 64,
            hash_value_bytes_max: 64,
            hll_sparse_bytes_max: 3_000,
            string_bytes_max: limits::BULK_BYTES_MAX,
        }
    }
}

/// Everything one evaluation works with: records below, facts around, traces left behind.
pub struct Keyspace<'a> {
    /// The records: an overlay on the leader, a read-only view elsewhere.
    pub store: &'a mut dyn store::Write,
    /// The group whose keys these are.
    pub group: GroupId,
    /// Its slots.
    pub slots: SlotRange,
    /// The moment of this evaluation, the same for a whole MULTI block.
    pub moment: Moment,
    /// What may be done about dead keys.
    pub mode: Mode,
    /// Kept by the caller: changed counts are written once per entry.
    pub counts: &'a mut Counts,
    /// What was changed, for WATCH (and later for waiters and notifications). Cleared by the caller.
    pub touched: &'a mut Vec<Touched>,
    /// Chance for SPOP, RANDOMKEY and the like.
    pub rng: &'a mut Rng,
    /// Encoding thresholds.
    pub thresholds: Thresholds,
    /// What lookups leave behind in memory.
    pub usage: &'a Usage,
    /// How the command at hand leaves it; set by who runs the command.
    pub manner: Manner,
}

/// Why a command on the keyspace failed.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum Error {
    /// The records could not be read; the whole evaluation is void.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// A local read met a key that is due: the machine must answer.
    #[error("a key is due; its end goes through the log")]
    NeedsLog,
    /// The key holds another type.
    #[error("WRONGTYPE Operation against a key holding the wrong kind of value")]
    WrongType,
}

/// `std::result::Result` with this module's error.
pub type Result<T> = std::result::Result<T, Error>;
