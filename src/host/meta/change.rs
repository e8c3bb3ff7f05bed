//! A change of what the meta group knows: what a node asks for, how it travels, and the one place that decides.
//!
//! ```text
//! change    version u8 = 1 | 0 | cluster u64 | count u32 | node... | count u32 | group...    the cluster begins
//!           version u8 = 1 | 1 | node                                                       where a node is reached
//!           version u8 = 1 | 2 | change of users, in the words of `command::acl`
//! node, group    id u64 | length u32 | its record
//! decision  version u8 = 1 | 0                  accepted
//!           version u8 = 1 | 1 | text           refused
//!           version u8 = 1 | 2 | answer about users, in the words of `command::acl`
//! ```
//!
//! Invariants: a decision rests on the facts as all earlier changes leave them, applied or not, and on nothing else;
//! asking again for what was accepted changes nothing, so whoever is in doubt about an answer asks again.

use bytes::{Buf, BufMut, Bytes};

use super::{Facts, Group, Node, users, versioned};
use crate::base::{ClusterId, GroupId, NodeId};
use crate::command::acl;
use crate::store::{self, Write};

const VERSION: u8 = 1;

const BEGIN: u8 = 0;
const REGISTER: u8 = 1;
const USERS: u8 = 2;

const ACCEPTED: u8 = 0;
const REFUSED: u8 = 1;
const ANSWERED: u8 = 2;

/// What somebody wants the facts to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// The cluster begins with these facts. The first change of a state, and of no other.
    Begin(Facts),
    /// A node is reached at these addresses.
    Register(Node),
    /// Users come, change or go.
    Users(acl::Change),
}

/// What became of a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// The facts say so now, or did before.
    Accepted,
    /// They do not, and nothing was changed.
    Refused(String),
    /// What became of a change of users.
    Users(acl::Answer),
}

/// Decides about an encoded [`Change`]; the answer is an encoded [`Decision`].
pub fn decide(state: &mut dyn Write, change: &Bytes) -> store::Result<Bytes> {
    let decision = match Change::decode(change) {
        Some(change) => change.decide(state)?,
        None => Decision::Refused("the leader of the meta group does not know this kind of change".into()),
    };
    Ok(decision.encode())
}

impl Change {
    fn decide(&self, state: &mut dyn Write) -> store::Result<Decision> {
        let known = Facts::read(&*state)?;
        Ok(match (self, known) {
            (Change::Begin(facts), None) => {
                facts.write(state);
                Decision::Accepted
            }
            (Change::Begin(facts), Some(known)) if facts.cluster == known.cluster => Decision::Accepted,
            (Change::Begin(_), Some(known)) => {
                Decision::Refused(format!("the meta group is that of cluster {:016x}", known.cluster.get()))
            }
            (Change::Register(_), None) => Decision::Refused("the meta group has no facts yet".into()),
            (Change::Register(node), Some(known)) => match known.node(node.id) {
                Some(registered) => {
                    if registered != node {
                        node.write(state);
                    }
                    Decision::Accepted
                }
                None => Decision::Refused(format!("node {} is not in the cluster", node.id)),
            },
            (Change::Users(change), _) => Decision::Users(users::decide(state, change)?),
        })
    }

    /// For the way to the leader.
    pub fn encode(&self) -> Bytes {
        let mut out = vec![VERSION];
        match self {
            Change::Begin(facts) => {
                out.put_u8(BEGIN);
                out.put_u64(facts.cluster.get());
                out.put_u32(facts.nodes.len() as u32);
                facts.nodes.iter().for_each(|node| put(&mut out, node.id.get(), &node.encode()));
                out.put_u32(facts.groups.len() as u32);
                facts.groups.iter().for_each(|group| put(&mut out, group.id.get(), &group.encode()));
            }
            Change::Register(node) => {
                out.put_u8(REGISTER);
                put(&mut out, node.id.get(), &node.encode());
            }
            Change::Users(change) => {
                out.put_u8(USERS);
                out.put_slice(&change.encode());
            }
        }
        out.into()
    }

