//! How many instructions the hot paths take, under valgrind: the gate in CI that noise cannot move.
//!
//!     .ci/run instructions
//!
//! Each figure is one whole call of the function below it (1,000 events, one publication), its setup not counted. A limit is some
//! seven percent above what was counted when it was set (compilers differ a little); whoever makes a path longer on purpose looks at the new figure that the
//! command above prints and sets the limit anew.
#![allow(missing_docs, reason = "gungraun's macros")]

use benches::peers::{Drain, Push, event, ours};
use gungraun::{Callgrind, EventKind, LibraryBenchmarkConfig, library_benchmark, library_benchmark_group, main};
use producer::environment::{Clock, ENABLED_VARIABLE};
use producer::{Ring, process};
use shm_layout::names::PREFIX_VARIABLE;
use shm_layout::seqlock::Snapshots;
use shm_layout::stats::{Figures, Process, Row, Snapshot};
use std::hint::black_box;
use std::sync::atomic::AtomicU64;

// Limits, and what was counted when they were set (rustc 1.95, x86-64).
const PUSH: u64 = 77_000; // 72_137
const PUSH_INTO_A_FULL_RING: u64 = 156_000; // 147_100
const READ_AND_RETURN: u64 = 37_500; // 34_955
const WHOLE_PATH: u64 = 98_500; // 94_182; 87_179 before an event carried its thread's tag
const DISABLED: u64 = 12_300; // 11_486
const PUBLISH: u64 = 121_000; // 112_979; 103_195 before a process row told its torn records, anomalies and reasons

const EVENTS: u64 = 1_000;
/// Slots of a ring that takes them all.
const SLOTS: usize = 2048;
/// Processes of the published snapshot, and rows of each.
const PROCESSES: u32 = 100;
const ROWS: u32 = 4;

/// A benchmark's settings: its limit, and whether its process is tracked.
fn limited(instructions: u64, tracked: bool) -> LibraryBenchmarkConfig {
    let mut config = LibraryBenchmarkConfig::default();
    config.tool(Callgrind::with_args(["--cache-sim=no"]).hard_limits([(EventKind::Ir, instructions)]));
    if tracked {
        config.env(ENABLED_VARIABLE, "1").env(PREFIX_VARIABLE, "tt_bench_instructions");
    }
    config
}

/// A ring and its reader, which keeps the clock; leaked, so that no end is counted.
fn ring() -> (&'static Ring, ours::Reader) {
    let ring: &'static Ring = Box::leak(Box::new(ours::make(SLOTS, Clock::Shared).expect("room for a ring")));
    let reader = ours::Reader::open(ring.name(), true).expect("its other end");
    (ring, reader)
}

fn filled() -> (&'static Ring, ours::Reader) {
    let (ring, reader) = ring();
    (0..EVENTS).for_each(|n| ring.record(event(n)));
    (ring, reader)
}

fn full() -> (&'static Ring, ours::Reader) {
    let (ring, reader) = ring();
    // Long enough that it is known that nothing can be compacted, and that another try is far.
    (0..16 * SLOTS as u64).for_each(|n| ring.record(event(n)));
    (ring, reader)
}

fn close((ring, reader): (&'static Ring, ours::Reader)) {
    assert_eq!(reader.dropped(), 0, "everything fits");
    ring.close();
}

fn close_full((ring, reader): (&'static Ring, ours::Reader)) {
    assert_eq!(reader.dropped(), EVENTS + 15 * SLOTS as u64, "nothing fits");
    ring.close();
}

#[library_benchmark(config = limited(PUSH, false))]
#[bench::thousand(setup = ring, teardown = close)]
fn push(ends: (&'static Ring, ours::Reader)) -> (&'static Ring, ours::Reader) {
    let mut writer = ends.0.writer();
    for n in 0..EVENTS {
        writer.push(black_box(n));
    }
    ends
}

#[library_benchmark(config = limited(PUSH_INTO_A_FULL_RING, false))]
#[bench::thousand(setup = full, teardown = close_full)]
fn push_into_a_full_ring(ends: (&'static Ring, ours::Reader)) -> (&'static Ring, ours::Reader) {
    let mut writer = ends.0.writer();
    for n in 0..EVENTS {
        writer.push(black_box(n));
    }
    ends
}

#[library_benchmark(config = limited(READ_AND_RETURN, false))]
#[bench::thousand(setup = filled, teardown = close)]
fn read_and_return(mut ends: (&'static Ring, ours::Reader)) -> (&'static Ring, ours::Reader) {
    assert_eq!(ends.1.drain(|n| _ = black_box(n)), EVENTS);
    ends
}

/// The ring of this process, and its reader.
fn first() -> ours::Reader {
    process::record(event(0));
    ours::Reader::open(process::ring_name().expect("a ring"), true).expect("its other end")
}

fn last(_reader: ours::Reader) {
    process::close();
}

#[library_benchmark(config = limited(WHOLE_PATH, true))]
#[bench::thousand(setup = first, teardown = last)]
fn whole_path(reader: ours::Reader) -> ours::Reader {
    for n in 0..EVENTS {
        process::record(event(black_box(n)));
    }
    reader
}

#[library_benchmark(config = limited(DISABLED, false))]
fn disabled() {
    for n in 0..EVENTS {
        process::record(event(black_box(n)));
    }
}

fn snapshot() -> (Snapshot, Vec<u64>, Vec<AtomicU64>) {
    let row = |at: u32| Row { process: at / ROWS, chip: 0, device: at % ROWS, memory: 0, figures: Figures::default() };
    let snapshot = Snapshot {
        processes: vec![bytemuck::Zeroable::zeroed(); PROCESSES as usize],
        rows: (0..PROCESSES * ROWS).map(row).collect(),
        ..Snapshot::default()
    };
    let words = size_of::<Process>() / 8 * PROCESSES as usize + size_of::<Row>() / 8 * (PROCESSES * ROWS) as usize + 64;
    (snapshot, Vec::with_capacity(words), (0..2 * (words + 2)).map(|_| AtomicU64::new(0)).collect())
}

#[library_benchmark(config = limited(PUBLISH, false))]
#[bench::hundred(setup = snapshot)]
fn publish((snapshot, mut words, shared): (Snapshot, Vec<u64>, Vec<AtomicU64>)) -> Vec<AtomicU64> {
    let active = AtomicU64::new(0);
    snapshot.encode(&mut words);
    let (first, second) = shared.split_at(shared.len() / 2);
    Snapshots::new(&active, [first, second]).expect("two buffers").publish(&words);
    shared
}

library_benchmark_group!(
    name = hot_paths;
    benchmarks = push, push_into_a_full_ring, whole_path, disabled, read_and_return, publish
);
main!(library_benchmark_groups = hot_paths);
