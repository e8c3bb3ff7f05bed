//! Failover, measured: one fault at a time under load, from its moment to the end of the longest time in which no client
//! of a surviving node had a write acknowledged.

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::availability::percentile;
use crate::dice::Dice;
use crate::disk::pace::Pace;
use crate::faults::{self, Context, Lengths};
use crate::history::lock;
use crate::kinds::Kind;
use crate::run::Play;
use crate::schedule::Fired;

/// How often what is done.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct Rounds {
    /// SIGKILL to the leader, so often
    #[arg(long, default_value_t = 200)]
    kills: usize,
    /// SIGSTOP to the leader, so often
    #[arg(long, default_value_t = 50)]
    pauses: usize,
    /// Leader cut off from the others, so often
    #[arg(long, default_value_t = 50)]
    cuts: usize,
    /// SIGTERM to each node in turn, so many times around
    #[arg(long, default_value_t = 10)]
    restarts: usize,
}

/// One measured fault.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Sample {
    kind: String,
    /// The longest time without an acknowledged write.
    gap_ms: f64,
    /// The longest sync of a file of the runner on the same disk meanwhile.
    sync_ms: f64,
}

/// What is demanded: percentile and most milliseconds.
const TARGETS: [(Kind, &[(f64, u64)]); 4] = [
    (Kind::KillLeader, &[(50.0, 600), (99.0, 1200)]),
    (Kind::PauseLeader, &[(99.0, 1500)]),
    (Kind::IsolateLeader, &[(99.0, 1500)]),
    (Kind::Restart, &[(99.0, 200)]),
];
/// A killed node is down, a paused or isolated one away, for between so long.
const AWAY: Lengths = Lengths { shortest: Duration::from_millis(1300), longest: Duration::from_millis(2000) };
/// Between two faults, once all is well again.
const CALM: (Duration, Duration) = (Duration::from_millis(200), Duration::from_millis(600));
/// What a fault leaves behind counts as its own for so long.
const AFTERMATH: Duration = Duration::from_millis(200);

/// The kinds that are needed.
pub fn kinds(rounds: &Rounds) -> Vec<Kind> {
    let Rounds { kills, pauses, cuts, restarts } = *rounds;
    let counts = [kills, pauses, cuts, restarts];
    TARGETS.iter().zip(counts).filter(|(_, count)| *count > 0).map(|((kind, _), _)| *kind).collect()
}

/// Plays all rounds in a random order; samples are appended to `samples`. What was played is in `fired`, also after an
/// error.
pub async fn play(
    rounds: &Rounds,
    play: &Play<'_>,
    samples: &Path,
    fired: &Mutex<Vec<Fired>>,
    dice: &mut Dice,
) -> Result<(), String> {
    let nodes = play.stage.cluster.ids();
    let mut plan = Vec::new();
    plan.extend(std::iter::repeat_n((Kind::KillLeader, None), rounds.kills));
    plan.extend(std::iter::repeat_n((Kind::PauseLeader, None), rounds.pauses));
    plan.extend(std::iter::repeat_n((Kind::IsolateLeader, None), rounds.cuts));
    dice.shuffle(&mut plan);
    plan.extend((0..rounds.restarts).flat_map(|_| nodes.iter().map(|node| (Kind::Restart, Some(*node)))));
    let failed = |why: std::io::Error| format!("{}: {why}", samples.display());
    let mut file = OpenOptions::new().create(true).append(true).open(samples).map_err(failed)?;
    let pace = Pace::watch(&play.stage.work).map_err(|why| format!("{}: {why}", play.stage.work.display()))?;
    for (kind, aim) in plan {
        play.recovered().await?;
        tokio::time::sleep(dice.duration(CALM.0, CALM.1)).await;
        let history = &play.world.history;
        let mut context = Context { stage: play.stage, history, lengths: AWAY, aim, dice: dice.fork() };
        let begun = Instant::now();
        // Nothing else is played, so nothing is taken; there may be no leader for a moment.
        let Some(done) = faults::play(kind, &mut context).await? else { continue };
        tokio::time::sleep(AFTERMATH).await;
        let survivors: BTreeSet<usize> = nodes.iter().copied().filter(|node| !done.victims.contains(node)).collect();
        let to = done.to + AFTERMATH.as_nanos() as u64;
        let gap_ms = play.world.availability.longest_gap(done.from, to, &survivors).as_secs_f64() * 1000.0;
        let sync_ms = pace.longest_since(begun).as_secs_f64() * 1000.0;
        println!(
            "{:8.2} s  {kind:<16} {:<12} no write acknowledged for {gap_ms:.0} ms, longest sync {sync_ms:.0} ms",
            done.from as f64 / 1e9,
            done.note
        );
        let line = serde_json::to_string(&Sample { kind: kind.name().to_owned(), gap_ms, sync_ms });
        writeln!(file, "{}", line.map_err(|why| why.to_string())?).map_err(failed)?;
        lock(fired).push(Fired { kind, done });
        if let Some(incident) = play.stage.incidents.all().first() {
            return Err(incident.clone());
        }
    }
    Ok(())
}

