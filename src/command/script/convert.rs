//! Replies of commands as Lua values and back, by the tables of Redis's documentation ("Data type conversion").
//!
//! Invariant: a reply made of a Lua value is bounded in depth and size, though a table may hold itself.

use std::borrow::Cow;

use bytes::{BufMut, Bytes, BytesMut};
use mlua::{IntoLua, Lua, Result, Table, Value};

use super::arguments::{number, text};
use crate::base::limits::OUTPUT_BUFFER_BYTES_MAX;
use crate::resp::{self, Protocol, c_string, double_text, put_bulk};

/// Nesting of a reply. Clients understand far less.
const DEPTH_MAX: usize = 128;
/// What an item of a reply costs besides its bytes.
const ITEM_BYTES: usize = 32;
/// What a table costs besides its items, in memory and in time.
const TABLE_BYTES: usize = 256;

/// An error as scripts see it: a table whose `err` is the line.
pub fn error_table(lua: &Lua, line: &[u8]) -> Result<Table> {
    let table = lua.create_table()?;
    table.raw_set("err", lua.create_string(line)?)?;
    Ok(table)
}

/// An error line as `redis.error_reply` makes it: a text behind `-` that starts with a code keeps it, any other becomes
/// an `ERR`.
pub fn error_line(text: &[u8]) -> Vec<u8> {
    let text = c_string(text);
    let coded = text.strip_prefix(b"-").and_then(|rest| {
        let blank = rest.iter().position(|byte| *byte == b' ')?;
        Some((&rest[..blank], &rest[blank + 1..]))
    });
    let (code, message) = coded.unwrap_or((b"ERR", text.strip_prefix(b"-").unwrap_or(text)));
    [code, b" ", trim(message)].concat()
}

fn trim(text: &[u8]) -> &[u8] {
    let is_text = |byte: &u8| !matches!(byte, b'\r' | b'\n');
    let start = text.iter().position(is_text).unwrap_or(text.len());
    let end = text.iter().rposition(is_text).map_or(start, |last| last + 1);
    &text[start..end]
}

/// A reply as a script gets it, in the shapes of RESP2 or RESP3.
pub fn to_lua(lua: &Lua, reply: &resp::Value, resp3: bool) -> Result<Value> {
    let list = |items: &[resp::Value]| {
        let table = lua.create_table()?;
        for (index, item) in (1i64..).zip(items) {
            table.raw_set(index, to_lua(lua, item, resp3)?)?;
        }
        Ok(Value::Table(table))
    };
    let field = |name: &str, value: Value| {
        let table = lua.create_table()?;
        table.raw_set(name, value)?;
        Ok(Value::Table(table))
    };
    let string = |bytes: &[u8]| lua.create_string(bytes)?.into_lua(lua);
    match reply {
        resp::Value::Simple(line) => field("ok", string(line.as_bytes())?),
        resp::Value::Error(line) => {
            let line = error_line(&[b"-", &line[..]].concat());
            let table = error_table(lua, &line)?;
            table.raw_set("ignore_error_stats_update", true)?;
            Ok(Value::Table(table))
        }
        resp::Value::Integer(number) => Ok(Value::Number(*number as f64)),
        resp::Value::Bulk(bytes) => string(bytes),
        resp::Value::Null if resp3 => Ok(Value::Nil),
        resp::Value::NullArray if resp3 => Ok(Value::Nil),
        resp::Value::Null | resp::Value::NullArray => Ok(Value::Boolean(false)),
        resp::Value::Array(items) | resp::Value::Push(items) => list(items),
        resp::Value::Set(items) if resp3 => {
            let members = lua.create_table()?;
            for item in items {
                set(&members, to_lua(lua, item, resp3)?, Value::Boolean(true))?;
            }
            field("set", Value::Table(members))
        }
        resp::Value::Set(items) => list(items),
        resp::Value::Map(pairs) if resp3 => {
            let map = lua.create_table()?;
            for (key, value) in pairs {
                set(&map, to_lua(lua, key, resp3)?, to_lua(lua, value, resp3)?)?;
            }
            field("map", Value::Table(map))
        }
        resp::Value::Map(pairs) => {
            let table = lua.create_table()?;
            for (index, item) in (1i64..).zip(pairs.iter().flat_map(|(key, value)| [key, value])) {
                table.raw_set(index, to_lua(lua, item, resp3)?)?;
            }
            Ok(Value::Table(table))
        }
        resp::Value::Double(number) if resp3 => field("double", Value::Number(*number)),
        resp::Value::Double(number) => string(double_text(*number).as_bytes()),
        resp::Value::Boolean(truth) if resp3 => Ok(Value::Boolean(*truth)),
        resp::Value::Boolean(truth) => Ok(Value::Integer(i64::from(*truth))),
        resp::Value::Verbatim(format, bytes) if resp3 => {
            let inner = lua.create_table()?;
            inner.raw_set("format", *format)?;
            inner.raw_set("string", string(bytes)?)?;
            field("verbatim_string", Value::Table(inner))
        }
        resp::Value::Verbatim(_, bytes) => string(bytes),
        resp::Value::Raw(bytes) => match resp::parse_reply(bytes) {
            Some((value, _)) => to_lua(lua, &value, resp3),
            None => Ok(Value::Nil),
        },
    }
}

