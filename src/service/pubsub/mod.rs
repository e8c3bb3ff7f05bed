//! Publish and subscribe: who listens to what at this node, and what other nodes said of theirs.
//!
//! The log carries what is published; every node hands it to its own subscribers when the entry is applied
//! ([`Hub::deliver`]), so all see the same messages of a group in the same order. That needs no knowledge of other
//! nodes. The counts that PUBLISH and PUBSUB answer do: nodes tell each other what they have subscribers of, and how
//! many.
//!
//! - [`Hub`]: the subscriptions of a node; `inbox`: what waits for one connection; `message`: its bytes.
//! - `listener`: one connection's subscriptions; `words`: SUBSCRIBE and its relatives; `early`: those inside of MULTI.
//! - `telling`: what is told to other nodes; `heard`: what they told.
//!
//! Invariant: a connection is in the hub under exactly the names of its [`Listener`]. Who delivers never waits for a
//! client: one that reads too slowly is ended.

mod early;
mod heard;
mod inbox;
mod listener;
mod message;
mod telling;
#[cfg(test)]
mod tests;
mod words;

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::RwLock;

pub use heard::Hearing;
pub use inbox::Inbox;
pub use telling::{Interest, Interests, Telling};

pub(super) use early::{Early, Rehearsal};
pub(super) use listener::Listener;
pub(super) use words::{divides_messages, is_refused, is_word};

use self::heard::Heard;
use self::message::Message;
use self::telling::Links;
use super::client_list::Client;
use super::output_limits::Limit;
use crate::base::{Audience, ChannelKind, Nanos, NodeId, Publication, glob, limits};

/// What one listens to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A channel.
    Channel,
    /// All channels that match a pattern.
    Pattern,
    /// A shard channel.
    Shard,
}

impl Kind {
    /// All of them, each at its place.
    pub const ALL: [Kind; 3] = [Kind::Channel, Kind::Pattern, Kind::Shard];

    /// Its place among all.
    pub fn place(self) -> usize {
        self as usize
    }
}

impl From<ChannelKind> for Kind {
    fn from(kind: ChannelKind) -> Kind {
        match kind {
            ChannelKind::Plain => Kind::Channel,
            ChannelKind::Shard => Kind::Shard,
        }
    }
}

/// The subscriptions of a node's connections.
#[derive(Debug, Default)]
pub struct Hub {
    local: RwLock<Local>,
    heard: RwLock<Heard>,
    links: Links,
    /// `client-output-buffer-limit` for subscribers.
    limit: RwLock<Limit>,
}

/// Subscribers by kind and name, those of a name in the order of their connections' ids.
#[derive(Debug, Default)]
struct Local {
    names: [BTreeMap<Bytes, Vec<Arc<Inbox>>>; 3],
    /// Memory of all subscriptions, roughly.
    bytes: usize,
}

/// The node's subscriptions take all the memory that they may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Full;

impl Hub {
    /// Hands messages to the subscribers here, in order. Called for every entry with publications, by the thread that
    /// applied it: waits for nobody but other users of the table.
    pub fn deliver(&self, now: Nanos, publications: &[Publication]) {
        let limit = *self.limit.read();
        let local = self.local.read();
        for publication in publications {
            let kind = Kind::from(publication.kind);
            if let Some(inboxes) = local.names[kind.place()].get(&publication.channel) {
                Message::of_channel(publication).put(inboxes, now, limit);
            }
            if kind != Kind::Channel {
                continue;
            }
            for (pattern, inboxes) in &local.names[Kind::Pattern.place()] {
                if glob::matches(pattern, &publication.channel) {
                    Message::of_pattern(pattern, publication).put(inboxes, now, limit);
                }
            }
        }
    }

    /// Shows each subscription of this node: kind, name and client.
    pub(super) fn each_subscription(&self, mut visit: impl FnMut(Kind, &Bytes, &Client)) {
        let local = self.local.read();
        for kind in Kind::ALL {
            for (name, inboxes) in &local.names[kind.place()] {
                inboxes.iter().for_each(|inbox| visit(kind, name, inbox.client()));
            }
        }
    }

    /// How many different names of a kind have subscribers here.
    pub fn names(&self, kind: Kind) -> usize {
        self.local.read().names[kind.place()].len()
    }

    /// What another node tells, from the opening of its stream to the drop of this value.
    pub fn hear(self: &Arc<Self>, from: NodeId) -> Hearing {
        Hearing::new(self.clone(), from)
    }

