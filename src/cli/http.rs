//! What `status` and `health` share: which node is asked, and one request to its HTTP listener.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, ToSocketAddrs as _};
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use crate::settings::{self, Sources};

/// A node that has not said anything for so long is not waited for.
const PATIENCE: Duration = Duration::from_secs(5);

/// Flags that tell which node is asked.
#[derive(Clone, Debug, Args)]
pub struct Target {
    /// HTTP address of any node [default: listen.http of the settings, which is 127.0.0.1:8080 when nobody set it]
    #[arg(long, value_name = "HOST:PORT")]
    http: Option<String>,
    /// Settings file of the node on this machine
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// What was answered.
pub struct Answer {
    /// HTTP's status code.
    pub code: u16,
    /// The text after the head.
    pub body: String,
}

impl Target {
    /// `GET path`. The error is a sentence with the address: nobody listens, nothing is said, or it is no HTTP.
    pub fn get(&self, path: &str) -> Result<Answer, String> {
        let address = match &self.http {
            Some(address) => address.clone(),
            None => {
                settings::load(&Sources {
                    file: self.config.clone(),
                    environment: settings::environment(),
                    ..Sources::default()
                })?
                .settings
                .http
            }
        };
        request(&address, path).map_err(|why| format!("{address}: {why}"))
    }
}

fn request(address: &str, path: &str) -> Result<Answer, String> {
    let failed = |why: std::io::Error| format!("{why}; is a node listening for HTTP there (--http)?");
    let mut stream = connect(address).map_err(failed)?;
    stream.set_read_timeout(Some(PATIENCE)).map_err(failed)?;
    write!(stream, "GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n").map_err(failed)?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).map_err(failed)?;
    parse(&String::from_utf8_lossy(&answer)).ok_or_else(|| "not an HTTP answer".to_owned())
}

/// Tries all addresses of a name in turn, the way to a wildcard being loopback.
fn connect(address: &str) -> std::io::Result<TcpStream> {
    let mut last = std::io::Error::new(std::io::ErrorKind::NotFound, "no address is known");
    for address in address.to_socket_addrs()? {
        match TcpStream::connect_timeout(&from_here(address), PATIENCE) {
            Ok(stream) => return Ok(stream),
            Err(why) => last = why,
        }
    }
    Err(last)
}

/// Where a listener is reached from its own machine.
fn from_here(listener: SocketAddr) -> SocketAddr {
    let ip = match listener.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listener.port())
}

fn parse(answer: &str) -> Option<Answer> {
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let mut words = head.lines().next()?.split(' ');
    words.next().filter(|version| version.starts_with("HTTP/"))?;
    Some(Answer { code: words.next()?.parse().ok()?, body: body.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_a_code_and_a_body() {
        let answer = parse("HTTP/1.0 503 Service Unavailable\r\ncontent-length: 4\r\n\r\nno\r\n").expect("an answer");
        assert_eq!((answer.code, answer.body.as_str()), (503, "no\r\n"));
        assert!(parse("-ERR unknown command 'GET'\r\n\r\n").is_none());
        assert!(parse("HTTP/1.0 200 OK\r\n").is_none(), "the head did not end");
    }

    #[test]
    fn a_wildcard_is_reached_on_loopback() {
        for (listener, reached) in
            [("0.0.0.0:8080", "127.0.0.1:8080"), ("[::]:8080", "[::1]:8080"), ("10.0.0.1:8080", "10.0.0.1:8080")]
        {
            let address = |text: &str| text.parse::<SocketAddr>().expect("an address");
            assert_eq!(from_here(address(listener)), address(reached));
        }
    }
}
