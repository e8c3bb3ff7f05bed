//! What a run found, for people and as JSON.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::time::Duration;

use serde_json::{Value, json};

use crate::availability::{Availability, ClientError, Trouble, percentile};
use crate::connection::Failure;
use crate::history::Totals;
use crate::kinds::Kind;
use crate::patience::Longest;
use crate::schedule::Fired;
use crate::subject::Subject;
use crate::workload::Reads;

/// Unavailability is looked for from a fault's beginning to this long after its end.
const AFTERMATH: Duration = Duration::from_secs(2);
/// After a fault ended, clients of its victims may still see what it left: a refused connection, a log that is replayed.
const EXCUSE: Duration = Duration::from_secs(2);
/// A kind that loses writes and fired so often must have torn some.
const TEARS_FROM: u64 = 12;
/// Errors of the server that faults explain: the first word of each. See docs/operations.md of the server.
const EXPECTED: [&str; 5] = ["UNKNOWNOUTCOME", "CLUSTERDOWN", "LOADING", "TRYAGAIN", "EXECABORT"];
/// Upper edges of the histogram's columns in ms; the last has none.
pub const EDGES_MS: [u64; 9] = [50, 100, 200, 400, 600, 800, 1200, 2500, 5000];

/// Everything about a run.
pub struct Report {
    pub seed: u64,
    pub subject: Subject,
    pub stage: String,
    pub settings: Vec<(String, String)>,
    pub seconds: f64,
    pub totals: Totals,
    /// Kinds that were to be played, by how often they fired, had an effect, and how long no write was acknowledged.
    pub kinds: BTreeMap<Kind, Row>,
    pub unavailable: Vec<(Kind, String)>,
    /// Kinds of errors that clients saw, and how many of each.
    pub errors: BTreeMap<String, u64>,
    /// The longest wait for an answer that no fault of the client's own node or connection explains.
    pub longest_wait: Option<Longest>,
    /// How often keys with far deadlines were read when only one answer can be right.
    pub lasting: Reads,
    /// What must not be: each fails the run.
    pub violations: Vec<String>,
    /// What the judge of the history said.
    pub verdict: String,
}

/// What does not fail a run.
#[derive(Clone, Copy, Debug, Default)]
pub struct Allowed {
    /// Kinds that this machine or wiring cannot do.
    pub missing: bool,
    /// Kinds that fired and had no effect, as in a short run.
    pub no_effect: bool,
}

