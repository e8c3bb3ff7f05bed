//! INFO: every field of Redis 7.2, real or a documented constant, then what the node adds.
//!
//! A constant stands where Redis describes a mechanism that does not exist here (RDB files, forks, replication
//! backlog, active defragmentation): clients and exporters that look for the field find it, at its neutral value.
//! `aof_enabled:1` and `appendfsync always` are the nearest true words for a log that is synced before each reply.
//! Fields that the node knows better (memory, keyspace) are replaced by its facts; its own sections follow.

use std::fmt::Write;
use std::sync::atomic::Ordering::Relaxed;

use bytes::Bytes;

use super::pubsub::Kind;
use super::words::{is, text};
use super::{Service, cluster};

/// The fields of a section, in order.
type Fields = Vec<(String, String)>;

/// Sections that a bare INFO leaves out.
const NOT_BY_DEFAULT: [&str; 2] = ["Commandstats", "Latencystats"];

impl Service {
    /// The text for these section names (none: the default ones).
    pub(super) fn info(&self, names: &[Bytes]) -> String {
        let everything = names.iter().any(|name| is(name, "all") || is(name, "everything"));
        let default = names.is_empty() || names.iter().any(|name| is(name, "default"));
        let wanted = |title: &str| {
            everything
                || (default && !NOT_BY_DEFAULT.contains(&title))
                || names.iter().any(|name| is(name, title) || (title == "Modules" && is(name, "module_list")))
        };
        let mut out = String::new();
        for (title, fields) in self.sections(&wanted) {
            if !out.is_empty() {
                out.push_str("\r\n");
            }
            // Writing to a string cannot fail.
            let _ = write!(out, "# {title}\r\n");
            for (name, value) in fields {
                let _ = write!(out, "{name}:{value}\r\n");
            }
        }
        out
    }

