//! Failover, measured: one fault at a time under load, from its moment to the end of the longest time in which no client
//! of a surviving node had a write acknowledged.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::Path;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use crate::availability::percentile;
use crate::dice::Dice;
use crate::disk::pace::Pace;
use crate::faults::{self, Context, Done, Lengths};
use crate::history::lock;
use crate::kinds::Kind;
use crate::run::Play;
use crate::samples::{self, Measure, Sample};
use crate::schedule::Fired;

/// How often what is done, counting what the file of samples has already.
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
    /// Leader cut off; healed, and within a second of that SIGKILL to the new leader, so often
    #[arg(long, default_value_t = 20)]
    kills_after_cuts: usize,
    /// SIGTERM to each node in turn, so many times around
    #[arg(long, default_value_t = 10)]
    restarts: usize,
    /// End this part of the measurement after so long; the next one with the same file of samples goes on
    #[arg(long)]
    seconds: Option<u64>,
}

/// A killed node is down, a paused or isolated one away, for between so long.
const AWAY: Lengths = Lengths { shortest: Duration::from_millis(1300), longest: Duration::from_millis(2000) };
/// Between two faults, once all is well again.
const CALM: (Duration, Duration) = (Duration::from_millis(200), Duration::from_millis(600));
/// Between the end of a partition and the kill that follows it.
const HEALED: (Duration, Duration) = (Duration::ZERO, Duration::from_secs(1));
/// What a fault leaves behind counts as its own for so long.
const AFTERMATH: Duration = Duration::from_millis(200);
/// A story tells what was so long before the fault.
const PROLOGUE_NS: u64 = 3_000_000_000;
/// A fault that found no leader is tried again so often: somebody leads soon, all are well.
const ATTEMPTS: usize = 5;
/// Lines of a node's log in a story.
const LOG_LINES_MAX: usize = 40;

impl Rounds {
    fn wanted(&self, nodes: usize) -> [(Measure, usize); 5] {
        [
            (Measure::Kill, self.kills),
            (Measure::Pause, self.pauses),
            (Measure::Cut, self.cuts),
            (Measure::KillAfterCut, self.kills_after_cuts),
            (Measure::Restart, self.restarts * nodes),
        ]
    }

    /// What is still to do, in a random order; restarts go from node to node and come last.
    fn plan(&self, nodes: &[usize], done: &[Sample], dice: &mut Dice) -> Vec<(Measure, Option<usize>)> {
        let counts = samples::counts(done);
        let mut plan = Vec::new();
        let mut restarts = Vec::new();
        for (measure, wanted) in self.wanted(nodes.len()) {
            let done = counts.get(measure.name()).copied().unwrap_or(0);
            match measure {
                Measure::Restart => restarts.extend((done..wanted).map(|n| (measure, Some(nodes[n % nodes.len()])))),
                _ => plan.extend((done..wanted).map(|_| (measure, None))),
            }
        }
        dice.shuffle(&mut plan);
        plan.extend(restarts);
        plan
    }

    /// What was asked for and is not among the samples.
    fn shortfall(&self, nodes: usize, done: &[Sample]) -> Vec<String> {
        let counts = samples::counts(done);
        let short = |(measure, wanted): (Measure, usize)| {
            let done = counts.get(measure.name()).copied().unwrap_or(0);
            (done < wanted).then(|| format!("{wanted} of {} were asked for, {done} were measured", measure.name()))
        };
        self.wanted(nodes).into_iter().filter_map(short).collect()
    }
}

/// The kinds that are needed.
pub fn kinds(rounds: &Rounds) -> Vec<Kind> {
    let wanted = rounds.wanted(1).into_iter().filter(|(_, count)| *count > 0);
    let kinds: BTreeSet<Kind> = wanted.flat_map(|(measure, _)| measure.kinds().iter().copied()).collect();
    kinds.into_iter().collect()
}

