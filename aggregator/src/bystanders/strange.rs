//! Chips: which device of the driver is which tracked one, and those that no tracked process has told of.
//!
//! The tracked ones have their telemetry whatever anybody's counters say, and the driver's devices are shown before chips that
//! only counters tell of: anybody can make such a file.

use super::{is_bystander, number_of};
use crate::chips::{Chips, board_of, nothing_known};
use crate::counters::Region;
use crate::sheet::Sheet;
use crate::telemetry::matching::{Matching, matching};
use crate::telemetry::{Device, Reading};
use shm_layout::stats::{Chip, MAX_CHIPS, Presence, Telemetry, UNKNOWN};
use shm_layout::text;

/// Those that no tracked process has told of.
#[derive(Debug, Default)]
pub struct StrangeChips {
    shown: Vec<Chip>,
    hidden_devices: u64,
    hidden_counters: u64,
}

impl StrangeChips {
    /// Gives each tracked chip its telemetry, and makes rows of those that the tracked ones are not.
    pub fn place(&mut self, reading: &Reading, chips: &mut Chips, sheet: &Sheet) {
        let Matching { device_of, is_spare } = matching(&reading.devices, chips.all());
        for (chip, device) in chips.all_mut().iter_mut().zip(device_of) {
            let telemetry = device.map(|at| reading.devices[at].telemetry);
            let both = |told| Telemetry { presence: Presence::Both as u32, ..told };
            chip.telemetry = telemetry.map_or(Telemetry::NONE, both);
        }
        let devices = reading.devices.iter().zip(is_spare).filter(|(_, is_spare)| *is_spare);
        let devices: Vec<&Device> = devices.map(|(device, _)| device).collect();
        let mut by_counters = by_counters(&reading.regions, chips, sheet);
        // A device that could be several of these is shown all the same: nobody's file hides it.
        let Matching { device_of, .. } = matching(&devices, &by_counters);
        let mut name_of: Vec<Option<usize>> = vec![None; devices.len()];
        for (chip, device) in device_of.iter().enumerate() {
            if let Some(device) = *device {
                name_of[device] = Some(chip);
            }
        }
        self.shown.clear();
        for (device, chip) in devices.into_iter().zip(name_of) {
            let named = chip.map(|chip| by_counters[chip]);
            let others = chips.all().iter().chain(&by_counters).chain(&self.shown);
            let mut row = named.unwrap_or_else(|| unnamed(device, others));
            describe(&mut row, device);
            self.shown.push(row);
        }
        let mut at = 0..;
        by_counters.retain(|_| at.next().is_some_and(|at: usize| device_of[at].is_none()));
        let room = MAX_CHIPS.saturating_sub(chips.all().len());
        let fit = self.shown.len().min(room);
        self.hidden_devices = (self.shown.len() - fit) as u64;
        self.hidden_counters = (by_counters.len() - by_counters.len().min(room - fit)) as u64;
        self.shown.truncate(room);
        self.shown.extend(by_counters.into_iter().take(room - fit));
    }

    /// As many as fit beside the tracked ones.
    pub fn shown(&self) -> &[Chip] {
        &self.shown
    }

    /// The driver's devices that did not fit.
    pub const fn hidden_devices(&self) -> u64 {
        self.hidden_devices
    }

    /// Chips that only counters tell of and that did not fit.
    pub const fn hidden_counters(&self) -> u64 {
        self.hidden_counters
    }
}

/// Chips of counters in which there is a process that is not tracked.
fn by_counters(regions: &[Region], chips: &Chips, sheet: &Sheet) -> Vec<Chip> {
    let strange = |region: &&Region| {
        region.believed.iter().any(|(person, _)| is_bystander(sheet, person))
            && chips.find(region.chip_id, false).is_none()
    };
    let chip = |region: &Region| Chip {
        device: number_of(region),
        telemetry: Telemetry { presence: Presence::Counters as u32, ..Telemetry::NONE },
        ..nothing_known(region.chip_id, 0)
    };
    regions.iter().filter(strange).map(chip).collect()
}

/// A device that goes by the driver's names alone.
fn unnamed<'a>(device: &Device, mut others: impl Iterator<Item = &'a Chip>) -> Chip {
    let asic = device.telemetry.asic_id;
    let has_id = asic != UNKNOWN && !others.any(|chip| chip.id_is_logical == 0 && chip.chip_id == asic);
    if has_id { nothing_known(asic, 0) } else { nothing_known(u64::from(device.telemetry.number), 2) }
}

/// What the driver tells of a chip that no tracked process has told of.
fn describe(chip: &mut Chip, device: &Device) {
    let telemetry = device.telemetry;
    let arch = device.arch as u32;
    let serial = if telemetry.serial == UNKNOWN { 0 } else { telemetry.serial };
    let card = text::load(&telemetry.card);
    let board = if card.is_empty() { board_of(arch, serial, chip.chip_id) } else { &card };
    chip.arch = arch;
    chip.board_id = serial;
    chip.board = text::store(board.as_bytes());
    chip.telemetry = Telemetry { presence: Presence::Driver as u32, ..telemetry };
}
