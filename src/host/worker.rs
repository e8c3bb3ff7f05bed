//! The [`Host`]: routes each input to its group and gathers the effects of all groups.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::proposals::Generations;
use super::{
    Config, Effects, Envelope, Fault, GroupStart, GroupStatus, Input, Move, Persist, SnapshotEffect, StartError, View,
};
use crate::base::{ClusterId, GroupId, Nanos, NodeId, PeerId};
use crate::group::{self, Event, Group, Mail, Role, SnapshotTask};
use crate::machine::{self, Proposal};
use crate::store::Log;

/// Counts of a host since its start; those of a group are in its status.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Messages that were not for this cluster, node, group or replica, or not from one of its replicas (rule 15).
    pub foreign_messages: u64,
    /// Log writes given out.
    pub persists: u64,
}

/// All groups of a worker.
pub struct Host {
    node: NodeId,
    cluster: ClusterId,
    members: BTreeMap<GroupId, Member>,
    /// Groups that may have something to do.
    dirty: BTreeSet<GroupId>,
    next_persist: u64,
    /// Answers to machines since the last drain.
    machine: Vec<(GroupId, machine::Input)>,
    /// Received snapshots that nobody here wants.
    foreign_snapshots: Vec<(GroupId, u64)>,
    leaving: bool,
    counters: Counters,
}

struct Member {
    group: Group,
    peer: PeerId,
    peers: BTreeMap<PeerId, NodeId>,
    epoch: u64,
    generations: Generations,
    published: Option<View>,
    /// [`Move::Begins`] was told, and not its end.
    is_moving: bool,
}

impl Host {
    /// Opens all groups. `seed` decides election timeouts; it must be the same on all nodes for them not to collide.
    /// `now` must be read after everything in `groups` was.
    pub fn new(
        config: &Config,
        node: NodeId,
        cluster: ClusterId,
        groups: Vec<GroupStart>,
        log: Arc<dyn Log>,
        seed: u64,
        now: Nanos,
    ) -> Result<Host, StartError> {
        let mut members = BTreeMap::new();
        for start in groups {
            let (id, peer, epoch) = (start.group, start.peer, start.epoch);
            let peers = start.peers.iter().chain(&start.former).map(|(peer, node)| (*peer, *node)).collect();
            let group = Group::new(config, start, log.clone(), seed, now)?;
            let generations = Generations::default();
            members.insert(id, Member { group, peer, peers, epoch, generations, published: None, is_moving: false });
        }
        let dirty = members.keys().copied().collect();
        Ok(Host {
            node,
            cluster,
            members,
            dirty,
            next_persist: 1,
            machine: Vec::new(),
            foreign_snapshots: Vec::new(),
            leaving: false,
            counters: Counters::default(),
        })
    }

    /// Takes an input. `now` must be read after the input was received: leases rest on it.
    pub fn handle(&mut self, now: Nanos, input: Input) {
        match input {
            Input::Tick => self.tick(now),
            Input::Persisted(number) => {
                self.each(|group| group.persisted(now, number));
            }
            Input::TransferAll => {
                self.leaving = true;
                self.each(Group::leave);
            }
            Input::Message(envelope) => {
                if let Some(member) = self.addressed(&envelope) {
                    member.group.message(now, envelope.from_peer, &envelope.message);
                }
            }
            Input::SnapshotReceived { envelope, snapshot } => match self.addressed(&envelope) {
                Some(member) => member.group.snapshot_received(now, envelope.from_peer, &envelope.message, snapshot),
                None => self.foreign_snapshots.push((envelope.group, snapshot)),
            },
            Input::Propose(proposal) => self.propose(now, proposal),
            Input::ConfirmLeadership { group, number } => match self.member(group) {
                Some(member) => member.group.confirm_leadership(number),
                None => self.machine.push((group, machine::Input::ReadRefused { number })),
            },
            Input::Applied { group, index, hash } => self.on(group, |group| group.applied(now, index, hash)),
            Input::Flushed { group, index } => self.on(group, |group| group.flushed(index)),
            Input::LeaseReleased { group, term } => self.on(group, |group| group.lease_released(now, term)),
            Input::SnapshotTaken { group, snapshot, index, term, conf_state } => {
                self.on(group, |group| group.snapshot_taken(now, snapshot, index, term, &conf_state));
            }
            Input::SnapshotSent { group, snapshot, to_peer, delivered } => {
                self.on(group, |group| group.snapshot_sent(now, snapshot, to_peer, delivered));
            }
            Input::SnapshotInstalled { group, snapshot } => self.on(group, |group| group.snapshot_installed(snapshot)),
            Input::Members { group, peers, former } => {
                if let Some(member) = self.member(group) {
                    member.peers.extend(peers.iter().chain(&former).map(|(peer, node)| (*peer, *node)));
                    member.group.set_members(&peers, &former);
                }
            }
            Input::AskToLead { group } => self.on(group, |group| group.ask_to_lead(now)),
            Input::TransferLeader { group, to } => self.on(group, |group| {
                group.transfer_to(now, to);
            }),
        }
    }

