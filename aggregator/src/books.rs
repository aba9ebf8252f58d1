//! The books of one process: its devices, its accounts by device and memory kind, and how one event changes them.
//!
//! Every figure is the sum over the ledger's entries plus what is known to be missing there (`unlisted`). A free
//! subtracts what the ledger says, never what the free says: no sequence of records makes a total wrong.

use crate::account::Live;
use crate::chips::{ChipIndex, Chips};
use crate::ledger::{Key, Ledger};
use shm_layout::event::{Event, Kind, MAX_DEVICE, MEMORY_KINDS, Memory, flags};
use shm_layout::ledger::{Counters, Device, LedgerState, MAX_ACCOUNTS, MAX_DEVICES};
use shm_layout::stats::UNKNOWN;
use std::collections::HashMap;

/// A sum that a process may reach: what is above is no size but an attack or a fault.
const MOST_BYTES: u64 = 1 << 62;
/// Keys remembered as freed, to tell a double free from a free of something unknown.
const REMEMBERED_FREES: usize = 256;

/// What is removed at a death or a close, by the noun of the event line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Removed {
    /// Blocks and bytes of buffers, circular buffers and kernels.
    pub by_noun: [(u64, u64); 3],
}

/// The books.
#[derive(Debug, Default)]
pub struct Books {
    /// Sums over the process.
    pub counters: Counters,
    /// Its devices.
    pub devices: Vec<Device>,
    /// Its accounts.
    pub accounts: Vec<Live>,
    /// Footprint of circular buffers by device and program.
    programs: HashMap<(u32, u32), u64>,
    recently_freed: Vec<u64>,
    /// Records were read by an aggregator that left no ledger: no account can be complete.
    pub history_lost: bool,
}

impl Books {
    /// The books of a ledger that was found: sums from its state block, live figures from its entries.
    pub fn recover(state: LedgerState, ledger: &Ledger, chips: &mut Chips) -> Self {
        let mut books = Self { counters: state.counters, devices: state.devices, ..Self::default() };
        for device in books.devices.clone() {
            books.introduce(&device, chips);
        }
        for account in state.accounts {
            let Some(memory) = u8::try_from(account.memory).ok().and_then(Memory::from_u8) else { continue };
            if let Some(at) = books.account(account.device, memory, chips) {
                books.accounts[at].account = account;
                let figures = chips.figures(books.accounts[at].chip, memory);
                figures.allocated_bytes_total = figures.allocated_bytes_total.saturating_add(account.allocated);
                figures.freed_bytes_total = figures.freed_bytes_total.saturating_add(account.freed);
                figures.peak_footprint_bytes = figures.peak_footprint_bytes.max(account.peak);
            }
        }
        for event in ledger.iter() {
            let Some(memory) = Memory::from_u8(event.memory) else { continue };
            if let Some(at) = books.account(event.device, memory, chips) {
                books.accounts[at].add(&event);
                books.program_bytes(&event, true);
            }
        }
        books
    }

    /// The part that the ledger's state block keeps.
    pub fn state(&self) -> LedgerState {
        LedgerState {
            counters: self.counters,
            devices: self.devices.clone(),
            accounts: self.accounts.iter().map(|live| live.account).collect(),
        }
    }

    fn device(&self, device: u32) -> Option<&Device> {
        self.devices.iter().find(|d| d.device == device)
    }

    fn introduce(&mut self, device: &Device, chips: &mut Chips) -> Option<ChipIndex> {
        let chip = chips.find_or_add(device.chip_id, device.id_is_logical != 0)?;
        chips.describe(chip, device.arch, device.board_id, device.tensix_cores, device.device);
        for (memory, bytes) in device.capacity.iter().enumerate() {
            if let (Some(memory), true) = (Memory::from_u8(memory as u8), *bytes != UNKNOWN) {
                chips.set_capacity(chip, memory, *bytes);
            }
        }
        Some(chip)
    }

    /// The account of a device's memory kind, made if it is new. A device that nobody introduced is known by its
    /// logical number only.
    fn account(&mut self, device: u32, memory: Memory, chips: &mut Chips) -> Option<usize> {
        let same = |live: &Live| live.account.device == device && live.account.memory == memory as u32;
        if let Some(at) = self.accounts.iter().position(same) {
            return Some(at);
        }
        if self.accounts.len() == MAX_ACCOUNTS {
            return None;
        }
        let (chip_id, logical) =
            self.device(device).map_or((u64::from(device), true), |d| (d.chip_id, d.id_is_logical != 0));
        let chip = chips.find_or_add(chip_id, logical)?;
        if logical {
            chips.describe(chip, 0, 0, 0, device);
        }
        let mut live = Live::new(device, memory, chip);
        live.account.incomplete = u64::from(self.history_lost);
        self.accounts.push(live);
        Some(self.accounts.len() - 1)
    }

