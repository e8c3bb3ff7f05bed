//! The TCP proxy on every link: it can delay, stall, reset, and cut after some number of bytes.
//!
//! Invariant: without bad weather bytes pass unchanged and in order, a closed half stays a closed half, and a reset on one
//! side is a reset on the other.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::dice::Dice;
use crate::history::lock;

/// Bytes of one read, and how many of them may wait in a direction.
const CHUNK: usize = 16 << 10;
const CHUNKS_MAX: usize = 64;
/// How long the far side may take to accept.
const DIAL_TIMEOUT: Duration = Duration::from_secs(3);
/// A dial without an answer is begun anew after this long: the system would repeat its first packet after a second
/// only, and whoever dials through the proxy could do nothing about that.
const DIAL_PATIENCE: Duration = Duration::from_millis(100);

/// What happens to bytes of one direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Passage {
    pub delay: Duration,
    /// Up to this much on top, by chance.
    pub jitter: Duration,
    /// Nothing passes, for a fault of the link.
    pub stalled: bool,
    /// Nothing passes, for a partition.
    pub blocked: bool,
}

impl Passage {
    fn open(&self) -> bool {
        !self.stalled && !self.blocked
    }
}

/// The state of a link. `forth` is from who dials to who listens.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Weather {
    pub forth: Passage,
    pub back: Passage,
    /// Raised by one to reset all connections.
    pub resets: u64,
}

/// All connections from one place to another.
pub struct Link {
    weather: watch::Sender<Weather>,
    /// Bytes that still pass, in either direction, before the connection that carries the next one breaks.
    cut_after: Mutex<Option<u64>>,
    pub counts: Counts,
}

/// What happened on a link so far.
#[derive(Debug, Default)]
pub struct Counts {
    pub connections: AtomicU64,
    pub bytes: AtomicU64,
    /// Chunks that were held back.
    pub delayed: AtomicU64,
    /// Chunks that met a stall.
    pub held: AtomicU64,
    /// Chunks, and connections on their way, that met a partition.
    pub blocked: AtomicU64,
    pub resets: AtomicU64,
    pub cuts: AtomicU64,
}

impl Counts {
    fn add(counter: &AtomicU64, n: u64) {
        counter.fetch_add(n, Ordering::Relaxed);
    }
}

impl Default for Link {
    fn default() -> Link {
        Link { weather: watch::channel(Weather::default()).0, cut_after: Mutex::default(), counts: Counts::default() }
    }
}

impl Link {
    /// Changes the weather.
    pub fn change(&self, change: impl FnOnce(&mut Weather)) {
        self.weather.send_modify(change);
    }

    /// The next connection that has carried `Some` number of bytes from now on breaks; `None` takes that back.
    pub fn cut_after(&self, bytes: Option<u64>) {
        *lock(&self.cut_after) = bytes;
    }

    /// How many of these bytes pass before the cut that is due; `None` if there is none in them.
    fn passes(&self, bytes: usize) -> Option<usize> {
        let mut cut_after = lock(&self.cut_after);
        let left = (*cut_after)?;
        if left >= bytes as u64 {
            *cut_after = Some(left - bytes as u64);
            return None;
        }
        *cut_after = None;
        Some(left as usize)
    }
}

/// How a connection ended.
#[derive(Debug, PartialEq, Eq)]
enum End {
    /// Both directions were closed.
    Closed,
    /// One side is gone, or is to be.
    Broken,
}

/// Accepts for ever. `identify` says on which link a connection that came from an address is; `dial` opens the far side.
pub async fn serve<I, F, D, G>(listener: TcpListener, identify: I, dial: D, mut dice: Dice)
where
    I: Fn(SocketAddr) -> F,
    F: Future<Output = Option<Arc<Link>>> + Send + 'static,
    D: Fn(SocketAddr) -> G + Clone + Send + 'static,
    G: Future<Output = io::Result<TcpStream>> + Send + 'static,
{
    loop {
        let Ok((near, from)) = listener.accept().await else {
            // Out of file descriptors: what ends next gives some back.
            sleep(Duration::from_millis(20)).await;
            continue;
        };
        let identified = identify(from);
        let far = dial.clone();
        let dice = dice.fork();
        tokio::spawn(async move {
            // Whoever cannot be told is not a node of ours, or ended meanwhile.
            if let Some(link) = identified.await {
                connection(near, move || far(from), &link, dice).await;
            }
        });
    }
}

