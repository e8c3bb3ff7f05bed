//! The element records of one large value, in the order of their checksums: walking them, in portions or to the end,
//! and drawing some of them at random.
//!
//! Checksums spread elements evenly, so they are their own index for drawing. `n` elements are seen as `B` buckets, a
//! power of two, by the first bits of the checksum, so that a bucket has 8 to 16 of them on average. A draw takes a
//! bucket and a place below [`PLACES`], both at random, and is repeated until that place of that bucket is taken:
//! every element has the same chance of 1 in `B * PLACES` each time. That is exact while no bucket has more than
//! `PLACES` elements, which chance does not bring about (less than 1 in 10^17 per bucket), only names made to have
//! one checksum: those then share the chances of `PLACES`.

use std::ops::ControlFlow;

use bytes::Bytes;

use super::packed::Pair;
use super::{Error, Keyspace, Result};
use crate::base::{HashSet, Rng};
use crate::store::keys::{self, ElementKind};
use crate::store::{self, Order};

/// Places of a bucket.
const PLACES: u64 = 64;
/// After so many attempts there is nothing to be drawn: each hits with a chance of 1 in 8 at least.
const ATTEMPTS_MAX: usize = 2_000;
/// What a draw costs, in elements looked at, compared with walking over one of them: it repeats itself 4 to 8 times.
const DRAW_COST: u64 = 64;

/// Called for each element record: checksum, name, value.
type Visit<'a> = dyn FnMut(u32, &[u8], &[u8]) -> ControlFlow<()> + 'a;

/// Where the elements of one kind of one key are.
#[derive(Clone, Copy, Debug)]
pub(super) struct Elements<'a> {
    /// Database of the key.
    pub db: u8,
    /// The key.
    pub key: &'a [u8],
    /// What they are.
    pub kind: ElementKind,
}

/// A part of an iteration over elements.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scanned {
    /// Where to go on, 0 at the end.
    pub cursor: u64,
    /// Names and values in this part.
    pub pairs: Vec<Pair>,
}

