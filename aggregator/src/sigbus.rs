//! A file that shrinks under its reader costs that file, not the reader.
//!
//! A tracked process may truncate its ring at any moment, a user the ledgers and the stats segment of an aggregator of
//! theirs; the next look at the lost pages raises SIGBUS. The handler puts zero pages over the whole mapping, marks it,
//! and returns: zeros are a ring in which nothing is published. The marked ring is then detached, the ledger or segment
//! made again, the viewer disconnected. (Wayland compositors treat their clients' buffers in this way.)

use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use core::sync::atomic::{AtomicBool, AtomicUsize};
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};
use shm_layout::segment::{Mapping, Opened, SegmentError};
use std::ops::{Deref, Range};
use std::sync::Once;

/// Mappings that can be guarded at once. Rings of the socket's clients are guarded a second time, by the listener.
pub const MAPPINGS: usize = 2 * PROCESSES + 1024 + 64;
/// Processes for which that is enough: each has a ring and a ledger.
pub const PROCESSES: usize = 8192;

/// A guarded range. One thread changes it, of whoever has the guard; a handler may read it on any other at that moment.
#[derive(Debug)]
struct Entry {
    /// First address; 0 = the entry is free, 1 = it is taken and guards nothing at the moment.
    start: AtomicUsize,
    len: AtomicUsize,
    /// How often the entry was given a range. It may get one that it had before, so that start and length alone do not tell
    /// whether they belong together.
    turn: AtomicUsize,
    faulted: AtomicBool,
}

impl Entry {
    const fn free() -> Self {
        let [start, len, turn] = [const { AtomicUsize::new(0) }; 3];
        Self { start, len, turn, faulted: AtomicBool::new(false) }
    }

    fn set(&self, start: usize, len: usize) {
        self.clear();
        // Relaxed: only the guard's owner changes it, and comes after the owner before (`Guard::over`).
        let turn = self.turn.load(Relaxed).wrapping_add(1);
        // SYNC(sigbus.turn): whoever reads this turn finds the entry cleared, or with its new start; pairs with the Acquire in
        // `range`.
        self.turn.store(turn, Release);
        // SYNC(sigbus.len): whoever reads this length finds its turn, or a later one; pairs with the Acquire in `range`.
        self.len.store(len, Release);
        // SYNC(sigbus.start): publishes the length; pairs with the Acquire in `range`.
        self.start.store(start, Release);
    }

    /// Guards nothing, and stays taken.
    fn clear(&self) {
        // Relaxed: comes before the turn that `set` stores, by that one's Release.
        self.start.store(1, Relaxed);
    }

    /// What it guards. Start and length of two turns would reach over what lies behind one of them.
    fn range(&self) -> Option<Range<usize>> {
        // SYNC(sigbus.turn): the start is of this turn or a later one, or none; pairs with the Release in `set`.
        let turn = self.turn.load(Acquire);
        // SYNC(sigbus.start): the length is of this start's turn, or of a later one; pairs with the Release in `set`.
        let start = self.start.load(Acquire);
        // SYNC(sigbus.len): if it is of a later turn, the one below is too; pairs with the Release in `set`.
        let len = self.len.load(Acquire);
        // Relaxed: kept behind the length by its Acquire.
        (start > 1 && self.turn.load(Relaxed) == turn).then(|| start..start.saturating_add(len))
    }
}

static TABLE: [Entry; MAPPINGS] = [const { Entry::free() }; MAPPINGS];
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

