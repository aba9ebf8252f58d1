//! The time of an event.
//!
//! Reading a clock costs more than the whole push (docs/adr/0002). An attached aggregator therefore keeps the time in its
//! line of the ring's header, as fine as it polls, and the producer copies that word. Nobody tells when the aggregator
//! has died or sleeps, so every 64th event looks at the real clock and declares a word that is too old stale; the first
//! event of a burst is among them.

use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::Relaxed;
use shm_layout::ring::RingHeader;

/// A clock word may be this much behind before it is stale, ns: twice the longest sleep of an idle aggregator.
const STALE_AFTER_NS: u64 = 50_000_000;
/// Every how many events the word is compared with the real clock; a power of two.
const CHECK_EVERY: u64 = 64;

/// `CLOCK_MONOTONIC`, ns.
pub(crate) fn monotonic_ns() -> u64 {
    clock(libc::CLOCK_MONOTONIC)
}

/// `CLOCK_REALTIME`, ns.
pub(crate) fn unix_ns() -> u64 {
    clock(libc::CLOCK_REALTIME)
}

fn clock(id: libc::clockid_t) -> u64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `now` is a valid timespec for the kernel to fill; the clocks asked for always exist.
    unsafe { libc::clock_gettime(id, &mut now) };
    u64::try_from(now.tv_sec).unwrap_or(0) * 1_000_000_000 + u64::try_from(now.tv_nsec).unwrap_or(0)
}

/// The time of the event that will be about the `next`th.
#[inline(always)]
pub(crate) fn event_time(header: &RingHeader<AtomicU64>, next: u64) -> u64 {
    // Relaxed: a time stamp orders nothing.
    let word = header.clock.load(Relaxed);
    if next & (CHECK_EVERY - 1) != 0 && word != 0 && word != header.stale_clock.load(Relaxed) {
        return word;
    }
    look(header, word)
}

#[cold]
fn look(header: &RingHeader<AtomicU64>, word: u64) -> u64 {
    let now = monotonic_ns();
    // Relaxed: only a hint among the threads of this process.
    if word != 0 && now.saturating_sub(word) > STALE_AFTER_NS {
        header.stale_clock.store(word, Relaxed);
    }
    now
}
