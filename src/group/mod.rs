//! One Raft group without IO: messages, ticks and proposals in; what to persist, send and apply out. The only
//! place that names the `raft` crate.
//!
//! A [`Group`] is told what happened (one method per cause) and then drained ([`Group::drain`]) for what should be
//! done about it. Nothing is persisted, sent or applied here; everything that must follow an fsync waits here until
//! [`Group::persisted`] says that it happened.
//!
//! # Layout
//!
//! - [`entry`]: the bytes of a log entry, shared with the machine.
//! - `start`: what a group starts from and refuses to start from.
//! - `storage`, `terms`, `record`: the log as the crate sees it. `cut`: how much of it goes.
//! - `effects`: what a group wants done and has to tell. `ready`: from the crate's Ready to it; the order of fsyncs and
//!   messages.
//! - `guard`, `header`: what may come in, and how messages travel.
//! - `leadership`, `timeout`, `lease`, `reads`, `transfer`: who leads, since when, and what it may answer.
//! - `snapshot`: snapshots out and in. `membership`: who takes part. `witness`: replicas compare hashes.
//!
//! # Invariants
//!
//! `applied <= handed out <= min(committed, durable)`; a message of a follower leaves after its Ready and all earlier
//! ones are durable, but for answers to heartbeats (rule 1, `ready`); nothing is stepped between taking a Ready and advancing past it (rule 2).

mod cut;
mod effects;
pub mod entry;
mod guard;
mod header;
mod leadership;
mod lease;
mod membership;
mod reads;
mod ready;
mod record;
mod snapshot;
mod start;
mod status;
mod storage;
mod terms;
mod timeout;
mod transfer;
mod witness;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use protobuf::Message as _;
use raft::eraftpb::{ConfState, Entry, Message, MessageType};
use raft::{RawNode, StateRole};

pub use effects::{Change, ChangeKind, Committed, Effects, Event, Fault, Loss, Mail, Role, SnapshotTask, View};
pub use header::describe;
pub use start::{Start, StartError};
pub use status::{Counters, PeerStatus, Status};

use crate::base::{GroupId, LogIndex, Mutant, Nanos, NodeId, PeerId, Term};
use crate::store::{HardState, Log};
use cut::Cutting;
use guard::Verdict;
use leadership::Leadership;
use lease::{Lease, Promise, Span, Vote};
use membership::Wanted;
use reads::Reads;
use snapshot::Install;
use storage::Store;
use transfer::Transfer;
use witness::Witness;

/// Numbers that an operator or a test may change. Ticks are of the host's tick interval, 10 ms.
#[derive(Clone, Debug)]
pub struct Config {
    /// Ticks between heartbeats.
    pub heartbeat_ticks: usize,
    /// First and last tick of the election window (rule 8).
    pub election_ticks: (usize, usize),
    /// How long a lease lasts. A successor waits that long; also where this node itself uses no leases.
    pub lease: Duration,
    /// Parts per million that a successor waits longer: see the proof in `lease`.
    pub lease_margin_ppm: u32,
    /// Whether this node reads under leases; otherwise every read needs a quorum round and no clock is trusted.
    pub use_leases: bool,
    /// Time after which a leader whose oldest write is not durable steps down (rule 10).
    pub unsynced_max: Duration,
    /// Entry bytes in one append message.
    pub append_bytes_max: u64,
    /// Append messages on their way to one follower.
    pub appends_in_flight: usize,
    /// Entry bytes that a leader holds uncommitted before it refuses proposals.
    pub uncommitted_bytes_max: u64,
    /// Bytes of committed entries handed to the machine and not applied, after which no more are handed out.
    pub unapplied_bytes_max: u64,
    /// Bytes of entries kept in memory although they are durable and applied, for followers that are a little behind.
    pub tail_bytes_kept: u64,
    /// Entries before the applied index that stay in the log, so that a short absence needs no snapshot.
    pub log_entries_kept: u64,
    /// Entries that a leader keeps for an active follower that is further behind than that.
    pub follower_lag_max: u64,
    /// Bytes of entries that stay in the log at most once the state is durable, whoever is behind.
    pub log_bytes_kept: u64,
    /// Ticks after which a snapshot on its way counts as failed.
    pub snapshot_ticks: u32,
}

