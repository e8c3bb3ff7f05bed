//! Steps of a differential run: which connection does what, with commands of [`holdfast::sim::grammar`].

use std::fmt;

use bytes::Bytes;
use holdfast::base::{Millis, Rng};
use holdfast::command::{block, check, table};
use holdfast::sim::grammar::{Deadlines, Dialect, Grammar, SYNTAX};

use crate::support::notation;

/// Commands on keys that the simulator does not draw: scripts that are known by their digest, libraries of functions, and
/// sorted sets whose scores the two print with other digits.
pub const MORE_SYNTAX: &[&str] = &[
    "EVAL lua (0|1 key|2 key key) [value] [value]",
    "EVAL lua 1 key [value]",
    "EVAL_RO lua (0|1 key) [value]",
    "EVALSHA known-digest (0|1 key|2 key key) [value] [value]",
    "EVALSHA known-digest 1 key",
    "EVALSHA_RO known-digest (0|1 key) [value]",
    "SCRIPT (LOAD lua|EXISTS known-digest+|LOAD lua|FLUSH [SYNC|ASYNC|X])",
    "FUNCTION LOAD [REPLACE] library",
    "FUNCTION LOAD REPLACE library",
    "FUNCTION (LIST [LIBRARYNAME library-name] [WITHCODE]|DUMP|STATS)",
    "FUNCTION (DELETE library-name|FLUSH [SYNC|ASYNC|X]|RESTORE functions [policy]|RESTORE functions REPLACE)",
    "FCALL function (0|1 key|2 key key|numkeys key) [value]",
    "FCALL function 1 key [value]",
    "FCALL_RO function (0|1 key) [value]",
    "GEORADIUS geo longitude latitude radius unit [COUNT integer] STOREDIST dist",
    "GEORADIUSBYMEMBER geo member radius unit STOREDIST dist",
    "GEOSEARCHSTORE dist geo (FROMMEMBER member|FROMLONLAT longitude latitude) (BYRADIUS radius unit|BYBOX radius radius unit) [ASC|DESC] STOREDIST",
    "ZRANGE dist integer integer WITHSCORES",
    "ZSCORE dist member",
    "ZRANGESTORE lexset lexset edge edge BYLEX [REV] [LIMIT integer integer]",
];

/// Words of a session, for where there are several; those of transactions more often than the others.
pub const SESSION_SYNTAX: &[&str] = &[
    "DISCARD",
    "EXEC",
    "EXEC",
    "EXEC",
    "EXEC",
    "MULTI",
    "MULTI",
    "MULTI",
    "UNWATCH",
    "WATCH key+",
    "WATCH key+",
    "AUTH [DEFAULT] value",
    "CLIENT (ID|INFO|GETNAME|GETREDIR|TRACKINGINFO|UNPAUSE|LIST|NOPE)",
    "CLIENT LIST (TYPE (NORMAL|MASTER|REPLICA|SLAVE|PUBSUB|X)|ID integer+|X)",
    "CLIENT (SETNAME value|GETNAME)",
    "CLIENT (NO-EVICT|REPLY) (ON|X)",
    "CLIENT KILL (ID (0|X|999999)|1.2.3.4:5|ADDR 1.2.3.4:5|LADDR 1.2.3.4:5|TYPE (MASTER|X)|USER NOBODY|SKIPME X|X X)",
    "CLIENT (CACHING (YES|NO|X)|TRACKING (OFF|X)|UNBLOCK (X|999999|0) [TIMEOUT|ERROR|X])",
    "CLIENT PAUSE (X|-1)",
    "COMMAND (COUNT|NOPE|INFO (GET|X)|GETKEYS (GET key|MSET key value key value|RENAME key key|PING|X X|GET))",
    "COMMAND LIST [FILTERBY (MODULE X|ACLCAT X|PATTERN X|X|X X)]",
    "ECHO value",
    "HELLO [(2|3|4|X|2|3) [AUTH DEFAULT value]]",
    "INFO [SERVER|CLIENTS|MEMORY|STATS|ALL|EVERYTHING|DEFAULT|NOPE]",
    "LASTSAVE",
    "MODULE LIST",
    "LATENCY (LATEST|HISTORY X|RESET [X]|GRAPH X|HISTOGRAM [GET|X]|NOPE)",
    "NOPE value value",
    "PING [value]",
    "PUBSUB (CHANNELS [pattern]|SHARDCHANNELS [pattern]|NUMPAT|NUMSUB channel+|SHARDNUMSUB channel+|NOPE)",
    "RESET",
    "ROLE",
    "SELECT db",
    "SLOWLOG (LEN|RESET|GET [integer]|NOPE)",
    "TIME",
    "WAIT 0 integer",
];

