//! Ranges of a sorted set by rank, score and member: returned, stored, counted and removed.

use bytes::Bytes;

use super::{find, members};
use crate::base::double;
use crate::command::args::{self, Options};
use crate::command::context::Context;
use crate::command::error::{Failure, Result};
use crate::command::list;
use crate::data::Class;
use crate::data::zset::{Scored, Zset};
use crate::resp::{Value, c_string};

/// What bounds a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    Rank,
    Score,
    Lex,
}

/// Both ends of a range.
#[derive(Clone, Debug, PartialEq)]
enum Range {
    /// Ranks, both included, negative ones counted from the end.
    Ranks(i64, i64),
    /// Scores.
    Scores(Limit<f64>, Limit<f64>),
    /// Members, where all scores are equal.
    Members(Edge, Edge),
}

/// A bound, and whether it is left out itself.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Limit<T> {
    at: T,
    is_left_out: bool,
}

/// A bound of a range of members.
#[derive(Clone, Debug, PartialEq)]
enum Edge {
    /// `-`: before all members.
    Lowest,
    /// `+`: behind all members.
    Highest,
    /// `[member` or `(member`.
    Member(Limit<Bytes>),
}

/// The words of a command that returns or stores a range.
struct Request {
    range: Range,
    from_the_end: bool,
    with_scores: bool,
    /// Members skipped, and how many at most (negative: all).
    limit: (i64, i64),
}

/// `ZRANGE key start stop [BYSCORE | BYLEX] [REV] [LIMIT offset count] [WITHSCORES]`
pub fn zrange(context: &mut Context<'_, '_>, args: &[Bytes]) -> Result<Value> {
    reply(context, args, None, None)
}

pub fn zrevrange(context: &mut Context<'_, '_>, args: &[Bytes]) -> Result<Value> {
    reply(context, args, Some(By::Rank), Some(true))
}

pub fn zrangebyscore(context: &mut Context<'_, '_>, args: &[Bytes]) -> Result<Value> {
    reply(context, args, Some(By::Score), Some(false))
}

pub fn zrevrangebyscore(context: &mut Context<'_, '_>, args: &[Bytes]) -> Result<Value> {
    reply(context, args, Some(By::Score), Some(true))
}

pub fn zrangebylex(context: &mut Context<'_, '_>, args: &[Bytes]) -> Result<Value> {
    reply(context, args, Some(By::Lex), Some(false))
}

pub fn zrevrangebylex(context: &mut Context<'_, '_>, args: &[Bytes]) -> Result<Value> {
    reply(context, args, Some(By::Lex), Some(true))
}

/// `ZRANGESTORE destination source start stop [BYSCORE | BYLEX] [REV] [LIMIT offset count]`
pub fn zrangestore(context: &mut Context<'_, '_>, args: &[Bytes]) -> Result<Value> {
    let request = Request::parse(&args[3..], None, None, true)?;
    context.keys.manner.counts = true;
    let source = find(context, &args[2])?;
    context.keys.manner.counts = false;
    let found = match source {
        Some(zset) => request.members(context, &zset)?,
        None => Vec::new(),
    };
    let count = found.len();
    let was_there = Zset::replace(context.keys, context.db, &args[1], found)?;
    context.notify_stored((Class::Zset, "zrangestore"), &args[1], count, was_there);
    Ok(Value::Integer(count as i64))
}

pub fn zcount(context: &mut Context<'_, '_>, args: &[Bytes]) -> Result<Value> {
    count(context, args, By::Score)
}

pub fn zlexcount(context: &mut Context<'_, '_>, args: &[Bytes]) -> Result<Value> {
    count(context, args, By::Lex)
}

pub fn zremrangebyrank(context: &mut Context<'_, '_>, args: &[Bytes]) -> Result<Value> {
    remove(context, args, By::Rank)
}

pub fn zremrangebyscore(context: &mut Context<'_, '_>, args: &[Bytes]) -> Result<Value> {
    remove(context, args, By::Score)
}

pub fn zremrangebylex(context: &mut Context<'_, '_>, args: &[Bytes]) -> Result<Value> {
    remove(context, args, By::Lex)
}

