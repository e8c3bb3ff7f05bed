//! One function per group of commands: what each does to a [`State`] and what it answers.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::{Clock, Content, Deadline, Expected, Key, State};
use crate::resp::Value;

const WRONG_TYPE: Expected = Expected::Error("WRONGTYPE");
const NOT_AN_INTEGER: Expected = Expected::Error("ERR value is not an integer");
const HASH_NOT_AN_INTEGER: Expected = Expected::Error("ERR hash value is not an integer");
const OVERFLOW: Expected = Expected::Error("ERR increment or decrement would overflow");

/// Runs a command. A name that the model does not know agrees with nothing: the generator must not use it.
pub(super) fn run(state: &mut State, clock: Clock, words: &[Bytes]) -> Expected {
    let name = words[0].to_ascii_uppercase();
    let arguments = &words[1..];
    match &name[..] {
        b"SET" => set(state, clock, arguments),
        b"SETNX" | b"SETEX" | b"PSETEX" | b"GETSET" | b"GETDEL" | b"GETEX" => set_like(state, clock, &name, arguments),
        b"GET" | b"STRLEN" | b"GETRANGE" | b"MGET" => read_string(state, &name, arguments),
        b"APPEND" | b"SETRANGE" => grow(state, &name, arguments),
        b"INCR" | b"DECR" | b"INCRBY" | b"DECRBY" => increment(state, &name, arguments),
        b"MSET" | b"MSETNX" => set_many(state, &name, arguments),
        b"DEL" | b"UNLINK" | b"EXISTS" | b"TOUCH" => count_keys(state, &name, arguments),
        b"TYPE" => kind(state, &arguments[0]),
        b"RENAME" | b"RENAMENX" => rename(state, &name, arguments),
        b"EXPIRE" | b"PEXPIRE" | b"EXPIREAT" | b"PEXPIREAT" | b"PERSIST" => expire(state, clock, &name, arguments),
        b"FLUSHALL" => {
            for name in state.keys.keys().cloned().collect::<Vec<_>>() {
                state.remove(&name);
            }
            ok()
        }
        b"TTL" | b"PTTL" | b"PEXPIRETIME" => time_left(state, clock, &name, &arguments[0]),
        _ => hash(state, &name, arguments).unwrap_or(Expected::Error("(no such command)")),
    }
}

fn integer(number: impl TryInto<i64>) -> Expected {
    Expected::Value(Value::Integer(number.try_into().unwrap_or(i64::MAX)))
}

fn bulk(bytes: Option<&Bytes>) -> Expected {
    Expected::Value(bytes.map_or(Value::Null, |bytes| Value::Bulk(bytes.clone())))
}

fn ok() -> Expected {
    Expected::Value(Value::OK)
}

fn number(text: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(text).ok()?;
    let number: i64 = text.parse().ok()?;
    (number.to_string() == text).then_some(number)
}

/// A word that the generator made as a number.
fn argument(text: &Bytes) -> i64 {
    number(text).unwrap_or(0)
}

impl State {
    fn string(&self, name: &[u8]) -> Result<Option<&Bytes>, Expected> {
        match self.keys.get(name).map(|key| &key.content) {
            None => Ok(None),
            Some(Content::String(value)) => Ok(Some(value)),
            Some(Content::Hash(_)) => Err(WRONG_TYPE),
        }
    }

    /// Changes the value and keeps the deadline.
    fn change(&mut self, name: &Bytes, value: Bytes) {
        let deadline = self.keys.get(name).and_then(|key| key.deadline);
        self.write(name, Content::String(value), deadline);
    }

    fn write(&mut self, name: &Bytes, content: Content, deadline: Option<Deadline>) {
        self.keys.insert(name.clone(), Key { content, deadline });
        self.touch(name);
    }

    fn remove(&mut self, name: &[u8]) -> Option<Key> {
        let key = self.keys.remove(name);
        if key.is_some() {
            self.touch(name);
        }
        key
    }
}