/// Rows of the table that no random command calls, and why.
pub const NOT_DRAWN: &[(&str, &str)] = &[
    ("client|help", "its text is our own"),
    ("command|help", "its text is our own"),
    ("config|help", "its text is our own"),
    ("latency|help", "its text is our own"),
    ("module|help", "its text is our own"),
    ("slowlog|help", "its text is our own"),
    ("acl|help", "its text is our own"),
    ("pubsub|help", "its text is our own"),
    ("subscribe", "one reply for each name, and messages between replies: tests/service/pubsub.rs"),
    ("psubscribe", "likewise"),
    ("ssubscribe", "likewise"),
    ("unsubscribe", "likewise"),
    ("punsubscribe", "likewise"),
    ("sunsubscribe", "likewise"),
    ("acl|cat", "compared with COMMAND LIST FILTERBY ACLCAT, which facts.rs compares"),
    ("acl|deluser", "other connections would end; tests/service/acl.rs"),
    ("acl|dryrun", "compared by acl.rs"),
    ("acl|genpass", "every answer is another"),
    ("acl|getuser", "compared by acl.rs"),
    ("acl|list", "7.2 shows other rules with the same meaning; compared by acl.rs"),
    ("acl|load", "tests/service/acl.rs"),
    ("acl|log", "times and connections are in it; tests/service/acl.rs"),
    ("acl|save", "tests/service/acl.rs"),
    ("acl|setuser", "compared by acl.rs"),
    ("acl|users", "tests/service/acl.rs"),
    ("acl|whoami", "likewise"),
    ("asking", "a Redis outside of cluster mode refuses it"),
    ("bgrewriteaof", "here it makes the state durable, there it starts a process"),
    ("bgsave", "likewise"),
    ("client|no-touch", "new in 7.2"),
    ("client|setinfo", "new in 7.2"),
    ("cluster", "a Redis outside of cluster mode refuses it"),
    ("command", "compared by facts.rs"),
    ("command|docs", "compared by facts.rs"),
    ("command|getkeysandflags", "compared by facts.rs"),
    ("hexpire", "beyond Redis 7.2; tests/commands/field_expiry.txt"),
    ("hexpireat", "likewise"),
    ("hexpiretime", "likewise"),
    ("hgetdel", "likewise"),
    ("hgetex", "likewise"),
    ("hpersist", "likewise"),
    ("hpexpire", "likewise"),
    ("hpexpireat", "likewise"),
    ("hpexpiretime", "likewise"),
    ("hpttl", "likewise"),
    ("hsetex", "likewise"),
    ("httl", "likewise"),
    ("delex", "beyond Redis 7.2; tests/commands/conditional.txt"),
    ("delifeq", "likewise"),
    ("digest", "likewise"),
    ("msetex", "likewise"),
    ("latency|doctor", "its text is our own"),
    ("client|maint_notifications", "newer than 7.2"),
    ("debug", "a Redis must be told to allow it; tests/service/debug.rs"),
    ("failover", "a Redis alone has no replica; src/service/failover.rs"),
    ("memory|doctor", "its text is our own"),
    ("memory|help", "its text is our own"),
    ("memory|malloc-stats", "its text is the allocator's"),
    ("memory|purge", "it slows a Redis down; tests/service/sessions.rs"),
    ("memory|stats", "figures of two processes; tests/service/sessions.rs"),
    ("migrate", "a Redis would do it"),
    ("module|load", "not allowed on either side; tests/service/sessions.rs"),
    ("module|loadex", "likewise"),
    ("module|unload", "likewise"),
    ("monitor", "what it shows comes by itself; tests/service/administration.rs"),
    ("psync", "it makes a Redis a master"),
    ("replconf", "likewise"),
    ("shutdown", "it ends the server"),
    ("swapdb", "a Redis would do it"),
    ("sync", "it makes a Redis a master"),
    ("pfselftest", "it takes a Redis half a second"),
    ("quit", "it ends the connection; tests/service/sessions.rs"),
    ("readonly", "a Redis outside of cluster mode refuses it"),
    ("readwrite", "likewise"),
    ("replicaof", "replication is not set up by hand here"),
    ("function|help", "its text is our own"),
    ("function|kill", "a function that it could find would be another test's"),
    ("script|debug", "there is no debugger here"),
    ("script|help", "its text is our own"),
    ("script|kill", "a script that it could find would be another test's"),
    ("save", "here it makes the state durable, there it writes a file"),
    ("slaveof", "replication is not set up by hand here"),
    ("waitaof", "new in 7.2"),
    ("xgroup|help", "its text is our own"),
    ("xinfo|help", "its text is our own"),
];

