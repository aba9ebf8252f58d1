//! Every field and every bit of the three headers changed: a typed error, or the geometry that the file has. What no check finds is
//! listed in `golden/undetected.txt`: all of it says who the process is, and nothing is ever addressed by it.
#![allow(clippy::unwrap_used, reason = "a test may unwrap")]
#![cfg(not(loom))]

use bytemuck::{Pod, Zeroable};
use shm_layout::event::EVENT_BYTES;
use shm_layout::segment::{Created, create};
use shm_layout::seqlock::{BUFFER_HEADER_WORDS, Snapshots};
use shm_layout::{ledger, ring, stats};
use std::fmt::Write;
use std::path::Path;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

const SLOTS: u64 = 1 << 10;

fn ring_identity() -> ring::Identity {
    ring::Identity {
        magic: ring::MAGIC,
        version: ring::VERSION,
        endian: ring::ENDIAN_MARK,
        header_bytes: ring::HEADER_BYTES as u32,
        record_bytes: EVENT_BYTES as u32,
        slots: SLOTS,
        records_offset: ring::RECORDS_OFFSET as u64,
        total_bytes: ring::ring_bytes(SLOTS),
        clock: ring::CLOCK_MONOTONIC_NS,
        ..Zeroable::zeroed()
    }
}

/// As the one that writes it announces it, read back.
fn ledger_identity() -> ledger::Identity {
    ledger::Identity {
        magic: ledger::MAGIC,
        version: ledger::VERSION,
        endian: ring::ENDIAN_MARK,
        entry_bytes: EVENT_BYTES as u32,
        ..Zeroable::zeroed()
    }
}

/// A segment of this test's own, removed at the end.
struct Segment(Created);

impl Segment {
    fn new(of: &str) -> Self {
        Self(create(&format!("test_mutations_{}_{of}", std::process::id()), stats::stats_bytes()).unwrap())
    }

    fn view(&self) -> stats::StatsView<'_, AtomicU64> {
        let at = size_of::<stats::StatsHeader<AtomicU64>>();
        let words = self.0.mapping.array(at, (stats::stats_bytes() - at) / 8).unwrap();
        stats::StatsView::new(self.0.mapping.one(0).unwrap(), words).unwrap()
    }
}

impl Drop for Segment {
    fn drop(&mut self) {
        self.0.remove();
    }
}

fn stats_identity(of: &str) -> stats::Identity {
    let segment = Segment::new(of);
    segment.view().announce(Zeroable::zeroed());
    segment.view().identity()
}

/// What a header is told to be, and how it is checked.
struct Header<T> {
    name: &'static str,
    good: T,
    /// (name, offset, bytes), all of it.
    fields: &'static [(&'static str, usize, usize)],
    /// The error's text.
    check: fn(&T) -> Result<(), String>,
}

fn ring_header() -> Header<ring::Identity> {
    Header {
        name: "ring",
        good: ring_identity(),
        fields: &[
            ("magic", 0, 8),
            ("version", 8, 4),
            ("endian", 12, 4),
            ("header_bytes", 16, 4),
            ("record_bytes", 20, 4),
            ("slots", 24, 8),
            ("records_offset", 32, 8),
            ("total_bytes", 40, 8),
            ("pid", 48, 4),
            ("uid", 52, 4),
            ("start_ticks", 56, 8),
            ("boot_id", 64, 16),
            ("pid_namespace", 80, 8),
            ("clock", 88, 4),
            ("chain", 92, 4),
            ("created_monotonic_ns", 96, 8),
            ("created_unix_ns", 104, 8),
            ("nonce", 112, 8),
            ("name", 120, 32),
            ("created_ticks", 152, 8),
            ("reserved", 160, 96),
        ],
        check: |id| id.check(ring::ring_bytes(SLOTS)).map_err(|error| error.to_string()),
    }
}

fn ledger_header() -> Header<ledger::Identity> {
    Header {
        name: "ledger",
        good: ledger_identity(),
        fields: &[
            ("magic", 0, 8),
            ("version", 8, 4),
            ("endian", 12, 4),
            ("pid", 16, 4),
            ("uid", 20, 4),
            ("start_ticks", 24, 8),
            ("nonce", 32, 8),
            ("ring_pid", 40, 4),
            ("entry_bytes", 44, 4),
            ("reserved", 48, 80),
        ],
        check: |id| id.check().map_err(|error| error.to_string()),
    }
}

fn stats_header(of: &str) -> Header<stats::Identity> {
    Header {
        name: "stats",
        good: stats_identity(of),
        fields: &[
            ("magic", 0, 8),
            ("version", 8, 4),
            ("endian", 12, 4),
            ("total_bytes", 16, 8),
            ("history_offset", 24, 8),
            ("buffers_offset", 32, 8),
            ("buffer_words", 40, 8),
            ("pid", 48, 4),
            ("uid", 52, 4),
            ("start_ticks", 56, 8),
            ("started_unix_ns", 64, 8),
            ("started_monotonic_ns", 72, 8),
            ("spans_offset", 80, 8),
            ("reserved", 88, 40),
        ],
        check: |id| id.check().map_err(|error| error.to_string()),
    }
}

