//! The sandbox: one Lua 5.1 with what Redis leaves of its libraries and with Redis's own, all of it read-only.
//!
//! A run leaves nothing behind that another one could see: globals and libraries cannot be written, `KEYS` and `ARGV`
//! are taken away, options of libraries and the random generator start anew. (Libraries of functions keep their own
//! variables, in the interpreter that loaded them.) `newproxy`, which Redis keeps, is not here: its finalizers would run
//! scripts' code while garbage is collected, outside of any run.
//!
//! Invariant: the interpreter's memory is bounded, and whatever a script does ends in a reply.

use std::cell::RefCell;
use std::sync::Arc;

use bytes::Bytes;
use mlua::{Function, IntoLua, IntoLuaMulti, Lua, LuaOptions, LuaString, Result, StdLib, Table, Value};

use super::arguments::{register, text};
use super::convert::{Reply, error_line, error_table, to_lua};
use super::functions::{self, Environment};
use super::libraries::Registered;
use super::native::{self, Answer};
use super::sha1;
use super::state::Run;
use super::{api, guards, lib};
use crate::base::HashMap;
use crate::resp::{self, Protocol, c_string};

/// Memory of one interpreter.
const MEMORY_BYTES_MAX: usize = 256 << 20;
/// With more than this in use after a run, garbage is collected at once.
const MEMORY_BYTES_IDLE: usize = 16 << 20;
/// Compiled scripts that are kept.
const COMPILED_MAX: usize = 500;
/// Libraries that are kept.
const LIBRARIES_MAX: usize = 200;
/// What scripts of EVAL are called in error lines.
const CHUNK_NAME: &str = "@user_script";

/// Globals of Lua's base library that scripts have.
const GLOBALS: &[&str] = &[
    "_VERSION",
    "assert",
    "collectgarbage",
    "coroutine",
    "error",
    "gcinfo",
    "getmetatable",
    "ipairs",
    "load",
    "loadstring",
    "math",
    "next",
    "pairs",
    "pcall",
    "rawequal",
    "rawget",
    "rawset",
    "select",
    "setmetatable",
    "string",
    "table",
    "tonumber",
    "tostring",
    "type",
    "unpack",
    "xpcall",
];

/// What a script runs on.
pub trait Host {
    /// Runs a command.
    fn call(&mut self, args: Vec<Bytes>, protocol: Protocol) -> resp::Value;
}

/// What one run works with.
pub struct Task<'a> {
    /// Digest and source text.
    pub script: ([u8; sha1::BYTES], &'a [u8]),
    /// `KEYS`
    pub keys: &'a [Bytes],
    /// `ARGV`
    pub arguments: &'a [Bytes],
    /// Protocol of the client.
    pub protocol: Protocol,
}

/// A sandbox.
pub struct Interpreter {
    lua: Lua,
    run: Arc<Run>,
    /// The real globals.
    globals: Table,
    loader: Function,
    runner: Function,
    compiled: HashMap<[u8; sha1::BYTES], Function>,
    environment: Environment,
    /// Functions of libraries, by the digest of the source text.
    libraries: HashMap<[u8; sha1::BYTES], Vec<(Registered, Function)>>,
    /// Names of chunks, held for ever (see [`guards`]).
    _names: [LuaString; 2],
}

impl Interpreter {
    /// A new one. It fails only for want of memory.
    pub fn new(run: Arc<Run>) -> Result<Interpreter> {
        let lua = Lua::new_with(StdLib::TABLE | StdLib::STRING | StdLib::MATH, LuaOptions::new())?;
        native::set_run(&lua, Arc::as_ptr(&run))?;
        let base = lua.globals();
        let loader = guards::loader(&lua)?;
        let handler = native::handler(&lua, base.get("tostring")?)?;
        let runner = native::runner(&lua, &handler)?;
        guards::guard_libraries(&lua, &base, &handler)?;
        lib::open_math(&lua, &base.get("math")?, &run)?;
        let globals = open_globals(&lua, &base, &run)?;
        let environment = Environment::new(&lua, &globals, &run)?;
        let names = [lua.create_string(CHUNK_NAME)?, lua.create_string(functions::CHUNK_NAME)?];
        lua.gc_collect()?;
        lua.set_memory_limit(MEMORY_BYTES_MAX)?;
        let (compiled, libraries) = Default::default();
        Ok(Interpreter { lua, run, globals, loader, runner, compiled, environment, libraries, _names: names })
    }

