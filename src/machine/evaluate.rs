//! What waits becomes an entry: units are run on the applied state and the overlay of what is on its way, in the
//! order of arrival (rule 25).
//!
//! Invariant: a submission is in one entry as a whole, with the stored reply that says so; a failing read of the
//! engine takes back the whole open entry.

use super::blocked;
use super::flight::{Flight, Job, Waiting};
use super::session::{self, Known};
use super::{Content, Decide, Machine, Now, Output, Proposal, Refusal, Result};
use crate::base::{Mutant, SlotRange, Term};
use crate::command::batch::{Unit, UnitReply};
use crate::data::{self, Manner};
use crate::group::entry::Entry;
use crate::store::overlay::OverlayView;
use crate::store::{Error, Write, keys};

/// Due keys and fields that one entry deletes, besides those that commands meet.
const EXPIRED_PER_ENTRY_MAX: usize = 1_000;

/// What became of a submission.
enum Verdict {
    /// It was evaluated now.
    Ran(Vec<UnitReply>),
    /// It is in the applied state already.
    Answered(Vec<UnitReply>),
    /// An earlier copy is on its way, in this flight, or in the open entry.
    Doubles(Option<usize>, Vec<UnitReply>),
    /// It does not run.
    Refused(Refusal),
    /// It found nothing and waits, as one that arrived when this number did.
    Waits(u64),
}

impl Machine {
    /// Makes one entry of what waits, up to the bytes of an entry, and of the housekeeping that is due.
    pub(super) fn fill_entry(&mut self, term: Term, now: Now, out: &mut Vec<Output>) -> Result<()> {
        self.overlay.begin(self.next_entry);
        let newest = self.stamp.max(self.state.stamp).max(now.wall);
        self.stamp = if Mutant::StampsGoBack.is_in() { now.wall } else { newest };
        let (before, events, waiting) = (self.counts.clone(), self.events, self.waiting_bytes);
        let mut jobs = Vec::new();
        let evaluated = self.evaluate_waiting(term, now, &mut jobs, out);
        if let Err(error) = evaluated {
            self.overlay.rollback();
            (self.counts, self.events) = (before, events);
            self.authors.take();
            return Err(error);
        }
        if self.counts != before {
            OverlayView::new(&*self.engine, &mut self.overlay).put(keys::counts(self.group), self.counts.encode());
        }
        if !self.overlay.has_content() {
            self.authors.take();
            return Ok(());
        }
        let (publications, own) = (self.overlay.take_publications(), self.authors.take());
        let mutations = self.overlay.take_mutations();
        let data = Entry { stamp: self.stamp, epoch: self.state.epoch, mutations, publications, own }.encode();
        let (generation, sequence, number) = (self.generation, self.next_sequence, self.next_entry);
        self.next_entry += 1;
        self.next_sequence += 1;
        out.push(Output::Propose(Proposal { group: self.group, generation, sequence, term, data }));
        let bytes = waiting - self.waiting_bytes;
        self.flights.push_back(Flight { generation, sequence, number, bytes, place: None, jobs, after: Vec::new() });
        Ok(())
    }

    fn evaluate_waiting(&mut self, term: Term, now: Now, jobs: &mut Vec<Job>, out: &mut Vec<Output>) -> Result<()> {
        while self.overlay.bytes() < self.settings.entry_bytes_target {
            let Some(waiting) = self.waiting.pop_front() else {
                self.keep_house(now)?;
                return self.owe_served(jobs);
            };
            self.waiting_bytes -= waiting.bytes;
            let ticket = waiting.submission.ticket;
            match self.evaluate(&waiting, term, now, jobs, out)? {
                Verdict::Ran(replies) => self.owe(waiting, replies, jobs),
                Verdict::Doubles(place, replies) => {
                    let job = Job { waiting, replies, round: 0 };
                    match place {
                        Some(flight) => self.flights[flight].jobs.push(job),
                        None => jobs.push(job),
                    }
                }
                Verdict::Answered(replies) => out.push(Output::Reply(ticket, replies)),
                Verdict::Refused(refusal) => out.push(Output::Refused(ticket, refusal)),
                Verdict::Waits(arrival) => self.blocked.park(Waiting { arrival, ..waiting }, now.mono),
            }
            self.owe_served(jobs)?;
        }
        Ok(())
    }

    /// Puts an answer where it waits for what it rests on: the open entry, if that has changed anything, else the
    /// newest one on its way, else proof of leadership.
    pub(super) fn owe(&mut self, waiting: Waiting, replies: Vec<UnitReply>, jobs: &mut Vec<Job>) {
        let job = Job { waiting, replies, round: self.confirm.next_round() };
        let waits = !Mutant::ReadsBeforeTheirEntry.is_in();
        if self.overlay.has_content() {
            jobs.push(job);
        } else if let Some(newest) = self.flights.back_mut().filter(|_| waits) {
            newest.after.push(job);
        } else {
            self.confirm.wait([job]);
        }
    }

