//! A past that the next aggregator is to continue, and what of it may never shrink.

use super::{Ground, Player};
use shm_layout::event::Memory;
use shm_layout::stats::Snapshot;

/// Counters that only grow, peaks included.
fn growing(snapshot: &Snapshot) -> Vec<u64> {
    let health = &snapshot.health;
    let anomalies: [u64; 8] = bytemuck::must_cast(health.anomalies);
    let mut all = vec![health.events_total, health.deaths_total, health.dropped_events_total, health.torn_events_total];
    all.push(health.rejected_rings_total);
    all.extend(anomalies);
    for figures in snapshot.chips.iter().flat_map(|chip| &chip.memory) {
        all.extend([figures.peak_footprint_bytes, figures.allocated_bytes_total, figures.freed_bytes_total]);
    }
    all
}

/// No counter and no peak has run backwards.
#[track_caller]
pub fn must_not_shrink(before: &Snapshot, after: &Snapshot) {
    let (before_all, after_all) = (growing(before), growing(after));
    let shrunk = before_all.iter().zip(&after_all).position(|(before, after)| before > after);
    assert!(shrunk.is_none(), "number {shrunk:?} ran backwards:\n{before:#?}\n{after:#?}");
}

/// Two processes on a chip with a common peak, one that was killed, an anomaly, an event line.
pub fn a_past(ground: &Ground) -> Player {
    let mut stays = Player::start(ground);
    let mut dies = Player::start(ground);
    stays.alloc(0, Memory::Dram, 1, 1000, 0);
    dies.alloc(0, Memory::Dram, 1, 5000, 0);
    dies.alloc(0, Memory::L1, 7, 300, 0);
    dies.free(0, Memory::L1, 7, 0, 0);
    dies.free(0, Memory::L1, 99, 0, 0);
    ground.see("both", |s| s.health.events_total == 5 && s.health.lag_events == 0);
    dies.kill();
    ground.see("one", |s| s.processes.len() == 1 && s.health.deaths_total == 1);
    stays
}
