//! What a leader has decided and its engine does not hold yet: mutations of entries on their way through Raft, laid
//! over the applied state, so that the next command is evaluated on top of them.
//!
//! [`Overlay`] is the state, kept by the machine across calls; [`OverlayView`] lays it over a base for one
//! evaluation. Entries have ascending numbers: [`Overlay::begin`] opens one, [`Overlay::take_mutations`] closes it
//! and hands out what to propose, [`Overlay::retire`] forgets entries once the base holds them, [`Overlay::reset`]
//! forgets everything when a proposal was refused. Parts of an open entry can be taken back ([`Overlay::rollback_to`]).
//!
//! Invariant: a point in the overlay is newer than every removed range that covers it, because removing a range
//! takes the points in it along. So points need no comparison with ranges, and removed ranges are disjoint pieces
//! of which the newest number counts.

mod points;

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;

use bytes::Bytes;

use super::merge::{self, merge};
use super::{Engine, Error, Mutation, Order, Read, Result, Visit, Write};
use crate::base::{Mutant, Publication};
use points::Points;

/// Mutations that are not in the base yet, by record, and the open entry.
#[derive(Debug, Default)]
pub struct Overlay {
    points: Points,
    /// Removed ranges, disjoint, by their start.
    removed: BTreeMap<Bytes, Piece>,
    /// Keys of points per closed entry, so that retiring costs what the entry wrote.
    closed: VecDeque<(u64, Vec<Bytes>)>,
    /// Entries below this number are in the base.
    retired_below: u64,
    /// Number of the open entry.
    entry: u64,
    /// Mutations of the open entry.
    mutations: Vec<Mutation>,
    /// What the open entry says to who listens.
    publications: Vec<Publication>,
    /// Bytes in `mutations` and `publications`.
    bytes: usize,
    /// How to take back the open entry, newest last.
    undo: Vec<Undo>,
}

#[derive(Clone, Debug)]
struct Point {
    entry: u64,
    value: Option<Bytes>,
    /// Place in `mutations`, while `entry` is open: a second write of a record replaces the first.
    at: usize,
}

#[derive(Clone, Debug)]
struct Piece {
    end: Bytes,
    entry: u64,
}

#[derive(Debug)]
enum Undo {
    Point { key: Bytes, before: Option<Point> },
    Pieces { added: Vec<Bytes>, before: Vec<(Bytes, Piece)> },
}

/// A moment within an open entry.
#[derive(Clone, Copy, Debug)]
pub struct Savepoint {
    undo: usize,
    mutations: usize,
    publications: usize,
}

impl Overlay {
    /// Opens the entry with this number, above all earlier ones since the last reset.
    pub fn begin(&mut self, entry: u64) {
        assert!(!self.has_content(), "entry {} is still open while {entry} begins", self.entry);
        assert!(
            entry >= self.retired_below && self.closed.back().is_none_or(|(last, _)| *last < entry),
            "entry {entry} begins after a later one (retired below {})",
            self.retired_below
        );
        self.entry = entry;
        self.undo.clear();
    }

    /// Mutations of the open entry so far: one per record unless a range was removed in between.
    pub fn mutations(&self) -> &[Mutation] {
        &self.mutations
    }

    /// Whether the open entry says anything.
    pub fn has_content(&self) -> bool {
        !(self.mutations.is_empty() && self.publications.is_empty())
    }

    /// Bytes of the open entry's keys, values and messages.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether nothing lies over the base.
    pub fn is_empty(&self) -> bool {
        self.points.is_empty() && self.removed.is_empty()
    }

    /// What the open entry says to who listens, handed out; to be asked for before the mutations close the entry.
    pub fn take_publications(&mut self) -> Vec<Publication> {
        std::mem::take(&mut self.publications)
    }

    /// Closes the open entry and hands out its mutations; they stay in the overlay until they are retired.
    pub fn take_mutations(&mut self) -> Vec<Mutation> {
        let mutations = std::mem::take(&mut self.mutations);
        let keys: Vec<Bytes> = mutations
            .iter()
            .filter_map(|mutation| match mutation {
                Mutation::Put(key, _) | Mutation::Delete(key) => Some(key.clone()),
                Mutation::DeleteRange(..) => None,
            })
            .collect();
        if !mutations.is_empty() {
            self.closed.push_back((self.entry, keys));
        }
        self.bytes = 0;
        self.undo.clear();
        mutations
    }

