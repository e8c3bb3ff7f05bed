//! The functions of the sandbox that must be C functions: they raise errors as Lua's own do, with the place in the
//! script that called them, and they see through protected tables. The only file here with unsafe code.
//!
//! A protected table is an empty one in front of the real one: reading falls through, writing is an error. Redis marks
//! tables as read-only inside its patched Lua; an unpatched one has no such mark, so the few functions that would
//! bypass metamethods (`rawset`, `table.insert`, `next` ...) are guarded here.
//!
//! Invariant: an error leaves these frames by `longjmp`, so no value with a destructor lives in them. Whatever allocates
//! is in a Rust function below a [`bridge`], which has returned before an error is raised.

use std::ffi::{c_char, c_int, c_void};
use std::ptr::addr_of;

use bytes::Bytes;
use mlua::ffi::{self, lua_State};
use mlua::{Function, IntoLuaMulti, Lua, MultiValue, Result, Table, Value};

use super::convert::number_word;
use super::state::Run;

/// Instructions between two looks at whether the script was killed.
const HOOK_INSTRUCTIONS: c_int = 100_000;
/// Arguments of a function in Rust, each of which takes a place among the references that `mlua` can hold.
const ARGUMENTS_MAX: c_int = 4_000;
/// Repetitions in a pattern.
const REPETITIONS_MAX: usize = 1_000;
const READ_ONLY: &[u8] = b"Attempt to modify a readonly table";
const NO_RUN: &[u8] = b"redis.call/pcall can only be called inside a script invocation";

// Their addresses are keys of Lua's registry.
static PROXIES: u8 = 1;
static SHOWN: u8 = 2;
static RUN: u8 = 3;
static CALL: u8 = 4;

/// What a function below a bridge answers.
pub enum Answer {
    /// These values.
    Return(MultiValue),
    /// An error line, which gets the place of the caller in front.
    Line(Vec<u8>),
    /// An error value as it is.
    Raise(Value),
    /// A bad argument: its number and what is wrong with it.
    Argument(i32, String),
}

const RETURN: ffi::lua_Integer = 0;
const LINE: ffi::lua_Integer = 1;
const RAISE: ffi::lua_Integer = 2;
const ARGUMENT: ffi::lua_Integer = 3;

impl IntoLuaMulti for Answer {
    fn into_lua_multi(self, lua: &Lua) -> Result<MultiValue> {
        let code = |code: ffi::lua_Integer| Value::Integer(code as mlua::Integer);
        match self {
            Answer::Return(mut values) => {
                values.push_front(code(RETURN));
                Ok(values)
            }
            Answer::Line(line) => (code(LINE), lua.create_string(&line)?).into_lua_multi(lua),
            Answer::Raise(value) => (code(RAISE), value).into_lua_multi(lua),
            Answer::Argument(number, what) => (code(ARGUMENT), number, what).into_lua_multi(lua),
        }
    }
}

impl Answer {
    /// One value.
    pub fn one(value: Value) -> Answer {
        Answer::Return(MultiValue::from_vec(vec![value]))
    }
}

/// A Lua function that runs a Rust function and raises what that one answers.
pub fn bridge(lua: &Lua, function: Function) -> Result<Function> {
    unsafe { lua.exec_raw(function, |state| ffi::lua_pushcclosure(state, bridged, 1)) }
}

/// `redis.call`, which raises errors, or `redis.pcall`, which returns them.
pub fn command(lua: &Lua, raises: bool) -> Result<Function> {
    unsafe { lua.exec_raw(raises, |state| ffi::lua_pushcclosure(state, commanded, 1)) }
}

/// What `redis.call` and `redis.pcall` run from now on.
pub fn set_command(lua: &Lua, function: Option<Function>) -> Result<()> {
    unsafe {
        lua.exec_raw(function, |state| {
            ffi::lua_pushlightuserdata(state, key(&CALL));
            ffi::lua_insert(state, 1);
            ffi::lua_rawset(state, ffi::LUA_REGISTRYINDEX);
        })
    }
}

