//! Counts of what was done, for INFO, LATENCY HISTOGRAM and metrics.
//!
//! Counters are spread over shards by connection, so that connections on different cores do not write the same
//! cache line; a reader sums the shards. Sums are exact once the counted commands have answered.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use parking_lot::Mutex;

use crate::base::Nanos;

const SHARDS: usize = 8;
/// Histogram buckets: bucket `i` counts durations of at most `2^i` microseconds; the last one takes the rest.
const BUCKETS: usize = 24;
/// Different error prefixes that are counted, as Redis's own bound.
const ERROR_PREFIXES_MAX: usize = 128;

/// Counters of a node. Plain totals are public: add to them relaxed.
#[derive(Debug)]
pub struct Stats {
    shards: Vec<Shard>,
    errors: Mutex<BTreeMap<String, u64>>,
    rate: Mutex<Rate>,
    /// When `rate` is to be renewed, in monotonic nanoseconds: looked at by every batch, written once a second.
    rate_due: AtomicU64,
    /// Connections accepted.
    pub connections: AtomicU64,
    /// Connections refused because there were too many.
    pub rejected_connections: AtomicU64,
    /// Clients cut off because they left too many replies unread.
    pub output_limit_disconnections: AtomicU64,
    /// Clients cut off because a request grew too large.
    pub query_limit_disconnections: AtomicU64,
    /// AUTH and HELLO with a wrong password.
    pub denied_logins: AtomicU64,
    /// Commands that a user may not run.
    pub denied_commands: AtomicU64,
    /// Commands with a key that a user may not use so.
    pub denied_keys: AtomicU64,
    /// Commands with a channel that a user may not use.
    pub denied_channels: AtomicU64,
}

/// One command's counters.
#[derive(Debug, Default)]
struct Command {
    calls: AtomicU64,
    nanos: AtomicU64,
    rejected: AtomicU64,
    failed: AtomicU64,
    buckets: [AtomicU64; BUCKETS],
}

#[derive(Debug)]
#[repr(align(128))]
struct Shard {
    commands: Vec<Command>,
    input_bytes: AtomicU64,
    output_bytes: AtomicU64,
    reads: AtomicU64,
    writes: AtomicU64,
}

/// What is known of one command, summed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct CommandTotal {
    pub calls: u64,
    pub micros: u64,
    pub rejected: u64,
    pub failed: u64,
    /// Calls per bucket.
    pub buckets: [u64; BUCKETS],
}

/// Sums over all connections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Commands answered.
    pub commands: u64,
    /// Bytes read from clients.
    pub input_bytes: u64,
    /// Bytes written to clients.
    pub output_bytes: u64,
    /// Reads from sockets.
    pub reads: u64,
    /// Writes to sockets.
    pub writes: u64,
}

/// Speed over the last second in which anything was done.
#[derive(Clone, Copy, Debug, Default)]
struct Rate {
    at: Nanos,
    totals: Totals,
    per_second: [f64; 3],
}

impl Stats {
    /// Counters for as many commands.
    pub(super) fn new(commands: usize) -> Stats {
        let shard = || Shard {
            commands: (0..commands).map(|_| Command::default()).collect(),
            input_bytes: AtomicU64::new(0),
            output_bytes: AtomicU64::new(0),
            reads: AtomicU64::new(0),
            writes: AtomicU64::new(0),
        };
        Stats {
            shards: (0..SHARDS).map(|_| shard()).collect(),
            errors: Mutex::default(),
            rate: Mutex::default(),
            rate_due: AtomicU64::new(0),
            connections: AtomicU64::new(0),
            rejected_connections: AtomicU64::new(0),
            output_limit_disconnections: AtomicU64::new(0),
            query_limit_disconnections: AtomicU64::new(0),
            denied_logins: AtomicU64::new(0),
            denied_commands: AtomicU64::new(0),
            denied_keys: AtomicU64::new(0),
            denied_channels: AtomicU64::new(0),
        }
    }

