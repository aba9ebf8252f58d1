//! What others than rings tell, put beside the chips and processes that are tracked: telemetry of chips, chips that no tracked
//! process has told of, processes that use a device and are not tracked, and where tt-metal's own counters differ from what
//! a tracked process's records say. Never in a sum: the figures of chips are those of tracked processes.
//!
//! The thread that drains the rings does this: whatever others write, it is work within the bounds of a [`Reading`], and nothing
//! is asked of the system.

mod comparison;
mod processes;
mod strange;

use crate::chips::Chips;
use crate::counters::Region;
use crate::person::Person;
use crate::sheet::Sheet;
use crate::telemetry::Reading;
use comparison::Comparison;
use processes::Processes;
use shm_layout::stats::{Chip, Difference, Process, Row};
use std::sync::Arc;
use strange::StrangeChips;

/// A logical number above this is none.
const MOST_NUMBER: u32 = 4096;

/// What [`settle`](Bystanders::settle) made of the last reading.
#[derive(Debug, Default)]
pub struct Bystanders {
    reading: Arc<Reading>,
    is_new: bool,
    /// What it was settled with: the sheet's edition, and how many chips there were.
    settled: (u64, usize),
    /// The counters that were compared last: they come once a second, other news more often.
    compared: Option<Arc<[Region]>>,
    chips: StrangeChips,
    processes: Processes,
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
        self.is_new = false;
        let reading = Arc::clone(&self.reading);
        if self.compared.as_ref().is_none_or(|compared| !Arc::ptr_eq(compared, &reading.regions)) {
            self.compared = Some(Arc::clone(&reading.regions));
            self.comparison.compare(&reading.regions, chips.all(), sheet, now_unix_ns);
        }
        self.comparison.keep(sheet);
        self.chips.place(&reading, chips, sheet);
        self.processes.place(&reading, [chips.all(), self.chips.shown()], sheet);
    }

    /// Those that no tracked process has told of.
    pub fn chips(&self) -> &[Chip] {
        self.chips.shown()
    }

    /// Those that are not tracked, by pid.
    pub fn processes(&self) -> &[Process] {
        self.processes.shown()
    }

    /// What they are known to have.
    pub fn rows(&self) -> &[Row] {
        self.processes.rows()
    }

    /// How many processes did not fit.
    pub const fn hidden(&self) -> u64 {
        self.processes.hidden()
    }

    /// How many of the driver's devices, and rows of processes that are shown, did not fit.
    pub const fn hidden_rows(&self) -> u64 {
        self.chips.hidden_devices() + self.processes.hidden_rows()
    }

    /// Where tt-metal's counters tell something else than records, as many as fit.
    pub fn differences(&self) -> &[Difference] {
        self.comparison.shown()
    }

    /// How many there are.
    pub const fn differences_total(&self) -> u64 {
        self.comparison.total()
    }

    /// Files of tt-metal's counters that are not read, or whose chip does not fit.
    pub fn unread_counters(&self) -> u64 {
        self.reading.unread_regions + self.chips.hidden_counters()
    }
}

/// Whether this process has no ring of its own.
fn is_bystander(sheet: &Sheet, person: &Person) -> bool {
    place_of(sheet, person.pid, person.start_ticks).is_none()
}

/// The place of its row, if it is tracked.
fn place_of(sheet: &Sheet, pid: u32, start_ticks: u64) -> Option<usize> {
    let all = sheet.processes();
    let first = all.partition_point(|process| process.pid < pid);
    let same = all[first..].iter().take_while(|process| process.pid == pid);
    same.zip(first..).find(|(process, _)| process.start_ticks == start_ticks).map(|(_, place)| place)
}

/// The logical number of a region's chip, as a row has it.
fn number_of(region: &Region) -> u32 {
    Some(region.number).filter(|number| *number <= MOST_NUMBER).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
