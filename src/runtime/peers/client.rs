//! Streams from this node to another: dialled, kept alive, dialled again with a growing pause.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use tokio_stream::{Stream, StreamExt};
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status};

use super::wire::{self, pb};
use super::{ADDRESS, Inbound, Peer, Peers, clock};
use crate::base::{Nanos, NodeId, Rng, limits};
use crate::host::Envelope;
use crate::service::node::{AboutScripts, ScriptsTold};
use crate::service::pubsub::{Interests, Telling};

/// First pause after a lost stream; it doubles up to the last, each with half of it left to chance.
const PAUSE_MIN: Duration = Duration::from_millis(20);
const PAUSE_MAX: Duration = Duration::from_millis(500);
/// That there is no stream is told again after this long.
const REPEAT: Duration = Duration::from_secs(10);
/// A dial without an answer for this long is begun anew. The system would repeat its first packet after a second only:
/// nodes that were cut off would be apart for up to a second after the network is well, and elect nobody meanwhile.
const DIAL_PATIENCE: Duration = Duration::from_millis(300);
/// A stream that is not open after this long, dial and all, is begun anew. Whatever stands between the nodes (a proxy, the
/// port forwarding of containers) may accept at once and then wait for the peer as long as the system does.
const OPEN_PATIENCE: Duration = Duration::from_millis(500);
/// A connection without a sign of life for this long is probed, and given up after as long again.
const KEEPALIVE: Duration = Duration::from_secs(1);
/// A stream of raft messages that has none sends an empty frame this often.
const PULSE: Duration = Duration::from_millis(500);
/// Between two frames that tell who listens to what.
const INTERESTS_PAUSE: Duration = Duration::from_millis(10);
/// A peer that does not tell of its scripts within this time is left out.
const SCRIPTS_PATIENCE: Duration = Duration::from_millis(500);
/// A member that takes longer to take a node in is asked again.
const JOIN_PATIENCE: Duration = Duration::from_secs(10);
/// HTTP/2 windows: one full frame target per stream must never wait for a round trip.
const STREAM_WINDOW: u32 = 16 << 20;
const CONNECTION_WINDOW: u32 = 32 << 20;
/// A snapshot of any size must make some progress within this time.
const SNAPSHOT_PATIENCE: Duration = Duration::from_secs(30);
/// A peer that takes longer than this for a whole snapshot is asked again with a fresh one.
const SNAPSHOT_TIME_MAX: Duration = Duration::from_secs(3600);

type Client = pb::peer_client::PeerClient<Channel>;

/// Keeps the stream of raft messages to a peer.
pub(super) async fn keep_raft(peers: Arc<Peers>, peer: Arc<Peer>, rng: Rng) {
    keep("raft", &peers, peer.id, rng, || async {
        let address = peer.address();
        let mut client = dial(&address).await?;
        // Frames without messages keep a silence from looking like the end: not every pair of nodes has groups to talk
        // about.
        let frames = peer.raft.open().timeout_repeating(tokio::time::interval(PULSE));
        let frames = frames.map(|messages| pb::RaftFrame { messages: messages.unwrap_or_default() });
        let mut end = client.raft(peers.request(&peer, frames)).await?.into_inner();
        tracing::info!(peer = %peer.id, address, "connected");
        peer.is_open.store(true, Ordering::Relaxed);
        let quiet = Quiet { peer: &peer };
        Ok(async move {
            let _quiet = quiet;
            while end.message().await?.is_some() {}
            Err(Status::unavailable("the peer closed the stream"))
        })
    })
    .await;
}

/// A peer whose stream ended is most likely gone. If it is not, its next frame says so.
struct Quiet<'a> {
    peer: &'a Peer,
}

impl Drop for Quiet<'_> {
    fn drop(&mut self) {
        self.peer.heard.store(0, Ordering::Relaxed);
        self.peer.is_open.store(false, Ordering::Relaxed);
    }
}

