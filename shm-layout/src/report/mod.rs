//! The JSON contract: what `--json` prints everywhere, made of a [`Snapshot`].
//!
//! Numbers are numbers with the unit in the key; unknown is `null`; chip ids are strings (JSON numbers end at 2^53).

mod telemetry;

pub use telemetry::{Difference, Telemetry};

use crate::event::{Arch, Memory};
use crate::names::Prefix;
use crate::stats::{self, Figures, Presence, Reason, Row, Snapshot, Source, State, UNKNOWN, incomplete};
use crate::text;
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

/// Version of the JSON.
pub const SCHEMA_VERSION: u32 = 1;

/// The whole host.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs, reason = "the field names are the contract")]
pub struct Report {
    pub schema_version: u32,
    pub aggregator: Aggregator,
    pub devices: Vec<Device>,
    pub processes: Vec<Process>,
    pub events: Vec<EventLine>,
}

/// The aggregator's own state.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs, reason = "the field names are the contract")]
pub struct Aggregator {
    pub pid: u32,
    pub uptime_seconds: f64,
    pub age_seconds: f64,
    /// Unix time in seconds.
    pub start_time: Option<f64>,
    /// Since its last round; `null` where it ended in good order.
    pub heartbeat_age_seconds: Option<f64>,
    /// It runs no more, or has not run for two seconds: every figure is of then.
    pub stale: bool,
    pub rings: u64,
    /// Processes that can be tracked at once, and the limit that this comes from.
    pub places: u64,
    pub open_files_limit: u64,
    /// Rings that are there now and are not read; so many more do not fit.
    pub rejected_rings: Vec<RejectedRing>,
    pub rejected_rings_hidden: u64,
    /// So far.
    pub rejected_rings_total: u64,
    pub events_total: u64,
    pub dropped_events_total: u64,
    pub torn_events_total: u64,
    pub lag_events: u64,
    pub live_allocations: u64,
    pub deaths_total: u64,
    pub hidden_processes: u64,
    pub hidden_rows: u64,
    pub cpu_seconds: f64,
    pub anomalies: Anomalies,
    /// Where tt-metal's own counters tell something else than a tracked process's records.
    pub differences: Vec<Difference>,
    pub differences_total: u64,
    /// Files of tt-metal's own counters that are not read.
    pub unread_counters: u64,
}

/// One ring that is there and is not read.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs, reason = "the field names are the contract")]
pub struct RejectedRing {
    pub name: String,
    /// As its name claims.
    pub pid: u32,
    /// As its name claims.
    pub uid: u32,
    /// Of the file.
    pub owner_uid: u32,
    pub reason: &'static str,
    /// The reason in words.
    pub text: String,
    /// It is tried again every few seconds.
    pub passing: bool,
    pub since_unix_seconds: f64,
}

/// What could not be believed.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs, reason = "the field names are the contract")]
pub struct Anomalies {
    pub free_unknown: u64,
    pub double_free: u64,
    pub invalid_record: u64,
    pub alloc_live: u64,
    pub overflow: u64,
    pub size_mismatch: u64,
}

impl From<&stats::Anomalies> for Anomalies {
    fn from(a: &stats::Anomalies) -> Self {
        let stats::Anomalies { free_unknown, double_free, invalid_record, alloc_live, overflow, size_mismatch, .. } =
            *a;
        Self { free_unknown, double_free, invalid_record, alloc_live, overflow, size_mismatch }
    }
}

/// One chip.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs, reason = "the field names are the contract")]
pub struct Device {
    pub chip_id: String,
    pub chip_id_is_logical: bool,
    pub arch: &'static str,
    pub board: Option<String>,
    /// `null`: no process told a number.
    pub device: Option<u32>,
    pub tensix_cores: Option<u32>,
    pub processes: u32,
    /// Who knows of it: tracked processes, the driver, tt-metal's own counters.
    pub known_by: &'static str,
    /// What the driver tells of it; `null` where it tells nothing.
    pub telemetry: Option<Telemetry>,
    pub memory: MemoryTable,
}

/// One process.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs, reason = "the field names are the contract")]
pub struct Process {
    pub pid: u32,
    pub uid: u32,
    pub user: Option<String>,
    pub name: String,
    pub command_line: String,
    /// Unix time in seconds.
    pub start_time: Option<f64>,
    pub last_event_unix_seconds: Option<f64>,
    pub last_event_age_seconds: Option<f64>,
    pub state: &'static str,
    pub source: &'static str,
    pub events_total: u64,
    pub dropped_events_total: u64,
    pub torn_events_total: u64,
    pub lag_events: u64,
    pub anomalies: Anomalies,
    /// Why single allocations are missing; none when all are there.
    pub detail_incomplete_reasons: Vec<&'static str>,
    pub devices: Vec<ProcessDevice>,
}

