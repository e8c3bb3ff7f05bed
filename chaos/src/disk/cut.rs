//! What a power cut leaves of a file's bytes.
//!
//! A disk writes what it was given in the order that it likes. For what a file gained at its end, journaling file systems
//! keep an order: from some change on all is lost, the first of it possibly torn. Bytes that were overwritten in place have
//! none: each block, on its own, is what it was after any of the changes since the last sync, or torn between two of
//! these. Nothing else may come of it: neither zeros where old bytes were, nor what nobody wrote.

use std::collections::BTreeMap;
use std::ops::Range;

use super::image::Loss;
use crate::dice::Dice;

/// What is written back by itself, and what a disk writes whole.
const BLOCK: usize = 4096;
const SECTOR: usize = 512;
/// How many of a hundred files keep their blocks in no order; the others keep all up to some change.
const NO_ORDER_PERCENT: u64 = 60;
/// How many of a hundred files lose nothing from some change on.
const WHOLE_PERCENT: u64 = 20;
/// How many of a hundred changes that are the first to be lost leave a part behind.
const TORN_PERCENT: u64 = 70;

/// Takes back one change of a file's content.
#[derive(Debug)]
pub struct Undo {
    offset: usize,
    /// What was there and was overwritten or cut off.
    old: Vec<u8>,
    length_before: usize,
    /// Bytes that a write brought; 0 for a change of length.
    written: usize,
}

impl Undo {
    /// Of a write that is about to happen.
    pub fn of_write(bytes: &[u8], offset: usize, written: usize) -> Undo {
        let overwritten = offset.min(bytes.len())..(offset + written).min(bytes.len());
        Undo { offset, old: bytes[overwritten].to_vec(), length_before: bytes.len(), written }
    }

    /// Of a new length that is about to come.
    pub fn of_length(bytes: &[u8], length: usize) -> Undo {
        let offset = length.min(bytes.len());
        Undo { offset, old: bytes[offset..].to_vec(), length_before: bytes.len(), written: 0 }
    }

    fn apply(&self, bytes: &mut Vec<u8>) {
        bytes.resize(self.length_before, 0);
        let start = self.offset.min(self.length_before);
        bytes[start..start + self.old.len()].copy_from_slice(&self.old);
    }
}

/// Puts data at an offset; a gap before it becomes zeros.
pub fn put(bytes: &mut Vec<u8>, offset: usize, data: &[u8]) {
    let end = offset + data.len();
    if bytes.len() < end {
        bytes.resize(end, 0);
    }
    bytes[offset..end].copy_from_slice(data);
}

/// What the blocks of a file were that were overwritten in place, by the number of the block: newest first.
type Versions = BTreeMap<usize, Vec<Vec<u8>>>;

/// What was found on the way back to what is durable.
#[derive(Default)]
struct Past {
    /// The content after the changes that are kept.
    kept: Vec<u8>,
    /// What the next change may leave behind, and where.
    torn: Option<(usize, Vec<u8>)>,
    /// Of blocks that were in place all the time until then.
    versions: Versions,
}

/// Leaves of a file's content what a cut leaves of it.
pub fn lose(bytes: &mut Vec<u8>, unsynced: Vec<Undo>, dice: &mut Dice, loss: &mut Loss) {
    let count = unsynced.len() as u64;
    let keep = if dice.chance(WHOLE_PERCENT) { count } else { dice.below(count) } as usize;
    let lengths: Vec<usize> = unsynced.iter().map(|undo| undo.length_before).chain([bytes.len()]).collect();
    let Past { kept, torn, versions } = walk_back(bytes, &unsynced, &lengths, keep, dice);
    *bytes = kept;
    for undo in &unsynced[keep..] {
        loss.writes += 1;
        loss.bytes += undo.written as u64;
    }
    if let Some((offset, part)) = torn.filter(|(_, part)| !part.is_empty()) {
        loss.torn += 1;
        put(bytes, offset, &part);
    }
    if dice.chance(NO_ORDER_PERCENT) {
        for (block, versions) in &versions {
            let (chosen, is_torn) = any_of(versions, dice);
            loss.torn += u64::from(is_torn);
            loss.stale += u64::from(versions.first() != Some(&chosen));
            let start = block * BLOCK;
            bytes[start..start + chosen.len()].copy_from_slice(&chosen);
        }
    }
}

