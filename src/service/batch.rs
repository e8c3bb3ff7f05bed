//! Everything that a connection sent at once: which requests are answered here, which go to which group, and how
//! the replies come back in the order of the connection.
//!
//! A read whose group has nothing pending in this batch is tried at once on this node; everything else for a group
//! is gathered and goes there as one run, so `SET k` `GET k` pipelined needs one commit. Runs of different groups
//! proceed in parallel. Invariant: within a group, commands take effect in the order of the connection, because a
//! read never overtakes what is already gathered for its group.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::atomic::Ordering::Relaxed;
use std::task::Poll;
use std::time::Duration;

use bytes::{Bytes, BytesMut};

use super::Service;
use super::block::Held;
use super::debug::is_reload;
use super::node::{FastRead, Outcome, Pending};
use super::populate::is_populate;
use super::pubsub::{self, Early};
use super::route::Routes;
use super::saves::{Farewell, farewell};
use super::session::{Replies, Session};
use super::slowlog::without_secrets;
use super::transaction::{Item, Transaction, exec_refused, is_immediate};
use super::users::denied_option;
use crate::base::{GroupId, Nanos};
use crate::command::batch::{Call, Unit, UnitReply, Watch};
use crate::command::{self, Flags, Handler, Spec, block};
use crate::resp::Value;

pub(super) const DOWN: &str = "CLUSTERDOWN The cluster is down";
pub(super) const LOADING: &str = "LOADING Redis is loading the dataset in memory";
pub(super) const OVERLOADED: &str = "TRYAGAIN Too many requests wait already; the command did not run";
pub(super) const UNKNOWN: &str =
    "UNKNOWNOUTCOME the outcome of this command is unknown: it may have run, or may still run";
/// Reply bytes after which a batch pauses until they are sent.
const REPLY_BYTES_TARGET: usize = 1 << 20;
/// Sets of words are constants: made from their text while compiling, not per command.
const READS: Flags = Flags::of("readonly");
const WAITS: Flags = Flags::of("blocking");
const LISTENS: Flags = Flags::of("pubsub");
const BEFORE_AUTH: Flags = Flags::of("no_auth");
const PROTECTED: Flags = Flags::of("protected");
const NEVER_SLOW: Flags = Flags::of("skip_slowlog");
const ON_KEYS: Flags = Flags::of("write readonly may_replicate");
/// A connection that monitors is a replica to Redis.
const WATCHES_ONLY: &str = "ERR Replica can't interact with the keyspace";
const NOAUTH: &str = "NOAUTH Authentication required.";

/// What the front does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// Read on.
    Continue,
    /// Send what is in the buffer and close.
    Close,
    /// A request waits for a key ([`Session::wait`]); its outcome is for [`Service::end_wait`].
    Wait,
}

/// The batch at hand.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// One per group that has something to do, in order of first use.
    runs: Vec<Run>,
    /// Replies that are to come, in the order of the connection. While it is empty, replies go straight out.
    pieces: Vec<Piece>,
    /// Replies that are known already but must wait for earlier ones.
    scratch: BytesMut,
    /// Whether a WATCH is among the pieces.
    watching: bool,
    /// The first submitted command, for the slow log.
    sample: Vec<Bytes>,
    /// When the first unit was gathered.
    began: Nanos,
    /// The clock as last read: the end of one command is the beginning of the next.
    now: Nanos,
}

#[derive(Debug)]
struct Run {
    group: GroupId,
    units: Vec<Unit>,
}

#[derive(Debug)]
struct Piece {
    what: What,
    /// The client does not want to hear (CLIENT REPLY).
    quiet: bool,
    /// Which command, for its counters.
    counter: usize,
}

/// Where a reply comes from.
#[derive(Debug)]
pub(super) enum What {
    /// So many bytes of the scratch buffer.
    Ready(usize),
    /// The next reply of a run.
    Call { run: usize },
    /// The next reply of a run is a token for these keys.
    Watch { run: usize, group: GroupId, db: u8, keys: Vec<Bytes> },
    /// The next reply of a run is that of a block.
    Exec { run: usize, items: Vec<Item>, early: Option<Box<Early>> },
    /// A block that needs no group.
    Block(Vec<Item>),
}

