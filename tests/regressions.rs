//! Bugs of the nearest systems as directed scenarios: the same world as `tests/simulation.rs`, with the faults that once
//! broke somebody else, placed on purpose. Named after the issue; the story of each is above it. docs/regressions.md tells
//! where the others are.

use std::time::Duration;

use holdfast::base::{GroupId, Nanos, NodeId};
use holdfast::sim::network::Cut;
use holdfast::sim::plan::{Fault, Plan, ReadMode};
use holdfast::sim::{self, SeedReport};

/// Runs a scenario under several seeds, every second one with six partitions; every promise must hold in each.
#[track_caller]
fn check(seeds: u64, length: Duration, shape: impl Fn(&mut Plan)) -> Vec<SeedReport> {
    let runs = (0..seeds).map(|seed| {
        let mut plan = Plan::calm(seed, length);
        plan.partitions = if seed.is_multiple_of(2) { 1 } else { 6 };
        shape(&mut plan);
        let report = sim::run_plan(plan, false);
        assert!(report.violations.is_empty(), "{report}");
        report
    });
    runs.collect()
}

/// What a scenario is about must have happened in it.
#[track_caller]
fn met(reports: &[SeedReport], kinds: &[&str]) {
    for kind in kinds {
        assert!(reports.iter().any(|report| report.coverage.met(kind) > 0), "no seed met: {kind}");
    }
}

fn at(seconds: f64) -> Nanos {
    Nanos((seconds * 1e9) as u64)
}

fn seconds(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds)
}

/// A fault every `step` seconds, each from its number.
fn every(plan: &mut Plan, step: f64, fault: impl Fn(u64) -> Fault) {
    let count = (plan.heal_at.0 as f64 / 1e9 / step) as u64;
    plan.faults = (1..count).map(|number| (at(number as f64 * step), fault(number))).collect();
}

fn node(number: u64, nodes: u64) -> NodeId {
    NodeId(1 + number % nodes)
}

/// RedisRaft 14: followers applied nothing, and a failover lost everything. Here leaders die one after the other.
#[test]
fn r02_many_failovers_lose_nothing() {
    let reports = check(4, seconds(60.0), |plan| {
        every(plan, 1.4, |number| Fault::Crash { node: node(number, 3), down: seconds(0.3) });
    });
    assert!(reports.iter().map(|report| report.leader_changes).sum::<u64>() > 60);
}

/// RedisRaft 18: reads were served before the commit index was known. All nodes die, a majority comes back first.
#[test]
fn r04_reads_right_after_a_full_restart() {
    check(8, seconds(20.0), |plan| every(plan, 2.5, |_| Fault::CrashAll { down: seconds(0.8) }));
}

/// RedisRaft 19: a leader that was paused came back and answered from its old state.
#[test]
fn r05_a_paused_leader_answers_nothing_stale() {
    for read_mode in [ReadMode::Lease, ReadMode::ReadIndex] {
        check(4, seconds(30.0), |plan| {
            plan.read_mode = read_mode;
            every(plan, 1.7, |number| Fault::Pause { node: node(number, 3), length: seconds(1.0) });
        });
    }
}

/// RedisRaft 21: forwarded commands blocked Raft's own traffic. Without faults: no error and no election.
#[test]
fn r06_no_error_and_no_election_without_faults() {
    for report in check(2, seconds(300.0), |_| {}) {
        assert_eq!(report.leader_changes, 0, "seed {}", report.seed);
    }
}

/// RedisRaft 25: errors of the cluster came between MULTI and EXEC. Leaders die between any two of their effects, or hand
/// over, while transactions and watches are under way; they are judged like one command each.
#[test]
fn r08_leader_changes_at_every_point_of_a_transaction() {
    let reports = check(8, seconds(30.0), |plan| {
        every(plan, 0.6, |number| {
            let one = node(number / 2, 3);
            match number % 2 {
                0 => Fault::CrashAtEffect { node: one, effects: number * 3 % 29, down: seconds(0.4) },
                _ => Fault::Transfer { group: GroupId(1), to: one },
            }
        });
    });
    met(&reports, &["transaction", "watch aborted", "leader change"]);
}

/// RedisRaft 28: two leaders under mixed faults. Five nodes, partitions, pauses and crashes at once.
#[test]
fn r10_all_faults_at_once_on_five_nodes() {
    check(4, seconds(30.0), |plan| {
        plan.nodes = 5;
        every(plan, 0.7, |number| {
            let one = node(number * 7, 5);
            match number % 4 {
                0 => Fault::Crash { node: one, down: seconds(0.5) },
                1 => Fault::Pause { node: one, length: seconds(0.9) },
                2 => Fault::SlowDisk { node: one, length: seconds(1.0) },
                _ => {
                    let others = (1..=5).map(NodeId).filter(|other| *other != one).collect();
                    Fault::Partition { cut: Cut::Sides(vec![one], others), length: seconds(1.2) }
                }
            }
        });
    });
}

/// RedisRaft 42, 43, 49: crashes around snapshots and log cuts. Snapshots all the time, deaths between any two effects.
#[test]
fn r12_r13_crashes_around_snapshots_and_log_cuts() {
    let reports = check(10, seconds(30.0), |plan| {
        plan.log_entries_kept = 1;
        plan.flush_every = Duration::from_millis(50);
        every(plan, 0.5, |number| {
            let node = node(number / 2, 3);
            match number % 2 {
                0 => Fault::CrashAtEffect { node, effects: number * 5 % 23, down: seconds(0.8) },
                _ => Fault::Crash { node, down: seconds(0.4) },
            }
        });
    });
    met(&reports, &["snapshot install", "log cut", "crash between effects", "log ahead of its state"]);
}

