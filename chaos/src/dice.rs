//! All chance of a run, from the seed that it prints. What real processes do with it still differs from run to run: a
//! seed repeats the plan of faults and of clients, not the interleaving.

use std::time::Duration;

use rand_core::{RngCore as _, SeedableRng as _};
use rand_xoshiro::Xoshiro256PlusPlus;

/// A seeded generator.
#[derive(Clone, Debug)]
pub struct Dice(Xoshiro256PlusPlus);

impl Dice {
    pub fn new(seed: u64) -> Dice {
        Dice(Xoshiro256PlusPlus::seed_from_u64(seed))
    }

    /// A generator of its own for a part of the run, so that one part's draws do not move another's.
    pub fn fork(&mut self) -> Dice {
        Dice::new(self.0.next_u64())
    }

    /// From 0 to `bound` - 1; 0 for a bound of 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        // The bias of the remainder is below 2^-40 for every bound that is drawn here.
        if bound == 0 { 0 } else { self.0.next_u64() % bound }
    }

    /// From `first` to `last`, both included.
    pub fn between(&mut self, first: u64, last: u64) -> u64 {
        first + self.below(last.saturating_sub(first) + 1)
    }

    /// True `percent` times of a hundred.
    pub fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// Between two durations, to the microsecond.
    pub fn duration(&mut self, shortest: Duration, longest: Duration) -> Duration {
        Duration::from_micros(self.between(shortest.as_micros() as u64, longest.as_micros() as u64))
    }

    /// One of the items; `None` of none.
    pub fn pick<'a, T>(&mut self, items: &'a [T]) -> Option<&'a T> {
        items.get(self.below(items.len() as u64) as usize)
    }

    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last as u64 + 1) as usize);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_repeats_and_another_differs() {
        let draw = |seed| {
            let mut dice = Dice::new(seed);
            let mut items: Vec<u64> = (0..20).collect();
            dice.shuffle(&mut items);
            items.push(dice.fork().below(1 << 40));
            items
        };
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
    }

    #[test]
    fn bounds_are_kept() {
        let mut dice = Dice::new(7);
        let drawn: Vec<u64> = (0..1000).map(|_| dice.between(3, 5)).collect();
        assert!(drawn.iter().all(|n| (3..=5).contains(n)));
        assert!([3, 4, 5].iter().all(|n| drawn.contains(n)));
        assert_eq!(dice.below(0), 0);
        assert_eq!(dice.pick::<u8>(&[]), None);
    }
}
