//! What a session asks of a group: calls, grouped into units that are atomic, and the answers to them.
//!
//! Replies are bytes in the protocol of the connection, encoded once on the leader; a front that forwarded a
//! unit copies them. The same encoding is used between nodes and for stored replies.

use std::sync::Arc;

use bytes::Bytes;

use super::acl::Rights;
use crate::base::{SessionId, Term};
use crate::resp::Protocol;

/// One command as it arrived: its database, how to encode the reply, and its words (name first).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// Selected database.
    pub db: u8,
    /// Protocol of the connection at this point.
    pub protocol: Protocol,
    /// Whether its lookups move the access clocks of keys (they do not after CLIENT NO-TOUCH).
    pub touches: bool,
    /// Name and arguments; never empty.
    pub args: Vec<Bytes>,
    /// What a script's own commands are held against; `None` if they may be anything. Whoever makes the call has held
    /// the call itself against it already. A call that waits has them when its client lost the right to make it
    /// ([`super::block::denied`]).
    pub rights: Option<Arc<Rights>>,
    /// Who does not want to hear of what this changes (CLIENT TRACKING with NOLOOP); 0 for nobody.
    pub author: u64,
    /// Whether the answer shall tell which keys its scripts read ([`UnitReply::Read`]).
    pub tells_reads: bool,
}

impl Call {
    /// A call of a connection that asked for nothing special.
    pub fn new(db: u8, protocol: Protocol, args: Vec<Bytes>) -> Call {
        Call { db, protocol, touches: true, args, rights: None, author: 0, tells_reads: false }
    }
}

/// Keys that must not have changed since a moment of the leader's evaluation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watch {
    /// Database of the key.
    pub db: u8,
    /// The key.
    pub key: Bytes,
    /// Term of the leader that registered the watch.
    pub term: Term,
    /// That leader's modification count then.
    pub sequence: u64,
}

/// What runs without anything in between.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unit {
    /// One command.
    Call(Call),
    /// MULTI ... EXEC: only data commands; session commands of the block stay with the session.
    Atomic {
        /// Conditions.
        watches: Vec<Watch>,
        /// The queued commands.
        calls: Vec<Call>,
    },
    /// WATCH: remembers the keys on the leader.
    Watch {
        /// Database of the keys.
        db: u8,
        /// The keys.
        keys: Vec<Bytes>,
    },
    /// A change of what the meta group knows, in the words of `host::meta`. No other group takes it, and the meta group
    /// takes nothing else.
    Change(Bytes),
    /// A command that waits where it finds nothing (see [`super::block`]). The only unit of a numbered submission is
    /// answered when there is something for it, or when it is hurried; anywhere else it looks once, like a call.
    Block {
        /// The command.
        call: Call,
        /// Whether the answer is stored with the effects, because who asked may not hear it the first time.
        remembered: bool,
    },
    /// Of a session's blocked commands with numbers below `below` these are still waited for; all others were answered
    /// or given up. It is true for ever: a number is not used again. The only unit of its submission.
    StillBlocked {
        /// Who blocked them.
        session: SessionId,
        /// Later ones are not spoken of.
        below: u64,
        /// Ascending numbers.
        open: Vec<u64>,
    },
    /// The time of these blocked commands is over: each looks once more and is answered with what it finds. The only unit
    /// of its submission.
    Hurry {
        /// Who blocked them.
        session: SessionId,
        /// Their numbers.
        numbers: Vec<u64>,
    },
}

/// The answer to a unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UnitReply {
    /// Encoded reply of one command.
    Call(Bytes),
    /// Encoded replies in order, or `None` when a watched key had changed.
    Atomic(Option<Vec<Bytes>>),
    /// A token for the watches of a later EXEC.
    Watch {
        /// Term of the leader.
        term: Term,
        /// Its modification count.
        sequence: u64,
    },
    /// What the meta group decided about a change, in the words of `host::meta`.
    Decision(Bytes),
    /// The words of a blocked command with which it may wait: with the ones it came with it would mean something else
    /// each time it looks.
    Settled(Vec<Bytes>),
    /// Taken note of.
    Noted,
    /// The answer to a unit with a call that tells what its scripts read ([`Call::tells_reads`]).
    Read {
        /// The answer; not one of this kind.
        reply: Box<UnitReply>,
        /// Keys that scripts read, ascending, each once; none if they are too many to be told.
        keys: Vec<Bytes>,
    },
}