/// The state that the hook looks at. It must live as long as the interpreter.
pub fn set_run(lua: &Lua, run: *const Run) -> Result<()> {
    unsafe {
        lua.exec_raw((), |state| {
            ffi::lua_pushlightuserdata(state, key(&RUN));
            ffi::lua_pushlightuserdata(state, run.cast_mut().cast());
            ffi::lua_rawset(state, ffi::LUA_REGISTRYINDEX);
        })
    }
}

/// A C function as a Lua function.
fn plain(lua: &Lua, function: ffi::lua_CFunction) -> Result<Function> {
    unsafe { lua.create_c_function(function) }
}

/// A C function that has another function to work with.
fn guard(lua: &Lua, original: Function, guard: ffi::lua_CFunction) -> Result<Function> {
    unsafe { lua.exec_raw(original, |state| ffi::lua_pushcclosure(state, guard, 1)) }
}

/// A C function that has two other functions to work with.
fn pair(lua: &Lua, first: Function, second: Function, function: ffi::lua_CFunction) -> Result<Function> {
    unsafe { lua.exec_raw((first, second), |state| ffi::lua_pushcclosure(state, function, 2)) }
}

/// Replaces functions of Lua's own libraries by guarded ones.
pub fn guard_libraries(lua: &Lua, globals: &Table, handler: &Function) -> Result<()> {
    unsafe {
        lua.exec_raw::<()>((), |state| {
            for place in [&PROXIES, &SHOWN] {
                ffi::lua_pushlightuserdata(state, key(place));
                ffi::lua_newtable(state);
                ffi::lua_rawset(state, ffi::LUA_REGISTRYINDEX);
            }
        })?;
    }
    let table: Table = globals.get("table")?;
    let string: Table = globals.get("string")?;
    for name in ["find", "match", "gmatch", "gfind", "gsub"] {
        string.raw_set(name, guard(lua, string.get(name)?, matched)?)?;
    }
    let coroutine: Table = globals.get("coroutine")?;
    let resume = guard(lua, coroutine.get("resume")?, resumed)?;
    coroutine.raw_set("wrap", pair(lua, coroutine.get("create")?, resume.clone(), wrap)?)?;
    coroutine.raw_set("resume", resume)?;
    // `remove` and `sort` find nothing in the empty table.
    table.raw_set("insert", guard(lua, table.get("insert")?, written)?)?;
    for name in ["foreach", "foreachi", "maxn"] {
        table.raw_set(name, guard(lua, table.get(name)?, read)?)?;
    }
    for name in ["rawset", "setmetatable"] {
        globals.raw_set(name, guard(lua, globals.get(name)?, written)?)?;
    }
    for name in ["next", "rawget"] {
        globals.raw_set(name, guard(lua, globals.get(name)?, read)?)?;
    }
    globals.raw_set("getmetatable", guard(lua, globals.get("getmetatable")?, get_metatable)?)?;
    globals.raw_set("pairs", guard(lua, globals.get("next")?, pairs)?)?;
    globals.raw_set("pcall", plain(lua, protected_call)?)?;
    globals.raw_set("unpack", plain(lua, unpack)?)?;
    globals.raw_set("loadstring", plain(lua, load_string)?)?;
    globals.raw_set("load", guard(lua, handler.clone(), load)?)
}

/// Puts an empty table in front of `real`. `shown` is what `getmetatable` tells of it.
pub fn protect(lua: &Lua, real: Table, shown: Option<Table>) -> Result<Table> {
    let proxy = lua.create_table()?;
    let metatable = lua.create_table()?;
    metatable.raw_set("__index", &real)?;
    metatable.raw_set("__newindex", plain(lua, refuse_write)?)?;
    proxy.set_metatable(Some(metatable))?;
    unsafe {
        lua.exec_raw::<()>((&proxy, real, shown), |state| {
            for (place, value) in [(&PROXIES, 2), (&SHOWN, 3)] {
                push_registered(state, place);
                ffi::lua_pushvalue(state, 1);
                ffi::lua_pushvalue(state, value);
                ffi::lua_rawset(state, -3);
                ffi::lua_settop(state, 3);
            }
            ffi::lua_settop(state, 0);
        })?;
    }
    Ok(proxy)
}

