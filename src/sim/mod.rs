//! The other world: the same host, machine and forwarder as production, on one thread, with one seed, virtual time,
//! a faulty network, faulty disks and clocks, and judges that know only what clients saw.
//!
//! Invariant: a seed decides everything. Two runs of a seed have the same events in the same order, which is what the
//! trace hash says; a violation is repeated by its seed alone.
//!
//! - [`plan`]: what the seed decides beforehand: settings and faults.
//! - [`queue`], [`network`], [`clock`], [`disk`]: the world.
//! - [`workload`]: what clients ask.
//! - [`check`]: the judges.
//! - [`trace`], [`coverage`]: what happened, and whether every kind of fault did.

pub mod check;
pub mod clock;
pub mod coverage;
pub mod disk;
pub mod network;
pub mod plan;
pub mod queue;
pub mod trace;
pub mod workload;
