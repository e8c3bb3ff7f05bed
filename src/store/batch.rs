//! Mutations: what an entry carries and an engine applies.

use bytes::Bytes;

/// One change of the state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mutation {
    /// Sets a record.
    Put(Bytes, Bytes),
    /// Removes a record.
    Delete(Bytes),
    /// Removes every record from the first key to before the second.
    DeleteRange(Bytes, Bytes),
}

/// Mutations that take effect together, in order: a later one wins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// The mutations, oldest first.
    pub mutations: Vec<Mutation>,
}

impl Mutation {
    /// Bytes of keys and values.
    pub fn bytes(&self) -> usize {
        match self {
            Mutation::Put(key, value) => key.len() + value.len(),
            Mutation::Delete(key) => key.len(),
            Mutation::DeleteRange(start, end) => start.len() + end.len(),
        }
    }
}

impl Batch {
    /// Sets a record.
    pub fn put(&mut self, key: impl Into<Bytes>, value: impl Into<Bytes>) {
        self.mutations.push(Mutation::Put(key.into(), value.into()));
    }

    /// Removes a record.
    pub fn delete(&mut self, key: impl Into<Bytes>) {
        self.mutations.push(Mutation::Delete(key.into()));
    }

    /// Removes a range of records.
    pub fn delete_range(&mut self, start: impl Into<Bytes>, end: impl Into<Bytes>) {
        self.mutations.push(Mutation::DeleteRange(start.into(), end.into()));
    }

    /// Whether nothing would change.
    pub fn is_empty(&self) -> bool {
        self.mutations.is_empty()
    }
}
