//! Keyspace events: the same commands to a redis-server and to three nodes, and after each command what was heard on
//! `__key*__:*` on both sides, message by message, in order. Commands, settings and the listener are at different nodes.
//!
//! What Redis 7.0 does not know is held against the documentation of later versions (`LATER`).

use std::io::{BufReader, Write};
use std::net::TcpStream;
use std::time::Duration;

use bytes::Bytes;

use crate::nodes::Nodes;
use crate::server::RedisServer;
use crate::support::client::Client;
use crate::support::reply::Reply;
use crate::support::{Target, words};

const EVERYTHING: &str = "CONFIG SET notify-keyspace-events KEAmn";
const PATTERN: &str = "__key*__:*";
/// Where the end of a command's events is told; the pattern matches it.
const END: &str = "__keyend__:";
const PATIENCE: Duration = Duration::from_secs(20);

/// Commands with all their events. `@key` is what DUMP of the key returned; `await event` waits for one that comes by
/// itself; `#` starts a comment.
const COMMANDS: &str = include_str!("events.txt");

/// Commands that Redis 7.0 does not know or tells of later, with what they tell: `event key`, in order.
const LATER: &[(&str, &[&str])] = &[
    ("HSET h a 1 b 2 c 3", &["new h", "hset h"]),
    ("HEXPIRE h 1000 FIELDS 2 a nosuch", &["hexpire h"]),
    ("HEXPIRE h 1000 NX FIELDS 1 a", &[]),
    ("HPERSIST h FIELDS 1 a", &["hpersist h"]),
    ("HPERSIST h FIELDS 1 a", &[]),
    ("HGETEX h EX 1000 FIELDS 1 a", &["hexpire h"]),
    ("HGETEX h PERSIST FIELDS 1 a", &["hpersist h"]),
    ("HGETEX h FIELDS 1 a", &[]),
    ("HGETDEL h FIELDS 1 a", &["hdel h"]),
    ("HGETDEL h FIELDS 1 a", &[]),
    ("HSETEX h EX 1000 FIELDS 1 d 4", &["hset h", "hexpire h"]),
    ("HSETEX h FNX FIELDS 1 d 4", &[]),
    ("HEXPIREAT h 1 FIELDS 1 d", &["hdel h"]),
    ("HEXPIREAT h 1 FIELDS 2 b c", &["hdel h", "del h"]),
    ("HSET h a 1 b 2", &["new h", "hset h"]),
    ("HPEXPIRE h 300 FIELDS 1 a", &["hexpire h"]),
    ("await", &["hexpired h"]),
    ("HPEXPIRE h 300 FIELDS 1 b", &["hexpire h"]),
    ("await", &["hexpired h", "del h"]),
    ("SET k v", &["new k", "set k"]),
    ("DELEX k IFEQ x", &[]),
    ("DELEX k IFEQ v", &["del k"]),
    ("MSETEX 2 k v l w EX 1000", &["new k", "set k", "expire k", "new l", "set l", "expire l"]),
    ("DELIFEQ k v", &["del k"]),
    // Redis deletes it when somebody looks at it.
    ("SET past v PXAT 1", &["new past", "set past", "expire past", "expired past"]),
];

/// One side: a connection that asks, and one that listens.
struct Side {
    caller: Client,
    listener: BufReader<TcpStream>,
    commands: usize,
}

/// A message: channel and text.
type Heard = (String, String);

impl Side {
    fn new(caller: Client, listener: &str) -> Side {
        let mut socket = TcpStream::connect(listener).expect("a listener's connection");
        socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        socket.write_all(format!("PSUBSCRIBE {PATTERN}\r\n").as_bytes()).expect("a subscription");
        let mut listener = BufReader::new(socket);
        Reply::read(&mut listener).expect("a confirmation");
        Side { caller, listener, commands: 0 }
    }

    /// The next message.
    fn message(&mut self) -> Heard {
        let message = Reply::read(&mut self.listener).expect("a message").elements();
        let text = |reply: &Reply| match reply {
            Reply::Bulk(bytes) => String::from_utf8_lossy(bytes).into_owned(),
            other => panic!("{other:?} in {message:?}"),
        };
        (text(&message[2]), text(&message[3]))
    }

