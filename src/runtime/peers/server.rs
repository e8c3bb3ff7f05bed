//! Streams from other nodes to this one. Every call is admitted by its metadata before a frame is read.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio_stream::{Stream, StreamExt};
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status, Streaming};

use super::wire::{self, FORMAT, pb};
use super::{Inbound, Outbox, Peers, clock};
use crate::base::{NodeId, limits};
use crate::service::node::ScriptsTold;

const KEEPALIVE: Duration = Duration::from_secs(1);
const STREAM_WINDOW: u32 = 16 << 20;
const CONNECTION_WINDOW: u32 = 32 << 20;

/// Serves peers until `stop` resolves.
pub async fn serve(
    peers: Arc<Peers>,
    inbound: Arc<dyn Inbound>,
    listener: tokio::net::TcpListener,
    stop: impl Future<Output = ()>,
) -> Result<(), tonic::transport::Error> {
    let service = pb::peer_server::PeerServer::new(Service { peers, inbound })
        .max_decoding_message_size(limits::PEER_FRAME_BYTES_MAX)
        .max_encoding_message_size(limits::PEER_FRAME_BYTES_MAX);
    Server::builder()
        .http2_keepalive_interval(Some(KEEPALIVE))
        .http2_keepalive_timeout(Some(KEEPALIVE))
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .add_service(service)
        .serve_with_incoming_shutdown(TcpIncoming::from(listener).with_nodelay(Some(true)), stop)
        .await
}

struct Service {
    peers: Arc<Peers>,
    inbound: Arc<dyn Inbound>,
}

