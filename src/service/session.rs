//! What a connection is between two of its requests.
//!
//! Invariant: only the connection's own task touches a session; what others may see of it is copied into its
//! [`Client`] when it changes.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use bytes::{Bytes, BytesMut};

use super::batch::Plan;
use super::client_list::{Client, Clients};
use super::pubsub::{Inbox, Listener};
use super::transaction::{Transaction, Watched};
use crate::command::Call;
use crate::resp::Protocol;

/// The state of one connection.
#[derive(Debug)]
pub struct Session {
    clients: Arc<Clients>,
    /// What others see of it.
    pub client: Arc<Client>,
    pub(super) db: u8,
    pub(super) protocol: Protocol,
    pub(super) authenticated: bool,
    pub(super) replies: Replies,
    /// Between MULTI and EXEC.
    pub(super) transaction: Option<Transaction>,
    pub(super) watched: Watched,
    /// What it listens to, once it ever did.
    pub(super) listener: Option<Box<Listener>>,
    /// After QUIT, or when it was killed: nothing more is read.
    pub(super) closing: bool,
    pub(super) last_command: &'static str,
    /// Room for the batch at hand, reused.
    pub(super) plan: Plan,
}

/// CLIENT REPLY: whether the client wants to hear.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Replies {
    #[default]
    On,
    Off,
    /// Not for the command after this one.
    SkipNext,
    /// Not for this command.
    Skip,
}

impl Session {
    pub(super) fn new(clients: Arc<Clients>, client: Arc<Client>, authenticated: bool) -> Session {
        Session {
            clients,
            client,
            db: 0,
            protocol: Protocol::Resp2,
            authenticated,
            replies: Replies::On,
            transaction: None,
            watched: Watched::default(),
            listener: None,
            closing: false,
            last_command: "",
            plan: Plan::default(),
        }
    }

    /// Whether the client gave the password, where one is required.
    pub fn is_authenticated(&self) -> bool {
        self.authenticated
    }

    /// The protocol of replies.
    pub fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// Whether it listens to any channel or pattern.
    pub fn is_listening(&self) -> bool {
        self.listener.as_ref().is_some_and(|listener| listener.is_listening())
    }

    /// Where messages for it wait, once it ever listened.
    pub fn inbox(&self) -> Option<&Arc<Inbox>> {
        self.listener.as_ref().map(|listener| &listener.inbox)
    }

    /// Appends the messages that came so far.
    pub(super) fn take_messages(&self, out: &mut BytesMut) {
        if let Some(inbox) = self.inbox() {
            inbox.take(out, usize::MAX);
        }
    }

    /// A call as this connection makes it now.
    pub(super) fn call(&self, args: Vec<Bytes>) -> Call {
        Call { db: self.db, protocol: self.protocol, touches: !self.client.no_touch.load(Relaxed), args }
    }

    pub(super) fn set_db(&mut self, db: u8) {
        self.db = db;
        self.client.db.store(db, Relaxed);
    }

    pub(super) fn set_protocol(&mut self, protocol: Protocol) {
        self.protocol = protocol;
        self.client.resp3.store(protocol == Protocol::Resp3, Relaxed);
    }

    pub(super) fn set_name(&self, name: &[u8]) {
        self.client.labels.lock().name = Bytes::copy_from_slice(name);
    }

    /// Begins or ends the queueing of commands.
    pub(super) fn set_transaction(&mut self, transaction: Option<Transaction>) -> Option<Transaction> {
        self.client.queued.store(if transaction.is_some() { 0 } else { -1 }, Relaxed);
        std::mem::replace(&mut self.transaction, transaction)
    }

    /// RESET: as if it had just connected, but for what the client's library told about itself.
    pub(super) fn reset(&mut self, authenticated: bool) {
        self.set_db(0);
        self.set_protocol(Protocol::Resp2);
        self.set_name(b"");
        self.set_transaction(None);
        self.watched.clear();
        if let Some(listener) = &mut self.listener {
            listener.leave();
        }
        self.replies = Replies::On;
        self.authenticated = authenticated;
        self.client.no_evict.store(false, Relaxed);
        self.client.no_touch.store(false, Relaxed);
        self.client.tracking.store(false, Relaxed);
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.clients.remove(self.client.id);
    }
}
