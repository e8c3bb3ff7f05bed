//! The clocks and the dice of the real world. No other file of the crate outside `sim` names either, so that all
//! below can be run again with other times and the same chance.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::base::{Millis, Nanos};

/// Monotonic time that goes on while the machine sleeps (`CLOCK_BOOTTIME`): a lease must not outlive a suspend.
pub fn boottime() -> Nanos {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is to a live timespec of this frame. The call fails only for clocks the kernel does not
    // have, and BOOTTIME exists since Linux 2.6.39.
    let result = unsafe { libc::clock_gettime(libc::CLOCK_BOOTTIME, &mut time) };
    assert_eq!(result, 0, "CLOCK_BOOTTIME is not available on this system");
    Nanos(time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64)
}

/// Wall clock. A clock before 1970 counts as 1970: stamps of a group never go back anyway (rule 39).
pub fn wall() -> Millis {
    Millis(moment().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64))
}

/// The same in microseconds.
pub fn wall_micros() -> u64 {
    moment().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros() as u64)
}

/// Wall clock to the nanosecond, for spans.
#[expect(clippy::disallowed_methods, reason = "the one place that reads the clock")]
pub fn moment() -> SystemTime {
    SystemTime::now()
}

/// 64 bits that no other process has: seeds, session ids, the id of a cluster of one.
pub fn entropy() -> std::io::Result<u64> {
    let mut bytes = [0; 8];
    // SAFETY: the buffer is 8 bytes of this frame. Requests of up to 256 bytes are never cut short (getrandom(2)).
    let length = unsafe { libc::getrandom(bytes.as_mut_ptr().cast(), bytes.len(), 0) };
    if length == bytes.len() as isize { Ok(u64::from_ne_bytes(bytes)) } else { Err(std::io::Error::last_os_error()) }
}
