//! The simulator on fixed seeds: no violation, every kind of fault met, and a seed repeats itself to the last event.
//! More seeds: `holdfast sim --seeds 2000`.

use holdfast::sim::{self, Options};

/// Seeds of every test run. CI adds others by date with `holdfast sim --from`.
const SEEDS: u64 = 120;

#[test]
fn seeds_keep_every_promise_and_meet_every_fault() {
    let report = sim::run(&Options { from: 0, seeds: SEEDS, trace: false }, |_| {});
    let violated: Vec<String> = report.violated.iter().map(ToString::to_string).collect();
    assert!(violated.is_empty(), "{}", violated.join("\n\n"));
    assert_eq!(report.coverage.missing(), Vec::<&str>::new(), "these never happened; met: {}", report.coverage);
    assert!(report.undecided * 20 <= report.seeds, "{} histories were too hard to judge", report.undecided);
}

#[test]
fn a_seed_repeats_itself() {
    for seed in [1, 2, 3, 5, 8, 13, 21, 34] {
        let (first, second) = (sim::run_seed(seed, false), sim::run_seed(seed, false));
        assert_eq!((first.events, first.trace_hash), (second.events, second.trace_hash), "seed {seed}");
    }
}
