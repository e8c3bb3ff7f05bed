//! Snapshots in both directions, as far as consensus goes. The bytes of the state are never seen here: a snapshot is a
//! number, behind which the host's caller keeps a view (outgoing) or received chunks (incoming).
//!
//! Outgoing: the crate asks, is told "not yet", and a view is taken; when it asks again it gets the view's place in the
//! log, and the message is diverted to whoever streams chunks. What became of it is reported exactly once per message
//! (rule 11), by the streamer or by our own timeout, for otherwise the follower stays paused for the whole term.
//!
//! Incoming: all chunks are here before the message is stepped. The Ready that contains the snapshot waits until
//! everything handed out is applied and every earlier Ready is durable; no other Ready is taken until the state is
//! replaced; then the log is reset, and after that fsync the acknowledgement leaves (rule 20).

use std::collections::BTreeMap;

use bytes::Bytes;
use protobuf::Message as _;
use raft::eraftpb::{ConfState, Entry, Message, MessageType, Snapshot};
use raft::{SnapshotStatus, StateRole};

use super::{Event, Group, Mail, SnapshotTask};
use crate::base::{LogIndex, Mutant, Nanos, PeerId, Term};

/// Views for followers that need one, by peer.
#[derive(Debug, Default)]
pub(super) struct Outgoing {
    requests: BTreeMap<u64, Request>,
    next_number: u64,
}

#[derive(Debug)]
enum Request {
    /// The crate wants to send one.
    Wanted,
    /// A view is being taken.
    Asked { snapshot: u64, ticks: u32 },
    /// The view waits for the crate.
    Taken { snapshot: u64, content: Snapshot },
    /// The crate made a message of it; it counts as under way until somebody reports.
    Sending { snapshot: u64, index: u64, ticks: u32 },
}

impl Outgoing {
    /// The crate asks for a snapshot for `to` at `lowest` or later. `None`: ask again later.
    pub fn hand_out(&mut self, to: u64, lowest: u64) -> Option<Snapshot> {
        let request = self.requests.entry(to).or_insert(Request::Wanted);
        let Request::Taken { snapshot, content } = request else { return None };
        let index = content.get_metadata().index;
        if index < lowest {
            return None;
        }
        let content = content.clone();
        *request = Request::Sending { snapshot: *snapshot, index, ticks: 0 };
        Some(content)
    }

    /// Forgets the peers that `keep` does not name; returns views that nobody needs any more.
    pub fn retain(&mut self, keep: impl Fn(u64) -> bool) -> Vec<u64> {
        let gone = self.requests.extract_if(.., |peer, _| !keep(*peer));
        let views = gone.filter_map(|(_, request)| match request {
            Request::Taken { snapshot, .. } => Some(snapshot),
            // What is asked for or under way is somebody else's, who drops it.
            _ => None,
        });
        views.collect()
    }

    /// The log must not be cut above this while followers continue from their snapshots.
    pub fn lowest_index(&self) -> Option<u64> {
        let indexes = self.requests.values().filter_map(|request| match request {
            Request::Taken { content, .. } => Some(content.get_metadata().index),
            Request::Sending { index, .. } => Some(*index),
            Request::Wanted | Request::Asked { .. } => None,
        });
        indexes.min()
    }
}

/// A received snapshot on its way into the state.
pub(super) struct Install {
    pub snapshot: u64,
    pub index: u64,
    pub term: u64,
    pub conf_state: Bytes,
    /// Number of the Ready it came with.
    pub ready: u64,
    /// Entries that came with the same Ready: they follow the snapshot.
    pub entries: Vec<Entry>,
    /// Messages of that Ready, the acknowledgement among them.
    pub mail: Vec<Mail>,
    /// Whether the caller was told to replace the state.
    pub started: bool,
    /// Whether it did.
    pub installed: bool,
}

