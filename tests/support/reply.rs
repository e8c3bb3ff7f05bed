//! A reply as it stands on the wire, decoded independently of the library's own codec.

use std::io::{self, BufRead};

/// A RESP2 or RESP3 value. The two nulls of RESP2 are told apart, because clients do.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reply {
    /// `+`
    Simple(String),
    /// `-`
    Error(String),
    /// `:`
    Integer(i64),
    /// `$`
    Bulk(Vec<u8>),
    /// `$-1` or `_`
    Null,
    /// `*-1`
    NullArray,
    /// `*`
    Array(Vec<Reply>),
    /// `%`
    Map(Vec<(Reply, Reply)>),
    /// `~`
    Set(Vec<Reply>),
    /// `>`
    Push(Vec<Reply>),
    /// `,` as written
    Double(String),
    /// `(`
    Big(String),
    /// `#`
    Boolean(bool),
    /// `=` without the format
    Verbatim(Vec<u8>),
}

impl Reply {
    /// Reads one value.
    pub fn read(from: &mut impl BufRead) -> io::Result<Reply> {
        let line = line(from)?;
        let (kind, rest) = line.split_at_checked(1).ok_or_else(|| damaged("an empty line"))?;
        Ok(match kind {
            "+" => Reply::Simple(rest.into()),
            "-" => Reply::Error(rest.into()),
            ":" => Reply::Integer(number(rest)?),
            "," => Reply::Double(rest.into()),
            "(" => Reply::Big(rest.into()),
            "#" => Reply::Boolean(rest == "t"),
            "_" => Reply::Null,
            "$" if rest == "-1" => Reply::Null,
            "*" if rest == "-1" => Reply::NullArray,
            "$" => Reply::Bulk(bulk(from, number(rest)?)?),
            "=" => Reply::Verbatim(bulk(from, number(rest)?)?.split_off(4)),
            "*" => Reply::Array(elements(from, number(rest)?)?),
            "~" => Reply::Set(elements(from, number(rest)?)?),
            ">" => Reply::Push(elements(from, number(rest)?)?),
            "%" => {
                let pairs = number(rest)?;
                Reply::Map((0..pairs).map(|_| Ok((Reply::read(from)?, Reply::read(from)?))).collect::<io::Result<_>>()?)
            }
            _ => return Err(damaged(&line)),
        })
    }

    /// Whether this is an error line.
    pub fn is_error(&self) -> bool {
        matches!(self, Reply::Error(_))
    }

    /// The elements of an array, a set, or a map laid flat; of anything else, nothing.
    pub fn elements(&self) -> Vec<Reply> {
        match self {
            Reply::Array(items) | Reply::Set(items) | Reply::Push(items) => items.clone(),
            Reply::Map(pairs) => pairs.iter().flat_map(|(key, value)| [key.clone(), value.clone()]).collect(),
            _ => Vec::new(),
        }
    }
}

fn line(from: &mut impl BufRead) -> io::Result<String> {
    let mut line = Vec::new();
    from.read_until(b'\n', &mut line)?;
    match line.strip_suffix(b"\r\n") {
        Some(text) => Ok(String::from_utf8_lossy(text).into_owned()),
        None => Err(damaged("a line without CR LF")),
    }
}

fn bulk(from: &mut impl BufRead, length: i64) -> io::Result<Vec<u8>> {
    let length = usize::try_from(length).map_err(|_| damaged("a negative length"))?;
    let mut bytes = vec![0; length + 2];
    from.read_exact(&mut bytes)?;
    if bytes.split_off(length) != b"\r\n" {
        return Err(damaged("a bulk that is longer than it says"));
    }
    Ok(bytes)
}

fn elements(from: &mut impl BufRead, count: i64) -> io::Result<Vec<Reply>> {
    (0..count).map(|_| Reply::read(from)).collect()
}

fn number(text: &str) -> io::Result<i64> {
    text.parse().map_err(|_| damaged(text))
}

fn damaged(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("not RESP: {what}"))
}
