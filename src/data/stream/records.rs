//! The records of one stream: names, and walks over them in order.

use std::ops::ControlFlow;

use bytes::Bytes;

use super::damaged;
use crate::data::Result;
use crate::store::keys::{self, ElementKind};
use crate::store::{Order, Read};

/// Called with the name and value of a record.
type Visit<'a> = dyn FnMut(&[u8], &[u8]) -> Result<ControlFlow<()>> + 'a;

/// Where the records of a stream are.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub db: u8,
    pub key: Bytes,
}

impl Place {
    /// A record.
    pub fn record(&self, kind: ElementKind, name: &[u8]) -> Bytes {
        keys::ordered(self.db, &self.key, kind, name)
    }

    /// Visits the records of a kind whose names start with `prefix`, in order.
    pub fn visit(&self, store: &dyn Read, kind: ElementKind, prefix: &[u8], visit: &mut Visit<'_>) -> Result<()> {
        let (start, end) = keys::ordered_of(self.db, &self.key, kind, prefix);
        walk(store, (&start, &end), Order::Forward, visit)
    }

    /// Visits the records of a kind from one name to another, both included.
    pub fn visit_between(
        &self,
        store: &dyn Read,
        kind: ElementKind,
        (from, to): (&[u8], &[u8]),
        order: Order,
        visit: &mut Visit<'_>,
    ) -> Result<()> {
        if from > to {
            return Ok(());
        }
        let (start, end) = (self.record(kind, from), keys::after(&self.record(kind, to)));
        walk(store, (&start, &end), order, visit)
    }
}

fn walk(store: &dyn Read, (start, end): (&[u8], &[u8]), order: Order, visit: &mut Visit<'_>) -> Result<()> {
    let mut failed = None;
    store.scan(start, end, order, &mut |record, value| {
        let step = match keys::parse_element(record) {
            Some(element) => visit(element.element, value),
            None => Err(damaged()),
        };
        step.unwrap_or_else(|error| {
            failed = Some(error);
            ControlFlow::Break(())
        })
    })?;
    failed.map_or(Ok(()), Err)
}
