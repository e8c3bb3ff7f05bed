//! `holdfast sim`: runs seeds of the simulator and tells what they met. A violation prints its story and how to repeat
//! it, and makes the exit code 1.

use std::num::NonZero;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use clap::Args;

use crate::base::{Mutant, Nanos};
use crate::runtime::clock;
use crate::sim::{self, Options};

/// Flags of `sim`.
#[derive(Clone, Debug, Args)]
pub struct Flags {
    /// How many seeds to run
    #[arg(long, value_name = "N", default_value_t = 100)]
    seeds: u64,
    /// The first seed
    #[arg(long, value_name = "S", default_value_t = 0)]
    from: u64,
    /// Run this one seed only
    #[arg(long, value_name = "S", conflicts_with_all = ["seeds", "from"])]
    seed: Option<u64>,
    /// Print every event
    #[arg(long)]
    trace: bool,
    /// Run every seed twice and compare the trace hashes
    #[arg(long)]
    twice: bool,
    /// How many seeds to run at a time [default: one per core]
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
    /// Stop after this many violated seeds
    #[arg(long, value_name = "N", default_value_t = 10)]
    violations: usize,
    /// Put a known bug in: a build with the feature `mutants` can
    #[arg(long, value_name = "NAME")]
    mutant: Option<String>,
    /// List the known bugs
    #[arg(long)]
    mutants: bool,
}

/// Runs the seeds.
pub fn run(flags: &Flags) -> Result<ExitCode, String> {
    if flags.mutants {
        print!("{}", list());
        return Ok(ExitCode::SUCCESS);
    }
    if let Some(name) = &flags.mutant {
        let mutant =
            Mutant::named(name).ok_or_else(|| format!("no known bug is called {name}: sim --mutants lists them"))?;
        put_in(mutant)?;
    }
    let (from, seeds) = flags.seed.map_or((flags.from, flags.seeds), |seed| (seed, 1));
    let cores = thread::available_parallelism().map_or(1, NonZero::get);
    let threads = flags.threads.unwrap_or(cores);
    let (trace, twice, violations_max) = (flags.trace, flags.twice, flags.violations.max(1));
    let options = Options { from, seeds, trace, twice, threads, violations_max };
    let mut progress = Progress { begun: clock::boottime(), told: clock::boottime(), seeds: 0 };
    let report = sim::run(&options, |seed| {
        progress.note(seeds);
        if !seed.violations.is_empty() || flags.seed.is_some() {
            println!("{seed}");
        }
    });
    println!("seeds that met: {}", report.coverage);
    let missing = report.coverage.missing();
    if !missing.is_empty() && seeds >= 100 {
        println!("never met: {}", missing.join(", "));
    }
    if report.undecided > 0 {
        println!("histories too hard to judge: {}", report.undecided);
    }
    println!("writes per simulated second: {:.0}", report.writes as f64 / report.simulated.as_secs_f64().max(1.0));
    println!("{report}");
    Ok(if report.violated.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Tells on stderr now and then how far a long run is.
struct Progress {
    begun: Nanos,
    told: Nanos,
    seeds: u64,
}

impl Progress {
    const EVERY: Duration = Duration::from_secs(60);

    fn note(&mut self, of: u64) {
        self.seeds += 1;
        let now = clock::boottime();
        if now.since(self.told) >= Progress::EVERY {
            self.told = now;
            eprintln!("{} of {of} seeds after {} s", self.seeds, now.since(self.begun).as_secs());
        }
    }
}

/// Every known bug on a line: name, what it breaks, what it is.
fn list() -> String {
    let line = |mutant: &Mutant| format!("{} | {} | {}\n", mutant.name(), mutant.breaks(), mutant.what());
    Mutant::ALL.iter().map(line).collect()
}

#[cfg(feature = "mutants")]
fn put_in(mutant: Mutant) -> Result<(), String> {
    mutant.put_in();
    Ok(())
}

#[cfg(not(feature = "mutants"))]
fn put_in(mutant: Mutant) -> Result<(), String> {
    Err(format!(
        "this build holds no bug that could be put in; one that does: \
         cargo run --release --features mutants --bin holdfast-mutants -- sim --mutant {}",
        mutant.name()
    ))
}
