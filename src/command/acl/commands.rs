//! Which commands a selector allows: a bit per command and subcommand, first arguments of those that are not allowed as a
//! whole, and the rules that led there.
//!
//! The rules are kept as they were given, in order, because that is what Redis shows (7.2; versions before computed a
//! short equivalent). A later rule takes the place of an earlier one of the same name, and of those about its subcommands
//! and first arguments. Invariant: the rules, applied to nothing or to everything, give these bits again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use bytes::Bytes;

use super::Mistake;
use crate::base::HashMap;
use crate::command::spec::Categories;
use crate::command::{Flags, Spec, table};

/// Commands that may run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commands {
    /// What the rules start from: everything, also what later versions bring, or nothing.
    base: bool,
    /// A bit per place of [`Known`].
    allowed: Vec<u64>,
    /// First arguments in lower case with which a command may run although its bit is not set.
    first_arguments: BTreeMap<usize, BTreeSet<Bytes>>,
    rules: Vec<Rule>,
}

/// One rule behind the base.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Rule {
    allows: bool,
    /// A command, a subcommand (`config|get`), a command with a first argument (`select|0`), or a category (`@read`). In
    /// lower case.
    name: Bytes,
}

/// All commands and subcommands, each with a place. Places are those of this version of the program: they are never
/// stored.
struct Known {
    specs: Vec<&'static Spec>,
    places: HashMap<&'static str, usize>,
}

static KNOWN: LazyLock<Known> = LazyLock::new(|| {
    let specs: Vec<_> = table::all().flat_map(|spec| std::iter::once(spec).chain(spec.subcommands)).collect();
    let places = specs.iter().enumerate().map(|(place, spec)| (spec.name, place)).collect();
    Known { specs, places }
});

/// Runs whoever asks: it is how one logs in.
const FOR_ALL: Flags = Flags::of("no_auth");

impl Commands {
    /// No command.
    pub fn none() -> Commands {
        Commands::from(false)
    }

    /// Every command.
    pub fn all() -> Commands {
        Commands::from(true)
    }

    fn from(base: bool) -> Commands {
        let words = KNOWN.specs.len().div_ceil(64);
        let mut commands =
            Commands { base, allowed: vec![0; words], first_arguments: BTreeMap::new(), rules: Vec::new() };
        if base {
            (0..KNOWN.specs.len()).for_each(|place| commands.set_bit(place, true));
        }
        commands
    }

    /// Whether nothing is denied, nor will be what a later version brings.
    pub fn is_all(&self) -> bool {
        self.base && (0..KNOWN.specs.len()).all(|place| self.bit(place))
    }

    /// Takes a rule: `+get`, `-config|set`, `+select|0`, `+@read`, `-@all` ...
    pub fn apply(&mut self, rule: &[u8]) -> Result<(), Mistake> {
        let (allows, name) = match rule {
            [b'+', name @ ..] => (true, name.to_ascii_lowercase()),
            [b'-', name @ ..] => (false, name.to_ascii_lowercase()),
            _ => return Err(Mistake::Syntax),
        };
        let name = Bytes::from(name);
        match &name[..] {
            b"@all" => *self = Commands::from(allows),
            [b'@', category @ ..] => {
                let category = Categories::parse(category).ok_or(Mistake::UnknownName)?;
                self.record(allows, name);
                for place in 0..KNOWN.specs.len() {
                    if KNOWN.specs[place].categories().has(category) {
                        self.set(place, allows);
                    }
                }
            }
            _ => self.command(allows, &name)?,
        }
        Ok(())
    }

    /// A rule about one command, a subcommand, or a first argument.
    fn command(&mut self, allows: bool, name: &Bytes) -> Result<(), Mistake> {
        let bar = name.iter().rposition(|byte| *byte == b'|');
        let place = place(name);
        let (Some(bar), true) = (bar, allows) else {
            self.set(place.ok_or(Mistake::UnknownName)?, allows);
            self.record(allows, name.clone());
            return Ok(());
        };
        let (container, word) = (self::place(&name[..bar]).ok_or(Mistake::UnknownName)?, &name[bar + 1..]);
        let spec = KNOWN.specs[container];
        if spec.name.contains('|') {
            return Err(Mistake::FirstArgument);
        }
        if word.is_empty() {
            return Err(Mistake::Syntax);
        }
        if spec.subcommands.is_empty() {
            self.first_arguments.entry(container).or_default().insert(Bytes::copy_from_slice(word));
        } else {
            self.set(place.ok_or(Mistake::UnknownName)?, true);
        }
        self.record(true, name.clone());
        Ok(())
    }

    /// Whether a call of this command may run.
    pub fn allow<T: AsRef<[u8]>>(&self, spec: &Spec, args: &[T]) -> bool {
        if spec.flags.has(FOR_ALL) {
            return true;
        }
        // A part of a command (DEBUG's words on keys) is that command.
        let whole = || KNOWN.places.get(spec.name.split('|').next()?);
        let Some(place) = KNOWN.places.get(spec.name).or_else(whole) else { return false };
        if self.bit(*place) {
            return true;
        }
        let Some(allowed) = self.first_arguments.get(place) else { return false };
        args.get(1).is_some_and(|word| allowed.iter().any(|allowed| allowed.eq_ignore_ascii_case(word.as_ref())))
    }

