//! `holdfast check`: judges a file of what clients saw. The exit code tells the verdict to scripts, the text to people.

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use crate::check::{self, Limits};

/// The file or its contents make no sense.
const UNUSABLE: u8 = 2;
/// The judges gave up before they had decided.
const UNDECIDED: u8 = 3;

/// Flags of `check`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "Exit code: 0 valid, 1 violated, 2 unusable file, 3 not decided within the limits.\n\
                        docs/reliability.md describes the format and how it is judged.")]
pub struct Flags {
    /// A history: one JSON object per line
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Give up after this many steps of searching, in millions
    #[arg(long, value_name = "N", default_value_t = 100)]
    million_steps: u64,
    /// Give up when this many thousand configurations would have to be kept in memory (some 300 bytes each)
    #[arg(long, value_name = "N", default_value_t = 1_000)]
    thousand_configurations: usize,
}

/// Judges the file and prints what was found.
pub fn run(flags: &Flags) -> ExitCode {
    match judge(flags) {
        Ok(report) => {
            println!("{report}");
            if report.violations().next().is_some() {
                ExitCode::FAILURE
            } else if report.undecided().next().is_some() {
                ExitCode::from(UNDECIDED)
            } else {
                ExitCode::SUCCESS
            }
        }
        Err(why) => {
            eprintln!("holdfast: {}: {why}", flags.file.display());
            ExitCode::from(UNUSABLE)
        }
    }
}

fn judge(flags: &Flags) -> Result<check::Report, String> {
    let bytes = fs::read(&flags.file).map_err(|error| format!("cannot be read: {error}"))?;
    let text = String::from_utf8(bytes).map_err(|error| {
        let line =
            1 + error.as_bytes()[..error.utf8_error().valid_up_to()].iter().filter(|&&byte| byte == b'\n').count();
        format!("line {line}: this is no UTF-8")
    })?;
    let history = check::parse(&text).map_err(|unusable| unusable.to_string())?;
    drop(text);
    let limits = Limits {
        steps: flags.million_steps.saturating_mul(1_000_000),
        configurations: flags.thousand_configurations.saturating_mul(1_000),
    };
    check::check(&history, limits).map_err(|unusable| unusable.to_string())
}
