//! Where replies end, in the bytes that a server sends: counted, not kept. Errors are told, as nothing else is of interest.
//!
//! RESP2 and RESP3 alike. Invariant: in how many parts a reply arrives changes nothing, and the body of a bulk is never
//! looked at.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;

/// A line is not longer: no server sends such a one.
const LINE_BYTES_MAX: usize = 64 << 10;

/// Counts the replies of one connection.
#[derive(Clone, Debug, Default)]
pub struct Replies {
    /// Elements of the reply in work that did not begin yet; 0: between replies.
    open: u64,
    /// Bytes that belong to a bulk that began.
    body: u64,
}

impl Replies {
    /// Takes what arrived: how many bytes of it are done with (the rest is the start of a line, to be given again with
    /// what follows), and how many replies ended in it. An error is an error reply, or what no server sends.
    pub fn take(&mut self, bytes: &[u8]) -> Result<(usize, u64), String> {
        let (mut at, mut ended) = (0, 0);
        loop {
            if self.body > 0 {
                let passed = self.body.min((bytes.len() - at) as u64);
                self.body -= passed;
                at += passed as usize;
                if self.body > 0 {
                    return Ok((at, ended));
                }
                ended += u64::from(self.open == 0);
            }
            let rest = &bytes[at..];
            let Some(end) = rest.iter().position(|byte| *byte == b'\n') else {
                if rest.len() > LINE_BYTES_MAX {
                    return Err("it sent a line without an end".into());
                }
                return Ok((at, ended));
            };
            let line = rest[..end].strip_suffix(b"\r").ok_or_else(|| strange(&rest[..end]))?;
            at += end + 1;
            self.line(line)?;
            ended += u64::from(self.open == 0 && self.body == 0);
        }
    }

    /// The head of an element.
    fn line(&mut self, line: &[u8]) -> Result<(), String> {
        let [kind, text @ ..] = line else { return Err(strange(line)) };
        let length = || std::str::from_utf8(text).ok().and_then(|text| text.parse::<i64>().ok());
        self.open = self.open.max(1) - 1;
        match kind {
            b'+' | b':' | b'_' | b',' | b'#' | b'(' => {}
            b'-' => return Err(format!("it answers -{}", String::from_utf8_lossy(text))),
            b'$' | b'=' | b'!' => {
                // A negative length is a null.
                if let length @ 0.. = length().ok_or_else(|| strange(line))? {
                    self.body = length as u64 + 2;
                }
            }
            b'*' | b'~' | b'>' => self.open += length().ok_or_else(|| strange(line))?.max(0) as u64,
            b'%' => self.open += 2 * length().ok_or_else(|| strange(line))?.max(0) as u64,
            _ => return Err(strange(line)),
        }
        Ok(())
    }
}

fn strange(line: &[u8]) -> String {
    let start = String::from_utf8_lossy(&line[..line.len().min(60)]).into_owned();
    format!("it sent what is no reply: {start:?}")
}

/// Sends requests and waits for so many replies.
pub fn ask(stream: &mut TcpStream, requests: &[u8], replies: u64) -> Result<(), String> {
    stream.write_all(requests).map_err(|why| format!("sending failed: {why}"))?;
    let (mut counter, mut awaited) = (Replies::default(), replies);
    let mut buffer = vec![0; LINE_BYTES_MAX + 1];
    let mut kept = 0;
    while awaited > 0 {
        let read = stream.read(&mut buffer[kept..]).map_err(|why| match why.kind() {
            ErrorKind::WouldBlock | ErrorKind::TimedOut => "there is no answer".to_owned(),
            _ => format!("no answer: {why}"),
        })?;
        if read == 0 {
            return Err("it closed the connection".into());
        }
        let (used, ended) = counter.take(&buffer[..kept + read])?;
        awaited = awaited.saturating_sub(ended);
        buffer.copy_within(used..kept + read, 0);
        kept = kept + read - used;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: &[u8] =
        b"+OK\r\n$3\r\na\r\n\r\n$-1\r\n*2\r\n$1\r\nx\r\n*2\r\n:1\r\n$0\r\n\r\n*0\r\n*-1\r\n:5\r\n%1\r\n+k\r\n_\r\n";

    #[test]
    fn replies_are_counted_however_they_arrive() {
        for part in 1..STREAM.len() {
            let (mut replies, mut kept, mut count) = (Replies::default(), Vec::new(), 0);
            for bytes in STREAM.chunks(part) {
                kept.extend_from_slice(bytes);
                let (used, ended) = replies.take(&kept).expect("replies");
                kept.drain(..used);
                count += ended;
            }
            assert_eq!((count, kept.len()), (8, 0), "in parts of {part}");
        }
    }

    #[test]
    fn errors_and_noise_end_it() {
        let take = |bytes: &[u8]| Replies::default().take(bytes).expect_err("no reply");
        assert_eq!(take(b"+OK\r\n-ERR unknown command 'x'\r\n"), "it answers -ERR unknown command 'x'");
        assert_eq!(take(b"*1\r\n-MOVED 1 a:1\r\n"), "it answers -MOVED 1 a:1");
        for noise in [&b"HTTP/1.1 400 Bad Request\r\n"[..], b"\r\n", b"+OK\n", b"$x\r\n"] {
            assert!(take(noise).contains("no reply"), "{noise:?}");
        }
        assert!(take(&[b'+'; LINE_BYTES_MAX + 1]).contains("without an end"));
    }
}
