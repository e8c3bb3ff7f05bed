//! What a seed decides before anything happens: the shape of the cluster, its settings, and which faults strike when.
//!
//! Invariant: faults stop at [`Plan::heal_at`]; from then on the network, the disks and all nodes are healthy, so that
//! progress can be demanded.

use std::time::Duration;

use super::coverage::Coverage;
use super::drama::{DRAMAS, Drama};
use super::network::{Cut, Weather};
use crate::base::{GroupId, Nanos, NodeId, Rng};
use crate::data::Thresholds;
use crate::host::meta::{self, Facts};
use crate::service::forward;
use crate::{host, machine};

/// How local reads are made safe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadMode {
    /// Under the leader's lease.
    Lease,
    /// By a round to a quorum for each.
    ReadIndex,
}

/// Bounds that are wide in production: what happens at them must happen often here.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Bytes of mutations after which an entry is closed.
    pub entry_bytes: usize,
    /// Entries proposed and not applied.
    pub entries_in_flight: usize,
    /// Bytes of waiting submissions that are worth an entry of their own while others are in flight.
    pub worthwhile_bytes: usize,
    /// Bytes of submissions that wait at a machine.
    pub machine_queue_bytes: usize,
    /// Keys whose watches a leader remembers.
    pub watched_keys: usize,
    /// Bytes of a forwarded frame.
    pub frame_bytes: usize,
    /// Forwarded frames under way.
    pub frames_in_flight: usize,
    /// Entry bytes in one append message.
    pub append_bytes: u64,
    /// Append messages under way to one follower.
    pub appends_in_flight: usize,
    /// Entry bytes that a leader holds uncommitted.
    pub uncommitted_bytes: u64,
    /// Bytes of committed entries that a machine has not applied.
    pub unapplied_bytes: u64,
    /// Bytes of a chunk of a snapshot.
    pub chunk_bytes: usize,
}

impl Bounds {
    /// As in production, nearly.
    pub const WIDE: Bounds = Bounds {
        entry_bytes: 1 << 20,
        entries_in_flight: 16,
        worthwhile_bytes: 16 << 10,
        machine_queue_bytes: 256 << 20,
        watched_keys: 100_000,
        frame_bytes: 1 << 20,
        frames_in_flight: 4,
        append_bytes: 1 << 20,
        appends_in_flight: 256,
        uncommitted_bytes: 512 << 20,
        unapplied_bytes: 64 << 20,
        chunk_bytes: 1 << 20,
    };

    /// Each bound is narrow in one of three seeds.
    fn draw(rng: &mut Rng) -> Bounds {
        let mut bounds = Bounds::WIDE;
        let mut narrow = |change: &mut dyn FnMut(&mut Bounds, u64)| {
            let (is_narrow, how) = (rng.chance(1, 3), rng.below(3));
            if is_narrow {
                change(&mut bounds, how);
            }
        };
        narrow(&mut |bounds, how| bounds.entry_bytes = [1, 100, 2_000][how as usize]);
        narrow(&mut |bounds, how| bounds.entries_in_flight = [1, 2, 3][how as usize]);
        narrow(&mut |bounds, how| bounds.machine_queue_bytes = [1, 500, 5_000][how as usize]);
        narrow(&mut |bounds, how| bounds.watched_keys = [1, 2, 5][how as usize]);
        narrow(&mut |bounds, how| bounds.frame_bytes = [1, 300, 2_000][how as usize]);
        narrow(&mut |bounds, how| bounds.frames_in_flight = [1, 2, 3][how as usize]);
        narrow(&mut |bounds, how| bounds.append_bytes = [1, 100, 2_000][how as usize]);
        narrow(&mut |bounds, how| bounds.appends_in_flight = [1, 2, 4][how as usize]);
        narrow(&mut |bounds, how| bounds.uncommitted_bytes = [1, 1_000, 5_000][how as usize]);
        narrow(&mut |bounds, how| bounds.unapplied_bytes = [1, 200, 2_000][how as usize]);
        narrow(&mut |bounds, how| bounds.chunk_bytes = [100, 1_000, 10_000][how as usize]);
        narrow(&mut |bounds, how| bounds.worthwhile_bytes = [1, 100, 1_000][how as usize]);
        bounds
    }
}

