//! FUNCTION, FCALL and FCALL_RO: libraries of functions in, replies out.

use bytes::Bytes;

use super::eval::{Evaluation, on_leader};
use super::interpreter::Task;
use super::libraries::{self, FLAGS, Library, NO_WRITES};
use super::state::Called;
use super::{functions, sha1};
use crate::base::glob;
use crate::command::args::{is, parse_integer};
use crate::command::context::Context;
use crate::command::error::{Failure, Result};
use crate::rdb;
use crate::resp::Value;

/// `FCALL function numkeys [key ...] [arg ...]`
pub(crate) fn fcall(context: &mut Context<'_, '_>, args: &[Bytes]) -> Result<Value> {
    call(context, args, false)
}

/// `FCALL_RO`: FCALL of a function that does not write.
pub(crate) fn fcall_ro(context: &mut Context<'_, '_>, args: &[Bytes]) -> Result<Value> {
    call(context, args, true)
}

fn call(context: &mut Context<'_, '_>, args: &[Bytes], reads: bool) -> Result<Value> {
    on_leader(context)?;
    let owner = libraries::owner(context.keys, &args[1])?;
    let library = match &owner {
        Some(owner) => libraries::get(context.keys, owner)?,
        None => None,
    };
    let found = library.and_then(|library| {
        let mut functions = library.functions.iter();
        let flags = functions.find(|function| function.name.eq_ignore_ascii_case(&args[1]))?.flags;
        Some((library, flags))
    });
    // Whoever looks for mistakes in a call has no libraries.
    let count = match parse_integer(&args[2]) {
        _ if found.is_none() && context.scripts.is_some() => return Err(Failure::line("ERR Function not found")),
        None => return Err(Failure::line("ERR Bad number of keys provided")),
        Some(count) if count > (args.len() - 3) as i64 => {
            return Err(Failure::line("ERR Number of keys can't be greater than number of args"));
        }
        Some(count) => count,
    };
    let count = usize::try_from(count).map_err(|_| Failure::line("ERR Number of keys can't be negative"))?;
    let (Some((library, flags)), Some(scripts)) = (found, &mut context.scripts) else { return Ok(Value::Null) };
    let no_writes = flags & NO_WRITES != 0;
    if reads && !no_writes {
        return Ok(Value::error("ERR Can not execute a script with write flag using *_ro command."));
    }
    let (keys, arguments) = args[3..].split_at(count);
    let task = Task {
        script: (sha1::digest(&library.code), body(&library.code)),
        keys,
        arguments,
        protocol: context.protocol,
    };
    let run = scripts.run.clone();
    run.set_rights(context.rights.cloned());
    let (called, chance) = (Called::by(args, context.keys.moment.clock), context.keys.rng.next());
    let mut evaluation = Evaluation {
        keys: context.keys,
        db: context.db,
        touches: context.touches,
        rights: context.rights,
        reads: no_writes,
        read: scripts.lend_reads(),
        run: &run,
        failed: None,
    };
    let reply = scripts.fcall(called, &task, chance, &mut evaluation);
    scripts.take_reads_back(evaluation.read);
    match evaluation.failed {
        Some(error) => Err(Failure::Abort(error)),
        None => Ok(reply),
    }
}

/// Source text behind its first line; the line's end stays, so that lines keep their numbers.
fn body(code: &[u8]) -> &[u8] {
    let end = code.iter().position(|byte| *byte == b'\n').unwrap_or(code.len());
    &code[end..]
}

/// The name in the first line of a library: `#!lua name=mylib`.
fn metadata(code: &[u8]) -> std::result::Result<Bytes, Value> {
    if !code.starts_with(b"#!") {
        return Err(Value::error("ERR Missing library metadata"));
    }
    let Some(end) = code.iter().position(|byte| *byte == b'\n') else {
        return Err(Value::error("ERR Invalid library metadata"));
    };
    let mut words = code[2..end].split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
    let engine = words.next().unwrap_or_default();
    let mut name = None;
    for word in words {
        match word.strip_prefix(b"name=") {
            Some(_) if name.is_some() => {
                return Err(Value::error("ERR Invalid metadata value, name argument was given multiple times"));
            }
            Some(value) => name = Some(value),
            None => return Err(Value::error_with(&[b"ERR Invalid metadata value given: ", word])),
        }
    }
    let Some(name) = name else { return Err(Value::error("ERR Library name was not given")) };
    if !functions::is_name(name) {
        return Err(Value::error(format!("ERR {}", functions::BAD_NAME)));
    }
    if !engine.eq_ignore_ascii_case(b"lua") {
        return Err(Value::error_with(&[b"ERR Engine '", engine, b"' not found"]));
    }
    Ok(Bytes::copy_from_slice(name))
}

