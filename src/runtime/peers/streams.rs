//! Two nodes' peer modules over loopback sockets.

use std::future::pending;

use bytes::Bytes;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::*;
use crate::base::{GroupId, Millis, PeerId, SessionId};
use crate::command::script::{Called, Killed};
use crate::machine::{Origin, Refusal, Submission};

/// What arrived at a node.
#[derive(Debug)]
pub(super) enum Seen {
    Raft(Vec<Envelope>),
    Answers(Vec<(GroupId, Ticket, Answer)>),
    Link(NodeId, bool),
    Snapshot(Envelope, bool),
}

/// A node that the recorders know to be removed, if they do not have it among their peers.
const REMOVED: NodeId = NodeId(2);

/// Remembers everything, and answers batches at once.
struct Recorder {
    seen: UnboundedSender<Seen>,
    directory: tempfile::TempDir,
    hub: Arc<Hub>,
    running: Arc<Running>,
}

impl Inbound for Recorder {
    fn hub(&self) -> &Arc<Hub> {
        &self.hub
    }

    fn running(&self) -> &Arc<Running> {
        &self.running
    }

    fn raft(&self, envelopes: Vec<Envelope>) {
        let _ = self.seen.send(Seen::Raft(envelopes));
    }

    fn batches(&self, _from: NodeId, batches: Vec<Batch>, answers: &Arc<Outbox<pb::Answer>>) {
        let refused = Answer::Refused(Refusal::NotLeader);
        let answer = |batch: Batch| wire::answer_to_wire(batch.group, batch.submission.ticket, &refused);
        answers.push(batches.into_iter().map(|batch| (answer(batch), 1)));
    }

    fn answers(&self, answers: Vec<(GroupId, Ticket, Answer)>) {
        let _ = self.seen.send(Seen::Answers(answers));
    }

    fn link(&self, to: NodeId, up: bool) {
        let _ = self.seen.send(Seen::Link(to, up));
    }

    fn snapshot_receiver(&self) -> Option<Receiver<FileSpool>> {
        FileSpool::create(self.directory.path()).ok().map(Receiver::new)
    }

    fn snapshot(&self, envelope: Envelope, received: Receiver<FileSpool>) {
        let _ = self.seen.send(Seen::Snapshot(envelope, received.is_complete()));
    }

    fn was_removed(&self, node: NodeId) -> bool {
        node == REMOVED
    }

    fn join(self: Arc<Self>, asked: pb::JoinAsked) -> PendingJoin {
        let founders = vec![pb::Founder { node: asked.node, address: asked.address }];
        Box::pin(std::future::ready(Ok(pb::JoinTold { facts: Bytes::new(), founders, partitions: 1 })))
    }
}

pub(super) struct Node {
    pub(super) peers: Arc<Peers>,
    seen: UnboundedReceiver<Seen>,
}

impl Node {
    /// A listening node that dials the members.
    pub(super) async fn start(
        cluster: u64,
        id: u64,
        listener: tokio::net::TcpListener,
        members: &[(NodeId, String)],
    ) -> Node {
        let identity = Identity { cluster: ClusterId(cluster), node: NodeId(id) };
        let address = listener.local_addr().expect("an address").to_string();
        let peers = Arc::new(Peers::new(identity, address, members, Arc::new(Metrics::new())));
        let (sender, seen) = unbounded_channel();
        let directory = tempfile::tempdir().expect("a directory");
        let inbound: Arc<dyn Inbound> =
            Arc::new(Recorder { seen: sender, directory, hub: Arc::default(), running: Arc::default() });
        tokio::spawn(serve(peers.clone(), inbound.clone(), listener, pending()));
        peers.connect(&inbound, &mut Rng::new(id));
        Node { peers, seen }
    }

    pub(super) fn try_next(&mut self) -> Option<Seen> {
        self.seen.try_recv().ok()
    }

    pub(super) async fn next(&mut self) -> Seen {
        let patience = Duration::from_secs(20);
        tokio::time::timeout(patience, self.seen.recv()).await.expect("in time").expect("an open channel")
    }
}

