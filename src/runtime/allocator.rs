//! What the program's allocator (jemalloc) tells of itself, and a way to make it give back what it keeps.

use std::ffi::{CStr, c_char, c_void};
use std::ptr;

/// Stands for all arenas in a name (`MALLCTL_ARENAS_ALL`).
const PURGE_ALL: &CStr = c"arena.4096.purge";
/// A report is not longer: what comes after is left out.
const REPORT_BYTES_MAX: usize = 1 << 20;

/// Its settings and figures as text. It was built without its own counting, which would cost something on each
/// allocation, so the figures are few.
pub fn report() -> String {
    let mut text: Vec<u8> = Vec::with_capacity(REPORT_BYTES_MAX);
    // SAFETY: `write` gets back the pointer given here, to a vector that outlives the call, and a C string.
    unsafe {
        tikv_jemalloc_sys::malloc_stats_print(Some(write), (&raw mut text).cast(), ptr::null());
    }
    text.shrink_to_fit();
    String::from_utf8_lossy(&text).into_owned()
}

/// Adds a part of the report. It must not allocate, so it stops where the room made before ends.
unsafe extern "C" fn write(out: *mut c_void, part: *const c_char) {
    // SAFETY: see `report`.
    let (text, part) = unsafe { (&mut *out.cast::<Vec<u8>>(), CStr::from_ptr(part).to_bytes()) };
    let room = text.capacity() - text.len();
    text.extend_from_slice(&part[..part.len().min(room)]);
}

/// Gives unused pages of all arenas back to the system.
pub fn purge() {
    // SAFETY: this control takes and returns nothing.
    let failed =
        unsafe { tikv_jemalloc_sys::mallctl(PURGE_ALL.as_ptr(), ptr::null_mut(), ptr::null_mut(), ptr::null_mut(), 0) };
    if failed != 0 {
        tracing::warn!(error = failed, "the allocator could not be purged");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_allocator_reports_and_purges() {
        purge();
        let text = report();
        assert!(text.contains("jemalloc") && text.len() < REPORT_BYTES_MAX, "{text}");
    }
}
