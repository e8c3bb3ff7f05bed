//! Words about the connection itself: HELLO, AUTH, SELECT, RESET and the CLIENT family.
//!
//! Source of texts and order of checks: Redis 7.2's documented behaviour, compared with a redis-server.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use bytes::Bytes;

use super::Service;
use super::client_list::{Class, Filter};
use super::session::{Replies, Session};
use super::tracking;
use super::words::{help, integer, is, is_label, not_an_integer, syntax_error, wrong_words};
use crate::base::limits;
use crate::command::Spec;
use crate::command::acl::{DEFAULT, User};
use crate::resp::{Protocol, Value};

const BAD_NAME: &str = "ERR Client names cannot contain spaces, newlines or special characters.";
const WRONG_PASSWORD: &str = "WRONGPASS invalid username-password pair or user is disabled.";
const LOGIN_FIRST: &str = "NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO <proto> AUTH \
                           <user> <pass> option can be used to authenticate the client and select the RESP protocol version \
                           at the same time";
const NO_PASSWORD: &str = "ERR AUTH <password> called without any password configured for the default user. Are you sure your \
                           configuration is correct?";

/// What a HELLO asks for.
#[derive(Default)]
struct Hello<'a> {
    protocol: Option<Protocol>,
    login: Option<(&'a Bytes, &'a Bytes)>,
    name: Option<&'a Bytes>,
}

impl Hello<'_> {
    /// Reads all of it before anything is done: one that is wrong changes nothing (Redis 7.2).
    fn parse(args: &[Bytes]) -> Result<Hello<'_>, Value> {
        let mut hello = Hello::default();
        if let Some(version) = args.get(1) {
            hello.protocol = match integer(version) {
                Some(2) => Some(Protocol::Resp2),
                Some(3) => Some(Protocol::Resp3),
                Some(_) => return Err(Value::error("NOPROTO unsupported protocol version")),
                None => return Err(Value::error("ERR Protocol version is not an integer or out of range")),
            };
        }
        let mut rest = args.get(2..).unwrap_or_default();
        loop {
            rest = match rest {
                [] => return Ok(hello),
                [option, user, password, rest @ ..] if is(option, "auth") => {
                    hello.login = Some((user, password));
                    rest
                }
                [option, name, rest @ ..] if is(option, "setname") => {
                    if !is_label(name) {
                        return Err(Value::error(BAD_NAME));
                    }
                    hello.name = Some(name);
                    rest
                }
                [option, ..] => {
                    return Err(Value::error_with(&[b"ERR Syntax error in HELLO option '", option, b"'"]));
                }
            };
        }
    }
}

impl Service {
    /// `HELLO [version [AUTH user password] [SETNAME name]]`
    pub(super) fn hello(&self, session: &mut Session, args: &[Bytes]) -> Value {
        let hello = match Hello::parse(args) {
            Ok(hello) => hello,
            Err(refusal) => return refusal,
        };
        if let Some((user, password)) = hello.login
            && !self.log_in(session, &args[0], user, password)
        {
            return Value::error(WRONG_PASSWORD);
        }
        if !session.authenticated {
            return Value::error(LOGIN_FIRST);
        }
        if let Some(name) = hello.name {
            session.set_name(name);
        }
        if let Some(protocol) = hello.protocol {
            session.set_protocol(protocol);
        }
        let version = if session.protocol == Protocol::Resp3 { 3 } else { 2 };
        Value::Map(vec![
            (Value::bulk("server"), Value::bulk("redis")),
            (Value::bulk("version"), Value::bulk(super::REDIS_VERSION)),
            (Value::bulk("proto"), Value::Integer(version)),
            (Value::bulk("id"), Value::Integer(session.client.id as i64)),
            (Value::bulk("mode"), Value::bulk("standalone")),
            (Value::bulk("role"), Value::bulk("master")),
            (Value::bulk("modules"), Value::Array(Vec::new())),
        ])
    }

    /// The protocol that a HELLO of an authenticated client will choose, if it succeeds.
    pub(super) fn foresee_hello(&self, args: &[Bytes]) -> Option<Protocol> {
        let hello = Hello::parse(args).ok()?;
        let welcome = hello.login.is_none_or(|(user, password)| self.admitted(user, password).is_some());
        hello.protocol.filter(|_| welcome)
    }

    /// The user that a word of a block will make of the connection, if it is such a word and succeeds.
    pub(super) fn foresee_user(&self, spec: &Spec, args: &[Bytes]) -> Option<Arc<User>> {
        let (user, password) = match (spec.name, args) {
            ("auth", [_, password]) => (&DEFAULT, password),
            ("auth", [_, user, password]) => (user, password),
            ("hello", _) => Hello::parse(args).ok()?.login?,
            _ => return None,
        };
        self.admitted(user, password)
    }

    /// `AUTH [user] password`
    pub(super) fn auth(&self, session: &mut Session, args: &[Bytes]) -> Value {
        let (user, password) = match args {
            [_, _] if self.default_user().takes_any_password() => return Value::error(NO_PASSWORD),
            [_, password] => (&DEFAULT, password),
            [_, user, password] => (user, password),
            _ => return syntax_error(),
        };
        if self.log_in(session, &args[0], user, password) { Value::OK } else { Value::error(WRONG_PASSWORD) }
    }