/// What a process holds on one chip.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs, reason = "the field names are the contract")]
pub struct ProcessDevice {
    pub chip_id: String,
    pub device: Option<u32>,
    pub memory: MemoryTable,
}

/// One event line.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs, reason = "the field names are the contract")]
pub struct EventLine {
    pub time_unix_seconds: f64,
    pub severity: &'static str,
    pub pid: Option<u32>,
    pub text: String,
}

/// Figures by memory kind; the key is the kind's name.
#[derive(Clone, Debug, Default)]
pub struct MemoryTable(pub Vec<(Memory, Figures)>);

impl Serialize for MemoryTable {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (memory, figures) in &self.0 {
            map.serialize_entry(memory.name(), &MemoryFigures { memory: *memory, figures })?;
        }
        map.end()
    }
}

struct MemoryFigures<'a> {
    memory: Memory,
    figures: &'a Figures,
}

impl Serialize for MemoryFigures<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let f = self.figures;
        let mut map = serializer.serialize_map(None)?;
        // Of a process that is not tracked most is not known.
        let known = |figure: u64| (figure != UNKNOWN).then_some(figure);
        map.serialize_entry("live_bytes", &known(f.live_bytes))?;
        map.serialize_entry("footprint_bytes", &known(f.footprint_bytes))?;
        map.serialize_entry("blocks", &known(f.blocks))?;
        map.serialize_entry("peak_footprint_bytes", &known(f.peak_footprint_bytes))?;
        map.serialize_entry("capacity_bytes", &f.capacity())?;
        map.serialize_entry("allocated_bytes_total", &known(f.allocated_bytes_total))?;
        map.serialize_entry("freed_bytes_total", &known(f.freed_bytes_total))?;
        map.serialize_entry("detail_complete", &(f.detail_incomplete == 0))?;
        if f.blocks == UNKNOWN {
            return map.end();
        }
        map.serialize_entry("baseline_bytes", &f.baseline_bytes())?;
        map.serialize_entry("since_baseline_bytes", &f.since_baseline_bytes())?;
        map.serialize_entry("baseline_automatic", &f.baseline_bytes().map(|_| f.is_baseline_automatic()))?;
        match self.memory {
            Memory::Cb => {
                map.serialize_entry("registered_bytes", &f.footprint_bytes)?;
                map.serialize_entry("resident_bytes", &f.resident_bytes)?;
            }
            Memory::Kernel => {
                let application = f.footprint_bytes.saturating_sub(f.fabric_bytes).saturating_sub(f.dispatch_bytes);
                map.serialize_entry("application_bytes", &application)?;
                map.serialize_entry("fabric_bytes", &f.fabric_bytes)?;
                map.serialize_entry("dispatch_bytes", &f.dispatch_bytes)?;
                // More than the chip's region for them holds at a time: what programs have loaded so far, not what is there.
                map.serialize_entry("cumulative", &f.capacity().map(|capacity| application > capacity))?;
            }
            _ => {}
        }
        map.end()
    }
}

/// A chip id as the JSON and the tables show it.
pub fn chip_id_text(chip_id: u64) -> String {
    format!("{chip_id:#x}")
}

fn seconds(ns: u64) -> f64 {
    ns as f64 / 1e9
}

fn some_seconds(ns: u64) -> Option<f64> {
    (ns != 0).then(|| seconds(ns))
}

/// What the report needs besides the snapshot.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// Of the files' names.
    pub prefix: &'a Prefix,
    /// The aggregator's pid.
    pub pid: u32,
    /// When it began, `CLOCK_MONOTONIC` ns.
    pub started_monotonic_ns: u64,
    /// Now, `CLOCK_MONOTONIC` ns.
    pub now_monotonic_ns: u64,
    /// Now, Unix time in ns.
    pub now_unix_ns: u64,
    /// When it last ran, `CLOCK_MONOTONIC` ns; 0: it ended in good order.
    pub heartbeat_ns: u64,
    /// Whether it runs.
    pub live: bool,
}

