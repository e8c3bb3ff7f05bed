//! wip
pub mod check;
pub mod clock;
pub mod coverage;
pub mod disk;
pub mod network;
pub mod queue;
pub mod trace;