    /// Compiles a script, or says what is wrong with it.
    pub fn compile(&mut self, digest: [u8; sha1::BYTES], source: &[u8]) -> std::result::Result<Function, Vec<u8>> {
        if let Some(function) = self.compiled.get(&digest) {
            return Ok(function.clone());
        }
        let failed = |error: mlua::Error| error.to_string().into_bytes();
        let source = self.lua.create_string(source).map_err(failed)?;
        match self.loader.call::<(Value, Value)>((source, CHUNK_NAME)).map_err(failed)? {
            (Value::Function(function), _) => {
                if self.compiled.len() >= COMPILED_MAX {
                    self.compiled.clear();
                }
                self.compiled.insert(digest, function.clone());
                Ok(function)
            }
            (_, message) => Err(text(&self.lua, &message).ok().flatten().unwrap_or_default()),
        }
    }

    /// Runs a script of EVAL.
    pub fn eval(&mut self, task: &Task<'_>, host: &mut dyn Host) -> resp::Value {
        let function = match self.compile(task.script.0, task.script.1) {
            Ok(function) => function,
            Err(message) => return compile_error(&message),
        };
        let name = sha1::hex(&task.script.0);
        let work = || {
            self.globals.raw_set("KEYS", self.list(task.keys)?)?;
            self.globals.raw_set("ARGV", self.list(task.arguments)?)?;
            self.call(&name, task.protocol, function, (), host)
        };
        let reply = work().unwrap_or_else(|error| failure(&name, error.to_string().as_bytes()));
        self.tidy();
        reply
    }

    /// Runs the source text of a library: what it registers, or what is wrong with it.
    pub fn load(
        &mut self,
        digest: [u8; sha1::BYTES],
        source: &[u8],
    ) -> std::result::Result<Vec<Registered>, resp::Value> {
        let failed = |error: mlua::Error| resp::Value::error(format!("ERR Error registering functions: {error}"));
        let registered = self.register(source).map_err(failed).flatten();
        self.tidy();
        let registered = registered?;
        if registered.is_empty() {
            return Err(resp::Value::error("ERR No functions registered"));
        }
        if self.libraries.len() >= LIBRARIES_MAX {
            self.libraries.clear();
        }
        let facts = registered.iter().map(|(facts, _)| facts.clone()).collect();
        self.libraries.insert(digest, registered);
        Ok(facts)
    }

    fn register(&self, source: &[u8]) -> Result<std::result::Result<Vec<(Registered, Function)>, resp::Value>> {
        let source = self.lua.create_string(source)?;
        let function = match self.loader.call::<(Value, Value)>((source, functions::CHUNK_NAME))? {
            (Value::Function(function), _) => function,
            (_, message) => {
                let message = text(&self.lua, &message)?.unwrap_or_default();
                return Ok(Err(resp::Value::error_with(&[b"ERR Error compiling function: ", &message])));
            }
        };
        function.set_environment(self.environment.front.clone())?;
        self.environment.begin()?;
        let result = self.runner.call::<(i64, Value)>(function);
        let registered = self.environment.end()?;
        let error = match result? {
            (0, _) => return Ok(Ok(registered)),
            (_, Value::Table(error)) => text(&self.lua, &error.raw_get("err")?)?.unwrap_or_default(),
            (_, error) => text(&self.lua, &error)?.unwrap_or_default(),
        };
        Ok(Err(resp::Value::error_with(&[b"ERR Error registering functions: ", &error])))
    }

