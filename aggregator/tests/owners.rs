//! Aggregators and processes of two users on one host: what one may take from the other, and what each is told.
#![allow(clippy::unwrap_used, reason = "a test may unwrap")]

mod support;

use shm_layout::event::Memory;
use shm_layout::ledger::{ENTRIES_OFFSET, LedgerHeader};
use shm_layout::segment::{self, Access, Expect};
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, chown};
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use support::daemon::{self, Daemon, command_as};
use support::dice::Dice;
use support::tags::phases;
use support::{Ground, Player, figures, lines, play_if_asked, wait};

#[test]
fn player() {
    play_if_asked();
}

/// nobody
const USER: u32 = 65_534;
const ROOT: u32 = 0;

fn is_root() -> bool {
    let root = nix::unistd::geteuid().is_root();
    if !root {
        let _said = writeln!(std::io::stderr(), "\n!!! SKIPPED: only root can be two users !!!\n");
    }
    root
}

/// One of this user's must not start; what it says, in one line.
#[track_caller]
fn refused(ground: &Ground, uid: u32) -> String {
    let said = daemon::refused(command_as(ground, uid));
    assert_eq!(said.lines().count(), 1, "{said}");
    said
}

#[test]
fn a_user_s_aggregator_is_told_whose_files_are_in_its_way() {
    if !is_root() {
        return;
    }
    let ground = Ground::new();
    let lock = format!("/dev/shm/{}", ground.prefix.lock());
    std::fs::write(&lock, "").unwrap();
    let said = refused(&ground, USER);
    for word in [lock.as_str(), "belongs to user 0", "ask them or root", "TT_ALLOC_PREFIX"] {
        assert!(said.contains(word), "{word}: {said}");
    }
    std::fs::remove_file(&lock).unwrap();
    let stats = format!("/dev/shm/{}", ground.prefix.stats());
    std::fs::write(&stats, "forged").unwrap();
    let said = refused(&ground, USER);
    for word in
        ["the stats segment", &ground.prefix.stats(), "belongs to user 0", "ask them or root", "TT_ALLOC_PREFIX"]
    {
        assert!(said.contains(word), "{word}: {said}");
    }
    assert_eq!(std::fs::read(&stats).unwrap(), b"forged");
    assert_eq!(ground.files(), [ground.prefix.stats()], "nothing of its own is left");
}

#[test]
fn root_s_aggregator_takes_its_names_back_from_whoever_squats_them() {
    if !is_root() {
        return;
    }
    let stats = |ground: &Ground| format!("/dev/shm/{}", ground.prefix.stats());
    let squats: [&dyn Fn(&str); 5] = [
        &|path| std::fs::write(path, "forged").unwrap(),
        &|path| nix::unistd::mkfifo(path, nix::sys::stat::Mode::S_IRWXU).unwrap(),
        &|path| std::os::unix::fs::symlink("/etc/shadow", path).unwrap(),
        &|path| drop(std::os::unix::net::UnixListener::bind(path).unwrap()),
        &|path| std::fs::create_dir(path).unwrap(),
    ];
    for squat in squats {
        let ground = Ground::new();
        squat(&stats(&ground));
        std::os::unix::fs::lchown(stats(&ground), Some(USER), Some(USER)).unwrap();
        std::fs::write(format!("/dev/shm/{}", ground.prefix.lock()), "").unwrap();
        chown(format!("/dev/shm/{}", ground.prefix.lock()), Some(USER), Some(USER)).unwrap();
        // And that of a ledger: its ring's name tells it.
        let mut player = Player::start_as(&ground, USER);
        player.alloc(0, Memory::Dram, 1, 5, 0);
        let ledger = format!("/dev/shm/{}", player.tell("ring").replace(".ring.", ".ledger."));
        squat(&ledger);
        std::os::unix::fs::lchown(&ledger, Some(USER + 1), None).unwrap();
        let daemon = Daemon::start_as(&ground, ROOT);
        let seen = ground.see("the process", |s| s.health.live_allocations == 1);
        assert_eq!(figures(&seen, player.pid(), 0, Memory::Dram).detail_incomplete, 0);
        daemon.end_after(&ground, [player]);
    }
    // What may hold somebody's data stays, and is told.
    let ground = Ground::new();
    let directory = stats(&ground);
    std::fs::create_dir(&directory).unwrap();
    std::fs::write(format!("{directory}/x"), "data").unwrap();
    chown(&directory, Some(USER), None).unwrap();
    let said = refused(&ground, ROOT);
    assert!(said.contains("belongs to user 65534") && said.contains("remove it"), "{said}");
    std::fs::remove_dir_all(directory).unwrap();
}

