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
    /// `-ERR ...`: the whole line without the dash, already free of CR and LF.
    Error(Cow<'static, str>),
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
        let line = line.into();
        if line.contains(['\r', '\n']) {
            Value::Error(line.trim_end_matches(['\r', '\n']).replace(['\r', '\n'], " ").into())
        } else {
            Value::Error(line)
        }
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