/// A seed's decisions.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Where they come from.
    pub seed: u64,
    /// Nodes 1..=nodes, with which the cluster begins, all voters of every group.
    pub nodes: u64,
    /// Nodes with the ids behind those, which may join.
    pub guests: u64,
    /// Partitions beside the meta group.
    pub partitions: u16,
    /// How reads are made safe.
    pub read_mode: ReadMode,
    /// Applied entries kept in the log before it is cut: below this a lagging follower needs no snapshot.
    pub log_entries_kept: u64,
    /// Bytes of entries that a group keeps in memory.
    pub log_cache_bytes: u64,
    /// How often a node flushes its state.
    pub flush_every: Duration,
    /// Elements of a small value in one record: few, so that values of both forms occur.
    pub entries_max: usize,
    /// How narrow queues, entries and messages are.
    pub bounds: Bounds,
    /// Whether clocks run apart.
    pub skewed_clocks: bool,
    /// Clients.
    pub clients: u64,
    /// Clients beside them at each node that only read, and stay there.
    pub readers_per_node: u64,
    /// What a client waits at most between two requests.
    pub think_max: Duration,
    /// Whether the engine's memory-only lookups miss now and then.
    pub cold_reads: bool,
    /// Bytes of the cache of records above the engine, 0 for none.
    pub cache_bytes: u64,
    /// Bytes of one generation above them.
    pub generation_bytes: u64,
    /// Whether clients hang up now and then while they wait for a key: each of them hides a token that was lost.
    pub hang_ups: bool,
    /// Whether clients empty the keyspace now and then. They share one family of keys then, and are few.
    pub wipes: bool,
    /// Faults in order of time.
    pub faults: Vec<(Nanos, Fault)>,
    /// When everything becomes healthy.
    pub heal_at: Nanos,
}

/// Something bad (or, for transfers, something an operator does).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A process dies now and comes back after a while.
    Crash { node: NodeId, down: Duration },
    /// A process dies between two of its next effects.
    CrashAtEffect { node: NodeId, effects: u64, down: Duration },
    /// Power cut everywhere.
    CrashAll { down: Duration },
    /// A process is stopped and goes on later, unaware.
    Pause { node: NodeId, length: Duration },
    /// Messages between some nodes are lost.
    Partition { cut: Cut, length: Duration },
    /// Links get worse.
    Weather { links: Vec<(NodeId, NodeId)>, weather: Weather, length: Duration },
    /// Syncs take long.
    SlowDisk { node: NodeId, length: Duration },
    /// No space left: the log cannot be written.
    FullDisk { node: NodeId, length: Duration },
    /// The next log write fails.
    FailingDisk { node: NodeId },
    /// The next write of the state, or the next snapshot that is to replace it, fails: the process must end.
    FailingState { node: NodeId },
    /// A process is told to end: it hands its leaderships over and stops.
    Leave { node: NodeId, down: Duration },
    /// The wall clock is set.
    SetWall { node: NodeId },
    /// The wall clock is set to this far from true time.
    SetWallTo { node: NodeId, ahead_ms: i64 },
    /// An operator moves leadership.
    Transfer { group: GroupId, to: NodeId },
    /// The clients of a node do not wait for answers any more: readers ask anew, others go to the next node.
    HangUp { node: NodeId },
    /// Clients only read for a while.
    Hush { length: Duration },
    /// The raft worker is not scheduled for a while between two of its next effects; other threads are.
    Preempt { node: NodeId, effects: u64, length: Duration },
    /// The same, the next time that it has sent messages and not yet told a machine what belongs to them.
    PreemptMidway { node: NodeId, length: Duration },
    /// An operator starts the next node that is to join.
    Join,
    /// An operator removes a node from the cluster; one that will never be started again if it is `dead`.
    Forget { dead: bool },
    /// A story around the group's leader of that moment.
    Stage { drama: Drama, group: GroupId },
}