    /// `SELECT db`
    pub(super) fn select(&self, session: &mut Session, args: &[Bytes]) -> Value {
        match integer(&args[1]) {
            None => not_an_integer(),
            Some(db) if (0..i64::from(limits::DATABASES)).contains(&db) => {
                session.set_db(db as u8);
                Value::OK
            }
            Some(_) => Value::error("ERR DB index is out of range"),
        }
    }

    /// `RESET`
    pub(super) fn reset(&self, session: &mut Session) -> Value {
        session.reset(&self.default_user());
        Value::Simple("RESET".into())
    }

    /// `CLIENT subcommand ...`
    pub(super) fn client(&self, session: &mut Session, args: &[Bytes]) -> Value {
        let client = &session.client;
        let now = self.node.monotonic();
        let on_off = |flag: &std::sync::atomic::AtomicBool, word: &Bytes| {
            if !is(word, "on") && !is(word, "off") {
                return syntax_error();
            }
            flag.store(is(word, "on"), Relaxed);
            Value::OK
        };
        match (args[1].to_ascii_lowercase().as_slice(), &args[2..]) {
            (b"id", []) => Value::Integer(client.id as i64),
            (b"info", []) => Value::Verbatim("txt", (client.describe(now) + "\n").into()),
            (b"getname", []) => match client.labels.lock().name.clone() {
                name if name.is_empty() => Value::Null,
                name => Value::Bulk(name),
            },
            (b"setname", [name]) if is_label(name) => {
                session.set_name(name);
                Value::OK
            }
            (b"setname", [_]) => Value::error(BAD_NAME),
            (b"setinfo", [option, value]) => set_info(session, option, value),
            (b"list", filter) => self.client_list(filter),
            (b"kill", filter) => self.client_kill(session, filter),
            (b"reply", [mode]) => {
                session.replies = match mode.to_ascii_lowercase().as_slice() {
                    b"on" => Replies::On,
                    b"off" => Replies::Off,
                    b"skip" if session.replies == Replies::Off => Replies::Off,
                    b"skip" => Replies::SkipNext,
                    _ => return syntax_error(),
                };
                Value::OK
            }
            (b"no-evict", [word]) => on_off(&client.no_evict, word),
            (b"no-touch", [word]) => on_off(&client.no_touch, word),
            (b"unblock", [id, reason @ ..]) if reason.len() <= 1 => match (reason, integer(id)) {
                ([word], _) if !is(word, "timeout") && !is(word, "error") => {
                    Value::error("ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR")
                }
                (_, None) => not_an_integer(),
                (reason, Some(id)) => {
                    let client = u64::try_from(id).ok().and_then(|id| self.clients.get(id));
                    let with_error = reason.first().is_some_and(|word| is(word, "error"));
                    Value::Integer(client.is_some_and(|client| client.unblock(with_error)).into())
                }
            },
            (b"getredir", []) => tracking::redirection(session),
            (b"trackinginfo", []) => tracking::info(session),
            (b"caching", [mode]) => tracking::caching(session, mode),
            (b"tracking", [mode, options @ ..]) => self.tracking(session, mode, options),
            (b"pause", words) if (1..=2).contains(&words.len()) => self.pause_clients(words),
            (b"unpause", []) => self.unpause_clients(),
            (b"maint_notifications", words) => self.hear_moves(session, words),
            (b"help", _) => help("CLIENT", HELP),
            _ => wrong_words(args),
        }
    }

    /// `CLIENT LIST [TYPE type | ID id ...]`
    fn client_list(&self, filter: &[Bytes]) -> Value {
        let now = self.node.monotonic();
        let clients = match filter {
            [] => self.clients.all(),
            [word, kind] if is(word, "type") => match class(kind) {
                Some(class) => self.clients.all().into_iter().filter(|client| client.class() == class).collect(),
                None => return Value::error_with(&[b"ERR Unknown client type '", kind, b"'"]),
            },
            [word, ids @ ..] if is(word, "id") && !ids.is_empty() => {
                let mut found = Vec::new();
                for id in ids {
                    match integer(id) {
                        Some(id) => found.extend(u64::try_from(id).ok().and_then(|id| self.clients.get(id))),
                        None => return Value::error("ERR Invalid client ID"),
                    }
                }
                found
            }
            _ => return syntax_error(),
        };
        let lines: String = clients.iter().map(|client| client.describe(now) + "\n").collect();
        Value::Verbatim("txt", lines.into())
    }

