//! Very many clients that are not malicious in any single byte: thousands idle, a hundred that never read what they asked
//! for, some that send thousands of commands without waiting. Expected: who behaves waits at most three times as long.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::witness::Latency;
use super::{Findings, Site};
use crate::connection::{Connection, Failure, Protocol};
use crate::resp::{self, command};

/// Who comes.
#[derive(Clone, Debug, clap::Args)]
pub struct Crowd {
    /// Connections that say nothing
    #[arg(long, default_value_t = 10_000)]
    idle: usize,
    /// Clients that ask and never read
    #[arg(long, default_value_t = 100)]
    deaf: usize,
    /// Clients that pipeline
    #[arg(long, default_value_t = 10)]
    deep: usize,
    /// Commands that each of them sends before it reads the replies
    #[arg(long, default_value_t = 5000)]
    depth: usize,
    /// How often latency is measured before, and again with each part of the crowd; the median counts
    #[arg(long, default_value_t = 5)]
    windows: usize,
    /// Seconds of one such measurement
    #[arg(long, default_value_t = 2)]
    window_seconds: u64,
    /// All come at the same moment, instead of one kind after the other
    #[arg(long)]
    together: bool,
    /// The p99 of the others may become so many times what it was
    #[arg(long, default_value_t = 3.0)]
    factor: f64,
}

/// What deaf clients ask for: many times more than the kernel's buffers hold.
const VALUE_BYTES: usize = 64 << 10;
const DEAF_COMMANDS: usize = 2000;
/// As little as the kernel gives.
const DEAF_BUFFER_BYTES: u32 = 4 << 10;
/// Bytes of a value that deep clients write.
const DEEP_VALUE_BYTES: usize = 100;
/// Connections that are opened at a time.
const OPENING: usize = 100;
/// How long anything may take here.
const PATIENCE: Duration = Duration::from_secs(30);
/// Between the arrival of some and the first measurement with them.
const SETTLE: Duration = Duration::from_secs(1);

/// What the crowd did meanwhile.
#[derive(Default)]
struct Tally {
    deep_replies: AtomicU64,
    /// Deaf clients whose connection the server ended.
    cut: AtomicU64,
}

/// Latency of others while so many were there.
struct Phase {
    name: String,
    windows: Vec<Latency>,
    /// Commands of clients that pipeline.
    deep_per_second: f64,
}

impl Phase {
    fn told(&self) -> String {
        let p99: Vec<String> = self.windows.iter().map(|window| format!("{:.1}", ms(window.p99))).collect();
        let deep = if self.deep_per_second > 0.0 {
            format!("; {:.0} pipelined commands/s", self.deep_per_second)
        } else {
            String::new()
        };
        format!("{}: p99 by window {} ms{deep}", self.name, p99.join(", "))
    }

    fn json(&self) -> Value {
        let windows = self.windows.iter().map(|window| {
            let Latency { commands, p50, p99, max } = window;
            json!({"commands": commands, "p50_ms": ms(*p50), "p99_ms": ms(*p99), "max_ms": ms(*max)})
        });
        json!({"name": self.name, "windows": windows.collect::<Vec<_>>(), "pipelined_per_s": self.deep_per_second})
    }
}

impl Crowd {
    pub(super) async fn play(&self, site: &Site<'_>) -> Result<Findings, String> {
        let addresses: Vec<SocketAddr> = site.stage.cluster.nodes.iter().map(|node| node.resp).collect();
        let at = |number: usize| addresses[number % addresses.len()];
        let key = "~crowd:large";
        ask(at(0), command(["SET", key, &"x".repeat(VALUE_BYTES)])).await?;
        let tally = Arc::<Tally>::default();
        let mut phases = vec![self.measure(site, &tally, "alone".into()).await];
        let mut idle = self.open_idle(&addresses).await?;
        if !self.together {
            phases.push(self.measure(site, &tally, format!("with {} idle", self.idle)).await);
        }
        let mut others = JoinSet::new();
        for number in 0..self.deaf {
            others.spawn(deaf(at(number), key, tally.clone()));
        }
        if !self.together {
            phases.push(self.measure(site, &tally, format!("and {} that never read", self.deaf)).await);
        }
        for number in 0..self.deep {
            others.spawn(deep(at(number), number, self.depth, tally.clone()));
        }
        let (and, depth) = (if self.together { "all at once, with" } else { "and" }, self.depth);
        phases.push(self.measure(site, &tally, format!("{and} {} pipelining {depth} deep", self.deep)).await);
        let mut findings = Findings::default();
        while let Some(ended) = others.try_join_next() {
            // Only what went wrong ends one of them.
            findings.failures.extend(ended.map_err(|why| why.to_string())?.err());
        }
        others.shutdown().await;
        let lost = ping_all(&mut idle).await;
        if lost > 0 {
            findings.failures.push(format!("{lost} of {} idle connections were not answered afterwards", idle.len()));
        }
        self.judge(&phases, &mut findings);
        let cut = tally.cut.load(Ordering::Relaxed);
        // Writing to a string cannot fail.
        let _ = writeln!(findings.text, "  {cut} connections of clients that never read were cut");
        findings.json = json!({"windows_of_s": self.window_seconds, "deaf_cut": cut, "phases": phases.iter().map(Phase::json).collect::<Vec<_>>()});
        Ok(findings)
    }

