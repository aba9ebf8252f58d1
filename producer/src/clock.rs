//! The time of an event.
//!
//! | ring | who is attached | time | cost of it |
//! |---|---|---|---|
//! | shared clock (default) | an aggregator that runs | the word that it keeps in the ring's header, as fine as it polls | 0.1 ns |
//! | | nobody, or one that sleeps | `CLOCK_MONOTONIC_COARSE`: as fine as the kernel's tick, 1 to 10 ms | a few ns |
//! | exact (`TT_ALLOC_CLOCK=tsc`) | anybody | the processor's counter; the header says how to convert | 6 to 10 ns |
//!
//! Reading an exact clock costs more than the whole push (docs/adr/0002). Nobody tells when the aggregator has died or
//! sleeps, so every 64th event looks at the kernel's clock and declares a word that is too old stale.

use crate::environment::Clock;
use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::Relaxed;
use shm_layout::ring::{CLOCK_MONOTONIC_NS, CLOCK_TICKS, RingHeader};
use shm_layout::ticks;

/// A clock word may be this much behind before it is stale, ns: twice the longest sleep of an aggregator that keeps it.
const STALE_AFTER_NS: u64 = 50_000_000;
/// Every how many events the word is compared with the kernel's clock; a power of two.
pub(crate) const LOOK_EVERY: u64 = 64;

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

/// The processor's counter and `CLOCK_MONOTONIC` at one moment: of a few readings the one that was least disturbed.
pub(crate) fn moment() -> (u64, u64) {
    let reading = || {
        let before = ticks::now();
        let ns = monotonic_ns();
        let took = ticks::now().saturating_sub(before);
        (took, before + took / 2, ns)
    };
    let (_, ticks, ns) = [reading(), reading(), reading()].into_iter().min().unwrap_or_default();
    (ticks, ns)
}

/// How the events of one ring are stamped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stamp {
    /// With the consumer's word.
    Shared,
    /// With the processor's counter.
    Ticks,
    /// With `CLOCK_MONOTONIC`: exact times were asked for, and the counter does not tell time here.
    Monotonic,
}

impl Stamp {
    /// For what was asked for.
    pub(crate) fn of(asked: Clock) -> Self {
        match asked {
            Clock::Shared => Self::Shared,
            Clock::Exact if ticks::tell_time() => Self::Ticks,
            Clock::Exact => Self::Monotonic,
        }
    }

    /// What the ring's header says of it.
    pub(crate) const fn number(self) -> u32 {
        match self {
            Self::Shared | Self::Monotonic => CLOCK_MONOTONIC_NS,
            Self::Ticks => CLOCK_TICKS,
        }
    }

    /// The time of an event that comes now.
    #[inline(always)]
    pub(crate) fn time(self, header: &RingHeader<AtomicU64>) -> u64 {
        match self {
            Self::Shared => {
                // Relaxed: a time stamp orders nothing.
                let word = header.clock.load(Relaxed);
                if word != 0 && word != header.stale_clock.load(Relaxed) { word } else { coarse_ns() }
            }
            Self::Ticks => ticks::now(),
            Self::Monotonic => monotonic_ns(),
        }
    }
}

/// The kernel's time of its last tick, ns.
#[cold]
fn coarse_ns() -> u64 {
    clock(libc::CLOCK_MONOTONIC_COARSE)
}

/// Declares the consumer's word stale if it is.
pub(crate) fn look(header: &RingHeader<AtomicU64>) {
    // Relaxed: only a hint among the threads of this process.
    let word = header.clock.load(Relaxed);
    if word != 0 && word != header.stale_clock.load(Relaxed) && coarse_ns().saturating_sub(word) > STALE_AFTER_NS {
        header.stale_clock.store(word, Relaxed);
    }
}
