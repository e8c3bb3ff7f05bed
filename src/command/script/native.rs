//! The functions of the sandbox that must be C functions: they raise errors as Lua's own do, with the place in the
//! script that called them, and they see through protected tables. With [`guards`](super::guards) the
//! only file here with unsafe code.
//!
//! A protected table is an empty one in front of the real one: reading falls through, writing is an error. Redis marks
//! tables as read-only inside its patched Lua; an unpatched one has no such mark, so the few functions that would
//! bypass metamethods (`rawset`, `table.insert`, `next` ...) are guarded ([`guards`](super::guards)).
//!
//! Invariant: an error leaves these frames by `longjmp`, so no value with a destructor lives in them. Whatever allocates
//! is in a Rust function below a [`bridge`], which has returned before an error is raised.

use std::ffi::{c_int, c_void};
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
pub(super) const READ_ONLY: &[u8] = b"Attempt to modify a readonly table";
const NO_RUN: &[u8] = b"redis.call/pcall can only be called inside a script invocation";

// Their addresses are keys of Lua's registry.
pub(super) static PROXIES: u8 = 1;
pub(super) static SHOWN: u8 = 2;
pub(super) static RUN: u8 = 3;
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
pub(super) fn plain(lua: &Lua, function: ffi::lua_CFunction) -> Result<Function> {
    unsafe { lua.create_c_function(function) }
}

/// A C function that has another function to work with.
pub(super) fn guard(lua: &Lua, original: Function, guard: ffi::lua_CFunction) -> Result<Function> {
    unsafe { lua.exec_raw(original, |state| ffi::lua_pushcclosure(state, guard, 1)) }
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

/// What makes an error table of an error.
pub fn handler(lua: &Lua, tostring: Function) -> Result<Function> {
    guard(lua, tostring, handle_error)
}

/// Calls a function under the hook: status (0 for success) and result, or the error as the handler leaves it.
pub fn runner(lua: &Lua, handler: &Function) -> Result<Function> {
    guard(lua, handler.clone(), run)
}

pub(super) fn key(place: &'static u8) -> *mut c_void {
    addr_of!(*place).cast_mut().cast()
}

pub(super) unsafe fn push_registered(state: *mut lua_State, place: &'static u8) {
    unsafe {
        ffi::lua_pushlightuserdata(state, key(place));
        ffi::lua_rawget(state, ffi::LUA_REGISTRYINDEX);
    }
}

pub(super) unsafe fn push_bytes(state: *mut lua_State, bytes: &[u8]) {
    unsafe {
        ffi::lua_pushlstring(state, bytes.as_ptr().cast(), bytes.len());
    }
}

/// Raises the string on top of the stack with the place of the calling function in front.
pub(super) unsafe fn raise_line(state: *mut lua_State) -> c_int {
    unsafe {
        ffi::luaL_where(state, 1);
        ffi::lua_insert(state, -2);
        ffi::lua_concat(state, 2);
        ffi::lua_error(state)
    }
}

/// Pushes the real table behind the protected one at `index`, if it is one.
pub(super) unsafe fn push_real(state: *mut lua_State, index: c_int) -> bool {
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
