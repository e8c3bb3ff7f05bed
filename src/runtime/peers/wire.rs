//! The peer protocol's messages and the types they stand for. What does not decode is an error of the peer, never a
//! panic here: the port can be reached by anybody on its network.

use std::sync::Arc;

use bytes::Bytes;

use crate::base::{ClusterId, GroupId, Millis, NodeId, PeerId, SessionId, Ticket};
use crate::command::batch::Unit;
use crate::command::script::{self, Called, Killed};
use crate::command::wire::{decode_replies, decode_units, encode_replies, encode_units};
use crate::host::Envelope;
use crate::machine::{Origin, Refusal, Submission};
use crate::service::forward::Answer;
use crate::service::node::{AboutScripts, ScriptsTold};
use crate::service::pubsub::{Interest, Interests, Kind};

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

/// Work for a group's machine on another node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// Which group should run it.
    pub group: GroupId,
    /// What to run; without an origin if it only reads.
    pub submission: Submission,
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
    let Batch { group, submission: Submission { ticket, origin, units }, trace } = batch;
    // 0 is the number of what may run any number of times.
    let origin = origin.unwrap_or(Origin { session: SessionId(0), number: 0, acknowledged_below: 0 });
    pb::Batch {
        ticket: ticket.get(),
        group: group.get(),
        session: origin.session.get(),
        number: origin.number,
        acknowledged_below: origin.acknowledged_below,
        units: encode_units(&units),
        trace,
    }
}

/// From the wire.
pub fn batch_from_wire(batch: pb::Batch) -> Result<Batch, Malformed> {
    // What only reads has no number: it is nobody's once-only work, and no session remembers it.
    let origin = (batch.number != 0).then_some(Origin {
        session: SessionId(batch.session),
        number: batch.number,
        acknowledged_below: batch.acknowledged_below,
    });
    let units = decode_units(&batch.units).map_err(|_| Malformed("units do not decode"))?;
    let submission = Submission { ticket: Ticket(batch.ticket), origin, units: Arc::new(units) };
    Ok(Batch { group: GroupId(batch.group), submission, trace: batch.trace })
}

/// For the wire.
pub fn answer_to_wire(group: GroupId, ticket: Ticket, answer: &Answer) -> pb::Answer {
    let result = match answer {
        Answer::Replies(replies) => pb::answer::Result::Replies(encode_replies(replies)),
        Answer::Refused(refusal) => pb::answer::Result::Refused(
            match refusal {
                Refusal::NotLeader => pb::Refused::NotLeader,
                Refusal::Overloaded => pb::Refused::Overloaded,
                Refusal::Busy(script::Kind::Script) => pb::Refused::BusyScript,
                Refusal::Busy(script::Kind::Function) => pb::Refused::BusyFunction,
                Refusal::SessionExpired => pb::Refused::SessionExpired,
                Refusal::Duplicate => pb::Refused::Duplicate,
            }
            .into(),
        ),
        Answer::Unknown => pb::answer::Result::Unknown(pb::Nothing {}),
    };
    pb::Answer { ticket: ticket.get(), group: group.get(), result: Some(result) }
}

/// From the wire: group, attempt, and what became of it.
pub fn answer_from_wire(answer: pb::Answer) -> Result<(GroupId, Ticket, Answer), Malformed> {
    let result = match answer.result.ok_or(Malformed("an answer without a result"))? {
        pb::answer::Result::Replies(replies) => {
            Answer::Replies(decode_replies(&replies).map_err(|_| Malformed("replies do not decode"))?)
        }
        pb::answer::Result::Refused(refused) => Answer::Refused(match pb::Refused::try_from(refused) {
            Ok(pb::Refused::NotLeader) => Refusal::NotLeader,
            Ok(pb::Refused::Overloaded) => Refusal::Overloaded,
            Ok(pb::Refused::BusyScript) => Refusal::Busy(script::Kind::Script),
            Ok(pb::Refused::BusyFunction) => Refusal::Busy(script::Kind::Function),
            Ok(pb::Refused::SessionExpired) => Refusal::SessionExpired,
            Ok(pb::Refused::Duplicate) => Refusal::Duplicate,
            Ok(pb::Refused::Unspecified) | Err(_) => return Err(Malformed("an unknown refusal")),
        }),
        pb::answer::Result::Unknown(_) => Answer::Unknown,
    };
    Ok((GroupId(answer.group), Ticket(answer.ticket), result))
}

