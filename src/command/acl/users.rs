//! All users of the cluster.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;

use super::User;

/// Users by name, as of one moment. `default` may be missing: then it is what the settings of each node say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Users {
    /// Counts the changes that led here.
    pub revision: u64,
    by_name: BTreeMap<Bytes, Arc<User>>,
}

impl Users {
    /// From what is kept of each: its name and its words.
    pub fn new(revision: u64, kept: impl IntoIterator<Item = (Bytes, Vec<Bytes>)>) -> Users {
        let user = |(name, words): (Bytes, Vec<Bytes>)| (name.clone(), Arc::new(User::from_words(name, &words)));
        Users { revision, by_name: kept.into_iter().map(user).collect() }
    }

    /// The user of this name.
    pub fn get(&self, name: &[u8]) -> Option<&Arc<User>> {
        self.by_name.get(name)
    }

    /// All of them, by name.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<User>> {
        self.by_name.values()
    }
}
