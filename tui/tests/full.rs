//! Viewers on a host whose /dev/shm is full, and while what they read is cut short. Each test runs in a mount namespace of its own
//! with a small /dev/shm, as a tracked process beside an aggregator of its own.
#![allow(clippy::unwrap_used, reason = "a test may unwrap")]

#[allow(dead_code, reason = "the aggregator's tests use the rest")]
#[path = "../../aggregator/tests/support/small_shm.rs"]
mod small_shm;

use shm_layout::event::{Event, Kind, Memory};
use shm_layout::names::Prefix;
use small_shm::{Filler, in_small_shm_with};
use std::fs::OpenOptions;
use std::process::{Command, Output};
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};
use tui::source::{Connection, Source, SourceError, trusted_owners};

const PREFIX: &str = "full";
const PATIENCE: Duration = Duration::from_secs(30);

/// As a tracked process.
fn in_small_shm(test: &str) -> bool {
    in_small_shm_with(test, 64, &[("TT_ALLOC_TRACKING_ENABLED", "1"), ("TT_ALLOC_PREFIX", PREFIX)])
}

fn allocate(first: u64, count: u64, size: u64) {
    for id in first..first + count {
        producer::process::record(Event { id, size, address: id, ..Event::new(Kind::Alloc, Memory::Dram, 0) });
    }
}

fn tool(name: &str, arguments: &[&str]) -> Output {
    let path = match name {
        "tt-alloc" => env!("CARGO_BIN_EXE_tt-alloc"),
        _ => env!("CARGO_BIN_EXE_alloc-top"),
    };
    // Viewers are no tracked processes.
    Command::new(path).args(arguments).env_remove("TT_ALLOC_TRACKING_ENABLED").output().unwrap()
}

/// Bytes of DRAM that are live, as a viewer sees them.
fn dram(source: &mut Source) -> Option<u64> {
    let seen = source.poll().seen?;
    seen.snapshot.chips.first().map(|chip| chip.memory[Memory::Dram as usize].footprint_bytes)
}

fn see(source: &mut Source, bytes: u64) {
    let deadline = Instant::now() + PATIENCE;
    while dram(source) != Some(bytes) {
        assert!(Instant::now() < deadline, "never {bytes} bytes but {:?}", dram(source));
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn viewers_started_when_it_is_full_show_the_figures() {
    if !in_small_shm("viewers_started_when_it_is_full_show_the_figures") {
        return;
    }
    let prefix = Prefix::new(PREFIX).unwrap();
    let aggregator = aggregator::embedded::start(&prefix).unwrap();
    allocate(0, 3, 424_242);
    let mut source = Source::new(&prefix);
    see(&mut source, 3 * 424_242);
    let full = Filler::but(0);
    for (name, arguments) in
        [("tt-alloc", &["stats", "--json"][..]), ("tt-alloc", &["buffers", "--json"]), ("alloc-top", &["--json"])]
    {
        let Output { status, stdout, stderr } = tool(name, arguments);
        let (said, wrong) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
        assert!(status.success() && wrong.is_empty(), "{name} {arguments:?}: {status}: {wrong}");
        assert!(said.contains("424242") || said.contains("1272726"), "{name} {arguments:?}: {said}");
    }
    drop(aggregator);
    // An aggregator within a viewer is one: it goes on in the segment that was left, and without one says what it lacks.
    let output = tool("alloc-top", &["--embedded", "--json"]);
    let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    assert!(output.status.success() && said[0].contains("1272726"), "{said:?}");
    std::fs::remove_file(format!("/dev/shm/{}", prefix.stats())).unwrap();
    drop(full);
    let _full = Filler::but(0);
    let output = tool("alloc-top", &["--embedded", "--json"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "{said}");
    for word in ["the stats segment", "/dev/shm has no room", "--shm-size"] {
        assert!(said.contains(word), "{word}: {said}");
    }
}

#[test]
fn a_viewer_outlives_a_stats_segment_that_is_cut_short_under_it() {
    if !in_small_shm("a_viewer_outlives_a_stats_segment_that_is_cut_short_under_it") {
        return;
    }
    let prefix = Prefix::new(PREFIX).unwrap();
    let aggregator = aggregator::embedded::start(&prefix).unwrap();
    allocate(0, 10, 1000);
    let mut source = Source::new(&prefix);
    see(&mut source, 10_000);
    drop(aggregator);
    // What an aggregator left that nobody makes again: so that it can be cut and mended as often as it takes.
    let path = format!("/dev/shm/{}", prefix.stats());
    let aggregator = aggregator::embedded::start(&prefix).unwrap();
    see(&mut source, 10_000);
    let bytes = std::fs::read(&path).unwrap();
    drop(aggregator);
    std::fs::write(&path, &bytes).unwrap();
    see(&mut source, 10_000);
    let (stop, mut lost) = (AtomicBool::new(false), 0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let file = OpenOptions::new().write(true).open(&path).unwrap();
            // Relaxed: it is only to end some time.
            while !stop.load(Relaxed) {
                file.set_len(4096).unwrap();
                std::os::unix::fs::FileExt::write_all_at(&file, &bytes[4096..], 4096).unwrap();
            }
        });
        let deadline = Instant::now() + PATIENCE;
        while lost < 5 {
            assert!(Instant::now() < deadline, "it was never cut under a copy: {lost}");
            let connection = source.poll().connection;
            lost += u32::from(matches!(connection, Connection::Unavailable(SourceError::Lost { .. })));
            if let Connection::Unavailable(error @ SourceError::Lost { .. }) = connection {
                assert!(error.to_string().starts_with("disconnected") && error.is_absence(), "{error}");
            }
        }
        stop.store(true, Relaxed);
    });
    see(&mut source, 10_000);
}

#[test]
fn a_viewer_outlives_ledgers_that_are_cut_short_under_it() {
    if !in_small_shm("a_viewer_outlives_ledgers_that_are_cut_short_under_it") {
        return;
    }
    let prefix = Prefix::new(PREFIX).unwrap();
    let _aggregator = aggregator::embedded::start(&prefix).unwrap();
    allocate(0, 5000, 10);
    let mut source = Source::new(&prefix);
    see(&mut source, 50_000);
    let path = format!("/dev/shm/{}", producer::process::ring_name().unwrap().replace(".ring.", ".ledger."));
    let (stop, mut cut) = (AtomicBool::new(false), 0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let file = OpenOptions::new().write(true).open(&path).unwrap();
            let bytes = std::fs::read(&path).unwrap();
            while !stop.load(Relaxed) {
                file.set_len(69_632).unwrap();
                std::os::unix::fs::FileExt::write_all_at(&file, &bytes[69_632..], 69_632).unwrap();
            }
        });
        let deadline = Instant::now() + PATIENCE;
        while cut < 5 {
            assert!(Instant::now() < deadline, "it was never cut under a copy: {cut}");
            let (ledgers, _refused) = tui::ledger::ledgers(&prefix, &trusted_owners());
            for ledger in &ledgers {
                assert!(ledger.allocations().len() <= 5000);
                cut += u32::from(ledger.was_cut_short());
            }
        }
        stop.store(true, Relaxed);
    });
    see(&mut source, 50_000);
}
