//! What several sorted sets, and plain sets, have in common or apart: ZUNION, ZINTER, ZDIFF and their kin. The members
//! of a plain set have a score of 1.

use bytes::Bytes;

use super::members;
use crate::base::{HashMap, double};
use crate::command::args::{self, Options};
use crate::command::context::Context;
use crate::command::error::{Failure, Result};
use crate::command::set::PART;
use crate::data::set::Set;
use crate::data::zset::{Scored, Zset, compare};
use crate::data::{self, Class, Kind};
use crate::resp::Value;

/// How sets are put together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operation {
    Union,
    Intersection,
    Difference,
}

/// How the scores of one member become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Aggregate {
    Sum,
    Lowest,
    Highest,
}

/// A set of a call.
struct Source {
    found: Found,
    weight: f64,
}

enum Found {
    Nothing,
    Set(Set),
    Zset(Zset),
}

/// What a call asks for, its sets apart.
struct Request {
    sources: Vec<Source>,
    aggregate: Aggregate,
    with_scores: bool,
    /// Members that are enough, 0 for all.
    limit: u64,
}

pub fn zunion(context: &mut Context<'_, '_>, args: &[Bytes]) -> Result<Value> {
    reply(context, args, Operation::Union, "zunion")
}

pub fn zinter(context: &mut Context<'_, '_>, args: &[Bytes]) -> Result<Value> {
    reply(context, args, Operation::Intersection, "zinter")
}

pub fn zdiff(context: &mut Context<'_, '_>, args: &[Bytes]) -> Result<Value> {
    reply(context, args, Operation::Difference, "zdiff")
}

pub fn zunionstore(context: &mut Context<'_, '_>, args: &[Bytes]) -> Result<Value> {
    store(context, args, Operation::Union, "zunionstore")
}

pub fn zinterstore(context: &mut Context<'_, '_>, args: &[Bytes]) -> Result<Value> {
    store(context, args, Operation::Intersection, "zinterstore")
}

pub fn zdiffstore(context: &mut Context<'_, '_>, args: &[Bytes]) -> Result<Value> {
    store(context, args, Operation::Difference, "zdiffstore")
}

/// `ZINTERCARD numkeys key [key ...] [LIMIT limit]`
pub fn zintercard(context: &mut Context<'_, '_>, args: &[Bytes]) -> Result<Value> {
    let words = Words { numkeys: 1, operation: None, stores: false, name: "zintercard" };
    let mut request = words.parse(context, args)?;
    let limit = if request.limit == 0 { u64::MAX } else { request.limit };
    let found = request.intersection(context, limit)?;
    Ok(Value::Integer(found.len() as i64))
}

/// `ZUNION numkeys key [key ...] [WEIGHTS weight [weight ...]] [AGGREGATE SUM|MIN|MAX] [WITHSCORES]`
fn reply(context: &mut Context<'_, '_>, args: &[Bytes], operation: Operation, name: &'static str) -> Result<Value> {
    let words = Words { numkeys: 1, operation: Some(operation), stores: false, name };
    let mut request = words.parse(context, args)?;
    let found = request.run(context, operation)?;
    Ok(members(context, found, request.with_scores))
}

/// `ZUNIONSTORE destination numkeys key [key ...] [WEIGHTS weight [weight ...]] [AGGREGATE SUM|MIN|MAX]`
fn store(context: &mut Context<'_, '_>, args: &[Bytes], operation: Operation, name: &'static str) -> Result<Value> {
    let words = Words { numkeys: 2, operation: Some(operation), stores: true, name };
    context.keys.manner.counts = true;
    let mut request = words.parse(context, args)?;
    context.keys.manner.counts = false;
    let found = request.run(context, operation)?;
    let count = found.len();
    let was_there = Zset::replace(context.keys, context.db, &args[1], found)?;
    context.notify_stored((Class::Zset, name), &args[1], count, was_there);
    Ok(Value::Integer(count as i64))
}

/// Where words stand, and which are allowed.
struct Words {
    numkeys: usize,
    /// `None` only counts.
    operation: Option<Operation>,
    stores: bool,
    name: &'static str,
}

impl Words {
    /// Redis looks for the sets before it reads the options.
    fn parse(&self, context: &mut Context<'_, '_>, args: &[Bytes]) -> Result<Request> {
        args::integer(&args[self.numkeys])?;
        let none = Failure::line(format!("ERR at least 1 input key is needed for '{}' command", self.name));
        let (keys, rest) = args::counted(args, self.numkeys, none, Failure::SYNTAX)?;
        let sources = keys.iter().map(|key| Source::find(context, key)).collect::<Result<_>>()?;
        let mut request = Request { sources, aggregate: Aggregate::Sum, with_scores: false, limit: 0 };
        let weighs = matches!(self.operation, Some(Operation::Union | Operation::Intersection));
        let mut options = Options::new(rest, 0);
        while let Some(word) = options.next() {
            if weighs && args::is(word, "weights") && options.left() >= keys.len() {
                for source in &mut request.sources {
                    let weight = double::parse(options.value()?);
                    source.weight = weight.ok_or_else(|| Failure::line("ERR weight value is not a float"))?;
                }
            } else if weighs && args::is(word, "aggregate") {
                request.aggregate = aggregate(options.value()?)?;
            } else if self.operation.is_some() && !self.stores && args::is(word, "withscores") {
                request.with_scores = true;
            } else if self.operation.is_none() && args::is(word, "limit") {
                let limit = args::count(options.value()?);
                request.limit = limit.map_err(|_| Failure::line("ERR LIMIT can't be negative"))?;
            } else {
                return Err(Failure::SYNTAX);
            }
        }
        Ok(request)
    }
}

