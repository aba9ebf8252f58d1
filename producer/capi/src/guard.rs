//! What every function of the C API stands behind: is tracking on, does nobody else tell the same, and no panic leaves.

use core::cell::Cell;
use core::sync::atomic::Ordering::Relaxed;
use core::sync::atomic::{AtomicBool, AtomicU8};
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};

const UNDECIDED: u8 = 0;
const TELL: u8 = 1;
const HOOKS_TELL: u8 = 2;

static WHO: AtomicU8 = AtomicU8::new(UNDECIDED);

/// [`report_faults`] was called.
static REPORTING: AtomicBool = AtomicBool::new(false);

thread_local! {
    /// This thread is in work of ours: a panic is none of the program's.
    static OURS: Cell<bool> = const { Cell::new(false) };
}

/// Runs `work` if this process is tracked and it is here that its allocations are told.
#[inline(always)]
pub(crate) fn tell(work: impl FnOnce()) {
    if producer::process::enabled() && is_ours() {
        aside(work);
    }
}

/// Runs `work` if this process is tracked, whoever tells its allocations.
#[inline(always)]
pub(crate) fn note(work: impl FnOnce()) {
    if producer::process::enabled() {
        // Relaxed: whoever is first does it.
        if !REPORTING.load(Relaxed) {
            report_faults();
        }
        aside(work);
    }
}

/// A panic of `work` ends here.
#[inline(always)]
fn aside(work: impl FnOnce()) {
    // One look at the thread-local: in a shared library each is a call.
    let _gone = OURS.try_with(|ours| {
        let before = ours.replace(true);
        let _ended = catch_unwind(AssertUnwindSafe(work));
        ours.set(before);
    });
}

/// From now on a panic of ours says one line, where std's own hook says several, and counts as something that was not told. Those of a
/// program in Rust that is linked with this library go where they went before.
#[cold]
fn report_faults() {
    // A program in Rust that is unwinding may change no hook.
    // Relaxed: as in `note`.
    if std::thread::panicking() || REPORTING.swap(true, Relaxed) {
        return;
    }
    let before = take_hook();
    set_hook(Box::new(move |panic| {
        if OURS.try_with(Cell::get).unwrap_or(false) {
            producer::process::fault(panic);
        } else {
            before(panic);
        }
    }));
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
    report_faults();
    // Relaxed: as in `is_ours`.
    WHO.store(if hooks { HOOKS_TELL } else { TELL }, Relaxed);
    !hooks
}

/// Ends the ring in good order, if there is one.
pub(crate) fn at_exit() {
    // Relaxed: as in `is_ours`.
    if WHO.load(Relaxed) == TELL && producer::process::enabled() {
        aside(producer::process::close);
    }
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

    /// The child of the test below: the program panics before, between and after two panics of ours.
    #[test]
    fn faulty() {
        fault::ends_with_what_was_lost(|| {
            set_hook(Box::new(|panic| eprintln!("the program's: {}", panic.payload().downcast_ref::<&str>().unwrap())));
            let program = |what: &'static str| assert!(catch_unwind(|| std::panic::panic_any(what)).is_err());
            program("first");
            note(|| panic!("a\tfault"));
            tell(|| producer::process::record(Event { size: 1, ..Event::new(Kind::Alloc, Memory::Dram, 0) }));
            program("second");
            tell(|| panic!("another"));
            program("third");
        });
    }

    #[test]
    fn a_panic_of_ours_is_one_line_and_counted_and_those_of_the_program_are_its_own() {
        let (lost, lines) = fault::child("test_capi_fault");
        assert_eq!((lost, lines.len()), (Some(2), 4), "{lines:?}");
        assert_eq!(
            [&*lines[0], &lines[2], &lines[3]],
            ["first", "second", "third"].map(|n| format!("the program's: {n}"))
        );
        assert!(fault::is_of_ours(&lines[1]), "{lines:?}");
    }
}
