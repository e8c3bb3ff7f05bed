//! What waits becomes an entry: units are run on the applied state and the overlay of what is on its way, in the
//! order of arrival (rule 25).
//!
//! Invariant: a submission is in one entry as a whole, with the stored reply that says so; a failing read of the
//! engine takes back the whole open entry.

use bytes::BytesMut;

use super::flight::{Flight, Job, Waiting};
use super::session::{self, Known};
use super::{Content, Decide, Machine, Now, Output, Proposal, Refusal, Result};
use crate::base::{Mutant, SlotRange, Term};
use crate::command::batch::{Unit, UnitReply};
use crate::command::{self, Call, Scripts};
use crate::data::{self, Keyspace, Manner, Mode, Moment};
use crate::group::entry::Entry;
use crate::store::overlay::OverlayView;
use crate::store::{Error, Write, keys};

/// Due keys that one entry deletes, besides those that commands meet.
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
}

impl Machine {
    /// Makes one entry of what waits, up to the bytes of an entry, and of the housekeeping that is due.
    pub(super) fn fill_entry(&mut self, term: Term, now: Now, out: &mut Vec<Output>) -> Result<()> {
        self.overlay.begin(self.next_entry);
        let newest = self.stamp.max(self.state.stamp).max(now.wall);
        self.stamp = if Mutant::StampsGoBack.is_in() { now.wall } else { newest };
        let before = self.counts.clone();
        let mut jobs = Vec::new();
        let evaluated = self.evaluate_waiting(term, now, &mut jobs, out);
        if let Err(error) = evaluated {
            self.overlay.rollback();
            self.counts = before;
            return Err(error);
        }
        if self.counts != before {
            OverlayView::new(&*self.engine, &mut self.overlay).put(keys::counts(self.group), self.counts.encode());
        }
        if !self.overlay.has_content() {
            return Ok(());
        }
        let publications = self.overlay.take_publications();
        let mutations = self.overlay.take_mutations();
        let data = Entry { stamp: self.stamp, epoch: self.state.epoch, mutations, publications }.encode();
        let (generation, sequence, number) = (self.generation, self.next_sequence, self.next_entry);
        self.next_entry += 1;
        self.next_sequence += 1;
        out.push(Output::Propose(Proposal { group: self.group, generation, sequence, term, data }));
        self.flights.push_back(Flight { generation, sequence, number, place: None, jobs, after: Vec::new() });
        Ok(())
    }

