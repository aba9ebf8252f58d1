//! The stats segment, read as a viewer reads it, and compared with what the processes say.

use super::child::{FIRST_CHIP, Held};
use super::ground::Ground;
use super::monotonic_ns;
use anyhow::{Context, bail, ensure};
use shm_layout::event::Memory;
use shm_layout::segment::{self, Access, Expect, Opened};
use shm_layout::stats::{self, Health, Snapshot, StatsHeader, StatsView, stats_bytes};
use std::collections::HashMap;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

/// After this long what is waited for will not come.
const PATIENCE_NS: u64 = 60_000_000_000;
/// Between two looks: so fine is what is measured.
const PAUSE: Duration = Duration::from_micros(100);
/// Where the health lies in a snapshot's words: behind four counts.
const HEALTH_AT: usize = 4;

/// A reader of the figures.
#[derive(Debug)]
pub struct Figures {
    opened: Opened,
    words: Vec<u64>,
}

impl Figures {
    /// Opens the segment as soon as it is there.
    ///
    /// # Errors
    /// When it does not come.
    pub fn open(ground: &Ground) -> anyhow::Result<Self> {
        let expect = Expect { owners: &[], least: stats_bytes() as u64, most: stats_bytes() as u64 };
        let begin = monotonic_ns();
        while monotonic_ns() - begin < PATIENCE_NS {
            if let Ok(opened) = segment::open(&ground.prefix.stats(), Access::Read, expect) {
                let mut figures = Self { opened, words: Vec::new() };
                if figures.look().is_some() {
                    return Ok(figures);
                }
            }
            std::thread::sleep(PAUSE);
        }
        bail!("no stats segment")
    }

    /// The aggregator's own state in a fresh copy of the snapshot; the rest is decoded when it is asked for.
    fn look(&mut self) -> Option<Health> {
        let mapping = &self.opened.mapping;
        let header = mapping.one::<StatsHeader<AtomicU64>>(0)?;
        let at = size_of::<StatsHeader<AtomicU64>>();
        let view = StatsView::new(header, mapping.array(at, (stats_bytes() - at) / 8)?)?;
        view.identity().check().ok()?;
        if !view.snapshots().read_within(&mut self.words, 1000) {
            return None;
        }
        let words = self.words.get(HEALTH_AT..HEALTH_AT + size_of::<Health>() / 8)?;
        Some(bytemuck::pod_read_unaligned(bytemuck::cast_slice(words)))
    }

    /// Waits for figures of which this holds; the figures, and the moment at which they were seen, `CLOCK_MONOTONIC` ns.
    ///
    /// # Errors
    /// When they do not come.
    pub fn wait(&mut self, what: &str, holds: impl Fn(&Health) -> bool) -> anyhow::Result<(Snapshot, u64)> {
        let begin = monotonic_ns();
        loop {
            let health = self.look();
            let now = monotonic_ns();
            if health.as_ref().is_some_and(&holds) {
                return Ok((Snapshot::decode(&self.words).context("the snapshot")?, now));
            }
            if now - begin > PATIENCE_NS {
                bail!("waited in vain for {what}; the last figures: {health:?}");
            }
            std::thread::sleep(PAUSE);
        }
    }
}

