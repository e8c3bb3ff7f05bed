//! What reading leaves behind, in memory only: how many lookups found a key, how many keys ended, when a key was last
//! touched. Nothing here is replicated, and nothing that is replicated depends on it.
//!
//! The access clock has a fixed size: keys share its cells by their hash, so a key may seem touched more recently
//! than it was, never less recently. It starts with the process.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

use crate::base::Millis;
use crate::store::keys;

/// Cells of the access clock: 256 KiB.
const CELLS: usize = 1 << 16;

/// Traces of evaluations on one node. Shared by everyone who evaluates there.
#[derive(Debug, Default)]
pub struct Usage {
    hits: AtomicU64,
    misses: AtomicU64,
    expired: AtomicU64,
    /// Seconds of the last touch, 0 for none; made by the first touch.
    touched: OnceLock<Box<[AtomicU32]>>,
    /// Seconds of the first touch of any key: no idle time reaches back further.
    first: AtomicU32,
}

/// What a command's lookups leave behind, as Redis decides it for each command.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Manner {
    /// Whether they count as hits and misses.
    pub counts: bool,
    /// Whether they move the key's access clock.
    pub touches: bool,
    /// Whether a miss is no event (`keymiss`), though it counts.
    pub is_quiet: bool,
}

/// Sums since the start, or since [`Usage::reset`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lookups {
    /// Reading lookups that found a key.
    pub hits: u64,
    /// Reading lookups that found none.
    pub misses: u64,
    /// Keys that ended by their deadline.
    pub expired: u64,
}

impl Usage {
    /// The sums.
    pub fn lookups(&self) -> Lookups {
        Lookups {
            hits: self.hits.load(Relaxed),
            misses: self.misses.load(Relaxed),
            expired: self.expired.load(Relaxed),
        }
    }

    /// Sets the sums to zero; the access clock goes on.
    pub fn reset(&self) {
        [&self.hits, &self.misses, &self.expired].into_iter().for_each(|sum| sum.store(0, Relaxed));
    }

    /// A key, by its head record, was looked up.
    pub(super) fn looked_up(&self, record: &[u8], found: bool, manner: Manner, now: Millis) {
        if manner.counts {
            if found { &self.hits } else { &self.misses }.fetch_add(1, Relaxed);
        }
        if found && manner.touches {
            self.touch(record, now);
        }
    }

    /// A key was read or written.
    pub(super) fn touch(&self, record: &[u8], now: Millis) {
        let (cell, now) = (self.cell(record), seconds(now));
        // Most touches of a key come within one second: no write, no contention.
        if cell.load(Relaxed) != now {
            cell.store(now, Relaxed);
            let _ = self.first.compare_exchange(0, now, Relaxed, Relaxed);
        }
    }

    /// A key ended by its deadline.
    pub(super) fn ended(&self) {
        self.expired.fetch_add(1, Relaxed);
    }

    /// Seconds since a key was last touched.
    pub(super) fn idle_seconds(&self, record: &[u8], now: Millis) -> u32 {
        let last = match self.cell(record).load(Relaxed) {
            0 => self.first.load(Relaxed),
            touched => touched,
        };
        if last == 0 { 0 } else { seconds(now).saturating_sub(last) }
    }

    fn cell(&self, record: &[u8]) -> &AtomicU32 {
        let cells = self.touched.get_or_init(|| (0..CELLS).map(|_| AtomicU32::new(0)).collect());
        &cells[keys::head_hash(record) as usize % CELLS]
    }
}

/// Whole seconds, never 0: that stands for never.
fn seconds(now: Millis) -> u32 {
    ((now.0 / 1000) as u32).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const READS: Manner = Manner { counts: true, touches: true, is_quiet: false };
    const LOOKS: Manner = Manner { counts: true, touches: false, is_quiet: false };
    const WRITES: Manner = Manner { counts: false, touches: true, is_quiet: false };

    #[test]
    fn lookups_count_and_touch_as_they_are_told() {
        let usage = Usage::default();
        let at = |seconds: u64| Millis(seconds * 1000);
        let (k, other) = (&keys::head(0, b"k")[..], &keys::head(0, b"other")[..]);
        assert_eq!(usage.idle_seconds(k, at(100)), 0, "nothing is known yet");
        usage.looked_up(k, true, READS, at(100));
        usage.looked_up(k, false, READS, at(101));
        usage.looked_up(k, true, LOOKS, at(102));
        assert_eq!(usage.idle_seconds(k, at(107)), 7);
        assert_eq!(usage.idle_seconds(other, at(107)), 7, "as old as anything that is known");
        usage.looked_up(k, true, WRITES, at(110));
        assert_eq!(usage.idle_seconds(k, at(110)), 0);
        assert_eq!(usage.idle_seconds(k, at(90)), 0, "clocks may go back");
        usage.ended();
        assert_eq!(usage.lookups(), Lookups { hits: 2, misses: 1, expired: 1 });
        usage.reset();
        assert_eq!(usage.lookups(), Lookups::default());
    }
}
