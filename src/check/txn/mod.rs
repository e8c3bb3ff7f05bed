//! List-append transactions: strict serializability by the method of Elle (Kingsbury and Alvaro, "Elle: inferring
//! isolation anomalies from experimental observations", VLDB 2020).
//!
//! Every element is appended once, so a list that was read tells in which order its elements were appended, and by
//! whom: the order of versions ([`versions`]). From it follow dependencies between transactions ([`graph`]): who
//! appended after whom (ww), who read whose append (wr), who read before whose append (rw); and who ended before who
//! began. If there is an order that explains everything, these point along it, so a circle is a contradiction.
//! Anomalies are named as by Adya ("Weak consistency", 1999): G0, G1a, G1b, G1c, G-single, G2. The shortest circle of
//! the worst name is explained ([`cycle`]).
//!
//! Only transactions that were read, or acknowledged, count: one of unknown outcome that nobody saw may never have
//! happened.

pub mod cycle;
pub mod graph;
pub mod versions;

use super::history::{Action, History, Micro, Outcome};
use super::report::Verdict;
use super::{Budget, Unusable};
use crate::base::HashMap;

/// Whether the file keeps to the rule that makes versions recoverable: an element is appended to a list once. Failed
/// transactions do not count.
pub fn usable(history: &History, operations: &[usize]) -> Result<(), Unusable> {
    let mut appended: HashMap<(&str, &str), usize> = HashMap::default();
    for &source in operations {
        let operation = &history.operations[source];
        let Action::Transaction(micros) = &operation.action else { continue };
        for micro in micros.iter().filter(|_| operation.outcome != Outcome::Fail) {
            if let Micro::Append { key, element, .. } = micro
                && let Some(line) = appended.insert((key, element), operation.line)
            {
                let why =
                    format!("{element} is appended to {key:?} in line {line} already; a retry must use new elements");
                return Err(Unusable { line: operation.line, why });
            }
        }
    }
    Ok(())
}

/// Judges all transactions of a history.
pub fn judge(history: &History, operations: &[usize], budget: &mut Budget) -> Verdict {
    let (lists, mut violations) = versions::find(history, operations);
    let graph = graph::Graph::new(history, &lists);
    violations.extend(cycle::find(history, &lists, &graph, budget));
    if violations.is_empty() { Verdict::Valid } else { Verdict::Violated(violations) }
}
