//! The one door of the fronts: a request of a session in, a reply out. Session state, routing, transactions,
//! admin words. Knows no socket and no Raft.
//!
//! Reading order: [`session`] (what a connection is), [`batch`] (what becomes of its requests), `route`, `spread` and
//! `transaction` (calls for one group, for all, for one as a block), `block` (those that wait for a key), `users` (who a
//! connection is and what it may do), then the words that are answered here: `connection`, `acl`, `server`, `config`,
//! `info`, `cluster`, `memory`, `saves`, `scripts`, `failover`, `pause`, `debug` and `populate`, [`latency`] and `monitor`
//! (and `refused`, what is not), and the same counters as `metrics`. [`pubsub`] is who listens to what, [`tracking`] who keeps
//! copies of what, [`moves`] who hears that leadership moves. [`node`] is what all of it stands on.
//!
//! Invariant: replies leave in the order of the connection's requests, each request is answered exactly once (but
//! for CLIENT REPLY), and no lock that all connections share is taken per command.

mod acl;
mod acl_log;
mod batch;
mod block;
mod client_list;
mod cluster;
mod config;
mod connection;
mod debug;
mod failover;
pub mod forward;
mod info;
pub mod latency;
mod memory;
mod metrics;
mod monitor;
pub mod moves;
pub mod node;
mod output_limits;
mod parameters;
mod pause;
mod populate;
pub mod pubsub;
mod refused;
mod route;
mod saves;
mod scripts;
mod server;
pub mod session;
mod slowlog;
mod sparkline;
mod spread;
mod stage;
mod stats;
pub mod tracking;
mod transaction;
mod users;
mod words;

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use bytes::Bytes;

pub use crate::command::REDIS_VERSION;
pub use batch::Flow;
pub use client_list::{Client, Clients};
pub use session::Session;
pub use stage::{Sampler, Stage};
pub use stats::{Stats, Totals};

use self::acl_log::AclLog;
use self::config::Config;
use self::latency::Latency;
use self::monitor::Monitors;
use self::moves::Moves;
use self::node::Node;
use self::output_limits::{Limit, Limits};
use self::pause::Pause;
use self::pubsub::{Hub, Inbox};
use self::slowlog::SlowLog;
use self::tracking::Trackers;
use crate::base::{HashMap, Nanos, limits};
use crate::command::acl::{DEFAULT, User};
use crate::command::{Spec, table};
use crate::resp::Bounds;

/// What the service is told at start.
#[derive(Clone, Debug)]
pub struct Options {
    /// Clients at a time (`maxclients`).
    pub clients_max: usize,
    /// The default user's password until the cluster's users say otherwise (`requirepass`); `None` for no password.
    pub password: Option<String>,
    /// The rules of the default user in place of a password, until then; none for nothing.
    pub default_rules: Option<Vec<Bytes>>,
    /// How long a client may say nothing, zero for ever (`timeout`).
    pub idle_timeout: Duration,
    /// Bytes of one client's request, or transaction, that may wait to become complete
    /// (`client-query-buffer-limit`).
    pub query_buffer_bytes: usize,
    /// Reply bytes that one client may leave unread (`client-output-buffer-limit`).
    pub output_buffer_bytes: usize,
    /// Bytes of one bulk of a request (`proto-max-bulk-len`).
    pub bulk_bytes: usize,
    /// Address of the RESP listener, for INFO.
    pub bind: String,
    /// Port of the RESP listener, for INFO and CONFIG GET.
    pub port: u16,
    /// Path of the program, for INFO.
    pub executable: String,
    /// Who may use DEBUG (`enable-debug-command`): `no`, `local` or `yes`.
    pub debug_command: &'static str,
    /// Parameters of small values at start (`hash-max-listpack-entries` and its like).
    pub sizes: Vec<(&'static str, i64)>,
}

/// What a client's unread replies allow (`client-output-buffer-limit`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutputLimit {
    /// It may take its time.
    None,
    /// It must have read them after this long.
    Within(Duration),
    /// They are too many already.
    Exceeded,
}

/// What all connections of a node share.
pub struct Service {
    node: Arc<dyn Node>,
    options: Options,
    clients: Arc<Clients>,
    config: Config,
    stats: Stats,
    slow_log: SlowLog,
    acl_log: AclLog,
    /// The default user, until the cluster's facts say what it is.
    own_default: Arc<User>,
    latency: Arc<Latency>,
    pause: Pause,
    monitors: Arc<Monitors>,
    hub: Arc<Hub>,
    trackers: Arc<Trackers>,
    moves: Arc<Moves>,
    /// Monotonic moment of the start.
    started: Nanos,
    /// Bytes in memory when the service began.
    memory_at_start: u64,
    /// 40 hexadecimal digits, new at each start.
    run_id: String,
    /// Place of each command's counters, by its name.
    counters: HashMap<&'static str, usize>,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            clients_max: limits::CLIENTS_MAX,
            password: None,
            default_rules: None,
            idle_timeout: Duration::ZERO,
            query_buffer_bytes: limits::QUERY_BUFFER_BYTES_MAX,
            output_buffer_bytes: limits::OUTPUT_BUFFER_BYTES_MAX,
            bulk_bytes: limits::BULK_BYTES_MAX,
            bind: "127.0.0.1".into(),
            port: 6379,
            executable: String::new(),
            debug_command: "no",
            sizes: Vec::new(),
        }
    }
}

