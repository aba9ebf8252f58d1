//! docs/shm-layout.md, made of the code: offsets measured, meanings and diagrams taken from the sources' own comments.
//!
//! `BLESS=1 cargo test -p shm-layout --test layout_doc` rewrites it.
#![cfg(not(miri))] // Reads and compares texts; nothing for miri to see.

mod support;

use core::fmt::Write;
use core::mem::offset_of;
use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::Relaxed;
use shm_layout::event::{EVENT_BYTES, Event, Kind, MAX_DEVICE, MEMORY_KINDS, Memory, flags};
use shm_layout::ledger::{
    self, Account, Banks, Counters, Device, ENTRIES_OFFSET, LedgerHeader, STATE_WORDS, TAGS_OFFSET, state_offset,
};
use shm_layout::ring::{
    self, DROP_DEVICES, DropCell, DropTable, FIRST_SECTION_OFFSET, HEADER_BYTES, RECORDS_OFFSET, RingHeader, SECTIONS,
    Section, VanishedCell, VanishedTable,
};
use shm_layout::seqlock::BUFFER_HEADER_WORDS;
use shm_layout::stacks::{self, ModuleSlot, StackSlot, StacksHeader};
use shm_layout::stats::{
    self, Anomalies, Chip, Difference, Figures, HISTORY_SAMPLES, HISTORY_SAMPLES_PER_SPAN, HISTORY_SPANS, Health, Line,
    MAX_CHIPS, MAX_DIFFERENCES, MAX_LINES, MAX_PROCESSES, MAX_REFUSALS, MAX_ROWS, Process, Reason, Refusal, Row,
    Snapshot, StatsHeader, StatsView, Telemetry, stats_bytes,
};
use shm_layout::tag::{self, TAGS};
use std::fs;
use std::path::{Path, PathBuf};
use support::heap::Heap;

/// A source file of this crate.
struct Source(String);

impl Source {
    fn new(path: &str) -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(path);
        Self(fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display())))
    }

    /// The drawing in the module's documentation.
    fn diagram(&self) -> String {
        let text = self.0.split("//! ```text\n").nth(1).expect("a drawing").split("//! ```").next().unwrap_or_default();
        text.lines()
            .map(|line| format!("{}\n", line.trim_start_matches("//!").strip_prefix(' ').unwrap_or("")))
            .collect()
    }

    /// The module's documentation from the line that begins so to its end.
    fn from(&self, beginning: &str) -> String {
        let lines =
            self.0.lines().map_while(|line| line.strip_prefix("//!")).map(|line| line.strip_prefix(' ').unwrap_or(""));
        let rest = lines.skip_while(|line| !line.starts_with(beginning));
        let text: String = rest.map(|line| format!("{}\n", plain(line))).collect();
        assert!(!text.is_empty(), "{beginning}");
        text
    }

    /// Comment lines above, and body of, this struct.
    fn structure(&self, name: &str) -> (Vec<&str>, Vec<&str>) {
        let lines: Vec<&str> = self.0.lines().collect();
        let is = |line: &str| {
            let rest = line.strip_prefix("pub struct ").and_then(|rest| rest.strip_prefix(name));
            rest.is_some_and(|rest| rest.starts_with([' ', '<']))
        };
        let at = lines.iter().position(|line| is(line)).unwrap_or_else(|| panic!("struct {name}"));
        let above = lines[..at].iter().rev().take_while(|line| line.starts_with("///") || line.starts_with("#["));
        let above = above.filter_map(|line| line.strip_prefix("///")).map(str::trim);
        let body = lines[at + 1..].iter().take_while(|line| **line != "}").copied().collect();
        (above.collect(), body)
    }

    /// What a field means: its own comment, or its row in the struct's table. And the offset that such a row tells.
    fn meaning(&self, name: &str, field: &str) -> (String, Option<usize>) {
        let (above, body) = self.structure(name);
        let row = above.iter().find_map(|line| {
            let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
            (cells.get(1) == Some(&field)).then(|| (cells[cells.len() - 1], cells[0].parse().ok()))
        });
        let is = |line: &str| line.trim().trim_start_matches("pub ").starts_with(&format!("{field}:"));
        let at = body.iter().position(|line| is(line)).unwrap_or_else(|| panic!("{name}.{field}"));
        let own = body[..at].iter().rev().map_while(|line| line.trim().strip_prefix("///")).map(str::trim);
        let own: Vec<&str> = own.collect();
        let own = own.into_iter().rev().collect::<Vec<_>>().join(" ");
        let told = row.map_or("", |(told, _)| told).to_owned();
        (plain(if told.is_empty() { &own } else { &told }), row.and_then(|(_, offset)| offset))
    }

    /// The first paragraph of the struct's comment.
    fn about(&self, name: &str) -> String {
        let (mut above, _) = self.structure(name);
        above.reverse();
        let first: Vec<&str> = above.into_iter().take_while(|line| !line.is_empty()).collect();
        plain(&first.join(" "))
    }
}