/// Dials from a given address, or any.
pub async fn dial(to: SocketAddr, from: Option<SocketAddr>) -> io::Result<TcpStream> {
    let deadline = Instant::now() + DIAL_TIMEOUT;
    while Instant::now() < deadline {
        let socket = if to.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        if let Some(from) = from {
            socket.bind(from)?;
        }
        if let Ok(connected) = timeout(DIAL_PATIENCE, socket.connect(to)).await {
            let stream = connected?;
            stream.set_nodelay(true)?;
            return Ok(stream);
        }
    }
    Err(io::ErrorKind::TimedOut.into())
}

async fn connection<D, G>(mut near: TcpStream, dial: D, link: &Link, dice: Dice)
where
    D: FnOnce() -> G,
    G: Future<Output = io::Result<TcpStream>>,
{
    let mut weather = link.weather.subscribe();
    let resets = weather.borrow().resets;
    Counts::add(&link.counts.connections, 1);
    let is_free = |weather: &Weather| !weather.forth.blocked && !weather.back.blocked;
    Counts::add(&link.counts.blocked, u64::from(!is_free(&weather.borrow())));
    // A partition that the proxy makes: who dials hears nothing, neither yes nor no.
    let through = weather.wait_for(|weather| weather.resets != resets || is_free(weather));
    let through = through.await.is_ok_and(|weather| weather.resets == resets);
    let far = if through && near.set_nodelay(true).is_ok() { dial().await.ok() } else { None };
    let Some(mut far) = far else {
        // No more than a failed attempt to reset what is gone already.
        let _ = near.set_zero_linger();
        return;
    };
    let end = {
        let (near_read, near_write) = near.split();
        let (far_read, far_write) = far.split();
        let mut dice = dice;
        let forth = pump(near_read, far_write, link, |weather| weather.forth, dice.fork());
        let back = pump(far_read, near_write, link, |weather| weather.back, dice);
        tokio::select! {
            ended = async { tokio::try_join!(forth, back) } => match ended {
                Ok(_) => End::Closed,
                Err(_) => End::Broken,
            },
            changed = weather.wait_for(|weather| weather.resets != resets) => {
                if changed.is_ok() {
                    Counts::add(&link.counts.resets, 1);
                }
                End::Broken
            }
        }
    };
    if end == End::Broken {
        let _ = near.set_zero_linger();
        let _ = far.set_zero_linger();
    }
}

/// Moves the bytes of one direction until it is closed. An error breaks both directions.
async fn pump(
    from: ReadHalf<'_>,
    to: WriteHalf<'_>,
    link: &Link,
    passage: fn(&Weather) -> Passage,
    dice: Dice,
) -> io::Result<()> {
    let (queue, queued) = mpsc::channel(CHUNKS_MAX);
    let read = read(from, queue, link, passage, dice);
    let write = write(to, queued, link, passage);
    tokio::try_join!(read, write).map(|_| ())
}

async fn read(
    mut from: ReadHalf<'_>,
    queue: mpsc::Sender<(Instant, Vec<u8>)>,
    link: &Link,
    passage: fn(&Weather) -> Passage,
    mut dice: Dice,
) -> io::Result<()> {
    let mut last_due = Instant::now();
    loop {
        let mut bytes = Vec::with_capacity(CHUNK);
        if from.read_buf(&mut bytes).await? == 0 {
            return Ok(());
        }
        let now = passage(&link.weather.borrow());
        let late = now.delay + dice.duration(Duration::ZERO, now.jitter);
        if !late.is_zero() {
            Counts::add(&link.counts.delayed, 1);
        }
        last_due = last_due.max(Instant::now() + late);
        if queue.send((last_due, bytes)).await.is_err() {
            return Ok(());
        }
    }
}

