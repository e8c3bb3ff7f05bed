//! Words about the server: TIME, ROLE, WAIT, CONFIG, SLOWLOG, LATENCY, COMMAND, and where each session word is answered.

use bytes::Bytes;

use super::pubsub::is_word;
use super::session::Session;
use super::words::{help, integer, is, not_an_integer, syntax_error, wrong_words};
use super::{Service, cluster, commands};
use crate::command::pubsub::pubsub;
use crate::command::spec::Categories;
use crate::command::{Spec, introspect};
use crate::resp::{Protocol, Value};

impl Service {
    /// Answers a word of the session that was checked against the table.
    pub(super) fn answer(&self, session: &mut Session, spec: &'static Spec, args: &[Bytes]) -> Value {
        let container = spec.name.split('|').next().unwrap_or(spec.name);
        match container {
            // What a client that listens gets in RESP2 looks like a message.
            "ping" if args.len() <= 2 && session.protocol == Protocol::Resp2 && session.is_listening() => {
                let message = args.get(1).cloned().unwrap_or_default();
                Value::Array(vec![Value::bulk("pong"), Value::Bulk(message)])
            }
            "ping" => match &args[1..] {
                [] => Value::Simple("PONG".into()),
                [message] => Value::Bulk(message.clone()),
                _ => Value::error("ERR wrong number of arguments for 'ping' command"),
            },
            "echo" => Value::Bulk(args[1].clone()),
            "hello" => self.hello(session, args),
            "auth" => self.auth(session, args),
            "select" => self.select(session, args),
            "client" => {
                session.client.labels.lock().last_command = spec.name;
                self.client(session, args)
            }
            "reset" => self.reset(session),
            "quit" => {
                session.closing = true;
                Value::OK
            }
            "multi" => self.multi(session),
            "discard" => self.discard(session),
            "unwatch" => {
                self.unwatch(session);
                Value::OK
            }
            // Every node answers everything linearizably in proxy mode: the mode of reading changes nothing.
            "readonly" | "readwrite" | "asking" => Value::OK,
            "cluster" => self.cluster(args),
            "command" => introspect::command(args),
            "config" => self.config_word(args),
            "info" => Value::Verbatim("txt", self.info(&args[1..]).into()),
            "lastsave" => Value::Integer(self.last_save()),
            "latency" => self.latency(args),
            "role" => self.role(),
            "slowlog" => self.slowlog(args),
            "pubsub" => pubsub(&*self.hub, args),
            "function" => self.node.running().kill(true),
            "script" if spec.name == "script|kill" => self.node.running().kill(false),
            "script" => script_debug(&args[2]),
            "time" => {
                let now = self.node.now().0;
                let parts = [now / 1000, now % 1000 * 1000];
                Value::Array(parts.map(|part| Value::bulk(part.to_string())).to_vec())
            }
            "wait" => self.wait(args),
            "waitaof" => self.wait_aof(args),
            "acl" => acl(args),
            "module" => match args[1].to_ascii_lowercase().as_slice() {
                b"list" => Value::Array(Vec::new()),
                b"help" => help("MODULE", &["LIST", "    Loaded modules: none, always."]),
                _ => wrong_words(args),
            },
            // What they promise holds already: what is acknowledged is on the disks of a majority.
            "save" => Value::OK,
            "bgsave" if args.len() == 1 || (args.len() == 2 && is(&args[1], "schedule")) => {
                Value::Simple("Background saving started".into())
            }
            "bgsave" => syntax_error(),
            "bgrewriteaof" => Value::Simple("Background append only file rewriting started".into()),
            "replicaof" | "slaveof" if is(&args[1], "no") && is(&args[2], "one") => Value::OK,
            "replicaof" | "slaveof" => Value::error("ERR replicas are managed by holdfast itself"),
            _ if is_word(spec) => self.listen(session, spec, args),
            _ => Value::error(format!("ERR the '{}' command is not supported yet", spec.name)),
        }
    }

    /// How many nodes beside the leader hold every acknowledged write: a quorum less one.
    pub(super) fn replicas_in_quorum(&self) -> u64 {
        let map = self.node.map();
        let smallest = map.groups.iter().filter(|group| group.slots.is_some()).map(|group| group.members.len()).min();
        (smallest.unwrap_or(1).max(1) / 2) as u64
    }

