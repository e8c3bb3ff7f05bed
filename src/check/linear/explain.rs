//! From a contradiction in thousands of operations to the few that a person needs to see.
//!
//! Leaving out operations until what is left contradicts itself would cheat: without its write every read is wrong. So
//! operations are *loosened* instead of left out: a loose one is taken as if its outcome were unknown, which allows
//! more and forbids nothing. What still contradicts itself with all others loose does so whatever they did. The
//! smallest such core is searched by delta debugging (Zeller and Hildebrandt, "Simplifying and isolating
//! failure-inducing input", 2002), starting with the operations that ended last.

use std::collections::BTreeSet;

use super::cell::{Cell, Content, Seen, Want};
use super::problem::{Object, Problem, Role};
use super::{Outcome as Ended, Stuck, search};
use crate::base::{HashMap, HashSet, Nanos};
use crate::check::Budget;
use crate::check::history::{Action, History, Operation, Outcome};
use crate::check::report::{Verdict, Violation};
use crate::check::show;

const PROMISE: &str = "linearizability";
/// How many searches for a smaller core.
const ATTEMPTS_MAX: usize = 400;
/// How many of them may end undecided: where many loose operations could explain anything, more of them do too.
const UNDECIDED_MAX: usize = 8;
/// How large a core may be to be shown whole.
const SHOWN_MAX: usize = 24;

/// Judges the operations (positions in the history) on an object.
pub fn judge(object: &Object, history: &History, operations: &[usize], budget: &mut Budget) -> Verdict {
    let chosen: Vec<(usize, Role)> = operations.iter().map(|&source| (source, Role::Firm)).collect();
    let problem = Problem::new(object, &history.operations, &chosen);
    match search(&problem, budget) {
        Ended::Linearizable => Verdict::Valid,
        Ended::GaveUp(reason) => Verdict::GaveUp(reason),
        Ended::Stuck(stuck) => {
            Verdict::Violated(vec![Explanation::new(object, history, operations, &problem, stuck).violation(budget)])
        }
    }
}

struct Explanation<'a> {
    object: &'a Object,
    history: &'a History,
    problem: &'a Problem<'a>,
    stuck: Stuck,
    /// Operations that had ended when the contradiction showed, by their ends.
    firm: Vec<usize>,
    /// All that began before it and may change something, in the order of the history.
    writers: Vec<usize>,
    attempts_left: usize,
    undecided_left: usize,
}

