//! What every hook stands behind: is tracking on, and nothing of ours may ever hurt the program.
//!
//! A hook does two things: it calls the function that it stands in front of, and it tells the
//! producer about it. The first happens outside of any `catch_unwind`, so C++ exceptions pass as if
//! the hook were not there. The second happens inside [`aside`].

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};

thread_local! {
    static SYSTEM: Cell<u32> = const { Cell::new(0) };
    static ASIDE: Cell<bool> = const { Cell::new(false) };
}

/// Is this process tracked, and by this copy of the library? If not, every hook is a plain forward.
pub(crate) fn enabled() -> bool {
    !crate::copies::is_behind() && producer::process::enabled()
}

/// Runs the hook's own work. A panic ends here, and work that is reached again from inside itself
/// (a getter that allocates) is not done twice.
pub(crate) fn aside(work: impl FnOnce()) {
    // One look at the thread-local for both: in a shared library each is a call.
    let _ = ASIDE.try_with(|busy| {
        if !busy.replace(true) {
            let _ = catch_unwind(AssertUnwindSafe(work));
            busy.set(false);
        }
    });
}

/// While one lives, what this thread allocates is the system's (fabric, dispatch), not the
/// application's. Dropped on the way out of the bracketed call, also when that throws.
pub(crate) struct SystemWork;

impl SystemWork {
    pub(crate) fn begin() -> Self {
        let _ = SYSTEM.try_with(|depth| depth.set(depth.get().saturating_add(1)));
        Self
    }
}

impl Drop for SystemWork {
    fn drop(&mut self) {
        let _ = SYSTEM.try_with(|depth| depth.set(depth.get().saturating_sub(1)));
    }
}

/// Flags of everything that this thread reports now.
pub(crate) fn flags() -> u16 {
    match SYSTEM.try_with(Cell::get) {
        Ok(0) | Err(_) => 0,
        Ok(_) => shm_layout::event::flags::SYSTEM,
    }
}
