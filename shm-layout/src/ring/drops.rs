//! What did not fit: per device and memory kind, in bytes and blocks, allocated and freed apart.
//!
//! A full ring loses detail, never totals: live = what the ledger holds + dropped allocations − dropped frees.
//!
//! ```text
//!   device 0:   DRAM  [allocated bytes | allocated blocks | freed bytes | freed blocks]   32 bytes
//!               L1    [ … ]                                             8 kinds x 32 = 256 bytes
//!   device 1:   …
//!   device 63:  of higher ones none: lost                                 64 x 256 = 16 KiB
//! ```

use crate::atomics::Word64;
use crate::event::{Event, Kind, MEMORY_KINDS};
use core::sync::atomic::Ordering::Relaxed;

/// Rows of the table. What is dropped of higher devices is counted as a lost control record: whose it was is not known then, and
/// their process says so.
pub const DROP_DEVICES: usize = 64;

/// The four counters of one device and memory kind. They only grow.
#[repr(C)]
#[derive(Debug)]
pub struct DropCell<W> {
    /// Bytes of dropped allocations.
    pub allocated_bytes: W,
    /// Dropped allocations.
    pub allocated_blocks: W,
    /// Bytes of dropped frees.
    pub freed_bytes: W,
    /// Dropped frees.
    pub freed_blocks: W,
}

/// The table of a ring.
#[repr(C, align(64))]
#[derive(Debug)]
pub struct DropTable<W> {
    /// By device, then by memory kind.
    pub cells: [[DropCell<W>; MEMORY_KINDS]; DROP_DEVICES],
}

const _: () = assert!(size_of::<DropCell<core::sync::atomic::AtomicU64>>() == 32);
const _: () = assert!(size_of::<DropTable<core::sync::atomic::AtomicU64>>() == 16384);

impl<W: Word64> DropTable<W> {
    /// Counts a record that did not fit. False if it was of a kind that these counters cannot stand for (the caller
    /// counts it as a lost control record).
    pub fn count(&self, event: &Event) -> bool {
        let Some(row) = self.cells.get(event.device as usize) else { return false };
        let cell = &row[usize::from(event.memory) % MEMORY_KINDS];
        let (bytes, blocks, count) = match Kind::from_u8(event.kind) {
            Some(Kind::Alloc) => (&cell.allocated_bytes, &cell.allocated_blocks, 1),
            Some(Kind::Free) => (&cell.freed_bytes, &cell.freed_blocks, 1),
            // One that does not say what it frees cannot be counted.
            Some(Kind::FreeAll) if event.id == 0 => return false,
            Some(Kind::FreeAll) => (&cell.freed_bytes, &cell.freed_blocks, event.id),
            _ => return false,
        };
        // Relaxed: counters; what tells a reader to look here is `RingHeader::dropped`, added to afterwards.
        bytes.fetch_add(event.taken(), Relaxed);
        blocks.fetch_add(count, Relaxed);
        true
    }
}
