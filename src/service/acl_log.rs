//! ACL LOG: what was denied on this node, newest first, the same denial again counted instead of listed.

use std::collections::VecDeque;

use bytes::Bytes;
use parking_lot::Mutex;

use crate::base::Millis;
use crate::resp::Value;

/// A denial within this time of the same one before is that one again.
const SAME_MILLIS: u64 = 60_000;
/// Among so many of the newest entries it is looked for.
const LOOKED_AT: usize = 10;
/// A longer word of a client is cut: an entry is a line for people, and whoever is denied something may say anything.
const WORD_BYTES_MAX: usize = 1024;

/// What was denied, as the log names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Denial {
    /// `command`, `key`, `channel` or `auth`.
    pub reason: &'static str,
    /// `toplevel`, `multi` or `lua`.
    pub context: &'static str,
    /// The command, key or channel.
    pub object: Bytes,
    /// Whose rights did not suffice, or as whom somebody wanted to log in.
    pub user: Bytes,
}

#[derive(Debug)]
struct Entry {
    id: u64,
    denial: Denial,
    count: i64,
    created: Millis,
    updated: Millis,
    /// The client's line of CLIENT LIST at the last time.
    client: String,
}

/// The log.
#[derive(Debug, Default)]
pub(super) struct AclLog {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    entries: VecDeque<Entry>,
    last_id: u64,
}

impl AclLog {
    /// Notes a denial; at most `length_max` entries are kept.
    pub fn record(&self, mut denial: Denial, client: String, now: Millis, length_max: usize) {
        for word in [&mut denial.object, &mut denial.user] {
            // A copy: a slice would keep all that was read with it.
            *word = Bytes::copy_from_slice(&word[..word.len().min(WORD_BYTES_MAX)]);
        }
        let mut state = self.state.lock();
        let is_same = |entry: &Entry| entry.denial == denial && now.0.abs_diff(entry.updated.0) <= SAME_MILLIS;
        let same = state.entries.iter().take(LOOKED_AT).position(is_same);
        let entry = match same.and_then(|at| state.entries.remove(at)) {
            Some(entry) => Entry { count: entry.count + 1, updated: now, client, ..entry },
            None => {
                let id = state.last_id;
                state.last_id += 1;
                Entry { id, denial, count: 1, created: now, updated: now, client }
            }
        };
        state.entries.push_front(entry);
        state.entries.truncate(length_max);
    }

    /// Forgets all.
    pub fn reset(&self) {
        self.state.lock().entries.clear();
    }

    /// The newest entries, so many of them.
    pub fn get(&self, count: usize, now: Millis) -> Value {
        let state = self.state.lock();
        Value::Array(state.entries.iter().take(count).map(|entry| entry.show(now)).collect())
    }
}

impl Entry {
    fn show(&self, now: Millis) -> Value {
        let text = |text: &'static str| Value::bulk(text);
        let age = now.0.saturating_sub(self.updated.0) as f64 / 1000.0;
        Value::Map(vec![
            (text("count"), Value::Integer(self.count)),
            (text("reason"), text(self.denial.reason)),
            (text("context"), text(self.denial.context)),
            (text("object"), Value::Bulk(self.denial.object.clone())),
            (text("username"), Value::Bulk(self.denial.user.clone())),
            (text("age-seconds"), Value::Double(age)),
            (text("client-info"), Value::bulk(self.client.clone())),
            (text("entry-id"), Value::Integer(self.id as i64)),
            (text("timestamp-created"), Value::Integer(self.created.0 as i64)),
            (text("timestamp-last-updated"), Value::Integer(self.updated.0 as i64)),
        ])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn denial(object: &'static str) -> Denial {
        let object = Bytes::from_static(object.as_bytes());
        Denial { reason: "key", context: "toplevel", object, user: "alice".into() }
    }

    /// Object and count of each entry.
    fn shown(log: &AclLog) -> Vec<(Bytes, i64, u64)> {
        let state = log.state.lock();
        state.entries.iter().map(|entry| (entry.denial.object.clone(), entry.count, entry.id)).collect()
    }

    #[test]
    fn the_same_denial_within_a_minute_is_counted_and_comes_to_the_front() {
        let log = AclLog::default();
        let note = |object, now| log.record(denial(object), String::new(), Millis(now), 3);
        note("a", 0);
        note("b", 1000);
        note("a", 60_000);
        assert_eq!(shown(&log), [("a".into(), 2, 0), ("b".into(), 1, 1)]);
        note("b", 61_001);
        assert_eq!(shown(&log), [("b".into(), 1, 2), ("a".into(), 2, 0), ("b".into(), 1, 1)]);
        note("c", 61_001);
        assert_eq!(shown(&log).len(), 3);
        log.record(Denial { context: "multi", ..denial("c") }, String::new(), Millis(61_001), 3);
        assert_eq!(shown(&log)[0], ("c".into(), 1, 4));
        log.reset();
        assert_eq!(log.get(10, Millis(0)), Value::Array(vec![]));
    }

    #[test]
    fn words_of_clients_are_cut() {
        let log = AclLog::default();
        let long = Bytes::from(vec![b'x'; 1 << 20]);
        log.record(Denial { object: long.clone(), user: long, ..denial("") }, String::new(), Millis(0), 3);
        let state = log.state.lock();
        let denial = &state.entries[0].denial;
        assert_eq!((denial.object.len(), denial.user.len()), (WORD_BYTES_MAX, WORD_BYTES_MAX));
    }
}
