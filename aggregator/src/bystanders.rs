//! What others than rings tell, put beside the chips and processes that are tracked: telemetry of chips, chips that no tracked
//! process has told of, processes that use a device and are not tracked, and where tt-metal's own counters differ from what
//! a tracked process's records say. Never in a sum: the figures of chips are those of tracked processes.

mod comparison;

use crate::chips::{Chips, board_of};
use crate::counters::{KINDS, Region};
use crate::sheet::Sheet;
use crate::telemetry::matching::{Matching, matching};
use crate::telemetry::{Person, Reading};
use comparison::Comparison;
use shm_layout::event::{MEMORY_KINDS, Memory};
use shm_layout::stats::{
    Chip, Difference, Figures, MAX_CHIPS, MAX_PROCESSES, MAX_ROWS, Presence, Process, Row, Source, State, Telemetry,
    UNKNOWN,
};
use shm_layout::text;
use std::sync::Arc;

/// Processes that are not tracked, at most.
const PROCESSES: usize = 256;
/// A logical number above this is none.
const MOST_NUMBER: u32 = 4096;

/// What [`settle`](Bystanders::settle) made of the last reading.
#[derive(Debug, Default)]
pub struct Bystanders {
    reading: Arc<Reading>,
    is_new: bool,
    /// What it was settled with: the sheet's edition, and how many chips there were.
    settled: (u64, usize),
    chips: Vec<Chip>,
    processes: Vec<Process>,
    rows: Vec<Row>,
    hidden: u64,
    comparison: Comparison,
}

impl Bystanders {
    /// A new reading.
    pub fn hear(&mut self, reading: Arc<Reading>) {
        self.reading = reading;
        self.is_new = true;
    }

    /// Brings everything up to date, if there is anything new. The sheet is up to date.
    pub fn settle(&mut self, chips: &mut Chips, sheet: &Sheet, now_unix_ns: u64) {
        let with = (sheet.edition(), chips.all().len());
        if self.settled == with && !self.is_new {
            return;
        }
        self.settled = with;
        let reading = Arc::clone(&self.reading);
        if core::mem::take(&mut self.is_new) {
            self.comparison.compare(&reading.regions, chips.all(), sheet, now_unix_ns);
        }
        self.comparison.keep(sheet);
        self.place_chips(&reading, chips, sheet);
        self.place_processes(&reading, chips.all(), sheet);
    }

    /// Those that no tracked process has told of.
    pub fn chips(&self) -> &[Chip] {
        &self.chips
    }

    /// Those that are not tracked, by pid.
    pub fn processes(&self) -> &[Process] {
        &self.processes
    }

    /// What they are known to have.
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// How many did not fit.
    pub const fn hidden(&self) -> u64 {
        self.hidden
    }

    /// Where tt-metal's counters tell something else than records, as many as fit.
    pub fn differences(&self) -> &[Difference] {
        self.comparison.shown()
    }

    /// How many there are.
    pub fn differences_total(&self) -> u64 {
        self.comparison.total()
    }

    /// Files of tt-metal's counters that are not read.
    pub fn unread_counters(&self) -> u64 {
        self.reading.unread_regions
    }

    /// Gives each chip its telemetry, and makes rows of those that the tracked ones are not.
    fn place_chips(&mut self, reading: &Reading, chips: &mut Chips, sheet: &Sheet) {
        self.chips.clear();
        let room = MAX_CHIPS.saturating_sub(chips.all().len());
        let strange = |region: &&Region| {
            region.believed.iter().any(|(person, _)| is_bystander(sheet, person))
                && chips.find(region.chip_id, false).is_none()
        };
        let by_counters: Vec<Chip> = reading
            .regions
            .iter()
            .filter(strange)
            .map(|region| Chip {
                device: Some(region.number).filter(|number| *number <= MOST_NUMBER).unwrap_or(u32::MAX),
                telemetry: Telemetry { presence: Presence::Counters as u32, ..Telemetry::NONE },
                ..unused(region.chip_id, 0)
            })
            .collect();
        let mut all = chips.all().to_vec();
        all.extend(by_counters);
        let Matching { device_of, is_spare } = matching(&reading.devices, &all);
        for (at, (chip, device)) in all.iter_mut().zip(device_of).enumerate() {
            let Some(device) = device.map(|at| &reading.devices[at]) else {
                if let Some(tracked) = chips.all_mut().get_mut(at) {
                    tracked.telemetry = Telemetry::NONE;
                }
                continue;
            };
            if let Some(tracked) = chips.all_mut().get_mut(at) {
                tracked.telemetry = Telemetry { presence: Presence::Both as u32, ..device.telemetry };
            } else {
                describe(chip, device.arch as u32, device.telemetry);
            }
        }
        self.chips.extend(all.drain(chips.all().len()..));
        for (device, _) in reading.devices.iter().zip(is_spare).filter(|(_, is_spare)| *is_spare) {
            let asic = device.telemetry.asic_id;
            let known = |chip: &Chip| chip.id_is_logical == 0 && chip.chip_id == asic;
            let has_id = asic != UNKNOWN && !chips.all().iter().chain(&self.chips).any(known);
            let number = u64::from(device.telemetry.number);
            let mut chip = if has_id { unused(asic, 0) } else { unused(number, 2) };
            describe(&mut chip, device.arch as u32, device.telemetry);
            self.chips.push(chip);
        }
        self.chips.truncate(room);
    }

