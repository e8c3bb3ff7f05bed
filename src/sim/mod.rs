//! The other world: the same host, machine and forwarder as production, on one thread per seed, with virtual time,
//! a faulty network, faulty disks and clocks, and judges that know only what clients saw.
//!
//! Invariant: a seed decides everything. Two runs of a seed have the same events in the same order, which is what the
//! trace hash says; a violation is repeated by its seed alone.
//!
//! - [`plan`]: what the seed decides beforehand: settings and faults; [`drama`]: faults timed around a leader.
//! - [`queue`], [`network`], [`clock`], [`disk`]: the world; [`shared`]: what its nodes share.
//! - [`node`]: one node around the production parts; [`runtime`](crate::runtime) is its other shape, with threads.
//! - [`workload`], [`noise`], [`grammar`], [`client`]: what clients ask, and what they learn.
//! - [`check`], [`judge`]: the judges and the way to them.
//! - [`world`]: one seed from the first election to the last judgement.
//! - [`trace`], [`coverage`]: what happened, and whether every kind of fault did.

pub mod check;
pub mod client;
pub mod clock;
pub mod coverage;
pub mod disk;
pub mod drama;
pub mod grammar;
pub mod judge;
pub mod network;
pub mod node;
pub mod noise;
pub mod plan;
pub mod queue;
pub mod shared;
pub mod trace;
pub mod workload;
pub mod world;

use std::collections::BTreeMap;
use std::fmt;
use std::panic;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use check::Violation;
use coverage::Coverage;
use plan::Plan;
use world::World;

/// What to run.
#[derive(Clone, Debug)]
pub struct Options {
    /// The first seed.
    pub from: u64,
    /// How many seeds.
    pub seeds: u64,
    /// Prints every event; the seeds run on one thread then.
    pub trace: bool,
    /// Runs every seed a second time: it must repeat itself to the last event.
    pub twice: bool,
    /// How many seeds run at a time. What is reported does not depend on it.
    pub threads: usize,
    /// Stops after so many violated seeds.
    pub violations_max: usize,
}

/// What became of one seed.
#[derive(Clone, Debug)]
pub struct SeedReport {
    /// Which.
    pub seed: u64,
    /// Virtual time.
    pub simulated: Duration,
    /// Elections that made a leader, without the first of each group.
    pub leader_changes: u64,
    /// Commands whose reply was judged.
    pub commands: u64,
    /// Those among them that may write.
    pub writes: u64,
    /// Families of keys whose judgement was given up.
    pub undecided: u64,
    /// Events.
    pub events: u64,
    /// Over all events: equal in every run of the seed.
    pub trace_hash: u64,
    /// What happened.
    pub coverage: Coverage,
    /// Broken promises.
    pub violations: Vec<Violation>,
    /// The last noteworthy events.
    pub story: Vec<String>,
}

/// What became of all seeds.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// How many seeds ran.
    pub seeds: u64,
    /// Virtual time of all.
    pub simulated: Duration,
    /// Leader changes in all.
    pub leader_changes: u64,
    /// Commands judged.
    pub commands: u64,
    /// Those among them that may write.
    pub writes: u64,
    /// Families whose judgement was given up.
    pub undecided: u64,
    /// How many seeds met what.
    pub coverage: Coverage,
    /// Seeds with broken promises.
    pub violated: Vec<SeedReport>,
}

/// Runs seeds; `each` is told of every one, in the order of seeds.
pub fn run(options: &Options, mut each: impl FnMut(&SeedReport)) -> Report {
    let end = options.from.saturating_add(options.seeds);
    let threads = if options.trace { 1 } else { options.threads.max(1) };
    let next = AtomicU64::new(options.from);
    let mut report = Report::default();
    thread::scope(|scope| {
        let (sender, receiver) = mpsc::channel();
        for _ in 0..threads {
            let (sender, next) = (sender.clone(), &next);
            scope.spawn(move || {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    // The other end is gone when enough was violated.
                    if seed >= end {
                        return;
                    }
                    let mut report = run_safely(seed, options.trace);
                    if options.twice {
                        report.compare(&run_safely(seed, false));
                    }
                    if sender.send(report).is_err() {
                        return;
                    }
                }
            });
        }
        drop(sender);
        let mut early = BTreeMap::new();
        let mut awaited = options.from;
        for seed in receiver {
            early.insert(seed.seed, seed);
            while let Some(seed) = early.remove(&awaited) {
                awaited += 1;
                each(&seed);
                report.add(seed);
                if report.violated.len() >= options.violations_max {
                    next.store(end, Ordering::Relaxed);
                    return;
                }
            }
        }
    });
    report
}

