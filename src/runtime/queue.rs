//! Hand-over from many threads to one that takes everything at once. The bound is in bytes: who pushes is told
//! when it is full, and decides what that means (a refusal, a dropped raft message).
//!
//! Why not a ready-made channel: the consumer here always wants all there is, so one lock and one swap per turn
//! replace one synchronised pop per item, and a producer pays for a wake-up only when the consumer sleeps.

use std::mem;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

/// Many producers, one consumer. Shared by reference or `Arc`.
pub struct Queue<T> {
    inner: Mutex<Inner<T>>,
    filled: Condvar,
    bytes_max: usize,
}

struct Inner<T> {
    items: Vec<T>,
    bytes: usize,
    sleeping: bool,
    closed: bool,
}

/// The item did not fit, or nobody will ever take it.
#[derive(Debug, PartialEq, Eq)]
pub struct Full<T>(pub T);

impl<T> Queue<T> {
    /// An empty queue that holds up to `bytes_max` bytes, and always at least one item.
    pub fn new(bytes_max: usize) -> Queue<T> {
        let inner = Inner { items: Vec::new(), bytes: 0, sleeping: false, closed: false };
        Queue { inner: Mutex::new(inner), filled: Condvar::new(), bytes_max }
    }

    /// Appends an item that weighs `bytes`, or gives it back when the queue is full or closed.
    pub fn push(&self, item: T, bytes: usize) -> Result<(), Full<T>> {
        self.push_waking_if(item, bytes, |_| true)
    }

    /// [`Queue::push`], but a sleeping consumer is only woken when `wakes` says so: it is asked under the queue's lock,
    /// with the bytes that wait now, so that what the consumer made known before it fell asleep is what it sees.
    pub fn push_waking_if(&self, item: T, bytes: usize, wakes: impl FnOnce(usize) -> bool) -> Result<(), Full<T>> {
        let mut inner = self.inner.lock();
        if inner.closed || (inner.bytes > 0 && inner.bytes + bytes > self.bytes_max) {
            return Err(Full(item));
        }
        inner.bytes += bytes;
        inner.items.push(item);
        if inner.sleeping && wakes(inner.bytes) {
            self.wake(&mut inner);
        }
        Ok(())
    }

    /// Appends an item past the bound. For what must not be lost and is bounded elsewhere: answers to work that was
    /// admitted, ticks, stop signs. Nothing happens once the queue is closed.
    pub fn push_unbounded(&self, item: T) {
        let mut inner = self.inner.lock();
        if !inner.closed {
            inner.items.push(item);
            self.wake(&mut inner);
        }
    }

    /// Appends many items past the bound under one lock.
    pub fn extend_unbounded(&self, items: &mut Vec<T>) {
        self.extend(items, true);
    }

    /// Appends many items past the bound and leaves the consumer asleep: for what nobody waits for, which is taken with
    /// whatever comes next. The consumer must not rely on it to arrive before its patience ends.
    pub fn extend_quietly(&self, items: &mut Vec<T>) {
        self.extend(items, false);
    }

    fn extend(&self, items: &mut Vec<T>, wakes: bool) {
        if items.is_empty() {
            return;
        }
        let mut inner = self.inner.lock();
        if inner.closed {
            items.clear();
            return;
        }
        inner.items.append(items);
        if wakes {
            self.wake(&mut inner);
        }
    }

    fn wake(&self, inner: &mut Inner<T>) {
        // Cleared here, so that the second of two quick producers does not pay for a wake-up that is under way.
        if mem::take(&mut inner.sleeping) {
            self.filled.notify_one();
        }
    }

    /// Moves everything into `into` (which must be empty), waiting up to `patience` for the first item. The bytes
    /// count as gone. False once the queue is closed and empty.
    pub fn take(&self, into: &mut Vec<T>, patience: Option<Duration>) -> bool {
        let mut inner = self.inner.lock();
        if inner.items.is_empty() && !inner.closed {
            inner.sleeping = true;
            match patience {
                Some(patience) => {
                    self.filled.wait_for(&mut inner, patience);
                }
                None => {
                    self.filled.wait_while(&mut inner, |inner| {
                        let wait = inner.items.is_empty() && !inner.closed;
                        inner.sleeping = wait;
                        wait
                    });
                }
            }
            inner.sleeping = false;
        }
        inner.bytes = 0;
        mem::swap(&mut inner.items, into);
        !(into.is_empty() && inner.closed)
    }

