//! What Redis says: one table of commands, parsing of arguments, replies and error texts, over [`crate::data`].
//!
//! [`lookup`] and [`check`] tell what a call is, [`execute`] runs it on a keyspace. Semantics do not know who asked:
//! there is no connection here, and what needs one ([`Handler::Session`]) is answered by the service, which finds
//! the same rows in the table.
//!
//! Invariant: a call that `check` refuses never reaches a handler, so handlers may rely on their arity.

pub mod acl;
pub mod args;
pub mod batch;
mod bitfield;
mod bitmap;
pub mod block;
mod cluster;
mod conditional;
pub mod context;
mod counter;
pub mod debug;
mod dump;
pub mod error;
pub mod events;
mod expiry;
mod field_expiry;
mod generic;
mod geo;
mod hash;
#[cfg(test)]
mod hostile;
mod hyperloglog;
pub mod introspect;
mod list;
mod lolwut;
mod memory;
mod mistake;
mod object;
pub mod pubsub;
mod scan;
pub mod script;
mod set;
mod sort;
pub mod spec;
mod stream;
mod string;
mod syntax;
pub mod table;
#[cfg(test)]
mod testing;
pub mod wire;
mod zset;

use bytes::{Bytes, BytesMut};

pub use batch::Call;
pub use context::Context;
pub use error::{Error, Failure};
pub use mistake::mistake;
pub use script::Scripts;
pub use spec::{Flags, Handler, Merge, Spec, Verdict};
pub use table::lookup;

use crate::base::limits::{DATABASES, OUTPUT_BUFFER_BYTES_MAX};
use crate::data::Keyspace;
use crate::resp::{Value, c_string};

/// The version of Redis whose behaviour is the specification; clients gate features on it.
pub const REDIS_VERSION: &str = "7.2.4";

/// Bytes of a client's words that an error line repeats.
const QUOTED_BYTES_MAX: usize = 128;

/// What a call is, or Redis's answer to one that is none: unknown command or subcommand, wrong number of words.
pub fn check<T: AsRef<[u8]>>(args: &[T]) -> Result<&'static Spec, Value> {
    let Some(name) = args.first().map(T::as_ref) else { return Err(unknown(args)) };
    let container = lookup(name).ok_or_else(|| unknown(args))?;
    let spec = match args.get(1).map(T::as_ref) {
        Some(word) if !container.subcommands.is_empty() => container.subcommand(word).ok_or_else(|| {
            let (word, container) = (quoted(word, QUOTED_BYTES_MAX), container.name.to_ascii_uppercase());
            Value::error_with(&[b"ERR unknown subcommand '", word, b"'. Try ", container.as_bytes(), b" HELP."])
        })?,
        _ => container,
    };
    if spec.fits(args.len()) {
        Ok(spec.part(args))
    } else {
        Err(Value::error(format!("ERR wrong number of arguments for '{}' command", spec.name)))
    }
}

/// Runs one call that is no script. A mistake of the client is a reply; `Err` ends the whole evaluation.
pub fn execute(keys: &mut Keyspace<'_>, call: &Call) -> Result<Value, Error> {
    execute_with(keys, None, call)
}

/// Runs one call, with what runs scripts.
pub fn execute_with(keys: &mut Keyspace<'_>, scripts: Option<&mut Scripts>, call: &Call) -> Result<Value, Error> {
    run(keys, scripts, false, call)
}

/// Runs a command of a script.
fn execute_in_script(keys: &mut Keyspace<'_>, call: &Call) -> Result<Value, Error> {
    run(keys, None, true, call)
}

fn run(
    keys: &mut Keyspace<'_>,
    mut scripts: Option<&mut Scripts>,
    in_script: bool,
    call: &Call,
) -> Result<Value, Error> {
    let spec = match check(&call.args) {
        Ok(spec) => spec,
        Err(reply) => return Ok(reply),
    };
    let handler = match spec.handler {
        Handler::Data(handler) | Handler::Spread(handler, _) => Some(handler),
        Handler::Session => events::handler(spec, &call.args),
    };
    let Some(handler) = handler else {
        // The service answers these itself; one that reaches a keyspace came from a peer of another version.
        return Ok(Value::error(format!("ERR '{}' is not a command on keys", spec.name)));
    };
    if call.db >= DATABASES {
        return Ok(Value::error("ERR DB index is out of range"));
    }
    keys.manner = spec.manner();
    // TOUCH means what it says, whoever sends it.
    keys.manner.touches &= call.touches || spec.name == "touch";
    if let Some(scripts) = &mut scripts {
        scripts.note_reads(call.tells_reads);
    }
    let rights = call.rights.as_ref();
    let (db, protocol, touches) = (call.db, call.protocol, call.touches);
    let mut context = Context { keys, db, protocol, touches, rights, scripts, in_script };
    handler(&mut context, &call.args).or_else(Failure::into_reply)
}

