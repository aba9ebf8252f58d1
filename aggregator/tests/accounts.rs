//! Which events change which figures: ids, programs, devices, and records that cannot be believed.
#![allow(clippy::unwrap_used, reason = "a test may unwrap")]

mod support;

use shm_layout::event::{Kind, Memory, flags};
use shm_layout::stats::{Anomalies, UNKNOWN};
use support::{Ground, Player, figures, play_if_asked};

#[test]
fn player() {
    play_if_asked();
}

/// One record, its numbers by name.
#[derive(Default)]
struct Record {
    device: u32,
    id: u64,
    address: u64,
    size: u64,
    footprint: u64,
    context: u32,
    flags: u16,
}

fn tell(player: &mut Player, kind: u8, memory: u8, r: &Record) {
    let Record { device, id, address, size, footprint, context, flags } = r;
    player.tell(&format!("event {kind} {memory} {device} {id} {address} {size} {footprint} {context} {flags}"));
}

fn say(player: &mut Player, kind: Kind, memory: Memory, record: &Record) {
    tell(player, kind as u8, memory as u8, record);
}

#[test]
fn one_id_is_one_allocation_per_memory_device_and_process() {
    let ground = Ground::new();
    let _aggregator = ground.aggregator();
    let (mut one, mut two) = (Player::start(&ground), Player::start(&ground));
    for player in [&mut one, &mut two] {
        player.alloc(0, Memory::Dram, 0x1000, 10, 0);
        player.alloc(0, Memory::L1, 0x1000, 20, 0);
        player.alloc(1, Memory::Dram, 0x1000, 30, 0);
    }
    ground.see("six", |s| s.health.live_allocations == 6);
    one.free(0, Memory::L1, 0x1000, 0, 0);
    let seen = ground.see("five", |s| s.health.live_allocations == 5);
    let footprint = |pid, device, memory| figures(&seen, pid, device, memory).footprint_bytes;
    assert_eq!(footprint(one.pid(), 0, Memory::L1), 0);
    assert_eq!(footprint(one.pid(), 0, Memory::Dram), 10);
    assert_eq!(footprint(one.pid(), 1, Memory::Dram), 30);
    assert_eq!(footprint(two.pid(), 0, Memory::L1), 20);
    assert_eq!(seen.health.anomalies, Anomalies::default());
}

#[test]
fn an_address_reused_before_its_free_was_told_frees_the_older() {
    let ground = Ground::new();
    let _aggregator = ground.aggregator();
    let mut player = Player::start(&ground);
    let by_address = |size| Record { id: 0x40, size, flags: flags::ID_IS_ADDRESS, ..Record::default() };
    say(&mut player, Kind::Alloc, Memory::L1, &by_address(100));
    say(&mut player, Kind::Alloc, Memory::L1, &by_address(300));
    say(&mut player, Kind::Free, Memory::L1, &Record { id: 0x40, ..Record::default() });
    let seen = ground.see("the free", |s| s.health.events_total == 3);
    assert_eq!(figures(&seen, player.pid(), 0, Memory::L1).footprint_bytes, 300);
    assert_eq!(seen.health.anomalies, Anomalies::default());
}

#[test]
fn frees_that_fit_nothing_change_nothing_and_are_counted() {
    let ground = Ground::new();
    let _aggregator = ground.aggregator();
    let mut player = Player::start(&ground);
    player.alloc(0, Memory::Dram, 1, 100, 0);
    player.alloc(0, Memory::Dram, 2, 100, 0);
    player.free(0, Memory::Dram, 1, 100, 0);
    player.free(0, Memory::Dram, 1, 100, 0);
    player.free(0, Memory::Dram, 99, 1 << 40, 0);
    player.free(5, Memory::Trace, 2, 100, 0);
    player.free(0, Memory::Dram, 2, 7, 0);
    player.alloc(0, Memory::Dram, 3, 50, 0);
    player.alloc(0, Memory::Dram, 3, 50, 0);
    let seen = ground.see("all", |s| s.health.events_total == 9);
    let dram = figures(&seen, player.pid(), 0, Memory::Dram);
    assert_eq!((dram.footprint_bytes, dram.blocks), (100, 2));
    assert_eq!((dram.allocated_bytes_total, dram.freed_bytes_total), (300, 200));
    let expected =
        Anomalies { double_free: 1, free_unknown: 2, size_mismatch: 1, alloc_live: 1, ..Anomalies::default() };
    assert_eq!(seen.health.anomalies, expected);
}

