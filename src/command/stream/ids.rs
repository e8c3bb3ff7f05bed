//! Ids of entries and intervals of them, as clients write them.

use bytes::Bytes;

use crate::command::args;
use crate::command::error::{Failure, Result};
use crate::data::stream::Id;
use crate::resp::{Value, c_string};

/// No id is longer.
const WORD_BYTES_MAX: usize = 127;

const INVALID: Failure =
    Failure::Reply(std::borrow::Cow::Borrowed(b"ERR Invalid stream ID specified as stream command argument"));

/// The id that XADD is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// `*`: by the clock.
    Next,
    /// `ms-*`: the next one of a millisecond.
    InMillisecond(u64),
    /// This one.
    Exactly(Id),
}

/// An id, or just its milliseconds, which stand for the first of them.
pub fn id(word: &[u8]) -> Result<Id> {
    strict(word, 0)
}

/// An id of XADD other than `*`.
pub fn wanted(word: &[u8]) -> Result<Wanted> {
    if let Some((ms, b"*")) = split(text(word)?) {
        return number(ms).map(Wanted::InMillisecond).ok_or(INVALID);
    }
    id(word).map(Wanted::Exactly)
}

/// An id, or `-` or `+` for the ends.
pub fn id_or_end(word: &[u8], missing_seq: u64) -> Result<Id> {
    match text(word)? {
        b"-" => Ok(Id::MIN),
        b"+" => Ok(Id::MAX),
        word => strict(word, missing_seq),
    }
}

/// The first id of an interval; behind `(` the one after it.
pub fn start(word: &[u8]) -> Result<Id> {
    match exclusive(word) {
        None => id_or_end(word, 0),
        Some(word) => id(word)?.next().ok_or(Failure::line("ERR invalid start ID for the interval")),
    }
}

/// The last id of an interval; behind `(` the one before it.
pub fn end(word: &[u8]) -> Result<Id> {
    match exclusive(word) {
        None => id_or_end(word, u64::MAX),
        Some(word) => strict(word, u64::MAX)?.previous().ok_or(Failure::line("ERR invalid end ID for the interval")),
    }
}

/// An id as a word of a call.
pub fn word(id: Id) -> Bytes {
    id.to_string().into()
}

/// An id in a reply.
pub fn value(id: Id) -> Value {
    Value::bulk(id.to_string())
}

fn exclusive(word: &[u8]) -> Option<&[u8]> {
    word.strip_prefix(b"(").filter(|word| !word.is_empty())
}

fn strict(word: &[u8], missing_seq: u64) -> Result<Id> {
    let word = text(word)?;
    let (ms, seq) = match split(word) {
        Some((ms, seq)) => (number(ms), number(seq)),
        None => (number(word), Some(missing_seq)),
    };
    ms.zip(seq).map(|(ms, seq)| Id { ms, seq }).ok_or(INVALID)
}

/// What C sees of a word that is not too long.
fn text(word: &[u8]) -> Result<&[u8]> {
    if word.len() > WORD_BYTES_MAX { Err(INVALID) } else { Ok(c_string(word)) }
}

fn split(word: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = word.iter().position(|&byte| byte == b'-')?;
    Some((&word[..at], &word[at + 1..]))
}

/// A number in Redis's strict form, which is not negative, or as C's `strtoull` reads it: after spaces and a sign, and
/// negative ones count from the end.
fn number(word: &[u8]) -> Option<u64> {
    if let Some(number) = args::parse_integer(word) {
        return u64::try_from(number).ok();
    }
    let is_space = |byte: &u8| matches!(byte, b' ' | b'\t'..=b'\r');
    let spaces = word.iter().take_while(|byte| is_space(byte)).count();
    let (is_negative, digits) = match &word[spaces..] {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] => (false, digits),
        digits => (false, digits),
    };
    if digits.is_empty() {
        return None;
    }
    let number = digits.iter().try_fold(0u64, |sum, digit| {
        let digit = digit.is_ascii_digit().then(|| u64::from(digit - b'0'))?;
        sum.checked_mul(10)?.checked_add(digit)
    })?;
    Some(if is_negative { number.wrapping_neg() } else { number })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64, seq: u64) -> Id {
        Id { ms, seq }
    }

    #[test]
    fn ids_are_read_as_redis_reads_them() {
        for (word, ms, seq) in [
            (&b"5"[..], 5, 0),
            (b"5-7", 5, 7),
            (b"0-0", 0, 0),
            (b"05-07", 5, 7),
            (b"+5-+7", 5, 7),
            (b" 5- 7", 5, 7),
            (b"5- -1", 5, u64::MAX),
            (b"5--01", 5, u64::MAX),
            (b"5--9223372036854775809", 5, i64::MAX as u64),
            (b"5-7\0x", 5, 7),
            (b"18446744073709551615-18446744073709551615", u64::MAX, u64::MAX),
        ] {
            assert_eq!(id(word), Ok(at(ms, seq)), "{}", word.escape_ascii());
        }
        let long = [b'0'; 128];
        for word in
            [&b""[..], b"-", b"+", b"*", b"5-", b"-5", b"5--1", b"5-7-", b"5 ", b"18446744073709551616", b"x", &long]
        {
            assert_eq!(id(word), Err(INVALID), "{}", word.escape_ascii());
        }
        assert_eq!(id(&long[1..]), Ok(Id::MIN));
    }

    #[test]
    fn xadd_may_leave_the_number_open() {
        assert_eq!(wanted(b"5-*"), Ok(Wanted::InMillisecond(5)));
        assert_eq!(wanted(b"5-0"), Ok(Wanted::Exactly(at(5, 0))));
        for word in [&b"*-*"[..], b"-*", b"5-**", b"5-1*", b"+"] {
            assert_eq!(wanted(word), Err(INVALID));
        }
    }

    #[test]
    fn intervals_have_two_ends() {
        assert_eq!((start(b"-"), end(b"+")), (Ok(Id::MIN), Ok(Id::MAX)));
        assert_eq!((start(b"+"), end(b"-")), (Ok(Id::MAX), Ok(Id::MIN)));
        assert_eq!((start(b"5"), end(b"5")), (Ok(at(5, 0)), Ok(at(5, u64::MAX))));
        assert_eq!((start(b"(5"), end(b"(5")), (Ok(at(5, 1)), Ok(at(5, u64::MAX - 1))));
        assert_eq!((start(b"(5-18446744073709551615"), end(b"(5-0")), (Ok(at(6, 0)), Ok(at(4, u64::MAX))));
        let max = b"(18446744073709551615-18446744073709551615";
        assert_eq!(start(max), Err(Failure::line("ERR invalid start ID for the interval")));
        assert_eq!(end(b"(0-0"), Err(Failure::line("ERR invalid end ID for the interval")));
        for word in [&b"("[..], b"(-", b"(+", b"((5"] {
            assert_eq!((start(word), end(word)), (Err(INVALID), Err(INVALID)));
        }
    }
}
