//! When a replica campaigns (rule 8): its own slot of the election window, so that two replicas never time out
//! together and no vote is split. The slots rotate by term: a replica that cannot win does not come first for ever.
//!
//! A function of (seed, group, rank, term) and nothing else: the crate's own random timeouts are overwritten after
//! every call, because they cannot be reproduced.

use crate::base::{GroupId, Rng};

/// Ticks without a leader after which the replica with this rank (its place among the sorted voters) campaigns.
///
/// The window is `low..=high`. In term 0 the first slot belongs to rank `group % replicas`: the first leaders of
/// several groups are spread over the nodes.
pub(super) fn election_ticks(
    seed: u64,
    group: GroupId,
    rank: usize,
    replicas: usize,
    term: u64,
    (low, high): (usize, usize),
) -> usize {
    let replicas = replicas.max(1);
    let width = ((high + 1 - low) / replicas).max(1);
    let turn = (group.get() % replicas as u64 + term % replicas as u64) as usize;
    let slot = (rank + 2 * replicas - turn) % replicas;
    // The second half of each slot stays empty: the votes of the slot before have that long to travel.
    let mut rng = Rng::new(seed ^ (group.get() << 48) ^ ((rank as u64) << 40) ^ term);
    let jitter = rng.below((width as u64 / 2).max(1)) as usize;
    (low + slot * width + jitter).min(high)
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: (usize, usize) = (40, 83);

    #[test]
    fn rule_08_slots_never_overlap_and_rotate_by_term() {
        for replicas in [1, 2, 3, 5, 7] {
            for term in 0..50 {
                let mut ticks: Vec<_> = (0..replicas)
                    .map(|rank| (election_ticks(9, GroupId(4), rank, replicas, term, WINDOW), rank))
                    .collect();
                ticks.sort_unstable();
                assert_eq!(ticks[0].1, (4 + term as usize) % replicas, "the turn goes round by term");
                assert!(ticks.iter().all(|&(tick, _)| (WINDOW.0..=WINDOW.1).contains(&tick)));
                let gap = (WINDOW.1 + 1 - WINDOW.0) / replicas / 2;
                assert!(ticks.windows(2).all(|pair| pair[1].0 - pair[0].0 >= gap.max(1)), "{ticks:?}");
            }
        }
    }

    #[test]
    fn first_leaders_are_spread() {
        for group in 0..6u64 {
            let first = (0..3).min_by_key(|&rank| election_ticks(1, GroupId(group), rank, 3, 0, WINDOW));
            assert_eq!(first, Some((group % 3) as usize));
        }
    }
}
