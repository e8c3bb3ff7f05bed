//! Clients that mean harm, or mean well and are too many: what a live cluster must bear from outside, while no node is
//! touched.
//!
//! [`malformed`] sends what is not the protocol ([`junk`] makes it up); [`crowd`] comes with idle, greedy and deaf clients.
//! Meanwhile [`witness`]es work as clients do and check every reply, and a [`watch`] looks at the nodes' processes. Each
//! attack says what it expects; what does not hold fails the run with a sentence.

mod crowd;
mod junk;
mod malformed;
mod watch;
mod witness;

use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};

use crate::dice::Dice;
use crate::stage::{self, Plan, Stage, Wiring};
use watch::Watch;
use witness::Witnesses;

pub use crowd::Crowd;
pub use malformed::Malformed;

/// What every attack is told.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// Repeats what is sent; drawn and printed if left out
    #[arg(long)]
    seed: Option<u64>,
    /// The server to attack
    #[arg(long, default_value = "target/release/holdfast")]
    holdfast: PathBuf,
    /// How the nodes are connected
    #[arg(long, value_enum, default_value = "auto")]
    wiring: Wiring,
    /// By how much a node's resident memory may grow, in MiB [default: 128 under malformed connections; 512 in a crowd,
    /// which writes: log and state keep up to 192 MiB of that in memory]
    #[arg(long)]
    memory_mib: Option<u64>,
    /// How many of a hundred commands of well-behaved clients may be refused or left in doubt
    #[arg(long, default_value_t = 1.0)]
    errors_percent: f64,
    /// Where logs and data go; a new directory below the temporary one if left out
    #[arg(long)]
    work: Option<PathBuf>,
    /// Keep that directory also when all went well
    #[arg(long)]
    keep: bool,
    /// Write the report as JSON as well
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
}

/// What is done to the cluster.
pub enum Attack {
    Malformed(Malformed),
    Crowd(Crowd),
}

impl Attack {
    fn memory_mib_max(&self) -> u64 {
        match self {
            Attack::Malformed(_) => 128,
            Attack::Crowd(_) => 512,
        }
    }
}

/// What an attack works with.
struct Site<'a> {
    stage: &'a Stage,
    witnesses: &'a Witnesses,
    seed: u64,
}

/// What an attack found.
#[derive(Default)]
struct Findings {
    /// For people, after the run.
    text: String,
    /// For programs.
    json: Value,
    /// What must not be: each fails the run.
    failures: Vec<String>,
}

const NODES: usize = 3;
/// Witnesses work alone for so long before and after, so that memory before is that of a node at work.
const QUIET: Duration = Duration::from_secs(2);

/// Runs an attack; true when all that is expected held.
pub async fn run(options: &Options, attack: Attack) -> Result<bool, String> {
    let seed = options.seed.unwrap_or_else(crate::run::drawn_seed);
    println!("seed {seed}");
    raise_file_limit()?;
    let work = stage::work_directory(options.work.as_deref());
    let plan = Plan {
        binary: options.holdfast.canonicalize().map_err(|why| format!("{}: {why}", options.holdfast.display()))?,
        work: work.clone(),
        nodes: NODES,
        wiring: options.wiring,
        kinds: Vec::new(),
        random_settings: false,
    };
    std::fs::create_dir_all(&work).map_err(|why| format!("{}: {why}", work.display()))?;
    let stage = Stage::build(&plan, &mut Dice::new(seed)).await?;
    println!("{}\nserver: {}", stage.describe(), stage.subject);
    let subject = stage.subject.clone();
    let witnesses = Witnesses::start(&stage.cluster)?;
    tokio::time::sleep(QUIET).await;
    let watch = Watch::start(&stage.cluster);
    let site = Site { stage: &stage, witnesses: &witnesses, seed };
    let mut findings = match &attack {
        Attack::Malformed(attack) => attack.play(&site).await?,
        Attack::Crowd(attack) => attack.play(&site).await?,
    };
    tokio::time::sleep(QUIET).await;
    let (told, memory, grown) = watch.end(options.memory_mib.unwrap_or(attack.memory_mib_max())).await;
    findings.failures.extend(grown);
    let testimony = witnesses.end(&stage.cluster).await?;
    findings.failures.extend(testimony.wrong);
    let errors: u64 = testimony.errors.values().sum();
    if errors as f64 > testimony.replies as f64 * options.errors_percent / 100.0 {
        let percent = options.errors_percent;
        findings
            .failures
            .push(format!("{errors} of {} replies to others were errors, more than {percent} %", testimony.replies));
    }
    findings.failures.extend(stage.incidents.all());
    for node in &stage.cluster.nodes {
        findings.failures.extend(node.defects().await?);
    }
    stage.cluster.end().await;
    drop(stage);
    println!("\n{}{told}{} replies to others were checked, {errors} of them errors", findings.text, testimony.replies);
    testimony.errors.iter().for_each(|(text, count)| println!("{count:>8}  {text}"));
    if let Some(path) = &options.report {
        let report = json!({
            "seed": seed, "server": subject, "found": findings.json, "memory": memory,
            "checked_replies": testimony.replies, "errors": testimony.errors, "failures": findings.failures,
        });
        let text = serde_json::to_string_pretty(&report).map_err(|why| why.to_string())?;
        std::fs::write(path, text + "\n").map_err(|why| format!("{}: {why}", path.display()))?;
    }
    for failure in &findings.failures {
        println!("FAILED: {failure}");
    }
    let well = findings.failures.is_empty();
    if well && !options.keep && options.work.is_none() {
        std::fs::remove_dir_all(&work).map_err(|why| format!("{}: {why}", work.display()))?;
    } else {
        println!("logs and data are in {}", work.display());
    }
    Ok(well)
}

/// Thousands of connections need as many descriptors, here and in the nodes, which inherit the hard limit.
fn raise_file_limit() -> Result<(), String> {
    const WANTED: u64 = 1 << 16;
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: both calls read or write just the struct they are given.
    unsafe {
        if libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) != 0 {
            return Err(format!("the limit of open files: {}", std::io::Error::last_os_error()));
        }
        // Who may not raise the hard limit gets what it allows.
        let all = libc::rlimit { rlim_cur: WANTED, rlim_max: limit.rlim_max.max(WANTED) };
        limit.rlim_cur = WANTED.min(limit.rlim_max);
        if libc::setrlimit(libc::RLIMIT_NOFILE, &all) != 0 && libc::setrlimit(libc::RLIMIT_NOFILE, &limit) != 0 {
            return Err(format!("the limit of open files: {}", std::io::Error::last_os_error()));
        }
    }
    Ok(())
}
