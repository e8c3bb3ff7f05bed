//! What a connection is between two of its requests.
//!
//! Invariant: only the connection's own task touches a session; what others may see of it is copied into its
//! [`Client`] when it changes.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use bytes::{Bytes, BytesMut};

use super::batch::Plan;
use super::block::Wait;
use super::client_list::{Client, Clients};
use super::monitor::Watching;
use super::moves::Hearing;
use super::pubsub::{Inbox, Listener};
use super::tracking::Tracked;
use super::transaction::{Transaction, Watched};
use crate::command::Call;
use crate::command::acl::{Rights, User};
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
    /// Name of the user whose connection it is.
    pub(super) user: Bytes,
    /// What that user may do; `None` if it may do everything.
    pub(super) rights: Option<Arc<Rights>>,
    /// The users from which that was looked up.
    pub(super) users_revision: u64,
    pub(super) replies: Replies,
    /// Between MULTI and EXEC.
    pub(super) transaction: Option<Transaction>,
    pub(super) watched: Watched,
    /// The command that waits for a key.
    pub(super) wait: Option<Wait>,
    /// Since MONITOR.
    pub(super) watching: Option<Watching>,
    /// Messages of channels and lines of MONITOR for it.
    inbox: Option<Arc<Inbox>>,
    /// What it listens to, once it ever did.
    pub(super) listener: Option<Box<Listener>>,
    /// How it hears of changed keys, since CLIENT TRACKING ON.
    pub(super) tracked: Option<Box<Tracked>>,
    /// Since CLIENT MAINT_NOTIFICATIONS ON.
    pub(super) hears_moves: Option<Hearing>,
    /// After QUIT, or when it was killed: nothing more is read.
    pub(super) closing: bool,
    pub(super) last_command: &'static str,
    /// Whether the command at hand is part of a block that runs.
    pub(super) in_block: bool,
    /// How long the connection sleeps once the command at hand is answered, and that command (DEBUG SLEEP).
    pub(super) nap: Option<(Duration, Vec<Bytes>)>,
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
    pub(super) fn new(clients: Arc<Clients>, client: Arc<Client>, user: &User, users_revision: u64) -> Session {
        let mut session = Session {
            clients,
            client,
            db: 0,
            protocol: Protocol::Resp2,
            authenticated: user.is_open(),
            user: user.name().clone(),
            rights: None,
            users_revision,
            replies: Replies::On,
            transaction: None,
            watched: Watched::default(),
            wait: None,
            watching: None,
            inbox: None,
            listener: None,
            tracked: None,
            hears_moves: None,
            closing: false,
            last_command: "",
            in_block: false,
            nap: None,
            plan: Plan::default(),
        };
        session.set_rights(user);
        session
    }

    /// Whether the client gave the password, where one is required.
    pub fn is_authenticated(&self) -> bool {
        self.authenticated
    }

    /// The protocol of replies.
    pub fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// It is a user's from now on, who gave a password where one is needed.
    pub(super) fn become_user(&mut self, user: &User) {
        self.authenticated = true;
        self.user = user.name().clone();
        self.client.labels.lock().user = self.user.clone();
        self.set_rights(user);
    }

    pub(super) fn set_rights(&mut self, user: &User) {
        self.rights = (!user.rights().is_all()).then(|| user.rights().clone());
    }

    /// Whether it listens to any channel or pattern.
    pub fn is_listening(&self) -> bool {
        self.listener.as_ref().is_some_and(|listener| listener.is_listening())
    }

    /// Whether it watches what others ask for (MONITOR).
    pub fn is_watching(&self) -> bool {
        self.watching.is_some()
    }

    /// Where messages for it wait, once it ever listened or watched.
    pub fn inbox(&self) -> Option<&Arc<Inbox>> {
        self.inbox.as_ref()
    }

    /// The same, from now on in any case.
    pub(super) fn open_inbox(&mut self) -> Arc<Inbox> {
        let client = &self.client;
        let open = || {
            let inbox = Arc::new(Inbox::new(client.clone()));
            client.set_inbox(&inbox);
            inbox
        };
        self.inbox.get_or_insert_with(open).clone()
    }

    /// Appends the messages that came so far.
    pub(super) fn take_messages(&self, out: &mut BytesMut) {
        if let Some(inbox) = self.inbox() {
            inbox.take(out, usize::MAX);
        }
    }

    /// A call as this connection makes it now.
    pub(super) fn call(&self, args: Vec<Bytes>) -> Call {
        let touches = !self.client.no_touch.load(Relaxed);
        Call {
            db: self.db,
            protocol: self.protocol,
            touches,
            args,
            rights: None,
            author: self.author(),
            tells_reads: false,
        }
    }

    /// What names it where it does not want to hear of its own changes.
    pub(super) fn author(&self) -> u64 {
        self.tracked.as_ref().map_or(0, |tracked| tracked.author())
    }

    pub(super) fn set_db(&mut self, db: u8) {
        self.db = db;
        self.client.db.store(db, Relaxed);
    }

    pub(super) fn set_protocol(&mut self, protocol: Protocol) {
        self.protocol = protocol;
        self.client.resp3.store(protocol == Protocol::Resp3, Relaxed);
        match protocol {
            // Another client may have its notices sent here.
            Protocol::Resp3 => _ = self.open_inbox(),
            // It has no pushes.
            Protocol::Resp2 => self.hears_moves = None,
        }
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
    pub(super) fn reset(&mut self, user: &User) {
        self.set_db(0);
        self.set_protocol(Protocol::Resp2);
        self.set_name(b"");
        self.set_transaction(None);
        self.watched.clear();
        self.watching = None;
        self.tracked = None;
        if let Some(listener) = &mut self.listener {
            listener.leave();
        }
        self.replies = Replies::On;
        self.become_user(user);
        self.authenticated = user.is_open();
        self.client.no_evict.store(false, Relaxed);
        self.client.no_touch.store(false, Relaxed);
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // Before it is gone from the list: whoever sees that it is gone may rely on it that nothing is given to it.
        self.wait = None;
        self.tracked = None;
        self.hears_moves = None;
        self.clients.remove(self.client.id);
    }
}
