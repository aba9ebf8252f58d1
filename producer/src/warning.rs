//! The one line that a tracked process may say.

use crate::host::Undisturbed;
use core::sync::atomic::AtomicBool;
use core::sync::atomic::Ordering::Relaxed;

/// Says one line, the first time.
pub(crate) fn warn_once(told: &AtomicBool, line: impl FnOnce() -> String) {
    // Relaxed: whoever is first speaks.
    if !told.load(Relaxed) && !told.swap(true, Relaxed) {
        let _host = Undisturbed::begin();
        warn(&line());
    }
}

/// One line on standard error, in one write. Not where nobody takes it: for a reader that stands still the host would wait, and of
/// one that is gone it would die (SIGPIPE). Cut, so that it fits into a pipe that has room.
pub(crate) fn warn(text: &str) {
    let line = format!("tt-alloc: {}\n", text.chars().take(1000).collect::<String>());
    let mut stderr = libc::pollfd { fd: libc::STDERR_FILENO, events: libc::POLLOUT, revents: 0 };
    // SAFETY: one entry, as is said; it waits for nothing.
    let answered = unsafe { libc::poll(&mut stderr, 1, 0) } == 1;
    if answered && stderr.revents == libc::POLLOUT {
        // SAFETY: the buffer is valid for its length; a failed or short write is nobody's concern.
        unsafe { libc::write(libc::STDERR_FILENO, line.as_ptr().cast(), line.len()) };
    }
}
