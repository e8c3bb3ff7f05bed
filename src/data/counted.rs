//! A long sequence of byte strings as records that know how many entries are below them: a B+-tree with counts, so
//! that an entry is found, put in and taken out by its rank at the cost of one record per level. Lists and sorted sets
//! are made of it. (Order-statistic trees: Knuth, The Art of Computer Programming, volume 3, 6.2.3.)
//!
//! ```text
//! in the head   root varint | next id varint | entries varint | their bytes varint
//! node record   named by its id, u64 BE; `node.rs` has its value
//! ```
//!
//! A node is at most [`NODE_BYTES_MAX`] long, because every change writes whole nodes to the log: smaller ones make a
//! higher tree, larger ones a dearer change. A longer entry has a leaf of its own.
//!
//! Where entries have an order, they can be found by it as well: an inner node keeps a separator for each child but
//! the first, which is above every entry before the child and not above any in it. The tree compares nothing itself:
//! it is asked with predicates ([`Tree::partition`]), and given a function that makes separators.
//!
//! Invariants: a child's count is the number of entries below it; all leaves have one depth; no node is empty; ids are
//! below the next id, and no node record is outside the tree. The audit of `data` checks them.

mod audit;
mod node;
mod record;
#[cfg(test)]
mod tests;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ops::ControlFlow;

use bytes::{Bytes, BytesMut};

use self::node::{Child, Fill, Node, Sizes};
use self::record::View;
use super::{Error, Result, packed};
use crate::store::keys::{self, ElementKind};
use crate::store::{self, Order, Read, Write};

/// Bytes of a node, unless a single entry is longer.
pub const NODE_BYTES_MAX: usize = 512;
/// Trees do not get so high; what does is damaged.
const LEVELS_MAX: usize = 64;

/// Called for each entry; `Break` ends the visit.
type Visit<'a> = dyn FnMut(Bytes) -> ControlFlow<()> + 'a;

/// What is above the first entry and not above the second: as short as it can be.
pub type Separator = fn(&[u8], &[u8]) -> Bytes;

/// Nodes that a tree remembers at most: those of a few ways from the root to a leaf.
const KNOWN_MAX: usize = 64;

/// A tree at a key. As long as it lives nothing else changes its records.
#[derive(Clone, Debug)]
pub struct Tree {
    db: u8,
    key: Bytes,
    separator: Separator,
    sizes: Sizes,
    facts: Facts,
    /// Records of nodes on the ways that were gone, as they are stored: a change mostly goes the way of the search before
    /// it, and a member that moves goes a second one that begins like the first.
    known: RefCell<BTreeMap<u64, Bytes>>,
}

/// What the head keeps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Facts {
    root: u64,
    next: u64,
    count: u64,
    bytes: u64,
}

impl Tree {
    /// An empty tree at a key, with so many entries to a node. What it writes stands below the key's elements.
    pub fn new(db: u8, key: &Bytes, separator: Separator, entries_max: usize) -> Tree {
        let sizes = Sizes { entries_max: entries_max.max(2), bytes_max: NODE_BYTES_MAX };
        Tree { db, key: key.clone(), separator, sizes, facts: Facts::default(), known: RefCell::default() }
    }

    /// The tree that the head tells of; what the head says beyond it stays in `payload`.
    pub fn decode(self, payload: &mut &[u8]) -> Result<Tree> {
        let mut number = || packed::take_number(payload);
        let facts = Facts { root: number()?, next: number()?, count: number()?, bytes: number()? };
        Ok(Tree { facts, ..self })
    }

    /// What the head must keep.
    pub fn encode(&self, out: &mut BytesMut) {
        for number in [self.facts.root, self.facts.next, self.facts.count, self.facts.bytes] {
            packed::put_varint(out, number);
        }
    }

    /// How many entries there are.
    pub fn count(&self) -> u64 {
        self.facts.count
    }

    /// How many bytes all of them have.
    pub fn bytes(&self) -> u64 {
        self.facts.bytes
    }

