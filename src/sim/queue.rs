//! The order of all things: one queue of events by virtual time, and by order of creation among equals.
//!
//! Invariant: time never goes back, and two runs that push the same events pop them in the same order. There is no
//! second source of order in the simulator: no thread, no hash map iteration, no address.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use crate::base::Nanos;

/// Events that will happen. The heap holds only places, so that large events are moved twice and not log n times.
pub struct Queue<E> {
    now: Nanos,
    sequence: u64,
    heap: BinaryHeap<Reverse<(Nanos, u64, u32)>>,
    events: Vec<Option<E>>,
    free: Vec<u32>,
}

impl<E> Default for Queue<E> {
    fn default() -> Queue<E> {
        Queue { now: Nanos(0), sequence: 0, heap: BinaryHeap::new(), events: Vec::new(), free: Vec::new() }
    }
}

impl<E> Queue<E> {
    /// True time: what no node of the world can read.
    pub fn now(&self) -> Nanos {
        self.now
    }

    /// Lets an event happen at a moment; one that is over already means now.
    pub fn at(&mut self, time: Nanos, event: E) {
        let place = match self.free.pop() {
            Some(place) => {
                self.events[place as usize] = Some(event);
                place
            }
            None => {
                self.events.push(Some(event));
                self.events.len() as u32 - 1
            }
        };
        self.sequence += 1;
        self.heap.push(Reverse((time.max(self.now), self.sequence, place)));
    }

    /// Lets an event happen after a while.
    pub fn after(&mut self, delay: Duration, event: E) {
        self.at(self.now + delay, event);
    }

    /// The next event; the time becomes its own.
    pub fn pop(&mut self) -> Option<E> {
        let Reverse((time, _, place)) = self.heap.pop()?;
        self.now = time;
        self.free.push(place);
        self.events[place as usize].take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_come_by_time_and_then_by_order_of_creation() {
        let mut queue = Queue::default();
        queue.at(Nanos(20), 'c');
        queue.at(Nanos(10), 'a');
        queue.at(Nanos(10), 'b');
        assert_eq!((queue.pop(), queue.now()), (Some('a'), Nanos(10)));
        queue.at(Nanos(5), 'x');
        assert_eq!((queue.pop(), queue.now()), (Some('b'), Nanos(10)));
        assert_eq!((queue.pop(), queue.now()), (Some('x'), Nanos(10)), "the past means now");
        queue.after(Duration::from_nanos(10), 'd');
        assert_eq!([queue.pop(), queue.pop(), queue.pop()], [Some('c'), Some('d'), None]);
    }
}
