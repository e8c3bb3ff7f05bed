//! What running nodes tell of themselves: metrics in the format of Prometheus, status, readiness, and INFO.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::nodes::Nodes;
use crate::openmetrics::Metrics;
use crate::resp::{Client, PATIENCE, Reply};

/// Status line, header lines and body of an answer over HTTP.
pub fn get(address: &str, path: &str) -> (String, String, String) {
    let mut stream = TcpStream::connect(address).expect("connected");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    write!(stream, "GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n").expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    let (status, headers) = head.split_once("\r\n").expect("headers");
    (status.into(), headers.to_lowercase(), body.into())
}

pub fn client(nodes: &Nodes, n: usize) -> Client {
    let port = nodes.addresses()[n].rsplit_once(':').and_then(|(_, port)| port.parse().ok()).expect("a port");
    Client::connect(port).expect("connected")
}

#[expect(clippy::disallowed_methods, reason = "other processes work in real time; the wait has a deadline")]
pub fn until(what: &str, mut check: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !check() {
        assert!(Instant::now() < deadline, "{what}: not within {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn info(client: &mut Client, section: &str) -> String {
    match client.call(&["INFO", section]) {
        Ok(Reply::Bulk(Some(text))) => String::from_utf8(text).expect("text"),
        other => panic!("INFO {section}: {other:?}"),
    }
}

#[test]
fn metrics_are_those_of_prometheus_and_all_that_is_promised() {
    let nodes = Nodes::start(3, &[("CLUSTER__PARTITIONS", "2")]);
    for n in 0..3 {
        let mut client = client(&nodes, n);
        for words in [&["SET", "k", "text"][..], &["GET", "k"], &["GET", "k"], &["INCR", "k"], &["GET"], &["NOSUCH"]] {
            client.call(words).expect("a reply");
        }
    }
    for (n, address) in nodes.http_addresses().iter().enumerate() {
        let read = || {
            let (status, headers, text) = get(address, "/metrics");
            assert!(status.contains(" 200 "), "{status}");
            assert!(headers.contains("content-type: application/openmetrics-text; version=1.0.0"), "{headers}");
            Metrics::parse(&text).unwrap_or_else(|why| panic!("{why}\n{text}"))
        };
        let metrics = read();
        let series = |series: &str| {
            let value = metrics.value(series);
            value.unwrap_or_else(|| panic!("node {}: no {series} in {:?}", n + 1, metrics))
        };
        // Requests by command and result, latencies.
        for (labels, count) in [
            ("command=\"set\",result=\"ok\"", 1.0),
            ("command=\"get\",result=\"ok\"", 2.0),
            ("command=\"incr\",result=\"error\"", 1.0),
            ("command=\"incr\",result=\"ok\"", 0.0),
            ("command=\"get\",result=\"rejected\"", 1.0),
        ] {
            assert_eq!(series(&format!("holdfast_requests_total{{{labels}}}")), count, "{labels}");
        }
        assert_eq!(series("holdfast_command_seconds_bucket{command=\"get\",le=\"+Inf\"}"), 2.0);
        assert!(series("holdfast_command_seconds_sum{command=\"set\"}") > 0.0);
        assert!(series("holdfast_submission_seconds_count") >= 2.0);
        assert_eq!(series("holdfast_error_replies_total{prefix=\"ERR\"}"), 3.0);
        // The groups and their log.
        for group in ["0", "1", "2"] {
            let of = |name: &str| series(&format!("holdfast_group_{name}{{group=\"{group}\"}}"));
            assert!(of("term") >= 1.0 && of("commit") >= 0.0 && of("apply_lag") >= 0.0 && of("leads") <= 1.0);
        }
        for stage in ["parse", "queue", "evaluate", "log", "fsync", "replicate", "apply", "publish", "reply"] {
            let count = |what: &str| series(&format!("holdfast_stage_{what}_count{{stage=\"{stage}\"}}"));
            assert_eq!(count("seconds"), count("size"), "{stage}");
            // Whoever leads has evaluated; every node has parsed, written its log and applied.
            assert!(
                count("seconds") >= 1.0 || matches!(stage, "queue" | "evaluate" | "replicate" | "publish"),
                "{stage}"
            );
        }
        assert!(series("holdfast_log_write_seconds_count") >= 1.0 && series("holdfast_log_write_seconds_sum") > 0.0);
        for queue in ["machines", "worker", "peers", "submissions"] {
            series(&format!("holdfast_queue_bytes{{queue=\"{queue}\"}}"));
        }
        // Storage.
        for name in ["l1_hits_total", "l1_misses_total", "l1_bytes", "state_unflushed_bytes", "rocksdb_stalled"] {
            series(&format!("holdfast_{name}"));
        }
        for database in ["state", "log"] {
            for kind in ["delayed", "stopped"] {
                series(&format!("holdfast_rocksdb_stalls_total{{database=\"{database}\",kind=\"{kind}\"}}"));
            }
        }
        assert!(series("holdfast_resident_bytes") > 1e6);
        // Everything is applied once nobody writes.
        until("the groups are applied", || {
            let metrics = read();
            let of = |name: &str, group| metrics.value(&format!("holdfast_group_{name}{{group=\"{group}\"}}"));
            (0..3).all(|group| of("apply_lag", group) == Some(0.0) && of("commit", group) >= Some(1.0))
        });
    }
    nodes.stop();
}

#[test]
fn status_and_readiness_of_running_nodes() {
    let nodes = Nodes::start(3, &[("CLUSTER__PARTITIONS", "2")]);
    for (n, address) in nodes.http_addresses().iter().enumerate() {
        assert_eq!(get(address, "/livez").2, "ok\n");
        let wanted = "[+] replayed ok\n[+] leaders-known ok\n[+] disk ok\nready\n";
        until("the node stays ready", || get(address, "/readyz?verbose").2 == wanted);
        assert_eq!(get(address, "/readyz").2, "ready\n");
        let (_, headers, health) = get(address, "/health");
        assert!(headers.contains("content-type: application/json"), "{headers}");
        assert!(health.starts_with("{\"status\":\"ok\",\"checks\":[{"), "{health}");

        let read = || {
            let (_, headers, status) = get(address, "/status");
            assert!(headers.contains("content-type: application/json"), "{headers}");
            serde_json::from_str::<serde_json::Value>(&status).expect("JSON")
        };
        let is_applied = |group: &serde_json::Value| group["applied"].as_u64() >= Some(1);
        until("everything is applied", || read()["groups"].as_array().is_some_and(|all| all.iter().all(is_applied)));
        let status = read();
        assert_eq!(status["node"], n + 1);
        let groups = status["groups"].as_array().expect("groups");
        let slots: Vec<_> = groups.iter().map(|group| (group["id"].as_u64(), group["slots"].clone())).collect();
        let range = |first: u16, last: u16| serde_json::json!([first, last]);
        let wanted = [(Some(0), serde_json::Value::Null), (Some(1), range(0, 8191)), (Some(2), range(8192, 16383))];
        assert_eq!(slots, wanted);
        for group in groups {
            let number = |name: &str| group[name].as_u64().unwrap_or_else(|| panic!("{name} in {group}"));
            assert!((1..=3).contains(&number("leader")), "{group}");
            assert!(number("term") >= 1 && number("commit") >= number("applied"), "{group}");
        }
    }
    nodes.stop();
}

/// Fields of INFO that Redis 7.2 has and the 7.0 that Debian ships has not; those of 7.0 are compared with a running
/// redis-server elsewhere (`tests/service/fronts.rs`).
const SINCE_7_2: [(&str, &[&str]); 3] = [
    ("server", &["listener0"]),
    ("clients", &["total_blocking_keys", "total_blocking_keys_on_nokey"]),
    (
        "stats",
        &[
            "acl_access_denied_auth",
            "acl_access_denied_cmd",
            "acl_access_denied_key",
            "acl_access_denied_channel",
            "eventloop_cycles",
            "eventloop_duration_sum",
            "eventloop_duration_cmd_sum",
            "instantaneous_eventloop_cycles_per_sec",
            "instantaneous_eventloop_duration_usec",
            "client_query_buffer_limit_disconnections",
            "client_output_buffer_limit_disconnections",
        ],
    ),
];

#[test]
fn info_of_a_running_node() {
    let nodes = Nodes::start(3, &[]);
    let mut client = client(&nodes, 0);
    let titles: Vec<String> =
        info(&mut client, "everything").lines().filter_map(|line| line.strip_prefix("# ").map(String::from)).collect();
    let redis = "Server Clients Memory Persistence Stats Replication CPU Modules Commandstats Errorstats Latencystats \
                 Cluster Keyspace Raft Storage L1";
    assert_eq!(titles.join(" "), redis);
    for (section, fields) in SINCE_7_2 {
        let text = info(&mut client, section);
        for field in fields {
            assert!(text.lines().any(|line| line.starts_with(&format!("{field}:"))), "{field} in {text}");
        }
    }
    let has = |text: &str, starts: &[&str]| {
        for start in starts {
            assert!(text.lines().any(|line| line.starts_with(start)), "{start} in {text}");
        }
    };
    let raft = ["node_id:1", "cluster_id:", "group0:role=", "group1:role=", "group1_log:first="];
    has(&info(&mut client, "raft"), &raft);
    let storage = ["state_disk_bytes:", "state_stalled:0", "state_writes_delayed:", "state_writes_stopped:"];
    has(&info(&mut client, "storage"), &storage);
    has(&info(&mut client, "l1"), &["l1_hits:", "l1_misses:", "l1_bytes:"]);
    // What ioredis and exporters look for, true on a cluster.
    has(&info(&mut client, "persistence"), &["loading:0"]);
    until("another node was heard of", || info(&mut client, "replication").contains("connected_slaves:1"));
    has(&info(&mut client, "replication"), &["role:master", "connected_slaves:1", "slave0:ip="]);
    nodes.stop();
}
