//! Equal index, equal state: what each replica says of its rolling hash at an index must be what every other says.

use std::collections::BTreeMap;

use super::Violation;
use crate::base::{GroupId, LogIndex, NodeId};

/// Hashes remembered per group: lagging replicas are compared as long as they are within this many indexes.
const REMEMBERED_MAX: usize = 100_000;

/// What replicas have reported.
#[derive(Default)]
pub struct Replicas {
    hashes: BTreeMap<GroupId, BTreeMap<LogIndex, (u64, NodeId)>>,
    compared: u64,
}

impl Replicas {
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
    fn a_difference_is_found() {
        let mut replicas = Replicas::default();
        let mut report = |node, index, hash| replicas.report(NodeId(node), GroupId(1), LogIndex(index), hash).is_ok();
        assert!(report(1, 5, 50) && report(1, 6, 60) && report(2, 6, 60));
        assert!(report(2, 5, 50), "a replay repeats itself");
        assert!(!report(3, 6, 61));
        assert_eq!(replicas.compared(), 3);
    }
}
