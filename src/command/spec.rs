//! One row of the table of commands: everything that is known of a command without running it. Arity errors,
//! routing, read or write, `COMMAND` and its subcommands follow from these facts.
//!
//! Rows are constants. Sets of words (flags, categories) are written as Redis prints them and become bits while
//! compiling, so a misspelt word does not build.

use bytes::Bytes;

use super::context::Context;
use super::error::Result;
use super::sort;
use crate::base::integer;
use crate::data::Manner;
use crate::resp::Value;

/// A command, or a subcommand (`client|id`).
#[derive(Clone, Copy, Debug)]
pub struct Spec {
    /// Lower case; a subcommand's with its container's, joined by `|`.
    pub name: &'static str,
    /// Words including the name; negative: at least so many.
    pub arity: i32,
    /// What the command does to data and connection.
    pub flags: Flags,
    /// ACL categories beyond those that follow from the flags ([`Spec::categories`]).
    pub own_categories: Categories,
    /// Where the keys are.
    pub keys: &'static [KeySpec],
    /// Hints for clients of a cluster.
    pub tips: &'static [&'static str],
    /// What COMMAND DOCS tells.
    pub doc: Doc,
    /// Commands that share the first word; the container itself cannot be called then.
    pub subcommands: &'static [Spec],
    /// Calls with some second word that are answered elsewhere than the others, although COMMAND knows but the one
    /// command (DEBUG): they are named as subcommands are, and counted as the command.
    pub parts: &'static [Spec],
    /// How it compares with the command of Redis 7.2.
    pub verdict: Verdict,
    /// Who answers.
    pub handler: Handler,
}

/// How a command compares with that of Redis 7.2 by this name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Verdict {
    /// Replies and effects are Redis's.
    #[default]
    Same,
    /// But for what this says.
    Differs(&'static str),
    /// It is answered by an error, for this reason.
    Refused(&'static str),
}

/// The function behind a command: words with the name first, reply out.
pub type Run = fn(&mut Context<'_, '_>, &[Bytes]) -> Result<Value>;

/// Who answers a command.
#[derive(Clone, Copy, Debug)]
pub enum Handler {
    /// Works on keys of one group: runs on its leader, reads on a leaseholder.
    Data(Run),
    /// Works on all groups: runs on each, the service puts the replies together.
    Spread(Run, Merge),
    /// The service: connection, transaction, cluster and admin words.
    Session,
}

/// How the replies of all groups become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Merge {
    /// Integers are added (DBSIZE).
    Sum,
    /// Arrays are joined (KEYS).
    Join,
    /// `OK` once all say so (FLUSHALL).
    AllOk,
    /// What all say alike (SCRIPT LOAD).
    Same,
    /// The least integer at each place of the arrays (SCRIPT EXISTS).
    Least,
    /// The digest of all, from the parts that each has (DEBUG DIGEST).
    Digest,
    /// The first reply that is not null, groups asked in random order (RANDOMKEY).
    Any,
    /// Only the group that owns the cursor's slot is asked; it names the next group's start itself (SCAN).
    Cursor,
}

/// What COMMAND DOCS tells about a command.
#[derive(Clone, Copy, Debug)]
pub struct Doc {
    /// One sentence.
    pub summary: &'static str,
    /// Version of Redis that had it first.
    pub since: &'static str,
    /// Chapter.
    pub group: &'static str,
    /// Cost.
    pub complexity: &'static str,
    /// Since when it is deprecated, and what replaces it.
    pub deprecated: Option<(&'static str, &'static str)>,
    /// Made for tests and tools of the server itself.
    pub system: bool,
    /// What later versions changed.
    pub history: &'static [(&'static str, &'static str)],
    /// The arguments in the notation of [`super::syntax`].
    pub arguments: &'static str,
}

