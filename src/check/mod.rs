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
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    steps_left: u64,
    configurations_max: usize,
}

impl Budget {
    /// All of it.
    pub fn new(limits: Limits) -> Budget {
        Budget { steps_left: limits.steps, configurations_max: limits.configurations }
    }

    /// One of its own, for work whose failure costs nothing.
    fn aside(&self, steps: u64) -> Budget {
        Budget { steps_left: steps, configurations_max: self.configurations_max / 10 }
    }

    fn spend(&mut self) -> Result<(), String> {
        let left = self.steps_left.checked_sub(1);
        self.steps_left = left.ok_or("the search took more steps than allowed")?;
        Ok(())
    }
}

/// Steps for each object at first, and how many times as many every next time that they do not suffice.
const SHARE_FIRST: u64 = 1_000_000;
const SHARE_GROWTH: u64 = 8;

/// Judges a history.
///
/// Errors: operations that contradict each other in a way that no server can be blamed for, such as a key that is used
/// as a string and as a set.
pub fn check(history: &History, limits: Limits) -> Result<Report, Unusable> {
    let objects = objects::find(history)?;
    let mut budget = Budget::new(limits);
    let mut verdicts: Vec<Option<Judged>> = objects.iter().map(|_| None).collect();
    let mut undecided: Vec<usize> = (0..objects.len()).collect();
    let mut share = SHARE_FIRST;
    // Easy objects first, so that a hard one does not use up what all others need.
    while !undecided.is_empty() {
        if undecided.len() == 1 {
            share = u64::MAX;
        }
        let mut harder = Vec::new();
        for at in undecided {
            let mut part = Budget { steps_left: share.min(budget.steps_left), ..budget };
            let steps = part.steps_left;
            let judged = objects[at].judge(history, &mut part);
            budget.steps_left -= steps - part.steps_left;
            let is_short = part.steps_left == 0 && budget.steps_left > 0;
            if is_short && matches!(judged.verdict, Verdict::GaveUp(_)) {
                harder.push(at);
            }
            verdicts[at] = Some(judged);
        }
        undecided = harder;
        share = share.saturating_mul(SHARE_GROWTH);
    }
    Ok(Report::new(history, verdicts.into_iter().flatten().collect()))
}
