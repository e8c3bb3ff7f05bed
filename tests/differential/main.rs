//! The same random commands to a real redis-server and to Holdfast; every reply must be the same.
//!
//! The commands are drawn from the grammar in `grammar.rs`, which has a line for every command that works on keys;
//! a wrong reply is shrunk to the few commands that still cause it and printed as a dialogue. Unordered, random and
//! time-dependent replies are compared as such (`compare.rs`).
//!
//! - `HOLDFAST_DIFFERENTIAL_COMMANDS`: how many commands (default 20,000).
//! - `HOLDFAST_DIFFERENTIAL_SEED`: repeats a run; the seed of each run is printed.
//! - `HOLDFAST_ADDRESS`: `host:port` of a running Holdfast; without it the evaluation in this process is asked.
//!   A live server also gets MULTI, EXEC, DISCARD, WATCH and UNWATCH.
//!
//! Without a `redis-server` binary the test says loudly that it did not run. It was made against Redis 7.0 and 7.2;
//! where they differ from each other or from us on purpose, `compare.rs` gives the reason.

mod compare;
mod grammar;
mod server;
mod shrink;
#[path = "../support/mod.rs"]
mod support;

use compare::Difference;
use grammar::{Generator, Step};
use holdfast::base::Rng;
use holdfast::command::{Handler, table};
use holdfast::store::memory::MemoryEngine;
use server::RedisServer;
use support::Target;
use support::client::Client;
use support::local::Local;

/// Commands between two comparisons of everything that is stored.
const AUDIT_INTERVAL: usize = 500;

fn number_from(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{variable} is not a number")))
}

#[test]
fn replies_are_those_of_redis() {
    let commands = number_from("HOLDFAST_DIFFERENTIAL_COMMANDS").unwrap_or(20_000) as usize;
    let seed = number_from("HOLDFAST_DIFFERENTIAL_SEED").unwrap_or_else(|| u64::from(std::process::id()));
    let address = std::env::var("HOLDFAST_ADDRESS").ok();
    let thresholds = if address.is_some() { server::THRESHOLDS_LIVE } else { server::THRESHOLDS };
    let Some(server) = RedisServer::start(thresholds) else {
        println!("NOT RUN: there is no redis-server on this machine; scripts/test installs it");
        return;
    };
    println!("{commands} commands, HOLDFAST_DIFFERENTIAL_SEED={seed}");

    let mut redis = server.connect();
    let mut holdfast: Box<dyn Target> = match &address {
        Some(address) => Box::new(Client::connect(address).unwrap_or_else(|error| panic!("{address}: {error}"))),
        None => Box::new(Local::over(MemoryEngine::new(), thresholds)),
    };
    let mut generator = Generator::new(Rng::new(seed), address.is_some());
    let steps: Vec<Step> = (0..commands).map(|_| generator.step()).collect();
    let Some((at, difference)) = run(&steps, holdfast.as_mut(), &mut redis) else { return };
    println!("difference at command {at} of {commands}:\n{difference}\nlooking for the shortest way there ...");
    let short = shrink::shrink(&steps[..=at], |steps| run(steps, holdfast.as_mut(), &mut redis));
    panic!("HOLDFAST_DIFFERENTIAL_SEED={seed}\n{short}");
}

#[test]
fn every_command_on_keys_is_drawn() {
    for spec in table::all().filter(|spec| !matches!(spec.handler, Handler::Session)) {
        let name = spec.name.to_uppercase();
        let known = grammar::SYNTAX.iter().any(|line| line.split(' ').next() == Some(&name));
        assert!(known, "the grammar has no line for {name}");
    }
}

/// Runs the steps from an empty keyspace; returns the first difference and where it was seen.
fn run(steps: &[Step], holdfast: &mut dyn Target, redis: &mut Client) -> Option<(usize, Difference)> {
    let mut session = compare::Session::new(holdfast, redis);
    for (at, step) in steps.iter().enumerate() {
        if let Some(difference) = session.step(step) {
            return Some((at, difference));
        }
        if (at + 1) % AUDIT_INTERVAL == 0
            && let Some(difference) = session.audit()
        {
            return Some((at, difference));
        }
    }
    session.audit().map(|difference| (steps.len().saturating_sub(1), difference))
}
