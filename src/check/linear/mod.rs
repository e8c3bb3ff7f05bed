//! Linearizability: is there an order of all operations on an object, in agreement with real time, that explains
//! every reply?
//!
//! Just-in-time linearization (Lowe, "Testing for linearizability", 2017, section 4): go through calls and returns in
//! the order of time and keep all configurations that are possible. Nothing takes effect until it must: at the return
//! of an operation, every configuration in which it has not taken effect yet is continued by all sequences of
//! operations under way that end with it. When no configuration is left, the history contradicts itself, at this
//! return.
//!
//! What keeps the number of configurations small, each without losing an order that matters:
//!
//! - A read takes effect as soon as it can: it changes nothing, so nothing is lost.
//! - A covered write is *hidden* (`configuration`), so a write need not be tried where the next one covers it.
//! - Two operations that have nothing to do with each other are tried in one order only.
//! - An unknown outcome is only tried where somebody under way could tell the difference, and equal ones are counted
//!   instead of told apart (`problem`).
//! - A configuration is dropped when another one covers it.
//!
//! Deciding linearizability is NP-complete (Gibbons and Korach, "Testing shared memories", 1997), so the work and
//! the number of configurations are bounded: beyond the bounds the search gives up, and says so.

pub mod cell;
mod configuration;
pub mod explain;
pub mod problem;

use self::cell::{Cell, Content, Deed, Want};
use self::configuration::{Configuration, SLOTS, Slots, reduce};
use self::problem::{Drift, Problem, Step};
use super::Budget;
use crate::base::HashSet;

/// How a search ended.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// There is such an order.
    Linearizable,
    /// There is none.
    Stuck(Stuck),
    /// Not decided; the reason.
    GaveUp(String),
}

/// Where a history contradicts itself.
#[derive(Clone, Debug)]
pub struct Stuck {
    /// The step that could not have taken effect when it returned.
    pub step: usize,
    /// Everything the cells could hold meanwhile, each once.
    pub states: Vec<Box<[Cell]>>,
}

/// Searches an order.
pub fn search(problem: &Problem, budget: &mut Budget) -> Outcome {
    match (Search::new(problem, budget)).run() {
        Ok(None) => Outcome::Linearizable,
        Ok(Some(stuck)) => Outcome::Stuck(stuck),
        Err(reason) => Outcome::GaveUp(reason),
    }
}

struct Search<'a> {
    problem: &'a Problem<'a>,
    budget: &'a mut Budget,
    configurations: Vec<Configuration>,
    /// The step in each slot that is taken.
    under_way: Vec<usize>,
    taken: Slots,
    inert: Slots,
    /// The slot of each step that is under way.
    slots: Vec<Option<usize>>,
    /// Which steps have returned.
    returned: Vec<bool>,
    /// How many of each class have been called.
    called: Vec<u32>,
    /// Classes that are not quiet and have been called.
    loud: Vec<usize>,
    /// How many of the steps that a quiet class feeds have not returned.
    feeds_left: Vec<usize>,
}

/// The operation that took effect last, within one continuation.
#[derive(Clone, Copy)]
struct Last {
    step: usize,
    /// A read took effect since, or a deadline was avoided, so that it cannot be put off.
    is_seen: bool,
}

