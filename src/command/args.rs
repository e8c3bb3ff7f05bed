//! Words of a call as numbers and options, with exactly Redis's idea of what a number looks like.

use bytes::Bytes;

use super::error::{Failure, Result};
pub use crate::base::integer::parse as parse_integer;

/// An integer argument.
pub fn integer(word: &[u8]) -> Result<i64> {
    parse_integer(word).ok_or(Failure::NOT_AN_INTEGER)
}

/// A count that may be 0, as Redis reads it where nothing else is said.
pub fn count(word: &[u8]) -> Result<u64> {
    parse_integer(word).and_then(|number| u64::try_from(number).ok()).ok_or(Failure::NOT_POSITIVE)
}

/// A count whose sign means something: what it counts, and whether it was negative.
pub fn signed_count(word: &[u8]) -> Result<(u64, bool)> {
    let count = integer(word)?;
    if count == i64::MIN {
        let (low, high) = (-i64::MAX, i64::MAX);
        return Err(Failure::line(format!("ERR value is out of range, value must between {low} and {high}")));
    }
    Ok((count.unsigned_abs(), count < 0))
}

/// The words of a call whose number stands at `at`, and whatever follows them. Errors: for a number that is none, and
/// for one beyond the end of the call.
pub fn counted(args: &[Bytes], at: usize, none: Failure, beyond: Failure) -> Result<(&[Bytes], &[Bytes])> {
    let number = parse_integer(&args[at]).filter(|number| *number > 0).ok_or(none)?;
    usize::try_from(number).ok().and_then(|number| args[at + 1..].split_at_checked(number)).ok_or(beyond)
}

/// Whether a word is this option, in either case.
pub fn is(word: &[u8], option: &str) -> bool {
    word.eq_ignore_ascii_case(option.as_bytes())
}

/// The options of a call, read from left to right.
pub struct Options<'a> {
    words: std::slice::Iter<'a, Bytes>,
}

impl<'a> Options<'a> {
    /// Reads the words of a call from position `from` on.
    pub fn new(args: &'a [Bytes], from: usize) -> Options<'a> {
        Options { words: args.get(from..).unwrap_or_default().iter() }
    }

    /// How many words are left.
    pub fn left(&self) -> usize {
        self.words.len()
    }

    /// The value of the option just read; a syntax error if the call ends here.
    pub fn value(&mut self) -> Result<&'a Bytes> {
        self.words.next().ok_or(Failure::SYNTAX)
    }

    /// The integer value of the option just read.
    pub fn integer(&mut self) -> Result<i64> {
        integer(self.value()?)
    }
}

impl<'a> Iterator for Options<'a> {
    type Item = &'a Bytes;

    fn next(&mut self) -> Option<&'a Bytes> {
        self.words.next()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_read_in_order() {
        let args: Vec<Bytes> = ["set", "k", "EX", "10", "px"].into_iter().map(Bytes::from).collect();
        let mut options = Options::new(&args, 2);
        assert!(is(options.next().unwrap(), "ex"));
        assert_eq!(options.integer(), Ok(10));
        assert!(is(options.next().unwrap(), "PX"));
        assert_eq!(options.integer(), Err(Failure::SYNTAX));
        assert_eq!(Options::new(&args, 9).next(), None);
    }
}
