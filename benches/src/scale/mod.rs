//! A host that grows: real processes, real rings, a real aggregator, and the figures that it publishes, compared with what the
//! processes say they hold.
//!
//! | module | what it is |
//! |---|---|
//! | [`ground`] | names of this run's own, and nothing left behind |
//! | [`child`] | a tracked process, told line by line what to do |
//! | [`crew`] | all tracked processes of one point |
//! | [`daemon`] | the aggregator as a process of its own, and what it takes |
//! | [`figures`] | the stats segment, read as a viewer reads it |
//! | [`point`] | one point of a curve |

pub mod child;
pub mod crew;
pub mod daemon;
pub mod figures;
pub mod ground;
pub mod point;

/// `CLOCK_MONOTONIC` now, ns: the same for every process of this host.
pub fn monotonic_ns() -> u64 {
    let now = nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC);
    now.map_or(0, |time| time.tv_sec().unsigned_abs() * 1_000_000_000 + time.tv_nsec().unsigned_abs())
}