/// Raises the error for a global that does not exist.
pub fn missing_global(lua: &Lua) -> Result<Function> {
    plain(lua, refuse_read)
}

/// The metatable of all strings.
pub fn string_metatable(lua: &Lua) -> Result<Table> {
    unsafe {
        lua.exec_raw("", |state| {
            ffi::lua_getmetatable(state, -1);
            ffi::lua_remove(state, -2);
        })
    }
}

/// Compiles source text: a function, or nothing and an error line.
pub fn loader(lua: &Lua) -> Result<Function> {
    plain(lua, load_string)
}

/// What makes an error table of an error.
pub fn handler(lua: &Lua, tostring: Function) -> Result<Function> {
    guard(lua, tostring, handle_error)
}

/// Calls a function under the hook: status (0 for success) and result, or the error as the handler leaves it.
pub fn runner(lua: &Lua, handler: &Function) -> Result<Function> {
    guard(lua, handler.clone(), run)
}

fn key(place: &'static u8) -> *mut c_void {
    addr_of!(*place).cast_mut().cast()
}

unsafe fn push_registered(state: *mut lua_State, place: &'static u8) {
    unsafe {
        ffi::lua_pushlightuserdata(state, key(place));
        ffi::lua_rawget(state, ffi::LUA_REGISTRYINDEX);
    }
}

unsafe fn push_bytes(state: *mut lua_State, bytes: &[u8]) {
    unsafe {
        ffi::lua_pushlstring(state, bytes.as_ptr().cast(), bytes.len());
    }
}

/// Raises the string on top of the stack with the place of the calling function in front.
unsafe fn raise_line(state: *mut lua_State) -> c_int {
    unsafe {
        ffi::luaL_where(state, 1);
        ffi::lua_insert(state, -2);
        ffi::lua_concat(state, 2);
        ffi::lua_error(state)
    }
}

/// Pushes the real table behind the protected one at `index`, if it is one.
unsafe fn push_real(state: *mut lua_State, index: c_int) -> bool {
    unsafe {
        if ffi::lua_type(state, index) != ffi::LUA_TTABLE {
            return false;
        }
        push_registered(state, &PROXIES);
        ffi::lua_pushvalue(state, index);
        ffi::lua_rawget(state, -2);
        ffi::lua_remove(state, -2);
        let is_protected = ffi::lua_type(state, -1) == ffi::LUA_TTABLE;
        if !is_protected {
            ffi::lua_settop(state, -2);
        }
        is_protected
    }
}

/// Runs the guarded function in this very frame, so that its errors name the caller's place.
unsafe fn original(state: *mut lua_State) -> c_int {
    unsafe {
        match ffi::lua_tocfunction(state, ffi::lua_upvalueindex(1)) {
            Some(function) => function(state),
            None => 0,
        }
    }
}

unsafe extern "C-unwind" fn bridged(state: *mut lua_State) -> c_int {
    unsafe {
        let arguments = ffi::lua_gettop(state);
        if arguments > ARGUMENTS_MAX {
            push_bytes(state, b"too many arguments");
            raise_line(state);
        }
        ffi::lua_pushvalue(state, ffi::lua_upvalueindex(1));
        ffi::lua_insert(state, 1);
        ffi::lua_call(state, arguments, ffi::LUA_MULTRET);
        match ffi::lua_tointeger(state, 1) {
            LINE => {
                ffi::lua_settop(state, 2);
                raise_line(state)
            }
            RAISE => {
                ffi::lua_settop(state, 2);
                ffi::lua_error(state)
            }
            ARGUMENT => {
                let number = ffi::lua_tointeger(state, 2);
                ffi::luaL_argerror(state, number as c_int, ffi::lua_tolstring(state, 3, std::ptr::null_mut()))
            }
            _ => ffi::lua_gettop(state) - 1,
        }
    }
}