/// Where keys are among the words: from `first`, every `step`-th, up to `last` (counted from `first`; negative:
/// from the end, -1 being the last word). Or `counted`: `first` is the position of their number, and they follow it. Or
/// behind a `keyword`, which is looked for from `first` on: the next word, or, with a `limit`, so many times fewer than
/// there are words. Or `unknown` but to SORT, which has a place for the key that it stores and none for those that it
/// finds in what it sorts.
#[derive(Clone, Copy, Debug)]
pub struct KeySpec {
    /// What happens to these keys.
    pub flags: KeyFlags,
    /// Whether a number says how many there are.
    pub counted: bool,
    /// Whether only the command itself can tell.
    pub unknown: bool,
    /// The word in front of the key, or empty.
    pub keyword: &'static str,
    /// Whether that word is looked for from the end on: `first` then counts from there.
    pub from_end: bool,
    /// Position of the first key, or of their number; the name is 0.
    pub first: usize,
    /// Distance to the last key, or a negative position from the end.
    pub last: i32,
    /// From one key to the next.
    pub step: usize,
    /// What part of the words are keys: half of them if it is 2, 0 if nothing is said.
    pub limit: usize,
    /// A remark that COMMAND INFO carries, or empty.
    pub notes: &'static str,
}

macro_rules! words {
    ($(#[$doc:meta])* $name:ident, $all:ident = [$($word:literal),* $(,)?]) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct $name(u32);

        const $all: &[&str] = &[$($word),*];

        impl $name {
            /// Every word.
            pub const ALL: $name = $name(((1u64 << $all.len()) - 1) as u32);

            /// From words as Redis prints them, separated by spaces. Evaluated while compiling.
            pub const fn of(words: &str) -> $name {
                $name(bits(words.as_bytes(), $all))
            }

            /// Whether it has one of the words of `other`.
            pub const fn has(self, other: $name) -> bool {
                self.0 & other.0 != 0
            }

            /// Both together.
            pub const fn with(self, other: $name) -> $name {
                $name(self.0 | other.0)
            }

            /// The words, in the order in which Redis prints them.
            pub fn words(self) -> impl Iterator<Item = &'static str> {
                $all.iter().enumerate().filter(move |(bit, _)| self.0 >> bit & 1 == 1).map(|(_, word)| *word)
            }

            /// The set with just this word, in either case, if there is such a word.
            pub fn parse(word: &[u8]) -> Option<$name> {
                let bit = $all.iter().position(|known| known.as_bytes().eq_ignore_ascii_case(word))?;
                Some($name(1 << bit))
            }
        }
    };
}

words! {
    /// What a command does to data and connection, `COMMAND INFO`'s third field.
    Flags, FLAGS = [
        "write", "readonly", "denyoom", "module", "admin", "pubsub", "noscript", "blocking", "loading", "stale",
        "skip_monitor", "skip_slowlog", "asking", "fast", "no_auth", "may_replicate", "no_mandatory_keys",
        "protected", "no_async_loading", "no_multi", "allow_busy", "movablekeys",
    ]
}

words! {
    /// ACL categories, without the `@`.
    Categories, CATEGORIES = [
        "keyspace", "read", "write", "set", "sortedset", "list", "hash", "string", "bitmap", "hyperloglog", "geo",
        "stream", "pubsub", "admin", "fast", "slow", "blocking", "dangerous", "connection", "transaction", "scripting",
    ]
}

words! {
    /// What happens to a key: how its value is used, and what the command does with the data in it.
    KeyFlags, KEY_FLAGS = [
        "RO", "RW", "OW", "RM", "access", "update", "insert", "delete", "not_key", "incomplete", "variable_flags",
    ]
}

/// Bits of space-separated words, by their place in `known`.
const fn bits(words: &[u8], known: &[&str]) -> u32 {
    let (mut set, mut start) = (0, 0);
    while start < words.len() {
        let mut end = start;
        while end < words.len() && words[end] != b' ' {
            end += 1;
        }
        let mut bit = 0;
        while !is_word(words, start, end, known[bit].as_bytes()) {
            bit += 1;
            assert!(bit < known.len(), "unknown word");
        }
        set |= 1 << bit;
        start = end + 1;
    }
    set
}

