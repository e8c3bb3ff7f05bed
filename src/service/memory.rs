//! The words of MEMORY that tell of this node: STATS, DOCTOR, MALLOC-STATS, PURGE.
//!
//! The figures are those of INFO: resident memory stands for what is used, because the allocator counts nothing by
//! itself. A figure of something that does not exist here (a replication backlog, an AOF buffer) is 0.

use std::sync::atomic::Ordering::Relaxed;

use bytes::Bytes;

use super::Service;
use super::node::Node;
use super::words::{help, wrong_words};
use crate::resp::Value;

/// Below this there is nothing worth a diagnosis; Redis draws the line there, too.
const EMPTY_BYTES_MAX: u64 = 5 << 20;
/// Memory beyond what it ever was in use by this share is told of.
const PEAK_RATIO_MAX: f64 = 1.5;
/// Unread replies and unfinished requests per client that are told of, on average.
const CLIENT_BYTES_MAX: u64 = 200 << 10;

/// What the words need of INFO.
#[derive(Clone, Copy, Debug, Default)]
struct Figures {
    used: u64,
    peak: u64,
    keys: u64,
    clients: u64,
    /// Bytes that wait for or from clients.
    waiting: u64,
}

impl Service {
    /// `MEMORY subcommand`, but for USAGE, which is answered where the key is.
    pub(super) fn memory(&self, args: &[Bytes]) -> Value {
        match args[1].to_ascii_lowercase().as_slice() {
            b"stats" => self.memory_stats(),
            b"doctor" => Value::Verbatim("txt", diagnosis(self.memory_figures().0).into()),
            b"malloc-stats" => match self.node.allocator_report() {
                report if report.is_empty() => Value::bulk("Stats not supported for the current allocator"),
                report => Value::Verbatim("txt", report.into()),
            },
            b"purge" => {
                self.node.purge_memory();
                Value::OK
            }
            b"help" => help("MEMORY", HELP),
            _ => wrong_words(args),
        }
    }

    /// Figures, and each database with its number of keys and of keys with a deadline.
    fn memory_figures(&self) -> (Figures, Vec<(String, u64, u64)>) {
        let facts = self.node.facts();
        let section =
            |title: &'static str| facts.iter().filter(move |(known, _)| *known == title).flat_map(|(_, lines)| lines);
        let number = |name: &str| {
            let found = section("Memory").find(|(known, _)| known == name);
            found.and_then(|(_, value)| value.parse().ok()).unwrap_or(0)
        };
        let databases: Vec<(String, u64, u64)> = section("Keyspace")
            .map(|(name, value)| {
                let field = |wanted: &str| {
                    let found = value.split(',').find_map(|field| field.strip_prefix(wanted)?.strip_prefix('='));
                    found.and_then(|number| number.parse().ok()).unwrap_or(0)
                };
                (name.clone(), field("keys"), field("expires"))
            })
            .collect();
        let clients = self.clients.all();
        let waiting =
            clients.iter().map(|client| client.input_waiting.load(Relaxed) + client.output_waiting.load(Relaxed));
        let figures = Figures {
            used: number("used_memory"),
            peak: number("used_memory_peak").max(number("used_memory")),
            keys: databases.iter().map(|(_, keys, _)| keys).sum(),
            clients: clients.len() as u64,
            waiting: waiting.sum::<usize>() as u64,
        };
        (figures, databases)
    }

