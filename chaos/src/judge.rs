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

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::time::Duration;

    use serde_json::{Value, json};

    use super::*;
    use crate::clock::{self, OFFSETS};
    use crate::history::{History, Operation, Outcome};

    /// The checker that was built beside this test.
    fn checker() -> PathBuf {
        let test = std::env::current_exe().expect("this program has a path");
        let built = test.ancestors().nth(2).expect("a directory of built programs").join("holdfast");
        assert!(built.exists(), "{} is missing: cargo build --release", built.display());
        built
    }

    /// What is judged of a key with a deadline of so long that was given within the first millisecond, and read at a moment.
    async fn verdict(slack: Duration, ahead: Duration, read_at: Duration, found: Option<&str>) -> Verdict {
        let name = format!("holdfast-chaos-judge-{}-{slack:?}-{ahead:?}-{read_at:?}-{found:?}", std::process::id());
        let path = std::env::temp_dir().join(name.replace(['"', '(', ')'], ""));
        let history = History::create(&path, slack.as_nanos() as u64).expect("a file");
        let at = read_at.as_nanos() as u64;
        let set = json!({"value": "v", "px": ahead.as_millis() as u64});
        for (op, arg, start, reply) in [("set", set, 0, json!("OK")), ("get", Value::Null, at, json!(found))] {
            let operation = Operation {
                client: history.client(),
                op,
                key: Some("y1".into()),
                arg,
                start,
                end: start + 1_000_000,
                outcome: Outcome::Ok,
                reply,
                node: 1,
            };
            history.record(&operation).expect("written");
        }
        history.flush().expect("written");
        let verdict = judge(&checker(), &path).await.expect("judged");
        std::fs::remove_file(&path).expect("removed");
        verdict
    }

    #[tokio::test]
    async fn far_deadlines_that_are_not_kept_are_found_with_the_slack_of_every_run() {
        let ahead = Duration::from_secs(15);
        let near = Duration::from_millis(10);
        for offset in OFFSETS.into_iter().map(Some).chain([None]) {
            let slack = clock::slack(offset);
            let found = async |read_at, found| verdict(slack, ahead, read_at, found).await;
            // It lapsed at once, or long before any clock could say so.
            assert!(matches!(found(Duration::from_secs(1), None).await, Verdict::Violation(_)), "{offset:?}: at once");
            assert!(matches!(found(ahead - slack - near, None).await, Verdict::Violation(_)), "{offset:?}: too early");
            // It never lapsed.
            assert!(matches!(found(ahead + slack + near, Some("v")).await, Verdict::Violation(_)), "{offset:?}: never");
            // Whatever a clock may say is no violation.
            for (read_at, reply) in [
                (Duration::from_secs(1), Some("v")),
                (ahead - slack + near, None),
                (ahead + slack - near, Some("v")),
                (ahead + slack + near, None),
            ] {
                assert!(
                    matches!(found(read_at, reply).await, Verdict::Valid(_)),
                    "{offset:?}: {reply:?} at {read_at:?}"
                );
            }
        }
    }

    #[tokio::test]
    async fn near_deadlines_are_judged_where_clocks_are_moved_little() {
        let (ahead, slack) = (Duration::from_millis(1500), clock::slack(Some(OFFSETS[0])));
        let seen = async |read_at, found| verdict(slack, ahead, Duration::from_millis(read_at), found).await;
        assert!(matches!(seen(1000, None).await, Verdict::Violation(_)));
        assert!(matches!(seen(1800, Some("v")).await, Verdict::Violation(_)));
        assert!(matches!(seen(1600, Some("v")).await, Verdict::Valid(_)));
    }
}
