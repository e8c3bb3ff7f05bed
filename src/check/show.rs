//! Operations as people read them: one line each, and a picture of who was under way at the same time.

use std::collections::BTreeSet;

use super::history::{Action, Command, Form, Micro, Operation, Outcome, Reply, Verb};
use crate::base::Nanos;

/// An operation and its outcome: `SET k "v" PX 500 -> OK`.
pub fn operation(operation: &Operation) -> String {
    let reply = match operation.outcome {
        Outcome::Ok => reply(&operation.action),
        Outcome::Fail => "failed: certainly had no effect".to_owned(),
        Outcome::Unknown => "outcome unknown: may take effect at any time after its start, or never".to_owned(),
    };
    format!("{} -> {reply}", request(&operation.action))
}

/// What was asked: `SET k "v" PX 500`.
pub fn request(action: &Action) -> String {
    match action {
        Action::Registers(form, commands) => {
            let asked = |command: &Command| self::command(command);
            match form {
                Form::Single => commands.iter().map(asked).collect(),
                Form::Mget => format!("MGET {}", join(" ", commands, |command| command.key.clone())),
                Form::Mset => {
                    format!(
                        "MSET {}",
                        join(" ", commands, |command| match &command.verb {
                            Verb::Set(set) => format!("{} {}", command.key, quoted(&set.value)),
                            _ => command.key.clone(),
                        })
                    )
                }
                Form::Multi => format!("MULTI [{}]", join("; ", commands, asked)),
            }
        }
        Action::SetAdd { key, element, .. } => format!("SADD {key} {}", quoted(element)),
        Action::SetRead { key, .. } => format!("SMEMBERS {key}"),
        Action::Transaction(micros) => format!("TXN [{}]", join("; ", micros, micro)),
        Action::Open { bank, accounts } => format!("OPEN {bank} {}", balances(accounts)),
        Action::Transfer { bank, from, to, amount, .. } => format!("TRANSFER {bank} {amount} from {from} to {to}"),
        Action::Balances { bank, .. } => format!("BALANCES {bank}"),
    }
}

fn command(command: &Command) -> String {
    let key = &command.key;
    let words = match &command.verb {
        Verb::Get => "GET",
        Verb::Getdel => "GETDEL",
        Verb::Del => "DEL",
        Verb::Exists => "EXISTS",
        Verb::Strlen => "STRLEN",
        Verb::Persist => "PERSIST",
        Verb::Add(1) => "INCR",
        Verb::Add(-1) => "DECR",
        Verb::Add(by) => return format!("INCRBY {key} {by}"),
        Verb::Setnx(value) => return format!("SETNX {key} {}", quoted(value)),
        Verb::Getset(value) => return format!("GETSET {key} {}", quoted(value)),
        Verb::Append(value) => return format!("APPEND {key} {}", quoted(value)),
        Verb::Cas(old, new) => {
            let old = old.as_deref().map_or_else(|| "(nil)".to_owned(), quoted);
            return format!("CAS {key} {old} {}", quoted(new));
        }
        Verb::Pexpire(ms) => return format!("PEXPIRE {key} {ms}"),
        Verb::Set(set) => {
            let mut text = format!("SET {key} {}", quoted(&set.value));
            let options = [(set.if_absent, " NX"), (set.if_present, " XX"), (set.get, " GET")];
            options.into_iter().filter(|(on, _)| *on).for_each(|(_, word)| text.push_str(word));
            if set.keep_deadline {
                text.push_str(" KEEPTTL");
            }
            if let Some(ms) = set.px {
                text.push_str(&format!(" PX {ms}"));
            }
            return text;
        }
    };
    format!("{words} {key}")
}

fn reply(action: &Action) -> String {
    const NOT_RECORDED: &str = "ok";
    let or_ok = |text: Option<String>| text.unwrap_or_else(|| NOT_RECORDED.to_owned());
    let one = |command: &Command| {
        or_ok(command.reply.as_ref().map(|reply| match (reply, &command.verb) {
            (Reply::Nil, _) => "(nil)".to_owned(),
            (Reply::Int(number), _) => number.to_string(),
            (Reply::Text(text), Verb::Set(set)) if !set.get => text.clone(),
            (Reply::Text(text), _) => quoted(text),
        }))
    };
    match action {
        Action::Registers(Form::Single, commands) => commands.iter().map(one).collect(),
        Action::Registers(Form::Mset, _) | Action::Open { .. } => "OK".to_owned(),
        Action::Registers(_, commands) => format!("[{}]", join(", ", commands, one)),
        Action::SetAdd { reply, .. } => or_ok(reply.map(|new| i32::from(new).to_string())),
        Action::SetRead { reply, .. } => or_ok(reply.as_ref().map(|elements| list(elements))),
        Action::Transaction(_) => NOT_RECORDED.to_owned(),
        Action::Transfer { from, to, reply, .. } => {
            or_ok(reply.map(|(left, right)| format!("{from} has {left}, {to} has {right}")))
        }
        Action::Balances { reply, .. } => or_ok(reply.as_ref().map(|accounts| balances(accounts))),
    }
}

/// A step of a transaction, with what it was answered.
pub fn micro(micro: &Micro) -> String {
    match micro {
        Micro::Append { key, element, .. } => format!("append {element} to {key}"),
        Micro::Read { key, elements: None } => format!("read {key}"),
        Micro::Read { key, elements: Some(elements) } => format!("read {key} = {}", list(elements)),
    }
}

