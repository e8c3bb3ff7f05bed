//! One connection of a client: commands out, replies in, and a clear word about what a failure means.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};

use crate::resp::{self, Command, Reply, command};

/// How long a connection may take to open.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// Which protocol a client speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    Resp2,
    Resp3,
}

/// Why a connection is of no use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// There is none: nothing was asked.
    Unreached(String),
    /// There is a server, and this is how it answered the greeting: nothing else was asked.
    Rejected(String),
    /// It was closed or broke. Whatever was sent may run, as with all that follow.
    Lost(String),
    /// It takes no more bytes.
    Full,
    /// No reply came in time.
    Silent,
    /// What came is no reply.
    Nonsense(String),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Unreached(why) => write!(f, "no connection: {why}"),
            Failure::Rejected(answer) => write!(f, "the greeting was answered {answer}"),
            Failure::Lost(why) => write!(f, "connection lost: {why}"),
            Failure::Full => write!(f, "the connection takes no bytes"),
            Failure::Silent => write!(f, "no reply in time"),
            Failure::Nonsense(why) => write!(f, "what came is no reply: {why}"),
        }
    }
}

/// A connected client.
pub struct Connection {
    stream: TcpStream,
    received: Vec<u8>,
}

impl Connection {
    /// Connects, and says hello (RESP3) or sends a PING: only then there is a server at the other end, and not just a
    /// proxy or a queue of the kernel. An error means that nothing was asked of the server.
    pub async fn open(address: SocketAddr, protocol: Protocol) -> Result<Connection, Failure> {
        let unreached = |why: &dyn fmt::Display| Failure::Unreached(format!("{address}: {why}"));
        let stream = timeout(CONNECT_TIMEOUT, TcpStream::connect(address))
            .await
            .map_err(|_| unreached(&format!("not within {CONNECT_TIMEOUT:?}")))?
            .map_err(|why| unreached(&why))?;
        stream.set_nodelay(true).map_err(|why| unreached(&why))?;
        let mut connection = Connection { stream, received: Vec::new() };
        let greeting = if protocol == Protocol::Resp3 { command(["HELLO", "3"]) } else { command(["PING"]) };
        let answered = async {
            connection.send(&[greeting]).await?;
            connection.reply(Instant::now() + CONNECT_TIMEOUT).await
        };
        match (protocol, answered.await) {
            (Protocol::Resp3, Ok(Reply::Map(_))) | (Protocol::Resp2, Ok(Reply::Simple(_))) => Ok(connection),
            (_, Ok(other)) => Err(Failure::Rejected(other.to_string())),
            (_, Err(Failure::Nonsense(why))) => Err(Failure::Nonsense(why)),
            (_, Err(why)) => Err(unreached(&why)),
        }
    }

    /// Sends commands in one write. After an error some of them may have arrived.
    pub async fn send(&mut self, commands: &[Command]) -> Result<(), Failure> {
        let mut bytes = Vec::new();
        for command in commands {
            resp::encode(command, &mut bytes);
        }
        // A server that does not read for that long is one whose answer would be given up as well.
        match timeout(CONNECT_TIMEOUT, self.stream.write_all(&bytes)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(why)) => Err(Failure::Lost(format!("while sending: {why}"))),
            Err(_) => Err(Failure::Full),
        }
    }

    /// The next reply. After an error the connection is of no more use: whatever was sent may run.
    pub async fn reply(&mut self, deadline: Instant) -> Result<Reply, Failure> {
        loop {
            if let Some((reply, length)) = resp::parse(&self.received).map_err(Failure::Nonsense)? {
                self.received.drain(..length);
                return Ok(reply);
            }
            let read = timeout_at(deadline, self.stream.read_buf(&mut self.received)).await;
            match read {
                Ok(Ok(0)) => return Err(Failure::Lost("closed by the server".into())),
                Ok(Ok(_)) => {}
                Ok(Err(why)) => return Err(Failure::Lost(why.to_string())),
                Err(_) => return Err(Failure::Silent),
            }
        }
    }
}