impl Service {
    /// A service on a node.
    pub fn new(node: Arc<dyn Node>, options: Options) -> Arc<Service> {
        let counters: HashMap<&'static str, usize> = commands()
            .enumerate()
            .flat_map(|(index, spec)| std::iter::once(spec).chain(spec.parts).map(move |spec| (spec.name, index)))
            .collect();
        let mut values = vec![
            ("maxclients", options.clients_max.to_string()),
            ("requirepass", options.password.clone().unwrap_or_default()),
            ("timeout", options.idle_timeout.as_secs().to_string()),
            ("client-query-buffer-limit", options.query_buffer_bytes.to_string()),
            ("client-output-buffer-limit", Limits::new(options.output_buffer_bytes as u64).to_string()),
            ("proto-max-bulk-len", options.bulk_bytes.to_string()),
            ("port", options.port.to_string()),
            ("bind", options.bind.clone()),
            ("enable-debug-command", options.debug_command.into()),
        ];
        values.extend(options.sizes.iter().map(|(name, size)| (*name, size.to_string())));
        let config = Config::new(&values);
        let hub = node.hub();
        hub.set_limit(config.listeners_limit());
        let trackers = node.trackers();
        trackers.configure(config.listeners_limit(), &config.get("tracking-table-max-keys"));
        let moves = node.moves();
        moves.set_limit(config.listeners_limit());
        let run_id = format!("{:016x}{:016x}{:08x}", node.random(), node.random(), node.random() as u32);
        Arc::new(Service {
            started: node.monotonic(),
            memory_at_start: memory::used(node.as_ref()),
            stats: Stats::new(counters.len()),
            clients: Arc::default(),
            slow_log: SlowLog::default(),
            acl_log: AclLog::default(),
            own_default: Arc::new(own_default(&options)),
            latency: node.latency(),
            pause: Pause::default(),
            monitors: Arc::default(),
            hub,
            trackers,
            moves,
            node,
            options,
            config,
            run_id,
            counters,
        })
    }

    /// A new connection, or `None` if there are too many (`-ERR max number of clients reached`).
    pub fn connect(&self, address: String, local: String) -> Option<Session> {
        let (since, now) = (self.node.now(), self.node.monotonic());
        match self.clients.add(address, local, self.config.clients_max(), since, now) {
            Some(client) => {
                self.stats.connections.fetch_add(1, Relaxed);
                // Users that change in between are noticed by the first batch.
                let revision = self.node.users_revision();
                Some(Session::new(self.clients.clone(), client, &self.default_user(), revision))
            }
            None => {
                self.stats.rejected_connections.fetch_add(1, Relaxed);
                None
            }
        }
    }

    /// The node below.
    pub fn node(&self) -> &Arc<dyn Node> {
        &self.node
    }

    /// The counters.
    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    /// The connections.
    pub fn clients(&self) -> &Clients {
        &self.clients
    }

    /// Seconds after which an idle client is disconnected, 0 for never (`timeout`).
    pub fn idle_timeout_seconds(&self) -> u64 {
        self.config.timeout_seconds()
    }

    /// What a client may declare in a request now.
    pub fn bounds(&self, session: &Session) -> Bounds {
        let bounds = if session.is_authenticated() { Bounds::AUTHENTICATED } else { Bounds::UNAUTHENTICATED };
        Bounds { bulk_bytes_max: bounds.bulk_bytes_max.min(self.config.bulk_bytes()), ..bounds }
    }

    /// Bytes of a client's request that may wait to become complete (`client-query-buffer-limit`).
    pub fn query_buffer_bytes(&self) -> usize {
        self.config.query_buffer_bytes()
    }

    /// Reply bytes at which a client is disconnected at once, and how long it may take to read this many.
    pub fn output_limit(&self, session: &Session, bytes: usize) -> OutputLimit {
        let (limit, bytes) = match session.inbox().filter(|_| session.is_listening()) {
            // Its messages count, too, and come while it reads: `is_too_slow` has an eye on them.
            Some(inbox) => (Limit { soft: 0, ..self.hub.limit() }, bytes + inbox.bytes()),
            None => (self.config.output_limit(), bytes),
        };
        match bytes as u64 {
            bytes if limit.hard > 0 && bytes > limit.hard => OutputLimit::Exceeded,
            bytes if limit.soft > 0 && bytes > limit.soft && !limit.patience.is_zero() => {
                OutputLimit::Within(limit.patience)
            }
            _ => OutputLimit::None,
        }
    }

    /// Whether a client that listens has left too many messages unread, or many for too long.
    pub fn is_too_slow(&self, inbox: &Inbox) -> bool {
        inbox.is_too_slow(self.node.monotonic(), self.hub.limit())
    }

    /// All commands and subcommands, in the order of their counters.
    fn commands(&self) -> impl Iterator<Item = &'static Spec> {
        commands()
    }

    fn counter(&self, spec: &Spec) -> usize {
        self.counters.get(spec.name).copied().unwrap_or_default()
    }
}

/// The default user as the settings have it. Rules that are none let nobody in.
fn own_default(options: &Options) -> User {
    let Some(rules) = &options.default_rules else {
        return User::default_with(options.password.as_ref().map(String::as_bytes));
    };
    let mut user = User::new(DEFAULT);
    match user.apply(rules) {
        Ok(()) => user,
        Err(_) => User::new(DEFAULT),
    }
}

fn commands() -> impl Iterator<Item = &'static Spec> {
    table::all().flat_map(|spec| std::iter::once(spec).chain(spec.subcommands))
}