impl Plan {
    /// The plan of a seed.
    pub fn new(seed: u64) -> Plan {
        let rng = &mut Rng::new(seed ^ 0x5eed_0f01_dfa5);
        let nodes = match rng.below(10) {
            0 => 1,
            1 => 5,
            _ => 3,
        };
        let seconds = rng.range(8, 25);
        // Of its own source: seeds without guests are what they were before there were any.
        let mut guests = Rng::new(seed ^ 0x9e57_5a11_d00d);
        let mut plan = Plan {
            seed,
            nodes,
            guests: if guests.chance(1, 6) { guests.range(1, 3) } else { 0 },
            partitions: if rng.chance(1, 4) { 6 } else { 1 },
            read_mode: if rng.chance(1, 3) { ReadMode::ReadIndex } else { ReadMode::Lease },
            log_entries_kept: *rng.pick(&[1, 10, 50, 1_000]),
            log_cache_bytes: *rng.pick(&[1, 500, 20_000, 64 << 20]),
            flush_every: Duration::from_millis(*rng.pick(&[50, 500, 5_000])),
            entries_max: *rng.pick(&[1, 2, 64]),
            bounds: Bounds::draw(rng),
            skewed_clocks: rng.chance(2, 3),
            clients: rng.range(3, 12),
            readers_per_node: 1,
            think_max: Duration::from_millis(*rng.pick(&[20, 60, 150])),
            cold_reads: rng.chance(1, 4),
            cache_bytes: *rng.pick(&[0, 0, 5_000, 1 << 20]),
            generation_bytes: *rng.pick(&[500, 20_000, 64 << 20]),
            hang_ups: Rng::new(seed ^ 0x4a26_0b5e_7e11).chance(1, 2),
            wipes: rng.chance(1, 20),
            faults: Vec::new(),
            heal_at: Nanos(0) + Duration::from_secs(seconds),
        };
        // What the cache holds depends on when it tidies itself up, which is the one thing here that no seed decides.
        // Answers do not; whether the engine is asked at all does.
        if plan.cold_reads {
            plan.cache_bytes = 0;
        }
        if plan.wipes {
            plan.partitions = 1;
            plan.clients = 3;
            plan.think_max = Duration::from_millis(150);
        }
        plan.draw_dramas(rng);
        // Dramas alone, faults alone, and both at once.
        if plan.faults.is_empty() || rng.chance(1, 3) {
            plan.draw_faults(rng);
        }
        if plan.guests > 0 {
            plan.draw_membership(&mut guests);
        }
        plan.faults.sort_by_key(|(time, _)| *time);
        plan
    }

    /// A cluster of three with nothing wrong, for directed scenarios to change.
    pub fn calm(seed: u64, length: Duration) -> Plan {
        Plan {
            seed,
            nodes: 3,
            guests: 0,
            partitions: 1,
            read_mode: ReadMode::Lease,
            log_entries_kept: 1_000,
            log_cache_bytes: 64 << 20,
            flush_every: Duration::from_secs(1),
            entries_max: 2,
            bounds: Bounds::WIDE,
            skewed_clocks: false,
            clients: 6,
            readers_per_node: 0,
            think_max: Duration::from_millis(40),
            cold_reads: false,
            cache_bytes: 0,
            generation_bytes: 64 << 20,
            hang_ups: true,
            wipes: false,
            faults: Vec::new(),
            heal_at: Nanos(0) + length,
        }
    }

    /// All nodes that there ever are.
    pub fn all(&self) -> u64 {
        self.nodes + self.guests
    }

    /// What the meta group begins with.
    pub fn beginning(&self) -> Facts {
        let nodes = (1..=self.nodes).map(|id| meta::Node::new(NodeId(id), format!("node-{id}:16379"))).collect();
        Facts::initial(nodes, self.partitions, self.nodes as usize, "sim")
    }

