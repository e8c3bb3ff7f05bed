//! A run from beginning to end: stage, load, faults, calm, last reads, judgement, report.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::availability::Availability;
use crate::clock;
use crate::dice::Dice;
use crate::failover::{self, Rounds};
use crate::faults;
use crate::history::History;
use crate::judge::{Verdict, judge};
use crate::kinds::Kind;
use crate::patience::Patience;
use crate::report::{Allowed, Report};
use crate::samples;
use crate::schedule::{self, Fired};
use crate::stage::{self, Plan, Stage, Wiring};
use crate::workload::{self, Lasting, Load, World};

/// What every run is told.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// Repeats the plan of a run; drawn and printed if left out
    #[arg(long)]
    seed: Option<u64>,
    /// The server to attack
    #[arg(long, default_value = "target/release/holdfast")]
    holdfast: PathBuf,
    /// How the nodes are connected
    #[arg(long, value_enum, default_value = "auto")]
    wiring: Wiring,
    /// Number of nodes
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(3..=9))]
    nodes: u64,
    /// Operations per second of all clients, probes aside
    #[arg(long, default_value_t = 600)]
    rate: u64,
    /// Where logs, data and the history go; a new directory below the temporary one if left out
    #[arg(long)]
    work: Option<PathBuf>,
    /// Keep that directory also when all went well
    #[arg(long)]
    keep: bool,
    /// Write the report as JSON as well
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// Any error at a client of a node that no fault had hit is a violation
    #[arg(long)]
    strict: bool,
    /// Kinds of faults that this machine or wiring cannot do do not fail the run
    #[arg(long)]
    allow_missing: bool,
    /// Kinds of faults that fired without an effect do not fail the run: for short ones
    #[arg(long)]
    allow_no_effect: bool,
    /// Settings of the nodes as they are by default, instead of drawn from the seed
    #[arg(long)]
    default_settings: bool,
}

/// Which faults are played.
pub enum Score {
    /// Mixed, for so many seconds, in so many lanes.
    Mixed { kinds: Vec<Kind>, seconds: u64, lanes: usize },
    /// Measured one by one.
    Failover { rounds: Rounds, samples: Option<PathBuf> },
}

/// What is needed while faults are played.
pub struct Play<'a> {
    pub seed: u64,
    pub stage: &'a Stage,
    pub world: &'a Arc<World>,
}

/// In the work directory: who led when, as the nodes said.
pub const LEADERS: &str = "leaders.jsonl";
/// How long it may take after the last fault until every node acknowledges writes.
const RECOVERY_TIMEOUT: Duration = Duration::from_secs(30);
/// Writes through each node that prove that it serves.
const PROGRESS: usize = 5;

impl Play<'_> {
    /// Until all nodes are ready and acknowledge writes.
    pub async fn recovered(&self) -> Result<(), String> {
        self.stage.cluster.wait_all_ready().await?;
        let deadline = Instant::now() + RECOVERY_TIMEOUT;
        for node in self.stage.cluster.ids() {
            let before = self.world.availability.count(node);
            while self.world.availability.count(node) < before + PROGRESS {
                if Instant::now() > deadline {
                    return Err(format!(
                        "everything is healed, but node {node} acknowledges nothing for {RECOVERY_TIMEOUT:?}"
                    ));
                }
                sleep(Duration::from_millis(20)).await;
            }
        }
        Ok(())
    }
}

