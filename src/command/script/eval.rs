//! EVAL, EVALSHA, their read-only forms, and SCRIPT: words in, a reply out, over the keyspace of the unit.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;

use super::interpreter::{Host, Task};
use super::reads::Reads;
use super::state::Run;
use super::{records, sha1, shebang};
use crate::base::Slot;
use crate::command::acl::Rights;
use crate::command::args::{is, parse_integer};
use crate::command::context::Context;
use crate::command::error::{Error, Failure, Result};
use crate::command::{Call, Flags, Handler, block, check, execute_in_script, introspect, pubsub, table};
use crate::data::{Keyspace, Mode};
use crate::resp::{Protocol, Value, c_string};

/// Nobody brought this script.
pub(crate) const NO_SCRIPT: Failure = Failure::Reply(Cow::Borrowed(b"NOSCRIPT No matching script. Please use EVAL."));
const NOT_ALLOWED: &str = "ERR This Redis command is not allowed from script";
/// What ends a script whose commands cannot go on; nobody reads it.
const ABORTED: &str = "ERR the evaluation ends";

/// `EVAL script numkeys [key ...] [arg ...]`
pub(crate) fn eval(context: &mut Context<'_, '_>, args: &[Bytes]) -> Result<Value> {
    run_source(context, args, false)
}

/// `EVAL_RO`: EVAL that may not write.
pub(crate) fn eval_ro(context: &mut Context<'_, '_>, args: &[Bytes]) -> Result<Value> {
    run_source(context, args, true)
}

/// `EVALSHA sha1 numkeys [key ...] [arg ...]`
pub(crate) fn evalsha(context: &mut Context<'_, '_>, args: &[Bytes]) -> Result<Value> {
    run_digest(context, args, false)
}

/// `EVALSHA_RO`: EVALSHA that may not write.
pub(crate) fn evalsha_ro(context: &mut Context<'_, '_>, args: &[Bytes]) -> Result<Value> {
    run_digest(context, args, true)
}

fn run_source(context: &mut Context<'_, '_>, args: &[Bytes], reads: bool) -> Result<Value> {
    let keys = key_count(args)?;
    on_leader(context)?;
    let digest = sha1::digest(&args[1]);
    if records::get(context.keys, &digest)?.is_none() {
        if let Err(reply) = compile(context, digest, &args[1]) {
            return Ok(reply);
        }
        if context.scripts.is_some() {
            records::evaluated(context.keys, &digest, &args[1])?;
        }
    }
    run(context, digest, &args[1], args, keys, reads)
}

fn run_digest(context: &mut Context<'_, '_>, args: &[Bytes], reads: bool) -> Result<Value> {
    let digest = sha1::parse(&args[1]).ok_or(NO_SCRIPT)?;
    let keys = key_count(args)?;
    on_leader(context)?;
    let source = records::get(context.keys, &digest)?.ok_or(NO_SCRIPT)?;
    run(context, digest, &source, args, keys, reads)
}

/// `numkeys`, which must not be more than there are words behind it.
fn key_count(args: &[Bytes]) -> Result<usize> {
    let count = parse_integer(&args[2]).ok_or(Failure::NOT_AN_INTEGER)?;
    match usize::try_from(count) {
        Err(_) => Err(Failure::line("ERR Number of keys can't be negative")),
        Ok(count) if count > args.len() - 3 => {
            Err(Failure::line("ERR Number of keys can't be greater than number of args"))
        }
        Ok(count) => Ok(count),
    }
}

/// Scripts run on the leader's machine alone, also those that only read: the machine has the interpreter.
pub(super) fn on_leader(context: &Context<'_, '_>) -> Result<()> {
    if context.keys.mode == Mode::Leader { Ok(()) } else { Err(Failure::Abort(Error::NeedsLog)) }
}

fn compile(context: &mut Context<'_, '_>, digest: [u8; sha1::BYTES], script: &[u8]) -> std::result::Result<(), Value> {
    let (_, source) = shebang::parse(script)?;
    match &mut context.scripts {
        Some(scripts) => scripts.compile(digest, source),
        None => Ok(()),
    }
}