    /// What the groups are told.
    pub fn group_config(&self) -> host::Config {
        host::Config {
            use_leases: self.read_mode == ReadMode::Lease,
            tail_bytes_kept: self.log_cache_bytes,
            log_entries_kept: self.log_entries_kept,
            follower_lag_max: self.log_entries_kept * 3,
            snapshot_ticks: 1_000,
            append_bytes_max: self.bounds.append_bytes,
            appends_in_flight: self.bounds.appends_in_flight,
            uncommitted_bytes_max: self.bounds.uncommitted_bytes,
            unapplied_bytes_max: self.bounds.unapplied_bytes,
            ..host::Config::default()
        }
    }

    /// What the machines are told.
    pub fn machine_settings(&self) -> machine::Settings {
        let thresholds = Thresholds {
            hash_entries_max: self.entries_max,
            set_integers_max: self.entries_max,
            set_entries_max: self.entries_max,
            zset_entries_max: self.entries_max,
            stream_node_entries_max: self.entries_max + 1,
            // Never so few that a node has no place for two.
            node_entries_max: self.entries_max + 2,
            ..Thresholds::default()
        };
        machine::Settings {
            entry_bytes_target: self.bounds.entry_bytes,
            entries_in_flight_max: self.bounds.entries_in_flight,
            entry_bytes_worthwhile: self.bounds.worthwhile_bytes,
            queue_bytes_max: self.bounds.machine_queue_bytes,
            watched_keys_max: self.bounds.watched_keys,
            ..machine::Settings::new(thresholds)
        }
    }

    /// What the forwarders are told.
    pub fn forward_bounds(&self) -> forward::Bounds {
        forward::Bounds {
            frames_in_flight_max: self.bounds.frames_in_flight,
            frame_bytes_max: self.bounds.frame_bytes,
            ..forward::Bounds::default()
        }
    }

    /// Notes which settings this plan covers.
    pub fn cover(&self, coverage: &mut Coverage) {
        coverage.saw(if self.partitions > 1 { "many partitions" } else { "one partition" });
        coverage.saw(match self.read_mode {
            ReadMode::Lease => "lease mode",
            ReadMode::ReadIndex => "read-index mode",
        });
        coverage.saw(match self.log_entries_kept {
            0..10 => "log of 1 entry",
            10..50 => "log of 10 entries",
            50..1_000 => "log of 50 entries",
            _ => "log of 1000 entries",
        });
        if self.wipes {
            coverage.saw("wipes");
        }
        if self.cache_bytes > 0 {
            coverage.saw("record cache");
        }
        if self.skewed_clocks {
            coverage.saw("clocks apart");
        }
        if self.guests > 0 {
            coverage.saw("nodes that may join");
        }
        match self.nodes {
            1 => coverage.saw("one node"),
            5 => coverage.saw("five nodes"),
            _ => {}
        }
    }

    /// Nodes join and are removed, one after the other.
    fn draw_membership(&mut self, rng: &mut Rng) {
        let mut time = Nanos(1_000_000_000) + Duration::from_millis(rng.below(2_000));
        for _ in 0..rng.range(2, 6) {
            if time >= self.heal_at {
                return;
            }
            let fault = if rng.chance(1, 2) { Fault::Join } else { Fault::Forget { dead: rng.chance(1, 2) } };
            self.faults.push((time, fault));
            time = time + Duration::from_millis(rng.range(200, 4_000));
        }
    }

    /// Half of the seeds see one to three kinds of dramas, one after the other.
    fn draw_dramas(&mut self, rng: &mut Rng) {
        if self.nodes == 1 || rng.chance(1, 2) {
            return;
        }
        let kinds: Vec<Drama> = (0..rng.range(1, 4)).map(|_| rng.pick(DRAMAS).0).collect();
        let mut time = Nanos(1_000_000_000);
        loop {
            time = time + Duration::from_millis(rng.range(500, 3_500));
            if time >= self.heal_at {
                return;
            }
            let group = GroupId(1 + rng.below(u64::from(self.partitions)));
            self.faults.push((time, Fault::Stage { drama: *rng.pick(&kinds), group }));
        }
    }

