//! Settings: one checked value from defaults, a file (TOML, YAML or JSON), the environment and flags, each
//! overriding the one before. Plain data, read once at start; nothing below is told where a value came from.
//!
//! Invariant: a key exists only as a row of [`table::ROWS`]; the commented file `config/holdfast.toml`, the
//! checks and `holdfast config` all come from there.

mod load;
mod table;

use std::path::PathBuf;
use std::time::Duration;

pub use load::{Loaded, Origin, Sources, environment, load};
pub use table::{Kind, ROWS, Row, example_file};

/// How reads on a leader are made safe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadMode {
    /// Leases: no network per read, trusts that clocks of nodes advance at nearly the same rate.
    Lease,
    /// A quorum round per read batch: trusts no clock at all.
    ReadIndex,
}

/// Which records the record cache keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CachePolicy {
    /// Admits by frequency, evicts by recency.
    TinyLfu,
    /// Evicts by recency alone.
    Lru,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object per line.
    Json,
}

/// Everything a server is told at its start. Sizes are in bytes.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// `node.id`
    pub node_id: u64,
    /// `node.data_dir`
    pub data_dir: PathBuf,
    /// `listen.resp`
    pub resp: String,
    /// `listen.peer`
    pub peer: String,
    /// `listen.http`
    pub http: String,
    /// `advertise.peer`, empty for what `cluster.initial` says or where it listens.
    pub advertise_peer: String,
    /// `advertise.resp`, empty for where it listens.
    pub advertise_resp: String,
    /// `advertise.http`, empty for where it listens.
    pub advertise_http: String,
    /// `cluster.initial`: node ids and peer addresses, empty for a single node.
    pub initial_cluster: Vec<(u64, String)>,
    /// `cluster.join`: peer addresses of members, empty for a node that joins nothing.
    pub join: Vec<String>,
    /// `cluster.partitions`
    pub partitions: u16,
    /// `cluster.token`
    pub cluster_token: String,
    /// `clients.max`
    pub clients_max: usize,
    /// `clients.password`, empty for none.
    pub password: String,
    /// `clients.users`: a line for each.
    pub users: String,
    /// `clients.debug_command`: `no`, `local` or `yes`.
    pub debug_command: &'static str,
    /// `clients.idle_timeout_s`, zero for never.
    pub idle_timeout: Duration,
    /// `clients.request_deadline_ms`
    pub request_deadline: Duration,
    /// `clients.query_buffer_bytes`
    pub query_buffer_bytes: usize,
    /// `clients.output_buffer_bytes`
    pub output_buffer_bytes: usize,
    /// `clients.bulk_bytes`
    pub bulk_bytes: usize,
    /// `raft.read_mode`
    pub read_mode: ReadMode,
    /// `raft.lease_ms`
    pub lease: Duration,
    /// `raft.log_keep_entries`
    pub log_keep_entries: u64,
    /// `storage.write_buffer_bytes`
    pub write_buffer_bytes: usize,
    /// `storage.block_cache_bytes`
    pub block_cache_bytes: usize,
    /// `storage.flush_interval_s`
    pub flush_interval: Duration,
    /// `storage.flush_log_bytes`
    pub flush_log_bytes: u64,
    /// `cache.bytes`, zero for no record cache.
    pub cache_bytes: u64,
    /// `cache.policy`
    pub cache_policy: CachePolicy,
    /// `hash.max_listpack_entries`
    pub hash_entries_max: usize,
    /// `hash.max_listpack_value_bytes`
    pub hash_value_bytes_max: usize,
    /// `set.max_intset_entries`
    pub set_integers_max: usize,
    /// `set.max_listpack_entries`
    pub set_entries_max: usize,
    /// `set.max_listpack_value_bytes`
    pub set_value_bytes_max: usize,
    /// `zset.max_listpack_entries`
    pub zset_entries_max: usize,
    /// `zset.max_listpack_value_bytes`
    pub zset_value_bytes_max: usize,
    /// `log.level`: a `tracing` filter.
    pub log_level: String,
    /// `log.format`
    pub log_format: LogFormat,
    /// `telemetry.otlp_endpoint`, empty for no traces.
    pub otlp_endpoint: String,
    /// `telemetry.sample_ratio`
    pub sample_ratio: f64,
}
