//! The keyspace: what a key, a deadline, a string, a hash, a list, a set, a sorted set and a stream are, as records
//! over [`crate::store`]. Knows no clock (it is told the moment), no connection and no protocol.
//!
//! Invariant: the counts (keys per database, keys with a deadline, hashes with deadlines of fields) and the indexes of
//! deadlines change in the same batch as the key they count.

mod audit;
pub mod bitfield;
pub mod bitmap;
mod counted;
mod counts;
pub mod elements;
mod events;
mod expiry;
mod field_expiry;
mod generic;
pub mod geo;
pub mod hash;
mod head;
pub mod hyperloglog;
mod keyspace;
pub mod list;
pub mod packed;
pub mod scan;
pub mod set;
mod size;
pub mod stream;
pub mod string;
#[cfg(test)]
pub(crate) mod testing;
mod usage;
pub mod zset;

use bytes::Bytes;

use crate::base::{Audience, GroupId, Millis, Rng, SlotRange, limits};
use crate::store;

pub use audit::audit;
pub use counts::Counts;
pub use events::{Class, Events};
pub use head::{FieldEnds, Head, Kind, peek};
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

/// Sizes above which a value gets a record per element, tells of another encoding, or is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Thresholds {
    /// Fields of a hash that a Redis keeps in one piece (`hash-max-listpack-entries`).
    pub hash_entries_max: usize,
    /// Bytes of one field or value of such a hash (`hash-max-listpack-value`).
    pub hash_value_bytes_max: usize,
    /// Bytes of a sparse HyperLogLog (`hll-sparse-max-bytes`).
    pub hll_sparse_bytes_max: usize,
    /// Members of a set of integers in one piece (`set-max-intset-entries`).
    pub set_integers_max: usize,
    /// Members of another set in one piece (`set-max-listpack-entries`).
    pub set_entries_max: usize,
    /// Bytes of one member of such a set (`set-max-listpack-value`).
    pub set_value_bytes_max: usize,
    /// Members of a sorted set in one piece (`zset-max-listpack-entries`).
    pub zset_entries_max: usize,
    /// Bytes of one member of such a sorted set (`zset-max-listpack-value`).
    pub zset_value_bytes_max: usize,
    /// What Redis would keep of a list in one piece (`list-max-listpack-size`): so many elements, or 4, 8, 16, 32 or
    /// 64 KiB for -1 to -5. Says what `OBJECT ENCODING` answers; a list in one record is smaller ([`list`]).
    pub list_size: i64,
    /// Bytes of one page of a stream, 0 for as many as there can be (`stream-node-max-bytes`).
    pub stream_node_bytes_max: usize,
    /// Entries of one page of a stream, 0 for any number (`stream-node-max-entries`).
    pub stream_node_entries_max: usize,
    /// Elements of a hash, set or sorted set in one record, whatever they weigh. A change writes the whole record: what
    /// has more elements and more bytes than the two bounds gets a record per element, although it still tells of
    /// being in one piece ([`Head::compact`]).
    pub record_entries_max: usize,
    /// Bytes of one with more elements than that, so that it stays one record.
    pub record_bytes_max: usize,
    /// Entries of one node of a counted tree; fewer make higher trees, for tests.
    pub node_entries_max: usize,
    /// Bytes of the longest string that a command may make (`proto-max-bulk-len`): it is one bulk of one entry.
    pub string_bytes_max: usize,
    /// Bytes that a command may change and answer: they are one entry.
    pub entry_bytes_max: usize,
}

