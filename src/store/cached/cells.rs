//! Whether a cached copy may be believed, per cell of the key space: one cell for each slot.
//!
//! A cell counts the writes that ever began and those under way, in one number, and the generations that made its
//! copies void. Relations: a cell is sure while no write is under way; a copy is good while the cell is sure and the
//! copy carries its generation; a value read from the engine may become a copy if the cell was sure before the read
//! and no write began since.
//!
//! Invariant: between `begin` and `end` of a write nothing is stored for the cell but by that write, and only if it
//! was alone.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::base::Mutant;
use crate::base::slot::SLOT_COUNT;

const CELLS: usize = SLOT_COUNT as usize;
/// Writes under way are counted in the low bits of the state, writes begun in the others.
const BEGUN_ONE: u64 = 1 << 16;
const UNDER_WAY: u64 = BEGUN_ONE - 1;
/// First two bytes of group records (see `keys`).
const GROUP_MARK: u16 = u16::MAX;

/// All cells.
pub(super) struct Cells(Box<[Cell]>);

struct Cell {
    state: AtomicU64,
    generation: AtomicU64,
    /// A copy was ever stored: without one a write has nothing to bring up to date.
    used: AtomicBool,
    /// Held to change the state and to store a copy, never while the engine works.
    lock: Mutex<()>,
}

/// What a cell was when a lookup came.
#[derive(Debug)]
pub(super) struct Seen {
    cell: usize,
    state: u64,
    generation: u64,
}

/// A write under way in a cell.
pub(super) struct Begun {
    pub(super) cell: usize,
    state: u64,
}

impl Seen {
    /// The generation that a copy must carry to be believed, if any is.
    pub(super) fn sure_generation(&self) -> Option<u64> {
        (self.state & UNDER_WAY == 0).then_some(self.generation)
    }
}

impl Cells {
    pub(super) fn new() -> Cells {
        let cell = || Cell {
            state: AtomicU64::new(0),
            generation: AtomicU64::new(0),
            used: AtomicBool::new(false),
            lock: Mutex::new(()),
        };
        Cells((0..CELLS).map(|_| cell()).collect())
    }

    /// Comes before the look into the cache. A write that begins afterwards runs beside this lookup, which may then
    /// answer with the value from before it.
    pub(super) fn look(&self, cell: usize) -> Seen {
        let state = self.0[cell].state.load(Ordering::SeqCst);
        Seen { cell, state, generation: self.generation(cell) }
    }

    pub(super) fn generation(&self, cell: usize) -> u64 {
        self.0[cell].generation.load(Ordering::SeqCst)
    }

    /// Voids all copies of the cell. Only within `end`, where lookups do not believe copies anyway.
    pub(super) fn new_generation(&self, cell: usize) {
        let voids = !Mutant::CopiesOutliveTheirState.is_in();
        self.0[cell].generation.fetch_add(u64::from(voids), Ordering::SeqCst);
    }

    /// Runs `store` unless a write began since `seen` or was under way then.
    pub(super) fn if_unchanged(&self, seen: &Seen, store: impl FnOnce(u64)) {
        if seen.state & UNDER_WAY != 0 {
            return;
        }
        let _locked = self.0[seen.cell].lock.lock();
        let unchanged = self.0[seen.cell].state.load(Ordering::SeqCst) == seen.state;
        if unchanged || Mutant::LateFillOverwrites.is_in() {
            self.0[seen.cell].used.store(true, Ordering::Relaxed);
            store(seen.generation);
        }
    }

    /// Whether the cell may have copies. Exact only within `end`: the lock is the one that copies are stored under.
    pub(super) fn is_used(&self, cell: usize) -> bool {
        self.0[cell].used.load(Ordering::Relaxed)
    }

    /// From now on lookups in the cell ask the engine. Comes before the engine is written.
    pub(super) fn begin(&self, cell: usize) -> Begun {
        let _locked = self.0[cell].lock.lock();
        let state = self.0[cell].state.fetch_add(BEGUN_ONE + 1, Ordering::SeqCst) + BEGUN_ONE + 1;
        Begun { cell, state }
    }

