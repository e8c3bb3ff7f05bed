//! One Raft group without IO: messages, ticks and proposals in; what to persist, send and apply out. The only
//! place that names the `raft` crate.

pub mod entry;