    /// What to tell another node, from the opening of a stream to it: everything first, then what changes.
    pub fn tell(self: &Arc<Self>, to: NodeId) -> Telling {
        Telling::new(self.clone(), to)
    }

    pub(super) fn set_limit(&self, limit: Limit) {
        *self.limit.write() = limit;
    }

    pub(super) fn limit(&self) -> Limit {
        *self.limit.read()
    }

    fn subscribe(&self, kind: Kind, name: &Bytes, inbox: &Arc<Inbox>) -> Result<(), Full> {
        let mut local = self.local.write();
        let cost = subscription_bytes(name);
        if local.bytes + cost > limits::SUBSCRIPTION_BYTES_MAX {
            return Err(Full);
        }
        let inboxes = local.names[kind.place()].entry(name.clone()).or_default();
        if let Err(at) = inboxes.binary_search_by_key(&inbox.id(), |inbox| inbox.id()) {
            inboxes.insert(at, inbox.clone());
            local.bytes += cost;
            drop(local);
            self.links.changed(kind, name);
        }
        Ok(())
    }

    /// Subscriptions go from one inbox of a client to its other one, with what waits there and nothing in between.
    fn hand_over(&self, names: &[(Kind, Bytes)], from: &Inbox, to: &Arc<Inbox>, now: Nanos) {
        let limit = *self.limit.read();
        let mut local = self.local.write();
        for (kind, name) in names {
            let Some(inboxes) = local.names[kind.place()].get_mut(name) else { continue };
            if let Ok(at) = inboxes.binary_search_by_key(&to.id(), |inbox| inbox.id()) {
                inboxes[at] = to.clone();
            }
        }
        from.empty_into(to, now, limit);
    }

    fn unsubscribe(&self, kind: Kind, name: &Bytes, inbox: &Inbox) {
        let mut local = self.local.write();
        let names = &mut local.names[kind.place()];
        let Some(inboxes) = names.get_mut(name) else { return };
        if let Ok(at) = inboxes.binary_search_by_key(&inbox.id(), |inbox| inbox.id()) {
            inboxes.remove(at);
            if inboxes.is_empty() {
                names.remove(name);
            }
            local.bytes -= subscription_bytes(name);
            drop(local);
            self.links.changed(kind, name);
        }
    }
}

/// What a subscription costs: its name, here and at the connection, and a guess for the rest.
fn subscription_bytes(name: &[u8]) -> usize {
    name.len() + 128
}

impl Audience for Hub {
    fn subscribers(&self, kind: ChannelKind, channel: &[u8]) -> u64 {
        let here = self.local.read().subscribers(kind.into(), channel);
        here + self.heard.read().subscribers(kind.into(), channel)
    }

    fn receivers(&self, kind: ChannelKind, channel: &[u8]) -> u64 {
        let matching = match kind {
            ChannelKind::Plain => self.local.read().matching(channel) + self.heard.read().matching(channel),
            ChannelKind::Shard => 0,
        };
        self.subscribers(kind, channel) + matching
    }

    fn channels(&self, kind: ChannelKind, pattern: Option<&[u8]>) -> Vec<Bytes> {
        let fits = |name: &&Bytes| pattern.is_none_or(|pattern| glob::matches(pattern, name));
        let mut found: Vec<Bytes> =
            self.local.read().names[Kind::from(kind).place()].keys().filter(fits).cloned().collect();
        found.extend(self.heard.read().names(kind.into()).filter(fits).cloned());
        found.sort_unstable();
        found.dedup();
        found
    }

    fn patterns(&self) -> u64 {
        let local = self.local.read();
        let here = &local.names[Kind::Pattern.place()];
        let heard = self.heard.read();
        let mut others: Vec<&Bytes> = heard.names(Kind::Pattern).filter(|name| !here.contains_key(*name)).collect();
        others.sort_unstable();
        others.dedup();
        (here.len() + others.len()) as u64
    }
}

impl Local {
    fn subscribers(&self, kind: Kind, name: &[u8]) -> u64 {
        self.names[kind.place()].get(name).map_or(0, |inboxes| inboxes.len() as u64)
    }

    /// Subscriptions to patterns that match a channel.
    fn matching(&self, channel: &[u8]) -> u64 {
        let patterns = self.names[Kind::Pattern.place()].iter();
        let matching = patterns.filter(|(pattern, _)| glob::matches(pattern, channel));
        matching.map(|(_, inboxes)| inboxes.len() as u64).sum()
    }
}
