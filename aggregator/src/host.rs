//! The whole host: every tracked process, every chip, and what is told about them.

use crate::books::Removed;
use crate::chips::Chips;
use crate::lines::{Lines, bytes_text};
use crate::tracked::{Met, Tracked};
use shm_layout::event::Memory;
use shm_layout::names::{Prefix, ProcessFile};
use shm_layout::stats::{Anomalies, Figures, Health, MAX_PROCESSES, MAX_ROWS, Row, Severity, Snapshot, UNKNOWN};
use std::collections::HashMap;
use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

/// Batches read from one ring before the next ring's turn.
const BATCHES_PER_TURN: usize = 8;
/// And the time after which no further batch of one ring is begun: nobody's events hold up the others'.
const TURN: Duration = Duration::from_millis(2);
/// How long a ring may be "not ready" before it is refused.
const PATIENCE: Duration = Duration::from_secs(10);
/// When a ring is tried again that could not be attached for a passing reason.
const RETRY: Duration = Duration::from_secs(5);
/// Names of refused rings that are remembered, so that each is told once.
const REMEMBERED_REFUSALS: usize = 4096;

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

/// Sums over processes that are gone, so that the host's counters never run backwards.
#[derive(Clone, Copy, Debug, Default)]
struct Gone {
    events: u64,
    dropped: u64,
    torn: u64,
    anomalies: Anomalies,
    deaths: u64,
}

/// The host.
#[derive(Debug)]
pub struct Host {
    prefix: Prefix,
    /// The aggregator's own.
    uid: u32,
    processes: HashMap<ProcessFile, Tracked>,
    chips: Chips,
    lines: Lines,
    waiting: HashMap<ProcessFile, Instant>,
    /// Rings that are not read, and when to try again; `None` = never.
    refused: HashMap<ProcessFile, Option<Instant>>,
    rejected_total: u64,
    gone: Gone,
}

impl Host {
    /// Nobody yet.
    pub fn new(prefix: Prefix) -> Self {
        Self {
            prefix,
            uid: nix::unistd::geteuid().as_raw(),
            processes: HashMap::new(),
            chips: Chips::default(),
            lines: Lines::default(),
            waiting: HashMap::new(),
            refused: HashMap::new(),
            rejected_total: 0,
            gone: Gone::default(),
        }
    }

    /// Attaches to these rings, unless that was done or refused. The files whose pidfd is to be watched now.
    pub fn meet(&mut self, files: impl IntoIterator<Item = ProcessFile>, now: Now) -> Vec<ProcessFile> {
        let mut met = Vec::new();
        for file in files {
            let refused = self.refused.get(&file).is_some_and(|again| again.is_none_or(|at| Instant::now() < at));
            if self.is_ours(&file) && !self.processes.contains_key(&file) && !refused && self.meet_one(file, now) {
                met.push(file);
            }
        }
        met
    }

    /// Tries again those that were not ready.
    pub fn meet_waiting(&mut self, now: Now) -> Vec<ProcessFile> {
        let waiting: Vec<_> = self.waiting.keys().copied().collect();
        self.meet(waiting, now)
    }

    /// Whether some ring was seen that is not ready.
    pub fn is_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Root reads everybody's rings, others their own.
    fn is_ours(&self, file: &ProcessFile) -> bool {
        self.uid == 0 || file.uid == self.uid
    }

    fn meet_one(&mut self, file: ProcessFile, now: Now) -> bool {
        let error = match Tracked::meet(&self.prefix, file, &mut self.chips) {
            Ok(met) => {
                self.waiting.remove(&file);
                self.refused.remove(&file);
                self.welcome(met, now);
                return true;
            }
            Err(error) => error,
        };
        let gone =
            matches!(error, crate::attach::AttachError::Segment(shm_layout::segment::SegmentError::NotFound { .. }));
        let since = *self.waiting.entry(file).or_insert_with(Instant::now);
        if gone {
            self.waiting.remove(&file);
        } else if !error.is_not_ready() || since.elapsed() > PATIENCE {
            self.waiting.remove(&file);
            let again = error.may_pass().then(|| Instant::now() + RETRY);
            if self.refused.len() == REMEMBERED_REFUSALS {
                self.refused.clear();
            }
            if self.refused.insert(file, again).is_some() {
                // Told before.
                return false;
            }
            self.rejected_total += 1;
            self.lines.add(now.unix_ns, Severity::Warning, file.pid, &format!("ring refused: {error}"));
        }
        false
    }

