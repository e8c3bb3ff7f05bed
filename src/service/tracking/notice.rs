//! The bytes of a notice that keys changed.

use bytes::{Bytes, BytesMut};

use crate::resp::{Protocol, put_bulk, put_length};

/// The channel on which a client that speaks RESP2 hears of changes for another one.
const CHANNEL: &[u8] = b"__redis__:invalidate";

/// A notice for a client of this protocol: in RESP2 it looks like a message of a channel. Without keys everything
/// changed.
pub(super) fn encode(keys: Option<&[&Bytes]>, protocol: Protocol) -> Bytes {
    let mut out =
        BytesMut::with_capacity(64 + keys.unwrap_or_default().iter().map(|key| key.len() + 16).sum::<usize>());
    match protocol {
        Protocol::Resp3 => {
            put_length(&mut out, b'>', 2);
            put_bulk(&mut out, b"invalidate");
        }
        Protocol::Resp2 => {
            put_length(&mut out, b'*', 3);
            put_bulk(&mut out, b"message");
            put_bulk(&mut out, CHANNEL);
        }
    }
    match (keys, protocol) {
        (Some(keys), _) => {
            put_length(&mut out, b'*', keys.len());
            keys.iter().for_each(|key| put_bulk(&mut out, key));
        }
        (None, Protocol::Resp3) => out.extend_from_slice(b"_\r\n"),
        (None, Protocol::Resp2) => out.extend_from_slice(b"$-1\r\n"),
    }
    out.freeze()
}

/// Tells a client that the one which was to hear its notices is gone.
pub(super) fn redirection_broken(id: u64) -> Bytes {
    let mut out = BytesMut::new();
    put_length(&mut out, b'>', 2);
    put_bulk(&mut out, b"tracking-redir-broken");
    out.extend_from_slice(format!(":{id}\r\n").as_bytes());
    out.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notices_are_redis_bytes() {
        let (a, b) = (Bytes::from("a"), Bytes::from("bc"));
        let keys = Some(&[&a, &b][..]);
        assert_eq!(encode(keys, Protocol::Resp3), ">2\r\n$10\r\ninvalidate\r\n*2\r\n$1\r\na\r\n$2\r\nbc\r\n");
        assert_eq!(encode(None, Protocol::Resp3), ">2\r\n$10\r\ninvalidate\r\n_\r\n");
        let message = "*3\r\n$7\r\nmessage\r\n$20\r\n__redis__:invalidate\r\n";
        assert_eq!(encode(keys, Protocol::Resp2), format!("{message}*2\r\n$1\r\na\r\n$2\r\nbc\r\n"));
        assert_eq!(encode(None, Protocol::Resp2), format!("{message}$-1\r\n"));
        assert_eq!(redirection_broken(7), ">2\r\n$21\r\ntracking-redir-broken\r\n:7\r\n");
    }
}