impl Elements<'_> {
    /// The record of one element.
    pub fn record(&self, name: &[u8]) -> Bytes {
        keys::element(self.db, self.key, self.kind, name)
    }

    /// All of them, in the order of their checksums.
    pub fn pairs(&self, keys: &Keyspace<'_>) -> Result<Vec<Pair>> {
        let mut pairs = Vec::new();
        self.visit(keys, 0, None, &mut |_, name, value| {
            pairs.push(copied(name, value));
            ControlFlow::Continue(())
        })?;
        Ok(pairs)
    }

    /// A part of them, from where `cursor` (0 or an earlier answer's) says, about `count`.
    ///
    /// The cursor is the checksum to go on from; elements with the same checksum come together, so one that exists
    /// during the whole iteration is reported at least once.
    pub fn scan(&self, keys: &Keyspace<'_>, cursor: u64, count: u64) -> Result<Scanned> {
        self.scan_without(keys, cursor, count, &HashSet::default())
    }

    /// Like [`Elements::scan`], as if some of the elements were not there.
    pub fn scan_without(
        &self,
        keys: &Keyspace<'_>,
        cursor: u64,
        count: u64,
        without: &HashSet<Bytes>,
    ) -> Result<Scanned> {
        let mut part = Scanned { cursor: 0, pairs: Vec::new() };
        let Ok(from) = u32::try_from(cursor) else { return Ok(part) };
        let mut last = None;
        self.visit(keys, from, None, &mut |hash, name, value| {
            if without.contains(name) {
                return ControlFlow::Continue(());
            }
            if part.pairs.len() as u64 >= count && last != Some(hash) {
                part.cursor = u64::from(hash);
                return ControlFlow::Break(());
            }
            last = Some(hash);
            part.pairs.push(copied(name, value));
            ControlFlow::Continue(())
        })?;
        Ok(part)
    }

    /// `count` of `len` elements, each with the same chance. With `repeat` one may come more than once, without at
    /// most all of them come. Few are drawn one by one, at a cost that does not depend on `len`; for many the places
    /// are drawn and the elements walked.
    pub fn random(&self, keys: &mut Keyspace<'_>, len: u64, count: u64, repeat: bool) -> Result<Vec<Pair>> {
        self.random_without(keys, len, &HashSet::default(), count, repeat)
    }

    /// Like [`Elements::random`], but some of the `len` elements never come. Drawing one by one pays while most may.
    pub fn random_without(
        &self,
        keys: &mut Keyspace<'_>,
        len: u64,
        without: &HashSet<Bytes>,
        count: u64,
        repeat: bool,
    ) -> Result<Vec<Pair>> {
        let left = len.saturating_sub(without.len() as u64);
        if left == 0 {
            return Ok(Vec::new());
        }
        let is_few = count.saturating_mul(DRAW_COST) < left && left >= len / 2;
        match (is_few, repeat) {
            (true, true) => (0..count).map(|_| self.draw(keys, len, without)).collect(),
            (true, false) => {
                let (mut names, mut drawn) = (HashSet::default(), Vec::new());
                while (drawn.len() as u64) < count {
                    let pair = self.draw(keys, len, without)?;
                    if names.insert(pair.0.clone()) {
                        drawn.push(pair);
                    }
                }
                Ok(drawn)
            }
            (false, _) => {
                let ranks = ranks(keys.rng, left, count, repeat);
                self.at_ranks(keys, ranks, without)
            }
        }
    }

    /// One of `len` elements, each of those that may come with the same chance.
    fn draw(&self, keys: &mut Keyspace<'_>, len: u64, without: &HashSet<Bytes>) -> Result<Pair> {
        let bits = (len / 8).max(1).ilog2().min(32);
        // A single bucket has exactly `len` elements.
        let places = if bits == 0 { len } else { PLACES };
        for _ in 0..ATTEMPTS_MAX {
            let bucket = keys.rng.below(1 << bits);
            let place = keys.rng.below(places);
            let (taken, found) = self.in_bucket(keys, bits, bucket, place)?;
            let found = if taken > places {
                let place = keys.rng.below(taken);
                self.in_bucket(keys, bits, bucket, place)?.1
            } else {
                found
            };
            if let Some(pair) = found.filter(|(name, _)| !without.contains(name)) {
                return Ok(pair);
            }
        }
        Err(damaged())
    }

    /// How many elements a bucket has, and the one at a place of it.
    fn in_bucket(&self, keys: &Keyspace<'_>, bits: u32, bucket: u64, place: u64) -> Result<(u64, Option<Pair>)> {
        // 64-bit numbers: with no bits there is one bucket of 2^32 checksums.
        let from = bucket << (32 - bits);
        let until = u32::try_from((bucket + 1) << (32 - bits)).ok();
        let (mut taken, mut found) = (0, None);
        self.visit(keys, from as u32, until, &mut |_, name, value| {
            if taken == place {
                found = Some(copied(name, value));
            }
            taken += 1;
            ControlFlow::Continue(())
        })?;
        Ok((taken, found))
    }

    /// The elements at these ranks among those that may come, in the order of the ranks given.
    fn at_ranks(&self, keys: &Keyspace<'_>, ranks: Vec<u64>, without: &HashSet<Bytes>) -> Result<Vec<Pair>> {
        let mut drawn = vec![(Bytes::new(), Bytes::new()); ranks.len()];
        let wanted = in_order(ranks);
        let (mut rank, mut next) = (0, wanted.iter().peekable());
        self.visit(keys, 0, None, &mut |_, name, value| {
            if without.contains(name) {
                return ControlFlow::Continue(());
            }
            let mut pair = None;
            while let Some((_, place)) = next.next_if(|(wanted, _)| *wanted == rank) {
                drawn[*place] = pair.get_or_insert_with(|| copied(name, value)).clone();
            }
            rank += 1;
            if next.peek().is_some() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        if next.peek().is_some() { Err(damaged()) } else { Ok(drawn) }
    }

    /// Visits them from a checksum on, up to another one or to the end.
    fn visit(&self, keys: &Keyspace<'_>, from: u32, until: Option<u32>, visit: &mut Visit<'_>) -> Result<()> {
        let start = keys::elements_from(self.db, self.key, self.kind, from);
        let end = match until {
            Some(until) => keys::elements_from(self.db, self.key, self.kind, until),
            None => keys::elements_of(self.db, self.key, self.kind).1,
        };
        let mut is_damaged = false;
        keys.store.scan(&start, &end, Order::Forward, &mut |record, value| match keys::parse_element(record) {
            Some(element) => visit(element.hash, element.element, value),
            None => {
                is_damaged = true;
                ControlFlow::Break(())
            }
        })?;
        if is_damaged { Err(damaged()) } else { Ok(()) }
    }
}

/// `count` of the items, each with the same chance: a small value's way of [`Elements::random`].
pub(super) fn pick<T: Clone>(rng: &mut Rng, items: &[T], count: u64, repeat: bool) -> Vec<T> {
    if items.is_empty() {
        return Vec::new();
    }
    ranks(rng, items.len() as u64, count, repeat).into_iter().map(|rank| items[rank as usize].clone()).collect()
}

/// `count` ranks below `len`: each independent of the others, or all different.
pub(super) fn ranks(rng: &mut Rng, len: u64, count: u64, repeat: bool) -> Vec<u64> {
    if repeat { (0..count).map(|_| rng.below(len)).collect() } else { distinct_ranks(rng, len, count) }
}

/// `count` different ranks below `len` (all of them if there are fewer), every set equally likely.
/// Robert Floyd's method, "Programming Pearls: A Sample of Brilliance", CACM 30(9), 1987.
fn distinct_ranks(rng: &mut Rng, len: u64, count: u64) -> Vec<u64> {
    let mut ranks = std::collections::BTreeSet::new();
    for top in len.saturating_sub(count)..len {
        let rank = rng.below(top + 1);
        if !ranks.insert(rank) {
            ranks.insert(top);
        }
    }
    ranks.into_iter().collect()
}

/// Ranks in ascending order, each with its place.
pub(super) fn in_order(ranks: Vec<u64>) -> Vec<(u64, usize)> {
    let mut wanted: Vec<(u64, usize)> = ranks.into_iter().zip(0..).collect();
    wanted.sort_unstable();
    wanted
}

fn copied(name: &[u8], value: &[u8]) -> Pair {
    (Bytes::copy_from_slice(name), Bytes::copy_from_slice(value))
}

fn damaged() -> Error {
    Error::Store(store::Error::Corrupt("a large value's head and its element records disagree".into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::testing::World;

    const MEMBERS: Elements<'static> = Elements { db: 0, key: b"k", kind: ElementKind::Member };

    fn filled(names: impl IntoIterator<Item = String>) -> World {
        let mut world = World::new(1);
        world.keys(|keys| {
            for name in names {
                keys.store.put(MEMBERS.record(name.as_bytes()), Bytes::from(name));
            }
        });
        world
    }

    /// How often each of `len` numbered elements came.
    fn frequencies(world: &mut World, len: usize, draws: usize) -> Vec<usize> {
        let mut seen = vec![0; len];
        world.keys(|keys| {
            for _ in 0..draws {
                let (name, _) = MEMBERS.draw(keys, len as u64, &HashSet::default()).unwrap();
                seen[std::str::from_utf8(&name).unwrap().parse::<usize>().unwrap()] += 1;
            }
        });
        seen
    }

    #[test]
    fn draws_are_uniform() {
        for len in [1, 5, 15, 16, 100, 1_000] {
            let mut world = filled((0..len).map(|number| number.to_string()));
            let seen = frequencies(&mut world, len, len * 100);
            // Chi squared has a mean of `len - 1` and a variance of twice that.
            let chi: f64 = seen.iter().map(|&count| (count as f64 - 100.0).powi(2) / 100.0).sum();
            let freedom = (len - 1) as f64;
            assert!((chi - freedom).abs() <= 4.0 * (2.0 * freedom).sqrt(), "{len} elements: chi squared is {chi}");
        }
    }

    #[test]
    fn a_draw_looks_at_a_part_of_a_large_value() {
        let mut world = filled((0..10_000).map(|number| number.to_string()));
        world.keys(|keys| {
            let bits = (10_000u64 / 8).ilog2();
            let sizes = (0..1 << bits).map(|bucket| MEMBERS.in_bucket(keys, bits, bucket, 0).unwrap().0);
            let sizes: Vec<u64> = sizes.collect();
            assert_eq!(sizes.iter().sum::<u64>(), 10_000, "the buckets are all there is");
            assert!(*sizes.iter().max().unwrap() < PLACES, "{sizes:?}");
            for (count, repeat) in [(0, false), (5, false), (5, true), (3_000, false), (20_000, false)] {
                let mut drawn = MEMBERS.random(keys, 10_000, count, repeat).unwrap();
                assert_eq!(drawn.len() as u64, count.min(10_000));
                assert!(drawn.iter().all(|(name, value)| name == value));
                drawn.sort();
                drawn.dedup();
                assert!(repeat || drawn.len() as u64 == count.min(10_000), "one came twice");
            }
        });
    }

    #[test]
    fn names_of_one_checksum_can_all_be_drawn() {
        let mut world = World::new(1);
        // As if they had been made to have one checksum.
        let crafted = |number: u8| {
            let record = MEMBERS.record(b"");
            [&record[..record.len() - 4], &[0x40, 0, 0, 0, number]].concat()
        };
        world.keys(|keys| {
            (0..200).for_each(|number| keys.store.put(crafted(number).into(), Bytes::new()));
            let mut seen = std::collections::BTreeSet::new();
            for _ in 0..5_000 {
                seen.insert(MEMBERS.draw(keys, 200, &HashSet::default()).unwrap().0);
            }
            assert_eq!(seen.len(), 200);
        });
    }

    #[test]
    fn a_head_that_promises_too_much_is_damage() {
        let mut world = filled(["0".to_owned()]);
        world.keys(|keys| {
            assert!(MEMBERS.random(keys, 3, 3, false).is_err());
            assert!(MEMBERS.random(keys, 1 << 40, 3, false).is_err());
        });
    }
}