/// Elements, the middle left out when there are many.
pub fn list(elements: &[String]) -> String {
    const SHOWN_MAX: usize = 12;
    if elements.len() <= SHOWN_MAX {
        return format!("[{}]", elements.join(" "));
    }
    let (head, tail) = (&elements[..2], &elements[elements.len() - (SHOWN_MAX - 3)..]);
    format!("[{} ..({} more).. {}]", head.join(" "), elements.len() - SHOWN_MAX + 1, tail.join(" "))
}

fn balances(accounts: &[(String, i64)]) -> String {
    join(" ", accounts, |(account, balance)| format!("{account}={balance}"))
}

fn join<T>(between: &str, items: &[T], text: impl Fn(&T) -> String) -> String {
    items.iter().map(text).collect::<Vec<_>>().join(between)
}

/// A value in quotes, the middle of a long one left out.
pub fn quoted(text: &str) -> String {
    const SHOWN_MAX: usize = 60;
    let count = text.chars().count();
    if count <= SHOWN_MAX {
        return format!("{text:?}");
    }
    let head: String = text.chars().take(SHOWN_MAX / 4).collect();
    let tail: String = text.chars().skip(count - SHOWN_MAX / 2).collect();
    format!("\"{}...({} bytes)...{}\"", head.escape_debug(), text.len(), tail.escape_debug())
}

/// Operations in the order of their starts, one line each, with a bar from call to return. The bars are drawn by
/// order, not to scale; times are milliseconds since the first one started.
pub fn timeline(operations: &[&Operation]) -> Vec<String> {
    const COLUMNS_MAX: usize = 48;
    let mut operations = operations.to_vec();
    operations.sort_by_key(|operation| (operation.start, operation.end, operation.line));
    let Some(first) = operations.first().map(|operation| operation.start) else { return Vec::new() };
    let moments: BTreeSet<Nanos> =
        operations.iter().flat_map(|operation| [Some(operation.start), operation.end]).flatten().collect();
    let moments: Vec<Nanos> = moments.into_iter().collect();
    let columns = (2 * moments.len()).min(COLUMNS_MAX);
    let column = |time: Nanos| moments.partition_point(|&moment| moment < time) * columns / moments.len();
    let ms = |time: Nanos| format!("{:.3}", (time.0 - first.0) as f64 / 1e6);
    let times: Vec<(String, String)> = operations
        .iter()
        .map(|operation| (ms(operation.start), operation.end.map_or_else(|| "?".to_owned(), ms)))
        .collect();
    let width = |texts: &mut dyn Iterator<Item = usize>| texts.max().unwrap_or(0);
    let starts = width(&mut times.iter().map(|(start, _)| start.len()));
    let ends = width(&mut times.iter().map(|(_, end)| end.len()));
    let lines = width(&mut operations.iter().map(|operation| operation.line.to_string().len()));
    let clients = width(&mut operations.iter().map(|operation| operation.client.to_string().len()));
    let line = |(operation, (start, end)): (&&Operation, &(String, String))| {
        let from = column(operation.start);
        let bar = match operation.end {
            None => format!("|{}>", "-".repeat(columns.saturating_sub(from))),
            Some(end) => format!("|{}|", "-".repeat(column(end).saturating_sub(from + 1))),
        };
        format!(
            "{:<bars$} {start:>starts$} .. {end:<ends$} ms  line {:<lines$}  client {:<clients$}  {}",
            format!("{}{bar}", " ".repeat(from)),
            operation.line,
            operation.client,
            self::operation(operation),
            bars = columns + 2,
        )
    };
    operations.iter().zip(&times).map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::super::parse::parse;
    use super::*;

    #[test]
    fn a_timeline_shows_who_overlaps() {
        let text = r#"
            {"client":1,"op":"set","key":"k","arg":{"value":"a","px":50,"nx":true},"start":1000000,"end":3000000,"outcome":"ok","reply":"OK"}
            {"client":12,"op":"get","key":"k","arg":null,"start":2000000,"end":4500000,"outcome":"ok","reply":null}
            {"client":3,"op":"incr","key":"k","arg":null,"start":5000000,"end":null,"outcome":"unknown"}
            {"client":3,"op":"mset","key":null,"arg":{"a":1,"b":2},"start":6000000,"end":7000000,"outcome":"fail"}"#;
        let history = parse(text).unwrap();
        let lines = timeline(&history.operations.iter().collect::<Vec<_>>());
        let expected = [
            r#"|---|            0.000 .. 2.000 ms  line 2  client 1   SET k "a" NX PX 50 -> OK"#,
            r#"  |---|          1.000 .. 3.500 ms  line 3  client 12  GET k -> (nil)"#,
            r#"        |------> 4.000 .. ?     ms  line 4  client 3   INCR k -> outcome unknown: may take effect at any time after its start, or never"#,
            r#"          |-|    5.000 .. 6.000 ms  line 5  client 3   MSET a "1" b "2" -> failed: certainly had no effect"#,
        ];
        assert_eq!(lines, expected, "\n{}", lines.join("\n"));
    }

    #[test]
    fn long_values_are_cut() {
        let many: Vec<String> = (0..100).map(|number| number.to_string()).collect();
        assert_eq!(list(&many), "[0 1 ..(89 more).. 91 92 93 94 95 96 97 98 99]");
        assert!(quoted(&"x".repeat(1000)).len() < 90);
        assert_eq!(quoted("a\"b"), r#""a\"b""#);
    }
}