    /// Wanted sections in Redis's order, facts of the node included, then the node's own.
    fn sections(&self, wanted: &dyn Fn(&str) -> bool) -> Vec<(&'static str, Fields)> {
        type Section = (&'static str, fn(&Service) -> Fields);
        const SECTIONS: [Section; 13] = [
            ("Server", Service::server_section),
            ("Clients", Service::clients_section),
            ("Memory", Service::memory_section),
            ("Persistence", Service::persistence_section),
            ("Stats", Service::stats_section),
            ("Replication", Service::replication_section),
            ("CPU", |_| constants(CPU)),
            ("Modules", |_| Fields::new()),
            ("Commandstats", Service::commandstats_section),
            ("Errorstats", Service::errorstats_section),
            ("Latencystats", Service::latencystats_section),
            ("Cluster", |_| constants(&[("cluster_enabled", "0")])),
            ("Keyspace", |_| Fields::new()),
        ];
        let ours = SECTIONS.iter().filter(|(title, _)| wanted(title));
        let mut sections: Vec<(&'static str, Fields)> = ours.map(|(title, fields)| (*title, fields(self))).collect();
        for (title, facts) in self.node.facts().into_iter().filter(|(title, _)| wanted(title)) {
            let index = sections.iter().position(|(known, _)| *known == title).unwrap_or_else(|| {
                sections.push((title, Fields::new()));
                sections.len() - 1
            });
            let fields = &mut sections[index].1;
            for (name, value) in facts {
                match fields.iter_mut().find(|(known, _)| *known == name) {
                    Some(field) => field.1 = value,
                    None => fields.push((name, value)),
                }
            }
            spell_out(fields);
        }
        sections
    }

    fn server_section(&self) -> Fields {
        let uptime = self.node.monotonic().since(self.started).as_secs();
        let now = self.node.now().0;
        let port = &self.options.port;
        fields(&[
            ("redis_version", super::REDIS_VERSION.into()),
            ("redis_git_sha1", "00000000".into()),
            ("redis_git_dirty", "0".into()),
            ("redis_build_id", "0000000000000000".into()),
            ("redis_mode", "standalone".into()),
            ("os", format!("{} {}", std::env::consts::OS, std::env::consts::ARCH)),
            ("arch_bits", usize::BITS.to_string()),
            ("monotonic_clock", "POSIX clock_gettime".into()),
            ("multiplexing_api", "epoll".into()),
            ("atomicvar_api", "rust-builtin".into()),
            ("gcc_version", "0.0.0".into()),
            ("process_id", std::process::id().to_string()),
            ("process_supervised", "no".into()),
            ("run_id", self.run_id.clone()),
            ("tcp_port", port.to_string()),
            ("server_time_usec", self.node.now_micros().to_string()),
            ("uptime_in_seconds", uptime.to_string()),
            ("uptime_in_days", (uptime / 86_400).to_string()),
            ("hz", text(&self.config.get("hz"))),
            ("configured_hz", text(&self.config.get("hz"))),
            ("lru_clock", (now / 1000 % (1 << 24)).to_string()),
            ("executable", self.options.executable.clone()),
            ("config_file", String::new()),
            ("io_threads_active", "0".into()),
            ("listener0", format!("name=tcp,bind={},port={port}", self.options.bind)),
            ("holdfast_version", env!("CARGO_PKG_VERSION").into()),
        ])
    }

    fn clients_section(&self) -> Fields {
        let clients = self.clients.all();
        let most = |read: fn(&super::client_list::Client) -> usize| {
            clients.iter().map(|client| read(client)).max().unwrap_or(0)
        };
        fields(&[
            ("connected_clients", clients.len().to_string()),
            ("cluster_connections", "0".into()),
            ("maxclients", self.config.clients_max().to_string()),
            ("client_recent_max_input_buffer", most(|client| client.input_waiting.load(Relaxed)).to_string()),
            ("client_recent_max_output_buffer", most(|client| client.output_waiting.load(Relaxed)).to_string()),
            ("blocked_clients", self.clients.all().iter().filter(|client| client.is_blocked()).count().to_string()),
            ("tracking_clients", clients.iter().filter(|client| client.tracking.load(Relaxed)).count().to_string()),
            ("clients_in_timeout_table", "0".into()),
            ("total_blocking_keys", "0".into()),
            ("total_blocking_keys_on_nokey", "0".into()),
        ])
    }

    /// One interpreter of each machine runs scripts and functions: all of its memory is told as that of scripts.
    fn memory_section(&self) -> Fields {
        let (kept, interpreters) = (self.node.scripts(), self.node.running().bytes());
        let real = [
            ("used_memory_lua", interpreters),
            ("used_memory_vm_eval", interpreters),
            ("used_memory_vm_total", interpreters),
            ("used_memory_scripts_eval", kept.scripts_bytes),
            ("used_memory_functions", kept.libraries_bytes),
            ("used_memory_scripts", kept.scripts_bytes + kept.libraries_bytes),
            ("number_of_cached_scripts", kept.scripts),
            ("number_of_functions", kept.functions),
            ("number_of_libraries", kept.libraries),
        ];
        let mut fields = constants(MEMORY);
        for field in &mut fields {
            if let Some((_, value)) = real.iter().find(|(name, _)| *name == field.0) {
                field.1 = value.to_string();
            }
        }
        spell_out(&mut fields);
        fields
    }

    fn persistence_section(&self) -> Fields {
        let mut fields = constants(PERSISTENCE);
        // Clients such as ioredis wait for `loading:0`.
        let loading = self.is_loading();
        let loading = [("loading", u8::from(loading).to_string())];
        for (name, value) in loading.into_iter().chain(self.save_fields()) {
            fields.iter_mut().filter(|field| field.0 == name).for_each(|field| field.1.clone_from(&value));
        }
        fields
    }

    fn stats_section(&self) -> Fields {
        let stats = &self.stats;
        let totals = stats.totals();
        let [commands, input, output] = stats.rates(self.node.monotonic());
        let errors: u64 = stats.errors().values().sum();
        let tracked = self.trackers.figures();
        let real = [
            ("total_connections_received", stats.connections.load(Relaxed).to_string()),
            ("total_commands_processed", totals.commands.to_string()),
            ("instantaneous_ops_per_sec", format!("{commands:.0}")),
            ("total_net_input_bytes", totals.input_bytes.to_string()),
            ("total_net_output_bytes", totals.output_bytes.to_string()),
            ("instantaneous_input_kbps", format!("{input:.2}")),
            ("instantaneous_output_kbps", format!("{output:.2}")),
            ("rejected_connections", stats.rejected_connections.load(Relaxed).to_string()),
            ("total_error_replies", errors.to_string()),
            ("total_reads_processed", totals.reads.to_string()),
            ("total_writes_processed", totals.writes.to_string()),
            ("client_query_buffer_limit_disconnections", stats.query_limit_disconnections.load(Relaxed).to_string()),
            ("client_output_buffer_limit_disconnections", stats.output_limit_disconnections.load(Relaxed).to_string()),
            ("pubsub_channels", self.hub.names(Kind::Channel).to_string()),
            ("pubsub_patterns", self.hub.names(Kind::Pattern).to_string()),
            ("pubsubshard_channels", self.hub.names(Kind::Shard).to_string()),
            ("tracking_total_keys", tracked.keys.to_string()),
            ("tracking_total_items", tracked.items.to_string()),
            ("tracking_total_prefixes", tracked.prefixes.to_string()),
            ("acl_access_denied_auth", stats.denied_logins.load(Relaxed).to_string()),
            ("acl_access_denied_cmd", stats.denied_commands.load(Relaxed).to_string()),
            ("acl_access_denied_key", stats.denied_keys.load(Relaxed).to_string()),
            ("acl_access_denied_channel", stats.denied_channels.load(Relaxed).to_string()),
        ];
        let mut fields = constants(STATS);
        for field in &mut fields {
            if let Some((_, value)) = real.iter().find(|(name, _)| *name == field.0) {
                field.1.clone_from(value);
            }
        }
        fields
    }

    /// To a client every node is a master, and those nodes that make up the quorum with it are its replicas: as many as
    /// WAIT answers, or fewer while fewer are heard.
    fn replication_section(&self) -> Fields {
        let (map, me) = (self.node.map(), self.node.id());
        let replicas: Vec<_> = cluster::others(&map, me).take(self.replicas_in_quorum() as usize).collect();
        let mut fields =
            vec![("role".into(), "master".into()), ("connected_slaves".into(), replicas.len().to_string())];
        for (index, (host, port, node)) in replicas.into_iter().enumerate() {
            let offset = cluster::replicated(&map, node.id, me);
            let lag = self.node.now().0.saturating_sub(node.heard.0) / 1000;
            let facts = format!("ip={host},port={port},state=online,offset={offset},lag={lag}");
            fields.push((format!("slave{index}"), facts));
        }
        let rest = [
            ("master_failover_state", "no-failover".to_string()),
            ("master_replid", format!("{:040x}", map.cluster.get())),
            ("master_replid2", "0".repeat(40)),
            ("master_repl_offset", self.offset().to_string()),
            ("second_repl_offset", "-1".to_string()),
            ("repl_backlog_active", "0".to_string()),
            ("repl_backlog_size", text(&self.config.get("repl-backlog-size"))),
            ("repl_backlog_first_byte_offset", "0".to_string()),
            ("repl_backlog_histlen", "0".to_string()),
        ];
        fields.extend(rest.map(|(name, value)| (name.to_string(), value)));
        fields
    }

    fn commandstats_section(&self) -> Fields {
        let line = |(index, name): (usize, &str)| {
            let total = self.stats.command(index);
            (total.calls + total.rejected > 0).then(|| {
                let each = if total.calls == 0 { 0.0 } else { total.micros as f64 / total.calls as f64 };
                let (calls, micros, rejected, failed) = (total.calls, total.micros, total.rejected, total.failed);
                let value =
                    format!("calls={calls},usec={micros},usec_per_call={each:.2},rejected_calls={rejected},failed_calls={failed}");
                (format!("cmdstat_{name}"), value)
            })
        };
        self.commands().map(|spec| spec.name).enumerate().filter_map(line).collect()
    }

    fn errorstats_section(&self) -> Fields {
        let line = |(prefix, count): (String, u64)| (format!("errorstat_{prefix}"), format!("count={count}"));
        self.stats.errors().into_iter().map(line).collect()
    }

    fn latencystats_section(&self) -> Fields {
        let shares = text(&self.config.get("latency-tracking-info-percentiles"));
        let line = |(index, name): (usize, &str)| {
            let total = self.stats.command(index);
            let value = shares.split_whitespace().map(|share| {
                let bound = total.percentile(share.parse().unwrap_or(50.0));
                format!("p{share}={bound}.000")
            });
            (total.calls > 0).then(|| (format!("latency_percentiles_usec_{name}"), value.collect::<Vec<_>>().join(",")))
        };
        self.commands().map(|spec| spec.name).enumerate().filter_map(line).collect()
    }
}

fn fields(fields: &[(&str, String)]) -> Fields {
    fields.iter().map(|(name, value)| (name.to_string(), value.clone())).collect()
}

fn constants(fields: &[(&str, &str)]) -> Fields {
    fields.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect()
}

/// Writes every `x_human` from `x`, as Redis does: `1.50M`.
fn spell_out(fields: &mut Fields) {
    for index in 0..fields.len() {
        let Some(name) = fields[index].0.strip_suffix("_human") else { continue };
        let bytes = fields.iter().find(|(other, _)| other == name).and_then(|(_, value)| value.parse::<f64>().ok());
        if let Some(bytes) = bytes {
            let unit = [(1u64 << 40, "T"), (1 << 30, "G"), (1 << 20, "M"), (1 << 10, "K")];
            let unit = unit.into_iter().find(|(size, _)| bytes >= *size as f64);
            fields[index].1 =
                unit.map_or_else(|| format!("{bytes:.0}B"), |(size, unit)| format!("{:.2}{unit}", bytes / size as f64));
        }
    }
}

/// What the node's facts do not replace: Redis's finer books, which nobody keeps here.
#[rustfmt::skip]
const MEMORY: &[(&str, &str)] = &[
    ("used_memory", "0"),
    ("used_memory_human", "0B"),
    ("used_memory_rss", "0"),
    ("used_memory_rss_human", "0B"),
    ("used_memory_peak", "0"),
    ("used_memory_peak_human", "0B"),
    ("used_memory_peak_perc", "0.00%"),
    ("used_memory_overhead", "0"),
    ("used_memory_startup", "0"),
    ("used_memory_dataset", "0"),
    ("used_memory_dataset_perc", "0.00%"),
    ("allocator_allocated", "0"),
    ("allocator_active", "0"),
    ("allocator_resident", "0"),
    ("total_system_memory", "0"),
    ("total_system_memory_human", "0B"),
    ("used_memory_lua", "0"),
    ("used_memory_vm_eval", "0"),
    ("used_memory_lua_human", "0B"),
    ("used_memory_scripts_eval", "0"),
    ("number_of_cached_scripts", "0"),
    ("number_of_functions", "0"),
    ("number_of_libraries", "0"),
    ("used_memory_vm_functions", "0"),
    ("used_memory_vm_total", "0"),
    ("used_memory_vm_total_human", "0B"),
    ("used_memory_functions", "0"),
    ("used_memory_scripts", "0"),
    ("used_memory_scripts_human", "0B"),
    ("maxmemory", "0"),
    ("maxmemory_human", "0B"),
    ("maxmemory_policy", "noeviction"),
    ("allocator_frag_ratio", "1.00"),
    ("allocator_frag_bytes", "0"),
    ("allocator_rss_ratio", "1.00"),
    ("allocator_rss_bytes", "0"),
    ("rss_overhead_ratio", "1.00"),
    ("rss_overhead_bytes", "0"),
    ("mem_fragmentation_ratio", "1.00"),
    ("mem_fragmentation_bytes", "0"),
    ("mem_not_counted_for_evict", "0"),
    ("mem_replication_backlog", "0"),
    ("mem_total_replication_buffers", "0"),
    ("mem_clients_slaves", "0"),
    ("mem_clients_normal", "0"),
    ("mem_cluster_links", "0"),
    ("mem_aof_buffer", "0"),
    ("mem_allocator", "jemalloc"),
    ("active_defrag_running", "0"),
    ("lazyfree_pending_objects", "0"),
    ("lazyfreed_objects", "0"),
];

/// Saves are those of the state; nothing forks.
#[rustfmt::skip]
const PERSISTENCE: &[(&str, &str)] = &[
    ("loading", "0"),
    ("async_loading", "0"),
    ("current_cow_peak", "0"),
    ("current_cow_size", "0"),
    ("current_cow_size_age", "0"),
    ("current_fork_perc", "0.00"),
    ("current_save_keys_processed", "0"),
    ("current_save_keys_total", "0"),
    ("rdb_changes_since_last_save", "0"),
    ("rdb_bgsave_in_progress", "0"),
    ("rdb_last_save_time", "0"),
    ("rdb_last_bgsave_status", "ok"),
    ("rdb_last_bgsave_time_sec", "-1"),
    ("rdb_current_bgsave_time_sec", "-1"),
    ("rdb_saves", "0"),
    ("rdb_last_cow_size", "0"),
    ("rdb_last_load_keys_expired", "0"),
    ("rdb_last_load_keys_loaded", "0"),
    ("aof_enabled", "1"),
    ("aof_rewrite_in_progress", "0"),
    ("aof_rewrite_scheduled", "0"),
    ("aof_last_rewrite_time_sec", "-1"),
    ("aof_current_rewrite_time_sec", "-1"),
    ("aof_last_bgrewrite_status", "ok"),
    ("aof_rewrites", "0"),
    ("aof_rewrites_consecutive_failures", "0"),
    ("aof_last_write_status", "ok"),
    ("aof_last_cow_size", "0"),
    ("module_fork_in_progress", "0"),
    ("module_fork_last_cow_size", "0"),
    ("aof_current_size", "0"),
    ("aof_base_size", "0"),
    ("aof_pending_rewrite", "0"),
    ("aof_buffer_length", "0"),
    ("aof_pending_bio_fsync", "0"),
    ("aof_delayed_fsync", "0"),
];

/// The fields in Redis's order; those that are counted are replaced.
#[rustfmt::skip]
const STATS: &[(&str, &str)] = &[
    ("total_connections_received", "0"),
    ("total_commands_processed", "0"),
    ("instantaneous_ops_per_sec", "0"),
    ("total_net_input_bytes", "0"),
    ("total_net_output_bytes", "0"),
    ("total_net_repl_input_bytes", "0"),
    ("total_net_repl_output_bytes", "0"),
    ("instantaneous_input_kbps", "0.00"),
    ("instantaneous_output_kbps", "0.00"),
    ("instantaneous_input_repl_kbps", "0.00"),
    ("instantaneous_output_repl_kbps", "0.00"),
    ("rejected_connections", "0"),
    ("sync_full", "0"),
    ("sync_partial_ok", "0"),
    ("sync_partial_err", "0"),
    ("expired_keys", "0"),
    ("expired_stale_perc", "0.00"),
    ("expired_time_cap_reached_count", "0"),
    ("expire_cycle_cpu_milliseconds", "0"),
    ("evicted_keys", "0"),
    ("evicted_clients", "0"),
    ("total_eviction_exceeded_time", "0"),
    ("current_eviction_exceeded_time", "0"),
    ("keyspace_hits", "0"),
    ("keyspace_misses", "0"),
    ("pubsub_channels", "0"),
    ("pubsub_patterns", "0"),
    ("pubsubshard_channels", "0"),
    ("latest_fork_usec", "0"),
    ("total_forks", "0"),
    ("migrate_cached_sockets", "0"),
    ("slave_expires_tracked_keys", "0"),
    ("active_defrag_hits", "0"),
    ("active_defrag_misses", "0"),
    ("active_defrag_key_hits", "0"),
    ("active_defrag_key_misses", "0"),
    ("total_active_defrag_time", "0"),
    ("current_active_defrag_time", "0"),
    ("tracking_total_keys", "0"),
    ("tracking_total_items", "0"),
    ("tracking_total_prefixes", "0"),
    ("unexpected_error_replies", "0"),
    ("total_error_replies", "0"),
    ("dump_payload_sanitizations", "0"),
    ("total_reads_processed", "0"),
    ("total_writes_processed", "0"),
    ("io_threaded_reads_processed", "0"),
    ("io_threaded_writes_processed", "0"),
    ("reply_buffer_shrinks", "0"),
    ("reply_buffer_expands", "0"),
    ("client_query_buffer_limit_disconnections", "0"),
    ("client_output_buffer_limit_disconnections", "0"),
    ("instantaneous_eventloop_cycles_per_sec", "0"),
    ("instantaneous_eventloop_duration_usec", "0"),
    ("eventloop_cycles", "0"),
    ("eventloop_duration_sum", "0"),
    ("eventloop_duration_cmd_sum", "0"),
    ("acl_access_denied_auth", "0"),
    ("acl_access_denied_cmd", "0"),
    ("acl_access_denied_key", "0"),
    ("acl_access_denied_channel", "0"),
];

/// Replaced by the node's facts.
#[rustfmt::skip]
const CPU: &[(&str, &str)] = &[
    ("used_cpu_sys", "0.000000"),
    ("used_cpu_user", "0.000000"),
    ("used_cpu_sys_children", "0.000000"),
    ("used_cpu_user_children", "0.000000"),
    ("used_cpu_sys_main_thread", "0.000000"),
    ("used_cpu_user_main_thread", "0.000000"),
];
