//! The layouts byte for byte: files of fixed content must come out as they always did, and be read as they always were.
//!
//! Each golden file lists the words that are not zero, as `offset: value`. `BLESS=1 cargo test -p shm-layout` rewrites
//! them; a change there is a new layout version.

mod support;

use core::fmt::Write;
use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::{Relaxed, Release};
use shm_layout::event::{Arch, Event, Kind, MEMORY_KINDS, Memory, flags};
use shm_layout::ledger::{
    self, Account, Banks, Counters, Device, ENTRIES_OFFSET, Entries, LedgerHeader, LedgerState, STATE_WORDS,
    TAGS_OFFSET, TagNames, ledger_bytes, state_offset,
};
use shm_layout::ring::{
    CLOCK_MONOTONIC_NS, CLOSED_CLEAN, Consumer, DropTable, ENDIAN_MARK, HEADER_BYTES, MAGIC, Producer, Push,
    RECORDS_OFFSET, RingHeader, Slot, VERSION, ring_bytes,
};
use shm_layout::stats::{
    self, Anomalies, Chip, Difference, Figures, Health, Line, Presence, Process, Reason, Refusal, Row, Severity,
    Snapshot, Source, State, StatsHeader, StatsView, Telemetry, UNKNOWN, stats_bytes,
};
use shm_layout::tag::Name;
use shm_layout::{ring, text};
use std::path::Path;
use support::heap::Heap;

/// A file on the heap, zeroed, aligned as a mapping is.
struct File(Vec<Page>);

#[repr(C, align(4096))]
struct Page([AtomicU64; 512]);

impl File {
    fn new(bytes: usize) -> Self {
        let page = || Page(core::array::from_fn(|_| AtomicU64::new(0)));
        Self((0..bytes.div_ceil(4096)).map(|_| page()).collect())
    }

    fn words(&self) -> &[AtomicU64] {
        let count = self.0.len() * 512;
        // SAFETY: pages are words and nothing else, one behind the other.
        unsafe { core::slice::from_raw_parts(self.0.as_ptr().cast(), count) }
    }

    /// As `Mapping::array`.
    fn array<T: shm_layout::segment::SharedWords>(&self, offset: usize, count: usize) -> &[T] {
        assert!(offset.is_multiple_of(align_of::<T>()) && offset + count * size_of::<T>() <= self.0.len() * 4096);
        // SAFETY: inside the pages and aligned (checked); `SharedWords` are words and nothing else.
        unsafe { core::slice::from_raw_parts(self.0.as_ptr().cast::<u8>().add(offset).cast(), count) }
    }

    fn one<T: shm_layout::segment::SharedWords>(&self, offset: usize) -> &T {
        &self.array(offset, 1)[0]
    }

    fn listing(&self) -> String {
        let mut text = String::new();
        for (at, word) in self.words().iter().enumerate() {
            let word = word.load(Relaxed);
            if word != 0 {
                writeln!(text, "{:#08x}: {word:016x}", at * 8).expect("a string takes it");
            }
        }
        text
    }

    fn from_listing(text: &str, bytes: usize) -> Self {
        let file = Self::new(bytes);
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let (offset, word) = line.split_once(": ").expect("offset: value");
            let offset = usize::from_str_radix(offset.trim_start_matches("0x"), 16).expect("an offset");
            file.words()[offset / 8].store(u64::from_str_radix(word, 16).expect("a word"), Relaxed);
        }
        file
    }
}

/// Compares with the golden file, or writes it. The golden file's text.
fn golden(name: &str, about: &str, found: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    let found = format!("# {about}\n{found}");
    if std::env::var_os("BLESS").is_some_and(|value| value == "1") {
        std::fs::write(&path, &found).expect("golden file written");
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    let first = found.lines().zip(kept.lines()).find(|(found, kept)| found != kept);
    assert!(
        found == kept,
        "{name} differs (found, golden): {first:?}. The layout has changed: give it a new version, then BLESS=1"
    );
    kept
}

fn event(n: u64) -> Event {
    Event {
        stamp: 0,
        time: 1_000_000 + n,
        id: 0x1111_0000 + n,
        address: 0x2222_0000 + n,
        size: 4096 * (n + 1),
        footprint: 8192 * (n + 1),
        device: 3,
        thread: 4242,
        context: 17,
        kind: Kind::Alloc as u8,
        memory: Memory::L1Small as u8,
        flags: flags::SYSTEM | flags::SIZE_UNKNOWN,
    }
}

fn producer_of<'a>(claim: &'a AtomicU64, slots: &'a [Slot<AtomicU64>]) -> Producer<'a, AtomicU64> {
    Producer::new(claim, slots).expect("a power of two")
}

fn consumer_of(slots: &[Slot<AtomicU64>]) -> Consumer<'_, AtomicU64> {
    Consumer::new(slots).expect("a power of two")
}

