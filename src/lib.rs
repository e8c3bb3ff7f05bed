//! Holdfast: a Raft-replicated, strongly consistent key-value store that speaks the Redis protocol.
//!
//! # Layout, from vocabulary to sockets
//!
//! - [`base`]: ids, slots, time and chance as values, limits.
//! - [`resp`]: RESP2 and RESP3 bytes to values and back.
//! - [`rdb`]: Redis's serialized values, as DUMP gives and RESTORE takes them.
//! - [`store`]: records. Traits, the in-memory twin, RocksDB, the cache above it, the layout of keys.
//! - [`data`]: the keyspace: what a string, a hash, a deadline is, over `store`.
//! - [`command`]: what Redis says: one table of commands, `execute(db, command) -> Reply`.
//! - [`cluster`]: plain facts about nodes, groups and slot ranges.
//! - [`group`]: one Raft group, without IO.
//! - [`machine`]: the state machine of a group: evaluate on the leader, apply everywhere.
//! - [`host`]: all groups of a worker and the meta group's state, without IO.
//! - [`service`]: the one door of the fronts: sessions, routing, forwarding, admin words.
//! - [`front`]: listeners: RESP and HTTP.
//! - [`runtime`]: threads, clock, disks, peers, telemetry: production's caller of the core.
//! - [`sim`]: the other caller: one thread, one seed, virtual time, faulty network and disk, checkers.
//! - [`check`]: judges what clients of a real cluster saw; knows nothing else of this crate.
//! - [`bench`]: puts load on any server and measures what its clients see; knows nothing else of this crate.
//! - [`settings`], [`cli`]: one checked value from files, environment and flags; subcommands.
//!
//! # The road of a request
//!
//! `front::resp` parses what is in the read buffer, `service` turns it into units and decides: a run of reads
//! on the leader is answered at once under the lease; everything else goes to the leader's machine (through
//! `service::forward` when that is another node). The machine evaluates all waiting units as one entry against
//! applied state plus its overlay; `group` proposes it, the log writer makes it durable while peers receive it;
//! once committed the machine applies it, publishes and releases the replies.
//!
//! # What is deliberately absent
//!
//! `data` knows no clock, `group` knows no socket, `front` knows no Raft, nothing below `runtime` and `sim`
//! starts a thread or waits. `tests/tidy.rs` holds the arrows between modules.

pub mod base;
pub mod bench;
pub mod check;
pub mod cli;
pub mod cluster;
pub mod command;
pub mod data;
pub mod front;
pub mod group;
pub mod host;
pub mod machine;
pub mod rdb;
pub mod resp;
pub mod runtime;
pub mod service;
pub mod settings;
pub mod sim;
pub mod store;
