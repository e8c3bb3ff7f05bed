//! Faults of system calls, put in by `strace`: syncs that fail, syncs that take long.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

/// How long it may take to attach to all threads.
const ATTACH_TIMEOUT: Duration = Duration::from_secs(5);
/// Everything that makes written bytes durable.
const SYNCS: &str = "fdatasync,fsync,sync_file_range";

/// What to do to the syncs of a process.
#[derive(Clone, Copy, Debug)]
pub enum Injection {
    /// They fail with EIO.
    Fail,
    /// They take this much longer.
    Delay(Duration),
}

/// An attached `strace`; it lets go at the end.
pub struct Strace {
    child: Child,
    output: PathBuf,
}

impl Strace {
    /// Attaches to a process and all its threads; `output` is where the calls are written down.
    pub async fn attach(pid: i32, injection: Injection, output: &Path) -> Result<Strace, String> {
        let inject = match injection {
            Injection::Fail => format!("inject={SYNCS}:error=EIO"),
            Injection::Delay(delay) => format!("inject={SYNCS}:delay_enter={}", delay.as_micros()),
        };
        let mut command = Command::new("strace");
        command.args(["-f", "-e", &format!("trace={SYNCS}"), "-e", &inject, "-o"]).arg(output);
        command.args(["-p", &pid.to_string()]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().map_err(|why| format!("strace: {why}"))?;
        let stderr = child.stderr.take().ok_or("strace has no stderr")?;
        let mut lines = BufReader::new(stderr).lines();
        let attached = timeout(ATTACH_TIMEOUT, async {
            while let Ok(Some(line)) = lines.next_line().await {
                if line.contains("attached") {
                    return Ok(());
                }
            }
            Err("strace could not attach".to_owned())
        });
        attached.await.map_err(|_| "strace did not attach in time".to_owned())??;
        // It says more when threads come and go, and must not block on that.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Ok(Strace { child, output: output.to_owned() })
    }

    /// Lets go and tells how many calls were tampered with.
    pub async fn detach(mut self) -> u64 {
        if let Some(pid) = self.child.id() {
            // SAFETY: a signal to a child that was not waited for.
            unsafe { libc::kill(pid as i32, libc::SIGINT) };
        }
        if timeout(ATTACH_TIMEOUT, self.child.wait()).await.is_err() {
            let _ = self.child.kill().await;
        }
        let text = std::fs::read_to_string(&self.output).unwrap_or_default();
        text.lines().filter(|line| line.contains("(INJECTED)") || line.contains("(DELAYED)")).count() as u64
    }
}
