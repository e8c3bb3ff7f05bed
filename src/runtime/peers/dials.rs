//! Connections that fail at every step of their beginning, over loopback sockets: a stream must come to be all the same.

use std::collections::BTreeSet;
use std::future::pending;

use bytes::Bytes;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;

use super::streams::{Node, Seen, block_on, envelope};
use super::*;

/// The longest that a node may need for a new stream, on a busy machine.
const STREAM_TIME_MAX: Duration = Duration::from_secs(15);
/// Each node dials twice, for raft messages and for forwarded batches.
const STREAMS: usize = 2;

/// What becomes of a connection.
#[derive(Clone, Copy, Debug)]
struct Fate {
    /// In the direction from who dials, or in the other.
    forth: bool,
    /// So many bytes pass before it happens.
    bytes: usize,
    /// Then both ends are closed, or else nothing passes any more and nobody says so.
    closed: bool,
}

/// Relays connections to `target`. The first ones meet their fate, those after them do not.
async fn relay(listener: TcpListener, target: String, fate: Fate) {
    for number in 0.. {
        let (near, _) = listener.accept().await.expect("a connection");
        let far = TcpStream::connect(&target).await.expect("the node listens");
        tokio::spawn(connection(near, far, (number < STREAMS).then_some(fate)));
    }
}

async fn connection(mut near: TcpStream, mut far: TcpStream, fate: Option<Fate>) {
    let bytes = |forth| fate.map_or(usize::MAX, |fate| if fate.forth == forth { fate.bytes } else { usize::MAX });
    {
        let ((mut from_near, mut to_near), (mut from_far, mut to_far)) = (near.split(), far.split());
        let forth = pass(&mut from_near, &mut to_far, bytes(true));
        let back = pass(&mut from_far, &mut to_near, bytes(false));
        tokio::select! { () = forth => {}, () = back => {} }
    }
    if fate.is_some_and(|fate| !fate.closed) {
        // Both sockets stay open, and nobody reads them.
        pending::<()>().await;
    }
}

/// Passes so many bytes, or what there is until an end closes.
async fn pass(
    from: &mut (impl tokio::io::AsyncRead + Unpin),
    to: &mut (impl tokio::io::AsyncWrite + Unpin),
    bytes: usize,
) {
    let (mut left, mut buffer) = (bytes, [0; 4096]);
    while left > 0 {
        let room = left.min(buffer.len());
        let Ok(read @ 1..) = from.read(&mut buffer[..room]).await else { return };
        if to.write_all(&buffer[..read]).await.is_err() {
            return;
        }
        left -= read;
    }
}

/// How long a node needs until its messages arrive although its first connections meet this fate.
async fn time_of_a_stream(target: String, number: usize, fate: Fate, arrived: Arc<Mutex<BTreeSet<Bytes>>>) -> Duration {
    let begun = Instant::now();
    let listener = async || TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let (own, between) = (listener().await, listener().await);
    let members = [(NodeId(2), between.local_addr().expect("an address").to_string())];
    let relay = tokio::spawn(relay(between, target, fate));
    let mut node = Node::start(9, 1, own, &members).await;
    let message = Envelope { message: Bytes::from(number.to_string()), ..envelope("") };
    let mut linked = false;
    while !linked || !arrived.lock().contains(&message.message) {
        let missing = if linked { "raft messages" } else { "forwarded batches" };
        assert!(begun.elapsed() < STREAM_TIME_MAX, "no stream for {missing} after {:?}: {fate:?}", begun.elapsed());
        while let Some(seen) = node.try_next() {
            if let Seen::Link(_, up) = seen {
                linked = up;
            }
        }
        node.peers.send(vec![message.clone()]);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    relay.abort();
    begun.elapsed()
}

#[test]
fn a_stream_comes_to_be_whatever_becomes_of_the_connections_before_it() {
    block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let target = listener.local_addr().expect("an address").to_string();
        let nowhere = [(NodeId(1), "127.0.0.1:9".to_owned())];
        let mut server = Node::start(9, 2, listener, &nowhere).await;
        let arrived = Arc::new(Mutex::new(BTreeSet::new()));
        let seen = arrived.clone();
        tokio::spawn(async move {
            loop {
                if let Seen::Raft(envelopes) = server.next().await {
                    seen.lock().extend(envelopes.into_iter().map(|envelope| envelope.message));
                }
            }
        });
        let mut number = 0;
        for (forth, closed) in [(true, true), (true, false), (false, true), (false, false)] {
            // Preface, settings and the call's headers are less than this; the rest is the stream itself.
            let nodes = (0..480).step_by(7).map(|bytes| {
                number += 1;
                let fate = Fate { forth, bytes, closed };
                tokio::spawn(time_of_a_stream(target.clone(), number, fate, arrived.clone()))
            });
            let nodes: Vec<_> = nodes.collect();
            for node in nodes {
                node.await.expect("a stream");
            }
        }
    });
}