/// Watches over one mapping until it is dropped, which has to come before the mapping's end.
#[derive(Debug)]
pub struct Guard(&'static Entry);

impl Guard {
    /// Over the bytes that the mapping gives out now; `None` when [`MAPPINGS`] are guarded already.
    pub fn over(mapping: &Mapping) -> Option<Self> {
        INSTALL.call_once(install);
        // Relaxed: only a hint, so that taken entries cost no more than a load.
        // SYNC(sigbus.start): after whoever had it last; pairs with the Release at that guard's end.
        let free = |entry: &Entry| {
            entry.start.load(Relaxed) == 0 && entry.start.compare_exchange(0, 1, Acquire, Relaxed).is_ok()
        };
        let at = TABLE.iter().position(free)?;
        // Relaxed: the handler runs on the thread that touches the mapping, which comes after this.
        USED.fetch_max(at + 1, Relaxed);
        let guard = Self(&TABLE[at]);
        guard.0.faulted.store(false, Relaxed);
        guard.watch(mapping);
        Some(guard)
    }

    /// Guards nothing until [`watch`](Self::watch): before the mapping grows and moves, since what is mapped next where it was is
    /// another's. Meanwhile nothing of it is to be touched.
    pub fn pause(&self) {
        self.0.clear();
    }

    /// Guards the bytes that the mapping gives out now.
    pub fn watch(&self, mapping: &Mapping) {
        self.0.set(mapping.address() as usize, mapping.len());
    }

    /// Whether the file lost pages that were touched. All that was in them is gone; the mapping is memory of this process now.
    pub fn faulted(&self) -> bool {
        // Relaxed: set by a handler on the touching thread.
        self.0.faulted.load(Relaxed)
    }

    /// As [`faulted`](Self::faulted), to be asked while the mapping is borrowed.
    pub fn fault(&self) -> Fault {
        Fault(self.0)
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        // SYNC(sigbus.start): what was stored here comes before what the next one to take it stores; pairs with the Acquire in
        // `Guard::over`, and in `range`.
        self.0.start.store(0, Release);
    }
}

/// Tells of one guard whether its mapping has faulted. Of no meaning once the guard is gone.
#[derive(Clone, Copy, Debug)]
pub struct Fault(&'static Entry);

impl Fault {
    /// See [`Guard::faulted`].
    pub fn happened(self) -> bool {
        // Relaxed: see there.
        self.0.faulted.load(Relaxed)
    }
}

/// A segment whose loss does not kill the reader.
#[derive(Debug)]
pub struct Guarded {
    // Dropped before what it guards.
    guard: Guard,
    opened: Opened,
}

impl Guarded {
    /// Guards this segment; `None` when [`MAPPINGS`] are guarded already.
    pub fn new(opened: Opened) -> Option<Self> {
        Some(Self { guard: Guard::over(&opened.mapping)?, opened })
    }

    /// Maps the file up to this byte, which it has grown to, and guards that. References into the mapping must be gone.
    ///
    /// # Errors
    /// When it has not grown so far, or cannot be mapped; everything is as it was then.
    pub fn follow(&mut self, bytes: usize) -> Result<(), SegmentError> {
        self.guard.pause();
        let followed = self.opened.follow(bytes);
        self.guard.watch(&self.opened.mapping);
        followed
    }

    /// Whether the file lost pages that were touched.
    pub fn faulted(&self) -> bool {
        self.guard.faulted()
    }
}

impl Deref for Guarded {
    type Target = Opened;
    fn deref(&self) -> &Opened {
        &self.opened
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
    // Relaxed: see `Guard::over`.
    for entry in &TABLE[..USED.load(Relaxed)] {
        let Some(range) = entry.range().filter(|range| range.contains(&address)) else { continue };
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED;
        // SAFETY: the range was guarded, whole, at some moment since the fault: start and length are of one turn (`range`),
        // guards end or pause before their mappings do, and the mapping that this thread touches stays while it is here. So
        // a range with this address in it is that mapping and nothing else, whatever other threads map and unmap
        // meanwhile. Zeros instead of its pages are a change of value, as the file's owner may make it at any time.
        let put = unsafe { libc::mmap(range.start as *mut libc::c_void, range.len(), protection, flags, -1, 0) };
        if put != libc::MAP_FAILED {
            // Relaxed: read by the thread that was interrupted.
            entry.faulted.store(true, Relaxed);
            FAULTS.fetch_add(1, Relaxed);
            return;
        }
    }
    // Not ours: die of it as if there were no handler.
    // SAFETY: restoring the default action; the faulting instruction then runs again.
    unsafe { libc::signal(libc::SIGBUS, libc::SIG_DFL) };
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The handler's look at an entry that other threads free and take meanwhile: never one's start with another's length, which
    /// would reach over a neighbour.
    #[test]
    fn a_range_is_never_put_together_of_two() {
        static ENTRY: Entry = Entry::free();
        // What follows the first one in memory is another's.
        let (first, second) = ((0x1000, 0x1000), (0x10_0000, 0x8_0000));
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                // Relaxed: ends the test.
                while !stop.load(Relaxed) {
                    for (start, len) in [first, second] {
                        ENTRY.set(start, len);
                    }
                }
            });
            let (mut seen, mut mixed) = ([0_u32; 2], None);
            while mixed.is_none() && seen.iter().any(|count| *count < 200_000) {
                let Some(range) = ENTRY.range() else { continue };
                match [first, second].iter().position(|(start, len)| range == (*start..start + len)) {
                    Some(at) => seen[at] += 1,
                    None => mixed = Some(range),
                }
            }
            stop.store(true, Relaxed);
            assert_eq!(mixed, None, "after {seen:?} right ones");
        });
    }
}
