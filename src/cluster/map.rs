//! The map of a cluster as one node knows it.

use crate::base::{ClusterId, GroupId, LogIndex, Millis, NodeId, Slot, SlotRange, Term};

/// A node and how to reach it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeInfo {
    /// Its id.
    pub id: NodeId,
    /// `host:port` where peers connect.
    pub peer: String,
    /// `host:port` where RESP clients reach it; `None` until it told the meta group.
    pub resp: Option<String>,
    /// `host:port` where HTTP clients reach it; likewise.
    pub http: Option<String>,
    /// Whether a message came from it lately (always true for the node itself).
    pub reachable: bool,
    /// When the newest message came from it, by this node's wall clock; 0 for never and for the node itself.
    pub heard: Millis,
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
    /// What the leader knows of the other members; empty where this node does not lead.
    pub followers: Vec<FollowerInfo>,
}

/// A replica as its group's leader sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FollowerInfo {
    /// Where it is.
    pub node: NodeId,
    /// Its log is known to be equal to the leader's up to here.
    pub matched: LogIndex,
    /// It is being sent a snapshot.
    pub loading: bool,
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
