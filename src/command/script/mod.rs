//! Lua scripts: EVAL and its family, SCRIPT; functions: FCALL and FUNCTION.
//!
//! A script runs on the leader inside the evaluation of its unit, on the same keyspace as any command: what it writes
//! is part of that entry, time does not pass meanwhile, and an error in the middle keeps what was written before.
//!
//! - [`eval`], [`function`]: the commands; `shebang`: the first line of a script that has one; `records`, `libraries`:
//!   where scripts and functions are kept.
//! - `interpreter`: the sandbox; `functions`: libraries of functions in it; `native` and `guards`: its few C functions;
//!   `api`: the `redis` table; `lib`: `cjson` and its like; `convert`: replies as Lua values and back; `arguments`: what
//!   Lua functions written in Rust are called with.
//! - [`Scripts`]: a machine's interpreter; [`Running`]: what SCRIPT KILL looks at; `reads`: which keys scripts read.
//!
//! Invariant: nothing above `interpreter` knows Lua, and nothing below `eval` knows the keyspace.

mod api;
mod arguments;
mod convert;
pub mod eval;
pub mod function;
mod functions;
mod guards;
mod interpreter;
mod lib;
mod libraries;
mod native;
mod random;
mod reads;
mod records;
pub(crate) mod sha1;
mod shebang;
mod state;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use bytes::Bytes;

use self::interpreter::{Host, Interpreter, Task};
use self::libraries::Registered;
use self::reads::Reads;
use self::state::Run;
pub use self::state::{Called, Killed, Kind, Running};
use crate::resp::Value;

/// A machine's interpreter, made for the first script that it runs.
pub struct Scripts {
    interpreter: Option<Interpreter>,
    run: Arc<Run>,
    running: Arc<Running>,
    /// Keys that scripts read since [`Scripts::read_keys`], and whether the call at hand adds to them.
    reads: Reads,
    notes_reads: bool,
    /// What the interpreter took when `running` was told last.
    bytes: usize,
}

impl Scripts {
    /// For a machine on a node whose scripts are known by `running`.
    pub fn new(running: Arc<Running>) -> Scripts {
        Scripts {
            interpreter: None,
            run: Arc::default(),
            running,
            reads: Reads::default(),
            notes_reads: false,
            bytes: 0,
        }
    }

    /// Whether what the next call reads is noted.
    pub(super) fn note_reads(&mut self, notes: bool) {
        self.notes_reads = notes;
    }

    /// The keys that scripts of such calls read since the last time, ascending; `None` if no such call ran a script,
    /// empty if they are too many to be told.
    pub fn read_keys(&mut self) -> Option<Vec<Bytes>> {
        std::mem::take(&mut self.reads).into_keys()
    }

    /// What a run adds to, if what it reads is noted.
    fn lend_reads(&mut self) -> Option<Reads> {
        self.notes_reads.then(|| std::mem::take(&mut self.reads))
    }

    fn take_reads_back(&mut self, reads: Option<Reads>) {
        if let Some(reads) = reads {
            self.reads = reads;
        }
    }

    fn interpreter(&mut self) -> Result<&mut Interpreter, Value> {
        let made = match self.interpreter.take() {
            Some(made) => made,
            None => Interpreter::new(self.run.clone())
                .map_err(|error| Value::error(format!("ERR no interpreter for scripts: {error}")))?,
        };
        Ok(self.interpreter.insert(made))
    }

    /// The error line of a script that does not compile.
    fn compile(&mut self, digest: [u8; sha1::BYTES], source: &[u8]) -> Result<(), Value> {
        let compiled = self.interpreter()?.compile(digest, source).map(drop);
        self.tell_bytes();
        compiled.map_err(|message| interpreter::compile_error(&message))
    }

    /// Tells the node what the interpreter takes now.
    fn tell_bytes(&mut self) {
        let bytes = self.interpreter.as_ref().map_or(0, Interpreter::bytes);
        self.running.takes(bytes, std::mem::replace(&mut self.bytes, bytes));
    }

    fn eval(&mut self, task: &Task<'_>, chance: u64, host: &mut dyn Host) -> Value {
        self.run((false, None), chance, |interpreter| interpreter.eval(task, host)).unwrap_or_else(|reply| reply)
    }

    /// Calls a function of a library.
    fn fcall(&mut self, called: Called, task: &Task<'_>, chance: u64, host: &mut dyn Host) -> Value {
        let name = called.name.clone();
        let called = (true, Some(called));
        self.run(called, chance, |interpreter| interpreter.fcall(&name, task, host)).unwrap_or_else(|reply| reply)
    }

    /// What a library registers.
    fn load(&mut self, digest: [u8; sha1::BYTES], source: &[u8], chance: u64) -> Result<Vec<Registered>, Value> {
        self.run((true, None), chance, |interpreter| interpreter.load(digest, source))?
    }

    /// Something that SCRIPT KILL, or, if it is one of functions, FUNCTION KILL may end.
    fn run<T>(
        &mut self,
        (function, called): (bool, Option<Called>),
        chance: u64,
        work: impl FnOnce(&mut Interpreter) -> T,
    ) -> Result<T, Value> {
        let (run, running) = (self.run.clone(), self.running.clone());
        let interpreter = self.interpreter()?;
        run.begin(function, chance);
        running.add(&run, called);
        let result = work(interpreter);
        let is_full = interpreter.is_full();
        running.remove(&run);
        if is_full {
            // Variables of libraries hold it. A new interpreter loads them again.
            self.interpreter = None;
        }
        self.tell_bytes();
        Ok(result)
    }
}

impl Drop for Scripts {
    fn drop(&mut self) {
        self.running.takes(0, self.bytes);
    }
}
