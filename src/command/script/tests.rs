//! Scripts as a whole: what no dialogue can show, and one test for each class of published holes.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use super::{Killed, Running, Scripts};
use crate::command::testing::Session;
use crate::command::{Call, Error, execute_encoded};
use crate::data::{Mode, Touched};
use crate::resp::{Protocol, Value};
use crate::store::{self, Order, Read, Records, Visit, Write};

fn eval(session: &mut Session, script: &str) -> String {
    session.run(&["EVAL", script, "0"])
}

#[track_caller]
fn check(dialogue: &[(&str, &str)]) {
    let mut session = Session::new();
    for (script, reply) in dialogue {
        assert_eq!(eval(&mut session, script), *reply, "{script}");
    }
}

/// The error line without the place at its end.
fn refusal(reply: &str) -> &str {
    reply.split(" script: ").next().unwrap_or(reply)
}

#[test]
fn numbers_are_words_as_in_redis_7_2() {
    let reads = |number: &str| format!("redis.call('set', 'k', {number}) return redis.call('get', 'k')");
    let mut session = Session::new();
    for (number, word) in [
        ("0.1", "0.1"),
        ("1e20", "1e+20"),
        ("1e22", "1e+22"),
        ("2^53", "9007199254740992"),
        ("-0.5", "-0.5"),
        ("1e15", "1000000000000000"),
        ("1/3", "0.3333333333333333"),
    ] {
        assert_eq!(eval(&mut session, &reads(number)), format!("${} {word}", word.len()), "{number}");
    }
}

#[test]
fn chance_is_another_in_every_run_and_that_of_the_keyspace() {
    let numbers = "return {math.random(1000), math.random(1000), math.random(1000)}";
    let mut drawn = Vec::new();
    for _ in 0..2 {
        let mut session = Session::new();
        let mut draw = || eval(&mut session, numbers);
        let first = [draw(), draw(), draw()];
        assert!(first[0] != first[1] && first[1] != first[2], "{first:?}");
        drawn.push(first);
    }
    assert_eq!(drawn[0], drawn[1], "the same keyspace, the same chance");
    check(&[
        ("math.randomseed(0) return {math.random(1000), math.random(1000), math.random(1000)}", "*3 :171 :750 :97"),
        ("math.randomseed(5) return math.random(1000)", ":525"),
    ]);
}

#[test]
fn words_of_a_session_that_do_not_depend_on_a_node() {
    check(&[
        ("return redis.call('asking')", "+OK"),
        ("return redis.call('readonly')", "+OK"),
        ("return redis.call('READWRITE')", "+OK"),
        ("return redis.call('cluster', 'keyslot', 'foo')", ":12182"),
        (
            "return redis.pcall('xread', 'BLOCK', 0, 'STREAMS', 's', 0).err",
            "$63 ERR xread command is not allowed with BLOCK option from scripts",
        ),
        (
            "return redis.pcall('XReadGroup', 'GROUP', 'g', 'c', 'BLOCK', 0, 'STREAMS', 's', '>').err",
            "$68 ERR XReadGroup command is not allowed with BLOCK option from scripts",
        ),
    ]);
    for words in ["'info'", "'lastsave'", "'slowlog', 'len'", "'wait', 0, 0", "'waitaof', 0, 0, 0", "'client', 'id'"] {
        let mut session = Session::new();
        let reply = eval(&mut session, &format!("return redis.call({words})"));
        assert_eq!(refusal(&reply), "-ERR This Redis command is not allowed from script", "{words}");
    }
}

#[test]
fn time_stands_still_and_work_is_counted() {
    check(&[
        ("local t = redis.call('time') for i = 1, 1e5 do end return t[1] == redis.call('time')[1]", ":1"),
        ("return redis.call('time')", "*2 $10 1700000000 $1 0"),
        ("local t = os.clock() for i = 1, 2e6 do end return os.clock() > t", ":1"),
        ("return next(os) == 'clock' and next(os, 'clock') == nil", ":1"),
        ("return {redis.REDIS_VERSION, redis.REDIS_VERSION_NUM}", "*2 $5 7.2.4 :459268"),
    ]);
}

