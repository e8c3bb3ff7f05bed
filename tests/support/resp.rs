//! A tiny RESP2 client for tests that talk to real nodes, and what such tests ask of them.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// How long anything may take before a test fails.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// What a node said.
#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    Simple(String),
    Error(String),
    Integer(i64),
    Bulk(Option<Vec<u8>>),
    Array(Option<Vec<Reply>>),
}

/// A connection that speaks RESP2 and gives up after a while.
pub struct Client {
    socket: BufReader<TcpStream>,
}

impl Client {
    /// To a node on this machine.
    pub fn connect(port: u16) -> std::io::Result<Client> {
        let socket = TcpStream::connect(("127.0.0.1", port))?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        Ok(Client { socket: BufReader::new(socket) })
    }

    /// Asks and waits for the answer.
    pub fn call(&mut self, words: &[&str]) -> std::io::Result<Reply> {
        self.say(words)?;
        self.reply()
    }

    /// Asks, and leaves the answer to [`Client::reply`].
    pub fn say(&mut self, words: &[&str]) -> std::io::Result<()> {
        let mut request = format!("*{}\r\n", words.len());
        for word in words {
            request.push_str(&format!("${}\r\n{word}\r\n", word.len()));
        }
        self.socket.get_mut().write_all(request.as_bytes())
    }

    /// Waits for the next reply, or for what comes by itself.
    pub fn reply(&mut self) -> std::io::Result<Reply> {
        let mut line = String::new();
        if self.socket.read_line(&mut line)? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        let (kind, rest) = line.trim_end().split_at(1);
        let number = || rest.parse::<i64>().map_err(std::io::Error::other);
        Ok(match kind {
            "+" => Reply::Simple(rest.to_owned()),
            "-" => Reply::Error(rest.to_owned()),
            ":" => Reply::Integer(number()?),
            "$" => match usize::try_from(number()?) {
                Err(_) => Reply::Bulk(None),
                Ok(length) => {
                    let mut bytes = vec![0; length + 2];
                    self.socket.read_exact(&mut bytes)?;
                    bytes.truncate(length);
                    Reply::Bulk(Some(bytes))
                }
            },
            "*" => match usize::try_from(number()?) {
                Err(_) => Reply::Array(None),
                Ok(count) => Reply::Array(Some((0..count).map(|_| self.reply()).collect::<Result<_, _>>()?)),
            },
            _ => return Err(std::io::Error::other(format!("not a reply: {line:?}"))),
        })
    }
}

/// One value of a line `<line>:key=value,...` of `INFO raft`.
pub fn info(port: u16, line: &str, key: &str) -> Option<String> {
    let Reply::Bulk(Some(text)) = Client::connect(port).ok()?.call(&["INFO", "raft"]).ok()? else { return None };
    let text = String::from_utf8_lossy(&text).into_owned();
    let found = text.lines().filter_map(|found| found.split_once(':')).find(|(name, _)| *name == line)?.1;
    found.split(',').filter_map(|pair| pair.split_once('=')).find(|(name, _)| *name == key).map(|(_, v)| v.into())
}