/// Settings of a server, for where there is just one: here they are a node's own. What is changed takes effect on no
/// reply, but on trims of streams on both sides alike.
pub const SERVER_SYNTAX: &[&str] = &[
    "CONFIG GET (TIMEOUT|SLOWLOG-*|*-ZIPLIST-*|ZSET-MAX-*|HASH-MAX-LISTPACK-VALUE|NOTIFY*|MAXMEMORY-SAMPLES|NOPE)+",
    "CONFIG (RESETSTAT|REWRITE|NOPE)",
    "CONFIG SET ((LIST-COMPRESS-DEPTH|STREAM-NODE-MAX-ENTRIES|MAXMEMORY-SAMPLES|SLOWLOG-MAX-LEN) integer)+",
    "CONFIG SET (STREAM-NODE-MAX-BYTES|HLL-SPARSE-MAX-BYTES) (1KB|1K|2MB|3M|1GB|1X|-1|value)",
    "CONFIG SET (NOTIFY-KEYSPACE-EVENTS (KEA|AKE|KE$|Q|value)|LAZYFREE-LAZY-EXPIRE (YES|NO|X))",
    "CONFIG SET (DATABASES 3|NOPE value|TIMEOUT (X|-1|1000000)|LATENCY-TRACKING-INFO-PERCENTILES (50|X|101))",
];

/// Words for databases beyond the last one too, deadlines far from every clock.
pub const DIALECT: Dialect = Dialect { databases: &["0", "1", "2", "15", "16", "-1", "x"], deadlines: Deadlines::Far };

/// One step of a run, the same for both sides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The connection that takes it.
    pub on: usize,
    /// What it does.
    pub act: Act,
}

/// What a connection does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// A command.
    Call(Vec<Bytes>),
    /// Selects a database.
    Select(u8),
    /// Switches the protocol.
    Protocol(u8),
}

impl Step {
    /// Whether it runs a script or function that is told of no key.
    pub fn is_script_without_keys(&self) -> bool {
        let Act::Call(args) = &self.act else { return false };
        let name = args[0].to_ascii_lowercase();
        let runs = [&b"eval"[..], b"eval_ro", b"evalsha", b"evalsha_ro", b"fcall", b"fcall_ro"].contains(&&name[..]);
        runs && args.get(2).is_some_and(|keys| &keys[..] == b"0")
    }
}

impl Step {
    /// Whether it asks for scripts by their digests.
    pub fn asks_by_digest(&self) -> bool {
        let Act::Call(args) = &self.act else { return false };
        let is = |at: usize, word: &str| args.get(at).is_some_and(|arg| arg.eq_ignore_ascii_case(word.as_bytes()));
        is(0, "evalsha") || is(0, "evalsha_ro") || (is(0, "script") && is(1, "exists"))
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The first connection's lines are those of a dialogue.
        if self.on > 0 {
            write!(f, "{}", self.on + 1)?;
        }
        match &self.act {
            Act::Call(args) => write!(f, "> {}", notation::command(args)),
            Act::Select(db) => write!(f, ": db {db}"),
            Act::Protocol(version) => write!(f, ": protocol {version}"),
        }
    }
}

