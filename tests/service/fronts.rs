//! The listeners over real sockets, on a node that is a table: what a hostile or odd client gets, and that the others
//! notice nothing.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use crate::table::{TableNode, service};
use bytes::Bytes;
use holdfast::front::{http, resp};
use holdfast::resp::{Value, parse_reply};
use holdfast::service::{Options, Service};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::watch;

/// How long any answer may take here.
const PATIENCE: Duration = Duration::from_secs(20);

struct Server {
    node: Arc<TableNode>,
    service: Arc<Service>,
    resp: SocketAddr,
    http: SocketAddr,
    stop: watch::Sender<bool>,
    resp_task: tokio::task::JoinHandle<()>,
    runtime: Runtime,
}

fn start(options: Options) -> Server {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let node = TableNode::new(1);
    let service = service(&node, options);
    let (stop, stopped) = watch::channel(false);
    let listen = || runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
    let (resp_listener, http_listener) = (listen(), listen());
    let (resp, http) = (resp_listener.local_addr().unwrap(), http_listener.local_addr().unwrap());
    let resp_task = runtime.spawn(resp::serve(resp_listener, service.clone(), stopped.clone()));
    let metrics: http::Metrics = Arc::new(|| ("text/plain; version=0.0.4", "up 1\n".into()));
    runtime.spawn(http::serve(http_listener, service.clone(), metrics, stopped));
    Server { node, service, resp, http, stop, resp_task, runtime }
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Everything until the server closes.
fn rest(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Sends bytes, says that there are no more, and reads everything.
fn exchange(address: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = connect(address);
    stream.write_all(bytes).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    rest(&mut stream)
}

fn read_exactly(stream: &mut TcpStream, wanted: &str) {
    let mut bytes = vec![0; wanted.len()];
    stream.read_exact(&mut bytes).unwrap();
    assert_eq!(String::from_utf8_lossy(&bytes), wanted);
}

#[test]
fn pipelines_over_a_socket_however_they_are_cut() {
    let server = start(Options::default());
    let input = b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$5\r\nhello\r\nGET k\r\n*1\r\n$4\r\nPING\r\n";
    let wanted = "+OK\r\n$5\r\nhello\r\n+PONG\r\n";
    assert_eq!(exchange(server.resp, input), wanted);
    for at in 1..input.len() {
        let mut stream = connect(server.resp);
        stream.set_nodelay(true).unwrap();
        stream.write_all(&input[..at]).unwrap();
        stream.write_all(&input[at..]).unwrap();
        read_exactly(&mut stream, wanted);
    }
    let large = "x".repeat(3 << 20);
    let set = format!("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n${}\r\n{large}\r\nGET k\r\nGET k\r\n", large.len());
    let reply = exchange(server.resp, set.as_bytes());
    assert_eq!(reply.len(), 5 + 2 * (large.len() + 12));
    assert_eq!(server.service.clients().count(), 0, "sessions end with their connections");
}

#[test]
fn malformed_input_is_told_and_closed() {
    let server = start(Options::default());
    for (input, reply) in [
        ("*x\r\n", "invalid multibulk length"),
        ("*3000000000\r\n", "invalid multibulk length"),
        ("*1\r\n:1\r\n", "expected '$', got ':'"),
        ("*1\r\n$-1\r\n", "invalid bulk length"),
        ("*2\r\n$4\r\nPING\r\n$999999999999\r\n", "invalid bulk length"),
        ("get \"a\r\n", "unbalanced quotes in request"),
        ("*1\r\n*1\r\n*1\r\n", "expected '$', got '*'"),
    ] {
        // A PING before is answered, a PING after is not.
        let input = format!("PING\r\n{input}PING\r\n");
        assert_eq!(exchange(server.resp, input.as_bytes()), format!("+PONG\r\n-ERR Protocol error: {reply}\r\n"));
    }
    // Half a request is no error, only never answered.
    assert_eq!(exchange(server.resp, b"*2\r\n$3\r\nGET\r\n$1000\r\nabc"), "");
    assert_eq!(exchange(server.resp, b"\r\n\r\n*0\r\n*-1\r\nPING\r\n"), "+PONG\r\n");
    let long = "a".repeat(70_000);
    assert!(exchange(server.resp, long.as_bytes()).ends_with("too big inline request\r\n"));
}

#[test]
fn bytes_of_users_do_not_desynchronise_the_replies() {
    let server = start(Options::default());
    let input = b"*2\r\n$8\r\nno\r\n+OK\n\r\n$4\r\n\r\n:1\r\nPING\r\n*3\r\n$6\r\nCONFIG\r\n$3\r\nFOO\r\n$4\r\n\r\n\r\n\r\nPING\r\n";
    let reply = Bytes::from(exchange(server.resp, input));
    let (mut rest, mut kinds) = (reply, Vec::new());
    while !rest.is_empty() {
        let (value, length) = parse_reply(&rest).expect("whole replies");
        kinds.push(value.is_error());
        let _ = rest.split_to(length);
    }
    assert_eq!(kinds, [true, false, true, false]);
}

#[test]
fn strangers_are_bounded_before_they_authenticate() {
    let server = start(Options { password: Some("pw".into()), ..Options::default() });
    let refused = |input: &str| exchange(server.resp, input.as_bytes());
    assert_eq!(refused("*11\r\n"), "-ERR Protocol error: unauthenticated multibulk length\r\n");
    assert_eq!(refused("*1\r\n$16385\r\n"), "-ERR Protocol error: unauthenticated bulk length\r\n");
    // With the right password in front, the same pipeline may.
    let value = "x".repeat(20_000);
    let input = format!("AUTH pw\r\n*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$20000\r\n{value}\r\nSTRLEN k\r\n");
    assert_eq!(refused(&input), "+OK\r\n+OK\r\n:20000\r\n");
}

#[test]
fn a_stranger_who_says_nothing_is_closed_in_time() {
    let server = start(Options { password: Some("pw".into()), ..Options::default() });
    let mut stranger = connect(server.resp);
    stranger.write_all(b"PING\r\n").unwrap();
    assert_eq!(rest(&mut stranger), "-NOAUTH Authentication required.\r\n");
}

#[test]
fn a_stranger_who_reads_nothing_is_closed_in_time() {
    let server = start(Options { password: Some("pw".into()), ..Options::default() });
    let mut stranger = connect(server.resp);
    // Far more questions than the sockets hold answers for: the server waits for the client to read.
    let ended = loop {
        if let Err(error) = stranger.write_all("PING\r\n".repeat(1000).as_bytes()) {
            break error.kind();
        }
    };
    // Had it waited longer, the write would have run out of time instead.
    assert!(matches!(ended, io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe), "{ended:?}");
    assert_eq!(server.service.stats().output_limit_disconnections.load(Relaxed), 1);
}

#[test]
fn too_many_clients() {
    let server = start(Options { clients_max: 1, ..Options::default() });
    let mut first = connect(server.resp);
    first.write_all(b"PING\r\n").unwrap();
    read_exactly(&mut first, "+PONG\r\n");
    assert_eq!(rest(&mut connect(server.resp)), "-ERR max number of clients reached\r\n");
    first.write_all(b"PING\r\n").unwrap();
    read_exactly(&mut first, "+PONG\r\n");
    assert_eq!(server.service.stats().rejected_connections.load(Relaxed), 1);
}

#[test]
fn a_killed_client_is_closed_while_it_waits() {
    let server = start(Options::default());
    let mut victim = connect(server.resp);
    victim.write_all(b"CLIENT ID\r\n").unwrap();
    read_exactly(&mut victim, ":1\r\n");
    assert_eq!(exchange(server.resp, b"CLIENT KILL ID 1\r\n"), ":1\r\n");
    assert_eq!(rest(&mut victim), "");
}

#[test]
fn an_idle_client_is_closed() {
    let server = start(Options::default());
    assert_eq!(exchange(server.resp, b"CONFIG SET timeout 1\r\n"), "+OK\r\n");
    assert_eq!(rest(&mut connect(server.resp)), "");
}

#[test]
fn shutdown_ends_idle_connections_and_returns() {
    let server = start(Options::default());
    let mut idle = connect(server.resp);
    idle.write_all(b"PING\r\n").unwrap();
    read_exactly(&mut idle, "+PONG\r\n");
    server.stop.send(true).unwrap();
    let ended = server.runtime.block_on(async { tokio::time::timeout(PATIENCE, server.resp_task).await });
    assert!(ended.is_ok());
    assert_eq!(rest(&mut idle), "");
    assert!(TcpStream::connect(server.resp).is_err(), "nobody listens any more");
}

#[test]
fn a_client_that_reads_nothing_is_not_read_from() {
    let server = start(Options::default());
    let value = "x".repeat(1 << 20);
    let set = format!("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n${}\r\n{value}\r\n", value.len());
    assert_eq!(exchange(server.resp, set.as_bytes()), "+OK\r\n");
    // Some thousand replies of a mebibyte would not fit: the server keeps one batch of them and stops reading.
    let mut greedy = connect(server.resp);
    greedy.write_all("GET k\r\n".repeat(2000).as_bytes()).unwrap();
    let mut watcher = connect(server.resp);
    watcher.write_all(b"CLIENT LIST\r\n").unwrap();
    let mut bytes = [0; 4096];
    let read = watcher.read(&mut bytes).unwrap();
    let text = String::from_utf8_lossy(&bytes[..read]).into_owned();
    for waiting in text.split(" obl=").skip(1).filter_map(|rest| rest.split(' ').next()) {
        assert!(waiting.parse::<usize>().unwrap() < 8 << 20, "{text}");
    }
    assert_eq!(exchange(server.resp, b"CLIENT KILL ID 2\r\n"), ":1\r\n", "{text}");
}

fn get(server: &Server, path: &str) -> (u16, String) {
    let request = format!("GET {path} HTTP/1.0\r\nHost: x\r\n\r\n");
    let mut stream = connect(server.http);
    stream.write_all(request.as_bytes()).unwrap();
    let answer = rest(&mut stream);
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_string())
}

#[test]
fn health_over_http() {
    let server = start(Options::default());
    assert_eq!(get(&server, "/livez"), (200, "ok\n".into()));
    assert_eq!(get(&server, "/readyz"), (200, "ready\n".into()));
    assert_eq!(get(&server, "/readyz?verbose"), (200, "[+] replayed ok\n[+] leaders ok\nready\n".into()));
    assert_eq!(exchange(server.resp, b"GET a\r\nGET\r\n").lines().count(), 2);
    let (code, metrics) = get(&server, "/metrics");
    assert_eq!(code, 200);
    for line in [
        "holdfast_clients 0",
        "holdfast_client_connections_total 1",
        "holdfast_command_seconds_count{command=\"get\"} 1",
        "up 1",
    ] {
        assert!(metrics.lines().any(|other| other == line), "{line} in {metrics}");
    }
    assert!(metrics.ends_with("up 1\n"));
    server.node.leads.store(false, Relaxed);
    assert_eq!(get(&server, "/livez").0, 200);
    assert_eq!(get(&server, "/readyz"), (503, "[-] leaders failed: no leader is known\nnot ready\n".into()));
    let (code, health) = get(&server, "/health");
    assert_eq!((code, health.contains("\"status\":\"unavailable\"")), (503, true));
    let (code, status) = get(&server, "/status");
    let status: serde_json::Value = serde_json::from_str(&status).unwrap();
    assert_eq!((code, &status["node"], &status["cluster"]), (200, &1.into(), &"0000000000000007".into()));
    assert_eq!(status["groups"][0]["slots"], serde_json::Value::Null);
    assert_eq!(status["groups"][1]["slots"], serde_json::json!([0, 16383]));
    assert_eq!(status["groups"][1]["leader"], 1);
    assert_eq!(get(&server, "/nosuch").0, 404);
}

#[test]
fn silent_http_clients_keep_nobody_out() {
    let server = start(Options::default());
    let silent: Vec<TcpStream> = (0..300).map(|_| connect(server.http)).collect();
    // All places are taken; they are free again when the silent ones have had their time.
    assert_eq!(get(&server, "/livez"), (200, "ok\n".into()));
    drop(silent);
}

#[test]
fn limits_of_clients_are_those_of_the_settings() {
    let server = start(Options {
        idle_timeout: Duration::from_secs(1),
        query_buffer_bytes: 1 << 20,
        output_buffer_bytes: 1 << 20,
        bulk_bytes: 600_000,
        ..Options::default()
    });
    let set = |bytes: usize| format!("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n${bytes}\r\n{}\r\n", "x".repeat(bytes));
    assert_eq!(exchange(server.resp, set(600_000).as_bytes()), "+OK\r\n");
    let refused = exchange(server.resp, "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$600001\r\n".as_bytes());
    assert_eq!(refused, "-ERR Protocol error: invalid bulk length\r\n");
    // More replies than may wait: the client is cut off, and counted.
    assert_eq!(exchange(server.resp, b"GET k\r\n").len(), 600_011);
    assert_eq!(exchange(server.resp, b"MGET k k k\r\n"), "");
    assert_eq!(server.service.stats().output_limit_disconnections.load(Relaxed), 1);
    // A request that grows beyond the buffer, although each of its bulks may be.
    let large = format!("*9\r\n$4\r\nMGET\r\n{}", format!("$500000\r\n{}\r\n", "x".repeat(500_000)).repeat(3));
    let mut stream = connect(server.resp);
    // The server may close before all of it is sent.
    let _ = stream.write_all(large.as_bytes());
    let mut bytes = Vec::new();
    let _ = stream.read_to_end(&mut bytes);
    assert_eq!(bytes, b"");
    assert_eq!(server.service.stats().query_limit_disconnections.load(Relaxed), 1);
    assert_eq!(rest(&mut connect(server.resp)), "", "silent for a second");
}

#[test]
fn who_reads_slowly_has_the_time_of_the_soft_limit() {
    let server = start(Options::default());
    let value = "x".repeat(1 << 20);
    let set = format!("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n${}\r\n{value}\r\n", value.len());
    assert_eq!(exchange(server.resp, set.as_bytes()), "+OK\r\n");
    assert_eq!(exchange(server.resp, b"CONFIG SET client-output-buffer-limit \"normal 0 100kb 1\"\r\n"), "+OK\r\n");
    // Far more than the sockets hold on both sides, and nobody reads.
    let mut slow = connect(server.resp);
    slow.write_all("GET k\r\n".repeat(64).as_bytes()).unwrap();
    let gone = async {
        while server.service.stats().output_limit_disconnections.load(Relaxed) == 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let gone = server.runtime.block_on(async { tokio::time::timeout(PATIENCE, gone).await });
    assert!(gone.is_ok(), "the client is still there");
}

/// A redis-server of this machine, if there is one, to compare with; ended with the value.
struct Redis {
    process: Child,
    address: SocketAddr,
}

impl Redis {
    fn start() -> Option<Redis> {
        let port = crate::ports::free_ports(1)[0];
        let mut process = Command::new("redis-server")
            .args(["--port", &port.to_string(), "--save", "", "--appendonly", "no", "--dir", "/tmp"])
            .stdout(Stdio::piped())
            .spawn()
            .ok()?;
        // It says so once it listens.
        let output = std::io::BufReader::new(process.stdout.take()?);
        let ready = std::io::BufRead::lines(output).map_while(Result::ok).any(|line| line.contains("Ready to accept"));
        let redis = Redis { process, address: SocketAddr::from(([127, 0, 0, 1], port)) };
        ready.then_some(redis)
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn words(address: SocketAddr, command: &str) -> Vec<String> {
    let reply = Bytes::from(exchange(address, command.as_bytes()));
    match parse_reply(&reply) {
        Some((Value::Bulk(text), _)) => String::from_utf8_lossy(&text)
            .lines()
            .filter_map(|line| line.split_once(':').map(|(name, _)| name.to_string()))
            .filter(|name| !name.starts_with("cmdstat") && !name.starts_with("latency_percentiles"))
            .collect(),
        Some((Value::Array(items), _)) => items
            .chunks(2)
            .filter_map(|pair| match &pair[0] {
                Value::Bulk(name) => Some(String::from_utf8_lossy(name).into_owned()),
                _ => None,
            })
            .collect(),
        other => panic!("{command}: {other:?}"),
    }
}

#[test]
fn every_field_of_a_live_redis_is_there() {
    let Some(redis) = Redis::start() else {
        println!("no redis-server on this machine: nothing to compare with");
        return;
    };
    let server = start(Options::default());
    for command in ["INFO everything\r\n", "CONFIG GET *\r\n"] {
        let ours = words(server.resp, command);
        let theirs = words(redis.address, command);
        assert!(theirs.len() > 100, "{command}: {theirs:?}");
        let missing: Vec<&String> = theirs.iter().filter(|name| !ours.contains(name)).collect();
        assert!(missing.is_empty(), "{command}: {missing:?}");
    }
}
