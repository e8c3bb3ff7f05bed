//! What lies in `deploy/` and `docker-compose.yml` fits the program: its metrics, its settings, its compiler. And the
//! two things that containers need of a node: an answer to health checks, and an address that is not its listener's.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Output};

use crate::nodes::Nodes;
use crate::observe::{client, get, until};
use crate::resp::Reply;

/// Labels that Prometheus adds itself.
const LABELS_OF_PROMETHEUS: [&str; 3] = ["job", "instance", "le"];

fn file(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|why| panic!("{}: {why}", path.display()))
}

fn is_part_of_a_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// Names in a text that begin like this.
fn names<'a>(text: &'a str, start: &'a str) -> impl Iterator<Item = &'a str> {
    text.split(|c| !is_part_of_a_name(c)).filter(move |word| word.starts_with(start))
}

/// Names of series and of labels that a node serves.
fn served(text: &str) -> (BTreeSet<String>, BTreeSet<String>) {
    let (mut series, mut labels) = (BTreeSet::new(), BTreeSet::new());
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').expect("a name and a kind");
            let suffixes: &[&str] = match kind {
                "counter" => &["_total"],
                "gauge" => &[""],
                "histogram" => &["_bucket", "_sum", "_count"],
                other => panic!("an unknown kind: {other}"),
            };
            series.extend(suffixes.iter().map(|suffix| format!("{name}{suffix}")));
        } else if let Some((_, rest)) = line.split_once('{') {
            labels.extend(rest.split("=\"").filter_map(|part| part.rsplit([',', '"']).next()).map(str::to_owned));
        }
    }
    (series, labels)
}

/// Labels that queries name: in the braces right behind a metric, and in the parentheses of `by` and `on`.
fn labels_of_queries(text: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (at, _) in text.match_indices('{').filter(|(at, _)| text[..*at].ends_with(is_part_of_a_name)) {
        let matchers = text[at + 1..].split('}').next().unwrap_or("");
        let label = |matcher: &str| matcher.split(['=', '!']).next().unwrap_or("").trim().to_owned();
        found.extend(matchers.split("\",").map(label).filter(|label| !label.is_empty()));
    }
    for start in [" by (", " on ("] {
        for (at, _) in text.match_indices(start) {
            let list = text[at + start.len()..].split(')').next().unwrap_or("");
            found.extend(list.split(',').map(|label| label.trim().to_owned()));
        }
    }
    found
}

#[test]
fn the_image_is_built_from_a_context_with_every_manifest_of_the_workspace() {
    let manifest: toml::Value = toml::from_str(&file("Cargo.toml")).expect("TOML");
    let members = manifest["workspace"]["members"].as_array().expect("members");
    let members = members.iter().filter_map(toml::Value::as_str).filter(|member| *member != ".");
    let (ignored, image) = (file(".dockerignore"), file("deploy/docker/Dockerfile"));
    let mut found = 0;
    for member in members {
        let line = format!("!{member}/Cargo.toml");
        assert!(ignored.lines().any(|other| other == line), ".dockerignore keeps {member}/Cargo.toml out");
        let line = format!("COPY {member}/Cargo.toml {member}/");
        assert!(image.lines().any(|other| other == line), "the Dockerfile lacks {member}/Cargo.toml: cargo refuses");
        found += 1;
    }
    assert!(found > 0, "no member was found");
}

#[test]
fn dashboard_and_alerts_ask_for_what_nodes_serve() {
    let dashboard = file("deploy/grafana/dashboards/holdfast.json");
    let dashboard: serde_json::Value = serde_json::from_str(&dashboard).expect("JSON");
    let panels = dashboard["panels"].as_array().expect("panels");
    let targets = panels.iter().filter_map(|panel| panel["targets"].as_array()).flatten();
    let mut queries: Vec<String> = targets.map(|target| target["expr"].as_str().expect("a query").to_owned()).collect();
    assert!(queries.len() > 30, "the queries of the dashboard were not found");
    queries.push(file("deploy/prometheus/alerts.yml"));
    let queries = queries.join("\n");

    // On three nodes, for a read through a follower is one that takes the long way.
    let nodes = Nodes::start(3, &[]);
    for n in 0..3 {
        let mut client = client(&nodes, n);
        for words in [&["SET", "k", "text"][..], &["GET", "k"], &["INCR", "k"]] {
            client.call(words).expect("a reply");
        }
    }
    let texts: Vec<String> = nodes.http_addresses().iter().map(|address| get(address, "/metrics").2).collect();
    nodes.stop();
    let (series, mut labels) = served(&texts.join("\n"));
    labels.extend(LABELS_OF_PROMETHEUS.map(str::to_owned));

    let asked: BTreeSet<&str> = names(&queries, "holdfast_").collect();
    assert!(asked.len() > 30, "the metrics were not found: {asked:?}");
    let unknown: Vec<_> = asked.iter().filter(|name| !series.contains(**name)).collect();
    assert!(unknown.is_empty(), "no node serves {unknown:?}, but only {series:?}");
    let asked = labels_of_queries(&queries);
    assert!(asked.contains("prefix") && asked.contains("group"), "the labels were not found: {asked:?}");
    let unknown: Vec<_> = asked.difference(&labels).collect();
    assert!(unknown.is_empty(), "no series has the labels {unknown:?}, but only {labels:?}");
}

