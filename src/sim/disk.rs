//! How long a node's disk takes, and when it is full or broken. What a crash leaves is not decided here but by the
//! engine's and the log's twins in memory, which know what was synced.

use std::time::Duration;

use crate::base::{Nanos, Rng};

/// The disk of a node.
#[derive(Clone, Debug)]
pub struct Disk {
    /// What one sync takes at least and at most.
    sync: (Duration, Duration),
    slow_until: Nanos,
    full_until: Nanos,
    /// The next log write fails: the process aborts (rule 5).
    fail_next: bool,
    rng: Rng,
}

impl Disk {
    /// A healthy disk with the latency of a good one: 0.2 ms usual, 4 ms now and then.
    pub fn new(rng: Rng) -> Disk {
        let sync = (Duration::from_micros(150), Duration::from_micros(600));
        Disk { sync, slow_until: Nanos(0), full_until: Nanos(0), fail_next: false, rng }
    }

    /// How long a sync that starts now takes.
    pub fn sync_time(&mut self, now: Nanos) -> Duration {
        let (low, high) = (self.sync.0.as_nanos() as u64, self.sync.1.as_nanos() as u64);
        let usual = self.rng.range(low, high);
        let factor = match now < self.slow_until {
            true => self.rng.range(50, 2_000),
            false if self.rng.chance(1, 100) => 10,
            false => 1,
        };
        Duration::from_nanos(usual * factor)
    }

    /// Syncs take 10 ms to 1 s until then.
    pub fn slow(&mut self, until: Nanos) {
        self.slow_until = until;
    }

    /// Writes find no space until then.
    pub fn fill(&mut self, until: Nanos) {
        self.full_until = until;
    }

    /// Lets the next log write fail.
    pub fn fail_next(&mut self) {
        self.fail_next = true;
    }

    /// Whether a log write that starts now fails. Asked once per write.
    pub fn log_fails(&mut self, now: Nanos) -> bool {
        std::mem::take(&mut self.fail_next) || now < self.full_until
    }

    /// Whether there is no space now.
    pub fn is_full(&self, now: Nanos) -> bool {
        now < self.full_until
    }

    /// Healthy from now on.
    pub fn heal(&mut self) {
        self.slow_until = Nanos(0);
        self.full_until = Nanos(0);
        self.fail_next = false;
    }
}
