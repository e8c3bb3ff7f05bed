//! Pages: entries that Redis would keep in one piece of memory. Here every entry has a record of its own, and a page only
//! counts: that is what `XTRIM ... ~` goes by, which removes whole pages, and a long stream is shortened by looking at
//! its pages instead of its entries.
//!
//! ```text
//! page record   named by the id of the first entry it ever had; last id | live | dead | bytes | fields
//! ```
//!
//! The last page of a stream is in its head: most pages are written once. How many bytes a page has in Redis follows
//! from the published description of its listpack.

use bytes::{Bytes, BytesMut};

use super::id::Id;
use crate::base::integer;
use crate::data::{Result, Thresholds, packed};

/// Redis allows no more for a page (`stream-node-max-bytes` may say more, or 0 for this).
pub const PAGE_BYTES_MAX: usize = 1 << 30;
/// Length, number of elements and end mark of a listpack.
const FRAME_BYTES: u64 = 7;

/// A page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Page {
    /// Of the first entry that it ever had.
    pub first: Id,
    /// Of the last one, which may be gone too.
    pub last: Id,
    /// Entries that are there.
    pub live: u64,
    /// Entries that are gone.
    pub dead: u64,
    /// What Redis would take for it, without the two numbers above.
    bytes: u64,
    /// Checksum of the first entry's fields: entries with the same ones are shorter.
    fields: u64,
}

impl Page {
    /// A page without entries, for one with these words.
    pub fn new(id: Id, words: &[Bytes]) -> Page {
        let (count, fields) = (words.len() as u64 / 2, words.iter().step_by(2));
        let names: u64 = fields.map(|field| word_bytes(field)).sum();
        let bytes = FRAME_BYTES + number_bytes(count) + names + number_bytes(0);
        Page { first: id, last: id, live: 0, dead: 0, bytes, fields: checksum(words) }
    }

    /// Whether an entry with these words goes into it as well.
    pub fn has_room(&self, words: &[Bytes], thresholds: &Thresholds) -> bool {
        let more: usize = words.iter().map(Bytes::len).sum();
        let bytes = self.bytes + number_bytes(self.live) + number_bytes(self.dead);
        let bytes_max = match thresholds.stream_node_bytes_max {
            0 => PAGE_BYTES_MAX,
            bytes => bytes.min(PAGE_BYTES_MAX),
        };
        let entries_max = thresholds.stream_node_entries_max as u64;
        bytes + (more as u64) < bytes_max as u64 && (entries_max == 0 || self.live + self.dead < entries_max)
    }

    /// Counts one more entry.
    pub fn push(&mut self, id: Id, words: &[Bytes]) {
        let count = words.len() as u64 / 2;
        let is_alike = checksum(words) == self.fields;
        let (parts, step) = if is_alike { (count + 3, 2) } else { (2 * count + 4, 1) };
        let shown = words.iter().skip(step - 1).step_by(step).map(|word| word_bytes(word)).sum::<u64>();
        let fixed = number_bytes(u64::from(is_alike) * 2)
            + number_bytes(id.ms.wrapping_sub(self.first.ms))
            + number_bytes(id.seq.wrapping_sub(self.first.seq));
        self.bytes += fixed + shown + number_bytes(parts) + if is_alike { 0 } else { number_bytes(count) };
        self.last = id;
        self.live += 1;
    }

    /// Counts some entries as gone; `false` if it has not so many.
    pub fn remove(&mut self, count: u64) -> bool {
        let Some(live) = self.live.checked_sub(count) else { return false };
        (self.live, self.dead) = (live, self.dead + count);
        true
    }

    /// The record's value.
    pub fn encode(&self) -> Bytes {
        let mut out = BytesMut::new();
        self.put(&mut out);
        out.freeze()
    }

    /// Appends it, without the first id.
    pub fn put(&self, out: &mut BytesMut) {
        self.last.put(out);
        for number in [self.live, self.dead, self.bytes, self.fields] {
            packed::put_varint(out, number);
        }
    }

    /// Takes it from the front of a record's value.
    pub fn take(first: Id, rest: &mut &[u8]) -> Result<Page> {
        let last = Id::take(rest)?;
        let mut number = || packed::take_number(rest);
        Ok(Page { first, last, live: number()?, dead: number()?, bytes: number()?, fields: number()? })
    }
}

