//! MULTI, EXEC, DISCARD, WATCH, UNWATCH: what is queued and watched, and what becomes of it.
//!
//! Invariant: a block reaches its group as one atomic unit with its conditions or not at all; words of the session
//! inside the block (SELECT, CLIENT ...) run here, only once the unit has succeeded, and their replies are put at
//! their places. All keys of a block and of its watches are in one group.

use bytes::{Bytes, BytesMut};

use super::Service;
use super::batch::{Plan, What};
use super::pubsub::{self, Early, Rehearsal};
use super::route::{CROSS_SLOT, Routes};
use super::session::{Replies, Session};
use super::words::{integer, is};
use crate::base::{GroupId, limits};
use crate::command::batch::{Call, Unit, Watch};
use crate::command::{self, Flags, Handler, Spec};
use crate::resp::{Value, put_length};

const ABORTED: &str = "EXECABORT Transaction discarded because of previous errors.";
const NOT_ALLOWED: &str = "ERR Command not allowed inside a transaction";

/// What is queued between MULTI and EXEC.
#[derive(Debug, Default)]
pub(super) struct Transaction {
    queued: Vec<Queued>,
    /// A command was refused: EXEC will be, too.
    pub aborted: bool,
    /// The group of the queued calls, once one has keys.
    group: Option<GroupId>,
    /// Where they may go while none has.
    anywhere: Option<GroupId>,
    bytes: usize,
}

#[derive(Debug)]
struct Queued {
    spec: &'static Spec,
    args: Vec<Bytes>,
}

/// What EXEC depends on.
#[derive(Debug, Default)]
pub(super) struct Watched {
    watches: Vec<Watch>,
    group: Option<GroupId>,
    /// A WATCH failed: the next EXEC must not run on conditions that nobody guards.
    broken: bool,
}

/// Where the replies of a block come from.
#[derive(Debug)]
pub(super) enum Item {
    /// The next reply of the unit.
    Call,
    /// The same of a publication. So many of the subscriptions that it counts are the client's own, and none at its place.
    Publish(u64),
    /// The session.
    Session(&'static Spec, Vec<Bytes>),
    /// Nothing runs: the user lost the right to it since it was queued.
    Refused(Value),
}

impl Transaction {
    /// Whether subscriptions begin or end in it.
    pub fn listens(&self) -> bool {
        self.queued.iter().any(|queued| pubsub::is_word(queued.spec))
    }

    /// Whether something in it may change data.
    pub fn may_write(&self) -> bool {
        const MAY_REPLICATE: Flags = Flags::of("may_replicate");
        self.queued.iter().any(|queued| queued.spec.may_write() || queued.spec.flags.has(MAY_REPLICATE))
    }
}

impl Watched {
    pub fn clear(&mut self) {
        *self = Watched::default();
    }

    /// The leader took note.
    pub fn add(&mut self, group: GroupId, watches: impl Iterator<Item = Watch>) {
        self.group = Some(group);
        self.watches.extend(watches);
    }

    /// The leader may not have taken note.
    pub fn fail(&mut self) {
        self.broken = true;
    }
}

/// Whether a word takes effect at once inside MULTI, instead of being queued.
pub(super) fn is_immediate(spec: &Spec) -> bool {
    matches!(spec.name, "exec" | "discard" | "multi" | "watch" | "quit" | "reset")
}

/// Makes of a refusal of EXEC itself what Redis makes of it.
pub(super) fn exec_refused(reason: Value) -> Value {
    match reason {
        Value::Error(line) => {
            let reason = line.strip_prefix(b"ERR ").unwrap_or(&line);
            Value::error_with(&[b"EXECABORT Transaction discarded because of: ", reason])
        }
        other => other,
    }
}

impl Service {
    pub(super) fn multi(&self, session: &mut Session) -> Value {
        if session.transaction.is_some() {
            return Value::error("ERR MULTI calls can not be nested");
        }
        session.set_transaction(Some(Transaction::default()));
        Value::OK
    }

    pub(super) fn discard(&self, session: &mut Session) -> Value {
        if session.set_transaction(None).is_none() {
            return Value::error("ERR DISCARD without MULTI");
        }
        self.unwatch(session);
        Value::OK
    }

    pub(super) fn unwatch(&self, session: &mut Session) {
        session.watched.clear();
        session.client.watching.store(false, std::sync::atomic::Ordering::Relaxed);
    }

