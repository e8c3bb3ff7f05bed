//! The nodes of a run: started, ended and asked by the runner. They are processes of its own on this machine, or the
//! containers of a compose file.

pub mod compose;
pub mod http;
pub mod local;

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::history::{History, lock};
use compose::Container;
use local::Process;

/// How long a started node may take until it serves.
const READY_TIMEOUT: Duration = Duration::from_secs(60);
/// Between two looks at something that changes by itself.
const LOOK: Duration = Duration::from_millis(20);
/// How long killed processes may take to be gone when a run is broken off.
const DEATH_TIMEOUT: Duration = Duration::from_secs(3);
/// Between two looks at all nodes' view of the leader.
const OBSERVE: Duration = Duration::from_millis(100);

/// What runs a node.
pub enum Host {
    Process(Arc<Process>),
    Container(Container),
}

/// One node.
pub struct Node {
    pub id: usize,
    pub http: SocketAddr,
    /// Where other nodes connect, without a proxy, if the runner can reach it.
    pub peer: Option<SocketAddr>,
    /// Where its Redis clients connect, without a proxy.
    pub resp: SocketAddr,
    pub host: Host,
}

/// What nobody planned, such as a node that ended by itself: each fails the run.
#[derive(Clone, Default)]
pub struct Incidents(Arc<Mutex<Vec<String>>>);

impl Incidents {
    pub fn note(&self, what: String) {
        eprintln!("INCIDENT: {what}");
        lock(&self.0).push(what);
    }

    pub fn all(&self) -> Vec<String> {
        lock(&self.0).clone()
    }
}

/// All nodes.
pub struct Cluster {
    pub nodes: Vec<Node>,
}

impl Node {
    pub async fn start(&self) -> Result<(), String> {
        match &self.host {
            Host::Process(process) => process.start(),
            Host::Container(container) => container.start().await,
        }
    }

    /// SIGKILL, and it is gone when this returns.
    pub async fn kill(&self) -> Result<(), String> {
        match &self.host {
            Host::Process(process) => process.kill().await,
            Host::Container(container) => container.kill().await,
        }
    }

    /// SIGTERM; an error if it does not end well and in time.
    pub async fn terminate(&self) -> Result<(), String> {
        match &self.host {
            Host::Process(process) => process.terminate().await,
            Host::Container(container) => container.terminate().await,
        }
    }

    pub async fn pause(&self) -> Result<(), String> {
        match &self.host {
            Host::Process(process) => process.signal(libc::SIGSTOP),
            Host::Container(container) => container.pause().await,
        }
    }

    pub async fn resume(&self) -> Result<(), String> {
        match &self.host {
            Host::Process(process) => process.signal(libc::SIGCONT),
            Host::Container(container) => container.resume().await,
        }
    }

    /// The process behind it, if it is one of ours.
    pub fn process(&self) -> Option<&Process> {
        match &self.host {
            Host::Process(process) => Some(process),
            Host::Container(_) => None,
        }
    }

    /// What its log tells of broken invariants, and its container of ends that nobody planned.
    pub async fn defects(&self) -> Result<Vec<String>, String> {
        let told = match &self.host {
            Host::Process(process) => process.panics(),
            Host::Container(container) => container.defects().await?,
        };
        Ok(told.into_iter().map(|line| format!("node {}: {line}", self.id)).collect())
    }