/// Tells entries with other fields apart. Where chance makes two alike, a page is thought to be a little smaller.
fn checksum(words: &[Bytes]) -> u64 {
    let mut hasher = crc32fast::Hasher::new();
    for field in words.iter().step_by(2) {
        hasher.update(&(field.len() as u64).to_be_bytes());
        hasher.update(field);
    }
    hasher.finalize().into()
}

/// Bytes of a word in a listpack: of a number, if it is one.
fn word_bytes(word: &[u8]) -> u64 {
    match integer::parse(word) {
        Some(number) => signed_bytes(number),
        None => {
            let length = word.len() as u64;
            with_length_behind(
                length
                    + if length < 64 {
                        1
                    } else if length < 4096 {
                        2
                    } else {
                        5
                    },
            )
        }
    }
}

fn number_bytes(number: u64) -> u64 {
    signed_bytes(number as i64)
}

fn signed_bytes(number: i64) -> u64 {
    with_length_behind(match number {
        0..=127 => 1,
        -4096..=4095 => 2,
        -32_768..=32_767 => 3,
        -8_388_608..=8_388_607 => 4,
        -2_147_483_648..=2_147_483_647 => 5,
        _ => 9,
    })
}

/// Each element is followed by its own length, for who comes from behind.
fn with_length_behind(bytes: u64) -> u64 {
    bytes
        + match bytes {
            0..=127 => 1,
            128..=16_382 => 2,
            16_383..=2_097_150 => 3,
            2_097_151..=268_435_454 => 4,
            _ => 5,
        }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(words: &[&str]) -> Vec<Bytes> {
        words.iter().map(|word| Bytes::copy_from_slice(word.as_bytes())).collect()
    }

    #[test]
    fn a_page_has_the_bytes_of_a_listpack() {
        let entry = words(&["f", "value"]);
        let mut page = Page::new(Id { ms: 5, seq: 0 }, &entry);
        // Frame, two counts, number of fields, "f", end of the fields.
        let start = 7 + 2 + 2 + 2 + 3 + 2;
        assert_eq!(page.bytes + number_bytes(0) + number_bytes(0), start);
        page.push(Id { ms: 5, seq: 0 }, &entry);
        // Flags, two differences, "value", number of parts.
        let first = start + 2 + 2 + 2 + 7 + 2;
        assert_eq!(page.bytes + number_bytes(1) + number_bytes(0), first);
        page.push(Id { ms: 1_000, seq: 0 }, &words(&["g", "300"]));
        // Other fields: their number, and "g".
        assert_eq!(page.bytes + number_bytes(2) + number_bytes(0), first + 2 + 3 + 2 + 2 + 3 + 3 + 2);
        assert_eq!((page.live, page.last), (2, Id { ms: 1_000, seq: 0 }));
        let record = page.encode();
        assert_eq!(Page::take(page.first, &mut &record[..]), Ok(page));
        assert!(page.remove(2) && !page.remove(1));
        assert_eq!((page.live, page.dead), (0, 2));
    }

    #[test]
    fn a_page_is_full_by_entries_or_bytes() {
        let (thresholds, small) = (Thresholds::REDIS, words(&["f", "v"]));
        let mut page = Page::new(Id { ms: 1, seq: 1 }, &small);
        for seq in 1..=100 {
            assert!(page.has_room(&small, &thresholds));
            page.push(Id { ms: 1, seq }, &small);
        }
        assert!(!page.has_room(&small, &thresholds));
        assert!(page.has_room(&small, &Thresholds { stream_node_entries_max: 0, ..thresholds }));
        let large = words(&["f", &"v".repeat(4_000)]);
        let mut page = Page::new(Id { ms: 1, seq: 1 }, &large);
        page.push(Id { ms: 1, seq: 1 }, &large);
        assert!(page.has_room(&small, &thresholds) && !page.has_room(&large, &thresholds));
        assert!(page.has_room(&large, &Thresholds { stream_node_bytes_max: 0, ..thresholds }));
    }

    #[test]
    fn sizes_of_elements() {
        for (word, bytes) in [("", 2), ("0", 2), ("127", 2), ("128", 3), ("-1", 3), ("4096", 4), ("32768", 5)] {
            assert_eq!(word_bytes(word.as_bytes()), bytes, "{word}");
        }
        assert_eq!((word_bytes(b"8388608"), word_bytes(b"2147483648"), word_bytes(b"01")), (6, 10, 4));
        assert_eq!((word_bytes(&[b'x'; 63]), word_bytes(&[b'x'; 64]), word_bytes(&[b'x'; 5_000])), (65, 67, 5_007));
    }
}
