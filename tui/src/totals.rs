//! What the figures of a snapshot add up to, per process.

use crate::selection::chip_labels;
use crate::users::Users;
use shm_layout::event::Memory;
use shm_layout::stats::{Figures, Process, Snapshot, State};
use shm_layout::text;

/// Tells a process from every other one, also from a later one with the same pid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ProcessKey {
    pid: u32,
    start_ticks: u64,
    nonce: u64,
}

impl From<&Process> for ProcessKey {
    fn from(process: &Process) -> Self {
        Self { pid: process.pid, start_ticks: process.start_ticks, nonce: process.nonce }
    }
}

/// What one process holds on all chips together. Bytes are footprints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProcessTotals {
    /// Its identity.
    pub key: ProcessKey,
    /// Process id, as the aggregator sees it.
    pub pid: u32,
    /// User name, else the uid.
    pub user: String,
    /// Its name.
    pub name: String,
    /// Its command line; its name where that is not known.
    pub command_line: String,
    /// Labels of its chips, ranges drawn together: `0-3`.
    pub chips: String,
    /// DRAM, bytes.
    pub dram: u64,
    /// L1, bytes.
    pub l1: u64,
    /// Circular buffers registered, bytes.
    pub cb: u64,
    /// `L1_SMALL`, `TRACE` and kernels, bytes.
    pub other: u64,
    /// Device memory in use: DRAM, TRACE, L1, `L1_SMALL` and the resident CBs, bytes. Host memory is not in it.
    pub total: u64,
    /// Events read from it.
    pub events: u64,
    /// It is alive.
    pub running: bool,
    /// Records of it were lost: totals are right, single allocations may be missing.
    pub incomplete: bool,
}

/// The totals of every process, in the snapshot's order.
pub fn processes(snapshot: &Snapshot, users: &Users) -> Vec<ProcessTotals> {
    let labels = chip_labels(&snapshot.chips);
    let mut sums: Vec<Sums> = snapshot.processes.iter().map(|_| Sums::default()).collect();
    // One pass: `rows_of` for each of 2048 processes would look at every row as often.
    for row in &snapshot.rows {
        if let Some(sum) = sums.get_mut(row.process as usize) {
            sum.add(row.chip as usize, row.memory, &row.figures);
        }
    }
    snapshot
        .processes
        .iter()
        .zip(sums)
        .map(|(process, mut sum)| {
            let name = text::load(&process.name);
            let command_line = Some(without_folder(&text::load(&process.command_line))).filter(|line| !line.is_empty());
            sum.chips.sort_unstable();
            sum.chips.dedup();
            ProcessTotals {
                key: process.into(),
                pid: process.pid,
                user: users.label(process.uid),
                command_line: command_line.unwrap_or_else(|| name.clone()),
                name,
                chips: chip_list(&sum.chips, &labels),
                dram: sum.of(Memory::Dram),
                l1: sum.of(Memory::L1),
                cb: sum.of(Memory::Cb),
                other: sum
                    .of(Memory::L1Small)
                    .saturating_add(sum.of(Memory::Trace))
                    .saturating_add(sum.of(Memory::Kernel)),
                total: [Memory::Dram, Memory::Trace, Memory::L1, Memory::L1Small]
                    .into_iter()
                    .fold(sum.cb_resident, |total, memory| total.saturating_add(sum.of(memory))),
                events: process.events_total,
                running: process.state == State::Running as u32,
                incomplete: sum.incomplete || process.dropped_events_total > 0,
            }
        })
        .collect()
}

#[derive(Default)]
struct Sums {
    by_memory: [u64; shm_layout::event::MEMORY_KINDS],
    cb_resident: u64,
    chips: Vec<usize>,
    incomplete: bool,
}

impl Sums {
    fn add(&mut self, chip: usize, memory: u32, figures: &Figures) {
        self.chips.push(chip);
        self.incomplete |= figures.detail_incomplete != 0;
        if let Some(sum) = self.by_memory.get_mut(memory as usize) {
            *sum = sum.saturating_add(figures.footprint_bytes);
        }
        if memory == Memory::Cb as u32 {
            self.cb_resident = self.cb_resident.saturating_add(figures.resident_bytes);
        }
    }

    const fn of(&self, memory: Memory) -> u64 {
        self.by_memory[memory as usize]
    }
}

/// `0-3`, `0,2`, `0a,0b`: labels in order, three or more neighbours drawn together.
fn chip_list(chips: &[usize], labels: &[String]) -> String {
    let mut numbers: Vec<(Option<u32>, &str)> =
        chips.iter().filter_map(|at| labels.get(*at)).map(|label| (label.parse().ok(), label.as_str())).collect();
    numbers.sort_unstable();
    let follows =
        |a: &(Option<u32>, &str), b: &(Option<u32>, &str)| a.0.is_some() && a.0.map(|n| n.wrapping_add(1)) == b.0;
    let runs = numbers.chunk_by(follows).flat_map(|run| match run {
        [(_, first), .., (_, last)] if run.len() > 2 => vec![format!("{first}-{last}")],
        run => run.iter().map(|(_, label)| (*label).to_owned()).collect(),
    });
    runs.collect::<Vec<_>>().join(",")
}

/// The command line without the folder of its program: `python train.py` tells more than half a path.
fn without_folder(command_line: &str) -> String {
    let (program, rest) = command_line.split_once(' ').unwrap_or((command_line, ""));
    let program = program.rsplit('/').next().unwrap_or(program);
    format!("{program} {rest}").trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    #[test]
    fn sums_leave_host_memory_out() {
        let mut snapshot = sample::host(4);
        let figures = |memory: Memory| {
            let rows = snapshot.rows.iter().filter(move |r| r.process == 0 && r.memory == memory as u32);
            rows.map(|r| r.figures.footprint_bytes).sum::<u64>()
        };
        let resident: u64 = snapshot.rows.iter().filter(|r| r.process == 0).map(|r| r.figures.resident_bytes).sum();
        let expected =
            figures(Memory::Dram) + figures(Memory::Trace) + figures(Memory::L1) + figures(Memory::L1Small) + resident;
        assert!(figures(Memory::SystemMemory) > 0, "the sample has host memory");
        let totals = processes(&snapshot, &Users::default());
        assert_eq!((totals[0].total, totals[0].dram), (expected, figures(Memory::Dram)));
        assert_eq!(totals[0].chips, "0-3");
        // A kind of a later version, and sums past 2^64, harm nobody.
        snapshot.rows[0].memory = 4_000_000_000;
        snapshot.rows[1].figures.footprint_bytes = u64::MAX;
        snapshot.rows[2].figures.footprint_bytes = u64::MAX;
        assert_eq!(processes(&snapshot, &Users::default()).len(), snapshot.processes.len());
    }

    #[test]
    fn chips_are_drawn_together() {
        let labels: Vec<String> = (0..12).map(|n| n.to_string()).collect();
        assert_eq!(chip_list(&[0, 1, 2, 3], &labels), "0-3");
        assert_eq!(chip_list(&[0, 1], &labels), "0,1");
        assert_eq!(chip_list(&[0, 2, 9, 10, 11], &labels), "0,2,9-11");
        assert_eq!(chip_list(&[0, 1], &["0a".into(), "0b".into()]), "0a,0b");
        assert_eq!(chip_list(&[], &labels), "");
    }
}
