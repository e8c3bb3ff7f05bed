//! The peer protocol's messages and the types they stand for. What does not decode is an error of the peer, never a
//! panic here: the port can be reached by anybody on its network.

use bytes::Bytes;

use crate::base::{ClusterId, GroupId, NodeId, PeerId, SessionId, Term, limits};
use crate::command::batch::{Call, Unit, UnitReply, Watch};
use crate::host::Envelope;
use crate::machine::{Origin, Refusal};
use crate::resp::Protocol;

/// Types and services generated from `proto/peer.proto`.
#[allow(clippy::all, clippy::pedantic, missing_docs, reason = "generated")]
pub mod pb {
    tonic::include_proto!("holdfast.peer.v1");
}

/// Version of the frames. A peer of another version is refused: there is no older one to talk to yet.
pub const FORMAT: u64 = 1;

/// A frame that says what cannot be.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("a malformed frame: {0}")]
pub struct Malformed(pub &'static str);

/// How a forwarded batch ended, as its receiver tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It ran once.
    Replies(Vec<UnitReply>),
    /// It certainly did not run.
    Refused(Refusal),
    /// It may have run.
    Unknown,
}

/// A forwarded batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// Names it in its answer, on one stream.
    pub ticket: u64,
    /// Which group should run it.
    pub group: GroupId,
    /// Whose it is, so that it runs once.
    pub origin: Origin,
    /// What to do.
    pub units: Vec<Unit>,
    /// W3C traceparent of a sampled request, else empty.
    pub trace: String,
}

/// What a raft message costs in a queue: its bytes and a guess for the rest.
pub fn weight(envelope: &Envelope) -> usize {
    envelope.message.len() + 64
}

/// For the wire; cluster and nodes were told when the stream was opened.
pub fn raft_message(envelope: Envelope) -> pb::RaftMessage {
    pb::RaftMessage {
        group: envelope.group.get(),
        epoch: envelope.epoch,
        from_peer: envelope.from_peer.get(),
        to_peer: envelope.to_peer.get(),
        message: envelope.message,
    }
}

/// From the wire, of a stream between these nodes.
pub fn envelope(message: pb::RaftMessage, cluster: ClusterId, from: NodeId, to: NodeId) -> Envelope {
    Envelope {
        cluster,
        group: GroupId(message.group),
        epoch: message.epoch,
        from,
        to,
        from_peer: PeerId(message.from_peer),
        to_peer: PeerId(message.to_peer),
        message: message.message,
    }
}

/// For the wire.
pub fn batch_to_wire(batch: Batch) -> pb::Batch {
    pb::Batch {
        ticket: batch.ticket,
        group: batch.group.get(),
        session: batch.origin.session.get(),
        number: batch.origin.number,
        acknowledged_below: batch.origin.acknowledged_below,
        units: batch.units.into_iter().map(unit_to_wire).collect(),
        trace: batch.trace,
    }
}

/// From the wire.
pub fn batch_from_wire(batch: pb::Batch) -> Result<Batch, Malformed> {
    Ok(Batch {
        ticket: batch.ticket,
        group: GroupId(batch.group),
        origin: Origin {
            session: SessionId(batch.session),
            number: batch.number,
            acknowledged_below: batch.acknowledged_below,
        },
        units: batch.units.into_iter().map(unit_from_wire).collect::<Result<_, _>>()?,
        trace: batch.trace,
    })
}

/// For the wire.
pub fn answer_to_wire(ticket: u64, answer: Answer) -> pb::Answer {
    let result = match answer {
        Answer::Replies(units) => pb::answer::Result::Replies(pb::Replies {
            units: units.into_iter().map(|reply| pb::UnitReply { kind: Some(reply_to_wire(reply)) }).collect(),
        }),
        Answer::Refused(refusal) => pb::answer::Result::Refused(
            match refusal {
                Refusal::NotLeader => pb::Refused::NotLeader,
                Refusal::Overloaded => pb::Refused::Overloaded,
                Refusal::SessionExpired => pb::Refused::SessionExpired,
                Refusal::Duplicate => pb::Refused::Duplicate,
            }
            .into(),
        ),
        Answer::Unknown => pb::answer::Result::Unknown(pb::Nothing {}),
    };
    pb::Answer { ticket, result: Some(result) }
}

