//! How many requests of one connection are planned together. More of them gain little, their replies are in memory as a
//! whole, and others wait while they run: so a batch follows the size of its replies, and clients that always have
//! more to ask than may be planned share a number of requests.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// Requests of one batch, while nobody else fills theirs.
const REQUESTS_MAX: usize = 192;
/// Requests of the batches of several connections that fill theirs, together: somebody else's answer waits for them.
const REQUESTS_SHARED: usize = 96;
/// So many of a connection of which nothing is known yet.
const REQUESTS_FIRST: usize = 16;
/// So many at least, however many connections fill their batches.
const REQUESTS_SHARE_MIN: usize = 24;
/// Reply bytes of one batch to aim at: they are in memory as a whole, on the way from another node several times.
const REPLY_BYTES_TARGET: usize = 1 << 20;

/// The connections of a listener that fill their batches.
#[derive(Clone, Default)]
pub(super) struct Crowd(Arc<AtomicUsize>);

/// The batches of one connection.
pub(super) struct Batches {
    crowd: Crowd,
    is_counted: bool,
    most: usize,
}

impl Batches {
    /// Of a connection that asked nothing yet.
    pub fn new(crowd: Crowd) -> Batches {
        Batches { crowd, is_counted: false, most: REQUESTS_FIRST }
    }

    /// Requests to plan together next.
    pub fn most(&self) -> usize {
        self.most
    }

    /// After `asked` requests were answered with `replied` bytes: as many as aim at the target, not many more than before,
    /// and no more than the connection's share.
    pub fn learn(&mut self, asked: usize, replied: usize) {
        // Those whose replies are large are held back by that already.
        let is_full = asked >= self.most && replied <= REPLY_BYTES_TARGET / 2;
        self.count(is_full);
        if replied > REPLY_BYTES_TARGET {
            self.most = (asked * REPLY_BYTES_TARGET / replied).max(1);
        } else if is_full {
            let share = match self.crowd.0.load(Relaxed) {
                0 | 1 => REQUESTS_MAX,
                several => (REQUESTS_SHARED / several).max(REQUESTS_SHARE_MIN),
            };
            self.most = (self.most * 2).min(share);
        }
    }

    /// Nothing is left to ask for now.
    pub fn rest(&mut self) {
        self.count(false);
    }

    fn count(&mut self, is_full: bool) {
        if is_full != self.is_counted {
            self.is_counted = is_full;
            let crowd = &self.crowd.0;
            let _ = if is_full { crowd.fetch_add(1, Relaxed) } else { crowd.fetch_sub(1, Relaxed) };
        }
    }
}

impl Drop for Batches {
    fn drop(&mut self) {
        self.rest();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(most: usize, asked: usize, replied: usize) -> usize {
        let mut batches = Batches::new(Crowd::default());
        batches.most = most;
        batches.learn(asked, replied);
        batches.most()
    }

    #[test]
    fn rule_40_batches_follow_the_size_of_their_replies() {
        let target = REPLY_BYTES_TARGET;
        assert_eq!(after(16, 16, 80), 32, "full, and little to say");
        assert_eq!(after(160, 160, 80), REQUESTS_MAX);
        assert_eq!(after(64, 3, 80), 64, "not full: nothing new is known");
        assert_eq!(after(64, 64, target * 3 / 4), 64, "twice as many would be too many");
        assert_eq!(after(64, 64, 64 << 16), 16, "64 KiB each");
        assert_eq!(after(16, 1, 100 * target), 1);
    }

    #[test]
    fn connections_that_fill_their_batches_share_a_number_of_requests() {
        let crowd = Crowd::default();
        let mut deep: Vec<_> = (0..3).map(|_| Batches::new(crowd.clone())).collect();
        let fill = |batches: &mut Batches| {
            for _ in 0..8 {
                batches.learn(batches.most(), 80);
            }
        };
        fill(&mut deep[0]);
        assert_eq!(deep[0].most(), REQUESTS_MAX, "alone");
        for _ in 0..2 {
            deep.iter_mut().for_each(fill);
        }
        assert!(deep.iter().all(|batches| batches.most() == REQUESTS_SHARED / 3));
        let mut other = Batches::new(crowd.clone());
        other.learn(10, 80);
        assert_eq!(crowd.0.load(Relaxed), 3, "one that asks less is not counted");
        deep.truncate(1);
        fill(&mut deep[0]);
        assert_eq!(deep[0].most(), REQUESTS_MAX, "alone again");
        deep[0].rest();
        assert_eq!(crowd.0.load(Relaxed), 0);
    }
}