    /// Forgets what entry `entry` and earlier ones contributed: the base holds it now.
    pub fn retire(&mut self, entry: u64) {
        while self.closed.front().is_some_and(|(first, _)| *first <= entry) {
            for key in self.closed.pop_front().into_iter().flat_map(|(_, keys)| keys) {
                let is_retired = |point: &Point| point.entry <= entry || Mutant::AppliedEntryHidesLaterOnes.is_in();
                self.points.remove_if(key, is_retired);
            }
        }
        if !self.removed.is_empty() {
            self.removed.retain(|_, piece| piece.entry > entry);
        }
        self.retired_below = self.retired_below.max(entry + 1);
    }

    /// Forgets everything, the open entry too; numbers may start anew.
    pub fn reset(&mut self) {
        *self = Overlay::default();
    }

    /// Remembers this moment of the open entry.
    pub fn savepoint(&self) -> Savepoint {
        Savepoint { undo: self.undo.len(), mutations: self.mutations.len(), publications: self.publications.len() }
    }

    /// Takes back everything the open entry wrote since the moment.
    pub fn rollback_to(&mut self, savepoint: Savepoint) {
        for undo in self.undo.drain(savepoint.undo..).rev() {
            match undo {
                Undo::Point { key, before } => {
                    let before = before.filter(|point| point.entry >= self.retired_below);
                    if let Some(point) = before {
                        if point.entry == self.entry {
                            self.mutations[point.at] = mutation(key.clone(), point.value.clone());
                        }
                        self.points.replace(key, |_| point);
                    } else {
                        self.points.remove(key);
                    }
                }
                Undo::Pieces { added, before } => {
                    for start in added {
                        self.removed.remove(&start);
                    }
                    self.removed.extend(before.into_iter().filter(|(_, piece)| piece.entry >= self.retired_below));
                }
            }
        }
        self.mutations.truncate(savepoint.mutations);
        self.publications.truncate(savepoint.publications);
        self.bytes = self.mutations.iter().map(Mutation::bytes).sum::<usize>()
            + self.publications.iter().map(Publication::bytes).sum::<usize>();
    }

    /// Takes back the whole open entry.
    pub fn rollback(&mut self) {
        self.rollback_to(Savepoint { undo: 0, mutations: 0, publications: 0 });
    }

    fn set(&mut self, key: Bytes, value: Option<Bytes>) {
        let new = mutation(key.clone(), value.clone());
        self.bytes += new.bytes();
        let (entry, mutations, bytes) = (self.entry, &mut self.mutations, &mut self.bytes);
        let before = self.points.replace(key.clone(), |known| {
            let at = match known.filter(|known| known.entry == entry) {
                Some(known) => {
                    *bytes -= mutations[known.at].bytes();
                    mutations[known.at] = new;
                    known.at
                }
                None => {
                    mutations.push(new);
                    mutations.len() - 1
                }
            };
            Point { entry, value, at }
        });
        self.undo.push(Undo::Point { key, before });
    }

    fn remove_range(&mut self, start: Bytes, end: Bytes) {
        if start >= end {
            return;
        }
        let covered: Vec<Bytes> = self.points.range(&start, &end).map(|(key, _)| key.clone()).collect();
        for key in covered {
            let before = self.points.remove(key.clone());
            self.undo.push(Undo::Point { key, before });
        }
        let overlapping: Vec<(Bytes, Piece)> = self
            .removed
            .range(..end.clone())
            .rev()
            .take_while(|(_, piece)| piece.end > start)
            .map(|(piece_start, piece)| (piece_start.clone(), piece.clone()))
            .collect();
        let mut added = vec![start.clone()];
        for (piece_start, piece) in &overlapping {
            self.removed.remove(piece_start);
            if *piece_start < start {
                added.push(piece_start.clone());
                self.removed.insert(piece_start.clone(), Piece { end: start.clone(), entry: piece.entry });
            }
            if piece.end > end {
                added.push(end.clone());
                self.removed.insert(end.clone(), piece.clone());
            }
        }
        self.removed.insert(start.clone(), Piece { end: end.clone(), entry: self.entry });
        self.undo.push(Undo::Pieces { added, before: overlapping });
        let mutation = Mutation::DeleteRange(start, end);
        self.bytes += mutation.bytes();
        self.mutations.push(mutation);
    }

