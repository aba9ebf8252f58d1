//! Death, end and replacement of the aggregator: its successor continues what it published, and counts nothing twice.
#![allow(clippy::unwrap_used, reason = "a test may unwrap")]

mod support;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use shm_layout::event::{Kind, Memory};
use shm_layout::ledger::{self, LedgerHeader};
use shm_layout::segment::{self, Access, Expect, Opened};
use shm_layout::stats::{self, Anomalies, Figures, Snapshot, StatsView, UNKNOWN};
use std::io::{Read, Write};
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};
use support::daemon::Daemon;
use support::published::{history, publisher, stats_segment, view};
use support::{Ground, PATIENCE, Player, figures, lines, play_if_asked, wait};

const DRAM: usize = Memory::Dram as usize;
const L1: usize = Memory::L1 as usize;

#[test]
fn player() {
    play_if_asked();
}

/// Counters that only grow, peaks included.
fn growing(snapshot: &Snapshot) -> Vec<u64> {
    let health = &snapshot.health;
    let anomalies: [u64; 8] = bytemuck::must_cast(health.anomalies);
    let mut all = vec![health.events_total, health.deaths_total, health.dropped_events_total, health.torn_events_total];
    all.push(health.rejected_rings_total);
    all.extend(anomalies);
    for figures in snapshot.chips.iter().flat_map(|chip| &chip.memory) {
        all.extend([figures.peak_footprint_bytes, figures.allocated_bytes_total, figures.freed_bytes_total]);
    }
    all
}

fn must_not_shrink(before: &Snapshot, after: &Snapshot) {
    let (before_all, after_all) = (growing(before), growing(after));
    let shrunk = before_all.iter().zip(&after_all).position(|(before, after)| before > after);
    assert!(shrunk.is_none(), "number {shrunk:?} ran backwards:\n{before:#?}\n{after:#?}");
}

