//! An allocator that counts what a thread asks of it.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    /// Allocations and bytes of this thread so far.
    static ASKED: Cell<(u64, u64)> = const { Cell::new((0, 0)) };
}

/// What something cost.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cost {
    /// Allocations, growing ones included.
    pub allocations: f64,
    /// Bytes in them: what was made room for, and so, mostly, what was copied.
    pub bytes: f64,
}

/// What a closure costs.
pub fn counted(run: impl FnOnce()) -> Cost {
    let before = ASKED.get();
    run();
    let after = ASKED.get();
    Cost { allocations: (after.0 - before.0) as f64, bytes: (after.1 - before.1) as f64 }
}

/// The system's allocator, counted.
pub struct Counter;

fn count(bytes: usize) {
    // A thread that ends allocates without being counted.
    let _ = ASKED.try_with(|asked| {
        let (allocations, before) = asked.get();
        asked.set((allocations + 1, before + bytes as u64));
    });
}

// SAFETY: everything is passed on as it came; counting does not allocate.
unsafe impl GlobalAlloc for Counter {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size);
        // SAFETY: as above; `block` came from here, so from `System`.
        unsafe { System.realloc(block, layout, size) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(block, layout) }
    }
}
