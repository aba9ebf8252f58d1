//! What a producer knows to be true of itself, as it tells it over its socket.

use serde::{Deserialize, Serialize};
use shm_layout::event::{Event, Memory, flags};
use std::hash::{DefaultHasher, Hash, Hasher};

/// What a producer says, one line of JSON each.
#[derive(Debug, Serialize, Deserialize)]
pub enum Said {
    /// It is quiet, and this is what it holds.
    Quiet(Truth),
    /// Every allocation that is live: device, memory, id, address, size, footprint, context, flags.
    Blocks(Vec<[u64; 8]>),
}

/// What a producer holds.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Truth {
    /// It has done something whose record, were it dropped, would leave totals that nobody can mend; what: see [`Wildness`].
    pub wildness: Wildness,
    /// Events recorded so far.
    pub events: u64,
    /// Children forked so far.
    pub forks: u64,
    /// It kept within its ring from one check to the next: nothing of it may have been dropped.
    pub bounded: bool,
    /// Whether it has a ring.
    pub has_ring: bool,
    /// Its devices that were ever opened.
    pub devices: Vec<Opened>,
    /// What it holds, by device and memory.
    pub accounts: Vec<Account>,
}

/// What was done so far that totals cannot survive once a record is dropped: a drop is counted in bytes and blocks by what the
/// record itself says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wildness {
    /// Frees and releases that do not say what they free.
    pub sizeless: bool,
    /// Addresses as ids, used again.
    pub addresses: bool,
    /// Frees of what is not there, and with a wrong size.
    pub false_frees: bool,
    /// Devices opened and closed in the middle.
    pub controls: bool,
}

impl Wildness {
    /// Whether there is any.
    pub const fn any(self) -> bool {
        self.sizeless || self.addresses || self.false_frees || self.controls
    }
}

/// A device that was opened.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Opened {
    /// Logical number.
    pub device: u32,
    /// Unique id of the chip.
    pub chip_id: u64,
    /// The id is the logical number only.
    pub logical: bool,
}

/// What is held of one memory kind on one device; bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// Logical number.
    pub device: u32,
    /// [`Memory`] as a number.
    pub memory: u8,
    /// Asked for.
    pub live: u64,
    /// Taken.
    pub footprint: u64,
    /// Live allocations.
    pub blocks: u64,
    /// Footprint of all allocations ever.
    pub allocated: u64,
    /// Sum of [`digest`] over the live allocations.
    pub digest: u64,
}

impl Account {
    /// Nothing.
    pub fn of(device: u32, memory: u8) -> Self {
        Self { device, memory, ..Self::default() }
    }

    /// Takes a live allocation in.
    pub fn add(&mut self, event: &Event) {
        self.live += if event.flags & flags::GLOBALLY_ALLOCATED == 0 { event.size } else { 0 };
        self.footprint += event.taken();
        self.blocks += 1;
        self.digest = self.digest.wrapping_add(digest(event));
    }
}

/// What of an allocation is to come back from the ledger.
pub fn told(event: &Event) -> [u64; 8] {
    [
        u64::from(event.device),
        u64::from(event.memory),
        event.id,
        event.address,
        event.size,
        event.footprint,
        u64::from(event.context),
        // That it has a call stack is said when it is pushed, by `TT_ALLOC_STACKS`.
        u64::from(event.flags & !flags::STACK),
    ]
}

/// One number for an allocation, hardly ever that of another.
pub fn digest(event: &Event) -> u64 {
    let mut hasher = DefaultHasher::new();
    told(event).hash(&mut hasher);
    hasher.finish()
}

/// Name of a memory kind.
pub fn memory_name(memory: u8) -> &'static str {
    Memory::from_u8(memory).map_or("?", Memory::name)
}
