//! The machine itself: its inputs, and what each leads to. A closed set of causes, one match (see [`Input`]).
//!
//! A leader's evaluation works in generations. A generation starts on the applied state alone, with an empty overlay
//! and the stored counts; it ends when a proposal was refused, an entry was skipped, or leadership was lost. The next
//! one starts only when every entry of earlier ones that was appended is applied or overtaken, because its effects
//! are then in the applied state or nowhere.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{Ordering, fence};

use bytes::BytesMut;

use super::apply::Applied;
use super::authors::Authors;
use super::blocked::Blocked;
use super::cold::Cold;
use super::confirm::Confirm;
use super::flight::{self, Fate, Flight, Waiting};
use super::local::Version;
use super::session::Idle;
use super::watch::Watches;
use super::{Content, Input, Now, Output, Refusal, Result, Role, Settings, State, Submission, wait};
use crate::base::{Changed, GroupId, LogIndex, Mutant, Rng, Term, limits};
use crate::command::batch::{Unit, UnitReply};
use crate::command::{Scripts, wire};
use crate::data::{Counts, Events, Touched};
use crate::store::overlay::Overlay;
use crate::store::{Engine, keys};

/// The state machine of one replica.
pub struct Machine {
    pub(super) group: GroupId,
    pub(super) content: Content,
    pub(super) engine: Arc<dyn Engine>,
    pub(super) settings: Settings,
    pub(super) rng: Rng,
    /// What the engine holds of the group.
    pub(super) state: State,
    pub(super) version: Arc<Version>,

    pub(super) role: Role,
    /// Proposals of this generation, oldest first.
    pub(super) flights: VecDeque<Flight>,
    /// Proposals of an earlier leadership that are not decided yet.
    orphans: Vec<Flight>,
    /// Answers that wait for proof of leadership.
    pub(super) confirm: Confirm,

    pub(super) generation: u64,
    /// Number of the next proposal in the generation.
    pub(super) next_sequence: u64,
    /// Number of the next entry in the overlay, never used twice.
    pub(super) next_entry: u64,
    /// The generation is over; the next one starts when `flights` is empty.
    stale: bool,
    /// A proposal was refused although no entry is on its way: evaluation waits for something to change, lest it
    /// spins.
    paused: bool,
    /// A tick came and its housekeeping is not done.
    pub(super) housekeeping: bool,

    pub(super) overlay: Overlay,
    /// Counts of applied state and overlay.
    pub(super) counts: Counts,
    /// Events that are told, likewise.
    pub(super) events: Events,
    /// Stamp of the newest evaluation. `state.stamp <= stamp` while evaluating.
    pub(super) stamp: crate::base::Millis,
    pub(super) watches: Watches,
    pub(super) idle: Idle,
    pub(super) touched: Vec<Touched>,
    pub(super) authors: Authors,
    pub(super) scratch: BytesMut,
    pub(super) scripts: Scripts,
    pub(super) cold: Cold,

    /// Commands that wait for a key.
    pub(super) blocked: Blocked,
    /// Those of them that were answered by what is evaluated now.
    pub(super) served: Vec<(Waiting, Vec<UnitReply>)>,

    /// Submissions in order of arrival.
    pub(super) waiting: VecDeque<Waiting>,
    pub(super) waiting_bytes: usize,
    /// Submissions of the last generation that must be evaluated again, before those that wait.
    redo: VecDeque<Waiting>,
    arrivals: u64,

    /// Place and term of the last entry in the log when the replica started.
    logged: (LogIndex, Term),
    /// What was committed while the process was not there ends here.
    missed: LogIndex,
}

impl Machine {
    /// The machine of a replica as its engine remembers it. `epoch` is the range epoch of a group that never applied
    /// anything; `seed` feeds commands that draw lots.
    pub fn new(
        group: GroupId,
        content: Content,
        epoch: u64,
        engine: Arc<dyn Engine>,
        settings: Settings,
        seed: u64,
    ) -> Result<Machine> {
        let state = State::load(&*engine, group)?.unwrap_or_else(|| State { epoch, ..State::default() });
        let version = Arc::new(Version::default());
        version.set_events(Events::load(&*engine, group)?);
        Ok(Machine {
            group,
            content,
            engine,
            watches: Watches::new(settings.watched_keys_max),
            scripts: Scripts::new(settings.running.clone()),
            settings,
            rng: Rng::new(seed),
            stamp: state.stamp,
            state,
            version,
            role: Role::Follower,
            flights: VecDeque::new(),
            orphans: Vec::new(),
            confirm: Confirm::default(),
            generation: 0,
            next_sequence: 0,
            next_entry: 1,
            stale: true,
            paused: false,
            housekeeping: false,
            overlay: Overlay::default(),
            counts: Counts::default(),
            events: Events::default(),
            idle: Idle::default(),
            touched: Vec::new(),
            authors: Authors::default(),
            scratch: BytesMut::new(),
            cold: Cold::default(),
            blocked: Blocked::default(),
            served: Vec::new(),
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            redo: VecDeque::new(),
            arrivals: 0,
            logged: (LogIndex(0), Term(0)),
            missed: LogIndex(0),
        })
    }

