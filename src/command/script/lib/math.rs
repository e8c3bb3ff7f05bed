//! `math.random`, which gives the same numbers in every run, and `os.clock`.

use std::sync::Arc;

use mlua::{Lua, Result, Table};

use super::super::arguments::{Arguments, Outcome, argument, line, register};
use super::super::random::Random;
use super::super::state::Run;

/// Random numbers are below this.
const RANDOM_MAX: u32 = i32::MAX as u32;

/// Replaces what `math` has of chance.
pub fn open(lua: &Lua, math: &Table, run: &Arc<Run>) -> Result<()> {
    let own = run.clone();
    register(lua, math, "random", move |lua, arguments| {
        let share = f64::from(own.random() % RANDOM_MAX) / f64::from(RANDOM_MAX);
        match arguments.count() {
            0 => Ok(share),
            1 => {
                let high = int(lua, &arguments, 1)?;
                if high < 1.0 { argument(1, "interval is empty") } else { Ok((share * high).floor() + 1.0) }
            }
            2 => {
                let (low, high) = (int(lua, &arguments, 1)?, int(lua, &arguments, 2)?);
                if low > high {
                    return argument(2, "interval is empty");
                }
                Ok((share * (high - low + 1.0)).floor() + low)
            }
            _ => line("wrong number of arguments"),
        }
    })?;
    let own = run.clone();
    register(lua, math, "randomseed", move |lua, arguments| {
        own.seed(Random::new(int(lua, &arguments, 1)? as i32));
        Ok(())
    })
}

/// An `int` of C.
fn int(lua: &Lua, arguments: &Arguments, number: usize) -> Outcome<f64> {
    Ok(f64::from(arguments.integer(lua, number)? as i32))
}
