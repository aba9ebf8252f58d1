//! Aggregators that publish before they have met everybody, and are killed: what they do not show is not in their sums, and the next
//! one counts nothing twice.
#![allow(clippy::unwrap_used, reason = "a test may unwrap")]

mod support;

use shm_layout::event::{Kind, Memory};
use shm_layout::locks::{self, Lock};
use shm_layout::segment::{self, Access, Expect};
use shm_layout::stats::Snapshot;
use support::daemon::Daemon;
use support::{Ground, Player, play_if_asked};

const CHIP: u64 = 0xA11;

#[test]
fn player() {
    play_if_asked();
}

/// On one chip for all of them: 1,000 bytes live, 50 came and went.
fn one_of_them(ground: &Ground) -> Player {
    let mut player = Player::small(ground);
    player.tell(&format!("event {} 0 0 {CHIP} 0 64 0 3 0", Kind::DeviceInfo as u8));
    player.alloc(0, Memory::Dram, 1, 1000, 0);
    player.alloc(0, Memory::Dram, 2, 50, 0);
    player.free(0, Memory::Dram, 2, 50, 0);
    player
}

/// What is live of the chip, and what was allocated and freed in all.
fn sums(snapshot: &Snapshot) -> [u64; 3] {
    let Some(chip) = snapshot.chips.iter().find(|chip| chip.chip_id == CHIP) else { return [0; 3] };
    let dram = chip.memory[Memory::Dram as usize];
    [dram.footprint_bytes, dram.allocated_bytes_total, dram.freed_bytes_total]
}

/// Sums of so many of them.
fn of(processes: u64) -> [u64; 3] {
    [1000 * processes, 1050 * processes, 50 * processes]
}

fn sees(ground: &Ground, processes: u64, sums_of: [u64; 3]) {
    let what = format!("{processes} processes with {sums_of:?}");
    let seen = ground.see(&what, |s| s.processes.len() as u64 == processes && sums(s) == sums_of);
    if processes == 4 {
        assert_eq!(seen.health.events_total, 4 * 4);
    }
}

#[test]
fn one_that_was_short_of_descriptors_and_was_killed_does_not_double_the_sums() {
    let ground = Ground::new();
    let mut aggregator = Daemon::start(&ground);
    let players: Vec<Player> = (0..4).map(|_| one_of_them(&ground)).collect();
    sees(&ground, 4, of(4));
    aggregator.kill();
    // Enough to publish, and for nobody's ring; then for one or two.
    for limit in [14, 24] {
        let mut short = Daemon::start_after(&ground, &format!("ulimit -n {limit};"));
        let seen = ground.see("refusals", |s| !s.lines.is_empty() && s.health.refused_rings > 0);
        assert!(seen.processes.len() < 4, "{} of them are met", seen.processes.len());
        sees(&ground, seen.processes.len() as u64, of(seen.processes.len() as u64));
        short.kill();
    }
    // Twice: what the one with enough of them leaves is sound, too.
    for _ in 0..2 {
        aggregator = Daemon::start(&ground);
        sees(&ground, 4, of(4));
        aggregator.kill();
    }
    let aggregator = Daemon::start(&ground);
    players.into_iter().for_each(Player::close);
    let seen = ground.see("nobody", |s| s.processes.is_empty());
    assert_eq!(sums(&seen), [0, 4200, 4200]);
    aggregator.end();
    ground.must_be_clean();
}

#[test]
fn a_process_that_was_at_work_in_its_ring_meanwhile_is_not_counted_twice() {
    let ground = Ground::new();
    let mut aggregator = Daemon::start(&ground);
    let mut players: Vec<Player> = (0..4).map(|_| one_of_them(&ground)).collect();
    sees(&ground, 4, of(4));
    aggregator.kill();
    // As its process does while it compacts its first section.
    let expect = Expect { owners: &[], least: 1, most: u64::MAX };
    let ring = segment::open(&players[0].tell("ring"), Access::ReadWrite, expect).unwrap();
    assert!(locks::try_take(&ring.file, Lock::Section(0)).unwrap());
    for _ in 0..2 {
        aggregator = Daemon::start(&ground);
        sees(&ground, 3, of(3));
        aggregator.kill();
    }
    // The one that has published without it meets it in the end.
    aggregator = Daemon::start(&ground);
    sees(&ground, 3, of(3));
    drop(ring);
    sees(&ground, 4, of(4));
    aggregator.kill();
    let aggregator = Daemon::start(&ground);
    sees(&ground, 4, of(4));
    players.into_iter().for_each(Player::close);
    let seen = ground.see("nobody", |s| s.processes.is_empty());
    assert_eq!(sums(&seen), [0, 4200, 4200]);
    aggregator.end();
    ground.must_be_clean();
}
