//! Well-behaved clients: a few at every node, one command at a time at a modest rate, who check every reply and measure
//! how long it took. A server under attack may refuse a command or be in doubt about it, and must say so; what it
//! acknowledged must be there.
//!
//! Each has a thread and a socket of its own, so that what is measured is the server, not the runner's queues.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::availability::percentile;
use crate::cluster::Cluster;
use crate::history::lock;
use crate::resp::{self, Command, Reply, command};

/// Clients at each node.
const PER_NODE: usize = 2;
/// Between a reply and the next command: about 150 commands a second and client.
const PAUSE: Duration = Duration::from_millis(5);
/// A reply that takes longer is none: the server promises one within 2.5 s.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long it may take afterwards until every node answers.
const RECOVERY_TIMEOUT: Duration = Duration::from_secs(30);
/// Errors that are allowed: the command did not run, or it is not known.
const HONEST: [&str; 3] = ["CLUSTERDOWN", "TRYAGAIN", DOUBT];
const DOUBT: &str = "UNKNOWNOUTCOME";
/// Bytes of a value.
const VALUE_BYTES: usize = 100;

/// How long commands took within some time.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Latency {
    pub commands: usize,
    pub p50: Duration,
    pub p99: Duration,
    pub max: Duration,
}

/// All of them at work.
pub struct Witnesses {
    stop: Arc<AtomicBool>,
    /// End and length of every command.
    commands: Arc<Mutex<Vec<(Instant, Duration)>>>,
    threads: Vec<JoinHandle<Told>>,
}

/// What a witness says in the end.
struct Told {
    counter: String,
    /// Increments that were acknowledged, and how many more may have happened.
    count: i64,
    doubts: i64,
    replies: u64,
    /// Error replies, by their text.
    errors: BTreeMap<String, u64>,
    wrong: Option<String>,
}

/// What all of them say.
#[derive(Default)]
pub struct Testimony {
    pub replies: u64,
    pub errors: BTreeMap<String, u64>,
    /// What must not be.
    pub wrong: Vec<String>,
}

impl Witnesses {
    pub fn start(cluster: &Cluster) -> Result<Witnesses, String> {
        let (stop, commands) = (Arc::<AtomicBool>::default(), Arc::<Mutex<Vec<_>>>::default());
        let mut threads = Vec::new();
        for node in &cluster.nodes {
            for number in 0..PER_NODE {
                let name = format!("witness:{}:{number}", node.id);
                let (stop, commands, address) = (stop.clone(), commands.clone(), node.resp);
                let thread = std::thread::Builder::new().name(name.clone());
                let live = move || live(name, address, &stop, &commands);
                threads.push(thread.spawn(live).map_err(|why| format!("a thread: {why}"))?);
            }
        }
        Ok(Witnesses { stop, commands, threads })
    }

    /// Over the commands that ended between two moments, whatever they were answered.
    pub fn latency(&self, from: Instant, to: Instant) -> Latency {
        let commands = lock(&self.commands);
        let within = commands.iter().filter(|(end, _)| (from..to).contains(end));
        let lengths: Vec<Duration> = within.map(|(_, length)| *length).collect();
        let at = |percent| percentile(&lengths, percent).unwrap_or_default();
        Latency { commands: lengths.len(), p50: at(50.0), p99: at(99.0), max: at(100.0) }
    }

    /// Ends them and reads every counter once more through every node.
    pub async fn end(self, cluster: &Cluster) -> Result<Testimony, String> {
        self.stop.store(true, Ordering::Relaxed);
        let addresses: Vec<(usize, SocketAddr)> = cluster.nodes.iter().map(|node| (node.id, node.resp)).collect();
        let read = move || {
            let (mut all, mut counters) = (Testimony::default(), Vec::new());
            for thread in self.threads {
                let Ok(told) = thread.join() else {
                    all.wrong.push("a witness panicked".into());
                    continue;
                };
                all.replies += told.replies;
                all.wrong.extend(told.wrong);
                told.errors.into_iter().for_each(|(text, count)| *all.errors.entry(text).or_insert(0) += count);
                counters.push((told.counter, told.count, told.count + told.doubts));
            }
            for (node, address) in addresses {
                if let Err(why) = read_back(address, &counters) {
                    all.wrong.push(format!("node {node}, after everything: {why}"));
                }
            }
            all
        };
        tokio::task::spawn_blocking(read).await.map_err(|why| why.to_string())
    }
}

