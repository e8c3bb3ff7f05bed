//! Sorted set commands: changing and asking for members. Ranges are in [`range`], what several sets have in common in
//! [`combine`].

pub mod combine;
pub mod range;

use bytes::Bytes;

use super::args::{self, Options};
use super::block;
use super::context::Context;
use super::error::{Failure, Result};
use super::hash::PICKS_MAX;
use super::list::pop_count;
use super::scan::ScanOptions;
use crate::base::double;
use crate::data::Class;
use crate::data::zset::{Scored, Zset};
use crate::resp::{Protocol, Value, double_text};

const NOT_A_NUMBER: &str = "ERR resulting score is not a number (NaN)";

/// The words before the scores of ZADD.
#[derive(Clone, Copy, Debug, Default)]
struct Condition {
    only_new: bool,
    only_existing: bool,
    only_greater: bool,
    only_less: bool,
    counts_changes: bool,
    adds_up: bool,
}

/// What ZADD did with a member.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Outcome {
    Nothing,
    Added(f64),
    Updated(f64),
    /// The condition let it through, and it has this score already.
    Same(f64),
}

/// `ZADD key [NX | XX] [GT | LT] [CH] [INCR] score member [score member ...]`
pub(super) fn zadd(context: &mut Context<'_, '_>, args: &[Bytes]) -> Result<Value> {
    add_with(context, args, Condition::default())
}

/// `ZINCRBY key increment member`: to Redis a ZADD with INCR, in its mistakes too.
pub(super) fn zincrby(context: &mut Context<'_, '_>, args: &[Bytes]) -> Result<Value> {
    add_with(context, args, Condition { adds_up: true, ..Condition::default() })
}

fn add_with(context: &mut Context<'_, '_>, args: &[Bytes], mut condition: Condition) -> Result<Value> {
    let mut at = 2;
    while let Some(word) = args.get(at) {
        match word.to_ascii_lowercase().as_slice() {
            b"nx" => condition.only_new = true,
            b"xx" => condition.only_existing = true,
            b"gt" => condition.only_greater = true,
            b"lt" => condition.only_less = true,
            b"ch" => condition.counts_changes = true,
            b"incr" => condition.adds_up = true,
            _ => break,
        }
        at += 1;
    }
    let words = &args[at..];
    if words.is_empty() || words.len() % 2 == 1 {
        return Err(Failure::SYNTAX);
    }
    let Condition { only_new, only_existing, only_greater, only_less, adds_up, .. } = condition;
    if only_new && only_existing {
        return Err(Failure::line("ERR XX and NX options at the same time are not compatible"));
    }
    if [only_new, only_greater, only_less].into_iter().filter(|is_on| *is_on).count() > 1 {
        return Err(Failure::line("ERR GT, LT, and/or NX options at the same time are not compatible"));
    }
    if adds_up && words.len() > 2 {
        return Err(Failure::line("ERR INCR option supports a single increment-element pair"));
    }
    add(context, &args[1], words, condition)
}

/// Adds pairs of score and member.
fn add(context: &mut Context<'_, '_>, key: &Bytes, words: &[Bytes], condition: Condition) -> Result<Value> {
    let pairs: Vec<(f64, &Bytes)> =
        words.chunks_exact(2).map(|pair| Ok((score(&pair[0])?, &pair[1]))).collect::<Result<_>>()?;
    let found = find(context, key)?;
    if found.is_none() && condition.only_existing {
        return Ok(if condition.adds_up { Value::Null } else { Value::Integer(0) });
    }
    let mut zset = found.unwrap_or_else(|| Zset::new(context.db, key));
    // INCR may still fail, and with it nothing may have been changed; its single member needs no forecast.
    if !condition.adds_up {
        let longest = pairs.iter().map(|(_, member)| member.len()).max().unwrap_or(0);
        zset.expect(context.keys, pairs.len(), longest)?;
    }
    let (mut added, mut updated, mut last) = (0, 0, None);
    for (score, member) in pairs {
        match add_one(context, &mut zset, member, score, condition)? {
            Outcome::Nothing => {}
            Outcome::Added(score) => (added, last) = (added + 1, Some(score)),
            Outcome::Updated(score) => (updated, last) = (updated + 1, Some(score)),
            Outcome::Same(score) => last = Some(score),
        }
    }
    zset.save(context.keys);
    if added + updated > 0 {
        context.notify(Class::Zset, if condition.adds_up { "zincr" } else { "zadd" }, key);
    }
    Ok(match condition {
        Condition { adds_up: true, .. } => last.map_or(Value::Null, Value::Double),
        Condition { counts_changes: true, .. } => Value::Integer(added + updated),
        _ => Value::Integer(added),
    })
}

