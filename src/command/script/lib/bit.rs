//! `bit`: operations on 32-bit integers, with the conversions of numbers that Lua BitOp documents.

use mlua::{Lua, Result, Table};

use super::super::arguments::{Arguments, Outcome, register};

/// Added to a double it leaves the double's integral part, modulo 2^32, in the low bits.
const SHIFT: f64 = 6_755_399_441_055_744.0;

/// The library.
pub fn open(lua: &Lua) -> Result<Table> {
    let library = lua.create_table()?;
    let one = |name, operation: fn(u32) -> u32| {
        register(lua, &library, name, move |lua, arguments| Ok(operation(bits(lua, &arguments, 1)?) as i32))
    };
    one("tobit", |bits| bits)?;
    one("bnot", |bits| !bits)?;
    one("bswap", u32::swap_bytes)?;
    let all = |name, operation: fn(u32, u32) -> u32| {
        register(lua, &library, name, move |lua, arguments| {
            let mut result = bits(lua, &arguments, 1)?;
            for number in 2..=arguments.count() {
                result = operation(result, bits(lua, &arguments, number)?);
            }
            Ok(result as i32)
        })
    };
    all("band", |a, b| a & b)?;
    all("bor", |a, b| a | b)?;
    all("bxor", |a, b| a ^ b)?;
    let shift = |name, operation: fn(u32, u32) -> u32| {
        register(lua, &library, name, move |lua, arguments| {
            let (value, places) = (bits(lua, &arguments, 1)?, bits(lua, &arguments, 2)?);
            Ok(operation(value, places & 31) as i32)
        })
    };
    shift("lshift", |value, places| value << places)?;
    shift("rshift", |value, places| value >> places)?;
    shift("arshift", |value, places| (value as i32 >> places) as u32)?;
    shift("rol", u32::rotate_left)?;
    shift("ror", u32::rotate_right)?;
    register(lua, &library, "tohex", |lua, arguments| {
        let value = bits(lua, &arguments, 1)?;
        let digits = if arguments.is_none(2) { 8 } else { bits(lua, &arguments, 2)? as i32 };
        let count = digits.unsigned_abs().min(8) as usize;
        let text = if digits < 0 { format!("{value:08X}") } else { format!("{value:08x}") };
        Ok(text[8 - count..].to_owned())
    })?;
    Ok(library)
}

fn bits(lua: &Lua, arguments: &Arguments, number: usize) -> Outcome<u32> {
    Ok((arguments.number(lua, number)? + SHIFT).to_bits() as u32)
}
