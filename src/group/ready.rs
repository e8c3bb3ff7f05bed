//! From the crate's Ready to effects: what to write, what may leave now, what must wait for an fsync.
//!
//! The order, per group: a leader's messages leave at once, for its followers may write while it does. Every other
//! replica's messages wait until their Ready and all earlier ones are durable (rule 1), because they are promises: a
//! vote, or "I have these entries". A Ready without data queues behind the last one that has some.
//!
//! One answer is no promise about the disk: that to a heartbeat says "in this term I follow you, and nobody else", for which
//! term and vote must be durable and nothing more. It leaves at once where they are, unless the disk has been silent
//! for as long as makes a leader step down (rule 10). So a disk that keeps writes waiting for a while, such as one that
//! all nodes share, costs no election and no lease.
//!
//! A change of the commit index alone is not worth an fsync: it is written beside the next entries, and a restart
//! takes the applied index for it.

use protobuf::Message as _;
use raft::StateRole;
use raft::eraftpb::{ConfChangeV2, Entry, EntryType, Message, MessageType};

use super::header::{self, Header};
use super::{Committed, Effects, Event, Fault, Group, Mail, Waiting, record, storage};
use crate::base::{LogIndex, Mutant, Nanos, PeerId, Term};
use crate::store::{HardState, LogWrite};

impl Group {
    /// Takes what there is to do. Writes in it become durable with persist `number`, which the caller then reports to
    /// [`Group::persisted`]; numbers ascend.
    pub fn drain(&mut self, now: Nanos, number: u64) -> Effects {
        self.continue_install(now, number);
        self.begin_reads(now);
        while self.install.is_none() && !self.stopped && self.node.has_ready() && self.take_ready(now, number) {
            self.observe(now);
            self.begin_reads(now);
        }
        self.continue_install(now, number);
        self.take_snapshots();
        if let Some(error) = self.node.store().take_failure() {
            self.stop(Fault::Log(error));
        }
        self.tell_role(now);
        let mut out = std::mem::take(&mut self.out);
        if self.stopped {
            out = Effects { faults: out.faults, events: out.events, ..Effects::default() };
        }
        out
    }

    /// Everything up to and including persist `number` is durable.
    pub fn persisted(&mut self, now: Nanos, number: u64) {
        self.persisted = self.persisted.max(number);
        self.node.mut_store().persisted(number);
        while self.waiting.front().is_some_and(|front| front.persist <= number) {
            let Some(front) = self.waiting.pop_front() else { break };
            self.settle(front.ready, front.mail, front.installed);
        }
        self.observe(now);
    }

    /// Whether answers to heartbeats need not wait for the disk.
    fn answers_heartbeats_at_once(&self, now: Nanos) -> bool {
        let knows_its_term = self.vote_persist <= self.persisted;
        knows_its_term && self.install.is_none() && self.unsynced(now) < self.config.unsynced_max
    }

    /// Whether nothing of this replica waits for an fsync.
    pub(super) fn settled(&self) -> bool {
        let log = &self.node.raft.raft_log;
        self.waiting.is_empty() && self.install.is_none() && log.persisted == log.last_index()
    }

    /// The write of this drain.
    pub(super) fn write(&mut self) -> &mut LogWrite {
        let group = self.id;
        self.out.write.get_or_insert_with(|| LogWrite { group, ..LogWrite::default() })
    }

    /// Adds entries to the write of this drain, and the scalars that always go with them (rule 4).
    pub(super) fn write_entries(&mut self, entries: &[Entry]) {
        let vote = if Mutant::VoteIsNotWritten.is_in() { 0 } else { self.hard_state.vote };
        let hard_state = HardState { vote, ..self.hard_state };
        let mut failure = None;
        let write = self.write();
        write.hard_state = Some(hard_state).filter(|_| !Mutant::HardStateIsLeftOut.is_in());
        if let Some(first) = entries.first() {
            // Two Readies of one drain: the later may replace entries of the earlier.
            let kept = write.records.partition_point(|record| record.index.get() < first.index);
            write.records.truncate(kept);
        }
        for entry in entries {
            match record::store(entry) {
                Ok(record) => write.records.push(record),
                Err(error) => failure = Some(error),
            }
        }
        if let Some(error) = failure {
            self.stop(Fault::Log(error));
        }
    }

