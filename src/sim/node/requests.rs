//! Clients' requests at a simulated node: local reads step by step, everything else through the forwarder to a
//! machine here or on another node, and the answers on their way back.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::BytesMut;

use super::super::shared::{Event, Forwarded, Shared};
use super::{MachineWork, Node, NodeEvent};
use crate::base::{GroupId, LogIndex, Millis, Nanos, NodeId, SessionId, Ticket};
use crate::command::batch::{Call, Unit, UnitReply};
use crate::data::Moment;
use crate::host::View;
use crate::machine::{self, Facts, InMemory, Local, Origin, Submission, read_local};
use crate::service::forward::{Answer, Forwarder, Output};
use crate::service::node::Outcome;
use crate::store::cached::Fill;
use crate::store::keys;

/// Names a client's request.
pub type Request = (u64, u64);

/// Who waits for what was submitted.
#[derive(Clone, Copy, Debug)]
pub(super) enum Caller {
    Client(Request),
    /// The node itself.
    Registrar,
    /// Somebody who sees what became of it from the facts.
    Operator,
}

/// Requests under way.
pub(super) struct Requests {
    pub forwarder: Forwarder,
    /// By the forwarder's ticket.
    callers: BTreeMap<Ticket, Caller>,
    /// By the machine's ticket.
    askers: BTreeMap<Ticket, Asker>,
    next_ticket: u64,
    reads: BTreeMap<u64, Read>,
    next_read: u64,
    /// The newest frame sent of each session and group: an older one is sent again.
    newest_sent: BTreeMap<(GroupId, SessionId), u64>,
}

/// Who gets a machine's answer.
#[derive(Clone, Copy, Debug)]
enum Asker {
    /// This node's forwarder, under its ticket.
    Here(Ticket),
    /// Another node's, on a connection of its stream.
    There { node: NodeId, stream: u64, ticket: Ticket },
}

/// A local read under way. Rule 35: published commit, applied, data, clock, then lease, term, epoch.
struct Read {
    client: Request,
    group: GroupId,
    calls: Vec<Call>,
    /// The view it started from.
    view: View,
    replies: Vec<UnitReply>,
    /// The clock, read after the data.
    clock: Option<Nanos>,
}

impl Requests {
    pub fn new(forwarder: Forwarder) -> Requests {
        Requests {
            forwarder,
            callers: BTreeMap::new(),
            askers: BTreeMap::new(),
            next_ticket: 0,
            reads: BTreeMap::new(),
            next_read: 0,
            newest_sent: BTreeMap::new(),
        }
    }
}

impl Node {
    /// A client asks. `reads`: the calls, when all of them only read.
    pub fn request(
        &mut self,
        shared: &mut Shared,
        client: Request,
        group: GroupId,
        units: Vec<Unit>,
        reads: Option<Vec<Call>>,
    ) {
        let view = self.view(group);
        let Some(life) = &mut self.life else { return };
        if let (Some(calls), Some(view)) = (reads, view)
            && view.serving
            && view.lease_until > Nanos(0)
        {
            let number = life.requests.next_read;
            life.requests.next_read += 1;
            let read = Read { client, group, calls, view, replies: Vec::new(), clock: None };
            life.requests.reads.insert(number, read);
            return shared.plan_soon(self.id, NodeEvent::Read { read: number });
        }
        self.submit(shared, Caller::Client(client), group, units);
    }

    /// A client asks for what it may have to wait for, for so long; then it may hang up.
    pub fn block(
        &mut self,
        shared: &mut Shared,
        client: Request,
        group: GroupId,
        units: Vec<Unit>,
        (patience, hangs_up): (Duration, bool),
    ) {
        let now = self.clock.monotonic(shared.now());
        let Some(life) = &mut self.life else { return };
        let requests = &mut life.requests;
        let mut outputs = Vec::new();
        for unit in units {
            let Unit::Call(call) = unit else { continue };
            requests.next_ticket += 1;
            let ticket = Ticket(requests.next_ticket);
            requests.callers.insert(ticket, Caller::Client(client));
            requests.forwarder.block(group, ticket, call, &mut outputs);
            shared.plan(self.id, patience, NodeEvent::WaitOver { group, ticket, hangs_up });
        }
        requests.forwarder.flush(now, &mut outputs);
        self.forward(shared, outputs);
    }

    /// A client has waited for as long as it wanted.
    pub(super) fn wait_over(&mut self, shared: &mut Shared, group: GroupId, ticket: Ticket, hangs_up: bool) {
        let now = self.clock.monotonic(shared.now());
        let Some(life) = &mut self.life else { return };
        let Some(Caller::Client((client, request))) = life.requests.callers.get(&ticket).copied() else { return };
        if hangs_up {
            shared.coverage.saw("blocked client hung up");
            life.requests.callers.remove(&ticket);
            life.requests.forwarder.give_up(group, ticket);
            shared.queue.after(Duration::from_micros(20), Event::Answer { client, request, answer: Outcome::Unknown });
        } else {
            life.requests.forwarder.hurry(now, group, ticket);
        }
        let mut outputs = Vec::new();
        life.requests.forwarder.flush(now, &mut outputs);
        self.forward(shared, outputs);
    }

