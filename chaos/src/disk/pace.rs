//! How fast the machine's disk is meanwhile: writes wait for it, and it may be others that make it slow. A file of the
//! runner is synced all the time, and long syncs are remembered.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::history::lock;

/// Between two syncs.
const PAUSE: Duration = Duration::from_millis(20);
/// As much as a node's log writes at a time.
const BYTES: usize = 4096;

/// Watches a disk until it is dropped.
pub struct Pace {
    stop: Arc<AtomicBool>,
    /// End and length of each sync.
    syncs: Arc<Mutex<Vec<(Instant, Duration)>>>,
}

impl Pace {
    /// Starts to sync a file in that directory.
    pub fn watch(directory: &Path) -> io::Result<Pace> {
        let mut file = File::create(directory.join("pace"))?;
        let pace = Pace { stop: Arc::default(), syncs: Arc::default() };
        let (stop, syncs) = (pace.stop.clone(), pace.syncs.clone());
        std::thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                let begun = Instant::now();
                // Whatever a failing disk of the runner means, the nodes notice it themselves.
                if file.write_all(&[0; BYTES]).and_then(|()| file.sync_data()).is_err() {
                    return;
                }
                lock(&syncs).push((Instant::now(), begun.elapsed()));
                std::thread::sleep(PAUSE);
            }
        });
        Ok(pace)
    }

    /// How long the syncs took that ended after that moment.
    pub fn since(&self, moment: Instant) -> Vec<Duration> {
        let syncs = lock(&self.syncs);
        syncs.iter().rev().take_while(|(end, _)| *end >= moment).map(|(_, length)| *length).collect()
    }
}

impl Drop for Pace {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}