    /// The engine was written: runs `settle`, which is told whether no other write was under way in the cell at any
    /// time since `begin`, and lets lookups believe copies again.
    pub(super) fn end(&self, begun: &Begun, settle: impl FnOnce(bool)) {
        let cell = &self.0[begun.cell];
        let _locked = cell.lock.lock();
        let state = cell.state.load(Ordering::SeqCst);
        settle(state == begun.state && state & UNDER_WAY == 1);
        cell.state.store(state - 1, Ordering::SeqCst);
    }
}

/// The cell of a record; `None` for a group record, which is not cached.
pub(super) fn of_key(key: &[u8]) -> Option<usize> {
    let prefix = prefix(key);
    (prefix != GROUP_MARK).then_some(usize::from(prefix) % CELLS)
}

/// The cells that records from `start` to before `end` may be in.
pub(super) fn of_range(start: &[u8], end: &[u8]) -> impl Iterator<Item = usize> + use<> {
    let (first, last) = (usize::from(prefix(start)), usize::from(prefix(end).min(GROUP_MARK - 1)));
    let count = if start < end { (last + 1).saturating_sub(first).min(CELLS) } else { 0 };
    (first..first + count).map(|prefix| prefix % CELLS)
}

fn prefix(key: &[u8]) -> u16 {
    u16::from_be_bytes([key.first().copied().unwrap_or(0), key.get(1).copied().unwrap_or(0)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_cover_the_cells_of_their_keys() {
        let cells = |start: &[u8], end: &[u8]| of_range(start, end).collect::<Vec<_>>();
        assert_eq!(cells(b"\x01\x02", b"\x01\x04"), [0x102, 0x103, 0x104]);
        assert_eq!(cells(b"\x01\x02abc", b"\x01\x02abd"), [0x102]);
        assert_eq!(cells(b"\x01\x02", b"\x01\x02").len(), 0);
        assert_eq!(cells(b"b", b"a").len(), 0);
        assert_eq!(cells(b"", b"\xff\xff\xff").len(), CELLS);
        assert_eq!(cells(b"\xff\xff\0", b"\xff\xff\x01").len(), 0, "group records have no cell");
        assert_eq!((of_key(b"\xff\xff\0"), of_key(b"\x3f\xff"), of_key(b"")), (None, Some(CELLS - 1), Some(0)));
    }

    #[test]
    fn rule_38_a_value_read_before_a_write_never_becomes_a_copy() {
        let cells = Cells::new();
        let mut stored = 0;
        let seen = cells.look(7);
        cells.if_unchanged(&seen, |_| stored += 1);
        assert_eq!(stored, 1);
        let seen = cells.look(7);
        let begun = cells.begin(7);
        assert!(cells.look(7).sure_generation().is_none(), "unsure while a write is under way");
        cells.if_unchanged(&seen, |_| stored += 1);
        cells.if_unchanged(&cells.look(7), |_| stored += 1);
        cells.end(&begun, |alone| assert!(alone));
        cells.if_unchanged(&seen, |_| stored += 1);
        assert_eq!(stored, 1);
        assert_eq!(cells.look(7).sure_generation(), Some(0));
        cells.if_unchanged(&cells.look(7), |_| stored += 1);
        assert_eq!(stored, 2);
    }

    #[test]
    fn of_two_writes_at_a_time_none_stores_a_copy() {
        let cells = Cells::new();
        let (first, second) = (cells.begin(1), cells.begin(1));
        cells.end(&first, |alone| assert!(!alone));
        assert!(cells.look(1).sure_generation().is_none());
        cells.end(&second, |alone| assert!(!alone));
        assert!(cells.look(1).sure_generation().is_some());
        let third = cells.begin(1);
        cells.end(&third, |alone| assert!(alone));
    }
}
