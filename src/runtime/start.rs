//! From a configuration to a running node: checks before anything is changed, then stores, groups, threads,
//! listeners.

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use parking_lot::{Mutex, RwLock};
use tokio::sync::watch;

use super::background::{self, Snapshots};
use super::config::{CachePolicy, Config};
use super::core::{Core, Group};
use super::directory::Directory;
use super::forwarding::Forwarding;
use super::join;
use super::machines::{self, Machines};
use super::membership::{self, Listeners, Membership};
use super::metrics::Metrics;
use super::node::RuntimeNode;
use super::peers::{self, Identity, Inbound, Peers};
use super::queue::Queue;
use super::running::{Running, Threads};
use super::stop::Stop;
use super::telemetry::Sampler;
use super::views::Cell;
use super::{Error, Result, clock, facts, log_writer, process, telemetry, threads, worker};
use crate::base::{GroupId, LogIndex, Rng, SessionId, limits};
use crate::command::acl::DEFAULT;
use crate::host::{self, GroupStart, Host, meta};
use crate::machine::{self, Machine, State};
use crate::service::Service;
use crate::service::node::{Node, Saves};
use crate::service::pubsub::Hub;
use crate::service::tracking::Trackers;
use crate::store::cached::{self, CachedEngine};
use crate::store::generation::Generations;
use crate::store::rocks::{self, LogOptions, RocksEngine, RocksLog, StateOptions};
use crate::store::{Engine, Log};
use crate::{front, service};

/// How often the progress of a replay is told.
const REPLAY_REPORT: Duration = Duration::from_secs(2);
/// How often the map learns what changes all the time.
const MAP_REFRESH: Duration = Duration::from_millis(200);

/// Starts a node: checks its directory, opens its databases and listeners, starts its threads. Returns when the
/// listeners are up; commands are answered `-LOADING` until the log is replayed.
pub fn start(config: Config) -> Result<Running> {
    start_on(config, Stores::open)
}