/// A kind of fault in the report.
#[derive(Clone, Debug, Default)]
pub struct Row {
    pub fired: u64,
    pub effects: u64,
    /// Writes that were torn.
    pub torn: u64,
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
            row.torn += done.torn;
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
            let (kind, expected) = classify(&error.what);
            *kinds.entry(kind).or_insert(0) += 1;
            if !expected && unexpected.len() < 20 {
                unexpected.push(format!(
                    "node {} answered at {:.3} s: {}",
                    error.node,
                    error.at as f64 / 1e9,
                    error.what
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
            format!("a client of node {}, which no fault had hit, saw at {at:.3} s: {}", error.node, error.what)
        };
        errors.iter().filter(|error| !excused(error)).map(told).take(20).collect()
    }

    /// What was wrong. What is allowed is told by the report all the same.
    pub fn failures(&self, allowed: Allowed) -> Vec<String> {
        let mut failures = self.violations.clone();
        for (kind, row) in &self.kinds {
            let Row { fired, effects, torn, .. } = row;
            if *fired == 0 {
                failures.push(format!("{kind} never fired"));
            } else if *effects == 0 && !allowed.no_effect {
                failures.push(format!("{kind} fired {fired} times and never had an effect (--allow-no-effect)"));
            } else if kind.loses_writes() && *fired >= TEARS_FROM && *torn == 0 {
                failures.push(format!("{kind} fired {fired} times and never tore a write"));
            }
        }
        if !allowed.missing {
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
        let _ = writeln!(text, "server: {}", self.subject);
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
        for (kind, row) in self.kinds.iter().filter(|(kind, _)| kind.loses_writes()) {
            let _ = writeln!(text, "{kind} tore {} writes", row.torn);
        }
        for (kind, why) in &self.unavailable {
            let _ = writeln!(text, "not available here: {kind}, because {why}");
        }
        let _ = writeln!(text, "\nerrors that clients saw:");
        for (error, count) in &self.errors {
            let _ = writeln!(text, "{count:>8}  {error}");
        }
        if let Some(Longest { ms, node, at_s }) = self.longest_wait {
            let told = format!("{ms:.0} ms, at node {node} from {at_s:.3} s on");
            let _ = writeln!(text, "\nlongest answer without a fault of its node or connection: {told}");
        }
        let Reads { before, after } = self.lasting;
        let _ = writeln!(text, "keys with far deadlines: read {before} times before them, {after} times after them");
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
                (
                    kind.name().to_owned(),
                    json!({"fired": row.fired, "effects": row.effects, "torn": row.torn, "gaps_ms": gaps}),
                )
            })
            .collect();
        let unavailable: Vec<_> =
            self.unavailable.iter().map(|(kind, why)| json!({"kind": kind.name(), "why": why})).collect();
        json!({
            "seed": self.seed,
            "server": self.subject,
            "stage": self.stage,
            "settings": self.settings,
            "seconds": self.seconds,
            "operations": self.totals,
            "faults": kinds,
            "unavailable": unavailable,
            "errors": self.errors,
            "longest_wait_ms": self.longest_wait.map(|longest| longest.ms),
            "far_deadlines": {"read_before": self.lasting.before, "read_after": self.lasting.after},
            "verdict": self.verdict,
            "violations": self.violations,
        })
    }
}

/// The kind of an error, and whether a client may see it at all while faults are played.
fn classify(what: &Trouble) -> (String, bool) {
    match what {
        Trouble::Told(text) if is_expected(text) => (text.clone(), true),
        Trouble::Told(text) => (format!("unexpected: {text}"), false),
        Trouble::Connection(Failure::Lost(_)) => ("connection lost".to_owned(), true),
        Trouble::Connection(Failure::Unreached(_)) => ("no connection".to_owned(), true),
        // Whether it was late or stopped is judged elsewhere.
        Trouble::Connection(failure @ (Failure::Full | Failure::Silent)) => (failure.to_string(), true),
        Trouble::Connection(failure @ (Failure::Rejected(_) | Failure::Nonsense(_))) => {
            (format!("unexpected: {failure}"), false)
        }
    }
}

