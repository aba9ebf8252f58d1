//! Many processes, idle processes, and too many of them.
#![allow(clippy::unwrap_used, reason = "a test may unwrap")]

mod support;

use shm_layout::event::{EVENT_WORDS, Event, Memory};
use shm_layout::ledger::{ENTRIES_OFFSET, Entries, LedgerHeader};
use shm_layout::names::{ProcessFile, Role};
use shm_layout::ring::{DropTable, HEADER_BYTES, RECORDS_OFFSET, RingHeader, Slot};
use shm_layout::segment::{self, Opened};
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use support::daemon::Daemon;
use support::{Ground, Player, figures, lines, play_if_asked, wait};

#[test]
fn player() {
    play_if_asked();
}

fn header(ring: &Opened) -> &RingHeader<AtomicU64> {
    ring.mapping.one(0).unwrap()
}

/// The time of the record in this slot.
fn time_of(ring: &Opened, slot: usize) -> u64 {
    let slots = ring.mapping.array::<Slot<AtomicU64>>(RECORDS_OFFSET, slot + 1).unwrap();
    const { assert!(EVENT_WORDS == 8) };
    assert_ne!(slots[slot].0[0].load(Acquire), 0, "there is no such record");
    slots[slot].0[1].load(Relaxed)
}

fn monotonic_ns() -> u64 {
    aggregator::Now::read().monotonic_ns
}

/// Waits until nothing has happened in this ring for so long that it rests.
fn rests(ring: &Opened) {
    // Relaxed: looked at until it is so.
    wait("no clock word", || (header(ring).clock.load(Relaxed) == 0).then_some(())).unwrap();
}

#[test]
fn a_ring_at_rest_has_no_clock_word_and_its_next_events_are_seen_with_their_times() {
    let ground = Ground::new();
    let _aggregator = ground.aggregator();
    let mut player = Player::start(&ground);
    player.alloc(0, Memory::Dram, 1, 10, 0);
    let ring = ground.ring(&player.tell("ring"));
    ground.see("the first", |s| s.health.live_allocations == 1);
    for id in 2..5 {
        rests(&ring);
        let before = monotonic_ns();
        player.alloc(0, Memory::Dram, id, 10, 0);
        let after = monotonic_ns();
        let time = time_of(&ring, id as usize - 1);
        // The kernel's coarse clock may be some of its steps behind, but not as long as a ring takes to come to rest.
        let step = 20_000_000;
        assert!((before - step..=after).contains(&time), "not the producer's own clock: {before} {time} {after}");
        ground.see("one more", |s| s.health.live_allocations == id);
    }
    wait("a clock word for the busy", || {
        player.alloc(1, Memory::Dram, 77, 10, 0);
        player.free(1, Memory::Dram, 77, 10, 0);
        (header(&ring).clock.load(Relaxed) != 0).then_some(())
    })
    .unwrap();
    rests(&ring);
    let seen = ground.see("all of it", |s| s.health.lag_events == 0);
    assert_eq!((seen.health.live_allocations, seen.health.anomalies), (4, Default::default()));
}

#[test]
fn a_drop_that_is_counted_when_the_ring_rests_already_is_found() {
    let ground = Ground::new();
    let _aggregator = ground.aggregator();
    let mut player = Player::start(&ground);
    player.alloc(0, Memory::Dram, 1, 10, 0);
    let expect = shm_layout::segment::Expect { owners: &[], least: 1, most: u64::MAX };
    let ring = shm_layout::segment::open(&player.tell("ring"), shm_layout::segment::Access::ReadWrite, expect).unwrap();
    ground.see("the first", |s| s.health.live_allocations == 1);
    rests(&ring);
    // As a thread does that found the ring full and was then stopped for a second.
    let drops = ring.mapping.one::<DropTable<AtomicU64>>(HEADER_BYTES).unwrap();
    drops.cells[0][Memory::Dram as usize].allocated_bytes.fetch_add(90, Relaxed);
    drops.cells[0][Memory::Dram as usize].allocated_blocks.fetch_add(1, Relaxed);
    // SYNC(ring.dropped): as the producer does.
    header(&ring).dropped.fetch_add(1, Release);
    let seen = ground.see("the drop", |s| s.health.dropped_events_total == 1);
    let dram = figures(&seen, player.pid(), 0, Memory::Dram);
    assert_eq!((dram.footprint_bytes, dram.blocks, dram.detail_incomplete), (100, 2, 1));
}