fn after(clock: Clock, milliseconds: i64) -> Deadline {
    let milliseconds = milliseconds as u64;
    Deadline { low: clock.low.saturating_add(milliseconds), high: clock.high.saturating_add(milliseconds) }
}

fn at(milliseconds: i64) -> Deadline {
    Deadline { low: milliseconds as u64, high: milliseconds as u64 }
}

fn set(state: &mut State, clock: Clock, arguments: &[Bytes]) -> Expected {
    let (name, value) = (&arguments[0], &arguments[1]);
    let (mut deadline, mut keep, mut get, mut condition) = (None, false, false, None);
    let mut options = arguments[2..].iter();
    while let Some(option) = options.next() {
        match &option.to_ascii_uppercase()[..] {
            b"EX" => deadline = options.next().map(|seconds| after(clock, argument(seconds) * 1_000)),
            b"PX" => deadline = options.next().map(|milliseconds| after(clock, argument(milliseconds))),
            b"PXAT" => deadline = options.next().map(|milliseconds| at(argument(milliseconds))),
            b"KEEPTTL" => keep = true,
            b"GET" => get = true,
            b"NX" => condition = Some(false),
            b"XX" => condition = Some(true),
            _ => return Expected::Error("(no such option)"),
        }
    }
    let before = match state.string(name) {
        Ok(before) => before.cloned(),
        Err(wrong) if get => return wrong,
        Err(_) => None,
    };
    let met = condition.is_none_or(|wanted| state.keys.contains_key(name) == wanted);
    if met {
        if keep {
            deadline = state.keys.get(name).and_then(|key| key.deadline);
        }
        state.write(name, Content::String(value.clone()), deadline);
    }
    match (get, met) {
        (true, _) => bulk(before.as_ref()),
        (false, true) => ok(),
        (false, false) => Expected::Value(Value::Null),
    }
}

fn set_like(state: &mut State, clock: Clock, command: &[u8], arguments: &[Bytes]) -> Expected {
    let name = &arguments[0];
    let timed = |state: &mut State, milliseconds: i64| {
        state.write(name, Content::String(arguments[2].clone()), Some(after(clock, milliseconds)));
        ok()
    };
    match command {
        b"SETNX" if state.keys.contains_key(name) => return integer(0),
        b"SETNX" => {
            state.write(name, Content::String(arguments[1].clone()), None);
            return integer(1);
        }
        b"SETEX" => return timed(state, argument(&arguments[1]) * 1_000),
        b"PSETEX" => return timed(state, argument(&arguments[1])),
        _ => {}
    }
    let before = match state.string(name) {
        Ok(before) => before.cloned(),
        Err(wrong) => return wrong,
    };
    match command {
        b"GETSET" => state.write(name, Content::String(arguments[1].clone()), None),
        b"GETDEL" => {
            state.remove(name);
        }
        _ => {
            if let Some(key) = state.keys.get_mut(name) {
                let changed = match arguments.get(1).map(|option| option.to_ascii_uppercase()).as_deref() {
                    Some(b"PX") => key.deadline.replace(after(clock, argument(&arguments[2]))) != key.deadline,
                    Some(b"PERSIST") => key.deadline.take().is_some(),
                    _ => false,
                };
                if changed {
                    state.touch(name);
                }
            }
        }
    }
    bulk(before.as_ref())
}

fn read_string(state: &State, command: &[u8], arguments: &[Bytes]) -> Expected {
    if command == b"MGET" {
        let values = arguments.iter().map(|name| match state.string(name) {
            Ok(Some(value)) => Value::Bulk(value.clone()),
            _ => Value::Null,
        });
        return Expected::Value(Value::Array(values.collect()));
    }
    let value = match state.string(&arguments[0]) {
        Ok(value) => value,
        Err(wrong) => return wrong,
    };
    match command {
        b"GET" => bulk(value),
        b"STRLEN" => integer(value.map_or(0, Bytes::len)),
        _ => {
            let value = value.cloned().unwrap_or_default();
            let length = value.len() as i64;
            let place = |text: &Bytes| match argument(text) {
                negative @ ..0 => (length + negative).max(0),
                position => position,
            };
            // Two negative places in the wrong order are no range, although both would be moved to the start.
            let (first, last) = (argument(&arguments[1]), argument(&arguments[2]));
            let no_range = first < 0 && last < 0 && first > last;
            let (start, end) = (place(&arguments[1]), place(&arguments[2]).min(length - 1));
            let part = if no_range || start > end { Bytes::new() } else { value.slice(start as usize..=end as usize) };
            bulk(Some(&part))
        }
    }
}