#[test]
fn an_error_in_the_middle_keeps_what_was_written() {
    let mut session = Session::new();
    let reply = eval(&mut session, "redis.call('set', 'a', 1) redis.call('incr', 'a') error('stop')");
    assert_eq!(refusal(&reply), "-ERR user_script:1: stop");
    session.check(&[("GET a", "$1 2")]);
    assert!(session.world.touched.contains(&Touched::Key(0, "a".into())));
}

#[test]
fn a_script_is_stored_once_and_only_by_a_leader() {
    let mut session = Session::new();
    eval(&mut session, "return 1");
    let records = session.world.store.clone();
    assert_eq!(records.len(), 2, "the script and the order");
    eval(&mut session, "return 1");
    assert_eq!(session.world.store, records);
    session.world.mode = Mode::Local;
    for words in [
        &["EVAL", "return 2", "0"][..],
        &["EVAL_RO", "return 1", "0"],
        &["EVALSHA", "e0e1f9fabfc9d4800c877a703b823ac0578ff8db", "0"],
        &["SCRIPT", "LOAD", "return 2"],
        &["SCRIPT", "FLUSH"],
    ] {
        let args = words.iter().map(|word| Bytes::copy_from_slice(word.as_bytes())).collect();
        let call = Call::new(0, Protocol::Resp2, args);
        let scripts = Some(&mut session.scripts);
        let result = session.world.keys(|keys| execute_encoded(keys, scripts, &call, &mut BytesMut::new()));
        assert_eq!(result, Err(Error::NeedsLog), "{words:?}");
    }
    session.check(&[("SCRIPT EXISTS e0e1f9fabfc9d4800c877a703b823ac0578ff8db", "*1 :1")]);
    assert_eq!(session.world.store, records);
    session.world.mode = Mode::Leader;
    session.check(&[("FLUSHALL", "+OK"), ("DBSIZE", ":0")]);
    session.check(&[("EVALSHA e0e1f9fabfc9d4800c877a703b823ac0578ff8db 0", ":1")]);
    session.world.audit();
}

#[test]
fn keys_of_other_groups_are_refused() {
    let mut session = Session::new();
    let scripts = Some(&mut session.scripts);
    let args = ["EVAL", "return redis.call('set', 'foo', 1)", "0"].map(Bytes::from).to_vec();
    let call = Call::new(0, Protocol::Resp2, args);
    let mut out = BytesMut::new();
    session
        .world
        .keys(|keys| {
            // foo is in slot 12182.
            keys.slots = crate::base::SlotRange::new(0, 8191).unwrap();
            execute_encoded(keys, scripts, &call, &mut out)
        })
        .unwrap();
    let reply = String::from_utf8_lossy(&out).into_owned();
    assert_eq!(refusal(&reply), "-ERR Script attempted to access a non local key in a cluster node");
}

