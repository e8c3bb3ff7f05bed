//! COMMAND and its subcommands: the table, as clients ask for it. Pure functions; smart clients of a cluster route by
//! what is told here, redis-cli shows it as help.

use bytes::Bytes;

use super::args::{is, parse_integer};
use super::context::Context;
use super::error::Result;
use super::spec::{Categories, Flags, KeyFlags, KeySpec, Spec};
use super::{bitfield, check, syntax, table};
use crate::base::glob;
use crate::resp::Value;

/// HELP's lines: subcommand, then what it answers.
const HELP: &[&str] = &[
    "COMMAND <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
    "(no subcommand)",
    "    Facts about all commands.",
    "COUNT",
    "    How many commands there are.",
    "LIST [FILTERBY (MODULE <name>|ACLCAT <category>|PATTERN <pattern>)]",
    "    Names of commands.",
    "INFO [<command-name> ...]",
    "    Facts about the named commands, or about all.",
    "DOCS [<command-name> ...]",
    "    Documentation of the named commands, or of all.",
    "GETKEYS <full-command>",
    "    The keys in a call.",
    "GETKEYSANDFLAGS <full-command>",
    "    The keys in a call, and what it does with each.",
    "HELP",
    "    These lines.",
];

/// Answers `COMMAND ...`. `args` passed [`check`].
pub fn command(args: &[Bytes]) -> Value {
    let Some(word) = args.get(1) else { return Value::Array(table::all().map(info).collect()) };
    let rest = &args[2..];
    match word.to_ascii_lowercase().as_slice() {
        b"count" => Value::Integer(table::all().count() as i64),
        b"docs" if rest.is_empty() => Value::Map(table::all().map(docs).collect()),
        b"docs" => Value::Map(rest.iter().filter_map(|name| named(name)).map(docs).collect()),
        b"info" if rest.is_empty() => Value::Array(table::all().map(info).collect()),
        b"info" => Value::Array(rest.iter().map(|name| named(name).map_or(Value::Null, info)).collect()),
        b"list" => list(rest),
        b"getkeys" => keys(rest, |key, _| key),
        b"getkeysandflags" => {
            keys(rest, |key, flags| Value::Array(vec![key, Value::Set(simple(flags.words()).collect())]))
        }
        _ => Value::Array(simple(HELP.iter().copied()).collect()),
    }
}

/// A command by its full name, `get` or `client|id`.
fn named(name: &[u8]) -> Option<&'static Spec> {
    match name.iter().position(|&byte| byte == b'|') {
        None => table::lookup(name),
        Some(bar) => table::lookup(&name[..bar])?.subcommand(&name[bar + 1..]),
    }
}

/// A row of COMMAND INFO.
fn info(spec: &Spec) -> Value {
    let (first, last, step, movable) = legacy_range(spec.keys);
    let flags = if movable { spec.flags.with(Flags::of("movablekeys")) } else { spec.flags };
    let categories = spec.categories().words().map(|word| Value::Simple(format!("@{word}").into()));
    let subcommands = match spec.subcommands {
        // Redis has another kind of nothing here.
        [] => Value::Set(Vec::new()),
        some => Value::Array(some.iter().map(info).collect()),
    };
    Value::Array(vec![
        Value::bulk(spec.name),
        Value::Integer(i64::from(spec.arity)),
        // Redis keeps to itself that a command must be allowed first.
        Value::Set(simple(flags.words().filter(|word| *word != "protected")).collect()),
        Value::Integer(first),
        Value::Integer(last),
        Value::Integer(step),
        Value::Set(categories.collect()),
        Value::Set(spec.tips.iter().map(|tip| Value::bulk(*tip)).collect()),
        Value::Set(spec.keys.iter().map(key_spec).collect()),
        subcommands,
    ])
}