#[test]
fn a_ledger_s_name_that_another_user_has_costs_the_list_and_says_so() {
    if !is_root() {
        return;
    }
    let ground = Ground::new();
    let mut player = Player::start_as(&ground, USER);
    player.tell("burst 0 50 64");
    let ledger = format!("/dev/shm/{}", player.tell("ring").replace(".ring.", ".ledger."));
    std::fs::write(&ledger, "squatted").unwrap();
    let _daemon = Daemon::start_as(&ground, USER);
    player.tell("unburst 0 10 64");
    let seen = ground.see("what is left", |s| s.health.events_total == 60);
    let dram = figures(&seen, player.pid(), 0, Memory::Dram);
    assert_eq!((dram.footprint_bytes, dram.blocks, dram.detail_incomplete), (40 * 64, 40, 1));
    let line = lines(&seen).into_iter().find(|line| line.contains("has no ledger")).unwrap();
    assert!(line.contains("single allocations are not listed"), "{line}");
    assert_eq!(std::fs::read(&ledger).unwrap(), b"squatted");
}

#[test]
fn what_another_user_left_is_left_to_them_and_not_told() {
    if !is_root() {
        return;
    }
    let ground = Ground::new();
    let mut dead = Player::start(&ground);
    dead.tell("burst 0 10 64");
    let ring = dead.tell("ring");
    dead.kill();
    let daemon = Daemon::start_as(&ground, USER);
    let mut player = Player::start_as(&ground, USER);
    player.alloc(0, Memory::Dram, 1, 5, 0);
    ground.see("its own", |s| s.health.live_allocations == 1);
    std::thread::sleep(Duration::from_millis(500));
    let seen = ground.look().unwrap();
    assert_eq!((seen.health.rejected_rings_total, seen.processes.len(), lines(&seen).len()), (0, 1, 1));
    assert!(ground.files().contains(&ring));
    player.close();
    ground.see("nobody", |s| s.processes.is_empty());
    daemon.end();
    // Root's removes it.
    let daemon = Daemon::start_as(&ground, ROOT);
    wait("its end", || (!ground.files().contains(&ring)).then_some(())).unwrap();
    daemon.end();
    ground.must_be_clean();
}

#[test]
fn a_ring_without_permissions_is_refused_once_and_read_when_it_has_them_again() {
    if !is_root() {
        return;
    }
    let ground = Ground::new();
    let mut player = Player::start_as(&ground, USER);
    player.tell("burst 0 10 64");
    let ring = format!("/dev/shm/{}", player.tell("ring"));
    std::fs::set_permissions(&ring, PermissionsExt::from_mode(0o000)).unwrap();
    let _daemon = Daemon::start_as(&ground, USER);
    ground.see("the refusal", |s| s.health.rejected_rings_total == 1);
    // Longer than until the next try.
    std::thread::sleep(Duration::from_millis(5500));
    let seen = ground.look().unwrap();
    let told = lines(&seen);
    assert_eq!((seen.health.rejected_rings_total, told.len()), (1, 1), "{told:?}");
    assert!(told[0].contains("permission denied") && told[0].contains("chmod"), "{told:?}");
    std::fs::set_permissions(&ring, PermissionsExt::from_mode(0o600)).unwrap();
    let seen = ground.see("what it holds", |s| s.health.live_allocations == 10);
    assert_eq!(figures(&seen, player.pid(), 0, Memory::Dram).detail_incomplete, 0);
    // Taken away while it is mapped: nothing changes.
    std::fs::set_permissions(&ring, PermissionsExt::from_mode(0o000)).unwrap();
    player.tell("unburst 0 5 64");
    ground.see("what is left", |s| s.health.live_allocations == 5);
}

#[test]
fn root_s_aggregator_goes_on_where_a_user_s_own_was() {
    if !is_root() {
        return;
    }
    let ground = Ground::new();
    let mut player = Player::start_as(&ground, USER);
    let daemon = Daemon::start_as(&ground, USER);
    player.tell("push decode");
    player.tell("burst 0 3000 64");
    player.tell("pop");
    player.tell("unburst 0 1000 64");
    ground.see("the first part", |s| s.health.live_allocations == 2000);
    // Killed: what it wrote is there as it was in that moment.
    drop(daemon);
    player.tell("unburst 1000 500 64");
    let _daemon = Daemon::start_as(&ground, ROOT);
    player.tell("burst 5000 10 64");
    let seen = ground.see("both parts", |s| s.health.live_allocations == 1510);
    let dram = figures(&seen, player.pid(), 0, Memory::Dram);
    assert_eq!((dram.footprint_bytes, dram.blocks, dram.detail_incomplete), (1510 * 64, 1510, 0));
    assert_eq!((dram.allocated_bytes_total, dram.freed_bytes_total), (3010 * 64, 1500 * 64));
    assert_eq!((dram.peak_footprint_bytes, seen.health.anomalies), (3000 * 64, Default::default()));
    let ring = player.tell("ring");
    let ledger = format!("/dev/shm/{}", ring.replace(".ring.", ".ledger."));
    assert_eq!(std::os::unix::fs::MetadataExt::uid(&std::fs::metadata(ledger).unwrap()), ROOT);
    // The names of tags, which were told to the other one, came along.
    for (event, phase) in phases(&ground, &ring).unwrap() {
        assert_eq!(phase.as_deref(), (event.id < 3000).then_some("decode"), "{event:?}");
    }
    player.close();
    ground.see("nobody", |s| s.processes.is_empty());
}

