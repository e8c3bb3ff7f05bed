//! Faults strike, dramas are staged, and in the end everything is healed.

use std::time::Duration;

use super::super::drama::{self, Cast, DRAMAS, Drama};
use super::super::network::{Cut, Weather};
use super::super::plan::{Fault, random};
use super::super::shared::{Event, Shared, place};
use super::{Phase, World};
use crate::base::{GroupId, Nanos, NodeId};

impl World {
    pub(super) fn fault(&mut self, number: usize) {
        if self.phase != Phase::Faults {
            return;
        }
        let now = self.shared.now();
        let fault = self.plan.faults[number].1.clone();
        self.shared.trace.mix(now, 5, number as u64, 0);
        self.shared.trace.note(now, None, format_args!("fault: {fault:?}"));
        let coverage = &mut self.shared.coverage;
        let over = |shared: &mut Shared, length| shared.queue.after(length, Event::FaultOver(number));
        match fault {
            Fault::Crash { node, down } => self.crash(node, down),
            Fault::CrashAtEffect { node, effects, down } => self.nodes[place(node)].die_after(effects, down),
            Fault::CrashAll { down } => {
                coverage.saw("crash of all nodes");
                for id in 1..=self.plan.all() {
                    let down = random(&mut self.shared.rng, down);
                    self.crash(NodeId(id), down);
                }
            }
            Fault::Pause { node, length } => {
                coverage.saw("pause");
                self.nodes[place(node)].pause(now, length);
            }
            Fault::Partition { cut, length } => {
                let partial = match &cut {
                    Cut::Sides(left, right) | Cut::OneWay(left, right) => left.len() + right.len() < self.nodes.len(),
                };
                coverage.saw(match &cut {
                    _ if partial => "partial partition",
                    Cut::Sides(..) => "partition",
                    Cut::OneWay(..) => "one-way partition",
                });
                self.shared.network.cut(&cut);
                over(&mut self.shared, length);
            }
            Fault::Weather { links, weather, length } => {
                for (bad, kind) in [
                    (weather.loss > 0, "loss"),
                    (weather.delay > Weather::FAIR.delay, "delay"),
                    (weather.reorder, "reorder"),
                ] {
                    if bad {
                        coverage.saw(kind);
                    }
                }
                for (from, to) in links {
                    self.shared.network.set_weather(from, to, weather);
                }
                over(&mut self.shared, length);
            }
            Fault::SlowDisk { node, length } => {
                coverage.saw("slow disk");
                self.nodes[place(node)].disk.slow(now + length);
            }
            Fault::FullDisk { node, length } => {
                self.nodes[place(node)].disk.fill(now + length);
            }
            Fault::FailingDisk { node } => self.nodes[place(node)].disk.fail_next(),
            Fault::FailingState { node } => self.nodes[place(node)].fail_state(),
            Fault::Leave { node, down } => {
                coverage.saw("leave");
                self.nodes[place(node)].leave(&mut self.shared, down);
            }
            Fault::SetWallTo { node, ahead_ms } => self.nodes[place(node)].clock.set_wall_to(ahead_ms),
            Fault::HangUp { node } => self.hang_up(node),
            Fault::Hush { length } => self.hush_until = now + length,
            Fault::Preempt { node, effects, length } => self.nodes[place(node)].preempt(effects, length),
            Fault::PreemptMidway { node, length } => self.nodes[place(node)].preempt_midway(length),
            Fault::Join => self.wish_join(),
            Fault::Forget { dead } => self.wish_forget(dead),
            Fault::Stage { drama, group } => self.stage(drama, group),
            Fault::SetWall { node } => {
                coverage.saw("wall clock set");
                let node = &mut self.nodes[place(node)];
                node.clock.set_wall(&mut self.shared.rng);
            }
            Fault::Transfer { group, to } => {
                for node in &mut self.nodes {
                    node.transfer(&mut self.shared, group, to);
                }
            }
        }
    }

    /// Lets a drama begin, if the group has a leader now: its faults join those of the plan.
    fn stage(&mut self, drama: Drama, group: GroupId) {
        let leaders = self.nodes.iter().filter_map(|node| Some((node.leads(group)?, node.id)));
        let Some((_, leader)) = leaders.max() else { return };
        if let Some((_, name)) = DRAMAS.iter().find(|(other, _)| *other == drama) {
            self.shared.coverage.saw(name);
        }
        let followers: Vec<NodeId> = self.members().map(|node| node.id).filter(|node| *node != leader).collect();
        if followers.is_empty() {
            return;
        }
        let now = self.shared.now();
        for (after, fault) in drama::stage(drama, &Cast { group, leader, followers }, &mut self.shared.rng) {
            self.shared.queue.after(after, Event::Fault(self.plan.faults.len()));
            self.plan.faults.push((now + after, fault));
        }
        self.hurry_until = now + drama.hurry();
        for at in 0..self.clients.len() {
            self.think(at);
        }
    }

    fn hang_up(&mut self, node: NodeId) {
        for at in 0..self.clients.len() {
            if self.clients[at].node != node {
                continue;
            }
            if let Some(waiting) = self.clients[at].disconnect() {
                self.workload.note_unknown(waiting.step.family);
            }
            if !self.clients[at].is_reader {
                self.clients[at].node = NodeId(1 + node.get() % self.plan.all());
            }
            let pause = random(&mut self.shared.rng, Duration::from_millis(20));
            self.plan_client(at, pause);
        }
    }

    fn crash(&mut self, node: NodeId, down: Duration) {
        if self.shared.lives[place(node)].1 {
            self.shared.coverage.saw("crash");
            self.nodes[place(node)].die(&mut self.shared, down);
        }
    }

    pub(super) fn fault_over(&mut self, number: usize) {
        if self.phase != Phase::Faults {
            return;
        }
        match &self.plan.faults[number].1 {
            Fault::Partition { cut, .. } => self.shared.network.join(cut),
            Fault::Weather { links, .. } => {
                for &(from, to) in links {
                    self.shared.network.set_weather(from, to, Weather::FAIR);
                }
            }
            _ => return,
        }
        let now = self.shared.now();
        self.shared.trace.note(now, None, format_args!("over: {:?}", self.plan.faults[number].1));
    }

    pub(super) fn heal(&mut self) {
        self.phase = Phase::Healed;
        (self.hurry_until, self.hush_until) = (Nanos(0), Nanos(0));
        self.note("everything is healed");
        self.shared.network.heal();
        for node in &mut self.nodes {
            node.heal();
        }
    }
}
