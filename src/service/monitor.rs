//! MONITOR: what the connections of this node ask for, line by line, for whoever watches.
//!
//! A line is made once and put into the feed of each watcher; the watcher's own task writes it out. Commands that a Redis
//! keeps to itself (flag `admin`) and passwords are not shown. Invariants: while nobody watches, a command costs one
//! relaxed load; putting never waits; a watcher that leaves more unread than `client-output-buffer-limit` allows is ended.

use std::fmt::Write;
use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::task::{Poll, Waker};

use bytes::{Bytes, BytesMut};
use parking_lot::Mutex;

use super::Service;
use super::client_list::Client;
use super::session::Session;
use super::slowlog::without_secrets;
use crate::base::Millis;
use crate::command::spec::Categories;
use crate::command::{Flags, Spec};
use crate::resp::Value;

/// Who watches a node.
#[derive(Debug, Default)]
pub(super) struct Monitors {
    count: AtomicUsize,
    feeds: Mutex<Vec<Arc<Feed>>>,
}

/// Lines that wait for one watcher.
#[derive(Debug)]
pub struct Feed {
    client: Arc<Client>,
    state: Mutex<Lines>,
}

#[derive(Debug, Default)]
struct Lines {
    bytes: BytesMut,
    /// More came than the client may leave unread: it is being ended, and gets nothing more.
    overrun: bool,
    waker: Option<Waker>,
}

/// A connection that watches, as long as this exists.
#[derive(Debug)]
pub(super) struct Watching {
    monitors: Arc<Monitors>,
    pub feed: Arc<Feed>,
}

impl Monitors {
    fn join(self: &Arc<Self>, client: Arc<Client>) -> Watching {
        client.monitor.store(true, Relaxed);
        let feed = Arc::new(Feed { client, state: Mutex::default() });
        let mut feeds = self.feeds.lock();
        feeds.push(feed.clone());
        self.count.store(feeds.len(), Relaxed);
        Watching { monitors: self.clone(), feed }
    }

    fn put(&self, line: &[u8], bytes_max: u64) {
        self.feeds.lock().iter().for_each(|feed| feed.put(line, bytes_max));
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        self.feed.client.monitor.store(false, Relaxed);
        let mut feeds = self.monitors.feeds.lock();
        feeds.retain(|feed| !Arc::ptr_eq(feed, &self.feed));
        self.monitors.count.store(feeds.len(), Relaxed);
    }
}

impl Feed {
    /// Adds a line. `bytes_max` counts what is being written to the client, too; 0 is no limit.
    fn put(&self, line: &[u8], bytes_max: u64) {
        let mut state = self.state.lock();
        if state.overrun {
            return;
        }
        state.bytes.extend_from_slice(line);
        let unread = (state.bytes.len() + self.client.output_waiting.load(Relaxed)) as u64;
        if bytes_max > 0 && unread > bytes_max {
            *state = Lines { overrun: true, waker: state.waker.take(), ..Lines::default() };
            self.client.end();
        }
        if let Some(waker) = state.waker.take() {
            waker.wake();
        }
    }

    /// Moves what waits to the end of `out`.
    pub fn take(&self, out: &mut BytesMut) {
        let lines = std::mem::take(&mut self.state.lock().bytes);
        if out.is_empty() { *out = lines } else { out.extend_from_slice(&lines) }
    }

    /// Whether the client was ended for what it left unread.
    pub fn is_overrun(&self) -> bool {
        self.state.lock().overrun
    }

    /// Waits for a line. For the connection's own task only.
    pub async fn filled(&self) {
        poll_fn(|context| {
            let mut state = self.state.lock();
            if !state.bytes.is_empty() {
                return Poll::Ready(());
            }
            state.waker = Some(context.waker().clone());
            Poll::Pending
        })
        .await
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
        session.watching = Some(self.monitors.join(session.client.clone()));
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
            let line = line(self.node.now(), db, &session.client.address, &without_secrets(args));
            self.monitors.put(line.as_bytes(), self.config.output_limit().hard);
        }
    }
}

/// `+1339518083.107412 [0 127.0.0.1:60866] "keys" "*"`
fn line(now: Millis, db: u8, address: &str, args: &[Bytes]) -> String {
    let mut line = String::new();
    // Writing to a string cannot fail.
    let _ = write!(line, "+{}.{:03}000 [{db} {address}]", now.0 / 1000, now.0 % 1000);
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
            line(Millis(1_339_518_083_107), 3, "127.0.0.1:60866", &args),
            "+1339518083.107000 [3 127.0.0.1:60866] \"SET\" \"a\\\"b\\\\\" \"\\n\\r\\t\\a\\b\\x00\\x7f\\xff caf\\xc3\\xa9\" \"\"\r\n"
        );
    }
}
