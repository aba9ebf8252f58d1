//! A file that shrinks under its reader costs that file, not the reader.
//!
//! A tracked process may truncate its ring at any moment; the next look at the lost pages raises SIGBUS. The handler puts
//! zero pages over the whole mapping, marks it, and returns: zeros are a ring in which nothing is published. The
//! marked ring is then detached. (Wayland compositors treat their clients' buffers in this way.)

use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use core::sync::atomic::{AtomicBool, AtomicUsize};
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};
use shm_layout::segment::{Opened, SegmentError};
use std::ops::Deref;
use std::sync::Once;

/// Mappings that can be guarded at once.
pub const MAPPINGS: usize = 8192;

struct Entry {
    /// First address; 0 = the entry is free.
    start: AtomicUsize,
    len: AtomicUsize,
    faulted: AtomicBool,
}

static TABLE: [Entry; MAPPINGS] =
    [const { Entry { start: AtomicUsize::new(0), len: AtomicUsize::new(0), faulted: AtomicBool::new(false) } };
        MAPPINGS];
/// Entries at and above this were never used.
static USED: AtomicUsize = AtomicUsize::new(0);
/// Mappings that have faulted so far.
static FAULTS: AtomicUsize = AtomicUsize::new(0);
static INSTALL: Once = Once::new();

/// Mappings that have faulted so far: whoever has many need look for the one only when this has changed.
pub fn faults() -> usize {
    // Relaxed: counted by a handler on the touching thread, or looked at again in the next round.
    FAULTS.load(Relaxed)
}

/// A segment whose loss does not kill the reader.
#[derive(Debug)]
pub struct Guarded {
    opened: Opened,
    entry: usize,
}

impl Guarded {
    /// Guards this segment; `None` when [`MAPPINGS`] are guarded already.
    pub fn new(opened: Opened) -> Option<Self> {
        INSTALL.call_once(install);
        let start = opened.mapping.address() as usize;
        let free = |entry: &Entry| entry.start.compare_exchange(0, 1, Acquire, Relaxed).is_ok();
        let at = TABLE.iter().position(free)?;
        // Relaxed: published by the start address.
        TABLE[at].len.store(opened.mapping.len(), Relaxed);
        TABLE[at].faulted.store(false, Relaxed);
        // SYNC(sigbus.start): publishes the length; pairs with the Acquire in `on_sigbus`.
        TABLE[at].start.store(start, Release);
        // Relaxed: the handler runs on the thread that touches the mapping, which comes after this.
        USED.fetch_max(at + 1, Relaxed);
        Some(Self { opened, entry: at })
    }

    /// Maps the file up to this byte, which it has grown to, and guards that. References into the mapping must be gone.
    ///
    /// # Errors
    /// When it has not grown so far, or cannot be mapped; everything is as it was then.
    pub fn follow(&mut self, bytes: usize) -> Result<(), SegmentError> {
        // Relaxed, and in this order: the handler runs on this thread, and between the two nothing is touched.
        TABLE[self.entry].start.store(1, Relaxed);
        let followed = self.opened.follow(bytes);
        TABLE[self.entry].len.store(self.opened.mapping.len(), Relaxed);
        // SYNC(sigbus.start): publishes the length; pairs with the Acquire in `on_sigbus`.
        TABLE[self.entry].start.store(self.opened.mapping.address() as usize, Release);
        followed
    }

    /// Whether the file lost pages that were touched.
    pub fn faulted(&self) -> bool {
        // Relaxed: set by a handler on the touching thread.
        TABLE[self.entry].faulted.load(Relaxed)
    }
}

impl Deref for Guarded {
    type Target = Opened;
    fn deref(&self) -> &Opened {
        &self.opened
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        // SYNC(sigbus.start): nothing to publish; pairs with the Acquire in `on_sigbus`.
        TABLE[self.entry].start.store(0, Release);
    }
}

fn install() {
    let action =
        SigAction::new(SigHandler::SigAction(on_sigbus), SaFlags::SA_SIGINFO | SaFlags::SA_ONSTACK, SigSet::empty());
    // SAFETY: the handler only reads atomics and makes system calls that are async-signal-safe.
    let _previous = unsafe { sigaction(Signal::SIGBUS, &action) };
}

extern "C" fn on_sigbus(_signal: libc::c_int, info: *mut libc::siginfo_t, _context: *mut libc::c_void) {
    // SAFETY: the kernel passes a valid siginfo to an SA_SIGINFO handler; si_addr is set for SIGBUS.
    let address = unsafe { (*info).si_addr() } as usize;
    // Relaxed: see `Guarded::new`.
    for entry in &TABLE[..USED.load(Relaxed)] {
        // SYNC(sigbus.start): the length is that of this start; pairs with the Release in `Guarded::new`.
        let start = entry.start.load(Acquire);
        // Relaxed: ordered by the start.
        let len = entry.len.load(Relaxed);
        if start > 1 && (start..start + len).contains(&address) {
            let protection = libc::PROT_READ | libc::PROT_WRITE;
            let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED;
            // SAFETY: the range is a guarded mapping of this process, reached through atomics only: replacing its pages
            // by zeros is a change of value, as the file's owner may make it at any time.
            let put = unsafe { libc::mmap(start as *mut libc::c_void, len, protection, flags, -1, 0) };
            if put != libc::MAP_FAILED {
                // Relaxed: read by the thread that was interrupted.
                entry.faulted.store(true, Relaxed);
                FAULTS.fetch_add(1, Relaxed);
                return;
            }
        }
    }
    // Not ours: die of it as if there were no handler.
    // SAFETY: restoring the default action; the faulting instruction then runs again.
    unsafe { libc::signal(libc::SIGBUS, libc::SIG_DFL) };
}
