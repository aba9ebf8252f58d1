//! Ids and order: unloads that name no size, ids used again, and an allocation that is told before the free of what lay there.
#![allow(clippy::unwrap_used, reason = "a test may unwrap")]

mod support;

use shm_layout::event::{Event, Kind, Memory, flags};
use shm_layout::stats::Anomalies;
use std::io::Write;
use std::sync::Barrier;
use support::{Ground, PATIENCE, Player, figures, play_if_asked};

const ROUNDS: u64 = 500;

#[test]
fn player() {
    if std::env::var_os("TEST_OVERTAKE").is_some() {
        println!("\nready");
        overtake();
        println!("ok");
        std::io::stdout().flush().unwrap();
        std::thread::sleep(PATIENCE);
        std::process::exit(0);
    }
    play_if_asked();
}

/// tt-metal's allocator gives an address to a second thread as soon as the first has freed it, and before that one has said so.
fn overtake() {
    let tell = |kind, address, size| {
        let flags = flags::ID_IS_ADDRESS;
        producer::process::record(Event { id: address, address, size, flags, ..Event::new(kind, Memory::L1, 0) });
    };
    let turn = Barrier::new(2);
    std::thread::scope(|threads| {
        threads.spawn(|| {
            for round in 0..ROUNDS {
                tell(Kind::Alloc, round, 1000 + round);
                turn.wait();
                // Here the second thread tells of its allocation.
                turn.wait();
                // Every third knows no size.
                tell(Kind::Free, round, if round % 3 == 0 { 0 } else { 1000 + round });
                turn.wait();
            }
        });
        threads.spawn(|| {
            for round in 0..ROUNDS {
                turn.wait();
                tell(Kind::Alloc, round, 10 + round);
                turn.wait();
                turn.wait();
                if round % 2 == 0 {
                    tell(Kind::Free, round, 0);
                }
            }
        });
    });
}

#[test]
fn an_allocation_that_a_second_thread_tells_before_the_first_one_s_free_is_the_one_that_stays() {
    let ground = Ground::new();
    let aggregator = ground.aggregator();
    let mut player = Player::start_with(&ground, &[("TEST_OVERTAKE", "1")]);
    player.tell("");
    let events = ROUNDS * 3 + ROUNDS / 2;
    let seen = ground.see("all of it", |s| s.health.events_total == events);
    let odd = (0..ROUNDS).filter(|round| round % 2 == 1);
    let l1 = figures(&seen, player.pid(), 0, Memory::L1);
    assert_eq!((l1.footprint_bytes, l1.blocks), (odd.map(|round| 10 + round).sum(), ROUNDS / 2));
    let allocated: u64 = (0..ROUNDS).map(|round| 1010 + 2 * round).sum();
    assert_eq!((l1.allocated_bytes_total, l1.freed_bytes_total), (allocated, allocated - l1.footprint_bytes));
    assert_eq!(seen.health.anomalies, Anomalies::default());
    player.kill();
    ground.see("nobody", |s| s.processes.is_empty());
    drop(aggregator);
    ground.must_be_clean();
}

fn event(player: &mut Player, kind: Kind, memory: Memory, id: u64, size: u64, context: u32) {
    player.tell(&format!("event {} {} 0 {id} 0 {size} 0 {context} 0", kind as u8, memory as u8));
}

#[test]
fn unloads_without_a_size_take_away_what_was_loaded() {
    for memory in [Memory::Kernel, Memory::Cb] {
        let ground = Ground::new();
        let aggregator = ground.aggregator();
        let mut player = Player::start(&ground);
        let pid = player.pid();
        let held = |s: &_| {
            let figures = figures(s, pid, 0, memory);
            (figures.footprint_bytes, figures.blocks)
        };
        // Three programs, one of two blocks.
        for (id, size, context) in [(1, 1000, 1), (2, 200, 1), (3, 30, 2), (4, 4, 3)] {
            event(&mut player, Kind::Alloc, memory, id, size, context);
        }
        ground.see("what is loaded", |s| held(s) == (1234, 4));
        event(&mut player, Kind::Free, memory, 1, 0, 1);
        ground.see("one block less", |s| held(s) == (234, 3));
        // Said again, it takes nothing.
        event(&mut player, Kind::Free, memory, 1, 0, 1);
        // A whole program, without a word of how much.
        event(&mut player, Kind::FreeAll, memory, 0, 0, 2);
        ground.see("a program less", |s| held(s) == (204, 2));
        // Nothing was ever loaded for this one.
        event(&mut player, Kind::FreeAll, memory, 0, 0, 9);
        event(&mut player, Kind::Free, memory, 77, 0, 9);
        let seen = ground.see("all", |s| s.health.events_total == 9);
        assert_eq!(held(&seen), (204, 2), "{memory:?}");
        assert_eq!(seen.health.anomalies, Anomalies { double_free: 1, free_unknown: 1, ..Anomalies::default() });
        // An id used again with another size, and in another memory.
        event(&mut player, Kind::Alloc, memory, 1, 7, 1);
        player.alloc(0, Memory::Dram, 1, 5, 0);
        ground.see("the new ones", |s| held(s) == (211, 3));
        event(&mut player, Kind::Free, memory, 1, 0, 1);
        let seen = ground.see("its end", |s| held(s) == (204, 2));
        assert_eq!(figures(&seen, pid, 0, Memory::Dram).footprint_bytes, 5);
        assert_eq!(figures(&seen, pid, 0, memory).freed_bytes_total, 1000 + 30 + 7);
        player.close();
        ground.see("nobody", |s| s.processes.is_empty());
        drop(aggregator);
        ground.must_be_clean();
    }
}

#[test]
fn an_id_used_again_with_another_size_and_kind_is_what_it_was_last() {
    let ground = Ground::new();
    let aggregator = ground.aggregator();
    let mut player = Player::start(&ground);
    let pid = player.pid();
    const KINDS: [Memory; 4] = [Memory::Dram, Memory::L1, Memory::Kernel, Memory::Cb];
    for round in 0..40_u64 {
        let memory = KINDS[round as usize % KINDS.len()];
        player.alloc(0, memory, 1, 100 + round, 0);
        let frees = if round % 2 == 0 { 0 } else { 100 + round };
        player.free(0, memory, 1, frees, 0);
    }
    player.alloc(0, Memory::L1, 1, 9, 0);
    let seen = ground.see("all", |s| s.health.events_total == 81);
    for memory in KINDS {
        assert_eq!(figures(&seen, pid, 0, memory).footprint_bytes, if memory == Memory::L1 { 9 } else { 0 });
    }
    assert_eq!(seen.health.anomalies, Anomalies::default());
    player.close();
    ground.see("nobody", |s| s.processes.is_empty());
    drop(aggregator);
    ground.must_be_clean();
}