    /// Moves what is there into `into` without waiting.
    pub fn take_ready(&self, into: &mut Vec<T>) {
        let mut inner = self.inner.lock();
        inner.bytes = 0;
        into.append(&mut inner.items);
    }

    /// Takes out what `which` names, in order: all that weighs, and nothing else.
    pub fn take_weighed(&self, which: impl Fn(&T) -> bool) -> Vec<T> {
        let mut inner = self.inner.lock();
        inner.bytes = 0;
        inner.items.extract_if(.., |item| which(item)).collect()
    }

    /// Refuses all that comes from now on; the consumer still gets what is there.
    pub fn close(&self) {
        let mut inner = self.inner.lock();
        inner.closed = true;
        self.filled.notify_all();
    }

    /// Bytes that wait now.
    pub fn bytes(&self) -> usize {
        self.inner.lock().bytes
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::thread;

    use super::*;

    #[test]
    fn rule_40_a_full_queue_gives_the_item_back() {
        let queue = Queue::new(10);
        assert_eq!(queue.push('a', 100), Ok(()), "one item always fits, whatever its size");
        assert_eq!(queue.push('b', 1), Err(Full('b')));
        queue.push_unbounded('c');
        let mut taken = Vec::new();
        assert!(queue.take(&mut taken, None));
        assert_eq!(taken, ['a', 'c']);
        assert_eq!(queue.push('d', 1), Ok(()));
        assert_eq!(queue.bytes(), 1);
    }

    #[test]
    fn everything_pushed_before_the_close_arrives_in_order() {
        let queue = Arc::new(Queue::new(usize::MAX));
        let producer = thread::spawn({
            let queue = queue.clone();
            move || {
                for number in 0..10_000 {
                    queue.push(number, 1).expect("there is room");
                }
                queue.close();
            }
        });
        let (mut all, mut taken) = (Vec::new(), Vec::new());
        while queue.take(&mut taken, None) {
            all.append(&mut taken);
        }
        producer.join().expect("the producer ends");
        assert_eq!(all, (0..10_000).collect::<Vec<_>>());
        assert_eq!(queue.push(1, 1), Err(Full(1)));
    }

    #[test]
    fn a_quiet_item_wakes_nobody_and_keeps_its_place() {
        let queue = Queue::new(10);
        queue.extend_quietly(&mut vec!['a']);
        queue.push_unbounded('b');
        let mut taken = Vec::new();
        assert!(queue.take(&mut taken, None));
        assert_eq!(taken, ['a', 'b']);
        queue.inner.lock().sleeping = true;
        queue.extend_quietly(&mut vec!['c']);
        assert!(queue.inner.lock().sleeping, "who sleeps is not woken for it");
        queue.push_unbounded('d');
        assert!(!queue.inner.lock().sleeping);
    }

    #[test]
    fn only_who_sleeps_is_woken_and_only_if_it_is_worth_it() {
        let queue = Queue::new(10);
        assert_eq!(queue.push_waking_if('a', 2, |_| unreachable!("nobody sleeps")), Ok(()));
        queue.inner.lock().sleeping = true;
        assert_eq!(queue.push_waking_if('b', 3, |bytes| bytes > 5), Ok(()));
        assert!(queue.inner.lock().sleeping, "5 bytes wait");
        assert_eq!(queue.push_waking_if('c', 1, |bytes| bytes > 5), Ok(()));
        assert!(!queue.inner.lock().sleeping);
        assert_eq!(queue.push_waking_if('d', 5, |_| true), Err(Full('d')));
    }

    #[test]
    fn patience_ends() {
        let queue = Queue::<u8>::new(1);
        let mut taken = Vec::new();
        assert!(queue.take(&mut taken, Some(Duration::from_millis(1))), "empty, but not closed");
        assert!(taken.is_empty());
    }
}