impl<'a> Search<'a> {
    fn new(problem: &'a Problem<'a>, budget: &'a mut Budget) -> Search<'a> {
        let start = Configuration {
            state: problem.object.start.clone().into_boxed_slice(),
            done: Slots::default(),
            hidden: Slots::default(),
            spent: Vec::new(),
        };
        Search {
            problem,
            budget,
            configurations: vec![start],
            under_way: vec![usize::MAX; SLOTS],
            taken: Slots::default(),
            inert: Slots::default(),
            slots: vec![None; problem.steps.len()],
            returned: vec![false; problem.steps.len()],
            called: vec![0; problem.classes.len()],
            loud: Vec::new(),
            feeds_left: problem.classes.iter().map(|class| class.feeds).collect(),
        }
    }

    fn run(mut self) -> Result<Option<Stuck>, String> {
        let problem = self.problem;
        for event in &problem.events {
            if !event.is_return {
                self.call(event.step)?;
            } else if let Some(stuck) = self.end(event.step)? {
                return Ok(Some(stuck));
            }
        }
        Ok(None)
    }

    fn call(&mut self, at: usize) -> Result<(), String> {
        let step = &self.problem.steps[at];
        if let Some(class) = step.class {
            self.called[class] += 1;
            if self.called[class] == 1 && !self.problem.classes[class].is_quiet {
                self.loud.push(class);
            }
            return Ok(());
        }
        let slot = self.taken.first_free();
        let slot = slot.ok_or_else(|| format!("more than {SLOTS} operations on it were under way at the same time"))?;
        self.taken.insert(slot);
        self.under_way[slot] = at;
        self.slots[at] = Some(slot);
        if step.is_inert {
            self.inert.insert(slot);
            for configuration in &mut self.configurations {
                if fits(self.problem, step, &configuration.state) {
                    configuration.done.insert(slot);
                }
            }
        }
        Ok(())
    }

    fn end(&mut self, at: usize) -> Result<Option<Stuck>, String> {
        let Some(slot) = self.slots[at] else { return Ok(None) };
        let mut fine = Vec::with_capacity(self.configurations.len());
        let mut late = Vec::new();
        for configuration in self.configurations.drain(..) {
            if configuration.done.has(slot) {
                fine.push(configuration);
            } else if configuration.hidden.has(slot) {
                // The last chance to take effect where it would be seen.
                late.push(configuration.clone());
                fine.push(configuration);
            } else {
                late.push(configuration);
            }
        }
        let mut states = HashSet::default();
        if !late.is_empty() {
            states = self.continue_to(at, slot, late, &mut fine)?;
        }
        if fine.is_empty() {
            let mut states: Vec<Box<[Cell]>> = states.into_iter().map(|configuration| configuration.state).collect();
            states.sort_unstable();
            states.dedup();
            return Ok(Some(Stuck { step: at, states }));
        }
        self.taken.remove(slot);
        self.inert.remove(slot);
        self.slots[at] = None;
        self.returned[at] = true;
        for configuration in &mut fine {
            configuration.done.remove(slot);
            configuration.hidden.remove(slot);
        }
        for &class in &self.problem.steps[at].fed_by {
            self.feeds_left[class] -= 1;
            if self.feeds_left[class] == 0 {
                // Nobody can tell any more.
                for configuration in &mut fine {
                    configuration.spent.retain(|&(spent, _)| spent as usize != class);
                }
            }
        }
        reduce(&mut fine, &self.inert);
        self.configurations = fine;
        Ok(None)
    }

    /// All ways in which operations under way can take effect until the target does: adds what comes out to `fine`,
    /// and returns all configurations on the way.
    fn continue_to(
        &mut self,
        target: usize,
        target_slot: usize,
        from: Vec<Configuration>,
        fine: &mut Vec<Configuration>,
    ) -> Result<HashSet<Configuration>, String> {
        let problem = self.problem;
        let mut tried: HashSet<Configuration> = from.iter().cloned().collect();
        let mut results: HashSet<Configuration> = HashSet::default();
        let mut stack: Vec<(Configuration, Option<Last>)> = from.into_iter().map(|from| (from, None)).collect();
        // Quiet classes matter only to operations under way that they feed.
        let mut classes: Vec<usize> =
            self.taken.iter().flat_map(|slot| problem.steps[self.under_way[slot]].fed_by.iter().copied()).collect();
        classes.sort_unstable();
        classes.dedup();
        classes.extend_from_slice(&self.loud);
        while let Some((configuration, last)) = stack.pop() {
            if self.follows(last, target, true)
                && let Some((next, _)) = self.take(&configuration, target, Some(target_slot))?
            {
                results.insert(next);
            }
            let taken = self.taken;
            for slot in taken.iter() {
                let at = self.under_way[slot];
                let step = &problem.steps[at];
                // What is inert and fits has taken effect already.
                if at == target || step.is_inert || configuration.done.has(slot) || !self.follows(last, at, false) {
                    continue;
                }
                if let Some((next, is_seen)) = self.take(&configuration, at, Some(slot))?
                    && (!step.is_lapse || next.state != configuration.state)
                    && !tried.contains(&next)
                {
                    tried.insert(next.clone());
                    stack.push((next, Some(Last { step: at, is_seen })));
                }
            }
            for &class in &classes {
                let at = problem.classes[class].step;
                if configuration.spent(class) >= self.called[class] || !self.follows(last, at, false) {
                    continue;
                }
                // One that changes nothing may still hide another write.
                if let Some((next, is_seen)) = self.take(&configuration, at, None)?
                    && (next.state != configuration.state || next.hidden != configuration.hidden)
                    && (is_seen || self.could_tell(&next, &problem.steps[at]))
                    && !tried.contains(&next)
                {
                    tried.insert(next.clone());
                    stack.push((next, Some(Last { step: at, is_seen })));
                }
            }
            if tried.len() + results.len() > self.budget.configurations_max {
                return Err(format!(
                    "more than {} configurations would have to be kept in mind",
                    self.budget.configurations_max
                ));
            }
        }
        fine.extend(results);
        Ok(tried)
    }

    /// Whether a step has to be tried after this last one; if not, there is another sequence that leads as far.
    fn follows(&self, last: Option<Last>, at: usize, is_target: bool) -> bool {
        let Some(Last { step: before, is_seen: false }) = last else { return true };
        let (earlier, later) = (&self.problem.steps[before], &self.problem.steps[at]);
        if meet(&earlier.touches, &later.touches) {
            // A write that is covered at once is hidden, not tried.
            return !(earlier.is_blind && later.is_blind && within(&earlier.touches, &later.touches));
        }
        // Nothing to do with each other: one order is enough, and the earlier one can wait until after the target.
        !is_target && before < at
    }

    /// Lets a step take effect; whether a read or a deadline on one of its cells had to do with it. `None`: it cannot.
    fn take(
        &mut self,
        from: &Configuration,
        at: usize,
        slot: Option<usize>,
    ) -> Result<Option<(Configuration, bool)>, String> {
        self.budget.spend()?;
        let step = &self.problem.steps[at];
        if step.is_lapse && !self.may_lapse(from, step) {
            return Ok(None);
        }
        let Some(state) = apply(self.problem, step, &from.state) else { return Ok(None) };
        let mut next = Configuration { state, done: from.done, hidden: from.hidden, spent: from.spent.clone() };
        match (slot, step.class) {
            (Some(slot), _) => {
                next.done.insert(slot);
                next.hidden.remove(slot);
            }
            (None, Some(class)) => next.spend(class),
            (None, None) => {}
        }
        let mut is_seen = false;
        for slot in self.taken.iter() {
            let other = &self.problem.steps[self.under_way[slot]];
            if next.done.has(slot) {
                continue;
            }
            if step.is_blind && other.is_blind && within(&other.touches, &step.touches) {
                next.hidden.insert(slot);
            } else if other.is_inert && fits(self.problem, other, &next.state) {
                next.done.insert(slot);
                is_seen |= meet(&other.touches, &step.touches);
            } else if other.is_lapse && self.may_lapse(&next, other) && !is_due(other, &next.state) {
                // The value it belongs to is gone for good, or its deadline is: in time, which putting off might miss.
                next.done.insert(slot);
                is_seen |= meet(&other.touches, &step.touches);
            }
        }
        Ok(Some((next, is_seen)))
    }

    /// A deadline can pass once the operation that gave it has taken effect.
    fn may_lapse(&self, configuration: &Configuration, lapse: &Step) -> bool {
        let Some(giver) = lapse.after else { return true };
        self.returned[giver] || self.slots[giver].is_some_and(|slot| configuration.done.has(slot))
    }

    /// Whether an operation of unknown outcome that took effect here can matter to one that has yet to take effect; if
    /// not, it can be put off.
    fn could_tell(&self, configuration: &Configuration, step: &Step) -> bool {
        self.taken.iter().filter(|&slot| !configuration.done.has(slot)).any(|slot| {
            let other = &self.problem.steps[self.under_way[slot]];
            if let [cell] = step.touches[..] {
                other.wants.iter().any(|&(wanted, want)| wanted == cell && self.may_want(configuration, cell, want))
            } else {
                // Whoever covers a part of it leaves the rest to be seen later.
                meet(&step.touches, &other.touches) && !(other.is_blind && within(&step.touches, &other.touches))
            }
        })
    }

    /// Whether a cell holds what somebody wants, or may come to hold it.
    fn may_want(&self, configuration: &Configuration, cell: u32, want: Want) -> bool {
        let now = configuration.state[cell as usize].content;
        match (want, self.problem.drifts[cell as usize]) {
            (Want::Nothing, _) => false,
            (Want::Something, _) | (_, Drift::Any) => true,
            (Want::Exactly(wanted), _) if wanted == now => true,
            (Want::Exactly(Content::Number(wanted)), Drift::Up) => wanted > number(now),
            (Want::Exactly(Content::Number(wanted)), Drift::Down) => wanted < number(now),
            (Want::Exactly(_), _) => false,
        }
    }
}

fn number(content: Content) -> i64 {
    match content {
        Content::Number(number) => number,
        _ => 0,
    }
}

/// Whether the value that a lapse belongs to is there.
fn is_due(lapse: &Step, state: &[Cell]) -> bool {
    lapse.acts.iter().any(|act| match act.deed {
        Deed::Lapse { deadline } => state[act.cell as usize].deadline == deadline,
        _ => false,
    })
}

/// Whether a step that changes nothing can be answered as it was.
fn fits(problem: &Problem, step: &Step, state: &[Cell]) -> bool {
    step.acts.iter().all(|act| {
        let dictionary = &problem.object.dictionaries[act.cell as usize];
        act.deed.apply(dictionary, state[act.cell as usize], act.seen).is_some()
    })
}

/// The cells after a step; `None`: it cannot be answered as it was.
fn apply(problem: &Problem, step: &Step, state: &[Cell]) -> Option<Box<[Cell]>> {
    let dictionaries = &problem.object.dictionaries;
    if let [act] = step.acts[..] {
        // Most are refused: look before copying.
        let after = act.deed.apply(&dictionaries[act.cell as usize], state[act.cell as usize], act.seen)?;
        let mut state: Box<[Cell]> = state.into();
        state[act.cell as usize] = after;
        return Some(state);
    }
    let mut after: Box<[Cell]> = state.into();
    for act in &step.acts {
        let cell = &mut after[act.cell as usize];
        *cell = act.deed.apply(&dictionaries[act.cell as usize], *cell, act.seen)?;
    }
    Some(after)
}

/// Whether two sorted lists have an element in common.
fn meet(a: &[u32], b: &[u32]) -> bool {
    if let ([a], [b]) = (a, b) {
        return a == b;
    }
    a.iter().any(|cell| b.binary_search(cell).is_ok())
}

/// Whether the first sorted list is part of the second.
fn within(a: &[u32], b: &[u32]) -> bool {
    a.iter().all(|cell| b.binary_search(cell).is_ok())
}
