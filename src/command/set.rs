//! Set commands.

use bytes::Bytes;

use super::args::{self, Options};
use super::context::Context;
use super::error::{Failure, Result};
use super::hash::PICKS_MAX;
use super::scan::ScanOptions;
use crate::data::Class;
use crate::data::set::{Collected, Set};
use crate::resp::Value;

/// Members of a large set that are looked at before the next ones are read.
pub(super) const PART: u64 = 256;

pub(super) fn sadd(context: &mut Context<'_, '_>, args: &[Bytes]) -> Result<Value> {
    let set = Set::find_or_new(context.keys, context.db, &args[1])?;
    let added = set.add(context.keys, &args[2..])?;
    if added > 0 {
        context.notify(Class::Set, "sadd", &args[1]);
    }
    Ok(Value::Integer(added as i64))
}

pub(super) fn srem(context: &mut Context<'_, '_>, args: &[Bytes]) -> Result<Value> {
    let removed = match find(context, &args[1])? {
        Some(set) => set.remove(context.keys, &args[2..])?,
        None => 0,
    };
    if removed > 0 {
        context.notify(Class::Set, "srem", &args[1]);
        context.notify_if_gone(&args[1])?;
    }
    Ok(Value::Integer(removed as i64))
}

pub(super) fn scard(context: &mut Context<'_, '_>, args: &[Bytes]) -> Result<Value> {
    Ok(Value::Integer(find(context, &args[1])?.map_or(0, |set| set.count() as i64)))
}

pub(super) fn sismember(context: &mut Context<'_, '_>, args: &[Bytes]) -> Result<Value> {
    let set = find(context, &args[1])?;
    Ok(Value::Integer(has(context, set.as_ref(), &args[2])?.into()))
}

pub(super) fn smismember(context: &mut Context<'_, '_>, args: &[Bytes]) -> Result<Value> {
    let set = find(context, &args[1])?;
    let has = args[2..].iter().map(|member| Ok(Value::Integer(has(context, set.as_ref(), member)?.into())));
    Ok(Value::Array(has.collect::<Result<_>>()?))
}

pub(super) fn smembers(context: &mut Context<'_, '_>, args: &[Bytes]) -> Result<Value> {
    Ok(match find(context, &args[1])? {
        Some(set) => Value::Set(bulks(set.members(context.keys)?)),
        None => Value::Set(Vec::new()),
    })
}

/// `SPOP key [count]`
pub(super) fn spop(context: &mut Context<'_, '_>, args: &[Bytes]) -> Result<Value> {
    let count = match &args[2..] {
        [] => None,
        [word] => Some(args::count(word)?),
        _ => return Err(Failure::SYNTAX),
    };
    let popped = match find(context, &args[1])? {
        Some(set) => pop(context, set, count.unwrap_or(1))?,
        None => Vec::new(),
    };
    if !popped.is_empty() {
        context.notify(Class::Set, "spop", &args[1]);
        context.notify_if_gone(&args[1])?;
    }
    Ok(match count {
        Some(_) => Value::Set(bulks(popped)),
        None => popped.into_iter().next().map_or(Value::Null, Value::Bulk),
    })
}

fn pop(context: &mut Context<'_, '_>, set: Set, count: u64) -> Result<Vec<Bytes>> {
    let members =
        if count >= set.count() { set.members(context.keys)? } else { set.random(context.keys, count, false)? };
    set.remove(context.keys, &members)?;
    Ok(members)
}

/// `SRANDMEMBER key [count]`
pub(super) fn srandmember(context: &mut Context<'_, '_>, args: &[Bytes]) -> Result<Value> {
    let (word, set) = match &args[2..] {
        [] => (None, find(context, &args[1])?),
        [word] => (Some(args::signed_count(word)?), find(context, &args[1])?),
        _ => return Err(Failure::SYNTAX),
    };
    let Some((count, repeat)) = word else {
        let Some(set) = set else { return Ok(Value::Null) };
        return Ok(set.random(context.keys, 1, false)?.pop().map_or(Value::Null, Value::Bulk));
    };
    let Some(set) = set else { return Ok(Value::Array(Vec::new())) };
    if repeat && count > PICKS_MAX {
        return Err(Failure::line("ERR value is out of range"));
    }
    Ok(Value::Array(bulks(set.random(context.keys, count, repeat)?)))
}

