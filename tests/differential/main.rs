//! The same random commands to a real redis-server and to Holdfast; every reply must be the same.
//!
//! The commands are drawn from `holdfast::sim::grammar`, which has a line for every command that works on keys;
//! a wrong reply is shrunk to the few commands that still cause it and printed as a dialogue. Unordered, random and
//! time-dependent replies are compared as such (`compare.rs`). Holdfast is asked in three ways: its evaluation
//! in this process, one node, and three nodes with every connection at another one; a node also gets the words of
//! sessions (`steps.rs`): MULTI, EXEC, DISCARD, WATCH and UNWATCH, whose blocks then interleave with what the other
//! connections do, HELLO, SELECT, CLIENT and so on. `steps.rs` also names what is not drawn, and why.
//!
//! - `HOLDFAST_DIFFERENTIAL_COMMANDS`: how many commands each test draws (default 20,000; 3,000 where nodes are asked).
//! - `HOLDFAST_DIFFERENTIAL_SEED`: another seed than that of the day; the seed of each run is printed.
//!
//! Without a `redis-server` binary the tests say loudly that they did not run.
//!
//! # What Redis 7.2 changed
//!
//! The redis-server at hand is mostly Debian's 7.0, and Holdfast answers as 7.2. Its release notes from 7.2 RC1 to
//! 7.2.4 name, for what Holdfast has:
//!
//! | change | why no random command meets it | where it is held |
//! |---|---|---|
//! | HINCRBYFLOAT of an invalid number creates no key (#11149) | 7.0.15 does the same | `tests/commands/hash.txt` |
//! | time stands still within a command and a block (#10300) | deadlines are far away here | `tests/commands/expiry.txt` |
//! | BITCOUNT and BITPOS refuse bad words also where there is no key (#11734) | excused in `compare.rs` | `tests/commands/bitmap.txt` |
//! | HELLO changes nothing unless it succeeds (#11659) | one with two mistakes may tell the other one | `tests/service/sessions.rs` |
//! | CLIENT SETINFO, NO-TOUCH, their marks in CLIENT LIST; RESET ends NO-EVICT (#11758, #11483) | not drawn | likewise |
//! | WAITAOF, CLUSTER MYSHARDID (#11713, #10536) | not drawn | likewise |
//! | new fields of INFO: denied logins, event loop, listeners (#11288, #11963, #9320) | texts of INFO are not compared | `tests/server/observe.rs` |
//! | QUIT is deprecated, argument names of COMMAND DOCS are unique (#11439, #11051) | names are not compared | `facts.rs` |
//! | ZRANK WITHSCORE (#11235) | not drawn | `tests/commands/zset.txt` |
//! | small sets of any words, small lists (#11290, #11303) | OBJECT ENCODING may say so | `tests/commands/set.txt`, `list.txt` |
//! | LPOS with the lowest RANK (#12167) | not drawn | `tests/commands/list.txt` |
//! | doubles have as few digits as tell them apart (#10587) | sums of scores are exact, and `compare.rs` knows those with an exponent | `tests/commands/zset.txt` |
//! | a consumer of a stream is there once it asked for something (#11099) | `compare.rs` makes it in the 7.0 | `stream.txt` |
//! | `inactive`, `active-time`, another `idle` (#11099) | left out, like all times | `src/command/stream/tests.rs` |
//! | XSETID not below what was deleted (#11444) | both sides go on without the stream | `stream.txt` |
//! | XREADGROUP and XREAD are named where ids are missing (#11799, #12238) | excused in `compare.rs` | `stream.txt` |
//! | words of scripts: as few digits as tell doubles apart (#10587) | no script here has such a word | `command/script/tests.rs` |
//! | ACL shows rules as they were given; its error lines name the user (#11224, #11160) | `acl.rs` compares what they mean | `src/command/acl`, `tests/service/acl.rs` |
//! | entries of ACL LOG have numbers and times (#11477) | ACL LOG is not drawn | `tests/service/acl.rs` |
//! | distances as scores have other digits (#10587) | they are compared as numbers | `tests/commands/geo.txt` |
//!
//! WATCH is told of every change here, also of those that Redis keeps from it: of groups of a stream, and of XSETID.
//! After one of these nobody watches anything any more (`compare.rs`).

mod acl;
mod compare;
mod encodings;
mod events;
mod facts;
#[path = "../support/nodes.rs"]
#[expect(dead_code, reason = "nothing is asked of these nodes but commands")]
mod nodes;
mod payloads;
#[path = "../support/ports.rs"]
mod ports;
mod server;
mod shrink;
mod steps;
#[path = "../support/mod.rs"]
mod support;

use compare::Difference;
use holdfast::base::Rng;
use holdfast::store::memory::MemoryEngine;
use nodes::Nodes;
use server::{RedisServer, THRESHOLDS};
use steps::{Generator, Step};
use support::client::Client;
use support::local::Local;
use support::{Target, words};