/// Adds an argument to the words of a command, unless it is none. Words go straight to Rust: there may be thousands.
/// Nothing in here raises an error.
unsafe fn add_word(state: *mut lua_State, index: c_int, run: &Run) -> bool {
    unsafe {
        match ffi::lua_type(state, index) {
            ffi::LUA_TNUMBER => run.add_word(number_word(ffi::lua_tonumber(state, index)).into()),
            ffi::LUA_TSTRING => {
                let mut length = 0;
                let bytes = ffi::lua_tolstring(state, index, &mut length);
                run.add_word(Bytes::copy_from_slice(std::slice::from_raw_parts(bytes.cast(), length)));
            }
            _ => return false,
        }
        true
    }
}

unsafe extern "C-unwind" fn commanded(state: *mut lua_State) -> c_int {
    unsafe {
        let arguments = ffi::lua_gettop(state);
        push_registered(state, &CALL);
        push_registered(state, &RUN);
        let run = ffi::lua_touserdata(state, -1).cast::<Run>();
        if run.is_null() || ffi::lua_type(state, -2) != ffi::LUA_TFUNCTION {
            push_bytes(state, NO_RUN);
            ffi::lua_error(state);
        }
        drop((*run).take_words());
        let mut complete = 1;
        for index in 1..=arguments {
            if !add_word(state, index, &*run) {
                complete = 0;
                break;
            }
        }
        ffi::lua_settop(state, -2);
        ffi::lua_insert(state, 1);
        ffi::lua_settop(state, 1);
        ffi::lua_pushboolean(state, complete);
        ffi::lua_call(state, 1, 2);
        let raises = ffi::lua_toboolean(state, ffi::lua_upvalueindex(1)) != 0;
        if ffi::lua_tointeger(state, 1) == RAISE && raises { ffi::lua_error(state) } else { 1 }
    }
}

unsafe extern "C-unwind" fn written(state: *mut lua_State) -> c_int {
    unsafe {
        if push_real(state, 1) {
            push_bytes(state, READ_ONLY);
            ffi::lua_error(state);
        }
        original(state)
    }
}

unsafe extern "C-unwind" fn read(state: *mut lua_State) -> c_int {
    unsafe {
        if push_real(state, 1) {
            ffi::lua_replace(state, 1);
        }
        original(state)
    }
}

unsafe extern "C-unwind" fn get_metatable(state: *mut lua_State) -> c_int {
    unsafe {
        if push_real(state, 1) {
            push_registered(state, &SHOWN);
            ffi::lua_pushvalue(state, 1);
            ffi::lua_rawget(state, -2);
            return 1;
        }
        original(state)
    }
}

/// Its upvalue is the guarded `next`, which sees through a protected table.
unsafe extern "C-unwind" fn pairs(state: *mut lua_State) -> c_int {
    unsafe {
        ffi::luaL_checktype(state, 1, ffi::LUA_TTABLE);
        ffi::lua_pushvalue(state, ffi::lua_upvalueindex(1));
        ffi::lua_pushvalue(state, 1);
        ffi::lua_pushnil(state);
        3
    }
}

unsafe extern "C-unwind" fn refuse_write(state: *mut lua_State) -> c_int {
    unsafe {
        push_bytes(state, READ_ONLY);
        raise_line(state)
    }
}

unsafe extern "C-unwind" fn refuse_read(state: *mut lua_State) -> c_int {
    unsafe {
        if ffi::lua_isstring(state, 2) == 0 {
            push_bytes(state, b"Second argument to luaProtectedTableError must be a string or number");
            return raise_line(state);
        }
        push_bytes(state, b"Script attempted to access nonexistent global variable '");
        // As C prints it: up to the first NUL.
        ffi::lua_pushstring(state, ffi::lua_tolstring(state, 2, std::ptr::null_mut()));
        push_bytes(state, b"'");
        ffi::lua_concat(state, 3);
        raise_line(state)
    }
}

