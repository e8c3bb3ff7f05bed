//! Bytes to requests: an incremental parser of multibulk and inline commands.
//!
//! Invariant: how the input is cut into reads never changes what comes out of it. A request is looked at in the
//! read buffer and leaves it, without a copy, only when it is complete; all its arguments share that memory.
//! Nothing is allocated from a declared length: the list of arguments grows with the bytes that really came.
//!
//! Source of rules and texts: Redis's protocol specification and the behaviour of its query buffer.

use bytes::{Buf, Bytes, BytesMut};

use crate::base::limits;

/// What a client may declare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Arguments of one request.
    pub arguments_max: usize,
    /// Bytes of one bulk.
    pub bulk_bytes_max: usize,
    /// Whether a transgression is one of a client that did not authenticate yet (the texts differ).
    pub authenticated: bool,
}

/// What the client sent is not the protocol. The stream cannot be trusted any further: answer and close.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[error("Protocol error: {0}")]
pub struct ProtocolError(String);

/// The parser of one connection: where it stands in a request that is not complete.
#[derive(Debug, Default)]
pub struct Decoder {
    /// Arguments still to come; 0 between requests.
    missing: usize,
    /// Bytes of the buffer that were understood already.
    position: usize,
    /// Length of the bulk that starts at `position`.
    bulk: Option<usize>,
    /// Arguments found so far: start and end in the buffer.
    found: Vec<(usize, usize)>,
}

impl Bounds {
    /// Before authentication, where a password is required.
    pub const UNAUTHENTICATED: Bounds = Bounds {
        arguments_max: limits::UNAUTHENTICATED_ARGUMENTS_MAX,
        bulk_bytes_max: limits::UNAUTHENTICATED_BULK_BYTES_MAX,
        authenticated: false,
    };

    /// For everybody else.
    pub const AUTHENTICATED: Bounds =
        Bounds { arguments_max: limits::ARGUMENTS_MAX, bulk_bytes_max: limits::BULK_BYTES_MAX, authenticated: true };
}

impl Decoder {
    /// Takes the next complete request (name and arguments, never empty) out of the buffer. `None`: more bytes are
    /// needed, and none of the request has left the buffer.
    pub fn decode(&mut self, buffer: &mut BytesMut, bounds: &Bounds) -> Result<Option<Vec<Bytes>>, ProtocolError> {
        loop {
            if self.missing == 0 {
                match buffer.first() {
                    None => return Ok(None),
                    Some(b'*') => {
                        let Some(count) = header(buffer, "too big mbulk count string")? else { return Ok(None) };
                        let declared = integer(&buffer[1..count]);
                        let declared = declared
                            .filter(|&n| n <= limits::ARGUMENTS_MAX as i64)
                            .ok_or_else(|| ProtocolError("invalid multibulk length".into()))?;
                        if declared > bounds.arguments_max as i64 {
                            return Err(ProtocolError(
                                if bounds.authenticated { "invalid" } else { "unauthenticated" }.to_string()
                                    + " multibulk length",
                            ));
                        }
                        if declared <= 0 {
                            // Redis takes an empty or null array for no request at all.
                            buffer.advance(count + 2);
                            continue;
                        }
                        self.missing = declared as usize;
                        self.position = count + 2;
                    }
                    Some(_) => match inline(buffer)? {
                        None => return Ok(None),
                        Some(args) if args.is_empty() => continue,
                        args => return Ok(args),
                    },
                }
            }
            return self.multibulk(buffer, bounds);
        }
    }

    /// Goes on with a multibulk request whose count is known.
    fn multibulk(&mut self, buffer: &mut BytesMut, bounds: &Bounds) -> Result<Option<Vec<Bytes>>, ProtocolError> {
        while self.missing > 0 {
            let length = match self.bulk {
                Some(length) => length,
                None => {
                    let rest = &buffer[self.position..];
                    let Some(end) = header(rest, "too big bulk count string")? else { return Ok(None) };
                    if rest[0] != b'$' {
                        return Err(ProtocolError(format!("expected '$', got '{}'", rest[0].escape_ascii())));
                    }
                    let length = bulk_length(&rest[1..end], bounds)?;
                    self.position += end + 2;
                    self.bulk = Some(length);
                    length
                }
            };
            // The two bytes after a bulk are skipped unseen, as Redis does.
            if buffer.len() - self.position < length + 2 {
                return Ok(None);
            }
            self.found.push((self.position, self.position + length));
            self.position += length + 2;
            self.bulk = None;
            self.missing -= 1;
        }
        let request = buffer.split_to(self.position).freeze();
        let args = self.found.drain(..).map(|(start, end)| request.slice(start..end)).collect();
        // A request with a million arguments must not leave its list behind on an idle connection.
        if self.found.capacity() > 1024 {
            self.found = Vec::new();
        }
        self.position = 0;
        Ok(Some(args))
    }
}

