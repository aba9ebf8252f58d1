//! Times events, and keeps those that took long.

use nix::sys::resource::{UsageWho, getrusage};
use shm_layout::ticks;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// An event that took longer is a pause, µs.
pub const LEAST_US: f64 = 30.0;

/// One event that took long.
#[derive(Clone, Copy, Debug)]
pub struct Pause {
    /// How long, µs.
    pub us: f64,
    /// The kernel gave the processor to somebody else since the last pause of this thread: most likely now.
    pub interrupted: bool,
    /// The ring's file grew by so much meanwhile, bytes.
    pub grew: u64,
}

/// The processor's counter against the clock: ticks a microsecond. `None` where there is no counter.
pub fn ticks_per_us() -> Option<f64> {
    let (begin, before) = (Instant::now(), ticks::now());
    std::thread::sleep(Duration::from_millis(50));
    let (took, ticks) = (begin.elapsed(), ticks::now().wrapping_sub(before));
    (ticks > 0 && ticks::tell_time()).then(|| ticks as f64 / (took.as_nanos() as f64 / 1000.0))
}

/// One thread's.
#[derive(Debug)]
pub struct Watch {
    ticks_per_us: f64,
    long: u64,
    /// What may grow meanwhile. Asked by name: to open and close it would give up this process's locks of it.
    file: Option<PathBuf>,
    bytes: u64,
    switches: i64,
    pauses: Vec<Pause>,
}

impl Watch {
    /// For the calling thread, which writes the ring of this file.
    pub fn new(ticks_per_us: f64, file: Option<&Path>) -> Self {
        let long = (ticks_per_us * LEAST_US) as u64;
        let file = file.map(Path::to_owned);
        let mut watch = Self { ticks_per_us, long, file, bytes: 0, switches: 0, pauses: Vec::with_capacity(1 << 16) };
        (watch.bytes, watch.switches) = (watch.bytes_now(), switches());
        watch
    }

    /// Times one event.
    #[inline(always)]
    pub fn time(&mut self, event: impl FnOnce()) {
        let before = ticks::now();
        event();
        let took = ticks::now().wrapping_sub(before);
        if took > self.long {
            self.note(took);
        }
    }

    #[cold]
    #[inline(never)]
    fn note(&mut self, took: u64) {
        let (bytes, switches) = (self.bytes_now(), switches());
        let us = took as f64 / self.ticks_per_us;
        let (interrupted, grew) = (switches > self.switches, bytes.saturating_sub(self.bytes));
        self.pauses.push(Pause { us, interrupted, grew });
        (self.bytes, self.switches) = (bytes, switches);
    }

    fn bytes_now(&self) -> u64 {
        self.file.as_ref().and_then(|file| std::fs::metadata(file).ok()).map_or(0, |file| file.len())
    }

    /// What took long.
    pub fn pauses(self) -> Vec<Pause> {
        self.pauses
    }
}

/// How often this thread lost its processor against its will.
fn switches() -> i64 {
    getrusage(UsageWho::RUSAGE_THREAD).map_or(0, |usage| usage.involuntary_context_switches())
}
