//! What every function of the C API stands behind: is tracking on, does nobody else tell the same, and no panic leaves.

use core::sync::atomic::AtomicU8;
use core::sync::atomic::Ordering::Relaxed;
use std::panic::{AssertUnwindSafe, catch_unwind};

const UNDECIDED: u8 = 0;
const TELL: u8 = 1;
const HOOKS_TELL: u8 = 2;

static WHO: AtomicU8 = AtomicU8::new(UNDECIDED);

/// Runs `work` if this process is tracked and it is here that its allocations are told.
#[inline(always)]
pub(crate) fn tell(work: impl FnOnce()) {
    if producer::process::enabled() && is_ours() {
        let _ended = catch_unwind(AssertUnwindSafe(work));
    }
}

/// Runs `work` if this process is tracked, whoever tells its allocations.
#[inline(always)]
pub(crate) fn note(work: impl FnOnce()) {
    if producer::process::enabled() {
        let _ended = catch_unwind(AssertUnwindSafe(work));
    }
}

/// A tt-metal that calls this library may run under the hooks, too: those tell its buffers and programs already.
#[inline(always)]
fn is_ours() -> bool {
    // Relaxed: the answer is the same whoever asks.
    match WHO.load(Relaxed) {
        TELL => true,
        HOOKS_TELL => false,
        _ => ask(),
    }
}

/// At the first event. tt-metal has called a hook by then: they stand in front of its allocator and its devices, and it reports after it
/// has allocated.
#[cold]
fn ask() -> bool {
    // Linked with whoever calls: see AT_EXIT.
    core::hint::black_box(&crate::AT_EXIT);
    let errno = nix::errno::Errno::last_raw();
    // SAFETY: dlsym with a C string; RTLD_DEFAULT begins at the first library of the search order.
    let used = unsafe { libc::dlsym(libc::RTLD_DEFAULT, c"tt_alloc_preload_used".as_ptr()) };
    let hooks = !used.is_null() && {
        // SAFETY: whatever library has this name, it is the function in producer/preload/src/next.rs.
        let used: extern "C" fn() -> bool = unsafe { core::mem::transmute(used) };
        used()
    };
    nix::errno::Errno::set_raw(errno);
    // Relaxed: as in `is_ours`.
    WHO.store(if hooks { HOOKS_TELL } else { TELL }, Relaxed);
    !hooks
}

/// Ends the ring in good order, if there is one.
pub(crate) fn at_exit() {
    // Relaxed: as in `is_ours`.
    if WHO.load(Relaxed) == TELL && producer::process::enabled() {
        let _ended = catch_unwind(producer::process::close);
    }
}