const fn is_word(words: &[u8], start: usize, end: usize, known: &[u8]) -> bool {
    if end - start != known.len() {
        return false;
    }
    let mut at = start;
    while at < end {
        if words[at] != known[at - start] {
            return false;
        }
        at += 1;
    }
    true
}

impl Spec {
    /// A row that the service answers, until [`Spec::runs`] or [`Spec::spreads`] says otherwise.
    pub const fn new(name: &'static str, arity: i32, flags: &str, categories: &str) -> Spec {
        Spec {
            name,
            arity,
            flags: Flags::of(flags),
            own_categories: Categories::of(categories),
            keys: &[],
            tips: &[],
            doc: Doc {
                summary: "",
                since: "",
                group: "",
                complexity: "",
                deprecated: None,
                system: false,
                history: &[],
                arguments: "",
            },
            subcommands: &[],
            parts: &[],
            verdict: Verdict::Same,
            handler: Handler::Session,
        }
    }

    /// A function on the keys of one group answers.
    pub const fn runs(self, run: Run) -> Spec {
        Spec { handler: Handler::Data(run), ..self }
    }

    /// A function on every group answers.
    pub const fn spreads(self, run: Run, merge: Merge) -> Spec {
        Spec { handler: Handler::Spread(run, merge), ..self }
    }

    /// Where its keys are.
    pub const fn keys(self, keys: &'static [KeySpec]) -> Spec {
        Spec { keys, ..self }
    }