impl Plan {
    /// Gathers a unit for a group.
    pub fn submit(&mut self, group: GroupId, unit: Unit, what: impl FnOnce(usize) -> What) {
        let run = self.runs.iter().position(|run| run.group == group).unwrap_or_else(|| {
            self.runs.push(Run { group, units: Vec::new() });
            self.runs.len() - 1
        });
        self.runs[run].units.push(unit);
        self.pieces.push(Piece { what: what(run), quiet: false, counter: 0 });
    }

    /// A block of session words only.
    pub fn local_block(&mut self, items: Vec<Item>) {
        self.pieces.push(Piece { what: What::Block(items), quiet: false, counter: 0 });
    }

    fn has_run(&self, group: GroupId) -> bool {
        self.runs.iter().any(|run| run.group == group)
    }

    /// Runs `write` on the buffer where the next reply belongs.
    fn write<T>(&mut self, out: &mut BytesMut, write: impl FnOnce(&mut BytesMut) -> T) -> T {
        if self.pieces.is_empty() {
            return write(out);
        }
        let before = self.scratch.len();
        let result = write(&mut self.scratch);
        let written = self.scratch.len() - before;
        match self.pieces.last_mut() {
            Some(Piece { what: What::Ready(bytes), .. }) => *bytes += written,
            _ => self.pieces.push(Piece { what: What::Ready(written), quiet: false, counter: 0 }),
        }
        result
    }
}

/// The replies of one run, one after the other.
enum Answers {
    Replies(std::vec::IntoIter<UnitReply>),
    Failed(&'static str),
}

impl Service {
    /// Answers requests in order, appending replies to `out`. Stops early, with the rest left in `requests`, once
    /// `out` is large: it is to be sent first, so that a pipeline of large reads is never in memory as a whole.
    pub async fn handle_batch(
        &self,
        session: &mut Session,
        requests: &mut VecDeque<Vec<Bytes>>,
        out: &mut BytesMut,
    ) -> Flow {
        let routes = Routes::new(&self.node.map());
        let mut plan = std::mem::take(&mut session.plan);
        plan.now = self.node.monotonic();
        session.client.seen.store(plan.now.0, Relaxed);
        self.stats.take_rates(plan.now);
        self.refresh_rights(session);
        while !session.closing && out.len() < REPLY_BYTES_TARGET {
            if self.pause.is_on()
                && let Some(left) = requests.front().and_then(|args| self.paused(session, args))
            {
                // What is answered already shall not wait.
                if !plan.pieces.is_empty() || !out.is_empty() {
                    break;
                }
                self.wait_out(session.client.clone(), left).await;
                plan.now = self.node.monotonic();
                if session.client.is_ending() {
                    break;
                }
                continue;
            }
            let Some(args) = requests.pop_front() else { break };
            let replies = session.replies;
            session.replies = match replies {
                Replies::SkipNext => Replies::Skip,
                Replies::Skip => Replies::On,
                other => other,
            };
            let held = self.handle(session, &routes, args, &mut plan, out).await;
            if let Some(tracked) = &mut session.tracked
                && held.is_none()
                && session.transaction.is_none()
                && !session.last_command.starts_with("client|")
            {
                tracked.forget_caching();
            }
            if let Some(held) = held {
                if out.is_empty() && plan.pieces.is_empty() {
                    self.begin_wait(session, held);
                } else {
                    // Its turn comes when everything before it is answered, and sent.
                    session.replies = replies;
                    requests.push_front(held.args);
                }
                break;
            }
            if let Some((nap, args)) = session.nap.take() {
                // What came before shall not wait for it.
                self.flush(session, &mut plan, out).await;
                self.sleep(session.client.clone(), nap).await;
                plan.now = self.node.monotonic();
                self.note_if_slow(session, &args, nap);
            }
        }
        self.flush(session, &mut plan, out).await;
        session.client.labels.lock().last_command = session.last_command;
        session.plan = plan;
        match &session.wait {
            _ if session.closing || session.client.is_ending() => Flow::Close,
            Some(_) => Flow::Wait,
            None => Flow::Continue,
        }
    }

