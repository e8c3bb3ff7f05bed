//! The layout of record keys: which bytes name what. Big-endian throughout, so that byte order is numeric order;
//! the golden tests below hold every byte, because keys on disk outlive the program that wrote them.
//!
//! ```text
//! head     slot u16 | db u8 (0..15)  | crc32(key) u32 | key
//! element  slot u16 | 0x80 + db u8   | crc32(key) u32 | key length u32 | key | kind u8 | crc32(element) u32 | element
//! ordered  the same, with 0 for the checksum of the element
//! group    0xffff   | group u64      | kind u8        | rest
//! ```
//!
//! Why this order: a group owns a range of slots, so its keys are one contiguous range; within a slot the keys of
//! one database are together; among those the checksum comes first, which makes a position in a SCAN two numbers
//! that need no memory on the server ([`Position`]). Group records lie above every slot. Elements that are walked by
//! their names are ordered ones: the parts of a stream.
//!
//! Invariant: no key is a prefix range of another's elements, because the key's length comes before the key.
//! What values hold is left to `data` (heads, elements) and `machine` (group records).

use bytes::{BufMut, Bytes, BytesMut};

use super::{Error, Result};
use crate::base::slot::SLOT_COUNT;
use crate::base::{GroupId, Millis, SessionId, Slot, SlotRange};

/// First two bytes of a group record, above all slots.
const GROUP_MARK: u16 = u16::MAX;
/// Set in the space byte of an element record.
const ELEMENT_BIT: u8 = 0x80;
/// Above every key that this module builds: a group record has a kind below 0xff in its last fixed byte.
const ABOVE_ALL: [u8; 11] = [0xff; 11];

const _: () = assert!(SLOT_COUNT < GROUP_MARK);
const _: () = assert!(crate::base::limits::DATABASES <= 16);
const _: () = assert!(crate::base::limits::BULK_BYTES_MAX <= u32::MAX as usize);

/// A range of record keys: from the first, to before the second.
pub type Range = (Bytes, Bytes);

/// What an element record is a part of. The number is on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum ElementKind {
    /// A field of a hash.
    Field = 1,
    /// A member of a set.
    Member = 2,
    /// A member of a sorted set, with its score.
    Score = 3,
    /// A node of the counted tree of a list or sorted set.
    Node = 4,
    /// An entry of a stream. Ordered, like all below.
    Entry = 5,
    /// Some entries of a stream that are together, counted.
    Page = 6,
    /// A group of consumers of a stream.
    Readers = 7,
    /// A consumer of such a group.
    Consumer = 8,
    /// An entry that a group was given and has not acknowledged.
    Pending = 9,
    /// The same, among those of its consumer.
    Owned = 10,
    /// The deadline of a field of a hash. By checksum, like the fields themselves.
    Deadline = 11,
    /// A field of a hash among those with a deadline, by time. Ordered.
    Due = 12,
}

/// What a group record is. The number is on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum GroupKind {
    /// How far the state is: applied index and term, membership, epoch, stamp.
    Applied = 1,
    /// Exact numbers of keys.
    Counts = 2,
    /// Deadlines in order of time.
    Expiry = 3,
    /// A forwarding session.
    Session = 4,
    /// A reply kept until the front has acknowledged it.
    Reply = 5,
    /// A fact of the meta group.
    Fact = 6,
    /// A script, or the order of those that nobody loaded.
    Script = 7,
    /// A library of functions.
    Library = 8,
    /// The library of a function.
    Function = 9,
    /// Hashes with deadlines of fields, in order of the earliest one.
    FieldExpiry = 10,
    /// Classes of keyspace events that are told.
    Events = 11,
}

/// A parsed head key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head<'a> {
    /// Slot of the key.
    pub slot: Slot,
    /// Database, 0..=15.
    pub db: u8,
    /// CRC32 of the key.
    pub hash: u32,
    /// The key as the client knows it.
    pub key: &'a [u8],
}

/// A parsed element key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Element<'a> {
    /// Slot of the key.
    pub slot: Slot,
    /// Database, 0..=15.
    pub db: u8,
    /// The key that the element belongs to.
    pub key: &'a [u8],
    /// What it is a part of.
    pub kind: u8,
    /// CRC32 of the element's name.
    pub hash: u32,
    /// The element's name.
    pub element: &'a [u8],
}