/// Where the line at the start of `bytes` ends (its CR), once the byte after it is there too.
fn header(bytes: &[u8], too_big: &str) -> Result<Option<usize>, ProtocolError> {
    let window = &bytes[..bytes.len().min(limits::INLINE_BYTES_MAX + 1)];
    match window.iter().position(|&b| b == b'\r') {
        Some(end) if end + 1 < bytes.len() => Ok(Some(end)),
        Some(_) => Ok(None),
        None if window.len() > limits::INLINE_BYTES_MAX => Err(ProtocolError(too_big.into())),
        None => Ok(None),
    }
}

fn bulk_length(digits: &[u8], bounds: &Bounds) -> Result<usize, ProtocolError> {
    let length = integer(digits)
        .filter(|&n| n >= 0)
        .and_then(|n| usize::try_from(n).ok())
        .ok_or_else(|| ProtocolError("invalid bulk length".into()))?;
    if length <= bounds.bulk_bytes_max {
        return Ok(length);
    }
    let kind = if bounds.authenticated || length > limits::BULK_BYTES_MAX { "invalid" } else { "unauthenticated" };
    Err(ProtocolError(format!("{kind} bulk length")))
}

/// A decimal number in its only canonical form: no plus sign, no leading zero, no space.
fn integer(digits: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(digits).ok()?;
    let canonical = match digits {
        [b'0'] => true,
        [b'-', first, ..] | [first, ..] => (b'1'..=b'9').contains(first),
        [] => false,
    };
    if canonical { text.parse().ok() } else { None }
}

/// A request as a person types it: one line, arguments separated by spaces, with quotes.
fn inline(buffer: &mut BytesMut) -> Result<Option<Vec<Bytes>>, ProtocolError> {
    let window = &buffer[..buffer.len().min(limits::INLINE_BYTES_MAX + 1)];
    let Some(end) = window.iter().position(|&b| b == b'\n') else {
        return if window.len() > limits::INLINE_BYTES_MAX {
            Err(ProtocolError("too big inline request".into()))
        } else {
            Ok(None)
        };
    };
    let line = buffer.split_to(end + 1);
    let line = &line[..end];
    split_line(line.strip_suffix(b"\r").unwrap_or(line))
        .map(Some)
        .ok_or_else(|| ProtocolError("unbalanced quotes in request".into()))
}

/// Splits a line into arguments. Double quotes know `\n \r \t \b \a \xHH`, single quotes only `\'`; a closing quote
/// ends the argument. `None` when a quote stays open or something follows a closing one directly.
pub fn split_line(line: &[u8]) -> Option<Vec<Bytes>> {
    let is_space = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c);
    let mut args = Vec::new();
    let mut at = 0;
    loop {
        while line.get(at).is_some_and(is_space) {
            at += 1;
        }
        if at == line.len() {
            return Some(args);
        }
        let mut arg = Vec::new();
        while let Some(&byte) = line.get(at).filter(|byte| !is_space(byte)) {
            at += 1;
            if byte == b'"' || byte == b'\'' {
                at += quoted(&line[at..], byte, &mut arg)?;
                if line.get(at).is_some_and(|byte| !is_space(byte)) {
                    return None;
                }
                break;
            }
            arg.push(byte);
        }
        args.push(Bytes::from(arg));
    }
}

