//! Records of a base with newer points and removed ranges laid over them, visited in order.

use std::collections::BTreeMap;
use std::ops::{Bound, ControlFlow};

use bytes::Bytes;

use super::{Order, Read, Result, Visit};

/// Disjoint ranges of keys.
#[derive(Clone, Debug, Default)]
pub(super) struct Ranges(BTreeMap<Bytes, Bytes>);

impl Ranges {
    /// Adds a range, joined with those that it meets. One that ends before it starts is empty.
    pub fn insert(&mut self, mut start: Bytes, mut end: Bytes) {
        if start >= end {
            return;
        }
        while let Some((met, met_end)) = self.0.range(..=end.clone()).next_back() {
            if *met_end < start {
                break;
            }
            let met = met.clone();
            end = end.max(met_end.clone());
            self.0.remove(&met);
            start = start.min(met);
        }
        self.0.insert(start, end);
    }

    /// Whether a range holds the key.
    pub fn contains(&self, key: &[u8]) -> bool {
        let at_or_before = (Bound::Unbounded, Bound::Included(key));
        self.0.range::<[u8], _>(at_or_before).next_back().is_some_and(|(_, end)| end[..] > *key)
    }

    /// All of them, ascending.
    pub fn iter(&self) -> impl Iterator<Item = (&Bytes, &Bytes)> {
        self.0.iter()
    }

    /// The parts of `start..end` that no range holds, ascending.
    pub fn gaps<'a>(&'a self, start: &'a [u8], end: &'a [u8]) -> Vec<(&'a [u8], &'a [u8])> {
        if start >= end {
            return Vec::new();
        }
        let before = self.0.range::<[u8], _>((Bound::Unbounded, Bound::Included(start))).next_back();
        let within = self.0.range::<[u8], _>((Bound::Excluded(start), Bound::Excluded(end)));
        gaps(before.into_iter().chain(within).map(|(start, end)| (&start[..], &end[..])), start, end)
    }
}

/// The parts of `start..end` outside `removed`: disjoint ranges, ascending, that start before `end`.
pub(super) fn gaps<'a>(
    removed: impl Iterator<Item = (&'a [u8], &'a [u8])>,
    start: &'a [u8],
    end: &'a [u8],
) -> Vec<(&'a [u8], &'a [u8])> {
    let mut gaps = Vec::new();
    let mut from = start;
    for (removed_start, removed_end) in removed {
        if from < removed_start {
            gaps.push((from, removed_start));
        }
        from = from.max(removed_end);
    }
    if from < end {
        gaps.push((from, end));
    }
    gaps
}

/// Visits the base's records in `gaps` (ascending) and the points, together in `order`. A point comes with its value,
/// or `None` where there is no record any more, and hides the base's record; points come in `order` already.
pub(super) fn merge<K: AsRef<[u8]>, V: AsRef<[u8]>>(
    base: &dyn Read,
    mut gaps: Vec<(&[u8], &[u8])>,
    order: Order,
    points: impl Iterator<Item = (K, Option<V>)>,
    visit: &mut Visit<'_>,
) -> Result<()> {
    if order == Order::Backward {
        gaps.reverse();
    }
    let mut points = points.peekable();
    let mut ended = false;
    for (start, end) in gaps {
        base.scan(start, end, order, &mut |key, value| {
            let comes_first = |point: &[u8]| match order {
                Order::Forward => point <= key,
                Order::Backward => point >= key,
            };
            while let Some((point, shown)) = points.next_if(|(point, _)| comes_first(point.as_ref())) {
                if let Some(shown) = &shown
                    && visit(point.as_ref(), shown.as_ref()).is_break()
                {
                    ended = true;
                    return ControlFlow::Break(());
                }
                if point.as_ref() == key {
                    return ControlFlow::Continue(());
                }
            }
            let flow = visit(key, value);
            ended = flow.is_break();
            flow
        })?;
        if ended {
            return Ok(());
        }
    }
    for (point, shown) in points {
        if let Some(shown) = &shown
            && visit(point.as_ref(), shown.as_ref()).is_break()
        {
            break;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Rng;

    #[test]
    fn ranges_hold_what_was_put_into_them() {
        let mut rng = Rng::new(1);
        for _ in 0..300 {
            let mut ranges = Ranges::default();
            let mut held = [false; 40];
            for _ in 0..rng.below(8) {
                let (start, end) = (rng.below(40) as u8, rng.below(41) as u8);
                ranges.insert(Bytes::from(vec![start]), Bytes::from(vec![end]));
                (start..end).for_each(|key| held[usize::from(key)] = true);
            }
            for (key, held) in (0..).zip(held) {
                assert_eq!(ranges.contains(&[key]), held);
            }
            let pairs: Vec<_> = ranges.iter().collect();
            assert!(pairs.windows(2).all(|pair| pair[0].1 < pair[1].0), "disjoint and apart");
            let (start, end) = (rng.below(40) as u8, rng.below(41) as u8);
            let mut outside = Vec::new();
            for (from, to) in ranges.gaps(&[start], &[end]) {
                outside.extend(from[0]..to[0]);
            }
            let expected: Vec<u8> = (start..end).filter(|key| !held[usize::from(*key)]).collect();
            assert_eq!(outside, expected);
        }
    }
}