pub(super) fn smove(context: &mut Context<'_, '_>, args: &[Bytes]) -> Result<Value> {
    let (from, to, member) = (&args[1], &args[2], &args[3..4]);
    let Some(source) = find(context, from)? else { return Ok(Value::Integer(0)) };
    find(context, to)?;
    let is_member = source.contains(context.keys, &member[0])?;
    if is_member && from != to {
        source.remove(context.keys, member)?;
        context.notify(Class::Set, "srem", from);
        context.notify_if_gone(from)?;
        if Set::find_or_new(context.keys, context.db, to)?.add(context.keys, member)? > 0 {
            context.notify(Class::Set, "sadd", to);
        }
    }
    Ok(Value::Integer(is_member.into()))
}

/// `SSCAN key cursor [MATCH pattern] [COUNT count]`
pub(super) fn sscan(context: &mut Context<'_, '_>, args: &[Bytes]) -> Result<Value> {
    let cursor = ScanOptions::cursor(&args[2])?;
    let Some(set) = find(context, &args[1])? else { return Ok(ScanOptions::reply(0, Vec::new())) };
    let options = ScanOptions::parse(args, 3, false)?;
    let part = set.scan(context.keys, cursor, options.count)?;
    let members = part.members.into_iter().filter(|member| options.admits(member));
    Ok(ScanOptions::reply(part.cursor, members.map(Value::Bulk).collect()))
}

/// What SINTER, SUNION and SDIFF have in common: sets in, distinct members out.
type Combine = fn(&mut Context<'_, '_>, &[Option<Set>]) -> Result<Vec<Bytes>>;

pub(super) fn sinter(context: &mut Context<'_, '_>, args: &[Bytes]) -> Result<Value> {
    combined(context, &args[1..], intersection)
}

pub(super) fn sunion(context: &mut Context<'_, '_>, args: &[Bytes]) -> Result<Value> {
    combined(context, &args[1..], union)
}

pub(super) fn sdiff(context: &mut Context<'_, '_>, args: &[Bytes]) -> Result<Value> {
    combined(context, &args[1..], difference)
}

pub(super) fn sinterstore(context: &mut Context<'_, '_>, args: &[Bytes]) -> Result<Value> {
    store(context, args, intersection, "sinterstore")
}

pub(super) fn sunionstore(context: &mut Context<'_, '_>, args: &[Bytes]) -> Result<Value> {
    store(context, args, union, "sunionstore")
}

pub(super) fn sdiffstore(context: &mut Context<'_, '_>, args: &[Bytes]) -> Result<Value> {
    store(context, args, difference, "sdiffstore")
}

/// `SINTERCARD numkeys key [key ...] [LIMIT limit]`
pub(super) fn sintercard(context: &mut Context<'_, '_>, args: &[Bytes]) -> Result<Value> {
    let (keys, limit) = intersection_words(args)?;
    let sets = sets(context, keys)?;
    let mut count = 0;
    each_common(context, &sets, &mut |_| {
        count += 1;
        limit == 0 || count < limit
    })?;
    Ok(Value::Integer(count as i64))
}

/// The keys and the limit (0: none) of SINTERCARD and ZINTERCARD.
pub(super) fn intersection_words(args: &[Bytes]) -> Result<(&[Bytes], u64)> {
    let none = Failure::line("ERR numkeys should be greater than 0");
    let beyond = Failure::line("ERR Number of keys can't be greater than number of args");
    let (keys, rest) = args::counted(args, 1, none, beyond)?;
    let mut limit = 0;
    let mut options = Options::new(rest, 0);
    while let Some(word) = options.next() {
        if !args::is(word, "limit") {
            return Err(Failure::SYNTAX);
        }
        limit = args::count(options.value()?).map_err(|_| Failure::line("ERR LIMIT can't be negative"))?;
    }
    Ok((keys, limit))
}

