//! Read indexes: leadership confirmed by a quorum round, for reads without a lease.
//!
//! Invariants (rule 36): every attempt has a context of its own, made here and never used again, because the crate
//! answers a reused one with the index of its first use. All requests that wait when a Ready is about to be taken
//! share one attempt. Every request is answered exactly once: with an index, or refused when leadership ends.

use std::collections::VecDeque;

use raft::ReadState;

use super::Event;
use crate::base::{LogIndex, Mutant};

#[derive(Debug, Default)]
pub(super) struct Reads {
    /// Requests that no attempt covers yet.
    queued: Vec<u64>,
    /// Attempts under way, oldest first, with their requests.
    attempts: VecDeque<(u64, Vec<u64>)>,
    last_attempt: u64,
}

impl Reads {
    /// Somebody needs leadership confirmed.
    pub fn request(&mut self, number: u64) {
        self.queued.push(number);
    }

    /// The context of a new attempt for everything queued, if anything is.
    pub fn attempt(&mut self) -> Option<Vec<u8>> {
        if self.queued.is_empty() {
            return None;
        }
        self.last_attempt += u64::from(!Mutant::ReadContextsAreReused.is_in());
        self.attempts.push_back((self.last_attempt, std::mem::take(&mut self.queued)));
        Some(self.last_attempt.to_be_bytes().to_vec())
    }

    /// A quorum confirmed an attempt.
    pub fn confirmed(&mut self, state: &ReadState, events: &mut Vec<Event>) {
        let Ok(context) = state.request_ctx.as_slice().try_into() else { return };
        let attempt = u64::from_be_bytes(context);
        let Some(place) = self.attempts.iter().position(|&(other, _)| other == attempt) else { return };
        if let Some((_, numbers)) = self.attempts.remove(place) {
            let index = LogIndex(state.index);
            events.extend(numbers.into_iter().map(|number| Event::ReadIndex { number, index }));
        }
    }

    /// Leadership ended.
    pub fn refuse_all(&mut self, events: &mut Vec<Event>) {
        let under_way = self.attempts.drain(..).flat_map(|(_, numbers)| numbers);
        events.extend(under_way.chain(self.queued.drain(..)).map(|number| Event::ReadRefused { number }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rule_36_contexts_are_never_reused_and_no_request_is_lost() {
        let mut reads = Reads::default();
        let mut events = Vec::new();
        assert_eq!(reads.attempt(), None);
        reads.request(1);
        reads.request(2);
        let first = reads.attempt().unwrap();
        reads.request(3);
        let second = reads.attempt().unwrap();
        assert_ne!(first, second);
        reads.request(4);
        let answer = ReadState { index: 9, request_ctx: second };
        reads.confirmed(&answer, &mut events);
        reads.confirmed(&answer, &mut events);
        assert_eq!(events, [Event::ReadIndex { number: 3, index: LogIndex(9) }]);
        events.clear();
        reads.refuse_all(&mut events);
        let refused: Vec<_> = [1, 2, 4].into_iter().map(|number| Event::ReadRefused { number }).collect();
        assert_eq!(events, refused);
        reads.request(5);
        assert_ne!(reads.attempt().unwrap(), first);
    }
}
