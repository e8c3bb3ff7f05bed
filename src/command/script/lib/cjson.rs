//! `cjson`: Lua values to JSON and its options; reading is `cjson_parse`'s part.
//!
//! Invariant: nesting is bounded whatever the options say, and costs no stack of the thread.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use mlua::{Function, Lua, Result, Table, Value};
use parking_lot::Mutex;

use super::super::arguments::{Arguments, Outcome, argument, is_null, line, number, register, text, type_name};
use super::super::state::Run;
use super::cjson_parse::Parser;

/// Nesting that no option exceeds; it is the default.
const DEPTH_MAX: i64 = 1_000;
const INT_MAX: i64 = i32::MAX as i64;

/// What a script may choose.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    sparse_convert: bool,
    sparse_ratio: i64,
    sparse_safe: i64,
    encode_depth_max: i64,
    pub decode_depth_max: i64,
    precision: i64,
    keep_buffer: bool,
    encode_invalid: Invalid,
    pub decode_invalid: bool,
}

/// What becomes of numbers that JSON has not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Invalid {
    Refused,
    Written,
    Null,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            sparse_convert: false,
            sparse_ratio: 2,
            sparse_safe: 10,
            encode_depth_max: 1000,
            decode_depth_max: 1000,
            precision: 14,
            keep_buffer: true,
            encode_invalid: Invalid::Refused,
            decode_invalid: true,
        }
    }
}

/// Options of one `cjson` table, as they are in the run at hand: no script sees what another one chose.
struct Own {
    run: Arc<Run>,
    number: AtomicU64,
    options: Mutex<Options>,
}

impl Own {
    fn get(&self) -> Options {
        self.with(|options| *options)
    }

    fn with<T>(&self, work: impl FnOnce(&mut Options) -> T) -> T {
        let mut options = self.options.lock();
        let number = self.run.number();
        if self.number.swap(number, Relaxed) != number {
            *options = Options::default();
        }
        work(&mut options)
    }
}

/// The library. `next` is Lua's.
pub fn open(lua: &Lua, run: &Arc<Run>, next: &Function) -> Result<Table> {
    let library = lua.create_table()?;
    let own = Arc::new(Own { run: run.clone(), number: AtomicU64::new(0), options: Mutex::default() });
    library.raw_set("_NAME", "cjson")?;
    library.raw_set("_VERSION", "2.1.0")?;
    library.raw_set("null", Value::NULL)?;
    let (options, own_next) = (own.clone(), next.clone());
    register(lua, &library, "encode", move |lua, arguments| {
        if arguments.count() != 1 {
            return argument(1, "expected 1 argument");
        }
        let mut writer = Writer { lua, options: options.get(), out: Vec::new(), next: &own_next };
        writer.document(&arguments.get(1))?;
        Ok(lua.create_string(&writer.out)?)
    })?;
    let options = own.clone();
    register(lua, &library, "decode", move |lua, arguments| {
        if arguments.count() != 1 {
            return argument(1, "expected 1 argument");
        }
        let json = arguments.bytes(lua, 1)?;
        // Wider encodings are not understood, and told apart by their zero bytes.
        if json.len() >= 2 && (json[0] == 0 || json[1] == 0) {
            return line("JSON parser does not support UTF-16 or UTF-32");
        }
        Parser::new(lua, &json, options.get()).document()
    })?;
    open_options(lua, &library, &own)?;
    let (run, next) = (run.clone(), next.clone());
    register(lua, &library, "new", move |lua, _| Ok(open(lua, &run, &next)?))?;
    Ok(library)
}

