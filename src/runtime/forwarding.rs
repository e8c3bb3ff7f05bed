//! The [`Forwarder`] at work: called by whoever has something for it (a connection, a machine thread, a stream of a
//! peer, the clock), under one short lock, so that a submission reaches the machine's queue without a thread of its
//! own in between.
//!
//! Invariant: whoever waits is told exactly once; nobody is woken while the lock is held.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::oneshot;
use tracing::Span;

use super::core::Core;
use super::machines::ReplyTo;
use super::peers::wire::Batch;
use super::telemetry::{self, SPANS};
use super::{busy, clock};
use crate::base::{GroupId, HashMap, Nanos, NodeId, SessionId, Ticket};
use crate::command::batch::{Call, Unit};
use crate::service::forward::{Answer, Bounds, Forwarder, Output};
use crate::service::node::Outcome;

/// How often the forwarder looks at deadlines and pauses.
const TICK: Duration = Duration::from_millis(5);

/// Submissions of this node's connections.
pub struct Forwarding {
    inner: Mutex<Inner>,
}

struct Inner {
    forwarder: Forwarder,
    waiting: HashMap<Ticket, oneshot::Sender<Outcome>>,
    tickets: u64,
    /// Reused.
    out: Vec<Output>,
}

/// A client's command that waits for a key, until it is answered: whoever drops it does not want the answer.
pub struct Blocked {
    core: Arc<Core>,
    group: GroupId,
    ticket: Ticket,
    answer: oneshot::Receiver<Outcome>,
}

/// Hands a connection's command that waits to the leader of its group. The first of the two ends its time.
pub fn block(core: &Arc<Core>, group: GroupId, call: Call) -> (impl Fn() + Send + Sync + use<>, Blocked) {
    let (sender, answer) = oneshot::channel();
    let ticket = core.forwarding.with(core, None, |inner, _| {
        inner.tickets += 1;
        let ticket = Ticket(inner.tickets);
        inner.waiting.insert(ticket, sender);
        inner.forwarder.block(group, ticket, call, &mut inner.out);
        ticket
    });
    let hurried = core.clone();
    let hurry = move || hurried.forwarding.with(&hurried, None, |inner, now| inner.forwarder.hurry(now, group, ticket));
    (hurry, Blocked { core: core.clone(), group, ticket, answer })
}

impl Future for Blocked {
    type Output = Result<Outcome, oneshot::error::RecvError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.answer).poll(context)
    }
}

impl Drop for Blocked {
    fn drop(&mut self) {
        let (group, ticket) = (self.group, self.ticket);
        self.core.forwarding.with(&self.core, None, |inner, _| {
            if inner.waiting.remove(&ticket).is_some() {
                inner.forwarder.give_up(group, ticket);
            }
        });
    }
}

/// Who is to be told what, once the lock is free.
type Told = Vec<(oneshot::Sender<Outcome>, Outcome)>;

impl Forwarding {
    /// Nothing submitted yet. `session` must be new in the whole cluster.
    pub fn new(node: NodeId, session: SessionId, deadline: Duration) -> Forwarding {
        let bounds = Bounds { deadline, ..Bounds::default() };
        let inner = Inner {
            forwarder: Forwarder::new(node, session, bounds),
            waiting: HashMap::default(),
            tickets: 0,
            out: Vec::new(),
        };
        Forwarding { inner: Mutex::new(inner) }
    }

    /// Takes a connection's submission; the receiver gets its outcome.
    pub fn submit(
        &self,
        core: &Core,
        group: GroupId,
        units: Vec<Unit>,
        span: Option<&Span>,
    ) -> oneshot::Receiver<Outcome> {
        let (sender, receiver) = oneshot::channel();
        self.with(core, span, |inner, now| {
            inner.tickets += 1;
            let ticket = Ticket(inner.tickets);
            inner.waiting.insert(ticket, sender);
            inner.forwarder.submit(now, group, ticket, units, &mut inner.out);
        });
        receiver
    }

