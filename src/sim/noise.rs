//! Noise: every command on keys, drawn from the [`grammar`](super::grammar), in blocks whose order is known.
//!
//! A block is a transaction. It begins by appending its token to one key, the *order*, so that in the end the order
//! lists every block that ran, also those whose client never heard of it; by setting a key of its own with a deadline,
//! which tells the time of the block to the millisecond; and by publishing its token, so that a channel lists the same.
//! What follows is noise, one to four commands, in databases that nobody else uses. A probe is a pipeline of reads
//! between two reads of the order's length: when both say the same, the reads saw the state between two blocks.
//! [`check::replay`](super::check::replay) runs all of it again.
//!
//! `FLUSHALL` is left out, for it would empty the order, and `SPOP`, whose lot decides what follows; `TTL`, `PTTL`, `HTTL`
//! and `HPTTL` are only in blocks, where the time is known, and so are `XINFO` and `XPENDING`, which tell the age of what they show,
//! and `PFCOUNT`, which writes its estimate down.

use bytes::Bytes;

use super::check::{Request, Words};
use super::clock::true_wall;
use super::grammar::{BEYOND, Deadlines, Dialect, Grammar, SYNTAX};
use crate::base::{Millis, Nanos, Rng};
use crate::command::{check, table};

/// Tokens of blocks that ran are appended here.
pub const ORDER: &[u8] = b"{t}order";
/// Where the order and the moments are.
pub const ORDER_DATABASE: u8 = 0;
/// The databases of the noise itself.
pub const DATABASES: std::ops::Range<u8> = 12..16;
/// Commands in front of a block's noise.
pub const BLOCK_HEAD: usize = 4;
/// Tokens of blocks that ran are published here.
pub const NEWS: &[u8] = b"{t}news";

const DIALECT: Dialect = Dialect { databases: &["12", "13", "14", "15", "16", "-1", "x"], deadlines: Deadlines::Near };
/// Milliseconds between a block and the deadline that tells its time.
const MOMENT_MS: u64 = 1_000_000_000_000;

/// How often a command with deadlines is drawn for each of the others, which are many: time is where the cluster around
/// the commands can be wrong.
const TIMED_WEIGHT: usize = 3;

/// Draws blocks and probes.
pub struct Noise {
    all: Grammar,
    reads: Grammar,
}

impl Noise {
    /// A generator.
    pub fn new(rng: &mut Rng) -> Noise {
        let name = |line: &str| line.split(' ').next().unwrap_or("").to_owned();
        let reads = |line: &str| {
            let unlike_others = [
                "TTL",
                "PTTL",
                "HTTL",
                "HPTTL",
                "PFCOUNT",
                "XGROUP",
                "XINFO",
                "XPENDING",
                "EVAL_RO",
                "EVALSHA_RO",
                "FCALL_RO",
            ];
            table::lookup(name(line).as_bytes()).is_some_and(|spec| !spec.may_write())
                && !unlike_others.contains(&&name(line)[..])
        };
        let is_timed = |line: &str| ["seconds", "millis", "TTL", "EXPIRETIME"].iter().any(|word| line.contains(word));
        let times = |line: &str| if is_timed(line) { TIMED_WEIGHT } else { 1 };
        let lines = || SYNTAX.iter().chain(BEYOND).flat_map(|line| std::iter::repeat_n(*line, times(line)));
        Noise {
            all: Grammar::new(
                rng.fork(),
                DIALECT,
                lines().filter(|line| !["FLUSHALL", "SPOP"].contains(&&name(line)[..])),
            ),
            reads: Grammar::new(rng.fork(), DIALECT, lines().filter(|line| reads(line))),
        }
    }

    /// A block with this token.
    pub fn block(&mut self, now: Nanos, token: &Bytes) -> Vec<Request> {
        let moment = moment_key(token);
        let word = Bytes::from_static;
        let mut commands = vec![
            vec![word(b"APPEND"), word(ORDER), token.clone()],
            vec![word(b"SET"), moment.clone(), Bytes::new(), word(b"PX"), MOMENT_MS.to_string().into()],
            vec![word(b"PEXPIRETIME"), moment],
            vec![word(b"PUBLISH"), word(NEWS), token.clone()],
        ];
        for _ in 0..self.all.rng().range(1, 5) {
            commands.push(self.all.command(true_wall(now)));
        }
        vec![Request::Transaction(commands)]
    }

    /// A probe.
    pub fn probe(&mut self, now: Nanos) -> Vec<Request> {
        let length = Request::Command(vec![Bytes::from_static(b"STRLEN"), Bytes::from_static(ORDER)]);
        let mut requests = vec![length.clone()];
        for _ in 0..self.reads.rng().range(1, 4) {
            requests.push(Request::Command(self.reads.command(true_wall(now))));
        }
        requests.push(length);
        requests
    }

    /// A database for a block or probe.
    pub fn database(&mut self) -> u8 {
        self.all.rng().range(u64::from(DATABASES.start), u64::from(DATABASES.end)) as u8
    }
}

/// The key whose deadline tells when a block ran.
pub fn moment_key(token: &[u8]) -> Bytes {
    [b"{t}at:", token].concat().into()
}

/// When a block ran, from the deadline of its key.
pub fn moment(deadline: Millis) -> Millis {
    Millis(deadline.0.saturating_sub(MOMENT_MS))
}

/// The database that a command of a block or probe works on, among those of the noise in `own`.
pub fn database(own: u8, words: &Words) -> u8 {
    let is_order = words.get(1).is_some_and(|key| key == ORDER || key.starts_with(b"{t}at:"));
    if is_order { ORDER_DATABASE } else { own }
}

/// Whether a command changes nothing: what a session may try as a fast read.
pub fn is_read(words: &[Bytes]) -> bool {
    check(words).is_ok_and(|spec| !spec.may_write())
}
