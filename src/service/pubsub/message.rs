//! The bytes of a message, made once for all subscribers that speak the same protocol.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use super::Inbox;
use crate::base::{ChannelKind, Nanos, Publication};
use crate::resp::{Protocol, put_bulk, put_length};
use crate::service::output_limits::Limit;

/// One message, as those who listen to one channel or pattern get it.
pub(super) struct Message<'a> {
    /// `message`, `pmessage` or `smessage`, for a pattern the pattern, then channel and text.
    parts: Vec<&'a [u8]>,
    /// In RESP2 and RESP3, once somebody wanted it.
    encoded: [Option<Bytes>; 2],
}

impl<'a> Message<'a> {
    /// For subscribers of the channel itself.
    pub fn of_channel(publication: &'a Publication) -> Message<'a> {
        let word: &[u8] = match publication.kind {
            ChannelKind::Plain => b"message",
            ChannelKind::Shard => b"smessage",
        };
        Message { parts: vec![word, &publication.channel, &publication.message], encoded: [None, None] }
    }

    /// For subscribers of a pattern that matches the channel.
    pub fn of_pattern(pattern: &'a [u8], publication: &'a Publication) -> Message<'a> {
        let parts = vec![b"pmessage", pattern, &publication.channel, &publication.message];
        Message { parts, encoded: [None, None] }
    }

    /// Puts it into inboxes.
    pub fn put(mut self, inboxes: &[Arc<Inbox>], now: Nanos, limit: Limit) {
        for inbox in inboxes {
            inbox.put(self.bytes(inbox.protocol()), now, limit);
        }
    }

    /// Its bytes in RESP2 and in RESP3.
    pub fn forms(mut self) -> [Bytes; 2] {
        [Protocol::Resp2, Protocol::Resp3].map(|protocol| self.bytes(protocol))
    }

    fn bytes(&mut self, protocol: Protocol) -> Bytes {
        let (place, kind) = match protocol {
            Protocol::Resp2 => (0, b'*'),
            Protocol::Resp3 => (1, b'>'),
        };
        let parts = &self.parts;
        let encode = || {
            let mut out = BytesMut::with_capacity(parts.iter().map(|part| part.len() + 16).sum());
            put_length(&mut out, kind, parts.len());
            parts.iter().for_each(|part| put_bulk(&mut out, part));
            out.freeze()
        };
        self.encoded[place].get_or_insert_with(encode).clone()
    }
}
