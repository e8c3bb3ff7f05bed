//! A selector: commands, and the keys and channels on which they may be used. A user has one, and may have more of them
//! in parentheses; a call must satisfy one of them as a whole.

use bytes::Bytes;

use super::{Commands, Mistake, has_space};
use crate::base::glob;
use crate::command::args::is;
use crate::command::spec::KeyFlags;

/// One set of rights.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selector {
    /// Which commands.
    pub commands: Commands,
    /// `None`: every key.
    keys: Option<Vec<KeyPattern>>,
    /// `None`: every channel.
    channels: Option<Vec<Bytes>>,
}

/// Keys that may be read, written, or both.
#[derive(Clone, Debug, PartialEq, Eq)]
struct KeyPattern {
    pattern: Bytes,
    reads: bool,
    writes: bool,
}

/// What happens to the data in a key.
const READS: KeyFlags = KeyFlags::of("access");
const WRITES: KeyFlags = KeyFlags::of("insert delete update");

impl Default for Selector {
    fn default() -> Selector {
        Selector::none()
    }
}

impl Selector {
    /// Nothing may be done.
    pub fn none() -> Selector {
        Selector { commands: Commands::none(), keys: Some(Vec::new()), channels: Some(Vec::new()) }
    }

    /// Everything may be done.
    pub fn all() -> Selector {
        Selector { commands: Commands::all(), keys: None, channels: None }
    }

    /// Whether everything may be done, so that nothing need be asked.
    pub fn is_all(&self) -> bool {
        self.keys.is_none() && self.channels.is_none() && self.commands.is_all()
    }

    /// Takes a rule.
    pub fn apply(&mut self, rule: &Bytes) -> Result<(), Mistake> {
        match &rule[..] {
            b"~*" => self.keys = None,
            b"&*" => self.channels = None,
            _ if is(rule, "allkeys") => self.keys = None,
            _ if is(rule, "resetkeys") => self.keys = Some(Vec::new()),
            _ if is(rule, "allchannels") => self.channels = None,
            _ if is(rule, "resetchannels") => self.channels = Some(Vec::new()),
            _ if is(rule, "allcommands") => self.commands = Commands::all(),
            _ if is(rule, "nocommands") => self.commands = Commands::none(),
            [b'~' | b'%', ..] => self.add_keys(rule)?,
            [b'&', ..] => {
                let Some(channels) = &mut self.channels else { return Err(Mistake::AllChannels) };
                if has_space(&rule[1..]) {
                    return Err(Mistake::Syntax);
                }
                if !channels.contains(&rule.slice(1..)) {
                    channels.push(Bytes::copy_from_slice(&rule[1..]));
                }
            }
            _ => self.commands.apply(rule)?,
        }
        Ok(())
    }

    /// `~pattern`, or with `R` for keys that may be read and `W` for those that may be written `%RW~pattern`.
    fn add_keys(&mut self, rule: &[u8]) -> Result<(), Mistake> {
        let Some(keys) = &mut self.keys else { return Err(Mistake::AllKeys) };
        let (mut reads, mut writes, mut at) = (false, false, 1);
        if rule.starts_with(b"~") {
            (reads, writes) = (true, true);
        } else {
            loop {
                match rule.get(at) {
                    Some(b'R' | b'r') if !reads => reads = true,
                    Some(b'W' | b'w') if !writes => writes = true,
                    Some(b'~') if reads || writes => {
                        at += 1;
                        break;
                    }
                    // Without a pattern it is the empty one.
                    None if reads || writes => break,
                    _ => return Err(Mistake::Syntax),
                }
                at += 1;
            }
        }
        let pattern = &rule[at..];
        if has_space(pattern) {
            return Err(Mistake::Syntax);
        }
        match keys.iter_mut().find(|known| known.pattern == pattern) {
            Some(known) => (known.reads, known.writes) = (known.reads | reads, known.writes | writes),
            None => keys.push(KeyPattern { pattern: Bytes::copy_from_slice(pattern), reads, writes }),
        }
        Ok(())
    }

    /// Whether a call may do this with a key.
    pub fn allow_key(&self, key: &[u8], flags: KeyFlags) -> bool {
        let Some(keys) = &self.keys else { return true };
        keys.iter().any(|known| known.covers(flags) && glob::matches(&known.pattern, key))
    }

    /// Whether a call may do this with every key there is.
    pub fn allow_all_keys(&self, flags: KeyFlags) -> bool {
        let Some(keys) = &self.keys else { return true };
        keys.iter().any(|known| known.covers(flags) && known.pattern == b"*"[..])
    }

    /// Whether a channel may be used. A pattern of channels may be if exactly this pattern is named: nothing else would
    /// keep it from meaning more.
    pub fn allow_channel(&self, channel: &[u8], is_pattern: bool) -> bool {
        let Some(channels) = &self.channels else { return true };
        channels.iter().any(|known| if is_pattern { known == channel } else { glob::matches(known, channel) })
    }