fn reply(context: &mut Context<'_, '_>, args: &[Bytes], by: Option<By>, from_the_end: Option<bool>) -> Result<Value> {
    let request = Request::parse(&args[2..], by, from_the_end, false)?;
    let Some(zset) = find(context, &args[1])? else { return Ok(Value::Array(Vec::new())) };
    let found = request.members(context, &zset)?;
    Ok(members(context, found, request.with_scores))
}

fn count(context: &mut Context<'_, '_>, args: &[Bytes], by: By) -> Result<Value> {
    let range = Range::parse(by, &args[2], &args[3])?;
    let Some(zset) = find(context, &args[1])? else { return Ok(Value::Integer(0)) };
    let (from, to) = range.ranks(context, &zset)?;
    Ok(Value::Integer((to - from) as i64))
}

fn remove(context: &mut Context<'_, '_>, args: &[Bytes], by: By) -> Result<Value> {
    let range = Range::parse(by, &args[2], &args[3])?;
    let Some(mut zset) = find(context, &args[1])? else { return Ok(Value::Integer(0)) };
    let (from, to) = range.ranks(context, &zset)?;
    zset.remove_ranks(context.keys, from, to)?;
    zset.save(context.keys);
    if from < to {
        let event = match by {
            By::Rank => "zremrangebyrank",
            By::Score => "zremrangebyscore",
            By::Lex => "zremrangebylex",
        };
        context.notify(Class::Zset, event, &args[1]);
        context.notify_if_gone(&args[1])?;
    }
    Ok(Value::Integer((to - from) as i64))
}

impl Request {
    /// Both bounds, then options. What the command's name says cannot be said again.
    fn parse(words: &[Bytes], by: Option<By>, from_the_end: Option<bool>, stores: bool) -> Result<Request> {
        let (mut chosen, mut reversed) = (by, from_the_end);
        let (mut with_scores, mut limit) = (false, (0, -1));
        let mut options = Options::new(words, 2);
        while let Some(word) = options.next() {
            if !stores && args::is(word, "withscores") {
                with_scores = true;
            } else if args::is(word, "limit") && options.left() >= 2 {
                limit = (options.integer()?, options.integer()?);
            } else if reversed.is_none() && args::is(word, "rev") {
                reversed = Some(true);
            } else if chosen.is_none() && args::is(word, "bylex") {
                chosen = Some(By::Lex);
            } else if chosen.is_none() && args::is(word, "byscore") {
                chosen = Some(By::Score);
            } else {
                return Err(Failure::SYNTAX);
            }
        }
        let (by, from_the_end) = (chosen.unwrap_or(By::Rank), reversed.unwrap_or(false));
        if by == By::Rank && limit.1 != -1 {
            return Err(Failure::line(
                "ERR syntax error, LIMIT is only supported in combination with either BYSCORE or BYLEX",
            ));
        }
        if by == By::Lex && with_scores {
            return Err(Failure::line("ERR syntax error, WITHSCORES not supported in combination with BYLEX"));
        }
        let (low, high) = match by {
            // From the end, the higher bound comes first.
            By::Score | By::Lex if from_the_end => (&words[1], &words[0]),
            _ => (&words[0], &words[1]),
        };
        let limit = if by == By::Rank { (0, -1) } else { limit };
        Ok(Request { range: Range::parse(by, low, high)?, from_the_end, with_scores, limit })
    }

    /// The members in the range, in the order asked for.
    fn members(&self, context: &Context<'_, '_>, zset: &Zset) -> Result<Vec<Scored>> {
        let (mut from, mut to) = match (&self.range, self.from_the_end) {
            (Range::Ranks(start, stop), true) => {
                let (from, to) = list::range(zset.count(), *start, *stop);
                (zset.count() - to, zset.count() - from)
            }
            (range, _) => range.ranks(context, zset)?,
        };
        let len = to - from;
        let skipped = u64::try_from(self.limit.0).unwrap_or(len).min(len);
        let taken = u64::try_from(self.limit.1).unwrap_or(len).min(len - skipped);
        if self.from_the_end {
            (from, to) = (to - skipped - taken, to - skipped);
        } else {
            (from, to) = (from + skipped, from + skipped + taken);
        }
        let mut found = zset.range(context.keys, from, to)?;
        if self.from_the_end {
            found.reverse();
        }
        Ok(found)
    }
}