#[test]
fn a_forged_ledger_spoils_only_its_own_process_s_rows() {
    if !is_root() {
        return;
    }
    for seed in 1..=7_u64 {
        let ground = Ground::new();
        let mut liar = Player::start_as(&ground, USER);
        let mut honest = Player::start(&ground);
        let daemon = Daemon::start_as(&ground, USER);
        liar.tell("burst 0 300 64");
        ground.see("the liar", |s| s.health.live_allocations == 300);
        drop(daemon);
        honest.tell("burst 0 100 64");
        let name = liar.tell("ring").replace(".ring.", ".ledger.");
        let expect = Expect { owners: &[], least: 1, most: u64::MAX };
        let opened = segment::open(&name, Access::ReadWrite, expect).unwrap();
        let words = opened.mapping.array::<AtomicU64>(0, opened.mapping.len() / 8).unwrap();
        let mut dice = Dice(seed);
        match seed {
            // Sizes without bounds; sums without bounds. All else as it was.
            1 => words[ENTRIES_OFFSET / 8..].chunks_exact(8).filter(|entry| entry[0].load(Relaxed) != 0).for_each(
                |entry| {
                    entry[4].store(u64::MAX >> 1, Relaxed);
                    entry[5].store(u64::MAX >> 1, Relaxed);
                },
            ),
            7 => words[512..ENTRIES_OFFSET / 8].iter().filter(|word| word.load(Relaxed) == 300 * 64).for_each(|word| {
                word.store(u64::MAX, Relaxed);
            }),
            2 => opened.mapping.one::<LedgerHeader<AtomicU64>>(0).unwrap().set_capacity(usize::MAX),
            3 => opened.mapping.one::<LedgerHeader<AtomicU64>>(0).unwrap().commit(u64::MAX >> 2, 0),
            4 => words[ENTRIES_OFFSET / 8..].iter().for_each(|word| word.store(dice.number(), Relaxed)),
            _ => (0..2000)
                .for_each(|_| words[32 + dice.number() as usize % (words.len() - 32)].store(dice.number(), Relaxed)),
        }
        let mut daemon = Daemon::start_as(&ground, ROOT);
        honest.tell("unburst 0 40 64");
        let of = |s: &_, player: &Player| figures(s, player.pid(), 0, Memory::Dram);
        let seen = ground.see("the honest one", |s| of(s, &honest).blocks == 60);
        assert_eq!((of(&seen, &honest).footprint_bytes, of(&seen, &honest).detail_incomplete), (60 * 64, 0), "{seed}");
        assert_eq!(of(&seen, &honest).allocated_bytes_total, 100 * 64);
        let sums = seen.chips.iter().map(|chip| chip.memory[Memory::Dram as usize].allocated_bytes_total);
        assert!(sums.max() <= Some(1 << 63), "{seed}: the chip's sum is spoilt for everybody");
        liar.tell("burst 1000 10 64");
        liar.kill();
        let seen = ground.see("the honest one alone", |s| s.processes.len() == 1);
        let chip = seen.chips.iter().find(|chip| chip.chip_id == 0).unwrap();
        assert_eq!(chip.memory[Memory::Dram as usize].footprint_bytes, 60 * 64, "{seed}");
        daemon.must_live();
        honest.close();
        ground.see("nobody", |s| s.processes.is_empty());
    }
}

#[test]
fn a_user_s_aggregator_after_root_s_says_what_it_cannot_know() {
    if !is_root() {
        return;
    }
    let ground = Ground::new();
    let mut player = Player::start_as(&ground, USER);
    let daemon = Daemon::start_as(&ground, ROOT);
    player.tell("burst 0 100 64");
    ground.see("the first part", |s| s.health.live_allocations == 100);
    drop(daemon);
    // Killed: its lock file is there, and only root may tell that it is stale.
    assert!(refused(&ground, USER).contains("belongs to user 0"));
    let daemon = Daemon::start_as(&ground, ROOT);
    daemon.end();
    // Ended: its segment is there for its successor, as long as somebody lives that it has read.
    let said = refused(&ground, USER);
    assert!(said.contains("the stats segment") && said.contains("belongs to user 0"), "{said}");
    // With that gone, its ledger is there, which is not this user's to go on with.
    std::fs::remove_file(format!("/dev/shm/{}", ground.prefix.stats())).unwrap();
    let _daemon = Daemon::start_as(&ground, USER);
    player.tell("burst 100 10 64");
    let seen = ground.see("the second part", |s| figures(s, player.pid(), 0, Memory::Dram).blocks == 10);
    let dram = figures(&seen, player.pid(), 0, Memory::Dram);
    assert_eq!((dram.footprint_bytes, dram.detail_incomplete), (640, 1));
    let told = lines(&seen);
    assert!(told.iter().any(|l| l.contains("100 records were read by an aggregator that left no ledger")), "{told:?}");
    assert!(told.iter().any(|l| l.contains("has no ledger") && l.contains("belongs to user 0")), "{told:?}");
}
