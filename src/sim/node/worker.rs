//! The raft worker of a simulated node: its inbox, its ticks, and the effects of the host, one after the other. Its
//! thread may be preempted between two of them while all other threads go on.

use super::super::check::Violation;
use super::super::shared::{Frame, Shared};
use super::{Life, MachineWork, Node, NodeEvent, TICK};
use crate::base::GroupId;
use crate::host::{self, Effects, Envelope, Persist, SnapshotEffect, View};
use crate::machine::{self, Committed};

/// One thing that the host's thread does.
pub(super) enum Effect {
    Publish(View),
    Persist(Persist),
    Send(Envelope),
    Machine(GroupId, machine::Input),
    Snapshot(SnapshotEffect),
}

impl Node {
    pub(super) fn tick(&mut self, shared: &mut Shared) {
        let now = self.clock.monotonic(shared.now());
        shared.plan(self.id, self.clock.sleep(TICK), NodeEvent::Tick);
        let Some(life) = &mut self.life else { return };
        // A worker that is not scheduled misses ticks.
        if life.preempted_until <= shared.now() {
            life.host.handle(now, host::Input::Tick);
            self.act(shared);
        }
        let Some(life) = &mut self.life else { return };
        let groups: Vec<GroupId> = life.machines.keys().copied().collect();
        for group in groups {
            self.tell_machine(shared, group, MachineWork::Input(machine::Input::Tick));
        }
    }

    pub(super) fn tell_host(&mut self, shared: &mut Shared, input: host::Input) {
        let Some(life) = &mut self.life else { return };
        life.host_inbox.push_back(input);
        if !life.host_turn {
            life.host_turn = true;
            shared.plan_soon(self.id, NodeEvent::HostTurn);
        }
    }

    pub(super) fn host_turn(&mut self, shared: &mut Shared) {
        let true_now = shared.now();
        let is_preempted = |life: &Life| true_now < life.preempted_until;
        if self.life.as_ref().is_none_or(is_preempted) || !self.carry_out(shared) {
            return;
        }
        let now = self.clock.monotonic(shared.now());
        let Some(life) = &mut self.life else { return };
        life.host_turn = false;
        for input in life.host_inbox.drain(..) {
            life.host.handle(now, input);
        }
        self.act(shared);
    }

    /// Does what the host wants, in the order it must be done.
    fn act(&mut self, shared: &mut Shared) {
        let now = self.clock.monotonic(shared.now());
        let Some(life) = &mut self.life else { return };
        // No client here hears of moves.
        let Effects { publish, persist, send, machine, snapshots, moves: _, faults } = life.host.ready(now);
        for fault in faults {
            shared.violated(Violation::new("no fault", vec![format!("node {}: {fault:?}", self.id)]));
        }
        life.effects.extend(publish.into_iter().map(Effect::Publish));
        life.effects.extend(persist.map(Effect::Persist));
        life.effects.extend(send.into_iter().map(Effect::Send));
        life.effects.extend(machine.into_iter().map(|(group, input)| Effect::Machine(group, input)));
        life.effects.extend(snapshots.into_iter().map(Effect::Snapshot));
        self.carry_out(shared);
    }

    /// Goes on with the host's effects; false when its thread was preempted, or the process died.
    fn carry_out(&mut self, shared: &mut Shared) -> bool {
        let mut sent = false;
        loop {
            let Some(life) = &mut self.life else { return false };
            let Some(next) = life.effects.front() else { return true };
            let midway = sent && matches!(next, Effect::Machine(..));
            sent = matches!(next, Effect::Send(_));
            if let Some(length) = self.preempted_midway.take_if(|_| midway) {
                self.preempted_after = Some((0, length));
            }
            match &mut self.preempted_after {
                Some((0, length)) => {
                    let length = *length;
                    self.preempted_after = None;
                    life.host_turn = true;
                    let now = shared.now();
                    life.preempted_until = now + length;
                    shared.coverage.saw("preempted");
                    shared.trace.note(now, Some(self.id), format_args!("its raft worker is preempted for {length:?}"));
                    shared.plan(self.id, length, NodeEvent::HostTurn);
                    return false;
                }
                Some((left, _)) => *left -= 1,
                None => {}
            }
            let Some(effect) = life.effects.pop_front() else { return true };
            if !matches!(effect, Effect::Publish(_)) && self.effect(shared) {
                return false;
            }
            self.carry_out_one(shared, effect);
        }
    }

    fn carry_out_one(&mut self, shared: &mut Shared, effect: Effect) {
        match effect {
            Effect::Publish(view) => self.publish(shared, view),
            Effect::Persist(persist) => {
                let Some(life) = &mut self.life else { return };
                life.persists.push_back(persist);
                if !life.writing {
                    life.writing = true;
                    shared.plan_soon(self.id, NodeEvent::LogTurn);
                }
            }
            Effect::Send(envelope) => {
                shared.send(self.id, envelope.to, Frame::Raft(envelope));
            }
            Effect::Machine(group, input) => {
                if let machine::Input::Commit(entries) = &input {
                    self.watch_stamps(shared, group, entries);
                }
                self.tell_machine(shared, group, MachineWork::Input(input));
            }
            Effect::Snapshot(effect) => self.snapshot_effect(shared, effect),
        }
    }

    /// For the judges. Rule 39: stamps never go back along a log. Entries that do not decode are the machine's to
    /// refuse.
    fn watch_stamps(&self, shared: &mut Shared, group: GroupId, entries: &[Committed]) {
        for entry in entries {
            let now = shared.now();
            let Committed { index, term, data, .. } = entry;
            let what = format_args!("group {group}: {index}/{term} is committed, {} bytes", data.len());
            shared.trace.detail(now, Some(self.id), what);
        }
        for entry in entries.iter().filter(|entry| !entry.data.is_empty()) {
            shared.publications.committed(group, entry.index, &entry.data);
            if let Err(violation) = shared.replicas.committed(group, entry.index, &entry.data) {
                shared.violated(violation);
            }
        }
    }

    fn publish(&mut self, shared: &mut Shared, view: View) {
        let Some(life) = &mut self.life else { return };
        let before = life.views.insert(view.group, view);
        if before.is_none_or(|before| (before.term, before.leader) != (view.term, view.leader)) {
            let now = shared.now();
            let leader = view.leader.map_or("nobody".to_owned(), |node| format!("node {node}"));
            let what = format_args!("group {}: {leader} leads term {}", view.group, view.term);
            shared.trace.detail(now, Some(self.id), what);
        }
        let led = |view: &View| view.serving.then_some(view.term);
        if view.serving
            && before.is_none_or(|before| !before.serving)
            && let (Some(cache), Some(slots)) = (life.cache.clone(), life.slots(view.group))
        {
            // As in `runtime`, rule 38.
            cache.new_generation(slots);
        }
        if led(&view).is_some() && before.as_ref().and_then(led) != led(&view) {
            self.leaderships += 1;
            let now = shared.now();
            let what = format_args!("group {}: leads and serves in term {}", view.group, view.term);
            shared.trace.note(now, Some(self.id), what);
        }
        self.leader_known(shared, view);
    }
}
