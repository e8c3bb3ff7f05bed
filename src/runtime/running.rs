//! A running node and its end.

use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task;

use super::core::Core;
use super::directory::Directory;
use super::{Error, Result, background, clock, telemetry, worker};
use crate::host::Input;
use crate::service::node::Shutdown;

/// How often a shutdown looks whether it may go on.
const LOOK: Duration = Duration::from_millis(2);

/// A node that runs.
pub struct Running {
    /// Where RESP clients connect.
    pub resp: SocketAddr,
    /// Where HTTP clients connect.
    pub http: SocketAddr,
    /// Where peers connect, if there is such a listener.
    pub peer: Option<SocketAddr>,
    pub(super) core: Arc<Core>,
    pub(super) threads: Threads,
    pub(super) shutdown: watch::Sender<bool>,
    pub(super) fronts: (task::JoinHandle<()>, task::JoinHandle<std::io::Result<()>>),
    pub(super) runtime: Runtime,
    /// Held until everything in it is closed.
    pub(super) _directory: Directory,
    /// Flushed last, so that the log tells the whole end.
    pub(super) telemetry: telemetry::Guard,
}

/// The node's own threads.
#[derive(Default)]
pub(super) struct Threads {
    pub log: Option<JoinHandle<()>>,
    pub machines: Vec<JoinHandle<()>>,
    pub worker: Option<JoinHandle<()>>,
    pub flusher: Option<JoinHandle<()>>,
}

impl Running {
    /// Waits for SIGTERM, SIGINT or a client's SHUTDOWN, then ends the node in order.
    pub fn wait(self) -> Result<()> {
        let mut asked = self.core.shutdown.subscribe();
        let (cause, how) = self.runtime.block_on(async {
            let mut terminate = signal(SignalKind::terminate())?;
            let mut interrupt = signal(SignalKind::interrupt())?;
            Ok::<_, std::io::Error>(tokio::select! {
                _ = terminate.recv() => ("SIGTERM", Shutdown::default()),
                _ = interrupt.recv() => ("SIGINT", Shutdown::default()),
                how = asked.wait_for(Option::is_some) => ("SHUTDOWN", how.ok().and_then(|how| *how).unwrap_or_default()),
            })
        })?;
        tracing::info!(cause, "stopping");
        self.end(how)
    }

    /// Hands over leadership, finishes what is in flight, flushes, and ends all threads.
    pub fn shut_down(self) -> Result<()> {
        self.end(Shutdown::default())
    }

    fn end(self, how: Shutdown) -> Result<()> {
        let started = clock::boottime();
        let Running { core, threads, shutdown, fronts: (resp, http), runtime, mut telemetry, .. } = self;
        let patience = core.config.shutdown_timeout;
        runtime.block_on(async {
            // Clients are served until nothing is led here: what they ask meanwhile waits for the new leaders.
            let alone = core.peers.all().is_empty();
            let hands_over = !alone && how.hand_over;
            if !alone {
                core.tell_leave(patience);
            }
            if hands_over {
                core.tell(Input::TransferAll);
            }
            let handed_over = async {
                while hands_over && (core.leads_any() || core.moves.is_under_way()) {
                    tokio::time::sleep(LOOK).await;
                }
            };
            if tokio::time::timeout(patience, handed_over).await.is_err() {
                tracing::warn!("leadership could not be handed over in time");
            }
            // Who was told where to go is served until it went, though not for ever: libraries notice what they are told
            // with their next request, or after half of the time.
            let gone = async {
                while hands_over && core.moves.is_waited_for() {
                    tokio::time::sleep(LOOK).await;
                }
            };
            if tokio::time::timeout(patience / 2, gone).await.is_err() {
                tracing::debug!("some clients did not go to another node");
            }
            // An error means that no front runs any more.
            let _ = shutdown.send(true);
            let finished = async {
                let _ = resp.await;
                let _ = http.await;
            };
            if tokio::time::timeout(patience, finished).await.is_err() {
                tracing::warn!("some clients did not finish in time");
            }
        });
        core.stop.raise();
        core.machines.stop();
        let join = |thread: JoinHandle<()>| thread.join().map_err(|_| Error::Storage("a thread failed".into()));
        threads.machines.into_iter().try_for_each(join)?;
        core.worker.push_unbounded(worker::Event::Stop);
        threads.worker.into_iter().try_for_each(join)?;
        core.log_queue.close();
        threads.log.into_iter().try_for_each(join)?;
        threads.flusher.into_iter().try_for_each(join)?;
        telemetry.send_spans();
        runtime.shutdown_timeout(patience);
        if how.save {
            // A failure was told; the log has everything.
            let _ = background::flush(&core);
        }
        tracing::info!(took = ?clock::boottime().since(started), "stopped");
        Ok(())
    }
}