/// The table over all samples of a file, and what of it misses its target.
pub fn summary(samples: &Path) -> Result<(String, Vec<String>), String> {
    let failed = |why: &dyn std::fmt::Display| format!("{}: {why}", samples.display());
    let mut all: Vec<Sample> = Vec::new();
    for line in BufReader::new(File::open(samples).map_err(|why| failed(&why))?).lines() {
        let line = line.map_err(|why| failed(&why))?;
        all.push(serde_json::from_str(&line).map_err(|why| failed(&why))?);
    }
    let (mut text, mut misses) =
        (format!("{:<16} {:>6} {:>8} {:>8} {:>8}\n", "fault", "times", "p50 ms", "p99 ms", "max ms"), vec![]);
    for (kind, targets) in TARGETS {
        let of_kind = || all.iter().filter(|sample| sample.kind == kind.name());
        let durations = |ms: fn(&Sample) -> f64| {
            of_kind().map(|sample| Duration::from_secs_f64(ms(sample) / 1000.0)).collect::<Vec<_>>()
        };
        let (gaps, syncs) = (durations(|sample| sample.gap_ms), durations(|sample| sample.sync_ms));
        if gaps.is_empty() {
            continue;
        }
        let ms = |percent| percentile(&gaps, percent).map_or(0, |gap| gap.as_millis() as u64);
        let sync = percentile(&syncs, 99.0).map_or(0, |sync| sync.as_millis());
        text += &format!("{kind:<16} {:>6} {:>8} {:>8} {:>8} {sync:>14}\n", gaps.len(), ms(50.0), ms(99.0), ms(100.0));
        for (percent, most) in targets {
            if ms(*percent) > *most {
                misses.push(format!("{kind}: p{percent:.0} is {} ms, more than {most} ms", ms(*percent)));
            }
        }
    }
    Ok((text, misses))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_summed_up_and_compared_with_their_targets() {
        let path = std::env::temp_dir().join(format!("holdfast-chaos-samples-{}", std::process::id()));
        let line = |kind: &str, gap: u64| format!("{{\"kind\":\"{kind}\",\"gap_ms\":{gap}.0,\"sync_ms\":7.0}}\n");
        let text = line("kill-leader", 500) + &line("kill-leader", 1300) + &line("restart", 20);
        std::fs::write(&path, text).expect("written");
        let (table, misses) = summary(&path).expect("read");
        std::fs::remove_file(&path).expect("removed");
        assert!(table.contains("kill-leader           2      500     1300     1300              7"), "{table}");
        assert_eq!(misses, ["kill-leader: p99 is 1300 ms, more than 1200 ms"]);
    }
}
