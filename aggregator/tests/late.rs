//! Nobody attached, or somebody who does not come on: the ring is compacted and grows, and nothing is lost.
#![allow(clippy::unwrap_used, reason = "a test may unwrap")]

mod support;

use shm_layout::event::{Kind, Memory};
use support::{Ground, Player, figures};

#[test]
fn player() {
    support::play_if_asked();
}

fn churn(player: &mut Player, first: u64, live: u64, rounds: u64) {
    player.tell(&format!("churn {first} {live} {rounds} 64"));
}

#[test]
fn a_process_that_ran_long_before_any_aggregator_shows_its_exact_live_set() {
    let ground = Ground::new();
    // It may not grow: a million records would fit into all the sections that it may have otherwise.
    let small = [("TT_ALLOC_RING_BYTES", "65536"), ("TT_ALLOC_RING_MAX_BYTES", "65536")];
    let mut player = Player::start_with(&ground, &small);
    player.tell(&format!("event {} 0 0 77 0 0 0 0 0", Kind::DeviceInfo as u8));
    // A million events through 1,024 slots; 300 are alive at any time.
    churn(&mut player, 0, 300, 500_000);
    let _aggregator = ground.aggregator();
    let pid = player.pid();
    let seen = ground.see("everything", |s| s.health.events_total == 1_000_301);
    let dram = figures(&seen, pid, 0, Memory::Dram);
    assert_eq!((dram.footprint_bytes, dram.blocks, dram.detail_incomplete), (300 * 64, 300, 0));
    assert_eq!((dram.peak_footprint_bytes, dram.allocated_bytes_total), (301 * 64, 500_300 * 64));
    assert_eq!(dram.freed_bytes_total, 500_000 * 64);
    assert_eq!(seen.health.dropped_events_total, 0);
    assert_eq!((seen.chips.len(), seen.chips[0].chip_id), (1, 77), "and no chip that never was");
    player.tell("unburst 500000 300 64");
    ground.see("all freed", |s| figures(s, pid, 0, Memory::Dram).blocks == 0);
    player.kill();
    ground.must_be_clean_but_for_stats();
}

#[test]
fn a_ring_that_is_more_than_half_alive_grows() {
    let ground = Ground::new();
    let mut player = Player::start_with(&ground, &[("TT_ALLOC_RING_BYTES", "4096")]);
    churn(&mut player, 0, 5000, 20_000);
    let _aggregator = ground.aggregator();
    let pid = player.pid();
    let seen = ground.see("everything", |s| s.health.events_total == 45_000);
    let dram = figures(&seen, pid, 0, Memory::Dram);
    assert_eq!((dram.footprint_bytes, dram.blocks, dram.detail_incomplete), (5000 * 64, 5000, 0));
    assert_eq!((dram.peak_footprint_bytes, dram.allocated_bytes_total), (5001 * 64, 25_000 * 64));
    assert_eq!(seen.health.dropped_events_total, 0);
    // And is read on lap after lap in its last section.
    churn(&mut player, 100_000, 100, 20_000);
    ground.see("more", |s| figures(s, pid, 0, Memory::Dram).blocks == 5100);
    player.kill();
    ground.see("nothing", |s| s.processes.is_empty());
}

#[test]
fn between_two_aggregators_the_ring_is_compacted_from_where_the_first_had_read() {
    let ground = Ground::new();
    let mut player = Player::start_with(&ground, &[("TT_ALLOC_RING_BYTES", "4096")]);
    let pid = player.pid();
    let aggregator = ground.aggregator();
    player.tell("burst 0 40 64");
    ground.see("the first", |s| figures(s, pid, 0, Memory::Dram).blocks == 40);
    drop(aggregator);
    for round in 0..5 {
        // Frees what an aggregator has in its ledger, in a ring that is compacted many times.
        churn(&mut player, 1000 + round * 100_000, 10, 5000);
        player.tell(&format!("unburst {} 8 64", round * 8));
        churn(&mut player, 50_000 + round * 100_000, 5, 5000);
        let aggregator = ground.aggregator();
        let left = 40 - 8 * (round + 1) + 15 * (round + 1);
        let seen = ground.see("what is left", |s| figures(s, pid, 0, Memory::Dram).blocks == left);
        let dram = figures(&seen, pid, 0, Memory::Dram);
        assert_eq!((dram.footprint_bytes, dram.detail_incomplete), (left * 64, 0));
        assert_eq!(seen.health.dropped_events_total, 0);
        assert_eq!(seen.health.anomalies, shm_layout::stats::Anomalies::default());
        drop(aggregator);
    }
}

#[test]
fn a_dead_process_s_sections_are_read_to_their_end() {
    let ground = Ground::new();
    let mut player = Player::start_with(&ground, &[("TT_ALLOC_RING_BYTES", "4096")]);
    churn(&mut player, 0, 3000, 10_000);
    player.kill();
    let _aggregator = ground.aggregator();
    let died = |s: &shm_layout::stats::Snapshot| support::lines(s).into_iter().find(|line| line.contains("died"));
    let seen = ground.see("its end", |s| died(s).is_some());
    assert!(died(&seen).unwrap().contains("removed 3000 buffers"), "{:?}", died(&seen));
    ground.must_be_clean_but_for_stats();
}

