//! What units run on: the keyspace of applied state and overlay, and who is told of the keys that they change.
//!
//! Whoever waits for a changed key is served right after the unit that changed it, so nothing comes in between, and
//! what it takes is in the same entry. Serving may change keys that others wait for (BLMOVE): their turn is next.

use bytes::{Bytes, BytesMut};

use super::authors::Authors;
use super::blocked::{Blocked, Key};
use super::flight::Waiting;
use super::watch::Watches;
use super::{Machine, Result};
use crate::base::SlotRange;
use crate::command::batch::UnitReply;
use crate::command::block::{self, Wants};
use crate::command::{self, Call, Scripts};
use crate::data::{self, Keyspace, Manner, Mode, Moment};
use crate::resp::Value;
use crate::store::Error;
use crate::store::overlay::OverlayView;

/// One evaluation at work.
pub(super) struct Stage<'a> {
    pub(super) keyspace: Keyspace<'a>,
    pub(super) watches: &'a mut Watches,
    scripts: &'a mut Scripts,
    scratch: &'a mut BytesMut,
    blocked: &'a mut Blocked,
    served: &'a mut Vec<(Waiting, Vec<UnitReply>)>,
    authors: &'a mut Authors,
    /// Who does not want to hear of what is changed now, 0 for nobody.
    pub(super) author: u64,
    /// Bytes of the answers so far: those to a forwarded batch are stored in the entry.
    answered: usize,
}

impl Machine {
    /// Lets `act` work on the open entry.
    pub(super) fn with_stage<T>(
        &mut self,
        slots: SlotRange,
        act: impl FnOnce(&mut Stage<'_>) -> Result<T>,
    ) -> Result<T> {
        let base = self.cold.view(&*self.engine);
        let mut view = OverlayView::new(&base, &mut self.overlay);
        let keyspace = Keyspace {
            store: &mut view,
            group: self.group,
            slots,
            moment: Moment { stamp: self.stamp, clock: self.stamp },
            mode: Mode::Leader,
            counts: &mut self.counts,
            touched: &mut self.touched,
            events: &mut self.events,
            rng: &mut self.rng,
            thresholds: self.settings.thresholds,
            usage: &self.settings.usage,
            audience: &*self.settings.audience,
            manner: Manner::default(),
            named: Bytes::new(),
        };
        act(&mut Stage {
            keyspace,
            watches: &mut self.watches,
            scripts: &mut self.scripts,
            scratch: &mut self.scratch,
            blocked: &mut self.blocked,
            served: &mut self.served,
            authors: &mut self.authors,
            author: 0,
            answered: 0,
        })
    }
}

impl Stage<'_> {
    /// One call's encoded reply; the buffer is shared, so that replies cost no allocation each.
    pub(super) fn execute(&mut self, call: &Call) -> Result<Bytes> {
        if call.rights.is_some()
            && let Some(reply) = block::denied(&mut self.keyspace, call, false).map_err(stopped)?
        {
            reply.encode(call.protocol, self.scratch);
            return Ok(self.scratch.split().freeze());
        }
        let reply = self.bounded(call, |stage| {
            let scripts = Some(&mut *stage.scripts);
            command::execute_reply(&mut stage.keyspace, scripts, call, stage.scratch).map(Some).map_err(stopped)
        })?;
        Ok(reply.unwrap_or_default())
    }

    /// Runs a call, and takes it back if its changes and its answer are more than an entry holds: the answer says so.
    fn bounded(&mut self, call: &Call, run: impl FnOnce(&mut Self) -> Result<Option<Bytes>>) -> Result<Option<Bytes>> {
        let since = self.keyspace.store.savepoint();
        let (counts, events, touched) =
            (self.keyspace.counts.clone(), *self.keyspace.events, self.keyspace.touched.len());
        let mut reply = run(self)?;
        let answered = self.answered + reply.as_ref().map_or(0, Bytes::len);
        if let Some(since) = since
            && self.keyspace.store.written() + answered > self.keyspace.thresholds.entry_bytes_max
        {
            self.keyspace.store.take_back(since);
            (*self.keyspace.counts, *self.keyspace.events) = (counts, events);
            self.keyspace.touched.truncate(touched);
            Value::error(format!("ERR {}", data::TOO_LARGE)).encode(call.protocol, self.scratch);
            reply = Some(self.scratch.split().freeze());
        }
        self.answered += reply.as_ref().map_or(0, Bytes::len);
        Ok(reply)
    }