    /// The entry at a rank.
    pub fn get(&self, store: &dyn Read, rank: u64) -> Result<Option<Bytes>> {
        let mut found = None;
        self.visit(store, rank, Order::Forward, &mut |entry| {
            found = Some(entry);
            ControlFlow::Break(())
        })?;
        Ok(found)
    }

    /// Visits entries from one end or from `skip` entries behind it.
    pub fn visit(&self, store: &dyn Read, skip: u64, order: Order, visit: &mut Visit<'_>) -> Result<()> {
        if skip < self.facts.count {
            let _ = self.visit_below(store, (self.facts.root, LEVELS_MAX), skip, order, visit)?;
        }
        Ok(())
    }

    /// How many entries are before a place: those at the start for which `is_before` holds.
    pub fn partition(&self, store: &dyn Read, is_before: &dyn Fn(&[u8]) -> bool) -> Result<u64> {
        if self.facts.count == 0 {
            return Ok(0);
        }
        let (mut id, mut rank) = (self.facts.root, 0);
        for _ in 0..LEVELS_MAX {
            let record = self.look(store, id)?;
            match record::view(&record)? {
                View::Leaf(entries) => return Ok(rank + record::partition(entries, is_before)?),
                View::Inner(children) => {
                    let (child, before) = children.partition(is_before)?;
                    (id, rank) = (child, rank + before);
                }
            }
        }
        Err(damaged())
    }

    /// Replaces the entries from rank `from` to before `to` by others.
    ///
    /// Where entries have an order, `is_before` tells of a separator whether the new ones are behind it: their rank
    /// alone leaves open to which side of a separator they go.
    pub fn splice(
        &mut self,
        store: &mut dyn Write,
        (from, to): (u64, u64),
        new: Vec<Bytes>,
        is_before: &dyn Fn(&[u8]) -> bool,
    ) -> Result<()> {
        assert!(from <= to && to <= self.facts.count, "ranks {from}..{to} of {} entries", self.facts.count);
        if to - from <= 1 && new.len() <= 1 && self.patch(store, (from, to), new.first(), is_before)? {
            return Ok(());
        }
        let (removed, added) = (to - from, new.len() as u64);
        self.facts.bytes += new.iter().map(|entry| entry.len() as u64).sum::<u64>();
        let mut top = if self.facts.count == 0 {
            self.write(store, None, Node::Leaf(new), Fill::Left)
        } else {
            let root = Child { id: self.facts.root, count: self.facts.count, ..Child::default() };
            self.splice_below(store, (&root, LEVELS_MAX), (from, to), new, is_before)?
        };
        while top.len() > 1 {
            top = self.write(store, None, Node::Inner(top), Fill::Left);
        }
        self.facts.count = self.facts.count - removed + added;
        match top.pop() {
            Some(root) => self.facts.root = self.lower(store, root.id)?,
            None => self.facts.root = 0,
        }
        Ok(())
    }

    /// Takes the entries of the first or the last leaf out.
    pub fn take_leaf(&mut self, store: &mut dyn Write, order: Order) -> Result<Vec<Bytes>> {
        if self.facts.count == 0 {
            return Ok(Vec::new());
        }
        let mut id = self.facts.root;
        let mut way = Vec::new();
        for _ in 0..LEVELS_MAX {
            let record = self.look(&*store, id)?;
            if let View::Inner(children) = record::view(&record)? {
                let child = children.end(order)?;
                let (next, at, count_at, count) = (child.id, child.at, child.count_at, child.count);
                way.push((id, record, at, count_at, count));
                id = next;
                continue;
            }
            let Node::Leaf(entries) = Node::decode(&record)? else { return Err(damaged()) };
            let count = entries.len() as u64;
            let bytes = entries.iter().map(|entry| entry.len() as u64).sum();
            let parent = match way.pop() {
                Some((parent, record, child, ..)) => {
                    record::without(&record, &child, self.sizes, way.is_empty())?.map(|record| (parent, record))
                }
                None => None,
            };
            let Some((parent, record)) = parent else {
                let from = if order == Order::Forward { 0 } else { self.facts.count - count };
                self.splice(store, (from, from + count), Vec::new(), &|_| false)?;
                return Ok(entries);
            };
            self.facts.count = self.facts.count.checked_sub(count).ok_or_else(damaged)?;
            self.facts.bytes = self.facts.bytes.checked_sub(bytes).ok_or_else(damaged)?;
            self.delete(store, id);
            self.put(store, parent, record);
            for (id, record, _, count_at, below) in way {
                let below = below.checked_sub(count).ok_or_else(damaged)?;
                self.put(store, id, record::recount(&record, count_at, below));
            }
            return Ok(entries);
        }
        Err(damaged())
    }

