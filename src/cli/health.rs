//! `holdfast health`: can this node answer clients? For the health checks of containers and scripts, so that an image
//! needs no HTTP client. The exit code is the answer, the points of `/readyz` are its reasons.

use std::process::ExitCode;

use clap::Args;

use super::http::Target;

/// Flags of `health`.
#[derive(Clone, Debug, Args)]
pub struct Flags {
    #[command(flatten)]
    target: Target,
}

/// Success when the node is ready; failure when it is not, or does not answer.
pub fn run(flags: &Flags) -> Result<ExitCode, String> {
    let answer = flags.target.get("/readyz?verbose")?;
    print!("{}", answer.body);
    Ok(if answer.code == 200 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