/// What of it no check finds, field by field, in bits.
fn undetected<T: Pod>(header: &Header<T>, list: &mut String) {
    let mut covered = 0;
    assert_eq!((header.check)(&header.good), Ok(()), "{}", header.name);
    for (name, at, bytes) in header.fields {
        assert_eq!(*at, covered, "{} {name}: the fields are the whole header", header.name);
        covered += bytes;
        let passed = |bit: &usize| {
            let mut id = header.good;
            bytemuck::bytes_of_mut(&mut id)[bit / 8] ^= 1 << (bit % 8);
            (header.check)(&id).is_ok()
        };
        let count = (at * 8..(at + bytes) * 8).filter(passed).count();
        if count > 0 {
            writeln!(list, "{} {name}: {count} of {} bits", header.name, bytes * 8).unwrap();
        }
        for value in [0, 1, u64::MAX, u64::MAX - 1, 0x1234_5678_9ABC_DEF1] {
            let mut id = header.good;
            let field = &mut bytemuck::bytes_of_mut(&mut id)[*at..at + bytes];
            let value = value.to_le_bytes().into_iter().cycle().take(*bytes).collect::<Vec<_>>();
            let same = *field == value;
            field.copy_from_slice(&value);
            // A field is checked against every value or against none.
            assert_eq!((header.check)(&id).is_ok(), same || count == bytes * 8, "{} {name} = {value:?}", header.name);
        }
    }
    assert_eq!(covered, size_of::<T>());
}

#[test]
#[cfg_attr(miri, ignore = "nothing unsafe, and slow there; makes a file")]
fn what_no_check_finds_is_listed() {
    let mut list = "# Bits of the three headers that may be flipped unnoticed. BLESS=1 after a look.\n".to_owned();
    undetected(&ring_header(), &mut list);
    undetected(&ledger_header(), &mut list);
    undetected(&stats_header("bits"), &mut list);
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/undetected.txt");
    if std::env::var_os("BLESS").is_some_and(|value| value == "1") {
        std::fs::write(&path, &list).unwrap();
    }
    assert_eq!(list, std::fs::read_to_string(&path).unwrap_or_default());
}

#[test]
#[cfg_attr(miri, ignore = "makes a file")]
fn a_newer_version_and_the_other_byte_order_are_told() {
    let ledger = ledger_header();
    let newer = (ledger.check)(&ledger::Identity { version: ledger::VERSION + 1, ..ledger.good }).unwrap_err();
    let (theirs, ours) = (format!("version {}", ledger::VERSION + 1), format!("version {}", ledger::VERSION));
    assert!(newer.contains(&theirs) && newer.contains(&ours), "{newer}");
    let stats = stats_header("versions");
    let newer = (stats.check)(&stats::Identity { version: 7, ..stats.good }).unwrap_err();
    assert!(
        newer.contains("version 7") && newer.contains("use the aggregator and alloc-top of one release"),
        "{newer}"
    );
    let swapped = ring::ENDIAN_MARK.swap_bytes();
    assert!((ledger.check)(&ledger::Identity { endian: swapped, ..ledger.good }).is_err());
    assert!((ledger.check)(&ledger::Identity { magic: ledger::MAGIC.swap_bytes(), ..ledger.good }).is_err());
    assert!((stats.check)(&stats::Identity { endian: swapped, ..stats.good }).is_err());
    assert!((stats.check)(&stats::Identity { magic: stats::MAGIC.swap_bytes(), ..stats.good }).is_err());
}

#[test]
fn a_writer_that_died_in_the_middle_costs_its_buffer_and_no_reader() {
    let words: Vec<AtomicU64> = (0..2 * (BUFFER_HEADER_WORDS + 4)).map(|_| AtomicU64::new(0)).collect();
    let (first, second) = words.split_at(words.len() / 2);
    let active = AtomicU64::new(0);
    let snapshots = Snapshots::new(&active, [first, second]).unwrap();
    let mut seen = Vec::new();
    snapshots.publish(&[1, 2, 3]);
    assert_eq!(active.load(Relaxed), 1);
    // It dies in the buffer that is not shown: its sequence stays odd, and half of it is written.
    first[0].store(1, Relaxed);
    first[BUFFER_HEADER_WORDS].store(99, Relaxed);
    assert!(snapshots.read_within(&mut seen, 1));
    assert_eq!(seen, [1, 2, 3]);
    // The next one writes there and shows it.
    snapshots.publish(&[4, 5]);
    assert!(snapshots.read_within(&mut seen, 1));
    assert_eq!(seen, [4, 5]);
    // An odd sequence in the shown buffer (nobody of ours leaves that): given up after so many looks, not waited for.
    for odd in [1, 3, u64::MAX] {
        first[0].store(odd, Relaxed);
        assert!(!snapshots.read_within(&mut seen, 64), "{odd}");
    }
    // And the next publication is seen again.
    snapshots.publish(&[6]);
    assert!(snapshots.read_within(&mut seen, 1));
    assert_eq!(seen, [6]);
    // A length that was lied about is cut to the buffer.
    second[1].store(u64::MAX, Relaxed);
    assert!(snapshots.read_within(&mut seen, 1));
    assert_eq!(seen.len(), 4);
}