/// Runs; true when nothing was wrong.
pub async fn run(options: &Options, score: Score) -> Result<bool, String> {
    let seed = options.seed.unwrap_or_else(drawn_seed);
    println!("seed {seed}");
    let mut dice = Dice::new(seed);
    let wanted = match &score {
        Score::Mixed { kinds, .. } => kinds.clone(),
        Score::Failover { rounds, .. } => failover::kinds(rounds),
    };
    let work = stage::work_directory(options.work.as_deref());
    let plan = Plan {
        binary: options.holdfast.canonicalize().map_err(|why| format!("{}: {why}", options.holdfast.display()))?,
        work: work.clone(),
        nodes: options.nodes as usize,
        wiring: options.wiring,
        kinds: wanted.clone(),
        random_settings: !options.default_settings,
    };
    std::fs::create_dir_all(&work).map_err(|why| format!("{}: {why}", work.display()))?;
    let stage = Stage::build(&plan, &mut dice).await?;
    println!("{}", stage.describe());
    let unavailable = faults::unavailable(&wanted, &stage);
    for (kind, why) in &unavailable {
        println!("not available here: {kind}, because {why}");
    }
    let kinds: Vec<Kind> =
        wanted.into_iter().filter(|kind| !unavailable.iter().any(|(missing, _)| missing == kind)).collect();
    if kinds.is_empty() {
        return Err("none of the faults is available here".into());
    }
    println!("server: {}", stage.subject);
    let ids = stage.cluster.ids();
    let slack = clock::slack(stage.clocks.as_ref().map(|clocks| clocks.offset_max));
    let history =
        History::create(&work.join("history.jsonl"), slack.as_nanos() as u64).map_err(|why| why.to_string())?;
    let planned_end = match &score {
        Score::Mixed { seconds, .. } => Some(Duration::from_secs(*seconds)),
        Score::Failover { .. } => None,
    };
    let world = Arc::new(World {
        history,
        availability: Availability::default(),
        patience: Patience::default(),
        lasting: Lasting::new(slack, planned_end),
        network: stage.network.clone(),
        incidents: stage.incidents.clone(),
        rate: options.rate,
        clients: workload::clients(ids.len()),
    });
    let begun = Instant::now();
    let load = Load::start(&world, &ids, &mut dice);
    let play = Play { seed, stage: &stage, world: &world };
    let samples = match &score {
        Score::Failover { samples, .. } => samples.clone().unwrap_or_else(|| work.join("samples.jsonl")),
        Score::Mixed { .. } => PathBuf::new(),
    };
    let fired = Mutex::default();
    let observed = work.join(LEADERS);
    let played = tokio::select! {
        played = perform(&score, &play, &kinds, &samples, load, &fired, &mut dice) => played,
        Err(why) = stage.cluster.observe(&world.history, &observed) => Err(why),
        never = world.patience.watch_runner(&world.history) => match never {},
    };
    let (lasting, reached_its_end) = (world.lasting.reads(), played.is_ok());
    let mut violations = stage.incidents.all();
    if let Err(why) = played
        && !violations.contains(&why)
    {
        violations.push(why);
    }
    let fired = fired.into_inner().unwrap_or_else(PoisonError::into_inner);
    world.history.flush().map_err(|why| why.to_string())?;
    for node in &stage.cluster.nodes {
        violations.extend(node.defects().await?);
    }
    let errors = world.availability.errors();
    let (error_kinds, unexpected) = Report::errors(&errors);
    violations.extend(unexpected);
    if options.strict || matches!(score, Score::Failover { .. }) {
        violations.extend(Report::at_survivors(&errors, &fired));
    }
    let (longest_wait, late) = world.patience.judge(&fired);
    violations.extend(late);
    if reached_its_end && (lasting.before == 0 || lasting.after == 0) {
        violations.push(format!("deadlines were not judged: {lasting:?}"));
    }
    let seconds = begun.elapsed().as_secs_f64();
    let description = stage.describe();
    let (settings, subject) = (stage.settings.clone(), stage.subject.clone());
    stage.cluster.end().await;
    drop(stage);
    let verdict = match judge(&plan.binary, world.history.path()).await? {
        Verdict::Valid(said) => said,
        Verdict::Violation(said) => {
            violations.push(format!("the history is impossible:\n{said}"));
            "violation".to_owned()
        }
        Verdict::Undecided(said) => {
            violations.push(said.clone());
            said
        }
    };
    // A part of a measurement need not play every kind.
    let counted: Vec<Kind> = match score {
        Score::Mixed { .. } => kinds,
        Score::Failover { .. } => kinds.into_iter().filter(|kind| fired.iter().any(|f| f.kind == *kind)).collect(),
    };
    let report = Report {
        seed,
        subject,
        stage: description,
        settings,
        seconds,
        totals: world.history.totals(),
        kinds: Report::rows(&counted, &fired, &world.availability, &ids),
        unavailable,
        errors: error_kinds,
        longest_wait,
        lasting,
        violations,
        verdict,
    };
    println!("\n{}", report.text());
    let allowed = Allowed { missing: options.allow_missing, no_effect: options.allow_no_effect };
    let mut failures = report.failures(allowed);
    if matches!(score, Score::Failover { .. }) {
        let (table, misses) = samples::summary(&samples::read(&[&samples])?);
        println!("{table}");
        failures.extend(misses);
    }
    if let Some(path) = &options.report {
        write_report(&report, path)?;
    }
    for failure in &failures {
        println!("FAILED: {failure}");
    }
    let well = failures.is_empty();
    if well && !options.keep && options.work.is_none() {
        std::fs::remove_dir_all(&work).map_err(|why| format!("{}: {why}", work.display()))?;
    } else {
        println!("logs, data and history are in {}", work.display());
    }
    if !well {
        println!("seed {seed} repeats the plan: --seed {seed}");
    }
    Ok(well)
}

/// Plays the faults, lets everything recover and the load finish.
async fn perform(
    score: &Score,
    play: &Play<'_>,
    kinds: &[Kind],
    samples: &Path,
    load: Load,
    fired: &Mutex<Vec<Fired>>,
    dice: &mut Dice,
) -> Result<(), String> {
    play.recovered().await?;
    match score {
        Score::Mixed { seconds, lanes, .. } => {
            schedule::play(play.stage, &play.world.history, kinds, *seconds, *lanes, fired, dice).await?;
        }
        Score::Failover { rounds, .. } => failover::play(rounds, play, samples, fired, dice).await?,
    }
    play.recovered().await?;
    load.finish(&play.stage.cluster.ids(), dice).await
}

fn write_report(report: &Report, path: &Path) -> Result<(), String> {
    let text = serde_json::to_string_pretty(&report.json()).map_err(|why| why.to_string())?;
    std::fs::write(path, text + "\n").map_err(|why| format!("{}: {why}", path.display()))
}

pub fn drawn_seed() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    (now.as_nanos() as u64) % 1_000_000_000
}
