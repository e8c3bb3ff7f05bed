//! Ids as newtypes, so that a node cannot be taken for a group or a term for an index.

use std::fmt;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub u64);

        impl $name {
            /// The bare number.
            pub const fn get(self) -> u64 {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl From<u64> for $name {
            fn from(value: u64) -> Self {
                $name(value)
            }
        }
    };
}

id! {
    /// One process with one data directory. Chosen by the operator, from 1.
    NodeId
}
id! {
    /// One Raft group. 0 is the meta group; partitions count from 1.
    GroupId
}
id! {
    /// One replica of one group, as Raft knows it. Never used twice within a group.
    PeerId
}
id! {
    /// A position in a group's log, from 1.
    LogIndex
}
id! {
    /// A Raft term.
    Term
}
id! {
    /// Guards every peer message and data directory against another cluster's.
    ClusterId
}
id! {
    /// One incarnation of one node's forwarding front: the scope of its batch numbers.
    SessionId
}
id! {
    /// Names a submission to a machine until it is answered; unique within one process.
    Ticket
}

impl GroupId {
    /// Group 0: nodes, groups, users, settings.
    pub const META: GroupId = GroupId(0);
}

impl LogIndex {
    /// The position after this one.
    pub const fn next(self) -> LogIndex {
        LogIndex(self.0 + 1)
    }
}
