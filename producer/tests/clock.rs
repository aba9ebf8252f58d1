//! The time of an event, by whom it is kept.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use nix::time::{ClockId, clock_gettime};
use producer::Ring;
use producer::environment::{Clock, Options};
use shm_layout::event::{Event, Kind, Memory};
use shm_layout::names::Prefix;
use shm_layout::ring::{CLOCK_MONOTONIC_NS, CLOCK_TICKS, Consumer, Identity, RECORDS_OFFSET, RingHeader, Slot};
use shm_layout::segment::{Access, Expect, Opened, open};
use shm_layout::ticks;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

const SLOTS: u64 = 4096;
/// The coarse clock's steps are never longer, ns.
const STEP: u64 = 20_000_000;

/// A ring and the look that an aggregator has at it.
struct Watched {
    ring: Ring,
    opened: Opened,
}

impl Watched {
    fn new(test: &str, clock: Clock) -> Self {
        let prefix = Prefix::new(&format!("tt_test_clock_{}_{test}", std::process::id())).unwrap();
        let ring = Ring::create(&Options { prefix, slots: SLOTS, clock, ..Options::default() }).unwrap();
        let opened = open(ring.name(), Access::ReadWrite, Expect { owners: &[], least: 1, most: u64::MAX }).unwrap();
        Self { ring, opened }
    }

    fn header(&self) -> &RingHeader<AtomicU64> {
        self.opened.mapping.one(0).unwrap()
    }

    fn identity(&self) -> Identity {
        self.header().identity()
    }

    fn push(&self, events: u64) {
        for id in 0..events {
            self.ring.record(Event { id, ..Event::new(Kind::Alloc, Memory::Dram, 0) });
        }
    }

    /// The times of all events so far.
    fn times(&self) -> Vec<u64> {
        let slots = self.opened.mapping.array::<Slot<AtomicU64>>(RECORDS_OFFSET, SLOTS as usize).unwrap();
        let mut times = Vec::new();
        Consumer::new(slots).unwrap().read(0, SLOTS as usize, |event| times.push(event.time));
        times
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.ring.close();
    }
}

fn monotonic_ns() -> u64 {
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC).unwrap();
    now.tv_sec() as u64 * 1_000_000_000 + now.tv_nsec() as u64
}

#[test]
fn with_nobody_attached_the_kernel_tells_the_time() {
    let begin = monotonic_ns();
    let watched = Watched::new("alone", Clock::Shared);
    watched.push(100);
    let end = monotonic_ns();
    assert_eq!(watched.identity().clock, CLOCK_MONOTONIC_NS);
    let times = watched.times();
    assert_eq!(times.len(), 100);
    assert!(times.iter().all(|time| (begin - STEP..=end).contains(time)), "{begin} {end} {times:?}");
}

#[test]
fn an_aggregators_word_is_taken_until_it_is_too_old() {
    let watched = Watched::new("word", Clock::Shared);
    let begin = monotonic_ns();
    watched.header().clock.store(begin, Relaxed);
    watched.push(3);
    assert_eq!(watched.times(), [begin; 3]);
    // Its aggregator died a minute ago: noticed at the 65th event at the latest.
    let old = begin - 60_000_000_000;
    watched.header().clock.store(old, Relaxed);
    watched.push(200);
    let times = watched.times();
    let taken = times.iter().filter(|time| **time == old).count();
    assert!((1..=64).contains(&taken), "{taken} events with the time of a dead aggregator");
    assert!(times[3 + taken..].iter().all(|time| *time >= begin - STEP), "{times:?}");
}

#[test]
fn exact_times_are_the_processors() {
    let watched = Watched::new("exact", Clock::Exact);
    watched.header().clock.store(7, Relaxed);
    watched.push(1000);
    let (identity, times) = (watched.identity(), watched.times());
    assert!(times.is_sorted() && times.len() == 1000);
    if ticks::tell_time() {
        assert_eq!(identity.clock, CLOCK_TICKS);
        assert!(identity.created_ticks > 0 && times[0] >= identity.created_ticks && times[999] <= ticks::now());
    } else {
        assert_eq!(identity.clock, CLOCK_MONOTONIC_NS);
        assert!(times[0] >= identity.created_monotonic_ns && times[999] <= monotonic_ns());
    }
    assert!(identity.check(watched.opened.mapping.len() as u64).is_ok());
}
