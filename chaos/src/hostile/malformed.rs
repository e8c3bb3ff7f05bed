//! Very many connections whose bytes are no requests. Expected: nobody falls over, nobody grows, and who behaves notices
//! nothing but that the machine is busy.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::junk::{Ending, Junk, Port, make};
use super::{Findings, Site};
use crate::cluster::Node;
use crate::history::lock;

/// How many, and how many at a time.
#[derive(Clone, Debug, clap::Args)]
pub struct Malformed {
    /// Malformed connections, spread over all nodes and their ports
    #[arg(long, default_value_t = 100_000)]
    connections: u64,
    /// Of which so many are open at a time
    #[arg(long, default_value_t = 64)]
    at_once: u64,
}

/// A connection may take so long to open: queues of the kernel are short.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// A server that takes no more bytes need not be waited for.
const WRITE_TIMEOUT: Duration = Duration::from_secs(1);
/// How long answers are read, or nothing is said.
const STAY: Duration = Duration::from_millis(100);
/// Replies begin with one of these, in either protocol.
const REPLY_TYPES: &[u8] = b"+-:$*_#,(!=%~>|";
/// Between two lines that tell how far it is.
const TELL: Duration = Duration::from_secs(5);

/// What came of one connection.
enum Came {
    /// An answer, by its first byte.
    Answer(u8),
    Nothing,
    /// The connection did not open.
    Refused(String),
}

/// Shared by all that send.
struct Work {
    seed: u64,
    connections: u64,
    next: AtomicU64,
    /// Node and its address, for each port.
    targets: BTreeMap<Port, Vec<(usize, SocketAddr)>>,
    sent: Mutex<BTreeMap<&'static str, (u64, u64)>>,
    refused: Mutex<BTreeMap<String, u64>>,
    wrong: Mutex<Vec<String>>,
}

impl Malformed {
    pub(super) async fn play(&self, site: &Site<'_>) -> Result<Findings, String> {
        let nodes = &site.stage.cluster.nodes;
        let address = |port| {
            let of = |node: &Node| match port {
                Port::Resp => Some((node.id, node.resp)),
                Port::Peer => Some((node.id, node.peer?)),
                Port::Http => Some((node.id, node.http)),
            };
            (port, nodes.iter().filter_map(of).collect())
        };
        let work = Arc::new(Work {
            seed: site.seed,
            connections: self.connections,
            next: AtomicU64::new(0),
            targets: [Port::Resp, Port::Peer, Port::Http].map(address).into(),
            sent: Mutex::default(),
            refused: Mutex::default(),
            wrong: Mutex::default(),
        });
        let begun = Instant::now();
        let mut senders = JoinSet::new();
        for _ in 0..self.at_once.max(1) {
            senders.spawn(send_on(work.clone()));
        }
        let mut told = begun;
        while !senders.is_empty() {
            // Broken off early where a node is gone already.
            if let Some(incident) = site.stage.incidents.all().first() {
                return Err(incident.clone());
            }
            if let Ok(Some(Err(why))) = timeout(Duration::from_millis(100), senders.join_next()).await {
                return Err(why.to_string());
            }
            if told.elapsed() >= TELL {
                told = Instant::now();
                let number = work.next.load(Ordering::Relaxed).min(self.connections);
                println!("{number} of {} connections", self.connections);
            }
        }
        let ended = Instant::now();
        site.stage.cluster.wait_all_ready().await?;
        let latency = site.witnesses.latency(begun, ended);
        let mut findings = Findings { failures: std::mem::take(&mut *lock(&work.wrong)), ..Findings::default() };
        let seconds = (ended - begun).as_secs_f64();
        let text = &mut findings.text;
        // Writing to a string cannot fail.
        let _ =
            writeln!(text, "{} malformed connections in {seconds:.0} s, {} at a time", self.connections, self.at_once);
        let sent = lock(&work.sent).clone();
        for (kind, (count, answered)) in &sent {
            let _ = writeln!(text, "{count:>8}  {kind}, {answered} were answered");
        }
        for (why, count) in lock(&work.refused).iter() {
            let _ = writeln!(text, "{count:>8}  were not opened: {why}");
            findings.failures.push(format!("{count} connections were not opened: {why}"));
        }
        let (p50, p99) = (latency.p50.as_secs_f64() * 1e3, latency.p99.as_secs_f64() * 1e3);
        let max = latency.max.as_secs_f64() * 1e3;
        let _ =
            writeln!(text, "meanwhile commands of others took p50 {p50:.1} ms, p99 {p99:.1} ms, at most {max:.0} ms");
        let kinds: BTreeMap<_, _> =
            sent.iter().map(|(kind, (count, answered))| (kind, json!({"sent": count, "answered": answered}))).collect();
        findings.json = json!({
            "connections": self.connections, "seconds": seconds, "kinds": kinds,
            "others_ms": {"p50": p50, "p99": p99, "max": max},
        });
        Ok(findings)
    }
}

