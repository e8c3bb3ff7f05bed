//! What a node counts, for Prometheus. Counters are bumped where things happen; gauges are read when somebody asks.

use std::sync::atomic::{AtomicU64, Ordering};

use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use super::stages::Stages;
use crate::host::{ChangeKind, Loss};
use crate::service::node;
use crate::store::{Figures, Stalls};

/// Everything that is counted. Cheap to bump from any thread.
pub struct Metrics {
    registry: Registry,
    /// Times and batch sizes by stage.
    pub stages: Stages,
    /// Batches that connections handed to a group's machine.
    pub submissions: Counter,
    /// Reads answered at once under the lease.
    pub reads_fast: Counter,
    /// Reads answered from disk, away from the machine.
    pub reads_disk: Counter,
    /// Reads that could not be answered at once, by cause.
    pub reads_slow: Family<Cause, Counter>,
    /// How submissions ended, in the order of [`OUTCOMES`]: found once, as every write asks.
    outcomes: [Counter; OUTCOMES.len()],
    /// Seconds from a submission to its outcome.
    pub submission_seconds: Histogram,
    /// Seconds of one synchronous write of the log.
    pub log_write_seconds: Histogram,
    /// Groups' writes that shared one synchronous write.
    pub log_write_groups: Histogram,
    /// Raft messages given to a stream.
    pub raft_messages_sent: Counter,
    /// Raft messages that arrived.
    pub raft_messages_received: Counter,
    /// Raft messages dropped: no stream or no room.
    pub raft_messages_dropped: Counter,
    /// Forwarded batches refused: no stream or no room.
    pub forwards_refused: Counter,
    /// Calls of peers that were refused: another cluster, node or format.
    pub foreign_refused: Counter,
    /// Raft messages that were not for a replica here, or from none of its group.
    pub foreign_messages: Gauge<u64, AtomicU64>,
    /// Turns of the raft worker.
    pub worker_turns: Counter,
    /// Turns of the machines.
    pub machine_turns: Counter,
    /// Log lines that nobody took in time.
    pub log_lines_dropped: Counter,
    leadership: Family<Leadership, Counter>,
    group_term: Family<Group, Gauge<u64, AtomicU64>>,
    group_commit: Family<Group, Gauge<u64, AtomicU64>>,
    group_apply_lag: Family<Group, Gauge<u64, AtomicU64>>,
    group_leads: Family<Group, Gauge<u64, AtomicU64>>,
    queue_bytes: Family<Queue, Gauge<u64, AtomicU64>>,
    pending_submissions: Gauge<u64, AtomicU64>,
    resident_bytes: Gauge<u64, AtomicU64>,
    l1_hits: Counter,
    l1_misses: Counter,
    l1_bytes: Gauge<u64, AtomicU64>,
    rocksdb_stalls: Family<Stall, Counter>,
    rocksdb_stalled: Gauge<u64, AtomicU64>,
    state_unflushed_bytes: Gauge<u64, AtomicU64>,
    state_disk_bytes: Gauge<u64, AtomicU64>,
    state_block_cache_bytes: Gauge<u64, AtomicU64>,
}

/// Why a read took the long way.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Cause {
    /// `not_leader`, `behind`, `lease`, `disk`, `due`, `moving`.
    pub cause: &'static str,
}

