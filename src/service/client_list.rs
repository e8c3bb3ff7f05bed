//! Who is connected: what CLIENT LIST shows, what CLIENT KILL ends.
//!
//! Invariant: a connection is in the list exactly from its acceptance to the drop of its session, and only its own
//! task changes its facts; others read them, or ask it to end. The list's lock is taken when a client comes, goes
//! or is listed, never per command.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU8, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, OnceLock, Weak};
use std::task::{Poll, Waker};

use bytes::Bytes;
use parking_lot::Mutex;

use crate::base::{Millis, Nanos};
use crate::command::acl::DEFAULT;
use crate::service::pubsub::Inbox;

/// What others may know of one connection.
#[derive(Debug)]
pub struct Client {
    /// Ascending, never used twice in a process.
    pub id: u64,
    /// Where it comes from, `ip:port`.
    pub address: String,
    /// Where it arrived, `ip:port`.
    pub local: String,
    /// Wall clock when it came.
    pub since: Millis,
    /// Monotonic moment when it came.
    created: Nanos,
    /// Monotonic nanoseconds of its last request.
    pub(super) seen: AtomicU64,
    pub(super) db: AtomicU8,
    pub(super) resp3: AtomicBool,
    /// Queued commands, -1 outside MULTI.
    pub(super) queued: AtomicI64,
    pub(super) watching: AtomicBool,
    pub(super) no_evict: AtomicBool,
    pub(super) no_touch: AtomicBool,
    /// MONITOR.
    pub(super) monitor: AtomicBool,
    /// What it listens to: channels, patterns, shard channels.
    pub(super) subscriptions: [AtomicUsize; 3],
    /// CLIENT TRACKING ON.
    pub(super) tracking: AtomicBool,
    /// In mode BCAST.
    pub(super) broadcasts: AtomicBool,
    /// The client that hears for it, 0 for none, and whether that one is gone.
    pub(super) redirect: AtomicU64,
    pub(super) is_redirect_broken: AtomicBool,
    /// Where messages for it wait, once there may be any. The inbox knows its client, not the other way round.
    inbox: OnceLock<Weak<Inbox>>,
    /// Bytes of input that wait to become a request, bytes of replies that wait to be sent.
    pub input_waiting: AtomicUsize,
    /// See `input_waiting`.
    pub output_waiting: AtomicUsize,
    pub(super) labels: Mutex<Labels>,
    /// Whether it waits for a key, and whether somebody wants it to stop.
    blocked: AtomicU8,
    ending: AtomicBool,
    waker: Mutex<Option<Waker>>,
}

/// What `Client::blocked` may be.
const NOT_BLOCKED: u8 = 0;
const BLOCKED: u8 = 1;
const UNBLOCKED_AS_LATE: u8 = 2;
const UNBLOCKED_WITH_ERROR: u8 = 3;

/// What a client calls itself, and what it did last.
#[derive(Clone, Debug, Default)]
pub(super) struct Labels {
    pub name: Bytes,
    pub library: Bytes,
    pub library_version: Bytes,
    /// As whom it logged in.
    pub user: Bytes,
    pub last_command: &'static str,
}

/// All connections of this node.
#[derive(Debug, Default)]
pub struct Clients {
    last_id: AtomicU64,
    live: Mutex<BTreeMap<u64, Arc<Client>>>,
}

/// Which clients CLIENT KILL means; all conditions together.
#[derive(Clone, Debug, Default)]
pub(super) struct Filter {
    pub id: Option<u64>,
    pub address: Option<Bytes>,
    pub local: Option<Bytes>,
    /// Of which type.
    pub class: Option<Class>,
    pub user: Option<Bytes>,
    /// Seconds since it came.
    pub age_min: Option<u64>,
}

/// The types of clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    /// Those that listen to nothing.
    Normal,
    /// Those that listen to channels.
    PubSub,
    /// Types that no client here has.
    Other,
}

impl Clients {
    /// Adds a connection, unless there are `limit` already.
    pub(super) fn add(
        &self,
        address: String,
        local: String,
        limit: usize,
        since: Millis,
        now: Nanos,
    ) -> Option<Arc<Client>> {
        let mut live = self.live.lock();
        if live.len() >= limit {
            return None;
        }
        let client = Arc::new(Client {
            id: self.last_id.fetch_add(1, Relaxed) + 1,
            address,
            local,
            since,
            created: now,
            seen: AtomicU64::new(now.0),
            db: AtomicU8::new(0),
            resp3: AtomicBool::new(false),
            queued: AtomicI64::new(-1),
            watching: AtomicBool::new(false),
            no_evict: AtomicBool::new(false),
            no_touch: AtomicBool::new(false),
            monitor: AtomicBool::new(false),
            subscriptions: Default::default(),
            tracking: AtomicBool::new(false),
            broadcasts: AtomicBool::new(false),
            redirect: AtomicU64::new(0),
            is_redirect_broken: AtomicBool::new(false),
            inbox: OnceLock::new(),
            input_waiting: AtomicUsize::new(0),
            output_waiting: AtomicUsize::new(0),
            labels: Mutex::new(Labels { user: DEFAULT, ..Labels::default() }),
            blocked: AtomicU8::new(NOT_BLOCKED),
            ending: AtomicBool::new(false),
            waker: Mutex::new(None),
        });
        live.insert(client.id, client.clone());
        Some(client)
    }

