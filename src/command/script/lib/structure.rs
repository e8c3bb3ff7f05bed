//! `struct`: C structures from and to strings. Format: `<` `>` byte order, `!n` alignment, `x` a padding byte, `b` `B`
//! `h` `H` `l` `L` `T` `i[n]` `I[n]` integers, `f` `d` floats, `c[n]` bytes (`c0`: all of the string, or as many as the
//! number before says), `s` a string up to a zero byte.
//!
//! Invariant: every size is bounded before it is used, positions do not wrap, and nothing is read outside the string
//! (the class of CVE-2018-11219).

use mlua::{IntoLua, Lua, MultiValue, Result, Table, Value};

use super::super::arguments::{Arguments, Outcome, Stop, argument, line, number as number_of, register};

/// Bytes of an integer at most.
const INTEGER_MAX: usize = 32;
/// Alignment of `!` alone: that of a double.
const ALIGN_DEFAULT: usize = 8;
/// Values that one call returns.
const VALUES_MAX: usize = 4_000;

/// The library.
pub fn open(lua: &Lua) -> Result<Table> {
    let library = lua.create_table()?;
    register(lua, &library, "pack", pack)?;
    register(lua, &library, "unpack", unpack)?;
    register(lua, &library, "size", size)?;
    Ok(library)
}

/// A format that is being read.
struct Format {
    rest: std::vec::IntoIter<u8>,
    next: Option<u8>,
    big: bool,
    align: usize,
}

/// One part of a format: its letter, its bytes and those that align it.
struct Part {
    letter: u8,
    size: usize,
    padding: usize,
}

impl Format {
    /// Like a string of C, it ends at a zero byte.
    fn new(text: Vec<u8>) -> Format {
        let mut rest = text.into_iter();
        let next = rest.next().filter(|byte| *byte != 0);
        Format { rest, next, big: false, align: 1 }
    }

    fn advance(&mut self) -> Option<u8> {
        let letter = self.next?;
        self.next = self.rest.next().filter(|byte| *byte != 0);
        Some(letter)
    }

    /// A number, if there is one.
    fn count(&mut self, default: usize) -> Outcome<usize> {
        if !self.next.is_some_and(|byte| byte.is_ascii_digit()) {
            return Ok(default);
        }
        let mut count = 0usize;
        while let Some(digit) = self.next.filter(u8::is_ascii_digit) {
            self.advance();
            count = count * 10 + usize::from(digit - b'0');
            if count > i32::MAX as usize {
                return line("integral size overflow");
            }
        }
        Ok(count)
    }

    /// The next part, at `position`. Those that take no bytes are followed on the way.
    fn part(&mut self, position: usize) -> Outcome<Option<Part>> {
        while let Some(letter) = self.advance() {
            let size = match letter {
                b'b' | b'B' | b'x' => 1,
                b'h' | b'H' => 2,
                b'f' => 4,
                b'l' | b'L' | b'd' | b'T' => 8,
                b'c' => self.count(1)?,
                b's' => 0,
                b'i' | b'I' => {
                    let size = self.count(4)?;
                    if size > INTEGER_MAX {
                        return line(format!("integral size {size} is larger than limit of {INTEGER_MAX}"));
                    }
                    size
                }
                b' ' => continue,
                b'<' | b'>' => {
                    self.big = letter == b'>';
                    continue;
                }
                b'!' => {
                    let align = self.count(ALIGN_DEFAULT)?;
                    if !align.is_power_of_two() {
                        return line(format!("alignment {align} is not a power of 2"));
                    }
                    self.align = align;
                    continue;
                }
                other => return argument(1, format!("invalid format option '{}'", char::from(other))),
            };
            let unit = if letter == b'c' { 0 } else { size.min(self.align) };
            // Only powers of two align; of other sizes this is what the arithmetic with masks gives.
            let padding = if unit == 0 { 0 } else { (unit - (position & (unit - 1))) & (unit - 1) };
            return Ok(Some(Part { letter, size, padding }));
        }
        Ok(None)
    }
}