    /// Rows of the processes that are not tracked.
    fn place_processes(&mut self, reading: &Reading, tracked_chips: &[Chip], sheet: &Sheet) {
        self.processes.clear();
        self.rows.clear();
        let index = |holds: &dyn Fn(&Chip) -> bool| {
            tracked_chips.iter().chain(&self.chips).position(holds).and_then(|at| u32::try_from(at).ok())
        };
        // By process and chip: the figures, and the chip's number there.
        let mut found: Vec<Told<'_>> = Vec::new();
        for region in &reading.regions {
            let Some(chip) = index(&|chip| chip.id_is_logical == 0 && chip.chip_id == region.chip_id) else { continue };
            for (person, slot) in region.believed.iter().filter(|(person, _)| is_bystander(sheet, person)) {
                let row = |(memory, bytes): (Memory, u64)| Row {
                    process: 0,
                    chip,
                    device: Some(region.number).filter(|number| *number <= MOST_NUMBER).unwrap_or(u32::MAX),
                    memory: memory as u32,
                    figures: Figures { live_bytes: bytes, ..Figures::UNKNOWN },
                };
                add(&mut found, person, Source::TtMetal, KINDS.into_iter().zip(slot.bytes).map(row).collect());
            }
        }
        for device in &reading.devices {
            let number = device.telemetry.number;
            let is_it = |chip: &Chip| chip.telemetry.is_known() && chip.telemetry.number == number;
            let chip = index(&is_it);
            for person in device.open_by.iter().filter(|person| is_bystander(sheet, person)) {
                let row =
                    |chip| Row { process: 0, chip, device: u32::MAX, memory: u32::MAX, figures: Figures::UNKNOWN };
                add(&mut found, person, Source::Driver, chip.map(row).into_iter().collect());
            }
        }
        found.sort_by_key(|(person, ..)| person.pid);
        let before = sheet.processes().len();
        let room = PROCESSES.min(MAX_PROCESSES - before);
        self.hidden = found.len().saturating_sub(room) as u64;
        for (person, source, rows) in found.into_iter().take(room) {
            let process = (before + self.processes.len()) as u32;
            self.processes.push(process_of(person, source));
            self.rows.extend(rows.into_iter().map(|row| Row { process, ..row }));
        }
        self.rows.truncate(MAX_ROWS - sheet.rows().len());
    }
}

/// A process, who told first of it, and what is known of it.
type Told<'a> = (&'a Person, Source, Vec<Row>);

/// Adds a process, or these rows to it where nobody told of their chip.
fn add<'a>(found: &mut Vec<Told<'a>>, person: &'a Person, source: Source, rows: Vec<Row>) {
    match found.iter_mut().find(|(known, ..)| known.is(person)) {
        Some((_, _, known)) => {
            let told: Vec<u32> = known.iter().map(|row| row.chip).collect();
            known.extend(rows.into_iter().filter(|row| !told.contains(&row.chip)));
        }
        None => found.push((person, source, rows)),
    }
}

/// Whether this process lives and has no ring of its own.
fn is_bystander(sheet: &Sheet, person: &Person) -> bool {
    place_of(sheet, person).is_none() && person.is_alive()
}

/// The place of its row, if it is tracked.
fn place_of(sheet: &Sheet, person: &Person) -> Option<usize> {
    let all = sheet.processes();
    let first = all.partition_point(|process| process.pid < person.pid);
    let same = all[first..].iter().take_while(|process| process.pid == person.pid);
    same.zip(first..).find(|(process, _)| process.start_ticks == person.start_ticks).map(|(_, place)| place)
}

fn unused(chip_id: u64, id_is_logical: u32) -> Chip {
    Chip {
        chip_id,
        arch: 0,
        id_is_logical,
        board_id: 0,
        tensix_cores: 0,
        device: u32::MAX,
        processes: 0,
        reserved: 0,
        board: [0; 24],
        memory: [Figures { capacity_bytes: UNKNOWN, ..Figures::default() }; MEMORY_KINDS],
        telemetry: Telemetry::NONE,
    }
}

/// What the driver tells of a chip that no tracked process has told of.
fn describe(chip: &mut Chip, arch: u32, telemetry: Telemetry) {
    let serial = if telemetry.serial == UNKNOWN { 0 } else { telemetry.serial };
    let card = text::load(&telemetry.card);
    let board = if card.is_empty() { board_of(arch, serial, chip.chip_id) } else { &card };
    chip.arch = arch;
    chip.board_id = serial;
    chip.board = text::store(board.as_bytes());
    chip.telemetry = Telemetry { presence: Presence::Driver as u32, ..telemetry };
}

fn process_of(person: &Person, source: Source) -> Process {
    Process {
        pid: person.pid,
        uid: person.uid,
        state: State::Running as u32,
        source: source as u32,
        start_ticks: person.start_ticks,
        start_unix_ns: person.start_unix_ns,
        last_event_unix_ns: 0,
        events_total: 0,
        dropped_events_total: 0,
        lag_events: 0,
        nonce: 0,
        ring_pid: 0,
        incomplete: 0,
        torn_events_total: 0,
        anomalies: shm_layout::stats::Anomalies::default(),
        name: text::store(person.name.as_bytes()),
        command_line: text::store(&person.command_line),
    }
}
