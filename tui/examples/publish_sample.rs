//! Publishes a host with made-up figures under `TT_ALLOC_PREFIX`, for looking at the viewers without hardware.
//!
//! `publish_sample [CHIPS] [SECONDS]`: 4 chips and 3600 s unless said otherwise.

#[allow(dead_code, reason = "shared with the tests")]
#[path = "../src/sample.rs"]
mod sample;

use shm_layout::event::Memory;
use shm_layout::names::Prefix;
use shm_layout::segment::create;
use shm_layout::stats::{Health, Identity, StatsHeader, StatsView, stats_bytes};
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use tui::clock::{monotonic_ns, unix_ns};

fn main() -> anyhow::Result<()> {
    let mut numbers = std::env::args().skip(1).map(|text| text.parse::<usize>());
    let chips = numbers.next().transpose()?.unwrap_or(4);
    let seconds = numbers.next().transpose()?.unwrap_or(3600) as u64;
    let created = create(&Prefix::from_environment()?.stats(), stats_bytes())?;
    created.publish_to_all()?;
    let behind = size_of::<StatsHeader<AtomicU64>>();
    let words = created.mapping.array(behind, (created.mapping.len() - behind) / 8);
    let view = created.mapping.one(0).zip(words).and_then(|(header, words)| StatsView::new(header, words));
    let view = view.ok_or_else(|| anyhow::anyhow!("the segment has another size than it was created with"))?;
    let identity = Identity {
        pid: std::process::id(),
        start_ticks: shm_layout::procfs::stat("self").map_or(0, |stat| stat.start_ticks),
        started_monotonic_ns: monotonic_ns().saturating_sub(11_533_000_000_000),
        ..sample::identity()
    };
    view.announce(identity);
    // Five hours of a past, so that the graphs have something to show at once.
    const PAST: u64 = 180_000;
    let mut samples = 0;
    let mut round = PAST;
    let swing = |round: u64| {
        let t = round as f64 / 10.0;
        0.55 * (t / 23.0).sin() + 0.3 * (t / 5.0).sin() + if (t as u64 / 17).is_multiple_of(3) { 0.15 } else { 0.0 }
    };
    let mut record = |round: u64| {
        let snapshot = sample::host_at(chips, swing(round));
        for (at, chip) in snapshot.chips.iter().enumerate() {
            for memory in [Memory::Dram, Memory::L1] {
                view.record_sample(at, memory as usize, samples, chip.memory[memory as usize].footprint_bytes);
            }
        }
        view.advance_history(samples);
        samples += 1;
        snapshot
    };
    for past in 0..PAST / 10 {
        record(past * 10);
    }
    let mut words = Vec::new();
    while round < PAST + seconds * 10 {
        let mut snapshot = if round.is_multiple_of(10) { record(round) } else { sample::host_at(chips, swing(round)) };
        let now = unix_ns();
        for line in &mut snapshot.lines {
            line.unix_ns = now - (sample::UNIX_NS - line.unix_ns);
        }
        // Every ten seconds the benchmark ends, and comes back.
        if (round / 100) % 2 == 1 {
            snapshot.processes.truncate(2);
            snapshot.rows.retain(|row| row.process < 2);
        }
        snapshot.health =
            Health { events_total: snapshot.health.events_total + (round - PAST) * 127, ..snapshot.health };
        snapshot.encode(&mut words);
        view.snapshots().publish(&words);
        view.header.heartbeat.store(monotonic_ns(), Relaxed);
        std::thread::sleep(Duration::from_millis(100));
        round += 1;
    }
    created.remove();
    Ok(())
}
