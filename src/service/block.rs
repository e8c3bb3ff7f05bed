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
use crate::command::Spec;
use crate::command::batch::UnitReply;
use crate::command::block::Patience;
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
    /// Its words, where it must be known which keys it read.
    tracked: Option<Vec<Bytes>>,
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
        let tracked = session.tracked.is_some().then(|| args.clone());
        let blocking = self.node.block(group, session.call(args));
        session.wait = Some(Wait { blocking, until, spec, group, tracked });
    }

    /// The request that waits was answered: writes the reply. [`Flow::Wait`] if it has to wait on with other words.
    pub fn end_wait(&self, session: &mut Session, outcome: Outcome, out: &mut BytesMut) -> Flow {
        let Some(mut wait) = session.wait.take() else { return Flow::Continue };
        let before = out.len();
        match outcome {
            Outcome::Replies(replies) => match <[UnitReply; 1]>::try_from(replies) {
                Ok([UnitReply::Settled(words)]) => {
                    wait.blocking = self.node.block(wait.group, session.call(words));
                    session.wait = Some(wait);
                    return Flow::Wait;
                }
                Ok([UnitReply::Call(reply)]) if is_null(&reply) => {
                    let reply = match session.client.is_unblocked_with_error() {
                        true => Value::error("UNBLOCKED client unblocked via CLIENT UNBLOCK"),
                        // Of whatever form the command's own null is.
                        false => Value::NullArray,
                    };
                    reply.encode(session.protocol, out);
                }
                Ok([UnitReply::Call(reply)]) => out.extend_from_slice(&reply),
                _ => Value::error(UNKNOWN).encode(session.protocol, out),
            },
            failed => Value::error(failure(&failed)).encode(session.protocol, out),
        }
        session.client.set_blocked(false);
        if let Some(args) = &wait.tracked {
            self.doubt(session, wait.spec, args);
        }
        let failed = out.get(before) == Some(&b'-');
        if failed {
            self.stats.error(&out[before + 1..]);
        }
        // The time of waiting is not the time of running.
        self.stats.ran(session.client.id, self.counter(wait.spec), std::time::Duration::ZERO, failed);
        if session.replies != Replies::On {
            out.truncate(before);
        }
        if session.client.is_ending() { Flow::Close } else { Flow::Continue }
    }
}

impl Session {
    /// The request that waits, if one does.
    pub fn wait(&mut self) -> Option<&mut Wait> {
        self.wait.as_mut()
    }
}

/// Whether an encoded reply is null, in any of its forms.
fn is_null(reply: &[u8]) -> bool {
    matches!(reply, b"_\r\n" | b"$-1\r\n" | b"*-1\r\n")
}
