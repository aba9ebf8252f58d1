//! Files that are cut short, grown, taken away, replaced or scribbled over while they are mapped and in use.
#![allow(clippy::unwrap_used, reason = "a test may unwrap")]

mod support;

use aggregator::sigbus::{Guarded, faults};
use shm_layout::event::Memory;
use shm_layout::segment::{self, Access, Expect};
use shm_layout::stats::Snapshot;
use std::fs::{File, OpenOptions};
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};
use support::daemon::Daemon;
use support::dice::Dice;
use support::{Ground, Player, figures, lines, play_if_asked, wait};

#[test]
fn player() {
    play_if_asked();
}

const ANY: Expect<'static> = Expect { owners: &[], least: 1, most: u64::MAX };

fn writable(name: &str) -> File {
    OpenOptions::new().write(true).open(format!("/dev/shm/{name}")).unwrap()
}

fn dram(snapshot: &Snapshot, player: &Player) -> (u64, u64) {
    let dram = figures(snapshot, player.pid(), 0, Memory::Dram);
    (dram.footprint_bytes, dram.blocks)
}

#[test]
fn a_ledger_that_is_cut_short_costs_the_list_and_never_the_totals() {
    // Everything; the state blocks; some of the entries.
    for bytes in [0, 8192, 100_000] {
        let ground = Ground::new();
        let mut daemon = Daemon::start(&ground);
        let mut player = Player::start(&ground);
        player.tell("burst 0 3000 64");
        ground.see("the first", |s| s.health.live_allocations == 3000);
        let ledger = player.tell("ring").replace(".ring.", ".ledger.");
        writable(&ledger).set_len(bytes).unwrap();
        // Both what was listed and what was not is freed; some of it in the very batch that notices.
        player.tell("unburst 0 1000 64");
        player.tell("burst 3000 500 64");
        player.tell("unburst 1000 500 64");
        let seen = ground.see("what is left", |s| dram(s, &player).1 == 2000);
        assert_eq!(dram(&seen, &player), (2000 * 64, 2000), "cut to {bytes}");
        assert_eq!(seen.health.anomalies, Default::default());
        let seen = ground.see("a line", |s| lines(s).iter().any(|line| line.contains("lost its ledger")));
        assert_eq!(figures(&seen, player.pid(), 0, Memory::Dram).detail_incomplete, 1);
        daemon.must_live();
        // The new one lists what comes, and is continued.
        player.tell("burst 10000 300 64");
        ground.see("new ones in it", |s| s.health.live_allocations >= 300 && dram(s, &player).1 == 2300);
        drop(daemon);
        let mut daemon = Daemon::start(&ground);
        player.tell("unburst 1500 2000 64");
        player.tell("unburst 10000 200 64");
        let seen = ground.see("the rest", |s| dram(s, &player).1 == 100);
        assert_eq!(dram(&seen, &player).0, 100 * 64);
        assert_eq!((seen.health.live_allocations, seen.health.anomalies), (100, Default::default()));
        daemon.must_live();
        player.close();
        ground.see("nobody", |s| s.processes.is_empty());
        drop(daemon);
    }
}

