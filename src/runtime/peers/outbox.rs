//! What waits for one peer: pushed by any thread, drained by the stream to that peer, everything at once.
//!
//! Invariant: nothing survives the stream it was meant for. Opening and closing both empty the box, so an old raft
//! message never follows a new connection (rule 15), and a forwarded batch is resent only by who numbered it.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use parking_lot::Mutex;
use tokio_stream::Stream;

/// Bytes after which a frame is closed and the next one started: large enough to amortise a frame, small enough
/// that a heartbeat behind it does not wait long.
const FRAME_BYTES_TARGET: usize = 1 << 20;

/// A queue towards one peer, bounded in bytes. Closed until a stream opens it.
pub struct Outbox<T> {
    inner: Mutex<Inner<T>>,
    bytes_max: usize,
}

struct Inner<T> {
    items: VecDeque<(T, usize)>,
    bytes: usize,
    /// Number of the stream that drains it, 0 for none.
    stream: u64,
    streams: u64,
    waker: Option<Waker>,
}

/// The consuming end. Yields vectors of about `FRAME_BYTES_TARGET`; closes the box when dropped.
pub struct Drain<T> {
    outbox: Arc<Outbox<T>>,
    stream: u64,
}

impl<T> Outbox<T> {
    /// A closed box for up to `bytes_max` bytes.
    pub fn new(bytes_max: usize) -> Outbox<T> {
        let inner = Inner { items: VecDeque::new(), bytes: 0, stream: 0, streams: 0, waker: None };
        Outbox { inner: Mutex::new(inner), bytes_max }
    }

    /// Appends items with their weights under one lock. Returns how many found no room or no stream; those are
    /// the last ones, so what goes out has no gap but at its end.
    pub fn push(&self, items: impl IntoIterator<Item = (T, usize)>) -> usize {
        let mut refused = 0;
        let waker = {
            let mut inner = self.inner.lock();
            for (item, bytes) in items {
                let fits = inner.bytes == 0 || inner.bytes + bytes <= self.bytes_max;
                if refused > 0 || inner.stream == 0 || !fits {
                    refused += 1;
                    continue;
                }
                inner.bytes += bytes;
                inner.items.push_back((item, bytes));
            }
            inner.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
        refused
    }

    /// Appends items with their weights, and for one that finds no room what takes its place, room or not: it should
    /// be small. Nothing is kept while no stream is there to take it.
    pub fn push_or(&self, items: impl IntoIterator<Item = (T, usize)>, instead: impl Fn(T) -> (T, usize)) {
        let waker = {
            let mut inner = self.inner.lock();
            if inner.stream == 0 {
                return;
            }
            for (item, bytes) in items {
                let fits = inner.bytes == 0 || inner.bytes + bytes <= self.bytes_max;
                let (item, bytes) = if fits { (item, bytes) } else { instead(item) };
                inner.bytes += bytes;
                inner.items.push_back((item, bytes));
            }
            inner.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Empties the box and opens it for a new stream; an older one gets nothing any more.
    pub fn open(self: &Arc<Self>) -> Drain<T> {
        let (stream, waker) = {
            let mut inner = self.inner.lock();
            inner.items.clear();
            inner.bytes = 0;
            inner.streams += 1;
            inner.stream = inner.streams;
            (inner.stream, inner.waker.take())
        };
        // The older stream's task must see that it ended.
        if let Some(waker) = waker {
            waker.wake();
        }
        Drain { outbox: self.clone(), stream }
    }

    /// Bytes that wait now.
    pub fn bytes(&self) -> usize {
        self.inner.lock().bytes
    }
}

impl<T> Stream for Drain<T> {
    type Item = Vec<T>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Vec<T>>> {
        let mut inner = self.outbox.inner.lock();
        if inner.stream != self.stream {
            return Poll::Ready(None);
        }
        if inner.items.is_empty() {
            inner.waker = Some(context.waker().clone());
            return Poll::Pending;
        }
        let mut frame = Vec::with_capacity(inner.items.len());
        let mut bytes = 0;
        while bytes < FRAME_BYTES_TARGET {
            let Some((item, weight)) = inner.items.pop_front() else { break };
            bytes += weight;
            frame.push(item);
        }
        inner.bytes -= bytes;
        Poll::Ready(Some(frame))
    }
}

impl<T> Drop for Drain<T> {
    fn drop(&mut self) {
        let mut inner = self.outbox.inner.lock();
        if inner.stream == self.stream {
            inner.stream = 0;
            inner.items.clear();
            inner.bytes = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio_stream::StreamExt;

    use super::*;

    #[test]
    fn rule_15_nothing_outlives_its_stream() {
        let outbox = Arc::new(Outbox::new(100));
        assert_eq!(outbox.push([('a', 1)]), 1, "closed: refused");
        let first = outbox.open();
        assert_eq!(outbox.push([('b', 1)]), 0);
        drop(first);
        assert_eq!(outbox.push([('c', 1)]), 1);
        let _second = outbox.open();
        assert_eq!(outbox.bytes(), 0);
    }

    #[test]
    fn rule_40_what_does_not_fit_is_refused_and_so_is_what_follows() {
        let outbox = Arc::new(Outbox::new(10));
        let _drain = outbox.open();
        assert_eq!(outbox.push([(1, 8), (2, 8), (3, 1)]), 2);
        assert_eq!(outbox.bytes(), 8);
    }

    #[test]
    fn rule_40_what_takes_the_place_of_a_large_item_always_fits() {
        let outbox = Arc::new(Outbox::new(10));
        let small = |item: i32| (-item, 1);
        outbox.push_or([(1, 8)], small);
        assert_eq!(outbox.bytes(), 0, "closed");
        let mut drain = outbox.open();
        outbox.push_or([(1, 8), (2, 8), (3, 1), (4, 8)], small);
        assert_eq!(outbox.bytes(), 11);
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        assert_eq!(runtime.block_on(drain.next()), Some(vec![1, -2, 3, -4]));
    }

    #[test]
    fn frames_are_closed_at_their_target_and_keep_the_order() {
        let outbox = Arc::new(Outbox::new(usize::MAX));
        let mut drain = outbox.open();
        outbox.push((0..5).map(|n| (n, FRAME_BYTES_TARGET / 2)));
        let frames = async {
            let mut frames = Vec::new();
            for _ in 0..3 {
                frames.push(drain.next().await);
            }
            frames
        };
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let frames = runtime.block_on(frames);
        assert_eq!(frames, [Some(vec![0, 1]), Some(vec![2, 3]), Some(vec![4])]);
        assert_eq!(outbox.bytes(), 0);
    }
}
