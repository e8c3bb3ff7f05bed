//! Who looks after the cluster: has nodes join it, and removes others, one at a time, as `docs/operations.md` says.
//!
//! A node that is removed goes on until the leaders of all groups have taken its replicas out; then its process is told
//! so by the others and ends. One that is dead is never started again.

use std::collections::BTreeSet;
use std::time::Duration;

use super::{Phase, World};
use crate::base::{GroupId, NodeId, PeerId};
use crate::host::GroupStatus;
use crate::host::meta::{self, Change, Facts};
use crate::sim::node::Node;
use crate::sim::plan::Plan;
use crate::sim::shared::{Event, place};

/// How often the operator looks.
const LOOK: Duration = Duration::from_millis(50);
/// So many looks later the operator asks again.
const PATIENCE: u64 = 10;

/// What the operator knows and wants.
pub(super) struct Operator {
    absent: BTreeSet<NodeId>,
    /// Removed, and on their way out.
    leaving: BTreeSet<NodeId>,
    gone: BTreeSet<NodeId>,
    /// In the order in which they joined.
    joined: Vec<NodeId>,
    forgotten: Vec<NodeId>,
    wish: Option<Change>,
    looks: u64,
}

impl Operator {
    pub fn new(plan: &Plan) -> Operator {
        Operator {
            absent: (plan.nodes + 1..=plan.all()).map(NodeId).collect(),
            leaving: BTreeSet::new(),
            gone: BTreeSet::new(),
            joined: Vec::new(),
            forgotten: Vec::new(),
            wish: None,
            looks: 0,
        }
    }

    /// Whether the process of a node has ended for good.
    pub fn is_gone(&self, node: NodeId) -> bool {
        self.gone.contains(&node)
    }

    fn is_member(&self, node: NodeId) -> bool {
        ![&self.absent, &self.leaving, &self.gone].into_iter().any(|others| others.contains(&node))
    }
}

impl World {
    /// The nodes that are in the cluster and stay in it.
    pub(super) fn members(&self) -> impl Iterator<Item = &Node> {
        self.nodes.iter().filter(|node| self.operator.is_member(node.id))
    }

    /// Whether nothing is left to do about who is in the cluster.
    pub(super) fn membership_is_settled(&self) -> bool {
        if self.plan.guests == 0 {
            return true;
        }
        let groups = u64::from(self.plan.partitions) + 1;
        let done = self.operator.wish.is_none() && self.operator.leaving.is_empty();
        let facts = self.expected_facts();
        done && (0..groups).map(GroupId).all(|group| {
            let wanted: Vec<PeerId> = facts.groups[group.get() as usize].peers.keys().copied().collect();
            self.leader_of(group).is_some_and(|status| status.is_as_wanted && status.voters == wanted)
        })
    }

    /// The facts of the beginning and what was done to them; addresses are those of before.
    pub(super) fn expected_facts(&self) -> Facts {
        let mut facts = self.plan.beginning();
        for &id in &self.operator.joined {
            facts.join(address(id));
        }
        for &id in &self.operator.forgotten {
            // What was accepted can be done.
            let _ = facts.forget(id);
        }
        facts
    }

    /// The next node that is not in the cluster is to join it.
    pub(super) fn wish_join(&mut self) {
        let Some(&id) = self.operator.absent.first() else { return };
        if self.membership_is_settled() {
            self.wish(Change::Join { node: address(id), nonce: id.get() });
        }
    }

    /// A node is to be removed.
    pub(super) fn wish_forget(&mut self, dead: bool) {
        let members: Vec<NodeId> = self.members().map(|node| node.id).collect();
        // The others must be able to agree without one that is dead.
        if !self.membership_is_settled() || members.len() < if dead { 3 } else { 2 } {
            return;
        }
        let node = *self.shared.rng.pick(&members);
        self.shared.leaving.insert(node);
        if dead {
            self.shared.coverage.saw("dead node removed");
            self.operator.leaving.insert(node);
            self.end_for_good(node);
        }
        self.wish(Change::Forget(node));
    }

    fn wish(&mut self, change: Change) {
        self.note(&format!("the operator wants: {change:?}"));
        self.operator.wish = Some(change);
        self.operator.looks = 0;
        self.shared.queue.after(LOOK, Event::Operate);
    }

    pub(super) fn operate(&mut self) {
        if self.phase == Phase::Over {
            return;
        }
        self.look_after_wish();
        self.end_those_without_replicas();
        if self.operator.wish.is_some() || !self.operator.leaving.is_empty() {
            self.shared.queue.after(LOOK, Event::Operate);
        }
    }

    fn look_after_wish(&mut self) {
        let Some(wish) = self.operator.wish.clone() else { return };
        let knows = |facts: &&Facts| match &wish {
            Change::Join { node, .. } => facts.node(node.id).is_some(),
            Change::Forget(id) => facts.is_gone(*id),
            _ => true,
        };
        let known = self.members().filter_map(Node::applied_facts).find(knows).cloned();
        if let Some(facts) = known {
            match wish {
                Change::Join { node, .. } => {
                    self.shared.coverage.saw("node joined");
                    self.operator.absent.remove(&node.id);
                    self.operator.joined.push(node.id);
                    self.nodes[place(node.id)].join(facts);
                    self.shared.queue.after(LOOK, Event::Restart(node.id));
                }
                Change::Forget(id) => {
                    self.shared.coverage.saw("node removed");
                    self.operator.leaving.insert(id);
                    self.operator.forgotten.push(id);
                }
                _ => {}
            }
            self.operator.wish = None;
            return;
        }
        if self.operator.looks.is_multiple_of(PATIENCE) {
            let alive: Vec<NodeId> =
                self.members().map(|node| node.id).filter(|node| self.shared.lives[place(*node)].1).collect();
            if !alive.is_empty() {
                let asked = *self.shared.rng.pick(&alive);
                self.nodes[place(asked)].ask(&mut self.shared, &wish);
            }
        }
        self.operator.looks += 1;
    }

    /// Processes of nodes that have no replica any more, as the leaders of all groups know, end.
    fn end_those_without_replicas(&mut self) {
        let facts = self.expected_facts();
        let leaving: Vec<NodeId> = self.operator.leaving.iter().copied().collect();
        for node in leaving {
            if !self.operator.forgotten.contains(&node) {
                continue;
            }
            let out = facts.groups.iter().all(|group| {
                let former = group.former.iter().find(|(_, at)| **at == node).map(|(peer, _)| *peer);
                let leader = self.leader_of(group.id);
                former.is_none_or(|peer| {
                    leader.is_some_and(|status| !status.voters.contains(&peer) && !status.learners.contains(&peer))
                })
            });
            if out {
                self.operator.leaving.remove(&node);
                self.end_for_good(node);
            }
        }
    }

    fn end_for_good(&mut self, node: NodeId) {
        self.operator.gone.insert(node);
        if self.shared.lives[place(node)].1 {
            self.nodes[place(node)].die(&mut self.shared, Duration::ZERO);
        }
    }

    /// What the leader of the highest term says of its group.
    fn leader_of(&self, group: GroupId) -> Option<GroupStatus> {
        let statuses = self.nodes.iter().flat_map(Node::status).filter(|status| status.group == group);
        statuses.filter(|status| status.role == "leader").max_by_key(|status| status.term)
    }
}

fn address(id: NodeId) -> meta::Node {
    meta::Node::new(id, format!("node-{id}:16379"))
}