/// [`start`] on the stores that `open` gives.
pub(super) fn start_on(
    mut config: Config,
    open: impl FnOnce(&Config, &Directory) -> Result<Stores>,
) -> Result<Running> {
    let metrics = Arc::new(Metrics::new());
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let or = |number: usize, otherwise: usize| if number == 0 { otherwise } else { number };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(or(config.threads.io, cores))
        .max_blocking_threads(or(config.threads.blocking, 16 * cores))
        .thread_name("io")
        .on_thread_start(threads::work_in_batches)
        .enable_all()
        .build()?;
    let entered = runtime.enter();
    let telemetry = telemetry::install(&config.telemetry, config.node, &metrics)?;

    let fit = process::reserve_files(config.clients_max)?;
    if fit < config.clients_max {
        tracing::warn!(
            asked = config.clients_max,
            allowed = fit,
            "the limit of open files allows fewer clients than clients.max: raise it (ulimit -n, LimitNOFILE)"
        );
        config.clients_max = fit;
    }

    // First what may be refused: nothing was changed until then.
    let resp = listen("RESP clients", config.resp)?;
    let http = listen("HTTP", config.http)?;
    let peer = config.peer.map(|address| listen("peers", address)).transpose()?;
    let peer_address = peer.as_ref().map(TcpListener::local_addr).transpose()?;
    let directory = Directory::open(&config, |nonce| runtime.block_on(join::ask(&config, peer_address, nonce)))?;
    let stores = open(&config, &directory)?;

    let applied = meta::Facts::read(stores.engine.as_ref()).map_err(|why| Error::Storage(why.to_string()))?;
    let is_known = |facts: &meta::Facts| !directory.are_from_before_joining(facts, config.node);
    let applied = applied.filter(is_known);
    if let Some(facts) = &applied {
        let refuse = |reason| Error::Directory { path: config.data_dir.clone(), reason };
        facts.check(directory.facts.cluster, config.node).map_err(refuse)?;
    }
    let (resp_address, http_address) = (resp.local_addr()?, http.local_addr()?);
    let listeners = Listeners { resp: resp_address, http: http_address, peer: peer_address };
    let own = membership::advertised(&config, &directory.facts.members, listeners);
    let own_peer = own.peer.clone();
    let users = meta::users::KeptUsers::read(stores.engine.as_ref()).map_err(|why| Error::Storage(why.to_string()))?;
    let membership = Membership::new(own, &directory, applied, users.users());
    let cluster = membership.facts();
    let identity = Identity { cluster: cluster.cluster, node: config.node };
    tracing::info!(
        node = %config.node,
        cluster = %format_args!("{:016x}", identity.cluster.get()),
        nodes = cluster.nodes.len(),
        partitions = directory.facts.partitions,
        version = env!("CARGO_PKG_VERSION"),
        "starting"
    );
    let mut rng = Rng::new(clock::entropy()?);
    let slots: BTreeMap<_, _> = cluster.groups.iter().map(|group| (group.id, group.slots)).collect();
    let hub = Arc::<Hub>::default();
    let trackers = Arc::<Trackers>::default();
    let machine_settings = machine::Settings {
        audience: hub.clone(),
        tells_changes: trackers.is_on(),
        ..machine::Settings::new(config.thresholds)
    };
    let usage = machine_settings.usage.clone();
    let running = machine_settings.running.clone();
    let mut parts =
        Parts::load(machine_settings, &stores, cluster.starts(config.node, membership.beginning()), &slots, &mut rng)?;
    // The same on every node: election timeouts are slots of one sequence (rule 8).
    let seed = identity.cluster.get();
    let starts = std::mem::take(&mut parts.starts);
    let log = stores.log.clone();
    let host = Host::new(&group_config(&config), config.node, identity.cluster, starts, log, seed, clock::boottime())
        .map_err(|why| Error::Storage(why.to_string()))?;

    // What the operator said last of the first nodes, and what the facts say of the others.
    let told = |node: &meta::Node| {
        let listed = directory.facts.members.iter().find(|(id, _)| *id == node.id);
        listed.map_or_else(|| (node.id, node.peer.clone()), Clone::clone)
    };
    let others: Vec<_> = cluster.nodes.iter().map(told).collect();
    let peers = Arc::new(Peers::new(identity, own_peer, &others, metrics.clone()));
    let session = SessionId(clock::entropy()?);
    let machine_threads = or(config.threads.machine, (cores / 2).max(1));
    let core = Arc::new(Core {
        node: config.node,
        engine: stores.engine.clone(),
        log: stores.log.clone(),
        worker: Queue::new(limits::PEER_QUEUE_BYTES_MAX),
        log_queue: Arc::new(Queue::new(usize::MAX)),
        machines: Machines::new(machine_threads, parts.groups.keys().copied()),
        peers: peers.clone(),
        forwarding: Forwarding::new(config.node, session, config.deadline()),
        snapshots: Snapshots::default(),
        metrics: metrics.clone(),
        usage,
        running,
        hub,
        trackers,
        moves: Arc::default(),
        tokio: runtime.handle().clone(),
        stop: Stop::default(),
        loaded: AtomicBool::new(false),
        sampler: Sampler::new(&config.telemetry, &telemetry),
        cache: stores.cache.clone(),
        status: Mutex::default(),
        seeds: AtomicU64::new(rng.next()),
        // What is replayed now is in no flushed state: the flusher's next turn has something to do.
        log_bytes: AtomicU64::new(u64::from(parts.is_behind)),
        latency: Arc::default(),
        saves: Mutex::new(Saves { last: clock::wall(), ..Saves::default() }),
        shutdown: watch::channel(None).0,
        snapshot_directory: directory.snapshots(),
        local: parts.groups,
        map: RwLock::new(Arc::new(cluster.map(config.node))),
        membership,
        config,
    });
    core.know_members();

    let mut threads = Threads::default();
    let done = {
        let core = core.clone();
        move |number, bytes| {
            core.log_bytes.fetch_add(bytes, Ordering::Relaxed);
            core.worker.push_unbounded(worker::Event::Persisted(number));
        }
    };
    threads.log =
        Some(log_writer::spawn(stores.log.clone(), core.log_queue.clone(), metrics, core.latency.clone(), done)?);
    threads.machines = machines::spawn(&core, parts.machines)?;
    threads.worker = Some(worker::spawn(core.clone(), host, core.config.raft.tick)?);
    threads.flusher = Some(background::spawn_flusher(core.clone())?);

    let inbound: Arc<dyn Inbound> = core.clone();
    peers.connect(&inbound, &mut rng);
    let (shutdown, stopping) = watch::channel(false);
    if let Some(listener) = peer {
        let mut stopping = stopping.clone();
        let stop = async move {
            let _ = stopping.wait_for(|stop| *stop).await;
        };
        let serve = peers::serve(peers, inbound, tokio::net::TcpListener::from_std(listener)?, stop);
        tokio::spawn(async move {
            if let Err(why) = serve.await {
                tracing::error!(%why, "the peer listener ended");
            }
        });
    }
    threads::spawn_task("time of forwarding", Forwarding::keep_time(core.clone()));
    threads::spawn_task("cluster map", keep_map(core.clone()));
    threads::spawn_task("report of the replay", report_replay(core.clone()));
    threads::spawn_task("removal", membership::watch_removal(core.clone()));
    threads::spawn_task("registration", membership::keep_registered(core.clone()));

    let node: Arc<dyn Node> = Arc::new(RuntimeNode::new(core.clone(), rng.fork()));
    let service = Service::new(node, service_options(&core.config, resp_address));
    threads::spawn_task("first users", membership::bring_users(core.clone()));
    threads::spawn_task("users", membership::follow_users(core.clone(), service.clone()));
    let text = {
        let core = core.clone();
        Arc::new(move || (METRICS_TYPE, facts::metrics(&core)))
    };
    let http = front::http::serve(tokio::net::TcpListener::from_std(http)?, service.clone(), text, stopping.clone());
    let http = tokio::spawn(http);
    let resp = tokio::spawn(front::resp::serve(tokio::net::TcpListener::from_std(resp)?, service, stopping));
    tracing::info!(resp = %resp_address, http = %http_address, peer = ?peer_address, "listening");
    drop(entered);
    Ok(Running {
        resp: resp_address,
        http: http_address,
        peer: peer_address,
        core,
        threads,
        shutdown,
        fronts: (resp, http),
        runtime,
        _directory: directory,
        telemetry,
    })
}