    /// Queues a command that was checked. An error aborts the transaction (the caller sees to it).
    pub(super) fn queue(
        &self,
        session: &mut Session,
        routes: &Routes,
        spec: &'static Spec,
        args: Vec<Bytes>,
    ) -> Result<(), Value> {
        let Some(transaction) = &mut session.transaction else { return Ok(()) };
        if spec.flags.has(Flags::of("no_multi")) {
            return Err(Value::error(NOT_ALLOWED));
        }
        let bytes: usize = args.iter().map(Bytes::len).sum();
        if transaction.bytes + bytes > self.config.query_buffer_bytes() {
            return Err(Value::error("ERR the transaction is too large"));
        }
        match spec.handler {
            Handler::Session => {}
            // Over all groups nothing is atomic.
            Handler::Spread(..) if routes.only().is_none() => return Err(Value::error(CROSS_SLOT)),
            Handler::Spread(..) | Handler::Data(_) => {
                let (group, bound) = routes.place(spec, &args)?;
                transaction.anywhere.get_or_insert(group);
                match transaction.group {
                    // What is wrong in itself is told so wherever it runs.
                    Some(other) if bound && other != group && command::mistake(&args).is_none() => {
                        return Err(Value::error(CROSS_SLOT));
                    }
                    None if bound => transaction.group = Some(group),
                    _ => {}
                }
            }
        }
        transaction.bytes += bytes;
        transaction.queued.push(Queued { spec, args });
        session.client.queued.store(transaction.queued.len() as i64, std::sync::atomic::Ordering::Relaxed);
        Ok(())
    }

    /// `WATCH key ...`: the keys for the leader of their group to remember.
    pub(super) fn watch(
        &self,
        session: &Session,
        routes: &Routes,
        args: &[Bytes],
    ) -> Result<(GroupId, Vec<Bytes>), Value> {
        if session.transaction.is_some() {
            return Err(Value::error("ERR WATCH inside MULTI is not allowed"));
        }
        let keys = &args[1..];
        let group = routes.of_keys(keys.iter())?;
        if session.watched.group.is_some_and(|other| other != group) {
            return Err(Value::error(CROSS_SLOT));
        }
        if session.watched.watches.len() + keys.len() > limits::WATCHED_KEYS_MAX {
            return Err(Value::error("ERR too many watched keys"));
        }
        // Copies: a watch lives long, and a slice of the read buffer would keep all of it.
        Ok((group, keys.iter().map(|key| Bytes::copy_from_slice(key)).collect()))
    }

    /// EXEC: puts the block into the plan, or answers at once. True: the plan must be run before anything else.
    pub(super) fn exec(&self, session: &mut Session, plan: &mut Plan) -> Result<bool, Value> {
        let Some(transaction) = session.set_transaction(None) else {
            return Err(Value::error("ERR EXEC without MULTI"));
        };
        let watched = std::mem::take(&mut session.watched);
        self.unwatch(session);
        if transaction.aborted {
            return Err(Value::error(ABORTED));
        }
        if watched.broken {
            return Err(Value::NullArray);
        }
        let (mut db, mut protocol) = (session.db, session.protocol);
        let mut touches = !session.client.no_touch.load(std::sync::atomic::Ordering::Relaxed);
        let mut items = Vec::with_capacity(transaction.queued.len());
        let mut calls = Vec::with_capacity(transaction.queued.len());
        let mut has_words = false;
        let mut rehearsal = Rehearsal::default();
        let mut rights = session.rights.clone();
        for Queued { spec, args } in transaction.queued {
            self.show(session, spec, db, &args);
            let refusal = rights.as_ref().and_then(|rights| self.late_denial(session, rights, spec, &args));
            if let Some(refusal) = refusal {
                items.push(Item::Refused(refusal));
            } else if matches!(spec.handler, Handler::Session) {
                // What follows in the block sees the database, protocol and manner that the word will have chosen.
                match (spec.name, &args[1..]) {
                    ("select", [number]) => {
                        let number = integer(number).and_then(|number| u8::try_from(number).ok());
                        db = number.filter(|number| *number < limits::DATABASES).unwrap_or(db);
                    }
                    ("client|no-touch", [_, word]) => touches = if touches { !is(word, "on") } else { is(word, "off") },
                    ("hello", _) => protocol = self.foresee_hello(&args).unwrap_or(protocol),
                    _ => {}
                }
                if let Some(user) = self.foresee_user(spec, &args) {
                    rights = (!user.rights().is_all()).then(|| user.rights().clone());
                }
                has_words = true;
                rehearsal.add(items.len(), spec, &args);
                items.push(Item::Session(spec, args));
            } else {
                let rights = rights.clone().filter(|_| spec.runs_scripts());
                let tells_reads = self.remember(session, spec, &args);
                rehearsal.add(items.len(), spec, &args);
                calls.push(Call { db, protocol, touches, args, rights, author: session.author(), tells_reads });
                items.push(Item::Call);
            }
        }
        let group = match (transaction.group, watched.group) {
            (Some(calls), Some(watches)) if calls != watches => return Err(Value::error(CROSS_SLOT)),
            (calls, watches) => watches.or(calls).or(transaction.anywhere),
        };
        match group {
            Some(group) if !(calls.is_empty() && watched.watches.is_empty()) => {
                let early =
                    rehearsal.divides().then(|| Box::new(self.listen_early(session, group, rehearsal, &mut items)));
                let unit = Unit::Atomic { watches: watched.watches, calls };
                plan.submit(group, unit, |run| What::Exec { run, items, early });
            }
            _ => plan.local_block(items),
        }
        Ok(has_words)
    }