    pub(super) fn submit(&mut self, shared: &mut Shared, caller: Caller, group: GroupId, units: Vec<Unit>) {
        let now = self.clock.monotonic(shared.now());
        let Some(life) = &mut self.life else { return };
        let requests = &mut life.requests;
        requests.next_ticket += 1;
        let ticket = Ticket(requests.next_ticket);
        requests.callers.insert(ticket, caller);
        let mut outputs = Vec::new();
        requests.forwarder.submit(now, group, ticket, units, &mut outputs);
        requests.forwarder.flush(now, &mut outputs);
        self.forward(shared, outputs);
    }

    /// One step of a local read; between any two of them everything else may happen.
    pub(super) fn read_step(&mut self, shared: &mut Shared, number: u64) {
        let now = shared.now();
        let (mono, wall) = (self.clock.monotonic(now), self.clock.wall(now));
        let Some(life) = &mut self.life else { return };
        let Some(mut read) = life.requests.reads.remove(&number) else { return };
        if read.replies.is_empty() {
            self.overtake_lookup(shared, &read.calls);
            let Some(life) = &mut self.life else { return };
            let applied = life.machines.get(&read.group).map_or(LogIndex(0), |slot| slot.applied);
            let replies =
                if applied >= read.view.commit { self.read_data(read.group, &read.calls, now, wall) } else { None };
            let Some(replies) = replies else { return self.submit_read(shared, read) };
            read.replies = replies;
        } else if read.clock.is_none() {
            read.clock = Some(mono);
        } else {
            let view = self.view(read.group).unwrap_or_default();
            let clock = read.clock.unwrap_or(Nanos(u64::MAX));
            if view.serving && view.term == read.view.term && view.lease_until > clock {
                shared.coverage.saw("lease read");
                let (client, request) = read.client;
                let answer = Outcome::Replies(read.replies);
                shared.queue.after(Duration::from_micros(20), Event::Answer { client, request, answer });
                return;
            }
            shared.coverage.saw("local read refused");
            return self.submit_read(shared, read);
        }
        if let Some(life) = &mut self.life {
            life.requests.reads.insert(number, read);
        }
        shared.plan_soon(self.id, NodeEvent::Read { read: number });
    }

    /// Now and then another lookup of the same record is left by its thread between reading the record and keeping a
    /// copy of it, while all that comes now goes on (rule 38).
    fn overtake_lookup(&mut self, shared: &mut Shared, calls: &[Call]) {
        let Some(cache) = self.life.as_ref().and_then(|life| life.cache.as_ref()) else { return };
        let Some((call, key)) = calls.first().and_then(|call| Some((call, call.args.get(1)?))) else { return };
        if !shared.rng.chance(1, 8) {
            return;
        }
        let record = keys::head(call.db, key);
        let Ok(fill) = cache.begin_fill(&record) else { return };
        shared.coverage.saw("lookup overtaken");
        let later = Duration::from_micros(shared.rng.range(10, 30_000));
        shared.plan(self.id, later, NodeEvent::KeepCopy { record, fill });
    }

    pub(super) fn keep_copy(&mut self, record: &[u8], fill: Option<&Fill>) {
        if let (Some(cache), Some(fill)) = (self.life.as_ref().and_then(|life| life.cache.as_ref()), fill) {
            cache.keep(record, fill);
        }
    }

    fn submit_read(&mut self, shared: &mut Shared, read: Read) {
        let units = read.calls.into_iter().map(Unit::Call).collect();
        self.submit(shared, Caller::Client(read.client), read.group, units);
    }

    /// Runs the calls on the applied state; `None` where only the machine can answer.
    fn read_data(&self, group: GroupId, calls: &[Call], now: Nanos, wall: Millis) -> Option<Vec<UnitReply>> {
        let life = self.life.as_ref()?;
        let slot = life.machines.get(&group)?;
        let moment = Moment { stamp: slot.stamp, clock: wall };
        let events = slot.version.events();
        let facts = Facts { group, slots: slot.slots?, moment, thresholds: slot.thresholds, events, seed: now.0 };
        let view = InMemory::new(&*life.engine, &slot.version);
        let mut out = BytesMut::new();
        let mut replies = Vec::with_capacity(calls.len());
        for call in calls {
            match read_local(&view, &facts, &slot.usage, call, &mut out) {
                Ok(Local::Done) => replies.push(UnitReply::Call(out.split().freeze())),
                _ => return None,
            }
        }
        Some(replies)
    }