    /// A command of a connection ran (or was refused by the group) and took this long.
    pub(super) fn ran(&self, connection: u64, command: usize, took: Duration, failed: bool) {
        let counters = &self.shard(connection).commands[command];
        counters.calls.fetch_add(1, Relaxed);
        counters.nanos.fetch_add(took.as_nanos() as u64, Relaxed);
        counters.buckets[bucket(took.as_micros() as u64)].fetch_add(1, Relaxed);
        if failed {
            counters.failed.fetch_add(1, Relaxed);
        }
    }

    /// A command was refused before it ran.
    pub(super) fn rejected(&self, connection: u64, command: usize) {
        self.shard(connection).commands[command].rejected.fetch_add(1, Relaxed);
    }

    /// An error line (without the dash) was answered.
    pub(super) fn error(&self, line: &[u8]) {
        let prefix = line.split(|byte| matches!(byte, b' ' | b'\r')).next().unwrap_or_default();
        let prefix = String::from_utf8_lossy(prefix);
        let mut errors = self.errors.lock();
        if let Some(count) = errors.get_mut(&*prefix) {
            *count += 1;
        } else if errors.len() < ERROR_PREFIXES_MAX {
            errors.insert(prefix.into_owned(), 1);
        }
    }

    /// Bytes came from a socket in one read.
    pub fn received(&self, connection: u64, bytes: usize) {
        let shard = self.shard(connection);
        shard.input_bytes.fetch_add(bytes as u64, Relaxed);
        shard.reads.fetch_add(1, Relaxed);
    }

    /// Bytes went to a socket in one write.
    pub fn sent(&self, connection: u64, bytes: usize) {
        let shard = self.shard(connection);
        shard.output_bytes.fetch_add(bytes as u64, Relaxed);
        shard.writes.fetch_add(1, Relaxed);
    }

    /// Sums of everything.
    pub fn totals(&self) -> Totals {
        let mut totals = Totals::default();
        for shard in &self.shards {
            totals.commands += shard.commands.iter().map(|command| command.calls.load(Relaxed)).sum::<u64>();
            totals.input_bytes += shard.input_bytes.load(Relaxed);
            totals.output_bytes += shard.output_bytes.load(Relaxed);
            totals.reads += shard.reads.load(Relaxed);
            totals.writes += shard.writes.load(Relaxed);
        }
        totals
    }

    /// Sums of one command.
    pub(super) fn command(&self, command: usize) -> CommandTotal {
        let mut total = CommandTotal::default();
        let mut nanos = 0;
        for counters in self.shards.iter().map(|shard| &shard.commands[command]) {
            total.calls += counters.calls.load(Relaxed);
            nanos += counters.nanos.load(Relaxed);
            total.rejected += counters.rejected.load(Relaxed);
            total.failed += counters.failed.load(Relaxed);
            for (sum, bucket) in total.buckets.iter_mut().zip(&counters.buckets) {
                *sum += bucket.load(Relaxed);
            }
        }
        total.micros = nanos / 1000;
        total
    }

    /// Error prefixes and how often they were answered, by prefix.
    pub(super) fn errors(&self) -> BTreeMap<String, u64> {
        self.errors.lock().clone()
    }

    /// Takes the speed of the second that ended, if one did. Called with every batch of requests.
    pub(super) fn take_rates(&self, now: Nanos) {
        if now.0 >= self.rate_due.load(Relaxed)
            && let Some(mut rate) = self.rate.try_lock()
        {
            self.renew(&mut rate, now);
        }
    }

    /// Commands, input KiB and output KiB per second: of the last second or two, or since then if nothing was done.
    pub(super) fn rates(&self, now: Nanos) -> [f64; 3] {
        let mut rate = self.rate.lock();
        self.renew(&mut rate, now);
        rate.per_second
    }

    fn renew(&self, rate: &mut Rate, now: Nanos) {
        let seconds = now.since(rate.at).as_secs_f64();
        if seconds >= 1.0 {
            let totals = self.totals();
            let speed = |new: u64, old: u64| new.saturating_sub(old) as f64 / seconds;
            self.rate_due.store(now.0 + 1_000_000_000, Relaxed);
            *rate = Rate {
                at: now,
                totals,
                per_second: [
                    speed(totals.commands, rate.totals.commands),
                    speed(totals.input_bytes, rate.totals.input_bytes) / 1024.0,
                    speed(totals.output_bytes, rate.totals.output_bytes) / 1024.0,
                ],
            };
        }
    }