/// `pcall`, which gives the text of an error table of Redis instead of the table.
unsafe extern "C-unwind" fn protected_call(state: *mut lua_State) -> c_int {
    unsafe {
        ffi::luaL_checkany(state, 1);
        let arguments = ffi::lua_gettop(state) - 1;
        ffi::lua_pushboolean(state, 1);
        ffi::lua_insert(state, 1);
        if ffi::lua_pcall(state, arguments, ffi::LUA_MULTRET, 0) == ffi::LUA_OK {
            return ffi::lua_gettop(state);
        }
        if ffi::lua_type(state, 2) == ffi::LUA_TTABLE {
            push_bytes(state, b"err");
            ffi::lua_rawget(state, 2);
            if ffi::lua_isstring(state, -1) != 0 {
                ffi::lua_replace(state, 2);
            }
        }
        ffi::lua_pushboolean(state, 0);
        ffi::lua_replace(state, 1);
        ffi::lua_settop(state, 2);
        2
    }
}

/// Functions that match patterns: the matcher's recursion is as deep as a pattern has repetitions.
unsafe extern "C-unwind" fn matched(state: *mut lua_State) -> c_int {
    unsafe {
        if ffi::lua_type(state, 2) == ffi::LUA_TSTRING {
            let mut length = 0;
            let pattern = ffi::lua_tolstring(state, 2, &mut length);
            let pattern = std::slice::from_raw_parts(pattern.cast::<u8>(), length);
            if pattern.iter().filter(|byte| b"*+-?".contains(byte)).count() > REPETITIONS_MAX {
                push_bytes(state, b"pattern too complex");
                raise_line(state);
            }
        }
        original(state)
    }
}

/// `coroutine.resume`. Each coroutine counts its own calls of C: unless somebody counts coroutines, too, those that
/// resume each other exhaust the thread's stack.
unsafe extern "C-unwind" fn resumed(state: *mut lua_State) -> c_int {
    unsafe {
        if ffi::lua_type(state, 1) != ffi::LUA_TTHREAD {
            return original(state);
        }
        push_registered(state, &RUN);
        let run = ffi::lua_touserdata(state, -1).cast::<Run>();
        ffi::lua_settop(state, -2);
        if run.is_null() || !(*run).enter() {
            ffi::lua_pushboolean(state, 0);
            push_bytes(state, b"C stack overflow");
            return 2;
        }
        // It raises no errors: they are its results.
        let results = original(state);
        (*run).leave();
        results
    }
}

/// `coroutine.wrap`: its upvalues are `coroutine.create` and the guarded `coroutine.resume`.
unsafe extern "C-unwind" fn wrap(state: *mut lua_State) -> c_int {
    unsafe {
        if ffi::lua_type(state, 1) != ffi::LUA_TFUNCTION || ffi::lua_iscfunction(state, 1) != 0 {
            ffi::luaL_argerror(state, 1, c"Lua function expected".as_ptr());
        }
        ffi::lua_settop(state, 1);
        ffi::lua_pushvalue(state, ffi::lua_upvalueindex(1));
        ffi::lua_insert(state, 1);
        ffi::lua_call(state, 1, 1);
        ffi::lua_pushvalue(state, ffi::lua_upvalueindex(2));
        ffi::lua_pushcclosure(state, wrapped, 2);
        1
    }
}

/// What `coroutine.wrap` returns: its upvalues are the coroutine and `coroutine.resume`.
unsafe extern "C-unwind" fn wrapped(state: *mut lua_State) -> c_int {
    unsafe {
        let arguments = ffi::lua_gettop(state);
        ffi::lua_pushvalue(state, ffi::lua_upvalueindex(2));
        ffi::lua_insert(state, 1);
        ffi::lua_pushvalue(state, ffi::lua_upvalueindex(1));
        ffi::lua_insert(state, 2);
        ffi::lua_call(state, arguments + 1, ffi::LUA_MULTRET);
        if ffi::lua_toboolean(state, 1) != 0 {
            return ffi::lua_gettop(state) - 1;
        }
        ffi::lua_settop(state, 2);
        if ffi::lua_isstring(state, 2) != 0 { raise_line(state) } else { ffi::lua_error(state) }
    }
}

