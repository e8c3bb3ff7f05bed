//! What a node tells about itself: sections of INFO, points of readiness, gauges for Prometheus.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use bytes::Bytes;

use super::core::Core;
use super::metrics::{GroupFacts, Observed};
use super::process;
use crate::base::{GroupId, PeerId};
use crate::data::Counts;
use crate::host::GroupStatus;
use crate::service::node::ScriptFigures;
use crate::store::Order;
use crate::store::keys::{self, GroupKind};

type Section = (&'static str, Vec<(String, String)>);

/// Sections for INFO.
pub fn facts(core: &Core) -> Vec<Section> {
    vec![memory(), lookups(core), cpu(), keyspace(core), raft(core), storage(core), l1(core)]
}

/// Points of readiness.
pub fn checks(core: &Core) -> Vec<(&'static str, Result<(), String>)> {
    let replaying = core.local.iter().find(|(_, group)| group.cell.applied() < group.replay_to);
    let replayed = match replaying {
        Some((id, group)) => Err(format!("group {id} is at {} of {}", group.cell.applied(), group.replay_to)),
        None => Ok(()),
    };
    let leaderless: Vec<_> = core.map().groups.iter().filter(|group| group.leader.is_none()).map(|g| g.id).collect();
    let leaders = match leaderless.as_slice() {
        [] => Ok(()),
        [first, rest @ ..] => Err(format!("no leader is known for group {first} and {} others", rest.len())),
    };
    let disk = if core.engine.figures().stalled { Err("writes to the state are stalled".into()) } else { Ok(()) };
    vec![("replayed", replayed), ("leaders-known", leaders), ("disk", disk)]
}

/// Scripts and functions of all groups with a replica here, counted anew: there are few, and they are asked for seldom.
/// Where the engine fails they are told as none; whoever writes to it next ends the process.
pub fn scripts(core: &Core) -> ScriptFigures {
    let mut figures = ScriptFigures::default();
    let (mut scripts, mut libraries, mut functions) = <(BTreeSet<Bytes>, BTreeSet<Bytes>, BTreeSet<Bytes>)>::default();
    let count = |group, kind, names: &mut BTreeSet<Bytes>, bytes: &mut usize| {
        let (start, end) = keys::group_kind(group, kind);
        let counted = core.engine.scan(&start, &end, Order::Forward, &mut |record, value| {
            // The order of scripts has no name.
            if record.len() > start.len() {
                names.insert(Bytes::copy_from_slice(&record[start.len()..]));
            }
            *bytes += record.len() + value.len();
            ControlFlow::Continue(())
        });
        counted.unwrap_or_else(|_| names.clear());
    };
    for group in core.local.keys() {
        count(*group, GroupKind::Script, &mut scripts, &mut figures.scripts_bytes);
        count(*group, GroupKind::Library, &mut libraries, &mut figures.libraries_bytes);
        count(*group, GroupKind::Function, &mut functions, &mut figures.libraries_bytes);
    }
    ScriptFigures { scripts: scripts.len(), libraries: libraries.len(), functions: functions.len(), ..figures }
}

/// The OpenMetrics text of what the node counts.
pub fn metrics(core: &Core) -> String {
    let groups = core.local.iter().map(|(id, group)| {
        let view = group.cell.view();
        GroupFacts {
            group: id.get(),
            term: view.term.get(),
            commit: view.commit.get(),
            applied: group.cell.applied().get(),
            leads: view.leader == Some(core.node),
        }
    });
    let (pending, pending_bytes) = core.forwarding.pending();
    let observed = Observed {
        queues: vec![
            ("machines", core.machines.queued_bytes() as u64),
            ("worker", core.worker.bytes() as u64),
            ("peers", core.peers.queued_bytes() as u64),
            ("submissions", pending_bytes as u64),
        ],
        pending_submissions: pending as u64,
        resident_bytes: process::memory().resident,
        state: core.engine.figures(),
        log_stalls: core.log.stalls(),
    };
    core.metrics.observe(groups, &observed);
    core.metrics.render()
}

fn pairs<const N: usize>(pairs: [(&str, String); N]) -> Vec<(String, String)> {
    pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// Resident memory stands for used memory: caches and memtables are most of it.
fn memory() -> Section {
    let memory = process::memory();
    let share = 100.0 * memory.resident as f64 / memory.peak.max(1) as f64;
    let lines = pairs([
        ("used_memory", memory.resident.to_string()),
        ("used_memory_rss", memory.resident.to_string()),
        ("used_memory_peak", memory.peak.max(memory.resident).to_string()),
        ("used_memory_peak_perc", format!("{:.2}%", share.min(100.0))),
        ("allocator_resident", memory.resident.to_string()),
        ("total_system_memory", memory.system.to_string()),
    ]);
    ("Memory", lines)
}

fn lookups(core: &Core) -> Section {
    let lookups = core.usage.lookups();
    let lines = pairs([
        ("expired_keys", lookups.expired.to_string()),
        ("keyspace_hits", lookups.hits.to_string()),
        ("keyspace_misses", lookups.misses.to_string()),
    ]);
    ("Stats", lines)
}

/// Nothing forks, so there are no children, and no thread is the main one: it is the one that answers this.
fn cpu() -> Section {
    let (all, this) = (process::processor(false), process::processor(true));
    let lines = [
        ("used_cpu_sys", all.system),
        ("used_cpu_user", all.user),
        ("used_cpu_sys_main_thread", this.system),
        ("used_cpu_user_main_thread", this.user),
    ];
    ("CPU", pairs(lines.map(|(name, seconds)| (name, format!("{seconds:.6}")))))
}

/// Keys per database over all groups with a replica here.
fn keyspace(core: &Core) -> Section {
    let mut total = Counts::default();
    for group in core.local.keys() {
        let Some(counts) = counts(core, *group) else { continue };
        for db in 0..total.keys.len() {
            total.keys[db] += counts.keys[db];
            total.expires[db] += counts.expires[db];
        }
    }
    let used = (0..total.keys.len()).filter(|db| total.keys[*db] > 0);
    let line =
        |db: usize| (format!("db{db}"), format!("keys={},expires={},avg_ttl=0", total.keys[db], total.expires[db]));
    ("Keyspace", used.map(line).collect())
}

fn counts(core: &Core, group: GroupId) -> Option<Counts> {
    Counts::decode(&core.engine.get(&keys::counts(group)).ok()??).ok()
}

fn raft(core: &Core) -> Section {
    let mut lines = pairs([
        ("node_id", core.node.to_string()),
        ("cluster_id", format!("{:016x}", core.map().cluster.get())),
        ("raft_messages_dropped", core.metrics.raft_messages_dropped.get().to_string()),
        ("foreign_peers_refused", core.metrics.foreign_refused.get().to_string()),
    ]);
    lines.extend(core.map().nodes.iter().map(|node| {
        let known = |address: &Option<String>| address.clone().unwrap_or_default();
        let (resp, http, reachable) = (known(&node.resp), known(&node.http), u8::from(node.reachable));
        let facts = format!("peer={},resp={resp},http={http},reachable={reachable}", node.peer);
        (format!("node{}", node.id), facts)
    }));
    lines.extend(core.local.iter().map(|(id, group)| {
        let view = group.cell.view();
        let role = match view.leader {
            Some(leader) if leader == core.node => "leader",
            Some(_) => "follower",
            None => "candidate",
        };
        let leader = view.leader.map_or(0, |leader| leader.get());
        let applied = group.cell.applied();
        let facts = format!("role={role},leader={leader},term={},commit={},applied={applied}", view.term, view.commit);
        (format!("group{id}"), facts)
    }));
    for status in core.status.lock().iter() {
        let facts = format!(
            "first={},last={},durable={},elections={},snapshots_sent={},snapshots_installed={}",
            status.first,
            status.last,
            status.durable,
            status.counters.elections,
            status.counters.snapshots_sent,
            status.counters.snapshots_installed
        );
        lines.push((format!("group{}_log", status.group), facts));
        lines.push((format!("group{}_members", status.group), members(core, status)));
        lines.extend(status.peers.iter().map(|peer| {
            let node = peer.node.map_or(0, |node| node.get());
            let facts = format!("node={node},state={},lag={},active={}", peer.state, peer.lag, u8::from(peer.active));
            (format!("group{}_replica{}", status.group, peer.peer), facts)
        }));
    }
    ("Raft", lines)
}

/// On which nodes the replicas of a group are that have a vote, and those that are catching up.
fn members(core: &Core, status: &GroupStatus) -> String {
    let facts = core.membership.facts();
    let group = facts.groups.iter().find(|group| group.id == status.group);
    let node = |peer: &PeerId| group.and_then(|group| group.peers.get(peer).or_else(|| group.former.get(peer)));
    let nodes = |peers: &[PeerId]| {
        let nodes: Vec<String> = peers.iter().map(|peer| node(peer).map_or(0, |node| node.get()).to_string()).collect();
        nodes.join("|")
    };
    let settled = u8::from(status.is_as_wanted);
    format!("voters={},learners={},settled={settled}", nodes(&status.voters), nodes(&status.learners))
}

fn storage(core: &Core) -> Section {
    let figures = core.engine.figures();
    let lines = pairs([
        ("state_disk_bytes", figures.disk_bytes.to_string()),
        ("state_unflushed_bytes", figures.unflushed_bytes.to_string()),
        ("state_block_cache_bytes", figures.cache_bytes.to_string()),
        ("state_records", figures.records.to_string()),
        ("state_stalled", u8::from(figures.stalled).to_string()),
        ("state_writes_delayed", figures.stalls.delays.to_string()),
        ("state_writes_stopped", figures.stalls.stops.to_string()),
    ]);
    ("Storage", lines)
}

fn l1(core: &Core) -> Section {
    let figures = core.engine.figures();
    let lines = pairs([
        ("l1_hits", figures.l1_hits.to_string()),
        ("l1_misses", figures.l1_misses.to_string()),
        ("l1_bytes", figures.l1_bytes.to_string()),
    ]);
    ("L1", lines)
}