/// The record of a key: a small value itself, or the head of a large one.
pub fn head(db: u8, key: &[u8]) -> Bytes {
    let mut out = Vec::with_capacity(7 + key.len());
    out.extend_from_slice(&key_position(db, key));
    out.extend_from_slice(key);
    out.into()
}

/// Whether a record is the head of a key.
pub fn is_head(record: &[u8]) -> bool {
    match record.first_chunk::<7>() {
        Some(&[high, low, space, ..]) => space & ELEMENT_BIT == 0 && [high, low] != GROUP_MARK.to_be_bytes(),
        None => false,
    }
}

/// Whether a record is the head of this key.
pub fn is_head_of(record: &[u8], db: u8, key: &[u8]) -> bool {
    record.get(2) == Some(&db) && record.get(7..) == Some(key)
}

/// Whether there may be head records from `start` to before `end`: not among the elements of one database in one slot.
pub fn may_hold_heads(start: &[u8], end: &[u8]) -> bool {
    match (start.first_chunk::<3>(), end.first_chunk::<3>()) {
        (Some(&[high, low, space]), Some(last)) if [high, low, space] == *last => {
            space & ELEMENT_BIT == 0 && [high, low] != GROUP_MARK.to_be_bytes()
        }
        _ => true,
    }
}

/// A number that spreads head records evenly: the key's checksum, told apart by database. 0 for other records.
pub fn head_hash(record: &[u8]) -> u32 {
    match record.get(2..7) {
        Some(&[db, a, b, c, d]) => u32::from_be_bytes([a, b, c, d]) ^ u32::from(db) << 8,
        _ => 0,
    }
}

/// The record of one element of a large value.
pub fn element(db: u8, key: &[u8], kind: ElementKind, element: &[u8]) -> Bytes {
    let mut out = BytesMut::with_capacity(16 + key.len() + element.len());
    put_elements_prefix(&mut out, db, key);
    out.put_u8(kind as u8);
    out.put_u32(crc32fast::hash(element));
    out.put_slice(element);
    out.freeze()
}

/// The record of an element that stands in the order of its name among those of its kind.
pub fn ordered(db: u8, key: &[u8], kind: ElementKind, name: &[u8]) -> Bytes {
    let mut out = BytesMut::with_capacity(16 + key.len() + name.len());
    put_elements_prefix(&mut out, db, key);
    out.put_u8(kind as u8);
    out.put_u32(0);
    out.put_slice(name);
    out.freeze()
}

/// All ordered elements of a key of one kind whose names start with `prefix`.
pub fn ordered_of(db: u8, key: &[u8], kind: ElementKind, prefix: &[u8]) -> Range {
    prefix_range(ordered(db, key, kind, prefix))
}

/// All element records of a key, of every kind.
pub fn elements(db: u8, key: &[u8]) -> Range {
    let mut prefix = BytesMut::with_capacity(11 + key.len());
    put_elements_prefix(&mut prefix, db, key);
    prefix_range(prefix.freeze())
}

/// All element records of a key of one kind, in the order of their checksums.
pub fn elements_of(db: u8, key: &[u8], kind: ElementKind) -> Range {
    let mut prefix = BytesMut::with_capacity(12 + key.len());
    put_elements_prefix(&mut prefix, db, key);
    prefix.put_u8(kind as u8);
    prefix_range(prefix.freeze())
}

/// Where the elements with a checksum of at least `hash` start: an HSCAN cursor's place in [`elements_of`].
pub fn elements_from(db: u8, key: &[u8], kind: ElementKind, hash: u32) -> Bytes {
    let mut out = BytesMut::with_capacity(16 + key.len());
    put_elements_prefix(&mut out, db, key);
    out.put_u8(kind as u8);
    out.put_u32(hash);
    out.freeze()
}

/// Everything of a range of slots: heads and elements of all databases.
pub fn slots(range: SlotRange) -> Range {
    (be16(range.first.get()), be16(range.last.get() + 1))
}

/// All heads of one database in one slot.
pub fn heads(slot: Slot, db: u8) -> Range {
    let [high, low] = slot.get().to_be_bytes();
    (Bytes::copy_from_slice(&[high, low, db]), Bytes::copy_from_slice(&[high, low, db + 1]))
}