    /// Sets everything to zero (CONFIG RESETSTAT).
    pub(super) fn reset(&self) {
        for shard in &self.shards {
            for command in &shard.commands {
                let counters = [&command.calls, &command.nanos, &command.rejected, &command.failed];
                counters.into_iter().chain(&command.buckets).for_each(|counter| counter.store(0, Relaxed));
            }
            for counter in [&shard.input_bytes, &shard.output_bytes, &shard.reads, &shard.writes] {
                counter.store(0, Relaxed);
            }
        }
        for counter in [
            &self.connections,
            &self.rejected_connections,
            &self.output_limit_disconnections,
            &self.query_limit_disconnections,
            &self.denied_logins,
            &self.denied_commands,
            &self.denied_keys,
            &self.denied_channels,
        ] {
            counter.store(0, Relaxed);
        }
        self.errors.lock().clear();
        self.rate.lock().totals = Totals::default();
    }

    fn shard(&self, connection: u64) -> &Shard {
        &self.shards[connection as usize % SHARDS]
    }
}

impl CommandTotal {
    /// Upper bounds in microseconds with the calls up to there, where a bucket has any.
    pub fn cumulative(&self) -> Vec<(u64, u64)> {
        let mut sum = 0;
        let mut steps = Vec::new();
        for (index, &count) in self.buckets.iter().enumerate().filter(|(_, count)| **count > 0) {
            sum += count;
            steps.push((1 << index, sum));
        }
        steps
    }

    /// Upper bound in microseconds under which this share (0 to 100) of the calls stayed.
    pub fn percentile(&self, percent: f64) -> u64 {
        let wanted = self.calls as f64 * percent / 100.0;
        let steps = self.cumulative();
        steps.iter().find(|(_, sum)| *sum as f64 >= wanted).or(steps.last()).map_or(0, |(bound, _)| *bound)
    }
}

fn bucket(micros: u64) -> usize {
    (micros.max(1).next_power_of_two().trailing_zeros() as usize).min(BUCKETS - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_sum_up() {
        let stats = Stats::new(2);
        for connection in 0..20 {
            stats.ran(connection, 1, Duration::from_micros(3), connection == 0);
        }
        stats.ran(3, 1, Duration::from_micros(100), false);
        stats.rejected(1, 1);
        let total = stats.command(1);
        assert_eq!((total.calls, total.micros, total.failed, total.rejected), (21, 160, 1, 1));
        assert_eq!(total.cumulative(), [(4, 20), (128, 21)]);
        assert_eq!((total.percentile(50.0), total.percentile(99.9)), (4, 128));
        assert_eq!(stats.totals().commands, 21);
        stats.reset();
        assert_eq!(stats.command(1), CommandTotal::default());
    }

    #[test]
    fn rates_are_those_of_the_last_second() {
        let stats = Stats::new(1);
        let at = |millis: u64| Nanos(millis * 1_000_000);
        let run = |calls: usize| (0..calls).for_each(|_| stats.ran(1, 0, Duration::ZERO, false));
        stats.take_rates(at(10_000));
        run(50);
        stats.received(1, 2048);
        stats.take_rates(at(10_500));
        run(50);
        stats.take_rates(at(11_000));
        run(7);
        assert_eq!(stats.rates(at(11_500)), [100.0, 2.0, 0.0], "a second that has not ended does not count");
        assert_eq!(stats.rates(at(18_000))[0], 1.0, "nothing happened for long");
        stats.reset();
        assert_eq!(stats.rates(at(20_000))[0], 0.0);
    }

    #[test]
    fn buckets_are_upper_bounds() {
        assert_eq!([0, 1, 2, 3, 4, 5, u64::MAX / 2].map(bucket), [0, 0, 1, 2, 2, 3, BUCKETS - 1]);
    }

    #[test]
    fn errors_are_counted_by_prefix_and_bounded() {
        let stats = Stats::new(0);
        for number in 0..1000 {
            stats.error(format!("E{number} x").as_bytes());
        }
        stats.error(b"E0 y");
        assert_eq!(stats.errors().len(), ERROR_PREFIXES_MAX);
        assert_eq!(stats.errors()["E0"], 2);
    }
}