fn ring_identity() -> ring::Identity {
    ring::Identity {
        magic: MAGIC,
        version: VERSION,
        endian: ENDIAN_MARK,
        header_bytes: HEADER_BYTES as u32,
        record_bytes: 64,
        slots: 4,
        records_offset: RECORDS_OFFSET as u64,
        total_bytes: ring_bytes(4),
        pid: 4242,
        uid: 1000,
        start_ticks: 987_654,
        boot_id: core::array::from_fn(|at| at as u8 + 1),
        pid_namespace: 4_026_531_836,
        clock: CLOCK_MONOTONIC_NS,
        reserved0: 0,
        created_monotonic_ns: 123_456_789,
        created_unix_ns: 1_700_000_000_000_000_000,
        nonce: 0xFEED_FACE_CAFE_BEEF,
        name: text::store(b"python3"),
        created_ticks: 0x5449_434b_5449_434b,
        source: 0,
        client_uid: 0,
        reserved: [0; 88],
    }
}

#[test]
#[cfg_attr(miri, ignore = "reads files; the layouts' code runs under miri in threads.rs and decoders.rs")]
fn event_record() {
    let file = File::new(64);
    for (word, value) in file.words().iter().zip(Event { stamp: 1, ..event(0) }.to_words()) {
        word.store(value, Relaxed);
    }
    let kept = golden("event.txt", "one event record, 64 bytes", &file.listing());
    let words = File::from_listing(&kept, 64);
    let words = core::array::from_fn(|at| words.words()[at].load(Relaxed));
    assert_eq!(Event::from_words(words), Event { stamp: 1, ..event(0) });
}

#[test]
#[cfg_attr(miri, ignore = "reads files")]
fn ring_file() {
    let bytes = ring_bytes(4) as usize;
    let file = File::new(bytes);
    let (header, drops) = (file.one::<RingHeader<AtomicU64>>(0), file.one::<DropTable<AtomicU64>>(HEADER_BYTES));
    let slots = file.array::<Slot<AtomicU64>>(RECORDS_OFFSET, 4);
    let (producer, consumer) = (producer_of(&header.sections[0].claim, slots), consumer_of(slots));
    // Record 0 was read and given back, 1 and 2 wait.
    for n in 0..3 {
        assert_eq!(producer.push(&event(n)), Push::Written(n));
    }
    consumer.release(0, consumer.read(0, 1, |_| {}));
    for (kind, device) in [(Kind::Alloc, 0), (Kind::Free, 0), (Kind::Alloc, 63), (Kind::FreeAll, 62)] {
        let lost = Event { kind: kind as u8, device, id: 5, flags: 0, ..event(9) };
        assert!(drops.count(&lost));
        // Release: before the count that tells of it.
        header.dropped.fetch_add(1, Release);
    }
    // Whose it was, the table has no row for.
    assert!(!drops.count(&Event { device: 64, ..event(9) }));
    // Relaxed: one thread.
    header.cursor.store(1, Relaxed);
    header.clock.store(77, Relaxed);
    header.closed.store(CLOSED_CLEAN, Relaxed);
    header.lost_controls.store(2, Relaxed);
    header.stale_clock.store(76, Relaxed);
    header.announce(&ring_identity());
    let kept = golden("ring.txt", "a ring of 4 slots: one record returned, two waiting, four dropped", &file.listing());

    let file = File::from_listing(&kept, bytes);
    let header = file.one::<RingHeader<AtomicU64>>(0);
    assert_eq!(header.identity(), ring_identity());
    assert_eq!(header.identity().check(ring_bytes(4)), Ok(()));
    let consumer = consumer_of(file.array::<Slot<AtomicU64>>(RECORDS_OFFSET, 4));
    let mut seen = Vec::new();
    assert_eq!(consumer.read(header.cursor.load(Relaxed), 9, |event| seen.push(event)), 3);
    assert_eq!(seen, [1, 2].map(|n| Event { stamp: n + 1, ..event(n) }));
}