async fn pair(clusters: [u64; 2]) -> [Node; 2] {
    let mut listeners = Vec::new();
    for _ in 0..2 {
        listeners.push(tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port"));
    }
    let address = |n: usize| listeners[n].local_addr().expect("an address").to_string();
    let members = [(NodeId(1), address(0)), (NodeId(2), address(1))];
    let (second, first) = (listeners.pop().expect("two"), listeners.pop().expect("two"));
    [Node::start(clusters[0], 1, first, &members).await, Node::start(clusters[1], 2, second, &members).await]
}

pub(super) fn envelope(text: &'static str) -> Envelope {
    Envelope {
        cluster: ClusterId(9),
        group: GroupId(1),
        epoch: 3,
        from: NodeId(1),
        to: NodeId(2),
        from_peer: PeerId(11),
        to_peer: PeerId(12),
        message: Bytes::from_static(text.as_bytes()),
    }
}

pub(super) fn block_on(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    runtime.expect("a runtime").block_on(test);
}

#[test]
fn messages_batches_and_snapshots_reach_the_other_node() {
    block_on(async {
        let [mut one, mut two] = pair([9, 9]).await;
        assert!(matches!(one.next().await, Seen::Link(NodeId(2), true)));
        assert!(matches!(two.next().await, Seen::Link(NodeId(1), true)));

        // The raft stream has no sign of its own: messages are dropped until it is there.
        let received = loop {
            one.peers.send(vec![envelope("a"), envelope("b")]);
            match tokio::time::timeout(Duration::from_millis(50), two.next()).await {
                Ok(Seen::Raft(envelopes)) => break envelopes,
                Ok(other) => panic!("{other:?}"),
                Err(_) => {}
            }
        };
        assert_eq!(received[..2], [envelope("a"), envelope("b")]);
        assert!(two.peers.all().iter().all(|peer| peer.reachable()));

        let origin = Some(Origin { session: SessionId(5), number: 1, acknowledged_below: 1 });
        let batch = |ticket| {
            let submission = Submission { ticket: Ticket(ticket), origin, units: Arc::default() };
            Batch { group: GroupId(1), submission, trace: String::new() }
        };
        assert!(one.peers.forward(NodeId(2), batch(77)));
        assert!(!one.peers.forward(NodeId(3), batch(78)), "there is no such node");
        let Seen::Answers(answers) = one.next().await else { panic!("answers come next") };
        assert_eq!(answers, [(GroupId(1), Ticket(77), Answer::Refused(Refusal::NotLeader))]);

        let nothing = ScriptsTold { killed: Killed::Nothing, called: None };
        for about in
            [AboutScripts::Look, AboutScripts::Kill { functions: false }, AboutScripts::Kill { functions: true }]
        {
            assert_eq!(one.peers.clone().ask_about_scripts(about).await, std::slice::from_ref(&nothing));
        }
    });
}

#[test]
fn what_is_told_of_scripts_crosses_the_wire() {
    let called = Called { name: "f".into(), words: vec!["FCALL".into(), "f".into(), "0".into()], since: Millis(7) };
    for killed in [Killed::Nothing, Killed::Other, Killed::Wrote, Killed::Done] {
        let told = ScriptsTold { killed, called: Some((called.clone(), 40)) };
        assert_eq!(wire::scripts_told_from_wire(wire::scripts_told_to_wire(told.clone())), Ok(told));
    }
    for about in [AboutScripts::Look, AboutScripts::Kill { functions: false }, AboutScripts::Kill { functions: true }] {
        assert_eq!(wire::scripts_from_wire(&wire::scripts_to_wire(about)), Ok(about));
    }
    assert!(wire::scripts_from_wire(&pb::ScriptsAsked { about: 9 }).is_err());
    assert!(wire::scripts_told_from_wire(pb::ScriptsTold { killed: 9, called: None }).is_err());
}

#[test]
fn a_node_that_was_removed_is_told_so_and_left_alone() {
    block_on(async {
        let [mut one, mut two] = pair([9, 9]).await;
        assert!(matches!(one.next().await, Seen::Link(REMOVED, true)));
        assert!(matches!(two.next().await, Seen::Link(NodeId(1), true)));
        assert!(!two.peers.is_left_alone());
        one.peers.set_members(&BTreeMap::new(), |_| true);
        assert!(matches!(one.next().await, Seen::Link(REMOVED, false)), "what was asked of it gets no answer");
        let left_alone = async {
            while !two.peers.is_left_alone() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), left_alone).await.expect("it hears so");
    });
}

#[test]
fn a_node_that_moved_is_called_back_where_it_says_that_it_is() {
    block_on(async {
        let listener = async || tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let (first, second, gone) = (listener().await, listener().await, listener().await);
        let address = |listener: &tokio::net::TcpListener| listener.local_addr().expect("an address").to_string();
        let old = [(NodeId(1), address(&first)), (NodeId(2), address(&gone))];
        drop(gone);
        let mut one = Node::start(9, 1, first, &old).await;
        let mut two = Node::start(9, 2, second, &old).await;
        assert!(matches!(two.next().await, Seen::Link(NodeId(1), true)));
        assert!(matches!(one.next().await, Seen::Link(NodeId(2), true)));
    });
}

#[test]
fn rule_11_a_snapshot_is_delivered_whole_or_reported_lost() {
    use crate::store::snapshot::{Sender, ranges};
    use crate::store::{Batch as Records, Engine, keys, memory::MemoryEngine};
    block_on(async {
        let [one, mut two] = pair([9, 9]).await;
        let engine = MemoryEngine::new();
        let mut records = Records::default();
        records.put(keys::head(0, b"key"), "value");
        engine.write(&records).expect("written");
        let view = engine.snapshot().expect("a view");
        let mut sender = Sender::new(view, ranges(GroupId(1), Some(crate::base::SlotRange::ALL)));
        let (chunks, receiver) = tokio::sync::mpsc::channel(2);
        while let Some(chunk) = sender.next_chunk().expect("a chunk") {
            chunks.send(chunk).await.expect("room");
        }
        drop(chunks);
        assert!(one.peers.send_snapshot(envelope("place"), receiver).await);
        let arrived = loop {
            if let Seen::Snapshot(announced, complete) = two.next().await {
                break (announced, complete);
            }
        };
        assert_eq!(arrived, (envelope("place"), true));

        let (chunks, receiver) = tokio::sync::mpsc::channel(1);
        drop(chunks);
        assert!(!one.peers.send_snapshot(envelope("nothing"), receiver).await, "without its last chunk it is lost");
    });
}

#[test]
fn rule_15_a_foreign_cluster_is_refused_and_counted() {
    block_on(async {
        let [one, two] = pair([9, 8]).await;
        let (_chunks, receiver) = tokio::sync::mpsc::channel(1);
        assert!(!one.peers.send_snapshot(envelope("foreign"), receiver).await);
        assert!(two.peers.metrics.foreign_refused.get() > 0);
    });
}