/// Without the links that only rustdoc knows: "[`Kind`](crate::Kind)" becomes "`Kind`".
fn plain(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("[`") {
        out.push_str(&rest[..at]);
        let Some(end) = rest[at..].find("`]").map(|end| at + end) else { break };
        out.push_str(&rest[at + 1..=end]);
        rest = &rest[end + 2..];
        if rest.starts_with('(') {
            rest = rest.split_once(')').map_or("", |(_, rest)| rest);
        }
    }
    out.push_str(rest);
    out
}

/// One struct of the layout.
struct Table<'a> {
    source: &'a Source,
    name: &'a str,
    bytes: usize,
    /// (offset, field)
    fields: Vec<(usize, &'a str)>,
}

impl Table<'_> {
    fn write(&self, title: &str, into: &mut String) {
        let Self { source, name, bytes, fields } = self;
        writeln!(into, "### {title}\n\n{} {bytes} bytes.\n", source.about(name)).expect("a string takes it");
        into.push_str("| offset | hex | bytes | field | meaning |\n|---:|---:|---:|---|---|\n");
        for (at, (offset, field)) in fields.iter().enumerate() {
            let end = fields.get(at + 1).map_or(*bytes, |(next, _)| *next);
            let (meaning, told) = source.meaning(name, field);
            assert!(
                told.is_none_or(|told| told == *offset),
                "{name}.{field}: its comment says {told:?}, it is {offset}"
            );
            assert!(!meaning.is_empty() || SELF_EXPLAINING.contains(field), "{name}.{field} is not explained");
            writeln!(into, "| {offset} | {offset:#x} | {} | {field} | {meaning} |", end - offset).expect("a string");
        }
        into.push('\n');
    }
}

/// Fields whose name says it all.
const SELF_EXPLAINING: [&str; 3] = ["uid", "history_offset", "buffers_offset"];

macro_rules! table {
    ($source:expr, $name:literal, $type:ty; $($field:ident)*) => {
        Table {
            source: $source,
            name: $name,
            bytes: size_of::<$type>(),
            fields: vec![$((offset_of!($type, $field), stringify!($field))),*],
        }
    };
}

/// Offset of the one word that `store` changes in a zeroed header: how private fields are found.
fn stored_at<T>(store: impl FnOnce(&T)) -> usize {
    stored_after(|_| (), store)
}

/// As [`stored_at`], in a header that `prepare` has stored to before.
fn stored_after<T>(prepare: impl FnOnce(&T), store: impl FnOnce(&T)) -> usize {
    // SAFETY: called with the headers only, which are repr(C) and made of their words.
    let heap = unsafe { Heap::<T, AtomicU64>::new(|_| AtomicU64::new(0)) };
    // Relaxed: one thread.
    let words = || heap.words().iter().map(|word| word.load(Relaxed)).collect::<Vec<_>>();
    prepare(&heap);
    let before = words();
    store(&heap);
    let changed: Vec<usize> =
        (0..).zip(before.iter().zip(words())).filter(|(_, (a, b))| *a != b).map(|(at, _)| at).collect();
    assert_eq!(changed.len(), 1, "one word is stored");
    changed[0] * 8
}

