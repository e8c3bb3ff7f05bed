//! `holdfast bench`: puts load on any RESP server, or on etcd, and tells how much it takes and how long answers wait.
//! `scripts/bench` starts the servers, compares them and writes docs/benchmarks.md.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};

use crate::bench::bars::Bars;
use crate::bench::command::{Mix, Template};
use crate::bench::keys::Distribution;
use crate::bench::plot::Chart;
use crate::bench::report::Report;
use crate::bench::{self, Amount, Options, etcd, idle};

/// Flags of `bench`.
#[derive(Clone, Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "Commands with a name: ping, set, get, incr, mset (10 keys), hset, lpush, rpop, sadd, zadd, lrange_100, xadd.\n\
                  Any other goes behind --, with __rand_int__ for the number of a key and __data__ for the value:\n  \
                  holdfast bench --clients 10 -- HSET cart:__rand_int__ item __data__"
)]
pub struct Flags {
    #[command(subcommand)]
    other: Option<Other>,
    #[command(flatten)]
    load: Load,
}

/// What else there is to do.
#[derive(Clone, Debug, Subcommand)]
enum Other {
    /// Put the load on etcd: --commands set or get, always a closed loop without pipelining.
    Etcd(Load),
    /// Open connections that ask nothing, hold them until the standard input ends, then see that they still answer.
    Idle(Idle),
    /// Draw curves from lines of NAME<TAB>X<TAB>Y on the standard input as SVG, and print where they bend.
    Plot(Plot),
    /// Draw stacked bars from lines of BAR<TAB>PART<TAB>SIZE on the standard input as SVG.
    Bars(Stacked),
}

/// The load.
#[derive(Clone, Debug, Args)]
struct Load {
    /// Where servers listen, separated by commas; clients take them in turn
    #[arg(long, value_name = "HOST:PORT", value_delimiter = ',', default_value = "127.0.0.1:6379")]
    address: Vec<String>,
    /// Password of the user `default`
    #[arg(long, value_name = "PASSWORD")]
    password: Option<String>,
    /// What to ask, and how often each: get=90,set=10
    #[arg(long, value_name = "MIX", default_value = "set")]
    commands: String,
    /// Bytes of a value
    #[arg(long, value_name = "BYTES", default_value_t = 100)]
    value_size: usize,
    /// How many keys there are
    #[arg(long, value_name = "N", default_value_t = 100_000)]
    keys: u64,
    /// How keys are chosen
    #[arg(long, value_name = "HOW", value_enum, default_value_t = Chosen::Uniform)]
    distribution: Chosen,
    /// Connections
    #[arg(long, value_name = "N", default_value_t = 50)]
    clients: usize,
    /// Threads that drive them
    #[arg(long, value_name = "N", default_value_t = 1)]
    threads: usize,
    /// Requests that a client sends at once
    #[arg(long, value_name = "N", default_value_t = 1)]
    pipeline: usize,
    /// How many requests [default: as many as --seconds has room for]
    #[arg(long, value_name = "N", conflicts_with = "seconds")]
    requests: Option<u64>,
    /// For how long
    #[arg(long, value_name = "SECONDS", default_value_t = 10.0)]
    seconds: f64,
    /// Ask for so long before that, which does not count
    #[arg(long, value_name = "SECONDS", default_value_t = 0.0)]
    warm_up: f64,
    /// Begin so many requests per second whatever becomes of earlier ones; times count from when a request was due
    #[arg(long, value_name = "PER_SECOND")]
    rate: Option<f64>,
    /// Equal seeds ask for the same keys
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// One line of JSON
    #[arg(long)]
    json: bool,
    /// A command of one's own
    #[arg(last = true, value_name = "WORD", conflicts_with = "commands")]
    words: Vec<String>,
}

/// How keys are chosen, as a word.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Chosen {
    /// Every key has the same chance
    Uniform,
    /// Few keys are asked for most of the time: Zipf's law with 0.99
    Zipf,
    /// One after the other, each once: for filling
    Sequence,
}

/// Connections that ask nothing.
#[derive(Clone, Debug, Args)]
struct Idle {
    /// Where the server listens
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:6379")]
    address: String,
    /// Connections
    #[arg(long, value_name = "N", default_value_t = 20_000)]
    clients: usize,
}

/// A picture.
#[derive(Clone, Debug, Args)]
struct Plot {
    /// What stands above it
    #[arg(long, value_name = "TEXT")]
    title: String,
    /// What grows to the right
    #[arg(long, value_name = "TEXT")]
    x: String,
    /// What grows upwards
    #[arg(long, value_name = "TEXT", default_value = "requests per second")]
    y: String,
    /// The file to write
    #[arg(long, value_name = "FILE")]
    output: PathBuf,
}