    /// What is to be done about everything since the last call. Messages in it may leave once `publish` is visible;
    /// what must follow the fsync comes after `Input::Persisted`.
    pub fn ready(&mut self, now: Nanos) -> Effects {
        let mut effects = Effects { machine: std::mem::take(&mut self.machine), ..Effects::default() };
        for (group, snapshot) in self.foreign_snapshots.drain(..) {
            effects.snapshots.push(SnapshotEffect::Drop { group, snapshot });
        }
        let number = self.next_persist;
        let mut writes = Vec::new();
        for id in std::mem::take(&mut self.dirty) {
            let Some(member) = self.members.get_mut(&id) else { continue };
            let out = member.group.drain(now, number);
            let address =
                Address { cluster: self.cluster, group: id, node: self.node, peer: member.peer, epoch: member.epoch };
            writes.extend(out.write);
            effects.send.extend(out.mail.into_iter().map(|mail| address.envelope(mail)));
            effects.machine.extend(out.events.into_iter().map(|event| (id, to_machine(event))));
            effects.snapshots.extend(out.snapshots.into_iter().map(|task| address.snapshot(task)));
            effects.faults.extend(out.faults.into_iter().map(|kind| Fault { group: id, kind }));
            effects.moves.extend(out.changes.into_iter().map(|change| Move::Changed(id, change)));
            let view = to_view(id, member.group.view(now));
            if member.published != Some(view) {
                member.published = Some(view);
                effects.publish.push(view);
            }
            match (member.is_moving, member.group.is_transferring()) {
                (false, true) => {
                    member.is_moving = true;
                    effects.moves.push(Move::Begins(id));
                }
                (true, false) if view.leader.is_some() => {
                    member.is_moving = false;
                    effects.moves.push(Move::Ended(id));
                }
                _ => {}
            }
        }
        if !writes.is_empty() {
            self.next_persist += 1;
            self.counters.persists += 1;
            effects.persist = Some(Persist { number, writes });
        }
        effects
    }

    /// All groups, for people and metrics.
    pub fn status(&self) -> Vec<GroupStatus> {
        self.members.values().map(|member| member.group.status()).collect()
    }

    /// Counts of the host itself.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Whether any group is led here: after [`Input::TransferAll`] the process may end when this is false.
    pub fn leads_any(&self) -> bool {
        self.members.values().any(|member| member.group.leads())
    }

    fn tick(&mut self, now: Nanos) {
        self.hold_back_the_meta_group();
        let leaving = self.leaving;
        self.each(|group| {
            group.tick(now);
            if leaving && group.leads() && !group.is_transferring() {
                group.transfer_to_best(now);
            }
        });
    }

    /// Who was taken out of the meta group would hear no more that it should hand over what it leads.
    fn hold_back_the_meta_group(&mut self) {
        let Some(meta) = self.members.get(&GroupId::META).filter(|meta| meta.group.leads() && meta.group.has_leaving())
        else {
            return;
        };
        let others = self.members.values().filter(|member| member.group.id() != meta.group.id());
        let needed = others.flat_map(|member| member.group.nodes()).collect();
        if let Some(meta) = self.members.get_mut(&GroupId::META) {
            meta.group.hold(&needed);
        }
    }