/// The functions that ask for an option, and set it if they have an argument.
fn open_options(lua: &Lua, library: &Table, own: &Arc<Own>) -> Result<()> {
    type Field = fn(&mut Options) -> &mut i64;
    let numbers: [(&str, i64, Field); 3] = [
        ("encode_max_depth", INT_MAX, |options| &mut options.encode_depth_max),
        ("decode_max_depth", INT_MAX, |options| &mut options.decode_depth_max),
        ("encode_number_precision", 14, |options| &mut options.precision),
    ];
    for (name, most, option) in numbers {
        let own = own.clone();
        register(lua, library, name, move |lua, arguments| {
            few(&arguments, 1)?;
            if let Some(value) = whole(lua, &arguments, 1, 1, most)? {
                own.with(|options| *option(options) = value);
            }
            Ok(own.with(|options| *option(options)))
        })?;
    }
    let options = own.clone();
    register(lua, library, "encode_sparse_array", move |lua, arguments| {
        few(&arguments, 3)?;
        let convert = choice(lua, &arguments, 1, &["off", "on"])?;
        let (ratio, safe) = (whole(lua, &arguments, 2, 0, INT_MAX)?, whole(lua, &arguments, 3, 0, INT_MAX)?);
        Ok(options.with(|options| {
            options.sparse_convert = convert.map_or(options.sparse_convert, |convert| convert == 1);
            options.sparse_ratio = ratio.unwrap_or(options.sparse_ratio);
            options.sparse_safe = safe.unwrap_or(options.sparse_safe);
            (options.sparse_convert, options.sparse_ratio, options.sparse_safe)
        }))
    })?;
    let options = own.clone();
    register(lua, library, "encode_keep_buffer", move |lua, arguments| {
        few(&arguments, 1)?;
        let keep = choice(lua, &arguments, 1, &["off", "on"])?;
        Ok(options.with(|options| {
            options.keep_buffer = keep.map_or(options.keep_buffer, |keep| keep == 1);
            options.keep_buffer
        }))
    })?;
    let options = own.clone();
    register(lua, library, "encode_invalid_numbers", move |lua, arguments| {
        few(&arguments, 1)?;
        let chosen = choice(lua, &arguments, 1, &["off", "on", "null"])?;
        let invalid = options.with(|options| {
            if let Some(chosen) = chosen {
                options.encode_invalid = [Invalid::Refused, Invalid::Written, Invalid::Null][chosen.min(2)];
            }
            options.encode_invalid
        });
        match invalid {
            Invalid::Null => Ok(Value::String(lua.create_string("null")?)),
            other => Ok(Value::Boolean(other == Invalid::Written)),
        }
    })?;
    let options = own.clone();
    register(lua, library, "decode_invalid_numbers", move |lua, arguments| {
        few(&arguments, 1)?;
        let chosen = choice(lua, &arguments, 1, &["off", "on"])?;
        Ok(options.with(|options| {
            options.decode_invalid = chosen.map_or(options.decode_invalid, |chosen| chosen == 1);
            options.decode_invalid
        }))
    })
}

fn few(arguments: &Arguments, most: usize) -> Outcome<()> {
    if arguments.count() > most { argument(most + 1, "found too many arguments") } else { Ok(()) }
}

/// An integer in a range, if there is one.
fn whole(lua: &Lua, arguments: &Arguments, place: usize, least: i64, most: i64) -> Outcome<Option<i64>> {
    if arguments.is_none(place) {
        return Ok(None);
    }
    let value = arguments.integer(lua, place)?;
    if (least..=most).contains(&value) {
        Ok(Some(value))
    } else {
        // Whichever it is, the message names the first.
        argument(1, format!("expected integer between {least} and {most}"))
    }
}

/// A boolean, or one of these words, as the place of the word.
fn choice(lua: &Lua, arguments: &Arguments, place: usize, words: &[&str]) -> Outcome<Option<usize>> {
    match arguments.get(place) {
        Value::Nil => Ok(None),
        Value::Boolean(chosen) => Ok(Some(usize::from(chosen))),
        _ => {
            let word = arguments.bytes(lua, place)?;
            match words.iter().position(|known| known.as_bytes() == word) {
                Some(at) => Ok(Some(at)),
                None => argument(place, format!("invalid option '{}'", String::from_utf8_lossy(&word))),
            }
        }
    }
}

struct Writer<'a> {
    lua: &'a Lua,
    options: Options,
    out: Vec<u8>,
    next: &'a Function,
}

/// A table that is being written: an array of so many items, or an object; and the index or key of its last item.
struct Open {
    table: Table,
    length: Option<i64>,
    last: Value,
}

