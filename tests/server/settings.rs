//! Settings by their effect, group by group, on a node that got them from its environment. That every row of the table
//! reaches the runtime at all is a unit test of `cli`.

use std::time::{Duration, Instant};

use holdfast::base::NodeId;
use holdfast::runtime::Config;

use crate::nodes::Nodes;
use crate::ports::free_ports;
use crate::resp::{Client, PATIENCE, Reply, info};

fn port(nodes: &Nodes) -> u16 {
    nodes.addresses()[0].rsplit_once(':').and_then(|(_, port)| port.parse().ok()).expect("an address")
}

fn ask(client: &mut Client, line: &str) -> Reply {
    client.call(&line.split(' ').collect::<Vec<_>>()).expect("a reply")
}

fn check(client: &mut Client, dialogue: &[(&str, Reply)]) {
    for (line, reply) in dialogue {
        assert_eq!(ask(client, line), *reply, "{line}");
    }
}

fn ok() -> Reply {
    Reply::Simple("OK".into())
}

fn error(line: &str) -> Reply {
    Reply::Error(line.into())
}

fn bulk(text: &str) -> Reply {
    Reply::Bulk(Some(text.into()))
}

fn parameter(client: &mut Client, name: &str) -> String {
    match ask(client, &format!("CONFIG GET {name}")) {
        Reply::Array(Some(pair)) => match &pair[..] {
            [_, Reply::Bulk(Some(value))] => String::from_utf8_lossy(value).into_owned(),
            other => panic!("{name}: {other:?}"),
        },
        other => panic!("{name}: {other:?}"),
    }
}

/// A number from a section of INFO.
fn number(client: &mut Client, section: &str, name: &str) -> u64 {
    let Reply::Bulk(Some(text)) = ask(client, &format!("INFO {section}")) else { panic!("INFO {section}") };
    let text = String::from_utf8_lossy(&text).into_owned();
    let found = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')?.parse().ok());
    found.unwrap_or_else(|| panic!("{name} in {text}"))
}

