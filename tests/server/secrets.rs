//! Log lines and spans never hold a value of a key, nor a password, at the most talkative level: everything that can
//! carry one is done on three nodes, through a leader and a follower, over a crash with its replay, and then what the
//! nodes have said is searched.

use std::fs;
use std::path::Path;

use crate::collector::Collector;
use crate::nodes::Nodes;
use crate::ports::free_ports;
use crate::resp::{Client, Reply};

/// What must not appear. Long enough that nothing else contains it by chance.
const VALUE: &str = "hush-xVALUEx-0123456789";
const PASSWORD: &str = "hush-xPASSWORDx-0123456789";

fn client(address: &str) -> Client {
    let port = address.rsplit_once(':').and_then(|(_, port)| port.parse().ok()).expect("a port");
    let mut client = Client::connect(port).expect("connected");
    let reply = client.call(&["AUTH", PASSWORD]).expect("a reply");
    assert_eq!(reply, Reply::Simple("OK".into()));
    client
}

/// Everything that carries a value, sound and unsound.
fn speak(client: &mut Client) {
    let large = format!("{VALUE}-").repeat(20_000);
    let rule = format!(">{PASSWORD}");
    let calls: &[&[&str]] = &[
        &["SET", "{t}k", VALUE],
        &["SET", "{t}large", &large],
        &["GET", "{t}k"],
        &["MGET", "{t}k", "{t}large"],
        &["GETSET", "{t}k", VALUE],
        &["APPEND", "{t}k", VALUE],
        &["SETRANGE", "{t}k", "3", VALUE],
        &["INCR", "{t}k"],
        &["INCRBY", "{t}n", VALUE],
        &["MSET", "{t}a", VALUE, "{t}b", VALUE],
        &["SET", "{t}k", VALUE, VALUE],
        &["SET", "{t}k", VALUE, "EX", VALUE],
        &["SET", "{t}k", VALUE, "PX", "1"],
        &["HSET", "{t}h", "field", VALUE],
        &["HSET", "{t}h", "field"],
        &["HGETALL", "{t}h"],
        &["LCS", "{t}a", "{t}b"],
        &["NOSUCH", VALUE],
        &["CONFIG", "SET", "requirepass", PASSWORD],
        &["CONFIG", "SET", VALUE, VALUE],
        &["ACL", "SETUSER", "somebody", "on", &rule],
        &["ACL", "SETUSER", "somebody", &rule, VALUE],
        &["AUTH", "somebody", PASSWORD],
        &["AUTH", "default", PASSWORD],
        &["AUTH", VALUE],
        &["HELLO", "2", "AUTH", "default", PASSWORD],
        &["MULTI"],
        &["SET", "{t}k", VALUE],
        &["EVAL", VALUE, "0"],
        &["EXEC"],
        &["WATCH", "{t}k"],
        &["MULTI"],
        &["SET", "{t}k", VALUE],
        &["HSET", "{t}h", "field", VALUE],
        &["EXEC"],
        &["SLOWLOG", "GET", "-1"],
    ];
    for words in calls {
        client.call(words).unwrap_or_else(|error| panic!("{words:?}: {error}"));
    }
}

/// How a part of a secret may look in a text: as it is, as a list of numbers, in hexadecimal.
fn shapes(secret: &'static str) -> [String; 3] {
    let part = &secret[5..15];
    let numbers: Vec<String> = part.bytes().map(|byte| byte.to_string()).collect();
    [part.into(), numbers.join(", "), part.bytes().map(|byte| format!("{byte:02x}")).collect()]
}

/// Files below a directory but the databases' own.
fn texts(directory: &Path, found: &mut Vec<(String, String)>) {
    for entry in fs::read_dir(directory).expect("a directory") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        if path.is_dir() {
            texts(&path, found);
        } else if name.ends_with(".log") && name.starts_with("node-") || name.starts_with("LOG") {
            found.push((path.display().to_string(), String::from_utf8_lossy(&fs::read(&path).expect("a file")).into()));
        }
    }
}

fn run(format: &str) -> Vec<(String, String)> {
    let collector = Collector::start();
    let settings = [
        ("LOG__LEVEL", "trace"),
        ("LOG__FORMAT", format),
        ("CLIENTS__PASSWORD", PASSWORD),
        ("TELEMETRY__OTLP_ENDPOINT", &collector.endpoint),
        ("TELEMETRY__SAMPLE_RATIO", "1.0"),
    ];
    let mut nodes = Nodes::start(3, &settings);
    for address in nodes.addresses() {
        speak(&mut client(&address));
        // Half a request with a value, and one that is no request.
        let mut stranger = std::net::TcpStream::connect(&address).expect("connected");
        let half = format!("AUTH {PASSWORD}\r\n*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1000\r\n{VALUE}");
        std::io::Write::write_all(&mut stranger, half.as_bytes()).expect("sent");
        let mut stranger = std::net::TcpStream::connect(&address).expect("connected");
        std::io::Write::write_all(&mut stranger, format!("AUTH {PASSWORD}\r\nSET k \"{VALUE}\r\n").as_bytes())
            .expect("sent");
    }
    // Replay of the log, and batches of clients that were on their way.
    for n in 0..3 {
        nodes.kill(n);
        nodes.restart(n);
        speak(&mut client(&nodes.addresses()[(n + 1) % 3]));
    }
    nodes.end();
    let mut said = Vec::new();
    texts(nodes.home(), &mut said);
    assert!(said.len() >= 9, "three logs of nodes and two databases each: {said:?}");
    for n in 0..3 {
        assert!(nodes.log(n).contains("TRACE"), "node {} was not talkative:\n{}", n + 1, nodes.log(n));
        if format == "json" {
            for line in nodes.log(n).lines() {
                let object: Result<serde_json::Value, _> = serde_json::from_str(line);
                assert!(object.is_ok_and(|object| object["level"].is_string()), "not a line of JSON: {line}");
            }
        }
    }
    let spans = collector.spans();
    assert!(spans.iter().any(|span| span.name == "request") && spans.iter().any(|span| span.name == "serve"));
    said.extend(spans.into_iter().map(|span| ("a span".into(), span.text)));
    said
}

#[test]
fn neither_lines_nor_spans_hold_values_or_passwords() {
    for format in ["text", "json"] {
        for (place, text) in run(format) {
            for secret in [VALUE, PASSWORD].into_iter().flat_map(shapes) {
                if let Some(at) = text.find(&secret) {
                    let from = text[..at].rfind('\n').map_or(0, |end| end + 1);
                    panic!("{place} holds {secret}: {}", &text[from..(at + secret.len())]);
                }
            }
        }
    }
}

/// What a node prints of its settings does not hold the password either.
#[test]
fn the_settings_in_effect_are_shown_without_the_password() {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_holdfast"));
    command.args(["config", "--resp", &format!("127.0.0.1:{}", free_ports(1)[0])]);
    let shown = command.env("HOLDFAST_CLIENTS__PASSWORD", PASSWORD).output().expect("the program runs");
    let shown = String::from_utf8(shown.stdout).expect("text");
    assert!(shown.contains("password = \"(set)\" # environment"), "{shown}");
    assert!(!shown.contains(PASSWORD), "{shown}");
}
