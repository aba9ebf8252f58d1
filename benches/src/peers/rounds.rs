//! The measures that every peer goes through, on two pinned processors.
//!
//! | measure | what happens |
//! |---|---|
//! | warm | a burst is pushed, then read on the same processor: slots lie in the producer's own caches |
//! | returned | a burst is pushed, then the other processor reads all of it, then the next burst: slots come back from there |
//! | single | one event every few microseconds, each timed by itself; the other processor reads now and then |
//! | one way | one event at a time, from its push to the moment at which a consumer that polls without pause has it |

use super::{Drain, Push};
use crate::machine::pin;
use crate::sample::Sample;
use shm_layout::ticks;
use std::hint::{black_box, spin_loop};
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::time::{Duration, Instant};

/// Events of a burst.
const BURST: u64 = 1024;

/// Two processors and how long to measure.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Where events are pushed.
    pub here: usize,
    /// Where they are read.
    pub there: usize,
    /// Bursts of one repetition.
    pub bursts: usize,
    /// Single events of one repetition.
    pub singles: usize,
    /// Ticks of the processor's counter in a nanosecond.
    pub ticks_per_ns: f64,
}

impl Plan {
    /// Calibrates the counter; 10 ms.
    pub fn new(here: usize, there: usize, quick: bool) -> Self {
        let (begin, first) = (Instant::now(), ticks::now());
        std::thread::sleep(Duration::from_millis(10));
        let ticks_per_ns = (ticks::now() - first) as f64 / begin.elapsed().as_nanos() as f64;
        let (bursts, singles) = if quick { (60, 2_000) } else { (300, 20_000) };
        Self { here, there, bursts, singles, ticks_per_ns: ticks_per_ns.max(f64::MIN_POSITIVE) }
    }
}

#[repr(align(128))]
struct Line(AtomicU64);

#[inline(never)]
fn burst(push: &mut impl Push, from: u64) -> f64 {
    let begin = Instant::now();
    let mut refused = 0_u64;
    for n in from..from + BURST {
        refused += u64::from(!push.push(black_box(n)));
    }
    let spent = begin.elapsed();
    assert_eq!(refused, 0, "a burst fits");
    spent.as_nanos() as f64 / BURST as f64
}

/// Bursts of the first lap, which is not counted: pages are touched for the first time there.
const FIRST_LAP: u64 = super::SLOTS as u64 / BURST;

/// ns an event, slots in the producer's own caches: the median burst.
pub fn warm(plan: Plan, push: &mut impl Push, drain: &mut impl Drain) -> f64 {
    pin(plan.here);
    let mut sample = Sample::default();
    for at in 0..FIRST_LAP + plan.bursts as u64 {
        let ns = burst(push, at * BURST);
        if at >= FIRST_LAP {
            sample.push(ns);
        }
        assert_eq!(drain.drain(|_| {}), BURST, "what was pushed is read");
    }
    sample.quantile(0.5)
}

/// ns an event, slots that the other processor has just given back: the median burst.
pub fn returned(plan: Plan, push: &mut impl Push, drain: &mut impl Drain) -> f64 {
    let turns = FIRST_LAP + plan.bursts as u64;
    let turn = Line(AtomicU64::new(0));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            pin(plan.there);
            for at in 0..turns {
                while turn.0.load(Acquire) != 2 * at + 1 {
                    spin_loop();
                }
                let mut read = 0;
                while read < BURST {
                    read += drain.drain(|_| {});
                }
                turn.0.store(2 * at + 2, Release);
            }
        });
        pin(plan.here);
        let mut sample = Sample::default();
        for at in 0..turns {
            let ns = burst(push, at * BURST);
            if at >= FIRST_LAP {
                sample.push(ns);
            }
            turn.0.store(2 * at + 1, Release);
            while turn.0.load(Acquire) != 2 * at + 2 {
                spin_loop();
            }
        }
        sample.quantile(0.5)
    })
}

/// The counter, behind everything before it and before everything behind it.
#[inline(always)]
fn fenced() -> u64 {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: SSE2 belongs to every x86-64; a fence has no operands.
    unsafe {
        std::arch::x86_64::_mm_lfence();
    }
    let now = ticks::now();
    #[cfg(target_arch = "x86_64")]
    // SAFETY: as above.
    unsafe {
        std::arch::x86_64::_mm_lfence();
    }
    now
}

/// ns of single events, each timed by itself, with the timing's own cost (its median) taken off.
pub fn single(plan: Plan, push: &mut impl Push, drain: &mut impl Drain) -> Vec<f64> {
    let stop = AtomicU64::new(0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            pin(plan.there);
            while stop.load(Relaxed) == 0 {
                drain.drain(|_| {});
                std::thread::sleep(Duration::from_micros(200));
            }
            drain.drain(|_| {});
        });
        pin(plan.here);
        let mut own: Sample = (0..1000).map(|_| -(fenced() as f64 - fenced() as f64)).collect();
        let own = own.quantile(0.5);
        let mut sample = Vec::with_capacity(plan.singles);
        for n in 0..plan.singles as u64 {
            let until = Instant::now() + Duration::from_micros(2);
            while Instant::now() < until {
                spin_loop();
            }
            let begin = fenced();
            black_box(push.push(black_box(n)));
            let ticks = fenced() - begin;
            sample.push(((ticks as f64 - own) / plan.ticks_per_ns).max(0.0));
        }
        stop.store(1, Relaxed);
        sample
    })
}

/// ns from the push of one event to the moment at which a consumer that polls without pause has it.
pub fn one_way(plan: Plan, push: &mut impl Push, drain: &mut impl Drain) -> Vec<f64> {
    let seen = Line(AtomicU64::new(0));
    let count = plan.singles as u64;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            pin(plan.there);
            let mut read = 0;
            while read < count {
                let got = drain.drain(|_| {});
                if got > 0 {
                    read += got;
                    seen.0.store(fenced(), Release);
                }
            }
        });
        pin(plan.here);
        let mut sample = Vec::with_capacity(plan.singles);
        for n in 0..count {
            let before = seen.0.load(Relaxed);
            let begin = fenced();
            black_box(push.push(n));
            loop {
                let at = seen.0.load(Acquire);
                if at != before {
                    sample.push(at.saturating_sub(begin) as f64 / plan.ticks_per_ns);
                    break;
                }
                spin_loop();
            }
        }
        sample
    })
}