    /// Whether the log is still being replayed.
    pub(super) fn is_loading(&self) -> bool {
        self.node.checks().iter().any(|(name, check)| *name == "replayed" && check.is_err())
    }

    /// Seconds since the epoch up to which everything acknowledged is on disk: now, always.
    pub(super) fn last_save(&self) -> i64 {
        (self.node.now().0 / 1000) as i64
    }

    /// `WAIT replicas timeout`: every reply was durable on a majority before it was sent.
    fn wait(&self, args: &[Bytes]) -> Value {
        if integer(&args[1]).is_none() {
            return not_an_integer();
        }
        match integer(&args[2]) {
            None => Value::error("ERR timeout is not an integer or out of range"),
            Some(timeout) if timeout < 0 => Value::error("ERR timeout is negative"),
            Some(_) => Value::Integer(self.replicas_in_quorum() as i64),
        }
    }

    /// `WAITAOF local replicas timeout`: likewise, and on disk.
    fn wait_aof(&self, args: &[Bytes]) -> Value {
        match [&args[1], &args[2], &args[3]].map(|number| integer(number)) {
            [None, ..] | [_, None, _] => not_an_integer(),
            [Some(local), ..] if !(0..=1).contains(&local) => {
                Value::error("ERR value is out of range, value must between 0 and 1")
            }
            [_, Some(replicas), _] if replicas < 0 => Value::error("ERR value is out of range, must be positive"),
            [.., None] => Value::error("ERR timeout is not an integer or out of range"),
            [.., Some(timeout)] if timeout < 0 => Value::error("ERR timeout is negative"),
            _ => Value::Array(vec![Value::Integer(1), Value::Integer(self.replicas_in_quorum() as i64)]),
        }
    }

    /// `ROLE`: to a client every node is the master; the offset is the commit index over all groups.
    fn role(&self) -> Value {
        let (map, me) = (self.node.map(), self.node.id());
        let replicas = cluster::others(&map, me).map(|(host, port, node)| {
            let offset = cluster::replicated(&map, node.id, me);
            Value::Array([host.to_string(), port.to_string(), offset.to_string()].map(Value::bulk).to_vec())
        });
        let replicas = replicas.collect();
        Value::Array(vec![Value::bulk("master"), Value::Integer(self.offset() as i64), Value::Array(replicas)])
    }

    /// Entries committed over all groups with slots, as this node knows.
    pub(super) fn offset(&self) -> u64 {
        let map = self.node.map();
        map.groups.iter().filter(|group| group.slots.is_some()).map(|group| group.commit.get()).sum()
    }

    fn config_word(&self, args: &[Bytes]) -> Value {
        match (args[1].to_ascii_lowercase().as_slice(), &args[2..]) {
            (b"get", patterns) => self.config.matching(patterns),
            (b"set", pairs) if pairs.len() % 2 == 1 => Value::error("ERR syntax error"),
            (b"set", pairs) => match self.config.set(pairs) {
                Ok(changes) => {
                    self.hub.set_limit(self.config.listeners_limit());
                    for (parameter, value) in changes {
                        self.node.configure(parameter, &value);
                    }
                    Value::OK
                }
                Err(refusal) => refusal,
            },
            (b"resetstat", []) => {
                self.stats.reset();
                self.node.reset_counters();
                Value::OK
            }
            (b"rewrite", []) => Value::error("ERR The server is running without a config file"),
            (b"help", _) => help(
                "CONFIG",
                &[
                    "GET <pattern> [<pattern> ...]",
                    "    Parameters and their values.",
                    "SET <parameter> <value> [<parameter> <value> ...]",
                    "    Change parameters of this node, until it restarts.",
                    "RESETSTAT",
                    "    Set the counters of INFO to zero.",
                ],
            ),
            _ => wrong_words(args),
        }
    }