    pub(super) fn remove(&self, id: u64) {
        self.live.lock().remove(&id);
    }

    /// Asks every connection to end, after what it is doing now.
    pub fn end_all(&self) {
        self.all().iter().for_each(|client| client.end());
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.live.lock().len()
    }

    /// All of them, oldest first.
    pub(super) fn all(&self) -> Vec<Arc<Client>> {
        self.live.lock().values().cloned().collect()
    }

    /// One of them.
    pub(super) fn get(&self, id: u64) -> Option<Arc<Client>> {
        self.live.lock().get(&id).cloned()
    }
}

impl Client {
    /// Asks the connection to end: its task notices at its next wait.
    pub fn end(&self) {
        self.ending.store(true, Relaxed);
        self.wake();
    }

    /// Whether somebody asked it to end.
    pub fn is_ending(&self) -> bool {
        self.ending.load(Relaxed)
    }

    /// Whether it waits for a key.
    pub fn is_blocked(&self) -> bool {
        self.blocked.load(Relaxed) != NOT_BLOCKED
    }

    /// Its command begins or ends to wait for a key.
    pub(super) fn set_blocked(&self, blocked: bool) {
        self.blocked.store(if blocked { BLOCKED } else { NOT_BLOCKED }, Relaxed);
    }

    /// CLIENT UNBLOCK: says whether it was blocked, and nobody had asked before.
    pub(super) fn unblock(&self, with_error: bool) -> bool {
        let wanted = if with_error { UNBLOCKED_WITH_ERROR } else { UNBLOCKED_AS_LATE };
        let unblocks = self.blocked.compare_exchange(BLOCKED, wanted, Relaxed, Relaxed).is_ok();
        if unblocks {
            self.wake();
        }
        unblocks
    }

    /// Whether CLIENT UNBLOCK wants it to stop waiting.
    pub fn is_unblocked(&self) -> bool {
        self.blocked.load(Relaxed) > BLOCKED
    }

    /// Whether it wants that with an error.
    pub(super) fn is_unblocked_with_error(&self) -> bool {
        self.blocked.load(Relaxed) == UNBLOCKED_WITH_ERROR
    }

    /// Waits until somebody asks the connection to end. For the connection's own task only.
    pub async fn ended(&self) {
        self.until(|| self.is_ending()).await;
    }

    /// Waits until somebody asks the connection to end, or to wait no longer for a key, or until there is `another_cause`,
    /// which whoever brings it about tells with [`Client::wake`]. For its own task only.
    pub async fn called(&self, another_cause: impl Fn() -> bool) {
        self.until(|| self.is_ending() || self.is_unblocked() || another_cause()).await;
    }

    /// Its task shall look again for what it waits.
    pub(super) fn wake(&self) {
        if let Some(waker) = self.waker.lock().take() {
            waker.wake();
        }
    }

    async fn until(&self, is_asked: impl Fn() -> bool) {
        poll_fn(|context| {
            // The slot's lock orders this check and whoever asks: a request in between finds the waker.
            let mut waker = self.waker.lock();
            if is_asked() {
                return Poll::Ready(());
            }
            match &mut *waker {
                Some(waker) => waker.clone_from(context.waker()),
                empty => *empty = Some(context.waker().clone()),
            }
            Poll::Pending
        })
        .await
    }

    /// Its inbox was opened.
    pub(super) fn set_inbox(&self, inbox: &Arc<Inbox>) {
        let _ = self.inbox.set(Arc::downgrade(inbox));
    }

    /// Where messages for it wait.
    pub(super) fn inbox(&self) -> Option<Arc<Inbox>> {
        self.inbox.get().and_then(Weak::upgrade)
    }

    /// Whether it listens to any channel.
    pub(super) fn listens(&self) -> bool {
        self.subscriptions.iter().any(|number| number.load(Relaxed) > 0)
    }

    /// Time since its last request.
    pub fn idle(&self, now: Nanos) -> std::time::Duration {
        now.since(Nanos(self.seen.load(Relaxed)))
    }

    /// Whether every condition of a filter holds.
    pub(super) fn matches(&self, filter: &Filter, now: Nanos) -> bool {
        filter.class.is_none_or(|class| class == self.class())
            && filter.id.is_none_or(|id| id == self.id)
            && filter.address.as_ref().is_none_or(|address| address == self.address.as_bytes())
            && filter.local.as_ref().is_none_or(|local| local == self.local.as_bytes())
            && filter.user.as_ref().is_none_or(|user| *user == self.labels.lock().user)
            && filter.age_min.is_none_or(|age| now.since(self.created).as_secs() >= age)
    }

