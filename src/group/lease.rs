//! Leases: how a leader reads locally without asking anybody, and why that never returns stale data.
//!
//! # The protocol
//!
//! A leader stamps the appends and heartbeats it sends with a *round*: its own clock before they leave. A follower
//! that accepts such a message from the leader of its current term remembers when (its own clock) and echoes the
//! newest round in its answers. When a quorum `Q` (the leader counts itself) has echoed rounds sent at `s` or later,
//! the leader holds a lease until `s + D` on its clock. Reads are local while it lasts.
//!
//! A voter tells in every vote it grants how old its newest acknowledgement is, and of which term. A new leader
//! serves nothing (no read, no acknowledgement, no read index) before, for every vote it counted,
//! `D + margin - age` has passed since that vote arrived.
//!
//! # Why it is safe
//!
//! Let leader `L` of term `T` hold a lease from `s`, acknowledged by `Q`, and `N` lead a term `T' > T` by the votes of
//! `V`. `Q` and `V` are quorums of the same or of adjacent configurations, so some replica `F` is in both.
//!
//! 1. `F` acknowledged at some moment `a` in term `T`, and `a` is not before `s`: the round had to be sent first. `L`
//!    reads its clock before it sends, `F` after it received. So the lease ends no later than `D` after `a`.
//! 2. `F` voted in `T'` at `v`, and acknowledges nothing of term `T` afterwards. So its newest acknowledgement, of
//!    which it reports the age at `v`, is `a` or later.
//! 3. `N` received that vote after `v` and reads its clock afterwards. When `D - age` has passed since, `D` has passed
//!    since `a`: the lease is over before `N` does anything that a client could see.
//! 4. The clocks are only compared with themselves. They may run at different speeds: with every rate within
//!    `1 +- r` of real time, waiting for `D (1 + r) / (1 - r) - age` is enough; the margin of 5 % allows for `r` of 2.4 %.
//!
//! The cases that need more than this argument:
//!
//! - **`F` restarted** and forgot: it reports the time since its start, before which every acknowledgement was.
//! - **`F` is `L` itself**, deposed: threads that read under the lease may learn that late. So on stepping down a
//!   leader counts the start of its newest lease as an acknowledgement of its own.
//! - **The leader hands over** ([`Lease::give_up`]): it stops using leases for the rest of the term, waits until its
//!   machine has confirmed that it forgot the lease, and only then asks the successor to campaign, saying so. For that
//!   successor, acknowledgements of exactly that term count as infinitely old. Leases of earlier terms were over
//!   already, since a leader hands over only after its own wait. Rounds after `give_up` carry no number and are
//!   not remembered by followers.
//! - **A vote that was not counted** does not matter: the counted ones are a quorum.
//! - **A single voter** acknowledges nobody: its only possible predecessor is its own process, which is gone.
//! - **Membership changes** are proposed only after the wait, so between a lease holder's configuration and its
//!   successor's there is at most one change.
//!
//! Neither check-quorum nor the promise of followers to ignore candidates is part of the argument: both are
//! forgotten on restart (rule 34).

use std::collections::BTreeMap;
use std::time::Duration;

use crate::base::{Mutant, Nanos};

/// How long leases last.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    /// `D`.
    pub lease: Duration,
    /// Parts per million of `D` that a successor waits longer, for clocks of different speed.
    pub margin_ppm: u32,
}

impl Span {
    /// Age at which an acknowledgement cannot matter any more.
    pub fn wait(self) -> Duration {
        self.lease + self.lease * self.margin_ppm / 1_000_000
    }
}

/// The follower's half: the newest acknowledgement this replica gave.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Promise {
    at: Option<Nanos>,
    term: u64,
    round: u64,
}

impl Promise {
    /// For a replica that just started and may have acknowledged something right before.
    pub fn since_start(now: Nanos) -> Promise {
        Promise { at: Some(now), term: 0, round: 0 }
    }

    /// A message with this round was accepted from the leader of `term`. Round 0 asks for nothing.
    pub fn acknowledge(&mut self, now: Nanos, term: u64, round: u64) {
        if round == 0 || term < self.term {
            return;
        }
        let newest = if term == self.term { self.round.max(round) } else { round };
        *self = Promise { at: self.at.max(Some(now)), term, round: newest };
    }

    /// This replica led `term` with a lease that started then.
    pub fn led(&mut self, term: u64, start: Nanos) {
        *self = Promise { at: self.at.max(Some(start)), term, round: 0 };
    }

    /// The round to echo in an answer of `term`, 0 for none.
    pub fn echo(&self, term: u64) -> u64 {
        if self.term == term { self.round } else { 0 }
    }

    /// What to tell with a vote: nanoseconds since, and the term.
    pub fn age(&self, now: Nanos) -> (u64, u64) {
        let age = self.at.map_or(u64::MAX, |at| now.0.saturating_sub(at.0));
        (age, self.term)
    }
}

/// A vote granted to this replica.
#[derive(Clone, Copy, Debug)]
pub(super) struct Vote {
    /// When it arrived.
    pub received: Nanos,
    /// Reported age of the voter's newest acknowledgement, nanoseconds.
    pub age: u64,
    /// Its term.
    pub age_term: u64,
}

/// When every lease that a predecessor can hold has ended. `ended`: a term whose leases were given up.
pub(super) fn serve_after(votes: impl IntoIterator<Item = Vote>, ended: Option<u64>, span: Span) -> Nanos {
    let wait = if Mutant::LeaseIsNotWaitedFor.is_in() { Duration::ZERO } else { span.wait() };
    let all_ended = ended.is_some() && Mutant::EndedLeaseEndsAll.is_in();
    let relevant = votes.into_iter().filter(|vote| ended != Some(vote.age_term) && !all_ended);
    relevant.map(|vote| vote.received + wait.saturating_sub(Duration::from_nanos(vote.age))).max().unwrap_or_default()
}

