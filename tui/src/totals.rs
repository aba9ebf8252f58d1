//! What the figures of a snapshot add up to, per process.

use crate::roster::{ProcessKey, Roster, Who};
use shm_layout::event::Memory;
use shm_layout::stats::{Figures, MAX_CHIPS, Snapshot, Source, State, UNKNOWN};
use std::rc::Rc;

/// What one process holds on all chips together. Bytes are footprints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProcessTotals {
    /// Who it is.
    pub who: Rc<Who>,
    /// Process id, as the aggregator sees it.
    pub pid: u32,
    /// Its chips.
    pub chips: ChipSet,
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
    /// The largest that each of these was, bytes.
    pub peak: Peaks,
    /// When it started, Unix time in ns; 0 where nobody knows.
    pub started_unix_ns: u64,
    /// What has come of DRAM, TRACE, L1 and `L1_SMALL` since the baselines of its devices, bytes: all of it where a kind has none and
    /// another has. `None`: no baseline is set on any.
    pub since: Option<i64>,
    /// Events read from it.
    pub events: u64,
    /// Time since it was started, ns; `None`: not known.
    pub age_ns: Option<u64>,
    /// Who tells of it: [`Source`] as a number. What is not tracked is in no sum.
    pub source: u32,
    /// It is alive.
    pub running: bool,
    /// Records of it were lost: totals are right, single allocations may be missing.
    pub incomplete: bool,
}

/// What a process has held at most, of each memory kind on each chip at some moment of its own: sums of them are what it may have held
/// at one moment, and not more. Bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Peaks {
    /// DRAM.
    pub dram: u64,
    /// L1.
    pub l1: u64,
    /// Circular buffers registered.
    pub cb: u64,
    /// `L1_SMALL`, `TRACE` and kernels.
    pub other: u64,
    /// DRAM, TRACE, L1 and `L1_SMALL`, and the circular buffers that are resident now: of these no peak is told.
    pub total: u64,
}

impl ProcessTotals {
    /// Whether it is known what it holds.
    pub const fn is_known(&self) -> bool {
        self.source != Source::Driver as u32
    }

    /// Who tells of it, if it is not tracked.
    pub fn mark(&self) -> Option<&'static str> {
        (!Source::is_tracked(self.source)).then(|| Source::name(self.source))
    }

    /// What it does, and who tells of it if it is not tracked.
    pub fn command_line(&self) -> String {
        let line = &self.who.command_line;
        self.mark().map_or_else(|| line.clone(), |mark| format!("[not tracked: {mark}] {line}"))
    }

    /// Its identity.
    pub fn key(&self) -> ProcessKey {
        self.who.key
    }
}

/// The totals of every process, in the snapshot's order; the roster is of the same snapshot.
pub fn processes(snapshot: &Snapshot, roster: &Roster) -> Vec<ProcessTotals> {
    let mut sums: Vec<Sums> = snapshot.processes.iter().map(|_| Sums::default()).collect();
    // One pass: `rows_of` for each of 2048 processes would look at every row as often.
    for row in &snapshot.rows {
        if let Some(sum) = sums.get_mut(row.process as usize) {
            sum.add(row.chip, row.memory, &row.figures);
        }
    }
    if sums.iter().any(|sum| sum.compared != ChipSet::default()) {
        for row in snapshot.rows.iter().filter(|row| COMPARED.iter().any(|memory| *memory as u32 == row.memory)) {
            if let Some(sum) = sums.get_mut(row.process as usize).filter(|sum| sum.compared.has(row.chip as usize)) {
                sum.compare(&row.figures);
            }
        }
    }
    let known = snapshot.processes.iter().zip(roster.all()).zip(sums);
    known
        .map(|((process, who), sum)| ProcessTotals {
            who: Rc::clone(who),
            pid: process.pid,
            chips: sum.chips,
            dram: sum.of(Memory::Dram),
            l1: sum.of(Memory::L1),
            cb: sum.of(Memory::Cb),
            other: sum.of(Memory::L1Small).saturating_add(sum.of(Memory::Trace)).saturating_add(sum.of(Memory::Kernel)),
            total: [Memory::Dram, Memory::Trace, Memory::L1, Memory::L1Small]
                .into_iter()
                .fold(sum.cb_resident, |total, memory| total.saturating_add(sum.of(memory))),
            peak: sum.peaks(),
            started_unix_ns: process.start_unix_ns,
            since: (sum.compared != ChipSet::default()).then_some(sum.since),
            events: process.events_total,
            age_ns: (process.start_unix_ns != 0).then(|| snapshot.health.unix_ns.saturating_sub(process.start_unix_ns)),
            source: process.source,
            running: process.state == State::Running as u32,
            incomplete: Source::is_tracked(process.source) && (sum.incomplete || process.dropped_events_total > 0),
        })
        .collect()
}

