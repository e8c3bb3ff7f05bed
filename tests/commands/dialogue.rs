//! Dialogues: text files of commands and the replies they must get.
//!
//! ```text
//! == the title of a section, which starts with an empty keyspace, database 0 and RESP2
//! # a comment
//! > SET greeting "hello world"
//! OK
//! > GET greeting
//! "hello world"
//! > TTL greeting
//! (integer) 95..100        a number in this range
//! > SMEMBERS set
//! unordered                the lines that follow may come in any order
//! "a"
//! > SCAN 0
//! iteration                follows the cursor to its end; elements come in any order
//! "greeting"
//! > INFO server
//! contains                 each of the lines that follow is somewhere in the reply
//! redis_version:7.2.4\r\n
//! : protocol 3             switches the protocol
//! : db 1                   selects a database
//! : pass 1500              lets 1500 milliseconds pass
//! ```
//!
//! Commands and replies are written as redis-cli writes them (`tests/support/notation.rs`).

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use holdfast::store::Engine;

use crate::support::client::Client;
use crate::support::local::Local;
use crate::support::reply::Reply;
use crate::support::{Target, notation};

/// Says that a reply starts an iteration.
const ITERATION: &str = "iteration";

/// A target that can let time pass.
pub trait Patient: Target {
    /// Virtually where the clock is ours, really behind a socket.
    fn pass(&mut self, millis: u64);
}

impl<E: Engine> Patient for Local<E> {
    fn pass(&mut self, millis: u64) {
        self.passed += millis;
    }
}

impl Patient for Client {
    #[expect(clippy::disallowed_methods, reason = "the server's clock is real, and nothing tells when a key has died")]
    fn pass(&mut self, millis: u64) {
        std::thread::sleep(Duration::from_millis(millis));
    }
}

/// Runs every section of a file; returns one report per wrong reply.
pub fn run(path: &Path, target: &mut dyn Patient) -> Vec<String> {
    let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mut failures = Vec::new();
    target.reset();
    for (line, step) in parse(&text).unwrap_or_else(|error| panic!("{name}:{error}")) {
        match step {
            Step::Section => target.reset(),
            Step::Protocol(version) => target.protocol(version),
            Step::Db(db) => target.select(db),
            Step::Pass(millis) => target.pass(millis),
            Step::Exchange { command, expected } => {
                let args = split(&command).unwrap_or_else(|| panic!("{name}:{line}: an open quote"));
                let mut reply = target.call(&args);
                if expected.first().is_some_and(|first| first == ITERATION) {
                    reply = iterate(target, &args, &reply);
                }
                if !agrees(&reply, &expected) {
                    let expected = expected.join("\n");
                    let got = notation::reply(&reply);
                    failures.push(format!(
                        "{name}:{line}: > {}\nexpected:\n{expected}\ngot:\n{got}\n",
                        notation::command(&args)
                    ));
                }
            }
        }
    }
    failures
}

/// The commands of a file, in order.
pub fn commands(path: &Path) -> Vec<Vec<Bytes>> {
    let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let steps = parse(&text).unwrap_or_else(|error| panic!("{}:{error}", path.display()));
    let commands = steps.into_iter().filter_map(|(_, step)| match step {
        Step::Exchange { command, .. } => split(&command),
        _ => None,
    });
    commands.collect()
}

enum Step {
    Section,
    Protocol(u8),
    Db(u8),
    Pass(u64),
    Exchange { command: String, expected: Vec<String> },
}

/// Steps with their line numbers.
fn parse(text: &str) -> Result<Vec<(usize, Step)>, String> {
    let mut steps: Vec<(usize, Step)> = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let number = index + 1;
        let step = if line.starts_with("== ") {
            Step::Section
        } else if line.trim().is_empty() || line.starts_with('#') {
            continue;
        } else if let Some(command) = line.strip_prefix("> ") {
            Step::Exchange { command: command.into(), expected: Vec::new() }
        } else if let Some(directive) = line.strip_prefix(": ") {
            parse_directive(directive).ok_or_else(|| format!("{number}: unknown directive {directive:?}"))?
        } else {
            match steps.last_mut() {
                Some((_, Step::Exchange { expected, .. })) => expected.push(line.trim_end().into()),
                _ => return Err(format!("{number}: a reply without a command")),
            }
            continue;
        };
        steps.push((number, step));
    }
    Ok(steps)
}