impl<'a> Explanation<'a> {
    fn new(
        object: &'a Object,
        history: &'a History,
        operations: &[usize],
        problem: &'a Problem<'a>,
        stuck: Stuck,
    ) -> Explanation<'a> {
        let all = &history.operations;
        let moment = problem.steps[stuck.step].end.unwrap_or(Nanos(u64::MAX));
        let began = |source: &usize| all[*source].start <= moment && all[*source].outcome != Outcome::Fail;
        let began: Vec<usize> = operations.iter().copied().filter(began).collect();
        let changes: HashSet<usize> =
            problem.steps.iter().filter(|step| !step.is_inert).map(|step| step.source).collect();
        let writers = began.iter().copied().filter(|source| changes.contains(source)).collect();
        let ended = |source: &usize| all[*source].end.is_some_and(|end| end <= moment);
        let mut firm: Vec<usize> = began.into_iter().filter(ended).collect();
        firm.sort_by_key(|&source| (all[source].end, source));
        Explanation {
            object,
            history,
            problem,
            stuck,
            firm,
            writers,
            attempts_left: ATTEMPTS_MAX,
            undecided_left: UNDECIDED_MAX,
        }
    }

    fn violation(mut self, budget: &Budget) -> Violation {
        let stuck = self.problem.steps[self.stuck.step].source;
        let core = self.core(budget);
        let is_small = core.as_ref().is_some_and(|core| core.len() <= SHOWN_MAX);
        let shown: Vec<usize> = match core {
            Some(core) if is_small => core,
            // What ended last, the one that cannot be explained among it.
            _ => self.firm.iter().rev().take(SHOWN_MAX / 2).copied().collect(),
        };
        let mut story = vec![match (is_small, shown.len()) {
            (true, 1) => "No order of the operations explains this reply:".to_owned(),
            (true, count) => {
                format!("No order that agrees with real time explains the replies of these {count} operations:")
            }
            (false, count) => format!(
                "No order that agrees with real time explains all replies until line {} ended. The {count} operations \
                 that ended last:",
                self.history.operations[stuck].line
            ),
        }];
        let origins = self.origins(&shown);
        story.extend(self.overwritten(&shown));
        story.extend(self.held(stuck));
        story.extend(origins.0);
        let mut operations: Vec<&Operation> =
            shown.iter().chain(&origins.1).map(|&source| &self.history.operations[source]).collect();
        operations.sort_by_key(|operation| operation.line);
        operations.dedup_by_key(|operation| operation.line);
        Violation::new(PROMISE, story, &operations)
    }

    /// The fewest operations that contradict each other whatever the others did; `None`: not found.
    fn core(&mut self, budget: &Budget) -> Option<Vec<usize>> {
        let facts: HashMap<usize, Facts> = self.facts();
        let mut core = None;
        let mut window = 2;
        while core.is_none() {
            let recent = &self.firm[self.firm.len().saturating_sub(window)..];
            let tried = related(recent, &self.firm, &facts);
            if self.contradicts(&tried, budget) {
                core = Some(tried);
            } else if window >= self.firm.len() || self.is_tired() {
                return None;
            }
            window *= 2;
        }
        let mut core = core?;
        let mut piece = core.len().div_ceil(2);
        loop {
            let mut at = 0;
            let mut smaller = false;
            while at < core.len() {
                let mut rest = core.clone();
                rest.drain(at..(at + piece).min(core.len()));
                if !rest.is_empty() && self.contradicts(&rest, budget) {
                    core = rest;
                    smaller = true;
                } else {
                    at += piece;
                }
            }
            if self.is_tired() || piece == 1 && !smaller {
                return Some(core);
            }
            piece = piece.div_ceil(2);
        }
    }

    /// Whether these contradict each other with all others loose.
    fn contradicts(&mut self, firm: &[usize], budget: &Budget) -> bool {
        /// A core worth showing is found quickly.
        const STEPS: u64 = 100_000;
        if self.is_tired() {
            return false;
        }
        self.attempts_left -= 1;
        let firm: BTreeSet<usize> = firm.iter().copied().collect();
        let all = &self.history.operations;
        let mut chosen: Vec<(usize, Role)> = firm.iter().map(|&source| (source, Role::Firm)).collect();
        chosen.extend(self.writers.iter().filter(|source| !firm.contains(source)).map(|&source| (source, Role::Loose)));
        chosen.sort_unstable_by_key(|&(source, _)| source);
        // Texts that only loose operations saw need not be told apart.
        let is_bank = chosen.iter().any(|&(source, _)| !matches!(all[source].action, Action::Registers(..)));
        let object = if is_bank {
            self.object.clone()
        } else {
            let operations = chosen.iter().map(|&(source, role)| (&all[source], role));
            Object::of_registers(self.object.keys.clone(), operations, self.object.clock_slack)
        };
        let problem = Problem::new(&object, all, &chosen);
        match search(&problem, &mut budget.aside(STEPS)) {
            Ended::Stuck(_) => true,
            Ended::Linearizable => false,
            Ended::GaveUp(_) => {
                self.undecided_left -= 1;
                false
            }
        }
    }

    /// Whether looking for a smaller core has been work enough.
    fn is_tired(&self) -> bool {
        self.attempts_left == 0 || self.undecided_left == 0
    }

    fn facts(&self) -> HashMap<usize, Facts> {
        let mut facts: HashMap<usize, Facts> = HashMap::default();
        for step in &self.problem.steps {
            let facts = facts.entry(step.source).or_default();
            for &(cell, want) in &step.wants {
                if let Want::Exactly(content) = want {
                    facts.saw.push((cell, content));
                }
            }
            for act in &step.acts {
                let left = match act.seen {
                    // The new number of an increment.
                    Seen::Int(number) if act.deed.leaves().is_none() => Some(Content::Number(number)),
                    _ => act.deed.leaves(),
                };
                facts.left.extend(left.map(|content| (act.cell, content)));
            }
        }
        facts
    }

    /// A sentence for the commonest contradiction: a value that another write had replaced.
    fn overwritten(&self, shown: &[usize]) -> Option<String> {
        if shown.len() != 3 {
            return None;
        }
        let facts = self.facts();
        let all = &self.history.operations;
        let mut by_time = shown.to_vec();
        by_time.sort_by_key(|&source| all[source].start);
        let [first, second, third] = by_time[..] else { return None };
        let seen = facts.get(&third)?.saw.first()?;
        let is_stale = facts.get(&first)?.left.contains(seen)
            && all[first].precedes(&all[second])
            && all[second].precedes(&all[third])
            && facts.get(&second)?.left.iter().any(|left| left.0 == seen.0 && left.1 != seen.1);
        is_stale.then(|| {
            format!(
                "The value in line {} is that of line {}, but line {} had replaced it in between.",
                all[third].line, all[first].line, all[second].line
            )
        })
    }

    /// What the cells that the inexplicable operation needed could hold.
    fn held(&self, stuck: usize) -> Vec<String> {
        const SHOWN_MAX: usize = 8;
        let step = &self.problem.steps[self.stuck.step];
        let line = self.history.operations[stuck].line;
        let mut sentences = Vec::new();
        if step.is_lapse {
            sentences.push(format!("The deadline that line {line} gave had passed by then."));
        }
        let cells: Vec<u32> = step.wants.iter().map(|&(cell, _)| cell).collect();
        if cells.is_empty() || self.stuck.states.is_empty() {
            return sentences;
        }
        let possible: BTreeSet<Vec<Cell>> = self
            .stuck
            .states
            .iter()
            .map(|state| cells.iter().map(|&cell| Cell { deadline: 0, ..state[cell as usize] }).collect())
            .collect();
        let text = |held: &Vec<Cell>| {
            let one = |(&cell, held): (&u32, &Cell)| {
                let text = match (held.content, self.object.dictionaries[cell as usize].text(held.content)) {
                    (Content::Absent, _) => "nothing".to_owned(),
                    (Content::Number(number), _) => number.to_string(),
                    (_, Some(text)) => show::quoted(&text),
                    (_, None) => "a value that nobody saw".to_owned(),
                };
                if cells.len() > 1 { format!("{}={text}", self.object.keys[cell as usize]) } else { text }
            };
            cells.iter().zip(held).map(one).collect::<Vec<_>>().join(" ")
        };
        let mut shown: Vec<String> = possible.iter().take(SHOWN_MAX).map(text).collect();
        shown.dedup();
        if possible.len() > SHOWN_MAX {
            shown.push(format!("{} more", possible.len() - SHOWN_MAX));
        }
        let keys: Vec<&str> = cells.iter().take(4).map(|&cell| self.object.keys[cell as usize].as_str()).collect();
        let (keys, more) = (keys.join(", "), if cells.len() > 4 { ", ..." } else { "" });
        sentences.push(format!(
            "Until line {line} ended, in every possible order, {keys}{more} held {}.",
            shown.join(" or ")
        ));
        sentences
    }

    /// Where the values that these operations saw come from: sentences, and operations to show as well.
    fn origins(&self, shown: &[usize]) -> (Vec<String>, Vec<usize>) {
        const EACH_MAX: usize = 2;
        let facts = self.facts();
        let mut sentences = Vec::new();
        let mut more = Vec::new();
        let saw: BTreeSet<(u32, Content)> =
            shown.iter().filter_map(|source| facts.get(source)).flat_map(|facts| facts.saw.iter().copied()).collect();
        for (cell, content) in saw {
            let dictionary = &self.object.dictionaries[cell as usize];
            // Numbers and grown texts come from many operations, nothing from none.
            let Content::Known { .. } = content else { continue };
            let Some(text) = dictionary.text(content) else { continue };
            let writers: Vec<usize> = self
                .problem
                .steps
                .iter()
                .filter(|step| facts.get(&step.source).is_some_and(|facts| facts.left.contains(&(cell, content))))
                .map(|step| step.source)
                .collect();
            if writers.is_empty() && !dictionary.grows() {
                let failed = self.history.operations.iter().position(|operation| {
                    operation.outcome == Outcome::Fail
                        && show::request(&operation.action).contains(&show::quoted(&text))
                });
                more.extend(failed);
                let why = if failed.is_some() { "only an operation that failed wrote it" } else { "nobody wrote it" };
                sentences.push(format!("{}: {why}.", show::quoted(&text)));
            } else {
                more.extend(writers.into_iter().filter(|source| !shown.contains(source)).take(EACH_MAX));
            }
        }
        (sentences, more)
    }
}

/// What an operation tells about values.
#[derive(Clone, Debug, Default)]
struct Facts {
    saw: Vec<(u32, Content)>,
    left: Vec<(u32, Content)>,
}

/// These operations, and those that wrote what they saw.
fn related(recent: &[usize], all: &[usize], facts: &HashMap<usize, Facts>) -> Vec<usize> {
    let of = |source: &usize| facts.get(source).into_iter();
    let saw: HashSet<(u32, Content)> = recent.iter().flat_map(of).flat_map(|facts| facts.saw.iter().copied()).collect();
    let recent: HashSet<usize> = recent.iter().copied().collect();
    let wrote = |source: &usize| of(source).any(|facts| facts.left.iter().any(|left| saw.contains(left)));
    all.iter().copied().filter(|source| recent.contains(source) || wrote(source)).collect()
}
