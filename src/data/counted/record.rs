//! A node's record as it is stored: looked into without taking it apart, and changed by copying it with a few other
//! bytes. What most commands do to a tree needs no more; whatever divides or joins nodes works on [`super::node::Node`].

use std::ops::Range;

use bytes::{BufMut, Bytes, BytesMut};

use super::damaged;
use super::node::{CHILD_BYTES, INNER, LEAF, Sizes};
use crate::data::{Result, packed};
use crate::store::Order;

/// What a record holds.
pub enum View<'a> {
    /// Entries, packed.
    Leaf(&'a [u8]),
    /// Nodes of the next level.
    Inner(Children<'a>),
}

/// The children in an inner node's record, one by one. An error is the last item that means anything.
pub struct Children<'a> {
    record: &'a [u8],
    rest: &'a [u8],
}

/// What an inner node's record says of one child.
pub struct ChildView<'a> {
    /// Its record.
    pub id: u64,
    /// Where in the record all this stands.
    pub at: Range<usize>,
    /// Entries below it.
    pub count: u64,
    /// Where in the record that count stands.
    pub count_at: Range<usize>,
    /// Above everything before it, not above anything in it. Means nothing for a first child.
    pub separator: &'a [u8],
}

/// A leaf's record that one entry was taken out of, put into, or both.
pub struct Edited {
    /// The new record.
    pub record: Bytes,
    /// Bytes of the entry that was taken out.
    pub removed_bytes: u64,
}

/// Looks into a record.
pub fn view(record: &[u8]) -> Result<View<'_>> {
    match record.split_first() {
        Some((&LEAF, entries)) => Ok(View::Leaf(entries)),
        Some((&INNER, rest)) => Ok(View::Inner(Children { record, rest })),
        _ => Err(damaged()),
    }
}

impl<'a> Children<'a> {
    /// The child that a splice of no entry or a single one goes to, and how many entries are before it: see
    /// [`super::node::touched`].
    pub fn touched(
        mut self,
        (from, to): (u64, u64),
        is_before: &dyn Fn(&[u8]) -> bool,
    ) -> Result<(ChildView<'a>, u64)> {
        let mut before = 0;
        while let Some(child) = self.next() {
            let child = child?;
            let end = child.count.checked_add(before).ok_or_else(damaged)?;
            if from < end {
                return Ok((child, before));
            }
            if from == end && to == from {
                // Between two children it goes by its order.
                return match self.next().transpose()? {
                    Some(next) if is_before(next.separator) => Ok((next, end)),
                    _ => Ok((child, before)),
                };
            }
            before = end;
        }
        Err(damaged())
    }

    /// The first child, or the last.
    pub fn end(mut self, order: Order) -> Result<ChildView<'a>> {
        let end = match order {
            Order::Forward => self.next(),
            Order::Backward => self.last(),
        };
        end.ok_or_else(damaged)?
    }

    /// The last child that is not behind a place, and how many entries are before it.
    pub fn partition(mut self, is_before: &dyn Fn(&[u8]) -> bool) -> Result<(u64, u64)> {
        let first = self.next().ok_or_else(damaged)??;
        let (mut id, mut count, mut before) = (first.id, first.count, 0u64);
        for child in self {
            let child = child?;
            if !is_before(child.separator) {
                break;
            }
            before = before.checked_add(count).ok_or_else(damaged)?;
            (id, count) = (child.id, child.count);
        }
        Ok((id, before))
    }

    fn child(&mut self) -> Result<ChildView<'a>> {
        let place = |rest: &[u8]| self.record.len() - rest.len();
        let start = place(self.rest);
        let id = packed::take_number(&mut self.rest)?;
        let count_start = place(self.rest);
        let count = packed::take_number(&mut self.rest)?;
        let count_at = count_start..place(self.rest);
        let separator = packed::take_word(&mut self.rest)?;
        Ok(ChildView { id, at: start..place(self.rest), count, count_at, separator })
    }
}

impl<'a> Iterator for Children<'a> {
    type Item = Result<ChildView<'a>>;

    fn next(&mut self) -> Option<Self::Item> {
        (!self.rest.is_empty()).then(|| self.child())
    }
}

/// How many entries at the start of a leaf are before a place.
pub fn partition(entries: &[u8], is_before: &dyn Fn(&[u8]) -> bool) -> Result<u64> {
    let mut rank = 0;
    for entry in packed::words(entries) {
        if !is_before(entry?) {
            break;
        }
        rank += 1;
    }
    Ok(rank)
}

/// A leaf's record without its entry at `from` (if `to` is behind it) and with a new one there. `None` if the leaf then
/// would have to be divided, joined with another one, or removed; one that is the whole tree may be `lonely`.
pub fn edit(
    record: &[u8],
    (from, to): (u64, u64),
    new: Option<&[u8]>,
    sizes: Sizes,
    lonely: bool,
) -> Result<Option<Edited>> {
    let mut rest = record.get(1..).ok_or_else(damaged)?;
    let (mut entries, mut weight) = (0u64, 0usize);
    // Where the entry at `from` is, or would be, and how long it is.
    let (mut hole, mut removed) = (record.len()..record.len(), None);
    while !rest.is_empty() {
        let start = record.len() - rest.len();
        let entry = packed::take_word(&mut rest)?.len();
        if entries == from {
            let end = if to > from { record.len() - rest.len() } else { start };
            (hole, removed) = (start..end, (to > from).then_some(entry));
        }
        entries += 1;
        weight += entry + 2;
    }
    if to > entries || from > entries {
        return Err(damaged());
    }
    if let Some(removed) = removed {
        entries -= 1;
        weight -= removed + 2;
    }
    if let Some(new) = new {
        entries += 1;
        weight += new.len() + 2;
    }
    let joins = removed.is_some() && !lonely && sizes.are_small(entries as usize, weight);
    if entries == 0 || joins || entries as usize > sizes.entries_max || weight > sizes.bytes_max {
        return Ok(None);
    }
    let mut out = BytesMut::with_capacity(record.len() + new.map_or(0, |new| new.len() + 4));
    out.put_slice(&record[..hole.start]);
    if let Some(new) = new {
        packed::put_word(&mut out, new);
    }
    out.put_slice(&record[hole.end..]);
    Ok(Some(Edited { record: out.freeze(), removed_bytes: removed.unwrap_or(0) as u64 }))
}

/// An inner node's record without one of its children. `None` if it then would have to be joined with another one, or, as
/// the root, would have a single child.
pub fn without(record: &[u8], child: &Range<usize>, sizes: Sizes, is_root: bool) -> Result<Option<Bytes>> {
    let View::Inner(children) = view(record)? else { return Err(damaged()) };
    let (mut left, mut weight) = (0, 0);
    for other in children {
        let other = other?;
        if other.at != *child {
            left += 1;
            weight += other.separator.len() + CHILD_BYTES;
        }
    }
    if left == 0 || (is_root && left == 1) || (!is_root && sizes.are_small(left, weight)) {
        return Ok(None);
    }
    let mut out = BytesMut::with_capacity(record.len());
    out.put_slice(&record[..child.start]);
    out.put_slice(&record[child.end..]);
    Ok(Some(out.freeze()))
}

/// An inner node's record with another count of a child.
pub fn recount(record: &[u8], count_at: Range<usize>, count: u64) -> Bytes {
    let mut out = BytesMut::with_capacity(record.len() + CHILD_BYTES);
    out.put_slice(&record[..count_at.start]);
    packed::put_varint(&mut out, count);
    out.put_slice(&record[count_at.end..]);
    out.freeze()
}
