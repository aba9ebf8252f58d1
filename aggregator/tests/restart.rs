//! What a restart of the aggregator must not change on the screen: which of several processes' words is shown of a chip, and what
//! is kept where /dev/shm has no room for a second stats segment.
#![allow(clippy::unwrap_used, reason = "a test may unwrap")]

mod support;

use shm_layout::event::{Kind, Memory};
use shm_layout::segment::Access;
use shm_layout::stats::{Chip, Snapshot};
use support::daemon::{Daemon, command, refused};
use support::published::{history, publisher, stats_segment};
use support::small_shm::{Filler, in_small_shm};
use support::{Ground, Player, figures, lines, play_if_asked, wait};

#[test]
fn player() {
    play_if_asked();
}

/// Says one record, and waits until it is read: what another process says after it is later.
fn say(ground: &Ground, player: &mut Player, kind: Kind, memory: Memory, device: u32, rest: [u64; 3]) {
    let [id, size, context] = rest;
    let events = ground.look().unwrap().health.events_total;
    player.tell(&format!("event {} {} {device} {id} 0 {size} 0 {context} 0", kind as u8, memory as u8));
    ground.see("the record", |s| s.health.events_total > events);
}

/// Opens a chip as device `device`, with so much `L1_SMALL`.
fn open(ground: &Ground, player: &mut Player, device: u32, chip: u64, l1_small: u64) {
    say(ground, player, Kind::DeviceInfo, Memory::Dram, device, [chip, 140, 3]);
    say(ground, player, Kind::Capacity, Memory::L1Small, device, [0, l1_small, 0]);
}

/// Dispatches a program with circular buffers of so many bytes.
fn dispatch(ground: &Ground, player: &mut Player, device: u32, program: u64, bytes: u64) {
    if bytes > 0 {
        say(ground, player, Kind::Alloc, Memory::Cb, device, [program, bytes, program]);
    }
    say(ground, player, Kind::ProgramResident, Memory::Cb, device, [0, 0, program]);
}

fn chip(snapshot: &Snapshot, id: u64) -> &Chip {
    snapshot.chips.iter().find(|chip| chip.chip_id == id && chip.id_is_logical == 0).unwrap()
}

fn resident(snapshot: &Snapshot, id: u64) -> u64 {
    chip(snapshot, id).memory[Memory::Cb as usize].resident_bytes
}

fn l1_small(snapshot: &Snapshot, id: u64) -> u64 {
    chip(snapshot, id).memory[Memory::L1Small as usize].capacity_bytes
}

/// A player whose times are exact, so that what is said one after the other is of two moments.
fn exact(ground: &Ground) -> Player {
    Player::start_with(ground, &[("TT_ALLOC_CLOCK", "tsc")])
}

/// After this process closes and is shown no more, the aggregator is killed; the next one tidies up what it has left.
fn killed_after(ground: &Ground, player: Player, mut daemon: Daemon) {
    player.close();
    ground.see("nobody", |s| s.processes.is_empty());
    daemon.kill();
    drop(ground.aggregator());
    ground.must_be_clean();
}