#[test]
fn records_that_cannot_be_are_skipped_and_counted() {
    let ground = Ground::new();
    let _aggregator = ground.aggregator();
    let mut player = Player::start(&ground);
    tell(&mut player, 200, 0, &Record::default());
    tell(&mut player, 0, 0, &Record::default());
    tell(&mut player, Kind::Alloc as u8, 7, &Record { size: 1, ..Record::default() });
    tell(&mut player, Kind::Alloc as u8, 255, &Record { size: 1, ..Record::default() });
    say(&mut player, Kind::Alloc, Memory::Dram, &Record { device: 70_000, size: 1, ..Record::default() });
    for id in 0..3 {
        say(&mut player, Kind::Alloc, Memory::Dram, &Record { id, size: u64::MAX - id, ..Record::default() });
    }
    player.alloc(0, Memory::Dram, 9, 64, 0);
    let seen = ground.see("all", |s| s.health.events_total == 9);
    assert_eq!(seen.health.anomalies, Anomalies { invalid_record: 5, overflow: 3, ..Anomalies::default() });
    assert_eq!(figures(&seen, player.pid(), 0, Memory::Dram).footprint_bytes, 64);
    assert_eq!(seen.chips[0].memory[Memory::Dram as usize].footprint_bytes, 64);
}

#[test]
fn a_program_releases_its_own_circular_buffers() {
    let ground = Ground::new();
    let _aggregator = ground.aggregator();
    let mut player = Player::start(&ground);
    say(&mut player, Kind::DeviceInfo, Memory::Dram, &Record { id: 0xC0FFEE, context: 3, ..Record::default() });
    for (context, id, size) in [(1, 1, 1000), (1, 2, 500), (2, 3, 70)] {
        say(&mut player, Kind::Alloc, Memory::Cb, &Record { id, size, context, ..Record::default() });
    }
    let global = Record { id: 4, size: 4000, context: 2, flags: flags::GLOBALLY_ALLOCATED, ..Record::default() };
    say(&mut player, Kind::Alloc, Memory::Cb, &global);
    say(&mut player, Kind::ProgramResident, Memory::Cb, &Record { context: 1, ..Record::default() });
    let seen = ground.see("two programs", |s| s.health.events_total == 6);
    let cb = figures(&seen, player.pid(), 0, Memory::Cb);
    assert_eq!((cb.footprint_bytes, cb.blocks, cb.resident_bytes), (1570, 4, 1500));
    assert_eq!(seen.chips[0].memory[Memory::Cb as usize].resident_bytes, 1500);
    say(&mut player, Kind::FreeAll, Memory::Cb, &Record { context: 1, size: 1500, id: 2, ..Record::default() });
    let seen = ground.see("one program", |s| s.health.events_total == 7);
    let cb = figures(&seen, player.pid(), 0, Memory::Cb);
    assert_eq!((cb.footprint_bytes, cb.blocks, cb.resident_bytes), (70, 2, 0));
    // A program that never had any.
    say(&mut player, Kind::FreeAll, Memory::Cb, &Record { context: 77, ..Record::default() });
    let seen = ground.see("the same", |s| s.health.events_total == 8);
    assert_eq!(figures(&seen, player.pid(), 0, Memory::Cb).footprint_bytes, 70);
    assert_eq!(seen.health.anomalies, Anomalies::default());
}