fn pack(lua: &Lua, arguments: Arguments) -> Outcome<Value> {
    let mut format = Format::new(arguments.bytes(lua, 1)?);
    let mut out = Vec::new();
    let mut next = 2;
    while let Some(Part { letter, size, padding }) = format.part(out.len())? {
        out.resize(out.len() + padding, 0);
        let missing = next > arguments.count();
        match letter {
            b'x' => {}
            b'c' | b's' if missing => return argument(next, "string expected, got nil"),
            _ if missing => return argument(next, "number expected, got nil"),
            _ => next += 1,
        }
        let given = next - 1;
        let number = || arguments.number(lua, given);
        match letter {
            b'x' => out.push(0),
            b'f' => put(&mut out, (number()? as f32).to_le_bytes().to_vec(), format.big),
            b'd' => put(&mut out, number()?.to_le_bytes().to_vec(), format.big),
            b'c' | b's' => {
                let bytes = arguments.bytes(lua, given)?;
                let size = if size == 0 { bytes.len() } else { size };
                match bytes.get(..size) {
                    Some(bytes) => out.extend_from_slice(bytes),
                    None => return argument(next, "string too short"),
                }
                if letter == b's' {
                    out.push(0);
                }
            }
            _ => {
                let value = number()?;
                let value = if value < i64::MAX as f64 { value as i64 as u64 } else { wrapped(value) };
                let mut bytes = value.to_le_bytes().to_vec();
                bytes.resize(size, 0);
                put(&mut out, bytes, format.big);
            }
        }
    }
    Ok(lua.create_string(&out)?.into_lua(lua)?)
}

/// A double beyond `long`, as `unsigned long`.
fn wrapped(value: f64) -> u64 {
    if value < 18_446_744_073_709_551_616.0 { value as u64 } else { 0 }
}

fn put(out: &mut Vec<u8>, mut little: Vec<u8>, big: bool) {
    if big {
        little.reverse();
    }
    out.extend(little);
}

fn unpack(lua: &Lua, arguments: Arguments) -> Outcome<MultiValue> {
    let mut format = Format::new(arguments.bytes(lua, 1)?);
    let data = arguments.bytes(lua, 2)?;
    let start = if arguments.is_none(3) { 1 } else { arguments.integer(lua, 3)? };
    if start == 0 {
        return argument(3, "offset must be 1 or greater");
    }
    let short = || Stop::Argument(2, "data string too short".into());
    let mut position = usize::try_from(start - 1).map_err(|_| short())?;
    let mut values: Vec<Value> = Vec::new();
    while let Some(Part { letter, mut size, padding }) = format.part(position)? {
        if values.len() == VALUES_MAX {
            return line("stack overflow (too many results)");
        }
        position = position.checked_add(padding).ok_or_else(short)?;
        let rest = data.get(position..).ok_or_else(short)?;
        let mut bytes = rest.get(..size).ok_or_else(short)?.to_vec();
        if format.big && letter != b'c' {
            bytes.reverse();
        }
        match letter {
            b'x' => {}
            b'f' => values.push(Value::Number(f64::from(f32::from_le_bytes(fixed(&bytes))))),
            b'd' => values.push(Value::Number(f64::from_le_bytes(fixed(&bytes)))),
            b'c' => {
                if size == 0 {
                    let Some(count) = values.last().and_then(number_of) else {
                        return line("format 'c0' needs a previous size");
                    };
                    values.pop();
                    if !(0.0..=data.len() as f64).contains(&count) {
                        return Err(short());
                    }
                    size = count as usize;
                }
                values.push(lua.create_string(rest.get(..size).ok_or_else(short)?)?.into_lua(lua)?);
            }
            b's' => {
                let Some(end) = rest.iter().position(|byte| *byte == 0) else {
                    return line("unfinished string in data");
                };
                values.push(lua.create_string(&rest[..end])?.into_lua(lua)?);
                size = end + 1;
            }
            _ => values.push(Value::Number(integer(&bytes, letter.is_ascii_lowercase()))),
        }
        position += size;
    }
    values.push(Value::Number((position + 1) as f64));
    Ok(MultiValue::from_vec(values))
}

/// The first bytes.
fn fixed<const N: usize>(bytes: &[u8]) -> [u8; N] {
    std::array::from_fn(|at| bytes.get(at).copied().unwrap_or(0))
}

/// An integer of any size, of which the low 64 bits count.
fn integer(little: &[u8], signed: bool) -> f64 {
    let value = u64::from_le_bytes(fixed(little));
    if !signed {
        return value as f64;
    }
    let unused = 64 - 8 * little.len().min(8) as u32;
    if unused == 64 { 0.0 } else { ((value << unused) as i64 >> unused) as f64 }
}

fn size(lua: &Lua, arguments: Arguments) -> Outcome<f64> {
    let mut format = Format::new(arguments.bytes(lua, 1)?);
    let mut position = 0usize;
    while let Some(Part { letter, size, padding }) = format.part(position)? {
        match letter {
            b's' => return argument(1, "option 's' has no fixed size"),
            b'c' if size == 0 => return argument(1, "option 'c0' has no fixed size"),
            _ => position = position.saturating_add(padding).saturating_add(size),
        }
    }
    Ok(position as f64)
}