#[test]
fn the_program_dispatched_last_stays_the_resident_one() {
    let ground = Ground::new();
    let mut daemon = Daemon::start(&ground);
    let (mut one, mut two) = (exact(&ground), exact(&ground));
    for (device, chip) in [(0, 0xA0), (1, 0xB0), (2, 0xC0)] {
        open(&ground, &mut one, device, chip, 32768);
        open(&ground, &mut two, device, chip, 32768);
    }
    // On one chip this one was last, on another the other one, and on the third one with a program that has no buffers.
    dispatch(&ground, &mut one, 0, 1, 1500);
    dispatch(&ground, &mut two, 0, 1, 700);
    dispatch(&ground, &mut two, 1, 2, 900);
    dispatch(&ground, &mut one, 1, 2, 400);
    dispatch(&ground, &mut one, 2, 3, 250);
    dispatch(&ground, &mut two, 2, 3, 0);
    // Whoever does something else last has dispatched nothing by that.
    say(&ground, &mut one, Kind::Alloc, Memory::Dram, 0, [99, 64, 0]);
    let told = |s: &Snapshot| {
        let processes: Vec<_> = s.processes.iter().map(|p| (p.pid, p.last_event_unix_ns)).collect();
        ([resident(s, 0xA0), resident(s, 0xB0), resident(s, 0xC0)], processes)
    };
    let before = ground.see("all of it", |s| s.health.live_allocations == 6);
    assert_eq!(told(&before).0, [700, 400, 0]);
    assert!(before.processes.iter().all(|process| process.last_event_unix_ns > 0));
    for _ in 0..3 {
        daemon.kill();
        daemon = Daemon::start(&ground);
        let after = ground.see("both again", |s| s.processes.len() == 2);
        assert_eq!(told(&after), told(&before));
    }
    // It counts from then on as before.
    dispatch(&ground, &mut one, 0, 1, 0);
    let seen = ground.see("a change", |s| resident(s, 0xA0) == 1500);
    assert_eq!(resident(&seen, 0xB0), 400);
    one.close();
    let seen = ground.see("the other alone", |s| s.processes.len() == 1);
    assert_eq!([resident(&seen, 0xA0), resident(&seen, 0xB0), resident(&seen, 0xC0)], [700, 900, 0]);
    killed_after(&ground, two, daemon);
}

#[test]
fn a_capacity_in_dispute_stays_what_it_was_and_is_told_once() {
    let ground = Ground::new();
    let mut daemon = Daemon::start(&ground);
    let (mut one, mut two) = (exact(&ground), exact(&ground));
    open(&ground, &mut one, 0, 0xA0, 65536);
    open(&ground, &mut two, 0, 0xA0, 16384);
    open(&ground, &mut two, 1, 0xB0, 8192);
    open(&ground, &mut one, 1, 0xB0, 32768);
    open(&ground, &mut one, 2, 0xC0, 4096);
    open(&ground, &mut two, 2, 0xC0, 4096);
    // Who opened it last counts, not who said something last.
    say(&ground, &mut one, Kind::Capacity, Memory::L1Small, 0, [0, 65536, 0]);
    one.alloc(0, Memory::L1Small, 1, 64, 0);
    let told = |s: &Snapshot| [l1_small(s, 0xA0), l1_small(s, 0xB0), l1_small(s, 0xC0)];
    let disputes = |s: &Snapshot| lines(s).into_iter().filter(|line| line.contains("L1_SMALL")).collect::<Vec<_>>();
    let before = ground.see("all of it", |s| s.health.live_allocations == 1);
    assert_eq!(told(&before), [16384, 32768, 4096]);
    assert_eq!(figures(&before, one.pid(), 0, Memory::L1Small).capacity_bytes, 65536, "its row is its own word");
    let said = disputes(&before);
    assert_eq!(said.len(), 2, "{said:?}");
    let (first, second) = (format!("PID {} says", two.pid()), format!("PID {} 65536", one.pid()));
    assert!(said[0].contains("0xa0") && said[0].contains(&first) && said[0].contains(&second), "{said:?}");
    for _ in 0..3 {
        daemon.kill();
        daemon = Daemon::start(&ground);
        let after = ground.see("both again", |s| s.processes.len() == 2);
        assert_eq!((told(&after), disputes(&after)), (told(&before), said.clone()));
    }
    // Whoever has it open goes before whoever has closed it.
    say(&ground, &mut two, Kind::DeviceClose, Memory::Dram, 0, [0; 3]);
    assert_eq!(told(&ground.see("the close", |s| l1_small(s, 0xA0) == 65536)), [65536, 32768, 4096]);
    daemon.kill();
    daemon = Daemon::start(&ground);
    let after = ground.see("both again", |s| s.processes.len() == 2);
    assert_eq!(told(&after), [65536, 32768, 4096]);
    one.close();
    let seen = ground.see("the other alone", |s| s.processes.len() == 1);
    assert_eq!(told(&seen), [16384, 8192, 4096]);
    killed_after(&ground, two, daemon);
}