    /// `None` for what this version does not know.
    pub fn decode(change: &[u8]) -> Option<Change> {
        let mut rest = versioned(change)?;
        let node = |rest: &mut &[u8]| take(rest, |id, record| Node::decode(NodeId(id), record));
        let group = |rest: &mut &[u8]| take(rest, |id, record| Group::decode(GroupId(id), record));
        let change = match rest.try_get_u8().ok()? {
            BEGIN => {
                let cluster = ClusterId(rest.try_get_u64().ok()?);
                // A lying count runs into the end of what is there.
                let nodes = (0..rest.try_get_u32().ok()?).map(|_| node(&mut rest)).collect::<Option<_>>()?;
                let groups = (0..rest.try_get_u32().ok()?).map(|_| group(&mut rest)).collect::<Option<_>>()?;
                Change::Begin(Facts { cluster, nodes, groups })
            }
            REGISTER => Change::Register(node(&mut rest)?),
            USERS => Change::Users(acl::Change::decode(std::mem::take(&mut rest))?),
            _ => return None,
        };
        rest.is_empty().then_some(change)
    }
}

impl Decision {
    /// For the way back.
    pub fn encode(&self) -> Bytes {
        let mut out = vec![VERSION];
        match self {
            Decision::Accepted => out.put_u8(ACCEPTED),
            Decision::Refused(why) => {
                out.put_u8(REFUSED);
                out.put_slice(why.as_bytes());
            }
            Decision::Users(answer) => {
                out.put_u8(ANSWERED);
                out.put_slice(&answer.encode());
            }
        }
        out.into()
    }

    /// `None` for what this version does not know.
    pub fn decode(decision: &[u8]) -> Option<Decision> {
        match versioned(decision)? {
            [ACCEPTED] => Some(Decision::Accepted),
            [ANSWERED, answer @ ..] => Some(Decision::Users(acl::Answer::decode(answer)?)),
            [REFUSED, why @ ..] => Some(Decision::Refused(String::from_utf8(why.to_vec()).ok()?)),
            _ => None,
        }
    }
}

fn put(out: &mut Vec<u8>, id: u64, record: &[u8]) {
    out.put_u64(id);
    out.put_u32(record.len() as u32);
    out.put_slice(record);
}

fn take<T>(rest: &mut &[u8], decode: impl Fn(u64, &[u8]) -> Option<T>) -> Option<T> {
    let id = rest.try_get_u64().ok()?;
    let length = usize::try_from(rest.try_get_u32().ok()?).ok()?;
    let (record, after) = rest.split_at_checked(length)?;
    *rest = after;
    decode(id, versioned(record)?)
}

#[cfg(test)]
mod tests {
    use super::super::tests::nodes;
    use super::*;
    use crate::store::memory::MemoryEngine;
    use crate::store::overlay::{Overlay, OverlayView};
    use crate::store::{Batch, Engine, Mutation};

    /// Facts that are applied, and a leader's overlay of what is on its way.
    #[derive(Default)]
    struct Meta {
        engine: MemoryEngine,
        overlay: Overlay,
        entries: u64,
        /// What the newest change writes.
        written: Vec<Mutation>,
    }

    impl Meta {
        fn ask(&mut self, change: &Change) -> Decision {
            self.entries += 1;
            self.overlay.begin(self.entries);
            let mut view = OverlayView::new(&self.engine, &mut self.overlay);
            let answer = decide(&mut view, &change.encode()).expect("memory never fails");
            self.written = self.overlay.take_mutations();
            Decision::decode(&answer).expect("a decision")
        }

        /// Asks and applies what was decided.
        fn apply(&mut self, change: &Change) -> Decision {
            let decision = self.ask(change);
            self.engine.write(&Batch { mutations: self.written.clone() }).expect("written");
            self.overlay.reset();
            decision
        }

        fn facts(&mut self) -> Facts {
            Facts::read(&OverlayView::new(&self.engine, &mut self.overlay)).expect("whole facts").expect("facts")
        }
    }

    fn beginning() -> Facts {
        Facts::initial(nodes(&[1, 2, 3]), 2, 3, "token")
    }

    fn registered(id: u64, resp: &str) -> Node {
        Node { resp: Some(resp.into()), ..nodes(&[id]).remove(0) }
    }

