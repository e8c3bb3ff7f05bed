//! Replicas watch each other (rule 23): every peer message tells how far its sender has applied and the rolling hash
//! there. Two replicas that applied the same entries have the same hash; a difference is found within a heartbeat of
//! becoming idle, before a failover could make the wrong one the truth.

use std::collections::{BTreeMap, VecDeque};

/// How many own (index, hash) pairs are remembered.
const REMEMBERED: usize = 256;

/// Own history of hashes, and what peers said about places not reached here yet.
#[derive(Debug, Default)]
pub(super) struct Witness {
    own: VecDeque<(u64, u64)>,
    ahead: BTreeMap<u64, (u64, u64)>,
}

/// The same place, two hashes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Divergence {
    pub peer: u64,
    pub index: u64,
    pub own: u64,
    pub other: u64,
}

impl Witness {
    /// How far this replica is, for a message's header; (0, 0) before anything was applied.
    pub fn latest(&self) -> (u64, u64) {
        self.own.back().copied().unwrap_or_default()
    }

    /// This replica applied up to `index`.
    pub fn applied(&mut self, index: u64, hash: u64) -> Option<Divergence> {
        if self.own.back().is_some_and(|&(last, _)| last >= index) {
            return None;
        }
        if self.own.len() == REMEMBERED {
            self.own.pop_front();
        }
        self.own.push_back((index, hash));
        let wrong = self.ahead.iter().find(|(_, said)| said.0 == index && said.1 != hash);
        let wrong = wrong.map(|(&peer, &(_, other))| Divergence { peer, index, own: hash, other });
        self.ahead.retain(|_, said| said.0 > index);
        wrong
    }

    /// A peer says that it applied up to `index`.
    pub fn heard(&mut self, peer: u64, index: u64, hash: u64) -> Option<Divergence> {
        if index == 0 {
            return None;
        }
        if index > self.latest().0 {
            self.ahead.insert(peer, (index, hash));
            return None;
        }
        let place = self.own.binary_search_by_key(&index, |&(own, _)| own).ok()?;
        let own = self.own[place].1;
        (own != hash).then_some(Divergence { peer, index, own, other: hash })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rule_23_a_difference_is_found_from_either_side() {
        let mut witness = Witness::default();
        assert_eq!(witness.applied(5, 50), None);
        assert_eq!(witness.heard(2, 5, 50), None);
        assert_eq!(witness.heard(2, 4, 99), None, "never stood there");
        assert_eq!(witness.heard(2, 5, 51), Some(Divergence { peer: 2, index: 5, own: 50, other: 51 }));

        assert_eq!(witness.heard(3, 9, 90), None);
        assert_eq!(witness.applied(9, 91), Some(Divergence { peer: 3, index: 9, own: 91, other: 90 }));
    }

    #[test]
    fn memory_is_bounded() {
        let mut witness = Witness::default();
        for index in 1..10_000 {
            witness.applied(index, index);
        }
        assert_eq!(witness.own.len(), REMEMBERED);
    }
}
