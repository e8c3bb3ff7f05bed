//! A blocking RESP client: one socket, one command at a time.

use std::io::{BufReader, Write};
use std::net::TcpStream;
use std::time::Duration;

use bytes::Bytes;

use super::reply::Reply;
use super::{Target, words};

/// No reply takes longer than this, or the test ends.
const REPLY_TIMEOUT: Duration = Duration::from_secs(20);

/// A connection to a RESP server.
pub struct Client {
    socket: BufReader<TcpStream>,
}

impl Client {
    /// Connects to `host:port`.
    pub fn connect(address: &str) -> std::io::Result<Client> {
        let socket = TcpStream::connect(address)?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(REPLY_TIMEOUT))?;
        Ok(Client { socket: BufReader::new(socket) })
    }

    fn exchange(&mut self, args: &[Bytes]) -> std::io::Result<Reply> {
        let mut request = format!("*{}\r\n", args.len()).into_bytes();
        for arg in args {
            request.extend_from_slice(format!("${}\r\n", arg.len()).as_bytes());
            request.extend_from_slice(arg);
            request.extend_from_slice(b"\r\n");
        }
        self.socket.get_mut().write_all(&request)?;
        Reply::read(&mut self.socket)
    }
}

impl Target for Client {
    fn call(&mut self, args: &[Bytes]) -> Reply {
        self.exchange(args).unwrap_or_else(|error| panic!("no reply to {args:?}: {error}"))
    }

    fn protocol(&mut self, version: u8) {
        let reply = self.call(&words(&format!("HELLO {version}")));
        assert!(!reply.is_error(), "HELLO {version}: {reply:?}");
    }

    fn select(&mut self, db: u8) {
        let reply = self.call(&words(&format!("SELECT {db}")));
        assert!(!reply.is_error(), "SELECT {db}: {reply:?}");
    }
}
