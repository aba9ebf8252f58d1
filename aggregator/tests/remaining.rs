//! What no other file is about: a queue that overflows, more rows than fit, clocks that run backwards, a lock file that is gone.
#![allow(clippy::unwrap_used, reason = "a test may unwrap")]

mod support;

use shm_layout::event::{Kind, Memory};
use shm_layout::locks::{self, Lock};
use shm_layout::names::DIRECTORY;
use shm_layout::stats::{MAX_ROWS, Snapshot};
use std::fs::File;
use std::process::{Command, Stdio};
use std::time::Duration;
use support::daemon::{Daemon, command, refused};
use support::{Ground, Player, figures, lines, play_if_asked, wait};

#[test]
fn player() {
    play_if_asked();
}

#[test]
fn rings_that_inotify_had_no_room_to_tell_of_are_found() {
    let ground = Ground::new();
    let daemon = Daemon::start(&ground);
    let mut first = Player::start(&ground);
    first.alloc(0, Memory::Dram, 1, 10, 0);
    ground.see("the first", |s| s.health.live_allocations == 1);
    daemon.stop();
    let most: usize =
        std::fs::read_to_string("/proc/sys/fs/inotify/max_queued_events").unwrap().trim().parse().unwrap();
    // By turns, as the kernel tells equal events in a row once.
    let names = [1, 2].map(|n| format!("{DIRECTORY}/{}.flood.{n}", ground.prefix));
    for n in 0..most + 100 {
        drop(File::create(&names[n % 2]).unwrap());
        std::fs::remove_file(&names[n % 2]).unwrap();
    }
    let mut late = Player::start(&ground);
    late.alloc(0, Memory::Dram, 1, 7, 0);
    daemon.go_on();
    // By the scan that the overflow asks for: the next one is half a minute away.
    let seen = ground.see("who came in the flood", |s| s.health.live_allocations == 2);
    assert_eq!(figures(&seen, late.pid(), 0, Memory::Dram).footprint_bytes, 7);
    daemon.end_after(&ground, [first, late]);
}

#[test]
fn rows_that_do_not_fit_into_the_snapshot_are_counted_and_in_the_totals() {
    const ACCOUNTS: u64 = 256;
    let ground = Ground::new();
    let aggregator = ground.aggregator();
    let count = MAX_ROWS as u64 / ACCOUNTS + 1;
    let mut players: Vec<Player> = (0..count).map(|_| Player::small(&ground)).collect();
    for (player, n) in players.iter_mut().zip(1..) {
        for account in 0..ACCOUNTS {
            let (device, memory) = (account / 7, account % 7);
            player.tell(&format!("event {} {memory} {device} 1 1 {n} 0 0 0", Kind::Alloc as u8));
        }
    }
    let total = |s: &Snapshot, count: u64| {
        let sum = count * (count + 1) / 2;
        let whole = s.chips.iter().flat_map(|chip| &chip.memory).map(|figures| figures.footprint_bytes);
        assert_eq!(whole.sum::<u64>(), ACCOUNTS * sum);
        assert_eq!(s.chips[0].memory[Memory::Dram as usize].footprint_bytes, sum);
    };
    let seen = ground.see("everybody", |s| s.health.live_allocations == count * ACCOUNTS);
    assert_eq!((seen.rows.len(), seen.health.hidden_rows), (MAX_ROWS, ACCOUNTS));
    assert_eq!((seen.processes.len() as u64, seen.health.anomalies), (count, Default::default()));
    total(&seen, count);
    // The last one started has the largest pid or not: whoever goes, everything fits again.
    players.pop().unwrap().close();
    let seen = ground.see("one less", |s| s.processes.len() as u64 == count - 1);
    assert_eq!(seen.health.hidden_rows, 0);
    total(&seen, count - 1);
    players.into_iter().for_each(Player::close);
    ground.see("nobody", |s| s.processes.is_empty());
    drop(aggregator);
    ground.must_be_clean();
}

/// Waits for the end of one that was killed with the command that it is a child of: it may outlive that for a moment.
fn nobody_runs(ground: &Ground) {
    let path = format!("{DIRECTORY}/{}", ground.prefix.lock());
    let free = || locks::holder(File::open(&path).unwrap(), Lock::Owner).unwrap().is_none();
    wait("the lock to be free", || free().then_some(())).unwrap();
}