#[test]
fn a_process_that_runs_another_program_is_found_out() {
    let ground = Ground::new();
    let aggregator = ground.aggregator();
    let mut player = Player::start(&ground);
    player.alloc(0, Memory::Dram, 1, 10, 0);
    ground.see("it", |s| s.health.live_allocations == 1);
    player.tell("exec");
    ground.see("nobody", |s| s.processes.is_empty());
    assert!(player.child.try_wait().unwrap().is_none(), "its pid lives on");
    drop(aggregator);
    ground.must_be_clean();
}

#[test]
fn many_come_at_once_and_go_at_once() {
    let ground = Ground::new();
    let _aggregator = ground.aggregator();
    let mut players: Vec<Player> = (0..40).map(|_| Player::start(&ground)).collect();
    for round in 0..2 {
        for (n, player) in players.iter_mut().enumerate() {
            player.alloc(0, Memory::Dram, round, n as u64 + 1, 0);
        }
        let seen = ground.see("everybody", |s| s.health.live_allocations == 40 * (round + 1));
        assert_eq!(seen.processes.len(), 40);
        for (n, player) in players.iter().enumerate() {
            let dram = figures(&seen, player.pid(), 0, Memory::Dram);
            assert_eq!(dram.footprint_bytes, (round + 1) * (n as u64 + 1));
        }
        assert_eq!(seen.chips[0].memory[Memory::Dram as usize].footprint_bytes, (round + 1) * 40 * 41 / 2);
    }
    let mut kept = players.split_off(30);
    players.iter_mut().for_each(|player| player.child.kill().unwrap());
    // Their seats are taken again while they are being taken away.
    let late = Player::start(&ground);
    kept.push(late);
    kept.iter_mut().for_each(|player| player.alloc(0, Memory::L1, 9, 1, 0));
    let seen = ground.see("the others", |s| s.processes.len() == 11 && s.health.live_allocations == 31);
    assert_eq!(seen.health.deaths_total, 30);
    assert!(seen.processes.is_sorted_by_key(|process| (process.pid, process.nonce)), "by pid, not by seat");
    assert!(kept.iter().all(|player| figures(&seen, player.pid(), 0, Memory::L1).blocks == 1));
    kept.into_iter().for_each(Player::close);
    ground.see("nobody", |s| s.processes.is_empty());
}

#[test]
fn drops_behind_a_slot_that_is_never_published_are_told() {
    let ground = Ground::new();
    let _aggregator = ground.aggregator();
    let mut player =
        Player::start_with(&ground, &[("TT_ALLOC_RING_BYTES", "4096"), ("TT_ALLOC_RING_MAX_BYTES", "4096")]);
    player.alloc(0, Memory::Dram, 1, 10, 0);
    let expect = segment::Expect { owners: &[], least: 1, most: u64::MAX };
    let ring = segment::open(&player.tell("ring"), segment::Access::ReadWrite, expect).unwrap();
    ground.see("the first", |s| s.health.live_allocations == 1);
    // A thread that left its push between claim and publish.
    header(&ring).sections[0].claim.fetch_add(1, Relaxed);
    player.tell("burst 2 200 64");
    let seen = ground.see("the drops", |s| s.processes[0].dropped_events_total > 100);
    assert!(seen.processes[0].lag_events > 0);
    assert_eq!(figures(&seen, player.pid(), 0, Memory::Dram).detail_incomplete, 1);
}

/// The records of what a process holds, out of its ledger.
fn entries(ground: &Ground, ring: &str) -> Vec<Event> {
    let file = ProcessFile::parse(ring, &ground.prefix).unwrap().of_role(Role::Ledger);
    let expect = segment::Expect { owners: &[], least: 1, most: u64::MAX };
    let opened = segment::open(&file.name(&ground.prefix), segment::Access::Read, expect).unwrap();
    let header = opened.mapping.one::<LedgerHeader<AtomicU64>>(0).unwrap();
    let slots = opened.mapping.array::<Slot<AtomicU64>>(ENTRIES_OFFSET, header.capacity()).unwrap();
    (0..slots.len()).filter_map(|at| Entries(slots).get(at)).collect()
}