/// Nothing that a script does can be seen by the next one ("global pollution between scripts", CVE-2025-46818).
#[test]
fn nothing_is_left_for_the_next_script() {
    let mut session = Session::new();
    for script in [
        "x = 1",
        "_G.x = 1",
        "rawset(_G, 'x', 1)",
        "string.x = 1",
        "rawset(string, 'format', 1)",
        "table.insert(string, 1)",
        "setmetatable(string, {__index = {}})",
        "setmetatable(_G, {__index = {}})",
        "getmetatable('').__index = {}",
        "getmetatable('').__add = function() end",
        "rawset(getmetatable(''), '__add', function() end)",
        "getmetatable(_G).__index = nil",
        "setmetatable(getmetatable(_G), {})",
        "for k, v in pairs(redis) do redis[k] = nil end",
        "for k, v in pairs(_G) do rawset(_G, k, nil) end",
        "local next, t = pairs(string) t.x = 1",
        "local next, t = ipairs(string) t.x = 1",
        "cjson.null = 1",
        "KEYS = {}",
        "redis.LOG_DEBUG = 9",
        "math.random = nil",
    ] {
        let reply = eval(&mut session, script);
        let refused = refusal(&reply).ends_with("Attempt to modify a readonly table");
        let absent = reply.contains("attempt to index") || reply.contains("nonexistent");
        assert!(refused || absent, "{script}: {reply}");
    }
    for (script, reply) in [
        ("return ('%d'):format(3)", "$1 3"),
        ("return tostring(rawget(_G, 'x'))", "$3 nil"),
        ("return tostring(string.x) .. tostring(rawget(string, 1))", "$6 nilnil"),
        ("cjson.encode_max_depth(1) cjson.encode_number_precision(3) collectgarbage('stop') return 1", ":1"),
        ("return cjson.encode({{1/3}})", "$20 [[0.33333333333333]]"),
        ("return pcall(function() return 'x' + 1 end) and 1 or 0", ":0"),
        ("local t = {} for k in pairs(_G) do t[#t + 1] = k end return #t", ":35"),
    ] {
        assert_eq!(eval(&mut session, script), reply, "{script}");
    }
    assert!(eval(&mut session, "return newproxy").contains("nonexistent"), "its finalizers would outlive the script");
    assert_eq!(session.run(&["EVAL", "return KEYS[1]", "1", "k"]), "$1 k");
    assert_eq!(eval(&mut session, "return #KEYS + #ARGV"), ":0");
}

/// Bytecode is read as text (the class of CVE-2015-4335), from wherever it comes.
#[test]
fn bytecode_is_not_run() {
    check(&[
        ("local code = string.dump(function() return 1 end) return type(loadstring(code))", "$3 nil"),
        ("local code = string.dump(function() return 1 end) return type(loadstring(code, '=x'))", "$3 nil"),
        (
            "local code, sent = string.dump(function() return 1 end) \
             local piece = function() if not sent then sent = true return code end end return type(load(piece))",
            "$3 nil",
        ),
        (
            "local code, at = string.dump(function() return 1 end), 0 \
             local piece = function() at = at + 1 return code:sub(at, at) end return type(load(piece))",
            "$3 nil",
        ),
    ]);
    let mut session = Session::new();
    assert!(eval(&mut session, "\x1bLuaQ").starts_with("-ERR Error compiling script"));
    assert!(session.run(&["SCRIPT", "LOAD", "\x1bLuaQ"]).starts_with("-ERR Error compiling script"));
}

/// A chunk's name is held while the chunk is parsed (CVE-2025-49844): the parser collects garbage on the way.
#[test]
fn names_of_chunks_outlive_the_parser() {
    let source = "local source = {} for i = 1, 3000 do source[i] = 'local function f' .. i .. '() return \"' .. i .. \
                  '\" end' end source = 'do ' .. table.concat(source, ' end do ', 1, 180) .. ' end' \
                  for i = 1, 50 do local name = '@' .. i .. '\\0' .. ('x'):rep(1000) \
                  local ok, err = loadstring(source .. ' bad bad', name) assert(err:find('^' .. i .. ':'), err) end \
                  return 1";
    check(&[(source, ":1"), ("collectgarbage() return 1", ":1")]);
}

/// `unpack`, `select`, `string.rep` and the like with counts at the ends of their range (CVE-2025-46817).
#[test]
fn counts_do_not_overflow() {
    let mut session = Session::new();
    for script in [
        "return {unpack({}, 0, 2147483647)}",
        "return {unpack({}, -2147483648, 2147483647)}",
        "return {unpack({}, 2147483647, -2147483648 + 2^32)}",
        "return {unpack({}, 1, 1e18)}",
        "return {unpack({1}, -1e300, 1e300)}",
        "return select(-1)",
        "return select(-2147483648, 1)",
        "return ('x'):rep(2^31)",
        "return ('x'):rep(1e300)",
        "return table.concat({}, 'x', 1, 2^31)",
        "return string.format('%99999d', 1)",
        "return ('x'):sub(-2^31, 2^31 - 1):rep(2^31 - 1)",
        "return cmsgpack.pack(unpack({}, 1, 7000))",
        "return bit.bor(unpack({}, 1, 7000))",
        "return redis.log(unpack({}, 1, 7000))",
    ] {
        let reply = eval(&mut session, script);
        assert!(["-", "*", "$0"].iter().any(|kind| reply.starts_with(kind)), "{script}: {reply}");
    }
    assert_eq!(
        eval(&mut session, "local t = {} for i = 1, 7900 do t[i] = 'k' .. i end return redis.call('del', unpack(t))"),
        ":0"
    );
}