/// Sets a field unless its name cannot be one.
fn set(table: &Table, key: Value, value: Value) -> Result<()> {
    match key {
        Value::Nil => Ok(()),
        Value::Number(number) if number.is_nan() => Ok(()),
        key => table.raw_set(key, value),
    }
}

/// A word of a command that a script runs; nothing for values that are none.
pub fn word(lua: &Lua, value: &Value) -> Result<Option<Bytes>> {
    match number(value) {
        Some(number) => Ok(Some(number_word(number).into())),
        None => Ok(text(lua, value)?.map(Bytes::from)),
    }
}

/// A number as a word. Whole ones never in scientific notation, which commands do not read as integers.
pub fn number_word(number: f64) -> String {
    let whole = number as i64;
    let is_whole = whole as f64 == number && number.abs() <= (i64::MAX / 2) as f64;
    if is_whole { whole.to_string() } else { double_text(number) }
}

/// What a script returned, as the reply to its client.
pub struct Reply {
    /// Protocol of the client.
    pub protocol: Protocol,
    /// Whether the script chose RESP3 for itself.
    pub resp3: bool,
    /// Bytes so far.
    pub bytes: usize,
}

impl Reply {
    /// The reply, or an error line in its place.
    pub fn of(mut self, lua: &Lua, value: Value) -> Result<resp::Value> {
        let reply = self.value(lua, value, 0)?;
        if self.bytes > OUTPUT_BUFFER_BYTES_MAX {
            return Ok(resp::Value::error("ERR reply exceeds the output buffer limit"));
        }
        Ok(reply)
    }

    fn value(&mut self, lua: &Lua, value: Value, depth: usize) -> Result<resp::Value> {
        self.bytes = self.bytes.saturating_add(ITEM_BYTES);
        if depth > DEPTH_MAX || self.bytes > OUTPUT_BUFFER_BYTES_MAX {
            return Ok(resp::Value::error("ERR reached lua stack limit"));
        }
        match value {
            Value::String(string) => {
                let bytes = Bytes::copy_from_slice(&string.as_bytes());
                self.bytes = self.bytes.saturating_add(bytes.len());
                Ok(resp::Value::Bulk(bytes))
            }
            Value::Boolean(truth) if self.resp3 => Ok(resp::Value::Boolean(truth)),
            Value::Boolean(truth) => Ok(if truth { resp::Value::Integer(1) } else { resp::Value::Null }),
            Value::Integer(_) | Value::Number(_) => Ok(resp::Value::Integer(truncated(number(&value).unwrap_or(0.0)))),
            Value::Table(table) => self.table(lua, &table, depth),
            _ => Ok(resp::Value::Null),
        }
    }