/// Loads a library into the keyspace: its name, or what is wrong; `quote` is what the name of a library that is there
/// already stands in.
fn load(
    context: &mut Context<'_, '_>,
    code: &Bytes,
    replace: bool,
    quote: &[u8],
) -> Result<std::result::Result<Bytes, Value>> {
    let name = match metadata(code) {
        Ok(name) => name,
        Err(reply) => return Ok(Err(reply)),
    };
    let Some(scripts) = &mut context.scripts else { return Ok(Ok(name)) };
    let old = libraries::get(context.keys, &name)?;
    if old.is_some() && !replace {
        return Ok(Err(Value::error_with(&[b"ERR Library ", quote, &name, quote, b" already exists"])));
    }
    let functions = match scripts.load(sha1::digest(code), body(code), context.keys.rng.next()) {
        Ok(functions) => functions,
        Err(reply) => return Ok(Err(reply)),
    };
    for function in &functions {
        if libraries::owner(context.keys, &function.name)?.is_some_and(|owner| owner != name) {
            return Ok(Err(Value::error_with(&[b"ERR Function ", &function.name, b" already exists"])));
        }
    }
    if let Some(old) = old {
        libraries::delete(context.keys, &old);
    }
    libraries::put(context.keys, &Library { name: name.clone(), functions, code: code.clone() });
    Ok(Ok(name))
}

/// `FUNCTION LOAD [REPLACE] code`
pub(crate) fn function_load(context: &mut Context<'_, '_>, args: &[Bytes]) -> Result<Value> {
    let (options, code) = args[2..].split_at(args.len() - 3);
    if let Some(unknown) = options.iter().find(|option| !is(option, "replace")) {
        return Ok(Value::error_with(&[b"ERR Unknown option given: ", unknown]));
    }
    on_leader(context)?;
    Ok(match load(context, &code[0], !options.is_empty(), b"'")? {
        Ok(name) => Value::Bulk(name),
        Err(reply) => reply,
    })
}

/// `FUNCTION DELETE library`
pub(crate) fn function_delete(context: &mut Context<'_, '_>, args: &[Bytes]) -> Result<Value> {
    on_leader(context)?;
    let Some(library) = libraries::get(context.keys, &args[2])? else {
        return Err(Failure::line("ERR Library not found"));
    };
    libraries::delete(context.keys, &library);
    Ok(Value::OK)
}

/// The answer to a subcommand with words that no form of it has.
fn wrong_words(args: &[Bytes]) -> Value {
    let line = b"ERR unknown subcommand or wrong number of arguments for '";
    Value::error_with(&[line, &args[1], b"'. Try FUNCTION HELP."])
}

/// `FUNCTION FLUSH [ASYNC|SYNC]`
pub(crate) fn function_flush(context: &mut Context<'_, '_>, args: &[Bytes]) -> Result<Value> {
    match &args[2..] {
        [] => {}
        [word] if is(word, "async") || is(word, "sync") => {}
        [_] => return Err(Failure::line("ERR FUNCTION FLUSH only supports SYNC|ASYNC option")),
        _ => return Ok(wrong_words(args)),
    }
    on_leader(context)?;
    libraries::flush(context.keys);
    Ok(Value::OK)
}

