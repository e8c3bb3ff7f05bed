//! One connection of the load: what it still has to send, what it waits for, and since when.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};

use mio::net::TcpStream;

use super::command;
use super::replies::{Replies, ask};
use super::{Options, connect};

/// Requests that began together.
#[derive(Clone, Copy, Debug)]
struct Begun {
    /// Nanoseconds since the start of the run.
    at: u64,
    /// How many of them are not answered.
    requests: u64,
}

/// A connection and its requests.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) stream: TcpStream,
    address: String,
    replies: Replies,
    /// The start of a line whose end has not arrived.
    kept: Vec<u8>,
    out: Vec<u8>,
    /// So much of `out` is sent.
    sent: usize,
    begun: VecDeque<Begun>,
}

impl Client {
    /// Connects, and logs in if there is a password.
    pub(super) fn open(address: &str, options: &Options) -> Result<Client, String> {
        let mut stream = connect(address)?;
        if let Some(password) = &options.password {
            ask(&mut stream, &command::encode(&[b"AUTH", password.as_bytes()]), 1)
                .map_err(|why| format!("{address}: AUTH: {why}"))?;
        }
        stream.set_nonblocking(true).map_err(|why| format!("{address}: {why}"))?;
        Ok(Client {
            stream: TcpStream::from_std(stream),
            address: address.to_owned(),
            replies: Replies::default(),
            kept: Vec::new(),
            out: Vec::new(),
            sent: 0,
            begun: VecDeque::new(),
        })
    }

    /// Nothing is asked.
    pub(super) fn is_idle(&self) -> bool {
        self.begun.is_empty()
    }

    /// What is sent next; requests are added to it.
    pub(super) fn out(&mut self) -> &mut Vec<u8> {
        if self.sent == self.out.len() {
            self.out.clear();
            self.sent = 0;
        }
        &mut self.out
    }

    /// So many requests were added, which began then.
    pub(super) fn added(&mut self, at: u64, requests: u64) {
        self.begun.push_back(Begun { at, requests });
    }

    /// Sends as much as the connection takes; the rest when it is writable again.
    pub(super) fn send(&mut self) -> Result<(), String> {
        while self.sent < self.out.len() {
            match self.stream.write(&self.out[self.sent..]) {
                Ok(sent) => self.sent += sent,
                Err(why) if why.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(why) if why.kind() == ErrorKind::Interrupted => {}
                Err(why) => return Err(format!("{}: sending failed: {why}", self.address)),
            }
        }
        Ok(())
    }

    /// Takes what arrived. `answered` is told when requests began that are answered now, and how many.
    pub(super) fn receive(&mut self, buffer: &mut [u8], mut answered: impl FnMut(u64, u64)) -> Result<(), String> {
        loop {
            let kept = self.kept.len();
            buffer[..kept].copy_from_slice(&self.kept);
            let read = match self.stream.read(&mut buffer[kept..]) {
                Ok(0) => return Err(format!("{} closed a connection", self.address)),
                Ok(read) => read,
                Err(why) if why.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(why) if why.kind() == ErrorKind::Interrupted => continue,
                Err(why) => return Err(format!("{}: receiving failed: {why}", self.address)),
            };
            let there = kept + read;
            let (used, mut ended) =
                self.replies.take(&buffer[..there]).map_err(|why| format!("{}: {why}", self.address))?;
            self.kept.clear();
            self.kept.extend_from_slice(&buffer[used..there]);
            while ended > 0 {
                let first = self.begun.front_mut().ok_or_else(|| format!("{} answers unasked", self.address))?;
                let taken = first.requests.min(ended);
                answered(first.at, taken);
                first.requests -= taken;
                ended -= taken;
                if first.requests == 0 {
                    self.begun.pop_front();
                }
            }
            // A short read has emptied the socket: to be told so by another call costs as much as the read did.
            if there < buffer.len() {
                return Ok(());
            }
        }
    }
}