/// The element records of all keys of one database in one slot.
pub fn elements_in(slot: Slot, db: u8) -> Range {
    let [high, low] = slot.get().to_be_bytes();
    let space = ELEMENT_BIT | db;
    (Bytes::copy_from_slice(&[high, low, space]), Bytes::copy_from_slice(&[high, low, space + 1]))
}

/// Reads a head key; `None` for a key of another kind.
pub fn parse_head(record: &[u8]) -> Option<Head<'_>> {
    let (fixed, key) = record.split_first_chunk::<7>()?;
    let slot = Slot::new(u16::from_be_bytes([fixed[0], fixed[1]]))?;
    let db = fixed[2];
    let hash = u32::from_be_bytes([fixed[3], fixed[4], fixed[5], fixed[6]]);
    (db & ELEMENT_BIT == 0).then_some(Head { slot, db, hash, key })
}

/// Reads an element key; `None` for a key of another kind.
pub fn parse_element(record: &[u8]) -> Option<Element<'_>> {
    let (fixed, rest) = record.split_first_chunk::<11>()?;
    let slot = Slot::new(u16::from_be_bytes([fixed[0], fixed[1]]))?;
    let space = fixed[2];
    let length = u32::from_be_bytes([fixed[7], fixed[8], fixed[9], fixed[10]]) as usize;
    if space & ELEMENT_BIT == 0 || rest.len() < length {
        return None;
    }
    let (key, rest) = rest.split_at(length);
    let (tail, element) = rest.split_first_chunk::<5>()?;
    let hash = u32::from_be_bytes([tail[1], tail[2], tail[3], tail[4]]);
    Some(Element { slot, db: space & !ELEMENT_BIT, key, kind: tail[0], hash, element })
}

/// The key that an element record, or the start of a range of a key's elements, belongs to.
pub fn key_of_elements(record: &[u8]) -> Option<&[u8]> {
    let (fixed, rest) = record.split_first_chunk::<11>()?;
    Slot::new(u16::from_be_bytes([fixed[0], fixed[1]])).filter(|_| fixed[2] & ELEMENT_BIT != 0)?;
    rest.get(..u32::from_be_bytes([fixed[7], fixed[8], fixed[9], fixed[10]]) as usize)
}

/// The slot of a head or element record; `None` for a group record.
pub fn slot_of(record: &[u8]) -> Option<Slot> {
    Slot::new(u16::from_be_bytes(*record.first_chunk::<2>()?))
}

/// A place between the keys of one database, in SCAN's order: slot, then checksum. Keys with the same slot and
/// checksum share a place and must be reported together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// Slot.
    pub slot: Slot,
    /// CRC32 of the key.
    pub hash: u32,
}

impl Position {
    /// As a client sees it: 14 bits of slot, 32 of checksum. The start is 0, which SCAN also uses for the end.
    pub fn cursor(self) -> u64 {
        (u64::from(self.slot.get()) << 32) | u64::from(self.hash)
    }

    /// The place a cursor stands for; `None` for numbers that are none.
    pub fn from_cursor(cursor: u64) -> Option<Position> {
        let slot = Slot::new(u16::try_from(cursor >> 32).ok()?)?;
        Some(Position { slot, hash: cursor as u32 })
    }

    /// The next place; `None` at the very end.
    pub fn next(self) -> Option<Position> {
        Position::from_cursor(self.cursor() + 1)
    }

    /// The key from which to look for heads of `db` at or after this place.
    pub fn seek(self, db: u8) -> Bytes {
        let mut out = BytesMut::with_capacity(7);
        out.put_u16(self.slot.get());
        out.put_u8(db);
        out.put_u32(self.hash);
        out.freeze()
    }
}

impl Head<'_> {
    /// Its place in SCAN's order.
    pub fn position(&self) -> Position {
        Position { slot: self.slot, hash: self.hash }
    }
}

/// Looking for heads of `db`, a scan met `record`, which is none: from where to look next, so that other
/// databases and elements are skipped with one seek per slot. `None` when no slot is left.
pub fn next_heads(record: &[u8], db: u8) -> Option<Bytes> {
    let slot = slot_of(record)?;
    if *record.get(2)? < db {
        return Some(heads(slot, db).0);
    }
    Some(heads(Slot::new(slot.get() + 1)?, db).0)
}

