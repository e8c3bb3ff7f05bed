//! Whether answers came in time. The server promises one within 2.5 s, whatever became of the other nodes and of the links
//! between them, and be it that the outcome is unknown. What was done to the client's own node or connection meanwhile is taken
//! off, and so is the time in which the runner itself did not get a processor.

use std::convert::Infallible;
use std::sync::Mutex;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::history::{History, lock};
use crate::schedule::Fired;

/// What is promised, and a little for the way there and back.
const PROMISE: Duration = Duration::from_millis(2800);
/// Shorter waits are not worth remembering.
const WORTHWHILE: Duration = Duration::from_millis(100);
/// What was held back by a fault of the link may still be on its way so long after it.
const AFTERMATH: Duration = Duration::from_millis(500);
/// The runner looks so often whether it still gets a processor; what it oversleeps by more than this counts.
const NAP: Duration = Duration::from_millis(20);
const OVERSLEPT: Duration = Duration::from_millis(30);
/// A run that fails for this fails for all: more would not be read.
const TOLD_MAX: usize = 10;

/// A time in nanoseconds of the history's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Span {
    from: u64,
    to: u64,
}

/// From a command, or the answer before, to an answer, or to where the client gave up.
#[derive(Clone, Copy, Debug)]
struct Wait {
    node: usize,
    span: Span,
}

/// All waits of a run that are worth remembering.
#[derive(Default)]
pub struct Patience {
    waits: Mutex<Vec<Wait>>,
    /// When the runner stood still.
    stood_still: Mutex<Vec<Span>>,
}

/// The longest wait that nothing excuses.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Longest {
    pub ms: f64,
    pub node: usize,
    /// When it began, in seconds of the run.
    pub at_s: f64,
}

impl Patience {
    /// Somebody waited at a node.
    pub fn waited(&self, node: usize, from: u64, to: u64) {
        if to.saturating_sub(from) >= WORTHWHILE.as_nanos() as u64 {
            lock(&self.waits).push(Wait { node, span: Span { from, to } });
        }
    }

    /// Notes when the runner stands still. It never ends.
    pub async fn watch_runner(&self, history: &History) -> Infallible {
        loop {
            let (from, begun) = (history.now(), Instant::now());
            sleep(NAP).await;
            if begun.elapsed() > NAP + OVERSLEPT {
                lock(&self.stood_still).push(Span { from, to: history.now() });
            }
        }
    }

    /// The longest wait without an excuse, and a sentence for each that is longer than what is promised.
    pub fn judge(&self, fired: &[Fired]) -> (Option<Longest>, Vec<String>) {
        let stood_still = lock(&self.stood_still).clone();
        let mut longest: Option<Longest> = None;
        let mut late = Vec::new();
        for Wait { node, span } in lock(&self.waits).iter() {
            let at_node = fired.iter().filter(|f| f.kind.stops_its_victims() && f.done.victims.contains(node));
            let touched = at_node.map(|f| Span { from: f.done.from, to: f.done.to + AFTERMATH.as_nanos() as u64 });
            let excuses: Vec<Span> = touched.chain(stood_still.iter().copied()).collect();
            let waited = span.to.saturating_sub(span.from).saturating_sub(covered(*span, &excuses));
            let ms = waited as f64 / 1e6;
            if longest.is_none_or(|longest| ms > longest.ms) {
                longest = Some(Longest { ms, node: *node, at_s: span.from as f64 / 1e9 });
            }
            if waited > PROMISE.as_nanos() as u64 && late.len() < TOLD_MAX {
                late.push(format!(
                    "a client of node {node} waited from {:.3} s to {:.3} s for an answer, {ms:.0} ms of it without a fault \
                     of its node or connection; an answer is promised within 2500 ms",
                    span.from as f64 / 1e9,
                    span.to as f64 / 1e9
                ));
            }
        }
        (longest, late)
    }
}

/// How much of a span others cover, together.
fn covered(span: Span, others: &[Span]) -> u64 {
    let clipped = others.iter().map(|other| Span { from: other.from.max(span.from), to: other.to.min(span.to) });
    let mut parts: Vec<Span> = clipped.filter(|part| part.from < part.to).collect();
    parts.sort_unstable();
    let (mut sum, mut end) = (0, span.from);
    for part in parts {
        let from = part.from.max(end);
        sum += part.to.saturating_sub(from);
        end = end.max(part.to);
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::faults::Done;
    use crate::kinds::Kind;

    const SECOND: u64 = 1_000_000_000;

    fn fired(kind: Kind, node: usize, from: u64, to: u64) -> Fired {
        let done = Done {
            victims: [node].into(),
            from: from * SECOND,
            to: to * SECOND,
            effect: true,
            torn: 0,
            note: String::new(),
        };
        Fired { kind, done }
    }

    fn waited(node: usize, from: u64, to: u64) -> Patience {
        let patience = Patience::default();
        patience.waited(node, from * SECOND, to * SECOND);
        patience
    }

    #[test]
    fn an_answer_that_comes_late_without_a_fault_is_told() {
        let (longest, late) = waited(2, 10, 13).judge(&[]);
        assert_eq!(longest, Some(Longest { ms: 3000.0, node: 2, at_s: 10.0 }));
        assert!(
            late.len() == 1 && late[0].starts_with("a client of node 2 waited from 10.000 s to 13.000 s"),
            "{late:?}"
        );
        assert!(waited(2, 10, 12).judge(&[]).1.is_empty());
        assert_eq!(Patience::default().judge(&[]), (None, Vec::new()));
    }

    #[test]
    fn only_what_stops_the_own_node_or_connection_excuses() {
        let patience = waited(1, 10, 18);
        let late = |fired: &[Fired]| patience.judge(fired).1.len();
        assert_eq!(late(&[fired(Kind::PauseRandom, 1, 11, 17)]), 0, "8 s, 6.5 of them excused");
        assert_eq!(late(&[fired(Kind::PauseRandom, 1, 11, 13)]), 1, "2.5 s excuse too little");
        assert_eq!(late(&[fired(Kind::PauseRandom, 2, 9, 19)]), 1, "another node");
        assert_eq!(late(&[fired(Kind::Halves, 1, 9, 19)]), 1, "cut off, it can still say that it does not know");
        assert_eq!(late(&[fired(Kind::ClientStall, 1, 9, 19)]), 0);
        let both = [fired(Kind::PauseRandom, 1, 10, 14), fired(Kind::ClientStall, 1, 12, 15)];
        assert_eq!(patience.judge(&both).0.map(|longest| longest.ms), Some(2500.0), "what both cover counts once");
    }

    #[test]
    fn a_runner_that_stands_still_excuses_everybody() {
        let patience = waited(3, 10, 13);
        lock(&patience.stood_still).push(Span { from: 11 * SECOND, to: 12 * SECOND });
        assert_eq!(patience.judge(&[]).0.map(|longest| longest.ms), Some(2000.0));
    }
}
