//! What a peer may make the crate do. The crate trusts its messages: some that a sound peer never sends make it panic
//! (a commit index beyond the log, an entry that does not follow the one before). Those stop here.
//!
//! Also here: messages that this design does not use. Proposals and read indexes are never forwarded between replicas
//! (rule 7), local messages never come from outside, and who asks to lead is not answered by the crate
//! ([`super::transfer`]).

use raft::eraftpb::{Message, MessageType};
use raft::{RawNode, StateRole};

use super::snapshot::is_sound;
use super::storage::Store;

/// Terms and indexes above this would overflow in the crate's arithmetic; no cluster lives long enough to get there.
const NUMBER_MAX: u64 = 1 << 62;

/// What to do with a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Hand it to the crate.
    Step,
    /// Not now, or never used here: nobody's fault.
    Ignore,
    /// No sound peer sends this.
    Bogus,
    /// The leader of our term knows entries to be here that are not (T7).
    LostTail { acknowledged: u64 },
}

/// Judges a message from a known peer. `settled`: everything this replica wrote is durable.
pub(super) fn judge(node: &RawNode<Store>, message: &Message, settled: bool) -> Verdict {
    let raft = &node.raft;
    if message.term == 0 || message.to != raft.id || message.from == raft.id || !numbers_are_sane(message) {
        return Verdict::Bogus;
    }
    let last = raft.raft_log.last_index();
    let from_leader = matches!(
        message.get_msg_type(),
        MessageType::MsgAppend | MessageType::MsgHeartbeat | MessageType::MsgSnapshot | MessageType::MsgTimeoutNow
    );
    if from_leader && message.term == raft.term && (raft.leader_id != 0 && raft.leader_id != message.from) {
        return Verdict::Bogus;
    }
    match message.get_msg_type() {
        MessageType::MsgAppend => verdict(is_append_sound(message)),
        MessageType::MsgHeartbeat if message.term >= raft.term && message.commit > last => {
            Verdict::LostTail { acknowledged: message.commit }
        }
        MessageType::MsgSnapshot => {
            let metadata = message.get_snapshot().get_metadata();
            let place =
                metadata.index > 0 && metadata.index < NUMBER_MAX && (1..=message.term).contains(&metadata.term);
            verdict(place && is_sound(metadata.get_conf_state()))
        }
        MessageType::MsgAppendResponse if message.term == raft.term => verdict(message.reject || message.index <= last),
        // A candidate asks for votes only after its log is durable; until then an answer is to somebody else's question.
        MessageType::MsgRequestVoteResponse if raft.state == StateRole::Candidate && !message.reject && !settled => {
            Verdict::Ignore
        }
        MessageType::MsgTimeoutNow if !settled || message.term != raft.term => Verdict::Ignore,
        MessageType::MsgHeartbeat
        | MessageType::MsgHeartbeatResponse
        | MessageType::MsgAppendResponse
        | MessageType::MsgRequestVote
        | MessageType::MsgRequestVoteResponse
        | MessageType::MsgRequestPreVote
        | MessageType::MsgRequestPreVoteResponse
        | MessageType::MsgTimeoutNow => Verdict::Step,
        MessageType::MsgHup
        | MessageType::MsgBeat
        | MessageType::MsgPropose
        | MessageType::MsgUnreachable
        | MessageType::MsgSnapStatus
        | MessageType::MsgCheckQuorum
        | MessageType::MsgTransferLeader
        | MessageType::MsgReadIndex
        | MessageType::MsgReadIndexResp => Verdict::Bogus,
    }
}

fn verdict(sound: bool) -> Verdict {
    if sound { Verdict::Step } else { Verdict::Bogus }
}

fn numbers_are_sane(message: &Message) -> bool {
    let numbers = [
        message.term,
        message.log_term,
        message.index,
        message.commit,
        message.commit_term,
        message.reject_hint,
        message.request_snapshot,
    ];
    // A leader that grants a snapshot on request would have to be asked by us, and we never ask.
    numbers.into_iter().all(|number| number < NUMBER_MAX) && message.request_snapshot == 0
}

/// Entries follow each other and the place they are said to follow, with terms that never descend.
fn is_append_sound(message: &Message) -> bool {
    if (message.index == 0) != (message.log_term == 0) || message.log_term > message.term {
        return false;
    }
    let mut index = message.index;
    let mut term = message.log_term;
    message.get_entries().iter().all(|entry| {
        let follows = entry.index == index + 1 && entry.term >= term.max(1) && entry.term <= message.term;
        index = entry.index;
        term = entry.term;
        follows
    })
}