    /// The rules about keys.
    pub fn key_words(&self) -> Vec<Bytes> {
        match &self.keys {
            None => vec![Bytes::from_static(b"~*")],
            Some(keys) => keys.iter().map(KeyPattern::word).collect(),
        }
    }

    /// The rules about channels, without the one that takes all away.
    pub fn channel_words(&self) -> Vec<Bytes> {
        match &self.channels {
            None => vec![Bytes::from_static(b"&*")],
            Some(channels) => channels.iter().map(|channel| [b"&", &channel[..]].concat().into()).collect(),
        }
    }

    /// All rules, in the order in which Redis shows them.
    pub fn words(&self) -> Vec<Bytes> {
        let mut words = self.key_words();
        if self.channels.is_some() {
            words.push(Bytes::from_static(b"resetchannels"));
        }
        words.extend(self.channel_words());
        words.extend(self.commands.words());
        words
    }
}

impl KeyPattern {
    fn covers(&self, flags: KeyFlags) -> bool {
        (self.reads || !flags.has(READS)) && (self.writes || !flags.has(WRITES))
    }

    fn word(&self) -> Bytes {
        let access = match (self.reads, self.writes) {
            (true, true) => "~",
            (true, false) => "%R~",
            _ => "%W~",
        };
        [access.as_bytes(), &self.pattern].concat().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn selector(rules: &str) -> Selector {
        let mut selector = Selector::none();
        rules.split(' ').for_each(|rule| selector.apply(&Bytes::copy_from_slice(rule.as_bytes())).unwrap());
        selector
    }

    fn shown(rules: &str) -> String {
        let words = selector(rules).words();
        words.iter().map(|word| String::from_utf8_lossy(word)).collect::<Vec<_>>().join(" ")
    }

    /// As redis-server 7.0.15 shows them.
    #[test]
    fn patterns_are_shown_once_with_all_that_they_allow() {
        for (rules, words) in [
            ("~a ~a %R~a %R~b %W~b %R~c %RW~d %W~e %wR~f", "~a ~b %R~c ~d %W~e ~f resetchannels -@all"),
            ("AllKeys resetkeys", "resetchannels -@all"),
            ("~a allkeys AllChannels", "~* &* -@all"),
            ("allchannels resetchannels &a &a &b", "resetchannels &a &b -@all"),
            ("%R", "%R~ resetchannels -@all"),
            ("allcommands nocommands +get", "resetchannels -@all +get"),
        ] {
            assert_eq!(shown(rules), words, "{rules}");
        }
    }

    #[test]
    fn mistakes_are_told_apart() {
        for (rules, rule, mistake) in [
            ("~*", "~a", Mistake::AllKeys),
            ("~*", "%", Mistake::AllKeys),
            ("&*", "&a", Mistake::AllChannels),
            ("~x", "%", Mistake::Syntax),
            ("~x", "%~x", Mistake::Syntax),
            ("~x", "%RR~x", Mistake::Syntax),
            ("~x", "%Rx~a", Mistake::Syntax),
            ("~x", "~a b", Mistake::Syntax),
            ("~x", "&a\0", Mistake::Syntax),
            ("~x", "on", Mistake::Syntax),
            ("~x", "", Mistake::Syntax),
        ] {
            let refused = selector(rules).apply(&Bytes::copy_from_slice(rule.as_bytes()));
            assert_eq!(refused, Err(mistake), "{rules} {rule}");
        }
    }

    #[test]
    fn keys_are_allowed_for_what_is_done_to_them() {
        let rules = selector("%R~r* %W~w* ~b* %R~*");
        let (read, write) = (KeyFlags::of("RO access"), KeyFlags::of("OW insert"));
        let both = KeyFlags::of("RW access update");
        for (key, flags, allowed) in [
            ("r1", read, true),
            ("r1", write, false),
            ("w1", write, true),
            ("w1", both, false),
            ("b1", both, true),
            ("x", read, true),
            ("x", KeyFlags::of("RM delete"), false),
            // To look whether a key is there is neither.
            ("x", KeyFlags::of("RO"), true),
        ] {
            assert_eq!(rules.allow_key(key.as_bytes(), flags), allowed, "{key} {flags:?}");
        }
        assert!(rules.allow_all_keys(read) && !rules.allow_all_keys(write));
        assert!(!selector("%R~a").allow_key(b"b", KeyFlags::of("RO")));
    }

    #[test]
    fn channels_match_and_patterns_of_channels_are_named() {
        let rules = selector("&news.* &x");
        assert!(rules.allow_channel(b"news.art", false) && rules.allow_channel(b"news.*", true));
        assert!(!rules.allow_channel(b"news.a*", true) && !rules.allow_channel(b"xy", false));
    }
}