/// `FUNCTION LIST [LIBRARYNAME pattern] [WITHCODE]`
pub(crate) fn function_list(context: &mut Context<'_, '_>, args: &[Bytes]) -> Result<Value> {
    let (mut pattern, mut with_code) = (None, false);
    let mut words = args[2..].iter();
    while let Some(word) = words.next() {
        if is(word, "withcode") && !with_code {
            with_code = true;
        } else if is(word, "libraryname") && pattern.is_none() {
            match words.next() {
                Some(word) => pattern = Some(word),
                None => return Err(Failure::line("ERR library name argument was not given")),
            }
        } else {
            // This line keeps a space for each line end at its end.
            let word: Vec<u8> =
                word.iter().map(|byte| if matches!(byte, b'\r' | b'\n') { b' ' } else { *byte }).collect();
            return Ok(Value::error_with(&[b"ERR Unknown argument ", &word]));
        }
    }
    let text = |text: &'static str| Value::bulk(text);
    let mut list = Vec::new();
    for library in libraries::all(context.keys)? {
        if pattern.is_some_and(|pattern| !glob::matches_ignoring_case(pattern, &library.name)) {
            continue;
        }
        let functions = library.functions.into_iter().map(|function| {
            let flags = FLAGS.iter().enumerate().filter(|(bit, _)| function.flags >> bit & 1 == 1);
            Value::Map(vec![
                (text("name"), Value::Bulk(function.name)),
                (text("description"), function.description.map_or(Value::Null, Value::Bulk)),
                (text("flags"), Value::Set(flags.map(|(_, flag)| Value::Simple((*flag).into())).collect())),
            ])
        });
        let mut fields = vec![
            (text("library_name"), Value::Bulk(library.name)),
            (text("engine"), text("LUA")),
            (text("functions"), Value::Array(functions.collect())),
        ];
        if with_code {
            fields.push((text("library_code"), Value::Bulk(library.code)));
        }
        list.push(Value::Map(fields));
    }
    Ok(Value::Array(list))
}

/// `FUNCTION STATS`, but for what runs, of which the service knows: whoever can answer here runs nothing meanwhile.
pub(crate) fn function_stats(context: &mut Context<'_, '_>, _args: &[Bytes]) -> Result<Value> {
    let all = libraries::all(context.keys)?;
    let functions: usize = all.iter().map(|library| library.functions.len()).sum();
    Ok(stats(None, (all.len(), functions)))
}

/// The reply of FUNCTION STATS: a function that runs and its milliseconds so far, the numbers of libraries and of
/// functions in them.
pub fn stats(running: Option<(&Called, u64)>, (libraries, functions): (usize, usize)) -> Value {
    let text = |text: &'static str| Value::bulk(text);
    let running = running.map_or(Value::Null, |(called, millis)| {
        Value::Map(vec![
            (text("name"), Value::Bulk(called.name.clone())),
            (text("command"), Value::Array(called.words.iter().cloned().map(Value::Bulk).collect())),
            (text("duration_ms"), Value::Integer(millis as i64)),
        ])
    });
    let counts = vec![
        (text("libraries_count"), Value::Integer(libraries as i64)),
        (text("functions_count"), Value::Integer(functions as i64)),
    ];
    Value::Map(vec![
        (text("running_script"), running),
        (text("engines"), Value::Map(vec![(text("LUA"), Value::Map(counts))])),
    ])
}

/// `FUNCTION DUMP`
pub(crate) fn function_dump(context: &mut Context<'_, '_>, _args: &[Bytes]) -> Result<Value> {
    let all = libraries::all(context.keys)?;
    Ok(Value::Bulk(rdb::dump_functions(all.iter().map(|library| &library.code[..]))))
}

/// `FUNCTION RESTORE payload [FLUSH|APPEND|REPLACE]`: all libraries of the payload, or none.
pub(crate) fn function_restore(context: &mut Context<'_, '_>, args: &[Bytes]) -> Result<Value> {
    let (flush, replace) = match &args[3..] {
        [] => (false, false),
        [word] if is(word, "append") => (false, false),
        [word] if is(word, "replace") => (false, true),
        [word] if is(word, "flush") => (true, false),
        [_] => {
            return Err(Failure::line(
                "ERR Wrong restore policy given, value should be either FLUSH, APPEND or REPLACE.",
            ));
        }
        _ => return Ok(wrong_words(args)),
    };
    let codes = match rdb::load_functions(&args[2]) {
        Ok(codes) => codes,
        Err(rdb::Error::Footer) => return Err(Failure::line("ERR DUMP payload version or checksum are wrong")),
        Err(rdb::Error::Unsupported) => return Err(Failure::line("ERR given type is not a function")),
        Err(_) => return Err(Failure::line("ERR failed loading functions payload")),
    };
    on_leader(context)?;
    let before = libraries::all(context.keys)?;
    if flush {
        libraries::flush(context.keys);
    }
    for code in &codes {
        if let Err(reply) = load(context, code, replace, b"")? {
            // As it was: nothing of the payload stays.
            libraries::flush(context.keys);
            for library in &before {
                libraries::put(context.keys, library);
            }
            return Ok(reply);
        }
    }
    Ok(Value::OK)
}
