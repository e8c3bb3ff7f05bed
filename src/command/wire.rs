//! Units and their replies as bytes: what one node sends to another and what a group stores of an answer that may be
//! asked for again. Compact, bounded, and decoded without copying.
//!
//! ```text
//! units     version u8 = 1 | count | unit...
//! unit      0 | call                     one command
//!           1 | count | watch... | count | call...    MULTI ... EXEC
//!           2 | db u8 | count | bytes...              WATCH
//!           3 | bytes                    a change of what the meta group knows
//!           4 | remembered u8 | call     one command that may wait
//!           5 | session | below | count | number...   which of a session's still wait
//!           6 | session | count | number...           whose time is over
//! call      db u8 | protocol u8 (2, 3; + 128: touches nothing; + 64: with rights; + 32: with an author; + 16: tells what
//!           its scripts read) | count, at least 1 | bytes...
//!           with rights also: bytes (whose) | count | bytes... (the rules of a script's own commands)
//!           with an author also: number
//! watch     db u8 | bytes | term | sequence
//!
//! replies   version u8 = 1 | count | reply...
//! reply     0 | bytes                    of one command
//!           1 | count | bytes...         of a block that ran
//!           2                            of a block that a watched key stopped
//!           3 | term | sequence          a watch's token
//!           4 | bytes                    what the meta group decided
//!           5 | count | bytes...         words to wait with
//!           6                            taken note of
//!           7 | count | bytes... | reply (0 to 6)     with the keys that scripts read
//! bytes     length | so many bytes
//! ```
//!
//! Numbers without a width are LEB128. Invariant: what is decoded was all there: a count only says when to stop and
//! reserves no memory, and no byte may be left over.

use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};

use super::acl::Rights;
use super::batch::{Call, Unit, UnitReply, Watch};
use crate::base::{SessionId, Term, limits};
use crate::resp::Protocol;

/// The only layout so far. Stored replies outlive the program that wrote them.
const VERSION: u8 = 1;

const CALL: u8 = 0;
const ATOMIC: u8 = 1;
const WATCH: u8 = 2;
const CHANGE: u8 = 3;
const BLOCK: u8 = 4;
const STILL_BLOCKED: u8 = 5;
const HURRY: u8 = 6;

const REPLY: u8 = 0;
const REPLIES: u8 = 1;
const STOPPED: u8 = 2;
const TOKEN: u8 = 3;
const DECISION: u8 = 4;
const SETTLED: u8 = 5;
const NOTED: u8 = 6;
const READ: u8 = 7;

/// Bit of a call's protocol: the call leaves the access clocks of keys alone.
const UNTOUCHING: u8 = 0x80;
/// Bit of a call's protocol: the rights of a script's own commands follow.
const RESTRICTED: u8 = 0x40;

/// Bit of a call's protocol: it is said who does not want to hear of what it changes.
const AUTHORED: u8 = 0x20;

/// Bit of a call's protocol: the answer shall tell which keys its scripts read.
const TELLING: u8 = 0x10;