/// `unpack` with a count that cannot overflow (CVE-2025-46817).
unsafe extern "C-unwind" fn unpack(state: *mut lua_State) -> c_int {
    unsafe {
        ffi::luaL_checktype(state, 1, ffi::LUA_TTABLE);
        let first = ffi::luaL_optinteger(state, 2, 1) as i32;
        let last = if ffi::lua_type(state, 3) <= ffi::LUA_TNIL {
            i32::try_from(ffi::lua_objlen(state, 1)).unwrap_or(i32::MAX)
        } else {
            ffi::luaL_checkinteger(state, 3) as i32
        };
        if first > last {
            return 0;
        }
        let count = i64::from(last) - i64::from(first) + 1;
        let room = c_int::try_from(count).unwrap_or(c_int::MAX);
        if i64::from(room) != count || ffi::lua_checkstack(state, room) == 0 {
            push_bytes(state, b"too many results to unpack");
            return raise_line(state);
        }
        for index in first..=last {
            ffi::lua_rawgeti(state, 1, index as _);
        }
        room
    }
}

/// `loadstring` of source text only: what looks like bytecode is read as text, and is none.
unsafe extern "C-unwind" fn load_string(state: *mut lua_State) -> c_int {
    unsafe {
        ffi::luaL_checkstring(state, 1);
        let name = if ffi::lua_type(state, 2) <= ffi::LUA_TNIL { 1 } else { 2 };
        // The name lies on the stack as the parser will intern it: garbage collection while parsing cannot free it
        // (CVE-2025-49844).
        let name = ffi::luaL_checkstring(state, name);
        ffi::lua_settop(state, 2);
        ffi::lua_pushstring(state, name);
        load_text(state, 1, 3)
    }
}

/// Compiles the string at `source`, named by the string at `name`.
unsafe fn load_text(state: *mut lua_State, source: c_int, name: c_int) -> c_int {
    unsafe {
        let mut length = 0;
        let mut text = ffi::lua_tolstring(state, source, &mut length);
        if length > 0 && *text.cast::<u8>() == ffi::LUA_SIGNATURE[0] {
            // A blank in front makes text of it.
            push_bytes(state, b" ");
            ffi::lua_pushvalue(state, source);
            ffi::lua_concat(state, 2);
            text = ffi::lua_tolstring(state, -1, &mut length);
        }
        let name: *const c_char = ffi::lua_tolstring(state, name, std::ptr::null_mut());
        if ffi::luaL_loadbuffer(state, text, length, name) == ffi::LUA_OK {
            return 1;
        }
        ffi::lua_pushnil(state);
        ffi::lua_insert(state, -2);
        2
    }
}

/// `load`: the pieces that a function returns, put together first. As in Redis, an error of that function has passed
/// the handler of errors, the upvalue here.
unsafe extern "C-unwind" fn load(state: *mut lua_State) -> c_int {
    unsafe {
        ffi::luaL_checktype(state, 1, ffi::LUA_TFUNCTION);
        let name = if ffi::lua_type(state, 2) <= ffi::LUA_TNIL {
            c"=(load)".as_ptr()
        } else {
            ffi::luaL_checkstring(state, 2)
        };
        ffi::lua_settop(state, 2);
        ffi::lua_pushstring(state, name);
        push_bytes(state, b"");
        loop {
            ffi::lua_pushvalue(state, ffi::lua_upvalueindex(1));
            ffi::lua_pushvalue(state, 1);
            let mut failed = ffi::lua_pcall(state, 0, 1, 5) != ffi::LUA_OK;
            ffi::lua_remove(state, 5);
            let ends = !failed && ffi::lua_type(state, -1) == ffi::LUA_TNIL;
            if !failed && !ends && ffi::lua_isstring(state, -1) == 0 {
                ffi::lua_pushvalue(state, ffi::lua_upvalueindex(1));
                ffi::luaL_where(state, 1);
                push_bytes(state, b"reader function must return a string");
                ffi::lua_concat(state, 2);
                ffi::lua_call(state, 1, 1);
                failed = true;
            }
            if failed {
                ffi::lua_pushnil(state);
                ffi::lua_insert(state, -2);
                return 2;
            }
            let mut length = 0;
            if !ends {
                ffi::lua_tolstring(state, -1, &mut length);
            }
            if length == 0 {
                ffi::lua_settop(state, 4);
                return load_text(state, 4, 3);
            }
            ffi::lua_concat(state, 2);
        }
    }
}

