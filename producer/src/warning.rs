//! The one line that a process may say, whatever there is to say: the first thing. A forked child that inherits that it was said is silent.

use crate::host::Undisturbed;
use core::sync::atomic::AtomicBool;
use core::sync::atomic::Ordering::Relaxed;

static SAID: AtomicBool = AtomicBool::new(false);

/// Where the hooks keep whether the line of this process was said, for every copy of this code in it: the C API brings another.
/// `producer/preload` exports it by the name that `warn` looks for.
pub extern "C" fn said() -> *const AtomicBool {
    &raw const SAID
}

/// Says this line, unless one was said.
pub(crate) fn warn(line: impl FnOnce() -> String) {
    // Relaxed: whoever is first speaks, and this copy asks once.
    if SAID.load(Relaxed) {
        return;
    }
    let _host = Undisturbed::begin();
    // Relaxed, Relaxed: as above.
    let first = !of_all_copies().swap(true, Relaxed);
    SAID.store(true, Relaxed);
    if first {
        write(&line());
    }
}

/// The word of the hooks, if they are in this process; ours, if not.
fn of_all_copies() -> &'static AtomicBool {
    // SAFETY: dlsym with a C string; RTLD_DEFAULT begins at the first library of the search order.
    let hooks = unsafe { libc::dlsym(libc::RTLD_DEFAULT, c"tt_alloc_preload_said".as_ptr()) };
    if hooks.is_null() {
        return &SAID;
    }
    // SAFETY: whatever library has this name, it is the function above, of some copy; what it points to is a static.
    unsafe {
        let said: extern "C" fn() -> *const AtomicBool = core::mem::transmute(hooks);
        said().as_ref().unwrap_or(&SAID)
    }
}

/// One line on standard error, in one write. Not where nobody takes it: for a reader that stands still the host would wait, and of
/// one that is gone it would die (SIGPIPE). Cut, so that it fits into a pipe that has room.
fn write(text: &str) {
    let line = format!("tt-alloc: {}\n", text.chars().take(1000).collect::<String>());
    let mut stderr = libc::pollfd { fd: libc::STDERR_FILENO, events: libc::POLLOUT, revents: 0 };
    // SAFETY: one entry, as is said; it waits for nothing.
    let answered = unsafe { libc::poll(&mut stderr, 1, 0) } == 1;
    if answered && stderr.revents == libc::POLLOUT {
        // SAFETY: the buffer is valid for its length; a failed or short write is nobody's concern.
        unsafe { libc::write(libc::STDERR_FILENO, line.as_ptr().cast(), line.len()) };
    }
}
