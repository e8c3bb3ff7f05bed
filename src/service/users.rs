//! Who a connection is, and what it may do: logging in, and the rights that every request is held against.
//!
//! Users are facts of the cluster; the node shows those that are applied here ([`super::node::Node::users`]). Until the
//! facts say something of `default`, it is what the settings of this node say.
//!
//! Invariants: a session that may do everything is known by one flag and asked nothing else; what a session may do is
//! looked up again when its batch finds that users changed, so a request is held against users no older than its batch;
//! a session whose user is gone runs nothing more.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use bytes::Bytes;

use super::Service;
use super::acl_log::Denial;
use super::pubsub::Kind;
use super::session::Session;
use crate::command::acl::{DEFAULT, Denied, Rights, User};
use crate::command::{Flags, Spec};
use crate::resp::Value;

const NEVER_QUEUED: Flags = Flags::of("no_multi");

impl Service {
    /// The user of this name.
    pub(super) fn user(&self, name: &[u8]) -> Option<Arc<User>> {
        let kept = self.node.users().get(name).cloned();
        kept.or_else(|| (name == &DEFAULT[..]).then(|| self.own_default.clone()))
    }

    /// The default user.
    pub(super) fn default_user(&self) -> Arc<User> {
        self.user(&DEFAULT).unwrap_or_else(|| self.own_default.clone())
    }

    /// All users, by name.
    pub(super) fn all_users(&self) -> Vec<Arc<User>> {
        let users = self.node.users();
        let own = users.get(&DEFAULT).is_none().then(|| self.own_default.clone());
        let mut all: Vec<_> = users.iter().cloned().chain(own).collect();
        all.sort_by(|a, b| a.name().cmp(b.name()));
        all
    }

    /// Users changed: ends the connections of those that are gone, and of those that listen to what they may not any more.
    /// Those that wait for a key look whether they may have it.
    pub fn users_changed(&self) {
        for client in self.clients.all() {
            let user = client.labels.lock().user.clone();
            if self.user(&user).is_none() {
                client.end();
            } else if client.is_blocked() {
                client.wake();
            }
        }
        let mut users: BTreeMap<Bytes, Option<Arc<User>>> = BTreeMap::new();
        self.hub.each_subscription(|kind, name, client| {
            let user = client.labels.lock().user.clone();
            let user = users.entry(user).or_insert_with_key(|user| self.user(user));
            let is_pattern = kind == Kind::Pattern;
            if user.as_ref().is_some_and(|user| !user.rights().allow_listening(name, is_pattern)) {
                client.end();
            }
        });
    }

    /// Looks up again what a session may do, if users changed since.
    pub(super) fn refresh_rights(&self, session: &mut Session) {
        let revision = self.node.users_revision();
        if session.users_revision == revision {
            return;
        }
        session.users_revision = revision;
        match self.user(&session.user) {
            Some(user) => session.set_rights(&user),
            None => session.closing = true,
        }
    }

    /// Whether a session must log in before anything else.
    pub(super) fn must_log_in(&self, session: &Session) -> bool {
        !session.is_authenticated() && !self.default_user().is_open()
    }

    /// The user that one becomes with this name and password.
    pub(super) fn admitted(&self, name: &[u8], password: &[u8]) -> Option<Arc<User>> {
        self.user(name).filter(|user| user.admits(password))
    }

    /// Makes a session that of a user. `word` is the command, as the client wrote it.
    pub(super) fn log_in(&self, session: &mut Session, word: &Bytes, name: &Bytes, password: &[u8]) -> bool {
        match self.admitted(name, password) {
            Some(user) => {
                session.become_user(&user);
                true
            }
            None => {
                self.stats.denied_logins.fetch_add(1, Relaxed);
                let context = context_of(session);
                let denial = Denial { reason: "auth", context, object: word.clone(), user: name.clone() };
                self.note_denial(session, denial);
                false
            }
        }
    }

    /// Holds a request against the rights of its session: why it may not run. Only for sessions with rights to ask.
    pub(super) fn denial(&self, session: &Session, spec: &'static Spec, args: &[Bytes]) -> Option<Value> {
        let rights = session.rights.as_ref()?;
        if session.transaction.is_some() && spec.flags.has(NEVER_QUEUED) {
            // Refused for another reason, which Redis tells first.
            return None;
        }
        let denied = rights.check(spec, args).err()?;
        self.deny(session, rights, denied, spec, args, context_of(session));
        Some(Value::error_with(&[b"NOPERM ", &rights.message(denied, spec, args, false)]))
    }

    /// The error of a queued call that may not run any more.
    pub(super) fn late_denial(
        &self,
        session: &Session,
        rights: &Rights,
        spec: &'static Spec,
        args: &[Bytes],
    ) -> Option<Value> {
        if let Err(denied) = rights.check(spec, args) {
            self.deny(session, rights, denied, spec, args, "multi");
            let reason = match denied {
                Denied::Command => "no permission to execute the command or subcommand",
                Denied::Key(_) => "no permission to touch the specified keys",
                Denied::Channel(_) => "no permission to access one of the channels used as arguments to the command",
            };
            return Some(Value::error(format!(
                "NOPERM ACLs rules changed between the moment the transaction was accumulated and the EXEC call. This \
                 command is no longer allowed for the following reason: {reason}"
            )));
        }
        denied_option(rights, spec, args)
    }

    fn deny(
        &self,
        session: &Session,
        rights: &Rights,
        denied: Denied,
        spec: &'static Spec,
        args: &[Bytes],
        context: &'static str,
    ) {
        let word = |at: usize| args.get(at).cloned().unwrap_or_default();
        let (counter, reason, object) = match denied {
            Denied::Command => (&self.stats.denied_commands, "command", Bytes::from_static(spec.name.as_bytes())),
            Denied::Key(at) => (&self.stats.denied_keys, "key", word(at)),
            Denied::Channel(at) => (&self.stats.denied_channels, "channel", word(at)),
        };
        counter.fetch_add(1, Relaxed);
        self.note_denial(session, Denial { reason, context, object, user: rights.user.clone() });
    }

    fn note_denial(&self, session: &Session, denial: Denial) {
        session.client.labels.lock().last_command = session.last_command;
        let line = session.client.describe(self.node.monotonic());
        self.acl_log.record(denial, line, self.node.now(), self.config.acl_log_entries_max());
    }
}

/// The error of a SORT that would read keys which its user may not all read.
pub(super) fn denied_option(rights: &Rights, spec: &Spec, args: &[Bytes]) -> Option<Value> {
    let option = rights.denied_option(spec, args)?;
    Some(Value::error(format!("ERR {option} option of SORT denied due to insufficient ACL permissions.")))
}

fn context_of(session: &Session) -> &'static str {
    if session.transaction.is_some() { "multi" } else { "toplevel" }
}