    /// A unit's answer, with the keys that its scripts read if it shall tell them.
    pub(super) fn with_reads(&mut self, reply: UnitReply) -> UnitReply {
        match self.scripts.read_keys() {
            Some(keys) => UnitReply::Read { reply: Box::new(reply), keys },
            None => reply,
        }
    }

    /// One call that may wait: its encoded reply, or `None` if it found nothing. `is_served`: a key changed that it waits
    /// for.
    pub(super) fn look(&mut self, call: &Call, is_served: bool) -> Result<Option<Bytes>> {
        self.bounded(call, |stage| {
            let reply = match block::denied(&mut stage.keyspace, call, is_served).map_err(stopped)? {
                Some(denied) => denied,
                None => command::execute(&mut stage.keyspace, call).map_err(stopped)?,
            };
            if block::is_nothing(&reply) {
                return Ok(None);
            }
            reply.encode(call.protocol, stage.scratch);
            Ok(Some(stage.scratch.split().freeze()))
        })
    }

    /// The words with which a call may wait, where they are others.
    pub(super) fn settled(&mut self, call: &Call) -> Result<Option<Vec<Bytes>>> {
        block::settled(&mut self.keyspace, call).map_err(stopped)
    }

    /// Deletes those of the keys that are due.
    pub(super) fn end_due<'k>(&mut self, keys: impl Iterator<Item = (u8, &'k Bytes)>) -> Result<()> {
        self.keyspace.manner = Manner::default();
        for (db, key) in keys {
            self.keyspace.lookup(db, key).map_err(|error| match error {
                data::Error::Store(error) => error,
                other => Error::Corrupt(format!("a lookup on a leader: {other}").into()),
            })?;
        }
        Ok(())
    }

    /// Tells whoever wants to know which keys were changed.
    pub(super) fn tell_touched(&mut self) {
        self.authors.note(self.keyspace.touched, self.author);
        self.blocked.notice(self.keyspace.touched);
        self.watches.touched(self.keyspace.touched);
    }

    /// Serves those who wait for changed keys, until nobody finds anything more.
    pub(super) fn serve(&mut self) -> Result<()> {
        while let Some(key) = self.blocked.next_ready() {
            for wants in self.blocked.classes(&key) {
                self.serve_class(&key, wants)?;
            }
        }
        Ok(())
    }

    /// Those who want the same of a key, first come first, as long as it is what they want.
    fn serve_class(&mut self, key: &Key, wants: Wants) -> Result<()> {
        let mut last = 0;
        let mut is_ready = block::is_ready(&mut self.keyspace, key.0, &key.1, wants).map_err(stopped)?;
        while is_ready && let Some(arrival) = self.blocked.next(key, wants, last) {
            last = arrival;
            let Some(call) = self.blocked.call(arrival).cloned() else { continue };
            // One that finds nothing goes on waiting, where it stands.
            let Some(reply) = self.look(&call, true)? else { continue };
            let Some(waiting) = self.blocked.remove(arrival) else { continue };
            self.served.push((waiting, vec![UnitReply::Call(reply)]));
            self.tell_touched();
            is_ready = block::is_ready(&mut self.keyspace, key.0, &key.1, wants).map_err(stopped)?;
        }
        Ok(())
    }
}

fn stopped(error: command::Error) -> super::Error {
    super::Error::Store(match error {
        command::Error::Store(error) => error,
        command::Error::NeedsLog => Error::Corrupt("evaluation on a leader asked for the log".into()),
    })
}
