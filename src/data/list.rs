//! Lists: sequences that are mostly used at their ends, in one of two forms.
//!
//! ```text
//! small    elements, packed
//! spread   facts of the tree | bytes of the front varint | front, packed | back, packed
//! ```
//!
//! A small list has as many elements as fit into a node of a tree and twice its bytes. A **spread** list is its front,
//! then a counted tree ([`super::counted`]), then its back. Front and back are in the head and no longer than a node:
//! a queue rewrites the head only, and the tree once per node of elements. A longer element goes to the tree at once.
//! A list that became spread stays so. The last element takes the key with it.
//!
//! Invariant: a list is never empty.

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::ops::ControlFlow;

use bytes::{Bytes, BytesMut};

use super::counted::{NODE_BYTES_MAX, Tree};
use super::{Head, Keyspace, Kind, Result, packed};
use crate::store::{Order, Read, Write};

/// Bytes of a list in one record.
const SMALL_BYTES_MAX: usize = 2 * NODE_BYTES_MAX;

/// A list as it was found: what the functions below read and change. Valid until the key is changed by others.
#[derive(Clone, Debug)]
pub struct List {
    db: u8,
    key: Bytes,
    /// What the keyspace holds; `None` for a list that is being made.
    head: Option<Head>,
    form: Form,
}

#[derive(Clone, Debug)]
enum Form {
    Small(VecDeque<Bytes>),
    Spread(Parts),
}

/// The three parts of a spread list.
#[derive(Clone, Debug)]
struct Parts {
    front: VecDeque<Bytes>,
    tree: Tree,
    back: VecDeque<Bytes>,
    /// Elements that front and back hold at most.
    entries_max: usize,
}

/// An end of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The first element.
    Left,
    /// The last element.
    Right,
}

impl List {
    /// The list of a key, if there is one.
    pub fn find(keys: &mut Keyspace<'_>, db: u8, key: &Bytes) -> Result<Option<List>> {
        match keys.lookup_kind(db, key, Kind::List)? {
            Some(head) => List::of_head(keys, db, key, head).map(Some),
            None => Ok(None),
        }
    }

    /// The list of a head that was found.
    pub fn of_head(keys: &Keyspace<'_>, db: u8, key: &Bytes, head: Head) -> Result<List> {
        let form = if head.spread {
            Form::Spread(Parts::decode(db, key, keys.thresholds.node_entries_max, &head.payload)?)
        } else {
            Form::Small(packed::decode_words(&head.payload)?.into())
        };
        Ok(List { db, key: key.clone(), head: Some(head), form })
    }

    /// The list of a key; an empty one if there is none, which is stored with its first element.
    pub fn find_or_new(keys: &mut Keyspace<'_>, db: u8, key: &Bytes) -> Result<List> {
        let found = List::find(keys, db, key)?;
        Ok(found.unwrap_or_else(|| List { db, key: key.clone(), head: None, form: Form::Small(VecDeque::new()) }))
    }

    /// How many elements there are; none only while the list is new.
    pub fn len(&self) -> u64 {
        match &self.form {
            Form::Small(elements) => elements.len() as u64,
            Form::Spread(parts) => parts.len(),
        }
    }

    /// Whether there is no element yet.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds elements at an end, one after the other, and returns how many there are then.
    pub fn push(mut self, keys: &mut Keyspace<'_>, end: End, elements: &[Bytes]) -> Result<u64> {
        let at = match (&mut self.form, end) {
            (Form::Small(all), _) => all,
            (Form::Spread(parts), End::Left) => &mut parts.front,
            (Form::Spread(parts), End::Right) => &mut parts.back,
        };
        for element in elements {
            match end {
                End::Left => at.push_front(element.clone()),
                End::Right => at.push_back(element.clone()),
            }
        }
        let len = self.len();
        self.save(keys)?;
        Ok(len)
    }

    /// Takes elements from an end, as many as there are at most; the one at the end comes first.
    pub fn pop(mut self, keys: &mut Keyspace<'_>, end: End, count: u64) -> Result<Vec<Bytes>> {
        let len = self.len();
        let count = count.min(len);
        let range = if end == End::Left { (0, count) } else { (len - count, len) };
        // First, so that what is popped is mostly in the head.
        if let Form::Spread(parts) = &mut self.form {
            parts.refill(keys.store, end)?;
        }
        let mut popped = self.range(keys, range.0, range.1)?;
        self.splice(keys, range, Vec::new())?;
        if end == End::Right {
            popped.reverse();
        }
        Ok(popped)
    }

    /// The elements from index `from` to before `to`.
    pub fn range(&self, keys: &Keyspace<'_>, from: u64, to: u64) -> Result<Vec<Bytes>> {
        let mut left = to.saturating_sub(from);
        let mut elements = Vec::new();
        if left > 0 {
            self.visit(keys, from, Order::Forward, &mut |element| {
                elements.push(element);
                left -= 1;
                if left > 0 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
            })?;
        }
        Ok(elements)
    }

