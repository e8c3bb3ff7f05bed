//! Delays worth noticing: LATENCY and its words. Whatever takes as long as `latency-monitor-threshold` says is kept as a
//! sample of its event, the worst one of each second, for as many seconds as there is room.
//!
//! | event | what took long |
//! |---|---|
//! | `command`, `fast-command` | from a complete request to its reply, the majority's fsync included; by the flag `fast` |
//! | `aof-fsync-always` | one synchronous write of the Raft log, Redis's name for what comes nearest |
//! | `state-flush` | making the state durable; nothing waits for it but the log's space |
//!
//! Invariant: with the threshold at 0, as at first, an event costs one relaxed load.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;

use super::words::{help, is, wrong_words};
use super::{Service, sparkline};
use crate::base::Millis;
use crate::resp::Value;

/// Samples that an event keeps, as Redis does.
const SAMPLES_MAX: usize = 160;
/// Columns of a graph.
const COLUMNS: usize = 80;

/// A slow write of the Raft log.
pub const FSYNC: &str = "aof-fsync-always";
/// A slow flush of the state.
pub const FLUSH: &str = "state-flush";

/// What was noticed on this node.
#[derive(Debug, Default)]
pub struct Latency {
    /// Milliseconds from which something is noticed, 0 for never.
    threshold: AtomicU64,
    events: Mutex<BTreeMap<&'static str, Series>>,
}

/// The samples of one event.
#[derive(Clone, Debug, Default)]
struct Series {
    /// Seconds since the Unix epoch, ascending, and milliseconds.
    samples: VecDeque<(u64, u64)>,
    /// The most milliseconds ever.
    worst: u64,
}

impl Latency {
    /// Changes from how many milliseconds on something is noticed.
    pub(super) fn set_threshold(&self, millis: u64) {
        self.threshold.store(millis, Relaxed);
    }

    /// Whether something that took so long is noticed.
    pub(super) fn notices(&self, took: Duration) -> bool {
        let threshold = self.threshold.load(Relaxed);
        threshold > 0 && took.as_millis() as u64 >= threshold
    }

    /// Something took so long; `now` is its end.
    pub fn note(&self, event: &'static str, took: Duration, now: Millis) {
        if self.notices(took) {
            self.events.lock().entry(event).or_default().add(now.0 / 1000, took.as_millis() as u64);
        }
    }

    fn series(&self, event: &[u8]) -> Option<(&'static str, Series)> {
        let events = self.events.lock();
        let name = events.keys().find(|name| name.as_bytes() == event)?;
        Some((*name, events[name].clone()))
    }

    /// Forgets these events, or all; returns how many there were.
    fn reset(&self, names: &[Bytes]) -> usize {
        let mut events = self.events.lock();
        let before = events.len();
        events.retain(|name, _| !(names.is_empty() || names.iter().any(|given| given == name.as_bytes())));
        before - events.len()
    }
}

impl Series {
    fn add(&mut self, second: u64, millis: u64) {
        self.worst = self.worst.max(millis);
        match self.samples.back_mut() {
            Some((last, worst)) if *last == second => *worst = millis.max(*worst),
            _ => {
                if self.samples.len() == SAMPLES_MAX {
                    self.samples.pop_front();
                }
                self.samples.push_back((second, millis));
            }
        }
    }

    fn graph(&self, event: &str, now: u64) -> String {
        let millis = || self.samples.iter().map(|(_, millis)| *millis);
        let (high, low) = (millis().max().unwrap_or(0), millis().min().unwrap_or(0));
        let columns: Vec<(u64, String)> =
            self.samples.iter().map(|(second, millis)| (*millis, age(now.saturating_sub(*second)))).collect();
        format!(
            "{event} - high {high} ms, low {low} ms (all time high {} ms)\n{}\n{}",
            self.worst,
            "-".repeat(COLUMNS),
            sparkline::filled(&columns, COLUMNS)
        )
    }

    /// One line for DOCTOR.
    fn describe(&self, event: &str) -> String {
        let count = self.samples.len() as u64;
        let sum: u64 = self.samples.iter().map(|(_, millis)| millis).sum();
        let span = match (self.samples.front(), self.samples.back()) {
            (Some((first, _)), Some((last, _))) => last - first,
            _ => 0,
        };
        format!(
            "{event}: {count} slow seconds within {span} s, {} ms on average, {} ms at worst.\n",
            sum / count.max(1),
            self.worst
        )
    }
}

/// How long ago, in the largest unit that fits.
fn age(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3_600 => format!("{}m", seconds / 60),
        3_600..86_400 => format!("{}h", seconds / 3_600),
        _ => format!("{}d", seconds / 86_400),
    }
}

