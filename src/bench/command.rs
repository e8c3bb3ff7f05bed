//! What is asked: commands as bytes that are ready to be sent but for a number, which names the key.
//!
//! The words of a command may hold `__rand_int__`, which becomes a number of twelve digits, the same in the whole
//! command, and `__data__`, which becomes the value. That is how redis-benchmark writes it, and the commands with a name
//! here ask what its tests of that name ask, unless told.

use crate::base::Rng;

/// Stands for the number. As long as what replaces it, so that lengths are known beforehand.
const NUMBER: &str = "__rand_int__";
/// Stands for the value.
const DATA: &str = "__data__";
/// More keys have no name of their own.
pub const KEYS_MAX: u64 = 10u64.pow(NUMBER.len() as u32);

/// Commands with a name. MSET sets ten keys of one slot, so that it can run on any cluster; HSET has a hash per number.
const NAMED: &[(&str, &str)] = &[
    ("ping", "PING"),
    ("set", "SET key:__rand_int__ __data__"),
    ("get", "GET key:__rand_int__"),
    ("incr", "INCR counter:__rand_int__"),
    (
        "mset",
        "MSET {__rand_int__}:0 __data__ {__rand_int__}:1 __data__ {__rand_int__}:2 __data__ {__rand_int__}:3 __data__ \
         {__rand_int__}:4 __data__ {__rand_int__}:5 __data__ {__rand_int__}:6 __data__ {__rand_int__}:7 __data__ \
         {__rand_int__}:8 __data__ {__rand_int__}:9 __data__",
    ),
    ("hset", "HSET hash:__rand_int__ field __data__"),
    ("lpush", "LPUSH mylist __data__"),
    ("rpop", "RPOP mylist"),
    ("sadd", "SADD myset element:__rand_int__"),
    ("zadd", "ZADD myzset __rand_int__ element:__rand_int__"),
    ("lrange_100", "LRANGE mylist 0 99"),
    ("xadd", "XADD mystream * myfield __data__"),
];

/// The names, for help texts.
pub fn names() -> impl Iterator<Item = &'static str> {
    NAMED.iter().map(|(name, _)| *name)
}

/// A command, encoded once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    name: String,
    bytes: Vec<u8>,
    /// Where numbers begin.
    holes: Vec<usize>,
}

impl Template {
    /// From its words, name first, with a value of so many bytes.
    pub fn new(words: &[String], value_bytes: usize) -> Result<Template, String> {
        let name = words.first().ok_or("a command has at least a name")?.clone();
        let value = "x".repeat(value_bytes);
        let words: Vec<String> = words.iter().map(|word| word.replace(DATA, &value)).collect();
        let bytes = encode(&words.iter().map(String::as_bytes).collect::<Vec<_>>());
        // Found in the bytes: where the words are in them, their numbers are.
        let holes = bytes.windows(NUMBER.len()).enumerate().filter(|(_, window)| *window == NUMBER.as_bytes());
        let holes = holes.map(|(at, _)| at).collect();
        Ok(Template { name, bytes, holes })
    }

    /// One of those with a name, in any case of letters.
    pub fn named(name: &str, value_bytes: usize) -> Result<Template, String> {
        let found = NAMED.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        let (known, words) = found.ok_or_else(|| {
            let known: Vec<_> = names().collect();
            format!("no command is called {name} here; known are {}, any other goes behind --", known.join(", "))
        })?;
        let words: Vec<String> = words.split_whitespace().map(str::to_owned).collect();
        Ok(Template { name: known.to_uppercase(), ..Template::new(&words, value_bytes)? })
    }

    /// What a report calls it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Adds the command with this number to what is sent.
    pub fn fill(&self, number: u64, out: &mut Vec<u8>) {
        let begin = out.len();
        out.extend_from_slice(&self.bytes);
        if self.holes.is_empty() {
            return;
        }
        let mut digits = [b'0'; NUMBER.len()];
        let mut rest = number;
        for digit in digits.iter_mut().rev() {
            *digit = b'0' + (rest % 10) as u8;
            rest /= 10;
        }
        for hole in &self.holes {
            out[begin + hole..begin + hole + digits.len()].copy_from_slice(&digits);
        }
    }

