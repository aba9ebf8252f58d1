//! Counters that only grow: none may run backwards while one aggregator lives, and none may be near 2^64.

use crate::figures::Seen;
use shm_layout::stats::{Figures, UNKNOWN};
use std::collections::HashMap;

/// No sum of a run comes near this: what is above was subtracted below zero.
const MOST: u64 = 1 << 60;

/// The highest that was seen of each counter of the aggregator of now.
#[derive(Debug, Default)]
pub struct Ratchet {
    life: (u32, u64),
    highest: HashMap<(u64, u64, &'static str), u64>,
}

impl Ratchet {
    /// Looks at every counter.
    ///
    /// # Errors
    /// The first that is wrong.
    pub fn check(&mut self, seen: &Seen) -> anyhow::Result<()> {
        let life = (seen.identity.pid, seen.identity.started_monotonic_ns);
        if self.life != life {
            self.highest.clear();
            self.life = life;
        }
        let health = &seen.snapshot.health;
        let anomalies = &health.anomalies;
        for (name, value) in [
            ("generation", health.generation),
            ("events", health.events_total),
            ("dropped", health.dropped_events_total),
            ("torn", health.torn_events_total),
            ("rejected rings", health.rejected_rings_total),
            ("deaths", health.deaths_total),
            ("CPU time", health.cpu_ns),
            ("frees of what is unknown", anomalies.free_unknown),
            ("double frees", anomalies.double_free),
            ("invalid records", anomalies.invalid_record),
            ("live ids again", anomalies.alloc_live),
            ("overflows", anomalies.overflow),
            ("sizes that differ", anomalies.size_mismatch),
        ] {
            self.grows((0, 0, name), value)?;
        }
        small("lag", health.lag_events)?;
        small("live allocations", health.live_allocations)?;
        for process in &seen.snapshot.processes {
            self.grows((process.nonce, 0, "a process's events"), process.events_total)?;
            self.grows((process.nonce, 0, "a process's drops"), process.dropped_events_total)?;
            small("a process's lag", process.lag_events)?;
        }
        for row in &seen.snapshot.rows {
            all_small(&row.figures)?;
            let nonce = seen.snapshot.processes[row.process as usize].nonce;
            let account = u64::from(row.device) << 8 | u64::from(row.memory) | 1 << 63;
            self.grows((nonce, account, "a row's allocated bytes"), row.figures.allocated_bytes_total)?;
            self.grows((nonce, account, "a row's peak"), row.figures.peak_footprint_bytes)?;
        }
        for chip in &seen.snapshot.chips {
            for (memory, figures) in chip.memory.iter().enumerate() {
                all_small(figures)?;
                // What was allocated before an introduction moves to another chip.
                if chip.id_is_logical == 0 {
                    let memory = memory as u64 | 1 << 62;
                    self.grows((chip.chip_id, memory, "a chip's allocated bytes"), figures.allocated_bytes_total)?;
                    self.grows((chip.chip_id, memory, "a chip's peak"), figures.peak_footprint_bytes)?;
                }
            }
        }
        Ok(())
    }

    fn grows(&mut self, key: (u64, u64, &'static str), value: u64) -> anyhow::Result<()> {
        small(key.2, value)?;
        let highest = self.highest.entry(key).or_default();
        anyhow::ensure!(value >= *highest, "{} ran backwards, from {highest} to {value} ({:#x})", key.2, key.0);
        *highest = value;
        Ok(())
    }
}

fn small(name: &str, value: u64) -> anyhow::Result<()> {
    anyhow::ensure!(value < MOST, "{name} is {value}: near 2^64");
    Ok(())
}

fn all_small(figures: &Figures) -> anyhow::Result<()> {
    for (name, value) in [
        ("live bytes", figures.live_bytes),
        ("footprint", figures.footprint_bytes),
        ("blocks", figures.blocks),
        ("peak", figures.peak_footprint_bytes),
        ("allocated bytes", figures.allocated_bytes_total),
        ("freed bytes", figures.freed_bytes_total),
        ("resident bytes", figures.resident_bytes),
        ("fabric bytes", figures.fabric_bytes),
        ("dispatch bytes", figures.dispatch_bytes),
    ] {
        small(name, value)?;
    }
    if figures.capacity_bytes != UNKNOWN {
        small("capacity", figures.capacity_bytes)?;
    }
    Ok(())
}
