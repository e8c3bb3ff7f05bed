//! SORT and SORT_RO: the elements of a list, a set or a sorted set in another order, and what belongs to them
//! ([`Pattern`]).
//!
//! Invariant: the order is total. What compares equal stays in the order in which the value has it, whether the
//! whole of it is asked for or a part.

mod order;
mod pattern;

use std::ops::{ControlFlow, Range};

use bytes::Bytes;

use self::pattern::Pattern;
use super::args::{self, Options};
use super::context::Context;
use super::error::{CROSS_SLOT, Failure, Result};
use super::spec::Spec;
use crate::base::Slot;
use crate::base::limits::OUTPUT_BUFFER_BYTES_MAX;
use crate::data::list::{End, List};
use crate::data::set::Set;
use crate::data::zset::Zset;
use crate::data::{Class, Error, Keyspace, Kind};
use crate::resp::{Value, c_string};
use crate::store::Order;

/// What one value of a result counts beside its bytes: a call names many patterns, and each has an answer for every
/// element, if only that there is none.
const VALUE_BYTES: usize = 16;

/// The options of a call.
#[derive(Debug, Default)]
struct Request<'a> {
    descending: bool,
    /// Texts are compared, not numbers.
    alpha: bool,
    /// BY named something without a star: nothing is sorted.
    unsorted: bool,
    by: Option<Pattern>,
    skip: i64,
    /// Negative: all there are.
    count: Option<i64>,
    get: Vec<Pattern>,
    store: Option<&'a Bytes>,
}

/// The value that is sorted.
enum Source {
    List(List),
    Set(Set),
    Zset(Zset),
}

/// `SORT key [BY pattern] [LIMIT offset count] [GET pattern ...] [ASC | DESC] [ALPHA] [STORE destination]`
pub(super) fn sort(context: &mut Context<'_, '_>, args: &[Bytes]) -> Result<Value> {
    let request = Request::parse(context, args, true)?;
    let elements = request.sorted(context, &args[1])?;
    let Some(destination) = request.store else { return request.reply(context, elements) };
    if !context.keys.slots.contains(Slot::of(destination)) {
        // Where options are named like options, only this reading tells which word is the key.
        return Err(Failure::line(CROSS_SLOT));
    }
    let mut list = Vec::new();
    request.results(context, elements, |found| list.push(found.unwrap_or_default()))?;
    store(context, destination, &list)?;
    Ok(Value::Integer(list.len() as i64))
}

/// `SORT_RO key [BY pattern] [LIMIT offset count] [GET pattern ...] [ASC | DESC] [ALPHA]`
pub(super) fn sort_ro(context: &mut Context<'_, '_>, args: &[Bytes]) -> Result<Value> {
    let request = Request::parse(context, args, false)?;
    let elements = request.sorted(context, &args[1])?;
    request.reply(context, elements)
}

/// Where the words of a call of SORT name a destination, found as COMMAND GETKEYS of Redis finds it: behind the last
/// STORE that is not the value of another option. A destination that is named like an option counts as one there.
pub(super) fn destination<T: AsRef<[u8]>>(args: &[T]) -> Option<usize> {
    let (mut found, mut at) = (None, 2);
    while let Some(word) = args.get(at).map(AsRef::as_ref) {
        at += match word.to_ascii_lowercase().as_slice() {
            b"limit" => 3,
            b"get" | b"by" => 2,
            b"store" if at + 1 < args.len() => {
                found = Some(at + 1);
                1
            }
            _ => 1,
        };
    }
    found
}

/// The option with which a call first reads keys that its words do not name: `GET`, or `BY` with a star. `None` if it
/// reads none of them, or is wrong before it comes to that.
pub(super) fn foreign_option<T: AsRef<[u8]>>(spec: &Spec, args: &[T]) -> Option<&'static str> {
    if !matches!(spec.name, "sort" | "sort_ro") {
        return None;
    }
    let mut at = 2;
    while let Some(word) = args.get(at).map(AsRef::as_ref) {
        let left = args.len() - at - 1;
        let is_number = |at: usize| args.get(at).is_some_and(|word| args::parse_integer(word.as_ref()).is_some());
        at += match word.to_ascii_lowercase().as_slice() {
            b"asc" | b"desc" | b"alpha" => 1,
            b"limit" if left >= 2 && is_number(at + 1) && is_number(at + 2) => 3,
            b"store" if left >= 1 && spec.name == "sort" => 2,
            b"by" if left >= 1 && !c_string(args[at + 1].as_ref()).contains(&b'*') => 2,
            b"by" if left >= 1 => return Some("BY"),
            b"get" if left >= 1 => return Some("GET"),
            _ => return None,
        };
    }
    None
}

