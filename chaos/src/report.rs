//! What a run found, for people and as JSON.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::time::Duration;

use serde_json::{Value, json};

use crate::availability::{Availability, ClientError, percentile};
use crate::history::Totals;
use crate::kinds::Kind;
use crate::schedule::Fired;

/// Unavailability is looked for from a fault's beginning to this long after its end.
const AFTERMATH: Duration = Duration::from_secs(2);
/// After a fault ended, clients of its victims may still see what it left: a refused connection, a log that is replayed.
const EXCUSE: Duration = Duration::from_secs(2);
/// Upper edges of the histogram's columns in ms; the last has none.
pub const EDGES_MS: [u64; 9] = [50, 100, 200, 400, 600, 800, 1200, 2500, 5000];

/// Everything about a run.
pub struct Report {
    pub seed: u64,
    pub stage: String,
    pub settings: Vec<(String, String)>,
    pub seconds: f64,
    pub totals: Totals,
    /// Kinds that were to be played, by how often they fired, had an effect, and how long no write was acknowledged.
    pub kinds: BTreeMap<Kind, Row>,
    pub unavailable: Vec<(Kind, String)>,
    /// Kinds of errors that clients saw, and how many of each.
    pub errors: BTreeMap<String, u64>,
    /// What must not be: each fails the run.
    pub violations: Vec<String>,
    /// What the judge of the history said.
    pub verdict: String,
}

/// A kind of fault in the report.
#[derive(Clone, Debug, Default)]
pub struct Row {
    pub fired: u64,
    pub effects: u64,
    pub gaps: Vec<Duration>,
}

impl Report {
    /// Counts what was played.
    pub fn rows(kinds: &[Kind], fired: &[Fired], availability: &Availability, nodes: &[usize]) -> BTreeMap<Kind, Row> {
        let mut rows: BTreeMap<Kind, Row> = kinds.iter().map(|kind| (*kind, Row::default())).collect();
        for Fired { kind, done } in fired {
            let row = rows.entry(*kind).or_default();
            row.fired += 1;
            row.effects += u64::from(done.effect);
            let survivors: BTreeSet<usize> =
                nodes.iter().copied().filter(|node| !done.victims.contains(node)).collect();
            // Where everybody is hit, whoever acknowledges first ends the gap.
            let watched = if survivors.is_empty() { nodes.iter().copied().collect() } else { survivors };
            let to = done.to + AFTERMATH.as_nanos() as u64;
            row.gaps.push(availability.longest_gap(done.from, to, &watched).length());
        }
        rows
    }

    /// Groups errors by what matters of their text, and finds those that no client may ever see.
    pub fn errors(errors: &[ClientError]) -> (BTreeMap<String, u64>, Vec<String>) {
        let (mut kinds, mut unexpected) = (BTreeMap::new(), Vec::new());
        for error in errors {
            let (kind, expected) = classify(&error.text);
            *kinds.entry(kind).or_insert(0) += 1;
            if !expected && unexpected.len() < 20 {
                unexpected.push(format!(
                    "node {} answered at {:.3} s: {}",
                    error.node,
                    error.at as f64 / 1e9,
                    error.text
                ));
            }
        }
        (kinds, unexpected)
    }

    /// Errors at clients of nodes that no fault had hit just then.
    pub fn at_survivors(errors: &[ClientError], fired: &[Fired]) -> Vec<String> {
        let excuse = EXCUSE.as_nanos() as u64;
        let excused = |error: &&ClientError| {
            fired.iter().any(|Fired { done, .. }| {
                done.victims.contains(&error.node) && error.at >= done.from && error.at <= done.to + excuse
            })
        };
        let told = |error: &ClientError| {
            let at = error.at as f64 / 1e9;
            format!("a client of node {}, which no fault had hit, saw at {at:.3} s: {}", error.node, error.text)
        };
        errors.iter().filter(|error| !excused(error)).map(told).take(20).collect()
    }

    /// What was wrong. With `allow_missing` a kind may be unavailable, or fire without an effect, as in a short run; the
    /// report tells either.
    pub fn failures(&self, allow_missing: bool) -> Vec<String> {
        let mut failures = self.violations.clone();
        for (kind, row) in &self.kinds {
            if row.fired == 0 || row.effects == 0 && !allow_missing {
                failures.push(format!("{kind} fired {} times and never had an effect", row.fired));
            }
        }
        if !allow_missing {
            let told = |(kind, why): &(Kind, String)| {
                format!("{kind} is not available here: {why} (--allow-missing lets it pass)")
            };
            failures.extend(self.unavailable.iter().map(told));
        }
        failures
    }