fn ledger_identity() -> ledger::Identity {
    ledger::Identity {
        magic: ledger::MAGIC,
        version: ledger::VERSION,
        endian: ENDIAN_MARK,
        pid: 4242,
        uid: 1000,
        start_ticks: 987_654,
        nonce: 0xFEED_FACE_CAFE_BEEF,
        ring_pid: 42,
        entry_bytes: 64,
        reserved: [0; 10],
    }
}

fn ledger_state() -> LedgerState {
    LedgerState {
        counters: Counters {
            events: 9,
            torn: 1,
            anomalies: Anomalies {
                free_unknown: 2,
                double_free: 3,
                invalid_record: 4,
                alloc_live: 5,
                overflow: 6,
                size_mismatch: 7,
                reserved: [0; 2],
            },
            reserved: [0; 6],
        },
        devices: vec![Device {
            device: 3,
            arch: Arch::Blackhole as u32,
            chip_id: 0xAB54_A98C_EB1F_0AD2,
            board_id: 0x40,
            tensix_cores: 140,
            id_is_logical: 0,
            open: 1,
            resident_program: 17,
            capacity: core::array::from_fn(|at| if at == 6 { UNKNOWN } else { (at as u64) << 30 }),
            opened_ns: 1_000_000_007,
            dispatched_ns: 2_000_000_011,
            banks: core::array::from_fn(|at| Banks { count: 8 + at as u32, first: 64, bytes: (at as u64 + 1) << 32 }),
        }],
        accounts: vec![Account {
            device: 3,
            memory: Memory::L1Small as u32,
            peak: 30_000,
            allocated: 40_000,
            freed: 15_424,
            unlisted_bytes: -5,
            unlisted_blocks: -1,
            outstanding: 8,
            drops_seen: [1, 2, 3, 4],
            baseline: 97,
            baseline_unix_ns: 98,
            incomplete: 1,
        }],
    }
}

#[test]
#[cfg_attr(miri, ignore = "reads files")]
fn ledger_file() {
    let bytes = ledger_bytes(4);
    let file = File::new(bytes);
    let header = file.one::<LedgerHeader<AtomicU64>>(0);
    let entries = Entries(file.array::<Slot<AtomicU64>>(ENTRIES_OFFSET, 4));
    header.set_capacity(4);
    file.one::<TagNames<AtomicU64>>(TAGS_OFFSET).set(3, Name::new(b"decode \xe2\x82\xac and all that follows"));
    entries.insert(0, &Event { stamp: 1, flags: 3 << flags::TAG_SHIFT, ..event(0) });
    entries.insert(2, &Event { stamp: 2, ..event(1) });
    entries.mark(2, true);
    let mut words = Vec::new();
    ledger_state().encode(&mut words);
    for (to, word) in file.array::<AtomicU64>(state_offset(1), STATE_WORDS).iter().zip(&words) {
        // Relaxed: one thread.
        to.store(*word, Relaxed);
    }
    header.commit(6, 0);
    header.settle();
    header.commit(7, 1);
    header.announce(ledger_identity());
    let about = "a ledger of 4 entries, one live, one dying, committed and not settled, state block 1 in force";
    let kept = golden("ledger.txt", about, &file.listing());

    let file = File::from_listing(&kept, bytes);
    let header = file.one::<LedgerHeader<AtomicU64>>(0);
    assert_eq!((header.identity(), header.identity().check()), (ledger_identity(), Ok(())));
    assert_eq!((header.committed(), header.is_settled(), header.capacity()), ((7, 1), false, 4));
    let block = file.array::<AtomicU64>(state_offset(1), STATE_WORDS);
    let words: Vec<u64> = block.iter().map(|word| word.load(Relaxed)).collect();
    assert_eq!(LedgerState::decode(&words), Some(ledger_state()));
    let entries = Entries(file.array::<Slot<AtomicU64>>(ENTRIES_OFFSET, 4));
    let tag = file.one::<TagNames<AtomicU64>>(TAGS_OFFSET).get(entries.get(0).map_or(0, |event| event.tag_number()));
    assert_eq!(tag.map(|name| name.text()).as_deref(), Some("decode € and all that follows"));
    let kinds = (0..4).map(|at| entries.get(at).map(|event| (event.stamp, event.kind)));
    assert!(kinds.eq([Some((1, 1)), None, Some((2, ledger::DYING)), None]));
}

