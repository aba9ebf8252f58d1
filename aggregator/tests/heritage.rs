//! What an aggregator that is dead or of another version has left, half written, damaged or not to be read by this build: what can
//! be believed is continued, and a line says what begins anew.
#![allow(clippy::unwrap_used, reason = "a test may unwrap")]

mod support;

use shm_layout::event::Memory;
use shm_layout::ledger::{self, LedgerHeader};
use shm_layout::segment::{self, Access, Expect, Opened};
use shm_layout::stats::{self, Figures, Snapshot, StatsView};
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use support::daemon::Daemon;
use support::past::{a_past, must_not_shrink};
use support::published::{stats_segment, view};
use support::{Ground, Player, figures, lines, play_if_asked};

const DRAM: usize = Memory::Dram as usize;

#[test]
fn player() {
    play_if_asked();
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
    next.end_after(&ground, [stays])
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
    segment.mapping.array(header + (2 + 6) * 8 + size_of::<stats::Health>() + 64, size_of::<Figures>() / 8).unwrap()
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
    next.end_after(&ground, [strange, known]);
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