impl Writer<'_> {
    fn value(&mut self, value: &Value, open: &mut Vec<Open>) -> Outcome<()> {
        match value {
            Value::Nil => self.out.extend_from_slice(b"null"),
            null if is_null(null) => self.out.extend_from_slice(b"null"),
            Value::Boolean(truth) => self.out.extend_from_slice(if *truth { b"true" } else { b"false" }),
            Value::Integer(_) | Value::Number(_) => return self.number(value),
            Value::String(_) => return self.string(value),
            Value::Table(table) => return self.open(table, open),
            other => return refuse(other, "type not supported"),
        }
        Ok(())
    }

    fn number(&mut self, value: &Value) -> Outcome<()> {
        let number = number(value).unwrap_or(0.0);
        if !number.is_finite() {
            match self.options.encode_invalid {
                Invalid::Refused => return refuse(value, "must not be NaN or Inf"),
                Invalid::Null => {
                    self.out.extend_from_slice(b"null");
                    return Ok(());
                }
                Invalid::Written if number.is_nan() => {
                    self.out.extend_from_slice(b"nan");
                    return Ok(());
                }
                Invalid::Written => {}
            }
        }
        let precision = usize::try_from(self.options.precision).unwrap_or(14);
        self.out.extend_from_slice(text_of(number, precision).as_bytes());
        Ok(())
    }

    fn string(&mut self, value: &Value) -> Outcome<()> {
        let bytes = text(self.lua, value)?.unwrap_or_default();
        self.out.push(b'"');
        for byte in bytes {
            let short = match byte {
                b'"' | b'\\' | b'/' => byte,
                8 => b'b',
                9 => b't',
                10 => b'n',
                12 => b'f',
                13 => b'r',
                0..32 | 127 => {
                    self.out.extend_from_slice(format!("\\u{byte:04x}").as_bytes());
                    continue;
                }
                _ => {
                    self.out.push(byte);
                    continue;
                }
            };
            self.out.extend([b'\\', short]);
        }
        self.out.push(b'"');
        Ok(())
    }

    /// Opens a table: it is written piece by piece by [`Writer::document`].
    fn open(&mut self, table: &Table, open: &mut Vec<Open>) -> Outcome<()> {
        let length = self.array_length(table)?.filter(|length| *length > 0);
        let depth = open.len() as i64 + 1;
        if depth > self.options.encode_depth_max.min(DEPTH_MAX) {
            return line(format!("Cannot serialise, excessive nesting ({depth})"));
        }
        self.out.push(if length.is_some() { b'[' } else { b'{' });
        open.push(Open { table: table.clone(), length, last: Value::Nil });
        Ok(())
    }

    /// Writes a value. What is open lies in a list: nesting costs no stack.
    fn document(&mut self, value: &Value) -> Outcome<()> {
        let mut open = Vec::new();
        self.value(value, &mut open)?;
        while let Some(Open { table, length, last }) = open.last_mut() {
            let is_first = *last == Value::Nil;
            let value: Value = match length {
                Some(length) => {
                    let index = if let Value::Integer(index) = last { *index + 1 } else { 1 };
                    if index > *length {
                        self.out.push(b']');
                        open.pop();
                        continue;
                    }
                    *last = Value::Integer(index);
                    table.raw_get(index)?
                }
                None => {
                    let (key, value): (Value, Value) = self.next.call((&*table, &*last))?;
                    if key == Value::Nil {
                        self.out.push(b'}');
                        open.pop();
                        continue;
                    }
                    *last = key;
                    value
                }
            };
            if !is_first {
                self.out.push(b',');
            }
            if length.is_none() {
                let key = last.clone();
                self.key(&key)?;
            }
            self.value(&value, &mut open)?;
        }
        Ok(())
    }

    fn key(&mut self, key: &Value) -> Outcome<()> {
        match key {
            Value::Integer(_) | Value::Number(_) => {
                self.out.push(b'"');
                self.number(key)?;
                self.out.push(b'"');
            }
            Value::String(_) => self.string(key)?,
            other => return refuse(other, "table key must be a number or string"),
        }
        self.out.push(b':');
        Ok(())
    }

    /// The highest index of a table that has only positive integers as keys; nothing for an object.
    fn array_length(&self, table: &Table) -> Outcome<Option<i64>> {
        let (mut most, mut items) = (0, 0);
        for pair in table.pairs::<Value, Value>() {
            let (Value::Integer(index @ 1..=INT_MAX), _) = pair? else { return Ok(None) };
            most = most.max(index);
            items += 1;
        }
        let options = &self.options;
        if options.sparse_ratio > 0 && most > items * options.sparse_ratio && most > options.sparse_safe {
            if !options.sparse_convert {
                return refuse(&Value::Table(table.clone()), "excessively sparse array");
            }
            return Ok(None);
        }
        Ok(Some(most))
    }
}

fn refuse<T>(value: &Value, reason: &str) -> Outcome<T> {
    line(format!("Cannot serialise {}: {reason}", type_name(value)))
}

/// As C's `%.{precision}g` writes it.
pub fn text_of(number: f64, precision: usize) -> String {
    if !number.is_finite() {
        let text = if number.is_nan() { "nan" } else { "inf" };
        return if number.is_sign_negative() { format!("-{text}") } else { text.into() };
    }
    let precision = precision.max(1);
    let scientific = format!("{number:.*e}", precision - 1);
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let trimmed = |text: &str| match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text.to_owned(),
    };
    if exponent < -4 || exponent >= precision as i32 {
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{}e{sign}{:02}", trimmed(mantissa), exponent.abs());
    }
    let places = usize::try_from(precision as i32 - 1 - exponent).unwrap_or(0);
    trimmed(&format!("{number:.places$}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_look_as_in_c() {
        for (number, text) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (0.1, "0.1"),
            (1e15, "1e+15"),
            (99_999_999_999_999.0, "99999999999999"),
            (0.00001, "1e-05"),
            (0.0001, "0.0001"),
            (1.0 / 3.0, "0.33333333333333"),
            (f64::NEG_INFINITY, "-inf"),
        ] {
            assert_eq!(text_of(number, 14), text);
        }
    }
}
