//! A stop sign that threads can wait at.

use std::time::Duration;

use parking_lot::{Condvar, Mutex};

/// Raised once, never lowered.
#[derive(Default)]
pub struct Stop {
    raised: Mutex<bool>,
    changed: Condvar,
}

impl Stop {
    /// Wakes everybody.
    pub fn raise(&self) {
        *self.raised.lock() = true;
        self.changed.notify_all();
    }

    /// Waits up to `patience`; false once the sign is raised.
    pub fn wait(&self, patience: Duration) -> bool {
        let mut raised = self.raised.lock();
        if !*raised {
            self.changed.wait_for(&mut raised, patience);
        }
        !*raised
    }
}