    fn table(&mut self, lua: &Lua, table: &Table, depth: usize) -> Result<resp::Value> {
        self.bytes = self.bytes.saturating_add(TABLE_BYTES);
        if let Value::String(line) = table.raw_get("err")? {
            return Ok(resp::Value::error_line(Cow::Owned(c_string(&line.as_bytes()).to_vec())));
        }
        if let Value::String(line) = table.raw_get("ok")? {
            let line = one_line(c_string(&line.as_bytes()));
            return Ok(match String::from_utf8(line) {
                Ok(line) => resp::Value::Simple(line.into()),
                Err(error) => resp::Value::Raw([b"+", error.as_bytes(), b"\r\n"].concat().into()),
            });
        }
        if let Some(number) = number(&table.raw_get::<Value>("double")?) {
            return Ok(resp::Value::Double(number));
        }
        if let Value::String(digits) = table.raw_get("big_number")? {
            let mut out = BytesMut::new();
            let digits = one_line(&digits.as_bytes());
            if self.protocol == Protocol::Resp3 {
                out.put_u8(b'(');
                out.put_slice(&digits);
                out.put_slice(b"\r\n");
            } else {
                put_bulk(&mut out, &digits);
            }
            return Ok(resp::Value::Raw(out.freeze()));
        }
        if let Value::Table(inner) = table.raw_get("verbatim_string")?
            && let (Value::String(format), Value::String(string)) = (inner.raw_get("format")?, inner.raw_get("string")?)
        {
            return Ok(self.verbatim(c_string(&format.as_bytes()), &string.as_bytes()));
        }
        if let Value::Table(map) = table.raw_get("map")? {
            let mut pairs = Vec::new();
            for pair in map.pairs::<Value, Value>() {
                let (key, value) = pair?;
                pairs.push((self.value(lua, key, depth + 1)?, self.value(lua, value, depth + 1)?));
                if self.bytes > OUTPUT_BUFFER_BYTES_MAX {
                    break;
                }
            }
            return Ok(resp::Value::Map(pairs));
        }
        if let Value::Table(set) = table.raw_get("set")? {
            let mut items = Vec::new();
            for pair in set.pairs::<Value, Value>() {
                items.push(self.value(lua, pair?.0, depth + 1)?);
                if self.bytes > OUTPUT_BUFFER_BYTES_MAX {
                    break;
                }
            }
            return Ok(resp::Value::Set(items));
        }
        let mut items = Vec::new();
        for index in 1i64.. {
            let item: Value = table.raw_get(index)?;
            if item == Value::Nil || self.bytes > OUTPUT_BUFFER_BYTES_MAX {
                break;
            }
            items.push(self.value(lua, item, depth + 1)?);
        }
        Ok(resp::Value::Array(items))
    }

    /// The format has three letters, blanks for those that are missing.
    fn verbatim(&mut self, format: &[u8], bytes: &[u8]) -> resp::Value {
        self.bytes = self.bytes.saturating_add(bytes.len());
        let letters: [u8; 3] = std::array::from_fn(|at| format.get(at).copied().unwrap_or(b' '));
        match &letters {
            _ if self.protocol == Protocol::Resp2 => resp::Value::Bulk(Bytes::copy_from_slice(bytes)),
            b"txt" => resp::Value::Verbatim("txt", Bytes::copy_from_slice(bytes)),
            b"mkd" => resp::Value::Verbatim("mkd", Bytes::copy_from_slice(bytes)),
            letters => {
                let head = format!("={}\r\n", bytes.len() + 4);
                resp::Value::Raw([head.as_bytes(), &one_line(&letters[..]), b":", bytes, b"\r\n"].concat().into())
            }
        }
    }
}

fn one_line(text: &[u8]) -> Vec<u8> {
    text.iter().map(|byte| if matches!(byte, b'\r' | b'\n') { b' ' } else { *byte }).collect()
}

/// As a processor converts a double to 64 bits: what does not fit is the smallest number.
fn truncated(number: f64) -> i64 {
    let fits = (i64::MIN as f64..i64::MAX as f64).contains(&number);
    if fits { number as i64 } else { i64::MIN }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn error_lines_have_a_code() {
        for (text, line) in [
            ("-WRONGTYPE of it", "WRONGTYPE of it"),
            ("plain", "ERR plain"),
            ("-single", "ERR single"),
            ("a b\r\n", "ERR a b"),
            ("-A b\0c", "A b"),
            ("", "ERR "),
        ] {
            assert_eq!(error_line(text.as_bytes()), line.as_bytes(), "{text:?}");
        }
    }
}
