//! The other world: the same host, machine and forwarder as production, on one thread, with one seed, virtual time,
//! a faulty network, faulty disks and clocks, and judges that know only what clients saw.
//!
//! Invariant: a seed decides everything. Two runs of a seed have the same events in the same order, which is what the
//! trace hash says; a violation is repeated by its seed alone.
//!
//! - [`plan`]: what the seed decides beforehand: settings and faults.
//! - [`queue`], [`network`], [`clock`], [`disk`]: the world; [`shared`]: what its nodes share.
//! - [`node`]: one node around the production parts; [`runtime`](crate::runtime) is its other shape, with threads.
//! - [`workload`], [`client`]: what clients ask, and what they learn.
//! - [`check`], [`judge`]: the judges and the way to them.
//! - [`world`]: one seed from the first election to the last judgement.
//! - [`trace`], [`coverage`]: what happened, and whether every kind of fault did.

pub mod check;
pub mod client;
pub mod clock;
pub mod coverage;
pub mod disk;
pub mod judge;
pub mod network;
pub mod node;
pub mod plan;
pub mod queue;
pub mod shared;
pub mod trace;
pub mod workload;
pub mod world;

use std::fmt;
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
    /// Prints every event.
    pub trace: bool,
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
    /// Families whose judgement was given up.
    pub undecided: u64,
    /// How many seeds met what.
    pub coverage: Coverage,
    /// Seeds with broken promises.
    pub violated: Vec<SeedReport>,
}

/// Runs seeds one after the other; `each` is told of every one.
pub fn run(options: &Options, mut each: impl FnMut(&SeedReport)) -> Report {
    let mut report = Report::default();
    for seed in options.from..options.from.saturating_add(options.seeds) {
        let seed = run_seed(seed, options.trace);
        each(&seed);
        report.add(seed);
    }
    report
}

/// Runs one seed.
pub fn run_seed(seed: u64, trace: bool) -> SeedReport {
    run_plan(Plan::new(seed), trace)
}

/// Runs a plan of one's own: a directed scenario.
pub fn run_plan(plan: Plan, trace: bool) -> SeedReport {
    World::new(plan, trace).run()
}

impl Report {
    /// Adds what another run met.
    pub fn merge(&mut self, other: Report) {
        self.seeds += other.seeds;
        self.simulated += other.simulated;
        self.leader_changes += other.leader_changes;
        self.commands += other.commands;
        self.undecided += other.undecided;
        self.coverage.merge(&other.coverage);
        self.violated.extend(other.violated);
    }

    fn add(&mut self, seed: SeedReport) {
        self.seeds += 1;
        self.simulated += seed.simulated;
        self.leader_changes += seed.leader_changes;
        self.commands += seed.commands;
        self.undecided += seed.undecided;
        self.coverage.add_seed(&seed.coverage);
        if !seed.violations.is_empty() {
            self.violated.push(seed);
        }
    }
}

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
        )?;
        if self.undecided > 0 {
            write!(f, ", {} histories not decided", self.undecided)?;
        }
        Ok(())
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
