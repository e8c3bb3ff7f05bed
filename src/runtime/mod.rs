//! Production's caller of the core: threads, clock, disks, peers, telemetry and the wiring between them.
//!
//! Invariants: nothing of a raft group happens but through the one [`crate::host::Host`] of its worker thread; what
//! a reader may rely on is published before a message of the same turn leaves (rule 37); no queue is unbounded
//! (rule 40). What is decided here is only who runs where; every decision about data is made below.
//!
//! Reading order: [`core`] (what the threads share), [`worker`], [`log_writer`], [`machines`] (with `prefetch`), [`background`]
//! (the threads), [`node`] and [`forwarding`] (what the service calls), [`peers`] (the other nodes), [`start`] below
//! (who makes all of it), [`membership`] (what the meta group knows). The rest are tools: [`clock`], [`ticks`], [`queue`], [`views`], [`directory`], [`metrics`],
//! [`telemetry`].

mod allocator;
pub mod background;
mod busy;
pub mod clock;
pub mod config;
pub mod core;
pub mod directory;
mod facts;
pub mod forwarding;
mod join;
mod leadership;
pub mod log_writer;
pub mod machines;
pub mod membership;
pub mod metrics;
pub mod node;
pub mod peers;
mod prefetch;
mod process;
pub mod queue;
mod running;
mod stages;
pub mod start;
pub mod stop;
pub mod telemetry;
#[cfg(test)]
mod tests;
mod threads;
pub mod ticks;
pub mod views;
pub mod worker;

use std::net::SocketAddr;
use std::path::PathBuf;

pub use config::Config;
pub use running::Running;
pub use start::start;

/// Why a node does not start. The text is for the operator; nothing was overwritten.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A listener's address is taken or not ours.
    #[error("cannot listen on {address} for {purpose}: {source}")]
    Listen {
        /// What the listener is for.
        purpose: &'static str,
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// The data directory belongs to something else, or to a later version.
    #[error("the data directory {} cannot be used: {reason}", path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The directory or a database in it could not be read or written.
    #[error("storage: {0}")]
    Storage(String),
    /// The settings contradict each other or the directory.
    #[error("settings: {0}")]
    Config(String),
    /// The system refused a thread or a signal handler.
    #[error("system: {0}")]
    System(#[from] std::io::Error),
}

/// `std::result::Result` with this module's error.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// What the process should exit with, after `sysexits.h`: 64 usage, 66 input, 69 unavailable, 71 system, 74 I/O.
    pub fn exit_code(&self) -> u8 {
        match self {
            Error::Config(_) => 64,
            Error::Directory { .. } => 66,
            Error::Listen { .. } => 69,
            Error::System(_) => 71,
            Error::Storage(_) => 74,
        }
    }
}
