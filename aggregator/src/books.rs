//! The books of one process: its devices, its accounts by device and memory kind, and how one event changes them.
//!
//! Every figure is the sum over the ledger's entries plus what is known to be missing there (`unlisted`). A free
//! subtracts what the ledger says, never what the free says: no sequence of records makes a total wrong.

mod devices;
mod lost;
mod opening;
mod recovered;
mod unlisted;

use crate::account::Live;
use crate::chips::Chips;
use crate::clock;
use crate::ledger::{Batch, Entered, Key, Ledger};
use shm_layout::event::{Event, Kind, MAX_DEVICE, MEMORY_KINDS, Memory, flags};
use shm_layout::ledger::{Counters, Device, LedgerState, MAX_ACCOUNTS, MAX_DEVICES};
use shm_layout::stats::{UNKNOWN, incomplete};

/// A sum that a process may reach: what is above is no size but an attack or a fault.
pub const MOST_BYTES: u64 = 1 << 62;
/// Keys remembered as freed, to tell a double free from a free of something unknown.
const REMEMBERED_FREES: usize = 256;

/// What is removed at a death or a close, by the noun of the event line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Removed {
    /// Blocks and bytes of buffers, circular buffers and kernels.
    pub by_noun: [(u64, u64); 3],
}

/// An account whose chip's sums lag behind: they are brought up to date where records go on to another account, at every
/// record other than an allocation or a free, and at the end of a batch.
#[derive(Clone, Copy, Debug)]
struct Current {
    device: u32,
    memory: Memory,
    at: usize,
    /// The account as its chip knows it.
    footprint: u64,
    allocated: u64,
    freed: u64,
    /// Its largest footprint since.
    high: u64,
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
    /// One more than the account's number, by device and memory kind; 0 none. For the devices below [`MAX_DEVICES`].
    numbers: Vec<u16>,
    /// Footprint of the programs that were last dispatched, by device, as of the last batch.
    resident: Vec<(u32, u64)>,
    recently_freed: Option<Box<[u64; REMEMBERED_FREES]>>,
    /// The account that single records change now; its chip learns of it when another's turn comes.
    current: Option<Current>,
    /// Records were read by an aggregator that left no ledger: no account can be complete.
    pub history_lost: bool,
    /// Records that are neither allocations nor frees were dropped, for good: a device's open or close may be among them, or anything
    /// that came before the ring was made. No account can be complete, those that are still to come among them.
    pub controls_lost: bool,
    /// Baselines that set themselves.
    pub opening: opening::Opening,
}