fn events(out: &mut String) {
    let source = Source::new("event.rs");
    writeln!(out, "## Event record\n\n```text\n{}```\n", source.diagram()).expect("a string");
    let table =
        table!(&source, "Event", Event; stamp time id address size footprint device thread context kind memory flags);
    table.write("`Event`", out);
    let kinds = (0..=u8::MAX).filter_map(|n| Kind::from_u8(n).map(|kind| format!("{n} {kind:?}")));
    writeln!(out, "Kinds: {}. Others are skipped and counted.\n", kinds.collect::<Vec<_>>().join(", "))
        .expect("a string");
    let memories = (0..=u8::MAX).filter_map(|n| Memory::from_u8(n).map(|memory| format!("{n} {}", memory.name())));
    writeln!(out, "Memory: {}.\n", memories.collect::<Vec<_>>().join(", ")).expect("a string");
    let bits = [
        (flags::ID_IS_ADDRESS, "ID_IS_ADDRESS"),
        (flags::SYSTEM, "SYSTEM"),
        (flags::GLOBALLY_ALLOCATED, "GLOBALLY_ALLOCATED"),
        (flags::SIZE_UNKNOWN, "SIZE_UNKNOWN"),
        (flags::FABRIC, "FABRIC"),
        (flags::DISPATCH, "DISPATCH"),
        (flags::CHIP_ID_UNKNOWN, "CHIP_ID_UNKNOWN"),
        (flags::STACK, "STACK"),
    ];
    let bits = bits.map(|(bit, name)| format!("{bit:#x} {name}"));
    let (tag, shift) = (flags::TAG, flags::TAG_SHIFT);
    writeln!(out, "Flags: {}; {tag:#x} the number of its tag, from bit {shift} on.\n", bits.join(", "))
        .expect("a string");
    let tags = Source::new("tag.rs");
    writeln!(out, "### Tags\n\n```text\n{}```\n\n{}", tags.diagram(), tags.from("An allocation")).expect("a string");
    writeln!(
        out,
        "Logical device numbers end at {MAX_DEVICE}. Memory kinds have {MEMORY_KINDS} rows in every table.\n"
    )
    .expect("a string");
}

fn rings(out: &mut String) {
    let (module, header, drops) =
        (Source::new("ring/mod.rs"), Source::new("ring/header.rs"), Source::new("ring/drops.rs"));
    writeln!(out, "## Ring\n\nMagic `{:#018x}`, version {}.\n", ring::MAGIC, ring::VERSION).expect("a string");
    writeln!(out, "```text\n{}```\n", module.diagram()).expect("a string");
    writeln!(out, "##{}", module.from("# The slot protocol")).expect("a string");
    let identity = table!(&header, "Identity", ring::Identity;
        magic version endian header_bytes record_bytes slots records_offset total_bytes pid uid start_ticks boot_id
        pid_namespace clock reserved0 created_monotonic_ns created_unix_ns nonce name created_ticks source client_uid reserved);
    identity.write("Ring `Identity`", out);
    type Header = RingHeader<AtomicU64>;
    let mut table = table!(&header, "RingHeader", Header;
        cursor clock closed dropped lost_controls stale_clock section_count sections);
    table.fields.insert(0, (0, "identity"));
    write_sparse(&table, &[256, 8, 8, 8, 8, 8, 8, 8, SECTIONS * size_of::<Section<AtomicU64>>()], "`RingHeader`", out);
    let section = Source::new("ring/section.rs");
    writeln!(out, "```text\n{}```\n", section.diagram()).expect("a string");
    let table = table!(&section, "Section", Section<AtomicU64>; claim slots moved_from start compacting unknown_frees);
    write_sparse(&table, &[8; 6], "`Section`", out);
    table!(&section, "VanishedCell", VanishedCell<AtomicU64>; bytes peak).write("`VanishedCell`", out);
    writeln!(out, "```text\n{}```\n", Source::new("ring/compact/mod.rs").diagram()).expect("a string");
    writeln!(out, "```text\n{}```\n", drops.diagram()).expect("a string");
    type Cell = DropCell<AtomicU64>;
    table!(&drops, "DropCell", Cell; allocated_bytes allocated_blocks freed_bytes freed_blocks)
        .write("`DropCell`", out);
    writeln!(
        out,
        "The drop table lies at {HEADER_BYTES}: {DROP_DEVICES} devices x {MEMORY_KINDS} memory kinds, {} bytes. \
         Section 0 begins at {FIRST_SECTION_OFFSET} with a table of {} bytes, of as many rows; its records, {EVENT_BYTES} bytes each, start at \
         {RECORDS_OFFSET}; a ring of one section with n slots has {} + n x 64 bytes.\n",
        size_of::<DropTable<AtomicU64>>(),
        size_of::<VanishedTable<AtomicU64>>(),
        ring::ring_bytes(0)
    )
    .expect("a string");
}