fn add_one(
    context: &mut Context<'_, '_>,
    zset: &mut Zset,
    member: &Bytes,
    score: f64,
    condition: Condition,
) -> Result<Outcome> {
    let before = zset.score(context.keys, member)?;
    let Some(old) = before else {
        if condition.only_existing {
            return Ok(Outcome::Nothing);
        }
        zset.set(context.keys, member, score, None)?;
        return Ok(Outcome::Added(score));
    };
    if condition.only_new {
        return Ok(Outcome::Nothing);
    }
    let score = if condition.adds_up { old + score } else { score };
    if score.is_nan() {
        return Err(Failure::line(NOT_A_NUMBER));
    }
    if (condition.only_greater && score <= old) || (condition.only_less && score >= old) {
        return Ok(Outcome::Nothing);
    }
    if score == old {
        return Ok(Outcome::Same(score));
    }
    zset.set(context.keys, member, score, before)?;
    Ok(Outcome::Updated(score))
}

pub(super) fn zcard(context: &mut Context<'_, '_>, args: &[Bytes]) -> Result<Value> {
    Ok(Value::Integer(find(context, &args[1])?.map_or(0, |zset| zset.count() as i64)))
}

pub(super) fn zscore(context: &mut Context<'_, '_>, args: &[Bytes]) -> Result<Value> {
    let zset = find(context, &args[1])?;
    score_of(context, zset.as_ref(), &args[2])
}

pub(super) fn zmscore(context: &mut Context<'_, '_>, args: &[Bytes]) -> Result<Value> {
    let zset = find(context, &args[1])?;
    Ok(Value::Array(args[2..].iter().map(|member| score_of(context, zset.as_ref(), member)).collect::<Result<_>>()?))
}

fn score_of(context: &Context<'_, '_>, zset: Option<&Zset>, member: &[u8]) -> Result<Value> {
    let Some(zset) = zset else { return Ok(Value::Null) };
    Ok(zset.score(context.keys, member)?.map_or(Value::Null, Value::Double))
}

pub(super) fn zrank(context: &mut Context<'_, '_>, args: &[Bytes]) -> Result<Value> {
    rank(context, args, "zrank", false)
}

pub(super) fn zrevrank(context: &mut Context<'_, '_>, args: &[Bytes]) -> Result<Value> {
    rank(context, args, "zrevrank", true)
}

/// `ZRANK key member [WITHSCORE]`
fn rank(context: &mut Context<'_, '_>, args: &[Bytes], name: &str, from_the_end: bool) -> Result<Value> {
    let with_score = match &args[3..] {
        [] => false,
        [word] if args::is(word, "withscore") => true,
        [_] => return Err(Failure::SYNTAX),
        _ => return Err(Failure::arity(name)),
    };
    let nothing = if with_score { Value::NullArray } else { Value::Null };
    let Some(zset) = find(context, &args[1])? else { return Ok(nothing) };
    let Some(score) = zset.score(context.keys, &args[2])? else { return Ok(nothing) };
    let rank = zset.rank(context.keys, &args[2], score)?;
    let rank = Value::Integer(if from_the_end { zset.count() - 1 - rank } else { rank } as i64);
    Ok(if with_score { Value::Array(vec![rank, Value::Double(score)]) } else { rank })
}

pub(super) fn zrem(context: &mut Context<'_, '_>, args: &[Bytes]) -> Result<Value> {
    let Some(mut zset) = find(context, &args[1])? else { return Ok(Value::Integer(0)) };
    let mut removed = 0;
    for member in &args[2..] {
        removed += i64::from(zset.remove(context.keys, member)?);
    }
    zset.save(context.keys);
    if removed > 0 {
        context.notify(Class::Zset, "zrem", &args[1]);
        context.notify_if_gone(&args[1])?;
    }
    Ok(Value::Integer(removed))
}

pub(super) fn zpopmin(context: &mut Context<'_, '_>, args: &[Bytes]) -> Result<Value> {
    pop(context, args, false)
}

pub(super) fn zpopmax(context: &mut Context<'_, '_>, args: &[Bytes]) -> Result<Value> {
    pop(context, args, true)
}

/// `ZPOPMIN key [count]`: pairs are nested only with a count, and only in RESP3.
fn pop(context: &mut Context<'_, '_>, args: &[Bytes], highest: bool) -> Result<Value> {
    let count = match &args[2..] {
        [] => None,
        [word] => Some(args::count(word)?),
        _ => return Err(Failure::SYNTAX),
    };
    let popped = match find(context, &args[1])? {
        Some(zset) => take(context, zset, &args[1], count.unwrap_or(1), highest)?,
        None => Vec::new(),
    };
    Ok(match count {
        Some(_) => members(context, popped, true),
        None => Value::Array(popped.into_iter().flat_map(pair).collect()),
    })
}

/// `ZMPOP numkeys key [key ...] MIN|MAX [COUNT count]`
pub(super) fn zmpop(context: &mut Context<'_, '_>, args: &[Bytes]) -> Result<Value> {
    pop_first(context, args, 1)
}