    /// Queues what must follow persist `number`.
    pub(super) fn wait_for(
        &mut self,
        now: Nanos,
        ready: u64,
        number: u64,
        mail: Vec<Mail>,
        installed: Option<(u64, u64)>,
    ) {
        self.waiting.push_back(Waiting { ready, persist: number, since: now, mail, installed });
    }

    fn begin_reads(&mut self, now: Nanos) {
        let serves = self.leadership.serve_after;
        let leads = self.node.raft.state == StateRole::Leader;
        if leads
            && now >= serves
            && self.node.raft.commit_to_current_term()
            && let Some(context) = self.reads.attempt()
        {
            self.node.read_index(context);
        }
    }

    fn take_ready(&mut self, now: Nanos, number: u64) -> bool {
        let behind = !self.unapplied.is_empty() && self.unapplied_bytes >= self.config.unapplied_bytes_max;
        self.node.store().hold_commits(behind);
        let mut ready = self.node.ready();
        self.node.store().hold_commits(false);

        let before = self.hard_state;
        if let Some(scalars) = ready.hs() {
            self.hard_state =
                HardState { term: Term(scalars.term), vote: scalars.vote, commit: LogIndex(scalars.commit) };
        }
        if (self.hard_state.term, self.hard_state.vote) != (before.term, before.vote) {
            self.vote_persist = number;
        }
        let changed = ready.ss().is_some() || ready.hs().is_some();
        for state in ready.take_read_states() {
            self.reads.confirmed(&state, &mut self.out.events);
        }
        let snapshot = Some(ready.snapshot().clone()).filter(|snapshot| !snapshot.is_empty());
        let entries = ready.take_entries();
        let committed = ready.take_committed_entries();
        let immediate = ready.take_messages();
        let held = ready.take_persisted_messages();
        // Who restarts must not take part as a member of before: that a change is committed is known after a crash.
        let reconfigures = committed.iter().any(|entry| entry.get_entry_type() != EntryType::EntryNormal);
        let must_sync = ready.must_sync() || reconfigures;
        let ready_number = ready.number();
        let idle = !changed && snapshot.is_none() && entries.is_empty() && committed.is_empty();
        let progress = !(idle && immediate.is_empty() && held.is_empty());

        // The store must have what the crate forgets when it advances (rule 3).
        if let Some(snapshot) = &snapshot {
            let metadata = snapshot.get_metadata();
            // Term and vote now; entries and the new commit index only make sense after the log was reset.
            let scalars = HardState { commit: before.commit, ..self.hard_state };
            if scalars != before {
                self.write().hard_state = Some(scalars);
                self.wait_for(now, ready_number - 1, number, Vec::new(), None);
            }
            self.node.mut_store().reset(metadata.index, metadata.term);
            self.node.mut_store().append(entries.clone(), storage::LATER);
            self.node.advance_append_async(ready);
            self.begin_install(ready_number, snapshot, entries);
        } else {
            if must_sync {
                self.write_entries(&entries);
            }
            self.node.mut_store().append(entries, number);
            self.node.advance_append_async(ready);
        }

        for message in immediate {
            self.post(now, message, |group, mail| group.out.mail.push(mail));
        }
        let mut mail = Vec::new();
        let at_once = self.answers_heartbeats_at_once(now);
        for message in held {
            let is_urgent = at_once && message.get_msg_type() == MessageType::MsgHeartbeatResponse;
            self.post(now, message, |group, held| if is_urgent { group.out.mail.push(held) } else { mail.push(held) });
        }
        let early = Mutant::SnapshotAcknowledgedEarly.is_in() && self.install.is_some();
        if early || Mutant::FollowersAnswerBeforeFsync.is_in() {
            self.out.mail.append(&mut mail);
        }
        self.hand_out(committed);

        if let Some(install) = self.install.as_mut() {
            install.mail = mail;
        } else if must_sync && !(Mutant::LeaderCommitsBeforeFsync.is_in() && self.leads()) {
            self.wait_for(now, ready_number, number, mail, None);
        } else if let Some(last) = self.waiting.back().map(|last| last.persist) {
            if progress {
                self.wait_for(now, ready_number, last, mail, None);
            }
        } else {
            self.settle(ready_number, mail, None);
        }
        progress
    }

