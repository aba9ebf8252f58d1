//! What a chip's allocator has of each memory kind, and in how many banks.

use crate::getters::Getters;
use shm_layout::event::{Event, Kind, Memory};
use std::ffi::c_void;

/// What an allocator has of one memory kind; 0 is not known.
#[derive(Clone, Copy, Default)]
pub(super) struct Banks {
    pub(super) count: u64,
    /// Bytes that it hands out of each.
    pub(super) bytes: u64,
    /// The first address of these.
    pub(super) first: Option<u64>,
}

impl Banks {
    /// Where tt-metal's allocator puts the region behind this one: L1_SMALL behind L1, TRACE behind DRAM.
    pub(super) fn end(&self) -> Option<u64> {
        self.first.filter(|_| self.bytes > 0).and_then(|first| first.checked_add(self.bytes))
    }
}

/// Says what a chip has of one memory kind, and in which banks; nothing where that is not known.
pub(super) fn capacity(number: u32, memory: Memory, bytes: u64, banks: &Banks) {
    if bytes == 0 {
        return;
    }
    let mut event = Event::new(Kind::Capacity, memory, number);
    event.size = bytes;
    event.footprint = banks.count;
    if let Some(first) = banks.first {
        (event.id, event.address) = (banks.bytes, first);
    }
    producer::process::record(event);
}

/// The size of one DRAM channel: tt-metal says only its lowest 32 bits, so a channel of 4 GiB reads 0.
/// The allocator's bank, which is a little smaller than the channel, tells how many times 4 GiB to add.
pub(super) const fn channel_bytes(bank: &Banks, low: u64) -> u64 {
    low + bank.bytes.saturating_sub(low).div_ceil(1 << 32) * (1 << 32)
}

/// The banks that an allocator has of this memory.
///
/// # Safety
/// `allocator` is null or the live allocator of a Device.
pub(super) unsafe fn banks(allocator: *const c_void, memory: Memory) -> Banks {
    let getters = Getters::get();
    let (Some(count), Some(size)) = (getters.banks, getters.bank_size) else { return Banks::default() };
    if allocator.is_null() {
        return Banks::default();
    }
    let kind = memory as u32;
    // `HalMemType`: L1 is 0, DRAM is 1.
    let region = u8::from(memory == Memory::Dram);
    // SAFETY: const getters of a live allocator; the number of banks is the low 32 bits of the register.
    unsafe {
        let count = count(allocator, &raw const kind) & 0xffff_ffff;
        let bytes = if count == 0 { 0 } else { size(allocator, &raw const kind) };
        let first = getters.first_address.map(|get| get(allocator, &raw const region) & 0xffff_ffff);
        Banks { count, bytes, first }
    }
}