/// Pops from the first sorted set of several, whose number stands at `at`, behind the name and perhaps a timeout.
pub(super) fn pop_first(context: &mut Context<'_, '_>, args: &[Bytes], at: usize) -> Result<Value> {
    let none = Failure::line("ERR numkeys should be greater than 0");
    let (keys, rest) = args::counted(args, at, none, Failure::SYNTAX)?;
    let mut options = Options::new(rest, 0);
    let highest = match options.value()? {
        word if args::is(word, "min") => false,
        word if args::is(word, "max") => true,
        _ => return Err(Failure::SYNTAX),
    };
    let count = pop_count(options)?;
    block::check_timeout(context, &args[1..at])?;
    for key in keys {
        if let Some(zset) = find(context, key)? {
            let popped = take(context, zset, key, count, highest)?;
            let pairs = popped.into_iter().map(|scored| Value::Array(pair(scored).into()));
            return Ok(Value::Array(vec![Value::Bulk(key.clone()), Value::Array(pairs.collect())]));
        }
    }
    Ok(Value::NullArray)
}

/// Removes members from an end, the outermost first.
pub(super) fn take(
    context: &mut Context<'_, '_>,
    mut zset: Zset,
    key: &Bytes,
    count: u64,
    highest: bool,
) -> Result<Vec<Scored>> {
    let len = zset.count();
    let count = count.min(len);
    if count == 0 {
        return Ok(Vec::new());
    }
    let from = if highest { len - count } else { 0 };
    let mut taken = zset.remove_ranks(context.keys, from, from + count)?;
    zset.save(context.keys);
    context.notify(Class::Zset, if highest { "zpopmax" } else { "zpopmin" }, key);
    context.notify_if_gone(key)?;
    if highest {
        taken.reverse();
    }
    Ok(taken)
}

/// `ZRANDMEMBER key [count [WITHSCORES]]`
pub(super) fn zrandmember(context: &mut Context<'_, '_>, args: &[Bytes]) -> Result<Value> {
    let Some(word) = args.get(2) else {
        let Some(zset) = find(context, &args[1])? else { return Ok(Value::Null) };
        let drawn = zset.random(context.keys, 1, false)?.pop();
        return Ok(drawn.map_or(Value::Null, |(member, _)| Value::Bulk(member)));
    };
    let (count, repeat) = args::signed_count(word)?;
    let with_scores = match Options::new(args, 3).collect::<Vec<_>>()[..] {
        [] => false,
        [word] if args::is(word, "withscores") => true,
        _ => return Err(Failure::SYNTAX),
    };
    if (with_scores && count > i64::MAX.unsigned_abs() / 2) || (repeat && count > PICKS_MAX) {
        return Err(Failure::line("ERR value is out of range"));
    }
    let Some(zset) = find(context, &args[1])? else { return Ok(Value::Array(Vec::new())) };
    let drawn = zset.random(context.keys, count, repeat)?;
    Ok(members(context, drawn, with_scores))
}

/// `ZSCAN key cursor [MATCH pattern] [COUNT count]`
pub(super) fn zscan(context: &mut Context<'_, '_>, args: &[Bytes]) -> Result<Value> {
    let cursor = ScanOptions::cursor(&args[2])?;
    let Some(zset) = find(context, &args[1])? else { return Ok(ScanOptions::reply(0, Vec::new())) };
    let options = ScanOptions::parse(args, 3, false)?;
    let part = zset.scan(context.keys, cursor, options.count)?;
    // Redis prints the scores of a large set with another function than those of a small one.
    let text = if part.is_small { double_text } else { double::text_of_17_digits };
    let members = part.members.into_iter().filter(|(member, _)| options.admits(member));
    let words = members.flat_map(|(member, score)| [Value::Bulk(member), Value::bulk(text(score))]);
    Ok(ScanOptions::reply(part.cursor, words.collect()))
}

/// A score of a client.
fn score(word: &[u8]) -> Result<f64> {
    double::parse(word).ok_or(Failure::NOT_A_FLOAT)
}

/// Members as a reply; with scores they are pairs in RESP3 and a flat list in RESP2.
fn members(context: &Context<'_, '_>, members: Vec<Scored>, with_scores: bool) -> Value {
    let members = members.into_iter();
    Value::Array(match (with_scores, context.protocol) {
        (false, _) => members.map(|(member, _)| Value::Bulk(member)).collect(),
        (true, Protocol::Resp2) => members.flat_map(pair).collect(),
        (true, Protocol::Resp3) => members.map(|scored| Value::Array(pair(scored).into())).collect(),
    })
}

fn pair((member, score): Scored) -> [Value; 2] {
    [Value::Bulk(member), Value::Double(score)]
}

pub(super) fn find(context: &mut Context<'_, '_>, key: &Bytes) -> Result<Option<Zset>> {
    Ok(Zset::find(context.keys, context.db, key)?)
}
