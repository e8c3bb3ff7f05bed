//! Records in a map: the simplest thing that can be read and written, for an evaluation that has no engine below it.

use std::collections::BTreeMap;
use std::ops::Bound;

use bytes::Bytes;

use super::{Order, Read, Result, Visit, Write};
use crate::base::Publication;

/// A map of records. Nothing in it fails.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Records(BTreeMap<Bytes, Bytes>);

impl Records {
    /// How many records there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Every record, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&Bytes, &Bytes)> {
        self.0.iter()
    }
}

impl Read for Records {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>> {
        Ok(self.0.get(key).cloned())
    }

    fn scan(&self, start: &[u8], end: &[u8], order: Order, visit: &mut Visit<'_>) -> Result<()> {
        if start < end {
            let mut records = self.0.range::<[u8], _>((Bound::Included(start), Bound::Excluded(end)));
            // A break only says that the visitor has enough.
            let _ = match order {
                Order::Forward => records.try_for_each(|(key, value)| visit(key, value)),
                Order::Backward => records.rev().try_for_each(|(key, value)| visit(key, value)),
            };
        }
        Ok(())
    }
}

impl Write for Records {
    /// Nobody listens to a map.
    fn publish(&mut self, _publication: Publication) {}

    fn put(&mut self, key: Bytes, value: Bytes) {
        self.0.insert(key, value);
    }

    fn delete(&mut self, key: Bytes) {
        self.0.remove(&key);
    }

    fn delete_range(&mut self, start: Bytes, end: Bytes) {
        self.0.retain(|key, _| *key < start || *key >= end);
    }
}