    /// What machines of this node or another said; empties the vector.
    pub fn answered(&self, core: &Core, answers: &mut Vec<(GroupId, Ticket, Answer)>) {
        if answers.is_empty() {
            return;
        }
        self.with(core, None, |inner, now| {
            for (group, attempt, answer) in answers.drain(..) {
                inner.forwarder.answered(now, group, attempt, answer, &mut inner.out);
            }
        });
    }

    /// Who leads a group now.
    pub fn leader(&self, core: &Core, group: GroupId, leader: Option<NodeId>) {
        self.with(core, None, |inner, _| inner.forwarder.leader(group, leader));
    }

    /// The stream of batches to a node was opened or ended.
    pub fn link(&self, core: &Core, node: NodeId, up: bool) {
        self.with(
            core,
            None,
            |inner, _| {
                if up { inner.forwarder.link_up(node) } else { inner.forwarder.link_down(node) }
            },
        );
    }

    /// A script runs for long on the machines of these groups.
    pub fn prolong(&self, core: &Core, groups: &[GroupId]) {
        self.with(core, None, |inner, now| inner.forwarder.prolong(now, groups));
    }

    /// Submissions that are not answered yet, and their bytes.
    pub fn pending(&self) -> (usize, usize) {
        let inner = self.inner.lock();
        (inner.forwarder.pending(), inner.forwarder.bytes())
    }

    /// Commands that wait for a key.
    pub fn blocked(&self) -> usize {
        self.inner.lock().forwarder.blocked()
    }

    /// Ends what is out of time and asks again who refused, until the runtime ends.
    pub async fn keep_time(core: Arc<Core>) {
        let mut interval = tokio::time::interval(TICK);
        interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            interval.tick().await;
            busy::look(&core, clock::boottime());
            core.forwarding.with(&core, None, |inner, now| inner.forwarder.tick(now, &mut inner.out));
        }
    }

    /// What leaves now is told to be on behalf of `span`, a sampled request.
    fn with<T>(&self, core: &Core, span: Option<&Span>, act: impl FnOnce(&mut Inner, Nanos) -> T) -> T {
        let now = clock::boottime();
        let mut told = Told::new();
        let result = {
            let mut inner = self.inner.lock();
            let result = act(&mut inner, now);
            inner.perform(core, now, span, &mut told);
            result
        };
        for (sender, outcome) in told {
            core.metrics.ended(&outcome);
            // A connection that is gone does not want to know.
            let _ = sender.send(outcome);
        }
        result
    }
}

impl Inner {
    /// Does what the forwarder wants until it wants nothing more.
    fn perform(&mut self, core: &Core, now: Nanos, span: Option<&Span>, told: &mut Told) {
        self.forwarder.flush(now, &mut self.out);
        while !self.out.is_empty() {
            let mut out = std::mem::take(&mut self.out);
            for output in out.drain(..) {
                match output {
                    Output::Local(group, submission) => {
                        let attempt = submission.ticket;
                        let span = span.map(|parent| {
                            let units = submission.units.len();
                            tracing::info_span!(target: SPANS, parent: parent, "serve", %group, units)
                        });
                        let reply_to = ReplyTo::Here(attempt, span);
                        if let Err(refusal) =
                            core.machines.submit(group, submission.origin, submission.units, reply_to, now)
                        {
                            self.forwarder.answered(now, group, attempt, Answer::Refused(refusal), &mut self.out);
                        }
                    }
                    Output::Send(node, group, submission) => {
                        let attempt = submission.ticket;
                        let trace = span.map_or_else(String::new, telemetry::traceparent);
                        if !core.peers.forward(node, Batch { group, submission, trace }) {
                            self.forwarder.unsent(now, group, attempt, &mut self.out);
                        }
                    }
                    Output::Done(ticket, outcome) => {
                        if let Some(sender) = self.waiting.remove(&ticket) {
                            told.push((sender, outcome));
                        }
                    }
                }
            }
            if self.out.is_empty() {
                // Keeps the memory.
                self.out = out;
                return;
            }
        }
    }
}
