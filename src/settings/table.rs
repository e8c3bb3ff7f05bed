//! One row per setting: name, unit, default, bounds and what it means. The example file is written from it.

use std::fmt::Write as _;

/// What a value may be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// A whole number within bounds, both included.
    Integer(u64, u64),
    /// A number within bounds, both included.
    Ratio(f64, f64),
    /// Any text.
    Text,
    /// `host:port`.
    Address,
    /// `host:port`, or empty.
    MaybeAddress,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// `1=host:port,2=host:port,...` or empty.
    Cluster,
    /// `host:port,host:port,...` or empty.
    Addresses,
}

/// One setting.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// `section.key`, as in a file; `HOLDFAST_SECTION__KEY` in the environment.
    pub path: &'static str,
    /// What a value may be.
    pub kind: Kind,
    /// What holds when nothing is said, as written in a TOML file without quotes.
    pub default: &'static str,
    /// Unit for people, or empty.
    pub unit: &'static str,
    /// What it does, in sentences.
    pub help: &'static str,
}

const fn row(path: &'static str, kind: Kind, default: &'static str, unit: &'static str, help: &'static str) -> Row {
    Row { path, kind, default, unit, help }
}

/// What `clients.debug_command` may be.
pub(super) const DEBUG_COMMAND: [&str; 3] = ["no", "local", "yes"];

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// Every setting, in the order of the file.
pub const ROWS: &[Row] = &[
    row(
        "node.id",
        Kind::Integer(1, u32::MAX as u64),
        "1",
        "",
        "Id of this node, unique in the cluster, never given to another node later.",
    ),
    row("node.data_dir", Kind::Text, "data", "", "Directory of the two databases. Belongs to one node of one cluster."),
    row("listen.resp", Kind::Address, "127.0.0.1:6379", "", "Where Redis clients connect."),
    row(
        "listen.peer",
        Kind::Address,
        "127.0.0.1:16379",
        "",
        "Where other nodes connect. Keep it inside a trusted network.",
    ),
    row("listen.http", Kind::Address, "127.0.0.1:8080", "", "Health, status and metrics over HTTP."),
    row(
        "advertise.peer",
        Kind::MaybeAddress,
        "",
        "",
        "Where other nodes find this one, where that is neither what cluster.initial says nor the address it listens on. A node that joins and listens on a wildcard has to say it.",
    ),
    row(
        "advertise.resp",
        Kind::MaybeAddress,
        "",
        "",
        "What all nodes tell clients about where this one is, where that is not the address it listens on: behind mapped ports, for example. Empty: listen.resp; for a wildcard such as 0.0.0.0 with the host that cluster.initial has for this node. Where other nodes find it, cluster.initial says.",
    ),
    row("advertise.http", Kind::MaybeAddress, "", "", "The same for HTTP, as /status tells it. Empty: listen.http."),
    row(
        "cluster.initial",
        Kind::Cluster,
        "",
        "",
        "Ids and peer addresses of the first nodes, the same list on each: \"1=a:16379,2=b:16379,3=c:16379\". Empty: a single node that is its own cluster. Once the data directory is in use the list only tells where to look for its nodes.",
    ),
    row(
        "cluster.join",
        Kind::Addresses,
        "",
        "",
        "Peer addresses of one or more members of a cluster that this node is to join at its first start: \"a:16379,b:16379\". It needs an id that no node of the cluster had before. Ignored once the data directory is in use.",
    ),
    row(
        "cluster.partitions",
        Kind::Integer(1, 1024),
        "1",
        "groups",
        "Raft groups that share the slots equally. Only read while the data directory is empty. Commands over keys of several groups are refused, so leave it at 1 unless you know your keys.",
    ),
    row(
        "cluster.token",
        Kind::Text,
        "holdfast",
        "",
        "Part of the cluster's identity: clusters with equal node lists and different tokens refuse each other.",
    ),
    row("clients.max", Kind::Integer(1, 1_000_000), "10000", "connections", "Connections of Redis clients at a time."),
    row(
        "clients.password",
        Kind::Text,
        "",
        "",
        "Password of the user default, which AUTH asks for. Empty: none. Only read until the cluster's users say what default is: after a CONFIG SET requirepass or an ACL SETUSER default.",
    ),
    row(
        "clients.users",
        Kind::Text,
        "",
        "",
        "The first users, one on each line, with the rules of ACL SETUSER: \"alice on >password ~app:* +@all -@dangerous\". Only read while the cluster never had users; later ones are made with ACL SETUSER. A line for default replaces clients.password. The same on each node.",
    ),
    row(
        "clients.debug_command",
        Kind::Choice(&DEBUG_COMMAND),
        "no",
        "",
        "Who may use DEBUG: nobody, clients from this machine (local), or everybody (yes). For test suites. Redis calls it enable-debug-command.",
    ),
    row(
        "clients.idle_timeout_s",
        Kind::Integer(0, 86_400 * 365),
        "0",
        "s",
        "Close a connection that was silent for so long. 0: never.",
    ),
    row(
        "clients.request_deadline_ms",
        Kind::Integer(100, 60_000),
        "2500",
        "ms",
        "When a command has no outcome by then, the client is told so (CLUSTERDOWN when it certainly did not run, UNKNOWNOUTCOME otherwise).",
    ),
    row(
        "clients.query_buffer_bytes",
        Kind::Integer(MIB, 4 * GIB),
        "268435456",
        "bytes",
        "Bytes of one client's request that may wait to become complete.",
    ),
    row(
        "clients.output_buffer_bytes",
        Kind::Integer(MIB, 4 * GIB),
        "268435456",
        "bytes",
        "Reply bytes that one client may leave unread before it is disconnected.",
    ),
    row(
        "clients.bulk_bytes",
        Kind::Integer(1024, 64 * MIB),
        "67108864",
        "bytes",
        "Largest key or value of a request. It becomes part of one log entry.",
    ),
    row(
        "raft.read_mode",
        Kind::Choice(&["lease", "read-index"]),
        "lease",
        "",
        "How a leader makes sure that it still leads before it answers a read: by a lease (fast; needs clocks that advance at nearly the same rate, not equal clocks) or by asking a quorum each time (needs no clock).",
    ),
    row(
        "raft.lease_ms",
        Kind::Integer(50, 400),
        "400",
        "ms",
        "Length of a lease, counted from the sending of the heartbeat that a quorum acknowledged. At most the shortest election timeout.",
    ),
    row(
        "raft.log_keep_entries",
        Kind::Integer(10, 10_000_000),
        "10000",
        "entries",
        "Entries kept behind the durable state so that a slow node can catch up from the log instead of a snapshot.",
    ),
    row(
        "storage.write_buffer_bytes",
        Kind::Integer(MIB, 4 * GIB),
        "67108864",
        "bytes",
        "State written in memory before it is flushed to files. Four times as much while a flush is under way.",
    ),
    row("storage.block_cache_bytes", Kind::Integer(MIB, 1024 * GIB), "268435456", "bytes", "Cache of file blocks."),
    row(
        "storage.flush_interval_s",
        Kind::Integer(1, 3600),
        "60",
        "s",
        "Flush the state at least so often, so that the log can be cut and a restart replays little.",
    ),
    row(
        "storage.flush_log_bytes",
        Kind::Integer(MIB, 1024 * GIB),
        "268435456",
        "bytes",
        "Flush the state when the log that only a flush makes cuttable has grown to this.",
    ),
    row("cache.bytes", Kind::Integer(0, 1024 * GIB), "268435456", "bytes", "Cache of hot records. 0: none."),
    row(
        "cache.policy",
        Kind::Choice(&["tiny-lfu", "lru"]),
        "tiny-lfu",
        "",
        "What the record cache keeps: the frequent (tiny-lfu) or the recent (lru).",
    ),
    row(
        "hash.max_listpack_entries",
        Kind::Integer(0, 65_536),
        "512",
        "fields",
        "Up to so many fields OBJECT ENCODING says listpack of a hash, then hashtable. In one record it is up to 64 fields, or 2 KiB. Redis calls it hash-max-listpack-entries.",
    ),
    row(
        "hash.max_listpack_value_bytes",
        Kind::Integer(0, 65_536),
        "64",
        "bytes",
        "A hash with a longer field or value gets a record per field. Redis calls it hash-max-listpack-value.",
    ),
    row(
        "set.max_intset_entries",
        Kind::Integer(0, 65_536),
        "512",
        "members",
        "Up to so many members OBJECT ENCODING says intset of a set of integers, then hashtable. In one record it is up to 64 members, or 2 KiB. Redis calls it set-max-intset-entries.",
    ),
    row(
        "set.max_listpack_entries",
        Kind::Integer(0, 65_536),
        "128",
        "members",
        "Up to so many members OBJECT ENCODING says listpack of a set of other words, then hashtable. In one record it is up to 64 members, or 2 KiB. Redis calls it set-max-listpack-entries.",
    ),
    row(
        "set.max_listpack_value_bytes",
        Kind::Integer(0, 65_536),
        "64",
        "bytes",
        "A set with a longer member gets a record per member. Redis calls it set-max-listpack-value.",
    ),
    row(
        "zset.max_listpack_entries",
        Kind::Integer(0, 65_536),
        "128",
        "members",
        "Up to so many members OBJECT ENCODING says listpack of a sorted set, then skiplist. In one record it is up to 64 members, or 2 KiB. Redis calls it zset-max-listpack-entries.",
    ),
    row(
        "zset.max_listpack_value_bytes",
        Kind::Integer(0, 65_536),
        "64",
        "bytes",
        "A sorted set with a longer member gets a record per member. Redis calls it zset-max-listpack-value.",
    ),
    row(
        "log.level",
        Kind::Text,
        "info",
        "",
        "Filter of log lines: error, warn, info, debug, trace, or per module as in \"info,holdfast::runtime=debug\".",
    ),
    row("log.format", Kind::Choice(&["text", "json"]), "text", "", "Log lines for people or for machines."),
    row(
        "telemetry.otlp_endpoint",
        Kind::Text,
        "",
        "",
        "OpenTelemetry collector (OTLP over gRPC), for example http://jaeger:4317. Empty: no traces.",
    ),
    row("telemetry.sample_ratio", Kind::Ratio(0.0, 1.0), "0.01", "of requests", "How many requests are traced."),
];