/// First key, last key and step, as clients before key specs know them, and whether that leaves keys out. Specs join
/// if each starts where the one before ended; those that are counted are left out.
fn legacy_range(keys: &[KeySpec]) -> (i64, i64, i64, bool) {
    let fixed: Vec<KeySpec> =
        keys.iter().copied().filter(|key| !key.counted && !key.unknown && key.keyword.is_empty()).collect();
    let (first, last, step, movable) = fixed_range(&fixed);
    (first, last, step, movable || fixed.len() < keys.len())
}

fn fixed_range(keys: &[KeySpec]) -> (i64, i64, i64, bool) {
    let last_of =
        |key: &KeySpec| if key.last < 0 { i64::from(key.last) } else { key.first as i64 + i64::from(key.last) };
    match keys {
        [] => (0, 0, 0, false),
        [one] => (one.first as i64, last_of(one), one.step as i64, false),
        [first, rest @ ..] => {
            let (mut last, mut movable) = (last_of(first), first.step != 1);
            for key in rest {
                if key.step == 1 && key.first as i64 == last + 1 {
                    last = last_of(key);
                } else {
                    movable = true;
                }
            }
            (first.first as i64, last, 1, movable)
        }
    }
}

fn key_spec(key: &KeySpec) -> Value {
    let text = |text: &'static str| Value::bulk(text);
    let number = |number: i64| Value::Integer(number);
    let mut fields = Vec::new();
    if !key.notes.is_empty() {
        fields.push((text("notes"), text(key.notes)));
    }
    fields.push((text("flags"), Value::Set(simple(key.flags.words()).collect())));
    let (begun_by, begin) = if key.keyword.is_empty() {
        ("index", vec![(text("index"), number(key.first as i64))])
    } else {
        let from = if key.from_end { -(key.first as i64) } else { key.first as i64 };
        ("keyword", vec![(text("keyword"), text(key.keyword)), (text("startfrom"), number(from))])
    };
    let (found_by, find) = if key.counted {
        ("keynum", [("keynumidx", 0), ("firstkey", 1), ("keystep", key.step as i64)])
    } else {
        ("range", [("lastkey", i64::from(key.last)), ("keystep", key.step as i64), ("limit", key.limit as i64)])
    };
    let find = find.map(|(name, value)| (text(name), number(value))).to_vec();
    let search = [("begin_search", begun_by, begin), ("find_keys", found_by, find)];
    for (name, kind, spec) in search {
        let (kind, spec) = if key.unknown { ("unknown", Vec::new()) } else { (kind, spec) };
        let search = vec![(text("type"), text(kind)), (text("spec"), Value::Map(spec))];
        fields.push((text(name), Value::Map(search)));
    }
    Value::Map(fields)
}

/// An entry of COMMAND DOCS.
fn docs(spec: &'static Spec) -> (Value, Value) {
    let text = |text: &'static str| Value::bulk(text);
    let doc = &spec.doc;
    let mut fields = vec![
        (text("summary"), text(doc.summary)),
        (text("since"), text(doc.since)),
        (text("group"), text(doc.group)),
        (text("complexity"), text(doc.complexity)),
    ];
    let flags = [("deprecated", doc.deprecated.is_some()), ("syscmd", doc.system)];
    let flags: Vec<_> = flags.into_iter().filter(|(_, holds)| *holds).map(|(flag, _)| flag).collect();
    if !flags.is_empty() {
        fields.push((text("doc_flags"), Value::Set(simple(flags).collect())));
    }
    if let Some((since, by)) = doc.deprecated {
        fields.push((text("deprecated_since"), text(since)));
        fields.push((text("replaced_by"), text(by)));
    }
    if !doc.history.is_empty() {
        let changes = doc.history.iter().map(|(version, change)| Value::Array(vec![text(version), text(change)]));
        fields.push((text("history"), Value::Set(changes.collect())));
    }
    if let Some(arguments) = syntax::documented(doc.arguments) {
        fields.push((text("arguments"), Value::Array(arguments)));
    }
    if !spec.subcommands.is_empty() {
        fields.push((text("subcommands"), Value::Map(spec.subcommands.iter().map(docs).collect())));
    }
    (text(spec.name), Value::Map(fields))
}

