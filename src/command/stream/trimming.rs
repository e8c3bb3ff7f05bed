//! The words before the entry of XADD, and those of XTRIM.

use bytes::Bytes;

use super::ids::{self, Wanted};
use crate::command::args::{self, Options, is};
use crate::command::error::{Failure, Result};
use crate::data::Thresholds;
use crate::data::stream::{Bound, Trim};

/// Pages that a trim by pages may remove at once, unless its LIMIT says otherwise.
const PAGES_MAX: i64 = 100;
/// Entries that it may remove where pages have no size.
const ENTRIES_DEFAULT: i64 = 10_000;
/// Entries that it may remove at most.
const ENTRIES_MAX: i64 = 1_000_000;

/// What XADD and XTRIM are told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// NOMKSTREAM
    pub no_stream: bool,
    /// How to shorten the stream.
    pub trim: Option<Trim>,
    /// The id of XADD.
    pub id: Option<Wanted>,
    /// Words that are left behind it.
    pub left: usize,
}

#[derive(Default)]
struct Parser {
    bound: Option<Bound>,
    by_pages: bool,
    limit: Option<u64>,
}

/// The words of XADD up to its id.
pub fn of_xadd(args: &[Bytes], thresholds: &Thresholds) -> Result<Told> {
    let mut told = Told::default();
    let (mut parser, mut options) = (Parser::default(), Options::new(args, 2));
    while let Some(word) = options.next() {
        if word == "*" {
            told.id = Some(Wanted::Next);
            break;
        }
        if !parser.take(word, &mut options)? {
            if is(word, "nomkstream") {
                told.no_stream = true;
            } else {
                told.id = Some(ids::wanted(word)?);
                break;
            }
        }
    }
    Ok(Told { trim: parser.finish(thresholds)?, left: options.left(), ..told })
}

/// The words of XTRIM.
pub fn of_xtrim(args: &[Bytes], thresholds: &Thresholds) -> Result<Trim> {
    let (mut parser, mut options) = (Parser::default(), Options::new(args, 2));
    while let Some(word) = options.next() {
        if !parser.take(word, &mut options)? {
            return Err(Failure::SYNTAX);
        }
    }
    let missing = Failure::line("ERR syntax error, XTRIM must be called with a trimming strategy");
    if parser.bound.is_none() && parser.limit.is_none_or(|limit| limit == 0) {
        return Err(missing);
    }
    parser.finish(thresholds)?.ok_or(missing)
}

impl Parser {
    /// Takes a word with its values, if it is one of its own.
    fn take(&mut self, word: &Bytes, options: &mut Options<'_>) -> Result<bool> {
        if options.left() == 0 {
            return Ok(false);
        }
        let (by_length, by_id) = (is(word, "maxlen"), is(word, "minid"));
        if by_length || by_id {
            if self.bound.is_some() {
                return Err(Failure::line(
                    "ERR syntax error, MAXLEN and MINID options at the same time are not compatible",
                ));
            }
            let mut value = options.value()?;
            if options.left() > 0 && (value == "~" || value == "=") {
                self.by_pages = value == "~";
                value = options.value()?;
            }
            self.bound = Some(if by_id {
                Bound::Id(ids::id(value)?)
            } else {
                let length = u64::try_from(args::integer(value)?);
                Bound::Length(length.map_err(|_| Failure::line("ERR The MAXLEN argument must be >= 0."))?)
            });
        } else if is(word, "limit") {
            let limit = u64::try_from(options.integer()?);
            self.limit = Some(limit.map_err(|_| Failure::line("ERR The LIMIT argument must be >= 0."))?);
        }
        Ok(by_length || by_id || is(word, "limit"))
    }

    fn finish(self, thresholds: &Thresholds) -> Result<Option<Trim>> {
        let not_by_pages = "ERR syntax error, LIMIT cannot be used without the special ~ option";
        let Some(bound) = self.bound else {
            let wrong = match self.limit {
                None => return Ok(None),
                Some(0) => not_by_pages,
                Some(_) => "ERR syntax error, LIMIT cannot be used without specifying a trimming strategy",
            };
            return Err(Failure::line(wrong));
        };
        let limit = match self.limit {
            Some(_) if !self.by_pages => return Err(Failure::line(not_by_pages)),
            Some(limit) => Some(limit).filter(|limit| *limit > 0),
            None if self.by_pages => {
                // In C this overflows.
                let entries = (thresholds.stream_node_entries_max as i64).wrapping_mul(PAGES_MAX);
                let entries = if entries > 0 { entries.min(ENTRIES_MAX) } else { ENTRIES_DEFAULT };
                Some(entries.unsigned_abs())
            }
            None => None,
        };
        Ok(Some(Trim { bound, by_pages: self.by_pages, limit }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::stream::Id;

    fn words(line: &str) -> Vec<Bytes> {
        line.split(' ').map(|word| Bytes::copy_from_slice(word.as_bytes())).collect()
    }

    #[test]
    fn the_words_of_xadd_end_with_its_id() {
        let told = |line| of_xadd(&words(line), &Thresholds::REDIS);
        let next = Told { id: Some(Wanted::Next), left: 2, ..Told::default() };
        assert_eq!(told("XADD s * f v"), Ok(next));
        let trim = Some(Trim { bound: Bound::Length(5), by_pages: true, limit: Some(10_000) });
        assert_eq!(told("XADD s NOMKSTREAM maxlen ~ 5 * f v"), Ok(Told { no_stream: true, trim, ..next }));
        let trim = Some(Trim { bound: Bound::Id(Id { ms: 5, seq: 0 }), by_pages: false, limit: None });
        let id = Some(Wanted::Exactly(Id { ms: 7, seq: 1 }));
        assert_eq!(told("XADD s MINID = 5 7-1 f v"), Ok(Told { trim, id, ..next }));
        assert_eq!(told("XADD s nomkstream nomkstream nomkstream").map(|told| told.id), Ok(None));
        assert!(told("XADD s MAXLEN 5 MINID 5 * f v").is_err());
        assert!(told("XADD s LIMIT 5 * f v").is_err());
        assert!(told("XADD s LIMIT 0 * f v").is_err());
    }

    #[test]
    fn limits_are_for_trims_by_pages() {
        let told = |line, entries| {
            of_xtrim(&words(line), &Thresholds { stream_node_entries_max: entries, ..Thresholds::REDIS })
                .map(|trim| trim.limit)
        };
        assert_eq!(told("XTRIM s MAXLEN ~ 5", 7), Ok(Some(700)));
        assert_eq!(told("XTRIM s MAXLEN ~ 5", 0), Ok(Some(10_000)));
        assert_eq!(told("XTRIM s MAXLEN ~ 5", 1 << 40), Ok(Some(1_000_000)));
        assert_eq!(told("XTRIM s MAXLEN ~ 5", i64::MAX as usize), Ok(Some(10_000)));
        assert_eq!(told("XTRIM s MAXLEN ~ 5 LIMIT 0", 7), Ok(None));
        assert_eq!(told("XTRIM s LIMIT 3 MAXLEN ~ 5", 7), Ok(Some(3)));
        assert_eq!(told("XTRIM s MAXLEN = 5", 7), Ok(None));
        assert!(told("XTRIM s MAXLEN 5 LIMIT 3", 7).is_err() && told("XTRIM s LIMIT 3 LIMIT", 7).is_err());
    }
}