    fn visit_below(
        &self,
        store: &dyn Read,
        (id, levels): (u64, usize),
        mut skip: u64,
        order: Order,
        visit: &mut Visit<'_>,
    ) -> Result<ControlFlow<()>> {
        let levels = levels.checked_sub(1).ok_or_else(damaged)?;
        match self.load(store, id)?.1 {
            Node::Leaf(mut entries) => {
                if order == Order::Backward {
                    entries.reverse();
                }
                Ok(entries.into_iter().skip(skip as usize).try_for_each(visit))
            }
            Node::Inner(mut children) => {
                if order == Order::Backward {
                    children.reverse();
                }
                for child in children {
                    if skip >= child.count {
                        skip -= child.count;
                    } else if self.visit_below(store, (child.id, levels), skip, order, visit)?.is_break() {
                        return Ok(ControlFlow::Break(()));
                    } else {
                        skip = 0;
                    }
                }
                Ok(ControlFlow::Continue(()))
            }
        }
    }

    /// A splice of one entry that neither divides nor joins nodes: the records on the way to it are copied with a few other
    /// bytes. False, and nothing is changed, if it is not one of these.
    fn patch(
        &mut self,
        store: &mut dyn Write,
        (from, to): (u64, u64),
        new: Option<&Bytes>,
        is_before: &dyn Fn(&[u8]) -> bool,
    ) -> Result<bool> {
        if self.facts.count == 0 {
            return Ok(false);
        }
        let (removed, added) = (to - from, u64::from(new.is_some()));
        let (mut id, mut start) = (self.facts.root, 0);
        let mut way = Vec::new();
        for _ in 0..LEVELS_MAX {
            let record = self.look(&*store, id)?;
            let range = (from - start, to - start);
            if let View::Inner(children) = record::view(&record)? {
                let (child, before) = children.touched(range, is_before)?;
                let (next, count_at, count) = (child.id, child.count_at, child.count);
                way.push((id, record, count_at, count));
                (id, start) = (next, start + before);
                continue;
            }
            let new = new.map(|new| &new[..]);
            let Some(edited) = record::edit(&record, range, new, self.sizes, way.is_empty())? else { return Ok(false) };
            let bytes = self.facts.bytes.checked_sub(edited.removed_bytes).ok_or_else(damaged)?;
            self.facts.bytes = bytes + new.map_or(0, |new| new.len() as u64);
            if edited.record != record {
                self.put(store, id, edited.record);
            }
            if added != removed {
                for (id, record, count_at, count) in way {
                    let count = (count + added).checked_sub(removed).ok_or_else(damaged)?;
                    self.put(store, id, record::recount(&record, count_at, count));
                }
                self.facts.count = self.facts.count + added - removed;
            }
            return Ok(true);
        }
        Err(damaged())
    }

