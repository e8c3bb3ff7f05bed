//! Everything a run is played on: nodes, their network, disks and clocks. What this machine cannot do is found out while
//! it is set up.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use tokio::net::TcpListener;

use crate::clock::{Clocks, OFFSETS};
use crate::cluster::local::{Process, Spec};
use crate::cluster::{Cluster, Host, Incidents, Node, compose};
use crate::dice::Dice;
use crate::disk::{self, Disk, layout};
use crate::history::lock;
use crate::kinds::{Kind, Need};
use crate::net::namespaces::Namespaces;
use crate::net::proxy::Link;
use crate::net::{Ground, Network, owner, proxy};
use crate::subject::Subject;

/// Ports of nodes with a network stack of their own.
const RESP_PORT: u16 = 6379;
const PEER_PORT: u16 = 16379;
const HTTP_PORT: u16 = 8080;
/// Where ports on loopback are looked for: below those that the kernel gives to outgoing connections.
const LOOPBACK_PORTS: std::ops::Range<u16> = 20_000..22_700;

/// How the nodes are connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Wiring {
    /// Namespaces if this machine lets us, else loopback.
    Auto,
    Namespaces,
    Loopback,
    /// The containers of docker-compose.yml, which must be up.
    Compose,
}

/// What a stage is made from.
pub struct Plan {
    pub binary: PathBuf,
    pub work: PathBuf,
    pub nodes: usize,
    pub wiring: Wiring,
    /// Kinds of faults to be prepared for.
    pub kinds: Vec<Kind>,
    /// Settings drawn at random instead of the defaults.
    pub random_settings: bool,
}

/// Something that one fault at a time may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Claim {
    Node(usize),
    Partition,
    PeerLinks,
    ClientLink(usize),
    Clock(usize),
}

/// Gives its claims back when it goes.
pub struct Held {
    claims: Vec<Claim>,
    taken: Arc<Mutex<BTreeSet<Claim>>>,
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut taken = lock(&self.taken);
        for claim in &self.claims {
            taken.remove(claim);
        }
    }
}

/// The stage of a run. Dropping it ends the nodes and removes mounts and namespaces.
pub struct Stage {
    // In the order of their end: processes before what they live on.
    pub cluster: Cluster,
    pub disks: BTreeMap<usize, Disk>,
    pub network: Arc<Network>,
    pub clocks: Option<Clocks>,
    pub incidents: Incidents,
    pub work: PathBuf,
    /// What this machine cannot do, and why.
    pub missing: BTreeMap<Need, String>,
    /// Settings that were drawn, for the report.
    pub settings: Vec<(String, String)>,
    /// What is attacked.
    pub subject: Subject,
    taken: Arc<Mutex<BTreeSet<Claim>>>,
}

impl Stage {
    /// Takes all of these, or none.
    pub fn claim(&self, claims: Vec<Claim>) -> Option<Held> {
        let mut taken = lock(&self.taken);
        if claims.iter().any(|claim| taken.contains(claim)) {
            return None;
        }
        taken.extend(claims.iter().copied());
        Some(Held { claims, taken: self.taken.clone() })
    }

    /// Sets everything up and starts the nodes.
    pub async fn build(plan: &Plan, dice: &mut Dice) -> Result<Stage, String> {
        if plan.wiring == Wiring::Compose { containers(plan, dice).await } else { processes(plan, dice).await }
    }

    /// What the stage is made of, in a line.
    pub fn describe(&self) -> String {
        let ground = match self.network.ground() {
            Ground::Loopback => "loopback",
            Ground::Namespaces(_) => "network namespaces",
            Ground::Containers(_) => "containers",
        };
        let clocks = self.clocks.as_ref().map(|clocks| format!("; clocks up to {:?} away", clocks.offset_max));
        let disks: Vec<_> = self.disks.iter().map(|(node, disk)| format!("node {node} on {}", disk.name())).collect();
        let (count, disks) = (self.cluster.nodes.len(), disks.join(", "));
        format!("{count} nodes, {ground}; {disks}{}", clocks.unwrap_or_default())
    }
}

