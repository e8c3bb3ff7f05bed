//! How commands and replies are written in dialogues and reports: as redis-cli reads and prints them.

use std::fmt::Write;

use bytes::Bytes;

use super::reply::Reply;

/// A command line that redis-cli would read back.
pub fn command(args: &[Bytes]) -> String {
    let plain = |arg: &Bytes| !arg.is_empty() && arg.iter().all(|b| b.is_ascii_graphic() && !b"\"'\\".contains(b));
    let words: Vec<String> = args
        .iter()
        .map(|arg| if plain(arg) { String::from_utf8_lossy(arg).into_owned() } else { quoted(arg) })
        .collect();
    words.join(" ")
}

/// A reply as redis-cli prints it, with two additions: a null array is `(nil array)`, and a simple string that
/// could be taken for something else does not occur.
pub fn reply(reply: &Reply) -> String {
    let mut out = String::new();
    print(&mut out, reply, "");
    out.truncate(out.trim_end().len());
    out
}

fn print(out: &mut String, reply: &Reply, indent: &str) {
    let line = match reply {
        Reply::Simple(text) => text.clone(),
        Reply::Error(text) => format!("(error) {text}"),
        Reply::Integer(number) => format!("(integer) {number}"),
        Reply::Bulk(bytes) => quoted(bytes),
        Reply::Null => "(nil)".into(),
        Reply::NullArray => "(nil array)".into(),
        Reply::Double(text) => format!("(double) {text}"),
        Reply::Big(text) => format!("(big) {text}"),
        Reply::Boolean(value) => format!("({value})"),
        Reply::Verbatim(bytes) => format!("(verbatim) {}", quoted(bytes)),
        Reply::Array(items) => return list(out, items, ')', "(empty array)", indent),
        Reply::Set(items) => return list(out, items, '~', "(empty set)", indent),
        Reply::Push(items) => return list(out, items, '>', "(empty push)", indent),
        Reply::Map(pairs) => return map(out, pairs, indent),
    };
    out.push_str(&line);
    out.push('\n');
}

fn list(out: &mut String, items: &[Reply], mark: char, empty: &str, indent: &str) {
    if items.is_empty() {
        out.push_str(empty);
        out.push('\n');
        return;
    }
    for (index, item) in items.iter().enumerate() {
        let label = format!("{}{mark} ", index + 1);
        // The first label stands behind the labels of the lists around it, as redis-cli has it.
        out.push_str(if index == 0 { "" } else { indent });
        out.push_str(&label);
        print(out, item, &format!("{indent}{}", " ".repeat(label.len())));
    }
}

fn map(out: &mut String, pairs: &[(Reply, Reply)], indent: &str) {
    if pairs.is_empty() {
        out.push_str("(empty hash)\n");
        return;
    }
    for (index, (key, value)) in pairs.iter().enumerate() {
        let mut label = format!("{}# ", index + 1);
        print(&mut label, key, "");
        label.truncate(label.trim_end().len());
        label.push_str(" => ");
        out.push_str(if index == 0 { "" } else { indent });
        out.push_str(&label);
        print(out, value, &format!("{indent}{}", " ".repeat(label.len())));
    }
}

fn quoted(bytes: &[u8]) -> String {
    let mut out = String::from('"');
    for &byte in bytes {
        match byte {
            b'"' | b'\\' => out.extend(['\\', char::from(byte)]),
            b'\n' => out.push_str("\\n"),
            b'\r' => out.push_str("\\r"),
            b'\t' => out.push_str("\\t"),
            7 => out.push_str("\\a"),
            8 => out.push_str("\\b"),
            b' '..=b'~' => out.push(char::from(byte)),
            _ => write!(out, "\\x{byte:02x}").expect("a String takes everything"),
        }
    }
    out.push('"');
    out
}
