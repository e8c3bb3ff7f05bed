//! The clocks of one node: a monotonic one that runs at its own rate, and a wall clock that may be set.
//!
//! Invariant: the monotonic clock of a node never goes back and its rate stays within [`RATE_PPM_MAX`] of true time,
//! which is what the lease is designed for; the wall clock promises nothing.

use std::time::Duration;

use crate::base::{Millis, Nanos, Rng};

/// How far a rate may be from true time, in parts per million. Quartz clocks are within 100; the lease allows 24,000.
pub const RATE_PPM_MAX: u64 = 20_000;
/// Wall clocks of nodes differ by at most this from true time.
pub const WALL_OFFSET_MS_MAX: u64 = 400;
/// What the wall clock shows at true time 0.
pub const EPOCH: Millis = Millis(1_700_000_000_000);

/// Clocks of a node.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    /// What the monotonic clock showed at true time 0: nodes boot at different times.
    boot: u64,
    /// Parts per million that the clock runs faster (or slower) than true time.
    rate_ppm: i64,
    /// Milliseconds that the wall clock is ahead.
    wall_ms: i64,
}

impl Clock {
    /// Clocks with a random boot time, rate and wall offset; the exact ones when `skewed` is false.
    pub fn new(rng: &mut Rng, skewed: bool) -> Clock {
        let mut clock = Clock { boot: rng.range(1_000_000_000, 1_000_000_000_000), rate_ppm: 0, wall_ms: 0 };
        if skewed {
            // The ends of what is allowed as often as all between: that is where a lease is shortest of time.
            clock.rate_ppm = match rng.below(4) {
                0 => RATE_PPM_MAX as i64,
                1 => -(RATE_PPM_MAX as i64),
                _ => signed(rng, RATE_PPM_MAX),
            };
            clock.set_wall(rng);
        }
        clock
    }

    /// Sets the wall clock anew, as an administrator or NTP would.
    pub fn set_wall(&mut self, rng: &mut Rng) {
        self.wall_ms = signed(rng, WALL_OFFSET_MS_MAX);
    }

    /// Sets the wall clock so many milliseconds ahead of true time, or behind it.
    pub fn set_wall_to(&mut self, ahead_ms: i64) {
        self.wall_ms = ahead_ms;
    }

    /// The monotonic clock at a true time.
    pub fn monotonic(&self, now: Nanos) -> Nanos {
        let drift = i128::from(now.0) * i128::from(self.rate_ppm) / 1_000_000;
        Nanos((i128::from(self.boot) + i128::from(now.0) + drift) as u64)
    }

    /// The wall clock at a true time.
    pub fn wall(&self, now: Nanos) -> Millis {
        Millis(true_wall(now).0.saturating_add_signed(self.wall_ms))
    }

    /// How long the node must sleep in true time for its monotonic clock to advance by `by`.
    pub fn sleep(&self, by: Duration) -> Duration {
        let nanos = by.as_nanos() as i128;
        Duration::from_nanos((nanos - nanos * i128::from(self.rate_ppm) / 1_000_000) as u64)
    }
}

/// True wall-clock time.
pub fn true_wall(now: Nanos) -> Millis {
    Millis(EPOCH.0 + now.0 / 1_000_000)
}

fn signed(rng: &mut Rng, bound: u64) -> i64 {
    rng.below(2 * bound + 1) as i64 - bound as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_and_offsets_stay_in_their_bounds() {
        let mut rng = Rng::new(1);
        for _ in 0..1_000 {
            let clock = Clock::new(&mut rng, true);
            let (start, end) = (clock.monotonic(Nanos(0)), clock.monotonic(Nanos(1_000_000_000)));
            let passed = end.since(start).as_nanos() as i64;
            assert!((passed - 1_000_000_000).unsigned_abs() <= RATE_PPM_MAX * 1_000);
            let wall = clock.wall(Nanos(5_000_000_000)).0 as i64 - true_wall(Nanos(5_000_000_000)).0 as i64;
            assert!(wall.unsigned_abs() <= WALL_OFFSET_MS_MAX);
        }
    }
}
