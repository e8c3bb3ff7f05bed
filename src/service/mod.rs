//! The one door of the fronts: a request of a session in, a reply out. Session state, routing, transactions,
//! admin words. Knows no socket and no Raft.
//!
//! Reading order: [`session`] (what a connection is), [`batch`] (what becomes of its requests), `route`, `spread` and
//! `transaction` (calls for one group, for all, for one as a block), then the words that are answered here:
//! `connection`, `server`, `config`, `info`, `cluster`, and the same counters as `metrics`. [`node`] is what all of it stands on.
//!
//! Invariant: replies leave in the order of the connection's requests, each request is answered exactly once (but
//! for CLIENT REPLY), and no lock that all connections share is taken per command.

mod batch;
mod client_list;
mod cluster;
mod config;
mod connection;
pub mod forward;
mod info;
mod metrics;
pub mod node;
mod parameters;
mod route;
mod server;
pub mod session;
mod slowlog;
mod spread;
mod stats;
mod transaction;
mod words;

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

pub use batch::Flow;
pub use client_list::{Client, Clients};
pub use session::Session;
pub use stats::{Stats, Totals};

use self::config::Config;
use self::node::Node;
use self::slowlog::SlowLog;
use crate::base::{HashMap, Nanos, limits};
use crate::command::{Spec, table};

/// The version of Redis whose behaviour is the specification; clients gate features on it.
pub const REDIS_VERSION: &str = "7.2.4";

/// What the service is told at start.
#[derive(Clone, Debug)]
pub struct Options {
    /// Clients at a time (`maxclients`).
    pub clients_max: usize,
    /// What AUTH must say (`requirepass`); `None` for no password.
    pub password: Option<String>,
    /// Address of the RESP listener, for INFO.
    pub bind: String,
    /// Port of the RESP listener, for INFO and CONFIG GET.
    pub port: u16,
    /// Path of the program, for INFO.
    pub executable: String,
    /// `hash-max-listpack-entries` and `hash-max-listpack-value` at start.
    pub hash_max_listpack: (usize, usize),
}

/// What all connections of a node share.
pub struct Service {
    node: Arc<dyn Node>,
    options: Options,
    clients: Arc<Clients>,
    config: Config,
    stats: Stats,
    slow_log: SlowLog,
    /// Monotonic moment of the start.
    started: Nanos,
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
            bind: "127.0.0.1".into(),
            port: 6379,
            executable: String::new(),
            hash_max_listpack: (64, 1024),
        }
    }
}

impl Service {
    /// A service on a node.
    pub fn new(node: Arc<dyn Node>, options: Options) -> Arc<Service> {
        let counters: HashMap<&'static str, usize> =
            commands().enumerate().map(|(index, spec)| (spec.name, index)).collect();
        let config = Config::new(&[
            ("maxclients", options.clients_max.to_string()),
            ("requirepass", options.password.clone().unwrap_or_default()),
            ("port", options.port.to_string()),
            ("bind", options.bind.clone()),
            ("hash-max-listpack-entries", options.hash_max_listpack.0.to_string()),
            ("hash-max-listpack-value", options.hash_max_listpack.1.to_string()),
        ]);
        let run_id = format!("{:016x}{:016x}{:08x}", node.random(), node.random(), node.random() as u32);
        Arc::new(Service {
            started: node.monotonic(),
            stats: Stats::new(counters.len()),
            clients: Arc::default(),
            slow_log: SlowLog::default(),
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
                Some(Session::new(self.clients.clone(), client, !self.config.has_password()))
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

    /// All commands and subcommands, in the order of their counters.
    fn commands(&self) -> impl Iterator<Item = &'static Spec> {
        commands()
    }

    fn counter(&self, spec: &Spec) -> usize {
        self.counters.get(spec.name).copied().unwrap_or_default()
    }
}

fn commands() -> impl Iterator<Item = &'static Spec> {
    table::all().flat_map(|spec| std::iter::once(spec).chain(spec.subcommands))
}
