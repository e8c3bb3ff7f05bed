//! Commands that wait for a key: the connection stands still until the leader answers, the time is over, or somebody
//! ends the wait.
//!
//! Invariant: what was asked before on the connection has been answered and sent when a wait begins, and nothing behind
//! it runs before it ends.

use bytes::{Bytes, BytesMut};

use super::Service;
use super::batch::{Flow, UNKNOWN, failure};
use super::node::{Blocking, Outcome};
use super::session::{Replies, Session};
use crate::base::{GroupId, Nanos};
use crate::command::acl::Rights;
use crate::command::batch::UnitReply;
use crate::command::block::Patience;
use crate::command::{Call, Spec};
use crate::resp::Value;

/// A request that wants to wait.
#[derive(Debug)]
pub(super) struct Held {
    pub spec: &'static Spec,
    pub group: GroupId,
    pub patience: Patience,
    pub args: Vec<Bytes>,
}

/// A request that waits.
#[derive(Debug)]
pub struct Wait {
    /// Its answer.
    pub blocking: Blocking,
    /// Monotonic moment at which its time is over.
    pub until: Option<Nanos>,
    spec: &'static Spec,
    group: GroupId,
    /// Its words, with which it would wait again.
    args: Vec<Bytes>,
    /// Whether it must be known which keys it read.
    is_tracked: bool,
    /// Its user has no right to it any more: it waits on, and gets nothing.
    is_denied: bool,
    /// That changed: once it is known that nothing was given to it, it waits in the other way.
    is_rechecked: bool,
}

impl Service {
    /// Lets a request wait.
    pub(super) fn begin_wait(&self, session: &mut Session, held: Held) {
        let Held { spec, group, patience, args } = held;
        let until = match patience {
            Patience::Unlimited => None,
            Patience::Until(timeout) => Some(self.node.monotonic() + timeout),
        };
        if self.is_watched() {
            self.show(session, spec, session.db, &args);
        }
        session.client.labels.lock().last_command = spec.name;
        session.client.set_blocked(true);
        let is_tracked = session.tracked.is_some();
        let blocking = self.node.block(group, session.call(args.clone()));
        let (is_denied, is_rechecked) = (false, false);
        session.wait = Some(Wait { blocking, until, spec, group, args, is_tracked, is_denied, is_rechecked });
    }

    /// Users changed while a request waits. Whether its user lost the right to it, or has it again: then it has to be
    /// hurried, which tells whether anything was given to it by then, and waits on in the other way ([`Service::end_wait`]).
    pub fn rights_changed(&self, session: &mut Session) -> bool {
        self.refresh_rights(session);
        if session.closing {
            // Its user is gone.
            session.client.end();
        }
        let rights = session.rights.clone();
        let Some(wait) = &mut session.wait else { return false };
        wait.is_rechecked = wait.is_denied != is_denied(rights.as_deref(), wait);
        wait.is_rechecked
    }

    /// The request that waits was answered: writes the reply. [`Flow::Wait`] if it has to wait on with other words, or with
    /// other rights.
    pub fn end_wait(&self, session: &mut Session, outcome: Outcome, out: &mut BytesMut) -> Flow {
        let Some(mut wait) = session.wait.take() else { return Flow::Continue };
        if self.waits_on(session, &wait, &outcome) {
            return self.wait_again(session, wait);
        }
        let before = out.len();
        let mut is_refused = false;
        match outcome {
            Outcome::Replies(replies) => match <[UnitReply; 1]>::try_from(replies) {
                Ok([UnitReply::Settled(words)]) => {
                    wait.args = words;
                    return self.wait_again(session, wait);
                }
                Ok([UnitReply::Call(reply)]) if is_null(&reply) => {
                    let reply = match session.client.is_unblocked_with_error() {
                        true => Value::error("UNBLOCKED client unblocked via CLIENT UNBLOCK"),
                        // Of whatever form the command's own null is.
                        false => Value::NullArray,
                    };
                    reply.encode(session.protocol, out);
                }
                Ok([UnitReply::Call(reply)]) => {
                    // It is noted like any other denial.
                    is_refused = wait.is_denied && self.denial(session, wait.spec, &wait.args).is_some();
                    out.extend_from_slice(&reply);
                }
                _ => Value::error(UNKNOWN).encode(session.protocol, out),
            },
            failed => Value::error(failure(&failed)).encode(session.protocol, out),
        }
        session.client.set_blocked(false);
        if wait.is_tracked {
            self.doubt(session, wait.spec, &wait.args);
        }
        let failed = out.get(before) == Some(&b'-');
        if failed {
            self.stats.error(&out[before + 1..]);
        }
        let counter = self.counter(wait.spec);
        match is_refused {
            true => self.stats.rejected(session.client.id, counter),
            // The time of waiting is not the time of running.
            false => self.stats.ran(session.client.id, counter, std::time::Duration::ZERO, failed),
        }
        if session.replies != Replies::On {
            out.truncate(before);
        }
        if session.client.is_ending() { Flow::Close } else { Flow::Continue }
    }

    /// Whether a request that was hurried because its rights changed waits on: nothing was given to it, and nobody wants
    /// it to end.
    fn waits_on(&self, session: &Session, wait: &Wait, outcome: &Outcome) -> bool {
        let is_nothing = match outcome {
            Outcome::Replies(replies) => matches!(&replies[..], [UnitReply::Call(reply)] if is_null(reply)),
            Outcome::Down | Outcome::Loading | Outcome::Overloaded | Outcome::Busy(_) => true,
            Outcome::Unknown => false,
        };
        let is_over = wait.until.is_some_and(|until| until <= self.node.monotonic());
        wait.is_rechecked && is_nothing && !is_over && !session.client.is_unblocked()
    }

    /// Waits on with the words and the rights that there are now.
    fn wait_again(&self, session: &mut Session, mut wait: Wait) -> Flow {
        (wait.is_denied, wait.is_rechecked) = (is_denied(session.rights.as_deref(), &wait), false);
        let rights = session.rights.clone().filter(|_| wait.is_denied);
        wait.blocking = self.node.block(wait.group, Call { rights, ..session.call(wait.args.clone()) });
        session.wait = Some(wait);
        Flow::Wait
    }
}

impl Session {
    /// The request that waits, if one does.
    pub fn wait(&mut self) -> Option<&mut Wait> {
        self.wait.as_mut()
    }

    /// The request that waits is to be answered with what there is now.
    pub fn hurry(&self) {
        if let Some(wait) = &self.wait {
            (wait.blocking.hurry)();
        }
    }

    /// The users that it was last held against.
    pub fn users_revision(&self) -> u64 {
        self.users_revision
    }
}

/// Whether these rights do not allow a request that waits.
fn is_denied(rights: Option<&Rights>, wait: &Wait) -> bool {
    rights.is_some_and(|rights| rights.check(wait.spec, &wait.args).is_err())
}

/// Whether an encoded reply is null, in any of its forms.
fn is_null(reply: &[u8]) -> bool {
    matches!(reply, b"_\r\n" | b"$-1\r\n" | b"*-1\r\n")
}