    /// One request: refuses, queues, answers or gathers it, or gives it back if it wants to wait for a key.
    async fn handle(
        &self,
        session: &mut Session,
        routes: &Routes,
        args: Vec<Bytes>,
        plan: &mut Plan,
        out: &mut BytesMut,
    ) -> Option<Held> {
        let spec = match command::check(&args) {
            Ok(spec) => spec,
            Err(refusal) => {
                let spec = args.first().and_then(|name| command::lookup(name));
                self.refuse(session, spec, refusal, plan, out);
                return None;
            }
        };
        session.last_command = spec.name;
        if spec.flags.has(PROTECTED)
            && let Some(refusal) = self.protected(session, spec)
        {
            self.refuse(session, Some(spec), Value::error(refusal), plan, out);
            return None;
        }
        if !spec.flags.has(BEFORE_AUTH) && self.must_log_in(session) {
            self.refuse(session, Some(spec), Value::error(NOAUTH), plan, out);
            return None;
        }
        if session.rights.is_some() {
            if let Some(refusal) = self.denial(session, spec, &args) {
                self.refuse(session, Some(spec), refusal, plan, out);
                return None;
            }
            let rights = session.rights.as_ref().filter(|_| session.transaction.is_none());
            if let Some(error) = rights.and_then(|rights| denied_option(rights, spec, &args)) {
                self.write(session, &error, plan, out);
                self.count(session, spec, plan, true);
                return None;
            }
        }
        if session.watching.is_some() && spec.flags.has(ON_KEYS) {
            self.refuse(session, Some(spec), Value::error(WATCHES_ONLY), plan, out);
            return None;
        }
        if let Some(refusal) = pubsub::is_refused(session, spec) {
            self.refuse(session, Some(spec), refusal, plan, out);
            return None;
        }
        if session.transaction.is_some() && !is_immediate(spec) {
            match self.queue(session, routes, spec, args) {
                Ok(()) => self.write(session, &Value::Simple("QUEUED".into()), plan, out),
                Err(refusal) => self.refuse(session, Some(spec), refusal, plan, out),
            }
            return None;
        }
        let patience = match spec.flags.has(WAITS) {
            true => block::patience(spec.name, &args, self.node.now()),
            false => None,
        };
        let is_watched = self.is_watched();
        // One that waits is shown when it begins to.
        if is_watched && patience.is_none() && !matches!(spec.handler, Handler::Session) {
            self.show(session, spec, session.db, &args);
        }
        let tells_reads = session.tracked.is_some() && self.remember(session, spec, &args);
        match spec.handler {
            Handler::Session if is_watched => {
                // Behind it, as in Redis: a block's calls come before EXEC, and SELECT shows the new database.
                let shown = args.clone();
                self.handle_word(session, routes, spec, args, plan, out).await;
                self.show(session, spec, session.db, &shown);
            }
            Handler::Session => self.handle_word(session, routes, spec, args, plan, out).await,
            // In a block it is a call like others: nothing else runs meanwhile.
            Handler::Data(_) if spec.name == "function|stats" => {
                self.handle_word(session, routes, spec, args, plan, out).await;
            }
            Handler::Data(_) => match routes.of_call(spec, &args) {
                Ok(group) => match patience {
                    Some(patience) => return Some(Held { spec, group, patience, args }),
                    None => {
                        let call = Call { tells_reads, ..session.call(args) };
                        self.handle_call(session, group, spec, call, plan, out);
                    }
                },
                Err(refusal) => self.refuse(session, Some(spec), refusal, plan, out),
            },
            Handler::Spread(_, merge) => match routes.only() {
                Some(group) => {
                    let call = session.call(args);
                    self.handle_call(session, group, spec, call, plan, out);
                }
                None => {
                    self.flush(session, plan, out).await;
                    let call = session.call(args);
                    let value = self.spread(routes, spec, merge, call).await;
                    self.write(session, &value, plan, out);
                    self.count(session, spec, plan, value.is_error());
                }
            },
        }
        None
    }

