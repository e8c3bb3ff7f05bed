//! Asks `holdfast check` about a history.

use std::path::Path;

use tokio::process::Command;

/// What the checker found.
pub enum Verdict {
    Valid(String),
    Violation(String),
    /// It could not decide, or not read: nothing is proved.
    Undecided(String),
}

/// Runs the checker over a file.
pub async fn judge(binary: &Path, history: &Path) -> Result<Verdict, String> {
    let output = Command::new(binary).arg("check").arg(history).output().await;
    let output = output.map_err(|why| format!("{} check: {why}", binary.display()))?;
    let said = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    let complained = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Ok(match output.status.code() {
        Some(0) => Verdict::Valid(said),
        Some(1) => Verdict::Violation(said),
        code => {
            let code = code.map_or_else(|| "a signal".to_owned(), |code| format!("code {code}"));
            Verdict::Undecided(format!("the checker ended with {code}: {said} {complained}"))
        }
    })
}