    fn slowlog(&self, args: &[Bytes]) -> Value {
        match (args[1].to_ascii_lowercase().as_slice(), &args[2..]) {
            (b"get", []) => self.slow_log.get(Some(10)),
            (b"get", [count]) => match integer(count) {
                Some(-1) => self.slow_log.get(None),
                Some(count) if count >= 0 => self.slow_log.get(Some(usize::try_from(count).unwrap_or(usize::MAX))),
                _ => Value::error("ERR count should be greater than or equal to -1"),
            },
            (b"len", []) => Value::Integer(self.slow_log.len() as i64),
            (b"reset", []) => {
                self.slow_log.reset();
                Value::OK
            }
            (b"help", _) => help(
                "SLOWLOG",
                &[
                    "GET [<count>]",
                    "    The newest slow commands (10 unless told, -1 for all): id, time, microseconds, words, client, its name.",
                    "LEN",
                    "    How many are kept.",
                    "RESET",
                    "    Forget them.",
                ],
            ),
            _ => wrong_words(args),
        }
    }

    /// The latency monitor samples nothing here (metrics do): its words answer as Redis's do with no events. The
    /// histograms are real.
    fn latency(&self, args: &[Bytes]) -> Value {
        match (args[1].to_ascii_lowercase().as_slice(), &args[2..]) {
            (b"latest", []) | (b"history", [_]) => Value::Array(Vec::new()),
            (b"reset", _) => Value::Integer(0),
            (b"graph", [event]) => Value::error_with(&[b"ERR No samples available for event '", event, b"'"]),
            (b"doctor", []) => Value::Verbatim(
                "txt",
                "The latency monitor keeps no events here: see SLOWLOG, LATENCY HISTOGRAM and the metrics.\n".into(),
            ),
            (b"histogram", names) => self.histograms(names),
            (b"help", _) => help(
                "LATENCY",
                &[
                    "HISTOGRAM [<command> ...]",
                    "    How many calls took at most how many microseconds.",
                    "LATEST, HISTORY <event>, GRAPH <event>, DOCTOR, RESET [<event> ...]",
                    "    Words of the latency monitor, which keeps no events here.",
                ],
            ),
            _ => wrong_words(args),
        }
    }

    fn histograms(&self, names: &[Bytes]) -> Value {
        let wanted = |name: &str| {
            names.is_empty()
                || names.iter().any(|given| is(given, name) || name.split('|').next().is_some_and(|n| is(given, n)))
        };
        let mut pairs = Vec::new();
        for (index, spec) in self.commands().enumerate().filter(|(_, spec)| wanted(spec.name)) {
            let total = self.stats.command(index);
            if total.calls == 0 {
                continue;
            }
            let steps = total.cumulative().into_iter();
            let steps = steps.map(|(bound, calls)| (Value::Integer(bound as i64), Value::Integer(calls as i64)));
            pairs.push((
                Value::bulk(spec.name),
                Value::Map(vec![
                    (Value::bulk("calls"), Value::Integer(total.calls as i64)),
                    (Value::bulk("histogram_usec"), Value::Map(steps.collect())),
                ]),
            ));
        }
        Value::Map(pairs)
    }
}

/// `SCRIPT DEBUG YES|SYNC|NO`: there is no debugger to switch on.
fn script_debug(mode: &[u8]) -> Value {
    match mode {
        mode if is(mode, "no") => Value::OK,
        mode if is(mode, "yes") || is(mode, "sync") => Value::error("ERR scripts cannot be debugged here"),
        _ => Value::error("ERR Use SCRIPT DEBUG YES/SYNC/NO"),
    }
}

/// `ACL subcommand ...`: there is one user, who may do everything.
fn acl(args: &[Bytes]) -> Value {
    match (args[1].to_ascii_lowercase().as_slice(), &args[2..]) {
        (b"whoami", []) => Value::bulk("default"),
        (b"users", []) => Value::Array(vec![Value::bulk("default")]),
        (b"cat", []) => Value::Array(Categories::ALL.words().map(Value::bulk).collect()),
        (b"cat", [name]) => match Categories::parse(name) {
            Some(category) => {
                let specs = commands().filter(|spec| spec.subcommands.is_empty() && spec.categories().has(category));
                Value::Array(specs.map(|spec| Value::bulk(spec.name)).collect())
            }
            None => Value::error_with(&[b"ERR Unknown category '", name, b"'"]),
        },
        (b"help", _) => help(
            "ACL",
            &[
                "CAT [<category>]",
                "    Categories of commands, or the commands of one.",
                "USERS",
                "    Names of users.",
                "WHOAMI",
                "    The user of this connection.",
            ],
        ),
        _ => wrong_words(args),
    }
}
