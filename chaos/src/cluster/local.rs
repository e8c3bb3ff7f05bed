//! A node that is a process of the runner.

use std::ffi::OsString;
use std::fs;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::process::Command;
use tokio::sync::watch;
use tokio::time::timeout;

use super::Incidents;
use crate::history::lock;
use crate::net::namespaces;

/// How long a process may take to end after a signal that ends it at once.
const KILL_TIMEOUT: Duration = Duration::from_secs(10);
/// How long it may take to end after SIGTERM.
const TERMINATE_TIMEOUT: Duration = Duration::from_secs(20);

/// How to start a node again and again.
pub struct Spec {
    pub id: usize,
    pub binary: PathBuf,
    pub arguments: Vec<OsString>,
    pub environment: Vec<(String, OsString)>,
    pub log: PathBuf,
    /// Network namespace to start it in.
    pub space: Option<Arc<OwnedFd>>,
}

/// The process of a node, running or not.
pub struct Process {
    spec: Spec,
    incidents: Incidents,
    running: Mutex<Option<Running>>,
    /// Its end is somebody's plan.
    end_expected: Arc<AtomicBool>,
}

#[derive(Clone)]
struct Running {
    pid: i32,
    ended: watch::Receiver<Option<ExitStatus>>,
}

impl Process {
    pub fn new(spec: Spec, incidents: Incidents) -> Process {
        Process { spec, incidents, running: Mutex::default(), end_expected: Arc::default() }
    }

    /// Of which node.
    pub fn id(&self) -> usize {
        self.spec.id
    }

    pub fn start(&self) -> Result<(), String> {
        let mut running = lock(&self.running);
        if running.as_ref().is_some_and(|running| running.ended.borrow().is_none()) {
            return Err(format!("node {} runs already", self.spec.id));
        }
        let log = fs::OpenOptions::new().create(true).append(true).open(&self.spec.log);
        let log = log.map_err(|why| format!("{}: {why}", self.spec.log.display()))?;
        let mut command = Command::new(&self.spec.binary);
        command.args(&self.spec.arguments).env_clear().stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        command.envs(self.spec.environment.iter().map(|(name, value)| (name, value)));
        end_with_runner(command.as_std_mut());
        if let Some(space) = &self.spec.space {
            namespaces::enter(command.as_std_mut(), space.clone());
        }
        let mut child = command.spawn().map_err(|why| format!("{}: {why}", self.spec.binary.display()))?;
        let pid = child.id().ok_or("a process without an id")? as i32;
        let (told, ended) = watch::channel(None);
        self.end_expected.store(false, Ordering::SeqCst);
        let (expected, incidents, id) = (self.end_expected.clone(), self.incidents.clone(), self.spec.id);
        let log = self.spec.log.clone();
        tokio::spawn(async move {
            let Ok(status) = child.wait().await else { return };
            if !expected.load(Ordering::SeqCst) {
                incidents.note(format!("node {id} ended by itself ({status}):\n{}", tail(&log)));
            }
            // Nobody has to be interested.
            let _ = told.send(Some(status));
        });
        *running = Some(Running { pid, ended });
        Ok(())
    }

    fn current(&self) -> Option<Running> {
        lock(&self.running).clone().filter(|running| running.ended.borrow().is_none())
    }

    pub fn runs(&self) -> bool {
        self.current().is_some()
    }

    pub fn pid(&self) -> Option<i32> {
        self.current().map(|running| running.pid)
    }

    /// From now on its end is no incident.
    pub fn expect_end(&self) {
        self.end_expected.store(true, Ordering::SeqCst);
    }

    /// SIGKILL, paused or not, without waiting.
    pub fn abandon(&self) {
        self.expect_end();
        // It may be gone already.
        let _ = self.signal(libc::SIGKILL);
    }

    /// Whether nothing of it is left that could hold a file open: it is gone, or a zombie.
    pub fn is_dead(&self) -> bool {
        let Some(pid) = lock(&self.running).as_ref().map(|running| running.pid) else { return true };
        match fs::read_to_string(format!("/proc/{pid}/stat")) {
            // The state follows the name, which is in parentheses.
            Ok(stat) => stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('Z')),
            Err(_) => true,
        }
    }

    /// Its end is an incident again.
    pub fn expect_life(&self) {
        self.end_expected.store(false, Ordering::SeqCst);
    }

    /// Sends a signal, if it runs.
    pub fn signal(&self, signal: i32) -> Result<(), String> {
        let Some(running) = self.current() else { return Ok(()) };
        // SAFETY: the child was not waited for a moment ago, so the id is most likely its own; the runner's waiting is
        // the only one, and a process id is not reused that fast.
        if unsafe { libc::kill(running.pid, signal) } == 0 {
            return Ok(());
        }
        match std::io::Error::last_os_error() {
            // It was waited for, and that is about to be told.
            why if why.raw_os_error() == Some(libc::ESRCH) => Ok(()),
            why => Err(format!("signal {signal} to node {}: {why}", self.spec.id)),
        }
    }

    /// Waits for its end. `None` when it did not end in time.
    pub async fn wait_end(&self, patience: Duration) -> Option<ExitStatus> {
        let mut ended = lock(&self.running).clone()?.ended;
        timeout(patience, ended.wait_for(Option::is_some)).await.ok()?.ok().and_then(|status| *status)
    }

    pub async fn kill(&self) -> Result<(), String> {
        self.expect_end();
        self.signal(libc::SIGKILL)?;
        match self.wait_end(KILL_TIMEOUT).await {
            Some(_) => Ok(()),
            None if self.runs() => Err(format!("node {} survived SIGKILL for {KILL_TIMEOUT:?}", self.spec.id)),
            None => Ok(()),
        }
    }

    pub async fn terminate(&self) -> Result<(), String> {
        self.expect_end();
        self.signal(libc::SIGTERM)?;
        match self.wait_end(TERMINATE_TIMEOUT).await {
            Some(status) if status.success() => Ok(()),
            Some(status) => {
                Err(format!("node {} ended with {status} after SIGTERM:\n{}", self.spec.id, self.log_tail()))
            }
            None => Err(format!("node {} did not end within {TERMINATE_TIMEOUT:?} of SIGTERM", self.spec.id)),
        }
    }

    /// The last lines of its log.
    pub fn log_tail(&self) -> String {
        tail(&self.spec.log)
    }

    /// Bytes in its log.
    pub fn log_length(&self) -> u64 {
        fs::metadata(&self.spec.log).map_or(0, |log| log.len())
    }

    /// The lines that came to its log after so many bytes.
    pub fn log_since(&self, length: u64) -> Vec<String> {
        let bytes = fs::read(&self.spec.log).unwrap_or_default();
        let new = bytes.get(length as usize..).unwrap_or_default();
        String::from_utf8_lossy(new).lines().map(str::to_owned).collect()
    }

    /// Lines of its log that tell of a broken invariant.
    pub fn panics(&self) -> Vec<String> {
        let text = fs::read(&self.spec.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        text.lines().filter(|line| line.contains("panicked at")).map(str::to_owned).collect()
    }
}

/// The kernel kills the process when the thread that started it is gone: threads here live as long as the runner.
fn end_with_runner(command: &mut std::process::Command) {
    use std::os::unix::process::CommandExt as _;
    // SAFETY: between fork and exec only `prctl` is called, which is safe there.
    unsafe {
        command.pre_exec(|| match libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) {
            0 => Ok(()),
            _ => Err(std::io::Error::last_os_error()),
        });
    }
}

fn tail(log: &std::path::Path) -> String {
    let text = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(12)..].join("\n")
}