impl Group {
    /// A view was taken. `conf_state` is empty where the state has no record of it: then it never changed.
    pub fn snapshot_taken(&mut self, now: Nanos, snapshot: u64, index: LogIndex, term: Term, conf_state: &Bytes) {
        let leading = self.node.raft.state == StateRole::Leader;
        let before_first = self.node.store().before_first();
        let mut outgoing = self.node.store().outgoing.borrow_mut();
        let found = outgoing
            .requests
            .iter_mut()
            .find(|(_, request)| matches!(request, Request::Asked { snapshot: asked, .. } if *asked == snapshot));
        let membership = self.parse_conf_state(conf_state);
        let (Some((&peer, request)), Some(membership)) = (found, membership) else {
            drop(outgoing);
            self.out.snapshots.push(SnapshotTask::Drop { snapshot });
            return;
        };
        // A replica takes no snapshot in which it has no part: its change may be committed and not in the state yet.
        let takes_part = [&membership.voters, &membership.voters_outgoing, &membership.learners]
            .into_iter()
            .any(|peers| peers.contains(&peer));
        if !leading || index.get() < before_first || !takes_part {
            outgoing.requests.remove(&peer);
            drop(outgoing);
            self.out.snapshots.push(SnapshotTask::Drop { snapshot });
            return;
        }
        let data = Bytes::copy_from_slice(&snapshot.to_be_bytes());
        let mut content = Snapshot { data, ..Snapshot::default() };
        content.mut_metadata().index = index.get();
        content.mut_metadata().term = term.get();
        content.mut_metadata().set_conf_state(membership);
        *request = Request::Taken { snapshot, content };
        drop(outgoing);
        if self.node.raft.prs().get(peer).is_some() {
            self.node.raft.send_append(peer);
            self.observe(now);
        }
    }

    /// The streamer is done with a snapshot for a peer, successfully or not. A late answer for an older one is ignored.
    pub fn snapshot_sent(&mut self, now: Nanos, snapshot: u64, to: PeerId, delivered: bool) {
        let mut outgoing = self.node.store().outgoing.borrow_mut();
        let current = outgoing.requests.get(&to.get());
        if !matches!(current, Some(Request::Sending { snapshot: sending, .. }) if *sending == snapshot) {
            return;
        }
        outgoing.requests.remove(&to.get());
        drop(outgoing);
        if delivered || !Mutant::LostSnapshotIsNotReported.is_in() {
            self.report_snapshot(now, to.get(), delivered);
        }
    }

    fn report_snapshot(&mut self, now: Nanos, peer: u64, delivered: bool) {
        let status = if delivered { SnapshotStatus::Finish } else { SnapshotStatus::Failure };
        self.node.report_snapshot(peer, status);
        self.observe(now);
    }

    /// Diverts a snapshot message of the crate to the streamer.
    pub(super) fn divert_snapshot(&mut self, message: Message, mail: impl FnOnce(&mut Group, Message) -> Option<Mail>) {
        let Some(snapshot) = number(message.get_snapshot()) else { return };
        let to = message.to;
        let leading = self.node.raft.state == StateRole::Leader && message.term == self.node.raft.term;
        match mail(self, message).filter(|_| leading) {
            Some(mail) => {
                self.counters.snapshots_sent += 1;
                self.out.snapshots.push(SnapshotTask::Send { mail, snapshot });
            }
            None => {
                self.node.store().outgoing.borrow_mut().requests.remove(&to);
                self.out.snapshots.push(SnapshotTask::Drop { snapshot });
            }
        }
    }

    /// Asks for the views that the crate wants.
    pub(super) fn take_snapshots(&mut self) {
        let mut outgoing = self.node.store().outgoing.borrow_mut();
        let Outgoing { requests, next_number } = &mut *outgoing;
        for request in requests.values_mut().filter(|request| matches!(request, Request::Wanted)) {
            *next_number += 1;
            *request = Request::Asked { snapshot: *next_number, ticks: 0 };
            self.out.snapshots.push(SnapshotTask::Take { snapshot: *next_number });
        }
    }

    /// Gives up on views and transfers that nobody reported about.
    pub(super) fn tick_snapshots(&mut self, now: Nanos) {
        let limit = self.config.snapshot_ticks;
        let mut outgoing = self.node.store().outgoing.borrow_mut();
        let mut failed = Vec::new();
        outgoing.requests.retain(|&peer, request| match request {
            Request::Asked { ticks, .. } => {
                *ticks += 1;
                *ticks < limit
            }
            Request::Sending { ticks, .. } => {
                *ticks += 1;
                if *ticks >= limit {
                    failed.push(peer);
                }
                *ticks < limit
            }
            Request::Wanted | Request::Taken { .. } => true,
        });
        drop(outgoing);
        for peer in failed {
            self.report_snapshot(now, peer, false);
        }
    }

    /// Leadership ended: no view is needed any more. Those under way are the streamer's to drop.
    pub(super) fn forget_snapshots(&mut self) {
        let requests = std::mem::take(&mut self.node.store().outgoing.borrow_mut().requests);
        for request in requests.into_values() {
            if let Request::Taken { snapshot, .. } = request {
                self.out.snapshots.push(SnapshotTask::Drop { snapshot });
            }
        }
    }

