//! Time as a value. Only `runtime` and `sim` can name a clock; everybody else is told what time it is.

use std::fmt;
use std::ops::{Add, Sub};
use std::time::Duration;

/// Wall-clock milliseconds since the Unix epoch: deadlines, stamps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Millis(pub u64);

/// Monotonic nanoseconds of one process (`CLOCK_BOOTTIME`): timeouts, leases. Never compared between nodes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Nanos(pub u64);

impl Nanos {
    /// Time since `earlier`, zero if `earlier` is later.
    pub fn since(self, earlier: Nanos) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Nanos {
    type Output = Nanos;

    fn add(self, by: Duration) -> Nanos {
        Nanos(self.0.saturating_add(by.as_nanos() as u64))
    }
}

impl Sub<Duration> for Nanos {
    type Output = Nanos;

    fn sub(self, by: Duration) -> Nanos {
        Nanos(self.0.saturating_sub(by.as_nanos() as u64))
    }
}

impl fmt::Display for Millis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