    /// The command with this number alone.
    pub fn filled(&self, number: u64) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.bytes.len());
        self.fill(number, &mut out);
        out
    }
}

/// A request as RESP has it: an array of bulks.
pub fn encode(words: &[&[u8]]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        bytes.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        bytes.extend_from_slice(word);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes
}

/// Commands and how often each is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mix {
    /// With the sum of its own share and of all before it.
    commands: Vec<(u64, Template)>,
}

impl Mix {
    /// Only this.
    pub fn only(template: Template) -> Mix {
        Mix { commands: vec![(1, template)] }
    }

    /// From `get=90,set=10`, or a name alone.
    pub fn parse(text: &str, value_bytes: usize) -> Result<Mix, String> {
        let mut commands = Vec::new();
        let mut sum = 0u64;
        for part in text.split(',') {
            let (name, share) = part.split_once('=').unwrap_or((part, "1"));
            let share: u32 =
                share.parse().map_err(|_| format!("{share} in {part} is no share: write get=90,set=10"))?;
            if share == 0 {
                continue;
            }
            sum += u64::from(share);
            commands.push((sum, Template::named(name.trim(), value_bytes)?));
        }
        if commands.is_empty() {
            return Err(format!("{text} asks for nothing"));
        }
        Ok(Mix { commands })
    }

    /// Everything that may be asked.
    pub fn templates(&self) -> impl Iterator<Item = &Template> {
        self.commands.iter().map(|(_, template)| template)
    }

    /// The next command.
    pub fn pick(&self, rng: &mut Rng) -> &Template {
        let [.., (sum, last)] = self.commands.as_slice() else { unreachable!("a mix is never empty") };
        if self.commands.len() == 1 {
            return last;
        }
        let drawn = rng.below(*sum);
        self.commands.iter().find(|(below, _)| drawn < *below).map_or(last, |(_, template)| template)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_encoded_with_its_number_and_value() {
        let set = Template::named("SET", 3).expect("known");
        assert_eq!(set.name(), "SET");
        assert_eq!(set.filled(42), b"*3\r\n$3\r\nSET\r\n$16\r\nkey:000000000042\r\n$3\r\nxxx\r\n");
        let words = ["ZADD", "z", "__rand_int__", "m:__rand_int__"].map(str::to_owned);
        let mut out = b"before".to_vec();
        Template::new(&words, 0).expect("words").fill(KEYS_MAX - 1, &mut out);
        let text = String::from_utf8(out).expect("text");
        assert!(text.starts_with("before*4\r\n") && text.ends_with("$14\r\nm:999999999999\r\n"), "{text}");
        assert!(!text.contains("__"), "{text}");
    }

    #[test]
    fn every_name_makes_a_command_that_the_table_knows() {
        for name in names() {
            let template = Template::named(name, 10).expect("known");
            let text = String::from_utf8(template.filled(1)).expect("text");
            assert!(!text.contains("__"), "{text}");
        }
        let why = Template::named("sett", 1).expect_err("unknown");
        assert!(why.contains("sett") && why.contains("lrange_100"), "{why}");
    }

    #[test]
    fn a_mix_has_the_shares_it_was_asked_for() {
        let mix = Mix::parse("get=90,set=10,incr=0", 1).expect("a mix");
        let mut rng = Rng::new(1);
        let sets = (0..10_000).filter(|_| mix.pick(&mut rng).name() == "SET").count();
        assert!((900..1_100).contains(&sets), "{sets}");
        assert_eq!(mix.templates().count(), 2);
        for wrong in ["get=x", "", "set=0", "get=90;set=10"] {
            assert!(Mix::parse(wrong, 1).is_err(), "{wrong}");
        }
    }
}
