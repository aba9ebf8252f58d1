//! Times events, and keeps those that took long.

use nix::time::{ClockId, clock_gettime};
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
    /// The same without what this thread was without a processor, since its last pause, µs. What a hypervisor takes is in it.
    pub own_us: f64,
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
    /// At the last pause: the counter, and the time that this thread had a processor, µs.
    then: (u64, f64),
    pauses: Vec<Pause>,
}

impl Watch {
    /// For the calling thread, which writes the ring of this file.
    pub fn new(ticks_per_us: f64, file: Option<&Path>) -> Self {
        let long = (ticks_per_us * LEAST_US) as u64;
        let file = file.map(Path::to_owned);
        let mut watch =
            Self { ticks_per_us, long, file, bytes: 0, then: (0, 0.0), pauses: Vec::with_capacity(1 << 16) };
        (watch.bytes, watch.then) = (watch.bytes_now(), now());
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
        let (ticks, had) = now();
        let us = took as f64 / self.ticks_per_us;
        let passed = ticks.wrapping_sub(self.then.0) as f64 / self.ticks_per_us;
        let without = (passed - (had - self.then.1)).max(0.0);
        let bytes = self.bytes_now();
        self.pauses.push(Pause { us, own_us: (us - without).max(0.0), grew: bytes.saturating_sub(self.bytes) });
        self.bytes = bytes;
        self.then = now();
    }

    fn bytes_now(&self) -> u64 {
        self.file.as_ref().and_then(|file| std::fs::metadata(file).ok()).map_or(0, |file| file.len())
    }

    /// What took long.
    pub fn pauses(self) -> Vec<Pause> {
        self.pauses
    }
}

/// The counter, and the time that this thread had a processor, µs.
fn now() -> (u64, f64) {
    let had = clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID)
        .map_or(0.0, |time| time.tv_sec() as f64 * 1e6 + time.tv_nsec() as f64 / 1e3);
    (ticks::now(), had)
}