fn parse_directive(text: &str) -> Option<Step> {
    let (word, number) = text.split_once(' ')?;
    let number: u64 = number.trim().parse().ok()?;
    match word {
        "protocol" => Some(Step::Protocol(u8::try_from(number).ok()?)),
        "db" => Some(Step::Db(u8::try_from(number).ok()?)),
        "pass" => Some(Step::Pass(number)),
        _ => None,
    }
}

/// The elements of the whole iteration that a SCAN reply starts: where one part ends is the server's choice.
fn iterate(target: &mut dyn Patient, args: &[Bytes], first: &Reply) -> Reply {
    let (mut found, mut args, mut part) = (Vec::new(), args.to_vec(), first.elements());
    while let [Reply::Bulk(cursor), Reply::Array(elements)] = &part[..] {
        found.extend_from_slice(elements);
        if cursor == b"0" {
            return Reply::Array(found);
        }
        args[1] = Bytes::copy_from_slice(cursor);
        part = target.call(&args).elements();
    }
    first.clone()
}

/// Whether a reply is the expected one.
fn agrees(reply: &Reply, expected: &[String]) -> bool {
    match expected {
        [first, rest @ ..] if first == "unordered" || first == ITERATION => {
            let mut got: Vec<String> = reply.elements().iter().map(notation::reply).collect();
            let mut want = rest.to_vec();
            got.sort();
            want.sort();
            got == want
        }
        [first, rest @ ..] if first == "contains" => {
            let text = notation::reply(reply);
            !rest.is_empty() && rest.iter().all(|part| text.contains(part.as_str()))
        }
        [range] if range.contains("..") && range.starts_with("(integer) ") => match (in_range(range), reply) {
            (Some((low, high)), Reply::Integer(number)) => (low..=high).contains(number),
            _ => false,
        },
        _ => notation::reply(reply).lines().map(str::trim_end).eq(expected.iter().map(String::as_str)),
    }
}

fn in_range(text: &str) -> Option<(i64, i64)> {
    let (low, high) = text.strip_prefix("(integer) ")?.split_once("..")?;
    Some((low.trim().parse().ok()?, high.trim().parse().ok()?))
}

/// Splits a command line as redis-cli does: blanks separate, `"..."` knows `\n \r \t \a \b \xHH \" \\`, `'...'` is
/// taken as it is but for `\'`. `None` for an open quote.
fn split(line: &str) -> Option<Vec<Bytes>> {
    let mut args = Vec::new();
    let mut rest = line.trim().as_bytes();
    while !rest.is_empty() {
        let mut arg = Vec::new();
        rest = match rest[0] {
            b'"' => double_quoted(&rest[1..], &mut arg)?,
            b'\'' => single_quoted(&rest[1..], &mut arg)?,
            _ => {
                let length = rest.iter().position(u8::is_ascii_whitespace).unwrap_or(rest.len());
                arg.extend_from_slice(&rest[..length]);
                &rest[length..]
            }
        };
        args.push(Bytes::from(arg));
        rest = rest.trim_ascii_start();
    }
    Some(args)
}

fn double_quoted<'a>(mut rest: &'a [u8], arg: &mut Vec<u8>) -> Option<&'a [u8]> {
    loop {
        match *rest {
            [] => return None,
            [b'"', ref after @ ..] => return Some(after),
            [b'\\', b'x', high, low, ref after @ ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                let digits = [high, low];
                arg.push(u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?);
                rest = after;
            }
            [b'\\', escaped, ref after @ ..] => {
                arg.push(match escaped {
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    b'a' => 7,
                    b'b' => 8,
                    other => other,
                });
                rest = after;
            }
            [byte, ref after @ ..] => {
                arg.push(byte);
                rest = after;
            }
        }
    }
}

fn single_quoted<'a>(mut rest: &'a [u8], arg: &mut Vec<u8>) -> Option<&'a [u8]> {
    loop {
        match *rest {
            [] => return None,
            [b'\'', ref after @ ..] => return Some(after),
            [b'\\', b'\'', ref after @ ..] => {
                arg.push(b'\'');
                rest = after;
            }
            [byte, ref after @ ..] => {
                arg.push(byte);
                rest = after;
            }
        }
    }
}
