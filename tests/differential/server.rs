//! A redis-server of our own, on a free loopback port, without persistence.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use holdfast::data::Thresholds;

use crate::ports::free_ports;
use crate::support::client::Client;

/// Small ones, so that values of both encodings, and trees, occur all the time.
pub const THRESHOLDS: Thresholds = Thresholds {
    hash_entries_max: 6,
    hash_value_bytes_max: 24,
    set_integers_max: 6,
    set_entries_max: 6,
    set_value_bytes_max: 24,
    zset_entries_max: 6,
    zset_value_bytes_max: 24,
    stream_node_entries_max: 4,
    stream_node_bytes_max: 128,
    node_entries_max: 3,
    ..Thresholds::REDIS
};

/// How long a redis-server may take to listen.
const START_TIMEOUT: Duration = Duration::from_secs(10);

/// Ends with the value.
pub struct RedisServer {
    process: Child,
    address: String,
}

impl RedisServer {
    /// Starts the server with [`THRESHOLDS`]; `None` if there is no such program.
    pub fn start() -> Option<RedisServer> {
        // Redis 7.0 does not know of small sets but those of integers.
        let sizes = [
            ("--hash-max-listpack-entries", THRESHOLDS.hash_entries_max),
            ("--hash-max-listpack-value", THRESHOLDS.hash_value_bytes_max),
            ("--set-max-intset-entries", THRESHOLDS.set_integers_max),
            ("--zset-max-listpack-entries", THRESHOLDS.zset_entries_max),
            ("--zset-max-listpack-value", THRESHOLDS.zset_value_bytes_max),
            ("--stream-node-max-entries", THRESHOLDS.stream_node_entries_max),
            ("--stream-node-max-bytes", THRESHOLDS.stream_node_bytes_max),
        ];
        RedisServer::start_with(&sizes)
    }

    /// The same with the sizes that Redis ships.
    pub fn start_as_shipped() -> Option<RedisServer> {
        RedisServer::start_with(&[])
    }

    fn start_with(sizes: &[(&str, usize)]) -> Option<RedisServer> {
        let port = free_ports(1)[0];
        let started = Command::new("redis-server")
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"])
            // It looks that often for clients whose time to wait is over.
            .args(["--hz", "500"])
            .args(sizes.iter().flat_map(|(name, size)| [name.to_string(), size.to_string()]))
            // SORT compares texts as the locale has it.
            .env("LC_ALL", "C")
            .stdout(Stdio::null())
            .spawn();
        match started {
            Ok(process) => Some(RedisServer { process, address: format!("127.0.0.1:{port}") }),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            Err(error) => panic!("redis-server: {error}"),
        }
    }

    /// Where it listens.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// A connection, as soon as the server listens.
    #[expect(clippy::disallowed_methods, reason = "another process starts in real time")]
    pub fn connect(&self) -> Client {
        let deadline = Instant::now() + START_TIMEOUT;
        loop {
            match Client::connect(&self.address) {
                Ok(client) => return client,
                Err(error) if Instant::now() > deadline => panic!("redis-server at {}: {error}", self.address),
                Err(_) => std::thread::yield_now(),
            }
        }
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        // It may have died already; there is nothing to be done about either failure.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