/// Two processes on a chip with a common peak, one that was killed, an anomaly, an event line.
fn a_past(ground: &Ground) -> Player {
    let mut stays = Player::start(ground);
    let mut dies = Player::start(ground);
    stays.alloc(0, Memory::Dram, 1, 1000, 0);
    dies.alloc(0, Memory::Dram, 1, 5000, 0);
    dies.alloc(0, Memory::L1, 7, 300, 0);
    dies.free(0, Memory::L1, 7, 0, 0);
    dies.free(0, Memory::L1, 99, 0, 0);
    ground.see("both", |s| s.health.events_total == 5 && s.health.lag_events == 0);
    dies.kill();
    ground.see("one", |s| s.processes.len() == 1 && s.health.deaths_total == 1);
    stays
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
    stays.close();
    ground.see("nobody", |s| s.processes.is_empty());
    last.end();
    ground.must_be_clean();
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
    stays.close();
    ground.see("nobody", |s| s.processes.is_empty());
    last.end();
    ground.must_be_clean();
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
    stays.close();
    ground.see("nobody", |s| s.processes.is_empty());
    next.end();
    ground.must_be_clean();
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

/// Changes the segment that a killed aggregator left, and starts the next one. What that one says.
fn after_damage(
    damage: impl FnOnce(&StatsView<'_, AtomicU64>, &Opened),
    look: impl FnOnce(&Ground, &Snapshot),
) -> String {
    let ground = Ground::new();
    let mut first = Daemon::start(&ground);
    let stays = a_past(&ground);
    let before = ground.look().unwrap();
    first.kill();
    let segment = stats_segment(&ground, Access::ReadWrite).unwrap();
    damage(&view(&segment).unwrap(), &segment);
    let next = Daemon::start(&ground);
    look(&ground, &before);
    let seen = ground.see("the process", |s| s.processes.len() == 1);
    assert_eq!(figures(&seen, stays.pid(), 0, Memory::Dram).footprint_bytes, 1000, "what it holds is right anyway");
    assert_eq!(seen.chips[0].memory[DRAM].footprint_bytes, 1000);
    stays.close();
    ground.see("nobody", |s| s.processes.is_empty());
    let said = next.end();
    ground.must_be_clean();
    said
}

/// The sequence word of a buffer.
fn sequence(segment: &Opened, buffer: u64) -> &AtomicU64 {
    let bytes = view(segment).unwrap().identity().buffer_words as usize * 8;
    segment.mapping.one(segment.mapping.len() - (2 - buffer as usize) * bytes).unwrap()
}

/// Nothing of the past, and the one line that says so.
fn begins_anew(damage: impl FnOnce(&StatsView<'_, AtomicU64>, &Opened), why: &str) {
    let said = after_damage(damage, |ground, _| {
        let seen = ground.see("the process", |s| s.processes.len() == 1);
        assert_eq!((seen.health.deaths_total, seen.chips[0].memory[DRAM].peak_footprint_bytes), (0, 1000));
    });
    let about: Vec<&str> = said.lines().filter(|line| line.contains("begin anew")).collect();
    assert!(about.len() == 1 && about[0].contains(why), "{said}");
}

#[test]
fn a_snapshot_half_written_leaves_the_one_before() {
    let said = after_damage(
        |view, segment| {
            let active = view.header.active.load(Relaxed) & 1;
            // Both were published since the death, so the other half tells of it, too.
            sequence(segment, active).fetch_or(1, Relaxed);
        },
        |ground, _| {
            let seen = ground.see("the process", |s| s.processes.len() == 1);
            assert_eq!(seen.chips[0].memory[DRAM].peak_footprint_bytes, 6000);
        },
    );
    assert!(!said.contains("begin anew"), "{said}");
}

#[test]
fn what_cannot_be_believed_is_replaced_with_a_line() {
    begins_anew(
        |_, segment| {
            for buffer in 0..2 {
                sequence(segment, buffer).fetch_or(1, Relaxed);
            }
        },
        "no whole snapshot",
    );
    begins_anew(
        |view, segment| {
            let active = view.header.active.load(Relaxed) & 1;
            // The first chip has more DRAM than there is in the world.
            first_figures(view, segment, active)[CAPACITY].store(1 << 63, Relaxed);
        },
        "contradict",
    );
    begins_anew(|view, _| view.header.gone.iter().for_each(|gone| gone[0].store(77, Relaxed)), "no whole snapshot");
}

/// The words of the first chip's DRAM figures in a buffer.
fn first_figures<'a>(view: &StatsView<'_, AtomicU64>, segment: &'a Opened, buffer: u64) -> &'a [AtomicU64] {
    let header = segment.mapping.len() - (2 - buffer as usize) * view.identity().buffer_words as usize * 8;
    segment.mapping.array(header + (2 + 5) * 8 + size_of::<stats::Health>() + 64, size_of::<Figures>() / 8).unwrap()
}

const PEAK: usize = 3;
const CAPACITY: usize = 4;

#[test]
fn a_sum_that_is_none_is_cut_and_the_rest_of_the_past_goes_on() {
    after_damage(
        |view, segment| {
            let active = view.header.active.load(Relaxed) & 1;
            assert_eq!(first_figures(view, segment, active)[PEAK].swap(u64::MAX, Relaxed), 6000);
        },
        |ground, before| {
            let seen = ground.see("the process", |s| s.processes.len() == 1);
            assert_eq!(seen.chips[0].memory[DRAM].peak_footprint_bytes, 1 << 62);
            assert_eq!(seen.health.deaths_total, before.health.deaths_total);
        },
    );
}

#[test]
fn a_stats_segment_of_another_version_is_replaced_with_a_line() {
    let version = |segment: &Opened| {
        let word = segment.mapping.one::<AtomicU64>(8).unwrap();
        word.fetch_add(1, Relaxed);
    };
    let (found, ours) = (stats::VERSION + 1, stats::VERSION);
    begins_anew(|_, segment| version(segment), &format!("version {found}, this build reads version {ours}"));
    // As a newer build would write it: the magic's last byte is the version's digit.
    begins_anew(
        |_, segment| {
            let magic = segment.mapping.one::<AtomicU64>(0).unwrap();
            magic.store(u64::from_le_bytes(*b"TTALSTA9"), Relaxed);
        },
        &format!("version 9, this build reads version {ours}"),
    );
}

#[test]
fn a_ledger_of_another_version_is_told_and_the_rest_goes_on() {
    let ground = Ground::new();
    let mut first = Daemon::start(&ground);
    let (mut strange, mut known) = (Player::start(&ground), Player::start(&ground));
    strange.tell("burst 0 100 64");
    known.tell("burst 0 10 32");
    let before = ground.see("both", |s| s.health.live_allocations == 110);
    first.kill();
    let name = strange.tell("ring").replace(".ring.", ".ledger.");
    let expect = Expect { owners: &[], least: size_of::<LedgerHeader<AtomicU64>>() as u64, most: u64::MAX };
    let ledger = segment::open(&name, Access::ReadWrite, expect).unwrap();
    ledger.mapping.one::<AtomicU64>(8).unwrap().fetch_add(1, Relaxed);
    let next = Daemon::start(&ground);
    let seen = ground.see("both again", |s| s.processes.len() == 2 && s.health.lag_events == 0);
    must_not_shrink(&before, &seen);
    let told = lines(&seen);
    let about = |line: &&String| {
        line.contains(&strange.pid().to_string())
            && line.contains(&format!("ledger layout version {}", ledger::VERSION + 1))
    };
    let line = told.iter().find(about).unwrap_or_else(|| panic!("{told:?}"));
    assert!(line.contains(&format!("this build reads version {}", ledger::VERSION)), "names both: {line}");
    assert_eq!(figures(&seen, known.pid(), 0, Memory::Dram).footprint_bytes, 320, "the other is continued");
    // What comes now is counted, and what was is told to be missing.
    strange.tell("burst 1000 5 64");
    let seen = ground.see("the new ones", |s| figures(s, strange.pid(), 0, Memory::Dram).blocks == 5);
    let dram = figures(&seen, strange.pid(), 0, Memory::Dram);
    assert_eq!((dram.footprint_bytes, dram.detail_incomplete), (320, 1));
    assert_eq!(seen.chips[0].memory[DRAM].allocated_bytes_total, (100 + 5) * 64 + 320);
    strange.close();
    known.close();
    ground.see("nobody", |s| s.processes.is_empty());
    next.end();
    ground.must_be_clean();
}

#[test]
fn a_ring_of_another_version_is_refused_and_both_are_named_once() {
    let ground = Ground::new();
    let mut player = Player::start(&ground);
    player.alloc(0, Memory::Dram, 1, 5, 0);
    let expect = Expect { owners: &[], least: 4096, most: u64::MAX };
    let ring = segment::open(&player.tell("ring"), Access::ReadWrite, expect).unwrap();
    ring.mapping.one::<AtomicU64>(8).unwrap().fetch_add(1, Relaxed);
    let (found, ours) = (shm_layout::ring::VERSION + 1, shm_layout::ring::VERSION);
    let says = format!("layout version {found}, this build reads version {ours}");
    // Also by a second aggregator: told once, counted once.
    for _ in 0..2 {
        let mut daemon = Daemon::start(&ground);
        let seen = ground.see("the refusal", |s| s.health.rejected_rings_total > 0);
        assert_eq!(seen.health.rejected_rings_total, 1);
        let told = lines(&seen);
        assert_eq!(told.iter().filter(|line| line.contains(&says)).count(), 1, "{told:?}");
        assert!(seen.processes.is_empty());
        daemon.kill();
    }
    // It lives on, and counts.
    player.alloc(0, Memory::Dram, 2, 5, 0);
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
    stays.close();
    ground.see("nobody", |s| s.processes.is_empty());
    next.end();
    ground.must_be_clean();
}

/// A sequence of numbers that look random, the same for the same seed.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % below
    }
}

/// What the producers of one chip are known to have done.
#[derive(Default)]
struct Truth {
    allocated: u64,
    freed: u64,
    events: u64,
    deaths: u64,
}

#[test]
fn killed_again_and_again_under_load_it_never_loses_count() {
    let seed = std::env::var("TT_ALLOC_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(20_261_121);
    let rounds = std::env::var("TT_ALLOC_ROUNDS").ok().and_then(|n| n.parse().ok()).unwrap_or(25);
    eprintln!("TT_ALLOC_SEED={seed} TT_ALLOC_ROUNDS={rounds}");
    let mut dice = Dice(seed);
    let ground = Ground::new();
    let mut truth = Truth::default();
    // By player: first id and number of blocks of 64 bytes that it holds.
    let mut players: Vec<(Player, Vec<(u64, u64)>)> = (0..3).map(|_| (Player::start(&ground), Vec::new())).collect();
    let mut next_id = 1;
    let mut shown: Option<Snapshot> = None;
    let mut samples: Vec<u64> = Vec::new();
    // Whoever has not written anything has no ring, and is not seen to die.
    for (player, held) in &mut players {
        player.alloc(0, Memory::Dram, next_id, 64, 0);
        held.push((next_id, 1));
        (next_id, truth.events, truth.allocated) = (next_id + 1, truth.events + 1, truth.allocated + 64);
    }
    for _ in 0..rounds {
        let mut daemon = Daemon::start(&ground);
        let until = Instant::now() + Duration::from_millis(20 + dice.roll(180));
        while Instant::now() < until {
            let (player, held) = &mut players[dice.roll(3) as usize];
            match dice.roll(20) {
                0..9 => {
                    let count = 1 + dice.roll(800);
                    player.tell(&format!("burst {next_id} {count} 64"));
                    held.push((next_id, count));
                    (next_id, truth.events) = (next_id + count, truth.events + count);
                    truth.allocated += count * 64;
                }
                9..17 if !held.is_empty() => {
                    let (first, count) = held.swap_remove(dice.roll(held.len() as u64) as usize);
                    player.tell(&format!("unburst {first} {count} 64"));
                    truth.events += count;
                    truth.freed += count * 64;
                }
                17 => {
                    // FreeAll of what it holds in DRAM, or the close of the device.
                    let kind = [3, 6][dice.roll(2) as usize];
                    player.tell(&format!("event {kind} 0 0 0 0 0 0 0 0"));
                    truth.events += 1;
                    truth.freed += held.drain(..).map(|(_, count)| count * 64).sum::<u64>();
                }
                18 => {
                    // A child of fork, which dies with what it holds.
                    let child: i32 = player.tell("fork 50").parse().unwrap();
                    wait("the child's ring", || {
                        let mine = format!(".{child}.");
                        ground.files().iter().any(|name| name.contains(".ring.") && name.contains(&mine)).then_some(())
                    })
                    .unwrap();
                    wait("its event", || (claimed(&ground, child) == 1).then_some(())).unwrap();
                    kill(Pid::from_raw(child), Signal::SIGKILL).unwrap();
                    (truth.events, truth.deaths) = (truth.events + 1, truth.deaths + 1);
                    (truth.allocated, truth.freed) = (truth.allocated + 50, truth.freed + 50);
                }
                19 => {
                    player.kill();
                    truth.freed += held.drain(..).map(|(_, count)| count * 64).sum::<u64>();
                    *player = Player::start(&ground);
                    let id = next_id;
                    player.alloc(0, Memory::Dram, id, 64, 0);
                    held.push((id, 1));
                    (next_id, truth.events, truth.allocated) = (next_id + 1, truth.events + 1, truth.allocated + 64);
                    truth.deaths += 1;
                }
                _ => {}
            }
        }
        if dice.roll(4) == 0 {
            daemon.signal(Signal::SIGTERM);
            let (code, said) = daemon.ended();
            assert_eq!(code, Some(0), "{said}");
        } else {
            daemon.kill();
        }
        let left = ground.look().expect("there is always a whole snapshot");
        if let Some(before) = &shown {
            must_not_shrink(before, &left);
        }
        let kept = history(&ground, DRAM);
        assert!(kept.len() >= samples.len().min(300), "samples got lost: {samples:?} {kept:?}");
        samples = kept;
        shown = Some(left);
    }
    let last = Daemon::start(&ground);
    let live: u64 = players.iter().flat_map(|(_, held)| held).map(|(_, count)| count).sum();
    let seen = ground.see("the truth", |s| {
        s.health.live_allocations == live && s.health.lag_events == 0 && s.health.events_total == truth.events
    });
    must_not_shrink(&shown.unwrap(), &seen);
    let dram = seen.chips[0].memory[DRAM];
    assert_eq!((dram.footprint_bytes, dram.blocks), (live * 64, live));
    assert_eq!((dram.allocated_bytes_total, dram.freed_bytes_total), (truth.allocated, truth.freed));
    assert_eq!((seen.health.deaths_total, seen.health.anomalies), (truth.deaths, Anomalies::default()));
    assert_eq!((seen.health.dropped_events_total, dram.detail_incomplete), (0, 0));
    for (player, held) in players {
        let mine: u64 = held.iter().map(|(_, count)| count * 64).sum();
        assert_eq!(figures(&seen, player.pid(), 0, Memory::Dram).footprint_bytes, mine);
        player.close();
    }
    ground.see("nobody", |s| s.processes.is_empty());
    last.end();
    ground.must_be_clean();
}

/// Records that the ring of this process has; 0 while it is being made.
fn claimed(ground: &Ground, pid: i32) -> u64 {
    let name = ground.files().into_iter().find(|name| name.contains(".ring.") && name.contains(&format!(".{pid}.")));
    let Some(name) = name else { return 1 };
    let expect = Expect { owners: &[], least: 4096, most: u64::MAX };
    let Ok(ring) = segment::open(&name, Access::Read, expect) else { return 0 };
    ring.mapping
        .one::<shm_layout::ring::RingHeader<AtomicU64>>(0)
        .map_or(0, |header| header.sections[0].claim.load(Relaxed))
}

#[test]
fn sigterm_while_busy_and_twice() {
    let ground = Ground::new();
    let mut player = Player::start(&ground);
    let mut id = 0;
    for _ in 0..5 {
        let mut daemon = Daemon::start(&ground);
        player.tell(&format!("burst {id} 5000 64"));
        id += 5000;
        daemon.signal(Signal::SIGTERM);
        daemon.signal(Signal::SIGTERM);
        player.tell(&format!("unburst {} 4000 64", id - 5000));
        let (code, said) = daemon.ended();
        assert_eq!(code, Some(0), "{said}");
    }
    let _last = Daemon::start(&ground);
    let seen = ground.see("the truth", |s| s.health.live_allocations == 5000 && s.health.lag_events == 0);
    let dram = seen.chips[0].memory[DRAM];
    assert_eq!((dram.allocated_bytes_total, dram.freed_bytes_total), (25_000 * 64, 20_000 * 64));
}

#[test]
fn stopped_for_ten_seconds_and_woken_it_is_right_again() {
    let ground = Ground::new();
    let daemon = Daemon::start(&ground);
    let mut player = Player::start(&ground);
    player.tell("burst 0 100 64");
    ground.see("the first", |s| s.health.live_allocations == 100);
    daemon.stop();
    let mut other = Player::start(&ground);
    other.tell("burst 0 100 64");
    player.tell("unburst 0 50 64");
    std::thread::sleep(Duration::from_secs(10));
    assert_eq!(ground.look().unwrap().health.live_allocations, 100, "it was stopped");
    player.kill();
    daemon.go_on();
    let seen = ground
        .see("the truth", |s| s.health.deaths_total == 1 && s.processes.len() == 1 && s.health.live_allocations == 100);
    assert_eq!(seen.processes[0].pid, other.pid());
    let dram = seen.chips[0].memory[DRAM];
    assert_eq!((dram.allocated_bytes_total, dram.freed_bytes_total), (200 * 64, 100 * 64));
    other.close();
    ground.see("nobody", |s| s.processes.is_empty());
    daemon.end();
    ground.must_be_clean();
}

#[test]
fn of_several_started_at_once_one_stays_and_the_others_name_it() {
    let ground = Ground::new();
    for _ in 0..5 {
        let mut all: Vec<Daemon> = (0..4).map(|_| Daemon::spawn(&ground)).collect();
        wait("one that publishes", || publisher(&ground)).unwrap();
        let running = wait("the others' end", || {
            let alive: Vec<u32> = all.iter_mut().filter_map(|d| d.lives().then(|| d.pid())).collect();
            (alive.len() <= 1).then_some(alive)
        })
        .unwrap();
        let [winner] = running[..] else { panic!("none is left") };
        for mut daemon in all {
            if daemon.pid() == winner {
                daemon.end();
            } else {
                let (code, said) = daemon.ended();
                assert_eq!(code, Some(1));
                assert!(said.contains(&format!("an aggregator runs already: process {winner} ")), "{said}");
            }
        }
    }
    ground.must_be_clean();
}

#[test]
fn started_while_the_old_one_is_being_killed() {
    let ground = Ground::new();
    let mut player = Player::start(&ground);
    let mut old = Daemon::start(&ground);
    for round in 0..20 {
        player.tell(&format!("burst {} 100 64", round * 100));
        let pid = old.pid();
        old.signal(Signal::SIGKILL);
        // Not waited for: it may still be about to die.
        let deadline = Instant::now() + PATIENCE;
        let new = loop {
            let mut new = Daemon::spawn(&ground);
            let taken = wait("its word", || {
                let lives = new.lives();
                (!lives || publisher(&ground) == Some(new.pid())).then_some(lives)
            });
            if taken.unwrap() {
                break new;
            }
            let (code, said) = new.ended();
            assert_eq!(code, Some(1), "{said}");
            assert!(said.contains(&format!("process {pid} ")), "{said}");
            assert!(Instant::now() < deadline);
        };
        assert_eq!(old.ended().0, None, "killed");
        old = new;
    }
    let seen = ground.see("the truth", |s| s.health.live_allocations == 2000 && s.health.lag_events == 0);
    assert_eq!(seen.chips[0].memory[DRAM].allocated_bytes_total, 2000 * 64);
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