    fn evaluate(
        &mut self,
        waiting: &Waiting,
        term: Term,
        now: Now,
        open: &[Job],
        out: &mut Vec<Output>,
    ) -> Result<Verdict> {
        let submission = &waiting.submission;
        let Some(origin) = &submission.origin else {
            self.hear(&submission.units, term, now, out)?;
            return self.run(&submission.units, term).map(Verdict::Ran);
        };
        self.idle.heard(origin.session, now.mono);
        let earlier = |jobs: &[Job]| jobs.iter().find(|job| job.is_from(origin)).map(|job| job.replies.clone());
        for (place, flight) in self.flights.iter().enumerate() {
            if let Some(replies) = earlier(&flight.jobs) {
                return Ok(Verdict::Doubles(Some(place), replies));
            }
        }
        if let Some(replies) = earlier(open) {
            return Ok(Verdict::Doubles(None, replies));
        }
        let mut arrival = waiting.arrival;
        // A copy that came before and waits gives way, and its place: it is this one that is waited for.
        if !Mutant::WaitersAreParkedTwice.is_in()
            && let Some(copy) = self.blocked.take(origin.session, origin.number)
        {
            arrival = copy.arrival;
            out.push(Output::Refused(copy.submission.ticket, Refusal::Duplicate));
        }
        let base = self.cold.view(&*self.engine);
        let view = OverlayView::new(&base, &mut self.overlay);
        let acknowledged = match session::look_up(&view, self.group, origin)? {
            Known::New { acknowledged } => acknowledged,
            // Not on its way, so it is applied: that is proof enough, whoever leads now.
            Known::Ran(replies) => return Ok(Verdict::Answered(replies)),
            Known::Refused(refusal) => return Ok(Verdict::Refused(refusal)),
        };
        if let Some(call) = blocked::waits(waiting) {
            let Some(reply) = self.look(call)? else { return Ok(Verdict::Waits(arrival)) };
            self.remember(waiting, std::slice::from_ref(&reply))?;
            return Ok(Verdict::Ran(vec![reply]));
        }
        let replies = self.run(&submission.units, term)?;
        let mut view = OverlayView::new(&*self.engine, &mut self.overlay);
        session::remember(&mut view, self.group, origin, acknowledged.as_ref(), &replies);
        Ok(Verdict::Ran(replies))
    }

    /// Runs units in order on the open entry.
    pub(super) fn run(&mut self, units: &[Unit], term: Term) -> Result<Vec<UnitReply>> {
        match self.content {
            Content::Keys(slots) => self.run_commands(units, term, slots),
            Content::Facts(decide) => self.run_changes(units, decide),
        }
    }

    /// A change sees the state that all changes before it leave, applied or not: none is decided about in ignorance of
    /// another one.
    fn run_changes(&mut self, units: &[Unit], decide: Decide) -> Result<Vec<UnitReply>> {
        let mut view = OverlayView::new(&*self.engine, &mut self.overlay);
        let mut replies = Vec::with_capacity(units.len());
        for unit in units {
            // Nothing else was let in (`takes`).
            if let Unit::Change(change) = unit {
                replies.push(UnitReply::Decision(decide(&mut view, change)?));
            }
        }
        Ok(replies)
    }

    fn run_commands(&mut self, units: &[Unit], term: Term, slots: SlotRange) -> Result<Vec<UnitReply>> {
        let mut replies = Vec::with_capacity(units.len());
        if units.iter().any(|unit| author(unit) != 0) {
            self.authors.expect(self.overlay.mutations());
        }
        self.with_stage(slots, |stage| {
            for unit in units {
                stage.author = author(unit);
                let reply = match unit {
                    // Whoever can wait was asked first whether it does (`evaluate`).
                    Unit::Call(call) | Unit::Block { call, .. } => UnitReply::Call(stage.execute(call)?),
                    Unit::Atomic { watches, calls } => {
                        // A watched key that has ended meanwhile was changed, although nobody met it yet.
                        stage.end_due(watches.iter().map(|watch| (watch.db, &watch.key)))?;
                        stage.tell_touched();
                        if watches.iter().all(|watch| stage.watches.holds(watch, term)) {
                            let mut block = Vec::with_capacity(calls.len());
                            for call in calls {
                                block.push(stage.execute(call)?);
                            }
                            UnitReply::Atomic(Some(block))
                        } else {
                            UnitReply::Atomic(None)
                        }
                    }
                    Unit::Watch { db, keys } => {
                        // One that had ended before is watched as a key that does not exist.
                        stage.end_due(keys.iter().map(|key| (*db, key)))?;
                        stage.tell_touched();
                        UnitReply::Watch { term, sequence: stage.watches.watch(*db, keys) }
                    }
                    // What they ask for was done (`hear`).
                    Unit::StillBlocked { .. } | Unit::Hurry { .. } => UnitReply::Noted,
                    // Refused when it was submitted (`takes`).
                    Unit::Change(_) => continue,
                };
                replies.push(stage.with_reads(reply));
                stage.tell_touched();
                stage.author = 0;
                stage.serve()?;
            }
            Ok(())
        })?;
        Ok(replies)
    }

    /// Deletes due keys, due fields and idle sessions, once per tick.
    fn keep_house(&mut self, now: Now) -> Result<()> {
        if !std::mem::take(&mut self.housekeeping) {
            return Ok(());
        }
        let mut view = OverlayView::new(&*self.engine, &mut self.overlay);
        if self.idle.is_due(now.mono) {
            self.idle.sweep(&mut view, self.group, now.mono)?;
        }
        let Content::Keys(slots) = self.content else { return Ok(()) };
        if self.counts.nothing_expires() {
            return Ok(());
        }
        self.with_stage(slots, |stage| {
            stage.keyspace.manner = Manner::default();
            stage.keyspace.expire_due(EXPIRED_PER_ENTRY_MAX).map_err(|error| match error {
                data::Error::Store(error) => super::Error::Store(error),
                other => super::Error::Store(Error::Corrupt(format!("deleting due keys: {other}").into())),
            })?;
            stage.tell_touched();
            stage.serve()
        })
    }
}

/// Who does not want to hear of what a unit changes, 0 for nobody. All calls of a block are of one client.
fn author(unit: &Unit) -> u64 {
    match unit {
        Unit::Call(call) | Unit::Block { call, .. } => call.author,
        Unit::Atomic { calls, .. } => calls.first().map_or(0, |call| call.author),
        _ => 0,
    }
}
