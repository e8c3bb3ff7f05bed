//! What strings say to a client: SET and its relatives, parts of strings, LCS. Counting is in [`super::counter`].
//!
//! Where a call is wrong in two ways, the order of the checks decides which error a client sees; it is Redis's here.

use bytes::{Bytes, BytesMut};

use super::args::{Options, integer, is};
use super::conditional::has_digest;
use super::context::{Context, deadline};
use super::error::{Failure, Result};
use crate::base::Millis;
use crate::data::{Class, Head, string};
use crate::resp::Value;

/// What SET and its relatives can be told about the key's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Expiry {
    /// SET: none. GETEX: as it is.
    Default,
    /// SET: as it is.
    Keep,
    /// GETEX: none.
    Persist,
    /// A number of units of so many milliseconds, from now on or since the epoch.
    At { number: Number, unit: i64, relative: bool },
}

/// A word that should be an integer: Redis looks only when all options were read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Number(Option<i64>);

/// SET's condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Condition<'a> {
    Always,
    Missing,
    Existing,
    /// The key holds this string.
    Equal(&'a Bytes),
    /// It holds another string, or there is none.
    Different(&'a Bytes),
    /// The string that it holds has this digest.
    EqualDigest(&'a Bytes),
    /// It has another one, or there is none.
    DifferentDigest(&'a Bytes),
}

struct SetOptions<'a> {
    expiry: Expiry,
    condition: Condition<'a>,
    get: bool,
}

impl Expiry {
    /// Reads the option `word` with its value, if it is one; options of another kind must not have been read before,
    /// the same kind again replaces.
    pub(super) fn read(&mut self, word: &[u8], options: &mut Options<'_>) -> Result<bool> {
        let (unit, relative) = match word.to_ascii_lowercase().as_slice() {
            b"ex" => (1000, true),
            b"px" => (1, true),
            b"exat" => (1000, false),
            b"pxat" => (1, false),
            _ => return Ok(false),
        };
        let again = matches!(*self, Expiry::At { unit: u, relative: r, .. } if (u, r) == (unit, relative));
        if *self != Expiry::Default && !again {
            return Err(Failure::SYNTAX);
        }
        let number = Number(super::args::parse_integer(options.value()?));
        *self = Expiry::At { number, unit, relative };
        Ok(true)
    }

    /// Reads KEEPTTL or PERSIST.
    pub(super) fn read_word(&mut self, kind: Expiry) -> Result<()> {
        if *self != Expiry::Default && *self != kind {
            return Err(Failure::SYNTAX);
        }
        *self = kind;
        Ok(())
    }

    /// The deadline that an `At` means.
    pub(super) fn deadline(self, now: Millis, name: &str) -> Result<Option<Millis>> {
        let Expiry::At { number: Number(number), unit, relative } = self else { return Ok(None) };
        let number = number.ok_or(Failure::NOT_AN_INTEGER)?;
        deadline(number, unit, relative.then_some(now), name).map(Some)
    }
}

impl<'a> SetOptions<'a> {
    fn parse(args: &'a [Bytes]) -> Result<SetOptions<'a>> {
        let mut parsed = SetOptions { expiry: Expiry::Default, condition: Condition::Always, get: false };
        let mut options = Options::new(args, 3);
        while let Some(word) = options.next() {
            let stays = |condition| parsed.condition == Condition::Always || parsed.condition == condition;
            if is(word, "nx") && stays(Condition::Missing) {
                parsed.condition = Condition::Missing;
            } else if is(word, "xx") && stays(Condition::Existing) {
                parsed.condition = Condition::Existing;
            } else if is(word, "ifeq") && parsed.condition == Condition::Always {
                parsed.condition = Condition::Equal(options.value()?);
            } else if is(word, "ifne") && parsed.condition == Condition::Always {
                parsed.condition = Condition::Different(options.value()?);
            } else if is(word, "ifdeq") && parsed.condition == Condition::Always {
                parsed.condition = Condition::EqualDigest(options.value()?);
            } else if is(word, "ifdne") && parsed.condition == Condition::Always {
                parsed.condition = Condition::DifferentDigest(options.value()?);
            } else if is(word, "get") {
                parsed.get = true;
            } else if is(word, "keepttl") {
                parsed.expiry.read_word(Expiry::Keep)?;
            } else if !parsed.expiry.read(word, &mut options)? {
                return Err(Failure::SYNTAX);
            }
        }
        Ok(parsed)
    }
}

pub(super) fn get(context: &mut Context<'_, '_>, args: &[Bytes]) -> Result<Value> {
    Ok(bulk_or_null(context.string(&args[1])?))
}

pub(super) fn set(context: &mut Context<'_, '_>, args: &[Bytes]) -> Result<Value> {
    let options = SetOptions::parse(args)?;
    let deadline = options.expiry.deadline(context.now(), "set")?;
    let (key, value) = (&args[1], &args[2]);
    context.keys.manner.counts = options.get;
    let compares = !matches!(options.condition, Condition::Always | Condition::Missing | Condition::Existing);
    let before = if options.get || compares { context.string(key)? } else { context.lookup(key)? };
    let allowed = match options.condition {
        Condition::Always => true,
        Condition::Missing => before.is_none(),
        Condition::Existing => before.is_some(),
        Condition::Equal(value) => before.as_ref().is_some_and(|head| head.payload == value),
        Condition::Different(value) => before.as_ref().is_none_or(|head| head.payload != value),
        Condition::EqualDigest(digest) => match &before {
            Some(head) => has_digest(&head.payload, digest)?,
            None => false,
        },
        Condition::DifferentDigest(digest) => match &before {
            Some(head) => !has_digest(&head.payload, digest)?,
            None => true,
        },
    };
    if allowed {
        let kept = before.as_ref().and_then(|head| head.deadline).filter(|_| options.expiry == Expiry::Keep);
        let head = Head::string(value.clone()).with_deadline(deadline.or(kept));
        context.set_string(key, before.as_ref(), head, deadline.is_some());
    }
    Ok(match (options.get, allowed) {
        (true, _) => bulk_or_null(before),
        (false, true) => Value::OK,
        (false, false) => Value::Null,
    })
}

pub(super) fn setnx(context: &mut Context<'_, '_>, args: &[Bytes]) -> Result<Value> {
    let missing = context.lookup(&args[1])?.is_none();
    if missing {
        context.set_string(&args[1], None, Head::string(args[2].clone()), false);
    }
    Ok(Value::Integer(i64::from(missing)))
}

pub(super) fn setex(context: &mut Context<'_, '_>, args: &[Bytes]) -> Result<Value> {
    set_with_expiry(context, args, 1000, "setex")
}

pub(super) fn psetex(context: &mut Context<'_, '_>, args: &[Bytes]) -> Result<Value> {
    set_with_expiry(context, args, 1, "psetex")
}

fn set_with_expiry(context: &mut Context<'_, '_>, args: &[Bytes], unit: i64, name: &str) -> Result<Value> {
    let deadline = deadline(integer(&args[2])?, unit, Some(context.now()), name)?;
    let before = context.lookup(&args[1])?;
    let head = Head::string(args[3].clone()).with_deadline(Some(deadline));
    context.set_string(&args[1], before.as_ref(), head, true);
    Ok(Value::OK)
}

pub(super) fn getset(context: &mut Context<'_, '_>, args: &[Bytes]) -> Result<Value> {
    let before = context.string(&args[1])?;
    context.set_string(&args[1], before.as_ref(), Head::string(args[2].clone()), false);
    Ok(bulk_or_null(before))
}

pub(super) fn getdel(context: &mut Context<'_, '_>, args: &[Bytes]) -> Result<Value> {
    let before = context.string(&args[1])?;
    if let Some(before) = &before {
        context.delete(&args[1], before);
    }
    Ok(bulk_or_null(before))
}

pub(super) fn getex(context: &mut Context<'_, '_>, args: &[Bytes]) -> Result<Value> {
    let mut expiry = Expiry::Default;
    let mut options = Options::new(args, 2);
    while let Some(word) = options.next() {
        if is(word, "persist") {
            expiry.read_word(Expiry::Persist)?;
        } else if !expiry.read(word, &mut options)? {
            return Err(Failure::SYNTAX);
        }
    }
    let Some(head) = context.string(&args[1])? else { return Ok(Value::Null) };
    let deadline = expiry.deadline(context.now(), "getex")?;
    let now = context.now();
    if expiry != Expiry::Default && deadline != head.deadline {
        context.set(&args[1], Some(&head), head.clone().with_deadline(deadline));
    }
    match deadline {
        Some(deadline) if deadline <= now => context.notify(Class::Generic, "del", &args[1]),
        Some(_) => context.notify(Class::Generic, "expire", &args[1]),
        None if expiry == Expiry::Persist && head.deadline.is_some() => {
            context.notify(Class::Generic, "persist", &args[1]);
        }
        None => {}
    }
    Ok(Value::Bulk(head.payload))
}

pub(super) fn mget(context: &mut Context<'_, '_>, args: &[Bytes]) -> Result<Value> {
    let value = |key: &Bytes| match context.string(key) {
        // A key of another type is as good as none here.
        Err(Failure::Reply(_)) => Ok(Value::Null),
        found => found.map(bulk_or_null),
    };
    args[1..].iter().map(value).collect::<Result<_>>().map(Value::Array)
}

pub(super) fn mset(context: &mut Context<'_, '_>, args: &[Bytes]) -> Result<Value> {
    set_all(context, pairs(args, "mset")?)?;
    Ok(Value::OK)
}

pub(super) fn msetnx(context: &mut Context<'_, '_>, args: &[Bytes]) -> Result<Value> {
    let pairs = pairs(args, "msetnx")?;
    for [key, _] in pairs {
        if context.lookup(key)?.is_some() {
            return Ok(Value::Integer(0));
        }
    }
    set_all(context, pairs)?;
    Ok(Value::Integer(1))
}

fn pairs<'a>(args: &'a [Bytes], name: &str) -> Result<&'a [[Bytes; 2]]> {
    match args[1..].as_chunks() {
        (pairs, []) => Ok(pairs),
        _ => Err(Failure::arity(name)),
    }
}

/// Each key is looked up when its turn comes, so a key named twice is right too: the last value stays.
fn set_all(context: &mut Context<'_, '_>, pairs: &[[Bytes; 2]]) -> Result<()> {
    for [key, value] in pairs {
        let before = context.lookup(key)?;
        context.set_string(key, before.as_ref(), Head::string(value.clone()), false);
    }
    Ok(())
}

pub(super) fn strlen(context: &mut Context<'_, '_>, args: &[Bytes]) -> Result<Value> {
    let length = context.string(&args[1])?.map_or(0, |head| head.payload.len());
    Ok(length_reply(length))
}

pub(super) fn append(context: &mut Context<'_, '_>, args: &[Bytes]) -> Result<Value> {
    let (key, tail) = (&args[1], &args[2]);
    let Some(before) = context.string(key)? else {
        context.set(key, None, Head::string(tail.clone()));
        context.notify(Class::String, "append", key);
        return Ok(length_reply(tail.len()));
    };
    check_length(context, before.payload.len(), tail.len())?;
    let mut after = BytesMut::with_capacity(before.payload.len() + tail.len());
    after.extend_from_slice(&before.payload);
    after.extend_from_slice(tail);
    let length = after.len();
    context.set(key, Some(&before), Head { raw: true, payload: after.freeze(), ..before.clone() });
    context.notify(Class::String, "append", key);
    Ok(length_reply(length))
}

pub(super) fn setrange(context: &mut Context<'_, '_>, args: &[Bytes]) -> Result<Value> {
    let (key, part) = (&args[1], &args[3]);
    let offset = integer(&args[2])?;
    let offset = usize::try_from(offset).map_err(|_| Failure::line("ERR offset is out of range"))?;
    let before = context.string(key)?;
    if part.is_empty() {
        return Ok(length_reply(before.map_or(0, |head| head.payload.len())));
    }
    check_length(context, offset, part.len())?;
    let base = before.clone().unwrap_or_else(|| Head::string(Bytes::new()));
    let payload = string::overwrite(&base.payload, offset, part);
    let length = payload.len();
    context.set(key, before.as_ref(), Head { raw: true, payload, ..base });
    context.notify(Class::String, "setrange", key);
    Ok(length_reply(length))
}

/// A string is one bulk of one entry of the log; Redis's words for its own bound fit.
fn check_length(context: &Context<'_, '_>, length: usize, more: usize) -> Result<()> {
    match length.checked_add(more) {
        Some(sum) if sum <= context.keys.thresholds.string_bytes_max => Ok(()),
        _ => Err(Failure::line("ERR string exceeds maximum allowed size (proto-max-bulk-len)")),
    }
}

pub(super) fn getrange(context: &mut Context<'_, '_>, args: &[Bytes]) -> Result<Value> {
    let (start, end) = (integer(&args[2])?, integer(&args[3])?);
    let payload = context.string(&args[1])?.map(|head| head.payload).unwrap_or_default();
    Ok(Value::Bulk(payload.slice(string::range(payload.len(), start, end))))
}

pub(super) use getrange as substr;

pub(super) fn lcs(context: &mut Context<'_, '_>, args: &[Bytes]) -> Result<Value> {
    let mut strings = [const { Bytes::new() }; 2];
    for (text, key) in strings.iter_mut().zip(&args[1..3]) {
        match context.string(key) {
            Ok(head) => *text = head.map(|head| head.payload).unwrap_or_default(),
            Err(Failure::Reply(_)) => {
                return Err(Failure::line("ERR The specified keys must contain string values"));
            }
            Err(abort) => return Err(abort),
        }
    }
    let (mut length_only, mut positions, mut with_lengths, mut least) = (false, false, false, 0);
    let mut options = Options::new(args, 3);
    while let Some(word) = options.next() {
        if is(word, "idx") {
            positions = true;
        } else if is(word, "len") {
            length_only = true;
        } else if is(word, "withmatchlen") {
            with_lengths = true;
        } else if is(word, "minmatchlen") && options.left() > 0 {
            least = usize::try_from(options.integer()?).unwrap_or(0);
        } else {
            return Err(Failure::SYNTAX);
        }
    }
    if positions && length_only {
        return Err(Failure::line("ERR If you want both the length and indexes, please just use IDX."));
    }
    let [first, second] = &strings;
    // One bound for both forms: counting alone takes no memory to speak of, but the same time.
    let cells = (first.len() + 1).checked_mul(second.len() + 1);
    if cells.is_none_or(|cells| cells > context.keys.thresholds.string_bytes_max / string::COMMON_CELL_BYTES) {
        return Err(Failure::line("ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len"));
    }
    if length_only {
        return Ok(length_reply(string::longest_common_length(first, second)));
    }
    let common = string::longest_common(first, second);
    if !positions {
        return Ok(Value::bulk(common.bytes));
    }
    let bounds =
        |range: &std::ops::Range<usize>| Value::Array(vec![length_reply(range.start), length_reply(range.end - 1)]);
    let pieces = common.pieces.iter().filter(|piece| piece.first.len() >= least).map(|piece| {
        let mut items = vec![bounds(&piece.first), bounds(&piece.second)];
        if with_lengths {
            items.push(length_reply(piece.first.len()));
        }
        Value::Array(items)
    });
    Ok(Value::Map(vec![
        (Value::bulk("matches"), Value::Array(pieces.collect())),
        (Value::bulk("len"), length_reply(common.bytes.len())),
    ]))
}

fn bulk_or_null(head: Option<Head>) -> Value {
    head.map_or(Value::Null, |head| Value::Bulk(head.payload))
}

fn length_reply(length: usize) -> Value {
    Value::Integer(length as i64)
}

#[cfg(test)]
mod tests {
    use crate::command::testing::Session;
    use crate::data::Touched;

    #[test]
    fn set_and_its_options() {
        let mut session = Session::new();
        session.check(&[
            ("GET k", "$-1"),
            ("SET k v", "+OK"),
            ("SET k w NX", "$-1"),
            ("SET k w nx get", "$1 v"),
            ("GET k", "$1 v"),
            ("SET n w NX GET", "$-1"),
            ("GET n", "$1 w"),
            ("SET x w XX", "$-1"),
            ("SET k w XX GET", "$1 v"),
            ("SET k v NX XX", "-ERR syntax error"),
            ("SET k v EX", "-ERR syntax error"),
            ("SET k v EX 10 PX 10", "-ERR syntax error"),
            ("SET k v EX 10 KEEPTTL", "-ERR syntax error"),
            ("SET k v PERSIST", "-ERR syntax error"),
            ("SET k v EX ten", "-ERR value is not an integer or out of range"),
            ("SET k v EX 0", "-ERR invalid expire time in 'set' command"),
            ("SET k v PX -1", "-ERR invalid expire time in 'set' command"),
            ("SET k v EX 9223372036854775807", "-ERR invalid expire time in 'set' command"),
            ("SET k v PX 9223372036854775807", "-ERR invalid expire time in 'set' command"),
            ("GET k", "$1 w"),
        ]);
        session.hash("h");
        session.check(&[
            ("SET h v GET", "-WRONGTYPE Operation against a key holding the wrong kind of value"),
            ("GETSET h v", "-WRONGTYPE Operation against a key holding the wrong kind of value"),
            ("SET h v", "+OK"),
            ("GETSET h w", "$1 v"),
        ]);
    }

    #[test]
    fn expiry_of_strings() {
        let mut session = Session::new();
        session.check(&[("SET k v EX 10 EX 20", "+OK")]);
        assert_eq!(session.deadline("k"), Some(session.now() + 20_000));
        session.check(&[("SET k v KEEPTTL", "+OK")]);
        assert_eq!(session.deadline("k"), Some(session.now() + 20_000));
        session.check(&[("SET k v", "+OK")]);
        assert_eq!(session.deadline("k"), None);
        session.check(&[("SETEX k 5 v", "+OK"), ("APPEND k w", ":2"), ("SETRANGE k 0 x", ":2"), ("GETEX k", "$2 xw")]);
        assert_eq!(session.deadline("k"), Some(session.now() + 5_000));
        session.check(&[("GETEX k PERSIST", "$2 xw")]);
        assert_eq!(session.deadline("k"), None);
        session.check(&[("PSETEX k 5 1", "+OK"), ("INCR k", ":2"), ("INCRBYFLOAT k 1", "$1 3")]);
        assert_eq!(session.deadline("k"), Some(session.now() + 5));
        session.check(&[
            ("GETEX k PXAT 99999999999999", "$1 3"),
            ("GETEX k EX 0", "-ERR invalid expire time in 'getex' command"),
            ("GETEX none EX 0", "$-1"),
            ("GETEX k EX 10 PERSIST", "-ERR syntax error"),
            ("GETEX k KEEPTTL", "-ERR syntax error"),
            ("SETEX k 0 v", "-ERR invalid expire time in 'setex' command"),
            ("PSETEX k -5 v", "-ERR invalid expire time in 'psetex' command"),
            ("SETEX k x v", "-ERR value is not an integer or out of range"),
        ]);
        assert_eq!(session.deadline("k"), Some(99999999999999));
    }

    #[test]
    fn a_deadline_in_the_past_is_a_removal() {
        let mut session = Session::new();
        session.check(&[("SET k v", "+OK"), ("GETEX k EXAT 1", "$1 v"), ("GET k", "$-1")]);
        session.check(&[("SET k v", "+OK"), ("SET k w PXAT 1", "+OK"), ("GET k", "$-1")]);
        session.world.touched.clear();
        session.check(&[("SET k v PXAT 1", "+OK")]);
        assert_eq!((session.world.counts.keys[0], session.world.store.len()), (0, 0));
        assert_eq!(session.world.touched, [Touched::Key(0, "k".into())], "a watcher of the missing key hears of it");
    }

    #[test]
    fn several_keys() {
        let mut session = Session::new();
        session.hash("h");
        session.check(&[
            ("MSET a 1 b 2 a 3", "+OK"),
            ("MGET a b none h", "*4 $1 3 $1 2 $-1 $-1"),
            ("MSET a 1 b", "-ERR wrong number of arguments for 'mset' command"),
            ("MSETNX c 1 a 2", ":0"),
            ("MSETNX c 1 c 2", ":1"),
            ("GET c", "$1 2"),
            ("MSETNX d", "-ERR wrong number of arguments for 'msetnx' command"),
            ("SETNX c 5", ":0"),
            ("SETNX d 5", ":1"),
            ("GETDEL d", "$1 5"),
            ("GETDEL d", "$-1"),
        ]);
        assert_eq!(session.world.counts.keys[0], 4);
    }

    #[test]
    fn parts_of_strings() {
        let mut session = Session::new();
        session.check(&[
            ("APPEND k Hello", ":5"),
            ("STRLEN k", ":5"),
            ("STRLEN none", ":0"),
            ("GETRANGE k 1 -2", "$3 ell"),
            ("SUBSTR k -3 100", "$3 llo"),
            ("GETRANGE k 3 1", "$0 "),
            ("GETRANGE none 0 -1", "$0 "),
            ("GETRANGE k x 1", "-ERR value is not an integer or out of range"),
            ("SETRANGE k 1 ELL", ":5"),
            ("SETRANGE k 5 !", ":6"),
            ("GET k", "$6 HELLo!"),
            ("SETRANGE k -1 x", "-ERR offset is out of range"),
            ("SETRANGE k 67108864 x", "-ERR string exceeds maximum allowed size (proto-max-bulk-len)"),
            ("SETRANGE none 9223372036854775807 x", "-ERR string exceeds maximum allowed size (proto-max-bulk-len)"),
            ("SETRANGE pad 2 x", ":3"),
            ("GET pad", "$3 \0\0x"),
        ]);
        session.check_words(&[("SETRANGE", &["none", "5", ""], ":0"), ("SETRANGE", &["k", "50", ""], ":6")]);
    }

    #[test]
    fn longest_common_subsequences() {
        let mut session = Session::new();
        session.hash("h");
        session.check(&[
            ("MSET a ohmytext b mynewtext", "+OK"),
            ("LCS a b", "$6 mytext"),
            ("LCS a b LEN", ":6"),
            ("LCS a b IDX", "*4 $7 matches *2 *2 *2 :4 :7 *2 :5 :8 *2 *2 :2 :3 *2 :0 :1 $3 len :6"),
            ("LCS a b IDX MINMATCHLEN 4", "*4 $7 matches *1 *2 *2 :4 :7 *2 :5 :8 $3 len :6"),
            ("LCS a b IDX MINMATCHLEN 4 WITHMATCHLEN", "*4 $7 matches *1 *3 *2 :4 :7 *2 :5 :8 :4 $3 len :6"),
            ("LCS a none", "$0 "),
            ("LCS a b LEN IDX", "-ERR If you want both the length and indexes, please just use IDX."),
            ("LCS a b MINMATCHLEN", "-ERR syntax error"),
            ("LCS a h", "-ERR The specified keys must contain string values"),
        ]);
        let long = "x".repeat(5_000);
        session.check_words(&[
            ("MSET", &["a", &long, "b", &long], "+OK"),
            ("LCS", &["a", "b"], "-ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len"),
        ]);
    }
}