    fn program_bytes(&mut self, event: &Event, add: bool) {
        if event.memory != Memory::Cb as u8 || event.context == 0 {
            return;
        }
        let bytes = self.programs.entry((event.device, event.context)).or_default();
        *bytes = if add { *bytes + event.taken() } else { bytes.saturating_sub(event.taken()) };
        if !add && *bytes == 0 {
            self.programs.remove(&(event.device, event.context));
        }
    }

    /// Footprint of the program that was last dispatched to this device.
    pub fn resident(&self, device: u32) -> u64 {
        let program = self.device(device).map_or(0, |d| d.resident_program);
        self.programs.get(&(device, program)).copied().unwrap_or(0)
    }

    /// Capacity of a device's memory kind, as the process told it.
    pub fn capacity(&self, device: u32, memory: u32) -> u64 {
        self.device(device).and_then(|d| d.capacity.get(memory as usize).copied()).unwrap_or(UNKNOWN)
    }

    /// Applies one record. `drops` is asked for the ring's drop counters when a free finds nothing.
    pub fn apply(
        &mut self,
        event: &Event,
        ledger: Option<&mut Ledger>,
        chips: &mut Chips,
        drops: &dyn Fn(&mut Self, &mut Chips),
    ) {
        self.counters.events += 1;
        let (Some(kind), Some(memory), true) =
            (Kind::from_u8(event.kind), Memory::from_u8(event.memory), event.device <= MAX_DEVICE)
        else {
            self.counters.anomalies.invalid_record += 1;
            return;
        };
        match kind {
            Kind::Alloc => self.alloc(event, memory, ledger, chips),
            Kind::Free => self.free(event, memory, ledger, chips, drops),
            Kind::FreeAll => self.free_all(event, memory, ledger, chips, drops),
            Kind::DeviceInfo => self.device_info(event, ledger, chips),
            Kind::Capacity => self.capacity_told(event, memory, chips),
            Kind::DeviceClose => self.device_close(event.device, ledger, chips),
            Kind::ProgramResident => {
                if let Some(device) = self.devices.iter_mut().find(|d| d.device == event.device) {
                    device.resident_program = event.context;
                }
            }
            Kind::Tag => {}
        }
    }

    fn alloc(&mut self, event: &Event, memory: Memory, ledger: Option<&mut Ledger>, chips: &mut Chips) {
        let Some(at) = self.account(event.device, memory, chips) else {
            self.counters.anomalies.overflow += 1;
            return;
        };
        let taken = event.taken();
        let live = &self.accounts[at];
        let fits = |sum: u64, more: u64| sum.checked_add(more).is_some_and(|sum| sum <= MOST_BYTES);
        if !fits(live.taken, taken) || !fits(live.asked, event.size) || !fits(live.account.allocated, taken) {
            self.counters.anomalies.overflow += 1;
            self.accounts[at].account.incomplete = 1;
            return;
        }
        let listed = ledger.is_some_and(|ledger| {
            if event.flags & flags::ID_IS_ADDRESS == 0 && ledger.contains(&Key::of(event)) {
                self.counters.anomalies.alloc_live += 1;
            }
            ledger.insert(event)
        });
        let live = &mut self.accounts[at];
        if listed {
            live.add(event);
        } else {
            live.shift_unlisted(signed(taken), 1);
            live.account.outstanding = live.account.outstanding.saturating_add(1);
            live.account.incomplete = 1;
        }
        live.account.allocated += taken;
        live.account.peak = live.account.peak.max(live.footprint());
        let figures = chips.figures(live.chip, memory);
        figures.footprint_bytes = figures.footprint_bytes.saturating_add(taken);
        figures.allocated_bytes_total = figures.allocated_bytes_total.saturating_add(taken);
        figures.peak_footprint_bytes = figures.peak_footprint_bytes.max(figures.footprint_bytes);
        if listed {
            self.program_bytes(event, true);
        }
    }

