//! A node's own wish: that the cluster begins, and that the facts tell where this node is reached.
//!
//! The wish is compared with the facts that are applied here, again and again, and asked for as long as they differ:
//! across changes of the leader, lost answers, and late copies of what this node asked for in an earlier life.
//!
//! Invariant: one change of a node is under way at a time.

use std::time::Duration;

use super::{Change, Facts, Node};
use crate::base::{Mutant, Nanos};

/// After an answer, facts that still differ are given this long to be applied here before the node asks again.
const PAUSE: Duration = Duration::from_millis(200);

/// What a node asks of the meta group. Production and simulator drive the same type.
#[derive(Debug)]
pub struct Registrar {
    own: Node,
    beginning: Facts,
    under_way: bool,
    pause_until: Nanos,
}

impl Registrar {
    /// `own` is how this node is reached; `beginning` what a meta group without facts is to begin with.
    pub fn new(own: Node, beginning: Facts) -> Registrar {
        Registrar { own, beginning, under_way: false, pause_until: Nanos(0) }
    }

    /// The change to ask for now, if there is one; then [`Registrar::answered`]. `facts` are those applied here,
    /// `leads` says whether this node leads the meta group: the leader is the one who lets the cluster begin.
    pub fn next(&mut self, now: Nanos, facts: Option<&Facts>, leads: bool) -> Option<Change> {
        if self.under_way || now < self.pause_until {
            return None;
        }
        let change = match facts {
            Some(facts) if facts.node(self.own.id) == Some(&self.own) || facts.is_gone(self.own.id) => return None,
            Some(_) => Change::Register(self.own.clone()),
            None if leads => Change::Begin(self.beginning.clone()),
            None => return None,
        };
        self.under_way = true;
        Some(change)
    }

    /// The change was decided about, or its fate is unknown.
    pub fn answered(&mut self, now: Nanos) {
        self.under_way = Mutant::RegistrationIsAskedForOnce.is_in();
        self.pause_until = now + PAUSE;
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::nodes;
    use super::*;
    use crate::base::NodeId;

    #[test]
    fn a_node_asks_until_the_facts_agree_and_again_when_they_do_not_any_more() {
        let beginning = Facts::initial(nodes(&[1, 2]), 1, 2, "token");
        let own = Node { resp: Some("a:1".into()), ..nodes(&[1]).remove(0) };
        let mut registrar = Registrar::new(own.clone(), beginning.clone());
        assert_eq!(registrar.next(Nanos(0), None, false), None, "somebody else leads");
        assert_eq!(registrar.next(Nanos(0), None, true), Some(Change::Begin(beginning.clone())));
        assert_eq!(registrar.next(Nanos(0), None, true), None, "one at a time");
        registrar.answered(Nanos(0));
        assert_eq!(registrar.next(Nanos(0), Some(&beginning), true), None, "a pause");

        let later = Nanos(0) + PAUSE;
        let wish = Some(Change::Register(own.clone()));
        assert_eq!(registrar.next(later, Some(&beginning), false), wish);
        registrar.answered(later);
        let later = later + PAUSE;
        assert_eq!(registrar.next(later, Some(&beginning), false), wish, "the answer was lost, or not applied yet");
        registrar.answered(later);

        let later = later + PAUSE;
        let mut facts = beginning;
        facts.nodes[0] = own;
        assert_eq!(registrar.next(later, Some(&facts), false), None);
        facts.nodes[0].resp = Some("of an earlier life:1".into());
        assert_eq!(registrar.next(later, Some(&facts), false), wish);
        assert_eq!(facts.nodes[0].id, NodeId(1));
    }
}
