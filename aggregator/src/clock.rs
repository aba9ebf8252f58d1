//! Times as processes tell them: none is later than now, and those of a ring whose events are stamped with the processor's counter
//! (`TT_ALLOC_CLOCK=tsc`) become nanoseconds.
//!
//! For these both clocks are read together when the ring is made and at each batch; what lies between two such moments is
//! interpolated. For events that an aggregator reads as they come, the error is that of the pairing, mostly well below a
//! microsecond, however the kernel corrects its clock; for what was written long before it came, corrections meanwhile are in it.

use shm_layout::event::Event;
use shm_layout::ring::{CLOCK_TICKS, Identity};
use shm_layout::ticks;

/// A time that a record or a file tells, `CLOCK_MONOTONIC` ns: what is still to come was told by nobody who could know, and would
/// count as the latest for ever.
pub fn not_after_now(ns: u64) -> u64 {
    ns.min(crate::host::Now::read().monotonic_ns)
}

/// Both clocks at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Moment {
    ticks: u64,
    /// `CLOCK_MONOTONIC`.
    ns: u64,
}

impl Moment {
    /// Now. Of a few readings the one that was least disturbed.
    fn now() -> Self {
        let reading = || {
            let before = ticks::now();
            let ns = crate::host::Now::read().monotonic_ns;
            let took = ticks::now().saturating_sub(before);
            (took, Self { ticks: before + took / 2, ns })
        };
        let readings = [reading(), reading(), reading()];
        readings.into_iter().min_by_key(|(took, _)| *took).map_or(Self { ticks: 0, ns: 0 }, |(_, moment)| moment)
    }

    /// The time at a tick between this moment and a later one; a tick outside becomes the nearer end.
    fn interpolate(self, later: Self, at: u64) -> u64 {
        let ticks = later.ticks.saturating_sub(self.ticks);
        let part = at.clamp(self.ticks, later.ticks.max(self.ticks)) - self.ticks;
        if ticks == 0 {
            return later.ns;
        }
        // Differences of a batch, or of the ring's age at most: far below 2^53 steps of a nanosecond.
        self.ns + (part as f64 * (later.ns.saturating_sub(self.ns) as f64 / ticks as f64)) as u64
    }
}

/// The clock of one ring.
#[derive(Debug)]
pub struct TickClock {
    made: Moment,
    last: Moment,
}

impl TickClock {
    /// The clock that this ring's header tells of; `None` if its times are nanoseconds already.
    pub fn of(ring: &Identity) -> Option<Self> {
        let made = Moment { ticks: ring.created_ticks, ns: ring.created_monotonic_ns };
        (ring.clock == CLOCK_TICKS).then_some(Self { made, last: made })
    }

    /// Turns the times of a batch that was read just now into nanoseconds. Times before the ring was made or after now are no
    /// times, and become the nearer one of the two.
    pub fn convert(&mut self, batch: &mut [Event]) {
        self.convert_at(batch, Moment::now());
    }

    fn convert_at(&mut self, batch: &mut [Event], now: Moment) {
        for event in batch {
            event.time = if event.time < self.last.ticks {
                self.made.interpolate(self.last, event.time)
            } else {
                self.last.interpolate(now, event.time)
            };
        }
        self.last = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn converted(clock: &mut TickClock, times: &[u64], now: Moment) -> Vec<u64> {
        let mut batch: Vec<Event> = times.iter().map(|time| Event { time: *time, ..Event::default() }).collect();
        clock.convert_at(&mut batch, now);
        batch.iter().map(|event| event.time).collect()
    }

    #[test]
    fn ticks_become_nanoseconds_also_when_the_pace_is_corrected() {
        // Three ticks a nanosecond at first, then two.
        let made = Moment { ticks: 9_000, ns: 1_000 };
        let mut clock = TickClock { made, last: made };
        let first = Moment { ticks: 39_000, ns: 11_000 };
        assert_eq!(converted(&mut clock, &[9_000, 12_000, 39_000], first), [1_000, 2_000, 11_000]);
        let second = Moment { ticks: 59_000, ns: 21_000 };
        assert_eq!(converted(&mut clock, &[12_000, 41_000], second), [2_000, 12_000]);
    }

    #[test]
    fn what_is_still_to_come_is_now() {
        let before = crate::host::Now::read().monotonic_ns;
        assert_eq!(not_after_now(before), before);
        let cut = not_after_now(u64::MAX);
        assert!(cut >= before && cut <= crate::host::Now::read().monotonic_ns);
    }

    #[test]
    fn what_is_no_time_stays_inside() {
        let made = Moment { ticks: 9_000, ns: 1_000 };
        let mut clock = TickClock { made, last: made };
        let now = Moment { ticks: 39_000, ns: 11_000 };
        assert_eq!(converted(&mut clock, &[0, u64::MAX], now), [1_000, 11_000]);
        // A header whose moment lies in the future.
        let mut clock = TickClock { made: Moment { ticks: u64::MAX, ns: u64::MAX }, last: now };
        assert_eq!(converted(&mut clock, &[5, u64::MAX], Moment { ticks: 39_000, ns: 11_000 }), [11_000, 11_000]);
    }

    #[test]
    fn the_counter_and_the_clock_run_together() {
        let (first, second) = (Moment::now(), Moment::now());
        assert!(second.ns >= first.ns);
        assert!(!ticks::tell_time() || second.ticks > first.ticks);
    }
}