/// Plays what the file of samples does not have yet, and appends to it; an error if something is missing in the end that the
/// time was not too short for. What was played is in `fired`, also after an error.
pub async fn play(
    rounds: &Rounds,
    play: &Play<'_>,
    file: &Path,
    fired: &Mutex<Vec<Fired>>,
    dice: &mut Dice,
) -> Result<(), String> {
    let nodes = play.stage.cluster.ids();
    let plan = rounds.plan(&nodes, &samples::read(&[file])?, dice);
    let failed = |why: std::io::Error| format!("{}: {why}", file.display());
    let mut out = OpenOptions::new().create(true).append(true).open(file).map_err(failed)?;
    let pace = Pace::watch(&play.stage.work).map_err(|why| format!("{}: {why}", play.stage.work.display()))?;
    let (begun, count) = (Instant::now(), plan.len());
    for (number, (measure, aim)) in plan.into_iter().enumerate() {
        if rounds.seconds.is_some_and(|seconds| begun.elapsed() >= Duration::from_secs(seconds)) {
            println!("the time of this part is over; {} are left", count - number);
            return Ok(());
        }
        let mut attempts = 0;
        let (started, logs, done) = loop {
            play.recovered().await?;
            tokio::time::sleep(dice.duration(CALM.0, CALM.1)).await;
            let (started, logs) = (Instant::now(), log_lengths(play));
            if let Some(done) = one(measure, aim, play, fired, dice).await? {
                break (started, logs, done);
            }
            attempts += 1;
            if attempts == ATTEMPTS {
                return Err(format!("{}: {ATTEMPTS} times in a row nobody led", measure.name()));
            }
        };
        tokio::time::sleep(AFTERMATH).await;
        let syncs = pace.since(started);
        let ms = |duration: Option<Duration>| duration.unwrap_or_default().as_secs_f64() * 1000.0;
        let survivors: BTreeSet<usize> = nodes.iter().copied().filter(|node| !done.victims.contains(node)).collect();
        let to = done.to + AFTERMATH.as_nanos() as u64;
        let gap = play.world.availability.longest_gap(done.from, to, &survivors);
        let mut sample = Sample {
            kind: measure.name().to_owned(),
            seed: play.seed,
            at_s: done.from as f64 / 1e9,
            note: done.note.clone(),
            gap_ms: ms(Some(gap.length())),
            sync_ms: ms(percentile(&syncs, 100.0)),
            sync_p99_ms: ms(percentile(&syncs, 99.0)),
            story: Vec::new(),
        };
        println!("{}", samples::title(&sample));
        if sample.gap_ms > measure.most_ms() as f64 {
            let last = |at: u64| (at as f64 - done.from as f64) / 1e6;
            sample.story.push(format!(
                "no write was acknowledged from {:.0} ms to {:.0} ms after the fault began",
                last(gap.from),
                last(gap.to)
            ));
            sample.story.extend(story(play, &done, &logs));
            sample.story.iter().for_each(|line| println!("            {line}"));
        }
        let line = serde_json::to_string(&sample).map_err(|why| why.to_string())?;
        writeln!(out, "{line}").map_err(failed)?;
        if let Some(incident) = play.stage.incidents.all().first() {
            return Err(incident.clone());
        }
    }
    let shortfall = rounds.shortfall(nodes.len(), &samples::read(&[file])?);
    if shortfall.is_empty() { Ok(()) } else { Err(shortfall.join("; ")) }
}

/// One fault, or the pair of which the second counts. `None` when nobody led.
async fn one(
    measure: Measure,
    aim: Option<usize>,
    play: &Play<'_>,
    fired: &Mutex<Vec<Fired>>,
    dice: &mut Dice,
) -> Result<Option<Done>, String> {
    let mut last = None;
    for (number, kind) in measure.kinds().iter().enumerate() {
        if number > 0 {
            tokio::time::sleep(dice.duration(HEALED.0, HEALED.1)).await;
        }
        let history = &play.world.history;
        let mut context = Context { stage: play.stage, history, lengths: AWAY, aim, dice: dice.fork() };
        // Nothing else is played, so nothing is taken; there may be no leader for a moment.
        let Some(mut done) = faults::play(*kind, &mut context).await? else { return Ok(None) };
        let healed = last.as_ref().map(|before: &Done| (done.from - before.to) / 1_000_000);
        lock(fired).push(Fired { kind: *kind, done: done.clone() });
        if let Some(ms) = healed {
            done.note = format!("{} {ms} ms after the cut", done.note);
        }
        last = Some(done);
    }
    Ok(last)
}

