//! The one door of the fronts: a request of a session in, a reply out. Session state, routing, transactions,
//! admin words. Knows no socket and no Raft.

pub mod node;