#[test]
fn a_ledger_that_is_cut_short_again_and_again_while_it_is_used_is_always_exact() {
    let ground = Ground::new();
    let mut daemon = Daemon::start(&ground);
    let mut player = Player::start(&ground);
    let mut honest = Player::start(&ground);
    honest.alloc(0, Memory::Dram, 1, 77, 0);
    player.tell("burst 1000000 10 64");
    ground.see("both", |s| s.health.live_allocations == 11);
    let path = format!("/dev/shm/{}", player.tell("ring").replace(".ring.", ".ledger."));
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut sizes = [0, 4096, 69_632, 12_288, 80_000].into_iter().cycle();
            // Relaxed: it is only to end some time.
            while !stop.load(Relaxed) {
                // It is not there while the aggregator makes it again.
                if let Ok(file) = OpenOptions::new().write(true).open(&path) {
                    let _ = file.set_len(sizes.next().unwrap());
                }
                std::thread::sleep(Duration::from_millis(3));
            }
        });
        for round in 0..60 {
            player.tell(&format!("burst {} 1500 64", round * 2000));
            player.tell(&format!("unburst {} 1400 64", round * 2000));
            if round % 10 == 9 {
                let live = 10 + (round + 1) * 100;
                let seen = ground.see("this round", |s| s.health.lag_events == 0 && dram(s, &player).1 == live);
                assert_eq!(dram(&seen, &player).0, live * 64);
                assert_eq!(dram(&seen, &honest), (77, 1));
            }
        }
        stop.store(true, Relaxed);
    });
    daemon.must_live();
    let seen = ground.look().unwrap();
    assert_eq!(seen.health.anomalies, Default::default());
    assert!(lines(&seen).iter().any(|line| line.contains("lost its ledger")), "it was never lost");
    player.kill();
    let seen = ground.see("the other", |s| s.processes.len() == 1);
    assert_eq!(seen.chips[0].memory[Memory::Dram as usize].footprint_bytes, 77);
}

#[test]
fn a_ledger_that_is_taken_away_or_replaced_changes_no_figure() {
    let ground = Ground::new();
    let mut daemon = Daemon::start(&ground);
    let mut player = Player::start(&ground);
    player.tell("burst 0 100 64");
    ground.see("the first", |s| s.health.live_allocations == 100);
    let path = format!("/dev/shm/{}", player.tell("ring").replace(".ring.", ".ledger."));
    std::fs::remove_file(&path).unwrap();
    std::fs::write(&path, vec![0xAB; 200_000]).unwrap();
    player.tell("burst 100 2000 64");
    player.tell("unburst 0 50 64");
    let seen = ground.see("all of it", |s| s.health.live_allocations == 2050);
    assert_eq!(dram(&seen, &player), (2050 * 64, 2050));
    player.kill();
    ground.see("nobody", |s| s.processes.is_empty());
    daemon.must_live();
    assert_eq!(std::fs::read(&path).unwrap(), vec![0xAB; 200_000], "it is not ours");
    drop(daemon);
    // Its ring is gone: the next aggregator of this user takes it for what an earlier one left.
    let _daemon = Daemon::start(&ground);
    wait("its end", || (!std::path::Path::new(&path).exists()).then_some(())).unwrap();
}

#[test]
fn a_stats_segment_that_is_damaged_is_made_again() {
    let ground = Ground::new();
    let mut daemon = Daemon::start(&ground);
    let mut player = Player::start(&ground);
    let path = format!("/dev/shm/{}", ground.prefix.stats());
    let inode = |path: &str| std::fs::metadata(path).map(|meta| std::os::unix::fs::MetadataExt::ino(&meta)).ok();
    let damages: [&dyn Fn(); 6] = [
        &|| writable(&ground.prefix.stats()).set_len(0).unwrap(),
        &|| writable(&ground.prefix.stats()).set_len(4096).unwrap(),
        &|| writable(&ground.prefix.stats()).set_len(200_000).unwrap(),
        &|| std::fs::remove_file(&path).unwrap(),
        &|| std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o000)).unwrap(),
        &|| {
            std::fs::write(format!("{path}.x"), "something else").unwrap();
            std::fs::rename(format!("{path}.x"), &path).unwrap();
        },
    ];
    for (round, damage) in (1..).zip(damages) {
        player.alloc(0, Memory::Dram, round, 10, 0);
        ground.see("this round", |s| s.health.live_allocations == round);
        let before = inode(&path);
        damage();
        wait("another segment", || inode(&path).filter(|now| Some(*now) != before)).unwrap();
        daemon.must_live();
        let seen = ground.see("the figures in it", |s| s.health.live_allocations == round);
        assert_eq!(dram(&seen, &player), (round * 10, round));
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o644);
    }
    // Grown: nothing is wrong with it.
    let before = inode(&path);
    let bytes = std::fs::metadata(&path).unwrap().len();
    writable(&ground.prefix.stats()).set_len(bytes + 4096).unwrap();
    player.alloc(0, Memory::Dram, 100, 10, 0);
    writable(&ground.prefix.stats()).set_len(bytes).unwrap();
    ground.see("it goes on", |s| s.health.live_allocations == 7);
    assert_eq!(inode(&path), before);
}

