//! A load generator: clients that ask any RESP server the same kind of question over and over, and how long they waited.
//!
//! Invariant: what is measured is what a client would have seen. In a closed loop each client asks again when it was
//! answered; in an open loop ([`Options::rate`]) requests begin when the plan says, whatever happened to earlier
//! ones, and a request that had to wait for a free client waited (no coordinated omission). An answer that is an error
//! ends the run: figures of refusals are worth nothing.
//!
//! It stands outside: it shares nothing with the server but the vocabulary, and threads, sockets and clocks are its own.
//!
//! - [`command`]: what is asked; [`keys`]: of which keys.
//! - `client`: one connection; [`replies`]: where answers end; `drive`: the loop of one thread; `ticks`: its clock.
//! - [`histogram`], [`report`]: what came out.
//! - [`idle`]: connections that only exist; [`etcd`]: the same loop against etcd; [`plot`]: curves as pictures; [`bars`]: stacked
//!   bars; `svg`: what both are drawn with.

pub mod bars;
mod client;
pub mod command;
mod drive;
pub mod etcd;
pub mod histogram;
pub mod idle;
pub mod keys;
pub mod plot;
pub mod replies;
pub mod report;
mod svg;
#[cfg(test)]
mod tests;
mod ticks;

use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::thread;
use std::time::{Duration, Instant};

use client::Client;
use command::Mix;
use drive::Driver;
use keys::{Distribution, Keys};
use report::Report;

/// How long a connection may take to open, and a first reply to come.
const CONNECT_PATIENCE: Duration = Duration::from_secs(10);

/// How much is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Amount {
    /// So many requests.
    Requests(u64),
    /// For so long.
    Time(Duration),
}

/// What to run.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where servers listen; clients take them in turn.
    pub addresses: Vec<String>,
    /// Password of the user `default`, if it has one.
    pub password: Option<String>,
    /// What is asked.
    pub mix: Mix,
    /// Keys are numbered from 0 to this, exclusively; at least 1.
    pub keys: u64,
    /// How keys are chosen.
    pub distribution: Distribution,
    /// Connections, at least one per thread.
    pub clients: usize,
    /// Threads that drive them.
    pub threads: usize,
    /// Requests that a client sends at once.
    pub pipeline: usize,
    /// How much is measured.
    pub amount: Amount,
    /// Before that, what is asked for so long does not count.
    pub warm_up: Duration,
    /// Requests per second of an open loop. `None`: a closed loop.
    pub rate: Option<f64>,
    /// Equal seeds ask for the same keys in the same order, per thread.
    pub seed: u64,
}

impl Options {
    /// Says what makes no sense.
    fn check(&self) -> Result<(), String> {
        let (threads, clients) = (self.threads, self.clients);
        if self.addresses.is_empty() || self.keys == 0 || self.pipeline == 0 || threads == 0 {
            return Err("addresses, keys, pipeline and threads must be at least 1".into());
        }
        if self.keys > command::KEYS_MAX {
            return Err(format!("{} keys are more than the {} that names have room for", self.keys, command::KEYS_MAX));
        }
        if clients < threads {
            return Err(format!("{clients} clients cannot keep {threads} threads busy: take fewer threads"));
        }
        if self.rate.is_some_and(|rate| !rate.is_finite() || rate <= 0.0) {
            return Err("a rate is a number of requests per second above 0".into());
        }
        Ok(())
    }
}

/// Runs the load to its end. The error is a sentence: no connection, an answer that is an error, no answer at all.
pub fn run(options: &Options) -> Result<Report, String> {
    options.check()?;
    for address in &options.addresses {
        try_out(address, options)?;
    }
    let keys = Keys::new(options.distribution, options.keys);
    let results: Vec<_> = thread::scope(|scope| {
        let threads: Vec<_> = (0..options.threads)
            .map(|thread| {
                let keys = keys.clone();
                scope.spawn(move || drive(options, thread, keys))
            })
            .collect();
        let gone = |_| Err("a thread of the load generator ended early".to_owned());
        threads.into_iter().map(|thread| thread.join().unwrap_or_else(gone)).collect()
    });
    let mut report = Report::default();
    for result in results {
        report.add(&result?);
    }
    Ok(report)
}

/// One thread: its share of the clients, of the requests and of the rate.
fn drive(options: &Options, thread: usize, keys: Keys) -> Result<report::Part, String> {
    let share = |all: u64| all / options.threads as u64 + u64::from((thread as u64) < all % options.threads as u64);
    let clients = (0..options.clients).skip(thread).step_by(options.threads);
    let clients: Result<Vec<_>, String> =
        clients.map(|n| Client::open(&options.addresses[n % options.addresses.len()], options)).collect();
    let amount = match options.amount {
        Amount::Requests(requests) => Amount::Requests(share(requests)),
        time @ Amount::Time(_) => time,
    };
    let rate = options.rate.map(|rate| rate / options.threads as f64);
    let generator = crate::base::Rng::new(options.seed.wrapping_add(thread as u64));
    Driver::new(clients?, options.mix.clone(), keys, generator, options.pipeline)?.run(amount, rate, options.warm_up)
}

/// Asks for everything once, so that a server that refuses is found before anything is measured.
fn try_out(address: &str, options: &Options) -> Result<(), String> {
    let mut stream = connect(address)?;
    let words: Vec<_> = options.mix.templates().map(|template| (template.name(), template.filled(0))).collect();
    let auth = options.password.as_deref().map(|password| ("AUTH", command::encode(&[b"AUTH", password.as_bytes()])));
    for (name, request) in auth.into_iter().chain(words) {
        replies::ask(&mut stream, &request, 1).map_err(|why| format!("{address} cannot be measured: {name}: {why}"))?;
    }
    Ok(())
}

/// A connection that does not wait to fill packets, and does not wait for ever.
fn connect(address: &str) -> Result<TcpStream, String> {
    let failed = |why: std::io::Error| format!("no connection to {address}: {why}");
    let resolved: Vec<SocketAddr> = address.to_socket_addrs().map_err(failed)?.collect();
    let first = resolved.first().ok_or_else(|| format!("{address} is the address of nothing"))?;
    let stream = TcpStream::connect_timeout(first, CONNECT_PATIENCE).map_err(failed)?;
    stream.set_nodelay(true).map_err(failed)?;
    stream.set_read_timeout(Some(CONNECT_PATIENCE)).map_err(failed)?;
    Ok(stream)
}

#[expect(clippy::disallowed_methods, reason = "what clients of real servers wait for is real time")]
fn now() -> Instant {
    Instant::now()
}