#[test]
fn an_unknown_argument_is_shown_with_its_end() {
    let mut session = Session::new();
    assert_eq!(session.run(&["FUNCTION", "LIST", "x\r\n"]), "-ERR Unknown argument x  ");
}

/// The libraries do not read or write beyond their strings, nor allocate what a length only says (CVE-2018-11218 and
/// CVE-2018-11219, CVE-2020-14147, CVE-2022-24834).
#[test]
fn libraries_stay_within_their_bounds() {
    let mut session = Session::new();
    for script in [
        "return struct.unpack('i4294967296', 'x')",
        "return struct.unpack('c2147483647', 'x')",
        "return struct.unpack('bc0', '\\127x')",
        "return struct.unpack('dc0', struct.pack('d', -1) .. 'abc')",
        "return struct.unpack('dc0', struct.pack('d', 0/0) .. 'abc')",
        "return struct.unpack('dc0', struct.pack('d', 1e300) .. 'abc')",
        "return struct.unpack('b', 'x', 2^31)",
        "return struct.unpack('b', 'x', -2^63)",
        "return struct.unpack('!8 b i8', 'x', 2^53)",
        "return struct.unpack('s', 'x', 9)",
        "return struct.pack('c2147483647', 'x')",
        "return struct.pack('!99999999999999i', 1)",
        "return struct.unpack(('b'):rep(5000), ('x'):rep(5000))",
        "return cmsgpack.unpack('\\219\\255\\255\\255\\255')",
        "return cmsgpack.unpack('\\221\\127\\255\\255\\255')",
        "return cmsgpack.unpack(('\\145'):rep(100000))",
        "return cmsgpack.unpack(('\\1'):rep(100000))",
        "return cmsgpack.unpack_one('\\1', 2^53)",
        "return cmsgpack.unpack_limit('\\1', 2^63, 2^63)",
        "return cjson.decode(('['):rep(100000))",
        "return cjson.decode(('{\"a\":'):rep(100000))",
        "return cjson.decode('\"\\\\u')",
        "local t = {} for i = 1, 100000 do t = {t} end return cjson.encode(t)",
        "cjson.encode_max_depth(2147483647) local t = {} t[1] = t return cjson.encode(t)",
        "return cjson.encode({[2147483647] = 1})",
        "cjson.encode_sparse_array(false, 0) return cjson.encode({[2^53] = 1}):sub(1, 0) + 1",
        "return bit.tohex(1, 2^31):rep(-1) + 1",
    ] {
        let reply = eval(&mut session, script);
        assert!(reply.starts_with("-ERR "), "{script}: {}", &reply[..reply.len().min(200)]);
    }
    // Written as nil where tables nest deeper than a MessagePack reader would follow.
    assert!(eval(&mut session, "local t = {} t[1] = t return #cmsgpack.pack(t)").starts_with(':'));
}

#[test]
fn a_reply_that_holds_itself_ends() {
    let mut session = Session::new();
    assert!(eval(&mut session, "local t = {} t[1] = t return t").contains("-ERR reached lua stack limit"));
    let wide = "local t = {1} for i = 1, 100 do t = {t, t, t, t} end return t";
    assert_eq!(eval(&mut session, wide), "-ERR reply exceeds the output buffer limit");
    let map = "local t = {} t.map = {a = t} return t";
    assert!(eval(&mut session, map).contains("reached lua stack limit"));
}

