//! What changed, for those who keep copies of values (CLIENT TRACKING).

use bytes::Bytes;

/// Something that may have another value now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Changed {
    /// A key, of whatever database.
    Key {
        /// Its name.
        key: Bytes,
        /// Who alone changed it and does not want to hear of that; 0 for anybody.
        author: u64,
    },
    /// Any key: many were removed at once, or changes were missed.
    Everything,
}

impl Changed {
    /// A key that anybody may have changed.
    pub fn key(key: impl Into<Bytes>) -> Changed {
        Changed::Key { key: key.into(), author: 0 }
    }
}

/// A key that a client changed alone in an entry, and of which it does not want to hear.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Own {
    /// The client: random bits that it has to itself in the cluster, not 0.
    pub author: u64,
    /// The key, of whatever database.
    pub key: Bytes,
}

impl Own {
    /// Bytes that it takes in an entry, roughly.
    pub fn bytes(&self) -> usize {
        8 + self.key.len()
    }
}
