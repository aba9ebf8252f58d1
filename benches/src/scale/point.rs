//! One point of a curve: so many processes, devices and live allocations, and what they cost.

use super::crew::{Crew, Done};
use super::daemon::Daemon;
use super::figures::{Figures, compare};
use super::ground::{Ground, room};
use crate::report::Report;
use crate::sample::Sample;
use anyhow::{Context, ensure};
use shm_layout::stats::Health;
use std::time::{Duration, Instant};

/// Slots of a small ring: 64 KiB.
const SMALL: u64 = 1024;
/// Slots of the usual ring: 2 MiB.
const USUAL: u64 = producer::environment::DEFAULT_SLOTS;
/// Bytes of a ledger's entry.
const ENTRY: u64 = 64;
/// What a host pays before the first allocation, bytes: the rest is told by live allocation.
const FIXED: u64 = 8 << 20;

/// What a curve is plotted over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Over {
    /// Tracked processes.
    Processes,
    /// Devices that each of them uses.
    Devices,
    /// Live allocations over all of them.
    Live,
}

impl Over {
    /// Its name in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Processes => "processes",
            Self::Devices => "devices",
            Self::Live => "live",
        }
    }
}

/// One point.
#[derive(Clone, Copy, Debug)]
pub struct Point {
    /// Of which curve.
    pub over: Over,
    /// Tracked processes.
    pub processes: usize,
    /// Devices that each of them uses.
    pub devices: usize,
    /// Live allocations over all of them.
    pub live: usize,
}

/// How thoroughly.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// Rounds of freeing and allocating.
    pub rounds: usize,
    /// Events of one such round over all processes, about.
    pub events: usize,
    /// Seconds for which it is watched doing nothing.
    pub idle_seconds: usize,
}

impl Point {
    /// The points of the three curves.
    pub fn all(quick: bool) -> Vec<Self> {
        let live: &[usize] =
            if quick { &[1_000, 100_000, 1_000_000] } else { &[1_000, 10_000, 100_000, 1_000_000, 10_000_000] };
        let processes: &[usize] = &[1, 10, 100, 1_000];
        let devices: &[usize] = if quick { &[1, 64] } else { &[1, 4, 16, 64] };
        let mut points = Vec::new();
        points.extend(processes.iter().map(|&processes| Self {
            over: Over::Processes,
            processes,
            devices: 1,
            live: 100_000,
        }));
        points.extend(devices.iter().map(|&devices| Self {
            over: Over::Devices,
            processes: 10,
            devices,
            live: 100_000,
        }));
        points.extend(live.iter().map(|&live| Self { over: Over::Live, processes: 10, devices: 1, live }));
        points
    }

    /// Where on its curve it is.
    pub const fn at(&self) -> (&'static str, f64) {
        let value = match self.over {
            Over::Processes => self.processes,
            Over::Devices => self.devices,
            Over::Live => self.live,
        };
        (self.over.name(), value as f64)
    }