/// Bytes of a batch's arguments, for the bounds of queues.
pub fn units_weight(units: &[Unit]) -> usize {
    let words = |words: &[Bytes]| words.iter().map(|word| word.len() + 32).sum::<usize>();
    let weigh = |unit: &Unit| match unit {
        Unit::Call(call) | Unit::Block { call, .. } => words(&call.args),
        Unit::StillBlocked { open: numbers, .. } | Unit::Hurry { numbers, .. } => 8 * numbers.len(),
        Unit::Atomic { watches, calls } => {
            watches.iter().map(|watch| watch.key.len() + 64).sum::<usize>()
                + calls.iter().map(|call| words(&call.args)).sum::<usize>()
        }
        Unit::Watch { keys, .. } => words(keys),
        Unit::Change(change) => change.len(),
    };
    64 + units.iter().map(weigh).sum::<usize>()
}

/// For the wire.
pub fn interests_to_wire(told: Interests) -> pb::Interests {
    let interest = |Interest { kind, name, count }| {
        let kind = match kind {
            Kind::Channel => pb::InterestKind::Channel,
            Kind::Pattern => pb::InterestKind::Pattern,
            Kind::Shard => pb::InterestKind::Shard,
        };
        pb::Interest { kind: kind.into(), name, count }
    };
    let interests = told.interests.into_iter().map(interest).collect();
    pb::Interests { is_beginning: told.is_beginning, interests }
}

/// From the wire.
pub fn interests_from_wire(told: pb::Interests) -> Result<Interests, Malformed> {
    let interest = |interest: pb::Interest| {
        let kind = match pb::InterestKind::try_from(interest.kind) {
            Ok(pb::InterestKind::Channel) => Kind::Channel,
            Ok(pb::InterestKind::Pattern) => Kind::Pattern,
            Ok(pb::InterestKind::Shard) => Kind::Shard,
            Ok(pb::InterestKind::Unspecified) | Err(_) => return Err(Malformed("an unknown kind of subscription")),
        };
        Ok(Interest { kind, name: interest.name, count: interest.count })
    };
    let interests = told.interests.into_iter().map(interest).collect::<Result<_, _>>()?;
    Ok(Interests { is_beginning: told.is_beginning, interests })
}

/// For the wire.
pub fn scripts_to_wire(about: AboutScripts) -> pb::ScriptsAsked {
    let about = match about {
        AboutScripts::Look => pb::AboutScripts::Look,
        AboutScripts::Kill { functions: false } => pb::AboutScripts::KillScripts,
        AboutScripts::Kill { functions: true } => pb::AboutScripts::KillFunctions,
    };
    pb::ScriptsAsked { about: about.into() }
}

/// From the wire.
pub fn scripts_from_wire(asked: &pb::ScriptsAsked) -> Result<AboutScripts, Malformed> {
    match pb::AboutScripts::try_from(asked.about) {
        Ok(pb::AboutScripts::Look) => Ok(AboutScripts::Look),
        Ok(pb::AboutScripts::KillScripts) => Ok(AboutScripts::Kill { functions: false }),
        Ok(pb::AboutScripts::KillFunctions) => Ok(AboutScripts::Kill { functions: true }),
        Ok(pb::AboutScripts::Unspecified) | Err(_) => Err(Malformed("an unknown question about scripts")),
    }
}

/// For the wire.
pub fn scripts_told_to_wire(told: ScriptsTold) -> pb::ScriptsTold {
    let killed = match told.killed {
        Killed::Nothing => pb::Killed::Nothing,
        Killed::Other => pb::Killed::Other,
        Killed::Wrote => pb::Killed::Wrote,
        Killed::Done => pb::Killed::Done,
    };
    let called = told.called.map(|(called, millis)| pb::Called {
        name: called.name,
        words: called.words,
        since_millis: called.since.0,
        millis,
    });
    pb::ScriptsTold { killed: killed.into(), called }
}

