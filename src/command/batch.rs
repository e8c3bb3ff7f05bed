//! What a session asks of a group: calls, grouped into units that are atomic, and the answers to them.
//!
//! Replies are bytes in the protocol of the connection, encoded once on the leader; a front that forwarded a
//! unit copies them. The same encoding is used between nodes and for stored replies.

use std::sync::Arc;

use bytes::Bytes;

use super::acl::Rights;
use crate::base::Term;
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
    /// the call itself against it already.
    pub rights: Option<Arc<Rights>>,
}

impl Call {
    /// A call of a connection that asked for nothing special.
    pub fn new(db: u8, protocol: Protocol, args: Vec<Bytes>) -> Call {
        Call { db, protocol, touches: true, args, rights: None }
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
}