    /// Hints for clients of a cluster.
    pub const fn tips(self, tips: &'static [&'static str]) -> Spec {
        Spec { tips, ..self }
    }

    /// Chapter, first version, cost, summary.
    pub const fn doc(
        self,
        group: &'static str,
        since: &'static str,
        complexity: &'static str,
        summary: &'static str,
    ) -> Spec {
        Spec { doc: Doc { group, since, complexity, summary, ..self.doc }, ..self }
    }

    /// Arguments in the notation of [`super::syntax`].
    pub const fn arguments(self, arguments: &'static str) -> Spec {
        Spec { doc: Doc { arguments, ..self.doc }, ..self }
    }

    /// What later versions changed: version and sentence.
    pub const fn history(self, history: &'static [(&'static str, &'static str)]) -> Spec {
        Spec { doc: Doc { history, ..self.doc }, ..self }
    }

    /// Made for tests and tools of the server itself.
    pub const fn system(self) -> Spec {
        Spec { doc: Doc { system: true, ..self.doc }, ..self }
    }

    /// Since when it is deprecated, and what replaces it.
    pub const fn deprecated(self, since: &'static str, by: &'static str) -> Spec {
        Spec { doc: Doc { deprecated: Some((since, by)), ..self.doc }, ..self }
    }

    /// Commands below this one.
    pub const fn subcommands(self, subcommands: &'static [Spec]) -> Spec {
        Spec { subcommands, ..self }
    }

    /// What is not as in Redis: a sentence without its full stop.
    pub const fn differs(self, how: &'static str) -> Spec {
        Spec { verdict: Verdict::Differs(how), ..self }
    }

    /// Why it is not offered: a sentence without its full stop.
    pub const fn refused(self, why: &'static str) -> Spec {
        Spec { verdict: Verdict::Refused(why), ..self }
    }

    /// Calls that are answered elsewhere than the others.
    pub const fn parts(self, parts: &'static [Spec]) -> Spec {
        Spec { parts, ..self }
    }

    /// Whether it may change data: it then always goes through the leader's machine.
    pub const fn is_write(&self) -> bool {
        // A constant: asked for every command, the word's bit is looked up while compiling.
        const WRITE: Flags = Flags::of("write");
        self.flags.has(WRITE)
    }

    /// Whether running it twice may differ from running it once: it writes, publishes, or is a script that may.
    pub const fn may_write(&self) -> bool {
        const READS: Flags = Flags::of("readonly");
        const SCRIPTS: Categories = Categories::of("scripting");
        const PUBSUB: Flags = Flags::of("pubsub");
        let publishes = self.flags.has(PUBSUB) && matches!(self.handler, Handler::Data(_));
        self.is_write() || publishes || (self.own_categories.has(SCRIPTS) && !self.flags.has(READS))
    }

    /// Whether running it again is running it once, whatever ran in between: then a group need not remember that it ran.
    pub fn may_be_repeated(&self) -> bool {
        !self.may_write() && self.name != "config|set"
    }

    /// Whether it runs commands that its words do not show.
    pub fn runs_scripts(&self) -> bool {
        matches!(self.name, "eval" | "eval_ro" | "evalsha" | "evalsha_ro" | "fcall" | "fcall_ro")
    }

    /// The last part of the name: what a client writes as the second word of a subcommand.
    pub fn word(&self) -> &'static str {
        self.name.split_once('|').map_or(self.name, |(_, word)| word)
    }

    /// Whether a call with so many words, the name included, fits.
    pub fn fits(&self, words: usize) -> bool {
        let least = self.arity.unsigned_abs() as usize;
        if self.arity < 0 { words >= least } else { words == least }
    }

    /// The subcommand that a client calls by this second word, in either case.
    pub fn subcommand(&self, word: &[u8]) -> Option<&'static Spec> {
        self.subcommands.iter().find(|spec| spec.word().as_bytes().eq_ignore_ascii_case(word))
    }

    /// The part of it that such a call is, or itself.
    pub fn part<T: AsRef<[u8]>>(&'static self, args: &[T]) -> &'static Spec {
        let is_it = |part: &&Spec| {
            let word = args.get(1).map(T::as_ref).unwrap_or_default();
            part.word().as_bytes().eq_ignore_ascii_case(word) && part.fits(args.len())
        };
        self.parts.iter().find(is_it).unwrap_or(self)
    }

    /// All ACL categories: its own and what follows from the flags.
    pub const fn categories(&self) -> Categories {
        let mut all = self.own_categories;
        if self.flags.has(Flags::of("write")) {
            all = all.with(Categories::of("write"));
        }
        if self.flags.has(Flags::of("readonly")) && !all.has(Categories::of("scripting")) {
            all = all.with(Categories::of("read"));
        }
        if self.flags.has(Flags::of("admin")) {
            all = all.with(Categories::of("admin dangerous"));
        }
        if self.flags.has(Flags::of("pubsub")) {
            all = all.with(Categories::of("pubsub"));
        }
        if self.flags.has(Flags::of("blocking")) {
            all = all.with(Categories::of("blocking"));
        }
        all.with(if self.flags.has(Flags::of("fast")) { Categories::of("fast") } else { Categories::of("slow") })
    }

    /// What its lookups leave behind: reading counts as a hit or a miss, and all but a look from outside (does it
    /// exist, as what, until when) moves the access clock. Redis decides it likewise, command by command.
    pub fn manner(&self) -> Manner {
        const READS: Flags = Flags::of("readonly");
        let looks = matches!(
            self.name,
            "exists" | "type" | "ttl" | "pttl" | "expiretime" | "pexpiretime" | "keys" | "scan" | "randomkey"
        ) || self.name.starts_with("object|")
            || self.name.starts_with("debug|")
            || self.name == "memory|usage";
        let walks = matches!(self.name, "keys" | "scan" | "randomkey" | "dbsize" | "memory|usage")
            || self.name.starts_with("debug|");
        let reads = self.flags.has(READS)
            || matches!(
                self.name,
                "getdel"
                    | "getex"
                    | "getset"
                    | "hgetdel"
                    | "hgetex"
                    | "sort"
                    | "xack"
                    | "xautoclaim"
                    | "xclaim"
                    | "xreadgroup"
            );
        Manner { counts: reads && !walks, touches: !looks, is_quiet: self.name.starts_with("object|") }
    }

    /// Positions of the keys in a call whose number of words fits, in order, each with what happens to it.
    pub fn keys_of<T: AsRef<[u8]>>(&self, args: &[T]) -> impl Iterator<Item = (usize, KeyFlags)> {
        self.keys.iter().flat_map(move |spec| spec.positions(args).map(|position| (position, spec.flags)))
    }
}

