//! An object and its operations, made ready for the search: cells instead of keys, deeds instead of words, calls and
//! returns in the order of time.
//!
//! - Deadlines become operations. "PX 500" lets its value lapse at one moment between start + 500 ms and end + 500 ms
//!   (give or take what the clocks may be wrong): a call, a return, and an effect on that value only. What is gone
//!   then stays gone by the rules that hold for every other operation.
//! - Operations of unknown outcome have no return. Those that would do the same form a [`Class`]: which of them took
//!   effect makes no difference, so the search only counts.
//! - A class is *quiet* when what it writes can only matter to operations that saw exactly this value. The search
//!   looks at it only while one of these is under way. With unique values this makes hundreds of unknown outcomes
//!   cost next to nothing.

use std::collections::BTreeMap;

use super::cell::{Cell, Content, Deed, Dictionary, Seen, Want, When};
use crate::base::{HashMap, Nanos};
use crate::check::history::{Action, Command, Operation, Outcome, Reply, Verb};

/// Keys (or accounts) that are judged together.
#[derive(Clone, Debug, Default)]
pub struct Object {
    /// Their names, sorted.
    pub keys: Vec<String>,
    /// One per key.
    pub dictionaries: Vec<Dictionary>,
    /// What they hold before the first operation.
    pub start: Vec<Cell>,
    /// By how much clocks may differ where deadlines are concerned.
    pub clock_slack: Nanos,
}

/// How an operation is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// As the history has it.
    Firm,
    /// As if its outcome were unknown: this allows more, never less.
    Loose,
}

/// A deed on a cell, and its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Act {
    pub cell: u32,
    pub deed: Deed,
    pub seen: Seen,
}

/// An operation for the search.
#[derive(Clone, Debug)]
pub struct Step {
    /// Position of its operation in the history.
    pub source: usize,
    /// It is the moment at which a deadline given by that operation passes.
    pub is_lapse: bool,
    pub acts: Vec<Act>,
    pub call: Nanos,
    /// `None`: unknown outcome.
    pub end: Option<Nanos>,
    /// It changes nothing whenever it can be answered as it was.
    pub is_inert: bool,
    /// It can always be answered as it was, and leaves the same whatever was there.
    pub is_blind: bool,
    /// The cells it has to do with, sorted.
    pub touches: Vec<u32>,
    /// What it needs to find, by cell.
    pub wants: Vec<(u32, Want)>,
    /// For a lapse of known outcome: the step that gave the deadline.
    pub after: Option<usize>,
    /// For an unknown outcome.
    pub class: Option<usize>,
    /// For a known outcome: quiet classes that write what it saw.
    pub fed_by: Vec<usize>,
}

/// Steps of unknown outcome that do the same.
#[derive(Clone, Debug)]
pub struct Class {
    /// One of them.
    pub step: usize,
    /// Only operations that saw exactly what it writes can tell whether it took effect.
    pub is_quiet: bool,
    /// How many steps it feeds.
    pub feeds: usize,
}

/// Which way unknown outcomes that depend on what they find can move a cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drift {
    None,
    Up,
    Down,
    Any,
}

/// A call or a return.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Event {
    pub time: Nanos,
    /// At the same moment calls come before returns, which allows more orders.
    pub is_return: bool,
    pub step: usize,
}

/// What the search works on.
#[derive(Debug)]
pub struct Problem<'a> {
    pub object: &'a Object,
    pub steps: Vec<Step>,
    pub classes: Vec<Class>,
    pub drifts: Vec<Drift>,
    pub events: Vec<Event>,
}

impl Object {
    /// Of all register operations on these keys (sorted, each once). Only texts in replies of firm ones are
    /// kept apart.
    pub fn of_registers<'a>(
        keys: Vec<String>,
        operations: impl Iterator<Item = (&'a Operation, Role)>,
        clock_slack: Nanos,
    ) -> Object {
        #[derive(Default)]
        struct Texts {
            seen: Vec<String>,
            tokens: Vec<String>,
            numeric: bool,
            measured: bool,
        }
        let mut texts: Vec<Texts> = keys.iter().map(|_| Texts::default()).collect();
        for (operation, role) in operations {
            let Action::Registers(_, commands) = &operation.action else { continue };
            for command in commands {
                let Ok(cell) = keys.binary_search(&command.key) else { continue };
                let texts = &mut texts[cell];
                if let Some(Reply::Text(text)) = &command.reply
                    && role == Role::Firm
                {
                    texts.seen.push(text.clone());
                }
                match &command.verb {
                    Verb::Append(token) => texts.tokens.push(token.clone()),
                    Verb::Add(_) => texts.numeric = true,
                    Verb::Strlen => texts.measured = true,
                    Verb::Cas(Some(old), _) => texts.seen.push(old.clone()),
                    _ => {}
                }
            }
        }
        let dictionary = |texts: Texts| Dictionary::new(texts.seen, texts.tokens, texts.numeric, texts.measured);
        let start = vec![Cell::ABSENT; keys.len()];
        Object { keys, dictionaries: texts.into_iter().map(dictionary).collect(), start, clock_slack }
    }