/// The leader's half, for one term.
#[derive(Clone, Debug, Default)]
pub(super) struct Lease {
    acknowledged: BTreeMap<u64, Nanos>,
    newest_sent: Nanos,
    given_up: bool,
}

impl Lease {
    /// The round for messages that leave after `now`; 0 once the lease was given up.
    pub fn round(&mut self, now: Nanos) -> u64 {
        if self.given_up {
            return 0;
        }
        self.newest_sent = self.newest_sent.max(now);
        self.newest_sent.0
    }

    /// A replica echoed a round. One that was never sent is a lie and ignored.
    pub fn echoed(&mut self, peer: u64, round: u64) {
        if round == 0 || round > self.newest_sent.0 {
            return;
        }
        let round = if Mutant::LeaseFromNewestRound.is_in() { self.newest_sent.0 } else { round };
        let newest = self.acknowledged.entry(peer).or_default();
        *newest = (*newest).max(Nanos(round));
    }

    /// No lease any more in this term.
    pub fn give_up(&mut self) {
        self.given_up = true;
    }

    /// When the newest round acknowledged by a quorum was sent, [`Nanos`] of `u64::MAX` if no other voter is needed.
    /// `outgoing` is the other half of a joint configuration: both must agree.
    pub fn start(&self, me: u64, voters: &[u64], outgoing: &[u64]) -> Option<Nanos> {
        if self.given_up {
            return None;
        }
        let half = |voters: &[u64]| {
            let mut sent: Vec<Nanos> = voters
                .iter()
                .map(|voter| {
                    if *voter == me {
                        Nanos(u64::MAX)
                    } else {
                        self.acknowledged.get(voter).copied().unwrap_or_default()
                    }
                })
                .collect();
            sent.sort_unstable_by(|a, b| b.cmp(a));
            sent.get(voters.len() / 2).copied().filter(|start| *start > Nanos(0))
        };
        let start = half(voters)?;
        if outgoing.is_empty() { Some(start) } else { Some(start.min(half(outgoing)?)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPAN: Span = Span { lease: Duration::from_millis(400), margin_ppm: 50_000 };

    fn ms(ms: u64) -> Nanos {
        Nanos(ms * 1_000_000)
    }

    #[test]
    fn rule_33_a_lease_starts_when_the_quorums_newest_round_was_sent() {
        let mut lease = Lease::default();
        assert_eq!(lease.start(1, &[1, 2, 3], &[]), None);
        assert_eq!(lease.round(ms(100)), ms(100).0);
        lease.echoed(2, ms(100).0);
        assert_eq!(lease.start(1, &[1, 2, 3], &[]), Some(ms(100)));
        lease.round(ms(150));
        lease.echoed(3, ms(150).0);
        assert_eq!(lease.start(1, &[1, 2, 3], &[]), Some(ms(150)), "the newest of two is enough among three");
        assert_eq!(lease.start(1, &[1, 2, 3, 4, 5], &[]), Some(ms(100)), "two others are needed among five");
        assert_eq!(lease.start(1, &[1, 2, 3], &[1, 2, 4]), Some(ms(100)), "both halves of a joint configuration");
        assert_eq!(lease.start(1, &[1, 2, 3], &[4, 5, 6]), None);
        lease.echoed(2, ms(999).0);
        assert_eq!(lease.start(1, &[1, 2, 3], &[]), Some(ms(150)), "a round that was never sent");
        assert_eq!(lease.start(1, &[1], &[]), Some(Nanos(u64::MAX)));
        lease.give_up();
        assert_eq!((lease.start(1, &[1, 2, 3], &[]), lease.round(ms(160))), (None, 0));
    }

    #[test]
    fn rule_34_a_new_leader_waits_for_the_youngest_acknowledgement() {
        let vote = |received, age: u64, age_term| Vote { received: ms(received), age: age * 1_000_000, age_term };
        assert_eq!(serve_after([vote(1000, 400, 3), vote(1010, 100, 3)], None, SPAN), ms(1330));
        assert_eq!(serve_after([vote(1000, 500, 3)], None, SPAN), ms(1000), "old enough");
        assert_eq!(
            serve_after([vote(1000, 0, 3), vote(1000, 300, 2)], Some(3), SPAN),
            ms(1120),
            "term 3 ended, 2 did not"
        );
        assert_eq!(serve_after([Vote { received: ms(5), age: u64::MAX, age_term: 0 }], None, SPAN), ms(5));
    }

    #[test]
    fn rule_34_a_restarted_voter_counts_from_its_start() {
        let promise = Promise::since_start(ms(1000));
        assert_eq!(promise.age(ms(1250)), (ms(250).0, 0));
        assert_eq!(Promise::default().age(ms(1250)), (u64::MAX, 0));
    }

    #[test]
    fn rule_33_rounds_belong_to_their_term() {
        let mut promise = Promise::default();
        promise.acknowledge(ms(10), 4, 77);
        promise.acknowledge(ms(20), 4, 76);
        assert_eq!((promise.echo(4), promise.echo(5)), (77, 0));
        promise.acknowledge(ms(30), 5, 3);
        assert_eq!((promise.echo(4), promise.echo(5)), (0, 3), "a new leader counts anew");
        promise.acknowledge(ms(40), 5, 0);
        assert_eq!(promise.age(ms(50)), (ms(20).0, 5), "round 0 asks for nothing");
    }

    #[test]
    fn rule_34_a_deposed_leader_counts_its_own_lease() {
        let mut promise = Promise::since_start(ms(0));
        promise.led(6, ms(900));
        assert_eq!(promise.age(ms(1000)), (ms(100).0, 6));
    }
}