impl KeySpec {
    /// From `first`, every `step`-th, up to `last`.
    pub const fn range(flags: &str, first: usize, last: i32, step: usize) -> KeySpec {
        let flags = KeyFlags::of(flags);
        KeySpec {
            flags,
            counted: false,
            unknown: false,
            keyword: "",
            from_end: false,
            first,
            last,
            step,
            limit: 0,
            notes: "",
        }
    }

    /// One key at this position.
    pub const fn one(flags: &str, position: usize) -> KeySpec {
        KeySpec::range(flags, position, 0, 1)
    }

    /// All words from this position.
    pub const fn rest(flags: &str, first: usize) -> KeySpec {
        KeySpec::range(flags, first, -1, 1)
    }

    /// As many as the word at this position says, behind it.
    pub const fn counted(flags: &str, position: usize) -> KeySpec {
        KeySpec { counted: true, ..KeySpec::range(flags, position, -1, 1) }
    }

    /// With other words between them.
    pub const fn every(self, step: usize) -> KeySpec {
        KeySpec { step, ..self }
    }

    /// The word behind this one, which may stand at this position or later.
    pub const fn after(flags: &str, keyword: &'static str, from: usize) -> KeySpec {
        KeySpec { keyword, ..KeySpec::one(flags, from) }
    }

    /// The first half of the words behind this one, which may stand at this position or later.
    pub const fn half_after(flags: &str, keyword: &'static str, from: usize) -> KeySpec {
        KeySpec { keyword, limit: 2, ..KeySpec::range(flags, from, -1, 1) }
    }

    /// All words behind this one, which is looked for from a place before the last word on, towards the first.
    pub const fn behind_last(flags: &str, keyword: &'static str, from_end: usize) -> KeySpec {
        KeySpec { keyword, from_end: true, ..KeySpec::range(flags, from_end, -1, 1) }
    }

    /// What only the command itself can find, behind this word if it is among those of the call.
    pub const fn unknown(flags: &str, keyword: &'static str) -> KeySpec {
        KeySpec { unknown: true, keyword, ..KeySpec::one(flags, 0) }
    }

    /// With a remark.
    pub const fn notes(self, notes: &'static str) -> KeySpec {
        KeySpec { notes, ..self }
    }

