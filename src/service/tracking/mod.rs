//! Client-side caching: which clients of this node keep copies of what, and telling them when it changes (CLIENT
//! TRACKING).
//!
//! A node applies every entry of the groups that have a replica here, and an entry's records tell which keys it changed.
//! So whoever leads, and whoever wrote, the node that a client is connected to hears of the change by itself; there is
//! nothing that a change of leader could lose.
//!
//! - [`Trackers`]: the table of a node; `tracker`: one client in it; `notice`: the bytes; `late`: reads of scripts;
//!   `words`: CLIENT TRACKING and its relatives.
//!
//! # Why no change is missed
//!
//! A key is in the table before the read is evaluated ([`Trackers::remember`]). The read is linearizable, so it shows
//! everything that this node had applied by then; everything later finds the key in the table. A notice waits in the
//! connection's inbox, behind the replies to what was asked before: where it comes while the read is under way, the
//! client gets the value first and then hears that it is old. What a script reads is known when it is answered; until
//! then it is noted what changes (`late`). Where changes may have been missed (a snapshot was
//! installed, the leader is not heard any more) everybody hears that everything changed.
//!
//! Invariant: a client that was told of a key is not in the table under it any more, until it reads it again.

mod late;
mod notice;
#[cfg(test)]
mod tests;
mod tracker;
mod words;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering, fence};

use bytes::Bytes;
use parking_lot::{Mutex, RwLock};

use self::late::Late;
pub(super) use self::tracker::Tracked;
use self::tracker::Tracker;
pub(super) use self::words::{caching, info, redirection};
use super::output_limits::Limit;
use crate::base::{Changed, Nanos, limits};

/// What a key of the table takes beside its bytes, and what each client under it takes.
const KEY_BYTES: usize = 64;
const READER_BYTES: usize = 8;

/// The clients of a node that keep copies, and of what.
#[derive(Debug)]
pub struct Trackers {
    /// Whether there are any: what machines look at for each write.
    is_on: Arc<AtomicBool>,
    table: Mutex<Table>,
    /// `client-output-buffer-limit` of those who are told things.
    limit: RwLock<Limit>,
    /// `tracking-table-max-keys`, 0 for any number.
    keys_max: AtomicUsize,
}

#[derive(Debug, Default)]
struct Table {
    trackers: BTreeMap<u64, Arc<Tracker>>,
    /// Who has read a key since it was last told of. Some may be gone.
    readers: BTreeMap<Bytes, Vec<u64>>,
    /// Who wants to hear of all keys with a prefix.
    prefixes: BTreeMap<Bytes, BTreeSet<u64>>,
    /// What changes while scripts of clients are under way.
    late: Late,
    /// Clients under keys, all together.
    items: usize,
    /// Memory of keys and prefixes, roughly.
    bytes: usize,
}

/// What INFO tells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Figures {
    pub keys: usize,
    pub items: usize,
    pub prefixes: usize,
}

/// The table takes all the memory that it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Full;

impl Default for Trackers {
    fn default() -> Trackers {
        Trackers {
            is_on: Arc::default(),
            table: Mutex::default(),
            limit: RwLock::default(),
            keys_max: AtomicUsize::new(limits::TRACKED_KEYS_MAX),
        }
    }
}

impl Trackers {
    /// Whether anybody wants to hear of changes, for the machines.
    pub fn is_on(&self) -> Arc<AtomicBool> {
        self.is_on.clone()
    }

    /// Tells of changes that can be read by now. Called for every entry that is applied while somebody tracks, by the
    /// thread that applied it: waits for nobody but other users of the table.
    pub fn changed(&self, now: Nanos, changes: &[Changed]) {
        let limit = *self.limit.read();
        let mut table = self.table.lock();
        table.late.note(changes);
        if changes.contains(&Changed::Everything) {
            table.forget_keys();
            table.trackers.values().for_each(|tracker| tracker.tell(None, now, limit));
            return;
        }
        let mut wanted: BTreeMap<u64, BTreeSet<&Bytes>> = BTreeMap::new();
        for change in changes {
            let Changed::Key { key, author } = change else { continue };
            table.tell_readers(key, *author, now, limit);
            for (_, ids) in table.prefixes.iter().filter(|(prefix, _)| key.starts_with(prefix)) {
                for id in ids.iter().filter(|id| !table.is_own(**id, *author)) {
                    wanted.entry(*id).or_default().insert(key);
                }
            }
        }
        for (id, keys) in wanted {
            if let Some(tracker) = table.trackers.get(&id) {
                tracker.tell(Some(&keys.into_iter().collect::<Vec<_>>()), now, limit);
            }
        }
    }

    /// Changes may have been missed here.
    pub fn missed(&self, now: Nanos) {
        if self.is_on.load(Ordering::Relaxed) {
            self.changed(now, &[Changed::Everything]);
        }
    }

    pub(super) fn set_limit(&self, limit: Limit) {
        *self.limit.write() = limit;
    }

    pub(super) fn set_keys_max(&self, keys_max: usize) {
        self.keys_max.store(keys_max, Ordering::Relaxed);
    }

    pub(super) fn figures(&self) -> Figures {
        let table = self.table.lock();
        Figures { keys: table.readers.len(), items: table.items, prefixes: table.prefixes.len() }
    }