async fn write(
    mut to: WriteHalf<'_>,
    mut queued: mpsc::Receiver<(Instant, Vec<u8>)>,
    link: &Link,
    passage: fn(&Weather) -> Passage,
) -> io::Result<()> {
    let mut weather = link.weather.subscribe();
    while let Some((due, bytes)) = queued.recv().await {
        if due > Instant::now() {
            sleep_until(due).await;
        }
        let now = passage(&weather.borrow_and_update());
        if !now.open() {
            Counts::add(&link.counts.held, u64::from(now.stalled));
            Counts::add(&link.counts.blocked, u64::from(now.blocked));
            weather.wait_for(|weather| passage(weather).open()).await.map_err(io::Error::other)?;
        }
        if let Some(passes) = link.passes(bytes.len()) {
            to.write_all(&bytes[..passes]).await?;
            Counts::add(&link.counts.cuts, 1);
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        to.write_all(&bytes).await?;
        Counts::add(&link.counts.bytes, bytes.len() as u64);
    }
    to.shutdown().await
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A client's end and a server's end with a link between.
    async fn linked() -> (Arc<Link>, TcpStream, TcpStream) {
        let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let target = server.local_addr().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let link = Arc::new(Link::default());
        let found = link.clone();
        let identify = move |_| {
            let found = found.clone();
            async move { Some(found) }
        };
        tokio::spawn(serve(listener, identify, move |_| dial(target, None), Dice::new(1)));
        let client = TcpStream::connect(address).await.unwrap();
        let (served, _) = server.accept().await.unwrap();
        (link, client, served)
    }

    async fn read_some(stream: &mut TcpStream, length: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; length];
        stream.read_exact(&mut bytes).await?;
        Ok(bytes)
    }

    #[tokio::test]
    async fn bytes_pass_in_order_and_halves_close_alone() {
        let (_link, mut client, mut served) = linked().await;
        let sent: Vec<u8> = (0..300_000u32).map(|n| (n % 251) as u8).collect();
        let copy = sent.clone();
        let writer = tokio::spawn(async move {
            client.write_all(&copy).await.unwrap();
            client.shutdown().await.unwrap();
            client
        });
        let mut received = Vec::new();
        served.read_to_end(&mut received).await.unwrap();
        assert!(received == sent);
        served.write_all(b"still open").await.unwrap();
        let mut client = writer.await.unwrap();
        assert_eq!(read_some(&mut client, 10).await.unwrap(), b"still open");
    }

    #[tokio::test]
    async fn a_stall_holds_bytes_and_lets_them_go_later() {
        let (link, mut client, mut served) = linked().await;
        link.change(|weather| weather.forth.stalled = true);
        client.write_all(b"abc").await.unwrap();
        assert!(timeout(Duration::from_millis(100), read_some(&mut served, 3)).await.is_err());
        served.write_all(b"the other way").await.unwrap();
        assert_eq!(read_some(&mut client, 13).await.unwrap(), b"the other way");
        link.change(|weather| weather.forth.stalled = false);
        assert_eq!(read_some(&mut served, 3).await.unwrap(), b"abc");
        assert_eq!(link.counts.held.load(Ordering::Relaxed), 1);
        assert_eq!(link.counts.blocked.load(Ordering::Relaxed), 0, "no partition held that");
    }

    #[tokio::test]
    async fn a_partition_holds_bytes_and_counts_for_itself() {
        let (link, mut client, mut served) = linked().await;
        link.change(|weather| weather.forth.blocked = true);
        client.write_all(b"abc").await.unwrap();
        assert!(timeout(Duration::from_millis(100), read_some(&mut served, 3)).await.is_err());
        link.change(|weather| weather.forth.blocked = false);
        assert_eq!(read_some(&mut served, 3).await.unwrap(), b"abc");
        let counts = [&link.counts.held, &link.counts.blocked].map(|count| count.load(Ordering::Relaxed));
        assert_eq!(counts, [0, 1]);
    }

    #[tokio::test]
    async fn a_delay_is_kept() {
        let (link, mut client, mut served) = linked().await;
        link.change(|weather| weather.forth.delay = Duration::from_millis(80));
        let begun = Instant::now();
        client.write_all(b"abc").await.unwrap();
        read_some(&mut served, 3).await.unwrap();
        assert!(begun.elapsed() >= Duration::from_millis(80), "{:?}", begun.elapsed());
    }

    #[tokio::test]
    async fn resets_and_cuts_break_both_sides() {
        let (link, mut client, mut served) = linked().await;
        client.write_all(b"x").await.unwrap();
        read_some(&mut served, 1).await.unwrap();
        link.change(|weather| weather.resets += 1);
        let error = read_some(&mut client, 1).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
        assert_eq!(read_some(&mut served, 1).await.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
        assert_eq!(link.counts.resets.load(Ordering::Relaxed), 1);

        let (link, mut client, mut served) = linked().await;
        link.cut_after(Some(5));
        client.write_all(b"abc").await.unwrap();
        assert_eq!(read_some(&mut served, 3).await.unwrap(), b"abc");
        client.write_all(b"defg").await.unwrap();
        let mut rest = Vec::new();
        // What came before the reset may be read or not; never more.
        let _ = served.read_to_end(&mut rest).await;
        assert!(b"de".starts_with(&rest[..]), "{rest:?}");
        assert_eq!(link.counts.cuts.load(Ordering::Relaxed), 1);
    }
}