fn figures(n: u64) -> Figures {
    Figures {
        live_bytes: n,
        footprint_bytes: n + 1,
        blocks: n + 2,
        peak_footprint_bytes: n + 3,
        capacity_bytes: UNKNOWN,
        allocated_bytes_total: n + 4,
        freed_bytes_total: n + 5,
        resident_bytes: n + 6,
        fabric_bytes: n + 7,
        dispatch_bytes: n + 8,
        detail_incomplete: 1,
        baseline: n + 12,
    }
}

fn snapshot() -> Snapshot {
    Snapshot {
        health: Health {
            monotonic_ns: 1,
            unix_ns: 2,
            generation: 3,
            rings: 4,
            rejected_rings_total: 5,
            events_total: 6,
            dropped_events_total: 7,
            torn_events_total: 8,
            lag_events: 9,
            live_allocations: 10,
            hidden_processes: 11,
            hidden_rows: 12,
            cpu_ns: 13,
            deaths_total: 14,
            refused_rings: 15,
            hidden_refusals: 14,
            places: 16,
            open_files_limit: 17,
            differences: 18,
            unread_counters: 19,
            anomalies: ledger_state().counters.anomalies,
        },
        chips: vec![Chip {
            chip_id: 0xAB54_A98C_EB1F_0AD2,
            arch: Arch::Blackhole as u32,
            id_is_logical: 0,
            board_id: 0x40,
            tensix_cores: 140,
            device: 3,
            processes: 1,
            reserved: 0,
            board: text::store(b"p150"),
            memory: core::array::from_fn::<_, MEMORY_KINDS, _>(|at| figures(at as u64 * 100)),
            telemetry: Telemetry {
                read_unix_ns: 40,
                presence: Presence::Both as u32,
                number: 2,
                pci: 0x4100,
                temperature_millicelsius: 45_250,
                power_microwatts: 38_000_000,
                card: text::store(b"p150a"),
                ..Telemetry::NONE
            },
        }],
        processes: vec![Process {
            pid: 4242,
            uid: 1000,
            state: State::Dead as u32,
            source: Source::TtMetal as u32,
            start_ticks: 987_654,
            start_unix_ns: 20,
            last_event_unix_ns: 21,
            events_total: 22,
            dropped_events_total: 23,
            lag_events: 24,
            nonce: 0xFEED_FACE_CAFE_BEEF,
            ring_pid: 42,
            incomplete: stats::incomplete::DROPPED | stats::incomplete::OVERFLOW,
            torn_events_total: 25,
            anomalies: ledger_state().counters.anomalies,
            name: text::store(b"python3"),
            command_line: text::store(b"python3 train.py"),
        }],
        rows: vec![Row { process: 0, chip: 0, device: 3, memory: Memory::L1Small as u32, figures: figures(900) }],
        lines: vec![Line {
            unix_ns: 30,
            severity: Severity::Warning as u32,
            pid: 4242,
            text: text::store("removed 5 buffers — 15.2 MB".as_bytes()),
        }],
        refusals: vec![Refusal {
            nonce: 0xFEED_FACE_CAFE_BEEF,
            pid: 42,
            uid: 1000,
            owner: 1001,
            reason: Reason::Owner as u32,
            passing: 1,
            reserved: 0,
            since_unix_ns: 31,
            text: text::store(b"owned by user 1001, which is not who may write it"),
        }],
        differences: vec![Difference {
            pid: 4242,
            chip: 0,
            memory: Memory::L1 as u32,
            reserved: 0,
            tracked_bytes: 41,
            told_bytes: 42,
            since_unix_ns: 43,
        }],
    }
}

