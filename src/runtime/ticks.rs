//! When a thread's next tick is due. Election and heartbeat timeouts count ticks, so they must follow real time.
//!
//! Invariant (rule 9): at most one tick per interval. A thread that did not run for a while skips what it missed:
//! made up for in a burst, the missed ticks would end elections that nobody had the time to win.

use std::time::Duration;

use crate::base::Nanos;

/// The ticks of one thread.
#[derive(Debug)]
pub struct Ticks {
    interval: Duration,
    due: Nanos,
}

impl Ticks {
    /// The first tick is due one interval after `now`.
    pub fn new(interval: Duration, now: Nanos) -> Ticks {
        Ticks { interval, due: now + interval }
    }

    /// How long the thread may sleep before the next one.
    pub fn patience(&self, now: Nanos) -> Duration {
        self.due.since(now)
    }

    /// For how long a tick has been due.
    pub fn late(&self, now: Nanos) -> Duration {
        now.since(self.due)
    }

    /// Whether a tick is due, which then counts as done. The next one is due an interval after `now`, not after
    /// when this one was due.
    pub fn take(&mut self, now: Nanos) -> bool {
        let due = now >= self.due;
        if due {
            self.due = now + self.interval;
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: Duration = Duration::from_millis(10);

    fn at(ms: u64) -> Nanos {
        Nanos(ms * 1_000_000)
    }

    #[test]
    fn rule_09_missed_ticks_are_skipped() {
        let mut ticks = Ticks::new(INTERVAL, at(0));
        assert!(!ticks.take(at(9)));
        assert!(ticks.take(at(10)));
        // The thread stood still for the length of 24 ticks.
        assert_eq!((ticks.late(at(19)), ticks.late(at(255))), (Duration::ZERO, Duration::from_millis(235)));
        assert!(ticks.take(at(255)));
        for ms in 255..265 {
            assert!(!ticks.take(at(ms)), "a second tick at {ms} ms");
        }
        assert!(ticks.take(at(265)));
    }

    #[test]
    fn rule_09_no_interval_has_two_ticks_however_often_the_thread_wakes() {
        let mut ticks = Ticks::new(INTERVAL, at(0));
        let mut last = at(0);
        let mut count = 0;
        // Wakes at odd moments, sometimes late.
        let mut now = 0;
        for step in 0..2_000 {
            now += if step % 97 == 0 { 41 } else { step % 4 };
            assert_eq!(at(now) + ticks.patience(at(now)), at(now).max(last + INTERVAL));
            if ticks.take(at(now)) {
                assert!(at(now).since(last) >= INTERVAL, "{:?} after the one before", at(now).since(last));
                (last, count) = (at(now), count + 1);
            }
        }
        assert!(count > 200, "{count} ticks in {now} ms");
    }
}