    /// A call for one group: at once if it only reads and may overtake nothing, else gathered.
    fn handle_call(
        &self,
        session: &mut Session,
        group: GroupId,
        spec: &'static Spec,
        mut call: Call,
        plan: &mut Plan,
        out: &mut BytesMut,
    ) {
        if session.rights.is_some() && spec.runs_scripts() {
            call.rights.clone_from(&session.rights);
        }
        if spec.flags.has(READS) && !plan.has_run(group) {
            let quiet = is_quiet(session);
            let answered = plan.write(out, |sink| {
                let before = sink.len();
                let done = self.node.read(group, &call, sink) == FastRead::Done;
                let failed = done && sink.get(before) == Some(&b'-');
                if failed {
                    self.stats.error(&sink[before + 1..]);
                }
                if !done || quiet {
                    sink.truncate(before);
                }
                done.then_some(failed)
            });
            if let Some(failed) = answered {
                let took = self.count(session, spec, plan, failed);
                return self.note_if_slow(session, &call.args, took);
            }
        }
        self.gather(session, spec, plan, |plan| {
            if plan.sample.is_empty() {
                plan.sample = call.args.clone();
            }
            plan.submit(group, Unit::Call(call), |run| What::Call { run });
        });
    }

    /// A word that the session answers. Those that depend on what is gathered wait for it.
    async fn handle_word(
        &self,
        session: &mut Session,
        routes: &Routes,
        spec: &'static Spec,
        args: Vec<Bytes>,
        plan: &mut Plan,
        out: &mut BytesMut,
    ) {
        if plan.watching && matches!(spec.name, "exec" | "discard" | "unwatch" | "reset" | "watch") {
            self.flush(session, plan, out).await;
        }
        let value = match spec.name {
            "exec" => {
                // What came before is not for who only listens in the block.
                if session.transaction.as_ref().is_some_and(Transaction::listens) {
                    self.flush(session, plan, out).await;
                }
                let before = plan.pieces.len();
                match self.exec(session, plan) {
                    Ok(has_words) => {
                        if before == 0 {
                            (plan.began, plan.sample) = (plan.now, args);
                        }
                        if let Some(piece) = plan.pieces.last_mut() {
                            (piece.quiet, piece.counter) = (is_quiet(session), self.counter(spec));
                        }
                        if has_words {
                            self.flush(session, plan, out).await;
                        }
                        return;
                    }
                    Err(value) => value,
                }
            }
            "watch" => match self.watch(session, routes, &args) {
                Ok((group, keys)) => {
                    let db = session.db;
                    let unit = Unit::Watch { db, keys: keys.clone() };
                    self.gather(session, spec, plan, |plan| {
                        plan.watching = true;
                        plan.submit(group, unit, |run| What::Watch { run, group, db, keys });
                    });
                    return;
                }
                Err(value) => value,
            },
            "monitor" => match self.monitor(session) {
                Some(value) => value,
                None => return,
            },
            "save" => {
                self.flush(session, plan, out).await;
                self.save().await
            }
            "debug" if is_reload(&args) => {
                self.flush(session, plan, out).await;
                self.save().await
            }
            "shutdown" => match farewell(&args) {
                Ok(Farewell::Begin(how)) => {
                    self.flush(session, plan, out).await;
                    self.node.shut_down(how);
                    // No answer but the end of the connection, as in Redis.
                    session.client.ended().await;
                    session.closing = true;
                    return;
                }
                Ok(Farewell::Abort) => Value::error("ERR No shutdown in progress."),
                Err(refusal) => refusal,
            },
            _ => {
                // What these show or promise depends on what came before them on this connection; and what came before
                // HELLO is still answered in the protocol of its time.
                let depends = matches!(
                    spec.name,
                    "info" | "wait" | "hello" | "reset" | "config|set" | "client|tracking" | "function|stats"
                ) || spec.flags.has(LISTENS)
                    || (spec.name == "debug" && is_populate(&args));
                if !plan.pieces.is_empty() && depends {
                    self.flush(session, plan, out).await;
                }
                let value = self.answer_word(session, spec, &args).await;
                if pubsub::divides_messages(spec) {
                    plan.write(out, |sink| session.take_messages(sink));
                }
                value
            }
        };
        let failed = value.is_error();
        if pubsub::is_word(spec) {
            // Confirmations are pushes: they are heard whatever CLIENT REPLY says.
            plan.write(out, |sink| value.encode(session.protocol, sink));
        } else {
            self.write(session, &value, plan, out);
        }
        let took = self.count(session, spec, plan, failed);
        if !spec.flags.has(NEVER_SLOW) {
            self.note_if_slow(session, &args, took);
        }
    }

