//! A process's devices: opened, described, closed; and the chips that they turn out to be.

use super::{Books, MOST_BYTES};
use crate::chips::{ChipIndex, Chips};
use crate::clock;
use crate::ledger::Batch;
use shm_layout::event::{Event, MEMORY_KINDS, Memory, flags};
use shm_layout::ledger::{BANKED, Banks, Device, MAX_DEVICES};
use shm_layout::stats::UNKNOWN;

/// The banks that a record of a capacity tells of; what cannot be is not told.
fn banks_told(event: &Event) -> Banks {
    let count = u32::try_from(event.footprint).unwrap_or(0);
    match u32::try_from(event.address) {
        Ok(first) if count > 0 && event.id <= MOST_BYTES => Banks { count, first, bytes: event.id },
        _ => Banks { count, ..Banks::default() },
    }
}

impl Books {
    pub(super) fn introduce(&mut self, device: &Device, chips: &mut Chips) -> Option<ChipIndex> {
        let chip = chips.find_or_add(device.chip_id, device.id_is_logical != 0)?;
        chips.describe(chip, device.arch, device.board_id, device.tensix_cores, device.device);
        Some(chip)
    }

    pub(super) fn device_info(&mut self, event: &Event, ledger: Option<&mut Batch<'_>>, chips: &mut Chips) {
        let logical = event.flags & flags::CHIP_ID_UNKNOWN != 0;
        let before = self.device(event.device).copied();
        if before.is_some_and(|d| d.open != 0) {
            // It is opened again, so its close was lost.
            self.device_close(event.device, ledger, chips);
        }
        let device = Device {
            device: event.device,
            arch: event.context,
            chip_id: event.id,
            board_id: event.address,
            tensix_cores: u32::try_from(event.size).unwrap_or(0),
            id_is_logical: u32::from(logical),
            open: self.opening_mark(),
            resident_program: 0,
            capacity: [UNKNOWN; MEMORY_KINDS],
            opened_ns: clock::not_after_now(event.time),
            dispatched_ns: 0,
            banks: [Banks::default(); BANKED.len()],
        };
        if let Some(known) = self.devices.iter_mut().find(|d| d.device == event.device) {
            *known = device;
        } else if self.devices.len() < MAX_DEVICES {
            self.devices.push(device);
        } else {
            self.counters.anomalies.overflow += 1;
            return;
        }
        self.count_openings();
        let Some(chip) = self.introduce(&device, chips) else { return };
        for live in self.accounts.iter_mut().filter(|l| l.account.device == event.device && l.chip != chip) {
            let placeholder = chips.all()[live.chip].id_is_logical != 0;
            let from_chip = core::mem::replace(&mut live.chip, chip);
            let Some(memory) = live.memory() else { continue };
            if !placeholder {
                continue;
            }
            // What was allocated before the introduction moves to the chip that it turned out to be.
            let (footprint, allocated, freed) = (live.footprint(), live.account.allocated, live.account.freed);
            let from = chips.figures(from_chip, memory);
            from.footprint_bytes = from.footprint_bytes.saturating_sub(footprint);
            from.allocated_bytes_total = from.allocated_bytes_total.saturating_sub(allocated);
            from.freed_bytes_total = from.freed_bytes_total.saturating_sub(freed);
            let to = chips.figures(chip, memory);
            to.footprint_bytes = to.footprint_bytes.saturating_add(footprint);
            to.allocated_bytes_total = to.allocated_bytes_total.saturating_add(allocated);
            to.freed_bytes_total = to.freed_bytes_total.saturating_add(freed);
            to.peak_footprint_bytes = to.peak_footprint_bytes.max(to.footprint_bytes);
        }
    }

    pub(super) fn capacity_told(&mut self, event: &Event, memory: Memory, chips: &mut Chips) {
        let Some(device) = self.devices.iter_mut().find(|d| d.device == event.device) else {
            self.counters.anomalies.invalid_record += 1;
            return;
        };
        device.capacity[memory as usize] = event.size.min(MOST_BYTES);
        if let Some(at) = BANKED.iter().position(|banked| *banked == memory) {
            device.banks[at] = banks_told(event);
        }
        let device = *device;
        self.introduce(&device, chips);
    }

    /// Whatever is alive on a device ends with it: its close, or the process's death.
    pub(super) fn device_close(&mut self, device: u32, ledger: Option<&mut Batch<'_>>, chips: &mut Chips) {
        if let Some(ledger) = ledger {
            ledger.remove_device(device, |entry| {
                if let Some(memory) = Memory::from_u8(entry.memory) {
                    self.entry_gone(entry, memory, chips);
                }
            });
        }
        for live in self.accounts.iter_mut().filter(|l| l.account.device == device) {
            // None are left, unless the ledger lost them before it could tell.
            live.lose_entries();
            live.clear_unlisted(chips);
            live.end_baseline();
        }
        if let Some(device) = self.devices.iter_mut().find(|d| d.device == device) {
            device.open = 0;
            device.resident_program = 0;
            device.dispatched_ns = 0;
        }
        self.count_openings();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use shm_layout::event::Kind;

    #[test]
    fn banks_that_cannot_be_are_not_told() {
        let told = |count, bytes, first| {
            let event =
                Event { footprint: count, id: bytes, address: first, ..Event::new(Kind::Capacity, Memory::Dram, 0) };
            let Banks { count, bytes, first } = banks_told(&event);
            (count, bytes, first)
        };
        assert_eq!(told(8, 4_277_141_376, 1_048_704), (8, 4_277_141_376, 1_048_704));
        assert_eq!(told(8, 0, 0), (8, 0, 0), "as the C interface tells them");
        assert_eq!(told(8, 1 << 30, 1 << 32), (8, 0, 0), "an address that no buffer can have");
        assert_eq!(told(8, u64::MAX, 0), (8, 0, 0));
        assert_eq!(told(1 << 32, 1, 1), (0, 0, 0));
        assert_eq!(told(0, 1 << 30, 64), (0, 0, 0));
    }
}