/// Draws steps; the same generator and number of connections give the same steps.
pub struct Generator {
    grammar: Grammar,
    connections: usize,
    /// The connection of the last step.
    on: usize,
}

/// Lines of commands on keys, but for what nobody has time for.
fn on_keys() -> impl Iterator<Item = &'static &'static str> {
    SYNTAX.iter().chain(MORE_SYNTAX).filter(|line| **line != "PFSELFTEST")
}

impl Generator {
    /// For so many connections; with more than one also words of sessions, and of a server if there is just one.
    pub fn new(rng: Rng, connections: usize, servers: usize) -> Generator {
        let session = if connections > 1 { SESSION_SYNTAX } else { &[] };
        let server = if connections > 1 && servers == 1 { SERVER_SYNTAX } else { &[] };
        let grammar = Grammar::new(rng, DIALECT, on_keys().chain(session).chain(server).copied());
        Generator { grammar, connections, on: 0 }
    }

    /// The next step. A connection mostly says a few things before another one speaks.
    pub fn step(&mut self) -> Step {
        let rng = self.grammar.rng();
        if rng.chance(1, 3) {
            self.on = rng.below(self.connections as u64) as usize;
        }
        let act = match rng.below(400) {
            0 => Act::Select(*rng.pick(&[0, 0, 1, 2])),
            1 => Act::Protocol(*rng.pick(&[2, 3])),
            _ => Act::Call(known(self.grammar.command(Millis(0)))),
        };
        Step { on: self.on, act }
    }
}

/// Without words that only 7.2 knows (the fourth of ZRANK), and without ids that two clocks would give.
pub fn known(mut args: Vec<Bytes>) -> Vec<Bytes> {
    if args[0].eq_ignore_ascii_case(b"zrank") || args[0].eq_ignore_ascii_case(b"zrevrank") {
        args.truncate(3);
    }
    if args[0].eq_ignore_ascii_case(b"xadd") {
        args.iter_mut().filter(|word| &word[..] == b"*").for_each(|word| *word = Bytes::from_static(b"7-*"));
    }
    let waits = check(&args).is_ok_and(|spec| block::patience(spec.name, &args, Millis(0)).is_some());
    if waits {
        // Nobody pushes anything while a step runs: it must not wait for long.
        let name = args[0].to_ascii_lowercase();
        let at = match &name[..] {
            b"blmpop" | b"bzmpop" => 1,
            b"xread" | b"xreadgroup" => {
                args.iter().position(|word| word.eq_ignore_ascii_case(b"block")).map_or(0, |at| at + 1)
            }
            _ => args.len() - 1,
        };
        args[at] = Bytes::from_static(if name.starts_with(b"x") { b"1" } else { b"0.001" });
    }
    args
}

#[test]
fn every_row_of_the_table_is_drawn_or_excused() {
    let lines = on_keys().chain(SESSION_SYNTAX).chain(SERVER_SYNTAX).copied();
    let mut grammar = Grammar::new(Rng::new(1), DIALECT, lines);
    let mut drawn = std::collections::BTreeSet::new();
    for _ in 0..60_000 {
        drawn.extend(check(&grammar.command(Millis(0))).ok().map(|spec| spec.name));
    }
    let is_excused = |name: &str| {
        NOT_DRAWN.iter().any(|(excused, _)| name == *excused || (*excused == "cluster" && name.starts_with("cluster|")))
    };
    for spec in table::all().flat_map(|spec| std::iter::once(spec).chain(spec.subcommands)) {
        // A word with subcommands cannot be called without one.
        if spec.subcommands.is_empty() {
            assert!(
                drawn.contains(spec.name) != is_excused(spec.name),
                "{}: drawn: {}",
                spec.name,
                drawn.contains(spec.name)
            );
        }
    }
}