    /// All chunks of a snapshot arrived here under the given number; `message` came with them.
    pub fn snapshot_received(&mut self, now: Nanos, from: PeerId, message: &Bytes, snapshot: u64) {
        let before = self.node.raft.snap().and_then(number);
        self.receive(now, from, message, Some(snapshot));
        let after = self.node.raft.snap().and_then(number);
        for gone in [before, Some(snapshot)].into_iter().flatten().filter(|number| Some(*number) != after) {
            self.out.snapshots.push(SnapshotTask::Drop { snapshot: gone });
        }
    }

    /// The Ready with a snapshot was taken: remember everything until the state is replaced.
    pub(super) fn begin_install(&mut self, ready: u64, content: &Snapshot, entries: Vec<Entry>) {
        let metadata = content.get_metadata();
        let mut conf_state = Vec::new();
        // A ConfState consists of plain numbers: protobuf has no reason to refuse it.
        let encoded = metadata.get_conf_state().write_to_vec(&mut conf_state);
        debug_assert!(encoded.is_ok(), "{encoded:?}");
        self.membership = metadata.get_conf_state().clone();
        if self.membership == self.birth {
            // As on the replicas that applied every entry: no record of a membership that never changed.
            conf_state.clear();
        }
        self.forget_election_slot();
        self.handed_out = metadata.index;
        self.install = Some(Install {
            snapshot: number(content).unwrap_or_default(),
            index: metadata.index,
            term: metadata.term,
            conf_state: conf_state.into(),
            ready,
            entries,
            mail: Vec::new(),
            started: false,
            installed: false,
        });
    }

    /// Moves an installation on: tells the caller to replace the state, then resets the log with persist `number`.
    pub(super) fn continue_install(&mut self, now: Nanos, number: u64) {
        let idle = self.unapplied.is_empty() && self.waiting.is_empty();
        let Some(install) = &mut self.install else { return };
        if !install.started && idle {
            install.started = true;
            self.out.snapshots.push(SnapshotTask::Install {
                snapshot: install.snapshot,
                index: LogIndex(install.index),
                term: Term(install.term),
                conf_state: install.conf_state.clone(),
            });
        }
        let early = Mutant::LogIsResetBeforeTheState.is_in() && install.started;
        if !install.installed && !early {
            return;
        }
        if let Some(install) = self.install.take() {
            self.write().reset = Some((LogIndex(install.index), Term(install.term)));
            self.node.mut_store().written_with(number);
            self.write_entries(&install.entries);
            let installed = Some((install.index, install.term));
            self.wait_for(now, install.ready, number, install.mail, installed);
        }
    }

    /// The caller replaced the state, durably.
    pub fn snapshot_installed(&mut self, snapshot: u64) {
        if let Some(install) = self.install.as_mut().filter(|install| install.started && install.snapshot == snapshot) {
            install.installed = true;
        }
    }

    /// The log is reset and durable: the group stands at the snapshot.
    pub(super) fn finish_install(&mut self, index: u64, term: u64) {
        self.counters.snapshots_installed += 1;
        self.applied = index;
        self.node.advance_apply_to(index);
        self.node.mut_store().applied(index);
        self.out.events.push(Event::Installed { index: LogIndex(index), term: Term(term) });
    }
}

/// The number behind a snapshot's content.
pub(super) fn number(content: &Snapshot) -> Option<u64> {
    Some(u64::from_be_bytes(content.data.as_ref().try_into().ok()?))
}

/// Puts the receiver's own number in the place of the sender's.
pub(super) fn renumber(message: &mut Message, snapshot: u64) {
    debug_assert_eq!(message.get_msg_type(), MessageType::MsgSnapshot);
    message.mut_snapshot().data = Bytes::copy_from_slice(&snapshot.to_be_bytes());
}

/// Whether a membership from outside can be handed to the crate, which stops the process on a bad one.
pub(super) fn is_sound(membership: &ConfState) -> bool {
    let ascending = |ids: &[u64]| {
        let mut sorted = ids.to_vec();
        sorted.sort_unstable();
        sorted.dedup();
        sorted.len() == ids.len() && !ids.contains(&0)
    };
    let disjoint = |a: &[u64], b: &[u64]| !a.iter().any(|id| b.contains(id));
    let voters = membership.get_voters();
    let outgoing = membership.get_voters_outgoing();
    let learners = membership.get_learners();
    let next = membership.get_learners_next();
    !voters.is_empty()
        && [voters, outgoing, learners, next].into_iter().all(ascending)
        && disjoint(learners, voters)
        && disjoint(learners, outgoing)
        && disjoint(next, voters)
        && next.iter().all(|id| outgoing.contains(id))
        && (outgoing.is_empty() || !membership.auto_leave)
}
