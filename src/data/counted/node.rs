//! One node of a counted tree: its bytes, how large it may be, and how it is divided.
//!
//! ```text
//! leaf    0 | entries, packed
//! inner   1 | per child: id varint | entries below varint | separator, packed
//! ```

use bytes::{BufMut, Bytes, BytesMut};

use super::{Separator, damaged};
use crate::data::{Result, packed};

/// First byte of a leaf's record.
pub const LEAF: u8 = 0;
/// First byte of an inner node's record.
pub const INNER: u8 = 1;
/// Bytes of an inner node's child beside its separator, roughly.
pub const CHILD_BYTES: usize = 8;

/// What a node holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Node {
    /// Entries.
    Leaf(Vec<Bytes>),
    /// Nodes of the next level.
    Inner(Vec<Child>),
}

/// What a node knows of one below it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Child {
    /// Its record.
    pub id: u64,
    /// Entries below it.
    pub count: u64,
    /// Above everything before it, not above anything in it. Means nothing for a first child.
    pub separator: Bytes,
    /// Whether it was just written and should be joined with another one. Not stored.
    pub is_small: bool,
}

/// Where the room is left when a node is divided: where nothing will come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fill {
    /// Full from the left: entries come at the end.
    Left,
    /// Full from the right: entries come at the start.
    Right,
    /// All alike.
    Even,
}

/// How large nodes may be.
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    /// Entries or children.
    pub entries_max: usize,
    /// Bytes.
    pub bytes_max: usize,
}

impl Node {
    /// The record's value.
    pub fn encode(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(1 + self.weight());
        match self {
            Node::Leaf(entries) => {
                out.put_u8(LEAF);
                entries.iter().for_each(|entry| packed::put_word(&mut out, entry));
            }
            Node::Inner(children) => {
                out.put_u8(INNER);
                for child in children {
                    packed::put_varint(&mut out, child.id);
                    packed::put_varint(&mut out, child.count);
                    packed::put_word(&mut out, &child.separator);
                }
            }
        }
        out.freeze()
    }

    /// Reads a record's value.
    pub fn decode(record: &Bytes) -> Result<Node> {
        match record.split_first() {
            Some((&LEAF, _)) => Ok(Node::Leaf(packed::decode_words(&record.slice(1..))?)),
            Some((&INNER, mut rest)) => {
                let mut children = Vec::new();
                while !rest.is_empty() {
                    let (id, count) = (packed::take_number(&mut rest)?, packed::take_number(&mut rest)?);
                    let separator = record.slice_ref(packed::take_word(&mut rest)?);
                    children.push(Child { id, count, separator, is_small: false });
                }
                if children.is_empty() { Err(damaged()) } else { Ok(Node::Inner(children)) }
            }
            _ => Err(damaged()),
        }
    }

    /// Entries in it or below it.
    pub fn count(&self) -> u64 {
        match self {
            Node::Leaf(entries) => entries.len() as u64,
            Node::Inner(children) => children.iter().map(|child| child.count).sum(),
        }
    }

    /// The same as several nodes that are not too large; none if there is nothing in it.
    pub fn divide(self, sizes: Sizes, fill: Fill) -> Vec<Node> {
        match self {
            Node::Leaf(entries) => divide(entries, |entry| entry.len() + 2, sizes, fill, 1, Node::Leaf),
            // Two to a node at least, or a tree would grow in height only.
            Node::Inner(children) => {
                divide(children, |child| child.separator.len() + CHILD_BYTES, sizes, fill, 2, Node::Inner)
            }
        }
    }

    fn len(&self) -> usize {
        match self {
            Node::Leaf(entries) => entries.len(),
            Node::Inner(children) => children.len(),
        }
    }

    fn weight(&self) -> usize {
        match self {
            Node::Leaf(entries) => entries.iter().map(|entry| entry.len() + 2).sum(),
            Node::Inner(children) => children.iter().map(|child| child.separator.len() + CHILD_BYTES).sum(),
        }
    }
}