/// Compares every total with what the processes say they hold: each process on each device, and each chip over all processes.
/// The number of figures that were compared.
///
/// # Errors
/// The first that is wrong.
pub fn compare(snapshot: &Snapshot, holdings: &[(u32, Vec<Held>)]) -> anyhow::Result<u64> {
    let health = &snapshot.health;
    ensure!(health.hidden_processes + health.hidden_rows == 0, "the snapshot does not show all: {health:?}");
    ensure!(health.dropped_events_total == 0, "{} events were dropped", health.dropped_events_total);
    ensure!(health.anomalies == stats::Anomalies::default(), "anomalies: {:?}", health.anomalies);
    ensure!(snapshot.processes.len() == holdings.len(), "{} processes of {}", snapshot.processes.len(), holdings.len());
    let mut shown: HashMap<(u32, u32), Held> = HashMap::new();
    for row in snapshot.rows.iter().filter(|row| row.memory == Memory::Dram as u32) {
        let pid = snapshot.processes[row.process as usize].pid;
        ensure!(row.figures.detail_incomplete == 0, "process {pid}: detail is incomplete");
        let twice = shown.insert((pid, row.device), held(&row.figures));
        ensure!(twice.is_none(), "process {pid}: two rows for device {}", row.device);
    }
    let mut sums: Vec<Held> = Vec::new();
    let mut compared = 0;
    for (pid, devices) in holdings {
        sums.resize(sums.len().max(devices.len()), Held::default());
        for (device, said) in devices.iter().enumerate() {
            let found = shown.get(&(*pid, device as u32)).copied().unwrap_or_default();
            ensure!(found == *said, "process {pid}, device {device}: {found:?} shown, {said:?} held");
            sums[device].blocks += said.blocks;
            sums[device].asked += said.asked;
            sums[device].taken += said.taken;
            compared += 3;
        }
    }
    for (device, said) in sums.iter().enumerate() {
        let chip = snapshot.chips.iter().find(|chip| chip.chip_id == FIRST_CHIP + device as u64);
        let found = chip.map(|chip| held(&chip.memory[Memory::Dram as usize])).unwrap_or_default();
        ensure!(found == *said, "chip {device}: {found:?} shown, {said:?} held");
        compared += 3;
    }
    let blocks: u64 = sums.iter().map(|held| held.blocks).sum();
    ensure!(health.live_allocations == blocks, "{} live shown, {blocks} held", health.live_allocations);
    Ok(compared + 1)
}

fn held(figures: &stats::Figures) -> Held {
    Held { blocks: figures.blocks, asked: figures.live_bytes, taken: figures.footprint_bytes }
}

#[cfg(test)]
mod tests {
    use super::*;
    use shm_layout::event::MEMORY_KINDS;
    use shm_layout::stats::{Chip, Process, Row};

    fn shown(held: &Held) -> stats::Figures {
        let Held { blocks, asked, taken } = *held;
        stats::Figures { blocks, live_bytes: asked, footprint_bytes: taken, ..stats::Figures::default() }
    }

    /// Two processes with two devices each.
    fn host() -> (Snapshot, Vec<(u32, Vec<Held>)>) {
        let held = |n: u64| Held { blocks: n, asked: 100 * n, taken: 2048 * n };
        let holdings = vec![(7, vec![held(1), held(2)]), (8, vec![held(30), held(0)])];
        let mut snapshot = Snapshot::default();
        let mut sums = [Held::default(); 2];
        for (process, (pid, devices)) in (0..).zip(&holdings) {
            snapshot.processes.push(Process { pid: *pid, ..bytemuck::Zeroable::zeroed() });
            for (device, held) in (0..).zip(devices) {
                let row = Row { process, chip: device, device, figures: shown(held), ..bytemuck::Zeroable::zeroed() };
                snapshot.rows.push(row);
                let sum = &mut sums[device as usize];
                *sum = Held {
                    blocks: sum.blocks + held.blocks,
                    asked: sum.asked + held.asked,
                    taken: sum.taken + held.taken,
                };
            }
        }
        for (chip_id, sum) in (FIRST_CHIP..).zip(&sums) {
            let mut memory = [stats::Figures::default(); MEMORY_KINDS];
            memory[Memory::Dram as usize] = shown(sum);
            snapshot.chips.push(Chip { chip_id, memory, ..bytemuck::Zeroable::zeroed() });
        }
        snapshot.health.live_allocations = 33;
        (snapshot, holdings)
    }

    #[test]
    fn what_is_right_passes() {
        let (snapshot, holdings) = host();
        assert_eq!(compare(&snapshot, &holdings).expect("all right"), 3 * 4 + 3 * 2 + 1);
    }

    #[test]
    fn one_byte_too_much_anywhere_is_found() {
        let wrong: [fn(&mut Snapshot); 8] = [
            |s| s.rows[1].figures.live_bytes += 1,
            |s| s.rows[2].figures.footprint_bytes += 1,
            |s| s.rows[0].figures.blocks -= 1,
            |s| s.chips[1].memory[Memory::Dram as usize].footprint_bytes += 1,
            |s| s.health.live_allocations += 1,
            |s| s.health.dropped_events_total += 1,
            |s| s.health.anomalies.free_unknown += 1,
            |s| s.health.hidden_rows += 1,
        ];
        for (n, spoil) in wrong.iter().enumerate() {
            let (mut snapshot, holdings) = host();
            spoil(&mut snapshot);
            assert!(compare(&snapshot, &holdings).is_err(), "fault {n} is not found");
        }
    }
}