    /// Does what the forwarder wants.
    pub(super) fn forward(&mut self, shared: &mut Shared, outputs: Vec<Output>) {
        let now = self.clock.monotonic(shared.now());
        let mut outputs = std::collections::VecDeque::from(outputs);
        while let Some(output) = outputs.pop_front() {
            let Some(life) = &mut self.life else { return };
            match output {
                Output::Local(group, submission) => {
                    let asker = Asker::Here(submission.ticket);
                    self.ask_machine(shared, group, asker, submission);
                }
                Output::Send(to, group, submission) => {
                    shared.coverage.saw("forwarded");
                    let ticket = submission.ticket;
                    if let Some(Origin { session, number, .. }) = submission.origin {
                        let newest = life.requests.newest_sent.entry((group, session)).or_default();
                        if number <= *newest {
                            shared.coverage.saw("forwarded resend");
                        }
                        *newest = number.max(*newest);
                    }
                    if !shared.send_batch(self.id, to, group, submission) {
                        let mut more = Vec::new();
                        life.requests.forwarder.unsent(now, group, ticket, &mut more);
                        outputs.extend(more);
                    }
                }
                Output::Done(ticket, answer) => match life.requests.callers.remove(&ticket) {
                    Some(Caller::Client((client, request))) => {
                        shared.queue.after(Duration::from_micros(20), Event::Answer { client, request, answer });
                    }
                    Some(Caller::Registrar) => self.registered(shared, &answer),
                    Some(Caller::Operator) => {}
                    None => {}
                },
            }
        }
    }

    fn ask_machine(&mut self, shared: &mut Shared, group: GroupId, asker: Asker, submission: Submission) {
        let Some(life) = &mut self.life else { return };
        life.requests.next_ticket += 1;
        let ticket = Ticket(life.requests.next_ticket);
        life.requests.askers.insert(ticket, asker);
        let submission = Submission { ticket, ..submission };
        self.tell_machine(shared, group, MachineWork::Input(machine::Input::Submit(submission)));
    }

    /// A machine answered a submission.
    pub(super) fn machine_answered(&mut self, shared: &mut Shared, group: GroupId, ticket: Ticket, answer: Answer) {
        let Some(life) = &mut self.life else { return };
        match life.requests.askers.remove(&ticket) {
            Some(Asker::Here(ticket)) => self.answered(shared, group, ticket, answer),
            Some(Asker::There { node, stream, ticket }) => {
                shared.send_reply(node, self.id, stream, Forwarded { group, ticket, answer });
            }
            None => {}
        }
    }

    fn answered(&mut self, shared: &mut Shared, group: GroupId, ticket: Ticket, answer: Answer) {
        let now = self.clock.monotonic(shared.now());
        let Some(life) = &mut self.life else { return };
        let mut outputs = Vec::new();
        life.requests.forwarder.answered(now, group, ticket, answer, &mut outputs);
        life.requests.forwarder.flush(now, &mut outputs);
        self.forward(shared, outputs);
    }

    pub(super) fn batch_arrived(
        &mut self,
        shared: &mut Shared,
        from: NodeId,
        stream: u64,
        group: GroupId,
        submission: Submission,
    ) {
        if shared.is_open(from, self.id, stream) {
            let asker = Asker::There { node: from, stream, ticket: submission.ticket };
            self.ask_machine(shared, group, asker, submission);
        }
    }

    pub(super) fn reply_arrived(&mut self, shared: &mut Shared, from: NodeId, stream: u64, reply: Forwarded) {
        if shared.is_open(self.id, from, stream) {
            self.answered(shared, reply.group, reply.ticket, reply.answer);
        }
    }

    pub(super) fn forward_tick(&mut self, shared: &mut Shared) {
        let now = self.clock.monotonic(shared.now());
        shared.plan(self.id, Duration::from_millis(10), NodeEvent::ForwardTick);
        let Some(life) = &mut self.life else { return };
        let mut outputs = Vec::new();
        life.requests.forwarder.tick(now, &mut outputs);
        self.forward(shared, outputs);
    }

    pub(super) fn leader_known(&mut self, shared: &mut Shared, view: View) {
        let now = self.clock.monotonic(shared.now());
        let Some(life) = &mut self.life else { return };
        life.requests.forwarder.leader(view.group, view.leader);
        let mut outputs = Vec::new();
        life.requests.forwarder.flush(now, &mut outputs);
        self.forward(shared, outputs);
    }

    pub(super) fn stream_ended(&mut self, shared: &mut Shared, to: NodeId) {
        let Some(life) = &mut self.life else { return };
        life.requests.forwarder.link_down(to);
        shared.plan_soon(self.id, NodeEvent::OpenStream { to });
    }

    pub(super) fn open_stream(&mut self, shared: &mut Shared, to: NodeId) {
        let now = self.clock.monotonic(shared.now());
        if !shared.open_stream(self.id, to) {
            return shared.plan(self.id, Duration::from_millis(50), NodeEvent::OpenStream { to });
        }
        let Some(life) = &mut self.life else { return };
        life.requests.forwarder.link_up(to);
        let mut outputs = Vec::new();
        life.requests.forwarder.flush(now, &mut outputs);
        self.forward(shared, outputs);
    }
}