/// Reads up to and including the closing quote; how many bytes that were.
fn quoted(line: &[u8], quote: u8, arg: &mut Vec<u8>) -> Option<usize> {
    let hex = |byte: u8| char::from(byte).to_digit(16).map(|digit| digit as u8);
    let mut at = 0;
    loop {
        match (quote, &line[at..]) {
            (b'"', [b'\\', b'x', high, low, ..]) if hex(*high).is_some() && hex(*low).is_some() => {
                arg.push(hex(*high)? << 4 | hex(*low)?);
                at += 4;
            }
            (b'"', [b'\\', escaped, ..]) => {
                arg.push(match escaped {
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    b'b' => 0x08,
                    b'a' => 0x07,
                    other => *other,
                });
                at += 2;
            }
            (b'\'', [b'\\', b'\'', ..]) => {
                arg.push(b'\'');
                at += 2;
            }
            (_, [byte, ..]) if *byte == quote => return Some(at + 1),
            (_, [byte, ..]) => {
                arg.push(*byte);
                at += 1;
            }
            (_, []) => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Rng;

    type Outcome = (Vec<Vec<Bytes>>, Option<String>);

    /// Feeds the input in pieces of the given sizes (the last size repeats).
    fn feed(pieces: &[&[u8]], bounds: &Bounds) -> Outcome {
        let (mut decoder, mut buffer, mut requests) = (Decoder::default(), BytesMut::new(), Vec::new());
        for piece in pieces {
            buffer.extend_from_slice(piece);
            loop {
                match decoder.decode(&mut buffer, bounds) {
                    Ok(Some(args)) => requests.push(args),
                    Ok(None) => break,
                    Err(error) => return (requests, Some(error.to_string())),
                }
            }
        }
        (requests, None)
    }

    /// The outcome, after making sure that it is the same however the input is cut.
    fn parse(input: &[u8], bounds: &Bounds) -> Outcome {
        let whole = feed(&[input], bounds);
        assert_eq!(feed(&input.chunks(1).collect::<Vec<_>>(), bounds), whole, "byte by byte");
        for at in 0..=input.len().min(300) {
            assert_eq!(feed(&[&input[..at], &input[at..]], bounds), whole, "cut at {at}");
        }
        whole
    }

    fn words(input: &[u8]) -> Vec<Vec<String>> {
        let (requests, error) = parse(input, &Bounds::AUTHENTICATED);
        assert_eq!(error, None);
        requests.iter().map(|args| args.iter().map(|arg| arg.escape_ascii().to_string()).collect()).collect()
    }

    fn error(input: &[u8], bounds: &Bounds) -> String {
        parse(input, bounds).1.unwrap_or_default()
    }

    #[test]
    fn requests_come_out_whole_however_they_arrive() {
        let empty: Vec<Vec<String>> = vec![];
        assert_eq!(words(b""), empty);
        assert_eq!(
            words(b"*2\r\n$3\r\nGET\r\n$1\r\nk\r\n*1\r\n$4\r\nPI\r\n\r\n"),
            [vec!["GET", "k"], vec!["PI\\r\\n"]]
        );
        assert_eq!(words(b"*0\r\n*-1\r\n\r\n\n*1\r\n$0\r\n\r\n"), [vec![""]]);
        assert_eq!(words(b"PING\r\nset k  v \n*1\r\n$1\r\nx\r\nget"), [vec!["PING"], vec!["set", "k", "v"], vec!["x"]]);
        assert_eq!(words(b"*2\r\n$1\r\na\r\n$5\r\nhel"), empty);
    }

    /// Bytes as they come: requests, damaged ones, and noise that looks a little like the protocol.
    fn random_stream(rng: &mut Rng) -> Vec<u8> {
        let mut stream = Vec::new();
        for _ in 0..rng.range(1, 6) {
            match rng.below(4) {
                0 => stream.extend(b"set \"a\\x00b\" 'c d'  e\r\n"),
                1 => {
                    let alphabet = b"*$:+-0123456789\r\n\r\n'\"\\x ag\0\xff";
                    stream.extend((0..rng.below(60)).map(|_| *rng.pick(alphabet)));
                }
                _ => {
                    let words = rng.range(1, 5);
                    stream.extend(format!("*{words}\r\n").bytes());
                    for _ in 0..words {
                        let word: Vec<u8> = (0..rng.below(20)).map(|_| rng.next() as u8).collect();
                        stream.extend(format!("${}\r\n", word.len()).bytes().chain(word).chain(*b"\r\n"));
                    }
                }
            }
        }
        if rng.chance(1, 3) {
            let at = rng.below(stream.len().max(1) as u64) as usize;
            stream.get_mut(at..).into_iter().flatten().take(1).for_each(|byte| *byte = rng.next() as u8);
        }
        stream
    }

    #[test]
    fn random_streams_come_out_the_same_however_they_are_cut() {
        for seed in 0..2_000 {
            let mut rng = Rng::new(seed);
            let stream = random_stream(&mut rng);
            let bounds = if rng.chance(1, 4) { Bounds::UNAUTHENTICATED } else { Bounds::AUTHENTICATED };
            let whole = feed(&[&stream], &bounds);
            for _ in 0..5 {
                let (mut rest, mut pieces) = (&stream[..], Vec::new());
                while !rest.is_empty() {
                    let (piece, after) = rest.split_at(rng.range(1, rest.len() as u64 + 1) as usize);
                    pieces.push(piece);
                    rest = after;
                }
                assert_eq!(feed(&pieces, &bounds), whole, "seed {seed}: {}", stream.escape_ascii());
            }
            let bytes: usize = whole.0.iter().flatten().map(Bytes::len).sum();
            assert!(bytes <= stream.len(), "seed {seed}: more came out than went in");
        }
    }

    #[test]
    fn inline_quotes() {
        assert_eq!(
            words(b"set \"a b\" '\\x41\\'' \"\\x41\\n\\q\\xzz\" x\"y\"\n"),
            [vec!["set", "a b", "\\\\x41\\'", "A\\nqxzz", "xy"]]
        );
        for line in ["set \"a", "set 'a", "set \"a\"b", "set 'a'b", "\"\\"] {
            let got = error(format!("{line}\r\n").as_bytes(), &Bounds::AUTHENTICATED);
            assert_eq!(got, "Protocol error: unbalanced quotes in request", "{line}");
        }
    }

    #[test]
    fn malformed_input_gets_redis_words() {
        let check = |input: &[u8], text: &str| {
            assert_eq!(
                error(input, &Bounds::AUTHENTICATED),
                format!("Protocol error: {text}"),
                "{}",
                input.escape_ascii()
            );
        };
        for count in ["x", "", "01", "+1", "1 ", "-0", "3000000000", "99999999999999999999", "1048577"] {
            check(format!("*{count}\r\n").as_bytes(), "invalid multibulk length");
        }
        for length in ["x", "", "-1", "007", "67108865", "99999999999999999999"] {
            check(format!("*1\r\n${length}\r\n").as_bytes(), "invalid bulk length");
        }
        check(b"*1\r\nxoo\r\n", "expected '$', got 'x'");
        check(b"*1\r\n\r\n", "expected '$', got '\\r'");
        check(b"*3\r\n$1\r\na\r\n:1\r\n", "expected '$', got ':'");
    }

    #[test]
    fn endless_lines_are_refused() {
        let long = vec![b'1'; limits::INLINE_BYTES_MAX + 10];
        let pieces = |head: &[u8]| {
            let input = [head, &long, b"\r\n"].concat();
            let whole = feed(&[&input], &Bounds::AUTHENTICATED).1;
            assert_eq!(feed(&input.chunks(1000).collect::<Vec<_>>(), &Bounds::AUTHENTICATED).1, whole);
            whole.unwrap_or_default()
        };
        assert_eq!(pieces(b""), "Protocol error: too big inline request");
        assert_eq!(pieces(b"*"), "Protocol error: too big mbulk count string");
        assert_eq!(pieces(b"*1\r\n$"), "Protocol error: too big bulk count string");
    }

    #[test]
    fn strangers_may_declare_little() {
        assert_eq!(error(b"*11\r\n", &Bounds::UNAUTHENTICATED), "Protocol error: unauthenticated multibulk length");
        assert_eq!(error(b"*1\r\n$16385\r\n", &Bounds::UNAUTHENTICATED), "Protocol error: unauthenticated bulk length");
        assert_eq!(parse(b"*1\r\n$4\r\nPING\r\n", &Bounds::UNAUTHENTICATED).0.len(), 1);
    }

    #[test]
    fn nothing_is_allocated_from_a_declared_length() {
        let mut decoder = Decoder::default();
        let mut buffer = BytesMut::from(&b"*1048576\r\n$67108864\r\nabc"[..]);
        let capacity = buffer.capacity();
        assert_eq!(decoder.decode(&mut buffer, &Bounds::AUTHENTICATED), Ok(None));
        assert_eq!((buffer.capacity(), decoder.found.capacity()), (capacity, 0));
    }
}
