//! Small readers of arguments, shared by everything that is answered at the session.

use bytes::Bytes;

use crate::resp::Value;

/// Whether an argument is this word, in any case.
pub(super) fn is(arg: &[u8], word: &str) -> bool {
    arg.eq_ignore_ascii_case(word.as_bytes())
}

/// A value as text. What is no UTF-8 is replaced.
pub(super) fn text(arg: &[u8]) -> String {
    String::from_utf8_lossy(arg).into_owned()
}

/// A decimal number in its canonical form, as Redis reads numbers: no sign `+`, no leading zero, no space.
pub(super) fn integer(arg: &[u8]) -> Option<i64> {
    let digits = arg.strip_prefix(b"-").unwrap_or(arg);
    let canonical = arg == b"0" || digits.first().is_some_and(|first| (b'1'..=b'9').contains(first));
    if canonical { std::str::from_utf8(arg).ok()?.parse().ok() } else { None }
}

/// Whether a name may appear in CLIENT LIST: printable, without spaces.
pub(super) fn is_label(name: &[u8]) -> bool {
    name.iter().all(|byte| (b'!'..=b'~').contains(byte))
}

/// `-ERR syntax error`
pub(super) fn syntax_error() -> Value {
    Value::error("ERR syntax error")
}

/// `-ERR value is not an integer or out of range`
pub(super) fn not_an_integer() -> Value {
    Value::error("ERR value is not an integer or out of range")
}

/// What is left when a subcommand of the table was called with words that no form of it has.
pub(super) fn wrong_words(args: &[Bytes]) -> Value {
    let container = args.first().map(|name| name.to_ascii_uppercase()).unwrap_or_default();
    let given = args.get(1).map(|name| &name[..name.len().min(128)]).unwrap_or_default();
    let head = b"ERR unknown subcommand or wrong number of arguments for '";
    Value::error_with(&[head, given, b"'. Try ", &container, b" HELP."])
}

/// The answer to HELP of a command with subcommands.
pub(super) fn help(container: &str, subcommands: &[&str]) -> Value {
    let head = format!("{container} <subcommand> [<arg> [value] [opt] ...]. Subcommands are:");
    let lines = std::iter::once(head)
        .chain(subcommands.iter().map(|line| line.to_string()))
        .chain(["HELP".to_string(), "    Print this text.".to_string()]);
    Value::Array(lines.map(|line| Value::Simple(line.into())).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_strictly() {
        for (given, number) in
            [("0", Some(0)), ("-1", Some(-1)), ("10", Some(10)), ("9223372036854775807", Some(i64::MAX))]
        {
            assert_eq!(integer(given.as_bytes()), number);
        }
        for given in ["", "-", "+1", "01", "-0", " 1", "1 ", "1.0", "9223372036854775808"] {
            assert_eq!(integer(given.as_bytes()), None, "{given}");
        }
    }
}