    /// Visits the elements from one end, or from `skip` elements behind it.
    pub fn visit(
        &self,
        keys: &Keyspace<'_>,
        skip: u64,
        order: Order,
        visit: &mut dyn FnMut(Bytes) -> ControlFlow<()>,
    ) -> Result<()> {
        match &self.form {
            Form::Small(elements) => {
                let _ = visit_some(elements, skip, order, visit);
                Ok(())
            }
            Form::Spread(parts) => parts.visit(keys.store, skip, order, visit),
        }
    }

    /// Replaces the elements from index `range.0` to before `range.1`.
    pub fn splice(mut self, keys: &mut Keyspace<'_>, range: (u64, u64), new: Vec<Bytes>) -> Result<()> {
        self.replace(keys, range, new)?;
        self.save(keys)
    }

    /// Removes the elements at some indexes, in ascending order.
    pub fn remove(mut self, keys: &mut Keyspace<'_>, indexes: &[u64]) -> Result<()> {
        for index in indexes.iter().rev() {
            self.replace(keys, (*index, index + 1), Vec::new())?;
        }
        self.save(keys)
    }

    /// Keeps only the elements from index `from` to before `to`.
    pub fn trim(mut self, keys: &mut Keyspace<'_>, from: u64, to: u64) -> Result<()> {
        let len = self.len();
        if from >= to {
            self.replace(keys, (0, len), Vec::new())?;
        } else {
            self.replace(keys, (to, len), Vec::new())?;
            self.replace(keys, (0, from), Vec::new())?;
        }
        self.save(keys)
    }

    fn replace(&mut self, keys: &mut Keyspace<'_>, range: (u64, u64), new: Vec<Bytes>) -> Result<()> {
        match &mut self.form {
            Form::Small(elements) => {
                splice_some(elements, range, new);
                Ok(())
            }
            Form::Spread(parts) => parts.splice(keys.store, range, new),
        }
    }

    /// Writes the head, or removes the key with the last element.
    fn save(mut self, keys: &mut Keyspace<'_>) -> Result<()> {
        let before = self.head.as_ref();
        if self.is_empty() {
            if let Some(before) = before {
                keys.remove(self.db, &self.key, before);
            }
            return Ok(());
        }
        let entries_max = keys.thresholds.node_entries_max;
        if let Form::Small(elements) = &mut self.form
            && (elements.len() > entries_max || weight(elements) > SMALL_BYTES_MAX)
        {
            let elements = std::mem::take(elements);
            self.form = Form::Spread(Parts::new(self.db, &self.key, entries_max, elements));
        }
        let head = match &mut self.form {
            Form::Small(elements) => Head::new(Kind::List, packed::encode_words(elements.make_contiguous())),
            Form::Spread(parts) => {
                parts.settle(keys.store)?;
                Head { spread: true, ..Head::new(Kind::List, parts.encode()) }
            }
        };
        let deadline = before.and_then(|before| before.deadline);
        keys.set(self.db, &self.key, before, head.with_deadline(deadline));
        Ok(())
    }
}

impl Parts {
    fn new(db: u8, key: &Bytes, entries_max: usize, elements: VecDeque<Bytes>) -> Parts {
        let tree = Tree::new(db, key, |_, _| Bytes::new(), entries_max);
        Parts { front: VecDeque::new(), tree, back: elements, entries_max }
    }

    fn decode(db: u8, key: &Bytes, entries_max: usize, payload: &Bytes) -> Result<Parts> {
        let parts = Parts::new(db, key, entries_max, VecDeque::new());
        let mut rest = &payload[..];
        let tree = parts.tree.decode(&mut rest)?;
        let front = payload.slice_ref(packed::take_word(&mut rest)?);
        let back = packed::decode_words(&payload.slice_ref(rest))?;
        Ok(Parts { front: packed::decode_words(&front)?.into(), tree, back: back.into(), entries_max })
    }

    fn encode(&mut self) -> Bytes {
        let mut out = BytesMut::with_capacity(64 + weight(&self.front) + weight(&self.back));
        self.tree.encode(&mut out);
        packed::put_word(&mut out, &packed::encode_words(self.front.make_contiguous()));
        self.back.iter().for_each(|element| packed::put_word(&mut out, element));
        out.freeze()
    }

    fn len(&self) -> u64 {
        self.front.len() as u64 + self.tree.count() + self.back.len() as u64
    }

    fn visit(
        &self,
        store: &dyn Read,
        mut skip: u64,
        order: Order,
        visit: &mut dyn FnMut(Bytes) -> ControlFlow<()>,
    ) -> Result<()> {
        let (first, last) = match order {
            Order::Forward => (&self.front, &self.back),
            Order::Backward => (&self.back, &self.front),
        };
        if visit_some(first, skip, order, visit).is_break() {
            return Ok(());
        }
        skip = skip.saturating_sub(first.len() as u64);
        let mut flow = ControlFlow::Continue(());
        self.tree.visit(store, skip, order, &mut |element| {
            flow = visit(element);
            flow
        })?;
        if flow.is_continue() {
            let _ = visit_some(last, skip.saturating_sub(self.tree.count()), order, visit);
        }
        Ok(())
    }