    /// Adds a unit's piece with what is known about its reply.
    fn gather(&self, session: &Session, spec: &'static Spec, plan: &mut Plan, add: impl FnOnce(&mut Plan)) {
        if plan.runs.is_empty() {
            plan.began = plan.now;
        }
        add(plan);
        if let Some(piece) = plan.pieces.last_mut() {
            (piece.quiet, piece.counter) = (is_quiet(session), self.counter(spec));
        }
    }

    /// Runs what is gathered and writes all replies that wait.
    async fn flush(&self, session: &mut Session, plan: &mut Plan, out: &mut BytesMut) {
        if plan.pieces.is_empty() {
            return;
        }
        let pending: Vec<Pending> = plan.runs.drain(..).map(|run| self.node.submit(run.group, run.units)).collect();
        let mut outcomes = all(pending).await;
        self.remember_answers(session, &mut outcomes);
        let mut answers: Vec<Answers> = outcomes.into_iter().map(Answers::from).collect();
        plan.now = self.node.monotonic();
        let took = plan.now.since(plan.began);
        let mut scratch = std::mem::take(&mut plan.scratch);
        for mut piece in plan.pieces.drain(..) {
            let before = out.len();
            match piece.what {
                What::Ready(bytes) => {
                    out.extend_from_slice(&scratch.split_to(bytes));
                    // Counted when it was written.
                    continue;
                }
                What::Block(items) => {
                    match self.write_block(session, items, Vec::new(), None, piece.quiet, out).await {
                        Ok(()) => piece.quiet = false,
                        Err(value) => value.encode(session.protocol, out),
                    }
                }
                What::Call { run } => match next(&mut answers, run) {
                    Ok(UnitReply::Call(bytes)) => out.extend_from_slice(&bytes),
                    other => mismatch(other).encode(session.protocol, out),
                },
                What::Watch { run, group, db, keys } => match next(&mut answers, run) {
                    Ok(UnitReply::Watch { term, sequence }) => {
                        session.watched.add(group, keys.into_iter().map(|key| Watch { db, key, term, sequence }));
                        session.client.watching.store(true, Relaxed);
                        Value::OK.encode(session.protocol, out);
                    }
                    other => {
                        session.watched.fail();
                        mismatch(other).encode(session.protocol, out);
                    }
                },
                What::Exec { run, items, early } => match next(&mut answers, run) {
                    Ok(UnitReply::Atomic(Some(replies))) => {
                        match self.write_block(session, items, replies, early, piece.quiet, out).await {
                            Ok(()) => piece.quiet = false,
                            Err(value) => value.encode(session.protocol, out),
                        }
                    }
                    Ok(UnitReply::Atomic(None)) => Value::NullArray.encode(session.protocol, out),
                    other => mismatch(other).encode(session.protocol, out),
                },
            }
            let failed = out.get(before) == Some(&b'-');
            if failed {
                self.stats.error(&out[before + 1..]);
            }
            self.stats.ran(session.client.id, piece.counter, took, failed);
            if piece.quiet {
                out.truncate(before);
            }
        }
        scratch.clear();
        plan.scratch = scratch;
        plan.watching = false;
        let sample = std::mem::take(&mut plan.sample);
        if !sample.is_empty() {
            self.note_if_slow(session, &sample, took);
        }
    }