    fn evaluate_waiting(&mut self, term: Term, now: Now, jobs: &mut Vec<Job>, out: &mut Vec<Output>) -> Result<()> {
        while self.overlay.bytes() < self.settings.entry_bytes_target {
            let Some(waiting) = self.waiting.pop_front() else { return self.keep_house(now) };
            self.waiting_bytes -= waiting.bytes;
            let ticket = waiting.submission.ticket;
            match self.evaluate(&waiting, term, now, jobs)? {
                Verdict::Ran(replies) => {
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
                Verdict::Doubles(place, replies) => {
                    let job = Job { waiting, replies, round: 0 };
                    match place {
                        Some(flight) => self.flights[flight].jobs.push(job),
                        None => jobs.push(job),
                    }
                }
                Verdict::Answered(replies) => out.push(Output::Reply(ticket, replies)),
                Verdict::Refused(refusal) => out.push(Output::Refused(ticket, refusal)),
            }
        }
        Ok(())
    }

    fn evaluate(&mut self, waiting: &Waiting, term: Term, now: Now, open: &[Job]) -> Result<Verdict> {
        let submission = &waiting.submission;
        let Some(origin) = &submission.origin else {
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
        let base = self.cold.view(&*self.engine);
        let view = OverlayView::new(&base, &mut self.overlay);
        let acknowledged_below = match session::look_up(&view, self.group, origin)? {
            Known::New { acknowledged_below } => acknowledged_below,
            // Not on its way, so it is applied: that is proof enough, whoever leads now.
            Known::Ran(replies) => return Ok(Verdict::Answered(replies)),
            Known::Refused(refusal) => return Ok(Verdict::Refused(refusal)),
        };
        let replies = self.run(&submission.units, term)?;
        let mut view = OverlayView::new(&*self.engine, &mut self.overlay);
        session::remember(&mut view, self.group, origin, acknowledged_below, &replies);
        Ok(Verdict::Ran(replies))
    }

    /// Runs units in order on the open entry.
    fn run(&mut self, units: &[Unit], term: Term) -> Result<Vec<UnitReply>> {
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
        let base = self.cold.view(&*self.engine);
        let mut view = OverlayView::new(&base, &mut self.overlay);
        let mut keyspace = Keyspace {
            store: &mut view,
            group: self.group,
            slots,
            moment: Moment { stamp: self.stamp, clock: self.stamp },
            mode: Mode::Leader,
            counts: &mut self.counts,
            touched: &mut self.touched,
            rng: &mut self.rng,
            thresholds: self.settings.thresholds,
            usage: &self.settings.usage,
            audience: &*self.settings.audience,
            manner: Manner::default(),
        };
        let mut replies = Vec::with_capacity(units.len());
        for unit in units {
            replies.push(match unit {
                Unit::Call(call) => {
                    UnitReply::Call(execute(&mut keyspace, &mut self.scripts, call, &mut self.scratch)?)
                }
                Unit::Atomic { watches, calls } => {
                    // A watched key that has ended meanwhile was changed, although nobody met it yet.
                    end_due(&mut keyspace, watches.iter().map(|watch| (watch.db, &watch.key)))?;
                    self.watches.touched(keyspace.touched);
                    if watches.iter().all(|watch| self.watches.holds(watch, term)) {
                        let mut block = Vec::with_capacity(calls.len());
                        for call in calls {
                            block.push(execute(&mut keyspace, &mut self.scripts, call, &mut self.scratch)?);
                        }
                        UnitReply::Atomic(Some(block))
                    } else {
                        UnitReply::Atomic(None)
                    }
                }
                Unit::Watch { db, keys } => {
                    // One that had ended before is watched as a key that does not exist.
                    end_due(&mut keyspace, keys.iter().map(|key| (*db, key)))?;
                    self.watches.touched(keyspace.touched);
                    UnitReply::Watch { term, sequence: self.watches.watch(*db, keys) }
                }
                // Refused when it was submitted (`takes`).
                Unit::Change(_) => continue,
            });
            self.watches.touched(keyspace.touched);
        }
        Ok(replies)
    }

    /// Deletes due keys and idle sessions, once per tick.
    fn keep_house(&mut self, now: Now) -> Result<()> {
        if !std::mem::take(&mut self.housekeeping) {
            return Ok(());
        }
        let mut view = OverlayView::new(&*self.engine, &mut self.overlay);
        if self.idle.is_due(now.mono) {
            self.idle.sweep(&mut view, self.group, now.mono)?;
        }
        let Content::Keys(slots) = self.content else { return Ok(()) };
        if self.counts.expires.iter().all(|expires| *expires == 0) {
            return Ok(());
        }
        let mut keyspace = Keyspace {
            store: &mut view,
            group: self.group,
            slots,
            moment: Moment { stamp: self.stamp, clock: self.stamp },
            mode: Mode::Leader,
            counts: &mut self.counts,
            touched: &mut self.touched,
            rng: &mut self.rng,
            thresholds: self.settings.thresholds,
            usage: &self.settings.usage,
            audience: &*self.settings.audience,
            manner: Manner::default(),
        };
        keyspace.expire_due(EXPIRED_PER_ENTRY_MAX).map_err(|error| match error {
            data::Error::Store(error) => super::Error::Store(error),
            other => super::Error::Store(Error::Corrupt(format!("deleting due keys: {other}").into())),
        })?;
        self.watches.touched(keyspace.touched);
        Ok(())
    }
}

/// Deletes those of the keys that are due.
fn end_due<'a>(keyspace: &mut Keyspace<'_>, keys: impl Iterator<Item = (u8, &'a bytes::Bytes)>) -> Result<()> {
    keyspace.manner = Manner::default();
    for (db, key) in keys {
        keyspace.lookup(db, key).map_err(|error| match error {
            data::Error::Store(error) => error,
            other => Error::Corrupt(format!("a lookup on a leader: {other}").into()),
        })?;
    }
    Ok(())
}

/// One call's encoded reply; the buffer is shared, so that replies cost no allocation each.
fn execute(
    keyspace: &mut Keyspace<'_>,
    scripts: &mut Scripts,
    call: &Call,
    scratch: &mut BytesMut,
) -> Result<bytes::Bytes> {
    command::execute_encoded(keyspace, Some(scripts), call, scratch).map_err(stopped)?;
    Ok(scratch.split().freeze())
}

fn stopped(error: command::Error) -> super::Error {
    super::Error::Store(match error {
        command::Error::Store(error) => error,
        command::Error::NeedsLog => Error::Corrupt("evaluation on a leader asked for the log".into()),
    })
}