    fn is_removed(&self, key: &[u8]) -> bool {
        let at_or_before = (Bound::Unbounded, Bound::Included(key));
        self.removed.range::<[u8], _>(at_or_before).next_back().is_some_and(|(_, piece)| piece.end[..] > *key)
    }

    /// The parts of a range that no removed piece covers, ascending.
    fn gaps<'a>(&'a self, start: &'a [u8], end: &'a [u8]) -> Vec<(&'a [u8], &'a [u8])> {
        let before = self.removed.range::<[u8], _>((Bound::Unbounded, Bound::Included(start))).next_back();
        let within = self.removed.range::<[u8], _>((Bound::Excluded(start), Bound::Excluded(end)));
        merge::gaps(before.into_iter().chain(within).map(|(start, piece)| (&start[..], &piece.end[..])), start, end)
    }
}

fn mutation(key: Bytes, value: Option<Bytes>) -> Mutation {
    match value {
        Some(value) => Mutation::Put(key, value),
        None => Mutation::Delete(key),
    }
}

/// An overlay over the state it belongs to, for one evaluation. The base must not move meanwhile.
pub struct OverlayView<'a> {
    base: &'a dyn Read,
    overlay: &'a mut Overlay,
}

impl<'a> OverlayView<'a> {
    /// Lays `overlay`, with its open entry, over `base`.
    pub fn new(base: &'a dyn Read, overlay: &'a mut Overlay) -> OverlayView<'a> {
        OverlayView { base, overlay }
    }

    /// The overlay, for savepoints while the view is in use.
    pub fn overlay(&mut self) -> &mut Overlay {
        self.overlay
    }
}

impl Read for OverlayView<'_> {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>> {
        match self.overlay.points.get(key) {
            Some(point) => Ok(point.value.clone()),
            None if self.overlay.is_removed(key) => Ok(None),
            None => self.base.get(key),
        }
    }

    fn scan(&self, start: &[u8], end: &[u8], order: Order, visit: &mut Visit<'_>) -> Result<()> {
        if start >= end {
            return Ok(());
        }
        let points = self.overlay.points.range(start, end);
        let gaps = self.overlay.gaps(start, end);
        match order {
            Order::Forward => merge(self.base, gaps, order, points, visit),
            Order::Backward => merge(self.base, gaps, order, points.rev(), visit),
        }
    }
}

impl Write for OverlayView<'_> {
    fn put(&mut self, key: Bytes, value: Bytes) {
        self.overlay.set(key, Some(value));
    }

    fn delete(&mut self, key: Bytes) {
        self.overlay.set(key, None);
    }

    fn delete_range(&mut self, start: Bytes, end: Bytes) {
        self.overlay.remove_range(start, end);
    }

    fn publish(&mut self, publication: Publication) {
        self.overlay.bytes += publication.bytes();
        self.overlay.publications.push(publication);
    }

    fn written(&self) -> usize {
        self.overlay.bytes()
    }

    fn savepoint(&self) -> Option<Savepoint> {
        Some(self.overlay.savepoint())
    }

    fn take_back(&mut self, since: Savepoint) {
        self.overlay.rollback_to(since);
    }
}

/// A base under a signature that asks for [`Write`]: reads pass, writes are refused and remembered.
pub struct ReadOnly<R> {
    base: R,
    refused: bool,
}

impl<R: Read> ReadOnly<R> {
    /// Reads come from `base`.
    pub fn new(base: R) -> ReadOnly<R> {
        ReadOnly { base, refused: false }
    }

    /// [`Error::ReadOnly`] if anything tried to write: the evaluation's answer is then void.
    pub fn check(&self) -> Result<()> {
        if self.refused { Err(Error::ReadOnly) } else { Ok(()) }
    }
}

impl<R: Read> Read for ReadOnly<R> {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>> {
        self.base.get(key)
    }

    fn scan(&self, start: &[u8], end: &[u8], order: Order, visit: &mut Visit<'_>) -> Result<()> {
        self.base.scan(start, end, order, visit)
    }
}

impl<R: Read> Write for ReadOnly<R> {
    fn put(&mut self, _key: Bytes, _value: Bytes) {
        self.refused = true;
    }

    fn delete(&mut self, _key: Bytes) {
        self.refused = true;
    }

    fn delete_range(&mut self, _start: Bytes, _end: Bytes) {
        self.refused = true;
    }

