//! The RESP listener: one task per connection, which reads, has everything complete answered, and writes once.
//!
//! Invariants: replies are written before more is read, so a client that does not read its replies is not read
//! from either; a connection that is asked to end (CLIENT KILL, shutdown) finishes what is in flight first. Messages of
//! channels are written between replies, behind those to what was asked before, and while the client is silent.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

use super::batches::{Batches, Crowd};
use crate::base::limits;
use crate::resp::{Decoder, Value};
use crate::service::{Flow, OutputLimit, Sampler, Service, Session, Stage};

/// How long a client may take to authenticate where a password is required.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// Room for the first read of a connection: ten thousand idle ones shall not cost much.
const READ_BYTES_MIN: usize = 4 << 10;
/// Room for a read of a client that fills what it is given.
const READ_BYTES_MAX: usize = 64 << 10;
/// An output buffer that grew beyond this is given back once it is sent.
const OUT_BYTES_KEPT: usize = 64 << 10;
/// Input of a client that did not authenticate: the largest request it may send, and its framing.
const UNAUTHENTICATED_INPUT_BYTES_MAX: usize =
    limits::UNAUTHENTICATED_ARGUMENTS_MAX * (limits::UNAUTHENTICATED_BULK_BYTES_MAX + 64) + limits::INLINE_BYTES_MAX;
/// Bytes of replies and messages that one write may grow to by messages.
const MESSAGES_WRITE_BYTES: usize = 64 << 10;
/// How often somebody looks whether a client that listens reads too slowly.
const SLOWNESS_INTERVAL: Duration = Duration::from_millis(500);
/// After a failed accept (no file descriptors left), before the next.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Serves clients until `shutdown` becomes true (or its sender is gone); returns when the last one is finished.
pub async fn serve(listener: TcpListener, service: Arc<Service>, mut shutdown: watch::Receiver<bool>) {
    let mut connections = JoinSet::new();
    let crowd = Crowd::default();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = shutdown.wait_for(|stop| *stop) => break,
            Some(_) = connections.join_next() => continue,
        };
        match accepted {
            Ok((stream, from)) => {
                connections.spawn(accept(stream, from, service.clone(), Batches::new(crowd.clone())));
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a client");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    // A connection may register just after a sweep; it is in the set, so sweep again until the set is empty.
    loop {
        service.clients().end_all();
        let finished = tokio::time::timeout(ACCEPT_PAUSE, connections.join_next()).await;
        if matches!(finished, Ok(None)) {
            return;
        }
    }
}

async fn accept(mut stream: TcpStream, from: SocketAddr, service: Arc<Service>, batches: Batches) {
    let local = stream.local_addr().map(|address| address.to_string()).unwrap_or_default();
    let Some(session) = service.connect(from.to_string(), local) else {
        // Best effort: the client may be gone already.
        let _ = stream.write_all(b"-ERR max number of clients reached\r\n").await;
        return;
    };
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "TCP_NODELAY");
    }
    let id = session.client.id;
    let mut connection = Connection {
        stream,
        service,
        session,
        decoder: Decoder::default(),
        input: BytesMut::with_capacity(READ_BYTES_MIN),
        read_bytes: READ_BYTES_MIN,
        batches,
        requests: VecDeque::new(),
        out: BytesMut::new(),
        parses: Sampler::default(),
        writes: Sampler::default(),
        handshake: Instant::now() + HANDSHAKE_TIMEOUT,
    };
    if let Err(error) = connection.run().await {
        tracing::debug!(client = id, %error, "connection ended");
    }
}

pub(super) struct Connection {
    pub(super) stream: TcpStream,
    pub(super) service: Arc<Service>,
    pub(super) session: Session,
    decoder: Decoder,
    pub(super) input: BytesMut,
    /// Room to make for the next read.
    read_bytes: usize,
    batches: Batches,
    requests: VecDeque<Vec<Bytes>>,
    pub(super) out: BytesMut,
    /// Which batches are timed.
    parses: Sampler,
    writes: Sampler,
    /// Until then a client must have authenticated, and have read what it was told until then.
    handshake: Instant,
}

/// What a connection waited for.
enum Came {
    /// Bytes from the client.
    Input,
    /// Messages for the client.
    Messages,
    /// The client closed, was asked to end, or took too long.
    End,
}

impl Connection {
    async fn run(&mut self) -> io::Result<()> {
        loop {
            if self.answer().await? == Flow::Close {
                if self.is_overrun() {
                    return Err(self.too_many_unread());
                }
                return self.stream.shutdown().await;
            }
            // Messages do not wait for the end of a large request.
            self.send().await?;
            let waiting = self.input.len();
            self.session.client.input_waiting.store(waiting, Relaxed);
            let authenticated = self.session.is_authenticated();
            let most = self.service.query_buffer_bytes();
            if waiting > if authenticated { most } else { most.min(UNAUTHENTICATED_INPUT_BYTES_MAX) } {
                self.service.stats().query_limit_disconnections.fetch_add(1, Relaxed);
                return Ok(());
            }
            let deadline = match (authenticated, self.service.idle_timeout_seconds()) {
                (false, _) => Some(self.handshake),
                // Who listens or watches may say nothing for as long as it likes.
                (true, seconds) if seconds == 0 || self.session.is_listening() || self.session.is_watching() => None,
                (true, seconds) => Some(Instant::now() + Duration::from_secs(seconds)),
            };
            match self.read(deadline).await? {
                Came::Input | Came::Messages => {}
                Came::End if self.is_overrun() => return Err(self.too_many_unread()),
                // What it was told before it had to end.
                Came::End if self.session.client.is_ending() => return self.send().await,
                Came::End => return Ok(()),
            }
        }
    }