impl Books {
    /// The books of a ledger that was found: sums from its state block, live figures from its entries.
    pub fn recover(state: LedgerState, ledger: &Ledger, chips: &mut Chips) -> Self {
        let state = recovered::believable(state);
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
            }
        }
        for event in ledger.iter() {
            let Some(memory) = Memory::from_u8(event.memory) else { continue };
            if let Some(at) = books.account(event.device, memory, chips) {
                books.accounts[at].add(&event, event.taken());
            }
        }
        books.look_at_residents(ledger);
        books.count_openings();
        books
    }

    /// Writes down the part that the ledger's state block keeps.
    pub fn encode(&self, words: &mut Vec<u64>) {
        let accounts = self.accounts.iter().map(|live| &live.account);
        LedgerState::encode_parts(&self.counters, &self.devices, accounts, words);
    }

    /// Learns from the ledger what the resident programs hold. At the end of a batch.
    pub fn look_at_residents(&mut self, ledger: &Ledger) {
        self.resident.clear();
        let dispatched = self.devices.iter().filter(|device| device.resident_program != 0);
        self.resident.extend(dispatched.map(|d| (d.device, ledger.program_bytes(d.device, d.resident_program))));
    }

    fn device(&self, device: u32) -> Option<&Device> {
        self.devices.iter().find(|d| d.device == device)
    }

    /// The number of a device's memory kind's account, if there is one.
    fn account_number(&self, device: u32, memory: Memory) -> Option<usize> {
        if (device as usize) < MAX_DEVICES {
            let number = self.numbers.get(device as usize * MEMORY_KINDS + memory as usize)?;
            return usize::from(*number).checked_sub(1);
        }
        self.accounts.iter().position(|live| live.account.device == device && live.account.memory == memory as u32)
    }

    /// The account of a device's memory kind, made if it is new.
    fn account(&mut self, device: u32, memory: Memory, chips: &mut Chips) -> Option<usize> {
        self.account_number(device, memory).or_else(|| self.new_account(device, memory, chips))
    }

    /// A new account. A device that nobody introduced is known by its logical number only.
    fn new_account(&mut self, device: u32, memory: Memory, chips: &mut Chips) -> Option<usize> {
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
        if self.history_lost {
            live.lose_detail(incomplete::HISTORY_LOST);
        }
        if self.controls_lost {
            live.lose_detail(incomplete::CONTROLS_LOST);
        }
        self.accounts.push(live);
        if (device as usize) < MAX_DEVICES {
            self.numbers.resize(MAX_DEVICES * MEMORY_KINDS, 0);
            self.numbers[device as usize * MEMORY_KINDS + memory as usize] = self.accounts.len() as u16;
        }
        Some(self.accounts.len() - 1)
    }

    /// What is live of a device's memory kind.
    pub fn footprint(&self, device: u32, memory: Memory) -> u64 {
        self.account_number(device, memory).map_or(0, |at| self.accounts[at].footprint())
    }

    /// Footprint of the program that was last dispatched to this device.
    pub fn resident(&self, device: u32) -> u64 {
        self.resident.iter().find(|(of, _)| *of == device).map_or(0, |(_, bytes)| *bytes)
    }

    /// Capacity of a device's memory kind, as the process told it.
    pub fn capacity(&self, device: u32, memory: u32) -> u64 {
        self.device(device).and_then(|d| d.capacity.get(memory as usize).copied()).unwrap_or(UNKNOWN)
    }

    /// Applies one record. `drops` is asked for the ring's drop counters when a free finds nothing.
    #[inline(always)]
    pub fn apply(
        &mut self,
        event: &Event,
        ledger: Option<&mut Batch<'_>>,
        chips: &mut Chips,
        drops: &dyn Fn(&mut Self, &mut Chips),
    ) {
        self.counters.events += 1;
        if let (Some(memory), true) = (Memory::from_u8(event.memory), event.device <= MAX_DEVICE) {
            // Nearly all are one of these two; the others stay out of this code's way.
            if event.kind == Kind::Alloc as u8 {
                return self.alloc(event, memory, ledger, chips);
            }
            if event.kind == Kind::Free as u8 {
                return self.free(event, memory, ledger, chips, drops);
            }
        }
        self.apply_rare(event, ledger, chips, drops);
    }

    #[cold]
    #[inline(never)]
    fn apply_rare(
        &mut self,
        event: &Event,
        ledger: Option<&mut Batch<'_>>,
        chips: &mut Chips,
        drops: &dyn Fn(&mut Self, &mut Chips),
    ) {
        let (Some(kind), Some(memory), true) =
            (Kind::from_u8(event.kind), Memory::from_u8(event.memory), event.device <= MAX_DEVICE)
        else {
            self.counters.anomalies.invalid_record += 1;
            return;
        };
        self.settle(chips);
        match kind {
            // `apply` has these.
            Kind::Alloc | Kind::Free => {}
            Kind::FreeAll => self.free_all(event, memory, ledger, chips, drops),
            Kind::DeviceInfo => self.device_info(event, ledger, chips),
            Kind::Capacity => self.capacity_told(event, memory, chips),
            Kind::DeviceClose => self.device_close(event.device, ledger, chips),
            Kind::ProgramResident => {
                if let Some(device) = self.devices.iter_mut().find(|d| d.device == event.device) {
                    device.resident_program = event.context;
                    device.dispatched_ns = clock::not_after_now(event.time);
                }
            }
            Kind::Doubt => self.doubt(event, memory, chips),
            Kind::Tag => {
                if let (Some(ledger), Some((number, name))) = (ledger, event.told_tag()) {
                    ledger.name_tag(number, name);
                }
            }
        }
    }

    #[inline(always)]
    fn alloc(&mut self, event: &Event, memory: Memory, ledger: Option<&mut Batch<'_>>, chips: &mut Chips) {
        let Some(at) = self.turn_to(event, memory, chips) else {
            self.counters.anomalies.overflow += 1;
            return;
        };
        let taken = event.taken();
        let live = &mut self.accounts[at];
        let most =
            live.taken.max(live.account.allocated).saturating_add(taken).max(live.asked.saturating_add(event.size));
        if most > MOST_BYTES {
            self.counters.anomalies.overflow += 1;
            live.lose_detail(incomplete::OVERFLOW);
            return;
        }
        let without = if ledger.is_none() { incomplete::NO_LEDGER } else { incomplete::LEDGER_FULL };
        let Entered { listed, again } =
            ledger.map_or(Entered { listed: false, again: false }, |ledger| ledger.insert(event));
        if again && event.flags & flags::ID_IS_ADDRESS == 0 {
            self.counters.anomalies.alloc_live += 1;
        }
        if listed {
            live.add(event, taken);
        } else {
            live.shift_unlisted(signed(taken), 1);
            live.account.outstanding = live.account.outstanding.saturating_add(1);
            live.lose_detail(without);
        }
        live.account.allocated += taken;
        let footprint = live.footprint();
        live.account.peak = live.account.peak.max(footprint);
        if let Some(current) = &mut self.current {
            current.high = current.high.max(footprint);
        }
    }

    /// The account of a device's memory kind, the current one from now on.
    #[inline(always)]
    fn turn_to(&mut self, event: &Event, memory: Memory, chips: &mut Chips) -> Option<usize> {
        match &self.current {
            Some(current) if current.device == event.device && current.memory == memory => Some(current.at),
            _ => self.make_current(event, memory, chips),
        }
    }

    #[inline(never)]
    fn make_current(&mut self, event: &Event, memory: Memory, chips: &mut Chips) -> Option<usize> {
        self.settle(chips);
        let at = self.account(event.device, memory, chips)?;
        // While a device is being opened, each of its events comes here: it may be the one that ends it.
        let device = if self.is_opening_after(event) { u32::MAX } else { event.device };
        let (live, footprint) = (&self.accounts[at], self.accounts[at].footprint());
        let (allocated, freed) = (live.account.allocated, live.account.freed);
        self.current = Some(Current { device, memory, at, footprint, allocated, freed, high: footprint });
        Some(at)
    }

    /// Brings the chips' sums up to date. Before anything but an allocation or a free, and at the end of a batch.
    pub fn settle(&mut self, chips: &mut Chips) {
        let Some(Current { at, footprint, allocated, freed, high, .. }) = self.current.take() else { return };
        let live = &self.accounts[at];
        let Some(memory) = live.memory() else { return };
        let figures = chips.figures(live.chip, memory);
        let others = figures.footprint_bytes.saturating_sub(footprint);
        figures.peak_footprint_bytes = figures.peak_footprint_bytes.max(others.saturating_add(high));
        figures.footprint_bytes = others.saturating_add(live.footprint());
        let allocated = live.account.allocated.saturating_sub(allocated);
        figures.allocated_bytes_total = figures.allocated_bytes_total.saturating_add(allocated);
        figures.freed_bytes_total = figures.freed_bytes_total.saturating_add(live.account.freed.saturating_sub(freed));
    }

    #[inline(always)]
    fn free(
        &mut self,
        event: &Event,
        memory: Memory,
        ledger: Option<&mut Batch<'_>>,
        chips: &mut Chips,
        drops: &dyn Fn(&mut Self, &mut Chips),
    ) {
        let Some(entry) = ledger.and_then(|ledger| ledger.remove(event)) else {
            return self.free_without_entry(event, memory, chips, drops);
        };
        self.remember_freed(&Key::of(event));
        let Some(at) = self.turn_to(event, memory, chips) else { return };
        let (live, taken) = (&mut self.accounts[at], entry.taken());
        live.subtract(&entry, taken);
        live.account.freed = live.account.freed.saturating_add(taken);
        if event.size != 0 && event.size != entry.size {
            self.freed_another(event, at, taken);
        }
    }

    fn free_all(
        &mut self,
        event: &Event,
        memory: Memory,
        ledger: Option<&mut Batch<'_>>,
        chips: &mut Chips,
        drops: &dyn Fn(&mut Self, &mut Chips),
    ) {
        let (mut bytes, mut blocks) = (0_u64, 0);
        if let Some(ledger) = ledger {
            ledger.remove_group(event.device, memory, event.context, |entry| {
                bytes = bytes.saturating_add(entry.taken());
                blocks += 1;
                self.entry_gone(entry, memory, chips);
            });
        }
        if event.id > 0 {
            drops(self, chips);
            self.settle_release(event, memory, (bytes, blocks), chips);
        }
    }

    /// Takes an entry that has left the ledger with others out of the sums.
    fn entry_gone(&mut self, entry: &Event, memory: Memory, chips: &mut Chips) {
        let Some(at) = self.account(entry.device, memory, chips) else { return };
        let live = &mut self.accounts[at];
        let taken = entry.taken();
        live.subtract(entry, taken);
        live.account.freed = live.account.freed.saturating_add(taken);
        let figures = chips.figures(live.chip, memory);
        figures.footprint_bytes = figures.footprint_bytes.saturating_sub(taken);
        figures.freed_bytes_total = figures.freed_bytes_total.saturating_add(taken);
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
            let (blocks, bytes) = &mut removed.by_noun[noun];
            *blocks = blocks.saturating_add(live.all_blocks());
            *bytes = bytes.saturating_add(live.footprint());
            live.clear_unlisted(chips);
            let figures = chips.figures(live.chip, memory);
            figures.footprint_bytes = figures.footprint_bytes.saturating_sub(live.taken);
            figures.freed_bytes_total = figures.freed_bytes_total.saturating_add(live.taken);
            *live = Live { asked: 0, taken: 0, blocks: 0, fabric: 0, dispatch: 0, ..*live };
        }
        self.resident.clear();
        removed
    }

    /// It is not known, or known again, whether what was freed last was of this memory kind.
    fn doubt(&mut self, event: &Event, memory: Memory, chips: &mut Chips) {
        let Some(at) = self.account(event.device, memory, chips) else { return };
        let account = &mut self.accounts[at].account;
        let bit = u64::from(incomplete::AMBIGUOUS);
        account.incomplete = if event.size == 0 { account.incomplete & !bit } else { account.incomplete | bit };
    }

    #[inline(always)]
    fn remember_freed(&mut self, key: &Key) {
        let fold = fold(key);
        let freed = self.recently_freed.get_or_insert_with(|| Box::new([0; REMEMBERED_FREES]));
        freed[fold as usize % REMEMBERED_FREES] = fold;
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
