//! The machine threads of a simulated node: what waits for a machine, its turns, and what it wants done.

use super::super::check::Violation;
use super::super::shared::Shared;
use super::{MachineWork, Node, NodeEvent};
use crate::base::GroupId;
use crate::host;
use crate::machine::{self, Now, State};
use crate::service::forward::Answer;

impl Node {
    pub(super) fn tell_machine(&mut self, shared: &mut Shared, group: GroupId, work: MachineWork) {
        let Some(slot) = self.life.as_mut().and_then(|life| life.machines.get_mut(&group)) else { return };
        slot.inbox.push_back(work);
        if !slot.turn {
            slot.turn = true;
            shared.plan_soon(self.id, NodeEvent::MachineTurn(group));
        }
    }

    /// The machine takes everything that came, then makes entries of what waits.
    pub(super) fn machine_turn(&mut self, shared: &mut Shared, group: GroupId) {
        let now = Now { wall: self.clock.wall(shared.now()), mono: self.clock.monotonic(shared.now()) };
        let Some(slot) = self.life.as_mut().and_then(|life| life.machines.get_mut(&group)) else { return };
        slot.turn = false;
        let mut outputs = Vec::new();
        // Each input's outputs, with the rolling hash after it, and the place of a snapshot if it told of one.
        let mut done = Vec::new();
        let mut result = Ok(());
        let mut installed = None;
        while let Some(work) = slot.inbox.pop_front() {
            match work {
                MachineWork::Input(input) => {
                    match &input {
                        machine::Input::Installed { index, .. } => installed = Some(*index),
                        machine::Input::InTouch { commit } => shared.publications.missed(self.id, group, *commit),
                        _ => {}
                    }
                    result = slot.machine.handle(now, input, &mut outputs);
                }
                MachineWork::Install { snapshot, index, term } => {
                    shared.plan_soon(self.id, NodeEvent::Install { group, snapshot, index, term });
                }
            }
            let State { applied, hash, .. } = *slot.machine.state();
            // The hash is that of the newest place; of several in one step only that one is told, as in `runtime`.
            let told =
                |output: &machine::Output| !matches!(output, machine::Output::Applied(index) if *index != applied);
            let installed = installed.take();
            done.extend(outputs.drain(..).filter(told).map(|output| (hash, installed, output)));
            if result.is_err() {
                break;
            }
        }
        result = result.and_then(|()| slot.machine.turn(now, &mut outputs));
        let State { applied, hash, .. } = *slot.machine.state();
        done.extend(outputs.drain(..).map(|output| (hash, None, output)));
        if let Err(machine::Error::Store(why @ crate::store::Error::Io(_))) = &result {
            shared.coverage.saw("failing state");
            return self.abort(shared, why);
        }
        if let Err(why) = result {
            let story = vec![format!("node {}, group {group}: {why}", self.id)];
            return shared.violated(Violation::new("a machine does not fail", story));
        }
        debug_assert!(slot.applied <= applied, "a state never goes back while its process lives");
        for (hash, installed, output) in done {
            if self.effect(shared) {
                return;
            }
            if let Some(index) = installed {
                shared.publications.installed(self.id, group, index);
            }
            self.machine_output(shared, group, hash, output);
        }
    }

    fn machine_output(&mut self, shared: &mut Shared, group: GroupId, hash: u64, output: machine::Output) {
        match output {
            machine::Output::Propose(proposal) => self.tell_host(shared, host::Input::Propose(proposal)),
            machine::Output::ConfirmLeadership(number) => {
                self.tell_host(shared, host::Input::ConfirmLeadership { group, number });
            }
            machine::Output::LeaseReleased(term) => {
                self.tell_host(shared, host::Input::LeaseReleased { group, term });
            }
            machine::Output::Applied(index) => {
                let Some(slot) = self.life.as_mut().and_then(|life| life.machines.get_mut(&group)) else { return };
                slot.applied = index;
                slot.stamp = slot.machine.state().stamp;
                let what = format_args!("group {group}: applied {index} at {}, hash {hash:016x}", slot.stamp);
                shared.trace.detail(shared.queue.now(), Some(self.id), what);
                shared.trace.mix(shared.queue.now(), 6, index.get(), hash);
                if let Err(violation) = shared.replicas.report(self.id, group, index, hash) {
                    shared.violated(violation);
                }
                if let Err(violation) = shared.publications.applied(self.id, group, index) {
                    shared.violated(violation);
                }
                if group == GroupId::META {
                    self.meta_applied(shared);
                }
                self.tell_host(shared, host::Input::Applied { group, index, hash });
            }
            // Nobody here keeps copies.
            machine::Output::Changed(_) => {}
            machine::Output::Published(index, publications) => {
                shared.coverage.saw("publication");
                if let Err(violation) = shared.publications.told(self.id, group, index, &publications) {
                    shared.violated(violation);
                }
            }
            machine::Output::Reply(ticket, replies) => {
                self.machine_answered(shared, group, ticket, Answer::Replies(replies));
            }
            machine::Output::Refused(ticket, refusal) => {
                self.machine_answered(shared, group, ticket, Answer::Refused(refusal));
            }
            machine::Output::Unknown(ticket) => self.machine_answered(shared, group, ticket, Answer::Unknown),
        }
    }
}
