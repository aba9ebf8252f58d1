//! The comma-separated values of `--csv`, by RFC 4180: one header, a row a device and a row a process. Bytes are plain integers; a field without a
//! value is not known, or not told of such a record.
//!
//! Texts come from other users' processes, and spreadsheets take some of them for formulas: these get a `'` in front.

use crate::roster::Roster;
use crate::selection::chip_labels;
use crate::source::{Connection, Observation};
use crate::table::shown_memories;
use crate::totals::{self, ProcessTotals};
use crate::users::Users;
use shm_layout::event::{Arch, MEMORY_KINDS, Memory};
use shm_layout::report::chip_id_text;
use shm_layout::stats::{Chip, Figures, Source, State, UNKNOWN};
use shm_layout::text;

/// The columns, in their order: a contract, to which others may be added at the end.
pub const COLUMNS: [&str; 31] = [
    "record",
    "unix_seconds",
    "stale",
    "device",
    "chip_id",
    "arch",
    "board",
    "pid",
    "user",
    "name",
    "command_line",
    "state",
    "source",
    "age_seconds",
    "events",
    "total_bytes",
    "dram_bytes",
    "l1_bytes",
    "l1_small_bytes",
    "trace_bytes",
    "cb_registered_bytes",
    "cb_resident_bytes",
    "kernel_bytes",
    "system_memory_bytes",
    "since_baseline_bytes",
    "blocks",
    "dram_capacity_bytes",
    "l1_capacity_bytes",
    "dram_peak_bytes",
    "l1_peak_bytes",
    "detail_complete",
];

/// One record, as fields by their columns.
#[derive(Default)]
struct Record([String; COLUMNS.len()]);

impl Record {
    /// Text, of whoever wrote it.
    fn text(&mut self, column: &str, text: &str) {
        self.plain(column, harmless(text));
    }

    /// A number, or a word of our own.
    fn plain(&mut self, column: &str, value: impl ToString) {
        if let Some(at) = COLUMNS.iter().position(|known| *known == column) {
            self.0[at] = value.to_string();
        }
    }

    fn known(&mut self, column: &str, value: Option<u64>) {
        if let Some(value) = value.filter(|value| *value != UNKNOWN) {
            self.plain(column, value);
        }
    }

    fn line(&self) -> String {
        let mut line = self.0.iter().map(|field| quoted(field)).collect::<Vec<_>>().join(",");
        line.push_str("\r\n");
        line
    }
}

/// Quoted where it has to be.
fn quoted(field: &str) -> String {
    if field.contains([',', '"', '\r', '\n']) {
        format!("\"{}\"", field.replace('"', "\"\""))
    } else {
        field.to_owned()
    }
}

/// No control characters, and no formula.
fn harmless(told: &str) -> String {
    let told = text::clean(told.as_bytes());
    let formula = told.trim_start().starts_with(['=', '+', '-', '@', '＝', '＋', '－', '＠']);
    if formula { format!("'{told}") } else { told }
}

/// The header.
pub fn header() -> String {
    let mut line = COLUMNS.join(",");
    line.push_str("\r\n");
    line
}

/// The rows of one look: the devices, then the processes in the snapshot's order.
pub fn rows(seen: &Observation, users: &Users) -> String {
    rows_as(seen, matches!(seen.connection(), Connection::Live), users)
}

/// The same of an aggregator that was told to live, or not: of a recording.
pub fn rows_as(seen: &Observation, live: bool, users: &Users) -> String {
    let mut rows = String::new();
    let snapshot = &seen.snapshot;
    let labels = chip_labels(&snapshot.chips);
    let stale = !live;
    let record = |kind: &str| {
        let mut record = Record::default();
        record.plain("record", kind);
        record
            .plain("unix_seconds", format!("{}.{:03}", seen.unix_ns / 1_000_000_000, seen.unix_ns / 1_000_000 % 1000));
        record.plain("stale", stale);
        record
    };
    for (chip, label) in snapshot.chips.iter().zip(&labels) {
        let mut record = record("device");
        device(&mut record, chip, label);
        rows.push_str(&record.line());
    }
    let mut sums: Vec<Sums> = snapshot.processes.iter().map(|_| Sums::default()).collect();
    for row in &snapshot.rows {
        if let Some(sum) = sums.get_mut(row.process as usize) {
            sum.add(row.memory as usize, &row.figures);
        }
    }
    let mut roster = Roster::default();
    roster.update(&snapshot.processes, users);
    for ((p, of), sums) in totals::processes(snapshot, &roster).iter().zip(&snapshot.processes).zip(&sums) {
        let mut record = record("process");
        process(&mut record, p, &labels);
        record.plain("state", State::name(of.state));
        if p.is_known() {
            sums.tell(&mut record);
            record.plain("total_bytes", p.total);
        }
        rows.push_str(&record.line());
    }
    rows
}