    /// The positions in a call; none beyond its end, and none if their number is none.
    fn positions<T: AsRef<[u8]>>(&self, args: &[T]) -> impl Iterator<Item = usize> + use<T> {
        let words = args.len();
        let distance = self.last.unsigned_abs() as usize;
        let (first, end) = if self.unknown {
            let stored = if self.keyword.is_empty() { None } else { sort::destination(args) };
            stored.map_or((0, 0), |at| (at, at + 1))
        } else if self.from_end {
            let is_it = |at: &usize| args[*at].as_ref().eq_ignore_ascii_case(self.keyword.as_bytes());
            let found = (1..(words + 1).saturating_sub(self.first)).rev().find(is_it);
            found.map_or((0, 0), |at| (at + 1, (words + 1).saturating_sub(distance)))
        } else if !self.keyword.is_empty() {
            // The last word has none behind it: it is not looked at.
            let places = self.first..words.saturating_sub(1);
            let is_it = |at: &usize| args[*at].as_ref().eq_ignore_ascii_case(self.keyword.as_bytes());
            let count = |first: usize| (words - first).checked_div(self.limit).unwrap_or(1);
            places.into_iter().find(is_it).map_or((0, 0), |at| (at + 1, at + 1 + count(at + 1)))
        } else if self.counted {
            let count = args.get(self.first).and_then(|word| integer::parse(word.as_ref()));
            let count = count.and_then(|count| usize::try_from(count).ok()).unwrap_or(0);
            let first = self.first + 1;
            (first, first.saturating_add(count.saturating_mul(self.step)).min(words))
        } else if self.last < 0 {
            (self.first, (words + 1).saturating_sub(distance))
        } else {
            (self.first, words.min(self.first + distance + 1))
        };
        (first..end).step_by(self.step)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_keep_redis_order() {
        let flags = Flags::of("fast write");
        assert_eq!(flags.words().collect::<Vec<_>>(), ["write", "fast"]);
        assert!(flags.has(Flags::of("fast")) && !flags.has(Flags::of("readonly")));
        assert_eq!(Categories::parse(b"SORTEDSET"), Some(Categories::of("sortedset")));
        assert_eq!(Categories::parse(b"sorted"), None);
    }

    #[test]
    fn keys_are_found_by_position() {
        let positions = |key: KeySpec, words| key.positions(&vec!["2"; words]).collect::<Vec<_>>();
        assert_eq!(positions(KeySpec::one("RO", 1), 3), [1]);
        assert_eq!(positions(KeySpec::rest("RO", 1), 4), [1, 2, 3]);
        assert_eq!(positions(KeySpec::range("OW", 1, -1, 2), 5), [1, 3]);
        assert_eq!(positions(KeySpec::range("OW", 1, -2, 1), 5), [1, 2, 3]);
        assert_eq!(positions(KeySpec::range("RO", 1, 1, 1), 3), [1, 2]);
        assert_eq!(positions(KeySpec::one("RO", 2), 2), [] as [usize; 0]);
        assert_eq!(positions(KeySpec::rest("RO", 1), 0), [] as [usize; 0]);
        assert_eq!(positions(KeySpec::counted("RO", 1), 6), [2, 3]);
        assert_eq!(positions(KeySpec::counted("RO", 1), 3), [2]);
        assert_eq!(positions(KeySpec::counted("OW", 1).every(2), 8), [2, 4]);
        assert_eq!(positions(KeySpec::counted("OW", 1).every(2), 4), [2]);
        let none = |number| KeySpec::counted("RO", 1).positions(&["x", number, "a", "b"]).count();
        assert_eq!(["0", "-1", "x"].map(none), [0; 3]);
        assert_eq!(none("9223372036854775807"), 2);
        let stored = |args: &[&str]| KeySpec::after("OW", "STORE", 2).positions(args).collect::<Vec<_>>();
        assert_eq!(stored(&["x", "store", "a", "store", "b", "STORE", "c"]), [4]);
        assert_eq!(stored(&["x", "store", "a", "store"]), [] as [usize; 0]);
        let last = |args: &[&str]| KeySpec::behind_last("RW", "KEYS", 2).positions(args).collect::<Vec<_>>();
        assert_eq!(last(&["x", "keys", "a", "KEYS", "b", "c"]), [4, 5]);
        assert_eq!(last(&["x", "a", "keys"]), [] as [usize; 0]);
        assert_eq!(last(&["keys"]), [] as [usize; 0]);
        let half = |args: &[&str]| KeySpec::half_after("RO", "STREAMS", 1).positions(args).collect::<Vec<_>>();
        assert_eq!(half(&["x", "y", "streams", "a", "b", "1", "2"]), [3, 4]);
        assert_eq!(half(&["x", "streams", "a"]), [] as [usize; 0]);
    }
}
