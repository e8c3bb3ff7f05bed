//! One client that keeps copies: how it wants to hear of changes, and where.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use bytes::Bytes;

use super::{Trackers, notice};
use crate::base::Nanos;
use crate::resp::Protocol;
use crate::service::client_list::{Client, Clients};
use crate::service::output_limits::Limit;
use crate::service::pubsub::Inbox;

/// Which reads are remembered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Mode {
    /// All.
    #[default]
    All,
    /// Those that CLIENT CACHING YES announces (OPTIN).
    Announced,
    /// All but those before which CLIENT CACHING NO stands (OPTOUT).
    NotExempt,
    /// None: it hears of all keys with its prefixes (BCAST).
    Broadcast,
}

/// The client as the table has it.
#[derive(Debug)]
pub(super) struct Tracker {
    pub(super) inbox: Arc<Inbox>,
    pub(super) client: Arc<Client>,
    /// Where the other clients are, and the one that hears for it.
    pub(super) redirect: Option<(Arc<Clients>, u64)>,
    pub(super) mode: Mode,
    /// What names it as the author of changes that it does not want to hear of; 0 if it wants to.
    pub(super) author: u64,
}

/// The same as its own session has it. The table forgets the client with it.
#[derive(Debug)]
pub(in crate::service) struct Tracked {
    pub(super) trackers: Arc<Trackers>,
    pub(super) client: Arc<Client>,
    pub(super) mode: Mode,
    /// As in [`Tracker`].
    pub(super) author: u64,
    pub(super) prefixes: BTreeSet<Bytes>,
    /// CLIENT CACHING was the last command.
    pub(super) is_told: bool,
    /// Scripts are under way that will tell what they read.
    pub(super) expects_reads: bool,
}

impl Tracker {
    pub fn id(&self) -> u64 {
        self.client.id
    }

    /// Whether it hears of keys that it read.
    pub fn reads(&self) -> bool {
        self.mode != Mode::Broadcast
    }

    /// Tells the client, or the one that hears for it, that keys changed; everything, without keys.
    pub fn tell(&self, keys: Option<&[&Bytes]>, now: Nanos, limit: Limit) {
        let Some((clients, id)) = &self.redirect else {
            // In RESP2 there is no way to tell it.
            if self.inbox.protocol() == Protocol::Resp3 {
                self.inbox.put(notice::encode(keys, Protocol::Resp3), now, limit);
            }
            return;
        };
        let Some(other) = clients.get(*id) else {
            let was_known = self.client.is_redirect_broken.swap(true, Relaxed);
            if !was_known && self.inbox.protocol() == Protocol::Resp3 {
                self.inbox.put(notice::redirection_broken(*id), now, limit);
            }
            return;
        };
        // One without an inbox listens to nothing.
        let Some(inbox) = other.inbox() else { return };
        let protocol = inbox.protocol();
        if protocol == Protocol::Resp3 || other.listens() {
            inbox.put(notice::encode(keys, protocol), now, limit);
        }
    }
}

impl Tracked {
    /// Whether reads are remembered now.
    pub fn remembers(&self) -> bool {
        match self.mode {
            Mode::All => true,
            Mode::Announced => self.is_told,
            Mode::NotExempt => !self.is_told,
            Mode::Broadcast => false,
        }
    }

    /// What names it as the author of changes that it does not want to hear of; 0 if it wants to.
    pub fn author(&self) -> u64 {
        self.author
    }

    /// A command ended that CLIENT CACHING may have been meant for.
    pub fn forget_caching(&mut self) {
        self.is_told = false;
    }

    /// Whether changes of keys that it read are told.
    pub fn reads(&self) -> bool {
        self.mode != Mode::Broadcast
    }
}

impl Drop for Tracked {
    fn drop(&mut self) {
        self.trackers.leave(self.client.id, self.prefixes.iter());
        self.client.tracking.store(false, Relaxed);
        self.client.broadcasts.store(false, Relaxed);
        self.client.is_redirect_broken.store(false, Relaxed);
        self.client.redirect.store(0, Relaxed);
    }
}
