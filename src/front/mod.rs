//! Listeners: RESP for clients, HTTP for health, status and metrics. Knows nothing of Raft: everything is asked of
//! [`crate::service`].
//!
//! Invariant: what a client may make this process keep is bounded: its input by what it may declare, its output by
//! not reading on before the replies are sent, its time by deadlines before it has authenticated.

mod batches;
mod blocked;
pub mod http;
pub mod resp;
