//! WATCH on the leader: when each watched key was last changed, counted in changes of watched keys.
//!
//! Invariant: an EXEC passes only if none of its keys was changed since the token was given. Where that is not known
//! (another leader's token, a forgotten key, two keys with one hash) it is stopped: to stop an EXEC is always right,
//! the client tries again.

use std::collections::VecDeque;
use std::hash::BuildHasher;

use bytes::Bytes;

use crate::base::limits::DATABASES;
use crate::base::{HashMap, Mutant, Term};
use crate::command::batch::Watch;
use crate::data::Touched;

pub(super) struct Watches {
    /// Changes of watched keys so far, and keys that became watched.
    sequence: u64,
    /// By hash of database and key, so that long keys cost nothing: the count at the last change.
    changed: HashMap<u64, u64>,
    /// By database: the count when it was emptied last.
    emptied: [u64; DATABASES as usize],
    /// The same hashes, longest watched first.
    order: VecDeque<u64>,
    keys_max: usize,
}

impl Watches {
    pub(super) fn new(keys_max: usize) -> Watches {
        let emptied = [0; DATABASES as usize];
        Watches { sequence: 0, changed: HashMap::default(), emptied, order: VecDeque::new(), keys_max }
    }

    /// Starts to watch keys; what is returned goes into the token.
    pub(super) fn watch(&mut self, db: u8, keys: &[Bytes]) -> u64 {
        for key in keys {
            let hash = self.hash(db, key);
            if self.changed.contains_key(&hash) {
                continue;
            }
            // What happened to the key while it was not watched is unknown: older tokens must not pass for it.
            self.sequence += 1;
            self.changed.insert(hash, self.sequence);
            self.order.push_back(hash);
            if self.order.len() > self.keys_max
                && let Some(oldest) = self.order.pop_front()
            {
                self.changed.remove(&oldest);
            }
        }
        self.sequence
    }

    /// Keys were changed. Empties the list.
    pub(super) fn touched(&mut self, touched: &mut Vec<Touched>) {
        if !self.changed.is_empty() {
            for touched in touched.iter() {
                let changed = match touched {
                    Touched::Key(db, key) => {
                        let hash = self.hash(*db, key);
                        self.changed.get_mut(&hash)
                    }
                    Touched::Database(db) => self.emptied.get_mut(usize::from(*db)),
                };
                if let Some(changed) = changed {
                    self.sequence += 1;
                    *changed = self.sequence;
                }
            }
        }
        touched.clear();
    }

    /// Whether the condition of an EXEC holds on the leader of `term`.
    pub(super) fn holds(&self, watch: &Watch, term: Term) -> bool {
        let changed = [self.changed.get(&self.hash(watch.db, &watch.key)), self.emptied.get(usize::from(watch.db))];
        let same_leader = watch.term == term || Mutant::WatchesOutliveTheirLeader.is_in();
        same_leader && changed.iter().all(|changed| changed.is_some_and(|at| *at <= watch.sequence))
    }

    /// Forgets all keys: tokens of before stop their EXEC.
    pub(super) fn clear(&mut self) {
        self.changed.clear();
        self.order.clear();
    }

    fn hash(&self, db: u8, key: &[u8]) -> u64 {
        self.changed.hasher().hash_one((db, key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TERM: Term = Term(2);

    fn key(name: &str) -> Bytes {
        Bytes::copy_from_slice(name.as_bytes())
    }

    fn token(db: u8, name: &str, sequence: u64) -> Watch {
        Watch { db, key: key(name), term: TERM, sequence }
    }

    #[test]
    fn a_change_after_the_token_stops() {
        let mut watches = Watches::new(10);
        let before = watches.watch(0, &[key("a"), key("b")]);
        assert!(watches.holds(&token(0, "a", before), TERM));
        watches.touched(&mut vec![Touched::Key(0, key("a")), Touched::Key(1, key("b"))]);
        assert!(!watches.holds(&token(0, "a", before), TERM));
        assert!(watches.holds(&token(0, "b", before), TERM), "another database's key is another key");
        let after = watches.watch(0, &[key("a")]);
        assert!(watches.holds(&token(0, "a", after), TERM));
        watches.touched(&mut vec![Touched::Database(1)]);
        assert!(watches.holds(&token(0, "a", after), TERM));
        watches.touched(&mut vec![Touched::Database(0)]);
        assert!(!watches.holds(&token(0, "a", after), TERM), "its database was emptied");
    }

    #[test]
    fn another_leader_or_a_key_never_watched_stops() {
        let mut watches = Watches::new(10);
        let sequence = watches.watch(0, &[key("a")]);
        assert!(!watches.holds(&token(0, "a", sequence), Term(3)));
        assert!(!watches.holds(&token(0, "b", u64::MAX), TERM));
    }

    #[test]
    fn rule_40_a_forgotten_key_stops_even_after_it_is_watched_again() {
        let mut watches = Watches::new(2);
        let old = watches.watch(0, &[key("a")]);
        watches.watch(0, &[key("b"), key("c")]);
        assert!(!watches.holds(&token(0, "a", old), TERM));
        watches.touched(&mut vec![Touched::Key(0, key("a"))]);
        let new = watches.watch(0, &[key("a")]);
        assert!(!watches.holds(&token(0, "a", old), TERM), "the change in between was not seen");
        assert!(watches.holds(&token(0, "a", new), TERM));
        assert_eq!(watches.order.len(), 2);
    }
}