    /// For people.
    pub fn text(&self) -> String {
        let mut text = String::new();
        let Totals { ok, fail, unknown } = self.totals;
        // Writing to a string cannot fail.
        let _ = writeln!(text, "seed {}: {:.0} s, {}", self.seed, self.seconds, self.stage);
        if !self.settings.is_empty() {
            let settings: Vec<_> = self.settings.iter().map(|(name, value)| format!("{name}={value}")).collect();
            let _ = writeln!(text, "settings: {}", settings.join(" "));
        }
        let _ = writeln!(text, "{} operations: {ok} ok, {fail} failed, {unknown} unknown", ok + fail + unknown);
        let _ = writeln!(text, "\n{:<16} {:>6} {:>7} {:>26}", "fault", "fired", "effect", "no write acknowledged, ms");
        let _ = writeln!(text, "{:<16} {:>6} {:>7} {:>8} {:>8} {:>8}", "", "", "", "p50", "p99", "max");
        for (kind, row) in &self.kinds {
            let ms =
                |percent| percentile(&row.gaps, percent).map_or_else(|| "-".into(), |gap| gap.as_millis().to_string());
            let (fired, effects) = (row.fired, row.effects);
            let _ =
                writeln!(text, "{kind:<16} {fired:>6} {effects:>7} {:>8} {:>8} {:>8}", ms(50.0), ms(99.0), ms(100.0));
        }
        for (kind, why) in &self.unavailable {
            let _ = writeln!(text, "not available here: {kind}, because {why}");
        }
        let _ = writeln!(text, "\nerrors that clients saw:");
        for (error, count) in &self.errors {
            let _ = writeln!(text, "{count:>8}  {error}");
        }
        let _ = writeln!(text, "\njudge: {}", self.verdict);
        let _ = writeln!(text, "{} violations", self.violations.len());
        text
    }

    /// For programs; the picture is drawn from it.
    pub fn json(&self) -> Value {
        let kinds: serde_json::Map<String, Value> = self
            .kinds
            .iter()
            .map(|(kind, row)| {
                let gaps: Vec<u128> = row.gaps.iter().map(Duration::as_millis).collect();
                (kind.name().to_owned(), json!({"fired": row.fired, "effects": row.effects, "gaps_ms": gaps}))
            })
            .collect();
        let unavailable: Vec<_> =
            self.unavailable.iter().map(|(kind, why)| json!({"kind": kind.name(), "why": why})).collect();
        json!({
            "seed": self.seed,
            "stage": self.stage,
            "settings": self.settings,
            "seconds": self.seconds,
            "operations": self.totals,
            "faults": kinds,
            "unavailable": unavailable,
            "errors": self.errors,
            "verdict": self.verdict,
            "violations": self.violations,
        })
    }
}

/// The kind of an error, and whether a client may see it at all while faults are played.
fn classify(text: &str) -> (String, bool) {
    let first = text.split([' ', ':']).next().unwrap_or("");
    match first {
        "UNKNOWNOUTCOME" | "CLUSTERDOWN" | "LOADING" | "TRYAGAIN" | "EXECABORT" => (text.to_owned(), true),
        "connection" => ("connection lost".to_owned(), true),
        "no" if text.starts_with("no connection") => ("no connection".to_owned(), true),
        "no" => (text.to_owned(), true),
        "the" => (text.to_owned(), true),
        _ => (format!("unexpected: {text}"), false),
    }
}

/// How many gaps fall into each column of the histogram.
pub fn histogram(gaps_ms: &[u64]) -> [usize; EDGES_MS.len() + 1] {
    let mut columns = [0; EDGES_MS.len() + 1];
    for gap in gaps_ms {
        columns[EDGES_MS.iter().position(|edge| gap < edge).unwrap_or(EDGES_MS.len())] += 1;
    }
    columns
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::faults::Done;

    fn error(at: u64, node: usize, text: &str) -> ClientError {
        ClientError { at: at * 1_000_000_000, node, text: text.to_owned() }
    }

    #[test]
    fn errors_are_grouped_and_odd_ones_found() {
        let errors = [
            error(1, 1, "CLUSTERDOWN The cluster is down"),
            error(2, 1, "connection lost: reset"),
            error(3, 1, "connection closed by the server"),
            error(4, 2, "ERR value is not an integer"),
        ];
        let (kinds, unexpected) = Report::errors(&errors);
        assert_eq!(kinds.len(), 3);
        assert_eq!(kinds["connection lost"], 2);
        assert_eq!(unexpected, ["node 2 answered at 4.000 s: ERR value is not an integer"]);
    }

    #[test]
    fn only_victims_excuse_errors() {
        let done =
            Done { victims: [1].into(), from: 10_000_000_000, to: 12_000_000_000, effect: true, note: String::new() };
        let fired = [Fired { kind: Kind::KillLeader, done }];
        let errors = [error(11, 1, "a"), error(13, 1, "b"), error(15, 1, "c"), error(11, 2, "d"), error(9, 1, "e")];
        let told = Report::at_survivors(&errors, &fired);
        assert_eq!(told.iter().map(|line| line.chars().next_back().unwrap()).collect::<String>(), "cde");
    }

    #[test]
    fn a_histogram_has_a_last_column_without_an_edge() {
        assert_eq!(histogram(&[0, 49, 50, 4999, 5000, 99_999]), [2, 1, 0, 0, 0, 0, 0, 0, 1, 2]);
    }
}