impl Range {
    fn parse(by: By, low: &Bytes, high: &Bytes) -> Result<Range> {
        match by {
            By::Rank => Ok(Range::Ranks(args::integer(low)?, args::integer(high)?)),
            By::Score => {
                let limits = score_limit(low).zip(score_limit(high));
                let (low, high) = limits.ok_or_else(|| Failure::line("ERR min or max is not a float"))?;
                Ok(Range::Scores(low, high))
            }
            By::Lex => {
                let edges = edge(low).zip(edge(high));
                let (low, high) = edges.ok_or_else(|| Failure::line("ERR min or max not valid string range item"))?;
                Ok(Range::Members(low, high))
            }
        }
    }

    /// The ranks of what is in it: from the first to before the second.
    fn ranks(&self, context: &Context<'_, '_>, zset: &Zset) -> Result<(u64, u64)> {
        let (from, to) = match self {
            Range::Ranks(start, stop) => list::range(zset.count(), *start, *stop),
            Range::Scores(low, high) => {
                let is_below = |score, _: &[u8]| if low.is_left_out { score <= low.at } else { score < low.at };
                let is_within = |score, _: &[u8]| if high.is_left_out { score < high.at } else { score <= high.at };
                (zset.partition(context.keys, &is_below)?, zset.partition(context.keys, &is_within)?)
            }
            Range::Members(low, high) => {
                let is_below = |_, member: &[u8]| match low {
                    Edge::Lowest => false,
                    Edge::Highest => true,
                    Edge::Member(limit) if limit.is_left_out => member <= &limit.at[..],
                    Edge::Member(limit) => member < &limit.at[..],
                };
                let is_within = |_, member: &[u8]| match high {
                    Edge::Lowest => false,
                    Edge::Highest => true,
                    Edge::Member(limit) if limit.is_left_out => member < &limit.at[..],
                    Edge::Member(limit) => member <= &limit.at[..],
                };
                (zset.partition(context.keys, &is_below)?, zset.partition(context.keys, &is_within)?)
            }
        };
        Ok((from.min(to), to))
    }
}

/// `1.5` or `(1.5`, read by C.
fn score_limit(word: &[u8]) -> Option<Limit<f64>> {
    let (is_left_out, number) = match word {
        [b'(', rest @ ..] => (true, rest),
        _ => (false, word),
    };
    Some(Limit { at: double::parse_loosely(number)?, is_left_out })
}

/// `-`, `+`, `[member` or `(member`.
fn edge(word: &Bytes) -> Option<Edge> {
    match word.first()? {
        b'-' if c_string(word).len() == 1 => Some(Edge::Lowest),
        b'+' if c_string(word).len() == 1 => Some(Edge::Highest),
        sign @ (b'(' | b'[') => Some(Edge::Member(Limit { at: word.slice(1..), is_left_out: *sign == b'(' })),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_read_as_redis_reads_them() {
        let limit = |at, is_left_out| Some(Limit { at, is_left_out });
        assert_eq!(score_limit(b"1.5"), limit(1.5, false));
        assert_eq!(score_limit(b"(-inf"), limit(f64::NEG_INFINITY, true));
        assert_eq!(score_limit(b""), limit(0.0, false));
        assert_eq!(score_limit(b"("), limit(0.0, true));
        for wrong in [&b"x"[..], b"((1", b"nan", b"1x"] {
            assert_eq!(score_limit(wrong), None);
        }
        let edge = |word: &'static [u8]| edge(&Bytes::from_static(word));
        assert_eq!((edge(b"-"), edge(b"+")), (Some(Edge::Lowest), Some(Edge::Highest)));
        let member = |at: &'static str, is_left_out| Some(Edge::Member(Limit { at: at.into(), is_left_out }));
        assert_eq!((edge(b"[a"), edge(b"(")), (member("a", false), member("", true)));
        for wrong in [&b""[..], b"a", b"-x", b"++"] {
            assert_eq!(edge(wrong), None);
        }
    }
}