    /// Answers everything that is complete in the input, and sends the replies.
    async fn answer(&mut self) -> io::Result<Flow> {
        loop {
            let mut broken = None;
            // What one may declare can change with AUTH: until then one request at a time.
            let most = if self.session.is_authenticated() { self.batches.most() } else { 1 };
            let bounds = self.service.bounds(&self.session);
            let began = (!self.input.is_empty() && self.parses.take()).then(|| self.service.node().monotonic());
            while self.requests.len() < most {
                match self.decoder.decode(&mut self.input, &bounds) {
                    Ok(Some(request)) => self.requests.push_back(request),
                    Ok(None) => break,
                    Err(error) => {
                        broken = Some(error);
                        break;
                    }
                }
            }
            if self.requests.is_empty() && broken.is_none() {
                self.batches.rest();
                return Ok(Flow::Continue);
            }
            let (asked, mut replied) = (self.requests.len(), 0);
            if let Some(began) = began {
                let node = self.service.node();
                node.note(Stage::Parse, node.monotonic().since(began), asked);
            }
            let mut flow = Flow::Continue;
            while flow == Flow::Continue && !self.requests.is_empty() {
                flow = self.service.handle_batch(&mut self.session, &mut self.requests, &mut self.out).await;
                if flow == Flow::Wait {
                    flow = self.wait().await?;
                }
                replied += self.out.len();
                if !self.requests.is_empty() {
                    self.send().await?;
                }
            }
            self.batches.learn(asked, replied);
            if let Some(error) = broken.filter(|_| flow == Flow::Continue) {
                Value::error(format!("ERR {error}")).encode(self.session.protocol(), &mut self.out);
                flow = Flow::Close;
            }
            self.send().await?;
            if flow == Flow::Close {
                return Ok(flow);
            }
        }
    }

    /// Writes the replies out, and messages that wait behind them. Somebody who asks the connection to end need not
    /// wait for a client that reads nothing.
    pub(super) async fn send(&mut self) -> io::Result<()> {
        if let Some(inbox) = self.session.inbox() {
            inbox.take(&mut self.out, MESSAGES_WRITE_BYTES);
        }
        if self.out.is_empty() {
            return Ok(());
        }
        let bytes = self.out.len();
        let limit = self.service.output_limit(&self.session, bytes);
        if limit == OutputLimit::Exceeded {
            return Err(self.too_many_unread());
        }
        let listens = self.session.inbox().filter(|_| self.session.is_listening()).cloned();
        // A stranger gets one short answer at a time; who does not take it in time is not waited for.
        let handshake = (!self.session.is_authenticated()).then_some(self.handshake);
        let patience = async {
            match (limit, handshake, &listens) {
                (OutputLimit::Within(patience), ..) => tokio::time::sleep(patience).await,
                (_, Some(handshake), _) => tokio::time::sleep_until(handshake).await,
                (_, _, Some(inbox)) => {
                    while !self.service.is_too_slow(inbox) {
                        tokio::time::sleep(SLOWNESS_INTERVAL).await;
                    }
                }
                _ => std::future::pending().await,
            }
        };
        let client = self.session.client.clone();
        client.output_waiting.store(bytes, Relaxed);
        let began = self.writes.take().then(|| self.service.node().monotonic());
        tokio::select! {
            biased;
            written = self.stream.write_all(&self.out) => written?,
            _ = client.ended() => {
                let aborted = io::ErrorKind::ConnectionAborted;
                return Err(if self.is_overrun() { self.too_many_unread() } else { aborted.into() });
            }
            _ = patience => return Err(self.too_many_unread()),
        }
        if let Some(began) = began {
            let node = self.service.node();
            node.note(Stage::Reply, node.monotonic().since(began), bytes);
        }
        client.output_waiting.store(0, Relaxed);
        self.service.stats().sent(client.id, bytes);
        self.out.clear();
        if self.out.capacity() > OUT_BYTES_KEPT {
            self.out = BytesMut::new();
        }
        Ok(())
    }

    fn is_overrun(&self) -> bool {
        self.session.inbox().is_some_and(|inbox| inbox.is_overrun())
    }

    /// The client is disconnected for what it did not read.
    fn too_many_unread(&self) -> io::Error {
        self.service.stats().output_limit_disconnections.fetch_add(1, Relaxed);
        io::Error::other("the client left more replies unread than it may")
    }

    /// Room for the next read.
    pub(super) fn make_room(&mut self) {
        if self.input.capacity() - self.input.len() < self.read_bytes / 4 {
            // Doubling keeps the copying of a large bulk linear; nothing grows but by bytes that came.
            self.input.reserve(self.input.len().max(self.read_bytes));
        }
    }

    /// Waits for more input, or for messages.
    async fn read(&mut self, deadline: Option<Instant>) -> io::Result<Came> {
        self.make_room();
        let room = self.input.capacity() - self.input.len();
        let client = self.session.client.clone();
        let inbox = self.session.inbox().cloned();
        let messages = async {
            match &inbox {
                Some(inbox) => inbox.filled().await,
                None => std::future::pending().await,
            }
        };
        let more = async {
            tokio::select! {
                biased;
                read = self.stream.read_buf(&mut self.input) => read.map(Some),
                _ = client.ended() => Ok(Some(0)),
                () = messages => Ok(None),
            }
        };
        let read = match deadline {
            None => more.await?,
            Some(deadline) => match timeout_at(deadline, more).await {
                Ok(read) => read?,
                Err(_) => return Ok(Came::End),
            },
        };
        let Some(read) = read else { return Ok(Came::Messages) };
        if read == room {
            self.read_bytes = (self.read_bytes * 4).min(READ_BYTES_MAX);
        }
        if read > 0 {
            self.service.stats().received(self.session.client.id, read);
        }
        Ok(if read > 0 { Came::Input } else { Came::End })
    }
}