fn is_expected(text: &str) -> bool {
    text.split(' ').next().is_some_and(|code| EXPECTED.contains(&code))
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

    fn told(at: u64, node: usize, text: &str) -> ClientError {
        ClientError { at: at * 1_000_000_000, node, what: Trouble::Told(text.to_owned()) }
    }

    fn broken(failure: Failure) -> ClientError {
        ClientError { at: 0, node: 1, what: Trouble::Connection(failure) }
    }

    fn report(kinds: &[(Kind, Row)], unavailable: Vec<(Kind, String)>) -> Report {
        Report {
            seed: 1,
            subject: Subject { version: "holdfast 1.2.3".into(), digest: "sha256:abc".into(), revision: None },
            stage: "3 nodes".into(),
            settings: Vec::new(),
            seconds: 1.0,
            totals: Totals::default(),
            kinds: kinds.iter().cloned().collect(),
            unavailable,
            errors: BTreeMap::new(),
            longest_wait: None,
            lasting: Reads::default(),
            violations: Vec::new(),
            verdict: "valid".into(),
        }
    }

    #[test]
    fn errors_are_grouped_and_odd_ones_found() {
        let errors = [
            told(1, 1, "CLUSTERDOWN The cluster is down"),
            broken(Failure::Lost("reset".into())),
            broken(Failure::Lost("closed by the server".into())),
            told(4, 2, "ERR value is not an integer"),
        ];
        let (kinds, unexpected) = Report::errors(&errors);
        assert_eq!(kinds.len(), 3);
        assert_eq!(kinds["connection lost"], 2);
        assert_eq!(unexpected, ["node 2 answered at 4.000 s: ERR value is not an integer"]);
    }

    #[test]
    fn an_error_is_expected_for_what_it_is_and_not_for_how_it_begins() {
        for text in
            ["UNKNOWNOUTCOME the outcome of this command is unknown", "EXECABORT Transaction discarded", "LOADING"]
        {
            assert!(classify(&Trouble::Told(text.into())).1, "{text}");
        }
        for text in ["the server is confused", "no", "connection lost", "CLUSTERDOWNER", "LOADING: x", ""] {
            assert!(!classify(&Trouble::Told(text.into())).1, "{text}");
        }
        let failure = |failure| classify(&Trouble::Connection(failure)).1;
        assert!(!failure(Failure::Rejected("-ERR unknown command 'HELLO'".into())));
        assert!(!failure(Failure::Nonsense("a reply starts with 'H'".into())));
        assert!(failure(Failure::Silent) && failure(Failure::Full) && failure(Failure::Unreached("refused".into())));
    }

    #[test]
    fn what_is_missing_and_what_has_no_effect_are_allowed_apart() {
        let row = |fired, effects| Row { fired, effects, ..Row::default() };
        let report =
            report(&[(Kind::KillAll, row(3, 0)), (Kind::Ring, row(2, 1))], vec![(Kind::ClockOffset, "no cc".into())]);
        let failures = |missing, no_effect| report.failures(Allowed { missing, no_effect });
        assert_eq!(failures(true, true), [""; 0]);
        assert!(matches!(&failures(true, false)[..], [one] if one.starts_with("kill-all fired 3 times and never had")));
        assert!(matches!(&failures(false, true)[..], [one] if one.starts_with("clock-offset is not available here")));
        assert_eq!(failures(false, false).len(), 2);
    }

    #[test]
    fn what_never_fired_or_never_tore_a_write_is_never_allowed() {
        let all = Allowed { missing: true, no_effect: true };
        let failures = |kind, fired, torn| {
            let row = Row { fired, effects: fired, torn, ..Row::default() };
            report(&[(kind, row)], Vec::new()).failures(all)
        };
        assert_eq!(failures(Kind::Halves, 0, 0), ["halves never fired"]);
        assert_eq!(failures(Kind::PowerCutAll, 12, 0), ["power-cut-all fired 12 times and never tore a write"]);
        for (kind, fired, torn) in [(Kind::PowerCutAll, 11, 0), (Kind::LostWrites, 12, 1), (Kind::KillAll, 12, 0)] {
            assert_eq!(failures(kind, fired, torn), [""; 0], "{kind}");
        }
    }

    #[test]
    fn a_report_names_the_server() {
        let report = report(&[], Vec::new());
        assert!(report.text().contains("server: holdfast 1.2.3, sha256 abc\n"), "{}", report.text());
        assert_eq!(report.json()["server"]["digest"], "sha256:abc");
    }

    #[test]
    fn only_victims_excuse_errors() {
        let done = Done {
            victims: [1].into(),
            from: 10_000_000_000,
            to: 12_000_000_000,
            effect: true,
            torn: 0,
            note: String::new(),
        };
        let fired = [Fired { kind: Kind::KillLeader, done }];
        let errors = [told(11, 1, "a"), told(13, 1, "b"), told(15, 1, "c"), told(11, 2, "d"), told(9, 1, "e")];
        let told = Report::at_survivors(&errors, &fired);
        assert_eq!(told.iter().map(|line| line.chars().next_back().unwrap()).collect::<String>(), "cde");
    }

    #[test]
    fn a_histogram_has_a_last_column_without_an_edge() {
        assert_eq!(histogram(&[0, 49, 50, 4999, 5000, 99_999]), [2, 1, 0, 0, 0, 0, 0, 0, 1, 2]);
    }
}
