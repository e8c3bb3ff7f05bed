//! What client libraries and tools send when they connect or look around, word for word, and that each of them can go
//! on: nothing it insists on is refused, and what is refused is refused in the words that make it do without.

use crate::table::{TableNode, Talk, service};
use holdfast::resp::parse_reply;
use holdfast::service::Options;

/// What a client makes of an answer.
#[derive(Clone, Copy)]
enum Wants {
    /// Anything but an error.
    Answer,
    /// An answer that holds this text.
    Text(&'static str),
    /// Exactly this error: it takes the server for one that does not have the feature, and goes on.
    Refusal(&'static str),
}

use Wants::{Answer, Refusal, Text};

/// Client, and its requests in order.
const SEQUENCES: &[(&str, &[(&str, Wants)])] = &[
    (
        "redis-py 5",
        &[("CLIENT SETINFO LIB-NAME redis-py", Answer), ("CLIENT SETINFO LIB-VER 5.0.8", Answer), ("SELECT 3", Answer)],
    ),
    (
        "redis-py 8",
        &[
            ("HELLO 3 AUTH default pw", Text("$5 proto :3")),
            ("CLIENT MAINT_NOTIFICATIONS ON moving-endpoint-type external-ip", Text("+OK")),
            ("CLIENT SETNAME worker", Answer),
            ("CLIENT SETINFO LIB-NAME redis-py", Answer),
            ("CLIENT SETINFO LIB-VER 8.0.0", Answer),
            ("SELECT 3", Answer),
            ("CLUSTER SLOTS", Text(":0 :16383")),
            ("COMMAND", Text("$6 getset")),
        ],
    ),
    ("coredis", &[("HELLO 3", Text("$5 proto :3")), ("CLIENT SETINFO LIB-NAME coredis", Answer)]),
    (
        "ioredis",
        &[
            ("hello 3", Text("$5 proto :3")),
            ("client SETINFO LIB-NAME ioredis", Answer),
            ("client SETINFO LIB-VER 6.0.0", Answer),
            ("info", Text("loading:0")),
            ("client setname ioredis-cluster(refresher)", Answer),
            ("cluster SLOTS", Answer),
            ("cluster INFO", Text("cluster_state:ok")),
        ],
    ),
    (
        "node-redis",
        &[
            ("HELLO 3", Text("$5 proto :3")),
            ("CLIENT SETINFO LIB-NAME node-redis", Answer),
            ("CLIENT SETINFO LIB-VER 6.0.0", Answer),
            ("CLIENT MAINT_NOTIFICATIONS ON moving-endpoint-type none", Text("+OK")),
            ("CLUSTER SLOTS", Answer),
        ],
    ),
    (
        "go-redis",
        &[
            ("HELLO 3 AUTH default pw SETNAME worker", Text("$5 proto :3")),
            ("SELECT 1", Answer),
            ("READONLY", Answer),
            ("CLIENT MAINT_NOTIFICATIONS ON MOVING-ENDPOINT-TYPE none", Text("+OK")),
            ("CLIENT SETINFO LIB-NAME go-redis", Answer),
            ("CLIENT SETINFO LIB-VER 9.17.0", Answer),
            ("CLUSTER SLOTS", Answer),
            ("COMMAND", Answer),
        ],
    ),
    // Where HELLO is refused it authenticates in the old way.
    ("go-redis, old servers", &[("AUTH pw", Answer), ("CLIENT SETNAME worker", Answer), ("PING", Text("+PONG"))]),
    (
        "jedis",
        &[
            ("HELLO 3 AUTH default pw", Text("$5 proto :3")),
            ("CLIENT SETNAME worker", Answer),
            ("CLIENT SETINFO LIB-NAME jedis", Answer),
            ("CLIENT SETINFO LIB-VER 6.0.0", Answer),
            ("READONLY", Answer),
            ("CLUSTER SLOTS", Answer),
        ],
    ),
    (
        "lettuce",
        &[
            ("HELLO 3", Text("$5 proto :3")),
            ("PING", Text("+PONG")),
            ("SELECT 2", Answer),
            ("READONLY", Answer),
            ("CLUSTER NODES", Text("myself,master")),
            ("INFO", Text("connected_clients:")),
        ],
    ),
    (
        "StackExchange.Redis",
        &[
            ("HELLO 3 AUTH default pw SETNAME worker", Text("$5 proto :3")),
            ("CLIENT SETINFO lib-name SE.Redis", Answer),
            ("CLIENT ID", Answer),
            ("CONFIG GET timeout", Text("$7 timeout $1 0")),
            ("CONFIG GET replica-read-only", Text("$3 yes")),
            ("CONFIG GET slave-read-only", Text("$3 yes")),
            ("CONFIG GET databases", Text("$2 16")),
            // Not a sentinel: it goes on as with any server.
            ("SENTINEL MASTERS", Refusal("-ERR unknown command 'SENTINEL', with args beginning with: 'MASTERS' ")),
            ("INFO replication", Text("role:master")),
            ("INFO server", Text("redis_version:7.2.4")),
            ("CLUSTER NODES", Answer),
            ("GET __Booksleeve_TieBreak", Answer),
            ("ECHO tracer", Text("tracer")),
        ],
    ),
    (
        "rueidis",
        &[
            ("HELLO 3 AUTH default pw SETNAME worker", Text("$5 proto :3")),
            ("CLIENT TRACKING ON OPTIN", Answer),
            ("CLIENT TRACKINGINFO", Text("$2 on $5 optin")),
            ("SELECT 1", Answer),
            ("READONLY", Answer),
            ("CLIENT NO-TOUCH ON", Answer),
            ("CLIENT NO-EVICT ON", Answer),
            ("CLIENT CAPA redirect", Refusal("-ERR unknown subcommand 'CAPA'. Try CLIENT HELP.")),
            ("CLIENT SETINFO LIB-NAME rueidis", Answer),
            ("CLIENT SETINFO LIB-VER 1.0.67", Answer),
        ],
    ),
    (
        "redis-cli",
        &[
            ("HELLO 3", Text("$5 proto :3")),
            ("COMMAND DOCS", Text("$7 summary")),
            ("INFO", Text("redis_mode:standalone")),
            ("CLUSTER NODES", Answer),
            ("DBSIZE", Answer),
            ("SCAN 0", Answer),
            ("SCAN 0 COUNT 10", Answer),
            ("TYPE key", Answer),
            ("STRLEN key", Answer),
            ("HLEN key", Answer),
        ],
    ),
    ("redis-benchmark", &[("CONFIG GET save", Answer), ("CONFIG GET appendonly", Answer), ("PING", Text("+PONG"))]),
    (
        "redis_exporter",
        &[
            ("CLIENT SETNAME redis_exporter", Answer),
            ("CONFIG GET *", Text("maxclients")),
            ("INFO ALL", Text("# Commandstats")),
            ("LATENCY LATEST", Answer),
            ("LATENCY HISTOGRAM", Answer),
            ("SLOWLOG LEN", Answer),
            ("SLOWLOG GET 1", Answer),
            ("CLUSTER INFO", Answer),
            ("CLIENT LIST", Answer),
        ],
    ),
];

#[test]
fn every_client_can_connect() {
    for (client, requests) in SEQUENCES {
        let needs_password = requests.iter().any(|(line, _)| line.contains("pw"));
        let password = needs_password.then(|| "pw".to_string());
        let node = TableNode::new(1);
        let service = service(&node, Options { password, ..Options::default() });
        let mut talk = Talk::new(&service);
        for (line, wants) in *requests {
            let raw = talk.raw(&[line]);
            let (value, length) = parse_reply(&raw).unwrap_or_else(|| panic!("{client}: {line}: no reply"));
            assert_eq!(length, raw.len(), "{client}: {line}: more than one reply");
            let text = String::from_utf8_lossy(&raw[..raw.len() - 2]).replace("\r\n", " ");
            let is_content = match wants {
                Answer => !value.is_error(),
                Text(part) => !value.is_error() && text.contains(part),
                Refusal(error) => text == *error,
            };
            assert!(is_content, "{client}: {line}: {text}");
        }
        // What it came for.
        assert_eq!(talk.pipeline(&["SET k v", "GET k", "DEL k"]), ["+OK", "$1 v", ":1"], "{client}");
    }
}