    /// Runs a function of a library.
    pub fn fcall(&mut self, name: &[u8], task: &Task<'_>, host: &mut dyn Host) -> resp::Value {
        if !self.libraries.contains_key(&task.script.0)
            && let Err(reply) = self.load(task.script.0, task.script.1)
        {
            return reply;
        }
        let mut known = self.libraries.get(&task.script.0).into_iter().flatten();
        let Some((facts, function)) = known.find(|(facts, _)| facts.name.eq_ignore_ascii_case(name)) else {
            return resp::Value::error("ERR Function not found");
        };
        let shown = String::from_utf8_lossy(&facts.name);
        let mut work = || {
            let arguments = (self.list(task.keys)?, self.list(task.arguments)?);
            self.call(&shown, task.protocol, function.clone(), arguments, host)
        };
        let reply = work().unwrap_or_else(|error| failure(&shown, error.to_string().as_bytes()));
        self.tidy();
        reply
    }

    fn list(&self, items: &[Bytes]) -> Result<Table> {
        let table = self.lua.create_table()?;
        for (index, item) in (1i64..).zip(items) {
            table.raw_set(index, self.lua.create_string(item)?)?;
        }
        Ok(table)
    }

    fn call(
        &self,
        name: &str,
        protocol: Protocol,
        function: Function,
        arguments: impl IntoLuaMulti,
        host: &mut dyn Host,
    ) -> Result<resp::Value> {
        let lua = &self.lua;
        let mut arguments = arguments.into_lua_multi(lua)?;
        arguments.push_front(Value::Function(function));
        let host = RefCell::new(host);
        let (status, result) = lua.scope(|scope| {
            let command = scope.create_function(|lua, complete: bool| command(lua, &self.run, &host, complete))?;
            native::set_command(lua, Some(command))?;
            let result = self.runner.call::<(i64, Value)>(arguments);
            native::set_command(lua, None)?;
            result
        })?;
        if status == 0 {
            let reply = Reply { protocol, resp3: self.run.is_resp3(), bytes: 0 };
            return reply.of(lua, result);
        }
        self.error(name, result)
    }

    /// The line for an error that ended a script.
    fn error(&self, name: &str, error: Value) -> Result<resp::Value> {
        let Value::Table(table) = error else {
            let message = text(&self.lua, &error)?.unwrap_or_else(|| b"execution failure".to_vec());
            return Ok(failure(name, &message));
        };
        let field = |name: &str| text(&self.lua, &table.raw_get(name)?);
        let mut line = field("err")?.map_or_else(|| b"ERR unknown error".to_vec(), |line| c_string(&line).to_vec());
        if let (Some(source), Some(at)) = (field("source")?, field("line")?) {
            line.extend([b" script: ", name.as_bytes(), b", on ", c_string(&source), b":", &at, b"."].concat());
        }
        Ok(resp::Value::error_line(line.into()))
    }

    /// Bytes in use.
    pub fn bytes(&self) -> usize {
        self.lua.used_memory()
    }

    /// Whether more than half of the memory is in use between two runs.
    pub fn is_full(&self) -> bool {
        self.lua.used_memory() > MEMORY_BYTES_MAX / 2
    }

    /// Takes back what a run left.
    fn tidy(&self) {
        for name in ["KEYS", "ARGV"] {
            // It only fails where a new field would need memory.
            let _ = self.globals.raw_set(name, Value::Nil);
        }
        if self.lua.used_memory() > MEMORY_BYTES_IDLE {
            // Finalizers are the only thing that can fail, and scripts have none.
            let _ = self.lua.gc_collect();
        }
    }
}

/// The answer to source text that does not compile.
pub fn compile_error(message: &[u8]) -> resp::Value {
    resp::Value::error_with(&[b"ERR Error compiling script (new function): ", message])
}

/// The answer where Lua itself gave up.
fn failure(name: &str, message: &[u8]) -> resp::Value {
    let message = &message[..message.len().min(100)];
    resp::Value::error_with(&[b"ERR Error running script ", name.as_bytes(), b", ", message])
}

