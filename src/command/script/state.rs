//! What a running script shares with the rest of the node: whether it shall end, whether it has written.
//!
//! Invariant: a script that has written is never marked as killed, because what it wrote would be half of something.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};

use bytes::Bytes;
use parking_lot::Mutex;

use super::random::Random;
use crate::command::acl::Rights;
use crate::resp::Value;

/// Seconds that `os.clock` counts per look of the hook: it counts work, because a script sees no time pass.
const LOOK_SECONDS: f64 = 0.001;
/// Coroutines that may run inside of each other: each has Lua's own bound of calls of C, about 200 KiB of stack.
const COROUTINES_MAX: u64 = 16;

/// One interpreter's run.
#[derive(Debug, Default)]
pub struct Run {
    /// Killed, and written: changed together, by whoever kills and by the script's first write.
    fate: Mutex<Fate>,
    /// Whether `fate` says that it was killed.
    killed: AtomicBool,
    resp3: AtomicBool,
    looks: AtomicU64,
    random: AtomicU64,
    number: AtomicU64,
    /// Coroutines that run inside of each other.
    nested: AtomicU64,
    /// Those of whoever called the script, if they are not all; for questions only: commands are held against the call's.
    rights: Mutex<Option<Arc<Rights>>>,
    /// Words of the command that the script is about to run.
    words: Mutex<Vec<Bytes>>,
}

#[derive(Debug, Default)]
struct Fate {
    killed: bool,
    wrote: bool,
    function: bool,
}

impl Run {
    /// Begins: nothing of the run before is left.
    pub fn begin(&self, function: bool) {
        *self.fate.lock() = Fate { function, ..Fate::default() };
        self.killed.store(false, Relaxed);
        self.resp3.store(false, Relaxed);
        self.looks.store(0, Relaxed);
        self.seed(Random::new(0));
        self.number.fetch_add(1, Relaxed);
        self.nested.store(0, Relaxed);
    }

    /// Another coroutine begins to run inside of those that do; false if that is too deep.
    pub fn enter(&self) -> bool {
        let nested = self.nested.load(Relaxed);
        self.nested.store((nested + 1).min(COROUTINES_MAX), Relaxed);
        nested < COROUTINES_MAX
    }

    /// The innermost coroutine yielded or ended.
    pub fn leave(&self) {
        self.nested.store(self.nested.load(Relaxed).saturating_sub(1), Relaxed);
    }

    /// Counts the runs of this interpreter.
    pub fn number(&self) -> u64 {
        self.number.load(Relaxed)
    }

    /// The hook looks: whether the script must end.
    pub fn looks(&self) -> bool {
        self.looks.fetch_add(1, Relaxed);
        self.killed.load(Relaxed)
    }

    /// Ends the script at the hook's next look, whatever it did.
    pub fn stop(&self) {
        self.killed.store(true, Relaxed);
    }

    /// The script is about to write; false if it was killed before.
    pub fn writes(&self) -> bool {
        let mut fate = self.fate.lock();
        fate.wrote = true;
        !fate.killed
    }

    /// Whether replies of commands come in the shapes of RESP3.
    pub fn is_resp3(&self) -> bool {
        self.resp3.load(Relaxed)
    }

    /// `redis.setresp`
    pub fn set_resp3(&self, resp3: bool) {
        self.resp3.store(resp3, Relaxed);
    }

    /// Whoever calls the script has these rights, or all.
    pub fn set_rights(&self, rights: Option<Arc<Rights>>) {
        *self.rights.lock() = rights;
    }

    /// The rights of whoever called the script; `None` for all.
    pub fn rights(&self) -> Option<Arc<Rights>> {
        self.rights.lock().clone()
    }

    /// Another word of a command.
    pub fn add_word(&self, word: Bytes) {
        self.words.lock().push(word);
    }

    /// The words of the command.
    pub fn take_words(&self) -> Vec<Bytes> {
        std::mem::take(&mut *self.words.lock())
    }

    /// `os.clock`
    pub fn clock(&self) -> f64 {
        self.looks.load(Relaxed) as f64 * LOOK_SECONDS
    }

    /// The next random number.
    pub fn random(&self) -> u32 {
        let mut random = Random::from_state(self.random.load(Relaxed));
        let number = random.next();
        self.seed(random);
        number
    }

    /// `math.randomseed`
    pub fn seed(&self, random: Random) {
        self.random.store(random.state(), Relaxed);
    }
}

/// What a script was called by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// EVAL and its kind.
    Script,
    /// FCALL.
    Function,
}

impl Kind {
    /// What others are told while it runs for long.
    pub const fn busy(self) -> &'static str {
        match self {
            Kind::Script => "BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.",
            Kind::Function => {
                "BUSY Redis is busy running a script. You can only call FUNCTION KILL or SHUTDOWN NOSAVE."
            }
        }
    }
}

/// The scripts that run on a node now, at most one per machine, and what the interpreters take.
#[derive(Debug, Default)]
pub struct Running {
    runs: Mutex<Vec<Arc<Run>>>,
    /// Memory of all interpreters when each was used last.
    bytes: AtomicUsize,
}

impl Running {
    pub(super) fn add(&self, run: &Arc<Run>) {
        self.runs.lock().push(run.clone());
    }

    pub(super) fn remove(&self, run: &Arc<Run>) {
        self.runs.lock().retain(|other| !Arc::ptr_eq(other, run));
    }

    /// An interpreter takes so many bytes now, after so many before.
    pub(super) fn takes(&self, now: usize, before: usize) {
        self.bytes.fetch_add(now.wrapping_sub(before), Relaxed);
    }

    /// Bytes that the node's interpreters take.
    pub fn bytes(&self) -> usize {
        self.bytes.load(Relaxed)
    }

    /// What runs, the one that began first.
    pub fn kind(&self) -> Option<Kind> {
        let runs = self.runs.lock();
        let is_function = runs.first()?.fate.lock().function;
        Some(if is_function { Kind::Function } else { Kind::Script })
    }

    /// SCRIPT KILL, or FUNCTION KILL: ends all scripts that have not written yet, and says what came of it.
    pub fn kill(&self, function: bool) -> Value {
        let runs = self.runs.lock();
        let (mut killed, mut others, mut wrote) = (false, false, false);
        for run in runs.iter() {
            let mut fate = run.fate.lock();
            if fate.function != function {
                others = true;
            } else if fate.wrote {
                wrote = true;
            } else {
                fate.killed = true;
                run.stop();
                killed = true;
            }
        }
        match () {
            () if killed => Value::OK,
            () if wrote => Value::error(
                "UNKILLABLE Sorry the script already executed write commands against the dataset. You can either wait \
                 the script termination or kill the server in a hard way using the SHUTDOWN NOSAVE command.",
            ),
            () if others => Value::error(if function { Kind::Script } else { Kind::Function }.busy()),
            () => Value::error("NOTBUSY No scripts in execution right now."),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_is_killed_before_it_writes_and_never_after() {
        let (running, run) = (Running::default(), Arc::new(Run::default()));
        assert_eq!(running.kill(false), Value::error("NOTBUSY No scripts in execution right now."));
        run.begin(false);
        running.add(&run);
        assert!(!run.looks());
        assert_eq!(running.kind(), Some(Kind::Script));
        assert!(running.kill(true).is_error(), "it is no function");
        assert_eq!(running.kill(false), Value::OK);
        assert!(run.looks() && !run.writes());
        run.begin(false);
        assert!(!run.looks() && run.writes());
        assert!(running.kill(false).is_error());
        assert!(!run.looks());
        running.remove(&run);
        assert!(running.kill(false).is_error());
    }
}