    /// What is put in between two parts goes to the front or the back: they are in the head, which is written anyway.
    fn splice(&mut self, store: &mut dyn Write, (from, to): (u64, u64), mut new: Vec<Bytes>) -> Result<()> {
        let (front, back) = (self.front.len() as u64, self.front.len() as u64 + self.tree.count());
        let part = |start: u64, end: u64| (from.clamp(start, end) - start, to.clamp(start, end) - start);
        let (in_front, in_tree, in_back) = (part(0, front), part(front, back), part(back, self.len()));
        if !self.front.is_empty() && from <= front {
            splice_some(&mut self.front, in_front, std::mem::take(&mut new));
        }
        if !self.back.is_empty() && to >= back {
            let new = if from >= back { std::mem::take(&mut new) } else { Vec::new() };
            splice_some(&mut self.back, in_back, new);
        }
        if in_tree.0 < in_tree.1 || !new.is_empty() {
            self.tree.splice(store, in_tree, new, &|_| false)?;
        }
        Ok(())
    }

    /// Makes an end that something is taken from next cheap to take from.
    fn refill(&mut self, store: &mut dyn Write, end: End) -> Result<()> {
        match end {
            End::Left if self.front.is_empty() => {
                self.front = self.tree.take_leaf(store, Order::Forward)?.into();
            }
            End::Right if self.back.is_empty() => {
                self.back = self.tree.take_leaf(store, Order::Backward)?.into();
            }
            _ => {}
        }
        Ok(())
    }

    /// Moves what is too much in front and back to the tree, and leaves half a node's worth of the ends: whatever
    /// comes next, neither end is full or empty at once.
    fn settle(&mut self, store: &mut dyn Write) -> Result<()> {
        if self.is_full(&self.front) {
            let kept = self.kept(self.front.iter());
            let moved = self.front.split_off(kept);
            self.tree.splice(store, (0, 0), moved.into(), &|_| false)?;
        }
        if self.is_full(&self.back) {
            let kept = self.kept(self.back.iter().rev());
            let stays = self.back.split_off(self.back.len() - kept);
            let moved = std::mem::replace(&mut self.back, stays);
            let end = self.tree.count();
            self.tree.splice(store, (end, end), moved.into(), &|_| false)?;
        }
        Ok(())
    }

    fn is_full(&self, part: &VecDeque<Bytes>) -> bool {
        part.len() > self.entries_max || weight(part) > NODE_BYTES_MAX
    }

    fn kept<'a>(&self, from_the_end: impl Iterator<Item = &'a Bytes>) -> usize {
        let mut bytes = 0;
        let fits = from_the_end.take(self.entries_max / 2).take_while(|element| {
            bytes += element.len() + 2;
            bytes <= NODE_BYTES_MAX / 2
        });
        fits.count()
    }
}

/// How many elements a list has, and how many bytes Redis would need for them in one piece, from its head alone.
pub fn size(head: &Head) -> Result<(u64, u64)> {
    let (count, bytes) = if head.spread {
        let parts = Parts::decode(0, &Bytes::new(), 2, &head.payload)?;
        let ends = parts.front.iter().chain(&parts.back).map(|element| element.len() as u64).sum::<u64>();
        (parts.len(), parts.tree.bytes() + ends)
    } else {
        let mut size = (0, 0);
        for word in packed::words(&head.payload) {
            size = (size.0 + 1, size.1 + word?.len() as u64);
        }
        size
    };
    // Each has two lengths, before and behind; the whole has a header and an end.
    Ok((count, bytes + 2 * count + 7))
}

/// How many elements of a spread list are in its tree, and how many bytes they have, from its head alone.
pub(super) fn tree_size(head: &Head) -> Result<(u64, u64)> {
    let parts = Parts::decode(0, &Bytes::new(), 2, &head.payload)?;
    Ok((parts.tree.count(), parts.tree.bytes()))
}

/// What is wrong with the records of a spread list.
pub(super) fn audit(view: &dyn Read, db: u8, key: &Bytes, head: &Head) -> Result<Vec<String>> {
    let parts = Parts::decode(db, key, 2, &head.payload)?;
    let (mut wrong, _) = parts.tree.audit(view)?;
    if parts.len() == 0 {
        wrong.push("a list without elements".into());
    }
    Ok(wrong)
}

fn visit_some(
    elements: &VecDeque<Bytes>,
    skip: u64,
    order: Order,
    visit: &mut dyn FnMut(Bytes) -> ControlFlow<()>,
) -> ControlFlow<()> {
    let skip = usize::try_from(skip).unwrap_or(usize::MAX);
    match order {
        Order::Forward => elements.iter().skip(skip).cloned().try_for_each(visit),
        Order::Backward => elements.iter().rev().skip(skip).cloned().try_for_each(visit),
    }
}

fn splice_some(elements: &mut VecDeque<Bytes>, (from, to): (u64, u64), new: Vec<Bytes>) {
    let tail = elements.split_off(to as usize);
    elements.truncate(from as usize);
    elements.extend(new);
    elements.extend(tail);
}

fn weight(elements: &VecDeque<Bytes>) -> usize {
    elements.iter().map(|element| element.len() + 2).sum()
}
