//! Equal index, equal state: what each replica says of its rolling hash at an index must be what every other says. And
//! the time of a log: it never goes back from one entry to the next.

use std::collections::BTreeMap;

use super::Violation;
use bytes::Bytes;

use crate::base::{GroupId, LogIndex, Millis, NodeId};
use crate::group::entry::Entry;

/// Hashes remembered per group: lagging replicas are compared as long as they are within this many indexes.
const REMEMBERED_MAX: usize = 100_000;

/// What replicas have reported.
#[derive(Default)]
pub struct Replicas {
    hashes: BTreeMap<GroupId, BTreeMap<LogIndex, (u64, NodeId)>>,
    compared: u64,
    /// Place and stamp of the newest committed entry that anybody has seen.
    newest: BTreeMap<GroupId, (LogIndex, Millis)>,
}

impl Replicas {
    /// An entry was committed: stamps never go back along a log. Replicas that come later are not asked again, for
    /// their entries are the same, which their hashes say.
    pub fn committed(&mut self, group: GroupId, index: LogIndex, data: &Bytes) -> Result<(), Violation> {
        let (newest, stamp) = self.newest.get(&group).copied().unwrap_or_default();
        if index <= newest {
            return Ok(());
        }
        let Ok(entry) = Entry::decode(data) else { return Ok(()) };
        self.newest.insert(group, (index, entry.stamp));
        if entry.stamp < stamp {
            let line = format!("group {group}: the stamp is {} at {index} after {stamp} at {newest}", entry.stamp);
            return Err(Violation::new("stamps never go back", vec![line]));
        }
        Ok(())
    }

    /// A replica applied up to `index` and its rolling hash is `hash`.
    pub fn report(&mut self, node: NodeId, group: GroupId, index: LogIndex, hash: u64) -> Result<(), Violation> {
        let hashes = self.hashes.entry(group).or_default();
        if let Some(&(other, by)) = hashes.get(&index) {
            self.compared += u64::from(by != node);
            if other != hash {
                let line =
                    format!("group {group} at index {index}: node {by} has {other:016x}, node {node} {hash:016x}");
                return Err(Violation::new("replicas equal at equal index", vec![line]));
            }
            return Ok(());
        }
        hashes.insert(index, (hash, node));
        if hashes.len() > REMEMBERED_MAX {
            hashes.pop_first();
        }
        Ok(())
    }

    /// How often two replicas met at an index.
    pub fn compared(&self) -> u64 {
        self.compared
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rule_39_time_that_goes_back_is_found() {
        let mut replicas = Replicas::default();
        let entry = |stamp| {
            Entry { stamp: Millis(stamp), epoch: 1, mutations: Vec::new(), publications: Vec::new(), own: Vec::new() }
                .encode()
        };
        let mut committed = |index, stamp| replicas.committed(GroupId(1), LogIndex(index), &entry(stamp)).is_ok();
        assert!(committed(4, 100) && committed(5, 100) && committed(7, 103));
        assert!(committed(4, 100), "another replica");
        assert!(!committed(8, 102));
    }

    #[test]
    fn a_difference_is_found() {
        let mut replicas = Replicas::default();
        let mut report = |node, index, hash| replicas.report(NodeId(node), GroupId(1), LogIndex(index), hash).is_ok();
        assert!(report(1, 5, 50) && report(1, 6, 60) && report(2, 6, 60));
        assert!(report(2, 5, 50), "a replay repeats itself");
        assert!(!report(3, 6, 61));
        assert_eq!(replicas.compared(), 3);
    }
}