/// Keeps the stream of forwarded batches to a peer and hands on its answers.
pub(super) async fn keep_forward(peers: Arc<Peers>, peer: Arc<Peer>, inbound: Arc<dyn Inbound>, rng: Rng) {
    keep("forward", &peers, peer.id, rng, || async {
        let mut client = dial(&peer.address()).await?;
        let batches = peer.forward.open().map(|batches| pb::ForwardFrame { batches, interests: None });
        let frames = batches.merge(interests(inbound.hub().tell(peer.id)));
        let mut answers = client.forward(peers.request(&peer, frames)).await?.into_inner();
        inbound.link(peer.id, true);
        // Whatever ends this stream, also a cancelled task, the batches on it are without an answer.
        let down = Down { inbound: &inbound, peer: peer.id };
        let inbound = &inbound;
        Ok(async move {
            let _down = down;
            while let Some(frame) = answers.message().await? {
                let answers = frame.answers.into_iter().map(wire::answer_from_wire).collect::<Result<Vec<_>, _>>();
                inbound.answers(answers.map_err(|why| Status::internal(why.to_string()))?);
            }
            Err(Status::unavailable("the peer closed the stream"))
        })
    })
    .await;
}

/// What is told of the subscribers here: what changes within a pause goes into one frame.
fn interests(telling: Telling) -> impl Stream<Item = pb::ForwardFrame> {
    let told = Untold(telling).throttle(INTERESTS_PAUSE);
    told.map(|told| pb::ForwardFrame { batches: Vec::new(), interests: Some(wire::interests_to_wire(told)) })
}

struct Untold(Telling);

impl Stream for Untold {
    type Item = Interests;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Interests>> {
        self.0.poll_next(context).map(Some)
    }
}

struct Down<'a> {
    inbound: &'a Arc<dyn Inbound>,
    peer: NodeId,
}

impl Drop for Down<'_> {
    fn drop(&mut self) {
        self.inbound.link(self.peer, false);
    }
}

/// Sends one snapshot on a connection of its own; `Ok` when the peer says that it has all of it.
pub(super) async fn send_snapshot(
    peers: &Peers,
    peer: &Peer,
    envelope: Envelope,
    chunks: tokio::sync::mpsc::Receiver<Bytes>,
) -> Result<(), Status> {
    use pb::snapshot_frame::Part;
    let mut client = dial(&peer.address()).await?;
    let announcement = tokio_stream::once(Part::Announcement(wire::raft_message(envelope)));
    let chunks = tokio_stream::wrappers::ReceiverStream::new(chunks).map(Part::Chunk);
    let frames = announcement.chain(chunks).map(|part| pb::SnapshotFrame { part: Some(part) });
    // A producer that stalls ends the stream early, which the peer answers with a refusal.
    let frames = frames.timeout(SNAPSHOT_PATIENCE).map_while(Result::ok);
    let call = client.snapshot(peers.request(peer, Box::pin(frames)));
    match tokio::time::timeout(SNAPSHOT_TIME_MAX, call).await {
        Ok(answer) => answer.map(|_| ()),
        Err(_) => Err(Status::deadline_exceeded("the snapshot took too long")),
    }
}

/// Runs until the peer is one of the cluster no more.
pub(super) async fn until_ended(peer: Arc<Peer>, keep: impl Future<Output = ()>) {
    let mut ended = peer.ended.subscribe();
    tokio::select! {
        () = keep => {}
        _ = ended.wait_for(|ended| *ended) => {}
    }
}

/// Asks a member of a cluster that this node wants to join.
pub async fn ask_to_join(address: &str, asked: pb::JoinAsked) -> Result<pb::JoinTold, Status> {
    let ask = async { Ok(dial(address).await?.join(asked).await?.into_inner()) };
    match tokio::time::timeout(JOIN_PATIENCE, ask).await {
        Ok(told) => told,
        Err(_) => Err(Status::deadline_exceeded("no answer in time")),
    }
}