impl Request {
    /// What comes out, in order.
    fn run(&mut self, context: &Context<'_, '_>, operation: Operation) -> Result<Vec<Scored>> {
        let mut found = match operation {
            Operation::Union => self.union(context)?,
            Operation::Intersection => self.intersection(context, u64::MAX)?,
            Operation::Difference => self.difference(context)?,
        };
        found.sort_by(|(one, first), (other, second)| compare((*first, one), (*second, other)));
        Ok(found)
    }

    /// The smallest set comes first: Redis adds scores up in this order.
    fn sort(&mut self) {
        self.sources.sort_by_key(Source::count);
    }

    fn union(&mut self, context: &Context<'_, '_>) -> Result<Vec<Scored>> {
        self.sort();
        let mut found = HashMap::<Bytes, f64>::default();
        for source in &self.sources {
            for (member, score) in source.members(context)? {
                let score = not_nan(score * source.weight);
                let add = |total: &mut f64| *total = self.aggregate.of(*total, score);
                found.entry(member).and_modify(add).or_insert(score);
            }
        }
        Ok(found.into_iter().collect())
    }

    fn intersection(&mut self, context: &Context<'_, '_>, limit: u64) -> Result<Vec<Scored>> {
        self.sort();
        let Some((first, others)) = self.sources.split_first() else { return Ok(Vec::new()) };
        let (mut found, mut cursor) = (Vec::new(), 0);
        // A part at a time: who wants few shall not read all.
        loop {
            let (members, next) = first.part(context, cursor)?;
            'members: for (member, score) in members {
                let mut total = not_nan(score * first.weight);
                for other in others {
                    let Some(score) = other.score(context, &member)? else { continue 'members };
                    total = self.aggregate.of(total, score * other.weight);
                }
                found.push((member, total));
                if found.len() as u64 >= limit {
                    return Ok(found);
                }
            }
            cursor = next;
            if cursor == 0 {
                return Ok(found);
            }
        }
    }

    /// The first set's members that no other one has.
    fn difference(&self, context: &Context<'_, '_>) -> Result<Vec<Scored>> {
        let Some((first, others)) = self.sources.split_first() else { return Ok(Vec::new()) };
        let mut found = Vec::new();
        'members: for (member, score) in first.members(context)? {
            for other in others {
                if other.score(context, &member)?.is_some() {
                    continue 'members;
                }
            }
            found.push((member, score));
        }
        Ok(found)
    }
}

impl Source {
    fn find(context: &mut Context<'_, '_>, key: &Bytes) -> Result<Source> {
        let found = match context.lookup(key)? {
            None => Found::Nothing,
            Some(head) if head.kind == Kind::Zset => Found::Zset(Zset::of_head(context.keys, context.db, key, head)?),
            Some(head) if head.kind == Kind::Set => Found::Set(Set::of_head(context.db, key, head)?),
            Some(_) => return Err(data::Error::WrongType.into()),
        };
        Ok(Source { found, weight: 1.0 })
    }

    fn count(&self) -> u64 {
        match &self.found {
            Found::Nothing => 0,
            Found::Set(set) => set.count(),
            Found::Zset(zset) => zset.count(),
        }
    }

    fn members(&self, context: &Context<'_, '_>) -> Result<Vec<Scored>> {
        Ok(match &self.found {
            Found::Nothing => Vec::new(),
            Found::Set(set) => set.members(context.keys)?.into_iter().map(|member| (member, 1.0)).collect(),
            Found::Zset(zset) => zset.range(context.keys, 0, u64::MAX)?,
        })
    }

    /// Some of the members, from where an earlier part ended (0: the first), and where this one does (0: the last).
    fn part(&self, context: &Context<'_, '_>, cursor: u64) -> Result<(Vec<Scored>, u64)> {
        Ok(match &self.found {
            Found::Nothing => (Vec::new(), 0),
            Found::Set(set) => {
                let part = set.scan(context.keys, cursor, PART)?;
                (part.members.into_iter().map(|member| (member, 1.0)).collect(), part.cursor)
            }
            Found::Zset(zset) => {
                let part = zset.scan(context.keys, cursor, PART)?;
                (part.members, part.cursor)
            }
        })
    }

    fn score(&self, context: &Context<'_, '_>, member: &[u8]) -> Result<Option<f64>> {
        Ok(match &self.found {
            Found::Nothing => None,
            Found::Set(set) => set.contains(context.keys, member)?.then_some(1.0),
            Found::Zset(zset) => zset.score(context.keys, member)?,
        })
    }
}

impl Aggregate {
    fn of(self, one: f64, other: f64) -> f64 {
        match self {
            Aggregate::Sum => not_nan(one + other),
            Aggregate::Lowest => {
                if other < one {
                    other
                } else {
                    one
                }
            }
            Aggregate::Highest => {
                if other > one {
                    other
                } else {
                    one
                }
            }
        }
    }
}

fn aggregate(word: &[u8]) -> Result<Aggregate> {
    match word {
        word if args::is(word, "sum") => Ok(Aggregate::Sum),
        word if args::is(word, "min") => Ok(Aggregate::Lowest),
        word if args::is(word, "max") => Ok(Aggregate::Highest),
        _ => Err(Failure::SYNTAX),
    }
}

/// An infinite score with a weight of 0, and one infinity with its opposite, count as 0.
fn not_nan(score: f64) -> f64 {
    if score.is_nan() { 0.0 } else { score }
}
