//! tt-metal's own counters beside what a tracked process's records say.
//!
//! Both are read at moments of their own, so a difference counts only when it has stood still for some readings: two figures of
//! one busy process then differ by changing amounts. Circular buffers are not compared: tt-metal brings that counter up to date
//! ten times a second at most, and not at the end.

use super::place_of;
use crate::counters::{KINDS, Region};
use crate::sheet::Sheet;
use shm_layout::event::Memory;
use shm_layout::stats::{Chip, Difference, MAX_DIFFERENCES, UNKNOWN};

/// A difference that was the same in so many readings, one a second, is one.
const READINGS: u32 = 4;

#[derive(Clone, Copy, Debug)]
struct Candidate {
    start_ticks: u64,
    difference: Difference,
    readings: u32,
}

/// Differences, and those that may become some.
#[derive(Debug, Default)]
pub struct Comparison {
    candidates: Vec<Candidate>,
    shown: Vec<Difference>,
    total: u64,
}

impl Comparison {
    /// Compares once more.
    pub fn compare(&mut self, regions: &[Region], chips: &[Chip], sheet: &Sheet, now_unix_ns: u64) {
        let before = core::mem::take(&mut self.candidates);
        for region in regions.iter().filter(|region| region.is_private) {
            let here = |chip: &Chip| chip.id_is_logical == 0 && chip.chip_id == region.chip_id;
            let Some(chip) = chips.iter().position(here) else { continue };
            for (person, slot) in &region.believed {
                let Some(place) = place_of(sheet, person) else { continue };
                if sheet.processes()[place].lag_events > 0 {
                    continue;
                }
                for (memory, told_bytes) in KINDS.into_iter().zip(slot.bytes) {
                    let rows = sheet.rows_of(place).iter();
                    let mine = rows.filter(|row| row.chip as usize == chip && row.memory == memory as u32);
                    let tracked_bytes = mine.fold(0, |sum: u64, row| sum.saturating_add(row.figures.live_bytes));
                    if memory == Memory::Cb || told_bytes == UNKNOWN || told_bytes == tracked_bytes {
                        continue;
                    }
                    let difference = Difference {
                        pid: person.pid,
                        chip: chip as u32,
                        memory: memory as u32,
                        reserved: 0,
                        tracked_bytes,
                        told_bytes,
                        since_unix_ns: now_unix_ns,
                    };
                    let candidate = Candidate { start_ticks: person.start_ticks, difference, readings: 1 };
                    self.candidates.push(continued(candidate, &before));
                }
            }
        }
    }

    /// Leaves out processes that are not tracked any more, and shows the others.
    pub fn keep(&mut self, sheet: &Sheet) {
        let there = |candidate: &Candidate| {
            let same = |process: &shm_layout::stats::Process| {
                (process.pid, process.start_ticks) == (candidate.difference.pid, candidate.start_ticks)
            };
            sheet.processes().iter().any(same)
        };
        self.candidates.retain(there);
        let found = self.candidates.iter().filter(|candidate| candidate.readings >= READINGS);
        self.total = found.clone().count() as u64;
        self.shown.clear();
        self.shown.extend(found.take(MAX_DIFFERENCES).map(|candidate| candidate.difference));
    }

    /// As many as fit into a snapshot.
    pub fn shown(&self) -> &[Difference] {
        &self.shown
    }

    /// All.
    pub const fn total(&self) -> u64 {
        self.total
    }
}

/// The candidate as what it was in the last reading goes on: it does while both figures move together.
fn continued(candidate: Candidate, before: &[Candidate]) -> Candidate {
    let by = |difference: &Difference| difference.told_bytes.wrapping_sub(difference.tracked_bytes);
    let one = &candidate.difference;
    let same = |old: &&Candidate| {
        let was = &old.difference;
        (was.pid, was.chip, was.memory, old.start_ticks) == (one.pid, one.chip, one.memory, candidate.start_ticks)
            && by(was) == by(one)
    };
    before.iter().find(same).map_or(candidate, |old| Candidate {
        readings: old.readings.saturating_add(1),
        difference: Difference { since_unix_ns: old.difference.since_unix_ns, ..*one },
        ..candidate
    })
}
