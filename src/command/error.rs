//! Why a command has no ordinary reply: a mistake of the client is an error line, everything else ends the
//! evaluation.

use std::borrow::Cow;

use crate::data;
use crate::resp::Value;
use crate::store;

/// The keys of a call lie in several groups.
pub const CROSS_SLOT: &str = "CROSSSLOT Keys in request don't hash to the same slot";

/// What stops an evaluation; there is no reply then.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum Error {
    /// Records could not be read: the whole evaluation is void.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// A local read met a key that is due, or an estimate to be written down: the leader's machine must answer.
    #[error("what this read changes goes through the log")]
    NeedsLog,
}

/// Why a handler gives up: `?` carries it to [`super::execute`], which turns the first kind into a reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The client's mistake: the error line, without the dash.
    Reply(Cow<'static, [u8]>),
    /// The evaluation cannot go on.
    Abort(Error),
}

/// What a handler returns.
pub type Result<T> = std::result::Result<T, Failure>;

impl Failure {
    /// Words that fit no option, or an option twice.
    pub const SYNTAX: Failure = Failure::Reply(Cow::Borrowed(b"ERR syntax error"));
    /// A number that is none, or too large.
    pub const NOT_AN_INTEGER: Failure = Failure::Reply(Cow::Borrowed(b"ERR value is not an integer or out of range"));
    /// A float that is none.
    pub const NOT_A_FLOAT: Failure = Failure::Reply(Cow::Borrowed(b"ERR value is not a valid float"));
    /// A key that must exist.
    pub const NO_SUCH_KEY: Failure = Failure::Reply(Cow::Borrowed(b"ERR no such key"));

    /// A count below zero, or none.
    pub const NOT_POSITIVE: Failure = Failure::Reply(Cow::Borrowed(b"ERR value is out of range, must be positive"));

    /// An error line, its prefix (`ERR `) included.
    pub fn line(line: impl Into<Cow<'static, str>>) -> Failure {
        Failure::Reply(match line.into() {
            Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
            Cow::Owned(text) => Cow::Owned(text.into_bytes()),
        })
    }

    /// Too few or too many words for a command, where its arity alone does not tell.
    pub fn arity(name: &str) -> Failure {
        Failure::line(format!("ERR wrong number of arguments for '{name}' command"))
    }

    /// What [`super::execute`] makes of it: a reply, or the end of the evaluation.
    pub fn into_reply(self) -> std::result::Result<Value, Error> {
        match self {
            Failure::Reply(line) => Ok(Value::error_line(line)),
            Failure::Abort(error) => Err(error),
        }
    }
}

impl From<data::Error> for Failure {
    fn from(error: data::Error) -> Failure {
        match error {
            data::Error::Store(error) => Failure::Abort(Error::Store(error)),
            data::Error::NeedsLog => Failure::Abort(Error::NeedsLog),
            data::Error::WrongType => {
                Failure::line("WRONGTYPE Operation against a key holding the wrong kind of value")
            }
            data::Error::TooLarge => Failure::line(format!("ERR {}", data::TOO_LARGE)),
        }
    }
}

impl From<store::Error> for Failure {
    fn from(error: store::Error) -> Failure {
        Failure::Abort(Error::Store(error))
    }
}
