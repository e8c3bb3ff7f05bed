//! MONITOR: what the connections of this node ask for, line by line, for whoever watches.
//!
//! A line is made once and put into the inbox of each watcher; the watcher's own task writes it out. Commands that a Redis
//! keeps to itself (flag `admin`) and passwords are not shown. Invariants: while nobody watches, a command costs one
//! relaxed load; putting never waits; a watcher that leaves more unread than `client-output-buffer-limit` allows is ended.

use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use bytes::Bytes;
use parking_lot::Mutex;

use super::Service;
use super::client_list::Client;
use super::output_limits::Limit;
use super::pubsub::Inbox;
use super::session::Session;
use super::slowlog::without_secrets;
use crate::base::Nanos;
use crate::command::spec::Categories;
use crate::command::{Flags, Spec};
use crate::resp::Value;

/// Who watches a node.
#[derive(Debug, Default)]
pub(super) struct Monitors {
    count: AtomicUsize,
    inboxes: Mutex<Vec<Arc<Inbox>>>,
}

/// A connection that watches, as long as this exists.
#[derive(Debug)]
pub(super) struct Watching {
    monitors: Arc<Monitors>,
    client: Arc<Client>,
    inbox: Arc<Inbox>,
}

impl Monitors {
    fn join(self: &Arc<Self>, client: Arc<Client>, inbox: Arc<Inbox>) -> Watching {
        client.monitor.store(true, Relaxed);
        let mut inboxes = self.inboxes.lock();
        inboxes.push(inbox.clone());
        self.count.store(inboxes.len(), Relaxed);
        Watching { monitors: self.clone(), client, inbox }
    }

    fn put(&self, line: &Bytes, now: Nanos, limit: Limit) {
        self.inboxes.lock().iter().for_each(|inbox| inbox.put(line.clone(), now, limit));
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        self.client.monitor.store(false, Relaxed);
        let mut inboxes = self.monitors.inboxes.lock();
        inboxes.retain(|inbox| !Arc::ptr_eq(inbox, &self.inbox));
        self.monitors.count.store(inboxes.len(), Relaxed);
    }
}

impl Service {
    /// `MONITOR`; `None` for one that watches already, which hears nothing new.
    pub(super) fn monitor(&self, session: &mut Session) -> Option<Value> {
        if session.in_block {
            return Some(Value::error("ERR MONITOR isn't allowed for DENY BLOCKING client"));
        }
        if session.watching.is_some() {
            return None;
        }
        let inbox = session.open_inbox();
        session.watching = Some(self.monitors.join(session.client.clone(), inbox));
        Some(Value::OK)
    }

    /// Whether anybody watches.
    pub(super) fn is_watched(&self) -> bool {
        self.monitors.count.load(Relaxed) > 0
    }

    /// Shows a call to whoever watches.
    pub(super) fn show(&self, session: &Session, spec: &Spec, db: u8, args: &[Bytes]) {
        const SECRET: Flags = Flags::of("admin");
        const SKIPPED: Flags = Flags::of("skip_monitor");
        const SCRIPTS: Categories = Categories::of("scripting");
        // Redis shows the calls of a script behind it. Here they run on the leader's node: the script is all there is.
        let is_skipped = spec.flags.has(SKIPPED) && !spec.own_categories.has(SCRIPTS);
        if self.is_watched() && !spec.flags.has(SECRET) && !is_skipped {
            let line = line(self.node.now_micros(), db, &session.client.address, &without_secrets(args));
            self.monitors.put(&line.into(), self.node.monotonic(), self.config.output_limit());
        }
    }
}

/// `+1339518083.107412 [0 127.0.0.1:60866] "keys" "*"`
fn line(now: u64, db: u8, address: &str, args: &[Bytes]) -> String {
    let mut line = String::new();
    // Writing to a string cannot fail.
    let _ = write!(line, "+{}.{:06} [{db} {address}]", now / 1_000_000, now % 1_000_000);
    for arg in args {
        line.push_str(" \"");
        for byte in arg {
            match byte {
                b'\\' | b'"' => line.extend(['\\', char::from(*byte)]),
                b'\n' => line.push_str("\\n"),
                b'\r' => line.push_str("\\r"),
                b'\t' => line.push_str("\\t"),
                7 => line.push_str("\\a"),
                8 => line.push_str("\\b"),
                b' '..=b'~' => line.push(char::from(*byte)),
                _ => {
                    let _ = write!(line, "\\x{byte:02x}");
                }
            }
        }
        line.push('"');
    }
    line.push_str("\r\n");
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_redis_lines() {
        let args = [&b"SET"[..], b"a\"b\\", b"\n\r\t\x07\x08\x00\x7f\xff caf\xc3\xa9", b""].map(Bytes::from_static);
        assert_eq!(
            line(1_339_518_083_107_412, 3, "127.0.0.1:60866", &args),
            "+1339518083.107412 [3 127.0.0.1:60866] \"SET\" \"a\\\"b\\\\\" \"\\n\\r\\t\\a\\b\\x00\\x7f\\xff caf\\xc3\\xa9\" \"\"\r\n"
        );
    }
}
