//! DEBUG, as far as it is about connection and server: what test suites of clients and frameworks need. What looks at
//! keys is answered where they are (`command::debug`); what would break the server, or exists only inside a Redis, is
//! refused with the reason.
//!
//! Invariant: nothing here stops another connection. DEBUG SLEEP lets the one sleep that asks for it.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use bytes::Bytes;

use super::Service;
use super::client_list::Client;
use super::session::Session;
use super::words::{help, is, wrong_words};
use crate::base::{double, glob};
use crate::command::Spec;
use crate::resp::{Protocol, Value, c_string};

/// The answer where the settings do not allow it.
const NOT_ALLOWED: &str = "ERR DEBUG command not allowed. If the enable-debug-command option is set to \"local\", you \
                           can run it from a local connection, otherwise you need to set this option in the \
                           configuration file, and then restart the server.";
const NO_TYPE: &str = "ERR Wrong protocol type name. Please use one of the following: \
                       string|integer|double|bignum|null|array|set|map|attrib|push|verbatim|true|false";
const NO_MODULES: &str = "ERR MODULE command not allowed. If the enable-module-command option is set to \"local\", you \
                          can run it from a local connection, otherwise you need to set this option in the \
                          configuration file, and then restart the server.";

/// Nobody waits longer.
const SLEEP_MAX: Duration = Duration::from_secs(365 * 86_400);

/// Words that test suites send to steer what only a Redis has, with the number of words behind them: accepted, and nothing
/// happens.
const IDLE: &[(&str, usize)] = &[
    ("pause-cron", 1),
    ("quicklist-packed-threshold", 1),
    ("replybuffer", 2),
    ("set-active-expire", 1),
    ("set-disable-deny-scripts", 1),
];

/// Words of Redis's DEBUG that are refused, by reason.
const REFUSED: &[(&str, &[&str])] = &[
    (
        "the server is not broken on purpose by a client: end its process",
        &["assert", "crash-and-recover", "leak", "oom", "panic", "restart", "segfault"],
    ),
    (
        "it looks into data structures that only a Redis has",
        &[
            "client-eviction",
            "htstats",
            "htstats-key",
            "listpack",
            "quicklist",
            "sdslen",
            "structsize",
            "stringmatch-test",
        ],
    ),
    (
        "it changes what only a Redis has",
        &["aof-flush-sleep", "config-rewrite-force-all", "mallctl", "mallctl-str", "set-skip-checksum-validation"],
    ),
    (
        "replicas cannot be made to differ, and nothing is replicated but through the log",
        &["change-repl-id", "clusterlink", "drop-cluster-packet-filter", "replicate"],
    ),
];

impl Service {
    /// Why a client may not use a command that must be allowed first.
    pub(super) fn protected(&self, session: &Session, spec: &Spec) -> Option<&'static str> {
        match spec.name.starts_with("module|") {
            true => Some(NO_MODULES),
            false => (!self.may_debug(session)).then_some(NOT_ALLOWED),
        }
    }

    /// Whether DEBUG is for this client (`enable-debug-command`).
    fn may_debug(&self, session: &Session) -> bool {
        let host = session.client.address.rsplit_once(':').map(|(host, _)| host.trim_matches(['[', ']']));
        let is_local = host.is_some_and(|host| host == "127.0.0.1" || host == "::1");
        match self.options.debug_command {
            "yes" => true,
            "local" => is_local,
            _ => false,
        }
    }

    /// `DEBUG word ...`, but for what looks at keys and what waits for the disk.
    pub(super) fn debug(&self, session: &mut Session, args: &[Bytes]) -> Value {
        let word = args[1].to_ascii_lowercase();
        match (word.as_slice(), &args[2..]) {
            (b"sleep", [seconds]) => {
                // C's strtod: what is no number is 0.
                let seconds = double::parse_loosely(seconds).unwrap_or(0.0).max(0.0);
                let time = Duration::try_from_secs_f64(seconds).unwrap_or(SLEEP_MAX).min(SLEEP_MAX);
                session.nap = Some((time, args.to_vec()));
                Value::OK
            }
            (b"error", [line]) => Value::Error(without_breaks(line).into()),
            (b"log", [message]) => {
                tracing::warn!(message = %String::from_utf8_lossy(c_string(message)).escape_debug(), "DEBUG LOG");
                Value::OK
            }
            (b"protocol", [kind]) => example(&kind.to_ascii_lowercase(), session.protocol),
            (b"stringmatch-len", [pattern, text]) => Value::Integer(glob::matches(pattern, text).into()),
            (b"reload" | b"loadaof", []) => {
                // In a block nobody waits for it.
                drop(self.node.save());
                Value::OK
            }
            (b"reload", options) => {
                match options.iter().all(|option| ["merge", "noflush", "nosave"].iter().any(|known| is(option, known)))
                {
                    true => Value::error("ERR DEBUG RELOAD with options is not offered: there is no file to load"),
                    false => Value::error("ERR DEBUG RELOAD only supports the MERGE, NOFLUSH and NOSAVE options."),
                }
            }
            (b"help", []) => help("DEBUG", HELP),
            (word, words) if IDLE.iter().any(|(idle, count)| is(word, idle) && words.len() == *count) => Value::OK,
            (word, _) => {
                let known = REFUSED.iter().find(|(_, words)| words.iter().any(|known| is(word, known)));
                match known {
                    Some((why, _)) => {
                        let name = word.to_ascii_uppercase();
                        Value::error_with(&[b"ERR DEBUG ", &name, b" is not offered: ", why.as_bytes()])
                    }
                    None => wrong_words(args),
                }
            }
        }
    }

    /// Lets a connection sleep, unless it is asked to end.
    pub(super) async fn sleep(&self, client: Arc<Client>, time: Duration) {
        let mut over = self.node.sleep(time);
        let mut ended = std::pin::pin!(client.ended());
        std::future::poll_fn(|context| {
            if over.as_mut().poll(context).is_ready() {
                std::task::Poll::Ready(())
            } else {
                ended.as_mut().poll(context)
            }
        })
        .await;
        // Not idle: it was busy sleeping.
        client.seen.store(self.node.monotonic().0, Relaxed);
    }
}