/// All records of a group that are not keys: they travel with it.
pub fn group(group: GroupId) -> Range {
    let mut prefix = BytesMut::with_capacity(10);
    prefix.put_u16(GROUP_MARK);
    prefix.put_u64(group.get());
    prefix_range(prefix.freeze())
}

/// All records of a group of one kind.
pub fn group_kind(group: GroupId, kind: GroupKind) -> Range {
    prefix_range(group_record(group, kind, &[]))
}

/// A group's applied index and what belongs to it.
pub fn applied(group: GroupId) -> Bytes {
    group_record(group, GroupKind::Applied, &[])
}

/// A group's counts.
pub fn counts(group: GroupId) -> Bytes {
    group_record(group, GroupKind::Counts, &[])
}

/// Which keyspace events a group tells.
pub fn events(group: GroupId) -> Bytes {
    group_record(group, GroupKind::Events, &[])
}

/// The entry of a key in the expiry index; `head` is its head record's key.
pub fn expiry(group: GroupId, deadline: Millis, head: &[u8]) -> Bytes {
    deadline_record(group, GroupKind::Expiry, deadline, head)
}

/// All entries of the expiry index with a deadline at or before `until`, earliest first.
pub fn expiry_until(group: GroupId, until: Millis) -> Range {
    deadlines_until(group, GroupKind::Expiry, until)
}

/// Reads a key of the expiry index: deadline and head record's key.
pub fn parse_expiry(record: &[u8]) -> Result<(Millis, &[u8])> {
    parse_deadline(record, GroupKind::Expiry)
}

/// The entry of a hash in the index of fields' deadlines: the earliest one, and its head record's key.
pub fn field_expiry(group: GroupId, first: Millis, head: &[u8]) -> Bytes {
    deadline_record(group, GroupKind::FieldExpiry, first, head)
}

/// All entries of the index of fields' deadlines at or before `until`, earliest first.
pub fn field_expiry_until(group: GroupId, until: Millis) -> Range {
    deadlines_until(group, GroupKind::FieldExpiry, until)
}

/// Reads a key of the index of fields' deadlines: the earliest one of a hash, and its head record's key.
pub fn parse_field_expiry(record: &[u8]) -> Result<(Millis, &[u8])> {
    parse_deadline(record, GroupKind::FieldExpiry)
}

fn deadline_record(group: GroupId, kind: GroupKind, deadline: Millis, head: &[u8]) -> Bytes {
    let mut out = BytesMut::with_capacity(19 + head.len());
    put_group(&mut out, group, kind);
    out.put_u64(deadline.0);
    out.put_slice(head);
    out.freeze()
}

fn deadlines_until(group: GroupId, kind: GroupKind, until: Millis) -> Range {
    let (start, end) = group_kind(group, kind);
    match until.0.checked_add(1) {
        Some(next) => (start, deadline_record(group, kind, Millis(next), &[])),
        None => (start, end),
    }
}

fn parse_deadline(record: &[u8], kind: GroupKind) -> Result<(Millis, &[u8])> {
    let (_, rest) = parse_group(record, kind)?;
    match rest.split_first_chunk::<8>() {
        Some((deadline, head)) => Ok((Millis(u64::from_be_bytes(*deadline)), head)),
        None => Err(damaged(record)),
    }
}

/// A forwarding session of a group.
pub fn session(group: GroupId, session: SessionId) -> Bytes {
    group_record(group, GroupKind::Session, &session.get().to_be_bytes())
}

/// Reads the key of a session.
pub fn parse_session(record: &[u8]) -> Result<(GroupId, SessionId)> {
    let (group, rest) = parse_group(record, GroupKind::Session)?;
    let session = rest.try_into().map_err(|_| damaged(record))?;
    Ok((group, SessionId(u64::from_be_bytes(session))))
}

/// The stored reply to a batch of a session.
pub fn reply(group: GroupId, session: SessionId, number: u64) -> Bytes {
    let mut out = BytesMut::with_capacity(27);
    put_group(&mut out, group, GroupKind::Reply);
    out.put_u64(session.get());
    out.put_u64(number);
    out.freeze()
}