#[test]
fn exact_times_are_nanoseconds_in_the_ledger() {
    let ground = Ground::new();
    let mut player = Player::start_with(&ground, &[("TT_ALLOC_CLOCK", "tsc")]);
    let mut moments = vec![monotonic_ns()];
    // Some before an aggregator comes, some after, some after another one has taken over.
    for (round, count) in [(0, 1), (1, 2), (2, 3)] {
        let aggregator = (round > 0).then(|| ground.aggregator());
        player.alloc(0, Memory::Dram, round, 10, 0);
        moments.push(monotonic_ns());
        if aggregator.is_some() {
            ground.see("all of them", |s| s.health.live_allocations == count);
        }
    }
    let ring = player.tell("ring");
    let mut told = entries(&ground, &ring);
    told.sort_by_key(|event| event.id);
    assert_eq!(told.len(), 3);
    // Between the moments at which they were made, but for a processor that was taken away while the clocks were paired.
    let slack = 5_000_000;
    for (event, moment) in told.iter().zip(moments.windows(2)) {
        assert!((moment[0] - slack..=moment[1] + slack).contains(&event.time), "{moment:?} {}", event.time);
    }
}

#[test]
fn the_ring_of_a_dead_process_is_read_to_its_end() {
    let ground = Ground::new();
    let (mut dead, mut other) = (Player::start(&ground), Player::start(&ground));
    dead.tell("burst 0 30000 64");
    dead.tell("unburst 0 20000 64");
    other.alloc(0, Memory::Dram, 1, 5, 0);
    dead.kill();
    let _aggregator = ground.aggregator();
    let seen = ground.see("only the other", |s| s.health.rings == 1 && s.health.deaths_total == 1);
    assert_eq!((seen.health.events_total, seen.health.torn_events_total), (50_001, 0));
    assert_eq!(seen.chips[0].memory[Memory::Dram as usize].footprint_bytes, 5);
    let line = lines(&seen).into_iter().find(|line| line.contains("died")).unwrap();
    assert!(line.ends_with("removed 10000 buffers (625 KiB)"), "{line}");
}

#[test]
fn without_descriptors_for_all_some_are_tracked_and_one_line_says_so() {
    let ground = Ground::new();
    let _daemon = Daemon::start_after(&ground, "ulimit -n 64;");
    let mut players: Vec<Player> = (0..24).map(|_| Player::start(&ground)).collect();
    players.iter_mut().for_each(|player| player.alloc(0, Memory::Dram, 1, 10, 0));
    let seen = ground.see("refusals", |s| s.health.rings + s.health.rejected_rings_total == 24);
    let tracked = seen.health.rings;
    assert!((4..20).contains(&tracked), "{tracked}");
    assert_eq!(seen.health.live_allocations, tracked, "each with its ledger");
    let told: Vec<_> = lines(&seen).into_iter().filter(|line| line.contains("no room")).collect();
    assert_eq!(told.len(), 1, "{told:?}");
    let says = format!("{tracked} processes are tracked, and there is no room for more: raise the limit on open files");
    assert!(told[0].starts_with(&says) && told[0].contains("64"), "{told:?}");
    // Whoever ends makes room.
    let (mut doomed, _rest): (Vec<_>, Vec<_>) =
        players.into_iter().partition(|player| seen.processes.iter().any(|p| p.pid == player.pid()));
    doomed[0].kill();
    let pid = doomed[0].pid();
    ground.see("another in its place", |s| s.health.rings == tracked && s.processes.iter().all(|p| p.pid != pid));
}

#[test]
fn rings_that_never_become_ready_hold_up_nobody() {
    let ground = Ground::new();
    let me = nix::unistd::geteuid().as_raw();
    for pid in 0..500 {
        std::fs::File::create(format!("/dev/shm/{}.ring.{me}.{pid}.{pid:016x}", ground.prefix)).unwrap();
    }
    let _aggregator = ground.aggregator();
    let mut player = Player::start(&ground);
    player.alloc(0, Memory::Dram, 1, 5, 0);
    ground.see("the one that is", |s| s.health.live_allocations == 1);
}
