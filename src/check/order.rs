//! Where the order of effects is known, time only has to agree with it.
//!
//! Counters, and sets that only grow, tell in their replies at which position of the order an operation took effect.
//! Positions are a weak order: operations at the same one may go either way. Together with real time, which is an
//! order of intervals, they have a common order exactly if no operation at a later position ended before one at an
//! earlier position began: a longer contradiction would have to step back in positions somewhere, by real time, and
//! that step alone is one.

use crate::base::Nanos;

/// An operation with its place.
#[derive(Clone, Copy, Debug)]
pub struct Placed {
    /// Position in the history.
    pub source: usize,
    pub position: u64,
    pub start: Nanos,
    /// `None`: it may have taken effect at any time after its start.
    pub end: Option<Nanos>,
}

/// Two operations against time, if there are any: the first has the earlier position, but the second had ended
/// before it began.
pub fn contradiction(mut placed: Vec<Placed>) -> Option<(Placed, Placed)> {
    placed.sort_by_key(|placed| placed.position);
    let mut latest: Option<Placed> = None;
    for same in placed.chunk_by(|a, b| a.position == b.position) {
        if let Some(earlier) = latest {
            let wrong = |later: &&Placed| later.end.is_some_and(|end| end < earlier.start);
            if let Some(later) = same.iter().filter(wrong).max_by_key(|later| later.end) {
                return Some((earlier, *later));
            }
        }
        latest = latest.into_iter().chain(same.iter().copied()).max_by_key(|placed| placed.start);
    }
    None
}

/// For each of these positions, which rise: the earliest end of all operations that come after it.
pub fn earliest_end_after(placed: &[Placed], positions: &[u64]) -> Vec<Option<Nanos>> {
    let mut sorted: Vec<&Placed> = placed.iter().filter(|placed| placed.end.is_some()).collect();
    sorted.sort_by_key(|placed| placed.position);
    let mut earliest: Option<Nanos> = None;
    let mut ends = Vec::with_capacity(positions.len());
    for &position in positions.iter().rev() {
        while let Some(last) = sorted.pop_if(|last| last.position > position) {
            earliest = earliest.into_iter().chain(last.end).min();
        }
        ends.push(earliest);
    }
    ends.reverse();
    ends
}

#[cfg(test)]
mod tests {
    use super::*;

    fn placed(source: usize, position: u64, start: u64, end: u64) -> Placed {
        Placed { source, position, start: Nanos(start), end: (end != 0).then_some(Nanos(end)) }
    }

    #[test]
    fn later_effects_must_not_end_before_earlier_ones_begin() {
        let found = |all: &[Placed]| contradiction(all.to_vec()).map(|(a, b)| (a.source, b.source));
        assert_eq!(found(&[placed(0, 2, 1, 5), placed(1, 1, 4, 9)]), None, "they overlap");
        assert_eq!(found(&[placed(0, 2, 1, 3), placed(1, 1, 4, 9)]), Some((1, 0)));
        assert_eq!(found(&[placed(0, 1, 1, 3), placed(1, 1, 4, 9)]), None, "the same position");
        assert_eq!(found(&[placed(0, 2, 1, 0), placed(1, 1, 4, 9)]), None, "an unknown end");
        assert_eq!(found(&[placed(0, 1, 7, 8), placed(1, 2, 7, 9), placed(2, 3, 1, 6)]), Some((1, 2)));
    }

    #[test]
    fn the_earliest_end_after_a_position() {
        let all = [placed(0, 1, 0, 5), placed(1, 3, 0, 9), placed(2, 5, 0, 7), placed(3, 6, 0, 0)];
        let ends = earliest_end_after(&all, &[0, 2, 4, 5]);
        assert_eq!(ends, [Some(Nanos(5)), Some(Nanos(7)), Some(Nanos(7)), None]);
    }
}