    /// Begins the subscriptions of a block that is about to run.
    fn listen_early(&self, session: &mut Session, group: GroupId, block: Rehearsal, items: &mut [Item]) -> Early {
        let (client, main) = (session.client.clone(), session.open_inbox());
        let map = self.node.map();
        let is_led_here = map.groups.iter().any(|info| info.id == group && info.leader == Some(self.node.id()));
        let (early, own) = block.begin(&self.hub, &client, main, session.listener.as_deref(), is_led_here);
        // Another node does not count subscriptions that are so young.
        for (place, count) in own.into_iter().filter(|_| is_led_here) {
            items[place] = Item::Publish(count);
        }
        early
    }

    /// Writes the reply of a block: the array's head, then the unit's replies and the session's in their order. As in
    /// Redis, a CLIENT REPLY in the block counts from its place on, also in the middle of this array. No message of a
    /// channel comes inside of the array, and none after the end of its subscription.
    pub(super) async fn write_block(
        &self,
        session: &mut Session,
        items: Vec<Item>,
        replies: Vec<Bytes>,
        early: Option<Box<Early>>,
        quiet: bool,
        out: &mut BytesMut,
    ) -> Result<(), Value> {
        let ends = items.iter().any(|item| matches!(item, Item::Session(spec, _) if pubsub::divides_messages(spec)));
        let written = if ends {
            let mut block = BytesMut::new();
            let written = self.write_items(session, items, replies, quiet, &mut block).await;
            session.take_messages(out);
            out.extend_from_slice(&block);
            written
        } else {
            self.write_items(session, items, replies, quiet, out).await
        };
        // Messages of subscriptions that begin in the block follow it.
        if let Some(early) = early.filter(|_| written.is_ok()) {
            early.settle(self.node.monotonic());
        }
        written
    }

    async fn write_items(
        &self,
        session: &mut Session,
        items: Vec<Item>,
        replies: Vec<Bytes>,
        mut quiet: bool,
        out: &mut BytesMut,
    ) -> Result<(), Value> {
        let calls = items.iter().filter(|item| matches!(item, Item::Call | Item::Publish(_))).count();
        if calls != replies.len() {
            return Err(Value::error(super::batch::UNKNOWN));
        }
        let mut replies = replies.into_iter();
        session.in_block = true;
        if !quiet {
            put_length(out, b'*', items.len());
        }
        for item in items {
            match item {
                Item::Call => {
                    let reply = replies.next().unwrap_or_default();
                    if !quiet {
                        out.extend_from_slice(&reply);
                    }
                }
                Item::Publish(own) => {
                    let reply = replies.next().unwrap_or_default();
                    if !quiet {
                        out.extend_from_slice(&without(reply, own));
                    }
                }
                Item::Refused(value) => {
                    if let Value::Error(line) = &value {
                        self.stats.error(line);
                    }
                    if !quiet {
                        value.encode(session.protocol, out);
                    }
                }
                Item::Session(spec, args) => {
                    let value = self.answer_word(session, spec, &args).await;
                    let mut unheard = false;
                    if spec.name == "client|reply" && !value.is_error() {
                        // SKIP is for the command after the block, and like OFF it has no answer of its own.
                        quiet = session.replies == Replies::Off || (quiet && session.replies != Replies::On);
                        unheard = session.replies != Replies::On;
                    }
                    if (!quiet && !unheard) || pubsub::is_word(spec) {
                        value.encode(session.protocol, out);
                    }
                }
            }
        }
        session.in_block = false;
        Ok(())
    }
}

/// The reply of a publication that is heard by so many less.
fn without(reply: Bytes, less: u64) -> Bytes {
    let number = reply.strip_prefix(b":").and_then(|rest| rest.strip_suffix(b"\r\n")).and_then(integer_of);
    match number {
        Some(number) if less > 0 => format!(":{}\r\n", number.saturating_sub(less)).into(),
        _ => reply,
    }
}

fn integer_of(digits: &[u8]) -> Option<u64> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}