/// Asks one peer about the scripts that run there, on a connection of its own: those that are there may be full.
pub(super) async fn ask_about_scripts(peers: &Peers, peer: &Peer, about: AboutScripts) -> Result<ScriptsTold, Status> {
    let ask = async {
        let mut client = dial(&peer.address()).await?;
        let told = client.scripts(peers.request(peer, wire::scripts_to_wire(about))).await?.into_inner();
        wire::scripts_told_from_wire(told).map_err(|why| Status::internal(why.to_string()))
    };
    match tokio::time::timeout(SCRIPTS_PATIENCE, ask).await {
        Ok(told) => told,
        Err(_) => Err(Status::deadline_exceeded("no answer about scripts in time")),
    }
}

impl Peers {
    fn request<T>(&self, peer: &Peer, stream: T) -> Request<T> {
        let mut request = Request::new(stream);
        self.identity.introduce(peer.id, request.metadata_mut());
        if let Ok(own) = self.own.parse() {
            request.metadata_mut().insert(ADDRESS, own);
        }
        request
    }
}

/// Runs `open`, and the stream that it returns, again and again; that returns only with the reason of its end.
async fn keep<F, Open, Run>(purpose: &'static str, peers: &Peers, peer: NodeId, mut rng: Rng, mut open: F)
where
    F: FnMut() -> Open,
    Open: Future<Output = Result<Run, Status>>,
    Run: Future<Output = Result<Infallible, Status>>,
{
    let mut pause = PAUSE_MIN;
    let mut told: Option<(bool, Nanos)> = None;
    let mut attempts = 0u32;
    loop {
        attempts += 1;
        let why = match tokio::time::timeout(OPEN_PATIENCE, open()).await {
            Ok(Ok(run)) => {
                let opened = clock::boottime();
                let Err(why) = run.await;
                // One that ends at once is no better than none.
                if clock::boottime().since(opened) > PAUSE_MAX {
                    pause = PAUSE_MIN;
                    told = None;
                    attempts = 0;
                }
                why
            }
            Ok(Err(why)) => why,
            Err(_) => Status::deadline_exceeded("the peer did not accept the stream in time"),
        };
        let now = clock::boottime();
        let refused = matches!(why.code(), Code::FailedPrecondition | Code::InvalidArgument | Code::PermissionDenied);
        if why.code() == Code::PermissionDenied {
            peers.is_refused.store(true, Ordering::Relaxed);
        }
        // A peer that is down would fill the log.
        if told.is_some_and(|(as_refusal, at)| as_refusal == refused && now.since(at) < REPEAT) {
            tracing::debug!(%peer, purpose, attempts, why = why.message(), "still no stream to the peer");
        } else {
            told = Some((refused, now));
            if refused {
                tracing::error!(%peer, purpose, attempts, why = why.message(), "the peer refuses this node");
            } else {
                tracing::warn!(%peer, purpose, attempts, why = why.message(), "no stream to the peer");
            }
        }
        let half = pause / 2;
        tokio::time::sleep(half + Duration::from_micros(rng.below(half.as_micros() as u64 + 1))).await;
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

async fn dial(address: &str) -> Result<Client, Status> {
    let endpoint = Endpoint::from_shared(format!("http://{address}"))
        .map_err(|why| Status::invalid_argument(format!("{address} is no address: {why}")))?
        .tcp_nodelay(true)
        .connect_timeout(DIAL_PATIENCE)
        .http2_keep_alive_interval(KEEPALIVE)
        .keep_alive_timeout(KEEPALIVE)
        .keep_alive_while_idle(true)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW);
    let channel = endpoint.connect().await.map_err(|why| {
        let cause = std::error::Error::source(&why).map_or_else(|| why.to_string(), ToString::to_string);
        Status::unavailable(format!("{address}: {cause}"))
    })?;
    Ok(Client::new(channel)
        .max_decoding_message_size(limits::PEER_FRAME_BYTES_MAX)
        .max_encoding_message_size(limits::PEER_FRAME_BYTES_MAX))
}