#[test]
fn coroutines_do_what_they_do_in_lua() {
    check(&[
        (
            "local f = coroutine.wrap(function(...) local a = coroutine.yield(...) return a + 1 end) return {f(1, 2), f(5)}",
            "*2 :1 :6",
        ),
        ("local c = coroutine.create(function() error('x', 0) end) return {coroutine.resume(c)}", "*2 $-1 $1 x"),
        ("local c = coroutine.create(function() error('x', 0) end) return select(2, coroutine.resume(c))", "$1 x"),
        ("local c = coroutine.create(function() end) coroutine.resume(c) return coroutine.status(c)", "$4 dead"),
        ("for i = 1, 1000 do coroutine.wrap(function() coroutine.yield() end)() end return 1", ":1"),
        (
            "for i = 1, 100 do pcall(coroutine.wrap(function() error('x') end)) end return coroutine.wrap(function() return 7 end)()",
            ":7",
        ),
    ]);
    let mut session = Session::new();
    let reply = eval(&mut session, "coroutine.wrap(function() error('x') end)()");
    assert_eq!(refusal(&reply), "-ERR user_script:1: user_script:1: x");
    assert_eq!(
        refusal(&eval(&mut session, "coroutine.wrap(1)")),
        "-ERR user_script:1: bad argument #1 to 'wrap' (Lua function expected)"
    );
    assert_eq!(
        refusal(&eval(&mut session, "coroutine.resume(1)")),
        "-ERR user_script:1: bad argument #1 to 'resume' (coroutine expected)"
    );
}

#[test]
fn memory_is_bounded_and_recovers() {
    let mut session = Session::new();
    for script in [
        "local t = {} while true do t[#t + 1] = ('x'):rep(1e6) .. #t end",
        "local s = 'x' while true do s = s .. s end",
        "return ('x'):rep(1e9)",
        "local t = {} while true do t[#t + 1] = {} end",
    ] {
        let reply = eval(&mut session, script);
        assert!(reply.contains("not enough memory"), "{script}: {}", &reply[..reply.len().min(200)]);
        assert_eq!(eval(&mut session, "return 1"), ":1");
    }
}

#[test]
fn stacks_are_bounded() {
    // As the threads of machines have it.
    let thread = std::thread::Builder::new().stack_size(crate::base::limits::MACHINE_STACK_BYTES);
    thread.spawn(exhaust_stacks).unwrap().join().unwrap();
}

fn exhaust_stacks() {
    let mut session = Session::new();
    for script in [
        "local function f() return 1 + f() end return f()",
        "local function f() return pcall(f) end return f()",
        "local t = setmetatable({}, {}) getmetatable(t).__index = function(t, k) return t[k] end return t.x",
        "return loadstring(('('):rep(10000))() ",
        "return (('x'):rep(300000)):find(('.-'):rep(300000) .. 'y')",
        "local co co = coroutine.wrap(function() return co() end) return co()",
        "local function f(n) return coroutine.wrap(f)(n + 1) end return f(1)",
        "local function f(n) if n == 150 then return coroutine.wrap(f)(0) end \
         local ok, e = pcall(f, n + 1) if not ok then error(e, 0) end return e end return f(0)",
        "local function f() return coroutine.resume(coroutine.create(f)) end return f()",
        "return (('x'):rep(3000)):gsub(('.?'):rep(3000), '')",
        "return ('x'):gsub('x', function() return ('x'):gsub('x', error) end)",
    ] {
        let reply = eval(&mut session, script);
        assert!(
            reply.starts_with("-ERR ") || reply.starts_with(':') || reply == "$-1" || reply == "*0",
            "{script}: {reply}"
        );
        assert_eq!(eval(&mut session, "return 1"), ":1");
    }
}

/// Runs an endless script and kills it while it loops.
fn kill(script: &'static str) -> (String, String) {
    let running = Arc::new(Running::default());
    let own = running.clone();
    let script = std::thread::spawn(move || {
        let mut session = Session::new();
        session.scripts = Scripts::new(own);
        let reply = eval(&mut session, script);
        assert_eq!(eval(&mut session, "return 1"), ":1", "the interpreter goes on");
        reply
    });
    let answer = loop {
        let answer = match running.kill(false).reply(false) {
            Value::Error(line) => String::from_utf8_lossy(&line).into_owned(),
            other => format!("{other:?}"),
        };
        if !answer.starts_with("NOTBUSY") {
            break answer;
        }
        std::thread::yield_now();
    };
    (answer, script.join().unwrap())
}

