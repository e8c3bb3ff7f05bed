//! One connection of a client: commands out, replies in, and a clear word about what a failure means.

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

/// A connected client.
pub struct Connection {
    stream: TcpStream,
    received: Vec<u8>,
}

impl Connection {
    /// Connects, and says hello (RESP3) or sends a PING: only then there is a server at the other end, and not just a
    /// proxy or a queue of the kernel. An error means that nothing was asked of the server.
    pub async fn open(address: SocketAddr, protocol: Protocol) -> Result<Connection, String> {
        let stream = timeout(CONNECT_TIMEOUT, TcpStream::connect(address))
            .await
            .map_err(|_| format!("no connection to {address} within {CONNECT_TIMEOUT:?}"))?
            .map_err(|why| format!("no connection to {address}: {why}"))?;
        stream.set_nodelay(true).map_err(|why| why.to_string())?;
        let mut connection = Connection { stream, received: Vec::new() };
        let greeting = if protocol == Protocol::Resp3 { command(["HELLO", "3"]) } else { command(["PING"]) };
        connection.send(&[greeting]).await.map_err(|why| format!("no connection to {address}: {why}"))?;
        match (protocol, connection.reply(Instant::now() + CONNECT_TIMEOUT).await) {
            (_, Err(why)) => return Err(format!("no connection to {address}: {why}")),
            (Protocol::Resp3, Ok(Reply::Map(_))) | (Protocol::Resp2, Ok(Reply::Simple(_))) => {}
            (_, Ok(other)) => return Err(format!("the greeting was answered {other}")),
        }
        Ok(connection)
    }

    /// Sends commands in one write. After an error some of them may have arrived.
    pub async fn send(&mut self, commands: &[Command]) -> Result<(), String> {
        let mut bytes = Vec::new();
        for command in commands {
            resp::encode(command, &mut bytes);
        }
        // A server that does not read for that long is one whose answer would be given up as well.
        match timeout(CONNECT_TIMEOUT, self.stream.write_all(&bytes)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(why)) => Err(format!("connection lost while sending: {why}")),
            Err(_) => Err("the connection takes no bytes".into()),
        }
    }

    /// The next reply. After an error the connection is of no more use: whatever was sent may run.
    pub async fn reply(&mut self, deadline: Instant) -> Result<Reply, String> {
        loop {
            if let Some((reply, length)) = resp::parse(&self.received)? {
                self.received.drain(..length);
                return Ok(reply);
            }
            let read = timeout_at(deadline, self.stream.read_buf(&mut self.received)).await;
            match read {
                Ok(Ok(0)) => return Err("connection closed by the server".into()),
                Ok(Ok(_)) => {}
                Ok(Err(why)) => return Err(format!("connection lost: {why}")),
                Err(_) => return Err("no reply in time".into()),
            }
        }
    }
}