/// As often as a mapping may be cut short under a copy: the pages come and go a hundred thousand times.
#[test]
fn a_hundred_thousand_cuts_under_a_copy_end_nobody() {
    const CUTS: u32 = 100_000;
    const BYTES: usize = 16_384;
    let ground = Ground::new();
    let name = ground.prefix.stats();
    drop(segment::create(&name, BYTES).unwrap());
    let file = writable(&name);
    let faults_before = faults();
    let cut = std::sync::atomic::AtomicU32::new(0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..CUTS {
                file.set_len(0).unwrap();
                nix::fcntl::posix_fallocate(&file, 0, BYTES as libc::off_t).unwrap();
                cut.fetch_add(1, Relaxed);
            }
        });
        while cut.load(Relaxed) < CUTS {
            let Ok(opened) = segment::open(&name, Access::Read, ANY) else { continue };
            let guarded = Guarded::new(opened).unwrap();
            for _ in 0..8 {
                let words = guarded.mapping.array::<AtomicU64>(0, guarded.mapping.len() / 8).unwrap();
                assert_eq!(words.iter().map(|word| word.load(Relaxed)).sum::<u64>(), 0);
            }
        }
    });
    assert!(faults() > faults_before, "no copy was hit");
}

#[test]
fn rings_that_are_cut_short_while_they_are_drained_cost_only_themselves() {
    let ground = Ground::new();
    let mut daemon = Daemon::start(&ground);
    let mut honest = Player::start(&ground);
    let mut live = 0;
    for round in 0..25 {
        let mut liar = Player::small(&ground);
        liar.tell("burst 0 100 64");
        let file = writable(&liar.tell("ring"));
        let bytes = file.metadata().unwrap().len();
        honest.tell(&format!("burst {} 200 64", round * 200));
        live += 200;
        for cut in 0..4000 {
            // Half of it, all of it; and back again.
            file.set_len(if cut % 2 == 0 { bytes / 2 } else { 0 }).unwrap();
            nix::fcntl::posix_fallocate(&file, 0, bytes as libc::off_t).unwrap();
        }
        liar.kill();
        daemon.must_live();
        let seen = ground.see("the honest one", |s| dram(s, &honest).1 == live);
        assert_eq!(dram(&seen, &honest).0, live * 64);
    }
    let seen = ground.see("the honest one alone", |s| s.processes.len() == 1);
    assert_eq!(seen.chips[0].memory[Memory::Dram as usize].footprint_bytes, live * 64);
    assert!(seen.health.anomalies == Default::default() && seen.health.rejected_rings_total <= 25);
}

#[test]
fn a_ring_that_grows_is_read_as_far_as_it_said() {
    let ground = Ground::new();
    let _daemon = Daemon::start(&ground);
    let mut player = Player::small(&ground);
    player.tell("burst 0 100 64");
    ground.see("the first", |s| s.health.live_allocations == 100);
    let file = writable(&player.tell("ring"));
    let bytes = file.metadata().unwrap().len();
    file.set_len(bytes + (1 << 20)).unwrap();
    player.tell("burst 100 500 64");
    ground.see("more", |s| s.health.live_allocations == 600);
    player.tell("burst 600 900 64");
    let seen = ground.see("a lap", |s| s.health.live_allocations == 1500);
    assert_eq!((dram(&seen, &player), seen.health.rejected_rings_total), ((1500 * 64, 1500), 0));
}