/// Whether a call of DEBUG is to save the state and load it again.
pub(super) fn is_reload(args: &[Bytes]) -> bool {
    matches!(args, [_, word] if is(word, "reload") || is(word, "loadaof"))
}

/// A line for an error reply as it is, but for what would end it.
fn without_breaks(line: &[u8]) -> Vec<u8> {
    line.iter().map(|byte| if matches!(byte, b'\r' | b'\n') { b' ' } else { *byte }).collect()
}

const ATTRIBUTE: &str = "|1\r\n$14\r\nkey-popularity\r\n*2\r\n$7\r\nkey:123\r\n:90\r\n\
                         $39\r\nSome real reply following the attribute\r\n";
const PUSH: &str = ">2\r\n$16\r\nserver-cpu-usage\r\n:42\r\n$40\r\nSome real reply following the push reply\r\n";

/// A reply of a kind, for tests of clients: Redis's own examples.
#[expect(clippy::approx_constant, reason = "the example is 3.141, not pi")]
fn example(kind: &[u8], protocol: Protocol) -> Value {
    let is_3 = protocol == Protocol::Resp3;
    let numbers = || (0..3).map(Value::Integer).collect();
    let raw = |text: &'static str| Value::Raw(Bytes::from_static(text.as_bytes()));
    match kind {
        b"string" => Value::bulk("Hello World"),
        b"integer" => Value::Integer(12345),
        b"double" => Value::Double(3.141),
        b"null" => Value::Null,
        b"array" => Value::Array(numbers()),
        b"set" => Value::Set(numbers()),
        b"map" => Value::Map((0..3).map(|number| (Value::Integer(number), Value::Boolean(number == 1))).collect()),
        b"verbatim" => Value::Verbatim("txt", "This is a verbatim\nstring".into()),
        b"true" => Value::Boolean(true),
        b"false" => Value::Boolean(false),
        b"bignum" if is_3 => raw("(1234567999999999999999999999999999999\r\n"),
        b"bignum" => Value::bulk("1234567999999999999999999999999999999"),
        b"attrib" if is_3 => raw(ATTRIBUTE),
        b"attrib" => Value::bulk("Some real reply following the attribute"),
        b"push" if is_3 => raw(PUSH),
        b"push" => Value::error("ERR RESP2 is not supported by this command"),
        _ => Value::error(NO_TYPE),
    }
}

const HELP: &[&str] = &[
    "DIGEST",
    "    A digest of all keys and values, equal for equal data sets.",
    "DIGEST-VALUE <key> [<key> ...]",
    "    A digest of each value.",
    "ERROR <line>",
    "    Reply with this error line.",
    "LOADAOF",
    "    The same as RELOAD.",
    "LOG <message>",
    "    Write a line to the log of this node.",
    "OBJECT <key>",
    "    How the value at a key is kept.",
    "POPULATE <count> [<prefix>] [<size>]",
    "    Make so many strings, unless there are such keys.",
    "PROTOCOL <type>",
    "    Reply with an example of a type of the protocol.",
    "RELOAD",
    "    Make the state of this node durable, as SAVE does; nothing has to be loaded.",
    "SET-ACTIVE-EXPIRE, QUICKLIST-PACKED-THRESHOLD, SET-DISABLE-DENY-SCRIPTS, PAUSE-CRON, REPLYBUFFER",
    "    Accepted for test suites; nothing happens.",
    "SLEEP <seconds>",
    "    Let this connection sleep.",
    "STRINGMATCH-LEN <pattern> <text>",
    "    Whether the pattern matches.",
];