#[test]
fn what_is_alive_when_its_device_closes_ends_with_it() {
    let ground = Ground::new();
    let _aggregator = ground.aggregator();
    let mut player = Player::start(&ground);
    let open = |device, id| Record { device, id, context: 3, size: 140, ..Record::default() };
    say(&mut player, Kind::DeviceInfo, Memory::Dram, &open(0, 0xAA));
    say(&mut player, Kind::DeviceInfo, Memory::Dram, &open(1, 0xBB));
    for device in 0..2 {
        player.alloc(device, Memory::Dram, 1, 100, 0);
        player.alloc(device, Memory::L1, 2, 10, 0);
    }
    say(&mut player, Kind::DeviceClose, Memory::Dram, &Record::default());
    let seen = ground.see("the close", |s| s.health.events_total == 7);
    assert_eq!(seen.health.live_allocations, 2);
    assert_eq!(figures(&seen, player.pid(), 1, Memory::Dram).footprint_bytes, 100);
    // A destructor that frees late finds nothing: told, and harmless.
    player.free(0, Memory::Dram, 1, 100, 0);
    // The same number may be another chip the next time.
    say(&mut player, Kind::DeviceInfo, Memory::Dram, &open(0, 0xCC));
    player.alloc(0, Memory::Dram, 3, 7, 0);
    let seen = ground.see("the reopened device", |s| s.health.events_total == 10);
    let chip = |id| seen.chips.iter().find(|c| c.chip_id == id).unwrap().memory[Memory::Dram as usize];
    assert_eq!((chip(0xAA).footprint_bytes, chip(0xAA).peak_footprint_bytes), (0, 100));
    assert_eq!(chip(0xBB).footprint_bytes, 100);
    assert_eq!(chip(0xCC).footprint_bytes, 7);
}

#[test]
fn chips_are_told_apart_by_their_ids_not_by_a_process_s_numbers() {
    let ground = Ground::new();
    let _aggregator = ground.aggregator();
    let (mut one, mut two) = (Player::start(&ground), Player::start(&ground));
    // TT_VISIBLE_DEVICES: both call theirs 0. And the first allocates before its chip is introduced.
    one.alloc(0, Memory::Dram, 1, 5, 0);
    say(&mut one, Kind::DeviceInfo, Memory::Dram, &Record { id: 0x11, ..Record::default() });
    say(&mut one, Kind::Capacity, Memory::Dram, &Record { size: 1 << 30, footprint: 8, ..Record::default() });
    say(&mut two, Kind::DeviceInfo, Memory::Dram, &Record { id: 0x22, ..Record::default() });
    two.alloc(0, Memory::Dram, 1, 6, 0);
    let seen = ground.see("both", |s| s.health.events_total == 5);
    let chip = |id| seen.chips.iter().find(|c| c.chip_id == id && c.id_is_logical == 0).unwrap();
    assert_eq!(chip(0x11).memory[Memory::Dram as usize].footprint_bytes, 5);
    assert_eq!(chip(0x11).memory[Memory::Dram as usize].capacity_bytes, 1 << 30);
    assert_eq!(chip(0x22).memory[Memory::Dram as usize].footprint_bytes, 6);
    assert_eq!(chip(0x22).memory[Memory::Dram as usize].capacity_bytes, UNKNOWN, "nobody told");
    assert_eq!((chip(0x11).processes, chip(0x22).processes), (1, 1));
}

#[test]
fn an_allocator_that_ends_frees_its_own_buffers() {
    let ground = Ground::new();
    let _aggregator = ground.aggregator();
    let mut player = Player::start(&ground);
    for (id, context, size) in [(1, 1, 100), (2, 2, 30), (3, 2, 4)] {
        say(&mut player, Kind::Alloc, Memory::L1, &Record { id, context, size, ..Record::default() });
    }
    player.alloc(0, Memory::Dram, 4, 5, 0);
    say(&mut player, Kind::FreeAll, Memory::L1, &Record { context: 2, size: 34, id: 2, ..Record::default() });
    let seen = ground.see("the end of allocator 2", |s| s.health.events_total == 5);
    assert_eq!(figures(&seen, player.pid(), 0, Memory::L1).footprint_bytes, 100);
    assert_eq!(figures(&seen, player.pid(), 0, Memory::Dram).footprint_bytes, 5);
    assert_eq!(seen.health.anomalies, Anomalies::default());
}

