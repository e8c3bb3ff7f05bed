//! A change of what the meta group knows: what a node asks for, how it travels, and the one place that decides.
//!
//! ```text
//! change    version u8 = 1 | 0 | cluster u64 | count u32 | node... | count u32 | group...    the cluster begins
//!           version u8 = 1 | 1 | node                                                       where a node is reached
//!           version u8 = 1 | 2 | change of users, in the words of `command::acl`
//!           version u8 = 1 | 3 | nonce u64 | node                                           a node joins
//!           version u8 = 1 | 4 | id u64                                                     a node is removed
//! node, group    id u64 | length u32 | its record
//! facts     as of a cluster that begins | count u32 | node that is gone... | per group: count u32 | peer u64 | node u64...
//! decision  version u8 = 1 | 0                  accepted
//!           version u8 = 1 | 1 | text           refused
//!           version u8 = 1 | 2 | answer about users, in the words of `command::acl`
//! ```
//!
//! Invariants: a decision rests on the facts as all earlier changes leave them, applied or not, and on nothing else;
//! asking again for what was accepted changes nothing, so whoever is in doubt about an answer asks again.

use std::collections::BTreeMap;

use bytes::{Buf, BufMut, Bytes};

use super::{Facts, GONE, Group, JOINED, NODES_MAX, Node, damaged, name, users, versioned};
use crate::base::{ClusterId, GroupId, NodeId, PeerId};
use crate::command::acl;
use crate::store::{self, Read, Write, keys};

const VERSION: u8 = 1;