    /// The rules in words: `+@all` or `-@all`, then what was said since.
    pub fn words(&self) -> impl Iterator<Item = Bytes> {
        let base = if self.base { "+@all" } else { "-@all" };
        let rule = |rule: &Rule| [if rule.allows { b"+" } else { b"-" }, &rule.name[..]].concat().into();
        std::iter::once(Bytes::from_static(base.as_bytes())).chain(self.rules.iter().map(rule))
    }

    fn record(&mut self, allows: bool, name: Bytes) {
        let below = |rule: &Rule| rule.name.strip_prefix(&name[..]).is_some_and(|rest| matches!(rest, [] | [b'|', ..]));
        self.rules.retain(|rule| !below(rule));
        self.rules.push(Rule { allows, name });
    }

    /// A command with all that is below it.
    fn set(&mut self, place: usize, allows: bool) {
        self.set_bit(place, allows);
        self.first_arguments.remove(&place);
        for spec in KNOWN.specs[place].subcommands {
            if let Some(place) = KNOWN.places.get(spec.name) {
                self.set_bit(*place, allows);
            }
        }
    }

    fn bit(&self, place: usize) -> bool {
        self.allowed[place / 64] >> (place % 64) & 1 == 1
    }

    fn set_bit(&mut self, place: usize, allows: bool) {
        let bit = 1 << (place % 64);
        if allows {
            self.allowed[place / 64] |= bit;
        } else {
            self.allowed[place / 64] &= !bit;
        }
    }
}

/// The place of a command or subcommand; the name is in lower case.
fn place(name: &[u8]) -> Option<usize> {
    std::str::from_utf8(name).ok().and_then(|name| KNOWN.places.get(name).copied())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::check;

    fn rules(words: &str) -> Commands {
        let mut commands = Commands::none();
        words.split_whitespace().for_each(|word| commands.apply(word.as_bytes()).unwrap());
        commands
    }

    fn text(words: &str) -> String {
        let words: Vec<_> = rules(words).words().map(|word| String::from_utf8_lossy(&word).into_owned()).collect();
        words.join(" ")
    }

    fn allows(rules: &Commands, call: &str) -> bool {
        let words: Vec<&str> = call.split(' ').collect();
        rules.allow(check(&words).unwrap(), &words)
    }

    #[test]
    fn rules_are_kept_in_order_and_replace_those_of_their_name() {
        for (given, shown) in [
            ("+get", "-@all +get"),
            ("+GET -@String", "-@all +get -@string"),
            ("+@all -get +get", "+@all +get"),
            ("+config|get +config|set +config", "-@all +config"),
            ("+config|get -config +config|SET", "-@all -config +config|set"),
            ("+config|get +get -config", "-@all +get -config"),
            ("+select|0 +select|A +select|a -get", "-@all +select|0 +select|a -get"),
            ("+select|0 -select", "-@all -select"),
            ("+get +@all -@all +set", "-@all +set"),
            ("+@read +@write -@read", "-@all +@write -@read"),
            ("+getset +get", "-@all +getset +get"),
        ] {
            assert_eq!(text(given), shown, "{given}");
            assert_eq!(rules(&text(given)), rules(given), "{given}");
        }
    }

    #[test]
    fn the_last_rule_counts() {
        let commands = rules("+@string -get +config|get +client -client|kill +select|0");
        for (call, allowed) in [
            ("set a b", true),
            ("get a", false),
            ("hset a b c", false),
            ("config get x", true),
            ("config set x y", false),
            ("client id", true),
            ("client kill x", false),
            ("select 0", true),
            ("select 1", false),
            ("auth x", true),
            ("hello 3", true),
        ] {
            assert_eq!(allows(&commands, call), allowed, "{call}");
        }
        assert!(rules("+@all").is_all() && rules("+@all -get +get").is_all());
        assert!(!rules("+@all -get").is_all() && !rules("").is_all());
        // A container of a category brings all that is below it.
        assert!(allows(&rules("+@slow"), "client kill x") && !allows(&rules("+client -@slow"), "client id"));
    }

    #[test]
    fn mistakes_are_told_apart_and_change_nothing() {
        use Mistake::{FirstArgument, Syntax, UnknownName};
        for (rule, mistake) in [
            ("+", UnknownName),
            ("-", UnknownName),
            ("+nosuch", UnknownName),
            ("+@", UnknownName),
            ("+@nosuch", UnknownName),
            ("+config|", Syntax),
            ("+get|", Syntax),
            ("+config|nosuch", UnknownName),
            ("-config|nosuch", UnknownName),
            ("+nosuch|x", UnknownName),
            ("+get|x|y", UnknownName),
            ("-select|0", UnknownName),
            ("+config|get|x", FirstArgument),
            ("get", Syntax),
            ("+\u{e9}", UnknownName),
        ] {
            let mut commands = rules("+get");
            assert_eq!(commands.apply(rule.as_bytes()), Err(mistake), "{rule}");
            assert_eq!(commands, rules("+get"), "{rule}");
        }
    }
}