/// Makes an error table of whatever was raised, with the place in the script. It runs as the handler of `lua_pcall`:
/// the stack is still that of the error.
unsafe extern "C-unwind" fn handle_error(state: *mut lua_State) -> c_int {
    unsafe {
        ffi::lua_settop(state, 1);
        if push_real(state, 1) || ffi::lua_type(state, 1) != ffi::LUA_TTABLE {
            ffi::lua_settop(state, 1);
            push_bytes(state, b"ERR ");
            ffi::lua_pushvalue(state, ffi::lua_upvalueindex(1));
            ffi::lua_pushvalue(state, 1);
            ffi::lua_call(state, 1, 1);
            if ffi::lua_isstring(state, -1) == 0 {
                ffi::lua_settop(state, -2);
                push_bytes(state, b"(error object is not a string)");
            }
            ffi::lua_concat(state, 2);
            ffi::lua_newtable(state);
            push_bytes(state, b"err");
            ffi::lua_pushvalue(state, 2);
            ffi::lua_rawset(state, 3);
            ffi::lua_replace(state, 1);
            ffi::lua_settop(state, 1);
        }
        let mut place: ffi::lua_Debug = std::mem::zeroed();
        // An error of a C function is one of the line that called it.
        for level in 1..=2 {
            if ffi::lua_getstack(state, level, &mut place) == 0 {
                return 1;
            }
            ffi::lua_getinfo(state, c"Sl".as_ptr(), &mut place);
            if *place.what.cast::<u8>() != b'C' {
                break;
            }
        }
        push_bytes(state, b"source");
        ffi::lua_pushstring(state, place.source);
        ffi::lua_rawset(state, 1);
        push_bytes(state, b"line");
        ffi::lua_pushinteger(state, place.currentline as _);
        ffi::lua_rawset(state, 1);
        1
    }
}

unsafe extern "C-unwind" fn run(state: *mut lua_State) -> c_int {
    unsafe {
        let arguments = ffi::lua_gettop(state) - 1;
        ffi::lua_pushvalue(state, ffi::lua_upvalueindex(1));
        ffi::lua_insert(state, 1);
        ffi::lua_sethook(state, Some(look), ffi::LUA_MASKCOUNT, HOOK_INSTRUCTIONS);
        let status = ffi::lua_pcall(state, arguments, 1, 1);
        ffi::lua_sethook(state, None, 0, 0);
        ffi::lua_pushinteger(state, status as _);
        ffi::lua_insert(state, -2);
        2
    }
}

/// The hook: ends a script that was killed. From then on every line is an error, so that no `pcall` survives.
unsafe extern "C-unwind" fn look(state: *mut lua_State, _: *mut ffi::lua_Debug) {
    unsafe {
        push_registered(state, &RUN);
        let run = ffi::lua_touserdata(state, -1).cast::<Run>();
        ffi::lua_settop(state, -2);
        if run.is_null() || !(*run).looks() {
            return;
        }
        ffi::lua_sethook(state, Some(look), ffi::LUA_MASKLINE, 0);
        ffi::lua_newtable(state);
        push_bytes(state, b"err");
        push_bytes(state, b"ERR Script killed by user with SCRIPT KILL...");
        ffi::lua_rawset(state, -3);
        ffi::lua_error(state);
    }
}
