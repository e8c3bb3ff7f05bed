//! `cmsgpack`: Lua values to MessagePack and back (facts from the MessagePack specification), with what Redis's library
//! leaves out: types `bin` and `ext` are not read.
//!
//! Invariant: nothing is allocated from a declared length; every read is of bytes that are there, and nesting is
//! bounded (the class of CVE-2018-11218).

use mlua::{IntoLua, Lua, MultiValue, Result, Table, Value};

use super::super::arguments::{Arguments, Outcome, Stop, argument, line, number, register, text};

/// Tables nested deeper than this are written as nil.
const NESTING_MAX: usize = 16;
/// Nesting that is read.
const DEPTH_MAX: usize = 200;
/// Values that one call returns.
const VALUES_MAX: usize = 4_000;

/// The library.
pub fn open(lua: &Lua) -> Result<Table> {
    let library = lua.create_table()?;
    library.raw_set("_NAME", "cmsgpack")?;
    library.raw_set("_VERSION", "lua-cmsgpack 0.4.0")?;
    library.raw_set("_COPYRIGHT", "Copyright (C) 2012, Salvatore Sanfilippo")?;
    library.raw_set("_DESCRIPTION", "MessagePack C implementation for Lua")?;
    register(lua, &library, "pack", |lua, arguments| {
        if arguments.count() == 0 {
            return argument(0, "MessagePack pack needs input.");
        }
        let mut out = Vec::new();
        for value in arguments.values() {
            write(lua, &mut out, value, 0)?;
        }
        Ok(lua.create_string(&out)?)
    })?;
    register(lua, &library, "unpack", |lua, arguments| unpack(lua, &arguments, 0, 0))?;
    register(lua, &library, "unpack_one", |lua, arguments| {
        let offset = if arguments.is_none(2) { 0 } else { arguments.integer(lua, 2)? };
        unpack(lua, &arguments, 1, offset)
    })?;
    register(lua, &library, "unpack_limit", |lua, arguments| {
        let limit = arguments.integer(lua, 2)?;
        let offset = if arguments.is_none(3) { 0 } else { arguments.integer(lua, 3)? };
        unpack(lua, &arguments, limit, offset)
    })?;
    Ok(library)
}

fn write(lua: &Lua, out: &mut Vec<u8>, value: &Value, level: usize) -> Outcome<()> {
    match value {
        Value::Boolean(truth) => out.push(if *truth { 0xc3 } else { 0xc2 }),
        Value::Integer(_) | Value::Number(_) => write_number(out, number(value).unwrap_or(0.0)),
        Value::String(_) => {
            let bytes = text(lua, value)?.unwrap_or_default();
            let length = bytes.len();
            match length {
                0..32 => out.push(0xa0 | length as u8),
                32..0x100 => out.extend([0xd9, length as u8]),
                _ => put_length(out, length, 0xda, 0xdb),
            }
            out.extend_from_slice(&bytes);
        }
        Value::Table(table) if level < NESTING_MAX => write_table(lua, out, table, level)?,
        _ => out.push(0xc0),
    }
    Ok(())
}

fn put_length(out: &mut Vec<u8>, length: usize, short: u8, long: u8) {
    match u16::try_from(length) {
        Ok(length) => {
            out.push(short);
            out.extend(length.to_be_bytes());
        }
        Err(_) => {
            out.push(long);
            // A Lua table or string is far smaller than 4 GiB: the interpreter's memory is bounded.
            out.extend((length as u32).to_be_bytes());
        }
    }
}

fn write_number(out: &mut Vec<u8>, number: f64) {
    let is_whole = number.floor() == number && (i64::MIN as f64..i64::MAX as f64).contains(&number);
    if !is_whole {
        if f64::from(number as f32) == number {
            out.push(0xca);
            out.extend((number as f32).to_be_bytes());
        } else {
            out.push(0xcb);
            out.extend(number.to_be_bytes());
        }
        return;
    }
    match number as i64 {
        whole @ 0..0x80 => out.push(whole as u8),
        whole @ 0x80..0x100 => out.extend([0xcc, whole as u8]),
        whole @ 0x100..0x1_0000 => {
            out.push(0xcd);
            out.extend((whole as u16).to_be_bytes());
        }
        whole @ 0x1_0000..0x1_0000_0000 => {
            out.push(0xce);
            out.extend((whole as u32).to_be_bytes());
        }
        whole @ 0x1_0000_0000.. => {
            out.push(0xcf);
            out.extend(whole.to_be_bytes());
        }
        whole @ -32..0 => out.push(whole as u8),
        whole @ -128..-32 => out.extend([0xd0, whole as u8]),
        whole @ -0x8000..-128 => {
            out.push(0xd1);
            out.extend((whole as i16).to_be_bytes());
        }
        whole @ -0x8000_0000..-0x8000 => {
            out.push(0xd2);
            out.extend((whole as i32).to_be_bytes());
        }
        whole => {
            out.push(0xd3);
            out.extend(whole.to_be_bytes());
        }
    }
}

fn write_table(lua: &Lua, out: &mut Vec<u8>, table: &Table, level: usize) -> Outcome<()> {
    let (mut count, mut most, mut is_array) = (0usize, 0usize, true);
    for pair in table.pairs::<Value, Value>() {
        count += 1;
        match pair?.0 {
            Value::Integer(index) if index > 0 => most = most.max(usize::try_from(index).unwrap_or(usize::MAX)),
            _ => is_array = false,
        }
    }
    if is_array && most == count {
        match count {
            0..16 => out.push(0x90 | count as u8),
            _ => put_length(out, count, 0xdc, 0xdd),
        }
        for index in 1..=count {
            write(lua, out, &table.raw_get(index)?, level + 1)?;
        }
        return Ok(());
    }
    match count {
        0..16 => out.push(0x80 | count as u8),
        _ => put_length(out, count, 0xde, 0xdf),
    }
    for pair in table.pairs::<Value, Value>() {
        let (key, value) = pair?;
        write(lua, out, &key, level + 1)?;
        write(lua, out, &value, level + 1)?;
    }
    Ok(())
}