impl Sizes {
    /// Whether a node is so small that it should be joined with another one.
    pub fn is_small(self, node: &Node) -> bool {
        self.are_small(node.len(), node.weight())
    }

    /// Likewise, for a node with so many entries or children of so many bytes.
    pub fn are_small(self, entries: usize, bytes: usize) -> bool {
        entries * 4 <= self.entries_max && bytes * 4 <= self.bytes_max
    }

    /// Whether a node is not full: one that two were joined to, and that will not be divided at once.
    pub fn has_room(self, node: &Node) -> bool {
        node.len() * 4 <= self.entries_max * 3 && node.weight() * 4 <= self.bytes_max * 3
    }
}

impl Fill {
    /// How to divide a node that changed at its end or at its start.
    pub fn of(at_end: bool, at_start: bool) -> Fill {
        match (at_end, at_start) {
            (true, _) => Fill::Left,
            (false, true) => Fill::Right,
            (false, false) => Fill::Even,
        }
    }
}

/// The first and the last child that a splice of ranks concerns. What is put in between two children goes by its
/// order.
pub fn touched(
    children: &[Child],
    (from, to): (u64, u64),
    is_before: &dyn Fn(&[u8]) -> bool,
) -> Option<(usize, usize)> {
    let ends: Vec<u64> = children
        .iter()
        .scan(0, |end, child| {
            *end += child.count;
            Some(*end)
        })
        .collect();
    let (first, last) = if to > from {
        (ends.partition_point(|end| *end <= from), ends.partition_point(|end| *end < to))
    } else {
        let at = ends.partition_point(|end| *end < from);
        let is_behind =
            ends.get(at) == Some(&from) && children.get(at + 1).is_some_and(|next| is_before(&next.separator));
        (at + usize::from(is_behind), at + usize::from(is_behind))
    };
    (last < children.len()).then_some((first, last))
}

/// What divides two neighbours.
pub fn separator(left: &Node, right: &Node, of: Separator) -> Bytes {
    match (left, right) {
        (Node::Leaf(left), Node::Leaf(right)) => match (left.last(), right.first()) {
            (Some(last), Some(first)) => of(last, first),
            _ => Bytes::new(),
        },
        (_, Node::Inner(children)) => children.first().map_or_else(Bytes::new, |child| child.separator.clone()),
        _ => Bytes::new(),
    }
}

fn divide<T>(
    items: Vec<T>,
    weight: impl Fn(&T) -> usize,
    sizes: Sizes,
    fill: Fill,
    least: usize,
    node: impl Fn(Vec<T>) -> Node,
) -> Vec<Node> {
    let bytes: usize = items.iter().map(&weight).sum();
    let parts = bytes.div_ceil(sizes.bytes_max).max(items.len().div_ceil(sizes.entries_max));
    if parts <= 1 {
        return if items.is_empty() { Vec::new() } else { vec![node(items)] };
    }
    let (entries_max, bytes_max) = match fill {
        Fill::Even => (items.len().div_ceil(parts), bytes.div_ceil(parts)),
        Fill::Left | Fill::Right => (sizes.entries_max, sizes.bytes_max),
    };
    let mut groups: Vec<(usize, Vec<T>)> = Vec::new();
    let mut place = |item: T| {
        let size = weight(&item);
        match groups.last_mut() {
            Some((taken, group))
                if group.len() < least || (group.len() < entries_max && *taken + size <= bytes_max) =>
            {
                *taken += size;
                group.push(item);
            }
            _ => groups.push((size, vec![item])),
        }
    };
    if fill == Fill::Right {
        items.into_iter().rev().for_each(&mut place);
        groups.reverse();
        groups.iter_mut().for_each(|(_, group)| group.reverse());
    } else {
        items.into_iter().for_each(place);
    }
    groups.into_iter().map(|(_, group)| node(group)).collect()
}
