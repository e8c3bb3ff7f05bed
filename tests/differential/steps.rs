//! Steps of a differential run: which connection does what, with commands of [`holdfast::sim::grammar`].

use std::fmt;

use bytes::Bytes;
use holdfast::base::{Millis, Rng};
use holdfast::sim::grammar::{Deadlines, Dialect, Grammar, SYNTAX};

use crate::support::notation;

/// Commands that belong to a session, for where there are several.
const SESSION_SYNTAX: &[&str] = &["DISCARD", "EXEC", "EXEC", "EXEC", "MULTI", "MULTI", "UNWATCH", "WATCH key+"];

const DIALECT: Dialect = Dialect { databases: &["0", "1", "2", "15", "16", "-1", "x"], deadlines: Deadlines::Far };

/// One step of a run, the same for both sides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The connection that takes it.
    pub on: usize,
    /// What it does.
    pub act: Act,
}

/// What a connection does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// A command.
    Call(Vec<Bytes>),
    /// Selects a database.
    Select(u8),
    /// Switches the protocol.
    Protocol(u8),
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The first connection's lines are those of a dialogue.
        if self.on > 0 {
            write!(f, "{}", self.on + 1)?;
        }
        match &self.act {
            Act::Call(args) => write!(f, "> {}", notation::command(args)),
            Act::Select(db) => write!(f, ": db {db}"),
            Act::Protocol(version) => write!(f, ": protocol {version}"),
        }
    }
}

/// Draws steps; the same generator and number of connections give the same steps.
pub struct Generator {
    grammar: Grammar,
    connections: usize,
    /// The connection of the last step.
    on: usize,
}

impl Generator {
    /// For so many connections; with more than one also transactions.
    pub fn new(rng: Rng, connections: usize) -> Generator {
        let session = if connections > 1 { SESSION_SYNTAX } else { &[] };
        let grammar = Grammar::new(rng, DIALECT, SYNTAX.iter().chain(session).copied());
        Generator { grammar, connections, on: 0 }
    }

    /// The next step. A connection mostly says a few things before another one speaks.
    pub fn step(&mut self) -> Step {
        let rng = self.grammar.rng();
        if rng.chance(1, 3) {
            self.on = rng.below(self.connections as u64) as usize;
        }
        let act = match rng.below(400) {
            0 => Act::Select(*rng.pick(&[0, 0, 1, 2])),
            1 => Act::Protocol(*rng.pick(&[2, 3])),
            _ => Act::Call(self.grammar.command(Millis(0))),
        };
        Step { on: self.on, act }
    }
}
