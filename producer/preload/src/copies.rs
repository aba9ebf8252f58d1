//! Copies of this library in one process: under another name, or of another version. The loader takes each for a library of its own, with
//! statics and a ring of its own, and puts one in front of the other. What two copies told would count twice: the first tells.

use std::ffi::c_void;
use std::sync::atomic::{AtomicBool, Ordering};

/// Only its address matters. Not exported: a name that several copies export means the first one's, also inside the others.
static ME: AtomicBool = AtomicBool::new(false);

static BEHIND: AtomicBool = AtomicBool::new(false);

/// An address that is this copy's own. By this name each copy asks who is first.
#[unsafe(export_name = "tt_alloc_preload_identity")]
pub extern "C" fn identity() -> *const c_void {
    (&raw const ME).cast()
}

/// Where every copy of the producer in this process, the C API's too, looks whether the one line was said: see [`producer::warning`].
#[unsafe(export_name = "tt_alloc_preload_said")]
pub extern "C" fn said() -> *const AtomicBool {
    producer::warning::said()
}

/// Finds out whether another copy stands in front of this one. Before a hook asks [`is_behind`] for the first time, and the same whenever
/// it is asked: whoever is in front of a copy that is used stays there.
pub(crate) fn look() {
    // SAFETY: dlsym with a C string; RTLD_DEFAULT begins at the first library of the search order.
    let first = unsafe { libc::dlsym(libc::RTLD_DEFAULT, c"tt_alloc_preload_identity".as_ptr()) };
    if first.is_null() {
        return;
    }
    // SAFETY: whatever copy has this name, it is the function above.
    let first: extern "C" fn() -> *const c_void = unsafe { std::mem::transmute(first) };
    // Relaxed: published with the address of the function behind the hook, or by this thread itself.
    BEHIND.store(first() != (&raw const ME).cast(), Ordering::Relaxed);
}

/// Whether another copy tells.
pub(crate) fn is_behind() -> bool {
    // Relaxed: as above.
    BEHIND.load(Ordering::Relaxed)
}
