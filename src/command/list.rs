//! List commands.

use std::ops::ControlFlow;

use bytes::Bytes;

use super::args::{self, Options};
use super::block;
use super::context::Context;
use super::error::{Failure, Result};
use crate::data::Class;
use crate::data::list::{End, List};
use crate::resp::Value;
use crate::store::Order;

pub(super) fn lpush(context: &mut Context<'_, '_>, args: &[Bytes]) -> Result<Value> {
    push(context, args, End::Left)
}

pub(super) fn rpush(context: &mut Context<'_, '_>, args: &[Bytes]) -> Result<Value> {
    push(context, args, End::Right)
}

pub(super) fn lpushx(context: &mut Context<'_, '_>, args: &[Bytes]) -> Result<Value> {
    push_to_existing(context, args, End::Left)
}

pub(super) fn rpushx(context: &mut Context<'_, '_>, args: &[Bytes]) -> Result<Value> {
    push_to_existing(context, args, End::Right)
}

fn push(context: &mut Context<'_, '_>, args: &[Bytes], end: End) -> Result<Value> {
    let list = List::find_or_new(context.keys, context.db, &args[1])?;
    let len = list.push(context.keys, end, &args[2..])?;
    context.notify(Class::List, pushed(end), &args[1]);
    Ok(Value::Integer(len as i64))
}

fn push_to_existing(context: &mut Context<'_, '_>, args: &[Bytes], end: End) -> Result<Value> {
    match find(context, &args[1])? {
        Some(list) => {
            let len = list.push(context.keys, end, &args[2..])?;
            context.notify(Class::List, pushed(end), &args[1]);
            Ok(Value::Integer(len as i64))
        }
        None => Ok(Value::Integer(0)),
    }
}

pub(super) fn lpop(context: &mut Context<'_, '_>, args: &[Bytes]) -> Result<Value> {
    pop(context, args, End::Left, "lpop")
}

pub(super) fn rpop(context: &mut Context<'_, '_>, args: &[Bytes]) -> Result<Value> {
    pop(context, args, End::Right, "rpop")
}

/// `LPOP key [count]`
fn pop(context: &mut Context<'_, '_>, args: &[Bytes], end: End, name: &str) -> Result<Value> {
    match &args[2..] {
        [] => {
            let Some(list) = find(context, &args[1])? else { return Ok(Value::Null) };
            Ok(take(context, list, &args[1], end, 1)?.pop().map_or(Value::Null, Value::Bulk))
        }
        [word] => {
            let count = args::count(word)?;
            match find(context, &args[1])? {
                Some(_) if count == 0 => Ok(Value::Array(Vec::new())),
                Some(list) => Ok(bulks(take(context, list, &args[1], end, count)?)),
                None => Ok(Value::NullArray),
            }
        }
        _ => Err(Failure::arity(name)),
    }
}

pub(super) fn llen(context: &mut Context<'_, '_>, args: &[Bytes]) -> Result<Value> {
    Ok(Value::Integer(find(context, &args[1])?.map_or(0, |list| list.len() as i64)))
}

pub(super) fn lrange(context: &mut Context<'_, '_>, args: &[Bytes]) -> Result<Value> {
    let (start, end) = (args::integer(&args[2])?, args::integer(&args[3])?);
    let Some(list) = find(context, &args[1])? else { return Ok(Value::Array(Vec::new())) };
    let (from, to) = range(list.len(), start, end);
    Ok(bulks(list.range(context.keys, from, to)?))
}

pub(super) fn lindex(context: &mut Context<'_, '_>, args: &[Bytes]) -> Result<Value> {
    let Some(list) = find(context, &args[1])? else { return Ok(Value::Null) };
    match position(list.len(), args::integer(&args[2])?) {
        Some(at) => Ok(list.range(context.keys, at, at + 1)?.pop().map_or(Value::Null, Value::Bulk)),
        None => Ok(Value::Null),
    }
}

