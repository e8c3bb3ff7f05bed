//! Text to [`History`]. Every complaint names the line, the field and what was expected there: whoever writes a
//! history must be able to mend the writer from the message alone.

use std::fmt;

use serde_json::{Map, Value};

use super::history::{Action, Command, Form, Header, History, Micro, Operation, Outcome, Reply, SetOptions, Verb};
use crate::base::Nanos;

/// Why a file cannot be judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unusable {
    /// Line in the file, from 1; 0: the file as a whole.
    pub line: usize,
    /// What is wrong and what was expected.
    pub why: String,
}

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => f.write_str(&self.why),
            line => write!(f, "line {line}: {}", self.why),
        }
    }
}

impl std::error::Error for Unusable {}

type Fields = Map<String, Value>;

/// Reads JSON lines: an optional header first, then one operation per line.
pub fn parse(text: &str) -> Result<History, Unusable> {
    let mut history = History::default();
    let mut first = true;
    for (number, line) in text.lines().enumerate() {
        if line.trim().is_empty() {
            continue;
        }
        let at = |why: String| Unusable { line: number + 1, why };
        let value: Value = serde_json::from_str(line).map_err(|error| at(format!("no JSON: {error}")))?;
        let Value::Object(fields) = value else {
            return Err(at("expected a JSON object, such as {\"client\":1,\"op\":\"get\",...}".to_owned()));
        };
        if fields.contains_key("history") {
            if !first {
                return Err(at("a header (a line with \"history\") may only be the first line".to_owned()));
            }
            history.header = header(&fields).map_err(at)?;
        } else {
            history.operations.push(operation(number + 1, &fields).map_err(at)?);
        }
        first = false;
    }
    Ok(history)
}

fn header(fields: &Fields) -> Result<Header, String> {
    if whole(fields, "history")? != 1 {
        return Err(format!("only version 1 of the format is known here, this is {}", fields["history"]));
    }
    let workload = match fields.get("workload") {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(workload)) => workload.clone(),
        Some(other) => return Err(format!("\"workload\" must be a string, it is {other}")),
    };
    let slack = if fields.contains_key("clock_slack_ns") { whole(fields, "clock_slack_ns")? } else { 0 };
    Ok(Header { workload, clock_slack: Nanos(slack) })
}

fn operation(line: usize, fields: &Fields) -> Result<Operation, String> {
    let client = whole(fields, "client")?;
    let start = Nanos(whole(fields, "start")?);
    let outcome = match text(fields, "outcome")? {
        "ok" => Outcome::Ok,
        "fail" => Outcome::Fail,
        "unknown" => Outcome::Unknown,
        other => return Err(format!("\"outcome\" must be \"ok\", \"fail\" or \"unknown\", it is \"{other}\"")),
    };
    let end = match outcome {
        Outcome::Unknown => None,
        _ => Some(Nanos(whole(fields, "end")?)),
    };
    if end.is_some_and(|end| end < start) {
        return Err("\"end\" is before \"start\"".to_owned());
    }
    let reply = fields.get("reply").filter(|_| outcome == Outcome::Ok);
    let action = action(fields, reply)?;
    if matches!(action, Action::Open { .. }) && outcome != Outcome::Ok {
        return Err("\"open\" must have the outcome \"ok\": nothing is known about a bank otherwise".to_owned());
    }
    Ok(Operation { line, client, start, end, outcome, action })
}

fn action(fields: &Fields, reply: Option<&Value>) -> Result<Action, String> {
    let op = text(fields, "op")?;
    let arg = fields.get("arg").unwrap_or(&Value::Null);
    let key = || text(fields, "key").map(str::to_owned);
    match op {
        "mget" => mget(arg, reply),
        "mset" => mset(arg, reply),
        "multi" => multi(arg, reply),
        "txn" => transaction(arg, reply),
        "sadd" => {
            let element = value_text(arg).ok_or_else(|| format!("sadd needs an element as \"arg\", it is {arg}"))?;
            let reply = reply.map(|reply| flag(op, reply)).transpose()?;
            Ok(Action::SetAdd { key: key()?, element, reply })
        }
        "smembers" => {
            none(op, arg)?;
            let reply = reply.map(|reply| texts(op, reply)).transpose()?.map(|mut elements| {
                elements.sort_unstable();
                elements
            });
            Ok(Action::SetRead { key: key()?, reply })
        }
        "open" => Ok(Action::Open { bank: key()?, accounts: balances(op, arg, false)? }),
        "transfer" => transfer(key()?, arg, reply),
        "balances" => {
            none(op, arg)?;
            let reply = reply.map(|reply| balances("the reply of balances", reply, true)).transpose()?;
            Ok(Action::Balances { bank: key()?, reply })
        }
        _ => Ok(Action::Registers(Form::Single, vec![command(op, key()?, arg, reply)?])),
    }
}