impl Default for Config {
    fn default() -> Config {
        use crate::base::limits;
        Config {
            heartbeat_ticks: 5,
            election_ticks: (40, 83),
            lease: Duration::from_millis(400),
            lease_margin_ppm: 50_000,
            use_leases: true,
            unsynced_max: Duration::from_millis(830),
            append_bytes_max: limits::APPEND_BYTES_MAX,
            appends_in_flight: limits::APPENDS_IN_FLIGHT_MAX,
            uncommitted_bytes_max: limits::UNCOMMITTED_BYTES_MAX,
            unapplied_bytes_max: 64 << 20,
            tail_bytes_kept: 8 << 20,
            log_entries_kept: 10_000,
            follower_lag_max: 100_000,
            log_bytes_kept: 512 << 20,
            snapshot_ticks: 12_000,
        }
    }
}

/// A Ready whose consequences wait for an fsync.
struct Waiting {
    ready: u64,
    /// Durable with this persist.
    persist: u64,
    since: Nanos,
    mail: Vec<Mail>,
    /// Place of the snapshot that the log was reset to.
    installed: Option<(u64, u64)>,
}

/// One replica of one group.
pub struct Group {
    id: GroupId,
    config: Config,
    seed: u64,
    node: RawNode<Store>,
    /// Where replicas are, former ones among them.
    peers: BTreeMap<PeerId, NodeId>,
    /// What the membership is to become.
    wanted: Wanted,
    /// Membership at birth, and as applied.
    birth: ConfState,
    membership: ConfState,
    hard_state: HardState,
    waiting: VecDeque<Waiting>,
    /// The newest persist that is durable, and the one with the newest term or vote.
    persisted: u64,
    vote_persist: u64,
    /// Up to here committed entries were handed to the machine.
    handed_out: u64,
    applied: u64,
    /// Handed out and not applied: last index of each batch, and its bytes.
    unapplied: VecDeque<(u64, u64)>,
    unapplied_bytes: u64,
    install: Option<Install>,
    leadership: Leadership,
    lease: Lease,
    span: Span,
    promise: Promise,
    votes: Vec<Vote>,
    /// Term whose leases were given up for this replica to take over.
    ended_lease: Option<u64>,
    reads: Reads,
    transfer: Option<Transfer>,
    witness: Witness,
    cutting: Cutting,
    /// A leader's entries or snapshot arrived since the start, or this replica led: it knows what was committed before.
    in_touch: bool,
    /// Set when the group stopped taking part.
    stopped: bool,
    /// No new elections from here: the process ends.
    leaving: bool,
    counters: Counters,
    out: Effects,
}

impl Group {
    /// Opens a group. What must be repaired in the log first is in the first drain.
    pub fn new(
        config: &Config,
        start: Start,
        log: Arc<dyn Log>,
        seed: u64,
        now: Nanos,
    ) -> std::result::Result<Group, StartError> {
        let group = start.group;
        let checked = start::check(&start, &log, config.tail_bytes_kept)?;
        let membership = checked.origin.conf_state.clone();
        let applied = start.applied.0.get();
        let raft_config = raft::Config {
            id: start.peer.get(),
            election_tick: config.election_ticks.0,
            min_election_tick: config.election_ticks.0,
            max_election_tick: config.election_ticks.1 + 1,
            heartbeat_tick: config.heartbeat_ticks,
            applied,
            max_size_per_msg: config.append_bytes_max.min(config.uncommitted_bytes_max),
            max_inflight_msgs: config.appends_in_flight,
            check_quorum: true,
            pre_vote: true,
            skip_bcast_commit: true,
            batch_append: true,
            max_uncommitted_size: config.uncommitted_bytes_max,
            max_committed_size_per_ready: config.unapplied_bytes_max,
            ..raft::Config::default()
        };
        let alone = membership.voters == [start.peer.get()] && membership.voters_outgoing.is_empty();
        // What is committed and not applied may be that others joined: then this replica may have answered one of them.
        let alone = alone && !start::may_change(&log, group, start.applied.0, checked.hard_state.commit);
        let logger = slog::Logger::root(slog::Discard, slog::o!());
        let store = Store::new(group, log, checked.origin);
        let node = RawNode::new(&raft_config, store, &logger)
            .map_err(|error| StartError::Config { group, reason: error.to_string() })?;
        let forgets = Mutant::RestartForgetsTheLease.is_in();
        let mut created = Group {
            id: group,
            config: config.clone(),
            seed,
            node,
            wanted: Wanted::new(&start.peers, &start.former),
            peers: start.peers.into_iter().chain(start.former).collect(),
            birth: start::initial_conf_state(&start.voters),
            membership,
            hard_state: checked.hard_state,
            waiting: VecDeque::new(),
            persisted: 0,
            // What is repaired may be the term; the first write of all is numbered 1.
            vote_persist: u64::from(checked.repair.is_some()),
            handed_out: applied,
            applied,
            unapplied: VecDeque::new(),
            unapplied_bytes: 0,
            install: None,
            leadership: Leadership::default(),
            lease: Lease::default(),
            span: Span { lease: config.lease, margin_ppm: config.lease_margin_ppm },
            promise: if alone || forgets { Promise::default() } else { Promise::since_start(now) },
            votes: Vec::new(),
            ended_lease: None,
            reads: Reads::default(),
            transfer: None,
            witness: Witness::default(),
            cutting: Cutting::default(),
            in_touch: false,
            stopped: false,
            leaving: false,
            counters: Counters::default(),
            out: Effects::default(),
        };
        created.out.write = checked.repair;
        created.witness.applied(applied, start.hash);
        created.observe(now);
        Ok(created)
    }