#[test]
fn a_killed_script_ends_whatever_it_catches() {
    for script in [
        "while true do end",
        "while true do pcall(function() while true do end end) end",
        "local co = coroutine.wrap(function() while true do end end) co()",
        "while true do pcall(redis.call, 'get', 'k') end",
        "while true do redis.pcall('get', 'k') end",
    ] {
        let (answer, reply) = kill(script);
        assert!(answer.contains("OK"), "{answer}");
        assert!(refusal(&reply).ends_with("Script killed by user with SCRIPT KILL..."), "{script}: {reply}");
    }
}

#[test]
fn a_script_that_wrote_is_not_killed() {
    let script = "redis.call('set', 'k', 1) for i = 1, 3e6 do end return redis.call('get', 'k')";
    let mut unkillable = false;
    for _ in 0..50 {
        let (answer, reply) = kill(script);
        // It may have been killed just before its write.
        unkillable |= answer.contains("UNKILLABLE");
        assert_eq!(answer.contains("UNKILLABLE"), reply == "$1 1", "{answer}: {reply}");
        if unkillable {
            return;
        }
    }
    panic!("it never was asked while it ran");
}

const LIBRARY: &str = "#!lua name=lib\nredis.register_function('f', function(keys) return keys[1] end)\n\
                       redis.register_function{function_name='Loop', callback=function() while true do end end}";

#[test]
fn libraries_survive_what_empties_databases_and_travel_as_bytes() {
    let mut session = Session::new();
    assert_eq!(session.run(&["FUNCTION", "LOAD", LIBRARY]), "$3 lib");
    session.check(&[
        ("FLUSHALL", "+OK"),
        ("FCALL F 1 k", "$1 k"),
        (
            "FUNCTION STATS",
            "*4 $14 running_script $-1 $7 engines *2 $3 LUA *4 $15 libraries_count :1 $15 functions_count :2",
        ),
    ]);
    let dump = crate::rdb::dump_functions([LIBRARY.as_bytes()].into_iter());
    assert_eq!(crate::rdb::load_functions(&dump), Ok(vec![Bytes::from(LIBRARY)]));
    for end in 0..dump.len() {
        assert!(crate::rdb::load_functions(&dump.slice(..end)).is_err(), "cut at {end}");
    }
    let huge = crate::rdb::sealed(b"\xf5\x81\xff\xff\xff\xff\xff\xff\xff\xff".to_vec(), 11);
    assert!(crate::rdb::load_functions(&huge).is_err());
    // A new interpreter, as after a restart.
    session.scripts = Scripts::new(Default::default());
    session.check(&[("FCALL f 1 k", "$1 k")]);
    session.world.audit();
}

#[test]
fn a_library_that_fills_the_memory_is_loaded_anew() {
    let mut session = Session::new();
    let library = "#!lua name=big\nlocal kept = {}\nredis.register_function('keep', function() \
                   kept[#kept + 1] = ('x'):rep(1e4):rep(1e3) .. #kept return #kept end)";
    session.run(&["FUNCTION", "LOAD", library]);
    let counts: Vec<String> = (0..20).map(|_| session.run(&["FCALL", "keep", "0"])).collect();
    assert!(counts.iter().filter(|count| *count == ":1").count() > 1, "{counts:?}");
    assert_eq!(eval(&mut session, "return 1"), ":1");
}

#[test]
fn a_payload_is_taken_as_a_whole_or_not_at_all() {
    let mut session = Session::new();
    session.run(&["FUNCTION", "LOAD", LIBRARY]);
    let before = session.world.store.clone();
    let good = "#!lua name=other\nredis.register_function('g', function() end)";
    for bad in ["#!lua name=bad\nbad bad", "#!lua name=bad\nredis.register_function('F', function() end)"] {
        for policy in ["APPEND", "REPLACE"] {
            let payload = crate::rdb::dump_functions([good, bad].iter().map(|code| code.as_bytes()));
            let args = vec!["FUNCTION".into(), "RESTORE".into(), payload, policy.into()];
            let (scripts, mut out) = (Some(&mut session.scripts), BytesMut::new());
            let call = Call::new(0, Protocol::Resp2, args);
            session.world.keys(|keys| execute_encoded(keys, scripts, &call, &mut out)).unwrap();
            assert!(out.starts_with(b"-ERR "), "{out:?}");
            assert_eq!(session.world.store, before);
        }
    }
}

