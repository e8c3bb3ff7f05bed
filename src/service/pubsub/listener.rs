//! What one connection listens to.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use bytes::Bytes;

use super::{Full, Hub, Inbox, Kind};
use crate::service::client_list::Client;

/// The subscriptions of one connection. They end with it.
#[derive(Debug)]
pub(in crate::service) struct Listener {
    hub: Arc<Hub>,
    client: Arc<Client>,
    pub(in crate::service) inbox: Arc<Inbox>,
    names: [BTreeSet<Bytes>; 3],
}

impl Listener {
    /// Of a connection that listens to nothing yet.
    pub fn new(hub: Arc<Hub>, client: Arc<Client>, inbox: Arc<Inbox>) -> Listener {
        Listener { hub, inbox, client, names: Default::default() }
    }

    /// Whether it listens to anything.
    pub fn is_listening(&self) -> bool {
        self.names.iter().any(|names| !names.is_empty())
    }

    /// How many names a reply about this kind counts: channels and patterns together, shard channels alone.
    pub fn count(&self, kind: Kind) -> usize {
        let of = |kind: Kind| self.names[kind.place()].len();
        match kind {
            Kind::Channel | Kind::Pattern => of(Kind::Channel) + of(Kind::Pattern),
            Kind::Shard => of(Kind::Shard),
        }
    }

    /// The names of a kind, ascending.
    pub fn names(&self, kind: Kind) -> Vec<Bytes> {
        self.names[kind.place()].iter().cloned().collect()
    }

    pub fn subscribe(&mut self, kind: Kind, name: &Bytes) -> Result<(), Full> {
        if self.names[kind.place()].contains(name) {
            return Ok(());
        }
        // A copy: a subscription lives long, and a slice of the read buffer would keep all of it.
        let name = Bytes::copy_from_slice(name);
        self.hub.subscribe(kind, &name, &self.inbox)?;
        self.names[kind.place()].insert(name);
        self.show(kind);
        Ok(())
    }

    pub fn unsubscribe(&mut self, kind: Kind, name: &Bytes) {
        if self.names[kind.place()].remove(name) {
            self.hub.unsubscribe(kind, name, &self.inbox);
            self.inbox.hear_all();
            self.show(kind);
        }
    }

    /// Ends everything, without a word to the client.
    pub fn leave(&mut self) {
        for kind in Kind::ALL {
            for name in std::mem::take(&mut self.names[kind.place()]) {
                self.hub.unsubscribe(kind, &name, &self.inbox);
            }
            self.show(kind);
        }
        self.inbox.hear_all();
    }

    fn show(&self, kind: Kind) {
        self.client.subscriptions[kind.place()].store(self.names[kind.place()].len(), Relaxed);
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.leave();
    }
}
