//! The checker: judges a run by what its clients saw, and by nothing else.
//!
//! - [`history`]: what a history is; [`parse`]: from JSON lines. docs/reliability.md describes the format.
//! - [`objects`]: which operations belong together, and which judge they get.
//! - [`linear`]: strings, deadlines and banks: linearizability by search.
//! - [`counter`], [`set`]: counters and sets that only grow: the same without a search, for any number of unknown
//!   outcomes; [`order`] is what they share.
//! - [`txn`]: list-append transactions: strict serializability by cycles of dependencies.
//! - [`bank`]: the total is always the same.
//! - [`show`]: operations as text and pictures.
//!
//! Invariant: a judge never accuses a correct system. Where time or outcome are uncertain every explanation is
//! allowed, and a judge that cannot decide says so.
//!
//! Deliberately absent: the rest of the crate. The checker uses `base` only, so that it cannot share a
//! misunderstanding with what it judges. The simulator has judges of its own (`sim::check`): they also know what no
//! client sees (the order of the log, the state of replicas, whose watch was touched), speak of RESP words and replies
//! instead of lines of a file, and judge short histories over all commands on keys.

pub mod bank;
pub mod counter;
pub mod history;
pub mod linear;
pub mod objects;
pub mod order;
pub mod parse;
mod report;
pub mod set;
pub mod show;
pub mod txn;

pub use history::History;
pub use parse::{Unusable, parse};
pub use report::{Judged, Report, Verdict, Violation};

/// How much work a judgement may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Steps of all searches together; a million takes about a second.
    pub steps: u64,
    /// Configurations kept in memory at a time; a million takes a few hundred megabytes.
    pub configurations: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { steps: 100_000_000, configurations: 1_000_000 }
    }
}

/// What is left of the [`Limits`].
#[derive(Clone, Debug)]
pub struct Budget {
    steps_left: u64,
    configurations_max: usize,
}

impl Budget {
    /// All of it.
    pub fn new(limits: Limits) -> Budget {
        Budget { steps_left: limits.steps, configurations_max: limits.configurations }
    }

    /// A part of it, for work whose failure costs nothing.
    fn part(&self, steps: u64) -> Budget {
        Budget { steps_left: steps.min(self.steps_left), configurations_max: self.configurations_max / 10 }
    }

    fn spend(&mut self) -> Result<(), String> {
        let left = self.steps_left.checked_sub(1);
        self.steps_left = left.ok_or("the search took more steps than allowed")?;
        Ok(())
    }
}

/// Judges a history.
///
/// Errors: operations that contradict each other in a way that no server can be blamed for, such as a key that is used
/// as a string and as a set.
pub fn check(history: &History, limits: Limits) -> Result<Report, Unusable> {
    let objects = objects::find(history)?;
    let mut budget = Budget::new(limits);
    let judged = objects.iter().map(|object| object.judge(history, &mut budget)).collect();
    Ok(Report::new(history, judged))
}
