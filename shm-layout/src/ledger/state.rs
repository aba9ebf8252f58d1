//! The state block: everything about a process that single entries do not tell.
//!
//! ```text
//!   words:  [devices | accounts]  two counts
//!           [Counters]
//!           [Device] x devices   [Account] x accounts
//! ```

use super::header::STATE_WORDS;
use crate::event::{MEMORY_KINDS, Memory};
use crate::stats::{Anomalies, BASELINE_AUTO};
use bytemuck::{Pod, Zeroable};
use core::mem::offset_of;

/// Devices of one process.
pub const MAX_DEVICES: usize = 64;
/// (device, memory kind) pairs of one process.
pub const MAX_ACCOUNTS: usize = 256;

/// Sums over a process's records.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct Counters {
    /// Records read.
    pub events: u64,
    /// Slots claimed and never published.
    pub torn: u64,
    /// What could not be believed.
    pub anomalies: Anomalies,
    /// 0.
    pub reserved: [u64; 6],
}

const _: () = assert!(size_of::<Counters>() == 128);
const _: () = assert!(offset_of!(Counters, events) == 0);
const _: () = assert!(offset_of!(Counters, torn) == 8);
const _: () = assert!(offset_of!(Counters, anomalies) == 16);
const _: () = assert!(offset_of!(Counters, reserved) == 80);

/// What the allocator hands out of one memory kind, the same of every bank.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct Banks {
    /// How many banks; 0 unknown.
    pub count: u32,
    /// The first address in each, where `bytes` is known.
    pub first: u32,
    /// Bytes of each; 0 unknown.
    pub bytes: u64,
}

const _: () = assert!(size_of::<Banks>() == 16);
const _: () = assert!(offset_of!(Banks, count) == 0);
const _: () = assert!(offset_of!(Banks, first) == 4);
const _: () = assert!(offset_of!(Banks, bytes) == 8);

/// Memory kinds that have banks, in the order of [`Device::banks`].
pub const BANKED: [Memory; 4] = [Memory::Dram, Memory::L1, Memory::L1Small, Memory::Trace];

/// One device of the process.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
pub struct Device {
    /// The process's logical number.
    pub device: u32,
    /// [`Arch`](crate::event::Arch) as a number.
    pub arch: u32,
    /// Unique id of the chip, or the logical number when it was not told.
    pub chip_id: u64,
    /// Board id; 0 unknown.
    pub board_id: u64,
    /// Tensix cores after harvesting; 0 unknown.
    pub tensix_cores: u32,
    /// 1: `chip_id` is only the logical number.
    pub id_is_logical: u32,
    /// Not 0 while it is open: 1, or 3 while a baseline is to be set at the end of its opening.
    pub open: u32,
    /// The program last dispatched to it; 0 none.
    pub resident_program: u32,
    /// Capacity by memory kind; [`UNKNOWN`](crate::stats::UNKNOWN) where not told.
    pub capacity: [u64; MEMORY_KINDS],
    /// When it was opened last, `CLOCK_MONOTONIC` ns, never later than it was read; 0 unknown.
    pub opened_ns: u64,
    /// When the program last dispatched to it was, in the same way; 0 none.
    pub dispatched_ns: u64,
    /// The banks of DRAM, L1, `L1_SMALL` and TRACE ([`BANKED`]).
    pub banks: [Banks; 4],
}

impl Device {
    /// The banks of a memory kind, if it was told how many there are.
    pub fn banks(&self, memory: Memory) -> Option<Banks> {
        let at = BANKED.iter().position(|banked| *banked == memory)?;
        self.banks.get(at).copied().filter(|banks| banks.count > 0)
    }
}

const _: () = assert!(size_of::<Device>() == 184);
const _: () = assert!(offset_of!(Device, device) == 0);
const _: () = assert!(offset_of!(Device, arch) == 4);
const _: () = assert!(offset_of!(Device, chip_id) == 8);
const _: () = assert!(offset_of!(Device, board_id) == 16);
const _: () = assert!(offset_of!(Device, tensix_cores) == 24);
const _: () = assert!(offset_of!(Device, id_is_logical) == 28);
const _: () = assert!(offset_of!(Device, open) == 32);
const _: () = assert!(offset_of!(Device, resident_program) == 36);
const _: () = assert!(offset_of!(Device, capacity) == 40);
const _: () = assert!(offset_of!(Device, opened_ns) == 104);
const _: () = assert!(offset_of!(Device, dispatched_ns) == 112);
const _: () = assert!(offset_of!(Device, banks) == 120);

