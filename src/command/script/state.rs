//! What a running script shares with the rest of the node: whether it shall end, whether it has written.
//!
//! Invariant: a script that has written is never marked as killed, because what it wrote would be half of something.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};

use bytes::Bytes;
use parking_lot::Mutex;

use super::random::Random;
use crate::base::Millis;
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
    /// Begins: nothing of the run before is left. `math.random` starts anywhere, as `chance` has it.
    pub fn begin(&self, function: bool, chance: u64) {
        *self.fate.lock() = Fate { function, ..Fate::default() };
        self.killed.store(false, Relaxed);
        self.resp3.store(false, Relaxed);
        self.looks.store(0, Relaxed);
        self.seed(Random::from_state(chance));
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

/// A function that runs, as FUNCTION STATS names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Called {
    /// Its name, as it was called.
    pub name: Bytes,
    /// The call, as much of it as is told.
    pub words: Vec<Bytes>,
    /// When it began, by the wall clock of its node.
    pub since: Millis,
}

/// Bytes of a call's words that are told; words beyond are left out.
const TOLD_BYTES_MAX: usize = 64 << 10;

impl Called {
    /// The function that is called by these words.
    pub fn by(args: &[Bytes], since: Millis) -> Called {
        let mut left = TOLD_BYTES_MAX;
        let fits = |word: &&Bytes| {
            let fits = word.len() <= left;
            left = left.saturating_sub(word.len() + size_of::<Bytes>());
            fits
        };
        let words = args.iter().take_while(fits).cloned().collect();
        Called { name: args.get(1).cloned().unwrap_or_default(), words, since }
    }
}

/// What came of SCRIPT KILL or FUNCTION KILL, on one node or on several: what counts more is greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Killed {
    /// Nothing runs.
    Nothing,
    /// What runs is for the other one of the two words.
    Other,
    /// What runs has written.
    Wrote,
    /// Something ends.
    Done,
}

impl Killed {
    /// The reply of FUNCTION KILL, or of SCRIPT KILL.
    pub fn reply(self, function: bool) -> Value {
        match self {
            Killed::Done => Value::OK,
            Killed::Wrote => Value::error(
                "UNKILLABLE Sorry the script already executed write commands against the dataset. You can either wait \
                 the script termination or kill the server in a hard way using the SHUTDOWN NOSAVE command.",
            ),
            Killed::Other => Value::error(if function { Kind::Script } else { Kind::Function }.busy()),
            Killed::Nothing => Value::error("NOTBUSY No scripts in execution right now."),
        }
    }
}

/// The scripts that run on a node now, at most one per machine, and what the interpreters take.
#[derive(Debug, Default)]
pub struct Running {
    /// The functions among them that were called are told of.
    runs: Mutex<Vec<(Arc<Run>, Option<Called>)>>,
    /// Memory of all interpreters when each was used last.
    bytes: AtomicUsize,
}

impl Running {
    pub(super) fn add(&self, run: &Arc<Run>, called: Option<Called>) {
        self.runs.lock().push((run.clone(), called));
    }

    pub(super) fn remove(&self, run: &Arc<Run>) {
        self.runs.lock().retain(|(other, _)| !Arc::ptr_eq(other, run));
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
        let is_function = runs.first()?.0.fate.lock().function;
        Some(if is_function { Kind::Function } else { Kind::Script })
    }

    /// The function that runs, the one that began first.
    pub fn called(&self) -> Option<Called> {
        self.runs.lock().iter().find_map(|(_, called)| called.clone())
    }

    /// SCRIPT KILL, or FUNCTION KILL: ends all scripts that have not written yet, and says what came of it.
    pub fn kill(&self, function: bool) -> Killed {
        let runs = self.runs.lock();
        let kill = |(run, _): &(Arc<Run>, Option<Called>)| {
            let mut fate = run.fate.lock();
            if fate.function != function {
                Killed::Other
            } else if fate.wrote {
                Killed::Wrote
            } else {
                fate.killed = true;
                run.stop();
                Killed::Done
            }
        };
        runs.iter().map(kill).max().unwrap_or(Killed::Nothing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_is_killed_before_it_writes_and_never_after() {
        let (running, run) = (Running::default(), Arc::new(Run::default()));
        assert_eq!(running.kill(false), Killed::Nothing);
        run.begin(false, 0);
        running.add(&run, None);
        assert!(!run.looks());
        assert_eq!(running.kind(), Some(Kind::Script));
        assert_eq!(running.kill(true), Killed::Other, "it is no function");
        assert_eq!(running.kill(false), Killed::Done);
        assert!(run.looks() && !run.writes());
        run.begin(false, 0);
        assert!(!run.looks() && run.writes());
        assert_eq!(running.kill(false), Killed::Wrote);
        assert!(!run.looks());
        running.remove(&run);
        assert_eq!(running.kill(false), Killed::Nothing);
    }

    #[test]
    fn what_counts_most_is_answered() {
        let running = Running::default();
        let runs = [(true, false), (false, true), (false, false)].map(|(function, writes)| {
            let run = Arc::new(Run::default());
            run.begin(function, 0);
            if writes {
                run.writes();
            }
            run
        });
        for (run, killed) in runs.iter().zip([Killed::Other, Killed::Wrote, Killed::Done]) {
            running.add(run, None);
            assert_eq!(running.kill(false), killed);
        }
        assert!(Killed::Done.reply(true) == Value::OK && Killed::Nothing.reply(true).is_error());
    }

    #[test]
    fn a_function_is_told_of_by_its_call_up_to_a_bound() {
        let (running, run) = (Running::default(), Arc::new(Run::default()));
        let words =
            |text: &str| text.split(' ').map(|word| Bytes::copy_from_slice(word.as_bytes())).collect::<Vec<_>>();
        running.add(&Arc::default(), None);
        assert_eq!(running.called(), None);
        running.add(&run, Some(Called::by(&words("FCALL f 0 a"), Millis(5))));
        let called = running.called().expect("one that runs");
        assert_eq!((&called.name[..], called.words, called.since), (&b"f"[..], words("FCALL f 0 a"), Millis(5)));
        let long = format!("FCALL f 0 {} b", "v".repeat(TOLD_BYTES_MAX));
        assert_eq!(Called::by(&words(&long), Millis(0)).words, words("FCALL f 0"));
    }
}
