//! The first line of a script: `#!lua flags=no-writes,allow-stale`. Without one a script may do everything.

use crate::resp::Value;

/// What a script says of itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags {
    /// There is a first line that says something.
    pub declared: bool,
    /// It does not write, and is stopped if it does.
    pub no_writes: bool,
}

/// Flags that Redis knows. Only the first changes what happens here: no replica is stale, memory is not what limits a
/// script's writes, and keys in several slots are fine where one group has them.
const FLAGS: [&[u8]; 5] = [b"no-writes", b"allow-oom", b"allow-stale", b"no-cluster", b"allow-cross-slot-keys"];

/// Flags and the source text behind them, which still starts with the line's end: lines keep their numbers.
pub fn parse(script: &[u8]) -> Result<(Flags, &[u8]), Value> {
    if !script.starts_with(b"#!") {
        return Ok((Flags::default(), script));
    }
    let Some(end) = script.iter().position(|byte| *byte == b'\n') else {
        return Err(Value::error("ERR Invalid script shebang"));
    };
    let mut words = script[..end].split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
    let engine = words.next().unwrap_or_default();
    if engine != b"#!lua" {
        return Err(Value::error_with(&[b"ERR Unexpected engine in script shebang: ", engine]));
    }
    let mut flags = Flags { declared: true, ..Flags::default() };
    for word in words {
        let Some(list) = word.strip_prefix(b"flags=") else {
            return Err(Value::error_with(&[b"ERR Unknown lua shebang option: ", word]));
        };
        for flag in list.split(|byte| *byte == b',').filter(|_| !list.is_empty()) {
            if !FLAGS.contains(&flag) {
                return Err(Value::error_with(&[b"ERR Unexpected flag in script shebang: ", flag]));
            }
            flags.no_writes |= flag == FLAGS[0];
        }
    }
    Ok((flags, &script[end..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_read_and_the_line_is_kept() {
        assert_eq!(parse(b"return 1"), Ok((Flags::default(), &b"return 1"[..])));
        let flags = Flags { declared: true, no_writes: true };
        assert_eq!(parse(b"#!lua flags=allow-oom,no-writes\nx"), Ok((flags, &b"\nx"[..])));
        assert_eq!(parse(b"#!lua flags=\nx"), Ok((Flags { declared: true, no_writes: false }, &b"\nx"[..])));
        let error = |script: &[u8]| parse(script).unwrap_err();
        assert_eq!(error(b"#!lua"), Value::error("ERR Invalid script shebang"));
        assert_eq!(error(b"#!py\n"), Value::error("ERR Unexpected engine in script shebang: #!py"));
        assert_eq!(error(b"#!lua flags=x\n"), Value::error("ERR Unexpected flag in script shebang: x"));
        assert_eq!(error(b"#!lua name=x\n"), Value::error("ERR Unknown lua shebang option: name=x"));
    }
}