/// Runs one seed.
pub fn run_seed(seed: u64, trace: bool) -> SeedReport {
    run_plan(Plan::new(seed), trace)
}

/// A panic is a violation like others: a node would die of it.
fn run_safely(seed: u64, trace: bool) -> SeedReport {
    panic::catch_unwind(|| run_seed(seed, trace)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref().copied());
        let violation = Violation::new("no panic", vec![text.unwrap_or("a panic without words").to_owned()]);
        SeedReport {
            seed,
            simulated: Duration::ZERO,
            leader_changes: 0,
            commands: 0,
            writes: 0,
            undecided: 0,
            events: 0,
            trace_hash: 0,
            coverage: Coverage::default(),
            violations: vec![violation],
            story: Vec::new(),
        }
    })
}

/// Runs a plan of one's own: a directed scenario.
pub fn run_plan(plan: Plan, trace: bool) -> SeedReport {
    World::new(plan, trace).run()
}

impl Report {
    fn add(&mut self, seed: SeedReport) {
        self.seeds += 1;
        self.simulated += seed.simulated;
        self.leader_changes += seed.leader_changes;
        self.commands += seed.commands;
        self.writes += seed.writes;
        self.undecided += seed.undecided;
        self.coverage.add_seed(&seed.coverage);
        if !seed.violations.is_empty() {
            self.violated.push(seed);
        }
    }
}

impl SeedReport {
    /// A second run of the seed must have been the same, or no violation could be repeated.
    fn compare(&mut self, again: &SeedReport) {
        let runs = [&*self, again].map(|run| (run.events, run.trace_hash));
        if runs[0] != runs[1] {
            let story = runs.map(|(events, hash)| format!("{events} events, trace hash {hash:016x}"));
            self.violations.push(Violation::new("a seed repeats itself", story.into()));
        }
    }
}

/// The last line of a run, whose form is fixed.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hours = self.simulated.as_secs_f64() / 3_600.0;
        write!(
            f,
            "{} seeds, {hours:.2} simulated hours, {} leader changes, {} commands checked, {} violations",
            self.seeds,
            self.leader_changes,
            self.commands,
            self.violated.len()
        )
    }
}

impl fmt::Display for SeedReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "seed {}: {} events, trace hash {:016x}", self.seed, self.events, self.trace_hash)?;
        if self.violations.is_empty() {
            return Ok(());
        }
        writeln!(f, "what happened:")?;
        for line in &self.story {
            writeln!(f, "  {line}")?;
        }
        for violation in &self.violations {
            writeln!(f, "VIOLATED: {}", violation.promise)?;
            for line in &violation.story {
                writeln!(f, "  {line}")?;
            }
        }
        writeln!(f, "replay: holdfast sim --seed {} --trace", self.seed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_has_its_form() {
        let report = Report {
            seeds: 2_000,
            simulated: Duration::from_secs(36_900),
            leader_changes: 7,
            commands: 90_000,
            undecided: 3,
            ..Report::default()
        };
        let line = "2000 seeds, 10.25 simulated hours, 7 leader changes, 90000 commands checked, 0 violations";
        assert_eq!(report.to_string(), line);
    }

    #[test]
    fn a_seed_that_does_not_repeat_itself_is_a_violation() {
        let mut one = run_plan(Plan::calm(1, Duration::from_secs(2)), false);
        one.compare(&run_plan(Plan::calm(1, Duration::from_secs(2)), false));
        assert!(one.violations.is_empty(), "{one}");
        one.compare(&run_plan(Plan::calm(2, Duration::from_secs(2)), false));
        assert!(one.to_string().contains("VIOLATED: a seed repeats itself"), "{one}");
    }
}