pub(super) fn lset(context: &mut Context<'_, '_>, args: &[Bytes]) -> Result<Value> {
    let list = find(context, &args[1])?.ok_or(Failure::NO_SUCH_KEY)?;
    let index = args::integer(&args[2])?;
    let at = position(list.len(), index).ok_or_else(|| Failure::line("ERR index out of range"))?;
    list.splice(context.keys, (at, at + 1), vec![args[3].clone()])?;
    context.notify(Class::List, "lset", &args[1]);
    Ok(Value::OK)
}

/// `LINSERT key BEFORE|AFTER pivot element`
pub(super) fn linsert(context: &mut Context<'_, '_>, args: &[Bytes]) -> Result<Value> {
    let behind = match &args[2] {
        word if args::is(word, "before") => 0,
        word if args::is(word, "after") => 1,
        _ => return Err(Failure::SYNTAX),
    };
    let Some(list) = find(context, &args[1])? else { return Ok(Value::Integer(0)) };
    let Some(&pivot) = places(context, &list, &args[3], Order::Forward, 1)?.first() else {
        return Ok(Value::Integer(-1));
    };
    let len = list.len() + 1;
    list.splice(context.keys, (pivot + behind, pivot + behind), vec![args[4].clone()])?;
    context.notify(Class::List, "linsert", &args[1]);
    Ok(Value::Integer(len as i64))
}

pub(super) fn lrem(context: &mut Context<'_, '_>, args: &[Bytes]) -> Result<Value> {
    let count = args::integer(&args[2])?;
    let Some(list) = find(context, &args[1])? else { return Ok(Value::Integer(0)) };
    let order = if count < 0 { Order::Backward } else { Order::Forward };
    let limit = if count == 0 { u64::MAX } else { count.unsigned_abs() };
    let mut places = places(context, &list, &args[3], order, limit)?;
    places.sort_unstable();
    if !places.is_empty() {
        list.remove(context.keys, &places)?;
        context.notify(Class::List, "lrem", &args[1]);
        context.notify_if_gone(&args[1])?;
    }
    Ok(Value::Integer(places.len() as i64))
}

pub(super) fn ltrim(context: &mut Context<'_, '_>, args: &[Bytes]) -> Result<Value> {
    let (start, end) = (args::integer(&args[2])?, args::integer(&args[3])?);
    if let Some(list) = find(context, &args[1])? {
        let (from, to) = range(list.len(), start, end);
        if (from, to) != (0, list.len()) {
            list.trim(context.keys, from, to)?;
        }
        context.notify(Class::List, "ltrim", &args[1]);
        context.notify_if_gone(&args[1])?;
    }
    Ok(Value::OK)
}

/// `LPOS key element [RANK rank] [COUNT num-matches] [MAXLEN len]`
pub(super) fn lpos(context: &mut Context<'_, '_>, args: &[Bytes]) -> Result<Value> {
    let (mut rank, mut count, mut length_max) = (1, None, 0);
    let mut options = Options::new(args, 3);
    while let Some(word) = options.next() {
        if args::is(word, "rank") {
            rank = nth(options.value()?)?;
        } else if args::is(word, "count") {
            let number = args::count(options.value()?);
            count = Some(number.map_err(|_| Failure::line("ERR COUNT can't be negative"))?);
        } else if args::is(word, "maxlen") {
            let number = args::count(options.value()?);
            length_max = number.map_err(|_| Failure::line("ERR MAXLEN can't be negative"))?;
        } else {
            return Err(Failure::SYNTAX);
        }
    }
    let nothing = if count.is_some() { Value::Array(Vec::new()) } else { Value::Null };
    let Some(list) = find(context, &args[1])? else { return Ok(nothing) };
    let order = if rank < 0 { Order::Backward } else { Order::Forward };
    let skipped = rank.unsigned_abs() - 1;
    let wanted = match count {
        Some(0) => u64::MAX,
        Some(count) => count,
        None => 1,
    };
    let wanted = Search { order, limit: skipped.saturating_add(wanted), length_max };
    let found = search(context, &list, &args[2], wanted)?;
    let mut found = found.into_iter().skip(usize::try_from(skipped).unwrap_or(usize::MAX));
    let mut number = || found.next().map(|at| Value::Integer(at as i64));
    Ok(match count {
        Some(_) => Value::Array(std::iter::from_fn(number).collect()),
        None => number().unwrap_or(nothing),
    })
}

