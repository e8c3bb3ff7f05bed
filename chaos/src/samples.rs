//! What failover took, fault by fault: the lines of a file, the table over them, and the story of each that took too long.
//!
//! A file is only ever appended to, so a long measurement can be made in parts, and the files of several machines can be
//! summed up together.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::availability::percentile;
use crate::kinds::Kind;

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measure {
    Kill,
    Pause,
    Cut,
    /// The leader is killed within a second of the end of a partition that had cut off its predecessor.
    KillAfterCut,
    Restart,
}

/// Every measure: its name in files and tables, the kinds of faults it is made of, and what is demanded: percentile and
/// most milliseconds.
type Row = (Measure, &'static str, &'static [Kind], &'static [(f64, u64)]);
const TABLE: [Row; 5] = [
    (Measure::Kill, "kill-leader", &[Kind::KillLeader], &[(50.0, 600), (99.0, 1200)]),
    (Measure::Pause, "pause-leader", &[Kind::PauseLeader], &[(99.0, 1500)]),
    (Measure::Cut, "isolate-leader", &[Kind::IsolateLeader], &[(99.0, 1500)]),
    (Measure::KillAfterCut, "kill-after-cut", &[Kind::IsolateLeader, Kind::KillLeader], &[(99.0, 1200)]),
    (Measure::Restart, "restart", &[Kind::Restart], &[(99.0, 200)]),
];

impl Measure {
    fn row(self) -> &'static Row {
        // The test below holds that the table is in the order of the enum.
        &TABLE[self as usize]
    }

    pub fn name(self) -> &'static str {
        self.row().1
    }

    pub fn kinds(self) -> &'static [Kind] {
        self.row().2
    }

    /// A single one that took longer is worth a story.
    pub fn most_ms(self) -> u64 {
        self.row().3.iter().map(|(_, most)| *most).max().unwrap_or(u64::MAX)
    }
}

/// One measured fault. What a file of an earlier version does not tell is taken for nothing.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Sample {
    pub kind: String,
    /// Of the run.
    pub seed: u64,
    /// When it began, in seconds of the run.
    pub at_s: f64,
    /// On whom, for people.
    pub note: String,
    /// The longest time without an acknowledged write.
    pub gap_ms: f64,
    /// The longest sync of a file of the runner on the same disk meanwhile, and the value below which 99 of 100 were.
    pub sync_ms: f64,
    pub sync_p99_ms: f64,
    /// What happened meanwhile, if it took too long.
    pub story: Vec<String>,
}

/// The samples of some files; one that is not there has none.
pub fn read<P: AsRef<Path>>(files: &[P]) -> Result<Vec<Sample>, String> {
    let mut all = Vec::new();
    for path in files.iter().map(AsRef::as_ref).filter(|path| path.exists()) {
        let failed = |why: &dyn std::fmt::Display| format!("{}: {why}", path.display());
        for line in BufReader::new(File::open(path).map_err(|why| failed(&why))?).lines() {
            let line = line.map_err(|why| failed(&why))?;
            all.push(serde_json::from_str(&line).map_err(|why| failed(&why))?);
        }
    }
    Ok(all)
}

/// How many there are of each measure, by its name.
pub fn counts(samples: &[Sample]) -> BTreeMap<&str, usize> {
    let mut counts = BTreeMap::new();
    for sample in samples {
        *counts.entry(sample.kind.as_str()).or_insert(0) += 1;
    }
    counts
}

