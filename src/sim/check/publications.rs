//! What replicas tell who listens at their node: the publications of committed entries, each entry's once and whole, in
//! the order of the log, and all of them but for what was in the log when the process started or was passed over by a
//! snapshot.

use std::collections::BTreeMap;
use std::ops::Bound::{Excluded, Included, Unbounded};

use bytes::Bytes;

use super::Violation;
use crate::base::{GroupId, LogIndex, NodeId, Publication};
use crate::group::entry::Entry;

const PROMISE: &str = "publications are told once, in the order of the log";

/// What was published, and how far each replica told it.
#[derive(Default)]
pub struct Publications {
    entries: BTreeMap<GroupId, BTreeMap<LogIndex, Vec<Publication>>>,
    replicas: BTreeMap<(NodeId, GroupId), Replica>,
}

/// One replica in one life of its node.
#[derive(Clone, Copy, Default)]
struct Replica {
    /// The log ended here when the process started, or a leader's commit index was this when it was heard first.
    logged: LogIndex,
    /// Told up to here.
    told: LogIndex,
    /// Applied up to here, and told up to there once the next entry is applied.
    applied: LogIndex,
}

impl Publications {
    /// An entry was committed.
    pub fn committed(&mut self, group: GroupId, index: LogIndex, data: &Bytes) {
        let publications = Entry::decode(data).map(|entry| entry.publications).unwrap_or_default();
        if !publications.is_empty() {
            self.entries.entry(group).or_default().entry(index).or_insert(publications);
        }
    }

    /// A process started: its state ends at `applied`, its log at `logged`.
    pub fn started(&mut self, node: NodeId, group: GroupId, applied: LogIndex, logged: LogIndex) {
        self.replicas.insert((node, group), Replica { logged, told: applied, applied });
    }

    /// A process died: nobody is there any more who could hear what it had not told yet.
    pub fn died(&mut self, node: NodeId) {
        self.replicas.retain(|(at, _), _| *at != node);
    }

    /// What was committed up to there, while the process was not in touch, need not be told.
    pub fn missed(&mut self, node: NodeId, group: GroupId, commit: LogIndex) {
        let replica = self.replicas.entry((node, group)).or_default();
        replica.logged = replica.logged.max(commit);
    }

    /// A snapshot took the place of the state.
    pub fn installed(&mut self, node: NodeId, group: GroupId, index: LogIndex) {
        let replica = self.replicas.entry((node, group)).or_default();
        (replica.told, replica.applied) = (index, index);
    }

    /// A replica tells what the entry at `index` says.
    pub fn told(
        &mut self,
        node: NodeId,
        group: GroupId,
        index: LogIndex,
        publications: &[Publication],
    ) -> Result<(), Violation> {
        let replica = self.replicas.entry((node, group)).or_default();
        let before = std::mem::replace(replica, Replica { told: index, ..*replica });
        if index <= before.told {
            return Err(violation(node, group, format!("{index} is told after {}", before.told)));
        }
        let entries = self.entries.entry(group).or_default();
        if entries.get(&index).is_none_or(|committed| committed != publications) {
            let committed = entries.get(&index);
            return Err(violation(node, group, format!("{index} says {publications:?}, the log {committed:?}")));
        }
        self.missing(node, group, before, Excluded(index))
    }

    /// A replica applied entries up to `index`; what those before the last call said must have been told by now.
    pub fn applied(&mut self, node: NodeId, group: GroupId, index: LogIndex) -> Result<(), Violation> {
        let replica = self.replicas.entry((node, group)).or_default();
        let before = std::mem::replace(replica, Replica { applied: index, ..*replica });
        self.missing(node, group, before, Included(before.applied))
    }

    /// Nothing happens any more.
    pub fn ended(&mut self) -> Result<(), Violation> {
        let ends = |(&(node, group), replica): (&(NodeId, GroupId), &Replica)| {
            self.missing(node, group, *replica, Included(replica.applied))
        };
        self.replicas.iter().try_for_each(ends)
    }