/// A header whose fields have room between them: sizes are told, not taken from the next offset.
fn write_sparse(table: &Table<'_>, sizes: &[usize], title: &str, out: &mut String) {
    let Table { source, name, bytes, fields } = table;
    writeln!(out, "### {title}\n\n{} {bytes} bytes; what is not listed is 0.\n", source.about(name)).expect("a string");
    out.push_str("| offset | hex | bytes | field | meaning |\n|---:|---:|---:|---|---|\n");
    for ((offset, field), size) in fields.iter().zip(sizes) {
        let (meaning, told) = source.meaning(name, field);
        assert!(told.is_none_or(|told| told == *offset), "{name}.{field}: its comment says {told:?}, it is {offset}");
        assert!(!meaning.is_empty(), "{name}.{field} is not explained");
        writeln!(out, "| {offset} | {offset:#x} | {size} | {field} | {meaning} |").expect("a string");
    }
    out.push('\n');
}

fn ledgers(out: &mut String) {
    let (module, header, state) =
        (Source::new("ledger/mod.rs"), Source::new("ledger/header.rs"), Source::new("ledger/state.rs"));
    writeln!(out, "## Ledger\n\nMagic `{:#018x}`, version {}.\n", ledger::MAGIC, ledger::VERSION).expect("a string");
    writeln!(out, "```text\n{}```\n", module.diagram()).expect("a string");
    writeln!(out, "{}", module.from("An entry is")).expect("a string");
    table!(&header, "Identity", ledger::Identity;
        magic version endian pid uid start_ticks nonce ring_pid entry_bytes reserved)
    .write("Ledger `Identity`", out);
    type Header = LedgerHeader<AtomicU64>;
    let fields = vec![
        (0, "identity"),
        (stored_at::<Header>(|header| header.commit(1, 0)), "commit"),
        (stored_after::<Header>(|header| header.commit(1, 1), LedgerHeader::settle), "settled"),
        (stored_at::<Header>(|header| header.set_capacity(1)), "capacity"),
        (stored_at::<Header>(|header| header.set_gone(1)), "gone"),
    ];
    let table = Table { source: &header, name: "LedgerHeader", bytes: size_of::<Header>(), fields };
    write_sparse(&table, &[size_of::<ledger::Identity>(), 8, 8, 8, 8], "`LedgerHeader`", out);
    writeln!(out, "State block:\n\n```text\n{}```\n", state.diagram()).expect("a string");
    table!(&state, "Counters", Counters; events torn anomalies reserved).write("`Counters`", out);
    table!(&state, "Device", Device;
        device arch chip_id board_id tensix_cores id_is_logical open resident_program capacity opened_ns
        dispatched_ns banks)
    .write("`Device`", out);
    table!(&state, "Banks", Banks; count first bytes).write("`Banks`", out);
    table!(&state, "Account", Account;
        device memory peak allocated freed unlisted_bytes unlisted_blocks outstanding drops_seen incomplete baseline baseline_unix_ns)
    .write("`Account`", out);
    writeln!(
        out,
        "Names of tags lie at {TAGS_OFFSET}: {TAGS} of {} bytes, by number, cleaned and NUL-padded; all zero is none. State blocks lie at {} and {}, {STATE_WORDS} words each: at most {} devices and {} accounts. Entries start at \
         {ENTRIES_OFFSET}; one that is to be removed has `kind` {:#x}.\n",
        tag::NAME_BYTES,
        state_offset(0),
        state_offset(1),
        ledger::MAX_DEVICES,
        ledger::MAX_ACCOUNTS,
        ledger::DYING
    )
    .expect("a string");
}

