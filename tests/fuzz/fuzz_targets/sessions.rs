//! Every word of the protocol, those of sessions and those that run scripts among them, from three connections of one
//! service on a node in memory: no panic, replies that decode, and whoever comes afterwards is answered.
//!
//! An input is a number of calls (`shared/words.rs`), each with two bytes before its words. The first one says which of the
//! connections asks (its two lowest bits), whether its pipeline goes on, and which text a script has; its highest bit and the
//! second byte name a command of the table.

#![no_main]

#[allow(dead_code, reason = "shared with the tests of the service")]
#[path = "../../service/table.rs"]
mod table;
#[path = "../shared/words.rs"]
mod words;

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::{Arc, LazyLock};
use std::task::{Context, Poll, Waker};

use bytes::{Buf, Bytes, BytesMut};
use holdfast::command::{self, Spec};
use holdfast::resp::parse_reply;
use holdfast::service::node::Outcome;
use holdfast::service::{Flow, Options, Service, Session};
use libfuzzer_sys::fuzz_target;
use table::{TableNode, service};
use words::{CALL_END, words};

/// Calls of one input at most.
const CALLS_MAX: usize = 24;
const CONNECTIONS: usize = 3;
/// Set in a call's first byte: its pipeline goes on with the next call.
const GOES_ON: u8 = 0x04;

/// Scripts of any other text might run for ever, and would be entitled to.
const SCRIPTS: &[&str] = &[
    "return redis.call(unpack(ARGV))",
    "return redis.pcall(unpack(KEYS))",
    "redis.setresp(3); return redis.call(unpack(ARGV))",
    "return {1, {ok='fine'}, {err='bad'}, 2.5, true, false, {map={a='b'}}, {set={x=true}}, {double=1.5}}",
    "return cjson.encode(cmsgpack.unpack(cmsgpack.pack(cjson.decode(ARGV[1]))))",
    "return struct.pack(ARGV[1], ARGV[2], ARGV[3])",
    "return bit.tohex(bit.bxor(tonumber(ARGV[1]), tonumber(ARGV[2])))",
    "return redis.error_reply(ARGV[1])",
];
const LIBRARIES: &[&str] = &[
    "#!lua name=first\nredis.register_function('one', function(keys, args) return redis.call(unpack(args)) end)",
    "#!lua name=second\nredis.register_function{function_name='two', callback=function(keys) return keys end, flags={'no-writes'}}",
    "#!lua name=broken\nredis.register_function('k', ",
];
const FUNCTIONS: &[&str] = &["one", "two", "none"];

static SPECS: LazyLock<Vec<&'static Spec>> = LazyLock::new(|| {
    let specs: Vec<_> = command::table::all().flat_map(|spec| std::iter::once(spec).chain(spec.subcommands)).collect();
    assert!(specs.len() <= 2 * usize::from(CALL_END), "{} commands are more than can be named", specs.len());
    specs
});

/// One connection, and what it was going to ask.
struct Connection {
    session: Session,
    pipeline: VecDeque<Vec<Bytes>>,
    is_open: bool,
}

impl Connection {
    fn new(service: &Service) -> Connection {
        let session = service.connect("127.0.0.1:5000".into(), "127.0.0.1:6379".into()).expect("room for a client");
        Connection { session, pipeline: VecDeque::new(), is_open: true }
    }

    /// Asks all that was gathered. What waits for somebody else (SHUTDOWN, a pause) waits for ever here: its client hangs up.
    fn ask(&mut self, service: &Service) {
        let (mut out, mut said) = (BytesMut::new(), BytesMut::new());
        while self.is_open && !self.pipeline.is_empty() {
            let answered = {
                let batch = pin!(service.handle_batch(&mut self.session, &mut self.pipeline, &mut out));
                batch.poll(&mut Context::from_waker(Waker::noop()))
            };
            let mut flow = match answered {
                Poll::Ready(flow) => flow,
                Poll::Pending => Flow::Close,
            };
            while flow == Flow::Wait {
                let Some(wait) = self.session.wait() else { break };
                let outcome = wait.blocking.outcome.as_mut().poll(&mut Context::from_waker(Waker::noop()));
                let outcome = if let Poll::Ready(outcome) = outcome { outcome } else { Outcome::Down };
                flow = service.end_wait(&mut self.session, outcome, &mut out);
            }
            self.is_open = flow != Flow::Close;
            // Sent: a command that may wait does so only once everything before it is.
            said.unsplit(out.split());
        }
        if let Some(inbox) = self.session.inbox() {
            inbox.take(&mut said, usize::MAX);
        }
        let mut left = said.freeze();
        while !left.is_empty() {
            let Some((_, length)) = parse_reply(&left) else { panic!("no reply: {}", left.escape_ascii()) };
            left.advance(length);
        }
    }
}

/// The words of a call, with a script's text where one belongs.
fn request(first: u8, second: u8, rest: &[u8]) -> Vec<Bytes> {
    let (name, text) = (usize::from(first >> 7) * usize::from(CALL_END) + usize::from(second), first >> 3 & 0x0f);
    let spec = SPECS[name % SPECS.len()];
    let mut args: Vec<Bytes> = spec.name.split('|').map(|word| Bytes::from_static(word.as_bytes())).collect();
    let pick = |texts: &'static [&str]| Bytes::from_static(texts[usize::from(text) % texts.len()].as_bytes());
    match spec.name {
        "eval" | "eval_ro" | "script|load" => args.push(pick(SCRIPTS)),
        "function|load" => args.push(pick(LIBRARIES)),
        "fcall" | "fcall_ro" => args.push(pick(FUNCTIONS)),
        // What it restores may be a library of any text.
        "function|restore" => return args,
        _ => {}
    }
    args.extend(words(rest));
    args
}

fuzz_target!(|data: &[u8]| {
    let node = TableNode::new(2);
    let service: Arc<Service> = service(&node, Options { debug_command: "yes", ..Options::default() });
    let mut connections: Vec<_> = (0..CONNECTIONS).map(|_| Connection::new(&service)).collect();
    for call in data.split(|byte| *byte == CALL_END).take(CALLS_MAX) {
        let [first, second, rest @ ..] = call else { continue };
        let connection = &mut connections[usize::from(*first & 0x03) % CONNECTIONS];
        connection.pipeline.push_back(request(*first, *second, rest));
        if first & GOES_ON == 0 {
            connection.ask(&service);
        }
    }
    for connection in &mut connections {
        connection.ask(&service);
    }
    drop(connections);
    let mut last = Connection::new(&service);
    last.pipeline.push_back(vec![Bytes::from_static(b"RESET")]);
    last.ask(&service);
    assert!(last.is_open, "who comes afterwards is not served");
});
