//! When fields of hashes end: the index of hashes by the earliest deadline of a field, and the deletion of dead fields.
//!
//! Whether a field is dead is asked like for a key ([`Keyspace::is_alive`]): by the stamp, and a local read that meets
//! one that is due by the clock alone answers [`super::Error::NeedsLog`]. On the leader a command that comes across a
//! hash with dead fields deletes some of them, so that what it reports rests on an entry of the log and stays true
//! under the next leader. A hash may have more dead fields than one entry should delete: the rest counts as gone, and
//! goes in the background.
//!
//! Invariant: the index holds exactly one entry per hash with deadlines of fields, `earliest deadline | head key`, with
//! an empty value; [`Keyspace::set`] and [`Keyspace::remove`] keep it.

use std::ops::ControlFlow;

use bytes::Bytes;

use super::hash::Hash;
use super::{FieldEnds, Head, Keyspace, Mode, Result, expiry};
use crate::store::{self, Order, keys};

/// Dead fields of one large hash that one lookup deletes.
const ENDED_PER_LOOKUP_MAX: usize = 100;

impl Keyspace<'_> {
    /// Deletes dead fields of a hash that was looked up, if this is the leader, and returns the head that is left.
    pub(super) fn end_fields(&mut self, db: u8, key: &[u8], head: Head) -> Result<Option<Head>> {
        let is_due = head.fields.is_some_and(|ends| ends.first <= self.moment.stamp);
        if !is_due {
            return Ok(Some(head));
        }
        if self.mode == Mode::Local {
            return head.without_dead_fields(self.moment.stamp).map(Some);
        }
        let hash = Hash::of_head(db, &Bytes::copy_from_slice(key), head)?;
        Ok(hash.end_due(self, ENDED_PER_LOOKUP_MAX)?.1)
    }

    /// Deletes dead fields of any hashes, at most `limit`, and returns how many. A small hash goes as a whole.
    pub(super) fn expire_due_fields(&mut self, limit: usize) -> Result<usize> {
        let mut ended = 0;
        for (db, key) in self.due_hashes(limit)? {
            if ended >= limit {
                break;
            }
            let before = ended;
            // Not looked up, unless all of it is dead: that would delete a portion of its own.
            let record = self.store.get(&keys::head(db, &key))?.ok_or_else(stray)?;
            let head = Head::decode(&record)?;
            ended += if self.is_alive(head.end())? {
                Hash::of_head(db, &key, head)?.end_due(self, limit - ended)?.0
            } else {
                usize::from(self.lookup(db, &key)?.is_none())
            };
            if ended == before {
                return Err(stray().into());
            }
        }
        Ok(ended)
    }

    /// How many fields are dead and still stored, in all hashes. For the simulator, which must know what may have changed
    /// between two moments.
    pub fn dead_fields(&self) -> Result<usize> {
        let mut dead = 0;
        for (db, key) in self.due_hashes(usize::MAX)? {
            let record = self.store.get(&keys::head(db, &key))?.ok_or_else(stray)?;
            dead += Hash::of_head(db, &key, Head::decode(&record)?)?.dead_count(self)?;
        }
        Ok(dead)
    }

    /// Moves a hash's entry in the index from one earliest deadline to another, and counts it.
    pub(super) fn index_fields(&mut self, db: u8, head: &[u8], before: Option<FieldEnds>, after: Option<FieldEnds>) {
        let (before, after) = (before.map(|ends| ends.first), after.map(|ends| ends.first));
        if before == after {
            return;
        }
        if let Some(before) = before {
            self.store.delete(keys::field_expiry(self.group, before, head));
            self.counts.field_expires[usize::from(db)] -= 1;
        }
        if let Some(after) = after {
            self.store.put(keys::field_expiry(self.group, after, head), Bytes::new());
            self.counts.field_expires[usize::from(db)] += 1;
        }
    }

    /// Hashes with dead fields, those with the oldest first, at most `limit`: database and key.
    fn due_hashes(&self, limit: usize) -> Result<Vec<(u8, Bytes)>> {
        let (mut due, mut damaged) = (Vec::new(), None);
        let (start, end) = keys::field_expiry_until(self.group, self.moment.stamp);
        self.store.scan(&start, &end, Order::Forward, &mut |record, _| {
            if due.len() >= limit {
                return ControlFlow::Break(());
            }
            match keys::parse_field_expiry(record).and_then(|(_, head)| expiry::key_of(head)) {
                Ok((db, key)) => {
                    due.push((db, Bytes::copy_from_slice(key)));
                    ControlFlow::Continue(())
                }
                Err(error) => {
                    damaged = Some(error);
                    ControlFlow::Break(())
                }
            }
        })?;
        damaged.map_or(Ok(due), |error| Err(error.into()))
    }
}

fn stray() -> store::Error {
    store::Error::Corrupt("the index of fields' deadlines names a hash that has none due".into())
}