/// `redis.call` and `redis.pcall`: an answer, or an error table to raise or to return. The words are in `run`, if all
/// arguments are words.
fn command(lua: &Lua, run: &Run, host: &RefCell<&mut dyn Host>, complete: bool) -> Result<Answer> {
    let refuse = |line: &str| Ok(Answer::Raise(Value::Table(error_table(lua, &error_line(line.as_bytes()))?)));
    let args = run.take_words();
    if !complete {
        return refuse("Lua redis lib command arguments must be strings or integers");
    }
    if args.is_empty() {
        return refuse("Please specify at least one argument for this redis lib call");
    }
    let resp3 = run.is_resp3();
    let protocol = if resp3 { Protocol::Resp3 } else { Protocol::Resp2 };
    let reply = host.borrow_mut().call(args, protocol);
    let value = to_lua(lua, &reply, resp3)?;
    Ok(if reply.is_error() { Answer::Raise(value) } else { Answer::one(value) })
}

/// Fills the globals of scripts and makes their read-only front the globals of all code.
fn open_globals(lua: &Lua, base: &Table, run: &Arc<Run>) -> Result<Table> {
    let globals = lua.create_table()?;
    for name in GLOBALS {
        globals.raw_set(*name, base.raw_get::<Value>(*name)?)?;
    }
    let redis = api::open(lua, run)?;
    redis.raw_set("call", native::command(lua, true)?)?;
    redis.raw_set("pcall", native::command(lua, false)?)?;
    let os = lua.create_table()?;
    let own = run.clone();
    register(lua, &os, "clock", move |_, _| Ok(own.clock()))?;
    let string: Table = base.get("string")?;
    let libraries = [
        ("redis", redis),
        ("os", os),
        ("string", string.clone()),
        ("table", base.get("table")?),
        ("math", base.get("math")?),
        ("coroutine", base.get("coroutine")?),
        ("bit", lib::open_bit(lua)?),
        ("struct", lib::open_struct(lua)?),
        ("cjson", lib::open_cjson(lua, run, &base.get("next")?)?),
        ("cmsgpack", lib::open_cmsgpack(lua)?),
    ];
    for (name, library) in libraries {
        globals.raw_set(name, native::protect(lua, library, None)?)?;
    }
    open_collector(lua, &globals)?;
    // Methods of strings are those of the library; what `getmetatable` shows is a copy that cannot be written.
    let strings = native::string_metatable(lua)?;
    let shown = lua.create_table()?;
    shown.raw_set("__index", globals.raw_get::<Value>("string")?)?;
    strings.raw_set("__index", string)?;
    strings.raw_set("__metatable", native::protect(lua, shown, None)?)?;
    // What is in no table of ours raises an error.
    let missing = lua.create_table()?;
    missing.raw_set("__index", native::missing_global(lua)?)?;
    globals.set_metatable(Some(missing.clone()))?;
    let front = native::protect(lua, globals.clone(), Some(native::protect(lua, missing, None)?))?;
    globals.raw_set("_G", &front)?;
    lua.set_globals(front)?;
    Ok(globals)
}

/// `collectgarbage`, which may collect and count, but not change how the collector works.
fn open_collector(lua: &Lua, globals: &Table) -> Result<()> {
    let collect: Function = globals.get("collectgarbage")?;
    register(lua, globals, "collectgarbage", move |lua, arguments| {
        let option = if arguments.is_none(1) { b"collect".to_vec() } else { arguments.bytes(lua, 1)? };
        match &option[..] {
            b"collect" | b"count" | b"step" => Ok(collect.call::<Value>(lua.create_string(&option)?.into_lua(lua)?)?),
            b"stop" | b"restart" | b"setpause" | b"setstepmul" => Ok(Value::Integer(0)),
            other => {
                let other = String::from_utf8_lossy(other);
                super::arguments::argument(1, format!("invalid option '{other}'"))
            }
        }
    })
}
