//! Answers to batches that changed nothing: they leave once it is certain that no newer leader had committed anything
//! when they were evaluated.
//!
//! Why waiting for the newest observed entry is not enough: acknowledgements of that entry may have been under way
//! since before a newer leader was elected. They still let the old leader commit and apply the entry, and it would
//! answer a read that misses what the newer leader has committed meanwhile. An entry that was proposed after the
//! evaluation is proof by itself, for a quorum then accepted this leader later; without one the proof is either a
//! lease that is valid now, or a round to a quorum that started after the evaluation.
//!
//! Invariant: `confirmed <= started`; a round confirms only what was evaluated before it started.

use super::flight::{self, Job};
use super::{Now, Output};
use crate::base::{Mutant, Nanos, Term};

#[derive(Default)]
pub(super) struct Confirm {
    /// Rounds asked for so far. Numbers are never used twice (rule 36).
    started: u64,
    /// The newest round that succeeded.
    confirmed: u64,
    /// The round under way.
    running: Option<u64>,
    lease: Option<(Term, Nanos)>,
    waiting: Vec<Job>,
}

impl Confirm {
    /// The round that would confirm what is evaluated now.
    pub(super) fn next_round(&self) -> u64 {
        let joins = self.running.is_some() && Mutant::RunningRoundConfirms.is_in();
        self.started + u64::from(!joins)
    }

    /// All that a job observed is applied; it may leave when leadership is confirmed.
    pub(super) fn wait(&mut self, jobs: impl IntoIterator<Item = Job>) {
        self.waiting.extend(jobs);
    }

    /// The lease as it stands.
    pub(super) fn lease(&mut self, term: Term, until: Nanos) {
        self.lease = (until.0 > 0).then_some((term, until));
    }

    /// A round succeeded.
    pub(super) fn succeeded(&mut self, number: u64) {
        if self.running == Some(number) {
            self.running = None;
            self.confirmed = number;
        }
    }

    /// A round failed: what it would have confirmed did not happen.
    pub(super) fn failed(&mut self, number: u64, out: &mut Vec<Output>) {
        if self.running == Some(number) {
            self.running = None;
            flight::refuse(self.waiting.extract_if(.., |job| job.round <= number), out);
        }
    }

    /// Answers what can be answered as leader of `term`, and asks for a round if something is left.
    pub(super) fn release(&mut self, now: Now, term: Term, out: &mut Vec<Output>) {
        if self.waiting.is_empty() {
            return;
        }
        if self.lease.is_some_and(|(leased, until)| leased == term && until > now.mono) {
            flight::answer(self.waiting.drain(..), out);
            return;
        }
        let is_confirmed = |job: &Job| job.round <= self.confirmed || Mutant::ReadsAreNotConfirmed.is_in();
        flight::answer(self.waiting.extract_if(.., |job| is_confirmed(job)), out);
        if !self.waiting.is_empty() && self.running.is_none() {
            self.started += 1;
            self.running = Some(self.started);
            out.push(Output::ConfirmLeadership(self.started));
        }
    }

    /// Leadership ended.
    pub(super) fn step_down(&mut self, out: &mut Vec<Output>) {
        self.lease = None;
        self.running = None;
        flight::refuse(self.waiting.drain(..), out);
    }
}