/// The rank of LPOS: which match comes first, counted from 1 or, negative, from the end.
fn nth(word: &[u8]) -> Result<i64> {
    let (number, is_negative) = args::signed_count(word)?;
    match i64::try_from(number) {
        Ok(0) => Err(Failure::line(
            "ERR RANK can't be zero: use 1 to start from the first match, 2 from the second ... \
             or use negative to start from the end of the list",
        )),
        Ok(number) => Ok(if is_negative { -number } else { number }),
        Err(_) => Err(Failure::NOT_AN_INTEGER),
    }
}

/// `LMOVE source destination LEFT|RIGHT LEFT|RIGHT`
pub(super) fn lmove(context: &mut Context<'_, '_>, args: &[Bytes]) -> Result<Value> {
    let (from, to) = (side(&args[3])?, side(&args[4])?);
    carry(context, (&args[1], from), (&args[2], to))
}

pub(super) fn rpoplpush(context: &mut Context<'_, '_>, args: &[Bytes]) -> Result<Value> {
    carry(context, (&args[1], End::Right), (&args[2], End::Left))
}

/// Takes elements from an end of a list, and tells of it.
pub(super) fn take(context: &mut Context<'_, '_>, list: List, key: &Bytes, end: End, count: u64) -> Result<Vec<Bytes>> {
    let taken = list.pop(context.keys, end, count)?;
    context.notify(Class::List, popped(end), key);
    context.notify_if_gone(key)?;
    Ok(taken)
}

/// The event of adding at an end.
fn pushed(end: End) -> &'static str {
    if end == End::Left { "lpush" } else { "rpush" }
}

/// The event of taking from an end.
fn popped(end: End) -> &'static str {
    if end == End::Left { "lpop" } else { "rpop" }
}

/// Moves an element from an end of one list to an end of another, or of the same.
pub(super) fn carry(context: &mut Context<'_, '_>, from: (&Bytes, End), to: (&Bytes, End)) -> Result<Value> {
    let Some(source) = find(context, from.0)? else { return Ok(Value::Null) };
    find(context, to.0)?;
    if from.0 == to.0 && source.len() == 1 {
        // Taking its only element would end the key, and with it its deadline.
        let element = source.range(context.keys, 0, 1)?;
        source.splice(context.keys, (0, 1), element.clone())?;
        context.notify(Class::List, pushed(to.1), to.0);
        context.notify(Class::List, popped(from.1), from.0);
        return Ok(bulk(element));
    }
    let element = source.pop(context.keys, from.1, 1)?;
    List::find_or_new(context.keys, context.db, to.0)?.push(context.keys, to.1, &element)?;
    context.notify(Class::List, pushed(to.1), to.0);
    context.notify(Class::List, popped(from.1), from.0);
    context.notify_if_gone(from.0)?;
    Ok(bulk(element))
}

/// `LMPOP numkeys key [key ...] LEFT|RIGHT [COUNT count]`
pub(super) fn lmpop(context: &mut Context<'_, '_>, args: &[Bytes]) -> Result<Value> {
    pop_first(context, args, 1)
}

/// Pops from the first list of several, whose number stands at `at`, behind the name and perhaps a timeout.
pub(super) fn pop_first(context: &mut Context<'_, '_>, args: &[Bytes], at: usize) -> Result<Value> {
    let none = Failure::line("ERR numkeys should be greater than 0");
    let (keys, rest) = args::counted(args, at, none, Failure::SYNTAX)?;
    let mut options = Options::new(rest, 0);
    let end = side(options.value()?)?;
    let count = pop_count(options)?;
    block::check_timeout(context, &args[1..at])?;
    for key in keys {
        if let Some(list) = find(context, key)? {
            let popped = take(context, list, key, end, count)?;
            return Ok(Value::Array(vec![Value::Bulk(key.clone()), bulks(popped)]));
        }
    }
    Ok(Value::NullArray)
}