/// Undoes everything, the newest first; the first `keep` changes are kept.
fn walk_back(bytes: &mut Vec<u8>, unsynced: &[Undo], lengths: &[usize], keep: usize, dice: &mut Dice) -> Past {
    let in_place = lengths[..=keep].iter().copied().min().unwrap_or(0);
    let blocks = |range: Range<usize>| range.start / BLOCK..range.end.min(in_place).div_ceil(BLOCK);
    let extent = |block: usize| block * BLOCK..((block + 1) * BLOCK).min(in_place);
    // A block that is cut off after what is kept is another one when the file grows again.
    let whole_until = |end: usize| {
        let cut_off = lengths.iter().skip(keep + 1).position(|length| *length < end);
        cut_off.map_or(lengths.len(), |at| keep + 1 + at)
    };
    let mut ends: BTreeMap<usize, usize> = BTreeMap::new();
    let mut past = Past::default();
    if keep == unsynced.len() {
        past.kept.clone_from(bytes);
    }
    for (at, undo) in unsynced.iter().enumerate().rev() {
        if undo.written > 0 {
            for block in blocks(undo.offset..undo.offset + undo.written) {
                let end = *ends.entry(block).or_insert_with(|| whole_until(extent(block).end));
                let of_block = past.versions.entry(block).or_default();
                if at + 1 < end {
                    of_block.push(bytes[extent(block)].to_vec());
                }
            }
        }
        if at == keep && undo.written > 1 && dice.chance(TORN_PERCENT) {
            past.torn = Some(first_of(bytes, undo, dice));
        }
        undo.apply(bytes);
        if at == keep {
            past.kept.clone_from(bytes);
        }
    }
    for (block, of_block) in &mut past.versions {
        of_block.push(bytes[extent(*block)].to_vec());
    }
    past
}

/// A part of a write: whole sectors of it, some bytes, or, where the file grew, the length without the bytes.
fn first_of(bytes: &[u8], undo: &Undo, dice: &mut Dice) -> (usize, Vec<u8>) {
    let end = undo.offset + undo.written;
    let grown_from = undo.offset.max(undo.length_before);
    match dice.below(3) {
        0 => (undo.offset, bytes[undo.offset..undo.offset + undo.written / SECTOR * SECTOR].to_vec()),
        1 if grown_from < end => (grown_from, vec![0; end - grown_from]),
        _ => {
            let length = dice.between(1, undo.written as u64 - 1) as usize;
            (undo.offset, bytes[undo.offset..undo.offset + length].to_vec())
        }
    }
}

