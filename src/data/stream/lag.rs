//! How far a group is behind, as far as that can be told without counting: from how many entries there ever were, and
//! only where none was deleted in between.

use std::cmp::Ordering;

use super::{Group, Id, Stream};

impl Stream {
    /// Whether an id at or above this one was deleted, behind the first entry: then nobody can tell how many entries are
    /// ahead of it.
    fn has_gaps_from(&self, id: Id) -> bool {
        let facts = &self.facts;
        facts.length > 0 && facts.deleted != Id::MIN && facts.first <= facts.deleted && id <= facts.deleted
    }

    /// How many entries the group that read up to `id` has read, if that can be told without counting.
    pub fn read_up_to(&self, id: Id) -> Option<u64> {
        let facts = self.facts();
        if facts.added == 0 {
            return Some(0);
        }
        if facts.length == 0 && id <= facts.last_id || id == facts.last_id {
            return Some(facts.added);
        }
        if id > facts.last_id || (facts.deleted != Id::MIN && facts.deleted >= facts.first) {
            return None;
        }
        let before = facts.added.wrapping_sub(facts.length);
        match id.cmp(&facts.first) {
            Ordering::Less => Some(before),
            Ordering::Equal => Some(before.wrapping_add(1)),
            Ordering::Greater => None,
        }
    }

    /// How many entries a group has not read yet, if that can be told without counting.
    pub fn lag(&self, group: &Group) -> Option<i64> {
        if self.facts().added == 0 {
            return Some(0);
        }
        let read = group.entries_read.filter(|_| !self.has_gaps_from(group.last_id));
        let read = read.or_else(|| self.read_up_to(group.last_id))?;
        Some(self.facts().added.wrapping_sub(read) as i64)
    }
}

impl Group {
    /// Moves on to an entry that is being delivered, if it is a new one.
    pub fn advance(&mut self, stream: &Stream, id: Id) {
        if id <= self.last_id {
            return;
        }
        self.entries_read = match self.entries_read {
            Some(read) if !stream.has_gaps_from(id) => Some(read.wrapping_add(1)),
            _ => stream.read_up_to(id),
        };
        self.last_id = id;
    }
}