    /// Tells how each phase was and what of it is too slow.
    fn judge(&self, phases: &[Phase], findings: &mut Findings) {
        let alone = phases.first().map(|phase| median(&phase.windows)).unwrap_or_default();
        let _ = writeln!(findings.text, "others, medians of {} windows of {} s:", self.windows, self.window_seconds);
        for phase in phases {
            let found = median(&phase.windows);
            let factor = ms(found.p99) / ms(alone.p99).max(0.001);
            let _ = writeln!(findings.text, "  {:<36} {}, p99 x {factor:.1}", phase.name, line(&found));
            if phase.windows.iter().any(|window| window.commands == 0) {
                findings.failures.push(format!("{}: no command of others was answered for a whole window", phase.name));
            } else if factor > self.factor {
                findings.failures.push(format!(
                    "{}: the p99 of others became {factor:.1} times what it was, {:.1} ms instead of {:.1} ms; {} times are allowed",
                    phase.name,
                    ms(found.p99),
                    ms(alone.p99),
                    self.factor
                ));
            }
        }
    }

    /// Lets those who came settle, then measures.
    async fn measure(&self, site: &Site<'_>, tally: &Tally, name: String) -> Phase {
        tokio::time::sleep(SETTLE).await;
        let (begun, replied) = (Instant::now(), tally.deep_replies.load(Ordering::Relaxed));
        let mut windows = Vec::new();
        for _ in 0..self.windows.max(1) {
            let from = Instant::now();
            tokio::time::sleep(Duration::from_secs(self.window_seconds.max(1))).await;
            windows.push(site.witnesses.latency(from, Instant::now()));
        }
        let replied = tally.deep_replies.load(Ordering::Relaxed) - replied;
        let phase = Phase { name, windows, deep_per_second: replied as f64 / begun.elapsed().as_secs_f64() };
        println!("{}", phase.told());
        phase
    }

    async fn open_idle(&self, addresses: &[SocketAddr]) -> Result<Vec<TcpStream>, String> {
        let mut idle = Vec::with_capacity(self.idle);
        while idle.len() < self.idle {
            let count = OPENING.min(self.idle - idle.len());
            let opening = (0..count).map(|n| tokio::spawn(open(addresses[(idle.len() + n) % addresses.len()], None)));
            for opened in opening.collect::<Vec<_>>() {
                let opened = opened.await.map_err(|why| why.to_string())?;
                idle.push(opened.map_err(|why| format!("connection {} of the crowd: {why}", idle.len()))?);
            }
        }
        Ok(idle)
    }
}

async fn open(address: SocketAddr, receive_bytes: Option<u32>) -> Result<TcpStream, String> {
    let opened = async {
        let socket = TcpSocket::new_v4()?;
        if let Some(bytes) = receive_bytes {
            socket.set_recv_buffer_size(bytes)?;
        }
        let stream = socket.connect(address).await?;
        stream.set_nodelay(true)?;
        Ok::<_, std::io::Error>(stream)
    };
    timeout(PATIENCE, opened).await.map_err(|_| format!("{address} does not accept"))?.map_err(|why| why.to_string())
}

