//! When writes were acknowledged, and by which node; from that, how long none was.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Mutex;
use std::time::Duration;

use crate::connection::Failure;
use crate::history::lock;

/// Acknowledged writes and errors of a run, in nanoseconds of the history's clock.
#[derive(Default)]
pub struct Availability {
    acknowledged: Mutex<Vec<(u64, usize)>>,
    counts: Mutex<BTreeMap<usize, usize>>,
    errors: Mutex<Vec<ClientError>>,
}

/// A time without an acknowledged write.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Gap {
    pub from: u64,
    pub to: u64,
}

impl Gap {
    pub fn length(self) -> Duration {
        Duration::from_nanos(self.to - self.from)
    }
}

/// What a client got instead of an answer.
#[derive(Clone, Debug)]
pub struct ClientError {
    pub at: u64,
    pub node: usize,
    pub what: Trouble,
}

/// An error that the server told, or what became of the connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    Told(String),
    Connection(Failure),
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Trouble::Told(text) => f.write_str(text),
            Trouble::Connection(failure) => failure.fmt(f),
        }
    }
}

impl Availability {
    pub fn acknowledge(&self, at: u64, node: usize) {
        lock(&self.acknowledged).push((at, node));
        *lock(&self.counts).entry(node).or_insert(0) += 1;
    }

    pub fn error(&self, at: u64, node: usize, what: Trouble) {
        lock(&self.errors).push(ClientError { at, node, what });
    }

    pub fn errors(&self) -> Vec<ClientError> {
        lock(&self.errors).clone()
    }

    /// Writes that a node acknowledged so far.
    pub fn count(&self, node: usize) -> usize {
        lock(&self.counts).get(&node).copied().unwrap_or(0)
    }

    /// The longest time within `from..to` in which none of these nodes acknowledged a write.
    pub fn longest_gap(&self, from: u64, to: u64, nodes: &BTreeSet<usize>) -> Gap {
        let mut times: Vec<u64> = lock(&self.acknowledged)
            .iter()
            .filter(|(at, node)| (from..to).contains(at) && nodes.contains(node))
            .map(|(at, _)| *at)
            .collect();
        times.extend([from, to]);
        times.sort_unstable();
        let gaps = times.windows(2).map(|pair| Gap { from: pair[0], to: pair[1] });
        gaps.max_by_key(|gap| gap.to - gap.from).unwrap_or_default()
    }
}

/// The value below which `percent` of a hundred are; of none, none.
pub fn percentile(samples: &[Duration], percent: f64) -> Option<Duration> {
    let mut sorted = samples.to_vec();
    sorted.sort_unstable();
    // Nearest rank.
    let rank = (percent / 100.0 * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_count_from_the_edges_and_by_node() {
        let availability = Availability::default();
        for (at, node) in [(5, 1), (100, 1), (130, 2), (400, 1), (450, 2)] {
            availability.acknowledge(at, node);
        }
        let gap = |from, to, nodes: &[usize]| {
            let gap = availability.longest_gap(from, to, &nodes.iter().copied().collect());
            (gap.from, gap.length().as_nanos())
        };
        assert_eq!(gap(0, 500, &[1, 2]), (130, 270));
        assert_eq!(gap(0, 500, &[2]), (130, 320));
        assert_eq!(gap(90, 120, &[1]), (100, 20));
        assert_eq!(gap(600, 700, &[1, 2]), (600, 100), "none at all");
    }

    #[test]
    fn percentiles_are_by_nearest_rank() {
        let samples: Vec<_> = (1..=100).rev().map(Duration::from_millis).collect();
        assert_eq!(percentile(&samples, 50.0), Some(Duration::from_millis(50)));
        assert_eq!(percentile(&samples, 99.0), Some(Duration::from_millis(99)));
        assert_eq!(percentile(&samples, 100.0), Some(Duration::from_millis(100)));
        assert_eq!(percentile(&samples[..1], 50.0), Some(Duration::from_millis(100)));
        assert_eq!(percentile(&[], 50.0), None);
    }
}