    /// What stays the same along its curve.
    pub fn fixed(&self) -> &'static str {
        match self.over {
            Over::Processes => "100,000 live, 1 device, rings of 64 KiB",
            Over::Devices => "10 processes, 100,000 live, rings of 64 KiB",
            Over::Live => "10 processes, 1 device, rings of 2 MiB",
        }
    }

    const fn slots(&self) -> u64 {
        match self.over {
            Over::Live => USUAL,
            Over::Processes | Over::Devices => SMALL,
        }
    }

    /// Bytes of memory that it takes, at most about: ledgers that have doubled once too often, their index, the processes' own
    /// notes, rings, and the processes themselves.
    fn bytes_needed(&self) -> u64 {
        let each = (self.live / self.processes).next_power_of_two() as u64;
        self.processes as u64 * (each * (2 * ENTRY + 64) + self.slots() * 64 + (2 << 20))
    }

    /// Measures it.
    ///
    /// # Errors
    /// When a process does not do its part, or a total is wrong.
    pub fn measure(&self, n: usize, effort: Effort, report: &mut Report) -> anyhow::Result<()> {
        let (needed, free) = (self.bytes_needed(), room()?);
        let (over, value) = self.at();
        if needed > free {
            report.missing.push(format!("{value} {over}: needs {} MiB, {} are free", needed >> 20, free >> 20));
            return Ok(());
        }
        let ground = Ground::new(n)?;
        let (daemon, figures) = Daemon::start(&ground)?;
        let mut crew = Crew::start(&ground, self.processes, self.devices, self.slots())?;
        let started = crew.done()?;
        let mut run = Run { daemon, figures, crew, events: 0, cpu: Sample::default(), visible: Sample::default() };
        run.seen(started, 0)?;
        // What it took to start is not the cost of an event.
        run.forget();
        run.round(&format!("hold {}", self.live / self.processes))?;
        let mut growth = run.forget();
        let mut compared = run.check()?;
        let pairs = (effort.events / 2 / self.processes).max(1);
        for _ in 0..effort.rounds {
            run.round(&format!("turn {pairs}"))?;
            compared += run.check()?;
        }
        let mut add = |measure: &str, unit: &str, sample: &mut Sample| {
            report.add_point(measure, self.fixed(), (over, value), unit, sample);
        };
        add("scale: aggregator's CPU, allocate only", "ns/event", &mut growth);
        add("scale: aggregator's CPU, free one + allocate one", "ns/event", &mut run.cpu);
        add("scale: last event to visible totals", "ms", &mut run.visible);
        add("scale: idle aggregator", "% of a core", &mut run.idle(effort.idle_seconds)?);
        let live = self.live as f64;
        let [private, resident] = [run.daemon.memory("RssAnon")?, run.daemon.memory("VmRSS")?];
        let [ledgers, stats] = [ground.bytes_of(".ledger."), ground.bytes_of(".stats")];
        let mut one = |measure: &str, unit: &str, value: f64| add(measure, unit, &mut Sample::from_iter([value]));
        let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
        one("scale: aggregator's resident memory", "MiB", mib(resident));
        one("scale: of it private", "MiB", mib(private));
        one("scale: ledger files", "MiB", mib(ledgers));
        if self.over == Over::Live {
            one("scale: resident memory per live allocation", "bytes", resident as f64 / live);
            one("scale: ledger files per live allocation", "bytes", ledgers as f64 / live);
            let beyond = (private + ledgers + stats).saturating_sub(FIXED);
            one("scale: memory beyond rings and 8 MiB, per live allocation", "bytes", beyond as f64 / live);
        }
        one("scale: totals compared, all right", "figures", compared as f64);
        run.end()
    }
}

struct Run {
    daemon: Daemon,
    figures: Figures,
    crew: Crew,
    /// Events written and seen before this round.
    events: u64,
    cpu: Sample,
    visible: Sample,
}

impl Run {
    /// Forgets what was measured so far; the CPU time of it.
    fn forget(&mut self) -> Sample {
        self.visible = Sample::default();
        std::mem::take(&mut self.cpu)
    }

    /// Everybody does this; what it cost the aggregator, and when it was visible.
    fn round(&mut self, what: &str) -> anyhow::Result<()> {
        let before = self.daemon.cpu_ns()?;
        let done = self.crew.tell(what)?;
        self.seen(done, before)
    }

    /// Waits until everything that was done is in the published totals.
    fn seen(&mut self, done: Done, cpu_before: u64) -> anyhow::Result<()> {
        let (_, seen) = self.figures.wait("the totals", |health| health.events_total >= done.events)?;
        self.visible.push(seen.saturating_sub(done.last_ns) as f64 / 1e6);
        let events = done.events - self.events;
        if events > 0 {
            self.cpu.push((self.daemon.cpu_ns()? - cpu_before) as f64 / events as f64);
        }
        self.events = done.events;
        Ok(())
    }

    /// Every total, against what the processes say.
    fn check(&mut self) -> anyhow::Result<u64> {
        let holdings = self.crew.holdings()?;
        let events = self.events;
        let (snapshot, _) = self.figures.wait("the totals", |health| health.events_total >= events)?;
        compare(&snapshot, &holdings).context("a total is wrong")
    }

    /// What it takes while nothing happens, percent of one core, second by second.
    fn idle(&self, seconds: usize) -> anyhow::Result<Sample> {
        std::thread::sleep(Duration::from_secs(1));
        let mut sample = Sample::default();
        for _ in 0..seconds {
            let (before, begin) = (self.daemon.cpu_ns()?, Instant::now());
            std::thread::sleep(Duration::from_secs(1));
            sample.push((self.daemon.cpu_ns()? - before) as f64 * 100.0 / begin.elapsed().as_nanos() as f64);
        }
        Ok(sample)
    }

    /// Ends all processes in good order: then all totals are zero.
    fn end(mut self) -> anyhow::Result<()> {
        self.crew.end()?;
        let nothing = |health: &Health| health.rings == 0 && health.live_allocations == 0;
        let (snapshot, _) = self.figures.wait("everything to be gone", nothing)?;
        let left: u64 = snapshot.chips.iter().flat_map(|chip| chip.memory).map(|memory| memory.footprint_bytes).sum();
        ensure!(left == 0, "{left} bytes are left of processes that are gone");
        Ok(())
    }
}