    /// What is heard of a command; its reply beside it.
    fn run(&mut self, call: &[Bytes]) -> (Reply, Vec<Heard>) {
        let reply = self.caller.call(call);
        self.commands += 1;
        let end = (END.to_owned(), self.commands.to_string());
        let mark = self.caller.call(&words(&format!("PUBLISH {} {}", end.0, end.1)));
        if mark == Reply::Simple("QUEUED".into()) {
            return (reply, Vec::new());
        }
        let heard = std::iter::from_fn(|| Some(self.message()).filter(|message| message.0 != END || *message != end));
        // Marks that were queued in a block come with it.
        (reply, heard.filter(|message| message.0 != END).collect())
    }

    /// Waits for an event that nobody asked for: what is heard up to it.
    fn wait(&mut self, event: &str) -> Vec<Heard> {
        let mut heard = Vec::new();
        let last = format!("__keyevent@0__:{event}");
        while heard.last().is_none_or(|(channel, _): &Heard| *channel != last) {
            heard.push(self.message());
        }
        heard
    }
}

/// Three nodes that tell everything, and what asks and listens there.
fn start() -> (Nodes, Side) {
    let nodes = Nodes::start(3, &[]);
    let addresses = nodes.addresses();
    let connect = |n: usize| Client::connect(&addresses[n]).expect("a connection");
    assert_eq!(connect(0).call(&words(EVERYTHING)), Reply::Simple("OK".into()));
    let side = Side::new(connect(1), &addresses[2]);
    (nodes, side)
}

/// The words of a line; `@key` is a payload.
fn call_of(line: &str, side: &mut Side) -> Vec<Bytes> {
    let payload = |word: Bytes| match word.strip_prefix(b"@") {
        Some(key) => match side.caller.call(&[Bytes::from("DUMP"), Bytes::copy_from_slice(key)]) {
            Reply::Bulk(payload) => payload.into(),
            other => panic!("DUMP of {key:?}: {other:?}"),
        },
        None => word,
    };
    words(line).into_iter().map(payload).collect()
}

#[test]
fn events_are_those_of_redis() {
    let Some(server) = RedisServer::start() else {
        println!("NOT RUN: there is no redis-server on this machine; scripts/test installs it");
        return;
    };
    let mut redis = server.connect();
    redis.call(&words(EVERYTHING));
    let mut redis = Side::new(redis, server.address());
    let (nodes, mut holdfast) = start();
    let mut differences = Vec::new();
    for line in COMMANDS.lines().map(|line| line.split('#').next().unwrap_or_default().trim()) {
        if line.is_empty() {
            continue;
        }
        let (theirs, ours) = match line.strip_prefix("await ") {
            Some(event) => (redis.wait(event), holdfast.wait(event)),
            None => {
                let call = call_of(line, &mut redis);
                let (their_reply, theirs) = redis.run(&call);
                let (our_reply, ours) = holdfast.run(&call);
                if their_reply.is_error() != our_reply.is_error() {
                    differences.push(format!("{line}\n  Redis answers {their_reply:?}\n  Holdfast {our_reply:?}"));
                }
                (theirs, ours)
            }
        };
        if theirs != ours {
            differences.push(format!("{line}\n  Redis    {theirs:?}\n  Holdfast {ours:?}"));
        }
    }
    assert!(differences.is_empty(), "{} differences:\n{}", differences.len(), differences.join("\n"));
    nodes.stop();
}

#[test]
fn events_of_later_commands_are_those_of_their_documentation() {
    let (nodes, mut side) = start();
    for (line, told) in LATER {
        let wanted = told.iter().flat_map(|told| {
            let (event, key) = told.split_once(' ').expect("an event and a key");
            let pair = |space: &str, name: &str, text: &str| (format!("__{space}@0__:{name}"), text.to_owned());
            [pair("keyspace", key, event), pair("keyevent", event, key)]
        });
        let wanted: Vec<Heard> = wanted.collect();
        let heard = match *line {
            "await" => wanted.iter().map(|_| side.message()).collect(),
            line => {
                let (reply, heard) = side.run(&words(line));
                assert!(!reply.is_error(), "{line}: {reply:?}");
                heard
            }
        };
        assert_eq!(heard, wanted, "{line}");
    }
    nodes.stop();
}
