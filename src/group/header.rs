//! What travels between two replicas: our own header, then the Raft message as opaque bytes.
//!
//! The header carries what the crate knows nothing of: the lease protocol (see [`super::lease`]) and how far the
//! sender's state is (see [`super::witness`]). Golden bytes below: nodes of two versions talk to each other.

use bytes::{Buf, BufMut, Bytes};
use protobuf::Message as _;
use raft::eraftpb::{Message, MessageType};

const VERSION: u8 = 1;
const LENGTH: usize = 2 + 5 * 8;
const LEASE_ENDED: u8 = 1;

/// Facts beside a Raft message. Zero where the message has no such fact.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Header {
    /// On a leader's append or heartbeat: names the round, here the leader's clock when it sent it (opaque to everybody
    /// else), 0 if it wants no lease. On an answer: the newest round of that leader and term accepted so far.
    pub round: u64,
    /// On a granted vote: nanoseconds since the voter last acknowledged a round, `u64::MAX` for never.
    pub age: u64,
    /// On a granted vote: the term of that round.
    pub age_term: u64,
    /// On a request to campaign at once: no lease of the sender's term can be in use any more.
    pub lease_ended: bool,
    /// The sender applied up to here.
    pub applied: u64,
    /// The sender's rolling hash there.
    pub hash: u64,
}

/// Bytes for a peer. `None` if protobuf refuses the message, which it does for none that the crate makes.
pub(super) fn encode(header: &Header, message: &Message) -> Option<Bytes> {
    let mut out = Vec::with_capacity(LENGTH + message.compute_size() as usize);
    out.put_u8(VERSION);
    out.put_u8(if header.lease_ended { LEASE_ENDED } else { 0 });
    for field in [header.round, header.age, header.age_term, header.applied, header.hash] {
        out.put_u64(field);
    }
    message.write_to_vec(&mut out).ok()?;
    Some(out.into())
}

/// Header and message; payloads of entries share the memory of `bytes`. `None` for anything malformed.
pub(super) fn decode(bytes: &Bytes) -> Option<(Header, Message)> {
    let mut fixed: &[u8] = bytes.get(..LENGTH)?;
    if fixed.get_u8() != VERSION {
        return None;
    }
    let lease_ended = fixed.get_u8() & LEASE_ENDED != 0;
    let header = Header {
        round: fixed.get_u64(),
        age: fixed.get_u64(),
        age_term: fixed.get_u64(),
        lease_ended,
        applied: fixed.get_u64(),
        hash: fixed.get_u64(),
    };
    let message = Message::parse_from_carllerche_bytes(&bytes.slice(LENGTH..)).ok()?;
    Some((header, message))
}

/// A message for people: kind, term and what matters of its kind.
pub fn describe(bytes: &Bytes) -> String {
    let Some((_, message)) = decode(bytes) else { return "malformed".to_owned() };
    let kind = format!("{:?}", message.get_msg_type());
    let mut line = format!("{} term={}", kind.trim_start_matches("Msg"), message.term);
    line += &match message.get_msg_type() {
        MessageType::MsgAppend => {
            let entries = message.get_entries().iter().map(|entry| format!("{}/{}", entry.index, entry.term));
            let entries = entries.collect::<Vec<_>>().join(" ");
            format!(" after={}/{} commit={} [{entries}]", message.index, message.log_term, message.commit)
        }
        MessageType::MsgAppendResponse if message.reject => {
            format!(" rejects {} hint={}", message.index, message.reject_hint)
        }
        MessageType::MsgAppendResponse => format!(" has={}", message.index),
        MessageType::MsgRequestVote | MessageType::MsgRequestPreVote => {
            format!(" last={}/{}", message.index, message.log_term)
        }
        MessageType::MsgRequestVoteResponse | MessageType::MsgRequestPreVoteResponse => {
            if message.reject { " no" } else { " yes" }.to_owned()
        }
        MessageType::MsgHeartbeat => format!(" commit={}", message.commit),
        MessageType::MsgSnapshot => {
            let metadata = message.get_snapshot().get_metadata();
            format!(" at={}/{}", metadata.index, metadata.term)
        }
        _ => String::new(),
    };
    line
}

#[cfg(test)]
mod tests {
    use raft::eraftpb::MessageType;

    use super::*;

    #[test]
    fn the_bytes_are_golden() {
        let header = Header { round: 1, age: 2, age_term: 3, lease_ended: true, applied: 4, hash: 5 };
        let mut message = Message::default();
        message.set_msg_type(MessageType::MsgHeartbeat);
        message.to = 2;
        message.term = 7;
        let bytes = encode(&header, &message).unwrap();
        let mut golden = vec![1, 1];
        for field in 1..=5u64 {
            golden.extend_from_slice(&field.to_be_bytes());
        }
        golden.extend_from_slice(&[0x08, 8, 0x10, 2, 0x20, 7]);
        assert_eq!(&bytes[..], golden);
        assert_eq!(decode(&bytes), Some((header, message)));
    }

    #[test]
    fn malformed_bytes_are_refused() {
        let bytes = encode(&Header::default(), &Message::default()).unwrap();
        assert!(decode(&bytes).is_some());
        assert!(decode(&bytes.slice(..LENGTH - 1)).is_none());
        assert!(decode(&Bytes::from([&[9][..], &bytes[1..]].concat())).is_none(), "another version");
        assert!(decode(&Bytes::from([&bytes[..], &[0x0a]].concat())).is_none(), "half a field");
    }
}