impl Thresholds {
    /// The parameters of Redis that these are, with their values.
    pub fn parameters(&self) -> [(&'static str, i64); 11] {
        let number = |size: usize| i64::try_from(size).unwrap_or(i64::MAX);
        [
            ("hash-max-listpack-entries", number(self.hash_entries_max)),
            ("hash-max-listpack-value", number(self.hash_value_bytes_max)),
            ("hll-sparse-max-bytes", number(self.hll_sparse_bytes_max)),
            ("set-max-intset-entries", number(self.set_integers_max)),
            ("set-max-listpack-entries", number(self.set_entries_max)),
            ("set-max-listpack-value", number(self.set_value_bytes_max)),
            ("zset-max-listpack-entries", number(self.zset_entries_max)),
            ("zset-max-listpack-value", number(self.zset_value_bytes_max)),
            ("list-max-listpack-size", self.list_size),
            ("stream-node-max-bytes", number(self.stream_node_bytes_max)),
            ("stream-node-max-entries", number(self.stream_node_entries_max)),
        ]
    }

    /// Changes what a parameter of Redis says, `proto-max-bulk-len` included; `false` if it is none of these or the
    /// value cannot be.
    pub fn set(&mut self, parameter: &str, value: i64) -> bool {
        let size = match parameter {
            "hash-max-listpack-entries" => &mut self.hash_entries_max,
            "hash-max-listpack-value" => &mut self.hash_value_bytes_max,
            "hll-sparse-max-bytes" => &mut self.hll_sparse_bytes_max,
            "set-max-intset-entries" => &mut self.set_integers_max,
            "set-max-listpack-entries" => &mut self.set_entries_max,
            "set-max-listpack-value" => &mut self.set_value_bytes_max,
            "zset-max-listpack-entries" => &mut self.zset_entries_max,
            "zset-max-listpack-value" => &mut self.zset_value_bytes_max,
            "stream-node-max-bytes" => &mut self.stream_node_bytes_max,
            "stream-node-max-entries" => &mut self.stream_node_entries_max,
            "proto-max-bulk-len" => &mut self.string_bytes_max,
            "list-max-listpack-size" => {
                self.list_size = value;
                return true;
            }
            _ => return false,
        };
        usize::try_from(value).map(|value| *size = value).is_ok()
    }

    /// What Redis ships.
    pub const REDIS: Thresholds = Thresholds {
        hash_entries_max: 512,
        hash_value_bytes_max: 64,
        hll_sparse_bytes_max: 3_000,
        set_integers_max: 512,
        set_entries_max: 128,
        set_value_bytes_max: 64,
        zset_entries_max: 128,
        zset_value_bytes_max: 64,
        list_size: -2,
        stream_node_bytes_max: 4096,
        stream_node_entries_max: 100,
        record_entries_max: 64,
        record_bytes_max: 2 << 10,
        node_entries_max: 64,
        string_bytes_max: limits::BULK_BYTES_MAX,
        entry_bytes_max: limits::ENTRY_BYTES_MAX,
    };

    /// Whether elements of so many bytes stay one record.
    pub fn is_one_record(&self, elements: usize, bytes: impl FnOnce() -> usize) -> bool {
        elements <= self.record_entries_max || bytes() <= self.record_bytes_max
    }
}

impl Default for Thresholds {
    fn default() -> Thresholds {
        Thresholds::REDIS
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
    /// The events that are told. Kept by the caller across evaluations, like the counts.
    pub events: &'a mut Events,
    /// Encoding thresholds.
    pub thresholds: Thresholds,
    /// What lookups leave behind in memory.
    pub usage: &'a Usage,
    /// Who listens to channels, for replies that tell.
    pub audience: &'a dyn Audience,
    /// How the command at hand leaves it; set by who runs the command.
    pub manner: Manner,
    /// The head record of the last lookup, for the change that mostly follows.
    pub named: Bytes,
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
    /// More would be written than an entry holds.
    #[error("ERR {}", TOO_LARGE)]
    TooLarge,
}

/// What a command is refused with that would write more than an entry holds.
pub const TOO_LARGE: &str = "this command would write or answer more than one log entry holds; do it in parts";

/// `std::result::Result` with this module's error.
pub type Result<T> = std::result::Result<T, Error>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_parameter_can_be_set() {
        let mut thresholds = Thresholds::default();
        for (number, (parameter, _)) in (1000..).zip(Thresholds::default().parameters()) {
            assert!(thresholds.set(parameter, number));
            assert!(thresholds.parameters().contains(&(parameter, number)));
        }
        assert!(thresholds.set("list-max-listpack-size", -5) && thresholds.list_size == -5);
        assert!(thresholds.set("proto-max-bulk-len", 7) && thresholds.string_bytes_max == 7);
        assert!(!thresholds.set("set-max-intset-entries", -1) && !thresholds.set("hz", 1));
    }
}
