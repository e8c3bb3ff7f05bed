//! Everything the runtime is told: plain data, already checked and with every default filled in. `settings` makes
//! it from files, environment and flags; a test writes it down directly.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;

use crate::base::{NodeId, limits};
use crate::data::Thresholds;

/// What one node runs with. Addresses may carry port 0: the chosen port is in [`super::Running`].
#[derive(Clone, Debug)]
pub struct Config {
    /// This node, from 1.
    pub node: NodeId,
    /// The directory of this node: facts file, `raft/`, `state/`. Made if absent.
    pub data_dir: PathBuf,
    /// Told by every node of a cluster: two clusters with equal members but other names never mix.
    pub cluster_name: String,
    /// Nodes of the first start and where their peer listeners are, this node among them. Empty: a single node
    /// that is its own cluster. Ignored once the data directory holds a cluster.
    pub initial_cluster: Vec<(NodeId, String)>,
    /// Peer listeners of members of a cluster that this node is to join at its first start; empty for none. Ignored once
    /// the data directory holds a cluster.
    pub join: Vec<String>,
    /// Groups at first start, equal slot ranges.
    pub partitions: u16,

    /// RESP, proxy mode.
    pub resp: SocketAddr,
    /// HTTP: health, metrics, REST.
    pub http: SocketAddr,
    /// Peers; `None` for a single node without peers.
    pub peer: Option<SocketAddr>,
    /// Where other nodes are told to find this one, as `host:port`; `None` for what the list of first nodes says, or else
    /// where it listens.
    pub advertise_peer: Option<String>,
    /// Where RESP clients are told to find this node, as `host:port`; `None` for where it listens.
    pub advertise_resp: Option<String>,
    /// The same for HTTP.
    pub advertise_http: Option<String>,
    /// Clients at a time.
    pub clients_max: usize,
    /// `requirepass`: what AUTH must say; `None` for none.
    pub password: Option<String>,
    /// The first users of a cluster that never had any: names and rules.
    pub users: Vec<(Bytes, Vec<Bytes>)>,
    /// `enable-debug-command`: who may use DEBUG, `no`, `local` or `yes`.
    pub debug_command: &'static str,
    /// How long a client may say nothing; zero for ever.
    pub idle_timeout: Duration,
    /// Bytes of one client's request that may wait to become complete.
    pub query_buffer_bytes: usize,
    /// Reply bytes that one client may leave unread.
    pub output_buffer_bytes: usize,
    /// A request ends within this time, with an error that says what is known.
    pub request_timeout: Duration,

    /// Raft's timing.
    pub raft: Raft,
    /// Sizes of the stores.
    pub storage: Storage,
    /// Number of threads of each kind.
    pub threads: Threads,
    /// Above which sizes a value gets a record per element, and how long a bulk of a request and a string may be.
    pub thresholds: Thresholds,
    /// Logs, traces.
    pub telemetry: Telemetry,
    /// How long a shutdown may take to hand over leadership and finish requests, each.
    pub shutdown_timeout: Duration,
}

/// Raft's timing. `lease <= election` is checked by `settings`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Raft {
    /// One tick.
    pub tick: Duration,
    /// Ticks between heartbeats.
    pub heartbeat_ticks: usize,
    /// Ticks of the shortest election timeout.
    pub election_ticks: usize,
    /// How long an acknowledged round lets the leader read without asking; zero reads by quorum round.
    pub lease: Duration,
    /// Entries before the applied one that stay in the log, so that a short absence needs no snapshot.
    pub log_entries_kept: u64,
    /// Un-cuttable log bytes after which the state is flushed.
    pub flush_log_bytes: u64,
    /// The state is flushed at least this often while there is something to flush.
    pub flush_interval: Duration,
}

/// Which records the L1 keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CachePolicy {
    /// Frequency and recency.
    TinyLfu,
    /// Recency only.
    Lru,
}

/// Sizes of the stores.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Storage {
    /// L1: bytes of records in memory; 0 for none.
    pub cache_bytes: u64,
    /// L1: what stays when it is full.
    pub cache_policy: CachePolicy,
    /// RocksDB: block cache of the state, in bytes.
    pub block_cache_bytes: u64,
    /// RocksDB: memtables of the state, in bytes.
    pub write_buffer_bytes: u64,
}

/// Number of threads of each kind; 0 asks the machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Threads {
    /// Sockets, parsing, fast reads.
    pub io: usize,
    /// Evaluating and applying.
    pub machine: usize,
    /// Reads that wait for the disk.
    pub blocking: usize,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object per line.
    Json,
}

/// Logs and traces.
#[derive(Clone, Debug, PartialEq)]
pub struct Telemetry {
    /// `tracing`'s filter directives, such as `info` or `holdfast=debug`.
    pub log_filter: String,
    /// How log lines look.
    pub log_format: LogFormat,
    /// OTLP (gRPC) endpoint for spans, such as `http://127.0.0.1:4317`; `None` costs nothing.
    pub otlp_endpoint: Option<String>,
    /// Share of requests that are traced, 0.0 to 1.0.
    pub trace_ratio: f64,
}

impl Config {
    /// A node with defaults for everything but its place. All ports are chosen by the system.
    pub fn new(node: NodeId, data_dir: impl Into<PathBuf>) -> Config {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        Config {
            node,
            data_dir: data_dir.into(),
            cluster_name: "holdfast".into(),
            initial_cluster: Vec::new(),
            join: Vec::new(),
            partitions: 1,
            resp: any,
            http: any,
            peer: None,
            advertise_peer: None,
            advertise_resp: None,
            advertise_http: None,
            clients_max: limits::CLIENTS_MAX,
            password: None,
            users: Vec::new(),
            debug_command: "no",
            idle_timeout: Duration::ZERO,
            query_buffer_bytes: limits::QUERY_BUFFER_BYTES_MAX,
            output_buffer_bytes: limits::OUTPUT_BUFFER_BYTES_MAX,
            request_timeout: Duration::from_millis(2500),
            raft: Raft::default(),
            storage: Storage::default(),
            threads: Threads::default(),
            thresholds: Thresholds::default(),
            telemetry: Telemetry::default(),
            shutdown_timeout: Duration::from_secs(5),
        }
    }

    /// Within this time the forwarder has an outcome: it leaves time for the answer to travel.
    pub fn deadline(&self) -> Duration {
        self.request_timeout.saturating_sub(Duration::from_millis(100)).max(Duration::from_millis(10))
    }
}

impl Default for Raft {
    fn default() -> Raft {
        Raft {
            tick: Duration::from_millis(10),
            heartbeat_ticks: 5,
            election_ticks: 40,
            lease: Duration::from_millis(400),
            log_entries_kept: 10_000,
            flush_log_bytes: 256 << 20,
            flush_interval: Duration::from_secs(60),
        }
    }
}

impl Default for Storage {
    fn default() -> Storage {
        Storage {
            cache_bytes: 256 << 20,
            cache_policy: CachePolicy::TinyLfu,
            block_cache_bytes: 256 << 20,
            write_buffer_bytes: 128 << 20,
        }
    }
}

impl Default for Telemetry {
    fn default() -> Telemetry {
        Telemetry { log_filter: "info".into(), log_format: LogFormat::Text, otlp_endpoint: None, trace_ratio: 0.01 }
    }
}