    /// What takes the place of a node: nothing, itself, or several.
    fn splice_below(
        &mut self,
        store: &mut dyn Write,
        (node, levels): (&Child, usize),
        (from, to): (u64, u64),
        mut new: Vec<Bytes>,
        is_before: &dyn Fn(&[u8]) -> bool,
    ) -> Result<Vec<Child>> {
        let levels = levels.checked_sub(1).ok_or_else(damaged)?;
        let (record, mut children) = match self.load(&*store, node.id)? {
            (record, Node::Inner(children)) => (record, children),
            (record, Node::Leaf(mut entries)) => {
                if to > entries.len() as u64 {
                    return Err(damaged());
                }
                let fill = Fill::of(from == entries.len() as u64, to == 0);
                let removed = entries.splice(from as usize..to as usize, new);
                let bytes = removed.map(|entry| entry.len() as u64).sum();
                self.facts.bytes = self.facts.bytes.checked_sub(bytes).ok_or_else(damaged)?;
                return Ok(self.write(store, Some((node, record)), Node::Leaf(entries), fill));
            }
        };
        let (first, last) = node::touched(&children, (from, to), is_before).ok_or_else(damaged)?;
        let fill = Fill::of(first + 1 == children.len(), last == 0);
        let mut start: u64 = children[..first].iter().map(|child| child.count).sum();
        let mut replaced = Vec::new();
        for child in &children[first..=last] {
            let end = start + child.count;
            let part = (from.clamp(start, end) - start, to.clamp(start, end) - start);
            let new = std::mem::take(&mut new);
            if part == (0, child.count) && new.is_empty() {
                self.delete_below(store, (child.id, levels))?;
            } else {
                replaced.extend(self.splice_below(store, (child, levels), part, new, is_before)?);
            }
            start = end;
        }
        let changed = first..first + replaced.len();
        children.splice(first..=last, replaced);
        if to > from {
            self.merge_small(store, &mut children, changed)?;
        }
        Ok(self.write(store, Some((node, record)), Node::Inner(children), fill))
    }

    /// Joins small nodes among some siblings with their neighbours.
    fn merge_small(
        &mut self,
        store: &mut dyn Write,
        siblings: &mut Vec<Child>,
        changed: std::ops::Range<usize>,
    ) -> Result<()> {
        let (mut at, mut end) = (changed.start, changed.end);
        while at < end.min(siblings.len()) {
            let left = at.saturating_sub(1);
            if siblings[at].is_small
                && left + 1 < siblings.len()
                && let Some(merged) = self.merge(store, &siblings[left], &siblings[left + 1])?
            {
                siblings[left] = merged;
                siblings.remove(left + 1);
                (at, end) = (left, end - 1);
            } else {
                at += 1;
            }
        }
        Ok(())
    }

    /// Two neighbours as one, if there is room to spare in it.
    fn merge(&mut self, store: &mut dyn Write, left: &Child, right: &Child) -> Result<Option<Child>> {
        let (record, mut node) = self.load(&*store, left.id)?;
        let (_, mut other) = self.load(&*store, right.id)?;
        match (&mut node, &mut other) {
            (Node::Leaf(entries), Node::Leaf(others)) => entries.append(others),
            (Node::Inner(children), Node::Inner(others)) => {
                // The first child of a node needs no separator of its own; here it is no longer the first.
                others.first_mut().ok_or_else(damaged)?.separator = right.separator.clone();
                children.append(others);
            }
            _ => return Err(damaged()),
        }
        if !self.sizes.has_room(&node) {
            return Ok(None);
        }
        self.delete(store, right.id);
        Ok(self.write(store, Some((left, record)), node, Fill::Left).pop())
    }

    /// Deletes a node and everything below it.
    fn delete_below(&mut self, store: &mut dyn Write, (id, levels): (u64, usize)) -> Result<()> {
        let levels = levels.checked_sub(1).ok_or_else(damaged)?;
        match self.load(&*store, id)?.1 {
            Node::Leaf(entries) => {
                let bytes = entries.iter().map(|entry| entry.len() as u64).sum();
                self.facts.bytes = self.facts.bytes.checked_sub(bytes).ok_or_else(damaged)?;
            }
            Node::Inner(children) => {
                for child in children {
                    self.delete_below(store, (child.id, levels))?;
                }
            }
        }
        self.delete(store, id);
        Ok(())
    }