    /// Of a bank's accounts (sorted) and their first balances.
    pub fn of_bank(accounts: &[(String, i64)]) -> Object {
        let dictionary = || Dictionary::new(Vec::new(), Vec::new(), true, false);
        Object {
            keys: accounts.iter().map(|(account, _)| account.clone()).collect(),
            dictionaries: accounts.iter().map(|_| dictionary()).collect(),
            start: accounts.iter().map(|&(_, balance)| Cell::number(balance)).collect(),
            clock_slack: Nanos(0),
        }
    }

    /// What an operation does to the cells, and the deadlines it gives in milliseconds. `deadline` counts deadlines.
    fn acts(&self, operation: &Operation, role: Role, deadline: &mut u32) -> (Vec<Act>, Vec<(Act, u64)>) {
        let mut acts = Vec::new();
        let mut deadlines = Vec::new();
        let mut act = |key: &str, deed: Deed, seen: Seen| {
            let Ok(cell) = self.keys.binary_search_by(|name| name.as_str().cmp(key)) else { return };
            let seen = if role == Role::Loose { Seen::Any } else { seen };
            acts.push(Act { cell: cell as u32, deed, seen });
        };
        let number = |number: Option<i64>| number.map_or(Seen::Any, Seen::Int);
        match &operation.action {
            Action::Registers(_, commands) => {
                for command in commands {
                    let Ok(cell) = self.keys.binary_search(&command.key) else { continue };
                    let is_firm = role == Role::Firm && operation.outcome == Outcome::Ok;
                    let (deed, px) = deed(&self.dictionaries[cell], command, is_firm, deadline);
                    if let Some(px) = px {
                        let lapse = Deed::Lapse { deadline: *deadline };
                        deadlines.push((Act { cell: cell as u32, deed: lapse, seen: Seen::Any }, px));
                    }
                    act(&command.key, deed, seen(&self.dictionaries[cell], command));
                }
            }
            Action::Transfer { from, to, amount, reply, .. } => {
                act(from, Deed::Add(-amount), number(reply.map(|reply| reply.0)));
                act(to, Deed::Add(*amount), number(reply.map(|reply| reply.1)));
            }
            Action::Balances { reply, .. } => {
                for (account, balance) in reply.iter().flatten() {
                    act(account, Deed::Get, Seen::Value(Content::Number(*balance)));
                }
            }
            _ => {}
        }
        (acts, deadlines)
    }
}

fn deed(dictionary: &Dictionary, command: &Command, is_firm: bool, deadlines: &mut u32) -> (Deed, Option<u64>) {
    let content = |text: &str| dictionary.content(text);
    let deed = match &command.verb {
        Verb::Get => Deed::Get,
        Verb::Set(options) => {
            let when = match (options.if_absent, options.if_present) {
                (true, _) => When::IfAbsent,
                (_, true) => When::IfPresent,
                _ => When::Always,
            };
            *deadlines += u32::from(options.px.is_some());
            let deadline = options.px.map_or(0, |_| *deadlines);
            let (value, keep, old) = (content(&options.value), options.keep_deadline, options.get);
            return (Deed::Set { value, when, deadline, keep, old }, options.px);
        }
        Verb::Setnx(value) => {
            Deed::Set { value: content(value), when: When::IfAbsent, deadline: 0, keep: false, old: false }
        }
        Verb::Getset(value) => {
            Deed::Set { value: content(value), when: When::Always, deadline: 0, keep: false, old: true }
        }
        Verb::Getdel => Deed::Getdel,
        Verb::Del => Deed::Del,
        Verb::Exists => Deed::Exists,
        Verb::Strlen => Deed::Strlen,
        Verb::Append(token) => Deed::Append { token: dictionary.token(token, is_firm) },
        Verb::Add(by) => Deed::Add(*by),
        Verb::Cas(old, new) => Deed::Cas { old: old.as_deref().map_or(Content::Absent, content), new: content(new) },
        // PEXPIRE with 0 deletes at once.
        Verb::Pexpire(px) => {
            *deadlines += 1;
            return (Deed::Expire { deadline: *deadlines }, Some(*px));
        }
        Verb::Persist => Deed::Persist,
    };
    (deed, None)
}

fn seen(dictionary: &Dictionary, command: &Command) -> Seen {
    let is_status = match &command.verb {
        Verb::Set(options) => !options.get,
        _ => false,
    };
    match &command.reply {
        None => Seen::Any,
        Some(Reply::Nil) => Seen::Nil,
        Some(Reply::Int(number)) => Seen::Int(*number),
        Some(Reply::Text(_)) if is_status => Seen::Done,
        Some(Reply::Text(text)) => Seen::Value(dictionary.content(text)),
    }
}

