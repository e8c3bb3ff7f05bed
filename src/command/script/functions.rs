//! Libraries in the sandbox: their source text runs once and registers functions, which are called later.
//!
//! While a library loads, its globals are `redis` with `register_function` and `log`, and nothing else; when one of its
//! functions runs, they are those of scripts but for `KEYS` and `ARGV`. Functions keep the globals that they were made
//! with, so what changes is what these globals look through to.

use std::sync::Arc;

use bytes::Bytes;
use mlua::{Function, Lua, Result, Table, Value};
use parking_lot::Mutex;

use super::arguments::{Outcome, Stop, register, text};
use super::convert::{error_line, error_table};
use super::libraries::{FLAGS, Registered};
use super::{api, native};

/// What libraries are called in error lines.
pub const CHUNK_NAME: &str = "@user_function";
/// A name that is none, in Redis's words.
pub const BAD_NAME: &str =
    "Library names can only contain letters, numbers, or underscores(_) and must be at least one character long";

/// What a library registered so far; nothing while none is being loaded.
pub type Loading = Arc<Mutex<Option<Vec<(Registered, Function)>>>>;

/// The globals of libraries.
pub struct Environment {
    /// The globals of all their functions.
    pub front: Table,
    /// Its `__index` is what they look through to.
    lens: Table,
    while_loading: Table,
    while_running: Table,
    pub loading: Loading,
}

impl Environment {
    /// Made of the globals of scripts.
    pub fn new(lua: &Lua, scripts: &Table, run: &Arc<super::Run>) -> Result<Environment> {
        let loading = Loading::default();
        let front_of = |real: Table| native::protect(lua, real, None);
        let missing = lua.create_table()?;
        missing.raw_set("__index", native::missing_global(lua)?)?;

        let whole = api::open(lua, run)?;
        let redis = lua.create_table()?;
        for pair in whole.pairs::<String, Value>() {
            let (name, value) = pair?;
            if name == "log" || name.starts_with("LOG_") || name.starts_with("REDIS_") {
                redis.raw_set(name, value)?;
            }
        }
        open_register(lua, &redis, &loading)?;
        redis.set_metatable(Some(missing.clone()))?;
        let while_loading = lua.create_table()?;
        while_loading.raw_set("redis", front_of(redis)?)?;

        let while_running = lua.create_table()?;
        for pair in scripts.pairs::<Value, Value>() {
            let (name, value) = pair?;
            while_running.raw_set(name, value)?;
        }
        whole.raw_set("call", native::command(lua, true)?)?;
        whole.raw_set("pcall", native::command(lua, false)?)?;
        while_running.raw_set("redis", front_of(whole)?)?;

        let (real, lens) = (lua.create_table()?, lua.create_table()?);
        real.set_metatable(Some(lens.clone()))?;
        let front = front_of(real)?;
        for globals in [&while_loading, &while_running] {
            globals.set_metatable(Some(missing.clone()))?;
        }
        while_running.raw_set("_G", &front)?;
        lens.raw_set("__index", &while_running)?;
        Ok(Environment { front, lens, while_loading, while_running, loading })
    }

    /// A library is about to be loaded.
    pub fn begin(&self) -> Result<()> {
        *self.loading.lock() = Some(Vec::new());
        self.lens.raw_set("__index", &self.while_loading)
    }

    /// It was, or failed: what it registered.
    pub fn end(&self) -> Result<Vec<(Registered, Function)>> {
        self.lens.raw_set("__index", &self.while_running)?;
        Ok(self.loading.lock().take().unwrap_or_default())
    }
}

/// Whether a library or function may be called so.
pub fn is_name(name: &[u8]) -> bool {
    !name.is_empty() && name.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'_')
}

fn raise<T>(lua: &Lua, message: &str) -> Outcome<T> {
    Err(Stop::Raise(Value::Table(error_table(lua, &error_line(message.as_bytes()))?)))
}

/// `redis.register_function(name, callback)`, or a table of named arguments.
fn open_register(lua: &Lua, library: &Table, loading: &Loading) -> Result<()> {
    let loading = loading.clone();
    register(lua, library, "register_function", move |lua, arguments| {
        if loading.lock().is_none() {
            return raise(lua, "redis.register_function can only be called on FUNCTION LOAD command");
        }
        let (registered, callback) = match arguments.count() {
            1 => match arguments.get(1) {
                Value::Table(named) => named_arguments(lua, &named)?,
                _ => {
                    return raise(
                        lua,
                        "calling redis.register_function with a single argument is only applicable to Lua table \
                         (representing named arguments).",
                    );
                }
            },
            2 => {
                let Some(name) = text(lua, &arguments.get(1))? else {
                    return raise(lua, "first argument to redis.register_function must be a string");
                };
                let Value::Function(callback) = arguments.get(2) else {
                    return raise(lua, "second argument to redis.register_function must be a function");
                };
                (Registered { name: name.into(), flags: 0, description: None }, callback)
            }
            _ => return raise(lua, "wrong number of arguments to redis.register_function"),
        };
        if !is_name(&registered.name) {
            return raise(lua, BAD_NAME);
        }
        let mut loading = loading.lock();
        let Some(known) = loading.as_mut() else { return Ok(()) };
        if known.iter().any(|(other, _)| other.name.eq_ignore_ascii_case(&registered.name)) {
            drop(loading);
            return raise(lua, "Function already exists in the library");
        }
        known.push((registered, callback));
        Ok(())
    })
}

fn named_arguments(lua: &Lua, named: &Table) -> Outcome<(Registered, Function)> {
    let (mut name, mut callback, mut description, mut flags) = (None, None, None, 0);
    for pair in named.pairs::<Value, Value>() {
        let (key, value) = pair?;
        let Some(key) = text(lua, &key)? else {
            return raise(lua, "named argument key given to redis.register_function is not a string");
        };
        match &key[..] {
            b"function_name" => match text(lua, &value)? {
                Some(text) => name = Some(text),
                None => return raise(lua, "function_name argument given to redis.register_function must be a string"),
            },
            b"description" => match text(lua, &value)? {
                Some(text) => description = Some(Bytes::from(text)),
                None => return raise(lua, "description argument given to redis.register_function must be a string"),
            },
            b"callback" => match value {
                Value::Function(function) => callback = Some(function),
                _ => return raise(lua, "callback argument given to redis.register_function must be a function"),
            },
            b"flags" => match value {
                Value::Table(list) => flags = parse_flags(lua, &list)?,
                _ => {
                    return raise(
                        lua,
                        "flags argument to redis.register_function must be a table representing function flags",
                    );
                }
            },
            _ => return raise(lua, "unknown argument given to redis.register_function"),
        }
    }
    let Some(name) = name else { return raise(lua, "redis.register_function must get a function name argument") };
    let Some(callback) = callback else { return raise(lua, "redis.register_function must get a callback argument") };
    Ok((Registered { name: name.into(), flags, description }, callback))
}

fn parse_flags(lua: &Lua, list: &Table) -> Outcome<u8> {
    let mut flags = 0;
    for index in 1i64.. {
        let flag: Value = list.raw_get(index)?;
        if flag == Value::Nil {
            break;
        }
        let flag = text(lua, &flag)?.unwrap_or_default();
        match FLAGS.iter().position(|known| known.as_bytes() == flag) {
            Some(bit) => flags |= 1 << bit,
            None => return raise(lua, "unknown flag given"),
        }
    }
    Ok(flags)
}
