//! The whole host: every tracked process, every chip, and what is told about them.
//!
//! A process in whose ring nothing happens *rests*: it has no clock word to be kept (its producer then uses its own clock),
//! and a look at it is one load in the [`Lookout`]. The others take turns, one batch each, within a bounded time.

mod arrival;
mod death;
mod mark;
mod round;

use crate::arrivals::Arrivals;
use crate::bystanders::Bystanders;
use crate::chips::Chips;
use crate::descriptors::Places;
use crate::heritage::Heritage;
use crate::lines::Lines;
use crate::lookout::Lookout;
use crate::ration::Ration;
use crate::seats::Seats;
use crate::sheet::Sheet;
use crate::sigbus;
use crate::succession::Succession;
use crate::telemetry::Reading;
use crate::tracked::{BATCH, Tracked};
use crate::turns::Turns;
use shm_layout::event::Event;
use shm_layout::names::{Prefix, ProcessFile};
use shm_layout::procfs;
use shm_layout::stats::{Gone, Health, Parts, Severity};
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Both clocks of one moment, ns.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// `CLOCK_MONOTONIC`.
    pub monotonic_ns: u64,
    /// `CLOCK_REALTIME`.
    pub unix_ns: u64,
}

impl Now {
    /// This moment.
    pub fn read() -> Self {
        let ns = |id| {
            let time = nix::time::clock_gettime(id).unwrap_or(nix::sys::time::TimeSpec::new(0, 0));
            u64::try_from(time.tv_sec()).unwrap_or(0) * 1_000_000_000 + u64::try_from(time.tv_nsec()).unwrap_or(0)
        };
        Self { monotonic_ns: ns(nix::time::ClockId::CLOCK_MONOTONIC), unix_ns: ns(nix::time::ClockId::CLOCK_REALTIME) }
    }
}

/// How the line about a predecessor begins.
const TAKEN_OVER: &str = "this aggregator continues ";

/// The host.
#[derive(Debug)]
pub struct Host {
    prefix: Prefix,
    /// The aggregator's own.
    uid: u32,
    /// Baselines are to set themselves when a device has been opened.
    pub auto_baseline: bool,
    /// Rings made since then were made while this aggregator ran, `CLOCK_MONOTONIC` ns.
    began_ns: u64,
    /// The same in clock ticks after boot.
    began_ticks: u64,
    places: Places,
    /// Resting rings' next stamps. Before `seats`: it is dropped first.
    lookout: Lookout<'static>,
    /// The seat that is looked at next, and when the last look was.
    look_at: usize,
    looked_ns: u64,
    found: Vec<usize>,
    seats: Seats,
    turns: Turns<usize>,
    sheet: Sheet,
    chips: Chips,
    bystanders: Bystanders,
    lines: Lines,
    health: Health,
    arrivals: Arrivals,
    /// Dead processes that are in no figure any more, whose files are still to be removed.
    graves: VecDeque<Box<Tracked>>,
    /// Of these, so many are in no published figure, either: the first ones.
    graves_shown: usize,
    succession: Succession,
    scratch: Vec<Event>,
    /// Where the two sweeps go on.
    sweep_unwatched_at: usize,
    sweep_watched_at: usize,
    faults_seen: usize,
    /// The last round of turns was cut short.
    more: bool,
    /// That there is no room for more was told.
    full_told: bool,
    rejected_total: u64,
    /// Lines about refused rings, and about what users other than root and our own asked for.
    refusals: Ration,
    requests: Ration,
    /// So that the host's counters never run backwards.
    gone: Gone,
}

impl Host {
    /// Nobody yet.
    pub fn new(prefix: Prefix, places: Places) -> Self {
        Self {
            prefix,
            uid: nix::unistd::geteuid().as_raw(),
            auto_baseline: false,
            began_ns: Now::read().monotonic_ns,
            began_ticks: crate::boot::ticks_now(),
            places,
            lookout: Lookout::default(),
            look_at: 0,
            looked_ns: 0,
            found: Vec::new(),
            seats: Seats::default(),
            turns: Turns::default(),
            sheet: Sheet::default(),
            chips: Chips::default(),
            bystanders: Bystanders::default(),
            lines: Lines::default(),
            health: Health::default(),
            arrivals: Arrivals::default(),
            graves: VecDeque::new(),
            graves_shown: 0,
            succession: Succession::default(),
            scratch: Vec::with_capacity(BATCH),
            sweep_unwatched_at: 0,
            sweep_watched_at: 0,
            faults_seen: sigbus::faults(),
            more: false,
            full_told: false,
            rejected_total: 0,
            refusals: Ration::new(Instant::now()),
            requests: Ration::new(Instant::now()),
            gone: Gone::default(),
        }
    }

    /// Takes over what an earlier aggregator published, before anybody is met.
    pub fn inherit(&mut self, heritage: &Heritage, now: Now) {
        let Heritage { snapshot, gone, pid, ended, .. } = heritage;
        self.chips.inherit(&snapshot.chips);
        self.lines.inherit(&snapshot.lines);
        self.gone = *gone;
        self.rejected_total = snapshot.health.rejected_rings_total;
        self.succession = Succession::of(heritage);
        // Of those that were replaced one by one and had nothing else to say, the last is told.
        self.lines.retract(TAKEN_OVER);
        let how = if *ended { "ended in good order" } else { "was killed" };
        let text = format!("{TAKEN_OVER}the figures of process {pid}, which {how}");
        self.lines.add(now.unix_ns, Severity::Info, *pid, &text);
    }