/// A ring of 64 slots that may not grow: what is told after `fill` is dropped.
fn flooded(ground: &Ground) -> Player {
    Player::start_with(ground, &[("TT_ALLOC_RING_BYTES", "4096"), ("TT_ALLOC_RING_MAX_BYTES", "4096")])
}

/// Fills the ring's last slots with something that stays.
fn fill(player: &mut Player, slots: u64) {
    for n in 0..slots {
        player.alloc(3, Memory::Trace, 1000 + n, 1, 0);
    }
}

#[test]
fn totals_survive_drops_on_both_sides_of_a_program_s_release() {
    let ground = Ground::new();
    let mut player = flooded(&ground);
    let cb = |id, context, size| Record { id, context, size, ..Record::default() };
    let release = |context, size, blocks| Record { id: blocks, context, size, ..Record::default() };
    say(&mut player, Kind::Alloc, Memory::Cb, &cb(1, 1, 50));
    say(&mut player, Kind::Alloc, Memory::Cb, &cb(2, 3, 7));
    fill(&mut player, 62);
    // Dropped: the release of what is listed, and two allocations.
    say(&mut player, Kind::FreeAll, Memory::Cb, &release(1, 50, 1));
    say(&mut player, Kind::Alloc, Memory::Cb, &cb(3, 1, 100));
    say(&mut player, Kind::Alloc, Memory::Cb, &cb(4, 2, 30));
    let _aggregator = ground.aggregator();
    let cb_of = |s: &shm_layout::stats::Snapshot, pid| figures(s, pid, 0, Memory::Cb);
    let pid = player.pid();
    let seen = ground.see("the drops", |s| cb_of(s, pid).blocks == 3);
    assert_eq!(cb_of(&seen, pid).footprint_bytes, 7 + 100 + 30);
    assert_eq!(cb_of(&seen, pid).detail_incomplete, 1);
    // Told: the release of program 1 again, of whose two allocations one is listed and one was dropped.
    say(&mut player, Kind::FreeAll, Memory::Cb, &release(1, 100, 1));
    let seen = ground.see("the release", |s| cb_of(s, pid).blocks == 2);
    assert_eq!(cb_of(&seen, pid).footprint_bytes, 7 + 30);
    say(&mut player, Kind::FreeAll, Memory::Cb, &release(2, 30, 1));
    say(&mut player, Kind::FreeAll, Memory::Cb, &release(3, 7, 1));
    let seen = ground.see("the end", |s| cb_of(s, pid).blocks == 0);
    let end = cb_of(&seen, pid);
    assert_eq!((end.footprint_bytes, end.allocated_bytes_total, end.freed_bytes_total), (0, 187, 187));
    assert_eq!(seen.health.anomalies, Anomalies::default());
}

#[test]
fn a_free_is_believed_although_as_many_frees_as_allocations_were_dropped() {
    let ground = Ground::new();
    let mut player = flooded(&ground);
    player.alloc(0, Memory::Dram, 1, 1000, 0);
    player.alloc(1, Memory::Dram, 2, 3, 0);
    fill(&mut player, 62);
    player.alloc(0, Memory::Dram, 9, 5000, 0);
    player.free(0, Memory::Dram, 1, 1000, 0);
    let _aggregator = ground.aggregator();
    let pid = player.pid();
    ground.see("the dropped one", |s| figures(s, pid, 0, Memory::Dram).footprint_bytes == 5000);
    player.free(0, Memory::Dram, 9, 5000, 0);
    let seen = ground.see("its free", |s| figures(s, pid, 0, Memory::Dram).footprint_bytes == 0);
    assert_eq!(figures(&seen, pid, 0, Memory::Dram).blocks, 0);
    assert_eq!(seen.health.anomalies, Anomalies::default());
}