/// Where each node's log ends now.
fn log_lengths(play: &Play<'_>) -> BTreeMap<usize, u64> {
    play.stage.cluster.nodes.iter().filter_map(|node| Some((node.id, node.process()?.log_length()))).collect()
}

/// What nodes and clients said around a fault: who led when, errors, and the nodes' logs since it began.
fn story(play: &Play<'_>, done: &Done, logs: &BTreeMap<usize, u64>) -> Vec<String> {
    let mut lines = Vec::new();
    let from = done.from.saturating_sub(PROLOGUE_NS);
    let since = |at: u64| (at as f64 - done.from as f64) / 1e6;
    let text = std::fs::read_to_string(play.stage.work.join(crate::run::LEADERS)).unwrap_or_default();
    for line in text.lines() {
        let Ok(told) = serde_json::from_str::<serde_json::Value>(line) else { continue };
        let at = told["at"].as_u64().unwrap_or(0);
        if at >= from {
            let (node, group) = (&told["node"], &told["group"]);
            lines.push(format!(
                "{:7.0} ms  node {node} says: term {}, leader {}",
                since(at),
                group["term"],
                group["leader"]
            ));
        }
    }
    let mut errors: BTreeMap<(usize, String), (u64, f64, f64)> = BTreeMap::new();
    for error in play.world.availability.errors().into_iter().filter(|error| error.at >= done.from) {
        let at = since(error.at);
        let entry = errors.entry((error.node, error.what.to_string())).or_insert((0, at, at));
        entry.0 += 1;
        entry.2 = at;
    }
    for ((node, text), (count, first, last)) in errors {
        lines.push(format!("{first:7.0} ms  to {last:.0} ms: {count} clients of node {node} saw: {text}"));
    }
    for node in &play.stage.cluster.nodes {
        let Some((process, length)) = node.process().zip(logs.get(&node.id)) else { continue };
        lines.extend(
            process.log_since(*length).into_iter().take(LOG_LINES_MAX).map(|l| format!("log of node {}: {l}", node.id)),
        );
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_is_what_the_samples_do_not_have_yet() {
        let rounds = Rounds { kills: 3, pauses: 1, cuts: 0, kills_after_cuts: 2, restarts: 2, seconds: None };
        let sample = |measure: Measure| Sample { kind: measure.name().into(), ..Sample::default() };
        let done = [Measure::Kill, Measure::Pause, Measure::Pause, Measure::Restart].map(sample);
        let mut plan = rounds.plan(&[1, 2, 3], &done, &mut Dice::new(5));
        let restarts = plan.split_off(4);
        assert_eq!(restarts.iter().map(|(_, node)| node.unwrap_or(0)).collect::<Vec<_>>(), [2, 3, 1, 2, 3]);
        let count = |measure| plan.iter().filter(|(planned, _)| *planned == measure).count();
        assert_eq!([Measure::Kill, Measure::Pause, Measure::Cut, Measure::KillAfterCut].map(count), [2, 0, 0, 2]);
        let shortfall = rounds.shortfall(3, &done);
        assert_eq!(shortfall.len(), 3, "{shortfall:?}");
        assert_eq!(shortfall[0], "3 of kill-leader were asked for, 1 were measured");
        let enough = [Measure::Kill, Measure::KillAfterCut, Measure::Restart].iter().flat_map(|m| vec![sample(*m); 6]);
        assert_eq!(rounds.shortfall(3, &enough.chain(done).collect::<Vec<_>>()), [""; 0]);
        assert_eq!(kinds(&rounds), [Kind::KillLeader, Kind::Restart, Kind::PauseLeader, Kind::IsolateLeader]);
    }
}