fn segments(out: &mut String) {
    let (module, segment, figures, refusal, telemetry, snapshot, seqlock) = (
        Source::new("stats/mod.rs"),
        Source::new("stats/segment.rs"),
        Source::new("stats/figures.rs"),
        Source::new("stats/refusal.rs"),
        Source::new("stats/telemetry.rs"),
        Source::new("stats/snapshot.rs"),
        Source::new("seqlock.rs"),
    );
    writeln!(out, "## Stats segment\n\nMagic `{:#018x}`, version {}.\n", stats::MAGIC, stats::VERSION)
        .expect("a string");
    writeln!(out, "```text\n{}```\n", module.diagram()).expect("a string");
    table!(&segment, "Identity", stats::Identity;
        magic version endian total_bytes history_offset buffers_offset buffer_words pid uid start_ticks
        started_unix_ns started_monotonic_ns spans_offset reserved)
    .write("Stats `Identity`", out);
    type Header = StatsHeader<AtomicU64>;
    let mut table = table!(&segment, "StatsHeader", Header; active heartbeat history_head sampled since gone);
    table.fields.insert(0, (0, "identity"));
    write_sparse(
        &table,
        &[size_of::<stats::Identity>(), 8, 8, 8, 8, 8, 2 * size_of::<stats::Gone>()],
        "`StatsHeader`",
        out,
    );
    // Geometry as it is announced.
    // SAFETY: repr(C) and made of its words only.
    let header = unsafe { Heap::<Header, AtomicU64>::new(|_| AtomicU64::new(0)) };
    let words: Vec<AtomicU64> = (0..(stats_bytes() - 4096) / 8).map(|_| AtomicU64::new(0)).collect();
    let view = StatsView::new(&*header, &words).expect("the whole segment");
    view.announce(bytemuck::Zeroable::zeroed());
    let id = view.identity();
    writeln!(
        out,
        "History at {}: {MAX_CHIPS} chips x {MEMORY_KINDS} memory kinds x {HISTORY_SAMPLES} samples of 8 bytes. Spans at {}: \
         {MAX_CHIPS} chips x {MEMORY_KINDS} memory kinds x {HISTORY_SPANS} of 8 bytes, each the largest of {HISTORY_SAMPLES_PER_SPAN} \
         samples; sample n belongs to span n / {HISTORY_SAMPLES_PER_SPAN}, and both lie at their number modulo the ring's length. A sample \
         that nobody took is all ones. Buffers at {} and {}, {} words each, of which the first {BUFFER_HEADER_WORDS} are its own. {} bytes \
         in all.\n",
        id.history_offset,
        id.spans_offset,
        id.buffers_offset,
        id.buffers_offset + id.buffer_words * 8,
        id.buffer_words,
        id.total_bytes
    )
    .expect("a string");
    writeln!(out, "Double buffer:\n\n```text\n{}```\n", seqlock.diagram()).expect("a string");
    writeln!(out, "Snapshot:\n\n```text\n{}```\n", snapshot.diagram()).expect("a string");
    writeln!(
        out,
        "At most {MAX_CHIPS} chips, {MAX_PROCESSES} processes, {MAX_ROWS} rows, {MAX_LINES} lines, {MAX_REFUSALS} refused rings and {MAX_DIFFERENCES} differences: {} words.\n",
        Snapshot::MAX_WORDS
    )
    .expect("a string");
    table!(&figures, "Health", Health;
        monotonic_ns unix_ns generation rings rejected_rings_total events_total dropped_events_total torn_events_total
        lag_events live_allocations hidden_processes hidden_rows cpu_ns deaths_total refused_rings hidden_refusals places
        open_files_limit differences unread_counters anomalies)
    .write("`Health`", out);
    table!(&figures, "Anomalies", Anomalies;
        free_unknown double_free invalid_record alloc_live overflow size_mismatch reserved)
    .write("`Anomalies`", out);
    table!(&figures, "Figures", Figures;
        live_bytes footprint_bytes blocks peak_footprint_bytes capacity_bytes allocated_bytes_total freed_bytes_total
        resident_bytes fabric_bytes dispatch_bytes detail_incomplete baseline)
    .write("`Figures`", out);
    table!(&figures, "Chip", Chip;
        chip_id arch id_is_logical board_id tensix_cores device processes reserved board memory telemetry)
    .write("`Chip`", out);
    table!(&figures, "Process", Process;
        pid uid state source start_ticks start_unix_ns last_event_unix_ns events_total dropped_events_total lag_events
        nonce ring_pid incomplete torn_events_total anomalies name command_line)
    .write("`Process`", out);
    let bits = stats::incomplete::ALL.map(|(bit, name)| format!("{bit:#x} {name}"));
    writeln!(out, "Bits of `incomplete`: {}.\n", bits.join(", ")).expect("a string");
    table!(&figures, "Row", Row; process chip device memory figures).write("`Row`", out);
    table!(&figures, "Line", Line; unix_ns severity pid text).write("`Line`", out);
    table!(&refusal, "Refusal", Refusal; nonce pid uid owner reason passing reserved since_unix_ns text)
        .write("`Refusal`", out);
    let reasons = Reason::ALL.map(|reason| format!("{} {}", reason as u32, reason.name()));
    writeln!(out, "Reasons: {}.\n", reasons.join(", ")).expect("a string");
    table!(&telemetry, "Telemetry", Telemetry;
        read_unix_ns presence number pci asic_id serial temperature_millicelsius temperature_limit_millicelsius
        power_microwatts power_limit_microwatts current_milliamperes current_limit_milliamperes voltage_millivolts
        ai_clock_mhz axi_clock_mhz arc_clock_mhz fan_rpm heartbeat thermal_trips open_by card firmware)
    .write("`Telemetry`", out);
    table!(&telemetry, "Difference", Difference; pid chip memory reserved tracked_bytes told_bytes since_unix_ns)
        .write("`Difference`", out);
}