fn combined(context: &mut Context<'_, '_>, keys: &[Bytes], combine: Combine) -> Result<Value> {
    let sets = sets(context, keys)?;
    Ok(Value::Set(bulks(combine(context, &sets)?)))
}

fn store(context: &mut Context<'_, '_>, args: &[Bytes], combine: Combine, event: &'static str) -> Result<Value> {
    context.keys.manner.counts = true;
    let sets = sets(context, &args[2..])?;
    context.keys.manner.counts = false;
    let members = combine(context, &sets)?;
    let was_there = Set::replace(context.keys, context.db, &args[1], &members)?;
    context.notify_stored((Class::Set, event), &args[1], members.len(), was_there);
    Ok(Value::Integer(members.len() as i64))
}

/// The smallest set's members that all others have, in its order.
fn intersection(context: &mut Context<'_, '_>, sets: &[Option<Set>]) -> Result<Vec<Bytes>> {
    let mut members = Vec::new();
    each_common(context, sets, &mut |member| {
        members.push(member);
        true
    })?;
    Ok(members)
}

/// Visits what all sets have, while `visit` says so: a part of the smallest one at a time, so that who wants few reads few.
fn each_common(
    context: &mut Context<'_, '_>,
    sets: &[Option<Set>],
    visit: &mut dyn FnMut(Bytes) -> bool,
) -> Result<()> {
    let Some(mut sets) = sets.iter().map(Option::as_ref).collect::<Option<Vec<&Set>>>() else { return Ok(()) };
    sets.sort_by_key(|set| set.count());
    let [smallest, others @ ..] = &sets[..] else { return Ok(()) };
    let mut cursor = 0;
    loop {
        let part = smallest.scan(context.keys, cursor, PART)?;
        for member in part.members {
            let mut is_common = true;
            for set in others {
                is_common = is_common && set.contains(context.keys, &member)?;
            }
            if is_common && !visit(member) {
                return Ok(());
            }
        }
        cursor = part.cursor;
        if cursor == 0 {
            return Ok(());
        }
    }
}

fn union(context: &mut Context<'_, '_>, sets: &[Option<Set>]) -> Result<Vec<Bytes>> {
    let mut members = Collected::default();
    for set in sets.iter().flatten() {
        set.members(context.keys)?.into_iter().for_each(|member| members.add(member));
    }
    Ok(members.into_members())
}

/// The first set's members that no other one has.
fn difference(context: &mut Context<'_, '_>, sets: &[Option<Set>]) -> Result<Vec<Bytes>> {
    let Some((Some(first), others)) = sets.split_first() else { return Ok(Vec::new()) };
    let mut members = Collected::default();
    for member in first.members(context.keys)? {
        let mut is_elsewhere = false;
        for set in others.iter().flatten() {
            is_elsewhere = is_elsewhere || set.contains(context.keys, &member)?;
        }
        if !is_elsewhere {
            members.add(member);
        }
    }
    Ok(members.into_members())
}

/// The sets of keys; `WRONGTYPE` if one of them is none, even where another one is missing.
fn sets(context: &mut Context<'_, '_>, keys: &[Bytes]) -> Result<Vec<Option<Set>>> {
    keys.iter().map(|key| find(context, key)).collect()
}

fn has(context: &Context<'_, '_>, set: Option<&Set>, member: &[u8]) -> Result<bool> {
    Ok(match set {
        Some(set) => set.contains(context.keys, member)?,
        None => false,
    })
}

fn find(context: &mut Context<'_, '_>, key: &Bytes) -> Result<Option<Set>> {
    Ok(Set::find(context.keys, context.db, key)?)
}

fn bulks(members: Vec<Bytes>) -> Vec<Value> {
    members.into_iter().map(Value::Bulk).collect()
}