    /// A client is about to read keys. A full table forgets others, which those who read them hear.
    pub(super) fn remember<'k>(&self, id: u64, keys: impl Iterator<Item = &'k [u8]>, now: Nanos) {
        {
            let limit = *self.limit.read();
            let mut table = self.table.lock();
            for key in keys {
                table.add_reader(key, id);
            }
            table.make_room(self.keys_max(), now, limit);
        }
        // The read comes after this, see `Machine::tells_changes`.
        fence(Ordering::SeqCst);
    }

    /// A client's script is about to read keys, which it tells with its answer: [`Trackers::remember_late`] follows.
    pub(super) fn expect_reads(&self, id: u64) {
        self.table.lock().late.begin(id);
        // As in `remember`.
        fence(Ordering::SeqCst);
    }

    /// A client's scripts were answered, all of them, and read these keys. Of those that changed meanwhile it hears now.
    /// With an answer that does not name its keys ([`crate::command::batch::UnitReply::Read`]) it hears that everything
    /// changed.
    pub(super) fn remember_late(&self, id: u64, answers: &[Vec<Bytes>], now: Nanos) {
        let limit = *self.limit.read();
        let mut table = self.table.lock();
        let Some((since, tracker)) = table.late.since(id).zip(table.trackers.get(&id).cloned()) else { return };
        let keys = answers.iter().flatten();
        let (old, new): (Vec<&Bytes>, Vec<&Bytes>) = keys.partition(|key| since.may_have_changed(key, tracker.author));
        table.late.end(id);
        if answers.iter().any(Vec::is_empty) {
            tracker.tell(None, now, limit);
        }
        for key in old {
            tracker.tell(Some(&[key]), now, limit);
        }
        for key in new {
            table.add_reader(key, id);
        }
        table.make_room(self.keys_max(), now, limit);
    }

    fn keys_max(&self) -> usize {
        match self.keys_max.load(Ordering::Relaxed) {
            0 => usize::MAX,
            most => most,
        }
    }

    /// Tells a client of keys, whether it is known to have read them or not.
    pub(super) fn doubt<'k>(&self, id: u64, keys: impl Iterator<Item = &'k [u8]>, now: Nanos) {
        let (limit, table) = (*self.limit.read(), self.table.lock());
        if let Some(tracker) = table.trackers.get(&id) {
            keys.for_each(|key| tracker.tell(Some(&[&Bytes::copy_from_slice(key)]), now, limit));
        }
    }

    /// A client is to be told of changes from now on, in the manner that this says; one that was already goes on.
    fn join(&self, tracker: Tracker) {
        let mut table = self.table.lock();
        table.trackers.insert(tracker.id(), Arc::new(tracker));
        self.is_on.store(true, Ordering::SeqCst);
    }

    /// A client wants to hear of all keys with a prefix.
    fn broadcast(&self, id: u64, prefix: &Bytes) -> Result<(), Full> {
        let mut table = self.table.lock();
        let bytes = prefix.len() + KEY_BYTES;
        if table.bytes + bytes > limits::TRACKED_BYTES_MAX {
            return Err(Full);
        }
        if table.prefixes.entry(prefix.clone()).or_default().insert(id) {
            table.bytes += bytes;
        }
        Ok(())
    }

    /// A client is not told of anything any more. Keys that it read stay until they change.
    fn leave<'p>(&self, id: u64, prefixes: impl Iterator<Item = &'p Bytes>) {
        let mut table = self.table.lock();
        table.trackers.remove(&id);
        table.late.end(id);
        for prefix in prefixes {
            let Some(ids) = table.prefixes.get_mut(prefix) else { continue };
            let was_there = ids.remove(&id);
            if ids.is_empty() {
                table.prefixes.remove(prefix);
            }
            if was_there {
                table.bytes -= prefix.len() + KEY_BYTES;
            }
        }
        if table.trackers.is_empty() {
            table.forget_keys();
            self.is_on.store(false, Ordering::SeqCst);
        }
    }
}

impl Table {
    fn add_reader(&mut self, key: &[u8], id: u64) {
        let Some(ids) = self.readers.get_mut(key) else {
            self.readers.insert(Bytes::copy_from_slice(key), vec![id]);
            self.items += 1;
            self.bytes += key_bytes(key, 1);
            return;
        };
        if !ids.contains(&id) {
            ids.push(id);
            self.items += 1;
            self.bytes += READER_BYTES;
        }
    }

    /// Tells those who read a key, once. Who made the change and does not want to hear of it goes on waiting for the
    /// next one.
    fn tell_readers(&mut self, key: &Bytes, author: u64, now: Nanos, limit: Limit) {
        let Some(ids) = self.readers.remove(key) else { return };
        self.items -= ids.len();
        self.bytes -= key_bytes(key, ids.len());
        for id in ids {
            if self.is_own(id, author) {
                self.add_reader(key, id);
                continue;
            }
            if let Some(tracker) = self.trackers.get(&id).filter(|tracker| tracker.reads()) {
                tracker.tell(Some(&[key]), now, limit);
            }
        }
    }

    /// Forgets keys until the table is as small as it must be; who read them hears it.
    fn make_room(&mut self, keys_max: usize, now: Nanos, limit: Limit) {
        while self.readers.len() > keys_max || self.bytes > limits::TRACKED_BYTES_MAX {
            let Some(key) = self.readers.keys().next().cloned() else { break };
            self.tell_readers(&key, 0, now, limit);
        }
    }

    /// Whether a client is this author.
    fn is_own(&self, id: u64, author: u64) -> bool {
        author != 0 && self.trackers.get(&id).is_some_and(|tracker| tracker.author == author)
    }

    fn forget_keys(&mut self) {
        self.bytes -= self.readers.iter().map(|(key, ids)| key_bytes(key, ids.len())).sum::<usize>();
        self.items = 0;
        self.readers.clear();
    }
}

fn key_bytes(key: &[u8], readers: usize) -> usize {
    key.len() + KEY_BYTES + readers * READER_BYTES
}