    /// Which group.
    pub fn id(&self) -> GroupId {
        self.id
    }

    /// One tick interval passed.
    pub fn tick(&mut self, now: Nanos) {
        if self.stopped {
            return;
        }
        let leading = self.node.raft.state == StateRole::Leader;
        if leading && !self.is_alone() && self.unsynced(now) > self.config.unsynced_max {
            self.step_down(now);
            return;
        }
        if leading {
            self.tick_followers();
            self.node.tick();
            self.observe(now);
            self.tick_transfer(now);
            self.tick_snapshots(now);
            self.tick_membership(now);
            return;
        }
        // A replica campaigns only with a durable log: its vote for itself says that it has these entries.
        let soon = self.node.raft.election_elapsed + 1 >= self.node.raft.randomized_election_timeout();
        if soon && (self.leaving || !self.settled()) {
            return;
        }
        let lost = self.peers.get(&PeerId(self.node.raft.leader_id)).copied();
        let campaigns = if self.is_alone() && self.settled() {
            let _ = self.node.campaign();
            true
        } else {
            self.node.tick()
        };
        if campaigns {
            self.counters.elections += 1;
            self.note(now, self.node.raft.term, ChangeKind::Campaigns { lost });
        }
        self.observe(now);
    }

    /// A message of a replica of this group arrived; `from` is checked to be one.
    pub fn message(&mut self, now: Nanos, from: PeerId, message: &Bytes) {
        self.receive(now, from, message, None);
    }

    /// `snapshot`: the number of the chunks that came with the message.
    fn receive(&mut self, now: Nanos, from: PeerId, message: &Bytes, snapshot: Option<u64>) {
        if self.stopped {
            return;
        }
        let Some((header, mut message)) = header::decode(message) else {
            self.counters.bogus_messages += 1;
            return;
        };
        let kind = message.get_msg_type();
        if message.from != from.get() || (kind == MessageType::MsgSnapshot) != snapshot.is_some() {
            self.counters.bogus_messages += 1;
            return;
        }
        if kind == MessageType::MsgTransferLeader {
            return self.asked_to_hand_over(now, &message);
        }
        // What could end in leadership starts from a clean slate: the crate requires that nothing of a follower's
        // Readies is left when it becomes leader, and our own order of messages relies on it.
        match guard::judge(&self.node, &message, self.settled()) {
            Verdict::Step => {}
            Verdict::Ignore => return,
            Verdict::Bogus => {
                self.counters.bogus_messages += 1;
                return;
            }
            Verdict::LostTail { acknowledged } => {
                let last = LogIndex(self.node.raft.raft_log.last_index());
                self.stop(Fault::LostTail { acknowledged: LogIndex(acknowledged), last });
                return;
            }
        }
        if let Some(snapshot) = snapshot {
            snapshot::renumber(&mut message, snapshot);
        }
        if let Some(found) = self.witness.heard(from.get(), header.applied, header.hash) {
            self.diverged(found);
        }
        let (term, log_term, commit) = (message.term, self.node.raft.term, message.commit);
        self.before_step(now, &header, &message);
        // An error means that the message was not for the crate's present state, which is as good as lost.
        let _ = self.node.step(message);
        if matches!(kind, MessageType::MsgAppend | MessageType::MsgHeartbeat) && self.follows(from.get(), term) {
            self.promise.acknowledge(now, term, header.round);
        }
        // A heartbeat comes before anybody here can know who leads; its commit index is at most what this replica has.
        let commit = match kind {
            MessageType::MsgHeartbeat => Some(commit.max(header.applied)),
            MessageType::MsgAppend => Some(commit),
            _ => None,
        };
        let leads = (commit.is_some() || kind == MessageType::MsgSnapshot) && self.follows(from.get(), term);
        if leads
            && !std::mem::replace(&mut self.in_touch, true)
            && let Some(commit) = commit
        {
            self.out.events.push(Event::InTouch { commit: LogIndex(commit) });
        }
        debug_assert!(self.node.raft.term >= log_term, "terms never go back");
        self.observe(now);
    }