fn grow(state: &mut State, command: &[u8], arguments: &[Bytes]) -> Expected {
    let mut value = match state.string(&arguments[0]) {
        Ok(value) => value.map(|value| value.to_vec()).unwrap_or_default(),
        Err(wrong) => return wrong,
    };
    if command == b"APPEND" {
        value.extend_from_slice(&arguments[1]);
    } else {
        let (offset, piece) = (argument(&arguments[1]) as usize, &arguments[2]);
        if piece.is_empty() {
            return integer(value.len());
        }
        value.resize(value.len().max(offset + piece.len()), 0);
        value[offset..offset + piece.len()].copy_from_slice(piece);
    }
    let length = value.len();
    state.change(&arguments[0], value.into());
    integer(length)
}

fn increment(state: &mut State, command: &[u8], arguments: &[Bytes]) -> Expected {
    let by = match command {
        b"INCR" => 1,
        b"DECR" => -1,
        b"INCRBY" => argument(&arguments[1]),
        _ => -argument(&arguments[1]),
    };
    let value = match state.string(&arguments[0]) {
        Ok(value) => value.map_or(Some(0), |value| number(value)),
        Err(wrong) => return wrong,
    };
    let Some(value) = value else { return NOT_AN_INTEGER };
    let Some(sum) = value.checked_add(by) else { return OVERFLOW };
    state.change(&arguments[0], sum.to_string().into());
    integer(sum)
}

fn set_many(state: &mut State, command: &[u8], arguments: &[Bytes]) -> Expected {
    let only_new = command == b"MSETNX";
    if only_new && arguments.chunks_exact(2).any(|pair| state.keys.contains_key(&pair[0])) {
        return integer(0);
    }
    for pair in arguments.chunks_exact(2) {
        state.write(&pair[0], Content::String(pair[1].clone()), None);
    }
    if only_new { integer(1) } else { ok() }
}

fn count_keys(state: &mut State, command: &[u8], arguments: &[Bytes]) -> Expected {
    let removes = matches!(command, b"DEL" | b"UNLINK");
    let mut count = 0;
    for name in arguments {
        count += i64::from(if removes { state.remove(name).is_some() } else { state.keys.contains_key(name) });
    }
    integer(count)
}

fn kind(state: &State, name: &[u8]) -> Expected {
    let kind = match state.keys.get(name).map(|key| &key.content) {
        None => "none",
        Some(Content::String(_)) => "string",
        Some(Content::Hash(_)) => "hash",
    };
    Expected::Value(Value::Simple(kind.into()))
}

fn rename(state: &mut State, command: &[u8], arguments: &[Bytes]) -> Expected {
    let (from, to) = (&arguments[0], &arguments[1]);
    let only_new = command == b"RENAMENX";
    if !state.keys.contains_key(from) {
        return Expected::Error("ERR no such key");
    }
    if only_new && state.keys.contains_key(to) {
        return integer(0);
    }
    if from != to
        && let Some(key) = state.remove(from)
    {
        state.write(to, key.content, key.deadline);
    }
    if only_new { integer(1) } else { ok() }
}