#[test]
fn functions_share_nothing_with_scripts() {
    let mut session = Session::new();
    session.run(&["FUNCTION", "LOAD", LIBRARY]);
    assert!(session.run(&["EVAL", "return KEYS[1]", "1", "k"]).starts_with("$1"));
    let leak = "#!lua name=leak\nredis.register_function('leak', function() return KEYS end)";
    session.run(&["FUNCTION", "LOAD", leak]);
    assert!(session.run(&["FCALL", "leak", "0"]).contains("nonexistent global variable 'KEYS'"));
    for script in ["return redis.register_function", "return f", "return lib"] {
        let reply = eval(&mut session, script);
        assert!(reply == "$-1" || reply.contains("nonexistent"), "{script}: {reply}");
    }
    for body in ["x = 1", "redis.x = 1", "rawset(_G, 'x', 1)", "getmetatable(_G).__index = nil", "setmetatable(_G, {})"]
    {
        let code = format!("#!lua name=leak\nredis.register_function('leak', function() {body} end)");
        session.run(&["FUNCTION", "LOAD", "REPLACE", &code]);
        let reply = session.run(&["FCALL", "leak", "0"]);
        assert!(refusal(&reply).ends_with("readonly table") || reply.contains("attempt to index"), "{body}: {reply}");
    }
}

#[test]
fn a_function_is_killed_by_its_own_word() {
    let running = Arc::new(Running::default());
    let own = running.clone();
    let function = std::thread::spawn(move || {
        let mut session = Session::new();
        session.scripts = Scripts::new(own);
        session.run(&["FUNCTION", "LOAD", LIBRARY]);
        session.run(&["FCALL", "loop", "0"])
    });
    while running.kill(true) != Killed::Done {
        assert_ne!(running.kill(false), Killed::Done);
        std::thread::yield_now();
    }
    let reply = function.join().unwrap();
    // The library may have been killed while it was loaded; then there is no function.
    assert!(reply.contains("Script killed by user") || reply == "-ERR Function not found", "{reply}");
}

/// Records that cannot be read.
struct Broken(Records);

impl Read for Broken {
    fn get(&self, key: &[u8]) -> store::Result<Option<Bytes>> {
        if store::keys::slot_of(key).is_some() { Err(store::Error::Io("broken".into())) } else { self.0.get(key) }
    }

    fn scan(&self, start: &[u8], end: &[u8], order: Order, visit: &mut Visit<'_>) -> store::Result<()> {
        self.0.scan(start, end, order, visit)
    }
}

impl Write for Broken {
    fn put(&mut self, key: Bytes, value: Bytes) {
        self.0.put(key, value);
    }

    fn delete(&mut self, key: Bytes) {
        self.0.delete(key);
    }

    fn delete_range(&mut self, start: Bytes, end: Bytes) {
        self.0.delete_range(start, end);
    }

    fn publish(&mut self, publication: crate::base::Publication) {
        self.0.publish(publication);
    }
}

#[test]
fn a_failing_engine_ends_the_evaluation_although_the_script_would_go_on() {
    let mut session = Session::new();
    let script = Bytes::from_static(b"while true do redis.pcall('get', 'k') end");
    let args = vec!["EVAL".into(), script, "0".into()];
    let call = Call::new(0, Protocol::Resp2, args);
    let scripts = Some(&mut session.scripts);
    let result = session
        .world
        .keys_over(&mut Broken(Records::default()), |keys| execute_encoded(keys, scripts, &call, &mut BytesMut::new()));
    assert_eq!(result, Err(Error::Store(store::Error::Io("broken".into()))));
}
