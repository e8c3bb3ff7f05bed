//! Whether a user may make a call.

use bytes::Bytes;

use super::Selector;
use crate::command::spec::KeyFlags;
use crate::command::{Spec, introspect, sort};

/// What one user may do: a call is allowed if one selector allows all of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rights {
    /// Whose rights these are, for error lines.
    pub user: Bytes,
    /// The user's own rules first. Never empty.
    pub selectors: Vec<Selector>,
}

/// What of a call is denied. Later kinds are told rather than earlier ones: the selector that came closest explains.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Denied {
    /// The command as such.
    Command,
    /// The key at this position.
    Key(usize),
    /// The channel at this position.
    Channel(usize),
}

const READS: KeyFlags = KeyFlags::of("access");
const NO_KEY: KeyFlags = KeyFlags::of("not_key");

impl Rights {
    /// Whether nothing need be asked.
    pub fn is_all(&self) -> bool {
        self.selectors.iter().any(Selector::is_all)
    }

    /// Whether a call whose number of words fits may run.
    pub fn check(&self, spec: &Spec, args: &[Bytes]) -> Result<(), Denied> {
        let mut denied = Denied::Command;
        for selector in &self.selectors {
            match check(selector, spec, args) {
                Ok(()) => return Ok(()),
                Err(reason) => denied = denied.max(reason),
            }
        }
        Err(denied)
    }

    /// Whether somebody who listens to a channel, or a pattern, may go on.
    pub fn allow_listening(&self, name: &[u8], is_pattern: bool) -> bool {
        self.selectors.iter().any(|selector| selector.allow_channel(name, is_pattern))
    }

    /// The option with which a SORT reads keys that it does not name, if that takes more rights than there are.
    pub fn denied_option(&self, spec: &Spec, args: &[Bytes]) -> Option<&'static str> {
        let option = sort::foreign_option(spec, args)?;
        let allows = |selector: &Selector| check(selector, spec, args).is_ok() && selector.allow_all_keys(READS);
        (!self.selectors.iter().any(allows)).then_some(option)
    }

    /// Redis's words for a denial; with `names` the key or channel is told, which only an administrator may see.
    pub fn message(&self, denied: Denied, spec: &Spec, args: &[Bytes], names: bool) -> Vec<u8> {
        let word = |at: usize| args.get(at).map_or(&b""[..], |word| word);
        let user = &self.user[..];
        match denied {
            Denied::Command => {
                [b"User ", user, b" has no permissions to run the '", spec.name.as_bytes(), b"' command"].concat()
            }
            Denied::Key(at) if names => {
                [b"User ", user, b" has no permissions to access the '", word(at), b"' key"].concat()
            }
            Denied::Channel(at) if names => {
                [b"User ", user, b" has no permissions to access the '", word(at), b"' channel"].concat()
            }
            Denied::Key(_) => b"No permissions to access a key".to_vec(),
            Denied::Channel(_) => b"No permissions to access a channel".to_vec(),
        }
    }
}

fn check(selector: &Selector, spec: &Spec, args: &[Bytes]) -> Result<(), Denied> {
    if !selector.commands.allow(spec, args) {
        return Err(Denied::Command);
    }
    for (at, flags) in spec.keys_of(args).filter(|(_, flags)| !flags.has(NO_KEY)) {
        let Some(key) = args.get(at) else { continue };
        if !selector.allow_key(key, introspect::precise(spec, flags, args)) {
            return Err(Denied::Key(at));
        }
    }
    let (channels, is_pattern) = channels(spec.name, args.len());
    for at in channels {
        if args.get(at).is_some_and(|channel| !selector.allow_channel(channel, is_pattern)) {
            return Err(Denied::Channel(at));
        }
    }
    Ok(())
}

/// Where the channels of a call are that somebody gets to hear of, or hears; and whether they are patterns.
fn channels(name: &str, words: usize) -> (std::ops::Range<usize>, bool) {
    match name {
        "publish" | "spublish" => (1..2, false),
        "subscribe" | "ssubscribe" => (1..words, false),
        "psubscribe" => (1..words, true),
        _ => (0..0, false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_are_found_by_the_name_of_the_command() {
        assert_eq!(channels("publish", 3), (1..2, false));
        assert_eq!(channels("psubscribe", 3), (1..3, true));
        assert_eq!(channels("unsubscribe", 3), (0..0, false));
    }
}