    /// `CLIENT KILL address` or `CLIENT KILL option value ...`
    fn client_kill(&self, session: &mut Session, words: &[Bytes]) -> Value {
        let mut filter = Filter::default();
        let mut skip_me = true;
        if let [address] = words {
            filter.address = Some(address.clone());
            return match self.kill(session, &filter, false) {
                0 => Value::error("ERR No such client"),
                _ => Value::OK,
            };
        }
        for pair in words.chunks(2) {
            let [option, value] = pair else { return syntax_error() };
            match option.to_ascii_lowercase().as_slice() {
                b"id" => match integer(value).and_then(|id| u64::try_from(id).ok()).filter(|id| *id > 0) {
                    Some(id) => filter.id = Some(id),
                    None => return Value::error("ERR client-id should be greater than 0"),
                },
                b"addr" => filter.address = Some(value.clone()),
                b"laddr" => filter.local = Some(value.clone()),
                b"type" => match class(value) {
                    Some(class) => filter.class = Some(class),
                    None => return Value::error_with(&[b"ERR Unknown client type '", value, b"'"]),
                },
                b"user" if self.user(value).is_some() => filter.user = Some(value.clone()),
                b"user" => return Value::error_with(&[b"ERR No such user '", value, b"'"]),
                b"skipme" if is(value, "yes") => skip_me = true,
                b"skipme" if is(value, "no") => skip_me = false,
                b"maxage" => match integer(value).map(u64::try_from) {
                    Some(Ok(age)) if age > 0 => filter.age_min = Some(age),
                    Some(_) => return Value::error("ERR maxage should be greater than 0"),
                    None => return Value::error("ERR maxage is not an integer or out of range"),
                },
                _ => return syntax_error(),
            }
        }
        Value::Integer(self.kill(session, &filter, skip_me))
    }

    fn kill(&self, session: &mut Session, filter: &Filter, skip_me: bool) -> i64 {
        let now = self.node.monotonic();
        let mut killed = 0;
        for client in self.clients.all() {
            let me = client.id == session.client.id;
            if client.matches(filter, now) && !(me && skip_me) {
                killed += 1;
                if me {
                    // The reply to this very command is still sent.
                    session.closing = true;
                } else {
                    client.end();
                }
            }
        }
        killed
    }
}

/// The type of clients that a word means; `None` for a word that is no type.
fn class(word: &[u8]) -> Option<Class> {
    match word.to_ascii_lowercase().as_slice() {
        b"normal" => Some(Class::Normal),
        b"pubsub" => Some(Class::PubSub),
        b"slave" | b"replica" | b"master" => Some(Class::Other),
        _ => None,
    }
}

/// `CLIENT SETINFO LIB-NAME name` and `LIB-VER version`
fn set_info(session: &Session, option: &Bytes, value: &Bytes) -> Value {
    let mut labels = session.client.labels.lock();
    let label = match option.to_ascii_lowercase().as_slice() {
        b"lib-name" => &mut labels.library,
        b"lib-ver" => &mut labels.library_version,
        _ => return Value::error_with(&[b"ERR Unrecognized option '", option, b"'"]),
    };
    if !is_label(value) {
        return Value::error_with(&[b"ERR ", option, b" cannot contain spaces, newlines or special characters."]);
    }
    *label = Bytes::copy_from_slice(value);
    Value::OK
}

const HELP: &[&str] = &[
    "CACHING (YES|NO)",
    "    Whether the keys of the next command are tracked, in the modes OPTIN and OPTOUT.",
    "GETNAME",
    "    The name of this connection.",
    "GETREDIR",
    "    Which connection hears of keys that this one tracks: -1 if it tracks none, 0 for itself.",
    "ID",
    "    The id of this connection.",
    "INFO",
    "    One line about this connection.",
    "KILL (<ip:port> | [ID id] [ADDR ip:port] [LADDR ip:port] [TYPE type] [USER user] [SKIPME yes|no] [MAXAGE seconds])",
    "    End connections.",
    "LIST [TYPE (NORMAL|MASTER|REPLICA|PUBSUB) | ID id [id ...]]",
    "    One line about each connection.",
    "MAINT_NOTIFICATIONS (ON|OFF) [MOVING-ENDPOINT-TYPE type]",
    "    Whether the connection is told (RESP3) before and after leadership moves on purpose, and of the end of its node.",
    "NO-EVICT (ON|OFF)",
    "    Shown by LIST; no client is evicted here.",
    "NO-TOUCH (ON|OFF)",
    "    Whether the connection's commands leave the idle times of keys alone.",
    "PAUSE <timeout> [WRITE|ALL]",
    "    Let the connections of this node wait before their next command, for so many milliseconds.",
    "REPLY (ON|OFF|SKIP)",
    "    Whether replies are sent.",
    "SETINFO (LIB-NAME|LIB-VER) <value>",
    "    What the library calls itself.",
    "SETNAME <name>",
    "    Name this connection.",
    "TRACKING (ON|OFF) [REDIRECT id] [PREFIX prefix [PREFIX prefix ...]] [BCAST] [OPTIN] [OPTOUT] [NOLOOP]",
    "    Whether this connection is told when keys change that it read, or keys with a prefix.",
    "TRACKINGINFO",
    "    How this connection tracks keys.",
    "UNBLOCK <id> [TIMEOUT|ERROR]",
    "    End the wait of a connection for a key, as if its time were over or with an error.",
    "UNPAUSE",
    "    End a pause.",
];