/// What is compared with a baseline: device memory that an allocator gives out.
const COMPARED: [Memory; 4] = [Memory::Dram, Memory::Trace, Memory::L1, Memory::L1Small];

/// Chips of a snapshot, by their index. Their list is made when it is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ChipSet(u64);

const _: () = assert!(MAX_CHIPS <= u64::BITS as usize);

impl ChipSet {
    fn add(&mut self, chip: u32) {
        self.0 |= 1u64.checked_shl(chip).unwrap_or(0);
    }

    const fn has(self, chip: usize) -> bool {
        chip < u64::BITS as usize && self.0 >> chip & 1 == 1
    }

    /// Their labels.
    pub fn labels(self, labels: &[String]) -> impl Iterator<Item = &str> {
        labels.iter().enumerate().filter(move |(at, _)| self.has(*at)).map(|(_, label)| label.as_str())
    }

    /// `0-3`, `0,2`, `0a,0b`: their labels in order, three or more neighbours drawn together.
    pub fn list(self, labels: &[String]) -> String {
        let mut numbers: Vec<(Option<u32>, &str)> =
            self.labels(labels).map(|label| (label.parse().ok(), label)).collect();
        numbers.sort_unstable();
        let follows =
            |a: &(Option<u32>, &str), b: &(Option<u32>, &str)| a.0.is_some() && a.0.map(|n| n.wrapping_add(1)) == b.0;
        let runs = numbers.chunk_by(follows).flat_map(|run| match run {
            [(_, first), .., (_, last)] if run.len() > 2 => vec![format!("{first}-{last}")],
            run => run.iter().map(|(_, label)| (*label).to_owned()).collect(),
        });
        runs.collect::<Vec<_>>().join(",")
    }
}

#[derive(Default)]
struct Sums {
    by_memory: [u64; shm_layout::event::MEMORY_KINDS],
    peaks: [u64; shm_layout::event::MEMORY_KINDS],
    cb_resident: u64,
    chips: ChipSet,
    /// Those where a baseline is set.
    compared: ChipSet,
    since: i64,
    incomplete: bool,
}

impl Sums {
    fn add(&mut self, chip: u32, memory: u32, figures: &Figures) {
        self.chips.add(chip);
        self.incomplete |= figures.detail_incomplete != 0;
        if figures.baseline != 0 {
            self.compared.add(chip);
        }
        if let Some(sum) = self.by_memory.get_mut(memory as usize) {
            *sum = sum.saturating_add(figures.held_bytes().unwrap_or(0));
        }
        if let Some(peak) = self.peaks.get_mut(memory as usize) {
            let most = if figures.peak_footprint_bytes == UNKNOWN { 0 } else { figures.peak_footprint_bytes };
            *peak = peak.saturating_add(most.max(figures.held_bytes().unwrap_or(0)));
        }
        if memory == Memory::Cb as u32 {
            self.cb_resident = self.cb_resident.saturating_add(figures.resident_bytes);
        }
    }

    fn compare(&mut self, figures: &Figures) {
        let all = || i64::try_from(figures.held_bytes().unwrap_or(0)).unwrap_or(i64::MAX);
        self.since = self.since.saturating_add(figures.since_baseline_bytes().unwrap_or_else(all));
    }