#[test]
fn settings_of_image_and_compose_exist() {
    let mut count = 0;
    for path in ["docker-compose.yml", "deploy/docker/Dockerfile", "docs/operations.md", "README.md"] {
        for name in
            names(&file(path), "HOLDFAST_").filter(|name| name.contains("__") && *name != "HOLDFAST_SECTION__KEY")
        {
            let setting = name["HOLDFAST_".len()..].to_ascii_lowercase().replace("__", ".");
            assert!(holdfast::settings::ROWS.iter().any(|row| row.path == setting), "{path}: {name}");
            count += 1;
        }
    }
    assert!(count > 10, "the settings were not found");
}

#[test]
fn the_image_is_built_by_the_compiler_of_the_project() {
    let pinned = file("rust-toolchain.toml");
    let version = pinned.lines().find_map(|line| line.strip_prefix("channel = \"")?.strip_suffix('"'));
    let wanted = format!("FROM rust:{}-bookworm AS build", version.expect("a version"));
    assert!(file("deploy/docker/Dockerfile").lines().any(|line| line == wanted), "no {wanted:?} in the Dockerfile");
}

fn health(arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_holdfast"));
    command.arg("health").args(arguments).envs(environment.iter().copied()).output().expect("the program starts")
}

#[test]
fn a_health_check_succeeds_only_while_the_node_can_answer_clients() {
    let mut nodes = Nodes::start(3, &[]);
    let address = nodes.http_addresses()[0].clone();
    let said = |output: &Output| String::from_utf8_lossy(&output.stdout).into_owned();
    let healthy = "[+] replayed ok\n[+] leaders-known ok\n[+] disk ok\nready\n";
    until("the node is healthy", || health(&["--http", &address], &[]).status.success());
    // As in a container: the settings say where it listens, with a wildcard.
    let listener = address.replace("127.0.0.1", "0.0.0.0");
    until("the node is healthy", || {
        let output = health(&[], &[("HOLDFAST_LISTEN__HTTP", &listener)]);
        output.status.success() && said(&output) == healthy
    });
    let file = nodes.home().join("settings.toml");
    std::fs::write(&file, format!("[listen]\nhttp = \"{listener}\"\n")).expect("written");
    assert!(health(&["--config", &file.to_string_lossy()], &[]).status.success());

    nodes.kill(1);
    nodes.kill(2);
    until("no leader is known", || {
        let output = health(&["--http", &address], &[]);
        let reasons = said(&output);
        output.status.code() == Some(1)
            && reasons.contains("[-] leaders-known failed")
            && reasons.ends_with("not ready\n")
    });
    nodes.kill(0);
    let output = health(&["--http", &address], &[]);
    let why = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.code() == Some(1) && why.starts_with(&format!("holdfast: {address}: ")), "{why}");
}

#[test]
fn every_node_tells_what_a_node_advertises_instead_of_its_listener() {
    let nodes =
        Nodes::start(3, &[("ADVERTISE__RESP", "redis.example:7001"), ("ADVERTISE__HTTP", "redis.example:7002")]);
    for n in 0..3 {
        let mut client = client(&nodes, n);
        let address = |field: &Reply| match field {
            Reply::Array(Some(fields)) => match &fields[..2] {
                [Reply::Bulk(Some(host)), Reply::Integer(port)] => format!("{}:{port}", String::from_utf8_lossy(host)),
                other => panic!("no address: {other:?}"),
            },
            other => panic!("no node: {other:?}"),
        };
        until("all nodes are registered", || {
            let Ok(Reply::Array(Some(ranges))) = client.call(&["CLUSTER", "SLOTS"]) else { return false };
            let [Reply::Array(Some(range))] = &ranges[..] else { return false };
            range[2..].iter().map(address).collect::<Vec<_>>() == ["redis.example:7001"; 3]
        });
        let status: serde_json::Value =
            serde_json::from_str(&get(&nodes.http_addresses()[n], "/status").2).expect("JSON");
        for (node, peer) in status["nodes"].as_array().expect("nodes").iter().zip(nodes.peer_addresses()) {
            let told = [&node["resp"], &node["http"], &node["peer"]];
            assert_eq!(told, ["redis.example:7001", "redis.example:7002", peer.as_str()], "{node}");
        }
    }
    nodes.stop();
}