    /// Tells of the last entry that was in the log at the start. Nobody who listens now listened when that was
    /// proposed, and it may have been told before: nothing that it and those before it say is told again.
    pub fn started_with_log(&mut self, last: LogIndex, term: Term) {
        self.logged = (last, term);
    }

    /// Whether an entry is older than this process, or than its first word from a leader. Of the places in its log, one
    /// that was proposed later has a later term than the log's last entry: logs agree up to an entry with the same
    /// index and term.
    pub(super) fn is_old(&self, index: LogIndex, term: Term) -> bool {
        index <= self.missed || (index <= self.logged.0 && term <= self.logged.1)
    }

    /// How far the engine's state of the group is.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// Changes whenever the engine's state of the group does; for readers on other threads.
    pub fn version(&self) -> Arc<Version> {
        self.version.clone()
    }

    /// Whether somebody wants to hear what was just written. Whoever begins to says so before he reads: either he sees
    /// what was written, or he is seen here. Both are separated by a fence from what they look at.
    pub(super) fn tells_changes(&self) -> bool {
        fence(Ordering::SeqCst);
        self.settings.tells_changes.load(Ordering::Relaxed)
    }

    /// Takes other thresholds from the next evaluation on. Records of either size are read for ever.
    pub fn configure(&mut self, thresholds: crate::data::Thresholds) {
        self.settings.thresholds = thresholds;
    }

    /// Takes an input. What it leads to at once is appended to `out`; what waits is evaluated by [`Machine::turn`].
    pub fn handle(&mut self, now: Now, input: Input, out: &mut Vec<Output>) -> Result<()> {
        match input {
            Input::Submit(submission) => self.submit(submission, out),
            Input::Role(role) => self.become_role(role, out),
            Input::Proposed { generation, sequence, index, term } => {
                self.proposed(generation, sequence, (index, term), out);
            }
            Input::Dropped { generation, sequence } => self.dropped(generation, sequence, out),
            Input::InTouch { commit } => self.missed = commit,
            Input::Commit(entries) => {
                self.paused = false;
                self.commit(entries, now, out)?;
            }
            Input::ReadIndex { number, index: _ } => {
                self.confirm.succeeded(number);
                self.release(now, out);
            }
            Input::ReadRefused { number } => {
                self.confirm.failed(number, out);
                self.release(now, out);
            }
            Input::Lease { term, until } => {
                self.confirm.lease(term, until);
                if until.0 == 0 {
                    out.push(Output::LeaseReleased(term));
                }
                self.release(now, out);
            }
            Input::Installed { index, term } => self.installed(index, term, out)?,
            Input::Tick => {
                self.paused = false;
                self.housekeeping = matches!(self.role, Role::Leader { .. });
                wait::refuse(self.blocked.take_silent(now.mono), Refusal::NotLeader, out);
            }
        }
        Ok(())
    }

    /// Evaluates what waits, as one entry or, where that would be too large, a few.
    pub fn turn(&mut self, now: Now, out: &mut Vec<Output>) -> Result<()> {
        let Some(term) = self.evaluates() else { return Ok(()) };
        if self.stale && !self.start_generation()? {
            return Ok(());
        }
        while self.has_room() && (!self.waiting.is_empty() || self.housekeeping) {
            self.fill_entry(term, now, out)?;
        }
        self.release(now, out);
        Ok(())
    }

    /// Whether the next entry may go now. Every entry costs each replica a message and several hand-overs between
    /// threads, whatever is in it; so while some are on their way, only one that is worth it joins them: a good share
    /// of them all, or large anyway. So there are few, and one is evaluated while another is made durable. What comes
    /// meanwhile waits for one entry more than its own at most.
    fn has_room(&self) -> bool {
        self.flights.len() < self.settings.entries_in_flight_max && self.waiting_bytes >= self.worthwhile_bytes()
    }