/// A picture of bars.
#[derive(Clone, Debug, Args)]
struct Stacked {
    /// What stands above it
    #[arg(long, value_name = "TEXT")]
    title: String,
    /// What sizes are in
    #[arg(long, value_name = "TEXT")]
    unit: String,
    /// The file to write
    #[arg(long, value_name = "FILE")]
    output: PathBuf,
}

/// Does what was asked for.
pub fn run(flags: &Flags) -> Result<ExitCode, String> {
    match &flags.other {
        None => flags.load.resp()?,
        Some(Other::Etcd(load)) => load.etcd()?,
        Some(Other::Idle(Idle { address, clients })) => {
            idle::hold(address, *clients, &mut io::stdin().lock(), &mut io::stdout())?;
        }
        Some(Other::Plot(plot)) => plot.draw()?,
        Some(Other::Bars(bars)) => bars.draw()?,
    }
    Ok(ExitCode::SUCCESS)
}

impl Load {
    fn resp(&self) -> Result<(), String> {
        let mix = match self.words.as_slice() {
            [] => Mix::parse(&self.commands, self.value_size)?,
            words => Mix::only(Template::new(words, self.value_size)?),
        };
        let report = bench::run(&Options {
            addresses: self.address.clone(),
            password: self.password.clone(),
            mix,
            keys: self.keys,
            distribution: self.distribution.into(),
            clients: self.clients,
            threads: self.threads,
            pipeline: self.pipeline,
            amount: self.amount()?,
            warm_up: seconds(self.warm_up)?,
            rate: self.rate,
            seed: self.seed,
        })?;
        self.print(&report)
    }

    fn etcd(&self) -> Result<(), String> {
        let question = match self.commands.as_str() {
            "set" => etcd::Question::Put,
            "get" => etcd::Question::Get,
            other => return Err(format!("etcd is asked by --commands set or get here, not {other}")),
        };
        if self.rate.is_some() || self.pipeline != 1 || !self.words.is_empty() {
            return Err(
                "etcd is asked in a closed loop without pipelining here: leave out --rate and --pipeline".into()
            );
        }
        let report = etcd::run(&etcd::Options {
            addresses: self.address.clone(),
            question,
            value_bytes: self.value_size,
            keys: self.keys,
            distribution: self.distribution.into(),
            clients: self.clients,
            amount: self.amount()?,
            seed: self.seed,
        })?;
        self.print(&report)
    }

    fn amount(&self) -> Result<Amount, String> {
        Ok(match self.requests {
            Some(requests) => Amount::Requests(requests),
            None => Amount::Time(seconds(self.seconds)?),
        })
    }

    fn print(&self, report: &Report) -> Result<(), String> {
        if self.json {
            let line =
                serde_json::to_string(&report.summary()).map_err(|why| format!("no JSON of the figures: {why}"))?;
            println!("{line}");
        } else {
            println!("{report}");
        }
        Ok(())
    }
}

impl Plot {
    fn draw(&self) -> Result<(), String> {
        let chart = Chart::parse(&self.title, &self.x, &self.y, &read_lines()?)?;
        write_picture(&self.output, chart.draw())?;
        chart.bends().iter().for_each(|bend| println!("{bend}"));
        Ok(())
    }
}

impl Stacked {
    fn draw(&self) -> Result<(), String> {
        write_picture(&self.output, Bars::parse(&self.title, &self.unit, &read_lines()?)?.draw())
    }
}

fn read_lines() -> Result<String, String> {
    let mut lines = String::new();
    io::stdin().read_to_string(&mut lines).map_err(|why| format!("the standard input cannot be read: {why}"))?;
    Ok(lines)
}

fn write_picture(path: &Path, picture: String) -> Result<(), String> {
    fs::write(path, picture).map_err(|why| format!("{} cannot be written: {why}", path.display()))
}

impl From<Chosen> for Distribution {
    fn from(chosen: Chosen) -> Distribution {
        match chosen {
            Chosen::Uniform => Distribution::Uniform,
            Chosen::Zipf => Distribution::Zipf,
            Chosen::Sequence => Distribution::Sequence,
        }
    }
}

fn seconds(number: f64) -> Result<Duration, String> {
    Duration::try_from_secs_f64(number).map_err(|_| format!("{number} is no number of seconds"))
}