/// A command on one key.
fn command(op: &str, key: String, arg: &Value, reply: Option<&Value>) -> Result<Command, String> {
    let value = || value_text(arg).ok_or_else(|| format!("{op} needs a value (a string) as \"arg\", it is {arg}"));
    let number = || arg.as_i64().ok_or_else(|| format!("{op} needs a whole number as \"arg\", it is {arg}"));
    let verb = match op {
        "get" => Verb::Get,
        "set" => Verb::Set(set_options(arg)?),
        "setnx" => Verb::Setnx(value()?),
        "getset" => Verb::Getset(value()?),
        "getdel" => Verb::Getdel,
        "del" => Verb::Del,
        "exists" => Verb::Exists,
        "strlen" => Verb::Strlen,
        "append" => Verb::Append(value()?),
        "incr" => Verb::Add(1),
        "decr" => Verb::Add(-1),
        "incrby" => Verb::Add(number()?),
        "decrby" => Verb::Add(number()?.checked_neg().ok_or("decrby: the number is too small to be negated")?),
        "cas" => cas(arg)?,
        "pexpire" => {
            Verb::Pexpire(arg.as_u64().ok_or_else(|| format!("pexpire needs milliseconds as \"arg\", it is {arg}"))?)
        }
        "persist" => Verb::Persist,
        other => return Err(format!("\"op\" is \"{other}\", which is no operation of docs/reliability.md")),
    };
    let bare = ["get", "getdel", "del", "exists", "strlen", "incr", "decr", "persist"];
    if bare.contains(&op) {
        none(op, arg)?;
    }
    let reply = reply.map(|reply| command_reply(op, &verb, reply)).transpose()?;
    Ok(Command { key, verb, reply })
}

fn set_options(arg: &Value) -> Result<SetOptions, String> {
    if let Some(value) = value_text(arg) {
        return Ok(SetOptions { value, ..SetOptions::default() });
    }
    let expected = || format!("set needs a string or an object with \"value\" as \"arg\", it is {arg}");
    let options = arg.as_object().ok_or_else(expected)?;
    let value = options.get("value").and_then(value_text).ok_or_else(expected)?;
    let mut set = SetOptions { value, ..SetOptions::default() };
    for (name, given) in options {
        let on = || given.as_bool().ok_or_else(|| format!("set: \"{name}\" must be true or false, it is {given}"));
        match name.as_str() {
            "value" => {}
            "nx" => set.if_absent = on()?,
            "xx" => set.if_present = on()?,
            "get" => set.get = on()?,
            "keepttl" => set.keep_deadline = on()?,
            "px" if given.is_null() => {}
            "px" => {
                let ms = given.as_u64().filter(|&ms| ms > 0);
                set.px = Some(ms.ok_or_else(|| format!("set: \"px\" must be milliseconds above 0, it is {given}"))?);
            }
            other => return Err(format!("set: unknown option \"{other}\"")),
        }
    }
    if set.if_absent && set.if_present || set.keep_deadline && set.px.is_some() {
        return Err("set: these options exclude each other".to_owned());
    }
    Ok(set)
}

fn cas(arg: &Value) -> Result<Verb, String> {
    let expected = || format!("cas needs [\"old\",\"new\"] as \"arg\" (old may be null), it is {arg}");
    let [old, new] = arg.as_array().map(Vec::as_slice).ok_or_else(expected)? else { return Err(expected()) };
    let old = if old.is_null() { None } else { Some(value_text(old).ok_or_else(expected)?) };
    Ok(Verb::Cas(old, value_text(new).ok_or_else(expected)?))
}

/// Whether a reply is one that this command can give, and which.
fn command_reply(op: &str, verb: &Verb, reply: &Value) -> Result<Reply, String> {
    let reply_value = match reply {
        Value::Null => Some(Reply::Nil),
        Value::Number(number) => number.as_i64().map(Reply::Int),
        Value::String(text) => Some(Reply::Text(text.clone())),
        _ => None,
    };
    let (expected, found) = match (verb, reply_value) {
        (Verb::Get | Verb::Getset(_) | Verb::Getdel, reply) => ("a string or null", reply.map(numbers_are_text)),
        (Verb::Set(set), reply) if set.get => ("the old value or null", reply.map(numbers_are_text)),
        (Verb::Set(set), reply) => {
            let refusable = set.if_absent || set.if_present;
            let fits = |reply: &Reply| match reply {
                Reply::Text(text) => text == "OK",
                Reply::Nil => refusable,
                Reply::Int(_) => false,
            };
            ("\"OK\", or null with nx or xx", reply.filter(fits))
        }
        (Verb::Add(_), reply) => ("a whole number", reply.filter(|reply| matches!(reply, Reply::Int(_)))),
        (Verb::Strlen | Verb::Append(_), reply) => ("a length", reply.filter(|reply| matches!(reply, Reply::Int(0..)))),
        (_, reply) => ("1 or 0", reply.filter(|reply| matches!(reply, Reply::Int(0 | 1)))),
    };
    found.ok_or_else(|| format!("{op} is answered with {expected}, the reply here is {reply}"))
}

