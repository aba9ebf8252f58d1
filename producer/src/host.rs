//! The host's thread: what we do in it on its behalf leaves it as it was.
//!
//! | of the thread | what would happen | where it is kept |
//! |---|---|---|
//! | `errno` | the host reads an error that is ours, after a call that it thinks of as harmless | [`Undisturbed`] |
//! | a pending `pthread_cancel` | the thread would end in the midst of our work, with our locks held; the unwinding ends the process where it meets a `catch_unwind` | [`Undisturbed`] |
//! | a signal whose handler forks or jumps out | the work would be done twice, or never to its end | [`Uninterrupted`], around the making of the ring and of room |
//!
//! Only the slow paths stand behind these: those that make system calls.

use core::marker::PhantomData;
use nix::errno::Errno;
use nix::sys::signal::{SigSet, SigmaskHow, Signal, pthread_sigmask};

/// As in Linux's C libraries; the libc crate has neither this nor the function.
const PTHREAD_CANCEL_DISABLE: libc::c_int = 1;

// "C-unwind": a thread whose cancellation is asynchronous (which is no way to call anything of ours) ends right when it is put back.
unsafe extern "C-unwind" {
    fn pthread_setcancelstate(state: libc::c_int, before: *mut libc::c_int) -> libc::c_int;
}

/// While one lives, this thread cannot be cancelled; when it goes, that is again as it was, and so is `errno`. May be nested.
#[derive(Debug)]
pub(crate) struct Undisturbed {
    errno: i32,
    /// `None` if the system would not tell.
    cancel_state: Option<libc::c_int>,
    /// Of this thread only.
    _thread: PhantomData<*mut ()>,
}

impl Undisturbed {
    pub(crate) fn begin() -> Self {
        let errno = Errno::last_raw();
        let mut before = 0;
        // SAFETY: `before` is a place for the answer; the call changes a flag of this thread and may be made in signal handlers.
        let answer = unsafe { pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &mut before) };
        Self { errno, cancel_state: (answer == 0).then_some(before), _thread: PhantomData }
    }
}

impl Drop for Undisturbed {
    fn drop(&mut self) {
        Errno::set_raw(self.errno);
        if let Some(before) = self.cancel_state {
            let mut ours = 0;
            // SAFETY: as above; the state is one that the system has told.
            unsafe { pthread_setcancelstate(before, &mut ours) };
        }
    }
}

/// While one lives, this thread's signals wait, but for those that tell of a fault of the thread itself.
#[derive(Debug)]
pub(crate) struct Uninterrupted {
    before: Option<SigSet>,
    /// Of this thread only.
    _thread: PhantomData<*mut ()>,
}

impl Uninterrupted {
    pub(crate) fn begin() -> Self {
        let mut held = SigSet::all();
        // The kernel ends a process that has a fault while its signal is held back, whatever handler there is.
        for fault in [Signal::SIGBUS, Signal::SIGSEGV, Signal::SIGILL, Signal::SIGFPE, Signal::SIGTRAP, Signal::SIGSYS]
        {
            held.remove(fault);
        }
        let mut before = SigSet::empty();
        let done = pthread_sigmask(SigmaskHow::SIG_BLOCK, Some(&held), Some(&mut before)).is_ok();
        Self { before: done.then_some(before), _thread: PhantomData }
    }
}

impl Drop for Uninterrupted {
    fn drop(&mut self) {
        if let Some(before) = self.before {
            // Only an invalid argument is an error.
            let _restored = before.thread_set_mask();
        }
    }
}

/// This thread's id, as the kernel knows it.
pub(crate) fn gettid() -> u32 {
    // SAFETY: gettid has no arguments and cannot fail.
    u32::try_from(unsafe { libc::gettid() }).unwrap_or(0)
}