#[test]
fn a_ring_whose_name_is_taken_away_and_given_to_another_is_read_on_and_not_mixed() {
    let ground = Ground::new();
    let aggregator = ground.aggregator();
    let mut player = Player::start(&ground);
    player.tell("burst 0 100 64");
    ground.see("the first", |s| s.health.live_allocations == 100);
    let path = format!("/dev/shm/{}", player.tell("ring"));
    let old = std::fs::read(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    // The same bytes: what a copy of the ring would be.
    std::fs::write(&path, &old).unwrap();
    player.tell("unburst 0 10 64");
    let seen = ground.see("what is left", |s| s.health.live_allocations == 90);
    assert_eq!((dram(&seen, &player), seen.processes.len()), ((90 * 64, 90), 1));
    player.kill();
    ground.see("nobody", |s| s.processes.is_empty());
    assert_eq!(std::fs::read(&path).unwrap(), old, "it is not the file that was read");
    drop(aggregator);
}

#[test]
fn a_ring_that_is_scribbled_over_while_it_is_drained_spoils_only_its_own_rows() {
    let ground = Ground::new();
    let mut daemon = Daemon::start(&ground);
    let mut honest = Player::start(&ground);
    honest.alloc(0, Memory::Dram, u64::MAX, 77, 0);
    let mut live = 1;
    for seed in 1..=4_u64 {
        let mut liar = Player::small(&ground);
        liar.tell("burst 0 100 64");
        ground.see("both", |s| s.processes.len() == 2);
        let ring = segment::open(&liar.tell("ring"), Access::ReadWrite, ANY).unwrap();
        let until = Instant::now() + Duration::from_millis(1500);
        std::thread::scope(|scope| {
            let words = ring.mapping.array::<AtomicU64>(0, ring.mapping.len() / 8).unwrap();
            scope.spawn(move || {
                let mut dice = Dice(seed);
                while Instant::now() < until {
                    for _ in 0..1000 {
                        let (at, what) = (dice.number() as usize % words.len(), dice.number());
                        // Whole numbers of all sizes, small changes, stamps as they would come.
                        let value = match what % 4 {
                            0 => dice.number(),
                            1 => words[at].load(Relaxed) ^ 1 << dice.roll(64),
                            2 => dice.roll(5000),
                            _ => u64::MAX >> dice.roll(64),
                        };
                        words[at].store(value, Relaxed);
                    }
                }
            });
            let mut id = seed << 32;
            while Instant::now() < until {
                honest.tell(&format!("burst {id} 50 64"));
                honest.tell(&format!("unburst {id} 49 64"));
                (id, live) = (id + 50, live + 1);
                std::thread::sleep(Duration::from_millis(5));
            }
        });
        daemon.must_live();
        let seen = ground.see("the honest one", |s| dram(s, &honest).1 == live);
        assert_eq!(dram(&seen, &honest).0, 77 + (live - 1) * 64);
        let pid = honest.pid();
        let row = seen.processes.iter().find(|process| process.pid == pid).unwrap();
        assert_eq!((row.dropped_events_total, row.lag_events), (0, 0));
        liar.kill();
        ground.see("the liar's end", |s| s.processes.len() == 1);
    }
    let seen = ground.see("the honest one alone", |s| dram(s, &honest).1 == live);
    let chip = seen.chips.iter().find(|chip| chip.memory[Memory::Dram as usize].footprint_bytes != 0).unwrap();
    assert_eq!(chip.memory[Memory::Dram as usize].footprint_bytes, 77 + (live - 1) * 64);
    // It is not kept busy by what is gone.
    honest.close();
    ground.see("nobody", |s| s.processes.is_empty());
    let cpu = || ground.look().unwrap().health.cpu_ns;
    let before = cpu();
    std::thread::sleep(Duration::from_secs(2));
    assert!(cpu() - before < 1_000_000_000, "more than half of the time with nothing to do");
}