/// All values of a string, or, with a limit or an offset, so many of them with the offset of the next (-1 at the end)
/// in front.
fn unpack(lua: &Lua, arguments: &Arguments, limit: i64, offset: i64) -> Outcome<MultiValue> {
    let data = arguments.bytes(lua, 1)?;
    let length = data.len();
    if offset < 0 || limit < 0 {
        return line(format!("Invalid request to unpack with offset of {offset} and limit of {length}."));
    }
    let Some(rest) = usize::try_from(offset).ok().and_then(|offset| data.get(offset..)) else {
        return line(format!("Start offset {offset} greater than input length {length}."));
    };
    let mut cursor = Cursor { lua, rest };
    let mut values = Vec::new();
    let all = limit == 0 && offset == 0;
    while !cursor.rest.is_empty() && (all || (values.len() as i64) < limit) {
        if values.len() == VALUES_MAX {
            return line("too many return values at once; use unpack_one or unpack_limit instead.");
        }
        values.push(cursor.value(0)?);
    }
    let mut values = MultiValue::from_vec(values);
    if !all {
        let next = if cursor.rest.is_empty() { -1 } else { (length - cursor.rest.len()) as i64 };
        values.push_front(Value::Integer(next));
    }
    Ok(values)
}

struct Cursor<'a> {
    lua: &'a Lua,
    rest: &'a [u8],
}

impl Cursor<'_> {
    fn take(&mut self, length: usize) -> Outcome<&[u8]> {
        match self.rest.split_at_checked(length) {
            Some((taken, rest)) => {
                self.rest = rest;
                Ok(taken)
            }
            None => line("Missing bytes in input."),
        }
    }

    fn fixed<const N: usize>(&mut self) -> Outcome<[u8; N]> {
        let bytes = self.take(N)?;
        Ok(std::array::from_fn(|at| bytes[at]))
    }

    /// A big-endian number of so many bytes, at most 4.
    fn length(&mut self, bytes: usize) -> Outcome<usize> {
        Ok(self.take(bytes)?.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)))
    }

    fn value(&mut self, depth: usize) -> Outcome<Value> {
        let [kind] = self.fixed::<1>()?;
        let number = |number: f64| Ok(Value::Number(number));
        match kind {
            0x00..=0x7f => number(f64::from(kind)),
            0x80..=0x8f => self.map(usize::from(kind & 0xf), depth),
            0x90..=0x9f => self.array(usize::from(kind & 0xf), depth),
            0xa0..=0xbf => self.string(usize::from(kind & 0x1f)),
            0xc0 => Ok(Value::Nil),
            0xc2 | 0xc3 => Ok(Value::Boolean(kind == 0xc3)),
            0xca => number(f64::from(f32::from_be_bytes(self.fixed()?))),
            0xcb => number(f64::from_be_bytes(self.fixed()?)),
            0xcc => number(f64::from(u8::from_be_bytes(self.fixed()?))),
            0xcd => number(f64::from(u16::from_be_bytes(self.fixed()?))),
            0xce => number(f64::from(u32::from_be_bytes(self.fixed()?))),
            0xcf => number(u64::from_be_bytes(self.fixed()?) as f64),
            0xd0 => number(f64::from(i8::from_be_bytes(self.fixed()?))),
            0xd1 => number(f64::from(i16::from_be_bytes(self.fixed()?))),
            0xd2 => number(f64::from(i32::from_be_bytes(self.fixed()?))),
            0xd3 => number(i64::from_be_bytes(self.fixed()?) as f64),
            0xd9..=0xdb => {
                let length = self.length(1 << (kind - 0xd9))?;
                self.string(length)
            }
            0xdc | 0xdd => {
                let length = self.length(2 << (kind - 0xdc))?;
                self.array(length, depth)
            }
            0xde | 0xdf => {
                let length = self.length(2 << (kind - 0xde))?;
                self.map(length, depth)
            }
            0xe0..=0xff => number(f64::from(kind as i8)),
            _ => line("Bad data format in input."),
        }
    }

    fn string(&mut self, length: usize) -> Outcome<Value> {
        let lua = self.lua;
        Ok(lua.create_string(self.take(length)?)?.into_lua(lua)?)
    }

    fn array(&mut self, length: usize, depth: usize) -> Outcome<Value> {
        let table = self.table(depth)?;
        for index in 1..=length {
            let value = self.value(depth + 1)?;
            table.raw_set(index, value)?;
        }
        Ok(Value::Table(table))
    }

    fn map(&mut self, length: usize, depth: usize) -> Outcome<Value> {
        let table = self.table(depth)?;
        for _ in 0..length {
            let (key, value) = (self.value(depth + 1)?, self.value(depth + 1)?);
            let wrong = match &key {
                Value::Nil => "table index is nil",
                Value::Number(number) if number.is_nan() => "table index is NaN",
                _ => "",
            };
            if !wrong.is_empty() {
                return Err(Stop::Raise(self.lua.create_string(wrong)?.into_lua(self.lua)?));
            }
            table.raw_set(key, value)?;
        }
        Ok(Value::Table(table))
    }

    fn table(&mut self, depth: usize) -> Outcome<Table> {
        if depth > DEPTH_MAX {
            return line("Bad data format in input.");
        }
        Ok(self.lua.create_table()?)
    }
}