impl<'a> Problem<'a> {
    /// Of these operations (positions in the history, and how to take each); failed ones are left out.
    pub fn new(object: &'a Object, history: &[Operation], chosen: &[(usize, Role)]) -> Problem<'a> {
        let mut problem = Problem {
            object,
            steps: Vec::with_capacity(chosen.len()),
            classes: Vec::new(),
            drifts: vec![Drift::None; object.keys.len()],
            events: Vec::with_capacity(2 * chosen.len()),
        };
        let mut deadline = 0;
        for &(source, role) in chosen {
            let operation = &history[source];
            if operation.outcome == Outcome::Fail {
                continue;
            }
            let (acts, deadlines) = object.acts(operation, role, &mut deadline);
            let end = operation.end.filter(|_| role == Role::Firm);
            if acts.is_empty() || end.is_none() && acts.iter().all(|act| act.deed.is_inert(Seen::Any)) {
                continue;
            }
            let giver = problem.push(source, acts, operation.start, end);
            for (act, px) in deadlines {
                problem.push_lapse(giver, act, px);
            }
        }
        problem.classify();
        problem.schedule();
        problem
    }

    fn push(&mut self, source: usize, acts: Vec<Act>, call: Nanos, end: Option<Nanos>) -> usize {
        let mut touches: Vec<u32> = acts.iter().map(|act| act.cell).collect();
        touches.sort_unstable();
        touches.dedup();
        // What it needs to find is what its first deed on each cell needs.
        let mut wants: BTreeMap<u32, Want> = BTreeMap::new();
        for act in &acts {
            wants.entry(act.cell).or_insert_with(|| act.deed.wants(act.seen));
        }
        self.steps.push(Step {
            source,
            is_lapse: false,
            call,
            end,
            is_inert: acts.iter().all(|act| act.deed.is_inert(act.seen)),
            is_blind: acts.iter().all(|act| act.deed.is_blind(act.seen)),
            touches,
            wants: wants.into_iter().filter(|(_, want)| *want != Want::Nothing).collect(),
            acts,
            after: None,
            class: None,
            fed_by: Vec::new(),
        });
        self.steps.len() - 1
    }

    /// The moment when a deadline passes. Clocks of servers count in whole milliseconds: one is allowed on each side.
    fn push_lapse(&mut self, giver: usize, act: Act, px: u64) {
        let Step { source, call, end, .. } = self.steps[giver];
        let (px, slack) = (px.saturating_mul(1_000_000), self.object.clock_slack.0.saturating_add(1_000_000));
        let earliest = call.0.saturating_add(px).saturating_sub(slack).max(call.0);
        let latest = end.map(|end| Nanos(end.0.saturating_add(px).saturating_add(slack)));
        let lapse = self.push(source, vec![act], Nanos(earliest), latest);
        self.steps[lapse].is_lapse = true;
        self.steps[lapse].after = latest.map(|_| giver);
    }

    /// Puts what may or may not have happened into classes.
    fn classify(&mut self) {
        let mut is_exact = vec![true; self.object.keys.len()];
        for step in &self.steps {
            let depends = step.end.is_none() && !step.is_blind;
            for &cell in &step.touches {
                is_exact[cell as usize] &= !step.is_lapse && !depends;
            }
            for act in step.acts.iter().filter(|_| depends) {
                let drift = &mut self.drifts[act.cell as usize];
                *drift = match (*drift, act.deed) {
                    (Drift::None | Drift::Up, Deed::Add(1..)) => Drift::Up,
                    (Drift::None | Drift::Down, Deed::Add(..=-1)) => Drift::Down,
                    _ => Drift::Any,
                };
            }
            for &(cell, want) in &step.wants {
                is_exact[cell as usize] &= want != Want::Something;
            }
        }
        let mut classes: HashMap<Vec<Act>, usize> = HashMap::default();
        let mut quiet: HashMap<(u32, Content), Vec<usize>> = HashMap::default();
        for at in 0..self.steps.len() {
            let step = &self.steps[at];
            if step.end.is_some() {
                continue;
            }
            let next = self.classes.len();
            let class = *classes.entry(step.acts.clone()).or_insert(next);
            if class == next {
                let mut is_quiet = false;
                if let [act] = step.acts[..]
                    && let Some(content) = act.deed.leaves()
                    && step.is_blind
                    && is_exact[act.cell as usize]
                {
                    is_quiet = true;
                    quiet.entry((act.cell, content)).or_default().push(class);
                }
                self.classes.push(Class { step: at, is_quiet, feeds: 0 });
            }
            self.steps[at].class = Some(class);
        }
        for step in self.steps.iter_mut().filter(|step| step.end.is_some()) {
            for (cell, want) in &step.wants {
                if let Want::Exactly(content) = want
                    && let Some(found) = quiet.get(&(*cell, *content))
                {
                    step.fed_by.extend_from_slice(found);
                }
            }
            for &class in &step.fed_by {
                self.classes[class].feeds += 1;
            }
        }
    }

    fn schedule(&mut self) {
        for (at, step) in self.steps.iter().enumerate() {
            let useless = step.class.is_some_and(|class| {
                let class = &self.classes[class];
                class.is_quiet && class.feeds == 0
            });
            if !useless {
                self.events.push(Event { time: step.call, is_return: false, step: at });
            }
            if let Some(time) = step.end {
                self.events.push(Event { time, is_return: true, step: at });
            }
        }
        self.events.sort_unstable();
    }
}