impl Report {
    /// The report of a snapshot; `user_of` names a uid where it can.
    pub fn new(snapshot: &Snapshot, context: Context<'_>, user_of: impl Fn(u32) -> Option<String>) -> Self {
        let h = &snapshot.health;
        let aggregator = Aggregator {
            pid: context.pid,
            uptime_seconds: seconds(context.now_monotonic_ns.saturating_sub(context.started_monotonic_ns)),
            age_seconds: seconds(context.now_monotonic_ns.saturating_sub(context.heartbeat_ns)),
            start_time: some_seconds(
                context
                    .now_unix_ns
                    .saturating_sub(context.now_monotonic_ns.saturating_sub(context.started_monotonic_ns)),
            ),
            heartbeat_age_seconds: (context.heartbeat_ns != 0)
                .then(|| seconds(context.now_monotonic_ns.saturating_sub(context.heartbeat_ns))),
            stale: !context.live,
            rings: h.rings,
            places: h.places,
            open_files_limit: h.open_files_limit,
            rejected_rings: snapshot.refusals.iter().map(|refusal| rejected(refusal, context.prefix)).collect(),
            rejected_rings_hidden: h.hidden_refusals,
            rejected_rings_total: h.rejected_rings_total,
            events_total: h.events_total,
            dropped_events_total: h.dropped_events_total,
            torn_events_total: h.torn_events_total,
            lag_events: h.lag_events,
            live_allocations: h.live_allocations,
            deaths_total: h.deaths_total,
            hidden_processes: h.hidden_processes,
            hidden_rows: h.hidden_rows,
            cpu_seconds: seconds(h.cpu_ns),
            anomalies: (&h.anomalies).into(),
            differences: Difference::all(snapshot),
            differences_total: h.differences,
            unread_counters: h.unread_counters,
        };
        let devices = snapshot.chips.iter().map(|chip| {
            let board = text::load(&chip.board);
            Device {
                chip_id: chip_id_text(chip.chip_id),
                chip_id_is_logical: chip.id_is_logical != 0,
                arch: Arch::from_u32(chip.arch).name(),
                board: (!board.is_empty()).then_some(board),
                device: (chip.device != u32::MAX).then_some(chip.device),
                tensix_cores: (chip.tensix_cores != 0).then_some(chip.tensix_cores),
                processes: chip.processes,
                known_by: Presence::name(chip.telemetry.presence),
                telemetry: Telemetry::of(&chip.telemetry, context.now_unix_ns),
                memory: MemoryTable(Memory::ALL.into_iter().map(|m| (m, chip.memory[m as usize])).collect()),
            }
        });
        let processes = snapshot.processes.iter().enumerate().map(|(at, p)| Process {
            pid: p.pid,
            uid: p.uid,
            user: user_of(p.uid),
            name: text::load(&p.name),
            command_line: text::load(&p.command_line),
            start_time: some_seconds(p.start_unix_ns),
            last_event_unix_seconds: some_seconds(p.last_event_unix_ns),
            last_event_age_seconds: (p.last_event_unix_ns != 0)
                .then(|| seconds(context.now_unix_ns.saturating_sub(p.last_event_unix_ns))),
            state: State::name(p.state),
            source: Source::name(p.source),
            events_total: p.events_total,
            dropped_events_total: p.dropped_events_total,
            torn_events_total: p.torn_events_total,
            lag_events: p.lag_events,
            anomalies: (&p.anomalies).into(),
            detail_incomplete_reasons: incomplete::names(p.incomplete),
            devices: process_devices(snapshot, at),
        });
        let events = snapshot.lines.iter().map(|line| EventLine {
            time_unix_seconds: seconds(line.unix_ns),
            severity: match line.severity {
                0 => "info",
                1 => "warning",
                _ => "error",
            },
            pid: (line.pid != 0).then_some(line.pid),
            text: text::load(&line.text),
        });
        Self {
            schema_version: SCHEMA_VERSION,
            aggregator,
            devices: devices.collect(),
            processes: processes.collect(),
            events: events.collect(),
        }
    }
}

fn rejected(refusal: &stats::Refusal, prefix: &Prefix) -> RejectedRing {
    RejectedRing {
        name: refusal.file().name(prefix),
        pid: refusal.pid,
        uid: refusal.uid,
        owner_uid: refusal.owner,
        reason: Reason::of(refusal.reason).name(),
        text: refusal.words(),
        passing: refusal.passing != 0,
        since_unix_seconds: seconds(refusal.since_unix_ns),
    }
}

/// The rows of one process, by chip and logical number.
fn process_devices(snapshot: &Snapshot, process: usize) -> Vec<ProcessDevice> {
    let mut rows: Vec<&Row> = snapshot.rows_of(process).collect();
    rows.sort_by_key(|row| (row.device, row.chip));
    let tracked = snapshot.processes.get(process).is_some_and(|process| Source::is_tracked(process.source));
    let nothing = Figures { capacity_bytes: UNKNOWN, ..if tracked { Figures::default() } else { Figures::UNKNOWN } };
    let same = |a: &&Row, b: &&Row| (a.device, a.chip) == (b.device, b.chip);
    rows.chunk_by(same)
        .map(|group| ProcessDevice {
            chip_id: chip_id_text(snapshot.chips[group[0].chip as usize].chip_id),
            device: (group[0].device != u32::MAX).then_some(group[0].device),
            memory: MemoryTable(
                Memory::ALL
                    .into_iter()
                    .map(|m| {
                        let row = group.iter().find(|row| row.memory == m as u32);
                        (m, row.map_or(nothing, |row| row.figures))
                    })
                    .collect(),
            ),
        })
        .collect()
}
