//! A process dies, and a part of its ring cannot be read: its end says how much.
#![allow(clippy::unwrap_used, reason = "a test may unwrap")]

mod support;

use shm_layout::event::Memory;
use shm_layout::locks::{self, Lock};
use shm_layout::names::DIRECTORY;
use std::fs::File;
use support::daemon::Daemon;
use support::{Ground, Player, lines, play_if_asked};

#[test]
fn player() {
    play_if_asked();
}

/// A process of 2501 records is dead, and the aggregator reads them: but the lock of the ring's second section is ours, as long as this
/// file is open.
fn killed_with_a_section_taken() -> (Ground, Daemon, File) {
    let ground = Ground::new();
    let daemon = Daemon::start(&ground);
    let mut player = Player::small(&ground);
    player.alloc(0, Memory::Dram, 1, 64, 64);
    ground.see("it", |s| s.health.live_allocations == 1);
    daemon.stop();
    player.tell("burst 2 2500 64");
    let path = format!("{DIRECTORY}/{}", player.tell("ring"));
    let file = File::options().read(true).write(true).open(path).unwrap();
    assert!(locks::try_take(&file, Lock::Section(1)).unwrap());
    player.kill();
    daemon.go_on();
    (ground, daemon, file)
}

#[test]
fn a_further_section_that_somebody_else_has_is_not_passed_over_in_silence() {
    let (ground, daemon, _section) = killed_with_a_section_taken();
    let seen = ground.see("its end", |s| s.processes.is_empty() && s.health.deaths_total == 1);
    let read = seen.health.events_total;
    assert!((2..2501).contains(&read), "{read}");
    let told = lines(&seen).into_iter().find(|line| line.contains(" died")).unwrap();
    assert!(told.contains(&format!("; {} records of its ring could not be read; command: ", 2501 - read)), "{told}");
    assert_eq!(seen.health.torn_events_total, 2501 - read);
    assert_eq!(seen.chips[0].memory[Memory::Dram as usize].footprint_bytes, 0);
    let said = daemon.end();
    assert!(said.contains("could not be read") && said.contains("why=\"busy\""), "{said}");
    ground.must_be_clean();
}

#[test]
fn one_that_is_free_again_in_a_moment_is_read() {
    let (ground, daemon, section) = killed_with_a_section_taken();
    std::thread::sleep(std::time::Duration::from_millis(40));
    locks::give_back(&section, Lock::Section(1));
    let seen = ground.see("its end", |s| s.processes.is_empty() && s.health.deaths_total == 1);
    assert_eq!((seen.health.events_total, seen.health.torn_events_total), (2501, 0), "{:?}", lines(&seen));
    daemon.end();
    ground.must_be_clean();
}