    fn publish(&mut self, _publication: Publication) {
        self.refused = true;
    }
}

/// An engine as far as it is in memory: everything that could wait for the disk answers [`Error::WouldBlock`].
#[derive(Clone, Copy)]
pub struct MemoryOnly<'a>(pub &'a dyn Engine);

impl Read for MemoryOnly<'_> {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>> {
        self.0.get_in_memory(key)
    }

    fn scan(&self, _start: &[u8], _end: &[u8], _order: Order, _visit: &mut Visit<'_>) -> Result<()> {
        Err(Error::WouldBlock)
    }
}

#[cfg(test)]
mod tests {
    use std::ops::ControlFlow;

    use super::*;
    use crate::base::Rng;

    /// The plainest map of records.
    #[derive(Clone, Debug, Default, PartialEq, Eq)]
    struct Model(BTreeMap<Bytes, Bytes>);

    impl Read for Model {
        fn get(&self, key: &[u8]) -> Result<Option<Bytes>> {
            Ok(self.0.get(key).cloned())
        }

        fn scan(&self, start: &[u8], end: &[u8], order: Order, visit: &mut Visit<'_>) -> Result<()> {
            assert!(start < end, "the view never asks for nothing");
            let mut records: Vec<_> = self.0.range::<[u8], _>((Bound::Included(start), Bound::Excluded(end))).collect();
            if order == Order::Backward {
                records.reverse();
            }
            let _ = records.into_iter().try_for_each(|(key, value)| visit(key, value));
            Ok(())
        }
    }

    impl Model {
        fn apply(&mut self, mutations: &[Mutation]) {
            for mutation in mutations {
                match mutation.clone() {
                    Mutation::Put(key, value) => drop(self.0.insert(key, value)),
                    Mutation::Delete(key) => drop(self.0.remove(&key)),
                    Mutation::DeleteRange(start, end) => self.0.retain(|key, _| *key < start || *key >= end),
                }
            }
        }
    }

