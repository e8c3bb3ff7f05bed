//! From a long run with a difference to a short one: leaves out ever smaller pieces as long as a difference stays.

use std::time::{Duration, Instant};

use crate::compare::Difference;
use crate::steps::Step;

/// Shrinking ends after this; what is left is printed.
const TIME_MAX: Duration = Duration::from_secs(60);

/// The shortest run found, as a dialogue with the difference at its end.
#[expect(clippy::disallowed_methods, reason = "a bound on the test's own running time")]
pub fn shrink(steps: &[Step], mut run: impl FnMut(&[Step]) -> Option<(usize, Difference)>) -> String {
    let deadline = Instant::now() + TIME_MAX;
    let mut steps = steps.to_vec();
    let Some((_, mut difference)) = run(&steps) else {
        return "the difference did not occur again when the same commands ran once more".into();
    };
    let mut piece = steps.len() / 2;
    while piece > 0 && Instant::now() < deadline {
        let mut start = 0;
        while start < steps.len() && Instant::now() < deadline {
            let mut shorter = steps.clone();
            shorter.drain(start..(start + piece).min(steps.len()));
            match run(&shorter) {
                Some((at, found)) => {
                    shorter.truncate(at + 1);
                    (steps, difference) = (shorter, found);
                }
                None => start += piece,
            }
        }
        piece /= 2;
    }
    let lines: Vec<String> = steps.iter().map(Step::to_string).collect();
    format!("{}\n{difference}", lines.join("\n"))
}
