//! Bytes that are no requests, on every port of a running node: it closes or answers, never panics, keeps its size, and
//! serves others as before.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use holdfast::base::{Millis, Rng};
use holdfast::sim::grammar::{BEYOND, Deadlines, Dialect, Grammar, SYNTAX};

use crate::nodes::Nodes;
use crate::resp::{Client, Reply};

/// Streams per port.
const STREAMS: u64 = 300;

/// Requests, sound and damaged, with noise that looks a little like the protocol in between.
fn stream(seed: u64) -> Vec<u8> {
    let mut rng = Rng::new(seed);
    let dialect = Dialect { databases: &["0", "1", "16", "x"], deadlines: Deadlines::Near };
    let mut grammar = Grammar::new(rng.fork(), dialect, SYNTAX.iter().chain(BEYOND).copied());
    let mut bytes = Vec::new();
    for _ in 0..rng.range(1, 8) {
        match rng.below(8) {
            0 => {
                let alphabet = b"*$:+-0123456789\r\n\r\n'\"\\x ag\0\xff%>~(";
                bytes.extend((0..rng.below(200)).map(|_| *rng.pick(alphabet)));
            }
            1 => {
                let number =
                    *rng.pick(&["-1", "0", "7", "1048576", "1048577", "2147483648", "9223372036854775808", ""]);
                bytes.extend(format!("*{number}\r\n${number}\r\n").bytes());
            }
            2 => bytes.extend(std::iter::repeat_n(*rng.pick(b"*$a \0"), rng.below(70_000) as usize)),
            3 => {
                let line =
                    *rng.pick(&["HELLO 3", "HELLO 2", "MULTI", "EXEC", "RESET", "CLIENT REPLY OFF", "INFO", "COMMAND"]);
                bytes.extend(format!("{line}\r\n").bytes());
            }
            _ => {
                let words = grammar.command(Millis(0));
                bytes.extend(format!("*{}\r\n", words.len()).bytes());
                words.iter().for_each(|word| {
                    bytes.extend(format!("${}\r\n", word.len()).bytes().chain(word.iter().copied()).chain(*b"\r\n"));
                });
            }
        }
    }
    if rng.chance(1, 2) {
        let at = rng.below(bytes.len().max(1) as u64) as usize;
        bytes.get_mut(at..).into_iter().flatten().take(1).for_each(|byte| *byte = rng.next() as u8);
    }
    bytes
}

/// Sends a stream and reads what comes until the other side closes.
fn throw(address: &str, bytes: &[u8]) {
    let mut socket = TcpStream::connect(address).expect("the node listens");
    socket.set_read_timeout(Some(Duration::from_secs(10))).expect("a timeout");
    // The node may close before it has read everything.
    let _ = socket.write_all(bytes);
    let _ = socket.shutdown(Shutdown::Write);
    let _ = socket.read_to_end(&mut Vec::new());
}

#[test]
fn noise_on_every_port_harms_nobody() {
    let nodes = Nodes::start(1, &[]);
    let address = nodes.addresses()[0].clone();
    let port = address.rsplit_once(':').and_then(|(_, port)| port.parse().ok()).expect("a port");
    let mut client = Client::connect(port).expect("connected");
    let mut call = |words: &[&str]| client.call(words).expect("the others are served");
    assert_eq!(call(&["SET", "mine", "kept"]), Reply::Simple("OK".into()));
    let used = |reply: Reply| match reply {
        Reply::Bulk(Some(text)) => String::from_utf8_lossy(&text)
            .lines()
            .find_map(|line| line.strip_prefix("used_memory:")?.parse::<u64>().ok())
            .expect("a number"),
        other => panic!("{other:?}"),
    };
    let before = used(call(&["INFO", "memory"]));
    for seed in 0..STREAMS {
        for target in [&address, &nodes.http_addresses()[0], &nodes.peer_addresses()[0]] {
            throw(target, &stream(seed));
        }
        throw(&nodes.peer_addresses()[0], &[b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", &stream(seed)[..]].concat());
        assert_eq!(call(&["PING"]), Reply::Simple("PONG".into()), "after stream {seed}");
    }
    let grown = used(call(&["INFO", "memory"])).saturating_sub(before);
    assert!(grown < 256 << 20, "{grown} bytes stayed");
    assert!(matches!(call(&["SET", "mine", "again"]), Reply::Simple(_)));
    assert!(!nodes.log(0).contains("panicked"), "{}", nodes.log(0));
    nodes.stop();
}
