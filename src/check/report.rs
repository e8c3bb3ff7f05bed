//! What was judged, and what came out, as text.

use std::collections::BTreeMap;
use std::fmt;

use super::history::{History, Operation, Outcome};
use super::show;

/// A broken promise, with the fewest operations that show it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which promise, in a few words.
    pub promise: &'static str,
    /// What happened, one sentence per line, then a picture of the operations.
    pub story: Vec<String>,
    /// The lines of the file that contradict each other.
    pub lines: Vec<usize>,
}

impl Violation {
    /// A story of sentences about some operations.
    pub fn new(promise: &'static str, mut story: Vec<String>, operations: &[&Operation]) -> Violation {
        story.push(String::new());
        story.extend(show::timeline(operations));
        let mut lines: Vec<usize> = operations.iter().map(|operation| operation.line).collect();
        lines.sort_unstable();
        Violation { promise, story, lines }
    }
}

/// What a judge decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// What clients saw has an explanation.
    Valid,
    /// It has none.
    Violated(Vec<Violation>),
    /// Not decided; the reason.
    GaveUp(String),
}

/// An object and its verdict.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judged {
    /// Which object: `key "k"`.
    pub subject: String,
    /// What it was judged as, in a word or two, plural.
    pub kind: &'static str,
    /// How many operations it had.
    pub operations: usize,
    pub verdict: Verdict,
}

/// Everything about a history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    workload: String,
    /// Operations by outcome: ok, fail, unknown.
    outcomes: [usize; 3],
    pub judged: Vec<Judged>,
}

impl Report {
    pub(super) fn new(history: &History, judged: Vec<Judged>) -> Report {
        let count = |outcome| history.operations.iter().filter(|operation| operation.outcome == outcome).count();
        let outcomes = [Outcome::Ok, Outcome::Fail, Outcome::Unknown].map(count);
        Report { workload: history.header.workload.clone(), outcomes, judged }
    }

    /// All violations, with what they are about.
    pub fn violations(&self) -> impl Iterator<Item = (&str, &Violation)> {
        self.judged.iter().flat_map(|judged| {
            let violations = match &judged.verdict {
                Verdict::Violated(violations) => violations.as_slice(),
                _ => &[],
            };
            violations.iter().map(|violation| (judged.subject.as_str(), violation))
        })
    }

    /// What was not decided, and why.
    pub fn undecided(&self) -> impl Iterator<Item = (&str, &str)> {
        self.judged.iter().filter_map(|judged| match &judged.verdict {
            Verdict::GaveUp(reason) => Some((judged.subject.as_str(), reason.as_str())),
            _ => None,
        })
    }

    /// Whether everything has an explanation.
    pub fn is_valid(&self) -> bool {
        self.judged.iter().all(|judged| judged.verdict == Verdict::Valid)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        /// Many objects usually break for the same reason.
        const SHOWN_MAX: usize = 10;
        let violations: Vec<_> = self.violations().collect();
        for (subject, violation) in violations.iter().take(SHOWN_MAX) {
            writeln!(f, "VIOLATION of {}: {subject}\n", violation.promise)?;
            for line in &violation.story {
                writeln!(f, "{}", format!("  {line}").trim_end())?;
            }
            writeln!(f)?;
        }
        if violations.len() > SHOWN_MAX {
            writeln!(f, "and {} more violations\n", violations.len() - SHOWN_MAX)?;
        }
        for (subject, reason) in self.undecided() {
            writeln!(f, "GAVE UP on {subject}: {reason}\n")?;
        }
        let [ok, fail, unknown] = self.outcomes;
        if !self.workload.is_empty() {
            write!(f, "{}: ", self.workload)?;
        }
        writeln!(f, "{} operations: {ok} ok, {fail} failed, {unknown} of unknown outcome", ok + fail + unknown)?;
        let mut kinds: BTreeMap<&str, [usize; 4]> = BTreeMap::new();
        for judged in &self.judged {
            let counts = kinds.entry(judged.kind).or_default();
            counts[0] += judged.operations;
            counts[match judged.verdict {
                Verdict::Valid => 1,
                Verdict::Violated(_) => 2,
                Verdict::GaveUp(_) => 3,
            }] += 1;
        }
        for (kind, [operations, valid, violated, undecided]) in kinds {
            write!(f, "{kind} ({operations} operations): {valid} valid, {violated} violated")?;
            writeln!(f, "{}", if undecided > 0 { format!(", {undecided} not decided") } else { String::new() })?;
        }
        let verdict = match (violations.is_empty(), self.undecided().next()) {
            (false, _) => "violated",
            (true, Some(_)) => "not decided",
            (true, None) => "valid",
        };
        write!(f, "verdict: {verdict}")
    }
}