    #[test]
    fn a_state_begins_once_and_with_nothing_else() {
        let mut meta = Meta::default();
        assert!(matches!(meta.ask(&Change::Register(registered(1, "a:1"))), Decision::Refused(_)));
        assert_eq!(meta.written, []);
        assert_eq!(meta.ask(&Change::Begin(beginning())), Decision::Accepted);
        assert_eq!(meta.facts(), beginning());
        // Another node computed the same beginning, but for an address that moved: the first one stands.
        let mut other = beginning();
        other.nodes[0].peer = "elsewhere:1".into();
        assert_eq!(meta.ask(&Change::Begin(other)), Decision::Accepted);
        assert_eq!(meta.facts(), beginning());
        let stranger = Facts { cluster: ClusterId(9), ..beginning() };
        assert!(matches!(meta.ask(&Change::Begin(stranger)), Decision::Refused(_)));
        assert_eq!(meta.facts(), beginning());
    }

    #[test]
    fn a_change_sees_those_that_are_not_applied_yet() {
        let mut meta = Meta::default();
        meta.ask(&Change::Begin(beginning()));
        assert_eq!(meta.ask(&Change::Register(registered(2, "b:1"))), Decision::Accepted);
        assert_eq!(meta.ask(&Change::Register(registered(1, "a:1"))), Decision::Accepted);
        let facts = meta.facts();
        assert_eq!([&facts.nodes[0], &facts.nodes[1]], [&registered(1, "a:1"), &registered(2, "b:1")]);
        assert_eq!(facts.groups, beginning().groups);
    }

    #[test]
    fn what_is_known_already_writes_nothing() {
        let mut meta = Meta::default();
        meta.apply(&Change::Begin(beginning()));
        assert_eq!(meta.apply(&Change::Register(registered(2, "b:1"))), Decision::Accepted);
        assert_eq!(meta.written.len(), 1);
        assert_eq!(meta.apply(&Change::Register(registered(2, "b:1"))), Decision::Accepted);
        assert_eq!(meta.written, []);
        let stranger = meta.apply(&Change::Register(registered(9, "z:1")));
        assert_eq!(stranger, Decision::Refused("node 9 is not in the cluster".into()));
        assert_eq!(meta.written, []);
    }

    #[test]
    fn changes_and_decisions_survive_the_wire_and_forged_ones_do_not() {
        let users = Change::Users(acl::Change::Remove(vec!["a".into()]));
        for change in [Change::Begin(beginning()), Change::Register(registered(1, "a:1")), users] {
            let bytes = change.encode();
            assert_eq!(Change::decode(&bytes), Some(change));
            for length in 0..bytes.len() {
                assert_eq!(Change::decode(&bytes[..length]), None, "cut at {length}");
            }
            assert_eq!(Change::decode(&[&bytes[..], b"\0"].concat()), None);
        }
        let answer = Decision::Users(acl::Answer::Done { revision: 3, count: 1 });
        for decision in [Decision::Accepted, Decision::Refused("no".into()), answer] {
            assert_eq!(Decision::decode(&decision.encode()), Some(decision));
        }
        assert_eq!(Decision::decode(b"\x01\x02"), None);
        let mut meta = Meta::default();
        meta.overlay.begin(1);
        let answer = decide(&mut OverlayView::new(&meta.engine, &mut meta.overlay), &Bytes::from_static(b"\x01\x63"));
        assert!(
            matches!(Decision::decode(&answer.expect("an answer")), Some(Decision::Refused(_))),
            "of a later version"
        );
    }

    #[test]
    fn rule_40_a_lying_count_reserves_nothing() {
        let huge = [&[VERSION, BEGIN][..], &9u64.to_be_bytes(), &u32::MAX.to_be_bytes()].concat();
        assert_eq!(Change::decode(&huge), None);
    }

    #[test]
    fn the_bytes_are_golden() {
        let golden = b"\x01\x01\0\0\0\0\0\0\0\x02\0\0\0\x0d\x01\0\x03a:1\0\x03b:2\0\0";
        let node = Node { resp: Some("b:2".into()), ..Node::new(NodeId(2), "a:1") };
        assert_eq!(&Change::Register(node).encode()[..], golden);
        assert_eq!(&Decision::Refused("no".into()).encode()[..], b"\x01\x01no");
    }
}