    fn welcome(&mut self, met: Met, now: Now) {
        let Met { tracked, continued, without_ledger, history_lost } = met;
        let pid = tracked.ring.pid;
        let who = format!("PID {pid} ({})", tracked.name);
        let what = if continued { "is tracked again: its ledger is continued" } else { "is tracked" };
        self.lines.add(now.unix_ns, Severity::Info, pid, &format!("{who} {what}"));
        if let Some(error) = without_ledger {
            let text = format!("{who} has no ledger, single allocations are not listed: {error}");
            self.lines.add(now.unix_ns, Severity::Error, pid, &text);
        }
        if history_lost > 0 {
            let text = format!("{who}: {history_lost} records were read by an aggregator that left no ledger");
            self.lines.add(now.unix_ns, Severity::Error, pid, &text);
        }
        self.processes.insert(tracked.file, tracked);
    }

    /// The descriptor that becomes readable when this process dies.
    pub fn pidfd(&self, file: &ProcessFile) -> Option<BorrowedFd<'_>> {
        self.processes.get(file)?.ring.pidfd()
    }

    /// Reads what is there. Records read.
    pub fn drain(&mut self, now: Now) -> usize {
        let mut total = 0;
        let mut shrunk = Vec::new();
        for (file, tracked) in &mut self.processes {
            let begin = Instant::now();
            for _ in 0..BATCHES_PER_TURN {
                if begin.elapsed() > TURN {
                    break;
                }
                let read = tracked.drain(&mut self.chips, now.unix_ns);
                total += read;
                if read == 0 {
                    break;
                }
            }
            if tracked.ring.was_shrunk() {
                shrunk.push(*file);
            }
        }
        for file in shrunk {
            self.rejected_total += 1;
            self.refused.insert(file, None);
            self.remove(&file, now, "shrank its ring under the reader; detached");
        }
        total
    }

    /// Keeps every producer's clock.
    pub fn keep_clocks(&self, now: Now) {
        for tracked in self.processes.values() {
            tracked.ring.set_clock(now.monotonic_ns);
        }
    }

    /// A pidfd became readable: this process is dead.
    pub fn died(&mut self, file: &ProcessFile, now: Now) {
        let clean = self.processes.get(file).is_some_and(|tracked| tracked.ring.closed());
        self.gone.deaths += u64::from(!clean && self.processes.contains_key(file));
        self.remove(file, now, if clean { "exited" } else { "died" });
    }

    /// Looks for dead processes that no pidfd tells of. True if there were some.
    pub fn sweep(&mut self, now: Now) -> bool {
        let dead: Vec<_> =
            self.processes.iter().filter(|(_, tracked)| tracked.ring.owner_is_dead()).map(|(file, _)| *file).collect();
        for file in &dead {
            self.died(file, now);
        }
        !dead.is_empty()
    }

    fn remove(&mut self, file: &ProcessFile, now: Now, how: &str) {
        let Some(mut tracked) = self.processes.remove(file) else { return };
        let torn = tracked.drain_dead(&mut self.chips, now.unix_ns);
        let (pid, who) = (tracked.ring.pid, format!("PID {} ({})", tracked.ring.pid, tracked.name));
        let counters = tracked.books.counters;
        self.gone.events = self.gone.events.saturating_add(counters.events);
        self.gone.torn = self.gone.torn.saturating_add(counters.torn);
        self.gone.dropped = self.gone.dropped.saturating_add(tracked.ring.dropped());
        add_anomalies(&mut self.gone.anomalies, &counters.anomalies);
        let removed = tracked.end(&mut self.chips);
        let mut text = format!("{who} {how}{}", removed_text(&removed));
        if torn > 0 {
            text += &format!("; {torn} torn records");
        }
        let held = removed != Removed::default();
        let severity = if held && how != "exited" { Severity::Warning } else { Severity::Info };
        self.lines.add(now.unix_ns, severity, pid, &text);
    }

    /// Processes tracked.
    pub fn process_count(&self) -> usize {
        self.processes.len()
    }

    /// The chips as of the last [`snapshot`](Self::snapshot).
    pub fn chips(&self) -> &Chips {
        &self.chips
    }

    /// This moment, for everybody to see.
    pub fn snapshot(&mut self, now: Now, cpu_ns: u64) -> Snapshot {
        let mut tracked: Vec<&Tracked> = self.processes.values().collect();
        tracked.sort_by_key(|t| (t.ring.pid, t.file.nonce));
        let hidden_processes = tracked.len().saturating_sub(MAX_PROCESSES) as u64;
        let mut snapshot = Snapshot { lines: self.lines.iter().copied().collect(), ..Snapshot::default() };
        let mut health = Health {
            monotonic_ns: now.monotonic_ns,
            unix_ns: now.unix_ns,
            rings: tracked.len() as u64,
            rejected_rings_total: self.rejected_total,
            events_total: self.gone.events,
            dropped_events_total: self.gone.dropped,
            torn_events_total: self.gone.torn,
            cpu_ns,
            deaths_total: self.gone.deaths,
            hidden_processes,
            anomalies: self.gone.anomalies,
            ..Health::default()
        };
        for chip in self.chips.all_mut() {
            chip.processes = 0;
            for figures in &mut chip.memory {
                clear_live(figures);
            }
        }
        // Of several processes on a chip, the one that was last active has dispatched the resident program.
        let mut resident_since = vec![0; self.chips.all().len()];
        let mut used = vec![false; self.chips.all().len()];
        for (at, process) in tracked.iter().enumerate() {
            let counters = &process.books.counters;
            health.events_total = health.events_total.saturating_add(counters.events);
            health.torn_events_total = health.torn_events_total.saturating_add(counters.torn);
            health.dropped_events_total = health.dropped_events_total.saturating_add(process.ring.dropped());
            health.lag_events = health.lag_events.saturating_add(process.lag());
            health.live_allocations += process.live_allocations();
            add_anomalies(&mut health.anomalies, &counters.anomalies);
            for live in &process.books.accounts {
                let Some(memory) = live.memory() else { continue };
                let device = live.account.device;
                let resident = if memory == Memory::Cb { process.books.resident(device) } else { 0 };
                let figures = live.figures(resident, process.books.capacity(device, live.account.memory));
                let sum = self.chips.figures(live.chip, memory);
                add_live(sum, &figures);
                if resident > 0 && process.last_event_unix_ns() >= resident_since[live.chip] {
                    resident_since[live.chip] = process.last_event_unix_ns();
                    sum.resident_bytes = resident;
                }
                used[live.chip] = true;
                if at >= MAX_PROCESSES || snapshot.rows.len() == MAX_ROWS {
                    health.hidden_rows += 1;
                    continue;
                }
                let (process, chip) = (at as u32, live.chip as u32);
                snapshot.rows.push(Row { process, chip, device, memory: live.account.memory, figures });
            }
            for device in process.books.devices.iter().filter(|device| device.open != 0) {
                if let Some(chip) = self.chips.find(device.chip_id, device.id_is_logical != 0) {
                    used[chip] = true;
                    self.chips.all_mut()[chip].processes += 1;
                }
            }
        }
        self.chips.mark_used(|chip| used[chip]);
        snapshot.processes = tracked.iter().take(MAX_PROCESSES).map(|t| t.row()).collect();
        snapshot.chips = self.chips.all().to_vec();
        snapshot.health = health;
        snapshot
    }
}

