//! The few words of HTTP that a runner needs.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// A node that does not answer by then is not asked further: it may be paused.
const TIMEOUT: Duration = Duration::from_millis(500);

/// Status code and body of an answer.
pub async fn get(address: SocketAddr, path: &'static str) -> Result<(u16, String), String> {
    let answer = timeout(TIMEOUT, async {
        let mut stream = TcpStream::connect(address).await?;
        let request = format!("GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await?;
        Ok::<_, std::io::Error>(answer)
    });
    let answer = answer.await.map_err(|_| format!("{address} does not answer"))?;
    let answer = answer.map_err(|why| format!("{address}: {why}"))?;
    let answer = String::from_utf8_lossy(&answer);
    let (head, body) = answer.split_once("\r\n\r\n").ok_or_else(|| format!("{address} does not speak HTTP"))?;
    let code = head.split(' ').nth(1).and_then(|code| code.parse().ok());
    Ok((code.ok_or_else(|| format!("{address} does not speak HTTP"))?, body.to_owned()))
}