    fn peaks(&self) -> Peaks {
        let sum =
            |kinds: &[Memory]| kinds.iter().fold(0, |sum: u64, kind| sum.saturating_add(self.peaks[*kind as usize]));
        Peaks {
            dram: sum(&[Memory::Dram]),
            l1: sum(&[Memory::L1]),
            cb: sum(&[Memory::Cb]),
            other: sum(&[Memory::L1Small, Memory::Trace, Memory::Kernel]),
            total: sum(&COMPARED).saturating_add(self.cb_resident),
        }
    }

    const fn of(&self, memory: Memory) -> u64 {
        self.by_memory[memory as usize]
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
    use super::*;
    use crate::sample;
    use crate::users::Users;

    fn totals(snapshot: &Snapshot) -> Vec<ProcessTotals> {
        let mut roster = Roster::default();
        roster.update(&snapshot.processes, &Users::default());
        processes(snapshot, &roster)
    }

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
        let sums = totals(&snapshot);
        assert_eq!((sums[0].total, sums[0].dram), (expected, figures(Memory::Dram)));
        let labels = crate::selection::chip_labels(&snapshot.chips);
        assert_eq!(sums[0].chips.list(&labels), "0-3");
        // A kind of a later version, and sums past 2^64, harm nobody.
        snapshot.rows[0].memory = 4_000_000_000;
        snapshot.rows[1].figures.footprint_bytes = u64::MAX;
        snapshot.rows[2].figures.footprint_bytes = u64::MAX;
        assert_eq!(totals(&snapshot).len(), snapshot.processes.len());
    }

    #[test]
    fn since_a_baseline_is_all_of_what_has_none_there() {
        let mut snapshot = sample::host(2);
        assert!(totals(&snapshot).iter().all(|sum| sum.since.is_none()));
        // Of its memory kinds on the first chip, DRAM has one; those of the second chip are compared with nothing.
        let mut expected = 0;
        for row in snapshot.rows.iter_mut().filter(|row| row.process == 0 && row.chip == 0) {
            let memory = Memory::from_u8(row.memory as u8).unwrap();
            if memory == Memory::Dram {
                row.figures.baseline = 1001;
                expected -= 1000;
            }
            if COMPARED.contains(&memory) {
                expected += i64::try_from(row.figures.footprint_bytes).unwrap();
            }
        }
        let sums = totals(&snapshot);
        assert_eq!((sums[0].since, sums[1].since), (Some(expected), None));
    }

    #[test]
    fn no_peak_is_below_what_is_there() {
        for sum in totals(&sample::host(4)) {
            let ProcessTotals { peak, total, dram, l1, cb, other, .. } = sum;
            let now = Peaks { dram, l1, cb, other, total };
            let at_least = |peak: u64, now: u64| peak >= now && now > 0;
            assert!(at_least(peak.dram, now.dram) && at_least(peak.l1, now.l1) && at_least(peak.total, now.total));
            assert!(at_least(peak.cb, now.cb) && at_least(peak.other, now.other));
        }
    }

    #[test]
    fn chips_are_drawn_together() {
        let list = |chips: &[u32], labels: &[String]| {
            let mut set = ChipSet::default();
            chips.iter().for_each(|chip| set.add(*chip));
            set.list(labels)
        };
        let labels: Vec<String> = (0..12).map(|n| n.to_string()).collect();
        assert_eq!(list(&[0, 1, 2, 3], &labels), "0-3");
        assert_eq!(list(&[0, 1], &labels), "0,1");
        assert_eq!(list(&[0, 2, 9, 10, 11], &labels), "0,2,9-11");
        assert_eq!(list(&[0, 1], &["0a".into(), "0b".into()]), "0a,0b");
        assert_eq!(list(&[], &labels), "");
        let many: Vec<String> = (0..70).map(|n| n.to_string()).collect();
        assert_eq!(list(&[1, 62, 63, 64, 4_000_000_000], &many), "1,62,63", "none that no snapshot has");
    }
}
