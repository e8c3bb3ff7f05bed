//! The records of an overlay. Heads of keys are looked up one by one with every command, so they are in a hash map; all
//! others, which ranges ask for, in an ordered one.
//!
//! Invariant: `sorted`, where it is filled, holds exactly the keys of `heads`. Whoever walks over heads pays for sorting them
//! once; whatever adds or removes one empties it.

use std::cell::OnceCell;
use std::collections::btree_map::{self, BTreeMap};
use std::ops::Bound;

use bytes::Bytes;
use hashbrown::hash_map;

use super::Point;
use crate::base::HashMap;
use crate::store::keys;
use crate::store::map_key::{Comparable, Key, Sought};

/// Points by their records.
#[derive(Debug, Default)]
pub(super) struct Points {
    heads: HashMap<Bytes, Point>,
    others: BTreeMap<Key, Point>,
    sorted: OnceCell<Vec<Bytes>>,
}

/// Records with their values, `None` for a removed one.
type Found<'a> = (&'a Bytes, Option<&'a Bytes>);

impl Points {
    pub fn is_empty(&self) -> bool {
        self.heads.is_empty() && self.others.is_empty()
    }

    pub fn get(&self, key: &[u8]) -> Option<&Point> {
        if keys::is_head(key) { self.heads.get(key) } else { self.others.get(&Sought::from(key) as &dyn Comparable) }
    }

    /// Puts in what `make` makes of the point that is there now, which is returned.
    pub fn replace(&mut self, key: Bytes, make: impl FnOnce(Option<&Point>) -> Point) -> Option<Point> {
        if keys::is_head(&key) {
            match self.heads.entry(key) {
                hash_map::Entry::Occupied(mut known) => {
                    let point = make(Some(known.get()));
                    Some(known.insert(point))
                }
                hash_map::Entry::Vacant(place) => {
                    place.insert(make(None));
                    self.sorted.take();
                    None
                }
            }
        } else {
            match self.others.entry(key.into()) {
                btree_map::Entry::Occupied(mut known) => {
                    let point = make(Some(known.get()));
                    Some(known.insert(point))
                }
                btree_map::Entry::Vacant(place) => {
                    place.insert(make(None));
                    None
                }
            }
        }
    }

    pub fn remove(&mut self, key: Bytes) -> Option<Point> {
        self.remove_if(key, |_| true)
    }

    pub fn remove_if(&mut self, key: Bytes, which: impl FnOnce(&Point) -> bool) -> Option<Point> {
        if keys::is_head(&key) {
            match self.heads.entry(key) {
                hash_map::Entry::Occupied(point) if which(point.get()) => {
                    self.sorted.take();
                    Some(point.remove())
                }
                _ => None,
            }
        } else {
            match self.others.entry(key.into()) {
                btree_map::Entry::Occupied(point) if which(point.get()) => Some(point.remove()),
                _ => None,
            }
        }
    }

    /// Those from `start` to before `end`, ascending.
    pub fn range(&self, start: &[u8], end: &[u8]) -> Within<'_> {
        let (from, to) = (Sought::from(start), Sought::from(end));
        let range = (Bound::Included(&from as &dyn Comparable), Bound::Excluded(&to as &dyn Comparable));
        let others = self.others.range::<dyn Comparable, _>(range);
        let heads = if keys::may_hold_heads(start, end) { self.heads_within(start, end) } else { &[] };
        if heads.is_empty() {
            return Within::Others(others);
        }
        let mut both: Vec<Found<'_>> = others.map(found).collect();
        both.extend(heads.iter().filter_map(|key| Some((key, self.heads.get(key)?.value.as_ref()))));
        both.sort_unstable_by_key(|(key, _)| *key);
        Within::Both(both.into_iter())
    }

    fn heads_within(&self, start: &[u8], end: &[u8]) -> &[Bytes] {
        let sorted = self.sorted.get_or_init(|| {
            let mut sorted: Vec<Bytes> = self.heads.keys().cloned().collect();
            sorted.sort_unstable();
            sorted
        });
        let before = |key: &[u8]| sorted.partition_point(|known| known[..] < *key);
        let (first, after) = (before(start), before(end));
        &sorted[first..after.max(first)]
    }
}

fn found<'a>((key, point): (&'a Key, &'a Point)) -> Found<'a> {
    (key.bytes(), point.value.as_ref())
}

/// Points of a range; see [`Points::range`].
pub(super) enum Within<'a> {
    /// No heads are among them.
    Others(btree_map::Range<'a, Key, Point>),
    /// Some are.
    Both(std::vec::IntoIter<Found<'a>>),
}

impl<'a> Iterator for Within<'a> {
    type Item = Found<'a>;

    fn next(&mut self) -> Option<Found<'a>> {
        match self {
            Within::Others(others) => others.next().map(found),
            Within::Both(both) => both.next(),
        }
    }
}

impl DoubleEndedIterator for Within<'_> {
    fn next_back(&mut self) -> Option<Self::Item> {
        match self {
            Within::Others(others) => others.next_back().map(found),
            Within::Both(both) => both.next_back(),
        }
    }
}