/// Clears what is summed anew at each snapshot; peaks, capacities and cumulative sums stay.
fn clear_live(figures: &mut Figures) {
    *figures = Figures {
        peak_footprint_bytes: figures.peak_footprint_bytes,
        capacity_bytes: figures.capacity_bytes,
        allocated_bytes_total: figures.allocated_bytes_total,
        freed_bytes_total: figures.freed_bytes_total,
        ..Figures::default()
    };
}

fn add_live(sum: &mut Figures, one: &Figures) {
    sum.live_bytes = sum.live_bytes.saturating_add(one.live_bytes);
    sum.footprint_bytes = sum.footprint_bytes.saturating_add(one.footprint_bytes);
    sum.blocks = sum.blocks.saturating_add(one.blocks);
    sum.fabric_bytes = sum.fabric_bytes.saturating_add(one.fabric_bytes);
    sum.dispatch_bytes = sum.dispatch_bytes.saturating_add(one.dispatch_bytes);
    sum.detail_incomplete |= one.detail_incomplete;
    sum.peak_footprint_bytes = sum.peak_footprint_bytes.max(sum.footprint_bytes);
    if sum.capacity_bytes == UNKNOWN {
        sum.capacity_bytes = one.capacity_bytes;
    }
}

fn add_anomalies(sum: &mut Anomalies, one: &Anomalies) {
    sum.free_unknown = sum.free_unknown.saturating_add(one.free_unknown);
    sum.double_free = sum.double_free.saturating_add(one.double_free);
    sum.invalid_record = sum.invalid_record.saturating_add(one.invalid_record);
    sum.alloc_live = sum.alloc_live.saturating_add(one.alloc_live);
    sum.overflow = sum.overflow.saturating_add(one.overflow);
    sum.size_mismatch = sum.size_mismatch.saturating_add(one.size_mismatch);
}

/// ": removed 5 buffers (15.2 MiB), 8 CBs (2.40 MiB), 4 kernels (204 KiB)", or nothing.
fn removed_text(removed: &Removed) -> String {
    const NOUNS: [Memory; 3] = [Memory::Dram, Memory::Cb, Memory::Kernel];
    let parts: Vec<String> = removed
        .by_noun
        .iter()
        .zip(NOUNS)
        .filter(|((blocks, bytes), _)| *blocks > 0 || *bytes > 0)
        .map(|((blocks, bytes), memory)| {
            let noun = memory.noun();
            let noun = if *blocks == 1 { noun.trim_end_matches('s') } else { noun };
            format!("{blocks} {noun} ({})", bytes_text(*bytes))
        })
        .collect();
    if parts.is_empty() { String::new() } else { format!(": removed {}", parts.join(", ")) }
}