    /// Whether a process of the predecessor's last snapshot was not met yet.
    pub fn awaits_somebody(&self) -> bool {
        self.succession.awaited().next().is_some()
    }

    /// Of a predecessor's processes, those whose rings are gone: they ended while no aggregator ran.
    pub fn miss(&mut self, now: Now) {
        if self.succession.awaited().next().is_none() {
            return;
        }
        let there = procfs::process_files(&self.prefix);
        let missing: Vec<ProcessFile> = self.succession.awaited().filter(|file| !there.contains(file)).collect();
        for file in missing {
            self.give_up(&file, false, now, "ended while no aggregator ran");
        }
    }

    fn give_up(&mut self, file: &ProcessFile, ring_is_there: bool, now: Now, what: &str) {
        if let Some(missing) = self.succession.give_up(file, ring_is_there, &mut self.chips, &mut self.gone) {
            let text = format!("PID {} ({}) {what}", missing.pid, missing.name);
            self.lines.add(now.unix_ns, Severity::Info, missing.pid, &text);
        }
    }

    /// A line about a process, or about none (0).
    pub fn tell(&mut self, now: Now, severity: Severity, pid: u32, text: &str) {
        self.lines.add(now.unix_ns, severity, pid, text);
    }

    /// So many open files are needed for something else than tracked processes.
    pub fn set_files_aside(&mut self, files: usize) {
        self.places = self.places.without(files);
    }

    /// What a successor needs to know of those who are gone.
    pub const fn gone(&self) -> Gone {
        self.gone
    }

    fn note_change(&mut self, seat: usize) {
        if let Some((_, state)) = self.seats.get(seat)
            && !core::mem::replace(&mut state.changed, true)
        {
            self.sheet.change(seat);
        }
    }

    /// Processes tracked.
    pub fn process_count(&self) -> usize {
        self.seats.len()
    }

    /// The chips as of the last [`snapshot`](Self::snapshot).
    pub fn chips(&self) -> &Chips {
        &self.chips
    }

    /// Whether something happened in some process since the last [`snapshot`](Self::snapshot).
    pub fn has_news(&self) -> bool {
        self.sheet.is_behind() || self.arrivals.refused.has_news()
    }

    /// What the host tells of devices and of who uses them.
    pub fn hear(&mut self, reading: std::sync::Arc<Reading>) {
        self.bystanders.hear(reading);
    }

    /// This moment, for everybody to see.
    pub fn snapshot(&mut self, now: Now, cpu_ns: u64, generation: u64) -> Parts<'_> {
        self.succession.set_aside(&mut self.chips);
        self.sheet.bring_up(&mut self.seats, &self.chips);
        self.sheet.sum_chips(&mut self.chips);
        self.bystanders.settle(&mut self.chips, &self.sheet, now.unix_ns);
        for (pid, text) in self.sheet.news(now.monotonic_ns) {
            // An earlier aggregator may have said it.
            if !self.lines.has(&text) {
                self.lines.add(now.unix_ns, Severity::Warning, pid, &text);
            }
        }
        self.health = Health {
            monotonic_ns: now.monotonic_ns,
            unix_ns: now.unix_ns,
            generation,
            rejected_rings_total: self.rejected_total,
            events_total: self.gone.events,
            dropped_events_total: self.gone.dropped,
            torn_events_total: self.gone.torn,
            cpu_ns,
            deaths_total: self.gone.deaths,
            places: self.places.all as u64,
            open_files_limit: self.places.open_files,
            refused_rings: self.arrivals.refused.len() as u64,
            hidden_refusals: (self.arrivals.refused.len() - self.arrivals.refused.rows().len()) as u64,
            differences: self.bystanders.differences_total(),
            unread_counters: self.bystanders.unread_counters(),
            anomalies: self.gone.anomalies,
            ..Health::default()
        };
        self.sheet.add_to(&mut self.health);
        self.health.hidden_processes += self.bystanders.hidden();
        self.health.hidden_rows += self.bystanders.hidden_rows();
        let (events, dropped) = self.succession.owing();
        self.health.events_total = self.health.events_total.saturating_add(events);
        self.health.dropped_events_total = self.health.dropped_events_total.saturating_add(dropped);
        self.succession.lift(&mut self.health.torn_events_total, &mut self.health.anomalies);
        Parts {
            health: &self.health,
            chips: [self.chips.all(), self.bystanders.chips()],
            processes: [self.sheet.processes(), self.bystanders.processes()],
            rows: [self.sheet.rows(), self.bystanders.rows()],
            lines: self.lines.as_slices(),
            refusals: self.arrivals.refused.rows(),
            differences: self.bystanders.differences(),
        }
    }
}

/// Whoever is dead leaves nothing behind.
impl Drop for Host {
    fn drop(&mut self) {
        self.bury(Duration::MAX);
    }
}

#[cfg(test)]
mod tests;