    fn memory_stats(&self) -> Value {
        let (figures, databases) = self.memory_figures();
        let clients = figures.waiting + figures.clients * std::mem::size_of::<super::Session>() as u64;
        let dataset = figures.used.saturating_sub(self.memory_at_start + clients);
        let share = |part: u64, whole: u64| 100.0 * part as f64 / whole.max(1) as f64;
        let net = figures.used.saturating_sub(self.memory_at_start);
        let mut pairs: Vec<(Value, Value)> = Vec::new();
        let mut tell = |name: &str, value: Value| pairs.push((Value::bulk(name.to_string()), value));
        let bytes = |bytes: u64| Value::Integer(i64::try_from(bytes).unwrap_or(i64::MAX));
        tell("peak.allocated", bytes(figures.peak));
        tell("total.allocated", bytes(figures.used));
        tell("startup.allocated", bytes(self.memory_at_start));
        tell("replication.backlog", bytes(0));
        tell("clients.slaves", bytes(0));
        tell("clients.normal", bytes(clients));
        for name in ["cluster.links", "aof.buffer"] {
            tell(name, bytes(0));
        }
        let kept = self.node.scripts();
        tell("lua.caches", bytes(kept.scripts_bytes as u64));
        tell("functions.caches", bytes(kept.libraries_bytes as u64));
        for (name, ..) in databases {
            let none = ["main", "expires", "slot-to-keys"]
                .map(|table| (Value::bulk(format!("overhead.hashtable.{table}")), bytes(0)));
            tell(&name.replacen("db", "db.", 1), Value::Map(none.to_vec()));
        }
        tell("overhead.total", bytes(self.memory_at_start + clients));
        tell("keys.count", bytes(figures.keys));
        tell("keys.bytes-per-key", bytes(net.checked_div(figures.keys).unwrap_or(0)));
        tell("dataset.bytes", bytes(dataset));
        tell("dataset.percentage", Value::Double(share(dataset, net)));
        tell("peak.percentage", Value::Double(share(figures.used, figures.peak)));
        for name in ["allocator.allocated", "allocator.active", "allocator.resident"] {
            tell(name, bytes(figures.used));
        }
        for name in ["allocator-fragmentation", "allocator-rss", "rss-overhead"] {
            tell(&format!("{name}.ratio"), Value::Double(1.0));
            tell(&format!("{name}.bytes"), bytes(0));
        }
        tell("fragmentation", Value::Double(1.0));
        tell("fragmentation.bytes", bytes(0));
        Value::Map(pairs)
    }
}

/// Bytes in memory now, as INFO tells.
pub(super) fn used(node: &dyn Node) -> u64 {
    let facts = node.facts();
    let lines = facts.iter().filter(|(title, _)| *title == "Memory").flat_map(|(_, lines)| lines);
    let found = lines.into_iter().find(|(name, _)| name == "used_memory");
    found.and_then(|(_, value)| value.parse().ok()).unwrap_or(0)
}

/// What is remarkable about some figures, a sentence each.
fn diagnosis(figures: Figures) -> String {
    if figures.used < EMPTY_BYTES_MAX {
        return "There is nothing to diagnose: this node uses little memory.\n".into();
    }
    let mut remarks = Vec::new();
    if figures.peak as f64 > figures.used as f64 * PEAK_RATIO_MAX {
        remarks.push(format!(
            "At its peak the node used {} bytes, now {}: the difference may still be reserved by the system for it.",
            figures.peak, figures.used
        ));
    }
    if figures.clients > 0 && figures.waiting / figures.clients > CLIENT_BYTES_MAX {
        remarks.push(format!(
            "{} bytes wait for or from {} clients: some of them read their replies slowly, or send large requests.",
            figures.waiting, figures.clients
        ));
    }
    if remarks.is_empty() {
        return "Nothing is remarkable about this node's memory. Most of it are the caches and the write buffer, which \
                the settings bound.\n"
            .into();
    }
    remarks.iter().map(|remark| format!("* {remark}\n")).collect()
}

const HELP: &[&str] = &[
    "DOCTOR",
    "    What is remarkable about the memory of this node, in words.",
    "MALLOC-STATS",
    "    The allocator's own report.",
    "PURGE",
    "    Let the allocator give back what it keeps unused.",
    "STATS",
    "    Figures of this node's memory.",
    "USAGE <key> [SAMPLES <count>]",
    "    Bytes of records that a key takes; of a large value some elements are looked at (5 unless told, 0 for all).",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remarks_follow_the_figures() {
        let calm = Figures { used: 100 << 20, peak: 110 << 20, keys: 1, clients: 2, waiting: 1000 };
        let is_calm = |figures| diagnosis(figures).starts_with("Nothing");
        assert!(is_calm(calm));
        assert!(diagnosis(Figures { used: 1 << 20, ..calm }).contains("little memory"));
        assert!(diagnosis(Figures { peak: 200 << 20, ..calm }).contains("At its peak"));
        assert!(diagnosis(Figures { waiting: 1 << 20, ..calm }).contains("wait for or from 2 clients"));
        assert!(is_calm(Figures { clients: 0, waiting: 0, ..calm }));
    }
}