type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl pb::peer_server::Peer for Service {
    type RaftStream = Answers<pb::Nothing>;
    type ForwardStream = Answers<pb::AnswerFrame>;

    async fn raft(&self, request: Request<Streaming<pb::RaftFrame>>) -> Result<Response<Self::RaftStream>, Status> {
        let from = self.admit(&request)?;
        let (peers, inbound) = (self.peers.clone(), self.inbound.clone());
        let frames = request.into_inner();
        // The answering stream drives the asking one: no task between the socket and the worker's queue.
        let answers = frames.filter_map(move |frame| match frame {
            Ok(frame) => {
                if !peers.heard(from) {
                    return Some(Err(peers.stranger(&*inbound, from)));
                }
                if frame.messages.is_empty() {
                    return None;
                }
                let identity = peers.identity;
                let envelope = |message| wire::envelope(message, identity.cluster, from, identity.node);
                inbound.raft(frame.messages.into_iter().map(envelope).collect());
                None
            }
            Err(why) => Some(Err(why)),
        });
        Ok(Response::new(Box::pin(answers)))
    }

    async fn forward(
        &self,
        request: Request<Streaming<pb::ForwardFrame>>,
    ) -> Result<Response<Self::ForwardStream>, Status> {
        let from = self.admit(&request)?;
        let inbound = self.inbound.clone();
        // Forgotten with the stream.
        let hearing = inbound.hub().hear(from);
        let outbox = Arc::new(Outbox::new(limits::OUTPUT_BUFFER_BYTES_MAX));
        let answers = outbox.open().map(|answers| Ok(pb::AnswerFrame { answers }));
        let batches = request.into_inner().filter_map(move |frame| {
            let read = frame.and_then(|frame| {
                let batches = frame.batches.into_iter().map(wire::batch_from_wire).collect::<Result<Vec<_>, _>>();
                let interests = frame.interests.map(wire::interests_from_wire).transpose();
                let both = batches.and_then(|batches| Ok((batches, interests?)));
                both.map_err(|why| Status::invalid_argument(why.to_string()))
            });
            match read {
                Ok((batches, interests)) => {
                    interests.into_iter().for_each(|told| hearing.hear(told));
                    if !batches.is_empty() {
                        inbound.batches(from, batches, &outbox);
                    }
                    None
                }
                Err(why) => Some(Err(why)),
            }
        });
        // The caller's end ends the whole: `take_while` sees the mark that follows its last frame.
        let batches = batches.map(Some).chain(tokio_stream::once(None));
        let both = batches.merge(answers.map(Some));
        let until_end = both.take_while(Option::is_some).filter_map(|frame| frame);
        Ok(Response::new(Box::pin(until_end)))
    }

    async fn join(&self, request: Request<pb::JoinAsked>) -> Result<Response<pb::JoinTold>, Status> {
        let asked = request.into_inner();
        if asked.format != FORMAT {
            let why = format!("this node speaks peer format {FORMAT}, the caller {}", asked.format);
            return Err(Status::failed_precondition(why));
        }
        self.inbound.clone().join(asked).await.map(Response::new)
    }

    async fn scripts(&self, request: Request<pb::ScriptsAsked>) -> Result<Response<pb::ScriptsTold>, Status> {
        let from = self.admit(&request)?;
        let about =
            wire::scripts_from_wire(request.get_ref()).map_err(|why| Status::invalid_argument(why.to_string()))?;
        let told = ScriptsTold::by(self.inbound.running(), about, clock::wall());
        tracing::debug!(%from, ?about, killed = ?told.killed, "asked about scripts");
        Ok(Response::new(wire::scripts_told_to_wire(told)))
    }

    async fn snapshot(&self, request: Request<Streaming<pb::SnapshotFrame>>) -> Result<Response<pb::Nothing>, Status> {
        use pb::snapshot_frame::Part;
        let from = self.admit(&request)?;
        let mut frames = request.into_inner();
        let Some(Part::Announcement(message)) = frames.message().await?.and_then(|frame| frame.part) else {
            return Err(Status::invalid_argument("a snapshot begins with its announcement"));
        };
        let mut receiver = self.inbound.snapshot_receiver().ok_or_else(|| Status::resource_exhausted("not now"))?;
        loop {
            match frames.message().await?.and_then(|frame| frame.part) {
                Some(Part::Chunk(chunk)) => {
                    // Chunks are written down where waiting for the disk is allowed.
                    let task = tokio::task::spawn_blocking(move || {
                        let complete = receiver.accept(chunk);
                        (receiver, complete)
                    });
                    let (returned, complete) = task.await.map_err(|_| Status::aborted("shutting down"))?;
                    receiver = returned;
                    if complete.map_err(|why| Status::data_loss(why.to_string()))? {
                        let identity = self.peers.identity;
                        let envelope = wire::envelope(message, identity.cluster, from, identity.node);
                        self.inbound.snapshot(envelope, receiver);
                        return Ok(Response::new(pb::Nothing {}));
                    }
                }
                Some(Part::Announcement(_)) => return Err(Status::invalid_argument("announced twice")),
                None => return Err(Status::aborted("the snapshot is not complete")),
            }
        }
    }
}

impl Peers {
    /// Why a node of this cluster is not listened to.
    fn stranger(&self, inbound: &dyn Inbound, node: NodeId) -> Status {
        if inbound.was_removed(node) {
            Status::permission_denied(format!("node {node} was removed from the cluster"))
        } else {
            Status::unavailable(format!("node {} does not know a node {node} yet", self.identity.node))
        }
    }
}

impl Service {
    fn admit<T>(&self, request: &Request<T>) -> Result<NodeId, Status> {
        let admitted = self.peers.identity.admit(request.metadata()).and_then(|node| match self.peers.find(node) {
            Some(_) => Ok(node),
            None if !self.inbound.was_removed(node) && self.peers.meet(node, request.metadata()) => Ok(node),
            None => Err(self.peers.stranger(&*self.inbound, node)),
        });
        match &admitted {
            Ok(node) => self.peers.introduced(*node, request.metadata()),
            Err(why) => {
                self.peers.metrics.foreign_refused.inc();
                tracing::warn!(from = ?request.remote_addr(), why = why.message(), "refused a peer");
            }
        }
        admitted
    }
}
