//! What other nodes told of their subscribers. It counts audiences; no message depends on it.
//!
//! Invariant: what a node told is forgotten with the stream on which it did, and is bounded in names: of further names
//! this node does not know that they are there.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;

use super::{Hub, Interest, Interests, Kind};
use crate::base::{NodeId, glob, limits};

/// What all other nodes told.
#[derive(Debug, Default)]
pub(super) struct Heard {
    nodes: BTreeMap<NodeId, Told>,
    /// Streams so far.
    streams: u64,
}

/// What one node told.
#[derive(Debug, Default)]
struct Told {
    /// On which stream.
    stream: u64,
    counts: [BTreeMap<Bytes, u64>; 3],
}

/// What a node tells on one stream.
#[derive(Debug)]
pub struct Hearing {
    hub: Arc<Hub>,
    from: NodeId,
    stream: u64,
}

impl Heard {
    pub fn subscribers(&self, kind: Kind, name: &[u8]) -> u64 {
        let counts = self.nodes.values().filter_map(|told| told.counts[kind.place()].get(name));
        counts.fold(0, |sum, count| sum.saturating_add(*count))
    }

    /// Subscriptions to patterns that match a channel.
    pub fn matching(&self, channel: &[u8]) -> u64 {
        let patterns = self.nodes.values().flat_map(|told| &told.counts[Kind::Pattern.place()]);
        let matching = patterns.filter(|(pattern, _)| glob::matches(pattern, channel));
        matching.fold(0, |sum, (_, count)| sum.saturating_add(*count))
    }

    /// The names of a kind; those of several nodes as often.
    pub fn names(&self, kind: Kind) -> impl Iterator<Item = &Bytes> {
        self.nodes.values().flat_map(move |told| told.counts[kind.place()].keys())
    }
}

impl Told {
    fn note(&mut self, Interest { kind, name, count }: Interest) {
        let known: usize = self.counts.iter().map(BTreeMap::len).sum();
        let counts = &mut self.counts[kind.place()];
        if count == 0 {
            counts.remove(&name);
        } else if let Some(before) = counts.get_mut(&name) {
            *before = count;
        } else if known < limits::NAMES_TOLD_MAX && name.len() <= limits::NAME_TOLD_BYTES_MAX {
            // A copy: a slice would keep the frame.
            counts.insert(Bytes::copy_from_slice(&name), count);
        }
    }
}

impl Hearing {
    pub(super) fn new(hub: Arc<Hub>, from: NodeId) -> Hearing {
        let stream = {
            let mut heard = hub.heard.write();
            heard.streams += 1;
            let stream = heard.streams;
            heard.nodes.insert(from, Told { stream, ..Told::default() });
            stream
        };
        Hearing { hub, from, stream }
    }

    /// The node tells.
    pub fn hear(&self, Interests { is_beginning, interests }: Interests) {
        let mut heard = self.hub.heard.write();
        let Some(told) = heard.nodes.get_mut(&self.from).filter(|told| told.stream == self.stream) else { return };
        if is_beginning {
            told.counts = Default::default();
        }
        interests.into_iter().for_each(|interest| told.note(interest));
    }
}

impl Drop for Hearing {
    fn drop(&mut self) {
        let mut heard = self.hub.heard.write();
        if heard.nodes.get(&self.from).is_some_and(|told| told.stream == self.stream) {
            heard.nodes.remove(&self.from);
        }
    }
}
