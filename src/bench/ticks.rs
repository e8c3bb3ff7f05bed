//! The clock of an open loop: a timer of the kernel that wakes the thread at equal distances. The timeout of a poll is in
//! whole milliseconds, too coarse for what is measured here.

use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::time::Duration;

/// A timer that became readable when a tick is due.
#[derive(Debug)]
pub(super) struct Ticks(File);

impl Ticks {
    /// The first tick is due one distance from now.
    pub(super) fn every(distance: Duration) -> io::Result<Ticks> {
        let flags = libc::TFD_NONBLOCK | libc::TFD_CLOEXEC;
        // SAFETY: takes two numbers; what it returns is checked, and is ours alone.
        let timer = unsafe {
            let fd = libc::timerfd_create(libc::CLOCK_MONOTONIC, flags);
            if fd < 0 {
                return Err(io::Error::last_os_error());
            }
            OwnedFd::from_raw_fd(fd)
        };
        let time = libc::timespec { tv_sec: distance.as_secs() as _, tv_nsec: distance.subsec_nanos() as _ };
        let plan = libc::itimerspec { it_interval: time, it_value: time };
        // SAFETY: the timer is open, `plan` outlives the call, and nobody wants the plan before.
        if unsafe { libc::timerfd_settime(timer.as_raw_fd(), 0, &raw const plan, std::ptr::null_mut()) } != 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(Ticks(File::from(timer)))
    }

    /// For the poll.
    pub(super) fn fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }

    /// Makes it unreadable until the next tick.
    pub(super) fn clear(&mut self) -> io::Result<()> {
        match self.0.read(&mut [0; 8]) {
            Err(why) if why.kind() != ErrorKind::WouldBlock => Err(why),
            _ => Ok(()),
        }
    }
}