    /// A request that does not run. Inside MULTI it spoils the transaction.
    fn refuse(
        &self,
        session: &mut Session,
        spec: Option<&'static Spec>,
        refusal: Value,
        plan: &mut Plan,
        out: &mut BytesMut,
    ) {
        if let Some(spec) = spec {
            self.stats.rejected(session.client.id, self.counter(spec));
        }
        if let Some(transaction) = &mut session.transaction {
            transaction.aborted = true;
        }
        let value = if spec.is_some_and(|spec| spec.name == "exec") {
            session.set_transaction(None);
            self.unwatch(session);
            exec_refused(refusal)
        } else {
            refusal
        };
        self.write(session, &value, plan, out);
    }

    /// A reply that is known now.
    fn write(&self, session: &Session, value: &Value, plan: &mut Plan, out: &mut BytesMut) {
        if let Value::Error(line) = value {
            self.stats.error(line);
        }
        if !is_quiet(session) {
            plan.write(out, |sink| value.encode(session.protocol, sink));
        }
    }

    fn count(&self, session: &Session, spec: &Spec, plan: &mut Plan, failed: bool) -> Duration {
        let began = std::mem::replace(&mut plan.now, self.node.monotonic());
        let took = plan.now.since(began);
        self.stats.ran(session.client.id, self.counter(spec), took, failed);
        took
    }

    fn note_if_slow(&self, session: &Session, args: &[Bytes], took: Duration) {
        if self.latency.notices(took) {
            const FAST: Flags = Flags::of("fast");
            let is_fast = command::check(args).is_ok_and(|spec| spec.flags.has(FAST));
            self.latency.note(if is_fast { "fast-command" } else { "command" }, took, self.node.now());
        }
        let threshold = self.config.slow_micros();
        let micros = took.as_micros() as u64;
        if u64::try_from(threshold).is_ok_and(|threshold| micros >= threshold) {
            let name = session.client.labels.lock().name.clone();
            let seconds = self.node.now().0 / 1000;
            let length_max = self.config.slow_entries_max();
            self.slow_log.record(&without_secrets(args), seconds, micros, &session.client.address, name, length_max);
        }
    }
}

impl From<Outcome> for Answers {
    fn from(outcome: Outcome) -> Answers {
        match outcome {
            Outcome::Replies(replies) => Answers::Replies(replies.into_iter()),
            failed => Answers::Failed(failure(&failed)),
        }
    }
}

/// The line for a submission without replies.
pub(super) fn failure(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Down => DOWN,
        Outcome::Loading => LOADING,
        Outcome::Overloaded => OVERLOADED,
        Outcome::Busy(kind) => kind.busy(),
        Outcome::Unknown | Outcome::Replies(_) => UNKNOWN,
    }
}

fn next(answers: &mut [Answers], run: usize) -> Result<UnitReply, &'static str> {
    match answers.get_mut(run) {
        Some(Answers::Replies(replies)) => replies.next().ok_or(UNKNOWN),
        Some(Answers::Failed(line)) => Err(line),
        None => Err(UNKNOWN),
    }
}

/// The error for a reply that failed, or is not of the kind that was asked for (then nobody knows what ran).
fn mismatch(reply: Result<UnitReply, &'static str>) -> Value {
    Value::error(reply.map_or_else(|line| line, |_| UNKNOWN))
}

fn is_quiet(session: &Session) -> bool {
    session.replies != Replies::On
}

/// Waits for all, which proceed at the same time.
pub(super) async fn all(mut pending: Vec<Pending>) -> Vec<Outcome> {
    let mut done: Vec<Option<Outcome>> = pending.iter().map(|_| None).collect();
    poll_fn(|context| {
        let mut waiting = false;
        for (pending, done) in pending.iter_mut().zip(&mut done).filter(|(_, done)| done.is_none()) {
            match pending.as_mut().poll(context) {
                Poll::Ready(outcome) => *done = Some(outcome),
                Poll::Pending => waiting = true,
            }
        }
        if waiting { Poll::Pending } else { Poll::Ready(()) }
    })
    .await;
    done.into_iter().flatten().collect()
}
