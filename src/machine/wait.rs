//! Commands that wait, as submissions: they are evaluated like all others and parked where they find nothing; those
//! who were served owe their answer to the entry that served them; and fronts say which they still want.

use super::blocked;
use super::flight::{Job, Waiting};
use super::session::{self, Known};
use super::{Content, Machine, Now, Output, Refusal, Result};
use crate::base::{Mutant, Term};
use crate::command::Call;
use crate::command::batch::{Unit, UnitReply};
use crate::store::overlay::OverlayView;

impl Machine {
    /// Runs a command that may wait: its reply, or `None` if it found nothing.
    pub(super) fn look(&mut self, call: &Call) -> Result<Option<UnitReply>> {
        let Content::Keys(slots) = self.content else { return Ok(None) };
        self.with_stage(slots, |stage| {
            if let Some(words) = stage.settled(call)? {
                return Ok(Some(UnitReply::Settled(words)));
            }
            let reply = stage.look(call, false)?.map(UnitReply::Call);
            stage.tell_touched();
            stage.serve()?;
            Ok(reply)
        })
    }

    /// Takes note of what a front says of its blocked commands, which it says in a submission of its own.
    pub(super) fn hear(&mut self, units: &[Unit], term: Term, now: Now, out: &mut Vec<Output>) -> Result<()> {
        match units {
            [Unit::StillBlocked { session, below, open }] => {
                self.idle.heard(*session, now.mono);
                let gone = self.blocked.keep(*session, *below, open, now.mono);
                refuse(gone, Refusal::Duplicate, out);
                let mut view = OverlayView::new(&*self.engine, &mut self.overlay);
                session::forget(&mut view, self.group, *session, session::acknowledged(*below, open))?;
            }
            [Unit::Hurry { session, numbers }] => {
                for number in numbers {
                    let Some(waiting) = self.blocked.take(*session, *number) else { continue };
                    let Some(call) = blocked::waits(&waiting).cloned() else { continue };
                    let replies = self.run(&[Unit::Call(call)], term)?;
                    self.served.push((waiting, replies));
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// The answers of those who were served since the last time.
    pub(super) fn owe_served(&mut self, jobs: &mut Vec<Job>) -> Result<()> {
        for (waiting, replies) in std::mem::take(&mut self.served) {
            self.remember(&waiting, &replies)?;
            self.owe(waiting, replies, jobs);
        }
        Ok(())
    }

    /// Stores the answer of a command that waited, if its front may have to ask for it again.
    pub(super) fn remember(&mut self, waiting: &Waiting, replies: &[UnitReply]) -> Result<()> {
        let Some(origin) = &waiting.submission.origin else { return Ok(()) };
        let is_remembered = matches!(waiting.submission.units[..], [Unit::Block { remembered: true, .. }]);
        let forgets = Mutant::ServedWaitersAreForgotten.is_in();
        if !is_remembered || forgets || !matches!(replies, [UnitReply::Call(_)]) {
            return Ok(());
        }
        let mut view = OverlayView::new(&*self.engine, &mut self.overlay);
        if let Known::New { acknowledged } = session::look_up(&view, self.group, origin)? {
            session::remember(&mut view, self.group, origin, acknowledged.as_ref(), replies);
        }
        Ok(())
    }
}

/// Says that submissions did not run.
pub(super) fn refuse(waiting: impl IntoIterator<Item = Waiting>, refusal: Refusal, out: &mut Vec<Output>) {
    out.extend(waiting.into_iter().map(|waiting| Output::Refused(waiting.submission.ticket, refusal)));
}
