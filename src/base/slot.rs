//! Slots: CRC16 of the key modulo 16384, hash tags honoured, exactly Redis Cluster's.
//! Source: Redis Cluster specification, "Key distribution model" and "Hash tags".

use std::fmt;

/// How many slots there are.
pub const SLOT_COUNT: u16 = 16384;

/// A slot, 0..=16383.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot(u16);

/// A contiguous range of slots, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SlotRange {
    /// First slot of the range.
    pub first: Slot,
    /// Last slot of the range, at least `first`.
    pub last: Slot,
}

impl Slot {
    /// The slot with this number, if there is one.
    pub const fn new(number: u16) -> Option<Slot> {
        if number < SLOT_COUNT { Some(Slot(number)) } else { None }
    }

    /// The slot that a key belongs to.
    pub fn of(key: &[u8]) -> Slot {
        Slot(crc16(hash_tag(key)) % SLOT_COUNT)
    }

    /// The bare number, below 16384.
    pub const fn get(self) -> u16 {
        self.0
    }
}

impl SlotRange {
    /// All slots.
    pub const ALL: SlotRange = SlotRange { first: Slot(0), last: Slot(SLOT_COUNT - 1) };

    /// A range of slots; `None` when it is empty or leaves 0..=16383.
    pub fn new(first: u16, last: u16) -> Option<SlotRange> {
        let range = SlotRange { first: Slot::new(first)?, last: Slot::new(last)? };
        (range.first <= range.last).then_some(range)
    }

    /// `count` ranges of equal size (the last ones may be one slot smaller) that cover all slots.
    pub fn divide(count: u16) -> Vec<SlotRange> {
        assert!((1..=SLOT_COUNT).contains(&count), "cannot divide {SLOT_COUNT} slots into {count} ranges");
        let bound = |part: u16| (u32::from(SLOT_COUNT) * u32::from(part) / u32::from(count)) as u16;
        (0..count).map(|part| SlotRange { first: Slot(bound(part)), last: Slot(bound(part + 1) - 1) }).collect()
    }

    /// The slots that are in none of `ranges` (in any order, overlapping or not), as ranges in ascending order.
    pub fn others(ranges: &[SlotRange]) -> Vec<SlotRange> {
        let mut ranges = ranges.to_vec();
        ranges.sort();
        let mut others = Vec::new();
        let mut next = 0;
        for range in ranges {
            if range.first.0 > next {
                others.extend(SlotRange::new(next, range.first.0 - 1));
            }
            next = next.max(range.last.0 + 1);
        }
        others.extend(SlotRange::new(next, SLOT_COUNT - 1));
        others
    }

    /// Whether a slot lies in the range.
    pub fn contains(self, slot: Slot) -> bool {
        self.first <= slot && slot <= self.last
    }
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The part of a key that is hashed: between the first `{` and the next `}`, if that is not empty.
pub fn hash_tag(key: &[u8]) -> &[u8] {
    let Some(open) = key.iter().position(|&b| b == b'{') else { return key };
    match key[open + 1..].iter().position(|&b| b == b'}') {
        Some(length) if length > 0 => &key[open + 1..open + 1 + length],
        _ => key,
    }
}

/// CRC16-CCITT (XMODEM): polynomial 0x1021, start 0, no reflection.
pub fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc, &byte| (crc << 8) ^ TABLE[usize::from((crc >> 8) as u8 ^ byte)])
}

const TABLE: [u16; 256] = table();

const fn table() -> [u16; 256] {
    let mut table = [0; 256];
    let mut i = 0;
    while i < 256 {
        let mut crc = (i as u16) << 8;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 0x8000 != 0 { (crc << 1) ^ 0x1021 } else { crc << 1 };
            bit += 1;
        }
        table[i] = crc;
        i += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_those_of_redis_cluster() {
        assert_eq!(crc16(b"123456789"), 0x31c3);
        assert_eq!(Slot::of(b"foo").get(), 12182);
        assert_eq!(Slot::of(b"").get(), 0);
        assert_eq!(Slot::of(b"{user1000}.following"), Slot::of(b"user1000"));
        assert_eq!(hash_tag(b"foo{}{bar}"), b"foo{}{bar}");
        assert_eq!(hash_tag(b"foo{{bar}}zap"), b"{bar");
        assert_eq!(hash_tag(b"foo{bar}{zap}"), b"bar");
    }

    #[test]
    fn division_covers_every_slot_once() {
        for count in [1, 2, 3, 6, 7, 100, SLOT_COUNT] {
            let ranges = SlotRange::divide(count);
            assert_eq!(ranges.len(), usize::from(count));
            assert_eq!(ranges[0].first, Slot(0));
            assert_eq!(ranges[ranges.len() - 1].last, Slot(SLOT_COUNT - 1));
            assert!(ranges.windows(2).all(|pair| pair[0].last.0 + 1 == pair[1].first.0));
        }
    }

    #[test]
    fn others_are_the_slots_in_no_range() {
        let range = |first, last| SlotRange::new(first, last).expect("a range");
        assert_eq!(SlotRange::others(&[]), [SlotRange::ALL]);
        assert_eq!(SlotRange::others(&[SlotRange::ALL]), []);
        assert_eq!(SlotRange::others(&[range(5, 9), range(0, 0), range(7, 20)]), [range(1, 4), range(21, 16383)]);
        assert_eq!(SlotRange::others(&[range(10, 16383), range(5, 9)]), [range(0, 4)]);
        for count in [1, 6, 100] {
            let mut ranges = SlotRange::divide(count);
            let left_out = ranges.remove(usize::from(count) / 2);
            assert_eq!(SlotRange::others(&ranges), [left_out]);
        }
    }
}