/// The commented file with every setting at its default, as TOML.
pub fn example_file() -> String {
    let mut text = String::from(
        "# Holdfast's settings with their defaults. Every key may be left out.\n\
         # HOLDFAST_SECTION__KEY in the environment overrides this file, flags override both.\n\
         # The same keys are accepted as YAML (.yaml, .yml) and JSON (.json).\n\
         # `holdfast config --config FILE` prints what is in effect and where it comes from.\n",
    );
    let mut section = "";
    for row in ROWS {
        let (of, key) = row.path.split_once('.').unwrap_or(("", row.path));
        if of != section {
            section = of;
            let _ = write!(text, "\n[{section}]\n");
        }
        for line in wrap(row.help, 116) {
            let _ = writeln!(text, "# {line}");
        }
        match row.kind {
            Kind::Choice(words) => {
                let _ = writeln!(text, "# One of: {}.", words.join(", "));
            }
            Kind::Integer(low, high) => {
                let _ =
                    writeln!(text, "# From {low} to {high}{}{}.", if row.unit.is_empty() { "" } else { " " }, row.unit);
            }
            _ => {}
        }
        let _ = match row.kind {
            Kind::Integer(..) | Kind::Ratio(..) => writeln!(text, "{key} = {}", row.default),
            _ => writeln!(text, "{key} = \"{}\"", row.default),
        };
    }
    text
}

fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let last = lines.len() - 1;
        if !lines[last].is_empty() && lines[last].len() + 1 + word.len() > width {
            lines.push(word.to_owned());
        } else {
            if !lines[last].is_empty() {
                lines[last].push(' ');
            }
            lines[last].push_str(word);
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_file_is_the_table() {
        let shipped = concat!(env!("CARGO_MANIFEST_DIR"), "/config/holdfast.toml");
        let text = std::fs::read_to_string(shipped).expect("config/holdfast.toml is part of the repository");
        assert_eq!(text, example_file(), "write it anew: holdfast config --example > config/holdfast.toml");
    }

    #[test]
    fn paths_are_unique() {
        let mut paths: Vec<_> = ROWS.iter().map(|row| row.path).collect();
        paths.sort_unstable();
        assert!(paths.windows(2).all(|pair| pair[0] != pair[1]));
    }
}