#[expect(clippy::disallowed_methods, reason = "other processes work in real time; the wait has a deadline")]
fn until(what: &str, mut check: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !check() {
        assert!(Instant::now() < deadline, "{what}: not within {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn clients() {
    let nodes = Nodes::start(
        1,
        &[
            ("CLIENTS__MAX", "2"),
            ("CLIENTS__PASSWORD", "secret"),
            ("CLIENTS__IDLE_TIMEOUT_S", "100"),
            ("CLIENTS__QUERY_BUFFER_BYTES", "2000000"),
            ("CLIENTS__OUTPUT_BUFFER_BYTES", "3000000"),
            ("CLIENTS__BULK_BYTES", "2048"),
        ],
    );
    let mut client = Client::connect(port(&nodes)).expect("connected");
    let too_long = "ERR string exceeds maximum allowed size (proto-max-bulk-len)";
    check(
        &mut client,
        &[
            ("GET k", error("NOAUTH Authentication required.")),
            ("AUTH wrong", error("WRONGPASS invalid username-password pair or user is disabled.")),
            ("AUTH secret", ok()),
            ("SETRANGE k 2047 x", Reply::Integer(2048)),
            ("APPEND k x", error(too_long)),
            ("SETRANGE k 2048 x", error(too_long)),
            ("SET l x", ok()),
            ("LCS k l", error("ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len")),
            // What CONFIG SET changes holds for the next command, in the machine too.
            ("CONFIG SET proto-max-bulk-len 4096", ok()),
            ("APPEND k x", Reply::Integer(2049)),
        ],
    );
    for (name, value) in [
        ("maxclients", "2"),
        ("requirepass", "secret"),
        ("timeout", "100"),
        ("client-query-buffer-limit", "2000000"),
        ("client-output-buffer-limit", "normal 3000000 0 0 slave 268435456 67108864 60 pubsub 33554432 8388608 60"),
        ("proto-max-bulk-len", "4096"),
    ] {
        assert_eq!(parameter(&mut client, name), value, "{name}");
    }
    let large = "x".repeat(4097);
    let refused = client.call(&["SET", "k", &large]).expect("a reply");
    assert_eq!(refused, error("ERR Protocol error: invalid bulk length"));

    let mut client = Client::connect(port(&nodes)).expect("connected");
    assert_eq!(ask(&mut client, "AUTH secret"), ok());
    let mut second = Client::connect(port(&nodes)).expect("connected");
    assert_eq!(ask(&mut second, "AUTH secret"), ok());
    let mut third = Client::connect(port(&nodes)).expect("connected");
    assert_eq!(ask(&mut third, "PING"), error("ERR max number of clients reached"));
    drop(second);
    nodes.stop();
}

#[test]
#[expect(clippy::disallowed_methods, reason = "a deadline of real time")]
fn the_deadline_of_requests() {
    let home = tempfile::tempdir().expect("a directory");
    let ports = free_ports(3);
    let members = ports.iter().zip(1..).map(|(port, id)| (NodeId(id), format!("127.0.0.1:{port}")));
    let mut config = Config::new(NodeId(1), home.path());
    config.initial_cluster = members.collect();
    config.peer = Some(([127, 0, 0, 1], ports[0]).into());
    config.request_timeout = Duration::from_millis(300);
    // The other two do not exist: there is no majority, and nothing is written into a log.
    let node = holdfast::runtime::start(config).expect("a node");
    let mut client = Client::connect(node.resp.port()).expect("connected");
    let asked = Instant::now();
    assert_eq!(ask(&mut client, "SET k v"), error("CLUSTERDOWN The cluster is down"));
    assert!(asked.elapsed() < Duration::from_millis(2_000), "{:?}", asked.elapsed());
    node.shut_down().expect("an end in order");
}

#[test]
fn raft() {
    let nodes = Nodes::start(
        1,
        &[("RAFT__LOG_KEEP_ENTRIES", "10"), ("RAFT__READ_MODE", "read-index"), ("STORAGE__FLUSH_INTERVAL_S", "1")],
    );
    let mut client = Client::connect(port(&nodes)).expect("connected");
    for _ in 0..100 {
        assert!(matches!(ask(&mut client, "INCR n"), Reply::Integer(_)));
    }
    // Without leases every read asks a quorum, and is right.
    assert_eq!(ask(&mut client, "GET n"), bulk("100"));
    // Once the state is flushed the log is cut, but for what is to be kept.
    until("the log is cut", || {
        let place = |key| info(port(&nodes), "group1_log", key).and_then(|number| number.parse::<u64>().ok());
        match (place("first"), place("last")) {
            (Some(first), Some(last)) => last > 100 && last - first <= 11,
            _ => false,
        }
    });
    nodes.stop();
}

#[test]
fn cache_and_encodings() {
    let small = Nodes::start(1, &[("CACHE__BYTES", "0"), ("HASH__MAX_LISTPACK_ENTRIES", "1")]);
    let mut client = Client::connect(port(&small)).expect("connected");
    check(
        &mut client,
        &[
            ("SET k v", ok()),
            ("GET k", bulk("v")),
            ("GET none", Reply::Bulk(None)),
            ("GET none", Reply::Bulk(None)),
            ("HSET h a 1", Reply::Integer(1)),
            ("OBJECT ENCODING h", bulk("listpack")),
            ("HSET h b 1", Reply::Integer(1)),
            ("OBJECT ENCODING h", bulk("hashtable")),
        ],
    );
    assert_eq!((number(&mut client, "l1", "l1_hits"), number(&mut client, "l1", "l1_bytes")), (0, 0));
    small.stop();

    let cached = Nodes::start(1, &[("HASH__MAX_LISTPACK_VALUE_BYTES", "3"), ("CLUSTER__PARTITIONS", "2")]);
    let mut client = Client::connect(port(&cached)).expect("connected");
    check(
        &mut client,
        &[
            ("SET k v", ok()),
            ("GET k", bulk("v")),
            // What was written lately is not asked of the cache; that there is no such record is.
            ("GET none", Reply::Bulk(None)),
            ("GET none", Reply::Bulk(None)),
            ("GET none", Reply::Bulk(None)),
            ("HSET h a 123", Reply::Integer(1)),
            ("OBJECT ENCODING h", bulk("listpack")),
            ("HSET h a 1234", Reply::Integer(0)),
            ("OBJECT ENCODING h", bulk("hashtable")),
            ("MGET foo bar", error("CROSSSLOT Keys in request don't hash to the same slot")),
        ],
    );
    assert!(number(&mut client, "l1", "l1_hits") > 0);
    cached.stop();
}

#[test]
fn what_commands_did_is_counted() {
    let nodes = Nodes::start(1, &[]);
    let mut client = Client::connect(port(&nodes)).expect("connected");
    check(
        &mut client,
        &[
            ("CONFIG RESETSTAT", ok()),
            ("SET k v", ok()),
            ("GET k", bulk("v")),
            ("GET none", Reply::Bulk(None)),
            ("EXISTS k k none", Reply::Integer(2)),
            ("GETSET k w", bulk("v")),
            ("APPEND k x", Reply::Integer(2)),
            ("HGET none f", Reply::Bulk(None)),
            ("SET due v PX 1", ok()),
        ],
    );
    // Three hits by GET and EXISTS, one by GETSET; writes count nothing.
    assert_eq!(number(&mut client, "stats", "keyspace_hits"), 4);
    assert_eq!(number(&mut client, "stats", "keyspace_misses"), 3);
    until("a key expires", || number(&mut client, "stats", "expired_keys") == 1);
    assert!(number(&mut client, "stats", "total_net_input_bytes") > 100);
    assert!(number(&mut client, "stats", "total_commands_processed") >= 10);
    assert!(number(&mut client, "memory", "used_memory_peak") >= number(&mut client, "memory", "used_memory") / 2);
    assert!(number(&mut client, "memory", "total_system_memory") > 0);
    // Idle for whole seconds; a look from outside does not end it, a read does.
    until("the key is idle", || {
        assert_eq!(ask(&mut client, "EXISTS k"), Reply::Integer(1));
        matches!(ask(&mut client, "OBJECT IDLETIME k"), Reply::Integer(seconds) if seconds >= 2)
    });
    check(&mut client, &[("CLIENT NO-TOUCH ON", ok()), ("GET k", bulk("wx"))]);
    assert!(matches!(ask(&mut client, "OBJECT IDLETIME k"), Reply::Integer(2..)), "nor does one of NO-TOUCH");
    let block = [("MULTI", ok()), ("GET k", Reply::Simple("QUEUED".into()))];
    check(&mut client, &block);
    check(&mut client, &[("EXEC", Reply::Array(Some(vec![bulk("wx")])))]);
    assert!(matches!(ask(&mut client, "OBJECT IDLETIME k"), Reply::Integer(2..)), "nor within a block");
    check(&mut client, &[("TOUCH k", Reply::Integer(1)), ("OBJECT IDLETIME k", Reply::Integer(0))]);
    check(
        &mut client,
        &[("CLIENT NO-TOUCH OFF", ok()), ("GET k", bulk("wx")), ("OBJECT IDLETIME k", Reply::Integer(0))],
    );
    nodes.stop();
}
