//! Death and end of the aggregator: its successor continues what it published, and counts nothing twice.
#![allow(clippy::unwrap_used, reason = "a test may unwrap")]

mod support;

use shm_layout::event::{Kind, Memory};
use shm_layout::segment::Access;
use shm_layout::stats::{Anomalies, Snapshot, UNKNOWN};
use std::io::{Read, Write};
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};
use support::daemon::Daemon;
use support::past::{a_past, must_not_shrink};
use support::published::{history, stats_segment, view};
use support::{Ground, PATIENCE, Player, lines, play_if_asked, wait};

const DRAM: usize = Memory::Dram as usize;
const L1: usize = Memory::L1 as usize;

#[test]
fn player() {
    play_if_asked();
}

fn is_continued(ground: &Ground, before: &Snapshot) {
    let after = ground.see("the process again", |s| s.processes.len() == 1 && s.health.lag_events == 0);
    must_not_shrink(before, &after);
    let dram = after.chips[0].memory[DRAM];
    assert_eq!(dram.peak_footprint_bytes, 6000, "the peak of two processes together");
    assert_eq!((dram.allocated_bytes_total, dram.freed_bytes_total, dram.footprint_bytes), (6000, 5000, 1000));
    let l1 = after.chips[0].memory[L1];
    assert_eq!((l1.peak_footprint_bytes, l1.allocated_bytes_total, l1.freed_bytes_total), (300, 300, 300));
    assert_eq!((after.health.events_total, after.health.deaths_total), (5, 1));
    assert_eq!(after.health.anomalies, Anomalies { free_unknown: 1, ..Anomalies::default() });
    let told = lines(&after);
    assert_eq!(told.iter().filter(|line| line.contains(" died: removed 1 buffer (4.88 KiB)")).count(), 1, "{told:?}");
    assert_eq!(told.iter().filter(|line| line.starts_with("this aggregator continues ")).count(), 1, "{told:?}");
}

#[test]
fn what_a_killed_aggregator_published_is_continued() {
    let ground = Ground::new();
    let mut first = Daemon::start(&ground);
    let stays = a_past(&ground);
    let before = ground.look().unwrap();
    first.kill();
    for _ in 0..3 {
        let mut next = Daemon::start(&ground);
        is_continued(&ground, &before);
        next.kill();
    }
    let last = Daemon::start(&ground);
    last.end_after(&ground, [stays]);
}

#[test]
fn killed_while_it_begins_it_has_changed_nothing() {
    let ground = Ground::new();
    let mut first = Daemon::start(&ground);
    let stays = a_past(&ground);
    let before = ground.look().unwrap();
    first.kill();
    for round in 0..60 {
        let mut next = Daemon::spawn(&ground);
        std::thread::sleep(Duration::from_micros(round * 400));
        next.kill();
        assert!(stats_segment(&ground, Access::Read).is_some(), "there always is one");
    }
    let last = Daemon::start(&ground);
    is_continued(&ground, &before);
    last.end_after(&ground, [stays]);
}

#[test]
fn an_end_in_good_order_keeps_the_past_while_somebody_lives() {
    let ground = Ground::new();
    let first = Daemon::start(&ground);
    let stays = a_past(&ground);
    let before = ground.look().unwrap();
    first.end();
    let segment = stats_segment(&ground, Access::Read).expect("its segment stays");
    assert_eq!(view(&segment).unwrap().header.heartbeat.load(Relaxed), 0, "and says that nobody runs");
    let next = Daemon::start(&ground);
    is_continued(&ground, &before);
    next.end_after(&ground, [stays]);
}

#[test]
fn processes_that_end_while_nobody_looks_are_told_of() {
    let ground = Ground::new();
    let mut first = Daemon::start(&ground);
    let stays = a_past(&ground);
    let pid = stays.pid();
    let before = ground.look().unwrap();
    first.kill();
    // Nobody is attached: it removes its ring itself.
    stays.close();
    let next = Daemon::start(&ground);
    let after = ground.see("nobody", |s| s.processes.is_empty());
    must_not_shrink(&before, &after);
    let dram = after.chips[0].memory[DRAM];
    assert_eq!((dram.allocated_bytes_total, dram.freed_bytes_total, dram.footprint_bytes), (6000, 6000, 0));
    assert_eq!(after.health.events_total, 5);
    let told = lines(&after);
    let line = format!("PID {pid} (succession");
    let about = told.iter().filter(|l| l.starts_with(&line) && l.ends_with("ended while no aggregator ran"));
    assert_eq!(about.count(), 1, "{told:?}");
    next.end();
    ground.must_be_clean();
}

#[test]
fn samples_are_kept_and_those_that_nobody_took_are_unknown() {
    let ground = Ground::new();
    let mut first = Daemon::start(&ground);
    let mut player = Player::start(&ground);
    player.alloc(0, Memory::Dram, 1, 4096, 0);
    let last = |samples: &[u64]| samples.last().copied();
    wait("two samples", || (history(&ground, DRAM).iter().filter(|s| **s == 4096).count() >= 2).then_some(())).unwrap();
    let before = history(&ground, DRAM);
    first.kill();
    std::thread::sleep(Duration::from_millis(2500));
    let second = Daemon::start(&ground);
    player.alloc(0, Memory::Dram, 2, 4096, 0);
    wait("the next sample", || (last(&history(&ground, DRAM)) == Some(8192)).then_some(())).unwrap();
    let after = history(&ground, DRAM);
    assert_eq!(after[..before.len()], before, "{after:?}");
    assert!(after[before.len()..].contains(&UNKNOWN), "{after:?}");
    // Stopped is the same as gone.
    second.stop();
    std::thread::sleep(Duration::from_millis(3500));
    player.free(0, Memory::Dram, 1, 0, 0);
    player.free(0, Memory::Dram, 2, 0, 0);
    second.go_on();
    wait("a sample of now", || (last(&history(&ground, DRAM)) == Some(0)).then_some(())).unwrap();
    let unknown = |samples: &[u64]| samples.iter().filter(|s| **s == UNKNOWN).count();
    assert!(unknown(&history(&ground, DRAM)) >= unknown(&after) + 2);
    assert_eq!(ground.look().unwrap().health.live_allocations, 0);
}