/// From the wire.
pub fn scripts_told_from_wire(told: pb::ScriptsTold) -> Result<ScriptsTold, Malformed> {
    let killed = match pb::Killed::try_from(told.killed) {
        Ok(pb::Killed::Nothing) => Killed::Nothing,
        Ok(pb::Killed::Other) => Killed::Other,
        Ok(pb::Killed::Wrote) => Killed::Wrote,
        Ok(pb::Killed::Done) => Killed::Done,
        Err(_) => return Err(Malformed("an unknown fate of scripts")),
    };
    let called = told.called.map(|called| {
        let since = Millis(called.since_millis);
        (Called { name: called.name, words: called.words, since }, called.millis)
    });
    Ok(ScriptsTold { killed, called })
}

/// What an encoded answer costs in a queue.
pub fn answer_weight(answer: &pb::Answer) -> usize {
    match &answer.result {
        Some(pb::answer::Result::Replies(replies)) => replies.len() + 64,
        _ => 64,
    }
}

/// An answer that says of replies only that they may be asked for again.
pub fn without_replies(answer: pb::Answer) -> (pb::Answer, usize) {
    let answer = match answer.result {
        Some(pb::answer::Result::Replies(_)) => {
            pb::Answer { result: Some(pb::answer::Result::Unknown(pb::Nothing {})), ..answer }
        }
        _ => answer,
    };
    let bytes = answer_weight(&answer);
    (answer, bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::batch::{Call, UnitReply};
    use crate::resp::Protocol;

    fn batch() -> Batch {
        let args = vec![Bytes::from_static(b"GET"), Bytes::from_static(b"k")];
        let units = vec![Unit::Call(Call::new(3, Protocol::Resp3, args))];
        let origin = Some(Origin { session: SessionId(9), number: 4, acknowledged_below: 2 });
        let submission = Submission { ticket: Ticket(7), origin, units: Arc::new(units) };
        Batch { group: GroupId(2), submission, trace: String::new() }
    }

    #[test]
    fn a_batch_survives_the_wire() {
        assert_eq!(batch_from_wire(batch_to_wire(batch())), Ok(batch()));
        let mut read = batch();
        read.submission.origin = None;
        assert_eq!(batch_from_wire(batch_to_wire(read.clone())), Ok(read));
    }

    #[test]
    fn every_answer_survives_the_wire() {
        let busy = [script::Kind::Script, script::Kind::Function].map(Refusal::Busy);
        let refusals = [Refusal::NotLeader, Refusal::Overloaded, Refusal::SessionExpired, Refusal::Duplicate];
        let refusals = refusals.into_iter().chain(busy);
        let replies = vec![UnitReply::Call(Bytes::from_static(b"+OK\r\n")), UnitReply::Atomic(None)];
        let mut answers = vec![Answer::Replies(replies), Answer::Unknown];
        answers.extend(refusals.map(Answer::Refused));
        for answer in answers {
            let sent = answer_to_wire(GroupId(2), Ticket(1), &answer);
            assert_eq!(answer_from_wire(sent), Ok((GroupId(2), Ticket(1), answer)));
        }
    }

    #[test]
    fn interests_survive_the_wire() {
        let interest = |(kind, count)| Interest { kind, name: Bytes::from_static(b"n"), count };
        let interests = [(Kind::Channel, 1), (Kind::Pattern, 0), (Kind::Shard, u64::MAX)].map(interest).to_vec();
        let told = Interests { is_beginning: true, interests };
        assert_eq!(interests_from_wire(interests_to_wire(told.clone())), Ok(told));
        let forged = pb::Interest { kind: 4, name: Bytes::new(), count: 1 };
        assert!(interests_from_wire(pb::Interests { is_beginning: false, interests: vec![forged] }).is_err());
    }

    #[test]
    fn forged_frames_are_errors() {
        let good = batch_to_wire(batch());
        assert!(batch_from_wire(pb::Batch { units: Bytes::from_static(b"\xff\xff"), ..good }).is_err());
        let answer = |result| pb::Answer { ticket: 1, group: 1, result };
        assert!(answer_from_wire(answer(None)).is_err());
        assert!(answer_from_wire(answer(Some(pb::answer::Result::Refused(0)))).is_err());
        assert!(answer_from_wire(answer(Some(pb::answer::Result::Replies(Bytes::from_static(b"\x09"))))).is_err());
    }
}
