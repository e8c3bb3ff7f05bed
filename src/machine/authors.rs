//! Who changed what in the open entry, where a client does not want to hear of its own changes (CLIENT TRACKING with
//! NOLOOP).
//!
//! The entry names keys that one such client changed and nobody else did: only then is there nothing to tell it. An
//! entry without such a client costs nothing; with the first one, what was changed before it in the entry is looked up
//! once.

use bytes::Bytes;

use super::changes;
use crate::base::{HashMap, Own};
use crate::data::Touched;
use crate::store::Mutation;

/// Nobody who would be left out.
const ANYBODY: u64 = 0;

/// Authors of changes by key, since there was one who wants to be left out.
#[derive(Debug, Default)]
pub(super) struct Authors(Option<HashMap<Bytes, u64>>);

impl Authors {
    /// One who wants to be left out is about to change something; others changed this before, in the same entry.
    pub fn expect(&mut self, mutations: &[Mutation]) {
        self.0.get_or_insert_with(|| {
            let keys = mutations.iter().filter_map(changes::key_of_mutation);
            keys.map(|key| (Bytes::copy_from_slice(key), ANYBODY)).collect()
        });
    }

    /// These were changed by an author, or by anybody.
    pub fn note(&mut self, touched: &[Touched], author: u64) {
        let Some(authors) = &mut self.0 else { return };
        for touched in touched {
            // A database that was emptied is told to everybody.
            let Touched::Key(_, key) = touched else { continue };
            let known = authors.entry(key.clone()).or_insert(author);
            if *known != author {
                *known = ANYBODY;
            }
        }
    }

    /// What the entry says of it; the next entry starts anew.
    pub fn take(&mut self) -> Vec<Own> {
        let authors = self.0.take().unwrap_or_default();
        let own = authors.into_iter().filter(|(_, author)| *author != ANYBODY);
        own.map(|(key, author)| Own { author, key }).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::keys;

    fn key(key: &'static str) -> Touched {
        Touched::Key(0, key.into())
    }

    #[test]
    fn only_what_one_client_changed_alone_is_its_own() {
        let mut authors = Authors::default();
        authors.note(&[key("unseen")], 7);
        assert_eq!(authors.take(), []);
        authors.expect(&[Mutation::Put(keys::head(0, b"before"), Bytes::new())]);
        authors.note(&[key("before"), key("own"), key("shared"), Touched::Database(3)], 7);
        authors.note(&[key("shared"), key("others")], 8);
        authors.note(&[key("own")], 7);
        authors.note(&[key("anybody's")], ANYBODY);
        let mut own = authors.take();
        own.sort_by_key(|own| own.author);
        assert_eq!(own, [Own { author: 7, key: "own".into() }, Own { author: 8, key: "others".into() }]);
        assert_eq!(authors.take(), [], "the next entry starts anew");
    }
}
