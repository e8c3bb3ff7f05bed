//! Commands that Redis has and that are answered with the reason why they are not offered here. What is wrong with a
//! call is told first, as Redis tells it; the reason stands in the table, for people who read docs/commands.md too.

use bytes::Bytes;

use super::words::{integer, is, not_an_integer, syntax_error};
use crate::base::limits::DATABASES;
use crate::command::{self, Verdict};
use crate::resp::Value;

/// Answers such a call, or what little of it is offered.
pub(super) fn answer(name: &str, args: &[Bytes]) -> Value {
    let checked = match name {
        "replicaof" | "slaveof" => replicaof(args),
        "migrate" => migrate(args),
        "swapdb" => swapdb(args),
        "replconf" if args.len().is_multiple_of(2) => Err(syntax_error()),
        _ => Ok(None),
    };
    match checked {
        Ok(Some(value)) => value,
        Ok(None) => refusal(name),
        Err(wrong) => wrong,
    }
}

fn refusal(name: &str) -> Value {
    let why = match command::lookup(name.as_bytes()).map(|spec| spec.verdict) {
        Some(Verdict::Refused(why)) => why,
        _ => "there is no such thing here",
    };
    Value::error(format!("ERR {} is not offered: {why}", name.to_ascii_uppercase()))
}

type Checked = Result<Option<Value>, Value>;

/// `REPLICAOF host port` or `NO ONE`, which a node is already.
fn replicaof(args: &[Bytes]) -> Checked {
    match args {
        [_, no, one] if is(no, "no") && is(one, "one") => Ok(Some(Value::OK)),
        [_, _, port] if integer(port).is_some_and(|port| (0..=65_535).contains(&port)) => Ok(None),
        _ => Err(Value::error("ERR Invalid master port")),
    }
}

/// `SWAPDB first second`: a database is as good as itself.
fn swapdb(args: &[Bytes]) -> Checked {
    let index = |at: usize, which: &str| {
        integer(&args[at])
            .filter(|index| i32::try_from(*index).is_ok())
            .ok_or_else(|| Value::error(format!("ERR invalid {which} DB index")))
    };
    let (first, second) = (index(1, "first")?, index(2, "second")?);
    let exists = |index: i64| (0..i64::from(DATABASES)).contains(&index);
    match exists(first) && exists(second) {
        true => Ok((first == second).then_some(Value::OK)),
        false => Err(Value::error("ERR DB index is out of range")),
    }
}

/// `MIGRATE host port key|"" db timeout [COPY] [REPLACE] [AUTH password | AUTH2 user password] [KEYS key ...]`
fn migrate(args: &[Bytes]) -> Checked {
    let mut rest = &args[6..];
    loop {
        rest = match rest {
            [] => break,
            [word, rest @ ..] if is(word, "copy") || is(word, "replace") => rest,
            [word, _, rest @ ..] if is(word, "auth") => rest,
            [word, _, _, rest @ ..] if is(word, "auth2") => rest,
            [word, ..] if is(word, "keys") && !args[3].is_empty() => {
                let line = "ERR When using MIGRATE KEYS option, the key argument must be set to the empty string";
                return Err(Value::error(line));
            }
            [word, ..] if is(word, "keys") => break,
            _ => return Err(syntax_error()),
        };
    }
    match (integer(&args[5]), integer(&args[4])) {
        (Some(_), Some(_)) => Ok(None),
        _ => Err(not_an_integer()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(line: &str) -> String {
        let args: Vec<Bytes> = line.split(' ').map(|word| Bytes::copy_from_slice(word.as_bytes())).collect();
        match answer(&line.split(' ').next().unwrap_or("").to_ascii_lowercase(), &args) {
            Value::Error(line) => String::from_utf8_lossy(&line).into_owned(),
            Value::Simple(word) => word.into_owned(),
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn mistakes_come_first_then_the_reason() {
        for (line, reply) in [
            ("SWAPDB x 0", "ERR invalid first DB index"),
            ("SWAPDB 0 x", "ERR invalid second DB index"),
            ("SWAPDB 99999999999 0", "ERR invalid first DB index"),
            ("SWAPDB 0 99", "ERR DB index is out of range"),
            ("SWAPDB -1 0", "ERR DB index is out of range"),
            ("SWAPDB 3 3", "OK"),
            ("REPLICAOF no ONE", "OK"),
            ("REPLICAOF a b", "ERR Invalid master port"),
            ("SLAVEOF a 65536", "ERR Invalid master port"),
            ("MIGRATE h 1 k 0 x", "ERR value is not an integer or out of range"),
            ("MIGRATE h 1 k x 10", "ERR value is not an integer or out of range"),
            ("MIGRATE h 1 k 0 10 FOO", "ERR syntax error"),
            ("MIGRATE h 1 k 0 10 AUTH", "ERR syntax error"),
            ("MIGRATE h 1 k 0 10 AUTH2 u", "ERR syntax error"),
            (
                "MIGRATE h 1 k 0 10 COPY KEYS a",
                "ERR When using MIGRATE KEYS option, the key argument must be set to the empty string",
            ),
            ("REPLCONF a", "ERR syntax error"),
        ] {
            assert_eq!(told(line), reply, "{line}");
        }
        for line in
            ["SWAPDB 0 1", "REPLICAOF a 1", "MIGRATE h 1  0 10 REPLACE KEYS a b", "PSYNC ? -1", "SYNC", "REPLCONF"]
        {
            let name = line.split(' ').next().unwrap_or("");
            assert!(told(line).starts_with(&format!("ERR {name} is not offered: ")), "{line}: {}", told(line));
        }
    }
}