/// `[COUNT count]`, the last words of LMPOP and ZMPOP.
pub(super) fn pop_count(mut options: Options<'_>) -> Result<u64> {
    match options.next() {
        None => Ok(1),
        Some(word) if args::is(word, "count") => {
            let count = args::count(options.value()?).ok().filter(|count| *count > 0);
            let count = count.ok_or_else(|| Failure::line("ERR count should be greater than 0"))?;
            if options.left() == 0 { Ok(count) } else { Err(Failure::SYNTAX) }
        }
        Some(_) => Err(Failure::SYNTAX),
    }
}

/// Which elements LPOS looks for.
struct Search {
    order: Order,
    /// Matches that are enough.
    limit: u64,
    /// Elements that are looked at, 0 for all.
    length_max: u64,
}

/// Indexes of the elements that equal one, at most so many, in the order of the search.
fn places(context: &Context<'_, '_>, list: &List, element: &[u8], order: Order, limit: u64) -> Result<Vec<u64>> {
    search(context, list, element, Search { order, limit, length_max: 0 })
}

fn search(context: &Context<'_, '_>, list: &List, element: &[u8], search: Search) -> Result<Vec<u64>> {
    let (mut found, mut seen, len) = (Vec::new(), 0, list.len());
    list.visit(context.keys, 0, search.order, &mut |candidate| {
        if candidate == element {
            found.push(if search.order == Order::Forward { seen } else { len - 1 - seen });
        }
        seen += 1;
        let goes_on = (found.len() as u64) < search.limit && (search.length_max == 0 || seen < search.length_max);
        if goes_on { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    Ok(found)
}

pub(super) fn side(word: &[u8]) -> Result<End> {
    match word {
        word if args::is(word, "left") => Ok(End::Left),
        word if args::is(word, "right") => Ok(End::Right),
        _ => Err(Failure::SYNTAX),
    }
}

/// The elements that a range of indexes means, both ends included, negative ones counted from the end: from the first
/// to before the second.
pub(super) fn range(len: u64, start: i64, end: i64) -> (u64, u64) {
    let from_start = |index: i64| if index < 0 { len as i64 + index } else { index };
    let (start, end) = (from_start(start).max(0), from_start(end).min(len as i64 - 1));
    if start > end { (0, 0) } else { (start as u64, end as u64 + 1) }
}

/// The element that an index means, negative ones counted from the end.
fn position(len: u64, index: i64) -> Option<u64> {
    let at = if index < 0 { len.checked_sub(index.unsigned_abs())? } else { index.unsigned_abs() };
    (at < len).then_some(at)
}

pub(super) fn find(context: &mut Context<'_, '_>, key: &Bytes) -> Result<Option<List>> {
    Ok(List::find(context.keys, context.db, key)?)
}

fn bulk(element: Vec<Bytes>) -> Value {
    element.into_iter().next().map_or(Value::Null, Value::Bulk)
}

fn bulks(elements: Vec<Bytes>) -> Value {
    Value::Array(elements.into_iter().map(Value::Bulk).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indexes_are_cut_to_the_list() {
        for (start, end, expected) in [
            (0, -1, (0, 5)),
            (1, 2, (1, 3)),
            (-3, 100, (2, 5)),
            (-100, 0, (0, 1)),
            (3, 2, (0, 0)),
            (5, 9, (0, 0)),
            (0, -6, (0, 0)),
            (i64::MIN, i64::MAX, (0, 5)),
            (i64::MAX, i64::MIN, (0, 0)),
        ] {
            assert_eq!(range(5, start, end), expected, "{start} to {end}");
        }
        let positions = [0, 4, 5, -1, -5, -6, i64::MIN].map(|index| position(5, index));
        assert_eq!(positions, [Some(0), Some(4), None, Some(4), Some(0), None, None]);
    }
}