/// From the wire: the ticket and what became of it.
pub fn answer_from_wire(answer: pb::Answer) -> Result<(u64, Answer), Malformed> {
    let result = match answer.result.ok_or(Malformed("an answer without a result"))? {
        pb::answer::Result::Replies(replies) => {
            Answer::Replies(replies.units.into_iter().map(reply_from_wire).collect::<Result<_, _>>()?)
        }
        pb::answer::Result::Refused(refused) => Answer::Refused(match pb::Refused::try_from(refused) {
            Ok(pb::Refused::NotLeader) => Refusal::NotLeader,
            Ok(pb::Refused::Overloaded) => Refusal::Overloaded,
            Ok(pb::Refused::SessionExpired) => Refusal::SessionExpired,
            Ok(pb::Refused::Duplicate) => Refusal::Duplicate,
            Ok(pb::Refused::Unspecified) | Err(_) => return Err(Malformed("an unknown refusal")),
        }),
        pb::answer::Result::Unknown(_) => Answer::Unknown,
    };
    Ok((answer.ticket, result))
}

fn call_to_wire(call: Call) -> pb::Call {
    let protocol = match call.protocol {
        Protocol::Resp2 => 2,
        Protocol::Resp3 => 3,
    };
    pb::Call { db: call.db.into(), protocol, args: call.args }
}

fn call_from_wire(call: pb::Call) -> Result<Call, Malformed> {
    if call.args.is_empty() {
        return Err(Malformed("a call without a name"));
    }
    let protocol = match call.protocol {
        2 => Protocol::Resp2,
        3 => Protocol::Resp3,
        _ => return Err(Malformed("an unknown protocol")),
    };
    Ok(Call { db: database(call.db)?, protocol, args: call.args })
}

fn database(number: u32) -> Result<u8, Malformed> {
    u8::try_from(number).ok().filter(|&db| db < limits::DATABASES).ok_or(Malformed("an unknown database"))
}

fn unit_to_wire(unit: Unit) -> pb::Unit {
    let kind = match unit {
        Unit::Call(call) => pb::unit::Kind::Call(call_to_wire(call)),
        Unit::Atomic { watches, calls } => pb::unit::Kind::Atomic(pb::Atomic {
            watches: watches
                .into_iter()
                .map(|watch| pb::Watched {
                    db: watch.db.into(),
                    key: watch.key,
                    term: watch.term.get(),
                    sequence: watch.sequence,
                })
                .collect(),
            calls: calls.into_iter().map(call_to_wire).collect(),
        }),
        Unit::Watch { db, keys } => pb::unit::Kind::Watch(pb::WatchKeys { db: db.into(), keys }),
    };
    pb::Unit { kind: Some(kind) }
}

fn unit_from_wire(unit: pb::Unit) -> Result<Unit, Malformed> {
    Ok(match unit.kind.ok_or(Malformed("a unit without a kind"))? {
        pb::unit::Kind::Call(call) => Unit::Call(call_from_wire(call)?),
        pb::unit::Kind::Atomic(atomic) => Unit::Atomic {
            watches: atomic.watches.into_iter().map(watch_from_wire).collect::<Result<_, _>>()?,
            calls: atomic.calls.into_iter().map(call_from_wire).collect::<Result<_, _>>()?,
        },
        pb::unit::Kind::Watch(watch) => Unit::Watch { db: database(watch.db)?, keys: watch.keys },
    })
}

fn watch_from_wire(watch: pb::Watched) -> Result<Watch, Malformed> {
    Ok(Watch { db: database(watch.db)?, key: watch.key, term: Term(watch.term), sequence: watch.sequence })
}

fn reply_to_wire(reply: UnitReply) -> pb::unit_reply::Kind {
    match reply {
        UnitReply::Call(bytes) => pb::unit_reply::Kind::Call(bytes),
        UnitReply::Atomic(Some(replies)) => pb::unit_reply::Kind::Atomic(pb::AtomicReplies { replies }),
        UnitReply::Atomic(None) => pb::unit_reply::Kind::Aborted(pb::Nothing {}),
        UnitReply::Watch { term, sequence } => {
            pb::unit_reply::Kind::Watch(pb::WatchToken { term: term.get(), sequence })
        }
    }
}