    /// Bytes of submissions with which the next entry need not wait.
    fn worthwhile_bytes(&self) -> usize {
        if self.flights.len() < self.settings.small_entries_in_flight_max {
            return 0;
        }
        let under_way = self.flights.iter().map(|flight| flight.bytes).sum::<usize>();
        (under_way / limits::ENTRY_SHARE_WORTHWHILE).min(self.settings.entry_bytes_worthwhile)
    }

    /// How many bytes of submissions have to come until it is worth telling this machine of them: with fewer they would
    /// only wait for entries on their way.
    pub fn patience(&self) -> usize {
        if self.evaluates().is_none() || self.flights.is_empty() || self.has_room() {
            return 0;
        }
        if self.flights.len() >= self.settings.entries_in_flight_max {
            return usize::MAX;
        }
        self.worthwhile_bytes() - self.waiting_bytes
    }

    /// The term to evaluate in: only as leader, and after the term's first entry is applied (rules 25, 32).
    fn evaluates(&self) -> Option<Term> {
        let early = Mutant::EvaluatesBeforeOwnFirstEntry.is_in();
        match self.role {
            Role::Leader { term, first } if (self.state.applied >= first || early) && !self.paused => Some(term),
            _ => None,
        }
    }

    /// Whether a new generation could start.
    fn start_generation(&mut self) -> Result<bool> {
        // Orphans too: who gave up a transfer leads in the same term again, with its old entries still on their way.
        let waits = !self.orphans.is_empty() && !Mutant::OrphansAreNotWaitedFor.is_in();
        if !self.flights.is_empty() || waits {
            return Ok(false);
        }
        let stored = match self.engine.get(&keys::counts(self.group))? {
            Some(record) => Counts::decode(&record)?,
            None => Counts::default(),
        };
        if self.generation == 0 || !Mutant::CountsSurviveARefusal.is_in() {
            self.counts = stored;
        }
        self.events = Events::load(&*self.engine, self.group)?;
        if !Mutant::DroppedOverlayIsKept.is_in() {
            self.overlay.reset();
        }
        self.generation += 1;
        self.next_sequence = 0;
        self.stale = false;
        // Entries are given back as they fall, but their submissions run again in the order in which they came.
        self.redo.make_contiguous().sort_by_key(|waiting| waiting.arrival);
        while let Some(waiting) = self.redo.pop_back() {
            self.waiting_bytes += waiting.bytes;
            self.waiting.push_front(waiting);
        }
        Ok(true)
    }

    fn submit(&mut self, submission: Submission, out: &mut Vec<Output>) {
        let bytes = submission.units.iter().map(wire::weight).sum();
        let refusal = match self.role {
            Role::Leader { .. } if submission.units.iter().all(|unit| self.takes(unit)) => {
                // A single large submission is let in when nothing else waits.
                let full = |waiting| waiting > 0 && waiting + bytes > self.settings.queue_bytes_max;
                let blocks = submission.units.iter().any(|unit| matches!(unit, Unit::Block { .. }));
                (full(self.waiting_bytes) || (blocks && full(self.blocked.bytes()))).then_some(Refusal::Overloaded)
            }
            _ => Some(Refusal::NotLeader),
        };
        match refusal {
            Some(refusal) => out.push(Output::Refused(submission.ticket, refusal)),
            None => {
                self.arrivals += 1;
                self.waiting_bytes += bytes;
                self.waiting.push_back(Waiting { arrival: self.arrivals, bytes, submission });
            }
        }
    }

    /// Whether a unit is for what this group holds. A front sends no other; a frame of a peer may say anything.
    fn takes(&self, unit: &Unit) -> bool {
        matches!(unit, Unit::Change(_)) == matches!(self.content, Content::Facts(_))
    }

    fn become_role(&mut self, role: Role, out: &mut Vec<Output>) {
        let term = |role| match role {
            Role::Leader { term, .. } => Some(term),
            Role::Follower => None,
        };
        if term(role) == term(self.role) {
            return;
        }
        if matches!(self.role, Role::Leader { .. }) {
            self.step_down(out);
        }
        self.role = role;
    }

    /// What was proposed keeps waiting for the fate of its place in the log; everything else certainly did not run.
    fn step_down(&mut self, out: &mut Vec<Output>) {
        for mut flight in self.flights.drain(..) {
            flight::refuse(flight.after.drain(..), out);
            self.orphans.push(flight);
        }
        self.confirm.step_down(out);
        flight::refuse_waiting(self.redo.drain(..).chain(self.waiting.drain(..)), out);
        flight::refuse_waiting(self.blocked.drain(), out);
        self.waiting_bytes = 0;
        self.role = Role::Follower;
        self.stale = true;
        self.paused = false;
        self.housekeeping = false;
        self.overlay.reset();
        self.watches.clear();
        self.idle.clear();
    }

