//! A process that writes what it likes into its own ring's words while it is tracked: its lies stay in its own row, and end with it.
#![allow(clippy::unwrap_used, reason = "a test may unwrap")]

mod support;

use shm_layout::event::Memory;
use shm_layout::ring::{DropTable, HEADER_BYTES, RingHeader};
use shm_layout::segment::{self, Access, Expect, Opened};
use shm_layout::stats::Snapshot;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{Relaxed, Release};
use support::{Ground, Player, figures, play_if_asked};

/// What the aggregator believes of drops, at most.
const MOST_DROPS: u64 = 1 << 48;
/// What a figure may reach.
const MOST_BYTES: u64 = 1 << 62;

#[test]
fn player() {
    play_if_asked();
}

/// A process's ring, to be written by somebody of its user.
fn scribble(player: &mut Player) -> Opened {
    let name = player.tell("ring");
    segment::open(&name, Access::ReadWrite, Expect { owners: &[], least: 1, most: u64::MAX }).unwrap()
}

fn header(ring: &Opened) -> &RingHeader<AtomicU64> {
    ring.mapping.one(0).unwrap()
}

fn row(seen: &Snapshot, player: &Player) -> shm_layout::stats::Process {
    *seen.processes.iter().find(|process| process.pid == player.pid()).unwrap()
}

/// An honest process with 5000 bytes, and another with 64.
fn two(ground: &Ground) -> (Player, Player) {
    let (mut honest, mut liar) = (Player::start(ground), Player::start(ground));
    honest.alloc(0, Memory::Dram, 1, 5000, 0);
    liar.alloc(0, Memory::Dram, 1, 64, 0);
    ground.see("both", |s| s.health.live_allocations == 2);
    (honest, liar)
}

fn honest_is_untouched(seen: &Snapshot, honest: &Player) {
    let held = figures(seen, honest.pid(), 0, Memory::Dram);
    assert_eq!((held.footprint_bytes, held.blocks, held.detail_incomplete), (5000, 1, 0));
    let process = row(seen, honest);
    assert_eq!((process.dropped_events_total, process.lag_events), (0, 0));
}

#[test]
fn drops_without_end_move_the_host_s_sum_by_a_bound_and_not_by_more_after_death() {
    let ground = Ground::new();
    let aggregator = ground.aggregator();
    let (honest, mut liar) = two(&ground);
    let ring = scribble(&mut liar);
    header(&ring).dropped.store(u64::MAX, Release);
    let seen = ground.see("the lie, and that it is one", |s| s.health.anomalies.overflow > 0);
    assert_eq!(row(&seen, &liar).dropped_events_total, MOST_DROPS);
    assert_eq!(seen.health.dropped_events_total, MOST_DROPS);
    honest_is_untouched(&seen, &honest);
    // Another number above the bound is the same lie.
    header(&ring).dropped.store(u64::MAX - 5, Release);
    liar.alloc(0, Memory::Dram, 2, 1, 0);
    let seen = ground.see("the next", |s| s.health.live_allocations == 3);
    assert_eq!((seen.health.dropped_events_total, seen.health.anomalies.overflow), (MOST_DROPS, 1));
    liar.kill();
    let seen = ground.see("its end", |s| s.processes.len() == 1);
    assert_eq!(seen.health.dropped_events_total, MOST_DROPS);
    honest_is_untouched(&seen, &honest);
    honest.close();
    ground.see("nobody", |s| s.processes.is_empty());
    drop(aggregator);
    ground.must_be_clean();
}

#[test]
fn an_impossible_claim_is_no_lag_and_a_possible_one_is() {
    let ground = Ground::new();
    let _aggregator = ground.aggregator();
    let (honest, mut liar) = two(&ground);
    let ring = scribble(&mut liar);
    // As a process with three threads between claim and publication has it.
    header(&ring).sections[0].claim.fetch_add(3, Relaxed);
    let seen = ground.see("the three", |s| s.health.lag_events == 3);
    assert_eq!(row(&seen, &liar).lag_events, 3);
    for claim in [1 << 61, u64::MAX, 0] {
        header(&ring).sections[0].claim.store(4, Relaxed);
        ground.see("the three again", |s| s.health.lag_events == 3);
        header(&ring).sections[0].claim.store(claim, Relaxed);
        let seen = ground.see("no lag", |s| s.health.lag_events == 0);
        assert_eq!(row(&seen, &liar).lag_events, 0, "claim {claim:#x}");
        honest_is_untouched(&seen, &honest);
    }
    header(&ring).sections[0].claim.store(1 << 61, Relaxed);
    liar.kill();
    let seen = ground.see("its end", |s| s.processes.len() == 1);
    assert_eq!(seen.chips[0].memory[Memory::Dram as usize].footprint_bytes, 5000);
}