    /// Until it serves clients.
    pub async fn wait_ready(&self) -> Result<(), String> {
        let deadline = Instant::now() + READY_TIMEOUT;
        loop {
            let answer = http::get(self.http, "/readyz").await;
            if matches!(answer, Ok((200, _))) {
                return Ok(());
            }
            if let Some(process) = self.process()
                && !process.runs()
            {
                return Err(format!("node {} ended before it was ready:\n{}", self.id, process.log_tail()));
            }
            if Instant::now() > deadline {
                let log = self.process().map_or_else(String::new, Process::log_tail);
                let last = answer.map_or_else(|why| why, |(code, body)| format!("{code} {}", body.trim()));
                return Err(format!("node {} is not ready after {READY_TIMEOUT:?} ({last}):\n{log}", self.id));
            }
            sleep(LOOK).await;
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let processes: Vec<&Process> = self.nodes.iter().filter_map(Node::process).collect();
        processes.iter().for_each(|process| process.abandon());
        // What they live on is unmounted next.
        let deadline = std::time::Instant::now() + DEATH_TIMEOUT;
        while !processes.iter().all(|process| process.is_dead()) && std::time::Instant::now() < deadline {
            std::thread::sleep(LOOK);
        }
    }
}

impl Cluster {
    /// Ends all nodes that are processes of ours, and waits until they are gone.
    pub async fn end(&self) {
        for process in self.nodes.iter().filter_map(Node::process) {
            process.abandon();
        }
        for process in self.nodes.iter().filter_map(Node::process) {
            // One that does not go is left to the kernel, which ends it with the runner.
            let _ = process.kill().await;
        }
    }

    pub fn node(&self, id: usize) -> Result<&Node, String> {
        self.nodes.get(id.wrapping_sub(1)).ok_or_else(|| format!("there is no node {id}"))
    }

    /// SIGKILL to those of these that are processes of ours, without waiting for their end.
    pub fn strike(&self, nodes: &BTreeSet<usize>) -> Result<(), String> {
        for id in nodes {
            if let Some(process) = self.node(*id)?.process() {
                process.abandon();
            }
        }
        Ok(())
    }

    /// SIGKILL to all of these, none later than another where the nodes are processes of ours; they are gone when this
    /// returns.
    pub async fn kill(&self, nodes: &BTreeSet<usize>) -> Result<(), String> {
        self.strike(nodes)?;
        for id in nodes {
            self.node(*id)?.kill().await?;
        }
        Ok(())
    }

    pub fn ids(&self) -> Vec<usize> {
        self.nodes.iter().map(|node| node.id).collect()
    }

    /// How many nodes are a majority.
    pub fn majority(&self) -> usize {
        self.nodes.len() / 2 + 1
    }

    /// Until every node serves.
    pub async fn wait_all_ready(&self) -> Result<(), String> {
        for node in &self.nodes {
            node.wait_ready().await?;
        }
        Ok(())
    }

    /// Writes down, for whoever looks for a cause later, what each node says of the last group whenever its leader or
    /// term changes: a line of JSON each. It never ends.
    pub async fn observe(&self, history: &History, file: &Path) -> Result<Infallible, String> {
        let failed = |why: std::io::Error| format!("{}: {why}", file.display());
        let mut file = std::fs::File::create(file).map_err(failed)?;
        let mut known = BTreeMap::new();
        loop {
            for node in &self.nodes {
                let told = http::get(node.http, "/status").await.ok().filter(|(code, _)| *code == 200);
                let status: Option<Value> = told.and_then(|(_, body)| serde_json::from_str(&body).ok());
                let group = status.as_ref().and_then(|status| status["groups"].as_array()?.last().cloned());
                let said = group.as_ref().map(|group| (group["term"].clone(), group["leader"].clone()));
                if known.insert(node.id, said.clone()) != Some(said) {
                    let line = json!({"at": history.now(), "node": node.id, "group": group});
                    writeln!(file, "{line}").map_err(failed)?;
                }
            }
            sleep(OBSERVE).await;
        }
    }

    /// Who leads the last group, by the newest term that any node knows of; `None` while nobody knows.
    pub async fn leader(&self) -> Option<usize> {
        let mut newest: BTreeMap<u64, usize> = BTreeMap::new();
        let asked = self.nodes.iter().map(|node| tokio::spawn(http::get(node.http, "/status")));
        for answer in asked.collect::<Vec<_>>() {
            let Ok(Ok((200, body))) = answer.await else { continue };
            let Ok(status) = serde_json::from_str::<Value>(&body) else { continue };
            let group = status["groups"].as_array().and_then(|groups| groups.last());
            let Some(group) = group else { continue };
            if let (Some(term), Some(leader)) = (group["term"].as_u64(), group["leader"].as_u64()) {
                newest.insert(term, leader as usize);
            }
        }
        newest.into_iter().next_back().map(|(_, leader)| leader)
    }
}