#[test]
#[cfg_attr(miri, ignore = "megabytes, word by word")]
fn stats_segment() {
    let file = File::new(stats_bytes());
    let header = file.one::<StatsHeader<AtomicU64>>(0);
    let words = file.array::<AtomicU64>(4096, stats_bytes() / 8 - 512);
    let view = StatsView::new(header, words).expect("the whole segment");
    let identity: stats::Identity = stats::Identity {
        pid: 7,
        uid: 8,
        start_ticks: 9,
        started_unix_ns: 10,
        started_monotonic_ns: 11,
        ..bytemuck::Zeroable::zeroed()
    };
    view.announce(identity);
    let mut encoded = Vec::new();
    Snapshot::default().encode(&mut encoded);
    view.snapshots().publish(&encoded);
    snapshot().encode(&mut encoded);
    view.snapshots().publish(&encoded);
    // Relaxed: one thread.
    header.heartbeat.store(55, Relaxed);
    for head in 0..301 {
        view.record_sample(0, Memory::Cb as usize, head, if head < 298 { 0 } else { head });
        view.advance_history(head);
    }
    // Nobody took those from 301 to 324.
    assert_eq!(view.skip_samples(1, 301, 24), 325);
    view.record_sample(64, 0, 0, 1);
    let kept =
        golden("stats.txt", "a stats segment: two snapshots published, 325 samples, 24 not taken", &file.listing());

    let file = File::from_listing(&kept, stats_bytes());
    let header = file.one::<StatsHeader<AtomicU64>>(0);
    let view = StatsView::new(header, file.array::<AtomicU64>(4096, stats_bytes() / 8 - 512)).expect("whole");
    assert_eq!(view.identity().check(), Ok(()));
    assert_eq!((view.identity().pid, view.identity().started_monotonic_ns), (7, 11));
    assert!(view.snapshots().read(&mut encoded));
    assert_eq!(Snapshot::decode(&encoded), Ok(snapshot()));
    let history = view.history(0, Memory::Cb as usize);
    assert_eq!((history.len(), &history[272..277]), (300, &[0, 298, 299, 300, UNKNOWN][..]));
    let spans = view.spans_below(0, Memory::Cb as usize, view.history_head());
    assert_eq!((spans.len(), &spans[13..]), (17, &[0, 299, 300, UNKNOWN][..]));
    assert!(view.history(64, 0).is_empty(), "no such chip");
}

/// The golden files tell the tale of one version: a ring that is not announced is not read at all.
#[test]
fn nothing_is_told_before_the_magic() {
    // SAFETY: repr(C) and made of its words only.
    let header = unsafe { Heap::<RingHeader<AtomicU64>, AtomicU64>::new(|at| AtomicU64::new((at != 0).into())) };
    assert_eq!(header.identity(), bytemuck::Zeroable::zeroed());
    assert_eq!(header.identity().check(1), Err(ring::IdentityError::NotReady));
}

#[test]
#[cfg_attr(miri, ignore = "reads files; the layouts' code runs under miri in stacks.rs")]
fn stacks_file() {
    use shm_layout::stacks::{
        MODULES, MODULES_OFFSET, Module, ModuleSlot, STACKS, STACKS_BYTES, STACKS_OFFSET, StackSlot, StacksHeader,
        Table, check, identity, tell,
    };
    let file = File::new(STACKS_BYTES);
    let header = file.one::<StacksHeader<AtomicU64>>(0);
    header.depth.store(24, Relaxed);
    header.announce(&identity(&ring_identity()));
    let modules = file.array::<ModuleSlot<AtomicU64>>(MODULES_OFFSET, MODULES);
    let module = Module::at(0x7f00_0000_0000, 0x7f00_0010_0000, 0x7f00_0000_0000);
    let module = module.with_path(b"/opt/lib/libtt_metal.so").with_build_id(&[0xAB; 20]);
    tell(header, modules, &module);
    tell(header, modules, &module);
    let slots = file.array::<StackSlot<AtomicU64>>(STACKS_OFFSET, STACKS);
    let table = Table::new(header, slots).expect("places");
    let number = table.intern(4242, &[0x7f00_0000_1000, 0x7f00_0000_2000], true, || {});
    assert_eq!(table.intern(4242, &[0x7f00_0000_1000, 0x7f00_0000_2000], true, || {}), number);
    let kept = golden("stacks.txt", "Call stacks, version 1: one module, one stack.", &file.listing());

    let file = File::from_listing(&kept, STACKS_BYTES);
    let header = file.one::<StacksHeader<AtomicU64>>(0);
    check(&header.identity()).expect("sound");
    let modules: Vec<_> =
        file.array::<ModuleSlot<AtomicU64>>(MODULES_OFFSET, MODULES).iter().filter_map(ModuleSlot::module).collect();
    assert_eq!(modules, [module]);
    let table = Table::new(header, file.array(STACKS_OFFSET, STACKS)).expect("places");
    let stack = table.stack(number).expect("the stack");
    assert_eq!(
        (stack.thread, &stack.addresses[..], stack.cut),
        (4242, &[0x7f00_0000_1000, 0x7f00_0000_2000][..], true)
    );
}
