//! Frames of the peer port, from bytes to what the node works with and back.

#![no_main]

use bytes::Bytes;
use holdfast::base::{ClusterId, NodeId};
use holdfast::runtime::peers::wire::{
    answer_from_wire, answer_to_wire, answer_weight, batch_from_wire, batch_to_wire, envelope, interests_from_wire,
    interests_to_wire, pb, raft_message,
};
use libfuzzer_sys::fuzz_target;
use prost::Message;

fuzz_target!(|data: &[u8]| {
    let Some((&first, data)) = data.split_first() else { return };
    // As the server gets them: bytes that share the memory of what was received.
    let data = Bytes::copy_from_slice(data);
    match first % 4 {
        0 => {
            let Ok(frame) = pb::RaftFrame::decode(data) else { return };
            for message in frame.messages {
                let envelope = envelope(message.clone(), ClusterId(1), NodeId(2), NodeId(1));
                holdfast::group::describe(&envelope.message);
                assert_eq!(raft_message(envelope), message);
            }
        }
        1 => {
            let Ok(frame) = pb::ForwardFrame::decode(data) else { return };
            for batch in frame.batches {
                if let Ok(batch) = batch_from_wire(batch) {
                    assert_eq!(batch_from_wire(batch_to_wire(batch.clone())), Ok(batch));
                }
            }
            if let Some(Ok(told)) = frame.interests.map(interests_from_wire) {
                assert_eq!(interests_from_wire(interests_to_wire(told.clone())), Ok(told));
            }
        }
        2 => {
            let Ok(frame) = pb::AnswerFrame::decode(data) else { return };
            for answer in frame.answers {
                answer_weight(&answer);
                if let Ok((group, ticket, answer)) = answer_from_wire(answer) {
                    let again = answer_from_wire(answer_to_wire(group, ticket, &answer));
                    assert_eq!(again, Ok((group, ticket, answer)));
                }
            }
        }
        _ => drop(pb::SnapshotFrame::decode(data)),
    }
});
