//! Words about the server: TIME, ROLE, WAIT, CONFIG, SLOWLOG, LATENCY, COMMAND, and where each session word is answered.

use bytes::Bytes;

use super::config::Config;
use super::populate::is_populate;
use super::pubsub::is_word;
use super::session::Session;
use super::words::{help, integer, not_an_integer, syntax_error, wrong_words};
use super::{Service, cluster, refused, scripts};
use crate::command::acl::DEFAULT;
use crate::command::pubsub::pubsub;
use crate::command::{Spec, events, introspect};
use crate::resp::{Protocol, Value};

impl Service {
    /// Answers a word of the session that was checked against the table. Words that change facts of the cluster wait until
    /// they are changed.
    pub(super) async fn answer_word(&self, session: &mut Session, spec: &'static Spec, args: &[Bytes]) -> Value {
        let value = match spec.name {
            "acl|setuser" => self.set_user(args).await,
            "cluster|forget" => self.forget(&args[2]).await,
            "acl|deluser" => self.delete_users(args).await,
            "config|set" => self.config_set(&args[2..]).await,
            "config|get" => self.config_get(&args[2..]).await,
            "script|kill" => self.kill_scripts(false).await,
            "function|kill" => self.kill_scripts(true).await,
            "function|stats" => self.function_stats(session).await,
            "debug" if is_populate(args) => self.populate(session, args).await,
            _ => return self.answer(session, spec, args),
        };
        self.refresh_rights(session);
        value
    }

    /// Answers a word that needs nothing but this node.
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
            "debug" => self.debug(session, args),
            "latency" => self.latency(args),
            "memory" => self.memory(args),
            // Only a block comes here with it.
            "monitor" => self.monitor(session).unwrap_or(Value::OK),
            "role" => self.role(),
            "slowlog" => self.slowlog(args),
            "pubsub" => pubsub(&*self.hub, args),
            "script" => scripts::debug(&args[2]),
            "time" => {
                let now = self.node.now_micros();
                let parts = [now / 1_000_000, now % 1_000_000];
                Value::Array(parts.map(|part| Value::bulk(part.to_string())).to_vec())
            }
            "wait" => self.wait(args),
            "waitaof" => self.wait_aof(args),
            "acl" => self.acl(session, args),
            "module" => match args[1].to_ascii_lowercase().as_slice() {
                b"list" => Value::Array(Vec::new()),
                b"help" => help("MODULE", &["LIST", "    Loaded modules: none, always."]),
                _ => wrong_words(args),
            },
            "bgsave" => self.save_in_background(session, args),
            "bgrewriteaof" => self.rewrite_in_background(session),
            "failover" => self.failover(args),
            "replicaof" | "slaveof" | "psync" | "sync" | "replconf" | "migrate" | "swapdb" => {
                refused::answer(container, args)
            }
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

    /// `CONFIG GET pattern ...`: of this node, but for the events, which are the groups'. They are asked for where they
    /// are shown; if no group answers, CONFIG GET of several parameters shows what was known last.
    async fn config_get(&self, patterns: &[Bytes]) -> Value {
        if Config::shows(patterns, events::PARAMETER) {
            match self.events().await {
                Ok(letters) => self.config.know(events::PARAMETER, letters),
                Err(refusal) if patterns.iter().all(|name| name.eq_ignore_ascii_case(events::PARAMETER.as_bytes())) => {
                    return refusal;
                }
                Err(_) => {}
            }
        }
        self.config.matching(patterns)
    }

    /// `CONFIG SET parameter value ...`: of this node, but for `requirepass`, which is the password of the default user,
    /// and the events that all groups tell.
    async fn config_set(&self, pairs: &[Bytes]) -> Value {
        if pairs.len() % 2 == 1 {
            return syntax_error();
        }
        let changes = match self.config.checked(pairs) {
            Ok(changes) => changes,
            Err(refusal) => return refusal,
        };
        if let Some((_, password)) = changes.iter().find(|(name, _)| *name == "requirepass") {
            let rules = match &password[..] {
                [] => vec![Bytes::from_static(b"nopass")],
                password => vec![Bytes::from_static(b"resetpass"), [b">", password].concat().into()],
            };
            if let Err(refusal) = self.change_user(&DEFAULT, &rules).await {
                return refusal;
            }
        }
        // As they were given: where all types are told, what is shown says nothing of `n`.
        let is_parameter = |name: &Bytes| name.eq_ignore_ascii_case(events::PARAMETER.as_bytes());
        if let Some(pair) = pairs.chunks(2).find(|pair| is_parameter(&pair[0]))
            && let Err(refusal) = self.set_events(pair[1].clone()).await
        {
            return refusal;
        }
        let changes = self.config.commit(changes);
        self.hub.set_limit(self.config.listeners_limit());
        self.moves.set_limit(self.config.listeners_limit());
        self.trackers.configure(self.config.listeners_limit(), &self.config.get("tracking-table-max-keys"));
        for (parameter, value) in changes {
            if parameter == "latency-monitor-threshold" {
                self.latency.set_threshold(value.parse().unwrap_or(0));
            }
            self.node.configure(parameter, &value);
        }
        Value::OK
    }

    fn config_word(&self, args: &[Bytes]) -> Value {
        match (args[1].to_ascii_lowercase().as_slice(), &args[2..]) {
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
                    "    Change parameters of this node, until it restarts; notify-keyspace-events and requirepass of the \
                     cluster, for good.",
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
}