/// Every counter must be what was acknowledged, or that and what was in doubt.
fn read_back(address: SocketAddr, counters: &[(String, i64, i64)]) -> Result<(), String> {
    let mut client = Client::connect(address)?;
    for (counter, least, most) in counters {
        let begun = Instant::now();
        let reply = loop {
            match client.ask(&command(["GET", counter]))? {
                // What was left waiting may still be in the way.
                Reply::Error(_) if begun.elapsed() < RECOVERY_TIMEOUT => std::thread::sleep(PAUSE),
                reply => break reply,
            }
        };
        let number =
            reply.text().map_or(Some(0), |text| text.parse().ok()).filter(|_| !matches!(reply, Reply::Error(_)));
        if !number.is_some_and(|number: i64| (*least..=*most).contains(&number)) {
            return Err(format!("{counter} is {reply}, {least} were acknowledged and {} in doubt", most - least));
        }
    }
    Ok(())
}

fn live(counter: String, address: SocketAddr, stop: &AtomicBool, commands: &Mutex<Vec<(Instant, Duration)>>) -> Told {
    let mut told = Told { counter, count: 0, doubts: 0, replies: 0, errors: BTreeMap::new(), wrong: None };
    if let Err(why) = work(&mut told, address, stop, commands) {
        told.wrong = Some(format!("the client {}: {why}", told.counter));
    }
    told
}

fn work(
    told: &mut Told,
    address: SocketAddr,
    stop: &AtomicBool,
    commands: &Mutex<Vec<(Instant, Duration)>>,
) -> Result<(), String> {
    let mut client = Client::connect(address)?;
    let value = "v".repeat(VALUE_BYTES);
    let key = format!("{}:value", told.counter);
    let steps = [command(["INCR", &told.counter]), command(["SET", &key, &value]), command(["GET", &key])];
    let mut is_set = false;
    while !stop.load(Ordering::Relaxed) {
        for (number, asked) in steps.iter().enumerate() {
            let begun = Instant::now();
            let reply = client.ask(asked)?;
            lock(commands).push((Instant::now(), begun.elapsed()));
            told.replies += 1;
            match (number, &reply) {
                (_, Reply::Error(text)) if HONEST.iter().any(|prefix| text.starts_with(prefix)) => {
                    told.doubts += i64::from(number == 0 && text.starts_with(DOUBT));
                    *told.errors.entry(text.clone()).or_insert(0) += 1;
                }
                (0, Reply::Integer(now)) if (told.count + 1..=told.count + 1 + told.doubts).contains(now) => {
                    told.doubts -= now - told.count - 1;
                    told.count = *now;
                }
                (1, reply) if reply.is_ok() => is_set = true,
                (2, Reply::Nil) if !is_set => {}
                (2, Reply::Bulk(bytes)) if *bytes == value.as_bytes() => {}
                _ => {
                    let (count, doubts) = (told.count, told.doubts);
                    return Err(format!("{} was answered {reply} after {count}, with {doubts} in doubt", name(asked)));
                }
            }
            std::thread::sleep(PAUSE);
        }
    }
    Ok(())
}

struct Client {
    stream: TcpStream,
    received: Vec<u8>,
}

impl Client {
    fn connect(address: SocketAddr) -> Result<Client, String> {
        let stream = TcpStream::connect_timeout(&address, PATIENCE).map_err(|why| format!("no connection: {why}"))?;
        let set = stream.set_nodelay(true).and_then(|()| stream.set_read_timeout(Some(PATIENCE)));
        set.map_err(|why| why.to_string())?;
        Ok(Client { stream, received: Vec::new() })
    }

    /// Sends a command and reads its reply.
    fn ask(&mut self, asked: &Command) -> Result<Reply, String> {
        let mut bytes = Vec::new();
        resp::encode(asked, &mut bytes);
        self.stream.write_all(&bytes).map_err(|why| format!("connection lost: {why}"))?;
        self.reply().map_err(|why| format!("no reply to {}: {why}", name(asked)))
    }

    fn reply(&mut self) -> Result<Reply, String> {
        let mut bytes = [0; 4096];
        loop {
            if let Some((reply, length)) = resp::parse(&self.received)? {
                self.received.drain(..length);
                return Ok(reply);
            }
            match self.stream.read(&mut bytes).map_err(|why| why.to_string())? {
                0 => return Err("the server closed the connection".into()),
                read => self.received.extend_from_slice(&bytes[..read]),
            }
        }
    }
}

/// The first words of a command.
fn name(command: &Command) -> String {
    command.iter().take(2).map(|word| String::from_utf8_lossy(word).into_owned()).collect::<Vec<_>>().join(" ")
}