    /// What a group said on a channel, in the order of its log.
    pub fn on_channel(&self, group: GroupId, channel: &[u8]) -> Vec<Bytes> {
        let all = self.entries.get(&group).into_iter().flat_map(BTreeMap::values).flatten();
        all.filter(|publication| publication.channel == channel).map(|said| said.message.clone()).collect()
    }

    /// What a replica should have told up to a place and did not.
    fn missing(
        &self,
        node: NodeId,
        group: GroupId,
        replica: Replica,
        to: std::ops::Bound<LogIndex>,
    ) -> Result<(), Violation> {
        let from = replica.told.max(replica.logged);
        let is_empty = match to {
            Included(to) => to <= from,
            Excluded(to) => to.get() <= from.get() + 1,
            Unbounded => false,
        };
        let entries = self.entries.get(&group).filter(|_| !is_empty);
        match entries.and_then(|entries| entries.range((Excluded(from), to)).next()) {
            Some((index, said)) => Err(violation(node, group, format!("{index} was not told: {said:?}"))),
            None => Ok(()),
        }
    }
}

fn violation(node: NodeId, group: GroupId, line: String) -> Violation {
    Violation::new(PROMISE, vec![format!("node {node}, group {group}: {line}")])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{ChannelKind, Millis};

    const NODE: NodeId = NodeId(1);
    const GROUP: GroupId = GroupId(1);

    fn said(message: &'static str) -> Vec<Publication> {
        vec![Publication { kind: ChannelKind::Plain, channel: "c".into(), message: message.into() }]
    }

    fn judge() -> Publications {
        let mut judge = Publications::default();
        for (index, message) in [(3, "a"), (5, "b"), (6, "c")] {
            let entry = Entry {
                stamp: Millis(1),
                epoch: 1,
                mutations: Vec::new(),
                publications: said(message),
                own: Vec::new(),
            };
            judge.committed(GROUP, LogIndex(index), &entry.encode());
        }
        judge.started(NODE, GROUP, LogIndex(1), LogIndex(2));
        judge
    }

    fn told(judge: &mut Publications, index: u64, message: &'static str) -> bool {
        judge.told(NODE, GROUP, LogIndex(index), &said(message)).is_ok()
    }

    #[test]
    fn all_of_it_in_order_is_fine() {
        let mut judge = judge();
        assert!(judge.applied(NODE, GROUP, LogIndex(5)).is_ok());
        assert!(told(&mut judge, 3, "a") && told(&mut judge, 5, "b"));
        assert!(judge.applied(NODE, GROUP, LogIndex(6)).is_ok() && told(&mut judge, 6, "c"));
        assert!(judge.ended().is_ok());
        assert_eq!(judge.on_channel(GROUP, b"c"), ["a", "b", "c"]);
    }

    #[test]
    fn twice_another_and_nothing_are_found() {
        let mut twice = judge();
        assert!(told(&mut twice, 3, "a") && !told(&mut twice, 3, "a"));
        assert!(!told(&mut judge(), 3, "b"), "not what was committed");
        assert!(!told(&mut judge(), 4, "a"), "nothing was committed there");
        assert!(!told(&mut judge(), 5, "b"), "the first one is missing");
        let mut silent = judge();
        assert!(silent.applied(NODE, GROUP, LogIndex(3)).is_ok());
        assert!(silent.applied(NODE, GROUP, LogIndex(4)).is_err());
        let mut last = judge();
        assert!(last.applied(NODE, GROUP, LogIndex(3)).is_ok() && last.ended().is_err());
        last.died(NODE);
        assert!(last.ended().is_ok(), "whoever died before it told, and never came back, owes nothing");
    }

    #[test]
    fn what_was_logged_or_passed_over_need_not_be_told() {
        let mut judge = judge();
        judge.started(NODE, GROUP, LogIndex(1), LogIndex(3));
        assert!(told(&mut judge, 5, "b"));
        judge.installed(NODE, GROUP, LogIndex(6));
        assert!(judge.applied(NODE, GROUP, LogIndex(6)).is_ok() && judge.ended().is_ok());
    }
}