/// A version of a block, or two of them torn; true when what came of it is neither.
fn any_of(versions: &[Vec<u8>], dice: &mut Dice) -> (Vec<u8>, bool) {
    let newer = dice.below(versions.len() as u64) as usize;
    let older = dice.between(newer as u64, versions.len() as u64 - 1) as usize;
    let (newer, older) = (&versions[newer], &versions[older]);
    let cut = dice.below(newer.len() as u64 + 1) as usize;
    let torn: Vec<u8> = match dice.below(6) {
        0 => older.iter().take(cut).chain(newer.iter().skip(cut)).copied().collect(),
        1 => newer.iter().take(cut).chain(older.iter().skip(cut)).copied().collect(),
        2 => {
            let sectors = newer.chunks(SECTOR).zip(older.chunks(SECTOR));
            sectors.flat_map(|(newer, older)| if dice.chance(50) { newer } else { older }).copied().collect()
        }
        3 | 4 => older.clone(),
        _ => newer.clone(),
    };
    let is_torn = torn != *newer && torn != *older;
    (torn, is_torn)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file, and what was done to it since its last sync.
    struct File {
        bytes: Vec<u8>,
        unsynced: Vec<Undo>,
    }

    impl File {
        fn synced(bytes: Vec<u8>) -> File {
            File { bytes, unsynced: Vec::new() }
        }

        fn write(&mut self, offset: usize, data: &[u8]) {
            self.unsynced.push(Undo::of_write(&self.bytes, offset, data.len()));
            put(&mut self.bytes, offset, data);
        }

        fn set_length(&mut self, length: usize) {
            self.unsynced.push(Undo::of_length(&self.bytes, length));
            self.bytes.resize(length, 0);
        }

        fn cut(mut self, seed: u64) -> (Vec<u8>, Loss) {
            let mut loss = Loss::default();
            lose(&mut self.bytes, self.unsynced, &mut Dice::new(seed), &mut loss);
            (self.bytes, loss)
        }
    }

    #[test]
    fn overwritten_blocks_are_old_new_or_torn_in_any_order() {
        let mut seen = [false; 6];
        for seed in 0..2000 {
            let mut file = File::synced(vec![1; 3 * BLOCK + 100]);
            file.write(0, &vec![2; 3 * BLOCK + 100]);
            file.write(BLOCK, &vec![3; BLOCK]);
            let (bytes, loss) = file.cut(seed);
            assert_eq!(bytes.len(), 3 * BLOCK + 100, "seed {seed}");
            let blocks: Vec<&[u8]> = bytes.chunks(BLOCK).collect();
            for (number, block) in blocks.iter().enumerate() {
                let most = if number == 1 { 3 } else { 2 };
                assert!(block.iter().all(|byte| (1..=most).contains(byte)), "seed {seed}, block {number}");
            }
            let all = |block: &[u8], value: u8| block.iter().all(|byte| *byte == value);
            let is_torn = |block: &[u8]| !(1..=3).any(|value| all(block, value));
            seen[0] |= bytes.iter().all(|byte| *byte == 1) && loss.writes == 2;
            seen[1] |= all(blocks[1], 3) && all(blocks[0], 2) && all(blocks[2], 2) && loss == Loss::default();
            // Later blocks without earlier ones, and the last write of all without the one before it.
            seen[2] |= all(blocks[0], 1) && all(blocks[2], 2);
            seen[3] |= all(blocks[0], 1) && all(blocks[1], 3);
            seen[4] |= blocks.iter().any(|block| is_torn(block)) && loss.torn > 0;
            let boundary = |block: &[u8]| (1..block.len()).any(|at| at % SECTOR != 0 && block[at] != block[at - 1]);
            seen[5] |= boundary(blocks[0]);
        }
        assert_eq!(seen, [true; 6]);
    }

    #[test]
    fn what_is_prepared_and_synced_is_filled_in_any_order_and_never_shrinks() {
        let (mut hole, mut whole) = (false, false);
        for seed in 0..500 {
            let mut log = File::synced(vec![0; 8 * BLOCK]);
            for record in 0..8 {
                log.write(record * BLOCK, &[7; BLOCK]);
            }
            let (bytes, _) = log.cut(seed);
            assert_eq!(bytes.len(), 8 * BLOCK);
            assert!(bytes.iter().all(|byte| [0, 7].contains(byte)), "seed {seed}");
            let is_there: Vec<bool> = bytes.chunks(BLOCK).map(|block| block.iter().all(|byte| *byte == 7)).collect();
            hole |= is_there.windows(2).any(|pair| pair == [false, true]);
            whole |= is_there.iter().all(|there| *there);
        }
        assert!(hole && whole);
    }

    #[test]
    fn what_a_file_gained_comes_in_order_while_old_bytes_stay_old_or_new() {
        let mut seen = [false; 3];
        for seed in 0..1000 {
            let mut file = File::synced(vec![1; BLOCK]);
            file.write(BLOCK - 10, &[2; 20]);
            file.write(BLOCK + 10, &[3; 1000]);
            file.write(0, &[4; 10]);
            let (bytes, _) = file.cut(seed);
            assert!(bytes.len() >= BLOCK, "seed {seed}");
            assert!(bytes[..10].iter().all(|byte| [1, 4].contains(byte)), "seed {seed}");
            assert!(bytes[10..BLOCK - 10].iter().all(|byte| *byte == 1), "seed {seed}");
            assert!(bytes[BLOCK - 10..BLOCK].iter().all(|byte| [1, 2].contains(byte)), "seed {seed}: no zeros");
            let gained = &bytes[BLOCK..];
            let threes = gained.iter().filter(|byte| **byte == 3).count();
            let first = &gained[..gained.len().min(10)];
            // The second append only follows a whole first one.
            assert!(threes == 0 || first == [2; 10], "seed {seed}");
            seen[0] |= gained.is_empty();
            seen[1] |= threes == 1000;
            seen[2] |= gained.is_empty() && bytes[..10] == [4; 10];
        }
        assert_eq!(seen, [true; 3]);
    }

    #[test]
    fn a_file_that_is_emptied_and_filled_again_is_never_a_mixture() {
        let mut seen = [false; 3];
        for seed in 0..500 {
            let mut file = File::synced(vec![1; 2 * BLOCK]);
            file.set_length(0);
            file.write(0, &[2; BLOCK]);
            let (bytes, _) = file.cut(seed);
            let (ones, twos) =
                (bytes.iter().filter(|byte| **byte == 1).count(), bytes.iter().filter(|byte| **byte == 2).count());
            assert!(ones == 0 || (ones == 2 * BLOCK && twos == 0), "seed {seed}: {ones} and {twos}");
            seen[0] |= ones > 0;
            seen[1] |= bytes.is_empty();
            seen[2] |= twos == BLOCK;
        }
        assert_eq!(seen, [true; 3]);
    }

    #[test]
    fn a_cut_repeats_with_its_seed() {
        let cut = |seed| {
            let mut file = File::synced(vec![1; 3 * BLOCK]);
            file.write(100, &[2; 2 * BLOCK]);
            file.cut(seed)
        };
        assert_eq!(cut(5), cut(5));
        assert!((0..50).any(|seed| cut(seed) != cut(5)));
    }
}
