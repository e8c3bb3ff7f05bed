//! The Redis protocol as a client needs it: commands to bytes, bytes to replies of RESP2 and RESP3.

use std::fmt;

/// A reply. Both protocols' ways to say nothing are [`Reply::Nil`].
#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    Simple(String),
    /// Without the `-`.
    Error(String),
    Integer(i64),
    Bulk(Vec<u8>),
    Nil,
    Array(Vec<Reply>),
    Map(Vec<(Reply, Reply)>),
    Bool(bool),
    /// A number that is no integer, as it was written.
    Number(String),
}

impl Reply {
    /// Strings of either kind as text; other bytes than UTF-8 become replacement characters.
    pub fn text(&self) -> Option<String> {
        match self {
            Reply::Simple(text) => Some(text.clone()),
            Reply::Bulk(bytes) => Some(String::from_utf8_lossy(bytes).into_owned()),
            _ => None,
        }
    }

    pub fn is_ok(&self) -> bool {
        matches!(self, Reply::Simple(text) if text == "OK")
    }
}

impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |f: &mut fmt::Formatter<'_>, items: &[Reply]| {
            let items: Vec<_> = items.iter().map(Reply::to_string).collect();
            write!(f, "[{}]", items.join(" "))
        };
        match self {
            Reply::Simple(text) | Reply::Number(text) => write!(f, "{text}"),
            Reply::Error(text) => write!(f, "-{text}"),
            Reply::Integer(number) => write!(f, ":{number}"),
            Reply::Bulk(bytes) => write!(f, "\"{}\"", bytes.escape_ascii()),
            Reply::Nil => write!(f, "nil"),
            Reply::Bool(value) => write!(f, "{value}"),
            Reply::Array(items) => list(f, items),
            Reply::Map(pairs) => list(f, &pairs.iter().flat_map(|(k, v)| [k.clone(), v.clone()]).collect::<Vec<_>>()),
        }
    }
}

/// A command: its words, the name first.
pub type Command = Vec<Vec<u8>>;

/// A command of words.
pub fn command<W: AsRef<[u8]>>(words: impl IntoIterator<Item = W>) -> Command {
    words.into_iter().map(|word| word.as_ref().to_vec()).collect()
}

/// Writes a command as an array of bulks.
pub fn encode(command: &Command, into: &mut Vec<u8>) {
    into.extend_from_slice(format!("*{}\r\n", command.len()).as_bytes());
    for word in command {
        into.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        into.extend_from_slice(word);
        into.extend_from_slice(b"\r\n");
    }
}

