//! What every hook stands behind: is tracking on, and nothing of ours may ever hurt the program.
//!
//! A hook does two things: it calls the function that it stands in front of, and it tells the
//! producer about it. The first happens outside of any `catch_unwind`, so C++ exceptions pass as if
//! the hook were not there. The second happens inside [`aside`].

use shm_layout::event::flags as bits;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};

thread_local! {
    static SYSTEM: Cell<u16> = const { Cell::new(0) };
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

/// From now on a panic of ours says one line, where std's own hook says several, and counts as something that was not told. This
/// library has its own copy of std: the program's hook, should it be in Rust, is another one.
pub(crate) fn report_faults() {
    std::panic::set_hook(Box::new(producer::process::fault));
}

/// While one lives, what this thread allocates is the system's, not the application's. Dropped on the way
/// out of the bracketed call, also when that throws; then what was before is so again.
pub(crate) struct SystemWork(u16);

impl SystemWork {
    /// Of the fabric, between the chips.
    pub(crate) fn fabric() -> Self {
        Self::begin(bits::SYSTEM | bits::FABRIC)
    }

    /// Of the dispatcher, between the host and the chip.
    pub(crate) fn dispatch() -> Self {
        Self::begin(bits::SYSTEM | bits::DISPATCH)
    }

    fn begin(flags: u16) -> Self {
        Self(SYSTEM.try_with(|now| now.replace(flags)).unwrap_or(0))
    }
}

impl Drop for SystemWork {
    fn drop(&mut self) {
        let _ = SYSTEM.try_with(|now| now.set(self.0));
    }
}

/// Flags of everything that this thread reports now.
pub(crate) fn flags() -> u16 {
    kernel_flags() & bits::SYSTEM
}

/// Flags of a kernel: also whose of the system it is.
pub(crate) fn kernel_flags() -> u16 {
    SYSTEM.try_with(Cell::get).unwrap_or(0)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may unwrap")]
#[path = "../../tests/support/fault.rs"]
mod fault;

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may unwrap")]
mod tests {
    use super::*;
    use shm_layout::event::{Event, Kind, Memory};

    /// The child of the test below: what stands behind a hook panics twice in it.
    #[test]
    fn faulty() {
        fault::ends_with_what_was_lost(|| {
            // As the first call of a hook does.
            assert!(crate::next::find(c"tt_alloc_no_such_function").is_null());
            producer::process::record(Event { size: 1, ..Event::new(Kind::Alloc, Memory::Dram, 0) });
            aside(|| panic!("a\tfault"));
            aside(|| panic!("another"));
        });
    }

    #[test]
    fn a_panic_of_ours_says_one_line_and_is_counted() {
        let (lost, lines) = fault::child("test_fault");
        assert_eq!((lost, lines.len()), (Some(2), 1), "{lines:?}");
        assert!(fault::is_of_ours(&lines[0]), "{lines:?}");
    }

    #[test]
    fn system_work_ends_with_its_bracket_also_when_that_unwinds() {
        assert_eq!(kernel_flags(), 0);
        let thrown = std::panic::catch_unwind(|| {
            let _fabric = SystemWork::fabric();
            assert_eq!(kernel_flags(), bits::SYSTEM | bits::FABRIC);
            {
                let _dispatch = SystemWork::dispatch();
                assert_eq!(kernel_flags(), bits::SYSTEM | bits::DISPATCH);
                assert_eq!(flags(), bits::SYSTEM, "only kernels are of one or the other");
            }
            assert_eq!(kernel_flags(), bits::SYSTEM | bits::FABRIC);
            std::panic::resume_unwind(Box::new(()));
        });
        assert!(thrown.is_err());
        assert_eq!(kernel_flags(), 0);
    }
}
