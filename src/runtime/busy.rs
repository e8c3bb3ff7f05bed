//! Scripts that run for long. A machine's thread evaluates one unit after the other, so all others wait for a script; who
//! asks the machine meanwhile is told `-BUSY`, as in Redis, and certainly did not run.
//!
//! Invariant: whoever is refused was not taken by the machine's thread: what it took runs, and is answered.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use super::core::Core;
use super::machines::{Event, ReplyTo};
use super::peers::wire;
use crate::base::{GroupId, Nanos, Ticket};
use crate::command::script::Kind;
use crate::machine::Refusal;
use crate::service::forward::Answer;

/// Part of the time within which clients are answered that is left for the answer when they have waited for a script.
const ANSWER_TIME: Duration = Duration::from_millis(400);

/// One thread's turn, as others see it.
#[derive(Debug, Default)]
pub struct Turn {
    /// When it began; 0 while the thread sleeps.
    since: AtomicU64,
    busy: AtomicU8,
}

impl Turn {
    /// The thread has work.
    pub fn begin(&self, now: Nanos) {
        self.since.store(now.0.max(1), Relaxed);
    }

    /// It has none.
    pub fn end(&self) {
        self.since.store(0, Relaxed);
        if self.busy.load(Relaxed) != 0 {
            self.busy.store(0, Relaxed);
        }
    }

    /// Whether a script keeps others waiting.
    pub fn busy(&self) -> Option<Kind> {
        match self.busy.load(Relaxed) {
            0 => None,
            1 => Some(Kind::Script),
            _ => Some(Kind::Function),
        }
    }

    /// Decides it anew: a turn that lasts longer than `patience` while something runs.
    fn look(&self, now: Nanos, patience: Duration, runs: impl FnOnce() -> Option<Kind>) -> Option<Kind> {
        let since = self.since.load(Relaxed);
        let busy = if since != 0 && now.since(Nanos(since)) >= patience { runs() } else { None };
        let code = match busy {
            None => 0,
            Some(Kind::Script) => 1,
            Some(Kind::Function) => 2,
        };
        if self.busy.load(Relaxed) != code {
            self.busy.store(code, Relaxed);
        }
        busy
    }
}

/// Looks for scripts that run for long, and refuses who waits behind them. The script's own client waits for it.
pub fn look(core: &Core, now: Nanos) {
    let patience = core.machines.script_patience().min(core.config.deadline().saturating_sub(ANSWER_TIME));
    let mut here = Vec::new();
    for (index, turn) in core.machines.turns().iter().enumerate() {
        let Some(kind) = turn.look(now, patience, || core.running.kind()) else { continue };
        for event in core.machines.take_submissions(index) {
            let Event::Submit { group, reply_to, .. } = event else { continue };
            refuse(group, reply_to, Refusal::Busy(kind), &mut here);
        }
        core.forwarding.prolong(core, core.machines.groups_of(index));
    }
    core.forwarding.answered(core, &mut here);
}

fn refuse(group: GroupId, reply_to: ReplyTo, refusal: Refusal, here: &mut Vec<(GroupId, Ticket, Answer)>) {
    let answer = Answer::Refused(refusal);
    match reply_to {
        ReplyTo::Here(attempt, _span) => here.push((group, attempt, answer)),
        ReplyTo::Peer { answers, ticket, span: _span } => {
            let answer = wire::answer_to_wire(group, ticket, &answer);
            let bytes = wire::answer_weight(&answer);
            answers.push([(answer, bytes)]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_is_busy_while_a_script_makes_its_turn_long() {
        let (turn, patience) = (Turn::default(), Duration::from_nanos(100));
        let look = |now, runs: Option<Kind>| turn.look(Nanos(now), patience, || runs);
        assert_eq!(look(5_000, Some(Kind::Script)), None, "it sleeps");
        turn.begin(Nanos(5_000));
        assert_eq!(look(5_099, Some(Kind::Script)), None, "not yet");
        assert_eq!(look(5_100, None), None, "it does something else");
        assert_eq!((look(5_100, Some(Kind::Script)), turn.busy()), (Some(Kind::Script), Some(Kind::Script)));
        assert_eq!((look(5_200, Some(Kind::Function)), turn.busy()), (Some(Kind::Function), Some(Kind::Function)));
        turn.end();
        assert_eq!((turn.busy(), look(9_000, Some(Kind::Script))), (None, None));
    }
}