fn stacks_of_allocations(out: &mut String) {
    let (module, header) = (Source::new("stacks/mod.rs"), Source::new("stacks/header.rs"));
    writeln!(out, "## Call stacks\n\nMagic `{:#018x}`, version {}.\n", stacks::MAGIC, stacks::VERSION)
        .expect("a string");
    writeln!(out, "```text\n{}```\n", module.diagram()).expect("a string");
    writeln!(out, "{}", module.from("An allocation whose")).expect("a string");
    type Header = StacksHeader<AtomicU64>;
    let mut table = table!(&header, "StacksHeader", Header; depth told untold modules_untold);
    table.fields.insert(0, (0, "identity"));
    write_sparse(&table, &[size_of::<ring::Identity>(), 8, 8, 8, 8], "`StacksHeader`", out);
    table!(&Source::new("stacks/modules.rs"), "ModuleSlot", ModuleSlot<AtomicU64>;
        state begin end bias build_id_bytes build_id path_bytes path)
    .write("`ModuleSlot`", out);
    table!(&Source::new("stacks/table.rs"), "StackSlot", StackSlot<AtomicU64>; state about addresses)
        .write("`StackSlot`", out);
}

fn document() -> String {
    let mut out = String::from(
        "# Shared-memory layouts\n\n\
         Every file that tt-alloc keeps in /dev/shm, byte for byte. Numbers are little-endian; a layout has one version, \
         another one is refused. `0x…` is the same offset again.\n\n\
         <!-- Generated from the sources of shm-layout; do not edit.\n     \
         BLESS=1 cargo test -p shm-layout --test layout_doc -->\n\n",
    );
    for write in [events, rings, ledgers, stacks_of_allocations, segments] {
        write(&mut out);
    }
    format!("{}\n", out.trim_end())
}

#[test]
fn the_documentation_is_the_code() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace");
    let path: PathBuf = root.join("docs/shm-layout.md");
    let made = document();
    if std::env::var_os("BLESS").is_some_and(|value| value == "1") {
        fs::write(&path, &made).expect("documentation written");
    }
    let kept = fs::read_to_string(&path).unwrap_or_default();
    let first = made.lines().zip(kept.lines()).find(|(made, kept)| made != kept);
    assert!(made == kept, "docs/shm-layout.md is not what the code says (code, file): {first:?}; BLESS=1 rewrites it");
}

/// Tables have no holes that nobody names: fields follow each other to the end of the struct.
#[test]
fn no_byte_is_unnamed() {
    fn check<T: bytemuck::Pod>(name: &str, last: usize, size: usize) {
        // Pod has no padding; the last field listed has to end where the struct does.
        assert_eq!(last + size, size_of::<T>(), "{name}");
    }
    check::<Event>("Event", offset_of!(Event, flags), 2);
    check::<ring::Identity>("ring::Identity", offset_of!(ring::Identity, reserved), 88);
    check::<ledger::Identity>("ledger::Identity", offset_of!(ledger::Identity, reserved), 80);
    check::<stats::Identity>("stats::Identity", offset_of!(stats::Identity, reserved), 40);
    check::<Counters>("Counters", offset_of!(Counters, reserved), 48);
    check::<Device>("Device", offset_of!(Device, banks), 64);
    check::<Banks>("Banks", offset_of!(Banks, bytes), 8);
    check::<Account>("Account", offset_of!(Account, baseline_unix_ns), 8);
    check::<Figures>("Figures", offset_of!(Figures, baseline), 8);
    check::<Chip>("Chip", offset_of!(Chip, telemetry), 200);
    check::<Telemetry>("Telemetry", offset_of!(Telemetry, firmware), 24);
    check::<Difference>("Difference", offset_of!(Difference, since_unix_ns), 8);
    check::<Process>("Process", offset_of!(Process, command_line), 200);
    check::<Row>("Row", offset_of!(Row, figures), 96);
    check::<Line>("Line", offset_of!(Line, text), 240);
    check::<Refusal>("Refusal", offset_of!(Refusal, text), 120);
    check::<Anomalies>("Anomalies", offset_of!(Anomalies, reserved), 16);
    check::<Health>("Health", offset_of!(Health, anomalies), 64);
}