/// The same, aimed: a follower that needs a snapshot dies at one of its next steps, from the first message that tells it
/// so to the reset of its log. What it starts from then is the old state or the new one, whichever log is beside it.
#[test]
fn r13_a_death_at_every_step_of_an_installation() {
    let reports = check(40, seconds(20.0), |plan| {
        plan.log_entries_kept = 1;
        plan.flush_every = Duration::from_millis(50);
        plan.bounds.chunk_bytes = 2_000;
        let first = plan.seed * 3;
        let others = vec![NodeId(1), NodeId(2)];
        plan.faults = (0..12)
            .flat_map(|round| {
                let away = 1.0 + 1.5 * round as f64;
                let cut = Cut::Sides(vec![NodeId(3)], others.clone());
                let effects = (first + round) % 40;
                [
                    (at(away), Fault::Partition { cut, length: seconds(1.0) }),
                    (at(away + 1.0), Fault::CrashAtEffect { node: NodeId(3), effects, down: seconds(0.2) }),
                ]
            })
            .collect();
    });
    met(&reports, &["snapshot install", "snapshot in chunks", "snapshot aborted", "state ahead of its log"]);
}

/// RedisRaft 51: a log cache with a hole after a conflict. Tiny caches, and leaders that are cut off with entries that
/// nobody else has.
#[test]
fn r18_conflicting_tails_with_a_tiny_log_cache() {
    check(8, seconds(30.0), |plan| {
        plan.log_cache_bytes = 1;
        every(plan, 1.5, |number| {
            let one = node(number, 3);
            let others = (1..=3).map(NodeId).filter(|other| *other != one).collect();
            Fault::Partition { cut: Cut::Sides(vec![one], others), length: seconds(1.2) }
        });
    });
}

/// TiKV 9208, raft-rs 234: stale reads during leader transfers.
#[test]
fn t03_reads_during_transfers() {
    check(8, seconds(30.0), |plan| {
        plan.skewed_clocks = true;
        every(plan, 0.15, |number| Fault::Transfer { group: GroupId(1), to: node(number * 5 + number / 3, 3) });
    });
}

/// TiKV 12109, etcd: a follower that is cut off in one direction keeps asking, or keeps believing.
#[test]
fn t04_one_way_partitions() {
    check(8, seconds(30.0), |plan| {
        every(plan, 1.5, |number| {
            let one = node(number, 3);
            let others: Vec<NodeId> = (1..=3).map(NodeId).filter(|other| *other != one).collect();
            let cut = if number % 2 == 0 { Cut::OneWay(vec![one], others) } else { Cut::OneWay(others, vec![one]) };
            Fault::Partition { cut, length: seconds(1.3) }
        });
    });
}

/// TiKV 964: leases with clocks that stop, drift and jump.
#[test]
fn t06_leases_under_pauses_drift_and_jumps() {
    check(8, seconds(30.0), |plan| {
        plan.skewed_clocks = true;
        every(plan, 0.4, |number| {
            let node = node(number / 2, 3);
            match number % 2 {
                0 => Fault::SetWall { node },
                _ => Fault::Pause { node, length: seconds(0.6) },
            }
        });
    });
}

/// TiKV 11618: a snapshot stream dies half-way. Links break while snapshots are needed all the time.
#[test]
fn t09_snapshots_over_breaking_links() {
    let reports = check(6, seconds(30.0), |plan| {
        plan.log_entries_kept = 1;
        plan.flush_every = Duration::from_millis(50);
        plan.bounds.chunk_bytes = 1;
        every(plan, 0.6, |number| {
            let one = node(number / 3, 3);
            let others = (1..=3).map(NodeId).filter(|other| *other != one).collect();
            Fault::Partition { cut: Cut::Sides(vec![one], others), length: seconds(0.5) }
        });
    });
    met(&reports, &["snapshot install", "snapshot in chunks", "snapshot aborted"]);
}

/// raft-rs 0.7.0: proposals refused in the middle of a batch. Hardly any bytes may be uncommitted.
#[test]
fn t13_refused_proposals_under_a_tiny_limit() {
    check(6, seconds(20.0), |plan| {
        plan.bounds.uncommitted_bytes = 1;
        plan.bounds.entry_bytes = 1;
        every(plan, 2.0, |number| Fault::Crash { node: node(number, 3), down: seconds(0.3) });
    });
}

/// etcd 14370, 14140: a single node acknowledged before its disk had it.
#[test]
fn e01_power_cuts_of_a_single_node() {
    check(10, seconds(20.0), |plan| {
        plan.nodes = 1;
        every(plan, 0.7, |number| Fault::CrashAtEffect { node: NodeId(1), effects: number % 9, down: seconds(0.2) });
    });
}

/// jetcd, TiDB: a hidden retry ran a command twice. Leaders die all the time, all clients sit at followers or leaders
/// alike; counters and unique tokens are judged in every run.
#[test]
fn j01_increments_run_once_across_failovers() {
    check(6, seconds(40.0), |plan| {
        plan.bounds.frame_bytes = 1;
        every(plan, 1.1, |number| match number % 3 {
            0 => Fault::Crash { node: node(number / 3, 3), down: seconds(0.4) },
            1 => Fault::Transfer { group: GroupId(1), to: node(number, 3) },
            _ => Fault::Leave { node: node(number / 3 + 1, 3), down: seconds(0.3) },
        });
    });
}
