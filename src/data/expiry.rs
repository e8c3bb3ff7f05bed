//! When keys end: whether a deadline has passed, and the index of deadlines that lets the leader find due keys
//! without looking at the others.
//!
//! Invariant: the expiry index holds exactly one entry per key with a deadline, `deadline | head key`, with an empty
//! value; [`Keyspace::set`] and [`Keyspace::remove`] keep it. A key ends only by a deletion in the log (rules 24, 39):
//! what this module calls dead is what the log's stamp has passed.

use std::ops::ControlFlow;

use bytes::Bytes;

use super::{Error, Keyspace, Mode, Result};
use crate::base::{Millis, Mutant};
use crate::store::{self, Order, keys};

impl Keyspace<'_> {
    /// Whether a key with this deadline still exists. A local read that meets one which is due by the clock but not
    /// by the stamp answers [`Error::NeedsLog`]: the key has ended for a client that can read a clock, and only the
    /// log may say so.
    pub fn is_alive(&self, deadline: Option<Millis>) -> Result<bool> {
        let Some(deadline) = deadline else { return Ok(true) };
        if deadline <= self.moment.stamp {
            return Ok(false);
        }
        if self.mode == Mode::Local && deadline <= self.moment.clock {
            return if Mutant::ExpiresByTheLocalClock.is_in() { Ok(false) } else { Err(Error::NeedsLog) };
        }
        Ok(true)
    }

    /// Dead keys that are still stored, those dead for longest first, at most `limit`: database and key.
    pub fn due_keys(&self, limit: usize) -> Result<Vec<(u8, Bytes)>> {
        let mut due = Vec::new();
        let mut damaged = None;
        let (start, end) = keys::expiry_until(self.group, self.moment.stamp);
        if limit > 0 {
            self.store.scan(&start, &end, Order::Forward, &mut |record, _| match parse(record) {
                Ok((db, key)) => {
                    due.push((db, Bytes::copy_from_slice(key)));
                    if due.len() < limit { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
                }
                Err(error) => {
                    damaged = Some(error);
                    ControlFlow::Break(())
                }
            })?;
        }
        damaged.map_or(Ok(due), |error| Err(error.into()))
    }

    /// Deletes dead keys and then dead fields, together at most `limit`, and returns how many: the leader's background
    /// expiry.
    pub fn expire_due(&mut self, limit: usize) -> Result<usize> {
        let due = self.due_keys(limit)?;
        for (db, key) in &due {
            // Looking a dead key up deletes it; anything else means that index and heads disagree.
            if self.lookup(*db, key)?.is_some() {
                return Err(store::Error::Corrupt("the expiry index names a key that is not due".into()).into());
            }
        }
        Ok(due.len() + self.expire_due_fields(limit - due.len())?)
    }

    /// Moves a key's entry in the expiry index from one deadline to another, and counts it.
    pub(super) fn index_deadline(&mut self, db: u8, head: &[u8], before: Option<Millis>, after: Option<Millis>) {
        if before == after {
            return;
        }
        if let Some(before) = before {
            if !(after.is_some() && Mutant::DeadlinesStayIndexed.is_in()) {
                self.store.delete(keys::expiry(self.group, before, head));
            }
            self.counts.expires[usize::from(db)] -= 1;
        }
        if let Some(after) = after {
            self.store.put(keys::expiry(self.group, after, head), Bytes::new());
            self.counts.expires[usize::from(db)] += 1;
        }
    }
}

/// Database and key of an entry of the expiry index.
fn parse(record: &[u8]) -> store::Result<(u8, &[u8])> {
    let (_, head) = keys::parse_expiry(record)?;
    key_of(head)
}

