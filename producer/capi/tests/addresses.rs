//! Two processes of sixteen threads each, whose ids are the same addresses on the same devices: each counts its own truth, and one is killed
//! in the midst of it.
#![allow(clippy::unwrap_used, reason = "a test may unwrap")]

mod support;

use shm_layout::event::Memory;
use shm_layout::stats::Snapshot;
use std::collections::BTreeMap;
use support::host::Ground;
use support::{Installed, Link, Live, Program, gone, to_the_byte};

/// Rounds that end in a quiet point; the next is endless.
const ROUNDS: usize = 4;
/// Events that somebody must have told within the endless round before it is killed: as many as it tells in half a round.
const IN_THE_MIDDLE: u64 = 20_000;

/// Bytes and blocks of what is not nothing, by device and memory kind.
type Totals = BTreeMap<(u32, u32), (u64, u64)>;

fn add(live: &[&Live]) -> Totals {
    let mut all = Totals::new();
    for &(device, memory, bytes, blocks) in live.iter().copied().flatten() {
        let sum = all.entry((device, memory as u32)).or_default();
        *sum = (sum.0 + bytes, sum.1 + blocks);
    }
    all.retain(|_, sum| *sum != (0, 0));
    all
}

fn of_chips(snapshot: &Snapshot) -> Totals {
    let of = |chip: &shm_layout::stats::Chip| {
        let device = chip.device;
        let figures = chip.memory.map(|figures| (figures.footprint_bytes, figures.blocks));
        (0_u32..).zip(figures).map(move |(memory, sum)| ((device, memory), sum))
    };
    snapshot.chips.iter().flat_map(of).filter(|(_, sum)| *sum != (0, 0)).collect()
}

fn told(ground: &Ground, pid: u32) -> u64 {
    let snapshot = ground.look();
    let process = snapshot.iter().flat_map(|snapshot| &snapshot.processes).find(|process| process.pid == pid);
    process.map_or(0, |process| process.events_total)
}

/// To the byte. On a busy machine thirty-two threads may find a ring full: then that is counted, and what is listed is called incomplete.
fn exactly(ground: &Ground, pid: u32, live: &Live) {
    let snapshot = to_the_byte(ground, pid, live);
    let process = snapshot.processes.iter().find(|process| process.pid == pid).unwrap();
    assert!(process.dropped_events_total > 0 || process.incomplete == 0, "{process:?}");
}

fn two_processes(mode: &str) {
    let Some(path) = Installed::get().build("examples/threads.cpp", Link::Shared) else { return };
    let ground = Ground::new();
    let aggregator = ground.aggregator();
    let mut stays = Program::start(&path, &[mode], &ground, &[]);
    let mut dies = Program::start(&path, &[mode], &ground, &[]);
    let (survivor, killed) = (stays.pid(), dies.pid());

    // Both storm, and both are looked at while neither does.
    let both = [stays.quiet().0, dies.quiet().0];
    exactly(&ground, survivor, &both[0]);
    exactly(&ground, killed, &both[1]);
    let sum = add(&[&both[0], &both[1]]);
    ground.see("chips that are the sum of both", |snapshot| of_chips(snapshot) == sum);

    for _ in 1..ROUNDS {
        dies.say("");
        exactly(&ground, killed, &dies.quiet().0);
    }
    let before = told(&ground, killed);
    dies.say("");
    stays.say("");
    ground.see("many events of its last round", |snapshot| {
        let process = snapshot.processes.iter().find(|process| process.pid == killed);
        process.is_some_and(|process| process.events_total > before + IN_THE_MIDDLE)
    });
    dies.kill();
    gone(&ground, killed);

    // What was live at those addresses in the other process is untouched.
    for round in 1..ROUNDS {
        let (live, _) = stays.quiet();
        assert!(live.len() > 8, "{live:?}");
        exactly(&ground, survivor, &live);
        let alone = add(&[&live]);
        ground.see(&format!("chips that are the survivor's, round {round}"), |snapshot| of_chips(snapshot) == alone);
        stays.say("");
    }
    stays.kill();
    gone(&ground, survivor);
    ground.see("nothing held", |snapshot| of_chips(snapshot).is_empty());
    ground.must_be_clean_but_for_stats();
    drop(aggregator);
    ground.must_be_clean();
}

#[test]
fn two_processes_of_sixteen_threads_and_a_kill() {
    two_processes("typed");
}

/// Frees as the original tells them: nothing but an address.
#[test]
fn two_processes_of_sixteen_threads_and_a_kill_with_frees_that_name_no_type() {
    two_processes("untyped");
}

#[test]
fn sums_are_of_all_and_without_nothing() {
    let one: Live = vec![(0, Memory::Dram, 5, 1), (1, Memory::L1, 0, 0)];
    let other: Live = vec![(0, Memory::Dram, 7, 2)];
    assert_eq!(add(&[&one, &other]), Totals::from([((0, 0), (12, 3))]));
}
