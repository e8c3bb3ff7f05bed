//! What a run came to, for people and for scripts.

use std::fmt;

use serde::Serialize;

use super::histogram::Histogram;

/// What one thread measured.
#[derive(Clone, Debug)]
pub(super) struct Part {
    times: Histogram,
    /// When counting began, and when the last answer came, in nanoseconds of the thread.
    begun: u64,
    ended: u64,
}

impl Part {
    pub(super) fn new(begun: u64) -> Part {
        Part { times: Histogram::default(), begun, ended: begun }
    }

    /// What was measured elsewhere, in so many nanoseconds.
    pub(super) fn of(times: Histogram, nanos: u64) -> Part {
        Part { times, begun: 0, ended: nanos }
    }

    /// Requests that began at `begun` were answered.
    pub(super) fn answered(&mut self, begun: u64, at: u64, requests: u64) {
        self.times.record(at.saturating_sub(begun), requests);
        self.ended = self.ended.max(at);
    }
}

/// What all threads measured together.
#[derive(Clone, Debug, Default)]
pub struct Report {
    times: Histogram,
    seconds: f64,
}

/// A report as scripts read it: one line of JSON.
#[derive(Clone, Debug, Serialize)]
pub struct Summary {
    /// Requests that were answered.
    pub requests: u64,
    /// From the first request that counts to the last answer.
    pub seconds: f64,
    /// Requests per second.
    pub per_second: f64,
    /// Microseconds that requests took on average.
    pub mean_us: f64,
    /// Microseconds that half of the requests took at most.
    pub p50_us: f64,
    /// Of 99 %.
    pub p99_us: f64,
    /// Of 99.9 %.
    pub p999_us: f64,
    /// Of all.
    pub max_us: f64,
}

impl Report {
    /// Adds a thread, which ran at the same time as the others.
    pub(super) fn add(&mut self, part: &Part) {
        self.times.add(&part.times);
        self.seconds = self.seconds.max((part.ended - part.begun) as f64 / 1e9);
    }

    /// The figures.
    pub fn summary(&self) -> Summary {
        let us = |nanos: u64| nanos as f64 / 1e3;
        let requests = self.times.count();
        Summary {
            requests,
            seconds: self.seconds,
            per_second: if self.seconds > 0.0 { requests as f64 / self.seconds } else { 0.0 },
            mean_us: us(self.times.mean()),
            p50_us: us(self.times.quantile(0.5)),
            p99_us: us(self.times.quantile(0.99)),
            p999_us: us(self.times.quantile(0.999)),
            max_us: us(self.times.max()),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Summary { requests, seconds, per_second, .. } = self.summary();
        writeln!(f, "{per_second:.0} requests per second ({requests} in {seconds:.2} s)")?;
        let ms = |nanos: u64| nanos as f64 / 1e6;
        writeln!(f, "took on average {:.3} ms", ms(self.times.mean()))?;
        for share in [0.5, 0.9, 0.99, 0.999, 0.9999] {
            writeln!(f, "{:>9} % within {:.3} ms", share * 100.0, ms(self.times.quantile(share)))?;
        }
        write!(f, "the longest {:.3} ms", ms(self.times.max()))
    }
}
