//! Entries on their way through Raft and the answers that wait for them.
//!
//! Invariant: an answer is given by what became of (index, term) of its entry, and by nothing else (rules 26, 29):
//! applied with the term it was proposed in, the answer stands; overtaken by another term, the batch did not run.

use std::collections::VecDeque;

use super::{Origin, Output, Refusal, Submission};
use crate::base::{LogIndex, Mutant, Term};
use crate::command::batch::UnitReply;

/// A submission that waits to be evaluated.
pub(super) struct Waiting {
    /// Order of arrival.
    pub(super) arrival: u64,
    /// What a queue pays for it.
    pub(super) bytes: usize,
    pub(super) submission: Submission,
}

/// A submission that was evaluated; kept whole, for it may have to be evaluated again.
pub(super) struct Job {
    pub(super) waiting: Waiting,
    pub(super) replies: Vec<UnitReply>,
    /// For one that changed nothing: the leadership round that confirms it (see `confirm`).
    pub(super) round: u64,
}

/// A proposed entry.
pub(super) struct Flight {
    pub(super) generation: u64,
    pub(super) sequence: u64,
    /// Its number in the overlay.
    pub(super) number: u64,
    /// What the queue paid for the submissions that it was made of.
    pub(super) bytes: usize,
    /// Where it was appended, once the host has said so.
    pub(super) place: Option<(LogIndex, Term)>,
    /// Evaluated before it was closed: answered with it.
    pub(super) jobs: Vec<Job>,
    /// Evaluated on top of it without changing anything: answered after it, once leadership is confirmed.
    pub(super) after: Vec<Job>,
}

/// What an applied entry tells about another place in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// Nothing yet.
    Open,
    /// It is the same entry.
    Landed,
    /// Another entry took the place.
    Lost,
    /// The place was passed without a look at it.
    Unknown,
}

impl Flight {
    /// What it means that the entry `term` is applied at `index`, the next one after all that were looked at.
    pub(super) fn fate(&self, index: LogIndex, term: Term) -> Fate {
        match self.place {
            None => Fate::Open,
            Some(place) if place == (index, term) => Fate::Landed,
            Some((at, _)) if at == index && Mutant::IndexWithoutTerm.is_in() => Fate::Landed,
            // Terms never fall along a log: no older term can follow.
            Some((at, proposed)) if at > index => {
                if proposed < term {
                    Fate::Lost
                } else {
                    Fate::Open
                }
            }
            Some((at, _)) if at == index => Fate::Lost,
            Some(_) => Fate::Unknown,
        }
    }

    /// The same for a snapshot, which ends at `index` and shows nothing of what was before.
    pub(super) fn fate_under_snapshot(&self, index: LogIndex, term: Term) -> Fate {
        match self.place {
            Some((at, proposed)) if at < index && proposed > term => Fate::Lost,
            _ => self.fate(index, term),
        }
    }

    /// The answers stand.
    pub(super) fn answer(self, out: &mut Vec<Output>) {
        answer(self.jobs, out);
    }

    /// Nothing of it is in the log, nor ever will be.
    pub(super) fn refuse(self, out: &mut Vec<Output>) {
        refuse(self.jobs, out);
        refuse(self.after, out);
    }

    /// It cannot be known whether it ran. What changed nothing certainly did not.
    pub(super) fn doubt(self, out: &mut Vec<Output>) {
        if Mutant::MachineDeniesDoubt.is_in() {
            return self.refuse(out);
        }
        out.extend(self.jobs.into_iter().map(|job| Output::Unknown(job.waiting.submission.ticket)));
        refuse(self.after, out);
    }

    /// Its submissions, to be evaluated again.
    pub(super) fn take_back(self, into: &mut VecDeque<Waiting>) {
        into.extend(self.jobs.into_iter().chain(self.after).map(|job| job.waiting));
    }
}

impl Job {
    /// Whether this is the numbered batch `origin`.
    pub(super) fn is_from(&self, origin: &Origin) -> bool {
        let own = self.waiting.submission.origin.as_ref();
        own.is_some_and(|own| (own.session, own.number) == (origin.session, origin.number))
    }
}

/// Answers jobs.
pub(super) fn answer(jobs: impl IntoIterator<Item = Job>, out: &mut Vec<Output>) {
    out.extend(jobs.into_iter().map(|job| Output::Reply(job.waiting.submission.ticket, job.replies)));
}

/// Says that jobs did not run.
pub(super) fn refuse(jobs: impl IntoIterator<Item = Job>, out: &mut Vec<Output>) {
    refuse_waiting(jobs.into_iter().map(|job| job.waiting), out);
}

/// Says that submissions did not run.
pub(super) fn refuse_waiting(waiting: impl IntoIterator<Item = Waiting>, out: &mut Vec<Output>) {
    out.extend(waiting.into_iter().map(|waiting| Output::Refused(waiting.submission.ticket, Refusal::NotLeader)));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flight(place: Option<(u64, u64)>) -> Flight {
        let place = place.map(|(index, term)| (LogIndex(index), Term(term)));
        Flight { generation: 1, sequence: 0, number: 1, bytes: 0, place, jobs: Vec::new(), after: Vec::new() }
    }

    #[test]
    fn rule_29_index_and_term_decide() {
        let fate = |place, index, term| flight(place).fate(LogIndex(index), Term(term));
        assert_eq!(fate(None, 7, 2), Fate::Open);
        assert_eq!(fate(Some((8, 2)), 7, 2), Fate::Open);
        assert_eq!(fate(Some((7, 2)), 7, 2), Fate::Landed);
        assert_eq!(fate(Some((7, 2)), 7, 3), Fate::Lost);
        assert_eq!(fate(Some((9, 2)), 7, 3), Fate::Lost, "terms never fall along a log");
        assert_eq!(fate(Some((6, 2)), 7, 3), Fate::Unknown);
    }

    #[test]
    fn rule_29_under_a_snapshot() {
        let fate = |place, index, term| flight(place).fate_under_snapshot(LogIndex(index), Term(term));
        assert_eq!(fate(Some((7, 2)), 7, 2), Fate::Landed);
        assert_eq!(fate(Some((6, 2)), 7, 2), Fate::Unknown);
        assert_eq!(fate(Some((6, 3)), 7, 2), Fate::Lost, "a later term cannot be before an earlier one");
        assert_eq!(fate(Some((8, 2)), 7, 3), Fate::Lost);
        assert_eq!(fate(Some((8, 3)), 7, 3), Fate::Open);
    }
}