fn numbers_are_text(reply: Reply) -> Reply {
    match reply {
        Reply::Int(number) => Reply::Text(number.to_string()),
        other => other,
    }
}

fn mget(arg: &Value, reply: Option<&Value>) -> Result<Action, String> {
    let keys = texts("mget", arg)?;
    if keys.is_empty() {
        return Err("mget needs at least one key in \"arg\"".to_owned());
    }
    let replies = array("mget", reply, keys.len())?;
    let command = |(key, reply)| command("get", key, &Value::Null, reply);
    let commands: Result<_, String> = keys.into_iter().zip(replies).map(command).collect();
    Ok(Action::Registers(Form::Mget, commands?))
}

fn mset(arg: &Value, reply: Option<&Value>) -> Result<Action, String> {
    let expected = || format!("mset needs an object of keys and values as \"arg\", it is {arg}");
    let pairs = arg.as_object().filter(|pairs| !pairs.is_empty()).ok_or_else(expected)?;
    let commands: Result<_, String> =
        pairs.iter().map(|(key, value)| command("set", key.clone(), value, reply)).collect();
    Ok(Action::Registers(Form::Mset, commands?))
}

fn multi(arg: &Value, reply: Option<&Value>) -> Result<Action, String> {
    let asked = arg.as_array().filter(|asked| !asked.is_empty());
    let asked = asked.ok_or_else(|| format!("multi needs [[op, key, arg], ...] as \"arg\", it is {arg}"))?;
    let replies = array("multi", reply, asked.len())?;
    let mut commands = Vec::with_capacity(asked.len());
    for (asked, reply) in asked.iter().zip(replies) {
        let expected = || format!("multi: expected [op, key, arg], found {asked}");
        let [op, key, arg] = asked.as_array().map(Vec::as_slice).ok_or_else(expected)? else {
            return Err(expected());
        };
        let (op, key) = (op.as_str().ok_or_else(expected)?, key.as_str().ok_or_else(expected)?);
        commands.push(command(op, key.to_owned(), arg, reply).map_err(|why| format!("multi: {why}"))?);
    }
    Ok(Action::Registers(Form::Multi, commands))
}

fn transaction(arg: &Value, reply: Option<&Value>) -> Result<Action, String> {
    let asked = arg.as_array().filter(|asked| !asked.is_empty());
    let asked = asked.ok_or_else(|| {
        format!("txn needs [[\"append\", key, element], [\"r\", key, null], ...] as \"arg\", it is {arg}")
    })?;
    let replies = array("txn", reply, asked.len())?;
    let mut micros = Vec::with_capacity(asked.len());
    for (asked, reply) in asked.iter().zip(replies) {
        let expected = || format!("txn: expected [\"append\", key, element] or [\"r\", key, null], found {asked}");
        let [op, key, element] = asked.as_array().map(Vec::as_slice).ok_or_else(expected)? else {
            return Err(expected());
        };
        let key = key.as_str().ok_or_else(expected)?.to_owned();
        micros.push(match op.as_str() {
            Some("append") => {
                let element = value_text(element).filter(|text| !text.is_empty() && !text.contains(','));
                let element = element.ok_or_else(|| format!("{}; an element holds no comma", expected()))?;
                let length = match reply {
                    None | Some(Value::Null) => None,
                    Some(reply) => Some(reply.as_u64().ok_or_else(|| {
                        format!("txn: append is answered with a length or null, the reply here is {reply}")
                    })?),
                };
                Micro::Append { key, element, length }
            }
            Some("r") if element.is_null() => Micro::Read { key, elements: reply.map(list_elements).transpose()? },
            _ => return Err(expected()),
        });
    }
    Ok(Action::Transaction(micros))
}