/// COMMAND LIST: commands and subcommands, all or those that a filter lets through.
fn list(filter: &[Bytes]) -> Value {
    let all = || table::all().flat_map(|spec| std::iter::once(spec).chain(spec.subcommands));
    let names =
        |specs: &mut dyn Iterator<Item = &Spec>| Value::Array(specs.map(|spec| Value::bulk(spec.name)).collect());
    match filter {
        [] => names(&mut all()),
        [by, kind, value] if is(by, "filterby") => match kind.to_ascii_lowercase().as_slice() {
            // There are no modules.
            b"module" => Value::Array(Vec::new()),
            b"aclcat" => match Categories::parse(value) {
                Some(category) => names(&mut all().filter(|spec| spec.categories().has(category))),
                None => Value::Array(Vec::new()),
            },
            b"pattern" => names(&mut all().filter(|spec| glob::matches_ignoring_case(value, spec.name.as_bytes()))),
            _ => Value::error("ERR syntax error"),
        },
        _ => Value::error("ERR syntax error"),
    }
}

/// COMMAND GETKEYS: each key of a call, as `show` shows it.
fn keys(call: &[Bytes], show: impl Fn(Value, KeyFlags) -> Value) -> Value {
    let container = call.first().and_then(|name| table::lookup(name));
    let spec = container.and_then(|container| match call.get(1) {
        Some(word) if !container.subcommands.is_empty() => container.subcommand(word),
        _ => Some(container),
    });
    let Some(spec) = spec else { return Value::error("ERR Invalid command specified") };
    // The name of a channel is routed like a key, but it is none.
    let is_key = |key: &KeySpec| !key.flags.has(KeyFlags::of("not_key"));
    if !spec.keys.iter().any(is_key) {
        return Value::error("ERR The command has no key arguments");
    }
    if check(call).is_err() {
        return Value::error("ERR Invalid number of arguments specified for command");
    }
    let miscounted = |key: &KeySpec| {
        let count = parse_integer(&call[key.first]).and_then(|count| usize::try_from(count).ok());
        count.is_none_or(|count| count == 0 || (count - 1).saturating_mul(key.step) >= call.len() - key.first - 1)
    };
    if spec.keys.iter().filter(|key| key.counted).any(miscounted) {
        return match spec.flags.has(Flags::of("no_mandatory_keys")) {
            true => Value::Array(Vec::new()),
            false => Value::error("ERR Invalid arguments specified for command"),
        };
    }
    let halved = spec.keys.iter().any(|key| key.limit > 0);
    if halved && spec.keys_of(call).next().is_none() {
        return Value::error("ERR Invalid arguments specified for command");
    }
    let found = spec.keys_of(call).map(|(at, flags)| show(Value::Bulk(call[at].clone()), precise(spec, flags, call)));
    Value::Array(found.collect())
}

/// What a call does to a key, where that depends on its options: SET reads only with GET, DELEX with a condition.
pub(super) fn precise(spec: &Spec, flags: KeyFlags, call: &[Bytes]) -> KeyFlags {
    let has = |option: &str| call.iter().skip(3).any(|word| is(word, option));
    match spec.name {
        "set" if has("get") => KeyFlags::of("RW access update"),
        "set" if ["ifeq", "ifne", "ifdeq", "ifdne"].into_iter().any(has) => KeyFlags::of("RW update"),
        "set" => KeyFlags::of("OW update"),
        "delex" if call.len() == 2 => KeyFlags::of("RM delete"),
        "delex" => KeyFlags::of("RW delete"),
        "bitfield" if bitfield::only_reads(call) => KeyFlags::of("RO access"),
        "bitfield" => KeyFlags::of("RW access update"),
        _ => flags,
    }
}