fn reply_from_wire(reply: pb::UnitReply) -> Result<UnitReply, Malformed> {
    Ok(match reply.kind.ok_or(Malformed("a reply without a kind"))? {
        pb::unit_reply::Kind::Call(bytes) => UnitReply::Call(bytes),
        pb::unit_reply::Kind::Atomic(atomic) => UnitReply::Atomic(Some(atomic.replies)),
        pb::unit_reply::Kind::Aborted(_) => UnitReply::Atomic(None),
        pb::unit_reply::Kind::Watch(token) => UnitReply::Watch { term: Term(token.term), sequence: token.sequence },
    })
}

/// Bytes of a batch's arguments, for the bounds of queues.
pub fn units_weight(units: &[Unit]) -> usize {
    let words = |words: &[Bytes]| words.iter().map(|word| word.len() + 32).sum::<usize>();
    let weigh = |unit: &Unit| match unit {
        Unit::Call(call) => words(&call.args),
        Unit::Atomic { watches, calls } => {
            watches.iter().map(|watch| watch.key.len() + 64).sum::<usize>()
                + calls.iter().map(|call| words(&call.args)).sum::<usize>()
        }
        Unit::Watch { keys, .. } => words(keys),
    };
    64 + units.iter().map(weigh).sum::<usize>()
}

/// Bytes of an answer, for the bounds of queues.
pub fn answer_weight(answer: &Answer) -> usize {
    let Answer::Replies(replies) = answer else { return 64 };
    let weigh = |reply: &UnitReply| match reply {
        UnitReply::Call(bytes) => bytes.len() + 32,
        UnitReply::Atomic(Some(all)) => all.iter().map(|bytes| bytes.len() + 32).sum(),
        UnitReply::Atomic(None) | UnitReply::Watch { .. } => 32,
    };
    64 + replies.iter().map(weigh).sum::<usize>()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(words: &[&'static str]) -> Call {
        let args = words.iter().map(|word| Bytes::from_static(word.as_bytes())).collect();
        Call { db: 3, protocol: Protocol::Resp3, args }
    }

    #[test]
    fn a_batch_survives_the_wire() {
        let batch = Batch {
            ticket: 7,
            group: GroupId(2),
            origin: Origin { session: SessionId(9), number: 4, acknowledged_below: 2 },
            units: vec![
                Unit::Call(call(&["SET", "k", "v"])),
                Unit::Atomic {
                    watches: vec![Watch { db: 1, key: Bytes::from_static(b"w"), term: Term(5), sequence: 6 }],
                    calls: vec![call(&["GET", "k"]), call(&["INCR", "n"])],
                },
                Unit::Watch { db: 15, keys: vec![Bytes::from_static(b"a")] },
            ],
            trace: String::new(),
        };
        assert_eq!(batch_from_wire(batch_to_wire(batch.clone())), Ok(batch));
    }

    #[test]
    fn every_answer_survives_the_wire() {
        let replies = vec![
            UnitReply::Call(Bytes::from_static(b"+OK\r\n")),
            UnitReply::Atomic(Some(vec![Bytes::from_static(b":1\r\n")])),
            UnitReply::Atomic(Some(Vec::new())),
            UnitReply::Atomic(None),
            UnitReply::Watch { term: Term(3), sequence: 8 },
        ];
        let refusals = [Refusal::NotLeader, Refusal::Overloaded, Refusal::SessionExpired, Refusal::Duplicate];
        let mut answers = vec![Answer::Replies(replies), Answer::Unknown];
        answers.extend(refusals.map(Answer::Refused));
        for answer in answers {
            assert_eq!(answer_from_wire(answer_to_wire(1, answer.clone())), Ok((1, answer)));
        }
    }

    #[test]
    fn forged_frames_are_errors() {
        let with = |kind| pb::Batch { units: vec![pb::Unit { kind }], ..pb::Batch::default() };
        let call = |db, protocol, args| Some(pb::unit::Kind::Call(pb::Call { db, protocol, args }));
        let word = || vec![Bytes::from_static(b"GET")];
        for kind in [None, call(16, 2, word()), call(0, 4, word()), call(0, 2, Vec::new()), call(256, 2, word())] {
            assert!(batch_from_wire(with(kind)).is_err());
        }
        let refused = pb::Answer { ticket: 1, result: Some(pb::answer::Result::Refused(0)) };
        assert!(answer_from_wire(refused).is_err());
        assert!(answer_from_wire(pb::Answer { ticket: 1, result: None }).is_err());
    }
}
