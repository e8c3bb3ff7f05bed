//! The command line: flags to [`crate::settings`], one subcommand per file. Errors are one sentence on stderr and
//! a non-zero exit.

mod bench;
mod check;
mod commands;
mod config;
mod health;
mod http;
mod server;
mod sim;
mod status;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// A Raft-replicated, strongly consistent key-value store that speaks the Redis protocol.
#[derive(Debug, Parser)]
#[command(name = "holdfast", version, about)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a node. Without flags: a single node on 6379, 16379 and 8080 with its data in ./data.
    Server(server::Flags),
    /// Print nodes, groups, leaders, terms and applied indexes of a running cluster.
    Status(status::Flags),
    /// Tell by the exit code whether a node can answer clients; for health checks of containers.
    Health(health::Flags),
    /// Print every command that clients may send, as a page of Markdown.
    Commands(commands::Flags),
    /// Print the settings in effect and where each comes from.
    Config(config::Flags),
    /// Run the whole cluster in a simulated world with faults, and judge what clients saw.
    Sim(sim::Flags),
    /// Judge a history of what clients saw.
    Check(check::Flags),
    /// Put load on any RESP server and tell how much it takes and how long answers wait.
    Bench(Box<bench::Flags>),
}

/// Runs the program; the exit code says whether it went well.
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let result = match arguments.command.unwrap_or_else(|| Command::Server(server::Flags::default())) {
        Command::Server(flags) => server::run(flags),
        Command::Status(flags) => status::run(&flags),
        Command::Health(flags) => health::run(&flags),
        Command::Commands(flags) => commands::run(&flags),
        Command::Config(flags) => config::run(flags),
        Command::Sim(flags) => sim::run(&flags),
        Command::Check(flags) => Ok(check::run(&flags)),
        Command::Bench(flags) => bench::run(&flags),
    };
    match result {
        Ok(code) => code,
        Err(why) => {
            eprintln!("holdfast: {why}");
            ExitCode::FAILURE
        }
    }
}