    fn all(view: &dyn Read, start: &[u8], end: &[u8], order: Order, most: usize) -> Vec<(Bytes, Bytes)> {
        let mut found = Vec::new();
        view.scan(start, end, order, &mut |key, value| {
            found.push((Bytes::copy_from_slice(key), Bytes::copy_from_slice(value)));
            if found.len() == most { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })
        .unwrap();
        found
    }

    /// One of 40 records: heads and elements of two slots and two databases, and what is too short to be either.
    fn numbered(number: u64) -> Bytes {
        let (slot, space, tail) = (number % 2, [0, 1, 0x80, 0x81][(number / 2 % 4) as usize], number / 8);
        let record = [0, slot as u8, space, 0, 0, 0, tail as u8];
        Bytes::copy_from_slice(&record[..if tail == 4 { 3 } else { 7 }])
    }

    fn key(rng: &mut Rng) -> Bytes {
        numbered(rng.below(40))
    }

    fn mutation_of(rng: &mut Rng, value: u64) -> Mutation {
        match rng.below(10) {
            0..6 => Mutation::Put(key(rng), Bytes::from(value.to_string())),
            6..9 => Mutation::Delete(key(rng)),
            // Sometimes the wrong way round: nothing is removed then.
            _ => Mutation::DeleteRange(key(rng), key(rng)),
        }
    }

    fn write(view: &mut OverlayView<'_>, mutation: &Mutation) {
        match mutation.clone() {
            Mutation::Put(key, value) => view.put(key, value),
            Mutation::Delete(key) => view.delete(key),
            Mutation::DeleteRange(start, end) => view.delete_range(start, end),
        }
    }

    fn assert_same(base: &Model, overlay: &mut Overlay, model: &Model, rng: &mut Rng) {
        let view = OverlayView::new(base, overlay);
        for number in 0..40 {
            let key = numbered(number);
            assert_eq!(view.get(&key), model.get(&key), "get {key:?}");
        }
        for _ in 0..4 {
            let (low, high) = (key(rng), key(rng));
            let (start, end) = if low < high { (low, high) } else { (high, low) };
            let most = rng.range(1, 10) as usize;
            for order in [Order::Forward, Order::Backward] {
                let expected = if start < end { all(model, &start, &end, order, most) } else { Vec::new() };
                assert_eq!(all(&view, &start, &end, order, most), expected, "{start:?}..{end:?} {order:?}");
            }
        }
    }

    /// Entries are evaluated, partly rolled back, applied late, and dropped; after each step the view must equal the
    /// plain map that all mutations were applied to.
    #[test]
    fn the_view_equals_a_plain_map() {
        for seed in 0..60 {
            let mut rng = Rng::new(seed);
            let mut base = Model::default();
            let mut overlay = Overlay::default();
            let mut expected = Model::default();
            let mut pending: VecDeque<(u64, Vec<Mutation>)> = VecDeque::new();
            let mut next = 0;
            for step in 0..120 {
                match rng.below(10) {
                    0..5 => {
                        overlay.begin(next);
                        let mut kept = expected.clone();
                        let mut before = (overlay.savepoint(), kept.clone());
                        for i in 0..rng.below(8) {
                            let mutation = mutation_of(&mut rng, step * 100 + i);
                            write(&mut OverlayView::new(&base, &mut overlay), &mutation);
                            kept.apply(&[mutation]);
                            match rng.below(6) {
                                0 => before = (overlay.savepoint(), kept.clone()),
                                1 => {
                                    overlay.rollback_to(before.0);
                                    kept = before.1.clone();
                                }
                                _ => {}
                            }
                        }
                        assert_same(&base, &mut overlay, &kept, &mut rng);
                        assert_eq!(overlay.bytes(), overlay.mutations().iter().map(Mutation::bytes).sum::<usize>());
                        if rng.chance(1, 4) {
                            overlay.rollback();
                            assert!(overlay.take_mutations().is_empty());
                        } else {
                            pending.push_back((next, overlay.take_mutations()));
                            expected = kept;
                        }
                        next += 1;
                    }
                    5..9 => {
                        if let Some((entry, mutations)) = pending.pop_front() {
                            base.apply(&mutations);
                            overlay.retire(entry);
                        }
                    }
                    _ => {
                        overlay.reset();
                        pending.clear();
                        expected = base.clone();
                        next = 0;
                    }
                }
                assert_same(&base, &mut overlay, &expected, &mut rng);
            }
            while let Some((entry, mutations)) = pending.pop_front() {
                base.apply(&mutations);
                overlay.retire(entry);
            }
            assert!(overlay.is_empty(), "seed {seed}: everything is retired");
            assert_eq!(base, expected, "seed {seed}");
        }
    }

    #[test]
    fn a_record_written_twice_is_one_mutation() {
        let base = Model::default();
        let mut overlay = Overlay::default();
        overlay.begin(0);
        let mut view = OverlayView::new(&base, &mut overlay);
        view.put(Bytes::from("a"), Bytes::from("1"));
        view.put(Bytes::from("b"), Bytes::from("1"));
        let savepoint = view.overlay().savepoint();
        view.put(Bytes::from("a"), Bytes::from("2"));
        view.delete(Bytes::from("b"));
        assert_eq!(
            view.overlay().mutations(),
            [Mutation::Put(Bytes::from("a"), Bytes::from("2")), Mutation::Delete(Bytes::from("b"))]
        );
        overlay.rollback_to(savepoint);
        assert_eq!(
            overlay.take_mutations(),
            [Mutation::Put(Bytes::from("a"), Bytes::from("1")), Mutation::Put(Bytes::from("b"), Bytes::from("1"))]
        );
    }

    #[test]
    fn an_entry_retired_during_an_open_one_does_not_come_back_by_rollback() {
        let mut base = Model::default();
        let mut overlay = Overlay::default();
        overlay.begin(0);
        OverlayView::new(&base, &mut overlay).put(Bytes::from("a"), Bytes::from("1"));
        let mutations = overlay.take_mutations();
        overlay.begin(1);
        OverlayView::new(&base, &mut overlay).delete_range(Bytes::from("a"), Bytes::from("z"));
        base.apply(&mutations);
        overlay.retire(0);
        overlay.rollback();
        assert!(overlay.is_empty());
        assert_eq!(OverlayView::new(&base, &mut overlay).get(b"a"), Ok(Some(Bytes::from("1"))));
    }

    #[test]
    fn writes_to_a_read_only_view_are_remembered() {
        let mut view = ReadOnly::new(Model::default());
        assert_eq!(view.check(), Ok(()));
        view.delete(Bytes::from("a"));
        assert_eq!(view.check(), Err(Error::ReadOnly));
    }
}
