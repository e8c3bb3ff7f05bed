//! How long things took, as counts of classes: small, and exact enough.
//!
//! As in HdrHistogram, classes are equally wide within each power of two and twice as wide in the next. Invariant: a
//! quantile is at most 0.8 % above the true one, never below it.

/// Classes within a power of two, as a power of two.
const CLASSES_LOG2: u32 = 7;
const CLASSES: usize = 1 << CLASSES_LOG2;

/// Times in nanoseconds.
#[derive(Clone, Debug, Default)]
pub struct Histogram {
    /// Grows to the highest class that was met.
    counts: Vec<u64>,
    count: u64,
    sum: u128,
    max: u64,
}

impl Histogram {
    /// Something took so long, so many times.
    pub fn record(&mut self, nanos: u64, times: u64) {
        let class = class_of(nanos);
        if class >= self.counts.len() {
            self.counts.resize(class + 1, 0);
        }
        self.counts[class] += times;
        self.count += times;
        self.sum += u128::from(nanos) * u128::from(times);
        self.max = self.max.max(nanos);
    }

    /// Adds what another one counted.
    pub fn add(&mut self, other: &Histogram) {
        if other.counts.len() > self.counts.len() {
            self.counts.resize(other.counts.len(), 0);
        }
        for (mine, others) in self.counts.iter_mut().zip(&other.counts) {
            *mine += others;
        }
        self.count += other.count;
        self.sum += other.sum;
        self.max = self.max.max(other.max);
    }

    /// How many.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The longest, in nanoseconds.
    pub fn max(&self) -> u64 {
        self.max
    }

    /// On average, in nanoseconds; 0 of nothing.
    pub fn mean(&self) -> u64 {
        self.sum.checked_div(u128::from(self.count)).unwrap_or(0) as u64
    }

    /// So long did the given share of them take at most, in nanoseconds; `share` from 0 to 1. 0 of nothing.
    pub fn quantile(&self, share: f64) -> u64 {
        let rank = ((self.count as f64 * share).ceil() as u64).clamp(1, self.count.max(1));
        let mut passed = 0;
        for (class, count) in self.counts.iter().enumerate() {
            passed += count;
            if passed >= rank {
                return highest_of(class).min(self.max);
            }
        }
        self.max
    }
}

/// Short times have a class each; then 128 per power of two.
fn class_of(nanos: u64) -> usize {
    let power = nanos.checked_ilog2().unwrap_or(0).max(CLASSES_LOG2) - CLASSES_LOG2;
    ((power as usize) << CLASSES_LOG2) + (nanos >> power) as usize
}

/// The longest time of a class.
fn highest_of(class: usize) -> u64 {
    let power = (class >> CLASSES_LOG2).saturating_sub(1);
    let place = (class - (power << CLASSES_LOG2)) as u64;
    (place << power) + ((1 << power) - 1)
}

const _: () = assert!(CLASSES == 128, "the bound of the error above is 1 / 128");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_follow_each_other_without_gaps() {
        let mut next = 0u64;
        for class in 0..2_000 {
            assert_eq!(class_of(next), class, "{next}");
            let high = highest_of(class);
            assert_eq!(class_of(high), class, "{high}");
            assert!((high - next) as f64 <= high as f64 / 128.0, "class {class}: {next} to {high}");
            next = high + 1;
        }
    }

    #[test]
    fn quantiles_are_those_of_the_numbers() {
        let mut histogram = Histogram::default();
        assert_eq!((histogram.quantile(0.5), histogram.mean(), histogram.max()), (0, 0, 0));
        let mut other = Histogram::default();
        for n in 1..=100_000u64 {
            if n % 3 == 0 { other.record(n * 1_000, 1) } else { histogram.record(n * 1_000, 1) }
        }
        histogram.add(&other);
        assert_eq!(histogram.count(), 100_000);
        for (share, exact) in [(0.0, 1_000), (0.5, 50_000_000), (0.99, 99_000_000), (0.999, 99_900_000)] {
            let quantile = histogram.quantile(share);
            assert!((exact..=exact + exact / 128).contains(&quantile), "{share}: {quantile} instead of {exact}");
        }
        assert_eq!(
            (histogram.quantile(1.0), histogram.max(), histogram.mean()),
            (100_000_000, 100_000_000, 50_000_500)
        );
    }

    #[test]
    fn the_longest_time_has_a_class() {
        let mut histogram = Histogram::default();
        histogram.record(u64::MAX, 2);
        assert_eq!(histogram.quantile(0.5), u64::MAX);
    }
}