    /// Appends an entry if this replica leads in `term`, serves, and has room. Otherwise nothing was appended.
    pub fn propose(&mut self, now: Nanos, term: Term, data: Bytes) -> Option<LogIndex> {
        let role = self.role(now);
        if !matches!(role, Role::Leader { term: leading, .. } if leading == term) || !record::is_payload(&data) {
            return None;
        }
        let entry = Entry { data, ..Entry::default() };
        let mut message = Message::default();
        message.set_msg_type(MessageType::MsgPropose);
        message.from = self.node.raft.id;
        message.set_entries(vec![entry].into());
        self.node.step(message).ok()?;
        let index = LogIndex(self.node.raft.raft_log.last_index());
        self.observe(now);
        Some(index)
    }

    /// The machine wants leadership confirmed; answered by `Event::ReadIndex` or `Event::ReadRefused`.
    pub fn confirm_leadership(&mut self, number: u64) {
        if self.node.raft.state == StateRole::Leader && !self.stopped {
            self.reads.request(number);
        } else {
            self.out.events.push(Event::ReadRefused { number });
        }
    }

    /// The machine applied up to `index`, where its rolling hash is `hash`.
    pub fn applied(&mut self, now: Nanos, index: LogIndex, hash: u64) {
        let index = index.get();
        if index > self.handed_out {
            // Nothing of this was handed out: an answer from before an installation, or a bug of the caller.
            debug_assert!(false, "applied {index}, handed out {}", self.handed_out);
            return;
        }
        if self.install.is_none() && index > self.applied {
            self.applied = index;
            self.node.advance_apply_to(index);
            self.node.mut_store().applied(index);
        }
        while self.unapplied.front().is_some_and(|&(last, _)| last <= index) {
            let (_, bytes) = self.unapplied.pop_front().unwrap_or_default();
            self.unapplied_bytes -= bytes;
        }
        if let Some(found) = self.witness.applied(index, hash) {
            self.diverged(found);
        }
        self.observe(now);
    }

    /// The process is about to end: hand over what is led, start no elections.
    pub fn leave(&mut self) {
        self.leaving = true;
    }

    /// A view for readers; see [`View`].
    pub fn view(&self, now: Nanos) -> View {
        let raft = &self.node.raft;
        let committed = raft.commit_to_current_term() || Mutant::ServesBeforeTheFirstEntry.is_in();
        let serving = committed && matches!(self.role(now), Role::Leader { .. });
        View {
            term: Term(raft.term),
            leader: self.peers.get(&PeerId(raft.leader_id)).copied().filter(|_| !self.stopped),
            serving,
            commit: LogIndex(raft.raft_log.committed),
            lease_until: if serving { self.lease_until() } else { Nanos(0) },
        }
    }

    /// Whether this replica leads, serving or not.
    pub fn leads(&self) -> bool {
        self.node.raft.state == StateRole::Leader && !self.stopped
    }

    fn is_alone(&self) -> bool {
        self.membership.voters == [self.node.raft.id] && self.membership.voters_outgoing.is_empty()
    }

    fn follows(&self, leader: u64, term: u64) -> bool {
        let raft = &self.node.raft;
        raft.state == StateRole::Follower && raft.term == term && raft.leader_id == leader
    }

    fn parse_conf_state(&self, bytes: &Bytes) -> Option<ConfState> {
        if bytes.is_empty() {
            return Some(self.birth.clone());
        }
        ConfState::parse_from_carllerche_bytes(bytes).ok().filter(snapshot::is_sound)
    }

    fn diverged(&mut self, found: witness::Divergence) {
        let (peer, index) = (PeerId(found.peer), LogIndex(found.index));
        self.stop(Fault::Diverged { peer, index, own: found.own, other: found.other });
    }

    /// Takes no further part: nothing that this replica says can be trusted.
    fn stop(&mut self, fault: Fault) {
        if !self.stopped {
            self.stopped = true;
            self.out.faults.push(fault);
        }
    }
}
