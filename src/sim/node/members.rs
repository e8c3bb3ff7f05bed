//! What a simulated node knows of the cluster, and its own registration at the meta group. Each life of a node has
//! another address, so that the facts change with every restart, and late copies of an earlier life's change must be
//! put right.

use std::time::Duration;

use super::super::check::Violation;
use super::super::shared::Shared;
use super::{Node, NodeEvent};
use crate::base::{GroupId, NodeId};
use crate::command::batch::{Unit, UnitReply};
use crate::host;
use crate::host::meta::{self, Change, Decision, Facts};
use crate::service::node::Outcome;

/// How often a node looks whether the facts say what they should.
const LOOK: Duration = Duration::from_millis(100);

/// How a node is reached in one of its lives.
pub fn address(id: NodeId, life: u64) -> meta::Node {
    let at = |name: &str| Some(format!("node-{id}:{name}-{life}"));
    meta::Node { resp: at("resp"), http: at("http"), ..meta::Node::new(id, format!("node-{id}:16379")) }
}

impl Node {
    /// The meta group applied something.
    pub(super) fn meta_applied(&mut self, shared: &mut Shared) {
        let facts = self.facts();
        let joined = self.joined.as_ref().map(|joined| joined.cluster);
        let is_old = |facts: &Facts| joined.is_some_and(|cluster| facts.are_from_before(cluster, self.id));
        let Some(life) = &mut self.life else { return };
        match facts {
            Ok(facts) if facts == life.facts => {}
            Ok(Some(facts)) if is_old(&facts) => {}
            Ok(facts) => {
                life.facts.clone_from(&facts);
                for group in facts.into_iter().flat_map(|facts| facts.groups) {
                    let (group, peers, former) = (group.id, group.peers, group.former);
                    self.tell_host(shared, host::Input::Members { group, peers, former });
                }
            }
            Err(why) => {
                let story = vec![format!("node {}: {why}", self.id)];
                shared.violated(Violation::new("facts can be read", story));
            }
        }
    }

    /// The facts as they are applied on this node's disk.
    pub fn facts(&self) -> Result<Option<Facts>, crate::store::Error> {
        Facts::read(self.state())
    }

    /// Whether the facts that this node has applied tell how it is reached now.
    pub fn is_registered(&self) -> bool {
        let facts = self.life.as_ref().and_then(|life| life.facts.as_ref());
        facts.is_some_and(|facts| facts.node(self.id) == Some(&address(self.id, self.number)))
    }

    /// What the meta group knows, as far as it is applied here, if the process lives.
    pub fn applied_facts(&self) -> Option<&Facts> {
        self.life.as_ref()?.facts.as_ref()
    }

    /// The node was taken into the cluster: it starts with this.
    pub fn join(&mut self, facts: Facts) {
        self.joined = Some(facts);
    }

    /// An operator asks here for a change of the facts, and looks at the facts for an answer.
    pub fn ask(&mut self, shared: &mut Shared, change: &Change) {
        let units = vec![Unit::Change(change.encode())];
        self.submit(shared, super::requests::Caller::Operator, GroupId::META, units);
    }

    /// What its replicas' groups are like now.
    pub fn status(&self) -> Vec<host::GroupStatus> {
        self.life.as_ref().map(|life| life.host.status()).unwrap_or_default()
    }

    pub(super) fn look_at_facts(&mut self, shared: &mut Shared) {
        let now = self.clock.monotonic(shared.now());
        shared.plan(self.id, LOOK, NodeEvent::LookAtFacts);
        let leads = self.leads(GroupId::META).is_some();
        let Some(life) = &mut self.life else { return };
        let Some(change) = life.registrar.next(now, life.facts.as_ref(), leads) else { return };
        shared.trace.note(shared.queue.now(), Some(self.id), format_args!("asks the meta group: {change:?}"));
        shared.coverage.saw(match change {
            meta::Change::Begin(_) => "cluster begins",
            meta::Change::Register(_) => "registration",
            // Of others: a node asks for neither.
            meta::Change::Users(_) | meta::Change::Join { .. } | meta::Change::Forget(_) => "change of others",
        });
        self.submit(shared, super::requests::Caller::Registrar, GroupId::META, vec![Unit::Change(change.encode())]);
    }

    pub(super) fn registered(&mut self, shared: &mut Shared, outcome: &Outcome) {
        let now = self.clock.monotonic(shared.now());
        let Some(life) = &mut self.life else { return };
        life.registrar.answered(now);
        let Outcome::Replies(replies) = outcome else { return shared.coverage.saw("registration in doubt") };
        let decision = match replies.as_slice() {
            [UnitReply::Decision(decision)] => Decision::decode(decision),
            _ => None,
        };
        if decision != Some(Decision::Accepted) && !shared.leaving.contains(&self.id) {
            let story = vec![format!("node {}: {decision:?} of {replies:?}", self.id)];
            shared.violated(Violation::new("the meta group takes every node's address", story));
        }
    }
}