    fn free(
        &mut self,
        event: &Event,
        memory: Memory,
        ledger: Option<&mut Ledger>,
        chips: &mut Chips,
        drops: &dyn Fn(&mut Self, &mut Chips),
    ) {
        let key = Key::of(event);
        if let Some(entry) = ledger.and_then(|ledger| ledger.remove(&key)) {
            if event.size != 0 && event.size != entry.size {
                self.counters.anomalies.size_mismatch += 1;
            }
            self.remember_freed(&key);
            self.entry_gone(&entry, memory, chips);
        } else {
            // Its allocation may have been dropped a moment ago.
            drops(self, chips);
            if !self.free_unlisted(event, memory, chips) {
                if self.recently_freed.contains(&fold(&key)) {
                    self.counters.anomalies.double_free += 1;
                } else {
                    self.counters.anomalies.free_unknown += 1;
                }
            }
        }
    }

    fn free_all(
        &mut self,
        event: &Event,
        memory: Memory,
        ledger: Option<&mut Ledger>,
        chips: &mut Chips,
        drops: &dyn Fn(&mut Self, &mut Chips),
    ) {
        let gone = ledger.map(|l| l.remove_group(event.device, memory, event.context)).unwrap_or_default();
        for entry in &gone {
            self.entry_gone(entry, memory, chips);
        }
        if event.id > 0 {
            drops(self, chips);
            self.settle_release(event, memory, &gone, chips);
        }
    }

    /// Takes an entry that has left the ledger out of the sums.
    fn entry_gone(&mut self, entry: &Event, memory: Memory, chips: &mut Chips) {
        let Some(at) = self.account(entry.device, memory, chips) else { return };
        let live = &mut self.accounts[at];
        live.subtract(entry);
        live.account.freed = live.account.freed.saturating_add(entry.taken());
        let figures = chips.figures(live.chip, memory);
        figures.footprint_bytes = figures.footprint_bytes.saturating_sub(entry.taken());
        figures.freed_bytes_total = figures.freed_bytes_total.saturating_add(entry.taken());
        self.program_bytes(entry, false);
    }

    /// A free of something that has no entry: that of an allocation whose record was dropped, if there is one. False if
    /// there is none.
    fn free_unlisted(&mut self, event: &Event, memory: Memory, chips: &mut Chips) -> bool {
        let same = |live: &&mut Live| live.account.device == event.device && live.account.memory == memory as u32;
        let Some(live) = self.accounts.iter_mut().find(same) else { return false };
        if live.account.outstanding == 0 {
            return false;
        }
        let before = live.footprint();
        live.account.outstanding = live.account.outstanding.saturating_sub(1);
        live.shift_unlisted(-signed(event.taken()), -1);
        live.account.freed = live.account.freed.saturating_add(event.taken());
        let figures = chips.figures(live.chip, memory);
        figures.footprint_bytes = figures.footprint_bytes.saturating_sub(before).saturating_add(live.footprint());
        figures.freed_bytes_total = figures.freed_bytes_total.saturating_add(event.taken());
        true
    }

    /// A release tells how much it frees. Where records were dropped, that is the truth: of what left the ledger with it,
    /// some may have been freed by a dropped release before, and some of what it frees may never have been listed.
    fn settle_release(&mut self, event: &Event, memory: Memory, gone: &[Event], chips: &mut Chips) {
        let same = |live: &&mut Live| live.account.device == event.device && live.account.memory == memory as u32;
        let Some(live) = self.accounts.iter_mut().find(same) else { return };
        let listed = gone.iter().map(Event::taken).fold(0, u64::saturating_add);
        let (bytes, blocks) = (signed(listed) - signed(event.taken()), signed(gone.len() as u64) - signed(event.id));
        if (bytes, blocks) == (0, 0) {
            return;
        }
        if live.account.incomplete == 0 {
            // Nothing was dropped: the ledger is right, and the release is not.
            self.counters.anomalies.size_mismatch += 1;
            return;
        }
        let before = live.footprint();
        live.shift_unlisted(bytes, blocks);
        live.account.outstanding = live.account.outstanding.saturating_sub(u64::try_from(-blocks).unwrap_or(0));
        live.account.freed = live.account.freed.saturating_add_signed(-bytes);
        let figures = chips.figures(live.chip, memory);
        figures.footprint_bytes = figures.footprint_bytes.saturating_sub(before).saturating_add(live.footprint());
        figures.freed_bytes_total = figures.freed_bytes_total.saturating_add_signed(-bytes);
    }

    fn device_info(&mut self, event: &Event, ledger: Option<&mut Ledger>, chips: &mut Chips) {
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
            open: 1,
            resident_program: 0,
            capacity: [UNKNOWN; MEMORY_KINDS],
        };
        if let Some(known) = self.devices.iter_mut().find(|d| d.device == event.device) {
            *known = device;
        } else if self.devices.len() < MAX_DEVICES {
            self.devices.push(device);
        } else {
            self.counters.anomalies.overflow += 1;
            return;
        }
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