fn run(
    context: &mut Context<'_, '_>,
    digest: [u8; sha1::BYTES],
    script: &[u8],
    args: &[Bytes],
    keys: usize,
    reads: bool,
) -> Result<Value> {
    let (flags, source) = match shebang::parse(script) {
        Ok(parsed) => parsed,
        Err(reply) => return Ok(reply),
    };
    if reads && flags.declared && !flags.no_writes {
        return Ok(Value::error("ERR Can not execute a script with write flag using *_ro command."));
    }
    // Only whoever looks for mistakes in a call has no interpreter, and a script has none before it runs.
    let Some(scripts) = &mut context.scripts else { return Ok(Value::Null) };
    let (keys, arguments) = args[3..].split_at(keys);
    let task = Task { script: (digest, source), keys, arguments, protocol: context.protocol };
    let run = scripts.run.clone();
    run.set_rights(context.rights.cloned());
    let chance = context.keys.rng.next();
    let mut evaluation = Evaluation {
        keys: context.keys,
        db: context.db,
        touches: context.touches,
        rights: context.rights,
        reads: reads || flags.no_writes,
        read: scripts.lend_reads(),
        run: &run,
        failed: None,
    };
    let reply = scripts.eval(&task, chance, &mut evaluation);
    scripts.take_reads_back(evaluation.read);
    match evaluation.failed {
        Some(error) => Err(Failure::Abort(error)),
        None => Ok(reply),
    }
}

/// The keyspace as a script's commands see it.
pub(super) struct Evaluation<'a, 'k> {
    pub keys: &'a mut Keyspace<'k>,
    pub db: u8,
    pub touches: bool,
    /// What its commands are held against.
    pub rights: Option<&'a Arc<Rights>>,
    /// It may not write.
    pub reads: bool,
    /// Keys that its commands read, where somebody wants to know them.
    pub read: Option<Reads>,
    pub run: &'a Run,
    pub failed: Option<Error>,
}

impl Host for Evaluation<'_, '_> {
    fn call(&mut self, args: Vec<Bytes>, protocol: Protocol) -> Value {
        if self.failed.is_some() {
            return Value::error(ABORTED);
        }
        if self.keys.store.written() > self.keys.thresholds.entry_bytes_max {
            // Whoever runs the script takes all of it back, and says so.
            self.run.stop();
            return Value::error(ABORTED);
        }
        let spec = match check(&args) {
            Ok(spec) => spec,
            Err(_) => return Value::error(mistake(&args)),
        };
        if spec.flags.has(Flags::of("noscript")) {
            return Value::error(NOT_ALLOWED);
        }
        if spec.name.starts_with("xread") && block::patience(spec.name, &args, self.keys.moment.stamp).is_some() {
            let name = c_string(&args[0]);
            return Value::error_with(&[b"ERR ", name, b" command is not allowed with BLOCK option from scripts"]);
        }
        if let Some(rights) = self.rights {
            if let Err(denied) = rights.check(spec, &args) {
                let message = rights.message(denied, spec, &args, false);
                return Value::error_with(&[b"NOPERM ACL failure in script: ", &message]);
            }
            if let Some(option) = rights.denied_option(spec, &args) {
                let line = format!("ERR {option} option of SORT denied due to insufficient ACL permissions.");
                return Value::error(line);
            }
        }
        if self.reads && spec.may_write() {
            return Value::error("ERR Write commands are not allowed from read-only scripts.");
        }
        let foreign = |key: &Bytes| !self.keys.slots.contains(Slot::of(key));
        if spec.keys_of(&args).filter_map(|(position, _)| args.get(position)).any(foreign) {
            return Value::error("ERR Script attempted to access a non local key in a cluster node");
        }
        if matches!(spec.handler, Handler::Session) {
            return self.word(spec.name, &args);
        }
        if spec.may_write() && !self.run.writes() {
            return Value::error(ABORTED);
        }
        if let Some(read) = self.read.as_mut().filter(|_| spec.flags.has(Flags::of("readonly"))) {
            spec.keys_of(&args).filter_map(|(position, _)| args.get(position)).for_each(|key| read.add(key));
        }
        let call =
            Call { db: self.db, protocol, touches: self.touches, args, rights: None, author: 0, tells_reads: false };
        execute_in_script(self.keys, &call).unwrap_or_else(|error| {
            self.failed = Some(error);
            self.run.stop();
            Value::error(ABORTED)
        })
    }
}