/// Database and key of a head record that an index names.
pub(super) fn key_of(head: &[u8]) -> store::Result<(u8, &[u8])> {
    match keys::parse_head(head) {
        Some(head) => Ok((head.db, head.key)),
        None => Err(store::Error::Corrupt("an entry of the expiry index names no key".into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::testing::World;
    use crate::data::{Head, Touched};

    fn at(deadline: u64) -> Option<Millis> {
        Some(Millis(deadline))
    }

    #[test]
    fn a_leader_deletes_the_dead_keys_it_meets() {
        let mut world = World::new(100);
        let key = Bytes::from("k");
        world.keys(|keys| keys.set(0, &key, None, Head::string("v").with_deadline(at(200))));
        assert_eq!((world.counts.keys[0], world.counts.expires[0], world.store.len()), (1, 1, 2));
        world.moment.stamp = Millis(199);
        assert!(world.keys(|keys| keys.lookup(0, &key)).unwrap().is_some());
        world.moment.stamp = Millis(200);
        world.touched.clear();
        assert_eq!(world.keys(|keys| keys.lookup(0, &key)), Ok(None));
        assert_eq!((world.counts.keys[0], world.counts.expires[0], world.store.len()), (0, 0, 0));
        assert_eq!(world.touched, [Touched::Key(0, key)], "WATCH sees that the key ended");
    }

    #[test]
    fn rule_39_a_local_read_reports_an_end_only_after_the_log_said_so() {
        let mut world = World::new(100);
        let key = Bytes::from("k");
        world.keys(|keys| keys.set(0, &key, None, Head::string("v").with_deadline(at(200))));
        world.mode = Mode::Local;
        assert!(world.keys(|keys| keys.lookup(0, &key)).unwrap().is_some());
        world.moment.clock = Millis(200);
        assert_eq!(world.keys(|keys| keys.lookup(0, &key)), Err(Error::NeedsLog));
        world.moment.stamp = Millis(200);
        assert_eq!(world.keys(|keys| keys.lookup(0, &key)), Ok(None));
        assert_eq!(world.counts.keys[0], 1, "a local read deletes nothing");
    }

    #[test]
    fn due_keys_are_found_in_order_and_expired_in_portions() {
        let mut world = World::new(100);
        for (name, deadline) in [("c", 103), ("a", 101), ("b", 102), ("later", 200)] {
            world.keys(|keys| keys.set(1, &Bytes::from(name), None, Head::string("v").with_deadline(at(deadline))));
        }
        world.keys(|keys| keys.set(0, &Bytes::from("never"), None, Head::string("v")));
        assert_eq!(world.keys(|keys| keys.due_keys(10)), Ok(vec![]));
        world.moment.stamp = Millis(150);
        let due = world.keys(|keys| keys.due_keys(2)).unwrap();
        assert_eq!(due, [(1, Bytes::from("a")), (1, Bytes::from("b"))]);
        assert_eq!(world.keys(|keys| keys.expire_due(2)), Ok(2));
        assert_eq!(world.keys(|keys| keys.expire_due(2)), Ok(1));
        assert_eq!(world.keys(|keys| keys.expire_due(2)), Ok(0));
        assert_eq!((world.counts.keys[0], world.counts.keys[1], world.counts.expires[1]), (1, 1, 1));
    }

    #[test]
    fn a_new_deadline_replaces_the_index_entry() {
        let mut world = World::new(100);
        let key = Bytes::from("k");
        world.keys(|keys| {
            keys.set(0, &key, None, Head::string("v").with_deadline(at(200)));
            let head = keys.lookup(0, &key).unwrap().unwrap();
            keys.set_deadline(0, &key, &head, at(300));
            assert_eq!(keys.lookup(0, &key).unwrap().unwrap().deadline, at(300));
        });
        assert_eq!((world.counts.expires[0], world.store.len()), (1, 2));
        world.keys(|keys| {
            let head = keys.lookup(0, &key).unwrap().unwrap();
            keys.set_deadline(0, &key, &head, None);
        });
        assert_eq!((world.counts.keys[0], world.counts.expires[0], world.store.len()), (1, 0, 1));
    }
}
