//! A host to measure on: real processes with real rings, a real aggregator, and whoever reads its figures.
//!
//! | module | what it is |
//! |---|---|
//! | [`ground`] | names of this run's own, and nothing left behind |
//! | [`player`] | a tracked process, told line by line what to do |
//! | [`daemon`] | the aggregator as a process of its own, and what it costs |
//! | [`watcher`] | the stats segment, as a viewer reads it |
//! | [`latency`] | event to visible, death to gone |
//! | [`cost`] | idle rings, publishing, start, memory |

pub mod cost;
pub mod daemon;
pub mod ground;
pub mod latency;
pub mod player;
pub mod watcher;

/// What went wrong, in words.
pub type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

/// `CLOCK_MONOTONIC` now, ns.
pub fn monotonic_ns() -> u64 {
    let time = nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC);
    let time = time.unwrap_or(nix::sys::time::TimeSpec::new(0, 0));
    u64::try_from(time.tv_sec()).unwrap_or(0) * 1_000_000_000 + u64::try_from(time.tv_nsec()).unwrap_or(0)
}