async fn containers(plan: &Plan, dice: &mut Dice) -> Result<Stage, String> {
    let found = compose::find().await?;
    let containers = found.iter().enumerate().map(|(n, found)| (n + 1, found.container.clone())).collect();
    let mut network = Network::new(found.len(), Ground::Containers(containers));
    let (mut nodes, mut images) = (Vec::new(), Vec::new());
    for (n, found) in found.into_iter().enumerate() {
        let id = n + 1;
        client_proxy(&mut network, id, found.resp, dice).await?;
        images.push(found.image);
        nodes.push(Node { id, http: found.http, peer: None, resp: found.resp, host: Host::Container(found.container) });
    }
    let why = "the nodes are containers".to_owned();
    let missing = [Need::PeerProxy, Need::Strace, Need::SmallDisk, Need::Fuse, Need::Clock];
    let cluster = Cluster { nodes };
    cluster.wait_all_ready().await?;
    Ok(Stage {
        cluster,
        disks: BTreeMap::new(),
        network: Arc::new(network),
        clocks: None,
        incidents: Incidents::default(),
        work: plan.work.clone(),
        missing: missing.into_iter().map(|need| (need, why.clone())).collect(),
        settings: Vec::new(),
        subject: Subject::image(&images)?,
        taken: Arc::default(),
    })
}

async fn processes(plan: &Plan, dice: &mut Dice) -> Result<Stage, String> {
    disk::remove_leftovers();
    let needs: BTreeSet<Need> = plan.kinds.iter().map(|kind| kind.need()).collect();
    let mut missing = BTreeMap::new();
    let ground = ground(plan)?;
    let offset_max = dice.pick(&OFFSETS).copied().unwrap_or_default();
    let clocks = prepare(&needs, Need::Clock, &mut missing, || Clocks::create(&plan.work, offset_max));
    let _ = prepare(&needs, Need::Strace, &mut missing, strace_works);
    let disks = layout::make(&plan.work, plan.nodes, &needs, &mut missing, dice);
    let mut network = Network::new(plan.nodes, ground);
    let ids: Vec<usize> = (1..=plan.nodes).collect();
    let addresses = addresses(&network, plan.nodes)?;
    let hub = network.spaces().map_or(IpAddr::V4(Ipv4Addr::LOCALHOST), Namespaces::hub);
    // Process ids of the nodes, for whoever accepts connections on loopback.
    let processes: Arc<Mutex<Vec<Arc<Process>>>> = Arc::default();
    let mut initial = Vec::new();
    for id in &ids {
        let port = peer_proxy(&mut network, *id, hub, addresses[id - 1][1], &processes, dice).await?;
        initial.push(format!("{id}={hub}:{port}"));
        client_proxy(&mut network, *id, addresses[id - 1][0], dice).await?;
    }
    let settings = if plan.random_settings { draw_settings(dice) } else { Vec::new() };
    let incidents = Incidents::default();
    let mut nodes = Vec::new();
    for id in ids {
        let [resp, peer, http] = addresses[id - 1];
        let data =
            disks.get(&id).map_or_else(|| plan.work.clone(), |disk| disk.path().to_owned()).join(format!("node{id}"));
        let arguments = [
            ("--node-id", id.to_string()),
            ("--data-dir", data.display().to_string()),
            ("--resp", resp.to_string()),
            ("--peer", peer.to_string()),
            ("--http", http.to_string()),
            ("--initial-cluster", initial.join(",")),
        ];
        let mut environment: Vec<(String, OsString)> =
            settings.iter().map(|(name, value)| (name.clone(), value.into())).collect();
        if let Some(clocks) = &clocks {
            clocks.set(id, 0).map_err(|why| format!("the file of a clock's offset: {why}"))?;
            environment.extend(clocks.environment(id).map(|(name, value)| (name.to_owned(), value)));
        }
        let spec = Spec {
            id,
            binary: plan.binary.clone(),
            arguments: ["server".into()]
                .into_iter()
                .chain(arguments.into_iter().flat_map(|(flag, value)| [flag.into(), value.into()]))
                .collect(),
            environment,
            log: plan.work.join(format!("node{id}.log")),
            space: network.spaces().map(|spaces| spaces.entrance(id)).transpose()?,
        };
        let process = Arc::new(Process::new(spec, incidents.clone()));
        lock(&processes).push(process.clone());
        nodes.push(Node { id, http, peer: Some(peer), resp, host: Host::Process(process) });
    }
    let cluster = Cluster { nodes };
    for node in &cluster.nodes {
        node.start().await?;
    }
    cluster.wait_all_ready().await?;
    Ok(Stage {
        cluster,
        disks,
        network: Arc::new(network),
        clocks,
        incidents,
        work: plan.work.clone(),
        missing,
        settings,
        subject: Subject::program(&plan.binary).await?,
        taken: Arc::default(),
    })
}