    /// Each kind of fault is on or off for a seed as a whole: a run in which everything happens hides what a few
    /// faults do alone.
    fn draw_faults(&mut self, rng: &mut Rng) {
        let kinds: Vec<u64> = (0..14).filter(|_| rng.chance(2, 5)).collect();
        if kinds.is_empty() {
            return;
        }
        let pause = Duration::from_millis(*rng.pick(&[300, 1_000, 3_000]));
        // The first second belongs to the first election.
        let mut time = Nanos(1_000_000_000);
        loop {
            time = time + random(rng, pause);
            if time >= self.heal_at {
                return;
            }
            let kind = *rng.pick(&kinds);
            if let Some(fault) = self.draw_fault(kind, rng) {
                self.faults.push((time, fault));
            }
        }
    }

    fn draw_fault(&self, kind: u64, rng: &mut Rng) -> Option<Fault> {
        let node = self.node(rng);
        let length = random(rng, Duration::from_millis(3_000));
        let down = random(rng, Duration::from_millis(2_500));
        Some(match kind {
            0 => Fault::Crash { node, down },
            1 => Fault::CrashAtEffect { node, effects: rng.below(40), down },
            2 if rng.chance(1, 3) => Fault::CrashAll { down },
            3 => Fault::Pause { node, length },
            4 if self.nodes > 1 => Fault::Partition { cut: self.draw_cut(rng), length },
            5 if self.nodes > 1 => {
                let weather = self.draw_weather(rng);
                Fault::Weather { links: self.draw_links(rng), weather, length }
            }
            6 => Fault::SlowDisk { node, length },
            7 => Fault::FullDisk { node, length },
            8 => Fault::FailingDisk { node },
            9 if self.skewed_clocks => Fault::SetWall { node },
            10 => {
                let group = GroupId(rng.below(u64::from(self.partitions) + 1));
                Fault::Transfer { group, to: node }
            }
            11 if rng.chance(1, 2) => Fault::FailingState { node },
            12 => Fault::Leave { node, down },
            13 => Fault::Preempt { node, effects: rng.below(40), length },
            _ => return None,
        })
    }

    fn node(&self, rng: &mut Rng) -> NodeId {
        NodeId(1 + rng.below(self.all()))
    }

    fn draw_cut(&self, rng: &mut Rng) -> Cut {
        let (mut left, mut right) = (Vec::new(), Vec::new());
        let partial = self.nodes > 2 && rng.chance(1, 4);
        for id in 1..=self.all() {
            match rng.below(if partial { 3 } else { 2 }) {
                0 => left.push(NodeId(id)),
                1 => right.push(NodeId(id)),
                _ => {}
            }
        }
        if rng.chance(1, 3) { Cut::OneWay(left, right) } else { Cut::Sides(left, right) }
    }

    fn draw_weather(&self, rng: &mut Rng) -> Weather {
        let mut weather = Weather::FAIR;
        if rng.chance(1, 2) {
            weather.loss = *rng.pick(&[10, 100, 400]);
        }
        if rng.chance(1, 2) {
            let delay_ms_max = *rng.pick(&[5, 50, 300]);
            weather.delay = random(rng, Duration::from_millis(delay_ms_max));
            weather.jitter = weather.delay;
        }
        weather.reorder = rng.chance(1, 3);
        weather
    }

    fn draw_links(&self, rng: &mut Rng) -> Vec<(NodeId, NodeId)> {
        let all = rng.chance(1, 2);
        let mut links = Vec::new();
        for from in 1..=self.all() {
            for to in 1..=self.all() {
                if from != to && (all || rng.chance(1, 3)) {
                    links.push((NodeId(from), NodeId(to)));
                }
            }
        }
        links
    }
}

/// Uniform up to a length.
pub fn random(rng: &mut Rng, length_max: Duration) -> Duration {
    Duration::from_nanos(rng.below(length_max.as_nanos() as u64 + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plans_repeat_and_stop_their_faults_in_time() {
        for seed in 0..200 {
            let plan = Plan::new(seed);
            assert_eq!(format!("{plan:?}"), format!("{:?}", Plan::new(seed)));
            assert!(plan.faults.iter().all(|(time, _)| *time < plan.heal_at));
            assert!(plan.faults.is_sorted_by_key(|(time, _)| *time));
        }
    }
}
