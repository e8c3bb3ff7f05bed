//! One network namespace per node, each with a cable to the runner and no way to another node but through it.
//!
//! Addresses: 10.B.0.1 is the runner's for all; node I has 10.B.I.2 and its end of the cable is 10.B.I.1; the proxy calls it
//! from 10.B.I.(10 + J) on behalf of node J, so that the packets of one link can be told from another's.

use std::fs::File;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;

use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

/// Names of namespaces begin so, followed by the runner's process id, so that what a killed runner left can be removed.
const PREFIX: &str = "hfchaos";

/// The namespaces of a run; they end with it.
pub struct Namespaces {
    names: Vec<String>,
    block: u8,
}

impl Namespaces {
    /// Makes a namespace per node. Needs root, `ip` and `nft`.
    pub fn create(nodes: usize) -> Result<Namespaces, String> {
        remove_leftovers();
        let pid = std::process::id();
        let taken = run("ip", &["-o", "-4", "addr"])?;
        let block = (0..100u32)
            .map(|n| (100 + (pid + n) % 100) as u8)
            .find(|block| !taken.contains(&format!(" 10.{block}.")))
            .ok_or("all networks from 10.100.0.0 to 10.199.0.0 are taken")?;
        let mut spaces = Namespaces { names: Vec::new(), block };
        for node in 1..=nodes {
            let name = format!("{PREFIX}{pid}n{node}");
            let cable = format!("hfc{}n{node}", pid % 1_000_000);
            run("ip", &["netns", "add", &name])?;
            // From here on it is removed whatever happens.
            spaces.names.push(name.clone());
            let (near, far) = (format!("10.{block}.{node}.1"), format!("10.{block}.{node}.2"));
            run("ip", &["link", "add", &cable, "type", "veth", "peer", "name", "eth0", "netns", &name])?;
            run("ip", &["addr", "add", &format!("{near}/24"), "dev", &cable])?;
            for other in (1..=nodes).filter(|other| *other != node) {
                run("ip", &["addr", "add", &format!("10.{block}.{node}.{}/24", 10 + other), "dev", &cable])?;
            }
            if node == 1 {
                run("ip", &["addr", "add", &format!("10.{block}.0.1/32"), "dev", &cable])?;
            }
            run("ip", &["link", "set", &cable, "up"])?;
            run("ip", &["-n", &name, "addr", "add", &format!("{far}/24"), "dev", "eth0"])?;
            run("ip", &["-n", &name, "link", "set", "lo", "up"])?;
            run("ip", &["-n", &name, "link", "set", "eth0", "up"])?;
            run("ip", &["-n", &name, "route", "add", "default", "via", &near])?;
        }
        Ok(spaces)
    }

    /// The runner's address for all nodes.
    pub fn hub(&self) -> IpAddr {
        Ipv4Addr::new(10, self.block, 0, 1).into()
    }

    pub fn address(&self, node: usize) -> IpAddr {
        Ipv4Addr::new(10, self.block, node as u8, 2).into()
    }

    /// From where `to` is called on behalf of `from`.
    pub fn on_behalf(&self, from: usize, to: usize) -> IpAddr {
        Ipv4Addr::new(10, self.block, to as u8, 10 + from as u8).into()
    }

    /// What a node's process needs to start in its namespace.
    pub fn entrance(&self, node: usize) -> Result<Arc<OwnedFd>, String> {
        let name = self.names.get(node - 1).ok_or("no such node")?;
        let path = Path::new("/run/netns").join(name);
        let file = File::open(&path).map_err(|why| format!("{}: {why}", path.display()))?;
        Ok(Arc::new(file.into()))
    }

    /// What matches the packets that node `to` gets from another; `port` is that of the proxy in front of the other.
    pub fn matches(&self, from: usize, to: usize, port: u16) -> [String; 2] {
        // What that node sends on connections of its own, then what it answers on those that this node dialled.
        [format!("ip saddr {}", self.on_behalf(from, to)), format!("ip saddr {} tcp sport {port}", self.hub())]
    }
}

/// Runs a script of `nft` in a namespace: what it printed, or what it complained about.
async fn nft(space: Arc<OwnedFd>, script: &str) -> Result<String, String> {
    let mut command = Command::new("nft");
    command.args(["-f", "-"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    enter(command.as_std_mut(), space);
    let mut child = command.spawn().map_err(|why| format!("nft: {why}"))?;
    let mut stdin = child.stdin.take().ok_or("nft has no stdin")?;
    stdin.write_all(script.as_bytes()).await.map_err(|why| format!("nft: {why}"))?;
    drop(stdin);
    let output = child.wait_with_output().await.map_err(|why| format!("nft: {why}"))?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        Err(format!("nft refused the rules: {}", String::from_utf8_lossy(&output.stderr).trim()))
    }
}

/// From now on the namespace receives nothing that one of these matches of `nft` describes, and all else.
pub async fn drop_packets(space: Arc<OwnedFd>, matches: &[String]) -> Result<(), String> {
    // The first two lines make the deletion of a table that may not exist go well.
    let mut rules = String::from("table inet chaos {}\ndelete table inet chaos\ntable inet chaos {\n");
    rules += " counter dropped {}\n chain input {\n  type filter hook input priority 0;\n";
    for matched in matches {
        rules += &format!("  {matched} counter name dropped drop\n");
    }
    rules += " }\n}\n";
    nft(space, &rules).await.map(|_| ())
}

/// Packets that the rules in force there dropped.
pub async fn dropped_packets(space: Arc<OwnedFd>) -> u64 {
    // A namespace that never was cut off has no table.
    let listed = nft(space, "list counters table inet chaos\n").await.unwrap_or_default();
    let words: Vec<&str> = listed.split_whitespace().collect();
    words.windows(2).filter(|pair| pair[0] == "packets").filter_map(|pair| pair[1].parse::<u64>().ok()).sum()
}

impl Drop for Namespaces {
    fn drop(&mut self) {
        for name in &self.names {
            // Its cable ends with it. What cannot be removed now is a leftover for the next run.
            let _ = run("ip", &["netns", "delete", name]);
        }
    }
}

/// The command will run in that namespace.
pub fn enter(command: &mut std::process::Command, space: Arc<OwnedFd>) {
    use std::os::unix::process::CommandExt as _;
    // SAFETY: between fork and exec only `setns` is called, which is safe there; the descriptor lives in the closure.
    unsafe {
        command.pre_exec(move || match libc::setns(space.as_raw_fd(), libc::CLONE_NEWNET) {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        });
    }
}

/// Removes the namespaces of runners that are gone.
fn remove_leftovers() {
    let Ok(entries) = std::fs::read_dir("/run/netns") else { return };
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let pid = name.strip_prefix(PREFIX).and_then(|rest| rest.split('n').next());
        if let Some(pid) = pid.filter(|pid| pid.parse::<u32>().is_ok())
            && !Path::new("/proc").join(pid).exists()
        {
            let _ = run("ip", &["netns", "delete", &name]);
        }
    }
}

/// Runs a program to its end: what it printed, or what it complained about.
pub fn run(program: &str, arguments: &[&str]) -> Result<String, String> {
    let output = std::process::Command::new(program).args(arguments).output();
    let output = output.map_err(|why| format!("{program}: {why}"))?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        let why = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        Err(format!("{program} {}: {why}", arguments.join(" ")))
    }
}