/// Prepares what some kind of fault needs; if that does not work the reason is kept.
fn prepare<T>(
    needs: &BTreeSet<Need>,
    need: Need,
    missing: &mut BTreeMap<Need, String>,
    make: impl FnOnce() -> Result<T, String>,
) -> Option<T> {
    if !needs.contains(&need) {
        return None;
    }
    match make() {
        Ok(made) => Some(made),
        Err(why) => {
            missing.insert(need, why);
            None
        }
    }
}

fn ground(plan: &Plan) -> Result<Ground, String> {
    match plan.wiring {
        Wiring::Loopback | Wiring::Compose => Ok(Ground::Loopback),
        Wiring::Namespaces => Namespaces::create(plan.nodes).map(Ground::Namespaces),
        Wiring::Auto => Ok(match Namespaces::create(plan.nodes) {
            Ok(spaces) => Ground::Namespaces(spaces),
            Err(why) => {
                eprintln!("no network namespaces here ({why}): loopback");
                Ground::Loopback
            }
        }),
    }
}

fn strace_works() -> Result<(), String> {
    let mut child = std::process::Command::new("sleep").arg("10").spawn().map_err(|why| format!("sleep: {why}"))?;
    let attached = std::process::Command::new("timeout")
        .args(["-s", "INT", "1", "strace", "-e", "trace=fdatasync", "-p", &child.id().to_string()])
        .output();
    // It is only there to be attached to.
    let _ = child.kill();
    let _ = child.wait();
    let said = attached.map_err(|why| format!("strace: {why}"))?.stderr;
    let said = String::from_utf8_lossy(&said);
    if said.contains("attached") { Ok(()) } else { Err(format!("strace cannot attach: {}", said.trim())) }
}

/// RESP, peer and HTTP address of each node.
fn addresses(network: &Network, nodes: usize) -> Result<Vec<[SocketAddr; 3]>, String> {
    if let Some(spaces) = network.spaces() {
        let address = |node| [RESP_PORT, PEER_PORT, HTTP_PORT].map(|port| SocketAddr::new(spaces.address(node), port));
        return Ok((1..=nodes).map(address).collect());
    }
    let first =
        LOOPBACK_PORTS.start + (std::process::id() % u32::from(LOOPBACK_PORTS.end - LOOPBACK_PORTS.start)) as u16;
    let candidates = (first..LOOPBACK_PORTS.end).chain(LOOPBACK_PORTS.start..first);
    let free = |port: &u16| std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok();
    let ports: Vec<u16> = candidates.filter(free).take(3 * nodes).collect();
    if ports.len() < 3 * nodes {
        return Err(format!("fewer than {} free ports in {LOOPBACK_PORTS:?}", 3 * nodes));
    }
    let address = |ports: &[u16]| [0, 1, 2].map(|n| SocketAddr::from((Ipv4Addr::LOCALHOST, ports[n])));
    Ok(ports.chunks(3).map(address).collect())
}