const BOUNDED: [(&str, &str); 2] = [("TT_ALLOC_RING_BYTES", "4096"), ("TT_ALLOC_RING_MAX_BYTES", "4096")];

#[test]
fn when_what_was_dropped_is_freed_detail_is_complete_again() {
    let ground = Ground::new();
    let mut player = Player::start_with(&ground, &BOUNDED);
    let pid = player.pid();
    player.tell("burst 0 100 64");
    let _aggregator = ground.aggregator();
    let dram = |s: &_| figures(s, pid, 0, Memory::Dram);
    let seen = ground.see("the flood", |s| dram(s).blocks == 100);
    assert_eq!((dram(&seen).footprint_bytes, dram(&seen).detail_incomplete), (6400, 1));
    player.tell("unburst 64 36 64");
    let seen = ground.see("what was dropped is gone", |s| dram(s).blocks == 64);
    assert_eq!((dram(&seen).footprint_bytes, dram(&seen).detail_incomplete), (64 * 64, 0));
    assert_eq!(seen.health.live_allocations, 64);
}

#[test]
fn when_frees_were_dropped_addresses_may_be_used_again_and_the_end_of_all_is_known() {
    let ground = Ground::new();
    let mut player = Player::start_with(&ground, &BOUNDED);
    let pid = player.pid();
    for id in 0..64 {
        player.tell(&format!("event 1 0 0 {id} {id} 64 0 0 1"));
    }
    // Dropped: ten frees.
    for id in 0..10 {
        player.tell(&format!("event 2 0 0 {id} {id} 64 0 0 1"));
    }
    let _aggregator = ground.aggregator();
    let dram = |s: &_| figures(s, pid, 0, Memory::Dram);
    ground.see("the drops", |s| dram(s).blocks == 54);
    // The same addresses again, with another size: the ledger has two of each.
    for id in 0..10 {
        player.tell(&format!("event 1 0 0 {id} {id} 1000 0 0 1"));
    }
    let seen = ground.see("ten more", |s| dram(s).blocks == 64);
    assert_eq!((dram(&seen).footprint_bytes, dram(&seen).detail_incomplete), (54 * 64 + 10_000, 1));
    for id in 0..5 {
        player.tell(&format!("event 2 0 0 {id} {id} 1000 0 0 1"));
    }
    let seen = ground.see("five fewer", |s| dram(s).blocks == 59);
    assert_eq!(dram(&seen).footprint_bytes, 54 * 64 + 5000);
    for id in 5..10 {
        player.tell(&format!("event 2 0 0 {id} {id} 1000 0 0 1"));
    }
    for id in 10..64 {
        player.tell(&format!("event 2 0 0 {id} {id} 64 0 0 1"));
    }
    let seen = ground.see("the end of all", |s| dram(s).blocks == 0 && dram(s).detail_incomplete == 0);
    let end = dram(&seen);
    assert_eq!((end.footprint_bytes, end.allocated_bytes_total, end.freed_bytes_total), (0, 14_096, 14_096));
    assert_eq!((seen.health.live_allocations, seen.health.anomalies), (0, shm_layout::stats::Anomalies::default()));
    player.tell("event 1 0 0 7 7 5 0 0 1");
    let seen = ground.see("one more", |s| dram(s).blocks == 1);
    assert_eq!((dram(&seen).footprint_bytes, dram(&seen).detail_incomplete), (5, 0));
}

#[test]
fn an_aggregator_that_is_stopped_loses_nothing_up_to_the_bound() {
    let ground = Ground::new();
    let mut player = Player::start_with(&ground, &[("TT_ALLOC_RING_BYTES", "4096")]);
    let pid = player.pid();
    player.tell("burst 0 10 64");
    // One that holds the ring and reads nothing.
    let expect = shm_layout::segment::Expect { owners: &[], least: 1, most: u64::MAX };
    let access = shm_layout::segment::Access::ReadWrite;
    let ring = shm_layout::segment::open(&player.tell("ring"), access, expect).unwrap();
    for lock in [shm_layout::locks::Lock::Consumer, shm_layout::locks::Lock::Section(0)] {
        assert!(shm_layout::locks::try_take(&ring.file, lock).unwrap());
    }
    churn(&mut player, 1000, 100, 100_000);
    drop(ring);
    let _aggregator = ground.aggregator();
    let seen = ground.see("everything", |s| s.health.events_total == 200_110);
    let dram = figures(&seen, pid, 0, Memory::Dram);
    assert_eq!((dram.blocks, dram.footprint_bytes, dram.detail_incomplete), (110, 110 * 64, 0));
    assert_eq!(seen.health.dropped_events_total, 0);
}

#[test]
fn threads_that_find_the_ring_full_wait_for_the_one_that_makes_room() {
    let ground = Ground::new();
    let mut player = Player::start_with(&ground, &[("TT_ALLOC_RING_BYTES", "4096")]);
    let pid = player.pid();
    player.tell("threads 8 2500 10");
    let _aggregator = ground.aggregator();
    let seen = ground.see("everything", |s| s.health.events_total == 8 * 3750);
    let l1 = figures(&seen, pid, 0, Memory::L1);
    assert_eq!((l1.blocks, l1.footprint_bytes, l1.detail_incomplete), (10_000, 100_000, 0));
}
