//! What a reply is before it becomes bytes.

use std::borrow::Cow;

use bytes::Bytes;

/// The protocol version that a connection speaks (`HELLO`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// The version every connection starts with.
    #[default]
    Resp2,
    /// Chosen by `HELLO 3`.
    Resp3,
}

/// A reply. The RESP3-only shapes are written as Redis writes them to a RESP2 client.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// `+OK`
    Simple(Cow<'static, str>),
    /// `-ERR ...`: the whole line without the dash, already free of CR and LF. Text, but for words of clients in it.
    Error(Cow<'static, [u8]>),
    /// `:1`
    Integer(i64),
    /// `$3`
    Bulk(Bytes),
    /// `_` in RESP3, `$-1` in RESP2.
    Null,
    /// `_` in RESP3, `*-1` in RESP2.
    NullArray,
    /// `*n`
    Array(Vec<Value>),
    /// `%n` in RESP3, a flat array in RESP2.
    Map(Vec<(Value, Value)>),
    /// `~n` in RESP3, an array in RESP2.
    Set(Vec<Value>),
    /// `,1.5` in RESP3, a bulk in RESP2.
    Double(f64),
    /// `#t` in RESP3, `:1` in RESP2.
    Boolean(bool),
    /// `=n txt:...` in RESP3, a bulk in RESP2. The format has three letters.
    Verbatim(&'static str, Bytes),
    /// `>n` in RESP3, an array in RESP2.
    Push(Vec<Value>),
    /// Bytes that are already encoded for the connection they go to.
    Raw(Bytes),
}

impl Value {
    /// `+OK`
    pub const OK: Value = Value::Simple(Cow::Borrowed("OK"));

    /// An error line; CR and LF, which would desynchronise the stream, become spaces, and go at the line's end.
    pub fn error(line: impl Into<Cow<'static, str>>) -> Value {
        Value::error_line(match line.into() {
            Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
            Cow::Owned(text) => Cow::Owned(text.into_bytes()),
        })
    }

    /// An error line of parts, some of which are words of a client: those appear byte for byte, up to their first NUL
    /// (as C would print them), whether or not they are text.
    pub fn error_with(parts: &[&[u8]]) -> Value {
        Value::error_line(Cow::Owned(parts.iter().flat_map(|part| c_string(part)).copied().collect()))
    }

    /// An error line of bytes, made fit like that of [`Value::error`].
    pub fn error_line(line: Cow<'static, [u8]>) -> Value {
        let breaks = |byte: &u8| matches!(byte, b'\r' | b'\n');
        if !line.iter().any(breaks) {
            return Value::Error(line);
        }
        let end = line.iter().rposition(|byte| !breaks(byte)).map_or(0, |last| last + 1);
        Value::Error(line[..end].iter().map(|byte| if breaks(byte) { b' ' } else { *byte }).collect())
    }

    /// A bulk string.
    pub fn bulk(bytes: impl Into<Bytes>) -> Value {
        Value::Bulk(bytes.into())
    }

    /// Whether this is an error line.
    pub fn is_error(&self) -> bool {
        matches!(self, Value::Error(_))
    }
}

/// What C's `%s` prints of these bytes.
pub fn c_string(bytes: &[u8]) -> &[u8] {
    bytes.split(|&byte| byte == 0).next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn error_lines_hold_words_byte_for_byte_and_no_line_end() {
        let line = Value::error_with(&[b"ERR no '", b"\xff\xfe\r\nx\0y", b"'\r\n"]);
        assert_eq!(line, Value::Error(b"ERR no '\xff\xfe  x'"[..].into()));
        assert_eq!(Value::error("a\nb\n"), Value::Error(b"a b"[..].into()));
        assert_eq!(Value::error("\r\n"), Value::Error(b""[..].into()));
    }
}