/// The first reply in the bytes and how long it is; `None` while it is incomplete. Attributes and pushes of RESP3 are
/// not asked for by any client here, so they are errors.
pub fn parse(bytes: &[u8]) -> Result<Option<(Reply, usize)>, String> {
    let mut reader = Reader { bytes, at: 0 };
    Ok(reader.reply()?.map(|reply| (reply, reader.at)))
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn line(&mut self) -> Option<&'a [u8]> {
        let rest = &self.bytes[self.at..];
        let end = rest.windows(2).position(|pair| pair == b"\r\n")?;
        self.at += end + 2;
        Some(&rest[..end])
    }

    fn reply(&mut self) -> Result<Option<Reply>, String> {
        let Some(line) = self.line() else { return Ok(None) };
        let Some((kind, rest)) = line.split_first() else { return Err("an empty line in place of a reply".into()) };
        let text = String::from_utf8_lossy(rest).into_owned();
        let number = || text.parse::<i64>().map_err(|_| format!("{text:?} is no length or integer"));
        Ok(match kind {
            b'+' => Some(Reply::Simple(text)),
            b'-' => Some(Reply::Error(text)),
            b':' => Some(Reply::Integer(number()?)),
            b',' | b'(' => Some(Reply::Number(text)),
            b'#' => Some(Reply::Bool(text == "t")),
            b'_' => Some(Reply::Nil),
            b'$' | b'=' | b'!' => match number()? {
                -1 => Some(Reply::Nil),
                length => self.bulk(*kind, length)?,
            },
            b'*' | b'~' => match number()? {
                -1 => Some(Reply::Nil),
                length => self.items(length)?.map(Reply::Array),
            },
            b'%' => self.items(number()? * 2)?.map(|items| {
                let mut items = items.into_iter();
                Reply::Map(std::iter::from_fn(|| Some((items.next()?, items.next()?))).collect())
            }),
            other => return Err(format!("a reply starts with {:?}", char::from(*other))),
        })
    }

    fn bulk(&mut self, kind: u8, length: i64) -> Result<Option<Reply>, String> {
        let length = usize::try_from(length).map_err(|_| format!("a bulk of {length} bytes"))?;
        let Some(bytes) = self.bytes.get(self.at..self.at + length + 2) else { return Ok(None) };
        self.at += length + 2;
        let Some(content) = bytes.strip_suffix(b"\r\n") else { return Err("a bulk without its end".into()) };
        Ok(Some(match kind {
            b'!' => Reply::Error(String::from_utf8_lossy(content).into_owned()),
            // Three letters and a colon say of what kind the text is.
            b'=' => Reply::Bulk(content.get(4..).unwrap_or_default().to_vec()),
            _ => Reply::Bulk(content.to_vec()),
        }))
    }

    fn items(&mut self, count: i64) -> Result<Option<Vec<Reply>>, String> {
        let count = usize::try_from(count).map_err(|_| format!("an array of {count} items"))?;
        let mut items = Vec::new();
        for _ in 0..count {
            match self.reply()? {
                Some(item) => items.push(item),
                None => return Ok(None),
            }
        }
        Ok(Some(items))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(bytes: &[u8]) -> Reply {
        let (reply, length) = parse(bytes).expect("well-formed").expect("complete");
        assert_eq!(length, bytes.len());
        reply
    }

    #[test]
    fn replies_of_both_protocols_are_read() {
        assert_eq!(whole(b"+OK\r\n"), Reply::Simple("OK".into()));
        assert_eq!(whole(b"-ERR no\r\n"), Reply::Error("ERR no".into()));
        assert_eq!(whole(b":-7\r\n"), Reply::Integer(-7));
        for nil in [&b"$-1\r\n"[..], b"*-1\r\n", b"_\r\n"] {
            assert_eq!(whole(nil), Reply::Nil);
        }
        let nested = Reply::Array(vec![Reply::Bulk(b"a\r\nb".to_vec()), Reply::Array(vec![]), Reply::Integer(1)]);
        assert_eq!(whole(b"*3\r\n$4\r\na\r\nb\r\n*0\r\n:1\r\n"), nested);
        assert_eq!(whole(b"%1\r\n+k\r\n#t\r\n"), Reply::Map(vec![(Reply::Simple("k".into()), Reply::Bool(true))]));
        assert_eq!(whole(b"=7\r\ntxt:abc\r\n"), Reply::Bulk(b"abc".to_vec()));
        assert_eq!(whole(b",1.5\r\n"), Reply::Number("1.5".into()));
    }

    #[test]
    fn every_beginning_of_a_reply_is_incomplete_and_junk_is_refused() {
        let bytes = b"*2\r\n$3\r\nabc\r\n:12\r\n";
        for end in 0..bytes.len() {
            assert_eq!(parse(&bytes[..end]), Ok(None), "{end} bytes");
        }
        assert!(parse(b"HTTP/1.1 200\r\n").is_err());
        assert!(parse(b"$x\r\n").is_err());
        assert!(parse(b"$-2\r\n").is_err());
    }

    #[test]
    fn commands_are_arrays_of_bulks() {
        let mut bytes = Vec::new();
        encode(&command(["SET", "k", ""]), &mut bytes);
        assert_eq!(bytes, b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$0\r\n\r\n");
    }
}
