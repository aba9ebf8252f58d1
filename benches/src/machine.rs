//! The machine that is measured on.

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{Acquire, Release};
use std::time::Instant;

/// A round trip of one cache line below this is "near": both cores share a cache.
const NEAR_BELOW_NS: f64 = 200.0;

/// The machine, for the head of a report.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Machine {
    /// Model name of the first processor.
    pub processor: String,
    /// Processors that this process may use.
    pub processors: usize,
    /// `uname -sr`.
    pub kernel: String,
    /// Load average over the last minute when the run began: above 0.5, somebody else was measured as well.
    pub load: f64,
}

impl Machine {
    /// This one.
    pub fn read() -> Self {
        let text = |path| std::fs::read_to_string(path).unwrap_or_default();
        let model = text("/proc/cpuinfo").lines().find_map(|line| {
            line.strip_prefix("model name").map(|rest| rest.trim_start_matches([' ', '\t', ':']).to_owned())
        });
        let load = text("/proc/loadavg").split(' ').next().and_then(|load| load.parse().ok());
        Self {
            processor: model.unwrap_or_else(|| std::env::consts::ARCH.to_owned()),
            processors: processors().len(),
            kernel: format!("Linux {}", text("/proc/sys/kernel/osrelease").trim()),
            load: load.unwrap_or(0.0),
        }
    }
}

/// The processors that the calling thread may use: to be asked before it is pinned to one.
pub fn processors() -> Vec<usize> {
    let Ok(set) = sched_getaffinity(Pid::from_raw(0)) else { return vec![0] };
    (0..CpuSet::count()).filter(|cpu| set.is_set(*cpu).unwrap_or(false)).collect()
}

/// Pins the calling thread to one processor. False if it may not be pinned there.
pub fn pin(cpu: usize) -> bool {
    let mut set = CpuSet::new();
    set.set(cpu).is_ok() && sched_setaffinity(Pid::from_raw(0), &set).is_ok()
}

/// How far two processors are from each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Distance {
    /// They share a cache.
    Near,
    /// A line travels between two caches.
    Far,
    /// There is one processor only.
    Alone,
}

impl Distance {
    /// Its name in tables.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Near => "near",
            Self::Far => "far",
            Self::Alone => "alone",
        }
    }
}

#[repr(align(128))]
struct Line(AtomicU64);

/// Measures how long one cache line takes from one processor to the other and back, ns. A virtual machine's processors move:
/// ask before and after each measurement, and keep near and far apart.
pub fn round_trip_ns(here: usize, there: usize) -> f64 {
    const TRIPS: u64 = 20_000;
    let ball = Line(AtomicU64::new(0));
    std::thread::scope(|scope| {
        let echo = scope.spawn(|| {
            pin(there);
            for trip in 0..TRIPS {
                while ball.0.load(Acquire) != 2 * trip + 1 {
                    std::hint::spin_loop();
                }
                ball.0.store(2 * trip + 2, Release);
            }
        });
        pin(here);
        let mut begin = Instant::now();
        for trip in 0..TRIPS {
            if trip == TRIPS / 10 {
                begin = Instant::now();
            }
            ball.0.store(2 * trip + 1, Release);
            while ball.0.load(Acquire) != 2 * trip + 2 {
                std::hint::spin_loop();
            }
        }
        let spent = begin.elapsed();
        let _ended = echo.join();
        spent.as_nanos() as f64 / (TRIPS - TRIPS / 10) as f64
    })
}

/// How far two processors are from each other now. The caller is pinned to the first afterwards.
pub fn distance(here: usize, there: usize) -> Distance {
    if here == there {
        Distance::Alone
    } else if round_trip_ns(here, there) < NEAR_BELOW_NS {
        Distance::Near
    } else {
        Distance::Far
    }
}
