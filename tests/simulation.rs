//! The simulator on fixed seeds: no violation, every kind of fault met, and a seed repeats itself to the last event.
//! More seeds: `holdfast sim --seeds 2000`.

use holdfast::sim::{self, Options};

/// Seeds of every test run. CI adds others by date with `holdfast sim --from`.
const SEEDS: u64 = 160;

fn options(seeds: u64, threads: usize) -> Options {
    Options { from: 0, seeds, trace: false, twice: false, threads, violations_max: usize::MAX }
}

#[test]
fn seeds_keep_every_promise_and_meet_every_fault() {
    let report = sim::run(&options(SEEDS, 2), |_| {});
    let violated: Vec<String> = report.violated.iter().map(ToString::to_string).collect();
    assert!(violated.is_empty(), "{}", violated.join("\n\n"));
    assert_eq!(report.coverage.missing(), Vec::<&str>::new(), "these never happened; met: {}", report.coverage);
    assert!(report.undecided * 20 <= report.seeds, "{} histories were too hard to judge", report.undecided);
}

#[test]
fn a_seed_repeats_itself() {
    let report = sim::run(&Options { twice: true, ..options(40, 2) }, |_| {});
    let violated: Vec<String> = report.violated.iter().map(ToString::to_string).collect();
    assert!(violated.is_empty(), "{}", violated.join("\n\n"));
}

#[test]
fn threads_change_nothing() {
    let run = |threads| {
        let mut seeds = Vec::new();
        let report = sim::run(&options(12, threads), |seed| seeds.push((seed.seed, seed.trace_hash)));
        (seeds, report.to_string())
    };
    let alone = run(1);
    assert!(alone.0.is_sorted());
    assert_eq!(alone, run(5));
}