async fn send_on(work: Arc<Work>) {
    loop {
        let number = work.next.fetch_add(1, Ordering::Relaxed);
        if number >= work.connections {
            return;
        }
        let junk = make(work.seed, number);
        let targets = &work.targets[&junk.port];
        let Some((node, address)) = targets.get((number % targets.len().max(1) as u64) as usize) else { continue };
        let came = send(*address, &junk).await;
        let mut sent = lock(&work.sent);
        let count = sent.entry(junk.kind).or_default();
        count.0 += 1;
        match came {
            Came::Nothing => {}
            Came::Answer(first) => {
                count.1 += 1;
                if junk.port == Port::Resp && !REPLY_TYPES.contains(&first) {
                    let first = first.escape_ascii();
                    let wrong =
                        format!("node {node} answered connection {number} with something that begins with {first}");
                    lock(&work.wrong).push(wrong);
                }
            }
            Came::Refused(why) => {
                *lock(&work.refused).entry(format!("node {node}, {:?}: {why}", junk.port)).or_insert(0) += 1
            }
        }
    }
}

/// Opens, writes, ends. After the connection was opened nothing that the server does is a failure.
async fn send(address: SocketAddr, junk: &Junk) -> Came {
    let mut stream = match timeout(CONNECT_TIMEOUT, TcpStream::connect(address)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(why)) => return Came::Refused(why.kind().to_string()),
        Err(_) => return Came::Refused(format!("not within {CONNECT_TIMEOUT:?}")),
    };
    let _ = stream.set_nodelay(true);
    for piece in &junk.pieces {
        if !matches!(timeout(WRITE_TIMEOUT, stream.write_all(piece)).await, Ok(Ok(()))) {
            break;
        }
    }
    let mut first = [0; 1];
    let mut came = Came::Nothing;
    match junk.ending {
        Ending::Close => return came,
        Ending::Reset => {}
        Ending::Silence => tokio::time::sleep(STAY).await,
        Ending::Half | Ending::Read => {
            if junk.ending == Ending::Half {
                let _ = stream.shutdown().await;
            }
            if let Ok(Ok(1)) = timeout(STAY, stream.read(&mut first)).await {
                came = Came::Answer(first[0]);
            }
        }
    }
    // A reset, where nothing was left to say: no port of the machine waits for a minute.
    let _ = stream.set_zero_linger();
    came
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn an_answer_is_told_from_silence_and_from_a_closed_door() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let junk = |ending| Junk { kind: "x", port: Port::Resp, pieces: vec![b"junk".to_vec()], ending };
        let server = tokio::spawn(async move {
            for answer in [&b"-ERR"[..], b""] {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut bytes = [0; 4];
                stream.read_exact(&mut bytes).await.unwrap();
                stream.write_all(answer).await.unwrap();
            }
        });
        assert!(matches!(send(address, &junk(Ending::Read)).await, Came::Answer(b'-')));
        assert!(matches!(send(address, &junk(Ending::Half)).await, Came::Nothing));
        server.await.unwrap();
        assert!(matches!(send(address, &junk(Ending::Reset)).await, Came::Refused(_)));
    }
}
