//! Processes that use a device and are not tracked: told by the driver, or by tt-metal's own counters.

use super::{is_bystander, number_of};
use crate::counters::KINDS;
use crate::person::Person;
use crate::sheet::Sheet;
use crate::telemetry::Reading;
use shm_layout::event::Memory;
use shm_layout::stats::{Chip, Figures, MAX_PROCESSES, MAX_ROWS, Process, Row, Source};
use std::collections::HashMap;

/// Shown at most.
const PROCESSES: usize = 256;

/// Their rows.
#[derive(Debug, Default)]
pub struct Processes {
    shown: Vec<Process>,
    rows: Vec<Row>,
    hidden: u64,
    hidden_rows: u64,
}

/// A process, and what is known of it.
#[derive(Debug)]
struct Told<'a> {
    person: &'a Person,
    /// Who told first of it.
    source: Source,
    /// The driver says that it has a device open: it is not a file that anybody could have made.
    has_device: bool,
    rows: Vec<Row>,
}

/// By pid and start.
type Found<'a> = HashMap<(u32, u64), Told<'a>>;

impl Processes {
    /// Makes rows of those that are not tracked; of these chips, in their order.
    pub fn place(&mut self, reading: &Reading, chips: [&[Chip]; 2], sheet: &Sheet) {
        let mut all: Vec<Told<'_>> = find(reading, chips, sheet).into_values().collect();
        let before = sheet.processes().len();
        let room = PROCESSES.min(MAX_PROCESSES.saturating_sub(before));
        self.hidden = all.len().saturating_sub(room) as u64;
        all.sort_unstable_by_key(|told| (!told.has_device, told.person.pid));
        all.truncate(room);
        all.sort_unstable_by_key(|told| told.person.pid);
        self.shown.clear();
        self.rows.clear();
        for told in all {
            let process = (before + self.shown.len()) as u32;
            self.shown.push(told.person.row(told.source));
            self.rows.extend(told.rows.into_iter().map(|row| Row { process, ..row }));
        }
        let room = MAX_ROWS.saturating_sub(sheet.rows().len());
        self.hidden_rows = self.rows.len().saturating_sub(room) as u64;
        self.rows.truncate(room);
    }

    /// By pid.
    pub fn shown(&self) -> &[Process] {
        &self.shown
    }

    /// What they are known to have.
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// Processes that did not fit.
    pub const fn hidden(&self) -> u64 {
        self.hidden
    }

    /// Rows of those that are shown that did not fit.
    pub const fn hidden_rows(&self) -> u64 {
        self.hidden_rows
    }
}

fn find<'a>(reading: &'a Reading, chips: [&[Chip]; 2], sheet: &Sheet) -> Found<'a> {
    let index = |holds: &dyn Fn(&Chip) -> bool| {
        chips.into_iter().flatten().position(holds).and_then(|at| u32::try_from(at).ok())
    };
    let mut found = Found::new();
    for region in reading.regions.iter() {
        let Some(chip) = index(&|chip| chip.id_is_logical == 0 && chip.chip_id == region.chip_id) else { continue };
        for (person, slot) in region.believed.iter().filter(|(person, _)| is_bystander(sheet, person)) {
            let row = |(memory, bytes): (Memory, u64)| Row {
                process: 0,
                chip,
                device: number_of(region),
                memory: memory as u32,
                figures: Figures { live_bytes: bytes, ..Figures::UNKNOWN },
            };
            let told = tell(&mut found, person, Source::TtMetal);
            add(told, KINDS.into_iter().zip(slot.bytes).map(row));
        }
    }
    for device in &reading.devices {
        let number = device.telemetry.number;
        let chip = index(&|chip| chip.telemetry.is_known() && chip.telemetry.number == number);
        for person in device.open_by.iter().filter(|person| is_bystander(sheet, person)) {
            let row = |chip| Row { process: 0, chip, device: u32::MAX, memory: u32::MAX, figures: Figures::UNKNOWN };
            let told = tell(&mut found, person, Source::Driver);
            told.has_device = true;
            add(told, chip.map(row).into_iter());
        }
    }
    found
}

fn tell<'a, 'f>(found: &'f mut Found<'a>, person: &'a Person, source: Source) -> &'f mut Told<'a> {
    let new = || Told { person, source, has_device: false, rows: Vec::new() };
    found.entry((person.pid, person.start_ticks)).or_insert_with(new)
}

/// Adds these rows, all of one chip, if nobody told of that one.
fn add(told: &mut Told<'_>, rows: impl Iterator<Item = Row>) {
    let mut rows = rows.peekable();
    let is_told = rows.peek().is_some_and(|new| told.rows.iter().any(|row| row.chip == new.chip));
    if !is_told {
        told.rows.extend(rows);
    }
}
