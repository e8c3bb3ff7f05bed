//! A connection whose command waits for a key: it still hears its client hang up, gets the messages of its channels, and
//! keeps what the client sends meanwhile for later.

use std::io;
use std::sync::atomic::Ordering::Relaxed;

use tokio::io::AsyncReadExt;
use tokio::time::{Instant, sleep_until};

use super::resp::Connection;
use crate::service::Flow;

impl Connection {
    /// Waits until the command is answered; the reply is in `out` then. [`Flow::Close`] if the client is gone, must go,
    /// or sent more than may wait.
    pub(super) async fn wait(&mut self) -> io::Result<Flow> {
        let client = self.session.client.clone();
        let mut is_hurried = false;
        loop {
            self.make_room();
            let (monotonic, input_max) = (self.service.node().monotonic(), self.service.query_buffer_bytes());
            let inbox = self.session.inbox().cloned();
            let (service, users) = (self.service.clone(), self.session.users_revision());
            let Some(wait) = self.session.wait() else { return Ok(Flow::Continue) };
            let until = wait.until.map(|until| Instant::now() + until.since(monotonic));
            let over = async {
                match until {
                    Some(until) => sleep_until(until).await,
                    None => std::future::pending().await,
                }
            };
            let messages = async {
                match &inbox {
                    Some(inbox) => inbox.filled().await,
                    None => std::future::pending().await,
                }
            };
            let users_changed = || service.node().users_revision() != users;
            let called = async { if is_hurried { client.ended().await } else { client.called(users_changed).await } };
            tokio::select! {
                biased;
                outcome = &mut wait.blocking.outcome => {
                    match self.service.end_wait(&mut self.session, outcome, &mut self.out) {
                        Flow::Wait => is_hurried = false,
                        flow => return Ok(flow),
                    }
                }
                _ = called => {
                    if client.is_ending() {
                        return Ok(Flow::Close);
                    }
                    if client.is_unblocked() || self.service.rights_changed(&mut self.session) {
                        self.session.hurry();
                        is_hurried = true;
                    }
                }
                _ = over, if !is_hurried => {
                    (wait.blocking.hurry)();
                    is_hurried = true;
                }
                () = messages => self.send().await?,
                read = self.stream.read_buf(&mut self.input) => {
                    let read = read?;
                    if read == 0 {
                        return Ok(Flow::Close);
                    }
                    self.service.stats().received(client.id, read);
                    client.input_waiting.store(self.input.len(), Relaxed);
                    if self.input.len() > input_max {
                        self.service.stats().query_limit_disconnections.fetch_add(1, Relaxed);
                        return Ok(Flow::Close);
                    }
                }
            }
        }
    }
}