/// Commands between two comparisons of everything that is stored.
const AUDIT_INTERVAL: usize = 500;
/// Connections to a node or a cluster.
const CONNECTIONS: usize = 3;

fn number_from(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{variable} is not a number")))
}

#[test]
fn replies_are_those_of_redis() {
    compare_with_redis(20_000, (1, 1), || vec![Box::new(Local::over(MemoryEngine::new(), THRESHOLDS))]);
}

#[test]
fn a_node_replies_as_redis() {
    compare_with_nodes(1, 1);
}

#[test]
fn three_nodes_reply_as_one_redis() {
    compare_with_nodes(3, 1);
}

#[test]
fn nodes_with_several_partitions_reply_as_one_redis() {
    compare_with_nodes(1, 6);
    compare_with_nodes(3, 6);
}

/// Compares with a new cluster, every connection to another of its nodes.
fn compare_with_nodes(count: usize, partitions: usize) {
    let mut nodes = None;
    compare_with_redis(3_000, (count, partitions), || {
        let settings = [
            ("CLUSTER__PARTITIONS", partitions),
            ("HASH__MAX_LISTPACK_ENTRIES", THRESHOLDS.hash_entries_max),
            ("HASH__MAX_LISTPACK_VALUE_BYTES", THRESHOLDS.hash_value_bytes_max),
            ("SET__MAX_INTSET_ENTRIES", THRESHOLDS.set_integers_max),
            ("SET__MAX_LISTPACK_ENTRIES", THRESHOLDS.set_entries_max),
            ("SET__MAX_LISTPACK_VALUE_BYTES", THRESHOLDS.set_value_bytes_max),
            ("ZSET__MAX_LISTPACK_ENTRIES", THRESHOLDS.zset_entries_max),
            ("ZSET__MAX_LISTPACK_VALUE_BYTES", THRESHOLDS.zset_value_bytes_max),
        ]
        .map(|(name, number)| (name, number.to_string()));
        let addresses = nodes
            .insert(Nodes::start(count, &settings.each_ref().map(|(name, value)| (*name, value.as_str()))))
            .addresses();
        let connect = |n: usize| {
            let address = &addresses[n % count];
            let mut client = Client::connect(address).unwrap_or_else(|error| panic!("{address}: {error}"));
            // These have no settings of their own.
            for (parameter, value) in [
                ("stream-node-max-entries", THRESHOLDS.stream_node_entries_max),
                ("stream-node-max-bytes", THRESHOLDS.stream_node_bytes_max),
            ] {
                client.call(&words(&format!("CONFIG SET {parameter} {value}")));
            }
            Box::new(client) as Box<dyn Target>
        };
        (0..CONNECTIONS).map(connect).collect()
    });
    nodes.into_iter().for_each(Nodes::stop);
}

/// Sends a random stream to a new redis-server and to these connections of Holdfast, which has so many nodes and
/// partitions.
fn compare_with_redis(
    commands: usize,
    (servers, partitions): (usize, usize),
    connect: impl FnOnce() -> Vec<Box<dyn Target>>,
) {
    let commands = number_from("HOLDFAST_DIFFERENTIAL_COMMANDS").map_or(commands, |number| number as usize);
    let seed = number_from("HOLDFAST_DIFFERENTIAL_SEED").unwrap_or_else(today);
    let Some(server) = RedisServer::start() else {
        println!("NOT RUN: there is no redis-server on this machine; scripts/test installs it");
        return;
    };
    println!("{commands} commands, HOLDFAST_DIFFERENTIAL_SEED={seed}");

    let mut holdfast = connect();
    let mut redis: Vec<Client> = holdfast.iter().map(|_| server.connect()).collect();
    let mut generator = Generator::new(Rng::new(seed), holdfast.len(), servers);
    // A script that names no key runs in some partition, and keys of others are not there for it. And the partitions in which
    // EVAL did not run do not know its script.
    let fits = |step: &Step| partitions == 1 || !(step.is_script_without_keys() || step.asks_by_digest());
    let steps: Vec<Step> = std::iter::repeat_with(|| generator.step()).filter(fits).take(commands).collect();
    let Some((at, difference)) = run(&steps, &mut holdfast, &mut redis) else { return };
    println!("difference at command {at} of {commands}:\n{difference}\nlooking for the shortest way there ...");
    let short = shrink::shrink(&steps[..=at], |steps| run(steps, &mut holdfast, &mut redis));
    panic!("HOLDFAST_DIFFERENTIAL_SEED={seed}\n{short}");
}

/// Days since 1970: other streams every day, and the same for everybody who looks into a failure.
#[expect(clippy::disallowed_methods, reason = "a test may look at the calendar")]
fn today() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs() / 86_400)
}

/// Runs the steps from an empty keyspace; returns the first difference and where it was seen.
fn run(steps: &[Step], holdfast: &mut [Box<dyn Target>], redis: &mut [Client]) -> Option<(usize, Difference)> {
    let mut session = compare::Sessions::new(holdfast, redis);
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