#[test]
fn samples_are_taken_although_no_aggregator_lives_for_a_second() {
    let ground = Ground::new();
    let mut player = Player::start(&ground);
    player.alloc(0, Memory::Dram, 1, 4096, 0);
    let deadline = Instant::now() + PATIENCE;
    loop {
        let mut daemon = Daemon::start(&ground);
        std::thread::sleep(Duration::from_millis(100));
        daemon.kill();
        let samples = history(&ground, DRAM);
        if samples.iter().filter(|s| **s == 4096).count() >= 3 {
            break;
        }
        assert!(Instant::now() < deadline, "{samples:?}");
    }
}

#[test]
fn a_death_that_was_published_is_not_counted_again() {
    let ground = Ground::new();
    let mut first = Daemon::start(&ground);
    let (stays, mut dies) = (Player::start(&ground), Player::start(&ground));
    let mut stays = stays;
    stays.alloc(0, Memory::Dram, 1, 1000, 0);
    dies.alloc(0, Memory::Dram, 1, 5000, 0);
    dies.free(0, Memory::L1, 99, 0, 0);
    ground.see("both", |s| s.health.events_total == 3 && s.health.lag_events == 0);
    let names = [dies.tell("ring"), dies.tell("ring").replace(".ring.", ".ledger.")];
    let open = |name: &String| std::fs::File::open(format!("/dev/shm/{name}")).unwrap();
    let files = [open(&names[0]), open(&names[1])];
    dies.kill();
    let before = ground.see("one", |s| s.processes.len() == 1 && s.health.deaths_total == 1);
    wait("its files' end", || (ground.files().iter().filter(|f| names.contains(f)).count() == 0).then_some(()))
        .unwrap();
    first.kill();
    // As if it had been killed before it removed the files.
    for (name, mut file) in names.iter().zip(files) {
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).unwrap();
        std::fs::write(format!("/dev/shm/{name}"), bytes).unwrap();
    }
    let next = Daemon::start(&ground);
    let after = ground.see("the process", |s| s.processes.len() == 1);
    wait("its files' end", || (ground.files().iter().filter(|f| names.contains(f)).count() == 0).then_some(()))
        .unwrap();
    let after = ground.see("a later snapshot", |s| s.health.generation > after.health.generation);
    must_not_shrink(&before, &after);
    assert_eq!((after.health.deaths_total, after.health.events_total), (1, 3));
    assert_eq!(after.health.anomalies, before.health.anomalies);
    let dram = after.chips[0].memory[DRAM];
    assert_eq!((dram.allocated_bytes_total, dram.freed_bytes_total, dram.footprint_bytes), (6000, 5000, 1000));
    assert_eq!(lines(&after).iter().filter(|line| line.contains(" died")).count(), 1);
    next.end_after(&ground, [stays]);
}

/// Killed after a batch was committed and before the figures were published, in which a device became another chip.
#[test]
fn a_device_that_became_another_chip_unseen_leaves_its_sums_where_they_were() {
    let ground = Ground::new();
    let mut player = Player::start(&ground);
    let open = |player: &mut Player, chip: u64| {
        player.tell(&format!("event {} 0 0 {chip} 0 140 0 3 0", Kind::DeviceInfo as u8))
    };
    open(&mut player, 0x7000);
    player.tell("burst 0 100 64");
    let mut first = Daemon::start(&ground);
    let before = ground.see("the first chip", |s| s.chips.len() == 1 && s.health.live_allocations == 100);
    // Its segment as of now is all that the next one is to find.
    first.stop();
    let path = format!("{}/{}", shm_layout::names::DIRECTORY, ground.prefix.stats());
    let published = std::fs::read(&path).unwrap();
    first.go_on();
    player.tell(&format!("event {} 0 0 0 0 0 0 0 0", Kind::DeviceClose as u8));
    open(&mut player, 0x7001);
    player.tell("burst 1000 10 64");
    ground.see("the second chip", |s| s.chips.len() == 2 && s.health.live_allocations == 10);
    first.kill();
    std::fs::OpenOptions::new().write(true).open(&path).unwrap().write_all(&published).unwrap();
    let _second = Daemon::start(&ground);
    let seen =
        ground.see("it again", |s| s.chips.len() == 2 && s.health.live_allocations == 10 && s.health.lag_events == 0);
    must_not_shrink(&before, &seen);
    let sums: Vec<_> = seen.chips.iter().map(|chip| (chip.chip_id, chip.memory[DRAM].allocated_bytes_total)).collect();
    assert_eq!(sums, [(0x7000, 6400), (0x7001, 640)]);
    assert_eq!(seen.chips[1].memory[DRAM].peak_footprint_bytes, 640, "the other chip's peak is not this one's");
}
