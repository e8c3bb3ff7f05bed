//! The nodes' processes while something is done to the cluster: the same ones all the time, and how much memory they take.

use std::fmt::Write as _;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::cluster::Cluster;
use crate::history::lock;

/// Between two looks.
const LOOK: Duration = Duration::from_millis(100);

/// What is known of one process. Memory is what is resident, in KiB.
#[derive(Clone, Copy, Debug)]
struct Watched {
    node: usize,
    pid: i32,
    before: u64,
    most: u64,
    last: u64,
    /// It was there at every look.
    lives: bool,
}

/// Looks until it is told to end.
pub struct Watch {
    watched: Arc<Mutex<Vec<Watched>>>,
    looking: JoinHandle<()>,
}

impl Watch {
    pub fn start(cluster: &Cluster) -> Watch {
        let mut all = Vec::new();
        for node in &cluster.nodes {
            let Some(pid) = node.process().and_then(|process| process.pid()) else { continue };
            let before = resident_kib(pid).unwrap_or(0);
            all.push(Watched { node: node.id, pid, before, most: before, last: before, lives: true });
        }
        let watched = Arc::new(Mutex::new(all));
        let seen = watched.clone();
        let looking = tokio::spawn(async move {
            loop {
                tokio::time::sleep(LOOK).await;
                lock(&seen).iter_mut().for_each(Watched::look);
            }
        });
        Watch { watched, looking }
    }

    /// What was seen, for people and as JSON, and what must not be: a process that is gone, memory that grew too much.
    pub async fn end(self, mib_max: u64) -> (String, Value, Vec<String>) {
        self.looking.abort();
        let mut all = lock(&self.watched).clone();
        all.iter_mut().for_each(Watched::look);
        let (mut text, mut failures) = (String::new(), Vec::new());
        for Watched { node, pid, before, most, last, lives } in &all {
            let mib = |kib: &u64| kib / 1024;
            // Writing to a string cannot fail.
            let _ = writeln!(
                text,
                "node {node}: {} MiB resident before, {} at most, {} in the end (may grow by {mib_max})",
                mib(before),
                mib(most),
                mib(last)
            );
            if most.saturating_sub(*before) > mib_max * 1024 {
                let grown = mib(&(most - before));
                failures.push(format!("node {node} grew by {grown} MiB, more than {mib_max} MiB"));
            }
            if !lives {
                failures.push(format!("node {node}, process {pid}, is gone"));
            }
        }
        let json = all.iter().map(|watched| {
            let Watched { node, before, most, last, .. } = watched;
            json!({"node": node, "before_kib": before, "most_kib": most, "last_kib": last})
        });
        (text, json.collect(), failures)
    }
}

impl Watched {
    fn look(&mut self) {
        match resident_kib(self.pid) {
            Some(now) => {
                self.most = self.most.max(now);
                self.last = now;
            }
            None => self.lives = false,
        }
    }
}

/// Resident memory of a process; `None` when it is gone or a zombie.
fn resident_kib(pid: i32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_is_gone_is_told_from_one_that_lives() {
        let me = std::process::id() as i32;
        assert!(resident_kib(me).is_some_and(|kib| kib > 100));
        assert_eq!(resident_kib(i32::MAX), None);
        let mut watched = Watched { node: 1, pid: i32::MAX, before: 5, most: 5, last: 5, lives: true };
        watched.look();
        assert!(!watched.lives);
    }
}
