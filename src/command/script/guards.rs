//! Lua's own functions where they need a guard: those that would bypass the protection of tables, load bytecode, or run
//! out of the thread's stack. What is right with them runs the original, in the same frame, so that errors are those of
//! Lua itself.
//!
//! Invariant: as in [`native`](super::native), no value with a destructor lives in a frame that an error may leave.

use std::ffi::{c_char, c_int};

use mlua::ffi::{self, lua_State};
use mlua::{Function, Lua, Result, Table};

use super::native::{
    PROXIES, READ_ONLY, RUN, SHOWN, guard, key, plain, push_bytes, push_real, push_registered, raise_line,
};
use super::state::Run;

/// Repetitions in a pattern.
const REPETITIONS_MAX: usize = 1_000;

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

/// Compiles source text: a function, or nothing and an error line.
pub fn loader(lua: &Lua) -> Result<Function> {
    plain(lua, load_string)
}

/// A C function that has two other functions to work with.
fn pair(lua: &Lua, first: Function, second: Function, function: ffi::lua_CFunction) -> Result<Function> {
    unsafe { lua.exec_raw((first, second), |state| ffi::lua_pushcclosure(state, function, 2)) }
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
