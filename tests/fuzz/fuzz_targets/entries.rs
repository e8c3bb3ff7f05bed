//! What the log and stored answers hold: entries, units, replies, and replies in RESP. What decodes encodes to something that
//! decodes to the same; what does not is told, never half read.

#![no_main]

use bytes::Bytes;
use holdfast::command::wire::{decode_replies, decode_units, encode_replies, encode_units};
use holdfast::group::entry::Entry;
use holdfast::resp::parse_reply;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((&first, data)) = data.split_first() else { return };
    let data = Bytes::copy_from_slice(data);
    match first % 4 {
        0 => {
            if let Ok(entry) = Entry::decode(&data) {
                assert_eq!(Entry::decode(&entry.encode()), Ok(entry));
            }
        }
        1 => {
            if let Ok(units) = decode_units(&data) {
                assert_eq!(decode_units(&encode_units(&units)), Ok(units));
            }
        }
        2 => {
            if let Ok(replies) = decode_replies(&data) {
                assert_eq!(decode_replies(&encode_replies(&replies)), Ok(replies));
            }
        }
        _ => {
            if let Some((_, length)) = parse_reply(&data) {
                assert!(length <= data.len());
                assert_eq!(parse_reply(&data.slice(..length)).map(|(_, again)| again), Some(length));
            }
        }
    }
});
