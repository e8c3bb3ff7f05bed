//! Which keys are asked for: all alike, a few of them most of the time, or one after the other.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::base::Rng;

/// The usual skew: of 100,000 keys, 284 get half of all requests.
const THETA: f64 = 0.99;

/// How keys are chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Distribution {
    /// Every key has the same chance.
    Uniform,
    /// Key n has the chance of 1 / (n + 1) ^ 0.99: Zipf's law.
    Zipf,
    /// Every key once, in the order of numbers, and again from the start.
    Sequence,
}

/// A source of key numbers. Clones of a sequence go on with the same one.
#[derive(Clone, Debug)]
pub struct Keys {
    count: u64,
    choice: Choice,
}

#[derive(Clone, Debug)]
enum Choice {
    Uniform,
    Zipf(Zipf),
    Sequence(Arc<AtomicU64>),
}

impl Keys {
    /// Numbers from 0 to `count`, exclusively; `count` must not be 0.
    pub fn new(distribution: Distribution, count: u64) -> Keys {
        let choice = match distribution {
            Distribution::Uniform => Choice::Uniform,
            Distribution::Zipf => Choice::Zipf(Zipf::new(count)),
            Distribution::Sequence => Choice::Sequence(Arc::default()),
        };
        Keys { count, choice }
    }

    /// The next one.
    pub fn next(&self, rng: &mut Rng) -> u64 {
        match &self.choice {
            Choice::Uniform => rng.below(self.count),
            Choice::Zipf(zipf) => zipf.next(rng),
            Choice::Sequence(next) => next.fetch_add(1, Ordering::Relaxed) % self.count,
        }
    }
}

/// Zipf's law by the closed form of Gray et al., "Quickly Generating Billion-Record Synthetic Databases" (1994), as YCSB
/// has it: the two most frequent keys exactly, the others by a power that comes close.
#[derive(Clone, Copy, Debug)]
struct Zipf {
    count: u64,
    zeta: f64,
    alpha: f64,
    eta: f64,
}

impl Zipf {
    /// Takes a time that grows with `count`: one power each.
    fn new(count: u64) -> Zipf {
        let zeta: f64 = (1..=count).map(|n| (n as f64).powf(-THETA)).sum();
        let two = 1.0 + 0.5f64.powf(THETA);
        let eta = (1.0 - (2.0 / count as f64).powf(1.0 - THETA)) / (1.0 - two / zeta);
        Zipf { count, zeta, alpha: 1.0 / (1.0 - THETA), eta }
    }

    fn next(&self, rng: &mut Rng) -> u64 {
        // 53 bits: as many as the fraction has.
        let uniform = (rng.next() >> 11) as f64 / (1u64 << 53) as f64;
        let scaled = uniform * self.zeta;
        if scaled < 1.0 {
            return 0;
        }
        if scaled < 1.0 + 0.5f64.powf(THETA) {
            return 1.min(self.count - 1);
        }
        let place = self.count as f64 * (self.eta * uniform - self.eta + 1.0).powf(self.alpha);
        (place as u64).min(self.count - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draw(distribution: Distribution, count: u64, times: usize) -> Vec<u64> {
        let (keys, mut rng) = (Keys::new(distribution, count), Rng::new(7));
        let mut seen = vec![0; count as usize];
        for _ in 0..times {
            seen[keys.next(&mut rng) as usize] += 1;
        }
        seen
    }

    #[test]
    fn uniform_keys_have_the_same_chance() {
        let seen = draw(Distribution::Uniform, 10, 100_000);
        assert!(seen.iter().all(|times| (9_500..10_500).contains(times)), "{seen:?}");
    }

    #[test]
    fn zipf_keys_follow_the_law() {
        let seen = draw(Distribution::Zipf, 1_000, 1_000_000);
        let zeta: f64 = (1..=1_000).map(|n| f64::from(n).powf(-THETA)).sum();
        for rank in [1usize, 2, 3, 10, 100] {
            let expected = 1_000_000.0 * (rank as f64).powf(-THETA) / zeta;
            let ratio = seen[rank - 1] as f64 / expected;
            assert!((0.75..1.25).contains(&ratio), "rank {rank}: {} instead of {expected}", seen[rank - 1]);
        }
        assert!(seen[999] > 0, "the last key is never asked for");
        assert_eq!(draw(Distribution::Zipf, 1, 10), [10]);
    }

    #[test]
    fn a_sequence_has_every_key_once_whoever_asks() {
        let (keys, mut rng) = (Keys::new(Distribution::Sequence, 4), Rng::new(1));
        let other = keys.clone();
        let drawn: Vec<_> = (0..3).flat_map(|_| [keys.next(&mut rng), other.next(&mut rng)]).collect();
        assert_eq!(drawn, [0, 1, 2, 3, 0, 1]);
    }
}
