//! The map of a cluster as one node knows it.

use crate::base::{ClusterId, GroupId, LogIndex, NodeId, Slot, SlotRange, Term};

/// A node and how to reach it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeInfo {
    /// Its id.
    pub id: NodeId,
    /// `host:port` where peers connect.
    pub peer: String,
    /// `host:port` of its RESP listener, if it told.
    pub resp: Option<String>,
    /// Whether a message came from it lately (always true for the node itself).
    pub reachable: bool,
}

/// A group and what this node knows of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupInfo {
    /// Its id; 0 is the meta group, which has no slots.
    pub id: GroupId,
    /// Its slots.
    pub slots: Option<SlotRange>,
    /// Nodes with a replica.
    pub members: Vec<NodeId>,
    /// The leader, if known.
    pub leader: Option<NodeId>,
    /// Current term here.
    pub term: Term,
    /// Committed here.
    pub commit: LogIndex,
    /// Applied here.
    pub applied: LogIndex,
}

/// Nodes and groups, both sorted by id.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Map {
    /// Which cluster.
    pub cluster: ClusterId,
    /// All nodes.
    pub nodes: Vec<NodeInfo>,
    /// All groups, the meta group first.
    pub groups: Vec<GroupInfo>,
}

impl Map {
    /// The group that owns a slot.
    pub fn group_of(&self, slot: Slot) -> Option<GroupId> {
        self.groups.iter().find(|group| group.slots.is_some_and(|slots| slots.contains(slot))).map(|group| group.id)
    }
}
