//! Attacks a cluster of real Holdfast processes and judges what its clients saw.
//!
//! Reading order: [`kinds`] is the table of faults; [`run`] is a run from beginning to end; [`stage`] sets up nodes
//! ([`cluster`]) of a server ([`subject`]), links ([`net`]), [`disk`]s and [`clock`]s; [`workload`] is what clients do, over
//! [`connection`] and [`resp`], written down by [`history`]; [`faults`] are played by [`schedule`] or, measured one by one, by
//! [`failover`]; [`availability`], [`patience`], [`judge`], [`samples`] and [`report`] say what came of it, [`svg`] draws it.
//! Another attack, not on the nodes but by clients, is [`hostile`]. All chance comes from [`dice`].

mod availability;
mod clock;
mod cluster;
mod connection;
mod dice;
mod disk;
mod failover;
mod faults;
mod history;
mod hostile;
mod judge;
mod kinds;
mod net;
mod patience;
mod report;
mod resp;
mod run;
mod samples;
mod schedule;
mod stage;
mod subject;
mod svg;
mod workload;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tokio::signal::unix::{SignalKind, signal};

use hostile::Attack;
use kinds::{Kind, TABLE};
use run::{Options, Score};

#[derive(Debug, Parser)]
#[command(name = "holdfast-chaos", version, about = "Attacks a cluster of real Holdfast processes.")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Play faults at random under load, then judge the history
    Run {
        /// For how long; longer if some kind had no effect by then
        #[arg(long, default_value_t = 60)]
        seconds: u64,
        /// Kinds or families of faults; all if left out
        #[arg(long, value_name = "LIST")]
        faults: Option<String>,
        /// How many faults at a time
        #[arg(long, default_value_t = 2)]
        lanes: usize,
        #[command(flatten)]
        options: Options,
    },
    /// Measure how long writes wait when the leader is killed, paused, cut off, and when nodes are told to end
    Failover {
        #[command(flatten)]
        rounds: failover::Rounds,
        /// Append samples to this file and sum up all that are in it: a measurement that was broken off goes on
        #[arg(long, value_name = "FILE")]
        samples: Option<PathBuf>,
        #[command(flatten)]
        options: Options,
    },
    /// Open very many connections that send no requests, and see that nobody notices
    Malformed {
        #[command(flatten)]
        attack: hostile::Malformed,
        #[command(flatten)]
        options: hostile::Options,
    },
    /// Bring idle, deaf and greedy clients, and see how long the others wait
    Crowd {
        #[command(flatten)]
        attack: hostile::Crowd,
        #[command(flatten)]
        options: hostile::Options,
    },
    /// Sum up files of `failover --samples`: the table, and the story of each fault that took too long
    Samples { files: Vec<PathBuf> },
    /// Draw the report of a run as SVG
    Draw { report: PathBuf },
    /// List the kinds of faults
    Kinds,
}

fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Kinds => {
            for (kind, _, _, what) in TABLE {
                println!("{kind:<16} {what}");
            }
            Ok(true)
        }
        Command::Draw { report } => draw(&report),
        Command::Samples { files } => sum_up(&files),
        Command::Run { seconds, faults, lanes, options } => {
            let kinds = match &faults {
                Some(list) => Kind::parse_list(list),
                None => Ok(Kind::all().collect()),
            };
            kinds.and_then(|kinds| {
                let score = Score::Mixed { kinds, seconds, lanes: lanes.max(1) };
                to_its_end(run::run(&options, score))
            })
        }
        Command::Failover { rounds, samples, options } => {
            let score = Score::Failover { rounds, samples };
            to_its_end(run::run(&options, score))
        }
        Command::Malformed { attack, options } => to_its_end(hostile::run(&options, Attack::Malformed(attack))),
        Command::Crowd { attack, options } => to_its_end(hostile::run(&options, Attack::Crowd(attack))),
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(why) => {
            eprintln!("holdfast-chaos: {why}");
            ExitCode::from(2)
        }
    }
}

fn sum_up(files: &[PathBuf]) -> Result<bool, String> {
    if let Some(missing) = files.iter().find(|file| !file.exists()) {
        return Err(format!("{}: there is no such file", missing.display()));
    }
    let (text, misses) = samples::summary(&samples::read(files)?);
    println!("{text}");
    misses.iter().for_each(|miss| println!("FAILED: {miss}"));
    Ok(misses.is_empty())
}

fn draw(path: &std::path::Path) -> Result<bool, String> {
    let failed = |why: &dyn std::fmt::Display| format!("{}: {why}", path.display());
    let text = std::fs::read_to_string(path).map_err(|why| failed(&why))?;
    let report = serde_json::from_str(&text).map_err(|why| failed(&why))?;
    print!("{}", svg::draw(&report)?);
    Ok(true)
}

/// Runs until the end, or until somebody interrupts: then too nodes, mounts and namespaces are cleaned up.
fn to_its_end(run: impl Future<Output = Result<bool, String>>) -> Result<bool, String> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(|why| why.to_string())?;
    runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate()).map_err(|why| why.to_string())?;
        tokio::select! {
            result = run => result,
            _ = tokio::signal::ctrl_c() => Err("interrupted".into()),
            _ = terminate.recv() => Err("interrupted".into()),
        }
    })
}