impl Evaluation<'_, '_> {
    /// Words of the session that mean something inside of a script.
    fn word(&mut self, name: &str, args: &[Bytes]) -> Value {
        match (name, &args[1..]) {
            ("ping", []) => Value::Simple("PONG".into()),
            ("ping", [message]) | ("echo", [message]) => Value::Bulk(message.clone()),
            ("ping", _) => Value::error("ERR wrong number of arguments for 'ping' command"),
            ("select", [number]) => match parse_integer(number) {
                None => Value::error("ERR value is not an integer or out of range"),
                Some(number) => match u8::try_from(number) {
                    Ok(db) if db < crate::base::limits::DATABASES => {
                        self.db = db;
                        Value::OK
                    }
                    _ => Value::error("ERR DB index is out of range"),
                },
            },
            // Time stands still while a script runs.
            ("time", []) => {
                let now = self.keys.moment.stamp.max(self.keys.moment.clock).0;
                let parts = [now / 1000, now % 1000 * 1000];
                Value::Array(parts.map(|part| Value::bulk(part.to_string())).to_vec())
            }
            ("asking" | "readonly" | "readwrite", []) => Value::OK,
            ("cluster|keyslot", [_, key]) => Value::Integer(Slot::of(key).get().into()),
            _ if name.starts_with("command") => introspect::command(args),
            _ if name.starts_with("pubsub") => pubsub::pubsub(self.keys.audience, args),
            _ => Value::error(NOT_ALLOWED),
        }
    }
}

/// What is wrong with a call that is none, in the words for scripts.
fn mistake(args: &[Bytes]) -> &'static str {
    let container = args.first().and_then(|name| table::lookup(name));
    let known = container.is_some_and(|container| match args.get(1) {
        Some(word) if !container.subcommands.is_empty() => container.subcommand(word).is_some(),
        _ => true,
    });
    if known {
        "ERR Wrong number of args calling Redis command from script"
    } else {
        "ERR Unknown Redis command called from script"
    }
}

/// `SCRIPT LOAD script`
pub(crate) fn script_load(context: &mut Context<'_, '_>, args: &[Bytes]) -> Result<Value> {
    on_leader(context)?;
    let digest = sha1::digest(&args[2]);
    if let Err(reply) = compile(context, digest, &args[2]) {
        return Ok(reply);
    }
    records::load(context.keys, &digest, &args[2])?;
    Ok(Value::bulk(sha1::hex(&digest)))
}

/// `SCRIPT EXISTS sha1 [sha1 ...]`
pub(crate) fn script_exists(context: &mut Context<'_, '_>, args: &[Bytes]) -> Result<Value> {
    let mut found = Vec::with_capacity(args.len() - 2);
    for word in &args[2..] {
        let known = match sha1::parse(word) {
            Some(digest) => records::get(context.keys, &digest)?.is_some(),
            None => false,
        };
        found.push(Value::Integer(i64::from(known)));
    }
    Ok(Value::Array(found))
}

/// `SCRIPT FLUSH [ASYNC|SYNC]`
pub(crate) fn script_flush(context: &mut Context<'_, '_>, args: &[Bytes]) -> Result<Value> {
    match &args[2..] {
        [] => {}
        [word] if is(word, "async") || is(word, "sync") => {}
        _ => return Err(Failure::line("ERR SCRIPT FLUSH only support SYNC|ASYNC option")),
    }
    on_leader(context)?;
    records::flush(context.keys);
    Ok(Value::OK)
}