    /// Its type.
    pub(super) fn class(&self) -> Class {
        if self.listens() { Class::PubSub } else { Class::Normal }
    }

    /// Its line of CLIENT LIST, without the line's end. What this server has no such thing for is 0.
    pub(super) fn describe(&self, now: Nanos) -> String {
        let labels = self.labels.lock().clone();
        let [channels, patterns, shards] = self.subscriptions.each_ref().map(|number| number.load(Relaxed));
        let (input, output) = (self.input_waiting.load(Relaxed), self.output_waiting.load(Relaxed));
        let mut line = String::new();
        // Writing to a string cannot fail.
        let _ = write!(
            line,
            "id={} addr={} laddr={} fd=-1 name={} age={} idle={} flags={} db={} sub={channels} psub={patterns} ssub={shards} multi={} qbuf={input} \
             qbuf-free=0 argv-mem=0 multi-mem=0 rbs={output} rbp={output} obl={output} oll=0 omem=0 tot-mem={} events=r cmd={} \
             user={} redir={} resp={} lib-name={} lib-ver={}",
            self.id,
            self.address,
            self.local,
            String::from_utf8_lossy(&labels.name),
            now.since(self.created).as_secs(),
            self.idle(now).as_secs(),
            self.flags(),
            self.db.load(Relaxed),
            self.queued.load(Relaxed),
            input + output + std::mem::size_of::<Client>(),
            if labels.last_command.is_empty() { "NULL" } else { labels.last_command },
            String::from_utf8_lossy(&labels.user),
            if self.tracking.load(Relaxed) { self.redirect.load(Relaxed) as i64 } else { -1 },
            if self.resp3.load(Relaxed) { 3 } else { 2 },
            String::from_utf8_lossy(&labels.library),
            String::from_utf8_lossy(&labels.library_version),
        );
        line
    }

    /// Redis's letters: O monitor, P listening, b blocked, x in MULTI, t tracking, R its redirection is
    /// broken, B it broadcasts, e no-evict, T no-touch, A ending, N none.
    fn flags(&self) -> String {
        let mut flags = String::new();
        for (set, letter) in [
            (self.monitor.load(Relaxed), 'O'),
            (self.class() == Class::PubSub, 'P'),
            (self.is_blocked(), 'b'),
            (self.queued.load(Relaxed) >= 0, 'x'),
            (self.tracking.load(Relaxed), 't'),
            (self.is_redirect_broken.load(Relaxed), 'R'),
            (self.broadcasts.load(Relaxed), 'B'),
            (self.is_ending(), 'A'),
            (self.no_evict.load(Relaxed), 'e'),
            (self.no_touch.load(Relaxed), 'T'),
        ] {
            if set {
                flags.push(letter);
            }
        }
        if flags.is_empty() {
            flags.push('N');
        }
        flags
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::Context;

    use super::*;

    fn add(clients: &Clients, limit: usize) -> Option<Arc<Client>> {
        clients.add("1.2.3.4:5".into(), "127.0.0.1:6379".into(), limit, Millis(0), Nanos(0))
    }

    #[test]
    fn the_list_is_bounded_and_ids_are_not_reused() {
        let clients = Clients::default();
        let first = add(&clients, 2).unwrap();
        let second = add(&clients, 2).unwrap();
        assert!(add(&clients, 2).is_none());
        clients.remove(second.id);
        let third = add(&clients, 2).unwrap();
        assert_eq!((first.id, second.id, third.id, clients.count()), (1, 2, 3, 2));
    }

    #[test]
    fn a_kill_wakes_the_connection() {
        let clients = Clients::default();
        let client = add(&clients, 1).unwrap();
        let mut ended = pin!(client.ended());
        let mut context = Context::from_waker(Waker::noop());
        assert!(ended.as_mut().poll(&mut context).is_pending());
        client.end();
        assert!(ended.as_mut().poll(&mut context).is_ready());
    }

    #[test]
    fn filters_hold_together() {
        let clients = Clients::default();
        let client = add(&clients, 1).unwrap();
        let now = Nanos(10_000_000_000);
        let filter = |address: &str, age| Filter {
            address: Some(address.to_string().into()),
            age_min: age,
            ..Filter::default()
        };
        assert!(client.matches(&filter("1.2.3.4:5", Some(10)), now));
        assert!(!client.matches(&filter("1.2.3.4:5", Some(11)), now));
        assert!(!client.matches(&filter("1.2.3.4:6", None), now));
        assert!(client.describe(now).starts_with("id=1 addr=1.2.3.4:5 laddr=127.0.0.1:6379 "));
        assert!(client.describe(now).contains(" age=10 idle=10 flags=N db=0 "));
    }
}
