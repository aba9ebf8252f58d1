//! What takes more than it did: since its baseline, else since this viewer first saw it.

use crate::roster::ProcessKey;
use crate::source::Observation;
use shm_layout::event::Memory;
use shm_layout::stats::{Figures, Row, UNKNOWN};
use std::cmp::Reverse;
use std::collections::HashMap;

/// From when growth is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// A baseline; `true`: it set itself.
    Baseline(bool),
    /// First seen so long ago, ns.
    Seen(u64),
}

/// One process on one device, of one memory kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grown {
    /// Whose.
    pub key: ProcessKey,
    /// Process id.
    pub pid: u32,
    /// Its name.
    pub name: String,
    /// The chip's place in the snapshot.
    pub chip: usize,
    /// The process's number of it.
    pub device: u32,
    /// Memory kind.
    pub memory: Memory,
    /// What it takes now, bytes.
    pub now: u64,
    /// By so much more, bytes.
    pub by: u64,
    /// Since when.
    pub mark: Mark,
}

/// Process, chip (its id and the kind of it) and memory kind.
type Place = (ProcessKey, (u64, u32), u32);

/// What everything took when it was first seen.
#[derive(Debug, Default)]
pub struct First {
    /// The snapshot that was seen last.
    generation: u64,
    /// Bytes, and when (`CLOCK_MONOTONIC` ns).
    took: HashMap<Place, (u64, u64)>,
    /// When the first snapshot was seen.
    pub since_ns: Option<u64>,
}

fn place(seen: &Observation, row: &Row) -> Option<Place> {
    let process = seen.snapshot.processes.get(row.process as usize)?;
    let chip = seen.snapshot.chips.get(row.chip as usize)?;
    Some((process.into(), (chip.chip_id, chip.id_is_logical), row.memory))
}

const fn is_known(figures: &Figures) -> bool {
    figures.blocks != UNKNOWN
}

impl First {
    /// Remembers what is new; forgets who is gone.
    pub fn see(&mut self, seen: &Observation) {
        let first_of_all = self.since_ns.is_none();
        self.since_ns.get_or_insert(seen.now_ns);
        let generation = seen.snapshot.health.generation;
        if !first_of_all && self.generation == generation {
            return;
        }
        self.generation = generation;
        let mut rows = 0;
        for row in seen.snapshot.rows.iter().filter(|row| is_known(&row.figures)) {
            let Some(place) = place(seen, row) else { continue };
            rows += 1;
            self.took.entry(place).or_insert((row.figures.footprint_bytes, seen.now_ns));
        }
        if self.took.len() > rows {
            let live: std::collections::HashSet<Place> =
                seen.snapshot.rows.iter().filter_map(|row| place(seen, row)).collect();
            self.took.retain(|place, _| live.contains(place));
        }
    }

    /// What takes more than then, the largest growth first.
    pub fn grown(&self, seen: &Observation) -> Vec<Grown> {
        let mut grown: Vec<Grown> = seen.snapshot.rows.iter().filter_map(|row| self.of(seen, row)).collect();
        grown.sort_by_key(|one| (Reverse(one.by), one.pid, one.chip, one.memory));
        grown
    }

    fn of(&self, seen: &Observation, row: &Row) -> Option<Grown> {
        let figures = &row.figures;
        if !is_known(figures) {
            return None;
        }
        let process = seen.snapshot.processes.get(row.process as usize)?;
        let memory = u8::try_from(row.memory).ok().and_then(Memory::from_u8)?;
        let now = figures.footprint_bytes;
        let (by, mark) = match figures.since_baseline_bytes() {
            Some(since) => (u64::try_from(since).ok()?, Mark::Baseline(figures.is_baseline_automatic())),
            None => {
                let (took, at_ns) = *self.took.get(&place(seen, row)?)?;
                (now.saturating_sub(took), Mark::Seen(seen.now_ns.saturating_sub(at_ns)))
            }
        };
        (by > 0).then(|| Grown {
            key: process.into(),
            pid: process.pid,
            name: shm_layout::text::load(&process.name),
            chip: row.chip as usize,
            device: row.device,
            memory,
            now,
            by,
            mark,
        })
    }
}