impl<'a> Request<'a> {
    fn parse(context: &Context<'_, '_>, args: &'a [Bytes], may_store: bool) -> Result<Request<'a>> {
        let mut request = Request::default();
        let mut options = Options::new(args, 2);
        while let Some(word) = options.next() {
            if args::is(word, "asc") {
                request.descending = false;
            } else if args::is(word, "desc") {
                request.descending = true;
            } else if args::is(word, "alpha") {
                request.alpha = true;
            } else if args::is(word, "limit") && options.left() >= 2 {
                request.skip = options.integer()?;
                request.count = Some(options.integer()?);
            } else if args::is(word, "store") && may_store {
                request.store = Some(options.value()?);
            } else if args::is(word, "by") {
                let by = Pattern::read(options.value()?);
                by.check(context.keys.slots, "BY")?;
                // Once is enough, whatever another BY says.
                request.unsorted |= !by.has_keys();
                request.by = Some(by);
            } else if args::is(word, "get") {
                let get = Pattern::read(options.value()?);
                get.check(context.keys.slots, "GET")?;
                request.get.push(get);
            } else {
                return Err(Failure::SYNTAX);
            }
        }
        Ok(request)
    }

    /// The elements that are asked for, in order.
    fn sorted(&self, context: &mut Context<'_, '_>, key: &Bytes) -> Result<Vec<Bytes>> {
        let Some(source) = Source::find(context, key)? else { return Ok(Vec::new()) };
        let window = self.window(source.len());
        let matters = self.store.is_some() || context.in_script;
        let forced = self.unsorted && matters && matches!(source, Source::Set(_));
        if !self.unsorted || forced {
            // What is stored, or decides what a script does, must not depend on how a set is kept: its members are sorted
            // as texts.
            let (by, alpha) = if forced { (None, true) } else { (self.by.as_ref(), self.alpha) };
            let elements = source.elements(context, Order::Forward, 0..source.len())?;
            let window = window.start as usize..window.end as usize;
            let (descending, exact) = (self.descending, self.store.is_some());
            return order::sorted(context, elements, window, order::Rule { by, alpha, descending, exact });
        }
        let order = if self.descending { Order::Backward } else { Order::Forward };
        source.elements(context, order, window)
    }

    /// The places that LIMIT leaves of so many.
    fn window(&self, len: u64) -> Range<u64> {
        let start = u64::try_from(self.skip).unwrap_or(0).min(len);
        let count = self.count.and_then(|count| u64::try_from(count).ok()).unwrap_or(len);
        start..start + count.min(len - start)
    }

    /// What is told of each element: itself, or one thing for each GET. Ends where no client could be sent more.
    fn results(
        &self,
        context: &mut Context<'_, '_>,
        elements: Vec<Bytes>,
        mut tell: impl FnMut(Option<Bytes>),
    ) -> Result<()> {
        let mut bytes = 0;
        let mut tell = |found: Option<Bytes>| {
            bytes += VALUE_BYTES + found.as_ref().map_or(0, Bytes::len);
            if bytes > OUTPUT_BUFFER_BYTES_MAX {
                return Err(Failure::line("ERR reply exceeds the output buffer limit"));
            }
            tell(found);
            Ok(())
        };
        for element in elements {
            if self.get.is_empty() {
                tell(Some(element))?;
                continue;
            }
            for get in &self.get {
                let found = get.find(context, &element)?;
                tell(found)?;
            }
        }
        Ok(())
    }

    fn reply(&self, context: &mut Context<'_, '_>, elements: Vec<Bytes>) -> Result<Value> {
        let mut values = Vec::new();
        self.results(context, elements, |found| values.push(found.map_or(Value::Null, Value::Bulk)))?;
        Ok(Value::Array(values))
    }
}

impl Source {
    /// The value of a key; `WRONGTYPE` if it cannot be sorted.
    fn find(context: &mut Context<'_, '_>, key: &Bytes) -> Result<Option<Source>> {
        let Some(head) = context.lookup(key)? else { return Ok(None) };
        let db = context.db;
        Ok(Some(match head.kind {
            Kind::List => Source::List(List::of_head(context.keys, db, key, head)?),
            Kind::Set => Source::Set(Set::of_head(db, key, head)?),
            Kind::Zset => Source::Zset(Zset::of_head(context.keys, db, key, head)?),
            _ => return Err(Error::WrongType.into()),
        }))
    }

    fn len(&self) -> u64 {
        match self {
            Source::List(list) => list.len(),
            Source::Set(set) => set.count(),
            Source::Zset(zset) => zset.count(),
        }
    }

    /// Some of the elements in the order in which the value has them, from one end; a set has just one order.
    fn elements(&self, context: &Context<'_, '_>, order: Order, window: Range<u64>) -> Result<Vec<Bytes>> {
        let (mut elements, mut left) = (Vec::new(), window.end - window.start);
        if left == 0 {
            return Ok(elements);
        }
        let mut take = |element: Bytes| {
            elements.push(element);
            left -= 1;
            if left > 0 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        };
        match self {
            Source::List(list) => list.visit(context.keys, window.start, order, &mut take)?,
            Source::Zset(zset) => zset.visit(context.keys, window.start, order, &mut |member, _| take(member))?,
            Source::Set(set) => {
                let skip = usize::try_from(window.start).unwrap_or(usize::MAX);
                let _ = set.members(context.keys)?.into_iter().skip(skip).try_for_each(take);
            }
        }
        Ok(elements)
    }
}

/// Makes a key a list of these elements, whatever it was; without elements there is no key.
fn store(context: &mut Context<'_, '_>, key: &Bytes, elements: &[Bytes]) -> Result<()> {
    // A change is neither a hit nor a miss.
    context.keys.manner.counts = false;
    let before = context.lookup(key)?;
    if let Some(before) = &before {
        context.remove(key, before);
    }
    if !elements.is_empty() {
        let db = context.db;
        let list = |keys: &mut Keyspace<'_>| List::find_or_new(keys, db, key)?.push(keys, End::Right, elements);
        match before {
            Some(_) => context.keys.replacing(list)?,
            None => list(context.keys)?,
        };
    }
    context.notify_stored((Class::List, "sortstore"), key, elements.len(), before.is_some());
    Ok(())
}

#[cfg(test)]
mod tests;