#[test]
fn drop_counters_without_end_saturate_in_their_own_row() {
    let ground = Ground::new();
    let _aggregator = ground.aggregator();
    let (honest, mut liar) = two(&ground);
    let ring = scribble(&mut liar);
    let table: &DropTable<AtomicU64> = ring.mapping.one(HEADER_BYTES).unwrap();
    let cell = &table.cells[0][Memory::Dram as usize];
    for (n, bytes) in [1_u64 << 61, 1 << 62, 3 << 61, 1 << 63, u64::MAX - 1, u64::MAX].into_iter().enumerate() {
        cell.allocated_bytes.store(bytes, Relaxed);
        cell.allocated_blocks.store(bytes, Relaxed);
        header(&ring).dropped.store(n as u64 + 1, Release);
        let seen = ground.see("the drops", |s| {
            row(s, &liar).dropped_events_total == n as u64 + 1
                && figures(s, liar.pid(), 0, Memory::Dram).footprint_bytes >= bytes.min(MOST_BYTES)
        });
        let lie = figures(&seen, liar.pid(), 0, Memory::Dram);
        let all =
            [lie.live_bytes, lie.footprint_bytes, lie.blocks, lie.peak_footprint_bytes, lie.allocated_bytes_total];
        assert!(all.iter().all(|figure| *figure <= MOST_BYTES), "{lie:?}");
        let chip = seen.chips[0].memory[Memory::Dram as usize];
        assert_eq!(chip.footprint_bytes, lie.footprint_bytes + 5000, "the sum of the rows");
        honest_is_untouched(&seen, &honest);
    }
    // A free of something that was dropped says how much it frees: that is bounded as well.
    liar.free(0, Memory::Dram, 77, u64::MAX, 0);
    let seen = ground.see("the free", |s| figures(s, liar.pid(), 0, Memory::Dram).freed_bytes_total > 0);
    assert!(figures(&seen, liar.pid(), 0, Memory::Dram).freed_bytes_total <= MOST_BYTES);
    liar.kill();
    let seen = ground.see("its end", |s| s.processes.len() == 1);
    let chip = seen.chips[0].memory[Memory::Dram as usize];
    assert_eq!((chip.footprint_bytes, chip.live_bytes, chip.blocks), (5000, 5000, 1));
    honest_is_untouched(&seen, &honest);
}

#[test]
fn a_cursor_that_jumps_changes_nothing_for_this_aggregator_or_the_next() {
    let ground = Ground::new();
    let mut aggregator = Some(ground.aggregator());
    let (honest, mut liar) = two(&ground);
    let ring = scribble(&mut liar);
    // Backwards, one too far, a lap too far, to the end of numbers, and not on any boundary.
    for (n, cursor) in [0, 1, 2, 3, 65_536, 1 << 62, u64::MAX - 1, u64::MAX, 0x1234_5678_9ABC].into_iter().enumerate() {
        header(&ring).cursor.store(cursor, Relaxed);
        if n % 2 == 1 {
            drop(aggregator.take());
            aggregator = Some(ground.aggregator());
        }
        liar.alloc(0, Memory::L1, n as u64, 10, 0);
        let bytes = 10 * (n as u64 + 1);
        let seen = ground.see("one more", |s| figures(s, liar.pid(), 0, Memory::L1).footprint_bytes == bytes);
        assert_eq!(figures(&seen, liar.pid(), 0, Memory::Dram).footprint_bytes, 64, "cursor {cursor:#x}");
        assert_eq!(seen.health.torn_events_total, 0);
        honest_is_untouched(&seen, &honest);
    }
}