fn expire(state: &mut State, clock: Clock, command: &[u8], arguments: &[Bytes]) -> Expected {
    let Some(key) = state.keys.get_mut(&arguments[0]) else { return integer(0) };
    if command == b"PERSIST" {
        let had = key.deadline.take().is_some();
        if had {
            state.touch(&arguments[0]);
        }
        return integer(i64::from(had));
    }
    let time = argument(&arguments[1]);
    let deadline = match command {
        b"EXPIRE" => after(clock, time * 1_000),
        b"PEXPIRE" => after(clock, time),
        b"EXPIREAT" => at(time * 1_000),
        _ => at(time),
    };
    // A deadline that is over deletes at once; one that may be over leaves the key to the next operation, which finds
    // it there or gone.
    if matches!(command, b"EXPIRE" | b"PEXPIRE") && time <= 0 {
        state.remove(&arguments[0]);
    } else {
        key.deadline = Some(deadline);
        state.touch(&arguments[0]);
    }
    integer(1)
}

fn time_left(state: &State, clock: Clock, command: &[u8], name: &[u8]) -> Expected {
    let Some(key) = state.keys.get(name) else { return integer(-2) };
    let Some(deadline) = key.deadline else { return integer(-1) };
    if command == b"PEXPIRETIME" {
        return Expected::Between(deadline.low as i64, deadline.high.min(i64::MAX as u64) as i64);
    }
    let low = deadline.low.saturating_sub(clock.high) as i64;
    let high = deadline.high.saturating_sub(clock.low).min(i64::MAX as u64) as i64;
    match command {
        b"TTL" => Expected::Between(low / 1_000, high / 1_000 + 1),
        _ => Expected::Between(low, high),
    }
}

/// Commands on one hash; `None` for a name that is none.
fn hash(state: &mut State, command: &[u8], arguments: &[Bytes]) -> Option<Expected> {
    let name = &arguments[0];
    let before = state.keys.get(name);
    let mut fields = match before.map(|key| &key.content) {
        None => BTreeMap::new(),
        Some(Content::Hash(fields)) => fields.clone(),
        Some(Content::String(_)) => return Some(WRONG_TYPE),
    };
    let deadline = before.and_then(|key| key.deadline);
    let rest = &arguments[1..];
    let reply = match command {
        b"HGET" => bulk(fields.get(&rest[0])),
        b"HEXISTS" => integer(i64::from(fields.contains_key(&rest[0]))),
        b"HSTRLEN" => integer(fields.get(&rest[0]).map_or(0, Bytes::len)),
        b"HLEN" => integer(fields.len()),
        b"HMGET" => {
            let value = |field| fields.get(field).map_or(Value::Null, |value| Value::Bulk(value.clone()));
            Expected::Value(Value::Array(rest.iter().map(value).collect()))
        }
        b"HKEYS" => Expected::AnyOrder(fields.into_keys().collect()),
        b"HVALS" => Expected::AnyOrder(fields.into_values().collect()),
        b"HGETALL" => Expected::AnyPairs(fields.into_iter().collect()),
        b"HSETNX" if fields.contains_key(&rest[0]) => integer(0),
        b"HSET" | b"HMSET" | b"HSETNX" => {
            let old = fields.len();
            fields.extend(rest.chunks_exact(2).map(|pair| (pair[0].clone(), pair[1].clone())));
            let added = fields.len() - old;
            state.write(name, Content::Hash(fields), deadline);
            if command == b"HMSET" { ok() } else { integer(added) }
        }
        b"HINCRBY" => {
            let Some(value) = fields.get(&rest[0]).map_or(Some(0), |value| number(value)) else {
                return Some(HASH_NOT_AN_INTEGER);
            };
            let Some(sum) = value.checked_add(argument(&rest[1])) else { return Some(OVERFLOW) };
            fields.insert(rest[0].clone(), sum.to_string().into());
            state.write(name, Content::Hash(fields), deadline);
            integer(sum)
        }
        b"HDEL" => {
            let removed = rest.iter().filter(|field| fields.remove(*field).is_some()).count();
            if fields.is_empty() {
                state.remove(name);
            } else if removed > 0 {
                state.write(name, Content::Hash(fields), deadline);
            }
            integer(removed)
        }
        _ => return None,
    };
    Some(reply)
}