/// Runs one call and appends its reply in the call's protocol. A reply of a reading command that no client could be
/// sent (`MGET` may name one large value a million times) is an error line before it takes memory.
pub fn execute_encoded(
    keys: &mut Keyspace<'_>,
    scripts: Option<&mut Scripts>,
    call: &Call,
    out: &mut BytesMut,
) -> Result<(), Error> {
    let reply = execute_with(keys, scripts, call)?;
    put(&reply, call, out);
    Ok(())
}

/// [`execute_encoded`] with a reply of its own, which shares the memory of `scratch` or that of the program.
pub fn execute_reply(
    keys: &mut Keyspace<'_>,
    scripts: Option<&mut Scripts>,
    call: &Call,
    scratch: &mut BytesMut,
) -> Result<Bytes, Error> {
    let reply = execute_with(keys, scripts, call)?;
    if let Some(encoded) = reply.encoded(call.protocol) {
        return Ok(Bytes::from_static(encoded));
    }
    put(&reply, call, scratch);
    Ok(scratch.split().freeze())
}

fn put(reply: &Value, call: &Call, out: &mut BytesMut) {
    if payload_bytes(reply) > OUTPUT_BUFFER_BYTES_MAX && check(&call.args).is_ok_and(|spec| !spec.may_write()) {
        Value::error("ERR reply exceeds the output buffer limit").encode(call.protocol, out);
    } else {
        reply.encode(call.protocol, out);
    }
}

/// Bytes of strings in a reply.
fn payload_bytes(reply: &Value) -> usize {
    match reply {
        Value::Bulk(bytes) | Value::Verbatim(_, bytes) | Value::Raw(bytes) => bytes.len(),
        Value::Array(items) | Value::Set(items) | Value::Push(items) => items.iter().map(payload_bytes).sum(),
        Value::Map(pairs) => pairs.iter().map(|(key, value)| payload_bytes(key) + payload_bytes(value)).sum(),
        _ => 0,
    }
}

/// Redis quotes the first words, until 128 bytes are full.
fn unknown<T: AsRef<[u8]>>(args: &[T]) -> Value {
    let mut words = args.iter().map(T::as_ref);
    let name = quoted(words.next().unwrap_or_default(), QUOTED_BYTES_MAX);
    let mut beginning = Vec::new();
    for word in words {
        if beginning.len() >= QUOTED_BYTES_MAX {
            break;
        }
        beginning.extend([b"'", quoted(word, QUOTED_BYTES_MAX - beginning.len()), b"' "].concat());
    }
    Value::error_with(&[b"ERR unknown command '", name, b"', with args beginning with: ", &beginning])
}

/// A client's word for an error line: at most so many bytes; line breaks are [`Value::error`]'s business.
fn quoted(word: &[u8], bytes_max: usize) -> &[u8] {
    c_string(&word[..word.len().min(bytes_max)])
}

#[cfg(test)]
mod tests {
    use super::testing::Session;

    #[test]
    fn a_reply_beyond_every_buffer_is_refused() {
        let mut session = Session::new();
        session.check(&[("SETRANGE k 67108863 x", ":67108864")]);
        let call = ["MGET"].into_iter().chain(["k"; 5]).collect::<Vec<_>>();
        assert_eq!(session.run(&call), "-ERR reply exceeds the output buffer limit");
    }

    #[test]
    fn unknown_commands_are_named_as_redis_names_them() {
        let mut session = Session::new();
        session.check(&[
            ("NOSUCH a b", "-ERR unknown command 'NOSUCH', with args beginning with: 'a' 'b' "),
            ("nosuch", "-ERR unknown command 'nosuch', with args beginning with: "),
            ("GET", "-ERR wrong number of arguments for 'get' command"),
            ("get a b", "-ERR wrong number of arguments for 'get' command"),
            ("CLIENT", "-ERR wrong number of arguments for 'client' command"),
            ("CLIENT NoSuch x", "-ERR unknown subcommand 'NoSuch'. Try CLIENT HELP."),
            ("client setname", "-ERR wrong number of arguments for 'client|setname' command"),
        ]);
        session.check_words(&[
            ("a\r\nb", &["c\r\n"], "-ERR unknown command 'a  b', with args beginning with: 'c  ' "),
            ("a\0b", &["c\0d"], "-ERR unknown command 'a', with args beginning with: 'c' "),
        ]);
        let long = "x".repeat(200);
        let shown = "x".repeat(128);
        let reply = format!("-ERR unknown command '{shown}', with args beginning with: '{shown}' ");
        session.check_words(&[(&long, &[&long, "y"], &reply)]);
        let rest = format!("-ERR unknown command 'n', with args beginning with: '{}' '{}' ", &long[..100], &long[..25]);
        session.check_words(&[("n", &[&long[..100], &long, "y"], &rest)]);
    }
}