const BEGIN: u8 = 0;
const REGISTER: u8 = 1;
const USERS: u8 = 2;
const JOIN: u8 = 3;
const FORGET: u8 = 4;

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
    /// A node with an empty disk wants to be one of the cluster, and to have a replica of every group.
    Join {
        /// How it is reached.
        node: Node,
        /// Tells this node from another one that was given the same id. Drawn once, and kept on its disk.
        nonce: u64,
    },
    /// A node is one of the cluster no more, and its replicas are none.
    Forget(NodeId),
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
            (Change::Join { .. } | Change::Forget(_), None) => {
                Decision::Refused("the meta group has no facts yet".into())
            }
            (Change::Join { node, nonce }, Some(known)) => join(state, known, node, *nonce)?,
            (Change::Forget(id), Some(known)) => forget(state, known, *id),
        })
    }

    /// For the way to the leader.
    pub fn encode(&self) -> Bytes {
        let mut out = vec![VERSION];
        match self {
            Change::Begin(facts) => {
                out.put_u8(BEGIN);
                put_beginning(&mut out, facts);
            }
            Change::Join { node, nonce } => {
                out.put_u8(JOIN);
                out.put_u64(*nonce);
                put(&mut out, node.id.get(), &node.encode());
            }
            Change::Forget(id) => {
                out.put_u8(FORGET);
                out.put_u64(id.get());
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
        let change = match rest.try_get_u8().ok()? {
            BEGIN => Change::Begin(take_beginning(&mut rest)?),
            REGISTER => Change::Register(take_node(&mut rest)?),
            JOIN => {
                let nonce = rest.try_get_u64().ok()?;
                Change::Join { node: take_node(&mut rest)?, nonce }
            }
            FORGET => Change::Forget(NodeId(rest.try_get_u64().ok()?)),
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

/// A node that asks again is one of the cluster already; another one with its id is none.
fn join(state: &mut dyn Write, mut facts: Facts, node: &Node, nonce: u64) -> store::Result<Decision> {
    let id = node.id;
    let key = keys::fact(&name(JOINED, id.get()));
    if facts.is_gone(id) {
        let why =
            format!("node {id} was removed from the cluster: a node that joins needs an id that no node had before");
        return Ok(Decision::Refused(why));
    }
    if facts.node(id).is_some() {
        return Ok(match joined_as(&*state, &key)? {
            Some(known) if known == nonce => Decision::Accepted,
            _ => Decision::Refused(format!("there is a node {id} in the cluster: give the new one another id")),
        });
    }
    if id.get() == 0 || facts.nodes.len() >= NODES_MAX {
        return Ok(Decision::Refused(format!("a cluster has up to {NODES_MAX} nodes, with ids from 1")));
    }
    let mut value = vec![VERSION];
    value.put_u64(nonce);
    state.put(key, value.into());
    facts.join(node.clone());
    node.write(state);
    facts.groups.iter().for_each(|group| group.write(state));
    Ok(Decision::Accepted)
}

fn joined_as(state: &dyn Read, key: &Bytes) -> store::Result<Option<u64>> {
    let Some(value) = state.get(key)? else { return Ok(None) };
    let nonce = versioned(&value).and_then(|mut value| (value.len() == 8).then(|| value.get_u64()));
    nonce.map(Some).ok_or_else(|| damaged("a node that joined"))
}

fn forget(state: &mut dyn Write, mut facts: Facts, id: NodeId) -> Decision {
    if facts.is_gone(id) {
        return Decision::Accepted;
    }
    if let Err(why) = facts.forget(id) {
        return Decision::Refused(why);
    }
    state.delete(keys::fact(&name(super::NODE, id.get())));
    for node in facts.gone.iter().filter(|node| node.id == id) {
        state.put(keys::fact(&name(GONE, id.get())), node.encode().into());
    }
    facts.groups.iter().for_each(|group| group.write(state));
    Decision::Accepted
}

impl Facts {
    /// For a node that joins: all of it.
    pub fn encode(&self) -> Bytes {
        let mut out = vec![VERSION];
        put_beginning(&mut out, self);
        out.put_u32(self.gone.len() as u32);
        self.gone.iter().for_each(|node| put(&mut out, node.id.get(), &node.encode()));
        for group in &self.groups {
            out.put_u32(group.former.len() as u32);
            super::put_peers(&mut out, &group.former);
        }
        out.into()
    }

    /// `None` for what this version does not know.
    pub fn decode(facts: &[u8]) -> Option<Facts> {
        let mut rest = versioned(facts)?;
        let mut facts = take_beginning(&mut rest)?;
        facts.gone = (0..rest.try_get_u32().ok()?).map(|_| take_node(&mut rest)).collect::<Option<_>>()?;
        for group in &mut facts.groups {
            let pair = |rest: &mut &[u8]| Some((PeerId(rest.try_get_u64().ok()?), NodeId(rest.try_get_u64().ok()?)));
            group.former =
                (0..rest.try_get_u32().ok()?).map(|_| pair(&mut rest)).collect::<Option<BTreeMap<_, _>>>()?;
        }
        rest.is_empty().then_some(facts)
    }
}

fn put_beginning(out: &mut Vec<u8>, facts: &Facts) {
    out.put_u64(facts.cluster.get());
    out.put_u32(facts.nodes.len() as u32);
    facts.nodes.iter().for_each(|node| put(out, node.id.get(), &node.encode()));
    out.put_u32(facts.groups.len() as u32);
    facts.groups.iter().for_each(|group| put(out, group.id.get(), &group.encode()));
}

fn take_beginning(rest: &mut &[u8]) -> Option<Facts> {
    let cluster = ClusterId(rest.try_get_u64().ok()?);
    // A lying count runs into the end of what is there.
    let nodes = (0..rest.try_get_u32().ok()?).map(|_| take_node(rest)).collect::<Option<_>>()?;
    let group = |rest: &mut &[u8]| take(rest, |id, record| Group::decode(GroupId(id), record));
    let groups = (0..rest.try_get_u32().ok()?).map(|_| group(rest)).collect::<Option<_>>()?;
    Some(Facts { cluster, nodes, groups, gone: Vec::new() })
}

fn take_node(rest: &mut &[u8]) -> Option<Node> {
    take(rest, |id, record| Node::decode(NodeId(id), record))
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
        let join = Change::Join { node: registered(4, "d:1"), nonce: 77 };
        for change in
            [Change::Begin(beginning()), Change::Register(registered(1, "a:1")), users, join, Change::Forget(NodeId(3))]
        {
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

    fn join(id: u64, nonce: u64) -> Change {
        Change::Join { node: Node::new(NodeId(id), format!("new-{id}:1")), nonce }
    }

    #[test]
    fn rule_14_a_node_joins_once_with_ids_that_no_replica_had() {
        let mut meta = Meta::default();
        assert!(matches!(meta.apply(&join(4, 1)), Decision::Refused(_)), "no facts yet");
        meta.apply(&Change::Begin(beginning()));
        assert_eq!(meta.apply(&join(4, 1)), Decision::Accepted);
        let facts = meta.facts();
        assert_eq!(facts.nodes.len(), 4);
        for group in &facts.groups {
            assert_eq!((group.peers.get(&PeerId(4)), group.next_peer), (Some(&NodeId(4)), PeerId(5)));
        }
        assert_eq!(meta.apply(&join(4, 1)), Decision::Accepted, "it asks again");
        assert_eq!(meta.written, []);
        assert!(matches!(meta.apply(&join(4, 2)), Decision::Refused(_)), "another one with this id");
        assert!(matches!(meta.apply(&join(2, 2)), Decision::Refused(_)), "one of the first has it");
        assert_eq!(Facts::decode(&facts.encode()), Some(facts.clone()));
        let starts = facts.starts(NodeId(4), &beginning());
        assert!(starts.iter().all(|start| start.peer == PeerId(4) && start.voters == [1, 2, 3].map(PeerId)));
        (5..=9).for_each(|id| assert_eq!(meta.apply(&join(id, 1)), Decision::Accepted));
        assert!(matches!(meta.apply(&join(10, 1)), Decision::Refused(_)), "there are enough");
    }

    #[test]
    fn rule_14_a_node_that_was_removed_does_not_come_back() {
        let mut meta = Meta::default();
        meta.apply(&Change::Begin(beginning()));
        meta.apply(&join(4, 1));
        assert!(matches!(meta.apply(&Change::Forget(NodeId(9))), Decision::Refused(_)));
        assert_eq!(meta.apply(&Change::Forget(NodeId(2))), Decision::Accepted);
        let facts = meta.facts();
        assert!(facts.is_gone(NodeId(2)) && facts.node(NodeId(2)).is_none());
        for group in &facts.groups {
            assert!(group.peers.keys().copied().eq([1, 3, 4].map(PeerId)));
            assert_eq!(group.former, BTreeMap::from([(PeerId(2), NodeId(2))]));
        }
        assert_eq!(Facts::decode(&facts.encode()), Some(facts.clone()));
        // It has to agree, so it starts once more; and nobody else takes its id.
        assert_eq!((facts.check(facts.cluster, NodeId(2)), facts.starts(NodeId(2), &beginning()).len()), (Ok(()), 3));
        assert_eq!(meta.apply(&Change::Forget(NodeId(2))), Decision::Accepted, "asked again");
        assert_eq!(meta.written, []);
        for change in [join(2, 1), Change::Register(registered(2, "b:1"))] {
            assert!(matches!(meta.apply(&change), Decision::Refused(_)));
        }
        for id in [1, 3] {
            assert_eq!(meta.apply(&Change::Forget(NodeId(id))), Decision::Accepted);
        }
        assert!(matches!(meta.apply(&Change::Forget(NodeId(4))), Decision::Refused(_)), "the last one");
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
