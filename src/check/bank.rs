//! Banks: money moves between accounts, and nothing is made or lost.
//!
//! First the plain promise, which anybody can check by adding up: every read of all balances shows the total that the
//! bank opened with, and every account. Then linearizability of the whole bank by search, which also finds stale reads
//! and transfers that counted twice without changing the total.

use super::history::{Action, History, Operation, Outcome};
use super::linear::explain;
use super::linear::problem::Object;
use super::report::{Verdict, Violation};
use super::{Budget, Unusable};
use crate::base::HashSet;

const TOTAL: &str = "the total";
const ACCOUNTS: &str = "the accounts";

/// Whether the file tells all about a bank: opened once, before everything else, and only its accounts are used.
pub fn usable(history: &History, operations: &[usize]) -> Result<(), Unusable> {
    let complain = |operation: &Operation, why: &str| Err(Unusable { line: operation.line, why: why.to_owned() });
    let all = || operations.iter().map(|&source| &history.operations[source]);
    let mut opens = all().filter(|operation| matches!(operation.action, Action::Open { .. }));
    let Some(open) = opens.next() else {
        let first = all().next();
        return first.map_or(Ok(()), |first| complain(first, "this bank has no \"open\" operation"));
    };
    if let Some(second) = opens.next() {
        return complain(second, "this bank has been opened in another line already");
    }
    let accounts = accounts(open);
    let sum = accounts.iter().try_fold(0i64, |sum, (_, balance)| sum.checked_add(*balance));
    if sum.is_none() {
        return complain(open, "the total of these balances is too large");
    }
    let known: HashSet<&str> = accounts.iter().map(|(account, _)| account.as_str()).collect();
    let is_known = |account: &String| known.contains(account.as_str());
    for operation in all().filter(|operation| operation.line != open.line) {
        if !open.precedes(operation) {
            return complain(operation, "this starts before the \"open\" of its bank has ended");
        }
        match &operation.action {
            Action::Transfer { from, to, .. } if !is_known(from) || !is_known(to) => {
                return complain(operation, "a transfer names an account that \"open\" did not");
            }
            Action::Balances { reply: Some(reply), .. } if !reply.iter().all(|(name, _)| is_known(name)) => {
                return complain(operation, "balances show an account that \"open\" did not name");
            }
            _ => {}
        }
    }
    Ok(())
}

fn accounts(open: &Operation) -> &[(String, i64)] {
    match &open.action {
        Action::Open { accounts, .. } => accounts,
        _ => &[],
    }
}

/// The read of all balances that ended first among those that lack an account, and that account.
fn first_loss<'a>(
    history: &'a History,
    operations: &[usize],
    accounts: &'a [(String, i64)],
) -> Option<(&'a Operation, &'a str)> {
    let losses = operations.iter().map(|&source| &history.operations[source]).filter_map(|operation| {
        let Action::Balances { reply: Some(reply), .. } = &operation.action else { return None };
        let is_lost = |account: &str| !reply.iter().any(|(name, _)| name == account);
        let lost = accounts.iter().map(|(account, _)| account.as_str()).find(|account| is_lost(account))?;
        (operation.outcome == Outcome::Ok).then_some((operation, lost))
    });
    losses.min_by_key(|(operation, _)| operation.end)
}

/// Judges a bank.
pub fn judge(history: &History, operations: &[usize], budget: &mut Budget) -> Verdict {
    let is_open = |source: &&usize| matches!(history.operations[**source].action, Action::Open { .. });
    let Some(&opened) = operations.iter().find(is_open) else { return Verdict::Valid };
    let open = &history.operations[opened];
    let accounts = accounts(open);
    if let Some((read, lost)) = first_loss(history, operations, accounts) {
        let story = vec![format!("The bank opened with account {lost:?}; a read of all balances did not find it.")];
        return Verdict::Violated(vec![Violation::new(ACCOUNTS, story, &[open, read])]);
    }
    let total: i128 = accounts.iter().map(|(_, balance)| i128::from(*balance)).sum();
    let wrong: Vec<(&Operation, i128)> = operations
        .iter()
        .map(|&source| &history.operations[source])
        .filter(|operation| operation.outcome == Outcome::Ok)
        .filter_map(|operation| match &operation.action {
            Action::Balances { reply: Some(reply), .. } => {
                Some((operation, reply.iter().map(|(_, balance)| i128::from(*balance)).sum()))
            }
            _ => None,
        })
        .filter(|(_, sum)| *sum != total)
        .collect();
    if let Some(&(read, sum)) = wrong.iter().min_by_key(|(read, _)| read.end) {
        let mut story = vec![format!("The bank opened with {total} in all; a read of all balances sums up to {sum}.")];
        if wrong.len() > 1 {
            story.push(format!("{} more reads show a wrong total; this one ended first.", wrong.len() - 1));
        }
        return Verdict::Violated(vec![Violation::new(TOTAL, story, &[open, read])]);
    }
    let rest: Vec<usize> = operations.iter().copied().filter(|&source| source != opened).collect();
    explain::judge(&Object::of_bank(accounts), history, &rest, budget)
}