/// Stored replies of a session with a number below `number`.
pub fn replies_below(group: GroupId, session: SessionId, number: u64) -> Range {
    (reply(group, session, 0), reply(group, session, number))
}

/// All stored replies of a session.
pub fn replies(group: GroupId, session: SessionId) -> Range {
    prefix_range(group_record(group, GroupKind::Reply, &session.get().to_be_bytes()))
}

/// Reads the key of a stored reply: its session and number.
pub fn parse_reply(record: &[u8]) -> Result<(GroupId, SessionId, u64)> {
    let (group, rest) = parse_group(record, GroupKind::Reply)?;
    let rest: [u8; 16] = rest.try_into().map_err(|_| damaged(record))?;
    let (session, number) = (u64::from_be_bytes(half(&rest, 0)), u64::from_be_bytes(half(&rest, 8)));
    Ok((group, SessionId(session), number))
}

/// A fact of the meta group; its author names it.
pub fn fact(name: &[u8]) -> Bytes {
    group_record(GroupId::META, GroupKind::Fact, name)
}

/// All facts of the meta group whose name starts with `prefix`.
pub fn facts(prefix: &[u8]) -> Range {
    prefix_range(fact(prefix))
}

/// Reads the key of a fact: its name.
pub fn parse_fact(record: &[u8]) -> Result<&[u8]> {
    parse_group(record, GroupKind::Fact).map(|(_, name)| name)
}

/// A script of a group, by its digest.
pub fn script(group: GroupId, digest: &[u8]) -> Bytes {
    group_record(group, GroupKind::Script, digest)
}

/// A library of functions of a group.
pub fn library(group: GroupId, name: &[u8]) -> Bytes {
    group_record(group, GroupKind::Library, name)
}

/// A function of a group.
pub fn function(group: GroupId, name: &[u8]) -> Bytes {
    group_record(group, GroupKind::Function, name)
}

/// The smallest key above every key that starts with `prefix`.
pub fn after_prefix(prefix: &[u8]) -> Bytes {
    let Some(last) = prefix.iter().rposition(|&byte| byte != 0xff) else {
        return Bytes::from_static(&ABOVE_ALL);
    };
    let mut end = BytesMut::from(&prefix[..=last]);
    end[last] += 1;
    end.freeze()
}

/// The smallest key above `key`: where a scan goes on after it.
pub fn after(key: &[u8]) -> Bytes {
    let mut next = BytesMut::with_capacity(key.len() + 1);
    next.put_slice(key);
    next.put_u8(0);
    next.freeze()
}

/// Everything that starts with `prefix`.
fn prefix_range(prefix: Bytes) -> Range {
    let end = after_prefix(&prefix);
    (prefix, end)
}

fn key_position(space: u8, key: &[u8]) -> [u8; 7] {
    let ([high, low], [a, b, c, d]) = (Slot::of(key).get().to_be_bytes(), crc32fast::hash(key).to_be_bytes());
    [high, low, space, a, b, c, d]
}

fn put_elements_prefix(out: &mut BytesMut, db: u8, key: &[u8]) {
    out.put_slice(&key_position(ELEMENT_BIT | db, key));
    // A key is a bulk string, and `limits` bounds those far below 4 GiB (asserted above).
    out.put_u32(key.len() as u32);
    out.put_slice(key);
}

fn put_group(out: &mut BytesMut, group: GroupId, kind: GroupKind) {
    out.put_u16(GROUP_MARK);
    out.put_u64(group.get());
    out.put_u8(kind as u8);
}

fn group_record(group: GroupId, kind: GroupKind, rest: &[u8]) -> Bytes {
    let mut out = BytesMut::with_capacity(11 + rest.len());
    put_group(&mut out, group, kind);
    out.put_slice(rest);
    out.freeze()
}

/// The group and the bytes after the kind, of a group record of this kind.
fn parse_group(record: &[u8], kind: GroupKind) -> Result<(GroupId, &[u8])> {
    match record.split_first_chunk::<11>() {
        Some((fixed, rest)) if fixed[..2] == GROUP_MARK.to_be_bytes() && fixed[10] == kind as u8 => {
            Ok((GroupId(u64::from_be_bytes(half(fixed, 2))), rest))
        }
        _ => Err(damaged(record)),
    }
}

