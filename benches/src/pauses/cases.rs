//! One ring, filled one way or another, every event timed.

use super::watch::{Pause, Watch};
use super::work::Work;
use crate::host::Outcome;
use crate::host::daemon::Daemon;
use crate::host::ground::Ground;
use crate::host::watcher::blocks;
use producer::Ring;
use producer::environment::Options;
use shm_layout::names::DIRECTORY;
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::sync::Barrier;
use std::time::{Duration, Instant};

/// Threads of the case with many.
const THREADS: usize = 8;
/// Events that are dropped at the bound.
const DROPS: u64 = 500_000;
/// Alive while the reader is stopped.
const STOPPED_LIVE: usize = 5000;

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Case {
    /// One thread, so many alive.
    Live(usize),
    /// One thread, so many programs of 20 CBs alive.
    Programs(usize),
    /// Eight threads, so many alive together.
    Threads(usize),
    /// An aggregator is attached, has read, and is stopped.
    Stopped,
    /// Nothing is ever freed.
    Bound,
    /// No ring: one thread makes the events and their times and does nothing with them.
    Nothing,
    /// The same with eight threads.
    NothingThreads,
}

impl Case {
    /// All of them, in the order of the table.
    pub const ALL: [Self; 11] = [
        Self::Nothing,
        Self::Live(10),
        Self::Live(5000),
        Self::Live(16_000),
        Self::Programs(100),
        Self::Live(30_000),
        Self::Live(100_000),
        Self::Stopped,
        Self::Bound,
        Self::NothingThreads,
        Self::Threads(5000),
    ];

    /// Its name in tables.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Live(10) => "10 live",
            Self::Live(5000) => "5,000 live",
            Self::Live(16_000) => "16,000 live",
            Self::Live(30_000) => "30,000 live",
            Self::Live(_) => "100,000 live",
            Self::Programs(_) => "100 programs of 20 CBs, released at once",
            Self::Threads(_) => "8 threads, 5,000 live",
            Self::Stopped => "a reader that is stopped, 5,000 live",
            Self::Bound => "nothing freed, up to the bound",
            Self::Nothing => "control: the same loop, no ring",
            Self::NothingThreads => "control: 8 threads, no ring",
        }
    }
}

/// What came of one run.
#[derive(Clone, Debug, Default)]
pub struct Run {
    /// Events that were timed.
    pub events: u64,
    /// The loop around them, wall time.
    pub took: Duration,
    /// Events that took long.
    pub pauses: Vec<Pause>,
    /// The ring's file at the end, bytes.
    pub bytes: u64,
    /// Events that did not fit.
    pub dropped: u64,
    /// Of a dropped event, ns, over the last half million.
    pub ns_per_drop: Option<f64>,
}

/// Runs one of them. `events` is how many are timed; the control runs for `as_long` instead.
///
/// # Errors
/// When the ring cannot be made, or what was measured is not what the case says.
pub fn run(case: Case, events: u64, as_long: Duration, ticks_per_us: f64, aggregator: &PathBuf) -> Outcome<Run> {
    match case {
        Case::Nothing => return Ok(nothing(as_long, ticks_per_us)),
        Case::NothingThreads => {
            return Ok(merge(threads(|_| nothing(as_long, ticks_per_us))));
        }
        _ => {}
    }
    let ground = Ground::new()?;
    let ring = Ring::create(&Options { prefix: ground.prefix.clone(), ..Options::default() })?;
    let file = Path::new(DIRECTORY).join(ring.name());
    let fill = |mut work: Work, events: u64| {
        let mut watch = Watch::new(ticks_per_us, Some(&file));
        let begin = Instant::now();
        for _ in 0..events {
            let event = work.event();
            watch.time(|| ring.record(event));
        }
        Run { events, took: begin.elapsed(), pauses: watch.pauses(), ..Run::default() }
    };
    let mut run = match case {
        Case::Live(live) => fill(Work::steady(live, 0), events),
        Case::Programs(programs) => fill(Work::programs(programs), events),
        Case::Threads(live) => {
            merge(threads(|n| fill(Work::steady(live / THREADS, n as u64 + 1), events / THREADS as u64)))
        }
        Case::Stopped => stopped(&ground, aggregator, &ring, || fill(Work::steady(STOPPED_LIVE, 1), events))?,
        _ => bound(&ring, fill),
    };
    run.bytes = std::fs::metadata(&file)?.len();
    run.dropped = ring.dropped();
    ring.close();
    // Of several threads, one may wait in vain for another that has no processor: that is told, and no fault of the measurement.
    if (run.dropped > 0) != (case == Case::Bound) && !matches!(case, Case::Threads(_)) {
        return Err(format!("{}: {} events were dropped", case.name(), run.dropped).into());
    }
    Ok(run)
}

fn nothing(as_long: Duration, ticks_per_us: f64) -> Run {
    let (mut work, mut watch) = (Work::steady(5000, 0), Watch::new(ticks_per_us, None));
    let (begin, mut events) = (Instant::now(), 0);
    while begin.elapsed() < as_long {
        for _ in 0..4096 {
            let event = work.event();
            watch.time(|| {
                black_box(&event);
            });
        }
        events += 4096;
    }
    Run { events, took: begin.elapsed(), pauses: watch.pauses(), ..Run::default() }
}

fn threads(work: impl Fn(usize) -> Run + Sync) -> Vec<Run> {
    let (barrier, work) = (&Barrier::new(THREADS), &work);
    std::thread::scope(|scope| {
        let start = |n| {
            scope.spawn(move || {
                barrier.wait();
                work(n)
            })
        };
        let workers: Vec<_> = (0..THREADS).map(start).collect();
        workers.into_iter().filter_map(|worker| worker.join().ok()).collect()
    })
}

/// Runs at the same time, as one.
fn merge(runs: Vec<Run>) -> Run {
    let mut all = Run::default();
    for run in runs {
        all.events += run.events;
        all.took = all.took.max(run.took);
        all.pauses.extend(run.pauses);
    }
    all
}

/// The aggregator has read before it is stopped, and shows all of it in the end.
fn stopped(ground: &Ground, aggregator: &PathBuf, ring: &Ring, fill: impl FnOnce() -> Run) -> Outcome<Run> {
    let mut before = Work::steady(usize::MAX, 0);
    (0..1000).for_each(|_| ring.record(before.event()));
    let (daemon, mut watcher) = Daemon::start(aggregator, ground)?;
    let pid = std::process::id();
    watcher.wait("the first events", |s| blocks(s, pid) == 1000)?;
    daemon.stop()?;
    let run = fill();
    daemon.go_on()?;
    // An even number of events: one free, one allocation.
    let live = 1000 + STOPPED_LIVE as u64 - (run.events - STOPPED_LIVE as u64) % 2;
    watcher.wait("exactly what is alive", |s| blocks(s, pid) == live && s.health.lag_events == 0)?;
    Ok(run)
}

/// Until the ring grows no more, and half a million drops.
fn bound(ring: &Ring, fill: impl Fn(Work, u64) -> Run) -> Run {
    let mut all = Run::default();
    let mut thread = 0;
    while ring.dropped() == 0 {
        let run = fill(Work::steady(usize::MAX, thread), 1 << 14);
        thread += 1;
        all.events += run.events;
        all.took += run.took;
        all.pauses.extend(run.pauses);
    }
    let drops = fill(Work::steady(usize::MAX, thread), DROPS);
    all.events += drops.events;
    all.took += drops.took;
    all.ns_per_drop = Some(drops.took.as_nanos() as f64 / drops.events as f64);
    all.pauses.extend(drops.pauses);
    all
}
