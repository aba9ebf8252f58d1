//! Memory that is out, for tests.

use core::cell::Cell;
use std::alloc::{GlobalAlloc, Layout, System};

thread_local! {
    static OUT: Cell<bool> = const { Cell::new(false) };
}

struct Scarce;

#[global_allocator]
static SCARCE: Scarce = Scarce;

// SAFETY: the system's, or null, which says that there is none.
unsafe impl GlobalAlloc for Scarce {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if OUT.get() {
            return core::ptr::null_mut();
        }
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise; it came from the system.
        unsafe { System.dealloc(place, layout) }
    }
}

/// Runs `work` on a thread that gets no memory meanwhile.
pub(crate) fn without(work: impl FnOnce()) {
    OUT.set(true);
    work();
    OUT.set(false);
}
