//! What a handler works with: the keyspace, the database its connection selected, the protocol of its reply.

use std::sync::Arc;

use bytes::Bytes;

use super::acl::Rights;
use super::error::{Failure, Result};
use super::script::Scripts;
use crate::base::Millis;
use crate::data::{Class, Head, Keyspace, Kind};
use crate::resp::Protocol;

/// One command's view of the world.
pub struct Context<'a, 'k> {
    /// All databases of the group.
    pub keys: &'a mut Keyspace<'k>,
    /// The selected database.
    pub db: u8,
    /// Where a reply differs in more than its encoding.
    pub protocol: Protocol,
    /// Whether lookups move the access clocks of keys.
    pub touches: bool,
    /// What a script's own commands are held against; `None` if they may be anything.
    pub rights: Option<&'a Arc<Rights>>,
    /// What runs scripts: a machine has it, nobody else.
    pub scripts: Option<&'a mut Scripts>,
    /// Whether it is a script that runs the command.
    pub in_script: bool,
}

impl Context<'_, '_> {
    /// The time that relative expiry counts from and TTL counts to, the same for a whole evaluation.
    pub fn now(&self) -> Millis {
        self.keys.moment.stamp.max(self.keys.moment.clock)
    }

    /// The living value of a key in the selected database.
    pub fn lookup(&mut self, key: &[u8]) -> Result<Option<Head>> {
        Ok(self.keys.lookup(self.db, key)?)
    }

    /// Like [`Context::lookup`]; `WRONGTYPE` if it is of another type.
    pub fn lookup_kind(&mut self, key: &[u8], kind: Kind) -> Result<Option<Head>> {
        Ok(self.keys.lookup_kind(self.db, key, kind)?)
    }

    /// The living string of a key; `WRONGTYPE` if it is none.
    pub fn string(&mut self, key: &[u8]) -> Result<Option<Head>> {
        self.lookup_kind(key, Kind::String)
    }

    /// Sets a key; see [`Keyspace::set`]. A deadline that has passed removes it instead: what the log carries is
    /// never a key that is already dead. Watchers hear of it, though it never was: as in Redis, it was set.
    pub fn set(&mut self, key: &Bytes, before: Option<&Head>, head: Head) {
        let dead = head.deadline.is_some_and(|deadline| deadline <= self.now());
        match before {
            _ if !dead => self.keys.set(self.db, key, before, head),
            Some(before) => self.keys.remove(self.db, key, before),
            None => {
                self.keys.touch(self.db, key);
                self.notify(Class::New, "new", key);
            }
        }
    }

    /// Sets a string as SET does and tells of it, and of the deadline if the command gave it one. A deadline that has
    /// passed is told as what a client sees of it.
    pub fn set_string(&mut self, key: &Bytes, before: Option<&Head>, head: Head, expires: bool) {
        let dead = head.deadline.is_some_and(|deadline| deadline <= self.now());
        self.set(key, before, head);
        self.notify(Class::String, "set", key);
        if expires {
            self.notify(Class::Generic, "expire", key);
        }
        if dead {
            self.notify(Class::Expired, "expired", key);
        }
    }

    /// Tells of an event of a key in the selected database.
    #[inline]
    pub fn notify(&mut self, class: Class, event: &'static str, key: &[u8]) {
        self.keys.notify(class, event, self.db, key);
    }

    /// Tells what a command that stores a result did to a key: without a result a key that was there is gone.
    pub fn notify_stored(&mut self, event: (Class, &'static str), key: &[u8], count: usize, was_there: bool) {
        if count > 0 {
            self.notify(event.0, event.1, key);
        } else if was_there {
            self.notify(Class::Generic, "del", key);
        }
    }

    /// Tells that a key was removed if a command that took something out of it left nothing.
    pub fn notify_if_gone(&mut self, key: &[u8]) -> Result<()> {
        if self.keys.events.tells(Class::Generic) && !self.keys.is_stored(self.db, key)? {
            self.notify(Class::Generic, "del", key);
        }
        Ok(())
    }

    /// Sets a string that a command built in place: it keeps its deadline, and is `raw` as in Redis. Nothing is stored
    /// where nothing changes.
    pub fn set_built(&mut self, key: &Bytes, before: Option<&Head>, payload: Bytes) {
        let deadline = before.and_then(|before| before.deadline);
        let after = Head { raw: true, deadline, ..Head::string(payload) };
        if before != Some(&after) {
            self.set(key, before, after);
        }
    }

    /// Removes a key; `before` is what a lookup found.
    pub fn remove(&mut self, key: &Bytes, before: &Head) {
        self.keys.remove(self.db, key, before);
    }

    /// Removes a key and tells of it.
    pub fn delete(&mut self, key: &Bytes, before: &Head) {
        self.remove(key, before);
        self.notify(Class::Generic, "del", key);
    }
}

/// A deadline from a client's number: `unit` 1 for milliseconds, 1000 for seconds; from `now` on, or absolute if
/// that is `None`. `name` is the command's, for the error line.
pub fn deadline(number: i64, unit: i64, now: Option<Millis>, name: &str) -> Result<Millis> {
    let from = now.map_or(Some(0), |now| i64::try_from(now.0).ok());
    let at = if number > 0 {
        number.checked_mul(unit).zip(from).and_then(|(span, from)| span.checked_add(from))
    } else {
        None
    };
    match at {
        Some(at) => Ok(Millis(at.unsigned_abs())),
        None => Err(Failure::line(format!("ERR invalid expire time in '{name}' command"))),
    }
}