    /// A Ready and all before it are durable.
    fn settle(&mut self, ready: u64, mail: Vec<Mail>, installed: Option<(u64, u64)>) {
        self.node.on_persist_ready(ready);
        if let Some((index, term)) = installed {
            self.finish_install(index, term);
        }
        self.out.mail.extend(mail);
    }

    fn hand_out(&mut self, entries: Vec<Entry>) {
        let Some(last) = entries.last().map(|entry| entry.index) else { return };
        let bytes = entries.iter().map(storage::size).sum();
        self.handed_out = last;
        self.unapplied.push_back((last, bytes));
        self.unapplied_bytes += bytes;
        let committed = entries.into_iter().map(|entry| self.committed(entry)).collect();
        self.out.events.push(Event::Commit(committed));
    }

    fn committed(&mut self, entry: Entry) -> Committed {
        let (index, term) = (LogIndex(entry.index), Term(entry.term));
        let change = match entry.get_entry_type() {
            EntryType::EntryNormal => return Committed { index, term, data: entry.data, conf_state: None },
            // The older form is never proposed.
            EntryType::EntryConfChange => None,
            EntryType::EntryConfChangeV2 => {
                let mut change = ConfChangeV2::default();
                change.merge_from_bytes(&entry.data).ok().map(|()| change)
            }
        };
        let conf_state = change.and_then(|change| self.apply_change(&change));
        Committed { index, term, data: bytes::Bytes::new(), conf_state }
    }

    /// Turns a message of the crate into mail, with the facts that go beside it.
    fn post(&mut self, now: Nanos, message: Message, keep: impl FnOnce(&mut Group, Mail)) {
        match message.get_msg_type() {
            MessageType::MsgSnapshot => {
                self.divert_snapshot(message, |group, message| group.address(now, &message));
                return;
            }
            // The crate would forward these to the leader; nobody asked it to (rule 7).
            MessageType::MsgPropose | MessageType::MsgReadIndex | MessageType::MsgTransferLeader => return,
            _ => {}
        }
        if let Some(mail) = self.address(now, &message) {
            keep(self, mail);
        }
    }

    pub(super) fn address(&mut self, now: Nanos, message: &Message) -> Option<Mail> {
        let node = *self.peers.get(&PeerId(message.to))?;
        let (applied, hash) = self.witness.latest();
        let mut facts = Header { applied, hash, ..Header::default() };
        let leads = self.node.raft.state == StateRole::Leader && message.term == self.node.raft.term;
        match message.get_msg_type() {
            MessageType::MsgAppend | MessageType::MsgHeartbeat if leads => facts.round = self.lease.round(now),
            MessageType::MsgAppendResponse | MessageType::MsgHeartbeatResponse => {
                facts.round = self.promise.echo(message.term);
            }
            MessageType::MsgRequestVoteResponse if !message.reject => {
                (facts.age, facts.age_term) = self.promise.age(now);
            }
            MessageType::MsgTimeoutNow => facts.lease_ended = leads && self.lease_is_over(),
            _ => {}
        }
        Some(Mail { to: PeerId(message.to), node, message: header::encode(&facts, message)? })
    }
}