/// Bytes that are no units or no replies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("units or replies do not decode: {0}")]
pub struct Malformed(pub &'static str);

/// `std::result::Result` with this module's error.
pub type Result<T> = std::result::Result<T, Malformed>;

/// Bytes of units.
pub fn encode_units(units: &[Unit]) -> Bytes {
    let mut out = BytesMut::with_capacity(2 + units.iter().map(weight).sum::<usize>());
    out.put_u8(VERSION);
    put_number(&mut out, units.len() as u64);
    for unit in units {
        match unit {
            Unit::Call(call) => {
                out.put_u8(CALL);
                put_call(&mut out, call);
            }
            Unit::Atomic { watches, calls } => {
                out.put_u8(ATOMIC);
                put_number(&mut out, watches.len() as u64);
                for watch in watches {
                    out.put_u8(watch.db);
                    put_bytes(&mut out, &watch.key);
                    put_number(&mut out, watch.term.get());
                    put_number(&mut out, watch.sequence);
                }
                put_number(&mut out, calls.len() as u64);
                calls.iter().for_each(|call| put_call(&mut out, call));
            }
            Unit::Watch { db, keys } => {
                out.put_u8(WATCH);
                out.put_u8(*db);
                put_all_bytes(&mut out, keys);
            }
            Unit::Change(change) => {
                out.put_u8(CHANGE);
                put_bytes(&mut out, change);
            }
            Unit::Block { call, remembered } => {
                out.put_u8(BLOCK);
                out.put_u8(u8::from(*remembered));
                put_call(&mut out, call);
            }
            Unit::StillBlocked { session, below, open } => {
                out.put_u8(STILL_BLOCKED);
                put_number(&mut out, session.get());
                put_number(&mut out, *below);
                put_numbers(&mut out, open);
            }
            Unit::Hurry { session, numbers } => {
                out.put_u8(HURRY);
                put_number(&mut out, session.get());
                put_numbers(&mut out, numbers);
            }
        }
    }
    out.freeze()
}

/// Reads units; their words share the memory of `data`.
pub fn decode_units(data: &Bytes) -> Result<Vec<Unit>> {
    let mut from = Reader::new(data)?;
    let units = from.many(|from| {
        Ok(match from.byte()? {
            CALL => Unit::Call(from.call()?),
            ATOMIC => Unit::Atomic { watches: from.many(Reader::watch)?, calls: from.many(Reader::call)? },
            WATCH => Unit::Watch { db: from.db()?, keys: from.many(Reader::bytes)? },
            CHANGE => Unit::Change(from.bytes()?),
            BLOCK => Unit::Block { remembered: from.flag()?, call: from.call()? },
            STILL_BLOCKED => Unit::StillBlocked {
                session: SessionId(from.number()?),
                below: from.number()?,
                open: from.many(Reader::number)?,
            },
            HURRY => Unit::Hurry { session: SessionId(from.number()?), numbers: from.many(Reader::number)? },
            _ => return Err(Malformed("an unknown unit")),
        })
    })?;
    from.end(units)
}

/// Bytes of replies.
pub fn encode_replies(replies: &[UnitReply]) -> Bytes {
    let mut out = BytesMut::with_capacity(2 + replies.iter().map(reply_weight).sum::<usize>());
    out.put_u8(VERSION);
    put_number(&mut out, replies.len() as u64);
    replies.iter().for_each(|reply| put_reply(&mut out, reply));
    out.freeze()
}

fn put_reply(out: &mut BytesMut, reply: &UnitReply) {
    match reply {
        UnitReply::Call(bytes) => {
            out.put_u8(REPLY);
            put_bytes(out, bytes);
        }
        UnitReply::Atomic(Some(replies)) => {
            out.put_u8(REPLIES);
            put_all_bytes(out, replies);
        }
        UnitReply::Atomic(None) => out.put_u8(STOPPED),
        UnitReply::Watch { term, sequence } => {
            out.put_u8(TOKEN);
            put_number(out, term.get());
            put_number(out, *sequence);
        }
        UnitReply::Decision(decision) => {
            out.put_u8(DECISION);
            put_bytes(out, decision);
        }
        UnitReply::Settled(words) => {
            out.put_u8(SETTLED);
            put_all_bytes(out, words);
        }
        UnitReply::Noted => out.put_u8(NOTED),
        UnitReply::Read { reply, keys } => {
            out.put_u8(READ);
            put_all_bytes(out, keys);
            put_reply(out, reply);
        }
    }
}

/// Reads replies; they share the memory of `data`.
pub fn decode_replies(data: &Bytes) -> Result<Vec<UnitReply>> {
    let mut from = Reader::new(data)?;
    let replies = from.many(|from| match from.byte()? {
        READ => {
            let keys = from.many(Reader::bytes)?;
            let kind = from.byte()?;
            Ok(UnitReply::Read { reply: Box::new(from.reply(kind)?), keys })
        }
        kind => from.reply(kind),
    })?;
    from.end(replies)
}

/// About the bytes a unit takes in a queue or a frame, its bookkeeping included.
pub fn weight(unit: &Unit) -> usize {
    let rights = |rights: &Arc<Rights>| rights.words().iter().map(|word| word.len() + 8).sum::<usize>();
    let call = |call: &Call| {
        8 + call.args.iter().map(|arg| arg.len() + 8).sum::<usize>() + call.rights.as_ref().map_or(0, rights)
    };
    match unit {
        Unit::Call(one) => call(one),
        Unit::Atomic { watches, calls } => {
            8 + watches.iter().map(|watch| watch.key.len() + 24).sum::<usize>() + calls.iter().map(call).sum::<usize>()
        }
        Unit::Watch { keys, .. } => 8 + keys.iter().map(|key| key.len() + 8).sum::<usize>(),
        Unit::Change(change) => 8 + change.len(),
        Unit::Block { call: one, .. } => 1 + call(one),
        Unit::StillBlocked { open: numbers, .. } | Unit::Hurry { numbers, .. } => 24 + 8 * numbers.len(),
    }
}

fn reply_weight(reply: &UnitReply) -> usize {
    match reply {
        UnitReply::Call(bytes) => 6 + bytes.len(),
        UnitReply::Atomic(replies) => 6 + replies.iter().flatten().map(|bytes| 5 + bytes.len()).sum::<usize>(),
        UnitReply::Watch { .. } => 12,
        UnitReply::Decision(decision) => 6 + decision.len(),
        UnitReply::Settled(words) => 6 + words.iter().map(|word| 5 + word.len()).sum::<usize>(),
        UnitReply::Noted => 1,
        UnitReply::Read { reply, keys } => {
            6 + keys.iter().map(|key| 5 + key.len()).sum::<usize>() + reply_weight(reply)
        }
    }
}

fn put_number(out: &mut BytesMut, mut number: u64) {
    while number >= 0x80 {
        out.put_u8(number as u8 | 0x80);
        number >>= 7;
    }
    out.put_u8(number as u8);
}

fn put_bytes(out: &mut BytesMut, bytes: &[u8]) {
    put_number(out, bytes.len() as u64);
    out.put_slice(bytes);
}

fn put_all_bytes(out: &mut BytesMut, all: &[Bytes]) {
    put_number(out, all.len() as u64);
    all.iter().for_each(|bytes| put_bytes(out, bytes));
}

fn put_numbers(out: &mut BytesMut, numbers: &[u64]) {
    put_number(out, numbers.len() as u64);
    numbers.iter().for_each(|number| put_number(out, *number));
}

fn put_call(out: &mut BytesMut, call: &Call) {
    out.put_u8(call.db);
    let protocol = match call.protocol {
        Protocol::Resp2 => 2,
        Protocol::Resp3 => 3,
    };
    let touches = if call.touches { 0 } else { UNTOUCHING };
    let restricted = if call.rights.is_some() { RESTRICTED } else { 0 };
    let authored = if call.author == 0 { 0 } else { AUTHORED };
    let telling = if call.tells_reads { TELLING } else { 0 };
    out.put_u8(protocol | touches | restricted | authored | telling);
    put_all_bytes(out, &call.args);
    if let Some(rights) = &call.rights {
        put_bytes(out, &rights.user);
        put_all_bytes(out, &rights.words());
    }
    if call.author != 0 {
        put_number(out, call.author);
    }
}

struct Reader {
    rest: Bytes,
}

impl Reader {
    fn new(data: &Bytes) -> Result<Reader> {
        let mut from = Reader { rest: data.clone() };
        if from.byte()? == VERSION { Ok(from) } else { Err(Malformed("an unknown version")) }
    }

    fn end<T>(self, value: T) -> Result<T> {
        if self.rest.is_empty() { Ok(value) } else { Err(Malformed("bytes after the end")) }
    }

    fn byte(&mut self) -> Result<u8> {
        let byte = *self.rest.first().ok_or(Malformed("cut off"))?;
        let _ = self.rest.split_to(1);
        Ok(byte)
    }

    fn flag(&mut self) -> Result<bool> {
        match self.byte()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(Malformed("a flag that is neither")),
        }
    }

    fn number(&mut self) -> Result<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                break;
            }
            number |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(Malformed("a number above 64 bits"))
    }

    fn bytes(&mut self) -> Result<Bytes> {
        let length = self.number()?;
        if length > self.rest.len() as u64 {
            return Err(Malformed("cut off"));
        }
        Ok(self.rest.split_to(length as usize))
    }

    /// As many as a count says. Every item takes at least a byte, so the count cannot outrun what is there.
    fn many<T>(&mut self, mut item: impl FnMut(&mut Reader) -> Result<T>) -> Result<Vec<T>> {
        let mut items = Vec::new();
        for _ in 0..self.number()? {
            items.push(item(self)?);
        }
        Ok(items)
    }

    fn db(&mut self) -> Result<u8> {
        let db = self.byte()?;
        if db < limits::DATABASES { Ok(db) } else { Err(Malformed("an unknown database")) }
    }

    fn call(&mut self) -> Result<Call> {
        let db = self.db()?;
        let byte = self.byte()?;
        let protocol = match byte & !(UNTOUCHING | RESTRICTED | AUTHORED | TELLING) {
            2 => Protocol::Resp2,
            3 => Protocol::Resp3,
            _ => return Err(Malformed("an unknown protocol")),
        };
        let args = self.many(Reader::bytes)?;
        if args.is_empty() {
            return Err(Malformed("a call without a name"));
        }
        let rights = if byte & RESTRICTED == 0 { None } else { Some(Arc::new(self.rights()?)) };
        let author = if byte & AUTHORED == 0 { 0 } else { self.number()? };
        let tells_reads = byte & TELLING != 0;
        Ok(Call { db, protocol, touches: byte & UNTOUCHING == 0, args, rights, author, tells_reads })
    }

    /// What follows the kind of a reply that tells no keys.
    fn reply(&mut self, kind: u8) -> Result<UnitReply> {
        Ok(match kind {
            REPLY => UnitReply::Call(self.bytes()?),
            REPLIES => UnitReply::Atomic(Some(self.many(Reader::bytes)?)),
            STOPPED => UnitReply::Atomic(None),
            TOKEN => UnitReply::Watch { term: Term(self.number()?), sequence: self.number()? },
            DECISION => UnitReply::Decision(self.bytes()?),
            SETTLED => UnitReply::Settled(self.many(Reader::bytes)?),
            NOTED => UnitReply::Noted,
            _ => return Err(Malformed("an unknown reply")),
        })
    }

    /// Copies, as they outlive the frame in which they came.
    fn rights(&mut self) -> Result<Rights> {
        let copy = |bytes: Bytes| Bytes::copy_from_slice(&bytes);
        let user = copy(self.bytes()?);
        let words = self.many(|from| from.bytes().map(copy))?;
        Rights::from_words(user, &words).ok_or(Malformed("rights that are none"))
    }

    fn watch(&mut self) -> Result<Watch> {
        Ok(Watch { db: self.db()?, key: self.bytes()?, term: Term(self.number()?), sequence: self.number()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Rng;

    fn call(words: &[&'static str]) -> Call {
        Call::new(3, Protocol::Resp3, words.iter().map(|word| Bytes::from_static(word.as_bytes())).collect())
    }

    fn units() -> Vec<Unit> {
        let watch = Watch { db: 1, key: Bytes::from_static(b"w"), term: Term(300), sequence: 5 };
        vec![
            Unit::Call(call(&["GET", "k"])),
            Unit::Atomic { watches: vec![watch], calls: vec![call(&["INCR", "n"])] },
            Unit::Watch { db: 0, keys: vec![Bytes::from_static(b"a")] },
            Unit::Change(Bytes::from_static(b"c")),
            Unit::Block { call: call(&["GET", "k"]), remembered: true },
            Unit::StillBlocked { session: SessionId(300), below: 9, open: vec![3, 7] },
            Unit::Hurry { session: SessionId(300), numbers: vec![3] },
        ]
    }

    fn replies() -> Vec<UnitReply> {
        vec![
            UnitReply::Call(Bytes::from_static(b"+OK\r\n")),
            UnitReply::Atomic(Some(vec![Bytes::from_static(b":1\r\n")])),
            UnitReply::Atomic(None),
            UnitReply::Watch { term: Term(300), sequence: 5 },
            UnitReply::Decision(Bytes::from_static(b"d")),
            UnitReply::Settled(vec![Bytes::from_static(b"0-1")]),
            UnitReply::Noted,
            UnitReply::Read {
                reply: Box::new(UnitReply::Call(Bytes::from_static(b":1\r\n"))),
                keys: vec![Bytes::from_static(b"a"), Bytes::from_static(b"bc")],
            },
        ]
    }

    fn rights(words: &[&'static str]) -> Rights {
        let words: Vec<Bytes> = words.iter().map(|word| Bytes::from_static(word.as_bytes())).collect();
        Rights::from_words("alice".into(), &words).expect("rules")
    }

    #[test]
    fn the_bytes_are_golden() {
        let golden: &[u8] =
            b"\x01\x07\x00\x03\x03\x02\x03GET\x01k\x01\x01\x01\x01w\xac\x02\x05\x01\x03\x03\x02\x04INCR\x01n\x02\x00\x01\x01a\x03\x01c\
            \x04\x01\x03\x03\x02\x03GET\x01k\x05\xac\x02\x09\x02\x03\x07\x06\xac\x02\x01\x03";
        assert_eq!(&encode_units(&units())[..], golden);
        assert_eq!(decode_units(&Bytes::from_static(golden)), Ok(units()));
        let untouching = Unit::Call(Call { touches: false, ..call(&["GET", "k"]) });
        assert_eq!(&encode_units(&[untouching])[..], b"\x01\x01\x00\x03\x83\x02\x03GET\x01k");
        let restricted = Unit::Call(Call { rights: Some(Arc::new(rights(&["~k"]))), ..call(&["EVAL"]) });
        let golden: &[u8] = b"\x01\x01\x00\x03\x43\x01\x04EVAL\x05alice\x03\x02~k\x0dresetchannels\x05-@all";
        assert_eq!(&encode_units(&[restricted])[..], golden);
        let authored = Unit::Call(Call { author: 300, ..call(&["GET", "k"]) });
        assert_eq!(&encode_units(&[authored])[..], b"\x01\x01\x00\x03\x23\x02\x03GET\x01k\xac\x02");
        let telling = Unit::Call(Call { tells_reads: true, author: 300, ..call(&["EVAL"]) });
        assert_eq!(&encode_units(&[telling])[..], b"\x01\x01\x00\x03\x33\x01\x04EVAL\xac\x02");
        let golden: &[u8] =
            b"\x01\x08\x00\x05+OK\r\n\x01\x01\x04:1\r\n\x02\x03\xac\x02\x05\x04\x01d\x05\x01\x030-1\x06\
            \x07\x02\x01a\x02bc\x00\x04:1\r\n";
        assert_eq!(&encode_replies(&replies())[..], golden);
        assert_eq!(decode_replies(&Bytes::from_static(golden)), Ok(replies()));
    }

    #[test]
    fn every_cut_and_every_extra_byte_is_an_error() {
        for length in 0..encode_units(&units()).len() {
            assert!(decode_units(&encode_units(&units()).slice(..length)).is_err(), "cut at {length}");
        }
        for length in 0..encode_replies(&replies()).len() {
            assert!(decode_replies(&encode_replies(&replies()).slice(..length)).is_err(), "cut at {length}");
        }
        let longer = [&encode_units(&units())[..], b"\0"].concat();
        assert_eq!(decode_units(&longer.into()), Err(Malformed("bytes after the end")));
    }

    #[test]
    fn rule_40_a_declared_count_reserves_nothing() {
        let huge = b"\x01\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01";
        assert_eq!(decode_units(&Bytes::from_static(huge)), Err(Malformed("cut off")));
        assert_eq!(decode_replies(&Bytes::from_static(huge)), Err(Malformed("cut off")));
        let nested = b"\x01\x01\x07\x00\x07\x00\x06";
        assert_eq!(decode_replies(&Bytes::from_static(nested)), Err(Malformed("an unknown reply")));
        let above = b"\x01\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02";
        assert_eq!(decode_units(&Bytes::from_static(above)), Err(Malformed("a number above 64 bits")));
    }

    #[test]
    fn words_share_the_memory_of_the_frame() {
        let data = encode_units(&units());
        let inside = data.as_ptr_range();
        let Some(Unit::Call(call)) = decode_units(&data).unwrap().into_iter().next() else { panic!("a call") };
        assert!(call.args.iter().all(|word| inside.contains(&word.as_ptr())));
    }

    #[test]
    fn random_units_come_back_and_random_bytes_do_no_harm() {
        let mut rng = Rng::new(7);
        for _ in 0..300 {
            let units: Vec<Unit> = (0..rng.below(5)).map(|_| random_unit(&mut rng)).collect();
            let mut data = encode_units(&units).to_vec();
            assert_eq!(decode_units(&Bytes::from(data.clone())), Ok(units));
            let at = rng.below(data.len() as u64) as usize;
            data[at] ^= 1 << rng.below(8);
            if let Ok(units) = decode_units(&Bytes::from(data.clone())) {
                assert!(units.iter().map(weight).sum::<usize>() <= 32 * data.len());
            }
            let _ = decode_replies(&Bytes::from(data));
        }
    }

    fn random_unit(rng: &mut Rng) -> Unit {
        let bytes = |rng: &mut Rng| Bytes::from(vec![rng.next() as u8; rng.below(200) as usize]);
        let call = |rng: &mut Rng| Call {
            db: rng.below(16) as u8,
            protocol: *rng.pick(&[Protocol::Resp2, Protocol::Resp3]),
            touches: rng.chance(1, 2),
            args: (0..rng.range(1, 4)).map(|_| bytes(rng)).collect(),
            rights: rng
                .chance(1, 4)
                .then(|| Arc::new(rights(&["~a*", "%R~b", "-@all", "+get", "(", "&x", "+@all", ")"]))),
            author: if rng.chance(1, 4) { rng.next() } else { 0 },
            tells_reads: rng.chance(1, 4),
        };
        let numbers = |rng: &mut Rng| (0..rng.below(4)).map(|_| rng.next()).collect();
        match rng.below(7) {
            0 => Unit::Call(call(rng)),
            1 => Unit::Atomic {
                watches: (0..rng.below(3))
                    .map(|_| Watch { db: 2, key: bytes(rng), term: Term(rng.next()), sequence: rng.next() })
                    .collect(),
                calls: (0..rng.below(3)).map(|_| call(rng)).collect(),
            },
            2 => Unit::Watch { db: 9, keys: (0..rng.below(3)).map(|_| bytes(rng)).collect() },
            3 => Unit::Block { call: call(rng), remembered: rng.chance(1, 2) },
            4 => Unit::StillBlocked { session: SessionId(rng.next()), below: rng.next(), open: numbers(rng) },
            5 => Unit::Hurry { session: SessionId(rng.next()), numbers: numbers(rng) },
            _ => Unit::Change(bytes(rng)),
        }
    }
}
