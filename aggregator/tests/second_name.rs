//! A second name for the ring of a process that is tracked: it is refused unopened. Whoever closes any descriptor of a file loses
//! all locks on it, and without them a process moves records under its reader.
#![allow(clippy::unwrap_used, reason = "a test may unwrap")]

mod support;

use shm_layout::event::Memory;
use shm_layout::locks::{self, Lock};
use shm_layout::names::{DIRECTORY, ProcessFile, Role};
use shm_layout::segment::Opened;
use shm_layout::stats::{Anomalies, Snapshot};
use support::daemon::Daemon;
use support::{Ground, Player, figures, lines, play_if_asked};

#[test]
fn player() {
    play_if_asked();
}

/// Who reads this ring, and who is in its first section.
fn readers(ring: &Opened) -> [Option<u32>; 2] {
    [Lock::Consumer, Lock::Section(0)].map(|lock| locks::holder(&ring.file, lock).unwrap())
}

#[test]
fn a_second_name_of_a_ring_costs_its_reader_no_lock() {
    let ground = Ground::new();
    let aggregator = Daemon::start(&ground);
    let mut player = Player::start_with(&ground, &[("TT_ALLOC_RING_BYTES", "4096")]);
    let pid = player.pid();
    player.alloc(0, Memory::Dram, 1, 1000, 0);
    let shown = |s: &Snapshot| {
        let dram = figures(s, pid, 0, Memory::Dram);
        (dram.blocks, dram.footprint_bytes, dram.detail_incomplete)
    };
    ground.see("the first", |s| shown(s) == (1, 1000, 0));
    let name = player.tell("ring");
    let ring = ground.ring(&name);
    let its = [Some(aggregator.pid()); 2];
    assert_eq!(readers(&ring), its);
    let uid = nix::unistd::geteuid().as_raw();
    let second = ProcessFile { role: Role::Ring, uid, pid: 1, nonce: 7 }.name(&ground.prefix);
    std::fs::hard_link(format!("{DIRECTORY}/{name}"), format!("{DIRECTORY}/{second}")).unwrap();
    let seen = ground.see("the refusal", |s| s.health.rejected_rings_total == 1);
    let line = lines(&seen).into_iter().find(|line| line.starts_with("ring refused: ")).unwrap();
    assert!(line.contains(&second), "{line}");
    assert_eq!(readers(&ring), its, "it has them still");
    std::fs::remove_file(format!("{DIRECTORY}/{second}")).unwrap();
    // The process fills its ring while nobody comes on: it may not move what the reader has not read.
    aggregator.stop();
    player.tell("churn 100 10 500 5");
    assert_eq!(readers(&ring), its);
    aggregator.go_on();
    let seen = ground.see("what it did meanwhile", |s| shown(s) == (11, 1050, 0));
    player.tell("churn 2000 10 20000 5");
    player.tell("unburst 600 10 5");
    ground.see("what it did then", |s| shown(s) == (11, 1050, 0) && s.health.events_total > seen.health.events_total);
    player.tell("unburst 22000 10 5");
    let seen = ground.see("one left", |s| shown(s) == (1, 1000, 0));
    assert_eq!((seen.health.dropped_events_total, seen.health.anomalies), (0, Anomalies::default()));
    assert_eq!(figures(&seen, pid, 0, Memory::Dram).allocated_bytes_total, 1000 + 5 * (510 + 20_010));
    aggregator.end_after(&ground, [player]);
}