fn simple<'a>(words: impl IntoIterator<Item = &'static str> + 'a) -> impl Iterator<Item = Value> + 'a {
    words.into_iter().map(|word| Value::Simple(word.into()))
}

/// `<command> HELP`: its subcommands with what the table says of them, in the shape of Redis's.
pub(super) fn help(_context: &mut Context<'_, '_>, args: &[Bytes]) -> Result<Value> {
    Ok(explain(args))
}

/// The answer to HELP of a command with subcommands, from the table.
pub(super) fn explain(args: &[Bytes]) -> Value {
    let name = String::from_utf8_lossy(&args[0]).to_ascii_uppercase();
    let subcommands = table::lookup(&args[0]).map_or(&[][..], |spec| spec.subcommands);
    let mut lines = vec![format!("{name} <subcommand> [<arg> ...]. Subcommands are:")];
    for spec in subcommands {
        let (_, subcommand) = spec.name.split_once('|').unwrap_or(("", spec.name));
        lines.extend([subcommand.to_ascii_uppercase(), format!("    {}", spec.doc.summary)]);
    }
    Value::Array(lines.into_iter().map(|line| Value::Simple(line.into())).collect())
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;

    use super::*;
    use crate::resp::Protocol;

    fn ask(call: &str) -> String {
        let args: Vec<Bytes> = call.split(' ').map(|word| Bytes::copy_from_slice(word.as_bytes())).collect();
        assert!(check(&args).is_ok(), "{call}");
        let mut out = BytesMut::new();
        command(&args).encode(Protocol::Resp3, &mut out);
        String::from_utf8(out.to_vec()).unwrap().trim_end().replace("\r\n", " ")
    }

    #[test]
    fn info_has_redis_shape() {
        assert_eq!(
            ask("COMMAND INFO set nosuch"),
            "*2 *10 $3 set :-3 ~2 +write +denyoom :1 :1 :1 ~3 +@write +@string +@slow ~0 ~1 %4 $5 notes $21 \
             reads only with `GET` $5 flags ~4 +RW +access +update +variable_flags $12 begin_search %2 $4 type $5 index \
             $4 spec %1 $5 index :1 $9 find_keys %2 $4 type $5 range $4 spec %3 $7 lastkey :0 $7 keystep :1 $5 limit :0 \
             ~0 _"
        );
        assert_eq!(
            ask("COMMAND INFO CLIENT|id"),
            "*1 *10 $9 client|id :2 ~3 +noscript +loading +stale :0 :0 :0 ~2 +@slow +@connection ~0 ~0 ~0"
        );
        let range = |name: &[u8]| legacy_range(table::lookup(name).unwrap().keys);
        assert_eq!(range(b"mset"), (1, -1, 2, false));
        assert_eq!(range(b"lcs"), (1, 2, 1, false));
        assert_eq!(range(b"rename"), (1, 2, 1, false));
        assert_eq!(range(b"sort"), (1, 1, 1, true));
        assert_eq!(range(b"ping"), (0, 0, 0, false));
    }

    #[test]
    fn docs_have_redis_shape() {
        assert_eq!(
            ask("COMMAND DOCS nosuch getset"),
            "%1 $6 getset %8 $7 summary $50 Sets a key to a string and returns the one it had. $5 since $5 1.0.0 \
             $5 group $6 string $10 complexity $4 O(1) $9 doc_flags ~1 +deprecated $16 deprecated_since $5 6.2.0 \
             $11 replaced_by $16 `SET` with `GET` $9 arguments *2 %4 $4 name $3 key $4 type $3 key $12 display_text \
             $3 key $14 key_spec_index :0 %3 $4 name $5 value $4 type $6 string $12 display_text $5 value"
        );
        assert!(ask("COMMAND DOCS object").contains("$11 subcommands %5 $15 object|encoding %"));
    }

    #[test]
    fn keys_of_calls() {
        for (call, reply) in [
            ("GETKEYS mset a b c d e f", "*3 $1 a $1 c $1 e"),
            ("GETKEYS object encoding k", "*1 $1 k"),
            ("GETKEYS ping a", "-ERR The command has no key arguments"),
            ("GETKEYS foo a", "-ERR Invalid command specified"),
            ("GETKEYS object foo k", "-ERR Invalid command specified"),
            ("GETKEYS get a b", "-ERR Invalid number of arguments specified for command"),
            ("GETKEYSANDFLAGS set a b get", "*1 *2 $1 a ~3 +RW +access +update"),
            ("GETKEYSANDFLAGS georadiusbymember a m 1 km", "*1 *2 $1 a ~2 +RO +access"),
            ("GETKEYSANDFLAGS bitfield a get u8 0", "*1 *2 $1 a ~2 +RO +access"),
            ("GETKEYS georadius a 1 2 3 km store b", "*2 $1 a $1 b"),
            ("GETKEYS eval x 2 a b c", "*2 $1 a $1 b"),
            ("GETKEYS eval x 0", "*0"),
            ("GETKEYSANDFLAGS evalsha_ro x 1 a", "*1 *2 $1 a ~2 +RO +access"),
            ("GETKEYS sort a by w_* limit 0 1 get # store b", "*2 $1 a $1 b"),
            ("GETKEYS sort a store b store c", "*2 $1 a $1 c"),
            ("GETKEYS sort a by store get store limit store x", "*1 $1 a"),
            ("GETKEYS sort a store get store b", "*2 $1 a $3 get"),
            ("GETKEYS sort a store", "*1 $1 a"),
            ("GETKEYS sort_ro a by w_* store b", "*1 $1 a"),
            ("GETKEYSANDFLAGS sort a store b", "*2 *2 $1 a ~2 +RO +access *2 $1 b ~2 +OW +update"),
            ("GETKEYSANDFLAGS set a b", "*1 *2 $1 a ~2 +OW +update"),
            ("GETKEYSANDFLAGS rename a b", "*2 *2 $1 a ~3 +RW +access +delete *2 $1 b ~2 +OW +update"),
        ] {
            assert_eq!(ask(&format!("COMMAND {call}")), reply, "{call}");
        }
    }

    #[test]
    fn lists_are_filtered() {
        assert_eq!(ask("COMMAND LIST FILTERBY PATTERN HGETA*"), "*1 $7 hgetall");
        assert_eq!(ask("COMMAND LIST FILTERBY ACLCAT nosuch"), "*0");
        assert_eq!(ask("COMMAND LIST FILTERBY MODULE x"), "*0");
        assert_eq!(ask("COMMAND LIST FILTERBY x"), "-ERR syntax error");
        assert_eq!(ask("COMMAND LIST FILTERBY x y"), "-ERR syntax error");
        assert!(ask("COMMAND LIST FILTERBY ACLCAT transaction").starts_with("*5 "));
        assert_eq!(ask("COMMAND COUNT"), format!(":{}", table::all().count()));
    }

    /// What a reader of the table must be able to rely on.
    #[test]
    fn every_row_is_whole() {
        for spec in table::all().flat_map(|spec| std::iter::once(spec).chain(spec.subcommands)) {
            let doc = &spec.doc;
            assert!(spec.arity != 0 && !doc.summary.is_empty() && !doc.since.is_empty(), "{}", spec.name);
            assert!(!doc.complexity.is_empty() && doc.summary.ends_with('.'), "{}", spec.name);
            assert!(doc.arguments.is_empty() || syntax::documented(doc.arguments).is_some(), "{}", spec.name);
            assert!(!(spec.is_write() && spec.flags.has(Flags::of("readonly"))), "{}", spec.name);
            for sub in spec.subcommands {
                assert!(sub.name.starts_with(&format!("{}|", spec.name)), "{}", sub.name);
            }
        }
    }
}
