//! Hands a finished run's history to the judges, family by family.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::check::linear::{self, Verdict};
use super::check::model::Family;
use super::check::replay::{self, Ending};
use super::check::{Operation, Outcome, Request, Violation, mortal, once, optimistic, queue};
use super::client::family_database;
use super::clock::{EPOCH, WALL_OFFSET_MS_MAX};
use super::coverage::Coverage;
use super::workload::{Kind, kind};
use crate::base::Nanos;
use crate::resp::Value;

/// Steps that one family's search may take before it is given up. Histories of this workload need thousands.
const STEPS_MAX: u64 = 3_000_000;
/// Every request ends within the service's 2.5 s, and what scheduling adds here.
pub const ANSWER_NANOS_MAX: u64 = 2_800_000_000;

/// What the judges found.
#[derive(Clone, Debug, Default)]
pub struct Judgement {
    /// Broken promises.
    pub violations: Vec<Violation>,
    /// Families whose search was given up.
    pub undecided: u64,
}

/// Judges everything that clients did. `last` holds the final values by family: those of
/// [`single_families`](super::workload::single_families).
pub fn judge(
    history: &[Operation],
    last: &BTreeMap<u64, Value>,
    noise: Option<&Ending>,
    coverage: &mut Coverage,
) -> Judgement {
    let mut families: BTreeMap<u64, Vec<Operation>> = BTreeMap::new();
    // Positions change when a history is split: where each operation is within its family.
    let mut places = vec![usize::MAX; history.len()];
    for (position, operation) in history.iter().enumerate() {
        cover(operation, coverage);
        if kind(operation.family) == Kind::Noise {
            if operation.end.is_some() {
                let is_block = matches!(operation.request, Request::Transaction(_));
                coverage.saw(if is_block { "noise block" } else { "noise probe" });
            }
            continue;
        }
        let family = families.entry(operation.family).or_default();
        if kind(operation.family) == Kind::Mixed && operation.outcome == Outcome::Refused {
            continue;
        }
        places[position] = family.len();
        let mut operation = operation.clone();
        operation.after = operation.after.map(|after| places[after]).filter(|&after| after != usize::MAX);
        family.push(operation);
    }
    let mut judgement = Judgement::default();
    let model = Family { epoch: EPOCH, wall_error_ms: WALL_OFFSET_MS_MAX };
    for (family, operations) in families {
        let result = match kind(family) {
            Kind::Mixed => match linear::check(&model, &operations, STEPS_MAX) {
                Verdict::Linearizable => Ok(()),
                Verdict::Violated(violation) => Err(violation),
                Verdict::Undecided => {
                    judgement.undecided += 1;
                    Ok(())
                }
            },
            Kind::Tokens => match last.get(&family) {
                Some(Value::Bulk(value)) => once::check_tokens(&operations, value),
                Some(Value::Null) => once::check_tokens(&operations, b""),
                _ => Ok(()),
            },
            Kind::Counter => match last.get(&family) {
                Some(Value::Bulk(value)) => once::check_counter(&operations, number(value)),
                Some(Value::Null) => once::check_counter(&operations, 0),
                _ => Ok(()),
            },
            Kind::Queue => match last.get(&family) {
                Some(Value::Array(left)) => queue::check(&operations, left),
                _ => Ok(()),
            },
            Kind::Optimistic => match last.get(&family) {
                Some(Value::Bulk(value)) => optimistic::check(&operations, number(value)),
                Some(Value::Null) => optimistic::check(&operations, 0),
                _ => Ok(()),
            },
            Kind::Mortal => mortal::check(&operations),
            Kind::Noise => Ok(()),
        };
        judgement.violations.extend(result.err());
    }
    if let Some(end) = noise {
        judgement.violations.extend(replay::check(&noise_steps(history), end).err());
    }
    judgement
}

/// Blocks and probes, each with its database. What a client sends at once is one behind the other in a history.
fn noise_steps(history: &[Operation]) -> Vec<(u8, &[Operation])> {
    let steps = history.chunk_by(|_, next| next.after.is_some());
    let noise = steps.filter(|step| kind(step[0].family) == Kind::Noise);
    noise.map(|step| (family_database(step[0].family), step)).collect()
}

/// Promise 3: an answer within 2.5 s. `excused` says for how long the client's node did not run meanwhile.
pub fn check_answer_time(
    since: Nanos,
    now: Nanos,
    excused: u64,
    what: impl FnOnce() -> String,
) -> Result<(), Violation> {
    let took = now.since(since).as_nanos() as u64;
    if took <= ANSWER_NANOS_MAX + excused {
        return Ok(());
    }
    let line = format!("{}: no answer within {:.3} s", what(), took as f64 / 1e9);
    Err(Violation::new("an answer in time", vec![line]))
}

fn cover(operation: &Operation, coverage: &mut Coverage) {
    match (&operation.outcome, &operation.request) {
        (Outcome::Unknown, _) => coverage.saw("unknown outcome"),
        (Outcome::Refused, _) => coverage.saw("definite error"),
        (Outcome::Aborted, _) => coverage.saw("watch aborted"),
        (Outcome::Replies(_), Request::Transaction(_)) if kind(operation.family) == Kind::Optimistic => {
            coverage.saw("increment under watch");
        }
        (Outcome::Replies(_), Request::Transaction(_)) => coverage.saw("transaction"),
        (Outcome::Replies(replies), Request::Command(words))
            if kind(operation.family) == Kind::Mortal && words[0] == "GET" && replies[..] == [Value::Null] =>
        {
            coverage.saw("key ended");
        }
        (Outcome::Replies(replies), Request::Command(words))
            if words[0] == "PTTL" && matches!(replies.first(), Some(Value::Integer(1..))) =>
        {
            coverage.saw("deadline");
        }
        (Outcome::Replies(replies), Request::Command(words)) if words[0] == "BLPOP" => {
            let found = matches!(replies.first(), Some(Value::Array(_)));
            coverage.saw(if found { "blocked client served" } else { "blocked client out of time" });
        }
        _ => {}
    }
}

fn number(text: &Bytes) -> u64 {
    std::str::from_utf8(text).ok().and_then(|text| text.parse().ok()).unwrap_or(u64::MAX)
}
