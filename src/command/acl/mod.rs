//! Who may do what: users, their passwords and their rights, as Redis's ACL words define them.
//!
//! Reading order: [`Commands`] (which commands), [`Selector`] (commands with the keys and channels they may be used on),
//! [`Rights`] (the selectors of one user, and whether they allow a call), [`User`] (rights and how one logs in), [`Users`]
//! (all of them), [`Change`] (the one way to make them others). Everything here is a value: no clock, no connection, no
//! storage.
//!
//! Invariants: a user is what its words say ([`User::words`]), so words are what is stored, sent and shown; a rule that is
//! not understood never gives a right; no password is kept, only its SHA-256.

mod change;
mod commands;
mod permission;
mod selector;
mod sha256;
#[cfg(test)]
mod tests;
mod user;
mod users;

use bytes::Bytes;

pub use change::{Answer, Change, Record, Refusal, decide, decode_kept, encode_kept};
pub use commands::Commands;
pub use permission::{Denied, Rights};
pub use selector::Selector;
pub use user::{DEFAULT, User, hide_password};
pub use users::Users;

use crate::resp::c_string;

/// Why a rule is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mistake {
    /// No command, subcommand or category has that name.
    UnknownName,
    /// No rule looks like this.
    Syntax,
    /// A key pattern beside all keys.
    AllKeys,
    /// A channel pattern beside all channels.
    AllChannels,
    /// It is none of the user's passwords.
    NoSuchPassword,
    /// These are not 64 lower case hexadecimal digits.
    Hash,
    /// A first argument of what is a subcommand itself.
    FirstArgument,
}

impl Mistake {
    /// Redis's words for it.
    pub fn text(self) -> &'static str {
        match self {
            Mistake::UnknownName => "Unknown command or category name in ACL",
            Mistake::Syntax => "Syntax error",
            Mistake::AllKeys => {
                "Adding a pattern after the * pattern (or the 'allkeys' flag) is not valid and does not have any effect. \
                 Try 'resetkeys' to start with an empty list of patterns"
            }
            Mistake::AllChannels => {
                "Adding a pattern after the * pattern (or the 'allchannels' flag) is not valid and does not have any \
                 effect. Try 'resetchannels' to start with an empty list of channels"
            }
            Mistake::NoSuchPassword => "The password you are trying to remove from the user does not exist",
            Mistake::Hash => {
                "The password hash must be exactly 64 characters and contain only lowercase hexadecimal characters"
            }
            Mistake::FirstArgument => "Allowing first-arg of a subcommand is not supported",
        }
    }

    /// For the wire.
    fn code(self) -> u8 {
        MISTAKES.iter().position(|mistake| *mistake == self).unwrap_or_default() as u8
    }

    fn from_code(code: u8) -> Option<Mistake> {
        MISTAKES.get(usize::from(code)).copied()
    }
}

/// In the order of their numbers on the wire.
const MISTAKES: [Mistake; 7] = [
    Mistake::UnknownName,
    Mistake::Syntax,
    Mistake::AllKeys,
    Mistake::AllChannels,
    Mistake::NoSuchPassword,
    Mistake::Hash,
    Mistake::FirstArgument,
];

/// Whether a name or a pattern has a byte that would make two words of it, or end it (`isspace` of C, and NUL).
pub fn has_space(word: &[u8]) -> bool {
    word.iter().any(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c | 0))
}

/// Joins what a client wrote as several words of one selector: `(+get`, `~x)` is `(+get ~x)`. An error is the place of
/// the word that opens a selector which nothing closes.
pub fn merge_selectors(words: &[Bytes]) -> Result<Vec<Bytes>, usize> {
    let mut merged = Vec::with_capacity(words.len());
    let mut open: Option<(usize, Vec<u8>)> = None;
    for (at, word) in words.iter().enumerate() {
        let closes = word.last() == Some(&b')');
        open = match open {
            None if word.first() == Some(&b'(') && !closes => Some((at, word.to_vec())),
            None => {
                merged.push(word.clone());
                None
            }
            Some((from, mut selector)) => {
                selector.push(b' ');
                selector.extend_from_slice(c_string(word));
                if closes {
                    merged.push(selector.into());
                    None
                } else {
                    Some((from, selector))
                }
            }
        };
    }
    open.map_or(Ok(merged), |(from, _)| Err(from))
}