async fn ask(address: SocketAddr, asked: resp::Command) -> Result<(), String> {
    let answered = async {
        let mut connection = Connection::open(address, Protocol::Resp2).await?;
        connection.send(&[asked]).await?;
        connection.reply(tokio::time::Instant::now() + PATIENCE).await
    };
    match answered.await.map_err(|why: Failure| why.to_string())? {
        resp::Reply::Error(why) => Err(why),
        _ => Ok(()),
    }
}

/// Asks for much and never reads. It comes again when it was cut.
async fn deaf(address: SocketAddr, key: &str, tally: Arc<Tally>) -> Result<(), String> {
    let mut bytes = Vec::new();
    for _ in 0..DEAF_COMMANDS {
        resp::encode(&command(["GET", key]), &mut bytes);
    }
    loop {
        let mut stream = open(address, Some(DEAF_BUFFER_BYTES)).await?;
        // The server stops reading at some time; then this waits until it is cut.
        while stream.write_all(&bytes).await.is_ok() {}
        tally.cut.fetch_add(1, Ordering::Relaxed);
    }
}

/// Sends very many commands, reads all replies, and again.
async fn deep(address: SocketAddr, number: usize, depth: usize, tally: Arc<Tally>) -> Result<(), String> {
    let failed = |why: &dyn std::fmt::Display| format!("a client that pipelines {depth} deep: {why}");
    let mut stream = open(address, None).await.map_err(|why| failed(&why))?;
    let value = "v".repeat(DEEP_VALUE_BYTES);
    let (mut bytes, mut due) = (Vec::new(), Vec::new());
    for n in 0..depth {
        let key = format!("~crowd:{number}:{}", n % 100);
        // Every pair of keys is written before it is read, in this very pipeline.
        if n % 200 < 100 {
            resp::encode(&command(["SET", &key, &value]), &mut bytes);
            due.extend_from_slice(b"+OK\r\n");
        } else {
            resp::encode(&command(["GET", &key]), &mut bytes);
            due.extend_from_slice(format!("${DEEP_VALUE_BYTES}\r\n{value}\r\n").as_bytes());
        }
    }
    let mut replies = vec![0; due.len()];
    loop {
        let (mut read, mut write) = stream.split();
        let both = async { tokio::try_join!(write.write_all(&bytes), read.read_exact(&mut replies)) };
        timeout(PATIENCE, both).await.map_err(|_| failed(&"no replies in time"))?.map_err(|why| failed(&why))?;
        if replies != due {
            return Err(failed(&"other replies than were due"));
        }
        tally.deep_replies.fetch_add(depth as u64, Ordering::Relaxed);
    }
}

/// How many do not answer.
async fn ping_all(idle: &mut [TcpStream]) -> usize {
    let mut lost = 0;
    for stream in idle {
        let mut pong = [0; 7];
        let asked = async {
            stream.write_all(b"PING\r\n").await?;
            stream.read_exact(&mut pong).await
        };
        let answered = matches!(timeout(PATIENCE, asked).await, Ok(Ok(_))) && &pong == b"+PONG\r\n";
        lost += usize::from(!answered);
    }
    lost
}

/// Of each column by itself.
fn median(windows: &[Latency]) -> Latency {
    let middle = |of: fn(&Latency) -> Duration| {
        let mut all: Vec<Duration> = windows.iter().map(of).collect();
        all.sort_unstable();
        all.get(all.len().saturating_sub(1) / 2).copied().unwrap_or_default()
    };
    Latency {
        commands: windows.iter().map(|window| window.commands).sum(),
        p50: middle(|window| window.p50),
        p99: middle(|window| window.p99),
        max: middle(|window| window.max),
    }
}

fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

fn line(latency: &Latency) -> String {
    let Latency { commands, p50, p99, max } = latency;
    format!("p50 {:.1} ms, p99 {:.1} ms, max {:.0} ms, {commands} commands", ms(*p50), ms(*p99), ms(*max))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_of_each_column() {
        let window = |p50, p99| Latency {
            commands: 10,
            p50: Duration::from_millis(p50),
            p99: Duration::from_millis(p99),
            max: Duration::from_millis(99),
        };
        let found = median(&[window(1, 30), window(5, 10), window(3, 20)]);
        assert_eq!(found, Latency { commands: 30, ..window(3, 20) });
        assert_eq!(median(&[]), Latency::default());
    }
}