#[test]
fn without_room_for_a_second_segment_the_one_that_is_there_goes_on() {
    if !in_small_shm("without_room_for_a_second_segment_the_one_that_is_there_goes_on", 32) {
        return;
    }
    let ground = Ground::new();
    let mut daemon = Daemon::start(&ground);
    let mut player = Player::small(&ground);
    player.alloc(0, Memory::Dram, 1, 5000, 0);
    player.alloc(0, Memory::Dram, 2, 300, 0);
    ground.see("its peak", |s| s.health.live_allocations == 2);
    player.free(0, Memory::Dram, 1, 0, 0);
    ground.see("its end", |s| s.health.live_allocations == 1);
    let samples = || history(&ground, Memory::Dram as usize);
    let inode = || stats_segment(&ground, Access::Read).unwrap().inode;
    let known = wait("samples", || Some(samples()).filter(|samples| samples.len() >= 2)).unwrap();
    let before = ground.look().unwrap();
    let first = inode();
    daemon.kill();
    assert_eq!(daemon.said(), "");
    let full = Filler::but(256);
    let mut said = String::new();
    for round in 0..3 {
        let mut daemon = Daemon::start(&ground);
        let seen = ground.see("it again", |s| s.processes.len() == 1 && s.health.lag_events == 0);
        let dram = |s: &Snapshot| s.chips[0].memory[Memory::Dram as usize];
        assert_eq!(dram(&seen).footprint_bytes, 300);
        assert_eq!(dram(&seen).peak_footprint_bytes, 5300);
        assert_eq!(dram(&seen).allocated_bytes_total, 5300);
        assert!(seen.health.generation > before.health.generation && seen.health.events_total == 3);
        assert!(lines(&seen).starts_with(&lines(&before)[..1]), "{:?}", lines(&seen));
        assert!(samples().starts_with(&known), "{known:?}, and now {:?}", samples());
        assert_eq!(inode(), first);
        // Also one that is killed before it has shown anything, or in the middle of it, leaves it so.
        let at = std::time::Instant::now();
        daemon.kill();
        said = daemon.said();
        while at.elapsed() < std::time::Duration::from_millis(20 * (round + 1)) {
            let mut hasty = Daemon::spawn(&ground);
            std::thread::sleep(std::time::Duration::from_millis(3 * (round + 1)));
            hasty.kill();
        }
    }
    assert!(said.contains("no room for a second stats segment") && said.contains("/dev/shm"), "{said}");
    // With room again it has a segment of its own, and still the same past.
    drop(full);
    let daemon = Daemon::start(&ground);
    let seen = ground.see("it again", |s| s.processes.len() == 1 && s.health.lag_events == 0);
    assert_eq!(seen.chips[0].memory[Memory::Dram as usize].peak_footprint_bytes, 5300);
    assert!(samples().starts_with(&known), "{known:?}, and now {:?}", samples());
    assert_ne!(inode(), first);
    killed_after(&ground, player, daemon);
}

#[test]
fn the_segment_of_one_that_lives_is_not_written_by_another() {
    if !in_small_shm("the_segment_of_one_that_lives_is_not_written_by_another", 32) {
        return;
    }
    let ground = Ground::new();
    let daemon = Daemon::start(&ground);
    let mut player = Player::small(&ground);
    player.alloc(0, Memory::Dram, 1, 10, 0);
    let before = ground.see("the first", |s| s.health.live_allocations == 1);
    let full = Filler::but(256);
    // It stands still, and its lock file is gone: the next one takes it for dead, but for its segment.
    daemon.stop();
    let before = ground.look().unwrap_or(before);
    std::fs::remove_file(format!("/dev/shm/{}", ground.prefix.lock())).unwrap();
    let said = refused(command(&ground, &[]));
    assert!(said.contains("its writer lives"), "{said}");
    assert_eq!((publisher(&ground), ground.look().unwrap()), (Some(daemon.pid()), before));
    daemon.go_on();
    player.alloc(0, Memory::Dram, 2, 10, 0);
    ground.see("the second", |s| s.health.live_allocations == 2);
    drop(full);
    killed_after(&ground, player, daemon);
}