impl Service {
    /// `LATENCY subcommand ...`
    pub(super) fn latency(&self, args: &[Bytes]) -> Value {
        let number = |number: u64| Value::Integer(number as i64);
        match (args[1].to_ascii_lowercase().as_slice(), &args[2..]) {
            (b"latest", []) => {
                let events = self.latency.events.lock();
                let rows = events.iter().filter_map(|(name, series)| {
                    let (second, millis) = *series.samples.back()?;
                    let row = [Value::bulk(*name), number(second), number(millis), number(series.worst)];
                    Some(Value::Array(row.to_vec()))
                });
                Value::Array(rows.collect())
            }
            (b"history", [event]) => {
                let samples = self.latency.series(event).map(|(_, series)| series.samples).unwrap_or_default();
                let row = |(second, millis)| Value::Array(vec![number(second), number(millis)]);
                Value::Array(samples.into_iter().map(row).collect())
            }
            (b"reset", events) => Value::Integer(self.latency.reset(events) as i64),
            (b"graph", [event]) => match self.latency.series(event) {
                Some((name, series)) => Value::Verbatim("txt", series.graph(name, self.node.now().0 / 1000).into()),
                None => Value::error_with(&[b"ERR No samples available for event '", event, b"'"]),
            },
            (b"doctor", []) => Value::Verbatim("txt", self.latency_doctor().into()),
            (b"histogram", names) => self.histograms(names),
            (b"help", _) => help("LATENCY", HELP),
            _ => wrong_words(args),
        }
    }

    fn latency_doctor(&self) -> String {
        let events = self.latency.events.lock().clone();
        let lines: String = events.iter().map(|(name, series)| series.describe(name)).collect();
        let advice = [
            ("command", "SLOWLOG GET shows which commands took long, and LATENCY HISTOGRAM how many of each.\n"),
            (
                FSYNC,
                "Writes wait for the disk of the log on a majority of the nodes: a slow one shows in the metrics.\n",
            ),
        ];
        let advice = advice.iter().filter(|(event, _)| events.keys().any(|name| name.ends_with(event)));
        match (lines.is_empty(), self.latency.threshold.load(Relaxed)) {
            (true, 0) => {
                "Nothing is being watched: CONFIG SET latency-monitor-threshold says from how many milliseconds on a \
                          delay is kept.\n"
                    .into()
            }
            (true, millis) => format!("Nothing took {millis} ms or longer.\n"),
            _ => lines + &advice.map(|(_, advice)| *advice).collect::<String>(),
        }
    }

    /// How many calls took how long, per command.
    fn histograms(&self, names: &[Bytes]) -> Value {
        let wanted = |name: &str| {
            names.is_empty()
                || names.iter().any(|given| is(given, name) || name.split('|').next().is_some_and(|n| is(given, n)))
        };
        let mut pairs = Vec::new();
        for (index, spec) in self.commands().enumerate().filter(|(_, spec)| wanted(spec.name)) {
            let total = self.stats.command(index);
            if total.calls == 0 {
                continue;
            }
            let steps = total.cumulative().into_iter();
            let steps = steps.map(|(bound, calls)| (Value::Integer(bound as i64), Value::Integer(calls as i64)));
            pairs.push((
                Value::bulk(spec.name),
                Value::Map(vec![
                    (Value::bulk("calls"), Value::Integer(total.calls as i64)),
                    (Value::bulk("histogram_usec"), Value::Map(steps.collect())),
                ]),
            ));
        }
        Value::Map(pairs)
    }
}

const HELP: &[&str] = &[
    "DOCTOR",
    "    What was slow on this node, in words.",
    "GRAPH <event>",
    "    The samples of an event as a drawing.",
    "HISTOGRAM [<command> ...]",
    "    How many calls took at most how many microseconds.",
    "HISTORY <event>",
    "    The samples of an event: time and milliseconds.",
    "LATEST",
    "    The newest sample of each event, and the worst ever.",
    "RESET [<event> ...]",
    "    Forget events, all unless told.",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn note(latency: &Latency, second: u64, millis: u64) {
        latency.note("command", Duration::from_millis(millis), Millis(second * 1000 + 999));
    }

    #[test]
    fn only_what_reaches_the_threshold_is_kept() {
        let latency = Latency::default();
        note(&latency, 1, 5_000);
        latency.set_threshold(10);
        note(&latency, 2, 9);
        assert!(latency.series(b"command").is_none());
        note(&latency, 3, 10);
        assert_eq!(latency.series(b"command").unwrap().1.samples, [(3, 10)]);
        assert_eq!(latency.reset(&["other".into()]), 0);
        assert_eq!(latency.reset(&[]), 1);
    }

    #[test]
    fn a_second_keeps_its_worst_and_an_event_its_newest_seconds() {
        let latency = Latency::default();
        latency.set_threshold(1);
        for (second, millis) in [(1, 7), (1, 900), (1, 8)].into_iter().chain((2..200).map(|second| (second, 5))) {
            note(&latency, second, millis);
        }
        let (_, series) = latency.series(b"command").unwrap();
        assert_eq!((series.samples.len(), series.samples[0], series.worst), (SAMPLES_MAX, (40, 5), 900));
    }

    /// What a redis-server drew for these samples.
    #[test]
    fn graphs_are_redis_graphs() {
        let mut series = Series::default();
        for (second, millis) in [(100, 200), (101, 400), (102, 1100)] {
            series.add(second, millis);
        }
        let expected = format!(
            "command - high 1100 ms, low 200 ms (all time high 1100 ms)\n{}\n  #\n  |\n  |\n_#|\n   \n210\nsss\n",
            "-".repeat(80)
        );
        assert_eq!(series.graph("command", 102), expected);
        assert_eq!([59, 61, 7_300, 200_000].map(age), ["59s", "1m", "2h", "2d"]);
    }
}