/// How submissions end.
const OUTCOMES: [&str; 6] = ["replies", "down", "loading", "overloaded", "busy", "unknown"];

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Outcome {
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Group {
    group: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Leadership {
    change: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Queue {
    queue: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Stall {
    database: &'static str,
    kind: &'static str,
}

/// What is looked up when somebody asks.
#[derive(Clone, Debug, Default)]
pub struct Observed {
    /// Bytes that wait, by queue.
    pub queues: Vec<(&'static str, u64)>,
    /// Submissions without an outcome.
    pub pending_submissions: u64,
    /// Memory of the process.
    pub resident_bytes: u64,
    /// The state and its record cache.
    pub state: Figures,
    /// Stalls of the log's database.
    pub log_stalls: Stalls,
}

/// What is read from a group when somebody asks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GroupFacts {
    /// Its id.
    pub group: u64,
    /// Current term.
    pub term: u64,
    /// Committed here.
    pub commit: u64,
    /// Applied here.
    pub applied: u64,
    /// Whether this node leads it.
    pub leads: bool,
}

/// Seconds from 20 us to 5 s, each bound about 1.8 times the last.
pub(super) fn seconds() -> Histogram {
    Histogram::new((0..22).map(|step| 0.000_02 * 1.8_f64.powi(step)))
}

impl Metrics {
    /// All at zero.
    pub fn new() -> Metrics {
        let mut registry = Registry::with_prefix("holdfast");
        let stages = Stages::new(&mut registry);
        let outcomes = Family::<Outcome, Counter>::default();
        registry.register("outcomes", "Ends of submissions, by outcome", outcomes.clone());
        let mut metrics = Metrics {
            registry,
            stages,
            submissions: Counter::default(),
            reads_fast: Counter::default(),
            reads_disk: Counter::default(),
            reads_slow: Family::default(),
            outcomes: OUTCOMES.map(|outcome| outcomes.get_or_create(&Outcome { outcome }).clone()),
            submission_seconds: seconds(),
            log_write_seconds: seconds(),
            log_write_groups: Histogram::new((0..12).map(|step| f64::from(1_u32 << step))),
            raft_messages_sent: Counter::default(),
            raft_messages_received: Counter::default(),
            raft_messages_dropped: Counter::default(),
            forwards_refused: Counter::default(),
            foreign_refused: Counter::default(),
            foreign_messages: Gauge::default(),
            worker_turns: Counter::default(),
            machine_turns: Counter::default(),
            log_lines_dropped: Counter::default(),
            leadership: Family::default(),
            group_term: Family::default(),
            group_commit: Family::default(),
            group_apply_lag: Family::default(),
            group_leads: Family::default(),
            queue_bytes: Family::default(),
            pending_submissions: Gauge::default(),
            resident_bytes: Gauge::default(),
            l1_hits: Counter::default(),
            l1_misses: Counter::default(),
            l1_bytes: Gauge::default(),
            rocksdb_stalls: Family::default(),
            rocksdb_stalled: Gauge::default(),
            state_unflushed_bytes: Gauge::default(),
            state_disk_bytes: Gauge::default(),
            state_block_cache_bytes: Gauge::default(),
        };
        metrics.register();
        metrics
    }

    fn register(&mut self) {
        let registry = &mut self.registry;
        registry.register("submissions", "Batches handed to a group's machine", self.submissions.clone());
        registry.register("reads_fast", "Reads answered at once under the lease", self.reads_fast.clone());
        registry.register("reads_disk", "Reads answered from disk, away from the machine", self.reads_disk.clone());
        registry.register("reads_slow", "Reads that took the long way, by cause", self.reads_slow.clone());
        registry.register("submission_seconds", "From submission to outcome", self.submission_seconds.clone());
        registry.register("log_write_seconds", "One synchronous write of the log", self.log_write_seconds.clone());
        registry.register("log_write_groups", "Writes that shared one fsync", self.log_write_groups.clone());
        registry.register("raft_messages_sent", "Raft messages given to a stream", self.raft_messages_sent.clone());
        registry.register("raft_messages_received", "Raft messages arrived", self.raft_messages_received.clone());
        registry.register("raft_messages_dropped", "No stream or no room", self.raft_messages_dropped.clone());
        registry.register("forwards_refused", "Batches without stream or room", self.forwards_refused.clone());
        registry.register("foreign_refused", "Peers of another cluster or format", self.foreign_refused.clone());
        registry.register("foreign_messages", "Not for a replica here", self.foreign_messages.clone());
        registry.register("worker_turns", "Turns of the raft worker", self.worker_turns.clone());
        registry.register("machine_turns", "Turns of the machines", self.machine_turns.clone());
        registry.register("log_lines_dropped", "Log lines nobody took in time", self.log_lines_dropped.clone());
        registry.register("leadership", "Elections and losses of leadership here", self.leadership.clone());
        registry.register("group_term", "Current term", self.group_term.clone());
        registry.register("group_commit", "Committed index", self.group_commit.clone());
        registry.register("group_apply_lag", "Committed but not applied", self.group_apply_lag.clone());
        registry.register("group_leads", "1 where this node leads", self.group_leads.clone());
        registry.register("queue_bytes", "Bytes that wait", self.queue_bytes.clone());
        registry.register("pending_submissions", "Without an outcome yet", self.pending_submissions.clone());
        registry.register("resident_bytes", "Memory of the process", self.resident_bytes.clone());
        registry.register("l1_hits", "Lookups that the record cache answered", self.l1_hits.clone());
        registry.register("l1_misses", "Lookups that it could not answer", self.l1_misses.clone());
        registry.register("l1_bytes", "Bytes in the record cache", self.l1_bytes.clone());
        registry.register("rocksdb_stalls", "Writes delayed or stopped by RocksDB", self.rocksdb_stalls.clone());
        registry.register("rocksdb_stalled", "1 while writes of the state are", self.rocksdb_stalled.clone());
        registry.register("state_unflushed_bytes", "In memory, not on disk", self.state_unflushed_bytes.clone());
        registry.register("state_disk_bytes", "Files of the state", self.state_disk_bytes.clone());
        registry.register("state_block_cache_bytes", "Cached blocks", self.state_block_cache_bytes.clone());
    }

    /// Sets what is read rather than counted, just before [`Metrics::render`].
    pub fn observe(&self, groups: impl Iterator<Item = GroupFacts>, observed: &Observed) {
        for facts in groups {
            let label = Group { group: facts.group };
            self.group_term.get_or_create(&label).set(facts.term);
            self.group_commit.get_or_create(&label).set(facts.commit);
            self.group_apply_lag.get_or_create(&label).set(facts.commit.saturating_sub(facts.applied));
            self.group_leads.get_or_create(&label).set(facts.leads.into());
        }
        for &(queue, bytes) in &observed.queues {
            self.queue_bytes.get_or_create(&Queue { queue }).set(bytes);
        }
        self.pending_submissions.set(observed.pending_submissions);
        self.resident_bytes.set(observed.resident_bytes);
        let state = &observed.state;
        // Counted where they happen; here the sums are only shown.
        let show = |counter: &Counter, sum: u64| counter.inner().store(sum, Ordering::Relaxed);
        show(&self.l1_hits, state.l1_hits);
        show(&self.l1_misses, state.l1_misses);
        self.l1_bytes.set(state.l1_bytes);
        for (database, stalls) in [("state", state.stalls), ("log", observed.log_stalls)] {
            for (kind, sum) in [("delayed", stalls.delays), ("stopped", stalls.stops)] {
                show(&self.rocksdb_stalls.get_or_create(&Stall { database, kind }), sum);
            }
        }
        self.rocksdb_stalled.set(state.stalled.into());
        self.state_unflushed_bytes.set(state.unflushed_bytes);
        self.state_disk_bytes.set(state.disk_bytes);
        self.state_block_cache_bytes.set(state.cache_bytes);
    }

    /// The OpenMetrics text.
    pub fn render(&self) -> String {
        let mut out = String::new();
        // Formatting into a string cannot fail.
        let _ = text::encode(&mut out, &self.registry);
        out
    }

    /// Counts what became of a group's leadership here: `campaigns`, `won`, and why it was lost.
    pub fn leadership(&self, kind: ChangeKind) {
        let change = match kind {
            ChangeKind::Campaigns { .. } => "campaigns",
            ChangeKind::Won => "won",
            ChangeKind::Lost(Loss::HandedOver) => "handed_over",
            ChangeKind::Lost(Loss::Overtaken { .. }) => "overtaken",
            ChangeKind::Lost(Loss::Disk) => "disk",
            ChangeKind::Lost(Loss::Silence) => "silence",
        };
        self.leadership.get_or_create(&Leadership { change }).inc();
    }

    /// Counts a read that took the long way.
    pub fn slow(&self, cause: &'static str) {
        self.reads_slow.get_or_create(&Cause { cause }).inc();
    }

    /// Counts the end of a submission.
    pub fn ended(&self, outcome: &node::Outcome) {
        let place = match outcome {
            node::Outcome::Replies(_) => 0,
            node::Outcome::Down => 1,
            node::Outcome::Loading => 2,
            node::Outcome::Overloaded => 3,
            node::Outcome::Busy(_) => 4,
            node::Outcome::Unknown => 5,
        };
        self.outcomes[place].inc();
    }
}

impl Default for Metrics {
    fn default() -> Metrics {
        Metrics::new()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::service::Stage;

    #[test]
    fn counted_things_appear_in_the_text() {
        let metrics = Metrics::new();
        metrics.foreign_refused.inc();
        metrics.slow("disk");
        metrics.ended(&node::Outcome::Overloaded);
        metrics.stages.note(Stage::Apply, Duration::from_micros(30), 5);
        let facts = GroupFacts { group: 1, term: 2, commit: 10, applied: 7, leads: true };
        let state = Figures { l1_hits: 9, stalls: Stalls { delays: 4, stops: 0 }, ..Figures::default() };
        metrics.observe([facts].into_iter(), &Observed { queues: vec![("machine", 5)], state, ..Observed::default() });
        let text = metrics.render();
        for line in [
            "holdfast_foreign_refused_total 1",
            "holdfast_stage_seconds_count{stage=\"apply\"} 1",
            "holdfast_stage_size_sum{stage=\"apply\"} 5.0",
            "holdfast_stage_size_count{stage=\"reply\"} 0",
            "holdfast_reads_slow_total{cause=\"disk\"} 1",
            "holdfast_group_apply_lag{group=\"1\"} 3",
            "holdfast_queue_bytes{queue=\"machine\"} 5",
            "holdfast_l1_hits_total 9",
            "holdfast_outcomes_total{outcome=\"overloaded\"} 1",
            "holdfast_outcomes_total{outcome=\"unknown\"} 0",
            "holdfast_rocksdb_stalls_total{database=\"state\",kind=\"delayed\"} 4",
        ] {
            assert!(text.lines().any(|it| it == line), "no line {line} in:\n{text}");
        }
    }
}
