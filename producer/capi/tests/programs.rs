//! The examples, built by the system's compilers and run against an aggregator: what they hold is shown to the byte at every quiet point.
#![allow(clippy::unwrap_used, reason = "a test may unwrap")]

mod support;

use shm_layout::event::Memory;
use shm_layout::stats::Snapshot;
use support::host::{Ground, figures};
use support::{Installed, Link, Program, exactly, gone, to_the_byte};

fn blocks(link: Link) {
    let Some(program) = Installed::get().build("examples/blocks.c", link) else { return };
    let ground = Ground::new();
    let aggregator = ground.aggregator();
    let mut program = Program::start(&program, &[], &ground, &[]);
    let pid = program.pid();
    for point in 1..=6 {
        let (live, others) = program.quiet();
        exactly(&ground, pid, &live);
        let snapshot = ground.look().unwrap();
        match point {
            1 => {
                assert!(others[0].ends_with("tracking on"), "{others:?}");
                let dram = figures(&snapshot, pid, 3, Memory::Dram);
                assert_eq!((dram.live_bytes, dram.capacity_bytes), ((5 << 30) + 1, 32 << 30));
                let chip = snapshot.chips.iter().find(|chip| chip.chip_id == 0x1234_5678_90ab_cdef).unwrap();
                assert_eq!(chip.tensix_cores, 140);
            }
            2 => assert_eq!(figures(&snapshot, pid, 3, Memory::Cb).resident_bytes, 3 * 4096),
            4 => assert_eq!(others, ["doubts 1 1"]),
            _ => {}
        }
        program.say("");
    }
    program.end();
    gone(&ground, pid);
    drop(aggregator);
    ground.must_be_clean();
}

#[test]
fn blocks_shared() {
    blocks(Link::Shared);
}

#[test]
fn blocks_static() {
    blocks(Link::Static);
}

/// Sixteen threads with addresses as ids; the last round is ended by kill -9.
fn threads(mode: &str) {
    let Some(program) = Installed::get().build("examples/threads.cpp", Link::Shared) else { return };
    let ground = Ground::new();
    let aggregator = ground.aggregator();
    let mut program = Program::start(&program, &[mode], &ground, &[]);
    let pid = program.pid();
    let told = |snapshot: &Snapshot| {
        snapshot.processes.iter().find(|process| process.pid == pid).map_or(0, |process| process.events_total)
    };
    let mut before = 0;
    for _ in 0..4 {
        let (live, others) = program.quiet();
        assert!(live.len() > 8, "{live:?}");
        exactly(&ground, pid, &live);
        // Without types, an address that was used again before its free was told was often of another type: the oldest is right.
        assert!(others == ["doubts 0 0"] || mode == "untyped" && others[0].starts_with("doubts 0 "), "{others:?}");
        before = told(&ground.look().unwrap());
        program.say("");
    }
    ground.see("events of the endless round", |snapshot| told(snapshot) > before + 10_000);
    program.kill();
    gone(&ground, pid);
    ground.must_be_clean_but_for_stats();
    drop(aggregator);
    ground.must_be_clean();
}

#[test]
fn threads_typed() {
    threads("typed");
}

#[test]
fn threads_untyped() {
    threads("untyped");
}

#[test]
fn forks() {
    let Some(program) = Installed::get().build("examples/forks.c", Link::Shared) else { return };
    let ground = Ground::new();
    let aggregator = ground.aggregator();
    let mut program = Program::start(&program, &[], &ground, &[]);
    let children = program.until("children");
    assert_eq!(children.len(), 24, "{children:#?}");
    for line in &children {
        let words: Vec<u64> = line
            .strip_prefix("child ")
            .unwrap_or_else(|| panic!("{line}"))
            .split(' ')
            .map(|word| word.parse().unwrap())
            .collect();
        exactly(&ground, words[0] as u32, &vec![(0, Memory::Dram, words[3], words[4])]);
    }
    program.say("");
    let (live, _) = program.quiet();
    let pid = program.pid();
    to_the_byte(&ground, pid, &live);
    program.say("");
    program.end();
    gone(&ground, pid);
    ground.must_be_clean_but_for_stats();
    drop(aggregator);
    ground.must_be_clean();
}
