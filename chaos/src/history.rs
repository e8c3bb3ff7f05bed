//! What clients did and saw, as JSON lines in the format that `holdfast check` judges.

use std::fs::File;
use std::io::{self, BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use serde::Serialize;
use serde_json::{Value, json};

/// What is known of an operation in the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// It took effect and was answered.
    Ok,
    /// It certainly never takes effect.
    Fail,
    /// It may take effect at any time, or never.
    Unknown,
}

/// One operation. Times are nanoseconds of the history's clock.
#[derive(Clone, Debug, Serialize)]
pub struct Operation {
    pub client: u64,
    pub op: &'static str,
    pub key: Option<String>,
    pub arg: Value,
    pub start: u64,
    pub end: u64,
    pub outcome: Outcome,
    /// The reply, or the error's text.
    pub reply: Value,
    /// The node that the client was connected to, for people.
    pub node: usize,
}

/// How many operations ended how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Totals {
    pub ok: u64,
    pub fail: u64,
    pub unknown: u64,
}

/// The file of a run, written by all clients.
pub struct History {
    path: PathBuf,
    file: Mutex<BufWriter<File>>,
    origin: Instant,
    clients: AtomicU64,
    totals: Mutex<Totals>,
}

impl History {
    /// Starts a file; `clock_slack_ns` is how far the nodes' wall clocks are moved at most.
    pub fn create(path: &Path, clock_slack_ns: u64) -> io::Result<History> {
        let mut file = BufWriter::new(File::create(path)?);
        let header = json!({"history": 1, "workload": "chaos", "clock_slack_ns": clock_slack_ns});
        writeln!(file, "{header}")?;
        Ok(History {
            path: path.to_owned(),
            file: Mutex::new(file),
            origin: Instant::now(),
            clients: AtomicU64::new(0),
            totals: Mutex::default(),
        })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Nanoseconds since the run began.
    pub fn now(&self) -> u64 {
        self.origin.elapsed().as_nanos() as u64
    }

    /// A client that was not there before. One whose operation's outcome is unknown goes on under a new number: the old
    /// one may still be doing it.
    pub fn client(&self) -> u64 {
        self.clients.fetch_add(1, Ordering::Relaxed)
    }

    /// Appends an operation. A history that cannot be written proves nothing: the run ends.
    pub fn record(&self, operation: &Operation) -> io::Result<()> {
        let line = serde_json::to_string(operation)?;
        {
            let mut totals = lock(&self.totals);
            match operation.outcome {
                Outcome::Ok => totals.ok += 1,
                Outcome::Fail => totals.fail += 1,
                Outcome::Unknown => totals.unknown += 1,
            }
        }
        writeln!(lock(&self.file), "{line}")
    }

    pub fn totals(&self) -> Totals {
        *lock(&self.totals)
    }

    pub fn flush(&self) -> io::Result<()> {
        lock(&self.file).flush()
    }
}

/// Locks; what a thread that panicked left is still worth reading.
pub fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_those_of_the_format() {
        let path = std::env::temp_dir().join(format!("holdfast-chaos-history-{}", std::process::id()));
        let history = History::create(&path, 5).expect("a file");
        let operation = Operation {
            client: history.client(),
            op: "incr",
            key: Some("k".into()),
            arg: Value::Null,
            start: 1,
            end: 2,
            outcome: Outcome::Unknown,
            reply: json!("gone"),
            node: 3,
        };
        history.record(&operation).expect("written");
        history.flush().expect("flushed");
        let text = std::fs::read_to_string(&path).expect("the file");
        std::fs::remove_file(&path).expect("removed");
        assert_eq!(
            text,
            "{\"clock_slack_ns\":5,\"history\":1,\"workload\":\"chaos\"}\n\
             {\"client\":0,\"op\":\"incr\",\"key\":\"k\",\"arg\":null,\"start\":1,\"end\":2,\"outcome\":\"unknown\",\
             \"reply\":\"gone\",\"node\":3}\n"
        );
        assert_eq!(history.totals(), Totals { ok: 0, fail: 0, unknown: 1 });
    }
}
