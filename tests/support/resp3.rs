//! A RESP3 client that keeps what comes by itself apart from what it asked for, in the order in which it came.

use std::collections::VecDeque;
use std::io::{self, BufReader, Write};
use std::net::TcpStream;

use super::reply::Reply;
use super::resp::PATIENCE;

/// A connection.
pub struct Client {
    socket: BufReader<TcpStream>,
    pushes: VecDeque<Vec<Reply>>,
}

impl Client {
    /// To a node on this machine.
    pub fn connect(port: u16) -> io::Result<Client> {
        let socket = TcpStream::connect(("127.0.0.1", port))?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        let mut client = Client { socket: BufReader::new(socket), pushes: VecDeque::new() };
        client.call("HELLO 3")?;
        Ok(client)
    }

    /// Asks, with spaces between words, and waits for the answer.
    pub fn call(&mut self, line: &str) -> io::Result<Reply> {
        self.say(line)?;
        self.reply()
    }

    /// Asks, and leaves the answer to [`Client::reply`].
    pub fn say(&mut self, line: &str) -> io::Result<()> {
        let words: Vec<&str> = line.split_whitespace().collect();
        let mut request = format!("*{}\r\n", words.len());
        for word in words {
            request.push_str(&format!("${}\r\n{word}\r\n", word.len()));
        }
        self.socket.get_mut().write_all(request.as_bytes())
    }

    /// Waits for an answer.
    pub fn reply(&mut self) -> io::Result<Reply> {
        loop {
            match Reply::read(&mut self.socket)? {
                Reply::Push(parts) => self.pushes.push_back(parts),
                reply => return Ok(reply),
            }
        }
    }

    /// The next thing that comes by itself.
    pub fn push(&mut self) -> io::Result<Vec<Reply>> {
        if let Some(push) = self.pushes.pop_front() {
            return Ok(push);
        }
        match Reply::read(&mut self.socket)? {
            Reply::Push(parts) => Ok(parts),
            reply => Err(io::Error::other(format!("an answer that nobody waits for: {reply:?}"))),
        }
    }

    /// What came by itself so far and was not taken yet.
    pub fn pushes(&mut self) -> Vec<Vec<Reply>> {
        self.pushes.drain(..).collect()
    }
}
