//! Reads that are known only when they are answered: nobody knows which keys a script will read before it ran.
//!
//! From before such a call leaves until its answer is here, it is noted which keys change. The script saw everything
//! that this node had applied when the call left; so of the keys that it read, those are old that were noted since,
//! and the others can go into the table.
//!
//! Invariant: a change that is noted nowhere is one that every open call saw, or was forgotten with a word about it
//! ([`Late::forget`]).

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::base::{Changed, HashMap, limits};

/// What a noted key takes beside its bytes.
const KEY_BYTES: usize = 64;

/// Changes since the oldest call that is not answered yet.
#[derive(Debug, Default)]
pub(super) struct Late {
    /// Counts changes.
    now: u64,
    /// Clients with such calls, and the count when the first of them left.
    open: BTreeMap<u64, u64>,
    changed: HashMap<Bytes, Change>,
    bytes: usize,
    /// Of changes up to this count nothing is known but that there were some.
    forgotten: u64,
}

/// The last changes of a key.
#[derive(Clone, Copy, Debug)]
struct Change {
    /// Count and author of the last one.
    last: u64,
    author: u64,
    /// Count of the last one by somebody else than that author.
    by_others: u64,
}

/// What changed since a client's call left.
#[derive(Debug)]
pub(super) struct Since<'a> {
    late: &'a Late,
    began: u64,
}

impl Late {
    /// A client's call is about to leave. Of several that are answered together the first one counts.
    pub fn begin(&mut self, id: u64) {
        self.open.entry(id).or_insert(self.now);
    }

    /// What changed since a client's call left; `None` if none did.
    pub fn since(&self, id: u64) -> Option<Since<'_>> {
        self.open.get(&id).map(|began| Since { late: self, began: *began })
    }

    /// A client's calls are answered, or it does not care any more.
    pub fn end(&mut self, id: u64) {
        self.open.remove(&id);
        if self.open.is_empty() {
            self.changed.clear();
            self.bytes = 0;
        }
    }

    /// Changes that can be read by now.
    pub fn note(&mut self, changes: &[Changed]) {
        if self.open.is_empty() {
            return;
        }
        for change in changes {
            self.now += 1;
            match change {
                Changed::Everything => self.forget(),
                Changed::Key { key, author } => self.note_key(key, *author),
            }
        }
    }

    fn note_key(&mut self, key: &Bytes, author: u64) {
        if let Some(change) = self.changed.get_mut(key) {
            if change.author != author {
                (change.by_others, change.author) = (change.last, author);
            }
            change.last = self.now;
            return;
        }
        self.bytes += key.len() + KEY_BYTES;
        if self.bytes > limits::LATE_CHANGES_BYTES_MAX {
            return self.forget();
        }
        self.changed.insert(key.clone(), Change { last: self.now, author, by_others: 0 });
    }

    /// Whoever waits now must take every key for changed.
    fn forget(&mut self) {
        self.forgotten = self.now;
        self.changed.clear();
        self.bytes = 0;
    }
}

impl Since<'_> {
    /// Whether a key may have been changed, by anybody but this author (0: by anybody).
    pub fn may_have_changed(&self, key: &[u8], but_by: u64) -> bool {
        if self.late.forgotten > self.began {
            return true;
        }
        let Some(change) = self.late.changed.get(key) else { return false };
        let is_own = but_by != 0 && change.author == but_by;
        let last = if is_own { change.by_others } else { change.last };
        last > self.began
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(key: &'static str, author: u64) -> Changed {
        Changed::Key { key: key.into(), author }
    }

    fn changed(late: &Late, id: u64, but_by: u64) -> Vec<&'static str> {
        let since = late.since(id).expect("its call left");
        ["a", "b", "c"].into_iter().filter(|key| since.may_have_changed(key.as_bytes(), but_by)).collect()
    }

    #[test]
    fn changes_count_from_the_moment_a_call_left() {
        let mut late = Late::default();
        late.note(&[key("a", 0)]);
        late.begin(1);
        assert_eq!(changed(&late, 1, 0), [""; 0], "nobody waited");
        late.note(&[key("a", 0)]);
        late.begin(2);
        late.begin(1);
        late.note(&[key("b", 0)]);
        assert_eq!((changed(&late, 1, 0), changed(&late, 2, 0)), (vec!["a", "b"], vec!["b"]));
        late.end(1);
        assert!(late.since(1).is_none());
        assert_eq!(changed(&late, 2, 0), ["b"]);
        late.end(2);
        assert!(late.changed.is_empty() && late.bytes == 0);
        late.begin(1);
        assert_eq!(changed(&late, 1, 0), [""; 0]);
        late.note(&[Changed::Everything]);
        late.begin(2);
        assert_eq!((changed(&late, 1, 0), changed(&late, 2, 0)), (vec!["a", "b", "c"], vec![]));
    }

    #[test]
    fn own_changes_hide_no_others() {
        let mut late = Late::default();
        late.begin(1);
        late.note(&[key("a", 7), key("b", 8), key("b", 7), key("c", 7), key("c", 8)]);
        assert_eq!((changed(&late, 1, 7), changed(&late, 1, 8)), (vec!["b", "c"], vec!["a", "b", "c"]));
        late.begin(2);
        late.note(&[key("b", 7)]);
        assert_eq!((changed(&late, 2, 7), changed(&late, 2, 0)), (vec![], vec!["b"]));
    }

    #[test]
    fn what_is_too_much_is_taken_for_everything() {
        let mut late = Late::default();
        late.begin(1);
        let large = |first: u8| Bytes::from([&[first][..], &vec![0; limits::LATE_CHANGES_BYTES_MAX / 2]].concat());
        late.note(&[Changed::key(large(1)), Changed::key(large(2)), key("c", 0)]);
        late.begin(2);
        assert_eq!((changed(&late, 1, 0), changed(&late, 2, 0)), (vec!["a", "b", "c"], vec![]));
        assert!(late.bytes < limits::LATE_CHANGES_BYTES_MAX);
    }
}