const METRICS_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The two databases.
pub(super) struct Stores {
    /// The Raft log.
    pub log: Arc<dyn Log>,
    /// The state, with the record cache before it.
    pub engine: Arc<dyn Engine>,
    /// The record cache, if there is one.
    pub cache: Option<Arc<CachedEngine>>,
}

impl Stores {
    fn open(config: &Config, directory: &Directory) -> Result<Stores> {
        let failed = |why: crate::store::Error| Error::Storage(why.to_string());
        rocks::inspect(&directory.raft(), "log").map_err(failed)?;
        rocks::inspect(&directory.state(), "state").map_err(failed)?;
        let log = RocksLog::open(&directory.raft(), &LogOptions::default()).map_err(failed)?;
        if log.torn_bytes() > 0 {
            tracing::warn!(bytes = log.torn_bytes(), "cut a half-written last record off the log");
        }
        let storage = &config.storage;
        let size = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
        let options = StateOptions { block_cache_bytes: size(storage.block_cache_bytes), ..StateOptions::default() };
        let state = RocksEngine::open(&directory.state(), &options).map_err(failed)?;
        let log = Arc::new(log);
        let with_generations = |below| Arc::new(Generations::new(below, storage.write_buffer_bytes));
        if storage.cache_bytes == 0 {
            return Ok(Stores { log, engine: with_generations(Arc::new(state)), cache: None });
        }
        let policy = match storage.cache_policy {
            CachePolicy::TinyLfu => cached::Policy::TinyLfu,
            CachePolicy::Lru => cached::Policy::Lru,
        };
        let cache = Arc::new(CachedEngine::new(Arc::new(state), storage.cache_bytes, policy));
        Ok(Stores { log, engine: with_generations(cache.clone()), cache: Some(cache) })
    }
}

/// What is made of the stores for each group.
struct Parts {
    starts: Vec<GroupStart>,
    machines: BTreeMap<GroupId, Machine>,
    groups: BTreeMap<GroupId, Group>,
    /// The state of some group ends before its log.
    is_behind: bool,
}

