//! `holdfast config`: what is in effect, and where it comes from.

use std::process::ExitCode;

use clap::Args;

use super::server;
use crate::settings::{self, Kind, Origin, ROWS};

/// Flags of `config`.
#[derive(Clone, Debug, Default, Args)]
pub struct Flags {
    #[command(flatten)]
    server: server::Flags,
    /// Print the commented file with all defaults instead
    #[arg(long)]
    example: bool,
}

/// Prints the settings as TOML that could be used as a file.
pub fn run(flags: Flags) -> Result<ExitCode, String> {
    if flags.example {
        print!("{}", settings::example_file());
        return Ok(ExitCode::SUCCESS);
    }
    let loaded = settings::load(&flags.server.sources()?)?;
    let mut section = "";
    for (row, (path, value, origin)) in ROWS.iter().zip(&loaded.values) {
        let (of, key) = path.split_once('.').unwrap_or(("", path));
        if of != section {
            section = of;
            println!("[{section}]");
        }
        let value = match row.kind {
            Kind::Integer(..) | Kind::Ratio(..) => value.clone(),
            // A password is in effect without being shown: this output ends up in tickets.
            _ if matches!(*path, "clients.password" | "clients.users") && !value.is_empty() => "\"(set)\"".to_owned(),
            _ => format!("{value:?}"),
        };
        let origin = match origin {
            Origin::Default => "default".to_owned(),
            Origin::File(Some(line)) => format!("file, line {line}"),
            Origin::File(None) => "file".to_owned(),
            Origin::Environment => "environment".to_owned(),
            Origin::Flag => "flag".to_owned(),
        };
        println!("{key} = {value} # {origin}");
    }
    Ok(ExitCode::SUCCESS)
}