fn device(record: &mut Record, chip: &Chip, label: &str) {
    record.plain("device", if label == "-" { "" } else { label });
    if chip.id_is_logical == 0 {
        record.plain("chip_id", chip_id_text(chip.chip_id));
    }
    record.plain("arch", Arch::from_u32(chip.arch).name());
    record.text("board", &text::load(&chip.board));
    record.known("dram_capacity_bytes", chip.memory[Memory::Dram as usize].capacity());
    record.known("l1_capacity_bytes", chip.memory[Memory::L1 as usize].capacity());
    // Of a chip that no process told of nothing is known, which is not 0.
    if shown_memories(std::slice::from_ref(chip)).is_empty() {
        return;
    }
    let mut sums = Sums::default();
    for (memory, figures) in chip.memory.iter().enumerate() {
        sums.add(memory, figures);
    }
    sums.tell(record);
    record.plain("total_bytes", sums.total());
    record.known("dram_peak_bytes", Some(chip.memory[Memory::Dram as usize].peak_footprint_bytes));
    record.known("l1_peak_bytes", Some(chip.memory[Memory::L1 as usize].peak_footprint_bytes));
    let since = chip.memory.iter().filter_map(Figures::since_baseline_bytes).reduce(i64::saturating_add);
    record.plain("since_baseline_bytes", since.map_or_else(String::new, |since| since.to_string()));
    record.plain("detail_complete", chip.memory.iter().all(|figures| figures.detail_incomplete == 0));
}

fn process(record: &mut Record, p: &ProcessTotals, labels: &[String]) {
    record.text("device", &p.chips.labels(labels).collect::<Vec<_>>().join(" "));
    record.plain("pid", p.pid);
    record.text("user", &p.who.user);
    record.text("name", &p.who.name);
    record.text("command_line", &p.who.command_line);
    record.plain("source", Source::name(p.source));
    if let Some(age) = p.age_ns {
        record.plain("age_seconds", age / 1_000_000_000);
    }
    if p.mark().is_none() {
        record.plain("events", p.events);
        record.plain("detail_complete", !p.incomplete);
    }
    record.plain("since_baseline_bytes", p.since.map_or_else(String::new, |since| since.to_string()));
}

/// Bytes by memory kind.
#[derive(Clone, Default)]
struct Sums {
    held: [u64; MEMORY_KINDS],
    resident: u64,
    blocks: u64,
}

impl Sums {
    fn add(&mut self, memory: usize, figures: &Figures) {
        if let Some(held) = self.held.get_mut(memory) {
            *held = held.saturating_add(figures.held_bytes().unwrap_or(0));
        }
        if memory == Memory::Cb as usize && figures.resident_bytes != UNKNOWN {
            self.resident = self.resident.saturating_add(figures.resident_bytes);
        }
        if figures.blocks != UNKNOWN {
            self.blocks = self.blocks.saturating_add(figures.blocks);
        }
    }

    const fn of(&self, memory: Memory) -> u64 {
        self.held[memory as usize]
    }

    /// As the tables sum it.
    fn total(&self) -> u64 {
        let kinds = [Memory::Dram, Memory::Trace, Memory::L1, Memory::L1Small];
        kinds.into_iter().fold(self.resident, |total, memory| total.saturating_add(self.of(memory)))
    }

    fn tell(&self, record: &mut Record) {
        for (column, memory) in [
            ("dram_bytes", Memory::Dram),
            ("l1_bytes", Memory::L1),
            ("l1_small_bytes", Memory::L1Small),
            ("trace_bytes", Memory::Trace),
            ("cb_registered_bytes", Memory::Cb),
            ("kernel_bytes", Memory::Kernel),
            ("system_memory_bytes", Memory::SystemMemory),
        ] {
            record.plain(column, self.of(memory));
        }
        record.plain("cb_resident_bytes", self.resident);
        record.plain("blocks", self.blocks);
    }
}

#[cfg(test)]
mod tests;