impl Parts {
    fn load(
        settings: machine::Settings,
        stores: &Stores,
        starts: Vec<GroupStart>,
        slots: &BTreeMap<GroupId, Option<crate::base::SlotRange>>,
        rng: &mut Rng,
    ) -> Result<Parts> {
        let failed = |why: String| Error::Storage(why);
        let logs = stores.log.load().map_err(|why| failed(why.to_string()))?;
        let slots_of = |start: &GroupStart| slots.get(&start.group).copied().flatten();
        let owned: Vec<_> = starts.iter().filter_map(slots_of).collect();
        let emptied = machine::snapshot::drop_unowned(stores.engine.as_ref(), &owned)
            .map_err(|why| failed(format!("slots that no group here owns: {why}")))?;
        for range in emptied {
            tracing::warn!(
                first = range.first.get(),
                last = range.last.get(),
                "deleted records that no group here owns"
            );
        }
        let mut parts =
            Parts { starts: Vec::new(), machines: BTreeMap::new(), groups: BTreeMap::new(), is_behind: false };
        for start in starts {
            let group = start.group;
            let slots = slots_of(&start);
            let (content, engine) = (meta::content(slots), stores.engine.clone());
            let mut machine = Machine::new(group, content, start.epoch, engine, settings.clone(), rng.next())
                .map_err(|why| failed(format!("group {group}: {why}")))?;
            let log = logs.iter().find(|log| log.group == group).copied();
            if let Some(log) = &log {
                let (last, term) = log.last_place(stores.log.as_ref()).map_err(|why| failed(why.to_string()))?;
                machine.started_with_log(last, term);
            }
            let state: &State = machine.state();
            parts.is_behind |= log.is_some_and(|log| log.last > state.applied);
            let cell = Cell::new(group);
            cell.set_applied(state.applied, state.stamp);
            let replay_to = log.map_or(LogIndex(0), |log| log.hard_state.commit);
            parts.groups.insert(
                group,
                Group { slots, cell, version: machine.version(), cold: AtomicBool::new(false), replay_to },
            );
            parts.starts.push(GroupStart {
                conf_state: state.conf_state.clone(),
                applied: (state.applied, state.term),
                hash: state.hash,
                log,
                ..start
            });
            parts.machines.insert(group, machine);
        }
        Ok(parts)
    }
}

fn listen(purpose: &'static str, address: SocketAddr) -> Result<TcpListener> {
    let bind = || {
        let listener = TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        Ok(listener)
    };
    bind().map_err(|source| Error::Listen { purpose, address, source })
}

fn group_config(config: &Config) -> host::Config {
    let raft = &config.raft;
    let defaults = host::Config::default();
    host::Config {
        heartbeat_ticks: raft.heartbeat_ticks,
        // The window keeps its proportion: so many replicas' slots do not overlap in it.
        election_ticks: (
            raft.election_ticks,
            raft.election_ticks * defaults.election_ticks.1 / defaults.election_ticks.0,
        ),
        log_entries_kept: raft.log_entries_kept,
        lease: if raft.lease.is_zero() { defaults.lease } else { raft.lease },
        use_leases: !raft.lease.is_zero(),
        ..defaults
    }
}

fn service_options(config: &Config, resp: SocketAddr) -> service::Options {
    service::Options {
        clients_max: config.clients_max,
        password: config.password.clone(),
        default_rules: config.users.iter().find(|(name, _)| *name == DEFAULT).map(|(_, rules)| rules.clone()),
        idle_timeout: config.idle_timeout,
        query_buffer_bytes: config.query_buffer_bytes,
        output_buffer_bytes: config.output_buffer_bytes,
        bulk_bytes: config.thresholds.string_bytes_max,
        bind: resp.ip().to_string(),
        port: resp.port(),
        executable: std::env::current_exe().map(|path| path.display().to_string()).unwrap_or_default(),
        debug_command: config.debug_command,
        sizes: config.thresholds.parameters().to_vec(),
    }
}

/// Leaders change the map at once; places in the log and who is heard of, now and then.
async fn keep_map(core: Arc<Core>) {
    loop {
        tokio::time::sleep(MAP_REFRESH).await;
        core.refresh_map();
        core.keep_peers();
    }
}

async fn report_replay(core: Arc<Core>) {
    let started = clock::boottime();
    while !core.replayed() {
        for (id, group) in core.local.iter().filter(|(_, group)| group.cell.applied() < group.replay_to) {
            tracing::info!(group = %id, applied = %group.cell.applied(), of = %group.replay_to, "replaying the log");
        }
        tokio::time::sleep(REPLAY_REPORT).await;
    }
    tracing::info!(took = ?clock::boottime().since(started), "everything committed before is applied");
}
