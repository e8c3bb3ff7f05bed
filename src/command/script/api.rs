//! The `redis` table of scripts, but for `call` and `pcall`.

use std::sync::Arc;

use mlua::{Lua, Result, Table, Value};

use super::arguments::{Arguments, Outcome, Stop, register, text};
use super::convert::{error_line, error_table, word};
use super::sha1;
use super::state::Run;
use crate::command::{REDIS_VERSION, table};

/// `LOG_DEBUG`, `LOG_VERBOSE`, `LOG_NOTICE`, `LOG_WARNING`
const LEVELS: [(&str, i64); 4] = [("LOG_DEBUG", 0), ("LOG_VERBOSE", 1), ("LOG_NOTICE", 2), ("LOG_WARNING", 3)];
/// Where effects go, of which a script of Redis may leave some out. Here they always go to all replicas.
const REPLICATION: [(&str, i64); 5] =
    [("REPL_NONE", 0), ("REPL_AOF", 1), ("REPL_SLAVE", 2), ("REPL_REPLICA", 2), ("REPL_ALL", 3)];

/// An error of the interface: a table, raised.
fn raise<T>(lua: &Lua, message: &str) -> Outcome<T> {
    Err(Stop::Raise(Value::Table(error_table(lua, &error_line(message.as_bytes()))?)))
}

/// The table.
pub fn open(lua: &Lua, run: &Arc<Run>) -> Result<Table> {
    let redis = lua.create_table()?;
    for (name, value) in LEVELS.into_iter().chain(REPLICATION) {
        redis.raw_set(name, value)?;
    }
    redis.raw_set("REDIS_VERSION", REDIS_VERSION)?;
    redis.raw_set("REDIS_VERSION_NUM", version_number())?;
    register(lua, &redis, "log", log)?;
    register(lua, &redis, "sha1hex", |lua, arguments| {
        if arguments.count() != 1 {
            return raise(lua, "wrong number of arguments");
        }
        let bytes = text(lua, &arguments.get(1))?.unwrap_or_default();
        Ok(sha1::hex(&sha1::digest(&bytes)))
    })?;
    register(lua, &redis, "error_reply", |lua, arguments| {
        single(lua, &arguments, |line| {
            error_table(lua, &error_line(&[b"-", line.strip_prefix(b"-").unwrap_or(line)].concat()))
        })
    })?;
    register(lua, &redis, "status_reply", |lua, arguments| {
        single(lua, &arguments, |line| {
            let table = lua.create_table()?;
            table.raw_set("ok", lua.create_string(line)?)?;
            Ok(table)
        })
    })?;
    let own = run.clone();
    register(lua, &redis, "setresp", move |lua, arguments| {
        if arguments.count() != 1 {
            return raise(lua, "redis.setresp() requires one argument.");
        }
        match int(lua, &arguments, 1)? {
            version @ 2..=3 => own.set_resp3(version == 3),
            _ => return raise(lua, "RESP version must be 2 or 3."),
        }
        Ok(())
    })?;
    register(lua, &redis, "set_repl", |lua, arguments| {
        if arguments.count() != 1 {
            return raise(lua, "redis.set_repl() requires two arguments.");
        }
        match int(lua, &arguments, 1)? {
            0..=3 => Ok(()),
            _ => raise(lua, "Invalid replication flags. Use REPL_AOF, REPL_REPLICA, REPL_ALL or REPL_NONE."),
        }
    })?;
    // There is no debugger: these are what they are outside of Redis's.
    register(lua, &redis, "breakpoint", |_, _| Ok(false))?;
    register(lua, &redis, "debug", |_, _| Ok(()))?;
    register(lua, &redis, "replicate_commands", |_, _| Ok(true))?;
    let own = run.clone();
    register(lua, &redis, "acl_check_cmd", move |lua, arguments| {
        let mut words = Vec::with_capacity(arguments.count());
        for value in arguments.values() {
            match word(lua, value)? {
                Some(word) => words.push(word),
                None => return raise(lua, "Lua redis lib command arguments must be strings or integers"),
            }
        }
        let Some(name) = words.first() else {
            return raise(lua, "Please specify at least one argument for this redis lib call");
        };
        let known = table::lookup(name).and_then(|spec| match words.get(1) {
            Some(word) if !spec.subcommands.is_empty() => spec.subcommand(word),
            _ => Some(spec),
        });
        match known {
            Some(spec) => Ok(own.rights().is_none_or(|rights| rights.check(spec, &words).is_ok())),
            None => raise(lua, "Invalid command passed to redis.acl_check_cmd()"),
        }
    })?;
    Ok(redis)
}

/// A table made of the only argument, a string.
fn single(lua: &Lua, arguments: &Arguments, make: impl FnOnce(&[u8]) -> Result<Table>) -> Outcome<Table> {
    match (arguments.count(), arguments.get(1)) {
        (1, Value::String(line)) => Ok(make(&line.as_bytes())?),
        _ => Ok(error_table(lua, b"ERR wrong number or type of arguments")?),
    }
}

/// As C takes an `int` of any value: 0 of what is no number.
fn int(lua: &Lua, arguments: &Arguments, at: usize) -> Outcome<i32> {
    Ok(lua.coerce_number(arguments.get(at))?.unwrap_or(0.0) as i32)
}

/// `0x00MMmmpp` of major, minor and patch.
fn version_number() -> u32 {
    REDIS_VERSION.split('.').fold(0, |number, part| number << 8 | part.parse::<u32>().unwrap_or(0))
}

/// `redis.log(level, message, ...)`
fn log(lua: &Lua, arguments: Arguments) -> Outcome<()> {
    if arguments.count() < 2 {
        return raise(lua, "redis.log() requires two arguments or more.");
    }
    if lua.coerce_number(arguments.get(1))?.is_none() {
        return raise(lua, "First argument must be a number (log level).");
    }
    let level = int(lua, &arguments, 1)?;
    if !(0..=3).contains(&level) {
        return raise(lua, "Invalid debug level.");
    }
    let mut words = Vec::new();
    for value in &arguments.values()[1..] {
        words.extend(text(lua, value)?);
    }
    // Whoever reads the log must be able to tell a script's line breaks from ours.
    let message = words.join(&b' ').escape_ascii().to_string();
    match level {
        0 | 1 => tracing::debug!(target: "holdfast::script", message),
        2 => tracing::info!(target: "holdfast::script", message),
        _ => tracing::warn!(target: "holdfast::script", message),
    }
    Ok(())
}