/// A proxy in front of a node's peer listener; its port is what the other nodes are told.
async fn peer_proxy(
    network: &mut Network,
    to: usize,
    hub: IpAddr,
    target: SocketAddr,
    processes: &Arc<Mutex<Vec<Arc<Process>>>>,
    dice: &mut Dice,
) -> Result<u16, String> {
    let listener = TcpListener::bind((hub, 0)).await.map_err(|why| format!("{hub}: {why}"))?;
    let port = listener.local_addr().map_err(|why| why.to_string())?.port();
    network.set_peer_port(to, port);
    let links: BTreeMap<usize, Arc<Link>> =
        network.peer_links().filter(|(way, _)| way.1 == to).map(|(way, link)| (way.0, link.clone())).collect();
    let links = Arc::new(links);
    // With namespaces the address tells who calls, and the far side is called from an address that tells it too.
    let by_address: Option<Arc<BTreeMap<IpAddr, (usize, IpAddr)>>> = network.spaces().map(|spaces| {
        Arc::new(links.keys().map(|from| (spaces.address(*from), (*from, spaces.on_behalf(*from, to)))).collect())
    });
    let (known, processes) = (by_address.clone(), processes.clone());
    let identify = move |from: SocketAddr| {
        let (links, known, processes) = (links.clone(), known.clone(), processes.clone());
        async move {
            let node = match known {
                Some(known) => known.get(&from.ip()).map(|(node, _)| *node),
                None => {
                    let pids = lock(&processes).iter().filter_map(|p| Some((p.id(), p.pid()?))).collect::<Vec<_>>();
                    owner::of_loopback_port(from.port(), port, &pids)
                }
            };
            links.get(&node?).cloned()
        }
    };
    let dial = move |from: SocketAddr| {
        let source = by_address.as_ref().and_then(|known| known.get(&from.ip())).map(|(_, ip)| SocketAddr::new(*ip, 0));
        proxy::dial(target, source)
    };
    tokio::spawn(proxy::serve(listener, identify, dial, dice.fork()));
    Ok(port)
}

/// A proxy between the runner's clients and a node.
async fn client_proxy(network: &mut Network, to: usize, target: SocketAddr, dice: &mut Dice) -> Result<(), String> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.map_err(|why| why.to_string())?;
    network.set_client_address(to, listener.local_addr().map_err(|why| why.to_string())?);
    let link = network.client_link(to).cloned();
    let identify = move |_| {
        let link = link.clone();
        async move { link }
    };
    tokio::spawn(proxy::serve(listener, identify, move |_| proxy::dial(target, None), dice.fork()));
    Ok(())
}

/// Settings that make rare things common: short logs, so that snapshots are needed; small buffers and frequent flushes, so
/// that a crash meets them.
fn draw_settings(dice: &mut Dice) -> Vec<(String, String)> {
    let mut draw = |name: &str, values: &[&str]| {
        let value = dice.pick(values).copied().unwrap_or_default();
        (name.to_owned(), value.to_owned())
    };
    vec![
        draw("HOLDFAST_RAFT__LOG_KEEP_ENTRIES", &["10", "100", "1000", "10000"]),
        draw("HOLDFAST_RAFT__READ_MODE", &["lease", "lease", "read-index"]),
        draw("HOLDFAST_RAFT__LEASE_MS", &["400", "400", "100"]),
        draw("HOLDFAST_STORAGE__FLUSH_INTERVAL_S", &["1", "3", "60"]),
        draw("HOLDFAST_STORAGE__WRITE_BUFFER_BYTES", &["1048576", "67108864"]),
        draw("HOLDFAST_CACHE__BYTES", &["0", "1048576", "268435456"]),
    ]
}

/// A directory that nobody else uses, for the files of a run.
pub fn work_directory(given: Option<&Path>) -> PathBuf {
    match given {
        Some(path) => path.to_owned(),
        None => std::env::temp_dir().join(format!("{}{}", disk::WORK_PREFIX, std::process::id())),
    }
}
