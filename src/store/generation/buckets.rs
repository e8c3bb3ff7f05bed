//! Room for one bucket per slot, made shelf by shelf when the first record comes: a generation with few records costs
//! little to begin, to scan and to give up.

use std::sync::OnceLock;

use crate::base::slot::SLOT_COUNT;

/// One for each slot, and one for what is above them.
pub(super) const BUCKETS: usize = SLOT_COUNT as usize + 1;
/// Buckets that are made together.
const SHELF: usize = 128;

/// Buckets by number, below [`BUCKETS`].
pub(super) struct Buckets<B>(Box<[OnceLock<Box<[B]>>]>);

impl<B: Default> Buckets<B> {
    pub fn new() -> Buckets<B> {
        Buckets((0..BUCKETS.div_ceil(SHELF)).map(|_| OnceLock::new()).collect())
    }

    /// A bucket, if its shelf was made.
    pub fn get(&self, number: usize) -> Option<&B> {
        self.0[number / SHELF].get().map(|shelf| &shelf[number % SHELF])
    }

    /// A bucket, made now if there is none.
    pub fn make(&self, number: usize) -> &B {
        let shelf = self.0[number / SHELF].get_or_init(|| (0..SHELF).map(|_| B::default()).collect());
        &shelf[number % SHELF]
    }

    /// The first bucket from `first` to `last` that was made, with its number.
    pub fn first_made(&self, first: usize, last: usize) -> Option<(usize, &B)> {
        let mut at = first;
        while at <= last {
            if let Some(bucket) = self.get(at) {
                return Some((at, bucket));
            }
            at = (at / SHELF + 1) * SHELF;
        }
        None
    }

    /// The last bucket from `first` to `last` that was made, with its number.
    pub fn last_made(&self, first: usize, last: usize) -> Option<(usize, &B)> {
        let mut end = last + 1;
        while end > first {
            if let Some(bucket) = self.get(end - 1) {
                return Some((end - 1, bucket));
            }
            end = (end - 1) / SHELF * SHELF;
        }
        None
    }

    /// All that were made, in order.
    pub fn iter(&self) -> impl Iterator<Item = &B> {
        self.0.iter().filter_map(OnceLock::get).flat_map(|shelf| shelf.iter())
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn only_what_was_made_is_met() {
        let buckets: Buckets<Cell<usize>> = Buckets::new();
        assert!(buckets.first_made(0, BUCKETS - 1).is_none() && buckets.last_made(0, BUCKETS - 1).is_none());
        for number in [5, 300, BUCKETS - 1] {
            buckets.make(number).set(number);
        }
        let number = |found: Option<(usize, &Cell<usize>)>| found.map(|(number, _)| number);
        assert_eq!(number(buckets.first_made(128, 511)), Some(256));
        assert_eq!(number(buckets.first_made(290, 511)), Some(290));
        assert_eq!(number(buckets.first_made(128, 255)), None);
        assert_eq!(number(buckets.last_made(0, 255)), Some(127));
        assert_eq!(number(buckets.last_made(0, 16_383)), Some(383));
        assert_eq!(number(buckets.last_made(128, 200)), None);
        assert_eq!(number(buckets.last_made(0, BUCKETS - 1)), Some(BUCKETS - 1));
        assert_eq!(buckets.get(300).map(Cell::get), Some(300));
        assert!(buckets.get(600).is_none());
        assert_eq!(buckets.iter().map(Cell::get).filter(|number| *number > 0).collect::<Vec<_>>(), [5, 300, 16_384]);
    }
}