    fn propose(&mut self, now: Nanos, proposal: Proposal) {
        let Proposal { group, generation, sequence, term, data } = proposal;
        let appended = self.member(group).and_then(|member| {
            let admitted = member.generations.admits(generation);
            let index = if admitted { member.group.propose(now, term, data) } else { None };
            if admitted && index.is_none() {
                member.generations.refuse();
            }
            index
        });
        let answer = match appended {
            Some(index) => machine::Input::Proposed { generation, sequence, index, term },
            None => machine::Input::Dropped { generation, sequence },
        };
        self.machine.push((group, answer));
    }

    fn member(&mut self, group: GroupId) -> Option<&mut Member> {
        let member = self.members.get_mut(&group)?;
        self.dirty.insert(group);
        Some(member)
    }

    fn on(&mut self, group: GroupId, act: impl FnOnce(&mut Group)) {
        if let Some(member) = self.member(group) {
            act(&mut member.group);
        }
    }

    fn each(&mut self, mut act: impl FnMut(&mut Group)) {
        for (&id, member) in &mut self.members {
            act(&mut member.group);
            self.dirty.insert(id);
        }
    }

    /// The replica that an envelope is for, if it is from a replica of the same group of the same cluster (rule 15). That may be
    /// one that joined while this node was away: it may lead, and then only it can tell of itself.
    fn addressed(&mut self, envelope: &Envelope) -> Option<&mut Member> {
        let (cluster, node) = (self.cluster, self.node);
        let known = self.members.get_mut(&envelope.group).is_some_and(|member| {
            let fits = envelope.cluster == cluster
                && envelope.to == node
                && envelope.to_peer == member.peer
                && envelope.epoch == member.epoch
                && envelope.from != node
                && envelope.from_peer != member.peer;
            let is_new = || !member.peers.values().any(|known| *known == envelope.from);
            match member.peers.get(&envelope.from_peer) {
                Some(known) => fits && *known == envelope.from,
                None if fits && is_new() => {
                    member.peers.insert(envelope.from_peer, envelope.from);
                    member.group.meet(envelope.from_peer, envelope.from);
                    true
                }
                None => false,
            }
        });
        if !known {
            self.counters.foreign_messages += 1;
            return None;
        }
        self.member(envelope.group)
    }
}

/// Who sends.
struct Address {
    cluster: ClusterId,
    group: GroupId,
    node: NodeId,
    peer: PeerId,
    epoch: u64,
}

impl Address {
    fn envelope(&self, mail: Mail) -> Envelope {
        Envelope {
            cluster: self.cluster,
            group: self.group,
            epoch: self.epoch,
            from: self.node,
            to: mail.node,
            from_peer: self.peer,
            to_peer: mail.to,
            message: mail.message,
        }
    }

    fn snapshot(&self, task: SnapshotTask) -> SnapshotEffect {
        let group = self.group;
        match task {
            SnapshotTask::Take { snapshot } => SnapshotEffect::Take { group, snapshot },
            SnapshotTask::Send { mail, snapshot } => SnapshotEffect::Send { envelope: self.envelope(mail), snapshot },
            SnapshotTask::Install { snapshot, index, term, conf_state } => {
                SnapshotEffect::Install { group, snapshot, index, term, conf_state }
            }
            SnapshotTask::Drop { snapshot } => SnapshotEffect::Drop { group, snapshot },
        }
    }
}

fn to_machine(event: Event) -> machine::Input {
    match event {
        Event::Role(Role::Follower) => machine::Input::Role(machine::Role::Follower),
        Event::Role(Role::Leader { term, first }) => machine::Input::Role(machine::Role::Leader { term, first }),
        Event::InTouch { commit } => machine::Input::InTouch { commit },
        Event::Commit(entries) => machine::Input::Commit(entries.into_iter().map(to_committed).collect()),
        Event::ReadIndex { number, index } => machine::Input::ReadIndex { number, index },
        Event::ReadRefused { number } => machine::Input::ReadRefused { number },
        Event::Lease { term, until } => machine::Input::Lease { term, until },
        Event::Installed { index, term } => machine::Input::Installed { index, term },
    }
}

fn to_committed(entry: group::Committed) -> machine::Committed {
    machine::Committed { index: entry.index, term: entry.term, data: entry.data, conf_state: entry.conf_state }
}

fn to_view(group: GroupId, view: group::View) -> View {
    let group::View { term, leader, serving, commit, lease_until } = view;
    View { group, term, leader, serving, commit, lease_until }
}