/// A list as the stored string "1,17,", as an array, or null.
fn list_elements(reply: &Value) -> Result<Vec<String>, String> {
    let expected = || format!("txn: r is answered with \"1,17,\", an array or null, the reply here is {reply}");
    match reply {
        Value::Null => Ok(Vec::new()),
        Value::String(text) if text.is_empty() => Ok(Vec::new()),
        Value::String(text) => {
            let elements = text.strip_suffix(',').ok_or_else(expected)?;
            Ok(elements.split(',').map(str::to_owned).collect())
        }
        Value::Array(elements) => elements.iter().map(|element| value_text(element).ok_or_else(expected)).collect(),
        _ => Err(expected()),
    }
}

fn transfer(bank: String, arg: &Value, reply: Option<&Value>) -> Result<Action, String> {
    let expected = || format!("transfer needs [from, to, amount] as \"arg\", it is {arg}");
    let [from, to, amount] = arg.as_array().map(Vec::as_slice).ok_or_else(expected)? else { return Err(expected()) };
    let (from, to) = (from.as_str().ok_or_else(expected)?, to.as_str().ok_or_else(expected)?);
    let amount = amount.as_i64().filter(|amount| amount.checked_neg().is_some()).ok_or_else(expected)?;
    let reply = match reply {
        None => None,
        Some(reply) => {
            let expected = || format!("transfer is answered with both balances, the reply here is {reply}");
            let [from, to] = reply.as_array().map(Vec::as_slice).ok_or_else(expected)? else {
                return Err(expected());
            };
            Some((from.as_i64().ok_or_else(expected)?, to.as_i64().ok_or_else(expected)?))
        }
    };
    Ok(Action::Transfer { bank, from: from.to_owned(), to: to.to_owned(), amount, reply })
}

/// Accounts and balances, sorted by account. One whose balance is null is not there, where that `may_be`.
fn balances(what: &str, value: &Value, may_be: bool) -> Result<Vec<(String, i64)>, String> {
    let expected = || format!("{what} must be an object of accounts and balances, it is {value}");
    let number = |value: &Value| value.as_i64().or_else(|| value.as_str()?.parse().ok());
    let mut balances = Vec::new();
    for (account, balance) in value.as_object().filter(|accounts| !accounts.is_empty()).ok_or_else(expected)? {
        if may_be && balance.is_null() {
            continue;
        }
        balances.push((account.clone(), number(balance).ok_or_else(expected)?));
    }
    balances.sort_unstable();
    Ok(balances)
}

/// The replies of several commands, or as many times nothing.
fn array<'a>(op: &str, reply: Option<&'a Value>, count: usize) -> Result<Vec<Option<&'a Value>>, String> {
    let Some(reply) = reply else { return Ok(vec![None; count]) };
    match reply.as_array() {
        Some(replies) if replies.len() == count => Ok(replies.iter().map(Some).collect()),
        _ => Err(format!("{op} is answered with an array of {count}, the reply here is {reply}")),
    }
}

fn texts(op: &str, value: &Value) -> Result<Vec<String>, String> {
    let texts = value.as_array().and_then(|values| values.iter().map(value_text).collect());
    texts.ok_or_else(|| format!("{op}: expected an array of strings, found {value}"))
}

/// A value: a string, or a whole number as its decimal text.
fn value_text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) if !number.is_f64() => Some(number.to_string()),
        _ => None,
    }
}

fn flag(op: &str, reply: &Value) -> Result<bool, String> {
    match reply.as_i64() {
        Some(0) => Ok(false),
        Some(1) => Ok(true),
        _ => Err(format!("{op} is answered with 1 or 0, the reply here is {reply}")),
    }
}

fn none(op: &str, arg: &Value) -> Result<(), String> {
    if arg.is_null() { Ok(()) } else { Err(format!("{op} takes no \"arg\" (null), it is {arg}")) }
}

fn field<'a>(fields: &'a Fields, name: &str) -> Result<&'a Value, String> {
    fields.get(name).ok_or_else(|| format!("there is no field \"{name}\""))
}

fn whole(fields: &Fields, name: &str) -> Result<u64, String> {
    let value = field(fields, name)?;
    value.as_u64().ok_or_else(|| format!("\"{name}\" must be a whole number that is not negative, it is {value}"))
}