#[test]
fn a_close_before_the_drops_does_not_end_what_was_dropped_after_it() {
    let ground = Ground::new();
    let mut player = flooded(&ground);
    let open = Record { id: 0xD0, context: 3, ..Record::default() };
    say(&mut player, Kind::DeviceInfo, Memory::Dram, &open);
    say(&mut player, Kind::DeviceClose, Memory::Dram, &Record::default());
    say(&mut player, Kind::DeviceInfo, Memory::Dram, &open);
    player.alloc(1, Memory::Dram, 2, 3, 0);
    fill(&mut player, 60);
    player.alloc(0, Memory::Dram, 9, 5000, 0);
    let _aggregator = ground.aggregator();
    let pid = player.pid();
    let seen = ground.see("the dropped one", |s| figures(s, pid, 0, Memory::Dram).footprint_bytes == 5000);
    let chip = seen.chips.iter().find(|chip| chip.chip_id == 0xD0).unwrap();
    assert_eq!(chip.memory[Memory::Dram as usize].footprint_bytes, 5000);
}

#[test]
fn a_device_that_is_opened_again_was_closed_before() {
    let ground = Ground::new();
    let _aggregator = ground.aggregator();
    let mut player = Player::start(&ground);
    let open = Record { id: 0xD0, context: 3, ..Record::default() };
    say(&mut player, Kind::DeviceInfo, Memory::Dram, &open);
    player.alloc(0, Memory::Dram, 1, 100, 0);
    say(&mut player, Kind::DeviceInfo, Memory::Dram, &open);
    player.alloc(0, Memory::Dram, 2, 7, 0);
    let seen = ground.see("the second round", |s| s.health.events_total == 4);
    assert_eq!(figures(&seen, player.pid(), 0, Memory::Dram).footprint_bytes, 7);
}

#[test]
fn one_process_cannot_take_the_chips_or_the_bytes_of_others() {
    let ground = Ground::new();
    let _aggregator = ground.aggregator();
    let mut liar = Player::start(&ground);
    for device in 0..64 {
        let invented = Record { device, id: 0x1000 + u64::from(device), context: 3, ..Record::default() };
        say(&mut liar, Kind::DeviceInfo, Memory::Dram, &invented);
    }
    liar.alloc(0, Memory::Dram, 1, (1 << 62) - 1, 0);
    ground.see("the lies", |s| s.chips.len() == 64 && s.health.live_allocations == 1);
    let mut honest = Player::start(&ground);
    say(&mut honest, Kind::DeviceInfo, Memory::Dram, &Record { id: 0x1000, context: 3, ..Record::default() });
    honest.alloc(0, Memory::Dram, 1, 500, 0);
    let seen = ground.see("the truth beside them", |s| s.health.live_allocations == 2);
    assert_eq!(figures(&seen, honest.pid(), 0, Memory::Dram).footprint_bytes, 500);
    liar.kill();
    ground.see("the liar's end", |s| s.processes.len() == 1);
    // Chips that nobody uses make room.
    let mut next = Player::start(&ground);
    say(&mut next, Kind::DeviceInfo, Memory::Dram, &Record { id: 0x77, context: 3, ..Record::default() });
    next.alloc(0, Memory::Dram, 1, 9, 0);
    let own = |s: &shm_layout::stats::Snapshot| s.chips.iter().any(|chip| chip.chip_id == 0x77);
    let seen = ground.see("a chip of its own", |s| own(s) && s.health.live_allocations == 2);
    assert_eq!(figures(&seen, next.pid(), 0, Memory::Dram).footprint_bytes, 9);
}
