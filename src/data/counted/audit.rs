//! Whether the records of a tree fit together: the invariants of [`super`], checked on what is stored.

use std::ops::ControlFlow;

use bytes::Bytes;

use super::node::{Child, Node};
use super::{LEVELS_MAX, Tree, damaged};
use crate::data::Result;
use crate::store::keys::{self, ElementKind};
use crate::store::{Order, Read};

impl Tree {
    /// What is wrong with the records of a tree, and all of its entries.
    pub fn audit(&self, store: &dyn Read) -> Result<(Vec<String>, Vec<Bytes>)> {
        let mut found = (Vec::new(), Vec::new());
        let mut nodes = 0;
        if self.facts.count > 0 {
            let root = Child { id: self.facts.root, count: self.facts.count, ..Child::default() };
            self.audit_below(store, (&root, LEVELS_MAX), &mut nodes, &mut found)?;
        }
        let (wrong, entries) = &mut found;
        let bytes: u64 = entries.iter().map(|entry| entry.len() as u64).sum();
        if bytes != self.facts.bytes {
            wrong.push(format!("a tree counts {} bytes, there are {bytes}", self.facts.bytes));
        }
        let (start, end) = keys::elements_of(self.db, &self.key, ElementKind::Node);
        let mut records = 0;
        store.scan(&start, &end, Order::Forward, &mut |_, _| {
            records += 1;
            ControlFlow::Continue(())
        })?;
        if records != nodes {
            wrong.push(format!("a tree has {nodes} nodes and {records} records of nodes"));
        }
        Ok(found)
    }

    fn audit_below(
        &self,
        store: &dyn Read,
        (at, levels): (&Child, usize),
        nodes: &mut u64,
        found: &mut (Vec<String>, Vec<Bytes>),
    ) -> Result<usize> {
        let levels = levels.checked_sub(1).ok_or_else(damaged)?;
        // What is stored, not what is known of it.
        let node = Node::decode(&self.fetch(store, at.id)?)?;
        *nodes += 1;
        if node.count() != at.count || node.count() == 0 || at.id >= self.facts.next {
            found.0.push(format!("node {} should have {} entries and has {}", at.id, at.count, node.count()));
        }
        match node {
            Node::Leaf(entries) => {
                found.1.extend(entries);
                Ok(0)
            }
            Node::Inner(children) => {
                let mut heights = Vec::new();
                for child in &children {
                    heights.push(self.audit_below(store, (child, levels), nodes, found)?);
                }
                heights.dedup();
                if heights.len() != 1 {
                    found.0.push(format!("below node {} there are heights {heights:?}", at.id));
                }
                Ok(1 + heights.first().copied().unwrap_or(0))
            }
        }
    }
}