    fn proposed(&mut self, generation: u64, sequence: u64, place: (LogIndex, Term), out: &mut Vec<Output>) {
        let is_it = |flight: &Flight| (flight.generation, flight.sequence) == (generation, sequence);
        let passed = place.0 <= self.state.applied;
        if let Some(at) = self.flights.iter().position(is_it) {
            self.flights[at].place = Some(place);
            if Mutant::AnswersWhenProposed.is_in() {
                flight::answer(self.flights[at].jobs.drain(..), out);
            }
            if passed && let Some(flight) = self.flights.remove(at) {
                self.stale = true;
                flight.doubt(out);
            }
        } else if let Some(at) = self.orphans.iter().position(is_it) {
            self.orphans[at].place = Some(place);
            // Its place was passed before the host named it. Hosts tell in order, so this is not expected.
            if passed {
                self.orphans.swap_remove(at).doubt(out);
            }
        }
    }

    fn dropped(&mut self, generation: u64, sequence: u64, out: &mut Vec<Output>) {
        let is_dropped = |flight: &Flight| flight.generation == generation && flight.sequence >= sequence;
        if let Some(first) = self.flights.iter().position(is_dropped) {
            for flight in self.flights.drain(first..) {
                flight.take_back(&mut self.redo);
            }
            self.stale = true;
            // The group had no room. Every entry that is applied makes some, and the next generation starts when the
            // last of this one's is: then there is room for any entry. With none on its way the refusal has another
            // reason, such as leadership that is about to end.
            self.paused = self.flights.is_empty();
        }
        for flight in self.orphans.extract_if(.., |flight| is_dropped(flight)) {
            flight.refuse(out);
        }
    }

    /// An entry is applied: whoever waited for its place gets an answer.
    pub(super) fn settle(&mut self, entry: &Applied, out: &mut Vec<Output>) {
        while let Some(front) = self.flights.front() {
            let fate = front.fate(entry.index, entry.term);
            if fate == Fate::Open {
                break;
            }
            let Some(mut flight) = self.flights.pop_front() else { break };
            match fate {
                Fate::Landed if entry.skipped => {
                    self.stale = true;
                    flight.take_back(&mut self.redo);
                }
                Fate::Landed => {
                    self.overlay.retire(flight.number);
                    self.confirm.wait(flight.after.drain(..));
                    flight.answer(out);
                }
                Fate::Unknown => {
                    self.stale = true;
                    flight.doubt(out);
                }
                Fate::Lost | Fate::Open => {
                    self.stale = true;
                    flight.refuse(out);
                }
            }
        }
        for at in (0..self.orphans.len()).rev() {
            match self.orphans[at].fate(entry.index, entry.term) {
                Fate::Open => {}
                Fate::Landed if !entry.skipped => self.orphans.remove(at).answer(out),
                Fate::Landed | Fate::Lost => self.orphans.remove(at).refuse(out),
                Fate::Unknown => self.orphans.remove(at).doubt(out),
            }
        }
    }

    /// The state was replaced: nothing of what this replica knew about it holds any more.
    fn installed(&mut self, index: LogIndex, term: Term, out: &mut Vec<Output>) -> Result<()> {
        self.step_down(out);
        let state = super::snapshot::at(&*self.engine, self.group, index, term)?;
        self.version.change(|| self.state = state);
        self.version.set_events(Events::load(&*self.engine, self.group)?);
        out.push(Output::Applied(index));
        // What the snapshot passes over was not seen here.
        if self.tells_changes() {
            out.push(Output::Changed(vec![Changed::Everything]));
        }
        for at in (0..self.orphans.len()).rev() {
            match self.orphans[at].fate_under_snapshot(index, term) {
                Fate::Open => {}
                Fate::Landed => self.orphans.remove(at).answer(out),
                Fate::Lost => self.orphans.remove(at).refuse(out),
                Fate::Unknown => self.orphans.remove(at).doubt(out),
            }
        }
        Ok(())
    }

    /// Lets go what waits for proof of leadership, if there is some.
    pub(super) fn release(&mut self, now: Now, out: &mut Vec<Output>) {
        if let Role::Leader { term, .. } = self.role {
            self.confirm.release(now, term, out);
        }
    }
}