/// The sums of one memory kind on one device of the process.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct Account {
    /// The process's logical number.
    pub device: u32,
    /// [`Memory`](crate::event::Memory) number.
    pub memory: u32,
    /// Largest footprint so far.
    pub peak: u64,
    /// Footprint of every allocation so far.
    pub allocated: u64,
    /// Footprint of every free so far.
    pub freed: u64,
    /// Footprint that is live without an entry (its record was dropped, or no entry could be had); negative when the
    /// frees of listed entries were dropped. Live = entries + this.
    pub unlisted_bytes: i64,
    /// The same in blocks.
    pub unlisted_blocks: i64,
    /// Allocations without an entry whose free has not been read yet (a dropped free counts as not read).
    pub outstanding: u64,
    /// The ring's drop counters up to which `unlisted_…` is computed.
    pub drops_seen: [u64; 4],
    /// Not 0 once detail was lost: why, as bits of [`incomplete`](mod@crate::stats::incomplete).
    pub incomplete: u64,
    /// Footprint when the baseline was set, plus one, and `BASELINE_AUTO` (the highest bit) where it set itself; 0: none is set.
    pub baseline: u64,
    /// When that was, Unix time in ns; without a baseline: when it was decided that there is none, 0 if it was not.
    pub baseline_unix_ns: u64,
}

impl Account {
    /// Footprint when a baseline was set, if one is, bytes.
    pub const fn baseline_bytes(&self) -> Option<u64> {
        (self.baseline & !BASELINE_AUTO).checked_sub(1)
    }

    /// Whether the baseline that is set set itself: what it holds is the system's.
    pub const fn is_baseline_automatic(&self) -> bool {
        self.baseline & BASELINE_AUTO != 0
    }
}

const _: () = assert!(size_of::<Account>() == 112);
const _: () = assert!(offset_of!(Account, device) == 0);
const _: () = assert!(offset_of!(Account, memory) == 4);
const _: () = assert!(offset_of!(Account, peak) == 8);
const _: () = assert!(offset_of!(Account, allocated) == 16);
const _: () = assert!(offset_of!(Account, freed) == 24);
const _: () = assert!(offset_of!(Account, unlisted_bytes) == 32);
const _: () = assert!(offset_of!(Account, unlisted_blocks) == 40);
const _: () = assert!(offset_of!(Account, outstanding) == 48);
const _: () = assert!(offset_of!(Account, drops_seen) == 56);
const _: () = assert!(offset_of!(Account, incomplete) == 88);
const _: () = assert!(offset_of!(Account, baseline) == 96);
const _: () = assert!(offset_of!(Account, baseline_unix_ns) == 104);

const COUNT_WORDS: usize = 2;
const _: () = assert!(
    COUNT_WORDS
        + size_of::<Counters>() / 8
        + MAX_DEVICES * size_of::<Device>() / 8
        + MAX_ACCOUNTS * size_of::<Account>() / 8
        <= STATE_WORDS
);

/// A state block, taken apart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LedgerState {
    /// Sums.
    pub counters: Counters,
    /// Devices, in the order in which they were opened; at most [`MAX_DEVICES`].
    pub devices: Vec<Device>,
    /// Accounts; at most [`MAX_ACCOUNTS`].
    pub accounts: Vec<Account>,
}

impl LedgerState {
    /// The block as words; what is above the limits is left out.
    pub fn encode(&self, words: &mut Vec<u64>) {
        Self::encode_parts(&self.counters, &self.devices, self.accounts.iter(), words);
    }

    /// [`encode`](Self::encode) of a state that is kept in parts.
    pub fn encode_parts<'a>(
        counters: &Counters,
        devices: &[Device],
        accounts: impl Iterator<Item = &'a Account>,
        words: &mut Vec<u64>,
    ) {
        let devices = &devices[..devices.len().min(MAX_DEVICES)];
        words.clear();
        words.extend([devices.len() as u64, 0]);
        words.extend_from_slice(bytemuck::cast_slice(core::slice::from_ref(counters)));
        words.extend_from_slice(bytemuck::cast_slice(devices));
        for account in accounts.take(MAX_ACCOUNTS) {
            words.extend_from_slice(bytemuck::cast_slice(core::slice::from_ref(account)));
            words[1] += 1;
        }
    }

    /// The block that these words hold; `None` when the counts are impossible. A block of zeros is an empty state.
    pub fn decode(words: &[u64]) -> Option<Self> {
        let (counts, words) = words.split_at_checked(COUNT_WORDS)?;
        let limit = |n: u64, max: usize| usize::try_from(n).ok().filter(|n| *n <= max);
        let (devices, accounts) = (limit(counts[0], MAX_DEVICES)?, limit(counts[1], MAX_ACCOUNTS)?);
        let (counters, words) = words.split_at_checked(size_of::<Counters>() / 8)?;
        let (device_words, words) = words.split_at_checked(devices * size_of::<Device>() / 8)?;
        let (account_words, _) = words.split_at_checked(accounts * size_of::<Account>() / 8)?;
        Some(Self {
            counters: bytemuck::cast_slice::<u64, Counters>(counters)[0],
            devices: bytemuck::cast_slice(device_words).to_vec(),
            accounts: bytemuck::cast_slice(account_words).to_vec(),
        })
    }
}