/// The table, the stories, and what misses its target.
pub fn summary(samples: &[Sample]) -> (String, Vec<String>) {
    let seeds: BTreeSet<u64> = samples.iter().map(|sample| sample.seed).collect();
    let mut text = format!("{} samples of {} runs\n", samples.len(), seeds.len());
    text += &format!(
        "{:<16} {:>6} {:>8} {:>8} {:>8} {:>14}  target\n",
        "fault", "times", "p50 ms", "p99 ms", "max ms", "max sync ms"
    );
    let mut misses = Vec::new();
    for (_, name, _, targets) in TABLE {
        let of_kind = || samples.iter().filter(|sample| sample.kind == name);
        let durations = |ms: fn(&Sample) -> f64| {
            of_kind().map(|sample| Duration::from_secs_f64(ms(sample) / 1000.0)).collect::<Vec<_>>()
        };
        let (gaps, syncs) = (durations(|sample| sample.gap_ms), durations(|sample| sample.sync_ms));
        if gaps.is_empty() {
            continue;
        }
        let ms = |percent| percentile(&gaps, percent).map_or(0, |gap| gap.as_millis() as u64);
        let sync = percentile(&syncs, 100.0).map_or(0, |sync| sync.as_millis());
        let told: Vec<_> = targets.iter().map(|(percent, most)| format!("p{percent:.0} {most} ms")).collect();
        text += &format!(
            "{name:<16} {:>6} {:>8} {:>8} {:>8} {sync:>14}  {}\n",
            gaps.len(),
            ms(50.0),
            ms(99.0),
            ms(100.0),
            told.join(", ")
        );
        for (percent, most) in targets {
            if ms(*percent) > *most {
                misses.push(format!("{name}: p{percent:.0} is {} ms, more than {most} ms", ms(*percent)));
            }
        }
    }
    for sample in samples.iter().filter(|sample| !sample.story.is_empty()) {
        text += &format!("\n{}\n", title(sample));
        text.extend(sample.story.iter().map(|line| format!("  {line}\n")));
    }
    (text, misses)
}

/// A sample in a line.
pub fn title(sample: &Sample) -> String {
    let Sample { kind, seed, at_s, note, gap_ms, sync_ms, sync_p99_ms, .. } = sample;
    format!(
        "{at_s:8.2} s  {kind:<16} {note:<14} no write acknowledged for {gap_ms:.0} ms; syncs p99 {sync_p99_ms:.0} ms, \
         longest {sync_ms:.0} ms; seed {seed}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_the_order_of_the_measures() {
        for (number, (measure, ..)) in TABLE.iter().enumerate() {
            assert_eq!(*measure as usize, number, "{measure:?}");
        }
        assert_eq!((Measure::Kill.most_ms(), Measure::Restart.most_ms()), (1200, 200));
    }

    #[test]
    fn files_are_summed_up_and_compared_with_their_targets() {
        let path = |n: u32| std::env::temp_dir().join(format!("holdfast-chaos-samples-{}-{n}", std::process::id()));
        let files = [path(1), path(2), path(3)];
        // The first line is one of an earlier version.
        std::fs::write(&files[0], "{\"kind\":\"kill-leader\",\"gap_ms\":500.0,\"sync_ms\":7.0}\n").expect("written");
        let slow = Sample {
            kind: "kill-leader".into(),
            seed: 9,
            gap_ms: 1300.0,
            sync_ms: 8.0,
            story: vec!["nobody led".into()],
            ..Sample::default()
        };
        let quick = Sample { kind: "restart".into(), seed: 9, gap_ms: 20.0, ..Sample::default() };
        let lines = [&slow, &quick].map(|sample| serde_json::to_string(sample).expect("a line") + "\n");
        std::fs::write(&files[1], lines.concat()).expect("written");
        let samples = read(&files).expect("read");
        files[..2].iter().for_each(|file| std::fs::remove_file(file).expect("removed"));
        assert_eq!(counts(&samples), BTreeMap::from([("kill-leader", 2), ("restart", 1)]));
        let (text, misses) = summary(&samples);
        assert!(text.starts_with("3 samples of 2 runs\n"), "{text}");
        assert!(
            text.contains("kill-leader           2      500     1300     1300              8  p50 600 ms"),
            "{text}"
        );
        assert!(text.ends_with("longest 8 ms; seed 9\n  nobody led\n"), "{text}");
        assert_eq!(misses, ["kill-leader: p99 is 1300 ms, more than 1200 ms"]);
    }
}
