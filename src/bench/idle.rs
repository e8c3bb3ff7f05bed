//! Connections that only exist: what they cost a server, and whether it still knows them afterwards.

use std::io::{self, BufRead, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream, ToSocketAddrs};

use socket2::{Domain, Socket, Type};

use super::{CONNECT_PATIENCE, command, replies};

/// Connections from one address: the kernel has some 28,000 ports for them.
const PER_ADDRESS: usize = 20_000;

/// Opens the connections, says so on `out`, holds them until `input` ends, and then asks each once more.
pub fn hold(address: &str, clients: usize, input: &mut dyn BufRead, out: &mut dyn Write) -> Result<(), String> {
    let server = address.to_socket_addrs().map_err(|why| format!("{address}: {why}"))?.next();
    let server = server.ok_or_else(|| format!("{address} is the address of nothing"))?;
    let ping = command::encode(&[b"PING"]);
    let mut streams = Vec::with_capacity(clients);
    for n in 0..clients {
        let mut stream = open(server, n).map_err(|why| {
            format!("connection {} to {address}: {why}; the limit of open files may be too low (ulimit -n)", n + 1)
        })?;
        replies::ask(&mut stream, &ping, 1).map_err(|why| format!("connection {}: {why}", n + 1))?;
        streams.push(stream);
    }
    let told = writeln!(out, "{clients} connections are open").and_then(|()| out.flush());
    told.map_err(|why| format!("nobody hears that the connections are open: {why}"))?;
    io::copy(input, &mut io::sink()).map_err(|why| format!("nobody says how long to hold them: {why}"))?;
    for (n, stream) in streams.iter_mut().enumerate() {
        replies::ask(stream, &ping, 1).map_err(|why| format!("connection {} was forgotten: {why}", n + 1))?;
    }
    writeln!(out, "{clients} connections still answer").map_err(|why| format!("nobody hears that they answer: {why}"))
}

/// On this machine every connection may come from another address, so that ports do not run out.
fn open(server: SocketAddr, n: usize) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(server), Type::STREAM, None)?;
    if server.is_ipv4() && server.ip().is_loopback() {
        let from = Ipv4Addr::new(127, 0, 0, 2 + u8::try_from(n / PER_ADDRESS).unwrap_or(u8::MAX - 2));
        socket.bind(&SocketAddr::from((from, 0)).into())?;
    }
    socket.connect_timeout(&server.into(), CONNECT_PATIENCE)?;
    socket.set_read_timeout(Some(CONNECT_PATIENCE))?;
    Ok(socket.into())
}
