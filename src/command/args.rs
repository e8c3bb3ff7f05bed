//! Words of a call as numbers and options, with exactly Redis's idea of what a number looks like.

use bytes::Bytes;

use super::error::{Failure, Result};

/// A decimal integer as Redis writes it, so that text and number convert into each other without loss: an optional
/// minus, no plus, no leading zeros, no spaces, within 64 bits.
pub fn parse_integer(word: &[u8]) -> Option<i64> {
    let digits = word.strip_prefix(b"-").unwrap_or(word);
    match digits {
        [b'0'] if word.len() == 1 => return Some(0),
        // 19 digits are the longest.
        [b'1'..=b'9', ..] if digits.len() <= 19 => {}
        _ => return None,
    }
    // Negative numbers reach one further, so everything is summed up below zero.
    let negated = digits.iter().try_fold(0i64, |sum, digit| {
        let digit = digit.is_ascii_digit().then(|| i64::from(digit - b'0'))?;
        sum.checked_mul(10)?.checked_sub(digit)
    })?;
    if word.len() > digits.len() { Some(negated) } else { negated.checked_neg() }
}

/// An integer argument.
pub fn integer(word: &[u8]) -> Result<i64> {
    parse_integer(word).ok_or(Failure::NOT_AN_INTEGER)
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
    fn integers_are_exactly_those_that_redis_writes() {
        for number in [0, 1, -1, 9, 10, -10, 123456789, i64::MAX, i64::MIN, i64::MAX - 1, i64::MIN + 1] {
            assert_eq!(parse_integer(number.to_string().as_bytes()), Some(number));
        }
        for word in [
            "",
            "-",
            "+1",
            "01",
            "-0",
            "-01",
            "00",
            " 1",
            "1 ",
            "1.0",
            "0x1",
            "1e3",
            "9223372036854775808",
            "-9223372036854775809",
            "99999999999999999999",
            "١",
            "1\0",
            "--1",
        ] {
            assert_eq!(parse_integer(word.as_bytes()), None, "{word:?}");
        }
    }

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
