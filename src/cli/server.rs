//! `holdfast server`: flags that override settings, then [`crate::runtime`].

use std::net::{SocketAddr, ToSocketAddrs as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use bytes::Bytes;
use clap::Args;

use crate::base::NodeId;
use crate::command::acl::{self, User};
use crate::runtime;
use crate::settings::{self, CachePolicy, LogFormat, ReadMode, Settings, Sources};

/// Flags of `server` and `config`; each overrides the setting of the same meaning.
#[derive(Clone, Debug, Default, Args)]
pub struct Flags {
    /// Settings file (.toml, .yaml, .yml or .json)
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Id of this node, from 1
    #[arg(long, value_name = "N")]
    node_id: Option<u64>,
    /// Directory of this node's data
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Where Redis clients connect
    #[arg(long, value_name = "HOST:PORT")]
    resp: Option<String>,
    /// Where other nodes connect
    #[arg(long, value_name = "HOST:PORT")]
    peer: Option<String>,
    /// Where health, status and metrics are served
    #[arg(long, value_name = "HOST:PORT")]
    http: Option<String>,
    /// Where other nodes are told to find this one, if not where it listens
    #[arg(long, value_name = "HOST:PORT")]
    advertise_peer: Option<String>,
    /// Where clients are told to find this node, if not where it listens
    #[arg(long, value_name = "HOST:PORT")]
    advertise_resp: Option<String>,
    /// The same for HTTP
    #[arg(long, value_name = "HOST:PORT")]
    advertise_http: Option<String>,
    /// Ids and peer addresses of the first nodes, the same on each: 1=host:port,2=host:port,3=host:port
    #[arg(long, value_name = "LIST")]
    initial_cluster: Option<String>,
    /// Peer addresses of members of a cluster that this node is to join: host:port,host:port
    #[arg(long, value_name = "LIST")]
    join: Option<String>,
    /// Raft groups that share the slots, read at the first start only
    #[arg(long, value_name = "P")]
    partitions: Option<u16>,
}

impl Flags {
    /// All sources of settings, the process environment included.
    pub fn sources(self) -> Result<Sources, String> {
        let data_dir = match self.data_dir {
            Some(dir) => Some(dir.into_os_string().into_string().map_err(|_| "--data-dir must be valid UTF-8")?),
            None => None,
        };
        let flags = [
            ("node.id", self.node_id.map(|id| id.to_string())),
            ("node.data_dir", data_dir),
            ("listen.resp", self.resp),
            ("listen.peer", self.peer),
            ("listen.http", self.http),
            ("advertise.peer", self.advertise_peer),
            ("advertise.resp", self.advertise_resp),
            ("advertise.http", self.advertise_http),
            ("cluster.initial", self.initial_cluster),
            ("cluster.join", self.join),
            ("cluster.partitions", self.partitions.map(|count| count.to_string())),
        ];
        Ok(Sources {
            file: self.config,
            environment: settings::environment(),
            flags: flags.into_iter().filter_map(|(path, value)| Some((path, value?))).collect(),
        })
    }
}

/// Runs a node until it is told to stop.
pub fn run(flags: Flags) -> Result<ExitCode, String> {
    let settings = settings::load(&flags.sources()?)?.settings;
    let outcome = node_config(&settings).and_then(|config| runtime::start(config)?.wait());
    match outcome {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(why) => {
            eprintln!("holdfast: {why}");
            Ok(ExitCode::from(why.exit_code()))
        }
    }
}

/// What the runtime is told, from what the operator said.
fn node_config(settings: &Settings) -> runtime::Result<runtime::Config> {
    let mut config = runtime::Config::new(NodeId(settings.node_id), &settings.data_dir);
    config.cluster_name.clone_from(&settings.cluster_token);
    config.initial_cluster = settings.initial_cluster.iter().map(|(id, at)| (NodeId(*id), at.clone())).collect();
    config.join.clone_from(&settings.join);
    config.partitions = settings.partitions;
    config.resp = resolve("listen.resp", &settings.resp)?;
    config.http = resolve("listen.http", &settings.http)?;
    config.peer = Some(resolve("listen.peer", &settings.peer)?);
    config.advertise_peer = Some(settings.advertise_peer.clone()).filter(|address| !address.is_empty());
    config.advertise_resp = Some(settings.advertise_resp.clone()).filter(|address| !address.is_empty());
    config.advertise_http = Some(settings.advertise_http.clone()).filter(|address| !address.is_empty());
    config.clients_max = settings.clients_max;
    config.password = Some(settings.password.clone()).filter(|password| !password.is_empty());
    config.users = first_users(&settings.users)?;
    config.debug_command = settings.debug_command;
    config.idle_timeout = settings.idle_timeout;
    config.query_buffer_bytes = settings.query_buffer_bytes;
    config.output_buffer_bytes = settings.output_buffer_bytes;
    config.thresholds.string_bytes_max = settings.bulk_bytes;
    config.request_timeout = settings.request_deadline;
    config.raft.lease = match settings.read_mode {
        ReadMode::Lease => settings.lease,
        ReadMode::ReadIndex => Duration::ZERO,
    };
    config.raft.log_entries_kept = settings.log_keep_entries;
    config.raft.flush_log_bytes = settings.flush_log_bytes;
    config.raft.flush_interval = settings.flush_interval;
    config.storage.cache_bytes = settings.cache_bytes;
    config.storage.cache_policy = match settings.cache_policy {
        CachePolicy::TinyLfu => runtime::config::CachePolicy::TinyLfu,
        CachePolicy::Lru => runtime::config::CachePolicy::Lru,
    };
    config.storage.block_cache_bytes = settings.block_cache_bytes as u64;
    config.storage.write_buffer_bytes = settings.write_buffer_bytes as u64;
    config.thresholds.hash_entries_max = settings.hash_entries_max;
    config.thresholds.hash_value_bytes_max = settings.hash_value_bytes_max;
    config.thresholds.set_integers_max = settings.set_integers_max;
    config.thresholds.set_entries_max = settings.set_entries_max;
    config.thresholds.set_value_bytes_max = settings.set_value_bytes_max;
    config.thresholds.zset_entries_max = settings.zset_entries_max;
    config.thresholds.zset_value_bytes_max = settings.zset_value_bytes_max;
    config.telemetry.log_filter.clone_from(&settings.log_level);
    config.telemetry.log_format = match settings.log_format {
        LogFormat::Text => runtime::config::LogFormat::Text,
        LogFormat::Json => runtime::config::LogFormat::Json,
    };
    config.telemetry.otlp_endpoint = Some(settings.otlp_endpoint.clone()).filter(|endpoint| !endpoint.is_empty());
    config.telemetry.trace_ratio = settings.sample_ratio;
    Ok(config)
}

/// The users of `clients.users`, passwords hidden. Each line is a name and rules, behind the word `user` if it is copied
/// from an ACL LIST.
fn first_users(text: &str) -> runtime::Result<Vec<(Bytes, Vec<Bytes>)>> {
    let mut users: Vec<(Bytes, Vec<Bytes>)> = Vec::new();
    for line in text.lines() {
        let words: Vec<Bytes> = line.split_whitespace().map(|word| Bytes::copy_from_slice(word.as_bytes())).collect();
        let (name, rules) = match words.as_slice() {
            [] => continue,
            [user, name, rules @ ..] if &user[..] == b"user" => (name, rules),
            [name, rules @ ..] => (name, rules),
        };
        // Neither rules nor the line are told: they hold passwords.
        let wrong =
            |why: &str| runtime::Error::Config(format!("clients.users: user {}: {why}", String::from_utf8_lossy(name)));
        let rules = acl::merge_selectors(rules).map_err(|_| wrong("a selector is not closed"))?;
        let hidden: Vec<Bytes> = rules.iter().map(acl::hide_password).collect();
        User::new(name.clone())
            .apply(&hidden)
            .map_err(|(at, mistake)| wrong(&format!("rule {}: {}", at + 1, mistake.text())))?;
        if users.iter().any(|(known, _)| known == name) {
            return Err(wrong("named twice"));
        }
        users.push((name.clone(), hidden));
    }
    Ok(users)
}

fn resolve(setting: &str, text: &str) -> runtime::Result<SocketAddr> {
    let first = text.to_socket_addrs().ok().and_then(|mut addresses| addresses.next());
    first.ok_or_else(|| runtime::Error::Config(format!("{setting}: no address is known for \"{text}\"")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::{Kind, ROWS, Row};

    /// Another valid value than the default.
    fn other(row: &Row) -> String {
        match row.kind {
            Kind::Integer(low, high) if row.default == low.to_string() => high.to_string(),
            Kind::Integer(low, _) => low.to_string(),
            Kind::Ratio(..) => "0.5".into(),
            Kind::Text => "other".into(),
            Kind::Address | Kind::MaybeAddress => "127.0.0.1:7".into(),
            Kind::Choice(words) => words.iter().find(|word| **word != row.default).expect("two words").to_string(),
            Kind::Cluster => "1=127.0.0.1:7,2=127.0.0.1:8".into(),
            Kind::Addresses => "127.0.0.1:7,127.0.0.1:8".into(),
        }
    }

    fn config(environment: Vec<(String, String)>) -> String {
        let settings = settings::load(&Sources { environment, ..Sources::default() }).expect("valid settings").settings;
        format!("{:?}", node_config(&settings).expect("a configuration"))
    }

    #[test]
    fn first_users_are_checked_and_mistakes_do_not_tell_passwords() {
        let users = first_users("\n user alice on >secret (+get ~x) \nbob\n").expect("two users");
        assert_eq!(
            users.iter().map(|(name, rules)| (&name[..], rules.len())).collect::<Vec<_>>(),
            [(&b"alice"[..], 3), (&b"bob"[..], 0)]
        );
        assert!(users[0].1[1].starts_with(b"#2bb80d53"));
        for (wrong, why) in [
            ("alice >secret +nosuch", "rule 2"),
            ("alice >secret (+get", "not closed"),
            ("alice >secret\nalice on", "twice"),
        ] {
            let told = first_users(wrong).expect_err(wrong).to_string();
            assert!(told.contains("alice") && told.contains(why) && !told.contains("secret"), "{told}");
        }
    }

    #[test]
    fn every_setting_reaches_the_runtime() {
        let defaults = config(Vec::new());
        for row in ROWS {
            let name = format!("HOLDFAST_{}", row.path.replace('.', "__").to_ascii_uppercase());
            let changed = config(vec![(name, other(row))]);
            assert_ne!(changed, defaults, "{} changes nothing", row.path);
        }
    }
}