/// Aggregators in time namespaces: one's clocks are eleven days ahead, the next one's half an hour behind it and the host's.
#[test]
fn clocks_that_run_backwards_change_no_figure_and_kill_nobody() {
    const AHEAD: [&str; 6] =
        ["unshare", "--time", "--fork", "--kill-child", "--monotonic=1000000", "--boottime=1000000"];
    const BEHIND: [&str; 6] = ["unshare", "--time", "--fork", "--kill-child", "--monotonic=-600", "--boottime=-600"];
    let may = |by: &[&str]| {
        let status = Command::new(by[0]).args(&by[1..]).arg("true").stderr(Stdio::null()).status();
        status.is_ok_and(|status| status.success())
    };
    if !may(&AHEAD) || !may(&BEHIND) {
        eprintln!(
            "SKIPPED, NOT TESTED: clocks that run backwards need root, time namespaces, and ten minutes since boot"
        );
        return;
    }
    let ground = Ground::new();
    let mut player = Player::start(&ground);
    let mut dead = 0;
    for (round, by) in [&AHEAD[..], &BEHIND, &AHEAD, &[]].into_iter().enumerate() {
        // Not known by its pid: it is a child of that command's.
        let before = ground.look().map(|seen| seen.health.generation);
        let daemon = Daemon::spawn_by(command(&ground, by));
        wait("its segment", || ground.look().filter(|seen| Some(seen.health.generation) != before)).unwrap();
        let mut doomed = Player::start(&ground);
        doomed.alloc(0, Memory::Dram, 1, 1000, 0);
        player.alloc(0, Memory::Dram, round as u64, 10, 0);
        player.alloc(0, Memory::L1, round as u64, 10, 0);
        player.free(0, Memory::L1, round as u64, 10, 0);
        let bytes = 10 * (round as u64 + 1);
        let of = |s: &Snapshot, memory| figures(s, player.pid(), 0, memory);
        ground.see("both", |s| of(s, Memory::Dram).footprint_bytes == bytes && s.processes.len() == 2);
        doomed.kill();
        dead += 1;
        ground.see("its death", |s| s.processes.len() == 1 && s.health.deaths_total == dead);
        // Several sweeps and samples long.
        std::thread::sleep(Duration::from_millis(1500));
        let seen = ground.look().unwrap();
        assert_eq!((seen.processes.len(), seen.health.deaths_total), (1, dead), "round {round}");
        assert_eq!((of(&seen, Memory::Dram).footprint_bytes, of(&seen, Memory::Dram).detail_incomplete), (bytes, 0));
        assert_eq!(of(&seen, Memory::L1).allocated_bytes_total, bytes, "round {round}");
        let chip = seen.chips[0].memory[Memory::Dram as usize];
        assert_eq!((chip.footprint_bytes, chip.allocated_bytes_total), (bytes, bytes + 1000 * dead), "round {round}");
        assert_eq!((seen.health.anomalies, seen.health.torn_events_total), (Default::default(), 0));
        drop(daemon);
        nobody_runs(&ground);
    }
    Daemon::start(&ground).end_after(&ground, [player]);
}

#[test]
fn an_aggregator_whose_files_were_all_removed_makes_them_again_and_stays_the_only_one() {
    let ground = Ground::new();
    let daemon = Daemon::start(&ground);
    let mut player = Player::start(&ground);
    player.alloc(0, Memory::Dram, 1, 10, 0);
    ground.see("it", |s| s.health.live_allocations == 1);
    // As `rm /dev/shm/tt_alloc*` does.
    for name in ground.files() {
        std::fs::remove_file(format!("{DIRECTORY}/{name}")).unwrap();
    }
    wait("a lock file", || ground.files().contains(&ground.prefix.lock()).then_some(())).unwrap();
    assert!(refused(command(&ground, &[])).contains(&format!("process {}", daemon.pid())));
    player.alloc(0, Memory::Dram, 2, 5, 0);
    let seen = ground.see("the next", |s| figures(s, player.pid(), 0, Memory::Dram).footprint_bytes == 15);
    assert_eq!(seen.processes.len(), 1);
    daemon.end_after(&ground, [player]);
}

#[test]
fn an_aggregator_whose_lock_another_one_has_meanwhile_leaves_it_the_field() {
    let ground = Ground::new();
    let mut first = Daemon::start(&ground);
    let mut player = Player::start(&ground);
    player.alloc(0, Memory::Dram, 1, 10, 0);
    ground.see("it", |s| s.health.live_allocations == 1);
    first.stop();
    std::fs::remove_file(format!("{DIRECTORY}/{}", ground.prefix.lock())).unwrap();
    let second = Daemon::start(&ground);
    first.go_on();
    first.ended();
    player.alloc(0, Memory::Dram, 2, 5, 0);
    let seen = ground.see("both", |s| figures(s, player.pid(), 0, Memory::Dram).footprint_bytes == 15);
    assert_eq!(figures(&seen, player.pid(), 0, Memory::Dram).detail_incomplete, 0);
    assert!(lines(&seen).iter().any(|line| line.contains("drains it already")), "{:?}", lines(&seen));
    assert_eq!(seen.chips[0].memory[Memory::Dram as usize].allocated_bytes_total, 15);
    second.end_after(&ground, [player]);
}