/// Eight bytes of a longer array.
fn half(bytes: &[u8], at: usize) -> [u8; 8] {
    std::array::from_fn(|i| bytes[at + i])
}

fn be16(number: u16) -> Bytes {
    Bytes::copy_from_slice(&number.to_be_bytes())
}

fn damaged(record: &[u8]) -> Error {
    Error::Corrupt(format!("a record key of another kind than expected: {}", record.escape_ascii()).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden_bytes_of_keys() {
        // Slot 12182 = 0x2f96, crc32("foo") = 0x8c736521, crc32("bar") = 0x76ff8caa.
        assert_eq!(&head(3, b"foo")[..], b"\x2f\x96\x03\x8c\x73\x65\x21foo");
        assert_eq!(&head(0, b"")[..], b"\0\0\0\0\0\0\0");
        assert_eq!(
            &element(3, b"foo", ElementKind::Field, b"bar")[..],
            b"\x2f\x96\x83\x8c\x73\x65\x21\0\0\0\x03foo\x01\x76\xff\x8c\xaabar"
        );
        for (kind, number) in [(ElementKind::Member, 2), (ElementKind::Score, 3), (ElementKind::Node, 4)] {
            assert_eq!(element(3, b"foo", kind, b"bar")[14], number);
        }
        assert_eq!(
            &ordered(3, b"foo", ElementKind::Entry, b"bar")[..],
            b"\x2f\x96\x83\x8c\x73\x65\x21\0\0\0\x03foo\x05\0\0\0\0bar"
        );
        let kinds = [ElementKind::Page, ElementKind::Readers, ElementKind::Consumer, ElementKind::Pending];
        for (kind, number) in kinds.into_iter().chain([ElementKind::Owned]).zip(6..) {
            assert_eq!(ordered(3, b"foo", kind, b"")[14], number);
        }
        assert_eq!(element(3, b"foo", ElementKind::Deadline, b"bar")[14], 11);
        assert_eq!(ordered(3, b"foo", ElementKind::Due, b"")[14], 12);
        let (start, end) = elements(3, b"foo");
        assert_eq!(&start[..], b"\x2f\x96\x83\x8c\x73\x65\x21\0\0\0\x03foo");
        assert_eq!(&end[..], b"\x2f\x96\x83\x8c\x73\x65\x21\0\0\0\x03fop");
    }

    #[test]
    fn heads_are_known_and_so_are_ranges_without_any() {
        let names = [&b""[..], b"a", b"foo", b"{foo}bar"];
        let groups = [applied(GroupId(0)), applied(GroupId(7)), counts(GroupId(u64::MAX))];
        let of_key = |key| [head(0, key), head(15, key), element(3, key, ElementKind::Field, b"f")];
        let records: Vec<Bytes> = names.into_iter().flat_map(of_key).chain(groups).collect();
        let is_parsed = |record: &Bytes| parse_head(record).is_some();
        for record in &records {
            assert_eq!(is_head(record), is_parsed(record), "{record:?}");
        }
        assert!(is_head_of(&head(3, b"foo"), 3, b"foo"));
        assert!(!is_head_of(&head(3, b"foo"), 2, b"foo") && !is_head_of(&head(3, b"foo"), 3, b"fo"));
        for start in &records {
            for end in records.iter().filter(|end| *end > start) {
                let holds = records.iter().any(|record| (start..end).contains(&record) && is_parsed(record));
                assert!(may_hold_heads(start, end) || !holds, "{start:?}..{end:?}");
            }
        }
        for (start, end) in [elements(3, b"foo"), elements_of(3, b"foo", ElementKind::Field), group(GroupId(7))] {
            assert!(!may_hold_heads(&start, &end), "{start:?}..{end:?}");
        }
        let (start, end) = heads(Slot::of(b"foo"), 3);
        assert!(may_hold_heads(&start, &end));
    }

    #[test]
    fn golden_bytes_of_group_records() {
        let one = GroupId(1);
        assert_eq!(&applied(one)[..], b"\xff\xff\0\0\0\0\0\0\0\x01\x01");
        assert_eq!(&counts(one)[..], b"\xff\xff\0\0\0\0\0\0\0\x01\x02");
        assert_eq!(&events(one)[..], b"\xff\xff\0\0\0\0\0\0\0\x01\x0b");
        assert_eq!(
            &expiry(one, Millis(0x0102), b"head")[..],
            b"\xff\xff\0\0\0\0\0\0\0\x01\x03\0\0\0\0\0\0\x01\x02head"
        );
        assert_eq!(
            &field_expiry(one, Millis(0x0102), b"head")[..],
            b"\xff\xff\0\0\0\0\0\0\0\x01\x0a\0\0\0\0\0\0\x01\x02head"
        );
        assert_eq!(&session(one, SessionId(7))[..], b"\xff\xff\0\0\0\0\0\0\0\x01\x04\0\0\0\0\0\0\0\x07");
        assert_eq!(
            &reply(one, SessionId(7), 9)[..],
            b"\xff\xff\0\0\0\0\0\0\0\x01\x05\0\0\0\0\0\0\0\x07\0\0\0\0\0\0\0\x09"
        );
        assert_eq!(&fact(b"node/1")[..], b"\xff\xff\0\0\0\0\0\0\0\0\x06node/1");
        assert_eq!(&library(one, b"lib")[..], b"\xff\xff\0\0\0\0\0\0\0\x01\x08lib");
        assert_eq!(&function(one, b"f")[..], b"\xff\xff\0\0\0\0\0\0\0\x01\x09f");
        assert_eq!(&script(one, b"digest")[..], b"\xff\xff\0\0\0\0\0\0\0\x01\x07digest");
    }

    #[test]
    fn golden_bounds() {
        let range = SlotRange::new(0x0102, 0x3fff).unwrap();
        assert_eq!(slots(range), (Bytes::from_static(b"\x01\x02"), Bytes::from_static(b"\x40\x00")));
        assert_eq!(
            heads(Slot::of(b"foo"), 15),
            (Bytes::from_static(b"\x2f\x96\x0f"), Bytes::from_static(b"\x2f\x96\x10"))
        );
        assert_eq!(
            elements_in(Slot::of(b"foo"), 15),
            (Bytes::from_static(b"\x2f\x96\x8f"), Bytes::from_static(b"\x2f\x96\x90"))
        );
        let (start, end) = group(GroupId(0xff));
        assert_eq!(&start[..], b"\xff\xff\0\0\0\0\0\0\0\xff");
        assert_eq!(&end[..], b"\xff\xff\0\0\0\0\0\0\x01");
        assert!(group(GroupId(u64::MAX)).1 > fact(b"\xff\xff\xff"));
        assert!(slots(SlotRange::ALL).1 < group(GroupId(0)).0);
    }

    #[test]
    fn what_is_built_can_be_parsed() {
        for key in [&b""[..], b"foo", b"{tag}rest", &[0xff; 40]] {
            let record = head(15, key);
            let parsed = parse_head(&record).unwrap();
            assert_eq!(
                parsed,
                Head { slot: Slot::of(key), db: 15, hash: crc32fast::hash(key), key },
                "head of {}",
                key.escape_ascii()
            );
            assert_eq!(parse_element(&record), None);
            let record = element(15, key, ElementKind::Field, b"name");
            let parsed = parse_element(&record).unwrap();
            assert_eq!((parsed.db, parsed.key, parsed.element), (15, key, &b"name"[..]));
            assert_eq!(parse_head(&record), None);
            assert_eq!(slot_of(&record), Some(Slot::of(key)));
            let named = ordered(15, key, ElementKind::Entry, b"name");
            assert_eq!(parse_element(&named).map(|parsed| (parsed.key, parsed.element)), Some((key, &b"name"[..])));
            let (start, end) = ordered_of(15, key, ElementKind::Entry, b"na");
            assert!(start <= named && named < end);
            let (start, end) = elements_of(15, key, ElementKind::Field);
            assert!(start <= record && record < end);
            assert!(elements_from(15, key, ElementKind::Field, parsed.hash) <= record);
            assert!(elements_from(15, key, ElementKind::Field, parsed.hash.wrapping_add(1)) > record);
        }
        let group = GroupId(5);
        let expiry_key = expiry(group, Millis(77), &head(2, b"k"));
        assert_eq!(parse_expiry(&expiry_key).unwrap(), (Millis(77), &head(2, b"k")[..]));
        assert_eq!(parse_session(&session(group, SessionId(3))).unwrap(), (group, SessionId(3)));
        assert_eq!(parse_reply(&reply(group, SessionId(3), 4)).unwrap(), (group, SessionId(3), 4));
        assert_eq!(parse_fact(&fact(b"x")).unwrap(), b"x");
        assert!(parse_reply(&expiry_key).is_err());
        assert!(parse_expiry(b"\xff\xff").is_err());
        let of_fields = field_expiry(group, Millis(77), &head(2, b"k"));
        assert_eq!(parse_field_expiry(&of_fields).unwrap(), (Millis(77), &head(2, b"k")[..]));
        assert!(parse_expiry(&of_fields).is_err() && parse_field_expiry(&expiry_key).is_err());
        assert!(
            field_expiry_until(group, Millis(76)).1 <= of_fields && of_fields < field_expiry_until(group, Millis(77)).1
        );
    }

    #[test]
    fn a_key_never_lies_among_the_elements_of_another() {
        let (start, end) = elements(0, b"a");
        for other in [&b"a\x01"[..], b"a\0", b"b", b""] {
            let record = element(0, other, ElementKind::Field, b"f");
            assert!(record < start || end <= record, "{}", other.escape_ascii());
        }
    }

    #[test]
    fn expiry_until_includes_its_moment() {
        let group = GroupId(1);
        let (start, end) = expiry_until(group, Millis(10));
        assert!(start <= expiry(group, Millis(0), b"\xff") && expiry(group, Millis(10), &[0xff; 30]) < end);
        assert!(expiry(group, Millis(11), b"") >= end);
        assert!(expiry(group, Millis(u64::MAX), &[0xff; 30]) < expiry_until(group, Millis(u64::MAX)).1);
        assert!(session(group, SessionId(0)) >= expiry_until(group, Millis(u64::MAX)).1);
    }

    #[test]
    fn replies_below_excludes_its_number() {
        let (start, end) = replies_below(GroupId(1), SessionId(2), 5);
        assert!(start <= reply(GroupId(1), SessionId(2), 4) && reply(GroupId(1), SessionId(2), 4) < end);
        assert!(reply(GroupId(1), SessionId(2), 5) >= end);
        let (start, end) = replies(GroupId(1), SessionId(2));
        assert!(start <= reply(GroupId(1), SessionId(2), 0) && reply(GroupId(1), SessionId(2), u64::MAX) < end);
    }

    #[test]
    fn cursors_are_positions() {
        let foo = parse_head(&head(1, b"foo")).unwrap().position();
        assert_eq!(Position::from_cursor(foo.cursor()), Some(foo));
        assert_eq!(Position::default().cursor(), 0);
        assert!(foo.seek(1) <= head(1, b"foo") && head(1, b"foo") < foo.next().unwrap().seek(1));
        assert_eq!(Position::from_cursor(1 << 46), None);
        assert_eq!(Position::from_cursor(u64::MAX), None);
        assert_eq!(Position::from_cursor((1 << 46) - 1).unwrap().next(), None);
    }

    #[test]
    fn a_scan_of_one_database_skips_the_others() {
        let slot = Slot::of(b"foo");
        assert_eq!(next_heads(&head(0, b"foo"), 1), Some(heads(slot, 1).0));
        let next_slot = Slot::new(slot.get() + 1).unwrap();
        assert_eq!(next_heads(&head(2, b"foo"), 1), Some(heads(next_slot, 1).0));
        assert_eq!(next_heads(&element(0, b"foo", ElementKind::Field, b"f"), 1), Some(heads(next_slot, 1).0));
        assert_eq!(next_heads(&applied(GroupId(1)), 1), None);
    }

    #[test]
    fn ends_of_prefixes() {
        assert_eq!(&after_prefix(b"ab")[..], b"ac");
        assert_eq!(&after_prefix(b"a\xff\xff")[..], b"b");
        assert_eq!(&after_prefix(b"\xff\xff")[..], &ABOVE_ALL);
        assert_eq!(&after(b"ab")[..], b"ab\0");
    }
}