fn text<'a>(fields: &'a Fields, name: &str) -> Result<&'a str, String> {
    let value = field(fields, name)?;
    value.as_str().ok_or_else(|| format!("\"{name}\" must be a string, it is {value}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(line: &str) -> Result<Action, String> {
        let history = parse(line).map_err(|unusable| unusable.to_string())?;
        Ok(history.operations[0].action.clone())
    }

    #[track_caller]
    fn refused(line: &str, expected: &str) {
        let why = one(line).expect_err("this line is wrong");
        assert!(why.contains(expected), "{why}");
    }

    fn operation(op: &str, arg: &str, reply: &str) -> String {
        format!(
            r#"{{"client":1,"op":"{op}","key":"k","arg":{arg},"start":1,"end":2,"outcome":"ok","reply":{reply},"node":3}}"#
        )
    }

    #[test]
    fn an_account_that_is_not_there_is_left_out_of_a_read() {
        let read = one(&operation("balances", "null", r#"{"a":"5","b":null,"c":7}"#));
        let reply = Some(vec![("a".to_owned(), 5), ("c".to_owned(), 7)]);
        assert_eq!(read, Ok(Action::Balances { bank: "k".into(), reply }));
        refused(&operation("open", r#"{"a":5,"b":null}"#, r#""OK""#), "accounts and balances");
    }

    #[test]
    fn a_header_and_operations_are_read() {
        let text = format!(
            "{}\n\n{}\n",
            r#"{"history":1,"workload":"register","clock_slack_ns":5000}"#,
            operation("set", r#"{"value":7,"nx":true,"px":500}"#, "null")
        );
        let history = parse(&text).unwrap();
        assert_eq!(history.header, Header { workload: "register".to_owned(), clock_slack: Nanos(5000) });
        assert_eq!(history.operations[0].line, 3);
        let Action::Registers(Form::Single, commands) = &history.operations[0].action else { panic!() };
        let Verb::Set(set) = &commands[0].verb else { panic!() };
        assert_eq!((set.value.as_str(), set.if_absent, set.px), ("7", true, Some(500)));
        assert_eq!(commands[0].reply, Some(Reply::Nil));
    }

    #[test]
    fn every_complaint_tells_line_and_expectation() {
        let text = format!("{}\n{{\"client\":1}}", operation("get", "null", "null"));
        assert_eq!(parse(&text).unwrap_err().to_string(), "line 2: there is no field \"start\"");
        refused("[1]", "expected a JSON object");
        refused("{\"client\":", "line 1: no JSON");
        refused(&operation("get", "\"x\"", "null"), "get takes no \"arg\"");
        refused(&operation("flush", "null", "null"), "\"op\" is \"flush\"");
        refused(&operation("incr", "null", "\"OK\""), "incr is answered with a whole number, the reply here is \"OK\"");
        refused(&operation("set", "\"v\"", "null"), "set is answered with \"OK\", or null with nx or xx");
        refused(&operation("set", r#"{"value":"v","ex":1}"#, "\"OK\""), "unknown option \"ex\"");
        refused(&operation("mget", r#"["a","b"]"#, r#"["1"]"#), "an array of 2");
        refused(&operation("txn", r#"[["append","k","1,2"]]"#, "[3]"), "no comma");
        refused(&operation("txn", r#"[["r","k",null]]"#, r#"["1"]"#), "r is answered with");
        refused(&operation("get", "null", "null").replace("\"ok\"", "\"maybe\""), "it is \"maybe\"");
        refused(&operation("get", "null", "null").replace("\"end\":2", "\"end\":0"), "\"end\" is before \"start\"");
        refused(&operation("get", "null", "null").replace("\"end\":2", "\"end\":-1"), "not negative, it is -1");
        let late = format!("{}\n{}", operation("get", "null", "null"), r#"{"history":1}"#);
        assert!(parse(&late).unwrap_err().why.contains("only be the first line"));
        refused(r#"{"history":2}"#, "only version 1");
    }

    #[test]
    fn without_a_known_outcome_neither_end_nor_reply_counts() {
        let line = operation("incr", "null", "\"timeout\"").replace("\"ok\"", "\"unknown\"");
        let history = parse(&line.replace("\"end\":2", "\"end\":null")).unwrap();
        assert_eq!(history.operations[0].end, None);
        let Action::Registers(_, commands) = &history.operations[0].action else { panic!() };
        assert_eq!(commands[0].reply, None);
    }

    #[test]
    fn a_list_is_a_string_an_array_or_nothing() {
        let read = |reply: &str| {
            let Ok(Action::Transaction(micros)) = one(&operation("txn", r#"[["r","k",null]]"#, reply)) else {
                panic!("{reply}")
            };
            let Micro::Read { elements, .. } = &micros[0] else { panic!() };
            elements.clone().unwrap()
        };
        assert_eq!(read(r#"["1,17,"]"#), ["1", "17"]);
        assert_eq!(read(r#"[[1,"17"]]"#), ["1", "17"]);
        assert!(read("[null]").is_empty() && read(r#"[""]"#).is_empty());
    }
}