    fn capacity_told(&mut self, event: &Event, memory: Memory, chips: &mut Chips) {
        let Some(device) = self.devices.iter_mut().find(|d| d.device == event.device) else {
            self.counters.anomalies.invalid_record += 1;
            return;
        };
        device.capacity[memory as usize] = event.size.min(MOST_BYTES);
        let device = *device;
        self.introduce(&device, chips);
    }

    /// Whatever is alive on a device ends with it: its close, or the process's death.
    fn device_close(&mut self, device: u32, ledger: Option<&mut Ledger>, chips: &mut Chips) {
        for entry in ledger.map(|ledger| ledger.remove_device(device)).unwrap_or_default() {
            if let Some(memory) = Memory::from_u8(entry.memory) {
                self.entry_gone(&entry, memory, chips);
            }
        }
        for live in self.accounts.iter_mut().filter(|l| l.account.device == device) {
            live.clear_unlisted(chips);
        }
        if let Some(device) = self.devices.iter_mut().find(|d| d.device == device) {
            device.open = 0;
            device.resident_program = 0;
        }
    }

    /// Absorbs the ring's drop counters of one cell: what they have grown by since the last look.
    pub fn absorb_drops(&mut self, device: u32, memory: Memory, now: [u64; 4], chips: &mut Chips) {
        let Some(at) = self.account(device, memory, chips) else { return };
        let live = &mut self.accounts[at];
        let grown = |i: usize| now[i].saturating_sub(live.account.drops_seen[i]).min(MOST_BYTES);
        let [allocated, allocated_blocks, freed, freed_blocks] = [grown(0), grown(1), grown(2), grown(3)];
        if [allocated, allocated_blocks, freed, freed_blocks] == [0; 4] {
            return;
        }
        let before = live.footprint();
        live.account.drops_seen = now;
        live.shift_unlisted(signed(allocated) - signed(freed), signed(allocated_blocks) - signed(freed_blocks));
        live.account.outstanding = live.account.outstanding.saturating_add(allocated_blocks);
        live.account.allocated = live.account.allocated.saturating_add(allocated);
        live.account.freed = live.account.freed.saturating_add(freed);
        live.account.incomplete = 1;
        live.account.peak = live.account.peak.max(live.footprint());
        let figures = chips.figures(live.chip, memory);
        figures.footprint_bytes = figures.footprint_bytes.saturating_sub(before).saturating_add(live.footprint());
        figures.allocated_bytes_total = figures.allocated_bytes_total.saturating_add(allocated);
        figures.freed_bytes_total = figures.freed_bytes_total.saturating_add(freed);
        figures.peak_footprint_bytes = figures.peak_footprint_bytes.max(figures.footprint_bytes);
    }

    /// The end of the process: everything leaves the chips' sums. What it was.
    pub fn end(&mut self, chips: &mut Chips) -> Removed {
        let mut removed = Removed::default();
        for live in &mut self.accounts {
            let Some(memory) = live.memory() else { continue };
            let noun = match memory {
                Memory::Cb => 1,
                Memory::Kernel => 2,
                _ => 0,
            };
            removed.by_noun[noun].0 += live.all_blocks();
            removed.by_noun[noun].1 += live.footprint();
            live.clear_unlisted(chips);
            let figures = chips.figures(live.chip, memory);
            figures.footprint_bytes = figures.footprint_bytes.saturating_sub(live.taken);
            figures.freed_bytes_total = figures.freed_bytes_total.saturating_add(live.taken);
            *live = Live { asked: 0, taken: 0, blocks: 0, fabric: 0, dispatch: 0, ..*live };
        }
        self.programs.clear();
        removed
    }

    fn remember_freed(&mut self, key: &Key) {
        if self.recently_freed.is_empty() {
            self.recently_freed = vec![0; REMEMBERED_FREES];
        }
        let fold = fold(key);
        self.recently_freed[(fold % REMEMBERED_FREES as u64) as usize] = fold;
    }
}

/// Bytes or blocks as a difference; sums are kept below 2^62.
fn signed(amount: u64) -> i64 {
    i64::try_from(amount.min(MOST_BYTES)).unwrap_or(i64::MAX)
}

/// A key as one number that is hardly ever that of another key. Only tells two anomalies apart.
fn fold(key: &Key) -> u64 {
    let of = u64::from(key.device) << 8 | u64::from(key.memory);
    (key.id ^ of.rotate_left(40)).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29).max(1)
}
