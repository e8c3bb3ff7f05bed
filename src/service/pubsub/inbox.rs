//! Messages, and lines of MONITOR, that wait for one connection to be written to its client.
//!
//! Invariant: what waits is bounded by `client-output-buffer-limit` for subscribers; a client beyond it is ended at
//! once, and gets nothing more. Putting never waits.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Poll, Waker};

use bytes::{Bytes, BytesMut};
use parking_lot::Mutex;

use crate::base::Nanos;
use crate::resp::Protocol;
use crate::service::client_list::Client;
use crate::service::output_limits::Limit;

/// Room for messages that an empty inbox keeps.
const MESSAGES_KEPT: usize = 64;

/// The messages of one connection.
#[derive(Debug)]
pub struct Inbox {
    client: Arc<Client>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    messages: VecDeque<Bytes>,
    /// Messages, in either protocol, that it does not take when they come, each once.
    left_out: Vec<[Bytes; 2]>,
    bytes: usize,
    /// Since when there are more bytes than the soft limit.
    slow_since: Option<Nanos>,
    overrun: bool,
    /// The connection's task, while it waits for messages.
    waker: Option<Waker>,
}

impl Inbox {
    pub(in crate::service) fn new(client: Arc<Client>) -> Inbox {
        Inbox { client, state: Mutex::default() }
    }

    /// The connection.
    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    /// The connection's id.
    pub(super) fn id(&self) -> u64 {
        self.client.id
    }

    pub(in crate::service) fn protocol(&self) -> Protocol {
        if self.client.resp3.load(Relaxed) { Protocol::Resp3 } else { Protocol::Resp2 }
    }

    /// Adds a message, and ends the client if it leaves too many unread.
    pub(in crate::service) fn put(&self, message: Bytes, now: Nanos, limit: Limit) {
        let (overrun, waker) = {
            let mut state = self.state.lock();
            if state.overrun {
                return;
            }
            if let Some(at) = state.left_out.iter().position(|forms| forms.contains(&message)) {
                state.left_out.remove(at);
                return;
            }
            state.bytes += cost(&message);
            state.messages.push_back(message);
            if state.is_too_much(self.client.output_waiting.load(Relaxed), now, limit) {
                *state = State { overrun: true, ..State::default() };
            }
            (state.overrun, state.waker.take())
        };
        if overrun {
            self.client.end();
        }
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// A message of these bytes will come that the client shall not hear.
    pub(super) fn leave_out(&self, forms: [Bytes; 2]) {
        self.state.lock().left_out.push(forms);
    }

    /// Nothing is left out any more.
    pub(super) fn hear_all(&self) {
        self.state.lock().left_out.clear();
    }

    /// Moves what waits here, and what is to be left out, to another inbox of the client.
    pub(super) fn empty_into(&self, other: &Inbox, now: Nanos, limit: Limit) {
        let State { messages, left_out, overrun, .. } = std::mem::take(&mut *self.state.lock());
        if overrun {
            // It is about to end.
            return;
        }
        messages.into_iter().for_each(|message| other.put(message, now, limit));
        other.state.lock().left_out.extend(left_out);
    }

    /// Whether the client has left more than the soft limit unread for too long, or was ended for that already.
    pub(in crate::service) fn is_too_slow(&self, now: Nanos, limit: Limit) -> bool {
        let mut state = self.state.lock();
        state.overrun || state.is_too_much(self.client.output_waiting.load(Relaxed), now, limit)
    }

    /// Whether messages were lost because the client read too slowly.
    pub fn is_overrun(&self) -> bool {
        self.state.lock().overrun
    }

    /// Moves messages to the end of `out`, whole ones, until it has so many bytes.
    pub fn take(&self, out: &mut BytesMut, bytes_max: usize) {
        let mut state = self.state.lock();
        while out.len() < bytes_max
            && let Some(message) = state.messages.pop_front()
        {
            state.bytes -= cost(&message);
            out.extend_from_slice(&message);
        }
        if state.messages.is_empty() && state.messages.capacity() > MESSAGES_KEPT {
            state.messages = VecDeque::new();
        }
    }

    /// Bytes that wait.
    pub(in crate::service) fn bytes(&self) -> usize {
        self.state.lock().bytes
    }

    /// Waits for a message. For the connection's own task only.
    pub async fn filled(&self) {
        poll_fn(|context| {
            let mut state = self.state.lock();
            if !state.messages.is_empty() {
                return Poll::Ready(());
            }
            match &mut state.waker {
                Some(waker) => waker.clone_from(context.waker()),
                empty => *empty = Some(context.waker().clone()),
            }
            Poll::Pending
        })
        .await
    }
}

impl State {
    /// Judges what waits here and `beside`, in the connection's own buffer.
    fn is_too_much(&mut self, beside: usize, now: Nanos, limit: Limit) -> bool {
        let bytes = (self.bytes + beside) as u64;
        if limit.hard > 0 && bytes >= limit.hard {
            return true;
        }
        if limit.soft == 0 || bytes < limit.soft {
            self.slow_since = None;
            return false;
        }
        let since = *self.slow_since.get_or_insert(now);
        now.since(since) > limit.patience
    }
}

/// A message's bytes and its place in the queue.
fn cost(message: &Bytes) -> usize {
    message.len() + size_of::<Bytes>()
}