    /// Skips inner nodes with a single child, from the root down.
    fn lower(&self, store: &mut dyn Write, root: u64) -> Result<u64> {
        let mut id = root;
        for _ in 0..LEVELS_MAX {
            let record = self.look(&*store, id)?;
            let View::Inner(mut children) = record::view(&record)? else { return Ok(id) };
            let (Some(only), None) = (children.next().transpose()?, children.next()) else { return Ok(id) };
            let only = only.id;
            self.delete(store, id);
            id = only;
        }
        Err(damaged())
    }

    /// Writes a node, as several if it is too large, and returns what its parent has to know. One of them takes the
    /// place of the node that was there; an unchanged record is not written again.
    fn write(&mut self, store: &mut dyn Write, before: Option<(&Child, Bytes)>, node: Node, fill: Fill) -> Vec<Child> {
        let mut parts = node.divide(self.sizes, fill);
        let separators: Vec<Bytes> =
            parts.windows(2).map(|pair| node::separator(&pair[0], &pair[1], self.separator)).collect();
        let heir = if fill == Fill::Right { parts.len().saturating_sub(1) } else { 0 };
        let mut written = Vec::with_capacity(parts.len());
        for (at, part) in parts.drain(..).enumerate() {
            let heritage = before.as_ref().filter(|_| at == heir);
            let id = heritage.map_or_else(|| self.next_id(), |(child, _)| child.id);
            let separator = match at.checked_sub(1) {
                Some(behind) => separators[behind].clone(),
                None => before.as_ref().map_or_else(Bytes::new, |(child, _)| child.separator.clone()),
            };
            let record = part.encode();
            if heritage.is_none_or(|(_, old)| *old != record) {
                self.put(store, id, record);
            }
            written.push(Child { id, count: part.count(), separator, is_small: self.sizes.is_small(&part) });
        }
        if let Some((child, _)) = before.filter(|_| written.is_empty()) {
            self.delete(store, child.id);
        }
        written
    }

    fn delete(&self, store: &mut dyn Write, id: u64) {
        self.known.borrow_mut().remove(&id);
        store.delete(self.record(id));
    }

    fn next_id(&mut self) -> u64 {
        self.facts.next += 1;
        self.facts.next - 1
    }

    /// A node with its record's value.
    fn load(&self, store: &(impl Read + ?Sized), id: u64) -> Result<(Bytes, Node)> {
        let known = self.known.borrow().get(&id).cloned();
        let record = known.map_or_else(|| self.fetch(store, id), Ok)?;
        let node = Node::decode(&record)?;
        Ok((record, node))
    }

    /// A node's record, which is known from then on.
    fn look(&self, store: &(impl Read + ?Sized), id: u64) -> Result<Bytes> {
        if let Some(record) = self.known.borrow().get(&id) {
            return Ok(record.clone());
        }
        let record = self.fetch(store, id)?;
        self.remember(id, record.clone());
        Ok(record)
    }

    fn fetch(&self, store: &(impl Read + ?Sized), id: u64) -> Result<Bytes> {
        store.get(&self.record(id))?.ok_or_else(damaged)
    }

    fn put(&self, store: &mut dyn Write, id: u64, record: Bytes) {
        self.remember(id, record.clone());
        store.put(self.record(id), record);
    }

    fn remember(&self, id: u64, record: Bytes) {
        let mut known = self.known.borrow_mut();
        if known.len() >= KNOWN_MAX {
            known.clear();
        }
        known.insert(id, record);
    }

    fn record(&self, id: u64) -> Bytes {
        keys::element(self.db, &self.key, ElementKind::Node, &id.to_be_bytes())
    }
}

fn damaged() -> Error {
    Error::Store(store::Error::Corrupt("the nodes of a counted tree do not fit together".into()))
}
