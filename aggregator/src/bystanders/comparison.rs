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
use std::collections::BTreeMap;

/// A difference that was the same in so many readings, one a second, is one.
const READINGS: u32 = 4;

/// Pid, start, chip and memory kind, as in a [`Difference`].
type Key = (u32, u64, u32, u32);

#[derive(Clone, Copy, Debug)]
struct Candidate {
    difference: Difference,
    readings: u32,
}

/// Differences, and those that may become some.
#[derive(Debug, Default)]
pub struct Comparison {
    candidates: BTreeMap<Key, Candidate>,
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
                let Some(place) = place_of(sheet, person.pid, person.start_ticks) else { continue };
                if sheet.processes()[place].lag_events > 0 {
                    continue;
                }
                let tracked = tracked_bytes(sheet, place, chip);
                for ((memory, told_bytes), tracked_bytes) in KINDS.into_iter().zip(slot.bytes).zip(tracked) {
                    if memory == Memory::Cb || told_bytes == UNKNOWN || told_bytes == tracked_bytes {
                        continue;
                    }
                    let (pid, chip, memory) = (person.pid, chip as u32, memory as u32);
                    let difference = Difference {
                        pid,
                        chip,
                        memory,
                        reserved: 0,
                        tracked_bytes,
                        told_bytes,
                        since_unix_ns: now_unix_ns,
                    };
                    let key = (pid, person.start_ticks, chip, memory);
                    self.candidates.insert(key, continued(difference, before.get(&key)));
                }
            }
        }
    }

    /// Leaves out processes that are not tracked any more, and shows the others.
    pub fn keep(&mut self, sheet: &Sheet) {
        self.candidates.retain(|(pid, start_ticks, ..), _| place_of(sheet, *pid, *start_ticks).is_some());
        let found = self.candidates.values().filter(|candidate| candidate.readings >= READINGS);
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

/// What a tracked process's records say of a chip, by [`KINDS`], in one look at its rows.
fn tracked_bytes(sheet: &Sheet, place: usize, chip: usize) -> [u64; KINDS.len()] {
    let mut bytes = [0_u64; KINDS.len()];
    for row in sheet.rows_of(place).iter().filter(|row| row.chip as usize == chip) {
        if let Some(at) = KINDS.iter().position(|memory| *memory as u32 == row.memory) {
            bytes[at] = bytes[at].saturating_add(row.figures.live_bytes);
        }
    }
    bytes
}

/// The difference as what it was in the last reading goes on: it does while both figures move together.
fn continued(difference: Difference, before: Option<&Candidate>) -> Candidate {
    let by = |difference: &Difference| difference.told_bytes.wrapping_sub(difference.tracked_bytes);
    match before.filter(|old| by(&old.difference) == by(&difference)) {
        Some(old) => Candidate {
            readings: old.readings.saturating_add(1),
            difference: Difference { since_unix_ns: old.difference.since_unix_ns, ..difference },
        },
        None => Candidate { difference, readings: 1 },
    }
}
