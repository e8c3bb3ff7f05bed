//! CLIENT PAUSE: connections of this node wait before their next command, all of them or those that write, until some
//! moment or CLIENT UNPAUSE.
//!
//! Only connections wait. Raft, other nodes' connections and what is under way go on, and so do due keys: they end by
//! the time of their group, of which one node is no master. Invariant: while nothing is paused, a command costs one
//! relaxed load.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::task::{Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;

use super::Service;
use super::client_list::Client;
use super::session::Session;
use super::words::{integer, is};
use crate::base::Nanos;
use crate::command::{self, Flags};
use crate::resp::Value;

/// The pause of a node's connections.
#[derive(Debug, Default)]
pub(super) struct Pause {
    /// Monotonic nanoseconds at which it ends, 0 for none.
    until: AtomicU64,
    /// Whether commands that only read go on.
    writes_only: AtomicBool,
    /// Connections that wait. The lock orders the end of a pause and those that come to wait for it.
    waiting: Mutex<Vec<Waker>>,
}

impl Pause {
    /// Whether there may be one: cheap, and true a little longer than there is.
    pub fn is_on(&self) -> bool {
        self.until.load(Relaxed) != 0
    }

    /// Pauses so many milliseconds from now on. One that is on already is only made longer and stricter.
    fn begin(&self, now: Nanos, millis: u64, writes_only: bool) {
        let _waiting = self.waiting.lock();
        let present = self.until.load(Relaxed);
        let is_on = present > now.0;
        let stays_strict = is_on && !self.writes_only.load(Relaxed);
        self.writes_only.store(writes_only && !stays_strict, Relaxed);
        let until = now.0.saturating_add(millis.saturating_mul(1_000_000)).max(1);
        self.until.store(if is_on { until.max(present) } else { until }, Relaxed);
    }

    fn end(&self) {
        let mut waiting = self.waiting.lock();
        self.until.store(0, Relaxed);
        waiting.drain(..).for_each(Waker::wake);
    }

    /// Forgets a pause that is over.
    fn expire(&self, now: Nanos) {
        if self.until.load(Relaxed) <= now.0 {
            self.end();
        }
    }

    /// How much longer a command waits, if it does.
    fn left(&self, now: Nanos, writes: bool) -> Option<Duration> {
        let until = self.until.load(Relaxed);
        let holds = until > now.0 && (writes || !self.writes_only.load(Relaxed));
        holds.then(|| Duration::from_nanos(until - now.0))
    }

    /// Whoever waits is woken at the end; false if there is no pause any more.
    fn register(&self, waker: &Waker) -> bool {
        let mut waiting = self.waiting.lock();
        if self.until.load(Relaxed) == 0 {
            return false;
        }
        // Once per wait, mostly: who waits is woken by the end of its wait only.
        waiting.push(waker.clone());
        true
    }
}

impl Service {
    /// `CLIENT PAUSE timeout [WRITE|ALL]`
    pub(super) fn pause_clients(&self, words: &[Bytes]) -> Value {
        let (timeout, writes_only) = match words {
            [timeout] => (timeout, false),
            [timeout, mode] if is(mode, "all") => (timeout, false),
            [timeout, mode] if is(mode, "write") => (timeout, true),
            _ => return Value::error("ERR CLIENT PAUSE mode must be WRITE or ALL"),
        };
        match integer(timeout).map(u64::try_from) {
            Some(Ok(millis)) => {
                self.pause.begin(self.node.monotonic(), millis, writes_only);
                Value::OK
            }
            Some(Err(_)) => Value::error("ERR timeout is negative"),
            None => Value::error("ERR timeout is not an integer or out of range"),
        }
    }

    /// `CLIENT UNPAUSE`
    pub(super) fn unpause_clients(&self) -> Value {
        self.pause.end();
        Value::OK
    }

    /// How much longer a request waits, if it does: what is refused anyway does not, and with ALL everything else does,
    /// CLIENT UNPAUSE too.
    pub(super) fn paused(&self, session: &Session, args: &[Bytes]) -> Option<Duration> {
        const MAY_REPLICATE: Flags = Flags::of("may_replicate");
        let now = self.node.monotonic();
        let Some(left) = self.pause.left(now, true) else {
            self.pause.expire(now);
            return None;
        };
        let spec = command::check(args).ok().filter(|_| session.authenticated)?;
        let writes = spec.may_write()
            || spec.flags.has(MAY_REPLICATE)
            // It writes its estimate down, though COMMAND calls it a read.
            || spec.name == "pfcount"
            || (spec.name == "exec" && session.transaction.as_ref().is_some_and(|block| block.may_write()));
        (writes || !self.pause.writes_only.load(Relaxed)).then_some(left)
    }

    /// Lets a connection wait for the end of the pause, or until it is asked to end.
    pub(super) async fn wait_out(&self, client: Arc<Client>, left: Duration) {
        let mut over = self.node.sleep(left);
        let mut ended = std::pin::pin!(client.ended());
        poll_fn(|context| {
            let goes_on = !self.pause.register(context.waker())
                || over.as_mut().poll(context).is_ready()
                || ended.as_mut().poll(context).is_ready();
            if goes_on { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MILLI: u64 = 1_000_000;

    fn left(pause: &Pause, at: u64, writes: bool) -> Option<u64> {
        pause.left(Nanos(at * MILLI), writes).map(|left| left.as_millis() as u64)
    }

    #[test]
    fn a_pause_gets_longer_and_stricter_only() {
        let pause = Pause::default();
        let begin = |at: u64, millis, writes_only| pause.begin(Nanos(at * MILLI), millis, writes_only);
        assert!(!pause.is_on());
        begin(10, 100, true);
        assert_eq!((left(&pause, 20, true), left(&pause, 20, false)), (Some(90), None));
        begin(20, 10, false);
        assert_eq!((left(&pause, 20, true), left(&pause, 20, false)), (Some(90), Some(90)));
        begin(30, 500, true);
        assert_eq!(left(&pause, 30, false), Some(500), "ALL stays ALL");
        assert_eq!(left(&pause, 530, true), None);
        begin(600, 5, true);
        assert_eq!((left(&pause, 601, true), left(&pause, 601, false)), (Some(4), None), "a new one starts anew");
        begin(600, u64::MAX, true);
        assert!(left(&pause, 1 << 40, true).is_some());
        pause.begin(Nanos(0), 1, true);
        pause.expire(Nanos(1));
        assert!(pause.is_on());
        pause.end();
        assert!(!pause.is_on() && !pause.register(Waker::noop()));
    }
}
